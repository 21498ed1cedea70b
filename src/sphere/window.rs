//! What averaging over pixels does to spectra.

use super::Rings;
use crate::error::Result;
use gauss_quad::GaussLegendre;
use std::f64::consts::FRAC_PI_4;
use std::num::NonZeroUsize;
use std::sync::Mutex;

/// Points of a Gauss rule along the side of a pixel.
const POINTS: NonZeroUsize = NonZeroUsize::new(5).unwrap();
/// Most pixels along the side of a base pixel that are looked at: beyond, a pixel's shape tells those of its neighbours.
const SIDE: usize = 64;
/// Terms of the series in s: up to ℓ = 4 nside the next is below 1e-20.
const TERMS: usize = 36;

/// w_ℓ for ℓ = 0 … lmax ≤ 4 nside: an isotropic field that is averaged over HEALPix pixels has the spectrum w_ℓ² C_ℓ, in the mean
/// over all pixels (Górski et al. 2005, §5.3; healpy's `pixwin`, which has it to 3e-5 from nside = 4 on).
///
/// w_ℓ² = ⟨P_ℓ(x · y)⟩ over two points x, y of a pixel, and over pixels. With s = |x − y|²/4 it is
/// Σ_n (−1)ⁿ (ℓ + n)!/(ℓ − n)! ⟨sⁿ⟩/(n!)². Of the twelve base pixels the four around the equator are alike, and the others.
pub fn pixel_window(nside: usize, lmax: usize) -> Result<Vec<f64>> {
    let side = Rings::new(nside)?.nside() as f64;
    let mut last = LAST.lock().unwrap_or_else(|e| e.into_inner());
    let (_, moments) = *match &mut *last {
        Some(known) if known.0 == nside => known,
        other => other.insert((nside, moments(nside))),
    };
    let window = |l: usize| {
        let (mut sum, mut factor) = (0.0, 1.0);
        for (n, moment) in moments.iter().enumerate().take(l + 1) {
            sum += factor * moment;
            factor *= -((l - n) as f64 * (l + n + 1) as f64) / ((n + 1) as f64 * side).powi(2);
        }
        sum.max(0.0).sqrt()
    };
    Ok((0..=lmax).map(window).collect())
}

/// Moments of the last nside: all maps of a campaign have one.
static LAST: Mutex<Option<(usize, [f64; TERMS])>> = Mutex::new(None);

/// ⟨sⁿ⟩ nside^2n.
fn moments(nside: usize) -> [f64; TERMS] {
    let (side, n) = (nside as f64, nside.min(SIDE));
    let rule = GaussLegendre::new(POINTS);
    let along: Vec<(f64, f64)> = rule.iter().map(|(x, w)| (0.5 * x / side, 0.5 * w)).collect();
    let mut moments = [0.0; TERMS];
    for (direction, share) in [(polar as fn(f64, f64) -> [f64; 3], 2.0 / 3.0), (equatorial, 1.0 / 3.0)] {
        for cell in 0..n * n {
            let [x, y] = [cell / n, cell % n].map(|i| (i as f64 + 0.5) / n as f64);
            let points = along.iter().flat_map(|&(dx, wx)| along.iter().map(move |&(dy, wy)| (dx, dy, wx * wy)));
            let points: Vec<_> = points.map(|(dx, dy, w)| (direction(x + dx, y + dy), w)).collect();
            for (i, (a, wa)) in points.iter().enumerate() {
                for (b, wb) in &points[..i] {
                    let s = (0..3).map(|d| (a[d] - b[d]).powi(2)).sum::<f64>() * 0.25 * side * side;
                    let mut term = 2.0 * share * wa * wb / (n * n) as f64;
                    for moment in &mut moments[1..] {
                        term *= s;
                        *moment += term;
                    }
                }
            }
        }
    }
    moments[0] = 1.0;
    moments
}

/// The direction at (x, y) of a base pixel at the north pole, from its south corner; equal areas are equal in x, y.
fn polar(x: f64, y: f64) -> [f64; 3] {
    // Distance from the pole: 1 where cosθ = 2/3.
    let r = 2.0 - x - y;
    if r >= 1.0 {
        return at(2.0 / 3.0 * (2.0 - r), FRAC_PI_4 * (1.0 + x - y));
    }
    let t = r * r / 3.0;
    let (sin, phi) = ((t * (2.0 - t)).sqrt(), FRAC_PI_4 * (1.0 + (x - y) / r.max(f64::MIN_POSITIVE)));
    [sin * phi.cos(), sin * phi.sin(), 1.0 - t]
}

/// The same of one at the equator.
fn equatorial(x: f64, y: f64) -> [f64; 3] {
    at(2.0 / 3.0 * (x + y - 1.0), FRAC_PI_4 * (x - y))
}

fn at(cos: f64, phi: f64) -> [f64; 3] {
    let sin = (1.0 - cos * cos).sqrt();
    [sin * phi.cos(), sin * phi.sin(), cos]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// healpy's tables, which are computed from harmonics of each pixel.
    #[test]
    fn windows_are_those_of_healpy() {
        let table = include_str!("../../tests/data/healpy_pixel_window.txt");
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        let mut of: std::collections::BTreeMap<usize, Vec<f64>> = Default::default();
        let mut count = 0;
        for row in rows {
            let [nside, l, w] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let [nside, l] = [nside, l].map(|n| n.parse::<usize>().unwrap());
            let w: f64 = w.parse().unwrap();
            let window = of.entry(nside).or_insert_with(|| pixel_window(nside, 4 * nside).unwrap());
            let off = (window[l] / w - 1.0).abs();
            let most = if nside < 4 {
                7e-4
            } else if l <= 3 * nside {
                3e-5
            } else {
                7e-5
            };
            assert!(off < most, "nside {nside}, ℓ = {l}: {} {w}", window[l]);
            count += 1;
        }
        assert_eq!((of.len(), count), (7, 63));
    }

    /// Base pixels lie where pixels are found.
    #[test]
    fn base_pixels_lie_in_their_places() {
        let rings = Rings::new(1).unwrap();
        for (x, y) in [(0.1, 0.2), (0.5, 0.5), (0.9, 0.8), (0.97, 0.05), (0.03, 0.9)] {
            assert_eq!([rings.pixel_of(polar(x, y)), rings.pixel_of(equatorial(x, y))], [0, 4]);
        }
    }
}
