//! Designs: which universes a campaign simulates.
//!
//! A row of a Sobol design, of draws from the prior and of a list depends on its number alone, so that such a design
//! can grow; so can the realisations at a fiducial point. A Latin hypercube or a grid cannot.

mod derived;
mod fiducial;
mod list;
mod points;

pub use derived::{Derivation, DerivedConfig};

use crate::error::{Error, Result};
use crate::io::dataset::{Split, check_fractions, default_test, default_validation};
use crate::io::parameters::Parameters;
use crate::io::shard::Row;
use crate::io::simulation::{Record, State};
use crate::limits;
use crate::prior::{DrawnFrom, Prior};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

/// How the points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Sobol' sequence (Joe & Kuo 2008 direction numbers), made random as `scramble` says.
    #[default]
    Sobol,
    /// One point in each of n slices of every parameter (McKay, Beckman & Conover 1979).
    LatinHypercube,
    /// Independent draws from the prior.
    Prior,
    /// The centres of kᵖ equal cells; n is kᵖ.
    Grid,
    /// The rows of a text file.
    List,
    /// One point many times, and pairs of points a step beside it.
    Fiducial,
}

/// How a Sobol' sequence is made random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scramble {
    /// A random digital shift per dimension.
    #[default]
    Shift,
    /// Nested uniform scrambling (Owen 1995).
    Owen,
}

/// What becomes of points whose universes cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reject {
    /// A prior that has them is refused.
    #[default]
    Refuse,
    /// The next point takes their place.
    Redraw,
}

/// What the rows of a list were drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stated {
    /// Uniformly from the box of the parameters.
    Uniform,
    /// From the priors of the parameters' tables, whatever their kinds.
    Parameters,
}

/// `[design]`: the universes to simulate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesignConfig {
    /// How the points are chosen.
    #[serde(default)]
    pub kind: Sampling,
    /// Number of universes n, all realisations and pairs included.
    pub simulations: usize,
    /// For `kind = "sobol"`: how the sequence is made random, by a digital shift per dimension, or by Owen's nested
    /// scrambling, whose means over many points err less. Either can grow.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-default" = "`\"shift\"`"))]
    pub scramble: Scramble,
    /// What becomes of points whose universes cannot be made (more baryons than matter, say): `refuse` refuses a prior
    /// that has them; with `redraw`, for `kind = "sobol"` and `"prior"`, the next point takes the place of each, and the
    /// prior is that of the universes that can be made.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-default" = "`\"refuse\"`"))]
    pub reject: Reject,
    /// Universes at each point, of realisations of their own, one row after the other; `simulations` is a multiple.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(extend("x-default" = "1"))]
    pub realisations: usize,
    /// Fraction kept out of the training steps, to choose the best weights. Where it leaves none, a tenth of the
    /// universes to learn from takes its place.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Fraction never seen in training; the posteriors and their calibration are of these.
    #[serde(default = "default_test")]
    pub test: f64,
    /// For `kind = "list"` only: one universe per line, columns as the parameters; or a first line of names, among them
    /// perhaps `realisation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub file: Option<PathBuf>,
    /// For `kind = "list"`: the prior that its rows were drawn from, uniform in the box of `parameters`, or whatever
    /// these say. Without it a list has posteriors, but no gain, no contraction and no verdict: they would be against a
    /// prior that nobody drew from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Stated>,
    /// For `kind = "fiducial"`: realisations that also have a pair of universes for every parameter in `steps`, of the
    /// same initial conditions.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-default" = "0"))]
    pub pairs: usize,
    /// For `kind = "fiducial"`: the value of every parameter, inside its prior.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-type" = "{ NAME = number, … }"))]
    pub fiducial: BTreeMap<String, f64>,
    /// For `kind = "fiducial"`: how far below and above the fiducial value the two of a pair lie, inside the prior.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-type" = "{ NAME = number, … }"))]
    pub steps: BTreeMap<String, f64>,
    /// One table per varied parameter, with its prior; their order is that of theta's columns.
    pub parameters: Parameters,
    /// Parameters that follow from them, as columns beside theta and in posteriors: `derived = ["S8", "A_s"]`, or formulas,
    /// `derived = { S8 = "sigma8 * sqrt(Omega_m / 0.3)" }`, or a table `[design.derived.NAME]` for each. May be changed at any
    /// time.
    #[serde(default, skip_serializing_if = "DerivedConfig::is_empty")]
    #[schemars(extend("x-type" = "[NAME, …] or { NAME = formula, … }"))]
    pub derived: DerivedConfig,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn one() -> usize {
    1
}
fn is_one(value: &usize) -> bool {
    *value == 1
}

/// The universes of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    pub prior: Prior,
    /// Whether theta was drawn from it.
    pub drawn_from: DrawnFrom,
    /// The file that the points come from, where they do.
    pub list: Option<PathBuf>,
    /// (n, p) in C order.
    pub theta: Vec<f64>,
    /// What follows from it, (n, d) for the prior's d derived parameters.
    pub derived: Vec<f64>,
    /// Points that were passed over, for their universes cannot be made; `None` where none is.
    pub passed_over: Option<u64>,
    /// n: rows of the same number share their initial conditions.
    pub realisation: Vec<u64>,
    /// n.
    pub split: Vec<Split>,
}

impl Design {
    /// Number of universes n.
    pub fn len(&self) -> usize {
        self.realisation.len()
    }

    /// True with no universes.
    pub fn is_empty(&self) -> bool {
        self.realisation.is_empty()
    }

    /// The designed universes of a file, which it has of its own as `stored`: refused where they were run as others than
    /// the design has now. What they are used for may change. Rows that it does not have are [`beyond`](Self::beyond) it.
    pub fn check(&self, stored: &[Record]) -> Result<()> {
        let names = self.prior.names();
        let list = self.list.as_ref().map_or(String::new(), |list| format!(" ({})", list.display()));
        let n = self.len() as u64;
        for record in stored.iter().filter(|record| record.index < n && record.state != State::Missing) {
            let i = record.index;
            let row = self.row(i as usize);
            let differs = |what: &str, was: &dyn Debug, is: &dyn Debug| {
                let blocks = match self.drawn_from {
                    DrawnFrom::Fiducial => " (design.pairs may grow while every realisation has its pairs)",
                    _ => "",
                };
                Err(Error::input(format!(
                    "simulation {i} was run with {what} = {was:?}, but row {i} of the design{list} has {is:?}{blocks}"
                )))
            };
            if record.theta.len() != names.len() {
                return differs("theta", &record.theta, &row.theta);
            }
            for ((name, was), is) in names.iter().zip(&record.theta).zip(row.theta) {
                if was.to_bits() != is.to_bits() {
                    return differs(name, was, is);
                }
            }
            if record.realisation != row.realisation {
                return differs("realisation", &record.realisation, &row.realisation);
            }
        }
        Ok(())
    }

    /// Of a file with a simulation that the design has no row for.
    pub fn beyond(&self, i: u64) -> Error {
        let error = Error::input(format!("holds simulation {i}, of a design that had more rows"));
        let error = error.key("design.simulations").value(self.len());
        error.remedy(format!("give {} or more again, or give another output", i + 1))
    }

    /// Everything about universe i.
    pub fn row(&self, i: usize) -> Row<'_> {
        let p = self.prior.len();
        let theta = &self.theta[i * p..(i + 1) * p];
        Row { index: i as u64, realisation: self.realisation[i], theta, split: self.split[i] as u8 }
    }
}

/// Dimensions of the Sobol sequence.
const MOST_SOBOL: usize = 1000;
/// Points in a row that may be passed over.
const MOST_TRIES: usize = 10_000;

impl DesignConfig {
    /// Checks everything that needs no file; `prior`: that of the parameters.
    pub fn check(&self, prior: &Prior) -> Result<()> {
        let bad = |key: &str, problem: &str| Error::input(problem).key(format!("design.{key}"));
        if self.simulations == 0 {
            return Err(bad("simulations", "there is nothing to simulate").value(0).remedy("give a positive number"));
        }
        limits::at_most("design.simulations", self.simulations, limits::SIMULATIONS)?;
        check_fractions("design", self.validation, self.test)?;
        let k = self.realisations;
        if k == 0 || !self.simulations.is_multiple_of(k) {
            let error = bad("realisations", "simulations is no multiple of it").value(k);
            return Err(error.remedy(format!("{} simulations: give a divisor of that", self.simulations)));
        }
        if k > 1 && self.kind == Sampling::Fiducial {
            let error = bad("realisations", "all universes of a fiducial point are its realisations").value(k);
            return Err(error.remedy("remove it: simulations says how many there are"));
        }
        if self.scramble != Scramble::Shift && self.kind != Sampling::Sobol {
            let error = bad("scramble", "is read by kind = \"sobol\" only").value("owen");
            return Err(error.remedy("remove it, or change the kind"));
        }
        if self.reject == Reject::Redraw && !matches!(self.kind, Sampling::Sobol | Sampling::Prior) {
            let error = bad("reject", "such a design has no next point").value("redraw");
            return Err(error.remedy("remove it, or use kind = \"sobol\" or \"prior\""));
        }
        if prior.is_empty() {
            return Err(
                bad("parameters", "no parameter is varied").remedy("add [design.parameters.Omega_m] with min and max")
            );
        }
        limits::product_at_most(
            "design.simulations",
            &[self.simulations, prior.len()],
            "parameters of universes",
            limits::THETA,
            "give fewer simulations, or vary fewer parameters",
        )?;
        if matches!(self.kind, Sampling::Grid | Sampling::Fiducial) && self.prior.is_some() {
            let what = if self.kind == Sampling::Grid { "a grid" } else { "a fiducial point" };
            let error = bad("prior", &format!("{what} is not drawn from any prior"));
            return Err(error
                .value("uniform")
                .remedy("leave it out; or use kind = \"sobol\", which fills the box evenly"));
        }
        let other = prior.parameters.iter().find(|p| !p.is_uniform());
        if let (Some(Stated::Uniform), Some(other)) = (self.prior, other) {
            let error = bad("prior", &format!("but {} {}", other.name, other.distribution)).value("uniform");
            return Err(error.remedy("say prior = \"parameters\" where the list was drawn so"));
        }
        self.check_fiducial(prior)?;
        match (self.kind, &self.file) {
            (Sampling::List, None) => {
                Err(bad("file", "a list needs a file").remedy("name a text file, one universe per line"))
            }
            (Sampling::List, _) => Ok(()),
            (_, Some(f)) => {
                Err(bad("file", "is read by kind = \"list\" only").value(f).remedy("remove it, or change the kind"))
            }
            (Sampling::Grid, _) => points::cells(self.simulations / k, prior.len()).map(drop),
            (Sampling::Sobol, _) if prior.len() > MOST_SOBOL => {
                let problem = format!("a Sobol design varies at most {MOST_SOBOL} parameters");
                Err(bad("parameters", &problem).value(prior.len()).remedy("use kind = \"prior\""))
            }
            _ => Ok(()),
        }
    }

    /// True if `simulations` may grow later without moving the points there are.
    pub fn extends(&self) -> bool {
        !matches!(self.kind, Sampling::LatinHypercube | Sampling::Grid)
    }

    /// Whether the points are drawn from the prior, as far as anyone said.
    pub fn drawn_from(&self) -> DrawnFrom {
        match (self.kind, self.prior) {
            (Sampling::Grid, _) => DrawnFrom::Grid,
            (Sampling::List, None) => DrawnFrom::List,
            (Sampling::Fiducial, _) => DrawnFrom::Fiducial,
            (Sampling::Sobol | Sampling::LatinHypercube | Sampling::Prior, _) | (Sampling::List, Some(_)) => {
                DrawnFrom::Prior
            }
        }
    }

    /// Chooses the points, where every universe can be made.
    pub fn resolve(&self, prior: &Prior, seed: u64) -> Result<Design> {
        self.resolve_among(prior, seed, |_| true)
    }

    /// Chooses the points. Those that are not `possible` are passed over where they are to be redrawn.
    pub fn resolve_among(&self, prior: &Prior, seed: u64, possible: impl Fn(&[f64]) -> bool) -> Result<Design> {
        self.check(prior)?;
        let (k, p) = (self.realisations, prior.len());
        let n = self.simulations / k;
        let of = |unit: Vec<f64>| (unit.chunks_exact(p).flat_map(|u| prior.from_unit(u)).collect(), None);
        let passed = Cell::new(0);
        let next = |units: &mut dyn Iterator<Item = Vec<f64>>| {
            let mut all = units.take(MOST_TRIES).map(|u| prior.from_unit(&u));
            let is_one = |theta: &Vec<f64>| {
                let is_one = self.reject == Reject::Refuse || possible(theta);
                passed.set(passed.get() + !is_one as u64);
                is_one
            };
            all.find(is_one).ok_or_else(|| {
                let error = Error::input(format!("of {MOST_TRIES} points in a row no universe can be made"));
                error.key("design.reject").value("redraw").remedy("narrow the priors to universes that can be made")
            })
        };
        let (theta, given): (Vec<f64>, _) = match self.kind {
            Sampling::Sobol => {
                let mut units = points::sobol_points(p, seed, self.scramble);
                ((0..n).map(|_| next(&mut units)).collect::<Result<Vec<_>>>()?.concat(), None)
            }
            Sampling::Prior => {
                let row = |i| next(&mut points::drawn(seed, i as u64, p));
                ((0..n).map(row).collect::<Result<Vec<_>>>()?.concat(), None)
            }
            Sampling::LatinHypercube => of(points::latin_hypercube(n, p, seed)),
            Sampling::Grid => of(points::grid(n, p)?),
            Sampling::List => self.read_list(prior, n)?,
            Sampling::Fiducial => {
                let (theta, realisation) = self.stencil_points(prior);
                (theta, Some(realisation))
            }
        };
        let theta: Vec<f64> =
            theta.chunks_exact(p).flat_map(|t| std::iter::repeat_n(t, k)).flatten().copied().collect();
        let realisation = given.unwrap_or_else(|| (0..self.simulations as u64).collect());
        let drawn_from = self.drawn_from();
        let of = |(t, &r): (&[f64], &u64)| Split::of_row(drawn_from, t, r, self.validation, self.test);
        let split = theta.chunks_exact(p).zip(&realisation).map(of).collect();
        let passed_over = (self.reject == Reject::Redraw).then(|| passed.get());
        Ok(Design {
            prior: prior.clone(),
            drawn_from,
            list: self.file.clone(),
            theta,
            derived: vec![],
            passed_over,
            realisation,
            split,
        })
    }
}

#[cfg(test)]
mod tests;
