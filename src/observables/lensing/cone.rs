//! The geometry of a light cone over a square field of view on a flat sky.

use super::config::{LightConeConfig, bad};
use super::slices::{Slice, check_time, slices};
use crate::cosmology::Cosmology;
use crate::error::Result;

/// A square field of view and the slices from the observer to the farthest source.
#[derive(Debug, Clone, PartialEq)]
pub struct Cone {
    /// Side of the field in radians.
    pub field: f64,
    /// Pixels per side.
    pub pixels: usize,
    /// Side of the periodic box in Mpc/h.
    pub box_size: f64,
    /// What distances across the line of sight are those of.
    pub cosmology: Cosmology,
    /// From near to far, without gaps.
    pub slices: Vec<Slice>,
    /// Key of the campaign file that says where the farthest source is.
    sources: &'static str,
}

impl Cone {
    /// The cone of a checked `config` out to `chi_max` Mpc/h ([`super::Sources::farthest`]) through boxes of `box_size`
    /// Mpc/h. Refuses a field wider than the box unless the box may stand side by side with itself, and sources beyond
    /// a quarter of a closed universe's circumference.
    pub fn new(config: &LightConeConfig, box_size: f64, cosmology: &Cosmology, chi_max: f64) -> Result<Self> {
        let field = config.field_of_view_deg.to_radians();
        let slices = slices(config, box_size, cosmology, chi_max)?;
        let across = |chi| cosmology.transverse_distance(chi);
        let width = field * across(chi_max);
        if width > box_size && !config.replicate_across {
            let fits = ((box_size / across(chi_max)).to_degrees() * 1e3).floor() / 1e3;
            let problem = format!(
                "the field is {width:.1} Mpc/h wide at the farthest source, {chi_max:.0} Mpc/h away: wider than the box of {box_size} Mpc/h"
            );
            let remedy = format!(
                "give at most {fits:.3} degrees, nearer sources or a larger box, or set replicate_across = true to let copies of the box stand side by side"
            );
            return Err(bad("field_of_view_deg", config.field_of_view_deg, problem, &remedy));
        }
        let sources = config.farthest(cosmology, chi_max);
        Ok(Cone { field, pixels: config.pixels, box_size, cosmology: *cosmology, slices, sources })
    }

    /// Refuses a simulation from `a_start` to `a_end` that does not pass every plane's moment. Which key says where it
    /// ends the caller knows.
    pub fn check_time(&self, a_start: f64, a_end: f64) -> Result<()> {
        check_time(&self.slices, self.sources, a_start, a_end)
    }

    /// Side of a pixel in radians.
    pub fn pixel(&self) -> f64 {
        self.field / self.pixels as f64
    }

    /// Angle of the centre of pixel `i` from the field's centre, in radians.
    pub fn angle(&self, i: usize) -> f64 {
        (i as f64 + 0.5 - 0.5 * self.pixels as f64) * self.pixel()
    }
}
