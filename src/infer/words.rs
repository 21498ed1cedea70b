//! What the reader of posteriors should know of them, in words.

use super::chains::mixing::{FEWEST, WORST};
use crate::calibration::doubts;
use crate::io::samples::{OUTSIDE, SPREAD, Samples};
use crate::train::Trained;

/// How the input of universe `i` differs from what was trained on, where it does.
pub(super) fn unfamiliar(samples: &Samples, i: usize, trained: &Trained, most: u64) -> Option<String> {
    let (outside, distance) = (samples.extras.outside[i], samples.extras.distance[i]);
    let what = trained.fact(most);
    samples.extras.unfamiliar(i).then(|| match outside {
        o if o == f64::INFINITY => format!("{what} is constant in training, and is another number here"),
        o if o > OUTSIDE => format!("{what} lies {o:.3} training widths outside the training range"),
        _ => format!("it is {distance:.3} times as far from the training inputs as the farthest hundredth of them"),
    })
}

/// A sentence where the members of the ensemble disagree about universe `i`.
pub(super) fn spread(samples: &Samples, i: usize) -> Option<String> {
    let spread = samples.spread_of(i)?;
    let each = samples.prior.names().into_iter().zip(spread).filter(|(_, s)| **s > SPREAD);
    let each: Vec<String> = each.map(|(name, s)| format!("{s:.2} of its error in {name}")).collect();
    let why = "depends on the training's luck: the members of the ensemble scatter by";
    (!each.is_empty()).then(|| format!("{why} {}", each.join(", ")))
}

/// Posteriors whose chains have not mixed, in words.
pub fn unmixed(samples: &Samples) -> Option<String> {
    let (p, extras) = (samples.dim(), &samples.extras);
    let bad = |i: &usize| extras.r_hat[*i] > WORST || extras.ess[*i] < FEWEST;
    let bad: Vec<usize> = (0..extras.r_hat.len()).filter(bad).collect();
    let worst = *bad.iter().max_by(|&&a, &&b| extras.r_hat[a].total_cmp(&extras.r_hat[b]))?;
    let mut rows: Vec<usize> = bad.iter().map(|i| i / p).collect();
    rows.dedup();
    let (row, name) = (samples.index[worst / p], &samples.prior.parameters[worst % p].name);
    Some(format!(
        "the chains of {} of {} posteriors have not mixed (R̂ above {WORST}, or fewer than {FEWEST} independent draws): in row \
         {row} R̂ is {:.3} and there are {:.0} of {name}; try another `infer.sampler`, or \"tempered\", which leads from mode to mode",
        rows.len(),
        samples.len(),
        extras.r_hat[worst],
        extras.ess[worst]
    ))
}

/// Warns of test universes that are unlike the training's, without width, or about which the members disagree.
pub(super) fn tell(samples: &Samples, most: &[u64], trained: &Trained) {
    let n = samples.len();
    let unlike: Vec<usize> = (0..n).filter(|&i| samples.extras.unfamiliar(i)).collect();
    let badness = |i: usize| samples.extras.outside[i].max(samples.extras.distance[i]);
    if let Some(&worst) = unlike.iter().max_by(|&&a, &&b| badness(a).total_cmp(&badness(b))) {
        let why = unfamiliar(samples, worst, trained, most[worst]).unwrap_or_default();
        let row = samples.index[worst];
        log::warn!("{} of {n} test universes are not like what was trained on: in row {row} {why}", unlike.len());
    }
    doubts::no_width(samples)
        .into_iter()
        .chain(doubts::torn(samples))
        .chain(unmixed(samples))
        .for_each(|words| log::warn!("{words}"));
}
