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

/// Galaxies that are counted in the pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GalaxyCounts {
    /// Mean number of galaxies per square arcminute, or those of each map of counts.
    pub n_gal: OneOrMany<f64>,
    /// HDF5 file with an array `depth` (pixels, pixels), from 0 up, that multiplies their mean number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<PathBuf>,
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
    /// arcminute, of all maps of convergence or of each; maps of counts have no such noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "`{ sigma_e, n_gal, of }`"))]
    pub shape_noise: Option<ShapeNoise>,
    /// `{ n_gal = 10.0, depth = "depth.h5" }`: field `galaxies`, how many are in the pixels of the maps of counts, drawn
    /// from Poisson's law about n_gal A (1 + δ) times the mask and, where it is given, the file's array `depth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "`{ n_gal, depth }`"))]
    pub galaxies: Option<GalaxyCounts>,
    /// Field `shear` too: γ1, γ2 of the maps of convergence (Kaiser & Squires 1993), with noise and mask of their own.
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
    /// Maps of `pixels` per side, without anything that a survey does to them.
    pub fn plain(field_of_view_deg: f64, pixels: usize) -> SkyConfig {
        let (noise, shape_noise, galaxies, mask) = (None, None, None, None);
        let (pixel_window, shear, mask_fill) = (false, false, 0.0);
        SkyConfig { field_of_view_deg, pixels, pixel_window, noise, shape_noise, galaxies, shear, mask, mask_fill }
    }

    /// The maps in a few words.
    pub fn summary(&self) -> String {
        let (n, side) = (self.pixels, self.field_of_view_deg);
        format!("maps of {n}² pixels, {side}° × {side}°")
    }

    /// `kappas` maps of convergence come before those of counts.
    pub fn check(&self, maps: usize, kappas: usize) -> Result<()> {
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
            per_map("sky.noise", noise, maps, "maps")?;
            if let Some(sigma) = noise.iter().find(|sigma| !(**sigma >= 0.0 && sigma.is_finite())) {
                return Err(bad("sky.noise", sigma, "is no rms", "give a number from 0 up, in the map's unit"));
            }
        }
        if let Some(ShapeNoise { sigma_e, n_gal, .. }) = &self.shape_noise {
            per_map("sky.shape_noise.n_gal", n_gal, kappas, "maps of convergence")?;
            for (key, value) in std::iter::once(("sigma_e", sigma_e)).chain(n_gal.iter().map(|n| ("n_gal", n))) {
                if !(*value > 0.0 && value.is_finite()) {
                    let remedy = "sigma_e = 0.37, n_gal = 30.0 is usual";
                    return Err(bad(&format!("sky.shape_noise.{key}"), value, "must be positive", remedy));
                }
            }
        }
        if let Some(GalaxyCounts { n_gal, .. }) = &self.galaxies {
            per_map("sky.galaxies.n_gal", n_gal, maps - kappas, "maps of counts")?;
            if let Some(n) = n_gal.iter().find(|n| !(**n > 0.0 && n.is_finite())) {
                return Err(bad("sky.galaxies.n_gal", n, "must be positive", "10.0 is usual"));
            }
            self.depth()?;
        }
        for (key, asked) in [("shear", self.shear), ("shape_noise", self.shape_noise.is_some())] {
            if asked && kappas == 0 {
                let problem = "is of maps of convergence, of which there are none";
                return Err(bad(&format!("sky.{key}"), true, problem, "leave it out, or give sources"));
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

    /// What multiplies the mean number of galaxies in the pixels.
    pub fn depth(&self) -> Result<Option<Vec<f64>>> {
        let path = self.galaxies.as_ref().and_then(|galaxies| galaxies.depth.as_deref());
        mask::depth(path, self.pixels, "simulator.sky.galaxies.depth")
    }

    /// A pixel's square arcminutes.
    fn area(&self) -> f64 {
        (60.0 * self.field_of_view_deg / self.pixels as f64).powi(2)
    }

    /// Mean number of galaxies in a pixel of each of so many maps of counts.
    pub fn mean_galaxies(&self, counts: usize) -> Vec<f64> {
        let of = |galaxies: &GalaxyCounts| (0..counts).map(|map| of(&galaxies.n_gal, map) * self.area()).collect();
        self.galaxies.as_ref().map_or(vec![], of)
    }

    /// Rms of all noise in each map's pixels, of shapes in the first `kappas`.
    pub fn noise(&self, maps: usize, kappas: usize) -> Vec<f64> {
        let shapes = |map: usize| {
            self.shape_noise.as_ref().filter(|_| map < kappas).map_or(0.0, |noise| {
                let halves = if noise.of == Ellipticity::Both { 2.0 } else { 1.0 };
                noise.sigma_e.powi(2) / (halves * of(&noise.n_gal, map) * self.area())
            })
        };
        let white = |map: usize| self.noise.as_ref().map_or(0.0, |noise| of(noise, map).powi(2));
        (0..maps).map(|map| (white(map) + shapes(map)).sqrt()).collect()
    }
}

/// A map's number, where there is one for all or one for each.
fn of(list: &OneOrMany<f64>, map: usize) -> f64 {
    list.get(map).or(list.first()).copied().unwrap_or(0.0)
}

/// Refuses a list that is neither of one number nor of one for each map.
fn per_map(key: &str, list: &OneOrMany<f64>, maps: usize, what: &str) -> Result<()> {
    if maps > 0 && (list.len() == 1 || list.len() == maps) {
        return Ok(());
    }
    let problem = format!("has {} numbers, and there are {maps} {what}", list.len());
    Err(bad(key, &list[..], problem, "give one number, or one for each map"))
}
