//! Named tensors in a safetensors file, as Python's `safetensors` reads them too.

use crate::error::{At, Error, Result};
use safetensors::{Dtype, SafeTensors, View, serialize_to_file};
use std::borrow::Cow;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The types of numbers that are written, as libtorch and as the file names them.
const TYPES: [(Kind, Dtype); 5] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Int64, Dtype::I64),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

/// A tensor on its way into a file: its type there, its shape, and itself, contiguous in the host's memory.
struct Entry(Dtype, Vec<usize>, Tensor);

impl View for Entry {
    fn dtype(&self) -> Dtype {
        self.0
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        bytes(&self.2).into()
    }
    fn data_len(&self) -> usize {
        self.2.numel() * self.2.kind().elt_size_in_bytes()
    }
}

/// A tensor's bytes, in memory order.
pub fn bytes(t: &Tensor) -> Vec<u8> {
    let t = t.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
    t.copy_data_u8(&mut bytes, t.numel());
    bytes
}

/// Writes tensors of any device; the file is given its name, and brought to the disk, by
/// [`crate::io::hdf::publish_file`].
pub fn write(tensors: &[(String, Tensor)], path: &Path) -> Result<()> {
    let entry = |(name, t): &(String, Tensor)| {
        let known = TYPES.iter().find(|(kind, _)| *kind == t.kind());
        let (_, dtype) = known.ok_or_else(|| Error::failed(format!("{name} is of {:?}", t.kind())).file(path))?;
        let shape = t.size().iter().map(|&n| n as usize).collect();
        Ok((name.clone(), Entry(*dtype, shape, t.detach().to_device(Device::Cpu).contiguous())))
    };
    let entries = tensors.iter().map(entry).collect::<Result<Vec<_>>>()?;
    serialize_to_file(entries, None, path).map_err(|e| Error::io(format!("cannot be written: {e}")).file(path))
}

/// Reads tensors, sorted by their names; an error that tells the problem alone where they are none that [`write`]
/// writes.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let file = std::fs::read(path).at(path)?;
    let bad = |problem: String| Error::failed(problem).file(path);
    let there = SafeTensors::deserialize(&file).map_err(|e| bad(format!("it is damaged: {e}")))?;
    let tensor = |(name, view): (String, safetensors::tensor::TensorView)| {
        let known = TYPES.iter().find(|(_, dtype)| *dtype == view.dtype());
        let (kind, _) = known.ok_or_else(|| bad(format!("{name} is of {:?}", view.dtype())))?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let made = Tensor::f_from_data_size(view.data(), &shape, *kind);
        Ok((name.clone(), made.map_err(|e| bad(format!("{name}: {e}")))?))
    };
    let mut all = there.tensors().into_iter().map(tensor).collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_and_libtorchs_own_reader_sees_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let transposed = Tensor::from_slice(&[1.5f32, -0.0, f32::NAN, 4.0, 5.0, 6.0]).view([2, 3]).tr();
        let all: Vec<(String, Tensor)> = [
            ("turned", transposed),
            ("double", Tensor::from_slice(&[1.0 / 3.0, f64::INFINITY])),
            ("whole", Tensor::from_slice(&[i64::MIN, 7])),
            ("bytes", Tensor::from_slice(b"as text")),
            ("flags", Tensor::from_slice(&[true, false])),
            ("empty", Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
            ("scalar", Tensor::from(2.5f64)),
        ]
        .map(|(name, t)| (name.to_string(), t))
        .into();
        write(&all, &path).unwrap();
        // Files that libtorch's binding wrote, as programs before did, are read as well.
        let older = dir.path().join("b.safetensors");
        let contiguous: Vec<(&str, Tensor)> = all.iter().map(|(n, t)| (n.as_str(), t.contiguous())).collect();
        Tensor::write_safetensors(&contiguous, &older).unwrap();
        for found in [read(&path).unwrap(), read(&older).unwrap(), Tensor::read_safetensors(&path).unwrap()] {
            assert_eq!(found.len(), all.len());
            for (name, t) in &all {
                let other = &found.iter().find(|(n, _)| n == name).unwrap().1;
                assert_eq!((t.size(), t.kind(), bytes(t)), (other.size(), other.kind(), bytes(other)), "{name}");
            }
        }
        let strange = [("c".to_string(), Tensor::zeros([2], (Kind::ComplexFloat, Device::Cpu)))];
        assert!(write(&strange, &path).unwrap_err().to_string().contains("c is of ComplexFloat"));
        std::fs::write(&path, &std::fs::read(&older).unwrap()[..200]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("a.safetensors"));
    }
}
