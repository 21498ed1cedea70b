//! Wall-clock time per stage.

use super::StageTiming;
use super::axes::{LABEL, Scale, TICK};
use super::canvas::{Canvas, GREY, INK, pen, series};

/// `90` → `1 min 30 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// A horizontal bar chart; none without timings.
pub fn figure(timings: &[StageTiming]) -> Option<Canvas> {
    let longest = timings.iter().map(|t| t.seconds).filter(|s| s.is_finite()).fold(0.0, f64::max);
    if timings.is_empty() || longest <= 0.0 {
        return None;
    }
    let ruler = Canvas::new(1.0, 1.0);
    let name = |t: &StageTiming| t.stage.replace('_', " ");
    let left = timings.iter().map(|t| ruler.text_width(&name(t), LABEL)).fold(0.0, f64::max) + 22.0;
    let (unit, per) = if longest > 180.0 { ("minutes", 60.0) } else { ("seconds", 1.0) };
    let (row, wide) = (26.0, 460.0);
    let bottom = 10.0 + row * timings.len() as f64;
    let mut c = Canvas::new(left + wide + 190.0, bottom + 48.0);
    let x = Scale::linear(0.0, longest / per);
    for (v, label) in x.ticks(6) {
        let at = left + wide * x.fraction(v);
        c.stroke(&[(at, 10.0), (at, bottom)], pen(GREY, 0.6).alpha(0.35));
        c.text(&label, (at, bottom + 8.0), TICK, INK, (0.5, 0.0));
    }
    for (i, t) in timings.iter().enumerate() {
        let y = 10.0 + row * (i as f64 + 0.5);
        let end = left + wide * x.fraction(t.seconds.max(0.0) / per);
        c.fill([left, y - 8.5, end.max(left + 0.5), y + 8.5], series(0), 0.85);
        c.text(&name(t), (left - 10.0, y), LABEL - 0.5, INK, (1.0, 0.5));
        let ranks = format!("{} · {} rank{}", duration(t.seconds), t.ranks, if t.ranks == 1 { "" } else { "s" });
        c.text(&ranks, (end + 8.0, y), TICK, INK, (0.0, 0.5));
    }
    c.stroke(&[(left, 10.0), (left, bottom), (left + wide, bottom)], pen(INK, 0.8));
    c.text(unit, (left + 0.5 * wide, bottom + 27.0), LABEL, INK, (0.5, 0.0));
    Some(c)
}
