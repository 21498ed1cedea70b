//! Classifiers: probabilities of classes by cross-entropy, weighted or focal (Lin et al. 2017, arXiv:1708.02002).

use super::compressor::{Compressor, Keys};
use super::prelude::*;
use crate::limits;
use crate::nets::{CnnConfig, MlpConfig, Transform, Transforms, host, kept, put};

/// A classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Classes: the stage's `target` is a label from 0 to one less for each sample.
    pub classes: i64,
    /// How much a sample of each class counts; empty: alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-default" = "alike"))]
    pub weights: Vec<f64>,
    /// Classes count alike, however many samples each has: a sample counts n/(classes · n of its class), times `weights`.
    #[serde(default)]
    pub balanced: bool,
    /// Focal loss −(1 − p)^focal ln p, for classes that are mostly easy to tell: then p is no probability any more. 0:
    /// cross-entropy.
    #[serde(default)]
    pub focal: f64,
    /// Of the inputs, as for `vmim`.
    #[serde(default = "as_they_are")]
    pub transform: Transforms,
    /// Network for maps, as for `vmim`.
    #[serde(default)]
    #[schemars(extend("x-default" = "its defaults"))]
    pub cnn: CnnConfig,
    /// Network for anything else, as for `vmim`.
    #[serde(default)]
    pub mlp: MlpConfig,
}

fn as_they_are() -> Transforms {
    Transform::None.into()
}

impl ClassifierConfig {
    fn keys(&self) -> Keys<'_> {
        Keys { transform: &self.transform, cnn: &self.cnn, mlp: &self.mlp }
    }

    fn check(&self) -> Result<()> {
        let positive = |w: &f64| w.is_finite() && *w > 0.0;
        if !self.weights.is_empty() && (self.weights.len() as i64 != self.classes || !self.weights.iter().all(positive))
        {
            let error = Error::input("are no weights of the classes").key("train.network.weights").value(&self.weights);
            return Err(error.remedy(format!("give {} numbers above 0, or none", self.classes)));
        }
        if !(0.0..=100.0).contains(&self.focal) {
            let error = Error::input("is no exponent of a focal loss").key("train.network.focal").value(self.focal);
            return Err(error.remedy("give 0 for cross-entropy, or a number like 2"));
        }
        Ok(())
    }
}

impl Section for ClassifierConfig {
    fn sizes(&self) -> Vec<Size> {
        [self.keys().sizes(), vec![("classes", self.classes, [2, limits::UNITS as i64])]].concat()
    }

    fn besides(&self, key: &str) -> &'static str {
        Keys::besides(key)
    }

    fn weights(&self, inputs: usize, _: usize) -> f64 {
        self.keys().weights(inputs as f64, self.classes as f64)
    }

    fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        self.keys().unused(inputs)
    }

    fn wants_target(&self) -> bool {
        true
    }

    fn outputs(&self) -> Vec<&'static str> {
        vec![PROBABILITY]
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        self.check()?;
        let (numbers, part) = (task.numbers("target")?, task.part("classifier"));
        if numbers != 1 {
            let error = Error::input(format!("has {numbers} numbers for each sample, and a label is one"));
            return Err(error.key("train.target").remedy("choose a field of one number, or a parameter"));
        }
        let root = part.vs.root();
        let compressor = Compressor::new(&root, task, self.keys(), self.classes)?;
        let counts = kept(&root, "counts", &[self.classes], 1.0);
        Ok(Box::new(Classifier { parts: [part], compressor, counts, config: self.clone() }))
    }
}

/// What it makes of a sample.
const PROBABILITY: &str = "probability";

struct Classifier {
    parts: [Part; 1],
    compressor: Compressor,
    /// How much a sample of each class counts.
    counts: Tensor,
    config: ClassifierConfig,
}

impl Classifier {
    fn labels(&self, batch: &Batch) -> Result<Tensor> {
        Ok(batch.labels("target", self.config.classes)?.reshape([-1]))
    }
}

impl Model for Classifier {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        true
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.compressor.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        let classes = self.config.classes;
        let found =
            all.sum(&mut |batch| Ok(self.labels(batch)?.one_hot(classes).sum_dim_intlist(0i64, false, Kind::Double)))?;
        if let Some(none) = host(&found).iter().position(|&n| n == 0.0) {
            let error =
                Error::input(format!("no sample to learn from is of class {none}")).key("train.network.classes");
            return Err(error.value(classes).remedy("labels are 0, 1, …: give as many classes as there are"));
        }
        let balance = match self.config.balanced {
            true => found.sum(Kind::Double) / &found / classes,
            false => found.ones_like(),
        };
        let own = match &self.config.weights[..] {
            [] => balance.ones_like(),
            weights => Tensor::from_slice(weights).to_device(balance.device()),
        };
        put(&self.counts, &(balance * own));
        Ok(())
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let label = self.labels(batch)?;
        let all = self.compressor.forward(batch)?;
        let ln_p = all.log_softmax(1, all.kind()).gather(1, &label.unsqueeze(1), false).squeeze_dim(1);
        let mut loss = -&ln_p * self.counts.index_select(0, &label).to_kind(all.kind());
        if self.config.focal > 0.0 {
            // 1 − p from its logarithm, so that the slope is finite where p is 1.
            loss *= (-ln_p.expm1()).clamp_min(1e-12).pow_tensor_scalar(self.config.focal);
        }
        Ok(vec![Score::new("cross entropy", loss, &[0])])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        let description = "probability of each class".to_string();
        let classes = [self.config.classes as usize];
        vec![FieldSpec { description, ..FieldSpec::of(PROBABILITY, &classes, &[AxisKind::Class]) }]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let all = self.compressor.forward(batch)?;
        Ok(vec![all.softmax(1, all.kind())])
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.compressor.eyes.iter().collect()
    }
}
