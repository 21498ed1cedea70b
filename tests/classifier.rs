//! Classifiers give the probabilities of classes, which are known where each is a Gaussian.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::error::Error;
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::models::{Batch, ClassifierConfig, Column, Device, Kind, Pass, SampleId, Section, Task, Tensor};
use polycosm::nets::host;
use polycosm::prior::{Parameter, Prior};
use polycosm::rng::stream;
use polycosm::train::{Context, StageConfig, Trained, records, train_stage};
use rand::Rng;
use rand_distr::StandardNormal;

/// Means of the two numbers that are seen of a sample of each class, with unit scatter, and how often each class is.
const MEANS: [[f64; 2]; 3] = [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5]];
const SHARES: [f64; 3] = [0.6, 0.3, 0.1];

/// Probabilities of the classes given what is seen, where they count so much.
fn exact(x: &[f64], counts: [f64; 3]) -> [f64; 3] {
    let of = |c: usize| {
        let square: f64 = x.iter().zip(MEANS[c]).map(|(x, m)| (x - m).powi(2)).sum();
        counts[c] * (-0.5 * square).exp()
    };
    let all = [0, 1, 2].map(of);
    all.map(|p| p / all.iter().sum::<f64>())
}

/// Mean distance of the probabilities that a classifier with these keys gives from the exact ones.
fn off(comm: &Comm, keys: &str, counts: [f64; 3]) -> f64 {
    polycosm::nets::set_threads(1);
    let (folder, n) = (mpi::shared_dir(), 8000);
    let path = folder.join("d.h5");
    let mut rng = stream(5, 0, "samples", 0);
    let mut sample = || {
        let u: f64 = rng.random();
        let class = if u < SHARES[0] {
            0
        } else if u < SHARES[0] + SHARES[1] {
            1
        } else {
            2
        };
        (class, MEANS[class].map(|m| m + rng.sample::<f64, _>(StandardNormal)))
    };
    let all: Vec<_> = (0..n).map(|_| sample()).collect();
    comm.on_root(|| {
        let file = hdf5::File::create(&path).unwrap();
        let put = |name: &str, shape: &[usize], values: Vec<f64>| {
            file.new_dataset::<f64>().shape(shape).create(name).unwrap().write_raw(&values).unwrap();
        };
        // Universes of the same parameters are in one split: each has a number beside its class.
        put("theta", &[n, 2], (0..n).flat_map(|i| [all[i].0 as f64, (i as f64 + 0.5) / n as f64]).collect());
        put("x", &[n, 2], all.iter().flat_map(|s| s.1).collect());
        Ok(())
    })
    .unwrap();
    let text = format!(
        "file = {path:?}\nparameters.class = {{ min = -0.5, max = 2.5 }}\n\
         parameters.number = {{ min = 0.0, max = 1.0 }}"
    );
    let dataset = &toml::from_str::<DatasetConfig>(&text).unwrap().open().unwrap();
    let text = format!(
        "name = \"classes\"\ninput = \"x\"\ntarget = \"class\"\nepochs = 30\nbatch_size = 200\nlearning_rate = 5e-3\n\
         network = {{ kind = \"classifier\", classes = 3, mlp = {{ hidden = 16, layers = 1 }}, {keys} }}"
    );
    let stages: Vec<StageConfig> = vec![toml::from_str(&text).unwrap()];
    let (seed, device, train) = (1, Device::Cpu, folder.join(keys.replace([' ', '[', ',', '.', '=', ']'], "_")));
    let (records, identity) = (&records(&stages, &train, seed), &Identity::of(comm, dataset, &["x", "class"]).unwrap());
    let by = &Provenance::collect(comm, seed, "");
    let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
    train_stage(&context, "classes", || Ok(())).unwrap();
    let trained = Trained::load(&context, "classes").unwrap();
    let x: Vec<f64> = (0..500).flat_map(|_| sample().1).collect();
    let made =
        tch::no_grad(|| trained.model().apply(&Batch::observed(&Tensor::from_slice(&x).view([500, 2])))).unwrap();
    let far = |(p, x): (&[f64], &[f64])| p.iter().zip(exact(x, counts)).map(|(p, e)| (p - e).abs()).sum::<f64>() / 3.0;
    host(&made[0]).chunks(3).zip(x.chunks(2)).map(far).sum::<f64>() / 500.0
}

#[test]
fn probabilities_are_those_of_bayes() {
    mpi::on_ranks("probabilities_are_those_of_bayes", &[1, 2, 3], |comm| {
        for (keys, counts) in [
            ("focal = 0.0", SHARES),
            ("balanced = true", [1.0; 3]),
            ("balanced = true, weights = [2.0, 1.0, 1.0]", [2.0, 1.0, 1.0]),
        ] {
            let off = off(comm, keys, counts);
            assert!(off < 0.025, "{keys}: probabilities are {off} off");
        }
    });
}

fn task<T>(f: impl Fn(&Task) -> T) -> T {
    let prior = Prior::new(vec![Parameter::uniform("a", "a", 0.0, 1.0)]).unwrap();
    let (inputs, targets) = ([FieldSpec::of("x", &[4], &[AxisKind::Bin])], [FieldSpec::of("target", &[], &[])]);
    f(&Task { inputs: &inputs, targets: &targets, prior: &prior, device: Device::Cpu, kind: Kind::Double })
}

#[test]
fn focal_losses_are_those_of_the_paper() {
    polycosm::nets::seed(3);
    let columns = || {
        let x = Tensor::linspace(-2.0, 2.0, 24, (Kind::Double, Device::Cpu)).view([6, 4]);
        let labels = Tensor::from_slice(&[0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
        vec![("x".to_string(), Column::Array(x)), ("target".to_string(), Column::Array(labels))]
    };
    let batch = Batch::new(columns(), (0..6).map(SampleId::of).collect(), Pass::Held, 0, Kind::Double);
    for focal in [0.0, 2.0] {
        let config: ClassifierConfig = toml::from_str(&format!("classes = 3\nfocal = {focal:?}")).unwrap();
        let model = task(|task| config.build(task).unwrap());
        let (p, loss) = (model.apply(&batch).unwrap().remove(0), model.score(0, &batch).unwrap().remove(0).value);
        let p = host(&p);
        for (i, (loss, label)) in host(&loss).iter().zip([0, 1, 2, 2, 1, 0]).enumerate() {
            let p = p[3 * i + label];
            assert!((loss + (1.0 - p).powf(focal) * p.ln()).abs() < 1e-10, "{focal}: {loss} for p = {p}");
        }
    }
}

#[test]
fn what_is_no_classifier_is_refused() {
    let refused = |keys: &str, word: &str| {
        let config: ClassifierConfig = toml::from_str(keys).unwrap();
        let e: Error = task(|task| config.build(task).map(drop)).expect_err(keys);
        assert!(e.exit_code() == 2 && e.remedy.is_some() && e.to_string().contains(word), "{keys}: {e}");
    };
    refused("classes = 3\nweights = [1.0, 1.0]", "train.network.weights");
    refused("classes = 2\nweights = [1.0, -1.0]", "train.network.weights");
    refused("classes = 2\nfocal = -1.0", "train.network.focal");
    assert!(toml::from_str::<ClassifierConfig>("weights = [1.0]").is_err(), "classes is required");
}
