//! Interpolation to particles, the adjoint of the deposit: of a field, and of a potential's gradient taken in real
//! space.

use super::assignment::{Assignment, Cic, Tsc, Weights, cell};
use crate::mesh::{Decomposition, Halo, Mesh, Real};

/// Elements of a row that the CIC kernel reads at once: offsets −2 … 3, and two more to fill a vector.
const WIDTH: usize = 8;

/// Layers that [`interpolate_gradient`] reads around the block: two more than the assignment on either side.
pub fn gradient_halo(assignment: Assignment) -> Halo {
    match assignment {
        Assignment::Cic => Halo { lo: 2, hi: 3 },
        Assignment::Tsc => Halo { lo: 3, hi: 4 },
    }
}

/// −∇φ at each position by the four-point difference (8 [φ(+h) − φ(−h)] − [φ(+2h) − φ(−2h)]) / 12h at the mesh points,
/// interpolated with the assignment's weights; identical to FastPM's kernel `1_4` followed by a read-out of three force
/// meshes, at one inverse transform instead of three. `mesh` holds φ with a filled [`gradient_halo`]; every position
/// lies over this rank's block.
pub fn interpolate_gradient<T: Real>(
    assignment: Assignment,
    mesh: &Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    out: &mut Vec<[T; 3]>,
) {
    out.clear();
    out.reserve_exact(positions.len());
    match assignment {
        Assignment::Cic => gradient_cic(mesh, d, positions, box_size, out),
        Assignment::Tsc => gradient_tsc(mesh, d, positions, box_size, out),
    }
}

/// The mesh's value at each position, interpolated with the assignment's weights and written to component `component`
/// of `out`, which is as long as `positions`. The halo of a deposit is filled.
pub fn interpolate<T: Real>(
    assignment: Assignment,
    mesh: &Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    component: usize,
    out: &mut [[T; 3]],
) {
    match assignment {
        Assignment::Cic => values::<T, Cic, 2>(mesh, d, positions, box_size, component, out),
        Assignment::Tsc => values::<T, Tsc, 3>(mesh, d, positions, box_size, component, out),
    }
}

fn values<T: Real, W: Weights<T, P>, const P: usize>(
    mesh: &Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    component: usize,
    out: &mut [[T; 3]],
) {
    let (n, start, stride) = (d.shape(), mesh.block().start, mesh.stride());
    let scale = T::of(n[0] as f64 / box_size);
    let (origin, data) = (mesh.index(0, 0, 0) as isize, mesh.data());
    for (x, out) in positions.iter().zip(out) {
        let [(i, wi), (j, wj), (k, wk)] = std::array::from_fn(|a| {
            let (i, f) = cell(x[a] * scale, n[a], start[a]);
            W::weights(i, f)
        });
        let at = (origin + i * stride[0] as isize + j * stride[1] as isize + k) as usize;
        let mut sum = T::zero();
        for (a, wi) in wi.into_iter().enumerate() {
            for (b, wj) in wj.into_iter().enumerate() {
                let row = at + a * stride[0] + b * stride[1];
                let line = data[row..row + P].iter().zip(wk).map(|(&x, w)| w * x);
                sum += wi * wj * line.fold(T::zero(), |a, b| a + b);
            }
        }
        out[component] = sum;
    }
}

/// Differences of the potential's points −2 … 4 around the first of three, weighted as TSC weights those three.
fn gradient_tsc<T: Real>(
    mesh: &Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    out: &mut Vec<[T; 3]>,
) {
    let (n, start, stride) = (d.shape(), mesh.block().start, mesh.stride());
    let scale = T::of(n[0] as f64 / box_size);
    let inverse = T::of(-(n[0] as f64) / box_size / 12.0);
    let (origin, data) = (mesh.index(0, 0, 0) as isize, mesh.data());
    let stencil = [T::one(), T::of(-8.0), T::zero(), T::of(8.0), -T::one()];
    let difference = |w: &[T; 3]| -> [T; 7] {
        let mut seven = [T::zero(); 7];
        for (a, &w) in w.iter().enumerate() {
            stencil.iter().zip(&mut seven[a..]).for_each(|(&s, d)| *d += s * w);
        }
        seven
    };
    let centred = |w: &[T; 3]| [T::zero(), T::zero(), w[0], w[1], w[2], T::zero(), T::zero()];
    for x in positions {
        let [(i, wi), (j, wj), (k, wk)] = std::array::from_fn(|a| {
            let (i, f) = cell(x[a] * scale, n[a], start[a]);
            Tsc::weights(i, f)
        });
        let at = (origin + (i - 2) * stride[0] as isize + (j - 2) * stride[1] as isize + k - 2) as usize;
        let (ci, cj, ck) = (centred(&wi), centred(&wj), centred(&wk));
        let (di, dj, dk) = (difference(&wi), difference(&wj), difference(&wk));
        let mut g = [T::zero(); 3];
        for a in 0..7 {
            for b in 0..7 {
                let centre = |i: usize| (2..5).contains(&i);
                if !centre(a) && !centre(b) {
                    continue;
                }
                let row = &data[at + a * stride[0] + b * stride[1]..][..7];
                let dot = |w: &[T; 7]| row.iter().zip(w).map(|(&x, &w)| w * x).fold(T::zero(), |a, b| a + b);
                let plain = dot(&ck);
                g[0] += di[a] * cj[b] * plain;
                g[1] += ci[a] * dj[b] * plain;
                if centre(a) && centre(b) {
                    g[2] += ci[a] * cj[b] * dot(&dk);
                }
            }
        }
        out.push(g.map(|g| inverse * g));
    }
}

/// Cloud in cell, the hot path of every step.
fn gradient_cic<T: Real>(
    mesh: &Mesh<T>,
    d: &Decomposition,
    positions: &[[T; 3]],
    box_size: f64,
    out: &mut Vec<[T; 3]>,
) {
    let (n, start, stride) = (d.shape(), mesh.block().start, mesh.stride());
    debug_assert!(mesh.halo().lo >= 2 && mesh.halo().hi >= 3);
    let scale = T::of(n[0] as f64 / box_size);
    let inverse = T::of(n[0] as f64 / box_size / 12.0);
    let origin = mesh.index(0, 0, -2) as isize;
    let data = mesh.data();
    let (eight, one) = (T::of(8.0), T::one());
    for x in positions {
        let [(i, u), (j, v), (k, w)] = std::array::from_fn(|a| cell(x[a] * scale, n[a], start[a]));
        // The difference at cell ends 0 and 1, weighted 1−f and f: six weights for offsets −2 … 3.
        let six = |f: T| {
            let e = one - f;
            [e, f - eight * e, -eight * f, eight * e, eight * f - e, -f]
        };
        let (du, dv, dw) = (six(u), six(v), six(w));
        let (cu, cv) = ([one - u, u], [one - v, v]);
        let base = origin + i * stride[0] as isize + j * stride[1] as isize + k;
        let row = |a: isize, b: isize| -> &[T; WIDTH] {
            let at = (base + a * stride[0] as isize + b * stride[1] as isize) as usize;
            data[at..at + WIDTH].try_into().expect("WIDTH elements")
        };
        let mut sum = [[T::zero(); WIDTH]; 3];
        let mut add = |axis: usize, q: T, row: &[T; WIDTH]| {
            for (s, &r) in sum[axis].iter_mut().zip(row) {
                *s += q * r;
            }
        };
        for a in 0..6 {
            for b in 0..2 {
                let r = row(a as isize - 2, b as isize);
                add(0, du[a] * cv[b], r);
                if a == 2 || a == 3 {
                    add(1, cu[a - 2] * dv[b + 2], r);
                    add(2, cu[a - 2] * cv[b], r);
                }
            }
        }
        for b in [0, 1, 4, 5] {
            add(1, cu[0] * dv[b], row(0, b as isize - 2));
            add(1, cu[1] * dv[b], row(1, b as isize - 2));
        }
        // CIC along axis 2 reads offsets 0 and 1, which stand at 2 and 3.
        let cic = |s: &[T; WIDTH]| (one - w) * s[2] + w * s[3];
        let difference = (0..6).map(|c| dw[c] * sum[2][c]).fold(T::zero(), |a, b| a + b);
        out.push([-inverse * cic(&sum[0]), -inverse * cic(&sum[1]), -inverse * difference]);
    }
}
