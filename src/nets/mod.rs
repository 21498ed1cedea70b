//! Building blocks of networks.

mod cnn;
mod familiar;
mod flow;
mod linear;
mod ln_prior;
mod mlp;
mod preprocess;
mod residual;
mod spline;
mod statistics;
mod transform;
mod unbounded;

pub use cnn::{Cnn, CnnConfig, CnnKind, Draw};
pub use familiar::Novelty;
pub use flow::{Flow, FlowConfig};
pub use linear::{Linear, WIDEST};
pub use ln_prior::LnPrior;
pub use mlp::{Mlp, MlpConfig};
pub use preprocess::Preprocess;
pub use residual::{Residual, ResidualConfig};
pub use spline::rational_quadratic;
pub use transform::{Each, Transform, Transforms};
pub use unbounded::Unbounded;

pub use tch::{Device, Kind, Tensor};

use crate::comm::Comm;
use std::sync::Once;
use tch::Cuda;

/// Seeds libtorch's own generator: initial weights.
pub fn seed(seed: i64) {
    tch::manual_seed(seed);
}

/// Threads of libtorch's operations on this rank.
pub fn set_threads(n: i32) {
    tch::set_num_threads(n);
}

/// The device of this rank: the ranks of a node take its GPUs in turn. If some share one, the root says so. Collective.
pub fn device(comm: &Comm) -> Device {
    let gpus = if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 };
    let device = device_of(comm.place_on_this_node("")[0], gpus);
    // A launcher may have shown each rank other GPUs, of which each begins to count anew.
    let shown = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let [_, sharing] = comm.place_on_this_node(&format!("{device:?} of {shown}"));
    let most = comm.max_of(if device.is_cuda() { sharing } else { 0 } as u64);
    if comm.is_root() && most > 1 {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| log::warn!("{most} ranks share a GPU: as many ranks as GPUs on a node are usually faster"));
    }
    device
}

/// The device of a rank by its place on a node with so many GPUs.
pub fn device_of(rank: usize, gpus: usize) -> Device {
    if gpus == 0 { Device::Cpu } else { Device::Cuda(rank % gpus) }
}

/// A variable that is kept with the weights and not trained, in double precision whatever the network computes in.
pub fn kept(path: &tch::nn::Path, name: &str, shape: &[i64], value: f64) -> Tensor {
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
