//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q are
//! trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::{Batch, Loss, Model, Part};
use crate::nets::{Cnn, CnnConfig, Flow, FlowConfig, Mlp, MlpConfig, Preprocess, Transform};
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// `[train.network]` with `kind = "vmim"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VmimConfig {
    /// Numbers that the compressor gives per universe; 0: as many as parameters.
    pub summaries: i64,
    /// Transform of the inputs.
    pub transform: Transform,
    /// Network for maps (views, channels, H, W), (channels, H, W) or (H, W).
    pub cnn: CnnConfig,
    /// Network for anything else.
    pub mlp: MlpConfig,
    /// The density that judges the summaries.
    pub flow: FlowConfig,
}

impl Default for VmimConfig {
    fn default() -> Self {
        VmimConfig {
            summaries: 0,
            transform: Transform::Log1p,
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
    /// For samples of this shape.
    pub fn new(config: &VmimConfig, shape: &[usize], prior: &Prior, device: Device, kind: Kind) -> Self {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let summaries = if config.summaries == 0 { prior.len() as i64 } else { config.summaries };
        let mut vs = nn::VarStore::new(device);
        vs.set_kind(kind);
        let root = vs.root();
        let map = |s: &[i64]| s.len() >= 2 && s[s.len() - 1] >= 8 && s[s.len() - 2] >= 8;
        let (shape, compressor, statistics) = match &shape[..] {
            s if map(s) && s.len() <= 4 => {
                let four: Vec<i64> = std::iter::repeat_n(1, 4 - s.len()).chain(s.iter().copied()).collect();
                let channels = four[1];
                let cnn = Cnn::new(&(&root / "cnn"), channels, summaries, &config.cnn);
                (four, Compressor::Maps(Box::new(cnn)), vec![channels, 1, 1])
            }
            s => {
                let n: i64 = s.iter().product();
                (vec![n], Compressor::Vector(Mlp::new(&(&root / "mlp"), n, summaries, &config.mlp)), vec![n])
            }
        };
        let preprocess = Preprocess::new(&(&root / "input"), config.transform, &statistics);
        let flow = Flow::new(&(&root / "flow"), prior, summaries, &config.flow);
        Vmim { parts: vec![Part { name: "vmim".into(), vs }], preprocess, compressor, flow, shape }
    }

    /// (n, …) → (n, summaries). The views of a universe are seen one by one and averaged.
    fn summaries(&self, x: &Tensor) -> Tensor {
        let n = x.size()[0];
        match &self.compressor {
            Compressor::Vector(mlp) => mlp.forward(&self.preprocess.forward(&x.view([n, -1]))),
            Compressor::Maps(cnn) => {
                let [views, channels, h, w] = self.shape[..] else { unreachable!("maps have four axes") };
                let views = if x.dim() == 5 { x.size()[1] } else { views };
                let s = cnn.forward(&self.preprocess.forward(&x.reshape([n * views, channels, h, w])));
                s.view([n, views, -1]).mean_dim([1i64].as_slice(), false, None::<Kind>)
            }
        }
    }
}

impl Model for Vmim {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn standardise(&mut self, x: &Tensor) {
        let n = x.size()[0];
        match &self.compressor {
            Compressor::Vector(_) => self.preprocess.fit(&x.view([n, -1])),
            Compressor::Maps(_) => {
                let [_, channels, h, w] = self.shape[..] else { unreachable!("maps have four axes") };
                self.preprocess.fit(&x.reshape([-1, channels, h, w]));
            }
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
