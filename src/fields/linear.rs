//! The linear density field: white noise coloured by a power spectrum, and local primordial non-Gaussianity.

use super::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Complex, Decomposition, Fft, Mesh, Modes, Real};

/// Linear density modes δ_k (normalised: δ(x) = Σ δ_k exp(ik·x)) from real-space white noise: [`coloured`] of its
/// transform. Destroys `noise`.
pub fn linear_modes<T: Real>(
    fft: &mut Fft<T>,
    noise: &mut Mesh<T>,
    box_size: f64,
    power: impl Fn(f64) -> f64,
    fixed: bool,
    inverted: bool,
) -> Modes<T> {
    let mut modes = fft.modes();
    fft.forward(noise, &mut modes);
    coloured(&mut modes, box_size, power, fixed, inverted);
    modes
}

/// Turns the forward transform of unit-variance white noise on N³ points into linear density modes: δ_k = FFT(noise)/N³
/// · √(P(k) N³/V), with `power` in (Mpc/h)³ at k in h/Mpc and V = `box_size`³.
///
/// `fixed` sets every amplitude to its mean (Angulo & Pontzen 2016), `inverted` turns all phases by π (the other of a
/// pair).
pub fn coloured<T: Real>(modes: &mut Modes<T>, box_size: f64, power: impl Fn(f64) -> f64, fixed: bool, inverted: bool) {
    let shape = modes.shape();
    let cells = shape.iter().product::<usize>() as f64;
    let wave = Wavenumbers::new(shape, box_size, Gradient::Spectral);
    let sign = if inverted { -1.0 } else { 1.0 };
    wave.rows(modes, |_, k2, first, row| {
        for (mode, kz) in row.iter_mut().zip(&wave.k[2][first..]) {
            let k = (k2 + kz * kz).sqrt();
            let amplitude = if k > 0.0 { sign * (power(k) / (box_size.powi(3) * cells)).sqrt() } else { 0.0 };
            let norm = if fixed { mode.norm().f64() / cells.sqrt() } else { 1.0 };
            *mode = mode.scale(T::of(if norm > 0.0 { amplitude / norm } else { 0.0 }));
        }
    });
}

/// Local primordial non-Gaussianity: Φ → Φ + f_NL (Φ² − ⟨Φ²⟩) with Φ_k = δ_k / α(k), Bardeen's potential in the matter
/// era (positive where matter gathers), and `alpha` at k in h/Mpc (Dalal et al. 2008, eqs 1–7). `fft` is best exact.
pub fn add_f_nl<T: Real>(fft: &mut Fft<T>, delta: &mut Modes<T>, box_size: f64, f_nl: f64, alpha: impl Fn(f64) -> f64) {
    let cells = fft.decomposition().volume() as f64;
    let wave = Wavenumbers::new(fft.decomposition().shape(), box_size, Gradient::Spectral);
    let scaled = |modes: &mut Modes<T>, factor: &dyn Fn(f64) -> f64| {
        wave.rows(modes, |_, k2, first, row| {
            for (mode, kz) in row.iter_mut().zip(&wave.k[2][first..]) {
                let k = (k2 + kz * kz).sqrt();
                *mode = mode.scale(T::of(if k > 0.0 { factor(k) } else { 0.0 }));
            }
        })
    };
    let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
    modes.data_mut().copy_from_slice(delta.data());
    scaled(&mut modes, &|k| 1.0 / alpha(k));
    fft.inverse(&mut modes, &mut mesh);
    let len = mesh.block().len;
    for row in 0..len[0] * len[1] {
        mesh.row_mut(row / len[1], row % len[1]).iter_mut().for_each(|x| *x = *x * *x);
    }
    fft.forward(&mut mesh, &mut modes);
    scaled(&mut modes, &|k| f_nl * alpha(k) / cells);
    delta.data_mut().iter_mut().zip(modes.data()).for_each(|(d, m)| *d += *m);
}

/// Puts the modes below both meshes' Nyquist wavenumbers from the transform of one mesh's white noise into that of
/// another mesh's, over the same box and process grid: so two resolutions share their large scales. Both are
/// unnormalised transforms; the grafted modes are rescaled to `onto`'s. Collective.
pub fn graft<T: Real>(d: &Decomposition, from: &mut Modes<T>, onto: &mut Modes<T>) {
    let cells = |m: &Modes<T>| m.shape().iter().product::<usize>() as f64;
    let scale = T::of((cells(onto) / cells(from)).sqrt());
    let target = d.with_shape(onto.shape());
    let half = from.shape()[0].min(onto.shape()[0]) as i64;
    let wrapped = |k: i64, axis: usize| if k < 0 { (k + target.shape()[axis] as i64) as usize } else { k as usize };
    let mut by_rank = vec![(vec![], vec![]); d.comm.size()];
    from.for_each(|k, mode| {
        if k.iter().all(|k| 2 * k.abs() < half) {
            let at = [wrapped(k[0], 0), wrapped(k[1], 1), k[2] as usize];
            let (index, values) = &mut by_rank[target.fourier_rank(at)];
            index.push(((at[0] * target.shape()[1] + at[1]) * target.shape()[2] + at[2]) as u64);
            values.extend([mode.re * scale, mode.im * scale]);
        }
    });
    let counts: Vec<usize> = by_rank.iter().map(|(index, _)| index.len()).collect();
    let (index, values): (Vec<_>, Vec<_>) = by_rank.into_iter().unzip();
    let (index, arrived) = d.comm.exchange(&index.concat(), &counts);
    let mut numbers = vec![T::zero(); 2 * index.len()];
    let two = |counts: &[usize]| counts.iter().map(|c| 2 * c).collect::<Vec<_>>();
    d.comm.exchange_into(&values.concat(), &two(&counts), &mut numbers, &two(&arrived));
    let block = onto.block();
    for (index, z) in index.iter().zip(numbers.chunks_exact(2)) {
        let (row, i2) = (*index as usize / target.shape()[2], *index as usize % target.shape()[2]);
        let local = [row / target.shape()[1], row % target.shape()[1] - block.start[1], i2 - block.start[2]];
        onto.data_mut()[(local[0] * block.len[1] + local[1]) * block.len[2] + local[2]] = Complex::new(z[0], z[1]);
    }
}
