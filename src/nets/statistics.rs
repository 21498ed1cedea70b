//! Location, scale and range that a few wild samples do not move.

use tch::{Kind, Tensor};

/// Samples further from the median than so many half-widths of the middle 68% have no say in location, scale and range.
const WILD: f64 = 10.0;

/// Elements that are sorted at a time.
const SORTED: i64 = 1 << 22;

/// Of columns (n, f), along the samples: (f) each.
pub(super) struct Core {
    pub mean: Tensor,
    /// 0 for a constant.
    pub sd: Tensor,
    /// Least and largest of the samples that have a say.
    pub low: Tensor,
    pub high: Tensor,
}

/// What `f` makes of n things, so many at a time (from where, how many), put together again.
pub(super) fn in_parts<const N: usize>(n: i64, size: i64, f: impl Fn(i64, i64) -> [Tensor; N]) -> [Tensor; N] {
    let parts: Vec<[Tensor; N]> = (0..n).step_by(size as usize).map(|start| f(start, size.min(n - start))).collect();
    std::array::from_fn(|i| Tensor::cat(&parts.iter().map(|part| &part[i]).collect::<Vec<_>>(), 0))
}

/// Runs over blocks of columns, so that a sort needs little memory.
fn by_columns<const N: usize>(x: &Tensor, f: impl Fn(i64, i64) -> [Tensor; N]) -> [Tensor; N] {
    let (n, columns) = x.size2().expect("columns");
    in_parts(columns, (SORTED / n.max(1)).max(1), f)
}

/// Quantiles of the columns of x (n, f), (f) each.
pub(super) fn quantiles<const N: usize>(x: &Tensor, at: [f64; N]) -> [Tensor; N] {
    by_columns(x, |start, len| {
        let (sorted, _) = x.narrow(1, start, len).sort(0, false);
        at.map(|p| sorted.select(0, (p * (sorted.size()[0] - 1) as f64).round() as i64))
    })
}

/// Location, scale and range of columns whose every entry is itself a mean with this variance (0 for plain numbers),
/// (n, f) each.
pub(super) fn core(mean: &Tensor, variance: &Tensor) -> Core {
    let [mean, sd, low, high] = by_columns(mean, |start, len| {
        let (mean, variance) = (mean.narrow(1, start, len), variance.narrow(1, start, len));
        let [low, median, high] = quantiles(&mean, [0.16, 0.5, 0.84]);
        let [within] = quantiles(&variance, [0.5]);
        let width = (((high - low) * 0.5).square() + within).sqrt();
        // From the median, so that nothing is lost to an offset.
        let from = &mean - &median;
        let tame = from.abs().le_tensor(&(&width * WILD)).logical_and(&variance.le_tensor(&(&width * WILD).square()));
        // Columns that hardly ever change (a bin that few universes fill) have no middle: all their samples count.
        let tame = tame.logical_or(&width.eq(0.0));
        let sum = |t: &Tensor| t.where_self(&tame, &t.zeros_like()).sum_dim_intlist(0i64, false, None::<Kind>);
        let count = sum(&from.ones_like());
        let offset = sum(&from) / &count;
        let sd = (sum(&(variance + (&from - &offset).square())) / &count).sqrt();
        let bound = |empty: f64| mean.where_self(&tame, &Tensor::full_like(&mean, empty));
        [median + offset, sd, bound(f64::INFINITY).amin(0i64, false), bound(f64::NEG_INFINITY).amax(0i64, false)]
    });
    Core { mean, sd, low, high }
}

/// No variance, for plain numbers like x (n, f); takes no memory.
pub(super) fn none_like(x: &Tensor) -> Tensor {
    Tensor::zeros([1, 1], (Kind::Double, x.device())).expand(x.size(), false)
}

/// How columns are bent so that they look more like Gaussians: to asinh((x − about)/unit), where `bent` is 1. (f) each.
pub(super) struct Bends {
    pub bent: Tensor,
    pub about: Tensor,
    pub unit: Tensor,
}

/// Fewest samples by which the shape of a distribution can be told.
const TOLD: i64 = 50;
/// How skew numbers are that a logarithm may help: the median's distance from the middle of the central 80%, in halves of
/// that; of Gaussians 0, of lognormals of σ = 0.33 this.
const SKEW: f64 = 0.2;
/// The width of the central 98% in those of the central 68%, above which tails are heavy: of Gaussians 2.3, of Student's t
/// with 2 degrees of freedom this.
const HEAVY: f64 = 5.0;

/// Of columns (n, f) whose least values are `low` (f).
pub(super) fn bends(x: &Tensor, low: &Tensor) -> Bends {
    let [q01, q10, q16, median, q84, q90, q99] = quantiles(x, [0.01, 0.1, 0.16, 0.5, 0.84, 0.9, 0.99]);
    let skew = |low: &Tensor, middle: &Tensor, high: &Tensor| (high + low - middle * 2.0) / (high - low);
    let positive = low.gt(0.0);
    let ln = |t: &Tensor| t.clamp_min(f64::MIN_POSITIVE).log();
    let (as_is, of_ln) = (skew(&q10, &median, &q90), skew(&ln(&q10), &ln(&median), &ln(&q90)));
    let log = positive.logical_and(&as_is.gt(SKEW)).logical_and(&(of_ln.abs() * 2.0).lt_tensor(&as_is));
    let half = (&q84 - &q16) * 0.5;
    let heavy =
        (q99 - q01).gt_tensor(&(&half * 2.0 * HEAVY)).logical_and(&half.gt(0.0)).logical_and(&log.logical_not());
    let bent = log.logical_or(&heavy).to_kind(Kind::Double) * (x.size()[0] >= TOLD) as i64;
    let about = median.where_self(&heavy, &median.zeros_like());
    let unit = (low * 0.5).where_self(&log, &half.where_self(&heavy, &half.ones_like()));
    Bends { bent, about, unit }
}
