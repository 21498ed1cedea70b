//! Classifier two-sample test as sbibm 1.1.0 defines it (Lopez-Paz & Oquab 2017, arXiv:1610.06545; Lueckmann et al. 2021,
//! arXiv:2101.04653): the accuracy, in five-fold cross-validation, of a perceptron with two layers of 10 d ReLU, trained as
//! scikit-learn's `MLPClassifier` does: Glorot's uniform start, Adam at 1e-3, batches of 200, a penalty of 1e-4, until
//! the training loss has not fallen by 1e-4 in more than ten epochs.

use rand::seq::SliceRandom;
use tch::nn::{self, ModuleT, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const FOLDS: usize = 5;
const BATCH: i64 = 200;
const PENALTY: f64 = 1e-4;
const TOLERANCE: f64 = 1e-4;
const PATIENCE: usize = 10;
const EPOCHS: usize = 10_000;

/// Of reference and other draws, (n, d) each: 0.5 where nothing tells them apart, 1 where all does.
pub fn c2st(reference: &[f64], other: &[f64], d: usize, seed: u64) -> f64 {
    tch::manual_seed(seed as i64);
    let tensor = |x: &[f64]| Tensor::from_slice(x).view([-1, d as i64]);
    let (x, y) = (tensor(reference), tensor(other));
    let (mean, sd) = (x.mean_dim(0i64, true, None::<Kind>), x.std_dim(0i64, true, true));
    let data = ((Tensor::cat(&[&x, &y], 0) - mean) / sd).to_kind(Kind::Float);
    let labels = Tensor::cat(&[x.zeros_like().select(1, 0), y.ones_like().select(1, 0)], 0).to_kind(Kind::Float);
    let mut order: Vec<i64> = (0..data.size()[0]).collect();
    order.shuffle(&mut polycosm::rng::stream(seed, 0, "c2st", 0));
    let fold = |k: usize| {
        let (mut train, mut test) = (vec![], vec![]);
        order.iter().enumerate().for_each(|(i, &row)| if i % FOLDS == k { test.push(row) } else { train.push(row) });
        let of = |rows: &[i64]| {
            let rows = Tensor::from_slice(rows);
            (data.index_select(0, &rows), labels.index_select(0, &rows))
        };
        let (x, y) = of(&test);
        let network = learned(&of(&train));
        let said = tch::no_grad(|| network.forward_t(&x, false).squeeze_dim(1));
        said.gt(0.0).eq_tensor(&y.gt(0.5)).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    };
    (0..FOLDS).map(fold).sum::<f64>() / FOLDS as f64
}

fn learned((x, y): &(Tensor, Tensor)) -> nn::Sequential {
    let store = nn::VarStore::new(Device::Cpu);
    let d = x.size()[1];
    let linear = |name: &str, from: i64, to: i64| {
        let bound = (6.0 / (from + to) as f64).sqrt();
        let uniform = nn::Init::Uniform { lo: -bound, up: bound };
        let config = nn::LinearConfig { ws_init: uniform, bs_init: Some(uniform), bias: true };
        nn::linear(store.root() / name, from, to, config)
    };
    let network = nn::seq()
        .add(linear("a", d, 10 * d))
        .add_fn(Tensor::relu)
        .add(linear("b", 10 * d, 10 * d))
        .add_fn(Tensor::relu)
        .add(linear("c", 10 * d, 1));
    let mut adam = nn::Adam::default().build(&store, 1e-3).expect("an optimiser");
    let weights: Vec<Tensor> = store.variables().into_iter().filter(|v| v.0.ends_with("weight")).map(|v| v.1).collect();
    let (n, mut best, mut idle) = (x.size()[0], f64::INFINITY, 0);
    for _ in 0..EPOCHS {
        let order = Tensor::randperm(n, (Kind::Int64, Device::Cpu));
        let (x, y) = (x.index_select(0, &order), y.index_select(0, &order));
        let mut total = 0.0;
        for start in (0..n).step_by(BATCH as usize) {
            let len = BATCH.min(n - start);
            let said = network.forward_t(&x.narrow(0, start, len), true).squeeze_dim(1);
            let likelihood = said.binary_cross_entropy_with_logits::<Tensor>(
                &y.narrow(0, start, len),
                None,
                None,
                tch::Reduction::Mean,
            );
            let sizes = weights.iter().map(|w| w.square().sum(Kind::Float)).reduce(|a, b| a + b).expect("weights");
            let loss = likelihood + sizes * (0.5 * PENALTY / len as f64);
            adam.backward_step(&loss);
            total += loss.double_value(&[]) * len as f64;
        }
        let loss = total / n as f64;
        idle = if loss > best - TOLERANCE { idle + 1 } else { 0 };
        best = best.min(loss);
        if idle > PATIENCE {
            break;
        }
    }
    network
}
