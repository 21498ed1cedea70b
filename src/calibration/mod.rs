//! Samples and truths in, verdict out: SBC ranks, coverage, TARP, pulls.
//!
//! Every diagnostic reduces a universe to one number that is uniform on (0, 1) if the posterior is exact, whatever the
//! number of draws: the rank of the truth's statistic among those of the draws, ties and the last digit broken at random.
//! [`curves`] names the statistics. The empirical distribution of each such number over the universes is a curve, and all
//! curves are judged by the same exact machinery ([`uniform`]): the envelope of equal local levels, and for the SBC ranks
//! the Kolmogorov–Smirnov distance too.
//!
//! **What is controlled.** With K tests, each is done at level^(1/K) (Šidák). The tests depend on one another positively,
//! so that an exact posterior fails the whole family with probability at most about 1 − `level`; a curve failing by itself
//! is enough for the verdict "fail". Universes are independent, one entry each: where a universe has several, one is drawn.

pub mod curves;
pub mod kde;
pub mod skill;
pub mod spoil;
pub mod uniform;
mod verdict;

use crate::error::{Error, Result};
use crate::io::samples::Samples;
use crate::rng;
pub use curves::{Curve, Diagnostic, Direction};
use rand::Rng;
use serde::{Deserialize, Serialize};
pub use skill::{Comparison, Gain, ParameterSummary, compare};
use std::collections::BTreeMap;
use uniform::Envelope;

/// `[calibrate]`: how posteriors are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrateConfig {
    /// Probability that an exact posterior passes all tests together.
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
    /// Entries left out: truth unknown, or a universe's second and further entries.
    pub left_out: usize,
    /// Draws per universe.
    pub draws: usize,
    /// Probability that an exact posterior passes.
    pub level: f64,
    /// Level of each single test (Šidák).
    pub level_each: f64,
    /// Simultaneous band of every curve at `level_each`.
    pub envelope: Envelope,
    /// The judged curves: per parameter SBC rank, central interval and HPD; joint HPD; TARP.
    pub curves: Vec<Curve>,
    /// TARP's expected coverage with its bootstrap scatter.
    pub tarp_bootstrap: Vec<Coverage>,
    /// Per parameter: pulls and contraction.
    pub parameters: Vec<ParameterSummary>,
    /// Mean ln q(truth) and its gain over the prior.
    pub gain: Gain,
    /// True if no test failed.
    pub pass: bool,
    /// Why not: one sentence per failed test.
    pub reasons: Vec<String>,
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

/// Judges `samples` against their truths.
pub fn assess(samples: &Samples, config: &CalibrateConfig) -> Result<Calibration> {
    config.check()?;
    samples.check()?;
    let rows = independent_rows(samples, config.seed);
    if rows.len() < 10 || samples.draws < 20 || samples.dim() == 0 {
        let problem = format!(
            "{} universes with known truth, {} draws each, {} parameters: too little to judge a posterior",
            rows.len(),
            samples.draws,
            samples.dim()
        );
        return Err(Error::input(problem).remedy("calibrate on at least 10 test universes with 20 draws or more"));
    }
    let mut curves = curves::all(samples, &rows, config.seed);
    let tests = curves.iter().map(|c| 1 + c.ks_judged() as usize).sum::<usize>();
    let level_each = config.level.powf(1.0 / tests as f64);
    curves.iter_mut().for_each(|c| c.judge(1.0 - level_each));
    let reasons: Vec<String> = curves.iter().filter_map(Curve::reason).collect();
    let tarp = curves.iter().find(|c| c.diagnostic == Diagnostic::Tarp);
    Ok(Calibration {
        universes: rows.len(),
        left_out: samples.len() - rows.len(),
        draws: samples.draws,
        level: config.level,
        level_each,
        envelope: Envelope::new(rows.len(), level_each),
        tarp_bootstrap: tarp.map(|t| bootstrap(&t.ranks, config)).unwrap_or_default(),
        parameters: skill::parameters(samples, &rows),
        gain: skill::gain(samples, &rows),
        pass: reasons.is_empty(),
        reasons,
        curves,
    })
}

/// One row per universe with known truth, chosen at random among a universe's rows.
fn independent_rows(samples: &Samples, seed: u64) -> Vec<usize> {
    let mut of: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, index) in samples.index.iter().enumerate().filter(|(row, _)| samples.truth_of(*row).is_some()) {
        of.entry(*index).or_default().push(row);
    }
    let choose =
        |(index, rows): (u64, Vec<usize>)| rows[rng::stream(seed, index, "row", 0).random_range(0..rows.len())];
    of.into_iter().map(choose).collect()
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
