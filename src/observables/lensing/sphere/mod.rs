//! The light cone on the sphere.
//!
//! An observer stands in a corner of the periodic box and looks into all directions; copies of the box fill the space
//! out to the farthest source. Slices of distance are shells. As along a flat sky's line of sight, every layer of one
//! box length in distance has a [replica](super::Replicas) of its own.

mod copies;
mod layout;
mod observer;
mod planes;

pub use layout::SkyLayout;
pub use observer::SkyLightCone;
pub use planes::{SkyPlanes, add_sky_noise};

use super::config::{LightConeConfig, Region, bad};
use super::slices::{Slice, check_time, slices};
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::sphere::{Footprint, Rings};

/// Boxes from the observer to the farthest source.
const BOXES: f64 = 64.0;

/// What is seen of the sphere, and the shells from the observer to the farthest source.
#[derive(Debug, Clone, PartialEq)]
pub struct SkyCone {
    /// The pixels that are looked at.
    pub footprint: Footprint,
    /// Side of the periodic box in Mpc/h.
    pub box_size: f64,
    pub cosmology: Cosmology,
    /// From near to far, without gaps.
    pub slices: Vec<Slice>,
    /// Key of the campaign file that says where the farthest source is.
    sources: &'static str,
}

impl SkyCone {
    /// The cone of a checked `config` with `nside` over the pixels of `footprint`, out to `chi_max` Mpc/h through
    /// boxes of `box_size` Mpc/h. Refuses curved space, and spheres that are wider than the box unless it may stand
    /// side by side with itself.
    pub fn new(
        config: &LightConeConfig,
        footprint: Footprint,
        box_size: f64,
        cosmology: &Cosmology,
        chi_max: f64,
    ) -> Result<Self> {
        if cosmology.omega_k() != 0.0 {
            let error = Error::input("copies of a box fill the sky of a flat universe alone").key("cosmology.Omega_k");
            let remedy = "set it to 0, or take a field of view in the place of nside";
            return Err(error.value(cosmology.omega_k()).remedy(remedy));
        }
        let width = if config.footprint == Region::Octant { chi_max } else { 2.0 * chi_max };
        if width > box_size && !config.replicate_across {
            let problem = format!(
                "the sphere of sources is {width:.1} Mpc/h wide, wider than the box of {box_size} Mpc/h: copies of it would stand side by side, and structures be seen several times"
            );
            let remedy = "set replicate_across = true to allow this, or give nearer sources or a larger box";
            return Err(bad("replicate_across", false, problem, remedy));
        }
        if chi_max > BOXES * box_size {
            let problem = format!(
                "the farthest source is {chi_max:.0} Mpc/h away, {:.0} boxes of {box_size} Mpc/h: {BOXES} are allowed",
                chi_max / box_size
            );
            let remedy = "bring the sources nearer, or take a larger box";
            return Err(Error::input(problem).key(config.farthest(cosmology, chi_max)).remedy(remedy));
        }
        let slices = slices(config, box_size, cosmology, chi_max)?;
        let sources = config.farthest(cosmology, chi_max);
        Ok(SkyCone { footprint, box_size, cosmology: *cosmology, slices, sources })
    }

    /// Refuses a simulation from `a_start` to `a_end` that does not pass every shell's moment.
    pub fn check_time(&self, a_start: f64, a_end: f64) -> Result<()> {
        check_time(&self.slices, self.sources, a_start, a_end)
    }

    /// How often, in the mean, the farthest shell shows each part of the box.
    pub fn repeats(&self) -> f64 {
        let last = self.slices[self.slices.len() - 1];
        let seen = self.footprint.count() as f64 / self.footprint.rings().pixels() as f64;
        let layer = (last.far.powi(3) - (last.far - self.box_size).max(0.0).powi(3)) / 3.0;
        4.0 * std::f64::consts::PI * seen * layer / self.box_size.powi(3)
    }
}

impl LightConeConfig {
    /// The pixels that maps of the sphere have; `mask` is the footprint's, where it is one of a file.
    pub fn footprint(&self, mask: Option<&[f64]>) -> Result<Footprint> {
        let rings = Rings::new(self.nside.unwrap_or_default()).map_err(|e| e.key("simulator.lightcone.nside"))?;
        self.footprint.of(rings, mask).map_err(|e| e.key("simulator.lightcone.footprint"))
    }
}

impl Region {
    /// Its pixels of maps of these rings; `mask` is that of its file. Refuses to see none.
    pub fn of(&self, rings: Rings, mask: Option<&[f64]>) -> Result<Footprint> {
        let footprint = match (self, mask) {
            (Region::Mask(_), Some(mask)) => Footprint::of(rings, |p| mask[p] > 0.0),
            (Region::Octant, _) => Footprint::octant(rings),
            _ => Footprint::whole(rings),
        };
        match footprint.count() {
            0 => Err(Error::input("has no pixel").value(self).remedy("give a larger nside, or another footprint")),
            _ => Ok(footprint),
        }
    }
}
