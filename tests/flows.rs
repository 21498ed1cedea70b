//! Flows of every kind are densities: they integrate to one, their maps and their inverses agree, their determinants are those of
//! autograd, and draws follow them.
#![cfg(feature = "torch")]

use polycosm::models::{Device, Kind, Tensor};
use polycosm::nets::{Flow, FlowConfig, FlowKind, Transport, host};
use polycosm::prior::{Distribution, Parameter, Prior};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::nn::VarStore;

const KINDS: [FlowKind; 6] = [
    FlowKind::SplineAutoregressive,
    FlowKind::SplineCoupling,
    FlowKind::Maf,
    FlowKind::RealNvp,
    FlowKind::Smooth,
    FlowKind::Mixture,
];

/// libtorch's generator is one for all threads: one test after another.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(kind: FlowKind) -> FlowConfig {
    FlowConfig { kind, hidden: 16, ..FlowConfig::default() }
}

/// As if it had been trained: what stands at zero in the beginning does not.
fn learned(vs: &VarStore) {
    let mut all: Vec<_> = vs.variables().into_iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, t) in all {
        let scatter = if name.contains("last") { 0.04 } else { 0.02 };
        let _ = tch::no_grad(|| t.shallow_clone().g_add_(&(t.randn_like() * scatter)));
    }
}

fn normal(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Double, Device::Cpu)).to_kind(kind)
}

/// Of p numbers given two.
fn transport(kind: FlowKind, p: i64, precision: Kind) -> Transport {
    polycosm::nets::seed(1 + p);
    let mut vs = VarStore::new(Device::Cpu);
    vs.set_kind(precision);
    let transport = Transport::new(&vs.root(), p, 2, &config(kind));
    learned(&vs);
    transport
}

#[test]
fn inverses_undo() {
    let _alone = alone();
    for (precision, within) in [(Kind::Float, 1e-4), (Kind::Double, 1e-9)] {
        for (kind, p) in KINDS.into_iter().flat_map(|kind| [1, 2, 3, 5].map(|p| (kind, p))) {
            let flow = transport(kind, p, precision);
            let (u, context) = (normal(&[500, p], precision) * 1.5, normal(&[500, 2], precision));
            let z = flow.forward(&u, &context).0;
            let moved = (&z - &u).abs().max().double_value(&[]);
            assert!(moved > 0.1 && z.kind() == precision, "{kind:?}, p = {p}: nothing happens");
            // Rounding grows where a map is steep.
            let off = (flow.inverse(&z, &context) - &u).abs() / (u.abs() + 1.0);
            let off = off.max().double_value(&[]);
            assert!(off < within, "{kind:?}, p = {p}, {precision:?}: {off}");
        }
    }
}

/// Row i: ∂z_i/∂u.
fn jacobian(z: &Tensor, u: &Tensor) -> Tensor {
    let p = z.size()[1];
    let rows = (0..p).map(|i| Tensor::run_backward(&[z.select(1, i).sum(Kind::Double)], &[u], true, false).remove(0));
    Tensor::stack(&rows.collect::<Vec<_>>(), 1)
}

#[test]
fn determinants_are_those_of_autograd() {
    let _alone = alone();
    for (kind, p) in KINDS.into_iter().flat_map(|kind| [1, 2, 4].map(|p| (kind, p))) {
        let flow = transport(kind, p, Kind::Double);
        let (u, context) = (normal(&[200, p], Kind::Double).set_requires_grad(true), normal(&[200, 2], Kind::Double));
        let (z, ln) = flow.forward(&u, &context);
        let expected = jacobian(&z, &u).slogdet().1;
        let off = (&ln - &expected).abs().max().double_value(&[]);
        assert!(off < 1e-9, "{kind:?}, p = {p}: {off}");
        // And ln q is ln N(z) and that.
        let base = (z.square() * -0.5 - 0.5 * std::f64::consts::TAU.ln()).sum_dim_intlist(1i64, false, Kind::Double);
        let q = flow.ln_density(u.shallow_clone(), ln.zeros_like(), &context, None);
        assert!((q - base - expected).abs().max().double_value(&[]) < 1e-9, "{kind:?}, p = {p}");
    }
}

/// A sort of prior, as a function of a number on the line: θ and ln dθ/ds.
type Support = (Distribution, fn(&Tensor) -> (Tensor, Tensor));

const SUPPORTS: [Support; 3] = [
    (Distribution::Uniform { min: -1.0, max: 3.0 }, |s| {
        (s.sigmoid() * 4.0 - 1.0, s.log_sigmoid() + (-s).log_sigmoid() + 4f64.ln())
    }),
    (Distribution::LogNormal { mean: 0.3, sigma: 0.5, min: 0.0, max: f64::INFINITY }, |s| {
        let s = s * 0.5 + 0.3;
        (s.exp(), s + 0.5f64.ln())
    }),
    (Distribution::Normal { mean: 1.0, sigma: 2.0, min: f64::NEG_INFINITY, max: f64::INFINITY }, |s| {
        (s * 2.0 + 1.0, s.zeros_like() + 2f64.ln())
    }),
];

fn prior(of: &[Distribution]) -> Prior {
    let one = |(j, d): (usize, &Distribution)| Parameter {
        distribution: *d,
        ..Parameter::uniform(format!("t{j}"), "", 0.0, 1.0)
    };
    Prior::new(of.iter().enumerate().map(one).collect()).unwrap()
}

fn flow(kind: FlowKind, prior: &Prior) -> Flow {
    polycosm::nets::seed(prior.len() as i64);
    let mut vs = VarStore::new(Device::Cpu);
    vs.set_kind(Kind::Double);
    let flow = Flow::new(&vs.root(), prior, 1, &config(kind));
    learned(&vs);
    flow
}

/// n points in the middle of as many steps of a line, of this width in all.
fn line(n: i64, width: f64) -> Tensor {
    (Tensor::arange(n, (Kind::Double, Device::Cpu)) + 0.5) * (width / n as f64) - 0.5 * width
}

fn context(like: &Tensor) -> Tensor {
    Tensor::full([like.size()[0], 1], 0.7, (Kind::Double, Device::Cpu))
}

/// (n, n): the mass in each cell of two parameters, on such lines.
fn masses(flow: &Flow, [a, b]: [&Support; 2], n: i64, width: f64) -> Tensor {
    let s = line(n, width);
    let [(t, ln_t), (v, ln_v)] = [a.1(&s), b.1(&s)];
    let theta = Tensor::stack(&[t.repeat_interleave_self_int(n, None, None), v.repeat([n])], 1);
    let ln = flow.log_prob(&theta, &context(&theta)).view([n, n]) + ln_t.unsqueeze(1) + ln_v.unsqueeze(0);
    ln.exp() * (width / n as f64).powi(2)
}

#[test]
fn densities_integrate_to_one() {
    let _alone = alone();
    for kind in KINDS {
        for (i, one) in SUPPORTS.iter().enumerate() {
            let flow1 = flow(kind, &prior(&[one.0]));
            let (n, width) = (20_000, 26.0);
            let (theta, ln) = one.1(&line(n, width));
            let theta = theta.unsqueeze(1);
            let ln = flow1.log_prob(&theta, &context(&theta)) + ln;
            let whole = ln.exp().sum(Kind::Double).double_value(&[]) * width / n as f64;
            assert!((whole - 1.0).abs() < 1e-3, "{kind:?} over {:?}: {whole}", one.0);
            let other = &SUPPORTS[(i + 1) % 3];
            let flow2 = flow(kind, &prior(&[one.0, other.0]));
            let whole = masses(&flow2, [one, other], 400, 24.0).sum(Kind::Double).double_value(&[]);
            assert!((whole - 1.0).abs() < 1e-3, "{kind:?} over {:?} and {:?}: {whole}", one.0, other.0);
        }
        let boxed = flow(kind, &prior(&[SUPPORTS[0].0]));
        let beyond = Tensor::from_slice(&[-1.001, 3.001]).view([2, 1]);
        assert!(host(&boxed.log_prob(&beyond, &context(&beyond))).iter().all(|ln| *ln == f64::NEG_INFINITY));
    }
}

/// The largest difference between a sample's distribution function and another.
fn kolmogorov(mut sample: Vec<f64>, at: &[f64], function: &[f64]) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let off = |(s, f): (&f64, &f64)| (sample.partition_point(|x| x <= s) as f64 / n - f).abs();
    at.iter().zip(function).map(off).fold(0.0, f64::max)
}

#[test]
fn draws_follow_the_density() {
    let _alone = alone();
    let (a, b) = (&SUPPORTS[0], &SUPPORTS[2]);
    for kind in KINDS {
        let flow = flow(kind, &prior(&[a.0, b.0]));
        let (n, width, draws) = (400, 24.0, 20_000);
        let masses = masses(&flow, [a, b], n, width);
        polycosm::nets::seed(5);
        let z = normal(&[draws, 2], Kind::Double);
        let theta = flow.sample(&z, &context(&z));
        for (j, support) in [a, b].into_iter().enumerate() {
            let own = masses.sum_dim_intlist(1 - j as i64, false, Kind::Double).cumsum(0, Kind::Double);
            let ends = support.1(&(line(n, width) + 0.5 * width / n as f64)).0;
            let off = kolmogorov(host(&theta.select(1, j as i64)), &host(&ends), &host(&own));
            // One in ten thousand is above 2.23/√n.
            assert!(off < 2.23 / (draws as f64).sqrt(), "{kind:?}: parameter {j} is {off} off");
        }
        // Which goes with which: the mean of ln q is minus the entropy.
        let ln = host(&flow.log_prob(&theta, &context(&theta)));
        let (t, v) = (a.1(&line(n, width)).1, b.1(&line(n, width)).1);
        let cell = (width / n as f64).ln() * 2.0;
        let each = (masses.clamp_min(1e-300).log() - cell - t.unsqueeze(1) - v.unsqueeze(0)) * &masses;
        let expected = each.sum(Kind::Double).double_value(&[]);
        let mean = ln.iter().sum::<f64>() / ln.len() as f64;
        let sd = (ln.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / ln.len() as f64).sqrt();
        assert!((mean - expected).abs() < 4.0 * sd / (draws as f64).sqrt(), "{kind:?}: {mean}, not {expected}");
    }
}

#[test]
fn slopes_are_those_of_differences() {
    let _alone = alone();
    let prior = prior(&SUPPORTS.map(|s| s.0));
    for kind in KINDS {
        let flow = flow(kind, &prior);
        let s = normal(&[50, 3], Kind::Double);
        let theta: Vec<Tensor> = SUPPORTS.iter().zip(0..).map(|(of, j)| of.1(&s.select(1, j)).0).collect();
        let theta = Tensor::stack(&theta, 1).set_requires_grad(true);
        let ln = |theta: &Tensor| flow.log_prob(theta, &context(theta));
        let slope = Tensor::run_backward(&[ln(&theta).sum(Kind::Double)], &[&theta], false, false).remove(0);
        for j in 0..3 {
            let step = Tensor::zeros([1, 3], (Kind::Double, Device::Cpu));
            let _ = step.get(0).get(j).fill_(1e-6);
            let theta = theta.detach();
            let differences = (ln(&(&theta + &step)) - ln(&(&theta - &step))) / 2e-6;
            let off = (slope.select(1, j) - &differences).abs() / (differences.abs() + 1.0);
            // Splines have kinks of the slope, which few points are at.
            let off = host(&off).into_iter().filter(|off| *off > 1e-5).count();
            assert!(off <= if kind == FlowKind::Smooth { 0 } else { 1 }, "{kind:?}, parameter {j}: {off} slopes");
        }
    }
}

/// The largest step of d² ln q/du² between neighbours on a line that is 6 long.
fn jump(flow: &Transport, n: i64) -> f64 {
    let u = line(n, 6.0).unsqueeze(1).set_requires_grad(true);
    let context = Tensor::full([n, 2], 0.7, (Kind::Double, Device::Cpu));
    let ln = flow.ln_density(u.shallow_clone(), Tensor::zeros([n], (Kind::Double, Device::Cpu)), &context, None);
    let first = Tensor::run_backward(&[ln.sum(Kind::Double)], &[&u], true, true).remove(0);
    let second = Tensor::run_backward(&[first.sum(Kind::Double)], &[&u], false, false).remove(0).view([-1]);
    (second.narrow(0, 1, n - 1) - second.narrow(0, 0, n - 1)).abs().max().double_value(&[])
}

/// Steps become smaller with those of the line; where a second derivative jumps, it jumps however near one looks.
#[test]
fn curvatures_are_continuous_but_for_splines() {
    let _alone = alone();
    for kind in KINDS {
        let flow = transport(kind, 1, Kind::Double);
        let [fine, coarse] = [16_000, 4_000].map(|n| jump(&flow, n));
        match kind {
            FlowKind::SplineAutoregressive | FlowKind::SplineCoupling => {
                assert!(fine > 0.8 * coarse && coarse > 1e-3, "{kind:?}: {fine}, {coarse}")
            }
            FlowKind::Maf | FlowKind::RealNvp => assert!(coarse < 1e-9, "a Gaussian: {coarse}"),
            _ => assert!(fine < 0.3 * coarse, "{kind:?}: {fine}, {coarse}"),
        }
    }
}

/// Two dimensions of which one does not vary: the density of the other by itself.
#[test]
fn what_is_not_active_has_no_density() {
    let _alone = alone();
    let active = Tensor::from_slice(&[1.0, 0.0, 1.0]);
    for kind in KINDS {
        let flow = transport(kind, 3, Kind::Double);
        let (n, width) = (400, 24.0);
        let (a, b) = (line(n, width).repeat_interleave_self_int(n, None, None), line(n, width).repeat([n]));
        let u = Tensor::stack(&[&a, &a.zeros_like(), &b], 1);
        let context = Tensor::full([n * n, 2], 0.7, (Kind::Double, Device::Cpu));
        let ln = flow.ln_density(u, a.zeros_like(), &context, Some(&active));
        let whole = ln.exp().sum(Kind::Double).double_value(&[]) * (width / n as f64).powi(2);
        assert!((whole - 1.0).abs() < 1e-3, "{kind:?}: {whole}");
    }
}

#[test]
fn untrained_flows_are_the_identity_or_nearly() {
    let _alone = alone();
    for kind in KINDS {
        polycosm::nets::seed(3);
        let mut vs = VarStore::new(Device::Cpu);
        vs.set_kind(Kind::Double);
        let flow = Transport::new(&vs.root(), 2, 2, &config(kind));
        let (u, context) = (normal(&[4000, 2], Kind::Double), normal(&[4000, 2], Kind::Double));
        let ln = flow.ln_density(u.shallow_clone(), Tensor::zeros([4000], (Kind::Double, Device::Cpu)), &context, None);
        let base = (u.square() * -0.5 - 0.5 * std::f64::consts::TAU.ln()).sum_dim_intlist(1i64, false, Kind::Double);
        let off = (base - ln).mean(Kind::Double).double_value(&[]);
        let most = if matches!(kind, FlowKind::Smooth | FlowKind::Mixture) { 2e-2 } else { 1e-12 };
        assert!(off.abs() < most, "{kind:?}: {off} nats");
    }
}
