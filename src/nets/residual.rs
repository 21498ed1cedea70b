//! Residual perceptrons of pairs: of a sample, and of each of m points that are put beside it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Size of a residual perceptron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResidualConfig {
    /// Units of each layer.
    pub hidden: i64,
    /// Residual blocks of two layers each.
    pub blocks: i64,
}

impl Default for ResidualConfig {
    fn default() -> Self {
        ResidualConfig { hidden: 64, blocks: 2 }
    }
}

/// x (n, inputs) and points (n, m, numbers) → (n, m), 0 before it is trained: its branches and its output start there, so that
/// it needs no normalisation (De & Smith 2020, arXiv:2002.10444).
pub struct Residual {
    of_x: nn::Linear,
    of_point: nn::Linear,
    blocks: Vec<[nn::Linear; 2]>,
    last: nn::Linear,
}

impl Residual {
    pub fn new(path: &nn::Path, inputs: i64, numbers: i64, config: &ResidualConfig) -> Self {
        let units = config.hidden;
        let plain = nn::LinearConfig::default;
        let zero =
            || nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
        let no_bias = nn::LinearConfig { bias: false, ..plain() };
        let block = |i: i64| {
            let path = path / format!("block{i}");
            [nn::linear(&path / "first", units, units, plain()), nn::linear(&path / "second", units, units, zero())]
        };
        Residual {
            of_x: nn::linear(path / "x", inputs, units, plain()),
            of_point: nn::linear(path / "point", numbers, units, no_bias),
            blocks: (0..config.blocks).map(block).collect(),
            last: nn::linear(path / "last", units, 1, zero()),
        }
    }

    /// What is made of a sample alone is made once for all of its points.
    pub fn forward(&self, x: &Tensor, points: &Tensor) -> Tensor {
        let mut h = x.apply(&self.of_x).unsqueeze(1) + points.apply(&self.of_point);
        for [first, second] in &self.blocks {
            h = &h + h.silu().apply(first).silu().apply(second);
        }
        h.silu().apply(&self.last).squeeze_dim(-1)
    }
}
