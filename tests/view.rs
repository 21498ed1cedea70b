//! `[train.data]`: what symmetries, noise and masks do to samples, against exact answers.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::infer::Averaged;
use polycosm::io::field::{AxisKind, AxisKind::*, FieldSpec, HealpixOrder};
use polycosm::models::{
    Batch, Column, Density, Device, Draws, Estimand, Kind, Model, ModelConfig, NpeConfig, Part, Pass, Phase, SampleId,
    Stream, Tensor, Turn,
};
use polycosm::train::{
    Change, DataConfig, MaskConfig, Memory, NoiseConfig, Rule, StageConfig, Symmetry, Trainer, changes,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

const TRAIN: Pass = Pass::Train { phase: 0, epoch: 3 };

fn stage(data: DataConfig) -> StageConfig {
    StageConfig {
        name: "test".into(),
        input: "maps".into(),
        target: Default::default(),
        network: ModelConfig::new("npe", Box::new(NpeConfig::default())),
        data,
        epochs: 6,
        batch_size: 32,
        learning_rate: 1e-3,
        weight_decay: 1e-4,
        clip: 5.0,
        optimiser: Rule::Adamw,
        steps: Default::default(),
        patience: Some(0),
        augment: false,
        copies: 1,
        seed: 5,
        frozen: false,
        checkpoint_every: 1,
        checkpoint_minutes: 0.0,
        keep_checkpoints: 2,
    }
}

fn symmetric(symmetries: &[Symmetry]) -> DataConfig {
    DataConfig { symmetries: symmetries.to_vec(), ..Default::default() }
}

fn noise(noise: NoiseConfig) -> DataConfig {
    DataConfig { noise: vec![noise], ..Default::default() }
}

/// Whole numbers that tell where each came from, (n, shape), the same in every sample.
fn places(n: i64, shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = std::iter::once(1).chain(shape.iter().map(|&s| s as i64)).collect();
    let one = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)).view(shape.as_slice());
    one.repeat(std::iter::once(n).chain(shape[1..].iter().map(|_| 1)).collect::<Vec<_>>())
}

fn batch(columns: &[(&str, &Tensor)], pass: Pass) -> Batch {
    let n = columns[0].1.size()[0] as u64;
    let columns = columns.iter().map(|(name, x)| (name.to_string(), Column::Array(x.shallow_clone()))).collect();
    Batch::new(columns, (0..n).map(SampleId::of).collect(), pass, 7, Kind::Double)
}

fn changed(changes: &[Box<dyn Change>], columns: &[(&str, &Tensor)], pass: Pass) -> Batch {
    let mut batch = batch(columns, pass);
    changes.iter().for_each(|change| change.change(&mut batch).unwrap());
    batch
}

fn values(t: &Tensor) -> Vec<f64> {
    let t = t.to_kind(Kind::Double).contiguous();
    let mut v = vec![0f64; t.numel()];
    t.copy_data(&mut v, t.numel());
    v
}

/// The different outcomes for so many samples of one field of this shape.
fn outcomes(symmetries: &[Symmetry], kinds: &[AxisKind], shape: &[usize]) -> BTreeSet<Vec<i64>> {
    let changes = changes(&stage(symmetric(symmetries)), &[FieldSpec::of("x", shape, kinds)]).unwrap();
    let made = changed(&changes, &[("x", &places(2000, shape))], TRAIN);
    let size: usize = shape.iter().product();
    values(made.array("x").unwrap()).chunks(size).map(|one| one.iter().map(|&v| v as i64).collect()).collect()
}

/// All that follow from two of them is one of them: they are a group.
fn is_closed(all: &BTreeSet<Vec<i64>>) -> bool {
    all.iter().all(|a| all.iter().all(|b| all.contains(&b.iter().map(|&i| a[i as usize]).collect::<Vec<_>>())))
}

#[test]
fn each_symmetry_is_a_whole_group() {
    use Symmetry::{Flip, Shift, Slabs, Turn};
    let square: (&[AxisKind], &[usize]) = (&[Flat, Flat], &[3, 3]);
    let oblong: (&[AxisKind], &[usize]) = (&[Periodic, Periodic], &[3, 4]);
    let cube: (&[AxisKind], &[usize]) = (&[Periodic; 3], &[3; 3]);
    let slabs: (&[AxisKind], &[usize]) = (&[Slab, Periodic, Periodic], &[5, 2, 2]);
    for (symmetries, (kinds, shape), order) in [
        (&[Turn][..], square, 4),
        (&[Turn, Flip], square, 8),
        (&[Turn], oblong, 2),
        (&[Turn, Flip], oblong, 4),
        (&[Shift], oblong, 12),
        (&[Turn], cube, 24),
        (&[Turn, Flip], cube, 48),
        (&[Shift], cube, 27),
        (&[Slabs], slabs, 10),
        (&[Shift, Slabs], slabs, 40),
        (&[Turn, Flip], (&[Periodic, Periodic, Periodic], &[2, 3, 3]), 16),
        (&[Flip], (&[Channel, Flat], &[2, 5]), 2),
    ] {
        let all = outcomes(symmetries, kinds, shape);
        assert_eq!(all.len(), order, "{symmetries:?} of {kinds:?} {shape:?}");
        assert!(is_closed(&all), "{symmetries:?} of {kinds:?} {shape:?}");
    }
    // The mirror image of a cube is none of its turns.
    let turns = outcomes(&[Turn], cube.0, cube.1);
    let mirror = values(&places(1, cube.1).flip([3i64])).iter().map(|&v| v as i64).collect::<Vec<_>>();
    assert!(!turns.contains(&mirror) && outcomes(&[Turn, Flip], cube.0, cube.1).contains(&mirror));
    // Slabs keep what lies within them, and each other's neighbours.
    for order in outcomes(&[Slabs], slabs.0, slabs.1) {
        let slab = |i: usize| order[4 * i..4 * i + 4].to_vec();
        let first: Vec<i64> = (0..5).map(|i| slab(i)[0] / 4).collect();
        assert!((0..5).all(|i| slab(i) == (4 * first[i]..4 * first[i] + 4).collect::<Vec<_>>()));
        assert!((0..5).all(|i| [1, 4].contains(&(first[(i + 1) % 5] - first[i]).rem_euclid(5))), "{first:?}");
    }
}

/// What `augment = true` has always drawn, written out.
#[test]
fn augment_means_what_it_meant() {
    use rand::Rng;
    for (kinds, shape) in [
        (&[View, Slab, Periodic, Periodic][..], &[2usize, 3, 4, 4][..]),
        (&[Channel, Periodic, Periodic], &[2, 4, 6]),
        (&[Periodic; 3], &[4, 4, 4]),
    ] {
        let x = places(20, shape);
        let config = StageConfig { augment: true, ..stage(DataConfig::default()) };
        let changes = changes(&config, &[FieldSpec::of("x", shape, kinds)]).unwrap();
        let made = changed(&changes, &[("x", &x)], TRAIN);
        let before = batch(&[("x", &x)], TRAIN);
        let (h, w) = (shape[shape.len() - 2] as i64, shape[shape.len() - 1] as i64);
        let each = before.streams("augment").enumerate().map(|(i, mut rng)| {
            let mut one = x.select(0, i as i64);
            one = one.roll([rng.random_range(0..h), rng.random_range(0..w)], [-2i64, -1]);
            let turns = rng.random_range(0..if h == w { 4 } else { 1 });
            one = one.rot90(turns, [-2i64, -1]);
            if rng.random_bool(0.5) { one.flip([-1i64]) } else { one }
        });
        let as_ever = Tensor::stack(&each.collect::<Vec<_>>(), 0);
        assert_eq!(values(made.array("x").unwrap()), values(&as_ever), "{kinds:?}");
        // What is held out stays as it is, and so does an observation.
        for pass in [Pass::Held, Pass::Observation] {
            assert_eq!(values(changed(&changes, &[("x", &x)], pass).array("x").unwrap()), values(&x));
        }
    }
}

/// A box on a fine grid, on one half as fine, and its number of particles: all of a sample is moved alike.
#[test]
fn all_columns_of_a_box_are_moved_alike() {
    let all = [Symmetry::Shift, Symmetry::Turn, Symmetry::Flip];
    let specs = [
        FieldSpec::of("fine", &[8; 3], &[Periodic; 3]),
        FieldSpec::of("coarse", &[1, 4, 4, 4], &[Channel, Periodic, Periodic, Periodic]),
        FieldSpec::of("counts", &[5], &[Bin]),
    ];
    let changes = changes(&stage(symmetric(&all)), &specs).unwrap();
    let fine = Tensor::rand([40, 8, 8, 8], (Kind::Double, Device::Cpu));
    let pooled = |x: &Tensor| {
        let x = x.view([40i64, 4, 2, 4, 2, 4, 2].as_slice());
        x.mean_dim([2i64, 4, 6].as_slice(), false, None::<Kind>).unsqueeze(1)
    };
    let counts = places(40, &[5]);
    let made = changed(&changes, &[("fine", &fine), ("coarse", &pooled(&fine)), ("counts", &counts)], TRAIN);
    let moved = made.array("fine").unwrap();
    assert!((moved - &fine).abs().max().double_value(&[]) > 0.1);
    assert!((pooled(moved) - made.array("coarse").unwrap()).abs().max().double_value(&[]) < 1e-14);
    assert_eq!(values(made.array("counts").unwrap()), values(&counts));
}

/// Shear of a convergence (Ê = κ̂, no B-modes) and of a rotation (B̂ = ω̂, no E-modes), through all eight symmetries of a square.
#[test]
fn shear_turns_with_its_spin() {
    const N: i64 = 16;
    let line = Tensor::arange(N, (Kind::Double, Device::Cpu));
    // Wavenumbers 0 … N/2 − 1, −N/2 … −1, and 2φ of each mode.
    let k = (&line + N / 2).remainder(N as f64) - N / 2;
    let (kx, ky) = (k.view([N, 1]).expand([N, N], false), k.view([1, N]).expand([N, N], false));
    let two_phi = ky.atan2(&kx) * 2.0;
    let modes = |t: &Tensor| t.fft_fft2(None::<&[i64]>, [-2i64, -1], "backward");
    let field = |modes: &Tensor| modes.fft_ifft2(None::<&[i64]>, [-2i64, -1], "backward").real();
    let k2 = kx.square() + ky.square();
    let kept = k2.lt(36.0).logical_and(&k2.gt(0.0)).to_kind(Kind::Double);
    let white = || modes(&Tensor::randn([400, N, N], (Kind::Double, Device::Cpu))) * &kept;
    let (kappa, omega) = (white(), white());
    // E = cos 2φ γ1 + sin 2φ γ2, B = −sin 2φ γ1 + cos 2φ γ2.
    let gamma1 = field(&(&kappa * two_phi.cos() - &omega * two_phi.sin()));
    let gamma2 = field(&(&kappa * two_phi.sin() + &omega * two_phi.cos()));
    let shear = Tensor::stack(&[gamma1, gamma2, field(&omega)], 1);
    let mut spec = FieldSpec::of("shear", &[3, 16, 16], &[Channel, Flat, Flat]);
    (spec.axes[0].spins, spec.axes[0].labels) =
        (vec![2, 2, 0], ["gamma1", "gamma2", "omega"].map(String::from).to_vec());
    // How far Ê is from κ̂ and B̂ from ω̂ in each sample, of their powers.
    let apart = |spec: &FieldSpec| {
        let specs = [spec.clone(), FieldSpec::of("kappa", &[16, 16], &[Flat, Flat])];
        let changes = changes(&stage(symmetric(&[Symmetry::Turn, Symmetry::Flip])), &specs).unwrap();
        let made = changed(&changes, &[("shear", &shear), ("kappa", &field(&kappa))], TRAIN);
        let [g1, g2, w] = [0, 1, 2].map(|i| modes(&made.array("shear").unwrap().select(1, i)));
        let e = &g1 * two_phi.cos() + &g2 * two_phi.sin();
        let b = &g2 * two_phi.cos() - &g1 * two_phi.sin();
        let power = |t: &Tensor| t.abs().square().sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Double);
        [(e, modes(made.array("kappa").unwrap())), (b, w)].map(|(a, of)| values(&(power(&(a - &of)) / power(&of))))
    };
    assert!(apart(&spec).concat().iter().all(|p| *p < 1e-20), "E- and B-modes are no longer those of κ and ω");
    // The test would notice a rotation that is no pseudo-scalar, and components that are turned as scalars.
    spec.axes[0].labels.clear();
    let [e, b] = apart(&spec);
    assert!(e.iter().all(|p| *p < 1e-20) && b.iter().filter(|p| **p > 0.1).count() > 150);
    spec.axes[0].spins.clear();
    assert!(apart(&spec)[0].iter().filter(|p| **p > 0.1).count() > 250);
}

#[test]
fn shape_noise_has_the_variance_of_its_galaxies() {
    let shapes = NoiseConfig {
        sigma_e: Some(0.26),
        n_gal: polycosm::list::OneOrMany(vec![8.0, 20.0]),
        pixel: Some(1.5),
        ..Default::default()
    };
    let x = Tensor::ones([30, 2, 3, 32, 32], (Kind::Double, Device::Cpu));
    let mut spec = FieldSpec::of("x", &[2, 3, 32, 32], &[Channel, Channel, Flat, Flat]);
    spec.axes[1].spins = vec![2, 2, 0];
    let of = |config: &NoiseConfig, spec: &FieldSpec| {
        changes(&stage(noise(config.clone())), std::slice::from_ref(spec)).unwrap()
    };
    let all = of(&shapes, &spec);
    let noise_in = |pass: Pass| changed(&all, &[("x", &x)], pass).array("x").unwrap() - &x;
    let train = noise_in(TRAIN);
    for (i, n_gal) in [8.0, 20.0].into_iter().enumerate() {
        for component in 0..2 {
            let variance = train.select(1, i as i64).select(1, component).square().mean(Kind::Double).double_value(&[]);
            let expected = 0.26f64.powi(2) / (2.0 * n_gal * 1.5 * 1.5);
            // 30720 numbers: 4 standard errors.
            assert!((variance / expected - 1.0).abs() < 4.0 * (2.0 / 30720.0f64).sqrt(), "{variance} for {expected}");
        }
    }
    assert_eq!(train.select(2, 2).abs().max().double_value(&[]), 0.0, "shapes measure no rotation");
    // Another draw in each epoch, always the same for what is held out, none in what has been observed.
    let held = noise_in(Pass::Held);
    assert_eq!(values(&held), values(&noise_in(Pass::Held)));
    assert_eq!(values(&train), values(&noise_in(TRAIN)));
    for other in [&held, &noise_in(Pass::Train { phase: 0, epoch: 4 })] {
        assert!((other - &train).abs().max().double_value(&[]) > 0.05);
    }
    assert_eq!(noise_in(Pass::Observation).abs().max().double_value(&[]), 0.0);
    // Whichever rank has a sample.
    let mut some = batch(&[("x", &x.narrow(0, 0, 2))], Pass::Held);
    some.ids = vec![SampleId::of(4), SampleId::of(5)];
    all[0].change(&mut some).unwrap();
    assert_eq!(values(&(some.array("x").unwrap() - 1.0)), values(&held.narrow(0, 4, 2)));
    // Where the axes tell how large a pixel is.
    let mut spec = FieldSpec::of("x", &[2, 16, 16], &[Channel, Flat, Flat]);
    for axis in &mut spec.axes[1..] {
        (axis.unit, axis.values) = ("deg".into(), (0..16).map(|i| i as f64 * 0.025).collect());
    }
    let told = of(&NoiseConfig { pixel: None, ..shapes.clone() }, &spec);
    let given = of(&shapes, &spec);
    let x = Tensor::zeros([2, 2, 16, 16], (Kind::Double, Device::Cpu));
    let [told, given] = [told, given].map(|all| changed(&all, &[("x", &x)], TRAIN).array("x").unwrap().shallow_clone());
    assert!((told - given).abs().max().double_value(&[]) < 1e-15);
}

/// What a survey sees of a universe is one thing, whichever stage looks, and however it lists what is noisy.
#[test]
fn stages_see_the_same_noise() {
    let white = |field: &str| NoiseConfig { field: Some(field.into()), sigma: 0.1.into(), ..Default::default() };
    let spec = |name: &str| FieldSpec::of(name, &[5], &[Bin]);
    let x = Tensor::zeros([4, 5], (Kind::Double, Device::Cpu));
    let seen = |own: u64, input: &[&str], column: &str, noise: Vec<NoiseConfig>| {
        let data = DataConfig { noise, ..Default::default() };
        let input = polycosm::list::OneOrMany(input.iter().map(|s| s.to_string()).collect());
        let stage = StageConfig { seed: own, input, ..stage(data) };
        let names = if stage.input.len() == 1 { vec!["x".to_string()] } else { stage.input.0.clone() };
        let specs: Vec<FieldSpec> = names.iter().map(|name| spec(name)).collect();
        let columns = names.iter().map(|name| (name.clone(), Column::Array(x.shallow_clone()))).collect();
        let ids = (0..4).map(SampleId::of).collect();
        let mut batch = Batch::new(columns, ids, Pass::Held, 100 + own, Kind::Double);
        changes(&stage, &specs).unwrap().iter().for_each(|change| change.change(&mut batch).unwrap());
        values(batch.array(column).unwrap())
    };
    let one = seen(0, &["power"], "x", vec![white("power")]);
    assert!(one.iter().any(|v| *v != 0.0));
    assert_eq!(one, seen(3, &["power"], "x", vec![white("power")]), "another stage's");
    assert_eq!(one, seen(3, &["other", "power"], "power", vec![white("other"), white("power")]), "second in a list");
    let twice = seen(0, &["power"], "x", vec![white("power"), white("power")]);
    assert!(twice.iter().zip(&one).any(|(a, b)| (a - 2.0 * b).abs() > 1e-3), "two sources of noise are one draw");
}

/// A model of two phases that keeps the rms of what each step sees.
struct Meter {
    parts: [Part; 0],
    rms: RefCell<Vec<f64>>,
}

impl Model for Meter {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default(), Phase { epochs: Some(2), frozen: vec![] }]
    }

    fn step(&self, _: usize, batch: &Batch, _: &mut dyn Turn) -> polycosm::error::Result<()> {
        self.rms.borrow_mut().push(batch.array("x")?.square().mean(Kind::Double).sqrt().double_value(&[]));
        Ok(())
    }
}

#[test]
fn instance_noise_fades_in_each_phase_and_is_for_training_alone() {
    mpi::on_ranks("instance_noise_fades_in_each_phase_and_is_for_training_alone", &[1], |comm| {
        let instance = NoiseConfig { instance: 0.5.into(), ..Default::default() };
        let config = StageConfig { epochs: 4, ..stage(noise(instance)) };
        let spec = [FieldSpec::of("x", &[1000], &[Column])];
        let x = Tensor::zeros([64, 1000], (Kind::Float, Device::Cpu));
        // Neither what is held out nor copies have any.
        for pass in [Pass::Held, Pass::Observation, TRAIN] {
            let made = changed(&changes(&config, &spec).unwrap(), &[("x", &x)], pass);
            assert!(values(made.array("x").unwrap()).iter().all(|x| *x == 0.0), "{pass:?}");
        }
        let (model, folder) = (Meter { parts: [], rms: RefCell::default() }, mpi::shared_dir().join("stage"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut trainer = Trainer::new(comm, &config, &model);
        trainer.changes = changes(&config, &spec).unwrap();
        trainer.run(&mut Memory::of([("x", x)], 32), &folder).unwrap();
        let expected = [0.5, 0.375, 0.25, 0.125, 0.5, 0.25];
        let rms = model.rms.into_inner();
        assert!(rms.len() == 6 && rms.iter().zip(expected).all(|(r, e)| (r / e - 1.0).abs() < 0.02), "{rms:?}");
    });
}

/// Stages on fields and on what other stages make, in any order.
#[test]
fn each_input_of_a_stage_counts() {
    let one = |name: &str, input: &[&str], more: &str| -> StageConfig {
        let kind = if name == "posterior" { "npe" } else { "vmim" };
        let text = format!("name = {name:?}\ninput = {input:?}\nnetwork = {{ kind = {kind:?} }}\n{more}");
        toml::from_str(&text).unwrap()
    };
    let spec = |name: &str| match name {
        "maps" => Some(FieldSpec::of(name, &[8, 8], &[Flat, Flat])),
        "box" => Some(FieldSpec::of(name, &[8, 8], &[Periodic, Periodic])),
        "power" => Some(FieldSpec::of(name, &[5], &[Bin])),
        _ => None,
    };
    let check = |stages: &[StageConfig]| polycosm::train::check_views(stages, spec);
    let refused = |stages: &[StageConfig], words: &[&str]| {
        let e = check(stages).unwrap_err();
        assert!(e.exit_code() == 2 && words.iter().all(|w| e.to_string().contains(w)), "{e}");
    };
    // Copies differ by what any of the stages below does, whichever comes first.
    let (plain, noisy) = (one("a", &["maps"], ""), one("b", &["power"], "data = { noise = [{ sigma = 0.1 }] }"));
    for inputs in [["a", "b"], ["b", "a"]] {
        check(&[plain.clone(), noisy.clone(), one("posterior", &inputs, "copies = 3")]).unwrap();
    }
    let instance = one("b", &["power"], "data = { noise = [{ instance = 0.1 }] }");
    for other in [one("b", &["power"], ""), instance] {
        refused(
            &[plain.clone(), other, one("posterior", &["a", "b"], "copies = 3")],
            &["posterior.copies = 3", "alike"],
        );
    }
    check(&[plain.clone(), one("b", &["box"], ""), one("posterior", &["a", "b"], "copies = 3")]).unwrap();
    refused(&[one("posterior", &["power"], "copies = 3")], &["posterior.copies = 3", "no earlier stage"]);
    // Fields of the dataset beside summaries are changed, where it is said which.
    let beside = |more: &str| [plain.clone(), one("posterior", &["a", "power"], more)];
    check(&beside("data = { noise = [{ field = \"power\", sigma = [0.1, 0.1, 0.2, 0.2, 0.3] }] }")).unwrap();
    refused(&beside("data = { noise = [{ sigma = 0.1 }] }"), &["data.noise.0.field", "missing", "a, power"]);
    let summaries = beside("data = { noise = [{ field = \"a\", sigma = 0.1 }] }");
    refused(&summaries, &["data.noise.0.field = \"a\"", "earlier stage", "the stage that makes a"]);
    refused(&beside("data = { symmetries = [\"flip\"] }"), &["data.symmetries", "power (bin) has no axes in space"]);
    check(&[noisy.clone(), one("posterior", &["b", "maps"], "data = { symmetries = [\"flip\"] }")]).unwrap();
    let nothing = [plain.clone(), noisy.clone(), one("posterior", &["a", "b"], "data = { symmetries = [\"flip\"] }")];
    refused(&nothing, &["posterior.data", "summaries of a, b"]);
    // Noise is one draw for all networks that see the field, or is refused.
    let twice = |more: &str| {
        let data = "data = { noise = [{ field = \"power\", sigma = 0.1 }] }";
        [noisy.clone(), one("posterior", &["b", "power"], &format!("{data}\n{more}"))]
    };
    refused(&twice(""), &["posterior.data.noise = \"power\"", "another draw", "frozen = true"]);
    check(&twice("frozen = true")).unwrap();
}

/// Normal around a number of its map, with a member that is that number.
struct Corner;

impl Density for Corner {
    fn of(&self) -> Estimand {
        Estimand::Posterior
    }
    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> polycosm::error::Result<Tensor> {
        let x = batch.array("x")?.select(1, 0).unsqueeze(1);
        Ok((theta.select(2, 0) - x).square() * -0.5)
    }
    fn draw(&self, batch: &Batch, _: usize, draws: usize, _: &[u64]) -> polycosm::error::Result<Option<Draws>> {
        let x = batch.array("x")?.select(1, 0);
        let member = values(&x).iter().flat_map(|&v| vec![v as usize; draws]).collect();
        let theta = x.view([-1, 1, 1]).expand([-1, draws as i64, 1], false);
        let (ln_prob, ln_evidence) = (theta.select(2, 0), vec![0.0; batch.len()]);
        Ok(Some(Draws { theta, ln_prob, ln_evidence, member, members: 3 }))
    }
}

#[test]
fn draws_come_from_all_views_in_equal_shares() {
    let (spec, views) = (FieldSpec::of("x", &[3], &[Periodic]), 7);
    let config = DataConfig { average: Some(views), ..symmetric(&[Symmetry::Shift]) };
    let average = polycosm::train::average(&stage(config), std::slice::from_ref(&spec), &[]).unwrap().unwrap();
    // What was seen is moved, with all noise in it; the same for all who look.
    let seen = batch(&[("x", &places(50, &[3]))], Pass::Held);
    let moved = |v: usize| values(average.views(&seen).nth(v).unwrap().unwrap().array("x").unwrap());
    assert_eq!(moved(0), values(seen.array("x").unwrap()));
    assert!(moved(1) == moved(1) && moved(1) != moved(2) && moved(1) != moved(0));
    assert!((1..views).all(|v| moved(v).chunks(3).all(|x| (x[0] + 1.0) % 3.0 == x[1] && (x[1] + 1.0) % 3.0 == x[2])));
    let rows = average.views(&seen.rows(&[31, 4])).last().unwrap().unwrap();
    assert_eq!(values(rows.array("x").unwrap()), [&moved(6)[93..96], &moved(6)[12..15]].concat());

    let averaged = Averaged { density: &Corner, average: &average };
    let theta = Tensor::full([50, 1, 1], 0.3, (Kind::Double, Device::Cpu));
    let ln = values(&averaged.ln(&seen, 0, &theta).unwrap());
    let drawn = averaged.draw(&seen, 0, 23, &[1; 50]).unwrap().unwrap();
    let (all, ln_prob) = (values(&drawn.theta), values(&drawn.ln_prob));
    for i in 0..50 {
        let corners: Vec<f64> = (0..views).map(|v| moved(v)[3 * i]).collect();
        let mixture = |at: f64| (corners.iter().map(|x| (-0.5 * (at - x).powi(2)).exp()).sum::<f64>() / 7.0).ln();
        assert!((ln[i] - mixture(0.3)).abs() < 1e-12);
        for d in 0..23 {
            let (theta, member) = (all[23 * i + d], drawn.member[23 * i + d]);
            assert_eq!((theta, member), (corners[d % views], corners[d % views] as usize), "sample {i}, draw {d}");
            assert!((ln_prob[23 * i + d] - mixture(theta)).abs() < 1e-12);
        }
    }

    // What lies in space has no mean over views of it.
    let painted = polycosm::train::average(
        &stage(DataConfig { average: Some(2), ..symmetric(&[Symmetry::Shift]) }),
        std::slice::from_ref(&spec),
        std::slice::from_ref(&spec),
    );
    let error = painted.err().unwrap().to_string();
    assert!(error.contains("train.test.data.average = 2") && error.contains("lies in space"), "{error}");
}

fn mask(folder: &std::path::Path, name: &str, shape: &[usize], mask: &[f64]) -> MaskConfig {
    let path = folder.join(name);
    let file = hdf5::File::create(&path).unwrap();
    file.new_dataset::<f64>().shape(shape).create("mask").unwrap().write_raw(mask).unwrap();
    MaskConfig { field: None, file: path, fill: -7.0, sha256: None }
}

#[test]
fn what_is_masked_is_hidden_in_every_pass() {
    let folder = tempfile::tempdir().unwrap();
    let seen = [1.0, 0.0, 0.5, 1.0, 1.0, 0.0];
    let data = DataConfig {
        masks: vec![mask(folder.path(), "m.h5", &[2, 3], &seen)],
        ..noise(NoiseConfig { sigma: 0.1.into(), ..Default::default() })
    };
    let all = changes(&stage(data), &[FieldSpec::of("x", &[4, 2, 3], &[Channel, Flat, Flat])]).unwrap();
    let x = Tensor::ones([5, 4, 2, 3], (Kind::Float, Device::Cpu));
    for (pass, noisy) in [(TRAIN, true), (Pass::Held, true), (Pass::Observation, false)] {
        let made = values(changed(&all, &[("x", &x)], pass).array("x").unwrap());
        for (i, value) in made.iter().enumerate() {
            match seen[i % 6] {
                0.0 => assert_eq!(*value, -7.0),
                _ => assert!((*value != 1.0) == noisy && (value - 1.0).abs() < 1.0, "{value} in {pass:?}"),
            }
        }
    }
}

/// A model that remembers what it prepares itself from.
struct Watcher {
    parts: [Part; 0],
    seen: RefCell<Vec<Vec<f64>>>,
}

impl Model for Watcher {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> polycosm::error::Result<()> {
        let sum =
            all.sum(&mut |batch| Ok(batch.array("x")?.sum_dim_intlist([0i64].as_slice(), false, Kind::Double)))?;
        self.seen.borrow_mut().extend([values(&all.whole("x")?), values(&sum)]);
        Ok(())
    }
}

#[test]
fn scales_are_taken_from_what_validation_will_see() {
    mpi::on_ranks("scales_are_taken_from_what_validation_will_see", &[1, 2], |comm| {
        let spec = FieldSpec::of("x", &[8, 8], &[Periodic, Periodic]);
        let x = places(70, &[8, 8]);
        let prepared = |data: DataConfig| {
            let config = stage(data);
            let model = Watcher { parts: [], seen: RefCell::default() };
            let mut trainer = Trainer::new(comm, &config, &model);
            trainer.changes = changes(&config, std::slice::from_ref(&spec)).unwrap();
            trainer.prepare(&mut Memory::of([("x", x.shallow_clone())], 70)).unwrap();
            let mut held = Batch::new(
                vec![("x".into(), Column::Array(x.shallow_clone()))],
                (0..70).map(SampleId::of).collect(),
                Pass::Held,
                config.seed,
                Kind::Float,
            );
            trainer.changes.iter().for_each(|change| change.change(&mut held).unwrap());
            (model.seen.into_inner(), values(held.array("x").unwrap()))
        };
        let (seen, _) = prepared(symmetric(&[Symmetry::Shift, Symmetry::Turn]));
        assert_eq!(seen[0], values(&x), "symmetries are for training alone");
        let (seen, held) = prepared(noise(NoiseConfig { sigma: 2.0.into(), ..Default::default() }));
        assert_eq!(seen[0], held);
        assert!(seen[0] != values(&x));
        let sum = |i: usize| held.iter().skip(i).step_by(64).sum::<f64>();
        assert!((0..64).all(|i| (seen[1][i] - sum(i)).abs() < 1e-9 * sum(i).abs()));
    });
}

#[test]
fn what_a_field_does_not_have_is_refused() {
    use Symmetry::{Flip, Shift, Slabs, Turn};
    let folder = tempfile::tempdir().unwrap();
    let sphere = Healpix { nside: 1, order: HealpixOrder::Ring };
    let x = |shape: &[usize], kinds: &[AxisKind]| vec![FieldSpec::of("x", shape, kinds)];
    let flat = || x(&[2, 8, 8], &[Channel, Flat, Flat]);
    let periodic = || x(&[8, 8], &[Periodic, Periodic]);
    let sigma =
        |sigma: &[f64]| noise(NoiseConfig { sigma: polycosm::list::OneOrMany(sigma.to_vec()), ..Default::default() });
    let shapes = NoiseConfig { sigma_e: Some(0.3), n_gal: 10.0.into(), ..Default::default() };
    let masked = |name: &str, shape: &[usize], value: f64| DataConfig {
        masks: vec![mask(folder.path(), name, shape, &vec![value; shape.iter().product()])],
        ..Default::default()
    };
    let of = |field: &str| Some(field.to_string());
    let with_list = {
        let mut list = FieldSpec::of("halos", &[0, 3], &[Index, Column]);
        list.ragged = true;
        vec![FieldSpec::of("maps", &[8, 8], &[Periodic, Periodic]), list]
    };
    let mut spin = flat();
    spin[0].axes[0].spins = vec![1, 1];
    let maps_and_cube = vec![periodic().remove(0), FieldSpec::of("cube", &[4; 3], &[Periodic; 3])];
    let cases: Vec<(DataConfig, Vec<FieldSpec>, &[&str])> = vec![
        (symmetric(&[Turn, Shift]), flat(), &["data.symmetries = \"shift\"", "maps (channel, flat, flat)", "edges"]),
        (symmetric(&[Slabs]), flat(), &["\"slabs\"", "no axis of kind \"slab\""]),
        (symmetric(&[Turn, Flip, Turn]), flat(), &["data.symmetries = \"turn\": is named twice"]),
        (symmetric(&[Flip]), x(&[16], &[Bin]), &["\"flip\"", "maps (bin) has no axes in space", "stay as they are"]),
        (symmetric(&[Flip]), x(&[8, 8], &[Unsaid, Unsaid]), &["[dataset.axes]"]),
        (symmetric(&[Turn]), x(&[2, 8], &[Channel, Periodic]), &["\"turn\"", "fewer than 2 axes"]),
        (symmetric(&[Turn]), x(&[12], &[sphere]), &["pixels of the sphere", "made with the maps"]),
        (symmetric(&[Turn]), spin, &["spins [1, 1]"]),
        (symmetric(&[Shift]), with_list, &["halos is a list", "leave that column out"]),
        (symmetric(&[Shift]), maps_and_cube, &["maps (periodic, periodic) and cube", "one space"]),
        (sigma(&[0.1, -1.0]), flat(), &["train.test.data.noise.0.sigma = -1", "positive"]),
        (sigma(&[0.1, 0.1, 0.1]), flat(), &["has 3 numbers, and maps 2 channels"]),
        (
            sigma(&[0.1, 0.2]),
            x(&[2, 8, 8], &[Slab, Periodic, Periodic]),
            &["sigma = [0.1, 0.2]: is a list, and maps (slab, periodic, periodic) has no channels", "give one number"],
        ),
        (noise(NoiseConfig::default()), flat(), &["one of sigma, instance and sigma_e"]),
        (noise(NoiseConfig { sigma: 0.1.into(), ..shapes.clone() }), flat(), &["one of sigma"]),
        (noise(shapes.clone()), flat(), &["noise.0.pixel", "do not tell it", "arcminutes"]),
        (noise(NoiseConfig { n_gal: Default::default(), ..shapes.clone() }), flat(), &["noise.0.n_gal", "missing"]),
        (noise(NoiseConfig { sigma_e: None, sigma: 0.1.into(), ..shapes }), flat(), &["n_gal", "belongs to shape"]),
        (
            noise(NoiseConfig { field: of("mapz"), sigma: 0.1.into(), ..Default::default() }),
            flat(),
            &["noise.0.field = \"mapz\"", "did you mean `maps`"],
        ),
        (
            DataConfig { average: Some(2), ..masked("d.h5", &[8, 8], 1.0) },
            flat(),
            &["data.average = 2", "a mask stays"],
        ),
        (
            masked("a.h5", &[8, 7], 1.0),
            flat(),
            &["masks.0.file", "shape [8, 7], and maps [2, 8, 8]", "[8, 8] or [2, 8, 8]"],
        ),
        (masked("b.h5", &[8], 1.0), flat(), &["shape [8]"]),
        (masked("c.h5", &[8, 8], 1.5), flat(), &["holds 1.5", "from 0 (masked) to 1 (seen)"]),
    ];
    for (data, columns, words) in cases {
        let e = changes(&stage(data.clone()), &columns).err().unwrap_or_else(|| panic!("{data:?} is taken"));
        let text = e.to_string();
        assert!(e.exit_code() == 2 && text.contains("train.test.data"), "{text}");
        words.iter().for_each(|w| assert!(text.contains(w), "does not say {w}: {text}"));
    }
    // Both ways at once.
    let both = StageConfig { augment: true, ..stage(symmetric(&[Flip])) };
    let e = changes(&both, &periodic()).err().unwrap().to_string();
    assert!(e.contains("train.test.augment") && e.contains("two ways"), "{e}");
}

/// Rows of a foreign file, one number each that is its parameter itself.
const ROWS: usize = 600;

/// A campaign on them, in a folder of its own.
fn campaign(data: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let theta: Vec<f64> = (0..ROWS).map(|i| (i as f64 * 0.618_034).fract()).collect();
    let file = hdf5::File::create(folder.path().join("d.h5")).unwrap();
    for (name, shape) in [("theta", &[ROWS, 1][..]), ("x", &[ROWS, 1, 1])] {
        file.new_dataset::<f64>().shape(shape).create(name).unwrap().write_raw(&theta).unwrap();
    }
    let text = format!(
        "output = \"o\"\n[[train]]\nname = \"posterior\"\ninput = \"x\"\nepochs = 30\nbatch_size = 64\nlearning_rate = 5e-3\n\
         network = {{ kind = \"npe\", ensemble = 1, flow = {{ layers = 2, hidden = 32 }} }}\n{data}\n\
         [dataset]\nfile = \"d.h5\"\nparameters.a = {{ min = 0.0, max = 1.0 }}\naxes = {{ x = [\"flat\", \"flat\"] }}\n\
         [infer]\nposterior = \"posterior\"\ndraws = 200\n"
    );
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

fn polycosm(folder: &tempfile::TempDir, arguments: &[&str]) -> (i32, String) {
    let mut command = mpi::mpirun(1);
    command.current_dir(folder.path()).arg(env!("CARGO_BIN_EXE_polycosm")).args(arguments);
    let run = mpi::finish(command, Duration::from_secs(200));
    (run.code.unwrap_or(-1), run.text)
}

/// Test universes are as noisy as those that were learned from: posterior means scatter about the truth by the noise, and are as
/// wide.
#[test]
fn posteriors_of_tests_are_of_noisy_data() {
    let folder = campaign("data = { noise = [{ sigma = 0.1 }] }");
    for command in ["train", "infer"] {
        let (code, text) = polycosm(&folder, &[command, "run.toml"]);
        assert_eq!(code, 0, "{text}");
    }
    let samples = polycosm::io::samples::Samples::read(&folder.path().join("o/posterior/posterior.h5")).unwrap();
    let (mut off, mut width, mut n) = (0.0, 0.0, 0.0);
    // Away from the bounds of the prior.
    for (i, &truth) in samples.truth.iter().enumerate().filter(|(_, truth)| (0.25..0.75).contains(*truth)) {
        let draws = &samples.theta[i * 200..(i + 1) * 200];
        let mean = draws.iter().sum::<f64>() / 200.0;
        off += (mean - truth).powi(2);
        width += draws.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 199.0;
        n += 1.0;
    }
    let [off, width] = [off, width].map(|sum| (sum / n).sqrt());
    assert!(n > 30.0 && (off - 0.1).abs() < 0.03 && (width - 0.1).abs() < 0.03, "{off} off, {width} wide, {n} rows");
}

/// A stage depends on what a mask hides, not on where its file lies.
#[test]
fn a_mask_is_its_content() {
    let folder = campaign("data = { noise = [{ sigma = 0.1 }], masks = [{ file = \"m.h5\" }] }\nepochs = 1");
    let text = std::fs::read_to_string(folder.path().join("run.toml")).unwrap().replace("epochs = 30\n", "");
    std::fs::write(folder.path().join("run.toml"), &text).unwrap();
    mask(folder.path(), "m.h5", &[1, 1], &[1.0]);
    let (code, said) = polycosm(&folder, &["train", "run.toml"]);
    assert_eq!(code, 0, "{said}");
    std::fs::rename(folder.path().join("m.h5"), folder.path().join("elsewhere.h5")).unwrap();
    std::fs::write(folder.path().join("run.toml"), text.replace("m.h5", "elsewhere.h5")).unwrap();
    let (code, said) = polycosm(&folder, &["train", "run.toml"]);
    assert!(code == 0 && !said.contains("best validation loss"), "{said}");
    std::fs::remove_file(folder.path().join("elsewhere.h5")).unwrap();
    mask(folder.path(), "elsewhere.h5", &[1, 1], &[0.5]);
    let (code, said) = polycosm(&folder, &["train", "run.toml"]);
    assert!(code == 2 && said.contains("outdated") && said.contains("data.masks"), "{said}");
}
