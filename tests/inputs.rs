//! Inputs as real files have them: constants, offsets, outliers, numbers of both signs, numbers that are none, and
//! inputs that are unlike all that was trained on.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::cosmology::CosmologyConfig;
use polycosm::infer::{Sampling, observation, test_split};
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::io::samples::{FAR, OUTSIDE};
use polycosm::models::{Batch, Device, Eye, Kind, Model, ModelConfig, NpeConfig, Tensor, VmimConfig};
use polycosm::nets::{Transform, Transforms, host};
use polycosm::prior::{Parameter, Prior};
use polycosm::simulators::{Look, Pm, PmConfig, Runner};
use polycosm::train::outputs::columns;
use polycosm::train::{Context, Trained, train_stage};
use polycosm::train::{StageConfig, check_stages, records};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Columns of x.
const F: usize = 6;

/// One map of a box.
const MAPS: [AxisKind; 3] = [AxisKind::Channel, AxisKind::Periodic, AxisKind::Periodic];

fn prior(p: usize) -> Prior {
    let one = |i| Parameter::uniform(format!("t{i}"), format!("t{i}"), -0.1, 1.1);
    Prior::new((0..p).map(one).collect()).unwrap()
}

/// Parameters in the unit square and six numbers that tell them to about 0.05.
fn data(n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random()).collect();
    let mix = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0], [0.5, 1.0], [-1.0, 0.5]];
    let mut noise = || 0.1 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng);
    let row = |t: &[f64]| mix.map(|m| m[0] * t[0] + m[1] * t[1]);
    let x = theta.chunks(2).flat_map(row).collect::<Vec<_>>().into_iter().map(|x| x + noise()).collect();
    (theta, x)
}

fn tensor(x: &[f64], columns: usize) -> Tensor {
    Tensor::from_slice(x).view([-1, columns as i64])
}

fn npe(transform: impl Into<Transforms>, columns: usize) -> Box<dyn Model> {
    let config = NpeConfig { ensemble: 2, transform: transform.into(), ..NpeConfig::default() };
    ModelConfig::new("npe", Box::new(config))
        .build(&FieldSpec::of("x", &[columns], &[AxisKind::Bin]), &prior(2), Device::Cpu, Kind::Float)
        .unwrap()
}

fn eyes(model: &impl std::ops::Deref<Target = dyn Model>) -> &Eye {
    model.eyes()[0]
}

/// Moves every trainable number, so that the network listens to its inputs.
fn shake(model: &dyn Model) {
    polycosm::nets::seed(7);
    for part in model.parts() {
        let mut named: Vec<_> = part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, t) in named {
            let _ = t.detach().g_add_(&(Tensor::randn_like(&t) * 0.04));
        }
    }
}

/// ln q(θ | x) of each row, (n).
fn ln_density(model: &dyn Model, x: &Tensor, theta: &Tensor) -> Vec<f64> {
    host(&model.density().unwrap().ln(&Batch::observed(x), 0, &theta.unsqueeze(1)).unwrap())
}

/// Largest change of ln q when x becomes y.
fn change(model: &dyn Model, theta: &Tensor, x: &Tensor, y: &Tensor) -> f64 {
    let ln = |x: &Tensor| ln_density(model, x, theta);
    ln(x).iter().zip(ln(y)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn constants_drop_out_and_rounding_is_no_signal() {
    let (theta, x) = data(400);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let mut wide = vec![];
    for row in x.chunks(F) {
        let rounded = 1.0 + 1e-15 * rng.random_range(-5.0..5.0);
        // Two that vary, on an offset and tiny; constants: inexact in single precision, huge, zero, rounded, all from
        // f32.
        let noisy = f64::from(0.1f32 + rng.random_range(0..3) as f32 * 7.5e-9);
        wide.extend([row[0] + 1e8, row[1] * 1e-14, 0.1, -1e10, 0.0, rounded, noisy, row[2]]);
    }
    let (theta, x) = (tensor(&theta, 2), tensor(&wide, 8));
    let model = npe(Transform::None, 8);
    eyes(&model).standardise(&x);
    assert_eq!(eyes(&model).preprocess().constants(), (vec![2, 3, 4, 5, 6], 8));
    let z = eyes(&model).preprocess().forward(&x);
    let moments = host(&z.std_dim([0i64].as_slice(), false, false));
    for (column, sd) in moments.iter().enumerate() {
        let expected = if [0, 1, 7].contains(&column) { 1.0 } else { 0.0 };
        assert!((sd - expected).abs() < 1e-3, "column {column} is standardised to {sd}");
    }
    // The offset costs nothing: the same numbers without it.
    let plain: Vec<f64> = wide.chunks(8).map(|r| r[0] - 1e8).collect();
    let alone = npe(Transform::None, 1);
    eyes(&alone).standardise(&tensor(&plain, 1));
    let (a, b) = (host(&z.narrow(1, 0, 1)), host(&eyes(&alone).preprocess().forward(&tensor(&plain, 1))));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "an offset of 1e8 took the signal");

    shake(model.as_ref());
    let perturbed: Vec<f64> = wide.iter().map(|x| x * (1.0 + 1e-15 * rng.random_range(-1.0..1.0))).collect();
    let moved = change(model.as_ref(), &theta, &x, &tensor(&perturbed, 8));
    assert!(moved < 1e-3, "rounding of 1e-15 moves ln q by {moved}");
    let other: Vec<f64> = wide.chunks(8).flat_map(|r| [r[0], r[1], 0.2, 5.0, 1e-3, 2.0, 7.0, r[7]]).collect();
    assert_eq!(change(model.as_ref(), &theta, &x, &tensor(&other, 8)), 0.0, "a constant that changed is seen");
    let novelty = eyes(&model).novelty(&tensor(&other, 8));
    assert!(novelty.outside.iter().all(|o| *o == f64::INFINITY), "nothing is said of it");
    let again = eyes(&model).novelty(&tensor(&perturbed, 8));
    assert!(again.outside.iter().all(|o| *o < OUTSIDE), "rounding counts as something new: {:?}", again.outside);
}

#[test]
fn outliers_leave_the_others_alone_and_stay_finite() {
    let (theta, x) = data(400);
    let calm = npe(Transform::None, F);
    eyes(&calm).standardise(&tensor(&x, F));
    let model = npe(Transform::None, F);
    for factor in [1e6, 1e300] {
        let mut wild = x.clone();
        wild[17 * F..18 * F].iter_mut().for_each(|x| *x *= factor);
        let novelty = eyes(&model).standardise(&tensor(&wild, F));
        assert!(novelty.outside[17] > 1e3 && (0..400).all(|i| i == 17 || novelty.outside[i] < OUTSIDE));
        let rest = tensor(&x, F).narrow(0, 18, 300);
        let (a, b) = (host(&eyes(&calm).preprocess().forward(&rest)), host(&eyes(&model).preprocess().forward(&rest)));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 0.03, "one row of {factor:e} among 400 moves the others by {worst} standard deviations");
    }
    shake(model.as_ref());
    for size in [1e2, 1e30, 1e300] {
        let far = tensor(&[size, -size, 0.0, size, 0.0, 1.0], F);
        assert!(host(&eyes(&model).preprocess().forward(&far)).iter().all(|z| z.abs() < 1e3));
        let ln = ln_density(model.as_ref(), &far, &tensor(&theta[..2], 2));
        assert!(ln[0].is_finite(), "ln q = {} at {size:e}", ln[0]);
        let draws = model.density().unwrap().draw(&Batch::observed(&far), 0, 100, &[1]).unwrap().unwrap();
        assert!(host(&draws.theta).iter().all(|t| t.is_finite()));
    }
    // Maps: one universe among twelve, a million times brighter.
    let maps = |factor: f64| {
        polycosm::nets::seed(3);
        let x = Tensor::randn([12, 1, 16, 16], (Kind::Float, Device::Cpu));
        x.narrow(0, 5, 1).copy_(&(x.narrow(0, 5, 1) * factor));
        let config = ModelConfig::new(
            "vmim",
            Box::new(VmimConfig { transform: Transform::None.into(), ..VmimConfig::default() }),
        );
        let model =
            config.build(&FieldSpec::of("x", &[1, 16, 16], &MAPS), &prior(2), Device::Cpu, Kind::Float).unwrap();
        let novelty = eyes(&model).standardise(&x);
        (host(&eyes(&model).preprocess().forward(&x.narrow(0, 0, 5))), novelty)
    };
    let ((a, _), (b, novelty)) = (maps(1.0), maps(1e6));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.05), "one map moves the standardisation of the others");
    assert!(novelty.outside[5] > 1e3 && novelty.outside[4] < OUTSIDE);
}

#[test]
fn what_lies_outside_the_training_inputs_is_noticed() {
    let (_, x) = data(500);
    let model = npe(Transform::None, F);
    eyes(&model).standardise(&tensor(&x[..300 * F], F));
    let held_out = eyes(&model).novelty(&tensor(&x[300 * F..], F));
    assert!(held_out.outside.iter().all(|o| *o < OUTSIDE), "{:?}", held_out.outside);
    assert!(held_out.distance.iter().all(|d| *d < FAR), "{:?}", held_out.distance);
    let hundred: Vec<f64> = x[..F].iter().map(|x| 100.0 * x).collect();
    let far = eyes(&model).novelty(&tensor(&hundred, F));
    assert!(far.outside[0] > 10.0 && far.distance[0] > FAR);
    // Each number is usual, all together are not: x[2] is x[0] + x[1] in all others.
    let odd = eyes(&model).novelty(&tensor(&[0.1, 0.1, 1.9, 0.0, 0.2, 0.0], F));
    assert!(odd.outside[0] == 0.0 && odd.distance[0] > FAR, "{odd:?}");
    // Spectra of another amplitude, through a logarithm.
    let spectra: Vec<f64> = x.iter().map(|x| (0.5 * x).exp()).collect();
    let model = npe(Transform::Log, F);
    eyes(&model).standardise(&tensor(&spectra, F));
    let brighter: Vec<f64> = spectra[..F].iter().map(|x| 100.0 * x).collect();
    assert!(eyes(&model).novelty(&tensor(&brighter, F)).outside[0] > OUTSIDE);
    assert_eq!(eyes(&model).preprocess().fact(4, "power", &[2, 3]), "power[1, 1]");
}

#[test]
fn transforms_say_what_they_take_and_suit_both_signs() {
    let (_, x) = data(100);
    let unit = |scale: f64| {
        let model = npe(Transform::Asinh, F);
        let x: Vec<f64> = x.iter().map(|x| (x - 0.5) * scale).collect();
        eyes(&model).standardise(&tensor(&x, F));
        host(&eyes(&model).preprocess().forward(&tensor(&x, F)))
    };
    let worst = unit(1.0).iter().zip(unit(1e-14)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-6, "asinh depends on the unit by {worst}");
    let values = tensor(&[1.0, 0.0, -0.5, 2.0, -1.0, f64::NAN, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], F);
    assert_eq!(eyes(&npe(Transform::None, F)).unfit(&values), [[1, 0], [0, 0]]);
    assert_eq!(eyes(&npe(Transform::Log1p, F)).unfit(&values), [[1, 1], [0, 0]]);
    assert_eq!(eyes(&npe(Transform::Log, F)).unfit(&values), [[1, 3], [0, 0]]);
    let each: Transforms = serde_json::from_str(r#"["log", "asinh"]"#).unwrap();
    assert_eq!(eyes(&npe(each.clone(), F)).unfit(&values), [[1, 2], [0, 0]], "a list has one for each part");
    assert_eq!(serde_json::to_string(&each).unwrap(), r#"["log","asinh"]"#);
    let three: Transforms = serde_json::from_str(r#"["log", "none", "none", "none"]"#).unwrap();
    let config = ModelConfig::new("npe", Box::new(NpeConfig { transform: three, ..NpeConfig::default() }));
    let e = config
        .build(&FieldSpec::of("x", &[F], &[AxisKind::Bin]), &prior(2), Device::Cpu, Kind::Float)
        .err()
        .expect("four transforms of six numbers");
    assert!(e.exit_code() == 2 && e.remedy.is_some(), "{e}");
    assert!(serde_json::from_str::<Transforms>("[]").is_err() && serde_json::from_str::<Transforms>("3").is_err());
}

/// The mean density is 1 whatever the rounding of a number of ranks makes of it.
#[test]
fn the_mean_density_is_one_on_any_ranks() {
    mpi::on_ranks("the_mean_density_is_one_on_any_ranks", &[1, 2, 3], |comm| {
        let text = "box_size = 256.0\nparticles = 64\n[pdf]\nradius = 16.0";
        let config: PmConfig = toml::from_str(text).unwrap();
        let pm = Pm::<f32>::new(&config, &CosmologyConfig::default(), &Prior::new(vec![]).unwrap()).unwrap();
        let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/fastpm_observation.hdf5");
        let seen = pm.observe_file(comm, &snapshot, &Look::default()).unwrap();
        let moments = seen.fields.iter().find(|f| f.spec.name == "pdf_moments").unwrap().gathered(comm);
        if let (true, Data::F64(moments)) = (comm.is_root(), moments.data) {
            assert_eq!(moments[0], 1.0);
        }
    });
}

/// A compressor and a posterior on it, small.
fn stages() -> Vec<StageConfig> {
    let text = r#"
        [[train]]
        name = "compressor"
        input = "x"
        epochs = 5
        batch_size = 50
        learning_rate = 1e-2
        [train.network]
        kind = "vmim"
        transform = "none"
        mlp = { hidden = 32, layers = 1 }
        flow = { layers = 1, hidden = 16, bins = 4 }
        [[train]]
        name = "posterior"
        input = "compressor"
        epochs = 5
        batch_size = 50
        learning_rate = 1e-2
        [train.network]
        kind = "npe"
        ensemble = 2
        linear = false
        flow = { layers = 2, hidden = 16, bins = 4 }"#;
    #[derive(serde::Deserialize)]
    struct All {
        train: Vec<StageConfig>,
    }
    let all: All = toml::from_str(text).unwrap();
    check_stages(&all.train).unwrap();
    all.train
}

/// The last fifteen percent are for tests.
fn write(path: &Path, theta: &[f64], x: &[f64], split: Option<&dyn Fn(usize) -> u8>) {
    let n = theta.len() / 2;
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(theta).unwrap();
    file.new_dataset::<f64>().shape([n, x.len() / n]).create("x").unwrap().write_raw(x).unwrap();
    if let Some(split) = split {
        let split: Vec<u8> = (0..n).map(split).collect();
        file.new_dataset::<u8>().shape([n]).create("split").unwrap().write_raw(&split).unwrap();
    }
}

fn usual(i: usize) -> u8 {
    if i < 300 { 0 } else { 1 + (i >= 340) as u8 }
}

fn campaign(file: &Path) -> DatasetConfig {
    let text = format!(
        "file = {file:?}\nparameters.a = {{ min = -0.1, max = 1.1 }}\nparameters.b = {{ min = -0.1, max = 1.1 }}"
    );
    toml::from_str(&text).unwrap()
}

/// Bad numbers and strange inputs, from the file to the draws: the others have the posteriors that they would have
/// anyway.
#[test]
fn bad_rows_are_left_out_and_strange_observations_are_told() {
    mpi::on_ranks("bad_rows_are_left_out_and_strange_observations_are_told", &[2], |comm| {
        polycosm::nets::set_threads(1);
        let (theta, x) = data(400);
        let base = mpi::shared_dir();
        let run = |name: &str, x: &[f64]| {
            let path: PathBuf = base.join(name).with_extension("h5");
            comm.on_root(|| {
                write(&path, &theta, x, Some(&usual));
                Ok(())
            })
            .unwrap();
            let dataset = campaign(&path).open().unwrap();
            let (stages, folder) = (stages(), base.join(name));
            let (seed, device) = (1, Device::Cpu);
            let identity = Identity::of(comm, &dataset, &["x"]).unwrap();
            let (records, dataset) = (&records(&stages, &folder, seed), &dataset);
            let (identity, by) = (&identity, &Provenance::collect(comm, seed, ""));
            let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
            for stage in ["compressor", "posterior"] {
                train_stage(&context, stage, || Ok(())).unwrap();
            }
            let trained = Trained::load(&context, "posterior").unwrap();
            let columns = columns(&context, "posterior").unwrap();
            let samples = test_split(comm, &trained, &columns, Sampling::of(200, 1)).unwrap();
            (samples, trained)
        };
        let mean = |ln: &[f64]| ln.iter().sum::<f64>() / ln.len() as f64;
        let (plain, trained) = run("plain", &x);
        let expected = mean(&plain.ln_prob_truth);
        assert!(plain.extras.left_out.is_empty() && (0..60).all(|i| !plain.extras.unfamiliar(i)));
        assert!((0..60).all(|i| plain.spread_of(i).is_some()), "the members' spread is not measured");

        let (mut bad, mut wild, mut offset, mut constant) = (x.clone(), x.clone(), x.clone(), x.clone());
        bad[350 * F + 2] = f64::NAN;
        wild[100 * F..101 * F].iter_mut().for_each(|x| *x *= 1e6);
        wild[360 * F..361 * F].iter_mut().for_each(|x| *x *= 1e6);
        offset.iter_mut().for_each(|x| *x += 1e8);
        constant.chunks_mut(F).enumerate().for_each(|(i, r)| r[2] = if i < 340 { 0.1 } else { 0.1001 });
        let (s, _) = run("bad", &bad);
        assert_eq!((s.len(), &s.extras.left_out[..]), (59, &[350u64][..]));
        let others = (0..60).filter(|&i| i != 10).map(|i| plain.ln_prob_truth[i]);
        assert!(
            s.ln_prob_truth.iter().zip(others).all(|(a, b)| (a - b).abs() < 1e-3),
            "one bad row changed the others"
        );
        let (s, _) = run("wild", &wild);
        assert!(s.extras.unfamiliar(20) && s.extras.outside[20] > 1e3 && s.theta.iter().all(|t| t.is_finite()));
        let rest: Vec<f64> = (0..60).filter(|&i| i != 20).map(|i| s.ln_prob_truth[i]).collect();
        assert!(mean(&rest) > expected - 0.3, "outliers: ln q {} in place of {expected}", mean(&rest));
        let (s, _) = run("offset", &offset);
        assert!(mean(&s.ln_prob_truth) > expected - 0.2, "offset: {} in place of {expected}", mean(&s.ln_prob_truth));
        let (s, _) = run("constant", &constant);
        assert!(mean(&s.ln_prob_truth) > expected - 1.0, "constant: {}", mean(&s.ln_prob_truth));
        assert!((0..60).all(|i| s.extras.outside[i] == f64::INFINITY));

        let field = |x: Vec<f64>| {
            let (name, unit, description) = ("x", String::new(), String::new());
            let axes = vec![Axis::new(AxisKind::Bin, "axis1", "")];
            let spec = FieldSpec { axes, unit, description, dtype: Dtype::F64, ..FieldSpec::of(name, &[F], &[]) };
            [Field { spec, rows: F, data: Data::F64(x) }]
        };
        let row = x[380 * F..381 * F].to_vec();
        let (s, told) = observation(&trained, &field(row.clone()), None, Sampling::of(200, 1)).unwrap();
        assert!(!s.extras.unfamiliar(0) && !told.iter().any(|t| t.contains("guess")), "{told:?}");
        for factor in [100.0, 1e30] {
            let strange = row.iter().map(|x| x * factor).collect();
            match observation(&trained, &field(strange), None, Sampling::of(200, 1)) {
                Ok((s, told)) => assert!(s.extras.unfamiliar(0) && told[0].contains("training widths"), "{told:?}"),
                Err(e) => assert!(e.to_string().contains("no width") && e.remedy.is_some(), "{e}"),
            }
        }
        let e = observation(&trained, &field(vec![f64::NAN; F]), None, Sampling::of(200, 1)).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("NaN") && e.remedy.is_some(), "{e}");
    });
}

/// What cannot be learned from is refused before anything is trained.
#[test]
fn impossible_training_inputs_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (theta, x) = data(400);
    let run = |theta: &[f64], x: &[f64], split: &dyn Fn(usize) -> u8, transform: &str| {
        let (file, out) = (folder.path().join("d.h5"), folder.path().join("o"));
        std::fs::remove_dir_all(&out).ok();
        write(&file, theta, x, Some(split));
        let text = format!(
            "output = {out:?}\n[dataset]\nfile = {file:?}\nparameters.a = {{ min = -0.1, max = 1.1 }}\n\
             parameters.b = {{ min = -0.1, max = 1.1 }}\n[[train]]\nname = \"posterior\"\ninput = \"x\"\nepochs = 1\n\
             network = {{ kind = \"npe\", ensemble = 1, transform = {transform} }}\n"
        );
        std::fs::write(folder.path().join("run.toml"), text).unwrap();
        let mut command = mpi::mpirun(1);
        command.arg(env!("CARGO_BIN_EXE_polycosm")).arg("train").arg(folder.path().join("run.toml"));
        let run = mpi::finish(command, LIMIT);
        (run.code.unwrap_or(-1), run.text, out.join("train/posterior/weights.safetensors").exists())
    };
    let refused = |(code, text, trained): (i32, String, bool), words: &[&str]| {
        assert!(code == 2 && !trained, "exit {code}, trained {trained}: {text}");
        words.iter().for_each(|w| assert!(text.contains(w), "does not say {w}:\n{text}"));
    };
    let none = "\"none\"";
    let mut bad = x.clone();
    bad[123 * F] = f64::INFINITY;
    bad[7 * F + 3] = f64::NAN;
    refused(run(&theta, &bad, &usual, none), &["d.h5", "2 number(s)", "rows 7, 123", "remedy"]);
    refused(run(&theta, &vec![1.0; x.len()], &usual, none), &["d.h5", "same for all", "remedy"]);
    let negative = x.iter().filter(|x| **x <= 0.0).count();
    assert!(negative > 100);
    refused(run(&theta, &x, &usual, "\"log\""), &["d.h5", "above 0", "in rows", "transform = \"asinh\""]);
    refused(run(&theta, &x, &usual, "\"log10\""), &["transform", "asinh"]);
    refused(run(&theta[..8], &x[..4 * F], &|_| 0, none), &["d.h5", "4 universe(s)", "remedy"]);
    // A NaN in a test row, and no validation split: both said before training, which goes on.
    let mut bad = x.clone();
    bad[350 * F + 2] = f64::NAN;
    let (code, text, trained) = run(&theta, &bad, &|i| if i < 340 { 0 } else { 2 }, "[\"none\", \"asinh\"]");
    assert!(code == 0 && trained, "{text}");
    for words in ["row 350", "test split", "34 of those to learn from decide"] {
        assert!(text.contains(words), "does not say {words}:\n{text}");
    }
    assert!(!text.contains("loss 0.000"), "{text}");
}
