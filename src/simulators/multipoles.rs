//! Bins of multipoles of maps of the sphere.

use crate::error::{Error, Result};
use crate::fields::bins::Bins;
use crate::fields::flat_sky::AngularConfig;
use crate::io::field::{Axis, AxisKind};
use std::ops::Range;

/// Bins of whole multipoles.
pub(super) struct Multipoles {
    bins: Bins,
}

impl Multipoles {
    /// Those of `[simulator.c_ell]`, from 1 to `most`; to `lmax` where it does not say. Refuses bins with none, and a
    /// window of square pixels.
    pub fn new(config: &AngularConfig, lmax: usize, most: usize) -> Result<Self> {
        let bad = |key: &str, problem: String, remedy: &str| {
            Error::input(problem).key(format!("simulator.c_ell{key}")).remedy(remedy)
        };
        let (first, end) = (config.min.unwrap_or(2.0), config.max.unwrap_or(lmax as f64 + 1.0));
        if !(first >= 1.0 && end <= most as f64 + 1.0) {
            let problem = format!("the sky has multipoles from 1 to {most}");
            return Err(bad("", problem, "change min or max, or raise nside").value([first, end]));
        }
        if config.pixel_window {
            let problem = "maps of the sphere have no square pixels, whose window could be divided out".into();
            return Err(bad(".pixel_window", problem, "leave it out").value(true));
        }
        let bins = Bins::new("simulator.c_ell", config.spacing, first, end, config.bins)?;
        let of = Multipoles { bins };
        match (0..config.bins).find(|b| of.range(*b).is_empty()) {
            None => Ok(of),
            Some(b) => {
                Err(bad(".bins", format!("leaves bin {b} without a multipole"), "give fewer").value(config.bins))
            }
        }
    }

    /// Those of maps of this nside: to 1.5 of it where the section does not say, at most to 3 nside − 1.
    pub fn of_maps(config: &AngularConfig, nside: usize) -> Result<Self> {
        Multipoles::new(config, nside + nside / 2, (3 * nside - 1).max(2))
    }

    /// The largest.
    pub fn lmax(&self) -> usize {
        self.range(self.bins.count() - 1).end - 1
    }

    /// Those of a bin.
    fn range(&self, b: usize) -> Range<usize> {
        let [low, high] = [b, b + 1].map(|edge| self.bins.edges()[edge].ceil() as usize);
        low..high
    }

    /// Means over the 2ℓ + 1 modes of each multipole of each bin.
    pub fn means<'a>(&'a self, c: impl Fn(usize) -> f64 + 'a) -> impl Iterator<Item = f64> + 'a {
        (0..self.bins.count()).map(move |b| {
            let modes = |l: usize| (2 * l + 1) as f64;
            self.range(b).map(|l| modes(l) * c(l)).sum::<f64>() / self.range(b).map(modes).sum::<f64>()
        })
    }

    /// The axis of such spectra.
    pub fn axis(&self) -> Axis {
        let modes = (0..self.bins.count()).map(|b| self.range(b).map(|l| 2 * l as u64 + 1).sum()).collect();
        let axis = Axis::bins("ell", "", self.means(|l| l as f64).collect(), self.bins.edges().to_vec());
        Axis { modes, kind: AxisKind::Bin, ..axis }
    }
}
