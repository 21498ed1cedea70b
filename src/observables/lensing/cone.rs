//! The light cone's geometry: a square field of view on a flat sky, and the slices of distance behind it.

use super::config::{LightConeConfig, bad};
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::units::HUBBLE_DISTANCE;

/// One slice of the cone, projected onto a plane at its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// Comoving distance of the nearer face in Mpc/h.
    pub near: f64,
    /// Comoving distance of the farther face in Mpc/h.
    pub far: f64,
    /// Comoving distance χ of the plane in Mpc/h.
    pub chi: f64,
    /// Scale factor when light left the plane.
    pub a: f64,
    /// Lensing strength per overdensity times thickness, 3/2 Ωm (H0/c)² χ/a, in h/Mpc: times Σ_δ of the plane it is the
    /// convergence of sources infinitely far behind it.
    pub strength: f64,
}

impl Slice {
    /// ∫ χ² dχ in (Mpc/h)³: comoving volume per steradian.
    pub fn volume_per_steradian(&self) -> f64 {
        (self.far.powi(3) - self.near.powi(3)) / 3.0
    }
}

/// A square field of view and the slices from the observer to the farthest source.
#[derive(Debug, Clone, PartialEq)]
pub struct Cone {
    /// Side of the field in radians.
    pub field: f64,
    /// Pixels per side.
    pub pixels: usize,
    /// Side of the periodic box in Mpc/h.
    pub box_size: f64,
    /// From near to far, without gaps.
    pub slices: Vec<Slice>,
}

impl Cone {
    /// The cone of a checked `config` out to `chi_max` Mpc/h ([`super::Sources::farthest`]) through boxes of `box_size`
    /// Mpc/h. Refuses a field wider than the box unless the box may stand side by side with itself.
    pub fn new(config: &LightConeConfig, box_size: f64, cosmology: &Cosmology, chi_max: f64) -> Result<Self> {
        let field = config.field_of_view_deg.to_radians();
        let width = field * chi_max;
        if width > box_size && !config.replicate_across {
            let fits = (box_size / chi_max).to_degrees();
            let problem = format!(
                "the field is {width:.1} Mpc/h wide at the farthest source, {chi_max:.0} Mpc/h away: wider than the box of {box_size} Mpc/h"
            );
            let remedy = format!(
                "give at most {fits:.3} degrees, nearer sources or a larger box, or set replicate_across = true to let copies of the box stand side by side"
            );
            return Err(bad("field_of_view_deg", config.field_of_view_deg, problem, &remedy));
        }
        let thickness = config.thickness(box_size);
        let slice = |near: f64, far: f64| {
            let chi = 0.5 * (near + far);
            let a = cosmology.scale_factor_at(chi).unwrap_or(f64::MIN_POSITIVE);
            Slice { near, far, chi, a, strength: 1.5 * cosmology.omega_m() / HUBBLE_DISTANCE.powi(2) * chi / a }
        };
        let count = ((chi_max / thickness).ceil() as usize).max(1);
        let face = |k: usize| (k as f64 * thickness).min(chi_max);
        let slices = (0..count).map(|k| slice(face(k), face(k + 1))).collect();
        Ok(Cone { field, pixels: config.pixels, box_size, slices })
    }

    /// Refuses a simulation from `a_start` to `a_end` that does not pass every plane's moment.
    pub fn check_time(&self, a_start: f64, a_end: f64) -> Result<()> {
        let (first, last) = (self.slices[self.slices.len() - 1], self.slices[0]);
        let redshift = |a: f64| 1.0 / a - 1.0;
        if first.a <= a_start {
            let problem = format!(
                "the simulation starts at a = {a_start}, after light left the farthest plane at a = {:.4} (redshift {:.2})",
                first.a,
                redshift(first.a)
            );
            return Err(bad(
                "source_redshifts",
                redshift(first.a),
                problem,
                "lower simulator.time.a_start, or bring the sources nearer",
            ));
        }
        if last.a > a_end {
            let problem = format!(
                "the simulation ends at a = {a_end}, before light leaves the nearest plane at a = {:.4}",
                last.a
            );
            return Err(bad("plane_thickness", 2.0 * last.chi, problem, "set simulator.time.a_end = 1.0"));
        }
        Ok(())
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
