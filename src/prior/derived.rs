//! Parameters that follow from those of a prior.

use serde::{Deserialize, Serialize};

/// A parameter that is computed from those that vary. Its prior is what theirs implies: it has no density in closed form,
/// and is told by draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    pub name: String,
    /// Label for plots, without dollar signs.
    pub latex: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What it is: the formula, or its definition in words.
    pub formula: String,
    /// Of draws from the prior.
    pub mean: f64,
    pub sd: f64,
}

impl Derived {
    /// True if it is the same, whatever draws from the prior tell of it.
    pub fn is(&self, other: &Derived) -> bool {
        let of = |d: &Derived| (d.name.clone(), d.latex.clone(), d.unit.clone(), d.formula.clone());
        of(self) == of(other)
    }
}
