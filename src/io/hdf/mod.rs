//! HDF5 as the rest of the program sees it: files, arrays, attributes, and errors that name file and dataset.
//!
//! A file opened on several ranks uses the MPI-IO driver and every transfer of an [`Array`] is collective there: all
//! ranks call it, some perhaps with nothing. On one rank the serial driver does the same, faster.

mod array;
pub mod attributes;
mod checked;
mod compression;
mod elements;
mod links;
mod memory;
mod publish;

pub use array::Array;
pub use checked::{damaged, other_checksum};
pub use compression::Compression;
pub use elements::Elements;
pub use memory::{free_memory, room};
pub use publish::{
    TEMPORARY, appear, is_unfinished, named, publish, publish_alone, publish_by, publish_bytes, publish_file,
    publish_keeping, publish_new, publish_text, remove_unfinished,
};

use crate::comm::Comm;
use crate::error::{At, Cause, Error, FREE_SOME_SPACE, Result};
use crate::io::field::{Dtype, FieldSpec};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// Numbers that stand in arrays.
pub trait Element: hdf5::H5Type + Copy + Default + 'static {}
impl<T: hdf5::H5Type + Copy + Default + 'static> Element for T {}

/// A text of at most 64 bytes, the most that the name of a node has; of a longer one the beginning.
#[derive(Debug, Clone, Copy, Default)]
#[repr(transparent)]
pub struct Word(hdf5::types::FixedUnicode<64>);

impl Word {
    /// Of any text.
    pub fn of(text: &str) -> Word {
        let end = (0..=text.len().min(64)).rev().find(|&end| text.is_char_boundary(end));
        Word(text[..end.unwrap_or(0)].parse().unwrap_or_default())
    }
}

// SAFETY: it is its 64 bytes, all of which are set.
unsafe impl bytemuck::NoUninit for Word {}

// SAFETY: it is the text that it holds.
unsafe impl hdf5::H5Type for Word {
    fn type_descriptor() -> hdf5::types::TypeDescriptor {
        hdf5::types::FixedUnicode::<64>::type_descriptor()
    }
}

/// An open file.
pub struct File {
    inner: hdf5::File,
    path: PathBuf,
    /// The ranks that share it, where there are several.
    comm: Option<Comm>,
    /// Bytes of its compressed arrays before they are: the most that they will take.
    compressed: Cell<u64>,
}

/// Starts the library; the program does so before it starts MPI. HDF5 that finds MPI running hooks into its shut-down,
/// closes there what is still open, and crashes on a file that could not be closed: on a full disk, say.
pub fn start() {
    hdf5::library_version();
}

/// Version of the HDF5 library. It is a parallel one: the program would not link with another.
pub fn version() -> String {
    let (major, minor, micro) = hdf5::library_version();
    format!("{major}.{minor}.{micro}, parallel")
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_tuple("File").field(&self.path).finish()
    }
}

impl File {
    /// Creates a file with the serial driver, replacing what is there.
    pub fn create(path: &Path) -> Result<File> {
        Self::with(path, None, true)
    }

    /// Collective: creates one file on all ranks of `comm`.
    pub fn create_on(comm: &Comm, path: &Path) -> Result<File> {
        comm.agree(Self::with(path, Some(comm), true))
    }

    /// Opens a file for reading with the serial driver.
    pub fn open(path: &Path) -> Result<File> {
        readable(path)?;
        Self::with(path, None, false)
    }

    /// Collective: opens one file for reading on all ranks of `comm`.
    pub fn open_on(comm: &Comm, path: &Path) -> Result<File> {
        // What one rank cannot read must not leave the others waiting for it in the parallel driver.
        comm.agree(readable(path))?;
        comm.agree(Self::with(path, Some(comm), false))
    }

    fn with(path: &Path, comm: Option<&Comm>, create: bool) -> Result<File> {
        let comm = comm.filter(|c| c.size() > 1);
        let mut builder = hdf5::FileBuilder::new();
        // Files appear whole, by a rename, so HDF5's own locks would only fail: on file systems without them, and while
        // a child process still holds what it inherited.
        builder.with_fapl(|p| p.file_locking(false));
        if let Some(comm) = comm {
            let raw = comm.raw();
            builder.with_fapl(|p| p.mpio(raw, None));
        }
        let mut file = if create { builder.create(path) } else { builder.open(path) };
        // One that HDF5 has opened itself, for a virtual array, has its locks, and may only be opened with these.
        if file.as_ref().is_err_and(|e| e.to_string().contains("file locking flag values don't match")) {
            file = hdf5::FileBuilder::new().open(path);
        }
        let inner = file.map_err(|e| explain(e).file(path))?;
        Ok(File { inner, path: path.to_path_buf(), comm: comm.cloned(), compressed: Cell::new(0) })
    }

    /// Where the file lies, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the room that the file still needs on its disk and `more`, where the file system can promise that.
    fn reserve(&self, more: u64) -> Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let file = std::fs::OpenOptions::new().write(true).open(&self.path).at(&self.path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, (self.inner.size() + more).max(1)) {
            Err(e) if [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT].contains(&e) => {
                Err(std::io::Error::from(e)).at(&self.path)
            }
            _ => Ok(()),
        }
    }

    /// Has the system begin to bring to the disk what it holds of the file, while more is made.
    pub fn begin_to_write(&self) {
        if let Ok(file) = std::fs::File::open(&self.path) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }

    /// Leaves the file as it is, for ever open: nothing more is written to it.
    fn abandon(self) {
        std::mem::forget(self.inner);
    }

    /// Closes the file and reports what had not reached the disk; collective where opening was.
    pub fn close(self) -> Result<()> {
        self.inner.close().map_err(|e| explain(e).file(&self.path))
    }

    /// Collective: a new array of a fixed shape, its contents undefined until written. Groups are made on the way.
    pub fn create_array<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Array> {
        self.create_with::<T>(name, shape, None)
    }

    fn create_with<T: Element>(&self, name: &str, shape: &[usize], with: Option<Compression>) -> Result<Array> {
        let mut builder = self.inner.new_dataset::<T>().fill_time(hdf5::dataset::FillTime::Never).shape(shape);
        if let Some(compression) = with {
            builder = builder.chunk(compression::chunk(shape, size_of::<T>())).set_filters(&compression.filters());
            let bytes = (shape.iter().product::<usize>() * size_of::<T>()) as u64;
            self.compressed.set(self.compressed.get() + bytes + bytes / 100);
        }
        let inner = agreed(&self.comm, builder.create(name).map_err(|e| explain(e).file(&self.path).key(name)))?;
        // Shared arrays lie in the file from here on. On a full disk MPI's collective writing fails on some ranks, for
        // which the others may wait: the room is taken before anybody writes.
        self.comm.as_ref().map_or(Ok(()), |comm| comm.on_root(|| self.reserve(self.compressed.get())))?;
        Ok(self.wrap(name, inner))
    }

    /// Collective: the array of a field of universes, compressed where that is worth it.
    pub fn create_stacked(&self, spec: &FieldSpec, shape: &[usize], with: Option<Compression>) -> Result<Array> {
        let with = with.filter(|compression| compression.takes(spec));
        match spec.dtype {
            Dtype::F32 => self.create_with::<f32>(&spec.name, shape, with),
            Dtype::F64 => self.create_with::<f64>(&spec.name, shape, with),
            Dtype::I64 => self.create_with::<i64>(&spec.name, shape, with),
        }
    }

    /// Like [`File::create_array`] for any [`Dtype`].
    pub fn create_array_of(&self, dtype: Dtype, name: &str, shape: &[usize]) -> Result<Array> {
        match dtype {
            Dtype::F32 => self.create_array::<f32>(name, shape),
            Dtype::F64 => self.create_array::<f64>(name, shape),
            Dtype::I64 => self.create_array::<i64>(name, shape),
        }
    }

    /// Collective: a new array with its contents, which rank 0 writes (`comm` is the one the file was created on;
    /// `None` for a serial file).
    pub fn write<T: Element>(&self, comm: Option<&Comm>, name: &str, shape: &[usize], data: &[T]) -> Result<()> {
        let array = self.create_array::<T>(name, shape)?;
        let mut count = shape.to_vec();
        let speaks = comm.is_none_or(|c| c.is_root());
        if !speaks && !count.is_empty() {
            count[0] = 0;
        }
        array.write(&vec![0; shape.len()], &count, if speaks { data } else { &data[..0] })
    }

    /// The whole array, converted to `T`.
    pub fn read<T: Element>(&self, name: &str) -> Result<Vec<T>> {
        let array = self.array(name)?;
        let shape = array.shape();
        array.read(&vec![0; shape.len()], &shape)
    }

    /// Serial: a virtual array of `shape`, the rows of its first axis taken from other files of this one's folder in
    /// order. All other rows, and those of absent files, read as NaN, or the smallest whole number.
    pub fn create_virtual(&self, dtype: Dtype, name: &str, shape: &[usize], parts: &[Part]) -> Result<()> {
        if shape[0] == 0 {
            return self.create_array_of(dtype, name, shape).map(|_| ());
        }
        use hdf5::SliceOrIndex as Slice;
        let block = |start: usize, rows: usize| {
            let rest = shape[1..].iter().map(|&n| Slice::from(0..n));
            hdf5::Hyperslab::from(std::iter::once(Slice::from(start..start + rows)).chain(rest).collect::<Vec<_>>())
        };
        let builder = match dtype {
            Dtype::F32 => self.inner.new_dataset::<f32>().fill_value(f32::NAN),
            Dtype::F64 => self.inner.new_dataset::<f64>().fill_value(f64::NAN),
            Dtype::I64 => self.inner.new_dataset::<i64>().fill_value(i64::MIN),
        };
        let mut maps = vec![];
        for part in parts.iter().filter(|p| p.rows > 0) {
            let mut extent = shape.to_vec();
            extent[0] = part.stored;
            maps.push((part, extent, block(part.from, part.rows), block(part.at, part.rows)));
        }
        let builder = builder.shape(shape).with_dcpl(|p| {
            maps.iter().fold(p, |p, (part, extent, from, to)| {
                p.virtual_map(&part.file, &part.array, &extent[..], from.clone(), shape, to.clone())
            })
        });
        builder.create(name).map(|_| ()).map_err(|e| explain(e).file(&self.path).key(name))
    }

    fn wrap(&self, name: &str, inner: hdf5::Dataset) -> Array {
        Array { inner, path: self.path.clone(), name: name.to_string(), comm: self.comm.clone() }
    }
}

/// The result on all ranks that share a file, or the error of one of them.
fn agreed<T>(comm: &Option<Comm>, result: Result<T>) -> Result<T> {
    match comm {
        Some(comm) => comm.agree(result),
        None => result,
    }
}

/// One source of a virtual array.
#[derive(Debug, Clone)]
pub struct Part {
    /// File, relative to the folder of the file with the virtual array.
    pub file: String,
    /// Name of the array in that file.
    pub array: String,
    /// Rows it holds there.
    pub stored: usize,
    /// The first that is taken.
    pub from: usize,
    /// Rows taken.
    pub rows: usize,
    /// Where they begin in the virtual array.
    pub at: usize,
}

fn readable(path: &Path) -> Result<()> {
    let bad = |problem: &str, remedy: &str| Err(Error::input(problem).file(path).remedy(remedy));
    match std::fs::metadata(path) {
        Ok(m) if m.is_dir() => return bad("is a folder, not an HDF5 file", "name a file in it"),
        Ok(m) if !m.is_file() => return bad("is no ordinary file", "give a file in HDF5 format"),
        Ok(m) if m.len() == 0 => return bad("is empty", "remove it and make it again"),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return bad("no such file", "check the path"),
        Err(e) => return Err(e).at(path),
    }
    // The signature may follow a user block of 512, 1024 … bytes (HDF5 specification, II.A).
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path).at(path)?;
    let length = file.metadata().at(path)?.len();
    let places = std::iter::once(0).chain((9..).map(|k| 1u64 << k)).take_while(|&at| at < length);
    for at in places {
        let mut head = [0u8; 8];
        if file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut head)).is_ok()
            && head == *b"\x89HDF\r\n\x1a\n"
        {
            return Ok(());
        }
    }
    bad("is not an HDF5 file", "give a file in HDF5 format")
}

/// Has the system forget what it holds of a file in memory, so that reading it asks the disk: for benches.
pub fn forget(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).at(path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(std::io::Error::from).at(path)
}

/// An error about a file that the user gave: one that cannot be read is bad input, whatever HDF5 calls it.
pub fn given(e: Error) -> Error {
    if e.kind != Cause::Io {
        return e;
    }
    let e = Error { kind: Cause::Input, problem: format!("cannot be read: {}", e.problem), ..e };
    let truncated = e.problem.contains("truncated");
    let remedy = "it is incomplete: copy it here again from where it was made";
    if truncated {
        Error { remedy: Some(remedy.into()), ..e }
    } else {
        e.remedy("give a whole HDF5 file that you may read")
    }
}

/// HDF5's error with a remedy where one is known.
fn explain(e: hdf5::Error) -> Error {
    let mut text = e.to_string();
    let mut frames = vec![];
    if let Some(stack) = e.stack() {
        text = stack.description().to_string();
        frames = (0..stack.len()).filter_map(|i| stack.get(i)?.detail()).collect();
        // The deepest frame is the cause: "No space left on device", "Permission denied" …
        if let Some(deepest) = frames.last() {
            text = format!("{text} ({deepest})");
        }
    }
    let error = Error::io(format!("HDF5: {text}"));
    let says = |what: &str| text.to_lowercase().contains(what);
    if says("unable to lock file") || says("resource temporarily unavailable") {
        error.remedy("another program has this file open: close it there; on a file system without locks set HDF5_USE_FILE_LOCKING=FALSE")
    } else if says("truncated") {
        error.remedy("the file is incomplete: copy it again, or remove it and run the same command again")
    } else if says("no space") {
        error.remedy(FREE_SOME_SPACE)
    } else if says("permission denied") || says("errno = 13") {
        error.remedy("choose a place you may write to, or change its permissions")
    } else if frames.iter().any(|f| f.contains("external raw data file")) {
        error
            .remedy("the numbers lie in a file of their own, beside this one: put it back where this file looks for it")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let file = File::create(&path).unwrap();
        let array = file.create_array::<f32>("group/a", &[3, 4]).unwrap();
        array.write(&[0, 0], &[3, 4], &[0f32; 12]).unwrap();
        array.write(&[1, 1], &[2, 2], &[1f32, 2., 3., 4.]).unwrap();
        assert!(array.write(&[2, 1], &[2, 2], &[0f32; 4]).is_err(), "out of bounds");
        file.write(None, "scalar", &[], &[7i64]).unwrap();
        file.close().unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(file.array("group/a").unwrap().read::<f64>(&[1, 0], &[2, 3]).unwrap(), [0., 1., 2., 0., 3., 4.]);
        assert_eq!(file.read::<i64>("scalar").unwrap(), [7]);
        assert_eq!(file.arrays(), ["group/a", "scalar"]);
        assert!(file.exists("group/a") && !file.exists("nowhere/a"));
        assert_eq!(file.array("group/a").unwrap().dtype().unwrap(), Dtype::F32);
    }

    #[test]
    fn errors_name_file_and_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let missing = File::open(&path).unwrap_err();
        assert_eq!(missing.exit_code(), 2);
        std::fs::write(&path, "plain text").unwrap();
        assert!(File::open(&path).unwrap_err().to_string().contains("not an HDF5 file"));
        let file = File::create(&path).unwrap();
        file.write(None, "maps", &[1], &[1f32]).unwrap();
        let e = file.array("map").err().unwrap().to_string();
        assert!(e.contains("a.h5") && e.contains("map: no such dataset") && e.contains("maps"), "{e}");
        assert!(File::create(&dir.path().join("none/a.h5")).unwrap_err().to_string().contains("none/a.h5"));
    }
}
