//! The rings of pixels of a HEALPix map.

use crate::error::{Error, Result};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// The largest nside.
pub const MAX_NSIDE: usize = 8192;

/// A ring: pixels `first` … `first + pixels − 1` of the map, at longitudes φ0 + 2π j / pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ring {
    pub first: usize,
    pub pixels: usize,
    pub cos: f64,
    pub sin: f64,
    pub phi0: f64,
}

/// The rings of a map, from north to south; 4 nside − 1 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rings {
    nside: usize,
}

impl Rings {
    /// Of any nside from 1 to [`MAX_NSIDE`].
    pub fn new(nside: usize) -> Result<Self> {
        match nside {
            1..=MAX_NSIDE => Ok(Rings { nside }),
            _ => Err(Error::input(format!("must lie between 1 and {MAX_NSIDE}")).value(nside)),
        }
    }

    /// Pixels along the side of a base pixel.
    pub fn nside(&self) -> usize {
        self.nside
    }

    /// Pixels of the map: 12 nside².
    pub fn pixels(&self) -> usize {
        12 * self.nside * self.nside
    }

    /// Number of rings.
    pub fn count(&self) -> usize {
        4 * self.nside - 1
    }

    /// Rings from the north pole to the equator, the latter included. Ring r and ring `count() − 1 − r` are mirrors.
    pub fn northern(&self) -> usize {
        2 * self.nside
    }

    /// Ring `r`, counted from 0.
    pub fn ring(&self, r: usize) -> Ring {
        let (n, mirror) = (self.nside, self.count() - 1 - r);
        if mirror < r {
            let north = self.ring(mirror);
            return Ring { first: self.pixels() - north.first - north.pixels, cos: -north.cos, ..north };
        }
        let i = r + 1;
        if i < n {
            // 1 − cosθ, of which sinθ keeps all digits.
            let t = (i * i) as f64 / (3 * n * n) as f64;
            let phi0 = FRAC_PI_4 / i as f64;
            return Ring { first: 2 * i * (i - 1), pixels: 4 * i, cos: 1.0 - t, sin: (t * (2.0 - t)).sqrt(), phi0 };
        }
        let cos = (4 * n - 2 * i) as f64 / (3 * n) as f64;
        let phi0 = if (i - n).is_multiple_of(2) { PI / (4 * n) as f64 } else { 0.0 };
        let first = 2 * n * (n - 1) + (i - n) * 4 * n;
        Ring { first, pixels: 4 * n, cos, sin: (1.0 - cos * cos).sqrt(), phi0 }
    }

    /// The pixel in a direction, a vector of any length but 0 (Górski et al. 2005, §4.1).
    pub fn pixel(&self, [x, y, z]: [f64; 3]) -> usize {
        let (n, across) = (self.nside as i64, x.hypot(y));
        let cos = z / across.hypot(z);
        // Longitude in quarters of a turn, from 0 to 4.
        let quarters = (y.atan2(x) / FRAC_PI_2).rem_euclid(4.0);
        let wrapped = |j: i64, pixels: i64| j.rem_euclid(pixels) as usize;
        if cos.abs() <= 2.0 / 3.0 {
            // Between the caps pixels are diamonds, whose edges ascend and descend.
            let [along, height] = [n as f64 * (0.5 + quarters), 0.75 * n as f64 * cos];
            let [ascending, descending] = [along - height, along + height].map(|line| line.floor() as i64);
            let ring = 2 * n - 1 + ascending - descending;
            let odd = (ring + 1 + n).rem_euclid(2);
            let j = (ascending + descending - n + 1 + odd).div_euclid(2);
            return self.ring(ring as usize).first + wrapped(j, 4 * n);
        }
        // √(3 (1 − |cosθ|)), with all digits near a pole.
        let to_pole = across / across.hypot(z) * (3.0 / (1.0 + cos.abs())).sqrt();
        let part = quarters.fract();
        let [j, k] = [part, 1.0 - part].map(|part| (part * n as f64 * to_pole).floor() as i64);
        let ring = (j + k).min(n - 1);
        let pixel = wrapped((quarters * (ring + 1) as f64).floor() as i64, 4 * (ring + 1));
        let ring = if cos > 0.0 { ring as usize } else { self.count() - 1 - ring as usize };
        self.ring(ring).first + pixel
    }

    /// The first ring of each of `parts` parts of about as many pixels, and the end.
    pub fn split(&self, parts: usize) -> Vec<usize> {
        let cut = |part: usize| {
            let wanted = self.pixels() as u64 * part as u64 / parts as u64;
            let (mut low, mut high) = (0, self.count());
            while low < high {
                let middle = (low + high) / 2;
                if (self.ring(middle).first as u64) < wanted { low = middle + 1 } else { high = middle }
            }
            low
        };
        (0..=parts).map(cut).collect()
    }
}
