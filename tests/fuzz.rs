//! Input that nobody means, by the thousand: campaigns, HDF5 files and snapshots, each changed at random from one that
//! is good.
//!
//! A case is a seed. Workers read it as the program would, in their own process; one that ends in a panic, an abort, or
//! takes too long or too much memory is a failure, and its worker goes on with the next case in a new process.
//! `make fuzz` runs ten thousand, and two hundred of the command itself; `make test` a few, and those that failed
//! before.

mod mpi;

use hdf5::types::{VarLenArray, VarLenUnicode};
use polycosm::comm::Comm;
use polycosm::config::campaign::Config;
use polycosm::config::plan::Plan;
use polycosm::cosmology::CosmologyConfig;
use polycosm::io::dataset::Split;
use polycosm::prior::Prior;
use polycosm::simulators::{Look, Pm, PmConfig, Runner};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Seeds that once ended badly: in a panic, an abort, or not at all.
const FAILED_BEFORE: &[u64] = &[];

/// Set in workers: first and last case, and the file in which they tell how far they are.
const WORKER: &str = "POLYCOSM_FUZZ";
/// Address space of a worker and of the command, in KiB. MPI and libtorch alone map some 10 GiB.
const MEMORY: u64 = 24 << 20;
/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

type Random = ChaCha8Rng;

fn one<'a, T>(rng: &mut Random, of: &'a [T]) -> &'a T {
    of.choose(rng).expect("there is something to choose")
}

// --- campaigns ---

const RECIPES: [&str; 11] = [
    include_str!("../recipes/demo.toml"),
    include_str!("../recipes/smoke.toml"),
    include_str!("../recipes/foreign.toml"),
    include_str!("../recipes/observables.toml"),
    include_str!("../recipes/pm-4096.toml"),
    include_str!("../recipes/lensing.toml"),
    include_str!("../recipes/fullsky.toml"),
    include_str!("../recipes/galaxies.toml"),
    include_str!("../recipes/covariance.toml"),
    include_str!("../recipes/forecast.toml"),
    include_str!("../recipes/gaussian-flat.toml"),
];

/// Text of a recipe with some of its values replaced, removed, or given twice.
fn campaign(rng: &mut Random) -> String {
    let mut table: toml::Table = one(rng, &RECIPES).parse().expect("recipes are TOML");
    for _ in 0..rng.random_range(1..4) {
        change(rng, &mut table);
    }
    let mut text = toml::to_string(&table).unwrap_or_default();
    match rng.random_range(0..12) {
        0 => {
            let line = one(rng, &text.lines().collect::<Vec<_>>()).to_string();
            let _ = writeln!(text, "{line}");
        }
        1 => {
            let cut = (0..=rng.random_range(0..=text.len())).rev().find(|&i| text.is_char_boundary(i));
            text.truncate(cut.unwrap_or(0));
        }
        2 => text.insert(0, *one(rng, &['\0', '\u{feff}', '[', '"', '\u{1b}'])),
        _ => {}
    }
    text
}

/// Descends to a random place and changes it.
fn change(rng: &mut Random, table: &mut toml::Table) {
    let keys: Vec<String> = table.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let key = one(rng, &keys).clone();
    match (table.get_mut(&key), rng.random_range(0..10)) {
        (Some(toml::Value::Table(inner)), 1..) => return change(rng, inner),
        (Some(toml::Value::Array(list)), 3..) if !list.is_empty() => {
            let at = rng.random_range(0..list.len());
            match (&mut list[at], rng.random_range(0..4)) {
                (toml::Value::Table(inner), 1..) => change(rng, inner),
                (_, 0) => drop(list.remove(at)),
                (value, 1) => {
                    let value = value.clone();
                    let copies = rng.random_range(1..300);
                    list.extend(std::iter::repeat_n(value, copies));
                }
                (value, _) => *value = hostile(rng),
            }
            return;
        }
        _ => {}
    }
    match rng.random_range(0..8) {
        0 => drop(table.remove(&key)),
        1 => {
            let name = text(rng);
            table.insert(name, hostile(rng));
        }
        _ => drop(table.insert(key, hostile(rng))),
    }
}

const NUMBERS: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    17.0,
    1e-300,
    1e-12,
    1e9,
    1e16,
    1e300,
    -1e300,
    2147483648.0,
    4294967296.0,
    9007199254740992.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const WHOLE: [i64; 18] =
    [0, 1, -1, 2, 3, 5, 7, 16, 63, 64, 65, 1000, 65_537, 1 << 31, 1 << 32, 1 << 53, i64::MAX, i64::MIN];
const TEXTS: [&str; 20] = [
    "",
    " ",
    "a",
    "theta",
    "x",
    "/",
    ".",
    "..",
    "../..",
    "/dev/zero",
    "/dev/null",
    "/proc/self/mem",
    "a\nb",
    "a\0b",
    "\u{1b}[2J",
    "ümläut",
    "\u{202e}rtl",
    "none",
    "true",
    "{index:99999999999}",
];

fn text(rng: &mut Random) -> String {
    match rng.random_range(0..6) {
        0 => "a".repeat(rng.random_range(1..5000)),
        1 => (0..rng.random_range(1..20)).map(|_| rng.random::<char>()).collect(),
        _ => one(rng, &TEXTS).to_string(),
    }
}

fn hostile(rng: &mut Random) -> toml::Value {
    match rng.random_range(0..12) {
        0..4 => (*one(rng, &NUMBERS)).into(),
        4..8 => (*one(rng, &WHOLE)).into(),
        8 => text(rng).into(),
        9 => rng.random_bool(0.5).into(),
        10 => (0..rng.random_range(0..5)).map(|_| hostile(rng)).collect::<Vec<_>>().into(),
        _ => {
            let pairs: Vec<_> = (0..rng.random_range(0..3)).map(|_| (text(rng), hostile(rng))).collect();
            toml::Value::Table(pairs.into_iter().collect())
        }
    }
}

// --- HDF5 ---

#[derive(hdf5::H5Type, Clone, Copy, Default)]
#[repr(C)]
struct Complex {
    r: f64,
    i: f64,
}

/// An array of `n` elements of a random type; contents where it is small.
fn array(rng: &mut Random, file: &hdf5::File, name: &str, shape: &[usize]) -> hdf5::Result<()> {
    let n = shape.iter().try_fold(1usize, |n, &m| n.checked_mul(m)).filter(|&n| n < 10_000);
    fn put<T: hdf5::H5Type>(
        file: &hdf5::File,
        name: &str,
        shape: &[usize],
        values: Option<Vec<T>>,
    ) -> hdf5::Result<()> {
        let builder = file.new_dataset::<T>();
        match values {
            Some(values) => builder.shape(shape).create(name)?.write_raw(&values),
            // What claims to be large is never written.
            None => builder
                .shape(shape)
                .chunk(shape.iter().map(|&m| m.clamp(1, 16)).collect::<Vec<_>>())
                .create(name)
                .map(drop),
        }
    }
    let mut number = || match rng.random_range(0..30) {
        0 => *one(rng, &NUMBERS),
        _ => rng.random_range(0.0..1.0),
    };
    let values: Option<Vec<f64>> = n.map(|n| (0..n).map(|_| number()).collect());
    let kind = rng.random_range(0..16);
    let of = |f: &dyn Fn(f64) -> f64| values.as_ref().map(|v| v.iter().map(|&x| f(x)).collect::<Vec<f64>>());
    match kind {
        0..6 => put(file, name, shape, values.clone()),
        6 => put(file, name, shape, values.map(|v| v.into_iter().map(|x| x as f32).collect())),
        7 => put(file, name, shape, values.map(|v| v.into_iter().map(|x| (x * 3.0) as i8).collect())),
        8 => put(file, name, shape, values.map(|v| v.into_iter().map(|x| (x * 3.0) as u64).collect())),
        9 => put(file, name, shape, values.map(|v| v.into_iter().map(|x| x > 0.5).collect())),
        10 => put(file, name, shape, values.map(|v| v.into_iter().map(|r| Complex { r, i: 1.0 }).collect())),
        11 => {
            let words = ["train", "val", "test", "a\u{e9}", ""];
            let word = |x: f64| words[(x * 5.0) as usize % 5].parse::<VarLenUnicode>().unwrap_or_default();
            put(file, name, shape, values.map(|v| v.into_iter().map(word).collect()))
        }
        12 => put(file, name, shape, values.map(|v| v.into_iter().map(|x| VarLenArray::from_slice(&[x])).collect())),
        13 => put(file, name, shape, of(&|_| 0.25)),
        14 => put(file, name, shape, of(&|x| x * 1e300)),
        _ => put(file, name, shape, of(&f64::trunc)),
    }
}

fn shape(rng: &mut Random, good: &[usize]) -> Vec<usize> {
    let mut shape = good.to_vec();
    match rng.random_range(0..10) {
        0 => shape.clear(),
        1 => shape.push(rng.random_range(0..4)),
        2 => drop(shape.pop()),
        3 => shape[0] = *one(rng, &[0, 1, good[0] - 1, 10usize.pow(12), 1 << 40]),
        4 => shape.push(*one(rng, &[0, 10usize.pow(10), 1 << 33])),
        5 => shape.extend([1, 1, 1, 1, 1]),
        _ => {}
    }
    shape
}

/// Sets an attribute of random type to something.
fn attribute(rng: &mut Random, at: &hdf5::Location, name: &str) -> hdf5::Result<()> {
    let _ = at.delete_attr(name);
    let shape = if rng.random_bool(0.5) { vec![] } else { vec![rng.random_range(0..8)] };
    let n: usize = shape.iter().product();
    match rng.random_range(0..5) {
        0 => at
            .new_attr::<f64>()
            .shape(shape)
            .create(name)?
            .write_raw(&(0..n).map(|_| *one(rng, &NUMBERS)).collect::<Vec<_>>()),
        1 => at
            .new_attr::<i64>()
            .shape(shape)
            .create(name)?
            .write_raw(&(0..n).map(|_| *one(rng, &WHOLE)).collect::<Vec<_>>()),
        2 => at.new_attr::<Complex>().shape(shape).create(name)?.write_raw(&vec![Complex::default(); n]),
        3 => {
            at.new_attr::<u8>().shape(shape).create(name)?.write_raw(&(0..n).map(|_| rng.random()).collect::<Vec<u8>>())
        }
        _ => {
            let json = [
                "[]",
                "{}",
                "[{\"name\":\"x\",\"shape\":[7],\"axes\":[],\"unit\":\"\",\"description\":\"\",\"ragged\":false,\"dtype\":\"f64\"}]",
                "[{\"name\":\"x\",\"shape\":[0],\"axes\":[],\"unit\":\"\",\"description\":\"\",\"ragged\":true,\"dtype\":\"i64\"}]",
                "[{\"name\":\"a\",\"latex\":\"a\",\"min\":0,\"max\":1},{\"name\":\"b\",\"latex\":\"b\",\"min\":0,\"max\":1}]",
                "polycosm 0.1.0",
                "b",
                "a",
            ];
            let texts: Vec<VarLenUnicode> = (0..n)
                .map(|_| if rng.random_bool(0.7) { one(rng, &json).to_string() } else { text(rng) })
                .map(|t| t.replace('\0', "").parse().unwrap_or_default())
                .collect();
            at.new_attr::<VarLenUnicode>().shape(shape).create(name)?.write_raw(&texts)
        }
    }
}

/// θ (20, 2) and x (20, 3), and what somebody made of them. Errors of HDF5 while writing leave less in the file.
fn foreign(rng: &mut Random, path: &Path) {
    const N: usize = 20;
    let Ok(file) = hdf5::File::create(path) else { return };
    let mut make = || -> hdf5::Result<()> {
        for (name, good) in [("theta", vec![N, 2]), ("x", vec![N, 3])] {
            let changed = rng.random_bool(0.4);
            let shape = if changed { shape(rng, &good) } else { good };
            match changed {
                true => array(rng, &file, name, &shape)?,
                false => {
                    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(0.0..1.0)).collect();
                    file.new_dataset::<f64>().shape(shape).create(name)?.write_raw(&values)?;
                }
            }
        }
        for _ in 0..rng.random_range(0..5) {
            let _ = match rng.random_range(0..8) {
                0 | 1 => {
                    let (name, shape) = (*one(rng, &["split", "status"]), shape(rng, &[N]));
                    array(rng, &file, name, &shape)
                }
                2 => {
                    let name = *one(rng, &["format_version", "fields", "prior", "version", "crc32"]);
                    attribute(rng, &file, name)
                }
                3 => {
                    let name = *one(rng, &["names", "parameters", "latex", "crc32", "drawn_from", "units"]);
                    let array = {
                        let of = *one(rng, &["theta", "x"]);
                        file.dataset(of)
                    }?;
                    attribute(rng, &array, name)
                }
                // A file that says it is this program's.
                4 => {
                    file.new_attr::<f64>().create("format_version")?.write_scalar(&1.0)?;
                    let ours: VarLenUnicode = "polycosm 0.1.0".parse().unwrap_or_default();
                    file.new_attr::<VarLenUnicode>().create("version")?.write_scalar(&ours)
                }
                5 => {
                    let (to, name) =
                        (*one(rng, &["/nowhere", "/x", "/", "loop"]), *one(rng, &["loop", "split", "status"]));
                    file.link_soft(to, name)
                }
                6 => {
                    let group = {
                        let name = *one(rng, &["g", "axes", "checksum", "split"]);
                        file.create_group(name)
                    }?;
                    {
                        let (to, name) = (*one(rng, &["/", "/x"]), *one(rng, &["up", "x"]));
                        group.link_hard(to, name)
                    }
                }
                _ => {
                    let shape = shape(rng, &[N]);
                    let name = *one(rng, &["checksum/x", "x/offsets", "index", "other"]);
                    array(rng, &file, name, &shape)
                }
            };
        }
        Ok(())
    };
    let _ = make();
}

/// 8³ particles in 64 Mpc/h at a = 1, and what somebody made of them.
fn snapshot(rng: &mut Random, path: &Path) {
    const N: usize = 512;
    let Ok(file) = hdf5::File::create(path) else { return };
    let mut make = || -> hdf5::Result<()> {
        let header = file.create_group("Header")?;
        let count = [0u64, N as u64, 0, 0, 0, 0];
        for name in ["NumPart_ThisFile", "NumPart_Total"] {
            header.new_attr::<u64>().shape(6).create(name)?.write_raw(&count)?;
        }
        header.new_attr::<f64>().shape(6).create("MassTable")?.write_raw(&[0.0, 4.26e3, 0.0, 0.0, 0.0, 0.0])?;
        header.new_attr::<i32>().create("NumFilesPerSnapshot")?.write_scalar(&1)?;
        for (name, value) in [("BoxSize", 64.0), ("Time", 1.0), ("Redshift", 0.0), ("Omega0", 0.3)] {
            header.new_attr::<f64>().create(name)?.write_scalar(&value)?;
        }
        let dark = file.create_group("PartType1")?;
        let mut numbers = |n: usize, scale: f64| (0..n).map(|_| rng.random_range(0.0..scale)).collect::<Vec<f64>>();
        dark.new_dataset::<f64>().shape([N, 3]).create("Coordinates")?.write_raw(&numbers(3 * N, 64.0))?;
        dark.new_dataset::<f64>().shape([N, 3]).create("Velocities")?.write_raw(&numbers(3 * N, 300.0))?;
        dark.new_dataset::<u64>().shape([N]).create("ParticleIDs")?.write_raw(&(0..N as u64).collect::<Vec<_>>())?;
        for _ in 0..rng.random_range(1..4) {
            let named = [
                "NumPart_ThisFile",
                "NumPart_Total",
                "NumPart_Total_HighWord",
                "MassTable",
                "NumFilesPerSnapshot",
                "BoxSize",
                "Time",
                "Redshift",
                "Omega0",
                "HubbleParam",
                "sigma8",
                "Flag_DoublePrecision",
            ];
            let name = *one(rng, &named);
            let _ = match rng.random_range(0..6) {
                0 => header.delete_attr(name),
                1 | 2 => attribute(rng, &header, name),
                3 => attribute(rng, &file, name),
                4 => {
                    let name = *one(rng, &["PartType1/Coordinates", "PartType1/Velocities", "PartType1/ParticleIDs"]);
                    let good = if name.ends_with("IDs") { vec![N] } else { vec![N, 3] };
                    file.unlink(name)?;
                    let shape = shape(rng, &good);
                    array(rng, &file, name, &shape)
                }
                _ => {
                    let name =
                        *one(rng, &["PartType0/Coordinates", "PartType2/Masses", "PartType1/Masses", "Parameters/x"]);
                    let shape = shape(rng, &[N]);
                    array(rng, &file, name, &shape)
                }
            };
        }
        Ok(())
    };
    let _ = make();
}

// --- cases ---

const READS: &str = "output = \"o\"\n[dataset]\nfile = \"d.h5\"\n[[train]]\nname = \"s\"\ninput = \"x\"\nnetwork = { kind = \"npe\" }\n";
const BOUNDED: &str = "parameters.a = { min = 0.0, max = 1.0 }\nparameters.b = { min = 0.0, max = 1.0 }\n";
const LOOKS: &str =
    "box_size = 64.0\nparticles = 8\npower = {}\nhalos = {}\nmaps = { pixels = 8 }\ntime = { steps = 1 }\n";

/// Files of a case, in this folder: a campaign, and what it reads.
fn make(seed: u64, folder: &Path) {
    let mut rng = Random::seed_from_u64(seed);
    let write = |text: &str| std::fs::write(folder.join("run.toml"), text).expect("a campaign file");
    match seed % 3 {
        0 => write(&campaign(&mut rng)),
        1 => {
            foreign(&mut rng, &folder.join("d.h5"));
            write(
                &READS.replace("[[train]]", &format!("{}[[train]]", if rng.random_bool(0.5) { BOUNDED } else { "" })),
            );
        }
        _ => {
            snapshot(&mut rng, &folder.join("s.hdf5"));
            let cosmology = "[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8\n";
            let design = "[design]\nsimulations = 16\nparameters.Omega_m = { min = 0.1, max = 0.5 }\n";
            let simulator = format!("[simulator]\nkind = \"pm\"\n{LOOKS}");
            let stage = "[[train]]\nname = \"s\"\ninput = \"power\"\nnetwork = { kind = \"npe\" }\n";
            let infer = "[infer]\nposterior = \"s\"\nobservations = [\"s.hdf5\"]\n";
            write(&format!("output = \"o\"\n{cosmology}{design}{simulator}{stage}{infer}"));
        }
    }
}

/// Reads a case as the program does. Whatever is wrong with it is an error with an exit code.
fn read(seed: u64, comm: &Comm, folder: &Path) -> polycosm::error::Result<()> {
    let loaded = Config::load(comm, &folder.join("run.toml"), &[])?;
    let plan = Plan::new(&loaded, comm).and_then(|plan| plan.check_observations(comm).map(|()| plan));
    match seed % 3 {
        1 => {
            let dataset = plan?.open_dataset()?;
            for spec in dataset.specs() {
                let _ = dataset.read_f32(&spec.name, &dataset.rows(Split::Train));
                let _ = dataset.read_list(&spec.name, 0);
            }
            dataset.failure().map(drop)
        }
        2 => {
            let config: PmConfig = toml::from_str(LOOKS).expect("a simulator");
            let cosmology: CosmologyConfig =
                toml::from_str("Omega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8\nOmega_m = 0.3")
                    .expect("a cosmology");
            let pm = Pm::<f64>::new(&config, &cosmology, &Prior::new(vec![])?)?;
            pm.observe_file(comm, &folder.join("s.hdf5"), &Look::default())?;
            plan.map(drop)
        }
        _ => plan.map(drop),
    }
}

/// The cases `first..last`, one after another in this process. The note says which one is being read.
fn work(first: u64, last: u64, note: &Path) {
    let comm = Comm::world();
    for seed in first..last {
        std::fs::write(note, seed.to_string()).expect("a note");
        let folder = tempfile::tempdir().expect("a folder");
        std::env::set_current_dir(folder.path()).expect("its own folder");
        make(seed, folder.path());
        if let Err(e) = read(seed, &comm, folder.path()) {
            assert!([1, 2].contains(&e.exit_code()), "exit code {}: {e}", e.exit_code());
            assert!(e.file.is_some() || e.key.is_some(), "names nothing: {e}");
        }
        std::env::set_current_dir("/").expect("a way out");
    }
    std::fs::write(note, last.to_string()).expect("a note");
}

/// A worker's own process; nothing where this is the ordinary run of the tests.
#[test]
fn worker() {
    let Ok(task) = std::env::var(WORKER) else { return };
    let mut parts = task.splitn(3, ' ');
    let mut number = || parts.next().and_then(|n| n.parse().ok()).expect("a number");
    let (first, last) = (number(), number());
    work(first, last, Path::new(parts.next().expect("a file")));
}

/// Starts a command with bounded memory.
fn bounded(program: &Path) -> Command {
    let mut run = Command::new("sh");
    run.args(["-c", &format!("ulimit -c 0; ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(program);
    run.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1").stdin(Stdio::null());
    run
}

/// Runs cases in workers, one after another; returns those that ended badly, and how.
fn cases(first: u64, last: u64) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let (note, log) = (folder.path().join("note"), folder.path().join("log"));
    let mut bad = vec![];
    let mut next = first;
    while next < last {
        std::fs::write(&note, next.to_string()).expect("a note");
        let mut run = bounded(&std::env::current_exe().expect("this test's path"));
        run.args(["--exact", "worker", "--test-threads=1", "--nocapture"]);
        run.env(WORKER, format!("{next} {last} {}", note.display()));
        let to = || std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        run.stdout(to()).stderr(to());
        let mut child = run.spawn().expect("a worker");
        let at = || std::fs::read_to_string(&note).ok().and_then(|n| n.parse::<u64>().ok());
        let (mut seen, mut since) = (at(), Instant::now());
        let end = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status.to_string();
            }
            if at() != seen {
                (seen, since) = (at(), Instant::now());
            }
            if since.elapsed() > LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                break format!("still running after {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let reached = at().unwrap_or(next);
        if reached >= last {
            break;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        bad.push((reached, format!("{end}\n    {}", lines[lines.len().saturating_sub(12)..].join("\n    "))));
        let _ = std::fs::remove_file(&log);
        next = reached + 1;
    }
    bad
}

/// Runs the command itself on a case; what is wrong with how it ended.
fn command(seed: u64) -> Option<(u64, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    make(seed, folder.path());
    let name = ["check", "plan", "status", "report", "verify", "export", "simulate", "train"][(seed / 3 % 8) as usize];
    // A campaign changed at random may be a good one, and a long one: it is not run.
    let name = if seed.is_multiple_of(3) && seed / 3 % 8 > 5 { "check" } else { name };
    let mut run = bounded(Path::new(env!("CARGO_BIN_EXE_polycosm")));
    run.current_dir(folder.path()).args([name, "run.toml"]);
    if name == "export" {
        run.args(["--to", "exported"]);
    }
    if name == "train" {
        run.args(["--set", "train.s.epochs=1"]);
    }
    let run = mpi::finish(run, LIMIT);
    let crashed = ["panicked", "internal error", "overflowed its stack", "memory allocation of"];
    let fine = run.code.is_some_and(|c| [0, 1, 2, 85].contains(&c)) && !crashed.iter().any(|c| run.text.contains(c));
    (!fine).then(|| (seed, format!("{name}: {:?}\n{}", run.code, run.text)))
}

fn told(bad: &[(u64, String)]) -> String {
    bad.iter().map(|(seed, how)| format!("case {seed}: {how}\n")).collect()
}

#[test]
fn a_few_cases_and_those_that_failed_before() {
    let mut bad = cases(0, 60);
    bad.extend(FAILED_BEFORE.iter().flat_map(|&seed| cases(seed, seed + 1)));
    bad.extend((100..106).filter_map(command));
    assert!(bad.is_empty(), "{}", told(&bad));
}

#[test]
#[ignore = "minutes: make fuzz"]
fn ten_thousand_cases() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (first, n, commands) = (number("FIRST", 0), number("CASES", 10_000), number("COMMANDS", 200));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(16);
    let (start, part) = (Instant::now(), n.div_ceil(cores));
    let mut bad: Vec<(u64, String)> = std::thread::scope(|scope| {
        let worker = |c: u64| scope.spawn(move || cases(first + c * part, first + n.min((c + 1) * part)));
        let workers: Vec<_> = (0..cores).map(worker).collect();
        workers.into_iter().flat_map(|w| w.join().expect("a worker's thread")).collect()
    });
    let read = start.elapsed();
    bad.extend((first..first + commands).filter_map(command));
    println!("{n} cases in {read:.0?}, {commands} commands in {:.0?}: {} bad", start.elapsed() - read, bad.len());
    assert!(bad.is_empty(), "{}", told(&bad));
}
