//! `forecast.h5`: a group for each statistic.

use super::{Fisher, Forecast, Statistic, Stepped};
use crate::error::Result;
use crate::io::hdf::{File, publish_alone};
use crate::io::provenance::Provenance;
use std::path::Path;

/// Writes it; `of` is the digest of what it was made from. Serial.
pub fn write(forecast: &Forecast, path: &Path, of: &str, by: &Provenance) -> Result<()> {
    publish_alone(path, |file| {
        by.write(file)?;
        file.set_text("", "of", of)?;
        let parameters = &forecast.parameters;
        let texts = |f: fn(&Stepped) -> &str| parameters.iter().map(f).collect::<Vec<_>>();
        let numbers = |f: fn(&Stepped) -> f64| parameters.iter().map(f).collect::<Vec<_>>();
        file.set_json("", "parameters", &texts(|p| &p.name))?;
        file.set_json("", "latex", &texts(|p| &p.latex))?;
        file.set_json("", "fiducial", &numbers(|p| p.fiducial))?;
        file.set_json("", "steps", &numbers(|p| p.step))?;
        file.set_json("", "statistics", &forecast.statistics.iter().map(|s| &s.field).collect::<Vec<_>>())?;
        forecast.statistics.iter().try_for_each(|s| put(file, s, parameters.len()))
    })
}

fn put(file: &File, s: &Statistic, q: usize) -> Result<()> {
    let (name, d) = (&s.field, s.numbers);
    file.group(name)?;
    file.set_json(name, "pairs", &s.pairs)?;
    file.set_json(name, "notes", &s.notes)?;
    file.set_number(name, "universes", s.universes as u64)?;
    file.set_number(name, "numbers", d as u64)?;
    if s.mean.is_empty() {
        return Ok(());
    }
    file.write_checked(None, &format!("{name}/used"), &[d], &s.used)?;
    let mut arrays: Vec<(&str, &[f64], Vec<usize>)> =
        vec![("mean", &s.mean, vec![d]), ("covariance", &s.covariance, vec![d, d])];
    if q > 0 {
        arrays.push(("derivatives", &s.derivatives, vec![q, d]));
        arrays.push(("derivative_errors", &s.derivative_errors, vec![q, d]));
    }
    let errors = s.fisher.as_ref().map(Fisher::errors).unwrap_or_default();
    if let Some(fisher) = &s.fisher {
        file.set_number(name, "hartlap", fisher.hartlap)?;
        arrays.push(("fisher", &fisher.matrix, vec![q, q]));
        arrays.push(("fisher_inverse", &fisher.covariance, vec![q, q]));
        arrays.push(("errors", &errors, vec![q]));
        arrays.push(("noise", &fisher.noise, vec![q]));
    }
    arrays
        .iter()
        .try_for_each(|(what, values, shape)| file.write_checked(None, &format!("{name}/{what}"), shape, values))
}

/// What it was made from. Serial.
pub fn of(path: &Path) -> Result<Option<String>> {
    File::open(path)?.text("", "of")
}

/// Reads it. Serial.
pub fn read(path: &Path) -> Result<Forecast> {
    let file = File::open(path)?;
    let texts = |name: &str| -> Result<Vec<String>> { Ok(file.json("", name)?.unwrap_or_default()) };
    let numbers = |name: &str| -> Result<Vec<f64>> { Ok(file.json("", name)?.unwrap_or_default()) };
    let both = texts("parameters")?.into_iter().zip(texts("latex")?);
    let values = numbers("fiducial")?.into_iter().zip(numbers("steps")?);
    let parameter = |((name, latex), (fiducial, step))| Stepped { name, latex, fiducial, step };
    let statistics = texts("statistics")?.into_iter().map(|field| get(&file, field)).collect::<Result<_>>()?;
    Ok(Forecast { parameters: both.zip(values).map(parameter).collect(), statistics })
}

fn get(file: &File, field: String) -> Result<Statistic> {
    let name = |what: &str| format!("{field}/{what}");
    let array = |what: &str| match file.exists(&name(what)) {
        true => file.read_checked::<f64>(&name(what), None),
        false => Ok(vec![]),
    };
    let hartlap = file.number(&field, "hartlap")?;
    let of = |hartlap: f64| -> Result<Fisher> {
        let (matrix, covariance) = (array("fisher")?, array("fisher_inverse")?);
        Ok(Fisher { hartlap, matrix, covariance, noise: array("noise")? })
    };
    let used = if file.exists(&name("used")) { file.read_checked(&name("used"), None)? } else { vec![] };
    Ok(Statistic {
        numbers: file.unsigned(&field, "numbers")? as usize,
        universes: file.unsigned(&field, "universes")? as usize,
        pairs: file.json(&field, "pairs")?.unwrap_or_default(),
        mean: array("mean")?,
        covariance: array("covariance")?,
        used,
        derivatives: array("derivatives")?,
        derivative_errors: array("derivative_errors")?,
        fisher: hartlap.map(of).transpose()?,
        notes: file.json(&field, "notes")?.unwrap_or_default(),
        field,
    })
}
