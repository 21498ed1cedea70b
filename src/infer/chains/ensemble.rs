//! Affine-invariant stretch moves (Goodman & Weare 2010, eq. 7): a chain goes along the line through one of the other half of
//! them, y' = y_k + z (y − y_k) with z ∝ 1/√z between 1/a and a, accepted with min(1, z^(b−1) p(y')/p(y)).

use super::{Chains, Kernel, space::Space};
use crate::error::Result;
use crate::rng::ChaCha8Rng;
use rand::Rng;

/// The scale a of the moves.
const SCALE: f64 = 2.0;
/// Steps before the first that counts.
const WARM: usize = 200;

pub(super) struct Stretch {
    b: usize,
}

impl Stretch {
    pub fn new(b: usize) -> Self {
        Stretch { b }
    }
}

impl Kernel for Stretch {
    fn warm(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        (0..WARM).try_for_each(|_| self.step(space, chains, rng))
    }

    fn step(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()> {
        let half = chains.len() / 2;
        for (first, others) in [(0, half), (half, 0)] {
            let (mut proposed, mut stretch) = (vec![], vec![]);
            for i in first..first + half {
                let z = ((SCALE - 1.0) * rng.random::<f64>() + 1.0).powi(2) / SCALE;
                let other = chains.of(others + rng.random_range(0..half));
                proposed.extend(chains.of(i).iter().zip(other).map(|(y, k)| k + z * (y - k)));
                stretch.push((self.b - 1) as f64 * z.ln());
            }
            let ln = space.ln(&proposed)?;
            for (i, u) in proposed.chunks(self.b).enumerate() {
                if rng.random::<f64>().ln() < stretch[i] + ln[i] - chains.ln[first + i] {
                    chains.put(first + i, u, ln[i]);
                }
            }
        }
        Ok(())
    }

    fn per_draw(&self) -> usize {
        10
    }
}
