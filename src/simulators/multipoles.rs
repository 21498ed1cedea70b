//! Bins of multipoles of maps of the sphere.

use crate::error::{Error, Result};
use crate::fields::bins::Bins;
use crate::fields::flat_sky::AngularConfig;
use crate::io::field::{Axis, AxisKind};
use crate::sphere::pixel_window;
use std::ops::Range;

/// Bins of whole multipoles.
pub(super) struct Multipoles {
    pub bins: Bins,
    /// w_ℓ of what is divided out of spectra.
    window: Option<Vec<f64>>,
}

impl Multipoles {
    /// Those of `[simulator.c_ell]` on maps of this `nside`, from 1 to `most`; to `lmax` where it does not say. Refuses bins
    /// with none.
    pub fn new(config: &AngularConfig, nside: usize, lmax: usize, most: usize) -> Result<Self> {
        let bad = |key: &str, problem: String, remedy: &str| {
            Error::input(problem).key(format!("simulator.c_ell{key}")).remedy(remedy)
        };
        let (first, end) = (config.min.unwrap_or(2.0), config.max.unwrap_or(lmax as f64 + 1.0));
        if !(first >= 1.0 && end <= most as f64 + 1.0) {
            let problem = format!("the sky has multipoles from 1 to {most}");
            return Err(bad("", problem, "change min or max, or make finer maps").value([first, end]));
        }
        let bins = Bins::new("simulator.c_ell", config.spacing, first, end, config.bins)?;
        let mut of = Multipoles { bins, window: None };
        match (0..config.bins).find(|b| of.range(*b).is_empty()) {
            None => {
                of.window = config.pixel_window.then(|| pixel_window(nside, of.lmax())).transpose()?;
                Ok(of)
            }
            Some(b) => {
                Err(bad(".bins", format!("leaves bin {b} without a multipole"), "give fewer").value(config.bins))
            }
        }
    }

    /// Those of maps of this nside: to 1.5 of it where the section does not say, at most to 3 nside − 1.
    pub fn of_maps(config: &AngularConfig, nside: usize) -> Result<Self> {
        Multipoles::new(config, nside, nside + nside / 2, (3 * nside - 1).max(2))
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

    /// The same of the spectrum of a map, its pixels' window divided out where that is asked for.
    pub fn spectrum<'a>(&'a self, c: impl Fn(usize) -> f64 + 'a) -> impl Iterator<Item = f64> + 'a {
        self.means(move |l| c(l) / self.window.as_ref().map_or(1.0, |w| w[l].powi(2)))
    }

    /// The axis of such spectra.
    pub fn axis(&self) -> Axis {
        let modes = (0..self.bins.count()).map(|b| self.range(b).map(|l| 2 * l as u64 + 1).sum()).collect();
        let axis = Axis::bins("ell", "", self.means(|l| l as f64).collect(), self.bins.edges().to_vec());
        Axis { modes, kind: AxisKind::Bin, ..axis }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_pixels_is_divided_out() {
        let config = AngularConfig { bins: 5, pixel_window: true, ..AngularConfig::default() };
        let (of, w) = (Multipoles::of_maps(&config, 16).unwrap(), pixel_window(16, 24).unwrap());
        assert!(w[24] < 0.97 && of.spectrum(|l| w[l] * w[l]).all(|c| (c - 1.0).abs() < 1e-14));
        let plain = Multipoles::of_maps(&AngularConfig { pixel_window: false, ..config }, 16).unwrap();
        assert!(plain.spectrum(|l| w[l] * w[l]).eq(plain.means(|l| w[l] * w[l])));
    }
}
