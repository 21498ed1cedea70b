//! The prior over the parameters: names, LaTeX labels and distributions. It is written into every dataset, and every
//! posterior is read against it.

mod derived;
mod distribution;
mod formula;
mod joint;
mod spelling;

pub use derived::Derived;
pub use distribution::{Coordinate, Distribution};
pub use formula::Formula;
pub use spelling::{Kind, ParameterTable};

use crate::comm::stop;
use crate::error::{Error, Result};
use crate::rng;
use joint::Joint;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

/// One varied parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name as in `[cosmology]`, e.g. `Omega_m`.
    pub name: String,
    /// Label for plots, without dollar signs, e.g. `\Omega_m`.
    pub latex: String,
    pub distribution: Distribution,
    /// Correlation coefficients with other parameters, by their names.
    pub correlation: BTreeMap<String, f64>,
}

impl Parameter {
    /// Uniform between two bounds.
    pub fn uniform(name: impl Into<String>, latex: impl Into<String>, min: f64, max: f64) -> Self {
        let distribution = Distribution::Uniform { min, max };
        Parameter { name: name.into(), latex: latex.into(), distribution, correlation: BTreeMap::new() }
    }

    /// True of the plain box.
    pub fn is_uniform(&self) -> bool {
        matches!(self.distribution, Distribution::Uniform { .. })
    }
}

/// Up to so many parameters every corner of the prior is looked at: 2⁶.
const ALL_CORNERS: usize = 6;
/// Of more parameters, so many corners of a fixed random choice.
const SOME_CORNERS: usize = 32;

/// Parameters: independent, but for Gaussians (of θ or of ln θ) that are correlated. The later one of such a pair says
/// it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Parameter>", into = "Vec<Parameter>")]
pub struct Prior {
    pub parameters: Vec<Parameter>,
    joint: Joint,
    /// What is left of it, where universes that cannot be made are passed over. Not of its spelling: files say it beside.
    pub accepted: Option<Accepted>,
    /// What is computed from its parameters, beside them. Not of its spelling either.
    pub derived: Vec<Derived>,
}

/// What is left of a prior where universes that cannot be made are passed over, as so many of its draws tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    pub kept: usize,
    pub of: usize,
    /// Of each parameter (p) among those that are left.
    pub variance: Vec<f64>,
}

impl Accepted {
    /// The fraction that is left, by which densities are higher, and its standard error.
    pub fn fraction(&self) -> (f64, f64) {
        let (kept, of) = (self.kept as f64, self.of as f64);
        (kept / of, (kept * (of - kept)).sqrt() / of.powf(1.5))
    }
}

impl Display for Accepted {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        let (fraction, error) = self.fraction();
        write!(f, "{:.1} ± {:.1}%", 100.0 * fraction, 100.0 * error)
    }
}

impl TryFrom<Vec<Parameter>> for Prior {
    type Error = String;
    fn try_from(parameters: Vec<Parameter>) -> Result<Self, String> {
        Prior::new(parameters).map_err(|e| match e.key {
            Some(key) => format!("{}: {}", key.trim_start_matches("design.parameters."), e.problem),
            None => e.problem,
        })
    }
}

impl From<Prior> for Vec<Parameter> {
    fn from(prior: Prior) -> Self {
        prior.parameters
    }
}

impl Prior {
    /// Checks that names are unique, that their numbers make densities and their correlations a joint one.
    pub fn new(mut parameters: Vec<Parameter>) -> Result<Self> {
        for (i, p) in parameters.iter().enumerate() {
            let key = format!("design.parameters.{}", p.name);
            p.distribution.check().map_err(|e| e.key(&key))?;
            if parameters[..i].iter().any(|q| q.name == p.name) {
                let error = Error::input("given twice").key(key).value(p.distribution.bounds());
                return Err(error.remedy("keep one"));
            }
        }
        let joint = Joint::new(&mut parameters)?;
        Ok(Prior { parameters, joint, accepted: None, derived: vec![] })
    }

    /// The prior of universes that are `possible` alone, by so many draws from this one.
    pub fn cut(&self, draws: usize, possible: impl Fn(&[f64]) -> bool) -> Result<Prior> {
        let mut rng = rng::stream(0, 0, "accepted", self.len() as u64);
        let mut kept: Vec<Vec<f64>> = vec![];
        for _ in 0..draws {
            if stop::asked() {
                return Err(Error::stopped("stopped while draws of the prior were looked at"));
            }
            let theta = self.from_unit(&(0..self.len()).map(|_| rng.random()).collect::<Vec<_>>());
            kept.extend(possible(&theta).then_some(theta));
        }
        let n = kept.len() as f64;
        let mean = |f: &dyn Fn(&[f64]) -> f64| kept.iter().map(|t| f(t)).sum::<f64>() / n;
        let variance = |j: usize| {
            let center = mean(&|t| t[j]);
            mean(&|t| (t[j] - center).powi(2))
        };
        let accepted = Accepted { kept: kept.len(), of: draws, variance: (0..self.len()).map(variance).collect() };
        Ok(Prior { accepted: Some(accepted), ..self.clone() })
    }

    /// The box of `steps` to both sides of a point, within the prior; next to nothing wide where there is no step.
    pub fn around(&self, point: &[f64], steps: &BTreeMap<String, f64>) -> Result<Prior> {
        let mut all = self.parameters.clone();
        for (p, at) in all.iter_mut().zip(point) {
            let step = steps.get(&p.name).copied().unwrap_or(1e-9 * at.abs().max(1e-3));
            let (min, max) = p.distribution.bounds();
            p.distribution = Distribution::Uniform { min: (at - step).max(min), max: (at + step).min(max) };
            p.correlation.clear();
        }
        Prior::new(all)
    }

    /// Variance of parameter j.
    pub fn variance(&self, j: usize) -> f64 {
        self.accepted.as_ref().map_or_else(|| self.parameters[j].distribution.variance(), |a| a.variance[j])
    }

    /// The prior of those parameters alone.
    pub fn part(&self, wanted: impl Fn(&str) -> bool) -> Result<Prior> {
        let mut parameters = self.parameters.clone();
        parameters.retain(|p| wanted(&p.name));
        parameters.iter_mut().for_each(|p| p.correlation.retain(|name, _| wanted(name)));
        Prior::new(parameters)
    }

    /// Pairs of correlated parameters, the labels of both, with their correlation coefficient.
    pub fn correlations<'a>(&'a self) -> impl Iterator<Item = (&'a str, &'a str, f64)> {
        let label = |name: &str| self.parameters.iter().find(|p| p.name == name).map_or("", |p| p.latex.as_str());
        let of = move |p: &'a Parameter| p.correlation.iter().map(move |(name, r)| (label(name), p.latex.as_str(), *r));
        self.parameters.iter().flat_map(of)
    }

    /// Number of parameters p.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// True with no parameters.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// True if every parameter is distributed as in `whole`, between bounds that lie within its own: draws from `whole`
    /// that fall inside are draws from this one.
    pub fn within(&self, whole: &Prior) -> bool {
        let one = |(p, q): (&Parameter, &Parameter)| {
            (&p.name, &p.latex, &p.correlation) == (&q.name, &q.latex, &q.correlation)
                && p.distribution.within(&q.distribution)
        };
        self.len() == whole.len() && self.parameters.iter().zip(&whole.parameters).all(one)
    }

    /// Names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.parameters.iter().map(|p| p.name.as_str()).collect()
    }

    /// A universe's parameters by name.
    pub fn theta<'a>(&'a self, values: &'a [f64]) -> Theta<'a> {
        Theta { parameters: &self.parameters, values }
    }

    /// The medians, which stand for all universes where one must.
    pub fn middle(&self) -> Vec<f64> {
        self.from_unit(&vec![0.5; self.len()])
    }

    /// ln density at `theta`; −∞ where there is none; bounds belong to it (see [`Distribution::reach`]). Where universes
    /// that cannot be made are passed over it is that of the others, and is not asked of such a one.
    pub fn ln_density(&self, theta: &[f64]) -> f64 {
        let apart: f64 = self.parameters.iter().zip(theta).map(|(p, &t)| p.distribution.ln_density(t)).sum();
        let apart = apart - self.accepted.as_ref().map_or(0.0, |a| a.fraction().0.ln());
        if self.joint.of.is_empty() || apart == f64::NEG_INFINITY {
            return apart;
        }
        apart + self.joint.ln_excess(&self.deviations(theta))
    }

    /// Of the parameters that are correlated how many standard deviations they lie above their means.
    fn deviations(&self, theta: &[f64]) -> Vec<f64> {
        self.joint.of.iter().map(|&j| self.parameters[j].distribution.deviations(theta[j])).collect()
    }

    /// The box between the 0.1% and 99.9% quantiles of each parameter: so far out lie some universes of any large
    /// design. What cannot be made beyond leaves holes that are told when they are there. Correlated Gaussians stay
    /// what they are: their [corners](Self::corners) lie in that box.
    pub fn bulk(&self) -> Prior {
        let mut bulk = self.clone();
        for (j, p) in bulk.parameters.iter_mut().enumerate().filter(|(j, _)| !self.joint.of.contains(j)) {
            p.distribution = self.parameters[j].distribution.bulk();
        }
        bulk
    }

    /// Whether no parameter lies beyond its 0.1% and 99.9% quantiles.
    pub fn in_bulk(&self, theta: &[f64]) -> bool {
        self.parameters.iter().zip(theta).all(|(p, &t)| p.distribution.bulk().holds(t))
    }

    /// The outskirts, where a universe fails first: the corners of a box, of which faces without a bound lie at the
    /// 0.1% and 99.9% quantiles. While they are few, every corner, that of all minima first. Of more than six
    /// parameters (2ᵖ corners would take for ever) the corner of all minima, that of all maxima, the centre of each of
    /// the 2p faces, and 32 corners of a fixed random choice. The middle comes last.
    ///
    /// Of correlated parameters the box is a leaning one that does not reach beyond the box of all quantiles: where two
    /// go together, no corner has one of them high and the other low.
    pub fn corners(&self) -> Vec<Vec<f64>> {
        let (p, middle) = (self.len(), self.middle());
        // -1 is the lower edge, 0 the middle, 1 the upper edge.
        let place = |at: &[f64]| -> Vec<f64> {
            let one = |((q, &middle), &at): ((&Parameter, &f64), &f64)| match q.distribution.range() {
                (low, _) if at == -1.0 => low,
                (_, high) if at == 1.0 => high,
                _ if at == 0.0 => middle,
                (low, high) => {
                    let edge = q.distribution.deviations(if at < 0.0 { low } else { high });
                    q.distribution.at_deviations(at.abs() * edge)
                }
            };
            self.parameters.iter().zip(&middle).zip(at).map(one).collect()
        };
        let corner = |upper: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let mut at: Vec<f64> = (0..p).map(|j| if upper(j) { 1.0 } else { -1.0 }).collect();
            let of = &self.joint.of;
            let leaning = self.joint.correlated(&of.iter().map(|&j| at[j]).collect::<Vec<_>>());
            let most = leaning.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
            of.iter().zip(leaning).for_each(|(&j, x)| at[j] = x / most);
            place(&at)
        };
        let face = |j: usize, edge: f64| -> Vec<f64> {
            let mut at = vec![0.0; p];
            if let Some(number) = self.joint.of.iter().position(|&k| k == j) {
                self.joint.of.iter().zip(self.joint.beside(number)).for_each(|(&k, r)| at[k] = edge * r);
            }
            at[j] = edge;
            place(&at)
        };
        let mut all: Vec<Vec<f64>> = if p <= ALL_CORNERS {
            (0..1_u32 << p).map(|bits| corner(&|j| bits >> j & 1 == 1)).collect()
        } else {
            let mut all = vec![corner(&|_| false), corner(&|_| true)];
            all.extend((0..p).flat_map(|j| [-1.0, 1.0].map(|edge| face(j, edge))));
            let mut rng = rng::stream(0, 0, "corners", p as u64);
            let random: Vec<Vec<bool>> = (0..SOME_CORNERS).map(|_| (0..p).map(|_| rng.random()).collect()).collect();
            all.extend(random.iter().map(|upper| corner(&|j| upper[j])));
            all
        };
        all.push(middle);
        all
    }

    /// Tries all [corners](Self::corners) up to the first that is refused, or until the job is asked to stop.
    pub fn try_corners(&self, mut check: impl FnMut(Vec<f64>) -> Result<()>) -> Result<()> {
        self.corners().into_iter().try_for_each(|theta| match stop::asked() {
            true => Err(Error::stopped("stopped while the corners of the prior were looked at")),
            false => check(theta),
        })
    }

    /// Maps a point of the unit cube to the parameters; where it is uniform, they are of the prior. A correlated one is
    /// at this quantile of what it can be beside those before it (Rosenblatt 1952).
    pub fn from_unit(&self, u: &[f64]) -> Vec<f64> {
        let mut theta: Vec<f64> = self.parameters.iter().zip(u).map(|(p, &u)| p.distribution.quantile(u)).collect();
        let z = self.joint.correlated(&self.deviations(&theta));
        self.joint.of.iter().zip(z).for_each(|(&j, z)| theta[j] = self.parameters[j].distribution.at_deviations(z));
        theta
    }
}

/// The parameters of one universe by name, in the prior's order.
#[derive(Debug, Clone, Copy)]
pub struct Theta<'a> {
    parameters: &'a [Parameter],
    values: &'a [f64],
}

impl<'a> Theta<'a> {
    /// Where nothing varies.
    pub const NONE: Theta<'static> = Theta { parameters: &[], values: &[] };

    /// The parameters, p.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, f64)> {
        self.parameters.iter().map(|p| p.name.as_str()).zip(self.values.iter().copied())
    }

    /// The parameter of that name, where it varies.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Where a dataset's parameters come from. Gain, contraction and coverage are against a prior: they have a meaning only
/// where the parameters were drawn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrawnFrom {
    /// The prior that stands beside them: by design, or because the user says so.
    #[default]
    Prior,
    /// Nobody said: their prior is guessed, uniform over the range that they were found in.
    Guess,
    /// The user's list, of which nobody said what it was drawn from.
    List,
    /// A regular grid: not drawn at all.
    Grid,
    /// One point, and steps from it: not drawn at all.
    Fiducial,
}

impl DrawnFrom {
    /// As files say it, in the attribute `drawn_from`.
    pub fn name(self) -> &'static str {
        match self {
            DrawnFrom::Prior => "prior",
            DrawnFrom::Guess => "guessed prior",
            DrawnFrom::List => "list",
            DrawnFrom::Grid => "grid",
            DrawnFrom::Fiducial => "fiducial",
        }
    }

    /// What a file says; one that says nothing has parameters drawn from its prior.
    pub fn named(text: Option<&str>) -> DrawnFrom {
        let all = [DrawnFrom::Guess, DrawnFrom::List, DrawnFrom::Grid, DrawnFrom::Fiducial];
        all.into_iter().find(|d| text == Some(d.name())).unwrap_or_default()
    }

    /// Why nothing can be judged against the prior, where that is so.
    pub fn no_prior(self) -> Option<&'static str> {
        match self {
            DrawnFrom::Prior | DrawnFrom::Guess => None,
            DrawnFrom::List => Some(
                "the parameters are a list, and nobody said what prior it was drawn from; if it was drawn uniformly from the \
                 box of [design.parameters], say design.prior = \"uniform\"",
            ),
            DrawnFrom::Grid => Some(
                "the parameters are a grid, which no prior was drawn from; a Sobol design of as many universes can be judged",
            ),
            DrawnFrom::Fiducial => Some(
                "the parameters are one fiducial point and steps from it, which no prior was drawn from; `polycosm forecast` \
                 says what such a set can tell",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_prior_is_as_much_denser_and_narrower() {
        let whole = Prior::new(vec![Parameter::uniform("a", "a", 0.0, 2.0)]).unwrap();
        let left = whole.cut(4096, |theta| theta[0] < 0.5).unwrap();
        let (fraction, error) = left.accepted.as_ref().unwrap().fraction();
        assert!((fraction - 0.25).abs() < 4.0 * error && (error - (0.25 * 0.75f64 / 4096.0).sqrt()).abs() < 1e-4);
        assert!((left.ln_density(&[0.3]) - 2f64.ln()).abs() < 5.0 * error / fraction);
        assert!((left.variance(0) / (0.25 / 12.0) - 1.0).abs() < 0.1 && left.within(&whole));
        assert_eq!((whole.variance(0), left.ln_density(&[2.5])), (4.0 / 12.0, f64::NEG_INFINITY));
    }

    #[test]
    fn density_integrates_to_one() {
        let p = |name: &str, min, max| Parameter::uniform(name, name, min, max);
        let prior = Prior::new(vec![p("a", 0.1, 0.5), p("b", 0.6, 1.0)]).unwrap();
        assert!((prior.ln_density(&[0.2, 0.7]).exp() * 0.16 - 1.0).abs() < 1e-12);
        assert_eq!(prior.ln_density(&[0.6, 0.7]), f64::NEG_INFINITY);
        assert_eq!(prior.from_unit(&[0.0, 1.0]), vec![0.1, 1.0]);
        let corners = prior.corners();
        assert_eq!(corners[..4], [[0.1, 0.6], [0.5, 0.6], [0.1, 1.0], [0.5, 1.0]]);
        assert_eq!(corners[4..], [prior.from_unit(&[0.5, 0.5])]);
        for n in [0, 1, 6, 7, 64, 1000] {
            let prior = Prior::new((0..n).map(|j| p(&j.to_string(), 0.0, 1.0)).collect()).unwrap();
            let corners = prior.corners();
            assert_eq!(corners.len(), if n <= 6 { (1 << n) + 1 } else { 2 + 2 * n + 32 + 1 });
            assert!(corners.iter().all(|c| c.len() == n));
            assert_eq!((&corners[0], corners.last()), (&vec![0.0; n], Some(&vec![0.5; n])));
            assert_eq!(corners, prior.corners(), "the same ones every time");
            assert!((0..n).all(|j| [0.0, 1.0].iter().all(|edge| corners.iter().any(|c| c[j] == *edge))));
        }
        let bulk: Vec<(f64, f64)> = prior.bulk().parameters.iter().map(|p| p.distribution.bounds()).collect();
        assert!((bulk[0].0 - 0.1004).abs() < 1e-12 && (bulk[1].1 - 0.9996).abs() < 1e-12);
        let mut tried = 0;
        let refused = prior.try_corners(|_| {
            tried += 1;
            if tried == 3 { Err(Error::input("impossible")) } else { Ok(()) }
        });
        assert_eq!((tried, refused.unwrap_err().exit_code()), (3, 2));
        assert!(Prior::new(vec![p("a", 0.5, 0.1)]).is_err());
        // Bounds belong to the box, in single precision too; the next number of it does not.
        let prior = Prior::new(vec![p("a", 0.1, 0.3), p("h", 60.0, 67.4), p("zero", 0.0, 1.0)]).unwrap();
        let at = |a: f32, h: f32| prior.ln_density(&[a as f64, h as f64, 0.0]);
        assert!(at(0.3, 67.4).is_finite() && at(0.1, 60.0).is_finite());
        assert!(
            at(0.3f32.next_up().next_up(), 61.0).is_infinite() && at(0.2, 67.4f32.next_up().next_up()).is_infinite()
        );
        let narrow = Prior::new(vec![p("n", 1e8, 1e8 + 1.0)]).unwrap();
        assert!(narrow.ln_density(&[1e8 + 2.0]).is_infinite());
        assert!(Prior::new(vec![p("a", 0., 1.), p("a", 0., 1.)]).is_err());
        // Digests of older programs are of these bytes.
        let text = serde_json::to_string(&prior.parameters[..1]).unwrap();
        assert_eq!(text, r#"[{"name":"a","latex":"a","min":0.1,"max":0.3}]"#);
        assert_eq!(serde_json::from_str::<Vec<Parameter>>(&text).unwrap(), prior.parameters[..1]);
        assert!(Prior::new(vec![p("a", 0., 1e308)]).unwrap_err().to_string().contains("another unit"));
    }
}
