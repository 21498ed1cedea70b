//! Monotonic transforms of inputs, each with the numbers that it takes.

use crate::list::OneOrMany;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// Transform of each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    #[default]
    None,
    /// ln(1 + x), for densities.
    Log1p,
    /// ln x, for spectra.
    Log,
    /// asinh(x/s) with s the median of |x| over the training inputs: a logarithm for numbers of both signs.
    Asinh,
    /// As the training inputs ask for, number by number: asinh(x/s) with s half the least of them for positive numbers that a
    /// logarithm makes less skew, asinh((x − median)/s) with s half the width of the middle 68% for numbers with heavy tails,
    /// all others as they are. Maps: as they are.
    Auto,
}

impl Transform {
    /// Name in the campaign file.
    pub fn name(self) -> &'static str {
        match self {
            Transform::None => "none",
            Transform::Log1p => "log1p",
            Transform::Log => "log",
            Transform::Asinh => "asinh",
            Transform::Auto => "auto",
        }
    }

    /// Numbers at and below this one are not taken.
    pub fn floor(self) -> Option<f64> {
        match self {
            Transform::Log1p => Some(-1.0),
            Transform::Log => Some(0.0),
            Transform::None | Transform::Asinh | Transform::Auto => None,
        }
    }

    /// Of numbers that it takes; `unit` broadcasts against them.
    pub(super) fn of(self, x: &Tensor, unit: &Tensor) -> Tensor {
        match self {
            Transform::None | Transform::Auto => x.shallow_clone(),
            Transform::Log1p => x.log1p(),
            Transform::Log => x.log(),
            Transform::Asinh => (x / unit).asinh(),
        }
    }
}

/// A transform for all numbers of an input, or one for each index of its first axis (of maps: each channel).
pub type Each = OneOrMany<Transform>;

/// `transform`: the same for all inputs, or a table with one for each of several, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Transforms {
    All(Each),
    Of(BTreeMap<String, Each>),
}

impl Transforms {
    /// Those of an input: each of an equal part of its first axis. Inputs of which a table says nothing are taken as
    /// they are.
    pub fn of(&self, input: &str) -> Each {
        match self {
            Transforms::All(each) => each.clone(),
            Transforms::Of(table) => table.get(input).cloned().unwrap_or_else(|| Transform::None.into()),
        }
    }

    /// The inputs that a table names.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Transforms::All(_) => vec![],
            Transforms::Of(table) => table.keys().map(String::as_str).collect(),
        }
    }
}

impl From<Transform> for Transforms {
    fn from(one: Transform) -> Self {
        Transforms::All(one.into())
    }
}

impl<'de> Deserialize<'de> for Transforms {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Said;
        impl<'de> Visitor<'de> for Said {
            type Value = Transforms;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("the name of a transform, a list of names, or a table with one of these for each input")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Transforms, E> {
                Transform::deserialize(name.into_deserializer()).map(Transforms::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Transforms, A::Error> {
                Each::deserialize(SeqAccessDeserializer::new(list)).map(Transforms::All)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Transforms, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(table)).map(Transforms::Of)
            }
        }
        d.deserialize_any(Said)
    }
}
