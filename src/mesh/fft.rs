//! The distributed real FFT: 1-D transforms along each axis with an exchange between them, in two buffers.
//!
//! The mesh's own buffer carries the exchanges, so a transform allocates nothing and destroys its input, as FFTW's c2r
//! does.

use super::array::{ALIGN, Aligned, exchange_len, shares};
use super::plans::with_wisdom;
use super::{Complex, Decomposition, Halo, Mesh, Modes, Real};
use crate::comm::Comm;
use fftw::plan::PlanSpec;

/// How the 1-D transforms are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// Batched, in blocks that fit the first-level cache. Repeats its bits from run to run on the same number of ranks.
    Fast,
    /// One aligned pencil per call: the same bits on any number of ranks, somewhat slower.
    Exact,
}

/// One batched 1-D transform, executed as [`Transform`] says.
struct Stage<T: Real> {
    forward: T::FftPlan,
    backward: T::FftPlan,
    /// Pencils that are copied together on the complex axes.
    width: usize,
    /// From one of them to the next in a block: 1 where one call transforms all of them, side by side; else each is
    /// contiguous, starts on a cache line, and has a call of its own.
    apart: usize,
}

/// Bytes of a block of pencils that is transformed at a time: two thirds of a usual first-level cache.
const BLOCK: usize = 32 << 10;

/// Plans for one decomposition and halo. Transforms are collective.
pub struct Fft<T: Real> {
    d: Decomposition,
    halo: Halo,
    how: Transform,
    real_axis: Option<Stage<T>>,
    /// Axes 0 and 1: whole blocks, and the last, narrower one.
    complex_axes: [[Option<Stage<T>>; 2]; 2],
    /// Real pencil, and a block of complex pencils side by side.
    pencil: (Aligned<T>, Aligned<Complex<T>>),
}

impl<T: Real> Fft<T> {
    /// Plans transforms between meshes with `halo` and modes of `decomposition`. Collective where plans are measured.
    pub fn new(decomposition: &Decomposition, halo: Halo, how: Transform) -> Self {
        let d = decomposition.clone();
        let [n0, n1, n2] = d.shape();
        let (a, b, half) = (d.real().len, d.fourier().len, n2 / 2 + 1);
        let mut mesh = Mesh::<T>::new(decomposition, halo);
        let mut modes = Modes::<T>::new(decomposition);
        let (r, c, s) = (mesh.interior(), modes.data.as_mut_ptr(), mesh.stride());
        let width = |n: usize| (BLOCK / size_of::<Complex<T>>() / n).max(4);
        let padded = |n: usize| n.next_multiple_of(ALIGN / size_of::<Complex<T>>());
        let longest = (padded(n0) * width(n0)).max(padded(n1) * width(n1)).max(half);
        let mut pencil = (Aligned::<T>::new(n2), Aligned::<Complex<T>>::new(longest));
        let (pr, pc) = (pencil.0.as_mut_ptr(), pencil.1.as_mut_ptr());
        let i = |x: usize| x as isize;
        // SAFETY: the strides are those of `Mesh`, `Modes` and the pencils (see `forward` for the layout of each step).
        let (real_axis, complex_axes) = with_wisdom::<T, _>(&d.comm, how == Transform::Fast, |measured| unsafe {
            let real_axis = match how {
                _ if a[0] * a[1] == 0 => None,
                Transform::Exact => Some(Stage {
                    forward: T::plan_r2c((n2, 1, 1), &[], pr, pc, measured),
                    backward: T::plan_c2r((n2, 1, 1), &[], pc, pr, measured),
                    width: 1,
                    apart: 1,
                }),
                Transform::Fast => {
                    let batch = [(a[0], i(s[0]), i(a[1] * half)), (a[1], i(s[1]), i(half))];
                    Some(Stage {
                        forward: T::plan_r2c((n2, 1, 1), &batch, r, c, measured),
                        backward: T::plan_c2r((n2, 1, 1), &batch.map(|(n, is, os)| (n, os, is)), c, r, measured),
                        width: 1,
                        apart: 1,
                    })
                }
            };
            let stage = |n: usize, width: usize| {
                let (together, apart) = match how {
                    Transform::Fast => (width, 1),
                    Transform::Exact => (1, padded(n)),
                };
                let (dim, batch) = ((n, i(together), i(together)), [(together, 1, 1)]);
                let plan = |forward: bool| T::plan_c2c(dim, &batch, pc, pc, forward, measured);
                (width > 0).then(|| Stage { forward: plan(true), backward: plan(false), width, apart })
            };
            let blocks = |n: usize, pencils: usize| [stage(n, width(n)), stage(n, pencils % width(n))];
            (real_axis, [blocks(n0, b[1] * b[2]), blocks(n1, b[2])])
        });
        Fft { d, halo, how, real_axis, complex_axes, pencil }
    }

    /// The decomposition that is transformed.
    pub fn decomposition(&self) -> &Decomposition {
        &self.d
    }

    /// A mesh that fits.
    pub fn mesh(&self) -> Mesh<T> {
        Mesh::new(&self.d, self.halo)
    }

    /// Modes that fit.
    pub fn modes(&self) -> Modes<T> {
        Modes::new(&self.d)
    }

    /// The plans' pointers and strides are those of a mesh and modes that fit.
    fn assert_fit(&self, mesh: &Mesh<T>, modes: &Modes<T>) {
        let (d, room) = (&self.d, exchange_len(&self.d));
        assert!(
            mesh.block() == d.real() && mesh.halo() == self.halo && mesh.data().len() >= 2 * room,
            "mesh of another plan"
        );
        assert!(
            modes.block() == d.fourier() && modes.shape() == d.shape() && modes.data.len() >= room,
            "modes of another plan"
        );
    }

    /// c(k) = Σ_x f(x) exp(−i k·x). Destroys `mesh`.
    pub fn forward(&mut self, mesh: &mut Mesh<T>, modes: &mut Modes<T>) {
        self.assert_fit(mesh, modes);
        let d = self.d.clone();
        let (a, b, [_, n1, n2]) = (d.real().len, d.fourier().len, d.shape());
        let half = n2 / 2 + 1;
        // modes: [a0][a1][half]
        self.real_axis(mesh, modes, true);
        if d.grid()[1] > 1 {
            // Axis 2 is dealt out, axis 1 collected: scratch becomes [a0][n1][b2], and its transform fills modes.
            let (scratch, data) = (mesh.scratch_mut(), &mut modes.data[..]);
            let (k, y) = (shares(half, d.grid()[1]), shares(n1, d.grid()[1]));
            let send = pack(data, scratch, &k, a[0] * a[1], half, 1);
            let from: Vec<usize> = y.iter().map(|y| a[0] * y.1 * b[2]).collect();
            exchange(d.axis_comm(1), scratch, &send, data, &from);
            unpack(data, scratch, &y, a[0], n1, b[2]);
        }
        self.complex_axis(1, mesh, modes, true);
        if d.grid()[0] > 1 {
            // Axis 1 is dealt out, axis 0 collected: modes arrives as [n0][b1][b2] in place.
            let (scratch, data) = (mesh.scratch_mut(), &mut modes.data[..]);
            let (y, x) = (shares(n1, d.grid()[0]), shares(d.shape()[0], d.grid()[0]));
            let send = pack(data, scratch, &y, a[0], n1, b[2]);
            let from: Vec<usize> = x.iter().map(|x| x.1 * b[1] * b[2]).collect();
            exchange(d.axis_comm(0), scratch, &send, data, &from);
        }
        self.complex_axis(0, mesh, modes, true);
    }

    /// f(x) = Σ_k c(k) exp(+i k·x): [`Fft::forward`]'s steps in reverse. Destroys `modes`.
    pub fn inverse(&mut self, modes: &mut Modes<T>, mesh: &mut Mesh<T>) {
        self.assert_fit(mesh, modes);
        let d = self.d.clone();
        let (a, b, [_, n1, n2]) = (d.real().len, d.fourier().len, d.shape());
        let half = n2 / 2 + 1;
        self.complex_axis(0, mesh, modes, false);
        if d.grid()[0] > 1 {
            let (scratch, data) = (mesh.scratch_mut(), &mut modes.data[..]);
            let (y, x) = (shares(n1, d.grid()[0]), shares(d.shape()[0], d.grid()[0]));
            let send: Vec<usize> = x.iter().map(|x| x.1 * b[1] * b[2]).collect();
            let from: Vec<usize> = y.iter().map(|y| a[0] * y.1 * b[2]).collect();
            exchange(d.axis_comm(0), data, &send, scratch, &from);
            unpack(scratch, data, &y, a[0], n1, b[2]);
        }
        self.complex_axis(1, mesh, modes, false);
        if d.grid()[1] > 1 {
            let (scratch, data) = (mesh.scratch_mut(), &mut modes.data[..]);
            let (k, y) = (shares(half, d.grid()[1]), shares(n1, d.grid()[1]));
            let send = pack(scratch, data, &y, a[0], n1, b[2]);
            let from: Vec<usize> = k.iter().map(|k| a[0] * a[1] * k.1).collect();
            exchange(d.axis_comm(1), data, &send, scratch, &from);
            unpack(scratch, data, &k, a[0] * a[1], half, 1);
        }
        self.real_axis(mesh, modes, false);
    }

    /// Axis 2: real rows of the mesh ↔ modes as [a0][a1][half].
    fn real_axis(&mut self, mesh: &mut Mesh<T>, modes: &mut Modes<T>, forward: bool) {
        let Some(stage) = &self.real_axis else { return };
        let (len, half) = (mesh.block().len, self.d.shape()[2] / 2 + 1);
        // SAFETY: planned in `new` for exactly these strides; exact pencils are as long as the axis.
        unsafe {
            if self.how == Transform::Fast {
                let (r, c) = (mesh.interior(), modes.data.as_mut_ptr());
                return if forward {
                    T::execute_r2c(stage.forward, r, c)
                } else {
                    T::execute_c2r(stage.backward, c, r)
                };
            }
            let (pr, pc) = (&mut self.pencil.0, &mut self.pencil.1);
            for (row, c) in modes.data.chunks_exact_mut(half).take(len[0] * len[1]).enumerate() {
                let r = mesh.row_mut(row / len[1], row % len[1]);
                if forward {
                    pr[..len[2]].copy_from_slice(r);
                    T::execute_r2c(stage.forward, pr.as_mut_ptr(), pc.as_mut_ptr());
                    c.copy_from_slice(&pc[..half]);
                } else {
                    pc[..half].copy_from_slice(c);
                    T::execute_c2r(stage.backward, pc.as_mut_ptr(), pr.as_mut_ptr());
                    r.copy_from_slice(&pr[..len[2]]);
                }
            }
        }
    }

    /// Axis 1 or 0: within modes, or (axis 1 of a pencil) scratch → modes forward and modes → scratch backward. A block
    /// of neighbouring pencils is copied together, transformed in cache, and copied back.
    fn complex_axis(&mut self, axis: usize, mesh: &mut Mesh<T>, modes: &mut Modes<T>, forward: bool) {
        let (a, b, n) = (self.d.real().len, self.d.fourier().len, self.d.shape()[axis]);
        let (planes, pencils) = if axis == 1 { (a[0], b[2]) } else { (1, b[1] * b[2]) };
        let modes = modes.data.as_mut_ptr();
        let other = if axis == 1 && self.d.grid()[1] > 1 { mesh.scratch() } else { modes };
        let (from, to) = if forward { (other, modes) } else { (modes, other) };
        let block = self.pencil.1.as_mut_ptr();
        let [whole, rest] = &self.complex_axes[axis];
        for plane in 0..planes {
            let mut at = 0;
            while let Some(stage) = [whole, rest].into_iter().flatten().find(|s| at + s.width <= pencils) {
                let (width, apart, first) = (stage.width, stage.apart, plane * n * pencils + at);
                let plan = if forward { stage.forward } else { stage.backward };
                // SAFETY: the block holds n × width elements, padded; the indices stay within planes × n × pencils.
                unsafe {
                    if apart == 1 {
                        for j in 0..n {
                            std::ptr::copy_nonoverlapping(from.add(first + j * pencils), block.add(j * width), width);
                        }
                        T::execute_c2c(plan, block, block);
                        for j in 0..n {
                            std::ptr::copy_nonoverlapping(block.add(j * width), to.add(first + j * pencils), width);
                        }
                    } else {
                        for j in 0..n {
                            (0..width).for_each(|w| *block.add(w * apart + j) = *from.add(first + j * pencils + w));
                        }
                        (0..width).for_each(|w| T::execute_c2c(plan, block.add(w * apart), block.add(w * apart)));
                        for j in 0..n {
                            (0..width).for_each(|w| *to.add(first + j * pencils + w) = *block.add(w * apart + j));
                        }
                    }
                }
                at += width;
            }
        }
    }
}

impl<T: Real> Drop for Fft<T> {
    fn drop(&mut self) {
        for stage in self.complex_axes.iter().flatten().chain([&self.real_axis]).flatten() {
            stage.forward.destroy();
            stage.backward.destroy();
        }
    }
}

impl<T: Real> Mesh<T> {
    /// The block's first point.
    fn interior(&mut self) -> *mut T {
        let at = self.index(0, 0, 0);
        self.data_mut()[at..].as_mut_ptr()
    }

    /// The whole buffer as complexes, for exchanges.
    fn scratch_mut(&mut self) -> &mut [Complex<T>] {
        let data = self.data_mut();
        let even = data.len() / 2 * 2;
        bytemuck::cast_slice_mut(&mut data[..even])
    }

    fn scratch(&mut self) -> *mut Complex<T> {
        self.scratch_mut().as_mut_ptr()
    }
}

/// From `[outer][n][inner]`, lays the parts of the middle axis one after another: `[part][outer][len][inner]`. Returns
/// the number of elements of each part.
pub(super) fn pack<T: Copy>(
    from: &[T],
    to: &mut [T],
    parts: &[(usize, usize)],
    outer: usize,
    n: usize,
    inner: usize,
) -> Vec<usize> {
    let mut at = 0;
    for &(start, len) in parts {
        for o in 0..outer {
            let s = (o * n + start) * inner;
            to[at..at + len * inner].copy_from_slice(&from[s..s + len * inner]);
            at += len * inner;
        }
    }
    parts.iter().map(|p| outer * p.1 * inner).collect()
}

/// The inverse of [`pack`].
pub(super) fn unpack<T: Copy>(
    from: &[T],
    to: &mut [T],
    parts: &[(usize, usize)],
    outer: usize,
    n: usize,
    inner: usize,
) {
    let mut at = 0;
    for &(start, len) in parts {
        for o in 0..outer {
            let s = (o * n + start) * inner;
            to[s..s + len * inner].copy_from_slice(&from[at..at + len * inner]);
            at += len * inner;
        }
    }
}

pub(super) fn exchange<T: Real>(
    comm: &Comm,
    send: &[Complex<T>],
    counts: &[usize],
    recv: &mut [Complex<T>],
    from: &[usize],
) {
    let reals = |counts: &[usize]| counts.iter().map(|c| 2 * c).collect::<Vec<_>>();
    let (s, r) = (counts.iter().sum(), from.iter().sum::<usize>());
    let send: &[T] = bytemuck::cast_slice(&send[..s]);
    comm.exchange_into(send, &reals(counts), bytemuck::cast_slice_mut(&mut recv[..r]), &reals(from));
}
