//! Hamiltonian Monte Carlo (Neal 2011, arXiv:1206.1901): momenta are drawn, and a chain follows its density's slope along a
//! trajectory of leapfrog steps, at whose end it is accepted by its energy. Steps are measured by the covariance of what the
//! chains visited in the warm-up, their size is adapted to an acceptance of 0.8 by dual averaging (Hoffman & Gelman 2014,
//! sec. 3.2), and a trajectory is of up to a quarter of a Gaussian's period, of random length so that none comes back to itself.

use super::{Chains, Kernel, space::Space};
use crate::error::Result;
use crate::rng::ChaCha8Rng;
use ndarray::{Array1, Array2, ArrayView1};
use ndarray_linalg::{Cholesky, UPLO};
use rand::Rng;
use rand_distr::StandardNormal;

const ACCEPTED: f64 = 0.8;
/// Most leapfrog steps of a trajectory.
const LONGEST: usize = 50;
/// Steps of the parts of the warm-up, after each of which the covariance is taken anew.
const WARM: [usize; 3] = [20, 30, 30];

pub(super) struct Hmc {
    /// L of the covariance LLᵀ.
    scale: Array2<f64>,
    step: f64,
    /// Where the chains are; empty before they are looked at.
    slope: Vec<f64>,
}

/// Dual averaging of ln ε.
struct Averaging {
    centre: f64,
    off: f64,
    ln: f64,
    t: f64,
}

impl Averaging {
    fn new(step: f64) -> Self {
        Averaging { centre: (10.0 * step).ln(), off: 0.0, ln: step.ln(), t: 0.0 }
    }

    /// The next ε, after this share of proposals was accepted.
    fn next(&mut self, accepted: f64) -> f64 {
        self.t += 1.0;
        let part = 1.0 / (self.t + 10.0);
        self.off = (1.0 - part) * self.off + part * (ACCEPTED - accepted);
        let ln = self.centre - self.t.sqrt() / 0.05 * self.off;
        let part = self.t.powf(-0.75);
        self.ln = part * ln + (1.0 - part) * self.ln;
        ln.exp()
    }
}

impl Hmc {
    pub fn new(b: usize) -> Self {
        Hmc { scale: Array2::eye(b), step: 0.5, slope: vec![] }
    }

    /// One trajectory of each chain; the mean probability with which they are accepted.
    fn trajectory(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<f64> {
        let (m, b) = (chains.len(), chains.b);
        let longest = ((std::f64::consts::FRAC_PI_2 / self.step).ceil() as usize).clamp(1, LONGEST);
        let steps = rng.random_range(longest.div_ceil(2)..=longest);
        let mut momentum: Vec<f64> = (0..m * b).map(|_| rng.sample(StandardNormal)).collect();
        let kinetic = |p: &[f64]| p.chunks(b).map(|p| 0.5 * p.iter().map(|p| p * p).sum::<f64>()).collect::<Vec<f64>>();
        let before = kinetic(&momentum);
        let (scale, step) = (self.scale.clone(), self.step);
        let kick = |momentum: &mut [f64], slope: &[f64], size: f64| {
            for (p, g) in momentum.chunks_mut(b).zip(slope.chunks(b)) {
                let push: Array1<f64> = scale.t().dot(&ArrayView1::from(g));
                p.iter_mut().zip(push).for_each(|(p, push)| *p += size * push);
            }
        };
        let mut u = chains.u.clone();
        if self.slope.is_empty() {
            self.slope = space.ln_and_slope(&u)?.1;
        }
        let (mut ln, mut slope) = (vec![], self.slope.clone());
        for _ in 0..steps {
            kick(&mut momentum, &slope, 0.5 * step);
            for (u, p) in u.chunks_mut(b).zip(momentum.chunks(b)) {
                let moved: Array1<f64> = scale.dot(&ArrayView1::from(p));
                u.iter_mut().zip(moved).for_each(|(u, moved)| *u += step * moved);
            }
            (ln, slope) = space.ln_and_slope(&u)?;
            kick(&mut momentum, &slope, 0.5 * step);
        }
        let mut accepted = 0.0;
        for (c, after) in kinetic(&momentum).into_iter().enumerate() {
            let gain = ln[c] - after - chains.ln[c] + before[c];
            // A trajectory that diverged has an energy that is no number.
            let gain = if gain.is_nan() { f64::NEG_INFINITY } else { gain };
            accepted += gain.min(0.0).exp() / m as f64;
            if rng.random::<f64>().ln() < gain {
                chains.put(c, &u[c * b..(c + 1) * b], ln[c]);
                self.slope[c * b..(c + 1) * b].copy_from_slice(&slope[c * b..(c + 1) * b]);
            }
        }
        Ok(accepted)
    }
}

impl Kernel for Hmc {
    fn warm(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        let mut seen = chains.u.clone();
        for steps in WARM {
            let (_, covariance) = Chains::moments(&seen, chains.b);
            if let Ok(scale) = covariance.cholesky(UPLO::Lower) {
                self.scale = scale;
            }
            let mut averaging = Averaging::new(self.step);
            seen.clear();
            for s in 0..steps {
                let accepted = self.trajectory(space, chains, rng)?;
                self.step = averaging.next(accepted);
                // The first half is on its way.
                if 2 * s >= steps {
                    seen.extend_from_slice(&chains.u);
                }
            }
            self.step = averaging.ln.exp();
        }
        Ok(())
    }

    fn step(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        self.trajectory(space, chains, rng).map(drop)
    }

    fn per_draw(&self) -> usize {
        1
    }
}
