//! Weak lensing of the light cone: convergence and shear maps, their spectra and peaks.

use super::{Eyes, Values, field, spec};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::fields::flat_sky::{AngularConfig, FlatSky, Map};
use crate::fields::peaks::PeakConfig;
use crate::gravity::{Factor, Factors};
use crate::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use crate::io::mask;
use crate::observables::lensing::{
    Cone, LensingMaps, LightCone, LightConeConfig, Method, Planes, Replicas, Sources, add_shape_noise, apply_mask,
};
use crate::simulators::Job;
use crate::simulators::pm::config::PmConfig;

/// Name of the planes' field, in the dataset and in checkpoints.
pub(in super::super) const PLANES: &str = "lens_planes";

/// Keys of `[simulator]` that say how maps are seen.
const MAPS: [&str; 6] = ["source_redshifts", "n_of_z", "method", "shape_noise", "mask", "mask_fill"];
/// Those of them that are for what is done to finished maps.
pub(in super::super) const SURVEY: [&str; 3] = ["shape_noise", "mask", "mask_fill"];

/// A drift's factor, from its three scale factors.
type Drift<'f> = Box<dyn Fn(f64, f64, f64) -> Factor + 'f>;

/// The light cones of one configuration.
pub(in super::super) struct LensingProduct<'a> {
    pub lightcone: &'a LightConeConfig,
    pub c_ell: Option<&'a AngularConfig>,
    pub peaks: Option<&'a PeakConfig>,
    config: &'a PmConfig,
}

impl<'a> LensingProduct<'a> {
    /// `None` where no light cone is asked for.
    pub fn of(config: &'a PmConfig) -> Option<Self> {
        let lightcone = config.lightcone.as_ref()?;
        Some(LensingProduct { lightcone, c_ell: config.c_ell.as_ref(), peaks: config.peaks.as_ref(), config })
    }

    /// The geometry of every cone, and the sources at its end; refused where a cosmology does not allow them, or the
    /// steps do not cover them.
    pub fn cone(&self, cosmology: &Cosmology) -> Result<(Cone, Sources)> {
        let (sources, time) = (Sources::new(self.lightcone, cosmology)?, &self.config.time);
        let cone = Cone::new(self.lightcone, self.config.box_size, cosmology, sources.farthest())?;
        cone.check_time(time.start(), self.config.last()).map_err(|e| match &time.scale_factors {
            _ if self.config.last() < time.end() => {
                e.key("simulator.redshifts").remedy("add 0.0: no step is taken after the last redshift")
            }
            Some(_) => e.key("simulator.time.scale_factors").remedy("let the last of them be 1.0"),
            None => e.key("simulator.time.a_end").remedy("set it to 1.0, or leave it out"),
        })?;
        Ok((cone, sources))
    }

    /// One observer for each light cone through a universe.
    pub fn observers<'f>(
        &self,
        comm: &Comm,
        job: &Job,
        factors: &'f Factors<'f>,
        total: u64,
    ) -> Result<(Vec<LightCone<Drift<'f>>>, Sources)> {
        let (cone, sources) = self.cone(factors.cosmology)?;
        let observer = |view| {
            let replicas = match self.lightcone.randomise {
                true => Replicas::random(job.seed, job.realisation, view),
                false => Replicas::plain(),
            };
            let drift: Drift = Box::new(|from, at, to| factors.drift(from, at, to));
            LightCone::new(comm, cone.clone(), replicas, total, drift)
        };
        Ok(((0..self.lightcone.light_cones).map(observer).collect(), sources))
    }

    /// The same field of several light cones: an axis more, unless there is but one.
    fn of_cones(&self, mut spec: FieldSpec) -> FieldSpec {
        if self.lightcone.light_cones > 1 {
            spec.shape.insert(0, self.lightcone.light_cones as usize);
            spec.axes.insert(0, Axis::new(AxisKind::View, "light_cone", ""));
        }
        spec
    }

    fn bins(&self) -> Axis {
        let z = self.lightcone.source_redshifts.iter().map(|z| format!("z = {z}"));
        let n_of_z = self.lightcone.n_of_z.iter().enumerate().flat_map(|(i, n)| {
            let several = n.bins() > 1;
            (0..n.bins()).map(move |b| if several { format!("n_of_z {i} bin {b}") } else { format!("n_of_z {i}") })
        });
        Axis::named(AxisKind::Channel, "source", z.chain(n_of_z))
    }

    /// A side of a map: the angles of its pixels' centres from the map's own.
    fn side(&self, name: &str) -> Axis {
        let (n, field) = (self.lightcone.pixels, self.lightcone.field_of_view_deg);
        let angle = |i: usize| (i as f64 + 0.5 - 0.5 * n as f64) * field / n as f64;
        Axis::at(AxisKind::Flat, name, "deg", (0..n).map(angle).collect())
    }

    /// Pairs of source bins a ≤ b.
    fn pairs(&self) -> Vec<[usize; 2]> {
        let bins = self.lightcone.bins();
        (0..bins).flat_map(|a| (a..bins).map(move |b| [a, b])).collect()
    }

    /// Descriptions of its fields.
    pub fn specs(&self) -> Vec<FieldSpec> {
        let (bins, n, field) = (self.lightcone.bins(), self.lightcone.pixels, self.lightcone.field_of_view_deg);
        let how = match self.lightcone.method {
            Method::Born => "Born approximation",
            Method::Raytrace => "ray tracing",
        };
        let what = format!("lensing convergence by {how} over {field}° × {field}°");
        let axes = vec![self.bins(), self.side("row"), self.side("column")];
        let mut specs = vec![spec("kappa", &[bins, n, n], axes, "", &what, Dtype::F32)];
        if self.lightcone.method == Method::Raytrace {
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2", "omega"]);
            let component = Axis { spins: vec![2, 2, 0], ..component };
            let axes = vec![self.bins(), component, self.side("row"), self.side("column")];
            specs.push(spec("shear", &[bins, 3, n, n], axes, "", "shear γ1, γ2 and rotation ω", Dtype::F32));
        }
        if let Some(c) = self.c_ell {
            // Bins that cannot be made were refused by `check`.
            let ell = c.ell_bins(n, field).map_or(Axis::new(AxisKind::Bin, "ell", ""), |bins| {
                let (mean, modes) = AngularConfig::modes_of(&bins, n, field);
                Axis { modes, ..Axis::bins("ell", "", mean, bins.edges().to_vec()) }
            });
            let pairs = self.pairs();
            let axes = vec![Axis::named(AxisKind::Channel, "pair", pairs.iter().map(|[a, b]| format!("{a} {b}"))), ell];
            let what = "angular power spectra of the convergence, noise and mask included";
            specs.push(spec("c_ell", &[pairs.len(), c.bins], axes, "sr", what, Dtype::F64));
        }
        if let Some(c) = self.peaks {
            let height = c.height_bins().map_or(Axis::new(AxisKind::Bin, "height", ""), |bins| {
                Axis::bins("height", "", bins.middles(), bins.edges().to_vec())
            });
            let axes = vec![self.bins(), height];
            let what = format!("peaks of the convergence smoothed over {}°", c.smoothing);
            specs.push(spec("peaks", &[bins, c.bins], axes, "", &what, Dtype::I64));
        }
        let eyes = Eyes::of(self.config);
        let seen = |spec: FieldSpec| {
            let own = [spec.name.clone()].into_iter().filter(|name| ["c_ell", "peaks"].contains(&name.as_str()));
            let keys: Vec<String> = MAPS.iter().map(|key| format!("lightcone.{key}")).chain(own).collect();
            eyes.give(spec, &keys.iter().map(String::as_str).collect::<Vec<_>>())
        };
        specs = specs.into_iter().map(|spec| self.of_cones(seen(spec))).collect();
        if self.lightcone.keep_planes {
            specs.push(planes_spec(n));
        }
        specs
    }

    /// Its fields, from the planes of a finished universe's light cones. Collective.
    pub fn measure(&self, comm: &Comm, job: &Job, cones: &[Planes], sources: &Sources) -> Result<Vec<Field>> {
        let maps = cones.iter().map(|planes| LensingMaps::new(self.lightcone.method, planes, sources));
        self.measure_maps(comm, job, maps, true, cones)
    }

    /// Its fields, from the maps of each light cone, which a `survey` is yet to see or has seen, and their planes. Maps
    /// are made one after the other. Collective.
    pub fn measure_maps(
        &self,
        comm: &Comm,
        job: &Job,
        maps: impl Iterator<Item = LensingMaps>,
        survey: bool,
        cones: &[Planes],
    ) -> Result<Vec<Field>> {
        let mut values: Vec<Data> = vec![];
        for (view, mut maps) in maps.enumerate() {
            let mut on_root = || self.on_root(job, view, &mut maps, survey);
            let seen = comm.agree(if comm.is_root() { on_root() } else { Ok(vec![]) })?;
            match view {
                0 => values = seen,
                _ => values.iter_mut().zip(seen).for_each(|(all, one)| all.append(one)),
            }
        }
        let mut values = values.into_iter();
        let empty = |spec: &FieldSpec| Data::fill(spec.dtype, 0);
        let mut fields = vec![];
        for spec in self.specs() {
            fields.push(if spec.name == PLANES {
                planes_field(comm, cones)
            } else {
                let data = values.next().unwrap_or_else(|| empty(&spec));
                field(comm, spec, Values::Root(data))
            });
        }
        Ok(fields)
    }

    /// The fields of light cone number `view`.
    fn on_root(&self, job: &Job, view: usize, maps: &mut LensingMaps, survey: bool) -> Result<Vec<Data>> {
        let (n, side) = (self.lightcone.pixels, self.lightcone.field_of_view_deg);
        let pixel = (side / n as f64).to_radians();
        let mask = self.mask()?;
        for (i, map) in maps.kappa.chunks_exact_mut(n * n).enumerate() {
            if let Some(noise) = self.lightcone.shape_noise.as_ref().filter(|_| survey) {
                let index = view * self.lightcone.bins() + i;
                add_shape_noise(map, noise, pixel, job.seed, job.realisation, index as u64);
            }
        }
        let fill = self.lightcone.mask_fill;
        if let Some(mask) = &mask {
            apply_mask(&mut maps.kappa, n, mask, fill)?;
        }
        let narrow = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let mut all = vec![Data::F32(narrow(&maps.kappa))];
        if let Some(traced) = &mut maps.traced {
            for part in traced.gamma.iter_mut().chain([&mut traced.omega]) {
                if let Some(mask) = &mask {
                    apply_mask(part, n, mask, fill)?;
                }
            }
            let bin = |b: usize| {
                let of = |x: &[f64]| narrow(&x[b * n * n..(b + 1) * n * n]);
                [of(&traced.gamma[0]), of(&traced.gamma[1]), of(&traced.omega)].concat()
            };
            all.push(Data::F32((0..self.lightcone.bins()).flat_map(bin).collect()));
        }
        let mut sky = FlatSky::new(n, side)?;
        let map = |b: usize| Map { values: &maps.kappa[b * n * n..(b + 1) * n * n], mask: mask.as_deref() };
        if let Some(c) = self.c_ell {
            let bins = c.ell_bins(n, side)?;
            let mut spectra = vec![];
            for [a, b] in self.pairs() {
                let second = (a != b).then(|| map(b));
                spectra.extend(sky.c_ell(&bins, map(a), second, c.pixel_window)?.c_ell);
            }
            all.push(Data::F64(spectra));
        }
        if let Some(c) = self.peaks {
            let mut counts = vec![];
            for b in 0..self.lightcone.bins() {
                counts.extend(c.count(&mut sky, map(b), None)?.into_iter().map(|n| n as i64));
            }
            all.push(Data::I64(counts));
        }
        Ok(all)
    }

    /// The mask: the array `mask` of an HDF5 file, numbers from 0 to 1.
    pub fn mask(&self) -> Result<Option<Vec<f64>>> {
        let Some(path) = &self.lightcone.mask else { return Ok(None) };
        let n = self.lightcone.pixels;
        let (shape, mask) = mask::read(path).map_err(|e| e.key("simulator.lightcone.mask"))?;
        if shape != [n, n] {
            let problem = format!("its array `mask` has shape {shape:?}, the maps [{n}, {n}]");
            let remedy = "give a mask with the maps' pixels, or change simulator.lightcone.pixels";
            return Err(Error::input(problem).key("simulator.lightcone.mask").value(path).remedy(remedy));
        }
        Ok(Some(mask))
    }
}

/// Their number depends on the cosmology.
fn planes_spec(pixels: usize) -> FieldSpec {
    let pixel = |name: &str| Axis::new(AxisKind::Flat, name, "pixel");
    let axes = vec![Axis::new(AxisKind::Index, "plane", ""), pixel("row"), pixel("column")];
    let what = "∫ δ dχ over each slice of a light cone, from near to far, one cone after the other";
    spec(PLANES, &[0, pixels, pixels], axes, "Mpc/h", what, Dtype::F64)
}

/// The planes of all light cones seen so far, zeros for those to come. Collective.
pub(in super::super) fn planes_field<'p>(comm: &Comm, cones: impl IntoIterator<Item = &'p Planes>) -> Field {
    let cones: Vec<&Planes> = cones.into_iter().collect();
    let pixels = cones.first().map_or(0, |planes| planes.cone().pixels);
    let rows = if comm.is_root() { cones.iter().map(|planes| planes.len()).sum() } else { 0 };
    // All of them weigh as much as a universe: there is room for them once.
    let mut values = Vec::with_capacity(rows * pixels * pixels);
    cones.iter().for_each(|planes| planes.append_on_root(&mut values));
    field(comm, planes_spec(pixels), Values::Rows(rows, Data::F64(values)))
}

/// Puts back the planes of all light cones, of which the root has the numbers, that had been seen at scale factor `a`.
/// Collective.
pub(in super::super) fn restore_planes<'p>(
    comm: &Comm,
    cones: impl IntoIterator<Item = &'p mut Planes>,
    values: &[f64],
    a: f64,
) {
    let mut first = 0;
    for planes in cones {
        let size = planes.cone().pixels.pow(2);
        for k in (0..planes.len()).filter(|&k| planes.cone().slices[k].a <= a).collect::<Vec<_>>() {
            let at = (first + k) * size;
            let mut map = if comm.is_root() { values[at..at + size].to_vec() } else { vec![0.0; size] };
            comm.broadcast(0, &mut map);
            planes.put(k, map);
        }
        first += planes.len();
    }
}
