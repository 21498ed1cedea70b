//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q are
//! trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::{Batch, Eyes, Model, Part, Score, Stream, Turn};
use crate::error::Result;
use crate::nets::{Cnn, CnnConfig, Flow, FlowConfig, Mlp, MlpConfig, Novelty, Preprocess, Transform, Transforms};
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// `[train.network]` with `kind = "vmim"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VmimConfig {
    /// Numbers that the compressor gives per universe; 0: as many as parameters.
    pub summaries: i64,
    /// Transform of the inputs, or one for each index of their first axis (of maps: each channel).
    pub transform: Transforms,
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
    /// For samples of this shape.
    pub fn new(config: &VmimConfig, shape: &[usize], prior: &Prior, device: Device, kind: Kind) -> Self {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let summaries = if config.summaries == 0 { prior.len() as i64 } else { config.summaries };
        let mut vs = nn::VarStore::new(device);
        vs.set_kind(kind);
        let root = vs.root();
        let map = |s: &[i64]| s.len() >= 2 && s[s.len() - 1] >= 8 && s[s.len() - 2] >= 8;
        let (shape, compressor, groups) = match &shape[..] {
            s if map(s) && s.len() <= 4 => {
                let four: Vec<i64> = std::iter::repeat_n(1, 4 - s.len()).chain(s.iter().copied()).collect();
                let channels = four[1];
                let cnn = Cnn::new(&(&root / "cnn"), channels, summaries, &config.cnn);
                (four, Compressor::Maps(Box::new(cnn)), channels)
            }
            s => {
                let n: i64 = s.iter().product();
                (vec![n], Compressor::Vector(Mlp::new(&(&root / "mlp"), n, summaries, &config.mlp)), n)
            }
        };
        let maps = matches!(compressor, Compressor::Maps(_));
        let preprocess = Preprocess::new(&(&root / "input"), &config.transform, groups, maps);
        let flow = Flow::new(&(&root / "flow"), prior, summaries, &config.flow);
        Vmim { parts: vec![Part::new("vmim", vs)], preprocess, compressor, flow, shape }
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

impl Vmim {
    /// −ln q(θ | f(x)) of each sample.
    fn loss(&self, batch: &Batch) -> Result<Tensor> {
        Ok(-self.flow.log_prob(batch.array("theta")?, &self.summaries(batch.array("x")?)))
    }
}

impl Model for Vmim {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.standardise(&all.whole("x")?);
        Ok(())
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise("−E[ln q]", &self.loss(batch)?, &[0])
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![Score { name: "−E[ln q]".into(), value: self.loss(batch)?, parts: vec![0] }])
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("summaries".into(), self.summaries(batch.array("x")?))])
    }

    fn eyes(&self) -> Option<&dyn Eyes> {
        Some(self)
    }
}

impl Eyes for Vmim {
    fn standardise(&self, x: &Tensor) -> Novelty {
        let (x, views) = self.seen(x);
        self.preprocess.fit(&x, views)
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn seen(&self, x: &Tensor) -> (Tensor, i64) {
        let n = x.size()[0];
        match (&self.compressor, &self.shape[..]) {
            (Compressor::Maps(_), &[views, channels, h, w]) => {
                let views = if x.dim() == 5 { x.size()[1] } else { views };
                (x.reshape([n * views, channels, h, w]), views)
            }
            _ => (x.reshape([n, -1]), 1),
        }
    }
}
