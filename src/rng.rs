//! Counter-based random numbers: any rank can draw any part of a stream without drawing what comes before it.
//!
//! A stream is named by (seed, realisation, purpose); within it, [`ChaCha8Rng::set_stream`] picks one of 2⁶⁴
//! independent sub-streams (a row of a mesh, a halo, a training sample), so that a draw depends on *what* is drawn,
//! never on which rank draws it or in which order.

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator of one purpose in one realisation of a campaign; `index` picks the sub-stream.
pub fn stream(seed: u64, realisation: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(realisation.to_le_bytes());
    hash.update(purpose.as_bytes());
    let mut rng = ChaCha8Rng::from_seed(hash.finalize().into());
    rng.set_stream(index);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |s, r, p, i| stream(s, r, p, i).next_u64();
        assert_eq!(draw(1, 2, "noise", 3), draw(1, 2, "noise", 3));
        let all = [
            draw(1, 2, "noise", 3),
            draw(2, 2, "noise", 3),
            draw(1, 3, "noise", 3),
            draw(1, 2, "x", 3),
            draw(1, 2, "noise", 4),
        ];
        for i in 0..all.len() {
            assert!(!all[..i].contains(&all[i]));
        }
    }
}
