//! What the house asks of the kind.

use super::bench;
use super::config::{AMPLITUDE, BIAS, LognormalSphereConfig};
use super::runner::LognormalSphere;
use super::spectra::Spectra;
use crate::cosmology::{Cosmology, may_vary};
use crate::observables::lensing::Region;
use crate::simulators::bench::Bench;
use crate::simulators::budget::Memory;
use crate::simulators::prelude::*;
use crate::sphere::Sht;
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::path::PathBuf;

/// What MPI and linear algebra take for themselves.
const LIBRARIES: u64 = 32 << 20;

/// Refuses impossible factors.
fn possible(key: &str, value: f64) -> Result<()> {
    match value > 0.0 && value <= 1e3 {
        true => Ok(()),
        false => {
            let error = Error::input("must lie above 0 and at most at 1000").key(key).value(value);
            Err(error.remedy("1.0 is usual"))
        }
    }
}

impl Section for LognormalSphereConfig {
    fn summary(&self) -> String {
        format!("{} lognormal shells of the sky at nside {}, ℓ ≤ {}", self.count(), self.nside, self.lmax())
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.check_keys()?;
        let table = self.spectra.is_some();
        if let Some(name) = of.prior.names().into_iter().find(|name| table && may_vary(name)) {
            let problem = "varies, but the spectra of the shells come from a table, which is of one cosmology";
            return Err(Error::input(problem)
                .key(format!("design.parameters.{name}"))
                .remedy("fix it in [cosmology], or take [simulator.theory] instead; amplitude and bias may vary"));
        }
        possible("simulator.amplitude", self.amplitude)?;
        self.counts.as_ref().map_or(Ok(()), |counts| possible("simulator.counts.bias", counts.bias))?;
        self.mask()?;
        self.footprint()?;
        let spectra = Spectra::new(self, of.cosmology()?)?;
        let middle = of.prior.middle();
        let theta = of.prior.theta(&middle);
        spectra.shells(None, &of.resolve(theta)?, theta, 0).map(drop)
    }

    fn check_cosmology(&self, cosmology: &Cosmology) -> Result<()> {
        let bessel = self.theory.as_ref().is_some_and(|theory| theory.limber_from != Some(0));
        match cosmology.omega_k() {
            curved if curved != 0.0 && bessel => {
                Err(Error::input("Bessel functions are for flat universes, this one is curved")
                    .key("cosmology.Omega_k")
                    .value(curved)
                    .remedy("set simulator.theory.limber_from = 0"))
            }
            _ => Ok(()),
        }
    }

    fn warnings(&self, _: &Universes) -> Vec<String> {
        let missing = "no matter lies before the first shell: sources behind it are lensed less than they would be";
        let near = self.shells.first().is_some_and(|z| *z > 0.0) && self.sources() > 0;
        if near { vec![missing.into()] } else { vec![] }
    }

    fn needs_cosmology(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<String> {
        let bias = self.counts.iter().map(|_| BIAS.to_string());
        std::iter::once(AMPLITUDE.to_string()).chain(bias).collect()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        varied.iter().try_for_each(|(name, value)| possible(&format!("design.parameters.{name}"), *value))
    }

    fn would_vary(&self, name: &str) -> Option<String> {
        (name == BIAS).then(|| "add a section [simulator.counts]: galaxies alone depend on it".into())
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let footprint = match &mut self.footprint {
            Region::Mask(path) => Some(("/footprint/mask".to_string(), path)),
            _ => None,
        };
        let mask = self.mask.iter_mut().map(|mask| ("/mask".to_string(), mask));
        let spectra = self.spectra.iter_mut().map(|path| ("/spectra".to_string(), path));
        let n_of_z = self.n_of_z.iter_mut().enumerate();
        let n_of_z = n_of_z.filter_map(|(i, n)| n.file_mut().map(|path| (format!("/n_of_z/{i}/table/path"), path)));
        spectra.chain(n_of_z).chain(mask).chain(footprint).collect()
    }

    fn numerics(&self) -> BTreeMap<&'static str, u32> {
        // Harmonics begin by another exponential.
        BTreeMap::from([("lognormal-sphere", 2)])
    }

    fn memory(&self, of: &Universes) -> Result<Option<Memory>> {
        let (ranks, lmax) = (of.ranks.max(1), self.lmax() as u64);
        let part = |bytes: u64| bytes.div_ceil(ranks as u64);
        let (map, alm) = (part(8 * self.pixels() as u64), part(8 * (lmax + 1) * (lmax + 2)));
        let (modes, footprint) = (Sht::bytes(self.nside, self.lmax(), ranks), self.footprint()?);
        // Pixels of the footprint that the rank has which has most.
        let rings = footprint.rings();
        let starts = rings.split(ranks).into_iter().map(|r| match r == rings.count() {
            true => footprint.count(),
            false => footprint.before(rings.ring(r).first),
        });
        let starts: Vec<usize> = starts.collect();
        let seen = starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0) as u64;
        let kappa = if self.shear { map } else { 8 * seen } * self.sources() as u64;
        let specs = self.specs();
        // Rows that the rank keeps which has most.
        let kept = |names: &[&str]| -> u64 {
            let some = specs.iter().filter(|spec| names.is_empty() || names.contains(&spec.name.as_str()));
            let rows = |spec: &FieldSpec| spec.shape.first().map_or(1, |rows| rows.div_ceil(ranks) as u64);
            some.map(|spec| spec.bytes() / spec.shape.first().map_or(1, |rows| *rows as u64) * rows(spec)).sum()
        };
        // A whole row on its way to the rank that keeps it: this rank's part, what arrives, and what is kept.
        let row = |bytes: u64| bytes * (seen + footprint.count() as u64);
        let before = self.neighbours.min(self.count().saturating_sub(1)) as u64;
        let drawn = [("delta", self.delta, 0, 4), ("galaxies", self.counts.is_some(), map, 8)];
        let leaves = drawn.iter().filter(|d| d.1).map(|d| d.2 + row(d.3)).max().unwrap_or(0);
        let drawing = kappa + modes + map + (before + 2) * alm + kept(&["delta", "galaxies"]) + leaves;
        // Shear is of an analysis, which has a_ℓm and what is left over twice, and of two maps at once.
        let analysis = match (self.shear, self.c_ell.is_some()) {
            (true, _) => modes + 2 * map + 3 * alm,
            (_, true) => map + 2 * alm,
            _ => 0,
        };
        // What a footprint leaves of κ is spread over a map again.
        let spread = if kappa < map * self.sources() as u64 { map } else { 0 };
        let last = if self.sources() > 0 { row(4) } else { 0 } + if self.shear { 2 * map } else { 0 };
        let spectra = if self.c_ell.is_some() { self.sources() as u64 * alm } else { 0 };
        let lensing = kappa + modes + spectra + kept(&[]) + spread + analysis.max(last);
        // FFTs have their factors for every ring's length.
        let bytes = drawing.max(lensing) + 32 * (self.nside as u64).pow(2) + LIBRARIES;
        Ok(Some(Memory {
            expected: bytes,
            largest: bytes,
            cases: ["always".into(), "always".into()],
            safer: "take more ranks",
            key: ("simulator.nside", self.nside),
            remedy: "lower nside or lmax, or raise suite.ranks_per_sim",
        }))
    }

    /// Mean spectra of the convergence, noise included; of a footprint none, whose edges mix multipoles.
    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        let Some(bins) = self.ell_bins()?.filter(|_| field.name == "c_ell" && self.footprint.is_full()) else {
            return Ok(None);
        };
        let (spectra, universe) = (Spectra::new(self, of.cosmology()?)?, of.resolve(theta)?);
        let ((table, first), weights) = (spectra.of(&universe, index)?, spectra.weights(&universe));
        let amplitude = theta.get(AMPLITUDE).unwrap_or(self.amplitude);
        let n = self.count();
        let noise = self.noise().map_or(0.0, |sigma| sigma * sigma * 4.0 * PI / self.pixels() as f64);
        let mut values = vec![];
        for [a, b] in self.pairs() {
            let c = |l: usize| -> f64 {
                let sum =
                    |i: usize| (0..n).map(|j| weights[a][i] * weights[b][j] * table.at(i, j, l as f64)).sum::<f64>();
                let matter = if l < first { 0.0 } else { amplitude * spectra.window(l) * (0..n).map(sum).sum::<f64>() };
                matter + if a == b { noise } else { 0.0 }
            };
            values.extend(bins.spectrum(c));
        }
        Ok(Some(Theory { name: spectra.name().into(), values }))
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        Ok(Box::new(LognormalSphere::new(self, of.cosmology()?)?))
    }

    fn bench() -> Option<Bench> {
        Some(bench::BENCH)
    }
}
