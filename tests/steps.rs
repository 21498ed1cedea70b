//! Steps of the trainer: batches in parts, averages, steps that are left out, schedules, goings-on after a kill.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::Split;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{
    Batch, Column, Device, Kind, Model, ModelConfig, NpeConfig, Part, SampleId, Score, Task, Tensor, Turn, build,
};
use polycosm::nets::host;
use polycosm::prior::{Parameter, Prior};
use polycosm::train::checkpoint;
use polycosm::train::{Memory, Scaling, Source, StageConfig, Trainer};
use std::path::Path;

fn stage(steps: serde_json::Value, more: serde_json::Value) -> StageConfig {
    let mut text = serde_json::json!({
        "name": "s", "input": "x", "epochs": 4, "batch_size": 10, "learning_rate": 0.01,
        "network": serde_json::to_value(ModelConfig::new("npe", Box::new(NpeConfig { ensemble: 2, ..NpeConfig::default() }))).unwrap(),
        "steps": steps,
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| text[key] = value.clone());
    serde_json::from_value(text).unwrap()
}

fn numbers(n: i64, columns: i64, seed: i64) -> Tensor {
    polycosm::nets::seed(seed);
    Tensor::rand([n, columns], (Kind::Double, Device::Cpu))
}

fn source() -> Memory {
    let theta = numbers(60, 1, 3);
    Memory::of([("x", &theta + numbers(60, 2, 4) * 0.3), ("theta", theta)], 44)
}

fn npe(config: &StageConfig) -> Box<dyn Model> {
    polycosm::nets::seed(5);
    let prior = Prior::new(vec![Parameter::uniform("t", "t", 0.0, 1.0)]).unwrap();
    let inputs = [FieldSpec::of("x", &[2], &[AxisKind::Column])];
    let task = Task { inputs: &inputs, targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Double };
    build(&*config.network, &task).unwrap()
}

fn weights(model: &dyn Model) -> Vec<f64> {
    let all = model.parts().iter().flat_map(|part| {
        let mut named: Vec<_> = part.vs.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.into_iter().flat_map(|(_, t)| host(&t)).collect::<Vec<_>>()
    });
    all.collect()
}

/// Weights after a training, and its learning rates.
fn trained(comm: &Comm, config: &StageConfig, source: &mut dyn Source, folder: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let model = npe(config);
    let mut trainer = Trainer::new(comm, config, model.as_ref());
    trainer.run(source, folder)?;
    let rates = trainer.state.history.iter().map(|e| e.learning_rate).collect();
    Ok((weights(model.as_ref()), rates))
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn batches_in_parts_take_the_same_steps() {
    mpi::on_ranks("batches_in_parts_take_the_same_steps", &[1, 3], |comm| {
        polycosm::nets::set_threads(1);
        let run = |steps: serde_json::Value, name: &str| {
            trained(comm, &stage(steps, serde_json::json!({})), &mut source(), &mpi::shared_dir().join(name)).unwrap().0
        };
        let whole = run(serde_json::json!({}), "whole");
        for parts in [2, 3, 10] {
            let found = apart(&run(serde_json::json!({ "accumulate": parts }), &parts.to_string()), &whole);
            assert!(found < 1e-9, "{parts} parts end {found} away");
        }
        assert!(apart(&run(serde_json::json!({ "warmup": 2.0 }), "warm"), &whole) > 1e-6);
    });
}

/// Fails in an epoch.
struct Killed {
    source: Memory,
    left: usize,
}

impl Source for Killed {
    fn ids(&self, split: Split) -> &[SampleId] {
        self.source.ids(split)
    }
    fn plan(&mut self, batches: Vec<Vec<SampleId>>) {
        // Of what is learned from: the look at the held-out samples has one batch.
        self.left -= (batches.len() > 2) as usize;
    }
    fn read(&mut self, ids: &[SampleId]) -> Result<Vec<(String, Column)>> {
        if self.left == 0 { Err(Error::io("the disk is gone")) } else { self.source.read(ids) }
    }
}

#[test]
fn averages_are_kept_and_a_killed_training_ends_alike() {
    mpi::on_ranks("averages_are_kept_and_a_killed_training_ends_alike", &[1, 2], |comm| {
        polycosm::nets::set_threads(1);
        let plateau = serde_json::json!({ "plateau": { "patience": 0, "factor": 0.5 } });
        let all = [
            (serde_json::json!({ "ema": 0.9, "schedule": "one-cycle" }), serde_json::json!({})),
            (serde_json::json!({ "momentum": 0.9, "schedule": plateau }), serde_json::json!({ "optimiser": "sgd" })),
            (
                serde_json::json!({ "accumulate": 2, "betas": [0.8, 0.99], "schedule": "constant" }),
                serde_json::json!({}),
            ),
        ];
        for (i, (steps, more)) in all.into_iter().enumerate() {
            let (config, folder) = (stage(steps, more), |name: &str| mpi::shared_dir().join(format!("{i} {name}")));
            let (calm, rates) = trained(comm, &config, &mut source(), &folder("calm")).unwrap();
            let mut killed = Killed { source: source(), left: 4 };
            assert!(trained(comm, &config, &mut killed, &folder("rough")).is_err());
            let (rough, again) = trained(comm, &config, &mut source(), &folder("rough")).unwrap();
            assert!(calm == rough && rates == again, "{i}: another end after a kill");
            if i == 0 {
                // Five steps in an epoch, the last of which is told.
                let expected = |epoch: u64| config.steps.rate(0.01, 5 * epoch + 4, 5, 4, &[]);
                assert_eq!(rates, (0..4).map(expected).collect::<Vec<_>>());
                let without =
                    StageConfig { steps: polycosm::train::StepsConfig { ema: 0.0, ..config.steps.clone() }, ..config };
                let plain = trained(comm, &without, &mut source(), &folder("plain")).unwrap().0;
                assert!(apart(&plain, &calm) > 1e-6, "the averages are not what is kept");
            }
        }
    });
}

/// One weight w, with the loss x w of each sample: plain descent moves it by the rate times the mean of x.
struct Slope([Part; 1]);

impl Slope {
    fn new() -> Self {
        let mut vs = tch::nn::VarStore::new(Device::Cpu);
        let _ = vs.root().var("w", &[1], tch::nn::Init::Const(0.0));
        vs.double();
        Slope([Part::new("slope", vs)])
    }
}

impl Model for Slope {
    fn parts(&self) -> &[Part] {
        &self.0
    }
    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise("slope", &(batch.array("x")? * &self.0[0].vs.variables()["w"]), &[0])
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![Score::new("none", batch.array("x")?.zeros_like(), &[0])])
    }
}

#[test]
fn steps_without_a_finite_loss_are_left_out_on_all_ranks() {
    mpi::on_ranks("steps_without_a_finite_loss_are_left_out_on_all_ranks", &[1, 2, 3], |comm| {
        let more = serde_json::json!({ "optimiser": "sgd", "weight_decay": 0.0, "clip": 0.0, "batch_size": 3 });
        // Batches of three samples each; the middle ones each have one that is no number, on one rank alone.
        let x = [1.0, 2.0, 3.0, 4.0, f64::NAN, 6.0, 7.0, 8.0, f64::INFINITY, 1.0, 1.0, 1.0];
        let run = |skip: u64| -> Result<(f64, u64)> {
            let (config, model) = (stage(serde_json::json!({ "skip": skip }), more.clone()), Slope::new());
            let mut trainer = Trainer::new(comm, &config, &model);
            let mut source = Memory::of([("x", Tensor::from_slice(&x))], x.len());
            for batch in 0..4 {
                let ids: Vec<SampleId> = (3 * batch..3 * batch + 3).map(SampleId::of).collect();
                let losses = trainer.step(&mut source, &ids, 0.5)?;
                assert!(
                    losses.iter().all(|share| share.sum.is_finite()) && losses.len() == [1, 0, 0, 1][batch as usize]
                );
            }
            Ok((host(&trainer.flats[0].parameters)[0], trainer.state.skipped))
        };
        assert_eq!(run(2).unwrap(), (-0.5 * (2.0 + 1.0), 2));
        for (skip, step) in [(0, 1), (1, 2)] {
            let e = run(skip).unwrap_err();
            let text = e.to_string();
            assert!(e.agreed_from.is_some() && e.exit_code() == 1, "{text}");
            assert!(text.contains("the loss is") && text.contains(&format!("step {step}")), "{text}");
        }
    });
}

#[test]
fn a_training_that_depends_on_its_ranks_goes_on_with_as_many() {
    let (dir, comm) = (tempfile::tempdir().unwrap(), Comm::world());
    let config = stage(serde_json::json!({ "scaling": "linear" }), serde_json::json!({}));
    assert_eq!(config.steps.scaling, Some(Scaling::Linear));
    let model = npe(&config);
    let mut trainer = Trainer::new(&comm, &config, model.as_ref());
    trainer.state.ranks = 7;
    checkpoint::write(&comm, dir.path(), &mut trainer.state, &trainer.flats, model.as_ref(), 2).unwrap();
    let e = Trainer::new(&comm, &config, model.as_ref()).begin(&mut source(), dir.path()).unwrap_err();
    assert!(e.exit_code() == 2 && e.to_string().contains("was begun on 7 ranks"), "{e}");
}

#[test]
fn samples_that_nothing_can_be_learned_from_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.h5");
    let file = hdf5::File::create(&path).unwrap();
    let n = 12;
    // The second parameter is 0.5 in the first three rows, which are those to learn from.
    let theta: Vec<f64> = (0..n).flat_map(|i| [i as f64 / 12.0, if i < 3 { 0.5 } else { 0.1 }]).collect();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
    file.new_dataset::<f32>().shape([n, 1]).create("x").unwrap().write_raw(&x).unwrap();
    let split: Vec<u8> = (0..n).map(|i| if i < 3 { 0 } else { 1 + (i % 2) as u8 }).collect();
    file.new_dataset::<u8>().shape([n]).create("split").unwrap().write_raw(&split).unwrap();
    file.close().unwrap();
    let campaign = dir.path().join("run.toml");
    let text = format!(
        r#"
        output = "{}"
        [dataset]
        file = "{}"
        [dataset.parameters]
        a = {{ min = 0.0, max = 1.0 }}
        b = {{ min = 0.0, max = 1.0 }}
        [[train]]
        name = "posterior"
        input = "x"
        [train.network]
        kind = "npe"
        "#,
        dir.path().join("out").display(),
        path.display()
    );
    std::fs::write(&campaign, text).unwrap();
    for (ranks, set, parts) in [
        (2, "seed=1", ["mine.h5: b", "is 0.5 in all universes that are learned from"]),
        (4, "seed=1", ["train.posterior", "3 samples to learn from, fewer than the 4 ranks"]),
        (1, "train.posterior.steps.accumulate=33", ["train.posterior.steps.accumulate", "batch_size = 32"]),
        (
            1,
            "train.posterior.steps={ schedule = { step = { every = 0, factor = 0.1 } } }",
            ["steps.schedule", "at least 1"],
        ),
    ] {
        let mut run = mpi::mpirun(ranks);
        run.arg(env!("CARGO_BIN_EXE_polycosm")).arg("train").arg(&campaign).args(["--set", set]);
        let ended = mpi::finish(run, std::time::Duration::from_secs(120));
        assert!(ended.code == Some(2) && parts.iter().all(|part| ended.text.contains(part)), "{}", ended.text);
    }
}
