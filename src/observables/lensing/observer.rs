//! The light cone as an observer of the evolve loop.

use super::{Cone, Planes, Replicas, Slice};
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::NeutrinoResponse;
use crate::error::Result;
use crate::fields::flat_sky::FlatSky;
use crate::gravity::{Factor, Observer, Row};
use crate::mesh::Real;
use crate::particles::Particles;

/// Projects particles onto lens planes while the simulation passes the moments when light left them.
///
/// The observer stands on the line of sight through the box's centre, along axis 2 of each [replica](Replicas). A
/// particle at comoving distance χ in [near, far) of a slice and x_⊥ from the line of sight is seen at θ = x_⊥/f_K(χ)
/// and counted in the pixel it falls into (nearest grid point: maps are averages over pixels, with the Fourier window
/// sinc(ℓ_1 Δ/2) sinc(ℓ_2 Δ/2) of pixels of side Δ). With n̄ particles per volume a pixel of solid angle Ω expects N̄ =
/// n̄ Ω ∫ f_K² dχ of them, and the plane holds
///
/// Σ_δ = (far − near) (N/N̄ − 1) ≈ ∫ δ dχ,   with shot noise C_ℓ = (far − near)² / (n̄ ∫ f_K² dχ).
///
/// Counts are whole numbers, so their sum over ranks is exact.
///
/// Beside massive [neutrinos](Self::neutrinos) particles show the other matter, and light is deflected by all. Across
/// the line of sight ℓ = k f_K(χ), and the plane is multiplied in Fourier space by the δ_m/δ_cb that the force has,
///
/// Σ_δ(ℓ) → [f_cb + f_ν δ_ν/δ_cb](k = |ℓ|/f_K(χ), a) Σ_δ(ℓ),
///
/// (the linear response of Ali-Haïmoud & Bird 2013), shot noise by its square. The field is taken as periodic for this.
/// The factor goes smoothly from 1 on large scales to f_cb = 1 − f_ν below free streaming, so that only the part f_ν of
/// the plane is smoothed, and only that part knows, within a free-streaming length of an edge, the opposite one.
pub struct LightCone<F> {
    planes: Planes,
    replicas: Replicas,
    total: u64,
    drift: F,
    /// Massive neutrinos, where there are some.
    pub neutrinos: Option<NeutrinoResponse>,
}

impl<F: Fn(f64, f64, f64) -> Factor> LightCone<F> {
    /// An observer of `total` particles over all ranks. `drift(from, at, to)` is the integrator's drift factor
    /// ([`crate::gravity::Factors::drift`]): within a drift particles keep their momentum, so they are taken back from
    /// its end to the plane's moment by the same rule that moved them.
    pub fn new(comm: &Comm, cone: Cone, replicas: Replicas, total: u64, drift: F) -> Self {
        LightCone { planes: Planes::new(comm, cone), replicas, total, drift, neutrinos: None }
    }

    /// The planes; fails if the simulation did not pass all of them.
    pub fn finish(self) -> Result<Planes> {
        self.planes.complete()
    }

    /// What has been seen so far.
    pub fn planes(&self) -> &Planes {
        &self.planes
    }

    /// Puts back what had been seen before an interruption.
    pub fn planes_mut(&mut self) -> &mut Planes {
        &mut self.planes
    }

    /// Number of this rank's particles, at positions as they were before the drift by `back`, in each pixel.
    fn project<T: Real>(&self, slice: &Slice, particles: &Particles<T>, back: Factor) -> Vec<f64> {
        let Factor { force, lpt: [c1, c2] } = back;
        let psi = particles.psi.as_ref().filter(|_| back.lpt != [0.0; 2]);
        let drifted = |i: usize, d: usize| {
            let around = psi.map_or(0.0, |[psi1, psi2]| c1 * psi1[i][d].f64() + c2 * psi2[i][d].f64());
            force * particles.momentum[i][d].f64() + around
        };
        let cone = self.planes.cone();
        let mut counts = vec![0f64; cone.pixels.pow(2)];
        let l = cone.box_size;
        let (first, end) = ((slice.near / l) as u32, (slice.far / l).ceil() as u32);
        for index in first..end {
            let replica = self.replicas.at(index);
            for (i, x) in particles.position.iter().enumerate() {
                let coordinate = |d| replica.coordinate(d, l, |d| x[d].f64() - drifted(i, d));
                let chi = f64::from(index) * l + coordinate(2);
                if chi >= slice.near && chi < slice.far {
                    cone.count(&mut counts, [coordinate(0) - 0.5 * l, coordinate(1) - 0.5 * l], chi);
                }
            }
        }
        counts
    }

    /// Σ_δ from counts.
    fn overdensity(&self, slice: &Slice, counts: &mut [f64]) {
        let cone = self.planes.cone();
        let density = self.total as f64 / cone.box_size.powi(3);
        let mean = density * cone.pixel().powi(2) * slice.volume;
        let thickness = slice.far - slice.near;
        counts.iter_mut().for_each(|n| *n = thickness * (*n / mean - 1.0));
    }

    /// Σ_δ of all matter from that of what the particles stand for.
    fn with_neutrinos(&self, slice: &Slice, sigma: Vec<f64>) -> Result<Vec<f64>> {
        let Some(neutrinos) = &self.neutrinos else { return Ok(sigma) };
        let cone = self.planes.cone();
        let (across, factor) = (cone.cosmology.transverse_distance(slice.chi), neutrinos.factor_at(slice.a));
        FlatSky::new(cone.pixels, cone.field.to_degrees())?.filtered(&sigma, |ell| factor(ell / across))
    }
}

impl Cone {
    /// Counts a particle at comoving distance `chi` and `across` the line of sight, −L/2 to L/2, in every pixel that it
    /// or a copy of it a number of boxes aside falls into.
    #[inline(always)]
    fn count(&self, counts: &mut [f64], across: [f64; 2], chi: f64) {
        let (l, n) = (self.box_size, self.pixels);
        let half = 0.5 * self.cosmology.transverse_distance(chi) * self.field;
        let copies = (half / l + 0.5).floor() as i64;
        let pixel = |x: f64| {
            let i = ((0.5 + 0.5 * x / half) * n as f64).floor();
            (i >= 0.0 && i < n as f64).then_some(i as usize)
        };
        for a in -copies..=copies {
            let Some(i) = pixel(across[0] + a as f64 * l) else { continue };
            for b in -copies..=copies {
                if let Some(j) = pixel(across[1] + b as f64 * l) {
                    counts[i * n + j] += 1.0;
                }
            }
        }
    }
}

impl<T: Real, F: Fn(f64, f64, f64) -> Factor> Observer<T> for LightCone<F> {
    fn after(&mut self, _: usize, row: &Row, particles: &Particles<T>, _: &mut Timers) -> Result<()> {
        let Row::Drift { from, at, to, .. } = *row else { return Ok(()) };
        for k in 0..self.planes.len() {
            let slice = self.planes.cone().slices[k];
            if slice.a > from && slice.a <= to {
                let back = (self.drift)(slice.a, at, to);
                let mut counts = self.project(&slice, particles, back);
                self.planes.comm.sum(&mut counts);
                self.overdensity(&slice, &mut counts);
                let sigma = self.with_neutrinos(&slice, counts)?;
                self.planes.put(k, sigma);
            }
        }
        Ok(())
    }
}
