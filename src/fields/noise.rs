//! White noise: the one random input of a universe.

use crate::mesh::{Decomposition, Halo, Mesh, Real};
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal};

/// Real-space white noise of zero mean and unit variance. The value at a point depends on (seed, realisation, point)
/// alone, so it is the same to the last bit on any number of ranks: each row along axis 2 is a random stream of its
/// own.
pub fn white_noise<T: Real>(decomposition: &Decomposition, seed: u64, realisation: u64) -> Mesh<T> {
    let mut mesh = Mesh::new(decomposition, Halo::default());
    let (block, shape) = (mesh.block(), decomposition.shape());
    let base = stream(seed, realisation, "white noise", 0);
    for i0 in 0..block.len[0] {
        for i1 in 0..block.len[1] {
            let mut rng = base.clone();
            rng.set_stream(((block.start[0] + i0) * shape[1] + block.start[1] + i1) as u64);
            for x in mesh.row_mut(i0, i1) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *x = T::of(normal);
            }
        }
    }
    mesh
}
