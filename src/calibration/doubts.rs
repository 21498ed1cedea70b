//! What was found odd when posteriors were drawn, in words: told then, and beside the verdict on them.

use crate::io::samples::{SPREAD, Samples};
use crate::progress::count;

/// Universes for which something holds.
fn those(samples: &Samples, what: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..samples.len()).filter(|&i| what(i)).collect()
}

/// Posteriors of one value.
pub fn no_width(samples: &Samples) -> Option<String> {
    let flat = those(samples, |i| (0..samples.dim()).any(|j| samples.no_width(i, j)));
    let (n, row) = (samples.len(), samples.index[*flat.first()?]);
    Some(format!("the posteriors of {} of {n} test universes have no width, the first in row {row}", flat.len()))
}

/// Most posteriors differ between the members of the ensemble.
pub fn torn(samples: &Samples) -> Option<String> {
    let torn = those(samples, |i| samples.spread_of(i).is_some_and(|s| s.iter().any(|s| *s > SPREAD)));
    let n = samples.len();
    (2 * torn.len() > n).then(|| {
        format!(
            "the posteriors of {} of {n} test universes depend on the training's luck: the members of the ensemble scatter \
             by more than {SPREAD} of their errors",
            torn.len()
        )
    })
}

/// Most inputs are not like those that were trained on.
fn unlike(samples: &Samples) -> Option<String> {
    let (unlike, n) = (those(samples, |i| samples.extras.unfamiliar(i)).len(), samples.len());
    (2 * unlike > n).then(|| {
        format!(
            "{unlike} of {n} test universes are not like what was trained on, and their posteriors are extrapolations: see \
             that training and test universes are of one kind"
        )
    })
}

/// Test universes without a posterior.
fn left_out(samples: &Samples) -> Option<String> {
    let n = samples.extras.left_out.len();
    let which = if n == 1 { "whose input holds" } else { "whose inputs hold" };
    (n > 0).then(|| format!("{} {which} numbers that cannot be used: not judged", count(n, "test universe")))
}

/// Draws of universes that cannot be made.
fn underived(samples: &Samples) -> Option<String> {
    let (n, all) = (samples.underived(), samples.len() * samples.draws);
    (n > 0).then(|| {
        format!(
            "{n} of {all} draws are of universes that cannot be made, and have no derived parameters: the draws before them \
             stand for them there"
        )
    })
}

/// Only marginals are known.
fn marginal(samples: &Samples) -> Option<String> {
    samples.extras.marginals.is_some().then(|| {
        "only the marginals of single parameters are judged: no joint posterior is known, so that there is no joint coverage and no \
         TARP; the gain is the mean of a parameter's marginal over its prior"
            .to_string()
    })
}

/// All that a reader of a verdict on them should know.
pub fn all(samples: &Samples) -> Vec<String> {
    [marginal, no_width, unlike, torn, left_out, underived].iter().filter_map(|look| look(samples)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{CalibrateConfig, assess};
    use crate::io::samples::Extras;
    use crate::prior::{Parameter, Prior};
    use crate::rng;
    use rand::Rng;

    #[test]
    fn a_verdict_repeats_what_was_odd_about_its_draws() {
        let mut rng = rng::stream(1, 0, "doubts", 0);
        let (n, draws) = (60, 50);
        let mut samples = Samples {
            prior: Prior::new(vec![Parameter::uniform("a", "a", 0.0, 1.0)]).unwrap(),
            index: (100..100 + n as u64).collect(),
            draws,
            theta: (0..n * draws).map(|_| rng.random()).collect(),
            ln_prob: vec![0.0; n * draws],
            truth: (0..n).map(|_| rng.random()).collect(),
            ln_prob_truth: vec![0.0; n],
            extras: Extras { outside: vec![0.0; n], distance: vec![0.0; n], spread: vec![0.1; n], ..Extras::default() },
        };
        let notes = |samples: &Samples| assess(samples, &CalibrateConfig::default()).unwrap().notes;
        assert_eq!(notes(&samples), [""; 0]);
        samples.theta[3 * draws..4 * draws].fill(0.5);
        samples.extras.outside[..31].fill(f64::INFINITY);
        samples.extras.spread[10..50].fill(0.4);
        samples.extras.left_out = vec![7, 8];
        let notes = notes(&samples);
        for part in [
            "1 of 60 test universes have no width, the first in row 103",
            "31 of 60 test universes are not like what was trained on",
            "40 of 60 test universes depend on the training's luck",
            "2 test universes whose inputs hold numbers that cannot be used: not judged",
        ] {
            assert!(notes.iter().any(|note| note.contains(part)), "does not say {part:?}: {notes:?}");
        }
        // Fewer than most are `infer`'s to tell, universe by universe.
        samples.extras.outside[5..].fill(0.0);
        assert!(unlike(&samples).is_none());
    }
}
