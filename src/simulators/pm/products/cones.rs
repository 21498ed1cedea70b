//! The light cones of a universe, over a flat field or the sphere.

use super::lensing::{Drift, LensingProduct, planes_field, restore_planes};
use super::sphere::SphereProduct;
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::{Cosmology, NeutrinoResponse};
use crate::error::Result;
use crate::gravity::{Factors, Observer, Row};
use crate::io::field::{Data, Field, FieldSpec};
use crate::mesh::Real;
use crate::observables::lensing::{LightCone, SkyLightCone, Sources};
use crate::particles::Particles;
use crate::simulators::Job;
use crate::simulators::pm::config::PmConfig;

/// The lensing products of a configuration.
pub(in super::super) enum Lensing<'a> {
    Flat(LensingProduct<'a>),
    Sphere(SphereProduct<'a>),
}

impl<'a> Lensing<'a> {
    /// `None` where no light cone is asked for.
    pub fn of(config: &'a PmConfig) -> Option<Self> {
        SphereProduct::of(config).map(Lensing::Sphere).or_else(|| LensingProduct::of(config).map(Lensing::Flat))
    }

    /// Descriptions of their fields.
    pub fn specs(&self) -> Vec<FieldSpec> {
        match self {
            Lensing::Flat(flat) => flat.specs(),
            Lensing::Sphere(sphere) => sphere.specs(),
        }
    }

    /// Serial: refuses masks that are not there or do not fit.
    pub fn check_files(&self) -> Result<()> {
        match self {
            Lensing::Flat(flat) => flat.mask().map(drop),
            Lensing::Sphere(sphere) => sphere.check_files(),
        }
    }

    /// Refuses a cosmology whose sources or steps do not allow a light cone.
    pub fn check(&self, cosmology: &Cosmology) -> Result<()> {
        match self {
            Lensing::Flat(flat) => flat.cone(cosmology).map(drop),
            Lensing::Sphere(sphere) => sphere.cone(cosmology).map(drop),
        }
    }

    /// One observer for each light cone through a universe.
    pub fn observers<'f>(
        &self,
        comm: &Comm,
        job: &Job,
        factors: &'f Factors<'f>,
        total: u64,
    ) -> Result<(Cones<'f>, Sources)> {
        Ok(match self {
            Lensing::Flat(flat) => {
                let (cones, sources) = flat.observers(comm, job, factors, total)?;
                (Cones::Flat(cones), sources)
            }
            Lensing::Sphere(sphere) => {
                let (cones, sources) = sphere.observers(comm, job, factors, total)?;
                (Cones::Sphere(cones), sources)
            }
        })
    }

    /// What has been seen so far. Collective.
    pub fn seen(&self, comm: &Comm, cones: &Cones) -> Option<Field> {
        match (self, cones) {
            (Lensing::Flat(_), Cones::Flat(cones)) => Some(planes_field(comm, cones.iter().map(LightCone::planes))),
            (Lensing::Sphere(sphere), Cones::Sphere(cones)) => {
                Some(sphere.planes_field(comm, cones.iter().map(SkyLightCone::planes)))
            }
            _ => None,
        }
    }

    /// Their fields, from finished cones. Collective.
    pub fn measure(&self, comm: &Comm, job: &Job, cones: Cones, sources: &Sources) -> Result<Vec<Field>> {
        match (self, cones) {
            (Lensing::Flat(flat), Cones::Flat(cones)) => {
                let planes = comm.agree(cones.into_iter().map(LightCone::finish).collect::<Result<Vec<_>>>())?;
                flat.measure(comm, job, &planes, sources)
            }
            (Lensing::Sphere(sphere), Cones::Sphere(cones)) => {
                let planes = comm.agree(cones.into_iter().map(SkyLightCone::finish).collect::<Result<Vec<_>>>())?;
                sphere.measure(comm, job, &planes, sources)
            }
            _ => Ok(vec![]),
        }
    }
}

/// Observers of the evolve loop.
pub(in super::super) enum Cones<'f> {
    None,
    Flat(Vec<LightCone<Drift<'f>>>),
    Sphere(Vec<SkyLightCone<Drift<'f>>>),
}

impl Cones<'_> {
    /// True without a light cone.
    pub fn is_none(&self) -> bool {
        matches!(self, Cones::None)
    }

    /// Lets neutrinos deflect light too.
    pub fn with_neutrinos(&mut self, neutrinos: &Option<NeutrinoResponse>) {
        match self {
            Cones::None => {}
            Cones::Flat(cones) => cones.iter_mut().for_each(|cone| cone.neutrinos = neutrinos.clone()),
            Cones::Sphere(cones) => cones.iter_mut().for_each(|cone| cone.neutrinos = neutrinos.clone()),
        }
    }

    /// Puts back what had been seen at scale factor `a`. Collective.
    pub fn restore(&mut self, comm: &Comm, seen: Field, a: f64) {
        match (self, seen.data) {
            (Cones::Flat(cones), Data::F64(mine)) => {
                let all = comm.gather(0, &mine);
                restore_planes(comm, cones.iter_mut().map(LightCone::planes_mut), &all, a);
            }
            (Cones::Sphere(cones), Data::F32(mine)) => {
                let cones = cones.iter_mut().map(SkyLightCone::planes_mut);
                SphereProduct::restore(comm, cones, seen.rows, &mine, a);
            }
            _ => {}
        }
    }
}

impl<T: Real> Observer<T> for Cones<'_> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<T>, timers: &mut Timers) -> Result<()> {
        match self {
            Cones::None => Ok(()),
            Cones::Flat(cones) => cones.iter_mut().try_for_each(|cone| cone.after(index, row, particles, timers)),
            Cones::Sphere(cones) => cones.iter_mut().try_for_each(|cone| cone.after(index, row, particles, timers)),
        }
    }
}
