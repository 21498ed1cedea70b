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
        let mut gone = vec![false; particles.len()];
        order.iter().for_each(|&i| gone[i] = true);
        particles.acceleration.clear();

        let ids: Vec<u64> = order.iter().map(|&i| particles.id[i]).collect();
        let (ids, from) = self.comm.exchange(&ids, &counts);
        let staying = particles.len() - order.len();
        replace(&mut particles.id, &gone, staying, ids.into_iter());
        let reals = |counts: &[usize]| counts.iter().map(|c| 3 * c).collect::<Vec<_>>();
        let Particles { position, momentum, psi, .. } = particles;
        for column in [position, momentum].into_iter().chain(psi.iter_mut().flatten()) {
            let sent: Vec<[T; 3]> = order.iter().map(|&i| column[i]).collect();
            let mut arrived = vec![[T::zero(); 3]; from.iter().sum()];
            self.comm.exchange_into(
                bytemuck::cast_slice::<[T; 3], T>(&sent),
                &reals(&counts),
                bytemuck::cast_slice_mut::<[T; 3], T>(&mut arrived),
                &reals(&from),
            );
            replace(column, &gone, staying, arrived.into_iter());
        }
    }
}

/// Removes the elements that are gone and appends the new ones, with little room to spare: a doubling vector would
/// double the memory of a run.
fn replace<C>(column: &mut Vec<C>, gone: &[bool], staying: usize, new: impl ExactSizeIterator<Item = C>) {
    let mut gone = gone.iter();
    column.retain(|_| !gone.next().is_some_and(|&g| g));
    let wanted = staying + new.len();
    if wanted > column.capacity() {
        column.reserve_exact(new.len() + wanted / 32);
    }
    column.extend(new);
}
