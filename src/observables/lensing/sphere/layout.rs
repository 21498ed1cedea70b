//! Which rank has which pixels.

use crate::comm::{Comm, Wire, share};
use crate::sphere::{Footprint, Sht};
use std::ops::Range;

/// Pixels of a footprint dealt out: every rank has a run of places, as many as the others.
#[derive(Clone)]
pub struct SkyLayout {
    pub comm: Comm,
    pub footprint: Footprint,
}

impl SkyLayout {
    /// The places of a rank's pixels.
    pub fn places_of(&self, rank: usize) -> Range<usize> {
        let (start, length) = share(self.footprint.count(), self.comm.size(), rank);
        start..start + length
    }

    /// The places of this rank's pixels.
    pub fn places(&self) -> Range<usize> {
        self.places_of(self.comm.rank())
    }

    /// All pixels of a map on one rank, nothing elsewhere. Collective.
    pub fn gather<T: Wire>(&self, owner: usize, mine: &[T]) -> Vec<T> {
        self.comm.gather(owner, mine)
    }

    /// This rank's pixels of a map that one rank has. Collective.
    pub fn scatter<T: Wire>(&self, owner: usize, whole: &[T]) -> Vec<T> {
        let length = |rank| if self.comm.rank() == owner { self.places_of(rank).len() } else { 0 };
        let counts: Vec<usize> = (0..self.comm.size()).map(length).collect();
        let sent: usize = counts.iter().sum();
        self.comm.exchange(&whole[..sent], &counts).0
    }

    /// Places of the pixels that are on each rank's rings of a transform. Collective.
    fn on_rings(&self, sht: &Sht) -> Vec<Range<usize>> {
        let Range { start, end } = sht.pixels();
        let mine = [start, end].map(|p| self.footprint.before(p) as u64);
        self.comm.all_gather(&mine).chunks_exact(2).map(|r| r[0] as usize..r[1] as usize).collect()
    }

    /// The pixels of this rank's rings, 0 outside of the footprint, of a map. Collective.
    pub fn to_rings(&self, sht: &Sht, mine: &[f64]) -> Vec<f64> {
        let (rings, own, first) = (self.on_rings(sht), self.places(), sht.pixels().start);
        let counts: Vec<usize> = rings.iter().map(|ring| common(&own, ring)).collect();
        let here = self.comm.exchange(mine, &counts).0;
        let mut map = vec![0.0; sht.pixels().len()];
        let pixels = self.footprint.at(rings[self.comm.rank()].clone());
        pixels.zip(here).for_each(|(p, x)| map[p - first] = x);
        map
    }

    /// This rank's pixels of a map on rings. Collective.
    pub fn from_rings(&self, sht: &Sht, map: &[f64]) -> Vec<f64> {
        let first = sht.pixels().start;
        let own = self.on_rings(sht)[self.comm.rank()].clone();
        let counts: Vec<usize> = (0..self.comm.size()).map(|q| common(&own, &self.places_of(q))).collect();
        let here: Vec<f64> = self.footprint.at(own).map(|p| map[p - first]).collect();
        self.comm.exchange(&here, &counts).0
    }
}

/// How many places two ranges share.
fn common(a: &Range<usize>, b: &Range<usize>) -> usize {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}
