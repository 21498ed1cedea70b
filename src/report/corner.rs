//! Corner plots: marginal densities on the diagonal, 68% and 95% regions below it, the truth as cross lines.

use super::axes::{Axes, Key, LABEL, Scale, TICK, legend};
use super::canvas::{Canvas, INK, PALETTE, SCALE, pen, series};
use crate::calibration::kde::{Kde, Kde2};
use crate::io::samples::Samples;

/// Parameters shown, at most: more panels could not be told apart.
pub const SHOWN: usize = 12;

/// The figure for one universe: name, samples and row of each posterior (at least one; equal priors). `whole_prior`
/// shows the prior's full range, otherwise the axes follow the posteriors.
pub fn figure(posteriors: &[(&str, &Samples, usize)], whole_prior: bool) -> Canvas {
    let (_, first, first_row) = posteriors[0];
    let (p, prior) = (first.dim().min(SHOWN), &first.prior);
    let truth = first.truth_of(first_row);
    let side = if p <= 2 { 176.0 } else { 140.0 };
    let (left, top, gap) = (80.0, 32.0, 12.0);
    let legend_room = if p == 1 { 130.0 } else { 0.0 };
    let size = left + p as f64 * (side + gap);
    let mut c = Canvas::new(size + legend_room + 8.0, top + p as f64 * (side + gap) + 44.0);
    let ranges: Vec<Scale> = (0..p).map(|j| axis_range(posteriors, j, truth, whole_prior)).collect();
    let trim = if p > 1 { 9.0 } else { 0.0 };
    let frame = |i: usize, j: usize| {
        let (x0, y0) = (left + j as f64 * (side + gap), top + i as f64 * (side + gap));
        [x0, y0, x0 + side, y0 + side]
    };
    let bounds = |j: usize| prior.parameters[j].distribution.bounds();
    for i in 0..p {
        for j in 0..=i {
            let numbers = (i + 1 == p, j == 0 && i > 0);
            let x_label = if i + 1 == p { prior.parameters[j].latex.as_str() } else { "" };
            let y_label = if j == 0 && i > 0 { prior.parameters[i].latex.as_str() } else { "" };
            if i == j {
                let kdes: Vec<Kde> =
                    posteriors.iter().map(|(_, s, row)| Kde::new(&s.column(*row, j), bounds(j), 256)).collect();
                let peak = kdes.iter().flat_map(|k| &k.density).fold(0.0, |m: f64, d| m.max(*d));
                let mut axes = Axes::new(frame(i, j), ranges[j], Scale::linear(0.0, 1.12 * peak));
                for (n, kde) in kdes.iter().enumerate() {
                    let mut curve: Vec<(f64, f64)> =
                        kde.density.iter().enumerate().map(|(g, d)| (kde.start + g as f64 * kde.step, *d)).collect();
                    // At a prior's bound the density ends with a step.
                    curve.insert(0, (curve[0].0, 0.0));
                    curve.push((curve[curve.len() - 1].0, 0.0));
                    if n == 0 {
                        axes.band(&mut c, curve.iter().map(|(x, d)| (*x, 0.0, *d)), series(n), 0.18);
                    }
                    axes.line(&mut c, curve, line(n));
                }
                if let Some(t) = truth {
                    axes.line(&mut c, [(t[j], axes.y.min), (t[j], axes.y.max)], pen(INK, 1.1).dashed());
                }
                let (mean, sd) = first.mean_sd(first_row, j);
                let digits = (1.0 - sd.log10().floor()).clamp(0.0, 6.0) as usize;
                let latex = &prior.parameters[j].latex;
                let title = match sd < 1e-5 {
                    true => format!("{latex} = {mean:.3e} ± {sd:.1e}"),
                    false => format!("{latex} = {mean:.digits$} ± {sd:.digits$}"),
                };
                c.text(
                    &title.replace('-', "−"),
                    (0.5 * (axes.frame[0] + axes.frame[2]), axes.frame[1] - 8.0),
                    TICK + 0.5,
                    INK,
                    (0.5, 1.0),
                );
                // No vertical ticks: the height of a density says nothing that its shape does not.
                axes.trim = trim;
                axes.draw_x(&mut c, x_label, numbers.0);
                continue;
            }
            let mut axes = Axes::new(frame(i, j), ranges[j], ranges[i]);
            for (n, (_, s, row)) in posteriors.iter().enumerate().rev() {
                // Of marginals only some pairs are known.
                let Some([x, y]) = s.pair(*row, j, i) else { continue };
                let kde = Kde2::new(&x, &y, [bounds(j), bounds(i)], 128);
                contours(&mut c, &axes, &kde, n);
            }
            if let Some(t) = truth {
                let mark = pen(INK, 1.1).dashed();
                axes.line(&mut c, [(t[j], axes.y.min), (t[j], axes.y.max)], mark);
                axes.line(&mut c, [(axes.x.min, t[i]), (axes.x.max, t[i])], mark);
                let (x, y) = axes.at(t[j], t[i]);
                c.clipped(axes.frame, |c| c.dot(x, y, 3.2, INK, 1.0));
            }
            axes.trim = trim;
            axes.draw(&mut c, x_label, y_label, numbers);
        }
    }
    let mut entries: Vec<(String, Key)> =
        posteriors.iter().enumerate().map(|(n, (name, ..))| (name.replace('_', " "), Key::Line(line(n)))).collect();
    if truth.is_some() {
        entries.push(("truth".into(), Key::Line(pen(INK, 1.1).dashed())));
    }
    let x = if p == 1 { size + 8.0 } else { left + (p - 1) as f64 * (side + gap) + 6.0 };
    legend(&mut c, (x, if p == 1 { top + 4.0 } else { top + 8.0 }), &entries);
    if p == 1 {
        c.upward("probability density", (left - 14.0, top + 0.5 * side), LABEL, INK, (0.5, 1.0));
    }
    c
}

fn line(n: usize) -> super::canvas::Pen {
    pen(PALETTE[n % PALETTE.len()], 1.7)
}

/// Range of a parameter's axis: the posteriors' central 99.8% and the truth with a margin, within the prior.
fn axis_range(posteriors: &[(&str, &Samples, usize)], j: usize, truth: Option<&[f64]>, whole_prior: bool) -> Scale {
    let p = &posteriors[0].1.prior.parameters[j].distribution;
    if whole_prior {
        let (low, high) = p.range();
        return Scale::linear(low, high);
    }
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for (_, s, row) in posteriors {
        let mut draws = s.column(*row, j);
        draws.sort_by(f64::total_cmp);
        low = low.min(draws[draws.len() / 1000]);
        high = high.max(draws[draws.len() - 1 - draws.len() / 1000]);
    }
    if let Some(t) = truth {
        low = low.min(t[j]);
        high = high.max(t[j]);
    }
    let margin = 0.12 * (high - low);
    let (min, max) = p.bounds();
    Scale::linear((low - margin).max(min.min(low)), (high + margin).min(max.max(high)))
}

/// Fills the 95% and 68% regions and draws their outlines, pixel by pixel: a pixel lies on the outline if the density
/// differs from the level by less than half a pen's width times its slope.
fn contours(c: &mut Canvas, axes: &Axes, kde: &Kde2, n: usize) {
    let levels = [kde.level(0.95), kde.level(0.68)];
    let [x0, y0, x1, y1] = axes.frame;
    let at = |x: f64, y: f64| kde.at(axes.x.value((x - x0) / (x1 - x0)), axes.y.value((y1 - y) / (y1 - y0)));
    let fills = if n == 0 { [0.22, 0.30] } else { [0.0, 0.0] };
    c.pixels(axes.frame, |x, y| {
        let d = at(x, y);
        let h = 1.0 / SCALE;
        let slope = (at(x + h, y) - at(x - h, y)).hypot(at(x, y + h) - at(x, y - h)) / 2.0;
        let mut clear = 1.0;
        for (level, fill) in levels.into_iter().zip(fills) {
            if d >= level {
                clear *= 1.0 - fill;
            }
            let distance = (d - level).abs() / slope.max(1e-300);
            clear *= 1.0 - (0.5 * 1.5 * SCALE + 0.5 - distance).clamp(0.0, 1.0);
        }
        (clear < 1.0).then_some((series(n), 1.0 - clear))
    });
}
