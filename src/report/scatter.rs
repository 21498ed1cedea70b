//! True against inferred parameters of the test universes.

use super::axes::{Axes, Key, Scale, legend, legend_width, reference};
use super::canvas::{Canvas, pen, series};
use crate::io::samples::Samples;

/// Error bars drawn, at most, so that they can be told apart.
const SHOWN: usize = 200;

/// Parameters shown, at most.
const PARAMETERS: usize = 12;

/// The figure: a row of panels (parameters) per posterior; none without known truths.
pub fn figure(posteriors: &[(String, Samples)]) -> Option<Canvas> {
    let posteriors: Vec<_> =
        posteriors.iter().filter(|(_, s)| s.draws > 1 && (0..s.len()).any(|i| s.truth_of(i).is_some())).collect();
    let (_, first) = posteriors.first()?;
    let (side, left, top) = (238.0, 74.0, 34.0);
    let columns = first.dim().min(PARAMETERS);
    let (wide, high) = (side + left + 4.0, side + top + 48.0);
    let mut c = Canvas::new(columns as f64 * wide + 12.0, posteriors.len() as f64 * high + 4.0);
    for (r, (name, s)) in posteriors.iter().enumerate() {
        let rows: Vec<usize> = (0..s.len()).filter(|i| s.truth_of(*i).is_some()).collect();
        let every = rows.len().div_ceil(SHOWN);
        for (j, p) in s.prior.parameters.iter().enumerate().take(columns) {
            let (x0, y0) = (j as f64 * wide + left, r as f64 * high + top);
            let margin = 0.04 * (p.max - p.min);
            let range = Scale::linear(p.min - margin, p.max + margin);
            let axes = Axes::new([x0, y0, x0 + side, y0 + side], range, range);
            axes.line(&mut c, [(range.min, range.min), (range.max, range.max)], reference());
            let (mut square, mut n) = (0.0, 0usize);
            for (count, &row) in rows.iter().enumerate() {
                let (mean, sd) = s.mean_sd(row, j);
                let truth = s.truth[row * s.dim() + j];
                square += (mean - truth).powi(2);
                n += 1;
                if count % every == 0 {
                    axes.line(&mut c, [(truth, mean - sd), (truth, mean + sd)], pen(series(r), 1.1).alpha(0.45));
                    let (x, y) = axes.at(truth, mean);
                    c.clipped(axes.frame, |c| c.dot(x, y, 2.3, series(r), 0.95));
                }
            }
            axes.draw(&mut c, &format!("true {}", p.latex), &format!("inferred {}", p.latex), (true, true));
            if j == 0 {
                axes.title(&mut c, &name.replace('_', " "));
            }
            let entries = [(format!("rms error {:.4}", (square / n as f64).sqrt()), Key::Dot(series(r)))];
            let at = (x0 + side - legend_width(&c, &entries) - 10.0, y0 + side - 24.0);
            legend(&mut c, at, &entries);
        }
    }
    Some(c)
}
