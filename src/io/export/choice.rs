//! Which universes of a dataset: by their rows in the design, by cuts on parameters and on what they are for.

use crate::error::{Error, Result, suggestion};
use crate::io::dataset::{Dataset, Split};
use crate::progress::count;
use std::ops::Range;
use std::str::FromStr;

/// All, with nothing said.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Rows of the design.
    pub only: Vec<Range<u64>>,
    /// All of which hold.
    pub cuts: Vec<Cut>,
}

/// `Omega_m > 0.3`, `split = test`.
#[derive(Debug, Clone)]
pub struct Cut {
    text: String,
    name: String,
    sign: &'static str,
    value: String,
}

/// Longer ones first.
const SIGNS: [&str; 7] = ["<=", ">=", "!=", "==", "<", ">", "="];

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Cut, String> {
        let at = text.find(['<', '>', '=', '!']).ok_or("has none of < <= > >= = !=: e.g. \"Omega_m > 0.3\"")?;
        let sign = SIGNS.into_iter().find(|sign| text[at..].starts_with(sign)).ok_or("`!` is no comparison: !=")?;
        let [name, value] = [&text[..at], &text[at + sign.len()..]].map(|part| part.trim().to_string());
        if name.is_empty() || value.is_empty() {
            return Err("give a parameter, a comparison and a number: e.g. \"Omega_m > 0.3\"".into());
        }
        Ok(Cut { text: text.into(), name, sign, value })
    }
}

impl Cut {
    fn bad(&self, problem: impl Into<String>) -> Error {
        Error::input(problem).key("--where").value(&self.text)
    }

    fn holds<T: PartialOrd>(&self, is: T, than: T) -> bool {
        match self.sign {
            "<" => is < than,
            "<=" => is <= than,
            ">" => is > than,
            ">=" => is >= than,
            "!=" => is != than,
            _ => is == than,
        }
    }

    /// Whether it holds, for each row.
    fn of(&self, dataset: &Dataset) -> Result<Vec<bool>> {
        let names = dataset.prior.names();
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            let number = self.value.parse::<f64>().ok().filter(|v| !v.is_nan());
            let than = number.ok_or_else(|| self.bad("compares with what is no number").remedy("give a number"))?;
            return Ok((0..dataset.len()).map(|row| self.holds(dataset.theta_of(row)[at], than)).collect());
        }
        if self.name != "split" {
            let known: Vec<&str> = names.into_iter().chain(["split"]).collect();
            let error = self.bad(format!("{} is no parameter of this dataset", self.name)).file(&dataset.path);
            return Err(error.remedy(suggestion(&self.name, &known, "")));
        }
        let splits = [("train", Split::Train), ("validation", Split::Validation), ("test", Split::Test)];
        let split = splits.iter().find(|(word, _)| *word == self.value && ["=", "==", "!="].contains(&self.sign));
        let than = split.ok_or_else(|| {
            self.bad("asks for no split").remedy("give split = train, validation or test, or != one of them")
        })?;
        Ok(dataset.split().iter().map(|&is| self.holds(is as u8, than.1 as u8)).collect())
    }
}

impl Choice {
    /// Finished rows that are chosen, in order; the design has `n`. Says how many are left out for having failed.
    pub fn rows(&self, dataset: &Dataset, n: usize) -> Result<Vec<usize>> {
        if let Some(range) = self.only.iter().find(|range| range.end > n as u64) {
            let error = Error::input(format!("the design has {}", count(n, "universe")));
            let error = error.key("--only").value(format_args!("{}..{}", range.start, range.end - 1));
            return Err(error.remedy(format!("give rows from 0..{}, or leave it out", n.saturating_sub(1))));
        }
        // What stages made has a row for each sample.
        let universes = dataset.beside("universe")?;
        let universe = |row: usize| universes.as_ref().map_or(row as u64, |all| all[row]);
        let mut rows: Vec<usize> = (0..dataset.len()).collect();
        if !self.only.is_empty() {
            rows.retain(|&row| self.only.iter().any(|range| range.contains(&universe(row))));
        }
        for cut in &self.cuts {
            let holds = cut.of(dataset)?;
            rows.retain(|&row| holds[row]);
        }
        let chosen = rows.len();
        rows.retain(|&row| dataset.status()[row] == 0);
        let file = dataset.path.display();
        if rows.is_empty() && !(self.only.is_empty() && self.cuts.is_empty()) {
            let problem = match chosen {
                0 => "no universe is chosen".to_string(),
                some => format!("none of the {} chosen is finished", count(some, "universe")),
            };
            let cuts = self.cuts.iter().map(|cut| cut.text.as_str()).collect::<Vec<_>>().join(" and ");
            let error = Error::input(problem).file(&dataset.path);
            let error = if cuts.is_empty() { error.key("--only") } else { error.key("--where").value(cuts) };
            return Err(error.remedy("choose more: widen the cut"));
        }
        if rows.len() < chosen {
            log::warn!("{file}: {} of {} not finished: left out", chosen - rows.len(), count(chosen, "row"));
        }
        Ok(rows)
    }
}
