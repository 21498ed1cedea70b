//! Points of a design: which universes share their parameters, and which stand a step beside a fiducial point. Read off
//! the parameters themselves, and written beside them.

use super::hdf::File;
use crate::error::Result;
use crate::prior::DrawnFrom;
use std::collections::HashMap;

/// The number of each universe's point (n), in the order in which points first appear. `theta` is (n, p).
pub fn points(theta: &[f64], p: usize) -> Vec<u64> {
    let mut known: HashMap<Vec<u64>, u64> = HashMap::new();
    let number = |t: &[f64]| {
        let next = known.len() as u64;
        *known.entry(t.iter().map(|x| x.to_bits()).collect()).or_insert(next)
    };
    theta.chunks(p).map(number).collect()
}

/// Universes at a fiducial point, and one step beside it in one parameter each.
#[derive(Debug, Clone, PartialEq)]
pub struct Stencil {
    /// The fiducial point, p.
    pub fiducial: Vec<f64>,
    /// Step in each parameter, p; 0 where there is none.
    pub steps: Vec<f64>,
    /// Of each universe (n): 0 at the fiducial point, ±(j + 1) a step up or down in parameter j, which counts from 0.
    pub step: Vec<i64>,
}

impl Stencil {
    /// That of parameters (n, p), where they are one: the fiducial point is the middle of all points, parameter by
    /// parameter.
    pub fn of(theta: &[f64], p: usize) -> Option<Stencil> {
        let numbers = points(theta, p);
        let first = |point: u64| numbers.iter().position(|&n| n == point);
        let distinct: Vec<&[f64]> = (0..).map_while(first).map(|row| &theta[row * p..(row + 1) * p]).collect();
        let middle = |j: usize| {
            let mut values: Vec<f64> = distinct.iter().map(|t| t[j]).collect();
            values.sort_by(f64::total_cmp);
            values[(values.len() - 1) / 2]
        };
        let fiducial: Vec<f64> = (0..p).map(middle).collect();
        let (mut steps, mut of_point) = (vec![0.0f64; p], vec![]);
        for point in distinct {
            let moved: Vec<usize> = (0..p).filter(|&j| point[j] != fiducial[j]).collect();
            of_point.push(match moved[..] {
                [] => 0,
                [j] => {
                    let step = point[j] - fiducial[j];
                    // Up and down are the same step, to rounding.
                    if steps[j] != 0.0 && (step.abs() / steps[j] - 1.0).abs() > 1e-6 {
                        return None;
                    }
                    steps[j] = step.abs();
                    (j as i64 + 1) * step.signum() as i64
                }
                _ => return None,
            });
        }
        Some(Stencil { fiducial, steps, step: numbers.iter().map(|&n| of_point[n as usize]).collect() })
    }
}

/// The points of parameters (n, p) and, of a fiducial design, their steps.
pub fn of(theta: &[f64], p: usize, drawn_from: DrawnFrom) -> (Vec<u64>, Option<Stencil>) {
    let stencil = if drawn_from == DrawnFrom::Fiducial { Stencil::of(theta, p) } else { None };
    (points(theta, p), stencil)
}

/// Writes `design/point` and, of a fiducial design, `design/step` beside parameters (n, p).
pub fn write(file: &File, theta: &[f64], p: usize, drawn_from: DrawnFrom) -> Result<()> {
    let (point, stencil) = of(theta, p, drawn_from);
    file.write_checked(None, "design/point", &[point.len()], &point)?;
    let Some(Stencil { fiducial, steps, step }) = stencil else { return Ok(()) };
    file.write_checked(None, "design/step", &[step.len()], &step)?;
    file.set_numbers("design/step", "fiducial", &fiducial)?;
    file.set_numbers("design/step", "steps", &steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stencil_is_told_by_its_points() {
        let block = [[0.3, 0.8], [0.25, 0.8], [0.35, 0.8]].concat();
        let theta = [&block[..], &block, &[0.3, 0.8]].concat();
        assert_eq!(points(&theta, 2), [0, 1, 2, 0, 1, 2, 0]);
        let stencil = Stencil::of(&theta, 2).unwrap();
        assert_eq!((stencil.fiducial, &stencil.step[..]), (vec![0.3, 0.8], &[0, -1, 1, 0, -1, 1, 0][..]));
        assert!((stencil.steps[0] - 0.05).abs() < 1e-15 && stencil.steps[1] == 0.0);
        assert_eq!(Stencil::of(&[0.3, 0.8], 2).unwrap().step, [0]);
        assert_eq!(Stencil::of(&[&theta[..], &[0.35, 0.9]].concat(), 2), None, "two parameters at once");
        assert_eq!(Stencil::of(&[&theta[..], &[0.45, 0.8]].concat(), 2), None, "steps of two sizes");
    }
}
