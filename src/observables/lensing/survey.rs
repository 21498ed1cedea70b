//! What a survey does to a map: noise of galaxy shapes, and masks.

use super::ShapeNoise;
use super::config::bad;
use crate::error::Result;
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal};

/// Adds to a map of convergence or of a shear component the noise of galaxy shapes: independent Gaussians of variance
/// σ_e² / (2 n A) for pixels of side `pixel` radians and area A (van Waerbeke 2000). σ_e is the rms of the whole
/// ellipticity |e|; each of its components has σ_e/√2. The draws depend on (seed, realisation, index) alone, `index`
/// being the map's number.
pub fn add_shape_noise(map: &mut [f64], noise: &ShapeNoise, pixel: f64, seed: u64, realisation: u64, index: u64) {
    let sigma = noise.per_pixel(pixel);
    let mut rng = stream(seed, realisation, "shape noise", index);
    for x in map {
        let normal: f64 = StandardNormal.sample(&mut rng);
        *x += sigma * normal;
    }
}

impl ShapeNoise {
    /// Rms of the noise in a pixel of side `pixel` radians.
    pub fn per_pixel(&self, pixel: f64) -> f64 {
        let arcmin = pixel.to_degrees() * 60.0;
        self.sigma_e / (2.0 * self.n_gal * arcmin * arcmin).sqrt()
    }
}

/// Sets pixels where `mask` is 0 to `fill`, in every one of the `maps` (n, pixels, pixels). The mask has one number,
/// from 0 to 1, for each of the pixels × pixels; what it returns says which pixels are seen.
pub fn apply_mask(maps: &mut [f64], pixels: usize, mask: &[f64], fill: f64) -> Result<Vec<bool>> {
    if mask.len() != pixels * pixels {
        let problem = format!("the mask has {} numbers, the map {pixels} x {pixels} pixels", mask.len());
        return Err(bad("mask", mask.len(), problem, "give a mask with the map's pixels, or change pixels"));
    }
    if let Some(value) = mask.iter().find(|m| !(0.0..=1.0).contains(*m)) {
        return Err(bad("mask", value, "a mask has numbers from 0 (masked) to 1 (seen)", "look into the mask's file"));
    }
    let seen: Vec<bool> = mask.iter().map(|m| *m > 0.0).collect();
    for map in maps.chunks_exact_mut(pixels * pixels) {
        map.iter_mut().zip(&seen).filter(|(_, seen)| !**seen).for_each(|(x, _)| *x = fill);
    }
    Ok(seen)
}
