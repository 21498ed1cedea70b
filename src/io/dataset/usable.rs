//! Parameters that are not where they should be, found before anything is learned from them.

use super::{Dataset, Split};
use crate::error::{Error, Result};
use crate::progress::{count, first_time};

/// Rows that one line names.
const NAMED: usize = 5;

impl Dataset {
    /// Refuses rows to learn from whose parameters lie outside the prior; names such rows of the test split, which no
    /// posterior can be right about.
    pub fn check_prior(&self) -> Result<()> {
        let outside = |split: Split| -> Vec<usize> {
            let rows = self.rows(split).into_iter();
            rows.filter(|&row| self.prior.ln_density(self.theta_of(row)) == f64::NEG_INFINITY).collect()
        };
        let mut learned = [outside(Split::Train), outside(Split::Validation)].concat();
        learned.sort_unstable();
        if let Some(&first) = learned.first() {
            let error = Error::input(format!("{} outside the prior", lie(&learned, "to learn from")));
            let error = error.file(&self.path).key("theta").value(self.theta_of(first));
            return Err(error.remedy("widen the bounds in [dataset.parameters], or remove such rows"));
        }
        let tests = outside(Split::Test);
        let told = format!(
            "{}: {} outside the prior, and no posterior reaches there",
            self.path.display(),
            lie(&tests, "for tests")
        );
        if !tests.is_empty() && first_time(&told) {
            log::warn!("{told}");
        }
        Ok(())
    }
}

/// So many rows lie …, the first of them by their numbers.
fn lie(rows: &[usize], what: &str) -> String {
    let named: Vec<String> = rows.iter().take(NAMED).map(usize::to_string).collect();
    let more = if rows.len() > NAMED { format!(" and {} more", rows.len() - NAMED) } else { String::new() };
    let (word, lie) = if rows.len() == 1 { ("row", "lies") } else { ("rows", "lie") };
    format!("{} {what} ({word} {}{more}) {lie}", count(rows.len(), "row"), named.join(", "))
}
