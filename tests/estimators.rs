//! Likelihoods and velocities as models: the same steps on any ranks, the same bits after a kill, and the whole way from one
//! command, with inputs that do not vary or say the same.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::Split;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Column, Device, Kind, Model, ModelConfig, SampleId, Tensor};
use polycosm::nets::host;
use polycosm::prior::{Parameter, Prior};
use polycosm::rng::stream;
use polycosm::train::{Memory, Source, StageConfig, Trainer};
use rand::Rng;
use rand_distr::StandardNormal;
use std::path::Path;

const NETWORKS: [&str; 4] = [
    "kind = \"nle\"\nensemble = 2\nflow = { hidden = 8, layers = 2, bins = 4 }",
    "kind = \"nle\"\nensemble = 1\nflow = { kind = \"mixture\", hidden = 8 }",
    "kind = \"fmpe\"\nensemble = 2\nvelocity = { hidden = 8, layers = 1 }",
    "kind = \"npe\"\nensemble = 1\nflow = { kind = \"smooth\", hidden = 8 }",
];

/// Universes to learn from, and in all.
const TRAIN: usize = 60;
const ALL: usize = 80;
/// Numbers of each: the fifth is the first again, the sixth a constant.
const NUMBERS: usize = 6;

/// θ in a box of two, and numbers that tell of it.
fn universes(n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut rng = stream(1, 0, "universes", 0);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random_range(-1.0..1.0)).collect();
    let x = theta.chunks(2).flat_map(|t| {
        let mut noise = || 0.3 * rng.sample::<f64, _>(StandardNormal);
        let own = [t[0] + noise(), t[1] + noise(), t[0] * t[1] + noise(), noise()];
        [own[0], own[1], own[2], own[3], own[0], 2.5]
    });
    let x = x.collect();
    (theta, x)
}

fn samples(kind: Kind) -> Memory {
    let (theta, x) = universes(ALL);
    let x = Tensor::from_slice(&x).view([ALL as i64, -1]).to_kind(kind);
    Memory::of([("x", x), ("theta", Tensor::from_slice(&theta).view([ALL as i64, 2]))], TRAIN)
}

fn stage(network: &str) -> StageConfig {
    let text =
        "name = \"s\"\ninput = \"x\"\nepochs = 3\nbatch_size = 24\npatience = 0\nlearning_rate = 3e-3\n[network]\n";
    toml::from_str(&format!("{text}{network}")).unwrap()
}

fn fresh(network: &ModelConfig, kind: Kind) -> Box<dyn Model> {
    polycosm::nets::seed(3);
    let one = |name: &str| Parameter::uniform(name, name, -1.0, 1.0);
    let prior = Prior::new(vec![one("a"), one("b")]).unwrap();
    network.build(&FieldSpec::of("x", &[NUMBERS], &[AxisKind::Index]), &prior, Device::Cpu, kind).unwrap()
}

/// All that a model has learned.
fn learned(model: &dyn Model) -> Vec<f64> {
    let mut all = vec![];
    for part in model.parts() {
        let mut named: Vec<_> = part.vs.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        all.extend(named.iter().flat_map(|(_, t)| host(t)));
    }
    all
}

fn train(comm: &Comm, network: &str, kind: Kind, source: &mut dyn Source, folder: &Path) -> Result<Vec<f64>> {
    let config = stage(network);
    let model = fresh(&config.network, kind);
    Trainer::new(comm, &config, model.as_ref()).run(source, folder)?;
    Ok(learned(model.as_ref()))
}

#[test]
fn steps_are_the_same_on_any_ranks() {
    mpi::on_ranks("steps_are_the_same_on_any_ranks", &[2, 3, 4], |comm| {
        polycosm::nets::set_threads(1);
        for (i, network) in NETWORKS.into_iter().enumerate() {
            let alone = tempfile::tempdir().unwrap();
            let expected =
                train(&comm.alone(), network, Kind::Double, &mut samples(Kind::Double), alone.path()).unwrap();
            let together = mpi::shared_dir().join(i.to_string());
            let found = train(comm, network, Kind::Double, &mut samples(Kind::Double), &together).unwrap();
            let norm = |f: &dyn Fn(usize) -> f64| (0..expected.len()).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
            let apart = norm(&|i| found[i] - expected[i]) / norm(&|i| expected[i]);
            assert!(apart < 1e-7, "{network}: {apart} apart on {} ranks", comm.size());
            assert!(found.iter().all(|v| v.is_finite()), "{network}: no finite weights");
        }
    });
}

/// Samples that cannot be read any more after so many reads.
struct Frail {
    source: Memory,
    left: usize,
}

impl Source for Frail {
    fn ids(&self, split: Split) -> &[SampleId] {
        self.source.ids(split)
    }

    fn read(&mut self, ids: &[SampleId]) -> Result<Vec<(String, Column)>> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::io("the disk is gone"))?;
        self.source.read(ids)
    }
}

#[test]
fn a_killed_training_goes_on_to_the_same_bits() {
    mpi::on_ranks("a_killed_training_goes_on_to_the_same_bits", &[1, 2], |comm| {
        polycosm::nets::set_threads(1);
        for (i, network) in NETWORKS.into_iter().enumerate() {
            let folder = |name: &str| mpi::shared_dir().join(format!("{name} {i}"));
            let expected = train(comm, network, Kind::Float, &mut samples(Kind::Float), &folder("calm")).unwrap();
            let (rough, mut kills) = (folder("rough"), 0);
            let found = loop {
                let mut source = Frail { source: samples(Kind::Float), left: 12 + 4 * kills };
                match train(comm, network, Kind::Float, &mut source, &rough) {
                    Ok(found) => break found,
                    Err(_) => kills += 1,
                }
                assert!(kills < 30, "{network}: it gets nowhere");
            };
            assert!(kills > 0 && found == expected, "{network}, killed {kills} times: other bits");
        }
    });
}

/// In a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    polycosm::cli::main(arguments)
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 3
[dataset]
file = "d.h5"
parameters.a = { min = -1.0, max = 1.0 }
parameters.b = { min = -1.0, max = 1.0 }
[[train]]
name = "posterior"
input = "x"
epochs = 5
network = { kind = "nle", ensemble = 2 }
[[train]]
name = "other"
input = "x"
epochs = 5
network = { kind = "fmpe", ensemble = 2 }
[infer]
posterior = "posterior"
baseline = "other"
draws = 200
"#;

#[track_caller]
fn says(ranks: usize, folder: &Path, command: &str, code: i32, parts: &[&str]) {
    let ended = mpi::own_program(ranks, folder, &command.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(code), "{command}: {}", ended.text);
    parts
        .iter()
        .for_each(|part| assert!(ended.text.contains(part), "{command} does not say {part:?}:\n{}", ended.text));
}

#[test]
fn a_likelihood_and_a_velocity_go_the_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), CAMPAIGN).unwrap();
    let (n, (theta, x)) = (300, universes(300));
    let split: Vec<u8> = (0..n).map(|i| (i >= 200) as u8 + (i >= 280) as u8).collect();
    let file = hdf5::File::create(at.join("d.h5")).unwrap();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f64>().shape([n, NUMBERS]).create("x").unwrap().write_raw(&x).unwrap();
    file.new_dataset::<u8>().shape([n]).create("split").unwrap().write_raw(&split).unwrap();
    drop(file);
    says(1, at, "check run.toml", 0, &["ok"]);
    says(2, at, "train run.toml", 0, &["the held-out samples give the linear model"]);
    says(3, at, "run run.toml", 0, &["train posterior: done before", "infer posterior: 20 universes"]);
    assert!(at.join("run/report/index.html").exists());
    // What cannot be, is refused before anything runs.
    let refused = |sets: &str, parts: &[&str]| says(1, at, &format!("check run.toml --set {sets}"), 2, parts);
    refused("train.posterior.network.flow.kind=splines", &["train.posterior.network.flow.kind", "splines"]);
    refused("train.posterior.network.flow.components=0", &["flow.components = 0"]);
    refused("train.other.network.steps=0", &["network.steps = 0"]);
    refused("train.other.network.velocity.hidden=0", &["velocity.hidden = 0"]);
    says(1, at, "check run.toml --set train.posterior.network.flow.components=3", 0, &["flow.components", "has none"]);
}
