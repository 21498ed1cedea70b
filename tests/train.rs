//! Networks against problems with a known answer, and data-parallel training against serial.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::io::dataset::Split;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{
    Batch, Column, Device, Kind, Model, ModelConfig, NpeConfig, Part, SampleId, Tensor, VmimConfig,
};
use polycosm::nets::{host, rational_quadratic, whole};
use polycosm::prior::{Distribution, Parameter, Prior};
use polycosm::train::checkpoint::{self, State, resume};
use polycosm::train::optimiser::Flat;
use polycosm::train::{DataConfig, Memory, NoiseConfig, Rule, Source, StageConfig, Trainer, changes};
use sha2::{Digest, Sha256};

fn prior(bounds: &[(f64, f64)]) -> Prior {
    let one = |(i, &(min, max)): (usize, &(f64, f64))| Parameter::uniform(format!("t{i}"), format!("t{i}"), min, max);
    Prior::new(bounds.iter().enumerate().map(one).collect()).unwrap()
}

fn vector(n: usize) -> FieldSpec {
    FieldSpec::of("x", &[n], &[AxisKind::Column])
}

/// Maps of a box, in channels and in views where there are as many axes.
fn maps(shape: &[usize]) -> FieldSpec {
    let kinds = [AxisKind::View, AxisKind::Channel, AxisKind::Periodic, AxisKind::Periodic];
    FieldSpec::of("x", shape, &kinds[4 - shape.len()..])
}

fn stage(network: ModelConfig, optimiser: Rule) -> StageConfig {
    StageConfig {
        name: "test".into(),
        input: "x".into(),
        target: Default::default(),
        network,
        epochs: 6,
        batch_size: 32,
        learning_rate: 1e-3,
        weight_decay: 1e-4,
        clip: 5.0,
        optimiser,
        steps: Default::default(),
        patience: Some(0),
        data: Default::default(),
        augment: true,
        copies: 1,
        frozen: false,
        seed: 5,
        checkpoint_every: 1,
        checkpoint_minutes: 0.0,
        keep_checkpoints: 2,
    }
}

fn values(t: &Tensor) -> Vec<f64> {
    let t = t.detach().to_kind(Kind::Double).contiguous();
    let mut v = vec![0f64; t.numel()];
    t.copy_data(&mut v, t.numel());
    v
}

fn uniform(shape: &[i64], low: f64, high: f64, kind: Kind) -> Tensor {
    (Tensor::rand(shape, (Kind::Double, Device::Cpu)) * (high - low) + low).to_kind(kind)
}

#[test]
fn spline_inverts_and_its_log_determinant_is_the_derivative() {
    tch_seed(1);
    let bins = 6;
    let x = uniform(&[200], -6.0, 6.0, Kind::Double).set_requires_grad(true);
    let q = Tensor::randn([200, 3 * bins - 1], (Kind::Double, Device::Cpu));
    let (y, ln) = rational_quadratic(&x, &q, bins, 4.0, false);
    let (back, ln_back) = rational_quadratic(&y, &q, bins, 4.0, true);
    let gradient = Tensor::run_backward(&[y.sum(Kind::Double)], &[&x], true, false).swap_remove(0);
    let close = |a: &Tensor, b: &Tensor, what: &str| {
        let worst = values(&(a - b).abs().max());
        assert!(worst[0] < 1e-9, "{what}: off by {}", worst[0]);
    };
    close(&back, &x, "inverse of forward");
    close(&(&ln + &ln_back), &x.zeros_like(), "sum of both log-determinants");
    close(&gradient.log(), &ln, "log-determinant against autograd");
    let outside = x.abs().gt(4.0);
    assert!(values(&outside.to_kind(Kind::Double)).iter().sum::<f64>() > 20.0);
    close(&(&y - &x).masked_select(&outside), &Tensor::zeros([1], (Kind::Double, Device::Cpu)), "identity outside");
}

/// Moves every trainable number, so that a flow is not the identity it starts as.
fn shake(model: &dyn Model, size: f64) {
    for part in model.parts() {
        let mut named: Vec<_> = part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, t) in named {
            let noise = Tensor::randn_like(&t) * size;
            let mut data = t.detach();
            let _ = data.g_add_(&noise);
        }
    }
}

fn tch_seed(seed: i64) {
    polycosm::nets::seed(seed);
}

#[test]
fn flow_density_integrates_to_one_and_matches_its_samples() {
    tch_seed(2);
    let bounds = [(0.1, 0.5), (0.6, 1.0)];
    let config = ModelConfig::new("npe", Box::new(NpeConfig { ensemble: 2, ..NpeConfig::default() }));
    let model = config.build(&vector(3), &prior(&bounds), Device::Cpu, Kind::Double).unwrap();
    shake(model.as_ref(), 0.04);
    let x = Tensor::randn([1, 3], (Kind::Double, Device::Cpu));
    let n = 300i64;
    // Denser towards the edges, where a flow may rise.
    let angle = (Tensor::arange(n, (Kind::Double, Device::Cpu)) + 0.5) * (std::f64::consts::PI / n as f64);
    let axis = |(low, high): (f64, f64)| (-angle.cos() + 1.0) * (0.5 * (high - low)) + low;
    let pairs = |a: &Tensor, b: &Tensor| [a.repeat_interleave_self_int(n, 0, None), b.repeat([n])];
    let grid = Tensor::stack(&pairs(&axis(bounds[0]), &axis(bounds[1])), 1);
    let [of_a, of_b] = pairs(&angle.sin(), &angle.sin());
    let batch = Batch::observed(&x);
    let ln = ln_density(model.as_ref(), &batch, &grid.unsqueeze(0)).squeeze_dim(0);
    let p = ln.exp() * of_a * of_b * (0.2 * std::f64::consts::PI / n as f64).powi(2);
    let total = values(&p.sum(Kind::Double))[0];
    assert!((total - 1.0).abs() < 1e-3, "the density integrates to {total}");
    let beyond = Tensor::from_slice(&[0.3f64, 1.01]).view([1, 1, 2]);
    assert_eq!(values(&ln_density(model.as_ref(), &batch, &beyond)), [f64::NEG_INFINITY], "density outside the prior");
    let drawn = model.density().unwrap().draw(&batch, 0, 20_000, &[7]).unwrap().unwrap();
    let (theta, ln_draws) = (drawn.theta.squeeze_dim(0), drawn.ln_prob);
    for d in 0..2 {
        let mean = values(&(grid.select(1, d) * &p).sum(Kind::Double))[0];
        let draws = values(&theta.select(1, d));
        let (m, s) = moments(&draws);
        let error = 4.0 * s / (draws.len() as f64).sqrt() + 1e-4;
        assert!((m - mean).abs() < error, "parameter {d}: draws have mean {m}, the density {mean}");
        let (low, high) = bounds[d as usize];
        assert!(draws.iter().all(|t| (low..=high).contains(t)), "a draw left the prior");
    }
    let again = ln_density(model.as_ref(), &batch, &drawn.theta);
    assert!(values(&(again - ln_draws).abs().max())[0] < 1e-9);
    // Differentiable by θ and by the weights.
    let theta = drawn.theta.narrow(1, 0, 5).set_requires_grad(true);
    let weight = &model.parts()[1].vs.variables()["flow.layer0.context.weight"];
    let sum = ln_density(model.as_ref(), &batch, &theta).sum(Kind::Double);
    let gradients = Tensor::run_backward(&[sum], &[&theta, weight], false, false);
    assert!(gradients.iter().all(|g| values(&g.abs().max())[0] > 0.0), "{gradients:?}");
    // One after the other, for libtorch's generator is one for all.
    flow_lives_where_the_prior_does();
}

/// The same over a line, a half-line and a box of the logarithm.
fn flow_lives_where_the_prior_does() {
    tch_seed(4);
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let all = [
        Distribution::Normal { mean: 0.3, sigma: 0.1, min: low, max: high },
        Distribution::Normal { mean: 0.3, sigma: 0.1, min: 0.2, max: high },
        Distribution::LogUniform { min: 0.01, max: 10.0 },
    ];
    let parameter = |(j, d): (usize, &Distribution)| Parameter {
        distribution: *d,
        ..Parameter::uniform(format!("t{j}"), "", 0.0, 1.0)
    };
    let prior = Prior::new(all.iter().enumerate().map(parameter).collect()).unwrap();
    let config = ModelConfig::new("npe", Box::new(NpeConfig { ensemble: 2, ..NpeConfig::default() }));
    let model = config.build(&vector(3), &prior, Device::Cpu, Kind::Double).unwrap();
    shake(model.as_ref(), 0.01);
    let batch = Batch::observed(&Tensor::randn([1, 3], (Kind::Double, Device::Cpu)));
    let drawn = model.density().unwrap().draw(&batch, 0, 20_000, &[7]).unwrap().unwrap();
    let ln_prior: Vec<f64> = values(&drawn.theta).chunks(3).map(|t| prior.ln_density(t)).collect();
    assert!(ln_prior.iter().all(|ln| ln.is_finite()), "a draw left the prior");
    let ln = values(&ln_density(model.as_ref(), &batch, &drawn.theta));
    assert!(ln.iter().zip(values(&drawn.ln_prob)).all(|(a, b)| (a - b).abs() < 1e-6));
    // The mean of p/q over draws of q is ∫ p = 1, if q is where p is and is normalised. Of q/p over cells of the prior it is slow
    // to be: a flow reaches farther out than the prior does.
    let total = ln_prior.iter().zip(&ln).map(|(p, q)| (p - q).exp()).sum::<f64>() / ln.len() as f64;
    assert!((total - 1.0).abs() < 0.05, "the prior integrates to {total} by the density's draws");
    let beyond = Tensor::from_slice(&[0.3f64, 0.19, 1.0]).view([1, 1, 3]);
    assert_eq!(values(&ln_density(model.as_ref(), &batch, &beyond)), [f64::NEG_INFINITY]);
}

/// ln of a model's density at θ (n, m, p): (n, m).
fn ln_density(model: &dyn Model, batch: &Batch, theta: &Tensor) -> Tensor {
    model.density().unwrap().ln(batch, 0, theta).unwrap()
}

fn moments(v: &[f64]) -> (f64, f64) {
    let m = v.iter().sum::<f64>() / v.len() as f64;
    (m, (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / v.len() as f64).sqrt())
}

/// x = θ + noise with a wide uniform prior: the exact posterior is a Gaussian of the noise's width about x.
#[test]
fn linear_gaussian_posterior_is_learned() {
    mpi::on_ranks("linear_gaussian_posterior_is_learned", &[1], |comm| {
        tch_seed(3);
        let bounds = [(-5.0, 5.0), (-5.0, 5.0)];
        let sd = 0.5;
        let draw = |n: i64| {
            let theta = uniform(&[n, 2], -5.0, 5.0, Kind::Double);
            let x = (&theta + Tensor::randn([n, 2], (Kind::Double, Device::Cpu)) * sd).to_kind(Kind::Float);
            (x, theta)
        };
        let network = ModelConfig::new("npe", Box::new(NpeConfig { ensemble: 1, ..NpeConfig::default() }));
        let mut config = stage(network, Rule::Adamw);
        (config.epochs, config.batch_size, config.augment) = (25, 128, false);
        let (x, theta) = draw(5000);
        let mut table = Memory::of([("x", x), ("theta", theta)], 4500);
        let model = config.network.build(&vector(2), &prior(&bounds), Device::Cpu, Kind::Float).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Trainer::new(comm, &config, model.as_ref()).run(&mut table, folder.path()).unwrap();
        // Away from the edges, where the exact posterior is not cut off.
        let (x, theta) = draw(6000);
        let inside = x.abs().amax([1i64].as_slice(), false).lt(3.0).nonzero().squeeze_dim(1);
        let (x, theta) = (x.index_select(0, &inside), theta.index_select(0, &inside));
        let learned = values(&ln_density(model.as_ref(), &Batch::observed(&x), &theta.unsqueeze(1)));
        let exact =
            values(&(((&theta - &x) / sd).square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double) * -0.5));
        let norm = -(std::f64::consts::TAU * sd * sd).ln();
        let gap = exact.iter().zip(&learned).map(|(e, l)| e + norm - l).sum::<f64>() / exact.len() as f64;
        assert!(gap.abs() < 0.05, "{gap} nats below the exact posterior");
    });
}

/// Noise beside the symmetries.
fn noisy() -> DataConfig {
    DataConfig { noise: vec![NoiseConfig { sigma: 0.1.into(), ..Default::default() }], ..Default::default() }
}

/// Parameters after ten steps of batch 32, training the compressor on maps of noise.
fn ten_steps(comm: &Comm, rule: Rule, kind: Kind, reduce: bool) -> Vec<f64> {
    tch_seed(4);
    let network = ModelConfig::new("vmim", Box::new(VmimConfig::default()));
    let mut config = stage(network, rule);
    config.data = noisy();
    let x = uniform(&[64, 2, 2, 16, 16], 0.0, 3.0, kind);
    let theta = uniform(&[64, 2], 0.0, 1.0, Kind::Double);
    let mut table = Memory::of([("x", x), ("theta", theta)], 64);
    let model =
        config.network.build(&maps(&[2, 2, 16, 16]), &prior(&[(0.0, 1.0), (0.0, 1.0)]), Device::Cpu, kind).unwrap();
    shake(model.as_ref(), 0.01);
    let mut trainer = Trainer::new(comm, &config, model.as_ref());
    trainer.changes = changes(&config, &[maps(&[2, 2, 16, 16])]).unwrap();
    trainer.reduce = reduce;
    trainer.prepare(&mut table).unwrap();
    for step in 0..10 {
        trainer.state.epoch = step;
        let ids: Vec<SampleId> = (0..32).map(|i| SampleId::of((i * 7 + step * 13) % 64)).collect();
        trainer.step(&mut table, &ids, 1e-3).unwrap();
    }
    values(&trainer.flats[0].parameters)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let norm = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
    norm(&|i| a[i] - b[i]) / norm(&|i| b[i])
}

#[test]
fn two_ranks_of_16_equal_one_of_32() {
    mpi::on_ranks("two_ranks_of_16_equal_one_of_32", &[2, 3], |comm| {
        polycosm::nets::set_threads(1);
        for (rule, kind) in [(Rule::Sgd, Kind::Float), (Rule::Adamw, Kind::Double)] {
            let alone = ten_steps(&comm.alone(), rule, kind, true);
            let start = { ten_steps_start(kind) };
            let moved = distance(&alone, &start);
            let together = distance(&ten_steps(comm, rule, kind, true), &alone);
            assert!(together < 1e-5, "{rule:?} {kind:?}: {together} apart on {} ranks", comm.size());
            // Without the reduction each rank follows its own half of the batch: the test would notice.
            let apart = distance(&ten_steps(comm, rule, kind, false), &alone);
            assert!(apart > 1e-5, "{rule:?} {kind:?}: the same without the reduction ({apart}); moved {moved}");
            assert!(apart > 20.0 * together, "{rule:?} {kind:?}: {apart} without the reduction, {together} with it");
        }
    });
}

fn ten_steps_start(kind: Kind) -> Vec<f64> {
    tch_seed(4);
    let _ = (uniform(&[64, 2, 2, 16, 16], 0.0, 3.0, kind), uniform(&[64, 2], 0.0, 1.0, Kind::Double));
    let network = ModelConfig::new("vmim", Box::new(VmimConfig::default()));
    let model = network.build(&maps(&[2, 2, 16, 16]), &prior(&[(0.0, 1.0), (0.0, 1.0)]), Device::Cpu, kind).unwrap();
    shake(model.as_ref(), 0.01);
    let comm = Comm::world().alone();
    let config = stage(network, Rule::Sgd);
    values(&Trainer::new(&comm, &config, model.as_ref()).flats[0].parameters)
}

#[test]
fn training_resumes_bitwise_and_survives_a_truncated_checkpoint() {
    mpi::on_ranks("training_resumes_bitwise_and_survives_a_truncated_checkpoint", &[1, 2], |comm| {
        polycosm::nets::set_threads(1);
        let train = |folder: &std::path::Path| {
            tch_seed(6);
            let x = uniform(&[48, 2, 16, 16], 0.0, 3.0, Kind::Float);
            let theta = uniform(&[48, 2], 0.0, 1.0, Kind::Double);
            let mut table = Memory::of([("x", x), ("theta", theta)], 40);
            let network = ModelConfig::new("vmim", Box::new(VmimConfig::default()));
            let mut config = stage(network, Rule::Adamw);
            config.data = noisy();
            let bounds = prior(&[(0.0, 1.0), (0.0, 1.0)]);
            let model = config.network.build(&maps(&[2, 16, 16]), &bounds, Device::Cpu, Kind::Float).unwrap();
            let mut trainer = Trainer::new(comm, &config, model.as_ref());
            trainer.changes = changes(&config, &[maps(&[2, 16, 16])]).unwrap();
            trainer.run(&mut table, folder).unwrap();
            (values(&trainer.flats[0].parameters), trainer.state.history.len())
        };
        let base = mpi::shared_dir();
        let (calm, rough) = (base.join("calm"), base.join("rough"));
        let (expect, epochs) = train(&calm);
        assert_eq!(epochs, 6);
        // A run that was killed after its last but one checkpoint, the newest of which is damaged.
        train(&rough);
        comm.barrier();
        if comm.is_root() {
            let newest = checkpoint::path(&rough);
            let bytes = std::fs::read(&newest).unwrap();
            std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
        }
        comm.barrier();
        assert_eq!(train(&rough), (expect.clone(), 6), "not the same after going on from the checkpoint before");
        // Both damaged: from the start.
        if comm.is_root() {
            for name in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
                std::fs::write(rough.join(name), b"damaged").unwrap();
            }
        }
        comm.barrier();
        assert_eq!(train(&rough), (expect, 6));
    });
}

#[test]
fn ranks_of_a_node_know_their_place() {
    mpi::on_ranks("ranks_of_a_node_know_their_place", &[3], |comm| {
        let rank = comm.rank();
        assert_eq!((comm.place_on_this_node(""), comm.ranks_on_this_node()), ([rank, 3], 3));
        let shown = if rank == 1 { "another GPU" } else { "the same" };
        assert_eq!(comm.place_on_this_node(shown), [[0, 2], [0, 1], [1, 2]][rank]);
    });
}

#[test]
fn batches_with_nothing_for_a_rank_are_no_problem() {
    mpi::on_ranks("batches_with_nothing_for_a_rank_are_no_problem", &[3], |comm| {
        tch_seed(8);
        let config =
            stage(ModelConfig::new("npe", Box::new(NpeConfig { ensemble: 2, ..NpeConfig::default() })), Rule::Adamw);
        let x = uniform(&[4, 3], 0.0, 1.0, Kind::Float);
        let theta = uniform(&[4, 1], 0.0, 1.0, Kind::Double);
        let mut table = Memory::of([("x", x), ("theta", theta)], 2);
        let model = config.network.build(&vector(3), &prior(&[(0.0, 1.0)]), Device::Cpu, Kind::Float).unwrap();
        let mut trainer = Trainer::new(comm, &config, model.as_ref());
        trainer.prepare(&mut table).unwrap();
        let losses = trainer.step(&mut table, &[0, 1].map(SampleId::of), 1e-3).unwrap();
        assert!(losses.len() == 2 && losses.iter().all(|l| l.sum.is_finite()), "{losses:?}");
        let all = comm.all_gather(&values(&trainer.flats[1].parameters));
        let mine = values(&trainer.flats[1].parameters);
        assert!(all.chunks(mine.len()).all(|c| c == mine), "the ranks' parameters drifted apart");
    });
}

/// One weight, and one scale that is kept.
struct Line([Part; 1]);

impl Line {
    fn new(scale: f64) -> Self {
        let vs = tch::nn::VarStore::new(Device::Cpu);
        let _ = vs.root().var("w", &[1], tch::nn::Init::Const(2.0));
        let _ = vs.root().add("scale", Tensor::from_slice(&[scale]), false);
        Line([Part::new("line", vs)])
    }
    fn flats(&self) -> Vec<Flat> {
        self.0.iter().map(|part| Flat::new(part, Rule::Adamw)).collect()
    }
}

impl Model for Line {
    fn parts(&self) -> &[Part] {
        &self.0
    }
}

#[test]
fn a_checkpoint_of_a_program_without_phases_is_gone_on_from() {
    let (dir, comm, model) = (tempfile::tempdir().unwrap(), Comm::world(), Line::new(3.0));
    let mut state = State { epoch: 4, turn: 40, step: 40, ..State::new(1) };
    checkpoint::write(&comm, dir.path(), &mut state, &model.flats(), &model, 2).unwrap();
    let (again, mut found) = (Line::new(0.0), State::new(1));
    let mut own = again.flats();
    assert!(resume(&comm, dir.path(), &mut found, &mut own, &again).unwrap(), "scales came with it");
    assert_eq!((found.epoch, host(&again.0[0].vs.variables()["scale"])), (4, vec![3.0]));

    // As programs before wrote it: no phase, no steps of a phase, no scales.
    let path = checkpoint::path(dir.path());
    let mut all = Tensor::read_safetensors(&path).unwrap();
    all.retain(|(name, _)| name != "sha256" && !name.starts_with("kept."));
    for (name, t) in all.iter_mut().filter(|(name, _)| name == "state") {
        let mut json: serde_json::Value = serde_json::from_slice(&Vec::<u8>::try_from(&*t).unwrap()).unwrap();
        let table = json.as_object_mut().unwrap();
        assert!(table.remove("phase").is_some() && table.remove("turn").is_some(), "{name}");
        *t = Tensor::from_slice(json.to_string().as_bytes());
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let one = |(name, t): &(String, Tensor)| {
        let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
        t.copy_data_u8(&mut bytes, t.numel());
        format!("{name} {:?} {:?} {}\n", t.kind(), t.size(), hex(&bytes))
    };
    let sum = hex(all.iter().map(one).collect::<String>().as_bytes());
    all.push(("sha256".into(), Tensor::from_slice(sum.as_bytes())));
    Tensor::write_safetensors(&all, &path).unwrap();
    let mut found = State::new(1);
    assert!(!resume(&comm, dir.path(), &mut found, &mut own, &again).unwrap(), "scales are to be taken anew");
    assert_eq!((found.phase, found.epoch, found.turn, found.step), (0, 4, 40, 40));
}

#[test]
fn a_checkpoint_of_another_training_is_not_gone_on_from() {
    let (comm, model, mut state) = (Comm::world(), Line::new(3.0), State { epoch: 4, ..State::new(1) });
    let [one, other] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    for (folder, record) in [(&one, "one"), (&other, "other")] {
        std::fs::write(folder.path().join("stage.json"), record).unwrap();
    }
    let mut flats = model.flats();
    checkpoint::write(&comm, one.path(), &mut state, &flats, &model, 2).unwrap();
    let mut resumed = |folder: &std::path::Path| resume(&comm, folder, &mut State::new(1), &mut flats, &model).unwrap();
    assert!(resumed(one.path()));
    std::fs::copy(checkpoint::path(one.path()), checkpoint::path(other.path())).unwrap();
    assert!(!resumed(other.path()), "it is of a training that was begun otherwise");
}

#[test]
fn rows_and_lists_come_in_the_order_that_is_asked_for() {
    let x = Tensor::from_slice(&[0.0f64, 1.0, 2.0, 3.0]).view([4, 1]);
    let list = Column::List {
        values: Tensor::from_slice(&[10.0f64, 30.0, 31.0, 32.0]).view([4, 1]),
        offsets: Tensor::from_slice(&[0i64, 1, 1, 1, 4]),
    };
    let ids: Vec<SampleId> = [5, 6, 8, 9].map(SampleId::of).to_vec();
    let columns = vec![("x".into(), Column::Array(x)), ("halos".into(), list)];
    let mut source = Memory::new(columns, ids, 3);
    assert_eq!(source.ids(Split::Validation), [SampleId::of(9)]);
    let read = source.read(&[9, 6, 5].map(SampleId::of)).unwrap();
    let (Column::Array(x), Column::List { values, offsets }) = (&read[0].1, &read[1].1) else { panic!("{read:?}") };
    assert_eq!(host(x), [3.0, 1.0, 0.0]);
    assert_eq!((host(values), whole(offsets)), (vec![30.0, 31.0, 32.0, 10.0], vec![0, 3, 3, 4]));
    assert!(source.read(&[SampleId::of(7)]).is_err());
}

#[test]
fn the_ranks_of_a_node_take_its_gpus_in_turn() {
    let of = |gpus| (0..5).map(|rank| polycosm::nets::device_of(rank, gpus)).collect::<Vec<_>>();
    assert_eq!(of(0), [Device::Cpu; 5]);
    assert_eq!(of(1), [Device::Cuda(0); 5]);
    assert_eq!(of(2), [0, 1, 0, 1, 0].map(Device::Cuda));
    assert_eq!(of(8), [0, 1, 2, 3, 4].map(Device::Cuda));
}
