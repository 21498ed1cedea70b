//! Whether the particles that are read can stand for all matter, as those of the program's own universes do.

use super::block::block;
use super::header::Header;
use super::{DARK, TYPES};
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::hdf::File;
use crate::units::RHO_CRIT;

/// Matter outside the particles that are read, over all of it: neutrinos are below this, baryons above.
const MOST_IGNORED: f64 = 0.1;
/// Masses that differ by less are one mass, rounded.
const EQUAL: f64 = 1e-4;

/// What the particles of a type are in most codes.
fn what(kind: usize) -> &'static str {
    match kind {
        0 => "gas",
        2 | 6 => "neutrinos in some codes",
        4 => "stars",
        5 => "black holes",
        _ => "of various meaning",
    }
}

/// Masses of all particles of each type in Msun/h; `None` where nothing tells.
pub(super) type Masses = [Option<f64>; TYPES];

/// The masses that the header's table gives.
pub(super) fn of_table(header: &Header) -> Masses {
    std::array::from_fn(|t| {
        let (n, each) = (header.count(t), header.mass_table[t]);
        match n {
            0 => Some(0.0),
            _ => (each > 0.0).then_some(n as f64 * each),
        }
    })
}

/// Sums of masses that stand with the particles, file by file.
pub(super) struct Weights {
    sum: [f64; TYPES],
    /// Of dark matter.
    least: f64,
    most: f64,
}

impl Weights {
    pub fn new() -> Self {
        Weights { sum: [0.0; TYPES], least: f64::INFINITY, most: f64::NEG_INFINITY }
    }

    /// Adds one file's masses. Collective.
    pub fn add(&mut self, comm: &Comm, file: &File, counts: &[u64; TYPES], unit: f64) -> Result<()> {
        for (t, &n) in counts.iter().enumerate() {
            let name = format!("PartType{t}/Masses");
            if n == 0 || !file.exists(&name) {
                continue;
            }
            let (start, len) = share(n as usize, comm.size(), comm.rank());
            let masses: Vec<f64> = block(comm, file, &name, n, &[start], &[len])?;
            self.sum[t] += unit * masses.iter().sum::<f64>();
            if t == DARK {
                self.least = masses.iter().copied().fold(self.least, f64::min);
                self.most = masses.iter().copied().fold(self.most, f64::max);
            }
        }
        Ok(())
    }

    /// The masses of all types; refused where those of dark matter differ. Collective.
    pub fn finish(mut self, comm: &Comm, header: &Header) -> Result<Masses> {
        comm.sum(&mut self.sum);
        let (least, most) = (comm.min_of(self.least), comm.max_of(self.most));
        // Nothing but numbers from 0 on passes: a NaN leaves the sum.
        if header.own_masses[DARK] && !(least >= 0.0 && most - least <= EQUAL * most && self.sum[DARK].is_finite()) {
            return Err(Error::input(format!("the particles' masses differ, from {least:e} to {most:e}"))
                .key("PartType1/Masses")
                .remedy("give a snapshot whose particles have one mass: density and halos count particles"));
        }
        let table = of_table(header);
        Ok(std::array::from_fn(|t| if header.own_masses[t] { Some(self.sum[t]) } else { table[t] }))
    }
}

impl Header {
    /// Refuses particles that cannot stand for all matter, as far as the table of masses tells; what is ignored, in
    /// words.
    pub fn check_matter(&self) -> Result<Vec<String>> {
        match self.own_masses.contains(&true) {
            true => Ok(vec![]),
            false => judge(self, &of_table(self)),
        }
    }
}

/// Refuses particles that cannot stand for all matter; says in words what is ignored.
pub(super) fn judge(header: &Header, masses: &Masses) -> Result<Vec<String>> {
    let mut warnings = vec![];
    let known: f64 = masses.iter().flatten().sum();
    for t in (0..TYPES).filter(|&t| t != DARK && header.count(t) > 0) {
        let (n, group) = (header.count(t), format!("PartType{t}"));
        let refuse = |problem: String| {
            Err(Error::input(format!("{problem}, and only PartType1 is read")).key(group.clone()).remedy(
                "give a snapshot of dark matter alone, whose particles stand for all matter: the networks know no other",
            ))
        };
        match (masses[DARK], masses[t]) {
            (_, None) | (_, Some(0.0)) => {
                warnings.push(format!("the {n} particles of type {t} ({}) have no mass and are ignored", what(t)))
            }
            (None, Some(_)) => {
                return refuse(format!("holds {n} particles with mass, but those of PartType1 have none"));
            }
            (Some(_), Some(mass)) => {
                let part = mass / known;
                let told = format!("{:.2}% of the matter is {n} particles of type {t} ({})", 100.0 * part, what(t));
                if part.is_nan() || part >= MOST_IGNORED {
                    return refuse(told);
                }
                warnings.push(format!("{told}: ignored, as only PartType1 is read"));
            }
        }
    }
    if let (Some(_), Some(omega_m)) = (masses[DARK], header.told("Omega_m")) {
        let held = known / (header.box_size.powi(3) * RHO_CRIT);
        let off = |expected: f64| (held / expected - 1.0).abs();
        let least = off(omega_m).min(header.omega_nu.map_or(f64::INFINITY, |nu| off(omega_m - nu)));
        let says = format!("the particles' masses make an Omega_m of {held:.4}, but it says {omega_m}");
        if least.is_nan() || least >= MOST_IGNORED {
            let remedy = "correct MassTable, Omega0, BoxSize or their units in the header; or give a snapshot whose \
                          dark matter stands for all matter";
            return Err(Error::input(says).key("Header/MassTable").remedy(remedy));
        }
        if least > 0.01 {
            warnings.push(says);
        }
    }
    Ok(warnings)
}
