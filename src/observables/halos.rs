//! The halo catalogue: mass, centre, velocity, size and origin of every friends-of-friends group.

use super::fof::friends_of_friends;
use super::members::{Claim, Sums, judge, lattice_point, merge, nearest, owner};
use super::rows::{Route, sort_over_ranks};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::mesh::Real;
use crate::particles::{Particles, wrap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// `[simulator.halos]`: friends-of-friends halos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HaloConfig {
    /// Particles closer than this are friends; at least 0.02 and below 1.
    #[schemars(extend("x-unit" = "mean separations"))]
    pub linking_length: f64,
    /// Members of the smallest halo.
    pub min_members: usize,
}

impl Default for HaloConfig {
    fn default() -> Self {
        HaloConfig { linking_length: 0.2, min_members: 20 }
    }
}

impl HaloConfig {
    /// Refuses linking lengths that link everything or nothing.
    pub fn check(&self) -> Result<()> {
        // Shorter, the cells that friends are looked for in would be more than can be numbered.
        if !(self.linking_length >= 0.02 && self.linking_length < 1.0) {
            return Err(Error::input("must be at least 0.02 and below 1 mean separation of particles")
                .key("simulator.halos.linking_length")
                .value(self.linking_length)
                .remedy("0.2 is usual"));
        }
        if self.min_members == 0 {
            return Err(Error::input("a halo has at least one member")
                .key("simulator.halos.min_members")
                .value(self.min_members)
                .remedy("20 is usual"));
        }
        Ok(())
    }
}

/// A periodic box at one moment.
#[derive(Debug, Clone, Copy)]
pub struct PeriodicBox<'a> {
    pub cosmology: &'a Cosmology,
    /// Scale factor.
    pub a: f64,
    /// Side of the box in comoving Mpc/h.
    pub box_size: f64,
}

impl PeriodicBox<'_> {
    /// Comoving radius in Mpc/h of a sphere that holds `mass` (Msun/h) at 200 times the mean density of what the
    /// particles stand for: all matter, without massive neutrinos where there are such.
    pub fn r_200m(&self, mass: f64) -> f64 {
        (3.0 * mass / (800.0 * PI * self.cosmology.mean_cold_density())).cbrt()
    }
}

/// Halos, by falling mass and then by label. Each rank holds a contiguous share of the rows; read in rank order they
/// are the same catalogue on any number of ranks. All columns are of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HaloCatalogue {
    /// Smallest Lagrangian identity of the members.
    pub label: Vec<i64>,
    /// Number of members.
    pub count: Vec<i64>,
    /// Members times the particle mass, Msun/h.
    pub mass: Vec<f64>,
    /// Centre of mass in [0, L), comoving Mpc/h.
    pub position: Vec<[f64; 3]>,
    /// Mean peculiar velocity, km/s.
    pub velocity: Vec<[f64; 3]>,
    /// Root mean square distance of the members from the centre of mass, comoving Mpc/h.
    pub radius: Vec<f64>,
    /// One-dimensional peculiar velocity dispersion √(⟨|v − ⟨v⟩|²⟩ / 3), km/s.
    pub dispersion: Vec<f64>,
    /// Centre of the members' points on the initial lattice, in [0, L), Mpc/h. Means something if identities are
    /// indices of lattice points.
    pub lagrangian: Vec<[f64; 3]>,
}

impl HaloCatalogue {
    /// Name and unit of each of [`Self::rows`]' columns.
    pub const COLUMNS: [(&str, &str); 14] = [
        ("label", ""),
        ("count", ""),
        ("mass", "Msun/h"),
        ("x", "Mpc/h"),
        ("y", "Mpc/h"),
        ("z", "Mpc/h"),
        ("vx", "km/s"),
        ("vy", "km/s"),
        ("vz", "km/s"),
        ("radius", "Mpc/h"),
        ("dispersion", "km/s"),
        ("qx", "Mpc/h"),
        ("qy", "Mpc/h"),
        ("qz", "Mpc/h"),
    ];

    /// Number of halos on this rank.
    pub fn len(&self) -> usize {
        self.label.len()
    }

    /// True with none on this rank.
    pub fn is_empty(&self) -> bool {
        self.label.is_empty()
    }

    /// One row of numbers per halo. Labels and counts are exact below 2⁵³.
    pub fn rows(&self) -> Vec<[f64; 14]> {
        let row = |i: usize| {
            let (x, v, q) = (self.position[i], self.velocity[i], self.lagrangian[i]);
            let (label, count) = (self.label[i] as f64, self.count[i] as f64);
            let (mass, radius, dispersion) = (self.mass[i], self.radius[i], self.dispersion[i]);
            [label, count, mass, x[0], x[1], x[2], v[0], v[1], v[2], radius, dispersion, q[0], q[1], q[2]]
        };
        (0..self.len()).map(row).collect()
    }

    /// The catalogue of such rows, one after the other.
    pub fn from_rows(rows: &[f64]) -> Self {
        let mut all = HaloCatalogue::default();
        for row in rows.chunks_exact(Self::COLUMNS.len()) {
            let three = |at: usize| [row[at], row[at + 1], row[at + 2]];
            all.label.push(row[0] as i64);
            all.count.push(row[1] as i64);
            all.mass.push(row[2]);
            all.position.push(three(3));
            all.velocity.push(three(6));
            all.radius.push(row[9]);
            all.dispersion.push(row[10]);
            all.lagrangian.push(three(11));
        }
        all
    }

    fn push(&mut self, halo: &Sums, particle_mass: f64, spacing: f64, l: f64) {
        let (n, d) = (halo.count as f64, halo.mean(halo.distance));
        let q = halo.lattice.map(|sum| sum as f64 / n);
        let origin = lattice_point(halo.label, (l / spacing).round() as u64);
        self.label.push(halo.label as i64);
        self.count.push(halo.count as i64);
        self.mass.push(n * particle_mass);
        self.position.push(std::array::from_fn(|k| wrap(halo.reference[k] + d[k], l)));
        self.velocity.push(halo.mean(halo.velocity));
        self.radius.push(halo.variance(halo.distance_square, halo.distance).sqrt());
        self.dispersion.push((halo.variance(halo.velocity_square, halo.velocity) / 3.0).sqrt());
        self.lagrangian.push(std::array::from_fn(|k| wrap((origin[k] as f64 + q[k]) * spacing, l)));
    }
}

/// Finds the halos of `per_side`³ particles. Collective; fast if each rank's particles lie over its block of the mesh.
pub fn find_halos<T: Real>(
    comm: &Comm,
    config: &HaloConfig,
    particles: &Particles<T>,
    per_side: usize,
    now: &PeriodicBox,
) -> HaloCatalogue {
    let spacing = now.box_size / per_side as f64;
    let groups = friends_of_friends(comm, particles, now.box_size, config.linking_length * spacing);
    let mut members = vec![0u64; groups.label.len()];
    groups.fragment.iter().for_each(|&f| members[f as usize] += 1);

    // Most particles are in small groups that end on this rank: nothing is kept for them.
    const NONE: u32 = u32::MAX;
    let (mut slot, mut claims) = (vec![NONE; members.len()], vec![]);
    for (f, (&count, &label)) in members.iter().zip(&groups.label).enumerate() {
        if groups.open[f] || count >= config.min_members as u64 {
            slot[f] = claims.len() as u32;
            claims.push(Claim { label, count, reference: [f64::NAN; 3] });
        }
    }
    for (i, &fragment) in groups.fragment.iter().enumerate() {
        if let Some(claim) = claims.get_mut(slot[fragment as usize] as usize).filter(|c| c.label == particles.id[i]) {
            claim.reference = particles.position[i].map(T::f64);
        }
    }
    let route = Route::new(comm, &claims.iter().map(|c| owner(comm, c.label)).collect::<Vec<_>>());
    let references = route.reply(&judge(&route.send(&claims), config.min_members as u64));
    let mut sums: Vec<Sums> = claims.iter().zip(references).map(|(c, x)| Sums::new(c.label, x)).collect();

    let (l, n, to_km_s) = (now.box_size, per_side as i64, 100.0 / now.a);
    for (i, &fragment) in groups.fragment.iter().enumerate() {
        let Some(part) = sums.get_mut(slot[fragment as usize] as usize) else { continue };
        let (x, p) = (particles.position[i], particles.momentum[i]);
        let d = std::array::from_fn(|k| nearest(x[k].f64() - part.reference[k], l));
        let (q, origin) = (lattice_point(particles.id[i], n as u64), lattice_point(part.label, n as u64));
        let q = std::array::from_fn(|k| (q[k] - origin[k] + n / 2).rem_euclid(n) - n / 2);
        part.add(d, p.map(|p| p.f64() * to_km_s), q);
    }
    sums.retain(|part| !part.reference[0].is_nan());
    let route = Route::new(comm, &sums.iter().map(|s| owner(comm, s.label)).collect::<Vec<_>>());
    let whole = merge(route.send(&sums));
    let sorted = sort_over_ranks(comm, whole, |h| ((u64::MAX - h.count) as u128) << 64 | h.label as u128);
    let particle_mass = now.cosmology.mean_cold_density() * spacing.powi(3);
    let mut catalogue = HaloCatalogue::default();
    sorted.iter().for_each(|halo| catalogue.push(halo, particle_mass, spacing, now.box_size));
    catalogue
}
