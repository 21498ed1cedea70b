//! The spherical harmonic transform, on all ranks of a group together.

use super::legendre::Legendre;
use super::recursion::{Angles, Colatitude, ln_sin, reach};
use super::spin::Spin;
use super::{Alm, Complex, Ring, Rings};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::mesh::Rows;
use std::f64::consts::PI;
use std::ops::Range;

/// Rings that are gathered from the modes together: what lies side by side in memory is read once.
const TOGETHER: usize = 8;

/// Transforms maps of one nside with a_ℓm up to one lmax. What it plans is kept. Transforms are collective.
pub struct Sht {
    comm: Comm,
    rings: Rings,
    lmax: usize,
    /// First ring of each rank, and the end.
    cuts: Vec<usize>,
    /// This rank's rings, and the largest m that reaches each.
    mine: Vec<(Ring, usize)>,
    /// cosθ, ln sinθ, ln tan θ/2 and the largest m of the northern rings, the equator included.
    cos: Vec<f64>,
    ln_sin: Vec<f64>,
    ln_tan: Vec<f64>,
    reach: Vec<usize>,
    rows: Rows<f64>,
    /// Room of modes of earlier transforms: to take it anew costs as much as to fill it.
    spare: Vec<Vec<Complex>>,
}

impl Sht {
    /// Plans transforms between maps of `nside` and a_ℓm of ℓ ≤ `lmax`, at most 4 nside.
    pub fn new(comm: &Comm, nside: usize, lmax: usize) -> Result<Self> {
        let rings = Rings::new(nside)?;
        if lmax > 4 * nside {
            let error = Error::input(format!("must be at most 4 nside = {}: no map resolves more", 4 * nside));
            return Err(error.value(lmax).remedy("raise nside; up to 1.5 nside a map gives back what it is made of"));
        }
        let reach = |ring: &Ring| reach(lmax, ring.sin, ring.cos, 2);
        let cuts = rings.split(comm.size());
        let mine = cuts[comm.rank()]..cuts[comm.rank() + 1];
        let mine = mine.map(|r| rings.ring(r)).map(|ring| (ring, reach(&ring))).collect();
        let northern: Vec<Ring> = (0..rings.northern()).map(|r| rings.ring(r)).collect();
        Ok(Sht {
            comm: comm.clone(),
            rings,
            lmax,
            cuts,
            mine,
            cos: northern.iter().map(|ring| ring.cos).collect(),
            ln_sin: northern.iter().map(|ring| ln_sin(ring.cos, ring.sin)).collect(),
            ln_tan: northern.iter().map(|ring| (ring.sin / (1.0 + ring.cos)).ln()).collect(),
            reach: northern.iter().map(reach).collect(),
            rows: Rows::new(4 * nside),
            spare: vec![],
        })
    }

    /// Its maps' rings.
    pub fn rings(&self) -> Rings {
        self.rings
    }

    /// The largest ℓ.
    pub fn lmax(&self) -> usize {
        self.lmax
    }

    /// True of the very group that it was planned for.
    pub fn is_of(&self, comm: &Comm) -> bool {
        self.comm.is(comm)
    }

    /// This rank's rings.
    pub fn own_rings(&self) -> Range<usize> {
        self.cuts[self.comm.rank()]..self.cuts[self.comm.rank() + 1]
    }

    /// This rank's pixels.
    pub fn pixels(&self) -> Range<usize> {
        let [start, end] = [0, 1].map(|i| match self.cuts[self.comm.rank() + i] {
            r if r == self.rings.count() => self.rings.pixels(),
            r => self.rings.ring(r).first,
        });
        start..end
    }

    /// Bytes that a rank of `ranks` takes for a transform, beside its map and its a_ℓm.
    pub fn bytes(nside: usize, lmax: usize, ranks: usize) -> u64 {
        let modes = 16 * (4 * nside as u64 - 1) * (lmax as u64 + 1).div_ceil(ranks as u64);
        if ranks == 1 { modes } else { 2 * modes }
    }

    /// The first northern ring that m reaches.
    fn from(&self, m: usize) -> usize {
        self.reach.partition_point(|&reach| reach < m)
    }

    /// This rank's pixels of the map Σ a_ℓm Y_ℓm.
    pub fn synthesis(&mut self, alm: &Alm) -> Vec<f64> {
        let [map] = self.sum::<1, Legendre>([alm]);
        map
    }

    /// This rank's pixels of Q and U, of E and B.
    pub fn synthesis_spin2(&mut self, eb: [&Alm; 2]) -> [Vec<f64>; 2] {
        self.sum::<2, Spin>(eb)
    }

    /// a_ℓm = (4π / pixels) Σ_p f_p Y*_ℓm(p), and so many corrections by the transform of what a synthesis leaves over. Of
    /// a map that is band-limited to 1.5 nside each takes off nine tenths of the error and more: five leave less than
    /// 10⁻⁶ of it.
    pub fn analysis(&mut self, map: &[f64], iterations: usize) -> Alm {
        let [alm] = self.solve::<1, Legendre>([map], iterations);
        alm
    }

    /// E and B of Q and U, as [`Sht::analysis`].
    pub fn analysis_spin2(&mut self, qu: [&[f64]; 2], iterations: usize) -> [Alm; 2] {
        self.solve::<2, Spin>(qu, iterations)
    }

    fn solve<const N: usize, C: Colatitude<N>>(&mut self, maps: [&[f64]; N], iterations: usize) -> [Alm; N] {
        let mut alm = self.project::<N, C>(maps);
        for _ in 0..iterations {
            let mut rest = self.sum::<N, C>(alm.each_ref());
            for (rest, map) in rest.iter_mut().zip(maps) {
                rest.iter_mut().zip(map).for_each(|(rest, f)| *rest = f - *rest);
            }
            let more = self.project::<N, C>(rest.each_ref().map(|rest| &rest[..]));
            for (alm, more) in alm.iter_mut().zip(&more) {
                alm.values_mut().iter_mut().zip(more.values()).for_each(|(a, more)| *a += more);
            }
        }
        alm
    }

    fn sum<const N: usize, C: Colatitude<N>>(&mut self, alm: [&Alm; N]) -> [Vec<f64>; N] {
        let (half, count) = (self.rings.northern(), self.rings.count());
        let [mut north, mut south] = [0, 1].map(|_| [(); N].map(|()| vec![Complex::default(); half]));
        let mut whole = vec![Complex::default(); count];
        let mut modes = [(); N].map(|()| Modes::by_m(self));
        let mut colatitude = C::new(self.lmax);
        let mut of = alm.map(Alm::by_m);
        for at in 0..alm[0].ms().len() {
            let these = of.each_mut().map(|of| of.next().expect("all have the same m"));
            let (m, from) = (these[0].0, self.from(these[0].0));
            let [to_north, to_south] = [&mut north, &mut south].map(|f| f.each_mut().map(|f| &mut f[from..]));
            colatitude.synthesise(m, these.map(|a| a.1), self.angles(from), to_north, to_south);
            for ((modes, north), south) in modes.iter_mut().zip(&north).zip(&south) {
                whole.fill(Complex::default());
                whole[from..half].copy_from_slice(&north[from..]);
                (from..half - 1).for_each(|r| whole[count - 1 - r] = south[r]);
                modes.put(self, at, &whole);
            }
        }
        modes.map(|modes| {
            let modes = modes.exchanged(self);
            self.rows_from(modes)
        })
    }

    fn project<const N: usize, C: Colatitude<N>>(&mut self, maps: [&[f64]; N]) -> [Alm; N] {
        let modes = maps.map(|map| self.modes_of(map).exchanged(self));
        let (half, count) = (self.rings.northern(), self.rings.count());
        let [mut north, mut south] = [0, 1].map(|_| [(); N].map(|()| vec![Complex::default(); half]));
        let mut whole = vec![Complex::default(); count];
        let mut alm = [(); N].map(|()| Alm::new(&self.comm, self.lmax));
        let mut colatitude = C::new(self.lmax);
        let ms = alm[0].ms();
        let mut of = alm.each_mut().map(Alm::by_m_mut);
        for (at, m) in ms.enumerate() {
            let from = self.from(m);
            for ((modes, north), south) in modes.iter().zip(&mut north).zip(&mut south) {
                modes.get(self, at, &mut whole);
                north[from..].copy_from_slice(&whole[from..half]);
                // The equator is its own mirror, and counts once.
                (from..half - 1).for_each(|r| south[r] = whole[count - 1 - r]);
                south[half - 1] = Complex::default();
            }
            let [of_north, of_south] = [&north, &south].map(|f| f.each_ref().map(|f| &f[from..]));
            let to = of.each_mut().map(|of| of.next().expect("all have the same m").1);
            colatitude.analyse(m, to, self.angles(from), of_north, of_south);
        }
        drop(of);
        self.spare.extend(modes.map(|modes| modes.values));
        alm
    }

    /// The northern rings from that one.
    fn angles(&self, from: usize) -> Angles<'_> {
        Angles { cos: &self.cos, ln_sin: &self.ln_sin, ln_tan: &self.ln_tan }.from(from)
    }

    /// Sums over m along this rank's rings: f_j = Σ_m F_m exp(imφ_j), F_−m = F*_m, aliased to the ring's modes.
    fn rows_from(&mut self, modes: Modes) -> Vec<f64> {
        let mut map = vec![0.0; self.pixels().len()];
        let (mut rest, all) = (&mut map[..], self.lmax + 1);
        let [mut these, mut spectrum] =
            [TOGETHER * all, 2 * self.rings.nside() + 1].map(|n| vec![Complex::default(); n]);
        for (at, rings) in self.mine.chunks(TOGETHER).enumerate() {
            for m in 0..all {
                let row = &modes.of_m(m)[at * TOGETHER..][..rings.len()];
                these[m..].iter_mut().step_by(all).zip(row).for_each(|(to, f)| *to = *f);
            }
            for ((ring, reach), these) in rings.iter().zip(these.chunks_exact(all)) {
                let spectrum = &mut spectrum[..ring.pixels / 2 + 1];
                spectrum.fill(Complex::default());
                let phases = Phases::new(ring.phi0, *reach);
                // Up to Nyquist's no two meet in one.
                let few = (*reach + 1).min(ring.pixels.div_ceil(2));
                for (m, (to, f)) in spectrum[..few].iter_mut().zip(these).enumerate() {
                    *to = f * phases.at(m);
                }
                spectrum[0].im = 0.0;
                for (m, f) in these.iter().enumerate().take(reach + 1).skip(few) {
                    fold(spectrum, ring.pixels, m, f * phases.at(m));
                }
                let (row, others) = rest.split_at_mut(ring.pixels);
                self.rows.inverse(spectrum, row);
                rest = others;
            }
        }
        self.spare.push(modes.values);
        map
    }

    /// The modes of this rank's rings: F_m = (4π / pixels) Σ_j f_j exp(−imφ_j).
    fn modes_of(&mut self, map: &[f64]) -> Modes {
        let weight = 4.0 * PI / self.rings.pixels() as f64;
        let mut modes = Modes::by_ring(self);
        let (mut rest, all) = (map, self.lmax + 1);
        let mut these = vec![Complex::default(); TOGETHER * all];
        for (at, rings) in self.mine.chunks(TOGETHER).enumerate() {
            for ((ring, reach), these) in rings.iter().zip(these.chunks_exact_mut(all)) {
                let (row, others) = rest.split_at(ring.pixels);
                let spectrum = self.rows.forward(row);
                let phases = Phases::new(ring.phi0, *reach);
                for (m, to) in these[..=*reach].iter_mut().enumerate() {
                    let k = if m < ring.pixels { m } else { m % ring.pixels };
                    let mode = if k < spectrum.len() { spectrum[k] } else { spectrum[ring.pixels - k].conj() };
                    *to = mode * phases.at(m).conj() * weight;
                }
                these[*reach + 1..].fill(Complex::default());
                rest = others;
            }
            for m in 0..all {
                let row = &mut modes.of_m_mut(m)[at * TOGETHER..][..rings.len()];
                row.iter_mut().zip(these[m..].iter().step_by(all)).for_each(|(to, f)| *to = *f);
            }
        }
        modes
    }
}

/// Adds F_m, and F_−m = F*_m, to the modes of a ring of n pixels.
fn fold(spectrum: &mut [Complex], n: usize, m: usize, value: Complex) {
    let k = if m < n { m } else { m % n };
    if m == 0 {
        spectrum[0] += value.re;
    } else if k == 0 || 2 * k == n {
        spectrum[k] += 2.0 * value.re;
    } else if 2 * k < n {
        spectrum[k] += value;
    } else {
        spectrum[n - k] += value.conj();
    }
}

/// exp(imφ) for many m, of two short tables.
struct Phases([Vec<Complex>; 2]);

impl Phases {
    const STEP: usize = 32;

    fn new(phi: f64, mmax: usize) -> Self {
        let table = |n: usize, step: usize| (0..n).map(|i| Complex::cis((i * step) as f64 * phi)).collect();
        Phases([table(Self::STEP, 1), table(mmax / Self::STEP + 1, Self::STEP)])
    }

    #[inline]
    fn at(&self, m: usize) -> Complex {
        self.0[0][m % Self::STEP] * self.0[1][m / Self::STEP]
    }
}

/// F_m of rings: a rank's own m on all rings, or all m on its own rings. For each other rank one block, (m, ring).
struct Modes {
    values: Vec<Complex>,
    /// Start of each rank's block, and its rings.
    blocks: Vec<(usize, usize)>,
    ranks: usize,
    by_m: bool,
}

impl Modes {
    /// Not all of it is zeros.
    fn new(sht: &mut Sht, by_m: bool) -> Self {
        let (ranks, rank) = (sht.comm.size(), sht.comm.rank());
        let mut len = 0;
        let blocks = (0..ranks).map(|q| {
            let (m_of, rings_of) = if by_m { (rank, q) } else { (q, rank) };
            let (ms, rings) = ((sht.lmax + 1 + ranks - 1 - m_of) / ranks, sht.cuts[rings_of + 1] - sht.cuts[rings_of]);
            let start = len;
            len += ms * rings;
            (start, rings)
        });
        let blocks = blocks.collect();
        let mut values = sht.spare.pop().unwrap_or_default();
        values.resize(len, Complex::default());
        Modes { values, blocks, ranks, by_m }
    }

    /// This rank's m, on all rings.
    fn by_m(sht: &mut Sht) -> Self {
        Modes::new(sht, true)
    }

    /// All m, on this rank's rings.
    fn by_ring(sht: &mut Sht) -> Self {
        Modes::new(sht, false)
    }

    /// Sets this rank's m number `at` on all rings.
    fn put(&mut self, sht: &Sht, at: usize, rings: &[Complex]) {
        for (q, &(start, n)) in self.blocks.iter().enumerate() {
            self.values[start + at * n..][..n].copy_from_slice(&rings[sht.cuts[q]..][..n]);
        }
    }

    /// This rank's m number `at` on all rings.
    fn get(&self, sht: &Sht, at: usize, rings: &mut [Complex]) {
        for (q, &(start, n)) in self.blocks.iter().enumerate() {
            rings[sht.cuts[q]..][..n].copy_from_slice(&self.values[start + at * n..][..n]);
        }
    }

    /// Any m, on this rank's rings.
    fn of_m(&self, m: usize) -> &[Complex] {
        let (start, n) = self.blocks[m % self.ranks];
        &self.values[start + m / self.ranks * n..][..n]
    }

    fn of_m_mut(&mut self, m: usize) -> &mut [Complex] {
        let (start, n) = self.blocks[m % self.ranks];
        &mut self.values[start + m / self.ranks * n..][..n]
    }

    /// The other layout. Collective.
    fn exchanged(self, sht: &mut Sht) -> Modes {
        if self.ranks == 1 {
            return Modes { by_m: !self.by_m, ..self };
        }
        let mut to = Modes::new(sht, !self.by_m);
        // Numbers of each block, in doubles.
        let counts = |modes: &Modes| -> Vec<usize> {
            let ends = modes.blocks[1..].iter().map(|b| b.0).chain([modes.values.len()]);
            ends.zip(&modes.blocks).map(|(end, start)| 2 * (end - start.0)).collect()
        };
        let (ours, theirs) = (counts(&self), counts(&to));
        let values: &mut [f64] = bytemuck::cast_slice_mut(&mut to.values);
        sht.comm.exchange_into(bytemuck::cast_slice(&self.values), &ours, values, &theirs);
        sht.spare.push(self.values);
        to
    }
}
