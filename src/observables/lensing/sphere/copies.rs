//! Copies of the box in a shell: which particles of which copies are seen in which pixels.

use super::SkyCone;
use crate::observables::lensing::{Replicas, Slice};

/// Particles that are sorted at a time.
const CHUNK: usize = 1 << 20;
/// Cells along a side of the box that chunks are sorted into, so that whole cells outside of a shell are left out.
const CELLS: usize = 16;

/// Goes through the particles of a shell, a few at a time.
pub(super) struct Copies<'a, P> {
    cone: &'a SkyCone,
    slice: Slice,
    replicas: Replicas,
    /// Coordinate d of particle i.
    position: P,
    particles: usize,
    /// Layers of one box length and corners of their copies, in Mpc/h.
    layers: Vec<(u32, Vec<[f64; 3]>)>,
    layer: usize,
    chunk: usize,
    copy: usize,
    /// Positions of the chunk in the replica, cell by cell, and where each cell begins.
    sorted: Vec<[f64; 3]>,
    cells: Vec<usize>,
}

impl<'a, P: Fn(usize, usize) -> f64> Copies<'a, P> {
    pub(super) fn new(cone: &'a SkyCone, slice: Slice, replicas: Replicas, particles: usize, position: P) -> Self {
        let l = cone.box_size;
        let (first, end) = ((slice.near / l) as u32, (slice.far / l).ceil() as u32);
        let layers = (first..end).map(|index| (index, corners(cone, reach(&slice, index, l)))).collect();
        let (sorted, cells) = (vec![], vec![]);
        Copies { cone, slice, replicas, position, particles, layers, layer: 0, chunk: 0, copy: 0, sorted, cells }
    }

    /// Appends to `seen` the places of pixels in which particles are seen, one for each, until there are `enough` of
    /// them or one chunk's more. False when there are no more.
    pub(super) fn next(&mut self, seen: &mut Vec<u32>, enough: usize) -> bool {
        while seen.len() < enough {
            let Some((index, corners)) = self.layers.get(self.layer) else { return false };
            let index = *index;
            if self.chunk * CHUNK >= self.particles || corners.is_empty() {
                (self.layer, self.chunk, self.copy) = (self.layer + 1, 0, 0);
                continue;
            }
            let corner = corners.get(self.copy).copied();
            if self.copy == 0 {
                self.sort(index);
            }
            match corner {
                Some(corner) => {
                    self.see(corner, reach(&self.slice, index, self.cone.box_size), seen);
                    self.copy += 1;
                }
                None => (self.chunk, self.copy) = (self.chunk + 1, 0),
            }
        }
        true
    }

    fn sort(&mut self, index: u32) {
        let (l, replica) = (self.cone.box_size, self.replicas.at(index));
        let range = self.chunk * CHUNK..((self.chunk + 1) * CHUNK).min(self.particles);
        let place = |i: usize| [0, 1, 2].map(|d| replica.coordinate(d, l, |d| (self.position)(i, d)));
        let cell = |x: &[f64; 3]| {
            let [a, b, c] = x.map(|x| ((x / l * CELLS as f64) as usize).min(CELLS - 1));
            (a * CELLS + b) * CELLS + c
        };
        let positions: Vec<[f64; 3]> = range.map(place).collect();
        let mut next = vec![0; CELLS.pow(3) + 1];
        positions.iter().for_each(|x| next[cell(x) + 1] += 1);
        (0..CELLS.pow(3)).for_each(|c| next[c + 1] += next[c]);
        self.cells = next.clone();
        self.sorted.resize(positions.len(), [0.0; 3]);
        for x in positions {
            let at = &mut next[cell(&x)];
            self.sorted[*at] = x;
            *at += 1;
        }
    }

    /// The particles of one copy.
    fn see(&self, corner: [f64; 3], [near, far]: [f64; 2], seen: &mut Vec<u32>) {
        let (side, footprint) = (self.cone.box_size / CELLS as f64, &self.cone.footprint);
        let rings = footprint.rings();
        for cell in (0..CELLS.pow(3)).filter(|&cell| self.cells[cell] < self.cells[cell + 1]) {
            let at = [cell / (CELLS * CELLS), cell / CELLS % CELLS, cell % CELLS];
            let start = [0, 1, 2].map(|d| corner[d] + side * at[d] as f64);
            let [nearest, farthest] = distances(start, side);
            // A hair's breadth for rounding.
            if nearest * (1.0 - 1e-9) >= far || farthest * (1.0 + 1e-9) < near {
                continue;
            }
            for x in &self.sorted[self.cells[cell]..self.cells[cell + 1]] {
                let x = [0, 1, 2].map(|d| corner[d] + x[d]);
                let r = (x[0] * x[0] + x[1] * x[1] + x[2] * x[2]).sqrt();
                // At the observer's very place there is no direction.
                if r >= near && r < far && r > 0.0 {
                    seen.extend(footprint.place(rings.pixel_of(x)).map(|place| place as u32));
                }
            }
        }
    }
}

/// Distances of a slice within layer `index`.
fn reach(slice: &Slice, index: u32, l: f64) -> [f64; 2] {
    let layer = f64::from(index) * l;
    [slice.near.max(layer), slice.far.min(layer + l)]
}

/// Least and largest distance from the observer to a cube.
fn distances(start: [f64; 3], side: f64) -> [f64; 2] {
    let least = start.map(|x| x.max(-(x + side)).max(0.0));
    let most = start.map(|x| x.abs().max((x + side).abs()));
    [least, most].map(|v| v.iter().map(|x| x * x).sum::<f64>().sqrt())
}

/// Corners of the copies of the box that may be seen at such distances.
fn corners(cone: &SkyCone, [near, far]: [f64; 2]) -> Vec<[f64; 3]> {
    let l = cone.box_size;
    let m = (far / l).ceil() as i64;
    let mut all = vec![];
    for i in -m..m {
        for j in -m..m {
            for k in -m..m {
                let start = [i, j, k].map(|i| i as f64 * l);
                let [nearest, farthest] = distances(start, l);
                if nearest >= far || farthest < near {
                    continue;
                }
                let centre = start.map(|x| x + 0.5 * l);
                let distance = centre.iter().map(|x| x * x).sum::<f64>().sqrt();
                let ratio = 0.75f64.sqrt() * l / distance;
                let radius = if ratio < 1.0 { ratio.asin() } else { std::f64::consts::PI };
                if cone.footprint.sees(centre, radius) {
                    all.push(start);
                }
            }
        }
    }
    all
}
