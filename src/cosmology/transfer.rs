//! Transfer functions of Eisenstein & Hu 1998 (ApJ 496, 605), with and without the acoustic oscillations. Equation
//! numbers are theirs; inside, wavenumbers are in 1/Mpc, as there. Massive neutrinos are no part of its matter: they
//! were radiation when it took its shape.

use super::Cosmology;
use crate::error::{Error, Result};
use std::f64::consts::E;

/// Largest baryon fraction: from about 0.69 on the fitted T(k) passes through zero, and P has no logarithm.
const MAX_BARYON_FRACTION: f64 = 0.6;

/// The fit's coefficients for one cosmology.
#[derive(Debug, Clone, Copy)]
pub struct EisensteinHu {
    h: f64,
    omega_m_h2: f64,
    f_b: f64,
    theta: f64,
    k_eq: f64,
    k_silk: f64,
    s: f64,
    alpha_c: f64,
    beta_c: f64,
    alpha_b: f64,
    beta_b: f64,
    beta_node: f64,
    s_fit: f64,
    alpha_gamma: f64,
}

impl EisensteinHu {
    /// Coefficients for `cosmology`; refused where baryons outweigh dark matter.
    pub fn new(cosmology: &Cosmology) -> Result<Self> {
        let h = cosmology.h;
        let m = cosmology.omega_cb() * h * h;
        let b = cosmology.omega_b * h * h;
        let f_b = b / m;
        if f_b > MAX_BARYON_FRACTION {
            return Err(Error::input(format!(
                "Eisenstein & Hu's fit fails where Omega_b/Omega_m is above {MAX_BARYON_FRACTION}, here {f_b:.3}"
            ))
            .key("cosmology.transfer")
            .remedy("choose a smaller Omega_b or a larger Omega_m, or transfer = \"table\""));
        }
        let theta = cosmology.beyond.t_cmb / 2.7;

        let z_eq = 2.50e4 * m * theta.powi(-4); // (2)
        let k_eq = 7.46e-2 * m * theta.powi(-2); // (3)
        let b1 = 0.313 * m.powf(-0.419) * (1.0 + 0.607 * m.powf(0.674));
        let b2 = 0.238 * m.powf(0.223);
        let z_d = 1291.0 * m.powf(0.251) / (1.0 + 0.659 * m.powf(0.828)) * (1.0 + b1 * b.powf(b2)); // (4)
        let r = |z: f64| 31.5 * b * theta.powi(-4) * 1e3 / z; // (5)
        let (r_d, r_eq) = (r(z_d), r(z_eq));
        let s = 2.0 / (3.0 * k_eq)
            * (6.0 / r_eq).sqrt()
            * (((1.0 + r_d).sqrt() + (r_d + r_eq).sqrt()) / (1.0 + r_eq.sqrt())).ln(); // (6)
        let k_silk = 1.6 * b.powf(0.52) * m.powf(0.73) * (1.0 + (10.4 * m).powf(-0.95)); // (7)

        let a1 = (46.9 * m).powf(0.670) * (1.0 + (32.1 * m).powf(-0.532));
        let a2 = (12.0 * m).powf(0.424) * (1.0 + (45.0 * m).powf(-0.582));
        let alpha_c = a1.powf(-f_b) * a2.powf(-f_b.powi(3)); // (11)
        let b1 = 0.944 / (1.0 + (458.0 * m).powf(-0.708));
        let b2 = (0.395 * m).powf(-0.0266);
        let beta_c = 1.0 / (1.0 + b1 * ((1.0 - f_b).powf(b2) - 1.0)); // (12)

        let y = (1.0 + z_eq) / (1.0 + z_d);
        let root = (1.0 + y).sqrt();
        let g = y * (-6.0 * root + (2.0 + 3.0 * y) * ((root + 1.0) / (root - 1.0)).ln()); // (15)
        let alpha_b = 2.07 * k_eq * s * (1.0 + r_d).powf(-0.75) * g; // (14)
        let beta_node = 8.41 * m.powf(0.435); // (23)
        let beta_b = 0.5 + f_b + (3.0 - 2.0 * f_b) * ((17.2 * m).powi(2) + 1.0).sqrt(); // (24)

        let s_fit = 44.5 * (9.83 / m).ln() / (1.0 + 10.0 * b.powf(0.75)).sqrt(); // (26)
        let alpha_gamma = 1.0 - 0.328 * (431.0 * m).ln() * f_b + 0.38 * (22.3 * m).ln() * f_b * f_b; // (31)
        Ok(EisensteinHu {
            h,
            omega_m_h2: m,
            f_b,
            theta,
            k_eq,
            k_silk,
            s,
            alpha_c,
            beta_c,
            alpha_b,
            beta_b,
            beta_node,
            s_fit,
            alpha_gamma,
        })
    }

    /// T(k) with acoustic oscillations, k in h/Mpc; 1 on the largest scales (equations 16–24).
    pub fn wiggle(&self, k: f64) -> f64 {
        let k = k * self.h;
        let q = k / (13.41 * self.k_eq); // (10)
        let t0 = |alpha: f64, beta: f64| {
            let l = (E + 1.8 * beta * q).ln();
            let c = 14.2 / alpha + 386.0 / (1.0 + 69.9 * q.powf(1.08));
            l / (l + c * q * q) // (19), (20)
        };
        let ks = k * self.s;
        let f = 1.0 / (1.0 + (ks / 5.4).powi(4)); // (18)
        let cold = f * t0(1.0, self.beta_c) + (1.0 - f) * t0(self.alpha_c, self.beta_c); // (17)

        let x = ks / (1.0 + (self.beta_node / ks).powi(3)).cbrt(); // (22)
        let j0 = if x < 1e-4 { 1.0 } else { x.sin() / x };
        let damped = self.alpha_b / (1.0 + (self.beta_b / ks).powi(3)) * (-(k / self.k_silk).powf(1.4)).exp();
        let baryons = (t0(1.0, 1.0) / (1.0 + (ks / 5.2).powi(2)) + damped) * j0; // (21)
        self.f_b * baryons + (1.0 - self.f_b) * cold // (16)
    }

    /// T(k) of the same shape without oscillations, k in h/Mpc (equations 28–31).
    pub fn no_wiggle(&self, k: f64) -> f64 {
        let k = k * self.h;
        let shape = self.alpha_gamma + (1.0 - self.alpha_gamma) / (1.0 + (0.43 * k * self.s_fit).powi(4));
        let q = k * self.theta * self.theta / (self.omega_m_h2 * shape); // (28), (30), with k in 1/Mpc
        let l = (2.0 * E + 1.8 * q).ln();
        l / (l + (14.2 + 731.0 / (1.0 + 62.5 * q)) * q * q) // (29)
    }
}
