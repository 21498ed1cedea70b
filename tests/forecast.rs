//! Covariance and Fisher matrix of a fiducial set against what a Gaussian field says of them.
//!
//! The universes are particle-mesh ones of the program itself, at z = 19, where modes are small and independent: a band
//! power of N modes (in the full space) has the variance 2 P²/N and no covariance with others, and its derivatives are
//! those of linear theory. Nothing of the forecast knows that.

mod mpi;

use polycosm::config::{campaign::Config, load};
use polycosm::forecast;
use polycosm::io::dataset::Dataset;
use polycosm::io::hdf::File;
use polycosm::simulators::Universes;
use std::path::Path;
use std::time::Duration;

const CAMPAIGN: &str = r#"
output = "o"
seed = 1
[cosmology]
Omega_b = 0.0486
h = 0.6774
n_s = 0.9667
[design]
kind = "fiducial"
simulations = 580
pairs = 20
fiducial = { Omega_m = 0.31, sigma8 = 0.81 }
steps = { Omega_m = 0.01, sigma8 = 0.01 }
parameters.Omega_m = { min = 0.1, max = 0.5, latex = '\Omega_m' }
parameters.sigma8 = { min = 0.6, max = 1.0, latex = '\sigma_8' }
[simulator]
kind = "pm"
box_size = 1000.0
particles = 16
precision = "f64"
power = { k_max_over_nyquist = 0.5 }
time = { a_start = 0.048, a_end = 0.05, steps = 1 }
maps = { pixels = 8, slabs = 1 }
[suite]
shard_size = 145
"#;

fn go(folder: &Path, ranks: usize, words: &[&str], code: i32) -> String {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args([words[0], "run.toml"]).args(&words[1..]);
    let ended = mpi::finish(run, Duration::from_secs(300));
    assert_eq!(ended.code, Some(code), "{}", ended.text);
    ended.text
}

#[test]
fn linear_universes_are_as_gaussian_fields_say() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("run.toml"), CAMPAIGN).unwrap();
    go(at, 2, &["simulate"], 0);
    let text = go(at, 2, &["forecast"], 0);
    assert!(text.contains("power: ") && text.contains("500 universes, 20 pairs") && !text.contains("maps"), "{text}");
    let made = forecast::read(&at.join("o/forecast.h5")).unwrap();
    let names: Vec<&str> = made.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!((names, made.statistics.len()), (vec!["Omega_m", "sigma8"], 1));
    let (power, n) = (&made.statistics[0], 500.0);
    let d = power.numbers;
    let data = Dataset::open(at.join("o/dataset.h5"), "theta").unwrap();
    let modes: Vec<f64> =
        File::open(&data.path).unwrap().read::<u64>("axes/power/k_modes").unwrap().iter().map(|&n| n as f64).collect();
    assert!(d >= 3 && modes.len() == d && power.used.iter().all(|&u| u == 1), "{modes:?}");

    let wanted: Vec<f64> = power.mean.iter().zip(&modes).map(|(p, n)| 2.0 * p * p / n).collect();
    let mut worst: f64 = 0.0;
    for a in 0..d {
        for b in 0..d {
            let found = power.covariance[a * d + b];
            // The mean of N squares of Gaussian numbers has the excess kurtosis 12/N.
            let (expected, error) = match a == b {
                true => (wanted[a], wanted[a] * ((2.0 + 12.0 / modes[a]) / n).sqrt()),
                false => (0.0, (wanted[a] * wanted[b] / n).sqrt()),
            };
            worst = worst.max((found - expected).abs() / error);
        }
    }
    println!("covariance of {d} band powers: at most {worst:.2} standard errors from that of a Gaussian field");
    assert!(worst < 3.0, "{worst}");

    // F_ij = Σ N/2 ∂_i ln P ∂_j ln P, with linear theory's derivatives at the bins.
    let config = load::<Config>(&at.join("run.toml"), &[]).unwrap().value;
    let prior = config.design.as_ref().unwrap().parameters.prior().unwrap();
    let universes = Universes { cosmology: config.cosmology.as_ref(), prior: &prior, ranks: 1 };
    let spec = data.spec("power").unwrap();
    let theory = |theta: [f64; 2]| -> Vec<f64> {
        let simulator = config.simulator.as_ref().unwrap();
        simulator.theory(&universes, &spec, prior.theta(&theta), 0).unwrap().unwrap().values
    };
    let slope = |up: [f64; 2], down: [f64; 2]| -> Vec<f64> {
        theory(up).iter().zip(theory(down)).map(|(u, l)| (u / l).ln() / 0.02).collect()
    };
    let slopes = [slope([0.32, 0.81], [0.30, 0.81]), slope([0.31, 0.82], [0.31, 0.80])];
    let all: f64 = modes.iter().sum();
    let fisher = power.fisher.as_ref().unwrap();
    // The derivatives scatter as the band powers of 20 realisations do, the covariance as those of 500.
    let error = (8.0 / (all * 20.0) + 2.0 / n).sqrt();
    let mut worst: f64 = 0.0;
    for i in 0..2 {
        for j in 0..2 {
            let expected: f64 = (0..d).map(|a| modes[a] / 2.0 * slopes[i][a] * slopes[j][a]).sum();
            worst = worst.max((fisher.matrix[i * 2 + j] / expected - 1.0).abs() / error);
        }
    }
    println!("Fisher matrix: at most {worst:.2} standard errors ({error:.3}) from that of a Gaussian field");
    assert!(worst < 3.0, "{worst}: {:?}", fisher.matrix);
    assert!(fisher.noise.iter().all(|x| *x < 0.1), "{:?}", fisher.noise);

    // The page shows it, and says so where the universes are others.
    go(at, 1, &["report"], 0);
    let page = std::fs::read_to_string(at.join("o/report/index.html")).unwrap();
    assert!(page.contains("Forecast of a Gaussian likelihood") && page.contains("Hartlap"));
    for figure in ["forecast", "correlation_power"] {
        assert!(at.join(format!("o/report/{figure}.png")).exists(), "{figure}");
    }
    go(at, 2, &["simulate", "--set", "design.simulations=582"], 0);
    let text = go(at, 1, &["report", "--set", "design.simulations=582"], 0);
    assert!(text.contains("left out: the forecast: "), "{text}");
    let text = go(at, 1, &["status", "--set", "design.simulations=582"], 0);
    assert!(text.contains("forecast.h5: outdated"), "{text}");
    // Where there is no fiducial point there is nothing to forecast.
    let other = CAMPAIGN.split("kind = \"fiducial\"").collect::<Vec<_>>();
    let rest = other[1].split("parameters.Omega_m").nth(1).unwrap();
    let sobol = format!("{}simulations = 2\nparameters.Omega_m{rest}", other[0]).replace("\"o\"", "\"s\"");
    std::fs::write(at.join("run.toml"), sobol).unwrap();
    go(at, 1, &["simulate"], 0);
    let text = go(at, 1, &["forecast"], 2);
    assert!(text.contains("fiducial") && text.contains("remedy: "), "{text}");
    assert!(!at.join("s/forecast.h5").exists());
}
