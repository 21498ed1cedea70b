//! Multiple-plane ray tracing.

use super::{LensPlane, LensingMaps, Planes, Sources, Traced, gather_rows, my_rows};

/// A light ray traced back from the observer: angular position β, direction n behind the last plane, and their
/// derivatives by the image position θ (11, 12, 21, 22).
#[derive(Clone)]
struct Ray {
    beta: [f64; 2],
    direction: [f64; 2],
    jacobian: [f64; 4],
    turning: [f64; 4],
    /// β and its Jacobian averaged over each bin's sources met so far.
    seen: Vec<[f64; 6]>,
}

impl Ray {
    fn new(theta: [f64; 2], bins: usize) -> Self {
        let unit = [1.0, 0.0, 0.0, 1.0];
        Ray { beta: theta, direction: theta, jacobian: unit, turning: unit, seen: vec![[0.0; 6]; bins] }
    }

    /// n −= α(β), dn/dθ −= U(β) A.
    fn deflect(&mut self, lens: &LensPlane) {
        let [a1, a2, u11, u22, u12] = lens.at(self.beta);
        self.direction[0] -= a1;
        self.direction[1] -= a2;
        let [j11, j12, j21, j22] = self.jacobian;
        let change = [u11 * j11 + u12 * j21, u11 * j12 + u12 * j22, u12 * j11 + u22 * j21, u12 * j12 + u22 * j22];
        self.turning.iter_mut().zip(change).for_each(|(t, c)| *t -= c);
    }

    /// `at` × where the ray is plus `along` × where it goes: β and its Jacobian.
    fn mix(&self, [at, along]: [f64; 2]) -> [f64; 6] {
        let here = self.beta.iter().chain(&self.jacobian);
        let mut ahead = here.zip(self.direction.iter().chain(&self.turning)).map(|(x, n)| at * x + along * n);
        std::array::from_fn(|_| ahead.next().unwrap_or(0.0))
    }

    /// Adds the sources up to the next plane, each bin with its own coefficients.
    fn meet(&mut self, coefficients: &[[f64; 2]]) {
        for (bin, c) in coefficients.iter().enumerate() {
            let met = self.mix(*c);
            self.seen[bin].iter_mut().zip(met).for_each(|(sum, x)| *sum += x);
        }
    }

    /// On to the next plane.
    fn travel(&mut self, coefficients: [f64; 2]) {
        let [b1, b2, a11, a12, a21, a22] = self.mix(coefficients);
        (self.beta, self.jacobian) = ([b1, b2], [a11, a12, a21, a22]);
    }
}

/// Convergence, shear, rotation and source positions of every bin by multiple-plane ray tracing, on the root. Between
/// planes light is straight in comoving coordinates, on each it turns:
///
/// χ_{k+1} β_{k+1} = χ_k β_k + (χ_{k+1} − χ_k) n_k,   n_k = n_{k−1} − α_k(β_k),   α_k = ∇ψ_k,   ∇²ψ_k = 2 σ_k
///
/// and its derivative by θ, with dn_k/dθ = dn_{k−1}/dθ − U_k A_k, is that of the Jacobian A: with n eliminated these are
/// the recursions of Hilbert et al. 2009 (A&A 499, 31; eqs 14–19). σ_k = 3/2 Ωm (H0/c)² Σ_δ χ_k/a_k. Each rank traces
/// the rays of some rows; the planes' fields are found by as many ranks at a time. Collective.
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
            let next = slices.get(k + 1).map(|s| s.chi);
            let met = between(chi, next.unwrap_or(f64::INFINITY));
            let on = next.map(|next| [chi / next, 1.0 - chi / next]);
            for ray in &mut rays {
                ray.deflect(&lens);
                ray.meet(&met);
                on.into_iter().for_each(|on| ray.travel(on));
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
