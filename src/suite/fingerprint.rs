//! What shapes a campaign's data, kept in `fingerprint.json`: a folder is only resumed by the campaign that began it.

use crate::error::{At, Error, Result};
use crate::io::hdf::publish_text;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Compares with what the folder was begun with, or begins it.
pub fn check(output: &Path, shape: &Value) -> Result<()> {
    let path = output.join("fingerprint.json");
    let text = match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let all = json!({ "hash": hash(shape), "campaign": shape });
            return publish_text(&path, &format!("{all:#}\n"));
        }
        text => text.at(&path)?,
    };
    let damaged = |e: serde_json::Error| {
        let error = Error::failed(format!("is damaged: {e}"));
        error.remedy("delete it if this folder is this campaign's (it is written anew), or give another output")
    };
    let begun: Value = serde_json::from_str(&text).map_err(damaged).at(&path)?;
    if begun["hash"] == hash(shape).as_str() {
        return Ok(());
    }
    let (old, new) = (flatten(&begun["campaign"]), flatten(shape));
    let key = new.keys().chain(old.keys()).find(|k| old.get(*k) != new.get(*k)).cloned().unwrap_or_default();
    let show = |v: Option<&Value>| v.map_or("absent".to_string(), Value::to_string);
    let problem = format!("the folder {} was begun with {}", output.display(), show(old.get(&key)));
    let error = Error::input(problem);
    let error = match new.get(&key) {
        Some(value) => Error { value: Some(value.to_string()), ..error.key(key) },
        None => error.key(key),
    };
    Err(error.remedy("give another output, set the key back, or delete that folder"))
}

fn hash(shape: &Value) -> String {
    let flat: Vec<String> = flatten(shape).iter().map(|(k, v)| format!("{k}={v}\n")).collect();
    Sha256::digest(flat.concat()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Dotted keys and their values; the place of a key in its table counts too, for theta's columns follow it.
fn flatten(value: &Value) -> BTreeMap<String, Value> {
    fn walk(at: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, v) in table {
                    walk(&if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, v, all);
                }
                if at.ends_with("parameters") {
                    all.insert(format!("{at} (order)"), table.keys().cloned().collect());
                }
            }
            v => {
                all.insert(at.to_string(), v.clone());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk("", value, &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let shape = json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"a": {"min": 0}, "b": {"min": 1}}}});
        check(dir.path(), &shape).unwrap();
        check(dir.path(), &shape).unwrap();
        let mut other = shape.clone();
        other["simulator"]["box_size"] = json!(128.0);
        let e = check(dir.path(), &other).unwrap_err();
        assert_eq!((e.key.as_deref(), e.exit_code()), (Some("simulator.box_size"), 2));
        assert!(e.problem.contains("256"), "{e}");
        std::fs::write(dir.path().join("fingerprint.json"), "{").unwrap();
        let e = check(dir.path(), &shape).unwrap_err();
        assert!(e.to_string().contains("fingerprint.json: is damaged") && e.remedy.is_some(), "{e}");
        std::fs::remove_file(dir.path().join("fingerprint.json")).unwrap();
        check(dir.path(), &shape).unwrap();
        let swapped = json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"b": {"min": 1}, "a": {"min": 0}}}});
        assert!(check(dir.path(), &swapped).unwrap_err().key.unwrap().contains("order"));
    }
}
