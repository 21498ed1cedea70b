//! What a model is built for.

use super::Part;
use super::batch::{absent, is_list};
use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::prior::Prior;
use tch::{Device, Kind, nn};

/// The samples that a model will see, where, and in which precision. Columns have the names that they have in a batch,
/// see [`named`]; "theta" needs no description.
pub struct Task<'a> {
    pub inputs: &'a [FieldSpec],
    /// What it is to make of them, or the labels that it is to tell.
    pub targets: &'a [FieldSpec],
    pub prior: &'a Prior,
    pub device: Device,
    pub kind: Kind,
}

/// Fields as columns of a batch: the only one is called `alone` ("x", "target"), several keep their names.
pub fn named(mut fields: Vec<FieldSpec>, alone: &str) -> Vec<FieldSpec> {
    if let [one] = &mut fields[..] {
        one.name = alone.into();
    }
    fields
}

impl Task<'_> {
    fn column(&self, name: &str) -> Result<&FieldSpec> {
        let all = || self.inputs.iter().chain(self.targets);
        let names: Vec<&str> = all().map(|c| c.name.as_str()).collect();
        all().find(|c| c.name == name).ok_or_else(|| absent(name, &names))
    }

    /// The description of an array: "x", "target", or a field by its name.
    pub fn array(&self, name: &str) -> Result<&FieldSpec> {
        let spec = self.column(name)?;
        if spec.ragged { Err(is_list(name)) } else { Ok(spec) }
    }

    /// The description of a list.
    pub fn list(&self, name: &str) -> Result<&FieldSpec> {
        let spec = self.column(name)?;
        if spec.ragged { Ok(spec) } else { Err(Error::input("is an array, and a list is needed").key(name)) }
    }

    /// The descriptions of all inputs, none of which is a list.
    pub fn arrays(&self) -> Result<&[FieldSpec]> {
        self.inputs.iter().find(|spec| spec.ragged).map_or(Ok(self.inputs), |list| Err(is_list(&list.name)))
    }

    /// How many numbers an array has.
    pub fn numbers(&self, name: &str) -> Result<i64> {
        Ok(self.array(name)?.shape.iter().product::<usize>() as i64)
    }

    /// A part without variables.
    pub fn part(&self, name: impl Into<String>) -> Part {
        let mut vs = nn::VarStore::new(self.device);
        vs.set_kind(self.kind);
        Part::new(name, vs)
    }
}
