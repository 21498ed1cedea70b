//! Galaxies as Poisson points of a density on a mesh.

use super::rows::sort_over_ranks;
use crate::cosmology::Growth;
use crate::error::{Error, Result};
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::mesh::{Complex, Decomposition, Fft, Mesh, Modes, Real};
use crate::particles::wrap;
use crate::rng::{ChaCha8Rng, stream};
use bytemuck::{Pod, Zeroable};
use rand::Rng;
use rand_distr::{Distribution, Poisson};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mean number from which on counts are drawn by rejection.
const MANY: f64 = 10.0;
/// A cell with more galaxies is a mistake in the parameters.
const MOST_PER_CELL: f64 = 1e9;

/// `[simulator.poisson]`: Poisson galaxies of a lognormal density of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoissonConfig {
    /// Mean comoving number density of the galaxies.
    #[schemars(extend("x-unit" = "(h/Mpc)³"))]
    pub number_density: f64,
    /// Linear bias b: the galaxies' correlation function is b² ξ. A parameter, which stands here or in `[design.parameters]`.
    #[serde(default = "one")]
    pub bias: f64,
    /// Moves galaxies into redshift space along this axis, for the catalogue and `galaxy_power`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "0, 1 or 2"))]
    pub redshift_axis: Option<usize>,
    /// Keeps the catalogue, field `galaxies`. Without it, what is measured of the galaxies is kept alone.
    #[serde(default = "yes")]
    pub catalogue: bool,
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl PoissonConfig {
    /// The parameter that a design may vary.
    pub const BIAS: &str = "bias";
    /// Numbers that are kept of each galaxy of a catalogue.
    pub const NUMBERS: usize = 6;

    /// Refuses what no galaxies are.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, value: &dyn std::fmt::Debug, problem: &str, remedy: &str| {
            Err(Error::input(problem).key(format!("simulator.poisson.{key}")).value(value).remedy(remedy))
        };
        if !(self.number_density > 0.0 && self.number_density.is_finite()) {
            return bad("number_density", &self.number_density, "must be positive", "3e-4 (h/Mpc)³ is usual");
        }
        Self::check_bias(self.bias).map_err(|e| e.key("simulator.poisson.bias"))?;
        match self.redshift_axis {
            Some(axis) if axis > 2 => bad("redshift_axis", &axis, "is no axis", "give 0, 1 or 2"),
            _ => Ok(()),
        }
    }

    /// Refuses what is no bias. The error names no key.
    pub fn check_bias(bias: f64) -> Result<()> {
        match bias > 0.0 && bias <= 100.0 {
            true => Ok(()),
            false => Err(Error::input("must lie above 0 and at most at 100").value(bias).remedy("1 to 3 are usual")),
        }
    }
}

/// Galaxies of this rank, by cells in C order: read in rank order they are the same list on any number of ranks, with
/// pencils as soon as they are [sorted](Self::in_order). All columns are of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoissonGalaxies<T> {
    /// Where the cell stands in the mesh's data.
    at: Vec<usize>,
    /// Global index of the cell.
    pub cell: Vec<u64>,
    /// Comoving Mpc/h, in [0, L).
    pub position: Vec<[T; 3]>,
    /// Peculiar km/s.
    pub velocity: Vec<[T; 3]>,
}

impl<T: Real> PoissonGalaxies<T> {
    /// Name and unit of each of a catalogue's columns.
    pub const COLUMNS: [(&str, &str); PoissonConfig::NUMBERS] =
        [("x", "Mpc/h"), ("y", "Mpc/h"), ("z", "Mpc/h"), ("vx", "km/s"), ("vy", "km/s"), ("vz", "km/s")];

    /// Draws galaxies of mean density `number_density` (1 + δ), from the field 1 + δ on `mesh`: a Poisson number in each
    /// cell, spread evenly over it. The cell of a mesh point lies around it, and may reach over the edge of the rank's block.
    /// Each row of cells along axis 2 is a random stream of its own. Velocities are 0. Collective.
    pub fn draw(
        mesh: &Mesh<T>,
        d: &Decomposition,
        box_size: f64,
        number_density: f64,
        seed: u64,
        realisation: u64,
    ) -> Result<Self> {
        let (block, [_, n1, n2]) = (mesh.block(), d.shape());
        let cell = box_size / d.shape()[0] as f64;
        let mean = number_density * cell.powi(3);
        let base = stream(seed, realisation, "galaxies", 0);
        let mut all = PoissonGalaxies { at: vec![], cell: vec![], position: vec![], velocity: vec![] };
        let mut rows = (0..block.len[0]).flat_map(|i0| (0..block.len[1]).map(move |i1| (i0, i1)));
        let drawn = rows.try_for_each(|(i0, i1)| {
            let at = [block.start[0] + i0, block.start[1] + i1];
            let row = (at[0] * n1 + at[1]) as u64;
            let mut rng = base.clone();
            rng.set_stream(row);
            let first = mesh.index(i0 as isize, i1 as isize, 0);
            for (i2, x) in mesh.row(i0, i1).iter().enumerate() {
                for _ in 0..number(mean * x.f64(), &mut rng)? {
                    let place = [at[0], at[1], i2]
                        .map(|i| wrap(T::of((i as f64 + rng.random::<f64>() - 0.5) * cell), T::of(box_size)));
                    all.at.push(first + i2);
                    all.cell.push(row * n2 as u64 + i2 as u64);
                    all.position.push(place);
                }
            }
            Ok(())
        });
        d.comm.agree(drawn)?;
        all.velocity = vec![[T::zero(); 3]; all.position.len()];
        Ok(all)
    }

    /// Gives each galaxy the velocity of linear theory in its cell, v_k = i a f H δ_k k/k², of the matter's *unnormalised* modes
    /// `delta`, which are turned into a potential; `modes` and `mesh` are overwritten. Collective.
    pub fn set_in_motion(
        &mut self,
        fft: &mut Fft<T>,
        delta: &mut Modes<T>,
        modes: &mut Modes<T>,
        mesh: &mut Mesh<T>,
        (growth, a, box_size): (&Growth, f64, f64),
    ) {
        let wave = Wavenumbers::new(delta.shape(), box_size, Gradient::Spectral);
        let speed = a * growth.f1(a) * growth.cosmology().hubble(a);
        wave.inverse_k2(delta, speed / fft.decomposition().volume() as f64);
        for axis in 0..3 {
            modes.data_mut().copy_from_slice(delta.data());
            wave.derive(modes, |g| Complex::new(0.0, g[axis]));
            fft.inverse(modes, mesh);
            for (v, at) in self.velocity.iter_mut().zip(&self.at) {
                v[axis] = mesh.data()[*at];
            }
        }
    }

    /// Rows of numbers of some galaxies, whose indices grow, in the order of their cells over all ranks. Collective.
    pub fn in_order<const N: usize>(&self, d: &Decomposition, rows: Vec<(usize, [f64; N])>) -> Vec<[f64; N]> {
        if d.grid()[1] == 1 {
            return rows.into_iter().map(|(_, row)| row).collect();
        }
        let keyed = rows.into_iter().map(|(i, values)| Row { cell: self.cell[i], place: i as u64, values }).collect();
        // Galaxies of one cell are on one rank, in their order.
        let sorted = sort_over_ranks(&d.comm, keyed, |row: &Row<N>| (row.cell as u128) << 64 | row.place as u128);
        sorted.into_iter().map(|row| row.values).collect()
    }

    /// Number of galaxies on this rank.
    pub fn len(&self) -> usize {
        self.position.len()
    }

    /// True with none on this rank.
    pub fn is_empty(&self) -> bool {
        self.position.is_empty()
    }
}

/// A row on its way to its place in the list.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Row<const N: usize> {
    cell: u64,
    place: u64,
    values: [f64; N],
}

// SAFETY: plain numbers of eight bytes each, without gaps.
unsafe impl<const N: usize> Zeroable for Row<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Pod for Row<N> {}

/// A Poisson number of this mean.
fn number(mean: f64, rng: &mut ChaCha8Rng) -> Result<u64> {
    if !(0.0..=MOST_PER_CELL).contains(&mean) {
        return Err(Error::input(format!("{mean:.3e} galaxies on average in one cell"))
            .key("simulator.poisson.number_density")
            .remedy("lower it, or the bias, or take cells larger than the galaxies' clusters"));
    }
    if mean >= MANY {
        let counts = Poisson::new(mean).map_err(|e| Error::failed(e.to_string()))?;
        return Ok(counts.sample(rng) as u64);
    }
    let u: f64 = rng.random();
    // Most cells are empty: 1 − λ ≤ exp(−λ).
    if u < 1.0 - mean {
        return Ok(0);
    }
    let (mut n, mut p) = (0, (-mean).exp());
    let mut sum = p;
    // What lies beyond is less than the spacing of u.
    while u >= sum && p > f64::EPSILON * f64::EPSILON {
        n += 1;
        p *= mean / n as f64;
        sum += p;
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_poisson() {
        for mean in [0.0, 1e-3, 0.4, 3.0, 9.9, 10.1, 80.0] {
            let (mut rng, draws) = (stream(1, 2, "test", 0), 200_000);
            let all: Vec<f64> = (0..draws).map(|_| number(mean, &mut rng).unwrap() as f64).collect();
            let moment = |k: i32, about: f64| all.iter().map(|n| (n - about).powi(k)).sum::<f64>() / draws as f64;
            let errors = |found: f64, expected: f64, variance: f64| {
                let sigma = (variance / draws as f64).sqrt();
                assert!((found - expected).abs() <= 4.5 * sigma, "{mean}: {found}, not {expected} ± {sigma}");
            };
            // Central moments of Poisson numbers: λ, λ, λ + 3 λ²; of their squares' and cubes' variance the leading terms.
            errors(moment(1, 0.0), mean, mean);
            errors(moment(2, mean), mean, mean + 2.0 * mean.powi(2));
            errors(moment(3, mean), mean, mean + 25.0 * mean.powi(2) + 90.0 * mean.powi(3));
            let none = all.iter().filter(|n| **n == 0.0).count() as f64 / draws as f64;
            errors(none, (-mean).exp(), (-mean).exp() * (1.0 - (-mean).exp()));
        }
        let mut rng = stream(1, 2, "test", 0);
        assert!(number(f64::NAN, &mut rng).is_err() && number(2e9, &mut rng).is_err());
    }
}
