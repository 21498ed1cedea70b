//! Lists as observations, as datasets have them: all rows one list after another in `NAME/data`, and in `NAME/offsets`
//! where each begins. An array `NAME` is one list.

use super::FieldFile;
use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::Elements;

impl FieldFile<'_> {
    /// The array that holds a field's numbers.
    pub(super) fn array_of(&self, spec: &FieldSpec) -> String {
        let data = format!("{}/data", spec.name);
        if spec.ragged && self.file.exists(&data) { data } else { spec.name.clone() }
    }

    /// Where each of n lists begins among `rows` of them all, and the end of the last (n + 1); `None` of one list
    /// alone.
    pub(super) fn offsets(&self, spec: &FieldSpec, rows: usize) -> Result<Option<Vec<usize>>> {
        let (data, at) = (self.array_of(spec), format!("{}/offsets", spec.name));
        if data == spec.name {
            return Ok(None);
        }
        let refuse = |problem: String| {
            let remedy = format!(
                "offsets are n + 1 whole numbers for n lists, from 0 to the number of rows: list i has the rows \
                 {data}[offsets[i]:offsets[i + 1]]"
            );
            Err(Error::input(problem).key(&at).remedy(remedy))
        };
        let array = self.file.array(&at)?;
        let (shape, elements) = (array.shape(), array.elements()?);
        if shape.len() != 1 || shape == [0] || elements != Elements::Integer {
            return refuse(format!("is no list of whole numbers: it has shape {shape:?} and holds {elements}"));
        }
        array.is_believable()?;
        let ends: Vec<i64> = self.file.read_checked(&at, None)?;
        if let Some(i) = (1..ends.len()).find(|&i| ends[i] < ends[i - 1]) {
            return refuse(format!("number {} is {}, less than {} before it", i + 1, ends[i], ends[i - 1]));
        }
        match (ends[0], ends[ends.len() - 1]) {
            (0, end) if end == rows as i64 => Ok(Some(ends.into_iter().map(|end| end as usize).collect())),
            (first, end) => refuse(format!("they go from {first} to {end}, and {data} has {rows} rows")),
        }
    }
}
