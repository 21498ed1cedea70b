//! Halos, their mass function, and galaxies.

use super::{Moment, Needs, Product, Values, spec};
use crate::error::Result;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::mesh::Real;
use crate::observables::{Galaxies, HaloCatalogue, MassFunction, MassFunctionConfig};
use crate::simulators::pm::config::PmConfig;

/// A list of rows whose columns have names and units.
fn table(name: &str, columns: &[(&str, &str)], description: &str) -> FieldSpec {
    let label =
        |(name, unit): &(&str, &str)| if unit.is_empty() { name.to_string() } else { format!("{name} [{unit}]") };
    let columns_of = Axis::named(AxisKind::Column, "column", columns.iter().map(label));
    let axes = vec![Axis::new(AxisKind::Index, name, ""), columns_of];
    spec(name, &[0, columns.len()], axes, "", description, Dtype::F64)
}

fn rows<const N: usize>(rows: Vec<[f64; N]>) -> Values {
    Values::Rows(rows.len(), Data::F64(rows.into_flattened()))
}

pub(super) struct Halos;

impl<T: Real> Product<T> for Halos {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let c = config.halos.clone().unwrap_or_default();
        let what = format!(
            "friends-of-friends halos, linking length {} mean separations, at least {} particles; by falling mass",
            c.linking_length, c.min_members
        );
        vec![table("halos", &HaloCatalogue::COLUMNS, &what)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["halos"]
    }

    fn needs(&self) -> Needs {
        Needs::HALOS
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        Ok(vec![rows(m.halos()?.rows())])
    }
}

pub(super) struct MassFunctionOf(pub MassFunctionConfig);

impl<T: Real> Product<T> for MassFunctionOf {
    fn specs(&self, _: &PmConfig) -> Vec<FieldSpec> {
        let axes = vec![Axis::bins("log10_mass", "log10 Msun/h", self.0.centres(), self.0.edges())];
        let what = "halo mass function dn/dlnM";
        vec![spec("mass_function", &[self.0.bins], axes, "(h/Mpc)^3", what, Dtype::F64)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["halos", "mass_function"]
    }

    fn needs(&self) -> Needs {
        Needs::HALOS
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let measured = MassFunction::measure(m.comm, &self.0, m.halos()?, m.config.box_size);
        Ok(vec![Values::Root(Data::F64(measured.dn_dlnm))])
    }
}

/// Columns of galaxies, of which the last tells several draws apart.
fn columns(config: &PmConfig) -> usize {
    Galaxies::COLUMNS.len() - (config.galaxies.as_ref().is_none_or(|g| g.draws == 1)) as usize
}

pub(super) struct GalaxiesOf;

impl<T: Real> Product<T> for GalaxiesOf {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let space = match config.galaxies.as_ref().and_then(|g| g.redshift_axis) {
            Some(axis) => format!("in redshift space along axis {axis}"),
            None => "in real space".into(),
        };
        let what = format!("galaxies of the halo occupation (Zheng et al. 2007), {space}; in the order of their halos");
        vec![table("galaxies", &Galaxies::COLUMNS[..columns(config)], &what)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["halos", "galaxies"]
    }

    fn needs(&self) -> Needs {
        Needs::GALAXIES
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let (rows, columns) = (m.galaxies()?.rows(), columns(m.config));
        let data = rows.iter().flat_map(|row| &row[..columns]).copied().collect();
        Ok(vec![Values::Rows(rows.len(), Data::F64(data))])
    }
}
