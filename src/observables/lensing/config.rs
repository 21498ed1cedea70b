//! The campaign's `[simulator.lightcone]`.

use super::Replicas;
use crate::cosmology::{RedshiftDistribution, Z_MAX};
use crate::error::{Error, Result};
use crate::limits;
use crate::sphere::MAX_NSIDE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How light finds its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Along straight lines: convergence alone.
    #[default]
    Born,
    /// Deflected on every plane: convergence, shear and rotation.
    Raytrace,
}

/// `[simulator.lightcone]`: convergence maps from a light cone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LightConeConfig {
    /// Side of the square field of view of a flat sky, at most 30.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("x-unit" = "degrees", "x-default" = "none: there is `nside`"))]
    pub field_of_view_deg: f64,
    /// Pixels per side of that field, 2 to 16384.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schemars(extend("x-default" = "none: there is `nside`"))]
    pub pixels: usize,
    /// In the place of a field of view: maps of the sphere with 12 `nside`² HEALPix pixels, a power of two up to 8192.
    /// Such maps are in Born's approximation, of a flat universe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nside: Option<usize>,
    /// With `nside`, the part of the sky that is looked at and stored: `"full"`; `"octant"`, the pixels whose centres
    /// have x, y and z above 0; or `{ mask = "footprint.h5" }`, those above 0 in the array `mask` of an HDF5 file.
    #[serde(default, skip_serializing_if = "Region::is_full")]
    #[schemars(extend("x-type" = "`\"full\"`, `\"octant\"` or `{ mask = path }`"))]
    pub footprint: Region,
    /// With `nside`: `shear` too, by harmonic transforms of κ, up to ℓ = 2 `nside`. Of the full sky alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shear: bool,
    /// Thickness of a slice, at most the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "Mpc/h", "x-default" = "`box_size`/4"))]
    pub plane_thickness: Option<f64>,
    /// Light cones through each universe, each with random turns, mirrors and shifts of its own: as many almost
    /// independent maps for one simulation. With several, every field but `lens_planes` gets a first axis `light_cone`;
    /// needs `randomise`. The first is the same however many there are.
    #[serde(default = "one")]
    pub light_cones: u32,
    /// One source bin for each, all its galaxies at that redshift, above 0 and at most 20.
    #[serde(default)]
    pub source_redshifts: Vec<f64>,
    /// One more source bin for each distribution, several for a set of them. There must be at least one bin.
    #[serde(default)]
    #[schemars(extend("x-type" = "[distribution, …]"))]
    pub n_of_z: Vec<RedshiftDistribution>,
    /// `"born"`: along straight lines, κ alone. `"raytrace"`: light is deflected on every plane; κ, shear and rotation.
    #[serde(default)]
    pub method: Method,
    /// Turns, mirrors and shifts each repetition of the box along the line of sight at random, so that no structure is
    /// met twice.
    #[serde(default = "yes")]
    pub randomise: bool,
    /// Lets the field be wider than the box at the farthest source: copies then stand side by side. Else this is
    /// refused. A sphere of sources is as wide as two of its radii, an octant as one.
    #[serde(default)]
    pub replicate_across: bool,
    /// `{ sigma_e = 0.37, n_gal = 30.0 }`: adds Gaussian noise of variance σ_e²/(2 n A) to the pixels (area A) of κ.
    /// `sigma_e` is the rms of |e|, both components together; `n_gal` the galaxies per square arcminute in each source
    /// bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_noise: Option<ShapeNoise>,
    /// HDF5 file with an array `mask` (pixels, pixels), or (12 `nside`²), of numbers from 0 (masked) to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub mask: Option<PathBuf>,
    /// Value of masked pixels.
    #[serde(default)]
    pub mask_fill: f64,
    /// Keeps the projected slices too: list `lens_planes`, one light cone after the other.
    #[serde(default)]
    pub keep_planes: bool,
}

/// Noise of galaxy shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShapeNoise {
    /// Rms of the intrinsic ellipticity |e|, both components together; about 0.26 to 0.4.
    pub sigma_e: f64,
    /// Galaxies per square arcminute in each map.
    pub n_gal: f64,
}

/// A part of the sphere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// All of it.
    #[default]
    Full,
    /// The pixels whose centres have x, y and z above 0.
    Octant,
    /// Those above 0 in the array `mask` of this file.
    Mask(PathBuf),
}

impl Region {
    /// True for all of it.
    pub fn is_full(&self) -> bool {
        *self == Region::Full
    }
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

/// An error about `[simulator.lightcone]`.
pub(super) fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.lightcone.{key}")).value(value).remedy(remedy)
}

/// The key of distribution number `i`.
pub(super) fn n_of_z(i: usize) -> String {
    format!("simulator.lightcone.n_of_z.{i}")
}

/// A flat sky distorts a field of this many degrees by about one percent.
const FLAT_SKY: f64 = 30.0;
/// 2^14 pixels per side are 2 GiB per map in double precision.
const PIXELS: usize = 1 << 14;

impl LightConeConfig {
    /// Number of source bins, each of which gets a map: the redshifts first, then the distributions.
    pub fn bins(&self) -> usize {
        self.source_redshifts.len() + self.n_of_z.iter().map(RedshiftDistribution::bins).sum::<usize>()
    }

    /// The replicas of light cone number `view`.
    pub fn replicas(&self, seed: u64, realisation: u64, view: u32) -> Replicas {
        if self.randomise { Replicas::random(seed, realisation, view) } else { Replicas::plain() }
    }

    /// Thickness of a lens plane in Mpc/h, for a box of `box_size` Mpc/h.
    pub fn thickness(&self, box_size: f64) -> f64 {
        self.plane_thickness.unwrap_or(box_size / 4.0)
    }

    /// Pixels of a map; of a part of the sphere, of all of it.
    pub fn map_pixels(&self) -> usize {
        self.nside.map_or(self.pixels * self.pixels, |n| 12 * n * n)
    }

    fn check_field(&self) -> Result<()> {
        let (field, pixels) = (self.field_of_view_deg, self.pixels);
        if field == 0.0 && pixels == 0 {
            let remedy =
                "give field_of_view_deg and pixels of a flat sky to [simulator.lightcone], or nside of the sphere";
            return Err(Error::input("is missing").key("simulator.lightcone.field_of_view_deg").remedy(remedy));
        }
        if !(field > 0.0 && field <= FLAT_SKY) {
            let problem = format!("the field of view of a flat sky lies above 0 and at most at {FLAT_SKY} degrees");
            return Err(bad("field_of_view_deg", field, problem, "3.5 is usual for a box of 256 Mpc/h and z = 1"));
        }
        if !(2..=PIXELS).contains(&pixels) {
            let problem = format!("a map has 2 to {PIXELS} pixels per side");
            return Err(bad("pixels", pixels, problem, "256 is usual"));
        }
        if !self.footprint.is_full() {
            let problem = "is a part of the sphere, and the sky is flat";
            return Err(bad("footprint", &self.footprint, problem, "leave it out, or give nside"));
        }
        if self.shear {
            let remedy = "take method = \"raytrace\", which gives shear, or leave it out";
            return Err(bad("shear", true, "is made on the sphere, and the sky is flat", remedy));
        }
        Ok(())
    }

    fn check_sphere(&self, nside: usize) -> Result<()> {
        if !(nside.is_power_of_two() && nside <= MAX_NSIDE) {
            let problem = format!("must be a power of two, 1 to {MAX_NSIDE}");
            return Err(bad("nside", nside, problem, "256 has pixels of 14 arcmin"));
        }
        for (key, given) in [("field_of_view_deg", self.field_of_view_deg), ("pixels", self.pixels as f64)] {
            if given != 0.0 {
                return Err(bad(key, given, "is of a flat sky, and nside of the sphere", "leave one of them out"));
            }
        }
        if self.method != Method::Born {
            let problem = "light is followed over a flat sky alone";
            return Err(bad("method", self.method, problem, "take \"born\", or a field of view"));
        }
        if self.shear && !self.footprint.is_full() {
            let problem = "is made of the convergence of the whole sky";
            return Err(bad("shear", true, problem, "leave it out, or footprint"));
        }
        Ok(())
    }

    /// Refuses what makes no sense in a box of `box_size` Mpc/h, whatever the cosmology; [`super::Cone::new`] and
    /// [`super::Sources::new`] look at what depends on it.
    pub fn check(&self, box_size: f64) -> Result<()> {
        match self.nside {
            None => self.check_field()?,
            Some(nside) => self.check_sphere(nside)?,
        }
        let thickness = self.thickness(box_size);
        if !(thickness > 0.0 && thickness <= box_size) {
            let problem = format!("a lens plane is thicker than 0 and at most as thick as the box of {box_size} Mpc/h");
            return Err(bad("plane_thickness", thickness, problem, "leave it out for a quarter of the box"));
        }
        if self.light_cones == 0 {
            let remedy = "leave it out for one, or leave [simulator.lightcone] out for none";
            return Err(bad("light_cones", self.light_cones, "there is at least one light cone", remedy));
        }
        limits::at_most("simulator.lightcone.light_cones", self.light_cones as usize, limits::LIGHT_CONES)?;
        if self.light_cones > 1 && !self.randomise {
            let problem = "without randomise all light cones through a universe are the same";
            return Err(bad(
                "light_cones",
                self.light_cones,
                problem,
                "set randomise = true, or leave light_cones out",
            ));
        }
        if self.bins() == 0 {
            let remedy = "give redshifts, e.g. [0.5, 1.0], or distributions in n_of_z";
            return Err(bad("source_redshifts", &self.source_redshifts, "there are no sources", remedy));
        }
        limits::product_at_most(
            if self.nside.is_some() { "simulator.lightcone.nside" } else { "simulator.lightcone.pixels" },
            &[self.map_pixels(), self.bins(), self.light_cones as usize],
            "numbers",
            limits::NUMBERS,
            "lower it, or take fewer light cones or sources",
        )?;
        if let Some(z) = self.source_redshifts.iter().find(|z| !(**z > 0.0 && **z <= Z_MAX)) {
            let problem = format!("redshifts of sources lie above 0 and at most at {Z_MAX}");
            return Err(bad("source_redshifts", z, problem, "1.0 is usual"));
        }
        if !self.mask_fill.is_finite() {
            return Err(bad("mask_fill", self.mask_fill, "must be a finite number", "0.0 is usual"));
        }
        self.n_of_z.iter().enumerate().try_for_each(|(i, n)| n.check().map_err(|e| e.key(n_of_z(i))))?;
        self.shape_noise.iter().try_for_each(ShapeNoise::check)
    }
}

impl ShapeNoise {
    fn check(&self) -> Result<()> {
        for (key, value, usual) in [("sigma_e", self.sigma_e, "0.37 is usual"), ("n_gal", self.n_gal, "30.0 is usual")]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(bad(&format!("shape_noise.{key}"), value, "must be positive", usual));
            }
        }
        Ok(())
    }
}
