//! `[simulator.shift]`: how far below 0 lognormal maps may reach.

use crate::list::OneOrMany;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far below 0 maps may reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "give a number, one for each map, or \"theory\"")]
pub enum Shift {
    Numbers(OneOrMany<f64>),
    Named(Named),
}

/// Shifts that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    /// Of the third moment of convergence, in each universe; 1 of counts.
    Theory,
}
