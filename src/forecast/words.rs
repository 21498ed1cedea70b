//! What is said on the terminal.

use super::Forecast;
use std::fmt::{Display, Formatter, Result};

impl Display for Forecast {
    fn fmt(&self, f: &mut Formatter) -> Result {
        for s in &self.statistics {
            write!(f, "{}: {} numbers, {} universes", s.field, s.numbers, s.universes)?;
            match &s.fisher {
                Some(fisher) => {
                    writeln!(
                        f,
                        ", {} pairs, Hartlap's factor {:.3}",
                        s.pairs.iter().min().unwrap_or(&0),
                        fisher.hartlap
                    )?;
                    for ((p, error), noise) in self.parameters.iter().zip(fisher.errors()).zip(&fisher.noise) {
                        let chance = format!("{:.1}% of its information is chance", 100.0 * noise);
                        writeln!(f, "    {} = {} ± {error:.4}   {chance}", p.name, p.fiducial)?;
                    }
                }
                None => writeln!(f)?,
            }
            s.notes.iter().try_for_each(|note| writeln!(f, "    {note}"))?;
        }
        Ok(())
    }
}
