//! Numbers along an axis, measured in some universes, against theory, and their ratio.

use super::axes::{Axes, Key, Scale, legend, legend_width, reference};
use super::canvas::{Canvas, GREY, pen, series};
use super::{Curve, Curves};

/// Curves shown, at most.
const SHOWN: usize = 6;

/// From the least of these numbers to the greatest, and a little more: logarithmic where they span a decade and are
/// positive, all but a few.
fn scale(values: &[f64], more: f64) -> Scale {
    let range = |values: &[f64]| values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    let positive: Vec<f64> = values.iter().copied().filter(|&v| v > 0.0).collect();
    let (least, most) = range(&positive);
    if 10 * positive.len() >= 9 * values.len() && most > 10.0 * least {
        return Scale::log(least / more, most * more);
    }
    let (least, most) = range(values);
    let margin = 0.25 * (more - 1.0) * (most - least);
    Scale::linear(least - margin, most + margin)
}

/// The figure; none without numbers.
pub fn figure(curves: &Curves) -> Option<Canvas> {
    let points = |values: &[f64]| -> Vec<(f64, f64)> {
        let both = curves.at.iter().copied().zip(values.iter().copied());
        both.filter(|(at, value)| at.is_finite() && value.is_finite()).collect()
    };
    let shown: Vec<_> = curves
        .universes
        .iter()
        .map(|u| (u, points(&u.measured), points(&u.theory)))
        .filter(|(_, measured, _)| measured.len() > 1)
        .take(SHOWN)
        .collect();
    let all: Vec<(f64, f64)> = shown.iter().flat_map(|(_, m, t)| m.iter().chain(t)).copied().collect();
    if all.is_empty() {
        return None;
    }
    let [xs, ys] = [|p: &(f64, f64)| p.0, |p: &(f64, f64)| p.1].map(|of| all.iter().map(of).collect::<Vec<_>>());
    let (x, y) = (scale(&xs, 1.12), scale(&ys, 1.4));
    let lies = |p: &&(f64, f64)| (!x.log || p.0 > 0.0) && (!y.log || p.1 > 0.0);
    let theory = shown.iter().any(|(_, _, t)| !t.is_empty());
    let mut entries: Vec<(String, Key)> =
        shown.iter().enumerate().map(|(i, (u, ..))| (u.label.clone(), Key::Dot(series(i)))).collect();
    if theory {
        entries.push((curves.theory.clone(), Key::Line(pen(GREY, 1.4).dashed())));
    }
    let (right, bottom) = (596.0, if theory { 300.0 } else { 360.0 });
    let mut c = Canvas::new(
        right + 24.0 + legend_width(&Canvas::new(1.0, 1.0), &entries) + 8.0,
        if theory { 470.0 } else { 410.0 },
    );
    let main = Axes::new([78.0, 14.0, right, bottom], x, y);
    for (i, (_, measured, theory)) in shown.iter().enumerate() {
        main.line(&mut c, theory.iter().filter(lies).copied(), pen(series(i), 1.4).dashed());
        main.line(&mut c, measured.iter().filter(lies).copied(), pen(series(i), 1.0).alpha(0.45));
        c.clipped(main.frame, |c| {
            for (at, value) in measured.iter().filter(lies) {
                let (x, y) = main.at(*at, *value);
                c.dot(x, y, 2.1, series(i), 1.0);
            }
        });
    }
    let [of_x, of_y] = curves.labels.each_ref().map(String::as_str);
    main.draw(&mut c, if theory { "" } else { of_x }, of_y, (!theory, true));
    if theory {
        let ratio = |u: &Curve| points(&u.measured.iter().zip(&u.theory).map(|(m, t)| m / t).collect::<Vec<_>>());
        let ratios: Vec<Vec<(f64, f64)>> = shown.iter().map(|(u, ..)| ratio(u)).collect();
        let mut sorted: Vec<f64> = ratios.iter().flatten().map(|r| r.1).collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted.get((q * (sorted.len().max(1) - 1) as f64) as usize).copied().unwrap_or(1.0);
        let y = Scale::linear(0.0f64.min(quantile(0.005)), (1.12 * quantile(0.995)).max(1.6));
        let ratio = Axes::new([78.0, bottom + 10.0, right, bottom + 116.0], x, y);
        ratio.line(&mut c, [(x.min, 1.0), (x.max, 1.0)], reference());
        for (i, r) in ratios.into_iter().enumerate() {
            ratio.line(&mut c, r.into_iter().filter(|p| !x.log || p.0 > 0.0), pen(series(i), 1.4));
        }
        ratio.draw(&mut c, of_x, "ratio", (true, true));
    }
    legend(&mut c, (right + 16.0, 18.0), &entries);
    Some(c)
}
