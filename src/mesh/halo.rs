//! Halos: copying neighbours' points in ([`fill_halo`](Mesh::fill_halo)), and its adjoint, adding one's own halo to the
//! points it stands for ([`add_halo`](Mesh::add_halo)). Any width: a halo may reach over several ranks, or around the
//! box.

use super::{Decomposition, Mesh, Real};
use crate::comm::share;

/// One axis's traffic with each rank along it, as indices of planes relative to this rank's block: its own planes that
/// stand in the other's halo, and the planes of its halo that are the other's.
struct Route {
    own: Vec<Vec<isize>>,
    halo: Vec<Vec<isize>>,
}

impl<T: Real> Mesh<T> {
    /// Copies the points that the halo stands for into it. Collective.
    pub fn fill_halo(&mut self, d: &Decomposition) {
        for axis in [2, 1, 0] {
            let Route { own, halo } = self.route(d, axis);
            self.transfer(d, axis, &own, &halo, |point, value| *point = value);
        }
    }

    /// Adds the halo to the points it stands for; the halo's own values are spent. Collective.
    pub fn add_halo(&mut self, d: &Decomposition) {
        for axis in [0, 1, 2] {
            let Route { own, halo } = self.route(d, axis);
            self.transfer(d, axis, &halo, &own, |point, value| *point += value);
        }
    }

    /// Sends the planes `from` to each rank along an axis, and puts what arrives into the planes `to`.
    fn transfer(
        &mut self,
        d: &Decomposition,
        axis: usize,
        from: &[Vec<isize>],
        to: &[Vec<isize>],
        put: impl Fn(&mut T, T),
    ) {
        let (out, counts) = self.collect(axis, from);
        if from.len() == 1 {
            return self.deal(axis, to, &out, put);
        }
        let expected: Vec<usize> = to.iter().map(|planes| planes.len() * self.plane_len(axis)).collect();
        let mut arrived = vec![T::zero(); expected.iter().sum()];
        d.axis_comm(axis).exchange_into(&out, &counts, &mut arrived, &expected);
        self.deal(axis, to, &arrived, put);
    }

    fn route(&self, d: &Decomposition, axis: usize) -> Route {
        let (parts, me) = if axis < 2 { (d.grid()[axis], d.at()[axis]) } else { (1, 0) };
        route(d.shape()[axis], parts, me, self.halo.lo, self.halo.hi)
    }

    /// Elements of a plane across `axis`. Axes below `axis` are taken with their halo: axis 2 is filled first and added
    /// last, so edges and corners take part.
    fn plane_len(&self, axis: usize) -> usize {
        let [r1, r2] = self.plane_ranges(axis);
        (r1.1 - r1.0) as usize * (r2.1 - r2.0) as usize
    }

    /// Ranges of the two other axes, relative to the block.
    fn plane_ranges(&self, axis: usize) -> [(isize, isize); 2] {
        let (lo, hi) = (self.halo.lo as isize, self.halo.hi as isize);
        let bare = |a: usize| (0, self.block.len[a] as isize);
        let full = |a: usize| (-lo, self.block.len[a] as isize + hi);
        match axis {
            0 => [full(1), full(2)],
            1 => [bare(0), full(2)],
            _ => [bare(0), bare(1)],
        }
    }

    fn plane_index(&self, axis: usize, plane: isize, i: isize, j: isize) -> usize {
        match axis {
            0 => self.index(plane, i, j),
            1 => self.index(i, plane, j),
            _ => self.index(i, j, plane),
        }
    }

    fn collect(&self, axis: usize, planes: &[Vec<isize>]) -> (Vec<T>, Vec<usize>) {
        let [(i0, i1), (j0, j1)] = self.plane_ranges(axis);
        let len = self.plane_len(axis);
        let mut out = Vec::with_capacity(len * planes.iter().map(Vec::len).sum::<usize>());
        for &plane in planes.iter().flatten() {
            for i in i0..i1 {
                if axis < 2 {
                    let at = self.plane_index(axis, plane, i, j0);
                    out.extend_from_slice(&self.data()[at..at + (j1 - j0) as usize]);
                } else {
                    out.extend((j0..j1).map(|j| self.data()[self.plane_index(axis, plane, i, j)]));
                }
            }
        }
        (out, planes.iter().map(|p| p.len() * len).collect())
    }

    fn deal(&mut self, axis: usize, planes: &[Vec<isize>], values: &[T], put: impl Fn(&mut T, T)) {
        let [(i0, i1), (j0, j1)] = self.plane_ranges(axis);
        let mut values = values.iter();
        for &plane in planes.iter().flatten() {
            for i in i0..i1 {
                for j in j0..j1 {
                    let at = self.plane_index(axis, plane, i, j);
                    if let Some(&v) = values.next() {
                        put(&mut self.data_mut()[at], v);
                    }
                }
            }
        }
    }
}

/// Which planes of an axis of `n` points over `parts` ranks travel to and from rank `me` to fill halos `lo`, `hi`.
fn route(n: usize, parts: usize, me: usize, lo: usize, hi: usize) -> Route {
    let owner = |i: usize| (0..parts).find(|&p| i < share(n, parts, p).0 + share(n, parts, p).1).unwrap_or(parts - 1);
    // Halo planes of rank p, in ascending order: relative index and the global plane it stands for.
    let wanted = |p: usize| {
        let (start, len) = share(n, parts, p);
        let planes =
            if len == 0 { vec![] } else { (-(lo as isize)..0).chain(len as isize..(len + hi) as isize).collect() };
        planes.into_iter().map(move |h| (h, (start as isize + h).rem_euclid(n as isize) as usize))
    };
    let mut route = Route { own: vec![vec![]; parts], halo: vec![vec![]; parts] };
    let my_start = share(n, parts, me).0;
    for (h, global) in wanted(me) {
        route.halo[owner(global)].push(h);
    }
    for p in 0..parts {
        route.own[p].extend(wanted(p).filter(|w| owner(w.1) == me).map(|w| w.1 as isize - my_start as isize));
    }
    route
}
