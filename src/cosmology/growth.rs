//! Growth to third order from its differential equations (e.g. Bouchet et al. 1995, A&A 296, 575; Catelan 1995). With
//! ′ = d/dln a, 𝒯 = ″ + (2 + dlnH/dlna) ′, and matter alone clustering:
//!
//! | | 𝒯 D / (3/2 Ωm(a)) | early in matter domination |
//! |---|---|---|
//! | D1 | D1 | a |
//! | D2 | D2 − D1² | −3/7 a² |
//! | D3a | D3a − 2 D1³ | −1/3 a³ |
//! | D3b | D3b − D1 (D2 − D1²) | 5/21 a³ |
//! | D3c | −D1³ | −1/7 a³ |
//!
//! D1 is normalised to 1 today and order n to D1(1)ⁿ, so that D2 is negative and today near, not exactly, −3/7.
//! Radiation and dark energy are smooth: D1 begins as a + 2/3 a_eq (Mészáros 1974, A&A 37, 225; exact beside
//! radiation), order n as its coefficient above times D1ⁿ. Massive neutrinos are taken to cluster as the rest of the
//! matter, which holds on the largest scales.

use super::Cosmology;

/// ln a at the first node; until there dark energy and curvature do not matter.
const START: f64 = -9.210_340_371_976_182; // ln 1e-4
/// Steps from the first node to a = 1, which is a node.
const STEPS: usize = 1024;
/// Steps beyond a = 1, so that a symmetric difference around today is possible.
const BEYOND: usize = 32;
const STEP: f64 = -START / STEPS as f64;

/// D and D′ of D1, D2, D3a, D3b, D3c.
type State = [[f64; 2]; 5];
/// Powers of D1(1) that they are normalised to.
const ORDERS: [i32; 5] = [1, 2, 3, 3, 3];
/// In an Einstein–de Sitter universe with D1 = a.
const EARLY: [f64; 5] = [1.0, -3.0 / 7.0, -1.0 / 3.0, 5.0 / 21.0, -1.0 / 7.0];

/// Growth functions of a cosmology, tabulated in ln a up to a = 1.3; relative accuracy better than 1e-8.
#[derive(Debug, Clone)]
pub struct Growth {
    cosmology: Cosmology,
    nodes: Vec<State>,
}

/// Time derivative (d/dln a) of the state.
fn derivative(cosmology: &Cosmology, ln_a: f64, state: State) -> State {
    let a = ln_a.exp();
    let drag = 2.0 + cosmology.dlnh_dlna(a);
    let source = 1.5 * cosmology.omega_m_at(a);
    let [d1, d2, d3a, d3b, _] = state.map(|[d, _]| d);
    let curl_free = d2 - d1 * d1;
    let sources = [d1, curl_free, d3a - 2.0 * d1.powi(3), d3b - d1 * curl_free, -d1.powi(3)];
    std::array::from_fn(|i| [state[i][1], source * sources[i] - drag * state[i][1]])
}

/// One step of the classical fourth-order Runge–Kutta method.
fn runge_kutta(f: impl Fn(f64, State) -> State, x: f64, y: State, h: f64) -> State {
    let along = |k: &State, h: f64| each(|i, j| y[i][j] + h * k[i][j]);
    let k1 = f(x, y);
    let k2 = f(x + h / 2.0, along(&k1, h / 2.0));
    let k3 = f(x + h / 2.0, along(&k2, h / 2.0));
    let k4 = f(x + h, along(&k3, h));
    each(|i, j| y[i][j] + h / 6.0 * (k1[i][j] + 2.0 * k2[i][j] + 2.0 * k3[i][j] + k4[i][j]))
}

fn each(f: impl Fn(usize, usize) -> f64) -> State {
    std::array::from_fn(|i| std::array::from_fn(|j| f(i, j)))
}

/// The state at early times, D1 being a after radiation and before anything else.
fn early(cosmology: &Cosmology, a: f64) -> State {
    let d1 = a + 2.0 / 3.0 * cosmology.equality();
    std::array::from_fn(|i| {
        let (d, n) = (EARLY[i] * d1.powi(ORDERS[i]), ORDERS[i] as f64);
        [d, n * d * (a / d1)]
    })
}

impl Growth {
    /// Solves the equations for `cosmology`.
    pub fn new(cosmology: &Cosmology) -> Self {
        let mut nodes = vec![early(cosmology, START.exp())];
        for i in 0..STEPS + BEYOND {
            let ln_a = START + i as f64 * STEP;
            nodes.push(runge_kutta(|x, y| derivative(cosmology, x, y), ln_a, nodes[i], STEP));
        }
        let d1: f64 = nodes[STEPS][0][0];
        nodes.iter_mut().for_each(|node| *node = each(|i, j| node[i][j] / d1.powi(ORDERS[i])));
        Growth { cosmology: *cosmology, nodes }
    }

    /// The state at `a`: cubic Hermite interpolation, whose slopes the equations give exactly.
    fn at(&self, a: f64) -> State {
        debug_assert!(a > 0.0 && a < 1.3, "growth is tabulated for 0 < a < 1.3, not at {a}");
        if a <= START.exp() {
            let (then, first) = (early(&self.cosmology, a), early(&self.cosmology, START.exp()));
            return each(|i, j| self.nodes[0][i][j] * (then[i][j] / first[i][j]));
        }
        let x = (a.ln() - START) / STEP;
        let i = (x as usize).min(self.nodes.len() - 2);
        let t = x - i as f64;
        let ln_a = START + i as f64 * STEP;
        let (y0, y1) = (self.nodes[i], self.nodes[i + 1]);
        let m0 = derivative(&self.cosmology, ln_a, y0);
        let m1 = derivative(&self.cosmology, ln_a + STEP, y1);
        let s = 1.0 - t;
        each(|i, j| {
            let (ends, slopes) = ([y0[i][j], y1[i][j]], [m0[i][j], m1[i][j]]);
            (1.0 + 2.0 * t) * s * s * ends[0]
                + t * t * (3.0 - 2.0 * t) * ends[1]
                + STEP * t * s * (s * slopes[0] - t * slopes[1])
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
        self.at(a)[0][0]
    }

    /// Growth today over that of a universe of matter alone that began alike: below 1 where dark energy has held it
    /// back.
    pub fn suppression(&self) -> f64 {
        let [[d1, _], ..] = self.nodes[0];
        (START.exp() + 2.0 / 3.0 * self.cosmology.equality()) / d1
    }

    /// dD1/da.
    pub fn d1_da(&self, a: f64) -> f64 {
        self.at(a)[0][1] / a
    }

    /// d²D1/da², from the differential equation.
    pub fn d1_da2(&self, a: f64) -> f64 {
        let (_, slope) = self.with_slope(a);
        (slope[0][1] - slope[0][0]) / (a * a)
    }

    /// Linear growth rate f1 = dln D1/dln a.
    pub fn f1(&self, a: f64) -> f64 {
        let [d1, p1] = self.at(a)[0];
        p1 / d1
    }

    /// Second-order growth D2(a) in units of D1(1)²; −3/7 D1² in an Einstein–de Sitter universe.
    pub fn d2(&self, a: f64) -> f64 {
        self.at(a)[1][0]
    }

    /// dD2/da.
    pub fn d2_da(&self, a: f64) -> f64 {
        self.at(a)[1][1] / a
    }

    /// d²D2/da², from the differential equation.
    pub fn d2_da2(&self, a: f64) -> f64 {
        let (_, slope) = self.with_slope(a);
        (slope[1][1] - slope[1][0]) / (a * a)
    }

    /// Third-order growth D3a, D3b and D3c in units of D1(1)³: of the determinant, of the mixed term and of the curl.
    pub fn d3(&self, a: f64) -> [f64; 3] {
        let [_, _, d3 @ ..] = self.at(a);
        d3.map(|[d, _]| d)
    }

    /// dD3/da of the three.
    pub fn d3_da(&self, a: f64) -> [f64; 3] {
        let [_, _, d3 @ ..] = self.at(a);
        d3.map(|[_, slope]| slope / a)
    }

    /// Second-order growth rate f2 = dln D2/dln a.
    pub fn f2(&self, a: f64) -> f64 {
        let [d2, p2] = self.at(a)[1];
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
