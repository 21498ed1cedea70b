//! The posterior of a linear model, cut off where the prior ends.

use polycosm::models::{Device, Kind, Tensor};
use polycosm::nets::{Linear, host, put};
use polycosm::prior::{Distribution, Parameter, Prior};
use tch::nn::VarStore;

fn prior(all: &[Distribution]) -> Prior {
    let one = |(j, d): (usize, &Distribution)| Parameter {
        distribution: *d,
        ..Parameter::uniform(format!("t{j}"), "", 0.0, 1.0)
    };
    Prior::new(all.iter().enumerate().map(one).collect()).unwrap()
}

/// A box of width 4 whose Gaussian has this mean and width, in units of the box.
fn one(mean: f64, sigma: f64) -> Linear {
    let linear =
        Linear::new(&VarStore::new(Device::Cpu).root(), &prior(&[Distribution::Uniform { min: -1.0, max: 3.0 }]), 1);
    put(&linear.slopes, &Tensor::from_slice(&[mean, 0.0, 0.0]).view([1, 3]));
    put(&linear.sigma, &Tensor::from_slice(&[sigma]));
    linear
}

fn ln_density(linear: &Linear, theta: &Tensor) -> Vec<f64> {
    let z = Tensor::zeros([theta.size()[0], 1], (Kind::Double, Device::Cpu));
    let (u, ln) = linear.forward(theta, &z, Kind::Double);
    host(&(u.square() * -0.5 - 0.5 * std::f64::consts::TAU.ln() - ln))
}

#[test]
fn whatever_is_cut_off_its_density_is_a_gaussian_that_integrates_to_one() {
    for (mean, sigma) in [(0.5, 0.1), (0.02, 0.1), (-0.3, 0.1), (1.4, 0.1), (0.9, 5.0), (0.2, 0.6), (0.999, 1e-3)] {
        let n = 200_000;
        let theta = (Tensor::arange(n, (Kind::Double, Device::Cpu)) + 0.5) * (4.0 / n as f64) - 1.0;
        let theta = theta.view([-1, 1]);
        let ln = ln_density(&one(mean, sigma), &theta);
        let whole = ln.iter().map(|ln| ln.exp()).sum::<f64>() * 4.0 / n as f64;
        assert!((whole - 1.0).abs() < 1e-5, "mean {mean}, σ {sigma}: the integral is {whole}");
        // From point to point it goes down as the Gaussian does.
        let z = |i: usize| ((i as f64 + 0.5) / n as f64 - mean) / sigma;
        for i in (0..n as usize).step_by(9973).filter(|&i| ln[i] > -300.0) {
            let j = (mean.clamp(0.0, 1.0) * (n - 1) as f64) as usize;
            let expected = 0.5 * (z(j).powi(2) - z(i).powi(2));
            let off = (ln[i] - ln[j] - expected).abs();
            assert!(off < 1e-6 * (1.0 + expected.abs()), "mean {mean}, σ {sigma}, point {i}: {off}");
        }
    }
    // σ = 5 boxes is a prior to half a percent.
    let flat = ln_density(&one(0.5, polycosm::nets::WIDEST), &Tensor::from_slice(&[-1.0, 0.3, 3.0]).view([3, 1]));
    assert!(flat.iter().all(|ln| (ln + 4f64.ln()).abs() < 5e-3), "{flat:?}");
    // A mean far outside is taken as one at five σ: finite, and not flat.
    let far = ln_density(&one(900.0, 0.1), &Tensor::from_slice(&[2.9, 3.0]).view([2, 1]));
    assert!(far.iter().all(|ln| ln.is_finite()) && far[1] > far[0] + 0.5, "{far:?}");
}

#[test]
fn every_support_is_mapped_to_normal_numbers_and_back_each_parameter_given_those_before() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let all = [
        Distribution::Normal { mean: 0.3, sigma: 0.1, min: low, max: high },
        Distribution::Uniform { min: 0.1, max: 0.5 },
        Distribution::Normal { mean: 0.3, sigma: 0.1, min: 0.1, max: high },
        Distribution::LogUniform { min: 1e-4, max: 10.0 },
        Distribution::Uniform { min: -3.0, max: 60.0 },
    ];
    let (p, n) = (all.len() as i64, 400);
    let linear = Linear::new(&VarStore::new(Device::Cpu).root(), &prior(&all), 3);
    polycosm::nets::seed(1);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
    put(&linear.centre, &random(&[3]));
    put(&linear.projection, &(random(&[3, p]) * 0.1));
    let earlier = Tensor::ones([p, p], (Kind::Double, Device::Cpu)).tril(-1);
    let slopes = [random(&[p, 1]) * 0.1 + 0.5, random(&[p, p]) * 0.3, random(&[p, p]) * 0.5 * earlier];
    put(&linear.slopes, &Tensor::cat(&slopes, 1));
    put(&linear.sigma, &Tensor::from_slice(&[0.2, 3e-4, 1.0, 0.3, 4.0]));
    let (u, z) = (random(&[n, p]) * 1.5, random(&[n, 3]));
    let theta = linear.inverse(&u, &z);
    assert!(host(&linear.outside(&theta)).iter().all(|&outside| outside == 0.0));
    let (again, ln) = linear.forward(&theta, &z, Kind::Double);
    assert!(host(&(again - &u).abs().max())[0] < 1e-6);
    // ln |det dθ/du| of a triangular matrix is that of its diagonal.
    for j in 0..p {
        let step = 1e-5;
        let shift = Tensor::zeros([1, p], (Kind::Double, Device::Cpu)).index_fill(1, &Tensor::from_slice(&[j]), step);
        let slope = (linear.inverse(&(&u + &shift), &z) - linear.inverse(&(&u - &shift), &z)) / (2.0 * step);
        assert!(j == 0 || host(&slope.narrow(1, 0, j).abs().max())[0] == 0.0, "an earlier one moves with a later");
        let off = slope.select(1, j).log() - ln.select(1, j);
        assert!(host(&off.abs().max())[0] < 1e-4, "parameter {j}: {off:?}");
    }
    // By autograd, too.
    let theta = theta.set_requires_grad(true);
    let (u, _) = linear.forward(&theta, &z, Kind::Double);
    let slope = Tensor::run_backward(&[u.select(1, 1).sum(Kind::Double)], &[&theta], false, false).remove(0);
    let off = -slope.select(1, 1).log() - ln.select(1, 1);
    assert!(host(&off.abs().max())[0] < 1e-6, "{off:?}");
}
