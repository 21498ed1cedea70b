//! The one-point function of the matter density.

use super::density::{CIC, DensityMeter};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::fields::bins::{Bins, Spacing};
use crate::fields::flat_sky::FlatSky;
use crate::fields::one_point::{Filter, OnePoint, one_point, smooth};
use crate::mesh::{Mesh, Real};
use crate::particles::Points;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mean density is given to one part in so many.
const MEAN_STEPS: f64 = 1e4;

/// `[simulator.pdf]`: the distribution of the smoothed density 1 + δ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PdfConfig {
    /// Of the density: exp(−k²R²/2), or the mean over a sphere.
    pub filter: Filter,
    /// R of the filter, from one spacing of the force mesh to half the box. A top-hat's sharp edge is made of short
    /// waves: a mesh that ends at k_Ny leaves out about 1/(k_Ny R) of the variance of Poisson points, so that it wants
    /// several spacings.
    #[schemars(extend("x-unit" = "Mpc/h"))]
    pub radius: f64,
    /// Lower edge of the first bin.
    #[schemars(extend("x-unit" = "1 + δ"))]
    pub min: f64,
    /// Upper edge of the last bin.
    #[schemars(extend("x-unit" = "1 + δ"))]
    pub max: f64,
    /// Number of bins.
    pub bins: usize,
    /// Of the edges.
    pub spacing: Spacing,
}

impl Default for PdfConfig {
    fn default() -> Self {
        PdfConfig { filter: Filter::TopHat, radius: 10.0, min: 0.1, max: 10.0, bins: 40, spacing: Spacing::Log }
    }
}

impl PdfConfig {
    /// The bins in 1 + δ.
    pub fn density_bins(&self) -> Result<Bins> {
        Bins::new("simulator.pdf", self.spacing, self.min, self.max, self.bins)
    }

    /// Refuses what cannot be measured on a mesh of `n` points per side of `box_size` Mpc/h.
    pub fn check(&self, n: usize, box_size: f64) -> Result<()> {
        let spacing = box_size / n as f64;
        if !(self.radius >= spacing * (1.0 - 1e-9) && self.radius <= 0.5 * box_size) {
            return Err(Error::input(format!("the mesh resolves {spacing:.3} Mpc/h and is {box_size} Mpc/h wide"))
                .key("simulator.pdf.radius")
                .value(self.radius)
                .remedy("choose a radius between its spacing and half its side"));
        }
        self.density_bins().map(|_| ())
    }

    /// The one-point function of 1 + δ of points by CIC, window divided out: the smoothed density at every point of the
    /// meter's mesh. Collective; every point is on its rank.
    pub fn measure<T: Real>(&self, meter: &mut DensityMeter<T>, points: Points<T>) -> Result<OnePoint> {
        self.check(meter.decomposition().shape()[0], meter.box_size())?;
        let bins = self.density_bins()?;
        let mut modes = meter.modes(points, false);
        smooth(&mut modes, meter.box_size(), self.filter, self.radius, CIC);
        let comm = meter.decomposition().comm.clone();
        let one = one_point(&comm, &bins, values(meter.inverse(&mut modes)));
        // 1 by construction: its last digits are rounding, which would differ with the number of ranks.
        Ok(OnePoint { mean: (one.mean * MEAN_STEPS).round() / MEAN_STEPS, ..one })
    }

    /// The one-point function of a map smoothed with the filter, whose radius is `theta` degrees here, on the calling
    /// rank alone (`alone` is its own group, [`Comm::alone`]).
    pub fn measure_map(&self, alone: &Comm, sky: &mut FlatSky, map: &[f64], theta: f64) -> Result<OnePoint> {
        let (bins, theta) = (self.density_bins()?, theta.to_radians());
        let smooth = sky.filtered(map, |ell| self.filter.on_sky(ell * theta))?;
        Ok(one_point(alone, &bins, smooth.into_iter()))
    }
}

/// The values at this rank's points.
fn values<T: Real>(mesh: &Mesh<T>) -> impl Iterator<Item = f64> + Clone {
    let len = mesh.block().len;
    let rows = (0..len[0]).flat_map(move |i| (0..len[1]).map(move |j| (i, j)));
    rows.flat_map(|(i, j)| mesh.row(i, j)).map(|x| x.f64())
}
