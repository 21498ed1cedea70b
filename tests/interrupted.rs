//! A universe that is interrupted while it evolves: killed, stopped, its checkpoint damaged, its disk full, its numbers
//! gone.

mod mpi;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(240);

/// One universe in many steps, with everything that a checkpoint must keep: two redshifts, a light cone, COLA's
/// columns.
fn simulate(ranks: usize, output: &Path, more: &[&str]) -> Command {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(env!("CARGO_MANIFEST_DIR"));
    run.arg(env!("CARGO_BIN_EXE_polycosm")).args(["simulate", "recipes/observables.toml"]);
    run.arg("--set").arg(format!("output={}", output.display()));
    let settings = [
        "design.simulations=1",
        "simulator.time.steps=40",
        "simulator.time.integrator=cola",
        "simulator.checkpoint_minutes=1e-9",
        "simulator.snapshots=false",
        "suite.ranks_per_sim=2",
    ];
    settings.iter().chain(more).for_each(|s| _ = run.args(["--set", s]));
    run
}

/// Every field of a dataset, as bytes, by path.
fn fields(output: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(group: &hdf5::Group, all: &mut BTreeMap<String, Vec<u8>>) {
        for d in group.datasets().unwrap() {
            let bytes = |x: Vec<f64>| x.into_iter().flat_map(f64::to_le_bytes).collect();
            all.insert(d.name(), bytes(d.read_raw::<f64>().unwrap()));
        }
        // How each was made differs between runs.
        let same = |g: &&hdf5::Group| g.name() != "/provenance";
        group.groups().unwrap().iter().filter(same).for_each(|g| walk(g, all));
    }
    let mut all = BTreeMap::new();
    walk(&hdf5::File::open(output.join("dataset.h5")).unwrap(), &mut all);
    assert!(all.len() > 40, "a dataset of {} arrays", all.len());
    all
}

/// Starts a command; what it says goes to the file `log`.
fn start(mut command: Command, log: &Path) -> Child {
    let file = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    command.spawn().unwrap()
}

/// Waits for its end, which must come within `limit`.
fn end_of(child: &mut Child, limit: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if began.elapsed() > limit => {
                mpi::kill(child);
                panic!("the job did not end within {limit:?}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn wait_for(child: &mut Child, what: &Path) {
    let start = Instant::now();
    while !what.exists() {
        assert!(start.elapsed() < LIMIT, "{} never appeared", what.display());
        assert!(child.try_wait().unwrap().is_none(), "ended before {} appeared", what.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills a command and all its ranks once the universe has written two checkpoints. Returns the newer one.
fn kill_after_two_checkpoints(command: Command, output: &Path) -> PathBuf {
    let mut child = start(command, Path::new("/dev/null"));
    let both = ["a", "b"].map(|turn| output.join(format!("checkpoints/000000.{turn}.h5")));
    wait_for(&mut child, &both[1]);
    for rank in mpi::children(child.id()) {
        mpi::send("KILL", &rank.to_string());
    }
    mpi::send("KILL", &child.id().to_string());
    let _ = child.wait();
    let modified = |p: &PathBuf| std::fs::metadata(p).unwrap().modified().unwrap();
    assert!(!output.join("dataset.h5").exists(), "killed too late: the universe was finished");
    both.into_iter().max_by_key(modified).unwrap()
}

#[test]
fn universe_goes_on_from_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let [calm, killed, damaged, stopped] = ["calm", "killed", "damaged", "stopped"].map(|d| dir.path().join(d));
    mpi::succeed(simulate(2, &calm, &["simulator.checkpoint_minutes=0"]));
    assert!(!calm.join("checkpoints").exists(), "checkpoints were written that nobody asked for");
    let expected = fields(&calm);

    kill_after_two_checkpoints(simulate(2, &killed, &[]), &killed);
    let text = mpi::succeed(simulate(2, &killed, &[]));
    assert!(text.contains("goes on from its checkpoint"), "{text}");
    assert!(fields(&killed) == expected, "a killed universe ended otherwise");
    assert_eq!(std::fs::read_dir(killed.join("checkpoints")).unwrap().count(), 0, "checkpoints were left behind");

    // Half of the newest checkpoint is lost, as on a full disk: the one before it serves.
    let newest = kill_after_two_checkpoints(simulate(2, &damaged, &[]), &damaged);
    let file = std::fs::OpenOptions::new().write(true).open(&newest).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let text = mpi::succeed(simulate(2, &damaged, &[]));
    assert!(text.contains("checkpoint not used") && text.contains("goes on from its checkpoint"), "{text}");
    assert!(fields(&damaged) == expected, "a universe with a damaged checkpoint ended otherwise");

    // Asked to stop in the middle of a universe: a checkpoint, and exit code 85.
    let mut child = start(simulate(2, &stopped, &["simulator.checkpoint_minutes=600"]), Path::new("/dev/null"));
    wait_for(&mut child, &stopped.join("sims/000000.running.polycosm.tmp"));
    std::thread::sleep(Duration::from_millis(300));
    mpi::children(child.id()).iter().for_each(|rank| mpi::send("TERM", &rank.to_string()));
    let status = end_of(&mut child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(85), "a clean stop has its exit code");
    let text = mpi::succeed(simulate(2, &stopped, &[]));
    assert!(text.contains("goes on from its checkpoint"), "{text}");
    assert!(fields(&stopped) == expected, "a stopped universe ended otherwise");
}

/// Advice on imbalance is to change the process grid: that is no other campaign, and particles find their new ranks.
#[test]
fn universe_moves_to_another_process_grid() {
    let dir = tempfile::tempdir().unwrap();
    let [calm, moved] = ["calm", "moved"].map(|d| dir.path().join(d));
    mpi::succeed(simulate(2, &calm, &["simulator.checkpoint_minutes=0"]));
    kill_after_two_checkpoints(simulate(2, &moved, &[]), &moved);
    let text = mpi::succeed(simulate(2, &moved, &["simulator.process_grid=[1, 2]"]));
    assert!(text.contains("goes on from its checkpoint"), "{text}");
    let power = |output: &Path| {
        let all = fields(output);
        let (_, bytes) = all.iter().find(|(name, _)| name.contains("/power")).expect("spectra");
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    let (there, here) = (power(&calm), power(&moved));
    assert!(there.len() > 10 && there.len() == here.len());
    assert!(there.iter().zip(&here).all(|(a, b)| (a / b - 1.0).abs() < 1e-2), "{there:?}\n{here:?}");
}

/// Measured plans are kept with the campaign: with what one run has learnt another ends with the same bits.
#[test]
fn measured_plans_repeat_with_their_wisdom() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|d| dir.path().join(d));
    let measured = ["simulator.checkpoint_minutes=0", "simulator.fft_plans=measured"];
    mpi::succeed(simulate(2, &first, &measured));
    let wisdom = |output: &Path| {
        let text = std::fs::read_to_string(output.join("fftw-wisdom-f32.txt")).unwrap();
        // FFTW writes its table in any order, and a bracket behind the last line.
        text.lines().map(|l| l.trim_matches(['(', ')', ' ']).to_string()).collect::<BTreeSet<_>>()
    };
    assert!(wisdom(&first).len() > 5, "{:?}", wisdom(&first));
    std::fs::create_dir(&second).unwrap();
    for real in ["f32", "f64"] {
        let file = format!("fftw-wisdom-{real}.txt");
        std::fs::copy(first.join(&file), second.join(&file)).unwrap();
    }
    mpi::succeed(simulate(2, &second, &measured));
    assert!(fields(&first) == fields(&second), "the same plans gave other bits");
    let (before, after) = (wisdom(&first), wisdom(&second));
    assert!(before == after, "measured anew: {:#?}", after.difference(&before).collect::<Vec<_>>());
}

/// Processes that run this executable on a campaign in `output`.
fn running(output: &Path) -> usize {
    let of_ours = |e: std::fs::DirEntry| {
        let line = std::fs::read(e.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("polycosm") && line.contains(&output.display().to_string())
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|e| e.path().join("cmdline").exists())
        .filter(|e| {
            std::fs::read_dir(e.path()).is_ok() && e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())
        })
        .map(of_ours)
        .filter(|&b| b)
        .count()
}

#[test]
fn one_rank_killed_ends_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("run");
    let log = dir.path().join("log");
    let mut child = start(simulate(2, &output, &["simulator.time.steps=400"]), &log);
    wait_for(&mut child, &output.join("checkpoints/000000.a.h5"));
    let ranks = mpi::children(child.id());
    mpi::send("KILL", &ranks[ranks.len() - 1].to_string());
    let status = end_of(&mut child, Duration::from_secs(30));
    assert!(!status.success());
    assert!(!std::fs::read_to_string(&log).unwrap().trim().is_empty(), "the job died without a word");
    for _ in 0..100 {
        if running(&output) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} processes of the job live on", running(&output));
}

#[test]
fn numbers_that_are_gone_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("run");
    // Finite, but its square is not: the second order of perturbation theory overflows.
    let (n, file) = (32, dir.path().join("density.h5"));
    let density: Vec<f32> = (0..n * n * n).map(|i| if i % 3 == 0 { 1e30 } else { -5e29 }).collect();
    let dataset = hdf5::File::create(&file).unwrap().new_dataset::<f32>().shape([n, n, n]).create("density").unwrap();
    dataset.write_raw(&density).unwrap();
    drop(dataset);
    let field = format!("{{ kind = 'linear-density', file = '{}', dataset = 'density' }}", file.display());
    let field = format!("simulator.initial.field={field}");
    let run = mpi::finish(simulate(2, &output, &[&field, "simulator.particles=32"]), LIMIT);
    assert!(run.text.contains("not finite at row") && run.text.contains("step table"), "{}", run.text);
}

/// Nothing but whole files lies in a campaign's folder, and no simulation counts as failed.
fn none_is_spoilt(output: &Path) {
    for folder in ["checkpoints", "snapshots", "sims"] {
        let entries = std::fs::read_dir(output.join(folder)).into_iter().flatten().flatten();
        let names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        let partial = names.iter().find(|n| n.ends_with(".tmp") && !n.ends_with(".running.polycosm.tmp"));
        assert!(partial.is_none(), "{partial:?} was left in {folder}");
    }
    let status = mpi::finish(polycosm(&["status", "recipes/observables.toml", "--json"], output), LIMIT).text;
    assert!(status.contains("\"failed\": 0"), "{status}");
}

fn polycosm(words: &[&str], output: &Path) -> Command {
    let mut run = Command::new(env!("CARGO_BIN_EXE_polycosm"));
    run.current_dir(env!("CARGO_MANIFEST_DIR")).args(words);
    run.arg("--set").arg(format!("output={}", output.display()));
    run
}

/// A checkpoint or a snapshot that has no place ends the job; with one, the same command goes on.
#[test]
fn what_cannot_be_written_is_no_failure_of_the_universe() {
    for folder in ["checkpoints", "snapshots"] {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("run");
        std::fs::create_dir(&output).unwrap();
        let obstacle = output.join(folder);
        std::fs::write(&obstacle, "in the way").unwrap();
        let command = || simulate(2, &output, &["simulator.time.steps=5", "simulator.snapshots=true"]);
        let refused = mpi::finish(command(), LIMIT);
        assert_eq!(refused.code, Some(1), "{}", refused.text);
        let told = refused.text.contains(&obstacle.display().to_string()) && refused.text.contains("it resumes");
        assert!(told, "{folder} is not named:\n{}", refused.text);
        none_is_spoilt(&output);
        std::fs::remove_file(&obstacle).unwrap();
        mpi::succeed(command());
        assert!(output.join("dataset.h5").exists() && output.join("snapshots/000000_z0.000.hdf5").exists());
        none_is_spoilt(&output);
    }
}

/// From its second checkpoint on, the first of two groups may write no more than 100 kB into a file: that group's error
/// ends the job, and both universes go on later.
#[test]
fn file_that_may_not_grow_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let [calm, output] = ["calm", "limited"].map(|d| dir.path().join(d));
    let command = |output: &Path, more: &str| simulate(4, output, &["design.simulations=2", more]);
    mpi::succeed(command(&calm, "simulator.checkpoint_minutes=0"));
    let log = dir.path().join("log");
    let mut child = start(command(&output, "simulator.checkpoint_minutes=1e-9"), &log);
    wait_for(&mut child, &output.join("checkpoints/000000.a.h5"));
    let mut ranks = mpi::children(child.id());
    ranks.sort();
    for rank in &ranks[..2] {
        let limited = Command::new("prlimit").args(["--fsize=100000", "--pid", &rank.to_string()]).status().unwrap();
        assert!(limited.success(), "prlimit: {limited}");
    }
    let status = end_of(&mut child, LIMIT);
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("checkpoints/000000") && text.contains("it resumes"), "{text}");
    none_is_spoilt(&output);
    let text = mpi::succeed(command(&output, "simulator.checkpoint_minutes=0"));
    assert!(text.contains("simulation 0 goes on from its checkpoint"), "{text}");
    assert!(fields(&output) == fields(&calm), "a universe that could not be written for a while ended otherwise");
}

/// On a file system that holds what the plan foresees and no more, in a mount namespace of its own so that nothing is left behind.
#[test]
fn full_disk_is_survived() {
    // Beside what the plan counts stand lists, and checkpoints.
    for minutes in ["0", "1e-9"] {
        let checkpoints = format!("simulator.checkpoint_minutes={minutes}");
        full_disk(1820, |output| simulate(2, output, &[&checkpoints, "simulator.time.steps=5"]));
    }
}

/// Files that two ranks write together, which a full disk meets at one place or another: particles, parameters,
/// spectra.
#[test]
fn full_disk_leaves_no_rank_waiting() {
    let campaign = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = "output = \"o\"\nseed = 1\n[cosmology]\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\n[design]\n\
        simulations = 4\nparameters.Omega_m = { min = 0.1, max = 0.5 }\nparameters.sigma8 = { min = 0.6, max = 1.0 }\n\
        [simulator]\nkind = \"pm\"\nbox_size = 128.0\nparticles = 16\ntime = { steps = 2 }\npower = {}\n\
        snapshots = true\n[suite]\nranks_per_sim = 2\n";
    std::fs::write(campaign.path(), text).unwrap();
    let command = |output: &Path| {
        let mut run = mpi::mpirun(2);
        run.arg(env!("CARGO_BIN_EXE_polycosm")).arg("simulate").arg(campaign.path());
        run.arg("--set").arg(format!("output={}", output.display()));
        run
    };
    for kib in [580, 640, 672] {
        full_disk(kib, command);
    }
}

fn full_disk(kib: usize, run: impl Fn(&Path) -> Command) {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("small");
    std::fs::create_dir(&place).unwrap();
    let output = place.join("run");
    let command = |c: Command| {
        let words = std::iter::once(c.get_program()).chain(c.get_args());
        words.map(|w| format!("'{}'", w.to_string_lossy())).collect::<Vec<_>>().join(" ")
    };
    let run = format!("timeout -k 5 60 {}", command(run(&output)));
    let script = format!(
        "mount -t tmpfs -o size={kib}k none {place} || exit 77\n\
         {run}; echo \"first: $?\"; find {place} -name '*.h*5.*' | sed 's/^/left over: /'; ls {place}/run/sims\n\
         mount -o remount,size=64m {place}\n\
         {run}; echo \"second: $?\"; ls {place}/run/dataset.h5",
        place = place.display()
    );
    let mut shell = Command::new("unshare");
    shell.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--map-root-user", "--mount", "sh", "-c", &script]);
    shell.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    let done = mpi::finish(shell, LIMIT);
    if done.code == Some(77) || done.text.contains("unshare: ") {
        println!("not tried: this system lets nobody mount a small disk ({})", done.text.trim());
        return;
    }
    assert!(done.text.contains("first: 1"), "{}", done.text);
    assert!(done.text.contains("free some space"), "the full disk was not named:\n{}", done.text);
    assert!(!done.text.contains("left over"), "{}", done.text);
    assert!(done.text.contains("second: 0") && done.text.contains("/dataset.h5"), "{}", done.text);
}
