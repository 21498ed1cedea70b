//! What a universe's particles and pixels resolve.

use super::config::PmConfig;
use crate::cosmology::Cosmology;
use crate::simulators::budget::Line;
use std::f64::consts::PI;

/// Lines of the plan: a word and what it is.
pub fn lines(pm: &PmConfig, cosmology: &Cosmology) -> Vec<Line> {
    let l = pm.box_size;
    let spacing = l / pm.particles as f64;
    let mass = cosmology.mean_cold_density() * spacing.powi(3);
    let mut all = vec![
        ("resolution", format!("{spacing:.3} Mpc/h between particles, Nyquist wavenumber {:.3} h/Mpc", PI / spacing)),
        ("particle mass", format!("{mass:.3e} Msun/h")),
    ];
    if pm.halos.is_some() || pm.mass_function.is_some() || pm.galaxies.is_some() {
        let members = pm.halos.clone().unwrap_or_default().min_members;
        let least = mass * members as f64;
        let log = least.log10();
        all.push(("smallest halo", format!("{least:.3e} Msun/h (log10 {log:.2}), {members} particles")));
    }
    let mut pixel = |what: &'static str, n: usize| {
        let side = l / n as f64;
        all.push((what, format!("{side:.3} Mpc/h, Nyquist wavenumber {:.3} h/Mpc", PI / side)));
    };
    pm.maps.iter().for_each(|c| pixel("pixels of maps", c.pixels));
    pm.density.iter().for_each(|c| pixel("points of density", c.points));
    if let Some(nside) = pm.lightcone.as_ref().and_then(|cone| cone.nside) {
        let pixel = (4.0 * PI / 12.0).sqrt().to_degrees() * 60.0 / nside as f64;
        all.push(("pixels of light cones", format!("{pixel:.3} arcmin, HEALPix of nside {nside}")));
    } else if let Some(cone) = &pm.lightcone {
        let pixel = 60.0 * cone.field_of_view_deg / cone.pixels as f64;
        let ell = |degrees: f64| 2.0 * PI / degrees.to_radians();
        let (first, last) = (ell(cone.field_of_view_deg), ell(2.0 * cone.field_of_view_deg / cone.pixels as f64));
        all.push(("pixels of light cones", format!("{pixel:.3} arcmin, ℓ from {first:.0} to {last:.0} (Nyquist)")));
    }
    all
}
