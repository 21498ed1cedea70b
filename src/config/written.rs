//! A campaign file as it was read: its text, and where in it (or on the command line) each value was given.

use super::set;
use super::text::{line_at, shown};
use crate::error::Error;
use crate::limits;
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// Where a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file, on this line (from 1).
    File(usize),
    /// `--set` on the command line.
    Set,
    /// Nowhere: the value that the output folder was begun with, and no longer the default.
    Begun,
    /// Nowhere: the documented default.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(line) => write!(f, "line {line}"),
            Origin::Set => write!(f, "--set"),
            Origin::Begun => write!(f, "as the folder was begun"),
            Origin::Default => write!(f, "default"),
        }
    }
}

/// The file's text, and its table with every `--set` applied.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub path: PathBuf,
    pub text: String,
    pub table: Table,
    /// Keys given by `--set`, array elements by index.
    pub set: Vec<String>,
    /// Keys that are not given, and no longer the defaults that the output folder was begun with.
    pub begun: Vec<String>,
}

impl Written {
    /// The value at a dotted key, as TOML.
    pub fn value(&self, key: &str) -> Option<&Value> {
        let mut segments = set::split(key);
        let first = segments.next()?;
        segments.try_fold(self.table.get(first)?, |value, segment| set::child(value, segment))
    }

    /// The key with list elements by their names, as `--set` takes them, where no other has the same.
    fn named(&self, key: &str) -> String {
        let mut at = None;
        let mut path: Vec<String> = vec![];
        for segment in set::split(key) {
            let name = |list: &[Value]| {
                let name_of = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_string);
                let name = name_of(list.get(segment.parse::<usize>().ok()?)?).filter(|n| limits::plain(n).is_ok())?;
                (list.iter().filter(|v| name_of(v).as_ref() == Some(&name)).count() == 1).then_some(name)
            };
            path.push(at.and_then(Value::as_array).and_then(|list| name(list)).unwrap_or(segment.to_string()));
            at = match at {
                None if path.len() == 1 => self.table.get(segment),
                at => at.and_then(|v| set::child(v, segment)),
            };
        }
        path.join(".")
    }

    /// See [`Loaded::locate`]; an error that names another file (a table of P(k), a dataset) keeps that name.
    pub fn locate(&self, mut error: Error) -> Error {
        if let Some(key) = error.key.clone() {
            // A key that quotes itself (`cosmology.tables."0.0"`) stays as it is.
            if !key.contains(['"', '\'']) {
                error.key = Some(self.named(&key));
            }
            if error.value.is_none() {
                error.value = self.value(&key).map(shown);
            }
            if error.file.is_none() {
                error.file = Some(self.place(&key));
            }
        }
        error.file(&self.path)
    }

    /// `run.toml:12`, `run.toml (--set)`, or both of a value that was set in part; for a key that is not given the line of
    /// its section, or just the file.
    pub fn place(&self, key: &str) -> PathBuf {
        let below = |path: &String| self.set.iter().any(|set| set.starts_with(&format!("{path}.")));
        match indexed(self, key).filter(below).map(|path| line(&self.text, &path)) {
            Some(Some(line)) => format!("{}:{line} (and --set)", self.path.display()).into(),
            Some(None) => format!("{} (--set)", self.path.display()).into(),
            None => self.given(key),
        }
    }

    fn given(&self, key: &str) -> PathBuf {
        let path = self.path.display();
        match of(self, key) {
            Origin::Set => format!("{path} (--set)").into(),
            Origin::File(line) => format!("{path}:{line}").into(),
            Origin::Begun | Origin::Default => {
                key.rsplit_once('.').map_or_else(|| self.path.clone(), |(section, _)| self.given(section))
            }
        }
    }
}

/// Origin of the value at a dotted key.
pub(super) fn of(source: &Written, key: &str) -> Origin {
    let Some(path) = indexed(source, key) else { return Origin::Default };
    if source.set.iter().any(|s| path == *s || path.starts_with(&format!("{s}."))) {
        return Origin::Set;
    }
    if source.begun.contains(&path) {
        return Origin::Begun;
    }
    match line(&source.text, &path) {
        Some(line) => Origin::File(line),
        None => Origin::Default,
    }
}

/// The key with list elements as indices, if it stands in the table.
fn indexed(source: &Written, key: &str) -> Option<String> {
    let mut path: Vec<String> = vec![];
    let mut at: Option<&Value> = None;
    for segment in set::split(key) {
        let next = at.map_or_else(|| source.table.get(segment), |v| set::child(v, segment))?;
        path.push(match at {
            Some(Value::Array(list)) => list.iter().position(|v| std::ptr::eq(v, next))?.to_string(),
            _ => segment.to_string(),
        });
        at = Some(next);
    }
    Some(path.join("."))
}

/// Line (from 1) on which the value at `key` (list elements by index) stands in the file.
fn line(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut segments = key.split('.');
    let mut at = document.get_ref().get(segments.next()?)?;
    for segment in segments {
        at = match at.get_ref() {
            DeValue::Table(table) => table.get(segment)?,
            DeValue::Array(list) => list.get(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(line_at(text, at.span().start))
}
