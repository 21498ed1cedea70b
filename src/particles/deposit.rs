//! Mass assignment: cloud in cell (Hockney & Eastwood 1981, §5-3).

use crate::mesh::{Decomposition, Mesh, Real};

/// The cell below a coordinate in mesh units, relative to a block's start, and the distance to it.
#[inline(always)]
pub(super) fn cell<T: Real>(x: T, n: usize, start: usize) -> (isize, T) {
    // Rounding may put a particle just below L onto the mesh's end: the last cell with distance one.
    let i = x.to_usize().unwrap_or(0).min(n - 1);
    (i as isize - start as isize, x - T::of(i as f64))
}

/// Deposits particles of `weight` each onto `mesh` (which is cleared first and needs one halo layer above), positions
/// shifted by `shift` cells along each axis (½ for the second mesh of an interlaced pair). The halo is added up across
/// ranks: collective. Every particle lies over this rank's block, before the shift.
pub fn deposit_cic<T: Real>(
    mesh: &mut Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    weight: f64,
    shift: f64,
) {
    mesh.fill(T::zero());
    let (n, start) = (d.shape(), mesh.block().start);
    let scale = T::of(n[0] as f64 / box_size);
    let (weight, shift) = (T::of(weight), T::of(shift));
    let stride = mesh.stride();
    let origin = mesh.index(0, 0, 0) as isize;
    let data = mesh.data_mut();
    for x in positions {
        let [(i, u), (j, v), (k, w)] = std::array::from_fn(|a| {
            let (i, f) = cell(x[a] * scale, n[a], start[a]);
            let f = f + shift;
            if f >= T::one() { (i + 1, f - T::one()) } else { (i, f) }
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
    mesh.add_halo(d);
}
