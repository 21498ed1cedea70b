//! Regressions find the posterior's moments, which are known of a linear model with Gaussian noise.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::io::dataset::DatasetConfig;
use polycosm::io::identity::Identity;
use polycosm::io::provenance::Provenance;
use polycosm::models::{Batch, Device, Tensor};
use polycosm::nets::host;
use polycosm::rng::{ChaCha8Rng, stream};
use polycosm::train::{Context, StageConfig, Trained, records, train_stage};
use rand::Rng;
use rand_distr::StandardNormal;

const NOISE: f64 = 0.5;

/// θ ~ N(1, 2²) × N(−3, 0.1²), and x = M((θ − mean)/σ) + noise in three numbers.
fn universe(rng: &mut ChaCha8Rng) -> ([f64; 2], [f64; 3]) {
    let mut one = || rng.sample::<f64, _>(StandardNormal);
    let (a, b) = (one(), one());
    let x = [a, 0.5 * a + b, 0.2 - b].map(|m| m + NOISE * one());
    ([1.0 + 2.0 * a, -3.0 + 0.1 * b], x)
}

/// Mean and covariance of the posterior, for the precision I + MᵀM/σ² of the standardised parameters.
fn exact(x: &[f64]) -> ([f64; 2], [f64; 4]) {
    let s = NOISE * NOISE;
    let (aa, ab, bb) = (1.0 + 1.25 / s, 0.5 / s, 1.0 + 2.0 / s);
    let det = aa * bb - ab * ab;
    let (ca, cab, cb) = (bb / det, -ab / det, aa / det);
    let (u, v) = ((x[0] + 0.5 * x[1]) / s, (x[1] - (x[2] - 0.2)) / s);
    let mean = [1.0 + 2.0 * (ca * u + cab * v), -3.0 + 0.1 * (cab * u + cb * v)];
    (mean, [4.0 * ca, 0.2 * cab, 0.2 * cab, 0.01 * cb])
}

/// What a regression with this loss makes of 500 fresh universes, and these.
fn regressed(comm: &Comm, loss: &str) -> (Vec<Vec<f64>>, Vec<f64>) {
    polycosm::nets::set_threads(1);
    let (folder, n) = (mpi::shared_dir(), 6000);
    let path = folder.join("d.h5");
    let mut rng = stream(5, 0, "universes", 0);
    let all: Vec<_> = (0..n).map(|_| universe(&mut rng)).collect();
    comm.on_root(|| {
        let file = hdf5::File::create(&path).unwrap();
        let theta: Vec<f64> = all.iter().flat_map(|u| u.0).collect();
        let x: Vec<f64> = all.iter().flat_map(|u| u.1).collect();
        file.new_dataset::<f64>().shape([n, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
        file.new_dataset::<f64>().shape([n, 3]).create("x").unwrap().write_raw(&x).unwrap();
        Ok(())
    })
    .unwrap();
    let text = format!(
        "file = {path:?}\nparameters.a = {{ kind = \"normal\", mean = 1.0, sigma = 2.0 }}\n\
         parameters.b = {{ kind = \"normal\", mean = -3.0, sigma = 0.1 }}"
    );
    let dataset = &toml::from_str::<DatasetConfig>(&text).unwrap().open().unwrap();
    let text = format!(
        "name = \"moments\"\ninput = \"x\"\nepochs = 40\nbatch_size = 100\nlearning_rate = 5e-3\n\
         network = {{ kind = \"regression\", loss = {loss:?}, mlp = {{ hidden = 16, layers = 1 }} }}"
    );
    let stages: Vec<StageConfig> = vec![toml::from_str(&text).unwrap()];
    let (seed, device, train) = (1, Device::Cpu, folder.join(loss));
    let (records, identity) = (&records(&stages, &train, seed), &Identity::of(comm, dataset, &["x"]).unwrap());
    let by = &Provenance::collect(comm, seed, "");
    let context = Context { comm, stages: &stages, records, dataset, identity, seed, device, by };
    train_stage(&context, "moments", || Ok(())).unwrap();
    let trained = Trained::load(&context, "moments").unwrap();
    let x: Vec<f64> = (0..500).flat_map(|_| universe(&mut rng).1).collect();
    let batch = Batch::observed(&Tensor::from_slice(&x).view([500, 3]));
    let made = tch::no_grad(|| trained.model().apply(&batch)).unwrap();
    (made.iter().map(host).collect(), x)
}

/// Of the estimated means, in posterior widths: the rms distance from the exact ones.
fn off(mean: &[f64], x: &[f64]) -> f64 {
    let one = |(m, x): (&[f64], &[f64])| {
        let (exact, c) = exact(x);
        (0..2).map(|j| (m[j] - exact[j]).powi(2) / c[3 * j]).sum::<f64>() / 2.0
    };
    (mean.chunks(2).zip(x.chunks(3)).map(one).sum::<f64>() / 500.0).sqrt()
}

#[test]
fn posterior_moments_of_a_linear_model_are_found() {
    mpi::on_ranks("posterior_moments_of_a_linear_model_are_found", &[1, 2], |comm| {
        for loss in ["mse", "gaussian", "gaussian-full", "moments"] {
            let (made, x) = regressed(comm, loss);
            let distance = off(&made[0], &x);
            assert!(distance < 0.12, "{loss}: means are {distance} of the width off");
            let mean = |f: &dyn Fn(usize) -> f64| (0..500).map(f).sum::<f64>() / 500.0;
            let (_, exact) = exact(&x);
            match loss {
                "mse" => assert_eq!(made.len(), 1),
                "gaussian-full" => {
                    for j in 0..4 {
                        let scale = (exact[(j / 2) * 3] * exact[(j % 2) * 3]).sqrt();
                        let found = mean(&|i| made[1][4 * i + j]) / scale;
                        assert!((found - exact[j] / scale).abs() < 0.08, "{loss}: covariance {j} is {found}");
                    }
                }
                _ => {
                    for j in 0..2 {
                        let found = mean(&|i| made[1][2 * i + j]) / exact[3 * j].sqrt();
                        assert!((found - 1.0).abs() < 0.05, "{loss}: σ of {j} is {found} of the posterior's");
                    }
                }
            }
        }
    });
}
