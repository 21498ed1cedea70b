//! A drawing surface in logical pixels, at twice the resolution: anti-aliased strokes, bands and images; text, colour
//! maps by `plotters`; PNG files.

use super::label::{Run, runs};
use crate::error::{At, Error, Result};
use crate::io::ours::{MARK, publish_own};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::path::Path;
use std::sync::Once;

/// Device pixels per logical pixel.
pub const SCALE: f64 = 2.0;
/// Text, axes.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// Grid lines, secondary text.
pub const GREY: RGBColor = RGBColor(120, 120, 120);
/// Okabe & Ito's colours, told apart by the colour-blind, strongest first.
pub const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Colour of the i-th series.
pub fn series(i: usize) -> RGBColor {
    PALETTE[i % PALETTE.len()]
}

/// A pen.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    pub color: RGBColor,
    pub alpha: f64,
    /// Logical pixels.
    pub width: f64,
    /// Lengths of dash and gap in logical pixels.
    pub dash: Option<(f64, f64)>,
}

/// A solid pen.
pub fn pen(color: RGBColor, width: f64) -> Pen {
    Pen { color, alpha: 1.0, width, dash: None }
}

impl Pen {
    /// The same pen, dashed.
    pub fn dashed(self) -> Pen {
        Pen { dash: Some((5.0, 3.5)), ..self }
    }

    /// The same pen, translucent.
    pub fn alpha(self, alpha: f64) -> Pen {
        Pen { alpha, ..self }
    }
}

/// Where a text's anchor lies: 0 left or top, 0.5 middle, 1 right or bottom.
pub type Anchor = (f64, f64);

/// The surface: RGB bytes, white at first.
pub struct Canvas {
    /// Device size.
    size: (usize, usize),
    data: Vec<u8>,
    /// Device pixels outside x0, y0, x1, y1 are not drawn.
    clip: [f64; 4],
}

impl Canvas {
    /// A white surface of `width` × `height` logical pixels.
    pub fn new(width: f64, height: f64) -> Canvas {
        static FONTS: Once = Once::new();
        FONTS.call_once(|| {
            // The fonts are compiled in and known to be valid.
            let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
            let _ = register_font("sans-serif", FontStyle::Bold, dejavu::sans::bold());
        });
        let size = ((width * SCALE).ceil() as usize, (height * SCALE).ceil() as usize);
        Canvas { size, data: vec![255; size.0 * size.1 * 3], clip: [0.0, 0.0, size.0 as f64, size.1 as f64] }
    }

    /// Logical size.
    pub fn size(&self) -> (f64, f64) {
        (self.size.0 as f64 / SCALE, self.size.1 as f64 / SCALE)
    }

    /// Restricts what is drawn by `draw` to a box (x0, y0, x1, y1) of logical pixels.
    pub fn clipped(&mut self, frame: [f64; 4], draw: impl FnOnce(&mut Canvas)) {
        let before = std::mem::replace(&mut self.clip, frame.map(|v| v * SCALE));
        draw(self);
        self.clip = before;
    }

    fn blend(&mut self, x: usize, y: usize, color: RGBColor, alpha: f64) {
        let (fx, fy) = (x as f64 + 0.5, y as f64 + 0.5);
        let [x0, y0, x1, y1] = self.clip;
        if alpha <= 0.0 || x >= self.size.0 || y >= self.size.1 || fx < x0 || fx > x1 || fy < y0 || fy > y1 {
            return;
        }
        let at = 3 * (y * self.size.0 + x);
        for (c, v) in [color.0, color.1, color.2].into_iter().enumerate() {
            let old = self.data[at + c] as f64;
            self.data[at + c] = (old + (v as f64 - old) * alpha.min(1.0)).round() as u8;
        }
    }

    /// Draws every device pixel of the box (x0, y0, x1, y1) with the colour and opacity at its logical position.
    pub fn pixels(&mut self, [x0, y0, x1, y1]: [f64; 4], color: impl Fn(f64, f64) -> Option<(RGBColor, f64)>) {
        let range = |a: f64, b: f64, size: usize| {
            (a * SCALE).round().max(0.0) as usize..((b * SCALE).round().max(0.0) as usize).min(size)
        };
        for y in range(y0, y1, self.size.1) {
            for x in range(x0, x1, self.size.0) {
                if let Some((color, alpha)) = color((x as f64 + 0.5) / SCALE, (y as f64 + 0.5) / SCALE) {
                    self.blend(x, y, color, alpha);
                }
            }
        }
    }

    /// Fills a box.
    pub fn fill(&mut self, frame: [f64; 4], color: RGBColor, alpha: f64) {
        self.pixels(frame, |_, _| Some((color, alpha)));
    }

    /// Fills between two curves given at ascending `x`: (x, lower, upper) in logical pixels, y downward.
    pub fn band(&mut self, points: &[(f64, f64, f64)], color: RGBColor, alpha: f64) {
        for pair in points.windows(2) {
            let ((xa, la, ua), (xb, lb, ub)) = (pair[0], pair[1]);
            let end = ((xb * SCALE).round().max(0.0) as usize).min(self.size.0);
            for x in (xa * SCALE).round().max(0.0) as usize..end {
                let f = (((x as f64 + 0.5) / SCALE - xa) / (xb - xa)).clamp(0.0, 1.0);
                let (a, b) = ((la + f * (lb - la)) * SCALE, (ua + f * (ub - ua)) * SCALE);
                let (low, high) = (a.min(b).max(0.0), a.max(b).min(self.size.1 as f64));
                for y in low.floor() as usize..high.ceil().max(0.0) as usize {
                    let covered = (high.min(y as f64 + 1.0) - low.max(y as f64)).clamp(0.0, 1.0);
                    self.blend(x, y, color, alpha * covered);
                }
            }
        }
    }

    /// Draws a line through `points`; a point that is not finite breaks it.
    pub fn stroke(&mut self, points: &[(f64, f64)], pen: Pen) {
        let mut segments: Vec<[f64; 4]> = Vec::new();
        let mut along = 0.0;
        for pair in points.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|(x, y)| (x * SCALE, y * SCALE));
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            if !length.is_finite() || length > 1e5 {
                continue;
            }
            let Some((dash, gap)) = pen.dash.map(|(d, g)| (d * SCALE, g * SCALE)) else {
                segments.push([a.0, a.1, b.0, b.1]);
                continue;
            };
            let at = |s: f64| (a.0 + (b.0 - a.0) * s / length, a.1 + (b.1 - a.1) * s / length);
            let mut s = 0.0;
            while s < length {
                let phase = (along + s) % (dash + gap);
                let step = if phase < dash { dash - phase } else { dash + gap - phase }.min(length - s).max(1e-6);
                if phase < dash {
                    let ((x0, y0), (x1, y1)) = (at(s), at(s + step));
                    segments.push([x0, y0, x1, y1]);
                }
                s += step;
            }
            along += length;
        }
        self.ink(&segments, pen);
    }

    /// Blends a set of segments with round ends once, so that joints of translucent lines do not show.
    fn ink(&mut self, segments: &[[f64; 4]], pen: Pen) {
        let half = 0.5 * pen.width * SCALE;
        let fold =
            |f: fn(f64, f64) -> f64, i: usize, start: f64| segments.iter().fold(start, |m, s| f(f(m, s[i]), s[i + 2]));
        let reach = half + 1.0;
        let low = |i: usize| (fold(f64::min, i, f64::MAX) - reach).max(0.0).floor() as usize;
        let (x0, y0) = (low(0), low(1));
        let x1 = (fold(f64::max, 0, 0.0) + reach).min(self.size.0 as f64).max(0.0) as usize;
        let y1 = (fold(f64::max, 1, 0.0) + reach).min(self.size.1 as f64).max(0.0) as usize;
        if segments.is_empty() || x1 <= x0 || y1 <= y0 {
            return;
        }
        let width = x1 - x0;
        let mut cover = vec![0f32; width * (y1 - y0)];
        for [ax, ay, bx, by] in segments {
            let (dx, dy) = (bx - ax, by - ay);
            let norm = (dx * dx + dy * dy).max(1e-12);
            let span = |a: f64, b: f64, lo: usize, hi: usize| {
                let from = (a.min(b) - reach).max(lo as f64) as usize;
                from..((a.max(b) + reach).max(0.0) as usize).saturating_add(1).clamp(from, hi.max(from))
            };
            for y in span(*ay, *by, y0, y1) {
                for x in span(*ax, *bx, x0, x1) {
                    let (px, py) = (x as f64 + 0.5 - ax, y as f64 + 0.5 - ay);
                    let f = ((px * dx + py * dy) / norm).clamp(0.0, 1.0);
                    let covered = half + 0.5 - (px - f * dx).hypot(py - f * dy);
                    let c = &mut cover[(y - y0) * width + x - x0];
                    *c = c.max(covered.clamp(0.0, (2.0 * half).min(1.0)) as f32);
                }
            }
        }
        for (i, c) in cover.into_iter().enumerate() {
            self.blend(x0 + i % width, y0 + i / width, pen.color, c as f64 * pen.alpha);
        }
    }

    /// A filled disc.
    pub fn dot(&mut self, x: f64, y: f64, radius: f64, color: RGBColor, alpha: f64) {
        let at = [x * SCALE, y * SCALE, x * SCALE, y * SCALE];
        self.ink(&[at], Pen { color, alpha, width: 2.0 * radius, dash: None });
    }

    /// A circle.
    pub fn ring(&mut self, x: f64, y: f64, radius: f64, pen: Pen) {
        let angle = |i: usize| (i as f64 * std::f64::consts::TAU / 48.0).sin_cos();
        let points: Vec<_> = (0..=48).map(angle).map(|(s, k)| (x + radius * s, y + radius * k)).collect();
        self.stroke(&points, pen);
    }

    /// Draws the outline of a box.
    pub fn outline(&mut self, [x0, y0, x1, y1]: [f64; 4], pen: Pen) {
        self.stroke(&[(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], pen);
    }

    /// Writes a label (simple LaTeX) of `size` logical pixels.
    pub fn text(&mut self, latex: &str, at: (f64, f64), size: f64, color: RGBColor, anchor: Anchor) {
        self.write(&runs(latex), at, size, color, anchor, FontStyle::Normal, false);
    }

    /// Writes in bold.
    pub fn bold(&mut self, latex: &str, at: (f64, f64), size: f64, color: RGBColor, anchor: Anchor) {
        self.write(&runs(latex), at, size, color, anchor, FontStyle::Bold, false);
    }

    /// Writes upward; the anchor is that of the text before it is turned.
    pub fn upward(&mut self, latex: &str, at: (f64, f64), size: f64, color: RGBColor, anchor: Anchor) {
        self.write(&runs(latex), at, size, color, anchor, FontStyle::Normal, true);
    }

    /// Width of a label in logical pixels.
    pub fn text_width(&self, latex: &str, size: f64) -> f64 {
        runs(latex).iter().map(|r| run_width(r, size * SCALE, FontStyle::Normal)).sum::<f64>() / SCALE
    }

    /// A label's parts, which commas divide, in lines of at most `width` logical pixels where a part is not wider.
    pub fn lines(&self, latex: &str, size: f64, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = vec![];
        for part in latex.split(", ") {
            let longer = lines.last().map(|line| format!("{line}, {part}"));
            match (lines.last_mut(), longer.filter(|line| self.text_width(line, size) <= width)) {
                (Some(last), Some(longer)) => *last = longer,
                _ => lines.push(part.to_string()),
            }
        }
        lines
    }

    #[allow(clippy::too_many_arguments)]
    fn write(
        &mut self,
        runs: &[Run],
        at: (f64, f64),
        size: f64,
        color: RGBColor,
        anchor: Anchor,
        style: FontStyle,
        up: bool,
    ) {
        let size = size * SCALE;
        let advance: f64 = runs.iter().map(|r| run_width(r, size, style)).sum();
        let (w, h) = (advance.ceil() as usize + 4, (1.9 * size).ceil() as usize);
        // Black on white in a buffer of its own: the mask that is then blended, turned or not.
        let mut mask = vec![255u8; w * h * 3];
        {
            let mut backend = BitMapBackend::with_buffer(&mut mask, (w as u32, h as u32));
            let mut x = 1.0;
            for run in runs {
                let (font_size, drop) = match run.script {
                    0 => (size, 0.0),
                    -1 => (0.72 * size, 0.5 * size),
                    _ => (0.72 * size, -0.08 * size),
                };
                let font = FontDesc::new(FontFamily::SansSerif, font_size, style);
                let text_style = TextStyle::from(font).color(&BLACK);
                // A missing glyph is not worth failing a report for.
                let _ = backend.draw_text(&run.text, &text_style, (x as i32, (0.35 * size + drop).round() as i32));
                x += run_width(run, size, style);
            }
        }
        // Lines of a text stand between the top of its capitals and its base line.
        let (top, bottom) = (TOP * size, BASE * size);
        let (ox, oy) = (1.0 + anchor.0 * advance, top + anchor.1 * (bottom - top));
        let (ax, ay) = (at.0 * SCALE, at.1 * SCALE);
        for j in 0..h {
            for i in 0..w {
                let alpha = 1.0 - mask[3 * (j * w + i)] as f64 / 255.0;
                let (dx, dy) = (i as f64 - ox, j as f64 - oy);
                let (x, y) = if up { (ax + dy, ay - dx) } else { (ax + dx, ay + dy) };
                if x >= 0.0 && y >= 0.0 {
                    self.blend(x.round() as usize, y.round() as usize, color, alpha);
                }
            }
        }
    }

    /// Writes the PNG file. Flat colours and repeated rows are smallest unfiltered.
    pub fn save(self, path: &Path) -> Result<()> {
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, self.size.0 as u32, self.size.1 as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Best);
        encoder.set_filter(png::FilterType::NoFilter);
        let marked = encoder.add_text_chunk("Comment".into(), MARK.into());
        let encoded = marked.and_then(|()| encoder.write_header()).and_then(|mut png| {
            png.write_image_data(&self.data)?;
            png.finish()
        });
        encoded.map_err(|e| Error::failed(e.to_string())).at(path)?;
        publish_own(path, &bytes)
    }
}

/// Top of the capitals and base line in units of the font size, as drawn by [`Canvas::write`].
const TOP: f64 = 0.23;
const BASE: f64 = 0.86;

fn run_width(run: &Run, size: f64, style: FontStyle) -> f64 {
    let size = if run.script == 0 { size } else { 0.72 * size };
    let font = FontDesc::new(FontFamily::SansSerif, size, style);
    font.box_size(&run.text).map_or(0.0, |(w, _)| w as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that hold ink.
    fn rows(c: &Canvas) -> (usize, usize) {
        let dark: Vec<usize> =
            (0..c.size.1).filter(|y| (0..c.size.0).any(|x| c.data[3 * (y * c.size.0 + x)] < 128)).collect();
        (dark[0], dark[dark.len() - 1] + 1)
    }

    #[test]
    fn capitals_stand_where_the_anchor_says() {
        for size in [11.0, 13.0, 20.0] {
            for (anchor, expected) in [(0.0, None), (1.0, Some(60.0)), (0.5, None)] {
                let mut c = Canvas::new(100.0, 100.0);
                c.text("X", (50.0, 30.0), size, INK, (0.5, anchor));
                let (top, bottom) = rows(&c);
                println!("{size} {anchor}: {top} {bottom}");
                match (anchor, expected) {
                    (_, Some(base)) => assert!((bottom as f64 - base).abs() <= 2.0, "{size}: {bottom}"),
                    (0.0, _) => assert!((top as f64 - 60.0).abs() <= 2.0, "{size}: {top}"),
                    _ => assert!((0.5 * (top + bottom) as f64 - 60.0).abs() <= 1.5, "{size}: {top} {bottom}"),
                }
            }
        }
    }
}
