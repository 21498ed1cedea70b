//! What shapes a campaign's data, kept in `fingerprint.json`: a folder is only resumed by the campaign that began it, from the
//! same input files and with the same numerics.
//!
//! A *shape* is JSON: the resolved sections by name, and beside them
//!
//! * `numerics`: versions by name of the simulator's parts, see [`crate::simulators::Section::numerics`];
//! * `files`: SHA-256 (its first half) of the input files by the places of their names in the sections, as JSON pointers; a
//!   list has one for each simulation;
//! * `given`, which is not kept: the keys and sections that stand in the campaign file; what is not among them is a default.

use crate::error::{At, Error, Result};
use crate::io::hdf::publish_text;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What stands beside the campaign's sections.
const BESIDE: [&str; 3] = ["numerics", "files", "given"];

fn path(output: &Path) -> PathBuf {
    output.join("fingerprint.json")
}

/// The shape that a folder was begun with; `None` if it was not begun.
pub fn read(output: &Path) -> Result<Option<Value>> {
    let path = path(output);
    let text = match std::fs::read_to_string(&path) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        text => text.at(&path)?,
    };
    let damaged = |problem: String| {
        let error = Error::failed(format!("is damaged: {problem}")).file(&path);
        error.remedy("delete it if this folder is this campaign's (it is written anew), or give another output")
    };
    let mut whole: Value = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    match whole.get_mut("campaign").map(Value::take) {
        Some(shape @ Value::Object(_)) => Ok(Some(shape)),
        _ => Err(damaged("it has no campaign".into())),
    }
}

/// Digests of input files, for a shape's `files`.
pub fn digests(files: &[(String, Vec<PathBuf>)]) -> Result<Value> {
    let digest = |path: &PathBuf| -> Result<Value> {
        let mut hash = Sha256::new();
        std::fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hash)).at(path)?;
        Ok(hash.finalize()[..16].iter().map(|b| format!("{b:02x}")).collect::<String>().into())
    };
    let of = |(place, paths): &(String, Vec<PathBuf>)| {
        Ok((place.clone(), Value::Array(paths.iter().map(digest).collect::<Result<_>>()?)))
    };
    Ok(Value::Object(files.iter().map(of).collect::<Result<Map<_, _>>>()?))
}

/// Compares with what the folder was begun with, or begins it. `files` are those of the shape's digests.
pub fn check(output: &Path, shape: &Value, files: &[(String, Vec<PathBuf>)]) -> Result<()> {
    let write = |shape: &Value| publish_text(&path(output), &format!("{:#}\n", json!({ "campaign": shape })));
    let mut kept = shape.clone();
    kept.as_object_mut().map(|table| table.remove("given"));
    let Some(begun) = read(output)? else { return write(&kept) };
    compare(output, &begun, shape, files)?;
    for (place, _) in files {
        let count = |shape: &Value| shape["files"][place].as_array().map_or(0, Vec::len);
        if count(&begun) > count(shape) {
            kept["files"][place] = begun["files"][place].clone();
        }
    }
    if begun.get("numerics").is_none() && shape.get("numerics").is_some() {
        let folder = absolute(output);
        let folder = folder.display();
        let names: Vec<String> = files.iter().flat_map(|f| &f.1).take(3).map(|p| p.display().to_string()).collect();
        let names = if names.is_empty() { String::new() } else { format!(", such as {},", names.join(", ")) };
        log::warn!(
            "{folder} was begun by an older program, which did not keep what stood in its input files{names} nor the \
             version of its numerics: they are taken to be the same, and kept from now on"
        );
    }
    if kept == begun { Ok(()) } else { write(&kept) }
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
}

/// Refuses a shape that differs from the one that a folder was `begun` with, by the key. Writes nothing.
pub fn compare(output: &Path, begun: &Value, shape: &Value, files: &[(String, Vec<PathBuf>)]) -> Result<()> {
    let folder = absolute(output);
    let folder = folder.display();
    let another = "give another output";

    let (mut old, mut new) = (flatten(begun), flatten(shape));
    // Where the contents are known, the names do not matter.
    if begun.get("files").is_some() {
        for (place, _) in files {
            for flat in [&mut old, &mut new] {
                forget(flat, place);
            }
        }
    }
    // A default that the folder's program did not know is no other campaign: the numerics tell whether it is.
    let begins = |key: &str| lacks(&old, key).is_some_and(|section| !is_given(shape, section));
    let differs = |key: &&String| old.get(*key) != new.get(*key) && !begins(key);
    if let Some(key) = new.keys().chain(old.keys()).find(differs) {
        let problem = match old.get(key) {
            Some(value) => format!("the folder {folder} was begun with {value}"),
            None => format!("the folder {folder} was begun without this key"),
        };
        let error = Error { value: new.get(key).map(Value::to_string), ..Error::input(problem).key(key) };
        return Err(error.remedy(format!("{another}, set the key back, or delete that folder")));
    }

    // Before versions were kept all were 1.
    let version = |shape: &Value, part: &str| shape["numerics"][part].as_u64().unwrap_or(1);
    for part in shape["numerics"].as_object().into_iter().flat_map(|parts| parts.keys()) {
        let [was, is] = [begun, shape].map(|s| version(s, part));
        if was != is {
            let problem = format!(
                "the universes in {folder} were made with version {was} of the numerics of {part}; this program has \
                 version {is}, and the same universe would not come out"
            );
            let error = Error::input(problem).file(path(output)).key(format!("numerics.{part}"));
            return Err(error.remedy(format!("{another}, or go on with the program that began it")));
        }
    }

    for (place, paths) in files {
        let list = |shape: &Value| shape["files"][place].as_array().cloned().unwrap_or_default();
        let (was, is) = (list(begun), list(shape));
        if let Some(i) = was.iter().zip(&is).position(|(was, is)| was != is) {
            let which = if is.len() > 1 { format!(" for simulation {i}") } else { String::new() };
            let problem = format!("is not the file that {folder} was begun with{which}: it has other contents");
            let error = Error::input(problem).file(&paths[i]).key(place[1..].replace('/', "."));
            return Err(error.remedy(format!("put back what stood in it, or {another}")));
        }
    }
    Ok(())
}

/// A key whose value is a default, and another one than the folder was begun with.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    pub key: String,
    pub begun: Value,
    pub default: Value,
}

/// Defaults that differ from what a folder was begun with.
pub fn changed_defaults(begun: &Value, shape: &Value) -> Vec<Changed> {
    let (old, new) = (flatten(begun), flatten(shape));
    let changed = |(key, default): (String, Value)| {
        let begun = old.get(&key).filter(|&begun| *begun != default && !is_given(shape, &key))?.clone();
        Some(Changed { key, begun, default })
    };
    new.into_iter().filter_map(changed).collect()
}

/// True if `key` is this section, or in it.
fn within(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// True if the campaign file itself has this key or section, or something in it.
fn is_given(shape: &Value, section: &str) -> bool {
    let given = shape["given"].as_array();
    given.is_none_or(|given| given.iter().filter_map(Value::as_str).any(|key| within(key, section)))
}

/// The outermost section on the way to a key, or the key itself, that flat keys do not have.
fn lacks<'a>(flat: &BTreeMap<String, Value>, key: &'a str) -> Option<&'a str> {
    let ends = key.match_indices('.').map(|(i, _)| i).chain([key.len()]);
    ends.map(|end| &key[..end]).find(|section| !flat.keys().any(|k| within(k, section)))
}

/// Removes the name of a file at a place from the flat keys; within a list of sections from that list.
fn forget(flat: &mut BTreeMap<String, Value>, place: &str) {
    let segments: Vec<&str> = place[1..].split('/').collect();
    for n in (1..=segments.len()).rev() {
        if let Some(value) = flat.get_mut(&segments[..n].join(".")) {
            let rest: String = segments[n..].iter().map(|s| format!("/{s}")).collect();
            if let Some(name) = value.pointer_mut(&rest).filter(|v| v.is_string()) {
                *name = "".into();
            }
            return;
        }
    }
}

/// Dotted keys of the sections and their values; the place of a key in its table counts too, for theta's columns follow it.
fn flatten(shape: &Value) -> BTreeMap<String, Value> {
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
    let mut sections = shape.clone();
    if let Some(table) = sections.as_object_mut() {
        BESIDE.iter().for_each(|name| drop(table.remove(*name)));
    }
    let mut all = BTreeMap::new();
    walk("", &sections, &mut all);
    // Rows of a list are compared one by one with those that were simulated.
    all.remove("design.file");
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;

    fn shape() -> Value {
        json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"a": {"min": 0}, "b": {"min": 1}}}})
    }

    #[test]
    fn the_first_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let check = |shape: &Value| check(dir.path(), shape, &[]);
        let shape = shape();
        check(&shape).unwrap();
        check(&shape).unwrap();
        let mut other = shape.clone();
        other["simulator"]["box_size"] = json!(128.0);
        let e = check(&other).unwrap_err();
        assert_eq!((e.key.as_deref(), e.exit_code()), (Some("simulator.box_size"), 2));
        assert!(e.problem.contains("256"), "{e}");
        let mut more = shape.clone();
        more["simulator"]["halos"] = json!({"least": 20});
        let e = check(&more).unwrap_err();
        assert!(e.problem.contains("begun without this key"), "{e}");
        for text in ["{", "{}", "[1]"] {
            std::fs::write(dir.path().join("fingerprint.json"), text).unwrap();
            let e = check(&shape).unwrap_err();
            assert!(e.to_string().contains("fingerprint.json: is damaged") && e.remedy.is_some(), "{e}");
        }
        std::fs::remove_file(dir.path().join("fingerprint.json")).unwrap();
        check(&shape).unwrap();
        let swapped = json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"b": {"min": 1}, "a": {"min": 0}}}});
        assert!(check(&swapped).unwrap_err().key.unwrap().contains("order"));
    }

    #[test]
    fn a_folder_goes_on_with_the_defaults_that_it_was_begun_with() {
        let mut begun = shape();
        begun["simulator"]["gradient"] = json!("four-point");
        let mut now = begun.clone();
        now["simulator"]["gradient"] = json!("spectral");
        now["given"] = json!(["seed", "simulator", "simulator.box_size"]);
        let changed = changed_defaults(&begun, &now);
        assert_eq!(changed.len(), 1);
        assert_eq!((changed[0].key.as_str(), &changed[0].begun), ("simulator.gradient", &json!("four-point")));
        now["given"] = json!(["simulator", "simulator.gradient"]);
        assert!(changed_defaults(&begun, &now).is_empty(), "what is given is meant");

        // A key that the older program did not know is no other campaign; a section that the user adds is.
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), &begun, &[]).unwrap();
        let mut newer = begun.clone();
        newer["simulator"]["new"] = json!({"key": 3});
        newer["given"] = json!(["simulator", "simulator.new"]);
        assert_eq!(check(dir.path(), &newer, &[]).unwrap_err().key.unwrap(), "simulator.new.key");
        newer["given"] = json!(["simulator"]);
        check(dir.path(), &newer, &[]).unwrap();
        newer["simulator"]["new"]["key"] = json!(4);
        assert_eq!(check(dir.path(), &newer, &[]).unwrap_err().key.unwrap(), "simulator.new.key");
    }

    #[test]
    fn other_numerics_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with = |pm: u64| {
            let mut shape = shape();
            shape["numerics"] = json!({ "pm": pm });
            shape
        };
        check(dir.path(), &shape(), &[]).unwrap();
        assert!(check(dir.path(), &with(2), &[]).is_err(), "what has no version is of the first");
        check(dir.path(), &with(1), &[]).unwrap();
        let e = check(dir.path(), &with(2), &[]).unwrap_err();
        assert!(e.exit_code() == 2 && e.problem.contains("version 1") && e.problem.contains("version 2"), "{e}");
    }

    #[test]
    fn contents_count_and_names_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (output, place) = (dir.path().join("o"), "/cosmology/tables/0.0".to_string());
        std::fs::create_dir(&output).unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let go = |names: &[PathBuf], digested: bool| {
            let mut shape = shape();
            shape["cosmology"] = json!({"tables": {"0.0": names[0]}});
            let files = [(place.clone(), names.to_vec())];
            if digested {
                shape["files"] = digests(&files).unwrap();
                shape["numerics"] = json!({"pm": 1});
            }
            check(&output, &shape, &files)
        };
        let (a, b) = (file("a.txt", "1"), file("b.txt", "2"));
        go(from_ref(&a), false).unwrap();
        assert!(go(&[file("c.txt", "1")], true).is_err(), "an old folder has nothing but the name");
        go(from_ref(&a), true).unwrap();
        go(&[file("c.txt", "1")], true).unwrap();
        go(&[a.clone(), b.clone()], true).unwrap();
        go(from_ref(&a), true).unwrap();
        let e = go(&[a.clone(), file("b.txt", "3")], true).unwrap_err();
        assert!(e.to_string().contains("b.txt") && e.exit_code() == 2 && e.remedy.is_some(), "{e}");
        file("a.txt", "4");
        let e = go(&[a], true).unwrap_err();
        assert_eq!(e.key.as_deref(), Some("cosmology.tables.0.0"));
    }
}
