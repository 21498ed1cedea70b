//! Particle-mesh N-body: Gaussian initial field, Lagrangian perturbation theory, particle-mesh steps, and what is seen
//! of it.

pub mod bench;
mod checkpoint;
mod config;
pub mod cost;
mod initial;
mod kept;
mod lattice;
mod memory;
mod observed;
mod plans;
mod products;
mod rehearsal;
pub mod resident;
mod scales;
mod section;
pub mod traffic;

pub use config::{PmConfig, Precision};
pub use initial::{FieldFile, FieldKind, InitialConfig};
pub use memory::memory_per_rank;
pub use plans::FftPlans;

use super::{Job, Kept, Look, Section, Simulator};
use crate::comm::timers::Timers;
use crate::comm::{Comm, stop};
use crate::cosmology::{Cosmology, CosmologyConfig, Growth, NeutrinoResponse};
use crate::error::{Error, Result};
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::gravity::{Factors, Force, Integrator, LptGrowth, Observer, Row, StepTable, evolve, lagrangian_particles};
use crate::io::field::{Field, FieldSpec};
use crate::io::gadget;
use crate::io::hdf::Element;
use crate::io::identity::digest_again;
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform};
use crate::observables::{HaloCatalogue, HodConfig};
use crate::particles::{Domain, Particles};
use crate::prior::{Prior, Theta};
use checkpoint::Checkpoints;
use products::{Cones, Lensing, Moment, PLANES, measure, specs_at};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The simulator: a checked configuration, the fixed cosmology and the names of the varied parameters.
pub struct Pm<T> {
    config: PmConfig,
    cosmology: CosmologyConfig,
    names: Vec<String>,
    /// The universe in the middle of their prior.
    middle: Option<Cosmology>,
    precision: std::marker::PhantomData<T>,
}

/// A universe at the last moment that is looked at.
pub struct PmState<T> {
    pub particles: Particles<T>,
    /// Scale factor.
    pub a: f64,
    /// Fields of the moments before it, and of the light cones.
    pub earlier: Vec<Field>,
    /// `None` for a snapshot that does not tell.
    pub cosmology: Option<Cosmology>,
    /// What names this universe's random numbers and files.
    origin: Origin,
    /// Fields that are looked at; all when `None`.
    wanted: Option<Vec<String>>,
}

/// What names a universe's random numbers and files, and the varied parameters that are known of it.
#[derive(Debug, Clone, Default)]
struct Origin {
    index: u64,
    seeds: [u64; 2],
    varied: Vec<(String, f64)>,
    folder: Option<PathBuf>,
}

impl Origin {
    fn of(job: &Job) -> Origin {
        Origin {
            index: job.index,
            seeds: [job.seed, job.realisation],
            varied: job.theta.iter().map(|(name, value)| (name.to_string(), value)).collect(),
            folder: job.folder.map(Path::to_path_buf),
        }
    }
}

/// Names and values of the parameters that are not the galaxies'.
fn of_cosmology(theta: Theta<'_>) -> Vec<(&str, f64)> {
    theta.iter().filter(|(name, _)| !HodConfig::NAMES.contains(name)).collect()
}

impl<T: Real + Element> Pm<T> {
    /// A simulator of universes whose `prior`'s parameters vary and whose others stand in `cosmology`.
    pub fn new(config: &PmConfig, cosmology: &CosmologyConfig, prior: &Prior) -> Result<Self> {
        config.check()?;
        let names = prior.names().into_iter().map(String::from).collect();
        let middle = prior.middle();
        let middle = cosmology.resolve(&of_cosmology(prior.theta(&middle))).ok();
        Ok(Pm { config: config.clone(), cosmology: cosmology.clone(), names, middle, precision: Default::default() })
    }

    /// The cosmology of a design point.
    pub fn cosmology(&self, theta: Theta) -> Result<Cosmology> {
        self.cosmology.resolve(&of_cosmology(theta))
    }

    /// Where the snapshot of a universe at scale factor `a` lies in the campaign's folder.
    fn snapshot(&self, folder: &Path, index: u64, a: f64) -> PathBuf {
        folder.join("snapshots").join(format!("{index:06}{}.hdf5", self.config.suffix(a)))
    }

    /// The fields at scale factor `a`; `halos`, where they are known already. Collective.
    #[allow(clippy::too_many_arguments, reason = "what a universe is, and what is wanted of it")]
    fn look(
        &self,
        comm: &Comm,
        particles: &Particles<T>,
        a: f64,
        cosmology: Option<&Cosmology>,
        origin: &Origin,
        wanted: Option<&[String]>,
        halos: Option<HaloCatalogue>,
    ) -> Result<Vec<Field>> {
        let varied: Vec<(&str, f64)> = origin.varied.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let snapshot =
            origin.folder.as_ref().map(|folder| (self.snapshot(folder, origin.index, a), origin.varied.clone()));
        let seen = measure(&Moment {
            comm,
            config: &self.config,
            mesh: &self.mesh_decomposition(comm)?,
            particles,
            a,
            cosmology,
            index: origin.index,
            seeds: origin.seeds,
            hod: self.config.galaxies.clone().unwrap_or_default().with(&varied),
            snapshot,
            wanted,
            halos: halos.map_or_else(OnceCell::new, OnceCell::from),
            galaxies: OnceCell::new(),
        })?;
        self.config.fft_plans.keep(comm, origin.folder.as_deref());
        Ok(seen)
    }

    fn total(&self) -> u64 {
        (self.config.particles as u64).pow(3)
    }

    fn mesh_decomposition(&self, comm: &Comm) -> Result<Decomposition> {
        // A grid is given for the groups of the suite: an observation is looked at by all ranks of the job.
        let grid = self.config.process_grid.filter(|g| g[0] * g[1] == comm.size());
        Decomposition::new(comm, [self.config.mesh(); 3], grid)
    }

    /// Collective: the checkpoints of one universe, where there is a place for them.
    fn checkpoints(&self, comm: &Comm, job: &Job, grid: [usize; 2]) -> Result<Option<Checkpoints>> {
        let Some(folder) = job.folder else { return Ok(None) };
        let (config, numerics) = (self.config.shaping(), self.config.numerics());
        let inputs = comm.on_root(|| self.inputs(job.index))?;
        let theta = job.theta.values();
        let shape = serde_json::json!([job.seed, job.realisation, theta, config, self.cosmology, numerics, inputs]);
        let every = Duration::from_secs_f64(60.0 * self.config.checkpoint_minutes);
        Ok(Some(Checkpoints::new(folder, job.index, shape.to_string(), grid, every)))
    }

    /// Digests of the files that universe `index` is made from.
    fn inputs(&self, index: u64) -> Result<Vec<String>> {
        let tables = self.cosmology.files(index..index + 1)?.into_iter().flat_map(|(_, paths)| paths);
        let mut config = self.config.clone();
        let own = config.files_mut().into_iter().map(|(_, path)| path.clone());
        tables.chain(own).map(|path| digest_again(&path)).collect()
    }

    /// Particles at the start of the step table, on their ranks.
    fn begin(&self, mesh: &Decomposition, job: &Job, cosmology: &Cosmology, factors: &Factors) -> Result<Particles<T>> {
        let c = &self.config;
        let start = c.time.start();
        // Tables are read by every rank for itself: one that fails alone must not leave the others waiting.
        let today = mesh.comm.agree(self.cosmology.linear_power(cosmology, job.index))?;
        // What the particles stand for as it is at the start, scaled to D1 = 1: where growth depends on scale, or
        // tables of several redshifts are given, not the spectrum today.
        let cold = mesh.comm.agree(self.cosmology.cold_power(factors.growth, job.index, start))?;
        let d1 = factors.growth.d1(start);
        let lattice = mesh.with_shape([c.particles; 3]);
        let power = |k: f64| cold.p(k) / (d1 * d1);
        let alpha = today.poisson(cosmology, factors.growth.suppression());
        let mut delta = c.initial.linear_density(&lattice, job, c.box_size, power, alpha)?;
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
        let growth = LptGrowth::at(factors, start);
        let keep = c.time.integrator == Integrator::Cola;
        let (order, gradient) = (c.initial.lpt_order, c.initial.gradient);
        let mut particles = lagrangian_particles(&mut fft, &delta, c.box_size, gradient, order, &growth, keep);
        if let Some(neutrinos) = NeutrinoResponse::new(cosmology) {
            // Growth rates depend on scale: momenta are those of a density that is as much larger.
            let (rate, f1) = (neutrinos.rate_at(start), factors.growth.f1(start));
            Wavenumbers::new(lattice.shape(), c.box_size, Gradient::Spectral).scale(&mut delta, |k| rate(k) / f1);
            particles.momentum =
                lagrangian_particles(&mut fft, &delta, c.box_size, gradient, order, &growth, false).momentum;
        }
        Domain::new(mesh, c.box_size).exchange(&mut particles);
        Ok(particles)
    }
}

/// What happens between the rows of the step table: earlier moments are measured, checkpoints written, a stop obeyed.
struct Watch<'a, 'f, T> {
    pm: &'a Pm<T>,
    comm: &'a Comm,
    table: &'a StepTable,
    cosmology: &'a Cosmology,
    origin: &'a Origin,
    checkpoints: Option<Checkpoints>,
    earlier: Vec<Field>,
    lensing: &'a Option<Lensing<'a>>,
    cones: Cones<'f>,
    /// Most particles on any rank over the mean, so far.
    imbalance: f64,
}

impl<T: Real + Element> Observer<T> for Watch<'_, '_, T> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<T>, timers: &mut Timers) -> Result<()> {
        if !self.cones.is_none() {
            let start = Instant::now();
            self.cones.after(index, row, particles, timers)?;
            timers.add("light cone", start.elapsed().as_secs_f64());
        }
        match row {
            Row::Output { a } if *a < self.pm.config.last() => {
                let look = || self.pm.look(self.comm, particles, *a, Some(self.cosmology), self.origin, None, None);
                self.earlier.extend(timers.time("observe", look)?);
                Ok(())
            }
            // Accelerations are not kept: a checkpoint stands where they are computed next.
            Row::Drift { .. } if matches!(self.table.rows.get(index + 1), Some(Row::Force { .. })) => {
                self.bound(particles)?;
                let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
                let asked = stop::requested(self.comm);
                if asked || checkpoints.due(self.comm) {
                    let comm = self.comm;
                    let seen = self.lensing.as_ref().and_then(|lensing| lensing.seen(comm, &self.cones));
                    let fields: Vec<Field> = self.earlier.iter().cloned().chain(seen).collect();
                    timers.time("checkpoint", || checkpoints.write(comm, particles, &fields, index + 1))?;
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

impl<T: Real> Watch<'_, '_, T> {
    /// Refuses to go on where one rank holds more particles than its memory was planned for.
    fn bound(&mut self, particles: &Particles<T>) -> Result<()> {
        let most = self.comm.max_of(particles.len() as u64);
        let imbalance = most as f64 * self.comm.size() as f64 / self.pm_total();
        self.imbalance = self.imbalance.max(imbalance);
        let allowed = self.pm.config.max_imbalance;
        // A handful of particles more than the mean is no burden. Every rank decides alike: all of this is collective.
        if imbalance <= allowed || most < 4096 {
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
        let moments = self.config.moments();
        let mut specs: Vec<FieldSpec> = moments.into_iter().flat_map(|a| specs_at::<T>(&self.config, a)).collect();
        specs.extend(Lensing::of(&self.config).iter().flat_map(Lensing::specs));
        specs
    }

    fn evolve(&self, comm: &Comm, job: &Job, timers: &mut Timers) -> Result<PmState<T>> {
        let c = &self.config;
        let cosmology = self.cosmology(job.theta)?;
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: c.time.integrator };
        let table = StepTable::new(&c.time, &factors, &c.moments());
        let mesh = self.mesh_decomposition(comm)?;
        c.fft_plans.prepare(comm, job.folder);
        let mut checkpoints = self.checkpoints(comm, job, mesh.grid())?;
        let restart = match &mut checkpoints {
            Some(checkpoints) => checkpoints.read::<T>(comm)?,
            None => None,
        };
        let origin = Origin::of(job);
        let lensing = Lensing::of(c);
        let cones = lensing.as_ref().map(|l| l.observers(comm, job, &factors, self.total()));
        let (cones, sources) = comm.agree(cones.transpose())?.unzip();
        let mut cones = cones.unwrap_or(Cones::None);
        let neutrinos = NeutrinoResponse::new(&cosmology);
        cones.with_neutrinos(&neutrinos);
        let (mut particles, mut earlier, first) = match restart {
            Some(mut restart) => {
                if !restart.same_ranks {
                    Domain::new(&mesh, c.box_size).exchange(&mut restart.particles);
                }
                if let Some(seen) = restart.fields.pop_if(|f| !cones.is_none() && f.spec.name == PLANES) {
                    cones.restore(comm, seen, table.rows[restart.row].scale_factor());
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
        force.neutrinos = neutrinos;
        c.fft_plans.keep(comm, job.folder);
        let (cosmology, origin_of) = (&cosmology, &origin);
        let before = std::mem::take(&mut earlier);
        let mut watch = Watch {
            pm: self,
            comm,
            table: &table,
            cosmology,
            origin: origin_of,
            checkpoints,
            earlier: before,
            lensing: &lensing,
            cones,
            imbalance: 1.0,
        };
        evolve(comm, &table, first, &mut particles, &mut force, timers, &mut watch)?;
        drop(force);
        particles.acceleration = vec![];
        let Watch { mut earlier, cones, imbalance, .. } = watch;
        if imbalance > 2.0 && comm.is_root() {
            log::warn!(
                "simulation {}: one rank held {imbalance:.2} times the mean number of particles; fewer ranks per \
                 simulation, or a process_grid with thicker domains, would be faster",
                job.index
            );
        }
        if let (Some(lensing), Some(sources)) = (&lensing, sources) {
            earlier.extend(timers.time("lensing", || lensing.measure(comm, job, cones, &sources))?);
        }
        Ok(PmState { particles, a: self.config.last(), earlier, cosmology: Some(*cosmology), origin, wanted: None })
    }

    fn observe(&self, comm: &Comm, state: &PmState<T>) -> Result<Vec<Field>> {
        let PmState { particles, a, earlier, cosmology, origin, wanted } = state;
        let last = self.look(comm, particles, *a, cosmology.as_ref(), origin, wanted.as_deref(), None)?;
        // The light cones' fields come after those of all moments.
        let (mut fields, cone): (Vec<Field>, Vec<Field>) = {
            let own = Lensing::of(&self.config).map_or(vec![], |l| l.specs());
            earlier.iter().cloned().partition(|f| own.iter().all(|s| s.name != f.spec.name))
        };
        fields.extend(last);
        fields.extend(cone);
        Ok(fields)
    }

    fn finished(&self, comm: &Comm, job: &Job) {
        job.folder.iter().for_each(|folder| Checkpoints::remove(comm, folder, job.index));
    }

    fn check_kept(&self, job: &Job, wanted: &[String], kept: &Kept) -> Result<()> {
        self.sources(job, wanted, kept)?.iter().try_for_each(|source| self.check_source(job, source))
    }

    fn observe_kept(&self, comm: &Comm, job: &Job, wanted: &[String], kept: &Kept) -> Result<Vec<Field>> {
        self.look_again(comm, job, wanted, kept)
    }

    fn load(&self, comm: &Comm, path: &Path, look: &Look) -> Result<(PmState<T>, Option<Vec<f64>>)> {
        self.load_snapshot(comm, path, look)
    }

    fn check_file(&self, path: &Path, look: &Look) -> Result<()> {
        self.judge(path, &gadget::header(path)?, look).map(drop)
    }
}
