//! What stages make of a dataset, as files: the same whatever the number of ranks, whole or not there, never of another stage than
//! it is now, and never in anybody else's files.
#![cfg(feature = "torch")]

mod common;
mod mpi;

use polycosm::io::dataset::{Dataset, Split};
use polycosm::io::derived::Derived;
use polycosm::io::history;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

const CAMPAIGN: &str = r#"
output = "o"
seed = 1
[dataset]
file = "d.h5"
axes.x = ["periodic", "periodic"]
parameters.a = { min = -0.1, max = 1.1 }
parameters.b = { min = -0.1, max = 1.1 }
[[train]]
name = "compressor"
input = "x"
epochs = 2
batch_size = 40
augment = true
network = { kind = "vmim", transform = "none", mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8, bins = 4 } }
[[train]]
name = "posterior"
input = "compressor"
epochs = 2
batch_size = 40
copies = 3
network = { kind = "npe", ensemble = 1, flow = { layers = 1, hidden = 8, bins = 4 } }
[infer]
posterior = "posterior"
draws = 40
[report]
corners = 1
"#;
/// Side of the maps.
const SIDE: usize = 4;
const FILE: &str = "o/fields/compressor.h5";

/// A folder with a campaign and its data.
struct Place {
    folder: tempfile::TempDir,
}

/// Two parameters (rows, 2), and maps (rows, SIDE, SIDE) with bumps of their heights.
fn maps(rows: usize) -> (Vec<f64>, Vec<f32>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let theta: Vec<f64> = (0..2 * rows).map(|_| rng.random_range(0.0..1.0)).collect();
    let mut pixel = |t: &[f64], i: usize| t[i % 2] as f32 * (1 + i % 3) as f32 + 0.1 * rng.random_range(-1.0..1.0f32);
    let maps = theta.chunks(2).flat_map(|t| (0..SIDE * SIDE).map(|i| pixel(t, i)).collect::<Vec<_>>());
    let x: Vec<f32> = maps.collect();
    (theta, x)
}

/// These as a dataset, so many in a row of one split.
fn data(path: &Path, (theta, x): &(Vec<f64>, Vec<f32>), together: usize) {
    let rows = theta.len() / 2;
    let split: Vec<u8> = (0..rows).map(|i| [0, 0, 1, 0, 2][i / together % 5]).collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([rows, 2]).create("theta").unwrap().write_raw(theta).unwrap();
    file.new_dataset::<f32>().shape([rows, SIDE, SIDE]).create("x").unwrap().write_raw(x).unwrap();
    file.new_dataset::<u8>().shape([rows]).create("split").unwrap().write_raw(&split).unwrap();
}

impl Place {
    fn new(rows: usize) -> Self {
        Place::of(&maps(rows), 1)
    }

    fn of(maps: &(Vec<f64>, Vec<f32>), together: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("run.toml"), CAMPAIGN).unwrap();
        data(&folder.path().join("d.h5"), maps, together);
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, ranks: usize, words: &[&str]) -> Command {
        let mut run = mpi::mpirun(ranks);
        run.current_dir(self.folder.path()).env("OMP_NUM_THREADS", "1");
        run.arg(env!("CARGO_BIN_EXE_polycosm")).args([words[0], "run.toml"]).args(&words[1..]);
        run
    }

    fn on(&self, ranks: usize, words: &[&str]) -> String {
        let out = mpi::finish(self.command(ranks, words), LIMIT);
        assert_eq!(out.code, Some(0), "{words:?}: {}", out.text);
        out.text
    }

    fn done(&self, words: &[&str]) -> String {
        self.on(1, words)
    }

    fn refused(&self, words: &[&str], parts: &[&str]) {
        let out = mpi::finish(self.command(2, words), LIMIT);
        common::says(&(out.code, out.text), 2, &[parts, &["remedy"]].concat());
    }

    fn made(&self) -> Derived {
        Derived::open(&self.path(FILE)).unwrap()
    }

    /// Every number of the file, as bits.
    fn bits(&self) -> Vec<u64> {
        let Derived { data, looks, .. } = self.made();
        let all: Vec<usize> = (0..data.len()).collect();
        let made = data.read_f64("summaries", &all).unwrap();
        made.iter().chain(data.theta()).chain(&looks.outside).chain(&looks.distance).map(|x| x.to_bits()).collect()
    }
}

#[test]
fn a_file_has_the_same_bits_on_any_ranks_and_is_whole_or_not_there() {
    let place = Place::new(3000);
    let owner = std::fs::read(place.path("d.h5")).unwrap();
    place.done(&["train", "compressor"]);
    let text = place.done(&["apply", "compressor"]);
    assert!(!text.contains("made before"), "{text}");
    assert!(place.done(&["apply"]).contains("compressor: made before"));
    let (one, made) = (place.bits(), place.made());
    // Three of each to learn from, one of each other; another view of a universe has other summaries, the universe's parameters.
    let count = |split| made.data.rows(split).len();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(count), [3 * 1800, 600, 600]);
    let rows = [0, 1, 2].map(|item| made.row(8, item).unwrap());
    let summaries = rows.map(|row| made.data.read_f32("summaries", &[row]).unwrap());
    assert!(summaries[0] != summaries[1] && summaries[1] != summaries[2], "{summaries:?}");
    let theta = Dataset::open(place.path("d.h5"), "theta").unwrap().theta()[16..18].to_vec();
    assert!(rows.iter().all(|row| made.data.theta()[2 * row..2 * row + 2] == theta[..]));
    drop(made);

    for ranks in [2, 3] {
        std::fs::remove_file(place.path(FILE)).unwrap();
        place.on(ranks, &["apply", "compressor"]);
        assert!(place.bits() == one, "{ranks} ranks make other numbers");
    }
    // Killed in the middle there is none; the next one makes it, and leaves nothing else behind.
    std::fs::remove_file(place.path(FILE)).unwrap();
    let unfinished = || -> usize {
        let names = std::fs::read_dir(place.path("o/fields")).unwrap().flatten().map(|e| e.file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".polycosm.tmp")).count()
    };
    mpi::kill_when(place.command(2, &["apply", "compressor"]), || unfinished() > 0);
    assert!(unfinished() == 1 && !place.path(FILE).exists(), "half a file is there");
    place.on(2, &["apply", "compressor"]);
    assert!(place.bits() == one && unfinished() == 0);
    assert!(std::fs::read(place.path("d.h5")).unwrap() == owner, "somebody else's file was written to");
}

#[test]
fn what_is_of_another_stage_is_never_read() {
    let place = Place::new(300);
    place.done(&["run"]);
    let first = place.bits();
    let status = place.done(&["status"]);
    assert!(status.contains("fields       compressor: made") && !status.contains("outdated"), "{status}");
    assert!(place.done(&["verify"]).contains("every checksum"));

    // Trained anew with another seed: the old file is told, not exported, and made anew.
    place.done(&["train", "--set", "train.compressor.seed=5", "--retrain", "compressor"]);
    place.done(&["apply", "--set", "train.compressor.seed=5"]);
    assert!(place.bits() != first, "what another stage made is there still");
    let set = ["--set", "train.compressor.seed=6"];
    std::fs::remove_dir_all(place.path("o/train/compressor")).unwrap();
    place.done(&["train", set[0], set[1], "compressor"]);
    let status = place.done(&["status", set[0], set[1]]);
    assert!(status.contains("fields       compressor: outdated: stage compressor was trained anew"), "{status}");
    let export = ["export", "--to", "e", "--field", "compressor", set[0], set[1]];
    place.refused(&export, &["compressor.h5", "trained anew", "polycosm apply"]);
    let text = place.done(&["apply", set[0], set[1], "compressor"]);
    assert!(text.contains("made anew: stage compressor was trained anew"), "{text}");
    // More of each universe are wanted than it has.
    let more = ["--set", "train.posterior.copies=4"];
    let text = place.done(&["apply", set[0], set[1], more[0], more[1]]);
    assert!(text.contains("it has 3 of each universe to learn from, and 4 are wanted"), "{text}");
    assert!(place.done(&["apply", set[0], set[1]]).contains("made before"), "fewer than it has will do");

    place.done(&export);
    let (copy, made) = (Dataset::open(place.path("e/fields-compressor.h5"), "theta").unwrap(), place.made());
    assert!(!place.path("e/dataset.h5").exists() && copy.len() == made.data.len());
    let chains = |folder: &str| place.path(folder).join("chains-posterior").exists();
    assert!(!chains("e"), "draws that nobody asked for");
    assert_eq!(copy.beside("item").unwrap(), made.data.beside("item").unwrap());
    assert_eq!(copy.read_f32("summaries", &[7]).unwrap(), made.data.read_f32("summaries", &[7]).unwrap());
    drop((copy, made));
    // A posterior's draws go by its name; a name that is none is told with those that are.
    let draws = ["export", "--to", "f", "--field", "posterior"];
    place.refused(&[&draws[..], &set].concat(), &["posterior.h5", "outdated", "polycosm infer"]);
    let near = ["export", "--to", "f", "--field", "compresso", set[0], set[1]];
    place.refused(&near, &["--field = \"compresso\"", "did you mean `compressor`?", "posterior"]);
    let none = [&["export", "--to", "f", "--field", "posterior", "--set", "output=none"], &set[..]].concat();
    place.refused(&none, &["there are no draws of stage posterior", "polycosm infer run.toml"]);
    place.done(&["train", set[0], set[1], "--retrain", "posterior"]);
    place.done(&["infer", set[0], set[1]]);
    place.done(&[&draws[..], &set].concat());
    assert!(chains("f") && !place.path("f/dataset.h5").exists());

    // A number that changed on the disk.
    let array = hdf5::File::open_rw(place.path(FILE)).unwrap().dataset("summaries").unwrap();
    array.write_slice(&[1e3f32], ndarray::s![5..6, 1]).unwrap();
    drop(array);
    let out = mpi::finish(place.command(1, &["verify", set[0], set[1]]), LIMIT);
    common::says(&(out.code, out.text), 1, &["compressor.h5", "checksum", "remedy"]);
}

/// Another campaign learns from the file as from any dataset, in its own folder.
#[test]
fn another_campaign_reads_what_was_made() {
    let place = Place::new(300);
    place.done(&["train", "compressor"]);
    place.done(&["apply", "compressor"]);
    let bytes = std::fs::read(place.path(FILE)).unwrap();
    let other = CAMPAIGN.replace("d.h5", FILE).replace("output = \"o\"", "output = \"p\"");
    let other = other.replace("axes.x = [\"periodic\", \"periodic\"]", "x = \"summaries\"");
    let (head, posterior) = (other.find("[[train]]").unwrap(), other.rfind("[[train]]").unwrap());
    let other = format!("{}{}", &other[..head], &other[posterior..]);
    let other = other.replace("input = \"compressor\"", "input = \"summaries\"").replace("copies = 3\n", "");
    std::fs::write(place.path("run.toml"), other).unwrap();
    place.done(&["run"]);
    assert!(place.path("p/posterior/posterior.h5").exists());
    assert!(std::fs::read(place.path(FILE)).unwrap() == bytes, "somebody else's file was written to");
}

#[test]
fn what_cannot_be_made_is_refused_in_words() {
    let place = Place::new(100);
    let nothing = || !place.path("o/fields").exists();
    place.refused(&["apply", "compresor"], &["compresor", "choose one of compressor, posterior"]);
    place.refused(&["apply", "compressor"], &["not trained yet", "polycosm train"]);
    place.done(&["train"]);
    std::fs::remove_dir_all(place.path("o/fields")).ok();
    place.refused(&["apply", "posterior"], &["makes no fields", "posterior"]);
    let hidden =
        CAMPAIGN.replace("name = \"compressor\"", "name = \"x\"").replace("input = \"compressor\"", "input = \"x\"");
    std::fs::write(place.path("run.toml"), hidden).unwrap();
    place.refused(&["apply"], &["run.toml:", "the dataset has a field x", "rename"]);
    assert!(nothing());
    std::fs::write(place.path("run.toml"), CAMPAIGN).unwrap();
    std::fs::create_dir(place.path("o/fields")).unwrap();
    std::fs::write(place.path(FILE), "mine").unwrap();
    place.refused(&["apply"], &["compressor.h5", "polycosm did not write it"]);
    assert_eq!(std::fs::read(place.path(FILE)).unwrap(), b"mine");
}

/// A stage behind frozen networks sees a universe anew in each epoch; its test split and an observation go through the same chain.
#[test]
fn frozen_networks_make_fresh_inputs_in_every_epoch() {
    let place = Place::new(300);
    let frozen = CAMPAIGN.replace("copies = 3", "frozen = true").replace("epochs = 2", "epochs = 6");
    std::fs::write(place.path("run.toml"), &frozen).unwrap();
    place.done(&["train", "compressor"]);
    let weights = std::fs::read(place.path("o/train/compressor/weights.safetensors")).unwrap();
    place.done(&["train", "posterior"]);
    assert!(!place.path("o/fields").exists(), "what is made anew needs no file");
    assert!(std::fs::read(place.path("o/train/compressor/weights.safetensors")).unwrap() == weights, "they moved");
    let text = place.done(&["infer"]);
    assert!(text.contains("60 universes") && !place.path("o/fields").exists(), "{text}");
    // It stands on the other stage as any that reads a file.
    place.done(&["train", "--set", "train.compressor.seed=5", "--retrain", "compressor"]);
    let status = place.done(&["status", "--set", "train.compressor.seed=5"]);
    assert!(status.contains("draws        posterior: outdated"), "{status}");
    // What is random belongs to universe and epoch: another training takes the same steps.
    let bits = |output: &str| {
        place.on(1, &["train", "--set", &format!("output={output}")]);
        std::fs::read(place.path(&format!("{output}/train/posterior/weights.safetensors"))).unwrap()
    };
    assert!(bits("p") == bits("q"), "two trainings differ");
    for (was, is, words) in [
        ("frozen = true", "frozen = true\ncopies = 2", ["train.posterior.copies = 2", "frozen networks"]),
        ("augment = true", "frozen = true", ["train.compressor.frozen = true", "no earlier stage"]),
    ] {
        std::fs::write(place.path("run.toml"), frozen.replace(was, is)).unwrap();
        place.refused(&["train"], &words);
    }
}

/// Behind frozen networks a killed training goes on to the same bits, and takes the same steps on other ranks.
#[test]
fn trainings_behind_frozen_networks_survive_kills_and_are_the_same_on_all_ranks() {
    let place = Place::new(300);
    let (head, posterior) = CAMPAIGN.split_at(CAMPAIGN.rfind("[[train]]").unwrap());
    let posterior = posterior.replace("copies = 3", "frozen = true").replace("epochs = 2", "epochs = 40\npatience = 0");
    std::fs::write(
        place.path("run.toml"),
        format!("{head}{}", posterior.replace("batch_size = 40", "batch_size = 31")),
    )
    .unwrap();
    let stage = |output: &str| place.path(output).join("train/posterior");
    let trained = |output: &str| {
        let losses = history::read(&stage(output).join("history.jsonl")).unwrap();
        (std::fs::read(stage(output).join("weights.safetensors")).unwrap(), losses)
    };
    let of = |output: &str| format!("output={output}");
    place.on(2, &["train", "--set", &of("calm")]);
    let learning = || stage("killed").join("checkpoint.safetensors").exists();
    mpi::kill_when(place.command(2, &["train", "--set", &of("killed")]), learning);
    assert!(!stage("killed").join("model.json").exists(), "killed too late: the stage was finished");
    place.on(2, &["train", "--set", &of("killed")]);
    let calm = trained("calm");
    assert!(trained("killed").0 == calm.0, "other bits after a kill");
    for ranks in [1, 3] {
        let output = format!("on{ranks}");
        place.on(ranks, &["train", "--set", &of(&output)]);
        let losses = trained(&output).1;
        assert_eq!(losses.len(), 40);
        for (a, b) in losses.iter().zip(&calm.1).take(10) {
            assert!((a.train_loss - b.train_loss).abs() < 1e-3, "{ranks} ranks, epoch {}: {a:?}, {b:?}", a.epoch);
        }
    }
}

/// Copies that are made through frozen networks are as many views as others, though these say of none.
#[test]
fn copies_through_frozen_networks_differ() {
    let place = Place::new(300);
    let (head, posterior) = CAMPAIGN.split_at(CAMPAIGN.rfind("[[train]]").unwrap());
    let head = head.replace("augment = true\n", "");
    let second = head[head.find("[[train]]").unwrap()..].replace("\"compressor\"", "\"second\"");
    let second = second.replace("input = \"x\"", "input = \"compressor\"\nfrozen = true");
    let posterior = posterior.replace("\"compressor\"", "\"second\"");
    std::fs::write(place.path("run.toml"), format!("{head}{second}{posterior}")).unwrap();
    place.on(2, &["train"]);
    let made = Derived::open(&place.path("o/fields/second.h5")).unwrap();
    let summaries = [0, 1, 2].map(|item| made.data.read_f32("summaries", &[made.row(5, item).unwrap()]).unwrap());
    assert!(summaries[0] != summaries[1] && summaries[1] != summaries[2], "{summaries:?}");
}

/// Nobody's file is replaced, and none of another sort that this program wrote.
#[test]
fn a_file_of_another_sort_is_left_alone() {
    let place = Place::new(300);
    place.done(&["train"]);
    place.done(&["infer"]);
    let draws = place.path("o/posterior/posterior.h5");
    let (made, drawn) = (std::fs::read(place.path(FILE)).unwrap(), std::fs::read(&draws).unwrap());
    std::fs::write(place.path(FILE), &drawn).unwrap();
    place.refused(&["apply"], &["compressor.h5", "no file of what a stage makes", "not replaced"]);
    assert!(std::fs::read(place.path(FILE)).unwrap() == drawn);
    std::fs::write(place.path(FILE), &made).unwrap();
    std::fs::write(&draws, &made).unwrap();
    place.refused(&["infer"], &["posterior.h5", "no file of posterior draws"]);
    assert!(std::fs::read(&draws).unwrap() == made);
}

fn numbers(path: &Path, name: &str) -> Vec<f64> {
    hdf5::File::open(path).unwrap().dataset(name).unwrap().read_raw::<f64>().unwrap()
}

/// Stages on stages and on fields beside these, from files or through frozen networks: where nothing is random both are the same.
#[test]
fn a_chain_of_stages_is_the_same_from_files_and_through_its_networks() {
    let place = Place::new(300);
    let (head, posterior) = CAMPAIGN.split_at(CAMPAIGN.rfind("[[train]]").unwrap());
    let second = head[head.find("[[train]]").unwrap()..].replace("augment = true\n", "");
    let second = second.replace("\"compressor\"", "\"second\"").replace("\"x\"", "[\"compressor\", \"x\"]");
    let posterior =
        posterior.replace("copies = 3\n", "").replace("\"compressor\"", "[\"second\", \"compressor/summaries\"]");
    let files = format!("{}{second}{posterior}", head.replace("augment = true\n", ""));
    let frozen = files.replace("input = [", "frozen = true\ninput = [").replace("output = \"o\"", "output = \"p\"");
    for (campaign, output) in [(&files, "o"), (&frozen, "p")] {
        std::fs::write(place.path("run.toml"), campaign).unwrap();
        place.on(2, &["train"]);
        place.on(2, &["infer"]);
        assert_eq!(place.path(&format!("{output}/fields/compressor.h5")).exists(), output == "o");
    }
    let draws = |output: &str, name| numbers(&place.path(&format!("{output}/posterior/posterior.h5")), name);
    for name in ["theta", "ln_prob", "outside", "distance"] {
        let (o, p) = (draws("o", name), draws("p", name));
        let off = o.iter().zip(&p).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(o.len() == p.len() && off < 1e-2, "{name} differs by {off}");
    }
    // What the first network finds strange is told, whoever looks at its summaries.
    let mut x = hdf5::File::open(place.path("d.h5")).unwrap().dataset("x").unwrap().read_raw::<f32>().unwrap();
    x[4 * SIDE * SIDE] = 50.0;
    std::fs::write(place.path("run.toml"), &files).unwrap();
    let array = hdf5::File::open_rw(place.path("d.h5")).unwrap().dataset("x").unwrap();
    array.write_raw(&x).unwrap();
    drop(array);
    std::fs::remove_dir_all(place.path("o")).unwrap();
    let text = place.done(&["run"]);
    assert!(text.contains("in row 4 ") && text.contains("x[") && draws("o", "outside")[0] > 1.0, "{text}");
}

/// Maps and, one row on, their mirror images, of the same parameters: what a network says of another view of one is
/// what it says of the next.
fn mirrored(rows: usize) -> (Vec<f64>, Vec<f32>) {
    let (mut theta, mut x) = maps(rows);
    for (map, theta) in x.chunks_mut(2 * SIDE * SIDE).zip(theta.chunks_mut(4)) {
        let (one, other) = map.split_at_mut(SIDE * SIDE);
        other.copy_from_slice(one);
        other.chunks_mut(SIDE).for_each(<[f32]>::reverse);
        theta.copy_within(0..2, 2);
    }
    (theta, x)
}

#[test]
fn what_a_stage_makes_is_averaged_over_views_and_its_posterior_is_their_mixture() {
    let all = mirrored(400);
    let place = Place::of(&all, 2);
    // To be observed: the first universe for tests and its mirror image.
    let seen = hdf5::File::create(place.path("seen.h5")).unwrap();
    let two = seen.new_dataset::<f32>().shape([2, SIDE, SIDE]).create("x").unwrap();
    two.write_raw(&all.1[8 * SIDE * SIDE..10 * SIDE * SIDE]).unwrap();
    for (name, theta) in ["a", "b"].into_iter().zip(&all.0[16..18]) {
        seen.new_attr::<f64>().create(name).unwrap().write_scalar(theta).unwrap();
    }
    drop((two, seen));
    let (head, posterior) = CAMPAIGN.split_at(CAMPAIGN.rfind("[[train]]").unwrap());
    let flip = "data = { symmetries = [\"flip\"] }\n";
    // A linear model finds nothing in such maps, and would say the same of all.
    let flows = "\"npe\", linear = false,";
    let posterior =
        posterior.replace("copies = 3\n", flip).replace("\"compressor\"", "\"x\"").replace("\"npe\",", flows);
    let plain = head.replace("augment = true\n", flip) + &posterior;
    let averaged = |views: usize| plain.replace("] }\n", &format!("], average = {views} }}\n"));
    let write = |campaign: &str| std::fs::write(place.path("run.toml"), campaign).unwrap();
    let weights = || {
        ["compressor", "posterior"]
            .map(|stage| std::fs::read(place.path(&format!("o/train/{stage}/weights.safetensors"))).unwrap())
    };
    let of = |name| numbers(&place.path("o/posterior/posterior.h5"), name);
    let draws = || [of("theta"), of("ln_prob"), of("spread").iter().map(|x| x.to_bits() as f64).collect()].concat();
    let summaries = || place.made().data.read_f64("summaries", &(0..400).collect::<Vec<_>>()).unwrap();

    write(&plain);
    for words in [["train"], ["apply"], ["infer"]] {
        place.done(&words);
    }
    let (before, one, ln, made) = (weights(), summaries(), of("ln_prob_truth"), draws());

    // Nothing is trained anew; what was made of one view of each is made anew.
    write(&averaged(5));
    place.on(2, &["train"]);
    assert!(place.on(2, &["apply"]).contains("made anew: stage compressor was trained anew, or looks"));
    assert!(weights() == before);
    let mut shares = [0; 6];
    for (i, mean) in summaries().chunks(2).enumerate() {
        let (own, other) = (&one[2 * i..2 * i + 2], &one[2 * (i ^ 1)..2 * (i ^ 1) + 2]);
        let share = (mean[0] - own[0]) / (other[0] - own[0]) * 5.0;
        let whole = share.round();
        let off = |j: usize| (mean[j] - own[j] - whole / 5.0 * (other[j] - own[j])).abs();
        assert!(off(0).max(off(1)) < 1e-5, "{i}: {share} of 5 views of {own:?} and {other:?} in {mean:?}");
        shares[whole as usize] += 1;
    }
    // The first view is the universe itself, each of the others its mirror image or not.
    assert!(shares[5] == 0 && shares[1] + shares[2] + shares[3] > 200, "{shares:?}");

    write(&averaged(2));
    let text = place.done(&["infer"]);
    assert!(text.contains("looks at its samples otherwise"), "{text}");
    let (mut same, mut mixed) = (0, 0);
    for (i, &found) in of("ln_prob_truth").iter().enumerate() {
        let mixture = ((ln[i].exp() + ln[i ^ 1].exp()) / 2.0).ln();
        match ((found - ln[i]).abs() < 1e-5, (found - mixture).abs() < 1e-5) {
            (true, _) => same += 1,
            (_, true) => mixed += 1,
            _ => panic!("{i}: {found} is neither {} nor {mixture}", ln[i]),
        }
    }
    assert!(same > 20 && mixed > 20 && same + mixed == 80, "{same} and {mixed}");
    // An observation is averaged too, by symmetries of its own.
    place.done(&["infer", "--observation", "seen.h5"]);
    for i in [0, 1] {
        let path = place.path(&format!("o/posterior/observation-seen-{i}-posterior.h5"));
        let found = numbers(&path, "ln_prob_truth")[0];
        let both = ((ln[0].exp() + ln[1].exp()) / 2.0).ln();
        let off = (found - ln[i]).abs().min((found - both).abs());
        assert!(off < 1e-5, "{i}: {found} is neither {} nor {both}", ln[i]);
    }
    let two = draws();
    std::fs::remove_file(place.path("o/posterior/posterior.h5")).unwrap();
    place.on(2, &["infer"]);
    assert!(draws() == two && weights() == before);

    // A later stage learned from the summaries as they were made.
    let above = "[[train]]\nname = \"above\"\ninput = \"compressor\"\nepochs = 1\nbatch_size = 40\nnetwork = { kind = \"npe\", ensemble = 1 }\n[infer]";
    write(&averaged(2).replace("[infer]", above));
    place.done(&["train", "above"]);
    write(&averaged(3).replace("[infer]", above));
    place.refused(
        &["infer", "--set", "infer.posterior=above"],
        &["stage above is outdated", "looks at its samples otherwise"],
    );

    // One draw of each view, at least; and without `average` all is as it was.
    write(&averaged(41));
    for command in ["check", "infer"] {
        place.refused(&[command], &["infer.draws = 40", "each of the 41 views", "stage posterior"]);
    }
    write(&plain);
    place.done(&["infer"]);
    assert!(draws() == made);
}

#[test]
fn averages_over_what_does_not_differ_are_refused() {
    let place = Place::new(40);
    let refused = |data: &str, parts: &[&str]| {
        std::fs::write(place.path("run.toml"), CAMPAIGN.replace("augment = true", data)).unwrap();
        for command in ["check", "train"] {
            place.refused(&[command], &[&["run.toml", "train.compressor.data.average"], parts].concat());
        }
        assert!(!place.path("o").exists());
    };
    refused("data = { symmetries = [\"flip\"], average = 1 }", &["= 1", "at least 2"]);
    refused("data = { symmetries = [\"flip\"], average = 1001 }", &["1001", "1000"]);
    refused("data = { average = 2 }", &["= 2", "symmetries"]);
}
