//! Spherical shells of wavenumbers and the triangles that they form.

use crate::error::{Error, Result};
use std::f64::consts::TAU;

/// Shells of a width of `width` fundamental wavenumbers k_f = 2π/L: bin b holds (b + ½) w ≤ |n| < (b + 3/2) w, n =
/// k/k_f, so that its middle is (b + 1) w k_f. With w = 1 they are the bins of a [`super::spectrum::Spectrum`].
#[derive(Debug, Clone, PartialEq)]
pub struct Shells {
    width: f64,
    count: usize,
    fundamental: f64,
}

impl Shells {
    /// All shells that lie whole below `k_max` h/Mpc, on an `n`³ mesh in a box of `box_size` Mpc/h. Where a product of
    /// three fields is taken at the mesh's points, three wavenumbers must not add up to a multiple of n by themselves:
    /// 3 |n| < n on each axis, or k_max ≤ ⅔ k_Ny (Sefusatti et al. 2016). Beyond is refused.
    pub fn new(n: usize, box_size: f64, width: f64, k_max: f64) -> Result<Self> {
        let fundamental = TAU / box_size;
        let limit = n as f64 / 3.0 * fundamental;
        if !(width.is_finite() && width >= 1.0) {
            return Err(Error::input("shells are at least one fundamental wavenumber wide")
                .key("simulator.bispectrum.bin_width")
                .value(width)
                .remedy("1 to 3 are usual"));
        }
        // A user's decimals must not miss the last shell by a rounding error.
        let reach = k_max / fundamental * (1.0 + 1e-9);
        if !(k_max.is_finite() && k_max <= limit * (1.0 + 1e-9)) {
            return Err(Error::input(format!(
                "the triangles of a mesh of {n} points per side are free of aliases up to ⅔ of its Nyquist wavenumber, {limit:.4} h/Mpc"
            ))
            .key("simulator.bispectrum.k_max")
            .value(k_max)
            .remedy("lower it, or measure on a finer mesh"));
        }
        let count = (reach / width - 0.5).floor().max(0.0) as usize;
        if count == 0 {
            return Err(Error::input(format!(
                "not one shell lies below it: the first ends at {:.4} h/Mpc",
                1.5 * width * fundamental
            ))
            .key("simulator.bispectrum.k_max")
            .value(k_max)
            .remedy("raise it, or make simulator.bispectrum.bin_width smaller"));
        }
        Ok(Shells { width, count, fundamental })
    }

    /// Number of shells.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Wavenumber at the middle of shell `b` in h/Mpc.
    pub fn middle(&self, b: usize) -> f64 {
        (b + 1) as f64 * self.width * self.fundamental
    }

    /// Edges of shell `b` in h/Mpc.
    pub fn edges(&self, b: usize) -> [f64; 2] {
        [0.5, 1.5].map(|part| (b as f64 + part) * self.width * self.fundamental)
    }

    /// The shell whose middle is closest to `k` h/Mpc, if there is one.
    pub fn at(&self, k: f64) -> Option<usize> {
        let b = (k / self.fundamental / self.width).round() - 1.0;
        (b >= 0.0 && b < self.count as f64).then_some(b as usize)
    }

    /// The shell of the modes with |n|² = `m2`.
    pub fn of(&self, m2: i64) -> Option<usize> {
        let shell = ((m2 as f64).sqrt() / self.width + 0.5).floor();
        (shell >= 1.0 && shell <= self.count as f64).then(|| shell as usize - 1)
    }

    /// |k| in h/Mpc of the modes with |n|² = `m2`.
    pub fn k(&self, m2: i64) -> f64 {
        (m2 as f64).sqrt() * self.fundamental
    }

    /// True where three wavenumbers at the middles close a triangle.
    pub fn close([a, b, c]: [usize; 3]) -> bool {
        let longest = a.max(b).max(c);
        2 * longest <= a + b + c + 1
    }

    /// (b, b, b) for every shell.
    pub fn equilateral(&self) -> Vec<[usize; 3]> {
        (0..self.count).map(|b| [b; 3]).collect()
    }

    /// (long, b, b) for every shell b with a middle at least `ratio` times that of `long`.
    pub fn squeezed(&self, long: usize, ratio: f64) -> Vec<[usize; 3]> {
        let least = ratio * (long + 1) as f64;
        (long..self.count).filter(|&b| (b + 1) as f64 >= least).map(|b| [long, b, b]).collect()
    }

    /// Every triple a ≤ b ≤ c that closes.
    pub fn all(&self) -> Vec<[usize; 3]> {
        let n = self.count;
        let pairs = (0..n).flat_map(|a| (a..n).map(move |b| (a, b)));
        pairs.flat_map(|(a, b)| (b..n.min(a + b + 2)).map(move |c| [a, b, c])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_lie_where_they_say() {
        let shells = Shells::new(64, TAU, 2.0, 21.0).unwrap();
        assert_eq!(
            (shells.count(), shells.of(0), shells.of(1), shells.of(8), shells.of(9)),
            (10, None, Some(0), Some(0), Some(1))
        );
        assert_eq!((shells.of(21 * 21 - 1), shells.of(21 * 21)), (Some(9), None));
        assert_eq!((shells.at(4.1), shells.at(0.1), shells.at(22.0)), (Some(1), None, None));
        assert!(shells.all().iter().all(|t| Shells::close(*t) && t[0] <= t[1] && t[1] <= t[2]));
        let closed = |t: &[usize; 3]| Shells::close(*t);
        let brute =
            (0..10).flat_map(|a| (a..10).flat_map(move |b| (b..10).map(move |c| [a, b, c]))).filter(closed).count();
        assert_eq!(shells.all().len(), brute);
        assert_eq!(shells.squeezed(0, 3.0)[0], [0, 2, 2]);
    }

    #[test]
    fn aliased_and_empty_ranges_are_refused() {
        for (width, k_max) in [(1.0, 22.0), (1.0, 1.4), (0.5, 10.0), (1.0, f64::NAN), (f64::NAN, 10.0)] {
            assert!(Shells::new(64, TAU, width, k_max).is_err(), "{width} {k_max}");
        }
    }
}
