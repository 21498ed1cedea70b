//! Halos: copying neighbours' points in ([`fill_halo`](Mesh::fill_halo)), and its adjoint, adding one's own halo to the
//! points it stands for ([`add_halo`](Mesh::add_halo)). Any width: a halo may reach over several ranks, or around the box.

use super::{Decomposition, Mesh, Real};
use crate::comm::share;

/// One axis's traffic: planes this rank sends to and receives from each rank along the axis, as indices relative to the
/// sender's (receiver's) block.
struct Route {
    send: Vec<Vec<isize>>,
    recv: Vec<Vec<isize>>,
}

impl<T: Real> Mesh<T> {
    /// Copies the points that the halo stands for into it. Collective.
    pub fn fill_halo(&mut self, d: &Decomposition) {
        for axis in [2, 1, 0] {
            self.each_route(d, axis, |mesh, send, recv, comm| {
                let (out, counts) = mesh.collect(axis, send);
                let from: Vec<usize> = recv.iter().map(|r| r.len() * mesh.plane_len(axis)).collect();
                let mut buffer = vec![T::zero(); from.iter().sum()];
                match comm {
                    Some(comm) => comm.exchange_into(&out, &counts, &mut buffer, &from),
                    None => buffer = out,
                }
                mesh.deal(axis, recv, &buffer, |own, new| *own = new);
            });
        }
    }

    /// Adds the halo to the points it stands for; the halo's own values are spent. Collective.
    pub fn add_halo(&mut self, d: &Decomposition) {
        for axis in [0, 1, 2] {
            self.each_route(d, axis, |mesh, send, recv, comm| {
                let (out, counts) = mesh.collect(axis, recv);
                let from: Vec<usize> = send.iter().map(|s| s.len() * mesh.plane_len(axis)).collect();
                let mut buffer = vec![T::zero(); from.iter().sum()];
                match comm {
                    Some(comm) => comm.exchange_into(&out, &counts, &mut buffer, &from),
                    None => buffer = out,
                }
                mesh.deal(axis, send, &buffer, |own, more| *own += more);
            });
        }
    }

    fn each_route(
        &mut self,
        d: &Decomposition,
        axis: usize,
        f: impl FnOnce(&mut Self, &[Vec<isize>], &[Vec<isize>], Option<&crate::comm::Comm>),
    ) {
        let (parts, me) = if axis < 2 { (d.grid()[axis], d.at()[axis]) } else { (1, 0) };
        let route = route(d.shape()[axis], parts, me, self.halo.lo, self.halo.hi);
        let comm = (parts > 1).then(|| d.axis_comm(axis));
        f(self, &route.send, &route.recv, comm);
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
    let mut route = Route { send: vec![vec![]; parts], recv: vec![vec![]; parts] };
    let my_start = share(n, parts, me).0;
    for (h, global) in wanted(me) {
        route.recv[owner(global)].push(h);
    }
    for p in 0..parts {
        route.send[p].extend(wanted(p).filter(|w| owner(w.1) == me).map(|w| w.1 as isize - my_start as isize));
    }
    route
}
