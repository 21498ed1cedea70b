//! Matter power spectra at any time, linear and beyond.

mod halofit;
mod hmcode;

use super::{Growth, LinearPower, NeutrinoResponse};
use crate::error::Result;
use halofit::{Halofit, Modes};
use hmcode::Hmcode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How matter clusters on small scales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NonLinear {
    /// As on large scales.
    Linear,
    /// Halofit of Smith et al. 2003 as revised by Takahashi et al. 2012.
    #[default]
    Halofit,
    /// HMcode-2020 of Mead et al. 2021, without baryons.
    Hmcode2020,
}

/// P(k, a) of all matter.
pub struct MatterPower<'a> {
    growth: &'a Growth,
    linear: &'a LinearPower,
    response: Option<NeutrinoResponse>,
    model: NonLinear,
    /// Today's.
    modes: Modes,
    hmcode: Option<Hmcode>,
}

type Of<'a> = Box<dyn Fn(f64) -> f64 + 'a>;

impl<'a> MatterPower<'a> {
    /// From the linear spectrum today, which grows with D1, and beside massive neutrinos on each scale as they let it;
    /// for redshifts up to `z_max`.
    pub fn new(growth: &'a Growth, linear: &'a LinearPower, model: NonLinear, z_max: f64) -> Result<Self> {
        let response = NeutrinoResponse::new(growth.cosmology());
        let mut power =
            MatterPower { growth, linear, response, model, modes: Halofit::modes(|k| linear.p(k)), hmcode: None };
        if model == NonLinear::Hmcode2020 {
            power.hmcode = Some(Hmcode::new(growth, z_max, |a| power.linear_at(a))?);
        }
        Ok(power)
    }

    /// Growth of all matter since `a`, over k.
    fn growth_at(&self, a: f64) -> Of<'static> {
        match &self.response {
            None => {
                let d1 = self.growth.d1(a);
                Box::new(move |_| d1)
            }
            Some(response) => {
                let (then, today) = (response.matter_at(a), response.matter_at(1.0));
                Box::new(move |k| then(k) / today(k))
            }
        }
    }

    /// Linear spectra of all matter and of what is cold.
    fn linear_at(&self, a: f64) -> [Of<'a>; 2] {
        let (linear, growth, factor) = (self.linear, self.growth_at(a), self.growth_at(a));
        let cold = self.response.as_ref().map(|response| response.factor_at(a));
        [
            Box::new(move |k| linear.p(k) * growth(k).powi(2)),
            Box::new(move |k| linear.p(k) * (factor(k) / cold.as_ref().map_or(1.0, |cold| cold(k))).powi(2)),
        ]
    }

    /// The spectrum at scale factor `a`.
    pub fn at(&self, a: f64) -> PowerAt<'a> {
        let growth = self.growth_at(a);
        let more = match (&self.model, &self.hmcode) {
            (NonLinear::Halofit, _) => {
                let fit = Halofit::new(self.growth.cosmology(), a, &self.modes, &growth);
                fit.map_or(More::Nothing, More::Halofit)
            }
            (_, Some(hmcode)) => More::LnBoost(Box::new(hmcode.at(a))),
            _ => More::Nothing,
        };
        PowerAt { linear: self.linear, growth, more }
    }
}

/// P(k) of all matter at one time.
pub struct PowerAt<'a> {
    linear: &'a LinearPower,
    growth: Of<'static>,
    more: More,
}

/// What makes it non-linear.
enum More {
    Nothing,
    Halofit(Halofit),
    LnBoost(Of<'static>),
}

impl PowerAt<'_> {
    /// Linear P(k) in (Mpc/h)³, k in h/Mpc.
    pub fn linear(&self, k: f64) -> f64 {
        self.linear.p(k) * (self.growth)(k).powi(2)
    }

    /// P(k) in (Mpc/h)³, k in h/Mpc.
    pub fn p(&self, k: f64) -> f64 {
        let linear = self.linear(k);
        match &self.more {
            More::Nothing => linear,
            More::Halofit(halofit) => halofit.p(k, linear),
            More::LnBoost(boost) => linear * boost(k.ln()).exp(),
        }
    }
}
