//! The rows of a text file.

use super::DesignConfig;
use crate::error::{Error, Result};
use crate::limits;
use crate::prior::Prior;

impl DesignConfig {
    /// The first n points of the list, (n, p), and their realisations, where it names them.
    pub(super) fn read_list(&self, prior: &Prior, n: usize) -> Result<(Vec<f64>, Option<Vec<u64>>)> {
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
        for (number, line) in lines.take(n) {
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
        if found < n {
            let each = if self.realisations > 1 { format!(" of {n} points") } else { String::new() };
            return bad(format!("has {found} universes, but design.simulations = {}{each}", self.simulations));
        }
        if self.realisations > 1 && column("realisation").is_some() {
            return bad("says which realisation each row is of, and so does design.realisations".into());
        }
        Ok((theta, column("realisation").map(|_| realisation)))
    }
}
