//! An autoencoder, and then a regression on its latents with the encoder frozen.

use polycosm::models::prelude::*;
use polycosm::nets::put;
use tch::nn::{self, Module};

pub struct TwoPhases {
    parts: [Part; 3],
    encoder: nn::Linear,
    decoder: nn::Linear,
    head: nn::Linear,
    /// Of the latents: mean and standard deviation.
    scales: Tensor,
}

const LATENTS: i64 = 2;

impl TwoPhases {
    pub fn new(task: &Task) -> Result<Self> {
        let (n, p) = (task.numbers("x")?, task.prior.len() as i64);
        let parts = ["encoder", "decoder", "head"].map(|name| task.part(name));
        let linear = |part: usize, from, to| nn::linear(parts[part].vs.root() / "linear", from, to, Default::default());
        let (encoder, decoder, head) = (linear(0, n, LATENTS), linear(1, LATENTS, n), linear(2, LATENTS, p));
        let scales = parts[2].vs.root().ones_no_train("scales", &[2, LATENTS]);
        Ok(TwoPhases { parts, encoder, decoder, head, scales })
    }

    fn latents(&self, batch: &Batch) -> Result<Tensor> {
        Ok(self.encoder.forward(batch.array("x")?).tanh())
    }
}

impl Model for TwoPhases {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default(), Phase { epochs: Some(3), frozen: vec![0, 1] }]
    }

    fn prepare(&self, phase: usize, all: &mut dyn Stream) -> Result<()> {
        if phase == 1 {
            let sums = all.sum(&mut |batch| {
                let z = self.latents(batch)?.to_kind(Kind::Double);
                Ok(Tensor::stack(&[z.ones_like(), z.shallow_clone(), z.square()], 0).sum_dim_intlist(
                    [1i64].as_slice(),
                    false,
                    None::<Kind>,
                ))
            })?;
            let mean = sums.select(0, 1) / sums.select(0, 0);
            let sd = (sums.select(0, 2) / sums.select(0, 0) - mean.square()).sqrt();
            put(&self.scales, &Tensor::stack(&[mean, sd], 0));
        }
        Ok(())
    }

    fn score(&self, phase: usize, batch: &Batch) -> Result<Vec<Score>> {
        let z = self.latents(batch)?;
        let scaled = || (&z - self.scales.select(0, 0)) / self.scales.select(0, 1);
        let (name, error, parts): (_, _, &[usize]) = match phase {
            0 => ("reconstruction", self.decoder.forward(&z) - batch.array("x")?, &[0, 1]),
            _ => ("regression", self.head.forward(&scaled()) - batch.array("theta")?, &[2]),
        };
        Ok(vec![Score::new(name, error.square().mean_dim([1i64].as_slice(), false, None::<Kind>), parts)])
    }
}
