//! Numbers as NumPy names them, and files of them that grow.

use super::fits::Maps;
use crate::error::{At, Result};
use crate::io::field::Dtype;
use crate::io::hdf::{Element, Word};
use bytemuck::NoUninit;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Numbers, and words, of small arrays.
pub trait Number: Element + NoUninit {
    /// Without the byte order.
    const CODE: &'static str;
}

macro_rules! number {
    ($($type:ty: $code:literal),*) => {
        $(impl Number for $type {
            const CODE: &'static str = $code;
        })*
    };
}
number!(f64: "f8", u64: "u8", i64: "i8", u32: "u4", u8: "u1", Word: "S64");

/// Of a field.
pub fn code(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "f4",
        Dtype::F64 => "f8",
        Dtype::I64 => "i8",
    }
}

/// As `numpy.dtype` reads it, in this machine's byte order.
pub fn descr(code: &str) -> String {
    let order = if ["u1", "S64"].contains(&code) { '|' } else { ['>', '<'][cfg!(target_endian = "little") as usize] };
    format!("{order}{code}")
}

/// The header of a `.npy` file (format 1.0): a dictionary in Python's spelling, filled up to a multiple of 64 bytes.
pub fn npy_header(code: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr(code), shape.trim_end());
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    header
}

/// An array that is being written, row by row.
pub enum Growing {
    Npy(PathBuf, BufWriter<File>),
    /// FITS files.
    Maps(Maps),
    /// Zarr's: files of so many bytes each, whose names end like that.
    Chunks {
        folder: PathBuf,
        bytes: usize,
        ending: String,
        full: usize,
        rest: Vec<u8>,
    },
}

/// Bytes of a chunk, unless a universe has more.
const CHUNK: usize = 1 << 20;

/// Rows of a chunk.
pub fn chunk_rows(code: &str, shape: &[usize]) -> usize {
    let row: usize = shape[1..].iter().product::<usize>() * width(code);
    (CHUNK / row.max(1)).clamp(1, shape[0].max(1))
}

fn width(code: &str) -> usize {
    code[1..].parse().unwrap_or(1)
}

impl Growing {
    pub fn npy(path: PathBuf, code: &str, shape: &[usize]) -> Result<Growing> {
        let mut file = BufWriter::new(File::create(&path).at(&path)?);
        file.write_all(&npy_header(code, shape)).at(&path)?;
        Ok(Growing::Npy(path, file))
    }

    pub fn chunks(folder: &Path, code: &str, shape: &[usize]) -> Growing {
        let bytes = chunk_rows(code, shape) * shape[1..].iter().product::<usize>() * width(code);
        let ending = ".0".repeat(shape.len() - 1);
        Growing::Chunks { folder: folder.into(), bytes, ending, full: 0, rest: vec![] }
    }

    pub fn append(&mut self, more: &[u8]) -> Result<()> {
        match self {
            Growing::Npy(path, file) => file.write_all(more).at(path),
            Growing::Maps(maps) => maps.append(more),
            Growing::Chunks { folder, bytes, ending, full, rest } => {
                rest.extend(more);
                let whole = rest.len() / (*bytes).max(1) * *bytes;
                for chunk in rest[..whole].chunks((*bytes).max(1)) {
                    let path = folder.join(format!("{full}{ending}"));
                    std::fs::write(&path, chunk).at(&path)?;
                    *full += 1;
                }
                rest.drain(..whole);
                Ok(())
            }
        }
    }

    /// The last chunk is filled up with zeros.
    pub fn end(mut self) -> Result<()> {
        match &mut self {
            Growing::Npy(path, file) => file.flush().at(path),
            Growing::Maps(_) => Ok(()),
            Growing::Chunks { bytes, rest, .. } if !rest.is_empty() => {
                let missing = vec![0; *bytes - rest.len()];
                self.append(&missing)
            }
            Growing::Chunks { .. } => Ok(()),
        }
    }
}
