//! What is done to samples on their way to a model: symmetries, noise, masks. It depends on a sample's id and the pass alone.

use super::cut::Cut;
use crate::error::Result;
use crate::models::{Batch, Pass};
use tch::Tensor;

/// A change of samples.
pub trait Change {
    fn change(&self, batch: &mut Batch) -> Result<()>;
}

/// What `changes` make of samples, in order.
pub fn change(changes: &[Box<dyn Change>], mut batch: Batch) -> Result<Batch> {
    changes.iter().try_for_each(|change| change.change(&mut batch)).map(|()| batch)
}

/// Gaussian noise, independent in every number: another draw in each epoch, one for each sample that is held out, none for an
/// observation, which has its own.
pub struct Noise {
    pub column: String,
    /// What the draws are for: columns of one purpose have the same.
    pub purpose: String,
    /// The stage's own part of its seed, which noise does not know: what one survey sees is the same for all stages.
    pub own_seed: u64,
    /// Double; broadcasts against a sample.
    pub rms: Tensor,
    /// In training alone, and falling to zero over the epochs of a phase.
    pub fades: bool,
}

impl Change for Noise {
    fn change(&self, batch: &mut Batch) -> Result<()> {
        let left = match batch.pass {
            Pass::Observation => 0.0,
            _ if self.fades => batch.left,
            _ => 1.0,
        };
        if left == 0.0 {
            return Ok(());
        }
        // An observation has no targets.
        let Ok(x) = batch.array(&self.column) else { return Ok(()) };
        let seed = batch.seed.wrapping_sub(self.own_seed);
        let noise = batch.normal_of(seed, &self.purpose, &x.size()[1..]) * (&self.rms * left).to_device(x.device());
        let noisy = x + noise.to_kind(x.kind());
        batch.replace(&self.column, noisy)
    }
}

/// Numbers that are not seen have a value of their own, of whatever a sample is.
pub struct Mask {
    pub column: String,
    /// True where nothing is seen; broadcasts against a sample.
    pub hidden: Tensor,
    /// How that of a whole field (1, …) is cut; `None`: it is a sample's.
    pub cut: Option<Cut>,
    pub fill: f64,
}

impl Change for Mask {
    fn change(&self, batch: &mut Batch) -> Result<()> {
        let Ok(x) = batch.array(&self.column) else { return Ok(()) };
        let hidden = match &self.cut {
            None => self.hidden.shallow_clone(),
            Some(cut) => {
                let pieces = batch.ids.iter().map(|id| cut.piece(&self.hidden, id.item));
                Tensor::cat(&pieces.collect::<Vec<_>>(), 0)
            }
        };
        let masked = x.masked_fill(&hidden.to_device(x.device()), self.fill);
        batch.replace(&self.column, masked)
    }
}
