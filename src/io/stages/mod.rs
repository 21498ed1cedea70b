//! Trained stages as their files tell: what each learned from, and whether that is what the campaign would train it on now.

mod files;
mod learned;
mod record;
mod state;
#[cfg(test)]
mod tests;

pub use files::{check_own, checkpoint_name, own_files};
pub use record::{Record, anew, difference, numerics, unusable};
pub use state::State;

use serde_json::Value;
use std::path::PathBuf;

/// A stage as the campaign has it now.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    /// Fields of the dataset, or earlier stages: `STAGE`, or `STAGE/OUTPUT`.
    pub inputs: Vec<String>,
    /// What it learns to tell beside the parameters, spelled alike.
    pub targets: Vec<String>,
    /// As [`Record::stage`]; `None` in a program without libtorch, which does not know its defaults.
    pub config: Option<Value>,
    /// Views that it averages over once it is trained, on which its weights do not depend.
    pub average: Option<usize>,
}

/// All stages of a campaign.
pub struct Stages {
    /// `<output>/train`.
    pub folder: PathBuf,
    pub wanted: Vec<Wanted>,
    /// A recorded configuration with the defaults of this program, and without what weights do not depend on.
    pub normal: fn(&Value) -> Value,
}

impl Stages {
    /// The stages before it whose outputs a stage reads.
    pub fn sources(&self, name: &str) -> Vec<&str> {
        let Some(at) = self.wanted.iter().position(|w| w.name == name) else { return vec![] };
        let Wanted { inputs, targets, .. } = &self.wanted[at];
        let read = |w: &&Wanted| inputs.iter().chain(targets).any(|read| is_of(read, &w.name));
        self.wanted[..at].iter().filter(read).map(|w| w.name.as_str()).collect()
    }

    /// The fields of the dataset that a stage and those before it read, each once, in order; parameters that are targets
    /// are among them.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.read(name, &|w| w.inputs.iter().chain(&w.targets).collect())
    }

    /// Those that must be there to use it: what it and those before it have as inputs.
    pub fn inputs(&self, name: &str) -> Vec<&str> {
        self.read(name, &|w| w.inputs.iter().collect())
    }

    fn read<'a>(&'a self, name: &str, columns: &dyn Fn(&'a Wanted) -> Vec<&'a String>) -> Vec<&'a str> {
        let Some(at) = self.wanted.iter().position(|w| w.name == name) else { return vec![] };
        let mut all: Vec<&str> = vec![];
        for column in columns(&self.wanted[at]) {
            let fields = match self.wanted[..at].iter().find(|w| is_of(column, &w.name)) {
                Some(source) => self.read(&source.name, columns),
                None => vec![column.as_str()],
            };
            all.extend(fields.into_iter().filter(|field| !all.contains(field)).collect::<Vec<_>>());
        }
        all
    }

    /// A stage and all that stand on it, in order.
    pub fn with_dependents(&self, name: &str) -> Vec<&str> {
        let mut all: Vec<&str> = vec![];
        for Wanted { name: stage, .. } in &self.wanted {
            if stage == name || self.sources(stage).iter().any(|source| all.contains(source)) {
                all.push(stage);
            }
        }
        all
    }

    /// All stages that a stage stands on, in order, and itself.
    pub fn chain(&self, name: &str) -> Vec<&str> {
        let stands = |w: &&Wanted| self.with_dependents(&w.name).contains(&name);
        self.wanted.iter().filter(stands).map(|w| w.name.as_str()).collect()
    }

    /// The file that says that a stage is done, and of what.
    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("model.json")
    }

    /// The file of a finished stage's weights.
    pub fn weights(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("weights.safetensors")
    }

    /// The file of what a stage makes of the dataset.
    pub fn made(&self, name: &str) -> PathBuf {
        self.folder.with_file_name("fields").join(format!("{name}.h5"))
    }

    /// Rows that it has of each universe to learn from: as many as any stage wants that stands on this one.
    pub fn copies(&self, name: &str) -> u32 {
        let above = self.with_dependents(name).into_iter().filter(|other| *other != name);
        let config = |other| self.wanted.iter().find(|w| w.name == other)?.config.as_ref()?["copies"].as_u64();
        above.filter_map(config).max().unwrap_or(1) as u32
    }
}

/// True for an output of a stage: its name, or `STAGE/OUTPUT`.
fn is_of(column: &str, stage: &str) -> bool {
    column.split('/').next() == Some(stage)
}
