//! `docs/campaign.md` explains every key that a campaign may have, each in the part on its own section.

use polycosm::config::{campaign::Config, load};
use std::collections::BTreeSet;
use std::path::PathBuf;
use toml::{Table, Value};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Tables of a resolved campaign: how `--set` calls each (stages by name), and its heading in the documentation.
fn sections(table: &Table, path: &str, heading: &str, found: &mut Vec<(String, String)>) {
    let below = |path: &str, key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    for (key, value) in table {
        match value {
            // The keys of `parameters` are names, not words of the campaign file.
            Value::Table(names) if key == "parameters" => {
                for (name, range) in names {
                    let (path, heading) = (format!("{path}.{key}.{name}"), format!("{}.NAME", below(heading, key)));
                    found.push((path.clone(), heading.clone()));
                    sections(range.as_table().unwrap(), &path, &heading, found);
                }
            }
            Value::Table(table) => {
                let (path, heading) = (below(path, key), below(heading, key));
                found.push((path.clone(), heading.clone()));
                sections(table, &path, &heading, found);
            }
            Value::Array(stages) => {
                for stage in stages.iter().filter_map(Value::as_table) {
                    let path = format!("{key}.{}", stage["name"].as_str().unwrap());
                    found.push((path.clone(), key.clone()));
                    sections(stage, &path, key, found);
                }
            }
            _ => {}
        }
    }
}

/// The keys that a section knows: the remedy for an unknown one lists them.
fn known(recipe: &PathBuf, section: &str) -> Vec<String> {
    let unknown = if section.is_empty() { "qqqqqqqqqq=1".into() } else { format!("{section}.qqqqqqqqqq=1") };
    let error = load::<Config>(recipe, &[unknown]).unwrap_err();
    let remedy = error.remedy.clone().unwrap_or_default();
    let Some((_, list)) = remedy.split_once("known here: ") else { panic!("{section}: {error}") };
    list.trim_end_matches(')').split(", ").map(String::from).collect()
}

/// The part of the text below the heading of a section: `## [simulator.time]`.
fn part<'a>(text: &'a str, section: &str) -> Option<&'a str> {
    let named = |line: &str| match section {
        "" => line == "Top level",
        _ => line.trim_matches(['`', '[', ']']) == section,
    };
    text.split("\n## ").find(|part| named(part.lines().next().unwrap_or("")))
}

#[test]
fn every_key_of_the_campaign_file_is_documented() {
    let text = std::fs::read_to_string(repository("docs/campaign.md")).unwrap();
    let mut missing = BTreeSet::new();
    let mut checked = 0;
    for recipe in std::fs::read_dir(repository("recipes")).unwrap().map(|entry| entry.unwrap().path()) {
        if recipe.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let resolved: Table = load::<Config>(&recipe, &[]).unwrap().resolved().unwrap().parse().unwrap();
        let mut all = vec![(String::new(), String::new())];
        sections(&resolved, "", "", &mut all);
        for (section, heading) in all {
            let Some(part) = part(&text, &heading) else {
                missing.insert(format!("[{heading}]"));
                continue;
            };
            for key in known(&recipe, &section) {
                checked += 1;
                if !part.contains(&format!("`{key}`")) {
                    missing.insert(format!("[{heading}] {key}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "docs/campaign.md does not explain {missing:#?}");
    assert!(checked > 100, "only {checked} keys were looked for");
}

/// Figures in the documentation: `src="images/NAME.png"`.
#[test]
fn every_figure_is_there() {
    let mut named = 0;
    for page in ["README.md", "docs/validation.md"] {
        let text = std::fs::read_to_string(repository(page)).unwrap();
        for name in text.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let path = repository(page).with_file_name("").join(name);
            let size = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{page}: {name}: {e}")).len();
            assert!(size < 100_000, "{page}: {name} has {size} bytes");
            named += 1;
        }
    }
    assert!(named > 1, "only {named} figures were looked for");
}
