//! Fields of maps that come one after the other, each in parts on all ranks.

use crate::comm::{Comm, share};
use crate::io::field::{Data, Field, FieldSpec};

/// Maps of a field; the rank that has a row in the file keeps its maps.
pub(super) struct Gathered {
    spec: FieldSpec,
    rows: usize,
    per_row: usize,
    next: usize,
    data: Data,
}

impl Gathered {
    /// Of a field with so many rows, each of which is so many maps.
    pub fn new(spec: FieldSpec, rows: usize, per_row: usize) -> Self {
        let data = Data::fill(spec.dtype, 0);
        Gathered { spec, rows, per_row, next: 0, data }
    }

    /// Appends the next map, of which every rank has the next part. Collective.
    pub fn push(&mut self, comm: &Comm, map: impl Iterator<Item = f64>) {
        let row = self.next / self.per_row;
        let has = |rank: &usize| {
            let (start, n) = share(self.rows, comm.size(), *rank);
            (start..start + n).contains(&row)
        };
        let owner = (0..comm.size()).find(has).expect("a row of the field");
        self.next += 1;
        match &mut self.data {
            Data::F32(all) => all.extend(comm.gather(owner, &map.map(|x| x as f32).collect::<Vec<f32>>())),
            Data::F64(all) => all.extend(comm.gather(owner, &map.collect::<Vec<f64>>())),
            Data::I64(all) => all.extend(comm.gather(owner, &map.map(|x| x as i64).collect::<Vec<i64>>())),
        }
    }

    /// The whole.
    pub fn field(self, comm: &Comm) -> Field {
        Field { rows: share(self.rows, comm.size(), comm.rank()).1, data: self.data, spec: self.spec }
    }
}
