//! Imports go downward only, and each foreign library has its one user: read from the source, so that it stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The house from the ground up; modules on one line are neighbours and may use each other.
const LAYERS: &[&[&str]] = &[
    &["comm", "rng", "units", "error", "prior", "progress", "kind", "limits", "list", "bytes"],
    &["cosmology"],
    &["mesh"],
    &["fields", "sphere"],
    &["particles"],
    &["gravity"],
    &["observables"],
    &["io"],
    &["simulators"],
    &["suite", "calibration", "forecast", "exact"],
    &["nets"],
    &["models"],
    &["train"],
    &["infer"],
    &["report"],
    &["config", "job", "cli"],
];

/// A library's crates, and the modules that may name them.
const USERS: &[(&[&str], &[&str])] = &[
    (&["mpi", "mpi_sys"], &["comm"]),
    (&["fftw", "fftw_sys"], &["mesh"]),
    (&["hdf5", "hdf5_sys"], &["io"]),
    (&["tch", "torch_sys"], &["nets", "models", "train", "infer"]),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&module))
}

fn sources(folder: &Path, list: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, list);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            list.push(entry);
        }
    }
}

/// The code without comments and strings, line breaks kept.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |n| n + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |n| n + 5)
        } else if rest.starts_with("'\"'") || rest.starts_with(r#"'\"'"#) {
            rest[1..].find('\'').unwrap() + 2
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |n| n + 2)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.extend(rest[..skip].chars().filter(|&c| c == '\n'));
        rest = &rest[skip..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first words of a path's continuation: one, or all of a `{…}` group.
fn heads(after: &str) -> Vec<&str> {
    let word = |s: &'_ str| s.find(|c| !is_word(c)).unwrap_or(s.len());
    let Some(group) = after.strip_prefix('{') else { return vec![&after[..word(after)]] };
    let (mut depth, mut fresh, mut list) = (0, true, vec![]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' => fresh = depth == 0,
            c if is_word(c) && fresh => {
                list.push(&group[at..at + word(&group[at..])]);
                fresh = false;
            }
            _ => {}
        }
    }
    list
}

/// Every complaint about one file; `module` are its path's parts below `src` (`["io", "dataset"]`).
fn complaints(module: &[String], text: &str) -> Vec<String> {
    let Some(own) = layer(&module[0]) else {
        return vec![format!("module `{}` has no layer: give it one in tests/layers.rs", module[0])];
    };
    let code = code(text);
    let mut list = vec![];
    let line = |at: usize| code[..at].matches('\n').count() + 1;
    let climbs = |at: usize, head: &str, list: &mut Vec<String>| {
        if layer(head).is_some_and(|other| other > own) {
            list.push(format!("line {}: `{}` uses `{head}`, which lies above it", line(at), module[0]));
        }
    };
    for (at, found) in code.match_indices("crate::") {
        if !code[..at].ends_with(is_word) {
            heads(&code[at + found.len()..]).into_iter().for_each(|head| climbs(at, head, &mut list));
        }
    }
    // As many `super`s as the file is deep lead to the crate's root.
    let root = "super::".repeat(module.len());
    for (at, found) in code.match_indices(&root) {
        if !code[..at].ends_with("super::") {
            heads(&code[at + found.len()..]).into_iter().for_each(|head| climbs(at, head, &mut list));
        }
    }
    for (crates, users) in USERS.iter().filter(|(_, users)| !users.contains(&module[0].as_str())) {
        for name in *crates {
            let foreign = |at: usize| {
                let (before, after) = (&code[..at], &code[at + name.len()..]);
                let named = !before.ends_with(is_word) && !before.trim_end_matches(' ').ends_with("::");
                named && (after.starts_with("::") || before.ends_with("use ") && !after.starts_with(is_word))
            };
            for (at, _) in code.match_indices(name).filter(|(at, _)| foreign(*at)) {
                list.push(format!("line {}: `{}` names `{name}`, which only {users:?} may", line(at), module[0]));
            }
        }
    }
    list
}

/// The paths of a `use` or an expression behind its first `crate::` or `super::`: each a list of words.
fn tree(after: &str) -> Vec<Vec<String>> {
    let word = &after[..after.find(|c| !is_word(c)).unwrap_or(after.len())];
    if !word.is_empty() {
        let below = after[word.len()..].strip_prefix("::").map_or(vec![vec![]], tree);
        return below.into_iter().map(|rest| [vec![word.to_string()], rest].concat()).collect();
    }
    let Some(group) = after.strip_prefix('{') else { return vec![vec![]] };
    let (mut depth, mut start, mut all) = (0, 0, vec![]);
    for (at, c) in group.char_indices() {
        let ends = depth == 0 && (c == ',' || c == '}');
        if ends {
            all.extend(tree(group[start..at].trim()).into_iter().filter(|path| !path.is_empty()));
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if ends => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    all
}

/// The sources by their paths below `src`, `mod.rs` by its folder's, without tests.
struct House(BTreeMap<Vec<String>, String>);

impl House {
    /// The file that an item's path leads to, through what a folder's root publishes of its files.
    fn file(&self, path: &[String]) -> Option<Vec<String>> {
        let n = (1..=path.len()).rev().find(|&n| self.0.contains_key(&path[..n]))?;
        let (file, rest) = path.split_at(n);
        let published = |item: &String| {
            let code = &self.0[file];
            let uses = code.match_indices("pub use ").flat_map(|(at, found)| tree(&code[at + found.len()..]));
            let own = |path: &Vec<String>| path.len() > 1 && self.0.contains_key(&[file, &path[..1]].concat());
            uses.filter(own).find(|path| path.last() == Some(item))
        };
        match rest.first().and_then(published) {
            Some(path) => self.file(&[file, &path].concat()),
            None => Some(file.to_vec()),
        }
    }

    /// The files that one names beside those above and below it: the root of a folder and its files belong together.
    fn names(&self, file: &[String]) -> BTreeSet<Vec<String>> {
        let code = &self.0[file];
        let mut found = BTreeSet::new();
        for up in 0..=file.len() {
            let prefix = if up == 0 { "crate::".to_string() } else { "super::".repeat(up) };
            let from = if up == 0 { &[][..] } else { &file[..file.len() - up] };
            for (at, _) in code.match_indices(&prefix) {
                let (before, after) = (&code[..at], &code[at + prefix.len()..]);
                if before.ends_with(is_word) || before.ends_with("super::") || after.starts_with("super::") {
                    continue;
                }
                found.extend(tree(after).into_iter().filter_map(|path| self.file(&[from, &path].concat())));
            }
        }
        found.retain(|other| !other.starts_with(file) && !file.starts_with(other));
        found
    }

    /// Files that can be reached from themselves, each with its way.
    fn circles(&self) -> Vec<Vec<Vec<String>>> {
        let names: BTreeMap<_, _> = self.0.keys().map(|file| (file.clone(), self.names(file))).collect();
        let way = |file: &Vec<String>| {
            let mut ways = vec![vec![file.clone()]];
            let mut seen = BTreeSet::new();
            while let Some(way) = ways.pop() {
                for next in way.last().and_then(|last| names.get(last)).into_iter().flatten() {
                    if next == file {
                        return Some(way);
                    }
                    if seen.insert(next.clone()) {
                        ways.push([&way[..], std::slice::from_ref(next)].concat());
                    }
                }
            }
            None
        };
        self.0.keys().filter_map(way).collect()
    }
}

#[test]
fn files_do_not_go_in_circles() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    sources(&src, &mut files);
    let named = |file: &PathBuf| {
        let below = file.strip_prefix(&src).unwrap().with_extension("");
        let mut path: Vec<String> = below.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        path.pop_if(|last| last == "mod");
        let text = fs::read_to_string(file).unwrap();
        let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        (path, code(own))
    };
    let all = files.iter().map(named).filter(|(path, _)| path.last().is_some_and(|name| name != "tests"));
    let circles: Vec<String> = House(all.collect())
        .circles()
        .iter()
        .map(|way| way.iter().map(|file| file.join("/")).collect::<Vec<_>>().join(" → "))
        .collect();
    assert!(circles.is_empty(), "in a circle:\n{}", circles.join("\n"));
}

#[test]
fn the_check_of_circles_itself_catches_what_it_should() {
    let circles = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| (path.split('/').map(String::from).collect(), code(text)));
        House(files.collect()).circles().len()
    };
    let root = ("m", "mod a;\nmod b;\npub use a::{One, Two};\npub use b::Three;");
    assert_eq!(circles(&[root, ("m/a", "use super::b::Three;"), ("m/b", "use crate::error::{At, Error};")]), 0);
    assert_eq!(circles(&[root, ("m/a", "use super::b::Three;"), ("m/b", "use crate::m::{a::{One, Two}};")]), 2);
    // Through the root, which publishes both.
    assert_eq!(circles(&[root, ("m/a", "use super::Three;"), ("m/b", "fn f(_: super::One) {}")]), 2);
    // A folder's root and its files are one house; what is said is not used.
    assert_eq!(circles(&[("m", "mod a;\nuse a::X;\nstruct Y;"), ("m/a", "use super::Y;")]), 0);
    assert_eq!(circles(&[("a", "use crate::b::X;"), ("b", "// use crate::a;\n\"crate::a\"")]), 0);
    assert_eq!(circles(&[("a", "use crate::b::X;"), ("b", "use crate::c::X;"), ("c", "use crate::a::X;")]), 3);
}

#[test]
fn imports_go_downward_and_each_library_has_its_one_user() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    sources(&src, &mut files);
    assert!(files.len() > 20, "the sources were found");
    let mut all = vec![];
    for file in files {
        let below = file.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Vec<String> = below.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        if module == ["main"] || module == ["lib"] {
            continue;
        }
        if module.last().is_some_and(|m| m == "mod") {
            module.pop();
        }
        let text = fs::read_to_string(&file).unwrap();
        all.extend(complaints(&module, &text).into_iter().map(|c| format!("src/{}.rs: {c}", below.display())));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn the_check_itself_catches_what_it_should() {
    let count = |module: &[&str], text: &str| {
        let module: Vec<String> = module.iter().map(|s| s.to_string()).collect();
        complaints(&module, text).len()
    };
    assert_eq!(count(&["mesh", "fft"], "use crate::comm::Comm;\nuse crate::cosmology;"), 0);
    assert_eq!(count(&["mesh", "fft"], "use crate::gravity::evolve;"), 1);
    assert_eq!(count(&["mesh", "fft"], "use crate::{comm::{Comm, io}, io::field, error};"), 1);
    assert_eq!(count(&["mesh", "fft"], "fn f() -> crate::train::Stage {}"), 1);
    assert_eq!(count(&["mesh", "fft"], "use super::super::io;"), 1);
    assert_eq!(count(&["mesh", "fft"], "use super::decomposition;"), 0);
    assert_eq!(count(&["mesh", "fft"], "// use crate::io;\n/// [`crate::io`]\nlet s = \"crate::io\";"), 0);
    assert_eq!(count(&["mesh", "fft"], "let c = '\"'; use crate::io;"), 1);
    assert_eq!(count(&["mesh", "fft"], "use fftw::plan;"), 0);
    assert_eq!(count(&["gravity"], "use fftw::plan;\nlet x: mpi::Rank;\nuse hdf5;"), 3);
    assert_eq!(count(&["suite"], "use crate::io::hdf5::file;\nfn my_mpi::x"), 0);
    assert_eq!(count(&["report"], "tch::no_grad(|| ())"), 1);
    assert_eq!(count(&["train"], "tch::no_grad(|| ())"), 0);
    assert_eq!(count(&["novel"], ""), 1);
}
