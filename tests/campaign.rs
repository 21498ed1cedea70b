//! The program as a user runs it: every stage on two ranks, killed and run again, and without libtorch's stages.
#![cfg(feature = "torch")]

mod common;
mod mpi;

use common::repository;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// `mpirun -n RANKS polycosm COMMAND recipes/smoke.toml --set output=DIR`.
fn polycosm(ranks: usize, command: &str, output: &Path, more: &[&str]) -> Command {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(repository(""));
    run.arg(env!("CARGO_BIN_EXE_polycosm")).arg(command).arg("recipes/smoke.toml");
    run.arg("--set").arg(format!("output={}", output.display())).args(more);
    // Long enough to be killed in the middle.
    run.args(["--set", "train.compressor.epochs=100"]);
    run
}

/// Every dataset of an HDF5 file, as bytes, by path.
fn datasets(path: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(group: &hdf5::Group, all: &mut BTreeMap<String, Vec<u8>>) {
        for d in group.datasets().unwrap() {
            let size = d.dtype().unwrap().size();
            let bytes: Vec<u8> = match (size, d.dtype().unwrap().to_descriptor().unwrap()) {
                (4, hdf5::types::TypeDescriptor::Float(_)) => {
                    d.read_raw::<f32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
                }
                (8, hdf5::types::TypeDescriptor::Float(_)) => {
                    d.read_raw::<f64>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
                }
                _ => d.read_raw::<u64>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
            };
            all.insert(d.name(), bytes);
        }
        // How each was made differs between runs.
        let same = |g: &&hdf5::Group| g.name() != "/provenance";
        group.groups().unwrap().iter().filter(same).for_each(|g| walk(g, all));
    }
    let mut all = BTreeMap::new();
    walk(&hdf5::File::open(path).unwrap(), &mut all);
    all
}

fn count(folder: &Path, suffix: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|e| e.file_name().to_string_lossy().ends_with(suffix)).count()
}

#[test]
fn smoke_recipe_runs_every_stage_and_survives_kills() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let calm_out = calm.path().join("run");
    let start = Instant::now();
    let text = mpi::succeed(polycosm(2, "run", &calm_out, &[]));
    let seconds = start.elapsed().as_secs_f64();
    assert!(
        ["PASS: ", "FAIL: ", "INCONCLUSIVE: "].iter().any(|word| text.contains(word)),
        "no verdict was printed:\n{text}"
    );
    println!("smoke recipe: {seconds:.1} s");
    for file in
        ["dataset.h5", "campaign.toml", "report/index.html", "posterior/posterior.h5", "calibration/posterior.json"]
    {
        assert!(calm_out.join(file).exists(), "{file} was not written:\n{text}");
    }
    let page = std::fs::read_to_string(calm_out.join("report/index.html")).unwrap();
    assert!(page.contains("data:image/png;base64,"), "the page has no figure in it");
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page is not self-contained");

    // Run again: nothing is left to do, nothing changes.
    let modified = |file: &str| std::fs::metadata(calm_out.join(file)).unwrap().modified().unwrap();
    let before = ["dataset.h5", "posterior/posterior.h5"].map(modified);
    mpi::succeed(polycosm(2, "run", &calm_out, &[]));
    assert_eq!(before, ["dataset.h5", "posterior/posterior.h5"].map(modified), "a finished stage was run again");

    // Another run is killed while it simulates, and again while it trains.
    let out = rough.path().join("run");
    mpi::kill_when(polycosm(2, "run", &out, &[]), || {
        count(&out.join("sims"), ".h5") >= 5 || count(&out.join("shards"), ".h5") >= 1
    });
    let stage = out.join("train/compressor");
    mpi::kill_when(polycosm(2, "run", &out, &[]), || stage.join("checkpoint.safetensors").exists());
    assert!(!stage.join("model.json").exists(), "killed too late: the stage was finished");
    mpi::succeed(polycosm(2, "run", &out, &[]));
    assert_eq!(datasets(&calm_out.join("dataset.h5")), datasets(&out.join("dataset.h5")), "the datasets differ");
    for stage in ["compressor", "posterior"] {
        let weights = |out: &Path| std::fs::read(out.join("train").join(stage).join("weights.safetensors")).unwrap();
        assert!(
            weights(&calm_out) == weights(&out),
            "stage {stage}: training did not go on as if nothing had happened"
        );
    }
    assert_eq!(datasets(&calm_out.join("posterior/posterior.h5")), datasets(&out.join("posterior/posterior.h5")));

    // A posterior spoilt on purpose is judged worse by the same command.
    let text = mpi::succeed(polycosm(1, "calibrate", &out, &["--scale-sd", "0.1"]));
    assert!(text.contains("FAIL: overconfident"), "{text}");
}
