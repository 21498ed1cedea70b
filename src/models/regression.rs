//! Estimates of the parameters and of how well inputs tell them, by losses that are smallest for the posterior's moments:
//! a compressor for later stages, and a baseline by itself.

use super::compressor::{Compressor, Keys};
use super::prelude::*;
use crate::nets::{CnnConfig, MlpConfig, Transform, Transforms, kept, put};

/// What a regression minimises, of parameters θ in units of their scatter among the samples to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Σ_i E[(θ_i − μ_i)²]: the posterior's mean.
    Mse,
    /// −E[ln N(θ; μ, σ²)], each parameter by itself: mean and standard deviation.
    #[default]
    Gaussian,
    /// −E[ln N(θ; μ, C)]: mean and covariance.
    GaussianFull,
    /// Σ_i ln E[(θ_i − μ_i)²] + Σ_i ln E[((θ_i − μ_i)² − σ_i²)²], means over the batch of all ranks (Jeffrey & Wandelt 2020;
    /// Villaescusa-Navarro et al. 2021): mean and standard deviation, whatever the posterior's shape.
    Moments,
}

/// Posterior moments by regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegressionConfig {
    /// What is minimised: `"mse"`: squared errors, for the posterior's mean alone; `"gaussian"` and `"gaussian-full"`: the
    /// negative log-likelihood of Gaussians, with standard deviations or a covariance; `"moments"`: Σ ln E[(θ − μ)²] +
    /// Σ ln E[((θ − μ)² − σ²)²], as in CAMELS.
    pub loss: Loss,
    /// Of the inputs, as for `vmim`.
    pub transform: Transforms,
    /// Network for maps, as for `vmim`.
    #[schemars(extend("x-default" = "its defaults"))]
    pub cnn: CnnConfig,
    /// Network for anything else, as for `vmim`.
    pub mlp: MlpConfig,
}

impl Default for RegressionConfig {
    fn default() -> Self {
        let (cnn, mlp) = (CnnConfig::default(), MlpConfig::default());
        RegressionConfig { loss: Loss::Gaussian, transform: Transform::None.into(), cnn, mlp }
    }
}

impl RegressionConfig {
    fn keys(&self) -> Keys<'_> {
        Keys { transform: &self.transform, cnn: &self.cnn, mlp: &self.mlp }
    }
}

impl Loss {
    /// Numbers that it needs of a network where p parameters vary.
    fn numbers(self, p: i64) -> i64 {
        match self {
            Loss::Mse => p,
            Loss::Gaussian | Loss::Moments => 2 * p,
            Loss::GaussianFull => p + p * (p + 1) / 2,
        }
    }
}

impl Section for RegressionConfig {
    fn sizes(&self) -> Vec<Size> {
        self.keys().sizes()
    }

    fn besides(&self, key: &str) -> &'static str {
        Keys::besides(key)
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        self.keys().weights(inputs as f64, self.loss.numbers(p as i64) as f64)
    }

    fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        self.keys().unused(inputs)
    }

    fn outputs(&self) -> Vec<&'static str> {
        match self.loss {
            Loss::Mse => vec!["mean"],
            Loss::Gaussian | Loss::Moments => vec!["mean", "sd"],
            Loss::GaussianFull => vec!["mean", "covariance"],
        }
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let (p, part) = (task.prior.len() as i64, task.part("regression"));
        let root = part.vs.root();
        let compressor = Compressor::new(&root, task, self.keys(), self.loss.numbers(p))?;
        let (centre, scale) = (kept(&root, "centre", &[p], 0.0), kept(&root, "scale", &[p], 1.0));
        Ok(Box::new(Regression { parts: [part], compressor, centre, scale, loss: self.loss, p }))
    }
}

struct Regression {
    parts: [Part; 1],
    compressor: Compressor,
    /// Mean and standard deviation of the parameters (p) among the samples to learn from.
    centre: Tensor,
    scale: Tensor,
    loss: Loss,
    p: i64,
}

/// A soft bound on logarithms of widths keeps a wild step from ending a training.
fn bounded(ln: &Tensor) -> Tensor {
    (ln / 10.0).tanh() * 10.0
}

impl Regression {
    /// The mean (n, p), in units of the parameters' scatter, and what else the network gives.
    fn moments(&self, batch: &Batch) -> Result<(Tensor, Tensor)> {
        let all = self.compressor.forward(batch)?;
        Ok((all.narrow(1, 0, self.p), all.narrow(1, self.p, all.size()[1] - self.p)))
    }

    /// The lower triangle L (n, p, p) of a precision L Lᵀ, and its diagonal's logarithms (n, p).
    fn precision(&self, rest: &Tensor) -> (Tensor, Tensor) {
        let (p, n) = (self.p, rest.size()[0]);
        let ln = bounded(&rest.narrow(1, 0, p));
        let mut rows = vec![];
        let mut at = p;
        for i in 0..p {
            let zeros = Tensor::zeros([n, p - i - 1], (rest.kind(), rest.device()));
            rows.push(Tensor::cat(&[&rest.narrow(1, at, i), &ln.narrow(1, i, 1).exp(), &zeros], 1));
            at += i;
        }
        (Tensor::stack(&rows, 1), ln)
    }
}

fn along(t: &Tensor) -> Tensor {
    t.sum_dim_intlist(1i64, false, None::<Kind>)
}

impl Model for Regression {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        self.loss != Loss::Moments
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.compressor.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        let sums = all.sum(&mut |batch| {
            let theta = batch.vector("theta")?.to_kind(Kind::Double);
            let sum = |t: &Tensor| t.sum_dim_intlist(0i64, false, Kind::Double);
            Ok(Tensor::stack(&[sum(&theta.ones_like()), sum(&theta), sum(&theta.square())], 0))
        })?;
        let mean = sums.get(1) / sums.get(0);
        let variance = (sums.get(2) / sums.get(0) - mean.square()).clamp_min(0.0);
        put(&self.centre, &mean);
        // One that does not vary is its mean.
        put(&self.scale, &variance.sqrt().where_self(&variance.gt(0.0), &variance.ones_like()));
        Ok(())
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let (mean, rest) = self.moments(batch)?;
        let theta = (batch.vector("theta")?.to_kind(Kind::Double) - &self.centre) / &self.scale;
        let off = theta.to_kind(mean.kind()) - mean;
        let half_ln = 0.5 * std::f64::consts::TAU.ln() * self.p as f64;
        Ok(vec![match self.loss {
            Loss::Mse => Score::new("Σ (θ − μ)²", along(&off.square()), &[0]),
            Loss::Gaussian => {
                let ln = bounded(&rest);
                let value = along(&((&off * (-&ln).exp()).square() * 0.5 + &ln)) + half_ln;
                Score::new("−E[ln N(θ; μ, σ²)]", value, &[0])
            }
            Loss::GaussianFull => {
                let (lower, ln) = self.precision(&rest);
                let white = lower.transpose(1, 2).matmul(&off.unsqueeze(2)).squeeze_dim(2);
                Score::new("−E[ln N(θ; μ, C)]", along(&(white.square() * 0.5 - ln)) + half_ln, &[0])
            }
            Loss::Moments => {
                let square = off.square();
                let of_square = (&square - (bounded(&rest) * 2.0).exp()).square();
                let columns = Tensor::cat(&[square, of_square], 1);
                Score::of_means("Σ ln E", columns, |means| means.log().sum(means.kind()), &[0])
            }
        }])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        let p = self.p as usize;
        let of = |name: &str, shape: &[usize], description: &str| {
            let description = description.to_string();
            FieldSpec { description, ..FieldSpec::of(name, shape, &vec![AxisKind::Column; shape.len()]) }
        };
        let mean = of("mean", &[p], "posterior means of the parameters");
        match self.loss {
            Loss::Mse => vec![mean],
            Loss::Gaussian | Loss::Moments => vec![mean, of("sd", &[p], "posterior standard deviations")],
            Loss::GaussianFull => vec![mean, of("covariance", &[p, p], "posterior covariances")],
        }
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let (mean, rest) = self.moments(batch)?;
        let rest = rest.to_kind(Kind::Double);
        let mean = mean.to_kind(Kind::Double) * &self.scale + &self.centre;
        Ok(match self.loss {
            Loss::Mse => vec![mean],
            Loss::Gaussian | Loss::Moments => vec![mean, bounded(&rest).exp() * &self.scale],
            Loss::GaussianFull => {
                let inverse = Tensor::linalg_inv(&self.precision(&rest).0);
                let covariance = inverse.transpose(1, 2).matmul(&inverse);
                vec![mean, covariance * self.scale.unsqueeze(1) * self.scale.unsqueeze(0)]
            }
        })
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.compressor.eyes.iter().collect()
    }
}
