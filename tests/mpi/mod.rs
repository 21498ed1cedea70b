//! Runs a test's body on several ranks: the test executable starts itself again under `mpirun`.
//!
//! A test reads `mpi::on_ranks("name_of_the_test", &[1, 2, 3, 4], |comm| { … })`. The body's panics fail the test; a job
//! that hangs is ended with all its processes. The parent itself never starts MPI: its children would inherit the state.

use polycosm::comm::{Comm, abort_on_panic, finalize};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "POLYCOSM_TEST_RANKS";
/// Printed by each rank that ran the body to its end: a misspelt test name runs nothing, successfully.
const DONE: &str = "body done on rank";
const LIMIT: Duration = Duration::from_secs(240);

/// Runs `body` on each number of ranks in turn (more ranks than cores are fine).
#[allow(dead_code)] // each test executable uses what it needs
pub fn on_ranks(test: &str, ranks: &[usize], body: impl Fn(&Comm)) {
    if std::env::var_os(CHILD).is_some() {
        abort_on_panic();
        let world = Comm::world();
        body(&world);
        world.barrier();
        println!("{DONE} {}", world.rank());
        drop(world);
        finalize();
        // The harness would print a summary per rank; the parent reads the exit code.
        std::process::exit(0);
    }
    for &n in ranks {
        let exe = std::env::current_exe().expect("a test executable has a path");
        let mut command = mpirun(n);
        command.arg(exe).args(["--exact", test, "--test-threads=1", "--nocapture"]).env(CHILD, n.to_string());
        let (code, output) = run(command, LIMIT);
        assert_eq!(code, Some(0), "{test} failed on {n} ranks:\n{output}");
        assert_eq!(output.matches(DONE).count(), n, "{test} did not run on {n} ranks:\n{output}");
    }
}

/// `mpirun` for `n` ranks on this machine, however few cores it has, as root too.
pub fn mpirun(n: usize) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &n.to_string()]);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMP_NUM_THREADS", "1").env("OMPI_MCA_mpi_yield_when_idle", "1");
    command
}

/// Runs a command to its end or to the limit, past which its whole process group is killed (exit code `None`). Returns
/// the exit code and stdout and stderr together.
pub fn run(mut command: Command, limit: Duration) -> (Option<i32>, String) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let out = |f: &std::fs::File| Stdio::from(f.try_clone().expect("a second handle"));
    command.stdin(Stdio::null()).stdout(out(log.as_file())).stderr(out(log.as_file())).process_group(0);
    let mut child = command.spawn().expect("mpirun is installed");
    let start = Instant::now();
    let code = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status.code(),
            None if start.elapsed() > limit => {
                let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    (code, std::fs::read_to_string(log.path()).unwrap_or_default())
}
