//! Derived parameters of draws, beside the sampled ones.

use super::{Extras, Samples};
use crate::prior::{Accepted, Derived, Distribution, Parameter};

impl Samples {
    /// Gives all draws (and truths) these derived parameters, which `compute` makes of parameters (…, p), as (…, d).
    pub fn derive(&mut self, parameters: &[Derived], compute: impl Fn(&[f64]) -> Vec<f64>) {
        // They follow from all parameters together.
        if self.extras.marginals.is_some() {
            return;
        }
        self.extras.derived = compute(&self.theta);
        self.extras.derived_truth = compute(&self.truth);
        self.prior.derived = parameters.to_vec();
    }

    /// Draws of universes that cannot be made, and have no derived parameters.
    pub fn underived(&self) -> usize {
        let d = self.prior.derived.len().max(1);
        self.extras.derived.chunks_exact(d).filter(|v| v.iter().any(|x| !x.is_finite())).count()
    }

    /// The same with the derived parameters as further ones, for whoever looks at one or two at a time. Their priors are
    /// Gaussians of the moments of the implied ones, for the scale of figures; densities stay those of the sampled ones.
    /// For a draw without derived parameters the one before it stands.
    pub fn with_derived(&self) -> Samples {
        let (p, d) = (self.dim(), self.prior.derived.len());
        let mut whole = self.clone();
        if self.extras.derived.is_empty() || d == 0 {
            return whole;
        }
        let mut theta = Vec::with_capacity(self.len() * self.draws * (p + d));
        for (own, derived) in self.theta.chunks(self.draws * p).zip(self.extras.derived.chunks(self.draws * d)) {
            let finite = |i: &usize| derived[i * d..(i + 1) * d].iter().all(|x| x.is_finite());
            let mut last = (0..self.draws).find(finite).unwrap_or(0);
            for i in 0..self.draws {
                last = if finite(&i) { i } else { last };
                theta.extend(&own[i * p..(i + 1) * p]);
                theta.extend(&derived[last * d..(last + 1) * d]);
            }
        }
        let pairs = self.truth.chunks_exact(p).zip(self.extras.derived_truth.chunks_exact(d));
        whole.truth = pairs.flat_map(|(own, derived)| own.iter().chain(derived)).copied().collect();
        let parameter = |of: &Derived| {
            let (mean, sigma) = (of.mean, of.sd);
            let distribution = Distribution::Normal { mean, sigma, min: f64::NEG_INFINITY, max: f64::INFINITY };
            Parameter { distribution, ..Parameter::uniform(&of.name, &of.latex, 0.0, 1.0) }
        };
        whole.prior.parameters.extend(self.prior.derived.iter().map(parameter));
        if let Some(Accepted { variance, .. }) = &mut whole.prior.accepted {
            variance.extend(self.prior.derived.iter().map(|of| of.sd * of.sd));
        }
        whole.prior.derived.clear();
        let spread = self.extras.spread.chunks_exact(p);
        let spread = spread.flat_map(|own| own.iter().copied().chain(std::iter::repeat_n(f64::NAN, d))).collect();
        // What is told of chains is of the sampled ones.
        let (r_hat, ess) = (vec![], vec![]);
        whole.extras = Extras { derived: vec![], derived_truth: vec![], spread, r_hat, ess, ..whole.extras };
        Samples { theta, ..whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::Prior;

    #[test]
    fn derived_parameters_stand_behind_the_sampled_ones() {
        let p = |name: &str| Parameter::uniform(name, name, 0.0, 1.0);
        let mut samples = Samples {
            prior: Prior::new(vec![p("a"), p("b")]).unwrap(),
            index: vec![3, 4],
            draws: 3,
            theta: (0..12).map(f64::from).collect(),
            ln_prob: vec![-1.0; 6],
            truth: vec![0.5, 0.25, 0.0, 2.0],
            ln_prob_truth: vec![-1.0; 2],
            extras: Extras { spread: vec![0.1; 4], ..Extras::default() },
        };
        assert_eq!(samples.with_derived(), samples);
        let sum = |d: &[f64]| d.chunks(2).map(|t| if t[0] == 2.0 { f64::NAN } else { t[0] + t[1] }).collect();
        let of = Derived {
            name: "s".into(),
            latex: "s".into(),
            unit: String::new(),
            formula: "a + b".into(),
            mean: 1.0,
            sd: 0.5,
        };
        samples.derive(&[of], sum);
        assert_eq!(samples.underived(), 1);
        let whole = samples.with_derived();
        assert_eq!((whole.dim(), whole.prior.names()), (3, vec!["a", "b", "s"]));
        assert_eq!(whole.theta_of(0), [0.0, 1.0, 1.0, 2.0, 3.0, 1.0, 4.0, 5.0, 9.0]);
        assert_eq!(whole.column(1, 2), [13.0, 17.0, 21.0]);
        assert_eq!(whole.truth, [0.5, 0.25, 0.75, 0.0, 2.0, 2.0]);
        assert_eq!(whole.prior.variance(2), 0.25);
        assert!(whole.spread_of(0).is_none() && whole.extras.spread.len() == 6);
        whole.check().unwrap();

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("draws.h5");
        samples.write(&path, &[]).unwrap();
        let read = Samples::read(&path).unwrap();
        assert_eq!((&read.prior, read.underived()), (&samples.prior, 1));
        assert_eq!(read.with_derived().theta, whole.theta);
        let roots = samples.to_getdist(dir.path()).unwrap();
        let names = std::fs::read_to_string(roots[0].with_extension("paramnames")).unwrap();
        assert_eq!(names, "a\ta\nb\tb\ns*\ts\n");
        let chain = std::fs::read_to_string(roots[0].with_extension("txt")).unwrap();
        assert!(chain.lines().all(|line| line.split(' ').count() == 5), "{chain}");
    }
}
