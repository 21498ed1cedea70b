//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q are
//! trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::{Batch, Loss, Model, Part};
use crate::io::field::{FieldSpec, Picture};
use crate::nets::{Cnn, CnnConfig, Flow, FlowConfig, Mlp, MlpConfig, Novelty, Preprocess, Transform, Transforms};
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// `[train.network]` with `kind = "vmim"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VmimConfig {
    /// Numbers per universe; 0: as many as parameters.
    pub summaries: i64,
    /// Of the inputs. `"log1p"`: ln(1 + x), for densities, x above −1; `"log"`: ln x, for spectra, x above 0;
    /// `"asinh"`: asinh(x/s), a logarithm for both signs (noisy spectra, multipoles), s the median of |x| in training.
    /// A list has one for each index of the input's first axis (of maps: each channel), `["log", "asinh", "asinh"]` for
    /// P₀, P₂, P₄. See docs/campaign.md#what-a-network-sees.
    pub transform: Transforms,
    /// Network for maps: fields whose last two axes are both `periodic` or both `flat`, of at least 8 × 8 pixels. Axes
    /// before these are channels, the `view`s among them are seen one by one and averaged. A cube is its slices, as
    /// channels.
    pub cnn: CnnConfig,
    /// Network for anything else, as a vector.
    pub mlp: MlpConfig,
    /// The density that judges the summaries.
    pub flow: FlowConfig,
}

impl Default for VmimConfig {
    fn default() -> Self {
        VmimConfig {
            summaries: 0,
            transform: Transform::Log1p.into(),
            cnn: CnnConfig::default(),
            mlp: MlpConfig::default(),
            flow: FlowConfig { layers: 2, hidden: 32, bins: 6 },
        }
    }
}

enum Compressor {
    Maps(Box<Cnn>),
    Vector(Mlp),
}

/// The compressor and its critic.
pub struct Vmim {
    parts: Vec<Part>,
    preprocess: Preprocess,
    compressor: Compressor,
    flow: Flow,
    /// Shape of a sample as (views, channels, H, W), or its length.
    shape: Vec<i64>,
}

impl Vmim {
    /// For samples of such a field. Of maps that are too small to be halved a few times it makes a vector.
    pub fn new(config: &VmimConfig, input: &FieldSpec, prior: &Prior, device: Device, kind: Kind) -> Self {
        let summaries = if config.summaries == 0 { prior.len() as i64 } else { config.summaries };
        let mut vs = nn::VarStore::new(device);
        vs.set_kind(kind);
        let root = vs.root();
        let (shape, compressor, groups) = match input.picture().filter(Picture::is_large) {
            Some(Picture { views, channels, height, width, periodic }) => {
                let four = [views, channels, height, width].map(|n| n as i64);
                let cnn = Cnn::new(&(&root / "cnn"), four[1], summaries, &config.cnn, periodic);
                (four.to_vec(), Compressor::Maps(Box::new(cnn)), four[1])
            }
            None => {
                let n = input.shape.iter().product::<usize>() as i64;
                (vec![n], Compressor::Vector(Mlp::new(&(&root / "mlp"), n, summaries, &config.mlp)), n)
            }
        };
        let maps = matches!(compressor, Compressor::Maps(_));
        let preprocess = Preprocess::new(&(&root / "input"), &config.transform, groups, maps);
        let flow = Flow::new(&(&root / "flow"), prior, summaries, &config.flow);
        Vmim { parts: vec![Part { name: "vmim".into(), vs }], preprocess, compressor, flow, shape }
    }

    /// (n, …) → (n, summaries). The views of a universe are seen one by one and averaged.
    fn summaries(&self, x: &Tensor) -> Tensor {
        let (x, views) = self.seen(x);
        let x = self.preprocess.forward(&x);
        match &self.compressor {
            Compressor::Vector(mlp) => mlp.forward(&x),
            Compressor::Maps(cnn) => {
                let s = cnn.forward(&x);
                let s = s.view([x.size()[0] / views, views, -1]);
                s.mean_dim([1i64].as_slice(), false, None::<Kind>)
            }
        }
    }
}

impl Model for Vmim {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn standardise(&mut self, x: &Tensor) -> Novelty {
        let (x, views) = self.seen(x);
        self.preprocess.fit(&x, views)
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn seen(&self, x: &Tensor) -> (Tensor, i64) {
        let n = x.size()[0];
        match (&self.compressor, &self.shape[..]) {
            (Compressor::Maps(_), &[views, channels, h, w]) => (x.reshape([n * views, channels, h, w]), views),
            _ => (x.reshape([n, -1]), 1),
        }
    }

    fn step(&self, batch: &Batch, _phase: usize) -> Vec<Loss> {
        let ln_q = self.flow.log_prob(&batch.theta, &self.summaries(&batch.x));
        vec![Loss { name: "−E[ln q]".into(), value: -ln_q.mean(None::<Kind>), parts: vec![0] }]
    }

    fn apply(&self, x: &Tensor) -> Vec<(String, Tensor)> {
        vec![("summaries".into(), self.summaries(x))]
    }
}
