//! `kind = "lognormal-box"`: lognormal matter in a periodic box, Poisson galaxies of their own lognormal density from the same
//! noise, and velocities of linear theory (Agrawal et al. 2017, JCAP 10, 003).

mod bench;
mod products;
mod run;
mod section;
mod theory;

use super::pm::Precision;
use super::prelude::*;
use crate::cosmology::{Cosmology, NonLinear};
use crate::io::mask;
use crate::limits;
use crate::observables::{ConeConfig, MultipoleConfig, PoissonConfig, PowerConfig, SkyCone, cone_nside};
use crate::sphere::Rings;

/// Lognormal matter in a periodic box, and galaxies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LognormalBoxConfig {
    /// Side of the periodic box, comoving, 0.1 to 100000.
    #[schemars(extend("x-unit" = "Mpc/h"))]
    pub box_size: f64,
    /// Mesh points per side: `points`³ cells in all.
    pub points: usize,
    /// Redshift of the whole box.
    pub redshift: f64,
    /// Matter on small scales.
    #[serde(default)]
    pub nonlinear: NonLinear,
    /// Of the mesh. Fields are the same to the last bit on any number of ranks.
    #[serde(default)]
    pub precision: Precision,
    /// Matter density over its mean at the mesh's points: field `density`.
    #[serde(default)]
    pub density: bool,
    /// Power spectrum P(k) of matter; with `poisson` also the galaxies'. `k_max_over_nyquist` is over the mesh's Nyquist
    /// wavenumber here. Of the matter's mesh nothing is interlaced, and it has no shot noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerConfig>,
    /// Poisson galaxies: `number_density`, `bias`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poisson: Option<PoissonConfig>,
    /// Multipoles P₀, P₂, P₄ of the galaxies' power spectrum in redshift space: field `galaxy_multipoles`. `k_max_over_nyquist`
    /// is over the mesh's Nyquist wavenumber here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipoles: Option<MultipoleConfig>,
    /// What an observer in the box sees of the galaxies: list `cone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cone: Option<ConeConfig>,
}

impl LognormalBoxConfig {
    /// Scale factor of the box.
    fn a(&self) -> f64 {
        1.0 / (1.0 + self.redshift)
    }

    /// Refuses what cannot be run, of the keys alone.
    fn check_keys(&self) -> Result<()> {
        let bad = |key: &str, value: &dyn std::fmt::Debug, problem: String, remedy: &str| {
            Err(Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy))
        };
        if !(0.1..=1e5).contains(&self.box_size) {
            let problem = "the box must be positive, from 0.1 to 100000 Mpc/h".into();
            return bad("box_size", &self.box_size, problem, "give its side in Mpc/h, e.g. 1000.0");
        }
        if !(4..=limits::SIDE).contains(&self.points) {
            let problem = format!("a mesh has 4 to {} points per side", limits::SIDE);
            return bad("points", &self.points, problem, "256 is usual");
        }
        if !(0.0..=100.0).contains(&self.redshift) {
            let problem = "the redshift lies between 0 and 100".into();
            return bad("redshift", &self.redshift, problem, "0.5 is usual");
        }
        self.power.iter().try_for_each(PowerConfig::check)?;
        self.multipoles.iter().try_for_each(MultipoleConfig::check)?;
        self.poisson.iter().try_for_each(PoissonConfig::check)?;
        self.cone.iter().try_for_each(|cone| cone.check(self.box_size))?;
        let asked = [("multipoles", self.multipoles.is_some()), ("cone", self.cone.is_some())];
        if let (None, Some((key, _))) = (&self.poisson, asked.iter().find(|asked| asked.1)) {
            let error = Error::input("is of galaxies, and there are none").key(format!("simulator.{key}"));
            return Err(error.remedy("add a section [simulator.poisson]"));
        }
        if self.specs().is_empty() {
            let remedy = "give density = true, [simulator.power] or [simulator.poisson]";
            return Err(Error::input("asks for no field").key("simulator").remedy(remedy));
        }
        let Some(galaxies) = &self.poisson else { return Ok(()) };
        let mean = galaxies.number_density * self.box_size.powi(3);
        match mean <= (limits::NUMBERS / PoissonConfig::NUMBERS) as f64 {
            true => Ok(()),
            false => bad(
                "poisson.number_density",
                &galaxies.number_density,
                format!("makes {mean:.1e} galaxies, more than a list can hold"),
                "lower it, or take a smaller box",
            ),
        }
    }

    /// The mask of the cone.
    fn mask(&self) -> Result<Option<Vec<f64>>> {
        let Some(path) = self.cone.as_ref().and_then(|cone| cone.mask.as_ref()) else { return Ok(None) };
        let (shape, mask) = mask::read(path).map_err(|e| e.key("simulator.cone.mask"))?;
        match &shape[..] {
            [_] => {
                let nside = cone_nside(mask.len()).map_err(|e| e.value(path))?;
                mask::of_sphere(path, Rings::new(nside)?, "simulator.cone.mask").map(Some)
            }
            _ => Err(Error::input(format!("its array `mask` has shape {shape:?}, and HEALPix maps have one axis"))
                .key("simulator.cone.mask")
                .value(path)
                .remedy("give a mask of the whole sky, 12 nside² pixels")),
        }
    }

    /// The cone in one universe.
    fn sky_cone(&self, cosmology: &Cosmology, mask: Option<&[f64]>) -> Result<Option<SkyCone>> {
        let (Some(cone), Some(galaxies)) = (&self.cone, &self.poisson) else { return Ok(None) };
        SkyCone::new(cone, cosmology, self.box_size, galaxies.number_density, mask).map(Some)
    }
}
