//! Particle-mesh N-body: Gaussian initial field, Lagrangian perturbation theory, FastPM steps, maps and spectra.

use super::{Job, Simulator};
use crate::comm::timers::Timers;
use crate::comm::{Comm, share};
use crate::cosmology::{Cosmology, CosmologyConfig, Growth};
use crate::error::{Error, Result};
use crate::fields::kernels::Gradient;
use crate::fields::linear::linear_modes;
use crate::fields::noise::white_noise;
use crate::fields::spectrum::Spectrum;
use crate::gravity::{Factors, Force, LptGrowth, StepConfig, StepTable, displaced_lattice, displacements, evolve};
use crate::io::field::{Axis, Data, Dtype, Field, FieldSpec};
use crate::io::gadget;
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform, compact_grid};
use crate::observables::{MapConfig, PowerConfig, PowerMeter, by_lagrangian_id, projected_maps};
use crate::particles::{Domain, Particles, wrap};
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Floating-point precision of meshes and particles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    F64,
}

/// `[simulator]` with `kind = "pm"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PmConfig {
    /// Side of the periodic box in Mpc/h.
    pub box_size: f64,
    /// Particles per side: `particles`³ in all.
    pub particles: usize,
    /// Force mesh points per side over particles per side (FastPM's B).
    #[serde(default = "two")]
    pub mesh_factor: f64,
    /// `f32` or `f64`.
    #[serde(default)]
    pub precision: Precision,
    /// Order of the Lagrangian perturbation theory of the initial conditions: 1 or 2.
    #[serde(default = "second")]
    pub lpt_order: usize,
    /// Gradient of the initial conditions: `four-point` (FastPM's) or `spectral`.
    #[serde(default)]
    pub gradient: Gradient,
    /// Fixes the amplitude of every initial mode to its mean.
    #[serde(default)]
    pub fixed_amplitudes: bool,
    /// Process grid P0 × P1 of each group; chosen automatically when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_grid: Option<[usize; 2]>,
    /// Steps in time.
    #[serde(default)]
    pub time: StepConfig,
    /// Projected density maps; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<MapConfig>,
    /// Measured power spectrum; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerConfig>,
    /// Keeps the positions and velocities of all particles.
    #[serde(default)]
    pub keep_particles: bool,
}

fn two() -> f64 {
    2.0
}

fn second() -> usize {
    2
}

impl PmConfig {
    /// Force mesh points per side.
    pub fn mesh(&self) -> usize {
        (self.mesh_factor * self.particles as f64).round() as usize
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, problem: &str, value: String, remedy: &str| {
            let mut e = Error::input(problem).key(format!("simulator.{key}")).remedy(remedy);
            e.value = Some(value);
            Err(e)
        };
        if !(self.box_size > 0.0 && self.box_size.is_finite()) {
            return bad(
                "box_size",
                "the box must be positive",
                format!("{:?}", self.box_size),
                "give its side in Mpc/h, e.g. 256.0",
            );
        }
        if self.particles < 4 {
            return bad(
                "particles",
                "at least 4 particles per side are needed",
                self.particles.to_string(),
                "64 is a small run",
            );
        }
        if !(self.mesh_factor > 0.0 && self.mesh_factor <= 8.0) || self.mesh() < 4 {
            return bad(
                "mesh_factor",
                "the mesh must be positive",
                format!("{:?}", self.mesh_factor),
                "1 to 3 are usual",
            );
        }
        if self.mesh() > 1 << 15 {
            let remedy =
                "lower particles or mesh_factor: the largest mesh that has ever been run is about 20000 per side";
            return bad("particles", "no machine holds such a mesh", self.particles.to_string(), remedy);
        }
        if !(1..=2).contains(&self.lpt_order) {
            return bad("lpt_order", "orders 1 and 2 are known", self.lpt_order.to_string(), "2 is usual");
        }
        self.time.check()?;
        self.maps.iter().try_for_each(MapConfig::check)?;
        self.power.iter().try_for_each(PowerConfig::check)
    }

    fn power_bins(&self, config: &PowerConfig) -> usize {
        let wanted = (self.particles as f64 / 2.0 * config.k_max_over_nyquist).floor() as usize;
        wanted.saturating_sub(1).clamp(1, Spectrum::bins(self.mesh()))
    }
}

/// The simulator: a checked configuration, the fixed cosmology and the names of the varied parameters.
pub struct Pm<T> {
    config: PmConfig,
    cosmology: CosmologyConfig,
    names: Vec<String>,
    wavenumbers: Vec<f64>,
    precision: std::marker::PhantomData<T>,
}

/// Particles at one moment.
pub struct PmState<T> {
    pub particles: Particles<T>,
    /// Number over all ranks.
    pub total: u64,
    /// Scale factor.
    pub a: f64,
}

impl<T: Real> Pm<T> {
    /// A simulator of universes whose `prior`'s parameters vary and whose others stand in `cosmology`.
    pub fn new(config: &PmConfig, cosmology: &CosmologyConfig, prior: &Prior) -> Result<Self> {
        config.check()?;
        let wavenumbers =
            config.power.as_ref().map_or(vec![], |p| Spectrum::wavenumbers(config.power_bins(p), config.box_size));
        let names = prior.names().into_iter().map(String::from).collect();
        Ok(Pm {
            config: config.clone(),
            cosmology: cosmology.clone(),
            names,
            wavenumbers,
            precision: Default::default(),
        })
    }

    /// The cosmology of a design point.
    pub fn cosmology(&self, theta: &[f64]) -> Result<Cosmology> {
        let varied: Vec<(&str, f64)> = self.names.iter().map(String::as_str).zip(theta.iter().copied()).collect();
        self.cosmology.resolve(&varied)
    }

    fn total(&self) -> u64 {
        (self.config.particles as u64).pow(3)
    }

    fn mesh_decomposition(&self, comm: &Comm) -> Result<Decomposition> {
        Decomposition::new(comm, [self.config.mesh(); 3], self.config.process_grid)
    }
}

impl<T: Real> Simulator for Pm<T> {
    type State = PmState<T>;

    fn specs(&self) -> Vec<FieldSpec> {
        let c = &self.config;
        let mut specs = Vec::new();
        if let Some(maps) = &c.maps {
            let slab = c.box_size / maps.slabs as f64;
            let centres = (0..maps.slabs).map(|s| (s as f64 + 0.5) * slab).collect();
            specs.push(FieldSpec {
                name: "maps".into(),
                shape: vec![3, maps.slabs, maps.pixels, maps.pixels],
                axes: vec![
                    Axis::new("view", ""),
                    Axis { name: "slab".into(), unit: "Mpc/h".into(), values: centres },
                    Axis::new("row", "pixel"),
                    Axis::new("column", "pixel"),
                ],
                unit: "".into(),
                description: format!("surface density over its mean, along each axis, in slabs of {slab} Mpc/h"),
                ragged: false,
                dtype: Dtype::F32,
            });
        }
        if c.power.is_some() {
            specs.push(FieldSpec {
                name: "power".into(),
                shape: vec![self.wavenumbers.len()],
                axes: vec![Axis { name: "k".into(), unit: "h/Mpc".into(), values: self.wavenumbers.clone() }],
                unit: "(Mpc/h)^3".into(),
                description: format!("matter power spectrum at a = {}", c.time.a_end),
                ragged: false,
                dtype: Dtype::F64,
            });
        }
        if c.keep_particles {
            for (name, unit, what) in
                [("position", "Mpc/h", "comoving position"), ("velocity", "km/s", "peculiar velocity")]
            {
                specs.push(FieldSpec {
                    name: name.into(),
                    shape: vec![self.total() as usize, 3],
                    axes: vec![Axis::new("particle", ""), Axis::new("component", "")],
                    unit: unit.into(),
                    description: format!("{what} at a = {}, sorted by Lagrangian identity", c.time.a_end),
                    ragged: false,
                    dtype: Dtype::F32,
                });
            }
        }
        specs
    }

    fn evolve(&self, comm: &Comm, job: &Job, timers: &mut Timers) -> Result<PmState<T>> {
        let c = &self.config;
        let cosmology = self.cosmology(job.theta)?;
        let growth = Growth::new(&cosmology);
        let power = self.cosmology.linear_power(&cosmology, job.index)?;
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: c.time.integrator };
        let table = StepTable::new(&c.time, &factors);
        let mesh = self.mesh_decomposition(comm)?;
        let lattice = mesh.with_shape([c.particles; 3]);

        let mut particles = timers.time("initial conditions", || {
            let mut noise = white_noise::<T>(&lattice, job.seed, job.realisation);
            let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
            let p = |k: f64| power.p(k);
            let delta = linear_modes(&mut exact, &mut noise, c.box_size, p, c.fixed_amplitudes, false);
            let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
            let psi = displacements(&mut fft, &delta, c.box_size, c.gradient, c.lpt_order);
            displaced_lattice(&lattice, &psi, c.box_size, LptGrowth::at(&factors, c.time.a_start))
        });
        let mut force = Force::new(&mesh, c.box_size, self.total());
        evolve(comm, &table, &mut particles, &mut force, c.box_size, timers, &mut ())?;
        Ok(PmState { particles, total: self.total(), a: c.time.a_end })
    }

    fn observe(&self, comm: &Comm, state: &PmState<T>) -> Result<Vec<Field>> {
        let c = &self.config;
        let root = comm.is_root();
        let mut fields = Vec::new();
        for spec in Simulator::specs(self) {
            let on_root = |data: Data, spec: FieldSpec| match (root, data) {
                (true, data) => Field { rows: spec.shape[0], data, spec },
                (false, Data::F64(_)) => Field { rows: 0, data: Data::F64(vec![]), spec },
                (false, _) => Field { rows: 0, data: Data::F32(vec![]), spec },
            };
            match (spec.name.as_str(), &c.maps, &c.power) {
                ("maps", Some(maps), _) => {
                    let data = projected_maps(comm, maps, &state.particles.position, c.box_size, state.total);
                    fields.push(on_root(Data::F32(data), spec));
                }
                ("power", _, Some(power)) => {
                    let mut meter = PowerMeter::<T>::new(&self.mesh_decomposition(comm)?, c.box_size);
                    let mut spectrum = meter.measure(power, &state.particles.position, state.total);
                    spectrum.power.truncate(self.wavenumbers.len());
                    fields.push(on_root(Data::F64(spectrum.power), spec));
                }
                // Both columns are sorted in one exchange, when the first is asked for.
                ("position", ..) => {
                    let (x, v) = by_lagrangian_id(comm, &state.particles, state.total, state.a);
                    let velocity = FieldSpec { name: "velocity".into(), ..spec.clone() };
                    let unit = |spec: FieldSpec, unit: &str| FieldSpec { unit: unit.into(), ..spec };
                    let flat = |x: &[[f32; 3]]| Data::F32(x.as_flattened().to_vec());
                    fields.push(Field { rows: x.len(), data: flat(&x), spec });
                    fields.push(Field { rows: v.len(), data: flat(&v), spec: unit(velocity, "km/s") });
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    fn load(&self, comm: &Comm, path: &Path) -> Result<(PmState<T>, Option<Vec<f64>>)> {
        let c = &self.config;
        let snapshot = comm.agree(gadget::read(comm, path))?;
        let differs = |what: &str, theirs: f64, ours: f64| {
            Err(Error::input(format!("its {what} is {theirs}, the campaign's is {ours}"))
                .file(path)
                .remedy("observe with a campaign of the same box and time: the networks know no other"))
        };
        if (snapshot.box_size / c.box_size - 1.0).abs() > 1e-6 {
            return differs("box (Mpc/h)", snapshot.box_size, c.box_size);
        }
        if (snapshot.scale_factor - c.time.a_end).abs() > 1e-3 {
            return differs("scale factor", snapshot.scale_factor, c.time.a_end);
        }
        if snapshot.npart != self.total() {
            return differs("number of particles", snapshot.npart as f64, self.total() as f64);
        }
        let l = T::of(c.box_size);
        let mut particles = Particles {
            position: snapshot.positions.iter().map(|x| x.map(|x| wrap(T::of(x), l))).collect(),
            momentum: snapshot.velocities.iter().map(|v| v.map(|v| T::of(v * snapshot.scale_factor / 100.0))).collect(),
            acceleration: vec![],
            id: snapshot.ids,
        };
        Domain::new(&self.mesh_decomposition(comm)?, c.box_size).exchange(&mut particles);
        let truth = self.names.iter().map(|n| snapshot.truth.iter().find(|t| &t.0 == n).map(|t| t.1)).collect();
        Ok((PmState { particles, total: self.total(), a: c.time.a_end }, truth))
    }
}

/// What one group of `ranks` needs for one universe, in bytes per rank: meshes, particles and exchange buffers.
pub fn memory_per_rank(config: &PmConfig, ranks: usize) -> u64 {
    let real = match config.precision {
        Precision::F32 => 4,
        Precision::F64 => 8,
    };
    let (n, m) = (config.particles as u64, config.mesh() as u64);
    let grid = config.process_grid.unwrap_or(compact_grid(ranks));
    let part = |n: u64, axis: usize| share(n as usize, grid[axis], 0).1 as u64;
    let mesh = (part(m, 0) + 5) * (part(m, 1) + 5) * (m + 8) * real;
    let modes = part(m, 0) * part(m, 1) * (m + 2) * real;
    let lattice = part(n, 0) * part(n, 1) * n;
    let particle = lattice * (9 * real + 8);
    // Displacements of both orders, the Hessian's diagonal and the lattice's meshes, before the force mesh exists.
    let initial = lattice * (6 + 3 + 1 + 4 * 2) * real;
    (mesh + modes + particle).max(initial + particle)
}
