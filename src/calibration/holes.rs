//! Failed universes are holes in the prior: how many, and whether they lie anywhere in particular.

use super::uniform::envelope_p_value;
use crate::prior::Prior;
use crate::rng;
use rand::Rng;
use serde::Serialize;

/// Share of failed universes that is named, wherever they are.
const NAMED: f64 = 0.001;
/// Level of the test whether failures depend on the parameters, for all of them together.
const LEVEL: f64 = 0.01;

/// Failures worth a word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holes {
    pub failed: usize,
    pub universes: usize,
    /// Universes among them that lie nowhere, for not all of their parameters are numbers.
    pub nowhere: usize,
    /// Parameters that the failures depend on.
    pub depend_on: Vec<Dependence>,
}

/// A parameter whose values differ between the universes that failed and all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dependence {
    pub parameter: String,
    /// Where most failures are: `high`, `low`, or `elsewhere` (at both ends, say).
    pub side: &'static str,
    /// Of the test, corrected for the number of parameters.
    pub p_value: f64,
}

/// What is worth a word: more than 0.1% failed, or failures that depend on a parameter. `theta` (n, p), `failed` (n).
///
/// If failures do not ask for a parameter, the ranks of the k that failed among all n are k places drawn without
/// replacement, and their fractions k numbers that are uniform, and spread no wider than independent ones: the envelope
/// test of the calibration holds its level for any k.
pub fn holes(prior: &Prior, theta: &[f64], failed: &[bool]) -> Option<Holes> {
    let (n, p) = (failed.len(), prior.len());
    let count = failed.iter().filter(|f| **f).count();
    if count == 0 || p == 0 {
        return None;
    }
    let placed: Vec<usize> = (0..n).filter(|i| theta[i * p..(i + 1) * p].iter().all(|t| !t.is_nan())).collect();
    let test = |(j, parameter): (usize, &crate::prior::Parameter)| {
        let mut rng = rng::stream(0, j as u64, "holes", 0);
        let mut order: Vec<(f64, f64, bool)> =
            placed.iter().map(|&i| (theta[i * p + j], rng.random(), failed[i])).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let places = order.iter().enumerate().filter(|(_, (_, _, failed))| *failed);
        let places: Vec<f64> =
            places.map(|(rank, (_, within, _))| (rank as f64 + within) / order.len() as f64).collect();
        if places.is_empty() {
            return None;
        }
        let p_value = (envelope_p_value(&places) * p as f64).min(1.0);
        let side = match places.iter().sum::<f64>() / places.len() as f64 {
            middle if middle > 0.6 => "high",
            middle if middle < 0.4 => "low",
            _ => "elsewhere",
        };
        (p_value < LEVEL).then(|| Dependence { parameter: parameter.name.clone(), side, p_value })
    };
    let depend_on: Vec<Dependence> = prior.parameters.iter().enumerate().filter_map(test).collect();
    let worth = !depend_on.is_empty() || count as f64 > NAMED * n as f64;
    worth.then_some(Holes { failed: count, universes: n, nowhere: n - placed.len(), depend_on })
}

impl std::fmt::Display for Holes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = 100.0 * self.failed as f64 / self.universes as f64;
        write!(f, "{} of {} universes failed ({percent:.2}%)", self.failed, self.universes)?;
        for (i, d) in self.depend_on.iter().enumerate() {
            f.write_str(if i == 0 { ", more often where " } else { " and " })?;
            match d.side {
                "elsewhere" => write!(f, "{} has some values", d.parameter)?,
                side => write!(f, "{} is {side}", d.parameter)?,
            }
            write!(f, " (p = {:.0e})", d.p_value)?;
        }
        if self.nowhere > 0 {
            write!(f, ", not counting {} whose parameters are not all numbers", self.nowhere)?;
        }
        f.write_str(": holes in the prior, where nothing is learned and nothing judged")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::Parameter;

    fn prior() -> Prior {
        let p = |name: &str| Parameter::uniform(name, name, 0.0, 1.0);
        Prior::new(vec![p("a"), p("b")]).unwrap()
    }

    #[test]
    fn failures_that_depend_on_a_parameter_are_named() {
        let mut rng = rng::stream(1, 0, "test", 0);
        let theta: Vec<f64> = (0..4000).map(|_| rng.random()).collect();
        let failing = |f: &dyn Fn(&[f64]) -> bool| holes(&prior(), &theta, &theta.chunks(2).map(f).collect::<Vec<_>>());
        let high = failing(&|t| t[1] > 0.996).unwrap();
        assert_eq!(
            (high.depend_on.len(), high.depend_on[0].parameter.as_str(), high.depend_on[0].side),
            (1, "b", "high")
        );
        assert!(high.to_string().contains("more often where b is high"), "{high}");
        let ends = failing(&|t| (t[0] - 0.5).abs() > 0.49).unwrap();
        assert_eq!((ends.depend_on[0].parameter.as_str(), ends.depend_on[0].side), ("a", "elsewhere"));
        assert!(failing(&|_| false).is_none());
        let all = failing(&|_| true).unwrap();
        assert!(all.depend_on.is_empty() && all.failed == 2000);
    }

    #[test]
    fn failures_without_parameters_lie_nowhere() {
        let mut rng = rng::stream(3, 0, "test", 0);
        let mut theta: Vec<f64> = (0..4000).map(|_| rng.random()).collect();
        theta[..100].fill(f64::NAN);
        let failed: Vec<bool> = (0..2000).map(|i| i < 50).collect();
        let found = holes(&prior(), &theta, &failed).unwrap();
        assert!((found.failed, found.nowhere) == (50, 50) && found.depend_on.is_empty(), "{found}");
        let failed: Vec<bool> = (0..2000).map(|i| i < 50 || theta[2 * i] > 0.99).collect();
        let found = holes(&prior(), &theta, &failed).unwrap();
        assert!(found.depend_on.len() == 1 && found.to_string().contains("a is high"), "{found}");
    }

    #[test]
    fn failures_that_do_not_are_named_by_their_number_only() {
        let mut rng = rng::stream(2, 0, "test", 0);
        let mut found = 0;
        for _ in 0..300 {
            let theta: Vec<f64> = (0..400).map(|_| rng.random()).collect();
            let failed: Vec<bool> = (0..200).map(|_| rng.random::<f64>() < 0.05).collect();
            found += holes(&prior(), &theta, &failed).is_some_and(|h| !h.depend_on.is_empty()) as usize;
        }
        // At most 1%: more than 10 of 300 would happen once in ten thousand.
        assert!(found <= 10, "{found}");
        let theta: Vec<f64> = (0..4000).map(|_| rng.random()).collect();
        let one = |n: usize| (0..2000).map(|i| i >= 1000 && i < 1000 + n).collect::<Vec<_>>();
        assert_eq!(holes(&prior(), &theta, &one(1)), None, "one of 2000 says nothing");
        assert_eq!(holes(&prior(), &theta, &one(3)).unwrap().failed, 3);
    }
}
