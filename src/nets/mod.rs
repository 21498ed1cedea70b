//! Building blocks of networks.

mod cnn;
mod flow;
mod mlp;
mod preprocess;
mod spline;

pub use cnn::{Cnn, CnnConfig};
pub use flow::{Flow, FlowConfig};
pub use mlp::{Mlp, MlpConfig};
pub use preprocess::{Preprocess, Transform};
pub use spline::rational_quadratic;

pub use tch::{Device, Kind, Tensor};

/// Seeds libtorch's own generator: initial weights.
pub fn seed(seed: i64) {
    tch::manual_seed(seed);
}

/// Threads of libtorch's operations on this rank.
pub fn set_threads(n: i32) {
    tch::set_num_threads(n);
}
