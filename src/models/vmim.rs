//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q
//! are trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::{eye::check_names, prelude::*};
use crate::io::field::Picture;
use crate::limits;
use crate::nets::{Cnn, CnnConfig, Flow, FlowConfig, Mlp, MlpConfig, Transform, Transforms};

/// A compressor trained by variational mutual information maximisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VmimConfig {
    /// Numbers per universe; 0: as many as parameters.
    pub summaries: i64,
    /// Of the inputs. `"log1p"`: ln(1 + x), for densities, x above −1; `"log"`: ln x, for spectra, x above 0;
    /// `"asinh"`: asinh(x/s), a logarithm for both signs (noisy spectra, multipoles), s the median of |x| in training.
    /// A list has one for each index of the input's first axis (of maps: each channel), `["log", "asinh", "asinh"]` for
    /// P₀, P₂, P₄. Of several inputs a table has one for each, `{ maps = "log1p", power = "log" }`. See
    /// docs/campaign.md#what-a-network-sees.
    pub transform: Transforms,
    /// Network for maps: fields whose last two axes are both `periodic` or both `flat`, of at least 8 × 8 pixels. Axes
    /// before these are channels, the `view`s among them are seen one by one and averaged. A cube is its slices, as
    /// channels.
    pub cnn: CnnConfig,
    /// Network for anything else, as a vector; and for the summaries of several inputs, side by side.
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

    fn outputs(&self) -> Vec<&'static str> {
        vec![SUMMARIES]
    }

    fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        let idle = self.cnn != CnnConfig::default() && inputs.iter().all(|input| Eye::maps(input).1.is_none());
        let told = |input: &FieldSpec| match input.picture() {
            Some(Picture { height, width, .. }) => format!("maps of {height} × {width} pixels"),
            None => format!("{:?}, no maps", input.shape),
        };
        let all: Vec<String> = inputs.iter().map(told).collect();
        idle.then(|| {
            ("cnn", format!("its maps begin at 8 × 8, and the input is {}: a vector for `mlp`", all.join(" and ")))
        })
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Vmim::new(self, task)?))
    }
}

/// What it makes of a sample.
const SUMMARIES: &str = "summaries";

/// Standardised inputs (n · views, …) → (n · views, summaries).
type Compressor = Box<dyn Fn(&Tensor) -> Tensor>;

/// The compressor and its critic.
pub struct Vmim {
    parts: [Part; 1],
    eyes: Vec<Eye>,
    /// One for each input.
    compressors: Vec<Compressor>,
    /// Several inputs' summaries, side by side, to those of all.
    joint: Option<Mlp>,
    flow: Flow,
    summaries: i64,
}

impl Vmim {
    /// For samples of such fields. Of maps that are too small to be halved a few times it makes vectors.
    pub fn new(config: &VmimConfig, task: &Task) -> Result<Self> {
        let (inputs, summaries, part) = (task.arrays()?, config.given(task.prior.len()), task.part("vmim"));
        let (root, alone) = (part.vs.root(), inputs.len() == 1);
        let (mut eyes, mut compressors): (_, Vec<Compressor>) = (vec![], vec![]);
        for (i, input) in inputs.iter().enumerate() {
            let own = if alone { root.clone() } else { &root / format!("input{i}") };
            let (mut eye, periodic) = Eye::maps(input);
            compressors.push(match periodic {
                Some(periodic) => {
                    let cnn = Cnn::new(&(&own / "cnn"), eye.shape[1], summaries, &config.cnn, periodic);
                    Box::new(move |x| cnn.forward(x))
                }
                None => {
                    let mlp = Mlp::new(&(&own / "mlp"), eye.shape[0], summaries, &config.mlp);
                    Box::new(move |x| mlp.forward(x))
                }
            });
            eye.keep(&(&own / "input"), &config.transform);
            eyes.push(eye);
        }
        check_names(&config.transform, &eyes)?;
        let all = summaries * inputs.len() as i64;
        let joint = (!alone).then(|| Mlp::new(&(&root / "joint"), all, summaries, &config.mlp));
        let flow = Flow::new(&(&root / "flow"), task.prior, summaries, &config.flow);
        Ok(Vmim { parts: [part], eyes, compressors, joint, flow, summaries })
    }

    /// (n, summaries). The views of a universe are seen one by one and averaged.
    fn summaries(&self, batch: &Batch) -> Result<Tensor> {
        let one = |(eye, compressed): (&Eye, &Compressor)| {
            let (x, views) = eye.look(0, batch)?;
            Ok(compressed(&x).view([-1, views, self.summaries]).mean_dim(1i64, false, None::<Kind>))
        };
        let mut each = self.eyes.iter().zip(&self.compressors).map(one).collect::<Result<Vec<_>>>()?;
        Ok(match &self.joint {
            Some(joint) => joint.forward(&Tensor::cat(&each, 1)),
            None => each.remove(0),
        })
    }
}

impl Model for Vmim {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        true
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let log_prob = self.flow.log_prob(batch.array("theta")?, &self.summaries(batch)?);
        Ok(vec![Score::new("−E[ln q]", -log_prob, &[0])])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        let description = "summaries that tell most of the parameters".to_string();
        vec![FieldSpec { description, ..FieldSpec::vector(SUMMARIES, self.summaries as usize) }]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![self.summaries(batch)?])
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.eyes.iter().collect()
    }
}
