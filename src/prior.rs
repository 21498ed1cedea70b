//! The prior over the parameters: names, LaTeX labels, bounds and density. It is written into every dataset, and every
//! posterior is read against it.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One varied parameter, uniform between its bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Name as in `[cosmology]`, e.g. `Omega_m`.
    pub name: String,
    /// Label for plots, without dollar signs, e.g. `\Omega_m`.
    pub latex: String,
    /// Lower bound.
    pub min: f64,
    /// Upper bound.
    pub max: f64,
}

/// Independent uniform densities over a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prior {
    pub parameters: Vec<Parameter>,
}

impl Prior {
    /// Checks that names are unique and bounds ordered and finite.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self> {
        for (i, p) in parameters.iter().enumerate() {
            let bad = |problem: &str| {
                Error::input(problem).key(format!("design.parameters.{}", p.name)).value((p.min, p.max))
            };
            if !(p.min.is_finite() && p.max.is_finite() && p.min < p.max) {
                return Err(bad("the bounds are not an interval").remedy("give finite min < max"));
            }
            if parameters[..i].iter().any(|q| q.name == p.name) {
                return Err(bad("given twice").remedy("keep one"));
            }
        }
        Ok(Prior { parameters })
    }

    /// Number of parameters p.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// True with no parameters.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.parameters.iter().map(|p| p.name.as_str()).collect()
    }

    /// ln density at `theta`; −∞ outside the box.
    pub fn ln_density(&self, theta: &[f64]) -> f64 {
        let inside = self.parameters.iter().zip(theta).all(|(p, t)| (p.min..=p.max).contains(t));
        if inside { -self.parameters.iter().map(|p| (p.max - p.min).ln()).sum::<f64>() } else { f64::NEG_INFINITY }
    }

    /// Every corner of the box, that of all minima first, and its middle.
    pub fn corners(&self) -> impl Iterator<Item = Vec<f64>> {
        let end = |corner: u64, (i, p): (usize, &Parameter)| if corner >> i & 1 == 0 { p.min } else { p.max };
        let corners =
            (0..1_u64 << self.len()).map(move |c| self.parameters.iter().enumerate().map(|p| end(c, p)).collect());
        corners.chain(std::iter::once(self.from_unit(&vec![0.5; self.len()])))
    }

    /// Maps a point of the unit cube to the parameters.
    pub fn from_unit(&self, u: &[f64]) -> Vec<f64> {
        self.parameters.iter().zip(u).map(|(p, u)| p.min + (p.max - p.min) * u).collect()
    }
}

/// Where a dataset's parameters come from. Gain, contraction and coverage are against a prior: they have a meaning only where
/// the parameters were drawn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrawnFrom {
    /// The prior that stands beside them: by design, or because the user says so.
    #[default]
    Prior,
    /// Nobody said: their prior is guessed, uniform over the range that they were found in.
    Guess,
    /// The user's list, of which nobody said what it was drawn from.
    List,
    /// A regular grid: not drawn at all.
    Grid,
}

impl DrawnFrom {
    /// As files say it, in the attribute `drawn_from`.
    pub fn name(self) -> &'static str {
        match self {
            DrawnFrom::Prior => "prior",
            DrawnFrom::Guess => "guessed prior",
            DrawnFrom::List => "list",
            DrawnFrom::Grid => "grid",
        }
    }

    /// What a file says; one that says nothing has parameters drawn from its prior.
    pub fn named(text: Option<&str>) -> DrawnFrom {
        let all = [DrawnFrom::Guess, DrawnFrom::List, DrawnFrom::Grid];
        all.into_iter().find(|d| text == Some(d.name())).unwrap_or_default()
    }

    /// Why nothing can be judged against the prior, where that is so.
    pub fn no_prior(self) -> Option<&'static str> {
        match self {
            DrawnFrom::Prior | DrawnFrom::Guess => None,
            DrawnFrom::List => Some(
                "the parameters are a list, and nobody said what prior it was drawn from; if it was drawn uniformly from the \
                 box of [design.parameters], say design.prior = \"uniform\"",
            ),
            DrawnFrom::Grid => Some(
                "the parameters are a grid, which no prior was drawn from; a Sobol design of as many universes can be judged",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_integrates_to_one() {
        let p = |name: &str, min, max| Parameter { name: name.into(), latex: name.into(), min, max };
        let prior = Prior::new(vec![p("a", 0.1, 0.5), p("b", 0.6, 1.0)]).unwrap();
        assert!((prior.ln_density(&[0.2, 0.7]).exp() * 0.16 - 1.0).abs() < 1e-12);
        assert_eq!(prior.ln_density(&[0.6, 0.7]), f64::NEG_INFINITY);
        assert_eq!(prior.from_unit(&[0.0, 1.0]), vec![0.1, 1.0]);
        let corners: Vec<_> = prior.corners().collect();
        assert_eq!(corners[..4], [[0.1, 0.6], [0.5, 0.6], [0.1, 1.0], [0.5, 1.0]]);
        assert_eq!(corners[4..], [prior.from_unit(&[0.5, 0.5])]);
        assert!(Prior::new(vec![p("a", 0.5, 0.1)]).is_err());
        assert!(Prior::new(vec![p("a", 0., 1.), p("a", 0., 1.)]).is_err());
    }
}
