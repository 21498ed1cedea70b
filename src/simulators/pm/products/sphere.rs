//! Weak lensing of the light cone on the sphere: convergence and shear maps, and their spectra.

use super::lensing::{Drift, MAPS, PLANES, bins, check_time, of_cones, seen};
use super::{Values, field, spec};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::fields::flat_sky::AngularConfig;
use crate::gravity::Factors;
use crate::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use crate::io::mask;
use crate::observables::lensing::{
    LightConeConfig, Region, SkyCone, SkyLayout, SkyLightCone, SkyPlanes, Sources, add_sky_noise,
};
use crate::simulators::Job;
use crate::simulators::gathered::Gathered;
use crate::simulators::multipoles::Multipoles;
use crate::simulators::pm::config::PmConfig;
use crate::sphere::{Footprint, Rings};

/// The light cones on the sphere of one configuration.
pub(in super::super) struct SphereProduct<'a> {
    pub lightcone: &'a LightConeConfig,
    pub nside: usize,
    c_ell: Option<&'a AngularConfig>,
    config: &'a PmConfig,
}

impl<'a> SphereProduct<'a> {
    /// `None` where no such light cone is asked for.
    pub fn of(config: &'a PmConfig) -> Option<Self> {
        let lightcone = config.lightcone.as_ref()?;
        Some(SphereProduct { lightcone, nside: lightcone.nside?, c_ell: config.c_ell.as_ref(), config })
    }

    /// Serial: refuses masks that are not there or do not fit.
    pub fn check_files(&self) -> Result<()> {
        self.mask()?;
        self.footprint().map(drop)
    }

    /// The bins of its spectra.
    pub fn multipoles(&self) -> Result<Option<Multipoles>> {
        self.c_ell.map(|c| Multipoles::of_maps(c, self.nside)).transpose()
    }

    fn read_mask(&self, path: &std::path::Path, key: &str) -> Result<Vec<f64>> {
        let rings = Rings::new(self.nside).map_err(|e| e.key("simulator.lightcone.nside"))?;
        mask::of_sphere(path, rings, &format!("simulator.lightcone.{key}"))
    }

    /// Serial: the mask of all pixels of the sphere.
    fn mask(&self) -> Result<Option<Vec<f64>>> {
        self.lightcone.mask.as_ref().map(|path| self.read_mask(path, "mask")).transpose()
    }

    /// Serial: the pixels that are looked at.
    pub fn footprint(&self) -> Result<Footprint> {
        let mask = match &self.lightcone.footprint {
            Region::Mask(path) => Some(self.read_mask(path, "footprint.mask")?),
            _ => None,
        };
        self.lightcone.footprint(mask.as_deref())
    }

    /// The geometry of every cone, and the sources at its end; refused where a cosmology does not allow them, or the
    /// steps do not cover them.
    pub fn cone(&self, cosmology: &Cosmology) -> Result<(SkyCone, Sources)> {
        let sources = Sources::new(self.lightcone, cosmology)?;
        let (footprint, far) = (self.footprint()?, sources.farthest());
        let cone = SkyCone::new(self.lightcone, footprint, self.config.box_size, cosmology, far)?;
        check_time(self.config, |from, to| cone.check_time(from, to))?;
        Ok((cone, sources))
    }

    /// One observer for each light cone through a universe. Collective.
    pub fn observers<'f>(
        &self,
        comm: &Comm,
        job: &Job,
        factors: &'f Factors<'f>,
        total: u64,
    ) -> Result<(Vec<SkyLightCone<Drift<'f>>>, Sources)> {
        let (cone, sources) = self.cone(factors.cosmology)?;
        let observer = |view| {
            let drift: Drift = Box::new(|from, at, to| factors.drift(from, at, to));
            SkyLightCone::new(
                comm,
                cone.clone(),
                self.lightcone.replicas(job.seed, job.realisation, view),
                total,
                drift,
            )
        };
        Ok(((0..self.lightcone.light_cones).map(observer).collect(), sources))
    }

    fn pairs(&self) -> Vec<[usize; 2]> {
        let n = self.lightcone.bins();
        (0..n).flat_map(|a| (a..n).map(move |b| [a, b])).collect()
    }

    /// Descriptions of its fields. A footprint that cannot be read was refused by `check`.
    pub fn specs(&self) -> Vec<FieldSpec> {
        let (bins_of, n) = (bins(self.lightcone), self.lightcone.bins());
        let (pixels, sky) = match self.footprint() {
            Ok(footprint) => (footprint.count(), Axis::sphere(self.nside, footprint.runs())),
            Err(_) => (12 * self.nside * self.nside, Axis::sphere(self.nside, &[[0, 12 * self.nside * self.nside]])),
        };
        let what = "lensing convergence by Born approximation, HEALPix pixels";
        let axes = vec![bins_of.clone(), sky.clone()];
        let mut specs = vec![spec("kappa", &[n, pixels], axes, "", what, Dtype::F32)];
        if self.lightcone.shear {
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2"]);
            let axes = vec![bins_of, Axis { spins: vec![2, 2], ..component }, sky.clone()];
            let what = "shear without noise, in the frame of θ (southward) and φ (eastward)";
            specs.push(spec("shear", &[n, 2, pixels], axes, "", what, Dtype::F32));
        }
        if let Ok(Some(ell)) = self.multipoles() {
            let pairs = Axis::named(AxisKind::Channel, "pair", self.pairs().iter().map(|[a, b]| format!("{a} {b}")));
            let what = "angular power spectra of the convergence, noise included, divided by the mean squared mask";
            let (ell, shape) = (ell.axis(), [self.pairs().len(), self.c_ell.map_or(0, |c| c.bins)]);
            specs.push(spec("c_ell", &shape, vec![pairs, ell], "sr", what, Dtype::F64));
        }
        let mut specs: Vec<FieldSpec> =
            specs.into_iter().map(|spec| of_cones(self.lightcone, seen(self.config, &MAPS, spec))).collect();
        if self.lightcone.keep_planes {
            specs.push(self.planes_spec(pixels, sky));
        }
        specs
    }

    /// Their number depends on the cosmology.
    fn planes_spec(&self, pixels: usize, sky: Axis) -> FieldSpec {
        let what = "∫ δ dχ over each slice of a light cone, from near to far, one cone after the other";
        spec(PLANES, &[0, pixels], vec![Axis::new(AxisKind::Index, "plane", ""), sky], "Mpc/h", what, Dtype::F32)
    }

    /// The shells of all light cones seen so far, zeros for those to come. Collective.
    pub fn planes_field<'p>(&self, comm: &Comm, cones: impl IntoIterator<Item = &'p SkyPlanes>) -> Field {
        let cones: Vec<&SkyPlanes> = cones.into_iter().collect();
        let footprint = &cones[0].cone().footprint;
        let spec = self.planes_spec(footprint.count(), Axis::sphere(self.nside, footprint.runs()));
        let mut rows = Gathered::new(spec, cones.iter().map(|planes| planes.len()).sum(), 1);
        for planes in cones {
            (0..planes.len()).for_each(|k| rows.push(comm, planes.get(k).into_iter().map(f64::from)));
        }
        rows.field(comm)
    }

    /// Puts back the shells of all light cones that had been seen at scale factor `a`; of all of them one after the
    /// other, each rank has the next so many `rows`. Collective.
    pub fn restore<'p>(
        comm: &Comm,
        cones: impl IntoIterator<Item = &'p mut SkyPlanes>,
        rows: usize,
        values: &[f32],
        a: f64,
    ) {
        let counts = comm.gather_counts(rows);
        let owners = counts.iter().enumerate().flat_map(|(rank, &n)| (0..n).map(move |row| (rank, row)));
        let mut owners = owners.collect::<Vec<_>>().into_iter();
        for planes in cones {
            let size = planes.cone().footprint.count();
            for k in 0..planes.len() {
                let (owner, row) = owners.next().expect("a row for every shell");
                let whole = if comm.rank() == owner { &values[row * size..(row + 1) * size] } else { &[] };
                let mine = planes.layout().scatter(owner, whole);
                if planes.cone().slices[k].a <= a {
                    planes.put(k, mine);
                }
            }
        }
    }

    /// Its fields, from the shells of a finished universe's light cones. Collective.
    pub fn measure(&self, comm: &Comm, job: &Job, cones: &[SkyPlanes], sources: &Sources) -> Result<Vec<Field>> {
        let maps = cones.iter().map(|planes| planes.born(sources));
        self.measure_maps(comm, job, cones[0].layout(), maps, true, cones)
    }

    /// Its fields, from this rank's pixels of the convergence of each light cone, which a `survey` is yet to see or has
    /// seen, and their shells. Collective.
    pub fn measure_maps(
        &self,
        comm: &Comm,
        job: &Job,
        layout: &SkyLayout,
        maps: impl Iterator<Item = Vec<Vec<f64>>>,
        survey: bool,
        cones: &[SkyPlanes],
    ) -> Result<Vec<Field>> {
        let (config, bins, views) = (self.lightcone, self.lightcone.bins(), self.lightcone.light_cones as usize);
        let whole = comm.agree(if comm.is_root() { self.mask() } else { Ok(None) })?;
        let seen = whole.map(|mask| layout.footprint.pixels().map(|p| mask[p]).collect::<Vec<f64>>());
        let mask = config.mask.as_ref().map(|_| layout.scatter(0, &seen.unwrap_or_default()));
        let ell = self.multipoles()?;
        let (mut gathered, mut spectra) = (vec![], vec![]);
        for spec in self.specs().into_iter().filter(|spec| ["kappa", "shear"].contains(&spec.name.as_str())) {
            let (rows, each) = (spec.shape[0], if spec.name == "shear" { 2 } else { 1 });
            gathered.push(Gathered::new(spec, rows, views * bins * each / rows));
        }
        let masked = |map: &mut [f64]| {
            let hidden = map.iter_mut().zip(mask.iter().flatten()).filter(|(_, mask)| **mask == 0.0);
            hidden.for_each(|(x, _)| *x = config.mask_fill);
        };
        for (view, mut maps) in maps.enumerate() {
            for (bin, kappa) in maps.iter_mut().enumerate() {
                if config.shear {
                    for mut gamma in layout.shear(kappa)? {
                        masked(&mut gamma);
                        gathered[1].push(comm, gamma.into_iter());
                    }
                }
                if let Some(noise) = config.shape_noise.as_ref().filter(|_| survey) {
                    let index = (view * bins + bin) as u64;
                    add_sky_noise(kappa, layout, noise, [job.seed, job.realisation], index);
                }
                masked(kappa);
                gathered[0].push(comm, kappa.iter().copied());
            }
            if let Some(ell) = &ell {
                for c in layout.c_ell(&maps, mask.as_deref(), ell.lmax(), &self.pairs())? {
                    spectra.extend(ell.spectrum(|l| c[l]));
                }
            }
        }
        let mut gathered = gathered.into_iter();
        let fields = self.specs().into_iter().map(|spec| match spec.name.as_str() {
            PLANES => self.planes_field(comm, cones),
            "c_ell" => field(comm, spec, Values::Root(Data::F64(std::mem::take(&mut spectra)))),
            _ => gathered.next().expect("maps of every field").field(comm),
        });
        Ok(fields.collect())
    }
}
