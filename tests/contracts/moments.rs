//! A moment network (Jeffrey & Wandelt 2020): posterior means m(x) that minimise Σ_j ln E[(θ_j − m_j(x))²], the expectation
//! over the whole batch.

use polycosm::error::Result;
use polycosm::models::{Batch, Kind, Model, Part, Score, Task, Tensor, Turn};
use polycosm::nets::{Mlp, MlpConfig};

pub struct Moments {
    parts: [Part; 1],
    net: Mlp,
}

impl Moments {
    pub fn new(task: &Task) -> Result<Self> {
        let n = task.array("x")?.shape.iter().product::<usize>() as i64;
        let vs = task.variables();
        let net = Mlp::new(&vs.root(), n, task.prior.len() as i64, &MlpConfig { hidden: 16, layers: 1 });
        Ok(Moments { parts: [Part::new("moments", vs)], net })
    }

    /// (n, p): squares of the errors.
    fn squares(&self, batch: &Batch) -> Result<Tensor> {
        Ok((batch.array("theta")? - self.net.forward(batch.array("x")?)).square())
    }
}

impl Model for Moments {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise_of_means("Σ ln E", &self.squares(batch)?, &|means| means.log().sum(means.kind()), &[0])
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let value = self.squares(batch)?.mean_dim([1i64].as_slice(), false, None::<Kind>);
        Ok(vec![Score { name: "mean square".into(), value, parts: vec![0] }])
    }
}
