//! Velocities of flow matching: their integral is a map of normal numbers whose density is right, to the error of its steps.
#![cfg(feature = "torch")]

use polycosm::models::{Device, Kind, Tensor};
use polycosm::nets::{MlpConfig, Velocity};
use tch::nn::VarStore;

fn normal(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Double, Device::Cpu))
}

/// The same network for any number of steps; `scatter` of what stands at zero in the beginning.
fn velocity(p: i64, steps: i64, scatter: f64) -> (Velocity, VarStore) {
    polycosm::nets::seed(3);
    let mut vs = VarStore::new(Device::Cpu);
    vs.set_kind(Kind::Double);
    let velocity = Velocity::new(&vs.root(), p, 2, &MlpConfig { hidden: 16, layers: 2 }, steps);
    for name in ["last.bias", "last.weight"] {
        let t = vs.variables().remove(name).unwrap();
        let _ = tch::no_grad(|| t.shallow_clone().g_add_(&(t.randn_like() * scatter)));
    }
    (velocity, vs)
}

fn ln_density(of: &Velocity, u: &Tensor, context: &Tensor) -> Tensor {
    of.ln_density(u.shallow_clone(), u.select(1, 0).zeros_like(), context)
}

fn ln_normal(z: &Tensor) -> Tensor {
    (z.square() * -0.5 - 0.5 * std::f64::consts::TAU.ln()).sum_dim_intlist(1i64, false, Kind::Double)
}

fn largest(t: Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

/// One test after another, for libtorch's generator is one for all.
#[test]
fn velocities_are_densities() {
    // An untrained one is the identity.
    let (of, _vs) = velocity(2, 32, 0.0);
    let (u, context) = (normal(&[300, 2]), normal(&[300, 2]));
    assert!(largest(of.inverse(&u, &context) - &u) < 1e-6);
    assert!(largest(ln_density(&of, &u, &context) - ln_normal(&u)) < 1e-6);
    for p in [1, 3] {
        let (of, _vs) = velocity(p, 32, 0.15);
        let (z, context) = (normal(&[200, p]).set_requires_grad(true), normal(&[200, 2]));
        let x = of.inverse(&z, &context);
        assert!(largest(&x - &z) > 0.3, "nothing happens");
        // What its density is by autograd's Jacobian.
        let row = |i| Tensor::run_backward(&[x.select(1, i).sum(Kind::Double)], &[&z], true, false).remove(0);
        let jacobian = Tensor::stack(&(0..p).map(row).collect::<Vec<_>>(), 1);
        let (expected, ln) = (ln_normal(&z) - jacobian.slogdet().1, ln_density(&of, &x, &context));
        let off = largest(&ln - expected);
        assert!(off < 1e-4, "p = {p}: {off} from the determinant");
        // The error of the steps falls with their fourth power.
        let (fine, _vs) = velocity(p, 512, 0.15);
        let (coarse, _vs) = velocity(p, 16, 0.15);
        let exact = ln_density(&fine, &x, &context);
        let [near, far] = [&of, &coarse].map(|v| largest(ln_density(v, &x, &context) - &exact));
        assert!(near < 1e-4 && near < far / 8.0, "p = {p}: {near} with 32 steps, {far} with 16");
    }
    // And it integrates to one.
    let (of, _vs) = velocity(1, 32, 0.15);
    let (n, width) = (4000, 30.0);
    let u = (Tensor::arange(n, (Kind::Double, Device::Cpu)) + 0.5) * (width / n as f64) - 0.5 * width;
    let context = Tensor::full([n, 2], 0.7, (Kind::Double, Device::Cpu));
    let whole = ln_density(&of, &u.unsqueeze(1), &context).exp().sum(Kind::Double).double_value(&[]);
    let whole = whole * width / n as f64;
    assert!((whole - 1.0).abs() < 1e-3, "{whole}");
}

/// The loss of a velocity that is right is what chance leaves: lines from normal numbers to normal numbers of which only their
/// place is known are of variance 2 − (2t − 1)²/(t² + (1 − t)²) in each dimension, whose mean over t is π/2.
#[test]
fn the_loss_of_the_right_velocity_is_known() {
    let (of, _vs) = velocity(2, 32, 0.0);
    let n = 40_000;
    let (u, z, t) = (normal(&[n, 2]), normal(&[n, 4, 2]), Tensor::rand([n, 4], (Kind::Double, Device::Cpu)));
    let mean = of.loss(&u, &z, &t, &normal(&[n, 2])).mean(Kind::Double).double_value(&[]);
    assert!((mean - std::f64::consts::FRAC_PI_2).abs() < 0.02, "{mean}");
}
