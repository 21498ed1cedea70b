//! Tables of one campaign: patterns of their paths, and several redshifts together.

use super::table::read;
use super::{Growth, LinearPower, Spline};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A table of every simulation, or one of all.
pub struct Tables<'a> {
    pub redshift: f64,
    /// Where the user wrote it.
    key: String,
    /// The same as a JSON pointer within the section.
    place: String,
    pattern: &'a str,
}

impl<'a> Tables<'a> {
    /// `cosmology.table`.
    pub fn today(pattern: &'a str) -> Self {
        Tables { redshift: 0.0, key: "cosmology.table".into(), place: "/table".into(), pattern }
    }

    /// `cosmology.tables`, by growing redshift, which begins at 0.
    pub fn of(tables: &'a BTreeMap<String, String>) -> Result<Vec<Self>> {
        let source = |(z, pattern): (&String, &'a String)| {
            let key = format!("cosmology.tables.{z:?}");
            let redshift = z.parse().ok().filter(|z: &f64| z.is_finite() && *z >= 0.0).ok_or_else(|| {
                Error::input("is not a redshift").key(&key).remedy("write redshifts as \"0.0\", \"49.0\" …, 0 or above")
            })?;
            Ok(Tables { redshift, key, place: format!("/tables/{z}"), pattern })
        };
        let mut sources: Vec<_> = tables.iter().map(source).collect::<Result<_>>()?;
        sources.sort_by(|s, t| s.redshift.total_cmp(&t.redshift));
        if let Some(pair) = sources.windows(2).find(|p| p[0].redshift == p[1].redshift) {
            return Err(Error::input("is the redshift of another table too").key(&pair[1].key).remedy("keep one"));
        }
        match sources.first() {
            Some(first) if first.redshift == 0.0 => Ok(sources),
            _ => Err(Error::input("have no redshift 0, where sigma8 is defined")
                .key("cosmology.tables")
                .remedy("add the spectrum today as \"0.0\"")),
        }
    }

    /// ln P over ln k of simulation `index`.
    pub fn read(&self, index: u64) -> Result<Spline> {
        let (path, _) = self.path(index)?;
        read(Path::new(&path)).map_err(|e| e.key(&self.key))
    }

    /// Refuses what is not there or unsound, and one table for all simulations where a parameter of its shape is
    /// `varied`.
    pub fn check(&self, varied: Option<&str>, simulations: u64) -> Result<()> {
        if self.path(0)?.1 {
            return (0..simulations).try_for_each(|i| self.read(i).map(drop));
        }
        if let Some(name) = varied {
            return Err(Error::input(format!("one table cannot serve all simulations while {name} varies"))
                .key(&self.key)
                .value(self.pattern)
                .remedy("name one table per simulation with {index}, or use transfer = \"eisenstein-hu\""));
        }
        self.read(0).map(drop)
    }

    /// Its place in the section, and its paths: one, or one for each of these simulations.
    pub fn files(&self, simulations: Range<u64>) -> Result<(String, Vec<PathBuf>)> {
        let simulations = if self.path(0)?.1 { simulations } else { 0..1 };
        let paths = simulations.map(|i| Ok(self.path(i)?.0.into())).collect::<Result<_>>()?;
        Ok((self.place.clone(), paths))
    }

    fn path(&self, index: u64) -> Result<(String, bool)> {
        expand(self.pattern, index).map_err(|e| e.key(&self.key))
    }
}

/// The spectrum at scale factor `a` between `tables` of growing redshifts, ln P over ln k: all times the factor that
/// gives the first one, today's, its sigma8; between them ln P/D1² is a spline in ln a.
pub fn interpolated(tables: &[(f64, Spline)], growth: &Growth, a: f64) -> Result<LinearPower> {
    let ln_a: Vec<f64> = tables.iter().rev().map(|(z, _)| -(1.0 + z).ln()).collect();
    let (first, last) = (ln_a[0], ln_a[ln_a.len() - 1]);
    let x = a.ln();
    if x < first - 1e-9 || x > last + 1e-9 {
        let (z, deepest) = (1.0 / a - 1.0, (-first).exp() - 1.0);
        return Err(Error::input(format!("reach from redshift 0 to {deepest:.4}, but that of {z:.4} is needed"))
            .remedy("add a table of that redshift"));
    }
    let (ln_k, _) = tables[0].1.nodes();
    let ln_d2 = |a: f64| 2.0 * growth.d1(a).ln();
    let grown: Vec<f64> = ln_a.iter().map(|x| ln_d2(x.exp())).collect();
    let at = |ln_k: f64| {
        let shapes = tables.iter().rev().zip(&grown).map(|((_, ln_p), grown)| ln_p.at(ln_k) - grown);
        Spline::new(ln_a.clone(), shapes.collect()).at(x) + ln_d2(a)
    };
    let then = Spline::new(ln_k.to_vec(), ln_k.iter().map(|ln_k| at(*ln_k)).collect());
    Ok(LinearPower::normalised(tables[0].1.clone(), growth.cosmology().sigma8()).with_shape(then))
}

/// Puts `index` into a pattern at `{index}` or, padded with zeros to N digits, at `{index:N}` and `{index:0N}`; also
/// tells whether there was such a place.
fn expand(pattern: &str, index: u64) -> Result<(String, bool)> {
    let bad = |place: &str| {
        Error::input(format!("{{{place}}} is not a place for the simulation's number"))
            .value(pattern)
            .remedy("write {index}, or {index:06} for six digits")
    };
    let mut pieces = pattern.split('{');
    let mut path = pieces.next().unwrap_or_default().to_string();
    let mut indexed = false;
    for piece in pieces {
        let (place, rest) = piece.split_once('}').ok_or_else(|| bad(piece))?;
        let width = match place.split_once(':') {
            None if place == "index" => 0,
            Some(("index", width)) => width.parse().ok().filter(|w| *w <= 20).ok_or_else(|| bad(place))?,
            _ => return Err(bad(place)),
        };
        path += &format!("{index:0width$}{rest}");
        indexed = true;
    }
    Ok((path, indexed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand() {
        let path = |pattern| expand(pattern, 42).map(|(path, indexed)| format!("{path} {indexed}"));
        assert_eq!(path("pk/{index}.txt").unwrap(), "pk/42.txt true");
        assert_eq!(path("{index:3}/{index:06}").unwrap(), "042/000042 true");
        assert_eq!(path("pk.txt").unwrap(), "pk.txt false");
        for pattern in ["{indx}", "{index", "{index:}", "{index:99}", "{}"] {
            assert!(path(pattern).unwrap_err().to_string().contains("{index:06}"), "{pattern}");
        }
    }
}
