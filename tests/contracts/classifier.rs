//! A classifier: its labels are a column of the dataset, its classes count alike.

use polycosm::error::Result;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Batch, Kind, Model, Part, Score, Stream, Task, Tensor, Turn};
use polycosm::nets::{Mlp, MlpConfig, put};

pub const CLASSES: i64 = 3;

pub struct Classifier {
    parts: [Part; 1],
    net: Mlp,
    /// Of each class: how much a sample of it counts.
    balance: Tensor,
}

impl Classifier {
    pub fn new(task: &Task) -> Result<Self> {
        let n = task.array("x")?.shape.iter().product::<usize>() as i64;
        task.array("target")?;
        let vs = task.variables();
        let net = Mlp::new(&(vs.root() / "net"), n, CLASSES, &MlpConfig { hidden: 16, layers: 1 });
        let balance = vs.root().ones_no_train("balance", &[CLASSES]);
        Ok(Classifier { parts: [Part::new("classifier", vs)], net, balance })
    }

    pub fn loss(&self, batch: &Batch) -> Result<Tensor> {
        let label = batch.labels("target", CLASSES)?;
        let x = batch.array("x")?;
        let ln_p = self.net.forward(x).log_softmax(-1, x.kind()).gather(1, &label.unsqueeze(1), false);
        Ok(-ln_p.squeeze_dim(1) * self.balance.index_select(0, &label))
    }
}

impl Model for Classifier {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        let counts = all.sum(&mut |batch| {
            Ok(batch.labels("target", CLASSES)?.one_hot(CLASSES).sum_dim_intlist(
                [0i64].as_slice(),
                false,
                Kind::Double,
            ))
        })?;
        put(&self.balance, &(counts.sum(Kind::Double) / counts.clamp_min(1.0) / CLASSES as f64));
        Ok(())
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise("cross entropy", &self.loss(batch)?, &[0])
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![Score { name: "cross entropy".into(), value: self.loss(batch)?, parts: vec![0] }])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        vec![FieldSpec::of("probability", &[CLASSES as usize], &[AxisKind::Class])]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let x = batch.array("x")?;
        Ok(vec![self.net.forward(x).softmax(-1, x.kind())])
    }
}
