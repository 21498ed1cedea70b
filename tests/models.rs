//! A new model is one file and one line: that of `examples/moments.rs`, which stands in no table, is trained, and what
//! it makes is a later stage's input.
#![cfg(feature = "torch")]

mod mpi;

#[path = "../examples/moments.rs"]
#[allow(dead_code, reason = "the example's own `main` takes the arguments of its process")]
mod moments;

use polycosm::error::Result;
use polycosm::io::field::FieldSpec;
use polycosm::models::{Batch, KINDS, Model, Part, Phase, Score, Section, Task, Tensor, Turn, kind};
use std::path::Path;

/// The same in two phases, the second of two epochs, and how many it says that they are.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Twice {
    more: u64,
}

impl Section for Twice {
    fn epochs(&self, stage: u64) -> u64 {
        stage + self.more
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(InTwoPhases(moments::Config {}.build(task)?)))
    }
}

struct InTwoPhases(Box<dyn Model>);

impl Model for InTwoPhases {
    fn parts(&self) -> &[Part] {
        self.0.parts()
    }
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default(), Phase { epochs: Some(2), ..Phase::default() }]
    }
    fn step(&self, phase: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        self.0.step(phase, batch, turn)
    }
    fn score(&self, phase: usize, batch: &Batch) -> Result<Vec<Score>> {
        self.0.score(phase, batch)
    }
}

/// Gives back what it sees, fields that lie in space.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {}

impl Section for Echo {
    fn outputs(&self) -> Vec<&'static str> {
        vec!["echo"]
    }
    fn epochs(&self, _: u64) -> u64 {
        0
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let echo = FieldSpec { name: "echo".into(), ..task.array("x")?.clone() };
        Ok(Box::new(Echoing([task.part("echo")], echo)))
    }
}

struct Echoing([Part; 1], FieldSpec);

impl Model for Echoing {
    fn parts(&self) -> &[Part] {
        &self.0
    }
    fn phases(&self) -> Vec<Phase> {
        vec![]
    }
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![self.1.clone()]
    }
    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![batch.array("x")?.shallow_clone()])
    }
}

/// The program of somebody with models of their own; in a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    KINDS.add(kind::<moments::Config>("moments"));
    KINDS.add(kind::<Twice>("twice"));
    KINDS.add(kind::<Echo>("echo"));
    polycosm::cli::main(arguments)
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 3
[dataset]
file = "d.h5"
parameters.a = { min = 0.0, max = 1.0 }
[[train]]
name = "means"
input = "x"
epochs = 4
network = { kind = "moments" }
[[train]]
name = "posterior"
input = "means"
epochs = 4
network = { kind = "npe", ensemble = 1, transform = "none" }
[infer]
posterior = "posterior"
draws = 50
"#;

/// A campaign on 200 rows of one parameter and a 2 × 2 table that tells of it.
fn campaign() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), CAMPAIGN).unwrap();
    let theta: Vec<f64> = (0..200).map(|i| (i as f64 * 0.618_034) % 1.0).collect();
    let x: Vec<f32> = theta
        .iter()
        .enumerate()
        .flat_map(|(i, t)| [1.0, 2.0, -1.0, 0.5].map(|m| m * *t as f32 + 0.01 * (i % 7) as f32))
        .collect();
    let split: Vec<u8> = (0..200).map(|i| (i >= 150) as u8 + (i >= 175) as u8).collect();
    let file = hdf5::File::create(folder.path().join("d.h5")).unwrap();
    file.new_dataset::<f64>().shape([200, 1]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f32>().shape([200, 2, 2]).create("x").unwrap().write_raw(&x).unwrap();
    file.new_dataset::<u8>().shape([200]).create("split").unwrap().write_raw(&split).unwrap();
    folder
}

/// `program COMMAND run.toml MORE` in a folder; what it said.
#[track_caller]
fn says(ranks: usize, folder: &Path, command: &str, code: i32, parts: &[&str]) -> String {
    let ended = mpi::own_program(ranks, folder, &command.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(code), "{command}: {}", ended.text);
    parts
        .iter()
        .for_each(|part| assert!(ended.text.contains(part), "{command} does not say {part:?}:\n{}", ended.text));
    ended.text
}

#[test]
fn a_model_of_ones_own_is_trained_and_read_by_later_stages() {
    let folder = campaign();
    let at = folder.path();
    says(1, at, "check run.toml", 0, &["ok"]);
    says(2, at, "run run.toml", 0, &["infer posterior: 25 universes", "posterior `posterior`"]);
    let status = says(1, at, "status run.toml", 0, &["stage        means: trained", "stage        posterior: trained"]);
    assert!(!status.contains("outdated"), "{status}");
    let record = std::fs::read_to_string(at.join("run/train/means/model.json")).unwrap();
    assert!(record.contains("\"kind\": \"moments\""), "{record}");
    says(1, at, "train run.toml", 0, &["train means: done before", "train posterior: done before"]);
    let refused = |sets: &str, parts: &[&str]| says(1, at, &format!("check run.toml --set {sets}"), 2, parts);
    let known =
        "did you mean `moments`? (known here: vmim, regression, npe, nle, fmpe, classifier, nre, moments, twice, echo)";
    refused("train.means.network.kind=momens", &["train.means.network.kind = \"momens\"", known]);
    refused("train.means.network.hidden=3", &["train.means.network.hidden", "unknown key"]);
}

#[test]
fn epochs_of_all_phases_are_counted() {
    let folder = campaign();
    let at = folder.path();
    let twice = "--set train.means.network.kind=twice --set train.means.network.more=";
    // A later stage cannot read what this model does not make.
    let alone = "--set train.posterior.input=x";
    let told = ["tells 4 epochs where a stage has 3", "train.means.network"];
    says(1, at, &format!("train run.toml means {twice}1 {alone}"), 1, &told);
    says(1, at, &format!("train run.toml means {twice}2 {alone}"), 0, &["6 epochs"]);
    std::fs::remove_file(at.join("run/train/means/model.json")).unwrap();
    says(1, at, &format!("status run.toml {twice}2 {alone}"), 0, &["means: stopped, 6 of 6 epochs done"]);
}

/// Before anything is simulated or learned, for data of either sort.
#[test]
fn what_stages_would_move_apart_is_refused_ahead() {
    let folder = campaign();
    let at = folder.path();
    let stages = |input: &str, more: &str| {
        format!(
            "[[train]]\nname = \"seen\"\ninput = \"{input}\"\naugment = true\nnetwork = {{ kind = \"echo\" }}\n\
             [[train]]\nname = \"both\"\ninput = [\"seen\", \"{input}\"]\n{more}\n\
             network = {{ kind = \"vmim\", transform = \"none\" }}\n"
        )
    };
    let axes = "[dataset.axes]\nx = [\"periodic\", \"periodic\"]\n";
    let data = "output = \"run\"\n[dataset]\nfile = \"d.h5\"\nparameters.a = { min = 0.0, max = 1.0 }\n";
    let design = "output = \"run\"\n[design]\nsimulations = 8\n[design.parameters.Omega_m]\nmin = 0.25\nmax = 0.35\n\
                  [cosmology]\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\nsigma8 = 0.8\n\
                  [simulator]\nkind = \"pm\"\nbox_size = 100.0\nparticles = 16\n[simulator.maps]\nslabs = 2\npixels = 8\n";
    let foreign =
        |more: &str| std::fs::write(at.join("run.toml"), format!("{data}{axes}{}", stages("x", more))).unwrap();
    let own = |more: &str| std::fs::write(at.join("run.toml"), format!("{design}{}", stages("maps", more))).unwrap();
    let words = |by: &'static str| ["train.both.input", "seen lies in space and is moved", by, "remedy: leave out"];
    foreign("copies = 2");
    says(1, at, "check run.toml", 2, &words("in copies, and not alike with x"));
    foreign("frozen = true");
    says(2, at, "run run.toml", 2, &words("in frozen networks, and not alike with x"));
    own("frozen = true");
    for command in ["check run.toml", "plan run.toml"] {
        says(1, at, command, 2, &words("in frozen networks, and not alike with maps"));
    }
    assert!(!at.join("run").exists(), "something was written");
    foreign("");
    says(1, at, "check run.toml", 0, &["ok"]);
    own("");
    says(1, at, "check run.toml", 0, &["ok"]);
}
