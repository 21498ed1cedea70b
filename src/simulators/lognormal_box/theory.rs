//! What theory says of a box's spectra, mode by mode of its mesh.

use super::LognormalBoxConfig;
use crate::cosmology::{Growth, MatterPower};
use crate::fields::kernels::assignment_window;
use crate::fields::multipoles::legendre;
use crate::observables::PoissonConfig;
use crate::simulators::prelude::*;
use std::f64::consts::TAU;

/// Means over the modes of a bin.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    modes: f64,
    power: f64,
    /// P times the window of a cell, once, and twice: galaxies are spread over cells.
    once: [f64; 2],
    /// P times the window twice and μ^2j L_ℓ(μ), (ℓ, j).
    poles: [[f64; 3]; 3],
}

impl LognormalBoxConfig {
    /// Mean spectra: of matter the one that was put in; of galaxies Kaiser's (1987), P_gg = (b + f μ²)² P, spread over their
    /// cells, and their shot noise where it is not subtracted. The sums are over the modes of the mesh that a bin has, of
    /// which the first few sample directions unevenly.
    pub(super) fn theory_of(
        &self,
        of: &Universes,
        field: &FieldSpec,
        theta: Theta,
        index: u64,
    ) -> Result<Option<Theory>> {
        if !["power", "galaxy_power", "galaxy_multipoles"].contains(&field.name.as_str()) {
            return Ok(None);
        }
        let config = of.cosmology()?;
        let growth = Growth::new(&of.resolve(theta)?);
        let linear = config.linear_power(growth.cosmology(), index)?;
        let power = MatterPower::new(&growth, &linear, self.nonlinear, self.redshift)?.at(self.a());
        let bins = self.bins_of(field.axes.last().map_or(0, |axis| axis.values.len()), |k| power.p(k));
        if field.name == "power" {
            return Ok(Some(Theory { name: "the input".into(), values: bins.iter().map(|bin| bin.power).collect() }));
        }
        let Some(galaxies) = &self.poisson else { return Ok(None) };
        let b = theta.get(PoissonConfig::BIAS).unwrap_or(galaxies.bias);
        let f = growth.f1(self.a());
        let shot = |subtracted: bool| if subtracted { 0.0 } else { 1.0 / galaxies.number_density };
        let kaiser = |l: usize, bin: &Bin| {
            let [flat, square, fourth] = bin.poles[l];
            (4 * l + 1) as f64 * (b * b * flat + 2.0 * b * f * square + f * f * fourth)
        };
        let values = match (&self.power, &self.multipoles) {
            (Some(c), _) if field.name == "galaxy_power" => {
                let shot = shot(c.subtract_shot_noise);
                let spaced = galaxies.redshift_axis.is_some();
                let own = |bin: &Bin| if spaced { kaiser(0, bin) } else { b * b * bin.poles[0][0] };
                let cross = |bin: &Bin| b * bin.once[0] + if spaced { f * bin.once[1] } else { 0.0 };
                bins.iter().map(|bin| own(bin) + shot).chain(bins.iter().map(cross)).collect()
            }
            (_, Some(c)) => {
                let shot = |l: usize| if l == 0 { shot(c.subtract_shot_noise) } else { 0.0 };
                (0..3).flat_map(|l| bins.iter().map(move |bin| kaiser(l, bin) + shot(l))).collect()
            }
            _ => return Ok(None),
        };
        Ok(Some(Theory { name: "linear bias and redshift space (Kaiser)".into(), values }))
    }

    /// The first `count` bins of P(k).
    fn bins_of(&self, count: usize, power: impl Fn(f64) -> f64) -> Vec<Bin> {
        let reach = (count + 1).min(self.points / 2);
        let fundamental = TAU / self.box_size;
        let power: Vec<f64> = (0..=(count + 2).pow(2)).map(|m2| power(fundamental * (m2 as f64).sqrt())).collect();
        let window: Vec<f64> = (0..=reach).map(|i| assignment_window(1, i as i64, self.points)).collect();
        let mut bins = vec![Bin::default(); count];
        // One octant stands for all: every axis that is not zero has a mirror image.
        let mirrors = |i: usize| if i > 0 { 2.0 } else { 1.0 };
        for (i, j) in (0..=reach).flat_map(|i| (0..=reach).map(move |j| (i, j))) {
            for k in 0..=reach {
                let m2 = i * i + j * j + k * k;
                let bin = ((m2 as f64).sqrt() + 0.5).floor() as usize;
                if !(1..=count).contains(&bin) {
                    continue;
                }
                let (weight, mu2) = (mirrors(i) * mirrors(j) * mirrors(k), (k * k) as f64 / m2 as f64);
                let (p, once) = (weight * power[m2], window[i] * window[j] * window[k]);
                let bin = &mut bins[bin - 1];
                bin.modes += weight;
                bin.power += p;
                bin.once[0] += p * once;
                bin.once[1] += p * once * mu2;
                for (pole, l) in bin.poles.iter_mut().zip(legendre(mu2)) {
                    let p = p * once * once * l;
                    pole.iter_mut().zip([1.0, mu2, mu2 * mu2]).for_each(|(sum, mu)| *sum += p * mu);
                }
            }
        }
        for bin in &mut bins {
            let all = [&mut bin.power].into_iter().chain(&mut bin.once).chain(bin.poles.as_flattened_mut());
            all.for_each(|sum| *sum /= bin.modes);
        }
        bins
    }
}
