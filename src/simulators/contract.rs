//! What runs: a simulator makes universes and looks at them, and the suite engine knows nothing else about it.

use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::error::{Error, Result};
use crate::io::field::{Data, Field, FieldSpec};
use crate::io::gadget::Velocities;
use crate::prior::Theta;
use crate::rng::{ChaCha8Rng, stream};
use std::path::Path;

/// One universe to be simulated.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Row of the design.
    pub index: u64,
    /// Realisation number: with the campaign's seed it names the random fields.
    pub realisation: u64,
    /// The campaign's seed.
    pub seed: u64,
    /// The varied parameters, by name.
    pub theta: Theta<'a>,
    /// The campaign's folder, for what outlives an interrupted simulation; `None`: nothing does.
    pub folder: Option<&'a Path>,
}

impl Job<'_> {
    /// Random numbers of this universe for one purpose: the same on any number of ranks.
    pub fn random(&self, purpose: &str) -> ChaCha8Rng {
        stream(self.seed, self.realisation, purpose, 0)
    }
}

/// What a simulation gives.
pub struct Output {
    pub fields: Vec<Field>,
    /// Seconds by name, this rank's.
    pub timings: Vec<(String, f64)>,
}

impl Output {
    /// Fields whose numbers the root has.
    pub fn on_root(comm: &Comm, specs: Vec<FieldSpec>, data: impl IntoIterator<Item = Data>) -> Output {
        let fields = specs.into_iter().zip(data).map(|(spec, data)| Field::on_root(comm, spec, data)).collect();
        Output { fields, timings: vec![] }
    }
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

/// What was kept of a finished universe in the dataset; what lies beside it is in the job's folder.
pub struct Kept<'a> {
    /// The fields that are there, with the keys that they were seen with.
    pub specs: &'a [FieldSpec],
    /// Serial: one of them.
    pub read: &'a dyn Fn(&FieldSpec) -> Result<Data>,
}

impl Kept<'_> {
    /// The field of that name.
    pub fn spec(&self, name: &str) -> Option<&FieldSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }
}

/// A simulator that makes a universe and then looks at it: another code's universe can be looked at in the same way.
/// All methods but `specs` and `check_file` are collective over the communicator.
pub trait Simulator {
    /// A universe before it is observed.
    type State;
    /// The fields that [`Simulator::observe`] gives, alike for all universes.
    fn specs(&self) -> Vec<FieldSpec>;
    /// Makes a universe.
    fn evolve(&self, comm: &Comm, job: &Job, timings: &mut Timers) -> Result<Self::State>;
    /// Looks at it.
    fn observe(&self, comm: &Comm, state: &Self::State) -> Result<Vec<Field>>;
    /// Removes what only an interrupted simulation would need: its fields are safe.
    fn finished(&self, _comm: &Comm, _job: &Job) {}
    /// Serial: refuses fields that cannot be made again of what was kept of a finished universe, by their names and with
    /// what to keep another time. By default nothing can.
    fn check_kept(&self, _job: &Job, wanted: &[String], _kept: &Kept) -> Result<()> {
        Err(nothing_kept(wanted))
    }
    /// Looks again at what was kept of a finished universe: the wanted fields, in any order.
    fn observe_kept(&self, _comm: &Comm, _job: &Job, wanted: &[String], _kept: &Kept) -> Result<Vec<Field>> {
        Err(nothing_kept(wanted))
    }
    /// A universe from another code's file, and its parameters where the file tells.
    fn load(&self, comm: &Comm, path: &Path, look: &Look) -> Result<(Self::State, Option<Vec<f64>>)>;
    /// Serial: refuses another code's file from which nothing that is wanted could be made, without reading it all.
    fn check_file(&self, path: &Path, look: &Look) -> Result<()>;
}

fn no_observations(path: &Path) -> Error {
    let error = Error::input("the simulator of this campaign looks at no other code's files").key("infer.observations");
    error.value(path).remedy("give a file of the fields that the networks read")
}

fn nothing_kept(wanted: &[String]) -> Error {
    let error = Error::input("the simulator of this campaign keeps nothing that can be looked at again");
    error.key("simulator.kind").value(wanted.join(", ")).remedy("give another output, and simulate anew")
}

/// What the suite engine drives: any [`Simulator`], its state hidden, or what makes its fields at once.
pub trait Runner {
    /// The fields of every universe.
    fn specs(&self) -> Vec<FieldSpec>;
    /// Makes and observes one universe. Collective.
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output>;
    /// Removes what only an interrupted simulation would need: its fields are safe.
    fn finished(&self, _comm: &Comm, _job: &Job) {}
    /// Serial: refuses fields that cannot be made again of what was kept of a finished universe, by their names and with
    /// what to keep another time. By default nothing can.
    fn check_kept(&self, _job: &Job, wanted: &[String], _kept: &Kept) -> Result<()> {
        Err(nothing_kept(wanted))
    }
    /// Looks again at what was kept of a finished universe: the wanted fields, in any order. Collective.
    fn observe_kept(&self, _comm: &Comm, _job: &Job, wanted: &[String], _kept: &Kept) -> Result<Vec<Field>> {
        Err(nothing_kept(wanted))
    }
    /// Observes another code's universe through the same eyes. By default there is no such thing. Collective.
    fn observe_file(&self, _comm: &Comm, path: &Path, _look: &Look) -> Result<Observed> {
        Err(no_observations(path))
    }
    /// Serial: refuses a file that could not be observed so, without reading all of it.
    fn check_file(&self, path: &Path, _look: &Look) -> Result<()> {
        Err(no_observations(path))
    }
}

impl<S: Simulator> Runner for S {
    fn specs(&self) -> Vec<FieldSpec> {
        Simulator::specs(self)
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let mut timings = Timers::default();
        let state = comm.agree(self.evolve(comm, job, &mut timings))?;
        let start = std::time::Instant::now();
        let fields = comm.agree(self.observe(comm, &state))?;
        timings.add("observe", start.elapsed().as_secs_f64());
        Ok(Output { fields, timings: timings.entries().to_vec() })
    }

    fn finished(&self, comm: &Comm, job: &Job) {
        Simulator::finished(self, comm, job)
    }

    fn check_kept(&self, job: &Job, wanted: &[String], kept: &Kept) -> Result<()> {
        Simulator::check_kept(self, job, wanted, kept)
    }

    fn observe_kept(&self, comm: &Comm, job: &Job, wanted: &[String], kept: &Kept) -> Result<Vec<Field>> {
        Simulator::observe_kept(self, comm, job, wanted, kept)
    }

    fn observe_file(&self, comm: &Comm, path: &Path, look: &Look) -> Result<Observed> {
        let (state, truth) = comm.agree(self.load(comm, path, look))?;
        Ok(Observed { fields: comm.agree(self.observe(comm, &state))?, truth })
    }

    fn check_file(&self, path: &Path, look: &Look) -> Result<()> {
        Simulator::check_file(self, path, look)
    }
}
