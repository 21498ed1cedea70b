//! Periodic maps of a flat sky from their angular power spectra: what the kinds `gaussian-flat` and `lognormal-flat`
//! share.

use super::section::{Likelihood, LnLikelihood, Theory, Universes};
use super::sky::Sky;
use super::{Job, Output, Runner};
use crate::comm::{Comm, timers::Timers};
use crate::cosmology::angular::{AngularSpectra, Nuisance, Tracers, TracersConfig};
use crate::cosmology::{CosmologyConfig, may_vary};
use crate::error::{Error, Result};
use crate::fields::flat_sky::{AngularConfig, FlatSky};
use crate::fields::grid_spectra::{GridSpectra, Roots, cholesky, pairs};
use crate::fields::lognormal::{Achieved, Lognormal};
use crate::fields::peaks::PeakConfig;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::io::mask;
use crate::limits;
use crate::list::OneOrMany;
use crate::mesh::Plane;
use crate::prior::Theta;
use crate::rng::stream;
use ndarray::{Array1, Array2};
use ndarray_linalg::{DeterminantC, FactorizeC, SolveC, UPLO};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::f64::consts::TAU;
use std::path::PathBuf;
use std::time::Instant;

/// `[simulator.spectrum]`: C(ℓ) = A (ℓ/pivot)^slope in sr, of one map; or those of several from a file or from theory,
/// times the same without unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpectrumConfig {
    /// Text file of the angular spectra C_ij(ℓ) in sr of several maps: columns ℓ and pairs, which a first line
    /// `# ell A*A A*B B*B` names. The maps are in the order in which their names appear there. It reaches from the
    /// fundamental 2π/side to the corner of the Fourier plane, √2 π/pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub file: Option<PathBuf>,
    /// Theory of the maps of convergence and of galaxy counts, in the cosmology of each universe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracers: Option<TracersConfig>,
    /// Natural logarithm of the amplitude A, in sr (a factor on the spectra of a file or of theory, 0 by default): a
    /// parameter, which stands here or in `[design.parameters]`.
    #[serde(rename = "ln_A", skip_serializing_if = "Option::is_none")]
    pub ln_a: Option<f64>,
    /// Exponent of ℓ/pivot: a parameter like `ln_A`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// ℓ at which C is A.
    #[schemars(extend("x-unit" = "ℓ"))]
    pub pivot: f64,
}

impl Default for SpectrumConfig {
    fn default() -> Self {
        SpectrumConfig { file: None, tracers: None, ln_a: None, slope: None, pivot: 1000.0 }
    }
}

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

const LN_A: &str = "ln_A";
const SLOPE: &str = "slope";
/// What a bin's shift Δz and its multiplicative bias m are called, before its name: `dz_kappa0`, `m_kappa0`.
const SHIFT: &str = "dz_";
const BIAS: &str = "m_";

/// An error about `[simulator.SECTION]`.
fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy)
}

/// Farthest that a flat sky reaches in degrees, and pixels per side of 2 GiB: as of light cones.
const FLAT_SKY: f64 = 30.0;
const PIXELS: usize = 1 << 14;

impl SkyConfig {
    /// The maps in a few words.
    pub(super) fn summary(&self) -> String {
        let (n, side) = (self.pixels, self.field_of_view_deg);
        format!("maps of {n}² pixels, {side}° × {side}°")
    }

    fn check(&self, maps: usize) -> Result<()> {
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
    fn mask(&self) -> Result<Option<Vec<f64>>> {
        mask::of_maps(self.mask.as_deref(), self.pixels, "simulator.sky")
    }

    /// Rms of all noise in each map's pixels.
    fn noise(&self, maps: usize) -> Vec<f64> {
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

impl SpectrumConfig {
    fn check(&self, of: &Universes) -> Result<()> {
        if !(self.pivot > 0.0 && self.pivot.is_finite()) {
            return Err(bad("spectrum.pivot", self.pivot, "is no multipole", "1000.0 is usual"));
        }
        if let (Some(path), true) = (&self.file, self.tracers.is_some()) {
            let problem = "is given beside the theory of [simulator.spectrum.tracers]";
            return Err(bad("spectrum.file", path, problem, "keep one of them"));
        }
        for (name, value) in [(LN_A, self.ln_a), (SLOPE, self.slope)] {
            let varies = of.prior.names().contains(&name);
            let key = format!("spectrum.{name}");
            match value {
                Some(value) if varies => {
                    let problem = format!("is given here, and varies in [design.parameters.{name}]");
                    return Err(bad(&key, value, problem, "keep one of them"));
                }
                Some(value) => check_parameter(&format!("simulator.{key}"), name, value)?,
                None if varies || self.file.is_some() || self.tracers.is_some() => {}
                None => {
                    let remedy = format!("give it in [simulator.spectrum], or vary it in [design.parameters.{name}]");
                    return Err(Error::input("is missing").key(format!("simulator.{key}")).remedy(remedy));
                }
            }
        }
        Ok(())
    }

    /// What it names is read. Serial.
    fn input(&self, of: &Universes) -> Result<Input> {
        if let Some(tracers) = &self.tracers {
            let tracers = Tracers::new(tracers, "simulator.spectrum.tracers")?;
            return Ok(Input::Theory(Box::new((tracers, of.cosmology()?.clone()))));
        }
        let read = |path: &PathBuf| AngularSpectra::read(path).map_err(|e| e.key("simulator.spectrum.file"));
        Ok(self.file.as_ref().map(read).transpose()?.map_or(Input::PowerLaw, Input::Table))
    }

    /// Names of the parameters that a design may vary: of theory also shifts of redshift of every bin, and multiplicative
    /// biases of convergence.
    pub fn parameters(&self) -> Vec<String> {
        let names = self.tracers.iter().flat_map(TracersConfig::names);
        let of_bin = |name: String| {
            let bias = name.starts_with("kappa").then(|| format!("{BIAS}{name}"));
            bias.into_iter().chain([format!("{SHIFT}{name}")])
        };
        [LN_A, SLOPE].map(String::from).into_iter().chain(names.flat_map(of_bin)).collect()
    }

    /// Refuses impossible values of these.
    pub fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        varied.iter().try_for_each(|(name, value)| check_parameter(&format!("design.parameters.{name}"), name, *value))
    }

    /// What multiplies the table at ℓ, or is the spectrum itself.
    fn factor(&self, theta: Theta) -> impl Fn(f64) -> f64 + use<> {
        let of = |name: &str, own: Option<f64>| theta.get(name).or(own).unwrap_or(0.0);
        let (ln_a, slope, pivot) = (of(LN_A, self.ln_a), of(SLOPE, self.slope), self.pivot);
        move |ell| (ln_a + slope * (ell / pivot).ln()).exp()
    }
}

/// Refuses amplitudes and slopes that are beyond any spectrum, and shifts and biases that are beyond any survey.
fn check_parameter(key: &str, name: &str, value: f64) -> Result<()> {
    let (most, remedy) = match name {
        LN_A => (200.0, "is it the logarithm of the amplitude in sr?"),
        SLOPE => (20.0, "is it the exponent of ℓ?"),
        _ if name.starts_with(BIAS) => (0.9, "is it the bias m of (1 + m) κ?"),
        _ => (0.5, "is it the shift of a bin's redshifts?"),
    };
    match value.abs() <= most {
        true => Ok(()),
        false => Err(Error::input(format!("lies outside [-{most}, {most}]")).key(key).value(value).remedy(remedy)),
    }
}

/// Where spectra come from: of theory with what is the same in all universes.
#[derive(Debug, Clone)]
enum Input {
    PowerLaw,
    Table(AngularSpectra),
    Theory(Box<(Tracers, CosmologyConfig)>),
}

/// All that a kind of maps has of a campaign.
#[derive(Debug, Clone)]
pub(super) struct FlatMaps {
    pub spectrum: SpectrumConfig,
    input: Input,
    /// Of lognormal maps.
    shifts: Option<OneOrMany<f64>>,
    pub sky: SkyConfig,
    pub c_ell: Option<AngularConfig>,
    pub peaks: Option<PeakConfig>,
}

impl FlatMaps {
    /// Reads the files of spectra and redshifts. Serial.
    pub fn new(
        of: &Universes,
        spectrum: &SpectrumConfig,
        shifts: Option<&OneOrMany<f64>>,
        sky: &SkyConfig,
        c_ell: Option<&AngularConfig>,
        peaks: Option<&PeakConfig>,
    ) -> Result<FlatMaps> {
        let (input, shifts) = (spectrum.input(of)?, shifts.cloned());
        let (spectrum, sky, c_ell, peaks) = (spectrum.clone(), sky.clone(), c_ell.cloned(), peaks.cloned());
        Ok(FlatMaps { spectrum, input, shifts, sky, c_ell, peaks })
    }

    /// Serial: refuses what cannot be made.
    pub fn check(&self, of: &Universes) -> Result<()> {
        self.sky.check(self.maps())?;
        self.spectrum.check(of)?;
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        self.c_ell.iter().try_for_each(|c| c.ell_bins(n, side).map(drop))?;
        self.peaks.iter().try_for_each(|c| c.height_bins().map(drop))?;
        let counts =
            matches!(&self.input, Input::Theory(theory) if theory.0.names().iter().any(|n| n.starts_with("counts")));
        for (key, asked) in [("shear", self.sky.shear), ("shape_noise", self.sky.shape_noise.is_some())] {
            if counts && asked {
                let problem = "is of maps of convergence, and [simulator.spectrum.tracers] has counts of galaxies too";
                let remedy = "leave it or the lenses out; sky.noise takes a number for each map";
                return Err(bad(&format!("sky.{key}"), true, problem, remedy));
            }
        }
        if let Input::Table(table) = &self.input {
            let [fundamental, corner] = self.multipoles();
            table.covers(fundamental, corner).map_err(|e| e.key("simulator.spectrum.file"))?;
        }
        if let Some(shifts) = &self.shifts {
            if shifts.len() != 1 && shifts.len() != self.maps() {
                let problem = format!("has {} numbers, and there are {} maps", shifts.len(), self.maps());
                return Err(bad("shift", &shifts[..], problem, "give one number, or one for each map"));
            }
            if let Some(shift) = shifts.iter().find(|shift| !(**shift > 0.0 && shift.is_finite())) {
                return Err(bad("shift", shift, "is no shift", "give how far below 0 the maps may reach, above 0"));
            }
        }
        if matches!(self.input, Input::PowerLaw) && self.shifts.is_none() {
            return Ok(());
        }
        // What stands for all universes can be drawn.
        let middle = of.prior.middle();
        let drawn = self.drawn(of.prior.theta(&middle), 0, &mut Plane::new([n, n]));
        let key = if self.shifts.is_some() { "simulator.shift" } else { "simulator.spectrum" };
        drawn.map(drop).map_err(|e| if e.key.is_some() { e } else { e.key(key) })
    }

    /// The files that its sections name.
    pub fn files_mut<'a>(spectrum: &'a mut SpectrumConfig, sky: &'a mut SkyConfig) -> Vec<(String, &'a mut PathBuf)> {
        let table = spectrum.file.iter_mut().map(|file| ("/spectrum/file".to_string(), file));
        let redshifts = spectrum.tracers.iter_mut().flat_map(TracersConfig::files_mut);
        let redshifts = redshifts.map(|(at, file)| (format!("/spectrum/tracers{at}"), file));
        table.chain(redshifts).chain(sky.mask.iter_mut().map(|mask| ("/sky/mask".to_string(), mask))).collect()
    }

    /// What it is unusual to do.
    pub fn warnings(of: &Universes) -> Vec<String> {
        let idle = format!("one rank makes a universe's maps: with suite.ranks_per_sim = {} the others idle", of.ranks);
        if of.ranks > 1 { vec![idle] } else { vec![] }
    }

    fn maps(&self) -> usize {
        self.names().len()
    }

    fn names(&self) -> Vec<String> {
        match &self.input {
            Input::PowerLaw => vec!["0".into()],
            Input::Table(table) => table.names().to_vec(),
            Input::Theory(theory) => theory.0.names(),
        }
    }

    /// From the fundamental 2π/side to the corner of the Fourier plane.
    fn multipoles(&self) -> [f64; 2] {
        let fundamental = TAU / self.sky.field_of_view_deg.to_radians();
        [fundamental, fundamental * (self.sky.pixels / 2) as f64 * 2f64.sqrt()]
    }

    /// The spectra that are multiplied in universe `index`.
    fn table(&self, theta: Theta, index: u64) -> Result<Option<Cow<'_, AngularSpectra>>> {
        let (tracers, cosmology) = match &self.input {
            Input::PowerLaw => return Ok(None),
            Input::Table(table) => return Ok(Some(Cow::Borrowed(table))),
            Input::Theory(theory) => &**theory,
        };
        let universe = cosmology.resolve(&theta.iter().filter(|(name, _)| may_vary(name)).collect::<Vec<_>>())?;
        let linear = cosmology.linear_power(&universe, index)?;
        let of = |sort: &str, what: &str| {
            let names = tracers.names().into_iter().filter(|name| name.starts_with(sort));
            names.map(|name| theta.get(&format!("{what}{name}")).unwrap_or(0.0)).collect::<Vec<_>>()
        };
        let (source_shift, lens_shift, m) = (of("kappa", SHIFT), of("counts", SHIFT), of("kappa", BIAS));
        let nuisance = Nuisance { source_shift, lens_shift, m };
        Ok(Some(Cow::Owned(tracers.spectra(&universe, &linear, &nuisance, self.multipoles())?)))
    }

    /// What the maps' pixels have in common in universe `index`, without noise.
    fn grid(&self, theta: Theta, index: u64) -> Result<GridSpectra> {
        let (sky, factor, table) = (&self.sky, self.spectrum.factor(theta), self.table(theta, index)?);
        let c = |i: usize, j: usize, ell: f64| factor(ell) * table.as_ref().map_or(1.0, |table| table.at(i, j, ell));
        Ok(GridSpectra::new(self.maps(), sky.pixels, sky.field_of_view_deg, sky.pixel_window, c))
    }

    /// What draws a universe's maps, without noise.
    fn drawn(&self, theta: Theta, index: u64, plane: &mut Plane<f64>) -> Result<Drawn> {
        let grid = self.grid(theta, index)?;
        let Some(shifts) = &self.shifts else { return grid.roots().map(Drawn::Gaussian) };
        let shifts: Vec<f64> = (0..self.maps()).map(|map| shifts[map.min(shifts.len() - 1)]).collect();
        Lognormal::new(&grid, &shifts, plane).map(Drawn::Lognormal)
    }

    /// The same with it.
    fn noisy_grid(&self, theta: Theta, index: u64) -> Result<GridSpectra> {
        let mut grid = self.grid(theta, index)?;
        grid.add_noise(&self.sky.noise(self.maps()));
        Ok(grid)
    }

    fn seen(&self) -> Sky<'_> {
        Sky {
            what: "maps",
            bins: Axis::named(AxisKind::Channel, "map", self.names()),
            pixels: self.sky.pixels,
            side: self.sky.field_of_view_deg,
            kind: AxisKind::Periodic,
            c_ell: self.c_ell.as_ref(),
            peaks: self.peaks.as_ref(),
        }
    }

    /// Mean C_ℓ of a field's bins, noise included; none of a masked map, whose modes are coupled.
    pub fn theory(&self, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        let Some(c) = self.c_ell.as_ref().filter(|_| field.name == "c_ell" && self.sky.mask.is_none()) else {
            return Ok(None);
        };
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        let (bins, grid) = (c.ell_bins(n, side)?, self.noisy_grid(theta, index)?);
        let (fundamental, area) = (TAU / side.to_radians(), (side.to_radians() / n as f64).powi(2));
        let window = GridSpectra::new(1, n, side, true, |_, _, _| area);
        let pairs = pairs(grid.maps()).count();
        let (mut sums, mut modes) = (vec![0.0; pairs * bins.count()], vec![0.0; bins.count()]);
        for ([row, column], count) in grid.octant() {
            let Some(bin) = bins.of(fundamental * ((row * row + column * column) as f64).sqrt()) else { continue };
            let window = if c.pixel_window { window.at(row, column)[0] } else { 1.0 };
            modes[bin] += count as f64;
            for (pair, p) in grid.at(row, column).iter().enumerate() {
                sums[pair * bins.count() + bin] += count as f64 * p * area / window;
            }
        }
        let values = sums.iter().enumerate().map(|(i, sum)| sum / modes[i % bins.count()]).collect();
        Ok(Some(Theory { name: "the input spectra".into(), values }))
    }

    /// What makes the universes.
    pub fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        let (own, theory) = (self.spectrum.parameters(), matches!(self.input, Input::Theory(_)));
        let changes = |name: &&str| own.iter().any(|own| own == name) || theory && may_vary(name);
        let varies = self.of_each_universe()? || of.prior.names().iter().any(changes);
        let fixed = (!varies).then(OnceCell::new);
        Ok(Box::new(FlatRunner { maps: self.clone(), mask: self.sky.mask()?, fixed }))
    }

    /// True if universes have tables of linear spectra of their own.
    fn of_each_universe(&self) -> Result<bool> {
        let Input::Theory(theory) = &self.input else { return Ok(false) };
        Ok(theory.1.files(0..2)?.iter().any(|(_, files)| files.len() > 1))
    }

    /// The likelihood of Gaussian maps.
    pub fn likelihood(&self) -> Result<Box<dyn Likelihood>> {
        if self.of_each_universe()? {
            let problem = "is known at the universes of the design only, and a likelihood asks between them";
            let error = Error::input(problem).key("cosmology.transfer").value("table");
            return Err(error.remedy("take a fitted spectrum, or leave --exact out"));
        }
        let (mask, n) = (self.sky.mask()?, self.sky.pixels);
        let seen = mask.map(|mask| (0..n * n).filter(|&i| mask[i] > 0.0).collect::<Vec<_>>());
        if seen.is_some() && n > MASKED {
            let problem = format!("with a mask the likelihood is that of all pixels together, of maps up to {MASKED}²");
            return Err(bad("sky.mask", &self.sky.mask, problem, "leave the mask out, or make smaller maps"));
        }
        Ok(Box::new(Exact { maps: self.clone(), seen }))
    }
}

/// What draws maps.
#[derive(Clone)]
enum Drawn {
    Gaussian(Roots),
    Lognormal(Lognormal),
}

/// Draws maps and looks at them.
struct FlatRunner {
    maps: FlatMaps,
    mask: Option<Vec<f64>>,
    /// Where all universes have the same spectra.
    fixed: Option<OnceCell<Drawn>>,
}

impl Runner for FlatRunner {
    fn specs(&self) -> Vec<FieldSpec> {
        let (sky, n) = (self.maps.seen(), self.maps.sky.pixels);
        let axes = sky.axes().to_vec();
        let description = "maps, noise and mask included".into();
        let count = self.maps.maps();
        let mut specs = vec![FieldSpec { axes, description, ..FieldSpec::of("maps", &[count, n, n], &[]) }];
        if self.maps.sky.shear {
            let [bins, row, column] = sky.axes();
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2"]);
            let axes = vec![bins, Axis { spins: vec![2, 2], ..component }, row, column];
            let description = "shear γ1, γ2, noise and mask included".into();
            specs.push(FieldSpec { axes, description, ..FieldSpec::of("shear", &[count, 2, n, n], &[]) });
        }
        specs.extend(sky.specs());
        if self.maps.shifts.is_some() {
            let description = "largest relative deviation of the spectra that the maps were drawn with from those wanted,                                and the part of the modes where no Gaussian maps have what was wanted"
                .into();
            let axes = vec![Axis::named(AxisKind::Column, "value", ["deviation", "projected"])];
            specs.push(FieldSpec { axes, description, dtype: Dtype::F64, ..FieldSpec::of("achieved", &[2], &[]) });
        }
        specs
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let mut timings = Timers::default();
        let none = || self.specs().iter().map(|spec| Data::fill(spec.dtype, 0)).collect();
        let data = comm.agree(if comm.is_root() { self.on_root(job, &mut timings) } else { Ok(none()) })?;
        Ok(Output { timings: timings.entries().to_vec(), ..Output::on_root(comm, self.specs(), data) })
    }
}

impl FlatRunner {
    fn on_root(&self, job: &Job, timings: &mut Timers) -> Result<Vec<Data>> {
        let (n, count) = (self.maps.sky.pixels, self.maps.maps());
        let mut plane = Plane::new([n, n]);
        let mut start = Instant::now();
        let mut lap = |name: &str| {
            timings.add(name, start.elapsed().as_secs_f64());
            start = Instant::now();
        };
        let own;
        let drawn = match self.fixed.as_ref().and_then(OnceCell::get) {
            Some(drawn) => drawn,
            None => {
                own = self.maps.drawn(job.theta, job.index, &mut plane)?;
                self.fixed.as_ref().map_or(&own, |fixed| fixed.get_or_init(|| own.clone()))
            }
        };
        lap("spectra");
        let normal = |purpose: &str, map: usize| {
            StandardNormal.sample_iter(stream(job.seed, job.realisation, purpose, map as u64)).take(n * n)
        };
        let white = |map: usize| normal("white noise", map).collect();
        let mut maps = match drawn {
            Drawn::Gaussian(roots) => roots.draw(&mut plane, white),
            Drawn::Lognormal(lognormal) => lognormal.draw(&mut plane, white),
        };
        lap("draw");
        let mut shear = vec![];
        if self.maps.sky.shear {
            let mut sky = FlatSky::new(n, self.maps.sky.field_of_view_deg)?;
            for map in maps.chunks_exact(n * n) {
                shear.extend(sky.shear(map)?.concat());
            }
        }
        let noise = self.maps.sky.noise(count);
        let survey = |map: &mut [f64], purpose: &str, number: usize, sigma: f64| {
            if sigma > 0.0 {
                map.iter_mut().zip(normal(purpose, number)).for_each(|(x, z): (_, f64)| *x += sigma * z);
            }
            if let Some(mask) = &self.mask {
                let masked = map.iter_mut().zip(mask).filter(|(_, w)| **w == 0.0);
                masked.for_each(|(x, _)| *x = self.maps.sky.mask_fill);
            }
        };
        let numbered = |maps: &mut [f64], purpose: &str, each: usize| {
            maps.chunks_exact_mut(n * n).enumerate().for_each(|(i, map)| survey(map, purpose, i, noise[i / each]))
        };
        numbered(&mut maps, "pixel noise", 1);
        numbered(&mut shear, "shear noise", 2);
        let mut all = vec![maps.iter().map(|x| *x as f32).collect()];
        if self.maps.sky.shear {
            all.push(shear.iter().map(|x| *x as f32).collect());
        }
        let mut all: Vec<Data> = all.into_iter().map(Data::F32).collect();
        all.extend(self.maps.seen().measure(&maps, self.mask.as_deref())?);
        if let Drawn::Lognormal(Lognormal { achieved: Achieved { deviation, projected }, .. }) = drawn {
            all.push(Data::F64(vec![*deviation, *projected]));
        }
        lap("observe");
        Ok(all)
    }
}

/// Pixels per side up to which a masked map has an exact likelihood: a matrix of all its pixels.
const MASKED: usize = 32;

/// The exact likelihood of Gaussian maps, noise included. Unmasked modes are independent of one another,
///
/// ln p = −½ Σ_n [ln det 2πP(n) + d(n)† P(n)⁻¹ d(n) / N²]
///
/// with the maps' transforms d(n); of n = 0, the mean, only where there is noise. The pixels that a mask leaves have the
/// covariance ξ_ij(x − y).
struct Exact {
    maps: FlatMaps,
    seen: Option<Vec<usize>>,
}

impl Likelihood for Exact {
    fn fields(&self) -> Vec<String> {
        vec!["maps".into()]
    }

    fn of<'a>(&'a self, fields: &[Data]) -> Result<LnLikelihood<'a>> {
        let [Data::F32(maps)] = fields else { return Err(Error::failed("maps are in single precision")) };
        let maps: Vec<f64> = maps.iter().map(|&x| x as f64).collect();
        let n = self.maps.sky.pixels;
        Ok(match &self.seen {
            None => {
                let data = powers(&maps, n);
                Box::new(move |theta| self.of_modes(&data, theta))
            }
            Some(seen) => {
                let data = maps.chunks_exact(n * n).flat_map(|map| seen.iter().map(|&i| map[i])).collect();
                Box::new(move |theta| self.of_pixels(seen, &data, theta))
            }
        })
    }
}

impl Exact {
    fn of_modes(&self, data: &[Vec<f64>], theta: Theta) -> Result<f64> {
        let grid = self.maps.noisy_grid(theta, 0)?;
        let maps = grid.maps();
        let mut ln = 0.0;
        for (([row, column], count), data) in grid.octant().zip(data) {
            let p = grid.at(row, column);
            if p.iter().all(|p| *p == 0.0) && row == 0 {
                continue;
            }
            let singular = |map: usize| {
                let problem = format!(
                    "map {map} has no power of its own at the mode ({row}, {column}): the likelihood has no width"
                );
                bad("sky.noise", self.maps.sky.noise(maps), problem, "give the maps noise")
            };
            let root = cholesky(maps, p).map_err(|(map, _)| singular(map))?;
            let own = |i: usize| root[i * (i + 1) / 2 + i];
            if let Some(map) = (0..maps).find(|&i| own(i) == 0.0) {
                return Err(singular(map));
            }
            let ln_det = (0..maps).map(|i| 2.0 * own(i).ln() + TAU.ln()).sum::<f64>();
            ln -= 0.5 * (count as f64 * ln_det + trace_of_inverse(maps, &root, data));
        }
        Ok(ln)
    }

    fn of_pixels(&self, seen: &[usize], data: &Array1<f64>, theta: Theta) -> Result<f64> {
        let (grid, n) = (self.maps.noisy_grid(theta, 0)?, self.maps.sky.pixels);
        let xi = grid.correlations(&mut Plane::new([n, n]));
        let (maps, size) = (grid.maps(), seen.len());
        let pair = |i: usize, j: usize| i.min(j) * maps - i.min(j) * (i.min(j) + 1) / 2 + i.max(j);
        let apart = |a: usize, b: usize| ((a / n + n - b / n) % n) * n + (a % n + n - b % n) % n;
        let covariance = Array2::from_shape_fn([maps * size; 2], |(a, b)| {
            xi[pair(a / size, b / size)][apart(seen[a % size], seen[b % size])]
        });
        let singular = |_| {
            bad("sky.noise", self.maps.sky.noise(maps), "the pixels' covariance has no inverse", "give the maps noise")
        };
        let factors = covariance.factorizec(UPLO::Lower).map_err(singular)?;
        let weighted = factors.solvec(data).map_err(singular)?;
        Ok(-0.5 * (factors.ln_detc() + data.len() as f64 * TAU.ln() + data.dot(&weighted)))
    }
}

/// Σ Re d_i(n) d_j(n)* / N² over the modes that each of [`GridSpectra::octant`] stands for, pairs i ≤ j, of maps (maps,
/// n, n).
fn powers(maps: &[f64], n: usize) -> Vec<Vec<f64>> {
    let mut plane = Plane::<f64>::new([n, n]);
    let modes: Vec<_> = maps.chunks_exact(n * n).map(|map| plane.forward(map)).collect();
    let half = n / 2 + 1;
    let mut sums = vec![vec![0.0; modes.len() * (modes.len() + 1) / 2]; half * (half + 1) / 2];
    for (pair, (i, j)) in pairs(modes.len()).enumerate() {
        let mut second = modes[j].iter();
        plane.for_each(&modes[i], |[k0, k1], multiplicity, mode| {
            let [a, b] = [k0, k1].map(|k| k.unsigned_abs() as usize);
            let octant = a.max(b) * (a.max(b) + 1) / 2 + a.min(b);
            let product = second.next().map_or(0.0, |other| (mode * other.conj()).re);
            sums[octant][pair] += multiplicity as f64 * product / (n * n) as f64;
        });
    }
    sums
}

/// tr((L Lᵀ)⁻¹ S) of a lower triangle L and a symmetric S, given by its pairs i ≤ j.
fn trace_of_inverse(maps: usize, l: &[f64], s: &[f64]) -> f64 {
    let at = |i: usize, j: usize| s[i.min(j) * maps - i.min(j) * (i.min(j) + 1) / 2 + i.max(j)];
    let solved = |mut column: Vec<f64>| {
        for i in 0..maps {
            let row = &l[i * (i + 1) / 2..];
            let dot: f64 = (0..i).map(|j| row[j] * column[j]).sum();
            column[i] = (column[i] - dot) / row[i];
        }
        column
    };
    let half: Vec<Vec<f64>> = (0..maps).map(|j| solved((0..maps).map(|i| at(i, j)).collect())).collect();
    (0..maps).map(|j| solved(half.iter().map(|column| column[j]).collect())[j]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::{Parameter, Prior};

    /// Modes that are independent, and all pixels together, are two ways to the same likelihood of two noisy maps.
    #[test]
    fn the_likelihood_of_modes_is_that_of_all_pixels() {
        for (n, noise) in [(6, 0.3), (5, 0.1)] {
            let sky = SkyConfig {
                field_of_view_deg: 5.0,
                pixels: n,
                pixel_window: true,
                noise: Some(OneOrMany(vec![noise])),
                shape_noise: None,
                shear: false,
                mask: None,
                mask_fill: 0.0,
            };
            let p = |name: &str| Parameter::uniform(name, name, -20.0, 2.0);
            let prior = Prior::new(vec![p(LN_A), p(SLOPE)]).unwrap();
            let of = Universes { cosmology: None, prior: &prior, ranks: 1 };
            let maps = FlatMaps::new(&of, &SpectrumConfig::default(), None, &sky, None, None).unwrap();
            let normal: Vec<f64> = StandardNormal.sample_iter(stream(1, 2, "maps", 0)).take(n * n).collect();
            let data = [Data::F32(normal.iter().map(|x| *x as f32).collect())];
            let (modes, pixels) =
                (Exact { maps: maps.clone(), seen: None }, Exact { maps, seen: Some((0..n * n).collect()) });
            for theta in [[-9.0, -1.0], [-6.0, 0.5]] {
                let ln = |of: &Exact| of.of(&data).unwrap()(prior.theta(&theta)).unwrap();
                let (modes, pixels) = (ln(&modes), ln(&pixels));
                assert!((modes - pixels).abs() < 1e-8 * modes.abs(), "{n}: {modes} {pixels}");
            }
        }
    }

    #[test]
    fn traces_are_those_of_the_inverse() {
        // P = [[4, 2], [2, 5]], P⁻¹ = [[5, −2], [−2, 4]] / 16.
        let root = cholesky(2, &[4.0, 2.0, 5.0]).unwrap();
        let expected = (5.0 * 3.0 - 2.0 * 2.0 * 0.5 + 4.0 * 7.0) / 16.0;
        assert!((trace_of_inverse(2, &root, &[3.0, 0.5, 7.0]) - expected).abs() < 1e-14);
    }
}
