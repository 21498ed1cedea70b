//! What the elements of an array or attribute are, in numbers and in words; and text, however it is stored.

use super::memory::zeros;
use crate::error::{Error, Result};
use crate::io::field::Dtype;
use hdf5::Datatype;
use hdf5_sys::h5::H5free_memory;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5t::{H5T_class_t, H5T_direction_t, H5T_sign_t};
use hdf5_sys::{h5d, h5p, h5s, h5t};
use std::ffi::{CStr, c_char, c_void};

/// What one element is.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// A floating-point number of so many bytes, from half precision to long double.
    Float(usize),
    Integer,
    /// Names that stand for whole numbers; a truth value is one of `FALSE` and `TRUE`.
    Enumeration(Vec<(String, i64)>),
    /// Text of so many bytes, or of any length.
    Text(Option<usize>),
    Complex,
    /// Anything else, in words.
    Other(&'static str),
}

impl std::fmt::Display for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Elements::Float(_) | Elements::Integer => "numbers",
            Elements::Enumeration(_) => "names for numbers",
            Elements::Text(_) => "text",
            Elements::Complex => "complex numbers",
            Elements::Other(words) => words,
        })
    }
}

impl Elements {
    pub(super) fn of(stored: &Datatype) -> Elements {
        let id = stored.id();
        // SAFETY: questions about a type that lives through the call, under the crate's lock.
        hdf5::sync::sync(|| unsafe {
            match h5t::H5Tget_class(id) {
                H5T_class_t::H5T_FLOAT => Elements::Float(h5t::H5Tget_size(id)),
                H5T_class_t::H5T_INTEGER => Elements::Integer,
                H5T_class_t::H5T_ENUM => members(id).map_or(Elements::Other("names"), Elements::Enumeration),
                H5T_class_t::H5T_STRING if h5t::H5Tis_variable_str(id) > 0 => Elements::Text(None),
                H5T_class_t::H5T_STRING => Elements::Text(Some(h5t::H5Tget_size(id))),
                H5T_class_t::H5T_COMPOUND if is_complex(id) => Elements::Complex,
                H5T_class_t::H5T_COMPOUND => Elements::Other("records of several values each"),
                H5T_class_t::H5T_ARRAY => Elements::Other("arrays in every element"),
                H5T_class_t::H5T_VLEN => Elements::Other("lists of varying length"),
                H5T_class_t::H5T_REFERENCE => Elements::Other("references to other objects"),
                H5T_class_t::H5T_OPAQUE | H5T_class_t::H5T_BITFIELD => Elements::Other("bytes of unknown meaning"),
                _ => Elements::Other("elements of an unknown type"),
            }
        })
    }

    /// The nearest type that fields have; an error for what is no number.
    pub fn dtype(&self) -> Result<Dtype> {
        match self {
            Elements::Float(bytes) if *bytes >= 8 => Ok(Dtype::F64),
            Elements::Float(_) => Ok(Dtype::F32),
            Elements::Integer | Elements::Enumeration(_) => Ok(Dtype::I64),
            Elements::Complex => Err(Error::input("holds complex numbers")
                .remedy("store real numbers, such as real and imaginary part along an axis of their own")),
            other => Err(Error::input(format!("holds {other}, not numbers")).remedy("name an array of real numbers")),
        }
    }
}

/// The name of member `i` of an enumeration or of a record.
unsafe fn member(id: hid_t, i: u32) -> Option<String> {
    let name = unsafe { h5t::H5Tget_member_name(id, i) };
    if name.is_null() {
        return None;
    }
    // SAFETY: HDF5 gives a text that ends in a zero byte and is ours to free.
    unsafe {
        let text = CStr::from_ptr(name).to_string_lossy().into_owned();
        H5free_memory(name.cast());
        Some(text)
    }
}

/// Members of an enumeration; `None` for what is wider than 64 bits.
unsafe fn members(id: hid_t) -> Option<Vec<(String, i64)>> {
    // SAFETY: `native` is of this machine's byte order and closed below; a value has as many bytes as the type, at most
    // 8.
    unsafe {
        let native = h5t::H5Tget_native_type(id, H5T_direction_t::H5T_DIR_ASCEND);
        let size = h5t::H5Tget_size(native);
        let base = h5t::H5Tget_super(native);
        let signed = h5t::H5Tget_sign(base) == H5T_sign_t::H5T_SGN_2;
        let value = |i: u32| {
            let mut bytes = [0u8; 8];
            (h5t::H5Tget_member_value(native, i, bytes.as_mut_ptr().cast()) >= 0).then_some(())?;
            let shift = 64 - 8 * size as u32;
            let bits = u64::from_ne_bytes(bytes);
            let bits = if cfg!(target_endian = "big") { bits } else { bits << shift };
            Some(if signed { bits as i64 >> shift } else { (bits >> shift) as i64 })
        };
        let fits = native >= 0 && (1..=8).contains(&size);
        let all = || (0..h5t::H5Tget_nmembers(native).max(0) as u32).map(|i| Some((member(native, i)?, value(i)?)));
        let found = if fits { all().collect() } else { None };
        h5t::H5Tclose(base);
        h5t::H5Tclose(native);
        found
    }
}

/// Two floating-point numbers that are called real and imaginary, as h5py and others write complex ones.
unsafe fn is_complex(id: hid_t) -> bool {
    // SAFETY: as for [`Elements::of`].
    unsafe {
        let float = |i: u32| h5t::H5Tget_member_class(id, i) == H5T_class_t::H5T_FLOAT;
        let starts = |i: u32, c: &str| member(id, i).is_some_and(|name| name.to_lowercase().starts_with(c));
        h5t::H5Tget_nmembers(id) == 2 && float(0) && float(1) && starts(0, "r") && starts(1, "i")
    }
}

/// `n` texts of this type, which `read` puts into memory; bytes that are no UTF-8 become replacement characters.
/// `None` for what is no text, or cannot be read.
pub(super) fn texts(
    stored: &Datatype,
    n: usize,
    read: impl FnOnce(hid_t, *mut c_void) -> i32,
) -> Result<Option<Vec<String>>> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(' ').to_string();
    match Elements::of(stored) {
        _ if n == 0 => Ok(Some(vec![])),
        Elements::Text(Some(size)) => {
            let mut bytes = zeros::<u8>(n.saturating_mul(size))?;
            let status = hdf5::sync::sync(|| read(stored.id(), bytes.as_mut_ptr().cast()));
            let ends = |text: &[u8]| text.iter().position(|&b| b == 0).unwrap_or(size);
            Ok((status >= 0).then(|| bytes.chunks(size).map(|text| shown(&text[..ends(text)])).collect()))
        }
        Elements::Text(None) => {
            let mut pointers = zeros::<usize>(n)?;
            hdf5::sync::sync(|| {
                if read(stored.id(), pointers.as_mut_ptr().cast()) < 0 {
                    return Ok(None);
                }
                // SAFETY: HDF5 has filled in one pointer per element, to a text that ends in a zero byte, or null; it
                // takes them back by the same type and number.
                unsafe {
                    let text = |&p: &usize| match p as *const c_char {
                        p if p.is_null() => String::new(),
                        p => shown(CStr::from_ptr(p).to_bytes()),
                    };
                    let found = pointers.iter().map(text).collect();
                    let space = h5s::H5Screate_simple(1, &(n as u64), std::ptr::null());
                    h5d::H5Dvlen_reclaim(stored.id(), space, h5p::H5P_DEFAULT, pointers.as_mut_ptr().cast());
                    h5s::H5Sclose(space);
                    Ok(Some(found))
                }
            })
        }
        _ => Ok(None),
    }
}
