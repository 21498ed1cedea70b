//! What shapes a campaign's data, kept in `fingerprint.json`: a folder is only resumed by the campaign that began it,
//! from the same input files and with the same numerics.
//!
//! The file carries its own digest, as all JSON of polycosm's. A *shape* is JSON: the resolved sections by name, and
//! beside them
//!
//! * `numerics`: versions by name of the simulator's parts, see [`crate::simulators::Section::numerics`];
//! * `files`: SHA-256 (its first half) of the input files by the places of their names in the sections, as JSON
//!   pointers; a list has one for each simulation;
//! * `given`, which is not kept: the keys and sections that stand in the campaign file; what is not among them is a
//!   default;
//! * `seen`, which is not kept: the keys and sections that only say what is seen of universes. They may change, and stay
//!   in the file as the folder was begun with them, for fields of older programs do not say with which they were seen.

mod files;
mod keys;
#[cfg(test)]
mod tests;

pub use files::digests;

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::publish_text;
use crate::io::identity::{open_sealed, sealed};
use crate::io::parameters::Parameters;
use crate::io::text;
use crate::prior::Prior;
use crate::simulators::SimulatorConfig;
use files::Contents;
use keys::{flatten, forget, is_given, lacks, within};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn path(output: &Path) -> PathBuf {
    output.join("fingerprint.json")
}

/// The shape that a folder was begun with; `None` if it was not begun.
pub fn read(output: &Path) -> Result<Option<Value>> {
    Ok(open(output)?.map(|(shape, _)| shape))
}

/// The same, and whether it carries its digest: older programs wrote none.
fn open(output: &Path) -> Result<Option<(Value, bool)>> {
    let path = path(output);
    let unusable = |problem: String| {
        let error = Error::failed(format!("cannot be used: {problem}")).file(&path);
        error.remedy("delete it if this folder is this campaign's (it is written anew), or give another output")
    };
    let Some(text) = text::read(&path).map_err(|e| unusable(e.problem))? else { return Ok(None) };
    let (mut whole, sealed) = open_sealed(&text).map_err(unusable)?;
    match whole.get_mut("campaign").map(Value::take) {
        Some(shape @ Value::Object(_)) => Ok(Some((shape, sealed))),
        _ => Err(unusable("it has no campaign".into())),
    }
}

/// Compares with what the folder was begun with, or begins it. `files` are those of the shape's digests.
pub fn check(output: &Path, shape: &Value, files: &[(String, Vec<PathBuf>)]) -> Result<()> {
    let write = |shape: &Value| publish_text(&path(output), &sealed(&json!({ "campaign": shape }))?);
    let mut kept = shape.clone();
    kept.as_object_mut().map(|table| ["given", "seen"].map(|key| table.remove(key)));
    let Some((begun, sealed)) = open(output)? else { return write(&kept) };
    compare(output, &begun, shape, files)?;
    kept = on(&begun, &kept);
    for (place, _) in files {
        if Contents::of(&begun, place).say_more_than(&Contents::of(shape, place)) {
            kept["files"][place] = begun["files"][place].clone();
            if let (Some(name), Some(was)) = (kept.pointer_mut(place), begun.pointer(place)) {
                *name = was.clone();
            }
        }
    }
    for key in seen(shape) {
        let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
        put(&mut kept, &begun, &place(section), last);
        put(&mut kept, &begun, "/numerics", last);
        files.iter().filter(|f| within(&self::key(&f.0), key)).for_each(|f| put(&mut kept, &begun, "/files", &f.0));
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
    if kept == begun && sealed { Ok(()) } else { write(&kept) }
}

/// The keys and sections that only say what is seen of universes.
fn seen(shape: &Value) -> impl Iterator<Item = &str> {
    shape["seen"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// True if a key, or the section it is in, only says what is seen of universes.
fn is_seen(shape: &Value, key: &str) -> bool {
    seen(shape).any(|section| within(key, section))
}

/// Gives a key of the table at a place the value that it has in another table, or none.
fn put(to: &mut Value, from: &Value, table: &str, key: &str) {
    let value = from.pointer(table).and_then(|table| table.get(key));
    if let Some(table) = to.pointer_mut(table).and_then(Value::as_object_mut) {
        match value {
            Some(value) => _ = table.insert(key.into(), value.clone()),
            None => _ = table.remove(key),
        }
    }
}

fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())
}

/// The prior that a shape's points are drawn from.
pub fn prior(shape: &Value) -> Option<Prior> {
    serde_json::from_value::<Parameters>(shape["design"]["parameters"].clone()).ok()?.prior().ok()
}

/// A shape whose prior is a part of that of the beginning, with the latter: its universes are the same.
fn on(begun: &Value, shape: &Value) -> Value {
    let mut shape = shape.clone();
    if prior(&shape).zip(prior(begun)).is_some_and(|(part, whole)| part.within(&whole)) {
        shape["design"]["parameters"] = begun["design"]["parameters"].clone();
    }
    shape
}

/// What the simulator's keys mean beside themselves, where an older program did not keep it: how far lens planes reach.
fn unsaid(begun: &Value) -> BTreeMap<String, Value> {
    let Ok(simulator) = serde_json::from_value::<SimulatorConfig>(begun["simulator"].clone()) else {
        return BTreeMap::new(); // this program kept it, or it has other keys
    };
    let keys = flatten(&json!({ "simulator": simulator }));
    let mut all = flatten(&json!({ "simulator": simulator.shaping() }));
    all.retain(|key, _| !keys.contains_key(key));
    all
}

/// Refuses a shape that differs from the one that a folder was `begun` with, by the key; what is only seen may differ.
/// Writes nothing.
pub fn compare(output: &Path, begun: &Value, shape: &Value, files: &[(String, Vec<PathBuf>)]) -> Result<()> {
    let folder = absolute(output);
    let folder = folder.display();
    let (another, shape) = ("give another output", &on(begun, shape));

    let (mut old, mut new) = (flatten(begun), flatten(shape));
    old.extend(unsaid(begun));
    // How universes are packed is nothing to them.
    for flat in [&mut old, &mut new] {
        flat.retain(|key, _| !within(key, "suite"));
    }
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
    let differs = |key: &&String| old.get(*key) != new.get(*key) && !begins(key) && !is_seen(shape, key);
    if let Some(key) = new.keys().chain(old.keys()).find(differs) {
        let problem = match old.get(key) {
            Some(value) => format!("the folder {folder} was begun with {value}"),
            None => format!("the folder {folder} was begun without this key"),
        };
        let error = Error { value: new.get(key).map(Value::to_string), ..Error::input(problem).key(key) };
        let inwards = if key.starts_with("design.parameters") { " (bounds may move inwards)" } else { "" };
        return Err(error.remedy(format!("{another}, set the key back{inwards}, or delete that folder")));
    }

    // Before versions were kept all were 1.
    let version = |shape: &Value, part: &str| shape["numerics"][part].as_u64().unwrap_or(1);
    let parts = shape["numerics"].as_object().into_iter().flat_map(|parts| parts.keys());
    for part in parts.filter(|part| !is_seen(shape, &format!("simulator.{part}"))) {
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

    for (place, paths) in files.iter().filter(|f| !is_seen(shape, &key(&f.0))) {
        let (was, is) = (Contents::of(begun, place), Contents::of(shape, place));
        let other = |i: &usize| was.get(*i).zip(is.get(*i)).is_some_and(|(was, is)| was != is);
        if let Some(i) = (0..was.digests.len().max(is.digests.len())).find(other) {
            let which = if was.each || is.each { format!(" for simulation {i}") } else { String::new() };
            let problem = format!("is not the file that {folder} was begun with{which}: it has other contents");
            let file = paths.get(if is.each { i } else { 0 });
            let error = Error::input(problem).file(file.unwrap_or(&path(output))).key(key(place));
            return Err(error.remedy(format!("put back what stood in it, or {another}")));
        }
    }
    Ok(())
}

/// The dotted key of a place.
pub fn key(place: &str) -> String {
    place[1..].replace('/', ".")
}

/// The place of a dotted key.
fn place(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

/// What a folder was begun with for a key: a file's digest, or a value.
pub fn begun_with(begun: &Value, key: &str) -> Value {
    let file = begun["files"].get(place(key)).and_then(|digests| digests.get(0));
    file.or_else(|| begun.pointer(&place(key))).cloned().unwrap_or_default()
}

/// The keys with which a field `was` seen otherwise than it would be `now`, by what it says itself or, where it says
/// nothing, by what its folder was `begun` with.
pub fn seen_otherwise(was: &FieldSpec, now: &FieldSpec, begun: &Value, shape: &Value) -> Vec<String> {
    let all = flatten(begun);
    let of = |seen: &BTreeMap<String, Value>, key: &str| seen.get(key).cloned().unwrap_or_default();
    let differs = |key: &&&String| {
        if !was.seen.is_empty() {
            return of(&was.seen, key) != of(&now.seen, key);
        }
        let [mut old, mut new] =
            [begun_with(begun, key), of(&now.seen, key)].map(|value| flatten(&json!({ key.as_str(): value })));
        [&mut old, &mut new].into_iter().for_each(|flat| flat.retain(|_, value| !value.is_null()));
        // A default that the folder's program did not know is no other one.
        let begins = |at: &String| {
            lacks(&all, at).is_some_and(|section| !section.starts_with("numerics") && !is_given(shape, section))
        };
        new.keys().chain(old.keys()).any(|at| old.get(at) != new.get(at) && !begins(at))
    };
    let keys: BTreeSet<&String> = now.seen.keys().chain(was.seen.keys()).collect();
    keys.iter().filter(differs).map(|key| key.to_string()).collect()
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
