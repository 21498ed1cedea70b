//! Power where it belongs: small scales of the initial conditions, long waves under a deconvolved force, bins of modes.

mod mpi;

use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, Growth};
use polycosm::fields::bins::Spacing;
use polycosm::fields::flat_sky::{AngularConfig, FlatSky, Map};
use polycosm::fields::spectrum::Spectrum;
use polycosm::gravity::{Factors, Force, Integrator, StepConfig, StepTable, evolve};
use polycosm::io::field::FieldSpec;
use polycosm::io::hdf::File;
use polycosm::mesh::Decomposition;
use polycosm::observables::{PowerConfig, PowerMeter};
use polycosm::particles::Particles;
use polycosm::prior::{Parameter, Prior, Theta};
use polycosm::simulators::{Job, Pm, PmConfig, Simulator};
use std::f64::consts::TAU;
use std::time::Duration;

const JOB: Job = Job { index: 0, realisation: 5, seed: 9, theta: Theta::NONE, folder: None };

fn planck(more: &str) -> CosmologyConfig {
    let base = "Omega_m = 0.3089\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\nsigma8 = 0.8159\n";
    toml::from_str(&format!("{base}{more}")).unwrap()
}

fn nothing_varies() -> Prior {
    Prior::new(vec![]).unwrap()
}

fn pm(text: &str) -> PmConfig {
    toml::from_str(text).unwrap()
}

/// Σ exp(−ik·x) of all particles for each wavenumber n, k = 2πn/L: no mesh comes between.
fn summed(comm: &Comm, positions: &[[f64; 3]], l: f64, n: &[[i64; 3]]) -> Vec<[f64; 2]> {
    let most = n.iter().flatten().map(|n| n.unsigned_abs() as usize).max().unwrap_or(0);
    let mut sums = vec![[0.0; 2]; n.len()];
    for x in positions {
        let wave = |c: usize| (0..=most).map(move |n| (-TAU / l * n as f64 * x[c]).sin_cos());
        let waves: [Vec<(f64, f64)>; 3] = std::array::from_fn(|c| wave(c).collect());
        for (sum, n) in sums.iter_mut().zip(n) {
            let (mut re, mut im) = (1.0, 0.0);
            for (wave, &n) in waves.iter().zip(n) {
                let (s, c) = wave[n.unsigned_abs() as usize];
                let s = if n < 0 { -s } else { s };
                (re, im) = (re * c - im * s, re * s + im * c);
            }
            sum[0] += re;
            sum[1] += im;
        }
    }
    comm.sum(sums.as_flattened_mut());
    sums
}

/// P(k) at z = 99 of the particles themselves over linear theory, in shells of one fundamental wavenumber around
/// `parts` of the particles' Nyquist wavenumber.
fn initial_power(comm: &Comm, gradient: &str, parts: &[f64]) -> Vec<f64> {
    let (particles, l, a) = (32, 128.0, 0.01);
    let config = pm(&format!(
        "box_size = {l:?}\nparticles = {particles}\nprecision = \"f64\"\nredshifts = [99.0]\ntime = {{ a_start = {a} }}\n\
         initial = {{ fixed_amplitudes = true{gradient} }}"
    ));
    let cosmology = planck("");
    let pm = Pm::<f64>::new(&config, &cosmology, &nothing_varies()).unwrap();
    let state = pm.evolve(comm, &JOB, &mut Timers::default()).unwrap();
    let universe = cosmology.resolve(&[]).unwrap();
    let (power, d) = (cosmology.linear_power(&universe, 0).unwrap(), Growth::new(&universe).d1(a));
    let shell = |part: f64| {
        let middle = part * particles as f64 / 2.0;
        let all = (-16..=16i64).flat_map(|i| (-16..=16).flat_map(move |j| (0..=16).map(move |k| [i, j, k])));
        let inside = move |n: &[i64; 3]| ((n.iter().map(|i| i * i).sum::<i64>() as f64).sqrt() - middle).abs() < 0.5;
        all.filter(inside).collect::<Vec<_>>()
    };
    let ratio = |part: &f64| {
        let modes = shell(*part);
        let sums = summed(comm, &state.particles.position, l, &modes);
        let one = |(n, [re, im]): (&[i64; 3], &[f64; 2])| {
            let k = TAU / l * (n.iter().map(|i| i * i).sum::<i64>() as f64).sqrt();
            (re * re + im * im) / (particles as f64).powi(6) * l.powi(3) / (power.p(k) * d * d)
        };
        modes.iter().zip(&sums).map(one).sum::<f64>() / modes.len() as f64
    };
    parts.iter().map(ratio).collect()
}

/// By default the particles carry linear theory up to 0.8 of their Nyquist wavenumber; with FastPM's gradient they do
/// not.
#[test]
fn initial_power_is_that_of_linear_theory() {
    mpi::on_ranks("initial_power_is_that_of_linear_theory", &[2], |comm| {
        let parts = [0.25, 0.5, 0.75, 0.8];
        let spectral = initial_power(comm, "", &parts);
        let four_point = initial_power(comm, ", gradient = \"four-point\"", &parts);
        if comm.is_root() {
            println!(
                "P(k) at z = 99 over linear theory at {parts:?} of Nyquist: {spectral:.4?}; four-point {four_point:.4?}"
            );
        }
        assert!(spectral.iter().all(|r| (r - 1.0).abs() < 0.01), "{spectral:?}");
        assert!((four_point[1] - 0.87).abs() < 0.02 && (four_point[2] - 0.56).abs() < 0.02, "{four_point:?}");
    });
}

/// A deconvolved force amplifies the lattice that the particles start from, and long waves grow at a wrong rate:
/// refused, and what is advised instead lets them grow as they should.
#[test]
fn deconvolution_leaves_long_waves_alone() {
    mpi::on_ranks("deconvolution_leaves_long_waves_alone", &[2], |comm| {
        let universe = |force: &str| {
            pm(&format!(
                "box_size = 500.0\nparticles = 32\nredshifts = [9.0]\ninitial = {{ fixed_amplitudes = true }}\nforce = {{ {force} }}"
            ))
        };
        let start = Pm::<f32>::new(&universe(""), &planck(""), &nothing_varies()).unwrap();
        let start = start.evolve(comm, &JOB, &mut Timers::default()).unwrap().particles;
        let cosmology = planck("").resolve(&[]).unwrap();
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
        let mesh = Decomposition::new(comm, [64; 3], None).unwrap();
        let growth = |force: &str| -> Vec<f64> {
            let (mut particles, mut meter) = (start.clone(), PowerMeter::new(&mesh, 500.0));
            let mut power = |particles: &Particles<f32>| {
                meter.measure(&PowerConfig::default(), &particles.position, 32u64.pow(3)).power[..4].to_vec()
            };
            let mut force = Force::new(&mesh, 500.0, 32u64.pow(3), &universe(force).force);
            force.exchange(&mut particles);
            let before = power(&particles);
            let table = StepTable::new(&StepConfig::default(), &factors, &[]);
            evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
            power(&particles).iter().zip(before).map(|(end, start)| end / start).collect()
        };
        let plain = growth("");
        let over = |force: &str| -> Vec<f64> { growth(force).iter().zip(&plain).map(|(d, p)| d / p).collect() };
        let bare = over("deconvolve = true");
        let refused = universe("deconvolve = true").check().unwrap_err();
        assert_eq!((refused.key.as_deref(), refused.exit_code()), (Some("simulator.force.deconvolve"), 2));
        let remedy = refused.remedy.unwrap();
        let advised = remedy.split("smoothing = ").nth(1).unwrap().split(" (at most").next().unwrap();
        let advised = format!("deconvolve = true, smoothing = {advised}");
        universe(&advised).check().unwrap();
        let tamed = over(&advised);
        if comm.is_root() {
            println!(
                "growth of long waves over that of the plain force: deconvolved {bare:.3?}, {advised}: {tamed:.3?}"
            );
        }
        assert!(bare.iter().any(|r| (r - 1.0).abs() > 0.05), "{bare:?}");
        assert!(tamed.iter().all(|r| (r - 1.0).abs() < 0.02), "{tamed:?}");
    });
}

#[test]
fn deconvolution_is_refused_where_the_lattice_is_left() {
    let check = |factor: f64, force: &str| {
        let force = format!("deconvolve = true{force}");
        pm(&format!("box_size = 500.0\nparticles = 32\nmesh_factor = {factor:?}\nforce = {{ {force} }}")).check()
    };
    let gaussian = |r: f64| format!(", smoothing = {{ kind = \"gaussian\", radius = {r:?} }}");
    let sharp = |k: f64| format!(", smoothing = {{ kind = \"sharp-k\", k_max = {k:?} }}");
    // Spacing 15.6 Mpc/h, the lattice's wave at 0.402 h/Mpc.
    for factor in [1.5, 2.0, 3.0] {
        assert!(check(factor, "").is_err() && check(factor, ", assignment = \"tsc\"").is_err());
        assert!(check(factor, &sharp(0.41)).is_err() && check(factor, &sharp(0.15)).is_ok(), "{factor}");
        assert!(check(factor, &gaussian(0.5)).is_err() && check(factor, &gaussian(15.0)).is_ok(), "{factor}");
    }
    assert!(check(1.0, "").is_ok(), "a particle in each cell: the mesh sees no lattice");
}

/// What is less exact than the rest is said before anything runs, with what helps.
#[test]
fn what_is_less_exact_is_said() {
    let box_of = |more: &str| pm(&format!("box_size = 500.0\nparticles = 32\n{more}"));
    let varied = |name: &str, min: f64, max: f64| Prior::new(vec![Parameter::uniform(name, name, min, max)]).unwrap();
    let said =
        |config: &PmConfig, cosmology: &str, prior: &Prior| config.warnings(&planck(cosmology), prior).join("\n");
    let (plain, none) = (box_of(""), nothing_varies());
    assert_eq!(said(&plain, "", &none), "");
    assert_eq!(said(&plain, "w0 = -1.0\nwa = 0.0", &none), "");
    for (cosmology, prior) in [("w0 = -0.9", &none), ("wa = 0.3", &none), ("", &varied("w0", -1.1, -0.9))] {
        let text = said(&plain, cosmology, prior);
        assert!(text.contains("cosmology.tables") && text.contains("5%") && text.contains("z = 9.0"), "{text}");
    }
    let tables = "w0 = -0.9\ntransfer = \"table\"\ntables = { \"0.0\" = \"a\", \"9.0\" = \"b\" }";
    assert_eq!(said(&plain, tables, &none), "");
    let cola = box_of("time = { integrator = \"cola\" }");
    let massive = "radiation = true\nM_nu = 0.4";
    assert!(said(&cola, massive, &none).contains("0.9%"));
    assert!(said(&cola, "radiation = true", &varied("M_nu", 0.0, 0.4)).contains("0.4 eV"));
    assert_eq!(said(&cola, "", &none) + &said(&plain, massive, &none), "");
    assert!(said(&box_of("mesh_factor = 1.25"), "", &none).contains("beat"));
    for factor in ["1.0", "1.5", "2.0", "2.25", "3.0"] {
        assert_eq!(said(&box_of(&format!("mesh_factor = {factor}")), "", &none), "", "{factor}");
    }
}

#[test]
fn shells_hold_what_is_counted_one_by_one() {
    let bins = 20;
    let mut count = vec![0u64; bins];
    for i in -21..=21i64 {
        for j in -21..=21i64 {
            for k in -21..=21i64 {
                let r = ((i * i + j * j + k * k) as f64).sqrt();
                let bin = (r - 0.5).floor();
                if bin >= 0.0 && (bin as usize) < bins {
                    count[bin as usize] += 1;
                }
            }
        }
    }
    assert_eq!((Spectrum::counts(bins), Spectrum::counts(1)), (count, vec![18]));
    assert_eq!(Spectrum::edges(2, TAU), [0.5, 1.5, 2.5]);
}

/// Every mode of a map, one by one: edges fall on none, the label is the mean, the counts are those of the measurement.
#[test]
fn multipoles_are_labelled_by_their_modes() {
    for (pixels, side, bins, spacing) in [
        (64, 5.0, 10, Spacing::Log), // edges in steps of √2: on modes, if left there
        (64, 4.0, 8, Spacing::Log),
        (63, 5.0, 31, Spacing::Linear),
        (64, 5.0, 31, Spacing::Linear),
        (16, 12.0, 4, Spacing::Log),
    ] {
        let config = AngularConfig { bins, spacing, ..Default::default() };
        let edges = config.ell_bins(pixels, side).unwrap();
        let half = pixels as i64 / 2;
        let axis = || -half..pixels as i64 - half;
        let all: Vec<f64> = (axis().flat_map(|i| axis().map(move |j| (i, j))))
            .map(|(i, j)| TAU / side.to_radians() * ((i * i + j * j) as f64).sqrt())
            .collect();
        let clear = all.iter().all(|l| edges.edges().iter().all(|e| (l - e).abs() > 1e-5 * e));
        assert!(clear, "an edge of {:?} is on a mode", edges.edges());
        let (mean, modes) = AngularConfig::modes_of(&edges, pixels, side);
        for b in 0..bins {
            let inside: Vec<f64> = all.iter().copied().filter(|&l| edges.of(l) == Some(b)).collect();
            assert_eq!((inside.len() as u64, inside.is_empty()), (modes[b], false));
            assert!((inside.iter().sum::<f64>() / inside.len() as f64 / mean[b] - 1.0).abs() < 1e-12);
        }
        let nyquist = 0.5 * pixels as f64 * TAU / side.to_radians();
        let below = |l: &&f64| **l > 0.0 && **l < nyquist * (1.0 - 1e-9);
        assert_eq!(modes.iter().sum::<u64>(), all.iter().filter(below).count() as u64);
        let mut sky = FlatSky::new(pixels, side).unwrap();
        let map: Vec<f64> = (0..pixels * pixels).map(|i| ((i * i) % 17) as f64).collect();
        let measured = sky.c_ell(&edges, Map { values: &map, mask: None }, None, false).unwrap();
        assert_eq!(measured.modes, modes);
        assert!(measured.ell.iter().zip(&mean).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
    }
    let first = |config: AngularConfig| {
        let bins = config.ell_bins(64, 5.0).unwrap();
        (AngularConfig::modes_of(&bins, 64, 5.0), bins)
    };
    let ((mean, modes), _) = first(AngularConfig { bins: 10, ..Default::default() });
    assert!((mean[0] - 72.0).abs() < 1e-9 && modes[0] == 4, "{mean:?} {modes:?}");
    // Edges that are given stay; a mode on one is in the bin above, whatever rounding makes of it.
    let ((_, modes), bins) = first(AngularConfig {
        min: Some(72.0),
        max: Some(288.0),
        bins: 3,
        spacing: Spacing::Linear,
        ..Default::default()
    });
    assert!(bins.edges().iter().zip([72.0, 144.0, 216.0, 288.0]).all(|(e, g)| (e / g - 1.0).abs() < 2e-9));
    assert_eq!(modes, [8, 16, 20]);
}

/// Edges and counts of every spectrum are in the dataset and in what is exported of it.
#[test]
fn edges_and_counts_are_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (output, exported) = (folder.path().join("out"), folder.path().join("exported"));
    let run = |command: &str, more: &[&str]| {
        let mut run = mpi::mpirun(1);
        run.current_dir(env!("CARGO_MANIFEST_DIR")).arg(env!("CARGO_BIN_EXE_polycosm"));
        run.args([command, "recipes/observables.toml", "--set", &format!("output={}", output.display())]);
        for set in ["design.simulations=1", "suite.ranks_per_sim=1", "suite.shard_size=1", "simulator.particles=16"] {
            run.args(["--set", set]);
        }
        for set in ["simulator.redshifts=[0.0]", "simulator.time.steps=5", "simulator.lightcone.pixels=32"] {
            run.args(["--set", set]);
        }
        run.args(["--set", "simulator.snapshots=false", "--set", "simulator.bispectrum.bin_width=2.0"]);
        run.args(["--set", "simulator.c_ell.bins=5", "--set", "simulator.pdf.radius=16.0"]).args(more);
        let ended = mpi::finish(run, Duration::from_secs(120));
        assert!(ended.success, "{}", ended.text);
    };
    run("simulate", &[]);
    run("export", &["--to", &exported.display().to_string()]);
    for path in [output.join("dataset.h5"), exported.join("dataset.h5")] {
        let file = File::open(&path).unwrap();
        let numbers = |name: &str| -> Vec<f64> { file.read(name).unwrap() };
        let counts = |name: &str| -> Vec<u64> { file.read(name).unwrap() };
        for field in ["power", "multipoles", "galaxy_power"] {
            let (k, edges) = (numbers(&format!("axes/{field}/k")), numbers(&format!("axes/{field}/k_edges")));
            assert_eq!(edges, Spectrum::edges(k.len(), 128.0), "{field}");
            assert!(k.iter().zip(edges.windows(2)).all(|(k, e)| e[0] < *k && *k < e[1]), "{field}");
            assert_eq!(counts(&format!("axes/{field}/k_modes")), Spectrum::counts(k.len()), "{field}");
        }
        let (ell, edges) = (numbers("axes/c_ell/ell"), numbers("axes/c_ell/ell_edges"));
        assert!(ell.len() == 5 && ell.iter().zip(edges.windows(2)).all(|(l, e)| e[0] < *l && *l < e[1]));
        assert!(counts("axes/c_ell/ell_modes").iter().all(|&n| n > 0));
        let triangles: Vec<i64> = file.read("bispectrum_triangles").unwrap();
        assert_eq!(file.array("axes/bispectrum/triangle_edges").unwrap().shape(), [triangles.len(), 6]);
        assert!(!triangles.is_empty() && triangles.iter().all(|&n| n > 0), "{triangles:?}");
        for (field, axis) in [("pdf", "density"), ("peaks", "height"), ("mass_function", "log10_mass")] {
            let (at, edges) =
                (numbers(&format!("axes/{field}/{axis}")), numbers(&format!("axes/{field}/{axis}_edges")));
            assert!(at.iter().zip(edges.windows(2)).all(|(x, e)| e[0] < *x && *x < e[1]), "{field}");
        }
        let specs: Vec<FieldSpec> = file.json("", "fields").unwrap().unwrap_or_default();
        assert!(specs.is_empty() || specs.iter().any(|s| s.name == "power" && !s.axes[0].modes.is_empty()));
    }
}

/// The plan says what particles and pixels resolve, and what it costs to look at a universe and to learn from it.
#[test]
fn the_plan_tells_scales_and_products() {
    let plan = |recipe: &str| {
        let mut run = mpi::mpirun(1);
        run.current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg(env!("CARGO_BIN_EXE_polycosm"))
            .args(["plan", recipe, "-n", "2"]);
        let ended = mpi::finish(run, Duration::from_secs(120));
        assert!(ended.success, "{}", ended.text);
        ended.text
    };
    let text = plan("recipes/observables.toml");
    // Omega_m = 0.3 at the middle of the prior, particles 2 Mpc/h apart: 0.3 · 2.775e11 · 8; 20 of them; 90 to 2880 on
    // 4°.
    for part in
        ["6.661e11 Msun/h", "1.332e13 Msun/h", "3.750 arcmin, ℓ from 90 to 2880", "pixels of maps", "bispectrum "]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.lines().any(|l| l.starts_with("products") && l.contains("lensing") && l.contains("halos")), "{text}");
    let text = plan("recipes/smoke.toml");
    let learns = text.lines().any(|l| l.starts_with("training") && l.contains("compressor") && l.contains("posterior"));
    assert!(learns || cfg!(not(feature = "torch")), "{text}");
}
