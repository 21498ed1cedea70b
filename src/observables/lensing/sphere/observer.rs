//! The light cone on the sphere as an observer of the evolve loop.

use super::copies::Copies;
use super::{SkyCone, SkyPlanes};
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::NeutrinoResponse;
use crate::error::Result;
use crate::gravity::{Factor, Observer, Row};
use crate::mesh::Real;
use crate::observables::lensing::{Replicas, Slice};
use crate::particles::Particles;
use std::f64::consts::PI;

/// Particles that are seen before they are sent to their pixels' ranks.
const AT_ONCE: usize = 1 << 20;

/// Projects particles onto shells while the simulation passes the moments when light left them, as
/// [`LightCone`](crate::observables::lensing::LightCone) onto planes.
///
/// A particle of any copy of the box at comoving distance near ≤ χ < far is counted in the pixel it falls into: maps
/// are averages over pixels, with HEALPix's pixel window. With n̄ particles per volume a pixel expects N̄ = n̄ 4π/N_pix
/// ∫ χ² dχ of them, and the shell holds Σ_δ = (far − near) (N/N̄ − 1), with shot noise (far − near)² / (n̄ ∫ χ² dχ).
/// Counts are whole numbers, so their sum over ranks is exact.
///
/// Beside massive [neutrinos](Self::neutrinos) every multipole ℓ ≤ 2 nside of a shell is multiplied by δ_m/δ_cb at
/// k = ℓ/χ, and smaller scales by what it is at the last. Outside of a footprint there is mean density for this.
pub struct SkyLightCone<F> {
    planes: SkyPlanes,
    replicas: Replicas,
    total: u64,
    drift: F,
    /// Massive neutrinos, where there are some.
    pub neutrinos: Option<NeutrinoResponse>,
}

impl<F: Fn(f64, f64, f64) -> Factor> SkyLightCone<F> {
    /// An observer of `total` particles over all ranks; `drift` as in
    /// [`LightCone::new`](crate::observables::lensing::LightCone::new).
    pub fn new(comm: &Comm, cone: SkyCone, replicas: Replicas, total: u64, drift: F) -> Self {
        SkyLightCone { planes: SkyPlanes::new(comm, cone), replicas, total, drift, neutrinos: None }
    }

    /// The shells; fails if the simulation did not pass all of them.
    pub fn finish(self) -> Result<SkyPlanes> {
        self.planes.complete()
    }

    /// What has been seen so far.
    pub fn planes(&self) -> &SkyPlanes {
        &self.planes
    }

    /// Puts back what had been seen before an interruption.
    pub fn planes_mut(&mut self) -> &mut SkyPlanes {
        &mut self.planes
    }

    /// Number of all ranks' particles, at positions as they were before the drift by `back`, in each of this rank's
    /// pixels. Collective.
    fn project<T: Real>(&self, slice: &Slice, particles: &Particles<T>, back: Factor) -> Vec<u32> {
        let Factor { force, lpt: [c1, c2] } = back;
        let psi = particles.psi.as_ref().filter(|_| back.lpt != [0.0; 2]);
        let position = |i: usize, d: usize| {
            let around = psi.map_or(0.0, |[psi1, psi2]| c1 * psi1[i][d].f64() + c2 * psi2[i][d].f64());
            particles.position[i][d].f64() - (force * particles.momentum[i][d].f64() + around)
        };
        let (comm, own) = (&self.planes.comm, self.planes.places());
        let starts: Vec<u64> = comm.all_gather(&[own.start as u64]);
        let mut counts = vec![0; own.len()];
        let mut copies = Copies::new(self.planes.cone(), *slice, self.replicas, particles.len(), position);
        let mut seen = vec![];
        loop {
            let more = copies.next(&mut seen, AT_ONCE);
            let mut count = |seen: &[u32]| seen.iter().for_each(|&place| counts[place as usize - own.start] += 1);
            if comm.size() == 1 {
                count(&seen);
            } else {
                let mut of: Vec<Vec<u32>> = vec![vec![]; comm.size()];
                seen.iter().for_each(|&p| of[starts.partition_point(|&s| s <= u64::from(p)) - 1].push(p));
                let lengths: Vec<usize> = of.iter().map(Vec::len).collect();
                count(&comm.exchange(&of.concat(), &lengths).0);
            }
            seen.clear();
            if !comm.any(more) {
                return counts;
            }
        }
    }

    /// Σ_δ from counts.
    fn overdensity(&self, slice: &Slice, counts: &[u32]) -> Vec<f64> {
        let cone = self.planes.cone();
        let density = self.total as f64 / cone.box_size.powi(3);
        let mean = density * 4.0 * PI / cone.footprint.rings().pixels() as f64 * slice.volume;
        counts.iter().map(|n| (slice.far - slice.near) * (f64::from(*n) / mean - 1.0)).collect()
    }

    /// Σ_δ of all matter from that of what the particles stand for. Collective.
    fn with_neutrinos(&self, slice: &Slice, sigma: Vec<f64>) -> Result<Vec<f64>> {
        let Some(neutrinos) = &self.neutrinos else { return Ok(sigma) };
        let factor = neutrinos.factor_at(slice.a);
        self.planes.filtered(sigma, |ell| factor(ell / slice.chi))
    }
}

impl<T: Real, F: Fn(f64, f64, f64) -> Factor> Observer<T> for SkyLightCone<F> {
    fn after(&mut self, _: usize, row: &Row, particles: &Particles<T>, _: &mut Timers) -> Result<()> {
        let Row::Drift { from, at, to, .. } = *row else { return Ok(()) };
        for k in 0..self.planes.len() {
            let slice = self.planes.cone().slices[k];
            if slice.a > from && slice.a <= to {
                let back = (self.drift)(slice.a, at, to);
                let counts = self.project(&slice, particles, back);
                let sigma = self.with_neutrinos(&slice, self.overdensity(&slice, &counts))?;
                self.planes.put(k, sigma.iter().map(|x| *x as f32).collect());
            }
        }
        Ok(())
    }
}
