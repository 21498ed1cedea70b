//! What `check` finds before anything is computed, and that what commands tell is so: causes, counts and names.
#![cfg(feature = "torch")]

mod mpi;

use hdf5::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(100);
const ROWS: usize = 120;

const CAMPAIGN: &str = r#"
output = "o"
seed = 1
[dataset]
file = "d.h5"
parameters.a = { min = 0.0, max = 1.0 }
[[train]]
name = "compressor"
input = "x"
epochs = 2
batch_size = 20
network = { kind = "vmim", transform = "none", mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
[[train]]
name = "posterior"
input = "compressor"
epochs = 2
batch_size = 20
network = { kind = "npe", ensemble = 1, flow = { layers = 1, hidden = 8, bins = 4 } }
[infer]
posterior = "posterior"
draws = 40
[report]
corners = 1
"#;

/// A folder with a campaign and a file of other data: 80 rows to learn from, 20 for validation, 20 for tests.
struct Place(tempfile::TempDir);

/// Other data under a name: what each row's parameter, its numbers and its use are.
struct Data {
    theta: Vec<f64>,
    x: Vec<f32>,
    split: Vec<u8>,
}

impl Data {
    fn new() -> Data {
        let theta: Vec<f64> = (0..ROWS).map(|i| (i as f64 * 0.618).fract()).collect();
        let x = theta.iter().enumerate().flat_map(|(i, t)| [*t as f32, 0.1 * (i % 7) as f32]).collect();
        Data { theta, x, split: (0..ROWS).map(|i| (i >= 80) as u8 + (i >= 100) as u8).collect() }
    }
}

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::write(place.path("run.toml"), CAMPAIGN).unwrap();
        place.put(&Data::new());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, data: &Data) {
        let file = File::create(self.path("d.h5")).unwrap();
        file.new_dataset::<f64>().shape([ROWS, 1]).create("theta").unwrap().write_raw(&data.theta).unwrap();
        file.new_dataset::<f32>().shape([ROWS, 2]).create("x").unwrap().write_raw(&data.x).unwrap();
        file.new_dataset::<u8>().shape([ROWS]).create("split").unwrap().write_raw(&data.split).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        run.current_dir(self.0.path()).env("OMP_NUM_THREADS", "1").args(words);
        run
    }

    /// Runs a command on `run.toml`, which ends with this code and says these words.
    #[track_caller]
    fn says(&self, words: &[&str], code: i32, parts: &[&str]) -> String {
        let ended = mpi::finish(self.command(&[&[words[0], "run.toml"], &words[1..]].concat()), LIMIT);
        assert_eq!(ended.code, Some(code), "{words:?}: {}", ended.text);
        for part in parts {
            assert!(ended.text.contains(part), "{words:?} does not say {part:?}:\n{}", ended.text);
        }
        ended.text
    }
}

#[test]
fn check_finds_what_training_and_inference_would() {
    let place = Place::new();
    let text = place.says(&["check"], 0, &["80 rows to learn from, 20 for validation, 20 for tests", "\nok\n"]);
    for section in ["cosmology.", "suite.", "design."] {
        assert!(!text.contains(section), "{section} is a simulator's: {text}");
    }
    place.says(&["check", "--set", "suite.shard_size=2"], 0, &["[suite] is given and not used"]);
    let refused = |change: &dyn Fn(&mut Data), more: &[&str], parts: &[&str]| {
        let mut data = Data::new();
        change(&mut data);
        place.put(&data);
        for command in ["check", "run"] {
            place.says(&[&[command], more].concat(), 2, &[parts, &["remedy: "]].concat());
        }
        assert!(!place.path("o").exists(), "something was begun");
    };
    refused(&|d| d.theta[3] = 1.5, &[], &["d.h5", "theta = [1.5]", "1 row to learn from (row 3)", "outside the prior"]);
    refused(&|d| d.theta[80..90].fill(-2.0), &[], &["10 rows to learn from (rows 80, 81, 82, 83, 84 and 5 more)"]);
    refused(&|d| d.split.fill(2), &[], &["dataset.test", "of 120 rows none is left to learn from", "`split`"]);
    refused(&|d| d.split[100..].fill(0), &[], &["dataset.test", "of 120 rows none is for tests", "`split`"]);
    let unusable = ["d.h5", "x: all of 20 rows for tests hold numbers that cannot be used", "stage compressor"];
    refused(&|d| d.x[200..].iter_mut().step_by(2).for_each(|x| *x = f32::NAN), &[], &unusable);
    let log = ["--set", "train.compressor.network.transform=log1p"];
    refused(&|d| d.x[200..].fill(-3.0), &log, &unusable);
    let augment = ["--set", "train.compressor.augment=true"];
    refused(&|_| {}, &augment, &["run.toml", "train.compressor.augment = true", "maps of a periodic box"]);
    let augment = ["--set", "train.posterior.augment=true"];
    refused(&|_| {}, &augment, &["train.posterior.augment", "summaries of compressor", "`copies`"]);
    refused(&|_| {}, &["--set", "train.compressor.input=y"], &["train.compressor.input", "no such dataset"]);

    // A column of uses is taken for them, with a word.
    place.put(&Data::new());
    let file = hdf5::File::open_rw(place.path("d.h5")).unwrap();
    file.unlink("split").unwrap();
    file.new_dataset::<u8>().shape([ROWS, 1]).create("split").unwrap().write_raw(&Data::new().split).unwrap();
    drop(file);
    place.says(&["check"], 0, &["split has the shape [120, 1]: one for each row", "20 for tests"]);

    // What is only left out is named and no more: a row for tests outside the prior, one that cannot be used.
    let mut data = Data::new();
    (data.theta[101], data.x[204]) = (7.0, f32::INFINITY);
    place.put(&data);
    let text = place.says(&["check"], 0, &["1 row for tests (row 101) lies outside the prior", "\nok\n"]);
    assert_eq!(text.matches("row 101").count(), 1, "{text}");
    // Who only trains needs no tests, but is told.
    data.split[100..].fill(1);
    (data.theta[101], data.x[204]) = (0.5, 0.0);
    place.put(&data);
    place.says(
        &["train", "--set", "train.compressor.epochs=1", "compressor"],
        0,
        &["none is for tests", "observations"],
    );
}

#[test]
fn a_page_knows_what_it_shows() {
    let place = Place::new();
    let text = place.says(&["run"], 0, &[]);
    assert!(!text.contains("outside the prior"), "{text}");
    let status = place.says(&["status"], 0, &["report       index.html: made\n"]);
    assert!(!status.contains("outdated"), "{status}");
    // A verdict that another [calibrate] would not give is left out, and the page knows.
    let other = ["--set", "calibrate.level=0.9"];
    place.says(
        &[&["report"], &other[..]].concat(),
        0,
        &["left out: the verdict on posterior: calibrate.level was 0.99 and is 0.9"],
    );
    let made = "index.html: made, without what was outdated: calibration/posterior.json";
    place.says(
        &[&["status"], &other[..]].concat(),
        0,
        &[made, "verdict      posterior: outdated: calibrate.level was 0.99"],
    );
    place.says(
        &["status"],
        0,
        &["index.html: outdated: calibration/posterior.json was left out of it, and is of use now"],
    );
    let json = place.says(&["status", "--json"], 0, &[]);
    assert!(json.contains("\"left_out\": [\n        \"calibration/posterior.json\""), "{json}");
    place.says(&["report"], 0, &[]);

    // Whatever is changed is named as what it is, and commands name the campaign's own file.
    let seed = "seed + train.compressor.seed was 1 and is 2";
    let status = place.says(&["status", "--set", "seed=2"], 0, &[seed]);
    let page = status.lines().find(|line| line.starts_with("report")).unwrap();
    assert!(page.contains("which is outdated: ") && page.contains("seed + train.posterior.seed"), "{page}");
    place.says(&["infer", "--set", "seed=2"], 2, &["`polycosm train run.toml --set seed=2 --retrain compressor`"]);
    place.says(
        &["export", "--to", "e", "--field", "split"],
        2,
        &["--field = \"split\"", "known here: x, compressor, posterior\n"],
    );
    assert!(!place.path("e").exists());
    std::fs::remove_file(place.path("o/posterior/posterior.h5")).unwrap();
    place.says(&["report"], 0, &["left out: the verdict on posterior: the draws that it is of are gone"]);
}

#[test]
fn a_stopped_training_is_counted_the_same_everywhere() {
    let place = Place::new();
    let many = ["--set", "train.compressor.epochs=100000"];
    let log = place.path("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = place.command(&[&["train", "run.toml"], &many[..]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0);
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    while !place.path("o/train/compressor/history.jsonl").exists() && start.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    place.says(&[&["status"], &many[..]].concat(), 0, &["compressor: in training, ", " of 100000 epochs done"]);
    mpi::send("INT", &child.id().to_string());
    assert_eq!(child.wait().unwrap().code(), Some(85));
    let text = std::fs::read_to_string(&log).unwrap();
    let epochs = text.split_once("stopped cleanly after ").unwrap().1.split(' ').next().unwrap().to_string();
    let status = place.says(&[&["status"], &many[..]].concat(), 0, &["stage        posterior: not trained"]);
    assert!(status.contains(&format!("compressor: stopped, {epochs} of 100000 epochs done")), "{epochs}: {status}");
    let json = place.says(&[&["status", "--json"], &many[..]].concat(), 0, &[]);
    assert!(json.contains(&format!("\"epochs\": {epochs}")), "{json}");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = place.command(&[&["train", "run.toml"], &many[..]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0);
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    let told = || std::fs::read_to_string(&log).unwrap();
    while !told().contains("going on") && start.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    mpi::kill(&mut child);
    assert!(told().contains(&format!(" after {epochs} epoch")), "{epochs}: {}", told());
}

#[test]
fn a_name_that_is_taken_is_told_once() {
    let place = Place::new();
    std::fs::rename(place.path("run.toml"), place.path("campaign.toml")).unwrap();
    let ended = mpi::finish(place.command(&["run", "campaign.toml", "--set", "output=."]), LIMIT);
    assert!(ended.success, "{}", ended.text);
    assert_eq!(ended.text.matches("campaign.toml is not polycosm's").count(), 1, "{}", ended.text);
}

/// Points of a tiny suite: on the lower bound there are too many baryons for the fit of the spectrum.
const UNIVERSES: &str = "output = \"o\"\nseed = 1\n[cosmology]\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\n[design]\n\
    simulations = 16\ntest = 0.5\nparameters.Omega_m = { min = 0.0809, max = 0.5 }\n\
    parameters.sigma8 = { min = 0.6, max = 1.0 }\n[simulator]\nkind = \"pm\"\nbox_size = 128.0\nparticles = 16\n\
    time = { steps = 2 }\npower = {}\n[[train]]\nname = \"posterior\"\ninput = \"power\"\nepochs = 1\n\
    network = { kind = \"npe\", ensemble = 1, transform = \"log\" }\n[infer]\nposterior = \"posterior\"\ndraws = 40\n";

#[test]
fn the_design_and_not_calibrate_is_named_where_it_changed() {
    let place = Place::new();
    std::fs::write(place.path("run.toml"), UNIVERSES).unwrap();
    // Of a design in the box no universe is expected on its very bounds; the rows of a list may lie there.
    place.says(&["check"], 0, &["\nok\n"]);
    let points: Vec<String> =
        (0..16).map(|i| format!("{} {}", 0.2 + 0.01 * i as f64, 0.95 - 0.02 * i as f64)).collect();
    std::fs::write(place.path("list.txt"), points.join("\n")).unwrap();
    let list = ["--set", "design.kind=list", "--set", "design.file=list.txt"];
    place.says(&[&["check"], &list[..]].concat(), 2, &["Omega_m", "remedy: "]);
    let none = ["--set", "design.test=0"];
    for command in ["check", "run"] {
        place.says(
            &[&[command], &none[..]].concat(),
            2,
            &["design.test", "of 16 universes none is for tests", "remedy: "],
        );
    }
    let augment = ["--set", "train.posterior.augment=true"];
    place.says(&[&["check"], &augment[..]].concat(), 2, &["train.posterior.augment", "maps of a periodic box"]);
    assert!(!place.path("o").exists());

    let list = [&list[..], &["--set", "design.parameters.Omega_m.min=0.1"]].concat();
    let text = place.says(&[&["run"], &list[..]].concat(), 0, &["NO VERDICT"]);
    assert!(!text.contains("mean of one simulation"), "{text}");
    place.says(&[&["simulate"], &list[..]].concat(), 0, &["nothing to do: 16 simulations were run before"]);
    let status =
        place.says(&[&["status"], &list[..], &["--set", "design.prior=uniform"]].concat(), 0, &["design.prior"]);
    assert!(!status.contains("calibrate."), "{status}");
}

/// `campaign.toml` is a campaign wherever it is read; only who looks at an observation asks for it.
#[test]
fn the_kept_campaign_is_of_the_same_files_from_anywhere() {
    let place = Place::new();
    let observation = File::create(place.path("obs.h5")).unwrap();
    observation.new_dataset::<f32>().shape([2]).create("x").unwrap().write_raw(&[0.4f32, 0.2]).unwrap();
    drop(observation);
    place.says(&["train", "--set", "infer.observations=[\"obs.h5\"]"], 0, &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = place.path("o/campaign.toml").display().to_string();
    let go = |words: &str, code: i32, parts: &[&str]| {
        let words: Vec<&str> = words.split(' ').collect();
        let mut command = place.command(&[&[words[0], &kept], &words[1..]].concat());
        command.current_dir(elsewhere.path());
        let ended = mpi::finish(command, LIMIT);
        assert_eq!(ended.code, Some(code), "{words:?}: {}", ended.text);
        parts
            .iter()
            .for_each(|part| assert!(ended.text.contains(part), "{words:?} does not say {part}: {}", ended.text));
    };
    go("infer", 0, &["obs, posterior `posterior`"]);
    assert!(place.path("o/posterior/observation-obs-posterior.h5").exists());
    std::fs::remove_file(place.path("obs.h5")).unwrap();
    go("status", 0, &["posterior: trained"]);
    for words in ["calibrate", "export --to e", "report"] {
        go(words, 0, &[]);
    }
    for words in ["check", "infer", "run"] {
        go(words, 2, &["infer.observations", "obs.h5", "no such file", "remedy: "]);
    }
    assert_eq!(
        std::fs::read_dir(elsewhere.path()).unwrap().count(),
        1,
        "something was written where the command stood"
    );
}

#[test]
fn draws_that_cannot_be_judged_or_would_be_lost_are_refused() {
    let place = Place::new();
    for command in ["check", "run"] {
        let parts = ["infer.draws = 3", "`polycosm calibrate` needs 20 draws", "remedy: "];
        place.says(&[command, "--set", "infer.draws=3"], 2, &parts);
        let parts = ["infer.baseline = \"posterior\"", "is the posterior itself", "remedy: "];
        place.says(&[command, "--set", "infer.baseline=posterior"], 2, &parts);
    }
    assert!(!place.path("o").exists(), "something was begun");
    place.says(&["train", "--set", "infer.draws=3"], 0, &["infer.draws: `polycosm calibrate` needs 20 draws"]);
    place.says(&["infer", "--set", "infer.draws=3"], 0, &["infer.draws: `polycosm calibrate` needs 20 draws"]);
    place.says(&["infer"], 0, &["drawn anew: there are 3 draws of each, not 40"]);
    let before = std::fs::read(place.path("o/posterior/posterior.h5")).unwrap();
    let parts = ["posterior.h5: infer.draws = 39", "there are 40 draws of each", "remedy: give as many"];
    place.says(&["infer", "--set", "infer.draws=39"], 2, &parts);
    assert!(std::fs::read(place.path("o/posterior/posterior.h5")).unwrap() == before);
    // Those of other weights are no loss.
    place.says(&["train", "--retrain", "posterior", "--set", "train.posterior.seed=1"], 0, &[]);
    place.says(&["infer", "--set", "infer.draws=39", "--set", "train.posterior.seed=1"], 0, &["drawn anew"]);
}
