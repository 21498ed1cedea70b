//! Location and scale that a few wild samples do not move.

use tch::{Kind, Tensor};

/// Samples further from the median than so many half-widths of the middle 68% have no say in location, scale and range.
const WILD: f64 = 10.0;

/// Elements that are sorted at a time.
const SORTED: i64 = 1 << 22;

/// Of columns (n, f), along the samples.
pub(super) struct Core {
    /// 1 where a sample has a say, else 0, (n, f).
    pub keep: Tensor,
    /// (f).
    pub mean: Tensor,
    /// (f); 0 for a constant.
    pub sd: Tensor,
}

/// Quantiles of the columns of x (n, f), (f) each.
pub(super) fn quantiles(x: &Tensor, at: &[f64]) -> Vec<Tensor> {
    let (n, columns) = x.size2().expect("columns");
    let block = (SORTED / n.max(1)).max(1);
    let mut all: Vec<Vec<Tensor>> = at.iter().map(|_| vec![]).collect();
    for start in (0..columns).step_by(block as usize) {
        let (sorted, _) = x.narrow(1, start, block.min(columns - start)).sort(0, false);
        for (pieces, p) in all.iter_mut().zip(at) {
            pieces.push(sorted.select(0, (p * (n - 1) as f64).round() as i64));
        }
    }
    all.iter().map(|pieces| Tensor::cat(pieces, 0)).collect()
}

/// Location and scale of columns whose every entry is itself a mean with this variance (0 for plain numbers), (n, f) each.
pub(super) fn core(mean: &Tensor, variance: &Tensor) -> Core {
    let [low, median, high]: [Tensor; 3] = quantiles(mean, &[0.16, 0.5, 0.84]).try_into().expect("three");
    let within = quantiles(variance, &[0.5]).swap_remove(0);
    let width = (((high - low) * 0.5).square() + &within).sqrt();
    // From the median, so that nothing is lost to an offset.
    let from = mean - &median;
    let tame = from.abs().le_tensor(&(&width * WILD)).logical_and(&variance.le_tensor(&(&width * WILD).square()));
    // Columns that hardly ever change (a bin that few universes fill) have no middle: all their samples count.
    let keep = tame.logical_or(&width.eq(0.0)).to_kind(Kind::Double);
    let sum = |t: &Tensor| (t * &keep).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
    let count = keep.sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
    let offset = sum(&from) / &count;
    let sd = (sum(&(variance + (&from - &offset).square())) / &count).sqrt();
    Core { keep, mean: median + offset, sd }
}
