//! Measured power spectra against linear theory, and their ratio.

use super::Spectrum;
use super::axes::{Axes, Key, Scale, legend, legend_width, reference};
use super::canvas::{Canvas, GREY, pen, series};

/// Curves shown, at most.
const SHOWN: usize = 6;

/// The figure; none without spectra.
pub fn figure(spectra: &[Spectrum]) -> Option<Canvas> {
    let good = |v: &f64| v.is_finite() && *v > 0.0;
    let points = |s: &Spectrum, p: &[f64]| -> Vec<(f64, f64)> {
        s.k.iter().zip(p).filter(|(k, p)| good(k) && good(p)).map(|(k, p)| (*k, *p)).collect()
    };
    let curves: Vec<_> = spectra
        .iter()
        .map(|s| (s, points(s, &s.pk), points(s, &s.linear)))
        .filter(|(_, measured, _)| measured.len() > 1)
        .take(SHOWN)
        .collect();
    let all: Vec<(f64, f64)> = curves.iter().flat_map(|(_, m, l)| m.iter().chain(l)).copied().collect();
    if all.is_empty() {
        return None;
    }
    let range =
        |v: &dyn Fn(&(f64, f64)) -> f64| all.iter().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(v(p)), b.max(v(p))));
    let ((k0, k1), (p0, p1)) = (range(&|p| p.0), range(&|p| p.1));
    let x = Scale::log(k0 / 1.12, k1 * 1.12);
    let theory = curves.iter().any(|(_, _, l)| !l.is_empty());
    let mut entries: Vec<(String, Key)> =
        curves.iter().enumerate().map(|(i, (s, ..))| (s.label.clone(), Key::Dot(series(i)))).collect();
    if theory {
        entries.push(("linear theory".into(), Key::Line(pen(GREY, 1.4).dashed())));
    }
    let (right, bottom) = (596.0, if theory { 300.0 } else { 360.0 });
    let mut c = Canvas::new(
        right + 24.0 + legend_width(&Canvas::new(1.0, 1.0), &entries) + 8.0,
        if theory { 470.0 } else { 410.0 },
    );
    let main = Axes::new([78.0, 14.0, right, bottom], x, Scale::log(p0 / 1.4, p1 * 1.4));
    for (i, (_, measured, linear)) in curves.iter().enumerate() {
        main.line(&mut c, linear.iter().copied(), pen(series(i), 1.4).dashed());
        main.line(&mut c, measured.iter().copied(), pen(series(i), 1.0).alpha(0.45));
        for (k, p) in measured {
            let (x, y) = main.at(*k, *p);
            c.dot(x, y, 2.1, series(i), 1.0);
        }
    }
    main.draw(&mut c, if theory { "" } else { r"k  [h/Mpc]" }, r"P(k)  [(Mpc/h)^3]", (!theory, true));
    if theory {
        let ratios: Vec<Vec<(f64, f64)>> = curves
            .iter()
            .map(|(s, ..)| {
                let both = s.k.iter().zip(s.pk.iter().zip(&s.linear)).filter(|(_, (p, l))| good(p) && good(l));
                both.map(|(k, (p, l))| (*k, p / l)).collect()
            })
            .collect();
        let mut sorted: Vec<f64> = ratios.iter().flatten().map(|r| r.1).collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted[(q * (sorted.len() - 1) as f64) as usize];
        let y = Scale::linear(0.0f64.min(quantile(0.0)), (1.12 * quantile(0.995)).max(1.6));
        let ratio = Axes::new([78.0, bottom + 10.0, right, bottom + 116.0], x, y);
        ratio.line(&mut c, [(x.min, 1.0), (x.max, 1.0)], reference());
        for (i, r) in ratios.into_iter().enumerate() {
            ratio.line(&mut c, r, pen(series(i), 1.4));
        }
        ratio.draw(&mut c, r"k  [h/Mpc]", "ratio", (true, true));
    }
    legend(&mut c, (right + 16.0, 18.0), &entries);
    Some(c)
}
