//! Initial conditions by Lagrangian perturbation theory up to third order.
//!
//! x = q + Σ D_n Ψ_n with, for D1(1) = 1 and S_ij = Ψ1_i,j:
//!
//! | n | ∇·Ψ_n (or curl) | D_n in an Einstein–de Sitter universe |
//! |---|---|---|
//! | 1 | −δ | a |
//! | 2 | G = ½ (S_ii S_jj − S_ij S_ij) | −3/7 a² |
//! | 3a | det S | −1/3 a³ |
//! | 3b | S_ii χ_jj − S_ij χ_ij with χ = ∇Ψ2 | 5/21 a³ |
//! | 3c | curl Ψ = W, W_i = ε_ijk S_lj χ_lk | −1/7 a³ |
//!
//! (Bouchet et al. 1995; Catelan 1995; the growth follows from expanding J ∇_x·ẍ = (3/2) Ωm (J − 1) and ∇_x × ẍ = 0,
//! see [`Growth`](crate::cosmology::Growth).) Every term is curl-free but the last.

use super::factors::Factors;
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Complex, Decomposition, Fft, Mesh, Modes, Real};
use crate::particles::{Particles, wrap};

/// Number of terms: first, second, and the three of third order.
const TERMS: usize = 5;

/// How far and how fast the terms have grown at one moment.
#[derive(Debug, Clone, Copy)]
pub struct LptGrowth {
    /// D_n: displacement per Ψ_n.
    pub d: [f64; TERMS],
    /// a³E dD_n/da: momentum per Ψ_n.
    pub p: [f64; TERMS],
}

impl LptGrowth {
    /// Growth at scale factor `a`.
    pub fn at(factors: &Factors, a: f64) -> Self {
        let (g, speed) = (factors.growth, a.powi(3) * factors.cosmology.e(a));
        let ([a3, b3, c3], [a3_da, b3_da, c3_da]) = (g.d3(a), g.d3_da(a));
        let d = [g.d1(a), g.d2(a), a3, b3, c3];
        LptGrowth { d, p: [g.d1_da(a), g.d2_da(a), a3_da, b3_da, c3_da].map(|slope| speed * slope) }
    }
}

/// Buffers of the lattice on which the terms are computed one after the other, and the particles they add up to.
struct Lattice<'a, T: Real> {
    fft: &'a mut Fft<T>,
    wave: Wavenumbers,
    mesh: Mesh<T>,
    modes: Modes<T>,
    particles: Particles<T>,
}

/// Particles on the lattice q = i L/N of this rank's block, displaced and set in motion to the given `order` (1, 2 or
/// 3), from linear density modes at D = 1 (δ(x) = Σ δ_k exp(ik·x)). `fft` has no halo. `keep` leaves Ψ1 and Ψ2 in
/// [`Particles::psi`]. Collective; the particles are not yet on the ranks they lie on.
pub fn lagrangian_particles<T: Real>(
    fft: &mut Fft<T>,
    delta: &Modes<T>,
    box_size: f64,
    gradient: Gradient,
    order: usize,
    growth: &LptGrowth,
    keep: bool,
) -> Particles<T> {
    let d = fft.decomposition().clone();
    let (count, (mesh, modes)) = (d.real().volume(), (fft.mesh(), fft.modes()));
    let zeros = || vec![[T::zero(); 3]; count];
    let psi = keep.then(|| [zeros(), zeros()]);
    let particles = Particles { position: zeros(), momentum: zeros(), psi, ..Default::default() };
    let wave = Wavenumbers::new(d.shape(), box_size, gradient);
    let mut lattice = Lattice { fft, wave, mesh, modes, particles };
    // φ = −∇⁻²δ, so that Ψ1 = ∇φ.
    let mut phi = lattice.fft.modes();
    phi.data_mut().copy_from_slice(delta.data());
    lattice.wave.inverse_k2(&mut phi, 1.0);
    lattice.add_gradient(&phi, &[0], growth);
    if order >= 2 {
        let second = lattice.second(&phi);
        lattice.add_gradient(&second, &[1], growth);
        if order >= 3 {
            lattice.third(phi, second, growth);
        }
    }
    let Lattice { mut particles, .. } = lattice;
    onto_lattice(&d, box_size, &mut particles);
    particles
}

impl<T: Real> Lattice<'_, T> {
    /// ∂_i ∂_j φ in real space, in the mesh.
    fn hessian(&mut self, phi: &Modes<T>, i: usize, j: usize) -> &[T] {
        self.modes.data_mut().copy_from_slice(phi.data());
        self.wave.derive(&mut self.modes, |g| Complex::new(-g[i] * g[j], 0.0));
        self.fft.inverse(&mut self.modes, &mut self.mesh);
        &self.mesh.data()[..self.particles.len()]
    }

    /// Modes of ∇⁻² of a real field.
    fn inverse_laplacian(&mut self, field: &[T]) -> Modes<T> {
        let mut modes = self.transform(field);
        self.wave.inverse_k2(&mut modes, -1.0);
        modes
    }

    /// Normalised modes of a real field.
    fn transform(&mut self, field: &[T]) -> Modes<T> {
        let mut modes = self.fft.modes();
        let scale = T::of(1.0 / self.fft.decomposition().volume() as f64);
        self.mesh.data_mut().iter_mut().zip(field).for_each(|(x, &f)| *x = scale * f);
        self.fft.forward(&mut self.mesh, &mut modes);
        modes
    }

    /// Adds the displacements ∇φ of `terms` with their growth.
    fn add_gradient(&mut self, phi: &Modes<T>, terms: &[usize], growth: &LptGrowth) {
        for axis in 0..3 {
            self.modes.data_mut().copy_from_slice(phi.data());
            self.wave.derive(&mut self.modes, |g| Complex::new(0.0, g[axis]));
            self.add_component(axis, terms, growth);
        }
    }

    /// Adds component `axis` of a displacement, whose modes stand in the buffer.
    fn add_component(&mut self, axis: usize, terms: &[usize], growth: &LptGrowth) {
        self.fft.inverse(&mut self.modes, &mut self.mesh);
        let sum = |of: &[f64; TERMS]| T::of(terms.iter().map(|&t| of[t]).sum());
        let (d, p) = (sum(&growth.d), sum(&growth.p));
        let Particles { position, momentum, psi, .. } = &mut self.particles;
        for ((x, v), &s) in position.iter_mut().zip(momentum).zip(self.mesh.data()) {
            x[axis] += d * s;
            v[axis] += p * s;
        }
        if let (Some(psi), [term @ 0..=1]) = (psi, terms) {
            psi[*term].iter_mut().zip(self.mesh.data()).for_each(|(psi, &s)| psi[axis] = s);
        }
    }

    /// ∇⁻² G, the potential of the second order.
    fn second(&mut self, phi: &Modes<T>) -> Modes<T> {
        let count = self.particles.len();
        let (mut sum, mut trace) = (vec![T::zero(); count], vec![T::zero(); count]);
        for i in 0..3 {
            // S00 S11 + (S00 + S11) S22, one diagonal element after the other.
            for ((g, t), &s) in sum.iter_mut().zip(&mut trace).zip(self.hessian(phi, i, i)) {
                *g += *t * s;
                *t += s;
            }
        }
        drop(trace);
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            sum.iter_mut().zip(self.hessian(phi, i, j)).for_each(|(g, &s)| *g -= s * s);
        }
        self.inverse_laplacian(&sum)
    }

    /// Adds the third order, from the potentials of the first and the second.
    fn third(&mut self, phi: Modes<T>, second: Modes<T>, growth: &LptGrowth) {
        let count = self.particles.len();
        let s: [Vec<T>; 6] = std::array::from_fn(|c| self.hessian(&phi, PAIRS[c].0, PAIRS[c].1).to_vec());
        drop(phi);
        let at = |i: usize, j: usize| &s[PAIRS.iter().position(|&p| p == (i.min(j), i.max(j))).unwrap_or(0)];
        let (mut q, mut w) = (vec![T::zero(); count], [const { Vec::new() }; 3]);
        w.iter_mut().for_each(|w| w.resize(count, T::zero()));
        for (a, b) in PAIRS {
            let chi = self.hessian(&second, a, b);
            // S_ii χ_jj − S_ij χ_ij: a diagonal element of χ meets the other two of S.
            for c in 0..count {
                q[c] += if a == b {
                    (at((a + 1) % 3, (a + 1) % 3)[c] + at((a + 2) % 3, (a + 2) % 3)[c]) * chi[c]
                } else {
                    -(at(a, b)[c] + at(a, b)[c]) * chi[c]
                };
            }
            let entries = [(a, b), (b, a)];
            for &(l, k) in if a == b { &entries[..1] } else { &entries[..] } {
                for (i, w) in w.iter_mut().enumerate().filter(|(i, _)| *i != k) {
                    let j = 3 - i - k;
                    let sign = if (i + 1) % 3 == j { T::one() } else { -T::one() };
                    for ((w, &s), &x) in w.iter_mut().zip(at(l, j)).zip(chi) {
                        *w += sign * s * x;
                    }
                }
            }
        }
        drop(second);
        let mut det = vec![T::zero(); count];
        for (c, det) in det.iter_mut().enumerate() {
            let [xx, xy, xz, yy, yz, zz] = std::array::from_fn(|i| s[i][c]);
            *det = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz);
        }
        drop(s);
        let potential = self.inverse_laplacian(&det);
        drop(det);
        self.add_gradient(&potential, &[2], growth);
        let potential = self.inverse_laplacian(&q);
        drop(q);
        self.add_gradient(&potential, &[3], growth);
        // ∇²Ψ = −curl W: Ψ_k = i k × W / k².
        let w = w.map(|w| {
            let mut modes = self.transform(&w);
            self.wave.inverse_k2(&mut modes, 1.0);
            modes
        });
        for axis in 0..3 {
            let (j, k) = ((axis + 1) % 3, (axis + 2) % 3);
            self.modes.data_mut().copy_from_slice(w[k].data());
            self.wave.derive(&mut self.modes, |g| Complex::new(0.0, g[j]));
            let mut other = self.fft.modes();
            other.data_mut().copy_from_slice(w[j].data());
            self.wave.derive(&mut other, |g| Complex::new(0.0, g[k]));
            self.modes.data_mut().iter_mut().zip(other.data()).for_each(|(a, b)| *a -= *b);
            self.add_component(axis, &[4], growth);
        }
    }
}

/// The six elements of a symmetric 3 × 3 matrix.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

/// Displacements become positions, and every particle gets its identity.
fn onto_lattice<T: Real>(d: &Decomposition, box_size: f64, particles: &mut Particles<T>) {
    let (block, shape) = (d.real(), d.shape());
    let l = T::of(box_size);
    particles.id.reserve_exact(block.volume());
    let rows = (block.start[0]..block.start[0] + block.len[0])
        .flat_map(|i0| (block.start[1]..block.start[1] + block.len[1]).map(move |i1| (i0, i1)));
    let mut positions = particles.position.iter_mut();
    for (i0, i1) in rows {
        for (i2, x) in (0..shape[2]).zip(&mut positions) {
            let q = [i0, i1, i2];
            *x = std::array::from_fn(|k| wrap(T::of(q[k] as f64 * box_size / shape[k] as f64) + x[k], l));
            particles.id.push(((i0 * shape[1] + i1) * shape[2] + i2) as u64);
        }
    }
}
