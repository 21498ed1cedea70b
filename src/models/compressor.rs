//! How models look at any inputs: maps through a CNN, all else as vectors through a perceptron, several side by side.

use super::eye::check_names;
use super::section::Size;
use super::{Batch, Eye, Task};
use crate::error::Result;
use crate::io::field::{FieldSpec, Picture};
use crate::limits;
use crate::nets::{Cnn, CnnConfig, Mlp, MlpConfig, Transforms};
use tch::{Kind, Tensor, nn};

/// Keys of a section by which its inputs are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    pub transform: &'a Transforms,
    pub cnn: &'a CnnConfig,
    pub mlp: &'a MlpConfig,
}

impl Keys<'_> {
    /// Sizes of `cnn` and `mlp`.
    pub fn sizes(&self) -> Vec<Size> {
        let [units, layers] = [limits::UNITS, limits::LAYERS].map(|n| n as i64);
        // Each stage doubles the channels of the one before.
        let most = (units / self.cnn.width.max(1)).max(1).ilog2() as i64 + 1;
        let stages = self.cnn.blocks.len() as i64;
        let own = [("cnn.width", self.cnn.width, [1, units]), ("cnn.blocks", stages, [1, most])];
        let blocks = self.cnn.blocks.iter().map(|&n| ("cnn.blocks", n, [1, layers]));
        [self.mlp.sizes(), own.to_vec(), blocks.collect()].concat()
    }

    /// What a refusal of one of them says behind its range.
    pub fn besides(key: &str) -> &'static str {
        if key == "cnn.blocks" { " blocks, and no more stages than double the width to 16384" } else { "" }
    }

    /// About how many weights its networks have, for inputs of so many numbers.
    pub fn weights(&self, inputs: f64, outputs: f64) -> f64 {
        let channels = |stage: usize| self.cnn.width as f64 * 2f64.powi(stage as i32);
        let stage = |(s, blocks): (usize, &i64)| *blocks as f64 * 18.0 * channels(s).powi(2);
        let cnn: f64 = self.cnn.blocks.iter().enumerate().map(stage).sum();
        cnn.max(self.mlp.weights(inputs, outputs))
    }

    /// That `cnn` is given, and no input is a map.
    pub fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        let idle = *self.cnn != CnnConfig::default() && inputs.iter().all(|input| Eye::maps(input).1.is_none());
        let told = |input: &FieldSpec| match input.picture() {
            Some(Picture { height, width, .. }) => format!("maps of {height} × {width} pixels"),
            None => format!("{:?}, no maps", input.shape),
        };
        let all: Vec<String> = inputs.iter().map(told).collect();
        idle.then(|| {
            ("cnn", format!("its maps begin at 8 × 8, and the input is {}: a vector for `mlp`", all.join(" and ")))
        })
    }
}

/// Standardised inputs (n · views, …) → (n · views, outputs).
type Network = Box<dyn Fn(&Tensor) -> Tensor>;

/// Some inputs to so many numbers.
pub struct Compressor {
    pub eyes: Vec<Eye>,
    /// One for each input.
    networks: Vec<Network>,
    /// Several inputs' numbers, side by side, to those of all.
    joint: Option<Mlp>,
    outputs: i64,
}

impl Compressor {
    /// For samples of such fields. Of maps that are too small to be halved a few times it makes vectors.
    pub fn new(root: &nn::Path, task: &Task, keys: Keys, outputs: i64) -> Result<Self> {
        let inputs = task.arrays()?;
        let alone = inputs.len() == 1;
        let (mut eyes, mut networks): (_, Vec<Network>) = (vec![], vec![]);
        for (i, input) in inputs.iter().enumerate() {
            let own = if alone { root.clone() } else { root / format!("input{i}") };
            let (mut eye, periodic) = Eye::maps(input);
            networks.push(match periodic {
                Some(periodic) => {
                    let cnn = Cnn::new(&(&own / "cnn"), eye.shape[1], outputs, keys.cnn, periodic);
                    Box::new(move |x| cnn.forward(x))
                }
                None => {
                    let mlp = Mlp::new(&(&own / "mlp"), eye.shape[0], outputs, keys.mlp);
                    Box::new(move |x| mlp.forward(x))
                }
            });
            eye.keep(&(&own / "input"), keys.transform);
            eyes.push(eye);
        }
        check_names(keys.transform, &eyes)?;
        let all = outputs * inputs.len() as i64;
        let joint = (!alone).then(|| Mlp::new(&(root / "joint"), all, outputs, keys.mlp));
        Ok(Compressor { eyes, networks, joint, outputs })
    }

    /// (n, outputs). The views of a universe are seen one by one and averaged.
    pub fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let one = |(eye, network): (&Eye, &Network)| {
            let (x, views) = eye.look(0, batch)?;
            Ok(network(&x).view([-1, views, self.outputs]).mean_dim(1i64, false, None::<Kind>))
        };
        let mut each = self.eyes.iter().zip(&self.networks).map(one).collect::<Result<Vec<_>>>()?;
        Ok(match &self.joint {
            Some(joint) => joint.forward(&Tensor::cat(&each, 1)),
            None => each.remove(0),
        })
    }
}
