//! The campaign's derived parameters: of its prior, of its dataset's universes, of draws.

use super::campaign::Config;
use super::plan::Plan;
use crate::comm::{Comm, share};
use crate::error::Result;
use crate::io::dataset::Dataset;
use crate::io::prior::same_derived;
use crate::io::samples::Samples;
use crate::prior::Prior;
use crate::suite::design::{Derivation, Design, Reject};

impl Config {
    /// The prior with the parameters that follow from its own, and what computes them.
    pub(super) fn derive(&self, prior: Prior) -> Result<(Prior, Option<Derivation>)> {
        let design = self.design.as_ref().filter(|design| !design.derived.is_empty());
        let (Some(design), Some(simulator)) = (design, &self.simulator) else { return Ok((prior, None)) };
        let fields = simulator.runner(&self.universes(&prior))?.specs();
        let fields: Vec<String> = fields.into_iter().map(|spec| spec.name).collect();
        let whole = prior.clone();
        let possible = |theta: &[f64]| design.reject == Reject::Refuse || self.possible(&whole, theta).is_ok();
        let derived = Derivation::of(&design.derived, prior, self.cosmology.as_ref(), &fields, possible);
        derived.map(|(prior, derivation)| (prior, Some(derivation)))
    }
}

impl Plan {
    /// Of parameters (…, p), as (…, d).
    fn derived(&self, theta: &[f64]) -> Vec<f64> {
        self.derivation.as_ref().map_or(vec![], |derivation| derivation.columns(theta))
    }

    /// The design with the derived parameters of its universes.
    pub fn derive_design(&self, design: Design) -> Design {
        Design { derived: self.derived(&design.theta), ..design }
    }

    /// Gives a dataset those that the campaign has now.
    pub(super) fn derive_dataset(&self, dataset: &mut Dataset) {
        dataset.derive(&self.prior.derived, |theta| self.derived(theta));
    }

    /// True if these draws have the derived parameters that the campaign has now.
    pub fn derives(&self, samples: &Samples) -> bool {
        if samples.extras.marginals.is_some() {
            return samples.prior.derived.is_empty();
        }
        let d = self.prior.derived.len();
        let there = samples.extras.derived.len() == samples.len() * samples.draws * d;
        there && same_derived(&samples.prior.derived, &self.prior.derived)
    }

    /// Gives them to draws.
    pub fn derive(&self, samples: &mut Samples) {
        match self.derives(samples) {
            true if samples.extras.marginals.is_some() => {}
            true => samples.prior.derived = self.prior.derived.clone(),
            false => samples.derive(&self.prior.derived, |theta| self.derived(theta)),
        }
    }

    /// The same of draws that every rank has, a part on each. Collective.
    pub fn derive_on(&self, comm: &Comm, samples: &mut Samples) {
        let p = samples.dim().max(1);
        samples.derive(&self.prior.derived, |theta| {
            let (start, len) = share(theta.len() / p, comm.size(), comm.rank());
            comm.all_gather(&self.derived(&theta[start * p..(start + len) * p]))
        });
    }
}
