//! How many threads a rank uses, libtorch, OpenBLAS and OpenMP alike: cores ÷ ranks on this node unless told otherwise.

use std::num::{NonZeroU16, NonZeroUsize};
use std::os::unix::process::CommandExt;

/// What tells OpenMP how threads wait. The first is set; where the user has set either, it stays.
const WAITING: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/// Waiting threads sleep: OpenMP's default is to spin, which takes from other ranks and programs the cores that these would
/// need to get on (with 2 ranks × 2 threads on 2 loaded cores a training step takes 45 times as long). libgomp reads its
/// environment when it is loaded, before `main`: so the program starts itself once more with it, before MPI begins. Call
/// after [`set`]. A rank of one thread waits for none, and stays as it is.
pub fn sleep_while_waiting() {
    if count() == 1 || WAITING.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    again.arg0(arguments.next().unwrap_or_default()).args(arguments).env(WAITING[0], "passive");
    // Comes back only where the program cannot be started again: then threads spin, as `doctor` tells, and all else is the same.
    drop(again.exec());
}

/// How threads wait, in words; `Err`: they spin. By the environment that the process began with, which libgomp has read.
pub fn waiting() -> Result<String, String> {
    let start = std::fs::read("/proc/self/environ").unwrap_or_default();
    let start = String::from_utf8_lossy(&start).into_owned();
    let found = |name: &str| start.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let words: Vec<String> = WAITING.iter().filter_map(|name| Some(format!("{name}={}", found(name)?))).collect();
    // A count of turns goes before the policy.
    let sleep = match found(WAITING[1]) {
        Some(turns) => turns.trim().parse::<u64>().is_ok_and(|turns| turns <= 1000),
        None => found(WAITING[0]).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("passive")),
    };
    match (count(), sleep) {
        (1, _) => Ok("one, which waits for none".into()),
        (n, true) => Ok(format!("{n}, which sleep while they wait ({})", words.join(", "))),
        (n, false) => Err(format!("{n}, which spin while they wait ({})", words.join(", "))),
    }
}

/// Sets the number of threads for every library; call first, before any of them works.
pub fn set(told: Option<NonZeroU16>) {
    let environment = || number("OMP_NUM_THREADS").filter(|&n| n > 0);
    let threads = told.map(|n| n.get() as usize).or_else(environment).unwrap_or_else(share).to_string();
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        // SAFETY: called at the top of `main`: no other thread reads the environment yet.
        unsafe { std::env::set_var(name, &threads) };
    }
    // OpenBLAS and libgomp have read their environment when they were loaded, before `main`.
    for setter in [c"omp_set_num_threads", c"openblas_set_num_threads"] {
        call(setter, count());
    }
}

/// Threads of this rank, as set.
pub fn count() -> usize {
    number("OMP_NUM_THREADS").unwrap_or(1).max(1)
}

/// This rank's share of the cores of its node.
fn share() -> usize {
    let ranks =
        ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"].iter().find_map(|n| number(n));
    let proc = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let node = proc("/proc/cpuinfo").lines().filter(|l| l.starts_with("processor")).count();
    let mine = allowed(&proc("/proc/self/status"));
    let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    divide(node, number("SLURM_CPUS_ON_NODE"), mine, available, ranks.unwrap_or(1))
}

/// `node` cores, of which Slurm gave `given`, the launcher bound us to `mine`, and all limits together leave
/// `available`. Fewer available than bound to means a quota that all ranks share; a binding may be ours alone.
fn divide(node: usize, given: Option<usize>, mine: Option<usize>, available: usize, ranks: usize) -> usize {
    let node = if node == 0 { available } else { node };
    let mine = mine.unwrap_or(available);
    let quota = if available < mine { available } else { node };
    let shared = node.min(given.unwrap_or(node)).min(quota);
    (shared / ranks.max(1)).min(mine).max(1)
}

/// Number of cores in a process status's `Cpus_allowed_list`, such as `0-3,8`.
fn allowed(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?;
    let range = |r: &str| {
        let (first, last) = r.split_once('-').unwrap_or((r, r));
        Some(last.parse::<usize>().ok()? - first.parse::<usize>().ok()? + 1)
    };
    list.trim().split(',').map(range).sum()
}

fn number(name: &str) -> Option<usize> {
    // Slurm and OpenMP write lists ("4,2") where levels or nodes differ: the first counts.
    std::env::var(name).ok()?.split([',', '(']).next()?.trim().parse().ok()
}

/// Calls a C function `void f(int)` if a loaded library has it.
#[cfg(target_os = "linux")]
fn call(name: &std::ffi::CStr, value: usize) {
    use std::ffi::{c_char, c_int, c_void};
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: a null handle searches all loaded libraries; both functions take one int and return nothing.
    unsafe {
        let symbol = dlsym(std::ptr::null_mut(), name.as_ptr());
        if !symbol.is_null() {
            std::mem::transmute::<*mut c_void, extern "C" fn(c_int)>(symbol)(value as c_int);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn call(_: &std::ffi::CStr, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_out() {
        // node, Slurm's share, bound to, available, ranks here → threads
        for (node, given, mine, available, ranks, threads) in [
            (8, None, Some(8), 8, 1, 8),
            (8, None, Some(8), 8, 4, 2),
            (8, None, Some(1), 1, 2, 1),     // bound to one core each
            (64, None, Some(32), 32, 8, 8),  // bound to a socket of 32, four ranks on each
            (64, Some(8), Some(8), 8, 4, 2), // a Slurm job with 8 cores of 64
            (64, None, Some(64), 2, 2, 1),   // a container with a quota of 2
            (2, None, Some(2), 2, 4, 1),     // more ranks than cores
            (0, None, None, 4, 1, 4),        // nothing known but what is available
        ] {
            assert_eq!(
                divide(node, given, mine, available, ranks),
                threads,
                "{node} {given:?} {mine:?} {available} {ranks}"
            );
        }
        assert_eq!(allowed("Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\n"), Some(7));
    }
}
