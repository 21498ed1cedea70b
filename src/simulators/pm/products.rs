//! What is looked at, moment by moment: the fields of a universe, their descriptions and their numbers.

use super::Pm;
use super::config::PmConfig;
use crate::comm::Comm;
use crate::error::Result;
use crate::io::field::{Axis, Data, Dtype, Field, FieldSpec};
use crate::io::hdf::Element;
use crate::mesh::Real;
use crate::observables::{PowerMeter, by_lagrangian_id, projected_maps};
use crate::particles::Particles;

/// What is appended to a field's name at scale factor `a`: nothing where one moment is looked at, else its redshift.
pub(super) fn suffix(config: &PmConfig, a: f64) -> String {
    match config.redshifts.len() {
        0 | 1 => String::new(),
        _ => format!("_z{:.3}", 1.0 / a - 1.0),
    }
}

fn spec(name: String, shape: Vec<usize>, axes: Vec<Axis>, unit: &str, description: String, dtype: Dtype) -> FieldSpec {
    FieldSpec { name, shape, axes, unit: unit.into(), description, ragged: false, dtype }
}

/// Descriptions of the fields at one moment.
pub(super) fn specs_at(config: &PmConfig, wavenumbers: &[f64], a: f64) -> Vec<FieldSpec> {
    let (c, suffix) = (config, suffix(config, a));
    let name = |base: &str| format!("{base}{suffix}");
    let mut specs = Vec::new();
    if let Some(maps) = &c.maps {
        let slab = c.box_size / maps.slabs as f64;
        let centres = (0..maps.slabs).map(|s| (s as f64 + 0.5) * slab).collect();
        let axes = vec![
            Axis::new("view", ""),
            Axis { name: "slab".into(), unit: "Mpc/h".into(), values: centres },
            Axis::new("row", "pixel"),
            Axis::new("column", "pixel"),
        ];
        let what = format!("surface density over its mean at a = {a}, along each axis, in slabs of {slab} Mpc/h");
        specs.push(spec(name("maps"), vec![3, maps.slabs, maps.pixels, maps.pixels], axes, "", what, Dtype::F32));
    }
    if c.power.is_some() {
        let axes = vec![Axis { name: "k".into(), unit: "h/Mpc".into(), values: wavenumbers.to_vec() }];
        let what = format!("matter power spectrum at a = {a}");
        specs.push(spec(name("power"), vec![wavenumbers.len()], axes, "(Mpc/h)^3", what, Dtype::F64));
    }
    if c.keep_particles {
        for (base, unit, what) in
            [("position", "Mpc/h", "comoving position"), ("velocity", "km/s", "peculiar velocity")]
        {
            let axes = vec![Axis::new("particle", ""), Axis::new("component", "")];
            let what = format!("{what} at a = {a}, sorted by Lagrangian identity");
            specs.push(spec(name(base), vec![c.particles.pow(3), 3], axes, unit, what, Dtype::F32));
        }
    }
    specs
}

/// A field whose numbers stand on the root.
fn on_root(comm: &Comm, spec: FieldSpec, data: Data) -> Field {
    let (rows, data) = if comm.is_root() { (spec.shape[0], data) } else { (0, Data::fill(data.dtype(), 0)) };
    Field { rows, data, spec }
}

impl<T: Real + Element> Pm<T> {
    /// The fields at scale factor `a`, in the order of [`specs_at`]. Collective.
    pub(super) fn measure(&self, comm: &Comm, particles: &Particles<T>, a: f64) -> Result<Vec<Field>> {
        let c = &self.config;
        let total = self.total();
        let mut specs = specs_at(c, &self.wavenumbers, a).into_iter();
        let mut fields = Vec::new();
        if let (Some(maps), Some(spec)) = (&c.maps, c.maps.as_ref().and_then(|_| specs.next())) {
            let data = projected_maps(comm, maps, &particles.position, c.box_size, total);
            fields.push(on_root(comm, spec, Data::F32(data)));
        }
        if let (Some(power), Some(spec)) = (&c.power, c.power.as_ref().and_then(|_| specs.next())) {
            let mut meter = PowerMeter::<T>::new(&self.mesh_decomposition(comm)?, c.box_size);
            let mut spectrum = meter.measure(power, &particles.position, total);
            spectrum.power.truncate(self.wavenumbers.len());
            fields.push(on_root(comm, spec, Data::F64(spectrum.power)));
        }
        if c.keep_particles {
            let (x, v) = by_lagrangian_id(comm, particles, total, a);
            for (column, spec) in [x, v].into_iter().zip(specs) {
                let data = Data::F32(column.as_flattened().to_vec());
                fields.push(Field { rows: column.len(), data, spec });
            }
        }
        Ok(fields)
    }
}
