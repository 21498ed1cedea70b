//! Particles as columns of a file, in the order of their Lagrangian identity.

use crate::comm::{Comm, share};
use crate::mesh::Real;
use crate::particles::Particles;

/// Positions (Mpc/h) and peculiar velocities (km/s) of all `total` particles at scale factor `a`, sorted by identity
/// and spread over the ranks in contiguous shares: the same file whatever the number of ranks. Collective.
pub fn by_lagrangian_id<T: Real>(
    comm: &Comm,
    particles: &Particles<T>,
    total: u64,
    a: f64,
) -> (Vec<[f32; 3]>, Vec<[f32; 3]>) {
    let ranks = comm.size();
    let starts: Vec<u64> = (0..ranks).map(|r| share(total as usize, ranks, r).0 as u64).collect();
    let rank_of = |id: u64| starts.partition_point(|&s| s <= id) - 1;
    let mut by_rank: Vec<Vec<usize>> = vec![Vec::new(); ranks];
    particles.id.iter().enumerate().for_each(|(i, &id)| by_rank[rank_of(id)].push(i));
    let counts: Vec<usize> = by_rank.iter().map(Vec::len).collect();
    let order: Vec<usize> = by_rank.into_iter().flatten().collect();
    let to_km_s = 100.0 / a;
    let row = |i: &usize| -> [f32; 6] {
        let (x, p) = (particles.position[*i], particles.momentum[*i]);
        std::array::from_fn(|c| if c < 3 { x[c].f64() as f32 } else { (p[c - 3].f64() * to_km_s) as f32 })
    };
    let ids: Vec<u64> = order.iter().map(|&i| particles.id[i]).collect();
    let rows: Vec<f32> = order.iter().flat_map(row).collect();
    let (ids, from) = comm.exchange(&ids, &counts);
    let six = |c: &[usize]| c.iter().map(|c| 6 * c).collect::<Vec<_>>();
    let mut all = vec![0f32; 6 * ids.len()];
    comm.exchange_into(&rows, &six(&counts), &mut all, &six(&from));
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|&i| ids[i]);
    let three = |first: usize| order.iter().map(|&i| std::array::from_fn(|c| all[6 * i + first + c])).collect();
    (three(0), three(3))
}
