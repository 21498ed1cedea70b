//! Runs the body of a test on several ranks: the test starts `mpirun` on its own executable and names itself.
//!
//! ```ignore
//! mod mpi;
//! #[test]
//! fn sums() {
//!     mpi::on_ranks("sums", &[1, 2, 3, 4], |world| assert_eq!(world.sum_of(1), world.size()));
//! }
//! ```
//! The body is called by every rank of every child, so files it writes belong in [`shared_dir`].

#![allow(dead_code, reason = "each test binary uses its part")]

mod locks;

use polycosm::comm::{self, Comm};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the children to the name of the test they run.
const CHILD: &str = "POLYCOSM_MPI_TEST";
/// The children's folder for files, fresh for every `mpirun`.
const DIR: &str = "POLYCOSM_MPI_TEST_DIR";
/// A run that takes longer hangs; the long checks of `make validate` have more time.
fn limit() -> Duration {
    let validating = std::env::args().any(|a| a == "--ignored" || a == "--include-ignored");
    Duration::from_secs(if validating { 1800 } else { 420 })
}

/// Runs `body` on each of these numbers of ranks in turn. `name` is the calling test's full name within its binary.
pub fn on_ranks(name: &str, sizes: &[usize], body: fn(&Comm)) {
    if let Ok(child) = std::env::var(CHILD) {
        assert_eq!(child, name, "a child runs one test");
        comm::abort_on_panic();
        let world = Comm::world();
        body(&world);
        std::fs::write(folder("ran").join(world.rank().to_string()), "").expect("a note that this rank ran");
        world.barrier();
        drop(world);
        comm::finalize();
        return;
    }
    for &n in sizes {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["ran", "files"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder in it");
        }
        let mut run = mpirun(n);
        run.arg(std::env::current_exe().expect("this test's path"));
        run.args(["--exact", name, "--include-ignored", "--test-threads=1", "--nocapture"]);
        run.env(CHILD, name).env(DIR, dir.path());
        let output = finish(run, limit());
        // A misspelt name would run no test at all and succeed.
        let ran = std::fs::read_dir(dir.path().join("ran")).expect("that folder").count();
        assert!(output.success && ran == n, "{name} failed on {n} ranks:\n{}", output.text);
        print!("{}", output.text);
    }
}

/// A folder that all ranks of this child see, removed afterwards.
pub fn shared_dir() -> PathBuf {
    folder("files")
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(DIR).expect("inside on_ranks")).join(name)
}

/// `mpirun` for `n` ranks on this machine; add the program and its arguments.
pub fn mpirun(n: usize) -> Command {
    let mut run = Command::new("mpirun");
    // As this process was started: a test that began MPI by itself has left variables that confuse `mpirun`.
    if let Ok(start) = std::fs::read("/proc/self/environ") {
        let text = String::from_utf8_lossy(&start).into_owned();
        run.env_clear().envs(text.split('\0').filter_map(|pair| pair.split_once('=')));
    }
    run.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    run.args(["--oversubscribe", "-n", &n.to_string()]);
    run.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
    run
}

/// What became of a command: both of its streams, in one text.
pub struct Output {
    pub success: bool,
    pub code: Option<i32>,
    pub text: String,
}

/// Runs a command to its end; past `limit` its whole process group is killed.
pub fn finish(mut command: Command, limit: Duration) -> Output {
    // Files, not pipes: a grandchild that outlives the command must not keep us reading.
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let append = || std::fs::OpenOptions::new().append(true).open(log.path());
    let file = || Stdio::from(append().expect("the log file"));
    command.stdin(Stdio::null()).stdout(file()).stderr(file()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("our own child") {
            Some(status) => break status,
            None if start.elapsed() > limit => {
                kill(&mut child);
                let text = std::fs::read_to_string(log.path()).unwrap_or_default();
                return Output { success: false, code: None, text: format!("{text}\n[killed after {limit:?}]") };
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let text = String::from_utf8_lossy(&std::fs::read(log.path()).unwrap_or_default()).into_owned();
    Output { success: status.success(), code: status.code(), text }
}

/// Arguments of somebody's own program, one a line, in the process that is to be it.
const ARGUMENTS: &str = "POLYCOSM_TEST_ARGUMENTS";

/// What the test `program` of a binary hands on, as the `main` of somebody's own program does; in a test's own process nothing.
pub fn arguments() -> Option<Vec<std::ffi::OsString>> {
    std::env::var(ARGUMENTS).ok().map(|all| all.lines().map(Into::into).collect())
}

/// Runs that program in a folder.
pub fn own_program(ranks: usize, folder: &Path, words: &[&str]) -> Output {
    finish(own_command(ranks, folder, words), Duration::from_secs(120))
}

/// The command that runs it.
pub fn own_command(ranks: usize, folder: &Path, words: &[&str]) -> Command {
    let mut run = mpirun(ranks);
    run.current_dir(folder).arg(std::env::current_exe().expect("this test's path"));
    run.args(["--exact", "program", "--test-threads=1", "--nocapture"]);
    run.env(ARGUMENTS, [&["polycosm"], words].concat().join("\n"));
    run
}

/// Runs a command that must succeed: all it said.
#[track_caller]
pub fn succeed(command: Command) -> String {
    let shown = format!("{command:?}");
    let output = finish(command, limit());
    assert!(output.success, "{shown}: exit code {:?}\n{}", output.code, output.text);
    output.text
}

/// Ends a child started with [`finish`]'s process group: first politely, so that `mpirun` ends its ranks, which are in
/// groups of their own; then for good.
pub fn kill(child: &mut Child) {
    for signal in ["TERM", "KILL"] {
        send(signal, &format!("-{}", child.id()));
        for _ in 0..30 {
            if matches!(child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let _ = child.wait();
}

/// Starts a command and kills it, with all its ranks, as soon as `ready` says so.
pub fn kill_when(mut command: Command, ready: impl Fn() -> bool) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < limit(), "never came to the point where it was to be killed");
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The ranks first, as a node failure would take them: SIGKILL to every process that descends from mpirun.
    for rank in children(child.id()) {
        send("KILL", &rank.to_string());
    }
    send("KILL", &child.id().to_string());
    let _ = child.wait();
}

/// Sends a signal to a process, or with `-PID` to a process group. The shell's own `kill`: not every machine has
/// another.
pub fn send(signal: &str, to: &str) {
    let _ = Command::new("sh").arg("-c").arg(format!("kill -s {signal} -- {to}")).stderr(Stdio::null()).status();
}

/// Processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: String| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
    processes
        .filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|p| std::fs::read_to_string(format!("/proc/{p}/stat")).ok().and_then(parent) == Some(pid))
        .collect()
}
