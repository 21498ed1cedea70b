//! The light cone's geometry: a square field of view on a flat sky, and the slices of distance behind it.

use super::config::{LightConeConfig, bad};
use super::sources::strength;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::limits;
use gauss_quad::GaussLegendre;
use std::f64::consts::FRAC_PI_2;
use std::num::NonZeroUsize;

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
    /// ∫ f_K² dχ in (Mpc/h)³: comoving volume per steradian.
    pub volume: f64,
    /// Lensing strength per overdensity times thickness, 3/2 Ωm (H0/c)² f_K(χ)/a, in h/Mpc: times Σ_δ of the plane and
    /// the [efficiency](super::Sources::efficiency) of sources it is what the plane adds to their convergence.
    pub strength: f64,
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
        let listed = |z: &f64| cosmology.comoving_distance(1.0 / (1.0 + z)) >= chi_max * (1.0 - 1e-9);
        let sources = match config.source_redshifts.iter().any(listed) {
            true => "simulator.lightcone.source_redshifts",
            false => "simulator.lightcone.n_of_z",
        };
        let quarter = FRAC_PI_2 * cosmology.curvature_radius();
        if cosmology.omega_k() < 0.0 && chi_max > quarter {
            let problem = format!(
                "the farthest source is {chi_max:.0} Mpc/h away, beyond a quarter of this closed universe's circumference, {quarter:.0} Mpc/h: from there on the sky holds less and less space"
            );
            let remedy = "bring the sources nearer, or Omega_k closer to 0";
            return Err(Error::input(problem).key(sources).remedy(remedy));
        }
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
        let thickness = config.thickness(box_size);
        let rule = GaussLegendre::new(const { NonZeroUsize::new(8).unwrap() });
        let slice = |near: f64, far: f64| {
            let chi = 0.5 * (near + far);
            let a = cosmology.scale_factor_at(chi).unwrap_or(f64::MIN_POSITIVE);
            let volume = rule.integrate(near, far, |chi| across(chi).powi(2));
            Slice { near, far, chi, a, volume, strength: strength(cosmology, chi) }
        };
        let count = ((chi_max / thickness).ceil() as usize).max(1);
        if count > limits::PLANES {
            let problem = format!("cuts the light cone into {count} slices, of which {} are allowed", limits::PLANES);
            return Err(bad("plane_thickness", thickness, problem, "give thicker slices, or a larger box"));
        }
        let face = |k: usize| (k as f64 * thickness).min(chi_max);
        let slices = (0..count).map(|k| slice(face(k), face(k + 1))).collect();
        Ok(Cone { field, pixels: config.pixels, box_size, cosmology: *cosmology, slices, sources })
    }

    /// Refuses a simulation from `a_start` to `a_end` that does not pass every plane's moment. Which key says where it
    /// ends the caller knows.
    pub fn check_time(&self, a_start: f64, a_end: f64) -> Result<()> {
        let (first, last) = (self.slices[self.slices.len() - 1], self.slices[0]);
        let redshift = |a: f64| 1.0 / a - 1.0;
        if first.a <= a_start {
            let problem = format!(
                "the steps start at a = {a_start} (redshift {:.2}), after light left the farthest plane at a = {:.4} (redshift {:.2})",
                redshift(a_start),
                first.a,
                redshift(first.a)
            );
            let earlier = (first.a * 1e3).floor() / 1e3;
            let remedy = format!(
                "start the steps at a = {earlier} or before (simulator.time.a_start, or the first of scale_factors), or bring the sources nearer"
            );
            return Err(Error::input(problem).key(self.sources).remedy(remedy));
        }
        if last.a > a_end {
            return Err(Error::input(format!(
                "the light cone's steps end at a_end = {a_end:.4}, before light leaves its nearest plane at a = {:.4}",
                last.a
            )));
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
