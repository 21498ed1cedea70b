//! What a model is built for.

use super::batch::{absent, is_list};
use crate::error::Result;
use crate::io::field::FieldSpec;
use crate::prior::Prior;
use tch::{Device, Kind, nn};

/// The samples that a model will see, where, and in which precision.
pub struct Task<'a> {
    /// Their columns, each by the name that it has in a batch; "theta" needs no description.
    pub columns: &'a [FieldSpec],
    pub prior: &'a Prior,
    pub device: Device,
    pub kind: Kind,
}

impl Task<'_> {
    /// The description of an array: "x", "target", or a field by its name.
    pub fn array(&self, name: &str) -> Result<&FieldSpec> {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let spec = self.columns.iter().find(|c| c.name == name).ok_or_else(|| absent(name, &names))?;
        if spec.ragged { Err(is_list(name)) } else { Ok(spec) }
    }

    /// An empty store for a part's variables.
    pub fn variables(&self) -> nn::VarStore {
        let mut vs = nn::VarStore::new(self.device);
        vs.set_kind(self.kind);
        vs
    }
}
