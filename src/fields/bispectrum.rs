//! The bispectrum by fast Fourier transforms (Scoccimarro 2000, 2015; Watkinson et al. 2017).
//!
//! ⟨δ_k1 δ_k2 δ_k3⟩ = V⁻² B(k1, k2, k3) for k1 + k2 + k3 = 0, in the convention of [`crate::mesh`]. With the fields
//! filtered to shells, D_b(x) = Σ_{k∈b} δ_k exp(ik·x), a sum over points keeps just the closed triangles:
//!
//! B = V² Σ_x D_1 D_2 D_3 / Σ_x I_1 I_2 I_3,
//!
//! I_b being the same of ones: N⁻³ Σ_x I_1 I_2 I_3 is the number of triangles. At most three such fields are held at a
//! time.

use super::kernels::assignment_window;
use super::shells::Shells;
use crate::error::{Error, Result};
use crate::mesh::{Complex, Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};

/// A list of triangles of shells over one mesh, counted once.
pub struct Triangles {
    shells: Shells,
    list: Vec<[usize; 3]>,
    count: Vec<u64>,
    d: Decomposition,
    box_size: f64,
}

/// A measured bispectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Bispectrum {
    /// Mean wavenumbers of the shells of each triangle in h/Mpc.
    pub k: Vec<[f64; 3]>,
    /// B in (Mpc/h)⁶.
    pub bispectrum: Vec<f64>,
    /// Q = B / (P_1 P_2 + P_2 P_3 + P_3 P_1).
    pub reduced: Vec<f64>,
    /// P of the shells of each triangle in (Mpc/h)³.
    pub power: Vec<[f64; 3]>,
    /// Triangles (k1, k2, k3) of modes of the full space, each order of equal shells counted: an exact integer.
    pub triangles: Vec<u64>,
}

impl Triangles {
    /// Counts the triangles of `list` (shells in any order) on the mesh of `d`, in double precision, so that the counts
    /// are exact. Collective.
    pub fn new(d: &Decomposition, box_size: f64, shells: Shells, list: Vec<[usize; 3]>) -> Result<Self> {
        if let Some(bad) = list.iter().find(|t| !Shells::close(**t) || t.iter().any(|&b| b >= shells.count())) {
            return Err(Error::input("three such wavenumbers close no triangle below k_max")
                .key("simulator.bispectrum.triangles")
                .value(bad.map(|b| shells.middle(b)))
                .remedy("the longest side is at most the sum of the two others"));
        }
        let mut all = Triangles { shells, list, count: vec![], d: d.clone(), box_size };
        all.count = all.unity().into_iter().map(|n| n.round() as u64).collect();
        Ok(all)
    }

    /// The shells.
    pub fn shells(&self) -> &Shells {
        &self.shells
    }

    /// Shells of each triangle.
    pub fn list(&self) -> &[[usize; 3]] {
        &self.list
    }

    /// Triangles of modes in each.
    pub fn count(&self) -> &[u64] {
        &self.count
    }

    fn unity(&self) -> Vec<f64> {
        let products: Vec<_> = self.list.iter().map(|t| t.map(|b| (b, ()))).collect();
        self.sums::<f64, ()>(&products, |_, (), _, _| Complex::new(1.0, 0.0))
    }

    /// N⁻³ Σ_x of each product of three fields, a field being named by its shell and a key: `mode(i, key, n, |n|²)` is
    /// the i-th mode of this rank of the field with that key.
    fn sums<T: Real, K: Copy + PartialEq>(
        &self,
        products: &[[(usize, K); 3]],
        mode: impl Fn(usize, K, [i64; 3], i64) -> Complex<T>,
    ) -> Vec<f64> {
        let mut fft = Fft::<T>::new(&self.d, Halo::default(), Transform::Fast);
        let mut modes = fft.modes();
        let mut held: Vec<((usize, K), Mesh<T>)> = Vec::with_capacity(3);
        let mut sums = Vec::with_capacity(products.len());
        for product in products {
            held.retain(|(name, _)| product.contains(name));
            for &(shell, key) in product {
                if held.iter().any(|(name, _)| *name == (shell, key)) {
                    continue;
                }
                let mut i = 0;
                modes.for_each(|n, c| {
                    let m2 = n.iter().map(|i| i * i).sum();
                    let inside = self.shells.of(m2) == Some(shell);
                    *c = if inside { mode(i, key, n, m2) } else { Complex::new(T::zero(), T::zero()) };
                    i += 1;
                });
                let mut mesh = fft.mesh();
                fft.inverse(&mut modes, &mut mesh);
                held.push(((shell, key), mesh));
            }
            let fields = product.map(|name| held.iter().find(|(n, _)| *n == name).map(|(_, mesh)| mesh));
            let sum = if let [Some(a), Some(b), Some(c)] = fields { sum_of_products(a, b, c) } else { 0.0 };
            sums.push(sum / self.d.volume() as f64);
        }
        self.d.comm.sum(&mut sums);
        sums
    }

    /// The bispectrum of *unnormalised* forward modes of 1 + δ, the assignment window of the given order divided out.
    /// Of Poisson points with `shot_noise` s = V/N, s (P_1 + P_2 + P_3) + s² is subtracted from B and s from P
    /// (Matarrese, Verde & Heavens 1997). Collective.
    pub fn measure<T: Real>(&self, modes: &mut Modes<T>, window: i32, shot_noise: f64) -> Bispectrum {
        let n = self.d.shape()[0];
        let norm = 1.0 / self.d.volume() as f64;
        let inverse_window: Vec<f64> = (0..=n as i64 / 2).map(|i| 1.0 / assignment_window(window, i, n)).collect();
        let factor = |m: [i64; 3]| norm * m.iter().map(|i| inverse_window[i.unsigned_abs() as usize]).product::<f64>();
        let (k, power) = self.shell_means(modes, |m, c| c.norm_sqr() * factor(m).powi(2));
        let volume = self.box_size.powi(3);
        let power: Vec<f64> = power.into_iter().map(|p| volume * p - shot_noise).collect();
        let products: Vec<_> = self.list.iter().map(|t| t.map(|b| (b, ()))).collect();
        let data = modes.data();
        let sums = self.sums::<T, ()>(&products, |i, (), m, _| data[i].scale(T::of(factor(m))));
        let of = |values: &[f64]| -> Vec<[f64; 3]> { self.list.iter().map(|t| t.map(|b| values[b])).collect() };
        let (k, power) = (of(&k), of(&power));
        let noise = |[p, q, r]: [f64; 3]| shot_noise * (p + q + r) + shot_noise.powi(2);
        let bispectrum: Vec<f64> = (sums.iter().zip(&self.count).zip(&power))
            .map(|((s, &count), &p)| volume.powi(2) * s / count.max(1) as f64 - noise(p))
            .collect();
        let reduced = bispectrum.iter().zip(&power).map(|(b, [p, q, r])| b / (p * q + q * r + r * p)).collect();
        Bispectrum { k, bispectrum, reduced, power, triangles: self.count.clone() }
    }

    /// The mean over the very same triangles of the template α(k1) α(k2) β(k3) + α(k1) β(k2) α(k3) + β(k1) α(k2) α(k3),
    /// which is separable and so costs three such sums: no error is made by evaluating it at the shells' middles. With
    /// α = P and β = 2c it is the tree-level bispectrum of g + c (g² − ⟨g²⟩). Collective.
    pub fn template(&self, alpha: impl Fn(f64) -> f64, beta: impl Fn(f64) -> f64) -> Vec<f64> {
        let keys = [[true, true, false], [true, false, true], [false, true, true]];
        let products: Vec<[(usize, bool); 3]> =
            (self.list.iter()).flat_map(|t| keys.map(|key| [(t[0], key[0]), (t[1], key[1]), (t[2], key[2])])).collect();
        let sums = self.sums::<f64, bool>(&products, |_, is_alpha, _, m2| {
            let k = self.shells.k(m2);
            Complex::new(if is_alpha { alpha(k) } else { beta(k) }, 0.0)
        });
        let sums = sums.chunks_exact(3).map(|three| three.iter().sum::<f64>());
        sums.zip(&self.count).map(|(s, &count)| s / count.max(1) as f64).collect()
    }

    /// Variance of B in a Gaussian universe, s V P_1 P_2 P_3 / N (Scoccimarro 2000): s = 6, 2 or 1 for three, two or no
    /// equal shells. `power` includes what shot noise there is.
    pub fn gaussian_variance(&self, power: impl Fn(usize) -> f64) -> Vec<f64> {
        let one = |(t, &count): (&[usize; 3], &u64)| {
            let equal = [t[0] == t[1], t[1] == t[2], t[2] == t[0]].iter().filter(|e| **e).count();
            let symmetry = [1.0, 2.0, 6.0, 6.0][equal];
            symmetry * self.box_size.powi(3) * t.iter().map(|&b| power(b)).product::<f64>() / count.max(1) as f64
        };
        self.list.iter().zip(&self.count).map(one).collect()
    }

    /// Mean |k| in h/Mpc and mean of `value` in every shell.
    fn shell_means<T: Real>(
        &self,
        modes: &mut Modes<T>,
        value: impl Fn([i64; 3], Complex<f64>) -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let mut sums = vec![[0f64; 3]; self.shells.count()];
        let n = self.d.shape()[2] as i64;
        modes.for_each(|m, c| {
            let m2 = m.iter().map(|i| i * i).sum();
            let Some(shell) = self.shells.of(m2) else { return };
            let weight = if m[2] == 0 || 2 * m[2] == n { 1.0 } else { 2.0 };
            let values = [1.0, self.shells.k(m2), value(m, Complex::new(c.re.f64(), c.im.f64()))];
            sums[shell].iter_mut().zip(values).for_each(|(s, v)| *s += weight * v);
        });
        self.d.comm.sum(sums.as_flattened_mut());
        sums.iter().map(|s| (s[1] / s[0], s[2] / s[0])).unzip()
    }
}

fn sum_of_products<T: Real>(a: &Mesh<T>, b: &Mesh<T>, c: &Mesh<T>) -> f64 {
    let len = a.block().len;
    let rows = (0..len[0]).flat_map(|i| (0..len[1]).map(move |j| (i, j)));
    let row = |(i, j)| -> f64 {
        let pairs = a.row(i, j).iter().zip(b.row(i, j)).zip(c.row(i, j));
        pairs.map(|((a, b), c)| a.f64() * b.f64() * c.f64()).sum()
    };
    rows.map(row).sum()
}
