//! Energy and pressure of a relativistic Fermi gas that has decoupled: massive neutrinos (e.g. Lesgourgues & Pastor
//! 2006, Phys. Rep. 429, 307, section 2.2). Momenta x and masses y are in units of the temperature, y = m a / T₀.

use gauss_quad::GaussLegendre;
use std::f64::consts::PI;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// ∫ dx x³/(eˣ + 1), the energy density of massless particles.
const MASSLESS: f64 = 7.0 * PI * PI * PI * PI / 120.0;

/// `n` momenta and their dx, over u with x = 40 u²: dense where x is small and the energy bends.
fn momenta(n: NonZeroUsize) -> impl Iterator<Item = (f64, f64)> {
    GaussLegendre::new(n).into_iter().map(|(t, weight)| {
        let u = 0.5 * (t + 1.0);
        (40.0 * u * u, weight * 40.0 * u)
    })
}

/// Momenta x, with the weight of each in the energy density of massless particles.
static NODES: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
    let n = const { NonZeroUsize::new(48).unwrap() };
    momenta(n).map(|(x, dx)| (x, dx * x.powi(3) / (x.exp() + 1.0) / MASSLESS)).collect()
});

/// `n` momenta x, with dx x² (−f₀′) of each over the energy density of massless particles, f₀ = 1/(eˣ + 1).
pub fn response(n: NonZeroUsize) -> impl Iterator<Item = (f64, f64)> {
    momenta(n).map(|(x, dx)| (x, dx * x * x / (2.0 + x.exp() + (-x).exp()) / MASSLESS))
}

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
