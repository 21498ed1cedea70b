//! Projected density maps: the box seen along each of its axes, cut into slabs.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::limits;
use crate::mesh::Real;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[simulator.maps]`: projected density maps along the three axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapConfig {
    /// Pixels per side of the box.
    pub pixels: usize,
    /// Slabs that each line of sight is cut into.
    pub slabs: usize,
}

impl Default for MapConfig {
    fn default() -> Self {
        MapConfig { pixels: 64, slabs: 4 }
    }
}

impl MapConfig {
    /// Refuses empty maps.
    pub fn check(&self) -> Result<()> {
        for (key, value) in [("pixels", self.pixels), ("slabs", self.slabs)] {
            if !(1..=1 << 18).contains(&value) {
                let error = Error::input("must be from 1 to 262144").key(format!("simulator.maps.{key}")).value(value);
                return Err(error.remedy("64 pixels and 4 slabs are usual; or leave [simulator.maps] out"));
            }
        }
        let numbers = [3, self.slabs, self.pixels, self.pixels];
        limits::product_at_most("simulator.maps.pixels", &numbers, "pixels", limits::PIXELS, "lower it, or maps.slabs")
    }
}

/// Surface density in units of its mean, shape (3 views, slabs, pixels, pixels): view v looks along axis v, the slab is
/// chosen by the position along it (nearest), the two other axes in ascending order are the rows and columns of the
/// map (CIC). On the root; zeros of the same shape elsewhere. Collective.
pub fn projected_maps<T: Real>(
    comm: &Comm,
    config: &MapConfig,
    positions: &[[T; 3]],
    box_size: f64,
    total: u64,
) -> Vec<f32> {
    let (n, slabs) = (config.pixels, config.slabs);
    // Sums over ranks in double, so that the maps do not depend on how the particles are spread.
    let mut maps = vec![0f64; 3 * slabs * n * n];
    let (per_pixel, per_slab) = (n as f64 / box_size, slabs as f64 / box_size);
    let weight = (slabs * n * n) as f64 / total as f64;
    let split = |x: f64| {
        let i = (x as usize).min(n - 1);
        (i, if i + 1 == n { 0 } else { i + 1 }, x - i as f64)
    };
    for x in positions {
        let x = x.map(|c| c.f64());
        let pixel = x.map(|c| split(c * per_pixel));
        for (view, (rows, columns)) in [(1, 2), (0, 2), (0, 1)].into_iter().enumerate() {
            let slab = ((x[view] * per_slab) as usize).min(slabs - 1);
            let map = &mut maps[(view * slabs + slab) * n * n..][..n * n];
            let ((i, i1, u), (j, j1, v)) = (pixel[rows], pixel[columns]);
            map[i * n + j] += weight * (1.0 - u) * (1.0 - v);
            map[i * n + j1] += weight * (1.0 - u) * v;
            map[i1 * n + j] += weight * u * (1.0 - v);
            map[i1 * n + j1] += weight * u * v;
        }
    }
    comm.sum(&mut maps);
    maps.into_iter().map(|x| x as f32).collect()
}
