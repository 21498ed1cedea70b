//! What runs: shells drawn and left one after the other, and what light makes of them.

use super::config::{BIAS, LognormalSphereConfig, of};
use super::spectra::Spectra;
use crate::cosmology::{CosmologyConfig, may_vary};
use crate::rng::{ChaCha8Rng, stream};
use crate::simulators::gathered::Gathered;
use crate::simulators::prelude::*;
use crate::sphere::{Alm, Conditional, Footprint, LognormalShells, Sht};
use rand_distr::{Distribution, Poisson, StandardNormal};
use std::cell::RefCell;
use std::f64::consts::PI;
use std::ops::Range;
use std::time::Instant;

/// Corrections of an analysis: what is left is below 1e-6.
const ITERATIONS: usize = 5;

/// Draws skies.
pub(super) struct LognormalSphere {
    config: LognormalSphereConfig,
    cosmology: CosmologyConfig,
    spectra: Spectra,
    mask: Option<Vec<f64>>,
    footprint: Footprint,
    /// What the last universe left for the next.
    last: RefCell<Option<(Sht, Universe)>>,
}

/// What universes of one cosmology and amplitude have in common.
struct Universe {
    /// All parameters but the bias, and the universe's number where that matters.
    of: Vec<f64>,
    /// ∫ W dχ, (bins, shells).
    weights: Vec<Vec<f64>>,
    shells: LognormalShells,
    given: Vec<Conditional>,
}

impl LognormalSphere {
    /// Serial: reads the files that the keys name.
    pub fn new(config: &LognormalSphereConfig, cosmology: &CosmologyConfig) -> Result<Self> {
        let (spectra, mask, footprint) = (Spectra::new(config, cosmology)?, config.mask()?, config.footprint()?);
        let (config, cosmology) = (config.clone(), cosmology.clone());
        Ok(LognormalSphere { config, cosmology, spectra, mask, footprint, last: RefCell::new(None) })
    }

    /// The job's, or the last one where it has the same. Collective.
    fn universe(&self, comm: &Comm, job: &Job, last: Option<Universe>) -> Result<Universe> {
        let number = self.spectra.of_each_universe.then_some(job.index as f64);
        let of: Vec<f64> = job.theta.iter().filter(|(name, _)| *name != BIAS).map(|p| p.1).chain(number).collect();
        if let Some(last) = last.filter(|last| last.of == of) {
            return Ok(last);
        }
        let universe = self.cosmology.resolve(&job.theta.iter().filter(|p| may_vary(p.0)).collect::<Vec<_>>());
        let universe = comm.agree(universe)?;
        let shells = self.spectra.shells(Some(comm), &universe, job.theta, job.index)?;
        let given = comm.agree((0..shells.count()).map(|k| shells.conditional(k)).collect())?;
        Ok(Universe { of, weights: self.spectra.weights(&universe), shells, given })
    }

    /// Draws a_ℓm of shell k, given those of shells before, the nearest first.
    fn draw(&self, comm: &Comm, job: &Job, k: usize, given: &Conditional, before: &[Alm]) -> Alm {
        let mut alm = Alm::normal(comm, self.config.lmax(), job.seed, job.realisation, &format!("shell {k}"));
        alm.scale(&given.sigma);
        for (before, weights) in before.iter().zip(&given.weights) {
            alm.add(before, weights);
        }
        alm
    }

    /// Calls `f(ring's random numbers, pixels)` for each ring of a map: what is drawn depends on no rank.
    fn for_each_ring(
        &self,
        sht: &Sht,
        job: &Job,
        purpose: &str,
        map: &mut [f64],
        mut f: impl FnMut(&mut ChaCha8Rng, &mut [f64]),
    ) {
        let mut rest = map;
        for r in sht.own_rings() {
            let (ring, others) = rest.split_at_mut(sht.rings().ring(r).pixels);
            f(&mut stream(job.seed, job.realisation, purpose, r as u64), ring);
            rest = others;
        }
    }

    /// Sets masked pixels to 0.
    fn masked(&self, sht: &Sht, map: &mut [f64]) {
        if let Some(mask) = &self.mask {
            map.iter_mut().zip(&mask[sht.pixels()]).filter(|(_, mask)| **mask == 0.0).for_each(|(x, _)| *x = 0.0);
        }
    }
}

/// Some of a rank's pixels of a map.
struct Part(Vec<Range<usize>>);

impl Part {
    /// All pixels.
    fn whole(pixels: usize) -> Self {
        Part(std::iter::once(0..pixels).collect())
    }

    fn of<'a>(&'a self, map: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.0.iter().flat_map(|run| map[run.clone()].iter().copied())
    }

    /// A map of all `pixels`, 0 elsewhere.
    fn spread(&self, part: Vec<f64>, pixels: usize) -> Vec<f64> {
        if part.len() == pixels {
            return part;
        }
        let mut map = vec![0.0; pixels];
        self.0.iter().flat_map(|run| run.clone()).zip(part).for_each(|(p, x)| map[p] = x);
        map
    }
}

/// Maps of a field, each a row or one of `per_row`.
fn gathered(specs: &[FieldSpec], name: &str, per_row: usize) -> Option<Gathered> {
    let spec = specs.iter().find(|spec| spec.name == name)?;
    Some(Gathered::new(spec.clone(), spec.shape[0], per_row))
}

impl Runner for LognormalSphere {
    fn specs(&self) -> Vec<FieldSpec> {
        self.config.specs()
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let (config, specs) = (&self.config, self.config.specs());
        let (lmax, mut timers, mut start) = (config.lmax(), Timers::default(), Instant::now());
        let mut lap =
            |name: &str| timers.add(name, std::mem::replace(&mut start, Instant::now()).elapsed().as_secs_f64());
        let (mut sht, universe) = match self.last.take() {
            Some((sht, last)) if sht.is_of(comm) => (sht, self.universe(comm, job, Some(last))?),
            _ => (comm.agree(Sht::new(comm, config.nside, lmax))?, self.universe(comm, job, None)?),
        };
        let (shells, weights) = (&universe.shells, &universe.weights);
        lap("spectra");
        let own = sht.pixels().len();
        let seen = Part(self.footprint.within(sht.pixels()));
        // Shear is of the convergence of the whole sky.
        let kept = if config.shear { Part::whole(own) } else { Part(seen.0.clone()) };
        let mut kappa = vec![vec![0.0; kept.0.iter().map(Range::len).sum()]; config.sources()];
        let [mut delta, mut galaxies] = ["delta", "galaxies"].map(|name| gathered(&specs, name, 1));
        let mut before: Vec<Alm> = vec![];
        for k in 0..config.count() {
            let alm = self.draw(comm, job, k, &universe.given[k], &before);
            lap("draws");
            let mut map = sht.synthesis(&alm);
            lap("transforms");
            before.insert(0, alm);
            before.truncate(config.neighbours);
            shells.exponentiate(k, &mut map);
            for (kappa, weights) in kappa.iter_mut().zip(weights).filter(|(_, weights)| weights[k] > 0.0) {
                kappa.iter_mut().zip(kept.of(&map)).for_each(|(kappa, delta)| *kappa += weights[k] * delta);
            }
            lap("lensing");
            if let (Some(to), Some(counts)) = (&mut galaxies, &config.counts) {
                let arcmin2 = 4.0 * PI / config.pixels() as f64 * (180.0 * 60.0 / PI).powi(2);
                let (mean, bias) = (of(&counts.n_gal, k) * arcmin2, job.theta.get(BIAS).unwrap_or(counts.bias));
                let (mut counts, mut drawn) = (map.clone(), Ok(()));
                self.for_each_ring(&sht, job, &format!("galaxies {k}"), &mut counts, |rng, ring| {
                    for x in ring {
                        let mean = mean * (1.0 + bias * *x);
                        *x = match (mean > 0.0).then(|| Poisson::new(mean)) {
                            Some(Ok(poisson)) => poisson.sample(rng),
                            Some(Err(e)) => {
                                let problem = format!("no number of galaxies is drawn about {mean}: {e}");
                                drawn = Err(Error::input(problem).key("simulator.counts.n_gal"));
                                0.0
                            }
                            None => 0.0,
                        };
                    }
                });
                comm.agree(drawn)?;
                self.masked(&sht, &mut counts);
                to.push(comm, seen.of(&counts));
                lap("galaxies");
            }
            if let Some(to) = &mut delta {
                self.masked(&sht, &mut map);
                to.push(comm, seen.of(&map));
                lap("observe");
            }
        }
        drop(before);
        let [mut to_kappa, mut to_shear] =
            [("kappa", 1), ("shear", 2)].map(|(name, maps)| gathered(&specs, name, maps));
        let mut noisy: Vec<Alm> = vec![];
        for (b, kappa) in kappa.into_iter().enumerate() {
            let mut kappa = kept.spread(kappa, own);
            if let Some(to) = &mut to_shear {
                let mut e = sht.analysis(&kappa, ITERATIONS);
                let factor = |l: usize| match l as f64 {
                    l if l < 2.0 => 0.0,
                    l => ((l + 2.0) * (l - 1.0) / (l * (l + 1.0))).sqrt(),
                };
                e.scale(&(0..=lmax).map(factor).collect::<Vec<f64>>());
                for mut gamma in sht.synthesis_spin2([&e, &Alm::new(comm, lmax)]) {
                    self.masked(&sht, &mut gamma);
                    to.push(comm, seen.of(&gamma));
                }
                lap("shear");
            }
            if let Some(sigma) = config.noise() {
                self.for_each_ring(&sht, job, &format!("shape noise {b}"), &mut kappa, |rng, ring| {
                    for x in ring {
                        let normal: f64 = StandardNormal.sample(rng);
                        *x += sigma * normal;
                    }
                });
            }
            if config.c_ell.is_some() {
                noisy.push(match self.footprint.is_whole() {
                    true => sht.analysis(&kappa, ITERATIONS),
                    false => {
                        let mean = comm.sum_of(seen.of(&kappa).sum::<f64>()) / self.footprint.count() as f64;
                        let rest = seen.of(&kappa).map(|x| x - mean).collect();
                        sht.analysis(&seen.spread(rest, own), ITERATIONS)
                    }
                });
                lap("c_ell");
            }
            if let Some(to) = &mut to_kappa {
                self.masked(&sht, &mut kappa);
                to.push(comm, seen.of(&kappa));
            }
            lap("observe");
        }
        let mut fields: Vec<Field> =
            [to_kappa, to_shear, delta, galaxies].into_iter().flatten().map(|gathered| gathered.field(comm)).collect();
        if let Some(bins) = config.ell_bins()? {
            let mut values = vec![];
            let part = self.footprint.count() as f64 / config.pixels() as f64;
            for [a, b] in config.pairs() {
                let c = noisy[a].c_ell(&noisy[b], comm);
                values.extend(bins.spectrum(|l| c[l] / part));
            }
            let spec = specs.iter().find(|spec| spec.name == "c_ell").cloned();
            fields.extend(spec.map(|spec| Field::on_root(comm, spec, Data::F64(values))));
        }
        self.last.replace(Some((sht, universe)));
        Ok(Output { fields, timings: timers.entries().to_vec() })
    }
}
