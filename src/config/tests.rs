//! The loader on small sections of its own.

use super::*;
use crate::error::{Error, Result};
use crate::kind::{Entry, Kinded, Kinds, Listed};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Small {
    output: std::path::PathBuf,
    #[serde(default)]
    cosmology: Cosmology,
    simulator: Option<Kinded<dyn Simulator>>,
    #[serde(default)]
    train: Vec<Stage>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cosmology {
    #[serde(rename = "Omega_m")]
    omega_m: f64,
    sigma8: Option<f64>,
    transfer: Transfer,
}

impl Default for Cosmology {
    fn default() -> Self {
        Cosmology { omega_m: 0.3, sigma8: None, transfer: Transfer::EisensteinHu }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Transfer {
    EisensteinHu,
    Table,
}

/// A made-up section with kinds.
trait Simulator: std::fmt::Debug + dyn_clone::DynClone + erased_serde::Serialize {}

impl Simulator for Boxes {}

static KINDS: Kinds<dyn Simulator> = Kinds::new(&[Entry {
    name: "boxes",
    read: |keys| Ok(Box::new(erased_serde::deserialize::<Boxes>(keys)?)),
    schema: <Boxes as schemars::JsonSchema>::json_schema,
    facts: (),
}]);

impl Listed for dyn Simulator {
    type Facts = ();
    fn kinds() -> &'static Kinds<Self> {
        &KINDS
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Boxes {
    box_size: f64,
    #[serde(default)]
    steps: Vec<f64>,
    halos: Option<Halos>,
}

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Halos {
    linking_length: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    name: String,
    #[serde(default = "ten")]
    epochs: u32,
}

fn ten() -> u32 {
    10
}

fn read(text: &str, sets: &[&str]) -> Result<Loaded<Small>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("run.toml");
    std::fs::write(&path, text)?;
    load(&path, &sets.iter().map(|s| s.to_string()).collect::<Vec<_>>())
}

/// `(line, key, value, problem, remedy)` of the refusal.
fn refusal(text: &str, sets: &[&str]) -> (String, String, String, String, String) {
    let e = read(text, sets).unwrap_err();
    assert_eq!(e.exit_code(), 2);
    let file = e.file.unwrap().display().to_string();
    let text = |o: Option<String>| o.unwrap_or_default();
    let line = file.split_once("run.toml").expect("the file is named").1.to_string();
    (line, text(e.key), text(e.value), e.problem, text(e.remedy))
}

#[test]
fn every_refusal_names_line_key_value_and_remedy() {
    // text, --set, and what must stand in: line, key, value, problem, remedy.
    let table: &[(&str, &[&str], [&str; 5])] = &[
        ("outptu = 'a'", &[], [":1", "outptu", "\"a\"", "unknown key", "did you mean `output`"]),
        ("output = 'a'\n[cosmology]\nomega_m = 0.3", &[], [":3", "cosmology.omega_m", "0.3", "unknown", "`Omega_m`?"]),
        ("output = 'a'\n[cosmology]\nOmega_m = 'x'", &[], [":3", "cosmology.Omega_m", "\"x\"", "type", "a number"]),
        (
            "output = 'a'\n[cosmology]\nsigma8 = 1.0\nsigma8 = 2.0",
            &[],
            [":4", "cosmology.sigma8", "2.0", "given twice", "keep one"],
        ),
        ("output = 'a'\n[cosmology]\n[cosmology]", &[], [":3", "cosmology", "", "given twice", "join"]),
        (
            "output = 'a'\n[cosmology]\ntransfer = 'tabel'",
            &[],
            [":3", "cosmology.transfer", "\"tabel\"", "choices", "`table`?"],
        ),
        ("output = 'a'\n[simulator]\nkind = 'boxs'", &[], [":3", "simulator.kind", "\"boxs\"", "choices", "boxes"]),
        (
            "output = 'a'\n[simulator]\nkind = 'boxes'\nbox = 3",
            &[],
            [":4", "simulator.box", "3", "unknown key", "`box_size`?"],
        ),
        (
            "output = 'a'\n[simulator]\nkind = 'boxes'\nbox_size = true",
            &[],
            [":4", "simulator.box_size", "true", "type", "a number"],
        ),
        (
            "output = 'a'\n[simulator]\nbox_size = 1.0\nkind = 'boxes'\n[simulator.halos]\noverdensity = 200",
            &[],
            [":6", "simulator.halos.overdensity", "200", "unknown key", "linking_length"],
        ),
        (
            "output = 'a'\n[simulator]\nkind = 'boxes'\nbox_size = 1.0\n[simulator.halos]",
            &[],
            [":5", "simulator.halos.linking_length", "", "missing", "to [simulator.halos]"],
        ),
        ("output = 'a'\n[cosmology]\ntransfer = 3", &[], [":3", "cosmology.transfer", "3", "type", "in quotes"]),
        ("output = 'a'\ncosmology = 3", &[], [":2", "cosmology", "3", "type", "expected a section"]),
        ("output = 'a'\nsimulator = 3", &[], [":2", "simulator", "3", "type", "expected a section"]),
        ("output = 'a'\n[simulator]\nbox_size = 1.0", &[], [":2", "simulator.kind", "", "missing", "add `kind"]),
        (
            "output = 'a'\n[simulator]\nkind = 'boxes'",
            &[],
            [":2", "simulator.box_size", "", "missing", "add `box_size"],
        ),
        (
            "output = 'a'\n[[train]]\nname = 'x'\nepochs = -1",
            &[],
            [":4", "train.x.epochs", "-1", "type", "not negative"],
        ),
        ("output = 'a'\n[[train]]\nepochs = 3", &[], [":2", "train.0.name", "", "missing", "add `name"]),
        ("[cosmology]\n", &[], ["", "output", "", "missing", "add `output`"]),
        ("output = ", &[], [":1", "", "output =", "", "toml.io"]),
        ("output = 'a'", &["cosmology.Omega_m=x"], [" (--set)", "cosmology.Omega_m", "\"x\"", "type", "a number"]),
        ("output = 'a'", &["cosmology.Omega_n=1"], [" (--set)", "cosmology.Omega_n", "1", "unknown key", "`Omega_m`?"]),
    ];
    for (text, sets, expected) in table {
        let (line, key, value, problem, remedy) = refusal(text, sets);
        assert_eq!([&line, &key, &value], [&expected[0], &expected[1], &expected[2]], "{text}");
        assert!(problem.contains(expected[3]), "{text}: {problem}");
        assert!(remedy.contains(expected[4]), "{text}: {remedy}");
    }
}

#[test]
fn every_value_knows_its_origin() {
    let text = "output = 'a'\n[cosmology]\nOmega_m = 0.2\n[[train]]\nname = 'x'\n[[train]]\nname = 'y'\n";
    let loaded = read(text, &["cosmology.sigma8=1", "train.y.epochs=3"]).unwrap();
    let entries = loaded.origins().unwrap();
    let of = |key: &str| {
        let e = entries.iter().find(|e| e.key == key).unwrap_or_else(|| panic!("{key}: {entries:?}"));
        (e.value.as_str(), e.origin)
    };
    assert_eq!(of("output"), ("\"a\"", Origin::File(1)));
    assert_eq!(of("cosmology.Omega_m"), ("0.2", Origin::File(3)));
    assert_eq!(of("cosmology.sigma8"), ("1.0", Origin::Set));
    assert_eq!(of("cosmology.transfer"), ("\"eisenstein-hu\"", Origin::Default));
    assert_eq!(of("train.x.epochs"), ("10", Origin::Default));
    assert_eq!(of("train.y.epochs"), ("3", Origin::Set));
    assert_eq!(of("train.y.name"), ("\"y\"", Origin::File(7)));
    let lines = origin::table(&entries);
    let column = |l: &str| l.find("  # ");
    assert!(lines.lines().all(|l| column(l) == column(lines.lines().next().unwrap())), "{lines}");
}

#[test]
fn what_is_resolved_reads_back_the_same() {
    let loaded =
        read("output = 'a'\n[simulator]\nkind = 'boxes'\nbox_size = 5\nsteps = [1, 2]", &["train=[{name='n'}]"])
            .unwrap();
    let resolved = loaded.resolved().unwrap();
    assert_eq!(read(&resolved, &[]).unwrap().resolved().unwrap(), resolved);
}

#[test]
fn the_kind_of_a_section_may_stand_anywhere() {
    let loaded = read("output = 'a'\n[simulator]\nbox_size = 5\nkind = 'boxes'\n", &[]).unwrap();
    let resolved: toml::Table = loaded.resolved().unwrap().parse().unwrap();
    assert_eq!(resolved["simulator"]["box_size"].as_float(), Some(5.0));
    let keys: Vec<String> = Order::keys("b = 1\nkind = 'x'\n[[c]]\nd = 2\nkind = 'y'\n");
    assert_eq!(keys, ["kind", "b", "c", "c.kind", "c.d"]);
}

/// The order in which a visitor sees the keys.
struct Order(Vec<String>);

impl Order {
    fn keys(text: &str) -> Vec<String> {
        parse::<Order>("run.toml", text.to_string(), &[]).unwrap().value.0
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let nested = |v: &toml::Value| v.get(0).and_then(|v| v.as_table()).cloned().unwrap_or_default();
        let keys = table.iter().flat_map(|(k, v)| {
            let below: Vec<String> = nested(v).keys().map(|b| format!("{k}.{b}")).collect();
            std::iter::once(k.clone()).chain(below)
        });
        Ok(Order(keys.collect()))
    }
}

#[test]
fn later_checks_are_placed_in_the_file() {
    let loaded = read("output = 'a'\n[cosmology]\nOmega_m = -1.0\n", &[]).unwrap();
    let e = loaded.locate(Error::input("must be positive").key("cosmology.Omega_m"));
    assert!(e.to_string().ends_with("run.toml:3: cosmology.Omega_m = -1.0: must be positive"), "{e}");
    let e = loaded.locate(Error::input("is not monotonic").key("cosmology.table").file("pk.txt"));
    assert_eq!(e.file.unwrap().to_str(), Some("pk.txt"));
}
