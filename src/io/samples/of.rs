//! What draws are of, told by content: they are only good while all of it is as it was.

use crate::io::identity::{Identity, digest};
use serde::{Deserialize, Serialize};

/// What draws are of: they are only good while all of it is as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Of {
    pub stage: String,
    /// Version of what drawing computes.
    #[serde(default)]
    pub numerics: u32,
    /// Digest of its weights, and of how many views are averaged over.
    pub weights: String,
    /// The dataset that it learned from, and that holds the universes.
    pub dataset: Identity,
    /// The campaign's seed.
    pub seed: u64,
    /// Draws per universe.
    pub draws: usize,
    /// Name of what drew them, where it is not the default; empty for posteriors that draw by themselves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sampler: String,
    /// Of an observation, not of the test split.
    pub observation: Option<Seen>,
    /// Of several observations together, each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub combined: Vec<Seen>,
}

/// What is wrong with draws that have none of it.
pub const OLDER: &str = "they do not say what they are of (an older program drew them)";

/// Version of what drawing computes; raised when the same weights and the same data give other draws.
pub const NUMERICS: u32 = 1;

/// An observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    /// Its (first) file, from the root folder.
    pub file: String,
    /// Its row, in a file of fields that counts observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Digest of what stood in its files; of a file of fields, of what the stage's chain reads and the true parameters.
    pub content: String,
    /// Digest of the simulator that looked at it: box, mesh and observables. Empty where none did.
    pub observables: String,
}

impl Seen {
    /// Several under one name.
    pub fn together(name: &str, all: &[Seen]) -> Seen {
        let contents: Vec<&str> = all.iter().map(|seen| seen.content.as_str()).collect();
        let content = digest(contents.concat().as_bytes());
        Seen { name: name.into(), row: None, content, ..all[0].clone() }
    }
}

impl Of {
    /// What is another in `now`, in words.
    pub fn differs(&self, now: &Of) -> Option<String> {
        let looked = |of: &Of| of.observation.as_ref().map(|o| (o.content.clone(), o.observables.clone()));
        let ((seen, eyes), (seen_now, eyes_now)) = (looked(self).unzip(), looked(now).unzip());
        let parts = [
            (self.stage == now.stage, format!("they are of stage {}", self.stage)),
            (
                self.numerics == now.numerics,
                "another version of the program drew them, which computes otherwise".into(),
            ),
            (
                self.weights == now.weights,
                format!("stage {} was trained anew, or looks at its samples otherwise", now.stage),
            ),
            (seen == seen_now, "the observation holds other data".into()),
            (eyes == eyes_now, "the simulator looks at the observation with other settings".into()),
            (self.seed == now.seed, format!("the seed was {} and is {}", self.seed, now.seed)),
            (self.sampler == now.sampler, "another sampler drew them".into()),
            (self.draws == now.draws, format!("there are {} draws of each, not {}", self.draws, now.draws)),
        ];
        let other = parts.into_iter().find(|(same, _)| !same).map(|(_, what)| what);
        other.or_else(|| self.dataset.differs(&now.dataset))
    }
}
