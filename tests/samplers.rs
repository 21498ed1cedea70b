//! Chains draw from densities that are known, tell when they do not mix, and leave no prior.
#![cfg(feature = "torch")]

use polycosm::error::Result;
use polycosm::infer::{Combined, Method, Mixing, Target, draw};
use polycosm::models::{Batch, Density, Device, Draws, Estimand, Kind, Tensor};
use polycosm::nets::{LnPrior, host};
use polycosm::prior::{Distribution, Parameter, Prior};

const METHODS: [Method; 3] = [Method::Hmc, Method::Ensemble, Method::Slice];

fn prior(p: usize, min: f64, max: f64) -> Prior {
    let one = |i| Parameter::uniform(format!("t{i}"), format!("t{i}"), min, max);
    Prior::new((0..p).map(one).collect()).unwrap()
}

type Ln = dyn Fn(&Tensor, &Tensor) -> Tensor;

/// A density that is a function of θ (…, p) and of a number of each sample (n, 1).
struct Known {
    of: Estimand,
    ln: Box<Ln>,
}

impl Known {
    fn new(of: Estimand, ln: impl Fn(&Tensor, &Tensor) -> Tensor + 'static) -> Known {
        Known { of, ln: Box::new(ln) }
    }
}

impl Density for Known {
    fn of(&self) -> Estimand {
        self.of
    }

    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> Result<Tensor> {
        Ok((self.ln)(theta, batch.array("x")?))
    }
}

fn sum(t: Tensor) -> Tensor {
    t.sum_dim_intlist(-1i64, false, Kind::Double)
}

fn drawn(density: &Known, prior: &Prior, method: Method, x: &[f64], draws: usize) -> (Draws, Vec<Mixing>) {
    let batch = Batch::observed(&Tensor::from_slice(x).view([-1, 1]));
    let seeds: Vec<u64> = x.iter().map(|x| 7 + (1000.0 * x.abs()) as u64).collect();
    tch::no_grad(|| draw(&Target { density, block: 0, batch: &batch, prior }, method, draws, &seeds).unwrap())
}

fn mean_sd(theta: &[f64], p: usize, j: usize) -> (f64, f64) {
    let x: Vec<f64> = theta.iter().skip(j).step_by(p).copied().collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt())
}

/// θ_j = x + 0.1 j with widths of 0.05 (j + 1), neighbours correlated by 0.8; normalised.
fn gaussian(p: i64) -> impl Fn(&Tensor, &Tensor) -> Tensor + Clone {
    move |theta, x| {
        let at = Tensor::arange(p, (Kind::Double, Device::Cpu));
        let z = (theta - x.unsqueeze(1) - &at * 0.1) / ((&at + 1.0) * 0.05);
        let rest = (z.narrow(-1, 1, p - 1) - z.narrow(-1, 0, p - 1) * 0.8) / 0.6;
        let widths: f64 = (0..p).map(|j| (0.05 * (j + 1) as f64).ln()).sum::<f64>() + (p - 1) as f64 * 0.6f64.ln();
        let square = z.narrow(-1, 0, 1).squeeze_dim(-1).square() + sum(rest.square());
        square * -0.5 - widths - 0.5 * p as f64 * std::f64::consts::TAU.ln()
    }
}

#[test]
fn chains_have_the_moments_of_gaussians_and_their_density() {
    for method in METHODS {
        for p in [1, 2, 5] {
            let (prior, ln) = (prior(p, -1.0, 3.0), gaussian(p as i64));
            let shifted = ln.clone();
            let density = Known::new(Estimand::Likelihood, move |theta, x| shifted(theta, x) - 300.0);
            let (draws, mixing) = drawn(&density, &prior, method, &[0.5, 1.2], 2000);
            for (row, x) in [0.5, 1.2].into_iter().enumerate() {
                assert!(mixing[row].is_good(), "{method:?}, p = {p}: {:?}", mixing[row]);
                let theta = host(&draws.theta.get(row as i64));
                for j in 0..p {
                    let (mean, sd) = mean_sd(&theta, p, j);
                    let expected = 0.05 * (j + 1) as f64;
                    // As few of the draws are independent as were found.
                    let error = 1.0 / mixing[row].ess[j].min(2000.0).sqrt();
                    let off = (mean - x - 0.1 * j as f64) / expected;
                    assert!(off.abs() < 4.5 * error, "{method:?}, p = {p}: mean {j} is {off} off");
                    assert!((sd / expected - 1.0).abs() < 4.5 * error, "{method:?}, p = {p}: width {j} is {sd}");
                }
                let evidence = -300.0 - p as f64 * 4f64.ln();
                let off = draws.ln_evidence[row] - evidence;
                assert!(off.abs() < 0.05, "{method:?}, p = {p}: ln Z is {off} off");
                let exact = host(&ln(&draws.theta.narrow(0, row as i64, 1), &Tensor::from_slice(&[x]).view([1, 1])));
                let worst = host(&draws.ln_prob.get(row as i64))
                    .iter()
                    .zip(exact)
                    .map(|(q, p)| (q - p).abs())
                    .fold(0.0, f64::max);
                assert!(worst < 0.05 + 1e-6, "{method:?}, p = {p}: ln q is {worst} off");
            }
        }
    }
}

#[test]
fn draws_depend_on_the_seed_alone() {
    for method in METHODS {
        let (prior, density) = (prior(2, -1.0, 3.0), Known::new(Estimand::Ratio, gaussian(2)));
        let (both, _) = drawn(&density, &prior, method, &[0.5, 1.2], 200);
        let (one, _) = drawn(&density, &prior, method, &[1.2], 200);
        assert_eq!(host(&both.theta.get(1)), host(&one.theta.get(0)), "{method:?}: they depend on the batch");
        assert_ne!(host(&both.theta.get(0)), host(&both.theta.get(1)), "{method:?}");
    }
}

/// A posterior itself, flat over the prior; and one that is highest at a bound, where half of its Gaussian is beyond.
#[test]
fn nothing_leaks_out_of_a_bounded_prior() {
    for method in METHODS {
        let box_of_two = prior(2, 0.0, 2.0);
        let flat = Known::new(Estimand::Posterior, |theta, _| sum(theta * 0.0) - 4f64.ln());
        let (draws, mixing) = drawn(&flat, &box_of_two, method, &[0.0], 2000);
        let theta = host(&draws.theta);
        assert!(theta.iter().all(|t| (0.0..=2.0).contains(t)) && draws.ln_evidence == [0.0]);
        for j in 0..2 {
            let (mean, sd) = mean_sd(&theta, 2, j);
            let error = 1.0 / mixing[0].ess[j].min(2000.0).sqrt();
            assert!(
                (mean - 1.0).abs() < 4.5 * error && (sd * 3f64.sqrt() - 1.0).abs() < 4.5 * error,
                "{method:?}: {mean} {sd}"
            );
        }
        assert!(host(&draws.ln_prob).iter().all(|ln| (ln + 4f64.ln()).abs() < 1e-9), "{method:?}");
        let half = Known::new(Estimand::Likelihood, |theta, _| sum(theta.square() * -50.0));
        let (draws, mixing) = drawn(&half, &prior(1, 0.0, 1.0), method, &[0.0], 2000);
        let theta = host(&draws.theta);
        let (mean, _) = mean_sd(&theta, 1, 0);
        let error = 0.06 / mixing[0].ess[0].min(2000.0).sqrt();
        assert!(theta.iter().all(|t| *t >= 0.0), "{method:?}: draws lie beyond the bound");
        assert!((mean - 0.1 * (2.0 / std::f64::consts::PI).sqrt()).abs() < 4.5 * error, "{method:?}: {mean}");
        let exact = (0.1 * (std::f64::consts::PI / 2.0).sqrt()).ln();
        assert!((draws.ln_evidence[0] - exact).abs() < 0.05, "{method:?}: {:?}, not {exact}", draws.ln_evidence);
    }
}

/// A Gaussian likelihood times a correlated Gaussian prior: the second parameter is learned through the first.
#[test]
fn priors_on_the_line_are_taken_as_they_are() {
    let (min, max) = (f64::NEG_INFINITY, f64::INFINITY);
    let normal = |name: &str, mean, sigma| {
        let distribution = Distribution::Normal { mean, sigma, min, max };
        Parameter { distribution, ..Parameter::uniform(name, name, 0.0, 1.0) }
    };
    let mut parameters = vec![normal("a", 1.0, 0.5), normal("b", -3.0, 2.0)];
    parameters[1].correlation.insert("a".into(), 0.8);
    let prior = Prior::new(parameters).unwrap();
    for method in METHODS {
        let density = Known::new(Estimand::Likelihood, |theta, _| (theta.select(-1, 0) - 2.0).square() * -2.0);
        let (draws, mixing) = drawn(&density, &prior, method, &[0.0], 2000);
        let theta = host(&draws.theta);
        let error = 1.0 / mixing[0].ess.iter().copied().fold(2000.0, f64::min).sqrt();
        let ((a, wide), (b, other)) = (mean_sd(&theta, 2, 0), mean_sd(&theta, 2, 1));
        // Of a: 1.5 ± 0.5/√2; b follows with the slope 3.2, about which 2 × 0.6 is left.
        let (sd, width) = (0.125f64.sqrt(), (3.2f64.powi(2) * 0.125 + 1.44).sqrt());
        assert!(
            (a - 1.5).abs() < 4.5 * error * sd && (wide / sd - 1.0).abs() < 4.5 * error,
            "{method:?}: {a} ± {wide}"
        );
        assert!(
            (b + 1.4).abs() < 4.5 * error * width && (other / width - 1.0).abs() < 4.5 * error,
            "{method:?}: {b} ± {other}"
        );
        let off = draws.ln_evidence[0] + 1.0 + 0.5 * 2f64.ln();
        assert!(off.abs() < 0.05, "{method:?}: ln Z is {off} off");
    }
}

/// Two modes with nothing between them: chains stay where they began, and say so; tempering leads from one to the other.
#[test]
fn chains_between_two_modes_say_that_they_do_not_mix() {
    let two = Known::new(Estimand::Likelihood, |theta, _| {
        let mode = |at: f64| sum(((theta - at) / 0.02).square() * -0.5);
        mode(0.6).logaddexp(&mode(-0.6))
    });
    let prior = prior(2, -1.0, 1.0);
    for method in [Method::Hmc, Method::Ensemble] {
        let (_, mixing) = drawn(&two, &prior, method, &[0.0], 100);
        assert!(!mixing[0].is_good() && mixing[0].r_hat.iter().all(|r| *r > 1.5), "{method:?}: {mixing:?}");
    }
    let (draws, mixing) = drawn(&two, &prior, Method::Tempered, &[0.0], 500);
    assert!(mixing.is_empty());
    let share = host(&draws.theta).iter().filter(|t| **t > 0.0).count() as f64 / 1000.0;
    assert!((share - 0.5).abs() < 0.15, "{share}");
}

/// Posteriors of three observations of one parameter under a Gaussian prior: together they have the closed form in which the
/// prior counts once; likelihoods and ratios the same.
#[test]
fn the_prior_counts_once_where_observations_combine() {
    let (min, max) = (f64::NEG_INFINITY, f64::INFINITY);
    let distribution = Distribution::Normal { mean: 1.0, sigma: 0.8, min, max };
    let prior = Prior::new(vec![Parameter { distribution, ..Parameter::uniform("a", "a", 0.0, 1.0) }]).unwrap();
    let (noise, x) = (0.5f64, [0.3, 1.2, 0.9]);
    let precision = 1.0 / 0.64 + 3.0 / noise.powi(2);
    let exact = [(1.0 / 0.64 + x.iter().sum::<f64>() / noise.powi(2)) / precision, precision.powf(-0.5)];
    let batches: Vec<Batch> = x.iter().map(|&x| Batch::observed(&Tensor::from_slice(&[x]).view([1, 1]))).collect();
    for of in [Estimand::Posterior, Estimand::Likelihood, Estimand::Ratio] {
        let density = Known::new(of, move |theta, x| {
            // Of one: precision 1/0.64 + 4.
            let one = 1.0 / 0.64 + noise.powi(-2);
            let (theta, x) = (theta.squeeze_dim(-1), x.to_kind(Kind::Double));
            let ln_likelihood = ((&theta - &x) / noise).square() * -0.5;
            let mean = (x / noise.powi(2) + 1.0 / 0.64) / one;
            let ln_posterior = (theta - mean).square() * (-0.5 * one) + 0.5 * (one / std::f64::consts::TAU).ln();
            if of == Estimand::Posterior { ln_posterior } else { ln_likelihood }
        });
        let combined =
            Combined { density: &density, batches: &batches, priors: vec![LnPrior::new(&prior, Device::Cpu)] };
        for method in [Method::Tempered, Method::Hmc] {
            let target = Target { density: &combined, block: 0, batch: &batches[0], prior: &prior };
            let (draws, _) = tch::no_grad(|| draw(&target, method, 2000, &[3]).unwrap());
            let (mean, sd) = mean_sd(&host(&draws.theta), 1, 0);
            let off = (mean - exact[0]) / exact[1];
            assert!(
                off.abs() < 0.15 && (sd / exact[1] - 1.0).abs() < 0.1,
                "{of:?}, {method:?}: {mean} ± {sd}, not {exact:?}"
            );
        }
    }
}
