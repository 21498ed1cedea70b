//! Draws the figures of docs/validation.md from the tables that other tests left: `make figures`.

#[path = "figures/fields.rs"]
mod fields;
mod measured;
#[path = "figures/motion.rs"]
mod motion;

use plotters::style::RGBColor;
use polycosm::report::axes::{Axes, Key, Scale, legend};
use polycosm::report::canvas::{Canvas, GREY, Pen, pen, series};
use std::path::Path;

/// Width of a figure, and of a panel's left margin with its numbers.
const WIDTH: f64 = 680.0;
const LEFT: f64 = 80.0;

type Figure = fn() -> Option<Canvas>;

const FIGURES: [(&str, Figure); 12] = [
    ("power", fields::power),
    ("mass-function", fields::mass_function),
    ("convergence", fields::convergence),
    ("skies", fields::skies),
    ("cones", fields::cones),
    ("f-nl", fields::f_nl),
    ("lognormal", fields::lognormal),
    ("neutrinos", fields::neutrinos),
    ("lognormal-box", fields::lognormal_box),
    ("lpt", motion::lpt),
    ("pancake", motion::pancake),
    ("fastpm", motion::fastpm),
];

#[test]
#[ignore = "draws into docs/images: run by make figures"]
fn figures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    for (name, draw) in FIGURES {
        let file = format!("validation-{name}.png");
        match draw() {
            Some(canvas) => {
                canvas.save(&folder.join(&file)).unwrap();
                println!("docs/images/{file}");
            }
            None => println!("docs/images/{file}: left as it is, nothing measured in target/validation"),
        }
    }
}

/// A white canvas and the frames of panels, of these heights, one above the other.
fn panels<const N: usize>(heights: [f64; N]) -> (Canvas, [[f64; 4]; N]) {
    let mut bottom = 4.0;
    let frames = heights.map(|height| {
        let top = bottom + 8.0;
        bottom = top + height;
        [LEFT, top, WIDTH - 14.0, bottom]
    });
    (Canvas::new(WIDTH, bottom + 48.0), frames)
}

/// Shades `centre` ± `tolerance` between two abscissae, with a line at the centre.
fn tolerance(c: &mut Canvas, axes: &Axes, [from, to]: [f64; 2], centre: f64, tolerance: f64) {
    axes.band(c, [from, to].map(|x| (x, centre - tolerance, centre + tolerance)), GREY, 0.2);
    axes.line(c, [(axes.x.min, centre), (axes.x.max, centre)], pen(GREY, 0.9));
}

/// How the shade looks in a legend.
fn shade(text: &str) -> (String, Key) {
    (text.into(), Key::Fill(GREY, 0.2))
}

fn dots(c: &mut Canvas, axes: &Axes, points: impl IntoIterator<Item = (f64, f64)>, color: RGBColor) {
    for (x, y) in points {
        let (x, y) = axes.at(x, y);
        c.clipped(axes.frame, |c| c.dot(x, y, 3.2, color, 1.0));
    }
}

fn rings(c: &mut Canvas, axes: &Axes, points: impl IntoIterator<Item = (f64, f64)>, pen: Pen) {
    for (x, y) in points {
        let (x, y) = axes.at(x, y);
        c.clipped(axes.frame, |c| c.ring(x, y, 4.0, pen));
    }
}

/// Dots with vertical error bars: (x, y, error).
fn bars(c: &mut Canvas, axes: &Axes, points: &[(f64, f64, f64)], color: RGBColor) {
    for &(x, y, error) in points {
        axes.line(c, [(x, y - error), (x, y + error)], pen(color, 1.6));
    }
    dots(c, axes, points.iter().map(|p| (p.0, p.1)), color);
}

/// Smallest and largest.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    values.into_iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)))
}
