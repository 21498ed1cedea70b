//! Five models that are in no table, each a file of its own, one that is and looks at partners, and what the trainer promises to all: a loss moves the parts that
//! it names, the steps are the same on any number of ranks, and a training that was killed goes on to the same bits.
#![cfg(feature = "torch")]

mod contracts {
    pub mod adversarial;
    mod batch;
    pub mod classifier;
    pub mod linear;
    pub mod two_phases;
}
mod mpi;

#[path = "../examples/moments.rs"]
#[allow(dead_code, reason = "the example's own `main` makes a program of it")]
mod moments;

use contracts::adversarial::{CRITIC, GENERATOR};
use contracts::{adversarial, classifier, linear, two_phases};
use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::{Dataset, Split};
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{
    Batch, Column, Device, Kind, Model, ModelConfig, NpeConfig, NreConfig, Part, Pass, Phase, SampleId, Score, Section,
    Task, Tensor, Turn,
};
use polycosm::nets::host;
use polycosm::prior::{Parameter, Prior};
use polycosm::rng::stream;
use polycosm::train::{Columns, Memory, Rule, Source, StageConfig, Trainer};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;

fn stage(rule: Rule) -> StageConfig {
    StageConfig {
        name: "test".into(),
        input: "x".into(),
        target: Default::default(),
        // Models of a test stand in no list: the trainer is handed them.
        network: ModelConfig::new("npe", Box::new(NpeConfig::default())),
        epochs: 4,
        batch_size: 8,
        learning_rate: 1e-2,
        weight_decay: 1e-4,
        clip: 5.0,
        optimiser: rule,
        steps: Default::default(),
        patience: Some(0),
        data: Default::default(),
        augment: false,
        copies: 1,
        seed: 5,
        frozen: false,
        checkpoint_every: 1,
        checkpoint_minutes: 0.0,
        keep_checkpoints: 2,
    }
}

fn prior() -> Prior {
    let one = |name: &str| Parameter::uniform(name, name, -4.0, 4.0);
    Prior::new(vec![one("a"), one("b")]).unwrap()
}

fn spec(name: &str, shape: &[usize]) -> FieldSpec {
    FieldSpec::of(name, shape, &vec![AxisKind::Index; shape.len()])
}

/// Universes to learn from, and in all.
const TRAIN: usize = 20;
const ALL: usize = 27;
/// Points of a cube on a side.
const SIDE: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Adversarial,
    TwoPhases,
    Classifier,
    Linear,
    Moments,
    Ratio,
}
use Which::*;

const MODELS: [Which; 6] =
    [Which::Adversarial, Which::TwoPhases, Which::Classifier, Which::Linear, Which::Moments, Which::Ratio];

fn columns(which: Which) -> Vec<FieldSpec> {
    match which {
        Adversarial => vec![spec("x", &[SIDE; 3]), spec("target", &[SIDE; 3])],
        _ => vec![spec("x", &[5]), spec("target", &[])],
    }
}

fn build(which: Which, kind: Kind, columns: &[FieldSpec]) -> Result<Box<dyn Model>> {
    let prior = prior();
    let (inputs, targets) = columns.split_at(1);
    let task = Task { inputs, targets, prior: &prior, device: Device::Cpu, kind };
    Ok(match which {
        Adversarial => Box::new(adversarial::Adversarial::new(&task)?),
        TwoPhases => Box::new(two_phases::TwoPhases::new(&task)?),
        Classifier => Box::new(classifier::Classifier::new(&task)?),
        Linear => Box::new(linear::Linear::new(&task)?),
        Moments => moments::Config {}.build(&task)?,
        Ratio => NreConfig { ensemble: 1, partners: 3, ..NreConfig::default() }.build(&task)?,
    })
}

fn fresh(which: Which, kind: Kind) -> Box<dyn Model> {
    polycosm::nets::seed(3);
    build(which, kind, &columns(which)).unwrap()
}

/// θ normal, x = Mθ + noise, a label by the sum of θ; cubes of noise, and their squares.
fn samples(which: Which, kind: Kind) -> Memory {
    let mut rng = stream(1, 0, "samples", 0);
    let mut gauss = |n: usize| (0..n).map(|_| StandardNormal.sample(&mut rng)).collect::<Vec<f64>>();
    let tensor = |values: &[f64], shape: &[i64]| Tensor::from_slice(values).view(shape);
    let theta = gauss(2 * ALL);
    let n = ALL as i64;
    if which == Adversarial {
        let side = SIDE as i64;
        let x = tensor(&gauss(ALL * SIDE.pow(3)), &[n, side, side, side]).to_kind(kind);
        return Memory::of([("target", x.square()), ("x", x), ("theta", tensor(&theta, &[n, 2]))], TRAIN);
    }
    let x: Vec<f64> = theta
        .chunks(2)
        .zip(gauss(5 * ALL).chunks(5))
        .flat_map(|(t, e)| (0..5).map(|i| t[i % 2] + 0.3 * i as f64 * t[1] + 0.1 * e[i]).collect::<Vec<_>>())
        .collect();
    let label: Vec<i64> = theta.chunks(2).map(|t| (t[0] + t[1] > -0.7) as i64 + (t[0] + t[1] > 0.7) as i64).collect();
    let x = tensor(&x, &[n, 5]).to_kind(kind);
    Memory::of([("x", x), ("theta", tensor(&theta, &[n, 2])), ("target", Tensor::from_slice(&label))], TRAIN)
}

/// All that a model has learned, by part: weights, and what no step moves.
fn learned(model: &dyn Model) -> Vec<Vec<f64>> {
    let part = |part: &Part| {
        let mut named: Vec<_> = part.vs.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.iter().flat_map(|(_, t)| host(t)).collect()
    };
    model.parts().iter().map(part).collect()
}

fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = || a.iter().flatten().zip(b.iter().flatten());
    let norm = |f: &dyn Fn((&f64, &f64)) -> f64| pairs().map(|p| f(p).powi(2)).sum::<f64>().sqrt();
    norm(&|(a, b)| a - b) / norm(&|(_, b)| *b)
}

fn ids(range: std::ops::Range<u64>) -> Vec<SampleId> {
    range.map(SampleId::of).collect()
}

#[test]
fn each_moves_exactly_the_parts_that_it_names() {
    mpi::on_ranks("each_moves_exactly_the_parts_that_it_names", &[1], |comm| {
        let config = stage(Rule::Adamw);
        for which in MODELS {
            let (model, mut source) = (fresh(which, Kind::Double), samples(which, Kind::Double));
            let mut trainer = Trainer::new(comm, &config, model.as_ref());
            for phase in 0..model.phases().len() {
                (trainer.state.phase, trainer.state.turn) = (phase, 0);
                trainer.prepare(&mut source).unwrap();
                for turn in 0..5 {
                    let before = learned(model.as_ref());
                    trainer.step(&mut source, &ids(0..8), 1e-2).unwrap();
                    let after = learned(model.as_ref());
                    let moved: Vec<usize> = (0..before.len()).filter(|&p| before[p] != after[p]).collect();
                    let expected = match (which, phase, turn) {
                        (Adversarial, _, 4) => vec![GENERATOR, CRITIC],
                        (Adversarial, ..) => vec![CRITIC],
                        (TwoPhases, 0, _) => vec![0, 1],
                        (TwoPhases, ..) => vec![2],
                        _ => vec![0],
                    };
                    assert_eq!(moved, expected, "{which:?}, step {turn} of phase {phase}");
                }
            }
        }
    });
}

/// A whole training, small; what was learned, and the losses.
fn train(comm: &Comm, which: Which, kind: Kind, folder: &Path) -> (Vec<Vec<f64>>, Vec<f64>) {
    let (model, config) = (fresh(which, kind), stage(Rule::Adamw));
    let mut trainer = Trainer::new(comm, &config, model.as_ref());
    trainer.run(&mut samples(which, kind), folder).unwrap();
    let losses = trainer.state.history.iter().flat_map(|e| [e.train_loss, e.validation_loss.unwrap_or(0.0)]);
    (learned(model.as_ref()), losses.collect())
}

#[test]
fn the_steps_are_the_same_on_any_ranks() {
    mpi::on_ranks("the_steps_are_the_same_on_any_ranks", &[2, 3], |comm| {
        polycosm::nets::set_threads(1);
        for which in MODELS {
            // Three steps an epoch, the last on four samples: on three ranks shares are uneven.
            for kind in [Kind::Double, Kind::Float] {
                let alone = tempfile::tempdir().unwrap();
                let together = mpi::shared_dir().join(format!("{which:?} {kind:?}"));
                let (expected, curve) = train(&comm.alone(), which, kind, alone.path());
                let (learned, losses) = train(comm, which, kind, &together);
                let apart = distance(&learned, &expected);
                let most = if kind == Kind::Double { 1e-9 } else { 1e-3 };
                assert!(apart < most, "{which:?} {kind:?}: {apart} apart on {} ranks", comm.size());
                assert_eq!(losses.len(), curve.len());
                let off = losses.iter().zip(&curve).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max);
                assert!(off < most, "{which:?} {kind:?}: losses are {off} apart on {} ranks", comm.size());
                if which == Linear {
                    assert_eq!(learned, expected, "sums depend on the ranks");
                }
            }
        }
        // Partners out of the whole batch, of three samples: on three ranks each has one.
        let contrast: Step = |w, batch, turn| {
            let others = batch.others("x", 2)?.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
            let seen = batch.array("x")? * (others + batch.normal("noise", &[]));
            turn.minimise("contrast", &(w[0].get(0).get(0) * seen).tanh(), &[0])
        };
        close(descended(comm, contrast, &[]).unwrap(), descended(&comm.alone(), contrast, &[]).unwrap());
    });
}

/// Samples that cannot be read any more from one epoch on.
struct Broken {
    source: Memory,
    /// What is read last of what is planned.
    last: Vec<SampleId>,
    /// Epochs that begin until then.
    left: std::cell::Cell<usize>,
}

impl Source for Broken {
    fn ids(&self, split: Split) -> &[SampleId] {
        self.source.ids(split)
    }

    fn order(&self, run: usize, seed: u64, phase: usize, epoch: u64) -> Vec<SampleId> {
        self.left.set(self.left.get().saturating_sub(1));
        self.source.order(run, seed, phase, epoch)
    }

    fn plan(&mut self, batches: Vec<Vec<SampleId>>) {
        self.last = batches.last().cloned().unwrap_or_default();
    }

    fn read(&mut self, ids: &[SampleId]) -> Result<Vec<(String, Column)>> {
        // At the end of the epoch's steps.
        match self.left.get() == 0 && ids == self.last {
            true => Err(Error::io("the disk is gone")),
            false => self.source.read(ids),
        }
    }
}

#[test]
fn a_killed_training_goes_on_to_the_same_bits_in_each_phase() {
    mpi::on_ranks("a_killed_training_goes_on_to_the_same_bits_in_each_phase", &[1, 2], |comm| {
        polycosm::nets::set_threads(1);
        for which in MODELS {
            let folder = |name: &str| mpi::shared_dir().join(format!("{which:?} {name}"));
            let (expected, losses) = train(comm, which, Kind::Float, &folder("calm"));
            // In the first, second, last epoch of the first phase; in the first, second of the next.
            for epochs in [1, 2, 4, 5, 6] {
                let rough = folder(&epochs.to_string());
                let (model, config) = (fresh(which, Kind::Float), stage(Rule::Adamw));
                let mut source =
                    Broken { source: samples(which, Kind::Float), left: (epochs + 1).into(), last: vec![] };
                let mut trainer = Trainer::new(comm, &config, model.as_ref());
                let stopped = trainer.run(&mut source, &rough).is_err();
                let length = losses.len() / 2;
                assert_eq!(stopped, epochs < length, "{which:?}, killed in epoch {epochs}");
                let again = train(comm, which, Kind::Float, &rough);
                assert!(again == (expected.clone(), losses.clone()), "{which:?}, killed in epoch {epochs}: other bits");
            }
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
fn a_training_killed_again_and_again_within_its_epochs_ends_on_the_same_bits() {
    let name = "a_training_killed_again_and_again_within_its_epochs_ends_on_the_same_bits";
    mpi::on_ranks(name, &[1, 2, 3, 4], |comm| {
        polycosm::nets::set_threads(1);
        let (mut within, mut begun) = (0, std::collections::BTreeSet::new());
        let all = MODELS.into_iter().flat_map(|which| [which, which]).enumerate();
        for (i, which) in all {
            let folder = |name: &str| mpi::shared_dir().join(format!("{i} {which:?} {name}"));
            let calm = train(comm, which, Kind::Float, &folder("calm"));
            let config = StageConfig { checkpoint_minutes: 1e-9, keep_checkpoints: 4, ..stage(Rule::Adamw) };
            let mut rng = stream(7, i as u64, "kills", 0);
            let ended = (0..100).find_map(|_| {
                let model = fresh(which, Kind::Float);
                // What is prepared, and what is concluded from the held-out samples, is done in one go.
                let left = rng.random_range(1..=if which == Ratio { 40 } else { 3 });
                let mut source = Frail { source: samples(which, Kind::Float), left };
                let mut trainer = Trainer::new(comm, &config, model.as_ref());
                let ended = trainer.run(&mut source, &folder("rough")).is_ok();
                within += (trainer.state.batches > 0) as usize;
                begun.insert(trainer.state.phase);
                let losses =
                    trainer.state.history.iter().flat_map(|e| [e.train_loss, e.validation_loss.unwrap_or(0.0)]);
                ended.then(|| (learned(model.as_ref()), losses.collect::<Vec<f64>>()))
            });
            let what = if ended.is_some() { "other bits" } else { "no end" };
            assert!(ended == Some(calm), "{which:?}: {what}");
            // A closed form has no steps, and no checkpoints.
            if which != Linear {
                let there = std::fs::read_dir(folder("rough")).unwrap().flatten();
                let kept = there.filter(|e| e.file_name().to_string_lossy().starts_with("checkpoint.")).count();
                assert_eq!(kept, 4, "{which:?}: other checkpoints are kept");
            }
        }
        assert!(within >= 20 && begun.len() == 2, "killed {within} times within epochs of phases {begun:?}");
    });
}

/// Each phase lowers its own weight, past the value at which it is the best.
struct Passing {
    parts: [Part; 2],
    weights: [Tensor; 2],
    /// Of the distances from that value.
    judge: fn(Tensor) -> Tensor,
}

impl Model for Passing {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default(), Phase { epochs: Some(2), frozen: vec![0] }]
    }

    fn step(&self, phase: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise("down", &(batch.array("x")? * &self.weights[phase]), &[phase])
    }

    fn score(&self, phase: usize, batch: &Batch) -> Result<Vec<Score>> {
        let value = (&self.weights[phase] - 1.9).square() * batch.array("x")?.ones_like();
        Ok(vec![Score::new("distance", (self.judge)(value), &[phase])])
    }
}

fn passing(judge: fn(Tensor) -> Tensor) -> (Passing, StageConfig, Memory) {
    let mut config = stage(Rule::Sgd);
    (config.learning_rate, config.weight_decay, config.epochs) = (0.03, 0.0, 6);
    let (prior, columns) = (prior(), []);
    let task = Task { inputs: &columns, targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Double };
    let parts = ["a", "b"].map(|name| task.part(name));
    let weights = [0, 1].map(|p| parts[p].vs.root().var("w", &[1], tch::nn::Init::Const(2.0)));
    let source = Memory::of([("x", Tensor::ones([ALL as i64], (Kind::Double, Device::Cpu)))], TRAIN);
    (Passing { parts, weights, judge }, config, source)
}

/// What it makes of means is two numbers.
struct NoMeans(Passing);

impl Model for NoMeans {
    fn parts(&self) -> &[Part] {
        &self.0.parts
    }
    fn step(&self, phase: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        self.0.step(phase, batch, turn)
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let columns = batch.array("x")?.unsqueeze(1);
        Ok(vec![Score::of_means("k", columns, |means| Tensor::cat(&[means, means], 0), &[0])])
    }
}

#[test]
fn scores_that_say_nothing_are_refused() {
    mpi::on_ranks("scores_that_say_nothing_are_refused", &[1, 2], |comm| {
        let refused = |judge, words: &[&str]| {
            let (model, config, mut source) = passing(judge);
            let folder = tempfile::tempdir().unwrap();
            let e = Trainer::new(comm, &config, &model).run(&mut source, folder.path()).unwrap_err().to_string();
            assert!(words.iter().all(|w| e.contains(w)), "{e}");
        };
        refused(|of| of.unsqueeze(1), &["score distance", "one number for each sample"]);
        refused(|of| of / 0.0, &["no finite number in any epoch", "validation split"]);
        let (model, config, mut source) = passing(|of| of);
        let model = NoMeans(model);
        let e = Trainer::new(comm, &config, &model).run(&mut source, Path::new("")).unwrap_err().to_string();
        assert!(e.contains("score k") && e.contains("not one number"), "{e}");
    });
}

/// Puts each sample beside `k` others of its batch.
struct Beside {
    parts: [Part; 1],
    weight: Tensor,
    k: usize,
}

impl Model for Beside {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn partners(&self) -> usize {
        self.k
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let others = batch.others("x", self.k)?.mean_dim([1i64].as_slice(), false, None::<Kind>);
        Ok(vec![Score::new("beside", (&self.weight - others).square(), &[0])])
    }
}

/// Batches of 6 leave 2 of 20 samples over, which have no two others each: they join the batch before.
#[test]
fn no_sample_is_without_others_to_be_put_beside() {
    mpi::on_ranks("no_sample_is_without_others_to_be_put_beside", &[1, 3], |comm| {
        let run = |k, batch_size| {
            let (_, mut config, mut source) = passing(|of| of);
            (config.batch_size, config.epochs) = (batch_size, 2);
            let prior = prior();
            let task = Task { inputs: &[], targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Double };
            let part = task.part("w");
            let weight = part.vs.root().var("w", &[1], tch::nn::Init::Const(2.0));
            let model = Beside { parts: [part], weight, k };
            let folder = tempfile::tempdir().unwrap();
            let mut trainer = Trainer::new(comm, &config, &model);
            let ended = trainer.run(&mut source, folder.path()).map_err(|e| e.to_string());
            assert!(ended.is_ok() || std::fs::read_dir(folder.path()).unwrap().next().is_none());
            ended.map(|()| trainer.state.step)
        };
        assert_eq!([run(1, 6), run(2, 6), run(3, 8)], [Ok(8), Ok(6), Ok(6)], "steps of two epochs");
        let refused = |k, batch_size, words: &[&str]| {
            let e = run(k, batch_size).unwrap_err();
            assert!(words.iter().all(|w| e.contains(w)), "{e}");
        };
        refused(6, 5, &["train.test.batch_size = 5", "6 others", "give at least 7"]);
        refused(7, 8, &["train.test", "there are 7 for validation"]);
        refused(20, 64, &["there are 20 to learn from"]);
    });
}

#[test]
fn a_phase_begins_on_the_best_weights_of_the_one_before() {
    mpi::on_ranks("a_phase_begins_on_the_best_weights_of_the_one_before", &[1], |comm| {
        let (model, config, mut source) = passing(|of| of);
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = Trainer::new(comm, &config, &model);
        trainer.run(&mut source, folder.path()).unwrap();
        let of = |phase: usize| trainer.state.history.iter().filter(move |e| e.phase == phase);
        let scores: Vec<f64> = of(0).map(|e| e.validation_loss.unwrap()).collect();
        let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(scores.len() == 6 && of(1).count() == 2 && best < scores[5] && best < scores[0], "{scores:?}");
        let end = host(&trainer.flats[0].parameters)[0];
        assert!(((end - 1.9).powi(2) - best).abs() < 1e-15, "the weight is {end}, and the best were {best} from 1.9");
    });
}

#[test]
fn closed_forms_and_labels_are_learned() {
    mpi::on_ranks("closed_forms_and_labels_are_learned", &[1], |comm| {
        let x = Tensor::from_slice(&[0.0f64, 1.0, 2.0, 3.0, 5.0, 1.0, 7.0, 7.0, 0.0, 4.0, 1.0, 0.0, 1.0, 1.0, 1.0])
            .view([3, 5]);
        let all = |which| {
            let (model, mut config, folder) =
                (fresh(which, Kind::Double), stage(Rule::Adamw), tempfile::tempdir().unwrap());
            config.epochs = 30;
            Trainer::new(comm, &config, model.as_ref()).run(&mut samples(which, Kind::Double), folder.path()).unwrap();
            model
        };
        let linear = all(Linear);
        let weights = learned(linear.as_ref()).concat();
        assert!(weights.iter().any(|w| w.abs() > 0.1), "{weights:?}");
        let made = host(&linear.apply(&Batch::observed(&x)).unwrap()[0]);
        let by_hand = (0..5).map(|i| host(&x)[i] * weights[2 * i]).sum::<f64>() + weights[10];
        assert!((made[0] - by_hand).abs() < 1e-10);
        let classifier = all(Classifier);
        let mut source = samples(Classifier, Kind::Double);
        let held = source.ids(Split::Validation).to_vec();
        let batch = Batch::new(source.read(&held).unwrap(), held, Pass::Held, 5, Kind::Double);
        let loss = host(&classifier.score(0, &batch).unwrap()[0].value.mean(Kind::Double))[0];
        assert!(loss < 0.7 * 3f64.ln(), "cross entropy {loss}");
    });
}

#[test]
fn a_score_of_means_is_of_all_that_is_held_out() {
    mpi::on_ranks("a_score_of_means_is_of_all_that_is_held_out", &[1, 3], |comm| {
        let (model, config) = (fresh(Moments, Kind::Double), stage(Rule::Adamw));
        let (mut source, folder) = (samples(Moments, Kind::Double), mpi::shared_dir().join("stage"));
        let mut trainer = Trainer::new(comm, &config, model.as_ref());
        trainer.run(&mut source, &folder).unwrap();
        let held = source.ids(Split::Validation).to_vec();
        let batch = Batch::new(source.read(&held).unwrap(), held, Pass::Held, 5, Kind::Double);
        let errors = host(&(&model.apply(&batch).unwrap()[0] - batch.array("theta").unwrap()));
        let ln = |j| (errors.chunks(2).map(|e: &[f64]| e[j] * e[j]).sum::<f64>() / 7.0).ln();
        let (expected, best) = (ln(0) + ln(1), trainer.state.best[0]);
        assert!((best - expected).abs() < 1e-12, "{best} is not {expected}");
    });
}

/// Two parts of one weight each, and whatever step a test wants.
type Step = fn(&[Tensor; 2], &Batch, &mut dyn Turn) -> Result<()>;

struct Toy {
    parts: [Part; 2],
    weights: [Tensor; 2],
    step: Step,
    frozen: Vec<usize>,
}

impl Model for Toy {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase { epochs: None, frozen: self.frozen.clone() }]
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        (self.step)(&self.weights, batch, turn)
    }
}

/// The two weights after a step of plain descent at rate 0.1 from (2, 3), on x = 1, 2, 3.
fn descended(comm: &Comm, step: Step, frozen: &[usize]) -> Result<[f64; 2]> {
    let mut config = stage(Rule::Sgd);
    (config.weight_decay, config.clip) = (0.0, 0.0);
    let (prior, columns) = (prior(), []);
    let task = Task { inputs: &columns, targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Double };
    let parts = ["a", "b"].map(|name| task.part(name));
    let weight = |part: usize, value: f64| parts[part].vs.root().var("w", &[2, 2], tch::nn::Init::Const(value));
    let weights = [weight(0, 2.0), weight(1, 3.0)];
    let toy = Toy { parts, weights, step, frozen: frozen.to_vec() };
    let mut source = Memory::of([("x", Tensor::from_slice(&[1.0f64, 2.0, 3.0]))], 3);
    let mut trainer = Trainer::new(comm, &config, &toy);
    trainer.step(&mut source, &ids(0..3), 0.1)?;
    Ok([0, 1].map(|p| host(&trainer.flats[p].parameters)[0]))
}

fn close(a: [f64; 2], b: [f64; 2]) {
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?}, not {b:?}");
}

#[test]
fn a_gradient_is_of_its_loss_and_its_parts_alone() {
    mpi::on_ranks("a_gradient_is_of_its_loss_and_its_parts_alone", &[1], |comm| {
        // Losses stand in no order of parts: the mean of x is 2, of x² 14/3.
        let swapped: Step = |w, batch, turn| {
            let [a, b] = [w[0].get(0).get(0), w[1].get(0).get(0)];
            turn.minimise("b", &(b * batch.array("x")?), &[1])?;
            turn.minimise("a", &(a * batch.array("x")?.square()), &[0])
        };
        close(descended(comm, swapped, &[]).unwrap(), [2.0 - 0.1 * 14.0 / 3.0, 3.0 - 0.1 * 2.0]);
        // One loss over both parts; and over one of the two that it depends on.
        let both: Step = |w, batch, turn| {
            let [a, b] = [w[0].get(0).get(0), w[1].get(0).get(0)];
            turn.minimise("both", &(a * b * batch.array("x")?), &[0, 1])
        };
        close(descended(comm, both, &[]).unwrap(), [2.0 - 0.1 * 2.0 * 3.0, 3.0 - 0.1 * 2.0 * 2.0]);
        let one: Step = |w, batch, turn| {
            let [a, b] = [w[0].get(0).get(0), w[1].get(0).get(0)];
            turn.minimise("one", &(a * b * batch.array("x")?), &[1])
        };
        close(descended(comm, one, &[]).unwrap(), [2.0, 3.0 - 0.1 * 2.0 * 2.0]);
        // A loss after another sees the weights where that has put them: b = 3 − 0.1·2·2 = 2.6.
        let later: Step = |w, batch, turn| {
            let product = |w: &[Tensor; 2]| Ok::<_, Error>(w[0].get(0).get(0) * w[1].get(0).get(0) * batch.array("x")?);
            turn.minimise("first", &product(w)?, &[1])?;
            turn.minimise("then", &product(w)?, &[0])
        };
        close(descended(comm, later, &[]).unwrap(), [2.0 - 0.1 * 2.0 * 2.6, 2.6]);
        // Losses of one forward pass through weights that stay: the second graph is as good as the first.
        let shared: Step = |w, batch, turn| {
            let a = w[0].get(0).get(0) * batch.array("x")?;
            turn.minimise("first", &(&a.detach() * w[1].get(0).get(0)), &[1])?;
            turn.minimise("second", &a, &[0])
        };
        close(descended(comm, shared, &[]).unwrap(), [2.0 - 0.1 * 2.0, 3.0 - 0.1 * 4.0]);
        // ln of a mean: d ln(a·2)/da = 1/a.
        let means: Step = |w, batch, turn| {
            let columns = (w[0].get(0).get(0) * batch.array("x")?).unsqueeze(1);
            turn.minimise_of_means("ln", &columns, &|m| m.log().sum(m.kind()), &[0])
        };
        close(descended(comm, means, &[]).unwrap(), [2.0 - 0.1 / 2.0, 3.0]);
    });
}

#[test]
fn what_would_be_a_wrong_gradient_is_refused() {
    mpi::on_ranks("what_would_be_a_wrong_gradient_is_refused", &[1], |comm| {
        let refused = |step: Step, frozen: &[usize], words: &[&str]| {
            let e = descended(comm, step, frozen).expect_err("it was taken").to_string();
            assert!(words.iter().all(|w| e.contains(w)), "{e}");
        };
        let stale: Step = |w, batch, turn| {
            let product = w[0].matmul(&w[1]).get(0).get(0) * batch.array("x")?;
            turn.minimise("first", &product, &[1])?;
            turn.minimise("then", &product, &[0])
        };
        refused(stale, &[], &["loss then", "has moved", "compute it anew"]);
        let frozen: Step = |w, batch, turn| turn.minimise("c", &(w[1].get(0).get(0) * batch.array("x")?), &[1]);
        refused(frozen, &[1], &["loss c", "part b", "frozen"]);
        let absent: Step = |w, batch, turn| turn.minimise("c", &(w[1].get(0).get(0) * batch.array("x")?), &[2]);
        refused(absent, &[], &["loss c", "part number 2"]);
        let mean: Step =
            |w, batch, turn| turn.minimise("c", &(w[1].get(0).get(0) * batch.array("x")?.mean(Kind::Double)), &[1]);
        refused(mean, &[], &["loss c", "one row for each sample"]);
        let other: Step = |w, batch, turn| turn.minimise("c", &(w[1].get(0).get(0) * batch.array("x")?), &[0]);
        refused(other, &[], &["loss c", "does not depend on the weights of part a"]);
        let constant: Step = |_, batch, turn| turn.minimise("c", batch.array("x")?, &[0]);
        refused(constant, &[], &["loss c", "does not depend on the weights of part a"]);
        let of_sums: Step = |w, batch, turn| {
            let columns = (w[0].get(0).get(0) * batch.array("x")?).unsqueeze(1);
            turn.minimise_of_means("c", &columns, &|m| Tensor::cat(&[m, m], 0), &[0])
        };
        refused(of_sums, &[], &["loss c", "not one number"]);
        let beside: Step = |w, batch, turn| {
            let weight = w[0].get(0).get(0);
            let columns = (&weight * batch.array("x")?).unsqueeze(1);
            turn.minimise_of_means("c", &columns, &|m| m.sum(Kind::Double) * &weight, &[0])
        };
        refused(beside, &[], &["loss c", "beside them"]);
    });
}

#[test]
fn columns_that_do_not_fit_are_refused_in_words() {
    mpi::on_ranks("columns_that_do_not_fit_are_refused_in_words", &[1], |comm| {
        let refused = |e: Error, words: &[&str]| {
            assert!(e.exit_code() == 2 && e.remedy.is_some() && words.iter().all(|w| e.to_string().contains(w)), "{e}");
        };
        let error = |which, columns: &[FieldSpec]| build(which, Kind::Double, columns).err().expect("it was built");
        refused(error(Classifier, &[spec("x", &[5]), spec("targets", &[])]), &["target", "did you mean `targets`?"]);
        refused(error(Adversarial, &[spec("x", &[4; 3]), spec("target", &[4, 4])]), &["target", "[4, 4]", "[4, 4, 4]"]);
        let list = FieldSpec { ragged: true, ..spec("x", &[0, 5]) };
        refused(error(Linear, &[list, spec("target", &[])]), &["x: is a list", "fixed shape"]);
        // A label outside its classes, before anything is learned.
        let (model, config) = (fresh(Classifier, Kind::Double), stage(Rule::Adamw));
        let label: Vec<i64> = (0..ALL as i64).map(|i| if i == 13 { 3 } else { i % 3 }).collect();
        let x = Tensor::zeros([ALL as i64, 5], (Kind::Double, Device::Cpu));
        let mut source = Memory::of([("x", x), ("target", Tensor::from_slice(&label))], TRAIN);
        let folder = tempfile::tempdir().unwrap();
        let e = Trainer::new(comm, &config, model.as_ref()).run(&mut source, folder.path()).unwrap_err();
        refused(e, &["row 13", "target = 3", "from 0 to 2"]);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "something was written");
    });
}

/// The example is the file that these tests run.
#[test]
fn the_contributors_page_has_a_model_that_runs() {
    let page = include_str!("../CONTRIBUTING.md");
    assert!(
        page.contains(include_str!("../examples/moments.rs")),
        "CONTRIBUTING.md shows another model than moments.rs"
    );
}

/// Fields, labels and lists of a file, by the names that a model gives them.
#[test]
fn columns_come_from_a_dataset() {
    mpi::on_ranks("columns_come_from_a_dataset", &[1], |_| {
        let path = mpi::shared_dir().join("d.h5");
        let file = hdf5::File::create(&path).unwrap();
        let write = |name: &str, shape: &[usize], values: &[f64]| {
            file.new_dataset::<f64>().shape(shape).create(name).unwrap().write_raw(values).unwrap();
        };
        write("theta", &[8, 1], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        write("maps", &[8, 2], &(0..16).map(f64::from).collect::<Vec<_>>());
        let class: Vec<i64> = (0..8).map(|i| i % 3).collect();
        file.new_dataset::<i64>().shape([8]).create("class").unwrap().write_raw(&class).unwrap();
        let split: Vec<u8> = vec![2, 0, 0, 0, 0, 0, 1, 1];
        file.new_dataset::<u8>().shape([8]).create("split").unwrap().write_raw(&split).unwrap();
        file.close().unwrap();
        let dataset = Dataset::open(&path, "theta").unwrap();
        let mut source = Columns::of_dataset(&dataset, &[("x", "maps"), ("label", "class")], Device::Cpu)
            .unwrap()
            .memory(1)
            .unwrap();
        assert_eq!((source.ids(Split::Train), source.ids(Split::Validation)), (&ids(1..6)[..], &ids(6..8)[..]));
        let some = [SampleId::of(7), SampleId::of(4)];
        let batch = Batch::new(source.read(&some).unwrap(), some.to_vec(), Pass::Held, 1, Kind::Double);
        assert_eq!(host(batch.array("x").unwrap()), [14.0, 15.0, 8.0, 9.0]);
        assert_eq!(host(batch.array("theta").unwrap()), [7.0, 4.0]);
        assert_eq!(host(&batch.labels("label", 3).unwrap()), [1.0, 1.0]);
        let e = Columns::of_dataset(&dataset, &[("label", "clas")], Device::Cpu).err().expect("it is not there");
        assert!(e.exit_code() == 2 && e.to_string().contains("did you mean `class`?"), "{e}");
    });
}
