//! Linear and second-order growth from their differential equations (e.g. Bouchet et al. 1995, A&A 296, 575). With
//! ′ = d/dln a, matter alone clustering:
//!
//! D1″ + (2 + dlnH/dlna) D1′ = 3/2 Ωm(a) D1,    D2″ + (2 + dlnH/dlna) D2′ = 3/2 Ωm(a) (D2 − D1²),
//!
//! started early in matter domination with D1 = a, D2 = −3/7 a². D1 is normalised to 1 today and D2 to D1(1)², so
//! that D2 is negative and today near, not exactly, −3/7.

use super::Cosmology;

/// ln a at the first node; before it D1 ∝ a and D2 ∝ a² hold to 1e-9.
const START: f64 = -9.210_340_371_976_182; // ln 1e-4
/// Steps from the first node to a = 1, which is a node.
const STEPS: usize = 1024;
/// Steps beyond a = 1, so that a symmetric difference around today is possible.
const BEYOND: usize = 32;
const STEP: f64 = -START / STEPS as f64;

/// D1, D1′, D2, D2′.
type State = [f64; 4];

/// Growth functions of a cosmology, tabulated in ln a up to a = 1.3; relative accuracy better than 1e-8.
#[derive(Debug, Clone)]
pub struct Growth {
    cosmology: Cosmology,
    nodes: Vec<State>,
}

/// Time derivative (d/dln a) of the state.
fn derivative(cosmology: &Cosmology, ln_a: f64, [d1, p1, d2, p2]: State) -> State {
    let a = ln_a.exp();
    let drag = 2.0 + cosmology.dlnh_dlna(a);
    let source = 1.5 * cosmology.omega_m_at(a);
    [p1, source * d1 - drag * p1, p2, source * (d2 - d1 * d1) - drag * p2]
}

/// One step of the classical fourth-order Runge–Kutta method.
fn runge_kutta(f: impl Fn(f64, State) -> State, x: f64, y: State, h: f64) -> State {
    let along = |k: &State, h: f64| std::array::from_fn(|i| y[i] + h * k[i]);
    let k1 = f(x, y);
    let k2 = f(x + h / 2.0, along(&k1, h / 2.0));
    let k3 = f(x + h / 2.0, along(&k2, h / 2.0));
    let k4 = f(x + h, along(&k3, h));
    std::array::from_fn(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

impl Growth {
    /// Solves the equations for `cosmology`.
    pub fn new(cosmology: &Cosmology) -> Self {
        let a = START.exp();
        let mut nodes = vec![[a, a, -3.0 / 7.0 * a * a, -6.0 / 7.0 * a * a]];
        for i in 0..STEPS + BEYOND {
            let ln_a = START + i as f64 * STEP;
            nodes.push(runge_kutta(|x, y| derivative(cosmology, x, y), ln_a, nodes[i], STEP));
        }
        let d1 = nodes[STEPS][0];
        for node in &mut nodes {
            *node = [node[0] / d1, node[1] / d1, node[2] / d1.powi(2), node[3] / d1.powi(2)];
        }
        Growth { cosmology: *cosmology, nodes }
    }

    /// The state at `a`: cubic Hermite interpolation, whose slopes the equations give exactly.
    fn at(&self, a: f64) -> State {
        debug_assert!(a > 0.0 && a < 1.3, "growth is tabulated for 0 < a < 1.3, not at {a}");
        if a <= START.exp() {
            let ratio = a / START.exp();
            let [d1, p1, d2, p2] = self.nodes[0];
            return [d1 * ratio, p1 * ratio, d2 * ratio * ratio, p2 * ratio * ratio];
        }
        let x = (a.ln() - START) / STEP;
        let i = (x as usize).min(self.nodes.len() - 2);
        let t = x - i as f64;
        let ln_a = START + i as f64 * STEP;
        let (y0, y1) = (self.nodes[i], self.nodes[i + 1]);
        let m0 = derivative(&self.cosmology, ln_a, y0);
        let m1 = derivative(&self.cosmology, ln_a + STEP, y1);
        let s = 1.0 - t;
        std::array::from_fn(|j| {
            (1.0 + 2.0 * t) * s * s * y0[j] + t * t * (3.0 - 2.0 * t) * y1[j] + STEP * t * s * (s * m0[j] - t * m1[j])
        })
    }

    /// The state and its d/dln a at `a`.
    fn with_slope(&self, a: f64) -> (State, State) {
        let state = self.at(a);
        (state, derivative(&self.cosmology, a.ln(), state))
    }

    /// The cosmology these functions belong to.
    pub fn cosmology(&self) -> &Cosmology {
        &self.cosmology
    }

    /// Linear growth D1(a), 1 today.
    pub fn d1(&self, a: f64) -> f64 {
        self.at(a)[0]
    }

    /// dD1/da.
    pub fn d1_da(&self, a: f64) -> f64 {
        self.at(a)[1] / a
    }

    /// d²D1/da², from the differential equation.
    pub fn d1_da2(&self, a: f64) -> f64 {
        let (_, slope) = self.with_slope(a);
        (slope[1] - slope[0]) / (a * a)
    }

    /// Linear growth rate f1 = dln D1/dln a.
    pub fn f1(&self, a: f64) -> f64 {
        let [d1, p1, ..] = self.at(a);
        p1 / d1
    }

    /// Second-order growth D2(a) in units of D1(1)²; −3/7 D1² in an Einstein–de Sitter universe.
    pub fn d2(&self, a: f64) -> f64 {
        self.at(a)[2]
    }

    /// dD2/da.
    pub fn d2_da(&self, a: f64) -> f64 {
        self.at(a)[3] / a
    }

    /// d²D2/da², from the differential equation.
    pub fn d2_da2(&self, a: f64) -> f64 {
        let (_, slope) = self.with_slope(a);
        (slope[3] - slope[2]) / (a * a)
    }

    /// Second-order growth rate f2 = dln D2/dln a.
    pub fn f2(&self, a: f64) -> f64 {
        let [.., d2, p2] = self.at(a);
        p2 / d2
    }

    /// G_f(a) = a³ E(a) dD1/da, the momentum of linear growth (Feng et al. 2016, MNRAS 463, 2273).
    pub fn gf(&self, a: f64) -> f64 {
        a.powi(3) * self.cosmology.e(a) * self.d1_da(a)
    }

    /// dG_f/da; the growth equation makes it 3/2 Ωm(a) a E(a) D1(a).
    pub fn gf_da(&self, a: f64) -> f64 {
        1.5 * self.cosmology.omega_m_at(a) * a * self.cosmology.e(a) * self.d1(a)
    }
}
