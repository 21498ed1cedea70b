//! The bispectrum of particles.

use super::density::{CIC, DensityMeter};
use crate::error::{Error, Result};
use crate::fields::bispectrum::{Bispectrum, Triangles};
use crate::fields::shells::Shells;
use crate::limits;
use crate::mesh::{Decomposition, Real};
use crate::particles::Points;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which triangles are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Configuration {
    /// Three sides of the same shell, for every shell.
    Equilateral,
    /// One long wave, the shell at `k_long`, and two short ones of the same shell, for every short shell.
    Squeezed,
    /// Every triple of shells that closes.
    All,
}

/// `[simulator.bispectrum]`: the bispectrum of triangles of shells of wavenumbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BispectrumConfig {
    /// Width w of a shell of wavenumbers.
    #[schemars(extend("x-unit" = "2π/L"))]
    pub bin_width: f64,
    /// Largest wavenumber; at most ⅔ of the force mesh's Nyquist wavenumber.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "h/Mpc", "x-default" = "⅔ of the Nyquist wavenumber"))]
    pub k_max: Option<f64>,
    /// `"equilateral"`: one triangle for each shell. `"squeezed"`: one long wave and two short ones of the same shell.
    /// `"all"`: every triple of shells that closes.
    pub configurations: Vec<Configuration>,
    /// The squeezed triangles' long wave.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "h/Mpc", "x-default" = "the first shell"))]
    pub k_long: Option<f64>,
    /// Least ratio of their short waves' wavenumber to the long one's.
    pub squeezing: f64,
    /// More triangles, taken to the closest shells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-unit" = "h/Mpc", "x-type" = "[[k₁, k₂, k₃], …]"))]
    pub triangles: Vec<[f64; 3]>,
    /// As for `power`.
    pub interlaced: bool,
    /// Subtracts Poisson noise from B, and from the spectra in Q.
    pub subtract_shot_noise: bool,
}

impl Default for BispectrumConfig {
    fn default() -> Self {
        BispectrumConfig {
            bin_width: 2.0,
            k_max: None,
            configurations: vec![Configuration::Equilateral],
            k_long: None,
            squeezing: 2.0,
            triangles: vec![],
            interlaced: true,
            subtract_shot_noise: false,
        }
    }
}

impl BispectrumConfig {
    /// Shells and triangles on a mesh of `n` points per side of `box_size` Mpc/h; refuses what cannot be measured
    /// there.
    pub fn list(&self, n: usize, box_size: f64) -> Result<(Shells, Vec<[usize; 3]>)> {
        let nyquist = std::f64::consts::PI * n as f64 / box_size;
        let shells = Shells::new(n, box_size, self.bin_width, self.k_max.unwrap_or(2.0 / 3.0 * nyquist))?;
        let bad = |key: &str, problem: &str| Error::input(problem).key(format!("simulator.bispectrum.{key}"));
        let range =
            || format!("shells reach from {:.4} to {:.4} h/Mpc", shells.middle(0), shells.middle(shells.count() - 1));
        // Every triple of n shells: a sixth of n³, less what does not close.
        let all = self.configurations.iter().filter(|c| **c == Configuration::All).count();
        limits::product_at_most(
            "simulator.bispectrum.configurations",
            &[all, shells.count(), shells.count().div_ceil(2), shells.count().div_ceil(3)],
            "triangles",
            limits::TRIANGLES,
            "lower simulator.bispectrum.k_max, raise bin_width, or leave \"all\" out",
        )?;
        let mut list = Vec::new();
        for configuration in &self.configurations {
            list.extend(match configuration {
                Configuration::Equilateral => shells.equilateral(),
                Configuration::All => shells.all(),
                Configuration::Squeezed => {
                    if !(self.squeezing >= 1.0 && self.squeezing.is_finite()) {
                        let problem = "a squeezed triangle's short waves have the larger wavenumber";
                        return Err(bad("squeezing", problem).value(self.squeezing).remedy("2 or more"));
                    }
                    let k = self.k_long.unwrap_or(shells.middle(0));
                    let outside = || bad("k_long", "no shell lies there").value(k).remedy(range());
                    let long = shells.at(k).ok_or_else(outside)?;
                    let squeezed = shells.squeezed(long, self.squeezing);
                    if squeezed.is_empty() {
                        let problem = "no shell is that much shorter than the long wave and below k_max";
                        return Err(bad("squeezing", problem).value(self.squeezing).remedy(range()));
                    }
                    squeezed
                }
            });
        }
        for triangle in &self.triangles {
            let shell = |k: f64| {
                let outside = || bad("triangles", "no shell lies at one of these").value(triangle).remedy(range());
                shells.at(k).ok_or_else(outside)
            };
            let t = [shell(triangle[0])?, shell(triangle[1])?, shell(triangle[2])?];
            if !Shells::close(t) {
                let problem = "the shells at these wavenumbers close no triangle";
                let remedy = "the longest side is at most the sum of the two others";
                return Err(bad("triangles", problem).value(triangle).remedy(remedy));
            }
            list.push(t);
        }
        if list.is_empty() {
            let problem = "no triangles are asked for";
            return Err(bad("configurations", problem).remedy("name one, or leave [simulator.bispectrum] out"));
        }
        Ok((shells, list))
    }

    /// Most shells that one triangle needs at once, 1 to 3.
    pub fn shells_at_once(&self, n: usize, box_size: f64) -> Result<usize> {
        let different = |[a, b, c]: &[usize; 3]| 1 + (b != a) as usize + (c != a && c != b) as usize;
        self.list(n, box_size).map(|(_, list)| list.iter().map(different).max().unwrap_or(0))
    }

    /// Refuses what cannot be measured on a mesh of `n` points per side of `box_size` Mpc/h.
    pub fn check(&self, n: usize, box_size: f64) -> Result<()> {
        self.list(n, box_size).map(|_| ())
    }
}

/// Measures bispectra on one mesh: triangles are counted once, for every output.
pub struct BispectrumMeter<T: Real> {
    density: DensityMeter<T>,
    triangles: Triangles,
    config: BispectrumConfig,
}

impl<T: Real> BispectrumMeter<T> {
    /// A meter on the mesh of `d` over a cube of `box_size` Mpc/h. Collective.
    pub fn new(d: &Decomposition, box_size: f64, config: &BispectrumConfig) -> Result<Self> {
        let (shells, list) = config.list(d.shape()[0], box_size)?;
        let triangles = Triangles::new(d, box_size, shells, list)?;
        Ok(BispectrumMeter { density: DensityMeter::new(d, box_size), triangles, config: config.clone() })
    }

    /// The triangles.
    pub fn triangles(&self) -> &Triangles {
        &self.triangles
    }

    /// B and Q of points of equal weight by CIC, window divided out. Collective; every point is on its rank.
    pub fn measure(&mut self, positions: &[[T; 3]]) -> Bispectrum {
        let points = Points::equal(positions);
        let noise = if self.config.subtract_shot_noise { self.density.shot_noise(points) } else { 0.0 };
        let mut modes = self.density.modes(points, self.config.interlaced);
        self.triangles.measure(&mut modes, CIC, noise)
    }
}
