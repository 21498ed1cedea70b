//! Spectra and bispectra.

use super::{Moment, Needs, Product, Values, spec};
use crate::error::Result;
use crate::fields::spectrum::Spectrum;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::mesh::Real;
use crate::observables::{
    BispectrumConfig, BispectrumMeter, MultipoleConfig, MultipoleMeter, PowerConfig, PowerMeter, RedshiftSpace,
};
use crate::particles::{Domain, Points};
use crate::simulators::pm::config::PmConfig;

/// Bins up to a multiple of the particles' Nyquist wavenumber.
fn bins(config: &PmConfig, k_max_over_nyquist: f64) -> usize {
    let wanted = (config.particles as f64 / 2.0 * k_max_over_nyquist).floor() as usize;
    wanted.saturating_sub(1).clamp(1, Spectrum::bins(config.mesh()))
}

/// The axis of their wavenumbers.
fn wavenumbers(config: &PmConfig, k_max_over_nyquist: f64) -> Axis {
    let (bins, l) = (bins(config, k_max_over_nyquist), config.box_size);
    let axis = Axis::bins("k", "h/Mpc", Spectrum::wavenumbers(bins, l), Spectrum::edges(bins, l));
    Axis { modes: Spectrum::counts(bins), ..axis }
}

fn truncated(mut values: Vec<f64>, bins: usize) -> Vec<f64> {
    values.truncate(bins);
    values
}

pub(super) struct Power(pub PowerConfig);

impl<T: Real> Product<T> for Power {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let k = wavenumbers(config, self.0.k_max_over_nyquist);
        vec![spec("power", &[k.values.len()], vec![k], "(Mpc/h)^3", "matter power spectrum", Dtype::F64)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["power"]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let mut meter = PowerMeter::<T>::new(m.mesh, m.config.box_size);
        let spectrum = meter.measure(&self.0, &m.particles.position, m.total());
        let bins = bins(m.config, self.0.k_max_over_nyquist);
        Ok(vec![Values::Root(Data::F64(truncated(spectrum.power, bins)))])
    }
}

pub(super) struct Multipoles(pub MultipoleConfig);

impl<T: Real> Product<T> for Multipoles {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let k = wavenumbers(config, self.0.k_max_over_nyquist);
        let (shape, ell) = ([3, k.values.len()], Axis::at(AxisKind::Channel, "ell", "", vec![0.0, 2.0, 4.0]));
        let what = "multipoles of the matter power spectrum in redshift space";
        vec![spec("multipoles", &shape, vec![ell, k], "(Mpc/h)^3", what, Dtype::F64)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["multipoles"]
    }

    fn needs(&self) -> Needs {
        Needs { velocities: true, cosmology: true, ..Needs::default() }
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let space = RedshiftSpace::of_momenta(m.cosmology()?, m.a);
        let points = Points::equal(&m.particles.position);
        let mut meter = MultipoleMeter::<T>::new(m.mesh, m.config.box_size);
        let poles = meter.measure(&self.0, points, &m.particles.momentum, space);
        let bins = bins(m.config, self.0.k_max_over_nyquist);
        let all = poles.power.into_iter().flat_map(|p| truncated(p, bins)).collect();
        Ok(vec![Values::Root(Data::F64(all))])
    }
}

pub(super) struct Bispectrum(pub BispectrumConfig);

impl<T: Real> Product<T> for Bispectrum {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        // A list that cannot be made was refused by `check`.
        let (names, edges): (Vec<String>, Vec<f64>) =
            self.0.list(config.mesh(), config.box_size).map_or(Default::default(), |(shells, list)| {
                let name = |t: &[usize; 3]| t.map(|b| format!("{:.4}", shells.middle(b))).join(" ");
                let edges = list.iter().flatten().flat_map(|&b| shells.edges(b)).collect();
                (list.iter().map(name).collect(), edges)
            });
        let count = names.len();
        let triangles = Axis { edges, unit: "h/Mpc".into(), ..Axis::named(AxisKind::Bin, "triangle", names) };
        let axes = vec![Axis::named(AxisKind::Column, "value", ["B", "Q"]), triangles.clone()];
        let what = "bispectrum B in (Mpc/h)^6 and reduced bispectrum Q of triangles of shells of wavenumbers (h/Mpc)";
        let counted = "triangles of modes behind each value of the bispectrum, alike for all universes";
        vec![
            spec("bispectrum", &[2, count], axes, "", what, Dtype::F64),
            spec("bispectrum_triangles", &[count], vec![triangles], "", counted, Dtype::I64),
        ]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["bispectrum"]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let mut meter = BispectrumMeter::<T>::new(m.mesh, m.config.box_size, &self.0)?;
        let measured = meter.measure(&m.particles.position);
        let both = [measured.bispectrum, measured.reduced].concat();
        let triangles = measured.triangles.into_iter().map(|n| n as i64).collect();
        Ok(vec![Values::Root(Data::F64(both)), Values::Root(Data::I64(triangles))])
    }
}

pub(super) struct GalaxyPower(pub PowerConfig);

impl<T: Real> Product<T> for GalaxyPower {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let k = wavenumbers(config, self.0.k_max_over_nyquist);
        let of = Axis::named(AxisKind::Channel, "spectrum", ["galaxies", "galaxies x matter"]);
        let (mut shape, mut axes) = (vec![2, k.values.len()], vec![of, k]);
        if let Some(draws) = config.galaxies.as_ref().map(|g| g.draws).filter(|&draws| draws > 1) {
            shape.insert(0, draws);
            axes.insert(0, Axis::new(AxisKind::View, "draw", ""));
        }
        let what = "power spectrum of the galaxies, and their cross spectrum with matter";
        vec![spec("galaxy_power", &shape, axes, "(Mpc/h)^3", what, Dtype::F64)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["halos", "galaxies", "power"]
    }

    fn needs(&self) -> Needs {
        Needs::GALAXIES
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let (galaxies, bins) = (m.galaxies()?, bins(m.config, self.0.k_max_over_nyquist));
        let mut all = vec![];
        for draw in 0..m.hod.draws as i64 {
            let own = galaxies.position.iter().zip(&galaxies.draw).filter(|(_, of)| **of == draw);
            let position = own.map(|(x, _)| x.map(T::of)).collect();
            let (position, _) = Domain::new(m.mesh, m.config.box_size).send_home(m.comm, position, None);
            if m.comm.sum_of(position.len() as u64) == 0 {
                all.extend(vec![0.0; 2 * bins]);
                continue;
            }
            let mut meter = PowerMeter::<T>::new(m.mesh, m.config.box_size);
            let (galaxies, matter) = (Points::equal(&position), Points::equal(&m.particles.position));
            let measured = meter.measure_cross(&self.0, galaxies, matter);
            let [auto, _] = measured.auto;
            all.extend([truncated(auto, bins), truncated(measured.cross, bins)].concat());
        }
        Ok(vec![Values::Root(Data::F64(all))])
    }
}
