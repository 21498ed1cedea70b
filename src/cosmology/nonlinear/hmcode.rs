//! HMcode-2020 (Mead et al. 2021, MNRAS 502, 1401) without baryons: a two-halo term of damped linear theory with its
//! acoustic oscillations smeared, and a one-halo term of Sheth & Tormen's halos with NFW profiles, joined by a fitted
//! power. Collapse thresholds are those of Mead 2017 (MNRAS 464, 1282), concentrations Bullock et al. 2001 with Dolag et
//! al. 2004. Table 2 of the paper has the numbers; what it leaves open is as in CAMB.

use crate::cosmology::{Cosmology, EisensteinHu, Growth, Spline};
use crate::error::Result;
use num_complex::Complex64;
use std::f64::consts::{FRAC_PI_2, PI};
use std::sync::LazyLock;

/// Wavenumbers of the table in h/Mpc and their step in ln k; below the first the spectrum is linear.
const RANGE: (f64, f64) = (1e-3, 50.0);
const STEP: f64 = 0.05;
/// Times of the table, evenly in ln(1 + z).
const TIMES: usize = 24;
/// Wavenumbers of integrals over the linear spectrum.
const MODES: (f64, f64, usize) = (1e-4, 1e4, 700);
/// Radii of σ(R) in Mpc/h, and masses of halos in Msun/h.
const RADII: (f64, f64, usize) = (1e-3, 1e2, 64);
const MASSES: (f64, f64, usize) = (1e5, 1e17, 170);

/// P/P_linear over ln k and ln(1 + z).
pub struct Hmcode {
    ln_k: Vec<f64>,
    /// Its logarithm over ln(1 + z), for each k.
    ln_boost: Vec<Spline>,
}

/// `n` points from `first` to `last`, evenly in the logarithm.
fn logarithmic((first, last, n): (f64, f64, usize)) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| first * (last / first).powf(i as f64 / (n - 1) as f64))
}

impl Hmcode {
    /// Out to `z_max`; `linear`(a) gives the linear spectra at a of all matter and of cold dark matter with baryons,
    /// over k.
    pub fn new<'l>(
        growth: &Growth,
        z_max: f64,
        linear: impl Fn(f64) -> [Box<dyn Fn(f64) -> f64 + 'l>; 2],
    ) -> Result<Self> {
        let n = ((RANGE.1 / RANGE.0).ln() / STEP) as usize + 1;
        let k: Vec<f64> = logarithmic((RANGE.0, RANGE.1, n)).collect();
        let x: Vec<f64> = (0..TIMES).map(|i| z_max.ln_1p() * i as f64 / (TIMES - 1) as f64).collect();
        let wiggle = wiggle(growth.cosmology(), &linear(1.0)[0])?;
        let columns: Vec<Vec<f64>> = x
            .iter()
            .map(|x| {
                let a = (-x).exp();
                let [all, cold] = linear(a);
                let halos = Halos::new(growth, a, &all, &cold);
                k.iter().map(|k| (halos.p(*k, all(*k), wiggle.at(k.ln())) / all(*k)).ln()).collect()
            })
            .collect();
        let over_time = |i: usize| Spline::new(x.clone(), columns.iter().map(|column| column[i]).collect());
        Ok(Hmcode { ln_boost: (0..n).map(over_time).collect(), ln_k: k.into_iter().map(f64::ln).collect() })
    }

    /// ln(P/P_linear) over ln k at `a`: 0 below the table, continued as a straight line above it.
    pub fn at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        let ln_boost = Spline::new(self.ln_k.clone(), self.ln_boost.iter().map(|s| s.at(-a.ln())).collect());
        move |ln_k| if ln_k < ln_boost.range().0 { 0.0 } else { ln_boost.at(ln_k) }
    }
}

/// The part of today's linear spectrum that oscillates, relative to the whole, over ln k: what is left when its ratio to
/// a fit without oscillations is smoothed by a Gaussian of 0.25 in ln k.
fn wiggle(cosmology: &Cosmology, linear: &dyn Fn(f64) -> f64) -> Result<Spline> {
    const SMOOTHING: f64 = 0.25;
    let fit = EisensteinHu::new(cosmology)?;
    let k: Vec<f64> = logarithmic((5e-3, 5.0, 300)).collect();
    let ln_k: Vec<f64> = k.iter().map(|k| k.ln()).collect();
    let ratio: Vec<f64> =
        k.iter().map(|k| linear(*k) / (k.powf(cosmology.n_s()) * fit.no_wiggle(*k).powi(2))).collect();
    let (first, last) = (ln_k[0], ln_k[ln_k.len() - 1]);
    let part = |i: usize| {
        // Nothing near the ends, where there is no whole Gaussian.
        if ln_k[i] - first < 3.0 * SMOOTHING || last - ln_k[i] < 3.0 * SMOOTHING {
            return 0.0;
        }
        let [sum, all] = ln_k.iter().zip(&ratio).fold([0.0; 2], |[sum, all], (x, ratio)| {
            let weight = (-0.5 * ((x - ln_k[i]) / SMOOTHING).powi(2)).exp();
            [sum + weight * ratio, all + weight]
        });
        1.0 - sum / all / ratio[i]
    };
    Ok(Spline::new(ln_k.clone(), (0..k.len()).map(part).collect()))
}

/// Halos of one mass.
struct Halo {
    /// What the square of its profile counts in the one-halo term, (Mpc/h)³.
    weight: f64,
    /// ν^η, scale radius in Mpc/h, concentration.
    swelling: f64,
    r_s: f64,
    c: f64,
}

/// The model at one time.
struct Halos {
    halos: Vec<Halo>,
    sigma_v: f64,
    k_star: f64,
    k_damp: f64,
    f_damp: f64,
    alpha: f64,
}

impl Halos {
    fn new(growth: &Growth, a: f64, all: &dyn Fn(f64) -> f64, cold: &dyn Fn(f64) -> f64) -> Self {
        let cosmology = growth.cosmology();
        let step = (MODES.1 / MODES.0).ln() / (MODES.2 - 1) as f64;
        let modes: Vec<[f64; 2]> =
            logarithmic(MODES).map(|k| [k, step * k.powi(3) * cold(k) / (2.0 * PI * PI)]).collect();
        let flow: f64 = logarithmic(MODES).map(|k| step * k * all(k) / (2.0 * PI * PI)).sum();
        let sigma = |r: f64| {
            let top_hat = |x: f64| if x < 0.1 { 1.0 - x * x / 10.0 } else { 3.0 * (x.sin() - x * x.cos()) / x.powi(3) };
            modes.iter().map(|[k, power]| power * top_hat(k * r).powi(2)).sum::<f64>().sqrt()
        };
        let ln_sigma =
            Spline::new(logarithmic(RADII).map(f64::ln).collect(), logarithmic(RADII).map(|r| sigma(r).ln()).collect());
        let sigma_8 = sigma(8.0);
        let (delta_c, delta_v) = collapse(growth, a);

        // Where σ(R) = δ_c, and the slope of the spectrum there.
        let (mut low, mut high) = ln_sigma.range();
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            match ln_sigma.at(middle) > delta_c.ln() {
                true => low = middle,
                false => high = middle,
            }
        }
        let slope = (ln_sigma.at(low + 0.05) - ln_sigma.at(low - 0.05)) / 0.1;
        let n_eff = (-3.0 - 2.0 * slope).clamp(cosmology.n_s() - 4.0, cosmology.n_s());

        let amplitude = 5.196 * dolag(growth, a);
        let density = cosmology.mean_density();
        let f_nu = cosmology.omega_nu() / cosmology.omega_m();
        let eta = 0.1281 * sigma_8.powf(-0.3644);
        let times: Vec<f64> = logarithmic((1e-3, 1.0, 200)).collect();
        let ln_a_of_growth =
            Spline::new(times.iter().map(|a| growth.d1(*a).ln()).collect(), times.iter().map(|a| a.ln()).collect());
        let radius = |m: f64| (3.0 * m / (4.0 * PI * density)).cbrt();
        let nu: Vec<f64> = logarithmic(MASSES).map(|m| delta_c / ln_sigma.at(radius(m).ln()).exp()).collect();
        let halo = |(i, m): (usize, f64)| {
            let width = 0.5 * (nu[(i + 1).min(nu.len() - 1)] - nu[i.saturating_sub(1)]);
            // Formed when a hundredth of the mass had collapsed.
            let formed = delta_c / ln_sigma.at((radius(m) * 0.01_f64.cbrt()).ln()).exp();
            let a_formed = if formed > 1.0 { a } else { ln_a_of_growth.at((formed * growth.d1(a)).ln()).exp() };
            let c = amplitude * a / a_formed;
            Halo {
                weight: (1.0 - f_nu).powi(2) * sheth_tormen(nu[i]) * m * width / density,
                swelling: nu[i].powf(eta),
                r_s: radius(m) / delta_v.cbrt() / c,
                c,
            }
        };
        Halos {
            halos: logarithmic(MASSES).enumerate().map(halo).collect(),
            sigma_v: (flow / 3.0).sqrt(),
            k_star: 0.05618 * sigma_8.powf(-1.013),
            k_damp: 0.05699 * sigma_8.powf(-1.089),
            f_damp: (0.2696 * sigma_8.powf(0.9403)).clamp(1e-3, 0.99),
            alpha: (1.875 * 1.603_f64.powf(n_eff)).clamp(0.5, 2.0),
        }
    }

    /// P(k) where the linear spectrum is `linear`, of which the part `wiggle` oscillates.
    fn p(&self, k: f64, linear: f64, wiggle: f64) -> f64 {
        let smeared = linear * (1.0 - (1.0 - (-(k * self.sigma_v).powi(2)).exp()) * wiggle);
        let x = (k / self.k_damp).powf(2.85);
        let two = smeared * (1.0 - self.f_damp * x / (1.0 + x));
        let x = (k / self.k_star).powi(4);
        let profiles = self.halos.iter().map(|h| h.weight * nfw(k * h.swelling * h.r_s, h.c).powi(2));
        let one = profiles.sum::<f64>() * x / (1.0 + x);
        (two.max(0.0).powf(self.alpha) + one.powf(self.alpha)).powf(1.0 / self.alpha)
    }
}

/// δ_c and Δ_v (Mead 2017, appendix A).
fn collapse(growth: &Growth, a: f64) -> (f64, f64) {
    let cosmology = growth.cosmology();
    let f_nu = cosmology.omega_nu() / cosmology.omega_m();
    let scale = growth.suppression();
    // ∫ g da/a from 0, g = a early.
    let rule: f64 = (0..200).map(|i| (i as f64 + 0.5) / 200.0 * a).map(|a| growth.d1(a) / a).sum();
    let (x, y) = (scale * growth.d1(a) / a, scale * rule / 200.0);
    let omega = cosmology.omega_m_at(a).log10();
    let f = |p: [f64; 4]| p[0] + p[1] * (1.0 - x) + p[2] * (1.0 - x).powi(2) + p[3] * (1.0 - y);
    let delta_c = 1.0 + f([-0.0069, -0.0208, 0.0312, 0.0021]) * omega + f([0.0001, -0.0647, -0.0417, 0.0646]);
    let delta_v = 1.0 + f([-0.79, -10.17, 2.51, 6.51]) * omega + f([-1.89, 0.38, 18.8, -15.87]) * omega * omega;
    let delta_0 = 3.0 / 20.0 * (12.0 * PI).powf(2.0 / 3.0);
    (delta_c * delta_0 * (1.0 - 0.041 * f_nu), delta_v * 18.0 * PI * PI * (1.0 + 0.763 * f_nu))
}

/// What dark energy does to concentrations: growth since z = 10 over that of flat ΛCDM, Ωm^0.55 = dlnD/dlna.
fn dolag(growth: &Growth, a: f64) -> f64 {
    let omega_m = growth.cosmology().omega_m();
    let (infinity, steps) = (1.0 / 11.0_f64, 400);
    if a < infinity {
        return 1.0;
    }
    let rate = |a: f64| (omega_m / (omega_m + (1.0 - omega_m) * a.powi(3))).powf(0.55);
    let step = (a / infinity).ln() / steps as f64;
    let ln_lcdm: f64 = (0..steps).map(|i| step * rate(infinity * ((i as f64 + 0.5) * step).exp())).sum();
    ln_lcdm.exp() * growth.d1(infinity) / growth.d1(a)
}

/// Mass fraction per ν of Sheth & Tormen 1999.
fn sheth_tormen(nu: f64) -> f64 {
    let x = 0.707 * nu * nu;
    0.21616 * (1.0 + x.powf(-0.3)) * (-0.5 * x).exp()
}

/// Fourier transform of an NFW profile of concentration `c` at `x` = k r_s, 1 at 0.
fn nfw(x: f64, c: f64) -> f64 {
    let mass = (1.0 + c).ln() - c / (1.0 + c);
    if c * x < 0.2 {
        let moment = 0.5 * c * c - 2.0 * c + 3.0 * (1.0 + c).ln() - c / (1.0 + c);
        return 1.0 - x * x * moment / (6.0 * mass);
    }
    // With Ci = f sin − g cos and Si = π/2 − f cos − g sin, the sines of the sum leave those of the difference.
    let outer = (1.0 + c) * x;
    let ([_, g1], [f2, g2]) = (auxiliary(x), auxiliary(outer));
    let (sin, cos) = (c * x).sin_cos();
    (g1 - g2 * cos + f2 * sin - sin / outer) / mass
}

/// Auxiliary functions f, g of the sine and cosine integrals: splines of their logarithms over ln x.
fn auxiliary(x: f64) -> [f64; 2] {
    static TABLES: LazyLock<[Spline; 2]> = LazyLock::new(|| {
        let x: Vec<f64> = logarithmic((1e-3, 1e4, 800)).collect();
        let ln_x: Vec<f64> = x.iter().map(|x| x.ln()).collect();
        [0, 1].map(|i| Spline::new(ln_x.clone(), x.iter().map(|x| exact(*x)[i].ln()).collect()))
    });
    if x > 1e4 {
        return [1.0 / x, 1.0 / (x * x)];
    }
    let ln_x = x.ln();
    [TABLES[0].at(ln_x).exp(), TABLES[1].at(ln_x).exp()]
}

/// f and g: by power series, and from x = 2 by the continued fraction of e^z E1(z) = g − i f at z = ix.
fn exact(x: f64) -> [f64; 2] {
    if x >= 2.0 {
        let z = Complex64::new(0.0, x);
        let below = (1..400).rev().fold(z + 799.0, |below, n| z + (2 * n - 1) as f64 - (n * n) as f64 / below);
        let e1 = 1.0 / below;
        return [-e1.im, e1.re];
    }
    const EULER: f64 = 0.577_215_664_901_532_9;
    let (mut si, mut ci, mut term) = (0.0, EULER + x.ln(), 1.0);
    for n in 1..40 {
        term *= x / n as f64;
        let sign = if n % 4 < 2 { 1.0 } else { -1.0 };
        match n % 2 {
            1 => si += sign * term / n as f64,
            _ => ci += sign * term / n as f64,
        }
    }
    let (sin, cos) = x.sin_cos();
    [ci * sin + (FRAC_PI_2 - si) * cos, (FRAC_PI_2 - si) * sin - ci * cos]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        // ∫ 4π r² ρ sin(kr)/(kr) by brute force.
        for (x, c) in [(0.01, 5.0), (0.3, 4.0), (1.0, 10.0), (7.0, 5.0), (100.0, 8.0)] {
            let n = 200_000;
            let sum = |f: &dyn Fn(f64) -> f64| (0..n).map(|i| c * (i as f64 + 0.5) / n as f64).map(f).sum::<f64>();
            let profile = |r: f64| r / (1.0 + r).powi(2);
            let exact = sum(&|r| profile(r) * (x * r).sin() / (x * r)) / sum(&profile);
            assert!((nfw(x, c) - exact).abs() < 1e-5, "{x} {c}: {} against {exact}", nfw(x, c));
        }
    }
}
