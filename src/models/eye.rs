//! How a model looks at its inputs before its networks do: what it cannot take, and what is unlike all that it has
//! seen.

use super::{Batch, Stream};
use crate::error::{Error, Result};
use crate::io::field::{Cube, FieldSpec, Picture};
use crate::nets::{Novelty, Preprocess, Transforms};
use tch::{Tensor, nn};

/// Numbers of vectors that are held at once to be standardised: an eighth of a gigabyte in double precision, a few times.
const NUMBERS: usize = 1 << 24;

/// One input of a model, standardised.
pub struct Eye {
    /// Its column in a batch.
    pub column: String,
    /// (views, channels, H, W) of maps, (views, channels, D, H, W) of cubes, or how many numbers a vector has.
    pub shape: Vec<i64>,
    /// Of a sample.
    given: Vec<usize>,
    /// What standardises it: one for each network that keeps its own.
    copies: Vec<Preprocess>,
}

impl Eye {
    /// On an input as a vector.
    pub fn vector(input: &FieldSpec) -> Self {
        let shape = vec![input.shape.iter().product::<usize>() as i64];
        Eye { column: input.name.clone(), shape, given: input.shape.clone(), copies: vec![] }
    }

    /// On maps that are large enough to be halved a few times, and whether these are periodic; else as a vector, and
    /// `None`.
    pub fn maps(input: &FieldSpec) -> (Self, Option<bool>) {
        match input.picture().filter(Picture::is_large) {
            Some(picture) => (Eye::pictures(input, picture), Some(picture.periodic)),
            None => (Eye::vector(input), None),
        }
    }

    /// On maps of any size.
    pub fn pictures(input: &FieldSpec, picture: Picture) -> Self {
        let Picture { views, channels, height, width, .. } = picture;
        Eye { shape: [views, channels, height, width].map(|n| n as i64).to_vec(), ..Eye::vector(input) }
    }

    /// On cubes, the last three axes of a field.
    pub fn cubes(input: &FieldSpec, cube: Cube) -> Self {
        let Cube { views, channels, sides: [d, h, w], .. } = cube;
        Eye { shape: [views, channels, d, h, w].map(|n| n as i64).to_vec(), ..Eye::vector(input) }
    }

    /// Axes of its pixels: 0 of a vector.
    fn axes(&self) -> usize {
        self.shape.len().max(2) - 2
    }

    /// The same, with one more network's own standardisation in it.
    pub fn keep(&mut self, path: &nn::Path, transforms: &Transforms) {
        let groups = if self.axes() > 0 { self.shape[1] } else { self.shape[0] };
        self.copies.push(Preprocess::new(path, &transforms.of(&self.column), groups, self.axes()));
    }

    /// Refuses transforms that do not divide its first axis.
    pub fn check(&self) -> Result<()> {
        self.preprocess().check()
    }

    /// Takes what standardises from the training inputs (n, …), for all networks; how far each of them lies from the
    /// others.
    pub fn standardise(&self, x: &Tensor) -> Novelty {
        let fitted = self.preprocess().fit(&mut |f| {
            f(&self.seen(x).0);
            Ok(())
        });
        fitted.expect("tensors in memory can be read");
        self.copies[1..].iter().for_each(|copy| copy.copy(&self.copies[0]));
        self.novelty(x)
    }

    /// The same from all that a stage learns from, in as many passes as it needs. Of vectors that are more than 2²⁴ numbers
    /// all together evenly spaced samples of that size count: their quantiles need all numbers at once. Collective.
    pub fn prepare(&self, all: &mut dyn Stream) -> Result<()> {
        let most = if self.axes() > 0 { usize::MAX } else { (NUMBERS / self.shape[0].max(1) as usize).max(2) };
        self.preprocess().fit(&mut |f| all.each(&self.column, most, &mut |x| f(&self.seen(x).0)))?;
        self.copies[1..].iter().for_each(|copy| copy.copy(&self.copies[0]));
        Ok(())
    }

    /// What that was.
    pub fn preprocess(&self) -> &Preprocess {
        &self.copies[0]
    }

    /// Inputs (n, …) as the networks take them, (n · views, …), and the number of views.
    pub fn seen(&self, x: &Tensor) -> (Tensor, i64) {
        let n = x.size()[0];
        match self.shape[..] {
            [views, ref rest @ ..] if !rest.is_empty() => (x.reshape([&[n * views], rest].concat()), views),
            _ => (x.reshape([n, -1]), 1),
        }
    }

    /// A batch's inputs, standardised for a network: (n · views, …), and the number of views.
    pub fn look(&self, network: usize, batch: &Batch) -> Result<(Tensor, i64)> {
        let (x, views) = self.seen(batch.array(&self.column)?);
        Ok((self.copies[network].forward(&x), views))
    }

    /// How far inputs (n, …) lie outside the training inputs.
    pub fn novelty(&self, x: &Tensor) -> Novelty {
        let (x, views) = self.seen(x);
        self.preprocess().novelty(&x, views)
    }

    /// Of each input (n, …): how many of its numbers are not finite, and how many the transform does not take.
    pub fn unfit(&self, x: &Tensor) -> Vec<[i64; 2]> {
        let (x, views) = self.seen(x);
        self.preprocess().unfit(&x, views)
    }

    /// What a number of its [`Novelty::most`] stands for, where the input is called so.
    pub fn fact(&self, most: i64, called: &str) -> String {
        self.preprocess().fact(most, called, &self.given)
    }

    /// The name of a number or channel that [`Preprocess::constants`] counts, where the input is called so.
    pub fn name(&self, number: usize, called: &str) -> String {
        self.preprocess().name(number, called, &self.given)
    }
}

/// Refuses transforms of inputs that are not there.
pub(super) fn check_names(transforms: &Transforms, eyes: &[Eye]) -> Result<()> {
    let known: Vec<&str> = eyes.iter().map(|eye| eye.column.as_str()).collect();
    let Some(name) = transforms.names().into_iter().find(|name| !known.contains(name)) else { return Ok(()) };
    let error = Error::input("is no input of this stage").key(format!("train.network.transform.{name}"));
    Err(error.remedy(match known[..] {
        ["x"] => "a table is for several inputs: give one transform".to_string(),
        _ => format!("the inputs are {}", known.join(", ")),
    }))
}
