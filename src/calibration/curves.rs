//! The diagnostics: one number per universe each, uniform on (0, 1) if the posterior is exact.
//!
//! | diagnostic | statistic whose rank among the draws is taken | source |
//! |---|---|---|
//! | rank | the parameter itself | Talts et al. 2018, arXiv:1804.06788 |
//! | central | \|2 rank − 1\|: the smallest central interval that holds the truth | the same ranks, folded |
//! | HPD | minus the marginal density (KDE of truth and draws together) | Hyndman 1996 |
//! | joint HPD | −ln q: the smallest highest-density region that holds the truth | Hermans et al. 2022, arXiv:2110.06581 |
//! | pair | product of two parameters, standardised | `together` |
//! | likelihood, regression | what a regression on the input says of the parameters | `together` |
//! | TARP | distance from a random reference point, in units of the prior's width | Lemos et al. 2023, arXiv:2302.03026 |
//!
//! The truth is one more draw of an exact posterior, so the rank of any statistic that treats the draws + 1 points
//! alike is uniform; that is why the marginal KDE is built from all of them, and why its quality decides power, not
//! validity.

use super::kde::Kde;
use super::uniform::{envelope_p_value, ks_distance, ks_p_value};
use crate::io::samples::Samples;
use crate::rng::{self, ChaCha8Rng};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Grid of the marginal density estimates.
const GRID: usize = 192;
/// |z| beyond which a curve's direction is named.
const NAMED: f64 = 2.0;

/// Which statistic a curve ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diagnostic {
    /// Simulation-based calibration rank of one parameter.
    Rank,
    /// Coverage of one parameter's central intervals.
    Central,
    /// Coverage of one parameter's highest-density intervals.
    Hpd,
    /// Coverage of joint highest-density regions.
    JointHpd,
    /// Coverage of balls around random reference points.
    Tarp,
    /// Calibration rank of the product of two parameters.
    Pair,
    /// Calibration rank of the likelihood of a linear-Gaussian model.
    Likelihood,
    /// Coverage of balls around what a linear regression on the input says.
    Regression,
}

/// What is wrong with a posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Too narrow for its errors.
    Overconfident,
    /// Too wide.
    Underconfident,
    /// Lies below the truth on average.
    BiasedLow,
    /// Lies above the truth on average.
    BiasedHigh,
    /// Off to one side (TARP cannot say which).
    Biased,
    /// None of these: the curve's shape is wrong otherwise.
    Misshapen,
    /// Its density at the truths is below the prior's.
    WorseThanPrior,
    /// Two parameters are correlated otherwise.
    Correlation,
    /// Truths lie nearer than its draws to what a linear regression says of the input.
    Ignores,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Overconfident => "overconfident",
            Direction::Underconfident => "underconfident",
            Direction::BiasedLow => "biased low",
            Direction::BiasedHigh => "biased high",
            Direction::Biased => "biased",
            Direction::Misshapen => "misshapen",
            Direction::WorseThanPrior => "worse than its prior",
            Direction::Correlation => "wrong in its correlations",
            Direction::Ignores => "blind to what its input says",
        })
    }
}

/// One diagnostic's numbers over the universes, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub diagnostic: Diagnostic,
    /// Name of the parameter, for those that look at one.
    pub parameter: Option<String>,
    /// The other one, for those that look at two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// The universes' numbers, sorted (n).
    pub ranks: Vec<f64>,
    /// Kolmogorov–Smirnov distance from uniform.
    pub ks: f64,
    /// Its exact p-value (judged for SBC ranks).
    pub ks_p_value: f64,
    /// Exact p-value of the envelope test (judged for all).
    pub p_value: f64,
    /// True if the curve stays inside the family's simultaneous band.
    pub pass: bool,
    /// What is wrong, for a curve that fails.
    pub directions: Vec<Direction>,
}

impl Curve {
    pub(super) fn new(diagnostic: Diagnostic, parameter: Option<&str>, mut ranks: Vec<f64>) -> Curve {
        ranks.sort_by(f64::total_cmp);
        let ks = ks_distance(&ranks);
        Curve {
            diagnostic,
            parameter: parameter.map(str::to_string),
            beside: None,
            ks,
            ks_p_value: ks_p_value(ranks.len(), ks),
            p_value: envelope_p_value(&ranks),
            ranks,
            pass: true,
            directions: vec![],
        }
    }

    /// True if the Kolmogorov–Smirnov test counts too.
    pub(super) fn ks_judged(&self) -> bool {
        self.diagnostic == Diagnostic::Rank
    }

    /// Smallest p-value that counts.
    pub fn judged_p_value(&self) -> f64 {
        if self.ks_judged() { self.p_value.min(self.ks_p_value) } else { self.p_value }
    }

    pub(super) fn judge(&mut self, alpha: f64) {
        self.pass = self.judged_p_value() >= alpha;
        self.directions = if self.pass { vec![] } else { self.tendency() };
    }

    /// Directions in which the curve leans, the strongest first. Centre and spread of uniform numbers are known:
    /// z-scores.
    fn tendency(&self) -> Vec<Direction> {
        use Direction::*;
        let n = self.ranks.len() as f64;
        let z = |f: &dyn Fn(f64) -> f64| (self.ranks.iter().map(|u| f(*u)).sum::<f64>() / n - 0.5) * (12.0 * n).sqrt();
        let (centre, spread) = match self.diagnostic {
            Diagnostic::Rank | Diagnostic::Tarp => (z(&|u| u), z(&|u: f64| (2.0 * u - 1.0).abs())),
            Diagnostic::Pair => return vec![Correlation],
            _ => (0.0, z(&|u| u)),
        };
        let side = match (self.diagnostic, centre > 0.0) {
            (Diagnostic::Tarp, _) => Biased,
            (_, true) => BiasedLow,
            (_, false) => BiasedHigh,
        };
        let width = match (self.diagnostic, spread > 0.0) {
            (_, true) => Overconfident,
            (Diagnostic::Likelihood | Diagnostic::Regression, false) => Ignores,
            (_, false) => Underconfident,
        };
        let mut named = vec![(centre.abs(), side), (spread.abs(), width)];
        named.retain(|(z, _)| *z > NAMED);
        named.sort_by(|a, b| b.0.total_cmp(&a.0));
        if named.is_empty() { vec![Misshapen] } else { named.into_iter().map(|(_, d)| d).collect() }
    }

    /// Name for people, e.g. `SBC rank, Omega_m`.
    pub fn name(&self) -> String {
        let what = match self.diagnostic {
            Diagnostic::Rank => "SBC rank",
            Diagnostic::Central => "central interval",
            Diagnostic::Hpd => "HPD interval",
            Diagnostic::JointHpd => "joint HPD",
            Diagnostic::Tarp => "TARP",
            Diagnostic::Pair => "pair",
            Diagnostic::Likelihood => "likelihood of a regression",
            Diagnostic::Regression => "TARP about a regression",
        };
        let of = [&self.parameter, &self.beside].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        if of.is_empty() { what.into() } else { format!("{what}, {}", of.join(" and ")) }
    }

    /// Why the curve fails.
    pub(super) fn reason(&self) -> Option<String> {
        let words: Vec<String> = self.directions.iter().map(Direction::to_string).collect();
        (!self.pass).then(|| format!("{}: {} ({})", self.name(), words.join(" and "), p_value(self.judged_p_value())))
    }

    /// Empirical distribution function: the coverage at nominal credibility `t`.
    pub fn ecdf(&self, t: f64) -> f64 {
        self.ranks.partition_point(|u| *u <= t) as f64 / self.ranks.len() as f64
    }
}

/// A p-value in words.
pub(super) fn p_value(p: f64) -> String {
    if p < 1e-6 { "p < 1e-6".into() } else { format!("p = {p:.1e}") }
}

/// All curves of `samples` over `rows`: of single parameters those of the `whole`, with derived ones.
pub(super) fn all((samples, whole): (&Samples, &Samples), rows: &[usize], seed: u64) -> Vec<Curve> {
    let breaker = |row: usize, what: &str| rng::stream(seed, samples.index[row], what, 0);
    let mut curves = Vec::new();
    for (j, parameter) in whole.prior.parameters.iter().enumerate() {
        let (mut ranks, mut hpd) = (Vec::new(), Vec::new());
        for &row in rows {
            let mut rng = breaker(row, &parameter.name);
            let mut points = whole.column(row, j);
            let truth = whole.truth[row * whole.dim() + j];
            ranks.push(rank(truth, points.iter().copied(), &mut rng));
            points.push(truth);
            let kde = Kde::new(&points, parameter.distribution.bounds(), GRID);
            let draws = &points[..points.len() - 1];
            hpd.push(rank(-kde.at(truth), draws.iter().map(|t| -kde.at(*t)), &mut rng));
        }
        let central = ranks.iter().map(|u| (2.0 * u - 1.0).abs()).collect();
        curves.push(Curve::new(Diagnostic::Rank, Some(&parameter.name), ranks));
        curves.push(Curve::new(Diagnostic::Central, Some(&parameter.name), central));
        curves.push(Curve::new(Diagnostic::Hpd, Some(&parameter.name), hpd));
    }
    let density = |row: usize| samples.ln_prob_of(row).iter().chain([&samples.ln_prob_truth[row]]).all(|l| !l.is_nan());
    if rows.iter().all(|row| density(*row)) {
        let joint = |&row: &usize| {
            let draws = samples.ln_prob_of(row).iter().map(|l| -l);
            rank(-samples.ln_prob_truth[row], draws, &mut breaker(row, "joint HPD"))
        };
        curves.push(Curve::new(Diagnostic::JointHpd, None, rows.iter().map(joint).collect()));
    }
    // Marginals have no distance of all parameters together.
    if samples.extras.marginals.is_some() {
        return curves;
    }
    let tarp = |&row: &usize| {
        let mut rng = breaker(row, "TARP");
        let reference: Vec<f64> = (0..samples.dim()).map(|_| rng.random()).collect();
        let reference = samples.prior.from_unit(&reference);
        let distance = |theta: &[f64]| -> f64 {
            let scaled = samples.prior.parameters.iter().zip(theta.iter().zip(&reference));
            scaled.map(|(p, (t, r))| ((t - r) / p.distribution.width()).powi(2)).sum()
        };
        let truth = &samples.truth[row * samples.dim()..][..samples.dim()];
        rank(distance(truth), samples.theta_of(row).chunks_exact(samples.dim()).map(distance), &mut rng)
    };
    curves.push(Curve::new(Diagnostic::Tarp, None, rows.iter().map(tarp).collect()));
    curves
}

/// Fractional rank of the truth's statistic among the draws', uniform for an exchangeable truth: a place among the
/// ties, and within the last step of 1 / (draws + 1), is drawn at random.
pub(super) fn rank(truth: f64, draws: impl Iterator<Item = f64>, rng: &mut ChaCha8Rng) -> f64 {
    let (mut below, mut ties, mut n) = (0usize, 0usize, 0usize);
    for d in draws {
        below += (d < truth) as usize;
        ties += (d == truth) as usize;
        n += 1;
    }
    (below as f64 + (ties + 1) as f64 * rng.random::<f64>()) / (n + 1) as f64
}
