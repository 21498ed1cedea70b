//! What is looked at: each product of a universe describes its fields and measures them, moment by moment.

mod cones;
mod density;
mod halos;
mod lensing;
mod particles;
mod spectra;
mod sphere;

pub(super) use cones::{Cones, Lensing};
pub(super) use lensing::{LensingProduct, PLANES, SURVEY, restore_planes};
pub(super) use sphere::SphereProduct;

use super::config::PmConfig;
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::io::field::{Axis, Data, Dtype, Field, FieldSpec};
use crate::io::hdf::Element;
use crate::io::identity::{DIGITS, digest_again};
use crate::mesh::{Decomposition, Real};
use crate::observables::{Galaxies, HaloCatalogue, HodConfig, PeriodicBox, find_halos, populate};
use crate::particles::Particles;
use crate::simulators::Section;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A universe at one moment, and what several products need of it, made when first asked for.
pub(super) struct Moment<'a, T> {
    pub comm: &'a Comm,
    pub config: &'a PmConfig,
    /// Force mesh.
    pub mesh: &'a Decomposition,
    pub particles: &'a Particles<T>,
    /// Scale factor.
    pub a: f64,
    /// `None` for a snapshot that does not tell.
    pub cosmology: Option<&'a Cosmology>,
    /// Row of the design.
    pub index: u64,
    /// Seed and realisation of what is drawn at random.
    pub seeds: [u64; 2],
    /// Halo occupation with this universe's parameters.
    pub hod: HodConfig,
    /// Where a snapshot of this moment goes, if there is to be one, and its true parameters.
    pub snapshot: Option<(PathBuf, Vec<(String, f64)>)>,
    /// Names of the fields that are measured; all when `None`.
    pub wanted: Option<&'a [String]>,
    pub halos: OnceCell<HaloCatalogue>,
    pub galaxies: OnceCell<Galaxies>,
}

impl<T: Real> Moment<'_, T> {
    /// Particles over all ranks.
    pub fn total(&self) -> u64 {
        (self.config.particles as u64).pow(3)
    }

    fn cosmology(&self) -> Result<&Cosmology> {
        // An observation without one was refused before: what its products need is known.
        self.cosmology.ok_or_else(|| Error::failed("a product needs a cosmology, and there is none"))
    }

    fn now(&self) -> Result<PeriodicBox<'_>> {
        Ok(PeriodicBox { cosmology: self.cosmology()?, a: self.a, box_size: self.config.box_size })
    }

    /// The halo catalogue. Collective.
    fn halos(&self) -> Result<&HaloCatalogue> {
        let config = self.config.halos.clone().unwrap_or_default();
        let now = self.now()?;
        Ok(self.halos.get_or_init(|| find_halos(self.comm, &config, self.particles, self.config.particles, &now)))
    }

    /// The galaxies. Collective.
    fn galaxies(&self) -> Result<&Galaxies> {
        if let Some(galaxies) = self.galaxies.get() {
            return Ok(galaxies);
        }
        let [seed, realisation] = self.seeds;
        let galaxies = populate(self.comm, &self.hod, self.halos()?, &self.now()?, seed, realisation)?;
        Ok(self.galaxies.get_or_init(|| galaxies))
    }
}

/// The numbers of one field: on the root alone, or this rank's rows.
pub(super) enum Values {
    Root(Data),
    Rows(usize, Data),
}

/// What a product is measured from beside positions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    pub velocities: bool,
    pub cosmology: bool,
    /// Parameters of the halo occupation.
    pub occupation: bool,
    /// Identities that are points of the initial lattice.
    pub lattice: bool,
}

impl Needs {
    /// Of what is told of halos.
    pub const HALOS: Needs = Needs { velocities: true, cosmology: true, occupation: false, lattice: false };
    /// Of what is told of galaxies.
    pub const GALAXIES: Needs = Needs { occupation: true, ..Needs::HALOS };

    /// What both need.
    fn and(self, other: Needs) -> Needs {
        Needs {
            velocities: self.velocities || other.velocities,
            cosmology: self.cosmology || other.cosmology,
            occupation: self.occupation || other.occupation,
            lattice: self.lattice || other.lattice,
        }
    }
}

/// A product: fields that are alike for all universes. Their names get a suffix where several moments are looked at.
pub(super) trait Product<T> {
    /// Descriptions of its fields.
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec>;
    /// The sections and keys of `[simulator]` that say how it is looked at.
    fn keys(&self) -> &'static [&'static str];
    /// What else than positions it is measured from.
    fn needs(&self) -> Needs {
        Needs::default()
    }
    /// Their numbers, in the same order. Collective.
    fn measure(&self, moment: &Moment<T>) -> Result<Vec<Values>>;
}

/// The products that a configuration asks for.
pub(super) fn products<T: Real + Element>(config: &PmConfig) -> Vec<Box<dyn Product<T>>> {
    let mut all: Vec<Box<dyn Product<T>>> = vec![];
    if let Some(c) = &config.maps {
        all.push(Box::new(density::Maps(c.clone())));
    }
    if let Some(c) = &config.density {
        all.push(Box::new(density::Density(c.clone())));
    }
    if let Some(c) = &config.pdf {
        all.push(Box::new(density::Pdf(c.clone())));
    }
    if let Some(c) = &config.power {
        all.push(Box::new(spectra::Power(c.clone())));
    }
    if let Some(c) = &config.multipoles {
        all.push(Box::new(spectra::Multipoles(c.clone())));
    }
    if let Some(c) = &config.bispectrum {
        all.push(Box::new(spectra::Bispectrum(c.clone())));
    }
    if config.halos.is_some() {
        all.push(Box::new(halos::Halos));
    }
    if let Some(c) = &config.mass_function {
        all.push(Box::new(halos::MassFunctionOf(c.clone())));
    }
    if config.galaxies.is_some() {
        all.push(Box::new(halos::GalaxiesOf));
    }
    if let (Some(_), Some(c)) = (&config.galaxies, &config.power) {
        all.push(Box::new(spectra::GalaxyPower(c.clone())));
    }
    if config.keep_particles {
        all.push(Box::new(particles::Columns));
    }
    if config.snapshots {
        all.push(Box::new(particles::Snapshot));
    }
    all
}

/// Descriptions of all products' fields at scale factor `a`.
pub(super) fn specs_at<T: Real + Element>(config: &PmConfig, a: f64) -> Vec<FieldSpec> {
    let (suffix, eyes) = (config.suffix(a), Eyes::of(config));
    let of = |p: Box<dyn Product<T>>| {
        let keys = p.keys();
        p.specs(config).into_iter().map(|spec| eyes.give(spec, keys)).collect::<Vec<_>>()
    };
    let mut specs: Vec<FieldSpec> = products::<T>(config).into_iter().flat_map(of).collect();
    for spec in &mut specs {
        spec.name += &suffix;
        spec.description += &format!("; a = {a}");
    }
    specs
}

/// What those products need whose fields at scale factor `a` are wanted.
pub(super) fn needs<T: Real + Element>(config: &PmConfig, a: f64, wanted: Option<&[String]>) -> Needs {
    let suffix = config.suffix(a);
    let all = products::<T>(config);
    let looked_at = all.iter().filter(|p| shows(&p.specs(config), &suffix, wanted));
    looked_at.fold(Needs::default(), |all, p| all.and(p.needs()))
}

/// True if one of these fields is wanted.
fn shows(specs: &[FieldSpec], suffix: &str, wanted: Option<&[String]>) -> bool {
    let named = |name: &String| specs.iter().any(|s| name.strip_suffix(suffix) == Some(&s.name));
    wanted.is_none_or(|names| names.iter().any(named))
}

/// All products' fields at one moment, as [`specs_at`] describes them; of the wanted products where only some are.
/// Collective.
pub(super) fn measure<T: Real + Element>(moment: &Moment<T>) -> Result<Vec<Field>> {
    let suffix = moment.config.suffix(moment.a);
    let mut specs = specs_at::<T>(moment.config, moment.a).into_iter();
    let mut fields = vec![];
    for product in products::<T>(moment.config) {
        let own = product.specs(moment.config);
        let specs: Vec<FieldSpec> = specs.by_ref().take(own.len()).collect();
        if !shows(&own, &suffix, moment.wanted) {
            continue;
        }
        let values = moment.comm.agree(product.measure(moment))?;
        fields.extend(values.into_iter().zip(specs).map(|(values, spec)| field(moment.comm, spec, values)));
    }
    Ok(fields)
}

pub(super) fn field(comm: &Comm, spec: FieldSpec, values: Values) -> Field {
    match values {
        Values::Rows(rows, data) => Field { rows, data, spec },
        Values::Root(data) => Field::on_root(comm, spec, data),
    }
}

/// A description; `ragged` where the first axis varies.
fn spec(name: &str, shape: &[usize], axes: Vec<Axis>, unit: &str, description: &str, dtype: Dtype) -> FieldSpec {
    let (unit, description, ragged) = (unit.into(), description.into(), shape[0] == 0);
    FieldSpec { axes, unit, description, ragged, dtype, ..FieldSpec::of(name, shape, &[]) }
}

/// What fields of a configuration are seen with.
struct Eyes {
    /// `[simulator]`, digests in the place of files' names.
    section: serde_json::Value,
    numerics: BTreeMap<&'static str, u32>,
}

impl Eyes {
    fn of(config: &PmConfig) -> Eyes {
        let mut seen = config.clone();
        // Mass function and galaxies have halos, whether these are asked for or not.
        seen.halos.get_or_insert_default();
        // One that cannot be read is refused where it is needed.
        let content = |path: &PathBuf| digest_again(path).map_or(path.clone(), |digest| digest[..DIGITS].into());
        seen.files_mut().into_iter().for_each(|(_, path)| *path = content(path));
        Eyes { section: serde_json::to_value(seen).unwrap_or_default(), numerics: config.numerics() }
    }

    /// A field that is seen with these keys.
    fn give(&self, mut spec: FieldSpec, keys: &[&str]) -> FieldSpec {
        for key in keys {
            let value = self.section.pointer(&format!("/{}", key.replace('.', "/")));
            spec.seen.insert(format!("simulator.{key}"), value.cloned().unwrap_or_default());
            let version = self.numerics.get(key).map(|version| (format!("numerics.{key}"), (*version).into()));
            spec.seen.extend(version);
        }
        spec
    }
}
