//! What a measurement would tell of the parameters, from realisations at one fiducial point: means and covariances of
//! statistics, their derivatives by pairs of steps, and the Fisher matrix of a Gaussian likelihood,
//!
//! F_ij = h ∂_i μᵀ C⁻¹ ∂_j μ,   h = (n − d − 2) / (n − 1),
//!
//! whose covariance does not depend on the parameters. Hartlap's factor h makes the inverse of a covariance that n
//! universes gave unbiased (Hartlap, Simon & Schneider 2007); d numbers want more than d + 2 universes. A derivative is
//! the mean of (x₊ − x₋) / 2δ over pairs that share their initial conditions. What chance leaves in it adds to F: how much
//! is told ([`Fisher::noise`]).

mod file;
mod statistic;
#[cfg(test)]
mod tests;
mod words;

pub use file::{of, read, write};
pub use statistic::{Fisher, Measured, Statistic};

use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::{AxisKind, FieldSpec};
use crate::io::points::Stencil;
use crate::prior::DrawnFrom;

/// Numbers of a statistic beyond which there is no covariance: it would be larger than the data.
const MOST: usize = 4096;

/// All statistics of a fiducial set.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The parameters with steps, q: name, label, fiducial value and step.
    pub parameters: Vec<Stepped>,
    pub statistics: Vec<Statistic>,
}

/// A parameter by which derivatives are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    pub name: String,
    pub latex: String,
    pub fiducial: f64,
    pub step: f64,
}

/// True of a field with one vector of numbers per universe, or per view of it: no map, no grid, no list.
pub fn is_statistic(spec: &FieldSpec) -> bool {
    let space = AxisKind::is_spatial;
    !spec.ragged && !spec.axes.iter().any(|axis| space(axis.kind)) && spec.shape.iter().all(|&n| n > 0)
}

impl Forecast {
    /// That of a dataset with realisations at a fiducial point. Serial; reads the statistics of all its universes.
    pub fn of(dataset: &Dataset) -> Result<Forecast> {
        let refuse =
            |problem: &str, remedy: &str| Err(Error::input(problem).file(&dataset.path).key("theta").remedy(remedy));
        let p = dataset.prior.len();
        let stencil = if dataset.drawn_from == DrawnFrom::Fiducial { Stencil::of(dataset.theta(), p) } else { None };
        let Some(stencil) = stencil else {
            let remedy = "simulate a design of kind = \"fiducial\" (polycosm new --recipe forecast)";
            return refuse("its universes are no realisations of one fiducial point", remedy);
        };
        let realisation = dataset.beside("realisation")?.unwrap_or_else(|| (0..dataset.len() as u64).collect());
        let at = |step: i64| -> Vec<usize> {
            (0..dataset.len()).filter(|&i| stencil.step[i] == step && dataset.status()[i] == 0).collect()
        };
        let fiducials = at(0);
        if fiducials.len() < 2 {
            return refuse("fewer than 2 universes at the fiducial point are finished", "simulate more");
        }
        let stepped: Vec<usize> = (0..p).filter(|&j| stencil.steps[j] > 0.0).collect();
        // Only whole pairs count.
        let pairs = |&j: &usize| -> Vec<[usize; 2]> {
            let (down, up) = (at(-(j as i64 + 1)), at(j as i64 + 1));
            let other = |&a: &usize| up.iter().find(|&&b| realisation[b] == realisation[a]).map(|&b| [a, b]);
            down.iter().filter_map(other).collect()
        };
        let pairs: Vec<Vec<[usize; 2]>> = stepped.iter().map(pairs).collect();
        let parameters: Vec<Stepped> = stepped
            .iter()
            .map(|&j| Stepped {
                name: dataset.prior.parameters[j].name.clone(),
                latex: dataset.prior.parameters[j].latex.clone(),
                fiducial: stencil.fiducial[j],
                step: stencil.steps[j],
            })
            .collect();
        let of = |spec: &FieldSpec| -> Result<Statistic> {
            let views = if spec.axes.first().is_some_and(|a| a.kind == AxisKind::View) { spec.shape[0] } else { 1 };
            let d = spec.shape.iter().product::<usize>() / views;
            if d > MOST {
                let problem = format!("it has {d} numbers, and covariances are taken of at most {MOST}");
                return Ok(Statistic::none(&spec.name, d, problem));
            }
            let read = |row: &usize| dataset.read_f64(&spec.name, &[*row]);
            let fiducials = fiducials.iter().map(read).collect::<Result<Vec<_>>>()?;
            let pair = |rows: &[usize; 2]| Ok([read(&rows[0])?, read(&rows[1])?]);
            let each = pairs.iter().map(|all| all.iter().map(pair).collect::<Result<Vec<_>>>());
            let measured = Measured { views, fiducials, pairs: each.collect::<Result<_>>()? };
            Ok(measured.statistic(&spec.name, &parameters.iter().map(|p| p.step).collect::<Vec<_>>()))
        };
        let specs = dataset.specs();
        let mut statistics = specs.iter().filter(|spec| is_statistic(spec)).map(of).collect::<Result<Vec<_>>>()?;
        // What is the same in all universes, as numbers of modes are, is none.
        statistics.retain(|s| s.mean.is_empty() || !s.places().is_empty());
        if statistics.is_empty() {
            return refuse("no field is a statistic: all are maps, grids or lists", "add [simulator.power], for one");
        }
        Ok(Forecast { parameters, statistics })
    }
}
