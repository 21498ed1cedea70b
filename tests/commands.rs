//! What commands say of a campaign that went wrong, and the code they end with.

mod mpi;

use std::path::Path;
use std::time::Duration;

/// `polycosm COMMAND recipes/smoke.toml` with four small simulations below `output`, on two ranks: exit code and all it
/// said.
fn polycosm(command: &str, output: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(2);
    run.current_dir(env!("CARGO_MANIFEST_DIR"));
    run.arg(env!("CARGO_BIN_EXE_polycosm")).args([command, "recipes/smoke.toml"]);
    run.args(["--set", &format!("output={}", output.display())]);
    run.args(["--set", "design.simulations=4", "--set", "suite.shard_size=2"]).args(more);
    let ended = mpi::finish(run, Duration::from_secs(120));
    (ended.code, ended.text)
}

#[track_caller]
fn says(ended: (Option<i32>, String), code: i32, parts: &[&str]) {
    assert_eq!(ended.0, Some(code), "{}", ended.1);
    for part in parts {
        assert!(ended.1.contains(part), "does not say {part:?}:\n{}", ended.1);
    }
}

#[test]
fn failures_and_losses_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = &dir.path().join("run");
    // No rank may hold more than its share of the particles: every universe fails.
    let failing = ["--set", "simulator.max_imbalance=1.0"];
    for _ in 0..2 {
        let ended = polycosm("simulate", out, &failing);
        assert!(!ended.1.contains("mean of one simulation: "), "{}", ended.1);
        says(ended, 1, &["4 simulations ran, and every one failed", "remedy: ", "--retry-failed"]);
    }
    says(polycosm("status", out, &[]), 0, &["0 of 4 done, 4 failed", "complete, and every simulation in it failed"]);
    says(polycosm("verify", out, &[]), 1, &["4 simulations, 4 failed, the first because: ", "holds no universe"]);
    let ended = polycosm("simulate", out, &["--retry-failed", "--verbose"]);
    says(ended, 0, &["4 simulations on 1 group of 2 ranks", "mean of one simulation: "]);
    says(polycosm("simulate", out, &[]), 0, &["nothing to do: 4 simulations were run before"]);
    says(polycosm("verify", out, &[]), 0, &["4 simulations, 0 failed\n", "every checksum holds"]);

    let to = dir.path().join("exported");
    let export = || polycosm("export", out, &["--to", to.to_str().unwrap()]);
    std::fs::write(&to, "a file").unwrap();
    says(export(), 2, &["--to = ", "exported", "remedy: choose a folder"]);
    std::fs::remove_file(&to).unwrap();
    std::fs::remove_file(out.join("shards/00001.h5")).unwrap();
    says(export(), 1, &["shards/00001.h5: ", "no such file", "remedy: run `polycosm simulate`"]);
    assert!(!to.join("dataset.h5").exists(), "universes without numbers were exported");
    says(polycosm("status", out, &[]), 0, &["2 of 4 done", "1 of 2 shards", "dataset      not complete"]);
    std::fs::write(out.join("shards/00001.h5"), "half").unwrap();
    says(
        polycosm("status", out, &[]),
        0,
        &["2 of 4 done", "damaged      ", "shards/00001.h5: ", "remedy: remove this"],
    );
    std::fs::remove_file(out.join("shards/00001.h5")).unwrap();
    says(polycosm("simulate", out, &[]), 0, &["2 simulations"]);
    says(export(), 0, &["dataset.h5"]);
}

#[test]
fn the_plan_counts_what_is_written() {
    let mut run = mpi::mpirun(1);
    run.current_dir(env!("CARGO_MANIFEST_DIR"));
    run.arg(env!("CARGO_BIN_EXE_polycosm")).args(["plan", "recipes/observables.toml", "-n", "4"]);
    let ended = mpi::finish(run, Duration::from_secs(120));
    // Two redshifts of 64³ particles of 32 bytes; lists are not known before.
    let parts = ["snapshots, 16.777 MB", "varies: friends-of-friends", "lists, whose length varies"];
    says((ended.code, ended.text), 0, &parts);
}

/// `polycosm COMMAND recipes/RECIPE.toml` with its output below a folder, and some values replaced.
fn recipe(command: &str, recipe: &str, folder: &Path, sets: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(1);
    run.current_dir(env!("CARGO_MANIFEST_DIR")).arg(env!("CARGO_BIN_EXE_polycosm"));
    run.args([
        command,
        &format!("recipes/{recipe}.toml"),
        "--set",
        &format!("output={}", folder.join(recipe).display()),
    ]);
    run.args(sets.iter().flat_map(|set| ["--set", set]));
    let ended = mpi::finish(run, Duration::from_secs(120));
    (ended.code, ended.text)
}

#[test]
fn recipes_are_campaigns_that_run() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path();
    // The foreign one waits for a file of its reader's.
    for one in polycosm::cli::new::RECIPES.iter().filter(|one| one.name != "foreign") {
        says(recipe("check", one.name, to, &[]), 0, &["simulates    ", "\nok\n"]);
    }
    // As they are, but smaller.
    let small = ["simulator.time.steps=2", "design.simulations=12", "suite.shard_size=6"];
    says(recipe("simulate", "covariance", to, &small), 0, &["12 simulations"]);
    let few = "12 universes do not give the inverse of a covariance";
    says(recipe("forecast", "covariance", to, &small), 0, &["power: ", "pdf: ", few]);
    let pairs = ["design.simulations=20", "design.pairs=2", "simulator.power.k_max_over_nyquist=0.2"];
    let pairs = [&small[..], &pairs].concat();
    says(recipe("simulate", "forecast", to, &pairs), 0, &["20 simulations"]);
    let told = ["power: 2 numbers, 12 universes, 2 pairs", "Omega_m = 0.3089 ± ", "bispectrum: "];
    says(recipe("forecast", "forecast", to, &pairs), 0, &told);
    for (name, more) in [("lensing", "simulator.particles=16"), ("galaxies", "simulator.particles=32")] {
        let mut sets = [&small[..], &[more]].concat();
        if cfg!(feature = "torch") {
            let epochs = ["train.posterior.epochs=1", "infer.draws=20"];
            sets.extend(epochs);
            sets.push(if name == "lensing" { "train.compressor.epochs=1" } else { "train.posterior_halos.epochs=1" });
            sets.extend((name == "lensing").then_some("train.posterior_cl.epochs=1"));
            says(recipe("run", name, to, &sets), 0, &["report: "]);
        } else {
            says(recipe("simulate", name, to, &sets), 0, &["12 simulations"]);
        }
    }
}
