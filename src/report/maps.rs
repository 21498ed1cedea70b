//! Sample maps: several universes on one colour scale, logarithmic where they are densities.

use super::MapPanel;
use super::axes::{Scale, TICK};
use super::canvas::{Canvas, GREY, INK, pen};
use plotters::prelude::{RGBColor, ViridisRGB};
use plotters::style::colors::colormaps::ColorMap;

/// Panels in a row, at most: of maps that are about as high as wide, and of wider ones.
const PER_ROW: [usize; 2] = [4, 2];
/// Height of a panel.
const SIDE: f64 = 186.0;
const GAP: f64 = 12.0;
/// From one line of a title to the next.
const LINE: f64 = 16.0;
/// What was not looked at.
const UNSEEN: RGBColor = RGBColor(225, 225, 225);

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
    // A density has no negative values.
    let finite = || maps.iter().flat_map(|m| &m.data).filter(|v| v.is_finite());
    let log = positive.len() * 2 > finite().count() && finite().all(|v| *v >= 0.0);
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

    // Panels are as wide as the widest map that fills their height, but not more than two heights.
    let aspect = maps.iter().map(|m| m.width as f64 / m.height as f64).fold(1.0, f64::max).min(2.0);
    let (wide, per_row) = (SIDE * aspect, PER_ROW[usize::from(aspect > 1.5)]);
    let columns = maps.len().min(per_row);
    let ruler = Canvas::new(1.0, 1.0);
    let titles: Vec<Vec<String>> = maps.iter().map(|m| ruler.lines(&m.label, TICK, wide)).collect();
    let head = 10.0 + LINE * titles.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let rows = maps.len().div_ceil(per_row);
    // A title wider than its panel reaches as far beyond it.
    let over = titles.iter().flatten().map(|t| 0.5 * (ruler.text_width(t, TICK) - wide)).fold(0.0, f64::max);
    let (left, gap, bar) = (8.0 + over, GAP + 2.0 * over, 86.0);
    let width = left + columns as f64 * (wide + gap) + bar;
    let height = rows as f64 * (SIDE + head) + 10.0;
    let mut c = Canvas::new(width, height);
    for (i, (m, title)) in maps.iter().zip(&titles).enumerate() {
        let (x0, y0) = (left + (i % columns) as f64 * (wide + gap), head + (i / columns) as f64 * (SIDE + head));
        // As large as the panel lets it be.
        let side = (wide / m.width as f64).min(SIDE / m.height as f64);
        let frame = [x0, y0, x0 + side * m.width as f64, y0 + side * m.height as f64];
        let half = [0.5 * (frame[2] - frame[0]), 0.5 * (frame[3] - frame[1])];
        c.pixels(frame, |x, y| {
            let (i, j) = (((x - x0) / side) as usize, ((y - y0) / side) as usize);
            let v = m.data[j.min(m.height - 1) * m.width + i.min(m.width - 1)];
            let beyond = m.round && ((x - x0) / half[0] - 1.0).hypot((y - y0) / half[1] - 1.0) > 1.0;
            let color = if m.round && v.is_nan() { UNSEEN } else { color(v as f64) };
            (!beyond).then_some((color, 1.0))
        });
        match m.round {
            true => {
                let rim = (0..=180).map(|i| (i as f64 * std::f64::consts::TAU / 180.0).sin_cos());
                let rim: Vec<_> = rim.map(|(s, k)| (x0 + half[0] * (1.0 + s), y0 + half[1] * (1.0 + k))).collect();
                c.stroke(&rim, pen(INK, 0.8));
            }
            false => c.outline(frame, pen(INK, 0.8)),
        }
        for (line, text) in title.iter().rev().enumerate() {
            c.text(text, (x0 + half[0], y0 - 9.0 - LINE * line as f64), TICK, INK, (0.5, 1.0));
        }
    }
    let (x0, y0, y1) = (left + columns as f64 * (wide + gap) - over + 4.0, head, head + SIDE);
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
