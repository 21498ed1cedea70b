//! The verdict in words: a compact table for the terminal.

use super::{Calibration, Direction};
use std::fmt;

impl Calibration {
    /// The directions named by failed curves, the most frequent first.
    pub fn directions(&self) -> Vec<Direction> {
        let mut counted: Vec<(usize, Direction)> = Vec::new();
        for direction in self.curves.iter().flat_map(|c| &c.directions) {
            match counted.iter_mut().find(|(_, d)| d == direction) {
                Some((n, _)) => *n += 1,
                None => counted.push((1, *direction)),
            }
        }
        counted.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        counted.into_iter().map(|(_, d)| d).collect()
    }

    /// One sentence: pass or fail, and how.
    pub fn verdict(&self) -> String {
        let band = format!("{}% simultaneous bands", (self.level * 1e4).round() / 1e2);
        if self.pass {
            return format!("PASS: all {} curves within {band} on {} universes", self.curves.len(), self.universes);
        }
        let words: Vec<String> = self.directions().iter().map(Direction::to_string).collect();
        let failed = self.curves.iter().filter(|c| !c.pass).count();
        format!("FAIL: {} ({failed} of {} curves outside {band})", words.join(", "), self.curves.len())
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} universes, {} draws each, every test at level {:.5}",
            self.universes, self.draws, self.level_each
        )?;
        writeln!(f, "  {:<30} {:>9} {:>9}", "curve", "p (band)", "p (KS)")?;
        for curve in &self.curves {
            let words: Vec<String> = curve.directions.iter().map(Direction::to_string).collect();
            let word = if curve.pass { "ok".to_string() } else { words.join(" and ") };
            writeln!(f, "  {:<30} {:>9.2e} {:>9.2e}  {word}", curve.name(), curve.p_value, curve.ks_p_value)?;
        }
        writeln!(f, "  {:<30} {:>16} {:>12} {:>10}", "parameter", "pull", "contraction", "rms error")?;
        for p in &self.parameters {
            let pull = format!("{:+.2} ± {:.2}", p.pull_mean, p.pull_sd);
            writeln!(f, "  {:<30} {pull:>16} {:>12.3} {:>10.4}", p.name, p.contraction, p.rms_error)?;
        }
        if self.gain.universes > 0 {
            writeln!(
                f,
                "  ln q(truth) {:.3}, gain over the prior {:.3} ± {:.3} nats",
                self.gain.ln_prob, self.gain.nats, self.gain.error
            )?;
        }
        if self.gain.excluded_truths > 0 {
            writeln!(f, "  {} truths have no posterior density at all", self.gain.excluded_truths)?;
        }
        f.write_str(&self.verdict())
    }
}
