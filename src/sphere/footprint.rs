//! Parts of the sky.

use super::Rings;
use std::ops::Range;
use std::sync::OnceLock;

/// nside of the coarse map by which whole regions are told to be out of sight.
const COARSE: usize = 8;

/// The pixels of a map that are looked at, in RING order. Each has a place among them, from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Footprint {
    rings: Rings,
    /// First pixel and end of each run of neighbours.
    runs: Vec<[usize; 2]>,
    /// The place of each run's first pixel, and their number.
    before: Vec<usize>,
    /// Centres of coarse pixels with something to see, when first asked for.
    coarse: OnceLock<Vec<[f64; 3]>>,
}

impl Footprint {
    /// The whole sky.
    pub fn whole(rings: Rings) -> Self {
        Footprint::new(rings, vec![[0, rings.pixels()]])
    }

    /// The pixels whose centres have x, y and z above 0.
    pub fn octant(rings: Rings) -> Self {
        let quarter = |r: usize| {
            let ring = rings.ring(r);
            [ring.first + usize::from(ring.phi0 == 0.0), ring.first + ring.pixels / 4]
        };
        // Rings to the north of the equator.
        let runs = (0..rings.northern() - 1).map(quarter).filter(|[first, end]| first < end);
        Footprint::new(rings, runs.collect())
    }

    /// Those pixels for which `seen` holds.
    pub fn of(rings: Rings, seen: impl Fn(usize) -> bool) -> Self {
        let mut runs: Vec<[usize; 2]> = vec![];
        for p in (0..rings.pixels()).filter(|&p| seen(p)) {
            match runs.last_mut() {
                Some(run) if run[1] == p => run[1] += 1,
                _ => runs.push([p, p + 1]),
            }
        }
        Footprint::new(rings, runs)
    }

    fn new(rings: Rings, runs: Vec<[usize; 2]>) -> Self {
        let mut before = vec![0];
        runs.iter().for_each(|[first, end]| before.push(before[before.len() - 1] + end - first));
        Footprint { rings, runs, before, coarse: OnceLock::new() }
    }

    fn coarse(&self) -> &[[f64; 3]] {
        self.coarse.get_or_init(|| {
            let Ok(coarse) = Rings::new(COARSE) else { return vec![] };
            let mut seen = vec![false; coarse.pixels()];
            self.pixels().for_each(|p| seen[coarse.pixel_of(self.rings.direction(p))] = true);
            (0..coarse.pixels()).filter(|&p| seen[p]).map(|p| coarse.direction(p)).collect()
        })
    }

    /// The map's rings.
    pub fn rings(&self) -> Rings {
        self.rings
    }

    /// Number of pixels.
    pub fn count(&self) -> usize {
        self.before[self.runs.len()]
    }

    /// True for all of the sky.
    pub fn is_whole(&self) -> bool {
        self.count() == self.rings.pixels()
    }

    /// First pixel and end of each run of neighbours.
    pub fn runs(&self) -> &[[usize; 2]] {
        &self.runs
    }

    /// Its pixels.
    pub fn pixels(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(|&[first, end]| first..end)
    }

    /// How many of its pixels come before this one.
    pub fn before(&self, pixel: usize) -> usize {
        let run = self.runs.partition_point(|run| run[1] <= pixel);
        self.before[run] + self.runs.get(run).map_or(0, |run| pixel.saturating_sub(run[0]))
    }

    /// Its runs among these pixels, counted from the first of them.
    pub fn within(&self, pixels: Range<usize>) -> Vec<Range<usize>> {
        let inside = self.runs.iter().map(|run| run[0].max(pixels.start)..run[1].min(pixels.end));
        let some = inside.filter(|run| run.start < run.end);
        some.map(|run| run.start - pixels.start..run.end - pixels.start).collect()
    }

    /// The place of a pixel among its own.
    #[inline]
    pub fn place(&self, pixel: usize) -> Option<usize> {
        let run = self.runs.partition_point(|run| run[1] <= pixel);
        let [first, _] = *self.runs.get(run)?;
        (pixel >= first).then(|| self.before[run] + pixel - first)
    }

    /// The pixels at these places.
    pub fn at(&self, places: Range<usize>) -> impl Iterator<Item = usize> {
        let run = self.before.partition_point(|&b| b <= places.start).saturating_sub(1);
        let skip = places.start - self.before[run];
        let from = self.runs[run.min(self.runs.len())..].iter().flat_map(|&[first, end]| first..end);
        from.skip(skip).take(places.len())
    }

    /// False where nothing within `radius` radians of a direction is seen. It may be true of what is a little farther.
    pub fn sees(&self, direction: [f64; 3], radius: f64) -> bool {
        if self.is_whole() {
            return true;
        }
        let reach = (radius + self.rings.reach() + 1.1 / COARSE as f64).min(std::f64::consts::PI).cos();
        let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        let cos = |c: &[f64; 3]| (0..3).map(|d| c[d] * direction[d]).sum::<f64>() / length;
        length == 0.0 || self.coarse().iter().any(|c| cos(c) >= reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_the_pixels_that_are_seen() {
        let rings = Rings::new(4).unwrap();
        for footprint in [
            Footprint::whole(rings),
            Footprint::octant(rings),
            Footprint::of(rings, |p| p % 7 < 3),
            Footprint::of(rings, |_| false),
        ] {
            let pixels: Vec<usize> = footprint.pixels().collect();
            assert_eq!(pixels.len(), footprint.count());
            for p in 0..rings.pixels() {
                assert_eq!(footprint.place(p), pixels.iter().position(|&q| q == p));
                assert_eq!(footprint.before(p), pixels.iter().filter(|&&q| q < p).count());
            }
            for start in 0..=pixels.len() {
                for end in [start, (start + 3).min(pixels.len()), pixels.len()] {
                    assert!(footprint.at(start..end).eq(pixels[start..end].iter().copied()));
                }
            }
            for from in [0, 17, 60] {
                let inside = pixels.iter().copied().filter(|p| (from..from + 90).contains(p));
                assert!(footprint.within(from..from + 90).into_iter().flatten().map(|p| p + from).eq(inside));
            }
            for &p in &pixels {
                assert!(footprint.sees(rings.direction(p), 0.0));
            }
        }
        let octant = Footprint::octant(rings);
        let inside = |p: usize| rings.direction(p).into_iter().all(|x| x > 1e-12);
        assert!(octant.pixels().eq((0..rings.pixels()).filter(|&p| inside(p))));
        assert!(!octant.sees([-1.0, -1.0, -1.0], 0.5) && octant.sees([-1.0, -1.0, -1.0], 2.5));
    }
}
