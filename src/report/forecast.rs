//! A forecast: ellipses of its Fisher matrices, correlation matrices of its statistics, and their numbers.

use super::axes::{Axes, Scale, TICK};
use super::canvas::{Canvas, INK, pen};
use super::corner;
use super::label::html as label;
use crate::forecast::{Fisher, Forecast, Statistic};
use crate::io::samples::{Extras, Samples};
use crate::prior::{Parameter, Prior};
use crate::rng;
use maud::{Markup, html};
use ndarray::Array2;
use ndarray_linalg::{Cholesky, UPLO};
use plotters::style::RGBColor;
use rand_distr::{Distribution, StandardNormal};

/// Statistics whose ellipses can be told apart in one figure.
const SHOWN: usize = 4;
/// Draws of a Gaussian that stand for its ellipses.
const DRAWS: usize = 20_000;
/// Standard deviations of the widest that the axes reach.
const REACH: f64 = 3.5;

/// Ellipses of the first statistics that have a Fisher matrix; none where none has.
pub fn ellipses(forecast: &Forecast) -> Option<Canvas> {
    let known = forecast.statistics.iter().filter_map(|s| s.fisher.as_ref().map(|fisher| (s.field.as_str(), fisher)));
    let shown: Vec<(&str, &Fisher)> = known.take(SHOWN).collect();
    let widest = |j: usize| shown.iter().map(|(_, fisher)| fisher.errors()[j]).fold(0.0, f64::max);
    let axis = |(j, p): (usize, &crate::forecast::Stepped)| {
        let reach = REACH * widest(j);
        Parameter::uniform(&p.name, &p.latex, p.fiducial - reach, p.fiducial + reach)
    };
    let prior = Prior::new(forecast.parameters.iter().enumerate().map(axis).collect()).ok()?;
    let drawn: Vec<(&str, Samples)> =
        shown.iter().filter_map(|(name, fisher)| Some((*name, gaussian(forecast, fisher, &prior)?))).collect();
    let all: Vec<(&str, &Samples, usize)> = drawn.iter().map(|(name, samples)| (*name, samples, 0)).collect();
    (!all.is_empty()).then(|| corner::figure(&all, true))
}

/// Draws of the Gaussian about the fiducial point, as far as the axes reach.
fn gaussian(forecast: &Forecast, fisher: &Fisher, prior: &Prior) -> Option<Samples> {
    let q = prior.len();
    let covariance = Array2::from_shape_vec((q, q), fisher.covariance.clone()).ok()?;
    let factor = covariance.cholesky(UPLO::Lower).ok()?;
    let fiducial: Vec<f64> = forecast.parameters.iter().map(|p| p.fiducial).collect();
    let mut rng = rng::stream(0, 0, "forecast", 0);
    let mut draw = || -> Vec<f64> {
        let z: Vec<f64> = (0..q).map(|_| StandardNormal.sample(&mut rng)).collect();
        (0..q).map(|i| fiducial[i] + (0..=i).map(|j| factor[[i, j]] * z[j]).sum::<f64>()).collect()
    };
    let inside = |t: &Vec<f64>| prior.ln_density(t) > f64::NEG_INFINITY;
    let theta: Vec<f64> = (0..DRAWS).map(|_| draw()).filter(inside).flatten().collect();
    let draws = theta.len() / q;
    Some(Samples {
        prior: prior.clone(),
        index: vec![0],
        draws,
        theta,
        ln_prob: vec![f64::NAN; draws],
        truth: fiducial,
        ln_prob_truth: vec![f64::NAN],
        extras: Extras::default(),
    })
}

/// The correlation matrix of the numbers that are used, from −1 (blue) over 0 (white) to 1 (red); none of fewer than 2.
pub fn correlation(statistic: &Statistic) -> Option<Canvas> {
    let (places, values) = (statistic.places(), statistic.correlation());
    let k = places.len();
    if k < 2 {
        return None;
    }
    let color = |r: f64| -> RGBColor {
        let (end, part) = if r < 0.0 { ([33.0, 102.0, 172.0], -r) } else { ([178.0, 24.0, 43.0], r) };
        let [r, g, b] = end.map(|c| (255.0 + (c - 255.0) * part.min(1.0)).round() as u8);
        RGBColor(r, g, b)
    };
    let (left, top, side) = (64.0, 14.0, 300.0);
    let mut c = Canvas::new(left + side + 84.0, top + side + 50.0);
    let frame = [left, top, left + side, top + side];
    let at = |x: f64| ((x / side * k as f64) as usize).min(k - 1);
    c.pixels(frame, |x, y| Some((color(values[at(top + side - y) * k + at(x - left)]), 1.0)));
    let scale = Scale::linear(0.0, k as f64);
    let what = format!("{}, number", statistic.field.replace('_', " "));
    Axes::new(frame, scale, scale).draw(&mut c, &what, &what, (true, true));
    let bar = [left + side + 16.0, top, left + side + 29.0, top + side];
    c.pixels(bar, |_, y| Some((color(1.0 - 2.0 * (y - top) / side), 1.0)));
    c.outline(bar, pen(INK, 0.8));
    for (r, text) in [(1.0, "1"), (0.0, "0"), (-1.0, "−1")] {
        c.text(text, (bar[2] + 5.0, top + (1.0 - r) / 2.0 * side), TICK, INK, (0.0, 0.5));
    }
    Some(c)
}

/// Errors of all parameters by all statistics.
pub fn table(forecast: &Forecast) -> Markup {
    html! {
        table {
            thead { tr {
                th { "statistic" } th { "numbers" } th { "universes" } th { "pairs" } th { "Hartlap's factor" }
                @for p in &forecast.parameters { th { "error of " (label(&p.latex)) } }
            } }
            tbody {
                @for s in &forecast.statistics {
                    tr {
                        td { b { (s.field) } }
                        td.n { (s.places().len()) } td.n { (s.universes) } td.n { (s.pairs.iter().min().unwrap_or(&0)) }
                        @match &s.fisher {
                            Some(fisher) => {
                                td.n { (format!("{:.3}", fisher.hartlap)) }
                                @for error in fisher.errors() { td.n { (format!("{error:.4}")) } }
                            }
                            None => { td.n { "–" } @for _ in &forecast.parameters { td.n { "–" } } }
                        }
                    }
                }
            }
        }
        @if !forecast.parameters.is_empty() {
            p.note { "Standard deviations with all of these parameters free, by a Gaussian likelihood whose covariance is that at "
                @for (i, p) in forecast.parameters.iter().enumerate() {
                    @if i > 0 { ", " } (label(&p.latex)) " = " (p.fiducial)
                } "." }
        }
        @for s in &forecast.statistics { @for note in &s.notes { p.note { "Note: " b { (s.field) } ": " (note) "." } } }
    }
}
