//! Redshift space: positions displaced along a line of sight, and the multipoles of their power spectrum.

use super::density::{CIC, DensityMeter};
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::fields::multipoles::{Multipoles, measure_multipoles};
use crate::mesh::{Decomposition, Real};
use crate::particles::{Domain, Points, wrap};
use crate::units::H100;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The direction that distances are measured along, the same for all particles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineOfSight {
    X,
    Y,
    #[default]
    Z,
    /// Each in turn; the mean of the three is kept.
    All,
}

impl LineOfSight {
    /// Index of the first axis, and of the others.
    pub fn axes(self) -> (usize, &'static [usize]) {
        match self {
            LineOfSight::X => (0, &[]),
            LineOfSight::Y => (1, &[]),
            LineOfSight::Z => (2, &[]),
            LineOfSight::All => (0, &[1, 2]),
        }
    }
}

/// `[simulator.multipoles]`: multipoles ℓ = 0, 2, 4 of the power spectrum in redshift space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultipoleConfig {
    /// Line of sight; `"all"` for the mean of the three, at three times the work.
    pub axis: LineOfSight,
    /// As for `power`.
    pub interlaced: bool,
    /// Subtracts V/N from the monopole.
    pub subtract_shot_noise: bool,
    /// As for `power`.
    pub k_max_over_nyquist: f64,
}

impl Default for MultipoleConfig {
    fn default() -> Self {
        let axis = LineOfSight::default();
        MultipoleConfig { axis, interlaced: true, subtract_shot_noise: false, k_max_over_nyquist: 1.0 }
    }
}

impl MultipoleConfig {
    /// Refuses a range without bins.
    pub fn check(&self) -> Result<()> {
        if self.k_max_over_nyquist > 0.0 && self.k_max_over_nyquist.is_finite() {
            return Ok(());
        }
        Err(Error::input("must be positive")
            .key("simulator.multipoles.k_max_over_nyquist")
            .value(self.k_max_over_nyquist)
            .remedy("1.0 keeps all that the particles resolve"))
    }
}

/// What turns a vector that belongs to each particle into its displacement in redshift space: s = x + v/(aH) along the
/// line of sight (Kaiser 1987), s and x comoving in Mpc/h.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RedshiftSpace(f64);

impl RedshiftSpace {
    /// For peculiar velocities v in km/s: 1/(aH) with H = 100 E(a) km/s/(Mpc/h).
    pub fn of_velocities(cosmology: &Cosmology, a: f64) -> Self {
        RedshiftSpace(1.0 / (a * cosmology.hubble(a)))
    }

    /// For the momenta p of [`crate::particles::Particles`]: v = 100 p/a km/s, so that s = x + p/(a² E).
    pub fn of_momenta(cosmology: &Cosmology, a: f64) -> Self {
        RedshiftSpace(Self::of_velocities(cosmology, a).0 * H100 / a)
    }

    /// s = x + factor · `motion` along `axis`, wrapped into the box.
    pub fn displaced<T: Real>(self, position: &[[T; 3]], motion: &[[T; 3]], axis: usize, box_size: f64) -> Vec<[T; 3]> {
        let (factor, l) = (T::of(self.0), T::of(box_size));
        let displace = |(x, v): (&[T; 3], &[T; 3])| {
            let mut s = *x;
            s[axis] = wrap(x[axis] + factor * v[axis], l);
            s
        };
        position.iter().zip(motion).map(displace).collect()
    }
}

/// Measures multipoles on one mesh: made once, used for every output.
pub struct MultipoleMeter<T: Real> {
    density: DensityMeter<T>,
    domain: Domain,
}

impl<T: Real> MultipoleMeter<T> {
    /// A meter on the mesh of `d` over a cube of `box_size` Mpc/h.
    pub fn new(d: &Decomposition, box_size: f64) -> Self {
        MultipoleMeter { density: DensityMeter::new(d, box_size), domain: Domain::new(d, box_size) }
    }

    /// P_ℓ(k) of points by CIC, window divided out, in redshift space: `motion` is a vector for each point, in the unit
    /// that `space` is made for. Collective.
    pub fn measure(
        &mut self,
        config: &MultipoleConfig,
        points: Points<T>,
        motion: &[[T; 3]],
        space: RedshiftSpace,
    ) -> Multipoles {
        let (box_size, comm) = (self.density.box_size(), self.density.decomposition().comm.clone());
        let noise = if config.subtract_shot_noise { self.density.shot_noise(points) } else { 0.0 };
        let mut one = |axis: usize| {
            let displaced = space.displaced(points.position, motion, axis, box_size);
            let (position, weight) = self.domain.send_home(&comm, displaced, points.weight.map(<[T]>::to_vec));
            let points = Points { position: &position, weight: weight.as_deref() };
            let mut modes = self.density.modes(points, config.interlaced);
            measure_multipoles(&mut modes, box_size, axis, CIC, noise, &comm)
        };
        let (first, others) = config.axis.axes();
        let (first, others) = (one(first), others.iter().map(|&axis| one(axis)).collect::<Vec<_>>());
        Multipoles::mean(first, &others)
    }
}
