//! Posteriors of a likelihood that is known in closed form, on nested grids.

use crate::error::{Error, Result};
use crate::prior::{Prior, Theta};
use crate::rng::ChaCha8Rng;
use rand::Rng;

/// What the exact posterior is called beside those of stages.
pub const EXACT: &str = "exact";
/// Cells per parameter, of one, two and three parameters.
const CELLS: [usize; 3] = [256, 64, 32];
/// Parameters beyond which a grid has too many cells.
pub const MOST: usize = CELLS.len();
/// Nats below the peak beyond which there is nothing: e⁻¹⁸.
const DEPTH: f64 = 18.0;
/// A grid is fine enough where what is above that fills this part of every side.
const FILLED: f64 = 0.7;
/// Each grid within the one before it: a likelihood that is narrower than 10⁻¹⁰ of the prior is none.
const NESTED: usize = 40;

/// Draws from one posterior, and what they are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// Draws (draws, p).
    pub theta: Vec<f64>,
    /// ln p(θ | x) at the draws, normalised.
    pub ln_prob: Vec<f64>,
    /// ln p(x) = ln ∫ p(x | θ) p(θ) dθ.
    pub ln_evidence: f64,
}

/// The posterior of `ln_likelihood` under a prior of one to three parameters, of any kind. Cells divide the unit cube that
/// [`Prior::from_unit`] maps to the prior, where the posterior is the likelihood alone; the box around all that is within
/// e⁻¹⁸ of the peak is divided again, until it is filled. A likelihood of several far peaks is not for this. Draws are
/// uniform within a cell: that widens a Gaussian by less than 1%. Densities at the draws are exact.
pub fn posterior(
    prior: &Prior,
    ln_likelihood: &dyn Fn(Theta) -> Result<f64>,
    draws: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Posterior> {
    let p = prior.len();
    let ln = |u: &[f64]| ln_likelihood(prior.theta(&prior.from_unit(u)));
    let mut sides = vec![[0.0, 1.0]; p];
    let n = CELLS[p - 1];
    let place = |cell: usize, axis: usize| cell / n.pow(axis as u32) % n;
    for _ in 0..NESTED {
        let at = |cell: usize, axis: usize, within: f64| {
            let [from, to] = sides[axis];
            from + (to - from) * (place(cell, axis) as f64 + within) / n as f64
        };
        let middle = |cell: usize| (0..p).map(|axis| at(cell, axis, 0.5)).collect::<Vec<_>>();
        let values = (0..n.pow(p as u32)).map(|cell| ln(&middle(cell))).collect::<Result<Vec<f64>>>()?;
        let peak = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0);
        if !values[peak].is_finite() {
            let problem = format!("the likelihood is {} everywhere in the prior", values[peak]);
            return Err(Error::failed(problem).remedy("is this the campaign that the universe was made with?"));
        }
        // Beside a peak that a coarse grid has not resolved lies more than it shows.
        let beside = |axis: usize| {
            let step = n.pow(axis as u32);
            let below = (place(peak, axis) > 0).then(|| values[peak - step]);
            let above = (place(peak, axis) + 1 < n).then(|| values[peak + step]);
            below.into_iter().chain(above).map(|v| values[peak] - v).fold(0.0, f64::max)
        };
        let floor = values[peak] - DEPTH - (0..p).map(beside).filter(|d| d.is_finite()).fold(0.0, f64::max);
        let kept: Vec<usize> = (0..values.len()).filter(|&cell| values[cell] > floor).collect();
        let next: Vec<[f64; 2]> = (0..p)
            .map(|axis| {
                let places = || kept.iter().map(|&cell| place(cell, axis));
                let (first, last) = (places().min().unwrap_or(0), places().max().unwrap_or(n - 1));
                let width = (sides[axis][1] - sides[axis][0]) / n as f64;
                [sides[axis][0] + (first as f64 - 1.0) * width, sides[axis][0] + (last as f64 + 2.0) * width]
                    .map(|u| u.clamp(0.0, 1.0))
            })
            .collect();
        let filled = |([a, b], [from, to]): (&[f64; 2], &[f64; 2])| (b - a) > FILLED * (to - from);
        if !next.iter().zip(&sides).all(filled) {
            sides = next;
            continue;
        }
        let volume: f64 = sides.iter().map(|[from, to]| (to - from) / n as f64).product();
        let mut sum = 0.0;
        let sums: Vec<f64> = values
            .iter()
            .map(|v| {
                sum += (v - values[peak]).exp();
                sum
            })
            .collect();
        let ln_evidence = values[peak] + (sum * volume).ln();
        let (mut theta, mut ln_prob) = (vec![], vec![]);
        for _ in 0..draws {
            let wanted = rng.random::<f64>() * sum;
            let cell = sums.partition_point(|s| *s <= wanted).min(values.len() - 1);
            let u: Vec<f64> = (0..p).map(|axis| at(cell, axis, rng.random())).collect();
            let drawn = prior.from_unit(&u);
            ln_prob.push(ln_likelihood(prior.theta(&drawn))? + prior.ln_density(&drawn) - ln_evidence);
            theta.extend(drawn);
        }
        return Ok(Posterior { theta, ln_prob, ln_evidence });
    }
    Err(Error::failed("the likelihood is narrower than any grid within the prior").remedy("narrow the prior"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::{Distribution, Parameter};
    use crate::rng::stream;
    use std::f64::consts::TAU;

    /// A Gaussian likelihood of measured means under Gaussian and uniform priors has its posterior in closed form.
    #[test]
    fn gaussian_posteriors_are_those_of_the_closed_form() {
        let normal = Distribution::Normal { mean: 1.0, sigma: 2.0, min: f64::NEG_INFINITY, max: f64::INFINITY };
        for (p, width) in [(1, 1e-5), (2, 0.3), (2, 1e-4), (3, 0.05)] {
            let parameter = |j: usize| match j {
                0 => Parameter { distribution: normal, ..Parameter::uniform("a", "a", 0.0, 1.0) },
                j => Parameter::uniform(j.to_string(), "b", -4.0, 6.0),
            };
            let prior = Prior::new((0..p).map(parameter).collect()).unwrap();
            let ln = |theta: Theta| {
                let each = theta
                    .values()
                    .iter()
                    .map(|t| -0.5 * ((t - 0.7) / width).powi(2) - 0.5 * (TAU * width * width).ln());
                Ok(each.sum())
            };
            let found = posterior(&prior, &ln, 4000, &mut stream(1, 0, "exact", p as u64)).unwrap();
            let precision = 1.0 / 4.0 + 1.0 / (width * width);
            let (mean, sd) = ((0.25 + 0.7 / (width * width)) / precision, precision.powf(-0.5));
            let total = 4.0 + width * width;
            let evidence = -0.5 * (0.3f64.powi(2) / total + (TAU * total).ln()) - (p as f64 - 1.0) * 10f64.ln();
            assert!((found.ln_evidence - evidence).abs() < 2e-3, "{p} {width}: {} {evidence}", found.ln_evidence);
            for j in 0..p {
                let (mean, sd) = if j == 0 { (mean, sd) } else { (0.7, width) };
                let draws: Vec<f64> = found.theta.iter().skip(j).step_by(p).map(|t| (t - mean) / sd).collect();
                let m = draws.iter().sum::<f64>() / 4000.0;
                let v = draws.iter().map(|d| (d - m).powi(2)).sum::<f64>() / 3999.0;
                assert!(m.abs() < 0.07 && (v - 1.0).abs() < 0.1, "{p} {width} {j}: {m} {v}");
            }
            let at = prior.theta(&found.theta[..p]);
            let density = ln(at).unwrap() + prior.ln_density(&found.theta[..p]) - evidence;
            assert!((found.ln_prob[0] - density).abs() < 2e-3);
        }
    }

    #[test]
    fn a_likelihood_that_is_nowhere_is_refused() {
        let prior = Prior::new(vec![Parameter::uniform("a", "a", 0.0, 1.0)]).unwrap();
        let of = |value: f64| posterior(&prior, &move |_| Ok(value), 10, &mut stream(1, 0, "exact", 0));
        assert!(of(f64::NEG_INFINITY).is_err() && of(f64::NAN).is_err());
        assert!((of(-3.0).unwrap().ln_evidence + 3.0).abs() < 1e-9, "no information: the prior is drawn from");
    }
}
