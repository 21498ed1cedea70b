//! `kind = "lognormal-sphere"`: lognormal matter in shells around the observer, correlated between them, and the weak lensing of
//! the whole sky (as GLASS, Tessore et al. 2023, Open J. Astrophys. 6, 11).
//!
//! Shells are drawn and left one after the other, the nearest first: κ_b = Σ_k q_bk δ_k along straight lines, with
//! q_bk = ∫ W_b dχ over the shell and W_b = 3/2 Ωm (H0/c)² f_K(χ) f_K(χ_s − χ)/f_K(χ_s) / a. Shear is γ = ½ ð²ψ of the same potential,
//! γ_ℓm = √((ℓ + 2)(ℓ − 1)/(ℓ(ℓ + 1))) κ_ℓm as an E mode, in the frame of θ (γ1) and φ: around a mass it is tangential.

use super::budget::Memory;
use super::prelude::*;
use crate::comm::share;
use crate::cosmology::angular::AngularSpectra;
use crate::cosmology::{Cosmology, NAMES};
use crate::fields::bins::Bins;
use crate::fields::flat_sky::AngularConfig;
use crate::io::field::{Dtype, HealpixOrder};
use crate::io::mask;
use crate::list::OneOrMany;
use crate::observables::lensing::ShapeNoise;
use crate::rng::{ChaCha8Rng, stream};
use crate::sphere::{Alm, LognormalShells, MAX_NSIDE, Sht};
use crate::units::HUBBLE_DISTANCE;
use gauss_quad::GaussLegendre;
use rand_distr::{Distribution, Poisson, StandardNormal};
use std::cell::RefCell;
use std::f64::consts::PI;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

/// Lognormal matter in shells of the whole sky, and its weak lensing, in HEALPix pixels (RING order).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LognormalSphereConfig {
    /// Pixels along the side of a base pixel, 1 to 8192: 12 nside² in all. Any number; other programs often ask for a power of two.
    pub nside: usize,
    /// The largest multipole, at most 4 nside. Up to 1.5 nside spectra of the maps are right to 1e-6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "3/2 `nside`"))]
    pub lmax: Option<usize>,
    /// Edges of the shells in redshift, growing; from 0, for all matter before a source to lens it.
    pub shells: Vec<f64>,
    /// A table of the spectra of the shells' matter contrasts and of all their pairs, in the shells' order: `# ell A*A A*B B*B`.
    #[schemars(extend("x-type" = "path"))]
    pub spectra: PathBuf,
    /// Factor on all of these: a parameter, which stands here or in `[design.parameters]`.
    #[serde(default = "unit")]
    pub amplitude: f64,
    /// Shift λ of the contrast, δ > −λ; or one for each shell.
    #[serde(default = "shifts")]
    pub shift: OneOrMany<f64>,
    /// Shells before each that it is correlated with as the table says; farther ones as these tell.
    #[serde(default = "neighbours")]
    pub neighbours: usize,
    /// One source bin for each, all its galaxies at that redshift: its convergence is field `kappa`.
    #[serde(default)]
    pub source_redshifts: Vec<f64>,
    /// Shear too, of the same bins: field `shear`, without noise.
    #[serde(default)]
    pub shear: bool,
    /// The shells' matter contrasts: field `delta`.
    #[serde(default)]
    pub delta: bool,
    /// Field `galaxies`, counts in each shell: Poisson, of mean n (1 + b δ), none where that is negative. `n_gal` is the mean per
    /// square arcminute in a shell, or one number for each; `bias` (1.0) the linear bias b, which stands here or in
    /// `[design.parameters]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<GalaxyCounts>,
    /// `{ sigma_e = 0.37, n_gal = 30.0 }`: adds Gaussian noise of variance σ_e²/(2 n A) to the pixels (area A) of κ, but not to
    /// shear. `sigma_e` is the rms of |e|, both components together; `n_gal` the galaxies per square arcminute in each bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape_noise: Option<ShapeNoise>,
    /// Measured angular spectra of κ, noise included, averages over the modes of each bin: from ℓ = 2 to `lmax` if nothing
    /// else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ell: Option<AngularConfig>,
    /// HDF5 file with an array `mask` (12 nside²) of numbers from 0 (masked) to 1. Masked pixels of all maps are 0; spectra are
    /// of the whole sky.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub mask: Option<PathBuf>,
}

/// Galaxies: Poisson, of mean n (1 + b δ), none where that is negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GalaxyCounts {
    /// Galaxies per square arcminute in a shell; or one number for each shell.
    pub n_gal: OneOrMany<f64>,
    /// Linear bias: a parameter, which stands here or in `[design.parameters]`.
    #[serde(default = "unit")]
    pub bias: f64,
}

fn unit() -> f64 {
    1.0
}

fn shifts() -> OneOrMany<f64> {
    1.0.into()
}

fn neighbours() -> usize {
    3
}

const AMPLITUDE: &str = "amplitude";
const BIAS: &str = "bias";
/// Corrections of an analysis: what is left is below 1e-6.
const ITERATIONS: usize = 5;

fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy)
}

/// Number `i` of a list that may be one for all.
fn of<T: Copy>(list: &OneOrMany<T>, i: usize) -> T {
    *list.get(i).unwrap_or(&list[0])
}

impl LognormalSphereConfig {
    fn lmax(&self) -> usize {
        self.lmax.unwrap_or(self.nside + self.nside / 2)
    }

    fn count(&self) -> usize {
        self.shells.len().saturating_sub(1)
    }

    fn pixels(&self) -> usize {
        12 * self.nside * self.nside
    }

    fn check_keys(&self) -> Result<()> {
        if !(1..=MAX_NSIDE).contains(&self.nside) {
            return Err(bad("nside", self.nside, format!("must lie between 1 and {MAX_NSIDE}"), "256 is usual"));
        }
        let (lmax, most) = (self.lmax(), 4 * self.nside);
        if !(2..=most).contains(&lmax) {
            let remedy = "1.5 nside is usual; raise nside for smaller scales";
            return Err(bad("lmax", lmax, format!("must lie between 2 and 4 nside = {most}"), remedy));
        }
        let redshift = |z: &f64| (0.0..=20.0).contains(z);
        if self.shells.len() < 2 || !self.shells.iter().all(redshift) || !self.shells.is_sorted_by(|a, b| a < b) {
            let problem = "must be two or more redshifts from 0 to 20 that grow";
            return Err(bad("shells", &self.shells, problem, "[0.0, 0.2, 0.4, 0.6] are three shells"));
        }
        let (n, far) = (self.count(), self.shells[self.count()]);
        if let Some(z) = self.source_redshifts.iter().find(|z| !(**z > self.shells[0] && **z <= far)) {
            let problem = format!("lies outside the shells, which reach from {} to {far}", self.shells[0]);
            return Err(bad("source_redshifts", z, problem, "add shells up to the farthest source"));
        }
        for (key, list) in [("shift", Some(&self.shift)), ("counts.n_gal", self.counts.as_ref().map(|g| &g.n_gal))] {
            let Some(list) = list else { continue };
            if list.len() != 1 && list.len() != n {
                let problem = format!("has {} numbers, and there are {n} shells", list.len());
                return Err(bad(key, list, problem, "give one number, or one for each shell"));
            }
            if let Some(value) = list.iter().find(|x| !(**x > 0.0 && x.is_finite())) {
                return Err(bad(key, value, "must be positive", "1.0 is usual"));
            }
        }
        if let Some(noise) = &self.shape_noise
            && !(noise.sigma_e >= 0.0 && noise.sigma_e.is_finite() && noise.n_gal > 0.0 && noise.n_gal.is_finite())
        {
            return Err(bad("shape_noise", noise, "is no noise", "give sigma_e from 0 up, and n_gal above 0"));
        }
        for (key, asked) in
            [("shear", self.shear), ("c_ell", self.c_ell.is_some()), ("shape_noise", self.shape_noise.is_some())]
        {
            if asked && self.source_redshifts.is_empty() {
                return Err(bad(key, true, "is of the source bins, and there are none", "give source_redshifts"));
            }
        }
        if self.source_redshifts.is_empty() && !self.delta && self.counts.is_none() {
            let remedy = "give source_redshifts, delta = true or [simulator.counts]";
            return Err(Error::input("asks for no field").key("simulator").remedy(remedy));
        }
        self.ell_bins().map(drop)
    }

    fn ell_bins(&self) -> Result<Option<Bins>> {
        let Some(c) = &self.c_ell else { return Ok(None) };
        let (first, last) = (c.min.unwrap_or(2.0), c.max.unwrap_or(self.lmax() as f64 + 1.0));
        if !(first >= 1.0 && last <= self.lmax() as f64 + 1.0) {
            let problem = format!("the sky has multipoles from 1 to lmax = {}", self.lmax());
            return Err(bad("c_ell", [first, last], problem, "change min or max, or raise lmax"));
        }
        if c.pixel_window {
            let problem = "maps of the sphere are made without a window of their pixels";
            return Err(bad("c_ell.pixel_window", true, problem, "leave it out"));
        }
        let bins = Bins::new("simulator.c_ell", c.spacing, first, last, c.bins)?;
        match (0..c.bins).find(|b| multipoles(&bins, *b).next().is_none()) {
            None => Ok(Some(bins)),
            Some(b) => Err(bad("c_ell.bins", c.bins, format!("leaves bin {b} without a multipole"), "give fewer")),
        }
    }

    /// The table of spectra, which has the shells' pairs up to lmax.
    fn table(&self) -> Result<AngularSpectra> {
        let named = |e: Error| e.key("simulator.spectra").value(&self.spectra);
        let table = AngularSpectra::read(&self.spectra).map_err(named)?;
        if table.names().len() != self.count() {
            let problem =
                format!("has spectra of {} fields, and there are {} shells", table.names().len(), self.count());
            return Err(bad("spectra", &self.spectra, problem, "give spectra of every shell and of all their pairs"));
        }
        table.covers(2.0, self.lmax() as f64).map_err(named)?;
        Ok(table)
    }

    /// ∫ W_b dχ over each shell, (bins, shells).
    fn weights(&self, cosmology: &Cosmology) -> Vec<Vec<f64>> {
        let chi = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
        let across = |chi| cosmology.transverse_distance(chi);
        let rule = GaussLegendre::new(NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN));
        let strength = 1.5 * cosmology.omega_m() / HUBBLE_DISTANCE.powi(2);
        let of_bin = |z_s: &f64| {
            let far = chi(*z_s);
            let kernel = |x: f64| {
                let a = cosmology.scale_factor_at(x).unwrap_or(1.0);
                strength * across(x) * across(far - x) / across(far) / a
            };
            let shell = |edges: &[f64]| match (chi(edges[0]), chi(edges[1]).min(far)) {
                (near, end) if near < end => rule.integrate(near, end, kernel),
                _ => 0.0,
            };
            self.shells.windows(2).map(shell).collect()
        };
        self.source_redshifts.iter().map(of_bin).collect()
    }

    /// Rms of the noise in a pixel of κ.
    fn noise(&self) -> Option<f64> {
        let pixel = (4.0 * PI / self.pixels() as f64).sqrt();
        self.shape_noise.as_ref().map(|noise| noise.per_pixel(pixel))
    }

    fn pairs(&self) -> Vec<[usize; 2]> {
        let n = self.source_redshifts.len();
        (0..n).flat_map(|a| (a..n).map(move |b| [a, b])).collect()
    }

    fn mask(&self) -> Result<Option<Vec<f64>>> {
        let Some(path) = &self.mask else { return Ok(None) };
        let (shape, mask) = mask::read(path).map_err(|e| e.key("simulator.mask"))?;
        match shape == [self.pixels()] {
            true => Ok(Some(mask)),
            false => {
                let problem = format!("its array `mask` has shape {shape:?}, and the maps {} pixels", self.pixels());
                Err(bad("mask", path, problem, "give a mask of the same nside, or change nside"))
            }
        }
    }

    fn specs(&self) -> Vec<FieldSpec> {
        let order = HealpixOrder::Ring;
        let sky = Axis::new(AxisKind::Healpix { nside: self.nside as u32, order }, "pixel", "");
        let sources = Axis::at(AxisKind::Channel, "source_redshift", "", self.source_redshifts.clone());
        let shells = self.shells.windows(2).map(|z| 0.5 * (z[0] + z[1])).collect();
        let shells = Axis { edges: self.shells.clone(), ..Axis::at(AxisKind::Channel, "shell_redshift", "", shells) };
        let maps = |name: &str, axes: Vec<Axis>, shape: &[usize], dtype: Dtype, what: &str| {
            let shape = [shape, &[self.pixels()]].concat();
            let axes = [axes, vec![sky.clone()]].concat();
            FieldSpec { axes, dtype, description: what.into(), ..FieldSpec::of(name, &shape, &[]) }
        };
        let (bins, n, mut specs) = (self.source_redshifts.len(), self.count(), vec![]);
        if bins > 0 {
            specs.push(maps("kappa", vec![sources.clone()], &[bins], Dtype::F32, "convergence of each source bin"));
        }
        if self.shear {
            let components =
                Axis { spins: vec![2, 2], ..Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2"]) };
            let what = "shear of each source bin, without noise, in the frame of θ (southward) and φ (eastward)";
            specs.push(maps("shear", vec![sources, components], &[bins, 2], Dtype::F32, what));
        }
        if self.delta {
            specs.push(maps("delta", vec![shells.clone()], &[n], Dtype::F32, "matter contrast of each shell"));
        }
        if self.counts.is_some() {
            specs.push(maps("galaxies", vec![shells], &[n], Dtype::I64, "galaxies in each pixel of each shell"));
        }
        // Bins that cannot be made were refused by `check`.
        if let Ok(Some(ell)) = self.ell_bins() {
            let pairs = self.pairs();
            let names = Axis::named(AxisKind::Channel, "pair", pairs.iter().map(|[a, b]| format!("{a} {b}")));
            let mean = (0..ell.count()).map(|b| average(&ell, b, |l| l as f64)).collect();
            let axes = vec![names, Axis::bins("ell", "", mean, ell.edges().to_vec())];
            let description = "angular spectra of the convergence, noise included, of the whole sky".into();
            let spec = FieldSpec::of("c_ell", &[pairs.len(), ell.count()], &[]);
            specs.push(FieldSpec { axes, unit: "sr".into(), dtype: Dtype::F64, description, ..spec });
        }
        specs
    }
}

/// The multipoles of a bin.
fn multipoles(bins: &Bins, b: usize) -> std::ops::Range<usize> {
    let [low, high] = [bins.edges()[b], bins.edges()[b + 1]].map(|edge| edge.ceil() as usize);
    low..high
}

/// Mean over the modes of a bin.
fn average(bins: &Bins, b: usize, c: impl Fn(usize) -> f64) -> f64 {
    let (sum, modes) = multipoles(bins, b).fold((0.0, 0.0), |(sum, modes), l| {
        let n = (2 * l + 1) as f64;
        (sum + n * c(l), modes + n)
    });
    sum / modes
}

impl Section for LognormalSphereConfig {
    fn summary(&self) -> String {
        format!("{} lognormal shells of the sky at nside {}, ℓ ≤ {}", self.count(), self.nside, self.lmax())
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.check_keys()?;
        if let Some(name) = of.prior.names().into_iter().find(|name| NAMES.contains(name)) {
            let problem = "varies, but the spectra of the shells come from a table, which is of one cosmology";
            return Err(Error::input(problem)
                .key(format!("design.parameters.{name}"))
                .remedy("fix it in [cosmology]; amplitude and bias may vary"));
        }
        self.check_varied(&[(AMPLITUDE, self.amplitude)]).map_err(|e| e.key("simulator.amplitude"))?;
        let bias = self.counts.as_ref().map(|g| (BIAS, g.bias));
        bias.map_or(Ok(()), |bias| self.check_varied(&[bias]).map_err(|e| e.key("simulator.counts.bias")))?;
        self.table()?;
        self.mask().map(drop)
    }

    fn warnings(&self, _: &Universes) -> Vec<String> {
        let missing = "no matter lies before the first shell: sources behind it are lensed less than they would be";
        let near = self.shells.first().is_some_and(|z| *z > 0.0) && !self.source_redshifts.is_empty();
        if near { vec![missing.into()] } else { vec![] }
    }

    fn needs_cosmology(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<String> {
        let bias = self.counts.iter().map(|_| BIAS.to_string());
        std::iter::once(AMPLITUDE.to_string()).chain(bias).collect()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        match varied.iter().find(|(_, value)| !(*value > 0.0 && *value <= 1e3)) {
            None => Ok(()),
            Some((name, value)) => Err(Error::input("must lie above 0 and at most at 1000")
                .key(format!("design.parameters.{name}"))
                .value(value)
                .remedy("1.0 is usual")),
        }
    }

    fn would_vary(&self, name: &str) -> Option<String> {
        (name == BIAS).then(|| "add a section [simulator.counts]: galaxies alone depend on it".into())
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let mask = self.mask.iter_mut().map(|mask| ("/mask".to_string(), mask));
        std::iter::once(("/spectra".to_string(), &mut self.spectra)).chain(mask).collect()
    }

    fn memory(&self, of: &Universes) -> Result<Option<Memory>> {
        let (ranks, lmax) = (of.ranks.max(1), self.lmax() as u64);
        let part = |bytes: u64| bytes.div_ceil(ranks as u64);
        let (map, alm) = (8 * self.pixels() as u64, 8 * (lmax + 1) * (lmax + 2));
        // κ of all bins, a map that is drawn, one that is left over in an analysis; a whole map on its way to the file.
        let maps = part(map) * (self.source_redshifts.len() as u64 + 3);
        let kept: u64 = self.specs().iter().map(FieldSpec::bytes).sum();
        let bytes = Sht::bytes(self.nside, self.lmax(), ranks) + maps + part(alm) * (self.neighbours as u64 + 3);
        let bytes = bytes + part(kept) + map / 2;
        Ok(Some(Memory {
            expected: bytes,
            largest: bytes,
            cases: ["always".into(), "always".into()],
            safer: "take more ranks",
            key: ("simulator.nside", self.nside),
            remedy: "lower nside or lmax, or raise suite.ranks_per_sim",
        }))
    }

    /// Mean spectra of the convergence, noise included.
    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, _: u64) -> Result<Option<Theory>> {
        let Some(bins) = self.ell_bins()?.filter(|_| field.name == "c_ell") else { return Ok(None) };
        let (table, weights) = (self.table()?, self.weights(&of.resolve(theta)?));
        let amplitude = theta.get(AMPLITUDE).unwrap_or(self.amplitude);
        let (n, first) = (self.count(), table.ell()[0].ceil() as usize);
        let noise = self.noise().map_or(0.0, |sigma| sigma * sigma * 4.0 * PI / self.pixels() as f64);
        let mut values = vec![];
        for [a, b] in self.pairs() {
            let c = |l: usize| -> f64 {
                let sum =
                    |i: usize| (0..n).map(|j| weights[a][i] * weights[b][j] * table.at(i, j, l as f64)).sum::<f64>();
                let matter = if l < first { 0.0 } else { amplitude * (0..n).map(sum).sum::<f64>() };
                matter + if a == b { noise } else { 0.0 }
            };
            values.extend((0..bins.count()).map(|bin| average(&bins, bin, c)));
        }
        Ok(Some(Theory { name: "the table's spectra".into(), values }))
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        let cosmology = of.resolve(of.prior.theta(&of.prior.middle()))?;
        Ok(Box::new(LognormalSphere {
            weights: self.weights(&cosmology),
            table: self.table()?,
            mask: self.mask()?,
            config: self.clone(),
            last: RefCell::new(None),
        }))
    }
}

struct LognormalSphere {
    config: LognormalSphereConfig,
    weights: Vec<Vec<f64>>,
    table: AngularSpectra,
    mask: Option<Vec<f64>>,
    /// What the last universe left for the next: its transform, and the Gaussian spectra of its amplitude.
    last: RefCell<Option<(Sht, f64, LognormalShells)>>,
}

impl LognormalSphere {
    /// The Gaussian spectra of an amplitude. Collective.
    fn shells(&self, comm: &Comm, amplitude: f64) -> Result<LognormalShells> {
        let (config, table) = (&self.config, &self.table);
        let shifts = (0..config.count()).map(|k| of(&config.shift, k)).collect();
        let range = [table.ell()[0].ceil() as usize, config.lmax()];
        let c = |i: usize, j: usize, l: usize| amplitude * table.at(i, j, l as f64);
        LognormalShells::new(comm, range, shifts, config.neighbours, c).map_err(|e| {
            e.key("simulator.spectra")
                .value(&config.spectra)
                .remedy("raise shift, lower lmax or amplitude, or look at these spectra: no lognormal fields have them")
        })
    }

    /// Draws a_ℓm of shell k, given those of shells before, the nearest first.
    fn draw(&self, comm: &Comm, job: &Job, k: usize, shells: &LognormalShells, before: &[Alm]) -> Result<Alm> {
        let given = shells.conditional(k)?;
        let mut alm = Alm::normal(comm, self.config.lmax(), job.seed, job.realisation, &format!("shell {k}"));
        alm.scale(&given.sigma);
        for (before, weights) in before.iter().zip(&given.weights) {
            alm.add(before, weights);
        }
        Ok(alm)
    }

    /// Calls `f(ring's random numbers, pixels)` for each ring of a map: what is drawn depends on no rank.
    fn for_each_ring(
        &self,
        sht: &Sht,
        job: &Job,
        purpose: &str,
        map: &mut [f64],
        mut f: impl FnMut(&mut ChaCha8Rng, &mut [f64]),
    ) {
        let mut rest = map;
        for r in sht.own_rings() {
            let (ring, others) = rest.split_at_mut(sht.rings().ring(r).pixels);
            f(&mut stream(job.seed, job.realisation, purpose, r as u64), ring);
            rest = others;
        }
    }

    /// Sets masked pixels to 0.
    fn masked(&self, sht: &Sht, map: &mut [f64]) {
        if let Some(mask) = &self.mask {
            map.iter_mut().zip(&mask[sht.pixels()]).filter(|(_, mask)| **mask == 0.0).for_each(|(x, _)| *x = 0.0);
        }
    }
}

/// Rows of a field that come one after the other, each in parts on all ranks, and are kept by the rank that has them in the
/// file.
struct Gathered {
    spec: FieldSpec,
    rows: usize,
    next: usize,
    data: Data,
}

impl Gathered {
    fn new(specs: &[FieldSpec], name: &str) -> Option<Self> {
        let spec = specs.iter().find(|spec| spec.name == name)?.clone();
        let data = Data::fill(spec.dtype, 0);
        Some(Gathered { rows: spec.shape[0], next: 0, data, spec })
    }

    /// Appends this rank's pixels of the next map; `per_row` maps make a row. Collective.
    fn push(&mut self, comm: &Comm, map: &[f64], per_row: usize) {
        let row = self.next / per_row;
        let owner = (0..comm.size()).find(|r| {
            let (start, n) = share(self.rows, comm.size(), *r);
            (start..start + n).contains(&row)
        });
        let owner = owner.unwrap_or(0);
        self.next += 1;
        match &mut self.data {
            Data::F32(all) => all.extend(comm.gather(owner, &map.iter().map(|x| *x as f32).collect::<Vec<f32>>())),
            Data::F64(all) => all.extend(comm.gather(owner, map)),
            Data::I64(all) => all.extend(comm.gather(owner, &map.iter().map(|x| *x as i64).collect::<Vec<i64>>())),
        }
    }

    fn field(self, comm: &Comm) -> Field {
        let (_, rows) = share(self.rows, comm.size(), comm.rank());
        Field { spec: self.spec, rows, data: self.data }
    }
}

impl Runner for LognormalSphere {
    fn specs(&self) -> Vec<FieldSpec> {
        self.config.specs()
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let (config, specs) = (&self.config, self.config.specs());
        let (lmax, mut timers, mut start) = (config.lmax(), Timers::default(), Instant::now());
        let mut lap =
            |name: &str| timers.add(name, std::mem::replace(&mut start, Instant::now()).elapsed().as_secs_f64());
        let amplitude = job.theta.get(AMPLITUDE).unwrap_or(config.amplitude);
        let (mut sht, shells) = match self.last.take() {
            Some((sht, of, shells)) if sht.is_of(comm) && of == amplitude => (sht, shells),
            Some((sht, ..)) if sht.is_of(comm) => (sht, self.shells(comm, amplitude)?),
            _ => (comm.agree(Sht::new(comm, config.nside, lmax))?, self.shells(comm, amplitude)?),
        };
        lap("spectra");
        let mut kappa = vec![vec![0.0; sht.pixels().len()]; config.source_redshifts.len()];
        let [mut delta, mut galaxies] = ["delta", "galaxies"].map(|name| Gathered::new(&specs, name));
        let mut before: Vec<Alm> = vec![];
        for k in 0..config.count() {
            let alm = comm.agree(self.draw(comm, job, k, &shells, &before))?;
            lap("draws");
            let mut map = sht.synthesis(&alm);
            lap("transforms");
            before.insert(0, alm);
            before.truncate(config.neighbours);
            shells.exponentiate(k, &mut map);
            for (kappa, weights) in kappa.iter_mut().zip(&self.weights).filter(|(_, weights)| weights[k] > 0.0) {
                kappa.iter_mut().zip(&map).for_each(|(kappa, delta)| *kappa += weights[k] * delta);
            }
            lap("lensing");
            if let (Some(to), Some(counts)) = (&mut galaxies, &config.counts) {
                let arcmin2 = 4.0 * PI / config.pixels() as f64 * (180.0 * 60.0 / PI).powi(2);
                let (mean, bias) = (of(&counts.n_gal, k) * arcmin2, job.theta.get(BIAS).unwrap_or(counts.bias));
                let mut counts = map.clone();
                self.for_each_ring(&sht, job, &format!("galaxies {k}"), &mut counts, |rng, ring| {
                    for x in ring {
                        let mean = mean * (1.0 + bias * *x);
                        *x = if mean > 0.0 {
                            Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(rng))
                        } else {
                            0.0
                        };
                    }
                });
                self.masked(&sht, &mut counts);
                to.push(comm, &counts, 1);
                lap("galaxies");
            }
            if let Some(to) = &mut delta {
                self.masked(&sht, &mut map);
                to.push(comm, &map, 1);
                lap("observe");
            }
        }
        drop(before);
        let [mut to_kappa, mut to_shear] = ["kappa", "shear"].map(|name| Gathered::new(&specs, name));
        let mut noisy: Vec<Alm> = vec![];
        for (b, kappa) in kappa.iter_mut().enumerate() {
            if let Some(to) = &mut to_shear {
                let mut e = sht.analysis(kappa, ITERATIONS);
                let factor = |l: usize| match l as f64 {
                    l if l < 2.0 => 0.0,
                    l => ((l + 2.0) * (l - 1.0) / (l * (l + 1.0))).sqrt(),
                };
                e.scale(&(0..=lmax).map(factor).collect::<Vec<f64>>());
                for mut gamma in sht.synthesis_spin2([&e, &Alm::new(comm, lmax)]) {
                    self.masked(&sht, &mut gamma);
                    to.push(comm, &gamma, 2);
                }
                lap("shear");
            }
            if let Some(sigma) = config.noise() {
                self.for_each_ring(&sht, job, &format!("shape noise {b}"), kappa, |rng, ring| {
                    for x in ring {
                        let normal: f64 = StandardNormal.sample(rng);
                        *x += sigma * normal;
                    }
                });
            }
            if config.c_ell.is_some() {
                noisy.push(sht.analysis(kappa, ITERATIONS));
                lap("c_ell");
            }
            if let Some(to) = &mut to_kappa {
                self.masked(&sht, kappa);
                to.push(comm, kappa, 1);
            }
            lap("observe");
        }
        let mut fields: Vec<Field> =
            [to_kappa, to_shear, delta, galaxies].into_iter().flatten().map(|gathered| gathered.field(comm)).collect();
        if let Some(bins) = config.ell_bins()? {
            let mut values = vec![];
            for [a, b] in config.pairs() {
                let c = noisy[a].c_ell(&noisy[b], comm);
                values.extend((0..bins.count()).map(|bin| average(&bins, bin, |l| c[l])));
            }
            let spec = specs.iter().find(|spec| spec.name == "c_ell").cloned();
            fields.extend(spec.map(|spec| Field::on_root(comm, spec, Data::F64(values))));
        }
        self.last.replace(Some((sht, amplitude, shells)));
        Ok(Output { fields, timings: timers.entries().to_vec() })
    }
}
