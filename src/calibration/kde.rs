//! Kernel density estimates in one and two dimensions: Gaussian kernels on a grid, reflected at the prior's bounds.

/// A density on a regular grid.
#[derive(Debug, Clone)]
pub struct Kde {
    /// First grid point.
    pub start: f64,
    /// Spacing.
    pub step: f64,
    /// Density at the grid points.
    pub density: Vec<f64>,
}

impl Kde {
    /// Estimate on `points` grid points over the draws' range, never outside `bounds`; bandwidth by Silverman's rule.
    pub fn new(draws: &[f64], bounds: (f64, f64), points: usize) -> Kde {
        let h = bandwidth(draws, 0.2);
        let (start, end) = range(draws, h, bounds);
        let step = (end - start) / (points - 1) as f64;
        let mut density = vec![0.0; points];
        for t in draws {
            let (i, f) = cell(*t, start, step, points);
            density[i] += 1.0 - f;
            density[i + 1] += f;
        }
        smooth(&mut density, points, 1, 1, h / step, reflects(start, end, bounds));
        let total: f64 = density.iter().sum::<f64>() * step;
        density.iter_mut().for_each(|d| *d /= total);
        Kde { start, step, density }
    }

    /// Density at `t` by linear interpolation.
    pub fn at(&self, t: f64) -> f64 {
        let (i, f) = cell(t, self.start, self.step, self.density.len());
        self.density[i] * (1.0 - f) + self.density[i + 1] * f
    }
}

/// A density on a regular grid in the plane, `density[j * nx + i]` at (x_i, y_j), normalised to sum 1.
#[derive(Debug, Clone)]
pub struct Kde2 {
    /// First grid points.
    pub start: [f64; 2],
    /// Spacings.
    pub step: [f64; 2],
    /// Points per axis.
    pub points: usize,
    /// Density (points, points).
    pub density: Vec<f64>,
}

impl Kde2 {
    /// Estimate from draws (x, y), as in [`Kde::new`].
    pub fn new(x: &[f64], y: &[f64], bounds: [(f64, f64); 2], points: usize) -> Kde2 {
        // Contours are drawn, not judged: a little smoother.
        let h = [1.1 * bandwidth(x, 1.0 / 6.0), 1.1 * bandwidth(y, 1.0 / 6.0)];
        let (x0, x1) = range(x, h[0], bounds[0]);
        let (y0, y1) = range(y, h[1], bounds[1]);
        let step = [(x1 - x0) / (points - 1) as f64, (y1 - y0) / (points - 1) as f64];
        let mut density = vec![0.0; points * points];
        for (x, y) in x.iter().zip(y) {
            let ((i, f), (j, g)) = (cell(*x, x0, step[0], points), cell(*y, y0, step[1], points));
            for (di, dj, w) in
                [(0, 0, (1.0 - f) * (1.0 - g)), (1, 0, f * (1.0 - g)), (0, 1, (1.0 - f) * g), (1, 1, f * g)]
            {
                density[(j + dj) * points + i + di] += w;
            }
        }
        smooth(&mut density, points, points, 1, h[0] / step[0], reflects(x0, x1, bounds[0]));
        smooth(&mut density, points, points, points, h[1] / step[1], reflects(y0, y1, bounds[1]));
        let total: f64 = density.iter().sum();
        density.iter_mut().for_each(|d| *d /= total);
        Kde2 { start: [x0, y0], step, points, density }
    }

    /// Density by bilinear interpolation; 0 outside the grid.
    pub fn at(&self, x: f64, y: f64) -> f64 {
        let n = self.points;
        let inside = |t: f64, axis: usize| {
            let u = (t - self.start[axis]) / self.step[axis];
            (-1e-9..=(n - 1) as f64 + 1e-9).contains(&u)
        };
        if !inside(x, 0) || !inside(y, 1) {
            return 0.0;
        }
        let ((i, f), (j, g)) = (cell(x, self.start[0], self.step[0], n), cell(y, self.start[1], self.step[1], n));
        let d = |i: usize, j: usize| self.density[j * n + i];
        (d(i, j) * (1.0 - f) + d(i + 1, j) * f) * (1.0 - g) + (d(i, j + 1) * (1.0 - f) + d(i + 1, j + 1) * f) * g
    }

    /// The density whose contour encloses `mass` of the probability.
    pub fn level(&self, mass: f64) -> f64 {
        let mut sorted = self.density.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let mut sum = 0.0;
        sorted
            .into_iter()
            .find(|d| {
                sum += d;
                sum >= mass
            })
            .unwrap_or(0.0)
    }
}

/// Silverman's rule, 0.9 min(sd, IQR / 1.34) n^−exponent.
fn bandwidth(draws: &[f64], exponent: f64) -> f64 {
    let n = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / n;
    let sd = (draws.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n).sqrt();
    let mut sorted = draws.to_vec();
    sorted.sort_by(f64::total_cmp);
    let iqr = sorted[draws.len() * 3 / 4] - sorted[draws.len() / 4];
    let spread = if iqr > 0.0 { sd.min(iqr / 1.34) } else { sd };
    0.9 * spread.max(1e-12 * mean.abs()).max(1e-300) * n.powf(-exponent)
}

fn range(draws: &[f64], h: f64, bounds: (f64, f64)) -> (f64, f64) {
    let (min, max) = draws.iter().fold((f64::MAX, f64::MIN), |(a, b), t| (a.min(*t), b.max(*t)));
    // Draws beyond a bound (a posterior that leaks) widen the grid.
    ((min - 4.0 * h).max(bounds.0.min(min)), (max + 4.0 * h).min(bounds.1.max(max)))
}

fn reflects(start: f64, end: f64, bounds: (f64, f64)) -> (bool, bool) {
    (start == bounds.0, end == bounds.1)
}

fn cell(t: f64, start: f64, step: f64, points: usize) -> (usize, f64) {
    let u = ((t - start) / step).clamp(0.0, (points - 1) as f64);
    let i = (u as usize).min(points - 2);
    (i, u - i as f64)
}

/// Convolves every line of `n` values at distance `stride` with a Gaussian of width `sigma` grid steps; at a reflecting
/// end what leaves the grid comes back.
fn smooth(values: &mut [f64], n: usize, lines: usize, stride: usize, sigma: f64, (left, right): (bool, bool)) {
    // Beyond twice the line there is nothing to reach, however wide the kernel.
    let reach = ((4.0 * sigma).ceil() as usize).min(2 * n);
    let kernel: Vec<f64> = (0..=reach).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect();
    let mut out = vec![0.0; n];
    for line in 0..lines {
        let base = if stride == 1 { line * n } else { line };
        out.fill(0.0);
        for i in 0..n {
            let v = values[base + i * stride];
            if v == 0.0 {
                continue;
            }
            for k in -(reach as isize)..=reach as isize {
                let mut at = i as isize + k;
                if at < 0 && left {
                    at = -at;
                }
                if at >= n as isize && right {
                    at = 2 * (n as isize - 1) - at;
                }
                if (0..n as isize).contains(&at) {
                    out[at as usize] += v * kernel[k.unsigned_abs()];
                }
            }
        }
        for i in 0..n {
            values[base + i * stride] = out[i];
        }
    }
    // A mirrored kernel reaches the mirror itself from both sides.
    for line in 0..lines {
        let base = if stride == 1 { line * n } else { line };
        if left {
            values[base] *= 2.0;
        }
        if right {
            values[base + (n - 1) * stride] *= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_distr::StandardNormal;

    #[test]
    fn gaussian_and_edge_are_recovered() {
        let mut rng = crate::rng::stream(3, 0, "kde", 0);
        let draws: Vec<f64> = (0..20000).map(|_| rng.sample::<f64, _>(StandardNormal)).collect();
        let kde = Kde::new(&draws, (-10.0, 10.0), 256);
        for t in [-1.0, 0.0, 1.5f64] {
            let exact = (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((kde.at(t) - exact).abs() < 0.03 * 0.4, "{t}");
        }
        let folded: Vec<f64> = (0..20000).map(|_| rng.random::<f64>()).collect();
        let kde = Kde::new(&folded, (0.0, 1.0), 256);
        for t in [0.0, 0.02, 0.5, 0.98, 1.0] {
            assert!((kde.at(t) - 1.0).abs() < 0.12, "{t} {}", kde.at(t));
        }
    }

    #[test]
    fn contour_encloses_its_mass() {
        let mut rng = crate::rng::stream(4, 0, "kde", 0);
        let mut normal = || -> f64 { rng.sample(StandardNormal) };
        let (x, y): (Vec<f64>, Vec<f64>) = (0..10000).map(|_| (normal(), normal())).unzip();
        let kde = Kde2::new(&x, &y, [(-9.0, 9.0); 2], 96);
        for mass in [0.68, 0.95] {
            let level = kde.level(mass);
            let inside = x.iter().zip(&y).filter(|(x, y)| kde.at(**x, **y) >= level).count() as f64 / 1e4;
            assert!((inside - mass).abs() < 0.02, "{inside}");
        }
    }
}
