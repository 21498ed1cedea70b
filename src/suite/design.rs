//! Designs: which universes a campaign simulates.
//!
//! A row of a Sobol design, of draws from the prior and of a list depends on its number alone, so that such a design
//! can grow; a Latin hypercube or a grid cannot.

use crate::error::{Error, Result};
use crate::io::dataset::{Split, check_fractions, default_test, default_validation};
use crate::io::parameters::Parameters;
use crate::io::shard::Row;
use crate::io::simulation::{Record, State};
use crate::limits;
use crate::prior::{DrawnFrom, Prior};
use crate::rng;
use rand::{Rng, RngCore, seq::SliceRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::path::PathBuf;

/// How the points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Sobol' sequence (Joe & Kuo 2008 direction numbers) with a random digital shift per dimension.
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
    /// Number of universes n.
    pub simulations: usize,
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
    /// One table per varied parameter, with its prior; their order is that of theta's columns.
    pub parameters: Parameters,
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

    /// The designed universes of a file, which it has of its own as `stored` and, where it tells, `split`: refused
    /// where they were run as others than the design has now.
    pub fn check(&self, stored: &[Record], split: Option<&[u8]>) -> Result<()> {
        let names = self.prior.names();
        let list = self.list.as_ref().map_or(String::new(), |list| format!(" ({})", list.display()));
        let there = |(_, r): &(usize, &Record)| r.state != State::Missing;
        for (k, record) in stored.iter().enumerate().take_while(|(_, r)| r.index < self.len() as u64).filter(there) {
            let (i, row) = (record.index, self.row(record.index as usize));
            let differs = |what: &str, was: &dyn Debug, is: &dyn Debug| {
                let problem =
                    format!("simulation {i} was run with {what} = {was:?}, but row {i} of the design{list} has {is:?}");
                Err(Error::input(problem))
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
            if let Some(was) = split.and_then(|s| s.get(k)).filter(|&&was| was != row.split) {
                return differs("split", was, &row.split);
            }
        }
        Ok(())
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

impl DesignConfig {
    /// Checks everything that needs no file; `prior`: that of the parameters.
    pub fn check(&self, prior: &Prior) -> Result<()> {
        let bad = |key: &str, problem: &str| Error::input(problem).key(format!("design.{key}"));
        if self.simulations == 0 {
            return Err(bad("simulations", "there is nothing to simulate").value(0).remedy("give a positive number"));
        }
        limits::at_most("design.simulations", self.simulations, limits::SIMULATIONS)?;
        check_fractions("design", self.validation, self.test)?;
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
        if self.kind == Sampling::Grid && self.prior.is_some() {
            let error = bad("prior", "a grid is not drawn from any prior");
            return Err(error
                .value("uniform")
                .remedy("leave it out; or use kind = \"sobol\", which fills the box evenly"));
        }
        let other = prior.parameters.iter().find(|p| !p.is_uniform());
        if let (Some(Stated::Uniform), Some(other)) = (self.prior, other) {
            let error = bad("prior", &format!("but {} {}", other.name, other.distribution)).value("uniform");
            return Err(error.remedy("say prior = \"parameters\" where the list was drawn so"));
        }
        match (self.kind, &self.file) {
            (Sampling::List, None) => {
                Err(bad("file", "a list needs a file").remedy("name a text file, one universe per line"))
            }
            (Sampling::List, _) => Ok(()),
            (_, Some(f)) => {
                Err(bad("file", "is read by kind = \"list\" only").value(f).remedy("remove it, or change the kind"))
            }
            (Sampling::Grid, _) => cells(self.simulations, prior.len()).map(drop),
            (Sampling::Sobol, _) if prior.len() > MOST_SOBOL => {
                let problem = format!("a Sobol design varies at most {MOST_SOBOL} parameters");
                Err(bad("parameters", &problem).value(prior.len()).remedy("use kind = \"prior\""))
            }
            _ => Ok(()),
        }
    }

    /// True if `simulations` may grow later without moving the points there are.
    pub fn extends(&self) -> bool {
        matches!(self.kind, Sampling::Sobol | Sampling::Prior | Sampling::List)
    }

    /// Whether the points are drawn from the prior, as far as anyone said.
    pub fn drawn_from(&self) -> DrawnFrom {
        match (self.kind, self.prior) {
            (Sampling::Grid, _) => DrawnFrom::Grid,
            (Sampling::List, None) => DrawnFrom::List,
            (Sampling::Sobol | Sampling::LatinHypercube | Sampling::Prior, _) | (Sampling::List, Some(_)) => {
                DrawnFrom::Prior
            }
        }
    }

    /// Chooses the points.
    pub fn resolve(&self, prior: &Prior, seed: u64) -> Result<Design> {
        self.check(prior)?;
        let (n, p) = (self.simulations, prior.len());
        let mut realisation: Vec<u64> = (0..n as u64).collect();
        let unit: Vec<f64> = match self.kind {
            Sampling::Sobol => sobol_points(n, p, seed),
            Sampling::Prior => (0..n).flat_map(|i| points(seed, i as u64, p)).collect(),
            Sampling::LatinHypercube => latin_hypercube(n, p, seed),
            Sampling::Grid => grid(n, p)?,
            Sampling::List => vec![],
        };
        let theta = if self.kind == Sampling::List {
            let (theta, given) = self.read_list(prior)?;
            realisation = given.unwrap_or(realisation);
            theta
        } else {
            unit.chunks_exact(p).flat_map(|u| prior.from_unit(u)).collect()
        };
        let split = theta.chunks_exact(p).map(|t| Split::of(t, self.validation, self.test)).collect();
        let prior = prior.clone();
        Ok(Design { prior, drawn_from: self.drawn_from(), list: self.file.clone(), theta, realisation, split })
    }

    fn read_list(&self, prior: &Prior) -> Result<(Vec<f64>, Option<Vec<u64>>)> {
        let Some(path) = &self.file else { return Ok((vec![], None)) };
        let text = limits::read_text(path, limits::LIST).map_err(|e| {
            let error = e.key("design.file").value(path);
            error.remedy("give the path, from the working directory, of a text file with one universe per line")
        })?;
        let bad = |problem: String| {
            let error = Error::input(problem).key("design.file").value(path);
            Err(error.remedy("mend the list, or the parameters and simulations that [design] says it has"))
        };
        let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.split('#').next().unwrap_or("").trim()));
        let mut lines = lines.by_ref().filter(|(_, l)| !l.is_empty()).peekable();
        let words = |line: &str| -> Vec<String> {
            line.split([',', ' ', '\t']).filter(|w| !w.is_empty()).map(str::to_string).collect()
        };
        let named = lines.peek().is_some_and(|(_, l)| words(l).iter().any(|w| w.parse::<f64>().is_err()));
        let columns = match lines.next_if(|_| named) {
            Some((_, line)) => words(line),
            None => prior.names().iter().map(|n| n.to_string()).collect(),
        };
        let column = |name: &str| columns.iter().position(|c| c == name);
        let mut places = vec![];
        for name in prior.names() {
            let Some(place) = column(name) else { return bad(format!("has no column {name}")) };
            places.push(place);
        }
        let (mut theta, mut realisation) = (vec![], vec![]);
        for (number, line) in lines.take(self.simulations) {
            let values = words(line);
            if values.len() != columns.len() {
                return bad(format!("line {number} has {} columns, not {}", values.len(), columns.len()));
            }
            for (&place, p) in places.iter().zip(&prior.parameters) {
                match values[place].parse::<f64>() {
                    Ok(v) if p.distribution.holds(v) => theta.push(v),
                    Ok(v) => {
                        let (min, max) = p.distribution.bounds();
                        return bad(format!("line {number}: {} = {v} is outside [{min}, {max}]", p.name));
                    }
                    Err(_) => return bad(format!("line {number}: {:?} is not a number", values[place])),
                }
            }
            if let Some(place) = column("realisation") {
                let Ok(r) = values[place].parse() else {
                    return bad(format!("line {number}: realisation is not a whole number"));
                };
                realisation.push(r);
            }
        }
        let found = theta.len() / prior.len();
        if found < self.simulations {
            return bad(format!("has {found} universes, but design.simulations = {}", self.simulations));
        }
        Ok((theta, column("realisation").map(|_| realisation)))
    }
}

/// Row i of p uniform numbers.
fn points(seed: u64, i: u64, p: usize) -> Vec<f64> {
    let mut rng = rng::stream(seed, 0, "design", i);
    (0..p).map(|_| rng.random()).collect()
}

/// n points of the sequence. The shift makes every point uniform over the cube and leaves the sequence's nets what they
/// are; it lies half a spacing off the dyadic numbers, so that no point falls on a bound.
fn sobol_points(n: usize, p: usize, seed: u64) -> Vec<f64> {
    let shift: Vec<u64> = (0..p).map(|j| rng::stream(seed, 0, "sobol shift", j as u64).next_u64()).collect();
    let sequence = sobol::Sobol::<u64>::new(p, &sobol::params::JoeKuoD6::standard());
    let unit = |bits: u64| ((bits >> 12) as f64 + 0.5) / 2f64.powi(52);
    let shifted = |point: Vec<u64>| point.into_iter().zip(&shift).map(|(x, s)| unit(x ^ s)).collect::<Vec<_>>();
    sequence.take(n).flat_map(shifted).collect()
}

fn latin_hypercube(n: usize, p: usize, seed: u64) -> Vec<f64> {
    let mut unit = vec![0.0; n * p];
    for j in 0..p {
        let mut rng = rng::stream(seed, 0, "latin hypercube", j as u64);
        let mut slices: Vec<usize> = (0..n).collect();
        slices.shuffle(&mut rng);
        for (i, slice) in slices.into_iter().enumerate() {
            unit[i * p + j] = (slice as f64 + rng.random::<f64>()) / n as f64;
        }
    }
    unit
}

/// Cells of a grid along each of p parameters, kᵖ = n.
fn cells(n: usize, p: usize) -> Result<usize> {
    let k = (n as f64).powf(1.0 / p as f64).round() as usize;
    if k.checked_pow(p as u32) != Some(n) {
        let near = [k.max(2) - 1, k, k + 1].map(|k| k.saturating_pow(p as u32).to_string()).join(", ");
        let error =
            Error::input(format!("a grid of {p} parameters has k^{p} universes")).key("design.simulations").value(n);
        return Err(error.remedy(format!("choose one of {near}")));
    }
    Ok(k)
}

fn grid(n: usize, p: usize) -> Result<Vec<f64>> {
    let k = cells(n, p)?;
    let digit = |i: usize, j: usize| i / k.pow((p - 1 - j) as u32) % k;
    Ok((0..n * p).map(|at| (digit(at / p, at % p) as f64 + 0.5) / k as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str, n: usize, more: &str) -> DesignConfig {
        let text = format!(
            "kind = \"{kind}\"\nsimulations = {n}\n{more}\n[parameters.b]\nmin = 0.0\nmax = 1.0\n[parameters.a]\nmin = -1.0\nmax = 1.0\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn resolve(config: &DesignConfig, seed: u64) -> Result<Design> {
        config.resolve(&config.parameters.prior()?, seed)
    }

    #[test]
    fn designs_that_extend_do() {
        for kind in ["sobol", "prior"] {
            let (small, large) =
                (resolve(&config(kind, 50, ""), 7).unwrap(), resolve(&config(kind, 80, ""), 7).unwrap());
            assert_eq!(small.theta, large.theta[..100]);
            assert_eq!(small.split, large.split[..50]);
            assert_eq!(small.prior.names(), ["b", "a"]);
            assert_ne!(small.theta, resolve(&config(kind, 50, ""), 8).unwrap().theta);
            assert!(small.theta.chunks(2).all(|t| small.prior.ln_density(t).is_finite()));
        }
    }

    #[test]
    fn sobol_and_latin_hypercube_fill_every_slice() {
        for kind in ["sobol", "latin-hypercube"] {
            let design = resolve(&config(kind, 64, ""), 3).unwrap();
            for j in 0..2 {
                let slice = |t: &[f64]| (design.prior.parameters[j].distribution.cdf(t[j]) * 64.0) as usize;
                let mut slices: Vec<_> = design.theta.chunks(2).map(slice).collect();
                slices.sort_unstable();
                assert!(slices.into_iter().eq(0..64), "{kind}");
            }
        }
        // A (0, m, 2)-net: also one point in every cell of 8 x 8.
        let design = resolve(&config("sobol", 64, ""), 3).unwrap();
        let cell = |t: &[f64]| (t[0] * 8.0) as usize * 8 + ((t[1] + 1.0) * 4.0) as usize;
        let mut cells: Vec<_> = design.theta.chunks(2).map(cell).collect();
        cells.sort_unstable();
        assert!(cells.into_iter().eq(0..64));
    }

    #[test]
    fn points_follow_correlated_priors() {
        let text = "simulations = 4096\n[parameters.b]\nkind = \"normal\"\nmean = 1.0\nsigma = 0.1\n[parameters.a]\nkind = \"normal\"\n\
                    mean = 0.0\nsigma = 1.0\ncorrelation = { b = -0.9 }\n";
        let config: DesignConfig = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<DesignConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        for kind in [Sampling::Sobol, Sampling::Prior, Sampling::LatinHypercube] {
            let design = resolve(&DesignConfig { kind, ..config.clone() }, 5).unwrap();
            let product = |t: &[f64]| (t[0] - 1.0) / 0.1 * t[1];
            let found = design.theta.chunks(2).map(product).sum::<f64>() / 4096.0;
            assert!((found + 0.9).abs() < 0.06, "{kind:?}: {found}");
        }
    }

    #[test]
    fn grids_and_lists() {
        let design = resolve(&config("grid", 9, ""), 1).unwrap();
        assert_eq!(design.row(1).theta, [1.0 / 6.0, 0.0]);
        assert!(resolve(&config("grid", 10, ""), 1).unwrap_err().to_string().contains("4, 9, 16"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        std::fs::write(&path, "a, realisation, b\n# pairs\n0.5, 3, 0.25\n-0.5, 3, 0.75\n").unwrap();
        let file = format!("file = {path:?}");
        let design = resolve(&config("list", 2, &file), 1).unwrap();
        assert_eq!((design.theta, design.realisation), (vec![0.25, 0.5, 0.75, -0.5], vec![3, 3]));
        assert_eq!(resolve(&config("list", 3, &file), 1).unwrap_err().exit_code(), 2);
        let drawn = |kind, more: &str| config(kind, 2, more).drawn_from();
        assert_eq!([drawn("list", &file), drawn("grid", "")], [DrawnFrom::List, DrawnFrom::Grid]);
        let stated = format!("{file}\nprior = \"uniform\"");
        assert_eq!([drawn("list", &stated), drawn("sobol", "")], [DrawnFrom::Prior; 2]);
        assert_eq!(resolve(&config("list", 2, &stated), 1).unwrap().drawn_from, DrawnFrom::Prior);
        let refused = resolve(&config("grid", 9, "prior = \"uniform\""), 1).unwrap_err();
        assert_eq!(refused.key.as_deref(), Some("design.prior"));
        // Bounds, as they come back from single precision.
        std::fs::write(&path, format!("{} {}\n", 1.0 + 1e-7, 1e-300)).unwrap();
        assert_eq!(resolve(&config("list", 1, &file), 1).unwrap().len(), 1);
        std::fs::write(&path, "0.5 2.0\n").unwrap();
        assert!(resolve(&config("list", 1, &file), 1).unwrap_err().to_string().contains("outside"));
        assert!(resolve(&config("sobol", 0, ""), 1).is_err() && resolve(&config("list", 2, ""), 1).is_err());
    }
}
