//! Building blocks of networks.

mod cnn;
mod familiar;
mod flow;
mod mlp;
mod preprocess;
mod spline;
mod statistics;
mod transform;

pub use cnn::{Cnn, CnnConfig};
pub use familiar::Novelty;
pub use flow::{Flow, FlowConfig};
pub use mlp::{Mlp, MlpConfig};
pub use preprocess::Preprocess;
pub use spline::rational_quadratic;
pub use transform::{Each, Transform, Transforms};

pub use tch::{Device, Kind, Tensor};

/// Seeds libtorch's own generator: initial weights.
pub fn seed(seed: i64) {
    tch::manual_seed(seed);
}

/// Threads of libtorch's operations on this rank.
pub fn set_threads(n: i32) {
    tch::set_num_threads(n);
}

/// A variable that is kept with the weights and not trained, in double precision whatever the network computes in.
fn kept(path: &tch::nn::Path, name: &str, shape: &[i64], value: f64) -> Tensor {
    path.add(name, Tensor::full(shape, value, (Kind::Double, path.device())), false)
}

/// Writes numbers into a variable that is not trained (scales, closed forms).
pub fn put(to: &Tensor, from: &Tensor) {
    tch::no_grad(|| to.shallow_clone().copy_(from));
}

/// A tensor's numbers, in memory order.
pub fn host(t: &Tensor) -> Vec<f64> {
    let t = t.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous();
    let mut values = vec![0f64; t.numel()];
    t.copy_data(&mut values, t.numel());
    values
}

/// A tensor's whole numbers, in memory order.
pub fn whole(t: &Tensor) -> Vec<i64> {
    let t = t.detach().to_device(Device::Cpu).to_kind(Kind::Int64).contiguous();
    let mut values = vec![0i64; t.numel()];
    t.copy_data(&mut values, t.numel());
    values
}
