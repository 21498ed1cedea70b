//! What an observer in a periodic box sees of its galaxies: a light cone on the sky.

use super::PoissonGalaxies;
use crate::cosmology::{Cosmology, RedshiftBin, RedshiftDistribution, Spline, Z_MAX};
use crate::error::{Error, Result};
use crate::mesh::{Decomposition, Real};
use crate::rng::stream;
use crate::sphere::Rings;
use crate::units::C_KM_S;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The part of the sky that an observer looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sky {
    /// All directions between the positive axes: as deep as the box.
    #[default]
    Octant,
    /// All directions: half as deep.
    Full,
}

/// `[simulator.cone]`: the galaxies that an observer in the box sees, with redshifts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConeConfig {
    /// Where the observer stands in the periodic box.
    #[serde(default)]
    #[schemars(extend("x-unit" = "Mpc/h"))]
    pub observer: [f64; 3],
    /// `"octant"`: all directions between the positive axes, up to a distance of `box_size`. `"full"`: all directions, up to half
    /// of it. Nothing is seen twice; farther redshifts are refused.
    #[serde(default)]
    pub sky: Sky,
    /// Nearest galaxies, by the redshift of their distance.
    #[serde(default)]
    pub z_min: f64,
    /// Farthest galaxies, by the redshift of their distance.
    pub z_max: f64,
    /// dN/dz of the galaxies that are seen, as `n_of_z` of light cones; one bin. Left out: all of `poisson.number_density`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_of_z: Option<RedshiftDistribution>,
    /// Galaxies of `n_of_z`, over all its redshifts. Their comoving density may nowhere be above `poisson.number_density`, of
    /// which a random part is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "per square degree"))]
    pub n_gal: Option<f64>,
    /// HDF5 file with an array `mask` (12 nside², RING order) of numbers from 0 (masked) to 1 (seen): the part of the galaxies
    /// that is seen in each direction. One that says it is NESTED (attribute `ORDERING`) is put into RING order. z is the axis of
    /// its poles, x has longitude 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub mask: Option<PathBuf>,
}

fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.cone.{key}")).value(value).remedy(remedy)
}

/// Nodes in redshift of z(χ).
const NODES: usize = 2048;

impl ConeConfig {
    /// Refuses what no cone is. Reads the table of n(z).
    pub fn check(&self, box_size: f64) -> Result<()> {
        if !self.observer.iter().all(|x| (0.0..box_size).contains(x)) {
            let problem = format!("lies outside the box, which reaches from 0 to {box_size} Mpc/h");
            return Err(bad("observer", self.observer, problem, "leave it out for a corner"));
        }
        if !(self.z_min >= 0.0 && self.z_min < self.z_max && self.z_max <= Z_MAX) {
            let problem = format!("redshifts grow from z_min to z_max, between 0 and {Z_MAX}");
            return Err(bad("z_max", [self.z_min, self.z_max], problem, "z_min = 0.0, z_max = 0.1 fit into 300 Mpc/h"));
        }
        match (&self.n_of_z, self.n_gal) {
            (None, None) => {}
            (Some(_), Some(n)) if n > 0.0 && n.is_finite() => {}
            (_, Some(n)) if !(n > 0.0 && n.is_finite()) => {
                return Err(bad("n_gal", n, "must be positive", "give galaxies per square degree"));
            }
            (Some(_), _) => {
                let problem = "has the shape of dN/dz, but nothing says how many galaxies there are";
                return Err(bad("n_of_z", "", problem, "give n_gal too, in galaxies per square degree"));
            }
            (None, Some(n)) => return Err(bad("n_gal", n, "is the number of n_of_z, which is not there", "give both")),
        }
        if let Some(bin) = self.bin()?
            && !(bin.range[0] < self.z_max && bin.range[1] > self.z_min)
        {
            let problem = format!("lies outside z_min = {} to z_max = {}: no galaxy is seen", self.z_min, self.z_max);
            return Err(bad("n_of_z", bin.range, problem, "move one of them"));
        }
        Ok(())
    }

    fn bin(&self) -> Result<Option<RedshiftBin>> {
        let Some(n_of_z) = &self.n_of_z else { return Ok(None) };
        let mut bins = n_of_z.tabulate().map_err(|e| e.key("simulator.cone.n_of_z"))?;
        match bins.pop().filter(|bin| bins.is_empty() && bin.galaxies.len() > 1) {
            Some(bin) => Ok(Some(bin)),
            None => Err(bad("n_of_z", n_of_z, "is not one bin of some width", "\"smail\" and \"gaussian\" are usual")),
        }
    }
}

/// A cone in one universe.
pub struct SkyCone {
    observer: [f64; 3],
    sky: Sky,
    /// Nearest and farthest comoving distance.
    range: [f64; 2],
    /// z(χ).
    redshift: Spline,
    /// Edges in χ of cells, and the part of the galaxies that is seen in each; of all where there are none.
    seen: Option<(Vec<f64>, Vec<f64>)>,
    mask: Option<(Rings, Vec<f64>)>,
}

impl SkyCone {
    /// The cone in a box of `box_size` Mpc/h with `number_density` galaxies per (Mpc/h)³, of which it may see no more.
    /// Distances and volumes are those of the box, which is flat.
    pub fn new(
        config: &ConeConfig,
        cosmology: &Cosmology,
        box_size: f64,
        number_density: f64,
        mask: Option<&[f64]>,
    ) -> Result<Self> {
        let chi = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
        let range = [chi(config.z_min), chi(config.z_max)];
        let (deep, so) = match config.sky {
            Sky::Octant => (box_size, ""),
            Sky::Full => (0.5 * box_size, "half of "),
        };
        if range[1] > deep {
            let problem =
                format!("lies {:.1} Mpc/h away, farther than {so}the box of {box_size} Mpc/h reaches", range[1]);
            return Err(bad("z_max", config.z_max, problem, "lower it, or take a larger box"));
        }
        let nodes: Vec<f64> = (0..=NODES).map(|i| 1.01 * config.z_max * i as f64 / NODES as f64).collect();
        let redshift = Spline::new(nodes.iter().map(|z| chi(*z)).collect(), nodes);
        let seen = match (config.bin()?, config.n_gal) {
            (Some(bin), Some(n_gal)) => {
                let cells = bin.galaxies.len();
                let width = (bin.range[1] - bin.range[0]) / cells as f64;
                let edges: Vec<f64> = (0..=cells).map(|i| chi(bin.range[0] + i as f64 * width)).collect();
                let per_steradian = n_gal * (180.0 / std::f64::consts::PI).powi(2);
                let volume = |cell: usize| (edges[cell + 1].powi(3) - edges[cell].powi(3)) / 3.0;
                let part = |cell: usize| per_steradian * bin.galaxies[cell].1 / volume(cell) / number_density;
                let parts: Vec<f64> = (0..cells).map(part).collect();
                let inside = |cell: &usize| edges[cell + 1] > range[0] && edges[*cell] < range[1];
                if let Some(cell) = (0..cells).filter(inside).find(|cell| parts[*cell] > 1.0) {
                    let problem = format!(
                        "asks for {:.3e} galaxies per (Mpc/h)³ at z = {:.3}, and there are {number_density:.3e}",
                        parts[cell] * number_density,
                        bin.galaxies[cell].0
                    );
                    return Err(bad("n_gal", n_gal, problem, "lower it, raise poisson.number_density, or raise z_min"));
                }
                Some((edges, parts))
            }
            _ => None,
        };
        let mask = match mask {
            Some(mask) => Some((Rings::new(nside(mask.len())?)?, mask.to_vec())),
            None => None,
        };
        Ok(SkyCone { observer: config.observer, sky: config.sky, range, redshift, seen, mask })
    }

    /// Name and unit of each of a catalogue's columns: right ascension and declination, the redshift of the distance, and the
    /// one that is observed, with the velocity along the line of sight.
    pub const COLUMNS: [(&str, &str); 4] = [("ra", "deg"), ("dec", "deg"), ("z", ""), ("z_observed", "")];

    /// The galaxies that are seen, in the order of their cells over all ranks. Collective.
    pub fn look<T: Real>(
        &self,
        d: &Decomposition,
        galaxies: &PoissonGalaxies<T>,
        box_size: f64,
        seed: u64,
        realisation: u64,
    ) -> Vec<[f64; 4]> {
        let mut rng = stream(seed, realisation, "cone", 0);
        let (mut row, n2, mut seen) = (u64::MAX, d.shape()[2] as u64, vec![]);
        for i in 0..galaxies.len() {
            let own = galaxies.cell[i] / n2;
            if own != row {
                row = own;
                rng = stream(seed, realisation, "cone", row);
            }
            let chance: f64 = rng.random();
            let [x, v] = [galaxies.position[i], galaxies.velocity[i]].map(|v| v.map(T::f64));
            let x: [f64; 3] = std::array::from_fn(|axis| {
                let x = (x[axis] - self.observer[axis]).rem_euclid(box_size);
                if self.sky == Sky::Full && x >= 0.5 * box_size { x - box_size } else { x }
            });
            let distance = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            if !(distance > 0.0 && distance >= self.range[0] && distance < self.range[1])
                || chance >= self.part(x, distance)
            {
                continue;
            }
            let along = x.iter().zip(v).map(|(x, v)| x * v).sum::<f64>() / distance;
            let z = self.redshift.at(distance);
            let ra = x[1].atan2(x[0]).to_degrees().rem_euclid(360.0);
            let dec = (x[2] / distance).asin().to_degrees();
            seen.push((i, [ra, dec, z, (1.0 + z) * (1.0 + along / C_KM_S) - 1.0]));
        }
        galaxies.in_order(d, seen)
    }

    /// The part of the galaxies that is seen at a place.
    fn part(&self, x: [f64; 3], distance: f64) -> f64 {
        let radial = self.seen.as_ref().map_or(1.0, |(edges, parts)| {
            let cell = edges.partition_point(|edge| *edge <= distance);
            if cell == 0 || cell == edges.len() { 0.0 } else { parts[cell - 1] }
        });
        radial * self.mask.as_ref().map_or(1.0, |(rings, mask)| mask[rings.pixel(x)])
    }
}

/// The nside of a mask of so many pixels.
pub fn nside(pixels: usize) -> Result<usize> {
    let nside = (pixels / 12).isqrt();
    match nside > 0 && 12 * nside * nside == pixels {
        true => Ok(nside),
        false => Err(bad("mask", pixels, "is no number of HEALPix pixels, 12 nside²", "give a mask of the whole sky")),
    }
}
