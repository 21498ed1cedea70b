//! Maps of a flat sky: their statistics, the same ones on any number of ranks, and the posteriors of Gaussian ones, which
//! are known in closed form.

mod common;
mod mpi;

use common::says;
use polycosm::io::samples::Samples;
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
    says(&polycosm(3, at, "simulate run.toml", &other), 0, &["with suite.ranks_per_sim = 3 the others idle"]);
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
fn masked_maps_have_exact_posteriors_too() {
    let folder = campaign(CAMPAIGN);
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
    let four = "design.parameters.none={min=0,max=1}";
    refused("infer run.toml --exact", &[four], &["design.parameters.none"]);
    let sim = "[simulator]\nkind = \"pm\"\nbox_size = 64.0\nparticles = 8\n";
    let pm = CAMPAIGN.split("[design.parameters").next().unwrap().to_string();
    let cosmology = "[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.97\nsigma8 = 0.8\n";
    let varies = "[design.parameters.Omega_m]\nmin = 0.2\nmax = 0.4\n";
    std::fs::write(at.join("pm.toml"), [&pm, varies, cosmology, sim].concat()).unwrap();
    refused("infer pm.toml --exact", &[], &["--exact", "the likelihood of pm is not known in closed form"]);
}
