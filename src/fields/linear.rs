//! The linear density field: white noise coloured by a power spectrum.

use super::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Fft, Mesh, Modes, Real};

/// Linear density modes δ_k (normalised: δ(x) = Σ δ_k exp(ik·x)) from real-space white noise: δ_k = FFT(noise) /N³ ·
/// √(P(k) N³/V), with `power` in (Mpc/h)³ at k in h/Mpc and V = `box_size`³. Destroys `noise`.
///
/// `fixed` sets every amplitude to its mean (Angulo & Pontzen 2016), `inverted` turns all phases by π (the other of a pair).
pub fn linear_modes<T: Real>(
    fft: &mut Fft<T>,
    noise: &mut Mesh<T>,
    box_size: f64,
    power: impl Fn(f64) -> f64,
    fixed: bool,
    inverted: bool,
) -> Modes<T> {
    let shape = fft.decomposition().shape();
    let cells = fft.decomposition().volume() as f64;
    let mut modes = fft.modes();
    fft.forward(noise, &mut modes);
    let wave = Wavenumbers::new(shape, box_size, Gradient::Spectral);
    let sign = if inverted { -1.0 } else { 1.0 };
    wave.rows(&mut modes, |_, k2, first, row| {
        for (mode, kz) in row.iter_mut().zip(&wave.k[2][first..]) {
            let k = (k2 + kz * kz).sqrt();
            let amplitude = if k > 0.0 { sign * (power(k) / (box_size.powi(3) * cells)).sqrt() } else { 0.0 };
            let norm = if fixed { mode.norm().f64() / cells.sqrt() } else { 1.0 };
            *mode = mode.scale(T::of(if norm > 0.0 { amplitude / norm } else { 0.0 }));
        }
    });
    modes
}
