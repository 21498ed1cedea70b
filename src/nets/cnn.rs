//! Residual convolutional networks without normalisation layers: residual branches start at zero (SkipInit, De & Smith
//! 2020), so amplitudes pass through, and a batch shared over ranks gives the same gradients as on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Size of a residual network over maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CnnConfig {
    /// Channels of the first stage; doubled at each following one.
    pub width: i64,
    /// Residual blocks of each stage; each stage after the first halves the map.
    pub blocks: Vec<i64>,
    /// Maps whose axes are `periodic` are padded circularly. All others, and with `false` these too, are padded with
    /// zeros: the mean of what a network sees.
    pub periodic: bool,
}

impl Default for CnnConfig {
    fn default() -> Self {
        CnnConfig { width: 24, blocks: vec![1, 1, 1], periodic: true }
    }
}

fn conv(path: nn::Path, from: i64, to: i64, size: i64, stride: i64, periodic: bool) -> nn::Conv2D {
    let padding_mode = if periodic && size > 1 { nn::PaddingMode::Circular } else { nn::PaddingMode::Zeros };
    let (padding, ws_init) = (size / 2, nn::init::DEFAULT_KAIMING_NORMAL);
    nn::conv2d(path, from, to, size, nn::ConvConfig { stride, padding, padding_mode, ws_init, ..Default::default() })
}

struct Block {
    skip: Option<nn::Conv2D>,
    first: nn::Conv2D,
    second: nn::Conv2D,
    scale: Tensor,
}

impl Block {
    fn new(path: nn::Path, from: i64, to: i64, stride: i64, periodic: bool) -> Self {
        let skip = (from != to || stride != 1).then(|| conv(&path / "skip", from, to, 1, stride, periodic));
        Block {
            skip,
            first: conv(&path / "first", from, to, 3, stride, periodic),
            second: conv(&path / "second", to, to, 3, 1, periodic),
            scale: path.var("scale", &[1], nn::Init::Const(0.0)),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let branch = x.silu().apply(&self.first).silu().apply(&self.second);
        self.skip.as_ref().map_or_else(|| x.shallow_clone(), |skip| x.apply(skip)) + branch * &self.scale
    }
}

/// Maps (n, channels, H, W) to (n, outputs).
pub struct Cnn {
    stem: nn::Conv2D,
    blocks: Vec<Block>,
    head: [nn::Linear; 2],
}

impl Cnn {
    /// A network from so many channels to so many outputs; `periodic`: the maps' axes are.
    pub fn new(path: &nn::Path, channels: i64, outputs: i64, config: &CnnConfig, periodic: bool) -> Self {
        let circular = config.periodic && periodic;
        let stem = conv(path / "stem", channels, config.width, 5, 2, circular);
        let (mut blocks, mut from) = (Vec::new(), config.width);
        for (s, &count) in config.blocks.iter().enumerate() {
            let to = config.width << s;
            for b in 0..count {
                let stride = if s > 0 && b == 0 { 2 } else { 1 };
                let path = path / format!("stage{s}") / format!("block{b}");
                blocks.push(Block::new(path, from, to, stride, circular));
                from = to;
            }
        }
        let linear = |name: &str, a, b| nn::linear(path / name, a, b, Default::default());
        Cnn { stem, blocks, head: [linear("hidden", from, 2 * from), linear("summary", 2 * from, outputs)] }
    }

    /// (n, channels, H, W) → (n, outputs).
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.apply(&self.stem);
        for block in &self.blocks {
            h = block.forward(&h);
        }
        h.silu().mean_dim([-2i64, -1].as_slice(), false, x.kind()).apply(&self.head[0]).silu().apply(&self.head[1])
    }
}
