//! What the lattice, from which the particles start, does to the force mesh.
//!
//! A lattice of N³ particles is a comb of waves, the first at k_l = 2πN/L, that a mesh of M > N points sees (folded,
//! below 2N). Displaced by Ψ, each of its waves moves with Ψ: the mesh's force on it is one on the long waves of Ψ.
//! Blurred by the windows of deposit and interpolation it is small. With the windows divided out it is not, and being
//! tied to the mesh it makes long waves grow at a wrong rate: in 1000 Mpc/h with 64³ particles, P(k) at z = 0 of the
//! fifth bin is 1.5 times linear theory's at M = 2N, 0.87 times at 3N.

use super::config::PmConfig;
use crate::error::{Error, Result};
use crate::fields::kernels::{Smoothing, assignment_window};
use std::f64::consts::{PI, TAU};

/// A sharp cut must leave out the lattice's first wave together with the long waves that are told by its sides.
const CUT: f64 = 0.75;

impl PmConfig {
    /// Index of the lattice's first wave on the mesh; 0 where each cell has a particle, and nothing is seen of it.
    fn lattice_wave(&self) -> usize {
        let wave = self.particles % self.mesh();
        wave.min(self.mesh() - wave)
    }

    /// Refuses a force whose windows are divided out where the lattice is.
    pub(super) fn check_deconvolution(&self) -> Result<()> {
        let (force, wave) = (&self.force, self.lattice_wave());
        if !force.deconvolve || wave == 0 {
            return Ok(());
        }
        let k = TAU / self.box_size * wave as f64;
        let window = assignment_window(2 * force.assignment.order(), wave as i64, self.mesh());
        let tamed = match force.smoothing {
            None => false,
            Some(Smoothing::Gaussian { radius }) => (-0.5 * (k * radius).powi(2)).exp() <= window,
            Some(Smoothing::SharpK { k_max }) => k_max <= CUT * k * (1.0 + 1e-9),
        };
        if tamed {
            return Ok(());
        }
        let radius = (-2.0 * window.ln()).sqrt() / k;
        let problem = format!(
            "amplifies the particles' own lattice, at k = {k:.4} h/Mpc on this mesh, unless a smoothing takes it away: \
             long waves would grow at a wrong rate"
        );
        let remedy = format!(
            "set simulator.force.smoothing = {{ kind = \"sharp-k\", k_max = {:.4} }} (at most {:.4}; or a gaussian of \
             radius {radius:.2} Mpc/h or more), or leave deconvolve out",
            floor4(0.5 * k),
            floor4(CUT * k),
        );
        Err(Error::input(problem).key("simulator.force.deconvolve").value(true).remedy(remedy))
    }

    /// Where lattice and mesh beat at a wavelength that the particles resolve. The second wave, 2N, folds to M − 2N,
    /// which is at or below the particles' Nyquist wavenumber for M up to 2.5 N, but the windows leave nothing of it:
    /// P(k) at M = 2.25 N is that of 2N to 0.3% there (64³ particles in 512 and 128 Mpc/h at z = 9), and has no spike
    /// at 2.5 N or 2.75 N either.
    pub(super) fn lattice_warning(&self) -> Option<String> {
        let (wave, factor) = (self.lattice_wave(), self.mesh_factor);
        (wave > 0 && 2 * wave < self.particles).then(|| {
            format!(
                "simulator.mesh_factor = {factor:?}: the particles' lattice and the mesh beat at k = {:.4} h/Mpc, below \
                 the particles' Nyquist wavenumber of {:.4}, where P(k) comes out several times too large; at 1.0, 2.0 \
                 and 3.0 they do not",
                TAU / self.box_size * wave as f64,
                PI / self.box_size * self.particles as f64
            )
        })
    }
}

/// Rounded down to four digits behind the point, as it is printed, so that what is advised is allowed.
fn floor4(x: f64) -> f64 {
    (1e4 * x).floor() / 1e4
}
