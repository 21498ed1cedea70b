//! A shape as dotted keys and their values.

use serde_json::Value;
use std::collections::BTreeMap;

/// What stands beside the campaign's sections.
const BESIDE: [&str; 4] = ["numerics", "files", "given", "seen"];

/// True if `key` is this section, or in it.
pub fn within(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// True if the campaign file itself has this key or section, or something in it.
pub fn is_given(shape: &Value, section: &str) -> bool {
    let given = shape["given"].as_array();
    given.is_none_or(|given| given.iter().filter_map(Value::as_str).any(|key| within(key, section)))
}

/// The outermost section on the way to a key, or the key itself, that flat keys do not have.
pub fn lacks<'a>(flat: &BTreeMap<String, Value>, key: &'a str) -> Option<&'a str> {
    let ends = key.match_indices('.').map(|(i, _)| i).chain([key.len()]);
    ends.map(|end| &key[..end]).find(|section| !flat.keys().any(|k| within(k, section)))
}

/// Removes the name of a file at a place from the flat keys; within a list of sections from that list.
pub fn forget(flat: &mut BTreeMap<String, Value>, place: &str) {
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
pub fn flatten(shape: &Value) -> BTreeMap<String, Value> {
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
