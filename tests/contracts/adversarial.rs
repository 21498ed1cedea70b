//! Cubes from cubes: a generator against a critic, five critic steps for each of the generator's, with a gradient
//! penalty (Gulrajani et al. 2017).

use polycosm::models::prelude::*;
use tch::nn::{self, Module};

pub const GENERATOR: usize = 0;
pub const CRITIC: usize = 1;

pub struct Adversarial {
    parts: [Part; 2],
    generator: [nn::Conv3D; 2],
    critic: (nn::Conv3D, nn::Linear),
    cube: Vec<i64>,
}

impl Adversarial {
    pub fn new(task: &Task) -> Result<Self> {
        let (x, target) = (&task.array("x")?.shape, &task.array("target")?.shape);
        if x != target || x.len() != 3 {
            let problem = format!("has the shape {target:?}, and the input {x:?}: two cubes of one size are needed");
            return Err(Error::input(problem).key("target").remedy("name a field on the input's grid"));
        }
        let mut parts = ["generator", "critic"].map(|name| task.part(name));
        parts[CRITIC].optimiser =
            Optimiser { betas: Some([0.0, 0.9]), rate: 2.0, decay: Some(0.0), ..Default::default() };
        let [g, c] = [parts[0].vs.root(), parts[1].vs.root()];
        let config = |stride| nn::ConvConfig { padding: 1, stride, ..Default::default() };
        let generator = [nn::conv3d(&g / "first", 2, 4, 3, config(1)), nn::conv3d(&g / "last", 4, 1, 3, config(1))];
        let critic = (nn::conv3d(&c / "look", 2, 4, 3, config(2)), nn::linear(&c / "judge", 4, 1, Default::default()));
        let cube = std::iter::once(1).chain(x.iter().map(|&n| n as i64)).collect();
        Ok(Adversarial { parts, generator, critic, cube })
    }

    fn generate(&self, batch: &Batch, purpose: &str) -> Result<Tensor> {
        let z = batch.normal(purpose, &self.cube);
        let h = Tensor::cat(&[&batch.array("x")?.unsqueeze(1), &z], 1);
        Ok(self.generator[1].forward(&self.generator[0].forward(&h).silu()))
    }

    /// One number for each sample.
    fn judge(&self, batch: &Batch, cube: &Tensor) -> Result<Tensor> {
        let h = Tensor::cat(&[&batch.array("x")?.unsqueeze(1), cube], 1);
        let h = self.critic.0.forward(&h).silu().mean_dim([2i64, 3, 4].as_slice(), false, h.kind());
        Ok(self.critic.1.forward(&h).squeeze_dim(1))
    }
}

impl Model for Adversarial {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        let real = batch.array("target")?.unsqueeze(1);
        let fake = self.generate(batch, "z")?.detach();
        let mix = batch.uniform("mix", &[1, 1, 1, 1]);
        let between = (&real + mix * (&fake - &real)).set_requires_grad(true);
        let value = self.judge(batch, &between)?.sum(between.kind());
        let slope = Tensor::run_backward(&[value], &[between], true, true).swap_remove(0);
        let size = slope.square().sum_dim_intlist([1i64, 2, 3, 4].as_slice(), false, None::<Kind>).sqrt();
        let penalty = (size - 1.0).square() * 10.0;
        turn.minimise("critic", &(self.judge(batch, &fake)? - self.judge(batch, &real)? + penalty), &[CRITIC])?;
        if turn.number() % 5 < 4 {
            return Ok(());
        }
        let fake = self.generate(batch, "another z")?;
        turn.minimise("generator", &-self.judge(batch, &fake)?, &[GENERATOR])
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let error = self.generate(batch, "z")?.squeeze_dim(1) - batch.array("target")?;
        let value = error.mean_dim([1i64, 2, 3].as_slice(), false, None::<Kind>).square();
        Ok(vec![Score::new("bias of the mean", value, &[GENERATOR])])
    }
}
