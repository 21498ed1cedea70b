//! Energy and pressure of a relativistic Fermi gas that has decoupled: massive neutrinos (e.g. Lesgourgues & Pastor 2006,
//! Phys. Rep. 429, 307, section 2.2). Momenta x and masses y are in units of the temperature, y = m a / T₀.

use gauss_quad::GaussLegendre;
use std::f64::consts::PI;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// Momenta x, with the weight of each in ∫ dx x³/(eˣ + 1), the whole being 7π⁴/120, set to 1.
static NODES: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
    let whole = 7.0 * PI.powi(4) / 120.0;
    let rule = GaussLegendre::new(const { NonZeroUsize::new(48).unwrap() });
    // Over u with x = 40 u²: dense where x is small and the energy bends.
    let node = |(t, weight): (f64, f64)| {
        let u = 0.5 * (t + 1.0);
        let x = 40.0 * u * u;
        (x, weight * 40.0 * u * x.powi(3) / (x.exp() + 1.0) / whole)
    };
    rule.iter().map(|&(t, weight)| node((t, weight))).collect()
});

/// Energy density over that of massless particles, to 1e-12: ∫ dx x² √(x² + y²)/(eˣ + 1) over its value at y = 0.
pub fn density(y: f64) -> f64 {
    NODES.iter().map(|(x, weight)| weight * (1.0 + (y / x).powi(2)).sqrt()).sum()
}

/// Three times the pressure, in the same unit: ∫ dx x⁴ / √(x² + y²) / (eˣ + 1).
pub fn pressure(y: f64) -> f64 {
    NODES.iter().map(|(x, weight)| weight / (1.0 + (y / x).powi(2)).sqrt()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_brute_force() {
        let close = |ours: f64, theirs: f64, off: f64| assert!((ours / theirs - 1.0).abs() < off, "{ours} {theirs}");
        close(density(0.0), 1.0, 1e-12);
        close(pressure(0.0), 1.0, 1e-12);
        // ζ(3): the number density of what is at rest.
        close(density(1e6) / 1e6, 180.0 * 1.202_056_903_159_594 / (7.0 * PI.powi(4)), 1e-10);
        close(density(1e-3) - 1.0, 5.0 / (7.0 * PI * PI) * 1e-6, 1e-4);
        for y in [0.3, 1.0, 3.0, 30.0] {
            let step = 1e-3;
            let momenta = || (1..40_000).map(|i| i as f64 * step);
            let sum: f64 = momenta().map(|x| x * x * (x * x + y * y).sqrt() / (x.exp() + 1.0)).sum();
            close(density(y), sum * step * 120.0 / (7.0 * PI.powi(4)), 1e-7);
            let sum: f64 = momenta().map(|x| x.powi(4) / (x * x + y * y).sqrt() / (x.exp() + 1.0)).sum();
            close(pressure(y), sum * step * 120.0 / (7.0 * PI.powi(4)), 1e-7);
        }
    }
}
