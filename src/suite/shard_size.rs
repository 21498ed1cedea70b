//! `suite.shard_size`: how much of a dataset one of its files holds.

use super::room::of_fields;
use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::limits;
use crate::simulators::budget::size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of simulations, or of bytes, as in `"256 MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "Written", try_from = "Written")]
#[schemars(with = "Written")]
pub enum ShardSize {
    Simulations(usize),
    Bytes(u64),
}

/// As it stands in a campaign.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "give a number of simulations, as in 64, or of bytes, as in \"256 MB\"")]
enum Written {
    Simulations(usize),
    Bytes(String),
}

impl ShardSize {
    /// Refuses what no shard has.
    pub fn check(&self) -> Result<()> {
        match *self {
            ShardSize::Simulations(0) | ShardSize::Bytes(0) => {
                let error = Error::input("a shard holds simulations").key("suite.shard_size").value(self);
                Err(error.remedy("give a positive number"))
            }
            ShardSize::Simulations(m) => limits::at_most("suite.shard_size", m, limits::SIMULATIONS),
            ShardSize::Bytes(_) => Ok(()),
        }
    }

    /// Simulations in a shard, at least one, where universes have these fields. Of lists, whose length nobody knows
    /// before, nothing is counted.
    pub fn simulations(&self, specs: &[FieldSpec]) -> usize {
        match *self {
            ShardSize::Simulations(m) => m,
            ShardSize::Bytes(bytes) => (bytes / of_fields(specs).max(1)).clamp(1, limits::SIMULATIONS as u64) as usize,
        }
    }

    /// The same as a number of simulations; an error where all that universes have are lists.
    pub fn resolved(&self, specs: &[FieldSpec]) -> Result<ShardSize> {
        if matches!(self, ShardSize::Bytes(_)) && specs.iter().all(|spec| spec.bytes() == 0) {
            let error = Error::input("all fields are lists, whose length nobody knows before").key("suite.shard_size");
            return Err(error.value(self).remedy("give a number of simulations, as in shard_size = 64"));
        }
        Ok(ShardSize::Simulations(self.simulations(specs)))
    }
}

impl From<usize> for ShardSize {
    fn from(simulations: usize) -> ShardSize {
        ShardSize::Simulations(simulations)
    }
}

impl From<ShardSize> for Written {
    fn from(size: ShardSize) -> Written {
        match size {
            ShardSize::Simulations(m) => Written::Simulations(m),
            ShardSize::Bytes(_) => Written::Bytes(size.to_string()),
        }
    }
}

impl TryFrom<Written> for ShardSize {
    type Error = String;

    fn try_from(written: Written) -> Result<ShardSize, String> {
        let text = match written {
            Written::Simulations(m) => return Ok(ShardSize::Simulations(m)),
            Written::Bytes(text) => text,
        };
        let bytes = Bytes::try_from(text).map(|bytes| ShardSize::Bytes(bytes.0));
        bytes.map_err(|problem| format!("{problem}; or a number of simulations without quotes"))
    }
}

impl fmt::Display for ShardSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShardSize::Simulations(m) => m.fmt(f),
            ShardSize::Bytes(bytes) => Bytes(*bytes).fmt(f),
        }
    }
}

/// What shards of `m` of `n` simulations come to, in words.
pub fn in_words(m: usize, n: usize, specs: &[FieldSpec]) -> String {
    let each = of_fields(specs);
    let lists = if specs.iter().any(|s| s.ragged) { ", lists not counted" } else { "" };
    let bytes = size(each.saturating_mul(m.min(n) as u64));
    format!("{} of up to {} simulations, {bytes} each{lists}", n.div_ceil(m), m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::field::AxisKind;

    #[test]
    fn sizes_are_counts_or_bytes() {
        let read = |text: &str| serde_json::from_str::<ShardSize>(text);
        assert_eq!(read("64").unwrap(), ShardSize::Simulations(64));
        for (text, bytes, again) in [
            ("256 MB", 256_000_000, "256 MB"),
            ("1.5GB", 1_500_000_000, "1500 MB"),
            ("2 MiB", 2 << 20, "2 MiB"),
            ("7B", 7, "7 B"),
        ] {
            let size = read(&format!("{text:?}")).unwrap();
            assert_eq!((size, size.to_string().as_str()), (ShardSize::Bytes(bytes), again));
            assert_eq!(serde_json::to_value(size).unwrap(), again);
        }
        for text in ["\"MB\"", "\"5\"", "\"5 mb\"", "\"-1 MB\"", "\"nan MB\"", "\"1e30 MB\"", "-3", "1.5", "[1]"] {
            assert!(read(text).unwrap_err().to_string().contains("256 MB"), "{text}");
        }
        let specs = [FieldSpec::of("maps", &[10, 25], &[AxisKind::Flat; 2])];
        let of = |bytes| ShardSize::Bytes(bytes).simulations(&specs);
        assert_eq!([of(1), of(2999), of(3000), of(u64::MAX)], [1, 2, 3, limits::SIMULATIONS]);
        let list = [FieldSpec { ragged: true, ..FieldSpec::of("halos", &[0, 3], &[AxisKind::Index; 2]) }];
        assert!(ShardSize::Bytes(5).resolved(&list).is_err() && ShardSize::from(5).resolved(&list).is_ok());
        assert_eq!(in_words(64, 100, &specs), "2 of up to 64 simulations, 64.000 kB each");
    }
}
