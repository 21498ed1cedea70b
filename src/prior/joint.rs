//! Gaussian parameters, or such of Gaussian logarithm, that are correlated: standard normal z, with correlation matrix
//! R, is L w of independent w, with R = L Lᵀ.

use super::Parameter;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The k parameters that are correlated with another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Joint {
    /// Their places among all.
    pub of: Vec<usize>,
    /// The Cholesky factor L: of row i its first i + 1 numbers.
    factor: Vec<Vec<f64>>,
}

/// What must be left of a parameter's variance when those before it are known.
const LEAST: f64 = 1e-10;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn bad(parameters: &[Parameter], i: usize, other: &str, problem: &str) -> Error {
    let (name, value) = (&parameters[i].name, parameters[i].correlation.get(other));
    let error = Error::input(format!("of {name} and {other}: {problem}"));
    error.key(format!("design.parameters.{name}.correlation.{other}")).value(value.copied().unwrap_or(f64::NAN))
}

impl Joint {
    /// Refuses what is no correlation matrix of Gaussians. Each pair ends at the later one of its two, zeros nowhere:
    /// there is one spelling, whatever the table that said it.
    pub fn new(parameters: &mut [Parameter]) -> Result<Joint> {
        let all = &*parameters;
        let names = || all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut pairs = BTreeMap::new();
        for (i, p) in all.iter().enumerate() {
            for (other, &value) in &p.correlation {
                let refused = |problem: &str, remedy: &str| Err(bad(all, i, other, problem).remedy(remedy));
                let Some(j) = all.iter().position(|q| q.name == *other).filter(|&j| j != i) else {
                    return refused("no other parameter is called so", &format!("there are {}", names()));
                };
                if value.is_nan() || value.abs() >= 1.0 {
                    return refused("it is no correlation", "give a number between -1 and 1");
                }
                if let Some(q) = [p, &all[j]].into_iter().find(|q| !q.distribution.is_line()) {
                    let problem =
                        format!("Gaussians without bounds can be correlated, but {} {}", q.name, q.distribution);
                    let remedy = "give both kind = \"normal\" or \"lognormal\" without min and max, or leave the correlation out";
                    return refused(&problem, remedy);
                }
                if pairs.insert((i.max(j), i.min(j)), value).is_some() {
                    return refused("given twice, in either table", "keep one");
                }
            }
        }
        pairs.retain(|_, value| *value != 0.0);
        let mut of: Vec<usize> = pairs.keys().flat_map(|&(i, j)| [i, j]).collect();
        of.sort_unstable();
        of.dedup();
        let mut joint = Joint { of, factor: vec![] };
        for (at, &i) in joint.of.iter().enumerate() {
            let (mut row, mut left) = (vec![], 1.0);
            for (before, &j) in joint.factor.iter().zip(&joint.of[..at]) {
                let (known, own): (f64, f64) = (dot(before, &row), before[row.len()]);
                let value = pairs.get(&(i, j)).copied().unwrap_or(0.0);
                row.push((value - known) / own);
                let rest = left - row[row.len() - 1].powi(2);
                if rest < LEAST {
                    let half = own * f64::sqrt(left);
                    let (low, high) = (known - half, known + half);
                    let problem = format!("beside the others' correlations it must lie between {low:.4} and {high:.4}");
                    let said = all[i].correlation.contains_key(&all[j].name);
                    let (i, j) = if said || !all[j].correlation.contains_key(&all[i].name) { (i, j) } else { (j, i) };
                    return Err(bad(all, i, &all[j].name, &problem).remedy("change it, or the others of the two"));
                }
                left = rest;
            }
            row.push(left.sqrt());
            joint.factor.push(row);
        }
        parameters.iter_mut().for_each(|p| p.correlation.clear());
        for ((i, j), value) in pairs {
            let earlier = parameters[j].name.clone();
            parameters[i].correlation.insert(earlier, value);
        }
        Ok(joint)
    }

    /// z = L w.
    pub fn correlated(&self, w: &[f64]) -> Vec<f64> {
        self.factor.iter().map(|row| dot(row, w)).collect()
    }

    /// What is expected of all where number `at` of them lies one standard deviation up: its column of R.
    pub fn beside(&self, at: usize) -> Vec<f64> {
        self.factor.iter().map(|row| dot(row, &self.factor[at])).collect()
    }

    /// ln density at z, beyond that of independent standard normal numbers.
    pub fn ln_excess(&self, z: &[f64]) -> f64 {
        let mut w: Vec<f64> = vec![];
        for (row, z) in self.factor.iter().zip(z) {
            w.push((z - dot(row, &w)) / row[w.len()]);
        }
        let scale: f64 = self.factor.iter().map(|row| row[row.len() - 1].ln()).sum();
        0.5 * (dot(z, z) - dot(&w, &w)) - scale
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Distribution, Prior};
    use super::*;

    fn normal(name: &str, mean: f64, sigma: f64, correlation: &[(&str, f64)]) -> Parameter {
        let distribution = Distribution::Normal { mean, sigma, min: f64::NEG_INFINITY, max: f64::INFINITY };
        let correlation = correlation.iter().map(|(name, r)| (name.to_string(), *r)).collect();
        Parameter { distribution, correlation, ..Parameter::uniform(name, format!(r"\{name}"), 0.0, 1.0) }
    }

    /// Three that are correlated, and one that is not between them.
    fn prior() -> Prior {
        let first = normal("a", 1.0, 0.5, &[("c", 0.8)]);
        let last = normal("d", 3.0, 0.1, &[("c", -0.3), ("a", 0.0)]);
        Prior::new(vec![first, Parameter::uniform("b", "b", 0.0, 2.0), normal("c", -2.0, 2.0, &[]), last]).unwrap()
    }

    #[test]
    fn the_cube_becomes_the_joint_gaussian_and_the_density_is_that_of_its_map() {
        let prior = prior();
        let n = 40_000;
        let sequence = sobol::Sobol::<f64>::new(4, &sobol::params::JoeKuoD6::standard());
        let theta: Vec<Vec<f64>> = sequence.skip(1).take(n).map(|u| prior.from_unit(&u)).collect();
        let (mean, sigma) = ([1.0, 1.0, -2.0, 3.0], [0.5, 2.0 / 12f64.sqrt(), 2.0, 0.1]);
        let expected = [[1.0, 0.0, 0.8, 0.0], [0.0, 1.0, 0.0, 0.0], [0.8, 0.0, 1.0, -0.3], [0.0, 0.0, -0.3, 1.0]];
        for (i, row) in expected.iter().enumerate() {
            for (j, r) in row.iter().enumerate() {
                let z = |t: &[f64], i: usize| (t[i] - mean[i]) / sigma[i];
                let found = theta.iter().map(|t| z(t, i) * z(t, j)).sum::<f64>() / n as f64;
                assert!((found - r).abs() < 5e-3, "{i}, {j}: {found}, not {r}");
            }
        }
        // ln |∂u/∂θ| by differences of the map, which is triangular.
        for u in [[0.5; 4], [0.1, 0.3, 0.8, 0.95], [0.9, 0.7, 0.02, 0.2]] {
            let slope = |j: usize| {
                let at = |off: f64| {
                    prior.from_unit(&std::array::from_fn::<f64, 4, _>(|k| u[k] + off * (k == j) as u8 as f64))[j]
                };
                ((at(1e-5) - at(-1e-5)) / 2e-5).ln()
            };
            let (found, expected) = (prior.ln_density(&prior.from_unit(&u)), -(0..4).map(slope).sum::<f64>());
            assert!((found - expected).abs() < 1e-5, "{u:?}: {found}, not {expected}");
        }
        assert_eq!(prior.ln_density(&[1.0, 2.5, -2.0, 3.0]), f64::NEG_INFINITY, "outside the box of b");
        assert_eq!(prior.middle(), mean);
    }

    #[test]
    fn logarithms_are_correlated_as_gaussians_are() {
        let mut parameters = vec![normal("a", -1.0, 0.5, &[("b", 0.8)]), normal("b", 3.0, 2.0, &[])];
        let plain = Prior::new(parameters.clone()).unwrap();
        parameters[0].distribution = Distribution::LogNormal { mean: -1.0, sigma: 0.5, min: 0.0, max: f64::INFINITY };
        let prior = Prior::new(parameters.clone()).unwrap();
        for u in [[0.5, 0.5], [0.1, 0.95], [0.999, 0.2]] {
            let (theta, of_ln) = (prior.from_unit(&u), plain.from_unit(&u));
            assert!((theta[0].ln() - of_ln[0]).abs() < 1e-12 && (theta[1] - of_ln[1]).abs() < 1e-12, "{u:?}");
            let expected = plain.ln_density(&of_ln) - of_ln[0];
            assert!((prior.ln_density(&theta) - expected).abs() < 1e-9, "{u:?}");
        }
        for (corner, of_ln) in prior.corners().iter().zip(plain.corners()) {
            assert!((corner[0].ln() - of_ln[0]).abs() < 1e-9 && (corner[1] - of_ln[1]).abs() < 1e-9);
        }
        let text = serde_json::to_string(&prior).unwrap();
        assert_eq!(serde_json::from_str::<Prior>(&text).unwrap(), prior);
        parameters[0].distribution = Distribution::LogNormal { mean: -1.0, sigma: 0.5, min: 0.1, max: f64::INFINITY };
        assert!(Prior::new(parameters).unwrap_err().problem.contains("a ~ exp N(-1, 0.5²) above 0.1"));
    }

    #[test]
    fn corners_lean_and_stay_within_the_quantiles() {
        let pair = |n: usize| {
            let first = normal("0", 0.0, 1.0, &[("1", 0.9)]);
            Prior::new([first].into_iter().chain((1..n).map(|j| normal(&j.to_string(), 0.0, 1.0, &[]))).collect())
                .unwrap()
        };
        for n in [2, 9] {
            let (prior, all) = (pair(n), pair(n).corners());
            let edge = prior.parameters[0].distribution.range().1;
            assert!(all.iter().flatten().all(|x| x.abs() <= edge * (1.0 + 1e-12)));
            assert!(all.iter().all(|c| c[0] * c[1] >= 0.0), "both high, or both low: {all:?}");
            assert!((0..n).all(|j| [-1.0, 1.0].iter().all(|s| all.iter().any(|c| (c[j] / edge - s).abs() < 1e-9))));
            assert_eq!(prior.bulk().corners(), all);
            assert!(prior.in_bulk(&vec![edge; n]) && !prior.in_bulk(&vec![1.01 * edge; n]));
        }
    }

    #[test]
    fn there_is_one_spelling_and_part_of_it_is_a_prior() {
        let prior = prior();
        let text = serde_json::to_string(&prior).unwrap();
        assert!(
            text.contains(r#""mean":-2.0,"sigma":2.0,"correlation":{"a":0.8}"#) && !text.contains("0.0}"),
            "{text}"
        );
        assert!(text.contains(r#""sigma":0.1,"correlation":{"c":-0.3}"#), "{text}");
        assert_eq!(serde_json::from_str::<Prior>(&text).unwrap(), prior);
        let part = prior.part(|name| name != "a").unwrap();
        assert_eq!(part.correlations().collect::<Vec<_>>(), [(r"\c", r"\d", -0.3)]);
        assert!(prior.part(|name| name != "c").unwrap().joint.of.is_empty());
    }

    #[test]
    fn what_is_no_correlation_is_refused() {
        let refused = |parameters: Vec<Parameter>, key: &str, words: &[&str]| {
            let e = Prior::new(parameters.clone()).unwrap_err();
            assert_eq!(e.key.as_deref(), Some(format!("design.parameters.{key}").as_str()), "{e}");
            assert!(e.remedy.is_some() && words.iter().all(|word| e.to_string().contains(word)), "{e}");
            // A file that says so is refused in the same words.
            let e =
                serde_json::from_str::<Prior>(&serde_json::to_string(&parameters).unwrap()).unwrap_err().to_string();
            assert!(e.contains(key) && words.iter().all(|word| e.contains(word)), "{e}");
        };
        let a = |r: &[(&str, f64)]| normal("a", 0.0, 1.0, r);
        let b = |r: &[(&str, f64)]| normal("b", 0.0, 1.0, r);
        refused(vec![a(&[("b", 0.5)])], "a.correlation.b", &["no other parameter"]);
        refused(vec![a(&[("a", 0.5)])], "a.correlation.a", &["no other parameter"]);
        refused(vec![a(&[("b", 1.0)]), b(&[])], "a.correlation.b", &["no correlation"]);
        refused(vec![a(&[("b", 0.5)]), b(&[("a", 0.5)])], "b.correlation.a", &["twice"]);
        let uniform = Parameter::uniform("b", "b", 0.0, 1.0);
        refused(vec![a(&[("b", 0.5)]), uniform], "a.correlation.b", &["Gaussians without bounds", "b ∈ [0, 1]"]);
        let mut cut = b(&[("a", 0.5)]);
        cut.distribution = Distribution::Normal { mean: 0.0, sigma: 1.0, min: 0.0, max: f64::INFINITY };
        refused(vec![a(&[]), cut], "b.correlation.a", &["Gaussians without bounds", "above 0"]);
        let mut three = vec![a(&[]), b(&[("a", 0.9)]), normal("c", 0.0, 1.0, &[("a", 0.9)])];
        three[1].correlation.insert("c".into(), -0.5);
        refused(three.clone(), "b.correlation.c", &["b and c", "between 0.6200 and 1.0000"]);
        three[1].correlation.insert("c".into(), 0.63);
        assert!(Prior::new(three).is_ok());
    }
}
