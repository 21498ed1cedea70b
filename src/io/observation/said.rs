//! What a file says of a field, compared with what networks learned from: unit, axes, coordinates.

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::File;
use crate::progress::first_time;

/// Part of a coordinate, or of the mean distance between two, within which coordinates are the same.
const WITHIN: f64 = 1e-3;

/// Something of a field, as the file says it and as it was learned from. Empty: nobody says.
struct Said {
    what: String,
    is: String,
    learned: String,
}

/// Refuses a field of a file that says of it, in the attributes and arrays that this program writes (`io::simulation`), what
/// the field that was learned from is not. `at`: its array; `stacked`: it holds several observations; `own`: this program made
/// what was learned from, where no unit means a pure number.
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
    let (name, rank) = (spec.name.as_str(), spec.shape.len());
    // One word for each axis: of the array, or of one observation.
    let words = |attribute: &str| -> Result<Vec<String>> {
        match file.texts(at, attribute)? {
            None => Ok(vec![String::new(); rank]),
            Some(words) if words.len() == rank => Ok(words),
            Some(mut words) if words.len() == rank + 1 && stacked => Ok(words.split_off(1)),
            Some(words) => {
                let problem =
                    format!("its attribute {attribute} has {} words, and an observation {rank} axes", words.len());
                Err(Error::input(problem).remedy("give one word for each axis, in order"))
            }
        }
    };
    let unit = match file.text(at, "units")? {
        None => file.text(at, "unit")?,
        units => units,
    };
    let learned = if own || !spec.unit.is_empty() { pure(&spec.unit) } else { String::new() };
    let mut main = vec![Said { what: "unit".into(), is: unit.map_or(String::new(), |unit| pure(&unit)), learned }];
    let mut more = vec![];
    let (names, kinds, units) = (words("axes")?, words("axes_kinds")?, words("axes_units")?);
    for (i, axis) in spec.axes.iter().enumerate() {
        let called = if names[i].is_empty() { &axis.name } else { &names[i] };
        let what = |of: &str| format!("{of}axis {} ({called})", i + 1);
        let plain = |kind: &str| kind.trim().to_lowercase().replace("unsaid", "");
        // A number of pixels is no place.
        let place = |unit: &str| unit.trim().replace("pixel", "");
        main.push(Said { what: what(""), is: plain(&kinds[i]), learned: plain(&axis.kind.to_string()) });
        more.push(Said { what: what("unit of "), is: place(&units[i]), learned: place(&axis.unit) });
        let labels = file.texts(at, called)?.unwrap_or_default();
        more.push(Said { what: what("list of names along "), is: labels.join(", "), learned: axis.labels.join(", ") });
        let spins = file.numbers(at, &format!("{called}_spin"))?.unwrap_or_default();
        let learned: Vec<f64> = axis.spins.iter().map(|&spin| spin.into()).collect();
        more.extend(numbers(what("spin along "), &spins, &learned));
        for (end, of, learned) in [("", "coordinates along ", &axis.values), ("_edges", "edges along ", &axis.edges)] {
            let at = format!("axes/{name}/{called}{end}");
            if !learned.is_empty() && file.exists(&at) {
                more.extend(numbers(what(of), &file.read::<f64>(&at)?, learned));
            }
        }
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
