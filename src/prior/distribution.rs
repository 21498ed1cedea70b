//! How one parameter is distributed before anything is seen: kind and numbers, and whatever is asked of them.

/// The prior of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// The same density everywhere between two bounds.
    Uniform { min: f64, max: f64 },
}
use Distribution::Uniform;

impl Distribution {
    /// Where the density ends; infinite where it does not.
    pub fn bounds(&self) -> (f64, f64) {
        match *self {
            Uniform { min, max } => (min, max),
        }
    }

    /// What a plot shows of it: its bounds.
    pub fn range(&self) -> (f64, f64) {
        self.bounds()
    }

    /// Length of the [range](Self::range).
    pub fn width(&self) -> f64 {
        let (low, high) = self.range();
        high - low
    }

    /// The bounds, each one step of single precision further out: 0.3 or 67.4 stored so lies on a bound, not beyond it.
    pub fn reach(&self) -> (f64, f64) {
        // Where the interval itself is not much wider than such a step, the bounds mean what they say.
        let step = |bound: f64| {
            let bound = bound.abs() as f32;
            Some((bound.next_up() - bound) as f64).filter(|&s| s < 1e-4 * self.width()).unwrap_or(0.0)
        };
        let (min, max) = self.bounds();
        (min - step(min), max + step(max))
    }

    /// Whether it can have this value, see [`reach`](Self::reach).
    pub fn holds(&self, value: f64) -> bool {
        let (low, high) = self.reach();
        (low..=high).contains(&value)
    }

    /// The value below which a fraction `u` of it lies.
    pub fn quantile(&self, u: f64) -> f64 {
        match *self {
            Uniform { max, .. } if u == 1.0 => max,
            Uniform { min, max } => min + (max - min) * u,
        }
    }

    /// The fraction of it that lies below a value.
    pub fn cdf(&self, value: f64) -> f64 {
        match *self {
            Uniform { min, max } => ((value - min) / (max - min)).clamp(0.0, 1.0),
        }
    }

    /// ln density at a value that it [holds](Self::holds); −∞ at others.
    pub fn ln_density(&self, value: f64) -> f64 {
        match *self {
            _ if !self.holds(value) => f64::NEG_INFINITY,
            Uniform { min, max } => -(max - min).ln(),
        }
    }

    /// Its variance.
    pub fn variance(&self) -> f64 {
        match *self {
            Uniform { min, max } => (max - min).powi(2) / 12.0,
        }
    }
}

/// As it stands behind a parameter's name: `∈ [0.1, 0.5]`.
impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Uniform { min, max } => write!(f, "∈ [{min}, {max}]"),
        }
    }
}
