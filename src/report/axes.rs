//! A framed panel with linear or logarithmic axes, ticks inward, on a [`Canvas`].

use super::canvas::{Canvas, GREY, INK, Pen, pen};
use plotters::style::RGBColor;

/// Size of tick labels and axis labels in logical pixels.
pub const TICK: f64 = 11.0;
pub const LABEL: f64 = 13.0;

/// An axis: its range and whether it is logarithmic.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub min: f64,
    pub max: f64,
    pub log: bool,
}

/// Numbers beyond this, either way, are drawn at the edge: their differences and ratios would not be finite.
const HUGE: f64 = 1e150;

impl Scale {
    /// From `min` to `max`; something about them where they are equal, or no numbers.
    pub fn linear(min: f64, max: f64) -> Scale {
        let [min, max] = [min, max].map(|v| if v.is_nan() { 0.0 } else { v.clamp(-HUGE, HUGE) });
        // Closer than their own last digits they are the same number.
        let least = min.abs().max(1e-12) * 1e-12;
        let max = if max - min > least { max } else { min + min.abs().max(1.0) * 1e-3 };
        Scale { min, max, log: false }
    }

    pub fn log(min: f64, max: f64) -> Scale {
        let [min, max] = [min, max].map(|v| if v.is_nan() { 1.0 } else { v.clamp(1.0 / HUGE, HUGE) });
        Scale { min, max: max.max(min * 1.01), log: true }
    }

    /// Position of `v`, between 0 and 1 where it lies on the scale; on a logarithmic one 0 and less lie below it.
    pub fn fraction(&self, v: f64) -> f64 {
        match self.log {
            true if v <= 0.0 => f64::NEG_INFINITY,
            true => (v / self.min).ln() / (self.max / self.min).ln(),
            false => (v - self.min) / (self.max - self.min),
        }
    }

    /// The value at fraction `f`.
    pub fn value(&self, f: f64) -> f64 {
        if self.log { self.min * (self.max / self.min).powf(f) } else { self.min + f * (self.max - self.min) }
    }

    /// Ticks: value and label, empty for a minor one. About `n` are labelled.
    pub fn ticks(&self, n: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks(n) } else { self.linear_ticks(n) }
    }

    fn linear_ticks(&self, n: usize) -> Vec<(f64, String)> {
        let rough = (self.max - self.min) / n as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(power);
        // Steps below that are written with exponents.
        let decimals = (0..8)
            .filter(|_| step > 1e-5)
            .find(|d| (step * 10f64.powi(*d)).fract().min(1.0 - (step * 10f64.powi(*d)).fract()) < 1e-6);
        let (first, last) = ((self.min / step - 1e-9).ceil() as i64, (self.max / step + 1e-9).floor() as i64);
        let label = |v: f64| match decimals {
            _ if v.abs() >= 1e5 => format!("{v:.0e}"),
            Some(d) => format!("{:.*}", d as usize, if v == 0.0 { 0.0 } else { v }).replace('-', "−"),
            None => format!("{v:.1e}"),
        };
        (first..=last).map(|i| (i as f64 * step, label(i as f64 * step))).collect()
    }

    fn log_ticks(&self, n: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        let decades = (self.max / self.min).log10();
        let every = ((decades / n as f64).ceil() as i32).max(1);
        let mut out = Vec::new();
        for e in first..=last {
            for m in 1..10 {
                let v = m as f64 * 10f64.powi(e);
                if self.fraction(v) < -1e-9 || self.fraction(v) > 1.0 + 1e-9 {
                    continue;
                }
                let short = decades < 1.6 && (m == 1 || m == 2 || m == 5 || decades < 0.7);
                let plain = (-2..=3).contains(&e);
                let label = match (m, plain) {
                    _ if !(short || m == 1 && e.rem_euclid(every) == 0) => String::new(),
                    (_, true) => format!("{:.*}", (-e).max(0) as usize, v),
                    (1, _) => format!("10^{{{e}}}"),
                    _ => format!("{m}×10^{{{e}}}"),
                };
                out.push((v, label));
            }
        }
        out
    }
}

/// A panel.
#[derive(Debug, Clone, Copy)]
pub struct Axes {
    /// x0, y0, x1, y1 in logical pixels.
    pub frame: [f64; 4],
    pub x: Scale,
    pub y: Scale,
    /// Numbers of the horizontal axis nearer than this to the frame's corners are left out (panels side by side).
    pub trim: f64,
}

impl Axes {
    pub fn new(frame: [f64; 4], x: Scale, y: Scale) -> Axes {
        Axes { frame, x, y, trim: 0.0 }
    }

    /// Logical position of a point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.px(x), self.py(y))
    }

    pub fn px(&self, x: f64) -> f64 {
        self.frame[0] + self.x.fraction(x) * (self.frame[2] - self.frame[0])
    }

    pub fn py(&self, y: f64) -> f64 {
        self.frame[3] - self.y.fraction(y) * (self.frame[3] - self.frame[1])
    }

    /// Frame, ticks and labels; `numbers` says which axes' ticks carry their values.
    pub fn draw(&self, c: &mut Canvas, x_label: &str, y_label: &str, numbers: (bool, bool)) {
        self.draw_x(c, x_label, numbers.0);
        self.draw_y(c, y_label, numbers.1);
    }

    /// Frame and horizontal axis alone.
    pub fn draw_x(&self, c: &mut Canvas, label: &str, numbers: bool) {
        let [x0, y0, x1, y1] = self.frame;
        let line = pen(INK, 0.8);
        c.outline(self.frame, line);
        c.text(label, (0.5 * (x0 + x1), y1 + 27.0), LABEL, INK, (0.5, 0.0));
        let mut last = f64::MIN;
        for (v, label) in self.x.ticks(((x1 - x0) / 44.0).clamp(2.0, 7.0) as usize) {
            let (x, length) = (self.px(v), if label.is_empty() { 2.5 } else { 4.5 });
            c.stroke(&[(x, y1), (x, y1 - length)], line);
            c.stroke(&[(x, y0), (x, y0 + length)], line);
            let half = 0.5 * c.text_width(&label, TICK);
            let trimmed = x - x0 < self.trim || x1 - x < self.trim;
            if numbers && !trimmed && !label.is_empty() && x - half > last + 6.0 {
                c.text(&label, (x, y1 + 8.0), TICK, INK, (0.5, 0.0));
                last = x + half;
            }
        }
    }

    fn draw_y(&self, c: &mut Canvas, y_label: &str, numbers: bool) {
        let [x0, y0, x1, y1] = self.frame;
        let line = pen(INK, 0.8);
        let (mut widest, mut last) = (0.0f64, f64::MAX);
        for (v, label) in self.y.ticks(((y1 - y0) / 30.0).clamp(2.0, 7.0) as usize) {
            let (y, length) = (self.py(v), if label.is_empty() { 2.5 } else { 4.5 });
            c.stroke(&[(x0, y), (x0 + length, y)], line);
            c.stroke(&[(x1, y), (x1 - length, y)], line);
            if numbers && !label.is_empty() && y < last - TICK - 2.0 {
                c.text(&label, (x0 - 7.0, y), TICK, INK, (1.0, 0.5));
                widest = widest.max(c.text_width(&label, TICK));
                last = y;
            }
        }
        c.upward(y_label, (x0 - 18.0 - widest, 0.5 * (y0 + y1)), LABEL, INK, (0.5, 1.0));
    }

    /// A line through points in data units.
    pub fn line(&self, c: &mut Canvas, points: impl IntoIterator<Item = (f64, f64)>, pen: Pen) {
        let points: Vec<_> = points.into_iter().map(|(x, y)| self.at(x, y)).collect();
        c.clipped(self.frame, |c| c.stroke(&points, pen));
    }

    /// A band in data units: (x, lower, upper).
    pub fn band(&self, c: &mut Canvas, points: impl IntoIterator<Item = (f64, f64, f64)>, color: RGBColor, alpha: f64) {
        let points: Vec<_> = points.into_iter().map(|(x, l, u)| (self.px(x), self.py(l), self.py(u))).collect();
        c.clipped(self.frame, |c| c.band(&points, color, alpha));
    }

    /// A title above the frame.
    pub fn title(&self, c: &mut Canvas, text: &str) {
        c.bold(text, (self.frame[0], self.frame[1] - 9.0), LABEL, INK, (0.0, 1.0));
    }
}

/// A line of a legend: its text and how its sample is drawn (a pen, or a filled box).
pub enum Key {
    Line(Pen),
    Fill(RGBColor, f64),
    Dot(RGBColor),
    Ring(RGBColor),
    /// None: the line goes on with the text above it.
    More,
}

/// Draws a legend with its top left corner at `at`; returns its height.
pub fn legend(c: &mut Canvas, at: (f64, f64), entries: &[(String, Key)]) -> f64 {
    for (i, (text, key)) in entries.iter().enumerate() {
        let (x, y) = (at.0, at.1 + 17.0 * i as f64 + 7.0);
        match key {
            Key::Line(pen) => c.stroke(&[(x, y), (x + 20.0, y)], *pen),
            Key::Fill(color, alpha) => c.fill([x, y - 4.5, x + 20.0, y + 4.5], *color, *alpha),
            Key::Dot(color) => c.dot(x + 10.0, y, 3.0, *color, 1.0),
            Key::Ring(color) => c.ring(x + 10.0, y, 4.5, pen(*color, 1.5)),
            Key::More => {}
        }
        c.text(text, (x + 26.0, y), TICK, INK, (0.0, 0.5));
    }
    17.0 * entries.len() as f64
}

/// Width of a legend.
pub fn legend_width(c: &Canvas, entries: &[(String, Key)]) -> f64 {
    entries.iter().map(|(t, _)| c.text_width(t, TICK)).fold(0.0, f64::max) + 26.0
}

/// A thin grey line that marks a reference.
pub fn reference() -> Pen {
    pen(GREY, 0.9)
}
