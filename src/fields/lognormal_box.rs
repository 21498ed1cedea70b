//! Lognormal fields of a periodic box (Coles & Jones 1991; Agrawal et al. 2017, JCAP 10, 003).
//!
//! 1 + δ = exp(G − σ²/2) of a Gaussian field G of variance σ² has the correlation function ξ if G has ξ_G = ln(1 + ξ). The
//! logarithm is taken on the mesh itself, P → ξ → ln(1 + ξ) → P_G with three-dimensional transforms: so the points of the mesh have
//! exactly the spectrum that is asked for, up to the corners of Fourier space, with what the exponential folds back from beyond
//! the Nyquist wavenumber. A one-dimensional transform of ξ(r) would be that of a continuous field, which no mesh holds.

use super::lognormal::Achieved;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::mesh::{Complex, Fft, Mesh, Modes, Real};
use std::f64::consts::TAU;

/// Rounds after which the Gaussian field's spectrum is as good as it gets.
const ROUNDS: usize = 12;
/// Deviation of the lognormal field's spectrum that is good enough.
const ENOUGH: f64 = 1e-4;
/// Bands in which deviations are told.
const BANDS: usize = 8;

/// A spectrum on a mesh, P/V at every |n|² = (k L/2π)²; 0 at the mean.
pub struct MeshPower {
    over_volume: Vec<f64>,
}

impl MeshPower {
    /// `power` in (Mpc/h)³ at k in h/Mpc, on `n`³ points over a cube of `box_size` Mpc/h.
    pub fn new(n: usize, box_size: f64, power: impl Fn(f64) -> f64) -> Self {
        let at = |m2: usize| power(TAU / box_size * (m2 as f64).sqrt()) / box_size.powi(3);
        MeshPower { over_volume: (0..=3 * (n / 2).pow(2)).map(|m2| if m2 == 0 { 0.0 } else { at(m2) }).collect() }
    }

    /// P/V at a mode with signed integer wavenumber n.
    fn at(&self, n: [i64; 3]) -> f64 {
        self.over_volume[square(n)]
    }

    /// The lowest ξ on the mesh's axes and diagonals through a point, of n³ points: no lognormal field has −1 or less. In n³
    /// operations.
    pub fn lowest(&self, n: usize) -> f64 {
        let signed: Vec<i64> = (0..n as i64).map(|i| if 2 * i > n as i64 { i - n as i64 } else { i }).collect();
        // Of all modes those that have the same phase along (1, 0, 0), (1, 1, 0), (1, 1, 1).
        let mut along = [(); 3].map(|()| vec![0.0; n]);
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let (mut axis, across) = (0.0, (i + j) % n);
            for k in 0..n {
                let p = self.at([signed[i], signed[j], signed[k]]);
                axis += p;
                along[2][(across + k) % n] += p;
            }
            along[0][i] += axis;
            along[1][across] += axis;
        }
        let xi = |of: &[f64], x: usize| -> f64 {
            let phase = |m: usize| TAU * (m * x % n) as f64 / n as f64;
            of.iter().enumerate().map(|(m, p)| p * phase(m).cos()).sum()
        };
        let all = along.iter().flat_map(|of| (0..n).map(move |x| xi(of, x)));
        all.fold(f64::INFINITY, f64::min)
    }

    /// ξ at the mesh's points, Σ_k P/V exp(ik·x). Collective.
    pub fn correlation<T: Real>(&self, fft: &mut Fft<T>) -> Mesh<T> {
        let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
        modes.for_each(|n, mode| *mode = Complex::new(T::of(self.at(n)), T::zero()));
        fft.inverse(&mut modes, &mut mesh);
        mesh
    }
}

/// A lognormal field that can be drawn.
pub struct LognormalBox<T> {
    /// √(P_G/V) of this rank's modes.
    amplitude: Vec<T>,
    /// σ² of the Gaussian field.
    variance: f64,
    /// How well the field has the spectrum that was wanted.
    pub achieved: Achieved,
}

impl<T: Real> LognormalBox<T> {
    /// The field whose spectrum is `scale` times `wanted`, of which `xi` is the [correlation](MeshPower::correlation): a
    /// linear bias b is a scale of b². Where its ln(1 + ξ) asks for negative P_G, these are set to 0, and what that changes
    /// of the lognormal field's spectrum is fed back until it is less than 1e-4 or stays as it is: [`Achieved`] tells what is
    /// left. Refused where ξ is −1 or less. Collective.
    pub fn new(fft: &mut Fft<T>, wanted: &MeshPower, xi: &Mesh<T>, scale: f64) -> Result<Self> {
        let comm = fft.decomposition().comm.clone();
        let cells = fft.decomposition().volume() as f64;
        let (mut mesh, mut modes, factor) = (fft.mesh(), fft.modes(), T::of(scale));
        let mut low = f64::INFINITY;
        for_rows(&mut mesh, |i, j, row| {
            for (y, &x) in row.iter_mut().zip(xi.row(i, j)) {
                let x = factor * x;
                low = low.min(x.f64());
                *y = x.ln_1p();
            }
        });
        low = comm.min_of(low);
        possible(low)?;
        fft.forward(&mut mesh, &mut modes);
        let mut power: Vec<T> = modes.data().iter().map(|c| T::of(c.re.f64() / cells)).collect();
        // What the mean lacks of power is a factor of 1 + ξ: all of it that there is where no other mode is changed.
        let of_mean = comm.max_of(power.first().filter(|_| holds_mean(&modes)).map_or(0.0, |p| p.f64().abs()));
        let mut achieved = Achieved { deviation: of_mean.exp_m1(), projected: clip(&mut power, &mut modes, &comm) };
        if achieved.projected > 0.0 || achieved.deviation > ENOUGH {
            let mut best = power.clone();
            achieved.deviation = f64::INFINITY;
            for _ in 0..ROUNDS {
                modes.data_mut().iter_mut().zip(&power).for_each(|(mode, p)| *mode = Complex::new(*p, T::zero()));
                fft.inverse(&mut modes, &mut mesh);
                for_rows(&mut mesh, |_, _, row| row.iter_mut().for_each(|x| *x = x.exp_m1()));
                fft.forward(&mut mesh, &mut modes);
                let deviation = deviation(&mut modes, wanted, scale * cells, &comm);
                let better = deviation < 0.9 * achieved.deviation;
                if deviation < achieved.deviation {
                    best.copy_from_slice(&power);
                    achieved.deviation = deviation;
                }
                if !better || deviation < ENOUGH {
                    break;
                }
                let mut change = power.iter_mut();
                modes.for_each(|n, made| {
                    change.next().into_iter().for_each(|p| *p += T::of(scale * wanted.at(n) - made.re.f64() / cells))
                });
                achieved.projected = clip(&mut power, &mut modes, &comm);
            }
            power = best;
        }
        // Whole numbers have the same sum in any order, and so the same field on any number of ranks.
        const UNIT: f64 = (1u64 << 50) as f64;
        let (mut sum, mut own) = (0i64, power.iter());
        let last = modes.shape()[2];
        modes.for_each(|n, _| {
            let weight = if n[2] == 0 || 2 * n[2] as usize == last { 1.0 } else { 2.0 };
            sum += own.next().map_or(0, |p| (weight * p.f64() * UNIT).round() as i64);
        });
        let variance = comm.sum_of(sum) as f64 / UNIT;
        Ok(LognormalBox { amplitude: power.into_iter().map(T::sqrt).collect(), variance, achieved })
    }

    /// 1 + δ at the mesh's points, of the forward transform of [white noise](super::noise::white_noise): fields of one
    /// noise are correlated as their spectra allow. `modes` is overwritten. Collective.
    pub fn draw(&self, fft: &mut Fft<T>, noise: &Modes<T>, modes: &mut Modes<T>, mesh: &mut Mesh<T>) {
        let norm = T::of((fft.decomposition().volume() as f64).sqrt().recip());
        let drawn = modes.data_mut().iter_mut().zip(noise.data()).zip(&self.amplitude);
        drawn.for_each(|((mode, white), amplitude)| *mode = white.scale(*amplitude * norm));
        fft.inverse(modes, mesh);
        let half = T::of(0.5 * self.variance);
        for_rows(mesh, |_, _, row| row.iter_mut().for_each(|x| *x = (*x - half).exp()));
    }

    /// σ² of the Gaussian field.
    pub fn variance(&self) -> f64 {
        self.variance
    }
}

/// Refuses a correlation function that falls so low.
pub fn possible(low: f64) -> Result<()> {
    if low > -1.0 {
        return Ok(());
    }
    let problem = format!("its correlation function falls to {low:.3}, and that of a lognormal field is above -1");
    Err(Error::failed(problem).remedy("lower the bias, or take a mesh with fewer points per length"))
}

fn for_rows<T: Real>(mesh: &mut Mesh<T>, mut f: impl FnMut(usize, usize, &mut [T])) {
    let [n0, n1, _] = mesh.block().len;
    (0..n0 * n1).for_each(|row| f(row / n1, row % n1, mesh.row_mut(row / n1, row % n1)));
}

fn holds_mean<T: Real>(modes: &Modes<T>) -> bool {
    modes.block().volume() > 0 && modes.block().start == [0; 3]
}

/// Sets negative powers to 0, and that of the mean: the part of all modes where they were negative. Collective.
fn clip<T: Real>(power: &mut [T], modes: &mut Modes<T>, comm: &Comm) -> f64 {
    let (mut own, mut count, shape) = (power.iter_mut(), 0u64, modes.shape());
    modes.for_each(|n, _| {
        let Some(p) = own.next() else { return };
        if n == [0; 3] {
            *p = T::zero();
        } else if *p < T::zero() {
            *p = T::zero();
            count += if n[2] == 0 || 2 * n[2] as usize == shape[2] { 1 } else { 2 };
        }
    });
    comm.sum_of(count) as f64 / shape.iter().product::<usize>() as f64
}

/// The largest relative deviation of a band's mean, from twice the fundamental to half the Nyquist wavenumber, of modes that
/// `norm` times `wanted` should be. Collective.
fn deviation<T: Real>(modes: &mut Modes<T>, wanted: &MeshPower, norm: f64, comm: &Comm) -> f64 {
    let last = modes.shape()[0] as f64 / 4.0;
    let band = |m2: usize| ((m2 as f64).sqrt() / 2.0).ln() / (last / 2.0).ln() * BANDS as f64;
    // The last of the sums is of what lies in no band.
    let of: Vec<usize> =
        (0..wanted.over_volume.len()).map(|m2| if m2 < 4 { BANDS } else { (band(m2) as usize).min(BANDS) }).collect();
    let mut sums = [[0.0; 2]; BANDS + 1];
    modes.for_each(|n, made| {
        let m2 = square(n);
        let wanted = norm * wanted.over_volume[m2];
        let sum = &mut sums[of[m2]];
        sum[0] += made.re.f64() - wanted;
        sum[1] += wanted;
    });
    comm.sum(sums.as_flattened_mut());
    sums[..BANDS].iter().filter(|s| s[1] > 0.0).fold(0.0, |most, s| most.max((s[0] / s[1]).abs()))
}

fn square(n: [i64; 3]) -> usize {
    n.iter().map(|n| (n * n) as usize).sum()
}
