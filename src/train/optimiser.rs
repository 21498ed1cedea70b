//! Optimisers over one flat buffer: parameters are views into it, so that a step is a handful of vector operations, the
//! gradient all-reduce one message, and a checkpoint a few tensors.

use super::steps::StepsConfig;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::{Optimiser, Part, Rule};
use crate::nets::put;
use num_traits::Float;
use tch::{Device, Kind, Tensor};

/// Numbers from which on several threads share a step.
const SHARED: usize = 1 << 18;

/// A part's trainable parameters in one buffer, with the optimiser's state.
pub struct Flat {
    pub name: String,
    rule: Rule,
    optimiser: Optimiser,
    /// Sorted by name, so that every process has the same order.
    pub(super) variables: Vec<Tensor>,
    pub parameters: Tensor,
    pub first: Tensor,
    pub second: Tensor,
    /// Exponential average of the parameters, where the stage has one.
    pub average: Option<Tensor>,
    pub steps: i64,
    betas: [f64; 2],
    momentum: f64,
    ema: f64,
}

impl Flat {
    /// Moves a part's trainable variables into one buffer; `rule` is the stage's.
    pub fn new(part: &Part, rule: Rule) -> Self {
        let mut named: Vec<(String, Tensor)> =
            part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut variables: Vec<Tensor> = named.into_iter().map(|(_, t)| t).collect();
        let parameters = match variables.is_empty() {
            true => Tensor::zeros([0], (part.vs.kind(), part.vs.device())),
            false => joined(variables.iter().map(Tensor::shallow_clone)),
        };
        let parameters = parameters.detach().copy();
        let mut at = 0;
        for t in &mut variables {
            let n = t.numel() as i64;
            t.set_data(&parameters.narrow(0, at, n).view(t.size().as_slice()));
            at += n;
        }
        let (first, second) = (parameters.zeros_like(), parameters.zeros_like());
        let (name, optimiser) = (part.name.clone(), part.optimiser.clone());
        let rule = optimiser.rule.unwrap_or(rule);
        let StepsConfig { betas, momentum, .. } = StepsConfig::default();
        let (betas, momentum) = (optimiser.betas.unwrap_or(betas), optimiser.momentum.unwrap_or(momentum));
        let (average, steps, ema) = (None, 0, 0.0);
        Flat { name, rule, optimiser, variables, parameters, first, second, average, steps, betas, momentum, ema }
    }

    /// The same with a stage's steps.
    pub fn with(self, steps: &StepsConfig) -> Self {
        let (betas, momentum) = (self.optimiser.betas, self.optimiser.momentum);
        let average = (steps.ema > 0.0).then(|| self.parameters.copy());
        Flat {
            betas: betas.unwrap_or(steps.betas),
            momentum: momentum.unwrap_or(steps.momentum),
            ema: steps.ema,
            average,
            ..self
        }
    }

    /// Forgets the steps taken: another phase begins.
    pub fn refresh(&mut self) {
        (self.first, self.second, self.steps) = (self.parameters.zeros_like(), self.parameters.zeros_like(), 0);
        self.average = self.average.is_some().then(|| self.parameters.copy());
    }

    /// One step along a gradient; `rate` and `decay` are the stage's.
    pub fn step(&mut self, gradient: &Tensor, rate: f64, decay: f64) {
        let (rate, decay) = (rate * self.optimiser.rate, self.optimiser.decay.unwrap_or(decay));
        tch::no_grad(|| {
            self.steps += 1;
            match self.rule {
                Rule::Sgd => {
                    let mut g = gradient + &self.parameters * decay;
                    if self.momentum > 0.0 {
                        let _ = self.first.g_mul_scalar_(self.momentum).g_add_(&g);
                        g = self.first.shallow_clone();
                    }
                    let _ = self.parameters.g_sub_(&(g * rate));
                }
                Rule::Adamw => {
                    let ([b1, b2], t) = (self.betas, self.steps as i32);
                    let (c1, c2) = (1.0 - f64::powi(b1, t), 1.0 - f64::powi(b2, t));
                    let numbers = Adamw { keep: 1.0 - rate * decay, b1, b2, c2, rate: rate / c1 };
                    let all = [&self.parameters, &self.first, &self.second, gradient];
                    if !(numbers.in_one_pass::<f32>(all) || numbers.in_one_pass::<f64>(all)) {
                        numbers.by_tensors([&mut self.parameters, &mut self.first, &mut self.second], gradient);
                    }
                }
            }
            if let Some(average) = &mut self.average {
                let t = self.steps as f64;
                let left = self.ema.min((1.0 + t) / (10.0 + t));
                let _ = average.g_mul_scalar_(left).g_add_(&(&self.parameters * (1.0 - left)));
            }
            // Autograd counts writes to each variable, not to the buffer behind it: a graph that is older than this
            // step must not be followed any more.
            self.variables.iter().for_each(|t| drop(t.detach().reshape([-1]).narrow(0, 0, 0).zero_()));
        });
    }
}

impl Flat {
    /// Puts the average in the parameters' place, or these back.
    pub fn exchange(&mut self) {
        if let Some(average) = &self.average {
            let parameters = self.parameters.copy();
            put(&self.parameters, average);
            put(average, &parameters);
        }
    }
}

/// The numbers of one step of AdamW: what decay leaves of a weight, the averages' β, 1 − β₂ᵗ, and the rate over 1 − β₁ᵗ.
struct Adamw {
    keep: f64,
    b1: f64,
    b2: f64,
    c2: f64,
    rate: f64,
}

const EPSILON: f64 = 1e-8;

impl Adamw {
    /// Parameters, both averages and the gradient are each gone through once; false where they are not in the processor's memory,
    /// in this precision. Operations on whole vectors give the same but for rounding.
    fn in_one_pass<T: Number>(&self, all: [&Tensor; 4]) -> bool {
        let [Some(p), Some(m), Some(v), Some(g)] = all.map(numbers::<T>) else { return false };
        let of = |x: f64| T::from(x).unwrap_or_else(T::nan);
        let [keep, b1, n1, b2] = [self.keep, self.b1, 1.0 - self.b1, self.b2].map(of);
        let [n2, c2, epsilon, rate] = [1.0 - self.b2, self.c2, EPSILON, self.rate].map(of);
        let pass = |p: &mut [T], m: &mut [T], v: &mut [T], g: &[T]| {
            for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
                *m = *m * b1 + g * n1;
                *v = *v * b2 + g * g * n2;
                *p = *p * keep - *m / ((*v / c2).sqrt() + epsilon) * rate;
            }
        };
        let threads = if p.len() < SHARED { 1 } else { tch::get_num_threads().max(1) as usize };
        let each = p.len().div_ceil(threads).max(1);
        let parts = p.chunks_mut(each).zip(m.chunks_mut(each)).zip(v.chunks_mut(each)).zip(g.chunks(each));
        match threads {
            1 => parts.for_each(|(((p, m), v), g)| pass(p, m, v, g)),
            _ => std::thread::scope(|scope| {
                parts.for_each(|(((p, m), v), g)| drop(scope.spawn(move || pass(p, m, v, g))));
            }),
        }
        true
    }

    /// On whole vectors, wherever they are.
    fn by_tensors(&self, [p, m, v]: [&mut Tensor; 3], g: &Tensor) {
        let _ = m.g_mul_scalar_(self.b1).g_add_(&(g * (1.0 - self.b1)));
        let _ = v.g_mul_scalar_(self.b2).g_add_(&(g * g * (1.0 - self.b2)));
        let update = &*m / ((&*v / self.c2).sqrt() + EPSILON) * self.rate;
        let _ = p.g_mul_scalar_(self.keep).g_sub_(&update);
    }
}

/// What networks compute in.
trait Number: Float + Send + Sync {
    const KIND: Kind;
}
impl Number for f32 {
    const KIND: Kind = Kind::Float;
}
impl Number for f64 {
    const KIND: Kind = Kind::Double;
}

/// A tensor's numbers where they are; `None`: they are on another device, of another type or not in one piece.
#[allow(clippy::mut_from_ref, reason = "libtorch's tensors are handles of memory that they share")]
fn numbers<T: Number>(t: &Tensor) -> Option<&mut [T]> {
    if t.device() != Device::Cpu || t.kind() != T::KIND || !t.is_contiguous() {
        return None;
    }
    if t.numel() == 0 {
        return Some(&mut []);
    }
    // SAFETY: so many numbers of this type lie there as long as the tensor lives; whoever calls has the only reference to them
    // while the slice lives, for each tensor is given once and no operation of libtorch runs meanwhile.
    Some(unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast(), t.numel()) })
}

/// Tensors as one vector.
pub(super) fn joined(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    tch::no_grad(|| Tensor::cat(&tensors.map(|t| t.flatten(0, -1)).collect::<Vec<_>>(), 0))
}

/// A vector summed over ranks: where it lies, if that is in the processor's memory. Collective.
pub(super) fn summed(comm: &Comm, t: Tensor) -> Result<Tensor> {
    if comm.size() == 1 {
        return Ok(t);
    }
    let host = t.to_device(Device::Cpu).contiguous();
    if let Some(numbers) = numbers::<f64>(&host) {
        comm.sum(numbers);
    } else if let Some(numbers) = numbers::<f32>(&host) {
        comm.sum(numbers);
    } else {
        return Err(Error::failed(format!("gradients of type {:?} cannot be summed", t.kind())));
    }
    Ok(host.to_device(t.device()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::host;
    use tch::nn;

    /// A part of so many weights.
    fn flat(n: i64, kind: Kind, rule: Rule, steps: &StepsConfig) -> Flat {
        let mut vs = nn::VarStore::new(Device::Cpu);
        let _ = vs.root().var("w", &[n], nn::Init::Randn { mean: 0.0, stdev: 1.0 });
        vs.set_kind(kind);
        Flat::new(&Part::new("part", vs), rule).with(steps)
    }

    #[test]
    fn one_pass_is_that_of_whole_vectors_to_rounding() {
        crate::nets::seed(1);
        for (n, kind) in [(1000, Kind::Float), (1000, Kind::Double), (SHARED as i64 + 7, Kind::Float)] {
            let mut fused = flat(n, kind, Rule::Adamw, &StepsConfig::default());
            let [mut p, mut m, mut v] = [&fused.parameters, &fused.first, &fused.second].map(Tensor::copy);
            for t in 1..4 {
                let g = Tensor::randn([n], (kind, Device::Cpu)) * 0.1;
                fused.step(&g, 1e-3, 0.01);
                let (c1, c2) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
                let numbers = Adamw { keep: 1.0 - 1e-3 * 0.01, b1: 0.9, b2: 0.999, c2, rate: 1e-3 / c1 };
                tch::no_grad(|| numbers.by_tensors([&mut p, &mut m, &mut v], &g));
            }
            let rounding = if kind == Kind::Float { 1e-5 } else { 1e-12 };
            for (one, other) in [(&p, &fused.parameters), (&m, &fused.first), (&v, &fused.second)] {
                let apart = (one - other).abs().max().double_value(&[]);
                assert!(apart < rounding, "{n} numbers in {kind:?}: {apart} apart");
            }
        }
    }

    #[test]
    fn steps_are_what_their_papers_say() {
        crate::nets::seed(2);
        let gradients = [[0.5, -2.0], [1.0, 0.25], [-0.75, 1.5]];
        let (rate, decay) = (0.1, 0.2);
        for (rule, momentum, betas, ema) in [
            (Rule::Adamw, 0.0, [0.8, 0.95], 0.9),
            (Rule::Sgd, 0.0, [0.9, 0.999], 0.0),
            (Rule::Sgd, 0.7, [0.9, 0.999], 0.2),
        ] {
            let mut flat = flat(2, Kind::Double, rule, &StepsConfig { momentum, betas, ema, ..StepsConfig::default() });
            let mut w = host(&flat.parameters);
            let (mut average, mut m, mut v) = (w.clone(), vec![0.0; 2], vec![0.0; 2]);
            for (t, g) in (1..).zip(gradients) {
                flat.step(&Tensor::from_slice(&g), rate, decay);
                for i in 0..2 {
                    match rule {
                        // Loshchilov & Hutter 2019, algorithm 2, with the rate in front of the decay.
                        Rule::Adamw => {
                            m[i] = betas[0] * m[i] + (1.0 - betas[0]) * g[i];
                            v[i] = betas[1] * v[i] + (1.0 - betas[1]) * g[i] * g[i];
                            let [m, v] = [m[i] / (1.0 - betas[0].powi(t)), v[i] / (1.0 - betas[1].powi(t))];
                            w[i] -= rate * (m / (v.sqrt() + 1e-8) + decay * w[i]);
                        }
                        Rule::Sgd => {
                            m[i] = momentum * m[i] + g[i] + decay * w[i];
                            w[i] -= rate * m[i];
                        }
                    }
                    let left = f64::min(ema, (1.0 + t as f64) / (10.0 + t as f64));
                    average[i] = left * average[i] + (1.0 - left) * w[i];
                }
            }
            let close = |t: &Tensor, of: &[f64]| host(t).iter().zip(of).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(close(&flat.parameters, &w), "{rule:?}");
            assert_eq!(flat.average.is_some(), ema > 0.0);
            if ema > 0.0 {
                flat.exchange();
                assert!(close(&flat.parameters, &average) && close(flat.average.as_ref().unwrap(), &w));
            }
        }
    }
}
