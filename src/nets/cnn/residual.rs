//! Residual networks over maps: ours, and published ones with activations before convolutions.

use super::{CnnConfig, CnnKind, Features, mean};
use tch::{Tensor, nn};

/// What tells one residual network from another.
struct Style {
    activation: fn(&Tensor) -> Tensor,
    /// Size and step of the first convolution, and whether a 3 × 3 maximum with step 2 follows it.
    stem: (i64, i64),
    pool: bool,
    /// 1 × 1, 3 × 3, 1 × 1 with half the channels within; else two 3 × 3.
    bottleneck: bool,
    /// Shortcuts that change the shape see the activated input, as the branch does.
    activated: bool,
    /// The first block takes its input as it is.
    bare: bool,
    /// An activation stands before the mean over the map.
    last: bool,
}

impl Style {
    fn of(kind: CnnKind) -> Style {
        match kind {
            CnnKind::Resnet18 | CnnKind::Resnet34 => Style {
                activation: Tensor::relu,
                stem: (7, 2),
                pool: true,
                bottleneck: false,
                activated: true,
                bare: false,
                last: true,
            },
            CnnKind::Deeplens => Style {
                activation: Tensor::elu,
                stem: (7, 1),
                pool: false,
                bottleneck: true,
                activated: true,
                bare: true,
                last: false,
            },
            _ => Style {
                activation: Tensor::silu,
                stem: (5, 2),
                pool: false,
                bottleneck: false,
                activated: false,
                bare: false,
                last: true,
            },
        }
    }
}

fn conv(path: nn::Path, from: i64, to: i64, size: i64, stride: i64, periodic: bool) -> nn::Conv2D {
    let padding_mode = if periodic && size > 1 { nn::PaddingMode::Circular } else { nn::PaddingMode::Zeros };
    let (padding, ws_init) = (size / 2, nn::init::DEFAULT_KAIMING_NORMAL);
    nn::conv2d(path, from, to, size, nn::ConvConfig { stride, padding, padding_mode, ws_init, ..Default::default() })
}

struct Block {
    activation: fn(&Tensor) -> Tensor,
    activated: bool,
    bare: bool,
    skip: Option<nn::Conv2D>,
    branch: Vec<nn::Conv2D>,
    scale: Tensor,
}

impl Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let seen = if self.bare { x.shallow_clone() } else { (self.activation)(x) };
        let mut h = seen.apply(&self.branch[0]);
        for conv in &self.branch[1..] {
            h = (self.activation)(&h).apply(conv);
        }
        let skip = self
            .skip
            .as_ref()
            .map_or_else(|| x.shallow_clone(), |skip| if self.activated { seen.apply(skip) } else { x.apply(skip) });
        skip + h * &self.scale
    }
}

/// The network up to its dense layers, (n, channels, H, W) → (n, features), and how many features those are. Ours has names of its
/// own, the published ones have those of torchvision.
pub(super) fn features(path: &nn::Path, channels: i64, config: &CnnConfig, circular: bool) -> (Features, i64) {
    let (style, own) = (Style::of(config.kind), config.kind == CnnKind::Small);
    let (size, step) = style.stem;
    let stem = conv(path / if own { "stem" } else { "conv1" }, channels, config.width, size, step, circular);
    let (mut blocks, mut from) = (Vec::new(), config.width);
    for (s, &count) in config.blocks.iter().enumerate() {
        let to = config.width << s;
        for b in 0..count {
            let stride = if s > 0 && b == 0 { 2 } else { 1 };
            let path = match own {
                true => path / format!("stage{s}") / format!("block{b}"),
                false => path / format!("layer{}", s + 1) / b,
            };
            let skip = (from != to || stride != 1)
                .then(|| conv(&path / if own { "skip" } else { "downsample" }, from, to, 1, stride, circular));
            let mid = (to / 2).max(1);
            let shapes = match style.bottleneck {
                false => vec![(from, to, 3, stride), (to, to, 3, 1)],
                true => vec![(from, mid, 1, stride), (mid, mid, 3, 1), (mid, to, 1, 1)],
            };
            let name = |i: usize| if own { ["first", "second"][i].to_string() } else { format!("conv{}", i + 1) };
            let branch = shapes.into_iter().enumerate();
            let branch =
                branch.map(|(i, (from, to, size, step))| conv(&path / name(i), from, to, size, step, circular));
            blocks.push(Block {
                activation: style.activation,
                activated: style.activated,
                bare: style.bare && blocks.is_empty(),
                skip,
                branch: branch.collect(),
                scale: path.var("scale", &[1], nn::Init::Const(0.0)),
            });
            from = to;
        }
    }
    let forward = move |x: &Tensor| {
        let mut h = x.apply(&stem);
        if style.pool {
            // Beyond an edge there is nothing, or the other side.
            let (h2, edge) = if circular { (h.pad([1i64; 4], "circular", None), 0) } else { (h, 1) };
            h = h2.max_pool2d([3i64, 3], [2i64, 2], [edge, edge], [1i64, 1], false);
        }
        for block in &blocks {
            h = block.forward(&h);
        }
        mean(&if style.last { (style.activation)(&h) } else { h })
    };
    (Box::new(forward), from)
}
