//! Where every resolved value came from: the file and its line, the command line, or a default.

use super::text::shown;
use super::written::{Origin, Written, of};
use toml::Value;

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
pub(super) fn entries(value: &Value, source: &Written) -> Vec<Entry> {
    let mut list = vec![];
    walk(value, "", source, &mut list);
    list
}

fn walk(value: &Value, key: &str, source: &Written, list: &mut Vec<Entry>) {
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

/// The entries as an aligned table of key, value and origin.
pub fn table(entries: &[Entry]) -> String {
    let width = |f: fn(&Entry) -> &str| entries.iter().map(|e| f(e).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|e| &e.key), width(|e| &e.value).min(48));
    let line = |e: &Entry| format!("{:keys$} = {:values$}  # {}\n", e.key, e.value, e.origin);
    entries.iter().map(line).collect()
}
