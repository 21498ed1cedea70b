//! Maps of a flat sky: their statistics, the same ones on any number of ranks, and the posteriors of Gaussian ones, which
//! are known in closed form.

mod common;
mod measured;
mod mpi;

use common::says;
use polycosm::comm::Comm;
use polycosm::cosmology::CosmologyConfig;
use polycosm::io::field::Data;
use polycosm::io::samples::Samples;
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::{GaussianFlatConfig, Job, LognormalFlatConfig, Section, Universes};
use std::path::Path;
use std::time::Duration;

const CAMPAIGN: &str = r#"
output = "run"
seed = 5
[design]
kind = "prior"
simulations = 160
validation = 0.0
test = 0.75
[design.parameters.ln_A]
min = -12.0
max = -8.0
[design.parameters.slope]
kind = "normal"
mean = -1.0
sigma = 0.5
[simulator]
kind = "gaussian-flat"
[simulator.spectrum]
pivot = 500.0
[simulator.sky]
field_of_view_deg = 5.0
pixels = 16
noise = 0.3
[simulator.c_ell]
bins = 4
[simulator.peaks]
bins = 4
smoothing = 0.0
periodic = true
[suite]
shard_size = 64
"#;

fn campaign(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

/// `polycosm WORDS` in a folder.
fn polycosm(ranks: usize, folder: &Path, words: &str, sets: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(words.split(' '));
    sets.iter().for_each(|set| _ = run.args(["--set", set]));
    let ended = mpi::finish(run, Duration::from_secs(120));
    (ended.code, ended.text)
}

fn read(folder: &Path, output: &str, field: &str) -> Vec<f64> {
    hdf5::File::open(folder.join(output).join("dataset.h5")).unwrap().dataset(field).unwrap().read_raw().unwrap()
}

#[test]
fn exact_posteriors_pass_their_calibration_and_are_as_wide_as_fishers() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["160 simulations"]);
    // Bands over what is expected of them, in 160 universes: standard errors below 2%.
    let verified = polycosm(1, at, "verify run.toml", &[]);
    says(&verified, 0, &["c_ell over the input spectra, mean of 160: "]);
    let bands = verified.1.split("mean of 160: ").nth(1).unwrap().lines().next().unwrap();
    let ratios: Vec<f64> = bands.split(", ").map(|b| b.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(ratios.len() == 3 && ratios.iter().all(|r| (r - 1.0).abs() < 0.12), "{bands}");
    assert!(ratios[2] > 0.95 && ratios[2] < 1.05, "{bands}");

    // Another way to share the work makes the same universes.
    let other = ["output=other", "suite.ranks_per_sim=3", "design.simulations=5"];
    says(&polycosm(3, at, "simulate run.toml", &other), 0, &["5 simulations"]);
    for field in ["maps", "c_ell", "peaks"] {
        let (one, three) = (read(at, "run", field), read(at, "other", field));
        assert!(one.iter().zip(&three).all(|(a, b)| (a - b).abs() <= 1e-10 * a.abs()) && !three.is_empty(), "{field}");
    }

    says(&polycosm(2, at, "infer run.toml --exact", &[]), 0, &["infer exact: 1", "universes, 1000 draws each"]);
    says(&polycosm(3, at, "infer run.toml --exact", &[]), 0, &["nothing to do"]);
    says(&polycosm(1, at, "calibrate run.toml --strict", &[]), 0, &["posterior `exact`", "PASS"]);
    let narrow = polycosm(1, at, "calibrate run.toml --strict --scale-sd 0.5", &[]);
    says(&narrow, 1, &["FAIL"]);
    says(&polycosm(1, at, "report run.toml", &[]), 0, &[]);
    assert!(std::fs::read_to_string(at.join("run/report/index.html")).unwrap().contains("exact"));
    says(&polycosm(1, at, "status run.toml", &[]), 0, &["draws        exact: drawn", "verdict      exact: judged"]);

    let samples = Samples::read(&at.join("run/posterior/exact.h5")).unwrap();
    assert!(samples.len() > 80 && samples.extras.ln_evidence.len() == samples.len());
    let mut merit = vec![];
    for i in 0..samples.len() {
        let (truth, draws) = (samples.truth_of(i).unwrap(), samples.theta_of(i));
        // The prior is no wider than nothing where the noise hides the map.
        if truth[0] < -10.0 {
            continue;
        }
        let mean = [0, 1].map(|j| draws.iter().skip(j).step_by(2).sum::<f64>() / 1000.0);
        let second =
            |a: usize, b: usize| draws.chunks(2).map(|t| (t[a] - mean[a]) * (t[b] - mean[b])).sum::<f64>() / 999.0;
        let volume = second(0, 0) * second(1, 1) - second(0, 1).powi(2);
        let [[a, b], [_, d]] = fisher(truth);
        merit.push((volume * (a * d - b * b)).ln());
    }
    let mean = merit.iter().sum::<f64>() / merit.len() as f64;
    let error = (merit.iter().map(|m| (m - mean).powi(2)).sum::<f64>()).sqrt() / merit.len() as f64;
    println!("ln det C F over {} universes: {mean:.3} ± {error:.3}", merit.len());
    assert!(merit.len() > 30 && mean.abs() < 0.15, "{mean} ± {error}");
}

/// Fisher matrix of (ln A, slope) of [`CAMPAIGN`], with the prior's of the slope: ½ Σ_n ∂ ln P ∂ ln P over all modes.
fn fisher(theta: &[f64]) -> [[f64; 2]; 2] {
    let (n, side) = (16i64, 5f64.to_radians());
    let area = (side / n as f64).powi(2);
    let mut f = [[0.0, 0.0], [0.0, 1.0 / 0.25]];
    for (i, j) in (-n / 2..n / 2).flat_map(|i| (-n / 2..n / 2).map(move |j| (i, j))).filter(|k| *k != (0, 0)) {
        let x = (std::f64::consts::TAU / side * ((i * i + j * j) as f64).sqrt() / 500.0).ln();
        let signal = (theta[0] + theta[1] * x).exp() / area;
        let share = signal / (signal + 0.09);
        let slopes = [share, share * x];
        (0..2).for_each(|a| (0..2).for_each(|b| f[a][b] += 0.5 * slopes[a] * slopes[b]));
    }
    f
}

fn write_mask(path: &Path, n: usize, value: impl Fn(usize) -> f64) {
    let mask: Vec<f64> = (0..n * n).map(value).collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset_builder()
        .with_data(&ndarray::Array2::from_shape_vec([n, n], mask).unwrap())
        .create("mask")
        .unwrap();
}

#[test]
fn observations_have_exact_posteriors_as_test_universes_do() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    says(&polycosm(2, at, "simulate run.toml", &["design.simulations=20"]), 0, &["20 simulations"]);
    says(&polycosm(2, at, "infer run.toml --exact", &["design.simulations=20"]), 0, &["infer exact: "]);
    let all = Samples::read(&at.join("run/posterior/exact.h5")).unwrap();
    let row = all.index[1];
    let of = format!("infer run.toml --exact --observation run/dataset.h5:{row}");
    let ended = polycosm(2, at, &of, &["design.simulations=20"]);
    says(&ended, 0, &["posterior `exact`: ln_A = ", "(truth ", "ln evidence "]);
    let files = std::fs::read_dir(at.join("run/posterior")).unwrap().map(|e| e.unwrap().path());
    let path = files.into_iter().find(|path| path.to_string_lossy().ends_with("-exact.h5")).unwrap();
    let one = Samples::read(&path).unwrap();
    // The same likelihood on the same grids; other draws.
    assert_eq!((one.len(), one.truth_of(0)), (1, all.truth_of(1)));
    assert_eq!(one.extras.ln_evidence[0].to_bits(), all.extras.ln_evidence[1].to_bits());
    assert!((one.ln_prob_truth[0] - all.ln_prob_truth[1]).abs() < 1e-9 && one.theta != all.theta_of(1));
    for j in 0..2 {
        let ((a, sd), (b, _)) = (one.mean_sd(0, j), all.mean_sd(1, j));
        assert!((a - b).abs() < 5.0 * sd * (2.0f64 / 1000.0).sqrt(), "{a} {b} ± {sd}");
    }
    says(&polycosm(1, at, "report run.toml", &["design.simulations=20"]), 0, &[]);
    let page = std::fs::read_to_string(at.join("run/report/index.html")).unwrap();
    assert!(page.contains("corner_observation_") || page.contains("Observation “"), "its corner is drawn");
    assert!(page.contains("ln evidence ") && !page.contains("left out"), "its evidence is told");
    let status = polycosm(1, at, "status run.toml", &["design.simulations=20"]);
    says(&status, 0, &["-exact: drawn"]);
    assert!(!status.1.contains("outdated"), "{}", status.1);
    // In the campaign they are drawn with the test universes, and not twice.
    let file = format!("infer.observations=[\"run/dataset.h5:{row}\"]");
    if cfg!(not(feature = "torch")) {
        let sets = ["design.simulations=20", &file, "infer.posterior=none"];
        says(
            &polycosm(1, at, "infer run.toml --exact", &sets),
            0,
            &["infer exact: nothing to do", "nothing to do: drawn"],
        );
    }
    // Another seed is another campaign's; other fields are refused.
    let none = at.join("run/forecast.h5");
    hdf5::File::create(&none).unwrap().new_dataset::<f32>().shape([3]).create("c").unwrap();
    let of = format!("infer run.toml --exact --observation {}", none.display());
    let ended = polycosm(2, at, &of, &["design.simulations=20"]);
    says(&ended, 2, &["forecast.h5", "maps"]);
}

#[test]
fn masked_maps_have_exact_posteriors_too() {
    // Each point of the grid is a matrix of all pixels: of one parameter there are few.
    let slope = "[design.parameters.slope]\nkind = \"normal\"\nmean = -1.0\nsigma = 0.5\n";
    let folder = campaign(&CAMPAIGN.replace(slope, "").replace("pivot = 500.0", "pivot = 500.0\nslope = -1.0"));
    let at = folder.path();
    write_mask(&at.join("mask.h5"), 8, |i| if i % 8 < 3 { 0.0 } else { 1.0 });
    let masked = [
        "simulator.sky.mask=mask.h5",
        "simulator.sky.mask_fill=-7.0",
        "simulator.sky.pixels=8",
        "simulator.c_ell.bins=2",
        "design.simulations=120",
        "calibrate.level=0.99",
    ];
    says(&polycosm(2, at, "simulate run.toml", &masked), 0, &["120 simulations"]);
    let maps = read(at, "run", "maps");
    assert!(maps.chunks(8).all(|row| row[..3] == [-7.0; 3] && row[3..].iter().all(|x| *x != -7.0)));
    says(&polycosm(2, at, "infer run.toml --exact", &masked), 0, &["infer exact: "]);
    let judged = polycosm(1, at, "calibrate run.toml", &masked);
    says(&judged, 0, &["posterior `exact`"]);
    assert!(!judged.1.contains("FAIL"), "{}", judged.1);
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    let refused = |command: &str, sets: &[&str], parts: &[&str]| {
        let ended = polycosm(1, at, command, sets);
        says(&ended, 2, parts);
        assert!(ended.1.contains("remedy: ") && !at.join("run").exists(), "{}", ended.1);
    };
    let check = "check run.toml";
    refused(check, &["simulator.sky.noise=-1"], &["simulator.sky.noise = -1", "is no rms"]);
    refused(
        check,
        &["simulator.sky.noise=[0.1,0.2]"],
        &["simulator.sky.noise = [0.1", "has 2 numbers, and there are 1 maps"],
    );
    refused(check, &["simulator.sky.pixels=1"], &["simulator.sky.pixels = 1", "2 to 16384"]);
    refused(check, &["simulator.sky.field_of_view_deg=31"], &["simulator.sky.field_of_view_deg = 31", "30 degrees"]);
    refused(
        check,
        &["simulator.spectrum.slope=-1"],
        &["simulator.spectrum.slope = -1", "varies in [design.parameters.slope]"],
    );
    refused(check, &["simulator.spectrum.pivot=0"], &["simulator.spectrum.pivot = 0", "no multipole"]);
    refused(check, &["design.parameters.ln_A.max=300"], &["design.parameters.ln_A", "lies outside [-200, 200]"]);
    refused(
        check,
        &["design.parameters.Omega_m={min=0.1,max=0.2}"],
        &["design.parameters.Omega_m", "known here: ln_A, slope"],
    );
    refused(check, &["simulator.c_ell.max=1e6"], &["simulator.c_ell.max", "the map has multipoles"]);
    let one = CAMPAIGN.replace("[design.parameters.slope]\nkind = \"normal\"\nmean = -1.0\nsigma = 0.5\n", "");
    std::fs::write(at.join("one.toml"), one).unwrap();
    refused("check one.toml", &[], &["simulator.spectrum.slope", "is missing", "or vary it in"]);
    write_mask(&at.join("small.h5"), 8, |_| 1.0);
    write_mask(&at.join("nan.h5"), 16, |i| if i == 5 { f64::NAN } else { 1.0 });
    refused(check, &["simulator.sky.mask=small.h5"], &["simulator.sky.mask = ", "has shape [8, 8], the maps [16, 16]"]);
    refused(check, &["simulator.sky.mask=nan.h5"], &["simulator.sky.mask = ", "holds NaN"]);
    refused(check, &["simulator.sky.mask=none.h5"], &["simulator.sky.mask = ", "cannot be read"]);
    // What has no likelihood in closed form.
    write_mask(&at.join("large.h5"), 64, |_| 1.0);
    let large = ["simulator.sky.mask=large.h5", "simulator.sky.pixels=64", "design.simulations=8"];
    refused("infer run.toml --exact", &large, &["simulator.sky.mask = ", "of maps up to 32²"]);
    refused(
        "infer run.toml --exact",
        &["design.reject=redraw"],
        &["design.reject = \"redraw\"", "what is left of another"],
    );
    let four = "design.parameters.none={min=0,max=1}";
    refused("infer run.toml --exact", &[four], &["design.parameters.none"]);
    let sim = "[simulator]\nkind = \"pm\"\nbox_size = 64.0\nparticles = 8\n";
    let pm = CAMPAIGN.split("[design.parameters").next().unwrap().to_string();
    let cosmology = "[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.97\nsigma8 = 0.8\n";
    let varies = "[design.parameters.Omega_m]\nmin = 0.2\nmax = 0.4\n";
    std::fs::write(at.join("pm.toml"), [&pm, varies, cosmology, sim].concat()).unwrap();
    refused("infer pm.toml --exact", &[], &["--exact", "the likelihood of pm is not known in closed form"]);
}

/// A table of spectra of two maps, correlated by `r`.
fn write_spectra(path: &Path, r: f64) {
    let row = |i: usize| {
        let ell = 40.0 * 1.2f64.powi(i as i32);
        let c = 1e-8 / (1.0 + (ell / 300.0).powf(1.5));
        format!("{ell} {:e} {:e} {:e}\n", c, r * 2.0 * c, 4.0 * c)
    };
    let rows: String = (0..20).map(row).collect();
    std::fs::write(path, format!("# ell near*near near*far far*far\n{rows}")).unwrap();
}

const LOGNORMAL: &str = r#"
output = "run"
seed = 6
[design]
kind = "prior"
simulations = 300
[design.parameters.ln_A]
min = -0.1
max = 0.1
[simulator]
kind = "lognormal-flat"
shift = [0.03, 0.06]
spectrum = { file = "spectra.txt" }
c_ell = { bins = 4 }
[simulator.sky]
field_of_view_deg = 5.0
pixels = 24
pixel_window = true
shear = true
"#;

#[test]
fn lognormal_maps_have_their_spectra_shifts_and_shear() {
    let folder = campaign(LOGNORMAL);
    let at = folder.path();
    write_spectra(&at.join("spectra.txt"), 0.6);
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["300 simulations"]);
    let verified = polycosm(1, at, "verify run.toml", &[]);
    says(&verified, 0, &["c_ell over the input spectra, mean of 256: ", "every checksum holds"]);
    let (maps, shear, achieved) = (read(at, "run", "maps"), read(at, "run", "shear"), read(at, "run", "achieved"));
    let pixels = 24 * 24;
    for map in maps.chunks(2 * pixels) {
        let least = |m: &[f64]| m.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least(&map[..pixels]) > -0.03 && least(&map[pixels..]) > -0.06);
    }
    let skewness = |map: usize| {
        let all = || maps.chunks(pixels).skip(map).step_by(2).flatten();
        let moment = |k: i32| all().map(|x| x.powi(k)).sum::<f64>() / all().count() as f64;
        (moment(3) / moment(2).powf(1.5), moment(2).sqrt())
    };
    for (map, shift) in [(0, 0.03), (1, 0.06)] {
        let (skewness, sd) = skewness(map);
        let expected = (sd / shift).powi(3) + 3.0 * sd / shift;
        assert!((skewness / expected - 1.0).abs() < 0.2, "map {map}: {skewness} {expected}");
    }
    assert!(achieved.chunks(2).all(|a| a[0] < 1e-3), "{:?}", &achieved[..2]);
    // The mean spectra of all pairs, by the house's own estimator, over what is expected at the middle of the prior.
    let c_ell = read(at, "run", "c_ell");
    let mean = |i: usize| c_ell.iter().skip(i).step_by(12).sum::<f64>() / 300.0;
    for band in 0..4 {
        let [near, cross, far] = [0, 1, 2].map(|pair| mean(pair * 4 + band));
        assert!((far / near / 4.0 - 1.0).abs() < 0.1, "{band}: {near} {far}");
        assert!((cross / (near * far).sqrt() / 0.6 - 1.0).abs() < 0.1, "{band}: {cross}");
    }
    // Shear gives the convergence back but for its mean and Nyquist modes, and has no B mode.
    let mut sky = polycosm::fields::flat_sky::FlatSky::new(24, 5.0).unwrap();
    let (gamma, kappa) = (&shear[..2 * pixels], &maps[..pixels]);
    let [e, b] = sky.convergence([&gamma[..pixels], &gamma[pixels..]]).unwrap();
    let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    let again = sky.shear(&e).unwrap();
    let off: Vec<f64> = again.concat().iter().zip(gamma).map(|(a, b)| a - b).collect();
    assert!(rms(&off) < 1e-6 * rms(kappa) && rms(&b) < 1e-6 * rms(kappa), "{} {}", rms(&off), rms(&b));
    let smooth = |map: &[f64], sky: &mut polycosm::fields::flat_sky::FlatSky| {
        sky.filtered(map, |ell| if ell > 0.0 && ell < 750.0 { 1.0 } else { 0.0 }).unwrap()
    };
    let (e, kappa) = (smooth(&e, &mut sky), smooth(kappa, &mut sky));
    let off: Vec<f64> = e.iter().zip(&kappa).map(|(a, b)| a - b).collect();
    assert!(rms(&off) < 1e-6 * rms(&kappa), "{}", rms(&off));
    // On other ranks, and where all universes have one spectrum, which is found once.
    for sets in [vec!["output=other", "suite.ranks_per_sim=3"], vec!["output=more", "suite.ranks_per_sim=4"]] {
        let sets = [&sets[..], &["design.simulations=4"]].concat();
        says(&polycosm(4, at, "simulate run.toml", &sets), 0, &["4 simulations"]);
        let output = sets[0].split('=').nth(1).unwrap();
        let same = read(at, output, "maps").iter().zip(&maps).all(|(a, b)| (a - b).abs() <= 1e-10 * a.abs());
        assert!(same, "{output}");
    }
}

const THEORY: &str = r#"
output = "run"
seed = 8
[cosmology]
Omega_b = 0.049
h = 0.67
n_s = 0.96
sigma8 = 0.8
[design]
kind = "prior"
simulations = 120
[design.parameters]
Omega_m = { min = 0.25, max = 0.4 }
m_kappa0 = { min = 0.2, max = 0.4 }
dz_kappa0 = { min = 0.2, max = 0.4 }
dz_counts0 = { min = 0.0, max = 0.2 }
[simulator]
kind = "lognormal-flat"
shift = [0.03, 1.0]
c_ell = { bins = 8 }
[simulator.sky]
field_of_view_deg = 10.0
pixels = 32
[simulator.spectrum.tracers]
sources = [{ gaussian = { mean = 0.5, sigma = 0.1 } }]
lenses = [{ tophat = { z_min = 0.2, z_max = 0.5 } }]
bias = [1.5]
limber_from = 0
"#;

#[test]
fn maps_by_theory_have_the_spectra_of_their_cosmology_and_of_their_survey() {
    use polycosm::config::{campaign::Config, load};
    use polycosm::cosmology::angular::{Nuisance, Tracers, TracersConfig};
    use polycosm::fields::flat_sky::AngularConfig;
    let folder = campaign(THEORY);
    let at = folder.path();
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["120 simulations"]);
    says(&polycosm(1, at, "verify run.toml", &[]), 0, &["c_ell over the input spectra, mean of 120: "]);
    // The same theory, asked without the simulator.
    let config = load::<Config>(&at.join("run.toml"), &[]).unwrap().value;
    let section: toml::Table = toml::from_str(THEORY).unwrap();
    let tracers: TracersConfig = section["simulator"]["spectrum"]["tracers"].clone().try_into().unwrap();
    let (tracers, cosmology) = (Tracers::new(&tracers, "tracers").unwrap(), config.cosmology.unwrap());
    let angular = AngularConfig { bins: 8, ..AngularConfig::default() };
    let (ell, _) = AngularConfig::modes_of(&angular.ell_bins(32, 10.0).unwrap(), 32, 10.0);
    let (theta, c_ell) = (read(at, "run", "theta"), read(at, "run", "c_ell"));
    let mut ratios = [[0.0; 8]; 3];
    for (theta, c) in theta.chunks(4).zip(c_ell.chunks(24)) {
        let universe = cosmology.resolve(&[("Omega_m", theta[0])]).unwrap();
        let linear = cosmology.linear_power(&universe, 0).unwrap();
        let nuisance = Nuisance {
            m: vec![theta[1]],
            source_shift: vec![theta[2]],
            lens_shift: vec![theta[3]],
            ..Nuisance::default()
        };
        let expected = tracers.spectra(&universe, &linear, &nuisance, [36.0, 900.0]).unwrap();
        for (pair, (i, j)) in expected.pairs().into_iter().enumerate() {
            (0..8).for_each(|b| ratios[pair][b] += c[8 * pair + b] / expected.at(i, j, ell[b]) / 120.0);
        }
    }
    // Some forty modes of each universe in the third band; a band is not its mean ℓ.
    for (pair, ratios) in ratios.iter().enumerate() {
        assert!(ratios[2..].iter().all(|r: &f64| (r - 1.0).abs() < 0.08), "{pair}: {ratios:?}");
    }
    for (set, problem) in [
        ("simulator.spectrum.file=spectra.txt", "is given beside the theory"),
        ("design.parameters.m_kappa1.min=0.0", "m_kappa1"),
        ("design.parameters.dz_counts0.max=2.0", "dz_counts0"),
        ("simulator.spectrum.tracers.bias=[1.0,2.0]", "bias"),
        ("simulator.sky.galaxies={n_gal=[1.0,2.0]}", "there are 1 maps of counts"),
        ("simulator.sky.galaxies={n_gal=-1.0}", "must be positive"),
        ("simulator.sky.galaxies={n_gal=1.0,depth=\"none.h5\"}", "simulator.sky.galaxies.depth"),
        ("simulator.spectrum.tracers.alignments={eta=0.0}", "alignments.A_IA"),
        ("design.parameters.A_IA.max=1.0", "A_IA"),
        ("simulator.spectrum.tracers.sources=[{table={path=\"none.txt\"}}]", "none.txt"),
    ] {
        says(&polycosm(1, at, "check run.toml", &[set]), 2, &[problem, "remedy: "]);
    }
    // Without a cosmology there is no theory.
    let without = THEORY.replace("[cosmology]", "[cosmologies]");
    std::fs::write(at.join("without.toml"), without).unwrap();
    says(&polycosm(1, at, "check without.toml", &[]), 2, &["cosmolog"]);
}

/// Counted galaxies are Poisson's about the map's density, the mask and the depth; and shear with its noise is of the
/// sources beside them.
#[test]
fn galaxies_are_counted_beside_sheared_sources() {
    let text = THEORY
        .replace("[simulator.sky]", "[simulator.sky]\nshear = true\nmask = \"mask.h5\"")
        .replace("shift = [0.03, 1.0]", "shift = \"theory\"")
        .replace("bias = [1.5]", "alignments = {}")
        .replace("m_kappa0 = { min = 0.2, max = 0.4 }", "A_IA = { min = -2.0, max = 2.0 }")
        .replace("dz_kappa0 = { min = 0.2, max = 0.4 }", "bias_counts0 = { min = 1.0, max = 3.0 }")
        .replace("dz_counts0 = { min = 0.0, max = 0.2 }", "");
    let folder = campaign(&text);
    let (at, n) = (folder.path(), 32);
    let mask = |i: usize| [1.0, 0.5, 0.0, 1.0][i % 4];
    write_mask(&at.join("mask.h5"), n, mask);
    let depth: Vec<f64> = (0..n * n).map(|i| 0.5 + (i / n) as f64 / n as f64).collect();
    let array = ndarray::Array2::from_shape_vec([n, n], depth.clone()).unwrap();
    let file = hdf5::File::create(at.join("depth.h5")).unwrap();
    file.new_dataset_builder().with_data(&array).create("depth").unwrap();
    drop(file);
    // A pixel has 351.6 square arcminutes: 14 galaxies.
    let galaxies = "simulator.sky.galaxies={n_gal=0.04,depth=\"depth.h5\"}";
    let few = ["design.simulations=40", galaxies];
    says(&polycosm(2, at, "simulate run.toml", &few), 0, &["40 simulations"]);
    let (maps, counts, theta) = (read(at, "run", "maps"), read(at, "run", "galaxies"), read(at, "run", "theta"));
    let mean = 0.04 * (600.0 / n as f64).powi(2);
    let (mut all, mut chi2, mut seen, mut variances) = ([0.0; 2], 0.0, 0.0, [vec![], vec![]]);
    for ((maps, counts), theta) in maps.chunks(2 * n * n).zip(counts.chunks(n * n)).zip(theta.chunks(3)) {
        let map = &maps[n * n..];
        for (i, count) in counts.iter().enumerate() {
            let expected = mean * mask(i) * depth[i] * (1.0 + map[i]);
            if mask(i) == 0.0 {
                assert!(*count == 0.0 && map[i] == 0.0);
                continue;
            }
            assert!(map[i] > -1.0 && count.fract() == 0.0);
            all[0] += count;
            all[1] += expected;
            chi2 += (count - expected).powi(2) / expected.max(1e-3);
            seen += 1.0;
        }
        let variance = map.iter().map(|x| x * x).sum::<f64>();
        variances[(theta[2] > 2.0) as usize].push(variance);
    }
    // Poisson: the total to its root, and every pixel's variance its mean.
    assert!((all[0] - all[1]).abs() < 4.0 * all[1].sqrt(), "{all:?}");
    assert!((chi2 / seen - 1.0).abs() < 0.05, "{}", chi2 / seen);
    // The parameter is the bias: variances grow with its square.
    let [low, high] = variances.map(|v| v.iter().sum::<f64>() / v.len() as f64);
    assert!(high > 1.8 * low, "{low} {high}");
    let (shear, shift) = (read(at, "run", "shear"), read(at, "run", "shift"));
    assert_eq!([shear.len(), shift.len()], [40 * 2 * n * n, 80]);
    assert!(shift.chunks(2).all(|s| (0.001..0.1).contains(&s[0]) && s[1] == 1.0), "{shift:?}");
    // Gaussian maps have less than no galaxies somewhere, and so have those that reach below −1.
    for (set, problem) in [("simulator.shift=[0.03,1.5]", "shift above 1"), ("simulator.shift=\"none\"", "theory")] {
        says(&polycosm(1, at, "check run.toml", &[few[1], set]), 2, &[problem]);
    }
    let gaussian = text.replace("lognormal-flat", "gaussian-flat").replace("shift = \"theory\"\n", "");
    std::fs::write(at.join("gaussian.toml"), gaussian).unwrap();
    says(&polycosm(1, at, "check gaussian.toml", &few), 2, &["simulator.sky.galaxies", "less than no galaxies"]);
}

/// A universe's fields on all ranks together, and on one.
fn same_on_one(comm: &Comm, section: &dyn Section, of: &Universes) {
    let (runner, root) = (section.runner(of).unwrap(), comm.is_root());
    let job = Job { index: 0, realisation: 3, seed: 7, theta: Theta::NONE, folder: None };
    let alone = runner.simulate(&comm.alone(), &job).unwrap().fields;
    let parts = runner.simulate(comm, &job).unwrap().fields;
    assert_eq!(alone.len(), parts.len());
    for (whole, part) in alone.iter().zip(&parts) {
        let (name, gathered) = (&whole.spec.name, part.gathered(comm));
        if root {
            assert!(gathered.rows == whole.spec.shape[0] && gathered.data.len() == whole.data.len(), "{name}");
            let numbers = |data: &Data| -> Vec<f64> {
                match data {
                    Data::F32(all) => all.iter().map(|x| f64::from(*x)).collect(),
                    Data::F64(all) => all.clone(),
                    Data::I64(all) => all.iter().map(|n| *n as f64).collect(),
                }
            };
            let (one, all) = (numbers(&whole.data), numbers(&gathered.data));
            let most = one.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            let apart = one.iter().zip(&all).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
            assert!(most > 0.0 || name == "achieved", "{name} is empty");
            assert!(apart <= 1e-10 * most.max(1e-4), "{name}: {apart} of {most} on {} ranks", comm.size());
        }
    }
}

/// Even and odd numbers of pixels, more ranks than columns of modes or than maps, and all that is seen of maps.
#[test]
fn maps_are_the_same_on_any_number_of_ranks() {
    mpi::on_ranks("maps_are_the_same_on_any_number_of_ranks", &[1, 2, 3, 4], |comm| {
        let prior = Prior::new(vec![]).unwrap();
        let none = Universes { cosmology: None, prior: &prior, ranks: comm.size() };
        for pixels in [2, 4, 15, 16] {
            let seen = if pixels > 4 { "c_ell = { bins = 3 }\npeaks = { bins = 4, periodic = true }" } else { "" };
            let keys = format!(
                "{seen}\nspectrum = {{ ln_A = -9.0, slope = -1.0 }}\n\
                 sky = {{ field_of_view_deg = 5.0, pixels = {pixels}, noise = 0.1, shear = true }}"
            );
            same_on_one(comm, &toml::from_str::<GaussianFlatConfig>(&keys).unwrap(), &none);
            // Everyone hears of a shift that is too small in somebody's rows.
            let keys = format!("shift = 1e-4\n{keys}");
            let lognormal = toml::from_str::<LognormalFlatConfig>(&keys).unwrap().runner(&none).unwrap();
            let job = Job { index: 0, realisation: 3, seed: 7, theta: Theta::NONE, folder: None };
            assert!(lognormal.simulate(comm, &job).is_err_and(|e| e.problem.contains("are too small")));
        }
        let files = mpi::shared_dir();
        if comm.is_root() {
            write_mask(&files.join("mask.h5"), 18, |i| [1.0, 0.5, 0.0, 1.0, 1.0][i % 5]);
            write_spectra(&files.join("spectra.txt"), 0.99999);
        }
        comm.barrier();
        let cosmology = "Omega_m = 0.3\nOmega_b = 0.049\nh = 0.67\nn_s = 0.96\nsigma8 = 0.8";
        let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
        let of = Universes { cosmology: Some(&cosmology), ..none };
        let keys = format!(
            "shift = \"theory\"\nc_ell = {{ bins = 3 }}\npeaks = {{ bins = 4 }}\n\
             spectrum.tracers = {{ sources = [{{ gaussian = {{ mean = 0.5, sigma = 0.1 }} }}, {{ gaussian = {{ mean = 1.0, sigma = 0.1 }} }}], \
             lenses = [{{ tophat = {{ z_min = 0.2, z_max = 0.5 }} }}], limber_from = 0 }}\n\
             [sky]\nfield_of_view_deg = 10.0\npixels = 18\nshear = true\nmask = {:?}\ngalaxies = {{ n_gal = 0.1 }}\n\
             shape_noise = {{ sigma_e = 0.3, n_gal = 10.0 }}",
            files.join("mask.h5")
        );
        same_on_one(comm, &toml::from_str::<LognormalFlatConfig>(&keys).unwrap(), &of);
        // Shifts so far apart that no Gaussian maps have what is asked for: the nearest that do.
        let keys = format!(
            "shift = [0.004, 0.2]\nspectrum.file = {:?}\nsky = {{ field_of_view_deg = 5.0, pixels = 24 }}",
            files.join("spectra.txt")
        );
        let lognormal: LognormalFlatConfig = toml::from_str(&keys).unwrap();
        let job = Job { index: 0, realisation: 3, seed: 7, theta: Theta::NONE, folder: None };
        let made = lognormal.runner(&none).unwrap().simulate(&comm.alone(), &job).unwrap().fields;
        assert!(matches!(&made[1].data, Data::F64(achieved) if achieved[1] > 0.0), "{:?}", made[1].data);
        same_on_one(comm, &lognormal, &none);
    });
}

/// Far from the middle of a wide prior, where one shift for all would be too small.
#[test]
fn shifts_follow_the_cosmology() {
    let text = THEORY
        .replace("shift = [0.03, 1.0]", "shift = \"theory\"")
        .replace("lenses = [{ tophat = { z_min = 0.2, z_max = 0.5 } }]\nbias = [1.5]\n", "")
        .replace("Omega_m = { min = 0.25, max = 0.4 }", "Omega_m = { min = 0.1, max = 0.9 }")
        .replace("dz_counts0 = { min = 0.0, max = 0.2 }", "")
        .replace("sigma8 = 0.8\n", "")
        .replace("[design.parameters]", "[design.parameters]\nsigma8 = { min = 0.4, max = 1.3 }");
    let folder = campaign(&text);
    let at = folder.path();
    says(&polycosm(2, at, "simulate run.toml", &["design.simulations=60"]), 0, &["60 simulations"]);
    let (maps, shift, achieved) = (read(at, "run", "maps"), read(at, "run", "shift"), read(at, "run", "achieved"));
    assert_eq!(shift.len(), 60);
    for (map, shift) in maps.chunks(32 * 32).zip(&shift) {
        assert!(map.iter().all(|x| *x > -shift), "{shift}");
    }
    let [least, most] = [f64::min, f64::max].map(|f| shift.iter().copied().reduce(f).unwrap());
    assert!(least > 0.0 && most > 3.0 * least, "{least} {most}");
    assert!(achieved.chunks(2).all(|a| a[0] < 0.01), "{achieved:?}");
    // A number for all is refused where it is too small.
    let fixed = format!("simulator.shift={}", 0.02 * least);
    let failed = polycosm(2, at, "simulate run.toml", &["output=fixed", "design.simulations=60", &fixed]);
    assert!(failed.1.contains("too small"), "{}", failed.1);
    let power = LOGNORMAL.replace("shift = [0.03, 0.06]", "shift = \"theory\"");
    std::fs::write(at.join("power.toml"), power).unwrap();
    write_spectra(&at.join("spectra.txt"), 0.6);
    says(
        &polycosm(1, at, "check power.toml", &["output=power"]),
        2,
        &["simulator.shift", "no theory of these maps", "remedy: "],
    );
}

/// 3σ of shape noise in both conventions, and what cannot be.
#[test]
fn shape_noise_has_the_variance_of_its_convention() {
    let folder = campaign(LOGNORMAL);
    let at = folder.path();
    write_spectra(&at.join("spectra.txt"), 0.6);
    let arcmin2 = (60.0 * 5.0 / 24.0f64).powi(2);
    for (of, halves) in [("both", 2.0), ("component", 1.0)] {
        let noise = format!("simulator.sky.shape_noise={{sigma_e=0.3,n_gal=[10.0,20.0],of=\"{of}\"}}");
        let (output, few) = (format!("output={of}"), "design.simulations=10");
        says(&polycosm(2, at, "simulate run.toml", &[&noise, &output, few]), 0, &["10 simulations"]);
        says(&polycosm(2, at, "simulate run.toml", &["output=plain", few]), 0, &["10 simulations"]);
        for (field, parts) in [("maps", 1), ("shear", 2)] {
            let (noisy, plain) = (read(at, of, field), read(at, "plain", field));
            for map in 0..2 {
                let size = parts * 24 * 24;
                let of_map = |x: &[f64]| x.chunks(size).skip(map).step_by(2).flatten().copied().collect::<Vec<f64>>();
                let (noisy, plain) = (of_map(&noisy), of_map(&plain));
                let variance = noisy.iter().zip(&plain).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / noisy.len() as f64;
                let expected = 0.09 / (halves * [10.0, 20.0][map] * arcmin2);
                assert!((variance / expected - 1.0).abs() < 0.08, "{of} {field} {map}: {variance} {expected}");
            }
        }
    }
    let refused = |sets: &[&str], parts: &[&str]| says(&polycosm(1, at, "check run.toml", sets), 2, parts);
    refused(&["simulator.shift=0"], &["simulator.shift = 0", "is no shift"]);
    refused(&["simulator.shift=[1.0,1.0,1.0]"], &["simulator.shift = [1.0", "has 3 numbers, and there are 2 maps"]);
    refused(&["simulator.shift=1e-5"], &["simulator.shift = ", "too small", "remedy: "]);
    refused(&["simulator.sky.shape_noise={sigma_e=0,n_gal=1}"], &["shape_noise.sigma_e = 0", "must be positive"]);
    refused(&["simulator.sky.shape_noise={sigma_e=1,n_gal=[1,2,3]}"], &["has 3 numbers"]);
    refused(&["simulator.sky.pixels=256"], &["simulator.spectrum.file = ", "the spectra run from ℓ = 40"]);
    write_spectra(&at.join("bad.txt"), 1.1);
    refused(
        &["simulator.spectrum.file=bad.txt"],
        &["simulator.spectrum.file = ", "near, far", "correlated as nothing can be"],
    );
}

/// A thousand sets of five lognormal maps, of the LSST Y10 bins with shifts by theory: mean spectra of all pairs against
/// what was wanted of them, band by band; the values at one pixel of each map against the lognormal distribution; and their
/// third moment.
#[test]
#[ignore = "make validate"]
fn lognormal_maps_against_their_input() {
    use ndarray::{Array1, Array2};
    use ndarray_linalg::Solve;
    use polycosm::cosmology::CosmologyConfig;
    use polycosm::cosmology::angular::{Nuisance, Tracers, TracersConfig};
    use polycosm::fields::flat_sky::{AngularConfig, FlatSky, Map};
    use polycosm::fields::grid_spectra::{GridSpectra, pairs};
    use polycosm::fields::lognormal::Lognormal;
    use polycosm::mesh::Plane;
    use polycosm::rng::stream;
    use rand_distr::{Distribution, StandardNormal};
    use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

    let (n, side, draws, fields, bands) = (256, 10.0, 1000, 5, 8);
    let config = CosmologyConfig::default();
    let planck = [("Omega_m", 0.3156), ("Omega_b", 0.0492), ("h", 0.6727), ("n_s", 0.9645), ("sigma8", 0.831)];
    let cosmology = config.resolve(&planck).unwrap();
    let linear = config.linear_power(&cosmology, 0).unwrap();
    let tracers: TracersConfig = toml::from_str("sources = [\"lsst-y10\"]").unwrap();
    let tracers = Tracers::new(&tracers, "tracers").unwrap();
    let fundamental = std::f64::consts::TAU / f64::to_radians(side);
    let (ell, radius) = ([fundamental, 200.0 * fundamental], f64::to_radians(side) / n as f64 / 1.772_453_851);
    let theory = tracers.spectra_and_shifts(&cosmology, &linear, &Nuisance::default(), ell, radius);
    let (spectra, shifts) = theory.unwrap();
    let mut plane = Plane::new([n, n]);
    let wanted = GridSpectra::new(fields, n, side, false, |i, j, ell| spectra.at(i, j, ell));
    let lognormal = Lognormal::new(&wanted, &shifts, &mut plane).unwrap();
    let config = AngularConfig {
        min: Some(2.0 * fundamental),
        max: Some(0.25 * n as f64 * fundamental),
        bins: bands,
        ..AngularConfig::default()
    };
    let bins = config.ell_bins(n, side).unwrap();
    let area = (f64::to_radians(side) / n as f64).powi(2);
    let numbers = bands * fields * (fields + 1) / 2;
    let (mut expected, mut modes) = (Array1::<f64>::zeros(numbers), vec![0.0; bands]);
    for ([row, column], count) in wanted.octant() {
        let Some(bin) = bins.of(fundamental * ((row * row + column * column) as f64).sqrt()) else { continue };
        modes[bin] += count as f64;
        let here = wanted.at(row, column).iter().enumerate();
        here.for_each(|(p, x)| expected[bands * p + bin] += count as f64 * x * area);
    }
    expected.iter_mut().enumerate().for_each(|(i, x)| *x /= modes[i % bands]);
    let mut sky = FlatSky::new(n, side).unwrap();
    let mut spectra = Array2::<f64>::zeros([draws, numbers]);
    let (mut values, mut thirds) = (vec![vec![]; fields], vec![vec![]; fields]);
    for draw in 0..draws {
        let white = |i: usize| {
            StandardNormal.sample_iter(stream(3, draw as u64, "white noise", i as u64)).take(n * n).collect()
        };
        let maps = lognormal.draw(&mut plane, white);
        let map = |i: usize| Map { values: &maps[i * n * n..(i + 1) * n * n], mask: None };
        for (pair, (i, j)) in pairs(fields).enumerate() {
            let c = sky.c_ell(&bins, map(i), (i != j).then(|| map(j)), false).unwrap().c_ell;
            c.iter().enumerate().for_each(|(b, c)| spectra[[draw, bands * pair + b]] = *c);
        }
        for (i, map) in maps.chunks(n * n).enumerate() {
            assert!(map.iter().all(|x| *x > -shifts[i]));
            values[i].push(map[0]);
            thirds[i].push(map.iter().map(|x| x.powi(3)).sum::<f64>() / (n * n) as f64);
        }
    }
    let mean = spectra.mean_axis(ndarray::Axis(0)).unwrap();
    let centred = &spectra - &mean;
    let covariance = centred.t().dot(&centred) / (draws as f64 - 1.0) / draws as f64;
    let off = &mean - &expected;
    let (middles, _) = AngularConfig::modes_of(&bins, n, side);
    let mut table = measured::Table::new("lognormal", ["i", "j", "ell", "off", "error"], true);
    println!("# maps, ℓ, (C − C_input)/√(C_ii C_jj), standard errors; achieved: {:?}", lognormal.achieved);
    let all: Vec<(usize, usize)> = pairs(fields).collect();
    let own = |map: usize, band: usize| expected[bands * all.iter().position(|p| *p == (map, map)).unwrap() + band];
    let mut worst: f64 = 0.0;
    for (at, off) in off.iter().enumerate() {
        let ((i, j), band) = (all[at / bands], at % bands);
        let (scale, error) = ((own(i, band) * own(j, band)).sqrt(), covariance[[at, at]].sqrt());
        let (relative, errors) = (off / scale, off / error);
        println!("{i} {j} {:.0} {relative:+.4} {errors:+.2}", middles[band]);
        table.row([i as f64, j as f64, middles[band], relative, error / scale]);
        assert!(errors.abs() < 4.0 || relative.abs() < 0.01, "maps {i} {j} band {band}: {relative} {errors}");
        worst = worst.max(relative.abs());
    }
    let hartlap = (draws as f64 - numbers as f64 - 2.0) / (draws as f64 - 1.0);
    let chi2 = hartlap * off.dot(&covariance.solve(&off).unwrap());
    let p = 1.0 - ChiSquared::new(numbers as f64).unwrap().cdf(chi2);
    println!("largest deviation {worst:.4}; chi² = {chi2:.1} of {numbers} numbers: p = {p:.3}");
    assert!(p > 0.01, "{chi2}");
    let variances = wanted.correlations(&mut plane);
    for (i, values) in values.iter_mut().enumerate() {
        let variance = variances[all.iter().position(|p| *p == (i, i)).unwrap()][0];
        let sigma2 = (1.0 + variance / shifts[i].powi(2)).ln();
        values.sort_by(f64::total_cmp);
        let normal = Normal::new(-0.5 * sigma2, sigma2.sqrt()).unwrap();
        let distance = values.iter().enumerate().map(|(k, x)| {
            let cdf = normal.cdf((1.0 + x / shifts[i]).ln());
            (cdf - k as f64 / draws as f64).abs().max((cdf - (k + 1) as f64 / draws as f64).abs())
        });
        let d = distance.fold(0.0, f64::max) * (draws as f64).sqrt();
        let p = 2.0 * (1..50).map(|k| (-1f64).powi(k - 1) * (-2.0 * (k as f64 * d).powi(2)).exp()).sum::<f64>();
        // ⟨κ³⟩ = λ³ s⁴ (s² + 3), s² = exp σ² − 1.
        let s2 = variance / shifts[i].powi(2);
        let (wanted, count) = (shifts[i].powi(3) * s2 * s2 * (s2 + 3.0), draws as f64);
        let mean = thirds[i].iter().sum::<f64>() / count;
        let error = thirds[i].iter().map(|m| (m - mean).powi(2)).sum::<f64>().sqrt() / count;
        let (ratio, error) = (mean / wanted, error / wanted);
        println!(
            "map {i}: shift {:.5}; Kolmogorov–Smirnov p = {p:.3}; third moment {ratio:.3} ± {error:.3}",
            shifts[i]
        );
        assert!(p > 0.01, "{d}");
        assert!((ratio - 1.0).abs() < 4.0 * error && error < 0.1, "{ratio} {error}");
    }
}
