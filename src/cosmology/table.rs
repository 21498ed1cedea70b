//! Tables of linear spectra as CAMB and CLASS write them.

use super::{LinearPower, Spline};
use crate::error::{Error, Result};
use crate::limits;
use std::path::Path;

/// A table reaches at least from here to there (h/Mpc): outside lies 1e-4 of sigma8, which the continued power laws
/// supply.
const NEEDED: (f64, f64) = (1e-3, 2.0);
/// Fewest rows that resolve the acoustic oscillations at all.
const ROWS: usize = 50;

/// Reads k [h/Mpc] and P(k) [(Mpc/h)³] from the first two columns of a text file, `#` starting a comment, and
/// normalises to `sigma8`. Errors name the key `cosmology.table` with the path as value.
pub fn read_table(path: &Path, sigma8: f64) -> Result<LinearPower> {
    Ok(LinearPower::normalised(read(path).map_err(|e| e.key("cosmology.table"))?, sigma8))
}

/// ln P over ln k as it stands there.
pub(super) fn read(path: &Path) -> Result<Spline> {
    let (ln_k, ln_p) = limits::read_text(path, limits::TABLE)
        .map_err(|e| e.remedy("give the path of a CAMB or CLASS table"))
        .and_then(|text| parse(&text))
        .map_err(|e| e.value(path))?;
    Ok(Spline::new(ln_k, ln_p))
}

/// ln k and ln P of every row.
fn parse(text: &str) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut ln_k, mut ln_p): (Vec<f64>, Vec<f64>) = Default::default();
    for (number, line) in text.lines().enumerate() {
        let bad =
            |problem: String, remedy: &str| Error::input(format!("line {}: {problem}", number + 1)).remedy(remedy);
        let content = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = content.split([' ', '\t', ',', '\r']).filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        if words.len() < 2 {
            return Err(bad("has fewer than two columns".into(), "give k [h/Mpc] and P [(Mpc/h)^3]"));
        }
        let mut values = [0.0; 2];
        for ((value, word), name) in values.iter_mut().zip(&words).zip(["k", "P"]) {
            *value = word.parse().ok().filter(|v: &f64| v.is_finite() && *v > 0.0).ok_or_else(|| {
                bad(format!("{name} = {word} is not a positive number"), "start lines that are no numbers with #")
            })?;
        }
        let [k, p] = values.map(f64::ln);
        if ln_k.last().is_some_and(|&before| k <= before) {
            return Err(bad(format!("k = {} does not grow", words[0]), "sort the rows by k and keep each k once"));
        }
        ln_k.push(k);
        ln_p.push(p);
    }
    if ln_k.len() < ROWS {
        return Err(Error::input(format!("has {} rows, fewer than {ROWS}", ln_k.len())).remedy("write a finer table"));
    }
    let (first, last) = (ln_k[0].exp(), ln_k[ln_k.len() - 1].exp());
    if first > NEEDED.0 * (1.0 + 1e-9) || last < NEEDED.1 * (1.0 - 1e-9) {
        return Err(Error::input(format!("is too short: k runs from {first:.3e} to {last:.3e} h/Mpc"))
            .remedy(format!("let it run from {} or less to {} h/Mpc or more", NEEDED.0, NEEDED.1)));
    }
    Ok((ln_k, ln_p))
}
