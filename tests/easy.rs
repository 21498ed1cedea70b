//! Posteriors that are known exactly are learned exactly, with the defaults: how far ln q is from ln p, in nats.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::models::{Batch, Device, Tensor};
use polycosm::nets::{host, put};
use polycosm::rng::stream;
use polycosm::train::{Context, StageConfig, Trained, records, train_stage};
use rand::Rng;
use rand_distr::{Cauchy, StandardNormal};
use statrs::distribution::{ContinuousCDF, Normal};

type Rng8 = polycosm::rng::ChaCha8Rng;
type Data = dyn Fn(&[f64], &mut Rng8) -> Vec<f64>;
type LnDensity = dyn Fn(&[f64], &[f64]) -> f64;

/// θ of p parameters between `bounds`, the data given it, and ln p(θ | x) where it is known.
struct Problem {
    name: &'static str,
    p: usize,
    bounds: (f64, f64),
    data: Box<Data>,
    ln: Option<Box<LnDensity>>,
}

fn normal(rng: &mut Rng8) -> f64 {
    rng.sample(StandardNormal)
}

/// Each of the first two parameters four times with noise of width `s`.
fn measured(theta: &[f64], s: f64, rng: &mut Rng8) -> Vec<f64> {
    theta[..2].iter().flat_map(|&t| [t; 4]).map(|t| t + s * normal(rng)).collect()
}

/// ln of a Gaussian of the mean of four such, cut off at −1 and 1.
fn ln_measured(theta: &[f64], x: &[f64], s: f64) -> f64 {
    let one = |j: usize| {
        let mean = x[4 * j..4 * j + 4].iter().sum::<f64>() / 4.0;
        let gaussian = Normal::new(mean, s / 2.0).unwrap();
        let within = match mean > 0.0 {
            true => gaussian.cdf(1.0) - gaussian.cdf(-1.0),
            false => gaussian.sf(-1.0) - gaussian.sf(1.0),
        };
        let z = (theta[j] - mean) / (s / 2.0);
        -0.5 * z * z - (s / 2.0 * std::f64::consts::TAU.sqrt()).ln() - within.ln()
    };
    one(0) + one(1)
}

fn linear(name: &'static str, s: f64) -> Problem {
    Problem {
        name,
        p: 2,
        bounds: (-1.0, 1.0),
        data: Box::new(move |t, rng| measured(t, s, rng)),
        ln: Some(Box::new(move |t, x| ln_measured(t, x, s))),
    }
}

fn useless() -> Problem {
    Problem { name: "useless", p: 3, ln: Some(Box::new(|t, x| ln_measured(t, x, 0.3) - 2f64.ln())), ..linear("", 0.3) }
}

fn nothing() -> Problem {
    let data = |_: &[f64], rng: &mut Rng8| (0..8).map(|_| normal(rng)).collect();
    Problem { name: "nothing", data: Box::new(data), ln: Some(Box::new(|_, _| -(4f64.ln()))), ..linear("", 0.3) }
}

fn many() -> Problem {
    let data = |t: &[f64], rng: &mut Rng8| {
        let own = measured(t, 0.3, rng);
        own.into_iter().chain((8..5000).map(|_| normal(rng))).collect::<Vec<f64>>()
    };
    Problem { name: "many", data: Box::new(data), ..linear("", 0.3) }
}

fn lognormal() -> Problem {
    let data = |t: &[f64], rng: &mut Rng8| measured(t, 0.3, rng).into_iter().map(|x| (3.0 * x).exp()).collect();
    let ln = |t: &[f64], x: &[f64]| ln_measured(t, &x.iter().map(|x| x.ln() / 3.0).collect::<Vec<_>>(), 0.3);
    Problem { name: "lognormal", data: Box::new(data), ln: Some(Box::new(ln)), ..linear("", 0.3) }
}

fn cauchy() -> Problem {
    let of = || Cauchy::new(0.0, 0.3).unwrap();
    let data = move |t: &[f64], rng: &mut Rng8| t.iter().flat_map(|&t| [t; 4]).map(|t| t + rng.sample(of())).collect();
    let ln = |t: &[f64], x: &[f64]| {
        let likelihood = |t: f64, x: &[f64]| x.iter().map(|x| 1.0 / (1.0 + ((x - t) / 0.3).powi(2))).product::<f64>();
        let one = |j: usize| {
            let x = &x[4 * j..4 * j + 4];
            let sum: f64 = (0..2000).map(|i| likelihood(-1.0 + (i as f64 + 0.5) / 1000.0, x)).sum();
            (likelihood(t[j], x) / (sum / 1000.0)).ln()
        };
        one(0) + one(1)
    };
    Problem { name: "cauchy", data: Box::new(data), ln: Some(Box::new(ln)), ..linear("", 0.3) }
}

/// Of sbibm (Lueckmann et al. 2021, arXiv:2101.04653).
fn two_moons() -> Problem {
    let data = |t: &[f64], rng: &mut Rng8| {
        let a = (rng.random::<f64>() - 0.5) * std::f64::consts::PI;
        let r = 0.1 + 0.01 * normal(rng);
        let h = 0.5f64.sqrt();
        vec![r * a.cos() + 0.25 - (t[0] + t[1]).abs() * h, r * a.sin() + (t[1] - t[0]) * h]
    };
    Problem { name: "two_moons", data: Box::new(data), ln: None, ..linear("", 0.3) }
}

fn mixture() -> Problem {
    let data = |t: &[f64], rng: &mut Rng8| {
        let s = if rng.random::<bool>() { 1.0 } else { 0.1 };
        t.iter().map(|t| t + s * normal(rng)).collect()
    };
    Problem { name: "mixture", p: 2, bounds: (-10.0, 10.0), data: Box::new(data), ln: None }
}

fn slcp() -> Problem {
    let data = |t: &[f64], rng: &mut Rng8| {
        let (s1, s2, rho) = (t[2] * t[2], t[3] * t[3], t[4].tanh());
        let mut one = || {
            let (a, b) = (normal(rng), normal(rng));
            [t[0] + s1 * a, t[1] + s2 * (rho * a + (1.0 - rho * rho).sqrt() * b)]
        };
        (0..4).flat_map(|_| one()).collect()
    };
    Problem { name: "slcp", p: 5, bounds: (-3.0, 3.0), data: Box::new(data), ln: None }
}

fn pairs(problem: &Problem, n: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = stream(seed, 0, problem.name, 0);
    let (mut theta, mut x) = (vec![], vec![]);
    for _ in 0..n {
        let t: Vec<f64> = (0..problem.p).map(|_| rng.random_range(problem.bounds.0..problem.bounds.1)).collect();
        x.extend((problem.data)(&t, &mut rng));
        theta.extend(t);
    }
    (theta, x)
}

/// What was learned of a problem, by fresh pairs.
struct Learned {
    /// Mean ln p − ln q (or −ln q, where p is not known), and its error.
    off: f64,
    error: f64,
    /// The mean of the linear model alone, where there is one.
    linear: f64,
    /// What is mixed: the flows, and the linear model.
    shares: Vec<f64>,
}

/// Trains on n rows and looks at fresh pairs.
fn learned(comm: &Comm, problem: &Problem, n: usize, seed: u64, network: &str) -> Learned {
    polycosm::nets::set_threads(1);
    let folder = mpi::shared_dir();
    let path = folder.join("d.h5");
    let (theta, x) = pairs(problem, n, seed);
    let f = x.len() / n;
    comm.on_root(|| {
        let file = hdf5::File::create(&path).unwrap();
        file.new_dataset::<f64>().shape([n, problem.p]).create("theta").unwrap().write_raw(&theta).unwrap();
        file.new_dataset::<f64>().shape([n, f]).create("x").unwrap().write_raw(&x).unwrap();
        Ok(())
    })
    .unwrap();
    let (low, high) = problem.bounds;
    let bounds: String =
        (0..problem.p).map(|j| format!("parameters.t{j} = {{ min = {low:?}, max = {high:?} }}\n")).collect();
    let text = format!("file = {path:?}\n{bounds}");
    let dataset = &toml::from_str::<DatasetConfig>(&text).unwrap().open().unwrap();
    let text = format!("name = \"posterior\"\ninput = \"x\"\n{network}");
    let stages: Vec<StageConfig> = vec![toml::from_str(&text).unwrap()];
    let (device, train) = (Device::Cpu, folder.join("train"));
    let (records, identity) = (&records(&stages, &train, seed), &Identity::of(comm, dataset, &["x"]).unwrap());
    let by = &Provenance::collect(comm, seed, "");
    let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
    train_stage(&context, "posterior", || Ok(())).unwrap();
    let trained = Trained::load(&context, "posterior").unwrap();
    let model = trained.model();
    let (theta, x) = pairs(problem, 4000, seed + 1000);
    let (t, data) = (Tensor::from_slice(&theta), Tensor::from_slice(&x));
    let batch = Batch::observed(&data.view([4000, f as i64]));
    let theta_of = t.view([4000, 1, problem.p as i64]);
    let off = || -> Vec<f64> {
        let ln = tch::no_grad(|| model.density().unwrap().ln(&batch, 0, &theta_of).unwrap());
        let one = |(i, q): (usize, f64)| {
            let (t, x) = (&theta[i * problem.p..(i + 1) * problem.p], &x[i * f..(i + 1) * f]);
            problem.ln.as_ref().map_or(0.0, |ln| ln(t, x)) - q
        };
        host(&ln).into_iter().enumerate().map(one).collect()
    };
    let mean_of = |off: &[f64]| off.iter().sum::<f64>() / 4000.0;
    let all = off();
    let mean = mean_of(&all);
    let error = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0 / 4000.0).sqrt();
    let variables = model.parts()[0].vs.variables();
    let shares = variables.get("shares").map_or(vec![], host);
    let linear = variables.get("shares").map_or(f64::NAN, |kept| {
        let alone = (0..shares.len()).map(|k| (k + 1 == shares.len()) as u8 as f64).collect::<Vec<_>>();
        put(kept, &Tensor::from_slice(&alone));
        mean_of(&off())
    });
    comm.barrier();
    comm.on_root(|| {
        std::fs::remove_dir_all(&train).unwrap();
        Ok(())
    })
    .unwrap();
    Learned { off: mean, error, linear, shares }
}

/// Where the truth is simple, what is learned with the defaults is the truth, but for what so few rows leave open.
#[test]
fn easy_posteriors_are_exact() {
    mpi::on_ranks("easy_posteriors_are_exact", &[1], |comm| {
        let cases = [
            (linear("linear", 0.3), 1000, 0.02),
            (linear("linear", 0.3), 300, 0.06),
            (linear("narrow", 4e-4), 1000, 0.02),
            (useless(), 1000, 0.03),
            (nothing(), 1000, 0.02),
            (lognormal(), 1000, 0.05),
        ];
        for (problem, n, most) in cases {
            let Learned { off, error, shares, .. } = learned(comm, &problem, n, 1, "network.kind = \"npe\"");
            let name = problem.name;
            assert!(off < most, "{name}, {n} rows: {off} ± {error} nats from the truth, shares {shares:?}");
        }
        // With few rows the linear model is the measure, and with next to none the prior.
        let problem = linear("linear", 0.3);
        let few = learned(comm, &problem, 50, 1, "network.kind = \"npe\"");
        assert!(few.off < few.linear + 0.02, "{} nats, {} by the linear model alone", few.off, few.linear);
        let (theta, x) = pairs(&problem, 4000, 1001);
        let ln = problem.ln.as_ref().unwrap();
        let prior = theta.chunks(2).zip(x.chunks(8)).map(|(t, x)| ln(t, x)).sum::<f64>() / 4000.0 + 4f64.ln();
        for n in [7, 15, 30] {
            let none = learned(comm, &problem, n, 1, "network.kind = \"npe\"");
            assert!(none.off < prior + 0.05, "{} nats from {n} rows, {prior} by the prior", none.off);
        }
    });
}

/// What no linear model knows is left to the flows, and the mixture is no worse than these are without it.
#[test]
fn where_a_linear_model_does_not_do_flows_are_used() {
    mpi::on_ranks("where_a_linear_model_does_not_do_flows_are_used", &[2], |comm| {
        let Learned { off, shares, .. } = learned(comm, &two_moons(), 600, 1, "network.kind = \"npe\"\nepochs = 20");
        let plain = "network = { kind = \"npe\", linear = false, transform = \"none\" }\nepochs = 20";
        let Learned { off: without, error, shares: equal, .. } = learned(comm, &two_moons(), 600, 1, plain);
        assert!(shares.len() == 5 && shares[4] < 0.2 && equal.is_empty(), "{shares:?} {equal:?}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(off < without + 2.0 * error, "{off} with it, {without} ± {error} without");
    });
}

/// All of docs/validation.md; ONLY names problems, STAGE gives other keys.
#[test]
#[ignore = "minutes"]
fn table() {
    mpi::on_ranks("table", &[1], |comm| {
        let only = std::env::var("ONLY").unwrap_or_default();
        let network = std::env::var("STAGE").unwrap_or("network.kind = \"npe\"".into()).replace(';', "\n");
        let cases = [
            (linear("linear", 0.3), 1000),
            (linear("linear", 0.3), 300),
            (linear("linear", 0.3), 50),
            (linear("narrow", 4e-4), 1000),
            (useless(), 1000),
            (nothing(), 1000),
            (lognormal(), 1000),
            (cauchy(), 1000),
            (many(), 1000),
            (two_moons(), 1000),
            (mixture(), 1000),
            (slcp(), 1000),
        ];
        for (problem, n) in cases.iter().filter(|(p, _)| only.is_empty() || only.split(',').any(|o| o == p.name)) {
            for seed in [1, 2] {
                let start = std::time::Instant::now();
                let Learned { off: kl, error, linear, shares } = learned(comm, problem, *n, seed, &network);
                let seconds = start.elapsed().as_secs_f64();
                assert!(kl.is_finite(), "{}: {kl}", problem.name);
                println!(
                    "{:10} {n:5} seed {seed}: {kl:7.4} ± {error:.4} nats ({linear:.4} by the linear model alone), shares {shares:.2?}, {seconds:.1} s",
                    problem.name
                );
            }
        }
    });
}
