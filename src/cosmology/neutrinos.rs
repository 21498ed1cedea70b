//! Linear growth beside massive neutrinos, which fall out of everything smaller than they fly (the linear response of
//! Ali-Haïmoud & Bird 2013, MNRAS 428, 3375, with momenta kept apart so that it holds while they are relativistic).
//!
//! A neutrino of comoving momentum q has the energy ε = √(q² + m²a²), all in units of today's temperature, and flies λ
//! = ∫ dτ q/ε. In the potential k²ψ = −(3/2) (H0/c)² S/a, S = Ω_cb δ_cb + Ω_ν δ_ν, the collisionless Boltzmann equation
//! has the monopole (with j1 = −j0′ integrated step by step)
//!
//! f₁(q, τ) = k f₀′ ∫ dτ′ ε ψ j1(k(λ − λ′)) = (3/2) (H0/ck)² (−f₀′) ∫ (ε²/q) (S/a) dj0(k(λ − λ′)),
//!
//! and Ω_ν δ_ν ∝ (1/a) ∫ dq q² (ε − q) f₁: the energy of their mass alone, for what radiation does to the growth of
//! everything else stands in the transfer function. Cold dark matter and baryons, one fluid, obey
//!
//! δ_cb″ + (2 + dlnH/dlna) δ_cb′ = (3/2) S / (a³E²),   ′ = d/dln a.
//!
//! They begin at a = 1e-3 as (a + 2/3 a_eq) T/Ω_cb (T of a universe with their density and massless neutrinos, which it
//! is at that time); neutrinos with what has flown freely since the Big Bang. Newton's equations hold inside the
//! horizon. Scales that were outside it when neutrinos became slow keep their curvature ζ, and so end as if there had
//! been no mass: the amplitude is brought to that with the weight exp(−k²/k_nr²), k_nr = 0.018 √(Ω_m m/eV) h/Mpc
//! (Lesgourgues & Pastor 2006, Phys. Rep. 429, 307, eq. 93).

use super::{Cosmology, Growth, Spline, fermi_dirac};
use crate::units::HUBBLE_DISTANCE;
use std::num::NonZeroUsize;

/// First scale factor.
const START: f64 = 1e-3;
/// Steps in ln a from there to today, and their length.
const STEPS: usize = 144;
const STEP: f64 = 6.907_755_278_982_137 / STEPS as f64; // ln 1e3
/// Wavenumbers in h/Mpc, and how many, evenly spread in ln k: what is interpolated has no oscillations.
const RANGE: (f64, f64) = (5e-5, 50.0);
const POINTS: usize = 72;
/// Momenta.
const MOMENTA: NonZeroUsize = NonZeroUsize::new(12).unwrap();

/// How matter grows on every scale in a universe with massive neutrinos.
#[derive(Debug, Clone)]
pub struct NeutrinoResponse {
    cosmology: Cosmology,
    ln_k: Vec<f64>,
    /// At every k, after every step.
    histories: Vec<Vec<Growing>>,
}

/// ln δ_cb, its d/dln a, and Ω_ν δ_ν/δ_cb.
#[derive(Debug, Clone, Copy)]
struct Growing {
    ln_cb: f64,
    rate: f64,
    nu: f64,
}

impl NeutrinoResponse {
    /// Solves the equations; nothing where neutrinos have no mass and all matter grows alike.
    pub fn new(cosmology: &Cosmology) -> Option<Self> {
        if cosmology.m_nu() == 0.0 {
            return None;
        }
        let steps = Steps::new(cosmology);
        let (first, last) = (RANGE.0.ln(), RANGE.1.ln());
        let ln_k: Vec<f64> = (0..POINTS).map(|i| first + (last - first) * i as f64 / (POINTS - 1) as f64).collect();
        let mut histories: Vec<_> = ln_k.iter().map(|x| steps.follow(x.exp())).collect();
        let outside = histories[0][STEPS];
        let matter = outside.ln_cb + (cosmology.omega_cb() + outside.nu).ln();
        let excess = matter - Growth::new(&cosmology.without_neutrino_mass()).suppression().ln();
        let k_nr = 0.018 * (cosmology.omega_m() * cosmology.m_nu() / 3.0).sqrt();
        for (x, history) in ln_k.iter().zip(&mut histories) {
            let share = excess * (-(x.exp() / k_nr).powi(2)).exp();
            history.iter_mut().for_each(|m| m.ln_cb -= share);
        }
        Some(NeutrinoResponse { cosmology: *cosmology, ln_k, histories })
    }

    /// What multiplies δ_cb in Poisson's equation to make it δ_m, f_cb + f_ν δ_ν/δ_cb, at `a` over k in h/Mpc.
    pub fn factor_at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        let (cb, all) = (self.cosmology.omega_cb(), self.cosmology.omega_m());
        self.over_k(a, &|m| (cb + m.nu) / all)
    }

    /// [`Self::factor_at`] at one k.
    pub fn factor(&self, k: f64, a: f64) -> f64 {
        self.factor_at(a)(k)
    }

    /// Growth of cold dark matter and baryons, δ_cb(k, a)/δ_cb(k, 1), at `a` over k in h/Mpc.
    pub fn growth_at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        let (then, today) = (self.over_k(a, &|m| m.ln_cb), self.over_k(1.0, &|m| m.ln_cb));
        move |k| (then(k) - today(k)).exp()
    }

    /// Growth rate dlnδ_cb/dlna of cold dark matter and baryons at `a` over k in h/Mpc.
    pub fn rate_at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        self.over_k(a, &|m| m.rate)
    }

    /// δ_m of all matter in units of (2/5) k² (c/H0)² ζ T(k), T being [`super::EisensteinHu`]'s, at `a` over k in
    /// h/Mpc. Without neutrinos it would be D/Ω_m, D = a early.
    pub fn matter_at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        let (cb, all) = (self.cosmology.omega_cb(), self.cosmology.omega_m());
        let ln_delta = self.over_k(a, &|m| m.ln_cb + ((cb + m.nu) / all).ln());
        move |k| ln_delta(k).exp()
    }

    /// δ_cb(k, a)/δ_m(k, 1) at `a` over k in h/Mpc: what carries the spectrum of all matter today, to which sigma8
    /// belongs, to that of cold dark matter and baryons then (squared).
    pub fn cold_at(&self, a: f64) -> impl Fn(f64) -> f64 + use<> {
        let (growth, factor) = (self.growth_at(a), self.factor_at(1.0));
        move |k| growth(k) / factor(k)
    }

    /// Some smooth function of the moment at `a`, as a spline in ln k that is constant beyond the table.
    fn over_k(&self, a: f64, value: &dyn Fn(Growing) -> f64) -> impl Fn(f64) -> f64 + use<> {
        let x = ((a / START).ln() / STEP).clamp(0.0, STEPS as f64);
        let i = (x as usize).min(STEPS - 1);
        let moments = self.histories.iter().map(|h| value(between(h[i], h[i + 1], x - i as f64)));
        let spline = Spline::new(self.ln_k.clone(), moments.collect());
        move |k| spline.at(k.clamp(RANGE.0, RANGE.1).ln())
    }
}

/// The moment at the part `t` of a step.
fn between(from: Growing, to: Growing, t: f64) -> Growing {
    let s = 1.0 - t;
    let ends = (1.0 + 2.0 * t) * s * s * from.ln_cb + t * t * (3.0 - 2.0 * t) * to.ln_cb;
    Growing {
        ln_cb: ends + STEP * t * s * (s * from.rate - t * to.rate),
        rate: 6.0 * t * s * (to.ln_cb - from.ln_cb) / STEP
            + s * (s - 2.0 * t) * from.rate
            + t * (t - 2.0 * s) * to.rate,
        nu: s * from.nu + t * to.nu,
    }
}

/// All that does not depend on k.
struct Steps {
    omega_cb: f64,
    equality: f64,
    /// Conformal time at the first step in Mpc/h.
    horizon: f64,
    /// Scale factor, drag 2 + dlnH/dlna and gravity 3/2 / (a³E²), at the ends and middles of steps.
    halves: Vec<[f64; 3]>,
    momenta: Vec<Momentum>,
}

/// Neutrinos of one momentum.
struct Momentum {
    /// λ in Mpc/h since the first step, after every step.
    path: Vec<f64>,
    /// (3/2) (H0/c)² ε²/(q a) in the middle of every step.
    push: Vec<f64>,
    /// What makes Ω_ν δ_ν of f₁/(−f₀′), after every step.
    weight: Vec<f64>,
    /// q/3: what f₁/(−f₀′) begins with, per δ_cb.
    start: f64,
}

impl Steps {
    fn new(cosmology: &Cosmology) -> Self {
        let a = |half: usize| START * (0.5 * STEP * half as f64).exp();
        let half = |i: usize| {
            let (a, e) = (a(i), cosmology.e(a(i)));
            [a, 2.0 + cosmology.dlnh_dlna(a), 1.5 / (a.powi(3) * e * e)]
        };
        let halves: Vec<_> = (0..=2 * STEPS).map(half).collect();
        let omega_cb = cosmology.omega_cb();
        let equality = cosmology.equality() * cosmology.omega_m() / omega_cb;
        let root = |a: f64| (omega_cb * (a + equality)).sqrt();
        let horizon = HUBBLE_DISTANCE * 2.0 * (root(START) - root(0.0)) / omega_cb;
        let momenta = fermi_dirac::response(MOMENTA).map(|(q, weight)| Momentum::new(cosmology, &halves, q, weight));
        Steps { omega_cb, equality, horizon, momenta: momenta.collect(), halves }
    }

    /// Everything at the wavenumber `k` in h/Mpc.
    fn follow(&self, k: f64) -> Vec<Growing> {
        let mut history: Vec<Growing> = Vec::with_capacity(STEPS + 1);
        let mut sources = Vec::with_capacity(STEPS); // S in the middle of steps
        let mut cb = [START + 2.0 / 3.0 * self.equality, START].map(|d| d / self.omega_cb);
        let first = cb[0];
        for n in 0..=STEPS {
            let nu = self.neutrinos(k, n, &sources, first) / cb[0];
            history.push(Growing { ln_cb: cb[0].ln(), rate: cb[1] / cb[0], nu });
            if n < STEPS {
                // Their part changes slowly: continued as a straight line.
                let slope = if n > 0 { nu - history[n - 1].nu } else { 0.0 };
                let part = |t: f64| self.omega_cb + nu + t * slope;
                let before = cb;
                cb = self.step(n, cb, part);
                sources.push(part(0.5) * (0.5 * (before[0] + cb[0]) + STEP / 8.0 * (before[1] - cb[1])));
            }
        }
        history
    }

    /// δ_cb and δ_cb′ after step `n` (Runge and Kutta's), S being `part` times δ_cb.
    fn step(&self, n: usize, y: [f64; 2], part: impl Fn(f64) -> f64) -> [f64; 2] {
        let f = |half: usize, [d, p]: [f64; 2]| {
            let [_, drag, gravity] = self.halves[2 * n + half];
            [p, gravity * part(0.5 * half as f64) * d - drag * p]
        };
        let along = |k: [f64; 2], h: f64| [y[0] + h * k[0], y[1] + h * k[1]];
        let k1 = f(0, y);
        let k2 = f(1, along(k1, STEP / 2.0));
        let k3 = f(1, along(k2, STEP / 2.0));
        let k4 = f(2, along(k3, STEP));
        std::array::from_fn(|i| y[i] + STEP / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
    }

    /// Ω_ν δ_ν after `n` steps.
    fn neutrinos(&self, k: f64, n: usize, sources: &[f64], first: f64) -> f64 {
        let of = |m: &Momentum| {
            let j0 = |path: &f64| sinc(k * (m.path[n] - path));
            let mut from = j0(&m.path[0]);
            let mut sum = 0.0;
            for ((path, push), source) in m.path[1..].iter().zip(&m.push).zip(sources) {
                let to = j0(path);
                sum += push * source * (to - from);
                from = to;
            }
            let kept = m.start * first * sinc(k * (m.path[n] + self.horizon));
            m.weight[n] * (sum / (k * k) + kept)
        };
        self.momenta.iter().map(of).sum()
    }
}

impl Momentum {
    /// Of momentum `q`, with `weight` = dq q² (−f₀′) in the massless energy density's unit.
    fn new(cosmology: &Cosmology, halves: &[[f64; 3]], q: f64, weight: f64) -> Self {
        let energy = |a: f64| (q * q + (cosmology.mass * a).powi(2)).sqrt();
        // dλ/dlna = c/H0 (q/ε) / (aE), with aE = (3/2 / gravity / a)^½.
        let speed = |half: usize| {
            let [a, _, gravity] = halves[half];
            HUBBLE_DISTANCE * q / energy(a) * (gravity * a / 1.5).sqrt()
        };
        let mut path = vec![0.0];
        for n in 0..STEPS {
            let length = STEP / 6.0 * (speed(2 * n) + 4.0 * speed(2 * n + 1) + speed(2 * n + 2));
            path.push(path[n] + length);
        }
        let scale = 1.5 / HUBBLE_DISTANCE.powi(2);
        let middle = |n: usize| halves[2 * n + 1][0];
        Momentum {
            path,
            push: (0..STEPS).map(|n| scale * energy(middle(n)).powi(2) / (q * middle(n))).collect(),
            weight: (0..=STEPS)
                .map(|n| halves[2 * n][0])
                .map(|a| cosmology.neutrinos / a * weight * (energy(a) - q))
                .collect(),
            start: q / 3.0,
        }
    }
}

/// j0(x) = sin x / x.
fn sinc(x: f64) -> f64 {
    if x < 1e-4 { 1.0 - x * x / 6.0 } else { x.sin() / x }
}
