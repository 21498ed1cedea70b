//! `polycosm doctor`: what this machine offers and what it lacks, with the remedy.

use super::start::say;
use super::{VERSION, reduce, threads};
use crate::comm::{self, Comm};
use crate::error::{Error, Result};
use crate::io::hdf;
use std::process::Command;

/// Report what was found on this machine, what is missing, and the remedy
///
/// Example: mpirun -n 2 polycosm doctor
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sum vectors over all ranks as training does, checked and timed rank by rank
    #[arg(long)]
    pub reduce: bool,
}

/// One line of the report.
struct Finding {
    name: &'static str,
    /// What was found; `Err` is what is missing, and the remedy.
    found: Result<String, (String, &'static str)>,
    /// Without it something does not work; otherwise it is only good to have.
    needed: bool,
}

/// Collective; the root reports.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let here = comm.ranks_on_this_node();
    let found = comm.on_root(|| {
        say(format_args!(
            "polycosm {VERSION}, {} rank(s), {here} on this node, {} thread(s) each\n",
            comm.size(),
            threads::count()
        ));
        let findings = findings();
        for f in &findings {
            match &f.found {
                Ok(what) => say(format_args!("ok       {:14} {what}", f.name)),
                Err((what, remedy)) => say(format_args!(
                    "{:8} {:14} {what}\n{:24}remedy: {remedy}",
                    if f.needed { "missing" } else { "none" },
                    f.name,
                    ""
                )),
            }
        }
        match findings.iter().filter(|f| f.needed && f.found.is_err()).count() {
            0 => Ok(()),
            n => Err(Error::failed(format!("{n} needed thing(s) missing")).remedy("see the lines marked `missing`")),
        }
    });
    if args.reduce { reduce::run(comm).and(found) } else { found }
}

fn findings() -> Vec<Finding> {
    let setup = "run scripts/setup.sh, then build again";
    let needed = |name, found: Option<String>, what: &str, remedy| Finding {
        name,
        found: found.ok_or((what.into(), remedy)),
        needed: true,
    };
    let good = |name, found: Option<String>, what: &str, remedy| Finding {
        name,
        found: found.ok_or((what.into(), remedy)),
        needed: false,
    };
    let mut list = vec![
        needed("MPI", Some(first_line(&comm::library_version())).filter(|v| !v.is_empty()), "no library", setup),
        needed("HDF5", Some(hdf::version()), "no library", setup),
        needed("FFTW (f64)", library("libfftw3.so"), "not loaded", setup),
        needed("FFTW (f32)", library("libfftw3f.so"), "not loaded", setup),
        needed("LAPACK", lapack(), "not loaded", setup),
    ];
    if cfg!(feature = "torch") {
        list.push(needed("libtorch", libtorch(), "not loaded", setup));
    } else {
        let remedy = "build with the feature `torch` (make build) to train and infer";
        list.push(good("libtorch", None, "left out of this program", remedy));
    }
    let gpu = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    list.extend([
        good(
            "GPU",
            output(&gpu).map(|o| o.replace('\n', "; ")),
            "none found",
            "not needed; networks train on the processor",
        ),
        good(
            "Slurm",
            output(&["sbatch", "--version"]),
            "no sbatch",
            "not needed; `polycosm job` writes scripts for a cluster",
        ),
        needed("cores", cores(), "unknown", "report this"),
        Finding {
            name: "threads",
            found: threads::waiting().map_err(|how| (how, "OMP_WAIT_POLICY=passive where other work shares the cores")),
            needed: false,
        },
        needed("memory", memory(), "unknown", "report this"),
        Finding { name: "vectors", found: vectors(), needed: false },
        needed("disk here", disk(), "unknown", "is `df` on the path?"),
    ]);
    list
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").split(", package").next().unwrap_or("").to_string()
}

/// Standard output of a command that succeeds.
fn output(command: &[&str]) -> Option<String> {
    let done = Command::new(command[0]).args(&command[1..]).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&done.stdout).trim().to_string()).filter(|o| !o.is_empty())
}

/// The file behind a shared library of this process (links resolved, so that it tells the version).
fn library(name: &str) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|l| l.find('/').map(|at| &l[at..]));
    paths.into_iter().find(|p| p.rsplit('/').next().is_some_and(|f| f.starts_with(name))).map(str::to_string)
}

fn libtorch() -> Option<String> {
    let file = library("libtorch_cpu")?;
    let version = std::path::Path::new(&file).ancestors().nth(2).map(|home| home.join("build-version"));
    let version = version.and_then(|v| std::fs::read_to_string(v).ok()).unwrap_or_default();
    Some(format!("{} {file}", version.trim()).trim().to_string())
}

/// OpenBLAS, or the LAPACK inside libtorch, which comes first where both are linked.
fn lapack() -> Option<String> {
    let torch = || libtorch().filter(|_| cfg!(feature = "torch")).map(|_| "libtorch's own".into());
    library("libopenblas").or_else(|| library("libblas")).or_else(torch)
}

fn cores() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ")).map_or("", |m| m.1);
    let count = info.lines().filter(|l| l.starts_with("processor")).count();
    Some(format!("{count}, of which {} for this rank; {model}", std::thread::available_parallelism().ok()?))
}

fn memory() -> Option<String> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let gib = |key: &str| {
        let kib = info.lines().find_map(|l| l.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok())?;
        Some(kib / (1 << 20) as f64)
    };
    Some(format!("{:.1} GiB free of {:.1}", gib("MemAvailable:")?, gib("MemTotal:")?))
}

/// What the processor can do, and whether this program was built to use it.
fn vectors() -> Result<String, (String, &'static str)> {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let name = match (is_x86_feature_detected!("avx512f"), avx2) {
            (true, _) => "AVX-512",
            (_, true) => "AVX2",
            _ => "SSE2",
        };
        let built = if cfg!(target_feature = "avx512f") {
            "AVX-512"
        } else if cfg!(target_feature = "avx2") {
            "AVX2"
        } else {
            "SSE2"
        };
        let text = format!("processor has {name}, program uses {built}");
        if avx2 && built == "SSE2" {
            return Err((
                text,
                "run scripts/setup.sh, which writes .cargo/config.toml, then build again: about 1.5 times as fast",
            ));
        }
        Ok(text)
    }
    #[cfg(not(target_arch = "x86_64"))]
    Ok(std::env::consts::ARCH.into())
}

fn disk() -> Option<String> {
    let text = output(&["df", "-Pk", "."])?;
    let columns: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let kib: f64 = columns.get(3)?.parse().ok()?;
    Some(format!("{:.1} GiB free on {}", kib / (1 << 20) as f64, columns.get(5)?))
}
