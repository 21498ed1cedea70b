//! The density of points in Fourier space, which every spectrum is measured from.

use crate::mesh::{Complex, Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};
use crate::particles::Points;
use std::f64::consts::PI;

/// Order of the mass assignment: its window is divided out of what is measured.
pub const CIC: i32 = 2;

/// Deposits and transforms on one mesh: made once, used for every list of points.
pub struct DensityMeter<T: Real> {
    fft: Fft<T>,
    mesh: Mesh<T>,
    box_size: f64,
}

impl<T: Real> DensityMeter<T> {
    /// A meter on the mesh of `d` over a cube of `box_size` Mpc/h.
    pub fn new(d: &Decomposition, box_size: f64) -> Self {
        let fft = Fft::new(d, Halo { lo: 0, hi: 2 }, Transform::Fast);
        DensityMeter { mesh: fft.mesh(), fft, box_size }
    }

    /// The mesh.
    pub fn decomposition(&self) -> &Decomposition {
        self.fft.decomposition()
    }

    /// Side of the box in Mpc/h.
    pub fn box_size(&self) -> f64 {
        self.box_size
    }

    /// *Unnormalised* forward modes of 1 + δ by CIC. `interlaced` takes the mean of two meshes half a cell apart, whose
    /// odd aliases cancel (Sefusatti et al. 2016). Zero where there are no points at all. Collective; every point is on
    /// its rank.
    pub fn modes(&mut self, points: Points<T>, interlaced: bool) -> Modes<T> {
        let d = self.fft.decomposition().clone();
        let [total, _] = points.weight_sums(&d.comm);
        let scale = if total > 0.0 { d.volume() as f64 / total } else { 0.0 };
        let mut modes = self.fft.modes();
        points.deposit(&mut self.mesh, &d, self.box_size, scale, 0.0);
        self.fft.forward(&mut self.mesh, &mut modes);
        if interlaced {
            let mut second = self.fft.modes();
            points.deposit(&mut self.mesh, &d, self.box_size, scale, 0.5);
            self.fft.forward(&mut self.mesh, &mut second);
            let (n, mut other) = (d.shape()[0] as f64, second.data().iter());
            modes.for_each(|k, mode| {
                // The second mesh stands half a cell further on: shift it back, and take the mean.
                let phase = PI * (k[0] + k[1] + k[2]) as f64 / n;
                if let Some(c) = other.next() {
                    let shifted = *c * Complex::new(T::of(phase.cos()), T::of(phase.sin()));
                    *mode = (*mode + shifted).scale(T::of(0.5));
                }
            });
        }
        modes
    }

    /// The real field of normalised modes, which it destroys: for filtered densities. Collective.
    pub fn inverse(&mut self, modes: &mut Modes<T>) -> &Mesh<T> {
        self.fft.inverse(modes, &mut self.mesh);
        &self.mesh
    }

    /// Poisson noise of the points' spectrum, V Σw²/(Σw)² in (Mpc/h)³: V/N for equal weights, 0 without points.
    /// Collective.
    pub fn shot_noise(&self, points: Points<T>) -> f64 {
        let [sum, squares] = points.weight_sums(&self.fft.decomposition().comm);
        if sum > 0.0 { self.box_size.powi(3) * squares / sum.powi(2) } else { 0.0 }
    }
}
