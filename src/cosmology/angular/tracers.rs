//! Predicted spectra: in Limber's extended form (LoVerde & Afshordi 2008; Kilbinger et al. 2017)
//!
//! C_ij(ℓ) = ∫ dχ W_i W_j/f_K² P(k = (ℓ + ½)/f_K, χ),
//!
//! W_κ multiplied by ℓ (ℓ + 1)/(ℓ + ½)², and at low ℓ what linear theory adds.

use super::bessel::beyond_limber;
use super::kernels::{Distances, Field, Kernel, Node, line_of_sight};
use super::skewness::{of_cylinder, shift};
use super::{AngularSpectra, Nuisance, TracersConfig};
use crate::cosmology::{Cosmology, Growth, LinearPower, MatterPower, RedshiftBin, RedshiftDistribution, Spline};
use crate::error::{Error, Result};
use crate::units::RHO_CRIT;

/// C₁ in (Mpc/h)³/(Msun/h) (Bridle & King 2007).
const C1: f64 = 5e-14;
/// Multipoles grow by less than one part in so many.
const PER_E_FOLD: f64 = 12.0;
/// Largest wavenumber in h/Mpc for which Bessel functions are integrated.
const K_MAX: f64 = 0.5;

/// The fields of a [`TracersConfig`] with their redshifts: it reads all files once.
#[derive(Debug, Clone)]
pub struct Tracers {
    config: TracersConfig,
    sources: Vec<RedshiftBin>,
    lenses: Vec<RedshiftBin>,
}

impl Tracers {
    /// Checks `config`, which the user called `section`, and reads its tables.
    pub fn new(config: &TracersConfig, section: &str) -> Result<Self> {
        config.check(section)?;
        let tabulate = |key: &str, list: &[RedshiftDistribution]| {
            let bins = list.iter().enumerate();
            let bins = bins.map(|(i, n)| n.tabulate().map_err(|e| e.key(format!("{section}.{key}.{i}"))));
            Ok::<_, Error>(bins.collect::<Result<Vec<_>>>()?.concat())
        };
        Ok(Tracers {
            sources: tabulate("sources", &config.sources)?,
            lenses: tabulate("lenses", &config.lenses)?,
            config: config.clone(),
        })
    }

    /// The matter density contrast averaged in shells between comoving distances `edges` (Mpc/h, growing), evenly in
    /// redshift: what lognormal skies are made of, and their spectra `counts0`, `counts1` …
    pub fn shells(cosmology: &Cosmology, edges: &[f64], mut config: TracersConfig) -> Result<Self> {
        let wrong = |chi: f64| Error::input("is no distance at which a shell can end").value(chi);
        let z = |&chi: &f64| match cosmology.scale_factor_at(chi) {
            Some(a) => Ok(1.0 / a - 1.0),
            None => Err(wrong(chi).remedy("give distances in Mpc/h, from 0 to below the horizon")),
        };
        let z: Vec<f64> = edges.iter().map(z).collect::<Result<_>>()?;
        config.sources = vec![];
        config.lenses =
            z.windows(2).map(|z| RedshiftDistribution::Tophat { z_min: z[0].max(0.0), z_max: z[1] }).collect();
        Self::new(&config, "shells")
    }

    /// What the fields are called, as [`TracersConfig::names`].
    pub fn names(&self) -> Vec<String> {
        self.config.names()
    }

    /// Numbers of bins of sources and of counted galaxies.
    pub fn bins(&self) -> [usize; 2] {
        [self.sources.len(), self.lenses.len()]
    }

    /// Linear bias of a bin of counted galaxies, as the section has it.
    pub fn bias_of(&self, bin: usize) -> f64 {
        self.config.bias_of(bin)
    }

    /// Spectra of all pairs, for multipoles from `ell[0]` (at least 1) to `ell[1]`, with the linear spectrum `linear` of
    /// today. Not collective, reads nothing.
    pub fn spectra(
        &self,
        cosmology: &Cosmology,
        linear: &LinearPower,
        nuisance: &Nuisance,
        ell: [f64; 2],
    ) -> Result<AngularSpectra> {
        self.predict(cosmology, linear, nuisance, ell, None).map(|(spectra, _)| spectra)
    }

    /// The same, and each field's shift as a lognormal one: of convergence in discs of `radius` (radians), by its third
    /// moment; of counts 1, for there is no less than no galaxy.
    pub fn spectra_and_shifts(
        &self,
        cosmology: &Cosmology,
        linear: &LinearPower,
        nuisance: &Nuisance,
        ell: [f64; 2],
        radius: f64,
    ) -> Result<(AngularSpectra, Vec<f64>)> {
        self.predict(cosmology, linear, nuisance, ell, Some(radius))
    }

    fn predict(
        &self,
        cosmology: &Cosmology,
        linear: &LinearPower,
        nuisance: &Nuisance,
        ell: [f64; 2],
        radius: Option<f64>,
    ) -> Result<(AngularSpectra, Vec<f64>)> {
        let limber_from = self.config.limber_from() as f64;
        let ell = multipoles(ell)?;
        if limber_from > ell[0] && cosmology.omega_k() != 0.0 {
            return Err(Error::input("Bessel functions are for flat universes, this one is curved")
                .key("cosmology.Omega_k")
                .value(cosmology.omega_k())
                .remedy("set limber_from = 0"));
        }
        let sources = shifted(&self.sources, &nuisance.source_shift, "source")?;
        let lenses = shifted(&self.lenses, &nuisance.lens_shift, "lens")?;
        let m = per_bin(&nuisance.m, sources.len(), "multiplicative bias")?;
        let a_ia = match &self.config.alignments {
            Some(a) => nuisance.a_ia.or(a.a_ia).ok_or_else(|| {
                Error::input("the alignments have no amplitude").remedy("give alignments.A_IA, or vary A_IA")
            })?,
            None => 0.0,
        };
        let bias = match nuisance.bias.len() {
            0 => (0..lenses.len()).map(|i| self.config.bias_of(i)).collect(),
            _ => per_bin(&nuisance.bias, lenses.len(), "bias")?,
        };
        let bins: Vec<&RedshiftBin> = sources.iter().chain(&lenses).collect();
        let z_max = bins.iter().map(|b| b.range[1]).fold(0.0, f64::max);
        let growth = Growth::new(cosmology);
        let distances = Distances::new(cosmology, z_max);
        let kernels: Vec<Kernel> = bins.iter().map(|b| Kernel::new(cosmology, &distances, b)).collect();
        let fields = |nodes: &[Node]| {
            let (sources, lenses) = kernels.split_at(sources.len());
            let kappa = sources.iter().zip(&m).map(|(kernel, m)| self.convergence(kernel, *m, a_ia, &growth, nodes));
            kappa
                .chain(lenses.iter().enumerate().map(|(i, kernel)| self.counts(kernel, i, bias[i], nodes)))
                .collect::<Vec<_>>()
        };

        let nodes = line_of_sight(cosmology, &distances, &bins, f64::INFINITY);
        let weights = fields(&nodes);
        let matter = MatterPower::new(&growth, linear, self.config.nonlinear, z_max)?;
        let mut cylinders = vec![];
        // P dχ/f_K² at every point and multipole.
        let power: Vec<Vec<f64>> = nodes
            .iter()
            .map(|node| {
                let a = 1.0 / (1.0 + node.z);
                let at = matter.at(a);
                let d2 = growth.d2(a) / growth.d1(a).powi(2);
                cylinders.extend(radius.map(|radius| of_cylinder(&at, radius * node.across, d2)));
                let scale = node.weight / node.across.powi(2);
                ell.iter().map(|l| scale * at.p((l + 0.5) / node.across)).collect()
            })
            .collect();
        let n = bins.len();
        let mut c = vec![vec![0.0; ell.len()]; n * (n + 1) / 2];
        for (l, &multipole) in ell.iter().enumerate() {
            let here: Vec<Vec<f64>> =
                weights.iter().map(|field| (0..nodes.len()).map(|n| field.at(n, multipole)).collect()).collect();
            let mut pair = 0;
            for i in 0..n {
                let weighed: Vec<f64> = here[i].iter().zip(&power).map(|(w, p)| w * p[l]).collect();
                for other in &here[i..] {
                    c[pair][l] = weighed.iter().zip(other).map(|(a, b)| a * b).sum();
                    pair += 1;
                }
            }
        }

        let low: Vec<f64> = ell.iter().copied().filter(|l| *l < limber_from).collect();
        if let Some(&highest) = low.last() {
            let k_max = lenses.iter().map(|bin| reach(bin, &distances, highest)).fold(0.1, f64::max).min(K_MAX);
            let nodes = line_of_sight(cosmology, &distances, &bins, 8.0 / k_max);
            let d1: Vec<f64> = nodes.iter().map(|node| growth.d1(1.0 / (1.0 + node.z))).collect();
            let some = sparse(&low);
            let more = beyond_limber(&some, &fields(&nodes), &nodes, &d1, linear, k_max);
            let x: Vec<f64> = some.iter().map(|l| (*l as f64 + 0.5).ln()).collect();
            for (c, more) in c.iter_mut().zip(more) {
                match x.len() {
                    1 => c[0] += more[0],
                    _ => {
                        let more = Spline::new(x.clone(), more);
                        c.iter_mut().zip(&low).for_each(|(c, l)| *c += more.at((l + 0.5).ln()));
                    }
                }
            }
        }
        let shifts = match radius {
            Some(_) => self.shifts(&nodes, &weights, &cylinders)?,
            None => vec![],
        };
        Ok((AngularSpectra::new(self.names(), ell, c)?, shifts))
    }

    /// Of the fields with these weights, in cylinders with these σ² and S₃ around each point.
    fn shifts(&self, nodes: &[Node], weights: &[Field], cylinders: &[[f64; 2]]) -> Result<Vec<f64>> {
        let of = |(i, name): (usize, String)| {
            if i >= self.sources.len() {
                return Ok(1.0);
            }
            let (mut second, mut third) = (0.0, 0.0);
            for ((node, w), [variance, s3]) in nodes.iter().zip(&weights[i].lensing).zip(cylinders) {
                second += node.weight * w.powi(2) * variance;
                third += node.weight * w.powi(3) * s3 * variance.powi(2);
            }
            shift(second, third).ok_or_else(|| {
                let problem =
                    format!("gravity gives {name} the third moment {third:.2e}, and a lognormal field's is positive");
                Error::input(problem).remedy("give the shift as a number")
            })
        };
        self.names().into_iter().enumerate().map(of).collect()
    }

    /// Convergence and alignments of a bin of sources, times 1 + m.
    fn convergence(&self, kernel: &Kernel, m: f64, a_ia: f64, growth: &Growth, nodes: &[Node]) -> Field {
        let cosmology = growth.cosmology();
        let aligned = |node: &Node| match &self.config.alignments {
            None => 0.0,
            Some(a) => {
                let amplitude = -a_ia * C1 * RHO_CRIT * cosmology.omega_m() / growth.d1(1.0 / (1.0 + node.z));
                amplitude * ((1.0 + node.z) / (1.0 + a.z0)).powf(a.eta) * kernel.density(node)
            }
        };
        let lensing = nodes.iter().map(|node| (1.0 + m) * (kernel.convergence(node) + aligned(node))).collect();
        Field { matter: vec![0.0; nodes.len()], lensing }
    }

    /// Counts of bin `i` and their magnification.
    fn counts(&self, kernel: &Kernel, i: usize, bias: f64, nodes: &[Node]) -> Field {
        let of = |list: &[f64]| if list.len() == 1 { list[0] } else { list[i] };
        let lensing = match self.config.magnification.is_empty() {
            true => vec![0.0; nodes.len()],
            false => {
                let strength = 5.0 * of(&self.config.magnification) - 2.0;
                nodes.iter().map(|node| strength * kernel.convergence(node)).collect()
            }
        };
        Field { matter: nodes.iter().map(|node| bias * kernel.density(node)).collect(), lensing }
    }
}

/// Wavenumber in h/Mpc from which a bin of counts has nothing but what Limber's approximation knows.
fn reach(bin: &RedshiftBin, distances: &Distances, ell: f64) -> f64 {
    let [z, width] = bin.moments();
    let near = distances.at((z - 2.0 * width).max(0.25 * z));
    let rms = 0.5 * (distances.at(z + width) - distances.at((z - width).max(0.0)));
    (ell + 0.5) / near + 8.0 / rms
}

/// Those of growing multipoles between which what is beyond Limber can be interpolated, the first and the last among
/// them.
fn sparse(ell: &[f64]) -> Vec<usize> {
    let (mut some, mut next) = (vec![], 0.0);
    for (i, &l) in ell.iter().enumerate() {
        if l >= next || i + 1 == ell.len() {
            some.push(l as usize);
            next = 1.2 * l;
        }
    }
    some
}

/// One number for each bin; zeros where none are given.
fn per_bin(list: &[f64], bins: usize, what: &str) -> Result<Vec<f64>> {
    match list.len() {
        0 => Ok(vec![0.0; bins]),
        n if n == bins && list.iter().all(|x| x.is_finite()) => Ok(list.to_vec()),
        n => Err(Error::input(format!("there are {n} values of {what} for {bins} bins, or some are not finite"))
            .remedy("give a finite one for each bin")),
    }
}

fn shifted(bins: &[RedshiftBin], by: &[f64], what: &str) -> Result<Vec<RedshiftBin>> {
    let by = per_bin(by, bins.len(), &format!("{what} shift"))?;
    bins.iter().zip(by).map(|(bin, by)| if by == 0.0 { Ok(bin.clone()) } else { bin.shifted(by) }).collect()
}

/// Integers from below `min` to above `max`: each at low ℓ, then evenly in ln ℓ.
fn multipoles([min, max]: [f64; 2]) -> Result<Vec<f64>> {
    if !(min >= 1.0 && min < max && max <= 1e6) {
        return Err(Error::input(format!("there are no spectra from ℓ = {min} to {max}"))
            .remedy("multipoles grow from 1 or above to at most a million"));
    }
    let mut ell = vec![min.floor()];
    while ell[ell.len() - 1] < max {
        let last = ell[ell.len() - 1];
        ell.push((last + 1.0).max((last * (1.0 / PER_E_FOLD).exp()).floor()).min(max.ceil()));
    }
    Ok(ell)
}
