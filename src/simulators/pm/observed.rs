//! Another code's snapshot, seen as the campaign's own universes are.

use super::products::{Lensing, needs};
use super::{Origin, Pm, PmConfig, PmState};
use crate::comm::Comm;
use crate::cosmology::{Cosmology, Extension, NAMES, stands_for};
use crate::error::{Error, Result};
use crate::io::gadget::{self, Header};
use crate::io::hdf::Element;
use crate::mesh::Real;
use crate::observables::HodConfig;
use crate::particles::{Domain, Particles, wrap};
use crate::simulators::Look;
use std::path::Path;

/// Parameters that shape the fluctuations, which are there to be seen: nothing that is measured is told them.
const UNSEEN: [&str; 3] = ["Omega_b", "n_s", "sigma8"];

/// What a snapshot's header says to a campaign.
pub(super) struct Seen {
    /// Scale factor of the moment that it shows.
    a: f64,
    /// `None` if it does not tell; refused where it is needed.
    cosmology: Option<Cosmology>,
    /// The varied parameters that it tells.
    told: Vec<(String, f64)>,
    /// True if identities must be points of the initial lattice.
    lattice: bool,
    warnings: Vec<String>,
}

impl PmConfig {
    /// The one moment that the wanted fields show.
    fn moment_wanted(&self, wanted: Option<&[String]>) -> Result<f64> {
        let cone = Lensing::of(self).map_or(vec![], |l| l.specs());
        let of_cone = |names: &[String]| names.iter().any(|n| cone.iter().any(|s| &s.name == n));
        if wanted.map_or(!cone.is_empty(), of_cone) {
            return Err(Error::input("one snapshot cannot show a light cone")
                .key("simulator.lightcone")
                .remedy("observe snapshots with a network that reads no field of it"));
        }
        let mut moments = match wanted {
            Some(names) => names.iter().map(|n| self.moment_of(n)).collect(),
            None => self.moments(),
        };
        moments.sort_by(f64::total_cmp);
        moments.dedup();
        match moments[..] {
            [] => Ok(self.last()),
            [a] => Ok(a),
            _ => Err(Error::input("one snapshot cannot show several redshifts")
                .key("simulator.redshifts")
                .value(&self.redshifts)
                .remedy("observe snapshots with networks that read fields of one redshift")),
        }
    }

    /// Refuses a snapshot of another box, moment or number of particles.
    fn fits(&self, header: &Header, a: f64) -> Result<()> {
        let differs = |key: &str, what: &str, theirs: f64, ours: f64, like: &str, remedy: &str| {
            Err(Error::input(format!("its {what} is {theirs}, the campaign's is {ours}{like}")).key(key).remedy(remedy))
        };
        let same = "observe with a campaign of the same box and time: the networks know no other";
        let ratio = header.box_size / self.box_size;
        if (ratio - 1.0).abs() > 1e-4 {
            let h = header.told("h").unwrap_or(1.0);
            let kpc = "if so, give it the attribute UnitLength_in_cm = 3.085678e21 in Header";
            let mpc = "if so, give it the attribute UnitLength_in_cm = 3.085678e24 in Header";
            let units = [
                (1e3, ": looks like kpc/h", kpc),
                (1e-3, ": looks like Mpc/h, though its unit is said to be kpc/h", mpc),
                (1e3 / h, ": looks like kpc without h", "give lengths in Mpc/h, and UnitLength_in_cm"),
                (1.0 / h, ": looks like Mpc without h", "give lengths in Mpc/h, and UnitLength_in_cm"),
            ];
            let like = units.into_iter().find(|(unit, ..)| (ratio / unit - 1.0).abs() < 1e-3);
            let (_, like, remedy) = like.unwrap_or((1.0, "", same));
            return differs("Header/BoxSize", "box (Mpc/h)", header.box_size, self.box_size, like, remedy);
        }
        if (header.scale_factor - a).abs() > 1e-3 {
            return differs("Header/Time", "scale factor", header.scale_factor, a, "", same);
        }
        let total = (self.particles as u64).pow(3);
        if header.npart != total {
            let (theirs, ours) = (header.npart as f64, total as f64);
            return differs("Header/NumPart_Total", "number of particles", theirs, ours, "", same);
        }
        Ok(())
    }
}

impl<T: Real + Element> Pm<T> {
    /// Serial: what a header says; refused where the wanted fields cannot be measured of this snapshot.
    pub(super) fn judge(&self, path: &Path, header: &Header, look: &Look) -> Result<Seen> {
        let a = self.config.moment_wanted(look.fields)?;
        self.config.fits(header, a).map_err(|e| e.file(path))?;
        header.check_matter().map_err(|e| e.file(path))?;
        let needs = needs::<T>(&self.config, a, look.fields);
        let bad = |key: &str, problem: String, remedy: &str| Error::input(problem).file(path).key(key).remedy(remedy);
        let told: Vec<(String, f64)> =
            self.names.iter().filter_map(|n| header.told(n).map(|value| (n.clone(), value))).collect();
        if needs.velocities && !header.has_velocities {
            let problem = "are not there, but halos, galaxies and redshift space need them".into();
            return Err(bad("PartType1/Velocities", problem, "give a snapshot with velocities"));
        }
        let lacks = |name: &&String| HodConfig::NAMES.contains(&name.as_str()) && header.told(name).is_none();
        let occupation: Vec<&str> = self.names.iter().filter(lacks).map(String::as_str).collect();
        if needs.occupation && !occupation.is_empty() {
            let lacking = occupation.join(", ");
            let problem = format!("lacks {lacking}: particles have no galaxies but those of a halo occupation");
            let remedy =
                "write them as attributes of the file's root, or observe with a network that reads no galaxies";
            return Err(bad(&lacking, problem, remedy));
        }
        let (theirs, ours) = (header.box_size, self.config.box_size);
        let mut warnings = vec![];
        // Beyond the rounding of single precision.
        if (theirs / ours - 1.0).abs() > 1e-6 {
            warnings.push(format!("its box is {theirs} Mpc/h: positions are scaled to the campaign's, {ours}"));
        }
        let cosmology = match self.cosmology_told(header, &mut warnings) {
            Err(e) if needs.cosmology => return Err(e.file(path)),
            cosmology => cosmology.ok(),
        };
        Ok(Seen { a, cosmology, told, lattice: needs.lattice, warnings })
    }

    /// The cosmology of a snapshot: what its root or its header tell, and the campaign's fixed values for the rest.
    fn cosmology_told(&self, header: &Header, warnings: &mut Vec<String>) -> Result<Cosmology> {
        let (mut fixed, mut values, mut lacking) = (self.cosmology.clone(), vec![], vec![]);
        for name in NAMES {
            let varied = self.names.iter().any(|n| stands_for(n) == name);
            // What is said takes the place of what the campaign fixes.
            let ours = fixed.value_mut(name).and_then(Option::take);
            let value = match (header.told(name), varied) {
                (Some(told), true) => Some(told),
                (Some(told), false) => {
                    match ours.or(by_default(name)) {
                        Some(known) if alike(name, told, known) => ours,
                        known => {
                            warnings.extend(known.map(|known| {
                            format!("its {name} is {told}, the campaign's universes have {known}: networks know no other")
                        }));
                            Some(told)
                        }
                    }
                }
                (None, true) if UNSEEN.contains(&name) => self.middle.map(|middle| match name {
                    "Omega_b" => middle.omega_b(),
                    "n_s" => middle.n_s(),
                    _ => middle.sigma8(),
                }),
                (None, true) => {
                    lacking.push(name);
                    None
                }
                (None, false) => ours,
            };
            values.extend(value.map(|value| (name, value)));
        }
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            let problem = "is not told, but halos, galaxies and redshift space need it";
            return Err(Error::input(problem).key(lacking).remedy(
                "write it as an attribute of the file's root (Omega_m as Omega0, h as HubbleParam in Header), or \
                 observe with a network that reads no such field",
            ));
        }
        fixed.resolve(&values).map_err(|e| {
            let name = e.key.as_deref().and_then(|key| key.rsplit('.').next()).unwrap_or("Header").to_string();
            let problem = format!("the cosmology that it tells is impossible: {}", e.problem);
            Error { value: e.value, ..Error::input(problem).key(name).remedy("correct it in the file") }
        })
    }

    /// A universe from a snapshot, and its parameters where all of them are told. Collective.
    pub(super) fn load_snapshot(
        &self,
        comm: &Comm,
        path: &Path,
        look: &Look,
    ) -> Result<(PmState<T>, Option<Vec<f64>>)> {
        let header = comm.on_root(|| gadget::header(path))?;
        let seen = comm.agree(self.judge(path, &header, look))?;
        if comm.is_root() {
            seen.warnings.iter().for_each(|warning| log::warn!("{}: {warning}", path.display()));
        }
        let snapshot = comm.agree(gadget::read_particles(comm, path, header, look.velocities))?;
        if seen.lattice && !snapshot.own_ids {
            return Err(Error::input("are no numbers of lattice points, by which positions and velocities are sorted")
                .file(path)
                .key("PartType1/ParticleIDs")
                .remedy("give the identities of the initial conditions, N different numbers in a row"));
        }
        let (l, to_momentum) = (T::of(self.config.box_size), snapshot.header.scale_factor / 100.0);
        // Particles near the upper faces of a larger box would come out at the lower ones.
        let scale = self.config.box_size / snapshot.header.box_size;
        let momentum = match snapshot.header.has_velocities {
            true => snapshot.velocities.iter().map(|v| v.map(|v| T::of(v * to_momentum))).collect(),
            false => vec![[T::zero(); 3]; snapshot.positions.len()],
        };
        let mut particles = Particles {
            position: snapshot.positions.iter().map(|x| x.map(|x| wrap(T::of(x * scale), l))).collect(),
            momentum,
            id: snapshot.ids,
            ..Default::default()
        };
        Domain::new(&self.mesh_decomposition(comm)?, self.config.box_size).exchange(&mut particles);
        let truth = (seen.told.len() == self.names.len()).then(|| seen.told.iter().map(|t| t.1).collect());
        let origin = Origin { varied: seen.told, ..Default::default() };
        let wanted = look.fields.map(<[String]>::to_vec);
        Ok((PmState { particles, a: seen.a, earlier: vec![], cosmology: seen.cosmology, origin, wanted }, truth))
    }
}

/// What a parameter is where nobody fixes it.
fn by_default(name: &str) -> Option<f64> {
    let Extension { omega_k, w0, wa, m_nu, .. } = Extension::default();
    [("Omega_k", omega_k), ("w0", w0), ("wa", wa), ("M_nu", m_nu)].into_iter().find(|d| d.0 == name).map(|d| d.1)
}

/// Equal as far as headers tell: what is left of other densities, and dark energy's pressure, within 0.005.
fn alike(name: &str, told: f64, known: f64) -> bool {
    let within = if by_default(name).is_some() { 5e-3 } else { 1e-3 * known.abs() };
    (told - known).abs() <= within
}
