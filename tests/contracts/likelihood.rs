//! A linear-Gaussian likelihood, x ~ N(m + Mθ, C): a closed form, from the first and second moments of (θ, x).

use polycosm::models::prelude::*;
use polycosm::nets::put;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Section for Config {
    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Likelihood)
    }

    // It is a closed form.
    fn epochs(&self, _: u64) -> u64 {
        0
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Likelihood::new(task)?))
    }
}

pub struct Likelihood {
    parts: [Part; 1],
    /// (1 + p, d): m and Mᵀ.
    map: Tensor,
    /// (d, d): L of C = LLᵀ.
    noise: Tensor,
}

impl Likelihood {
    fn new(task: &Task) -> Result<Self> {
        let (p, d, part) = (task.prior.len() as i64, task.numbers("x")?, task.part("likelihood"));
        let map = part.vs.root().zeros_no_train("map", &[1 + p, d]);
        let noise = part.vs.root().zeros_no_train("noise", &[d, d]);
        Ok(Likelihood { parts: [part], map, noise })
    }
}

/// (…, 1 + p)
fn with_one(theta: &Tensor) -> Tensor {
    let theta = theta.to_kind(Kind::Double);
    Tensor::cat(&[&theta.narrow(-1, 0, 1).ones_like(), &theta], -1)
}

/// (n, d)
fn data(batch: &Batch) -> Result<Tensor> {
    Ok(batch.vector("x")?.to_kind(Kind::Double))
}

impl Model for Likelihood {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![]
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        let (q, d) = (self.map.size()[0], self.map.size()[1]);
        let sums = all.sum(&mut |batch| {
            let both = Tensor::cat(&[&with_one(batch.array("theta")?), &data(batch)?], 1);
            Ok(both.tr().matmul(&both))
        })?;
        let block = |from: i64, to: i64| {
            sums.narrow(0, from, if from == 0 { q } else { d }).narrow(1, to, if to == 0 { q } else { d })
        };
        let map = Tensor::linalg_solve(&block(0, 0), &block(0, q), true);
        let n = sums.get(0).get(0);
        let residuals = block(q, q) - block(q, 0).matmul(&map);
        put(&self.map, &map);
        put(&self.noise, &(residuals / (n - q)).linalg_cholesky(false));
        Ok(())
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Likelihood {
    fn of(&self) -> Estimand {
        Estimand::Likelihood
    }

    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> Result<Tensor> {
        let off = data(batch)?.unsqueeze(1) - with_one(theta).matmul(&self.map.to_kind(Kind::Double));
        let white = Tensor::linalg_solve_triangular(
            &self.noise.to_kind(Kind::Double),
            &off.transpose(1, 2),
            false,
            true,
            false,
        );
        Ok(white.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double) * -0.5)
    }
}
