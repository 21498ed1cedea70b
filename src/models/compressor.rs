//! How models look at any inputs: maps or cubes through a CNN, all else as vectors through a perceptron, several side by side.

use super::eye::check_names;
use super::section::Size;
use super::{Batch, Eye, Pass, Task};
use crate::error::{Error, Result};
use crate::io::field::{FieldSpec, Picture};
use crate::limits;
use crate::nets::{Cnn, CnnConfig, CnnKind, Draw, Mlp, MlpConfig, Transforms};
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
        self.cnn.weights(inputs).max(self.mlp.weights(inputs, outputs))
    }

    /// That `cnn` is given, and no input is a map.
    pub fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        let (begin, least) = match self.cnn.dimensions() {
            2 => ("maps begin at", vec![self.cnn.least().max(LEAST); 2]),
            _ => ("cubes begin at", vec![self.cnn.least().max(LEAST); 3]),
        };
        let pictured = |input: &FieldSpec| match self.cnn.kind {
            CnnKind::Small => Eye::maps(input).1.is_some(),
            _ => input.picture().is_some(),
        };
        let idle = *self.cnn != CnnConfig::default() && !inputs.iter().any(pictured);
        let told = |input: &FieldSpec| match input.picture() {
            Some(Picture { height, width, .. }) => format!("maps of {height} × {width} pixels"),
            None => format!("{:?}, no maps", input.shape),
        };
        let all: Vec<String> = inputs.iter().map(told).collect();
        idle.then(|| {
            let least = least.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
            ("cnn", format!("its {begin} {least}, and the input is {}: a vector for `mlp`", all.join(" and ")))
        })
    }

    /// An input as `cnn` takes it, and whether its pictures are periodic; else as a vector, and `None`.
    fn eye(&self, input: &FieldSpec) -> Result<(Eye, Option<bool>)> {
        let refused = |problem: String, remedy: String| {
            Err(Error::input(problem).key("train.network.cnn.kind").value(self.cnn.kind.name()).remedy(remedy))
        };
        let (eye, sides, periodic) = match (self.cnn.dimensions(), input.picture(), input.cube()) {
            // Those that are too small for ours are vectors.
            _ if self.cnn.kind == CnnKind::Small => return Ok(Eye::maps(input)),
            (2, Some(p), _) => (Eye::pictures(input, p), vec![p.height, p.width], p.periodic),
            (3, _, Some(cube)) => (Eye::cubes(input, cube), cube.sides.to_vec(), cube.periodic),
            (_, Some(_), _) => {
                let problem = format!("looks at cubes, and {} is maps {:?}", input.name, input.shape);
                return refused(
                    problem,
                    "give a field whose last three axes lie in space, or choose another kind".into(),
                );
            }
            _ => return Ok((Eye::vector(input), None)),
        };
        let least = self.cnn.least().max(LEAST);
        if sides.iter().any(|&side| side < least) {
            let problem = format!(
                "is too deep for {} of {sides:?} points: nothing would be left of fewer than {least} a side",
                input.name
            );
            return refused(problem, "choose a kind that halves less often, or fewer stages in `blocks`".into());
        }
        Ok((eye, Some(periodic)))
    }

    fn check(&self) -> Result<()> {
        let dropped = self.cnn.dropped();
        if (0.0..1.0).contains(&dropped) {
            return Ok(());
        }
        let error = Error::input("is no share of numbers that can be missed").key("train.network.cnn.dropout");
        Err(error.value(dropped).remedy("give a number from 0 to below 1"))
    }
}

/// Points along a side below which nothing is a picture.
const LEAST: usize = 8;

/// Standardised inputs (n · views, …) → (n · views, outputs); with draws in training.
type Network = Box<dyn Fn(&Tensor, Option<&Draw>) -> Tensor>;

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
        keys.check()?;
        let inputs = task.arrays()?;
        let alone = inputs.len() == 1;
        let (mut eyes, mut networks): (_, Vec<Network>) = (vec![], vec![]);
        for (i, input) in inputs.iter().enumerate() {
            let own = if alone { root.clone() } else { root / format!("input{i}") };
            let (mut eye, periodic) = keys.eye(input)?;
            networks.push(match periodic {
                Some(periodic) => {
                    let cnn = Cnn::new(&(&own / "cnn"), eye.shape[1], &eye.shape[2..], outputs, keys.cnn, periodic);
                    Box::new(move |x, draw| cnn.forward(x, draw))
                }
                None => {
                    let mlp = Mlp::new(&(&own / "mlp"), eye.shape[0], outputs, keys.mlp);
                    Box::new(move |x, _| mlp.forward(x))
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
            // Each sample misses others, the same on any rank.
            let draw = |layer: usize, units: i64| {
                batch.uniform(&format!("dropout {layer} of {}", eye.column), &[views * units]).view([-1, units])
            };
            let learns = matches!(batch.pass, Pass::Train { .. });
            Ok(network(&x, learns.then_some(&draw)).view([-1, views, self.outputs]).mean_dim(1i64, false, None::<Kind>))
        };
        let mut each = self.eyes.iter().zip(&self.networks).map(one).collect::<Result<Vec<_>>>()?;
        Ok(match &self.joint {
            Some(joint) => joint.forward(&Tensor::cat(&each, 1)),
            None => each.remove(0),
        })
    }
}
