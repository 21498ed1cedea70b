//! Periodic maps of a flat sky from their angular power spectra: what the kinds `gaussian-flat` and `lognormal-flat`
//! share.

mod bench;
mod exact;
mod gaussian;
mod lognormal;
mod maps;
mod runner;
mod shift;
mod sky;
mod spectrum;

pub use gaussian::GaussianFlatConfig;
pub use lognormal::LognormalFlatConfig;
pub use sky::SkyConfig;
pub use spectrum::SpectrumConfig;

use super::bench::Bench;
use super::prelude::*;
use super::section::Likelihood;
use crate::cosmology::angular::TracersConfig;
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use exact::Exact;
use maps::FlatMaps;
use runner::FlatRunner;
use shift::Shift;
use std::path::PathBuf;

/// A kind's keys.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub spectrum: &'a SpectrumConfig,
    /// Of lognormal maps.
    pub shift: Option<&'a Shift>,
    pub sky: &'a SkyConfig,
    pub c_ell: Option<&'a AngularConfig>,
    pub peaks: Option<&'a PeakConfig>,
}

/// A kind of maps of a flat sky: its keys say all that is asked of its [`Section`].
pub trait Flat: std::fmt::Debug + Clone + Serialize {
    fn keys(&self) -> Keys<'_>;
    /// Those that may name files.
    fn sections_mut(&mut self) -> (&mut SpectrumConfig, &mut SkyConfig);
    /// Its kernels, timed.
    fn timed() -> Option<Bench> {
        None
    }
}

impl<T: Flat> Section for T {
    fn summary(&self) -> String {
        self.keys().sky.summary()
    }

    fn check(&self, of: &Universes) -> Result<()> {
        FlatMaps::new(of, self.keys())?.check(of)
    }

    fn needs_cosmology(&self) -> bool {
        self.keys().spectrum.tracers.is_some()
    }

    fn parameters(&self) -> Vec<String> {
        self.keys().spectrum.parameters()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        self.keys().spectrum.check_varied(varied)
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let (spectrum, sky) = self.sections_mut();
        let table = spectrum.file.iter_mut().map(|file| ("/spectrum/file".to_string(), file));
        let redshifts = spectrum.tracers.iter_mut().flat_map(TracersConfig::files_mut);
        let redshifts = redshifts.map(|(at, file)| (format!("/spectrum/tracers{at}"), file));
        let mask = sky.mask.iter_mut().map(|mask| ("/sky/mask".to_string(), mask));
        let depth = sky.galaxies.iter_mut().flat_map(|galaxies| &mut galaxies.depth);
        let depth = depth.map(|depth| ("/sky/galaxies/depth".to_string(), depth));
        table.chain(redshifts).chain(mask).chain(depth).collect()
    }

    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        FlatMaps::new(of, self.keys())?.theory(field, theta, index)
    }

    fn likelihood(&self, of: &Universes) -> Result<Option<Box<dyn Likelihood>>> {
        match self.keys().shift {
            None => Ok(Some(Box::new(Exact::new(FlatMaps::new(of, self.keys())?)?))),
            Some(_) => Ok(None),
        }
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        Ok(Box::new(FlatRunner::new(FlatMaps::new(of, self.keys())?, of)?))
    }

    fn bench() -> Option<Bench> {
        T::timed()
    }
}

/// An error about `[simulator.SECTION]`.
fn bad(key: &str, value: impl std::fmt::Debug, problem: impl Into<String>, remedy: &str) -> Error {
    Error::input(problem).key(format!("simulator.{key}")).value(value).remedy(remedy)
}
