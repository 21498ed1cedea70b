//! A classifier: its labels are a column of the dataset, its classes count alike.

use polycosm::models::prelude::*;
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
        task.array("target")?;
        let part = task.part("classifier");
        let config = MlpConfig { hidden: 16, layers: 1 };
        let net = Mlp::new(&(part.vs.root() / "net"), task.numbers("x")?, CLASSES, &config);
        let balance = part.vs.root().ones_no_train("balance", &[CLASSES]);
        Ok(Classifier { parts: [part], net, balance })
    }
}

impl Model for Classifier {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        let counts = all.sum(&mut |batch| {
            Ok(batch.labels("target", CLASSES)?.one_hot(CLASSES).sum_dim_intlist(0i64, false, Kind::Double))
        })?;
        put(&self.balance, &(counts.sum(Kind::Double) / counts.clamp_min(1.0) / CLASSES as f64));
        Ok(())
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let (x, label) = (batch.array("x")?, batch.labels("target", CLASSES)?);
        let ln_p = self.net.forward(x).log_softmax(-1, x.kind()).gather(1, &label.unsqueeze(1), false);
        let loss = -ln_p.squeeze_dim(1) * self.balance.index_select(0, &label);
        Ok(vec![Score::new("cross entropy", loss, &[0])])
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        vec![FieldSpec::of("probability", &[CLASSES as usize], &[AxisKind::Class])]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let x = batch.array("x")?;
        Ok(vec![self.net.forward(x).softmax(-1, x.kind())])
    }
}
