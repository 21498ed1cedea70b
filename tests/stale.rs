//! Results know what they are of: whatever they depend on is changed, damaged or taken away, and nothing that is stale
//! is used or shown without a word.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::io::dataset::Dataset;
use polycosm::io::identity::Identity;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const ROWS: usize = 160;

const CAMPAIGN: &str = r#"
output = "o"
seed = 1
[dataset]
file = "d.h5"
parameters.a = { min = -0.1, max = 1.1 }
parameters.b = { min = -0.1, max = 1.1 }
[[train]]
name = "compressor"
input = "x"
epochs = 3
batch_size = 20
network = { kind = "vmim", transform = "none", mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
[[train]]
name = "posterior"
input = "compressor"
epochs = 3
batch_size = 20
network = { kind = "npe", ensemble = 1, flow = { layers = 1, hidden = 8, bins = 4 } }
[infer]
posterior = "posterior"
draws = 40
[report]
corners = 1
"#;

/// A folder with a campaign and its data.
struct Place {
    folder: tempfile::TempDir,
}

/// Parameters, three numbers that tell of them, and what each row is used for.
fn data(path: &Path, noise: f32, reversed: bool) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let theta: Vec<f64> = (0..2 * ROWS).map(|_| rng.random_range(0.0..1.0)).collect();
    let mut near = |t: f64| t as f32 + noise * rng.random_range(-1.0..1.0f32);
    let x: Vec<f32> = theta.chunks(2).flat_map(|t| [near(t[0]), near(t[1]), near(t[0] + t[1])]).collect();
    let mut split: Vec<u8> = (0..ROWS).map(|i| (i > 110) as u8 + (i > 130) as u8).collect();
    if reversed {
        split.reverse();
    }
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([ROWS, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f32>().shape([ROWS, 3]).create("x").unwrap().write_raw(&x).unwrap();
    file.new_dataset::<u8>().shape([ROWS]).create("split").unwrap().write_raw(&split).unwrap();
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("run.toml"), CAMPAIGN).unwrap();
        data(&folder.path().join("d.h5"), 0.1, false);
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        run.current_dir(self.folder.path()).env("OMP_NUM_THREADS", "1");
        run.args([words[0], "run.toml"]).args(&words[1..]);
        run
    }

    /// Exit code and all that was said.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let out = mpi::finish(self.command(words), LIMIT);
        (out.code.unwrap_or(-1), out.text)
    }

    fn done(&self, words: &[&str]) -> String {
        let (code, text) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {text}");
        text
    }

    fn refused(&self, words: &[&str], parts: &[&str]) {
        let (code, text) = self.run(words);
        assert!(code == 1 || code == 2, "{words:?}: exit {code}: {text}");
        for part in parts.iter().chain(&["remedy"]) {
            assert!(text.contains(part), "{words:?} does not say {part}: {text}");
        }
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

const WEIGHTS: &str = "o/train/posterior/weights.safetensors";

#[test]
fn a_stage_trained_anew_makes_what_stands_on_it_outdated() {
    let place = Place::new();
    place.done(&["run"]);
    let text = place.done(&["run"]);
    assert!(text.contains("posterior: done before") && text.contains("infer posterior: nothing to do"), "{text}");
    let status = place.done(&["status"]);
    assert!(!status.contains("outdated"), "{status}");

    std::fs::remove_dir_all(place.path("o/train/compressor")).unwrap();
    let other = ["--set", "train.compressor.seed=5"];
    place.refused(&["run", other[0], other[1]], &["posterior", "trained anew", "--retrain posterior"]);
    for command in ["infer", "calibrate"] {
        place.refused(&[command, other[0], other[1]], &["posterior", "outdated"]);
    }
    let text = place.done(&["report", other[0], other[1]]);
    assert!(text.contains("left out: the draws of posterior"), "{text}");
    let page = std::fs::read_to_string(place.path("o/report/index.html")).unwrap();
    assert!(page.contains("Left out of this page") && !page.contains("corner_test_0"), "stale draws are shown");
    let status = place.done(&["status", other[0], other[1]]);
    for line in ["posterior: outdated: it stands on stage compressor", "draws        posterior: outdated", "verdict"] {
        assert!(status.contains(line), "no {line}: {status}");
    }
    let json = place.done(&["status", other[0], other[1], "--json"]);
    assert!(json.contains("\"outdated\": \"it stands on stage compressor"), "{json}");

    // What is the user's own stays.
    std::fs::write(place.path("o/train/posterior/notes.txt"), "mine").unwrap();
    place.done(&["train", other[0], other[1], "--retrain", "compressor"]);
    assert!(place.path("o/train/posterior/notes.txt").exists());
    place.done(&["run", other[0], other[1]]);
    let status = place.done(&["status", other[0], other[1]]);
    assert!(!status.contains("outdated"), "{status}");
    // Other data: what all stand on is named, and nothing is forgotten that could not be trained.
    data(&place.path("other.h5"), 0.2, false);
    let set = ["--set", "dataset.file=other.h5", other[0], other[1]];
    let weights = place.bytes(WEIGHTS);
    place.refused(&[&["infer"], &set[..]].concat(), &["stage posterior is outdated", "--retrain compressor"]);
    place.refused(
        &[&["train", "--retrain", "posterior"], &set[..]].concat(),
        &["stage compressor", "--retrain compressor"],
    );
    assert!(place.bytes(WEIGHTS) == weights, "weights were forgotten in vain");
    let (code, text) = place.run(&["train", "--retrain", "nobody"]);
    assert!(code == 2 && text.contains("compressor, posterior"), "{text}");
}

#[test]
fn contents_decide_not_times_and_names() {
    let place = Place::new();
    place.done(&["run"]);
    let before = place.bytes("o/posterior/posterior.h5");

    // The same data under another name and of another time.
    std::fs::copy(place.path("d.h5"), place.path("copy.h5")).unwrap();
    let text = place.done(&["infer", "--set", "dataset.file=copy.h5"]);
    assert!(text.contains("nothing to do"), "{text}");

    // Other data under the same parameters, another split, another prior, another seed: none is "nothing to do".
    data(&place.path("other.h5"), 0.2, false);
    data(&place.path("reversed.h5"), 0.1, true);
    let wide = "dataset.parameters={ a = { min = -5.0, max = 5.0 }, b = { min = -5.0, max = 5.0 } }";
    for (set, words) in [
        ("dataset.file=other.h5", "data in x"),
        ("dataset.file=reversed.h5", "row 0 was for training and is for tests (and"),
        (wide, "prior"),
        ("seed=2", "seed"),
        ("train.posterior.network.flow.bins=5", "bins was 4 and is 5"),
    ] {
        for command in ["infer", "train", "calibrate"] {
            place.refused(&[command, "--set", set], &["outdated", words]);
        }
    }
    assert!(place.bytes("o/posterior/posterior.h5") == before, "draws were replaced");
    // How weights are looked for does not make those that were found useless; it is told, and training refuses.
    let epochs = ["--set", "train.posterior.epochs=4"];
    place.refused(&[&["train"], &epochs[..]].concat(), &["outdated", "epochs was 3 and is 4"]);
    for (command, words) in
        [("infer", "is used as it was trained: train.posterior.epochs was 3"), ("status", "epochs was 3")]
    {
        let text = place.done(&[&[command], &epochs[..]].concat());
        assert!(text.contains(words), "{text}");
    }
    assert!(place.bytes("o/posterior/posterior.h5") == before, "draws were replaced");
    // What weights do not depend on makes nothing outdated.
    let text = place.done(&["train", "--set", "train.posterior.checkpoint_every=2"]);
    assert!(text.contains("posterior: done before"), "{text}");

    // Other draws are drawn again, and the old verdict is not shown as theirs.
    let text = place.done(&["infer", "--set", "infer.draws=50"]);
    assert!(text.contains("drawn anew: there are 40 draws"), "{text}");
    place.refused(&["infer"], &["posterior.h5: infer.draws = 40", "there are 50 draws of each"]);
    let text = place.done(&["report", "--set", "infer.draws=50"]);
    assert!(text.contains("left out: the verdict on posterior"), "{text}");
    place.done(&["calibrate"]);
    assert!(!place.done(&["report"]).contains("left out"));
    assert!(place.done(&["report", "--set", "calibrate.level=0.9"]).contains("calibrate.level was 0.99 and is 0.9"));
}

/// Flips a bit of the last byte but `from_end` of a file.
fn flip(path: &Path, from_end: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 1 - from_end;
    bytes[at] ^= 64;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_named_with_a_remedy() {
    let place = Place::new();
    place.done(&["run"]);
    let whole = |name: &str| (place.path(name), place.bytes(name));
    let cases: [(&str, &[&[&str]]); 5] = [
        (WEIGHTS, &[&["infer", "--set", "infer.draws=41"], &["train"]]),
        ("o/train/compressor/weights.safetensors", &[&["infer", "--set", "infer.draws=41"]]),
        ("o/train/posterior/model.json", &[&["infer"], &["train"]]),
        ("o/posterior/posterior.h5", &[&["calibrate"], &["report"]]),
        ("o/calibration/posterior.json", &[&["report"]]),
    ];
    for (name, commands) in cases {
        let (path, bytes) = whole(name);
        for garbage in [false, true] {
            match garbage {
                true => std::fs::write(&path, b"\xff\xfe").unwrap(),
                false if name.ends_with("h5") => {
                    let file = hdf5::File::open_rw(&path).unwrap();
                    let theta = file.dataset("theta").unwrap();
                    let mut values = theta.read_raw::<f64>().unwrap();
                    values[17] += 1e-9;
                    theta.write_raw(&values).unwrap();
                }
                false if name.ends_with("json") => {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    let digit = text.find("0.").unwrap() + 2;
                    let mut changed = bytes.clone();
                    changed[digit] ^= 1;
                    std::fs::write(&path, changed).unwrap();
                }
                false => flip(&path, 40),
            }
            commands.iter().for_each(|words| place.refused(words, &[name]));
            let status = place.done(&["status"]);
            assert!(status.contains("cannot be used"), "{name}: {status}");
            std::fs::write(&path, &bytes).unwrap();
        }
    }
    std::fs::write(place.path("o/train/posterior/history.jsonl"), b"\xff\xfe").unwrap();
    place.refused(&["report"], &["history.jsonl"]);
    // Damaged draws are polycosm's own: they are drawn again.
    flip(&place.path("o/posterior/posterior.h5"), 40);
    std::fs::remove_file(place.path("o/train/posterior/history.jsonl")).unwrap();
    place.done(&["infer"]);
    place.done(&["calibrate"]);
}

#[test]
fn two_trainings_at_once_are_one_after_the_other() {
    let place = Place::new();
    place.done(&["train"]);
    let expected = place.bytes(WEIGHTS);
    std::fs::remove_dir_all(place.path("o/train/posterior")).unwrap();
    let outputs = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| place.run(&["train"])));
        both.map(|job| job.join().unwrap())
    });
    assert!(outputs.iter().all(|(code, _)| *code == 0), "{outputs:?}");
    assert!(place.bytes(WEIGHTS) == expected, "other weights than those of one training alone");

    // A word while waiting.
    let held = std::fs::File::open(place.path("o/train/posterior/lock")).unwrap();
    held.lock().unwrap();
    std::fs::remove_file(place.path("o/train/posterior/model.json")).unwrap();
    let waiting = std::thread::scope(|scope| {
        let job = scope.spawn(|| place.run(&["train"]));
        std::thread::sleep(Duration::from_secs(6));
        held.unlock().unwrap();
        job.join().unwrap()
    });
    assert!(waiting.0 == 0 && waiting.1.contains("another job is training in this folder; waiting"), "{waiting:?}");
    assert!(place.bytes(WEIGHTS) == expected);
}

#[test]
fn a_failed_training_is_not_in_the_way_of_the_mended_campaign() {
    let place = Place::new();
    let (code, text) = place.run(&["train", "compressor", "--set", "train.compressor.learning_rate=1e300"]);
    assert!(code == 1 && text.contains("the loss is"), "{text}");
    place.done(&["train"]);
    // One that has learned is gone on with as it was begun, or named.
    for file in ["model.json", "weights.safetensors"] {
        std::fs::remove_file(place.path("o/train/posterior").join(file)).unwrap();
    }
    place.refused(&["train", "--set", "train.posterior.clip=1.0"], &["stage.json", "begun otherwise", "clip was 5.0"]);
    // Its newest checkpoint is damaged: the one before it is used, in words.
    flip(&place.path("o/train/posterior/checkpoint.safetensors"), 40);
    let text = place.done(&["train"]);
    assert!(text.contains("checkpoint.safetensors: the checkpoint cannot be used: it is damaged"), "{text}");
}

/// On a full disk, in a mount namespace of its own so that nothing is left behind.
#[test]
fn nothing_incomplete_has_a_final_name() {
    let place = Place::new();
    let script = format!(
        "mkdir o && mount -t tmpfs -o size=8m none o || exit 77\n\
         go() {{ '{program}' \"$@\"; }}; go run run.toml || exit 1\n\
         full() {{ rm -rf $1; free=$(df --output=avail -k o | tail -n 1); head -c $(((free - 8) * 1024)) /dev/zero >o/filler\n\
         go $2 run.toml; echo \"$2: $?\"; find o \\( -name '*.tmp' -o -path o/$3 \\) ! -name lock | sed 's/^/left over: /'; rm o/filler; }}\n\
         full o/posterior/posterior.h5 infer posterior/posterior.h5\n\
         full o/report report 'report/*'\n\
         go infer run.toml; full o/calibration calibrate calibration/posterior.json\n\
         full o/train/posterior train train/posterior/model.json\n\
         go run run.toml; echo \"in the end: $?\"",
        program = env!("CARGO_BIN_EXE_polycosm"),
    );
    let mut shell = Command::new("unshare");
    shell.current_dir(place.folder.path()).args(["--map-root-user", "--mount", "bash", "-c", &script]);
    shell.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1").env("OMP_NUM_THREADS", "1");
    let done = mpi::finish(shell, LIMIT);
    if done.code == Some(77) || done.text.contains("unshare: ") {
        println!("not tried: this system lets nobody mount a small disk ({})", done.text.trim());
        return;
    }
    for line in ["infer: 1", "report: 1", "train: 1", "calibrate: 1", "in the end: 0", "free some space"] {
        assert!(done.text.contains(line), "no {line}: {}", done.text);
    }
    assert!(!done.text.contains("left over"), "{}", done.text);
}

/// Files that polycosm keeps for itself, in whose place something without an end stands: told or left aside, never read
/// on and on.
#[test]
fn nothing_is_read_without_end() {
    let place = Place::new();
    place.done(&["run"]);
    for (file, command, code) in [
        ("o/train/posterior/model.json", "infer", 1),
        ("o/train/posterior/history.jsonl", "report", 1),
        ("o/train/posterior/weights.safetensors", "infer --set infer.draws=41", 1),
        ("o/calibration/posterior.json", "report", 1),
        ("o/report/made-of.json", "status", 0),
        ("o/timings.json", "report", 0),
        ("o/campaign.toml", "infer --set infer.draws=41", 0),
    ] {
        let (path, aside) = (place.path(file), place.path("aside"));
        std::fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let (is, text) = place.run(&command.split(' ').collect::<Vec<_>>());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(is, code, "{file}: {text}");
        assert!(code == 0 || text.contains(name) && text.contains("no ordinary file"), "{file}: {text}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
}

/// Networks that learned from one simulator's universes are not shown, nor taught with, what another's eyes see.
fn another_simulator_does_not_look(place: &Place) {
    let other = ["--set", "simulator.mesh_factor=1"];
    place
        .refused(&["infer", "--observation", "two/snap.hdf5", other[0], other[1]], &["simulator.mesh_factor", "begun"]);
    for command in ["infer", "train"] {
        place.refused(&[command, other[0], other[1]], &["simulator.mesh_factor"]);
    }
    // How universes are packed, and versions where nothing is looked at, shape no data.
    place.done(&["train", "--set", "suite.shard_size=7"]);
    let path = place.path("o/fingerprint.json");
    let begun = std::fs::read_to_string(&path).unwrap();
    let mut newer: serde_json::Value = serde_json::from_str(&begun).unwrap();
    newer["campaign"]["numerics"]["pm"] = 99.into();
    newer.as_object_mut().unwrap().remove("sha256").unwrap();
    std::fs::write(&path, polycosm::io::identity::sealed(&newer).unwrap()).unwrap();
    place.done(&["infer"]);
    place.refused(&["infer", "--observation", "two/snap.hdf5"], &["version 99 of the numerics of pm"]);
    std::fs::write(&path, begun).unwrap();
}

#[test]
fn an_export_has_no_stale_chains() {
    let place = Place::new();
    place.done(&["run"]);
    place.done(&["export", "--to", "e"]);
    let chains = || std::fs::read_dir(place.path("e/chains-posterior")).unwrap().count();
    let first = chains();
    assert!(first > 3);
    for file in ["e/chains-posterior/universe_999999.txt", "e/chains-posterior/universe_000001.mine"] {
        std::fs::write(place.path(file), "1").unwrap();
    }
    // What killed jobs left goes, and nothing of the user's.
    let left = ["posterior/posterior.h5", "calibration/posterior.json", "report/index.html"];
    let left: Vec<_> = left.iter().map(|name| place.path(&format!("o/{name}.77.polycosm.tmp"))).collect();
    let left: Vec<_> = left.into_iter().chain([place.path("e/dataset.h5.77.polycosm.tmp")]).collect();
    let mine = ["o/posterior/mine.polycosm.tmp", "e/other.h5.77.polycosm.tmp"].map(|name| place.path(name));
    left.iter().chain(&mine).for_each(|file| std::fs::write(file, "").unwrap());
    place.done(&["export", "--to", "e"]);
    assert_eq!(chains(), first + 1, "a chain of no universe stays, or the user's file goes");
    for command in ["infer", "calibrate", "report"] {
        place.done(&[command, "--set", "infer.draws=41"]);
    }
    assert!(left.iter().all(|file| !file.exists()) && mine.iter().all(|file| file.exists()));

    data(&place.path("d.h5"), 0.2, false);
    let text = place.done(&["export", "--to", "e"]);
    assert!(text.contains("left out: the draws in") && text.contains("are others"), "{text}");
    assert_eq!(chains(), 2, "stale chains stay");
}

#[test]
fn a_page_of_other_universes_is_outdated() {
    let place = Place::new();
    let untrained = CAMPAIGN.split("[[train]]").next().unwrap();
    std::fs::write(place.path("run.toml"), untrained).unwrap();
    place.done(&["report"]);
    let outdated = || place.done(&["status"]).lines().any(|l| l.contains("report") && l.contains("outdated"));
    assert!(!outdated());
    data(&place.path("d.h5"), 0.1, true);
    assert!(outdated(), "another split");
    place.done(&["report"]);
    assert!(!outdated());
    std::fs::write(place.path("run.toml"), format!("{untrained}\n[report]\ntitle = \"another\"\n")).unwrap();
    assert!(outdated(), "another title");
}

#[test]
fn summaries_that_a_transform_does_not_take_are_refused() {
    let place = Place::new();
    let set = ["--set", "train.posterior.network.transform=\"log1p\"", "--set", "train.posterior.network.embedding=2"];
    let words: Vec<&str> = std::iter::once("train").chain(set).collect();
    place.refused(&words, &["summaries of compressor", "train.posterior.network.transform"]);
}

#[test]
fn two_observations_of_one_name_are_kept_apart() {
    let place = Place::new();
    let campaign = r#"
output = "o"
seed = 1
[cosmology]
Omega_b = 0.0486
h = 0.6774
n_s = 0.9667
[design]
simulations = 40
parameters.Omega_m = { min = 0.1, max = 0.5 }
parameters.sigma8 = { min = 0.6, max = 1.0 }
[simulator]
kind = "pm"
box_size = 128.0
particles = 8
time = { steps = 2 }
power = {}
snapshots = true
[[train]]
name = "a-b"
input = "power"
epochs = 2
network = { kind = "npe", ensemble = 1, transform = "log", embedding = 2, mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
[[train]]
name = "b"
input = "power"
epochs = 2
network = { kind = "npe", ensemble = 1, transform = "log", embedding = 2, mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
[infer]
posterior = "b"
baseline = "a-b"
draws = 40
"#;
    std::fs::write(place.path("run.toml"), campaign).unwrap();
    place.done(&["run"]);
    for (folder, from) in [("one", 3), ("two", 5)] {
        std::fs::create_dir(place.path(folder)).unwrap();
        let from = place.path(&format!("o/snapshots/{from:06}.hdf5"));
        std::fs::copy(from, place.path(folder).join("snap.hdf5")).unwrap();
    }
    let set = ["--set", "infer.observations=[\"one/snap.hdf5\", \"two/snap.hdf5\"]"];
    place.done(&["infer", set[0], set[1]]);
    let files = || {
        let names = std::fs::read_dir(place.path("o/posterior")).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|n| n.to_string_lossy().starts_with("observation-")).count()
    };
    assert_eq!(files(), 4, "two observations, two posteriors");
    let text = place.done(&["infer", set[0], set[1]]);
    assert_eq!(text.matches("snap.hdf5: nothing to do").count(), 2, "{text}");
    place.done(&["infer", "--observation", "two/snap.hdf5"]);
    assert_eq!(files(), 4, "one is drawn twice under two names");
    // The same relative name in two working directories is two files.
    for folder in ["one", "two"] {
        let mut infer = place.command(&["infer", "--observation", "snap.hdf5", "--set"]);
        infer.current_dir(place.path(folder)).arg(format!("output={}", place.path("o").display()));
        let campaign = place.path("run.toml");
        let words: Vec<_> =
            infer.get_args().map(|a| if a == "run.toml" { campaign.as_os_str() } else { a }.to_owned()).collect();
        let mut infer = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        infer.current_dir(place.path(folder)).env("OMP_NUM_THREADS", "1").args(words);
        let out = mpi::finish(infer, LIMIT);
        assert_eq!(out.code, Some(0), "{}", out.text);
    }
    assert_eq!(files(), 4, "one took the other's place");
    another_simulator_does_not_look(&place);
    // Its file changes: what was drawn of it is not shown.
    std::fs::copy(place.path("o/snapshots/000007.hdf5"), place.path("two/snap.hdf5")).unwrap();
    let text = place.done(&["report"]);
    assert!(text.contains("left out: the draws in posterior/observation-snap-"), "{text}");
    assert!(text.contains("the observation holds other data"), "{text}");
    let page = std::fs::read_to_string(place.path("o/report/index.html")).unwrap();
    assert!(page.contains("Observation “snap”"), "the other is not shown");
    // The suite grows: stages of fewer universes are not gone on with, and say so.
    let grown = ["--set", "design.simulations=48"];
    place.done(&["simulate", grown[0], grown[1]]);
    place.refused(
        &["train", grown[0], grown[1]],
        &["stage a-b is outdated: rows were added: 40 -> 48", "--retrain a-b"],
    );
}

/// Rows of parameters and data, and what each is used for.
type Rows = Vec<([f64; 2], [f32; 3], u8)>;

/// Writes the rows of one file into another, after a change.
fn changed(from: &Path, to: &Path, change: &dyn Fn(&mut Rows)) {
    let file = hdf5::File::open(from).unwrap();
    let theta = file.dataset("theta").unwrap().read_raw::<f64>().unwrap();
    let x = file.dataset("x").unwrap().read_raw::<f32>().unwrap();
    let split = file.dataset("split").unwrap().read_raw::<u8>().unwrap();
    let row = |i: usize| ([theta[2 * i], theta[2 * i + 1]], [x[3 * i], x[3 * i + 1], x[3 * i + 2]], split[i]);
    let mut rows: Rows = (0..split.len()).map(row).collect();
    change(&mut rows);
    let file = hdf5::File::create(to).unwrap();
    let (theta, x): (Vec<f64>, Vec<f32>) =
        (rows.iter().flat_map(|r| r.0).collect(), rows.iter().flat_map(|r| r.1).collect());
    file.new_dataset::<f64>().shape([rows.len(), 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f32>().shape([rows.len(), 3]).create("x").unwrap().write_raw(&x).unwrap();
    let split: Vec<u8> = rows.iter().map(|r| r.2).collect();
    file.new_dataset::<u8>().shape([rows.len()]).create("split").unwrap().write_raw(&split).unwrap();
}

#[test]
fn rows_that_changed_are_named_and_never_mixed() {
    let place = Place::new();
    place.done(&["train"]);
    let [weights, rows] = ["weights.safetensors", "rows.json"].map(|name| format!("o/train/compressor/{name}"));
    let before = place.bytes(&weights);
    let other = place.path("other.h5");
    let set = ["--set", "dataset.file=other.h5"];
    let refused = |change: &dyn Fn(&mut Rows), words: &str| {
        changed(&place.path("d.h5"), &other, change);
        let remedies = ["--retrain compressor", "under another name", "undo the change"];
        place.refused(&["train", set[0], set[1]], &[&["stage compressor is outdated", words][..], &remedies].concat());
        assert!(place.done(&["status", set[0], set[1]]).contains(words), "{words}");
    };
    refused(&|rows| rows[17].1[2] += 1e-3, "row 17 of x is another");
    refused(&|rows| rows[17..21].iter_mut().for_each(|r| r.1[0] = 0.5), "row 17 of x is another (and 3 more)");
    refused(&|rows| rows[3].0[1] = 0.25, "the parameters of row 3 are others");
    refused(&|rows| rows[12].2 = 2, "row 12 was for training and is for tests");
    let without = |rows: &mut Rows| {
        rows.remove(5);
    };
    refused(&without, "row 5 was removed");
    refused(&|rows| rows.swap(5, 6), "the parameters of row 5 (and 1 more) are others");
    // Without the rows that it learned from (of an older program) it is said all the same.
    let kept = place.bytes(&rows);
    std::fs::remove_file(place.path(&rows)).unwrap();
    refused(&|rows| rows[17].1[2] += 1e-3, "the data in x are others");
    std::fs::write(place.path(&rows), "{").unwrap();
    refused(&|rows| rows[17].1[2] += 1e-3, "rows that changed are not named");
    std::fs::write(place.path(&rows), &kept).unwrap();

    // A suite that has grown.
    let grow = |rows: &mut Rows| rows.extend((0..40).map(|i| ([0.5, i as f64 / 40.0], [0.5; 3], 0)));
    refused(&grow, "rows were added: 160 -> 200");
    // One that has begun to learn is not gone on with.
    let begun = ["weights.safetensors", "model.json"].map(|name| place.path(&format!("o/train/compressor/{name}")));
    let there: Vec<Vec<u8>> = begun.iter().map(|file| std::fs::read(file).unwrap()).collect();
    begun.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    place.refused(
        &["train", set[0], set[1]],
        &["begun otherwise: rows were added: 160 -> 200", "--retrain compressor", "under another name"],
    );
    begun.iter().zip(there).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    // Under another name it is trained beside the first, which stays as it was; with --retrain in its place.
    let campaign = CAMPAIGN.replace("\"compressor\"", "\"grown\"").replace("\"posterior\"\ninput", "\"late\"\ninput");
    std::fs::write(place.path("grown.toml"), campaign.replace("posterior = \"posterior\"", "posterior = \"late\""))
        .unwrap();
    let mut grown = Command::new(env!("CARGO_BIN_EXE_polycosm"));
    grown.current_dir(place.folder.path()).env("OMP_NUM_THREADS", "1").args(["train", "grown.toml", set[0], set[1]]);
    let ended = mpi::finish(grown, LIMIT);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(place.path("o/train/grown/model.json").exists() && place.bytes(&weights) == before);
    assert!(place.done(&["train"]).contains("posterior: done before"));
    place.done(&["train", set[0], set[1], "--retrain", "compressor"]);
    assert!(place.bytes(&weights) != before && place.bytes(&rows) != kept);
    assert!(!place.done(&["status", set[0], set[1]]).contains("outdated"));
    place.refused(&["train"], &["row 160 (and 39 more) were removed: 200 -> 160"]);
}

/// 4 blocks of numbers, which ranks share unevenly.
#[test]
fn identities_do_not_depend_on_ranks() {
    mpi::on_ranks("identities_do_not_depend_on_ranks", &[1, 3], |comm| {
        let path = mpi::shared_dir().join("d.h5");
        const WIDE: usize = 25_000;
        let written = comm.on_root(|| {
            data(&path, 0.1, false);
            let x: Vec<f32> = (0..ROWS * WIDE).map(|i| (i % 1009) as f32).collect();
            let file = hdf5::File::open_rw(&path).unwrap();
            file.new_dataset::<f32>().shape([ROWS, WIDE]).create("wide").unwrap().write_raw(&x).unwrap();
            Ok(())
        });
        written.unwrap();
        let dataset = Dataset::open(&path, "theta").unwrap();
        let [all, alone] = [comm, &comm.alone()].map(|c| Identity::of(c, &dataset, &["x", "wide"]).unwrap());
        assert_eq!((all.digest(), &all.fields), (alone.digest(), &alone.fields));
        assert_eq!((all.names(), &all.rows), ("x, wide".into(), &alone.rows));
    });
}
