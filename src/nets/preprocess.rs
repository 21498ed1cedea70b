//! What happens to inputs before a network sees them: a monotonic transform, then mean 0 and variance 1.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

/// Transform of each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    #[default]
    None,
    /// ln(1 + x), for densities.
    Log1p,
    /// ln x, for spectra.
    Log,
    /// asinh x.
    Asinh,
}

/// The transform, and the mean and standard deviation of the training inputs, kept with the weights.
pub struct Preprocess {
    transform: Transform,
    mean: Tensor,
    sd: Tensor,
}

impl Preprocess {
    /// Of inputs whose statistics have this shape (broadcast against a sample).
    pub fn new(path: &nn::Path, transform: Transform, shape: &[i64]) -> Self {
        Preprocess { transform, mean: path.zeros_no_train("mean", shape), sd: path.ones_no_train("sd", shape) }
    }

    fn transformed(&self, x: &Tensor) -> Tensor {
        match self.transform {
            Transform::None => x.shallow_clone(),
            Transform::Log1p => x.log1p(),
            Transform::Log => x.clamp_min(1e-30).log(),
            Transform::Asinh => x.asinh(),
        }
    }

    /// Takes mean and standard deviation from samples (n, …), over the axes along which the statistics have length one.
    pub fn fit(&mut self, x: &Tensor) {
        let x = self.transformed(x);
        let shape = self.mean.size();
        let lead = x.dim() - shape.len();
        let mut dims: Vec<i64> = (0..lead as i64).collect();
        dims.extend((0..shape.len()).filter(|&d| shape[d] == 1).map(|d| (d + lead) as i64));
        let mean = x.mean_dim(dims.as_slice(), false, None::<Kind>);
        let sd = x.std_dim(dims.as_slice(), false, false).clamp_min(1e-12);
        tch::no_grad(|| {
            self.mean.copy_(&mean.view(shape.as_slice()));
            self.sd.copy_(&sd.view(shape.as_slice()));
        });
    }

    /// Standardised samples.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        (self.transformed(x) - &self.mean) / &self.sd
    }
}
