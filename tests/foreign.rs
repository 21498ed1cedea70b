//! Data made elsewhere: any HDF5 file with `theta` (n, p) and `x` (n, …) trains, infers and calibrates.
#![cfg(feature = "torch")]

mod mpi;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);
const SD: f64 = 0.3;
const COPIES: usize = 4;

/// θ uniform in (−1, 1)²; x: each parameter with noise, four times. The exact posterior is Gaussian of width SD/2.
fn write(path: &Path, n: usize) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut noise = || SD * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
    let x: Vec<f32> = theta
        .chunks(2)
        .flat_map(|t| (0..2 * COPIES).map(|c| t[c % 2]).collect::<Vec<_>>())
        .map(|t| (t + noise()) as f32)
        .collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f32>().shape([n, 2 * COPIES]).create("x").unwrap().write_raw(&x).unwrap();
}

fn polycosm(command: &str, data: &Path, output: &Path, more: &[&str]) -> Command {
    let mut run = mpi::mpirun(2);
    run.current_dir(env!("CARGO_MANIFEST_DIR"));
    run.arg(env!("CARGO_BIN_EXE_polycosm")).args([command, "recipes/foreign.toml"]);
    run.arg("--set").arg(format!("dataset.file={}", data.display()));
    run.arg("--set").arg(format!("output={}", output.display())).args(more);
    run
}

#[test]
fn a_foreign_file_becomes_a_calibrated_posterior() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("mine.h5"), folder.path().join("run"));
    write(&data, 2400);
    let more = ["--set", "train.compressor.epochs=30", "--set", "train.posterior.epochs=20"];
    let run = mpi::finish(polycosm("run", &data, &out, &more), LIMIT);
    assert!(run.success, "{}", run.text);
    assert!(out.join("report/index.html").exists() && out.join("calibration/posterior.json").exists());

    let file = hdf5::File::open(out.join("posterior/posterior.h5")).unwrap();
    let shape = file.dataset("theta").unwrap().shape();
    assert_eq!(shape[1..], [1000, 2]);
    assert!((360..600).contains(&shape[0]), "a fifth of the rows is the test split: {}", shape[0]);
    let theta = file.dataset("theta").unwrap().read_raw::<f64>().unwrap();
    let index = file.dataset("index").unwrap().read_raw::<u64>().unwrap();
    let x = hdf5::File::open(&data).unwrap().dataset("x").unwrap().read_raw::<f32>().unwrap();
    let exact_sd = SD / (COPIES as f64).sqrt();
    let (mut offset, mut width, mut count) = (0f64, 0f64, 0f64);
    for (row, &i) in index.iter().enumerate() {
        for d in 0..2 {
            let seen = (0..COPIES).map(|c| x[i as usize * 2 * COPIES + 2 * c + d] as f64);
            let mean = seen.sum::<f64>() / COPIES as f64;
            if mean.abs() > 0.6 {
                continue; // the prior's edge cuts the exact posterior off
            }
            let draws: Vec<f64> = (0..1000).map(|s| theta[(row * 1000 + s) * 2 + d]).collect();
            let m = draws.iter().sum::<f64>() / 1000.0;
            offset += ((m - mean) / exact_sd).powi(2);
            width += (draws.iter().map(|t| (t - m).powi(2)).sum::<f64>() / 1000.0).sqrt() / exact_sd;
            count += 1.0;
        }
    }
    let (offset, width) = ((offset / count).sqrt(), width / count);
    assert!(offset < 0.4, "posterior means are {offset} exact standard deviations off (rms)");
    assert!((0.85..1.3).contains(&width), "posteriors are {width} times as wide as the exact ones");
}

#[test]
fn a_dataset_that_is_not_there_is_refused_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("mine.h5"), folder.path().join("run"));
    write(&data, 50);
    let run = mpi::finish(polycosm("run", &data, &out, &["--set", "dataset.x=maps"]), LIMIT);
    assert_eq!(run.code, Some(2), "{}", run.text);
    for part in ["dataset.x", "\"maps\"", "mine.h5", "remedy"] {
        assert!(run.text.contains(part), "does not say {part}:\n{}", run.text);
    }
    assert!(!out.exists(), "something was written");
    for (set, words) in [
        ("dataset.theta=parameters", &["dataset.theta = \"parameters\": ", "no such dataset"][..]),
        ("dataset.parameters={ c = { min = 0.0, max = 1.0 } }", &["dataset.parameters = ", "2 columns, but 1 "]),
        ("dataset.parameters.c.min=2.0", &["foreign.toml (--set): dataset.parameters.c = ", "needs max"]),
        ("dataset.axes={ x = [\"channel\"] }", &["dataset.x = \"x\": ", "x: no such dataset"]),
        ("dataset.axes={ y = [\"channel\"] }", &["dataset.axes.y", "no such dataset"]),
    ] {
        let renamed = folder.path().join("renamed.h5");
        std::fs::copy(&data, &renamed).unwrap();
        if words[0].contains("dataset.x") {
            hdf5::File::open_rw(&renamed).unwrap().relink("x", "maps").unwrap();
        }
        let run = mpi::finish(polycosm("check", &renamed, &out, &["--set", set]), LIMIT);
        assert_eq!(run.code, Some(2), "{}", run.text);
        words.iter().for_each(|part| assert!(run.text.contains(part), "does not say {part}:\n{}", run.text));
    }
    let run = mpi::finish(polycosm("run", &folder.path().join("no.h5"), &out, &[]), LIMIT);
    assert!(run.code == Some(2) && run.text.contains("no.h5"), "{}", run.text);
}
