//! The JSON schema of campaign files says what the reader says, and the tables of `docs/campaign.md` are made from it.

mod common;

use common::repository;
use polycosm::config::schema::{schema, unit_in_words};
use polycosm::config::{campaign::Config, load};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Table;

fn recipes() -> Vec<PathBuf> {
    let all = std::fs::read_dir(repository("recipes")).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(all.len() > 3, "the recipes were found");
    all
}

/// The schema's parts by their names in the campaign file.
struct Parts(Value);

impl Parts {
    fn new() -> Self {
        Parts(schema().to_value())
    }

    /// What a reference stands for.
    fn at<'a>(&'a self, part: &'a Value) -> &'a Value {
        let link = part["$ref"].as_str().or(part["allOf"][0]["$ref"].as_str());
        link.map_or(part, |link| self.at(self.0.pointer(link.trim_start_matches('#')).unwrap()))
    }

    /// What a value may be: the alternatives, or the part itself.
    fn choices<'a>(&'a self, part: &'a Value) -> Vec<&'a Value> {
        let part = self.at(part);
        let choices = part["oneOf"].as_array().or(part["anyOf"].as_array());
        choices.map_or(vec![part], |choices| choices.iter().flat_map(|choice| self.choices(choice)).collect())
    }

    /// The tables of that name: one, or one for each kind. `NAME` stands for any name, a list for its members.
    fn tables(&self, path: &str) -> Vec<&Value> {
        path.split('.').filter(|key| !key.is_empty()).fold(vec![&self.0], |tables, key| {
            let below = tables.into_iter().flat_map(|table| match key {
                "NAME" => self.choices(&table["additionalProperties"]),
                _ => match &table["properties"][key] {
                    Value::Null => vec![],
                    part if self.at(part)["items"].is_object() => self.choices(&self.at(part)["items"]),
                    part => self.choices(part),
                },
            });
            let mut found: Vec<&Value> = vec![];
            below.for_each(|part| {
                if !found.contains(&part) {
                    found.push(part)
                }
            });
            found
        })
    }

    /// Why a value is not what the part allows. Knows the words that our schema uses, and no others.
    fn refuses(&self, part: &Value, value: &Value, path: &str) -> Vec<String> {
        let wrong =
            |fine: bool, what: &Value| if fine { vec![] } else { vec![format!("{path}: {value} is not {what}")] };
        let every = |list: &Value| -> Vec<Vec<String>> {
            list.as_array().unwrap().iter().map(|one| self.refuses(one, value, path)).collect()
        };
        let fits = |list: &Value| every(list).iter().filter(|why| why.is_empty()).count();
        let Some(words) = part.as_object() else { return wrong(*part == true, part) };
        let one_word = |(word, what): (&String, &Value)| match word.as_str() {
            "$schema" | "title" | "description" | "default" | "format" | "definitions" => vec![],
            word if word.starts_with("x-") => vec![],
            "$ref" => self.refuses(self.at(part), value, path),
            "const" => wrong(value == what, what),
            "enum" => wrong(what.as_array().unwrap().contains(value), what),
            "allOf" => every(what).concat(),
            "anyOf" => {
                if fits(what) > 0 {
                    vec![]
                } else {
                    every(what).concat()
                }
            }
            "oneOf" => {
                if fits(what) == 1 {
                    vec![]
                } else {
                    every(what).concat()
                }
            }
            "minimum" => wrong(value.as_f64() >= what.as_f64(), what),
            "minItems" => wrong(value.as_array().is_none_or(|list| list.len() as u64 >= what.as_u64().unwrap()), what),
            "maxItems" => wrong(value.as_array().is_none_or(|list| list.len() as u64 <= what.as_u64().unwrap()), what),
            "type" => wrong(
                match what.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("{path}: type {other}"),
                },
                what,
            ),
            "items" => {
                let list = value.as_array().into_iter().flatten().enumerate();
                list.flat_map(|(i, one)| self.refuses(what, one, &format!("{path}/{i}"))).collect()
            }
            "required" => {
                let lacks = |key: &&Value| value.is_object() && value.get(key.as_str().unwrap()).is_none();
                let missing = what.as_array().unwrap().iter().filter(lacks);
                missing.map(|key| format!("{path}: {key} is missing")).collect()
            }
            "properties" | "additionalProperties" => {
                let known = |key: &String| part["properties"].get(key);
                let inside = value.as_object().into_iter().flatten();
                let inside = inside.filter(|(key, _)| known(key).is_some() == (word == "properties"));
                let why = |(key, one)| self.refuses(known(key).unwrap_or(what), one, &format!("{path}/{key}"));
                inside.flat_map(why).collect()
            }
            other => panic!("{path}: the schema has the word {other}, which this test does not know"),
        };
        words.iter().flat_map(one_word).collect()
    }

    /// Names of all tables, with their kinds.
    fn names(&self, path: &str, names: &mut BTreeSet<(String, Option<String>)>) {
        for table in self.tables(path) {
            let below = |key: &str| format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
            if table["additionalProperties"].is_object() {
                self.names(&below("NAME"), names);
            }
            let Some(keys) = table["properties"].as_object() else { continue };
            names.insert((path.into(), table["properties"]["kind"]["const"].as_str().map(String::from)));
            keys.keys().for_each(|key| self.names(&below(key), names));
        }
    }
}

/// What the reference page makes of the schema.
#[cfg(feature = "torch")]
mod page {
    use super::*;

    /// So few keys need no table of their own: they stand where the section is named.
    const FEW: usize = 5;
    const HEAD: &str = "| key | type | default | unit | meaning |\n|---|---|---|---|---|\n";

    fn joined(mut all: Vec<String>) -> String {
        let last = all.pop().unwrap_or_default();
        if all.is_empty() { last } else { format!("{} or {last}", all.join(", ")) }
    }

    /// A value as TOML has it.
    fn toml(value: &Value) -> String {
        match value {
            Value::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }

    fn code(value: &Value) -> String {
        format!("`{}`", toml(value))
    }

    /// In a person's words; `own` are the names of the sections with a table of their own.
    fn type_of(parts: &Parts, part: &Value, path: &str, own: &[String]) -> String {
        if let Some(words) = part["x-type"].as_str() {
            return words.into();
        }
        let mut words: Vec<String> = vec![];
        for choice in parts.choices(part) {
            let word = match choice["type"].as_str() {
                _ if !choice["const"].is_null() => code(&choice["const"]),
                _ if choice["enum"].is_array() => {
                    words.extend(choice["enum"].as_array().unwrap().iter().map(code));
                    continue;
                }
                Some("boolean") => "flag".into(),
                Some("integer") => "count".into(),
                Some("array") => match choice["maxItems"].as_u64() {
                    Some(n) => {
                        format!("[{}]", vec![type_of(parts, &choice["items"], path, own); n as usize].join(", "))
                    }
                    None if own.iter().any(|name| name == path) => "tables".into(),
                    None => format!("[{}, …]", type_of(parts, &choice["items"], path, own)),
                },
                Some("object") if choice["properties"].is_null() => "tables".into(),
                Some("object") if own.iter().any(|name| name == path) => "table".into(),
                Some("object") => {
                    let keys = choice["properties"].as_object().unwrap();
                    let key = |(key, part): (&String, &Value)| match &part["const"] {
                        // A table that is known by the name of its only key.
                        _ if keys.len() == 1 && part["properties"].is_object() => {
                            format!("{key} = {}", type_of(parts, part, &format!("{path}.{key}"), own).replace('`', ""))
                        }
                        Value::Null => key.clone(),
                        kind => format!("{key} = {}", toml(kind)),
                    };
                    format!("`{{ {} }}`", keys.iter().map(key).collect::<Vec<_>>().join(", "))
                }
                Some(other) => other.into(),
                None => panic!("{path}: no type in {choice}"),
            };
            words.push(word);
        }
        words.dedup();
        joined(words)
    }

    fn default_of(parts: &Parts, part: &Value, required: bool) -> String {
        match (&part["x-default"], &part["default"]) {
            (Value::String(words), _) => words.clone(),
            (_, Value::Null) if required => "required".into(),
            (_, Value::Null) => "none".into(),
            (_, Value::Array(list)) if list.is_empty() => "none".into(),
            (_, Value::Object(table)) => {
                let usual = |key: &str| &parts.at(part)["properties"][key]["default"];
                let other = table.iter().filter(|(key, value)| usual(key) != *value && !value.is_null());
                let other: Vec<String> = other.map(|(key, value)| format!("{key} = {}", toml(value))).collect();
                if other.is_empty() { "its defaults".into() } else { format!("`{}`", other.join(", ")) }
            }
            (_, number @ Value::Number(_)) => toml(number),
            (_, value) => code(value),
        }
    }

    /// A description as a cell: without the unit, which has a column, and with links.
    fn meaning(text: &str, unit: &str) -> String {
        let text = text.strip_suffix(&unit_in_words(unit)).unwrap_or(text).replace('\n', " ").replace('|', "\\|");
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("docs/") {
            let end = after.find(|c: char| !(c.is_alphanumeric() || "-_.#".contains(c))).unwrap_or(after.len());
            let link = after[..end].trim_end_matches('.');
            let page = link.split('#').next().unwrap();
            let (words, to) = if page == "campaign.md" { ("below", &link[page.len()..]) } else { (page, link) };
            out += &format!("{before}[{words}]({to})");
            rest = &after[link.len()..];
        }
        out + rest
    }

    /// The table of one section.
    pub fn table(parts: &Parts, path: &str, table: &Value, own: &[String]) -> String {
        let required = |key: &str| table["required"].as_array().is_some_and(|keys| keys.contains(&json!(key)));
        let row = |(key, part): (&String, &Value)| {
            let unit = part["x-unit"].as_str().unwrap_or_default();
            let about = if part["const"].is_null() { part } else { table };
            let about = about["description"].as_str().unwrap_or_else(|| panic!("{path}.{key} has no comment"));
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let cells = [
                format!("`{key}`"),
                type_of(parts, part, &below, own),
                default_of(parts, part, required(key)),
                unit.into(),
                meaning(about, unit),
            ];
            format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")
        };
        HEAD.to_string() + &table["properties"].as_object().unwrap().iter().map(row).collect::<String>()
    }

    /// `<!-- keys of train.network = "npe" -->`: whose table follows.
    fn named(line: &str) -> Option<(String, Option<String>)> {
        let name = line.strip_prefix("<!-- keys of ")?.strip_suffix(" -->")?;
        let (path, kind) = name.split_once(" = ").map_or((name, None), |(path, kind)| (path, Some(kind)));
        let path = if path == "a campaign" { "" } else { path };
        Some((path.into(), kind.map(|kind| kind.trim_matches('"').into())))
    }

    #[test]
    fn the_tables_of_the_reference_are_the_sections_own_words() {
        let (parts, file) = (Parts::new(), repository("docs/campaign.md"));
        let text = std::fs::read_to_string(&file).unwrap();
        let marks: Vec<_> = text.lines().filter_map(named).collect();
        let own: Vec<String> = marks.iter().map(|(path, _)| path.clone()).collect();
        let mut lines = text.lines().peekable();
        let mut made = String::new();
        while let Some(line) = lines.next() {
            made += &format!("{line}\n");
            let Some((path, kind)) = named(line) else { continue };
            while lines.next_if(|line| line.starts_with('|')).is_some() {}
            let is = |table: &&Value| table["properties"]["kind"]["const"].as_str() == kind.as_deref();
            let found = parts.tables(&path).into_iter().find(is);
            made += &table(&parts, &path, found.unwrap_or_else(|| panic!("there is no section {line}")), &own);
        }
        let mut all = BTreeSet::new();
        parts.names("", &mut all);
        let many = |name: &(String, Option<String>)| {
            let keys =
                parts.tables(&name.0).iter().map(|t| t["properties"].as_object().map_or(0, |keys| keys.len())).max();
            keys > Some(FEW)
        };
        // What stands in several places has its table at one of them.
        let told = |name: &(String, Option<String>)| {
            let same =
                |mark: &&(String, Option<String>)| mark.1.is_none() && parts.tables(&mark.0) == parts.tables(&name.0);
            marks.contains(name) || name.1.is_none() && marks.iter().any(|mark| same(&mark))
        };
        let missing: Vec<_> = all.iter().filter(|name| many(name) && !told(name)).collect();
        assert!(missing.is_empty(), "docs/campaign.md has no `<!-- keys of … -->` for {missing:?}");
        assert!(marks.len() > 25, "only {} tables were looked for", marks.len());
        if std::env::var_os("POLYCOSM_WRITE").is_some() {
            std::fs::write(&file, &made).unwrap();
        } else if let Some((is, should)) = text.lines().zip(made.lines()).find(|(is, should)| is != should) {
            panic!(
                "docs/campaign.md is not what the comments in src say; `make reference` writes it\n is: {is}\nnew: {should}"
            );
        } else {
            assert_eq!(text, made, "docs/campaign.md is not what the comments in src say; `make reference` writes it");
        }
    }
}

/// Tables of a resolved campaign: how `--set` calls each (stages by name), and its name in the schema.
fn sections(table: &Table, path: &str, name: &str, found: &mut Vec<(String, String)>) {
    found.push((path.into(), name.into()));
    let below = |path: &str, key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    for (key, value) in table {
        let (path, name) = (below(path, key), below(name, key));
        match value {
            // The keys of `parameters` are names, not words of the campaign file.
            toml::Value::Table(names) if key == "parameters" => names.iter().for_each(|(one, range)| {
                sections(range.as_table().unwrap(), &below(&path, one), &below(&name, "NAME"), found)
            }),
            toml::Value::Table(_) if key == "axes" => {}
            toml::Value::Table(table) => sections(table, &path, &name, found),
            toml::Value::Array(stages) if key == "train" => stages.iter().for_each(|stage| {
                let stage = stage.as_table().unwrap();
                sections(stage, &below(&path, stage["name"].as_str().unwrap()), &name, found)
            }),
            _ => {}
        }
    }
}

/// The keys that the reader knows in a section: the remedy for an unknown one lists them.
fn known(recipe: &Path, section: &str) -> BTreeSet<String> {
    let unknown = if section.is_empty() { "qqqqqqqqqq=1".into() } else { format!("{section}.qqqqqqqqqq=1") };
    let error = load::<Config>(recipe, &[unknown]).unwrap_err();
    let remedy = error.remedy.clone().unwrap_or_default();
    let Some((_, list)) = remedy.split_once("known here: ") else { panic!("{section}: {error}") };
    list.trim_end_matches(')').split(", ").map(String::from).collect()
}

#[test]
#[cfg(feature = "torch")]
fn the_schema_knows_the_keys_that_the_reader_knows() {
    let parts = Parts::new();
    let mut checked = 0;
    for recipe in recipes() {
        let resolved: Table = load::<Config>(&recipe, &[]).unwrap().resolved().unwrap().parse().unwrap();
        let mut all = vec![];
        sections(&resolved, "", "", &mut all);
        for (section, name) in all {
            // What is a table here may be a flag of another kind.
            let tables: Vec<_> = parts.tables(&name).into_iter().filter(|table| table["type"] != "boolean").collect();
            // Names of parameters are known to the design alone.
            if !tables.is_empty() && tables.iter().all(|table| table["additionalProperties"].is_object()) {
                continue;
            }
            let mut here = known(&recipe, &section);
            let keys = |table: &&Value| -> BTreeSet<String> {
                table["properties"].as_object().unwrap().keys().cloned().collect()
            };
            assert!(tables.iter().all(|table| table["additionalProperties"] == false), "{name}");
            if tables.iter().all(|table| table["properties"]["kind"]["const"].is_string()) {
                here.insert("kind".into());
            }
            assert!(tables.iter().any(|table| keys(table) == here), "{name}: {here:?} or {tables:#?}");
            checked += here.len();
        }
    }
    assert!(checked > 100, "only {checked} keys were looked for");
}

#[test]
fn recipes_are_of_the_schema_as_written_and_as_resolved_and_mistakes_are_not() {
    let parts = Parts::new();
    let read = |text: &str| json!(text.parse::<Table>().unwrap());
    for recipe in recipes() {
        let written = std::fs::read_to_string(&recipe).unwrap();
        let resolved = load::<Config>(&recipe, &[]).unwrap().resolved().unwrap();
        for text in [written, resolved] {
            let errors = parts.refuses(&parts.0, &read(&text), "");
            assert!(errors.is_empty(), "{}: {errors:#?}\n{text}", recipe.display());
        }
    }
    let demo = read(&std::fs::read_to_string(repository("recipes/demo.toml")).unwrap());
    assert!(demo["simulator"]["box_size"].is_number(), "the mistakes below are in keys that the demo has");
    let mut mistakes = vec![
        ("/output", json!(null)),
        ("/outputs", json!("runs/a")),
        ("/seed", json!("one")),
        ("/seed", json!(-1)),
        ("/simulator/kind", json!(null)),
        ("/simulator/kind", json!("nbody")),
        ("/simulator/box_size", json!(null)),
        ("/simulator/particles", json!(64.5)),
        ("/simulator/precision", json!("f16")),
        ("/simulator/unknown", json!(1)),
        ("/simulator/maps", json!({ "pixel": 32 })),
        ("/simulator/force", json!({ "smoothing": { "kind": "sharp-k", "radius": 1.0 } })),
        ("/design/parameters/Omega_m/maximum", json!(1.0)),
        ("/design/parameters/Omega_m/min", json!(null)),
        ("/design/parameters", json!(["Omega_m"])),
    ];
    if cfg!(feature = "torch") {
        mistakes.extend([
            ("/train/0/network/kind", json!("gan")),
            ("/train/0/network/kind", json!(null)),
            ("/train/0/network/ensemble", json!(2)),
            ("/train/0/network/transform", json!("ln")),
            ("/train/0/network/transform", json!([])),
            ("/train/0/epoch", json!(2)),
            ("/infer/observations", json!("one.hdf5")),
        ]);
    }
    for (place, value) in mistakes {
        let mut wrong = demo.clone();
        let (table, key) = place.rsplit_once('/').unwrap();
        let table = wrong.pointer_mut(table).unwrap().as_object_mut().unwrap();
        let _ = if value.is_null() { table.remove(key) } else { table.insert(key.into(), value.clone()) };
        assert!(!parts.refuses(&parts.0, &wrong, "").is_empty(), "{place} = {value}");
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), toml::to_string(&wrong).unwrap()).unwrap();
        assert!(load::<Config>(file.path(), &[]).is_err(), "the reader takes {place} = {value}");
    }
}
