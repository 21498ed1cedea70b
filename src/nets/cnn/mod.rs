//! Convolutional networks of maps and cubes, ours and published ones. None has a normalisation layer: residual branches start at
//! zero (SkipInit, De & Smith 2020), so amplitudes pass through, and a batch shared over ranks gives the same gradients as on one.

mod cosmoflow;
mod residual;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CnnKind {
    /// A small residual network that two cores train: SiLU, a 5 × 5 convolution that halves the map, blocks of two 3 × 3.
    #[default]
    Small,
    /// He et al. 2016 (arXiv:1512.03385, and with activations first 1603.05027): 18 layers.
    Resnet18,
    /// 34 layers.
    Resnet34,
    /// Lanusse et al. 2018 (CMU DeepLens, arXiv:1703.02642): 46 convolutions in bottlenecks, ELU.
    Deeplens,
    /// Mathuriya et al. 2018 as MLPerf HPC has it (Farrell et al. 2021, arXiv:2110.11466): five 3-D convolutions.
    Cosmoflow,
}

impl CnnKind {
    /// Name in the campaign file.
    pub fn name(self) -> &'static str {
        match self {
            CnnKind::Small => "small",
            CnnKind::Resnet18 => "resnet18",
            CnnKind::Resnet34 => "resnet34",
            CnnKind::Deeplens => "deeplens",
            CnnKind::Cosmoflow => "cosmoflow",
        }
    }

    /// Channels of its first stage and blocks of each, as published.
    fn published(self) -> (i64, Vec<i64>) {
        match self {
            CnnKind::Small => (24, vec![1; 3]),
            CnnKind::Resnet18 => (64, vec![2; 4]),
            CnnKind::Resnet34 => (64, vec![3, 4, 6, 3]),
            CnnKind::Deeplens => (32, vec![3; 5]),
            CnnKind::Cosmoflow => (32, vec![1; 5]),
        }
    }
}

/// A convolutional network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct CnnConfig {
    #[serde(skip_serializing_if = "is_small")]
    pub kind: CnnKind,
    pub width: i64,
    pub blocks: Vec<i64>,
    pub periodic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

/// The same as a campaign has it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "CnnConfig")]
struct Written {
    /// `"small"`: a residual network that two cores train. `"resnet18"`, `"resnet34"` (He et al. 2016, activations first):
    /// maps from 32 × 32. `"deeplens"` (Lanusse et al. 2018, 46 convolutions): maps from 16 × 16. `"cosmoflow"` (MLPerf HPC,
    /// five 3-D convolutions): cubes from 32³, the last three axes of a field.
    kind: CnnKind,
    /// Channels of the first stage; doubled at each following one.
    #[schemars(extend("x-type" = "count", "x-default" = "24; ResNets 64, others 32"))]
    width: Option<i64>,
    /// Residual blocks (`cosmoflow`: convolutions) of each stage; each stage after the first halves the map.
    #[schemars(extend("x-type" = "[count, …]", "x-default" = "`[1, 1, 1]`; as published"))]
    blocks: Option<Vec<i64>>,
    /// Maps whose axes are `periodic` are padded circularly. All others, and with `false` these too, are padded with
    /// zeros: the mean of what a network sees.
    periodic: bool,
    /// Share of the numbers before its last dense layer (`cosmoflow`: its last two) that each sample misses in training.
    #[schemars(extend("x-type" = "number", "x-default" = "0.0; `cosmoflow`: 0.5"))]
    dropout: Option<f64>,
}

impl Default for Written {
    fn default() -> Self {
        Written { kind: CnnKind::Small, width: None, blocks: None, periodic: true, dropout: None }
    }
}

impl From<Written> for CnnConfig {
    fn from(w: Written) -> Self {
        let (width, blocks) = w.kind.published();
        let (width, blocks) = (w.width.unwrap_or(width), w.blocks.unwrap_or(blocks));
        CnnConfig { kind: w.kind, width, blocks, periodic: w.periodic, dropout: w.dropout }
    }
}

impl JsonSchema for CnnConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Written::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

impl Default for CnnConfig {
    fn default() -> Self {
        Written::default().into()
    }
}

fn is_small(kind: &CnnKind) -> bool {
    *kind == CnnKind::Small
}

impl CnnConfig {
    /// Axes of its pictures.
    pub fn dimensions(&self) -> usize {
        if self.kind == CnnKind::Cosmoflow { 3 } else { 2 }
    }

    /// Least points of a picture along each axis: those that become one in the end.
    pub fn least(&self) -> usize {
        let stages = self.blocks.len().min(30) as u32;
        match self.kind {
            // What ours begins at, whatever its depth.
            CnnKind::Small => 8,
            CnnKind::Resnet18 | CnnKind::Resnet34 => 2usize << stages,
            CnnKind::Deeplens => 1 << stages.saturating_sub(1),
            CnnKind::Cosmoflow => 1 << stages,
        }
    }

    /// Share that is dropped in training.
    pub fn dropped(&self) -> f64 {
        self.dropout.unwrap_or(if self.kind == CnnKind::Cosmoflow { 0.5 } else { 0.0 })
    }

    /// About how many weights it has, for inputs of so many numbers.
    pub fn weights(&self, inputs: f64) -> f64 {
        let channels = |stage: usize| self.width as f64 * 2f64.powi(stage as i32);
        // Two 3 × 3 convolutions; a bottleneck of half the channels; one 3 × 3 × 3 from half the channels or from as many.
        let each = match self.kind {
            CnnKind::Small | CnnKind::Resnet18 | CnnKind::Resnet34 => 18.0,
            CnnKind::Deeplens => 3.25,
            CnnKind::Cosmoflow => 27.0,
        };
        let stage = |(s, blocks): (usize, &i64)| *blocks as f64 * each * channels(s).powi(2);
        let stages = self.blocks.len();
        let flat = match self.kind {
            CnnKind::Cosmoflow => {
                cosmoflow::DENSE[0] as f64 * inputs * channels(stages.max(1) - 1) / 8f64.powi(stages as i32)
            }
            _ => 0.0,
        };
        self.blocks.iter().enumerate().map(stage).sum::<f64>() + flat
    }
}

/// Uniform draws from [0, 1) for a layer (its number) of so many units: (n, units).
pub type Draw<'a> = dyn Fn(usize, i64) -> Tensor + 'a;

/// Pictures (n, channels, …) to features (n, …).
type Features = Box<dyn Fn(&Tensor) -> Tensor>;

/// Pictures (n, channels, …) to (n, outputs).
pub struct Cnn {
    /// To (n, features).
    features: Features,
    /// Dense layers, with `activation` between them.
    head: Vec<nn::Linear>,
    activation: fn(&Tensor) -> Tensor,
    dropped: f64,
}

impl Cnn {
    /// A network from so many channels of pictures with so many points along each axis to so many outputs; `periodic`: these axes
    /// are.
    pub fn new(
        path: &nn::Path,
        channels: i64,
        sides: &[i64],
        outputs: i64,
        config: &CnnConfig,
        periodic: bool,
    ) -> Self {
        let circular = config.periodic && periodic;
        let linear = |name: &str, a, b| nn::linear(path / name, a, b, Default::default());
        let (features, head, activation): (_, _, fn(&Tensor) -> Tensor) = match config.kind {
            CnnKind::Cosmoflow => {
                let (features, n) = cosmoflow::features(path, channels, sides, config, circular);
                (features, cosmoflow::head(path, n, outputs), cosmoflow::activation)
            }
            CnnKind::Small => {
                let (features, n) = residual::features(path, channels, config, circular);
                (features, vec![linear("hidden", n, 2 * n), linear("summary", 2 * n, outputs)], Tensor::silu)
            }
            _ => {
                let (features, n) = residual::features(path, channels, config, circular);
                (features, vec![linear("fc", n, outputs)], Tensor::relu)
            }
        };
        Cnn { features, head, activation, dropped: config.dropped() }
    }

    /// (n, channels, …) → (n, outputs); `draw` in training alone, by which units are dropped.
    pub fn forward(&self, x: &Tensor, draw: Option<&Draw>) -> Tensor {
        let mut h = (self.features)(x);
        let alone = self.head.len() == 1;
        for (i, layer) in self.head.iter().enumerate() {
            if i > 0 {
                h = (self.activation)(&h);
            }
            if let Some(draw) = draw.filter(|_| self.dropped > 0.0 && (i > 0 || alone)) {
                let kept = draw(i, h.size()[1]).ge(self.dropped).to_kind(h.kind());
                h = h * kept / (1.0 - self.dropped);
            }
            h = h.apply(layer);
        }
        h
    }
}

/// The mean over all axes of a map.
fn mean(x: &Tensor) -> Tensor {
    x.mean_dim([-2i64, -1].as_slice(), false, None::<Kind>)
}
