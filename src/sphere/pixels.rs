//! Which pixel a direction lies in, and where pixels lie (Górski et al. 2005, section 4 and appendix).

use super::Rings;
use std::f64::consts::{FRAC_2_PI, TAU};

/// No direction in a pixel is farther than this over nside from its centre, in radians.
const REACH: f64 = 1.1;

impl Rings {
    /// The pixel, in RING order, that a direction of any length but 0 lies in.
    pub fn pixel_of(&self, [x, y, z]: [f64; 3]) -> usize {
        let n = self.nside();
        let across = x.hypot(y);
        let r = across.hypot(z);
        let (cos, sin) = (z / r, across / r);
        // Longitude in quarter turns, 0 to 4.
        let quarters = (y.atan2(x) * FRAC_2_PI).rem_euclid(4.0);
        let (side, height) = (n as f64, cos.abs());
        if height <= 2.0 / 3.0 {
            let (along, up) = (side * (0.5 + quarters), side * 0.75 * cos);
            // Lines that rise and fall to the east.
            let (rising, falling) = ((along - up) as usize, (along + up) as usize);
            let ring = n + 1 + rising - falling;
            let shift = 1 - (ring & 1);
            let place = (rising + falling + shift + 1 + 7 * n) / 2 % (4 * n);
            return 2 * n * (n - 1) + (ring - 1) * 4 * n + place;
        }
        let within = quarters.fract();
        // √(3(1 − |cosθ|)), which keeps its digits near the pole.
        let from_pole = side * sin / ((1.0 + height) / 3.0).sqrt();
        let ring = (within * from_pole) as usize + ((1.0 - within) * from_pole) as usize + 1;
        let ring = ring.min(n);
        let place = (quarters * ring as f64) as usize % (4 * ring);
        if cos > 0.0 { 2 * ring * (ring - 1) + place } else { self.pixels() - 2 * ring * (ring + 1) + place }
    }

    /// The ring that a pixel is of, counted from 0.
    pub fn ring_of(&self, pixel: usize) -> usize {
        let (n, cap) = (self.nside(), 2 * self.nside() * (self.nside() - 1));
        // Ring i from a pole begins at 2i(i − 1).
        let from_pole = |p: usize| (1 + 2 * p).isqrt().div_ceil(2) - 1;
        match pixel {
            p if p < cap => from_pole(p),
            p if p < self.pixels() - cap => n - 1 + (p - cap) / (4 * n),
            p => self.count() - 1 - from_pole(self.pixels() - 1 - p),
        }
    }

    /// The unit vector to a pixel's centre.
    pub fn direction(&self, pixel: usize) -> [f64; 3] {
        let ring = self.ring(self.ring_of(pixel));
        let (sin, cos) = (ring.phi0 + TAU * (pixel - ring.first) as f64 / ring.pixels as f64).sin_cos();
        [ring.sin * cos, ring.sin * sin, ring.cos]
    }

    /// A distance in radians from its centre that no direction in a pixel exceeds.
    pub fn reach(&self) -> f64 {
        REACH / self.nside() as f64
    }

    /// The RING number of a pixel in NESTED order, of an nside that is a power of two.
    pub fn of_nested(&self, pixel: usize) -> usize {
        const ROW: [usize; 12] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
        const COLUMN: [usize; 12] = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];
        let n = self.nside();
        let (face, within) = (pixel / (n * n), pixel % (n * n));
        // Every other bit.
        let bits = |from: usize| (0..n.ilog2()).fold(0, |x, b| x | (within >> (2 * b as usize + from) & 1) << b);
        let (x, y) = (bits(0), bits(1));
        let ring = ROW[face] * n - x - y - 2;
        let Ring { first, length, shifted } = Ring::of(self, ring);
        let place = (COLUMN[face] * (length / 4) + x + 1 + usize::from(!shifted) + 2 * length - y) / 2 - 1;
        first + place % length
    }
}

struct Ring {
    first: usize,
    length: usize,
    shifted: bool,
}

impl Ring {
    fn of(rings: &Rings, r: usize) -> Ring {
        let super::Ring { first, pixels, phi0, .. } = rings.ring(r);
        Ring { first, length: pixels, shifted: phi0 > 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_lie_in_their_pixels() {
        for nside in [1, 2, 3, 5, 8, 64] {
            let rings = Rings::new(nside).unwrap();
            for p in 0..rings.pixels() {
                let ring = rings.ring(rings.ring_of(p));
                assert!((ring.first..ring.first + ring.pixels).contains(&p));
                let v = rings.direction(p);
                assert_eq!(rings.pixel_of(v.map(|x| 7.5 * x)), p, "nside {nside}");
            }
        }
    }

    #[test]
    fn nested_pixels_are_the_same_pixels() {
        for nside in [1, 2, 8, 32] {
            let rings = Rings::new(nside).unwrap();
            let mut seen: Vec<usize> = (0..rings.pixels()).map(|p| rings.of_nested(p)).collect();
            // The four children of a pixel surround its centre.
            if nside > 1 {
                let parents = Rings::new(nside / 2).unwrap();
                for (parent, children) in seen.chunks(4).enumerate() {
                    let centre = parents.of_nested(parent);
                    assert!(children.iter().all(|&p| parents.pixel_of(rings.direction(p)) == centre));
                }
            }
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..rings.pixels()));
        }
    }
}
