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
