//! Spectra of the shells' matter, of a table or of theory, and what they weigh for the sources behind.

use super::config::{AMPLITUDE, LognormalSphereConfig, bad, of};
use crate::comm::Comm;
use crate::cosmology::angular::{AngularSpectra, Nuisance, Tracers, TracersConfig};
use crate::cosmology::{Cosmology, CosmologyConfig, RedshiftBin, RedshiftDistribution};
use crate::simulators::prelude::*;
use crate::sphere::{LognormalShells, pixel_window};
use crate::units::HUBBLE_DISTANCE;
use gauss_quad::GaussLegendre;
use std::borrow::Cow;
use std::num::NonZeroUsize;

/// Where the shells' spectra come from: it has read all files.
pub(super) struct Spectra {
    config: LognormalSphereConfig,
    cosmology: CosmologyConfig,
    bins: Vec<RedshiftBin>,
    input: Input,
    /// w_ℓ² of the pixels, where spectra are multiplied by it.
    window: Option<Vec<f64>>,
    /// True if universes have tables of linear spectra of their own.
    pub of_each_universe: bool,
}

enum Input {
    Table(AngularSpectra),
    Theory(Tracers),
}

/// Panels of each shell in redshift, and points of a Gauss rule in each.
const PANELS: usize = 16;
const POINTS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The largest ℓ up to which `check` looks for Gaussian fields: beyond it would take its time.
const LOOKED_AT: usize = 2048;

impl Spectra {
    /// Serial: reads the files that checked keys name.
    pub fn new(config: &LognormalSphereConfig, cosmology: &CosmologyConfig) -> Result<Self> {
        let input = match &config.spectra {
            Some(path) => Input::Table(table(config).map_err(|e| e.key("simulator.spectra").value(path))?),
            None => Input::Theory(tracers(config)?),
        };
        let theory = matches!(input, Input::Theory(_));
        let of_each_universe = theory && cosmology.files(0..2)?.iter().any(|(_, files)| files.len() > 1);
        let window = config.pixel_window.then(|| pixel_window(config.nside, config.lmax())).transpose()?;
        let window = window.map(|w| w.into_iter().map(|w| w * w).collect());
        let (config, cosmology, bins) = (config.clone(), cosmology.clone(), config.bins()?);
        Ok(Spectra { config, cosmology, bins, input, window, of_each_universe })
    }

    /// What pixels make of a spectrum: w_ℓ².
    pub fn window(&self, l: usize) -> f64 {
        self.window.as_ref().map_or(1.0, |window| window[l])
    }

    /// What they are called.
    pub fn name(&self) -> &'static str {
        match self.input {
            Input::Table(_) => "the table's spectra",
            Input::Theory(_) => "theory of the shells",
        }
    }

    /// The spectra without `amplitude`, of universe `index`, and the first ℓ that they have.
    pub fn of(&self, universe: &Cosmology, index: u64) -> Result<(Cow<'_, AngularSpectra>, usize)> {
        let spectra = match &self.input {
            Input::Table(table) => Cow::Borrowed(table),
            Input::Theory(tracers) => {
                let linear = self.cosmology.linear_power(universe, index)?;
                let range = [1.0, self.config.lmax() as f64];
                Cow::Owned(tracers.spectra(universe, &linear, &Nuisance::default(), range)?)
            }
        };
        let first = spectra.ell()[0].ceil() as usize;
        Ok((spectra, first))
    }

    /// The Gaussian fields of a universe's shells. Collective where there are ranks to share the pairs.
    pub fn shells(
        &self,
        comm: Option<&Comm>,
        universe: &Cosmology,
        theta: Theta,
        index: u64,
    ) -> Result<LognormalShells> {
        let config = &self.config;
        let spectra = self.of(universe, index);
        let (spectra, first) = match comm {
            Some(comm) => comm.agree(spectra)?,
            None => spectra?,
        };
        let amplitude = theta.get(AMPLITUDE).unwrap_or(config.amplitude);
        let shifts = (0..config.count()).map(|k| of(&config.shift, k)).collect();
        let last = if comm.is_some() { config.lmax() } else { config.lmax().min(LOOKED_AT) };
        let c = |i: usize, j: usize, l: usize| amplitude * self.window(l) * spectra.at(i, j, l as f64);
        LognormalShells::new(comm, [first, last], shifts, config.neighbours, c).map_err(|e| {
            let e = match &config.spectra {
                Some(path) => e.key("simulator.spectra").value(path),
                None => e.key("simulator.shift").value(&config.shift[..]),
            };
            e.remedy("raise shift, lower lmax or amplitude, or look at these spectra: no lognormal fields have them")
        })
    }

    /// ∫ W_b dχ over each shell, (bins, shells).
    pub fn weights(&self, universe: &Cosmology) -> Vec<Vec<f64>> {
        let chi = |z: f64| universe.comoving_distance(1.0 / (1.0 + z));
        let across = |chi| universe.transverse_distance(chi);
        let strength = 1.5 * universe.omega_m() / HUBBLE_DISTANCE.powi(2);
        let rule = GaussLegendre::new(POINTS);
        // Panels end where all galaxies of a bin are, from where on its weight is 0.
        let mut breaks = self.config.shells.clone();
        breaks.extend(self.bins.iter().filter(|bin| bin.galaxies.len() == 1).map(|bin| bin.galaxies[0].0));
        breaks.sort_by(f64::total_cmp);
        let mut nodes: Vec<(f64, f64, f64)> = vec![];
        for edges in breaks.windows(2).filter(|edges| edges[0] < edges[1]) {
            let panel = (edges[1] - edges[0]) / PANELS as f64;
            for i in 0..PANELS {
                let from = edges[0] + i as f64 * panel;
                for (x, w) in rule.iter() {
                    let z = from + 0.5 * panel * (1.0 + x);
                    let at = chi(z);
                    let dchi = 0.5 * panel * w * HUBBLE_DISTANCE / universe.e(1.0 / (1.0 + z));
                    nodes.push((z, at, dchi * strength * across(at) * (1.0 + z)));
                }
            }
        }
        let of_bin = |bin: &RedshiftBin| {
            let galaxies: Vec<(f64, f64)> =
                bin.galaxies.iter().map(|&(z, n)| (chi(z), n)).map(|(far, n)| (far, n / across(far))).collect();
            let behind = |x: f64| {
                let all = galaxies.iter().filter(|(far, _)| *far > x);
                all.map(|(far, n)| n * across(far - x)).sum::<f64>()
            };
            let shell = |edges: &[f64]| -> f64 {
                let here = nodes.iter().filter(|(z, ..)| (edges[0]..edges[1]).contains(z));
                here.map(|&(_, x, weight)| weight * behind(x)).sum()
            };
            self.config.shells.windows(2).map(shell).collect()
        };
        self.bins.iter().map(of_bin).collect()
    }
}

/// The table, which has the shells' pairs up to lmax.
fn table(config: &LognormalSphereConfig) -> Result<AngularSpectra> {
    let Some(path) = &config.spectra else { return Err(Error::input("is missing")) };
    let table = AngularSpectra::read(path)?;
    if table.names().len() != config.count() {
        let problem = format!("has spectra of {} fields, and there are {} shells", table.names().len(), config.count());
        return Err(bad("spectra", path, problem, "give spectra of every shell and of all their pairs"));
    }
    table.covers(2.0, config.lmax() as f64)?;
    Ok(table)
}

/// Top hats in redshift of bias 1.
fn tracers(config: &LognormalSphereConfig) -> Result<Tracers> {
    let theory = config.theory.clone().unwrap_or_default();
    let shell = |z: &[f64]| RedshiftDistribution::Tophat { z_min: z[0], z_max: z[1] };
    let fields = TracersConfig {
        sources: vec![],
        lenses: config.shells.windows(2).map(shell).collect(),
        bias: vec![1.0],
        magnification: vec![],
        alignments: None,
        nonlinear: theory.nonlinear,
        limber_from: theory.limber_from,
    };
    Tracers::new(&fields, "simulator.theory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shells of 0.05 in redshift lens as the whole line of sight does.
    #[test]
    fn shells_lens_as_the_line_of_sight_does() {
        let config: LognormalSphereConfig = toml::from_str(
            "nside = 256\ntheory = {}\nsource_redshifts = [0.62]\nn_of_z = [{ gaussian = { mean = 0.7, sigma = 0.05 } }]\n\
             shells = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]",
        )
        .unwrap();
        config.check_keys().unwrap();
        let cosmology = CosmologyConfig::default();
        let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
        let universe = cosmology.resolve(&planck).unwrap();
        let spectra = Spectra::new(&config, &cosmology).unwrap();
        let ((matter, first), weights) = (spectra.of(&universe, 0).unwrap(), spectra.weights(&universe));
        assert_eq!((first, matter.names().len()), (1, config.count()));
        let line = TracersConfig {
            sources: [vec![RedshiftDistribution::Plane { z: 0.62 }], config.n_of_z.clone()].concat(),
            lenses: vec![],
            bias: vec![1.0],
            magnification: vec![],
            alignments: None,
            nonlinear: Default::default(),
            limber_from: None,
        };
        let linear = cosmology.linear_power(&universe, 0).unwrap();
        let exact = Tracers::new(&line, "line").unwrap();
        let exact = exact.spectra(&universe, &linear, &Nuisance::default(), [1.0, 384.0]).unwrap();
        let ratio = |[a, b]: [usize; 2], l: f64| {
            let pairs = (0..config.count()).flat_map(|i| (0..config.count()).map(move |j| (i, j)));
            let sum: f64 = pairs.map(|(i, j)| weights[a][i] * weights[b][j] * matter.at(i, j, l)).sum();
            sum / exact.at(a, b, l)
        };
        let ratios = [[0, 0], [0, 1], [1, 1]].map(|pair| [15.0, 40.0, 120.0, 380.0].map(|l| ratio(pair, l)));
        assert!(ratios.iter().flatten().all(|ratio| (ratio - 1.0).abs() < 0.04), "{ratios:?}");
        assert!(ratios.iter().all(|of| of[2..].iter().all(|ratio| (ratio - 1.0).abs() < 0.02)), "{ratios:?}");
        // The shells behind the source weigh nothing, that around it something.
        assert!(weights[0][12] > 0.0 && weights[0][13..].iter().all(|w| *w == 0.0));
    }
}
