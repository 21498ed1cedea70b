//! The particle-mesh force: deposit, Poisson's equation in Fourier space, gradient, interpolation to the particles.

use crate::comm::timers::Timers;
use crate::cosmology::NeutrinoResponse;
use crate::error::{Error, Result};
use crate::fields::kernels::{Filter, Gradient, Smoothing, Wavenumbers};
use crate::mesh::{Complex, Decomposition, Fft, Mesh, Modes, Real, Transform};
use crate::particles::{Assignment, Domain, Particles, deposit, gradient_halo, interpolate, interpolate_gradient};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[simulator.force]`: the kernel of the particle-mesh force. The default is FastPM's `1_4`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForceConfig {
    /// Deposit and interpolation.
    pub assignment: Assignment,
    /// `"four-point"`: the potential is differenced at the particles (one inverse transform). `"spectral"`: ik, three.
    pub gradient: Gradient,
    /// Divides the windows of deposit and interpolation out of the potential. Refused, with what helps, unless the mesh
    /// factor is 1 or a smoothing takes away the lattice that the particles start from: amplified, it is a force on the
    /// long waves, whose P(k) today is then 1.06 to 2.4 times linear theory's in 1000 Mpc/h. A sharp cut may reach
    /// three quarters of the lattice's wavenumber on the mesh, 2π `particles`/`box_size` from a mesh factor of 2 on;
    /// half of it is advised.
    pub deconvolve: bool,
    /// `{ kind = "gaussian", radius = 1.0 }`: exp(−k²R²/2). `{ kind = "sharp-k", k_max = 2.0 }`: nothing beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "Mpc/h, h/Mpc"))]
    pub smoothing: Option<Smoothing>,
}

impl ForceConfig {
    /// Refuses scales that are not positive.
    pub fn check(&self) -> Result<()> {
        let (name, scale) = match self.smoothing {
            None => return Ok(()),
            Some(Smoothing::Gaussian { radius }) => ("radius", radius),
            Some(Smoothing::SharpK { k_max }) => ("k_max", k_max),
        };
        if scale > 0.0 && scale.is_finite() {
            return Ok(());
        }
        let error = Error::input("must be positive").key(format!("simulator.force.smoothing.{name}")).value(scale);
        Err(error.remedy("leave smoothing out for none"))
    }
}

/// The force mesh and its buffers, free to be used between evaluations.
pub struct Workspace<T: Real> {
    pub fft: Fft<T>,
    pub mesh: Mesh<T>,
    pub modes: Modes<T>,
    /// Side of the box in Mpc/h.
    pub box_size: f64,
}

/// Adds to the mesh's accelerations what the mesh cannot resolve: potential gradient descent (Dai et al. 2018), a
/// learned kernel.
pub trait Correction<T: Real> {
    /// Adds to `particles.acceleration` (−∇φ with ∇²φ = δ, Mpc/h) after each evaluation of the force, at scale factor
    /// `a`. Collective; every particle is on its rank, and `workspace` may be used up.
    fn correct(&mut self, workspace: &mut Workspace<T>, particles: &mut Particles<T>, a: f64) -> Result<()>;
}

/// The force: made once, used every step.
pub struct Force<T: Real> {
    pub workspace: Workspace<T>,
    config: ForceConfig,
    wave: Wavenumbers,
    filter: Option<Filter<T>>,
    domain: Domain,
    /// Mean number of mesh cells per particle.
    weight: f64,
    /// Short-range correction, where there is one.
    pub correction: Option<Box<dyn Correction<T>>>,
    /// Massive neutrinos, where there are some: particles are the other matter, the potential is that of all.
    pub neutrinos: Option<NeutrinoResponse>,
}

impl<T: Real> Force<T> {
    /// A force mesh over a cube of `box_size` Mpc/h for `particles` particles in all.
    pub fn new(d: &Decomposition, box_size: f64, particles: u64, config: &ForceConfig) -> Self {
        let fft = Fft::new(d, gradient_halo(config.assignment), Transform::Fast);
        let wave = Wavenumbers::new(d.shape(), box_size, Gradient::Spectral);
        let windows = if config.deconvolve { 2 * config.assignment.order() } else { 0 };
        let filtered = config.deconvolve || config.smoothing.is_some();
        let filter = filtered.then(|| wave.filter(config.smoothing, windows, box_size));
        let weight = d.volume() as f64 / particles as f64;
        let domain = Domain::new(d, box_size);
        let workspace = Workspace { mesh: fft.mesh(), modes: fft.modes(), fft, box_size };
        Force { workspace, config: config.clone(), wave, filter, domain, weight, correction: None, neutrinos: None }
    }

    /// Sends particles to the ranks they lie on. Collective.
    pub fn exchange(&self, particles: &mut Particles<T>) {
        self.domain.exchange(particles);
    }

    /// Gives the buffers' memory back until the next evaluation, so that others can have it while the particles rest.
    pub fn release(&mut self) {
        self.workspace.mesh.release();
        self.workspace.modes.release();
    }

    /// Fills the mesh with 1 + δ, positions shifted by `shift` cells. Collective.
    pub fn density(&mut self, particles: &Particles<T>, shift: f64) -> &mut Mesh<T> {
        if self.workspace.mesh.is_released() {
            self.workspace.mesh = self.workspace.fft.mesh();
            self.workspace.modes = self.workspace.fft.modes();
        }
        let Workspace { fft, mesh, box_size, .. } = &mut self.workspace;
        deposit(self.config.assignment, mesh, fft.decomposition(), &particles.position, *box_size, self.weight, shift);
        mesh
    }

    /// Accelerations −∇φ with ∇²φ = δ of every particle, from the −1/k² Green's function. Two transforms per call with
    /// the four-point gradient, four with the spectral one. Collective; every particle is on its rank.
    pub fn accelerations(&mut self, particles: &mut Particles<T>, a: f64, timers: &mut Timers) -> Result<()> {
        timers.time("deposit", || _ = self.density(particles, 0.0));
        let Workspace { fft, mesh, modes, box_size } = &mut self.workspace;
        let d = fft.decomposition().clone();
        timers.time("fft", || fft.forward(mesh, modes));
        timers.time("kernel", || {
            self.wave.inverse_k2(modes, -1.0 / d.volume() as f64);
            self.filter.iter().for_each(|f| self.wave.apply(f, modes));
            self.neutrinos.iter().for_each(|n| self.wave.scale(modes, n.factor_at(a)));
        });
        let (assignment, position, out) = (self.config.assignment, &particles.position, &mut particles.acceleration);
        match self.config.gradient {
            Gradient::FourPoint => {
                timers.time("fft", || fft.inverse(modes, mesh));
                timers.time("halo", || mesh.fill_halo(&d));
                timers.time("interpolate", || interpolate_gradient(assignment, mesh, &d, position, *box_size, out));
            }
            Gradient::Spectral => {
                out.clear();
                out.resize(position.len(), [T::zero(); 3]);
                let mut component = fft.modes();
                for axis in 0..3 {
                    timers.time("kernel", || {
                        component.data_mut().copy_from_slice(modes.data());
                        self.wave.derive(&mut component, |g| Complex::new(0.0, -g[axis]));
                    });
                    timers.time("fft", || fft.inverse(&mut component, mesh));
                    timers.time("halo", || mesh.fill_halo(&d));
                    timers.time("interpolate", || interpolate(assignment, mesh, &d, position, *box_size, axis, out));
                }
            }
        }
        match &mut self.correction {
            Some(correction) => timers.time("correction", || correction.correct(&mut self.workspace, particles, a)),
            None => Ok(()),
        }
    }
}
