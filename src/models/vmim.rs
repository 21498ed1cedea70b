//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q are
//! trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::{Batch, Eyes, Model, Part, Score, Section, Size, Stream, Task, Turn};
use crate::error::Result;
use crate::io::field::Picture;
use crate::limits;
use crate::nets::{Cnn, CnnConfig, Flow, FlowConfig, Mlp, MlpConfig, Novelty, Preprocess, Transform, Transforms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

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

impl VmimConfig {
    /// Numbers that the compressor gives where p parameters vary.
    fn given(&self, p: usize) -> i64 {
        if self.summaries == 0 { p as i64 } else { self.summaries }
    }
}

impl Section for VmimConfig {
    fn sizes(&self) -> Vec<Size> {
        let [units, layers] = [limits::UNITS, limits::LAYERS].map(|n| n as i64);
        // Each stage doubles the channels of the one before.
        let most = (units / self.cnn.width.max(1)).max(1).ilog2() as i64 + 1;
        let own = [
            ("cnn.width", self.cnn.width, [1, units]),
            ("cnn.blocks", self.cnn.blocks.len() as i64, [1, most]),
            ("summaries", self.summaries, [0, units]),
        ];
        let blocks = self.cnn.blocks.iter().map(|&n| ("cnn.blocks", n, [1, layers]));
        [self.mlp.sizes(), self.flow.sizes(), own.to_vec(), blocks.collect()].concat()
    }

    fn besides(&self, key: &str) -> &'static str {
        if key == "cnn.blocks" { " blocks, and no more stages than double the width to 16384" } else { "" }
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let summaries = self.given(p) as f64;
        let channels = |stage: usize| self.cnn.width as f64 * 2f64.powi(stage as i32);
        let stage = |(s, blocks): (usize, &i64)| *blocks as f64 * 18.0 * channels(s).powi(2);
        let cnn: f64 = self.cnn.blocks.iter().enumerate().map(stage).sum();
        cnn.max(self.mlp.weights(inputs as f64, summaries)) + self.flow.weights(summaries, p)
    }

    fn summaries(&self, p: usize) -> Option<usize> {
        Some(self.given(p) as usize)
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Vmim::new(self, task)?))
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
    pub fn new(config: &VmimConfig, task: &Task) -> Result<Self> {
        let (input, summaries, vs) = (task.array("x")?, config.given(task.prior.len()), task.variables());
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
        let flow = Flow::new(&(&root / "flow"), task.prior, summaries, &config.flow);
        Ok(Vmim { parts: vec![Part::new("vmim", vs)], preprocess, compressor, flow, shape })
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
            (Compressor::Maps(_), &[views, channels, h, w]) => (x.reshape([n * views, channels, h, w]), views),
            _ => (x.reshape([n, -1]), 1),
        }
    }
}
