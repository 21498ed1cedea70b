//! Spectra of several fields and their pairs, tabulated over ℓ.

use crate::cosmology::Spline;
use crate::error::{Error, Result};
use crate::limits;
use ndarray::Array2;
use ndarray_linalg::{Eigh, UPLO};
use std::path::Path;

/// How far below 0 the least eigenvalue of the bins' correlations may lie: what the digits of a table leave open.
const ROUNDING: f64 = 1e-6;

/// Angular power spectra C_ij(ℓ) of fields on the sky, and of all their pairs: splines over ln(ℓ + ½), of ln C where
/// all of its values are positive, else of C.
#[derive(Debug, Clone)]
pub struct AngularSpectra {
    names: Vec<String>,
    ell: Vec<f64>,
    /// One for each pair, in the order of [`Self::pairs`], and whether it is of the logarithm.
    splines: Vec<(Spline, bool)>,
}

impl AngularSpectra {
    /// Of the fields called `names`, at `ell` (growing, from 0 or above; any real numbers), `c` having the values of one
    /// pair after another, as in [`Self::pairs`]. Refuses what cannot be the spectra of any fields: where a matrix C_ij
    /// has a negative eigenvalue, some sum of the fields has a negative variance.
    pub fn new(names: Vec<String>, ell: Vec<f64>, c: Vec<Vec<f64>>) -> Result<Self> {
        let wrong = |problem: String, remedy: &str| Err(Error::input(problem).remedy(remedy));
        if let Some(name) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)).map(|n| n.1) {
            return wrong(format!("two fields are called {name}"), "give each a name of its own");
        }
        let n = names.len();
        if n == 0 || c.len() != n * (n + 1) / 2 {
            let problem = format!("there are {} spectra of {n} fields, not one of every pair", c.len());
            return wrong(problem, "n fields have n (n + 1) / 2 spectra, themselves with themselves included");
        }
        if ell.len() < 2 || c.iter().any(|c| c.len() != ell.len()) {
            let problem = format!("the spectra are not all given at the {} multipoles", ell.len());
            return wrong(problem, "give every spectrum at the same ℓ, two or more");
        }
        let sound = |l: f64, before: Option<&f64>| l >= 0.0 && l.is_finite() && before.is_none_or(|b| l > *b);
        if let Some(i) = (0..ell.len()).find(|&i| !sound(ell[i], i.checked_sub(1).map(|i| &ell[i]))) {
            return wrong(format!("ℓ = {} does not grow from 0 or above", ell[i]), "sort by ℓ, and keep each ℓ once");
        }
        let spectra = AngularSpectra { names, ell, splines: vec![] };
        for (i, &ell) in spectra.ell.iter().enumerate() {
            spectra.check_matrix(ell, |pair| c[pair][i])?;
        }
        let x: Vec<f64> = spectra.ell.iter().map(|l| (l + 0.5).ln()).collect();
        let spline = |c: Vec<f64>| match c.iter().all(|c| *c > 0.0) {
            true => (Spline::new(x.clone(), c.into_iter().map(f64::ln).collect()), true),
            false => (Spline::new(x.clone(), c), false),
        };
        let splines = c.into_iter().map(spline).collect();
        Ok(AngularSpectra { splines, ..spectra })
    }

    /// Refuses a matrix that has no such fields; `c` gives its entry of each pair.
    fn check_matrix(&self, ell: f64, c: impl Fn(usize) -> f64) -> Result<()> {
        let name = |(i, j): (usize, usize)| format!("{}×{}", self.names[i], self.names[j]);
        let wrong = |problem: String| {
            Error::input(format!("at ℓ = {ell} {problem}"))
                .remedy("look at these columns: no fields have such spectra; a bin's own holds all of it, without noise taken off")
        };
        for (at, pair) in self.pairs().into_iter().enumerate() {
            let value = c(at);
            if !value.is_finite() || (pair.0 == pair.1 && value < 0.0) {
                return Err(wrong(format!("the spectrum {} is {value}", name(pair))));
            }
        }
        let n = self.names.len();
        let rms: Vec<f64> = (0..n).map(|i| c(self.pair(i, i)).sqrt()).collect();
        let mut correlations = Array2::eye(n);
        for (at, (i, j)) in self.pairs().into_iter().enumerate().filter(|(_, (i, j))| i != j) {
            let value = match rms[i] * rms[j] {
                0.0 if c(at) == 0.0 => 0.0,
                0.0 => return Err(wrong(format!("{} is {}, though one of them has no power", name((i, j)), c(at)))),
                scale => c(at) / scale,
            };
            correlations[[i, j]] = value;
            correlations[[j, i]] = value;
        }
        let (values, vectors) = correlations.eigh(UPLO::Lower).map_err(|e| Error::failed(e.to_string()))?;
        if values[0] < -ROUNDING {
            let involved = (0..n).filter(|&i| vectors[[i, 0]].abs() > 0.1).map(|i| self.names[i].as_str());
            let involved: Vec<&str> = involved.collect();
            return Err(wrong(format!(
                "the bins {} are correlated as nothing can be: the least eigenvalue of their correlations is {:.2e}",
                involved.join(", "),
                values[0]
            )));
        }
        Ok(())
    }

    /// From a text file: columns ℓ and spectra, whose header names the pairs, `# ell A*A A*B B*B` (or ×), each pair once
    /// and in any order. Fields are ordered as they first appear. Errors have the path as value.
    pub fn read(path: &Path) -> Result<Self> {
        limits::read_text(path, limits::TABLE)
            .map_err(|e| e.remedy("give the path of a table of spectra"))
            .and_then(|text| Self::parse(&text))
            .map_err(|e| e.value(path))
    }

    fn parse(text: &str) -> Result<Self> {
        let remedy = "begin with a line `# ell A*A A*B B*B` that names the columns: ℓ and every pair of fields once";
        let wrong = |problem: String| Error::input(problem).remedy(remedy);
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let header = lines.next().and_then(|(_, line)| line.trim().strip_prefix('#')).unwrap_or_default();
        let mut columns = header.split_whitespace();
        if !columns.next().is_some_and(|first| first.eq_ignore_ascii_case("ell") || first == "ℓ") {
            return Err(wrong("has no first line that names its columns".into()));
        }
        let (mut names, mut given): (Vec<String>, Vec<(usize, usize)>) = Default::default();
        for column in columns {
            let (a, b) = column
                .split_once(['*', '×'])
                .filter(|(a, b)| !a.is_empty() && !b.is_empty())
                .ok_or_else(|| wrong(format!("the column {column} names no pair")))?;
            let [a, b] = [a, b].map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.to_string());
                    names.len() - 1
                })
            });
            let pair = (a.min(b), a.max(b));
            if given.contains(&pair) {
                return Err(wrong(format!("the pair {column} stands there twice")));
            }
            given.push(pair);
        }
        let order: Vec<usize> = pairs(names.len())
            .into_iter()
            .map(|pair| {
                let missing = || wrong(format!("there is no column {}*{}", names[pair.0], names[pair.1]));
                given.iter().position(|g| *g == pair).ok_or_else(missing)
            })
            .collect::<Result<_>>()?;
        let mut rows: Vec<Vec<f64>> = vec![];
        for (number, line) in lines {
            let content = line.split('#').next().unwrap_or_default();
            let values: std::result::Result<Vec<f64>, _> = content.split_whitespace().map(str::parse).collect();
            match values {
                Ok(values) if values.is_empty() => {}
                Ok(values) if values.len() == given.len() + 1 => rows.push(values),
                Ok(values) => {
                    let problem = format!("line {}: has {} columns, not {}", number + 1, values.len(), given.len() + 1);
                    return Err(wrong(problem));
                }
                Err(_) => return Err(wrong(format!("line {}: not all of it is numbers", number + 1))),
            }
        }
        let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<f64>>();
        Self::new(names, column(0), order.into_iter().map(|i| column(i + 1)).collect())
    }

    /// What the fields are called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Multipoles at which the spectra are given.
    pub fn ell(&self) -> &[f64] {
        &self.ell
    }

    /// Pairs i ≤ j of fields, row by row: (0, 0), (0, 1) … (1, 1) …
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.names.len())
    }

    /// Where the pair stands among [`Self::pairs`].
    fn pair(&self, i: usize, j: usize) -> usize {
        let (i, j) = (i.min(j), i.max(j));
        i * self.names.len() - i * (i + 1) / 2 + j
    }

    /// C_ij(ℓ), ℓ within the table. Between its multipoles no matrix C_ij is promised to be positive to rounding.
    ///
    /// # Panics
    /// Where ℓ lies outside, which [`Self::covers`] refuses: nothing is extrapolated.
    pub fn at(&self, i: usize, j: usize, ell: f64) -> f64 {
        let (first, last) = self.range();
        assert!(first - 1e-9 <= ell && ell <= last * (1.0 + 1e-9), "ℓ = {ell} is not in the table, {first} to {last}");
        let (spline, logarithm) = &self.splines[self.pair(i, j)];
        let c = spline.at((ell + 0.5).ln());
        if *logarithm { c.exp() } else { c }
    }

    fn range(&self) -> (f64, f64) {
        (self.ell[0], self.ell[self.ell.len() - 1])
    }

    /// Refuses multipoles from `min` to `max` that are not all within the table.
    pub fn covers(&self, min: f64, max: f64) -> Result<()> {
        let (first, last) = self.range();
        if first <= min && max <= last {
            return Ok(());
        }
        let problem = format!("the spectra run from ℓ = {first} to {last}, needed are {min} to {max}");
        Err(Error::input(problem).remedy("give them over a wider range of ℓ"))
    }
}

/// Pairs i ≤ j of `n`, row by row.
fn pairs(n: usize) -> Vec<(usize, usize)> {
    (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).collect()
}
