//! Halofit with the coefficients of Takahashi et al. 2012 (ApJ 761, 152, appendix), which their equations number; for
//! massive neutrinos those of Bird, Viel & Haehnelt 2012 as CAMB has them. For w0–wa dark energy w is taken at the time
//! itself, as in CAMB.

use crate::cosmology::Cosmology;
use std::f64::consts::PI;

/// Wavenumbers in h/Mpc that the variance is summed over by the trapezoidal rule in ln k, and how many.
const RANGE: (f64, f64) = (1e-4, 1e3);
const POINTS: usize = 300;
/// Radius in Mpc/h below which nothing counts as collapsed: all that matters is then linear.
const SMALLEST: f64 = 1e-2;

/// k in h/Mpc, and what it adds to the variance per point.
pub type Modes = Vec<[f64; 2]>;

/// The fit at one time.
#[derive(Debug, Clone, Copy)]
pub struct Halofit {
    k_nl: f64,
    f: [f64; 3],
    a: f64,
    b: f64,
    c: f64,
    gamma: f64,
    nu: f64,
    alpha: f64,
    beta: f64,
    /// Fraction of matter that is massive neutrinos.
    f_nu: f64,
}

impl Halofit {
    /// [`Modes`] of a spectrum over k.
    pub fn modes(linear: impl Fn(f64) -> f64) -> Modes {
        let step = (RANGE.1 / RANGE.0).ln() / (POINTS - 1) as f64;
        let mode = |i: usize| {
            let k = RANGE.0 * (step * i as f64).exp();
            [k, step * k.powi(3) * linear(k) / (2.0 * PI * PI)]
        };
        (0..POINTS).map(mode).collect()
    }

    /// At scale factor `a`, where the linear spectrum is that of `today` times the square of `growth`(k). Nothing where
    /// the variance in Gaussian spheres reaches 1 on no scale above 0.01 Mpc/h.
    pub fn new(cosmology: &Cosmology, a: f64, today: &Modes, growth: impl Fn(f64) -> f64) -> Option<Self> {
        let modes: Vec<[f64; 2]> = today.iter().map(|&[k, power]| [k * k, power * growth(k).powi(2)]).collect();
        // σ², and dlnσ²/dlnR and its derivative.
        let variance = |r: f64| {
            let [mut s0, mut s1, mut s2] = [0.0; 3];
            for [k2, power] in modes.iter().take_while(|[k2, _]| k2 * r * r < 50.0) {
                let y = k2 * r * r;
                let filtered = power * (-y).exp();
                s0 += filtered;
                s1 += y * filtered;
                s2 += y * (1.0 - y) * filtered;
            }
            let slope = -2.0 * s1 / s0;
            (s0, slope, -slope * slope - 4.0 * s2 / s0)
        };
        // ln σ² falls ever more steeply with ln R: Newton's method comes to the root from the right.
        let mut r = 1.0;
        let (mut s, mut slope, mut curve) = variance(r);
        for _ in 0..100 {
            if s.ln().abs() < 1e-9 {
                break;
            }
            r *= (-s.ln() / slope).clamp(-3.0, 3.0).exp();
            if r < SMALLEST {
                return None;
            }
            (s, slope, curve) = variance(r);
        }
        let (n, c) = (-3.0 - slope, -curve);

        let matter = cosmology.omega_m() * a.powi(-3);
        let (dark, _) = cosmology.dark_energy(a);
        let all = matter + dark + cosmology.omega_k() * a.powi(-2);
        let (omega_m, omega_w) = (matter / all, dark / all);
        let w = cosmology.beyond().w0 + cosmology.beyond().wa * (1.0 - a);
        let f_nu = cosmology.omega_nu() / cosmology.omega_m();
        let series = |p: [f64; 5]| p.into_iter().rev().fold(0.0, |sum, p| sum * n + p);
        let pow10 = |x: f64| 10.0_f64.powf(x);
        let dark_energy = omega_w * (1.0 + w);
        // From an open universe to a flat one (Smith et al. 2003, C17 and C18).
        let flat = if omega_m < 1.0 { omega_w / (1.0 - omega_m) } else { 1.0 };
        let f = [[-0.0732, -0.0307], [-0.1423, -0.0585], [0.0725, 0.0743]]
            .map(|[open, closed]| flat * omega_m.powf(closed) + (1.0 - flat) * omega_m.powf(open));
        Some(Halofit {
            k_nl: 1.0 / r,
            f,
            a: pow10(series([1.5222, 2.8553, 2.3706, 0.9903, 0.2250]) - 0.6038 * c + 0.1749 * dark_energy), // (A6)
            b: pow10(series([-0.5642, 0.5864, 0.5716, 0.0, 0.0]) - 1.5474 * c + 0.2279 * dark_energy),
            c: pow10(series([0.3698, 2.0404, 0.8161, 0.0, 0.0]) + 0.5869 * c),
            gamma: series([0.1971, -0.0843, 0.0, 0.0, 0.0]) + 0.8460 * c,
            nu: pow10(series([5.2105, 3.6902, 0.0, 0.0, 0.0])),
            alpha: (series([6.0835, 1.3373, -0.1959, 0.0, 0.0]) - 5.5274 * c).abs(),
            beta: series([2.0379, -0.7354, 0.3157, 1.2490, 0.3980]) - 0.1682 * c + f_nu * (1.081 + 0.395 * n * n),
            f_nu,
        })
    }

    /// P(k) in (Mpc/h)³ where the linear one is `linear`.
    pub fn p(&self, k: f64, linear: f64) -> f64 {
        let y = k / self.k_nl;
        let ln_y = y.ln();
        let [f1, f2, f3] = self.f;
        let volume = k.powi(3) / (2.0 * PI * PI);
        let linear = linear * volume;
        let fast = linear * (1.0 + self.f_nu * 47.48 * k * k / (1.0 + 1.5 * k * k));
        let pairs = linear * (1.0 + fast).powf(self.beta) / (1.0 + self.alpha * fast) * (-y / 4.0 - y * y / 8.0).exp(); // (A2)
        let tail = ((3.0 - self.gamma) * (self.c * f3 * y).ln()).exp();
        let halos = self.a * (3.0 * f1 * ln_y).exp() / (1.0 + self.b * (f2 * ln_y).exp() + tail); // (A3)
        let halos = halos / (1.0 + self.nu / (y * y)) * (1.0 + 0.977 * self.f_nu);
        (pairs + halos) / volume
    }
}
