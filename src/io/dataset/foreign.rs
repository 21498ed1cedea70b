//! What a file made elsewhere says of its parameters and fields, and what it leaves to be guessed.

use super::config::PARAMETERS;
use super::note;
use crate::error::{Error, Result};
use crate::io::field::{Axis, AxisKind, FieldSpec};
use crate::io::hdf::{File, given};
use crate::io::index::RESERVED;
use crate::io::simulation::read_axes;
use crate::prior::{Parameter, Prior};
use std::collections::BTreeSet;

/// Names of the columns of the parameters' array, from its attributes `parameters` or `names`; `None` where they cannot
/// be that, which is said.
pub fn column_names(file: &File, theta: &str, p: usize) -> Result<Option<Vec<String>>> {
    for attribute in ["parameters", "names"] {
        let Some(names) = file.words(theta, attribute)? else { continue };
        let different: BTreeSet<&String> = names.iter().collect();
        let proper = |name: &String| !name.trim().is_empty() && !name.contains(char::is_control);
        if names.len() == p && different.len() == p && names.iter().all(proper) {
            return Ok(Some(names));
        }
        note(format!(
            "{}: attribute {attribute} of {theta} does not have one name of its own for each of {p} columns (it has {}), and is \
             not used",
            file.path().display(),
            names.join(", ")
        ));
    }
    Ok(None)
}

/// Where a parameter stands among a file's columns; names differ at most in case and signs.
pub fn place(names: &[String], wanted: &str) -> Option<usize> {
    let plain =
        |name: &str| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let alike = || names.iter().position(|name| plain(name) == plain(wanted));
    names.iter().position(|name| name == wanted).or_else(alike)
}

/// Where the campaign's parameters stand among the file's columns, by name.
pub(super) fn columns(file: &File, theta: &str, names: &[String], prior: &Prior) -> Result<Vec<usize>> {
    let places: Vec<usize> = prior.names().into_iter().filter_map(|name| place(names, name)).collect();
    if places.len() != names.len() || places.iter().collect::<BTreeSet<_>>().len() != names.len() {
        let (here, wanted) = (names.join(", "), prior.names().join(", "));
        let problem = format!("columns of {theta} are called {here}, but [dataset.parameters] names {wanted}");
        let remedy = "give one table [dataset.parameters.NAME] for each of the file's names, in any order";
        return Err(Error::input(problem).file(file.path()).key(PARAMETERS).remedy(remedy));
    }
    if !places.is_sorted() {
        let each = prior.names().into_iter().zip(&places).map(|(name, at)| format!("{name} is column {}", at + 1));
        let each = each.collect::<Vec<_>>().join(", ");
        note(format!("{}: columns of {theta} are taken by their names: {each}", file.path().display()));
    }
    Ok(places)
}

/// Uniform over the range of the rows to use, named as the file does.
pub(super) fn guess_prior(file: &File, theta_name: &str, names: Option<Vec<String>>, rows: &[&[f64]]) -> Result<Prior> {
    let p = rows.first().map_or(0, |row| row.len());
    let latex = file.words(theta_name, "latex")?.filter(|l| l.len() == p && names.is_some());
    let names = names.unwrap_or_else(|| (0..p).map(|j| format!("theta_{j}")).collect());
    let latex = latex.unwrap_or_else(|| names.clone());
    note(format!(
        "{}: no prior is given: uniform over the range of {theta_name}; give [dataset.parameters] for another",
        file.path().display()
    ));
    let parameter = |j: usize| -> Result<Parameter> {
        let column = || rows.iter().map(|row| row[j]);
        let (min, max) = (column().fold(f64::INFINITY, f64::min), column().fold(f64::NEG_INFINITY, f64::max));
        if min < max {
            return Ok(Parameter::uniform(&names[j], &latex[j], min, max));
        }
        let error = Error::input(format!("column {j} ({}) does not vary", names[j])).file(file.path()).key(theta_name);
        Err(error.remedy("remove that column, or give [dataset.parameters]"))
    };
    Prior::new((0..p).map(parameter).collect::<Result<_>>()?)
}

/// Every array of numbers with as many rows as there are parameters is a field.
pub(super) fn specs(file: &File, theta: &str, n: usize) -> Vec<FieldSpec> {
    let known = |name: &str| {
        let first = name.split('/').next().unwrap_or(name);
        RESERVED.contains(&first) || [theta, "split", "status"].iter().any(|other| file.same(name, other))
    };
    file.arrays().iter().filter(|name| !known(name)).filter_map(|name| describe(file, name, n).ok()).collect()
}

/// One field of `n` universes; an error that says what it is instead.
pub(super) fn describe(file: &File, name: &str, n: usize) -> Result<FieldSpec> {
    let array = file.array(name)?;
    let dtype = array.dtype()?;
    let shape = array.shape();
    let refuse = |problem: String, remedy: &str| Err(Error::input(problem).file(file.path()).key(name).remedy(remedy));
    match shape.split_first() {
        Some((&rows, rest)) if rows == n && !rest.contains(&0) => {}
        Some((&rows, _)) if rows == n => {
            return refuse(format!("has shape {shape:?}: nothing in it"), "give at least one number per row");
        }
        _ => {
            let problem = format!("has shape {shape:?}, but there are {n} rows of parameters");
            return refuse(problem, "name numbers of shape (n, …), one row for each row of parameters");
        }
    }
    array.is_believable()?;
    let unsaid: Vec<Axis> = (1..shape.len()).map(|i| Axis::new(AxisKind::Unsaid, &format!("axis{i}"), "")).collect();
    let field = name.trim_matches('/');
    let axes = read_axes(file, name, field, &unsaid, true).map_err(|e| given(e).file(file.path()))?;
    let kinds: Vec<AxisKind> = axes.iter().map(|axis| axis.kind).collect();
    let mismatch = AxisKind::mismatch(&kinds, &shape[1..]).filter(|_| !kinds.iter().all(AxisKind::is_unsaid));
    if let Some(problem) = mismatch {
        return refuse(format!("its attribute axes_kinds {problem}"), "correct that attribute, or remove it");
    }
    let counts = |axis: &Axis| [axis.labels.len(), axis.spins.len(), axis.values.len()];
    let odd = |(axis, points): &(&Axis, &usize)| counts(axis).iter().any(|n| ![0, **points].contains(n));
    if let Some((axis, points)) = axes.iter().zip(&shape[1..]).find(odd) {
        let problem =
            format!("axis {} has {points} points, and other numbers of names, spins or coordinates", axis.name);
        return refuse(problem, "give one for each point, or none");
    }
    let text = |attribute: &str| -> Result<String> {
        Ok(file.words(name, attribute)?.and_then(|words| words.into_iter().next()).unwrap_or_default())
    };
    Ok(FieldSpec {
        name: field.into(),
        axes,
        shape: shape[1..].to_vec(),
        unit: text("units")?,
        description: text("description")?,
        ragged: false,
        dtype,
        seen: Default::default(),
    })
}
