//! Rows of an array of one file, read by all ranks.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::hdf::{Element, File};

/// Some rows of an array of numbers that has `n`; refused where it is something else. Collective: ranks begin to read
/// when none of them refuses.
pub(super) fn block<T: Element>(
    comm: &Comm,
    file: &File,
    name: &str,
    n: u64,
    start: &[usize],
    count: &[usize],
) -> Result<Vec<T>> {
    let open = || {
        let array = file.array(name)?;
        let shape = array.shape();
        if shape.len() != count.len() || shape[0] as u64 != n || shape[1..] != count[1..] {
            let error = Error::input(format!("has shape {shape:?}, but the header counts {n} particles"));
            return Err(error.file(file.path()).key(name).remedy("give a whole snapshot"));
        }
        array.dtype().map_err(|e| e.remedy("give a snapshot in GADGET's HDF5 format"))?;
        array.is_believable()?;
        Ok(array)
    };
    let array = comm.agree(open())?;
    comm.agree(array.read(start, count))
}
