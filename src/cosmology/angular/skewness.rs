//! Shifts of lognormal convergence, from the third moment that gravity gives it.
//!
//! In discs of radius θ the convergence κ = ∫ dχ W δ has the moments
//!
//! ⟨κ²⟩ = ∫ dχ W² σ²(χ),   ⟨κ³⟩ = ∫ dχ W³ S₃(χ) σ⁴(χ),   σ²(χ) = ∫ k dk/2π P(k, χ) [2 J₁(kR)/kR]²,   R = f_K(χ) θ,
//!
//! with P the non-linear spectrum and S₃ of perturbation theory at tree level (Bernardeau 1995, A&A 301, 309; Friedrich et
//! al. 2018, PRD 98, 023508, section IV), S₃ = 9/2 − 3/2 D2/D1² + 3/2 dlnσ²/dlnR: 36/7 + 3/2 dlnσ²/dlnR where D2 is
//! −3/7 D1². The lognormal variable of the same moments has the shift λ of ⟨κ³⟩ = 3 ⟨κ²⟩²/λ + ⟨κ²⟩³/λ³ (Hilbert, Hartlap &
//! Schneider 2011; Friedrich et al. 2020, MNRAS 498, 464).

use crate::cosmology::PowerAt;
use std::f64::consts::TAU;
use std::sync::LazyLock;

/// x = kR of the sum over k, evenly in ln x; beyond, a disc sees nothing.
const RANGE: [f64; 2] = [1e-3, 20.0];
const POINTS: usize = 100;

/// x, and x² W² and x² dW²/dlnx times the step in ln x, W = 2 J₁(x)/x.
static DISC: LazyLock<Vec<[f64; 3]>> = LazyLock::new(|| {
    let step = (RANGE[1] / RANGE[0]).ln() / (POINTS - 1) as f64;
    let point = |i: usize| {
        let x = RANGE[0] * (step * i as f64).exp();
        let w = 2.0 * libm::j1(x) / x;
        [x, step * x * x * w * w, step * x * x * -4.0 * w * libm::jn(2, x)]
    };
    (0..POINTS).map(point).collect()
});

/// σ² in Mpc/h and S₃ of the matter in a cylinder of radius `r` Mpc/h, `d2` being D2/D1² of the time.
pub fn of_cylinder(power: &PowerAt, r: f64, d2: f64) -> [f64; 2] {
    let [mut variance, mut linear, mut slope] = [0.0; 3];
    for &[x, w, dw] in DISC.iter() {
        let k = x / r;
        variance += w * power.p(k);
        let p = power.linear(k);
        linear += w * p;
        slope += dw * p;
    }
    [variance / (TAU * r * r), 4.5 - 1.5 * d2 + 1.5 * slope / linear]
}

/// The shift of the lognormal variable with these moments ⟨κ²⟩ and ⟨κ³⟩; none where the third is not positive.
pub fn shift(second: f64, third: f64) -> Option<f64> {
    if !(second > 0.0 && third > 0.0 && third.is_finite()) {
        return None;
    }
    // s = σ/λ solves s³ + 3 s = skewness: Cardano's real root.
    let half = 0.5 * third / second.powf(1.5);
    let root = (half + half.hypot(1.0)).cbrt();
    Some(second.sqrt() / (root - 1.0 / root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_those_of_lognormal_moments() {
        // λ (e^g − 1) with ⟨e^g⟩ = 1 and s² = e^σ² − 1 has ⟨κ²⟩ = λ² s² and ⟨κ³⟩ = λ³ s⁴ (s² + 3).
        for (lambda, s) in [(0.02, 0.01), (0.5, 1.0), (3.0, 20.0)] {
            let (s2, lambda3): (f64, f64) = (s * s, f64::powi(lambda, 3));
            let found = shift(lambda * lambda * s2, lambda3 * s2 * s2 * (s2 + 3.0)).unwrap();
            assert!((found / lambda - 1.0).abs() < 1e-9, "{found} {lambda}");
        }
        assert!(shift(1.0, -1.0).is_none() && shift(0.0, 1.0).is_none() && shift(1.0, f64::NAN).is_none());
    }

    #[test]
    fn a_disc_of_a_power_law_has_its_variance_and_slope() {
        // P = kⁿ: the variance falls as R^−(n + 2).
        let slope = |n: f64| {
            let sum = |which: usize| DISC.iter().map(|p| p[which] * p[0].powf(n)).sum::<f64>();
            sum(2) / sum(1)
        };
        for n in [-1.2, -1.0] {
            assert!((slope(n) + n + 2.0).abs() < 0.02, "{n}: {}", slope(n));
        }
    }
}
