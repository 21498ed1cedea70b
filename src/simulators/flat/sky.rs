//! `[simulator.sky]`: pixels, and what a survey does to them.

use super::bad;
use crate::error::Result;
use crate::io::mask;
use crate::limits;
use crate::list::OneOrMany;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Noise of galaxy shapes in the pixels of convergence and of both components of shear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShapeNoise {
    /// Rms of the intrinsic ellipticity.
    pub sigma_e: f64,
    /// Galaxies per square arcminute, or those of each map.
    pub n_gal: OneOrMany<f64>,
    /// What `sigma_e` is the rms of: of |e|, both components together, or of one component.
    #[serde(default)]
    pub of: Ellipticity,
}

/// What has an rms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ellipticity {
    #[default]
    Both,
    Component,
}

/// `[simulator.sky]`: pixels of the maps, and what a survey does to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkyConfig {
    /// Side of the square maps, at most 30. They are periodic: what leaves at one side comes in at the other.
    #[schemars(extend("x-unit" = "degrees"))]
    pub field_of_view_deg: f64,
    /// Pixels per side, 2 to 16384.
    pub pixels: usize,
    /// A pixel is the mean over its square (C_ℓ times [sinc sinc]²), not the value at its centre.
    #[serde(default)]
    pub pixel_window: bool,
    /// Rms of white noise in each pixel, or one for each map: part of the universe. Networks that are to see fresh noise
    /// at every pass have it in `[train.data.noise]` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "of the map"))]
    pub noise: Option<OneOrMany<f64>>,
    /// `{ sigma_e = 0.26, n_gal = 27.0, of = "component" }`: more such noise, of galaxy shapes. In a pixel of area A it has
    /// the variance σ_e²/(2 n A) where `sigma_e` is the rms of |e|, both components together (`of = "both"`, the default
    /// and what other sections mean), and σ_e²/(n A) where it is that of one component. `n_gal` are the galaxies per square
    /// arcminute, of all maps or of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "`{ sigma_e, n_gal, of }`"))]
    pub shape_noise: Option<ShapeNoise>,
    /// Field `shear` too: γ1, γ2 of which the maps are the convergence (Kaiser & Squires 1993), with noise and mask of their
    /// own.
    #[serde(default)]
    pub shear: bool,
    /// HDF5 file with an array `mask` (pixels, pixels) of numbers from 0 (masked) to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub mask: Option<PathBuf>,
    /// Value of masked pixels.
    #[serde(default)]
    pub mask_fill: f64,
}

/// Farthest that a flat sky reaches in degrees, and pixels per side of 2 GiB: as of light cones.
const FLAT_SKY: f64 = 30.0;
const PIXELS: usize = 1 << 14;

impl SkyConfig {
    /// The maps in a few words.
    pub fn summary(&self) -> String {
        let (n, side) = (self.pixels, self.field_of_view_deg);
        format!("maps of {n}² pixels, {side}° × {side}°")
    }

    pub fn check(&self, maps: usize) -> Result<()> {
        if !(self.field_of_view_deg > 0.0 && self.field_of_view_deg <= FLAT_SKY) {
            let problem = format!("the field of view of a flat sky lies above 0 and at most at {FLAT_SKY} degrees");
            return Err(bad("sky.field_of_view_deg", self.field_of_view_deg, problem, "10.0 is usual"));
        }
        if !(2..=PIXELS).contains(&self.pixels) {
            let problem = format!("a map has 2 to {PIXELS} pixels per side");
            return Err(bad("sky.pixels", self.pixels, problem, "256 is usual"));
        }
        let numbers = [self.pixels, self.pixels, maps];
        limits::product_at_most("simulator.sky.pixels", &numbers, "numbers", limits::NUMBERS, "lower it")?;
        if let Some(noise) = &self.noise {
            if noise.len() != 1 && noise.len() != maps {
                let problem = format!("has {} numbers, and there are {maps} maps", noise.len());
                return Err(bad("sky.noise", &noise[..], problem, "give one number, or one for each map"));
            }
            if let Some(sigma) = noise.iter().find(|sigma| !(**sigma >= 0.0 && sigma.is_finite())) {
                return Err(bad("sky.noise", sigma, "is no rms", "give a number from 0 up, in the map's unit"));
            }
        }
        if let Some(ShapeNoise { sigma_e, n_gal, .. }) = &self.shape_noise {
            if n_gal.len() != 1 && n_gal.len() != maps {
                let problem = format!("has {} numbers, and there are {maps} maps", n_gal.len());
                return Err(bad("sky.shape_noise.n_gal", &n_gal[..], problem, "give one number, or one for each map"));
            }
            for (key, value) in std::iter::once(("sigma_e", sigma_e)).chain(n_gal.iter().map(|n| ("n_gal", n))) {
                if !(*value > 0.0 && value.is_finite()) {
                    let remedy = "sigma_e = 0.37, n_gal = 30.0 is usual";
                    return Err(bad(&format!("sky.shape_noise.{key}"), value, "must be positive", remedy));
                }
            }
        }
        if !self.mask_fill.is_finite() {
            return Err(bad("sky.mask_fill", self.mask_fill, "must be a finite number", "0.0 is usual"));
        }
        self.mask().map(drop)
    }

    /// The mask of the maps.
    pub fn mask(&self) -> Result<Option<Vec<f64>>> {
        mask::of_maps(self.mask.as_deref(), self.pixels, "simulator.sky")
    }

    /// Rms of all noise in each map's pixels.
    pub fn noise(&self, maps: usize) -> Vec<f64> {
        let of = |list: &OneOrMany<f64>, map: usize| list.get(map).or(list.first()).copied().unwrap_or(0.0);
        let arcmin = 60.0 * self.field_of_view_deg / self.pixels as f64;
        let shapes = |map: usize| {
            self.shape_noise.as_ref().map_or(0.0, |noise| {
                let halves = if noise.of == Ellipticity::Both { 2.0 } else { 1.0 };
                noise.sigma_e.powi(2) / (halves * of(&noise.n_gal, map) * arcmin * arcmin)
            })
        };
        let white = |map: usize| self.noise.as_ref().map_or(0.0, |noise| of(noise, map).powi(2));
        (0..maps).map(|map| (white(map) + shapes(map)).sqrt()).collect()
    }
}
