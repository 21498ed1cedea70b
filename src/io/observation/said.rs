//! What a file says of a field, compared with what networks learned from: unit, axes, coordinates.

use crate::error::{Error, Result};
use crate::io::field::{Axis, FieldSpec};
use crate::io::hdf::File;
use crate::io::simulation::read_axes;
use crate::progress::first_time;

/// Part of a coordinate, or of the mean distance between two, within which coordinates are the same.
const WITHIN: f64 = 1e-3;

/// Something of a field, as the file says it and as it was learned from. Empty: nobody says.
struct Said {
    what: String,
    is: String,
    learned: String,
}

/// Refuses a field of a file that says of it, in the attributes and arrays that this program writes (`io::simulation`),
/// what the field that was learned from is not. `at`: its array; `stacked`: it holds several observations; `own`: this
/// program made what was learned from, where no unit means a pure number.
pub(super) fn compare(file: &File, at: &str, spec: &FieldSpec, stacked: bool, own: bool) -> Result<()> {
    // The first axis of lists counts their rows, however many lists there are.
    let (main, more) = said(file, at, spec, stacked && !spec.ragged, own).map_err(|e| e.key(&spec.name))?;
    let differs = |said: &&Said| !said.is.is_empty() && !said.learned.is_empty() && said.is != said.learned;
    if let Some(Said { what, is, learned }) = main.iter().chain(&more).find(differs) {
        let problem = format!("its {what} is {is}, and the networks learned from {learned}");
        let remedy = "give the field as it was learned from; where both mean the same, say it as the dataset does, or not at all";
        return Err(Error::input(problem).key(&spec.name).remedy(remedy));
    }
    let unsaid = main.iter().filter(|said| said.is.is_empty() && !said.learned.is_empty());
    let unsaid: Vec<&str> = unsaid.map(|said| said.what.as_str()).collect();
    let (place, name) = (file.path().display(), &spec.name);
    let told = format!("{place}: {name}: it does not say its {}: the shape decides", unsaid.join(", "));
    if !unsaid.is_empty() && first_time(&told) {
        log::info!("{told}");
    }
    Ok(())
}

/// Unit and kinds of the axes, of which it is told where the file does not say them; and the rest.
fn said(file: &File, at: &str, spec: &FieldSpec, stacked: bool, own: bool) -> Result<(Vec<Said>, Vec<Said>)> {
    let unit = match file.words(at, "units")? {
        None => file.words(at, "unit")?,
        units => units,
    };
    let unit = unit.and_then(|words| words.into_iter().next());
    let learned = if own || !spec.unit.is_empty() { pure(&spec.unit) } else { String::new() };
    let mut main = vec![Said { what: "unit".into(), is: unit.map_or(String::new(), |unit| pure(&unit)), learned }];
    let mut more = vec![];
    let axes = read_axes(file, at, &spec.name, &spec.axes, stacked)?;
    for (i, (is, learned)) in axes.iter().zip(&spec.axes).enumerate() {
        let what = |of: &str| format!("{of}axis {} ({})", i + 1, is.name);
        let kind = |axis: &Axis| if axis.kind.is_unsaid() { String::new() } else { axis.kind.to_string() };
        // A number of pixels is no place.
        let unit = |axis: &Axis| axis.unit.trim().replace("pixel", "");
        let names = |axis: &Axis| axis.labels.join(", ");
        let spins = |axis: &Axis| axis.spins.iter().map(|&spin| spin.into()).collect::<Vec<f64>>();
        main.push(Said { what: what(""), is: kind(is), learned: kind(learned) });
        more.push(Said { what: what("unit of "), is: unit(is), learned: unit(learned) });
        more.push(Said { what: what("list of names along "), is: names(is), learned: names(learned) });
        more.extend(numbers(what("spin along "), &spins(is), &spins(learned)));
        more.extend(numbers(what("coordinates along "), &is.values, &learned.values));
        more.extend(numbers(what("edges along "), &is.edges, &learned.edges));
    }
    Ok((main, more))
}

/// A unit, where `""` is no unit but a pure number.
fn pure(unit: &str) -> String {
    let unit = unit.trim();
    if ["", "1", "dimensionless"].contains(&unit) { "a pure number".into() } else { format!("{unit:?}") }
}

/// Numbers that are others than those that were learned from, the first of them.
fn numbers(what: String, is: &[f64], learned: &[f64]) -> Option<Said> {
    let range = |of: fn(f64, f64) -> f64| learned.iter().copied().fold(f64::NAN, of);
    let step = (range(f64::max) - range(f64::min)) / learned.len().max(1) as f64;
    let same = |(is, learned): (&f64, &f64)| (is - learned).abs() <= WITHIN * step.max(learned.abs());
    if is.is_empty() || learned.is_empty() {
        return None;
    }
    if is.len() != learned.len() {
        let list = |n: usize| format!("a list of {n} numbers");
        return Some(Said { what, is: list(is.len()), learned: list(learned.len()) });
    }
    let at = is.iter().zip(learned).position(|pair| !same(pair))?;
    Some(Said { what: format!("{what}, number {},", at + 1), is: is[at].to_string(), learned: learned[at].to_string() })
}
