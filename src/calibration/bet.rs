//! Is a posterior worse than its prior? A bet that an exact posterior rarely loses.
//!
//! If θ is drawn from q(θ | x), the ratio E = π(θ) / q(θ | x) has the mean ∫ π ≤ 1 over the support of q. A bettor who
//! stakes a share λ of a wealth of 1 on each universe in turn ends with ∏ (1 − λ + λ Eᵢ), whose mean is at most 1 too,
//! and so has the mean over several λ. By Markov's inequality an exact posterior lets that wealth exceed W with a
//! probability of at most 1 / W, for any number of universes and any shape (an e-value: Vovk & Wang 2021, Ann. Stat.
//! 49, 1736).
//!
//! λ = 1 sums the gains of all universes: a posterior that loses to its prior. λ ~ 1/n sees one truth far outside:
//! ranks cannot, for beyond the farthest draw they see no farther.

/// Bound on the probability that an exact posterior has `gains` ln q(truth) − ln π(truth) as bad as these; 1 for good
/// ones.
pub fn p_value(gains: &[f64]) -> f64 {
    let stakes: Vec<f64> =
        (0..63).map(|k| 0.5f64.powi(k)).take_while(|s| *s == 1.0 || s * gains.len() as f64 >= 1.0).collect();
    let wealth = |stake: f64| gains.iter().map(|g| ln_sum((1.0 - stake).ln(), stake.ln() - g)).sum::<f64>();
    let total = stakes.iter().map(|s| wealth(*s)).fold(f64::NEG_INFINITY, ln_sum) - (stakes.len() as f64).ln();
    (-total).exp().min(1.0)
}

/// ln(eᵃ + eᵇ).
fn ln_sum(a: f64, b: f64) -> f64 {
    let (high, low) = (a.max(b), a.min(b));
    if high.is_infinite() { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_distr::StandardNormal;

    #[test]
    fn exact_posteriors_keep_the_level_and_bad_ones_lose() {
        // q normal within a wide prior of width 40: gain = ln 40 − ½ ln 2π − ½ z².
        let gain = |z: f64| 40f64.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln() - 0.5 * z * z;
        let mut rng = crate::rng::stream(3, 0, "bet", 0);
        let mut run = |n: usize| (0..n).map(|_| gain(rng.sample(StandardNormal))).collect::<Vec<_>>();
        assert!((0..2000).filter(|_| p_value(&run(17)) < 0.05).count() <= 120);
        // One truth 9 standard deviations off among 17 or 1000.
        for n in [17, 1000] {
            let mut gains = run(n);
            assert!(p_value(&gains) > 0.01);
            gains[5] = gain(9.0);
            assert!(p_value(&gains) < 1e-9, "{n}: {}", p_value(&gains));
        }
        assert!(p_value(&[-0.3; 17]) > 0.01 && p_value(&[-0.3; 100]) < 1e-10);
        assert!(p_value(&[0.0; 30]) > 0.999999 && p_value(&[]) == 1.0 && p_value(&[f64::INFINITY; 3]) == 1.0);
        assert_eq!(p_value(&[1.0, f64::NEG_INFINITY]), 0.0);
    }
}
