//! Where every resolved value came from: the file and its line, the command line, or a default.

use super::load::Source;
use super::set;
use toml::Value;
use toml::de::{DeTable, DeValue};

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

/// One resolved value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Dotted key; elements of a list by their `name` where they have one, else by index.
    pub key: String,
    /// The value as TOML.
    pub value: String,
    pub origin: Origin,
}

/// Every leaf of `value` with its origin.
pub(super) fn entries(value: &Value, source: &Source) -> Vec<Entry> {
    let mut list = vec![];
    walk(value, "", source, &mut list);
    list
}

fn walk(value: &Value, key: &str, source: &Source, list: &mut Vec<Entry>) {
    let join = |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
    match value {
        Value::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(name, v)| walk(v, &join(name), source, list));
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (i, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map_or_else(|| i.to_string(), str::to_string);
                walk(item, &join(&name), source, list);
            }
        }
        _ => list.push(Entry { key: key.to_string(), value: shown(value), origin: of(source, key) }),
    }
}

/// Origin of the value at a dotted key.
pub(super) fn of(source: &Source, key: &str) -> Origin {
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
fn indexed(source: &Source, key: &str) -> Option<String> {
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

/// Line number (from 1) of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1
}

/// A value as it would stand in the file; a long list or a section is cut short.
pub fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// A text as a message shows it: its first 80 characters.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_string(),
    }
}

/// The entries as an aligned table of key, value and origin.
pub fn table(entries: &[Entry]) -> String {
    let width = |f: fn(&Entry) -> &str| entries.iter().map(|e| f(e).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|e| &e.key), width(|e| &e.value).min(48));
    let line = |e: &Entry| format!("{:keys$} = {:values$}  # {}\n", e.key, e.value, e.origin);
    entries.iter().map(line).collect()
}
