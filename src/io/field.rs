//! Named, self-describing arrays: what a simulator hands to the suite, and a dataset's columns.

pub use super::axis::{Axis, AxisKind, Cube, HealpixOrder, Picture};

use crate::comm::Comm;
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Description of a field: everything but the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// Dataset name, e.g. `maps`.
    pub name: String,
    /// Shape of one universe's array; the first axis of a `ragged` field varies and stands as 0.
    pub shape: Vec<usize>,
    /// One per axis of `shape`.
    pub axes: Vec<Axis>,
    /// Unit of the values (`""` for a pure number).
    pub unit: String,
    /// What the numbers are, in one sentence.
    pub description: String,
    /// A list whose length differs between universes (halos, galaxies): stored as `name/data` and `name/offsets`.
    pub ragged: bool,
    /// Element type.
    pub dtype: Dtype,
    /// The keys of the campaign that say how it is looked at, by their dotted names, and their values (digests of
    /// files' contents, versions of `numerics`): with others it is another field of the same universe. Empty where
    /// there are none, and in what older programs wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Value>,
}

impl FieldSpec {
    /// A field of single precision with this shape and axes of these kinds, of which nothing else is known.
    pub fn of(name: &str, shape: &[usize], kinds: &[AxisKind]) -> Self {
        let axes = kinds.iter().enumerate().map(|(i, &kind)| Axis::new(kind, &format!("axis{}", i + 1), "")).collect();
        let (name, shape) = (name.into(), shape.to_vec());
        let (unit, description, seen) = (String::new(), String::new(), BTreeMap::new());
        FieldSpec { name, shape, axes, unit, description, ragged: false, dtype: Dtype::F32, seen }
    }

    /// The same of n named numbers.
    pub fn vector(name: &str, n: usize) -> Self {
        FieldSpec::of(name, &[n], &[AxisKind::Column])
    }

    /// A parameter as a column (`theta`: all of them).
    pub fn parameter(name: &str, prior: &Prior) -> Self {
        let spec = if name == "theta" { FieldSpec::vector(name, prior.len()) } else { FieldSpec::of(name, &[], &[]) };
        FieldSpec { dtype: Dtype::F64, ..spec }
    }

    /// What its axes are.
    pub fn kinds(&self) -> Vec<AxisKind> {
        self.axes.iter().map(|axis| axis.kind).collect()
    }

    /// How its numbers are pictures, where they are.
    pub fn picture(&self) -> Option<Picture> {
        Picture::of(&self.kinds(), &self.shape)
    }

    /// How its numbers are cubes, where they are.
    pub fn cube(&self) -> Option<Cube> {
        Cube::of(&self.kinds(), &self.shape)
    }

    /// Bytes of one universe's array; 0 for a list, whose length nobody knows before.
    pub fn bytes(&self) -> u64 {
        let each = match self.dtype {
            Dtype::F32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        };
        self.shape.iter().fold(each, |bytes: u64, &n| bytes.saturating_mul(n as u64))
    }
}

/// Element type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    F32,
    F64,
    I64,
}

/// The numbers of a field, or of a rank's part of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I64(v) => v.len(),
        }
    }

    /// Puts more numbers of the same type behind these.
    pub fn append(&mut self, more: Data) {
        match (self, more) {
            (Data::F32(all), Data::F32(more)) => all.extend(more),
            (Data::F64(all), Data::F64(more)) => all.extend(more),
            (Data::I64(all), Data::I64(more)) => all.extend(more),
            (all, more) => panic!("{:?} numbers behind {:?}", more.dtype(), all.dtype()),
        }
    }

    /// Some of the numbers.
    pub fn part(&self, range: std::ops::Range<usize>) -> Data {
        match self {
            Data::F32(v) => Data::F32(v[range].to_vec()),
            Data::F64(v) => Data::F64(v[range].to_vec()),
            Data::I64(v) => Data::I64(v[range].to_vec()),
        }
    }

    /// The numbers' bytes, as in memory.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Data::F32(v) => bytemuck::cast_slice(v),
            Data::F64(v) => bytemuck::cast_slice(v),
            Data::I64(v) => bytemuck::cast_slice(v),
        }
    }

    /// What stands where a simulation failed: NaN, or the smallest whole number.
    pub fn fill(dtype: Dtype, n: usize) -> Data {
        match dtype {
            Dtype::F32 => Data::F32(vec![f32::NAN; n]),
            Dtype::F64 => Data::F64(vec![f64::NAN; n]),
            Dtype::I64 => Data::I64(vec![i64::MIN; n]),
        }
    }

    /// Number of elements that are NaN or infinite.
    pub fn not_finite(&self) -> usize {
        match self {
            Data::F32(v) => v.iter().filter(|x| !x.is_finite()).count(),
            Data::F64(v) => v.iter().filter(|x| !x.is_finite()).count(),
            Data::I64(_) => 0,
        }
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Data::F32(_) => Dtype::F32,
            Data::F64(_) => Dtype::F64,
            Data::I64(_) => Dtype::I64,
        }
    }

    /// True with no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One universe's field, spread over the ranks of its group along the first axis (C order): this rank holds the next
/// `rows` rows in rank order. A field that only the root holds has all rows there and none elsewhere.
#[derive(Debug, Clone)]
pub struct Field {
    pub spec: FieldSpec,
    /// This rank's rows of the first axis.
    pub rows: usize,
    /// `rows × shape[1] × …` elements.
    pub data: Data,
}

impl Field {
    /// A field that the root holds; what the other ranks have of it is not looked at.
    pub fn on_root(comm: &Comm, spec: FieldSpec, data: Data) -> Field {
        match comm.is_root() {
            true => Field { rows: data.len() / spec.shape[1..].iter().product::<usize>().max(1), data, spec },
            false => Field { rows: 0, data: Data::fill(data.dtype(), 0), spec },
        }
    }

    /// Collective: the whole field on the root, nothing of it elsewhere.
    pub fn gathered(&self, comm: &Comm) -> Field {
        let data = match &self.data {
            Data::F32(v) => Data::F32(comm.gather(0, v)),
            Data::F64(v) => Data::F64(comm.gather(0, v)),
            Data::I64(v) => Data::I64(comm.gather(0, v)),
        };
        let rows = comm.sum_of(self.rows as u64) as usize;
        Field { spec: self.spec.clone(), rows: if comm.is_root() { rows } else { 0 }, data }
    }
}
