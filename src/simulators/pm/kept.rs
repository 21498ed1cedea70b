//! What was kept of a finished universe, looked at again: the products that it still shows, made without simulating.

use super::products::{Lensing, LensingProduct, PLANES, SURVEY, SphereProduct, restore_planes};
use super::{Origin, Pm, PmState};
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::field::{Data, Field, FieldSpec};
use crate::io::gadget::{self, Universe};
use crate::io::hdf::Element;
use crate::mesh::Real;
use crate::observables::HaloCatalogue;
use crate::observables::lensing::{LensingMaps, Method, Planes, SkyPlanes, Traced};
use crate::particles::{Domain, Particles};
use crate::progress::first_time;
use crate::simulators::{Job, Kept, Look, Simulator};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Products of halos alone.
const OF_HALOS: [&str; 2] = ["mass_function", "galaxies"];
/// Key of the halos that products are of.
const HALOS: &str = "simulator.halos";

/// What some fields are made of again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Source {
    kept: Of,
    fields: Vec<String>,
}

/// The most exact first, but halos, which are as exact as the particles that they were found among.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Of {
    /// Halos of the dataset, at this scale factor.
    Halos(f64),
    /// A snapshot, at this scale factor.
    Snapshot(f64, PathBuf),
    /// Particles of the dataset, at this scale factor: in single precision, and in another order.
    Particles(f64),
    /// Lens planes of the dataset.
    Planes,
    /// Lensing maps of the dataset, in single precision, which a survey is yet to see or has seen.
    Maps(bool),
}

impl<T: Real + Element> Pm<T> {
    /// Serial: what each of the wanted fields is made of; refused where nothing was kept for one.
    pub(super) fn sources(&self, job: &Job, wanted: &[String], kept: &Kept) -> Result<Vec<Source>> {
        let c = &self.config;
        let (own, cone) = (Simulator::specs(self), Lensing::of(c).map_or(vec![], |l| l.specs()));
        let (sky, particles): (Vec<String>, Vec<String>) =
            wanted.iter().cloned().partition(|name| cone.iter().any(|s| &s.name == name));
        let (mut sources, mut lost) = (vec![], vec![]);
        if !sky.is_empty() {
            let maps = self.maps_kept(&cone, kept);
            match kept.spec(PLANES) {
                Some(_) => sources.push(Source { kept: Of::Planes, fields: sky }),
                None if maps.is_some() && !sky.iter().any(|name| name == PLANES) => {
                    sources.extend(maps.map(|survey| Source { kept: Of::Maps(survey), fields: sky }));
                }
                None => lost.extend(sky),
            }
        }
        for a in c.moments() {
            let suffix = c.suffix(a);
            let of = |name: &&String| c.moment_of(name) == a;
            let fields: Vec<String> = particles.iter().filter(of).cloned().collect();
            let there = |name: &str| kept.spec(&format!("{name}{suffix}"));
            // Halos as the wanted field has them.
            let halos = |name: &String| {
                let now = own.iter().find(|s| &s.name == name).and_then(|s| s.seen.get(HALOS));
                let of_halos = name.strip_suffix(&suffix).is_some_and(|name| OF_HALOS.contains(&name));
                of_halos && there("halos").is_some_and(|was| was.seen.get(HALOS) == now)
            };
            let (of_halos, others): (Vec<String>, Vec<String>) = fields.into_iter().partition(halos);
            if !of_halos.is_empty() {
                sources.push(Source { kept: Of::Halos(a), fields: of_halos });
            }
            let snapshot = job.folder.map(|folder| self.snapshot(folder, job.index, a)).filter(|path| path.exists());
            let columns = there("position").and(there("velocity")).map(|_| Of::Particles(a));
            match snapshot.map(|path| Of::Snapshot(a, path)).or(columns) {
                _ if others.is_empty() => {}
                Some(kept) => sources.push(Source { kept, fields: others }),
                None => lost.extend(others),
            }
        }
        if lost.is_empty() {
            return Ok(sources);
        }
        let problem = format!("nothing was kept of simulation {} that shows {}", job.index, lost.join(", "));
        let (key, keep) = match lost.iter().all(|name| cone.iter().any(|s| &s.name == name)) {
            true => ("simulator.lightcone.keep_planes", "keep_planes = true in [simulator.lightcone]"),
            false => {
                ("simulator.snapshots", "snapshots = true in [simulator] (or keep_particles, or [simulator.halos])")
            }
        };
        let remedy = format!("set the keys back, or simulate into another output, with {keep} for the next time");
        Err(Error::input(problem).key(key).remedy(remedy))
    }

    /// Whether maps of the dataset show the wanted sources: `Some(true)` before noise and mask, `Some(false)` with those
    /// that are wanted.
    fn maps_kept(&self, cone: &[FieldSpec], kept: &Kept) -> Option<bool> {
        let survey = |key: &String| SURVEY.iter().any(|k| key.strip_prefix("simulator.lightcone.") == Some(k));
        let was = |name: &str| {
            let (now, was) = (cone.iter().find(|s| s.name == name)?, kept.spec(name)?);
            let differs = |key: &&String| now.seen.get(*key) != was.seen.get(*key);
            let other: Vec<&String> = now.seen.keys().filter(differs).collect();
            let bare = was.seen.iter().filter(|(key, _)| survey(key)).all(|(_, v)| v.is_null() || v == 0.0);
            match other.is_empty() {
                true => Some(false),
                false => (bare && other.into_iter().all(survey)).then_some(true),
            }
        };
        let traced = self.config.lightcone.as_ref().is_some_and(|c| c.method == Method::Raytrace || c.shear);
        let kappa = was("kappa")?;
        (!traced || was("shear") == Some(kappa)).then_some(kappa)
    }

    /// Serial: refuses a snapshot of another universe, without reading its particles.
    pub(super) fn check_source(&self, job: &Job, source: &Source) -> Result<()> {
        let Of::Snapshot(_, path) = &source.kept else { return Ok(()) };
        let remedy = format!("put back the snapshot of simulation {}, or remove this one", job.index);
        let (header, said) = gadget::header(path)
            .and_then(|header| Ok((header, gadget::universe(path)?)))
            .map_err(|e| e.file(path).remedy(&remedy))?;
        self.judge(path, &header, &Look { fields: Some(&source.fields), velocities: None })?;
        let own = universe(job);
        let told = |(name, value): (&str, f64)| header.truth.iter().any(|t| t.0 == name && t.1 == value);
        let is = said.as_ref().map_or(job.theta.iter().all(told), |said| *said == own);
        if is {
            return Ok(());
        }
        let problem = match said {
            Some(said) => format!("shows {said}, not {own}"),
            None => format!("does not show the parameters of {own}"),
        };
        Err(Error::input(problem).file(path).key("polycosm/universe").remedy(remedy))
    }

    /// The wanted fields of what was kept. Collective.
    pub(super) fn look_again(&self, comm: &Comm, job: &Job, wanted: &[String], kept: &Kept) -> Result<Vec<Field>> {
        let sources = comm.on_root(|| {
            let sources = self.sources(job, wanted, kept)?;
            sources.iter().try_for_each(|source| self.check_source(job, source))?;
            Ok(sources)
        })?;
        self.config.fft_plans.prepare(comm, job.folder);
        let cosmology = self.cosmology(job.theta)?;
        // Without a folder no snapshot is written.
        let origin = Origin { folder: None, ..Origin::of(job) };
        let mut fields = vec![];
        for Source { kept: of, fields: names } in &sources {
            let look = |particles, a, halos| {
                self.look(comm, &particles, a, Some(&cosmology), &origin, Some(names.as_slice()), halos)
            };
            fields.extend(match of {
                Of::Halos(a) => look(Particles::default(), *a, Some(self.halos(comm, kept, *a)?))?,
                Of::Snapshot(a, path) => look(self.restored(comm, path, *a, names)?, *a, None)?,
                Of::Particles(a) => look(self.columns(comm, kept, *a)?, *a, None)?,
                Of::Planes | Of::Maps(_) => self.sky(comm, job, kept, of)?,
            });
        }
        fields.retain(|field| wanted.contains(&field.spec.name));
        Ok(fields)
    }

    /// The particles of a snapshot on their ranks, to the last bit where it was written on the same process grid.
    fn restored(&self, comm: &Comm, path: &Path, a: f64, fields: &[String]) -> Result<Particles<T>> {
        let mesh = self.mesh_decomposition(comm)?;
        let say = |why: &str| {
            let told = format!("{why}: what is made of them is equal to rounding");
            if comm.is_root() && first_time(&told) {
                log::info!("{}: {told}", path.display());
            }
        };
        let Some(back) = gadget::restore::<T>(comm, path, a, mesh.grid())? else {
            say("snapshots of an older program do not have exact momenta");
            let (PmState { particles, .. }, _) =
                self.load_snapshot(comm, path, &Look { fields: Some(fields), velocities: None })?;
            return Ok(particles);
        };
        if !back.same_ranks {
            say("snapshots were written by other ranks, and particles come in another order");
        }
        let (position, momentum, id) = (back.position, back.momentum, back.id);
        let mut particles = Particles { position, momentum, id, ..Default::default() };
        Domain::new(&mesh, self.config.box_size).exchange(&mut particles);
        Ok(particles)
    }

    /// The particles of the dataset on their ranks.
    fn columns(&self, comm: &Comm, kept: &Kept, a: f64) -> Result<Particles<T>> {
        let told = "particles of the dataset are in single precision, and in another order: what is made of them is equal \
                    to rounding";
        if comm.is_root() && first_time(told) {
            log::info!("{told}");
        }
        let suffix = self.config.suffix(a);
        let column = |name: &str, scale: f64| -> Result<Vec<[T; 3]>> {
            let mine = spread(comm, on_root::<f32>(comm, kept, &format!("{name}{suffix}"))?, 3);
            Ok(mine.chunks_exact(3).map(|x| [x[0], x[1], x[2]].map(|x| T::of(x as f64 * scale))).collect())
        };
        let (position, momentum) = (column("position", 1.0)?, column("velocity", a / 100.0)?);
        let first = comm.offset(position.len()) as u64;
        let id = (first..first + position.len() as u64).collect();
        let mut particles = Particles { position, momentum, id, ..Default::default() };
        Domain::new(&self.mesh_decomposition(comm)?, self.config.box_size).exchange(&mut particles);
        Ok(particles)
    }

    /// The halos of the dataset, each rank its share.
    fn halos(&self, comm: &Comm, kept: &Kept, a: f64) -> Result<HaloCatalogue> {
        let name = format!("halos{}", self.config.suffix(a));
        let columns = HaloCatalogue::COLUMNS.len();
        Ok(HaloCatalogue::from_rows(&spread(comm, on_root::<f64>(comm, kept, &name)?, columns)))
    }

    /// The light cone's fields, of its planes or maps.
    fn sky(&self, comm: &Comm, job: &Job, kept: &Kept, of: &Of) -> Result<Vec<Field>> {
        if let Some(sphere) = SphereProduct::of(&self.config) {
            return self.sphere(&sphere, comm, job, kept, of);
        }
        let Some(lensing) = LensingProduct::of(&self.config) else { return Ok(vec![]) };
        let (cones, bins) = (lensing.lightcone.light_cones as usize, lensing.lightcone.bins());
        let pixels = lensing.lightcone.pixels.pow(2);
        if let Of::Maps(survey) = of {
            let kappa = on_root::<f32>(comm, kept, "kappa")?;
            let shear = match lensing.lightcone.method {
                Method::Born => None,
                Method::Raytrace => Some(on_root::<f32>(comm, kept, "shear")?),
            };
            // Views, bins, three components, pixels.
            let part = |all: &[f32], view: usize, k: usize| -> Vec<f64> {
                let bin = |b: usize| all.chunks_exact(pixels).nth(((view * bins) + b) * 3 + k).unwrap_or_default();
                (0..bins).flat_map(bin).map(|x| *x as f64).collect()
            };
            let maps = (0..cones).map(|view| LensingMaps {
                kappa: kappa
                    .chunks_exact(bins * pixels)
                    .nth(view)
                    .unwrap_or_default()
                    .iter()
                    .map(|x| *x as f64)
                    .collect(),
                traced: shear.as_ref().map(|all| Traced {
                    gamma: [part(all, view, 0), part(all, view, 1)],
                    omega: part(all, view, 2),
                    beta: Default::default(),
                }),
            });
            return lensing.measure_maps(comm, job, maps, *survey, &[]);
        }
        let (cone, sources) = comm.agree(lensing.cone(&self.cosmology(job.theta)?))?;
        let values = on_root::<f64>(comm, kept, PLANES)?;
        comm.agree(all_planes(comm, job, values.len() / pixels, cones * cone.slices.len()))?;
        let mut planes: Vec<Planes> = (0..cones).map(|_| Planes::new(comm, cone.clone())).collect();
        restore_planes(comm, planes.iter_mut(), &values, f64::INFINITY);
        lensing.measure(comm, job, &planes, &sources)
    }

    /// The fields of the light cone on the sphere, of its shells or maps.
    fn sphere(&self, sphere: &SphereProduct, comm: &Comm, job: &Job, kept: &Kept, of: &Of) -> Result<Vec<Field>> {
        let (cone, sources) = comm.agree(sphere.cone(&self.cosmology(job.theta)?))?;
        let (cones, pixels) = (sphere.lightcone.light_cones as usize, cone.footprint.count());
        let new = || SkyPlanes::new(comm, cone.clone());
        if let Of::Maps(survey) = of {
            let (kappa, layout) = (on_root::<f32>(comm, kept, "kappa")?, new().layout().clone());
            let part = |map: usize| -> Vec<f64> {
                let whole = if comm.is_root() { &kappa[map * pixels..(map + 1) * pixels] } else { &[] };
                layout.scatter(0, whole).into_iter().map(f64::from).collect()
            };
            let bins = sphere.lightcone.bins();
            let maps = (0..cones).map(|view| (0..bins).map(|b| part(view * bins + b)).collect());
            return sphere.measure_maps(comm, job, &layout, maps, *survey, &[]);
        }
        let values = on_root::<f32>(comm, kept, PLANES)?;
        let rows = values.len() / pixels;
        comm.agree(all_planes(comm, job, rows, cones * cone.slices.len()))?;
        let mut planes: Vec<SkyPlanes> = (0..cones).map(|_| new()).collect();
        SphereProduct::restore(comm, planes.iter_mut(), rows, &values, f64::INFINITY);
        sphere.measure(comm, job, &planes, &sources)
    }
}

/// On the root: refuses planes that are not as many as the sources see.
fn all_planes(comm: &Comm, job: &Job, kept: usize, seen: usize) -> Result<()> {
    if !comm.is_root() || kept == seen {
        return Ok(());
    }
    let index = job.index;
    let problem = format!("{kept} planes were kept of simulation {index}, and {seen} are seen by these sources");
    let error = Error::input(problem).key("simulator.lightcone.source_redshifts");
    Err(error.remedy("keep the farthest source where it was"))
}

fn universe(job: &Job) -> Universe {
    let (index, realisation, seed) = (job.index, job.realisation, job.seed);
    Universe { index, realisation, seed, theta: job.theta.values().to_vec() }
}

/// Collective: a field of the dataset on the root, nothing elsewhere.
fn on_root<E: crate::io::dataset::Real>(comm: &Comm, kept: &Kept, name: &str) -> Result<Vec<E>> {
    let read = || {
        let spec = kept.spec(name).ok_or_else(|| Error::failed("is not there").key(name))?;
        Ok(E::of((kept.read)(spec)?))
    };
    comm.agree(if comm.is_root() { read() } else { Ok(E::of(Data::F32(vec![]))) })
}

/// Collective: this rank's contiguous share of the root's rows.
fn spread<E: crate::comm::Wire>(comm: &Comm, all: Vec<E>, columns: usize) -> Vec<E> {
    let counts = (0..comm.size()).map(|rank| columns * share(all.len() / columns, comm.size(), rank).1);
    comm.exchange(&all, &counts.collect::<Vec<_>>()).0
}
