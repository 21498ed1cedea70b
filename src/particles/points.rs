//! Lists of weighted points: moved to the rank they lie over, and deposited.

use super::assignment::{Cic, Weights, cell};
use super::{Domain, deposit_cic};
use crate::comm::Comm;
use crate::mesh::{Decomposition, Mesh, Real};

/// What is deposited: positions, and a weight for each, or 1 for all.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a, T> {
    /// Comoving positions in Mpc/h, in [0, L), over this rank's block of the mesh.
    pub position: &'a [[T; 3]],
    /// As many weights, in any unit.
    pub weight: Option<&'a [T]>,
}

impl<'a, T: Real> Points<'a, T> {
    /// Points of weight 1.
    pub fn equal(position: &'a [[T; 3]]) -> Self {
        Points { position, weight: None }
    }

    /// Σw and Σw² over all ranks. Collective.
    pub fn weight_sums(&self, comm: &Comm) -> [f64; 2] {
        let count = self.position.len() as f64;
        let mut sums = self.weight.map_or([count; 2], |weights| {
            weights.iter().fold([0.0; 2], |[s, q], w| [s + w.f64(), q + w.f64().powi(2)])
        });
        comm.sum(&mut sums);
        sums
    }

    /// Deposits with CIC onto `mesh`, which is cleared first, each weight times `scale`, as [`deposit_cic`].
    /// Collective.
    pub fn deposit(&self, mesh: &mut Mesh<T>, d: &Decomposition, box_size: f64, scale: f64, shift: f64) {
        let Some(weights) = self.weight else {
            return deposit_cic(mesh, d, self.position, box_size, scale, shift);
        };
        mesh.fill(T::zero());
        let (n, start) = (d.shape(), mesh.block().start);
        let per_length = T::of(n[0] as f64 / box_size);
        for (x, &weight) in self.position.iter().zip(weights) {
            let axis: [(isize, [T; 2]); 3] = std::array::from_fn(|a| {
                let (i, f) = cell(x[a] * per_length, n[a], start[a]);
                Cic::weights(i, f + T::of(shift))
            });
            let weight = weight * T::of(scale);
            for corner in 0..8usize {
                let side = [corner >> 2, corner >> 1 & 1, corner & 1];
                let [i, j, k] = std::array::from_fn(|a| axis[a].0 + side[a] as isize);
                let at = mesh.index(i, j, k);
                mesh.data_mut()[at] += weight * axis[0].1[side[0]] * axis[1].1[side[1]] * axis[2].1[side[2]];
            }
        }
        mesh.add_halo(d);
    }
}

impl Domain {
    /// Sends positions in [0, L), with their weights if any, to the ranks over whose blocks they lie; what arrives is
    /// in rank order. For lists that move for one measurement (redshift space) or come from elsewhere. Collective.
    pub fn send_home<T: Real>(
        &self,
        comm: &Comm,
        position: Vec<[T; 3]>,
        weight: Option<Vec<T>>,
    ) -> (Vec<[T; 3]>, Option<Vec<T>>) {
        let ranks = comm.size();
        if ranks == 1 {
            return (position, weight);
        }
        let mut by_rank: Vec<Vec<usize>> = vec![Vec::new(); ranks];
        position.iter().enumerate().for_each(|(i, x)| by_rank[self.rank_of(x)].push(i));
        let counts: Vec<usize> = by_rank.iter().map(Vec::len).collect();
        let order: Vec<usize> = by_rank.into_iter().flatten().collect();
        let weight = weight.map(|w| {
            let sorted: Vec<T> = order.iter().map(|&i| w[i]).collect();
            comm.exchange(&sorted, &counts).0
        });
        let sorted: Vec<T> = order.iter().flat_map(|&i| position[i]).collect();
        drop(position);
        let counts: Vec<usize> = counts.iter().map(|c| 3 * c).collect();
        let (flat, _) = comm.exchange(&sorted, &counts);
        (flat.as_chunks::<3>().0.to_vec(), weight)
    }
}
