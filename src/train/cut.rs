//! How pieces come out of universes, and what they are.

use crate::io::field::{AxisKind, FieldSpec};
use crate::models::Column;
use crate::nets::whole;
use tch::Tensor;

/// How an axis is cut: its points, those of a crop, and where each begins. One that goes beyond the end goes on at the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Crops {
    pub n: usize,
    pub side: usize,
    pub starts: Vec<usize>,
}

impl Crops {
    /// The same of a grid with `n` points.
    pub fn of(&self, n: usize) -> Crops {
        let scaled = |points: usize| points * n / self.n;
        Crops { n, side: scaled(self.side), starts: self.starts.iter().map(|&start| scaled(start)).collect() }
    }
}

/// How pieces come out of a field of universes.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The first axis of a universe that is cut.
    pub(super) first: usize,
    /// From there on; the last changes fastest from piece to piece.
    pub(super) crops: Vec<Crops>,
    /// Its indices, or the rows of a list, stand alone, and the axis is gone.
    pub(super) alone: bool,
}

impl Cut {
    /// What a piece is: one that was cut out of a periodic box ends at its edges.
    pub fn spec(&self, mut spec: FieldSpec) -> FieldSpec {
        if self.alone {
            drop((spec.shape.remove(self.first), spec.axes.remove(self.first)));
            spec.ragged = false;
            return spec;
        }
        for (at, crops) in (self.first..).zip(&self.crops) {
            let axis = &mut spec.axes[at];
            (spec.shape[at], axis.kind) = (crops.side, AxisKind::Flat);
            // Coordinates are those within it.
            axis.values.truncate(crops.side);
            let from = axis.values.first().copied().unwrap_or_default();
            axis.values.iter_mut().for_each(|x| *x -= from);
        }
        spec
    }

    /// Pieces of a column of universes, each by its row there and its number.
    pub fn column(&self, universes: &Column, pieces: &[(i64, u32)]) -> Column {
        Column::Array(match universes {
            Column::Array(t) => {
                let piece = |&(row, item): &(i64, u32)| self.piece(&t.narrow(0, row, 1), item);
                Tensor::cat(&pieces.iter().map(piece).collect::<Vec<_>>(), 0)
            }
            Column::List { values, offsets } => {
                let starts = whole(offsets);
                let at: Vec<i64> = pieces.iter().map(|&(row, item)| starts[row as usize] + item as i64).collect();
                values.index_select(0, &Tensor::from_slice(&at).to_device(values.device()))
            }
        })
    }

    /// A piece (1, …) of a universe (1, …).
    pub(super) fn piece(&self, universe: &Tensor, item: u32) -> Tensor {
        let (mut left, first) = (item as usize, self.first as i64 + 1);
        let crop = |whole: Tensor, (axis, crops): (usize, &Crops)| {
            let (dim, start) = (first + axis as i64, crops.starts[left % crops.starts.len()]);
            left /= crops.starts.len();
            let beyond = (start + crops.side).saturating_sub(crops.n) as i64;
            let inside = whole.narrow(dim, start as i64, crops.side as i64 - beyond);
            Tensor::cat(&[inside, whole.narrow(dim, 0, beyond)], dim)
        };
        let piece = self.crops.iter().enumerate().rev().fold(universe.shallow_clone(), crop);
        if self.alone { piece.squeeze_dim(first) } else { piece }
    }
}
