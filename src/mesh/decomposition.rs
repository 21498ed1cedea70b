//! Who holds what: a global mesh split over a process grid.

use crate::comm::{Comm, share};
use crate::error::{Error, Result};

/// A box of mesh points: global start, length per axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub start: [usize; 3],
    pub len: [usize; 3],
}

impl Block {
    /// Number of points.
    pub fn volume(&self) -> usize {
        self.len.iter().product()
    }
}

/// Layers of other ranks' points kept around a block, the same on all three axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Halo {
    /// Layers below the block.
    pub lo: usize,
    /// Layers above it.
    pub hi: usize,
}

/// A global mesh over a process grid P0 × P1: axis 0 is split over the grid's columns, axis 1 over its rows.
#[derive(Clone)]
pub struct Decomposition {
    /// All ranks of the mesh.
    pub comm: Comm,
    shape: [usize; 3],
    grid: [usize; 2],
    at: [usize; 2],
    /// Ranks that share this rank's part of axis 1 (they split axis 0), and of axis 0 (they split axis 1).
    axis_comm: [Comm; 2],
}

impl Decomposition {
    /// Splits `shape` over `comm`, on the given process grid or, with `None`, on the most compact one: slabs for fewer
    /// than four ranks (one exchange instead of two), pencils beyond. Collective.
    pub fn new(comm: &Comm, shape: [usize; 3], grid: Option<[usize; 2]>) -> Result<Self> {
        let ranks = comm.size();
        let grid = grid.unwrap_or_else(|| compact_grid(ranks));
        if grid[0] * grid[1] != ranks {
            return Err(Error::input(format!(
                "this process grid has {} ranks, the group has {ranks}",
                grid[0] * grid[1]
            ))
            .key("simulator.process_grid")
            .value(grid)
            .remedy("make the product equal to suite.ranks_per_sim, or leave the key out"));
        }
        if shape.contains(&0) {
            return Err(Error::input("a mesh needs at least one point per axis").value(shape));
        }
        let at = [comm.rank() / grid[1], comm.rank() % grid[1]];
        let along = |color: usize, key: usize| comm.split(Some(color), key).expect("a colour was given");
        let axis_comm = [along(at[1], at[0]), along(at[0], at[1])];
        Ok(Decomposition { comm: comm.clone(), shape, grid, at, axis_comm })
    }

    /// The same process grid over another mesh.
    pub fn with_shape(&self, shape: [usize; 3]) -> Self {
        Decomposition { shape, ..self.clone() }
    }

    /// Global number of points per axis.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Process grid P0 × P1.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// This rank's coordinates on the process grid.
    pub fn at(&self) -> [usize; 2] {
        self.at
    }

    /// Ranks among which axis 0 (or 1) is split, ordered along it.
    pub fn axis_comm(&self, axis: usize) -> &Comm {
        &self.axis_comm[axis]
    }

    /// Global number of points.
    pub fn volume(&self) -> usize {
        self.shape.iter().product()
    }

    /// This rank's points in real space.
    pub fn real(&self) -> Block {
        let (s0, n0) = share(self.shape[0], self.grid[0], self.at[0]);
        let (s1, n1) = share(self.shape[1], self.grid[1], self.at[1]);
        Block { start: [s0, s1, 0], len: [n0, n1, self.shape[2]] }
    }

    /// This rank's modes in Fourier space (axis 2 counted to N2/2).
    pub fn fourier(&self) -> Block {
        let (s1, n1) = share(self.shape[1], self.grid[0], self.at[0]);
        let (s2, n2) = share(self.shape[2] / 2 + 1, self.grid[1], self.at[1]);
        Block { start: [0, s1, s2], len: [self.shape[0], n1, n2] }
    }

    /// The rank that holds the mode with these global indices (axis 2 counted to N2/2).
    pub fn fourier_rank(&self, [_, i1, i2]: [usize; 3]) -> usize {
        let part = |n: usize, parts: usize, i: usize| {
            let (base, extra) = (n / parts, n % parts);
            let wide = extra * (base + 1);
            if i < wide { i / (base + 1) } else { extra + (i - wide) / base.max(1) }
        };
        part(self.shape[1], self.grid[0], i1) * self.grid[1] + part(self.shape[2] / 2 + 1, self.grid[1], i2)
    }

    /// For each index along axis 0 (or 1): the coordinate on the process grid that holds it in real space.
    pub fn owners(&self, axis: usize) -> Vec<u32> {
        (0..self.grid[axis])
            .flat_map(|p| std::iter::repeat_n(p as u32, share(self.shape[axis], self.grid[axis], p).1))
            .collect()
    }
}

/// The most compact process grid of so many ranks; slabs (one exchange per transform instead of two) below four.
pub fn compact_grid(ranks: usize) -> [usize; 2] {
    let p1 = (1..=ranks).take_while(|p| p * p <= ranks).filter(|p| ranks.is_multiple_of(*p)).last().unwrap_or(1);
    if ranks < 4 { [ranks, 1] } else { [ranks / p1, p1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_compact() {
        let expect = [(1, [1, 1]), (2, [2, 1]), (3, [3, 1]), (4, [2, 2]), (6, [3, 2]), (7, [7, 1]), (12, [4, 3])];
        for (ranks, grid) in expect {
            assert_eq!(compact_grid(ranks), grid);
        }
    }
}
