//! A training that is killed twenty times, at any moment, ends with the weights of one that nobody disturbed.
#![cfg(feature = "torch")]

mod mpi;

use hdf5::File;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

const ROWS: usize = 400;

/// Sixteen hundred steps in the first stage; two members and a linear model in the second.
const CAMPAIGN: &str = r#"
output = "o"
seed = 4
[dataset]
file = "d.h5"
parameters.a = { min = 0.0, max = 1.0 }
parameters.b = { min = 0.0, max = 1.0 }
[[train]]
name = "compressor"
input = "x"
epochs = 400
batch_size = 100
network = { kind = "vmim", transform = "none", mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
steps = { schedule = "cosine", ema = 0.9 }
[[train]]
name = "posterior"
input = "compressor"
epochs = 80
batch_size = 100
patience = 0
network = { kind = "npe", ensemble = 2, flow = { layers = 1, hidden = 8, bins = 4 } }
"#;

fn put(folder: &Path) {
    std::fs::write(folder.join("run.toml"), CAMPAIGN).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let theta: Vec<f64> = (0..2 * ROWS).map(|_| rng.random()).collect();
    let x: Vec<f32> = theta.iter().flat_map(|t| [0.1, 0.2].map(|s| (t + s * rng.random::<f64>()) as f32)).collect();
    let file = File::create(folder.join("d.h5")).unwrap();
    let split: Vec<u8> = (0..ROWS).map(|i| (i % 5 == 0) as u8).collect();
    file.new_dataset_builder().with_data(&split).create("split").unwrap();
    for (name, values) in [("theta", theta), ("x", x.iter().map(|&x| x as f64).collect())] {
        let values = ndarray::Array2::from_shape_vec((ROWS, values.len() / ROWS), values).unwrap();
        file.new_dataset_builder().with_data(&values).create(name).unwrap();
    }
}

fn train(folder: &Path, stage: &str, more: &str) -> Command {
    let mut run = mpi::mpirun(2);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(["train", "run.toml", stage]);
    if !more.is_empty() {
        run.args(["--set", &format!("train.{stage}.{more}")]);
    }
    run
}

/// All of a folder's files whose names end so, below it.
fn files(folder: &Path, end: &str) -> Vec<(std::path::PathBuf, SystemTime)> {
    let mut all = vec![];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend(files(&path, end)),
            false if path.to_string_lossy().ends_with(end) => {
                all.extend(entry.metadata().and_then(|m| m.modified()).map(|time| (path, time)));
            }
            false => {}
        }
    }
    all.sort();
    all
}

#[test]
fn a_training_that_is_killed_twenty_times_ends_with_the_same_weights() {
    let [undisturbed, killed] = [(); 2].map(|_| tempfile::tempdir().unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for folder in [&undisturbed, &killed] {
        put(folder.path());
    }
    for (stage, kills) in [("compressor", 20), ("posterior", 4)] {
        mpi::succeed(train(undisturbed.path(), stage, ""));
        let at = killed.path().join("o");
        for kill in 0..kills {
            let (start, before) = (Instant::now(), files(&at, ".safetensors"));
            // Half of them anywhere, where little has been done; half some time after a checkpoint.
            let wait = Duration::from_millis(rng.random_range(0..400));
            let progress = std::cell::Cell::new(None);
            mpi::kill_when(train(killed.path(), stage, "checkpoint_minutes=1e-9"), || {
                if kill % 2 == 0 {
                    return start.elapsed() > wait;
                }
                if progress.get().is_none() && files(&at, ".safetensors") != before {
                    progress.set(Some(Instant::now()));
                }
                progress.get().is_some_and(|since: Instant| since.elapsed() > wait)
            });
        }
        let text = mpi::succeed(train(killed.path(), stage, ""));
        assert!(text.contains("going on from"), "it began anew:\n{text}");
    }
    let [expected, found] = [&undisturbed, &killed].map(|folder| files(folder.path(), "weights.safetensors"));
    assert!(expected.len() == 2 && expected.len() == found.len(), "{expected:?} {found:?}");
    for ((a, _), (b, _)) in expected.iter().zip(&found) {
        assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{} differs", b.display());
    }
}
