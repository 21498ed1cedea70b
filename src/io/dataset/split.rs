//! What each row is used for: `split` and `status`, by hash or as a file says it, in numbers or in words.

use super::Dataset;
use crate::error::{Error, Result};
use crate::io::hdf::{Elements, File};
use crate::prior::{DrawnFrom, Prior};
use crate::progress::count;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a universe is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train = 0,
    Validation = 1,
    Test = 2,
}

impl Split {
    /// Decides by a hash of the parameters' bits alone: rows that share them (pairs) stay together, and a design that
    /// grows moves nothing.
    pub fn of(theta: &[f64], validation: f64, test: f64) -> Split {
        let mut hash = Sha256::new();
        for t in theta {
            hash.update((t + 0.0).to_le_bytes()); // −0 is 0
        }
        let digest = hash.finalize();
        let bits = digest.iter().take(8).fold(0u64, |bits, &b| bits << 8 | b as u64);
        let u = bits as f64 / 2f64.powi(64);
        match u {
            u if u < test => Split::Test,
            u if u < test + validation => Split::Validation,
            _ => Split::Train,
        }
    }

    /// The same for a row of a campaign's own design: universes at a fiducial point and beside it go by their
    /// realisation, for their parameters are alike.
    pub fn of_row(drawn_from: DrawnFrom, theta: &[f64], realisation: u64, validation: f64, test: f64) -> Split {
        match drawn_from {
            DrawnFrom::Fiducial => Split::of(&[realisation as f64], validation, test),
            _ => Split::of(theta, validation, test),
        }
    }

    /// 0, 1 or 2.
    pub(super) fn from_u8(value: u8) -> Option<Split> {
        [Split::Train, Split::Validation, Split::Test].into_iter().find(|&s| s as u8 == value)
    }
}

/// Fewest universes of which some can be set aside for validation.
const FEWEST: usize = 5;

/// What `status` says, once it is read, of a universe outside the campaign's prior.
pub const OUTSIDE: u8 = 3;

impl Dataset {
    /// Its universes as their campaign says now: of a `prior` within the one that they were drawn from, outside of which
    /// they are left out of use, and split by these fractions, for validation and for tests.
    pub fn narrow(&mut self, prior: &Prior, [validation, test]: [f64; 2]) -> Result<()> {
        let realisation = self.beside("realisation")?.unwrap_or_else(|| vec![0; self.len()]);
        let theta = |row: usize| &self.theta[row * prior.len()..(row + 1) * prior.len()];
        let of = |row: usize| Split::of_row(self.drawn_from, theta(row), realisation[row], validation, test);
        let split = (0..self.len()).map(of).collect();
        if self.prior != *prior {
            let outside = |&row: &usize| self.status[row] == 0 && prior.ln_density(theta(row)) == f64::NEG_INFINITY;
            let outside: Vec<usize> = (0..self.len()).filter(outside).collect();
            let (path, of) = (self.path.display(), count(self.len(), "universe"));
            if !outside.is_empty() {
                let told = format!("{path}: {} of {of} lie outside the prior, and are left out of use", outside.len());
                super::once(log::Level::Info, told);
            }
            outside.into_iter().for_each(|row| self.status[row] = OUTSIDE);
            let derived = std::mem::take(&mut self.prior.derived);
            self.prior = prior.clone();
            self.prior.derived = derived; // what the file has of them is told by the file
        }
        self.split = split;
        Ok(())
    }

    /// Rows to learn from and rows that decide when to stop. Where the dataset has none of the latter, a tenth of the universes
    /// is taken from the former: those whose parameters' hashes are smallest, so that it does not depend on their order.
    pub fn learned(&self) -> Result<(Vec<usize>, Vec<usize>)> {
        let (train, validation) = (self.rows(Split::Train), self.rows(Split::Validation));
        if train.is_empty() {
            return Err(Error::input("no universe is left to learn from").file(&self.path).remedy(
                "simulate more, or leave more rows to train: lower the fractions, or mend the file's `split`",
            ));
        }
        if !validation.is_empty() {
            return Ok((train, validation));
        }
        let mut universes: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        let realisation = self.beside("realisation")?.filter(|_| self.drawn_from == DrawnFrom::Fiducial);
        for &row in &train {
            let mut hash = Sha256::new_with_prefix(b"validation");
            match &realisation {
                Some(of) => hash.update(of[row].to_le_bytes()),
                None => self.theta_of(row).iter().for_each(|t| hash.update(t.to_le_bytes())),
            }
            universes.entry(hash.finalize().into()).or_default().push(row);
        }
        if universes.len() < FEWEST {
            let problem = format!("{} universe(s) to learn from, and none to say when to stop", universes.len());
            let remedy = "simulate more, or raise the validation fraction";
            return Err(Error::input(problem).file(&self.path).key("split").remedy(remedy));
        }
        let set_aside = universes.len().div_ceil(10);
        let mut validation: Vec<usize> = universes.into_values().take(set_aside).flatten().collect();
        validation.sort_unstable();
        log::warn!(
            "{}: no universe is in the validation split: {set_aside} of those to learn from decide when to stop",
            self.path.display()
        );
        Ok((train.into_iter().filter(|row| validation.binary_search(row).is_err()).collect(), validation))
    }
}

/// A label per row: its name in the file, what may stand there, and what to do where something else does.
pub struct Labels {
    pub name: &'static str,
    words: &'static [(&'static str, u8)],
    largest: u8,
    remedy: &'static str,
}

pub(super) const SPLIT: Labels = Labels {
    name: "split",
    words: &[
        ("train", 0),
        ("training", 0),
        ("val", 1),
        ("valid", 1),
        ("validation", 1),
        ("test", 2),
        ("testing", 2),
        ("0", 0),
        ("1", 1),
        ("2", 2),
    ],
    largest: 2,
    remedy: "split is n numbers or words: 0 or train, 1 or validation, 2 or test; or remove it, and rows are drawn",
};

pub const STATUS: Labels = Labels {
    name: "status",
    words: &[
        ("finished", 0),
        ("done", 0),
        ("ok", 0),
        ("failed", 1),
        ("not there yet", 2),
        ("false", 0),
        ("true", 1),
        ("0", 0),
        ("1", 1),
    ],
    largest: u8::MAX,
    remedy: "status is n numbers or words: 0 or finished for rows to use, 1 to 255 or failed for others; or remove it",
};

impl Labels {
    /// The labels of `n` rows; `None` if the file has none. Whatever cannot be understood is refused: rows kept for
    /// tests must not be learned from.
    pub fn read(&self, file: &File, n: usize) -> Result<Option<Vec<u8>>> {
        if !file.exists(self.name) {
            return Ok(None);
        }
        let refuse = |problem: String| Error::input(problem).file(file.path()).key(self.name).remedy(self.remedy);
        let array = file.array(self.name).map_err(|e| refuse(e.problem))?;
        let shape = array.shape();
        if shape.first() != Some(&n) || shape[1..].iter().any(|&m| m != 1) {
            return Err(refuse(format!("has shape {shape:?}, but there are {n} rows of parameters")));
        }
        if shape.len() > 1 {
            super::note(format!("{}: {} has the shape {shape:?}: one for each row", file.path().display(), self.name));
        }
        let at = |row: usize, value: String, problem: &str| refuse(format!("row {row}: {problem}")).value(Bare(value));
        let word = |row: usize, text: &str| {
            let known = self.words.iter().find(|(word, _)| text.trim().eq_ignore_ascii_case(word));
            known.map(|w| w.1).ok_or_else(|| at(row, format!("{text:?}"), "is no word for it"))
        };
        let labels: Result<Vec<u8>> = match array.elements()? {
            Elements::Text(_) => {
                let texts = array.texts()?.ok_or_else(|| refuse("the text cannot be read".into()))?;
                texts.iter().enumerate().map(|(row, text)| word(row, text)).collect()
            }
            Elements::Enumeration(members) => {
                let values = array.read::<i64>(&vec![0; shape.len()], &shape)?;
                let name = |row: usize, value: i64| match members.iter().find(|m| m.1 == value) {
                    Some((name, _)) => word(row, name),
                    None => Err(at(row, value.to_string(), "has no name")),
                };
                values.iter().enumerate().map(|(row, &value)| name(row, value)).collect()
            }
            Elements::Integer | Elements::Float(_) => {
                let values = array.read::<f64>(&vec![0; shape.len()], &shape)?;
                let number = |(row, &value): (usize, &f64)| match value {
                    v if v.trunc() == v && (0.0..=self.largest as f64).contains(&v) => Ok(v as u8),
                    v => Err(at(row, v.to_string(), &format!("is no whole number from 0 to {}", self.largest))),
                };
                values.iter().enumerate().map(number).collect()
            }
            other => Err(refuse(format!("holds {other}"))),
        };
        if matches!(&array.elements()?, Elements::Enumeration(m) if m.iter().any(|m| m.0 == "TRUE")) && labels.is_ok() {
            super::note(format!("{}: {} is true or false: rows of false are used", file.path().display(), self.name));
        }
        labels.map(Some)
    }
}

/// Text shown without quotes.
struct Bare(String);
impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
