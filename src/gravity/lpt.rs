//! Initial conditions by Lagrangian perturbation theory: x = q + D1 ψ1 − D2 ψ2 (Bouchet et al. 1995; D2 ≈ −3/7 D1²).

use super::factors::Factors;
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Complex, Decomposition, Fft, Mesh, Modes, Real};
use crate::particles::{Particles, wrap};

/// Displacements at the lattice points of this rank's block, C order, for D1(1) = 1, in Mpc/h.
pub struct Displacements<T> {
    /// ψ1 = −∇∇⁻² δ.
    pub first: Vec<[T; 3]>,
    /// ψ2 = −∇∇⁻² Σ_{i<j} (φ,ii φ,jj − φ,ij²); empty at first order.
    pub second: Vec<[T; 3]>,
}

/// Displacements of order 1 or 2 from linear density modes at D = 1 (δ(x) = Σ δ_k exp(ik·x)).
pub fn displacements<T: Real>(
    fft: &mut Fft<T>,
    delta: &Modes<T>,
    box_size: f64,
    gradient: Gradient,
    order: usize,
) -> Displacements<T> {
    let shape = fft.decomposition().shape();
    let wave = Wavenumbers::new(shape, box_size, gradient);
    let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
    let mut phi = fft.modes();
    phi.data_mut().copy_from_slice(delta.data());
    wave.inverse_k2(&mut phi, 1.0);
    let first = gradient_of(fft, &wave, &phi, &mut modes, &mut mesh);
    if order < 2 {
        return Displacements { first, second: Vec::new() };
    }
    let mut hessian = |fft: &mut Fft<T>, i: usize, j: usize| {
        derive(&wave, &phi, &mut modes, |g| Complex::new(-g[i] * g[j], 0.0));
        fft.inverse(&mut modes, &mut mesh);
        mesh.to_vec()
    };
    let mut source = fft.mesh();
    let cells = source.to_vec().len();
    let mut sum = vec![T::zero(); cells];
    let diagonal: [Vec<T>; 3] = std::array::from_fn(|d| hessian(fft, d, d));
    for (i, j) in [(0, 1), (1, 2), (2, 0)] {
        let off = hessian(fft, i, j);
        for (c, s) in sum.iter_mut().enumerate() {
            *s += diagonal[i][c] * diagonal[j][c] - off[c] * off[c];
        }
    }
    drop(diagonal);
    let (len, mut rows) = (source.block().len, sum.chunks_exact(shape[2]));
    for i in 0..len[0] {
        for j in 0..len[1] {
            if let Some(row) = rows.next() {
                source.row_mut(i, j).copy_from_slice(row);
            }
        }
    }
    fft.forward(&mut source, &mut phi);
    wave.inverse_k2(&mut phi, 1.0 / fft.decomposition().volume() as f64);
    let second = gradient_of(fft, &wave, &phi, &mut modes, &mut source);
    Displacements { first, second }
}

/// How far and how fast the displacements have grown at one moment.
#[derive(Debug, Clone, Copy)]
pub struct LptGrowth {
    /// Growth of the first and second order, with D1(1) = 1 and D2 ≈ −3/7 D1².
    pub d: [f64; 2],
    /// a³E dD/da of both: the momentum per displacement.
    pub p: [f64; 2],
}

impl LptGrowth {
    /// Growth at scale factor `a`.
    pub fn at(factors: &Factors, a: f64) -> Self {
        let (g, speed) = (factors.growth, a.powi(3) * factors.cosmology.e(a));
        LptGrowth { d: [g.d1(a), g.d2(a)], p: [speed * g.d1_da(a), speed * g.d2_da(a)] }
    }
}

/// i g_d(k) φ_k for each axis, in real space.
fn gradient_of<T: Real>(
    fft: &mut Fft<T>,
    wave: &Wavenumbers,
    phi: &Modes<T>,
    modes: &mut Modes<T>,
    mesh: &mut Mesh<T>,
) -> Vec<[T; 3]> {
    let mut out = vec![[T::zero(); 3]; mesh.block().volume()];
    for d in 0..3 {
        derive(wave, phi, modes, |g| Complex::new(0.0, g[d]));
        fft.inverse(modes, mesh);
        for (o, x) in out.iter_mut().zip(mesh.to_vec()) {
            o[d] = x;
        }
    }
    out
}

/// `to` = factor(g) · `from`, with g the gradient factors of each mode.
fn derive<T: Real>(wave: &Wavenumbers, from: &Modes<T>, to: &mut Modes<T>, factor: impl Fn([f64; 3]) -> Complex<f64>) {
    to.data_mut().copy_from_slice(from.data());
    wave.rows(to, |[i0, i1], _, first, row| {
        for (mode, g2) in row.iter_mut().zip(&wave.g[2][first..]) {
            let f = factor([wave.g[0][i0], wave.g[1][i1], *g2]);
            *mode *= Complex::new(T::of(f.re), T::of(f.im));
        }
    });
}

/// Particles on the lattice q = i L/N of this rank's block, displaced and set in motion.
pub fn displaced_lattice<T: Real>(
    d: &Decomposition,
    psi: &Displacements<T>,
    box_size: f64,
    growth: LptGrowth,
) -> Particles<T> {
    let (block, shape) = (d.real(), d.shape());
    let ([x1, x2], [p1, p2]) = (growth.d.map(T::of), growth.p.map(T::of));
    let l = T::of(box_size);
    let mut particles =
        Particles { position: Vec::with_capacity(block.volume()), momentum: vec![], acceleration: vec![], id: vec![] };
    particles.momentum.reserve_exact(block.volume());
    particles.id.reserve_exact(block.volume());
    let mut c = 0;
    for i0 in block.start[0]..block.start[0] + block.len[0] {
        for i1 in block.start[1]..block.start[1] + block.len[1] {
            for i2 in 0..shape[2] {
                let q = [i0, i1, i2];
                let (s1, s2) = (psi.first[c], psi.second.get(c).copied().unwrap_or([T::zero(); 3]));
                particles.position.push(std::array::from_fn(|k| {
                    wrap(T::of(q[k] as f64 * box_size / shape[k] as f64) + x1 * s1[k] - x2 * s2[k], l)
                }));
                particles.momentum.push(std::array::from_fn(|k| p1 * s1[k] - p2 * s2[k]));
                particles.id.push(((i0 * shape[1] + i1) * shape[2] + i2) as u64);
                c += 1;
            }
        }
    }
    particles
}
