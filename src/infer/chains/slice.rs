//! Slice sampling (Neal 2003) along differences of the chains (Karamanis & Beutler 2021, arXiv:2002.06212): a chain draws a level
//! below its density, and a point above that level on the line through it along the difference of two of the other half.

use super::{Chains, Kernel, space::Space};
use crate::error::Result;
use crate::rng::ChaCha8Rng;
use rand::Rng;

/// Times that an interval is lengthened at most, at both ends together, and that it shrinks.
const OUT: usize = 16;
const IN: usize = 100;
/// Steps before the first that counts.
const WARM: usize = 30;

pub(super) struct Slice;

/// A chain's interval on its line.
struct Line {
    chain: usize,
    along: Vec<f64>,
    level: f64,
    ends: [f64; 2],
    /// Lengthenings that are left at each end.
    left: [usize; 2],
}

impl Line {
    fn at(&self, chains: &Chains, t: f64) -> Vec<f64> {
        chains.of(self.chain).iter().zip(&self.along).map(|(u, d)| u + t * d).collect()
    }
}

impl Slice {
    /// Both ends of each interval are lengthened until they lie below the level.
    fn step_out(space: &Space, chains: &Chains, lines: &mut [Line]) -> Result<()> {
        for end in [0, 1] {
            loop {
                let open: Vec<usize> = (0..lines.len()).filter(|&l| lines[l].left[end] > 0).collect();
                if open.is_empty() {
                    break;
                }
                let points: Vec<f64> = open.iter().flat_map(|&l| lines[l].at(chains, lines[l].ends[end])).collect();
                for (l, ln) in open.into_iter().zip(space.ln(&points)?) {
                    let line = &mut lines[l];
                    match ln > line.level {
                        true => {
                            line.ends[end] += [-1.0, 1.0][end];
                            line.left[end] -= 1;
                        }
                        false => line.left[end] = 0,
                    }
                }
            }
        }
        Ok(())
    }
}

impl Kernel for Slice {
    fn warm(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        (0..WARM).try_for_each(|_| self.step(space, chains, rng))
    }

    fn step(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        let half = chains.len() / 2;
        for (first, others) in [(0, half), (half, 0)] {
            let mut line = |chain: usize| {
                let one = rng.random_range(0..half);
                let two = (one + rng.random_range(1..half)) % half;
                let pair = chains.of(others + one).iter().zip(chains.of(others + two));
                let (start, left) = (rng.random::<f64>(), rng.random_range(0..=OUT));
                Line {
                    chain,
                    along: pair.map(|(a, b)| a - b).collect(),
                    level: chains.ln[chain] + rng.random::<f64>().ln(),
                    ends: [-start, 1.0 - start],
                    left: [left, OUT - left],
                }
            };
            let mut lines: Vec<Line> = (first..first + half).map(&mut line).collect();
            Self::step_out(space, chains, &mut lines)?;
            // A chain that finds no point in so many trials stays where it is.
            for _ in 0..IN {
                if lines.is_empty() {
                    break;
                }
                let tried: Vec<f64> = lines.iter().map(|line| rng.random_range(line.ends[0]..line.ends[1])).collect();
                let points: Vec<Vec<f64>> = lines.iter().zip(&tried).map(|(line, &t)| line.at(chains, t)).collect();
                let ln = space.ln(&points.concat())?;
                let mut open = vec![];
                for (((mut line, t), u), ln) in lines.into_iter().zip(tried).zip(points).zip(ln) {
                    if ln > line.level {
                        chains.put(line.chain, &u, ln);
                        continue;
                    }
                    line.ends[(t > 0.0) as usize] = t;
                    open.push(line);
                }
                lines = open;
            }
        }
        Ok(())
    }

    fn per_draw(&self) -> usize {
        2
    }
}
