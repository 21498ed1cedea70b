//! The particles themselves: as columns of the dataset, and as GADGET snapshots beside it.

use super::{Moment, Needs, Product, Values, spec};
use crate::error::Result;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::io::gadget::{self, Exact, SnapshotHeader, Universe};
use crate::mesh::Real;
use crate::observables::by_lagrangian_id;
use crate::simulators::pm::config::{PmConfig, Precision};

pub(super) struct Columns;

impl<T: Real> Product<T> for Columns {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let column = |name: &str, unit: &str, what: &str| {
            let axes = vec![Axis::new(AxisKind::Index, "particle", ""), Axis::new(AxisKind::Column, "component", "")];
            let what = format!("{what}, sorted by Lagrangian identity");
            spec(name, &[config.particles.pow(3), 3], axes, unit, &what, Dtype::F32)
        };
        vec![column("position", "Mpc/h", "comoving position"), column("velocity", "km/s", "peculiar velocity")]
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn needs(&self) -> Needs {
        Needs { velocities: true, lattice: true, ..Needs::default() }
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let (x, v) = by_lagrangian_id(m.comm, m.particles, m.total(), m.a);
        Ok([x, v].into_iter().map(|c| Values::Rows(c.len(), Data::F32(c.into_flattened()))).collect())
    }
}

pub(super) struct Snapshot;

impl<T: Real> Product<T> for Snapshot {
    fn specs(&self, _: &PmConfig) -> Vec<FieldSpec> {
        vec![]
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let (Some((path, truth)), Some(cosmology)) = (&m.snapshot, m.cosmology) else { return Ok(vec![]) };
        m.comm.on_root(|| {
            let folder = path.parent().unwrap_or(path);
            std::fs::create_dir_all(folder).map_err(|e| crate::error::Error::from(e).file(folder))
        })?;
        let header = SnapshotHeader {
            box_size: m.config.box_size,
            scale_factor: m.a,
            cosmology: *cosmology,
            double: m.config.precision == Precision::F64,
            truth: truth.clone(),
        };
        let p = m.particles;
        let wide =
            |column: &[[T; 3]], scale: f64| column.iter().map(|v| v.map(|x| scale * x.f64())).collect::<Vec<_>>();
        let [seed, realisation] = m.seeds;
        let theta = truth.iter().map(|t| t.1).collect();
        let exact = Exact {
            universe: Universe { index: m.index, realisation, seed, theta },
            grid: m.mesh.grid(),
            momentum: &|i| p.momentum[i].map(T::f64),
        };
        let (x, v) = (wide(&p.position, 1.0), wide(&p.momentum, 100.0 / m.a));
        gadget::write(m.comm, path, &header, &x, &v, &p.id, Some(&exact))?;
        Ok(vec![])
    }
}
