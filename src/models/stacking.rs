//! What each member of an ensemble counts, and the linear model that it begins at: as the held-out samples say (stacking, Yao
//! et al. 2018, arXiv:1704.02030).

use crate::error::Result;
use crate::nets::{host, kept, put};
use tch::{Kind, Tensor, nn};

/// Held-out samples that the linear model counts for beforehand, when the shares of the mixture are looked for.
const TRUST: f64 = 2.0;
/// Steps of that.
const STEPS: usize = 500;
/// Standard errors of the held-out samples above which the mixture is better than the linear model alone.
const SURE: f64 = 2.0;

/// Shares of so many members, and of the linear model, last, which has none until the held-out samples are asked.
pub fn beforehand(path: &nn::Path, members: usize) -> Tensor {
    let shares = kept(path, "shares", &[members as i64 + 1], 1.0 / members as f64);
    let _ = shares.get(members as i64).fill_(0.0);
    shares
}

/// The shares of a mixture that make samples most likely, of whose components ln q (n, k) are known, each with so many samples
/// beforehand: by expectation and maximisation.
fn likeliest(ln: &Tensor, beforehand: &Tensor) -> Tensor {
    let k = beforehand.numel() as i64;
    let mut shares = Tensor::full([k], 1.0 / k as f64, (Kind::Double, ln.device()));
    for _ in 0..STEPS {
        let counts =
            (ln + shares.log()).softmax(1, Kind::Double).sum_dim_intlist(0i64, false, Kind::Double) + beforehand;
        shares = &counts / counts.sum(Kind::Double);
    }
    shares
}

/// Whether held-out samples bear out a gain (n) over the linear model, of what was chosen by these same samples: else it is none,
/// and the linear model is used alone.
pub fn is_sure(gain: &Tensor) -> bool {
    let (mean, scatter) = (gain.mean(Kind::Double).double_value(&[]), gain.std(false).double_value(&[]));
    mean > SURE * scatter / (gain.numel() as f64 - 1.0).sqrt() || mean == f64::INFINITY
}

/// ln of the mixture (n) of what `each` component says, (n), asked of those alone that count.
pub fn mixture(shares: &[f64], mut each: impl FnMut(usize) -> Result<Tensor>) -> Result<Tensor> {
    let counted = (0..shares.len()).filter(|&k| shares[k] > 0.0);
    let all = counted.map(|k| Ok(each(k)?.to_kind(Kind::Double) + shares[k].ln())).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&all, 1).logsumexp(1i64, false))
}

/// Settles shares by ln q (n, k) of held-out samples.
pub fn settle(shares: &Tensor, ln: &Tensor) {
    let members = shares.numel() - 1;
    // What no component has a density of tells nothing of their shares.
    let all = ln.nan_to_num(f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY);
    let known = all.isfinite().any_dim(1, false).nonzero().view([-1]);
    let ln = &all.index_select(0, &known);
    let lost = all.size()[0] - ln.size()[0];
    if lost > 0 {
        log::warn!("{lost} of {} held-out samples have no density, and no say in what the flows count", all.size()[0]);
    }
    let mut beforehand = vec![0.0; members];
    beforehand.push(TRUST);
    let mixed = likeliest(ln, &Tensor::from_slice(&beforehand).to_device(ln.device()));
    let of_linear = ln.select(1, members as i64);
    let gain = (ln + mixed.log()).logsumexp(1i64, false) - of_linear;
    let alone = mixed.zeros_like().index_fill(0, &Tensor::from_slice(&[members as i64]), 1.0);
    let (found, gain) = match is_sure(&gain) {
        true => (mixed, gain.mean(Kind::Double).double_value(&[])),
        false => (alone, 0.0),
    };
    put(shares, &found);
    let each: Vec<String> = host(&found).iter().map(|share| format!("{share:.2}")).collect();
    let (linear, flows) = each.split_last().expect("the linear model has a share");
    log::info!(
        "the held-out samples give the linear model {linear} of the mixture, the flows {}; on them it is {gain:.2} nats above the \
         linear model",
        flows.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_without_a_share_are_not_asked() {
        let each = |k: usize| Ok(Tensor::from_slice(&[[f64::NAN, 1.0, -2.0][k]]));
        let ln = host(&mixture(&[0.0, 0.25, 0.75], each).unwrap())[0];
        assert!((ln - (0.25 * 1f64.exp() + 0.75 * (-2f64).exp()).ln()).abs() < 1e-14);
    }

    #[test]
    fn a_gain_must_be_borne_out() {
        let of = |gain: &[f64]| is_sure(&Tensor::from_slice(gain));
        // A mean of 0.5, whose error is 0.1 and 0.5.
        let around = |off: f64| (0..101).map(|i| 0.5 + off * [1.0, -1.0][i % 2]).collect::<Vec<f64>>();
        assert!(of(&around(1.0)) && !of(&around(5.0)) && !of(&[3.0]) && !of(&[]) && !of(&[f64::NAN; 9]));
    }
}
