//! Reading a TOML file into a struct, with `--set` applied, and remembering where every value came from.

use super::written::Written;
use super::{explain, origin, set, text};
use crate::error::{Error, Result};
use crate::limits;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A value read from a file, with what is needed to say where each part of it came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The file as named by the user.
    pub path: PathBuf,
    /// What it says.
    pub value: T,
    pub(super) source: Written,
}

/// Reads `path`, applies `sets` (each `section.key=value`), and deserialises. Every error names file, key, value and
/// remedy.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>, sets: &[String]) -> Result<Loaded<T>> {
    let path = path.as_ref();
    let text = limits::read_text(path, limits::CAMPAIGN)
        .map_err(|e| e.file(path).remedy("check the path; `polycosm new run.toml` writes a campaign file"))?;
    parse(path, text, sets)
}

/// The same for a text that is at hand; `path` is the name its errors go by.
pub fn parse<T: DeserializeOwned>(path: impl AsRef<Path>, text: String, sets: &[String]) -> Result<Loaded<T>> {
    let path = path.as_ref();
    let table: Table = text.parse().map_err(|e| explain::syntax(path, &text, &e))?;
    let mut source = Written { path: path.to_path_buf(), text, table, set: vec![], begun: vec![] };
    for given in sets {
        let key = set::apply(&mut source.table, given).map_err(|e| e.file(path))?;
        source.set.push(key);
    }
    if let Some((key, text)) = unprintable(&Value::Table(source.table.clone()), "") {
        let remedy =
            "keep it on one line and without tabs; LaTeX stands in 'single quotes', where \\ is a plain character";
        return Err(
            source.locate(Error::input("holds a control character").key(key).value(text::cut(&text)).remedy(remedy))
        );
    }
    read(source)
}

fn read<T: DeserializeOwned>(source: Written) -> Result<Loaded<T>> {
    match serde_path_to_error::deserialize(kind_first(Value::Table(source.table.clone()))) {
        Ok(value) => Ok(Loaded { path: source.path.clone(), value, source }),
        Err(e) => Err(explain::meaning(&source, &e)),
    }
}

/// The first text (or key) with a control character, such as a line break: in a path it would end a line of a job
/// script, and what follows be run; in a name it would garble logs and plots. Lines of a site's `preamble` are the
/// shell's.
fn unprintable(value: &Value, at: &str) -> Option<(String, String)> {
    let found = |text: &str| limits::plain(text).is_err().then(|| (at.to_string(), text.to_string()));
    match value {
        Value::String(text) => found(text),
        Value::Array(list) => list.iter().enumerate().find_map(|(i, v)| match v {
            Value::Table(_) => unprintable(v, &format!("{at}.{i}")),
            v => unprintable(v, at),
        }),
        Value::Table(table) => table.iter().filter(|(key, _)| *key != "preamble").find_map(|(key, v)| {
            let below = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            found(key).or_else(|| unprintable(v, &below))
        }),
        _ => None,
    }
}

/// In a section with a `kind`, that key decides which others are known, so it is read first wherever it stands.
fn kind_first(value: Value) -> Value {
    match value {
        Value::Table(mut table) => {
            let kind = table.remove("kind").map(|v| ("kind".to_string(), v));
            Value::Table(kind.into_iter().chain(table).map(|(k, v)| (k, kind_first(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(kind_first).collect()),
        other => other,
    }
}

impl<T> Loaded<T> {
    /// Adds file, line and value to an error that a later check raised about one of this file's keys.
    pub fn locate(&self, error: Error) -> Error {
        self.source.locate(error)
    }

    /// Replaces the value, keeping the sources: from `Config` (as written) to `Plan` (checked).
    pub fn try_map<U>(self, f: impl FnOnce(T) -> Result<U>) -> Result<Loaded<U>> {
        let Loaded { path, value, source } = self;
        let value = f(value).map_err(|e| source.locate(e))?;
        Ok(Loaded { path, value, source })
    }
}

impl<T: DeserializeOwned> Loaded<T> {
    /// The same with values (as TOML) of keys that the file does not give: those that the output folder was begun with.
    pub fn as_begun(&self, values: &[(String, String)]) -> Result<Loaded<T>> {
        let mut source = self.source.clone();
        for (key, value) in values {
            source.begun.push(set::apply(&mut source.table, &format!("{key}={value}"))?);
        }
        read(source)
    }
}

impl<T> Loaded<T> {
    /// The keys and sections that the file or `--set` give, dotted.
    pub fn given(&self) -> Vec<String> {
        fn walk(table: &Table, at: &str, all: &mut Vec<String>) {
            for (name, value) in table {
                let key = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                if let Value::Table(inner) = value {
                    walk(inner, &key, all);
                }
                all.push(key);
            }
        }
        let mut all = vec![];
        walk(&self.source.table, "", &mut all);
        all.retain(|key| !self.source.begun.contains(key));
        all
    }
}

impl<T: Serialize> Loaded<T> {
    /// The resolved configuration as TOML, defaults and `--set` included: what is written beside every output.
    pub fn resolved(&self) -> Result<String> {
        let unwritable =
            |e: toml::ser::Error| Error::failed(format!("cannot be written as TOML: {e}")).file(&self.path);
        toml::to_string(&Value::try_from(&self.value).map_err(unwritable)?).map_err(unwritable)
    }

    /// Every resolved value with its origin, in the struct's order.
    pub fn origins(&self) -> Result<Vec<origin::Entry>> {
        let value = Value::try_from(&self.value)
            .map_err(|e| Error::failed(format!("cannot be written as TOML: {e}")).file(&self.path))?;
        Ok(origin::entries(&value, &self.source))
    }
}
