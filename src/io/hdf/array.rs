//! Arrays of a file: blocks of rows and columns, read and written by all ranks of the file at once.

use super::elements::{Elements, texts};
use super::memory::{all_memory, size, zeros};
use super::{Element, agreed, explain};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::field::{Data, Dtype};
use hdf5_sys::{h5d, h5i::hid_t, h5p, h5s, h5z};
use std::path::PathBuf;

/// Filters that files are compressed with, by the numbers that the HDF Group has given them.
const FILTERS: [(i32, &str); 8] = [
    (4, "szip"),
    (32000, "lzf"),
    (32001, "blosc"),
    (32004, "lz4"),
    (32008, "bitshuffle"),
    (32013, "zfp"),
    (32015, "zstd"),
    (32026, "blosc2"),
];

/// An array of a file.
pub struct Array {
    pub(super) inner: hdf5::Dataset,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) comm: Option<Comm>,
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_tuple("Array").field(&self.path).field(&self.name).finish()
    }
}

impl Array {
    /// Lengths of its axes.
    pub fn shape(&self) -> Vec<usize> {
        self.inner.shape()
    }

    /// The files that a virtual array takes its rows from and the arrays in them, as it names them; none for an
    /// ordinary array.
    pub fn sources(&self) -> Vec<(String, String)> {
        let Ok(plist) = self.inner.create_plist() else { return vec![] };
        type Ask = unsafe extern "C" fn(hid_t, usize, *mut std::ffi::c_char, usize) -> isize;
        hdf5::sync::sync(|| {
            let mut count = 0;
            // SAFETY: asks a list that lives here for a number.
            if unsafe { h5p::H5Pget_virtual_count(plist.id(), &mut count) } < 0 {
                return vec![];
            }
            let name = |i: usize, ask: Ask| {
                let mut text = vec![0u8; 4096];
                // SAFETY: HDF5 writes at most `text.len()` bytes, with a zero at the end.
                let found = unsafe { ask(plist.id(), i, text.as_mut_ptr().cast(), text.len()) };
                text.truncate(usize::try_from(found).unwrap_or(0));
                String::from_utf8_lossy(&text).into_owned()
            };
            (0..count).map(|i| (name(i, h5p::H5Pget_virtual_filename), name(i, h5p::H5Pget_virtual_dsetname))).collect()
        })
    }

    /// The file that it stands in; `None` where its numbers stand in others that are not HDF5.
    pub fn holder(&self) -> Option<PathBuf> {
        let plist = self.inner.create_plist().ok()?;
        // SAFETY: asks a list that lives here for a number.
        let raw = hdf5::sync::sync(|| unsafe { h5p::H5Pget_external_count(plist.id()) });
        (raw == 0).then(|| PathBuf::from(self.inner.filename()))
    }

    /// What its elements are.
    pub fn elements(&self) -> Result<Elements> {
        self.inner.dtype().map(|t| Elements::of(&t)).map_err(|e| self.name_it(explain(e)))
    }

    /// Its element type, as the nearest one that fields have; an error for what is no number.
    pub fn dtype(&self) -> Result<Dtype> {
        self.elements()?.dtype().map_err(|e| self.name_it(e))
    }

    /// Refuses a shape that the file cannot mean: more than this machine's memory, where next to nothing was written.
    /// Compression makes numbers a thousand times smaller at best (deflate: 1032).
    pub fn is_believable(&self) -> Result<()> {
        let bytes = self.shape().iter().fold(8u64, |bytes, &n| bytes.saturating_mul(n as u64));
        let stored = self.inner.storage_size();
        let elsewhere = !self.sources().is_empty();
        if elsewhere || stored.saturating_mul(1100) >= bytes || all_memory().is_none_or(|all| bytes <= all) {
            return Ok(());
        }
        let (claimed, stored) = (size(bytes), size(stored));
        let problem = format!("has shape {:?}, {claimed}, of which the file holds {stored}", self.shape());
        Err(self.name_it(Error::input(problem).remedy("give an array no larger than what was written to it")))
    }

    /// Its elements as text; `None` if they are something else.
    pub fn texts(&self) -> Result<Option<Vec<String>>> {
        let stored = self.inner.dtype().map_err(|e| self.name_it(explain(e)))?;
        let read = |t, to| {
            // SAFETY: `to` has room for all elements of this type.
            unsafe { h5d::H5Dread(self.inner.id(), t, h5s::H5S_ALL, h5s::H5S_ALL, h5p::H5P_DEFAULT, to) }
        };
        texts(&stored, self.inner.size(), read).map_err(|e| self.name_it(e))
    }

    /// Writes the block `start .. start + count`; collective in a parallel file, where a rank with nothing gives a
    /// count of 0. All ranks learn of one that could not write.
    pub fn write<T: Element>(&self, start: &[usize], count: &[usize], data: &[T]) -> Result<()> {
        let fits = self.fits(start, count).and_then(|elements| match elements == data.len() {
            true => Ok(()),
            false => {
                let problem = format!("{} elements do not fill a block {count:?}", data.len());
                Err(self.name_it(Error::failed(problem)))
            }
        });
        agreed(&self.comm, fits)?;
        let written = self.transfer::<T>(start, count, |memory, file, plist, dtype| {
            // SAFETY: `fits` and the selections agree on `data.len()` elements of T; HDF5 only reads them.
            unsafe { h5d::H5Dwrite(self.inner.id(), dtype, memory, file, plist, data.as_ptr().cast()) }
        });
        agreed(&self.comm, written)
    }

    /// Reads the block `start .. start + count`, converted to `T`; collective in a parallel file, where no rank begins
    /// before all have room for theirs.
    pub fn read<T: Element>(&self, start: &[usize], count: &[usize]) -> Result<Vec<T>> {
        let empty = self.fits(start, count).and_then(|n| zeros(n).map_err(|e| self.name_it(e)));
        let mut data: Vec<T> = agreed(&self.comm, empty)?;
        let read = self.transfer::<T>(start, count, |memory, file, plist, dtype| {
            // SAFETY: `data` holds as many elements of T as the selections do, and lives through the call.
            unsafe { h5d::H5Dread(self.inner.id(), dtype, memory, file, plist, data.as_mut_ptr().cast()) }
        });
        agreed(&self.comm, read).map(|()| data)
    }

    /// [`Array::write`] for a field's data.
    pub fn write_data(&self, start: &[usize], count: &[usize], data: &Data) -> Result<()> {
        match data {
            Data::F32(v) => self.write(start, count, v),
            Data::F64(v) => self.write(start, count, v),
            Data::I64(v) => self.write(start, count, v),
        }
    }

    /// [`Array::read`] for a field's data.
    pub fn read_data(&self, dtype: Dtype, start: &[usize], count: &[usize]) -> Result<Data> {
        Ok(match dtype {
            Dtype::F32 => Data::F32(self.read(start, count)?),
            Dtype::F64 => Data::F64(self.read(start, count)?),
            Dtype::I64 => Data::I64(self.read(start, count)?),
        })
    }

    /// Reads rows `start .. start + rows` of the first axis.
    pub fn read_rows(&self, dtype: Dtype, start: usize, rows: usize) -> Result<Data> {
        let (start, count) = self.rows(start, rows);
        self.read_data(dtype, &start, &count)
    }

    /// Writes rows from `start` on of the first axis.
    pub fn write_rows(&self, start: usize, rows: usize, data: &Data) -> Result<()> {
        let (start, count) = self.rows(start, rows);
        self.write_data(&start, &count, data)
    }

    /// The block of whole rows `start .. start + rows`.
    fn rows(&self, start: usize, rows: usize) -> (Vec<usize>, Vec<usize>) {
        let mut count = self.shape();
        let mut from = vec![0; count.len()];
        if let (Some(c), Some(f)) = (count.first_mut(), from.first_mut()) {
            (*c, *f) = (rows, start);
        }
        (from, count)
    }

    fn name_it(&self, e: Error) -> Error {
        e.file(&self.path).key(&self.name)
    }

    /// Elements of a block; an error where it lies outside the array.
    fn fits(&self, start: &[usize], count: &[usize]) -> Result<usize> {
        let shape = self.shape();
        let inside = start.len() == shape.len()
            && count.len() == shape.len()
            && (0..shape.len()).all(|i| start[i].checked_add(count[i]).is_some_and(|end| end <= shape[i]));
        match count.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).filter(|_| inside) {
            Some(elements) => Ok(elements),
            None => {
                let problem = format!("a block {start:?} + {count:?} does not fit the shape {shape:?}");
                Err(self.name_it(Error::failed(problem)))
            }
        }
    }

    /// Makes the two selections and the transfer list (collective in a parallel file), and runs `call` with them.
    fn transfer<T: Element>(
        &self,
        start: &[usize],
        count: &[usize],
        call: impl FnOnce(hid_t, hid_t, hid_t, hid_t) -> i32,
    ) -> Result<()> {
        let dtype = hdf5::Datatype::from_type::<T>().map_err(|e| self.name_it(explain(e)))?;
        let space = self.inner.space().map_err(|e| self.name_it(explain(e)))?;
        let wide = |v: &[usize]| v.iter().map(|&n| n as u64).collect::<Vec<_>>();
        let (start, count) = (wide(start), wide(count));
        let done = hdf5::sync::sync(|| {
            // SAFETY: plain HDF5 calls on identifiers that live here, under the crate's lock; the slices are as long as
            // the array has axes (`fits`), and both identifiers made here are closed.
            unsafe {
                let (memory, plist) = if count.is_empty() {
                    (h5s::H5Screate(h5s::H5S_class_t::H5S_SCALAR), h5p::H5Pcreate(*h5p::H5P_CLS_DATASET_XFER))
                } else {
                    let memory = h5s::H5Screate_simple(count.len() as i32, count.as_ptr(), std::ptr::null());
                    if count.contains(&0) {
                        h5s::H5Sselect_none(space.id());
                        h5s::H5Sselect_none(memory);
                    } else {
                        let (set, none) = (h5s::H5S_seloper_t::H5S_SELECT_SET, std::ptr::null());
                        h5s::H5Sselect_hyperslab(space.id(), set, start.as_ptr(), none, count.as_ptr(), none);
                    }
                    (memory, h5p::H5Pcreate(*h5p::H5P_CLS_DATASET_XFER))
                };
                if self.comm.is_some() {
                    h5p::H5Pset_dxpl_mpio(plist, h5p::H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE);
                }
                let status = call(memory, space.id(), plist, dtype.id());
                let failed = (status < 0).then(|| hdf5::Error::query().unwrap_or_else(|e| e));
                h5p::H5Pclose(plist);
                h5s::H5Sclose(memory);
                failed
            }
        });
        done.map_or(Ok(()), |e| Err(self.name_it(self.missing_filter().unwrap_or_else(|| explain(e)))))
    }

    /// The error about a filter of this array that is not installed, if there is one: HDF5's own tells of the vain
    /// search.
    fn missing_filter(&self) -> Option<Error> {
        let plist = self.inner.create_plist().ok()?;
        // SAFETY: asks a list that lives here; every output may be left out but the number of values, which is none.
        let missing = hdf5::sync::sync(|| unsafe {
            let filter = |i: i32| {
                let (mut flags, mut values, null) = (0, 0, std::ptr::null_mut());
                h5p::H5Pget_filter2(plist.id(), i as u32, &mut flags, &mut values, null, 0, null.cast(), null)
            };
            (0..h5p::H5Pget_nfilters(plist.id())).map(filter).find(|&id| id > 0 && h5z::H5Zfilter_avail(id) <= 0)
        })?;
        let name = FILTERS.iter().find(|f| f.0 == missing).map_or(String::new(), |f| format!(" ({})", f.1));
        let error = Error::io(format!("is compressed with HDF5's filter {missing}{name}, which is not installed here"));
        Some(error.remedy(
            "set HDF5_PLUGIN_PATH to the folder of that filter's plug-in, or rewrite the file where it can be read: \
             h5repack -f GZIP=1 OLD NEW",
        ))
    }
}
