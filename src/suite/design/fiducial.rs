//! Realisations at one fiducial point, and pairs of points one step beside it, for covariances and derivatives.
//!
//! Rows come in blocks of a realisation: the fiducial point, then each parameter a step down and a step up, of the same
//! initial conditions, so that what chance does to the two cancels in their difference. Behind the blocks follow
//! realisations at the fiducial point alone, as many as there are to be.

use super::{DesignConfig, Sampling};
use crate::error::{Error, Result};
use crate::prior::{Parameter, Prior};
use std::collections::BTreeMap;

impl DesignConfig {
    /// Place among the parameters and size of each step, in their order.
    fn stencil(&self, prior: &Prior) -> Vec<(usize, f64)> {
        let step = |(j, p): (usize, &Parameter)| self.steps.get(&p.name).map(|&h| (j, h));
        prior.parameters.iter().enumerate().filter_map(step).collect()
    }

    /// The fiducial values, p.
    pub fn center(&self, prior: &Prior) -> Vec<f64> {
        prior.parameters.iter().filter_map(|p| self.fiducial.get(&p.name)).copied().collect()
    }

    /// Refuses a point or steps that the parameters do not have, and too few universes for the pairs.
    pub fn check_fiducial(&self, prior: &Prior) -> Result<()> {
        let bad = |key: String, problem: String| Error::input(problem).key(format!("design.{key}"));
        if self.kind != Sampling::Fiducial {
            let given = [("fiducial", !self.fiducial.is_empty()), ("steps", !self.steps.is_empty())];
            return match given.into_iter().chain([("pairs", self.pairs > 0)]).find(|given| given.1) {
                Some((key, _)) => {
                    let error = bad(key.into(), "is read by kind = \"fiducial\" only".into());
                    Err(error.remedy("remove it, or change the kind"))
                }
                None => Ok(()),
            };
        }
        let names = prior.names();
        let unknown = |table: &BTreeMap<String, f64>| table.keys().find(|n| !names.contains(&n.as_str())).cloned();
        for (section, table) in [("fiducial", &self.fiducial), ("steps", &self.steps)] {
            if let Some(name) = unknown(table) {
                let error = bad(format!("{section}.{name}"), "is none of the design's parameters".into());
                return Err(error.remedy(format!("choose from {}", names.join(", "))));
            }
        }
        for p in &prior.parameters {
            let (min, max) = p.distribution.bounds();
            let Some(&at) = self.fiducial.get(&p.name) else {
                let error = bad(format!("fiducial.{}", p.name), "is missing".into());
                return Err(error.remedy(format!("give its value at the fiducial point, from {min} to {max}")));
            };
            if !p.distribution.holds(at) {
                let error = bad(format!("fiducial.{}", p.name), format!("is outside the prior, [{min}, {max}]"));
                return Err(error.value(at).remedy("give a value inside, or widen the prior"));
            }
            let Some(&step) = self.steps.get(&p.name) else { continue };
            let key = format!("steps.{}", p.name);
            if !(step > 0.0 && step.is_finite() && at + step > at && at - step < at) {
                return Err(bad(key, "is no step".into()).value(step).remedy("give a number above 0"));
            }
            if let Some(beyond) = [at - step, at + step].into_iter().find(|&t| !p.distribution.holds(t)) {
                let error = bad(key, format!("leads to {beyond}, outside the prior, [{min}, {max}]"));
                return Err(error.value(step).remedy("give a smaller step, or widen the prior"));
            }
        }
        let (q, m) = (self.steps.len(), self.pairs);
        if (q == 0) != (m == 0) {
            let (key, lacking) = if m == 0 { ("pairs", "steps") } else { ("steps", "pairs") };
            let error = bad(key.into(), format!("is missing beside design.{lacking}"));
            return Err(error.remedy("give both: each pair is one realisation, a step down and a step up"));
        }
        let least = m.saturating_mul(1 + 2 * q);
        if self.simulations < least {
            let each = format!("1 at the fiducial point and 2 for each of {q} steps");
            let error = bad("simulations".into(), format!("{m} pairs are of {least} universes: for each, {each}"));
            return Err(error.value(self.simulations).remedy(format!("give at least {least}, or fewer pairs")));
        }
        Ok(())
    }

    /// Points (n, p) in the order of the rows, and the realisation of each (n).
    pub(super) fn stencil_points(&self, prior: &Prior) -> (Vec<f64>, Vec<u64>) {
        let (center, stencil) = (self.center(prior), self.stencil(prior));
        let (mut theta, mut realisation) = (vec![], vec![]);
        for r in 0..self.simulations - 2 * stencil.len() * self.pairs {
            let beside = stencil.iter().filter(|_| r < self.pairs).flat_map(|&(j, h)| [(j, -h), (j, h)]);
            for (j, h) in std::iter::once((0, 0.0)).chain(beside) {
                theta.extend_from_slice(&center);
                let at = theta.len() - center.len() + j;
                theta[at] += h;
                realisation.push(r as u64);
            }
        }
        (theta, realisation)
    }

    /// How many universes stand where, in words.
    pub fn composition(&self) -> Option<String> {
        let beside = 2 * self.steps.len() * self.pairs;
        let words = || match beside {
            0 => format!("{} realisations of one point", self.simulations),
            _ => format!(
                "{} realisations of one point, and {beside} in {} pairs of steps in {}",
                self.simulations - beside,
                self.pairs,
                self.steps.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        };
        match self.kind {
            Sampling::Fiducial => Some(words()),
            _ => (self.realisations > 1).then(|| {
                format!("{} points of {} realisations", self.simulations / self.realisations, self.realisations)
            }),
        }
    }
}
