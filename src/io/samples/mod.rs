//! Posterior samples: draws, their densities and the truth they are judged against. HDF5, and GetDist chains on
//! request.

mod chains;
mod derived;
mod file;
mod of;

pub use chains::remove_chains;
pub use file::{not_fewer, replaceable};
pub use of::{NUMERICS, OLDER, Of, Seen};

use crate::error::{Error, Result};
use crate::prior::{DrawnFrom, Parameter, Prior};

/// Draws from the posteriors of `n` universes, `draws` each, over `p` parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Names, labels, bounds and density of the parameters.
    pub prior: Prior,
    /// Design index of every universe (n).
    pub index: Vec<u64>,
    /// Draws per universe.
    pub draws: usize,
    /// Draws (n, draws, p), row-major.
    pub theta: Vec<f64>,
    /// ln q(θ | x) at the draws (n, draws); NaN where the posterior has no density.
    pub ln_prob: Vec<f64>,
    /// True parameters (n, p); NaN where unknown.
    pub truth: Vec<f64>,
    /// ln q(truth | x) (n); NaN where unknown.
    pub ln_prob_truth: Vec<f64>,
    pub extras: Extras,
}

/// What may stand beside the draws; empty in files that were written without it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    /// What they are of; `None` in files of older programs.
    pub of: Option<Of>,
    /// How far the input lies outside the training range, in widths of that range (n); infinite where a number that was
    /// constant in training is another.
    pub outside: Vec<f64>,
    /// Distance of the input from the training inputs, over that of the farthest hundredth of them (n).
    pub distance: Vec<f64>,
    /// Standard deviation of the posterior means of an ensemble's members over the posterior's own (n, p); NaN with
    /// fewer than two members.
    pub spread: Vec<f64>,
    /// Rank-normalised split R̂ and bulk effective sample size of the chains that they were drawn by (n, p each), where they were.
    pub r_hat: Vec<f64>,
    pub ess: Vec<f64>,
    /// Where draws of different parameters belong to no joint posterior, for only marginals are known.
    pub marginals: Option<Marginals>,
    /// Design indices of the test split that have no posterior: their input holds numbers that cannot be used.
    pub left_out: Vec<u64>,
    /// ln p(x) of each universe (n), of exact posteriors.
    pub ln_evidence: Vec<f64>,
    /// Derived parameters of the draws (n, draws, d), and of the truths (n, d); NaN of universes that cannot be made.
    pub derived: Vec<f64>,
    pub derived_truth: Vec<f64>,
    /// Whether the truths were drawn from the prior.
    pub drawn_from: DrawnFrom,
    /// `ln_prob_truth` is an extrapolation (a posterior spoilt on purpose): good for ranks, no measure of the gain.
    pub extrapolated: bool,
}

/// What there is beside draws of single parameters, each of its own marginal, where no joint posterior is known: `ln_prob` is
/// NaN then, and what stands in one row of `theta` has nothing to do with one another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marginals {
    /// Pairs of parameters whose joint marginal is known.
    pub pairs: Vec<[usize; 2]>,
    /// Draws of these (n, draws, pairs, 2).
    pub theta: Vec<f64>,
    /// ln q(θ_j | x) at the true parameters (n, p); NaN where unknown.
    pub ln_truth: Vec<f64>,
}

/// Training widths outside which an input is not what was trained on.
pub const OUTSIDE: f64 = 0.5;
/// Times the distance of the farthest training inputs beyond which an input is not what was trained on.
pub const FAR: f64 = 2.0;
/// Spread of an ensemble's members beyond which the posterior depends on the training's luck.
pub const SPREAD: f64 = 0.3;

impl Extras {
    /// True if the input of universe `i` is not what was trained on.
    pub fn unfamiliar(&self, i: usize) -> bool {
        let above = |values: &[f64], limit: f64| values.get(i).is_some_and(|v| *v > limit);
        above(&self.outside, OUTSIDE) || above(&self.distance, FAR)
    }
}

impl Samples {
    /// Why these are not draws of `now`.
    pub fn differ(&self, now: &Of) -> Option<String> {
        match &self.extras.of {
            Some(of) => of.differs(now),
            None => Some(OLDER.into()),
        }
    }

    /// Spread of the members of universe `i`, (p), where it was measured.
    pub fn spread_of(&self, i: usize) -> Option<&[f64]> {
        let spread = self.extras.spread.get(i * self.dim()..(i + 1) * self.dim())?;
        spread.iter().all(|s| s.is_finite()).then_some(spread)
    }

    /// True if the draws of a parameter of universe `i` are one value: no posterior of a network is so narrow.
    pub fn no_width(&self, i: usize, parameter: usize) -> bool {
        let width = self.prior.parameters[parameter].distribution.width();
        self.draws > 1 && self.mean_sd(i, parameter).1 <= 1e-6 * width
    }

    /// Number of universes n.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True with no universes.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Number of parameters p.
    pub fn dim(&self) -> usize {
        self.prior.len()
    }

    /// Draws of universe `i`, (draws, p).
    pub fn theta_of(&self, i: usize) -> &[f64] {
        let m = self.draws * self.dim();
        &self.theta[i * m..(i + 1) * m]
    }

    /// Draws of one parameter of universe `i`, (draws).
    pub fn column(&self, i: usize, parameter: usize) -> Vec<f64> {
        self.theta_of(i).chunks_exact(self.dim()).map(|t| t[parameter]).collect()
    }

    /// Draws of two parameters of universe `i`, (draws) each, of one posterior; `None` where no such is known.
    pub fn pair(&self, i: usize, a: usize, b: usize) -> Option<[Vec<f64>; 2]> {
        let Some(marginals) = &self.extras.marginals else { return Some([self.column(i, a), self.column(i, b)]) };
        let k = marginals.pairs.len();
        let at = marginals.pairs.iter().position(|pair| *pair == [a.min(b), a.max(b)])?;
        let own = marginals.theta[i * self.draws * k * 2..].chunks_exact(k * 2).take(self.draws);
        let of = |j: usize| own.clone().map(|all| all[2 * at + (j != a.min(b)) as usize]).collect();
        Some([of(a), of(b)])
    }

    /// ln q at the draws of universe `i`, (draws).
    pub fn ln_prob_of(&self, i: usize) -> &[f64] {
        &self.ln_prob[i * self.draws..(i + 1) * self.draws]
    }

    /// Truth of universe `i`, (p), where it is known.
    pub fn truth_of(&self, i: usize) -> Option<&[f64]> {
        let t = &self.truth[i * self.dim()..(i + 1) * self.dim()];
        t.iter().all(|t| t.is_finite()).then_some(t)
    }

    /// Mean and standard deviation of one parameter of universe `i`.
    pub fn mean_sd(&self, i: usize, parameter: usize) -> (f64, f64) {
        let draws = self.column(i, parameter);
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        (mean, (draws.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt())
    }

    /// The posterior of universe `i` in words, with its evidence where that is known.
    pub fn words(&self, i: usize) -> String {
        let each = |(j, q): (usize, &Parameter)| {
            let (mean, sd) = self.mean_sd(i, j);
            // As many digits as say something of small numbers.
            let number = |x: f64| if sd < 1e-3 { format!("{x:.3e}") } else { format!("{x:.3}") };
            let truth = self.truth_of(i).map_or(String::new(), |t| format!(" (truth {})", number(t[j])));
            let spread = self.spread_of(i).map_or(String::new(), |s| format!(" (members ± {:.2} of that)", s[j]));
            format!("{} = {} ± {}{spread}{truth}", q.name, number(mean), number(sd))
        };
        let evidence = self.extras.ln_evidence.get(i).map(|ln| format!("ln evidence {ln:.3}"));
        self.prior.parameters.iter().enumerate().map(each).chain(evidence).collect::<Vec<_>>().join(", ")
    }

    /// Checks that the lengths agree and that every draw is finite.
    pub fn check(&self) -> Result<()> {
        let (n, d, p) = (self.len(), self.draws, self.dim());
        let optional = |name, values: &[f64], full| (name, values.len(), if values.is_empty() { 0 } else { full });
        let none = Marginals::default();
        let pairs = self.extras.marginals.as_ref().unwrap_or(&none);
        let lengths = [
            ("theta", self.theta.len(), n * d * p),
            ("ln_prob", self.ln_prob.len(), n * d),
            ("truth", self.truth.len(), n * p),
            ("ln_prob_truth", self.ln_prob_truth.len(), n),
            optional("outside", &self.extras.outside, n),
            optional("distance", &self.extras.distance, n),
            optional("spread", &self.extras.spread, n * p),
            optional("r_hat", &self.extras.r_hat, n * p),
            optional("ess", &self.extras.ess, n * p),
            ("draws of pairs", pairs.theta.len(), n * d * pairs.pairs.len() * 2),
            optional("ln_marginal_truth", &pairs.ln_truth, n * p),
            optional("derived", &self.extras.derived, n * d * self.prior.derived.len()),
            optional("derived_truth", &self.extras.derived_truth, n * self.prior.derived.len()),
        ];
        for (name, is, expected) in lengths {
            if is != expected {
                let problem = format!("{expected} numbers expected for {n} universes, {d} draws, {p} parameters");
                return Err(Error::input(problem).key(name).value(is).remedy("write the samples again"));
            }
        }
        match self.theta.iter().position(|t| !t.is_finite()) {
            Some(at) => Err(Error::input(format!("draw {} of universe {} is not finite", at / p % d, at / (p * d)))
                .key("theta")
                .remedy("the posterior diverged: train it again with a smaller learning rate")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let p = Parameter::uniform;
        Samples {
            prior: Prior::new(vec![p("Omega_m", r"\Omega_m", 0.1, 0.5), p("sigma8", r"\sigma_8", 0.6, 1.0)]).unwrap(),
            index: vec![7, 12],
            draws: 3,
            theta: (0..12).map(|i| 0.1 + 0.03 * i as f64).collect(),
            ln_prob: (0..6).map(|i| -(i as f64)).collect(),
            truth: vec![0.3, 0.8, f64::NAN, f64::NAN],
            ln_prob_truth: vec![1.5, f64::NAN],
            extras: Extras {
                outside: vec![0.0, f64::INFINITY],
                distance: vec![0.3, 2.5],
                spread: vec![0.1, 0.2, f64::INFINITY, 0.1],
                r_hat: vec![1.0, 1.01, f64::INFINITY, 1.1],
                ess: vec![900.0, 800.0, 0.0, 20.0],
                left_out: vec![9],
                drawn_from: DrawnFrom::List,
                ..Extras::default()
            },
        }
    }

    #[test]
    fn file_gives_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("posterior.h5");
        let s = samples();
        s.write(&path, &[("commit".into(), "abc".into()), ("campaign".into(), "seed = 1\n".into())]).unwrap();
        let r = Samples::read(&path).unwrap();
        assert_eq!((&r.prior, &r.index, r.draws, &r.theta, &r.ln_prob), (&s.prior, &s.index, 3, &s.theta, &s.ln_prob));
        assert_eq!((r.truth_of(0), &r.extras), (s.truth_of(0), &s.extras));
        assert!(r.spread_of(0) == Some(&[0.1, 0.2]) && r.spread_of(1).is_none());
        assert!(!r.extras.unfamiliar(0) && r.extras.unfamiliar(1) && !Extras::default().unfamiliar(0));
        assert!(r.truth_of(1).is_none() && r.ln_prob_truth[1].is_nan());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        hdf5::File::open_rw(&path).unwrap().dataset("truth").unwrap().write_raw(&[0.3, 0.81, 0.0, 0.0]).unwrap();
        let e = Samples::read(&path).unwrap_err();
        assert!(e.to_string().contains("posterior.h5") && e.problem.contains("damaged") && e.remedy.is_some(), "{e}");
        assert_eq!(Samples::read(&dir.path().join("none.h5")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn inconsistent_samples_are_refused() {
        let mut s = samples();
        s.truth.pop();
        let e = s.write(&std::env::temp_dir().join("never.h5"), &[]).unwrap_err();
        assert_eq!(e.key.as_deref(), Some("truth"));
        let mut s = samples();
        s.theta[4] = f64::NAN;
        assert!(s.check().unwrap_err().to_string().contains("draw 2 of universe 0"));
    }

    #[test]
    fn getdist_chain_has_weight_minus_ln_prob_and_parameters() {
        let dir = tempfile::tempdir().unwrap();
        let roots = samples().to_getdist(dir.path()).unwrap();
        let chain = std::fs::read_to_string(roots[1].with_extension("txt")).unwrap();
        let numbers: Vec<f64> = chain.lines().next().unwrap().split(' ').map(|t| t.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 4);
        assert!((numbers[1] - 3.0).abs() < 1e-12 && (numbers[2] - 0.28).abs() < 1e-9);
        let paramnames = std::fs::read_to_string(roots[0].with_extension("paramnames")).unwrap();
        assert_eq!(paramnames, "Omega_m\t\\Omega_m\nsigma8\t\\sigma_8\n");
    }
}
