//! What happens to inputs before a network sees them: a monotonic transform, then mean 0 and variance 1.
//!
//! Everything up to there is done in double precision, so that a small signal on a large offset survives. What does not
//! vary in training drops out, for nothing can be learned of it; location and scale are those of all but a few wild
//! samples, and what lies far out is drawn in by a logarithm, so that it stays finite and leaves the others alone.

use super::familiar::{Familiar, Novelty};
use super::statistics::{Bends, Core, bends, core, in_parts, none_like, quantiles};
use super::transform::{Each, Transform};
use crate::error::{Error, Result};
use tch::{Device, Kind, Tensor, nn};

/// Samples that are looked at a time.
const CHUNK: i64 = 64;
/// Numbers of cubes that are looked at a time.
const CUBES: i64 = 1 << 24;

/// Units in the last place by which a constant may differ: rounding of single numbers, and of long sums in double
/// precision.
const ROUNDING: [(f64, f64); 2] = [(f32::EPSILON as f64, 16.0), (f64::EPSILON, 1024.0)];

/// Standardised numbers up to here (or ten times what is usual among the training samples' largest, for maps with
/// peaks) are left as they are; L + ln(1 + |z| − L) beyond.
const LIMIT: f64 = 10.0;

/// Kind and device of numbers that are kept.
const OF: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Standardisation of numbers, each by itself (n, groups), or of the pixels of maps and cubes, channel by channel (n, groups,
/// H, W). Its state is kept with the weights.
pub struct Preprocess {
    transforms: Each,
    /// What the network computes in.
    kind: Kind,
    /// Axes of a channel's pixels: 0 of plain numbers.
    axes: usize,
    groups: i64,
    /// Of `Transform::Asinh` and `Transform::Auto`.
    unit: Tensor,
    /// Of `Transform::Auto`, where there is one: 1 for numbers that it bends, and about where.
    bent: Option<[Tensor; 2]>,
    centre: Tensor,
    scale: Tensor,
    /// 0 for what was constant in training.
    active: Tensor,
    limit: Tensor,
    familiar: Familiar,
}

/// What each sample has of each group: (n, groups) each.
struct Rows {
    mean: Tensor,
    variance: Tensor,
    low: Tensor,
    high: Tensor,
}

impl Rows {
    /// Numbers (n, groups) are their own mean.
    fn of_numbers(mean: Tensor) -> Rows {
        let (low, high) = (mean.shallow_clone(), mean.shallow_clone());
        Rows { variance: none_like(&mean), mean, low, high }
    }
}

/// Shows samples (some, …) to a function, some at a time, in order.
pub type Samples<'a> = dyn FnMut(&mut dyn FnMut(&Tensor)) -> Result<()> + 'a;

impl Preprocess {
    /// Of so many numbers, or of so many channels of pixels along so many axes.
    pub fn new(path: &nn::Path, transforms: &Each, groups: i64, axes: usize) -> Self {
        let (shape, maps) = ([vec![groups], vec![1; axes]].concat(), axes > 0);
        let one = |name: &str| super::kept(path, name, &shape, 1.0);
        Preprocess {
            transforms: transforms.clone(),
            kind: path.kind(),
            axes,
            groups,
            unit: one("unit"),
            bent: (!maps && transforms.contains(&Transform::Auto))
                .then(|| ["bent", "about"].map(|name| super::kept(path, name, &shape, 0.0))),
            centre: super::kept(path, "centre", &shape, 0.0),
            scale: one("scale"),
            active: one("active"),
            limit: super::kept(path, "limit", &shape, LIMIT),
            familiar: Familiar::new(&(path / "familiar"), if maps { 4 * groups } else { groups }),
        }
    }

    /// Refuses a list of transforms that does not divide the first axis.
    pub fn check(&self) -> Result<()> {
        let parts = self.transforms.len();
        // Of maps each channel has one; a vector's first axis is not known any more.
        if self.groups % parts as i64 == 0 && (self.axes == 0 || parts == 1 || parts as i64 == self.groups) {
            return Ok(());
        }
        let problem = format!("{parts} transforms do not fit the {} numbers or channels of a sample", self.groups);
        let remedy = "give one transform, or one for each index of the input's first axis (of maps: each channel)";
        Err(Error::input(problem).key("train.network.transform").remedy(remedy))
    }

    /// Each transform with where its part of axis 1 begins, and how long that is.
    fn parts(&self) -> impl Iterator<Item = (Transform, i64, i64)> + '_ {
        let each = &self.transforms;
        let length = self.groups / each.len() as i64;
        each.iter().enumerate().map(move |(i, &t)| (t, i as i64 * length, length))
    }

    /// In double precision.
    fn transformed(&self, x: &Tensor) -> Tensor {
        let x = x.to_kind(Kind::Double);
        let part = |(t, start, length): (Transform, i64, i64)| {
            let (x, unit) = (x.narrow(1, start, length), self.unit.narrow(0, start, length));
            match (t, &self.bent) {
                (Transform::Auto, Some(bent)) => {
                    let [bent, about] = bent.each_ref().map(|t| t.narrow(0, start, length));
                    ((&x - about) / unit).asinh().where_self(&bent.gt(0.0), &x)
                }
                _ => t.of(&x, &unit),
            }
        };
        Tensor::cat(&self.parts().map(part).collect::<Vec<_>>(), 1)
    }

    /// Runs over samples in parts of bounded size; what `f` makes of each, put together again.
    fn over<const N: usize>(&self, x: &Tensor, f: impl Fn(&Tensor) -> [Tensor; N]) -> [Tensor; N] {
        let many = if self.axes > 2 {
            (CUBES / (x.numel() as i64 / x.size()[0].max(1)).max(1)).clamp(1, CHUNK)
        } else {
            CHUNK
        };
        in_parts(x.size()[0], many, |start, len| f(&x.narrow(0, start, len)))
    }

    /// As (n, groups, pixels).
    fn pixels(&self, x: &Tensor) -> Tensor {
        x.reshape([x.size()[0], self.groups, -1])
    }

    /// Of maps (n, groups, H, W): mean, variance, least and largest of each channel's pixels.
    fn of_maps(&self, x: &Tensor) -> [Tensor; 4] {
        let y = self.pixels(&self.transformed(x));
        let mean = y.mean_dim(2i64, false, None::<Kind>);
        let variance = (&y - mean.unsqueeze(2)).square().mean_dim(2i64, false, None::<Kind>);
        [mean, variance, y.amin(2i64, false), y.amax(2i64, false)]
    }

    fn rows(&self, x: &Tensor) -> Rows {
        if self.axes == 0 {
            let [mean] = self.over(x, |x| [self.transformed(x)]);
            return Rows::of_numbers(mean);
        }
        let [mean, variance, low, high] = self.over(x, |x| self.of_maps(x));
        Rows { mean, variance, low, high }
    }

    /// The numbers by which samples are compared with the training samples: theirs, or of each channel its pixels'
    /// mean, scatter, least and largest.
    fn facts(&self, rows: Rows) -> Tensor {
        match self.axes {
            0 => rows.mean,
            _ => Tensor::cat(&[rows.mean, rows.variance.sqrt(), rows.low, rows.high], 1),
        }
    }

    /// What `f` makes of all samples, put together.
    fn of_all<const N: usize>(&self, all: &mut Samples, f: impl Fn(&Tensor) -> [Tensor; N]) -> Result<[Tensor; N]> {
        let mut parts: Vec<[Tensor; N]> = vec![];
        all(&mut |x| parts.push(self.over(x, &f)))?;
        Ok(std::array::from_fn(|i| Tensor::cat(&parts.iter().map(|part| &part[i]).collect::<Vec<_>>(), 0)))
    }

    /// Takes location, scale and range from training samples, which it goes through two or three times.
    pub fn fit(&self, all: &mut Samples) -> Result<()> {
        let _none = tch::no_grad_guard();
        let [low, high, exact] = self.of_all(all, |x| {
            let x = self.pixels(x);
            // Numbers in double precision that single precision holds exactly come from there, with its rounding.
            let exact = x.eq_tensor(&x.to_kind(Kind::Float).to_kind(x.kind())).to_kind(Kind::Double);
            let all = [0i64, 2];
            [x.amin(&all[..], true), x.amax(&all[..], true), exact.amin(&all[..], true)]
                .map(|t| t.to_kind(Kind::Double).view([1, -1]))
        })?;
        let (low, high) = (low.amin(0i64, false), high.amax(0i64, false));
        let [coarse, fine] = ROUNDING.map(|(unit, times)| unit * times);
        let rounding = exact.amin(0i64, false) * (coarse - fine) + fine;
        let size = low.abs().maximum(&high.abs());
        let constant = (&high - &low).le_tensor(&(&rounding * &size));
        let shape = self.centre.size();
        let put = |to: &Tensor, t: &Tensor| super::put(to, &t.view(shape.as_slice()));
        if self.transforms.contains(&Transform::Asinh) {
            let [sizes] = self.of_all(all, |x| [self.pixels(x).abs().mean_dim(2i64, false, Kind::Double)])?;
            let [usual] = quantiles(&sizes, [0.5]);
            let unit = usual.where_self(&usual.gt(0.0), &sizes.mean_dim(0i64, false, None::<Kind>));
            put(&self.unit, &unit.where_self(&unit.gt(0.0), &unit.ones_like()));
        }

        if let Some([bent, about]) = &self.bent {
            let [x] = self.of_all(all, |x| [x.to_kind(Kind::Double)])?;
            let Bends { bent: found, about: middle, unit } = bends(&x, &low);
            let auto = self.parts().map(|(t, _, length)| Tensor::full([length], (t == Transform::Auto) as i64, OF));
            let auto = Tensor::cat(&auto.collect::<Vec<_>>(), 0).to_device(x.device());
            put(bent, &(found * &auto));
            put(about, &middle);
            put(&self.unit, &unit.where_self(&auto.gt(0.0), &self.unit));
        }

        let rows = match self.axes > 0 {
            true => self.of_all(all, |x| self.of_maps(x)).map(|[mean, variance, low, high]| Rows {
                mean,
                variance,
                low,
                high,
            }),
            false => self.of_all(all, |x| [self.transformed(x)]).map(|[x]| Rows::of_numbers(x)),
        }?;
        let Core { mean, sd, .. } = core(&rows.mean, &rows.variance);
        let active = sd.gt(0.0).logical_and(&constant.logical_not());
        let scale = sd.where_self(&active, &sd.ones_like());
        let largest = (&mean - &rows.low).maximum(&(&rows.high - &mean)) / &scale;
        let [usual] = quantiles(&largest, [0.5]);
        let limit = (usual * 10.0).clamp_min(LIMIT);
        put(&self.centre, &mean);
        put(&self.scale, &scale);
        put(&self.active, &active.to_kind(Kind::Double));
        put(&self.limit, &limit.where_self(&active, &Tensor::full_like(&limit, LIMIT)));

        // d ln x = dx/x: a logarithm turns relative rounding into absolute.
        let tolerance = |(t, start, length): (Transform, i64, i64)| {
            let logarithm = mean.abs() + 1.0;
            let size = match (t, &self.bent) {
                (Transform::Auto, Some([bent, _])) => logarithm.where_self(&bent.gt(0.0), &size),
                (Transform::None | Transform::Auto, _) => size.shallow_clone(),
                _ => logarithm,
            };
            (&rounding * 2.0 * size).narrow(0, start, length)
        };
        let tolerance = Tensor::cat(&self.parts().map(tolerance).collect::<Vec<_>>(), 0);
        let (facts, scale) = (self.facts(rows), &sd * active.to_kind(Kind::Double));
        let times = facts.size()[1] / self.groups;
        self.familiar.fit(&facts, &scale.repeat([times]), &tolerance.repeat([times]));
        Ok(())
    }

    /// Takes another's state, of the same shape.
    pub fn copy(&self, other: &Preprocess) {
        self.state().iter().zip(other.state()).for_each(|(mine, theirs)| super::put(mine, &theirs));
    }

    fn state(&self) -> Vec<Tensor> {
        let own = [&self.unit, &self.centre, &self.scale, &self.active, &self.limit];
        own.into_iter()
            .chain(self.bent.iter().flatten())
            .map(Tensor::shallow_clone)
            .chain(self.familiar.state())
            .collect()
    }

    /// Standardised samples, in the network's precision.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let z = (self.transformed(x) - &self.centre) / &self.scale * &self.active;
        let size = z.abs();
        let beyond = (&size - &self.limit).clamp_min(0.0).log1p();
        ((size.minimum(&self.limit) + beyond) * z.sign()).to_kind(self.kind)
    }

    /// How far samples (n · views, …) lie outside the training samples.
    pub fn novelty(&self, x: &Tensor, views: i64) -> Novelty {
        tch::no_grad(|| self.familiar.novelty(&self.facts(self.rows(x)), views))
    }

    /// Of each sample (n · views, …): how many numbers are not finite, and how many the transform does not take.
    pub fn unfit(&self, x: &Tensor, views: i64) -> Vec<[i64; 2]> {
        let n = x.size()[0] / views.max(1);
        let count = |t: &Tensor| super::whole(&t.reshape([n, -1]).sum_dim_intlist(1i64, false, Kind::Int64));
        let refused = |(t, start, length): (Transform, i64, i64)| {
            let part = x.narrow(1, start, length);
            t.floor().map_or_else(|| part.zeros_like().to_kind(Kind::Bool), |floor| part.le(floor))
        };
        let refused = count(&Tensor::cat(&self.parts().map(refused).collect::<Vec<_>>(), 1));
        count(&x.isfinite().logical_not()).into_iter().zip(refused).map(|(a, b)| [a, b]).collect()
    }

    /// The transforms, in words: the first that does not take every number.
    pub fn picky(&self) -> Option<Transform> {
        self.transforms.iter().copied().find(|t| t.floor().is_some())
    }

    /// Numbers that `Transform::Auto` bends.
    pub fn bent(&self) -> usize {
        self.bent.as_ref().map_or(0, |[bent, _]| bent.sum(Kind::Int64).int64_value(&[]) as usize)
    }

    /// Numbers or channels that are the same in all training samples, and how many there are in all.
    pub fn constants(&self) -> (Vec<usize>, usize) {
        let active = super::host(&self.active);
        ((0..active.len()).filter(|&i| active[i] == 0.0).collect(), active.len())
    }

    /// Name of a number or channel of a sample of this shape.
    pub fn name(&self, group: usize, what: &str, shape: &[usize]) -> String {
        if self.axes > 0 {
            return if self.groups == 1 { what.into() } else { format!("channel {group} of {what}") };
        }
        let (mut rest, mut at) = (group, vec![]);
        for &n in shape.iter().rev() {
            at.insert(0, (rest % n.max(1)).to_string());
            rest /= n.max(1);
        }
        if at.is_empty() { what.into() } else { format!("{what}[{}]", at.join(", ")) }
    }

    /// Name of what [`Novelty::most`] counts.
    pub fn fact(&self, fact: i64, what: &str, shape: &[usize]) -> String {
        let name = self.name((fact % self.groups) as usize, what, shape);
        match (self.axes > 0, fact / self.groups) {
            (false, _) => name,
            (true, 0) => format!("the mean of {name}"),
            (true, 1) => format!("the scatter of {name}"),
            (true, 2) => format!("the smallest pixel of {name}"),
            (true, _) => format!("the largest pixel of {name}"),
        }
    }
}
