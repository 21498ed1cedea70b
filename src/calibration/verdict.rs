//! The verdict: what it is, why, what to do; in one sentence, and as a compact table for the terminal.

use super::curves::p_value;
use super::{Calibration, Diagnostic, Direction, power};
use serde::{Deserialize, Serialize};
use std::fmt;

/// So many pairs of parameters are shown one by one.
const FEW: usize = 3;

/// What is found of a posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No test failed, on enough universes, and something was learned.
    Passes,
    /// A test failed.
    Fails,
    /// No test failed, but too few universes or nothing learned: nothing is said for the posterior.
    Inconclusive,
    /// There is no prior to judge against.
    NotJudged,
}

impl Outcome {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Passes => "PASS",
            Outcome::Fails => "FAIL",
            Outcome::Inconclusive => "INCONCLUSIVE",
            Outcome::NotJudged => "NO VERDICT",
        }
    }
}

impl Calibration {
    /// True if the posterior's density at the truths is worse than an exact one's can be.
    fn loses(&self) -> bool {
        self.gain.universes > 0 && self.gain.p_value < 1.0 - self.level_each
    }

    /// Outcome, reasons and remedy, from curves, gain and the errors that would have been found.
    pub(super) fn decide(&mut self) {
        self.reasons = self.curves.iter().filter_map(super::Curve::reason).collect();
        let gain = &self.gain;
        let nats = format!("the gain over the prior is {:+.2} ± {:.2} nats", gain.nats, gain.error);
        if self.loses() {
            let p = p_value(gain.p_value);
            self.reasons.push(match gain.mostly_gains {
                true => format!("density: overconfident, some truths have next to none ({p})"),
                false => format!("density: worse than its prior, {nats} ({p})"),
            });
        }
        if !self.reasons.is_empty() {
            (self.outcome, self.remedy) = (Outcome::Fails, Some(self.mend()));
            return;
        }
        let mut remedies = vec![];
        if let Some(width) = self.smallest_width_error.filter(|w| !w.is_enough()) {
            let n = self.universes;
            self.reasons
                .push(format!("{n} universes are too few: they show a posterior that is {width}, no smaller error"));
            let enough = power::fewest(self.level_each);
            remedies.push(format!(
                "for a verdict simulate more or raise the fraction `test`: {enough} test universes would show a factor of {}",
                power::COARSEST
            ));
        }
        if let Some(spread) = &self.not_of_the_prior {
            self.reasons.push(format!("the true parameters are not spread as the prior says: {spread}"));
            remedies.push("give the prior that they were drawn from: gain and verdict are against it".to_string());
        }
        if gain.universes > 0 && !gain.learned() {
            self.reasons.push(format!("nothing learned that shows: {nats}"));
            remedies.push(
                "to learn something, train on more universes or for longer, and see whether the input depends on the parameters"
                    .to_string(),
            );
        }
        self.pass = self.reasons.is_empty();
        self.outcome = if self.pass { Outcome::Passes } else { Outcome::Inconclusive };
        self.remedy = (!self.pass).then(|| remedies.join("; "));
    }

    /// What to do about a posterior that fails.
    fn mend(&self) -> String {
        let remedy = |direction: &Direction| match direction {
            Direction::Overconfident => {
                "too narrow: train on more universes, with a larger `ensemble`, or with smaller networks and `patience`"
            }
            Direction::Underconfident => {
                "too wide: train for more `epochs`, or with larger networks or more `summaries`"
            }
            Direction::BiasedLow | Direction::BiasedHigh | Direction::Biased => {
                "off to one side: train for more `epochs` and on more universes; see that training and test universes are of one \
                 kind"
            }
            Direction::Misshapen => {
                "of another shape: raise the flow's `layers` and `bins`, or train on more universes"
            }
            Direction::Correlation => {
                "wrong in its correlations: raise the flow's `layers`, or train for more `epochs` and on more universes"
            }
            Direction::Ignores => {
                "blind to what its input says, which a linear regression of it tells: train for more `epochs`, with a larger \
                 network or another `transform`"
            }
            Direction::WorseThanPrior => {
                "worse than its prior: it has learned its training universes by heart, or the test's are of another kind; train on \
                 more universes or with smaller networks, and look at the losses"
            }
        };
        let named = self.directions();
        let mut words: Vec<&str> = named.iter().take(2).map(remedy).collect();
        words.dedup();
        words.join("; ")
    }

    /// The directions named by failed tests, the most frequent first.
    pub fn directions(&self) -> Vec<Direction> {
        let mut counted: Vec<(usize, Direction)> = Vec::new();
        let density = match self.gain.mostly_gains {
            true => Direction::Overconfident,
            false => Direction::WorseThanPrior,
        };
        let density = self.loses().then_some(&density);
        for direction in self.curves.iter().flat_map(|c| &c.directions).chain(density) {
            match counted.iter_mut().find(|(_, d)| d == direction) {
                Some((n, _)) => *n += 1,
                None => counted.push((1, *direction)),
            }
        }
        counted.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        // Which side is known says more than that there is one.
        if counted.iter().any(|(_, d)| matches!(d, Direction::BiasedLow | Direction::BiasedHigh)) {
            counted.retain(|(_, d)| *d != Direction::Biased);
        }
        // Where each parameter is right by itself, their correlations, or what was not seen of the input, explain the rest; where one
        // is not, products and distances from what a regression says are wrong for that.
        let single =
            |c: &&super::Curve| matches!(c.diagnostic, Diagnostic::Rank | Diagnostic::Central | Diagnostic::Hpd);
        if self.curves.iter().filter(single).any(|c| !c.pass) {
            counted.retain(|(_, d)| !matches!(d, Direction::Correlation | Direction::Ignores));
        }
        counted.sort_by_key(|(_, d)| *d != Direction::Correlation);
        counted.into_iter().map(|(_, d)| d).collect()
    }

    /// One sentence: the outcome, and how.
    pub fn verdict(&self) -> String {
        format!("{}: {}", self.outcome.word(), self.how())
    }

    /// The verdict's sentence without its first word.
    pub fn how(&self) -> String {
        let band = format!("{}% simultaneous bands", (self.level * 1e4).round() / 1e2);
        match self.outcome {
            Outcome::Passes => {
                format!("all {} curves within {band} on {} universes", self.curves.len(), self.universes)
            }
            Outcome::Fails => {
                let words: Vec<String> = self.directions().iter().map(Direction::to_string).collect();
                let failed = self.curves.iter().filter(|c| !c.pass).count();
                let density = if self.loses() { ", and the density at the truths too low" } else { "" };
                format!("{} ({failed} of {} curves outside {band}{density})", words.join(", "), self.curves.len())
            }
            Outcome::Inconclusive | Outcome::NotJudged => self.reasons.join("; "),
        }
    }

    /// What would have been found, in a sentence; nothing where the verdict says that it is too little.
    pub fn found(&self) -> Option<String> {
        let percent = 100.0 * power::POWER;
        self.smallest_width_error.filter(|width| width.is_enough() || self.outcome == Outcome::Fails).map(|w| {
            let correlation = |rho: f64| format!(", and one without a correlation that is ±{rho:.2} or stronger");
            let correlation = self.smallest_correlation.map_or(String::new(), correlation);
            format!("with {percent}% probability these universes show a posterior that is {w}{correlation}")
        })
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (universes, draws) = (self.universes, self.draws);
        match self.curves.is_empty() {
            true => writeln!(f, "{universes} universes, {draws} draws each")?,
            false => {
                writeln!(f, "{universes} universes, {draws} draws each, every test at level {:.5}", self.level_each)?;
                writeln!(f, "  {:<30} {:>9} {:>9}", "curve", "p (band)", "p (KS)")?;
            }
        }
        for curve in self.curves.iter().filter(|c| self.tells(c)) {
            let words: Vec<String> = curve.directions.iter().map(Direction::to_string).collect();
            let word = if curve.pass { "ok".to_string() } else { words.join(" and ") };
            writeln!(f, "  {:<30} {:>9.2e} {:>9.2e}  {word}", curve.name(), curve.p_value, curve.ks_p_value)?;
        }
        writeln!(f, "  {:<30} {:>16} {:>12} {:>10}", "parameter", "pull", "contraction", "rms error")?;
        for p in &self.parameters {
            let pull = p.pull();
            let contraction = if p.contraction.is_nan() { "-".into() } else { format!("{:.3}", p.contraction) };
            writeln!(f, "  {:<30} {pull:>16} {contraction:>12} {:>10.4}", p.name, p.rms_error)?;
        }
        f.write_str(&self.conclusion())
    }
}

impl Calibration {
    /// Of many pairs only those that fail, and the worst.
    pub fn tells(&self, curve: &super::Curve) -> bool {
        let pairs = || self.curves.iter().filter(|c| c.diagnostic == Diagnostic::Pair);
        let worst = pairs().map(|c| c.p_value).fold(1.0, f64::min);
        curve.diagnostic != Diagnostic::Pair || pairs().count() <= FEW || !curve.pass || curve.p_value == worst
    }

    /// What there is to know beside the curves, the verdict last.
    pub fn conclusion(&self) -> String {
        let (gain, mut lines) = (&self.gain, vec![]);
        if gain.universes > 0 {
            let [ln_prob, nats, error] = [gain.ln_prob, gain.nats, gain.error];
            lines.push(format!("  ln q(truth) {ln_prob:.3}, gain over the prior {nats:.3} ± {error:.3} nats"));
        }
        if gain.excluded_truths > 0 {
            lines.push(format!("  {} truths have no posterior density at all", gain.excluded_truths));
        }
        lines.extend(self.found().map(|found| format!("  {found}")));
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines.push(self.verdict());
        lines.extend(self.remedy.iter().map(|remedy| format!("  remedy: {remedy}")));
        lines.join("\n")
    }
}
