//! Weak lensing of the light cone: convergence and shear maps, their spectra and peaks.

use super::{Eyes, Values, field, spec};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use crate::gravity::{Factor, Factors};
use crate::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use crate::io::mask;
use crate::observables::lensing::{
    Cone, LensingMaps, LightCone, LightConeConfig, Method, Planes, Sources, add_shape_noise, apply_mask,
};
use crate::simulators::Job;
use crate::simulators::pm::config::PmConfig;
use crate::simulators::sky::Sky;

/// Name of the planes' field, in the dataset and in checkpoints.
pub(in super::super) const PLANES: &str = "lens_planes";

/// Keys of `[simulator]` that say how maps are seen.
pub(super) const MAPS: [&str; 6] = ["source_redshifts", "n_of_z", "method", "shape_noise", "mask", "mask_fill"];
/// Those of them that are for what is done to finished maps.
pub(in super::super) const SURVEY: [&str; 3] = ["shape_noise", "mask", "mask_fill"];

/// A drift's factor, from its three scale factors.
pub(super) type Drift<'f> = Box<dyn Fn(f64, f64, f64) -> Factor + 'f>;

/// The light cones of one configuration.
pub(in super::super) struct LensingProduct<'a> {
    pub lightcone: &'a LightConeConfig,
    pub c_ell: Option<&'a AngularConfig>,
    pub peaks: Option<&'a PeakConfig>,
    config: &'a PmConfig,
}

impl<'a> LensingProduct<'a> {
    /// `None` where no light cone over a flat field is asked for.
    pub fn of(config: &'a PmConfig) -> Option<Self> {
        let lightcone = config.lightcone.as_ref().filter(|cone| cone.nside.is_none())?;
        Some(LensingProduct { lightcone, c_ell: config.c_ell.as_ref(), peaks: config.peaks.as_ref(), config })
    }

    /// The geometry of every cone, and the sources at its end; refused where a cosmology does not allow them, or the
    /// steps do not cover them.
    pub fn cone(&self, cosmology: &Cosmology) -> Result<(Cone, Sources)> {
        let sources = Sources::new(self.lightcone, cosmology)?;
        let cone = Cone::new(self.lightcone, self.config.box_size, cosmology, sources.farthest())?;
        check_time(self.config, |from, to| cone.check_time(from, to))?;
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
            let replicas = self.lightcone.replicas(job.seed, job.realisation, view);
            let drift: Drift = Box::new(|from, at, to| factors.drift(from, at, to));
            LightCone::new(comm, cone.clone(), replicas, total, drift)
        };
        Ok(((0..self.lightcone.light_cones).map(observer).collect(), sources))
    }

    /// Its maps.
    fn sky(&self) -> Sky<'_> {
        let (pixels, side) = (self.lightcone.pixels, self.lightcone.field_of_view_deg);
        let (what, bins, kind) = ("convergence", bins(self.lightcone), AxisKind::Flat);
        Sky { what, bins, pixels, side, kind, c_ell: self.c_ell, peaks: self.peaks }
    }

    /// Descriptions of its fields.
    pub fn specs(&self) -> Vec<FieldSpec> {
        let (bins, n, field) = (self.lightcone.bins(), self.lightcone.pixels, self.lightcone.field_of_view_deg);
        let how = match self.lightcone.method {
            Method::Born => "Born approximation",
            Method::Raytrace => "ray tracing",
        };
        let what = format!("lensing convergence by {how} over {field}° × {field}°");
        let (sky, [of, row, column]) = (self.sky(), self.sky().axes());
        let axes = vec![of.clone(), row.clone(), column.clone()];
        let mut specs = vec![spec("kappa", &[bins, n, n], axes, "", &what, Dtype::F32)];
        if self.lightcone.method == Method::Raytrace {
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2", "omega"]);
            let component = Axis { spins: vec![2, 2, 0], ..component };
            let axes = vec![of, component, row, column];
            specs.push(spec("shear", &[bins, 3, n, n], axes, "", "shear γ1, γ2 and rotation ω", Dtype::F32));
        }
        specs.extend(sky.specs());
        specs = specs.into_iter().map(|spec| of_cones(self.lightcone, seen(self.config, &MAPS, spec))).collect();
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
        all.extend(self.sky().measure(&maps.kappa, mask.as_deref())?);
        Ok(all)
    }

    /// The mask of its maps.
    pub fn mask(&self) -> Result<Option<Vec<f64>>> {
        mask::of_maps(self.lightcone.mask.as_deref(), self.lightcone.pixels, "simulator.lightcone")
    }
}

/// Asks whether the steps of a configuration cover a light cone, and names the key that says where they end.
pub(super) fn check_time(config: &PmConfig, check: impl Fn(f64, f64) -> Result<()>) -> Result<()> {
    let time = &config.time;
    check(time.start(), config.last()).map_err(|e| match &time.scale_factors {
        _ if config.last() < time.end() => {
            e.key("simulator.redshifts").remedy("add 0.0: no step is taken after the last redshift")
        }
        Some(_) => e.key("simulator.time.scale_factors").remedy("let the last of them be 1.0"),
        None => e.key("simulator.time.a_end").remedy("set it to 1.0, or leave it out"),
    })
}

/// The source bins as an axis.
pub(super) fn bins(lightcone: &LightConeConfig) -> Axis {
    let z = lightcone.source_redshifts.iter().map(|z| format!("z = {z}"));
    let n_of_z = lightcone.n_of_z.iter().enumerate().flat_map(|(i, n)| {
        let several = n.bins() > 1;
        (0..n.bins()).map(move |b| if several { format!("n_of_z {i} bin {b}") } else { format!("n_of_z {i}") })
    });
    Axis::named(AxisKind::Channel, "source", z.chain(n_of_z))
}

/// The same field of several light cones: an axis more, unless there is but one.
pub(super) fn of_cones(lightcone: &LightConeConfig, mut spec: FieldSpec) -> FieldSpec {
    if lightcone.light_cones > 1 {
        spec.shape.insert(0, lightcone.light_cones as usize);
        spec.axes.insert(0, Axis::new(AxisKind::View, "light_cone", ""));
    }
    spec
}

/// A field with these keys of the light cone, and those of its own section, that it is seen with.
pub(super) fn seen(config: &PmConfig, keys: &[&str], spec: FieldSpec) -> FieldSpec {
    let own = [spec.name.clone()].into_iter().filter(|name| ["c_ell", "peaks"].contains(&name.as_str()));
    let keys: Vec<String> = keys.iter().map(|key| format!("lightcone.{key}")).chain(own).collect();
    Eyes::of(config).give(spec, &keys.iter().map(String::as_str).collect::<Vec<_>>())
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
