//! What a snapshot says of all its particles, before any is read.

use super::{DARK, MPC_CM, TEN_BILLION_SUNS_G, TYPES, files, matter};
use crate::error::{Error, Result};
use crate::io::hdf::{File, given};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How velocities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Velocities {
    /// Peculiar velocities over √a.
    Gadget,
    /// Peculiar velocities a dx/dt.
    Peculiar,
}

impl Velocities {
    /// The power of a that makes what is written a peculiar velocity.
    pub fn power(self) -> f64 {
        match self {
            Velocities::Gadget => 0.5,
            Velocities::Peculiar => 0.0,
        }
    }
}

/// What the files of a snapshot say of all its particles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// Mpc/h.
    pub box_size: f64,
    pub scale_factor: f64,
    /// Dark matter particles in all files.
    pub npart: u64,
    /// What is said of the universe, by the names of [`crate::cosmology::NAMES`].
    pub cosmology: Vec<(String, f64)>,
    /// All numbers among the attributes of the root: where a mock observation keeps its true parameters.
    pub truth: Vec<(String, f64)>,
    /// The power of a that makes what is written a peculiar velocity, where the files tell.
    pub velocity_power: Option<f64>,
    /// True if there are velocities.
    pub has_velocities: bool,
    /// What is unusual, in words.
    pub warnings: Vec<String>,
    /// Massive neutrinos among the matter.
    pub(super) omega_nu: Option<f64>,
    /// Particles of each type in each file.
    pub(super) counts: Vec<[u64; TYPES]>,
    /// Mass of each particle of a type, Msun/h; 0 where they differ.
    pub(super) mass_table: [f64; TYPES],
    /// Types whose particles have masses of their own.
    pub(super) own_masses: [bool; TYPES],
    pub(super) units: Units,
    /// True if the particles are in other files, which this one only points to.
    pub(super) points_elsewhere: bool,
}

/// Units of the file in Mpc/h, km/s and Msun/h.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Units {
    pub length: f64,
    pub velocity: f64,
    pub mass: f64,
}

/// Serial: the header of a snapshot whose first file, any of its files or base name `path` is. Refuses files that do not
/// belong together.
pub fn header(path: &Path) -> Result<Header> {
    read(&files::first(path)).map_err(given)
}

impl Header {
    /// Files of the snapshot.
    pub fn files(&self) -> usize {
        self.counts.len()
    }

    /// Refuses particles that cannot stand for all matter, as far as the table of masses tells; what is ignored, in words.
    pub fn check_matter(&self) -> Result<Vec<String>> {
        match self.own_masses.contains(&true) {
            true => Ok(vec![]),
            false => matter::judge(self, &matter::of_table(self)),
        }
    }

    /// Particles of a type.
    pub(super) fn count(&self, kind: usize) -> u64 {
        self.counts.iter().map(|c| c[kind]).sum()
    }

    /// What the header, or the root, says of a parameter of the universe.
    pub fn told(&self, name: &str) -> Option<f64> {
        self.truth.iter().chain(&self.cosmology).find(|t| t.0 == name).map(|t| t.1)
    }
}

fn read(path: &Path) -> Result<Header> {
    let first = Source(&File::open(path)?);
    let (mut header, claims) = first.header()?;
    let files = claims.files;
    if files > 1 {
        header.counts.clear();
        header.has_velocities = true;
        for i in 0..files {
            let path = files::part(path, i, files)?;
            let (other, theirs) = Source(&File::open(&path)?).header()?;
            if (other.box_size, other.scale_factor, theirs) != (header.box_size, header.scale_factor, claims) {
                let error = Error::input("its header is of another snapshot than its neighbours'").file(path);
                return Err(error
                    .key("Header")
                    .remedy("keep the files of one snapshot, and no others, under one name"));
            }
            header.counts.extend(other.counts);
            (0..TYPES).for_each(|t| header.own_masses[t] |= other.own_masses[t]);
            header.has_velocities &= other.has_velocities || other.npart == 0;
            header.points_elsewhere |= other.points_elsewhere;
        }
    }
    header.npart = header.count(DARK);
    if let Some(total) = claims.total.filter(|total| *total != header.npart) {
        let problem = format!("says {total}, but the snapshot's {files} file(s) hold {} of this type", header.npart);
        return Err(first.bad("Header/NumPart_Total", &problem, "give all files of one whole snapshot"));
    }
    if header.npart == 0 {
        return Err(first.bad("Header", "counts no dark matter particles (PartType1)", "give a dark matter snapshot"));
    }
    contradictions(&header).map_err(|e| e.file(path))?;
    Ok(header)
}

/// What a file says of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Claims {
    files: usize,
    /// Dark matter particles in all of them.
    total: Option<u64>,
}

/// One number for the same thing: the true parameters in the root are those of the header.
fn contradictions(header: &Header) -> Result<()> {
    for (name, said) in &header.cosmology {
        let root = header.truth.iter().find(|t| &t.0 == name).map(|t| t.1);
        // Omega_k is only what is left of the other densities.
        if let Some(root) = root.filter(|root| name != "Omega_k" && (root - said).abs() > 1e-3 * said.abs().max(1e-3)) {
            return Err(Error::input(format!("the root's attribute is {root}, but the header says {said}"))
                .key(name)
                .remedy("correct the one that is wrong, or remove it"));
        }
    }
    Ok(())
}

/// A file of a snapshot.
struct Source<'a>(&'a File);

impl Source<'_> {
    fn bad(&self, key: &str, problem: &str, remedy: &str) -> Error {
        Error::input(problem).file(self.0.path()).key(key).remedy(remedy)
    }

    /// An attribute's numbers; nothing where it is not there, or of a type that is none.
    fn numbers(&self, at: &str, name: &str) -> Option<Vec<f64>> {
        if !at.is_empty() && !self.0.exists(at) {
            return None;
        }
        self.0.numbers(at, name).ok().flatten().filter(|n| !n.is_empty())
    }

    /// The first of these attributes (group, name) that is there and finite.
    fn number(&self, places: &[(&str, &str)]) -> Option<f64> {
        places.iter().find_map(|(at, name)| self.numbers(at, name).map(|n| n[0]).filter(|n| n.is_finite()))
    }

    /// Parameters and units stand in Parameters (GADGET-4) or Header (GADGET-2 and others).
    fn parameter(&self, name: &str) -> Option<f64> {
        self.number(&[("Parameters", name), ("Header", name)])
    }

    fn header(&self) -> Result<(Header, Claims)> {
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
        for t in 0..TYPES {
            own_masses[t] = counts[t] > 0 && self.0.exists(&format!("PartType{t}/Masses"));
        }
        let mut truth = vec![];
        for name in self.0.attributes("").unwrap_or_default() {
            truth.extend(self.number(&[("", &name)]).map(|value| (name, value)));
        }
        let (points_elsewhere, has_velocities) = self.arrays(counts[DARK])?;
        let header = Header {
            box_size: self.box_size()? * units.length,
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
        let sources = array.sources();
        let folder = self.0.path().parent().unwrap_or(Path::new(""));
        if let Some((gone, _)) = sources.iter().find(|(s, _)| s != "." && !folder.join(s).is_file()) {
            let problem = format!("its particles are in {gone}, which is not there");
            return Err(self.bad(
                name,
                &problem,
                "put that file beside this one, or give a file that holds the particles",
            ));
        }
        // No compression of numbers does better than 1000 to 1.
        let bytes = std::fs::metadata(self.0.path()).map_or(0, |m| m.len());
        if sources.is_empty() && n > 1000 * bytes {
            let problem = format!("{n} particles are more than a file of {bytes} bytes can hold");
            return Err(self.bad("Header/NumPart_ThisFile", &problem, "give a whole snapshot"));
        }
        Ok((!sources.is_empty(), self.0.exists("PartType1/Velocities")))
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

    /// Units, from what the header says, or GADGET-4's attributes of each array. `h` is told, for units without it.
    fn units(&self, swift: bool, h: Option<f64>, warnings: &mut Vec<String>) -> Result<Units> {
        let positive = |x: Option<f64>| x.filter(|&x| x > 0.0);
        let hubble = |why: &str| {
            let lacks = || {
                let problem = format!("lacks the Hubble constant, without which {why} mean nothing");
                self.bad("Header", &problem, "give HubbleParam as an attribute of Header")
            };
            positive(h).ok_or_else(lacks)
        };
        if swift {
            let cgs = |what: &str| {
                let there = self.number(&[("Units", what), ("InternalCodeUnits", what)]);
                positive(there)
                    .ok_or_else(|| self.bad("Units", &format!("lacks {what:?}"), "give SWIFT's own snapshot"))
            };
            let (length, time) = (cgs("Unit length in cgs (U_L)")?, cgs("Unit time in cgs (U_t)")?);
            let mass = cgs("Unit mass in cgs (U_M)")? / TEN_BILLION_SUNS_G * 1e10;
            let h = hubble("SWIFT's units, which are without it,")?;
            return Ok(Units { length: length / MPC_CM * h, velocity: length / time / 1e5, mass: mass * h });
        }
        let cgs = |name: &str, others: &str, array: &str| {
            positive(self.parameter(name).or(self.parameter(others)).or(self.number(&[(array, "to_cgs")])))
        };
        let length = cgs("UnitLength_in_cm", "UnitLength_In_CGS", "PartType1/Coordinates").map(|cm| cm / MPC_CM);
        if length.is_none() {
            warnings.push("no UnitLength_in_cm: lengths are taken as Mpc/h".into());
        }
        let length = length.unwrap_or(1.0);
        // 3.085678 and 3.0857e24 are both a Mpc: no program means a box of 1.000007.
        let length = [1.0, 1e-3].into_iter().find(|u| (length / u - 1.0).abs() < 1e-4).unwrap_or(length);
        let without_h = |array: &str| self.number(&[(array, "h_scaling")]) == Some(0.0);
        let length = match without_h("PartType1/Coordinates") {
            true => length * hubble("lengths without h")?,
            false => length,
        };
        let velocity = cgs("UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS", "PartType1/Velocities");
        let mass = cgs("UnitMass_in_g", "UnitMass_In_CGS", "PartType1/Masses").unwrap_or(TEN_BILLION_SUNS_G);
        Ok(Units { length, velocity: velocity.map_or(1.0, |cm| cm / 1e5), mass: mass / TEN_BILLION_SUNS_G * 1e10 })
    }

    /// SWIFT writes peculiar velocities; others tell in an attribute of the array, or of the header.
    fn velocity_power(&self, swift: bool) -> Option<f64> {
        let array = "PartType1/Velocities";
        let told = self.number(&[(array, "a_scaling"), (array, "a-scale exponent")]);
        let peculiar = self.parameter("UsePeculiarVelocity").map(|yes| if yes == 0.0 { 0.5 } else { 0.0 });
        told.or(peculiar).or(swift.then_some(0.0))
    }

    /// What Parameters or Header say of the universe, and its massive neutrinos.
    fn cosmology(&self) -> (Vec<(String, f64)>, Option<f64>) {
        let said = |name: &str| self.parameter(name).filter(|&x| x > 0.0);
        let (m, lambda) = (said("Omega0"), self.parameter("OmegaLambda"));
        let k = m.zip(lambda).map(|(m, lambda)| 1.0 - m - lambda);
        let all = [("Omega_m", m), ("Omega_b", said("OmegaBaryon")), ("h", said("HubbleParam")), ("Omega_k", k)];
        (known(&all), self.parameter("OmegaNu"))
    }

    /// SWIFT's, whose Omega_m is without neutrinos.
    fn swift_cosmology(&self) -> (Vec<(String, f64)>, Option<f64>) {
        let said = |name: &str| self.number(&[("Cosmology", name)]);
        let nu = said("Omega_nu_0").or(said("Omega_nu"));
        let m = said("Omega_m").map(|m| m + nu.unwrap_or(0.0));
        let k = said("Omega_k");
        let all = [
            ("Omega_m", m),
            ("Omega_b", said("Omega_b")),
            ("h", said("h")),
            ("Omega_k", k),
            ("w0", said("w_0")),
            ("wa", said("w_a")),
        ];
        (known(&all), nu)
    }
}

fn known(all: &[(&str, Option<f64>)]) -> Vec<(String, f64)> {
    all.iter().filter_map(|(name, value)| Some((name.to_string(), (*value)?))).collect()
}
