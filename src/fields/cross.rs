//! Cross spectra of two fields on one mesh.

use super::spectrum::{Binned, binned};
use crate::comm::Comm;
use crate::mesh::{Modes, Real};

/// The cross spectrum of two fields and both their own, in the bins of a [`super::spectrum::Spectrum`].
#[derive(Debug, Clone, PartialEq)]
pub struct CrossSpectrum {
    /// Mean wavenumber of each bin in h/Mpc.
    pub k: Vec<f64>,
    /// P_ab(k) = V Re⟨a b*⟩ in (Mpc/h)³.
    pub cross: Vec<f64>,
    /// P_aa and P_bb in (Mpc/h)³, shot noise subtracted.
    pub auto: [Vec<f64>; 2],
    /// Modes of the full space in each bin: an exact integer.
    pub modes: Vec<u64>,
}

impl CrossSpectrum {
    /// r(k) = P_ab / √(P_aa P_bb): not a number where shot noise leaves one of them nothing.
    pub fn correlation(&self) -> Vec<f64> {
        let autos = self.auto[0].iter().zip(&self.auto[1]);
        let root = |(a, b): (&f64, &f64)| if *a > 0.0 && *b > 0.0 { (a * b).sqrt() } else { f64::NAN };
        self.cross.iter().zip(autos).map(|(c, ab)| c / root(ab)).collect()
    }
}

/// Measures the spectra of *unnormalised* forward modes of two fields on the same mesh, both assigned with `window`;
/// the shot noise of each is taken from its own spectrum, that of the cross spectrum is zero unless they share
/// particles. Collective.
pub fn measure_cross<T: Real>(
    a: &mut Modes<T>,
    b: &Modes<T>,
    box_size: f64,
    window: i32,
    shot_noise: [f64; 2],
    comm: &Comm,
) -> CrossSpectrum {
    let other = b.data();
    let Binned { k, modes, mean: [cross, mut aa, mut bb] } = binned(a, box_size, 2 * window, comm, |i, _, a| {
        let (re, im) = (other[i].re.f64(), other[i].im.f64());
        [a.re * re + a.im * im, a.norm_sqr(), re * re + im * im]
    });
    aa.iter_mut().for_each(|p| *p -= shot_noise[0]);
    bb.iter_mut().for_each(|p| *p -= shot_noise[1]);
    CrossSpectrum { k, cross, auto: [aa, bb], modes }
}
