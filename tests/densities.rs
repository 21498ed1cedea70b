//! Posteriors, likelihoods and ratios become draws and normalised densities, and these are right: where the posterior is known,
//! and through all of inference and calibration with two models that are in no table.
#![cfg(feature = "torch")]

mod contracts {
    pub mod likelihood;
    mod linear_gaussian;
    pub mod ratio;
    mod unbounded;
}
mod mpi;

use contracts::{likelihood, ratio};
use polycosm::calibration::{Outcome, assess};
use polycosm::comm::Comm;
use polycosm::error::Result;
use polycosm::infer::{InferConfig, Method, Sampler, Sampling, Target, Tempered, draw, test_split};
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::models::{Batch, Density, Device, Draws, Estimand, KINDS, Kind, ModelConfig, Task, Tensor, kind};
use polycosm::nets::host;
use polycosm::prior::{Distribution, Parameter, Prior};
use polycosm::rng::stream;
use polycosm::train::outputs::columns;
use polycosm::train::{Context, StageConfig, Trained, changes, records, train_stage};
use rand::Rng;
use rand_distr::StandardNormal;
use std::path::Path;

fn prior(p: usize, min: f64, max: f64) -> Prior {
    let one = |i| Parameter::uniform(format!("t{i}"), format!("t{i}"), min, max);
    Prior::new((0..p).map(one).collect()).unwrap()
}

/// ln f of a block's θ.
type Ln = dyn Fn(usize, &[f64]) -> f64;

/// A density that is a function of θ, whatever the sample.
struct Known {
    of: Estimand,
    blocks: Vec<Vec<usize>>,
    ln: Box<Ln>,
}

impl Known {
    fn joint(of: Estimand, p: usize, ln: impl Fn(&[f64]) -> f64 + 'static) -> Known {
        Known { of, blocks: vec![(0..p).collect()], ln: Box::new(move |_, theta| ln(theta)) }
    }
}

impl Density for Known {
    fn of(&self) -> Estimand {
        self.of
    }

    fn blocks(&self, _: usize) -> Vec<Vec<usize>> {
        self.blocks.clone()
    }

    fn ln(&self, _: &Batch, block: usize, theta: &Tensor) -> Result<Tensor> {
        let size = theta.size();
        let ln: Vec<f64> = host(theta).chunks(size[2] as usize).map(|theta| (self.ln)(block, theta)).collect();
        Ok(Tensor::from_slice(&ln).view([size[0], size[1]]))
    }
}

fn one_sample() -> Batch {
    Batch::observed(&Tensor::zeros([1, 1], (Kind::Double, Device::Cpu)))
}

fn drawn(density: &Known, block: usize, prior: &Prior, draws: usize, seed: u64) -> Result<Draws> {
    draw(&Target { density, block, batch: &one_sample(), prior }, Method::Tempered, draws, &[seed]).map(|drawn| drawn.0)
}

/// Mean and covariance of draws (n, p).
fn moments(theta: &[f64], p: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (theta.len() / p) as f64;
    let mean: Vec<f64> = (0..p).map(|j| theta.iter().skip(j).step_by(p).sum::<f64>() / n).collect();
    let pair = |j: usize, k: usize| theta.chunks(p).map(|t| (t[j] - mean[j]) * (t[k] - mean[k])).sum::<f64>() / n;
    let covariance = (0..p * p).map(|i| pair(i / p, i % p)).collect();
    (mean, covariance)
}

/// ln N(θ; m, C) with sd s_j and a correlation ρ between neighbours, as an autoregression.
fn gaussian(mean: Vec<f64>, sd: Vec<f64>, rho: f64) -> impl Fn(&[f64]) -> f64 + Clone {
    move |theta| {
        let z: Vec<f64> = (0..theta.len()).map(|j| (theta[j] - mean[j]) / sd[j]).collect();
        let given = |j: usize| if j == 0 { (z[0], 1.0) } else { (z[j] - rho * z[j - 1], (1.0 - rho * rho).sqrt()) };
        let each = |j: usize| {
            let (off, width) = given(j);
            -0.5 * (off / width).powi(2) - (width * sd[j] * std::f64::consts::TAU.sqrt()).ln()
        };
        (0..z.len()).map(each).sum()
    }
}

/// A Gaussian far inside the prior, told as a posterior, as a likelihood and as a ratio of any normalisation: all give the same
/// draws and the same normalised density.
#[test]
fn a_posterior_a_likelihood_and_a_ratio_of_a_gaussian_have_its_moments_and_its_density() {
    for p in [1, 2, 5] {
        let prior = prior(p, -1.0, 3.0);
        let mean: Vec<f64> = (0..p).map(|j| 0.5 + 0.2 * j as f64).collect();
        let sd: Vec<f64> = (0..p).map(|j| 0.05 * (j + 1) as f64).collect();
        let exact = gaussian(mean.clone(), sd.clone(), 0.8);
        let volume = p as f64 * 4f64.ln();
        for (of, shift, evidence) in [
            (Estimand::Posterior, 0.0, 0.0),
            (Estimand::Likelihood, -700.0, -700.0 - volume),
            (Estimand::Ratio, volume, 0.0),
        ] {
            let (n, ln) = (4000, exact.clone());
            let density = Known::joint(of, p, move |theta| ln(theta) + shift);
            let draws = drawn(&density, 0, &prior, n, 7).unwrap();
            let theta = host(&draws.theta);
            let (m, c) = moments(&theta, p);
            for j in 0..p {
                // Draws are not quite independent: as if there were a third of them.
                let error = (3.0 / n as f64).sqrt();
                assert!((m[j] - mean[j]).abs() < 4.0 * error * sd[j], "{of:?}, p = {p}: mean {j} is {}", m[j]);
                for k in 0..p {
                    let expected = 0.8f64.powi(j.abs_diff(k) as i32);
                    let found = c[j * p + k] / (sd[j] * sd[k]);
                    assert!((found - expected).abs() < 6.0 * error, "{of:?}, p = {p}: covariance {j}, {k} is {found}");
                }
            }
            let off = (draws.ln_evidence[0] - evidence).abs();
            assert!(off < 0.25, "{of:?}, p = {p}: ln Z is {off} off");
            let worst = host(&draws.ln_prob).into_iter().zip(theta.chunks(p)).map(|(ln, t)| (ln - exact(t)).abs());
            assert!(worst.fold(0.0, f64::max) < 0.25 + 1e-6, "{of:?}, p = {p}: ln q is not normalised");
            let again = drawn(&density, 0, &prior, n, 7).unwrap();
            assert!(host(&again.theta) == theta, "another draw of the same seed");
            assert!(host(&drawn(&density, 0, &prior, n, 8).unwrap().theta) != theta);
        }
    }
}

#[test]
fn modes_keep_their_shares_and_bounds_cut() {
    // 30% and 70% in two far modes.
    let (a, b) = (gaussian(vec![-3.0, -3.0], vec![0.2, 0.2], 0.5), gaussian(vec![3.0, 2.0], vec![0.2, 0.2], 0.5));
    let two = Known::joint(Estimand::Likelihood, 2, move |t| (0.3 * a(t).exp() + 0.7 * b(t).exp()).max(1e-300).ln());
    let theta = host(&drawn(&two, 0, &prior(2, -5.0, 5.0), 4000, 1).unwrap().theta);
    let share = theta.chunks(2).filter(|t| t[0] < 0.0).count() as f64 / 4000.0;
    assert!((share - 0.3).abs() < 0.06, "{share} of the draws are in the mode of 0.3");
    // A half-Gaussian at a bound, where half of its mass is beyond; and one that is nothing on most of the prior.
    for cut in [f64::NEG_INFINITY, 0.0] {
        let half =
            Known::joint(
                Estimand::Likelihood,
                1,
                move |t| if t[0] < cut { f64::NEG_INFINITY } else { -50.0 * t[0] * t[0] },
            );
        let bounds = if cut == 0.0 { (-9.0, 1.0) } else { (0.0, 1.0) };
        let draws = drawn(&half, 0, &prior(1, bounds.0, bounds.1), 4000, 2).unwrap();
        let theta = host(&draws.theta);
        assert!(theta.iter().all(|t| (0.0..1.0).contains(t)));
        let mean = theta.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.1 * (2.0 / std::f64::consts::PI).sqrt()).abs() < 0.006, "the half-Gaussian's mean is {mean}");
        let exact = (0.1 * (std::f64::consts::PI / 2.0).sqrt() / (bounds.1 - bounds.0)).ln();
        assert!((draws.ln_evidence[0] - exact).abs() < 0.2, "ln Z is {}, not {exact}", draws.ln_evidence[0]);
    }
}

/// A Gaussian likelihood times a Gaussian prior on the line is one: width⁻² = Σ σ⁻².
#[test]
fn priors_on_the_line_are_taken_as_they_are() {
    let distribution = Distribution::Normal { mean: 1.0, sigma: 0.5, min: f64::NEG_INFINITY, max: f64::INFINITY };
    let normal = Prior::new(vec![Parameter { distribution, ..Parameter::uniform("a", "a", 0.0, 1.0) }]).unwrap();
    let density = Known::joint(Estimand::Likelihood, 1, |t| -0.5 * ((t[0] - 2.0) / 0.5).powi(2));
    let draws = drawn(&density, 0, &normal, 4000, 4).unwrap();
    let (mean, variance) = moments(&host(&draws.theta), 1);
    assert!((mean[0] - 1.5).abs() < 0.04 && (variance[0] - 0.125).abs() < 0.015, "{mean:?} {variance:?}");
    // ∫ exp(−(θ − 2)²/2s²) N(θ; 1, s) dθ = exp(−1/4s²)/√2.
    assert!((draws.ln_evidence[0] + 1.0 + 0.5 * 2f64.ln()).abs() < 0.15, "{:?}", draws.ln_evidence);
}

/// A correlated Gaussian prior and a likelihood of the first parameter alone: the second is learned through the first.
#[test]
fn correlations_of_the_prior_are_in_the_posterior() {
    let (min, max, r) = (f64::NEG_INFINITY, f64::INFINITY, 0.8);
    let normal = |name: &str, mean: f64, sigma: f64| {
        let distribution = Distribution::Normal { mean, sigma, min, max };
        Parameter { distribution, ..Parameter::uniform(name, name, 0.0, 1.0) }
    };
    let mut parameters = vec![normal("a", 1.0, 0.5), normal("b", -3.0, 2.0)];
    parameters[1].correlation.insert("a".into(), r);
    let prior = Prior::new(parameters).unwrap();
    let density = Known::joint(Estimand::Likelihood, 2, |t| -0.5 * ((t[0] - 2.0) / 0.5).powi(2));
    let draws = drawn(&density, 0, &prior, 4000, 4).unwrap();
    let (mean, covariance) = moments(&host(&draws.theta), 2);
    // Of a: 1.5 ± 0.5/√2; b follows with the slope rσ_b/σ_a, about which σ_b√(1 − r²) is left.
    let (slope, rest) = (r * 2.0 / 0.5, 4.0 * (1.0 - r * r));
    let close = |found: f64, expected: f64, within: f64| {
        assert!((found - expected).abs() < within, "{found}, not {expected}: {mean:?} {covariance:?}")
    };
    close(mean[0], 1.5, 0.04);
    close(mean[1], -3.0 + slope * 0.5, 0.13);
    close(covariance[0], 0.125, 0.015);
    close(covariance[1], slope * 0.125, 0.06);
    close(covariance[3], slope * slope * 0.125 + rest, 0.3);
    close(draws.ln_evidence[0], -1.0 - 0.5 * 2f64.ln(), 0.15);
    // ln q of each draw is that of the closed form.
    let ln = host(&draws.ln_prob);
    for (t, ln) in host(&draws.theta).chunks(2).zip(ln) {
        let (a, b) = (t[0] - 1.5, t[1] + 3.0 - slope * (t[0] - 1.0));
        let exact = -0.5 * (a * a / 0.125 + b * b / rest) - std::f64::consts::TAU.ln() - 0.5 * (0.125 * rest).ln();
        assert!((ln - exact).abs() < 0.15, "{t:?}: {ln}, not {exact}");
    }
}

/// Ratios of single parameters: each block has draws of its own, of which no joint density is known.
#[test]
fn marginals_are_drawn_block_by_block() {
    let all = prior(3, 0.0, 1.0);
    let ln = |block: usize, t: &[f64]| -0.5 * ((t[0] - 0.3 - 0.2 * block as f64) / 0.05).powi(2);
    let density = Known { of: Estimand::Ratio, blocks: vec![vec![0], vec![2]], ln: Box::new(ln) };
    for (block, parameters) in density.blocks(3).into_iter().enumerate() {
        let own = Prior::new(parameters.iter().map(|&j| all.parameters[j].clone()).collect()).unwrap();
        let (mean, variance) = moments(&host(&drawn(&density, block, &own, 2000, 3).unwrap().theta), 1);
        assert!((mean[0] - 0.3 - 0.2 * block as f64).abs() < 0.01 && (variance[0].sqrt() - 0.05).abs() < 0.006);
    }
}

#[test]
fn what_cannot_be_drawn_from_is_refused_in_words() {
    let refused = |p: usize, ln: fn(&[f64]) -> f64, words: &[&str]| {
        let e = drawn(&Known::joint(Estimand::Ratio, p, ln), 0, &prior(p, 0.0, 1.0), 100, 1).err().expect("draws");
        assert!(e.remedy.is_some() && words.iter().all(|w| e.to_string().contains(w)), "{e}");
    };
    refused(2, |t| (t[0] - 0.5).ln(), &["row 0", "NaN"]);
    refused(2, |t| if t[0] < 1e-3 { 0.0 } else { f64::NEG_INFINITY }, &["row 0", "have a density"]);
    // Ridges across each other: no difference leads from one onto the other.
    let crossed = |t: &[f64]| {
        let ridge = |at: f64, rho: f64| gaussian(vec![at; 2], vec![0.05; 2], rho)(t).exp();
        (ridge(0.25, 0.99999) + ridge(0.75, -0.99999)).max(1e-300).ln()
    };
    refused(2, crossed, &["row 0", "remember", "modes"]);
}

/// Universes of a box of two parameters, x = Mθ + noise in three numbers.
const NOISE: f64 = 0.2;
fn mean_of(theta: &[f64]) -> [f64; 3] {
    [theta[0], 0.5 * theta[0] + theta[1], 0.2 - theta[1]]
}

fn ln_likelihood(theta: &[f64], x: &[f64]) -> f64 {
    x.iter().zip(mean_of(theta)).map(|(x, m)| -0.5 * ((x - m) / NOISE).powi(2)).sum()
}

/// `train` universes, then 300 that are held out, of them `test` for tests.
fn write(path: &Path, train: usize, test: usize) {
    let n = train + 300 + test;
    let mut rng = stream(5, 0, "universes", 0);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random_range(-1.0..1.0)).collect();
    let x = theta.chunks(2).flat_map(|t| mean_of(t).map(|m| m + NOISE * rng.sample::<f64, _>(StandardNormal)));
    let x: Vec<f64> = x.collect();
    let split: Vec<u8> = (0..n).map(|i| (i >= train) as u8 + (i >= train + 300) as u8).collect();
    let file = hdf5::File::create(path).unwrap();
    file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f64>().shape([n, 3]).create("x").unwrap().write_raw(&x).unwrap();
    file.new_dataset::<u8>().shape([n]).create("split").unwrap().write_raw(&split).unwrap();
}

/// Mean and standard deviation of the exact posteriors, on a grid.
fn exact(x: &[f64]) -> [[f64; 2]; 2] {
    let axis: Vec<f64> = (0..200).map(|i| -1.0 + (i as f64 + 0.5) / 100.0).collect();
    let grid: Vec<[f64; 2]> = axis.iter().flat_map(|&a| axis.iter().map(move |&b| [a, b])).collect();
    let weights: Vec<f64> = grid.iter().map(|t| ln_likelihood(t, x).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mean = |f: &dyn Fn(&[f64; 2]) -> f64| grid.iter().zip(&weights).map(|(t, w)| w * f(t)).sum::<f64>() / total;
    [0, 1].map(|j| {
        let m = mean(&|t| t[j]);
        [m, mean(&|t| (t[j] - m).powi(2)).sqrt()]
    })
}

/// A trained model through all that `infer` does with the test split, and its verdict.
fn inferred(comm: &Comm, name: &str, most: f64) {
    polycosm::nets::set_threads(1);
    KINDS.add(kind::<likelihood::Config>("likelihood"));
    KINDS.add(kind::<ratio::Config>("ratio"));
    let path = mpi::shared_dir().join("d.h5");
    comm.on_root(|| {
        write(&path, 2000, 100);
        Ok(())
    })
    .unwrap();
    let bounds = "{ min = -1.0, max = 1.0 }";
    let text = format!("file = {path:?}\nparameters.a = {bounds}\nparameters.b = {bounds}");
    let dataset = &toml::from_str::<DatasetConfig>(&text).unwrap().open().unwrap();
    let text = format!(
        "name = \"posterior\"\ninput = \"x\"\nepochs = 40\nbatch_size = 50\nlearning_rate = 3e-3\nnetwork = {{ kind = {name:?} }}"
    );
    let stages: Vec<StageConfig> = vec![toml::from_str(&text).unwrap()];
    // What is known up to a factor of each sample has no mixture over views of it.
    let views = toml::from_str(&format!("{text}\n[data]\nsymmetries = [\"flip\"]\naverage = 2")).unwrap();
    let e = changes(&views, &[FieldSpec::of("x", &[3], &[AxisKind::Flat])]).err().unwrap().to_string();
    assert!(e.contains("data.average = 2") && e.contains("up to a factor"), "{e}");
    toml::from_str::<InferConfig>("posterior = \"posterior\"").unwrap().check(&stages).unwrap();
    let (seed, device, folder) = (1, Device::Cpu, mpi::shared_dir().join("train"));
    let (records, identity) = (&records(&stages, &folder, seed), &Identity::of(comm, dataset, &["x"]).unwrap());
    let by = &Provenance::collect(comm, seed, "");
    let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
    train_stage(&context, "posterior", || Ok(())).unwrap();
    let trained = Trained::load(&context, "posterior").unwrap();
    let columns = &columns(&context, "posterior").unwrap();
    let samples = test_split(comm, &trained, columns, Sampling::of(300, 1)).unwrap();
    assert!(samples.check().is_ok() && samples.len() == 100);
    let alone = test_split(&comm.alone(), &trained, columns, Sampling::of(300, 1)).unwrap();
    assert!(alone.theta == samples.theta && alone.ln_prob == samples.ln_prob, "draws depend on the number of ranks");
    // What was fitted to 2000 universes is the exact posterior to a few percent, and what is trained a little further off.
    let x = dataset.read_f64("x", &samples.index.iter().map(|&row| row as usize).collect::<Vec<_>>()).unwrap();
    let (mut pulls, mut widths) = (vec![], vec![]);
    for i in 0..samples.len() {
        for (j, [mean, sd]) in exact(&x[3 * i..3 * i + 3]).into_iter().enumerate() {
            let found = samples.mean_sd(i, j);
            pulls.push((found.0 - mean) / sd);
            widths.push(found.1 / sd - 1.0);
        }
    }
    let rms = |v: &[f64]| (v.iter().map(|v| v * v).sum::<f64>() / v.len() as f64).sqrt();
    // 300 draws have an error of 0.06 and 0.04 by themselves.
    assert!(rms(&pulls) < most + 0.08 && rms(&widths) < most + 0.08, "{} {}", rms(&pulls), rms(&widths));
    let verdict = assess(&samples, &Default::default()).unwrap();
    assert!(verdict.outcome != Outcome::Fails && verdict.gain.mostly_gains, "{verdict}");
}

#[test]
fn a_likelihood_is_inferred_with_and_judged() {
    mpi::on_ranks("a_likelihood_is_inferred_with_and_judged", &[1, 2], |comm| inferred(comm, "likelihood", 0.1));
}

#[test]
fn a_ratio_is_inferred_with_and_judged() {
    mpi::on_ranks("a_ratio_is_inferred_with_and_judged", &[2], |comm| inferred(comm, "ratio", 0.25));
}

/// A posterior that draws by itself is drawn from by tempering too, and both agree.
#[test]
fn a_flow_and_its_tempered_draws_agree() {
    polycosm::nets::set_threads(1);
    polycosm::nets::seed(3);
    let prior = prior(2, -1.0, 1.0);
    let task = Task {
        inputs: &[FieldSpec::of("x", &[3], &[AxisKind::Column])],
        targets: &[],
        prior: &prior,
        device: Device::Cpu,
        kind: Kind::Double,
    };
    let config: ModelConfig = toml::from_str("kind = \"npe\"\nensemble = 2").unwrap();
    let model = polycosm::models::build(&*config, &task).unwrap();
    for part in model.parts() {
        let mut named: Vec<_> = part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.iter().for_each(|(_, t)| {
            let _ = t.detach().g_add_(&(Tensor::randn_like(t) * 0.015));
        });
    }
    let batch = Batch::observed(&Tensor::randn([2, 3], (Kind::Float, Device::Cpu)));
    let target = Target { density: model.density().unwrap(), block: 0, batch: &batch, prior: &prior };
    let (own, other) =
        (draw(&target, Method::Hmc, 2000, &[1, 2]).unwrap().0, Tempered.draw(&target, 2000, &[1, 2]).unwrap().unwrap());
    assert_eq!((own.members, &own.ln_evidence), (2, &vec![0.0; 2]));
    for row in 0..2 {
        let of = |draws: &Draws| moments(&host(&draws.theta.get(row)), 2);
        let ((m, c), (n, d)) = (of(&own), of(&other));
        for j in 0..2 {
            let sd = c[3 * j].sqrt();
            assert!(
                (m[j] - n[j]).abs() < 0.15 * sd && (d[3 * j].sqrt() / sd - 1.0).abs() < 0.1,
                "{m:?} {c:?} {n:?} {d:?}"
            );
        }
        assert!(other.ln_evidence[row as usize].abs() < 0.2, "the integral is {:?}", other.ln_evidence);
    }
}

/// Before anything is trained.
#[test]
fn a_stage_that_is_no_density_is_refused() {
    let stage = |name: &str, kind: &str| -> StageConfig {
        toml::from_str(&format!("name = {name:?}\ninput = \"x\"\nnetwork = {{ kind = {kind:?} }}")).unwrap()
    };
    let refused = |infer: &str, stages: &[StageConfig], words: &[&str]| {
        let e = toml::from_str::<InferConfig>(infer).unwrap().check(stages).unwrap_err();
        assert!(e.exit_code() == 2 && words.iter().all(|w| e.to_string().contains(w)), "{e}");
    };
    let (compressor, flow) = (stage("small", "vmim"), stage("flow", "npe"));
    let both = [compressor.clone(), flow];
    toml::from_str::<InferConfig>("posterior = \"flow\"").unwrap().check(&both).unwrap();
    refused("posterior = \"small\"", &both, &["infer.posterior = \"small\"", "no density", "choose one of flow"]);
    refused("posterior = \"flow\"\nbaseline = \"small\"", &both, &["infer.baseline", "no density"]);
    refused("posterior = \"flwo\"", &both, &["no such", "choose one of flow"]);
    refused("posterior = \"small\"", &[compressor], &["no density", "add a [[train]] stage"]);
}
