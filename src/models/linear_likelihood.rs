//! Fits the linear-Gaussian likelihood to the samples that a stage learns from, by their first and second moments: least
//! squares whose slopes are shrunk by what chance makes of them (James & Stein 1961), and a covariance whose correlations
//! are shrunk likewise (Schäfer & Strimmer 2005).

use super::{Batch, Stream};
use crate::error::Result;
use crate::nets::{Whitened, put};
use tch::{Kind, Tensor};

/// Variance of a direction, over the largest, below which it does not vary.
const NOTHING: f64 = 1e-11;
/// Least variance of the noise over that of the data: inputs have no more digits.
const LEAST: f64 = 1e-10;

/// Fits `to` to what `look` makes of batches, (n, d). Collective; the same bits on any number of ranks.
pub fn fit(to: &Whitened, look: &dyn Fn(&Batch) -> Result<Tensor>, all: &mut dyn Stream) -> Result<()> {
    let (d, p) = (to.centre.size()[0], to.middle.size()[0]);
    let sums = all.sum(&mut |batch| {
        let (z, r) = (look(batch)?.to_kind(Kind::Double), to.coordinates(&batch.vector("theta")?));
        let both = Tensor::cat(&[&z.narrow(1, 0, 1).ones_like(), &z, &r], 1);
        Ok(both.tr().matmul(&both))
    })?;
    let n = sums.get(0).double_value(&[0]);
    let mean = sums.get(0).narrow(0, 1, d + p) / n;
    let moments = sums.narrow(0, 1, d + p).narrow(1, 1, d + p) / n - mean.unsqueeze(1) * mean.unsqueeze(0);
    let scale = moments.diag(0).narrow(0, d, p).clamp_min(f64::MIN_POSITIVE).sqrt();
    let data = moments.narrow(0, 0, d).narrow(1, 0, d);
    let own = moments.narrow(0, d, p).narrow(1, d, p) / (scale.unsqueeze(0) * scale.unsqueeze(1));
    let with = moments.narrow(0, d, p).narrow(1, 0, d) / scale.unsqueeze(1);

    let variance = data.diag(0).clamp_min(0.0);
    // Parameters that go together exactly share what they explain.
    let (s, v) = own.linalg_eigh("L");
    let inverse = s.reciprocal().where_self(&s.gt(1e-12), &s.zeros_like());
    let slopes = (&v * inverse).matmul(&v.tr().matmul(&with));
    let explained = (&slopes * &with).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
    let chance = (&variance - &explained).clamp_min(0.0) * (p as f64 / n);
    let kept = (-chance / explained.clamp_min(f64::MIN_POSITIVE) + 1.0).clamp_min(0.0);
    let slopes = slopes * kept;
    let cross = with.tr().matmul(&slopes);
    let signal = slopes.tr().matmul(&own.matmul(&slopes));
    let noise = (&data - &cross - cross.tr() + &signal) * (n / (n - p as f64 - 1.0).max(1.0));
    let least = &variance * LEAST - noise.diag(0);
    let noise = noise + least.clamp_min(0.0).diag(0);
    let noise = shrunk(&noise, n);

    // Directions in which nothing varies have no say. Where samples are too few to tell, they are those of the model.
    let total = &noise + signal;
    let (s, v) = if n > 2.0 * d as f64 { data.linalg_eigh("L") } else { total.linalg_eigh("L") };
    let varies = s.gt(NOTHING * s.max().double_value(&[])).nonzero().view([-1]);
    if varies.numel() == 0 {
        return Ok(());
    }
    let v = v.index_select(1, &varies);
    // The total is whitened, then the noise in it: directions with most signal for their noise come first.
    let (s, u) = v.tr().matmul(&total.matmul(&v)).linalg_eigh("L");
    let v = v.matmul(&u) / s.clamp_min(NOTHING * s.max().double_value(&[])).sqrt();
    let (s, u) = v.tr().matmul(&noise.matmul(&v)).linalg_eigh("L");
    let white = v.matmul(&u) / s.clamp_min(LEAST).sqrt();

    let beyond = [0, d - varies.size()[0]];
    put(&to.centre, &mean.narrow(0, 0, d));
    put(&to.of_data, &white.constant_pad_nd(beyond));
    put(&to.of_parameters, &slopes.matmul(&white).constant_pad_nd(beyond));
    put(&to.active, &varies.ones_like().to_kind(Kind::Double).constant_pad_nd(beyond));
    put(&to.middle, &mean.narrow(0, d, p));
    put(&to.scale, &scale);
    Ok(())
}

/// A covariance of n samples whose correlations are made smaller by λ = Σ Var(r)/Σ r², Var(r) = (1 − r²)²/(n − 1).
fn shrunk(noise: &Tensor, n: f64) -> Tensor {
    let diagonal = noise.diag(0);
    let sd = diagonal.sqrt();
    let sd = sd.where_self(&sd.gt(0.0), &sd.ones_like());
    let square = (noise / (sd.unsqueeze(0) * sd.unsqueeze(1))).square().clamp_max(1.0);
    // Those of a number with itself are 1, and have no error.
    let all = (&square - square.diag(0).diag(0)).sum(Kind::Double).double_value(&[]);
    let one = (-&square + 1.0).square();
    let errors = (&one - one.diag(0).diag(0)).sum(Kind::Double).double_value(&[]) / (n - 1.0).max(1.0);
    let share = if errors < all { errors / all } else { 1.0 };
    noise * (1.0 - share) + diagonal.diag(0) * share
}
