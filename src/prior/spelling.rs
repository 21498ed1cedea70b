//! How a parameter is spelled, in campaign files and in all others: a table of a kind and its numbers.

use super::Parameter;
use super::distribution::Distribution::{self, LogNormal, LogUniform, Normal, Uniform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a density can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The same everywhere between two bounds.
    #[default]
    Uniform,
    /// The same everywhere between two bounds, of the logarithm.
    LogUniform,
    /// A Gaussian.
    Normal,
    /// A Gaussian of the logarithm.
    #[serde(rename = "lognormal")]
    LogNormal,
}

/// What is said of a parameter under its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
pub struct ParameterTable {
    pub distribution: Distribution,
    /// Label for plots; the name where there is none.
    pub latex: Option<String>,
    /// With other parameters, by their names.
    pub correlation: BTreeMap<String, f64>,
}

impl ParameterTable {
    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Parameter {
        let latex = self.latex.as_deref().unwrap_or(name).into();
        let ParameterTable { distribution, correlation, .. } = self.clone();
        Parameter { name: name.into(), latex, distribution, correlation }
    }
}

impl JsonSchema for ParameterTable {
    fn schema_name() -> Cow<'static, str> {
        "ParameterTable".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}

/// Its keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [{ "anyOf": [{ "required": ["min", "max"] }, { "required": ["kind", "mean", "sigma"] },
    { "required": ["kind", "ln_mean", "ln_sigma"] }] }]))]
struct Keys {
    /// What the prior is: `uniform` or `log-uniform` (uniform in the logarithm) between `min` and `max`; or `normal`, a
    /// Gaussian with `mean` and `sigma`, or `lognormal`, whose natural logarithm is one with `ln_mean` and `ln_sigma`,
    /// both cut off at `min` and `max` where they are given.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-default" = "`\"uniform\"`"))]
    kind: Kind,
    /// Mean of the Gaussian before it is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "the parameter's", "x-default" = "required by `normal`"))]
    mean: Option<f64>,
    /// Its standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "the parameter's", "x-default" = "required by `normal`"))]
    sigma: Option<f64>,
    /// Mean of ln θ, of the Gaussian before it is cut off: the logarithm of the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "e-folds", "x-default" = "required by `lognormal`"))]
    ln_mean: Option<f64>,
    /// Standard deviation of ln θ: 0.1 is about 10%; of a scatter in dex give 2.3026 times that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "e-folds", "x-default" = "required by `lognormal`"))]
    ln_sigma: Option<f64>,
    /// Lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "the parameter's", "x-default" = "required; of `normal` and `lognormal` none"))]
    min: Option<f64>,
    /// Upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "the parameter's", "x-default" = "required; of `normal` and `lognormal` none"))]
    max: Option<f64>,
    /// Label for plots, without dollar signs. Use single quotes: `'\Omega_m'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the name"))]
    latex: Option<String>,
    /// Correlation coefficients with other parameters: `correlation = { Omega_m = -0.9 }`, of ln θ where it is
    /// `lognormal`. Both are `normal` or `lognormal` without bounds; a pair stands in the table of one of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-type" = "{ NAME = number, … }"))]
    correlation: BTreeMap<String, f64>,
}

fn is_default(kind: &Kind) -> bool {
    *kind == Kind::default()
}

impl TryFrom<Keys> for ParameterTable {
    type Error = String;
    fn try_from(keys: Keys) -> Result<ParameterTable, String> {
        let kind = serde_json::to_value(keys.kind).unwrap_or_default();
        let need = |name: &str, value: Option<f64>| value.ok_or(format!("a prior of kind {kind} needs {name}"));
        for (of, numbers, names) in [
            (Kind::Normal, [keys.mean, keys.sigma], "mean and sigma are of kind = \"normal\""),
            (Kind::LogNormal, [keys.ln_mean, keys.ln_sigma], "ln_mean and ln_sigma are of kind = \"lognormal\""),
        ] {
            if keys.kind != of && numbers.iter().any(Option::is_some) {
                return Err(format!("{names}, and this prior is of kind {kind}"));
            }
        }
        let distribution = match keys.kind {
            Kind::Uniform => Uniform { min: need("min", keys.min)?, max: need("max", keys.max)? },
            Kind::LogUniform => LogUniform { min: need("min", keys.min)?, max: need("max", keys.max)? },
            Kind::Normal => Normal {
                mean: need("mean", keys.mean)?,
                sigma: need("sigma", keys.sigma)?,
                min: keys.min.unwrap_or(f64::NEG_INFINITY),
                max: keys.max.unwrap_or(f64::INFINITY),
            },
            Kind::LogNormal => LogNormal {
                mean: need("ln_mean", keys.ln_mean)?,
                sigma: need("ln_sigma", keys.ln_sigma)?,
                min: keys.min.unwrap_or(0.0),
                max: keys.max.unwrap_or(f64::INFINITY),
            },
        };
        Ok(ParameterTable { distribution, latex: keys.latex, correlation: keys.correlation })
    }
}

impl From<ParameterTable> for Keys {
    fn from(ParameterTable { distribution, latex, correlation }: ParameterTable) -> Keys {
        let (min, max) = distribution.bounds();
        let [min, max] = [min, max].map(|bound| Some(bound).filter(|b| !b.is_infinite()));
        let keys = Keys { min, max, latex, correlation, ..Keys::default() };
        match distribution {
            Uniform { .. } => keys,
            LogUniform { .. } => Keys { kind: Kind::LogUniform, ..keys },
            Normal { mean, sigma, .. } => Keys { kind: Kind::Normal, mean: Some(mean), sigma: Some(sigma), ..keys },
            LogNormal { mean, sigma, .. } => {
                let min = keys.min.filter(|&min| min > 0.0);
                Keys { kind: Kind::LogNormal, ln_mean: Some(mean), ln_sigma: Some(sigma), min, ..keys }
            }
        }
    }
}

/// In files the table has the name, too. Of a uniform one these are the bytes that older programs wrote.
impl Serialize for Parameter {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'a> {
            name: &'a str,
            latex: &'a str,
            #[serde(flatten)]
            table: ParameterTable,
        }
        let Parameter { distribution, correlation, .. } = self.clone();
        let table = ParameterTable { distribution, latex: None, correlation };
        Named { name: &self.name, latex: &self.latex, table }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut keys = Map::deserialize(d)?;
        let Some(Value::String(name)) = keys.shift_remove("name") else {
            return Err(D::Error::custom("a parameter has no name"));
        };
        // What a newer program wrote is refused by the kind, not by the numbers that belong to it.
        let of = |e: String| D::Error::custom(format!("the prior of {name}: {e}"));
        let kind = keys.get("kind").map(|kind| Kind::deserialize(kind.clone())).transpose();
        kind.map_err(|e| of(format!("kind: {e}")))?;
        let table = ParameterTable::deserialize(Value::Object(keys)).map_err(|e| of(e.to_string()))?;
        let parameter = table.parameter(&name);
        parameter.distribution.check().map_err(|e| of(e.problem))?;
        Ok(parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_spelling() {
        let read = |text: &str| serde_json::from_str::<Parameter>(text);
        for text in [
            r#"{"name":"a","latex":"\\alpha","min":0.1,"max":0.3}"#,
            r#"{"name":"a","latex":"a","kind":"log-uniform","min":0.1,"max":0.3}"#,
            r#"{"name":"a","latex":"a","kind":"normal","mean":0.2,"sigma":0.01}"#,
            r#"{"name":"a","latex":"a","kind":"normal","mean":0.2,"sigma":0.01,"min":0.19}"#,
            r#"{"name":"a","latex":"a","kind":"normal","mean":0.2,"sigma":0.01,"correlation":{"b":0.5,"c":-0.25}}"#,
            r#"{"name":"a","latex":"a","kind":"lognormal","ln_mean":-1.5,"ln_sigma":0.1}"#,
            r#"{"name":"a","latex":"a","kind":"lognormal","ln_mean":-1.5,"ln_sigma":0.1,"min":0.1,"max":0.4}"#,
        ] {
            let parameter = read(text).unwrap();
            assert_eq!(serde_json::to_string(&parameter).unwrap(), text);
            let (distribution, correlation) = (parameter.distribution, parameter.correlation);
            let table = ParameterTable { distribution, latex: Some("A".into()), correlation };
            let read: ParameterTable = toml::from_str(&toml::to_string(&table).unwrap()).unwrap();
            assert_eq!(read, table, "as a campaign has it");
        }
        for (wrong, words) in [
            (
                r#"{"name":"a","latex":"a","kind":"student-t","nu":3}"#,
                &["of a", "student-t", "log-uniform", "normal"][..],
            ),
            (r#"{"name":"a","latex":"a","kind":"normal","mean":1}"#, &["of a", "sigma"]),
            (r#"{"name":"a","latex":"a","min":0.1,"max":0.3,"sigma":1}"#, &["of a", "sigma", "uniform"]),
            (r#"{"name":"a","latex":"a","kind":"lognormal","mean":1,"sigma":1}"#, &["of a", "sigma", "lognormal"]),
            (r#"{"name":"a","latex":"a","kind":"lognormal","ln_mean":1}"#, &["of a", "needs ln_sigma"]),
            (r#"{"name":"a","latex":"a","min":0.3,"max":0.1}"#, &["of a", "interval"]),
            (r#"{"name":"a","latex":"a","min":0.1,"max":0.3,"correlations":{"b":0.5}}"#, &["of a", "correlations"]),
            (r#"{"latex":"a","min":0.1,"max":0.3}"#, &["name"]),
        ] {
            let e = read(wrong).unwrap_err().to_string();
            assert!(words.iter().all(|word| e.contains(word)), "{wrong}: {e}");
        }
    }
}
