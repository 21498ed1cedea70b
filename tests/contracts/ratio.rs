//! Neural ratio estimation (Hermans, Begy & Louppe 2020): a classifier that tells pairs (x, θ) from pairs of strangers has the
//! logit ln p(x | θ)/p(x), here quadratic in θ.

use polycosm::models::prelude::*;
use polycosm::nets::{Mlp, MlpConfig};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Section for Config {
    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Ratio)
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Ratio::new(task)?))
    }
}

pub struct Ratio {
    parts: [Part; 1],
    /// x (n, d) → what 1, θ and θθᵀ are multiplied by, (n, 1 + p + p²).
    net: Mlp,
}

impl Ratio {
    fn new(task: &Task) -> Result<Self> {
        let (p, d, part) = (task.prior.len() as i64, task.numbers("x")?, task.part("ratio"));
        let net = Mlp::new(&part.vs.root(), d, 1 + p + p * p, &MlpConfig { hidden: 64, layers: 2 });
        Ok(Ratio { parts: [part], net })
    }
}

impl Model for Ratio {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let own = self.ln(batch, 0, &batch.array("theta")?.unsqueeze(1))?;
        let strange = self.ln(batch, 0, &batch.others("theta", 1)?)?;
        let loss = ((-own).softplus() + strange.softplus()).squeeze_dim(1);
        Ok(vec![Score::new("cross entropy", loss, &[0])])
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Ratio {
    fn of(&self) -> Estimand {
        Estimand::Ratio
    }

    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> Result<Tensor> {
        let kind = self.parts[0].vs.kind();
        let (x, theta) = (batch.vector("x")?.to_kind(kind), theta.to_kind(kind));
        let squares = (theta.unsqueeze(3) * theta.unsqueeze(2)).flatten(2, 3);
        let features = Tensor::cat(&[&theta.narrow(2, 0, 1).ones_like(), &theta, &squares], 2);
        Ok(features.matmul(&self.net.forward(&x).unsqueeze(2)).squeeze_dim(2))
    }
}
