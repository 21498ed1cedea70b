//! A rank's part of a field in real space ([`Mesh`]) and in Fourier space ([`Modes`]).

use super::{Block, Decomposition, Halo, Real};
use crate::comm::share;
use num_complex::Complex;

/// Cache line in bytes; buffers start on one.
pub(super) const ALIGN: usize = 64;

/// A zeroed buffer that starts on a cache line (FFTW's fastest kernels ask for aligned memory).
pub(super) struct Aligned<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: bytemuck::Zeroable + Copy> Aligned<T> {
    pub(super) fn new(len: usize) -> Self {
        let slack = ALIGN / size_of::<T>().min(ALIGN);
        let data = vec![T::zeroed(); len + slack];
        let start = data.as_ptr().align_offset(ALIGN).min(slack);
        Aligned { data, start, len }
    }
}

impl<T> std::ops::Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}

/// A rank's block of a real field, with its halo. Element (i0, i1, i2) of the block, counted from the block's start and
/// from −`lo` to `len + hi − 1`, stands at `index(i0, i1, i2)`.
pub struct Mesh<T> {
    pub(super) block: Block,
    pub(super) halo: Halo,
    stride: [usize; 2],
    data: Aligned<T>,
    haloed: usize,
}

impl<T: Real> Mesh<T> {
    /// Zeros. The buffer is also large enough to serve as the FFT's exchange buffer.
    pub fn new(decomposition: &Decomposition, halo: Halo) -> Self {
        let block = decomposition.real();
        let rows = [block.len[0] + halo.lo + halo.hi, block.len[1] + halo.lo + halo.hi];
        // A little room at the end lets kernels read whole vectors from any row.
        let row = block.len[2] + if halo == Halo::default() { 0 } else { (halo.lo + halo.hi).next_multiple_of(8) };
        let haloed = rows[0] * rows[1] * row;
        let len = haloed.max(2 * exchange_len(decomposition)) + 8;
        Mesh { block, halo, stride: [rows[1] * row, row], data: Aligned::new(len), haloed }
    }

    /// Gives the memory back; the elements are gone.
    pub fn release(&mut self) {
        self.data = Aligned::new(0);
    }

    /// True after [`Mesh::release`].
    pub fn is_released(&self) -> bool {
        self.data.is_empty()
    }

    /// This rank's points.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Layers around the block.
    pub fn halo(&self) -> Halo {
        self.halo
    }

    /// Elements between neighbours along axes 0 and 1.
    pub fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// Where a point of the block or its halo stands in [`Mesh::data`].
    #[inline(always)]
    pub fn index(&self, i0: isize, i1: isize, i2: isize) -> usize {
        let lo = self.halo.lo as isize;
        ((i0 + lo) as usize) * self.stride[0] + ((i1 + lo) as usize) * self.stride[1] + (i2 + lo) as usize
    }

    /// Everything, halo included.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// Everything, halo included.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Sets every element, halo included.
    pub fn fill(&mut self, value: T) {
        let haloed = self.haloed;
        self.data[..haloed + 8].fill(value);
    }

    /// Row (i0, i1) of the block, without halo: `len[2]` elements.
    pub fn row(&self, i0: usize, i1: usize) -> &[T] {
        let at = self.index(i0 as isize, i1 as isize, 0);
        &self.data[at..at + self.block.len[2]]
    }

    /// Row (i0, i1) of the block, without halo.
    pub fn row_mut(&mut self, i0: usize, i1: usize) -> &mut [T] {
        let at = self.index(i0 as isize, i1 as isize, 0);
        &mut self.data[at..at + self.block.len[2]]
    }

    /// The block's elements without halo, in C order.
    pub fn to_vec(&self) -> Vec<T> {
        let [n0, n1, _] = self.block.len;
        (0..n0).flat_map(|i| (0..n1).flat_map(move |j| self.row(i, j).iter().copied())).collect()
    }

    /// Whole planes across axis 0, in rank order, as a file has them: this rank's number of them and their elements in C
    /// order. Collective.
    pub fn planes(&self, d: &Decomposition) -> (usize, Vec<T>) {
        let (own, [n0, n1, n2]) = (self.to_vec(), self.block.len);
        let (parts, me) = (d.grid()[1], d.at()[1]);
        if parts == 1 {
            return (n0, own);
        }
        // The ranks beside this one have the other rows of the same planes: each collects its share of the planes.
        let rows = shares(d.shape()[1], parts);
        let planes = share(n0, parts, me).1;
        let counts: Vec<usize> = shares(n0, parts).iter().map(|p| p.1 * n1 * n2).collect();
        let from: Vec<usize> = rows.iter().map(|row| planes * row.1 * n2).collect();
        let mut arrived = vec![T::zero(); from.iter().sum()];
        d.axis_comm(1).exchange_into(&own, &counts, &mut arrived, &from);
        let mut all = Vec::with_capacity(arrived.len());
        for plane in 0..planes {
            let mut first = 0;
            for (row, part) in rows.iter().zip(&from) {
                let len = row.1 * n2;
                all.extend_from_slice(&arrived[first + plane * len..first + (plane + 1) * len]);
                first += part;
            }
        }
        (planes, all)
    }
}

/// Complex elements that the FFT's exchanges need room for on this rank.
pub(super) fn exchange_len(d: &Decomposition) -> usize {
    let (real, modes) = (d.real(), d.fourier());
    let half = d.shape()[2] / 2 + 1;
    let middle = real.len[0] * d.shape()[1] * modes.len[2];
    (real.len[0] * real.len[1] * half).max(middle).max(modes.volume())
}

/// A rank's block of a half-complex Fourier field, C order, no halo. See [`super`] for the layout and normalisation.
pub struct Modes<T> {
    pub(super) block: Block,
    shape: [usize; 3],
    pub(super) data: Aligned<Complex<T>>,
}

impl<T: Real> Modes<T> {
    /// Zeros.
    pub fn new(decomposition: &Decomposition) -> Self {
        let data = Aligned::new(exchange_len(decomposition));
        Modes { block: decomposition.fourier(), shape: decomposition.shape(), data }
    }

    /// Gives the memory back; the modes are gone.
    pub fn release(&mut self) {
        self.data = Aligned::new(0);
    }

    /// This rank's modes.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Global number of points per axis, in real space.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// This rank's modes in C order.
    pub fn data(&self) -> &[Complex<T>] {
        &self.data[..self.block.volume()]
    }

    /// This rank's modes in C order.
    pub fn data_mut(&mut self) -> &mut [Complex<T>] {
        let n = self.block.volume();
        &mut self.data[..n]
    }

    /// Signed wavenumber n_d of index `i` along `axis` (−N/2 … (N−1)/2 on axes 0 and 1).
    #[inline]
    pub fn signed(&self, axis: usize, i: usize) -> i64 {
        let n = self.shape[axis];
        if axis < 2 && i >= n.div_ceil(2) { i as i64 - n as i64 } else { i as i64 }
    }

    /// Calls `f(n0, n1, row)` for every row along axis 2: signed wavenumbers of axes 0 and 1, and the modes
    /// n2 = `block.start[2]` ….
    pub fn for_each_row(&mut self, mut f: impl FnMut(i64, i64, &mut [Complex<T>])) {
        let Block { start, len } = self.block;
        if self.block.volume() == 0 {
            return;
        }
        let n = |axis: usize, i: usize, shape: [usize; 3]| {
            if i >= shape[axis].div_ceil(2) { i as i64 - shape[axis] as i64 } else { i as i64 }
        };
        let shape = self.shape;
        for (r, row) in self.data_mut().chunks_exact_mut(len[2]).enumerate() {
            let (i0, i1) = (start[0] + r / len[1], start[1] + r % len[1]);
            f(n(0, i0, shape), n(1, i1, shape), row);
        }
    }

    /// Calls `f([n0, n1, n2], mode)` for every mode of this rank.
    pub fn for_each(&mut self, mut f: impl FnMut([i64; 3], &mut Complex<T>)) {
        let first = self.block.start[2] as i64;
        self.for_each_row(|n0, n1, row| {
            for (mode, n2) in row.iter_mut().zip(first..) {
                f([n0, n1, n2], mode);
            }
        });
    }

    /// How many modes of the full (not half) space the half-complex mode n2 stands for: 1 on the planes that are their
    /// own mirror, else 2.
    #[inline]
    pub fn multiplicity(&self, n2: usize) -> usize {
        if n2 == 0 || 2 * n2 == self.shape[2] { 1 } else { 2 }
    }
}

/// `(start, length)` of every part of `n` items over `parts`.
pub(super) fn shares(n: usize, parts: usize) -> Vec<(usize, usize)> {
    (0..parts).map(|p| share(n, parts, p)).collect()
}
