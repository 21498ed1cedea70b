//! `[design.parameters]` and `[dataset.parameters]`: the varied parameters in the order of the file.

use crate::error::Result;
use crate::prior::{ParameterTable, Prior};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Names and tables; the order in the file is the order of the columns of `theta`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(pub Vec<(String, ParameterTable)>);

impl Parameters {
    /// Their prior.
    pub fn prior(&self) -> Result<Prior> {
        Prior::new(self.0.iter().map(|(name, table)| table.parameter(name)).collect())
    }

    /// True with no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for Parameters {
    fn schema_name() -> Cow<'static, str> {
        "Parameters".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, ParameterTable>::json_schema(generator)
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, range)| map.serialize_entry(name, range))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Parameters;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a table of parameters, each with min and max (or another kind of prior)")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Parameters, A::Error> {
                let mut all = vec![];
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Parameters(all))
            }
        }
        d.deserialize_map(Table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_the_files() {
        let text = "[sigma8]\nmin = 0.6\nmax = 1.0\nlatex = '\\sigma_8'\n[Omega_m]\nmin = 0.1\nmax = 0.5\n";
        let p: Parameters = toml::from_str(text).unwrap();
        assert_eq!(p.prior().unwrap().names(), ["sigma8", "Omega_m"]);
        assert_eq!(p.prior().unwrap().parameters[1].latex, "Omega_m");
        assert_eq!(toml::from_str::<Parameters>(&toml::to_string(&p).unwrap()).unwrap(), p);
        assert!(toml::from_str::<Parameters>("[a]\nmin = 0.0\nmaximum = 1.0").is_err());
    }
}
