//! Square maps of a flat sky: filters and angular power spectra by FFT.
//!
//! A map is processed whole by one rank, or by several of which each has some rows of it.

use super::bins::{Bins, Spacing};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::mesh::{Complex, Plane};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// `[simulator.c_ell]`: angular power spectra of maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AngularConfig {
    /// Lower edge of the first bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "ℓ", "x-default" = "below 2π over the field's side; 2 on the sphere"))]
    pub min: Option<f64>,
    /// Upper edge of the last bin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "ℓ", "x-default" = "below π over a pixel's side; beyond `lmax` on the sphere"))]
    pub max: Option<f64>,
    /// Number of bins; one without modes is refused.
    pub bins: usize,
    /// Of the edges.
    pub spacing: Spacing,
    /// Divides out the window of averaging over pixels: square ones, or HEALPix's (their mean, as healpy's `pixwin`).
    pub pixel_window: bool,
}

impl Default for AngularConfig {
    fn default() -> Self {
        AngularConfig { min: None, max: None, bins: 16, spacing: Spacing::Log, pixel_window: false }
    }
}

impl AngularConfig {
    /// The bins on maps of `pixels` per side of `side` degrees; refuses a range beyond the map's, and bins without
    /// modes.
    ///
    /// An edge that is not given lies half-way between two neighbouring multipoles of the map, so that no rounding
    /// decides which bin a mode is in; one that is given counts the modes on it to the bin above.
    pub fn ell_bins(&self, pixels: usize, side: f64) -> Result<Bins> {
        let section = "simulator.c_ell";
        let fundamental = TAU / side.to_radians();
        let nyquist = 0.5 * pixels as f64 * fundamental;
        let (min, max) = (self.min.unwrap_or(fundamental), self.max.unwrap_or(nyquist));
        let bins = Bins::new(section, self.spacing, min, max, self.bins)?;
        if !(min > 0.0 && max <= nyquist * (1.0 + 1e-9)) {
            return Err(Error::input(format!("the map has multipoles from {fundamental:.1} to {nyquist:.1}"))
                .key(format!("{section}.max"))
                .value([min, max])
                .remedy("stay within them, or make finer maps"));
        }
        let given = |edge: usize| match edge {
            0 => self.min.is_some(),
            b if b == self.bins => self.max.is_some(),
            _ => self.min.is_some() && self.max.is_some(),
        };
        let bins = bins.moved(|b, edge| match given(b) {
            true => below_modes(edge / fundamental) * fundamental,
            false => between_modes(edge / fundamental) * fundamental,
        });
        if let Some(b) = modes_of(&bins, pixels, fundamental).1.iter().position(|&n| n == 0) {
            return Err(Error::input(format!(
                "no mode of the map lies between ℓ = {:.1} and {:.1}",
                bins.edges()[b],
                bins.edges()[b + 1]
            ))
            .key(format!("{section}.bins"))
            .value(self.bins)
            .remedy("take fewer bins, raise min, or take spacing = \"linear\""));
        }
        Ok(bins)
    }

    /// Mean ℓ of the modes of each of these bins, and how many there are in the full plane.
    pub fn modes_of(bins: &Bins, pixels: usize, side: f64) -> (Vec<f64>, Vec<u64>) {
        modes_of(bins, pixels, TAU / side.to_radians())
    }
}

/// Edges this close to a mode, relatively, are on it: what rounding leaves of decimals.
const ON_MODE: f64 = 1e-9;

/// `x`, or a little less where it is the |n| of a mode.
fn below_modes(x: f64) -> f64 {
    let near = (x * x).round();
    if (x * x - near).abs() < 2.0 * ON_MODE * near { near.sqrt() * (1.0 - ON_MODE) } else { x }
}

/// The middle between the modes' |n| that `x` lies between; of one that it is on and the one below.
fn between_modes(x: f64) -> f64 {
    let is_mode = |m2: &u64| (0..=m2.isqrt()).any(|i| (m2 - i * i).isqrt().pow(2) == m2 - i * i);
    let first = (x * (1.0 - ON_MODE)).powi(2).ceil() as u64;
    let (below, above) = ((0..first).rev().find(is_mode), (first..).find(is_mode));
    0.5 * [below, above].map(|m2| (m2.unwrap_or(0) as f64).sqrt()).iter().sum::<f64>()
}

/// Mean ℓ of the modes in each bin, and how many there are in the full plane.
fn modes_of(bins: &Bins, pixels: usize, fundamental: f64) -> (Vec<f64>, Vec<u64>) {
    let (mut sum, mut count) = (vec![0.0; bins.count()], vec![0u64; bins.count()]);
    // An octant stands for all: every wavenumber but 0 and the Nyquist one of even numbers has a mirror image.
    let mirrors = |i: usize| if i == 0 || 2 * i == pixels { 1 } else { 2 };
    for i in 0..=pixels / 2 {
        for j in 0..=i {
            let ell = fundamental * ((i * i + j * j) as f64).sqrt();
            if let Some(bin) = bins.of(ell) {
                let modes = mirrors(i) * mirrors(j) * if i == j { 1 } else { 2 };
                sum[bin] += modes as f64 * ell;
                count[bin] += modes;
            }
        }
    }
    (sum.iter().zip(&count).map(|(s, &n)| s / n.max(1) as f64).collect(), count)
}

/// A map of pixels × pixels values in C order, and a mask or weight for each pixel (0 to 1), or none.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub values: &'a [f64],
    pub mask: Option<&'a [f64]>,
}

/// An angular power spectrum in bins.
#[derive(Debug, Clone, PartialEq)]
pub struct AngularSpectrum {
    /// Mean ℓ of each bin's modes.
    pub ell: Vec<f64>,
    /// C_ℓ in steradian times the square of the map's unit.
    pub c_ell: Vec<f64>,
    /// Modes of the full plane in each bin: an exact integer.
    pub modes: Vec<u64>,
}

/// Transforms maps of one geometry. Over several ranks maps and masks are this rank's rows of them, and all is collective.
pub struct FlatSky {
    plane: Plane<f64>,
    pixels: usize,
    side: f64,
}

impl FlatSky {
    /// For square maps of `pixels` per side and a `side` in degrees.
    pub fn new(pixels: usize, side: f64) -> Result<Self> {
        FlatSky::of(pixels, side, Plane::new)
    }

    /// The same of maps whose rows are dealt out, as [`Plane::over`].
    pub fn over(comm: &Comm, pixels: usize, side: f64) -> Result<Self> {
        FlatSky::of(pixels, side, |shape| Plane::over(comm, shape))
    }

    fn of(pixels: usize, side: f64, plane: impl FnOnce([usize; 2]) -> Plane<f64>) -> Result<Self> {
        if !(pixels > 0 && side.is_finite() && side > 0.0) {
            return Err(Error::input("a map has pixels and a side in degrees above 0").value((pixels, side)));
        }
        Ok(FlatSky { plane: plane([pixels; 2]), pixels, side: side.to_radians() })
    }

    /// Pixels per side.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// Side of a pixel in radians.
    pub fn pixel(&self) -> f64 {
        self.side / self.pixels as f64
    }

    /// The map times a factor of ℓ in Fourier space; the map is taken as periodic.
    pub fn filtered(&mut self, map: &[f64], factor: impl Fn(f64) -> f64) -> Result<Vec<f64>> {
        let (fundamental, cells) = (TAU / self.side, (self.pixels * self.pixels) as f64);
        let modes = self.modes(map)?;
        let kernel = |i: i64, j: i64| factor(fundamental * ((i * i + j * j) as f64).sqrt()) / cells;
        Ok(self.plane.filtered(&modes, |i, j| kernel(i, j).into()))
    }

    /// Gaussian smoothing exp(−ℓ² θ²/2) with θ = `theta_g` in degrees. With a mask, G∗(w f) / G∗w, so that what is
    /// masked does not pull its surroundings down; 0 where all within reach is masked.
    pub fn smoothed(&mut self, map: Map, theta_g: f64) -> Result<Vec<f64>> {
        let theta = theta_g.to_radians();
        let gauss = |ell: f64| (-0.5 * (ell * theta).powi(2)).exp();
        let Some(mask) = map.mask else { return self.filtered(map.values, gauss) };
        self.fits(mask)?;
        let weighted: Vec<f64> = map.values.iter().zip(mask).map(|(x, w)| if *w > 0.0 { x * w } else { 0.0 }).collect();
        let (sum, norm) = (self.filtered(&weighted, gauss)?, self.filtered(mask, gauss)?);
        Ok(sum.into_iter().zip(norm).map(|(s, n)| if n > 1e-6 { s / n } else { 0.0 }).collect())
    }

    /// C_ℓ = Re⟨a_ℓ b_ℓ*⟩ of two maps, or of one with itself: A/N⁴ times the mean of the forward transforms' product
    /// over the modes of a bin, A the solid angle in steradian and N² the pixels. Each masked map has its weighted mean
    /// taken away, is multiplied by its mask, and the spectrum is divided by f_sky = ⟨w_a w_b⟩: right on the whole
    /// where the spectrum hardly varies over the mask's own width in ℓ; the coupling of modes is left as it is. With
    /// `pixel_window`, [sinc(ℓ_x p/2) sinc(ℓ_y p/2)]² is divided out, p being a pixel's side.
    pub fn c_ell(&mut self, bins: &Bins, a: Map, b: Option<Map>, pixel_window: bool) -> Result<AngularSpectrum> {
        let maps: Vec<Map> = std::iter::once(a).chain(b).collect();
        let mut all = self.spectra(bins, &maps, &[[0, maps.len() - 1]], pixel_window)?;
        Ok(all.remove(0))
    }

    /// The same of pairs of several maps, each of which is transformed once.
    pub fn spectra(
        &mut self,
        bins: &Bins,
        maps: &[Map],
        pairs: &[[usize; 2]],
        pixel_window: bool,
    ) -> Result<Vec<AngularSpectrum>> {
        let n = self.pixels;
        let modes = maps.iter().map(|map| self.masked_modes(*map)).collect::<Result<Vec<_>>>()?;
        let fundamental = TAU / self.side;
        let sinc = |i: i64| {
            let x = PI * i as f64 / n as f64;
            if pixel_window && i != 0 { x.sin() / x } else { 1.0 }
        };
        let of = |&[a, b]: &[usize; 2]| {
            let f_sky = self.overlap(maps[a], maps[b]);
            if f_sky <= 0.0 {
                return Err(Error::input("the masks leave no pixel to both maps").remedy("look at the masks"));
            }
            let norm = self.side.powi(2) / (n as f64).powi(4) / f_sky;
            let mut other = modes[b].iter();
            // Σ ℓ, Σ a b*, and how many.
            let mut sums = vec![0.0; 3 * bins.count()];
            self.plane.for_each(&modes[a], |[i, j], multiplicity, c| {
                let ell = fundamental * ((i * i + j * j) as f64).sqrt();
                let (Some(d), Some(bin)) = (other.next(), bins.of(ell)) else { return };
                let product = (c * d.conj()).re / (sinc(i) * sinc(j)).powi(2);
                let sums = &mut sums[3 * bin..];
                sums[0] += multiplicity as f64 * ell;
                sums[1] += multiplicity as f64 * product;
                sums[2] += multiplicity as f64;
            });
            self.plane.sum(&mut sums);
            let mean = |q: usize| sums.chunks_exact(3).map(move |s| s[q] / s[2].max(1.0));
            let modes = sums.chunks_exact(3).map(|s| s[2] as u64).collect();
            Ok(AngularSpectrum { ell: mean(0).collect(), c_ell: mean(1).map(|c| norm * c).collect(), modes })
        };
        pairs.iter().map(of).collect()
    }

    /// Shear γ1, γ2 of a convergence, γ = (ℓ_row + i ℓ_column)² / ℓ² κ (Kaiser & Squires 1993), direction 1 being that of
    /// growing rows, as everywhere here. Periodic; of the map's mean there is none, and of its Nyquist modes, whose
    /// direction nobody knows, neither.
    pub fn shear(&mut self, kappa: &[f64]) -> Result<[Vec<f64>; 2]> {
        let modes = self.modes(kappa)?;
        let n = self.pixels;
        Ok([0, 1].map(|component| self.plane.filtered(&modes, |i, j| (spin2(n, i, j)[component]).into())))
    }

    /// The convergence of a shear, and its B mode, of which lensing by matter makes none.
    pub fn convergence(&mut self, gamma: [&[f64]; 2]) -> Result<[Vec<f64>; 2]> {
        let (n, [first, second]) = (self.pixels, [self.modes(gamma[0])?, self.modes(gamma[1])?]);
        Ok([false, true].map(|b| {
            let part = |plane: &mut Plane<f64>, modes: &[Complex<f64>], component: usize, sign: f64| {
                plane.filtered(modes, |i, j| (sign * spin2(n, i, j)[component]).into())
            };
            let one = part(&mut self.plane, &first, b as usize, if b { -1.0 } else { 1.0 });
            let two = part(&mut self.plane, &second, !b as usize, 1.0);
            one.into_iter().zip(two).map(|(one, two)| one + two).collect()
        }))
    }

    /// Refuses a map, or a mask, of another size.
    pub fn fits(&self, map: &[f64]) -> Result<()> {
        if map.len() == self.plane.rows().len() * self.pixels {
            return Ok(());
        }
        Err(Error::input(format!("a map of {0} × {0} pixels is expected", self.pixels)).value(map.len()))
    }

    fn modes(&mut self, map: &[f64]) -> Result<Vec<Complex<f64>>> {
        self.fits(map)?;
        Ok(self.plane.forward(map))
    }

    fn masked_modes(&mut self, map: Map) -> Result<Vec<Complex<f64>>> {
        let Some(mask) = map.mask else { return self.modes(map.values) };
        self.fits(map.values)?;
        self.fits(mask)?;
        // Whatever stands in a masked pixel, not a number included, must not matter.
        let pairs = || map.values.iter().zip(mask).map(|(&x, &w)| if w > 0.0 { (x, w) } else { (0.0, 0.0) });
        let (sum, weight) = pairs().fold((0.0, 0.0), |(s, t), (x, w)| (s + w * x, t + w));
        let mut sums = [sum, weight];
        self.plane.sum(&mut sums);
        let [sum, weight] = sums;
        let mean = if weight > 0.0 { sum / weight } else { 0.0 };
        self.modes(&pairs().map(|(x, w)| w * (x - mean)).collect::<Vec<_>>())
    }

    /// ⟨w_a w_b⟩ over the map.
    fn overlap(&self, a: Map, b: Map) -> f64 {
        let weight = |map: Map, i: usize| map.mask.map_or(1.0, |mask| mask[i].max(0.0));
        let mut sum = [(0..a.values.len()).map(|i| weight(a, i) * weight(b, i)).sum::<f64>()];
        self.plane.sum(&mut sum);
        sum[0] / (self.pixels * self.pixels) as f64
    }
}

/// cos 2φ and sin 2φ of a mode, over the number of modes of n × n; 0 of the mean and of Nyquist modes.
fn spin2(n: usize, i: i64, j: i64) -> [f64; 2] {
    if (i, j) == (0, 0) || [i, j].iter().any(|k| 2 * k.unsigned_abs() as usize == n) {
        return [0.0; 2];
    }
    let (row, column) = (i as f64, j as f64);
    [row * row - column * column, 2.0 * row * column].map(|k| k / (row * row + column * column) / (n * n) as f64)
}
