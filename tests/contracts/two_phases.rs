//! An autoencoder, and then a regression on its latents with the encoder frozen.

use polycosm::error::Result;
use polycosm::models::{Batch, Kind, Model, Part, Phase, Score, Stream, Task, Tensor, Turn};
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
        let n = task.array("x")?.shape.iter().product::<usize>() as i64;
        let parts = ["encoder", "decoder", "head"].map(|name| Part::new(name, task.variables()));
        let linear = |part: usize, from, to| nn::linear(parts[part].vs.root() / "linear", from, to, Default::default());
        let [encoder, decoder, head] = [(n, LATENTS), (LATENTS, n), (LATENTS, task.prior.len() as i64)];
        let [encoder, decoder, head] =
            [linear(0, encoder.0, encoder.1), linear(1, decoder.0, decoder.1), linear(2, head.0, head.1)];
        let scales = parts[2].vs.root().ones_no_train("scales", &[2, LATENTS]);
        Ok(TwoPhases { parts, encoder, decoder, head, scales })
    }

    fn latents(&self, batch: &Batch) -> Result<Tensor> {
        Ok(self.encoder.forward(batch.array("x")?).tanh())
    }

    fn loss(&self, phase: usize, batch: &Batch) -> Result<Tensor> {
        let z = self.latents(batch)?;
        let error = match phase {
            0 => self.decoder.forward(&z) - batch.array("x")?,
            _ => {
                self.head.forward(&((z - self.scales.select(0, 0)) / self.scales.select(0, 1)))
                    - batch.array("theta")?
            }
        };
        Ok(error.square().mean_dim([1i64].as_slice(), false, None::<Kind>))
    }

    fn moved(phase: usize) -> Vec<usize> {
        if phase == 0 { vec![0, 1] } else { vec![2] }
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

    fn step(&self, phase: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise(["reconstruction", "regression"][phase], &self.loss(phase, batch)?, &Self::moved(phase))
    }

    fn score(&self, phase: usize, batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![Score { name: "error".into(), value: self.loss(phase, batch)?, parts: Self::moved(phase) }])
    }
}
