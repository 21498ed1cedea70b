//! Neural likelihood estimation (Papamakarios, Sterratt & Murray 2019, arXiv:1805.07226): an ensemble of flows q(x | θ) of
//! the inputs. They begin at a linear model with Gaussian noise, of whose whitened residuals they are densities, and are
//! mixed with it as the held-out samples say.

use super::{eye::check_names, linear_likelihood, prelude::*, stacking};
use crate::nets::{FlowConfig, Transform, Transforms, Transport, Whitened, host};

/// An ensemble of neural likelihood estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NleConfig {
    /// Flows whose densities are averaged.
    pub ensemble: usize,
    /// Of the inputs, as for `vmim`.
    pub transform: Transforms,
    /// Each flow.
    pub flow: FlowConfig,
}

impl Default for NleConfig {
    fn default() -> Self {
        NleConfig { ensemble: 4, transform: Transform::Auto.into(), flow: FlowConfig::default() }
    }
}

impl Section for NleConfig {
    fn sizes(&self) -> Vec<Size> {
        // Nobody averages more than 64 members.
        let members = self.ensemble.min(i64::MAX as usize) as i64;
        [self.flow.sizes(), vec![("ensemble", members, [1, 64])]].concat()
    }

    fn unused(&self, _: &[FieldSpec]) -> Option<(&'static str, String)> {
        self.flow.unused()
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Likelihood)
    }

    fn patience(&self) -> u64 {
        5
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        self.ensemble as f64 * self.flow.weights(p as f64, inputs) + (inputs as f64).powi(2)
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Nle::new(self, task)?))
    }
}

/// The ensemble.
pub struct Nle {
    parts: Vec<Part>,
    eyes: Vec<Eye>,
    members: Vec<Transport>,
    linear: Whitened,
    /// What each member counts, and the linear model.
    shares: Tensor,
}

impl Nle {
    /// For samples of such fields, as one vector.
    pub fn new(config: &NleConfig, task: &Task) -> Result<Self> {
        let inputs = task.arrays()?;
        let mut eyes: Vec<Eye> = inputs.iter().map(Eye::vector).collect();
        let d = eyes.iter().map(|eye| eye.shape[0]).sum();
        let parts: Vec<Part> = (0..config.ensemble).map(|m| task.part(format!("member{m}"))).collect();
        let root = parts[0].vs.root();
        for (i, eye) in eyes.iter_mut().enumerate() {
            let own = if inputs.len() == 1 { "input".to_string() } else { format!("input{i}") };
            eye.keep(&(&root / own), &config.transform);
        }
        check_names(&config.transform, &eyes)?;
        let flow = |part: &Part| Transport::new(&(part.vs.root() / "flow"), d, task.prior.len() as i64, &config.flow);
        let members = parts.iter().map(flow).collect();
        let linear = Whitened::new(&(&root / "linear"), task.prior, d);
        let shares = stacking::beforehand(&root, config.ensemble);
        Ok(Nle { parts, eyes, members, linear, shares })
    }

    /// The inputs, (n, d).
    fn seen(&self, batch: &Batch) -> Result<Tensor> {
        let each = self.eyes.iter().map(|eye| Ok(eye.look(0, batch)?.0)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&each, 1))
    }

    /// ln q(x | θ) of each sample (n), but for what does not depend on θ, by each member and by the linear model.
    fn each(&self, z: &Tensor, theta: &Tensor) -> Vec<Tensor> {
        (0..=self.members.len()).map(self.one(z, theta)).collect()
    }

    /// The same of one of them, by its number.
    fn one(&self, z: &Tensor, theta: &Tensor) -> impl Fn(usize) -> Tensor {
        let kind = self.parts[0].vs.kind();
        let s = self.linear.standardised(theta);
        let w = self.linear.forward(z, &s);
        let of_linear = self.linear.ln_density(&w);
        let (w, s, active) = (w.to_kind(kind), s.to_kind(kind), self.linear.active.to_kind(kind));
        let start = of_linear.zeros_like().to_kind(kind);
        move |m: usize| match self.members.get(m) {
            Some(flow) => flow.ln_density(w.shallow_clone(), start.shallow_clone(), &s, Some(&active)),
            None => of_linear.to_kind(kind),
        }
    }
}

impl Model for Nle {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        true
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let all = self.each(&self.seen(batch)?, batch.array("theta")?);
        let all = all.into_iter().enumerate().take(self.members.len());
        Ok(all.map(|(m, ln)| Score::new(format!("−E[ln q] of member {m}"), -ln, &[m])).collect())
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        linear_likelihood::fit(&self.linear, &|batch| self.seen(batch), all)
    }

    fn conclude(&self, held: &mut dyn Stream) -> Result<()> {
        let each = |batch: &Batch| Ok(Tensor::stack(&self.each(&self.seen(batch)?, batch.array("theta")?), 1));
        stacking::settle(&self.shares, &held.gather(&mut |batch| each(batch))?);
        Ok(())
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.eyes.iter().collect()
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Nle {
    fn of(&self) -> Estimand {
        Estimand::Likelihood
    }

    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> Result<Tensor> {
        let m = theta.size()[1];
        let z = self.seen(batch)?.repeat_interleave_self_int(m, 0, None);
        let theta = theta.flatten(0, 1);
        let one = self.one(&z, &theta);
        Ok(stacking::mixture(&host(&self.shares), |k| Ok(one(k)))?.view([-1, m]))
    }
}
