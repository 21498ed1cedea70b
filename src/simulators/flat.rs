//! Periodic maps of a flat sky from their angular power spectra: what the kinds `gaussian-flat` and `lognormal-flat`
//! share.

use super::section::{Likelihood, LnLikelihood, Theory, Universes};
use super::sky::Sky;
use super::{Job, Output, Runner};
use crate::comm::{Comm, timers::Timers};
use crate::error::{Error, Result};
use crate::fields::flat_sky::AngularConfig;
use crate::fields::grid_spectra::{GridSpectra, Roots, cholesky, pairs};
use crate::fields::peaks::PeakConfig;
use crate::io::field::{Axis, AxisKind, Data, FieldSpec};
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
use std::cell::OnceCell;
use std::f64::consts::TAU;
use std::path::PathBuf;
use std::time::Instant;

/// `[simulator.spectrum]`: C(ℓ) = A (ℓ/pivot)^slope in sr, of one map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpectrumConfig {
    /// Natural logarithm of the amplitude A, in sr: a parameter, which stands here or in `[design.parameters]`.
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
        SpectrumConfig { ln_a: None, slope: None, pivot: 1000.0 }
    }
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

/// An error about `[simulator.SECTION]`.
fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy)
}

/// Farthest that a flat sky reaches in degrees, and pixels per side of 2 GiB: as of light cones.
const FLAT_SKY: f64 = 30.0;
const PIXELS: usize = 1 << 14;

impl SkyConfig {
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
        if !self.mask_fill.is_finite() {
            return Err(bad("sky.mask_fill", self.mask_fill, "must be a finite number", "0.0 is usual"));
        }
        self.mask().map(drop)
    }

    /// The mask of the maps.
    fn mask(&self) -> Result<Option<Vec<f64>>> {
        mask::of_maps(self.mask.as_deref(), self.pixels, "simulator.sky")
    }

    /// Rms of the noise in each map's pixels.
    fn noise(&self, maps: usize) -> Vec<f64> {
        let of = |map: usize| self.noise.as_ref().and_then(|n| n.get(map).or(n.first())).copied();
        (0..maps).map(|map| of(map).unwrap_or(0.0)).collect()
    }
}

impl SpectrumConfig {
    fn check(&self, of: &Universes) -> Result<()> {
        if !(self.pivot > 0.0 && self.pivot.is_finite()) {
            return Err(bad("spectrum.pivot", self.pivot, "is no multipole", "1000.0 is usual"));
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
                None if varies => {}
                None => {
                    let remedy = format!("give it in [simulator.spectrum], or vary it in [design.parameters.{name}]");
                    return Err(Error::input("is missing").key(format!("simulator.{key}")).remedy(remedy));
                }
            }
        }
        Ok(())
    }

    /// C_ij(ℓ) of a universe.
    fn at(&self, theta: Theta) -> impl Fn(usize, usize, f64) -> f64 + use<> {
        let of = |name: &str, own: Option<f64>| theta.get(name).or(own).unwrap_or(0.0);
        let (ln_a, slope, pivot) = (of(LN_A, self.ln_a), of(SLOPE, self.slope), self.pivot);
        move |_, _, ell| (ln_a + slope * (ell / pivot).ln()).exp()
    }
}

/// Refuses amplitudes and slopes that are beyond any spectrum.
fn check_parameter(key: &str, name: &str, value: f64) -> Result<()> {
    let most = if name == LN_A { 200.0 } else { 20.0 };
    match value.abs() <= most {
        true => Ok(()),
        false => Err(Error::input(format!("lies outside [-{most}, {most}]"))
            .key(key)
            .value(value)
            .remedy("is it the logarithm of the amplitude in sr, and the exponent of ℓ?")),
    }
}

/// All that a kind of maps has of a campaign.
#[derive(Debug, Clone)]
pub(super) struct FlatMaps {
    pub spectrum: SpectrumConfig,
    pub sky: SkyConfig,
    pub c_ell: Option<AngularConfig>,
    pub peaks: Option<PeakConfig>,
}

impl FlatMaps {
    /// Names of the parameters that a design may vary.
    pub fn parameters() -> Vec<String> {
        vec![LN_A.into(), SLOPE.into()]
    }

    /// Refuses impossible values of these.
    pub fn check_varied(varied: &[(&str, f64)]) -> Result<()> {
        varied.iter().try_for_each(|(name, value)| check_parameter(&format!("design.parameters.{name}"), name, *value))
    }

    /// Serial: refuses what cannot be made.
    pub fn check(&self, of: &Universes) -> Result<()> {
        self.sky.check(self.maps())?;
        self.spectrum.check(of)?;
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        self.c_ell.iter().try_for_each(|c| c.ell_bins(n, side).map(drop))?;
        self.peaks.iter().try_for_each(|c| c.height_bins().map(drop))
    }

    /// What it is unusual to do.
    pub fn warnings(&self, of: &Universes) -> Vec<String> {
        let idle = format!("one rank makes a universe's maps: with suite.ranks_per_sim = {} the others idle", of.ranks);
        if of.ranks > 1 { vec![idle] } else { vec![] }
    }

    /// In a few words.
    pub fn summary(&self) -> String {
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        format!("{} of {n}² pixels, {side}° × {side}°", if self.maps() == 1 { "one map" } else { "maps" })
    }

    fn maps(&self) -> usize {
        1
    }

    fn names(&self) -> Vec<String> {
        vec!["0".into()]
    }

    /// What the maps' pixels have in common in a universe, without noise.
    fn grid(&self, theta: Theta) -> GridSpectra {
        let sky = &self.sky;
        let c = self.spectrum.at(theta);
        GridSpectra::new(self.maps(), sky.pixels, sky.field_of_view_deg, sky.pixel_window, c)
    }

    /// The same with it.
    fn noisy_grid(&self, theta: Theta) -> GridSpectra {
        let mut grid = self.grid(theta);
        grid.add_noise(&self.sky.noise(self.maps()));
        grid
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
    pub fn theory(&self, field: &FieldSpec, theta: Theta) -> Result<Option<Theory>> {
        let Some(c) = self.c_ell.as_ref().filter(|_| field.name == "c_ell" && self.sky.mask.is_none()) else {
            return Ok(None);
        };
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        let (bins, grid) = (c.ell_bins(n, side)?, self.noisy_grid(theta));
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
        let varies = of.prior.names().iter().any(|name| Self::parameters().iter().any(|own| own == name));
        let fixed = (!varies).then(OnceCell::new);
        Ok(Box::new(FlatRunner { maps: self.clone(), mask: self.sky.mask()?, fixed }))
    }

    /// The likelihood of Gaussian maps.
    pub fn likelihood(&self) -> Result<Box<dyn Likelihood>> {
        let (mask, n) = (self.sky.mask()?, self.sky.pixels);
        let seen = mask.map(|mask| (0..n * n).filter(|&i| mask[i] > 0.0).collect::<Vec<_>>());
        if seen.is_some() && n > MASKED {
            let problem = format!("with a mask the likelihood is that of all pixels together, of maps up to {MASKED}²");
            return Err(bad("sky.mask", &self.sky.mask, problem, "leave the mask out, or make smaller maps"));
        }
        Ok(Box::new(Exact { maps: self.clone(), seen }))
    }
}

/// Draws maps and looks at them.
struct FlatRunner {
    maps: FlatMaps,
    mask: Option<Vec<f64>>,
    /// Where all universes have the same spectra.
    fixed: Option<OnceCell<Roots>>,
}

impl Runner for FlatRunner {
    fn specs(&self) -> Vec<FieldSpec> {
        let (sky, n) = (self.maps.seen(), self.maps.sky.pixels);
        let axes = sky.axes().to_vec();
        let description = "maps, noise and mask included".into();
        let maps = FieldSpec { axes, description, ..FieldSpec::of("maps", &[self.maps.maps(), n, n], &[]) };
        std::iter::once(maps).chain(sky.specs()).collect()
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
        let roots = match self.fixed.as_ref().and_then(OnceCell::get) {
            Some(roots) => roots,
            None => {
                own = self.maps.grid(job.theta).roots()?;
                self.fixed.as_ref().map_or(&own, |fixed| fixed.get_or_init(|| own.clone()))
            }
        };
        lap("spectra");
        let normal = |purpose: &str, map: usize| {
            StandardNormal.sample_iter(stream(job.seed, job.realisation, purpose, map as u64)).take(n * n)
        };
        let mut maps = roots.draw(&mut plane, |map| normal("white noise", map).collect());
        lap("draw");
        for ((i, map), sigma) in maps.chunks_exact_mut(n * n).enumerate().zip(self.maps.sky.noise(count)) {
            if sigma > 0.0 {
                map.iter_mut().zip(normal("pixel noise", i)).for_each(|(x, z): (_, f64)| *x += sigma * z);
            }
            if let Some(mask) = &self.mask {
                let masked = map.iter_mut().zip(mask).filter(|(_, w)| **w == 0.0);
                masked.for_each(|(x, _)| *x = self.maps.sky.mask_fill);
            }
        }
        let counted = self.maps.seen().measure(&maps, self.mask.as_deref())?;
        lap("observe");
        Ok([vec![Data::F32(maps.into_iter().map(|x| x as f32).collect())], counted].concat())
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
        let grid = self.maps.noisy_grid(theta);
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
        let (grid, n) = (self.maps.noisy_grid(theta), self.maps.sky.pixels);
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
                mask: None,
                mask_fill: 0.0,
            };
            let maps = FlatMaps { spectrum: SpectrumConfig::default(), sky, c_ell: None, peaks: None };
            let normal: Vec<f64> = StandardNormal.sample_iter(stream(1, 2, "maps", 0)).take(n * n).collect();
            let data = [Data::F32(normal.iter().map(|x| *x as f32).collect())];
            let p = |name: &str| Parameter::uniform(name, name, -20.0, 2.0);
            let prior = Prior::new(vec![p(LN_A), p(SLOPE)]).unwrap();
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
