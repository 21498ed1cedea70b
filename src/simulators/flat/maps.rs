//! What a kind of maps has of a campaign: the spectra of their pixels, and what is said of them.

use super::shift::{Named, Shift};
use super::spectrum::{A_IA, BIAS, CALIBRATION, Input, SHIFT};
use super::{Keys, SkyConfig, SpectrumConfig, bad};
use crate::cosmology::angular::{AngularSpectra, Nuisance};
use crate::cosmology::may_vary;
use crate::error::Result;
use crate::fields::flat_sky::AngularConfig;
use crate::fields::grid_spectra::{GridSpectra, Roots, pairs};
use crate::fields::lognormal::Lognormal;
use crate::fields::peaks::PeakConfig;
use crate::io::field::{Axis, AxisKind, FieldSpec};
use crate::mesh::Plane;
use crate::prior::Theta;
use crate::simulators::sky::Sky;
use crate::simulators::{Theory, Universes};
use std::borrow::Cow;
use std::f64::consts::{PI, TAU};
use std::ops::Range;

/// All that a kind of maps has of a campaign.
#[derive(Debug, Clone)]
pub struct FlatMaps {
    pub spectrum: SpectrumConfig,
    pub input: Input,
    /// Of lognormal maps.
    pub shift: Option<Shift>,
    pub sky: SkyConfig,
    pub c_ell: Option<AngularConfig>,
    pub peaks: Option<PeakConfig>,
}

impl FlatMaps {
    /// Reads the files of spectra and redshifts. Serial.
    pub fn new(of: &Universes, keys: Keys) -> Result<FlatMaps> {
        let Keys { spectrum, shift, sky, c_ell, peaks } = keys;
        let (input, spectrum, shift) = (spectrum.input(of)?, spectrum.clone(), shift.cloned());
        Ok(FlatMaps { spectrum, input, shift, sky: sky.clone(), c_ell: c_ell.cloned(), peaks: peaks.cloned() })
    }

    /// Serial: refuses what cannot be made.
    pub fn check(&self, of: &Universes) -> Result<()> {
        self.sky.check(self.maps(), self.kappas())?;
        self.spectrum.check(of)?;
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        self.c_ell.iter().try_for_each(|c| c.ell_bins(n, side).map(drop))?;
        self.peaks.iter().try_for_each(|c| c.height_bins().map(drop))?;
        if let Input::Table(table) = &self.input {
            let [fundamental, corner] = self.multipoles();
            table.covers(fundamental, corner).map_err(|e| e.key("simulator.spectrum.file"))?;
        }
        self.check_shift()?;
        if matches!(self.input, Input::PowerLaw) && self.shift.is_none() {
            return Ok(());
        }
        // What stands for all universes can be drawn.
        let middle = of.prior.middle();
        let drawn = self.drawn(of.prior.theta(&middle), 0, &mut Plane::new([n, n]));
        let key = if self.shift.is_some() { "simulator.shift" } else { "simulator.spectrum" };
        drawn.map(drop).map_err(|e| if e.key.is_some() { e } else { e.key(key) })
    }

    fn check_shift(&self) -> Result<()> {
        let counts = self.maps() - self.kappas();
        let positive = |problem: &str| {
            let remedy = "take lognormal-flat, with shifts of at most 1 of the maps of counts";
            Err(bad("sky.galaxies", self.sky.mean_galaxies(counts), problem, remedy))
        };
        match &self.shift {
            None if self.sky.galaxies.is_some() => positive("Gaussian maps have pixels with less than no galaxies"),
            Some(Shift::Named(Named::Theory)) if !matches!(self.input, Input::Theory(_)) => {
                let problem = "there is no theory of these maps";
                Err(bad("shift", "theory", problem, "give numbers, or [simulator.spectrum.tracers]"))
            }
            Some(Shift::Numbers(shifts)) => {
                if shifts.len() != 1 && shifts.len() != self.maps() {
                    let problem = format!("has {} numbers, and there are {} maps", shifts.len(), self.maps());
                    return Err(bad("shift", &shifts[..], problem, "give one number, or one for each map"));
                }
                if let Some(shift) = shifts.iter().find(|shift| !(**shift > 0.0 && shift.is_finite())) {
                    return Err(bad("shift", shift, "is no shift", "give how far below 0 the maps may reach, above 0"));
                }
                let below = (self.kappas()..self.maps()).any(|map| shifts[map.min(shifts.len() - 1)] > 1.0);
                match self.sky.galaxies.is_some() && below {
                    true => positive("maps of counts with a shift above 1 have pixels with less than no galaxies"),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Maps of convergence, which come first; the others are of counts.
    pub fn kappas(&self) -> usize {
        match &self.input {
            Input::Theory(theory) => theory.0.bins()[0],
            _ => self.maps(),
        }
    }

    /// Rms of the noise in each map's pixels.
    pub fn noise(&self) -> Vec<f64> {
        self.sky.noise(self.maps(), self.kappas())
    }

    pub fn maps(&self) -> usize {
        self.names().len()
    }

    pub fn names(&self) -> Vec<String> {
        match &self.input {
            Input::PowerLaw => vec!["0".into()],
            Input::Table(table) => table.names().to_vec(),
            Input::Theory(theory) => theory.0.names(),
        }
    }

    /// From the fundamental 2π/side to the corner of the Fourier plane.
    fn multipoles(&self) -> [f64; 2] {
        let fundamental = TAU / self.sky.field_of_view_deg.to_radians();
        [fundamental, fundamental * (self.sky.pixels / 2) as f64 * 2f64.sqrt()]
    }

    /// The spectra that are multiplied in universe `index`, and its shifts where theory gives them.
    fn table(&self, theta: Theta, index: u64) -> Result<(Option<Cow<'_, AngularSpectra>>, Vec<f64>)> {
        let (tracers, cosmology) = match &self.input {
            Input::PowerLaw => return Ok((None, vec![])),
            Input::Table(table) => return Ok((Some(Cow::Borrowed(table)), vec![])),
            Input::Theory(theory) => &**theory,
        };
        let universe = cosmology.resolve(&theta.iter().filter(|(name, _)| may_vary(name)).collect::<Vec<_>>())?;
        let linear = cosmology.linear_power(&universe, index)?;
        let names = tracers.names();
        let (kappa, counts) = names.split_at(self.kappas());
        let own = |what: &str, name: &String| theta.get(&format!("{what}{name}"));
        let of = |names: &[String], what: &str| names.iter().map(|name| own(what, name).unwrap_or(0.0)).collect();
        let bias = counts.iter().enumerate().map(|(i, name)| own(BIAS, name).unwrap_or_else(|| tracers.bias_of(i)));
        let nuisance = Nuisance {
            source_shift: of(kappa, SHIFT),
            lens_shift: of(counts, SHIFT),
            m: of(kappa, CALIBRATION),
            bias: bias.collect(),
            a_ia: theta.get(A_IA),
        };
        let (spectra, shifts) = match self.shift {
            Some(Shift::Named(Named::Theory)) => {
                // Of a disc as large as a pixel.
                let radius = self.sky.field_of_view_deg.to_radians() / self.sky.pixels as f64 / PI.sqrt();
                tracers.spectra_and_shifts(&universe, &linear, &nuisance, self.multipoles(), radius)?
            }
            _ => (tracers.spectra(&universe, &linear, &nuisance, self.multipoles())?, vec![]),
        };
        Ok((Some(Cow::Owned(spectra)), shifts))
    }

    /// What the maps' pixels have in common in universe `index`, without noise, in these columns, and its shifts where theory
    /// gives them.
    fn grid(&self, theta: Theta, index: u64, columns: Range<usize>) -> Result<(GridSpectra, Vec<f64>)> {
        let (sky, factor, (table, shifts)) = (&self.sky, self.spectrum.factor(theta), self.table(theta, index)?);
        let c = |i: usize, j: usize, ell: f64| factor(ell) * table.as_ref().map_or(1.0, |table| table.at(i, j, ell));
        let grid = (sky.pixels, sky.field_of_view_deg);
        Ok((GridSpectra::of_columns(columns, self.maps(), grid, sky.pixel_window, c), shifts))
    }

    /// What draws a universe's maps, without noise. Collective over the plane.
    pub fn drawn(&self, theta: Theta, index: u64, plane: &mut Plane<f64>) -> Result<Drawn> {
        let (grid, theory) = plane.agree(self.grid(theta, index, plane.columns()))?;
        let shifts = match &self.shift {
            None => return plane.agree(grid.roots()).map(Drawn::Gaussian),
            Some(Shift::Numbers(all)) => (0..self.maps()).map(|map| all[map.min(all.len() - 1)]).collect(),
            Some(Shift::Named(Named::Theory)) => theory,
        };
        Lognormal::new(&grid, &shifts, plane).map(Drawn::Lognormal)
    }

    /// The same with it.
    pub fn noisy_grid(&self, theta: Theta, index: u64) -> Result<GridSpectra> {
        let mut grid = self.grid(theta, index, 0..self.sky.pixels / 2 + 1)?.0;
        grid.add_noise(&self.noise());
        Ok(grid)
    }

    pub fn seen(&self) -> Sky<'_> {
        Sky {
            what: "maps",
            bins: Axis::named(AxisKind::Channel, "map", self.names()),
            pixels: self.sky.pixels,
            side: self.sky.field_of_view_deg,
            kind: AxisKind::Periodic,
            c_ell: self.c_ell.as_ref(),
            peaks: self.peaks.as_ref(),
        }
    }

    /// Mean C_ℓ of a field's bins, noise included; none of a masked map, whose modes are coupled.
    pub fn theory(&self, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        let Some(c) = self.c_ell.as_ref().filter(|_| field.name == "c_ell" && self.sky.mask.is_none()) else {
            return Ok(None);
        };
        let (n, side) = (self.sky.pixels, self.sky.field_of_view_deg);
        let (bins, grid) = (c.ell_bins(n, side)?, self.noisy_grid(theta, index)?);
        let (fundamental, area) = (TAU / side.to_radians(), (side.to_radians() / n as f64).powi(2));
        let window = GridSpectra::new(1, n, side, true, |_, _, _| area);
        let pairs = pairs(grid.maps()).count();
        let (mut sums, mut modes) = (vec![0.0; pairs * bins.count()], vec![0.0; bins.count()]);
        for ([row, column], count) in grid.octant() {
            let Some(bin) = bins.of(fundamental * ((row * row + column * column) as f64).sqrt()) else { continue };
            let window = if c.pixel_window { window.at(row, column)[0] } else { 1.0 };
            modes[bin] += count as f64;
            for (pair, p) in grid.at(row, column).iter().enumerate() {
                sums[pair * bins.count() + bin] += count as f64 * p * area / window;
            }
        }
        let values = sums.iter().enumerate().map(|(i, sum)| sum / modes[i % bins.count()]).collect();
        Ok(Some(Theory { name: "the input spectra".into(), values }))
    }

    /// True if universes have tables of linear spectra of their own.
    pub fn of_each_universe(&self) -> Result<bool> {
        let Input::Theory(theory) = &self.input else { return Ok(false) };
        Ok(theory.1.files(0..2)?.iter().any(|(_, files)| files.len() > 1))
    }
}

/// What draws maps.
#[derive(Debug, Clone)]
pub enum Drawn {
    Gaussian(Roots),
    Lognormal(Lognormal),
}
