//! The particle-mesh force: deposit, Poisson's equation in Fourier space, gradient in real space at the particles.

use crate::comm::timers::Timers;
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};
use crate::particles::{Domain, Particles, deposit_cic, interpolate_gradient};

/// Layers around a block that the force reads.
pub const FORCE_HALO: Halo = Halo { lo: 2, hi: 3 };

/// The force mesh with its buffers: made once, used every step.
pub struct Force<T: Real> {
    pub fft: Fft<T>,
    /// Scratch between steps; 1 + δ after [`Force::density`].
    pub mesh: Mesh<T>,
    modes: Modes<T>,
    wave: Wavenumbers,
    domain: Domain,
    box_size: f64,
    /// Mean number of mesh cells per particle.
    weight: f64,
}

impl<T: Real> Force<T> {
    /// A force mesh over a cube of `box_size` Mpc/h for `particles` particles in all.
    pub fn new(d: &Decomposition, box_size: f64, particles: u64) -> Self {
        let fft = Fft::new(d, FORCE_HALO, Transform::Fast);
        let (mesh, modes) = (fft.mesh(), fft.modes());
        let wave = Wavenumbers::new(d.shape(), box_size, Gradient::FourPoint);
        let weight = d.volume() as f64 / particles as f64;
        Force { mesh, modes, wave, domain: Domain::new(d, box_size), box_size, weight, fft }
    }

    /// Sends particles to the ranks they lie on. Collective.
    pub fn exchange(&self, particles: &mut Particles<T>) {
        self.domain.exchange(particles);
    }

    /// Fills the mesh with 1 + δ, positions shifted by `shift` cells. Collective.
    pub fn density(&mut self, particles: &Particles<T>, shift: f64) -> &mut Mesh<T> {
        let d = self.fft.decomposition().clone();
        deposit_cic(&mut self.mesh, &d, &particles.position, self.box_size, self.weight, shift);
        &mut self.mesh
    }

    /// Accelerations −∇φ with ∇²φ = δ of every particle (CIC, −1/k² Green's function, four-point gradient, as FastPM's
    /// kernel `1_4`). Two transforms per call. Collective; every particle is on its rank.
    pub fn accelerations(&mut self, particles: &mut Particles<T>, timers: &mut Timers) {
        let d = self.fft.decomposition().clone();
        timers.time("deposit", || _ = self.density(particles, 0.0));
        timers.time("fft", || self.fft.forward(&mut self.mesh, &mut self.modes));
        timers.time("kernel", || self.wave.inverse_k2(&mut self.modes, -1.0 / d.volume() as f64));
        timers.time("fft", || self.fft.inverse(&mut self.modes, &mut self.mesh));
        timers.time("halo", || self.mesh.fill_halo(&d));
        let (position, out) = (&particles.position, &mut particles.acceleration);
        timers.time("interpolate", || interpolate_gradient(&self.mesh, &d, position, self.box_size, out));
    }
}
