//! Samples and truths in, verdict out: SBC ranks, coverage, TARP, pulls, of parameters alone and with the input (`together`).
//!
//! Every diagnostic reduces a universe to one number that is uniform on (0, 1) if the posterior is exact, whatever the
//! number of draws: the rank of the truth's statistic among those of the draws, ties and the last digit broken at
//! random. [`curves`] names the statistics. The empirical distribution of each such number over the universes is a
//! curve, and all curves are judged by the same exact machinery ([`uniform`]): the envelope of equal local levels, and
//! for the SBC ranks the Kolmogorov–Smirnov distance too.
//!
//! Single observations have a test of their own ([`local`]), beside the verdict.
//!
//! One more test looks at the density itself, beyond the farthest draw: is the posterior worse than its prior
//! ([`bet`])?
//!
//! **What is controlled.** With K tests, each is done at level^(1/K) (Šidák); a test failing by itself is enough for
//! the verdict "fail". However the tests depend on one another, an exact posterior fails any of them with probability
//! at most K (1 − level^(1/K)) ≤ −ln level, the sum of all: 1.005% at a level of 0.99.
//!
//! Tests want independent truths, one entry each. Entries of one universe, and universes that share their parameters
//! (pairs of a list), have one truth: of all entries with the same, to the last bit, one is drawn.
//!
//! **What is not a pass.** A posterior that fails no test passes only if it could have failed ([`power`]: a width wrong
//! by a factor of two would have been found) and has learned something (its gain is above 0 by two standard errors).
//! Otherwise the verdict is open. Without a prior that the universes were drawn from there is none.

pub mod bet;
pub mod curves;
pub mod doubts;
pub mod holes;
pub mod kde;
pub mod local;
pub mod power;
pub mod skill;
pub mod spoil;
mod together;
pub mod uniform;
mod verdict;

use crate::error::{Error, Result};
use crate::io::samples::Samples;
use crate::prior::DrawnFrom;
use crate::rng;
pub use curves::{Curve, Diagnostic, Direction};
pub use local::{Classifier, Local};
use power::WidthError;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use skill::{Comparison, Gain, ParameterSummary, compare};
use std::collections::BTreeMap;
use uniform::Envelope;
pub use verdict::Outcome;

/// `[calibrate]`: how posteriors are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrateConfig {
    /// Probability that an exact posterior passes all tests together: it fails with at most −ln `level`, however the
    /// tests depend on one another (1.005% at 0.99).
    pub level: f64,
    /// Seed of the random tie-breaking, TARP's reference points and the bootstrap.
    pub seed: u64,
    /// Bootstrap resamples of TARP's coverage curve.
    pub bootstrap: usize,
}

impl Default for CalibrateConfig {
    fn default() -> Self {
        CalibrateConfig { level: 0.99, seed: 1, bootstrap: 400 }
    }
}

impl CalibrateConfig {
    /// Refuses impossible values.
    pub fn check(&self) -> Result<()> {
        if !(self.level > 0.0 && self.level < 1.0) {
            let error = Error::input("is not a probability between 0 and 1").key("calibrate.level").value(self.level);
            return Err(error.remedy("give 0.99, say"));
        }
        if !(10..=100_000).contains(&self.bootstrap) {
            let error = Error::input("too few or too many resamples").key("calibrate.bootstrap").value(self.bootstrap);
            return Err(error.remedy("give 10 to 100000"));
        }
        Ok(())
    }
}

/// The calibration of one posterior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Number of universes judged n.
    pub universes: usize,
    /// Entries left out: truth unknown, or the same as another's (of the same universe, or of one that shares its
    /// parameters).
    pub left_out: usize,
    /// Draws per universe.
    pub draws: usize,
    /// Probability that an exact posterior passes.
    pub level: f64,
    /// Level of each single test (Šidák).
    pub level_each: f64,
    /// Simultaneous band of every curve at `level_each`.
    pub envelope: Envelope,
    /// The judged curves: per parameter SBC rank, central interval and HPD; joint HPD; TARP; per pair the product; with the
    /// input the likelihood and TARP about a regression.
    pub curves: Vec<Curve>,
    /// TARP's expected coverage with its bootstrap scatter.
    pub tarp_bootstrap: Vec<Coverage>,
    /// Per parameter: pulls and contraction.
    pub parameters: Vec<ParameterSummary>,
    /// Mean ln q(truth) and its gain over the prior.
    pub gain: Gain,
    /// The smallest error of a posterior's width that would have been found; none without a verdict.
    pub smallest_width_error: Option<WidthError>,
    /// The smallest correlation of two parameters that would have been missed if the posterior had left it out; none without
    /// a verdict, or with one parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest_correlation: Option<f64>,
    /// The verdict.
    pub outcome: Outcome,
    /// True if the outcome is a pass.
    pub pass: bool,
    /// Why not: one sentence per failed test, or why nothing is decided.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What else a reader of the verdict should know.
    pub notes: Vec<String>,
    /// What was found of single observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Local>,
    /// Parameters whose truths were plainly not drawn from the prior, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_of_the_prior: Option<String>,
}

/// A point of a coverage curve with its 95% bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Nominal credibility.
    pub nominal: f64,
    /// Fraction of universes covered.
    pub coverage: f64,
    /// 2.5% quantile over resampled universes.
    pub lower: f64,
    /// 97.5% quantile over resampled universes.
    pub upper: f64,
}

/// Tests that a posterior of so many parameters and derived ones has to pass: four of each (its rank twice), one per pair
/// of parameters, joint HPD, TARP, two with the input, and the bet.
pub fn tests(parameters: usize, derived: usize) -> usize {
    4 * (parameters + derived) + parameters * parameters.saturating_sub(1) / 2 + 5
}

/// Level of each of so many tests.
pub fn level_each(level: f64, tests: usize) -> f64 {
    level.powf(1.0 / tests as f64)
}

/// Fewest draws of each universe by which a posterior is judged.
pub const DRAWS: usize = 20;

/// Judges `samples` against their truths.
pub fn assess(samples: &Samples, config: &CalibrateConfig) -> Result<Calibration> {
    config.check()?;
    samples.check()?;
    // One parameter at a time is judged whether it is sampled or derived, all together are the sampled ones.
    let whole = &samples.with_derived();
    let rows = independent_rows(whole, config.seed);
    if rows.is_empty() || samples.draws < DRAWS || samples.dim() == 0 {
        let problem = format!(
            "{} universes with known truth, {} draws each, {} parameters: too little to judge a posterior",
            rows.len(),
            samples.draws,
            samples.dim()
        );
        let remedy = format!("calibrate on test universes of known parameters, with {DRAWS} draws or more");
        return Err(Error::input(problem).remedy(remedy));
    }
    let drawn_from = samples.extras.drawn_from;
    let mut notes = vec![];
    if drawn_from == DrawnFrom::Guess {
        notes.push("the prior is a guess, uniform over the range of the parameters: gain, contraction and the verdict's meaning \
            stand on it; give [dataset.parameters] to say what it is".to_string());
    }
    let mut parameters = skill::parameters(whole, &rows);
    notes.extend(skill::odd_pulls(&parameters, rows.len()));
    notes.extend(doubts::all(samples));
    let (mut curves, mut gain) = (vec![], Gain::unknown());
    if drawn_from.no_prior().is_some() {
        parameters.iter_mut().for_each(|p| p.contraction = f64::NAN);
    } else {
        curves = curves::all((samples, whole), &rows, config.seed);
        if samples.extras.marginals.is_none() {
            curves.extend(together::pairs(samples, &rows, config.seed));
            curves.extend(together::with_input(samples, &rows, config.seed)?);
        }
        match samples.extras.extrapolated {
            true => notes.push(
                "the gain is left out: at the truths the density of a posterior that was spoilt on purpose \
                would be an extrapolation"
                    .to_string(),
            ),
            false => gain = skill::gain(samples, &rows),
        }
        if gain.outside_prior > 0 {
            notes.push(format!(
                "{} true parameters lie outside the prior and are left out of the gain",
                gain.outside_prior
            ));
        }
    }
    let tests = curves.iter().map(|c| 1 + c.ks_judged() as usize).sum::<usize>() + (gain.universes > 0) as usize;
    let level_each = level_each(config.level, tests.max(1));
    curves.iter_mut().for_each(|c| c.judge(1.0 - level_each));
    let tarp = curves.iter().find(|c| c.diagnostic == Diagnostic::Tarp);
    let judged = !curves.is_empty();
    let envelope = Envelope::new(if judged { rows.len() } else { 0 }, level_each);
    let mut calibration = Calibration {
        universes: rows.len(),
        left_out: samples.len() - rows.len(),
        draws: samples.draws,
        level: config.level,
        level_each,
        tarp_bootstrap: tarp.map(|t| bootstrap(&t.ranks, config)).unwrap_or_default(),
        parameters,
        gain,
        smallest_correlation: (judged && samples.dim() > 1 && samples.extras.marginals.is_none())
            .then(|| power::correlation(&envelope))
            .flatten(),
        smallest_width_error: judged.then(|| WidthError::within(&envelope)),
        envelope,
        outcome: Outcome::NotJudged,
        pass: false,
        reasons: drawn_from.no_prior().map(String::from).into_iter().collect(),
        remedy: None,
        notes,
        local: vec![],
        not_of_the_prior: judged.then(|| skill::not_of_the_prior(samples, &rows)).flatten(),
        curves,
    };
    if judged {
        calibration.decide();
    }
    Ok(calibration)
}

/// One row per known truth, chosen at random among the rows of the universes that have it, in the order of the
/// universes.
fn independent_rows(samples: &Samples, seed: u64) -> Vec<usize> {
    let (mut truths, mut of) = (BTreeMap::new(), BTreeMap::new());
    for (row, &index) in samples.index.iter().enumerate() {
        let Some(truth) = samples.truth_of(row) else { continue };
        let bits = truths.entry(index).or_insert_with(|| truth.iter().map(|t| t.to_bits()).collect::<Vec<u64>>());
        let (first, rows) = of.entry(bits.clone()).or_insert((index, vec![]));
        *first = index.min(*first);
        rows.push(row);
    }
    let mut groups: Vec<(u64, Vec<usize>)> = of.into_values().collect();
    groups.sort_by_key(|group| group.0);
    let choose =
        |(index, rows): (u64, Vec<usize>)| rows[rng::stream(seed, index, "row", 0).random_range(0..rows.len())];
    groups.into_iter().map(choose).collect()
}

/// 95% scatter of a coverage curve when the universes are drawn anew from themselves.
fn bootstrap(sorted: &[f64], config: &CalibrateConfig) -> Vec<Coverage> {
    const POINTS: usize = 51;
    let nominal = |i: usize| i as f64 / (POINTS - 1) as f64;
    let curve = |u: &[f64]| -> Vec<f64> {
        (0..POINTS).map(|i| u.partition_point(|u| *u <= nominal(i)) as f64 / u.len() as f64).collect()
    };
    let resampled: Vec<Vec<f64>> = (0..config.bootstrap as u64)
        .map(|i| {
            let mut rng = rng::stream(config.seed, 0, "bootstrap", i);
            let mut u: Vec<f64> = sorted.iter().map(|_| sorted[rng.random_range(0..sorted.len())]).collect();
            u.sort_by(f64::total_cmp);
            curve(&u)
        })
        .collect();
    let mut points = Vec::with_capacity(POINTS);
    for (i, coverage) in curve(sorted).into_iter().enumerate() {
        let mut at: Vec<f64> = resampled.iter().map(|c| c[i]).collect();
        at.sort_by(f64::total_cmp);
        let quantile = |p: f64| at[(p * (at.len() - 1) as f64).round() as usize];
        points.push(Coverage { nominal: nominal(i), coverage, lower: quantile(0.025), upper: quantile(0.975) });
    }
    points
}

/// Numbers that may be infinite, in JSON: `"-inf"` as text, for JSON knows finite numbers only.
pub(crate) mod number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        if x.is_finite() { s.serialize_f64(*x) } else { s.serialize_str(&x.to_string()) }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Text(String),
        }
        match Either::deserialize(d)? {
            Either::Number(x) => Ok(x),
            Either::Text(t) => t.parse().map_err(D::Error::custom),
        }
    }
}
