//! Initial conditions: shared large scales, fields from files, pairs, primordial non-Gaussianity, massive neutrinos.

mod mpi;

use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, LinearPower};
use polycosm::error::Result;
use polycosm::fields::linear::add_f_nl;
use polycosm::mesh::{Decomposition, Fft, Halo, Mesh, Modes, Transform};
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::*;
use std::collections::BTreeMap;
use std::f64::consts::TAU;

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A configuration from the text of `[simulator.initial]`.
fn initial(text: &str) -> Result<InitialConfig> {
    let config: InitialConfig = toml::from_str(text).unwrap();
    config.check().map(|()| config)
}

const JOB: Job = Job { index: 0, realisation: 5, seed: 9, theta: Theta::NONE, folder: None };

/// Linear density of a spectrum with some shape, as modes by global wavenumber, on every rank.
fn density(comm: &Comm, n: usize, config: &InitialConfig, realisation: u64) -> BTreeMap<[i64; 3], (f64, f64)> {
    let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
    let job = Job { realisation, ..JOB };
    let power = |k: f64| 1e4 * k / (1.0 + (k / 0.05).powi(3));
    let mut modes: Modes<f64> = config.linear_density(&lattice, &job, 200.0, power, |_| 1.0).unwrap();
    let mut mine = vec![];
    modes.for_each(|k, c| mine.extend([k[0] as f64, k[1] as f64, k[2] as f64, c.re, c.im]));
    let all = comm.all_gather(&mine);
    all.chunks(5).map(|m| ([m[0] as i64, m[1] as i64, m[2] as i64], (m[3], m[4]))).collect()
}

#[test]
fn two_resolutions_share_their_large_scales() {
    mpi::on_ranks("two_resolutions_share_their_large_scales", &[1, 3, 4], |comm| {
        let shared = initial("noise_mesh = 24").unwrap();
        let (fine, coarse) = (density(comm, 24, &shared, 1), density(comm, 10, &shared, 1));
        let larger = density(comm, 36, &shared, 1);
        assert_eq!(fine, density(comm, 24, &InitialConfig::default(), 1), "its own mesh changes nothing");
        let mut compared = 0;
        for (k, c) in &coarse {
            if k.iter().all(|k| k.abs() < 5) {
                let (d, e) = (fine[k], larger[k]);
                for other in [d, e] {
                    let apart = (c.0 - other.0).abs() + (c.1 - other.1).abs();
                    assert!(apart <= 1e-12 * (c.0.abs() + c.1.abs()), "{k:?}: {c:?} and {other:?}");
                }
                compared += 1;
            }
        }
        assert_eq!(compared, 9 * 9 * 5);
        assert_ne!(coarse[&[1, 1, 1]], density(comm, 10, &InitialConfig::default(), 1)[&[1, 1, 1]]);
    });
}

#[test]
fn pairs_are_opposite() {
    mpi::on_ranks("pairs_are_opposite", &[2], |comm| {
        let pair = initial("paired = true\nfixed_amplitudes = true").unwrap();
        let (first, second) = (density(comm, 8, &pair, 6), density(comm, 8, &pair, 7));
        assert!(first.iter().all(|(k, c)| second[k] == (-c.0, -c.1)));
        assert_ne!(first, density(comm, 8, &pair, 8));
    });
}

/// FastPM's noise, coloured by the spectrum it was given, is the linear density it made.
#[test]
fn fields_are_read_from_files() {
    mpi::on_ranks("fields_are_read_from_files", &[1, 3], |comm| {
        let field = |kind: &str, dataset: &str| {
            let file = data("fastpm_64_noise.h5");
            initial(&format!("field = {{ kind = \"{kind}\", file = \"{file}\", dataset = \"{dataset}\" }}")).unwrap()
        };
        let noise = field("white-noise", "white_noise");
        noise.check_file(64).unwrap();
        let refused = noise.check_file(32).unwrap_err();
        assert!(refused.to_string().contains("simulator.particles = 64"), "{refused}");
        let table = data("camb_linear_pk_planck15_z0.txt");
        let power = polycosm::cosmology::read_table(table.as_ref(), 0.8159).unwrap();
        let lattice = Decomposition::new(comm, [64; 3], None).unwrap();
        let modes = |config: &InitialConfig| -> Modes<f64> {
            config.linear_density(&lattice, &JOB, 128.0, |k| power.p(k), |_| 1.0).unwrap()
        };
        let (ours, theirs) = (modes(&noise), modes(&field("linear-density", "delta_linear_z0")));
        let (mut far, mut all) = (0.0, 0.0);
        for (a, b) in ours.data().iter().zip(theirs.data()) {
            far += (*a - *b).norm_sqr();
            all += b.norm_sqr();
        }
        let ratio = (comm.sum_of(far) / comm.sum_of(all)).sqrt();
        assert!(ratio < 2e-3, "coloured noise is {ratio} from FastPM's linear density");
    });
}

/// A single wave of potential, Φ = A cos kx: Φ² − ⟨Φ²⟩ = A²/2 cos 2kx.
#[test]
fn f_nl_of_a_wave() {
    mpi::on_ranks("f_nl_of_a_wave", &[1, 2, 4], |comm| {
        let (n, l, amplitude, f_nl) = (16, 100.0, 3e-5, 40.0);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
        let alpha = |k: f64| 1e6 * k * k;
        let mut mesh: Mesh<f64> = fft.mesh();
        let (b, k) = (mesh.block(), 2.0 * TAU / l);
        for i in 0..b.len[0] {
            for j in 0..b.len[1] {
                let x = (b.start[0] + i) as f64 * l / n as f64;
                mesh.row_mut(i, j).fill(alpha(k) * amplitude * (k * x).cos() / d.volume() as f64);
            }
        }
        let mut modes = fft.modes();
        fft.forward(&mut mesh, &mut modes);
        add_f_nl(&mut fft, &mut modes, l, f_nl, alpha);
        modes.for_each(|m, c| {
            let expected = match m {
                [2 | -2, 0, 0] => alpha(k) * amplitude / 2.0,
                [4 | -4, 0, 0] => f_nl * alpha(2.0 * k) * amplitude * amplitude / 4.0,
                _ => 0.0,
            };
            assert!((c.re - expected).abs() + c.im.abs() < 1e-15 * alpha(k), "{m:?}: {c}, expected {expected}");
        });
    });
}

fn planck(more: &str) -> CosmologyConfig {
    let base = "Omega_m = 0.3089\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\nsigma8 = 0.8159\n";
    toml::from_str(&format!("{base}{more}")).unwrap()
}

/// A small universe's power spectrum at the end.
fn spectrum(comm: &Comm, cosmology: &CosmologyConfig) -> Vec<f64> {
    let config: PmConfig = toml::from_str(
        "box_size = 256.0\nparticles = 32\nprecision = \"f64\"\ninitial = { fixed_amplitudes = true }\npower = {}\n\
         time = { a_start = 0.05, steps = 60, spacing = \"log\", integrator = \"leapfrog\" }",
    )
    .unwrap();
    let pm = Pm::<f64>::new(&config, cosmology, &Prior::new(vec![]).unwrap()).unwrap();
    let state = pm.evolve(comm, &JOB, &mut Timers::default()).unwrap();
    let fields = pm.observe(comm, &state).unwrap();
    let mut power = match &fields[0].data {
        polycosm::io::field::Data::F64(power) if comm.is_root() => power.clone(),
        _ => vec![0.0; 15],
    };
    comm.broadcast(0, &mut power);
    power
}

/// Massive neutrinos, radiation, curvature and dark energy at work in whole runs: with the same sigma8 today, large
/// scales end alike, since every run starts from its own spectrum scaled back by its own growth. Leapfrog's factors
/// know the expansion alone (FastPM's know the growth, and give it back whatever forces do), so that growth is the
/// dynamics' own.
#[test]
fn every_cosmology_ends_at_its_linear_spectrum() {
    mpi::on_ranks("every_cosmology_ends_at_its_linear_spectrum", &[2], |comm| {
        let prior = spectrum(comm, &planck(""));
        for more in ["radiation = true", "Omega_k = 0.1", "w0 = -0.8\nwa = 0.3", "radiation = true\nM_nu = 0.3"] {
            let config = planck(more);
            let cosmology = config.resolve(&[]).unwrap();
            let growth = polycosm::cosmology::Growth::new(&cosmology);
            let linear = |c: &CosmologyConfig| {
                let cosmology = c.resolve(&[]).unwrap();
                c.cold_power(&polycosm::cosmology::Growth::new(&cosmology), 0, 1.0).unwrap()
            };
            assert!((growth.d1(1.0) - 1.0).abs() < 1e-12);
            let (theirs, ours) = (linear(&config), linear(&planck("")));
            // The modes of the first bin: 6 along axes, 12 along diagonals of the cube's faces.
            let first = |p: &LinearPower| [(6.0, 1f64), (12.0, 2.0)].map(|(n, m2)| n * p.p(TAU / 256.0 * m2.sqrt()));
            let [theirs, ours] = [theirs, ours].map(|p| first(&p).iter().sum::<f64>());
            let (grown, expected) = (spectrum(comm, &config)[0] / prior[0], theirs / ours);
            if comm.is_root() {
                println!("{more:?}: P over that of flat ΛCDM {grown:.5}, linear theory {expected:.5}");
            }
            let tolerance = if cosmology.m_nu() > 0.0 { 3e-3 } else { 1e-3 };
            assert!((grown / expected - 1.0).abs() < tolerance, "{more}: {grown}, expected {expected}");
        }
    });
}
