//! Where a stage stands: trained on what the campaign would train it on now, or why not.

use super::Stages;
use super::record::{ITS_INPUT, Record, anew, numerics};
use crate::error::{Error, Result, campaign};
use crate::io::axis::{AxisKind, Picture};
use crate::io::derived::Of;
use crate::io::identity::{Identity, digest};
use serde_json::{Value, json};

/// Where a stage stands.
#[derive(Debug, Clone)]
pub enum State {
    /// Not trained, or not to its end.
    Absent,
    Trained(Box<Record>),
    /// Trained, and why that is of no use now.
    Outdated(String),
}

impl Stages {
    /// What it is to be of, with the dataset as it is now.
    pub fn made_of(&self, name: &str, data: Option<&Identity>) -> Result<Of> {
        let record = self.trained(name, data)?;
        Ok(Of::new(name, &self.makes(name, &record)?, &record.dataset, self.copies(name)))
    }

    /// Digest of what makes the outputs of a stage with this record: its weights and, where samples are pieces of
    /// universes or averages over views, how it and those before it cut them, and over how many.
    pub fn makes(&self, name: &str, record: &Record) -> Result<String> {
        let mut pieces = vec![record.stage["data"]["pieces"].clone()];
        for before in self.chain(name).into_iter().filter(|before| *before != name) {
            pieces.extend(self.record(before)?.map(|record| record.stage["data"]["pieces"].clone()));
        }
        let chain = self.chain(name);
        let average = |stage: &&str| self.wanted.iter().find(|w| w.name == **stage).and_then(|w| w.average);
        let averages: Vec<Option<usize>> = chain.iter().map(average).collect();
        Ok(match (pieces.iter().all(Value::is_null), averages.iter().all(Option::is_none)) {
            (true, true) => record.weights.clone(),
            (false, true) => digest(json!([record.weights, pieces]).to_string().as_bytes()),
            (_, false) => digest(json!([record.weights, pieces, averages]).to_string().as_bytes()),
        })
    }

    /// Where a stage stands, with the dataset as it is now (`None`: it is not there).
    pub fn state(&self, name: &str, data: Option<&Identity>) -> Result<State> {
        let Some(record) = self.record(name)? else { return Ok(State::Absent) };
        Ok(match self.why_outdated(&record, name, data)? {
            Some(why) => State::Outdated(why),
            None => State::Trained(Box::new(record)),
        })
    }

    /// A finished stage that is of the campaign as it is now; else what to do.
    pub fn trained(&self, name: &str, data: Option<&Identity>) -> Result<Record> {
        let file = self.model(name);
        match self.state(name, data)? {
            State::Trained(record) => Ok(*record),
            State::Absent => Err(Error::input(format!("stage {name} is not trained yet"))
                .file(file)
                .remedy(format!("run `polycosm train {} {name}`", campaign()))),
            State::Outdated(why) => {
                let error = Error::input(format!("stage {name} is outdated: {why}")).file(file);
                Err(match self.below(name, data)? {
                    Some(cause) => error.remedy(cause.remedy.unwrap_or_default()),
                    None => error.remedy(anew(name)),
                })
            }
        }
    }

    /// What is to be done first of the stages that this one stands on: the lowest that is not trained, or outdated.
    pub fn below(&self, name: &str, data: Option<&Identity>) -> Result<Option<Error>> {
        for stage in self.chain(name).into_iter().filter(|stage| *stage != name) {
            if !matches!(self.state(stage, data)?, State::Trained(_)) {
                return Ok(self.trained(stage, data).err());
            }
        }
        Ok(None)
    }

    /// Why what was (or began to be) learned is not what would be learned now.
    pub fn why_outdated(&self, record: &Record, name: &str, data: Option<&Identity>) -> Result<Option<String>> {
        if let Some(difference) = self.difference(record, name, false) {
            return Ok(Some(difference));
        }
        if record.numerics != numerics(&record.stage) {
            return Ok(Some(format!("it was trained by polycosm {}, which computes otherwise", record.version)));
        }
        let Some(all) = data else { return Ok(Some("the dataset that it was trained on is not there".into())) };
        let data = &all.part(&self.fields(name));
        if record.dataset.differs(data).is_some() {
            let was = Identity { rows: self.rows(name, &record.dataset), ..record.dataset.clone() };
            return Ok(was.differs(data));
        }
        if let Some(guess) = guessed(record, data) {
            return Ok(Some(guess));
        }
        let sources = self.sources(name);
        if let Some(other) =
            record.stands_on.keys().find(|stage| !sources.contains(&stage.as_str()) && *stage != ITS_INPUT)
        {
            return Ok(Some(format!("it stood on stage {other}")));
        }
        if sources.is_empty() && !record.stands_on.is_empty() {
            return Ok(Some("it stood on another stage".into()));
        }
        for source in sources {
            let stood = record.stands_on.get(source).or(record.stands_on.get(ITS_INPUT));
            let why = match self.record(source)? {
                None => Some(format!("it stands on stage {source}, which is not trained")),
                Some(r) if stood != Some(&self.makes(source, &r)?) => Some(format!(
                    "it stands on stage {source}, which was trained anew, or looks at its samples otherwise"
                )),
                Some(r) => self.why_outdated(&r, source, Some(all))?.map(|why| format!("stage {source}: {why}")),
            };
            if why.is_some() {
                return Ok(why);
            }
        }
        Ok(None)
    }
}

/// Why a stage of a program that guessed what axes are took its field for something else than it is: only networks for maps did.
pub(super) fn guessed(record: &Record, now: &Identity) -> Option<String> {
    let cnn = record.stage["network"].get("cnn")?;
    let [field] = &now.fields[..] else { return None };
    if record.dataset.fields.iter().any(|f| !f.axes.is_empty()) || !record.stands_on.is_empty() {
        return None;
    }
    // How maps were (or would be) padded counts too.
    let circular = |p: Picture| Picture { periodic: p.periodic && cnn["periodic"] != false, ..p };
    let was = Picture::guessed(&record.shape).map(circular);
    let is = Picture::of(&field.axes, &record.shape).filter(Picture::is_large).map(circular);
    let words = |picture: Option<Picture>| match picture {
        None => "a vector".to_string(),
        Some(Picture { views, channels, height, width, periodic }) => {
            let sort = if periodic { "periodic" } else { "flat" };
            format!("{sort} maps (views, channels, rows, columns: {views}, {channels}, {height}, {width})")
        }
    };
    let foreign =
        if field.axes.iter().any(AxisKind::is_unsaid) { " (if it was right, say so in [dataset.axes])" } else { "" };
    (was != is)
        .then(|| format!("an older program took {} for {}, but it is {}{foreign}", field.field, words(was), words(is)))
}
