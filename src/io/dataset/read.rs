//! Reading the fields of a dataset, each universe compared with its checksum where there is one.

use super::Dataset;
use crate::error::{Error, Result};
use crate::io::field::{Data, FieldSpec};
use crate::io::hdf::{Array, Element, damaged, given, room};
use std::rc::Rc;

/// Bytes of a field that are read at a time, at least one universe.
const BLOCK: usize = 64 << 20;
/// Bytes between two universes that are read rather than passed over.
const GAP: usize = 1 << 20;

/// Numbers that networks and figures take.
pub trait Real: Element {
    /// Converted as C does.
    fn of(data: Data) -> Vec<Self>;
}

macro_rules! real {
    ($type:ty, $own:ident) => {
        impl Real for $type {
            fn of(data: Data) -> Vec<Self> {
                match data {
                    Data::$own(v) => v,
                    #[allow(unreachable_patterns, reason = "one of the three is its own")]
                    Data::F32(v) => v.into_iter().map(|x| x as $type).collect(),
                    #[allow(unreachable_patterns, reason = "one of the three is its own")]
                    Data::F64(v) => v.into_iter().map(|x| x as $type).collect(),
                    Data::I64(v) => v.into_iter().map(|x| x as $type).collect(),
                }
            }
        }
    };
}
real!(f32, F32);
real!(f64, F64);

impl Dataset {
    /// A field of some universes as f32, (rows, …) in C order and in the order of `rows`.
    pub fn read_f32(&self, field: &str, rows: &[usize]) -> Result<Vec<f32>> {
        self.read(field, rows)
    }

    /// A field of some universes as f64, (rows, …) in C order and in the order of `rows`.
    pub fn read_f64(&self, field: &str, rows: &[usize]) -> Result<Vec<f64>> {
        self.read(field, rows)
    }

    /// A field of one universe in its own type, or its list.
    pub fn read_data(&self, spec: &FieldSpec, row: usize) -> Result<Data> {
        self.parts_are_there(spec)?;
        let data = match spec.ragged {
            false => self.array(spec)?.read_rows(spec.dtype, row, 1)?,
            true => {
                let (start, rows) = self.ends(&spec.name, row)?;
                self.held(&format!("{}/data", spec.name))?.read_rows(spec.dtype, start, rows)?
            }
        };
        self.check(&spec.name, row, data.len(), &data)?;
        Ok(data)
    }

    /// The numbers of universes one after the other, in blocks that `put` takes together with the universes of each:
    /// `rows` ascend, and those that lie close together are read in one go.
    pub fn blocks(
        &self,
        spec: &FieldSpec,
        rows: &[usize],
        mut put: impl FnMut(&[usize], Data) -> Result<()>,
    ) -> Result<()> {
        self.parts_are_there(spec)?;
        let array = if spec.ragged { self.held(&format!("{}/data", spec.name))? } else { self.array(spec)? };
        // Where a universe begins along the first axis, and its length there, of so many numbers each.
        let place = |row: usize| if spec.ragged { self.ends(&spec.name, row) } else { Ok((row, 1)) };
        let size: usize = spec.shape[usize::from(spec.ragged)..].iter().product();
        let near = |first: usize, end: usize, next: usize, after: usize| {
            (next - end).saturating_mul(8 * size) <= GAP && (after - first).saturating_mul(8 * size) <= BLOCK
        };
        let mut left = rows;
        while let Some(&row) = left.first() {
            let (first, length) = place(row)?;
            let (mut end, mut places) = (first + length, vec![(first, length)]);
            for &row in &left[1..] {
                let (next, length) = place(row)?;
                if !near(first, end, next, next + length) {
                    break;
                }
                end = next + length;
                places.push((next, length));
            }
            let read = array.read_rows(spec.dtype, first, end - first)?;
            let (now, later) = left.split_at(places.len());
            let mut data = Data::fill(spec.dtype, 0);
            for (&row, (start, length)) in now.iter().zip(places) {
                let part = read.part((start - first) * size..(start - first + length) * size);
                self.check(&spec.name, row, part.len(), &part)?;
                data.append(part);
            }
            put(now, data)?;
            left = later;
        }
        Ok(())
    }

    /// The list of one universe (a ragged field) as f64, (rows, …) in C order.
    pub fn read_list(&self, field: &str, row: usize) -> Result<Vec<f64>> {
        let spec = self.spec(field)?;
        self.ends(field, row)?; // refuses what is no list
        Ok(f64::of(self.read_data(&spec, row)?))
    }

    /// An array of the file, opened once: a virtual one keeps its files open from their first row on, whatever takes
    /// their places, and HDF5 would read all of its mappings each time.
    pub(super) fn held(&self, name: &str) -> Result<Rc<Array>> {
        if let Some(array) = self.arrays.borrow().get(name) {
            return Ok(array.clone());
        }
        let array = Rc::new(self.file.array(name)?);
        self.arrays.borrow_mut().insert(name.into(), array.clone());
        Ok(array)
    }

    /// A field's array, of the shape that its description says.
    fn array(&self, spec: &FieldSpec) -> Result<Rc<Array>> {
        let array = self.held(&spec.name)?;
        let shape = array.shape();
        if shape.first() != Some(&self.len()) || shape[1..] != spec.shape {
            return Err(damaged(&self.path, &spec.name, format!("has shape {shape:?}, not {:?} per row", spec.shape)));
        }
        Ok(array)
    }

    fn read<T: Real>(&self, field: &str, rows: &[usize]) -> Result<Vec<T>> {
        let spec = self.spec(field)?;
        if spec.ragged {
            let error = Error::input("is a list whose length differs between universes").file(&self.path).key(field);
            return Err(error.remedy("choose a field of a fixed shape"));
        }
        if let Some(&row) = rows.iter().find(|&&r| r >= self.len()) {
            return Err(Error::failed(format!("no row {row} of {}", self.len())).file(&self.path).key(field));
        }
        let read = || {
            self.parts_are_there(&spec)?;
            let array = self.array(&spec)?;
            let size: usize = spec.shape.iter().product();
            let mut all = room(rows.len().saturating_mul(size)).map_err(|e| e.file(&self.path).key(field))?;
            // Rows that follow one another are read in one go.
            let most = (BLOCK / (8 * size).max(1)).max(1);
            let mut at = 0;
            while at < rows.len() {
                let run = (1..most.min(rows.len() - at)).take_while(|&k| rows[at + k] == rows[at] + k).count() + 1;
                let data = array.read_rows(spec.dtype, rows[at], run)?;
                self.check(&spec.name, rows[at], size, &data)?;
                if size_of::<T>() == 4 {
                    self.holds(field, rows[at], size, &data)?;
                }
                all.extend(T::of(data));
                at += run;
            }
            Ok(all)
        };
        if self.own { read() } else { read().map_err(given) }
    }

    /// Refuses numbers that single precision cannot hold.
    fn holds(&self, field: &str, row: usize, size: usize, data: &Data) -> Result<()> {
        let Data::F64(values) = data else { return Ok(()) };
        match values.iter().position(|x| x.is_finite() && (*x as f32).is_infinite()) {
            None => Ok(()),
            Some(at) => Err(Error::input(format!(
                "row {} is beyond single precision, in which networks learn",
                row + at / size
            ))
            .file(&self.path)
            .key(field)
            .value(values[at])
            .remedy("give the data in other units, or their logarithm")),
        }
    }
}
