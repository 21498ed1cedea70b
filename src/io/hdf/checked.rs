//! Small arrays that carry their own checksum (`crc32`, of their bytes in C order, as an attribute): everything that is
//! read before the fields. Fields have one per universe, beside them.

use super::{Element, File};
use crate::comm::Comm;
use crate::error::{Error, Result};
use bytemuck::{NoUninit, Pod};
use std::path::Path;

/// Attribute with the checksum.
const CHECKSUM: &str = "crc32";

impl File {
    /// [`File::write`], with a checksum; every rank has the data.
    pub fn write_checked<T: Element + NoUninit>(
        &self,
        comm: Option<&Comm>,
        name: &str,
        shape: &[usize],
        data: &[T],
    ) -> Result<()> {
        self.write(comm, name, shape, data)?;
        self.set_number(name, CHECKSUM, crc32fast::hash(bytemuck::cast_slice(data)))
    }

    /// Serial: a whole array of this shape, or of any; an error where it has another shape or not the checksum it was
    /// written with. Files of older programs have none.
    pub fn read_checked<T: Element + Pod>(&self, name: &str, shape: Option<&[usize]>) -> Result<Vec<T>> {
        let array = self.array(name)?;
        let is = array.shape();
        if let Some(shape) = shape.filter(|&shape| shape != is) {
            return Err(damaged(self.path(), name, format!("has shape {is:?}, not {shape:?}")));
        }
        let data: Vec<T> = array.read(&vec![0; is.len()], &is)?;
        match self.number(name, CHECKSUM)? {
            Some(sum) if sum != crc32fast::hash(bytemuck::cast_slice(&data)) as f64 => {
                Err(other_checksum(self.path(), name))
            }
            _ => Ok(data),
        }
    }
}

/// The error about numbers that changed since they were written.
pub fn other_checksum(file: &Path, name: &str) -> Error {
    damaged(file, name, "the data do not have the checksum they were written with".into())
}

/// The error about what only this program writes, and would not have written so.
pub fn damaged(file: &Path, name: &str, problem: String) -> Error {
    let error = Error::failed(format!("{problem}: the file is damaged")).file(file).key(name);
    error.remedy("remove this file and run `polycosm simulate`: what was in it is made anew; or copy it here again")
}
