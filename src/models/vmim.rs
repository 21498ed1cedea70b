//! Variational mutual information maximisation (Jeffrey, Alsing & Lanusse 2021, eq. 7): a residual CNN f and a flow q
//! are trained together to maximise E[ln q(θ | f(x))], a lower bound on the information that f(x) holds on θ.

use super::compressor::{Compressor, Keys};
use super::prelude::*;
use crate::limits;
use crate::nets::{CnnConfig, Flow, FlowConfig, MlpConfig, Transform, Transforms};

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
    /// channels, but to `cosmoflow`.
    #[schemars(extend("x-default" = "its defaults"))]
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
    fn keys(&self) -> Keys<'_> {
        Keys { transform: &self.transform, cnn: &self.cnn, mlp: &self.mlp }
    }

    /// Numbers that the compressor gives where p parameters vary.
    fn given(&self, p: usize) -> i64 {
        if self.summaries == 0 { p as i64 } else { self.summaries }
    }
}

impl Section for VmimConfig {
    fn sizes(&self) -> Vec<Size> {
        let own = vec![("summaries", self.summaries, [0, limits::UNITS as i64])];
        [self.keys().sizes(), self.flow.sizes(), own].concat()
    }

    fn besides(&self, key: &str) -> &'static str {
        Keys::besides(key)
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let summaries = self.given(p) as f64;
        self.keys().weights(inputs as f64, summaries) + self.flow.weights(summaries, p)
    }

    fn outputs(&self) -> Vec<&'static str> {
        vec![SUMMARIES]
    }

    fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        self.keys().unused(inputs)
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Vmim::new(self, task)?))
    }
}

/// What it makes of a sample.
const SUMMARIES: &str = "summaries";

/// The compressor and its critic.
pub struct Vmim {
    parts: [Part; 1],
    compressor: Compressor,
    flow: Flow,
    summaries: i64,
}

impl Vmim {
    /// For samples of such fields.
    pub fn new(config: &VmimConfig, task: &Task) -> Result<Self> {
        let (summaries, part) = (config.given(task.prior.len()), task.part("vmim"));
        let root = part.vs.root();
        let compressor = Compressor::new(&root, task, config.keys(), summaries)?;
        let flow = Flow::new(&(&root / "flow"), task.prior, summaries, &config.flow);
        Ok(Vmim { parts: [part], compressor, flow, summaries })
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
        let log_prob = self.flow.log_prob(batch.array("theta")?, &self.compressor.forward(batch)?);
        Ok(vec![Score::new("−E[ln q]", -log_prob, &[0])])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        let description = "summaries that tell most of the parameters".to_string();
        vec![FieldSpec { description, ..FieldSpec::vector(SUMMARIES, self.summaries as usize) }]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![self.compressor.forward(batch)?])
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.compressor.eyes.iter().collect()
    }
}
