//! Multiple-plane ray tracing.

use super::{LensPlane, LensingMaps, Planes, Sources, Traced, gather_rows, my_rows};

/// A light ray traced back from the observer. Behind a plane it is at β = p + q f_K'/f_K: p, q, and their derivatives
/// by the image position θ (11, 12, 21, 22).
#[derive(Clone)]
struct Ray {
    p: [f64; 6],
    q: [f64; 6],
    /// β and its Jacobian averaged over each bin's sources met so far.
    seen: Vec<[f64; 6]>,
}

impl Ray {
    fn new([x, y]: [f64; 2], bins: usize) -> Self {
        Ray { p: [x, y, 1.0, 0.0, 0.0, 1.0], q: [0.0; 6], seen: vec![[0.0; 6]; bins] }
    }

    /// β and its Jacobian where f_K'/f_K is `cotangent`.
    fn at(&self, cotangent: f64) -> [f64; 6] {
        std::array::from_fn(|i| self.p[i] + self.q[i] * cotangent)
    }

    /// Turns by α(β), and the derivative by U(β) A, on a plane where f_K is `across` and its slope `slope`.
    fn deflect(&mut self, lens: &LensPlane, across: f64, slope: f64) {
        let [b1, b2, j11, j12, j21, j22] = self.at(slope / across);
        let [a1, a2, u11, u22, u12] = lens.at([b1, b2]);
        let turns =
            [a1, a2, u11 * j11 + u12 * j21, u11 * j12 + u12 * j22, u12 * j11 + u22 * j21, u12 * j12 + u22 * j22];
        for (i, turn) in turns.into_iter().enumerate() {
            self.p[i] -= slope * turn;
            self.q[i] += across * turn;
        }
    }

    /// Adds the sources up to the next plane: of each bin their number and the sum of their f_K'/f_K.
    fn meet(&mut self, sources: &[[f64; 2]]) {
        for (seen, [n, cotangents]) in self.seen.iter_mut().zip(sources) {
            for (i, sum) in seen.iter_mut().enumerate() {
                *sum += n * self.p[i] + cotangents * self.q[i];
            }
        }
    }
}

/// Convergence, shear, rotation and source positions of every bin by multiple-plane ray tracing, on the root. A source
/// at χ is seen at θ and stands at
///
/// β(χ) = θ − Σ_k f_K(χ − χ_k)/f_K(χ) α_k(β_k) over the planes before it,   α_k = ∇ψ_k,   ∇²ψ_k = 2 σ_k
///
/// with the Jacobian A(χ) = 1 − Σ_k f_K(χ − χ_k)/f_K(χ) U_k A_k and σ_k = 3/2 Ωm (H0/c)² Σ_δ f_K(χ_k)/a_k (Jain, Seljak
/// & White 2000, ApJ 530, 547; Hilbert et al. 2009, A&A 499, 31, whose eqs 14–19 are the same sums from plane to
/// plane). As f_K(χ − χ_k) = f_K(χ) f_K'(χ_k) − f_K'(χ) f_K(χ_k), two running sums do for all distances. Each rank
/// traces the rays of some rows; the planes' fields are found by as many ranks at a time. Collective.
pub fn raytrace(planes: &Planes, sources: &Sources) -> LensingMaps {
    let (comm, cone) = (&planes.comm, planes.cone());
    let (n, slices) = (cone.pixels, &cone.slices);
    let (first, rows) = my_rows(comm, n);
    let pixels = (first * n..(first + rows) * n).map(|p| [cone.angle(p / n), cone.angle(p % n)]);
    let mut rays: Vec<Ray> = pixels.map(|theta| Ray::new(theta, sources.bins())).collect();
    let between = |from: f64, to: f64| (0..sources.bins()).map(|b| sources.between(b, from, to)).collect::<Vec<_>>();
    let nearest = between(0.0, slices[0].chi);
    rays.iter_mut().for_each(|ray| ray.meet(&nearest));

    let mut solver = LensPlane::solver(n);
    for round in (0..slices.len()).step_by(comm.size()) {
        let mine = planes.held_in(round).map(|(k, map)| {
            let sigma: Vec<f64> = map.iter().map(|s| slices[k].strength * s).collect();
            LensPlane::new(&mut solver, &sigma, n, cone.pixel())
        });
        let mine = mine.unwrap_or_else(|| LensPlane::empty(n, cone.pixel()));
        for k in round..(round + comm.size()).min(slices.len()) {
            let lens = planes.share(k, &mine);
            let chi = slices[k].chi;
            let met = between(chi, slices.get(k + 1).map_or(f64::INFINITY, |next| next.chi));
            let (across, slope) = (cone.cosmology.transverse_distance(chi), cone.cosmology.transverse_slope(chi));
            for ray in &mut rays {
                ray.deflect(&lens, across, slope);
                ray.meet(&met);
            }
        }
    }
    maps(planes, sources.bins(), &rays)
}

/// κ, γ, ω and β of this rank's rays, gathered.
fn maps(planes: &Planes, bins: usize, rays: &[Ray]) -> LensingMaps {
    let gather = |f: &dyn Fn(&[f64; 6]) -> f64| {
        let rows: Vec<Vec<f64>> = (0..bins).map(|b| rays.iter().map(|ray| f(&ray.seen[b])).collect()).collect();
        gather_rows(&planes.comm, rows.iter().map(Vec::as_slice))
    };
    LensingMaps {
        kappa: gather(&|[_, _, a11, _, _, a22]| 1.0 - 0.5 * (a11 + a22)),
        traced: Some(Traced {
            gamma: [
                gather(&|[_, _, a11, _, _, a22]| 0.5 * (a22 - a11)),
                gather(&|[_, _, _, a12, a21, _]| -0.5 * (a12 + a21)),
            ],
            omega: gather(&|[_, _, _, a12, a21, _]| 0.5 * (a21 - a12)),
            beta: [gather(&|seen| seen[0]), gather(&|seen| seen[1])],
        }),
    }
}
