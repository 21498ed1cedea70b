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
