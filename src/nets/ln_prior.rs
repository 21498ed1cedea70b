//! The logarithm of a prior's density over tensors, differentiable by θ.

use super::unbounded::Unbounded;
use crate::prior::{Distribution, Prior};
use tch::{Device, Kind, Tensor};

/// ln p(θ) of p parameters: with z the deviations of Gaussians (of θ or of ln θ), R their correlations, and k the parameters
/// whose logarithm has a simple density, it is −zᵀR⁻¹z/2 − Σ_k ln θ_k and a constant, between the bounds.
pub struct LnPrior {
    /// (p): whether it is of ln θ; mean and 1/σ, 0 where there is no Gaussian.
    is_ln: Tensor,
    mean: Tensor,
    per_sigma: Tensor,
    /// R⁻¹, (p, p).
    precision: Tensor,
    constant: f64,
    unbounded: Unbounded,
}

impl LnPrior {
    pub fn new(prior: &Prior, device: Device) -> Self {
        let each = prior.parameters.iter().map(|q| match q.distribution {
            Distribution::Uniform { .. } => (false, 0.0, 0.0),
            Distribution::LogUniform { .. } => (true, 0.0, 0.0),
            Distribution::Normal { mean, sigma, .. } => (false, mean, 1.0 / sigma),
            Distribution::LogNormal { mean, sigma, .. } => (true, mean, 1.0 / sigma),
        });
        let all: Vec<(bool, f64, f64)> = each.collect();
        let of = |f: &dyn Fn(&(bool, f64, f64)) -> f64| {
            Tensor::from_slice(&all.iter().map(f).collect::<Vec<f64>>()).to_device(device)
        };
        let p = prior.len() as i64;
        let correlations = Tensor::eye(p, (Kind::Double, Device::Cpu));
        for (i, q) in prior.parameters.iter().enumerate() {
            for (name, &r) in &q.correlation {
                let j = prior.names().iter().position(|other| other == name).expect("a prior's own name");
                for (i, j) in [(i, j), (j, i)] {
                    let _ = correlations.get(i as i64).get(j as i64).fill_(r);
                }
            }
        }
        let (is_ln, mean, per_sigma) = (of(&|q| q.0 as u8 as f64).gt(0.5), of(&|q| q.1), of(&|q| q.2));
        let precision = correlations.inverse().to_device(device);
        let unbounded = Unbounded::new(prior, device);
        let mut ln = LnPrior { is_ln, mean, per_sigma, precision, constant: 0.0, unbounded };
        let middle = prior.middle();
        let there = Tensor::from_slice(&middle).view([1, p]).to_device(device);
        ln.constant = prior.ln_density(&middle) - ln.of(&there).double_value(&[0]);
        ln
    }

    /// ln p (…) at θ (…, p), in double precision; −∞ where there is no density.
    pub fn of(&self, theta: &Tensor) -> Tensor {
        let logarithm = theta.clamp_min(f64::MIN_POSITIVE).log();
        let t = logarithm.where_self(&self.is_ln, theta);
        let z = (t - &self.mean) * &self.per_sigma;
        let quadratic = (z.matmul(&self.precision) * z) * -0.5;
        let each = quadratic - logarithm.where_self(&self.is_ln, &theta.zeros_like());
        let ln = each.sum_dim_intlist(-1i64, false, Kind::Double) + self.constant;
        ln.masked_fill(&self.unbounded.outside(theta), f64::NEG_INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::host;
    use crate::prior::Parameter;

    /// The density of `prior`, which stands on independent codes, over all kinds and with a correlation; and its slope.
    #[test]
    fn it_is_the_density_of_the_prior_and_has_its_slope() {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let one = |name: &str, distribution| Parameter { distribution, ..Parameter::uniform(name, name, 0.0, 1.0) };
        let mut parameters = vec![
            one("a", Distribution::Uniform { min: -1.0, max: 3.0 }),
            one("b", Distribution::LogUniform { min: 1e-3, max: 10.0 }),
            one("c", Distribution::Normal { mean: 0.3, sigma: 0.2, min: low, max: high }),
            one("d", Distribution::Normal { mean: -1.0, sigma: 0.9, min: -2.0, max: -0.3 }),
            one("e", Distribution::LogNormal { mean: 0.5, sigma: 0.5, min: 0.0, max: high }),
            one("f", Distribution::LogNormal { mean: 0.5, sigma: 0.5, min: 1.0, max: 2.0 }),
        ];
        parameters[4].correlation.insert("c".into(), 0.7);
        let prior = Prior::new(parameters).unwrap();
        let ln = LnPrior::new(&prior, Device::Cpu);
        for u in [[0.1, 0.9, 0.2, 0.7, 0.95, 0.3], [0.5, 0.2, 0.99, 0.01, 0.4, 0.8]] {
            let at = prior.from_unit(&u);
            let theta = Tensor::from_slice(&at).view([1, 6]).set_requires_grad(true);
            let value = ln.of(&theta);
            assert!((host(&value)[0] - prior.ln_density(&at)).abs() < 1e-9, "{u:?}");
            let slope = host(&Tensor::run_backward(&[value.sum(Kind::Double)], &[&theta], false, false)[0]);
            for (j, slope) in slope.iter().enumerate() {
                let moved =
                    |by: f64| prior.ln_density(&(0..6).map(|k| at[k] + by * (k == j) as u8 as f64).collect::<Vec<_>>());
                let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{j}: {slope} {expected}");
            }
            let outside: Vec<f64> = at.iter().enumerate().map(|(j, t)| if j == 3 { 0.5 } else { *t }).collect();
            assert_eq!(host(&ln.of(&Tensor::from_slice(&outside).view([1, 6])))[0], f64::NEG_INFINITY);
        }
    }
}
