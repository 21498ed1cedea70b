//! The 3-D network of MLPerf HPC's CosmoFlow (Farrell et al. 2021, arXiv:2110.11466): 3 × 3 × 3 convolutions with leaky ReLU and a
//! maximum over 2 × 2 × 2 after each stage, dense layers of 128 and 64. Its outputs are left linear; the benchmark's, in units of
//! the design's range, are 1.2 tanh.

use super::{CnnConfig, Features};
use tch::{Tensor, nn};

/// Units of the dense layers.
pub(super) const DENSE: [i64; 2] = [128, 64];

/// Slope of the leaky ReLU below zero.
const SLOPE: f64 = 0.3;

pub(super) fn activation(x: &Tensor) -> Tensor {
    x.prelu(&Tensor::full([1], SLOPE, (x.kind(), x.device())))
}

/// Glorot & Bengio 2010.
fn glorot(fan_in: i64, fan_out: i64) -> nn::Init {
    let up = (6.0 / (fan_in + fan_out) as f64).sqrt();
    nn::Init::Uniform { lo: -up, up }
}

/// Cubes (n, channels, D, H, W) of such sides → (n, features), and how many those are.
pub(super) fn features(
    path: &nn::Path,
    channels: i64,
    sides: &[i64],
    config: &CnnConfig,
    circular: bool,
) -> (Features, i64) {
    let padding_mode = if circular { nn::PaddingMode::Circular } else { nn::PaddingMode::Zeros };
    let (mut stages, mut from) = (vec![], channels);
    for (s, &count) in config.blocks.iter().enumerate() {
        let to = config.width << s;
        let conv = |b: i64| {
            let ws_init = glorot(27 * from, 27 * to);
            let like = nn::ConvConfig {
                padding: 1,
                padding_mode,
                ws_init,
                bs_init: nn::Init::Const(0.0),
                ..Default::default()
            };
            let conv = nn::conv3d(path / format!("conv{}", s + 1) / b, from, to, 3, like);
            from = to;
            conv
        };
        stages.push((0..count).map(conv).collect::<Vec<_>>());
    }
    let halved: i64 = sides.iter().map(|side| side >> stages.len()).product();
    let forward = move |x: &Tensor| {
        let mut h = x.shallow_clone();
        for stage in &stages {
            for (i, conv) in stage.iter().enumerate() {
                h = if i > 0 { activation(&h) } else { h }.apply(conv);
            }
            // The activation rises everywhere: it may as well come after the maximum, on an eighth of the numbers.
            h = activation(&h.max_pool3d([2i64; 3], [2i64; 3], [0i64; 3], [1i64; 3], false));
        }
        h.flatten(1, -1)
    };
    (Box::new(forward), from * halved)
}

/// The dense layers.
pub(super) fn head(path: &nn::Path, features: i64, outputs: i64) -> Vec<nn::Linear> {
    let sizes = [features, DENSE[0], DENSE[1], outputs];
    let linear = |(i, s): (usize, &[i64])| {
        let (ws_init, bs_init) = (glorot(s[0], s[1]), Some(nn::Init::Const(0.0)));
        nn::linear(path / format!("fc{}", i + 1), s[0], s[1], nn::LinearConfig { ws_init, bs_init, bias: true })
    };
    sizes.windows(2).enumerate().map(linear).collect()
}
