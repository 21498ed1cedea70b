//! Parameters to unbounded space and back, each as its prior says: a box by the logit, a half-line by the logarithm of
//! the distance from its edge, the line as it is; all standardised.

use crate::prior::{Coordinate, Prior};
use tch::{Device, Kind, Tensor};

/// Nearer to the edge of a half-line, in units of the median's distance, is as good as this near.
const LEAST: f64 = 1e-12;

/// The maps of p parameters.
pub struct Unbounded {
    alike: Vec<Alike>,
    /// Where each parameter is among those of `alike`, one group after the other.
    places: Tensor,
    /// Beyond these there is no density, (p) each: [`crate::prior::Distribution::reach`].
    reach: [Tensor; 2],
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
        let (low, high): (Vec<f64>, Vec<f64>) = prior.parameters.iter().map(|q| q.distribution.reach()).unzip();
        let reach = [low, high].map(|ends| Tensor::from_slice(&ends).to_device(device));
        Unbounded { alike, places: indices(&places), reach }
    }

    /// Rows (n) of θ (n, p) for which there is no density.
    pub fn outside(&self, theta: &Tensor) -> Tensor {
        theta.lt_tensor(&self.reach[0]).logical_or(&theta.gt_tensor(&self.reach[1])).any_dim(-1, false)
    }

    /// u and ln |dθ/du|, (n, p) of this kind each, at θ (n, p).
    pub fn forward(&self, theta: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        let each = self.alike.iter().map(|a| a.forward(&theta.index_select(-1, &a.columns), kind));
        let (u, ln): (Vec<Tensor>, Vec<Tensor>) = each.unzip();
        (self.together(&u), self.together(&ln))
    }

    /// The coordinates r (n, p) whose logit, or which themselves, u is: a box is [0, 1]; and ln |dθ/dr|. In double precision.
    pub fn unit(&self, theta: &Tensor) -> (Tensor, Tensor) {
        let each = self.alike.iter().map(|a| a.unit(&theta.index_select(-1, &a.columns).to_kind(Kind::Double)));
        let (r, ln): (Vec<Tensor>, Vec<Tensor>) = each.unzip();
        (self.together(&r), self.together(&ln))
    }

    /// θ (n, p) in double precision, at r (n, p).
    pub fn of_unit(&self, r: &Tensor) -> Tensor {
        let each = self.alike.iter().map(|a| a.of_unit(&r.index_select(-1, &a.columns)));
        self.together(&each.collect::<Vec<_>>())
    }

    /// θ (n, p) in double precision, at u (n, p).
    pub fn inverse(&self, u: &Tensor) -> Tensor {
        let each = self.alike.iter().map(|a| a.inverse(&u.index_select(-1, &a.columns)));
        self.together(&each.collect::<Vec<_>>())
    }

    /// θ in double precision and ln |dθ/du| of all parameters together, (n, p) and (n), at u (n, p); however far out.
    pub fn stretched(&self, u: &Tensor) -> (Tensor, Tensor) {
        let each = self.alike.iter().map(|a| a.stretched(&u.index_select(-1, &a.columns).to_kind(Kind::Double)));
        let (theta, ln): (Vec<Tensor>, Vec<Tensor>) = each.unzip();
        (self.together(&theta), self.together(&ln).sum_dim_intlist(-1i64, false, Kind::Double))
    }

    fn together(&self, parts: &[Tensor]) -> Tensor {
        Tensor::cat(parts, -1).index_select(-1, &self.places)
    }
}

impl Alike {
    /// r and ln |dθ/dr|.
    fn unit(&self, theta: &Tensor) -> (Tensor, Tensor) {
        let t = match &self.log {
            Some([edge, side, least]) => ((theta - edge) * side).maximum(least).log(),
            None => theta.shallow_clone(),
        };
        let (r, ln) = ((&t - &self.low) / &self.width, t.zeros_like() + self.width.log());
        (r, if self.log.is_some() { ln + t } else { ln })
    }

    fn forward(&self, theta: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        let (r, ln) = self.unit(theta);
        let (r, ln) = (r.to_kind(kind), ln.to_kind(kind));
        if !self.boxed {
            return (r, ln);
        }
        let r = r.clamp(1e-6, 1.0 - 1e-6);
        (r.logit(None::<f64>), r.log() + (-&r + 1.0).log() + ln)
    }

    fn inverse(&self, u: &Tensor) -> Tensor {
        let unit = if self.boxed { u.sigmoid() } else { u.shallow_clone() };
        self.of_unit(&unit.to_kind(Kind::Double))
    }

    fn stretched(&self, u: &Tensor) -> (Tensor, Tensor) {
        let (r, ln) = match self.boxed {
            true => (u.sigmoid(), u.log_sigmoid() + (-u).log_sigmoid()),
            false => (u.shallow_clone(), u.zeros_like()),
        };
        let ln = ln + self.width.log();
        let ln = if self.log.is_some() { ln + &r * &self.width + &self.low } else { ln };
        (self.of_unit(&r), ln)
    }

    fn of_unit(&self, r: &Tensor) -> Tensor {
        let t = r * &self.width + &self.low;
        match &self.log {
            Some([edge, side, _]) => t.exp() * side + edge,
            None => t,
        }
    }
}
