//! Sample maps: several universes on one logarithmic colour scale.

use super::MapPanel;
use super::axes::{Scale, TICK};
use super::canvas::{Canvas, GREY, INK, pen};
use plotters::prelude::{RGBColor, ViridisRGB};
use plotters::style::colors::colormaps::ColorMap;

/// Panels in a row, at most.
const PER_ROW: usize = 4;
const SIDE: f64 = 186.0;
const GAP: f64 = 12.0;
const HEAD: f64 = 26.0;

/// The figure; none without maps.
pub fn figure(maps: &[MapPanel], quantity: &str) -> Option<Canvas> {
    let maps: Vec<&MapPanel> =
        maps.iter().filter(|m| m.data.len() == m.width * m.height && !m.data.is_empty()).collect();
    if maps.is_empty() {
        return None;
    }
    let mut positive: Vec<f32> =
        maps.iter().flat_map(|m| &m.data).copied().filter(|v| v.is_finite() && *v > 0.0).collect();
    positive.sort_by(f32::total_cmp);
    let log = positive.len() * 2 > maps.iter().map(|m| m.data.len()).sum();
    if !log {
        // Not a density: a linear scale over all finite values.
        positive = maps.iter().flat_map(|m| &m.data).copied().filter(|v| v.is_finite()).collect();
        positive.sort_by(f32::total_cmp);
    }
    let quantile = |q: f64| *positive.get((q * (positive.len() as f64 - 1.0)) as usize).unwrap_or(&1.0) as f64;
    let range =
        if log { Scale::log(quantile(0.01), quantile(0.998)) } else { Scale::linear(quantile(0.005), quantile(0.995)) };
    let color = |v: f64| -> RGBColor {
        match range.fraction(v) {
            // What is no number has no place on the scale.
            f if f.is_nan() => GREY,
            f => ViridisRGB.get_color(f.clamp(0.0, 1.0) as f32),
        }
    };

    let columns = maps.len().min(PER_ROW);
    let rows = maps.len().div_ceil(PER_ROW);
    let (left, bar) = (8.0, 86.0);
    let width = left + columns as f64 * (SIDE + GAP) + bar;
    let height = rows as f64 * (SIDE + HEAD) + 10.0;
    let mut c = Canvas::new(width, height);
    for (i, m) in maps.iter().enumerate() {
        let (x0, y0) = (left + (i % columns) as f64 * (SIDE + GAP), HEAD + (i / columns) as f64 * (SIDE + HEAD));
        // The longer side fills the panel.
        let side = SIDE / m.width.max(m.height) as f64;
        let frame = [x0, y0, x0 + side * m.width as f64, y0 + side * m.height as f64];
        c.pixels(frame, |x, y| {
            let (i, j) = (((x - x0) / side) as usize, ((y - y0) / side) as usize);
            Some((color(m.data[j.min(m.height - 1) * m.width + i.min(m.width - 1)] as f64), 1.0))
        });
        c.outline(frame, pen(INK, 0.8));
        c.text(&m.label, (x0 + 0.5 * SIDE, y0 - 9.0), TICK, INK, (0.5, 1.0));
    }
    let (x0, y0, y1) = (left + columns as f64 * (SIDE + GAP) + 4.0, HEAD, HEAD + SIDE);
    let frame = [x0, y0, x0 + 13.0, y1];
    c.pixels(frame, |_, y| Some((color(range.value((y1 - y) / SIDE)), 1.0)));
    c.outline(frame, pen(INK, 0.8));
    let mut widest = 0.0f64;
    for (v, label) in range.ticks(5) {
        let y = y1 - range.fraction(v) * SIDE;
        c.stroke(&[(x0 + 13.0, y), (x0 + if label.is_empty() { 10.5 } else { 9.0 }, y)], pen(INK, 0.8));
        c.text(&label, (x0 + 18.0, y), TICK, INK, (0.0, 0.5));
        widest = widest.max(c.text_width(&label, TICK));
    }
    c.upward(quantity, (x0 + 28.0 + widest, 0.5 * (y0 + y1)), 12.0, INK, (0.5, 0.0));
    Some(c)
}
