//! Ratio estimators learn posteriors that are known, through training, inference and calibration.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::calibration::{Outcome, assess};
use polycosm::comm::Comm;
use polycosm::infer::{Sampling, test_split};
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::models::{Batch, Density, Device, Tensor};
use polycosm::nets::host;
use polycosm::rng::stream;
use polycosm::train::outputs::columns;
use polycosm::train::{Context, StageConfig, Trained, records, train_stage};
use rand::Rng;
use rand_distr::StandardNormal;
use std::path::Path;

/// Universes of a box of two parameters between −1 and 1.
const P: usize = 2;
const NOISE: f64 = 0.3;
const TRAIN: usize = 1000;
const TEST: usize = 50;

type Ln = fn(&[f64], &[f64]) -> f64;

/// Data given parameters, and ln p(x | θ) up to a constant.
#[derive(Clone, Copy)]
struct Problem {
    data: fn(&[f64], &mut dyn FnMut() -> f64) -> Vec<f64>,
    ln: Ln,
}

/// Three numbers linear in θ.
fn linear() -> Problem {
    fn mean(t: &[f64]) -> [f64; 3] {
        [t[0], 0.5 * t[0] + t[1], 0.2 - t[1]]
    }
    Problem {
        data: |t, normal| mean(t).map(|m| m + NOISE * normal()).to_vec(),
        ln: |t, x| mean(t).iter().zip(x).map(|(m, x)| -0.5 * ((x - m) / NOISE).powi(2)).sum(),
    }
}

/// |θ₁| and θ₂: two modes, which no linear model has.
fn folded() -> Problem {
    fn mean(t: &[f64]) -> [f64; 2] {
        [t[0].abs(), t[1]]
    }
    Problem {
        data: |t, normal| mean(t).map(|m| m + 0.1 * normal()).to_vec(),
        ln: |t, x| mean(t).iter().zip(x).map(|(m, x)| -0.5 * ((x - m) / 0.1).powi(2)).sum(),
    }
}

fn pairs(problem: Problem, n: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = stream(seed, 0, "universes", 0);
    let theta: Vec<f64> = (0..P * n).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut normal = || rng.sample::<f64, _>(StandardNormal);
    let x = theta.chunks(P).flat_map(|t| (problem.data)(t, &mut normal)).collect();
    (theta, x)
}

/// So many universes to learn from, a fifth as many held out, and those for tests.
fn write(path: &Path, problem: Problem, train: usize) {
    let n = train + train / 5 + TEST;
    let (theta, x) = pairs(problem, n, 5);
    let split: Vec<u8> = (0..n).map(|i| (i >= train) as u8 + (i >= train + train / 5) as u8).collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([n, P]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f64>().shape([n, x.len() / n]).create("x").unwrap().write_raw(&x).unwrap();
    file.new_dataset::<u8>().shape([n]).create("split").unwrap().write_raw(&split).unwrap();
}

/// A grid over the prior, and the exact posterior on it.
fn grid(side: usize) -> Vec<f64> {
    let axis = |i: usize| -1.0 + (2 * i + 1) as f64 / side as f64;
    (0..side * side).flat_map(|i| [axis(i / side), axis(i % side)]).collect()
}

/// Trains `network` (and other keys of a stage), and shows what was learned. Collective.
fn learned<R>(
    comm: &Comm,
    problem: Problem,
    train: usize,
    stage: &str,
    show: impl FnOnce(&Trained, &Context) -> R,
) -> R {
    polycosm::nets::set_threads(1);
    let (path, folder) = (mpi::shared_dir().join("d.h5"), mpi::shared_dir().join("train"));
    comm.on_root(|| {
        write(&path, problem, train);
        let _ = std::fs::remove_dir_all(&folder);
        Ok(())
    })
    .unwrap();
    let bounds = "{ min = -1.0, max = 1.0 }";
    let text = format!("file = {path:?}\nparameters.a = {bounds}\nparameters.b = {bounds}");
    let dataset = &toml::from_str::<DatasetConfig>(&text).unwrap().open().unwrap();
    let text = format!("name = \"posterior\"\ninput = \"x\"\n{stage}");
    let stages: Vec<StageConfig> = vec![toml::from_str(&text).unwrap()];
    let (seed, device) = (1, Device::Cpu);
    let (records, identity) = (&records(&stages, &folder, seed), &Identity::of(comm, dataset, &["x"]).unwrap());
    let by = &Provenance::collect(comm, seed, "");
    let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
    train_stage(&context, "posterior", || Ok(())).unwrap();
    let trained = Trained::load(&context, "posterior").unwrap();
    show(&trained, &context)
}

/// Of fresh universes: the mean of KL(p ‖ q) of posteriors on a grid, and the mean and scatter of the ratio's integrals over the
/// prior.
fn compared(density: &dyn Density, problem: Problem) -> (f64, [f64; 2]) {
    let (side, n) = (100, 200);
    let grid = grid(side);
    let points = Tensor::from_slice(&grid).view([1, -1, P as i64]);
    let (_, x) = pairs(problem, n, 77);
    let (mut kl, mut integrals) = (0.0, vec![]);
    for x in x.chunks(x.len() / n) {
        let batch = Batch::observed(&Tensor::from_slice(x).view([1, -1]));
        let ratio = host(&tch::no_grad(|| density.ln(&batch, 0, &points)).unwrap());
        let exact: Vec<f64> = grid.chunks(P).map(|t| (problem.ln)(t, x)).collect();
        let mean = |ln: &[f64]| ln.iter().map(|l| l.exp()).sum::<f64>() / ln.len() as f64;
        let (r, p) = (mean(&ratio), mean(&exact));
        integrals.push(r);
        let each = ratio.iter().zip(&exact).map(|(q, e)| e.exp() / p * ((e - p.ln()) - (q - r.ln())));
        kl += each.sum::<f64>() / grid.len() as f64;
    }
    let mean = integrals.iter().sum::<f64>() / n as f64;
    let scatter = (integrals.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
    (kl / n as f64, [mean, scatter])
}

/// Where the truth is linear and Gaussian, a ratio of few universes is as good as a fit of that; of NRE-A and NRE-C it is that of
/// the posterior to the prior, whose integral is 1.
#[test]
fn ratios_of_a_linear_gaussian_problem_are_exact_and_normalised() {
    mpi::on_ranks("ratios_of_a_linear_gaussian_problem_are_exact_and_normalised", &[1], |comm| {
        // Of A the linear model's ratio is used alone, which is normalised; of C the classifiers add to it what they have learned.
        for (loss, normalised) in [("a", Some(0.03)), ("b", None), ("c", Some(0.1))] {
            let stage = format!("network = {{ kind = \"nre\", loss = {loss:?} }}");
            let (kl, [mean, scatter]) = learned(comm, linear(), TRAIN, &stage, |trained, _| {
                compared(trained.model().density().unwrap(), linear())
            });
            println!("{loss}: {kl} nats, integral {mean} ± {scatter}");
            assert!(kl < 0.02, "loss {loss}: {kl} nats from the truth");
            if let Some(most) = normalised {
                assert!(
                    (mean - 1.0).abs() < most && scatter < 0.1,
                    "loss {loss}: the ratio's integral is {mean} ± {scatter}"
                );
            }
        }
    });
}

/// Two modes: the classifiers find what no linear model has.
#[test]
fn classifiers_find_what_the_linear_model_has_not() {
    mpi::on_ranks("classifiers_find_what_the_linear_model_has_not", &[1], |comm| {
        for loss in ["b", "c"] {
            let stage = format!(
                "epochs = 30\nlearning_rate = 2e-3\nnetwork = {{ kind = \"nre\", ensemble = 1, loss = {loss:?} }}"
            );
            let (kl, integral) = learned(comm, folded(), TRAIN, &stage, |trained, _| {
                compared(trained.model().density().unwrap(), folded())
            });
            println!("{loss}: {kl} nats, integral {integral:?}");
            assert!(kl < 0.15, "loss {loss}: {kl} nats from the truth");
        }
    });
}

/// Through `infer` and `calibrate`, on any number of ranks with the same draws.
#[test]
fn a_ratio_is_inferred_with_and_judged() {
    mpi::on_ranks("a_ratio_is_inferred_with_and_judged", &[1, 2, 4], |comm| {
        learned(comm, linear(), 400, "epochs = 5\nnetwork = { kind = \"nre\" }", |trained, context| {
            let columns = &columns(context, "posterior").unwrap();
            let samples = test_split(comm, trained, columns, Sampling::of(200, 1)).unwrap();
            let alone = test_split(&comm.alone(), trained, columns, Sampling::of(200, 1)).unwrap();
            assert!(alone.theta == samples.theta && alone.ln_prob == samples.ln_prob, "draws depend on the ranks");
            let verdict = assess(&samples, &Default::default()).unwrap();
            assert!(verdict.outcome != Outcome::Fails && verdict.gain.mostly_gains, "{verdict}");
        });
    });
}
