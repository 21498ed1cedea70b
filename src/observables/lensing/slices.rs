//! Slices of distance along a light cone.

use super::config::{LightConeConfig, bad};
use super::sources::strength;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::limits;
use gauss_quad::GaussLegendre;
use std::f64::consts::FRAC_PI_2;
use std::num::NonZeroUsize;

/// One slice of a cone, projected onto a plane at its middle; on the sphere onto a shell.
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

impl LightConeConfig {
    /// The key that says where the farthest source is.
    pub(super) fn farthest(&self, cosmology: &Cosmology, chi_max: f64) -> &'static str {
        let listed = |z: &f64| cosmology.comoving_distance(1.0 / (1.0 + z)) >= chi_max * (1.0 - 1e-9);
        match self.source_redshifts.iter().any(listed) {
            true => "simulator.lightcone.source_redshifts",
            false => "simulator.lightcone.n_of_z",
        }
    }
}

/// The slices of a checked `config` out to `chi_max` Mpc/h, from near to far, without gaps. Refuses sources beyond a
/// quarter of a closed universe's circumference, and more slices than are allowed.
pub(super) fn slices(
    config: &LightConeConfig,
    box_size: f64,
    cosmology: &Cosmology,
    chi_max: f64,
) -> Result<Vec<Slice>> {
    let quarter = FRAC_PI_2 * cosmology.curvature_radius();
    if cosmology.omega_k() < 0.0 && chi_max > quarter {
        let problem = format!(
            "the farthest source is {chi_max:.0} Mpc/h away, beyond a quarter of this closed universe's circumference, {quarter:.0} Mpc/h: from there on the sky holds less and less space"
        );
        let remedy = "bring the sources nearer, or Omega_k closer to 0";
        return Err(Error::input(problem).key(config.farthest(cosmology, chi_max)).remedy(remedy));
    }
    let across = |chi| cosmology.transverse_distance(chi);
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
    Ok((0..count).map(|k| slice(face(k), face(k + 1))).collect())
}

/// Refuses a simulation from `a_start` to `a_end` that does not pass every slice's moment; `sources` is the key that
/// says where the farthest source is. Which key says where the simulation ends the caller knows.
pub(super) fn check_time(slices: &[Slice], sources: &str, a_start: f64, a_end: f64) -> Result<()> {
    let (first, last) = (slices[slices.len() - 1], slices[0]);
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
        return Err(Error::input(problem).key(sources).remedy(remedy));
    }
    if last.a > a_end {
        return Err(Error::input(format!(
            "the light cone's steps end at a_end = {a_end:.4}, before light leaves its nearest plane at a = {:.4}",
            last.a
        )));
    }
    Ok(())
}
