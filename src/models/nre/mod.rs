//! Neural ratio estimation: classifiers that tell a sample's own parameters from strangers' have ln p(x | θ)/p(x) as their
//! logit. NRE-A (Hermans, Begy & Louppe 2020, arXiv:1903.04057), NRE-B (Durkan, Murray & Papamakarios 2020, arXiv:2002.03712)
//! and NRE-C (Miller, Weniger & Forré 2022, arXiv:2210.06170).
//!
//! A classifier adds to the ratio of a linear model's posterior to the prior, ln r = ln q_lin(θ | x)/p(θ) + s f(x, θ): it begins
//! where easy posteriors are, and the share s of what it has learned is what the held-out samples bear out.

mod ratio;

use super::prelude::*;
use crate::error::suggestion;
use crate::limits;
use crate::nets::{MlpConfig, ResidualConfig, Transform, Transforms};
use crate::prior::Prior;
use ratio::Nre;

/// What tells a sample's own parameters from strangers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// NRE-A: its own from one stranger's.
    A,
    /// NRE-B: its own among its own and `partners` strangers'; the ratio is free to have a factor that depends on x alone.
    B,
    /// NRE-C: whether its own is among `partners`, and which; the ratio is p(x | θ)/p(x).
    #[default]
    C,
}

/// Ratio estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NreConfig {
    /// Classifiers whose logits are averaged.
    pub ensemble: usize,
    /// `"a"`: a sample's own parameters are told from one stranger's; `"b"`: from `partners` strangers', up to a factor that
    /// depends on x; `"c"`: whether they are among `partners`, and which.
    pub loss: Loss,
    /// Strangers whose parameters are put beside each sample, out of the batch of all ranks; `"a"` has one.
    pub partners: usize,
    /// Odds of `"c"` that a sample's own parameters are among them.
    pub gamma: f64,
    /// Of the inputs, as for `npe`.
    pub transform: Transforms,
    /// Outputs of a network before the classifier; 0: the inputs go to it as they are.
    pub embedding: i64,
    /// The embedding network.
    pub mlp: MlpConfig,
    /// Each classifier.
    pub classifier: ResidualConfig,
    /// 0: the ratio of all parameters together. 1: of each by itself, a marginal. 2: of each, and of pairs.
    pub marginals: usize,
    /// Pairs of parameters by their names, `[["Omega_m", "sigma8"]]`, for `marginals = 2`; none: all pairs.
    pub pairs: Vec<[String; 2]>,
}

impl Default for NreConfig {
    fn default() -> Self {
        NreConfig {
            ensemble: 2,
            loss: Loss::C,
            partners: 15,
            gamma: 1.0,
            transform: Transform::Auto.into(),
            embedding: 0,
            mlp: MlpConfig::default(),
            classifier: ResidualConfig::default(),
            marginals: 0,
            pairs: vec![],
        }
    }
}

impl NreConfig {
    /// Strangers beside each sample.
    fn strangers(&self) -> usize {
        if self.loss == Loss::A { 1 } else { self.partners }
    }

    /// How many blocks of parameters there are, of p.
    fn count(&self, p: usize) -> usize {
        match (self.marginals, self.pairs.len()) {
            (0, _) => 1,
            (1, _) => p,
            (_, 0) => p + p * p.saturating_sub(1) / 2,
            (_, pairs) => p + pairs,
        }
    }

    /// The parameters of each ratio.
    fn blocks(&self, prior: &Prior) -> Result<Vec<Vec<usize>>> {
        let (p, names) = (prior.len(), prior.names());
        let mut all: Vec<Vec<usize>> = match self.marginals {
            0 => vec![(0..p).collect()],
            _ => (0..p).map(|j| vec![j]).collect(),
        };
        if self.marginals == 2 && self.pairs.is_empty() {
            all.extend((0..p).flat_map(|i| (i + 1..p).map(move |j| vec![i, j])));
        }
        for pair in &self.pairs {
            let refused = |problem: &str, remedy: String| {
                Err(Error::input(problem).key("train.network.pairs").value(pair.join(", ")).remedy(remedy))
            };
            let mut own = vec![];
            for name in pair {
                match names.iter().position(|known| known == name) {
                    Some(j) => own.push(j),
                    None => {
                        return refused("no parameter is called so", suggestion(name, &names, "there are no others"));
                    }
                }
            }
            own.sort_unstable();
            if own[0] == own[1] || all.contains(&own) {
                return refused("is no pair, or there twice", "give two parameters, each pair once".into());
            }
            if self.marginals == 2 {
                all.push(own);
            }
        }
        Ok(all)
    }

    /// The loss (n) of logits of a sample's own parameters and of strangers', (n, 1 + K).
    fn loss(&self, logits: &Tensor) -> Tensor {
        let k = logits.size()[1] - 1;
        let own = logits.select(1, 0);
        let of = |from: i64, len: i64| logits.narrow(1, from, len).logsumexp(1i64, false);
        if self.loss == Loss::B {
            return of(0, k + 1) - own;
        }
        // NRE-A is NRE-C with one of each, at even odds.
        let gamma = if self.loss == Loss::A { 1.0 } else { self.gamma };
        let odds = (gamma / k as f64).ln();
        // −ln of the probability that none of K is its own, and that of them its own is.
        let none = |all: Tensor| (all + odds).softplus();
        let among = none(of(0, k)) - own - odds;
        (none(of(1, k)) + among * gamma) / (1.0 + gamma)
    }
}

impl Section for NreConfig {
    fn sizes(&self) -> Vec<Size> {
        // Nobody averages more than 64 members.
        let count = |n: usize| n.min(i64::MAX as usize) as i64;
        let own = vec![
            ("ensemble", count(self.ensemble), [1, 64]),
            ("partners", count(self.partners), [1, limits::PARTNERS as i64]),
            ("embedding", self.embedding, [0, limits::UNITS as i64]),
            ("marginals", count(self.marginals), [0, 2]),
        ];
        [self.mlp.sizes(), self.classifier.sizes(), own].concat()
    }

    fn unused(&self, _: &[FieldSpec]) -> Option<(&'static str, String)> {
        let default = NreConfig::default();
        if self.loss == Loss::A && self.partners != default.partners {
            return Some(("partners", "loss = \"a\" has one for each sample".into()));
        }
        if self.loss != Loss::C && self.gamma != default.gamma {
            return Some(("gamma", "it belongs to loss = \"c\"".into()));
        }
        if self.marginals != 2 && !self.pairs.is_empty() {
            return Some(("pairs", "they belong to marginals = 2".into()));
        }
        let idle = self.embedding == 0 && self.mlp != default.mlp;
        idle.then(|| ("mlp", "it is the embedding's, and embedding = 0 leaves the inputs as they are".into()))
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Ratio)
    }

    fn is_joint(&self) -> bool {
        self.marginals == 0
    }

    fn patience(&self) -> u64 {
        5
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let (inputs, count) = (inputs as f64, self.count(p) as f64);
        let numbers = 2.0 * if self.marginals == 0 { p as f64 } else { self.marginals as f64 };
        let (embedded, context) = match self.embedding {
            0 => (0.0, inputs),
            e => (self.mlp.weights(inputs, e as f64), e as f64),
        };
        self.ensemble as f64 * count * (embedded + self.classifier.weights(context, numbers))
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            let error = Error::input("must be above 0").key("train.network.gamma").value(self.gamma);
            return Err(error.remedy("1 is usual: its own parameters are there half of the time"));
        }
        Ok(Box::new(Nre::new(self, task)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss_of(loss: Loss, partners: usize, gamma: f64, logits: &[f64]) -> f64 {
        let config = NreConfig { loss, partners, gamma, ..NreConfig::default() };
        config.loss(&Tensor::from_slice(logits).view([1, -1])).double_value(&[0])
    }

    /// The losses as the papers write them, by their probabilities.
    #[test]
    fn losses_are_those_of_the_papers() {
        let h = [0.7, -1.3, 2.1, 0.4];
        let e: Vec<f64> = h.iter().map(|h: &f64| h.exp()).collect();
        let sigmoid = |h: f64| 1.0 / (1.0 + (-h).exp());
        let a = -0.5 * (sigmoid(h[0]).ln() + (1.0 - sigmoid(h[1])).ln());
        assert!((loss_of(Loss::A, 1, 3.0, &h[..2]) - a).abs() < 1e-12);
        assert!((loss_of(Loss::C, 1, 1.0, &h[..2]) - a).abs() < 1e-12, "NRE-C with K = γ = 1 is NRE-A");
        let b = -(e[0] / e.iter().sum::<f64>()).ln();
        assert!((loss_of(Loss::B, 3, 1.0, &h) - b).abs() < 1e-12);
        // Eqs. 10 and 11 of Miller et al., K = 3: q(none) = K/(K + γ Σ e^h), q(k) = γ e^h_k/(K + γ Σ e^h).
        let (k, gamma) = (3.0, 2.5);
        let none = k / (k + gamma * (e[1] + e[2] + e[3]));
        let own = gamma * e[0] / (k + gamma * (e[0] + e[1] + e[2]));
        let c = -(none.ln() + gamma * own.ln()) / (1.0 + gamma);
        assert!((loss_of(Loss::C, 3, gamma, &h) - c).abs() < 1e-12);
    }
}
