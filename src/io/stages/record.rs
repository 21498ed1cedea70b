//! What a finished stage is, and how the campaign has it otherwise now.

use super::Stages;
use crate::error::{Error, Result, campaign};
use crate::io::identity::{Identity, digest_of_file, unseal};
use crate::prior::Prior;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Version of what the training of a stage (as [`Record::stage`]) computes; raised when the same campaign and the same data
/// give other weights. 2: symmetries are drawn by universe, where there are any. 3: and those of copies by their number too.
/// One more where there is instance noise: it fades over the epochs of each phase.
pub fn numerics(stage: &Value) -> u32 {
    let before = match stage["copies"].as_u64() > Some(1) {
        true => 3,
        false => 1 + (stage["augment"] == true) as u32,
    };
    let noise = stage["data"]["noise"].as_array();
    before + noise.is_some_and(|all| all.iter().any(|noise| !noise["instance"].is_null())) as u32
}

/// `model.json` (and `stage.json`): what a stage is, and all that its weights depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: String,
    pub numerics: u32,
    /// The resolved `[[train]]`, with the campaign's seed added to its own.
    pub stage: Value,
    /// Shape of one sample of the model's input.
    pub shape: Vec<usize>,
    pub prior: Prior,
    pub dataset: Identity,
    /// Digests of what [makes](super::Stages::makes) the outputs of the stages that it reads, by their names.
    #[serde(deserialize_with = "one_or_several")]
    pub stands_on: BTreeMap<String, String>,
    /// Digest of `weights.safetensors`; empty before it is there.
    pub weights: String,
}

/// In a record of a program whose stages had one input, the stage that this was is not named.
pub(super) const ITS_INPUT: &str = "";

fn one_or_several<'d, D: Deserializer<'d>>(from: D) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelled {
        One(String),
        Several(BTreeMap<String, String>),
    }
    Ok(match Option::deserialize(from)? {
        None => BTreeMap::new(),
        Some(Spelled::One(weights)) => BTreeMap::from([(ITS_INPUT.into(), weights)]),
        Some(Spelled::Several(all)) => all,
    })
}

/// Keys of a stage that say how its weights were looked for, not what they are: weights found otherwise can be used.
const SEARCH: [&str; 8] =
    ["epochs", "batch_size", "learning_rate", "weight_decay", "clip", "optimiser", "patience", "copies"];

impl Stages {
    /// What a finished stage is.
    pub fn record(&self, name: &str) -> Result<Option<Record>> {
        let path = self.model(name);
        if path.exists() { unseal(&path, &anew(name)).map(Some) } else { Ok(None) }
    }

    /// Refuses weights that are not those that a stage's record is about.
    pub fn check_weights(&self, name: &str, record: &Record) -> Result<()> {
        let path = &self.weights(name);
        let refuse = |problem: String| Err(unusable(problem, path, name));
        if !path.exists() {
            return refuse("there is no such file".into());
        }
        match digest_of_file(path) {
            Ok(digest) if digest == record.weights => Ok(()),
            Ok(_) => refuse("they are damaged, or not those that model.json is about".into()),
            Err(e) => refuse(e.problem),
        }
    }

    /// How a finished stage was trained otherwise than the campaign would train it now. It can be used, with a word.
    pub fn otherwise(&self, name: &str) -> Result<Option<String>> {
        Ok(self.record(name)?.and_then(|record| self.difference(&record, name, true)))
    }

    /// The first difference between a stage as it was trained and as the campaign has it: in how weights are looked for, or in
    /// all else.
    pub fn difference(&self, record: &Record, name: &str, search: bool) -> Option<String> {
        let now = self.wanted.iter().find(|w| w.name == name)?.config.clone()?;
        let chosen = |mut config: Value| {
            if let Some(table) = config.as_object_mut() {
                table.retain(|key, _| SEARCH.contains(&key.as_str()) == search);
            }
            config
        };
        let differs = difference("", &chosen((self.normal)(&record.stage)), &chosen(now))?;
        Some(match differs.starts_with("seed ") {
            // The campaign's has been added to the stage's own.
            true => format!("seed + train.{name}.{differs}"),
            false => format!("train.{name}.{differs}"),
        })
    }
}

/// Weights in this file that cannot be used.
pub fn unusable(problem: String, path: &Path, name: &str) -> Error {
    Error::failed(format!("the weights cannot be used: {problem}")).file(path).remedy(anew(name))
}

/// The remedy for a stage that cannot be used.
pub fn anew(name: &str) -> String {
    let campaign = campaign();
    format!(
        "`polycosm train {campaign} --retrain {name}` trains it anew, with all that stands on it; under another name it is \
         trained in a folder of its own, beside this one; or undo the change"
    )
}

/// The first key whose value is another, with both.
pub fn difference(at: &str, was: &Value, is: &Value) -> Option<String> {
    let show = |v: &Value| if v.is_null() { "absent".to_string() } else { v.to_string() };
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&at, &was[key], &is[key])
        }),
        _ => (was != is).then(|| format!("{at} was {} and is {}", show(was), show(is))),
    }
}
