//! Simulators: one file each behind one trait. The suite engine knows nothing else about physics.

mod pm;

pub use pm::{
    FftPlans, FieldFile, FieldKind, InitialConfig, Memory, Pm, PmConfig, Precision, memory_per_rank, rehearse,
};

use crate::comm::Comm;
use crate::cosmology::{Cosmology, CosmologyConfig};
use crate::error::Result;
use crate::io::field::{Field, FieldSpec};
use crate::io::gadget::Velocities;
use crate::observables::HodConfig;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One universe to be simulated.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Row of the design.
    pub index: u64,
    /// Realisation number: with the campaign's seed it names the random fields.
    pub realisation: u64,
    /// The campaign's seed.
    pub seed: u64,
    /// Parameters, in the design's order.
    pub theta: &'a [f64],
    /// The campaign's folder, for what outlives an interrupted simulation; `None`: nothing does.
    pub folder: Option<&'a Path>,
}

/// What a simulation gives.
pub struct Output {
    pub fields: Vec<Field>,
    /// Seconds by name, this rank's.
    pub timings: Vec<(String, f64)>,
}

/// What an observation file gives.
pub struct Observed {
    pub fields: Vec<Field>,
    /// The parameters it was made with, in the design's order, where the file tells.
    pub truth: Option<Vec<f64>>,
}

/// What is wanted of an observation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// Names of the fields that will be read; all of the simulator's when `None`.
    pub fields: Option<&'a [String]>,
    /// How its velocities are written; as the file tells when `None`.
    pub velocities: Option<Velocities>,
}

/// A simulator on a communicator. All methods but `specs` and `check_file` are collective over it.
pub trait Simulator {
    /// A universe before it is observed.
    type State;
    /// The fields that [`Simulator::observe`] gives, alike for all universes.
    fn specs(&self) -> Vec<FieldSpec>;
    /// Makes a universe.
    fn evolve(&self, comm: &Comm, job: &Job, timings: &mut crate::comm::timers::Timers) -> Result<Self::State>;
    /// Looks at it.
    fn observe(&self, comm: &Comm, state: &Self::State) -> Result<Vec<Field>>;
    /// Removes what only an interrupted simulation would need: its fields are safe.
    fn finished(&self, _comm: &Comm, _job: &Job) {}
    /// A universe from another code's file, and its parameters where the file tells.
    fn load(&self, comm: &Comm, path: &Path, look: &Look) -> Result<(Self::State, Option<Vec<f64>>)>;
    /// Serial: refuses another code's file from which nothing of what is wanted could be made, without reading all of it.
    fn check_file(&self, path: &Path, look: &Look) -> Result<()>;
}

/// Any [`Simulator`], its state hidden: what the suite engine drives.
pub trait Runner {
    /// The fields of every universe.
    fn specs(&self) -> Vec<FieldSpec>;
    /// Makes and observes one universe. Collective; a failure is every rank's.
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output>;
    /// Removes what only an interrupted simulation would need: its fields are safe.
    fn finished(&self, _comm: &Comm, _job: &Job) {}
    /// Observes another code's universe through the same eyes. Collective.
    fn observe_file(&self, comm: &Comm, path: &Path, look: &Look) -> Result<Observed>;
    /// Serial: refuses a file that could not be observed so, without reading all of it.
    fn check_file(&self, path: &Path, look: &Look) -> Result<()>;
}

impl<S: Simulator> Runner for S {
    fn specs(&self) -> Vec<FieldSpec> {
        Simulator::specs(self)
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let mut timings = crate::comm::timers::Timers::default();
        let state = comm.agree(self.evolve(comm, job, &mut timings))?;
        let start = std::time::Instant::now();
        let fields = comm.agree(self.observe(comm, &state))?;
        timings.add("observe", start.elapsed().as_secs_f64());
        Ok(Output { fields, timings: timings.entries().to_vec() })
    }

    fn finished(&self, comm: &Comm, job: &Job) {
        Simulator::finished(self, comm, job)
    }

    fn observe_file(&self, comm: &Comm, path: &Path, look: &Look) -> Result<Observed> {
        let (state, truth) = comm.agree(self.load(comm, path, look))?;
        Ok(Observed { fields: comm.agree(self.observe(comm, &state))?, truth })
    }

    fn check_file(&self, path: &Path, look: &Look) -> Result<()> {
        Simulator::check_file(self, path, look)
    }
}

/// `[simulator]`: which simulator, and its own keys. `kind` decides which keys are known.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SimulatorConfig {
    /// Particle-mesh N-body.
    Pm(PmConfig),
}

crate::kind::read_by_kind!(SimulatorConfig { Pm });

impl SimulatorConfig {
    /// Serial: refuses what cannot be run; looks at the files it names.
    pub fn check(&self) -> Result<()> {
        match self {
            SimulatorConfig::Pm(c) => c.check().and_then(|()| c.check_files()),
        }
    }

    /// What may be meant, but is unusual or less exact than the rest.
    pub fn warnings(&self, cosmology: &CosmologyConfig, prior: &Prior) -> Vec<String> {
        match self {
            SimulatorConfig::Pm(c) => c.warnings(cosmology, prior),
        }
    }

    /// Refuses a cosmology in which a universe could not be made.
    pub fn check_cosmology(&self, cosmology: &Cosmology) -> Result<()> {
        match self {
            SimulatorConfig::Pm(c) => c.check_cosmology(cosmology),
        }
    }

    /// Refuses impossible values of its own [parameters](Self::parameters).
    pub fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        match self {
            SimulatorConfig::Pm(c) => c.check_varied(varied),
        }
    }

    /// The files it names, by their places in the section (JSON pointers).
    pub fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        match self {
            SimulatorConfig::Pm(c) => c.files_mut(),
        }
    }

    /// The same configuration as far as it shapes the data.
    pub fn shaping(&self) -> Self {
        match self {
            SimulatorConfig::Pm(c) => SimulatorConfig::Pm(c.shaping()),
        }
    }

    /// Versions of its numerics, by name of the part: a program with another version of one does not go on with a suite. What
    /// is not named is of version 1.
    pub fn numerics(&self) -> BTreeMap<&'static str, u32> {
        match self {
            SimulatorConfig::Pm(c) => c.numerics(),
        }
    }

    /// Names of the parameters that a design may vary beside the cosmology's.
    pub fn parameters(&self) -> &'static [&'static str] {
        match self {
            SimulatorConfig::Pm(c) if c.galaxies.is_some() => &HodConfig::NAMES,
            SimulatorConfig::Pm(_) => &[],
        }
    }

    /// The simulator of a campaign with this cosmology and prior.
    pub fn runner(&self, cosmology: &CosmologyConfig, prior: &Prior) -> Result<Box<dyn Runner>> {
        Ok(match self {
            SimulatorConfig::Pm(c) if c.precision == Precision::F64 => Box::new(Pm::<f64>::new(c, cosmology, prior)?),
            SimulatorConfig::Pm(c) => Box::new(Pm::<f32>::new(c, cosmology, prior)?),
        })
    }
}
