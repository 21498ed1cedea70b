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

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::publish_text;
use crate::io::identity::{DIGITS, digest_of_file, open_sealed, sealed};
use crate::io::parameters::Parameters;
use crate::io::text;
use crate::prior::Prior;
use crate::simulators::SimulatorConfig;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What stands beside the campaign's sections.
const BESIDE: [&str; 4] = ["numerics", "files", "given", "seen"];

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

/// Digests of input files, for a shape's `files`.
pub fn digests(files: &[(String, Vec<PathBuf>)]) -> Result<Value> {
    let digest = |path: &PathBuf| -> Result<Value> { Ok(digest_of_file(path)?[..DIGITS].into()) };
    let of = |(place, paths): &(String, Vec<PathBuf>)| {
        Ok((place.clone(), Value::Array(paths.iter().map(digest).collect::<Result<_>>()?)))
    };
    Ok(Value::Object(files.iter().map(of).collect::<Result<Map<_, _>>>()?))
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

/// Digests of what universes are made from, at one place: one file for all of them, or one for each.
struct Contents<'a> {
    digests: &'a [Value],
    /// The name has the simulation's number in it.
    each: bool,
}

impl<'a> Contents<'a> {
    fn of(shape: &'a Value, place: &str) -> Self {
        let digests = shape["files"][place].as_array().map_or(&[][..], |list| &list[..]);
        let name = shape.pointer(place).and_then(Value::as_str).unwrap_or("");
        Contents { digests, each: digests.len() > 1 || name.contains("{index") }
    }

    /// Simulation `i`'s, where it is known.
    fn get(&self, i: usize) -> Option<&Value> {
        self.digests.get(if self.each { i } else { 0 })
    }

    /// What is said of all universes is more than what is said of some, which is more the longer the list.
    fn say_more_than(&self, other: &Self) -> bool {
        match (self.each, other.each) {
            (false, each) => each && !self.digests.is_empty(),
            (true, each) => each && self.digests.len() > other.digests.len(),
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

/// Dotted keys of the sections and their values; the place of a key in its table counts too, for theta's columns follow
/// it.
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
    // Rows of a list are compared one by one with those that were simulated. What they are used for moves none.
    ["design.file", "design.validation", "design.test"].iter().for_each(|key| drop(all.remove(*key)));
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
            assert!(e.to_string().contains("fingerprint.json: cannot be used") && e.remedy.is_some(), "{e}");
        }
        std::fs::remove_file(dir.path().join("fingerprint.json")).unwrap();
        check(&shape).unwrap();
        let swapped = json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"b": {"min": 1}, "a": {"min": 0}}}});
        assert!(check(&swapped).unwrap_err().key.unwrap().contains("order"));
    }

    #[test]
    fn it_is_sealed_and_an_older_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        let check = || check(dir.path(), &shape(), &[]);
        let text = || std::fs::read_to_string(&file).unwrap();
        check().unwrap();
        let written = text();
        std::fs::write(&file, written.replace("256.0", "128.0")).unwrap();
        let e = check().unwrap_err();
        assert!(e.problem.contains("checksum does not match") && e.remedy.is_some(), "{e}");
        // Before there were seals the file was just this.
        std::fs::write(&file, format!("{:#}\n", json!({ "campaign": shape() }))).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(shape()));
        check().unwrap();
        assert_eq!(text(), written, "it is sealed from then on");
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(check().unwrap_err().problem.contains("no ordinary file"));
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
    fn what_is_only_seen_may_change_and_stays_as_begun() {
        let dir = tempfile::tempdir().unwrap();
        let mut begun = shape();
        begun["simulator"]["power"] = json!({"k": 1.0});
        begun["numerics"] = json!({"pm": 1, "power": 1});
        begun["seen"] = json!(["simulator.power", "simulator.maps"]);
        begun["given"] = json!(["seed", "simulator", "simulator.box_size", "simulator.power"]);
        check(dir.path(), &begun, &[]).unwrap();
        let kept = read(dir.path()).unwrap().unwrap();
        let mut now = begun.clone();
        now["simulator"]["power"]["k"] = json!(2.0);
        now["simulator"]["maps"] = json!({"pixels": 8});
        now["numerics"]["power"] = json!(2);
        check(dir.path(), &now, &[]).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), kept);
        now["numerics"]["pm"] = json!(2);
        assert_eq!(check(dir.path(), &now, &[]).unwrap_err().key.as_deref(), Some("numerics.pm"));

        // What an older program wrote is as the folder was begun; a default that it did not know is no other one.
        let field = |seen: Value| {
            let seen = serde_json::from_value(seen).unwrap();
            FieldSpec { seen, ..FieldSpec::vector("power", 3) }
        };
        let differ = |was: &Value, is: &Value| seen_otherwise(&field(was.clone()), &field(is.clone()), &kept, &begun);
        let (older, key) = (json!({}), ["simulator.power"]);
        assert!(differ(&older, &json!({"simulator.power": {"k": 1.0}})).is_empty());
        assert!(differ(&older, &json!({"simulator.power": {"k": 1.0, "new": false}})).is_empty());
        assert_eq!(differ(&older, &json!({"simulator.power": {"k": 2.0}})), key);
        assert_eq!(differ(&older, &json!({"simulator.power": {}})), key);
        assert_eq!(differ(&older, &json!({"numerics.power": 2})), ["numerics.power"]);
        assert!(differ(&json!({"simulator.power": 5}), &json!({"simulator.power": 5})).is_empty());
        assert_eq!(differ(&json!({"simulator.power": 5}), &json!({"simulator.power": 6})), key);
    }

    #[test]
    fn lens_planes_of_an_older_program_reach_as_far_as_they_did() {
        let dir = tempfile::tempdir().unwrap();
        let shape = |z: [f64; 2]| {
            let simulator = json!({
                "kind": "pm", "box_size": 64.0, "particles": 16,
                "lightcone": { "source_redshifts": z, "pixels": 8, "field_of_view_deg": 1.0 },
            });
            let simulator = serde_json::from_value::<SimulatorConfig>(simulator).unwrap();
            json!({
                "simulator": simulator.shaping(), "given": ["simulator"],
                "seen": ["simulator.lightcone.source_redshifts"],
            })
        };
        let mut begun = shape([0.5, 1.0]);
        let farthest = begun["simulator"].as_object_mut().unwrap().remove("lightcone (farthest source)");
        assert_eq!(farthest, Some(json!(1.0)));
        check(dir.path(), &begun, &[]).unwrap();
        let e = check(dir.path(), &shape([0.5, 0.99]), &[]).unwrap_err();
        assert_eq!(e.key.as_deref(), Some("simulator.lightcone (farthest source)"));
        check(dir.path(), &shape([0.7, 1.0]), &[]).unwrap();
        let e = check(dir.path(), &shape([0.7, 1.1]), &[]).unwrap_err();
        assert!(e.problem.contains("was begun with 1.0"), "{e}");
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
        let e = go(from_ref(&b), true).unwrap_err();
        assert!(e.to_string().contains("b.txt") && e.exit_code() == 2 && e.remedy.is_some(), "{e}");
        file("a.txt", "4");
        let e = go(&[a], true).unwrap_err();
        assert_eq!(e.key.as_deref(), Some("cosmology.tables.0.0"));
    }

    #[test]
    fn one_file_for_all_is_not_one_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let place = "/cosmology/table".to_string();
        let (same, other) = (file("same", "1"), file("other", "2"));
        // A fresh folder is begun with some files; others (the name, then one for each simulation) follow.
        let go = |turns: &[(&str, &[&PathBuf])]| -> Result<()> {
            let output = tempfile::tempdir().unwrap();
            turns.iter().try_for_each(|(name, paths)| {
                let files = [(place.clone(), paths.iter().map(|p| p.to_path_buf()).collect())];
                let mut shape = shape();
                shape["cosmology"] = json!({ "table": name });
                shape["files"] = digests(&files).unwrap();
                check(output.path(), &shape, &files)
            })
        };
        let (one, each) = ("pk.txt", "pk_{index}.txt");
        let e = go(&[(one, &[&same]), (each, &[&same, &other])]).unwrap_err();
        assert!(e.problem.contains("for simulation 1") && e.file.unwrap().ends_with("other"), "{}", e.problem);
        let e = go(&[(each, &[&same, &other]), (one, &[&same])]).unwrap_err();
        assert!(e.problem.contains("for simulation 1") && e.file.unwrap().ends_with("same"), "{}", e.problem);
        // Contents decide, and a longer list is no other one.
        go(&[(one, &[&same]), (each, &[&same, &same])]).unwrap();
        go(&[(each, &[&same]), (each, &[&same, &other])]).unwrap();
        // What was known of universes that are not asked for now stays known.
        go(&[(one, &[&same]), (each, &[&same]), (each, &[&same, &other])]).unwrap_err();
        go(&[(each, &[&same, &other]), (each, &[&same]), (each, &[&same, &same])]).unwrap_err();
        go(&[(each, &[&same]), (one, &[&same]), (each, &[&same, &other])]).unwrap_err();
    }
}
