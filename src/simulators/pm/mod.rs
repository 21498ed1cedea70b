//! Particle-mesh N-body: Gaussian initial field, Lagrangian perturbation theory, particle-mesh steps, and what is seen of it.

mod checkpoint;
mod config;
mod initial;
mod memory;
mod products;

pub use config::{PmConfig, Precision};
pub use initial::{FieldFile, FieldKind, InitialConfig};
pub use memory::{Memory, memory_per_rank};

use super::{Job, Simulator};
use crate::comm::timers::Timers;
use crate::comm::{Comm, stop};
use crate::cosmology::{Cosmology, CosmologyConfig, Growth};
use crate::error::{Error, Result};
use crate::fields::spectrum::Spectrum;
use crate::gravity::{Factors, Force, Integrator, LptGrowth, Observer, Row, StepTable, evolve, lagrangian_particles};
use crate::io::field::{Field, FieldSpec};
use crate::io::gadget;
use crate::io::hdf::Element;
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform};
use crate::particles::{Domain, Particles, wrap};
use crate::prior::Prior;
use checkpoint::Checkpoints;
use products::specs_at;
use std::path::Path;
use std::time::Duration;

/// The simulator: a checked configuration, the fixed cosmology and the names of the varied parameters.
pub struct Pm<T> {
    config: PmConfig,
    cosmology: CosmologyConfig,
    names: Vec<String>,
    wavenumbers: Vec<f64>,
    precision: std::marker::PhantomData<T>,
}

/// A universe at the last moment that is looked at.
pub struct PmState<T> {
    pub particles: Particles<T>,
    /// Scale factor.
    pub a: f64,
    /// Fields of the moments before it.
    pub earlier: Vec<Field>,
}

impl<T: Real + Element> Pm<T> {
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

    /// The last moment that is looked at.
    fn last(&self) -> f64 {
        self.config.moments().last().copied().unwrap_or(self.config.time.end())
    }

    fn mesh_decomposition(&self, comm: &Comm) -> Result<Decomposition> {
        Decomposition::new(comm, [self.config.mesh(); 3], self.config.process_grid)
    }

    /// The checkpoints of one universe, where there is a place for them.
    fn checkpoints(&self, job: &Job) -> Option<Checkpoints> {
        let shape = serde_json::json!([job.seed, job.realisation, job.theta, self.config, self.cosmology]);
        let every = Duration::from_secs_f64(60.0 * self.config.checkpoint_minutes);
        Some(Checkpoints::new(job.folder?, job.index, shape.to_string(), every))
    }

    /// Particles at the start of the step table, on their ranks.
    fn begin(&self, mesh: &Decomposition, job: &Job, cosmology: &Cosmology, factors: &Factors) -> Result<Particles<T>> {
        let c = &self.config;
        let power = self.cosmology.linear_power(cosmology, job.index)?;
        let lattice = mesh.with_shape([c.particles; 3]);
        let delta = c.initial.linear_density(&lattice, job, c.box_size, cosmology, factors.growth, &power)?;
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
        let growth = LptGrowth::at(factors, c.time.start());
        let keep = c.time.integrator == Integrator::Cola;
        let (order, gradient) = (c.initial.lpt_order, c.initial.gradient);
        let mut particles = lagrangian_particles(&mut fft, &delta, c.box_size, gradient, order, &growth, keep);
        Domain::new(mesh, c.box_size).exchange(&mut particles);
        Ok(particles)
    }
}

/// What happens between the rows of the step table: earlier moments are measured, checkpoints written, a stop obeyed.
struct Watch<'a, T> {
    pm: &'a Pm<T>,
    comm: &'a Comm,
    table: &'a StepTable,
    checkpoints: Option<Checkpoints>,
    earlier: Vec<Field>,
    /// Most particles on any rank over the mean, so far.
    imbalance: f64,
}

impl<T: Real + Element> Observer<T> for Watch<'_, T> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<T>, timers: &mut Timers) -> Result<()> {
        match row {
            Row::Output { a } if *a < self.pm.last() => {
                self.earlier.extend(timers.time("observe", || self.pm.measure(self.comm, particles, *a))?);
                Ok(())
            }
            // Accelerations are not kept: a checkpoint stands where they are computed next.
            Row::Drift { .. } if matches!(self.table.rows.get(index + 1), Some(Row::Force { .. })) => {
                self.bound(particles)?;
                let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
                let asked = stop::requested(self.comm);
                if asked || checkpoints.due(self.comm) {
                    let (comm, earlier) = (self.comm, &self.earlier);
                    timers.time("checkpoint", || checkpoints.write(comm, particles, earlier, index + 1))?;
                }
                match asked {
                    true => {
                        let what = format!("at row {index} of {} of a simulation's steps", self.table.rows.len());
                        stop::check(self.comm, &what)
                    }
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl<T: Real> Watch<'_, T> {
    /// Refuses to go on where one rank holds more particles than its memory was planned for.
    fn bound(&mut self, particles: &Particles<T>) -> Result<()> {
        let ranks = self.comm.size() as f64;
        let imbalance = self.comm.max_of(particles.len() as u64) as f64 * ranks / self.pm_total();
        self.imbalance = self.imbalance.max(imbalance);
        let allowed = self.pm.config.max_imbalance;
        // A handful of particles more than the mean is no burden.
        if imbalance <= allowed || particles.len() < 4096 && self.comm.max_of(particles.len() as u64) < 4096 {
            return Ok(());
        }
        Err(Error::failed(format!("one rank holds {imbalance:.2} times the mean number of particles"))
            .key("simulator.max_imbalance")
            .value(allowed)
            .remedy(
                "raise it if memory allows, take fewer ranks per simulation, or a process_grid with thicker domains",
            ))
    }

    fn pm_total(&self) -> f64 {
        (self.pm.config.particles as f64).powi(3)
    }
}

impl<T: Real + Element> Simulator for Pm<T> {
    type State = PmState<T>;

    fn specs(&self) -> Vec<FieldSpec> {
        self.config.moments().into_iter().flat_map(|a| specs_at(&self.config, &self.wavenumbers, a)).collect()
    }

    fn evolve(&self, comm: &Comm, job: &Job, timers: &mut Timers) -> Result<PmState<T>> {
        let c = &self.config;
        let cosmology = self.cosmology(job.theta)?;
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: c.time.integrator };
        let table = StepTable::new(&c.time, &factors, &c.moments());
        let mesh = self.mesh_decomposition(comm)?;
        let mut checkpoints = self.checkpoints(job);
        let restart = match &mut checkpoints {
            Some(checkpoints) => checkpoints.read::<T>(comm)?,
            None => None,
        };
        let (mut particles, earlier, first) = match restart {
            Some(mut restart) => {
                if !restart.same_ranks {
                    Domain::new(&mesh, c.box_size).exchange(&mut restart.particles);
                }
                if comm.is_root() {
                    log::info!("simulation {} goes on from its checkpoint at row {}", job.index, restart.row);
                }
                (restart.particles, restart.fields, restart.row)
            }
            None => {
                let particles = timers.time("initial conditions", || self.begin(&mesh, job, &cosmology, &factors))?;
                (particles, vec![], 0)
            }
        };
        let mut force = Force::new(&mesh, c.box_size, self.total(), &c.force);
        let mut watch = Watch { pm: self, comm, table: &table, checkpoints, earlier, imbalance: 1.0 };
        // Steps beyond the last moment that is looked at are not taken.
        let last = table.rows.iter().rposition(|r| matches!(r, Row::Output { .. })).map_or(0, |i| i + 1);
        let table = StepTable { rows: table.rows[..last].to_vec() };
        evolve(comm, &table, first, &mut particles, &mut force, timers, &mut watch)?;
        if watch.imbalance > 2.0 && comm.is_root() {
            log::warn!(
                "simulation {}: one rank held {:.2} times the mean number of particles; fewer ranks per simulation, or a \
                 process_grid with thicker domains, would be faster",
                job.index,
                watch.imbalance
            );
        }
        particles.acceleration = vec![];
        Ok(PmState { particles, a: self.last(), earlier: watch.earlier })
    }

    fn observe(&self, comm: &Comm, state: &PmState<T>) -> Result<Vec<Field>> {
        let mut fields = state.earlier.clone();
        fields.extend(self.measure(comm, &state.particles, state.a)?);
        Ok(fields)
    }

    fn finished(&self, comm: &Comm, job: &Job) {
        self.checkpoints(job).iter().for_each(|c| c.remove(comm));
    }

    fn load(&self, comm: &Comm, path: &Path) -> Result<(PmState<T>, Option<Vec<f64>>)> {
        let c = &self.config;
        if c.redshifts.len() > 1 {
            return Err(Error::input("one snapshot cannot show several redshifts")
                .key("simulator.redshifts")
                .value(&c.redshifts)
                .remedy("observe snapshots with a campaign of one redshift"));
        }
        let snapshot = comm.agree(gadget::read(comm, path))?;
        let differs = |what: &str, theirs: f64, ours: f64| {
            Err(Error::input(format!("its {what} is {theirs}, the campaign's is {ours}"))
                .file(path)
                .remedy("observe with a campaign of the same box and time: the networks know no other"))
        };
        if (snapshot.box_size / c.box_size - 1.0).abs() > 1e-6 {
            return differs("box (Mpc/h)", snapshot.box_size, c.box_size);
        }
        if (snapshot.scale_factor - self.last()).abs() > 1e-3 {
            return differs("scale factor", snapshot.scale_factor, self.last());
        }
        if snapshot.npart != self.total() {
            return differs("number of particles", snapshot.npart as f64, self.total() as f64);
        }
        let l = T::of(c.box_size);
        let mut particles = Particles {
            position: snapshot.positions.iter().map(|x| x.map(|x| wrap(T::of(x), l))).collect(),
            momentum: snapshot.velocities.iter().map(|v| v.map(|v| T::of(v * snapshot.scale_factor / 100.0))).collect(),
            id: snapshot.ids,
            ..Default::default()
        };
        Domain::new(&self.mesh_decomposition(comm)?, c.box_size).exchange(&mut particles);
        let truth = self.names.iter().map(|n| snapshot.truth.iter().find(|t| &t.0 == n).map(|t| t.1)).collect();
        Ok((PmState { particles, a: self.last(), earlier: vec![] }, truth))
    }
}
