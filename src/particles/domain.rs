//! Domains: each rank holds the particles over its block of the mesh; those that leave are sent to their new rank.

use super::Particles;
use crate::comm::Comm;
use crate::mesh::{Decomposition, Real};

/// Maps positions to ranks.
pub struct Domain {
    comm: Comm,
    owners: [Vec<u32>; 2],
    columns: usize,
    per_length: f64,
}

impl Domain {
    /// Domains of a mesh over a cube of side `box_size` Mpc/h.
    pub fn new(d: &Decomposition, box_size: f64) -> Self {
        let per_length = d.shape()[0] as f64 / box_size;
        Domain { comm: d.comm.clone(), owners: [d.owners(0), d.owners(1)], columns: d.grid()[1], per_length }
    }

    /// The rank over whose block a position in [0, L) lies.
    #[inline]
    pub fn rank_of<T: Real>(&self, x: &[T; 3]) -> usize {
        let scale = T::of(self.per_length);
        let p = |axis: usize| {
            let cell = (x[axis] * scale).to_usize().unwrap_or(0);
            let owners = &self.owners[axis];
            owners[cell.min(owners.len() - 1)] as usize
        };
        p(0) * self.columns + p(1)
    }

    /// Sends every particle to the rank it lies on. Those that stay keep their order; arrivals follow in rank order.
    /// Accelerations do not travel: they are due to be computed anew. Collective.
    pub fn exchange<T: Real>(&self, particles: &mut Particles<T>) {
        if self.comm.size() == 1 {
            return;
        }
        let (me, ranks) = (self.comm.rank(), self.comm.size());
        let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); ranks];
        for (i, x) in particles.position.iter().enumerate() {
            let rank = self.rank_of(x);
            if rank != me {
                leaving[rank].push(i);
            }
        }
        let counts: Vec<usize> = leaving.iter().map(|l| l.len()).collect();
        let order: Vec<usize> = leaving.into_iter().flatten().collect();
        let ids: Vec<u64> = order.iter().map(|&i| particles.id[i]).collect();
        let mut phase: Vec<[T; 3]> = Vec::with_capacity(2 * order.len());
        for &i in &order {
            phase.push(particles.position[i]);
            phase.push(particles.momentum[i]);
        }
        let mut gone = vec![false; particles.len()];
        order.iter().for_each(|&i| gone[i] = true);
        retain(&mut particles.position, &gone);
        retain(&mut particles.momentum, &gone);
        retain(&mut particles.id, &gone);
        particles.acceleration.clear();

        let (ids, from) = self.comm.exchange(&ids, &counts);
        let reals = |counts: &[usize]| counts.iter().map(|c| 6 * c).collect::<Vec<_>>();
        let mut arrived = vec![T::zero(); 6 * ids.len()];
        self.comm.exchange_into(
            bytemuck::cast_slice::<[T; 3], T>(&phase),
            &reals(&counts),
            &mut arrived,
            &reals(&from),
        );
        particles.id.extend(ids);
        for p in arrived.chunks_exact(6) {
            particles.position.push([p[0], p[1], p[2]]);
            particles.momentum.push([p[3], p[4], p[5]]);
        }
    }
}

fn retain<C>(column: &mut Vec<C>, gone: &[bool]) {
    let mut gone = gone.iter();
    column.retain(|_| !gone.next().is_some_and(|&g| g));
}
