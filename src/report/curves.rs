//! Numbers along an axis, measured in some universes, against theory, and their ratio.

use super::axes::{Axes, Key, Scale, TICK, legend, legend_width, reference};
use super::canvas::{Canvas, GREY, INK, pen, series};
use super::{Curve, Curves};
use plotters::style::RGBColor;

/// Curves shown, at most.
const SHOWN: usize = 6;
/// Panels of a figure, at most.
pub const PANELS: usize = 36;
/// Panels in a row, at most, and one's width and height.
const PER_ROW: usize = 3;
const PANEL: [f64; 2] = [196.0, 150.0];
/// Width of a legend's lines.
const LEGEND: f64 = 230.0;

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

/// The finite ones of some numbers along an axis.
fn points(at: &[f64], values: &[f64]) -> Vec<(f64, f64)> {
    let both = at.iter().copied().zip(values.iter().copied());
    both.filter(|(at, value)| at.is_finite() && value.is_finite()).collect()
}

/// What each colour is, and the theory if there is any.
fn entries<'a>(universes: impl Iterator<Item = &'a Curve>, theory: Option<&str>) -> Vec<(String, Key)> {
    let ruler = Canvas::new(1.0, 1.0);
    let lines = universes.enumerate().flat_map(|(i, u)| {
        let lines = ruler.lines(&u.label, TICK, LEGEND).into_iter().enumerate();
        lines.map(move |(line, text)| (text, if line == 0 { Key::Dot(series(i)) } else { Key::More }))
    });
    lines.chain(theory.map(|name| (name.to_string(), Key::Line(pen(GREY, 1.4).dashed())))).collect()
}

/// Numbers as dots on a faint line, theory as a dashed one.
fn draw(c: &mut Canvas, axes: &Axes, color: RGBColor, measured: &[(f64, f64)], theory: &[(f64, f64)]) {
    let lies = |p: &&(f64, f64)| (!axes.x.log || p.0 > 0.0) && (!axes.y.log || p.1 > 0.0);
    axes.line(c, theory.iter().filter(lies).copied(), pen(color, 1.4).dashed());
    axes.line(c, measured.iter().filter(lies).copied(), pen(color, 1.0).alpha(0.45));
    c.clipped(axes.frame, |c| {
        for (at, value) in measured.iter().filter(lies) {
            let (x, y) = axes.at(*at, *value);
            c.dot(x, y, 2.1, color, 1.0);
        }
    });
}

/// The figure, with a panel for each part where there are several; none without numbers.
pub fn figure(curves: &Curves) -> Option<Canvas> {
    if curves.parts.is_empty() { single(curves) } else { grid(curves) }
}

fn grid(curves: &Curves) -> Option<Canvas> {
    let n = curves.at.len();
    let part = |values: &[f64], i: usize| points(&curves.at, values.get(i * n..(i + 1) * n).unwrap_or(&[]));
    let parts = curves.parts.len().min(PANELS);
    let universes = &curves.universes[..curves.universes.len().min(SHOWN)];
    let of = |i: usize| -> Vec<_> { universes.iter().map(|u| (part(&u.measured, i), part(&u.theory, i))).collect() };
    let panels: Vec<_> = (0..parts).map(of).collect();
    if panels.iter().flatten().all(|(measured, _)| measured.is_empty()) {
        return None;
    }
    let theory = universes.iter().any(|u| !u.theory.is_empty()).then_some(curves.theory.as_str());
    let entries = entries(universes.iter(), theory);
    let (columns, rows) = (parts.min(PER_ROW), parts.div_ceil(PER_ROW));
    let (left, across, down) = (78.0, PANEL[0] + 68.0, PANEL[1] + 46.0);
    let right = left + columns as f64 * across - 44.0;
    let height = (rows as f64 * down + 50.0).max(17.0 * entries.len() as f64 + 60.0);
    let mut c = Canvas::new(right + legend_width(&Canvas::new(1.0, 1.0), &entries) + 16.0, height);
    for (i, panel) in panels.iter().enumerate() {
        let (x0, y0) = (left + (i % columns) as f64 * across, 28.0 + (i / columns) as f64 * down);
        let all: Vec<(f64, f64)> = panel.iter().flat_map(|(m, t)| m.iter().chain(t)).copied().collect();
        let [xs, ys] = [|p: &(f64, f64)| p.0, |p: &(f64, f64)| p.1].map(|of| all.iter().map(of).collect::<Vec<_>>());
        let axes = Axes::new([x0, y0, x0 + PANEL[0], y0 + PANEL[1]], scale(&xs, 1.12), scale(&ys, 1.4));
        for (u, (measured, theory)) in panel.iter().enumerate() {
            draw(&mut c, &axes, series(u), measured, theory);
        }
        // The lowest panel of a column names the axis, the first of a row the numbers.
        let x = if i + columns >= parts { &curves.labels[0] } else { "" };
        let y = if i % columns == 0 { &curves.labels[1] } else { "" };
        axes.draw(&mut c, x, y, (true, true));
        c.text(&curves.parts[i], (x0 + 0.5 * PANEL[0], y0 - 7.0), TICK, INK, (0.5, 1.0));
    }
    legend(&mut c, (right, 26.0), &entries);
    Some(c)
}

fn single(curves: &Curves) -> Option<Canvas> {
    let points = |values: &[f64]| points(&curves.at, values);
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
    let theory = shown.iter().any(|(_, _, t)| !t.is_empty());
    let entries = entries(shown.iter().map(|(u, ..)| *u), theory.then_some(curves.theory.as_str()));
    let (right, bottom) = (596.0, if theory { 300.0 } else { 360.0 });
    let mut c = Canvas::new(
        right + 24.0 + legend_width(&Canvas::new(1.0, 1.0), &entries) + 8.0,
        if theory { 470.0 } else { 410.0 },
    );
    let main = Axes::new([78.0, 14.0, right, bottom], x, y);
    for (i, (_, measured, theory)) in shown.iter().enumerate() {
        draw(&mut c, &main, series(i), measured, theory);
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
