//! How galaxies are spread over redshift: single distributions, and whole sets of tomographic bins.

use crate::error::{Error, Result};
use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::SQRT_2;
use std::path::{Path, PathBuf};

/// Cells of equal width in z that a distribution is divided into.
const CELLS: usize = 512;
/// Farthest galaxy that makes sense: beyond, matter hardly lenses.
pub const Z_MAX: f64 = 20.0;
/// Most bins of one set: a cell has to hold some of each.
const BINS: usize = 64;

/// How galaxies are spread over redshift: those of one bin, or of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RedshiftDistribution {
    /// All at the redshift `z`.
    Plane { z: f64 },
    /// n(z) ∝ exp(−(z − z_mean)²/(2 σ²)) within 5 σ.
    Gaussian { mean: f64, sigma: f64 },
    /// n(z) the same from z_min to z_max.
    Tophat { z_min: f64, z_max: f64 },
    /// n(z) ∝ z^alpha exp(−(z/z0)^beta) from z_min to z_max (Smail, Ellis & Fitchett 1994).
    Smail {
        z0: f64,
        #[serde(default = "smail_alpha")]
        alpha: f64,
        #[serde(default = "smail_beta")]
        beta: f64,
        #[serde(default)]
        z_min: f64,
        #[serde(default = "smail_z_max")]
        z_max: f64,
    },
    /// A text file, `#` starting a comment, with z in column 0 (growing) and n in column `column`, of any
    /// normalisation.
    Table {
        path: PathBuf,
        #[serde(default = "first_column")]
        column: usize,
    },
    /// So many `bins` of equal numbers of a Smail distribution, by photometric redshifts that scatter around the true z
    /// as a Gaussian of rms `scatter` (1 + z).
    Tomographic {
        /// How many, 1 to 64.
        bins: usize,
        /// Rms scatter of photometric redshifts over 1 + z, 0 to 1.
        scatter: f64,
        /// Scale of the Smail distribution.
        z0: f64,
        /// Its power of z.
        #[serde(default = "smail_alpha")]
        alpha: f64,
        /// Its power in the exponential.
        #[serde(default = "smail_beta")]
        beta: f64,
        /// Nearest galaxies.
        #[serde(default)]
        z_min: f64,
        /// Farthest galaxies.
        #[serde(default = "smail_z_max")]
        z_max: f64,
    },
    /// The five source bins of LSST in its tenth year (DESC Science Requirements Document 2018, appendix D): z² exp(−(z /
    /// 0.11)^0.68) to z = 3.5, scatter 0.05 (1 + z).
    LsstY10,
}

/// The galaxies of one bin: weights that sum to 1 at the middles of cells of equal width, or all at one redshift.
#[derive(Debug, Clone, PartialEq)]
pub struct RedshiftBin {
    /// First and last redshift.
    pub range: [f64; 2],
    /// Redshifts, growing, and weights.
    pub galaxies: Vec<(f64, f64)>,
}

impl RedshiftDistribution {
    /// How many bins it has.
    pub fn bins(&self) -> usize {
        match self {
            Self::Tomographic { bins, .. } => *bins,
            Self::LsstY10 => 5,
            _ => 1,
        }
    }

    /// The file that it reads.
    pub fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Table { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Refuses what is no distribution. Files are looked at by [`Self::tabulate`].
    pub fn check(&self) -> Result<()> {
        let wrong = |problem: &str, remedy: &str| Err(Error::input(problem).remedy(remedy));
        let within = format!("the redshifts must grow from z_min to z_max, between 0 and {Z_MAX}");
        match *self {
            Self::Plane { z } if !(z > 0.0 && z <= Z_MAX) => {
                wrong(&format!("a redshift of galaxies lies above 0 and at most at {Z_MAX}"), "z = 1.0 is usual")
            }
            Self::Gaussian { mean, sigma } if !(sigma > 0.0 && mean > 0.0 && mean + 5.0 * sigma <= Z_MAX) => wrong(
                &format!("mean and sigma are above 0, and mean + 5 sigma at most {Z_MAX}"),
                "mean = 0.5, sigma = 0.05 is usual",
            ),
            Self::Tophat { z_min, z_max } if !(z_min >= 0.0 && z_min < z_max && z_max <= Z_MAX) => {
                wrong(&within, "z_min = 0.4, z_max = 0.6 is usual")
            }
            Self::Table { column: 0, .. } => wrong("column 0 holds the redshifts", "column = 1 is the first n(z)"),
            Self::Tomographic { bins, scatter, .. }
                if !(1..=BINS).contains(&bins) || !(0.0..=1.0).contains(&scatter) =>
            {
                wrong(
                    &format!("there are 1 to {BINS} bins, and redshifts scatter by 0 to 1 times 1 + z"),
                    "bins = 5, scatter = 0.05 is usual",
                )
            }
            Self::Smail { z0, alpha, beta, z_min, z_max } | Self::Tomographic { z0, alpha, beta, z_min, z_max, .. } => {
                if !(z0 > 0.0 && alpha > -1.0 && beta > 0.0 && [z0, alpha, beta].iter().all(|x| x.is_finite())) {
                    let problem = "z^alpha exp(-(z/z0)^beta) needs z0 > 0, alpha > -1 and beta > 0";
                    return wrong(problem, "alpha = 2.0, beta = 1.5, z0 = 0.64 is usual");
                }
                match z_min >= 0.0 && z_min < z_max && z_max <= Z_MAX {
                    true => Ok(()),
                    false => wrong(&within, "z_min = 0.0, z_max = 3.0 is usual"),
                }
            }
            _ => Ok(()),
        }
    }

    /// Its bins, which are checked. Reads its table. Errors name no key.
    pub fn tabulate(&self) -> Result<Vec<RedshiftBin>> {
        self.check()?;
        match self {
            &Self::Plane { z } => Ok(vec![RedshiftBin { range: [z, z], galaxies: vec![(z, 1.0)] }]),
            &Self::Gaussian { mean, sigma } => {
                let range = [(mean - 5.0 * sigma).max(0.0), mean + 5.0 * sigma];
                Ok(vec![RedshiftBin::new(range, |z| (-0.5 * ((z - mean) / sigma).powi(2)).exp())?])
            }
            &Self::Tophat { z_min, z_max } => Ok(vec![RedshiftBin::new([z_min, z_max], |_| 1.0)?]),
            &Self::Smail { z0, alpha, beta, z_min, z_max } => {
                Ok(vec![RedshiftBin::new([z_min, z_max], |z| smail(z, z0, alpha, beta))?])
            }
            &Self::Tomographic { bins, scatter, z0, alpha, beta, z_min, z_max } => {
                RedshiftBin::new([z_min, z_max], |z| smail(z, z0, alpha, beta))?.divided(bins, scatter)
            }
            Self::LsstY10 => RedshiftBin::new([0.0, 3.5], |z| smail(z, 0.11, 2.0, 0.68))?.divided(5, 0.05),
            Self::Table { path, column } => {
                let rows = limits::read_text(path, limits::TABLE)
                    .map_err(|e| e.value(path).remedy("give the path of a text file"))
                    .and_then(|text| parse(&text, path, *column))?;
                let range = [rows[0].0, rows[rows.len() - 1].0];
                if range[1] > Z_MAX {
                    return Err(Error::input(format!("reaches redshift {}, beyond {Z_MAX}", range[1]))
                        .value(path)
                        .remedy("end the table earlier"));
                }
                Ok(vec![RedshiftBin::new(range, |z| linear(&rows, z))?])
            }
        }
    }
}

impl RedshiftBin {
    /// Cells of n(z), of any normalisation, over a range of redshifts.
    fn new(range: [f64; 2], n: impl Fn(f64) -> f64) -> Result<Self> {
        let cell = (range[1] - range[0]) / CELLS as f64;
        let middles = (0..CELLS).map(|i| range[0] + (i as f64 + 0.5) * cell);
        RedshiftBin { range, galaxies: middles.map(|z| (z, n(z))).collect() }.normalised()
    }

    fn normalised(mut self) -> Result<Self> {
        let sum: f64 = self.galaxies.iter().map(|g| g.1).sum();
        if !(sum > 0.0 && sum.is_finite()) {
            let remedy = "look at its range of redshifts: it is divided into 512 cells";
            return Err(Error::input("there are no sources in this range").remedy(remedy));
        }
        self.galaxies.iter_mut().for_each(|g| g.1 /= sum);
        Ok(self)
    }

    /// Bins with equal numbers of photometric redshifts, which scatter by `scatter` (1 + z). The first and the last are
    /// open: every galaxy is in one.
    fn divided(&self, bins: usize, scatter: f64) -> Result<Vec<Self>> {
        // Share of the galaxies at z whose photometric redshift is below the edge.
        let below = |edge: f64, z: f64| {
            let rms = (scatter * (1.0 + z)).max(1e-12);
            0.5 * (1.0 + libm::erf((edge - z) / (SQRT_2 * rms)))
        };
        let number = |edge: f64| self.galaxies.iter().map(|(z, n)| n * below(edge, *z)).sum::<f64>();
        let edge = |i: usize| match i {
            0 => f64::NEG_INFINITY,
            i if i == bins => f64::INFINITY,
            i => {
                let (mut low, mut high) = (-10.0, 2.0 * self.range[1] + 10.0);
                for _ in 0..60 {
                    let middle = 0.5 * (low + high);
                    match number(middle) < i as f64 / bins as f64 {
                        true => low = middle,
                        false => high = middle,
                    }
                }
                0.5 * (low + high)
            }
        };
        let edges: Vec<f64> = (0..=bins).map(edge).collect();
        let bin = |edges: &[f64]| {
            let of = |&(z, n): &(f64, f64)| (z, n * (below(edges[1], z) - below(edges[0], z)));
            RedshiftBin { range: self.range, galaxies: self.galaxies.iter().map(of).collect() }.normalised()
        };
        edges.windows(2).map(bin).collect()
    }

    /// The same galaxies, all farther by `delta` in z. Those that would lie at 0 or below are left out.
    pub fn shifted(&self, delta: f64) -> Result<Self> {
        let galaxies = self.galaxies.iter().map(|(z, n)| (z + delta, *n)).filter(|g| g.0 > 0.0).collect();
        let range = self.range.map(|z| (z + delta).max(0.0));
        if range[1] > Z_MAX {
            return Err(Error::input(format!("shifts galaxies to redshift {}, beyond {Z_MAX}", range[1]))
                .value(delta)
                .remedy("shift them less"));
        }
        RedshiftBin { range, galaxies }.normalised()
    }

    /// Mean and rms width of its redshifts.
    pub fn moments(&self) -> [f64; 2] {
        let mean: f64 = self.galaxies.iter().map(|(z, n)| n * z).sum();
        let variance: f64 = self.galaxies.iter().map(|(z, n)| n * (z - mean).powi(2)).sum();
        [mean, variance.sqrt()]
    }
}

fn smail(z: f64, z0: f64, alpha: f64, beta: f64) -> f64 {
    (alpha * (z / z0).ln() - (z / z0).powf(beta)).exp()
}

/// Rows z, n of a table: at least two, z growing from 0 or above, n nowhere negative and somewhere positive.
fn parse(text: &str, path: &Path, column: usize) -> Result<Vec<(f64, f64)>> {
    let wrong = |problem: String| {
        Error::input(problem).value(path).remedy("give rows of z (growing) and n (not negative), or another column")
    };
    let mut rows: Vec<(f64, f64)> = vec![];
    for (number, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = content.split([' ', '\t', ',', '\r']).filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        let value = |i: usize| {
            let value = words.get(i).and_then(|w| w.parse().ok()).filter(|v: &f64| v.is_finite() && *v >= 0.0);
            value.ok_or_else(|| wrong(format!("line {}: column {i} is no number from 0 up", number + 1)))
        };
        let row = (value(0)?, value(column)?);
        if rows.last().is_some_and(|before| row.0 <= before.0) {
            return Err(wrong(format!("line {}: z = {} does not grow", number + 1, row.0)));
        }
        rows.push(row);
    }
    if rows.len() < 2 || rows.iter().all(|r| r.1 == 0.0) {
        return Err(wrong("holds no sources".into()));
    }
    Ok(rows)
}

/// Straight lines between the rows.
fn linear(rows: &[(f64, f64)], z: f64) -> f64 {
    let i = rows.partition_point(|r| r.0 <= z).clamp(1, rows.len() - 1);
    let ((z0, n0), (z1, n1)) = (rows[i - 1], rows[i]);
    n0 + (n1 - n0) * (z - z0) / (z1 - z0)
}

fn smail_alpha() -> f64 {
    2.0
}

fn smail_beta() -> f64 {
    1.5
}

fn smail_z_max() -> f64 {
    3.0
}

fn first_column() -> usize {
    1
}
