//! True against inferred parameters of the test universes.

use super::axes::{Axes, Key, Scale, legend, legend_width, reference};
use super::canvas::{Canvas, pen, series};
use crate::io::samples::Samples;
use crate::prior::Parameter;

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
            let bar = |&row: &usize| {
                let (mean, sd) = s.mean_sd(row, j);
                [s.truth[row * s.dim() + j], mean - sd, mean, mean + sd]
            };
            let bars: Vec<[f64; 4]> = rows.iter().step_by(every).map(bar).collect();
            let range = range(p, &bars);
            let axes = Axes::new([x0, y0, x0 + side, y0 + side], range, range);
            axes.line(&mut c, [(range.min, range.min), (range.max, range.max)], reference());
            for [truth, low, mean, high] in bars {
                axes.line(&mut c, [(truth, low), (truth, high)], pen(series(r), 1.1).alpha(0.45));
                let (x, y) = axes.at(truth, mean);
                c.clipped(axes.frame, |c| c.dot(x, y, 2.3, series(r), 0.95));
            }
            let square: f64 = rows.iter().map(|&row| (s.mean_sd(row, j).0 - s.truth[row * s.dim() + j]).powi(2)).sum();
            axes.draw(&mut c, &format!("true {}", p.latex), &format!("inferred {}", p.latex), (true, true));
            if j == 0 {
                axes.title(&mut c, &name.replace('_', " "));
            }
            let entries = [(format!("rms error {:.4}", (square / rows.len() as f64).sqrt()), Key::Dot(series(r)))];
            let at = (x0 + side - legend_width(&c, &entries) - 10.0, y0 + side - 24.0);
            legend(&mut c, at, &entries);
        }
    }
    Some(c)
}

/// The prior, and what of truths and bars reaches beyond it: no bar is cut at the frame.
fn range(parameter: &Parameter, bars: &[[f64; 4]]) -> Scale {
    let ends = bars.iter().flatten().filter(|v| v.is_finite());
    let (min, max) = ends.fold(parameter.distribution.range(), |(min, max), v| (min.min(*v), max.max(*v)));
    let margin = 0.04 * (max - min);
    Scale::linear(min - margin, max + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bar_is_cut() {
        let p = Parameter::uniform("a", "a", 0.0, 1.0);
        let scale = range(&p, &[[0.5, 0.4, 0.5, 0.6]]);
        assert_eq!((scale.min, scale.max), (-0.04, 1.04));
        let scale = range(&p, &[[0.1, -0.2, 0.1, 0.4], [1.2, 0.7, 0.9, 1.1], [f64::NAN; 4]]);
        assert!(scale.min < -0.2 && scale.max > 1.2, "{scale:?}");
    }
}
