//! Bins of anything that is counted or averaged.

use crate::error::{Error, Result};
use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How edges are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    #[default]
    Linear,
    Log,
}

/// Neighbouring bins: bin b holds edge_b ≤ x < edge_{b+1}.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    edges: Vec<f64>,
}

impl Bins {
    /// `count` bins from `min` to `max`; `section` names the table of the campaign file that holds these keys.
    pub fn new(section: &str, spacing: Spacing, min: f64, max: f64, count: usize) -> Result<Self> {
        let bad = |key: &str, problem: &str| Err(Error::input(problem).key(format!("{section}.{key}")));
        if !(min.is_finite() && max.is_finite() && min < max) {
            return bad("min", "the bins' range is finite and its minimum below its maximum")
                .map_err(|e| e.value([min, max]).remedy("give min < max"));
        }
        if spacing == Spacing::Log && min <= 0.0 {
            return bad("min", "logarithmic bins begin above zero")
                .map_err(|e| e.value(min).remedy("raise it, or take spacing = \"linear\""));
        }
        if count == 0 {
            return bad("bins", "at least one bin is needed").map_err(|e| e.value(count).remedy("20 is usual"));
        }
        limits::at_most(format!("{section}.bins"), count, limits::BINS)?;
        let part = |i: usize| i as f64 / count as f64;
        let edge = |i: usize| match spacing {
            _ if i == count => max,
            Spacing::Linear => min + (max - min) * part(i),
            Spacing::Log => min * (max / min).powf(part(i)),
        };
        Ok(Bins { edges: (0..=count).map(edge).collect() })
    }

    /// Number of bins.
    pub fn count(&self) -> usize {
        self.edges.len() - 1
    }

    /// Edges, one more than bins.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The same bins with every edge moved, by its number and place; their order must stay.
    pub fn moved(self, to: impl Fn(usize, f64) -> f64) -> Self {
        Bins { edges: self.edges.into_iter().enumerate().map(|(i, edge)| to(i, edge)).collect() }
    }

    /// Middle of each bin.
    pub fn middles(&self) -> Vec<f64> {
        self.edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect()
    }

    /// The bin of `x`.
    pub fn of(&self, x: f64) -> Option<usize> {
        let above = self.edges.partition_point(|&e| e <= x);
        (above > 0 && above < self.edges.len()).then(|| above - 1)
    }

    /// How many of the values lie in each bin.
    pub fn histogram(&self, values: impl IntoIterator<Item = f64>) -> Vec<u64> {
        let mut counts = vec![0; self.count()];
        values.into_iter().filter_map(|x| self.of(x)).for_each(|b| counts[b] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_their_lower_edge() {
        let bins = Bins::new("s", Spacing::Log, 0.01, 100.0, 4).unwrap();
        assert_eq!(bins.histogram([0.005, 0.01, 0.5, 5.0, 99.0, 100.0, f64::NAN]), [1, 1, 1, 1]);
        let bins = Bins::new("s", Spacing::Linear, -1.0, 1.0, 2).unwrap();
        assert_eq!((bins.middles(), bins.of(0.0), bins.of(1.0)), (vec![-0.5, 0.5], Some(1), None));
        assert!(
            Bins::new("s", Spacing::Log, 0.0, 1.0, 2).is_err() && Bins::new("s", Spacing::Linear, 0.0, 1.0, 0).is_err()
        );
        assert!(Bins::new("s", Spacing::Linear, 1.0, f64::NAN, 2).is_err());
    }
}
