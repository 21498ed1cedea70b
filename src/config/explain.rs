//! Turns the errors of TOML and serde into messages that a person can act on.

use super::text::{cut, line_at};
use super::written::Written;
use crate::error::Error;
pub use crate::error::suggestion;
use serde_path_to_error::{Path as KeyPath, Segment};
use std::path::Path;
use toml::Value;

/// The text is not TOML, or says one key twice.
pub fn syntax(path: &Path, text: &str, e: &toml::de::Error) -> Error {
    let start = e.span().map_or(0, |s| s.start);
    let place = format!("{}:{}", path.display(), line_at(text, start));
    let before = text[..start.min(text.len())].rfind('\n').map_or(0, |n| n + 1);
    let line = text[before..].lines().next().unwrap_or("").trim();
    if !e.message().contains("duplicate key") {
        let remedy = "mend this line (https://toml.io explains the format in a page)";
        return Error::input(e.message().replace('\n', ", ")).file(place).value(Bare(line)).remedy(remedy);
    }
    let header = |l: &str| Some(l.trim().strip_prefix('[')?.split(']').next()?.trim_matches('[').trim().to_string());
    if let Some(section) = header(line) {
        return Error::input("this section is given twice").file(place).key(section).remedy("join the two");
    }
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let key = match text[..before].lines().rev().find_map(header) {
        Some(section) => format!("{section}.{}", name.trim()),
        None => name.trim().to_string(),
    };
    Error::input("given twice").file(place).key(key).value(Bare(value.trim())).remedy("keep one of the two lines")
}

/// The file is TOML, but does not say what the program reads.
pub fn meaning(source: &Written, e: &serde_path_to_error::Error<toml::de::Error>) -> Error {
    let at = dotted(e.path());
    let message = e.inner().message().trim().replace('\n', " ");
    let quoted = backquoted(&message);
    let join = |name: &str| if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
    let error = if message.starts_with("unknown field") {
        let (name, known) = quoted.split_first().map_or(("", &[][..]), |(n, k)| (*n, k));
        let key =
            if at.rsplit('.').next() == Some(name) && source.value(&join(name)).is_none() { at } else { join(name) };
        Error::input("unknown key").key(key).remedy(suggestion(name, known, "remove it: no key is known here"))
    } else if message.starts_with("missing field") {
        let key = join(quoted.first().unwrap_or(&""));
        let remedy = match key.rsplit_once('.') {
            Some((section, name)) => format!("add `{name} = …` to [{section}]"),
            None => format!("add `{key}` to the file"),
        };
        Error::input("is missing").key(key).remedy(remedy)
    } else if message.starts_with("unknown variant") {
        let (name, known) = quoted.split_first().map_or(("", &[][..]), |(n, k)| (*n, k));
        let key = if is_value(source, &at, name) { at } else { find(source, &at, |v| v.as_str() == Some(name)) };
        Error::input("is not one of the choices").key(key).remedy(suggestion(name, known, "see the manual"))
    } else if let Some((found, expected)) = message.strip_prefix("invalid ").and_then(|m| m.split_once(", expected ")) {
        let found = found.split_once(": ").map_or(found, |(_, found)| found);
        let key = match source.value(&at) {
            Some(Value::Table(_) | Value::Array(_)) => find(source, &at, |v| described(v) == found),
            _ => at,
        };
        // What stands where a choice should is no variant of anything.
        let found = match source.value(&key).filter(|_| found == "unit variant") {
            Some(value) => described(value),
            None => found.to_string(),
        };
        let length = message.starts_with("invalid length");
        let problem = if length { "wrong length" } else { "wrong type or value" };
        Error::input(problem).key(key).remedy(format!("expected {}, found {found}", plain(expected)))
    } else {
        let (key, remedy) = (at, "see the comment on this key in `polycosm new run.toml`");
        if key.is_empty() { Error::input(message) } else { Error::input(message).key(key).remedy(remedy) }
    };
    source.locate(error)
}

/// Text shown without quotes.
struct Bare<'a>(&'a str);
impl std::fmt::Debug for Bare<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&cut(self.0))
    }
}

fn dotted(path: &KeyPath) -> String {
    let segment = |s: &Segment| match s {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    path.iter().filter_map(segment).collect::<Vec<_>>().join(".")
}

/// The words between backquotes.
fn backquoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

fn is_value(source: &Written, key: &str, text: &str) -> bool {
    source.value(key).and_then(Value::as_str) == Some(text)
}

/// The first leaf below `at` that fits. Inside serde's tagged enums it reports no more than the section.
fn find(source: &Written, at: &str, fits: impl Fn(&Value) -> bool) -> String {
    fn search(value: &Value, key: &str, fits: &dyn Fn(&Value) -> bool) -> Option<String> {
        let join = |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
        match value {
            _ if fits(value) => Some(key.to_string()),
            Value::Table(table) => table.iter().find_map(|(name, v)| search(v, &join(name), fits)),
            Value::Array(list) => list.iter().enumerate().find_map(|(i, v)| search(v, &join(&i.to_string()), fits)),
            _ => None,
        }
    }
    let whole = Value::Table(source.table.clone());
    let top = if at.is_empty() { Some(&whole) } else { source.value(at) };
    top.and_then(|v| search(v, at, &fits)).unwrap_or_else(|| at.to_string())
}

/// The value in serde's words.
fn described(value: &Value) -> String {
    use serde::de::Unexpected;
    match value {
        Value::String(s) => Unexpected::Str(s),
        Value::Integer(i) => Unexpected::Signed(*i),
        Value::Float(f) => Unexpected::Float(*f),
        Value::Boolean(b) => Unexpected::Bool(*b),
        Value::Array(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
        Value::Datetime(_) => Unexpected::Other("datetime"),
    }
    .to_string()
}

/// Rust's type names in everyday words.
fn plain(expected: &str) -> &str {
    match expected.trim() {
        "f32" | "f64" => "a number",
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a string" => "text in quotes",
        "a sequence" => "a list, [ … ]",
        "a map" => "a section",
        "string only" => "a choice in quotes, or { choice = … }",
        other if other.starts_with("struct ") || other.contains(" enum ") => "a section",
        other => other,
    }
}
