//! The measured halo mass function.

use super::halos::HaloCatalogue;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_10;

/// `[simulator.mass_function]`: halos counted in equal bins of log10 mass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MassFunctionConfig {
    /// Lower edge of the first bin.
    #[schemars(extend("x-unit" = "log₁₀ Msun/h"))]
    pub log_m_min: f64,
    /// Upper edge of the last bin.
    #[schemars(extend("x-unit" = "log₁₀ Msun/h"))]
    pub log_m_max: f64,
    /// Bins of equal width in log M.
    pub bins: usize,
}

impl Default for MassFunctionConfig {
    fn default() -> Self {
        MassFunctionConfig { log_m_min: 12.0, log_m_max: 15.5, bins: 14 }
    }
}

impl MassFunctionConfig {
    /// Refuses a range without bins.
    pub fn check(&self) -> Result<()> {
        let ordered = self.log_m_min.is_finite() && self.log_m_max.is_finite() && self.log_m_min < self.log_m_max;
        if !ordered {
            return Err(Error::input("must be finite and below log_m_max")
                .key("simulator.mass_function.log_m_min")
                .value(self.log_m_min)
                .remedy("give log10 of Msun/h, e.g. 12.0 to 15.5"));
        }
        if self.bins == 0 {
            return Err(Error::input("must be at least 1")
                .key("simulator.mass_function.bins")
                .value(self.bins)
                .remedy("or leave [simulator.mass_function] out"));
        }
        limits::at_most("simulator.mass_function.bins", self.bins, limits::BINS)
    }

    /// Width of a bin in log10 mass.
    fn width(&self) -> f64 {
        (self.log_m_max - self.log_m_min) / self.bins as f64
    }

    /// log10 of Msun/h at the edges of the bins.
    pub fn edges(&self) -> Vec<f64> {
        (0..=self.bins).map(|i| self.log_m_min + i as f64 * self.width()).collect()
    }

    /// log10 of Msun/h in the middle of each bin.
    pub fn centres(&self) -> Vec<f64> {
        (0..self.bins).map(|i| self.log_m_min + (i as f64 + 0.5) * self.width()).collect()
    }
}

/// Halos by mass; one entry per bin.
#[derive(Debug, Clone, PartialEq)]
pub struct MassFunction {
    /// log10 of Msun/h in the middle of each bin.
    pub log_mass: Vec<f64>,
    /// Number of halos N.
    pub count: Vec<u64>,
    /// dn/dlnM = N / (V Δ ln M) in (h/Mpc)³.
    pub dn_dlnm: Vec<f64>,
    /// Poisson error √N / (V Δ ln M) in (h/Mpc)³.
    pub error: Vec<f64>,
}

impl MassFunction {
    /// Of a catalogue from a cube of side `box_size` Mpc/h, on every rank. A bin holds its lower edge. Collective.
    pub fn measure(comm: &Comm, config: &MassFunctionConfig, halos: &HaloCatalogue, box_size: f64) -> Self {
        let mut count = vec![0u64; config.bins];
        for mass in &halos.mass {
            let bin = ((mass.log10() - config.log_m_min) / config.width()).floor();
            if bin >= 0.0 && bin < config.bins as f64 {
                count[bin as usize] += 1;
            }
        }
        comm.sum(&mut count);
        let per_halo = 1.0 / (box_size.powi(3) * config.width() * LN_10);
        let dn_dlnm = count.iter().map(|&n| n as f64 * per_halo).collect();
        let error = count.iter().map(|&n| (n as f64).sqrt() * per_halo).collect();
        MassFunction { log_mass: config.centres(), count, dn_dlnm, error }
    }
}
