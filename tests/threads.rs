//! How threads wait for each other, by the environment that the program has begun with.
#![cfg(feature = "torch")]

mod mpi;

use std::time::Duration;

/// What `polycosm doctor` says of its threads on so many ranks, with these variables set.
fn threads(ranks: usize, threads: &str, variables: &[(&str, &str)]) -> String {
    let mut run = mpi::mpirun(ranks);
    run.envs(variables.iter().copied()).arg(env!("CARGO_BIN_EXE_polycosm")).args(["doctor", "--threads", threads]);
    let ended = mpi::finish(run, Duration::from_secs(120));
    assert!(ended.text.contains(&format!("{ranks} rank(s)")), "{}", ended.text);
    assert!(ended.text.contains(&format!("{threads} thread(s) each")), "{}", ended.text);
    let line = ended.text.lines().find(|line| line.split_whitespace().nth(1) == Some("threads"));
    line.unwrap_or_else(|| panic!("nothing of threads:\n{}", ended.text)).to_string()
}

#[test]
fn threads_sleep_while_they_wait_unless_told_otherwise() {
    for ranks in [1, 2] {
        let line = threads(ranks, "2", &[]);
        assert!(
            line.starts_with("ok") && line.contains("2, which sleep while they wait (OMP_WAIT_POLICY=passive)"),
            "{line}"
        );
    }
    let line = threads(1, "1", &[]);
    assert!(line.starts_with("ok") && line.contains("one, which waits for none"), "{line}");
    let line = threads(2, "2", &[("OMP_WAIT_POLICY", "active")]);
    assert!(line.starts_with("none") && line.contains("spin while they wait (OMP_WAIT_POLICY=active)"), "{line}");
    let line = threads(1, "2", &[("GOMP_SPINCOUNT", "100")]);
    assert!(line.starts_with("ok") && line.ends_with("sleep while they wait (GOMP_SPINCOUNT=100)"), "{line}");
}
