//! What may be asked of a kind of simulator: all that the campaign file, the plan, the suite, the benches and the
//! report want to know of it.

use super::bench::Bench;
use super::budget::{Budget, Kept, Machine, Memory};
use super::contract::Runner;
use crate::comm::Comm;
use crate::cosmology::{Cosmology, CosmologyConfig};
use crate::error::{Error, Result};
use crate::io::field::{Data, FieldSpec};
use crate::prior::{Prior, Theta};
use dyn_clone::DynClone;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The universes of a campaign.
#[derive(Debug, Clone, Copy)]
pub struct Universes<'a> {
    /// What is the same in all of them; `None` where the campaign has no such section.
    pub cosmology: Option<&'a CosmologyConfig>,
    /// What varies.
    pub prior: &'a Prior,
    /// Ranks that share one.
    pub ranks: usize,
}

impl<'a> Universes<'a> {
    /// The `[cosmology]` of a kind that needs one.
    pub fn cosmology(&self) -> Result<&'a CosmologyConfig> {
        let missing = || Error::input("is missing: this simulator needs one").key("cosmology");
        self.cosmology.ok_or_else(|| missing().remedy("add a section [cosmology]"))
    }

    /// The cosmology of a design point.
    pub fn resolve(&self, theta: Theta) -> Result<Cosmology> {
        let cosmological = theta.iter().filter(|(name, _)| crate::cosmology::may_vary(name));
        self.cosmology()?.resolve(&cosmological.collect::<Vec<_>>())
    }
}

/// What theory says of a field in one universe.
#[derive(Debug, Clone)]
pub struct Theory {
    /// Its name, as in "linear theory".
    pub name: String,
    /// As many as the field has.
    pub values: Vec<f64>,
}

/// ln p(fields | θ) of one universe's fields.
pub type LnLikelihood<'a> = Box<dyn Fn(Theta) -> Result<f64> + 'a>;

/// The likelihood of a kind's fields, where it is known in closed form.
pub trait Likelihood {
    /// The fields that it is of.
    fn fields(&self) -> Vec<String>;
    /// ln p(fields | θ), normalised over the fields, of one universe that these are the fields of, in that order.
    fn of<'a>(&'a self, fields: &[Data]) -> Result<LnLikelihood<'a>>;
}

/// `[simulator]` of one kind: its own keys, and all that anybody may ask of it.
pub trait Section: std::fmt::Debug + DynClone + erased_serde::Serialize {
    /// What one universe is, in a few words: `64³ particles in 256 Mpc/h`. By default all keys.
    fn summary(&self) -> String {
        format!("{self:?}")
    }
    /// Serial: refuses what cannot be run; looks at the files it names.
    fn check(&self, _of: &Universes) -> Result<()> {
        Ok(())
    }
    /// What may be meant, but is unusual or less exact than the rest.
    fn warnings(&self, _of: &Universes) -> Vec<String> {
        vec![]
    }
    /// True if universes have a `[cosmology]`, whose parameters a design may vary.
    fn needs_cosmology(&self) -> bool {
        false
    }
    /// Refuses a cosmology in which a universe could not be made.
    fn check_cosmology(&self, _cosmology: &Cosmology) -> Result<()> {
        Ok(())
    }
    /// Names of the parameters that a design may vary beside the cosmology's.
    fn parameters(&self) -> Vec<String> {
        vec![]
    }
    /// Refuses impossible values of these.
    fn check_varied(&self, _varied: &[(&str, f64)]) -> Result<()> {
        Ok(())
    }
    /// What to do for a parameter to be one of these, where that is possible.
    fn would_vary(&self, _name: &str) -> Option<String> {
        None
    }
    /// The files it names, by their places in the section (JSON pointers).
    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        vec![]
    }
    /// True if `path` names an observation that [`Runner::observe_file`] looks at, by what stands in it; what is none
    /// is taken for a file of fields.
    fn observes(&self, _path: &Path) -> bool {
        false
    }
    /// All files of such an observation.
    fn observed_files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        Ok(vec![path.into()])
    }
    /// The section as far as it shapes the data: another one does not go on with a suite.
    fn shape(&self) -> Value {
        erased_serde::serialize(self, serde_json::value::Serializer).unwrap_or_default()
    }
    /// Its keys that only say what is seen of a universe, dotted: these may change in a folder that was begun, and each
    /// field says which of them it is [seen](FieldSpec::seen) with.
    fn seen(&self) -> Vec<&'static str> {
        vec![]
    }
    /// Versions of its numerics, by name of the part: a program with another version of one does not go on with a
    /// suite. What is not named is of version 1. Parts that go by the name of a [seen](Section::seen) key belong to it.
    fn numerics(&self) -> BTreeMap<&'static str, u32> {
        BTreeMap::new()
    }
    /// What it keeps of a universe beside the dataset.
    fn keeps(&self) -> Vec<Kept> {
        vec![]
    }
    /// What one universe takes of each rank's memory; `None`: nobody knows.
    fn memory(&self, _of: &Universes) -> Result<Option<Memory>> {
        Ok(None)
    }
    /// What one universe takes of time, and all that a plan can tell. Collective: it may measure.
    fn budget(&self, _of: &Universes, _machine: &Machine, _comm: &Comm) -> Result<Budget> {
        Ok(Budget::default())
    }
    /// What theory says of a field's numbers, in universe `index` of the design; `None`: nothing.
    fn theory(&self, _of: &Universes, _field: &FieldSpec, _theta: Theta, _index: u64) -> Result<Option<Theory>> {
        Ok(None)
    }
    /// The likelihood of what it makes, for `polycosm infer --exact`; `None`: nobody knows it.
    fn likelihood(&self, _of: &Universes) -> Result<Option<Box<dyn Likelihood>>> {
        Ok(None)
    }
    /// What makes the universes.
    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>>;
    /// Its kernels, timed by `polycosm bench`; by default there are none.
    fn bench() -> Option<Bench>
    where
        Self: Sized,
    {
        None
    }
}
