//! The shells: maps of projected overdensity, their pixels dealt out over the ranks, and what light makes of them.

use super::{SkyCone, SkyLayout};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::observables::lensing::{ShapeNoise, Sources};
use crate::rng::stream;
use crate::sphere::{Alm, Sht};
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::PI;
use std::ops::Range;

/// Corrections of an analysis.
const ITERATIONS: usize = 3;
/// Pixels that draw their noise from one stream.
const BLOCK: usize = 4096;

/// Maps of Σ_δ = ∫ δ dχ over each slice, in Mpc/h, in single precision; of each a rank has its pixels.
pub struct SkyPlanes {
    pub(super) comm: Comm,
    cone: SkyCone,
    layout: SkyLayout,
    held: Vec<Option<Vec<f32>>>,
}

impl SkyPlanes {
    /// No maps yet.
    pub fn new(comm: &Comm, cone: SkyCone) -> Self {
        let layout = SkyLayout { comm: comm.clone(), footprint: cone.footprint.clone() };
        SkyPlanes { comm: comm.clone(), held: vec![None; cone.slices.len()], cone, layout }
    }

    /// The geometry.
    pub fn cone(&self) -> &SkyCone {
        &self.cone
    }

    /// Which rank has which pixels.
    pub fn layout(&self) -> &SkyLayout {
        &self.layout
    }

    /// The places of this rank's pixels in the footprint.
    pub fn places(&self) -> Range<usize> {
        self.layout.places()
    }

    /// Number of shells.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Never true: a cone has at least one slice.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Sets this rank's pixels of shell `k`.
    pub fn put(&mut self, k: usize, mine: Vec<f32>) {
        assert_eq!(mine.len(), self.places().len(), "a rank has its pixels of a shell");
        self.held[k] = Some(mine);
    }

    /// This rank's pixels of shell `k`; zeros before it was set.
    pub fn get(&self, k: usize) -> Vec<f32> {
        self.held[k].clone().unwrap_or_else(|| vec![0.0; self.places().len()])
    }

    /// Itself, once every shell has its map.
    pub fn complete(self) -> Result<Self> {
        match self.held.iter().position(Option::is_none) {
            None => Ok(self),
            Some(k) => Err(Error::failed(format!(
                "the simulation never passed a = {:.4}, when light left shell {k} of the light cone",
                self.cone.slices[k].a
            ))
            .remedy("let simulator.time cover every shell: start earlier, or end at a = 1")),
        }
    }

    /// This rank's pixels of the convergence of every bin, by Born's approximation, as [`super::super::born`].
    pub fn born(&self, sources: &Sources) -> Vec<Vec<f64>> {
        let mut kappa = vec![vec![0.0; self.places().len()]; sources.bins()];
        for (slice, map) in self.cone.slices.iter().zip(&self.held) {
            for (bin, kappa) in kappa.iter_mut().enumerate() {
                let weight = slice.strength * sources.efficiency(bin, slice.chi);
                let map = map.iter().flatten();
                kappa.iter_mut().zip(map).for_each(|(kappa, sigma)| *kappa += weight * f64::from(*sigma));
            }
        }
        kappa
    }

    /// A map whose multipoles ℓ ≤ 2 nside are multiplied by `factor(ℓ)`, and what is smaller by the last of these.
    /// Collective.
    pub(super) fn filtered(&self, mut mine: Vec<f64>, factor: impl Fn(f64) -> f64) -> Result<Vec<f64>> {
        let nside = self.cone.footprint.rings().nside();
        let lmax = 2 * nside;
        let mut sht = self.comm.agree(Sht::new(&self.comm, nside, lmax))?;
        let small = factor(lmax as f64);
        let mut alm = sht.analysis(&self.layout.to_rings(&sht, &mine), ITERATIONS);
        alm.scale(&(0..=lmax).map(|l| factor(l as f64) - small).collect::<Vec<f64>>());
        let large = sht.synthesis(&alm);
        let large = self.layout.from_rings(&sht, &large);
        mine.iter_mut().zip(large).for_each(|(x, large)| *x = small * *x + large);
        Ok(mine)
    }
}

impl SkyLayout {
    /// This rank's pixels of the shear γ1, γ2 of a convergence of the whole sky, up to ℓ = 2 nside, in the frame of θ
    /// (southward) and φ (eastward): γ_ℓm = √((ℓ + 2)(ℓ − 1)/(ℓ(ℓ + 1))) κ_ℓm (Hu 2000, PRD 62, 043007). Collective.
    pub fn shear(&self, kappa: &[f64]) -> Result<[Vec<f64>; 2]> {
        let nside = self.footprint.rings().nside();
        let lmax = 2 * nside;
        let mut sht = self.comm.agree(Sht::new(&self.comm, nside, lmax))?;
        let mut e = sht.analysis(&self.to_rings(&sht, kappa), ITERATIONS);
        let factor = |l: usize| match l as f64 {
            l if l < 2.0 => 0.0,
            l => ((l + 2.0) * (l - 1.0) / (l * (l + 1.0))).sqrt(),
        };
        e.scale(&(0..=lmax).map(factor).collect::<Vec<f64>>());
        let gamma = sht.synthesis_spin2([&e, &Alm::new(&self.comm, lmax)]);
        Ok(gamma.map(|gamma| self.from_rings(&sht, &gamma)))
    }

    /// Spectra C_ℓ up to `lmax` of pairs of maps. Where not all of the sky is seen with weight 1, each map has its
    /// weighted mean taken away and is multiplied by its `weight`, and the spectra are divided by ⟨w²⟩: pseudo-C_ℓ,
    /// right on the whole where they hardly vary over the footprint's own width in ℓ. Collective.
    pub fn c_ell(
        &self,
        maps: &[Vec<f64>],
        weight: Option<&[f64]>,
        lmax: usize,
        pairs: &[[usize; 2]],
    ) -> Result<Vec<Vec<f64>>> {
        let mut sht = self.comm.agree(Sht::new(&self.comm, self.footprint.rings().nside(), lmax))?;
        let weight = |p: usize| weight.map_or(1.0, |w| w[p]);
        let total = |f: &dyn Fn(usize) -> f64| -> f64 {
            // The same sum on any number of ranks to rounding.
            self.comm.sum_of((0..self.places().len()).map(f).sum::<f64>())
        };
        let [norm, square] = [total(&|p| weight(p)), total(&|p| weight(p).powi(2))];
        if square <= 0.0 {
            let error = Error::input("leaves no pixel of the footprint").key("simulator.lightcone.mask");
            return Err(error.remedy("look at the mask"));
        }
        let all = self.footprint.rings().pixels() as f64;
        let part = square < all;
        let mut alm = vec![];
        for map in maps {
            let mean = if part { total(&|p| weight(p) * map[p]) / norm } else { 0.0 };
            let weighted: Vec<f64> = map.iter().enumerate().map(|(p, x)| weight(p) * (x - mean)).collect();
            alm.push(sht.analysis(&self.to_rings(&sht, &weighted), ITERATIONS));
        }
        let spectrum = |&[a, b]: &[usize; 2]| -> Vec<f64> {
            alm[a].c_ell(&alm[b], &self.comm).into_iter().map(|c| c * all / square).collect()
        };
        Ok(pairs.iter().map(spectrum).collect())
    }
}

/// Adds the noise of galaxy shapes to this rank's pixels of a map, as
/// [`add_shape_noise`](crate::observables::lensing::add_shape_noise). The draws depend on (seed, realisation, index) and
/// the pixel alone, whatever else is seen of the sky.
pub fn add_sky_noise(mine: &mut [f64], of: &SkyLayout, noise: &ShapeNoise, [seed, realisation]: [u64; 2], index: u64) {
    let sigma = noise.per_pixel((4.0 * PI / of.footprint.rings().pixels() as f64).sqrt());
    let (mut block, mut normals): (usize, Vec<f64>) = (usize::MAX, vec![]);
    for (x, pixel) in mine.iter_mut().zip(of.footprint.at(of.places())) {
        if pixel / BLOCK != block {
            block = pixel / BLOCK;
            let rng = stream(seed, realisation, "shape noise on the sphere", index << 32 | block as u64);
            normals = StandardNormal.sample_iter(rng).take(BLOCK).collect();
        }
        *x += sigma * normals[pixel % BLOCK];
    }
}
