//! The keys of `[simulator]`, what is refused of them, and the fields that they ask for.

use crate::cosmology::{NonLinear, RedshiftBin, RedshiftDistribution};
use crate::fields::flat_sky::AngularConfig;
use crate::io::field::Dtype;
use crate::io::mask;
use crate::list::OneOrMany;
use crate::observables::lensing::{Region, ShapeNoise};
use crate::simulators::multipoles::Multipoles;
use crate::simulators::prelude::*;
use crate::sphere::{Footprint, MAX_NSIDE, Rings};
use std::f64::consts::PI;
use std::path::PathBuf;

/// Lognormal matter in shells of the whole sky, and its weak lensing, in HEALPix pixels (RING order).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LognormalSphereConfig {
    /// Pixels along the side of a base pixel, a power of two up to 8192: 12 nside² in all.
    pub nside: usize,
    /// The largest multipole, at most 4 nside. Up to 1.5 nside spectra of the maps are right to 1e-6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "3/2 `nside`"))]
    pub lmax: Option<usize>,
    /// The part of the sky that is stored: `"full"`; `"octant"`, the pixels whose centres have x, y and z above 0; or
    /// `{ mask = "footprint.h5" }`, those above 0 in the array `mask` of an HDF5 file. Maps have what the full sky has there;
    /// spectra are of these pixels alone.
    #[serde(default, skip_serializing_if = "Region::is_full")]
    #[schemars(extend("x-type" = "`\"full\"`, `\"octant\"` or `{ mask = path }`"))]
    pub footprint: Region,
    /// Edges of the shells in redshift, growing; from 0, for all matter before a source to lens it.
    pub shells: Vec<f64>,
    /// A table of the spectra of the shells' matter contrasts and of all their pairs, in the shells' order: `# ell A*A A*B B*B`.
    /// Either this or `theory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub spectra: Option<PathBuf>,
    /// `{ nonlinear = "halofit", limber_from = 100 }`, or `{}` for these: the spectra in the cosmology of each universe.
    /// `nonlinear` is matter on small scales, `"linear"`, `"halofit"` or `"hmcode2020"`; below ℓ = `limber_from` (at most
    /// 200) what linear theory adds to Limber's approximation is integrated with Bessel functions, in a flat universe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "`{ nonlinear, limber_from }`"))]
    pub theory: Option<MatterTheory>,
    /// Multiplies the shells' spectra by HEALPix's pixel window, squared (healpy's `pixwin`): pixels have averages over their
    /// areas, as in maps of galaxies or particles. Else the values at their centres.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pixel_window: bool,
    /// Factor on all spectra: a parameter, which stands here or in `[design.parameters]`.
    #[serde(default = "unit")]
    pub amplitude: f64,
    /// Shift λ of the contrast, δ > −λ: 1, as no density is negative; or one for each shell.
    #[serde(default = "shifts")]
    pub shift: OneOrMany<f64>,
    /// Shells before each that it is correlated with as the spectra say; farther ones as these tell.
    #[serde(default = "neighbours")]
    pub neighbours: usize,
    /// One source bin for each, all its galaxies at that redshift: its convergence is field `kappa`.
    #[serde(default)]
    pub source_redshifts: Vec<f64>,
    /// One more source bin for each distribution, several for a set of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-type" = "[distribution, …]"))]
    pub n_of_z: Vec<RedshiftDistribution>,
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
    /// else is said. Of a `footprint` the mean of κ is taken away, and they are divided by the part of the sky that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ell: Option<AngularConfig>,
    /// HDF5 file with an array `mask` (12 nside²) of numbers from 0 (masked) to 1, in RING order; one that says it is NESTED
    /// (attribute `ORDERING`) is put into that. Masked pixels of all maps are 0; spectra do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub mask: Option<PathBuf>,
}

/// The shells' matter, averaged evenly over the redshifts of each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatterTheory {
    /// Matter on small scales.
    #[serde(default)]
    pub nonlinear: NonLinear,
    /// From this ℓ on spectra are Limber's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limber_from: Option<u32>,
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

pub(super) const AMPLITUDE: &str = "amplitude";
pub(super) const BIAS: &str = "bias";

pub(super) fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy)
}

/// Number `i` of a list that may be one for all.
pub(super) fn of<T: Copy>(list: &OneOrMany<T>, i: usize) -> T {
    *list.get(i).unwrap_or(&list[0])
}

impl LognormalSphereConfig {
    pub(super) fn lmax(&self) -> usize {
        self.lmax.unwrap_or(self.nside + self.nside / 2)
    }

    pub(super) fn count(&self) -> usize {
        self.shells.len().saturating_sub(1)
    }

    pub(super) fn pixels(&self) -> usize {
        12 * self.nside * self.nside
    }

    pub(super) fn check_keys(&self) -> Result<()> {
        if !(self.nside.is_power_of_two() && self.nside <= MAX_NSIDE) {
            let problem = format!("must be a power of two, 1 to {MAX_NSIDE}");
            return Err(bad("nside", self.nside, problem, "256 has pixels of 14 arcmin"));
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
        match (&self.spectra, &self.theory) {
            (None, None) => {
                let remedy = "add a section [simulator.theory], or give a table in simulator.spectra";
                return Err(Error::input("says nowhere how matter is spread").key("simulator").remedy(remedy));
            }
            (Some(path), Some(_)) => {
                let problem = "is given beside [simulator.theory]";
                return Err(bad("spectra", path, problem, "keep one of them"));
            }
            _ => {}
        }
        if let Some(z) = self.source_redshifts.iter().find(|z| !(**z > self.shells[0] && **z <= far)) {
            let problem = format!("lies outside the shells, which reach from {} to {far}", self.shells[0]);
            return Err(bad("source_redshifts", z, problem, "add shells up to the farthest source"));
        }
        for (i, distribution) in self.n_of_z.iter().enumerate() {
            let key = format!("n_of_z.{i}");
            let bins = distribution.tabulate().map_err(|e| e.key(format!("simulator.{key}")))?;
            if let Some(bin) = bins.iter().find(|bin| bin.range[1] > far) {
                let problem = format!("reaches z = {}, and the shells {far}", bin.range[1]);
                return Err(bad(&key, distribution, problem, "add shells up to the farthest source"));
            }
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
            if asked && self.sources() == 0 {
                return Err(bad(
                    key,
                    true,
                    "is of the source bins, and there are none",
                    "give source_redshifts or n_of_z",
                ));
            }
        }
        if self.sources() == 0 && !self.delta && self.counts.is_none() {
            let remedy = "give source_redshifts, n_of_z, delta = true or [simulator.counts]";
            return Err(Error::input("asks for no field").key("simulator").remedy(remedy));
        }
        self.ell_bins().map(drop)
    }

    /// The bins of its spectra.
    pub(super) fn ell_bins(&self) -> Result<Option<Multipoles>> {
        let lmax = self.lmax();
        self.c_ell.as_ref().map(|c| Multipoles::new(c, self.nside, lmax, lmax)).transpose()
    }

    /// Rms of the noise in a pixel of κ.
    pub(super) fn noise(&self) -> Option<f64> {
        let pixel = (4.0 * PI / self.pixels() as f64).sqrt();
        self.shape_noise.as_ref().map(|noise| noise.per_pixel(pixel))
    }

    /// How many bins of sources there are: the redshifts first, then the distributions.
    pub(super) fn sources(&self) -> usize {
        self.source_redshifts.len() + self.n_of_z.iter().map(RedshiftDistribution::bins).sum::<usize>()
    }

    /// Their galaxies. Reads tables.
    pub(super) fn bins(&self) -> Result<Vec<RedshiftBin>> {
        let planes = self.source_redshifts.iter().map(|&z| RedshiftDistribution::Plane { z });
        let all = planes.chain(self.n_of_z.iter().cloned()).map(|n| n.tabulate());
        Ok(all.collect::<Result<Vec<_>>>()?.concat())
    }

    fn sources_axis(&self) -> Axis {
        if self.n_of_z.is_empty() {
            return Axis::at(AxisKind::Channel, "source_redshift", "", self.source_redshifts.clone());
        }
        let z = self.source_redshifts.iter().map(|z| format!("z = {z}"));
        let n_of_z = self.n_of_z.iter().enumerate().flat_map(|(i, n)| {
            let several = n.bins() > 1;
            (0..n.bins()).map(move |b| if several { format!("n_of_z {i} bin {b}") } else { format!("n_of_z {i}") })
        });
        Axis::named(AxisKind::Channel, "source", z.chain(n_of_z))
    }

    pub(super) fn pairs(&self) -> Vec<[usize; 2]> {
        let n = self.sources();
        (0..n).flat_map(|a| (a..n).map(move |b| [a, b])).collect()
    }

    pub(super) fn mask(&self) -> Result<Option<Vec<f64>>> {
        let Some(path) = &self.mask else { return Ok(None) };
        mask::of_sphere(path, Rings::new(self.nside)?, "simulator.mask").map(Some)
    }

    /// The pixels that are stored. Reads the footprint's file.
    pub(super) fn footprint(&self) -> Result<Footprint> {
        let (rings, key) = (Rings::new(self.nside)?, "simulator.footprint");
        let mask = match &self.footprint {
            Region::Mask(path) => Some(mask::of_sphere(path, rings, &format!("{key}.mask"))?),
            _ => None,
        };
        self.footprint.of(rings, mask.as_deref()).map_err(|e| e.key(key))
    }

    /// Descriptions of the fields. A footprint that cannot be read was refused by `check`.
    pub(super) fn specs(&self) -> Vec<FieldSpec> {
        let whole = [[0, self.pixels()]];
        let (pixels, sky) = match self.footprint() {
            Ok(footprint) => (footprint.count(), Axis::sphere(self.nside, footprint.runs())),
            Err(_) => (self.pixels(), Axis::sphere(self.nside, &whole)),
        };
        let sources = self.sources_axis();
        let shells = self.shells.windows(2).map(|z| 0.5 * (z[0] + z[1])).collect();
        let shells = Axis { edges: self.shells.clone(), ..Axis::at(AxisKind::Channel, "shell_redshift", "", shells) };
        let maps = |name: &str, axes: Vec<Axis>, shape: &[usize], dtype: Dtype, what: &str| {
            let shape = [shape, &[pixels]].concat();
            let axes = [axes, vec![sky.clone()]].concat();
            FieldSpec { axes, dtype, description: what.into(), ..FieldSpec::of(name, &shape, &[]) }
        };
        let (bins, n, mut specs) = (self.sources(), self.count(), vec![]);
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
            let mean = ell.means(|l| l as f64).collect();
            let axes = vec![names, Axis::bins("ell", "", mean, ell.bins.edges().to_vec())];
            let description = match self.footprint {
                Region::Full => "angular spectra of the convergence, noise included, of the whole sky".into(),
                _ => "angular spectra of the convergence, noise included, over the part of the sky that is seen".into(),
            };
            let spec = FieldSpec::of("c_ell", &[pairs.len(), ell.bins.count()], &[]);
            specs.push(FieldSpec { axes, unit: "sr".into(), dtype: Dtype::F64, description, ..spec });
        }
        specs
    }
}
