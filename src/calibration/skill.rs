//! How good a posterior is, beside being honest: pulls, contraction, and ln q(truth) against prior and rival.

use super::uniform::{ks_distance, ks_p_value};
use super::{bet, number};
use crate::error::{Error, Result};
use crate::io::samples::Samples;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Pulls and contraction of one parameter over the universes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterSummary {
    pub name: String,
    /// Label for plots.
    pub latex: String,
    /// Mean of (truth − posterior mean) / posterior sd; 0 ideally.
    #[serde(with = "number")]
    pub pull_mean: f64,
    /// Standard deviation of the pulls; 1 for a Gaussian posterior.
    #[serde(with = "number")]
    pub pull_sd: f64,
    /// 1 − posterior variance / prior variance, mean over universes: 0 nothing learned, 1 everything; NaN without a
    /// prior.
    #[serde(with = "number")]
    pub contraction: f64,
    /// Root mean square of truth − posterior mean, in the parameter's unit.
    #[serde(with = "number")]
    pub rms_error: f64,
}

/// Mean log density of the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Universes with a known density; 0 where the gain is not known.
    pub universes: usize,
    /// Mean ln q(truth | x).
    #[serde(with = "number")]
    pub ln_prob: f64,
    /// Mean ln prior(truth).
    #[serde(with = "number")]
    pub ln_prior: f64,
    /// Gain over the prior in nats: an estimate (from below, up to scatter) of the information learned.
    #[serde(with = "number")]
    pub nats: f64,
    /// Standard error of the gain.
    #[serde(with = "number")]
    pub error: f64,
    /// Universes whose truth has no posterior density at all.
    pub excluded_truths: usize,
    /// Universes left out, for their truth lies outside the prior.
    pub outside_prior: usize,
    /// Bound on the probability that an exact posterior has gains as bad as these ([`bet`]).
    pub p_value: f64,
    /// True if most universes gain: where the p-value is small, a few truths have next to no density.
    pub mostly_gains: bool,
}

impl Gain {
    /// Of a posterior without densities, or without a prior.
    pub(super) fn unknown() -> Gain {
        let (ln_prob, ln_prior, nats, error) = (f64::NAN, f64::NAN, f64::NAN, f64::NAN);
        let (universes, excluded_truths, outside_prior, p_value, mostly_gains) = (0, 0, 0, 1.0, false);
        Gain { universes, ln_prob, ln_prior, nats, error, excluded_truths, outside_prior, p_value, mostly_gains }
    }

    /// True if the posterior knows more than its prior: by two standard errors.
    pub fn learned(&self) -> bool {
        self.nats > 2.0 * self.error
    }
}

/// Two posteriors on the same universes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Universes both have.
    pub universes: usize,
    /// Mean of ln q(truth) − ln q_baseline(truth), in nats.
    #[serde(with = "number")]
    pub nats: f64,
    /// Standard error of the paired difference.
    #[serde(with = "number")]
    pub error: f64,
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.nats / self.error {
            z if z > 2.0 => "above it",
            z if z < -2.0 => "BELOW it",
            _ => "no better within two standard errors",
        };
        write!(f, "{:+.3} ± {:.3} nats over {} universes: {word}", self.nats, self.error, self.universes)
    }
}

/// Gain of `posterior` over `baseline` in nats, universe by universe (rows are paired by design index, in order).
pub fn compare(posterior: &Samples, baseline: &Samples) -> Result<Comparison> {
    let mut rival: HashMap<u64, Vec<f64>> = HashMap::new();
    for (index, l) in baseline.index.iter().zip(&baseline.ln_prob_truth).rev() {
        rival.entry(*index).or_default().push(*l);
    }
    // Entries of one universe are averaged first: universes are what is independent.
    let mut differences: HashMap<u64, Vec<f64>> = HashMap::new();
    for (index, l) in posterior.index.iter().zip(&posterior.ln_prob_truth) {
        if let Some(b) = rival.get_mut(index).and_then(Vec::pop).filter(|b| !b.is_nan() && !l.is_nan()) {
            differences.entry(*index).or_default().push(l - b);
        }
    }
    if differences.len() < 2 {
        return Err(Error::input("the two posteriors share fewer than two universes with known truth")
            .remedy("draw both on the same test split"));
    }
    let mut pairs: Vec<(u64, f64)> =
        differences.into_iter().map(|(i, d)| (i, d.iter().sum::<f64>() / d.len() as f64)).collect();
    pairs.sort_by_key(|(i, _)| *i);
    let d: Vec<f64> = pairs.into_iter().map(|(_, d)| d).collect();
    let (nats, sd) = mean_sd(&d);
    Ok(Comparison { universes: d.len(), nats, error: sd / (d.len() as f64).sqrt() })
}

impl ParameterSummary {
    /// The pulls' mean ± standard deviation, in a few characters whatever they are.
    pub fn pull(&self) -> String {
        match self.pull_mean.abs().max(self.pull_sd) < 1e4 {
            true => format!("{:+.2} ± {:.2}", self.pull_mean, self.pull_sd),
            false => format!("{:+.0e} ± {:.0e}", self.pull_mean, self.pull_sd),
        }
    }
}

/// Parameters whose pulls scatter far less or more than 1 over n universes. The curves are judged by ranks, which do
/// not see how far out the draws of wide tails lie, the standard deviation does.
pub(super) fn odd_pulls(parameters: &[ParameterSummary], n: usize) -> Vec<String> {
    // Four times the error of a Gaussian's standard deviation.
    let far = 4.0 / (2.0 * n as f64).sqrt();
    let odd = |p: &&ParameterSummary| p.pull_sd.is_finite() && (p.pull_sd.ln().abs() > far);
    let say = |p: &ParameterSummary| {
        let kind = if p.pull_sd < 1.0 { "wider" } else { "narrower" };
        format!(
            "the pulls of {} scatter by {:.2}, not 1: judged by its standard deviation the posterior is {kind} than its errors",
            p.name, p.pull_sd
        )
    };
    parameters.iter().filter(odd).map(say).collect()
}

/// The parameters whose truths are plainly not spread as their prior (Kolmogorov–Smirnov, p < 1e-6), in words. Of what is
/// left of a prior nobody knows how each is spread.
pub(super) fn not_of_the_prior(samples: &Samples, rows: &[usize]) -> Option<String> {
    if samples.prior.accepted.is_some() {
        return None;
    }
    let far = |(j, q): (usize, &crate::prior::Parameter)| {
        let truths = rows.iter().map(|row| samples.truth[row * samples.dim() + j]);
        let mut u: Vec<f64> = truths.map(|t| q.distribution.cdf(t)).collect();
        u.sort_by(f64::total_cmp);
        let p = ks_p_value(u.len(), ks_distance(&u));
        let (low, high) = (u[0], u[u.len() - 1]);
        (p < 1e-6).then(|| format!("those of {} fill {:.0}% to {:.0}% of it", q.name, 100.0 * low, 100.0 * high))
    };
    let words: Vec<String> = samples.prior.parameters.iter().enumerate().filter_map(far).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

pub(super) fn parameters(samples: &Samples, rows: &[usize]) -> Vec<ParameterSummary> {
    let summary = |(j, p): (usize, &crate::prior::Parameter)| {
        let prior_variance = samples.prior.variance(j);
        let (mut pulls, mut contraction, mut square) = (Vec::new(), 0.0, 0.0);
        for &row in rows {
            let (mean, sd) = samples.mean_sd(row, j);
            let error = samples.truth[row * samples.dim() + j] - mean;
            pulls.push(error / sd.max(f64::MIN_POSITIVE));
            contraction += (1.0 - sd * sd / prior_variance) / rows.len() as f64;
            square += error * error / rows.len() as f64;
        }
        let (pull_mean, pull_sd) = mean_sd(&pulls);
        ParameterSummary {
            name: p.name.clone(),
            latex: p.latex.clone(),
            pull_mean,
            pull_sd,
            contraction,
            rms_error: square.sqrt(),
        }
    };
    samples.prior.parameters.iter().enumerate().map(summary).collect()
}

pub(super) fn gain(samples: &Samples, rows: &[usize]) -> Gain {
    let prior = |row: usize| samples.prior.ln_density(&samples.truth[row * samples.dim()..][..samples.dim()]);
    let own = |row: usize| (samples.ln_prob_truth[row], prior(row));
    // Of marginals the mean of the single parameters': what an exact posterior bets so multiplies its stake by at most 1 on
    // average too, for a geometric mean is no larger than an arithmetic one.
    let mean = |row: usize| {
        let (marginals, p) = (samples.extras.marginals.as_ref()?, samples.dim());
        let of = |values: &[f64]| values.iter().sum::<f64>() / p as f64;
        let truth = &samples.truth[row * p..(row + 1) * p];
        let priors = samples.prior.parameters.iter().zip(truth).map(|(q, t)| q.distribution.ln_density(*t));
        Some((of(&marginals.ln_truth[row * p..(row + 1) * p]), of(&priors.collect::<Vec<_>>())))
    };
    let both = rows.iter().map(|&row| mean(row).unwrap_or_else(|| own(row)));
    let both: Vec<(f64, f64)> = both.filter(|(q, _)| !q.is_nan()).collect();
    let known: Vec<(f64, f64)> = both.iter().copied().filter(|(_, prior)| prior.is_finite()).collect();
    if known.is_empty() {
        return Gain { outside_prior: both.len(), ..Gain::unknown() };
    }
    let gains: Vec<f64> = known.iter().map(|(q, prior)| q - prior).collect();
    let (nats, sd) = mean_sd(&gains);
    Gain {
        universes: known.len(),
        ln_prob: mean_sd(&known.iter().map(|k| k.0).collect::<Vec<_>>()).0,
        ln_prior: mean_sd(&known.iter().map(|k| k.1).collect::<Vec<_>>()).0,
        nats,
        error: if nats.is_finite() { sd / (known.len() as f64).sqrt() } else { f64::INFINITY },
        excluded_truths: known.iter().filter(|k| k.0 == f64::NEG_INFINITY).count(),
        outside_prior: both.len() - known.len(),
        p_value: bet::p_value(&gains),
        mostly_gains: 2 * gains.iter().filter(|g| **g > 0.0).count() > gains.len(),
    }
}

fn mean_sd(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}
