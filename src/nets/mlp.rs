//! Multi-layer perceptrons.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Size of a perceptron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Units of each hidden layer.
    pub hidden: i64,
    /// Hidden layers.
    pub layers: i64,
}

impl Default for MlpConfig {
    fn default() -> Self {
        MlpConfig { hidden: 64, layers: 2 }
    }
}

/// (n, inputs) → (n, outputs), SiLU between the layers.
pub struct Mlp {
    layers: Vec<nn::Linear>,
}

impl Mlp {
    pub fn new(path: &nn::Path, inputs: i64, outputs: i64, config: &MlpConfig) -> Self {
        let sizes: Vec<i64> = std::iter::once(inputs)
            .chain(std::iter::repeat_n(config.hidden, config.layers as usize))
            .chain([outputs])
            .collect();
        let layer = |(i, s): (usize, &[i64])| nn::linear(path / format!("layer{i}"), s[0], s[1], Default::default());
        Mlp { layers: sizes.windows(2).enumerate().map(layer).collect() }
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.apply(&self.layers[0]);
        for layer in &self.layers[1..] {
            h = h.silu().apply(layer);
        }
        h
    }
}
