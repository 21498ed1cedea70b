//! Tasks of sbibm 1.1.0: priors and simulators, by their definitions there.

use polycosm::rng::ChaCha8Rng;
use rand::Rng;
use rand_distr::StandardNormal;

/// Observations that each task has.
pub const OBSERVATIONS: usize = 10;

/// One inference problem.
pub struct Task {
    pub name: &'static str,
    /// Parameters, and numbers of data.
    pub p: usize,
    pub d: usize,
    /// The prior of each parameter: uniform in (−bound, bound), or a Gaussian of that variance.
    pub prior: Prior,
    pub simulate: fn(&[f64], &mut ChaCha8Rng) -> Vec<f64>,
    /// Published C2ST of NPE, NLE and NRE at 1,000, 10,000 and 100,000 simulations (Lueckmann et al. 2021).
    pub published: [[f64; 3]; 3],
}

/// Of each parameter.
pub enum Prior {
    Uniform(f64),
    Normal(f64),
}

pub const TASKS: [Task; 5] = [
    Task {
        name: "two_moons",
        p: 2,
        d: 2,
        prior: Prior::Uniform(1.0),
        simulate: two_moons,
        published: [[0.725, 0.606, 0.542], [0.773, 0.713, 0.668], [0.822, 0.761, 0.629]],
    },
    Task {
        name: "slcp",
        p: 5,
        d: 8,
        prior: Prior::Uniform(3.0),
        simulate: slcp,
        published: [[0.975, 0.901, 0.831], [0.946, 0.771, 0.699], [0.972, 0.947, 0.919]],
    },
    Task {
        name: "gaussian_linear",
        p: 10,
        d: 10,
        prior: Prior::Normal(0.1),
        simulate: linear,
        published: [[0.694, 0.552, 0.506], [0.650, 0.555, 0.515], [0.672, 0.560, 0.536]],
    },
    Task {
        name: "gaussian_linear_uniform",
        p: 10,
        d: 10,
        prior: Prior::Uniform(1.0),
        simulate: linear,
        published: [[0.696, 0.553, 0.509], [0.723, 0.548, 0.506], [0.788, 0.706, 0.631]],
    },
    Task {
        name: "gaussian_mixture",
        p: 2,
        d: 2,
        prior: Prior::Uniform(10.0),
        simulate: mixture,
        published: [[0.716, 0.615, 0.548], [0.740, 0.723, 0.690], [0.777, 0.748, 0.735]],
    },
];

impl Task {
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let one = |_| match self.prior {
            Prior::Uniform(bound) => rng.random_range(-bound..bound),
            Prior::Normal(variance) => variance.sqrt() * normal(rng),
        };
        (0..self.p).map(one).collect()
    }

    /// As in a campaign's `dataset.parameters`.
    pub fn parameters(&self) -> String {
        let prior = match self.prior {
            Prior::Uniform(bound) => format!("{{ min = {:?}, max = {bound:?} }}", -bound),
            Prior::Normal(variance) => format!("{{ kind = \"normal\", mean = 0.0, sigma = {} }}", variance.sqrt()),
        };
        (1..=self.p).map(|j| format!("t{j} = {prior}\n")).collect()
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

fn two_moons(t: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let a = (rng.random::<f64>() - 0.5) * std::f64::consts::PI;
    let r = 0.1 + 0.01 * normal(rng);
    let h = 0.5f64.sqrt();
    vec![r * a.cos() + 0.25 - (t[0] + t[1]).abs() * h, r * a.sin() + (t[1] - t[0]) * h]
}

/// Four points of a plane, from a Gaussian about (θ₁, θ₂) of standard deviations θ₃², θ₄² and correlation tanh θ₅.
fn slcp(t: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    const EPS: f64 = 1e-6;
    let (s1, s2, rho) = (t[2] * t[2], t[3] * t[3], t[4].tanh());
    let l11 = (s1 * s1 + EPS).sqrt();
    let l21 = rho * s1 * s2 / l11;
    let l22 = (s2 * s2 + EPS - l21 * l21).max(0.0).sqrt();
    (0..4)
        .flat_map(|_| {
            let (a, b) = (normal(rng), normal(rng));
            [t[0] + l11 * a, t[1] + l21 * a + l22 * b]
        })
        .collect()
}

/// Noise of variance 0.1.
fn linear(t: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    t.iter().map(|t| t + 0.1f64.sqrt() * normal(rng)).collect()
}

/// Noise of standard deviation 1, or 0.1 as often.
fn mixture(t: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let sigma = if rng.random() { 1.0 } else { 0.1 };
    t.iter().map(|t| t + sigma * normal(rng)).collect()
}
