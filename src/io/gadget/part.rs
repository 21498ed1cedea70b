//! One file of a snapshot: its counts, box and time.

use super::header::Header;
use super::{DARK, TYPES};
use crate::error::{Error, Result};
use crate::io::hdf::File;
use std::path::{Path, PathBuf};

/// What a file says of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Claims {
    pub files: usize,
    /// Dark matter particles in all of them.
    pub total: Option<u64>,
}

/// One file of a snapshot.
pub(super) struct Part<'a>(pub(super) &'a File);

impl Part<'_> {
    pub(super) fn bad(&self, key: &str, problem: &str, remedy: &str) -> Error {
        Error::input(problem).file(self.0.path()).key(key).remedy(remedy)
    }

    /// An attribute's numbers; nothing where it is not there, or of a type that is none.
    pub(super) fn numbers(&self, at: &str, name: &str) -> Option<Vec<f64>> {
        if !at.is_empty() && !self.0.exists(at) {
            return None;
        }
        self.0.numbers(at, name).ok().flatten().filter(|n| !n.is_empty())
    }

    /// The first of these attributes (group, name) that is there and finite.
    pub(super) fn number(&self, places: &[(&str, &str)]) -> Option<f64> {
        places.iter().find_map(|(at, name)| self.numbers(at, name).map(|n| n[0]).filter(|n| n.is_finite()))
    }

    /// Parameters and units stand in Parameters (GADGET-4) or Header (GADGET-2 and others).
    pub(super) fn parameter(&self, name: &str) -> Option<f64> {
        self.number(&[("Parameters", name), ("Header", name)])
    }

    pub(super) fn header(&self) -> Result<(Header, Claims)> {
        if !self.0.exists("Header") {
            let problem = format!("no such group (datasets: {})", self.0.arrays().join(", "));
            return Err(self.bad("Header", &problem, "give a snapshot in GADGET's HDF5 format"));
        }
        let code = ["Header", "Code"].iter().find_map(|at| self.0.text(at, "Code").ok().flatten()).unwrap_or_default();
        let swift = code.trim_matches(['\0', ' ']).eq_ignore_ascii_case("SWIFT");
        let (counts, claims) = self.counts()?;
        let mut warnings = vec![];
        let (cosmology, omega_nu) = if swift { self.swift_cosmology() } else { self.cosmology() };
        let h = cosmology.iter().find(|c| c.0 == "h").map(|c| c.1);
        let units = self.units(swift, h, &mut warnings)?;
        let (mut mass_table, mut own_masses) = ([0.0; TYPES], [false; TYPES]);
        for (mass, said) in mass_table.iter_mut().zip(self.numbers("Header", "MassTable").unwrap_or_default()) {
            *mass = said * units.mass;
        }
        let box_size = self.box_size()? * units.length;
        // Numbers that are finite may not be so in other units.
        for (key, finite) in [
            ("Header/MassTable", mass_table.iter().all(|mass| mass.is_finite())),
            ("Header/BoxSize", box_size.is_finite()),
            ("Header/UnitVelocity_in_cm_per_s", units.velocity.is_finite()),
            ("Header/UnitMass_in_g", units.mass.is_finite()),
        ] {
            if !finite {
                return Err(self.bad(key, "is not finite, or not so in this program's units", "correct the header"));
            }
        }
        for t in 0..TYPES {
            own_masses[t] = counts[t] > 0 && self.0.exists(&format!("PartType{t}/Masses"));
        }
        let mut truth = vec![];
        for name in self.0.attributes("").unwrap_or_default() {
            truth.extend(self.number(&[("", &name)]).map(|value| (name, value)));
        }
        let (points_elsewhere, has_velocities) = self.arrays(counts[DARK])?;
        let header = Header {
            box_size,
            scale_factor: self.scale_factor(swift)?,
            npart: counts[DARK],
            cosmology,
            truth,
            velocity_power: self.velocity_power(swift),
            has_velocities,
            warnings,
            omega_nu,
            counts: vec![counts],
            mass_table,
            own_masses,
            units,
            points_elsewhere,
        };
        Ok((header, claims))
    }

    /// Particles of each type in this file, and what it says of all.
    fn counts(&self) -> Result<([u64; TYPES], Claims)> {
        let read = |name: &str| -> Result<Option<[u64; TYPES]>> {
            let Some(said) = self.numbers("Header", name) else { return Ok(None) };
            let mut all = [0; TYPES];
            for (count, n) in all.iter_mut().zip(said) {
                if !(n >= 0.0 && n < 2f64.powi(63)) {
                    let problem = format!("{n} is no number of particles");
                    return Err(self.bad(&format!("Header/{name}"), &problem, "give a whole snapshot"));
                }
                *count = n as u64;
            }
            Ok(Some(all))
        };
        let high = read("NumPart_Total_HighWord")?.unwrap_or_default()[DARK];
        // GADGET-4 has all 64 bits in one number, and no high word; a high word beside them repeats what they say.
        let total = read("NumPart_Total")?.map(|low| match low[DARK] >> 32 {
            0 => low[DARK] | high << 32,
            _ => low[DARK],
        });
        let files = self.number(&[("Header", "NumFilesPerSnapshot")]).unwrap_or(1.0);
        if !(1.0..=1e6).contains(&files) {
            return Err(self.bad("Header/NumFilesPerSnapshot", &format!("{files} files?"), "give a whole snapshot"));
        }
        let claims = Claims { files: files as usize, total };
        let Some(mut counts) = read("NumPart_ThisFile")? else {
            return Err(self.bad(
                "Header",
                "lacks the attribute NumPart_ThisFile",
                "give a snapshot in GADGET's HDF5 format",
            ));
        };
        // What the header does not count is there all the same.
        for (t, count) in counts.iter_mut().enumerate().filter(|(t, count)| *t != DARK && **count == 0) {
            let name = format!("PartType{t}/Coordinates");
            if self.0.exists(&name) {
                *count = self.0.array(&name)?.shape().first().copied().unwrap_or(0) as u64;
            }
        }
        Ok((counts, claims))
    }

    /// Whether dark matter's arrays are only references to other files, and whether velocities are there. Refuses what
    /// cannot be as large as it says, before anybody makes room for it.
    fn arrays(&self, n: u64) -> Result<(bool, bool)> {
        if n == 0 {
            return Ok((false, false));
        }
        let name = "PartType1/Coordinates";
        let array = self.0.array(name)?;
        let shape = array.shape();
        if shape.len() != 2 || (shape[0] as u64, shape[1]) != (n, 3) {
            let problem = format!("has shape {shape:?}, but the header counts {n} particles");
            return Err(self.bad(name, &problem, "give a whole snapshot"));
        }
        let sources = self.sources();
        if let Some((name, gone)) = sources.iter().find(|(_, s)| !self.beside(s).is_file()) {
            let problem = format!("its particles are in {gone}, which is not there");
            return Err(self.bad(
                name,
                &problem,
                "put that file beside this one, or give a file that holds the particles",
            ));
        }
        // No compression of numbers does better than 1000 to 1.
        let bytes = std::fs::metadata(self.0.path()).map_or(0, |m| m.len());
        if array.sources().is_empty() && n > 1000 * bytes {
            let problem = format!("{n} particles are more than a file of {bytes} bytes can hold");
            return Err(self.bad("Header/NumPart_ThisFile", &problem, "give a whole snapshot"));
        }
        Ok((!sources.is_empty(), self.0.exists("PartType1/Velocities")))
    }

    /// The arrays that are read and are only references to files, as SWIFT's virtual snapshots have them, and these
    /// files as the arrays name them. HDF5 would give zeros for one that is not there.
    fn sources(&self) -> Vec<(String, String)> {
        let dark = ["Coordinates", "Velocities", "ParticleIDs"].map(|name| format!("PartType{DARK}/{name}"));
        let names = dark.into_iter().chain((0..TYPES).map(|t| format!("PartType{t}/Masses")));
        let of = |name: String| {
            let sources = if self.0.exists(&name) { self.0.array(&name).map(|a| a.sources()) } else { Ok(vec![]) };
            sources.unwrap_or_default().into_iter().map(move |(file, _)| (name.clone(), file))
        };
        names.flat_map(of).collect()
    }

    /// A file as an array names it, which may be this one.
    fn beside(&self, file: &str) -> PathBuf {
        let own = self.0.path();
        if file == "." { own.to_path_buf() } else { own.parent().unwrap_or(Path::new("")).join(file) }
    }

    /// This file, and those that its arrays take their particles from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut elsewhere: Vec<PathBuf> = self.sources().iter().map(|(_, file)| self.beside(file)).collect();
        elsewhere.retain(|file| file != self.0.path());
        elsewhere.sort();
        elsewhere.dedup();
        [vec![self.0.path().to_path_buf()], elsewhere].concat()
    }

    fn box_size(&self) -> Result<f64> {
        let sides = self.numbers("Header", "BoxSize").unwrap_or_default();
        let Some(&side) = sides.first() else {
            return Err(self.bad(
                "Header",
                "lacks the attribute BoxSize",
                "give a snapshot of a periodic box in GADGET's HDF5 format",
            ));
        };
        if !(side > 0.0 && side.is_finite()) {
            return Err(self.bad("Header/BoxSize", &format!("{side}: must be positive"), "give a periodic box"));
        }
        if sides.iter().any(|s| (s / side - 1.0).abs() > 1e-6) {
            let problem = format!("{sides:?}: the box has unequal sides");
            return Err(self.bad("Header/BoxSize", &problem, "give a cubic box: the networks know no other"));
        }
        Ok(side)
    }

    /// `Time` is the scale factor, but SWIFT's, which is in units of its own.
    fn scale_factor(&self, swift: bool) -> Result<f64> {
        let time = match swift {
            true => self.number(&[("Header", "Scale-factor"), ("Cosmology", "Scale-factor")]),
            false => self.number(&[("Header", "Time")]),
        };
        let z = self.number(&[("Header", "Redshift"), ("Cosmology", "Redshift")]);
        let remedy = "Time is the scale factor in cosmological snapshots, 1/(1 + Redshift)";
        let a = match (time, z.map(|z| 1.0 / (1.0 + z))) {
            (Some(time), Some(a)) if (time / a - 1.0).abs() > 1e-3 => {
                let problem = format!("Time = {time}, but Redshift = {} is a scale factor of {a:.4}", 1.0 / a - 1.0);
                return Err(self.bad("Header", &problem, remedy));
            }
            (Some(a), _) | (None, Some(a)) => a,
            (None, None) => {
                return Err(self.bad("Header", "lacks the attributes Time and Redshift", remedy));
            }
        };
        if !(a > 0.0 && a.is_finite()) {
            return Err(self.bad("Header", &format!("a scale factor of {a}: must be positive"), remedy));
        }
        Ok(a)
    }
}
