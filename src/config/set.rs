//! `--set section.key=value`: one value of the campaign file replaced from the command line.

use crate::error::{Error, Result};
use toml::{Table, Value};

/// Segments of a key, at most; no campaign has more than six.
const DEEPEST: usize = 32;

/// Puts one `key=value` into the table; returns its key with array elements as indices.
pub fn apply(table: &mut Table, given: &str) -> Result<String> {
    let malformed = || {
        let remedy = "write --set section.key=value, for example --set cosmology.h=0.7";
        Error::input("not of the form key=value").key("--set").value(super::text::cut(given)).remedy(remedy)
    };
    let (key, value) = given.split_once('=').ok_or_else(malformed)?;
    let segments: Vec<&str> = split(key.trim()).collect();
    if segments.iter().any(|s| s.is_empty()) || segments.len() > DEEPEST {
        return Err(malformed());
    }
    let (last, parents) = segments.split_last().ok_or_else(malformed)?;
    let mut path: Vec<String> = vec![];
    let mut at = table;
    let mut rest = parents.iter();
    while let Some(&segment) = rest.next() {
        path.push(segment.to_string());
        let mut value = at.entry(segment.to_string()).or_insert_with(|| Value::Table(Table::new()));
        while let Value::Array(list) = value {
            let which = rest.next().copied().unwrap_or(last);
            let index = element(list, which).ok_or_else(|| no_element(list, &path.join("."), which))?;
            path.push(index.to_string());
            value = &mut list[index];
        }
        at = value.as_table_mut().ok_or_else(|| {
            let remedy = format!("`{}` is a value, not a section: set it whole", path.join("."));
            Error::input("there is no such key").key(key.trim()).value(given).remedy(remedy)
        })?;
    }
    path.push(last.to_string());
    at.insert(last.to_string(), parse(value.trim()));
    Ok(path.join("."))
}

/// The text as a TOML value; a bare word or path (and a date) is a string.
fn parse(text: &str) -> Value {
    let parsed: Option<Table> = format!("value = {text}").parse().ok();
    match parsed.filter(|t| t.len() == 1).and_then(|mut t| t.remove("value")) {
        Some(Value::Datetime(_)) | None => Value::String(text.to_string()),
        Some(value) => value,
    }
}

/// The segments of a dotted key.
pub fn split(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').map(|s| s.trim().trim_matches(['"', '\'']))
}

/// One step down from `value`: a table's key, or a list's element by index or by its `name`.
pub fn child<'a>(value: &'a Value, segment: &str) -> Option<&'a Value> {
    match value {
        Value::Table(table) => table.get(segment),
        Value::Array(list) => element(list, segment).map(|i| &list[i]),
        _ => None,
    }
}

fn element(list: &[Value], which: &str) -> Option<usize> {
    let named = list.iter().position(|v| v.get("name").and_then(Value::as_str) == Some(which));
    named.or_else(|| which.parse().ok().filter(|&i| i < list.len()))
}

fn no_element(list: &[Value], key: &str, which: &str) -> Error {
    let names: Vec<&str> = list.iter().filter_map(|v| v.get("name").and_then(Value::as_str)).collect();
    let known = if names.is_empty() { format!("0 to {}", list.len().max(1) - 1) } else { names.join(", ") };
    Error::input("there is no such element").key(key).value(which).remedy(format!("choose one of: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "seed = 1\n[[train]]\nname = 'a'\nepochs = 1\n[[train]]\nname = 'b'\n[suite]\n";

    fn set(given: &str) -> Result<(String, Table)> {
        let mut table: Table = TEXT.parse().unwrap();
        apply(&mut table, given).map(|key| (key, table))
    }

    #[test]
    fn values_are_toml_or_bare_words() {
        for (text, value) in [
            ("3", Value::Integer(3)),
            ("0.5", Value::Float(0.5)),
            ("true", Value::Boolean(true)),
            ("[1, 2]", Value::Array(vec![Value::Integer(1), Value::Integer(2)])),
            ("'3'", Value::String("3".into())),
            ("/scratch/run 1", Value::String("/scratch/run 1".into())),
            ("2026-01-02", Value::String("2026-01-02".into())),
            ("1\nseed = 2", Value::String("1\nseed = 2".into())),
        ] {
            assert_eq!(parse(text), value, "{text}");
        }
    }

    #[test]
    fn sets_by_name_by_index_and_into_new_sections() {
        let (key, table) = set("train.b.epochs=7").unwrap();
        assert_eq!((key.as_str(), &table["train"][1]["epochs"]), ("train.1.epochs", &Value::Integer(7)));
        assert_eq!(set("train.0.epochs=8").unwrap().1["train"][0]["epochs"], Value::Integer(8));
        assert_eq!(set("cosmology.h=0.7").unwrap().1["cosmology"]["h"], Value::Float(0.7));
        assert_eq!(set("seed=2").unwrap().1["seed"], Value::Integer(2));
    }

    #[test]
    fn refuses_what_leads_nowhere() {
        assert!(set("seed").unwrap_err().to_string().contains("section.key=value"));
        assert!(set(&format!("{}x=1", "a.".repeat(100_000))).unwrap_err().to_string().len() < 300);
        assert!(set("seed.x=1").unwrap_err().to_string().contains("not a section"));
        let unknown = set("train.c.epochs=1").unwrap_err();
        assert_eq!((unknown.key.as_deref(), unknown.value.as_deref()), (Some("train"), Some("\"c\"")));
        assert!(unknown.remedy.unwrap().contains("a, b"));
    }
}
