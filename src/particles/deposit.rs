//! Mass assignment onto the mesh.

use super::assignment::{Assignment, Cic, Tsc, Weights, cell};
use crate::mesh::{Decomposition, Mesh, Real};

/// Deposits particles of `weight` each onto `mesh` (which is cleared first and has at least [`Assignment::halo`]),
/// positions shifted by `shift` cells along each axis (½ for the second mesh of an interlaced pair, at most ½). The
/// halo is added up across ranks: collective. Every particle lies over this rank's block, before the shift.
pub fn deposit<T: Real>(
    assignment: Assignment,
    mesh: &mut Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    weight: f64,
    shift: f64,
) {
    mesh.fill(T::zero());
    debug_assert!(mesh.halo().lo >= assignment.halo().lo && mesh.halo().hi + 1 >= assignment.halo().hi);
    match assignment {
        Assignment::Cic => add_cic(mesh, d, positions, box_size, weight, shift),
        Assignment::Tsc => add::<T, Tsc, 3>(mesh, d, positions, box_size, weight, shift),
    }
    mesh.add_halo(d);
}

/// [`deposit`] with [`Assignment::Cic`].
pub fn deposit_cic<T: Real>(
    mesh: &mut Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    weight: f64,
    shift: f64,
) {
    deposit(Assignment::Cic, mesh, d, positions, box_size, weight, shift);
}

/// Any scheme of P points per axis.
fn add<T: Real, W: Weights<T, P>, const P: usize>(
    mesh: &mut Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    weight: f64,
    shift: f64,
) {
    let (n, start, stride) = (d.shape(), mesh.block().start, mesh.stride());
    let scale = T::of(n[0] as f64 / box_size);
    let (weight, shift) = (T::of(weight), T::of(shift));
    let origin = mesh.index(0, 0, 0) as isize;
    let data = mesh.data_mut();
    for x in positions {
        let [(i, wi), (j, wj), (k, wk)] = std::array::from_fn(|a| {
            let (i, f) = cell(x[a] * scale, n[a], start[a]);
            W::weights(i, f + shift)
        });
        let at = (origin + i * stride[0] as isize + j * stride[1] as isize + k) as usize;
        for (a, wi) in wi.into_iter().enumerate() {
            for (b, wj) in wj.into_iter().enumerate() {
                let row = at + a * stride[0] + b * stride[1];
                let q = weight * wi * wj;
                data[row..row + P].iter_mut().zip(wk).for_each(|(point, w)| *point += q * w);
            }
        }
    }
}

/// Cloud in cell, the hot path of every step.
fn add_cic<T: Real>(
    mesh: &mut Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    weight: f64,
    shift: f64,
) {
    let (n, start) = (d.shape(), mesh.block().start);
    let scale = T::of(n[0] as f64 / box_size);
    let (weight, shift) = (T::of(weight), T::of(shift));
    let stride = mesh.stride();
    let origin = mesh.index(0, 0, 0) as isize;
    let data = mesh.data_mut();
    for x in positions {
        let [(i, [_, u]), (j, [_, v]), (k, [_, w])] = std::array::from_fn(|a| {
            let (i, f) = cell(x[a] * scale, n[a], start[a]);
            Cic::weights(i, f + shift)
        });
        let at = (origin + i * stride[0] as isize + j * stride[1] as isize + k) as usize;
        let (u0, v0, w0) = (weight * (T::one() - u), T::one() - v, T::one() - w);
        let u1 = weight * u;
        for (row, q) in
            [(at, u0 * v0), (at + stride[1], u0 * v), (at + stride[0], u1 * v0), (at + stride[0] + stride[1], u1 * v)]
        {
            let pair = &mut data[row..row + 2];
            pair[0] += q * w0;
            pair[1] += q * w;
        }
    }
}
