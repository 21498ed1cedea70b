//! Friends of friends (Davis, Efstathiou, Frenk & White 1985, ApJ 292, 371), over any number of ranks.
//!
//! Two particles are friends if r² ≤ b², where r² = Δ₀² + Δ₁² + Δ₂² is summed in that order in f64 from the stored
//! coordinates and Δ = min(|x − y|, L − |x − y|); a group is all particles joined by chains of friends. Every rank
//! would decide alike, so that the groups depend neither on the ranks nor on the order of the particles.
//!
//! Within a rank: particles are sorted into cells whose diagonal is at most b, so that all particles of a cell are
//! friends, and a pair of cells is looked at only while they are not yet of one group. The sorted list is walked along
//! with one pointer for each row of neighbouring cells: no look-up, and a time that hardly grows with the clustering.
//!
//! Between ranks: every rank receives copies of the particles that lie within reach of its own, also through the faces
//! of the periodic box (a rank is its own neighbour there). Groups then learn the smallest identity of all their parts
//! from these copies until nothing changes.

use super::rows::Route;
use crate::comm::Comm;
use crate::mesh::Real;
use crate::particles::{Particles, wrap};

/// The groups of this rank's particles. A fragment is the part of a group that this rank can connect by itself; two
/// fragments with one label are one group.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Fragment of each particle, in the particles' order.
    pub fragment: Vec<u32>,
    /// Smallest Lagrangian identity in the whole group, by fragment.
    pub label: Vec<u64>,
    /// Whether the group may have members on other ranks or in other fragments, by fragment.
    pub open: Vec<bool>,
}

impl Groups {
    /// Label of each particle.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.fragment.iter().map(|&f| self.label[f as usize])
    }
}

/// Groups of the particles of a periodic cube of side `box_size` that are linked over up to `length` (both Mpc/h),
/// which is below half the box. Identities are unique. Right however the particles are spread over the ranks; fast if
/// each rank holds a compact region. Beside them it needs about 60 bytes per particle for a while. Collective.
pub fn friends_of_friends<T: Real>(comm: &Comm, particles: &Particles<T>, box_size: f64, length: f64) -> Groups {
    let grid = Grid::new(box_size, length);
    let cells: Vec<[i32; 3]> = particles.position.iter().map(|x| grid.cell(x)).collect();
    let regions = Region::of_all(comm, &cells, grid.reach);
    let copies = Copies::of(comm.rank(), &cells, &regions, grid.side, grid.reach);
    let route = Route::new(comm, &copies.to);
    let own = &regions[comm.rank()];
    let mut keys: Vec<u64> = cells.iter().map(|c| own.key(*c)).collect();
    drop(cells);
    keys.extend(route.send(&copies.key));
    let positions = copies.appended(&route, &particles.position);
    let ids = copies.appended(&route, &particles.id);

    let roots = link(&keys, &positions, &own.rows(grid.reach), |x, y| grid.friends(x, y));
    let mut groups = number(&roots, &ids, particles.len());
    // Labels only fall: this ends, after as many rounds as a label passes from rank to rank.
    loop {
        let label = |&i: &u32| groups.label[groups.fragment[i as usize] as usize];
        let theirs = route.send(&copies.of.iter().map(label).collect::<Vec<_>>());
        let mut changed = false;
        for (&fragment, label) in groups.fragment[particles.len()..].iter().zip(theirs) {
            let known = &mut groups.label[fragment as usize];
            changed |= label < *known;
            *known = label.min(*known);
        }
        if !comm.any(changed) {
            break;
        }
    }
    // Fragments are numbered in the order of their particles: those of copies alone come last.
    groups.fragment.truncate(particles.len());
    let own = groups.fragment.iter().max().map_or(0, |&last| last as usize + 1);
    groups.label.truncate(own);
    groups.open.truncate(own);
    groups
}

/// Cubic cells over the whole box whose diagonal is a little below the linking length.
struct Grid {
    box_size: f64,
    square: f64,
    /// Cells per side of the box.
    side: i32,
    /// Friends are at most so many cells apart along each axis.
    reach: i32,
}

impl Grid {
    fn new(box_size: f64, length: f64) -> Self {
        let side = (3f64.sqrt() * (1.0 + 1e-6) * box_size / length).ceil();
        let reach = (length * side / box_size + 1e-6).floor() + 1.0;
        Grid { box_size, square: length * length, side: side as i32, reach: reach as i32 }
    }

    fn cell<T: Real>(&self, x: &[T; 3]) -> [i32; 3] {
        // L rounded to f32 may lie above L.
        x.map(|x| ((wrap(x.f64(), self.box_size) * (self.side as f64 / self.box_size)) as i32).min(self.side - 1))
    }

    #[inline(always)]
    fn friends<T: Real>(&self, x: &[T; 3], y: &[T; 3]) -> bool {
        let square = |axis: usize| {
            let d = (x[axis].f64() - y[axis].f64()).abs();
            let d = d.min(self.box_size - d);
            d * d
        };
        square(0) + square(1) + square(2) <= self.square
    }
}

/// A block of cells, both ends included, numbered in C order; beyond [0, side) lie the box's periodic images.
#[derive(Clone, Copy)]
struct Region {
    low: [i32; 3],
    high: [i32; 3],
}

impl Region {
    /// The cells of every rank's particles and `reach` cells around them; a rank without particles has none.
    /// Collective.
    fn of_all(comm: &Comm, cells: &[[i32; 3]], reach: i32) -> Vec<Region> {
        let far = i32::MAX / 4;
        let low = cells.iter().fold([far; 3], |m, c| std::array::from_fn(|d| m[d].min(c[d] - reach)));
        let high = cells.iter().fold([-far; 3], |m, c| std::array::from_fn(|d| m[d].max(c[d] + reach)));
        let all = comm.all_gather(&[low, high].concat());
        let three = |c: &[i32]| std::array::from_fn(|d| c[d]);
        all.chunks_exact(6).map(|c| Region { low: three(c), high: three(&c[3..]) }).collect()
    }

    fn map(&self, low: impl Fn(usize) -> i32, high: impl Fn(usize) -> i32) -> Region {
        Region { low: std::array::from_fn(low), high: std::array::from_fn(high) }
    }

    fn is_empty(&self) -> bool {
        (0..3).any(|d| self.low[d] > self.high[d])
    }

    #[inline(always)]
    fn contains(&self, c: &[i32; 3]) -> bool {
        (0..3).all(|d| self.low[d] <= c[d] && c[d] <= self.high[d])
    }

    fn len(&self, axis: usize) -> u64 {
        (self.high[axis] - self.low[axis] + 1) as u64
    }

    fn key(&self, c: [i32; 3]) -> u64 {
        let [i, j, k] = std::array::from_fn(|d| (c[d] - self.low[d]) as u64);
        (i * self.len(1) + j) * self.len(2) + k
    }

    /// The neighbours within `reach` that follow a cell in C order: from how far behind it, and how many in a row.
    /// Where this runs over the end of a row it meets other cells, too far away to matter.
    fn rows(&self, reach: i32) -> Vec<(u64, u64)> {
        if self.is_empty() {
            return vec![];
        }
        let (own, whole) = ((1, reach as u64), 2 * reach as u64 + 1);
        let others = (0..=reach).flat_map(|i| (-reach..=reach).map(move |j| (i, j))).filter(|&row| row > (0, 0));
        let first = |(i, j): (i32, i32)| (i as i64 * self.len(1) as i64 + j as i64) * self.len(2) as i64 - reach as i64;
        std::iter::once(own).chain(others.map(|row| (first(row) as u64, whole))).collect()
    }
}

/// The particles that other ranks (or this one, through a face of the box) need copies of.
#[derive(Default)]
struct Copies {
    of: Vec<u32>,
    to: Vec<usize>,
    /// Cell on the receiver.
    key: Vec<u64>,
}

impl Copies {
    fn of(me: usize, cells: &[[i32; 3]], regions: &[Region], side: i32, reach: i32) -> Self {
        let mut copies = Copies::default();
        let mine = regions[me].map(|d| regions[me].low[d] + reach, |d| regions[me].high[d] - reach);
        for (rank, region) in regions.iter().enumerate() {
            for image in 0..27 {
                let shift = [image / 9 - 1, image / 3 % 3 - 1, image % 3 - 1].map(|s| s * side);
                let seen = region.map(
                    |d| (region.low[d] - shift[d]).max(mine.low[d]),
                    |d| (region.high[d] - shift[d]).min(mine.high[d]),
                );
                if seen.is_empty() || (rank == me && shift == [0; 3]) {
                    continue;
                }
                for (i, _) in cells.iter().enumerate().filter(|(_, c)| seen.contains(c)) {
                    copies.of.push(i as u32);
                    copies.to.push(rank);
                    copies.key.push(region.key(std::array::from_fn(|d| cells[i][d] + shift[d])));
                }
            }
        }
        copies
    }

    /// A column of this rank's particles, and behind it that of the copies which came here. Collective.
    fn appended<R: bytemuck::Pod>(&self, route: &Route, column: &[R]) -> Vec<R> {
        let copies: Vec<R> = self.of.iter().map(|&i| column[i as usize]).collect();
        [column, &route.send(&copies)].concat()
    }
}

/// Union-find over the particles in the order of their cells: a root is the first of its group.
struct Forest(Vec<u32>);

impl Forest {
    #[inline(always)]
    fn root(&mut self, mut i: u32) -> u32 {
        while self.0[i as usize] != i {
            let above = self.0[self.0[i as usize] as usize];
            self.0[i as usize] = above;
            i = above;
        }
        i
    }
}

/// A representative of each particle's group, given the particles' cells and the rows of neighbours.
fn link<T: Real>(
    keys: &[u64],
    positions: &[[T; 3]],
    rows: &[(u64, u64)],
    friends: impl Fn(&[T; 3], &[T; 3]) -> bool,
) -> Vec<u32> {
    let mut order: Vec<(u64, u32)> = keys.iter().zip(0..).map(|(&key, i)| (key, i)).collect();
    order.sort_unstable();
    let x: Vec<[T; 3]> = order.iter().map(|&(_, i)| positions[i as usize]).collect();
    let (mut cell, mut start): (Vec<u64>, Vec<u32>) = (vec![], vec![]);
    let mut forest = Forest(vec![0; order.len()]);
    for (at, (key, _)) in order.iter().enumerate() {
        if cell.last() != Some(key) {
            cell.push(*key);
            start.push(at as u32);
        }
        forest.0[at] = start[start.len() - 1];
    }
    start.push(order.len() as u32);
    let members = |c: usize| start[c] as usize..start[c + 1] as usize;
    for &(first, count) in rows {
        let mut near = 0;
        for here in 0..cell.len() {
            let from = cell[here] + first;
            while near < cell.len() && cell[near] < from {
                near += 1;
            }
            for there in (near..cell.len()).take_while(|&c| cell[c] < from + count) {
                let (a, b) = (forest.root(start[here]), forest.root(start[there]));
                if a != b && members(here).any(|i| members(there).any(|j| friends(&x[i], &x[j]))) {
                    forest.0[a.max(b) as usize] = a.min(b);
                }
            }
        }
    }
    let mut roots = vec![0; order.len()];
    for (at, &(_, i)) in order.iter().enumerate() {
        roots[i as usize] = forest.root(at as u32);
    }
    roots
}

/// Numbers the groups in the order of their first particle; the first `own` particles are this rank's, the others
/// copies.
fn number(roots: &[u32], ids: &[u64], own: usize) -> Groups {
    let mut groups = Groups::default();
    let mut fragment_of = vec![u32::MAX; roots.len()];
    for (i, (&root, &id)) in roots.iter().zip(ids).enumerate() {
        let slot = &mut fragment_of[root as usize];
        if *slot == u32::MAX {
            *slot = groups.label.len() as u32;
            groups.label.push(id);
            groups.open.push(false);
        }
        let fragment = *slot as usize;
        groups.label[fragment] = groups.label[fragment].min(id);
        groups.open[fragment] |= i >= own;
        groups.fragment.push(*slot);
    }
    groups
}
