//! `[simulator]` with `kind = "pm"`.

use super::initial::InitialConfig;
use super::plans::FftPlans;
use crate::cosmology::CosmologyConfig;
use crate::error::{Error, Result};
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use crate::gravity::{ForceConfig, Integrator, StepConfig};
use crate::limits;
use crate::observables::lensing::LightConeConfig;
use crate::observables::{
    BispectrumConfig, HaloConfig, HodConfig, MapConfig, MassFunctionConfig, MultipoleConfig, PdfConfig, PowerConfig,
};
use crate::particles::Assignment;
use crate::prior::Prior;
use crate::simulators::multipoles::Multipoles;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Floating-point precision of meshes and particles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    F64,
}

/// Particle-mesh N-body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PmConfig {
    /// Side of the periodic box, comoving, 0.1 to 100000.
    #[schemars(extend("x-unit" = "Mpc/h"))]
    pub box_size: f64,
    /// Particles per side: `particles`³ in all.
    pub particles: usize,
    /// Points of the force mesh per side, over particles per side (FastPM's B), at most 8. There is a warning below 1,
    /// and where lattice and mesh beat at a wavenumber below the particles' Nyquist one (1.25, say, where P(k) at that
    /// wavenumber comes out nine times too large in 1000 Mpc/h).
    #[serde(default = "two")]
    pub mesh_factor: f64,
    /// Of meshes and particles.
    #[serde(default)]
    pub precision: Precision,
    /// Redshifts at which the universe is looked at, from the start to the end of the steps. With several, every
    /// field's name but the light cone's ends in its redshift: `maps_z0.500`. Where no step ends at one, the step
    /// around it is cut in two: asking for more moments makes for more and shorter steps, which changes the universe
    /// slightly, at the later moments too. Steps after the last are not taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-default" = "the end"))]
    pub redshifts: Vec<f64>,
    /// Process grid P0 × P1 of each group; their product is `suite.ranks_per_sim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "ranks", "x-default" = "automatic"))]
    pub process_grid: Option<[usize; 2]>,
    /// With `"measured"`, FFTW tries algorithms and keeps the fastest, in `<output>/fftw-wisdom-*.txt`. A campaign that
    /// repeats its bits needs those files; estimated plans are the same on every run.
    #[serde(default)]
    pub fft_plans: FftPlans,
    /// The most particles one rank may hold, over the mean. `polycosm plan` shows the memory this means; a universe
    /// that clusters beyond it fails with advice instead of exhausting the node.
    #[serde(default = "three")]
    pub max_imbalance: f64,
    /// Between checkpoints of a running universe; 0: only when the job is asked to stop. The next job goes on from the
    /// last one.
    #[serde(default = "half_an_hour")]
    #[schemars(extend("x-unit" = "minutes"))]
    pub checkpoint_minutes: f64,
    /// Initial conditions.
    #[serde(default)]
    pub initial: InitialConfig,
    /// Steps in time.
    #[serde(default)]
    pub time: StepConfig,
    /// The force's kernel.
    #[serde(default)]
    pub force: ForceConfig,
    /// Projected density maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<MapConfig>,
    /// Density on a grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<DensityConfig>,
    /// One-point function of the smoothed density.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pdf: Option<PdfConfig>,
    /// Power spectrum P(k); with `galaxies` also theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerConfig>,
    /// Multipoles P₀, P₂, P₄ of the power spectrum in redshift space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipoles: Option<MultipoleConfig>,
    /// Bispectrum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bispectrum: Option<BispectrumConfig>,
    /// Halo catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halos: Option<HaloConfig>,
    /// Halo mass function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mass_function: Option<MassFunctionConfig>,
    /// Galaxy catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub galaxies: Option<HodConfig>,
    /// Weak-lensing maps of a light cone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lightcone: Option<LightConeConfig>,
    /// Angular spectra of the light cone's convergence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ell: Option<AngularConfig>,
    /// Peak counts of the light cone's convergence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<PeakConfig>,
    /// Keeps positions (Mpc/h) and peculiar velocities (km/s) of all particles in the dataset: 24 bytes per particle.
    #[serde(default)]
    pub keep_particles: bool,
    /// Writes a GADGET-4 file of each moment to `<output>/snapshots`.
    #[serde(default)]
    pub snapshots: bool,
}

/// `[simulator.density]`: the density on a grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DensityConfig {
    /// Points per side N, 2 to 16384.
    pub points: usize,
    /// Mass assignment, whose window stays in.
    pub assignment: Assignment,
}

fn two() -> f64 {
    2.0
}

fn three() -> f64 {
    3.0
}

fn half_an_hour() -> f64 {
    30.0
}

impl PmConfig {
    /// Force mesh points per side.
    pub fn mesh(&self) -> usize {
        (self.mesh_factor * self.particles as f64).round() as usize
    }

    /// Scale factor of the moment that a field shows, told from its name.
    pub fn moment_of(&self, field: &str) -> f64 {
        let moments = self.moments();
        let named = moments.iter().rev().find(|&&a| field.ends_with(&self.suffix(a)));
        named.copied().unwrap_or(self.time.end())
    }

    /// The same configuration as far as it shapes the universe: how often it is saved, how much memory it may take, and
    /// what only rounds differently, do not.
    pub fn shaping(&self) -> PmConfig {
        PmConfig {
            checkpoint_minutes: 0.0,
            max_imbalance: 1.0,
            process_grid: None,
            fft_plans: FftPlans::default(),
            ..self.clone()
        }
    }

    /// Scale factors at which the universe is looked at, ascending.
    pub fn moments(&self) -> Vec<f64> {
        let mut moments: Vec<f64> = self.redshifts.iter().map(|z| 1.0 / (1.0 + z)).collect();
        if moments.is_empty() {
            moments.push(self.time.end());
        }
        // A redshift given to a few digits means the end of the steps, not a moment just before it.
        let end = self.time.end();
        moments.iter_mut().filter(|a| (**a / end - 1.0).abs() < 1e-6).for_each(|a| *a = end);
        moments.sort_by(f64::total_cmp);
        moments
    }

    /// What is appended to a field's name at scale factor `a`: nothing where one moment is looked at, else its
    /// redshift.
    pub fn suffix(&self, a: f64) -> String {
        match self.redshifts.len() {
            0 | 1 => String::new(),
            _ => format!("_z{:.3}", 1.0 / a - 1.0),
        }
    }

    /// The last moment that is looked at: no step is taken after it.
    pub fn last(&self) -> f64 {
        self.moments().last().copied().unwrap_or(self.time.end())
    }

    /// What may be meant, but is unusual or less exact than the rest.
    pub fn warnings(&self, cosmology: &CosmologyConfig, prior: &Prior) -> Vec<String> {
        let mut all: Vec<String> = cosmology.warnings(prior, self.time.start()).into_iter().collect();
        all.extend(self.lattice_warning());
        let mass = cosmology.largest("M_nu", prior);
        if self.time.integrator == Integrator::Cola && mass > 0.0 {
            all.push(format!(
                "simulator.time.integrator = \"cola\" beside neutrinos of up to {mass:?} eV: what carries the particles \
                 between the steps grows alike on all scales, and P(k) today comes out up to 0.9% low at 0.4 eV in 10 \
                 steps from a = 0.1, 3% from a = 0.05; \"fastpm\", or four times the steps, is closer"
            ));
        }
        if self.mesh_factor < 1.0 {
            let factor = self.mesh_factor;
            all.push(format!(
                "simulator.mesh_factor = {factor:?}: the force is coarser than the particles; 2.0 is usual"
            ));
        }
        if let Some(hod) = self.galaxies.as_ref().filter(|hod| hod.log_m1 < hod.log_m_min) {
            let [low, high] = [hod.log_m1, hod.log_m_min];
            all.push(format!(
                "simulator.galaxies.log_m1 = {low:?}: below log_m_min = {high:?}, so that most galaxies are satellites"
            ));
        }
        all
    }

    /// Refuses spectra that maps of the sphere do not have, and peaks.
    fn check_sphere(&self, nside: usize) -> Result<()> {
        self.c_ell.iter().try_for_each(|c| Multipoles::of_maps(c, nside).map(drop))?;
        match self.peaks {
            None => Ok(()),
            Some(_) => Err(Error::input("peaks are counted on a flat sky alone")
                .key("simulator.peaks")
                .remedy("leave them out, or give the light cone a field of view in the place of nside")),
        }
    }

    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, problem: &str, value: String, remedy: &str| {
            let mut e = Error::input(problem).key(format!("simulator.{key}")).remedy(remedy);
            e.value = Some(value);
            Err(e)
        };
        // Below, the whole box is nonlinear long before today; above, it is many times what can be seen.
        if !(0.1..=1e5).contains(&self.box_size) {
            let problem = "the box must be positive, from 0.1 to 100000 Mpc/h";
            return bad("box_size", problem, format!("{:?}", self.box_size), "give its side in Mpc/h, e.g. 256.0");
        }
        if self.particles < 4 {
            return bad(
                "particles",
                "at least 4 particles per side are needed",
                self.particles.to_string(),
                "64 is a small run",
            );
        }
        if !(self.mesh_factor > 0.0 && self.mesh_factor <= 8.0) || self.mesh() < 4 {
            return bad(
                "mesh_factor",
                "the mesh must be positive",
                format!("{:?}", self.mesh_factor),
                "1 to 3 are usual",
            );
        }
        if self.mesh().max(self.particles) > limits::SIDE {
            let remedy =
                "lower particles or mesh_factor: the largest mesh that has ever been run is about 20000 per side";
            return bad("particles", "no machine holds such a mesh", self.particles.to_string(), remedy);
        }
        // One rank with all the particles has the mean times the number of ranks.
        if !(1.0..=limits::RANKS as f64).contains(&self.max_imbalance) {
            let remedy = "3 is ample for ranks whose domain is at least 50 Mpc/h wide";
            let problem = format!("must be at least 1, and at most {}", limits::RANKS);
            return bad("max_imbalance", &problem, format!("{:?}", self.max_imbalance), remedy);
        }
        if !(0.0..=1e6).contains(&self.checkpoint_minutes) {
            let value = format!("{:?}", self.checkpoint_minutes);
            let problem = "must be 0 (only where the job is asked to stop) or positive, up to a million";
            return bad("checkpoint_minutes", problem, value, "30.0 is usual");
        }
        self.initial.check()?;
        self.time.check()?;
        self.force.check()?;
        self.check_deconvolution()?;
        let (start, end) = (self.time.start(), self.time.end());
        let inside = |a: f64| a >= start * (1.0 - 1e-9) && a <= end * (1.0 + 1e-9);
        let moments = self.moments();
        if !moments.iter().all(|&a| inside(a)) || moments.windows(2).any(|w| w[1] / w[0] - 1.0 < 1e-6) {
            let problem = format!(
                "must differ and lie between redshift {:.4} (the end) and {:.4} (the start)",
                1.0 / end - 1.0,
                1.0 / start - 1.0
            );
            return bad("redshifts", &problem, format!("{:?}", self.redshifts), "or change the steps' start and end");
        }
        if moments.windows(2).any(|w| self.suffix(w[0]) == self.suffix(w[1])) && moments.len() > 1 {
            let problem = "two of them have the same three decimals, by which fields and snapshots are named";
            return bad("redshifts", problem, format!("{:?}", self.redshifts), "keep them 0.001 apart");
        }
        self.maps.iter().try_for_each(MapConfig::check)?;
        self.density.iter().try_for_each(DensityConfig::check)?;
        self.pdf.iter().try_for_each(|c| c.check(self.mesh(), self.box_size))?;
        self.power.iter().try_for_each(PowerConfig::check)?;
        self.multipoles.iter().try_for_each(MultipoleConfig::check)?;
        self.bispectrum.iter().try_for_each(|c| c.check(self.mesh(), self.box_size))?;
        self.halos.iter().try_for_each(HaloConfig::check)?;
        self.mass_function.iter().try_for_each(MassFunctionConfig::check)?;
        self.galaxies.iter().try_for_each(HodConfig::check)?;
        match &self.lightcone {
            None if self.c_ell.is_some() || self.peaks.is_some() => {
                let section = if self.c_ell.is_some() { "simulator.c_ell" } else { "simulator.peaks" };
                let error =
                    Error::input("looks at the light cone's convergence, but there is no light cone").key(section);
                Err(error.remedy("add a section [simulator.lightcone], or remove this one"))
            }
            None => Ok(()),
            Some(c) => {
                c.check(self.box_size)?;
                if let Some(nside) = c.nside {
                    return self.check_sphere(nside);
                }
                let ells = |a: &AngularConfig| a.ell_bins(c.pixels, c.field_of_view_deg).map(drop);
                self.c_ell.iter().try_for_each(ells)?;
                self.peaks.iter().try_for_each(|p| p.height_bins().map(drop))
            }
        }
    }
}
