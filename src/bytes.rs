//! Numbers of bytes in a campaign, as in `"256 MB"`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Units of bytes, by name.
pub const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Bytes(pub u64);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> String {
        bytes.to_string()
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Bytes, String> {
        let (number, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes as f64);
        let bytes = number.trim().parse::<f64>().ok().zip(unit).map(|(number, unit)| number * unit);
        let bytes = bytes.filter(|bytes| (0.0..1e18).contains(bytes)).map(|bytes| Bytes(bytes as u64));
        let units = UNITS.map(|unit| unit.0).join(", ");
        bytes.ok_or_else(|| format!("{text:?} is no number of bytes: give one as in \"256 MB\", in {units}"))
    }
}

impl fmt::Display for Bytes {
    /// Exactly, in the largest unit that it is a multiple of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = UNITS.iter().filter(|(_, each)| self.0.is_multiple_of(*each));
        let (unit, each) = fitting.max_by_key(|unit| unit.1).unwrap_or(&UNITS[0]);
        write!(f, "{} {unit}", self.0 / each)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<String>()
    }
}
