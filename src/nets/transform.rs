//! Monotonic transforms of inputs, each with the numbers that it takes.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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
}

impl Transform {
    /// Name in the campaign file.
    pub fn name(self) -> &'static str {
        match self {
            Transform::None => "none",
            Transform::Log1p => "log1p",
            Transform::Log => "log",
            Transform::Asinh => "asinh",
        }
    }

    /// Numbers at and below this one are not taken.
    pub fn floor(self) -> Option<f64> {
        match self {
            Transform::Log1p => Some(-1.0),
            Transform::Log => Some(0.0),
            Transform::None | Transform::Asinh => None,
        }
    }

    /// Of numbers that it takes; `unit` broadcasts against them.
    pub(super) fn of(self, x: &Tensor, unit: &Tensor) -> Tensor {
        match self {
            Transform::None => x.shallow_clone(),
            Transform::Log1p => x.log1p(),
            Transform::Log => x.log(),
            Transform::Asinh => (x / unit).asinh(),
        }
    }
}

/// `transform`: one name for all inputs, or a list with one for each index of their first axis (of maps: each channel).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transforms(Vec<Transform>);

impl Transforms {
    /// The transforms, each of an equal part of the first axis.
    pub fn each(&self) -> &[Transform] {
        &self.0
    }
}

impl From<Transform> for Transforms {
    fn from(one: Transform) -> Self {
        Transforms(vec![one])
    }
}

impl JsonSchema for Transforms {
    fn schema_name() -> Cow<'static, str> {
        "Transforms".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Transform>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl Serialize for Transforms {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if let [one] = &self.0[..] {
            return one.serialize(s);
        }
        let mut list = s.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|t| list.serialize_element(t))?;
        list.end()
    }
}

impl<'de> Deserialize<'de> for Transforms {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Transforms;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("the name of a transform, or a list of names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Transforms, E> {
                Transform::deserialize(name.into_deserializer()).map(Transforms::from)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Transforms, A::Error> {
                let mut all = vec![];
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                if all.is_empty() { Err(A::Error::invalid_length(0, &self)) } else { Ok(Transforms(all)) }
            }
        }
        d.deserialize_any(OneOrMany)
    }
}
