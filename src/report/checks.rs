//! How far a posterior can be believed beside its calibration: whether its input is like what was trained on, and how
//! far the members of its ensemble agree.

use super::label::html as label;
use super::{Inputs, Observation};
use crate::io::samples::{FAR, OUTSIDE, SPREAD, Samples};
use maud::{Markup, html};

/// One row per observation and posterior.
pub(super) fn observations(inputs: &Inputs) -> Markup {
    let rows: Vec<(&Observation, &str, &Samples)> = inputs
        .observations
        .iter()
        .flat_map(|o| o.posteriors.iter().map(move |(name, s)| (o, name.as_str(), s)))
        .filter(|(_, _, s)| !s.is_empty() && !s.extras.outside.is_empty())
        .collect();
    html! {
        @if let Some((_, _, first)) = rows.first() {
            table {
                thead { tr {
                    th { "observation" } th { "posterior" } th { "outside training" } th { "distance" }
                    @for p in &first.prior.parameters { th { (label(&p.latex)) } }
                } }
                tbody { @for (observation, name, s) in &rows {
                    tr {
                        td { (observation.name) } td { (name) }
                        td.n { (warned(s.extras.outside[0], OUTSIDE)) }
                        td.n { (warned(s.extras.distance.first().copied().unwrap_or(f64::NAN), FAR)) }
                        @for j in 0..s.dim() {
                            @let (mean, sd) = s.mean_sd(0, j);
                            td.n {
                                (format!("{mean:.3} ± {sd:.3}"))
                                @if let Some(spread) = s.spread_of(0) { ", members ± " (warned(spread[j], SPREAD)) " of that" }
                            }
                        }
                    }
                } }
            }
            @for (observation, name, _) in rows.iter().filter(|(_, _, s)| s.extras.unfamiliar(0)) {
                p { b { "⚠ " (observation.name) } ", posterior " (name) ": its input is not like what was trained on. This posterior \
                    is an extrapolation, which no calibration vouches for." }
            }
            (note())
        }
        @for (observation, name, s) in &rows {
            @for c in inputs.calibrations.iter().filter(|c| c.0 == *name).map(|c| &c.1) {
                @for found in c.local.iter().filter(|found| s.extras.of.as_ref() == Some(&found.of)) {
                    p {
                        b { @if found.fails(c.level) { "⚠ " } (observation.name) ", posterior " (name) ": " }
                        (found.words(c.level)) ". A classifier of test universes is asked whether it can tell these draws from truths \
                        (L-C2ST)."
                    }
                }
            }
        }
        @for o in &inputs.observations {
            @for (name, s) in o.posteriors.iter().filter(|(_, s)| !s.extras.ln_evidence.is_empty()) {
                p { b { (o.name) ", posterior " (name) ": " } (s.words(0)) "." }
            }
        }
    }
}

/// One row per posterior on the test split.
pub(super) fn tests(inputs: &Inputs) -> Markup {
    let rows: Vec<&(String, Samples)> =
        inputs.posteriors.iter().filter(|(_, s)| !s.is_empty() && !s.extras.outside.is_empty()).collect();
    html! {
        @if let Some((_, first)) = rows.first() {
            table {
                thead { tr {
                    th { "posterior" } th { "test universes" } th { "not like the training" } th { "without posterior" }
                    @for p in &first.prior.parameters { th { "members, " (label(&p.latex)) } }
                } }
                tbody { @for (name, s) in &rows {
                    @let unlike = (0..s.len()).filter(|&i| s.extras.unfamiliar(i)).count();
                    tr {
                        td { (name) } td.n { (s.len()) } td.n { (unlike) @if unlike > 0 { " ⚠" } }
                        td.n { (s.extras.left_out.len()) @if !s.extras.left_out.is_empty() { " ⚠" } }
                        @for j in 0..s.dim() { td.n { (median_spread(s, j)) } }
                    }
                } }
            }
            (note())
        }
    }
}

/// Median over the universes of the members' spread in a parameter.
fn median_spread(s: &Samples, parameter: usize) -> Markup {
    let mut all: Vec<f64> = (0..s.len()).filter_map(|i| s.spread_of(i).map(|spread| spread[parameter])).collect();
    all.sort_by(f64::total_cmp);
    html! {
        @match all.get(all.len() / 2) {
            Some(median) => { "± " (warned(*median, SPREAD)) " of the error" }
            None => "–",
        }
    }
}

fn warned(value: f64, limit: f64) -> String {
    let sign = if value > limit { " ⚠" } else { "" };
    if value == f64::INFINITY { format!("∞{sign}") } else { format!("{value:.2}{sign}") }
}

fn note() -> Markup {
    html! {
        p.note {
            "Outside training: how far the worst of an input's numbers lies beyond the training range, in widths of that range (∞: a \
             number that never varied in training does here). Distance: of the input as a whole from the training inputs, over \
             that of the farthest hundredth of them. Members: scatter of the posterior means of the ensemble's members, which \
             differ by the training's luck alone, over the posterior's error. Marked above " (OUTSIDE) ", " (FAR) " and "
            (SPREAD) "."
        }
    }
}
