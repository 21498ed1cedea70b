//! The fields of a box.

use super::LognormalBoxConfig;
use crate::fields::spectrum::Spectrum;
use crate::io::field::{Axis, AxisKind, Dtype, FieldSpec};
use crate::observables::{PoissonGalaxies, SkyCone};

impl LognormalBoxConfig {
    /// Bins up to a multiple of the mesh's Nyquist wavenumber.
    pub(super) fn bins(&self, k_max_over_nyquist: f64) -> usize {
        let wanted = (self.points as f64 / 2.0 * k_max_over_nyquist).floor() as usize;
        wanted.saturating_sub(1).clamp(1, Spectrum::bins(self.points))
    }

    /// The axis of their wavenumbers.
    fn wavenumbers(&self, k_max_over_nyquist: f64) -> Axis {
        let (bins, l) = (self.bins(k_max_over_nyquist), self.box_size);
        let axis = Axis::bins("k", "h/Mpc", Spectrum::wavenumbers(bins, l), Spectrum::edges(bins, l));
        Axis { modes: Spectrum::counts(bins), ..axis }
    }

    pub(super) fn specs(&self) -> Vec<FieldSpec> {
        let spec = |name: &str, axes: Vec<Axis>, shape: &[usize], unit: &str, what: String, dtype: Dtype| {
            let (unit, description, ragged) = (unit.into(), what + &format!("; z = {}", self.redshift), shape[0] == 0);
            FieldSpec { axes, unit, description, ragged, dtype, ..FieldSpec::of(name, shape, &[]) }
        };
        let table = |name: &str, columns: &[(&str, &str)], what: String| {
            let label = |(name, unit): &(&str, &str)| {
                if unit.is_empty() { name.to_string() } else { format!("{name} [{unit}]") }
            };
            let columns_of = Axis::named(AxisKind::Column, "column", columns.iter().map(label));
            spec(
                name,
                vec![Axis::new(AxisKind::Index, name, ""), columns_of],
                &[0, columns.len()],
                "",
                what,
                Dtype::F64,
            )
        };
        let mut specs = vec![];
        if self.density {
            let axes = ["x", "y", "z"].map(|axis| Axis::new(AxisKind::Periodic, axis, "point")).to_vec();
            let what = "matter density over its mean, point i at x = i L/N".into();
            specs.push(spec("density", axes, &[self.points; 3], "", what, Dtype::F32));
        }
        if let Some(c) = &self.power {
            let k = self.wavenumbers(c.k_max_over_nyquist);
            let (shape, what) = ([k.values.len()], "matter power spectrum".into());
            specs.push(spec("power", vec![k], &shape, "(Mpc/h)^3", what, Dtype::F64));
        }
        if let Some(galaxies) = &self.poisson {
            let space = match galaxies.redshift_axis {
                Some(axis) => format!("in redshift space along axis {axis}"),
                None => "in real space".into(),
            };
            if galaxies.catalogue {
                let what = format!("Poisson galaxies of a lognormal density, {space}; in the order of their cells");
                specs.push(table("galaxies", &PoissonGalaxies::<f64>::COLUMNS, what));
            }
            if let Some(c) = &self.power {
                let k = self.wavenumbers(c.k_max_over_nyquist);
                let of = Axis::named(AxisKind::Channel, "spectrum", ["galaxies", "galaxies x matter"]);
                let what = format!("power spectrum of the galaxies, and their cross spectrum with matter, {space}");
                let shape = [2, k.values.len()];
                specs.push(spec("galaxy_power", vec![of, k], &shape, "(Mpc/h)^3", what, Dtype::F64));
            }
        }
        if let Some(c) = &self.multipoles {
            let k = self.wavenumbers(c.k_max_over_nyquist);
            let (shape, ell) = ([3, k.values.len()], Axis::at(AxisKind::Channel, "ell", "", vec![0.0, 2.0, 4.0]));
            let what = "multipoles of the galaxies' power spectrum in redshift space".into();
            specs.push(spec("galaxy_multipoles", vec![ell, k], &shape, "(Mpc/h)^3", what, Dtype::F64));
        }
        if self.cone.is_some() {
            let what = "galaxies on the sky of an observer in the box; in the order of their cells".into();
            specs.push(table("cone", &SkyCone::COLUMNS, what));
        }
        if !specs.is_empty() {
            let of = if self.poisson.is_some() { &["matter", "galaxies"][..] } else { &["matter"] };
            let axes = vec![
                Axis::named(AxisKind::Channel, "field", of.iter().copied()),
                Axis::named(AxisKind::Column, "value", ["deviation", "projected"]),
            ];
            let what =
                "largest relative deviation of the spectra that the fields were drawn with from those wanted, and the \
                        part of the modes where no Gaussian field has what was wanted"
                    .into();
            specs.push(spec("achieved", axes, &[of.len(), 2], "", what, Dtype::F64));
        }
        specs
    }
}
