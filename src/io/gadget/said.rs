//! What one file of a snapshot says of its units and of its universe, each code in its own words.

use super::header::Units;
use super::part::Part;
use super::{MPC_CM, TEN_BILLION_SUNS_G};
use crate::error::Result;

impl Part<'_> {
    /// Units, from what the header says, or GADGET-4's attributes of each array. `h` is told, for units without it.
    pub(super) fn units(&self, swift: bool, h: Option<f64>, warnings: &mut Vec<String>) -> Result<Units> {
        let positive = |x: Option<f64>| x.filter(|&x| x > 0.0);
        let hubble = |why: &str| {
            let lacks = || {
                let problem = format!("lacks the Hubble constant, without which {why} mean nothing");
                self.bad("Header", &problem, "give HubbleParam as an attribute of Header")
            };
            positive(h).ok_or_else(lacks)
        };
        if swift {
            let cgs = |what: &str| {
                let there = self.number(&[("Units", what), ("InternalCodeUnits", what)]);
                positive(there)
                    .ok_or_else(|| self.bad("Units", &format!("lacks {what:?}"), "give SWIFT's own snapshot"))
            };
            let (length, time) = (cgs("Unit length in cgs (U_L)")?, cgs("Unit time in cgs (U_t)")?);
            let mass = cgs("Unit mass in cgs (U_M)")? / TEN_BILLION_SUNS_G * 1e10;
            let h = hubble("SWIFT's units, which are without it,")?;
            return Ok(Units { length: length / MPC_CM * h, velocity: length / time / 1e5, mass: mass * h });
        }
        let cgs = |name: &str, others: &str, array: &str| {
            positive(self.parameter(name).or(self.parameter(others)).or(self.number(&[(array, "to_cgs")])))
        };
        let length = cgs("UnitLength_in_cm", "UnitLength_In_CGS", "PartType1/Coordinates").map(|cm| cm / MPC_CM);
        if length.is_none() {
            warnings.push("no UnitLength_in_cm: lengths are taken as Mpc/h".into());
        }
        let length = length.unwrap_or(1.0);
        // 3.085678 and 3.0857e24 are both a Mpc: no program means a box of 1.000007.
        let length = [1.0, 1e-3].into_iter().find(|u| (length / u - 1.0).abs() < 1e-4).unwrap_or(length);
        let without_h = |array: &str| self.number(&[(array, "h_scaling")]) == Some(0.0);
        let length = match without_h("PartType1/Coordinates") {
            true => length * hubble("lengths without h")?,
            false => length,
        };
        let velocity = cgs("UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS", "PartType1/Velocities");
        let mass = cgs("UnitMass_in_g", "UnitMass_In_CGS", "PartType1/Masses").unwrap_or(TEN_BILLION_SUNS_G);
        Ok(Units { length, velocity: velocity.map_or(1.0, |cm| cm / 1e5), mass: mass / TEN_BILLION_SUNS_G * 1e10 })
    }

    /// SWIFT writes peculiar velocities; others tell in an attribute of the array, or of the header.
    pub(super) fn velocity_power(&self, swift: bool) -> Option<f64> {
        let array = "PartType1/Velocities";
        let told = self.number(&[(array, "a_scaling"), (array, "a-scale exponent")]);
        let peculiar = self.parameter("UsePeculiarVelocity").map(|yes| if yes == 0.0 { 0.5 } else { 0.0 });
        told.or(peculiar).or(swift.then_some(0.0))
    }

    /// What Parameters or Header say of the universe, and its massive neutrinos.
    pub(super) fn cosmology(&self) -> (Vec<(String, f64)>, Option<f64>) {
        let said = |name: &str| self.parameter(name).filter(|&x| x > 0.0);
        let (m, lambda) = (said("Omega0"), self.parameter("OmegaLambda"));
        let k = m.zip(lambda).map(|(m, lambda)| 1.0 - m - lambda);
        let all = [("Omega_m", m), ("Omega_b", said("OmegaBaryon")), ("h", said("HubbleParam")), ("Omega_k", k)];
        (known(&all), self.parameter("OmegaNu"))
    }

    /// SWIFT's, whose Omega_m is without neutrinos.
    pub(super) fn swift_cosmology(&self) -> (Vec<(String, f64)>, Option<f64>) {
        let said = |name: &str| self.number(&[("Cosmology", name)]);
        let nu = said("Omega_nu_0").or(said("Omega_nu"));
        let m = said("Omega_m").map(|m| m + nu.unwrap_or(0.0));
        let k = said("Omega_k");
        let all = [
            ("Omega_m", m),
            ("Omega_b", said("Omega_b")),
            ("h", said("h")),
            ("Omega_k", k),
            ("w0", said("w_0")),
            ("wa", said("w_a")),
        ];
        (known(&all), nu)
    }
}

fn known(all: &[(&str, Option<f64>)]) -> Vec<(String, f64)> {
    all.iter().filter_map(|(name, value)| Some((name.to_string(), (*value)?))).collect()
}
