//! Least squares: a closed form without a step.

use ndarray::{Array2, Axis};
use ndarray_linalg::{Factorize, Solve};
use polycosm::models::prelude::*;
use polycosm::nets::{host, put};

pub struct Linear {
    parts: [Part; 1],
    /// (inputs + 1, parameters), the constants last.
    weights: Tensor,
}

impl Linear {
    pub fn new(task: &Task) -> Result<Self> {
        let (n, part) = (task.numbers("x")?, task.part("linear"));
        let weights = part.vs.root().zeros_no_train("weights", &[n + 1, task.prior.len() as i64]);
        Ok(Linear { parts: [part], weights })
    }

    fn inputs(batch: &Batch) -> Result<Tensor> {
        let x = batch.vector("x")?.to_kind(Kind::Double);
        Ok(Tensor::cat(&[&x, &Tensor::ones([x.size()[0], 1], (Kind::Double, x.device()))], 1))
    }
}

impl Model for Linear {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![]
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        let n = self.weights.size()[0];
        let sums = all.sum(&mut |batch| {
            let x = Self::inputs(batch)?;
            Ok(x.tr().matmul(&Tensor::cat(&[&x, &batch.array("theta")?.to_kind(Kind::Double)], 1)))
        })?;
        let failed = |e: &dyn std::fmt::Display| Error::failed(format!("the inputs fix no line: {e}"));
        let shape = [n as usize, sums.size()[1] as usize];
        let sums = Array2::from_shape_vec(shape, host(&sums)).map_err(|e| failed(&e))?;
        let (xx, xy) = sums.view().split_at(Axis(1), shape[0]);
        let factors = xx.factorize().map_err(|e| failed(&e))?;
        for (p, column) in xy.columns().into_iter().enumerate() {
            let solved = factors.solve(&column).map_err(|e| failed(&e))?;
            put(&self.weights.select(1, p as i64), &Tensor::from_slice(&solved.to_vec()));
        }
        Ok(())
    }

    fn outputs(&self) -> Vec<FieldSpec> {
        vec![FieldSpec::vector("estimate", self.weights.size()[1] as usize)]
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![Self::inputs(batch)?.matmul(&self.weights.to_kind(Kind::Double))])
    }
}
