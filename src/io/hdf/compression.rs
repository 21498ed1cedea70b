//! Compression of fields: HDF5's own gzip, and others where their plug-ins are installed.

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use hdf5::filters::Filter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What fields are compressed with, and how hard: `gzip`, `gzip:9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Compression {
    kind: Kind,
    level: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gzip,
    Zstd,
    Blosc,
}

/// By name: HDF5's number of the filter, the level where none is given, and the highest.
const KINDS: [(&str, Kind, i32, u8, u8); 3] =
    [("gzip", Kind::Gzip, 1, 4, 9), ("zstd", Kind::Zstd, 32015, 3, 22), ("blosc", Kind::Blosc, 32001, 5, 9)];

/// Fields with fewer bytes per universe are left as they are: chunks so small cost more than they save.
const LEAST: u64 = 4096;
/// HDF5's limit on a chunk.
const LARGEST: usize = (1 << 32) - 1;

impl Compression {
    fn of(&self) -> &'static (&'static str, Kind, i32, u8, u8) {
        KINDS.iter().find(|kind| kind.1 == self.kind).unwrap_or(&KINDS[0])
    }

    /// Refuses a filter that this machine's HDF5 does not have.
    pub fn check(&self) -> Result<()> {
        let writes = |id: i32| Filter::get_info(id).encode_enabled;
        if writes(self.of().2) {
            return Ok(());
        }
        let there: Vec<&str> = KINDS.iter().filter(|kind| writes(kind.2)).map(|kind| kind.0).collect();
        let there = if there.is_empty() { "none".into() } else { there.join(", ") };
        let error = Error::input(format!("HDF5 has no such filter here (of those known here it has: {there})"));
        Err(error.key("suite.compression").value(self.to_string()).remedy(
            "give one that is there, or set HDF5_PLUGIN_PATH to the folder of its plug-in; whoever reads the files needs it, too",
        ))
    }

    /// True for a field that is worth it. A list's universes have no chunks of their own.
    pub fn takes(&self, spec: &FieldSpec) -> bool {
        !spec.ragged && spec.bytes() >= LEAST
    }

    /// As HDF5 wants it. Bytes of equal weight are put side by side first: most of a number's noise is in the last ones.
    pub(super) fn filters(&self) -> Vec<Filter> {
        let (level, id) = (u32::from(self.level), self.of().2);
        match self.kind {
            Kind::Gzip => vec![Filter::shuffle(), Filter::deflate(self.level)],
            Kind::Zstd => vec![Filter::shuffle(), Filter::user(id, &[level])],
            // The first four are the filter's own; then level, its own shuffling, and its first compressor.
            Kind::Blosc => vec![Filter::user(id, &[0, 0, 0, 0, level, 1, 0])],
        }
    }
}

/// One universe of an array of this shape, cut into halves until HDF5 takes it.
pub(super) fn chunk(shape: &[usize], bytes: usize) -> Vec<usize> {
    let mut chunk = shape.to_vec();
    chunk[0] = 1;
    while chunk.iter().product::<usize>().saturating_mul(bytes) > LARGEST {
        let Some(longest) = chunk.iter_mut().max() else { break };
        *longest = longest.div_ceil(2);
    }
    chunk
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Compression, String> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let Some(&(_, kind, _, usual, most)) = KINDS.iter().find(|kind| kind.0 == name) else {
            return Err(format!("{text:?} is no compression: give gzip, zstd or blosc, with a level as in \"gzip:4\""));
        };
        let level = level.map_or(Some(usual), |level| level.parse().ok().filter(|level| (1..=most).contains(level)));
        level.map(|level| Compression { kind, level }).ok_or(format!("{text:?}: levels of {name} are 1 to {most}"))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.of().0, self.level)
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> Result<Compression, String> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> String {
        compression.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_are_read_and_others_refused() {
        for (text, is) in [("gzip", "gzip:4"), ("gzip:9", "gzip:9"), ("zstd", "zstd:3"), ("blosc:1", "blosc:1")] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), is);
        }
        for text in ["", "zip", "gzip:", "gzip:0", "gzip:10", "zstd:23", "gzip:4:4", "GZIP"] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
        "gzip".parse::<Compression>().unwrap().check().unwrap();
    }

    #[test]
    fn chunks_are_universes_that_hdf5_takes() {
        assert_eq!(chunk(&[64, 3, 100], 4), [1, 3, 100]);
        assert_eq!(chunk(&[64, 4096, 512, 512], 8), [1, 1024, 512, 512]);
    }
}
