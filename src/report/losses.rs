//! Loss curves of the trained stages.

use super::axes::{Axes, Key, LABEL, Scale, legend, legend_width};
use super::canvas::{Canvas, INK, pen, series};
use crate::io::history::Epoch;

/// The figure: a panel per stage, three in a row; none without histories.
pub fn figure(histories: &[(String, Vec<Epoch>)]) -> Option<Canvas> {
    let histories: Vec<_> = histories.iter().filter(|(_, h)| h.iter().any(|e| e.train_loss.is_finite())).collect();
    if histories.is_empty() {
        return None;
    }
    let (wide, high) = (if histories.len() == 1 { 420.0 } else { 300.0 }, 250.0);
    let columns = histories.len().min(3);
    let mut c = Canvas::new(columns as f64 * wide + 12.0, histories.len().div_ceil(3) as f64 * high + 4.0);
    for (i, (stage, epochs)) in histories.into_iter().enumerate() {
        let (x0, y0) = ((i % columns) as f64 * wide, (i / columns) as f64 * high);
        let train: Vec<(f64, f64)> = epochs.iter().map(|e| (e.epoch as f64, e.train_loss)).collect();
        let validation: Vec<(f64, f64)> = epochs
            .iter()
            .filter_map(|e| e.validation_loss.map(|l| (e.epoch as f64, l)))
            .filter(|p| p.1.is_finite())
            .collect();
        let mut values: Vec<f64> = train.iter().chain(&validation).map(|p| p.1).filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        // The first epochs may be anywhere: the axis serves the rest.
        let quantile = |q: f64| values[(q * (values.len() - 1) as f64).round() as usize];
        let (low, high_value) = (values[0], if values.len() > 20 { quantile(0.97) } else { quantile(1.0) });
        let margin = 0.08 * (high_value - low).max(1e-6);
        let last = train.iter().map(|p| p.0).fold(1.0, f64::max);
        let first = train.iter().map(|p| p.0).fold(f64::MAX, f64::min).min(last - 1.0);
        let axes = Axes::new(
            [x0 + 76.0, y0 + 32.0, x0 + wide - 6.0, y0 + high - 50.0],
            Scale::linear(first, last),
            Scale::linear(low - margin, high_value + 2.0 * margin),
        );
        let (train_pen, validation_pen) = (pen(series(0), 1.6), pen(series(1), 1.6));
        axes.line(&mut c, train, train_pen);
        let mut entries = vec![("training".to_string(), Key::Line(train_pen))];
        if let Some(best) = validation.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)) {
            axes.line(&mut c, validation, validation_pen);
            let (x, y) = axes.at(best.0, best.1);
            c.ring(x, y, 5.0, pen(INK, 1.5));
            entries.push(("validation".into(), Key::Line(validation_pen)));
            entries.push((format!("best: {:.3}", best.1).replace('-', "−"), Key::Ring(INK)));
        }
        axes.draw(&mut c, "epoch", if i % columns == 0 { "loss" } else { "" }, (true, true));
        c.bold(&stage.replace('_', " "), (axes.frame[0], axes.frame[1] - 9.0), LABEL, INK, (0.0, 1.0));
        let at = (axes.frame[2] - legend_width(&c, &entries) - 10.0, axes.frame[1] + 8.0);
        legend(&mut c, at, &entries);
    }
    Some(c)
}
