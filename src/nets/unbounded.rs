//! Parameters to unbounded space and back, each as its prior says: a box by the logit, a half-line by the logarithm of the
//! distance from its edge, the line as it is; all standardised.

use crate::prior::{Coordinate, Distribution, Prior};
use tch::{Device, Kind, Tensor};

/// Nearer to the edge of a half-line, in units of the median's distance, is as good as this near.
const LEAST: f64 = 1e-12;

/// The maps of p parameters.
pub struct Unbounded {
    alike: Vec<Alike>,
    /// Where each parameter is among those of `alike`, one group after the other.
    places: Tensor,
    /// Beyond these there is no density, (p) each: [`Distribution::reach`].
    reach: (Tensor, Tensor),
}

/// Parameters of one sort of map, (k) each.
struct Alike {
    columns: Tensor,
    /// Edge, side of it, and least distance from it.
    log: Option<[Tensor; 3]>,
    low: Tensor,
    width: Tensor,
    boxed: bool,
}

impl Unbounded {
    /// The maps that a prior's parameters ask for.
    pub fn new(prior: &Prior, device: Device) -> Self {
        let numbers = |f: &dyn Fn(&Distribution) -> f64| {
            let values: Vec<f64> = prior.parameters.iter().map(|q| f(&q.distribution)).collect();
            Tensor::from_slice(&values).to_device(device)
        };
        let all: Vec<Coordinate> = prior.parameters.iter().map(|q| q.distribution.coordinate()).collect();
        let indices = |list: &[usize]| {
            Tensor::from_slice(&list.iter().map(|&j| j as i64).collect::<Vec<i64>>()).to_device(device)
        };
        let (mut alike, mut order) = (vec![], vec![]);
        for (log, boxed) in [(false, true), (true, true), (true, false), (false, false)] {
            let here: Vec<usize> =
                (0..all.len()).filter(|&j| (all[j].log.is_some(), all[j].boxed) == (log, boxed)).collect();
            if here.is_empty() {
                continue;
            }
            let of = |f: &dyn Fn(&Coordinate) -> f64| {
                Tensor::from_slice(&here.iter().map(|&j| f(&all[j])).collect::<Vec<f64>>()).to_device(device)
            };
            let edge = |c: &Coordinate| c.log.unwrap_or_default();
            let log = log.then(|| [of(&|c| edge(c).0), of(&|c| edge(c).1), of(&|c| LEAST * c.low.exp())]);
            alike.push(Alike { columns: indices(&here), log, low: of(&|c| c.low), width: of(&|c| c.width), boxed });
            order.extend(here);
        }
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &j)| places[j] = place);
        let reach = (numbers(&|q| q.reach().0), numbers(&|q| q.reach().1));
        Unbounded { alike, places: indices(&places), reach }
    }

    /// Rows (n) of θ (n, p) for which there is no density.
    pub fn outside(&self, theta: &Tensor) -> Tensor {
        theta.lt_tensor(&self.reach.0).logical_or(&theta.gt_tensor(&self.reach.1)).any_dim(-1, false)
    }

    /// u and ln |dθ/du|, (n, p) of this kind each, at θ (n, p).
    pub fn forward(&self, theta: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        if let [only] = &self.alike[..] {
            return only.forward(theta, kind);
        }
        let each = self.alike.iter().map(|a| a.forward(&theta.index_select(-1, &a.columns), kind));
        let (u, ln): (Vec<Tensor>, Vec<Tensor>) = each.unzip();
        (self.together(&u), self.together(&ln))
    }

    /// θ (n, p) in double precision, at u (n, p).
    pub fn inverse(&self, u: &Tensor) -> Tensor {
        if let [only] = &self.alike[..] {
            return only.inverse(u);
        }
        let each = self.alike.iter().map(|a| a.inverse(&u.index_select(-1, &a.columns)));
        self.together(&each.collect::<Vec<_>>())
    }

    fn together(&self, parts: &[Tensor]) -> Tensor {
        Tensor::cat(parts, -1).index_select(-1, &self.places)
    }
}

impl Alike {
    fn forward(&self, theta: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        let t = match &self.log {
            Some([edge, side, least]) => ((theta - edge) * side).maximum(least).log(),
            None => theta.shallow_clone(),
        };
        let unit = ((&t - &self.low) / &self.width).to_kind(kind);
        let ln_width = self.width.log().to_kind(kind);
        let (u, ln) = if self.boxed {
            let unit = unit.clamp(1e-6, 1.0 - 1e-6);
            (unit.logit(None::<f64>), unit.log() + (-&unit + 1.0).log() + ln_width)
        } else {
            let ln = unit.zeros_like() + ln_width;
            (unit, ln)
        };
        (u, if self.log.is_some() { ln + t.to_kind(kind) } else { ln })
    }

    fn inverse(&self, u: &Tensor) -> Tensor {
        let unit = if self.boxed { u.sigmoid() } else { u.shallow_clone() };
        let t = unit.to_kind(Kind::Double) * &self.width + &self.low;
        match &self.log {
            Some([edge, side, _]) => t.exp() * side + edge,
            None => t,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::host;
    use crate::prior::Parameter;

    fn prior(all: &[Distribution]) -> Prior {
        let one = |(j, d): (usize, &Distribution)| Parameter {
            distribution: *d,
            ..Parameter::uniform(format!("t{j}"), "", 0.0, 1.0)
        };
        Prior::new(all.iter().enumerate().map(one).collect()).unwrap()
    }

    /// (n, p): a point in each of n slices of every parameter.
    fn points(prior: &Prior, n: usize) -> Tensor {
        let slice = |i: usize, j: usize| ((i * (2 * j + 1)) % n) as f64;
        let unit = |i| (0..prior.len()).map(|j| (slice(i, j) + 0.5) / n as f64).collect::<Vec<f64>>();
        let theta: Vec<f64> = (0..n).flat_map(|i| prior.from_unit(&unit(i))).collect();
        Tensor::from_slice(&theta).view([n as i64, -1])
    }

    #[test]
    fn boxes_are_mapped_as_ever_to_the_last_bit() {
        let boxes = [Distribution::Uniform { min: 0.1, max: 0.5 }, Distribution::Uniform { min: -3.0, max: 67.4 }];
        let prior = prior(&boxes);
        let (low, width) = (Tensor::from_slice(&[0.1, -3.0]), Tensor::from_slice(&[0.5 - 0.1, 67.4 - -3.0]));
        let theta = points(&prior, 64);
        for kind in [Kind::Float, Kind::Double] {
            let unit = ((&theta - &low) / &width).to_kind(kind).clamp(1e-6, 1.0 - 1e-6);
            let jacobian = unit.log() + (-&unit + 1.0).log() + width.log().to_kind(kind);
            let maps = Unbounded::new(&prior, Device::Cpu);
            let (u, ln) = maps.forward(&theta, kind);
            assert!(u.equal(&unit.logit(None::<f64>)) && ln.equal(&jacobian));
            assert!(maps.inverse(&u).equal(&(u.sigmoid().to_kind(Kind::Double) * &width + &low)));
        }
    }

    #[test]
    fn every_support_is_mapped_to_the_line_and_back() {
        let normal = |min, max| Distribution::Normal { mean: 0.3, sigma: 0.1, min, max };
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let all = [
            normal(low, high),
            Distribution::Uniform { min: 0.1, max: 0.5 },
            normal(0.1, high),
            Distribution::LogUniform { min: 1e-4, max: 10.0 },
            normal(low, 0.4),
            normal(0.2, 0.35),
        ];
        let prior = prior(&all);
        let (maps, theta) = (Unbounded::new(&prior, Device::Cpu), points(&prior, 97));
        let (u, ln) = maps.forward(&theta, Kind::Double);
        assert!(host(&(maps.inverse(&u) - &theta).abs().max())[0] < 1e-12);
        assert!(host(&u.abs().max())[0] < 8.0, "of order 1");
        let step = 1e-4;
        let slope = (maps.inverse(&(&u + step)) - maps.inverse(&(&u - step))) / (2.0 * step);
        assert!(host(&(slope.abs().log() - ln).abs().max())[0] < 1e-5);
        // On an edge, and beyond one: numbers all the same, and told apart.
        let edges = Tensor::from_slice(&[0.3, 0.1, 0.1, 1e-4, 0.4, 0.2, 0.3, 0.1, 0.05, 1e-4, 0.4, 0.2]).view([2, 6]);
        let (u, ln) = maps.forward(&edges, Kind::Double);
        assert!(host(&u).iter().chain(&host(&ln)).all(|v| v.is_finite()));
        assert_eq!(host(&maps.outside(&edges)), [0.0, 1.0]);
    }
}
