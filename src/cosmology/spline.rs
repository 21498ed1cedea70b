//! Natural cubic spline.

/// A natural cubic spline through (x, y), continued by its end slopes as straight lines (in ln–ln: power laws).
#[derive(Debug, Clone)]
pub struct Spline {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Second derivatives at the nodes.
    c: Vec<f64>,
}

impl Spline {
    /// Through at least two points, `x` strictly growing.
    pub fn new(x: Vec<f64>, y: Vec<f64>) -> Self {
        assert!(x.len() == y.len() && x.len() >= 2 && x.windows(2).all(|w| w[0] < w[1]), "spline nodes must grow");
        // Thomas algorithm for the continuity of the first derivative at the inner nodes.
        let n = x.len();
        let (mut c, mut upper) = (vec![0.0; n], vec![0.0; n]);
        for i in 1..n - 1 {
            let (h0, h1) = (x[i] - x[i - 1], x[i + 1] - x[i]);
            let rhs = 6.0 * ((y[i + 1] - y[i]) / h1 - (y[i] - y[i - 1]) / h0);
            let pivot = 2.0 * (h0 + h1) - h0 * upper[i - 1];
            upper[i] = h1 / pivot;
            c[i] = (rhs - h0 * c[i - 1]) / pivot;
        }
        for i in (1..n - 1).rev() {
            c[i] -= upper[i] * c[i + 1];
        }
        Spline { x, y, c }
    }

    /// First and last abscissa.
    pub fn range(&self) -> (f64, f64) {
        (self.x[0], self.x[self.x.len() - 1])
    }

    /// What it passes through, x and y.
    pub fn nodes(&self) -> (&[f64], &[f64]) {
        (&self.x, &self.y)
    }

    /// Value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        let last = self.x.len() - 1;
        if x < self.x[0] {
            let h = self.x[1] - self.x[0];
            let slope = (self.y[1] - self.y[0]) / h - h / 6.0 * self.c[1];
            return self.y[0] + slope * (x - self.x[0]);
        }
        if x > self.x[last] {
            let h = self.x[last] - self.x[last - 1];
            let slope = (self.y[last] - self.y[last - 1]) / h + h / 6.0 * self.c[last - 1];
            return self.y[last] + slope * (x - self.x[last]);
        }
        let i = self.interval(x);
        let h = self.x[i + 1] - self.x[i];
        let t = (x - self.x[i]) / h;
        let s = 1.0 - t;
        let bend = (s * s * s - s) * self.c[i] + (t * t * t - t) * self.c[i + 1];
        s * self.y[i] + t * self.y[i + 1] + h * h / 6.0 * bend
    }

    /// i with x[i] ≤ x ≤ x[i+1]. Nodes are mostly equidistant, so the guess is tried before the search.
    fn interval(&self, x: f64) -> usize {
        let last = self.x.len() - 1;
        let guess = (x - self.x[0]) / (self.x[last] - self.x[0]) * last as f64;
        let guess = (guess as usize).min(last - 1);
        if self.x[guess] <= x && x <= self.x[guess + 1] {
            return guess;
        }
        (self.x.partition_point(|&node| node <= x)).clamp(1, last) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_sine_and_continues_straight() {
        // Uneven nodes from −π to π, where a sine's second derivative vanishes as a natural spline's does.
        let pi = std::f64::consts::PI;
        let x: Vec<f64> = (0..=200).map(|i| -pi + 2.0 * pi * (i as f64 / 200.0).powf(1.2)).collect();
        let spline = Spline::new(x.clone(), x.iter().map(|x| x.sin()).collect());
        for i in 0..1000 {
            let x = -pi + 2.0 * pi * i as f64 / 999.0;
            assert!((spline.at(x) - x.sin()).abs() < 1e-8, "{x}: {}", spline.at(x) - x.sin());
        }
        assert!((spline.at(pi + 1.0) + 1.0).abs() < 1e-3);
        assert!((spline.at(-pi - 2.0) - 2.0).abs() < 1e-3);
    }

    #[test]
    fn two_points_make_a_line() {
        let line = Spline::new(vec![0.0, 1.0], vec![1.0, 3.0]);
        for x in [-1.0, 0.0, 0.3, 1.0, 2.0] {
            assert!((line.at(x) - 1.0 - 2.0 * x).abs() < 1e-15);
        }
    }
}
