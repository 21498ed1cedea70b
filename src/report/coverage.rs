//! Calibration curves with the simultaneous band an exact posterior stays in.

use super::axes::{Axes, Key, LABEL, Scale, legend, reference};
use super::canvas::{Canvas, GREY, INK, PALETTE, Pen, pen, series};
use crate::calibration::Diagnostic::{Likelihood, Pair, Regression};
use crate::calibration::{Calibration, Curve, Diagnostic, Outcome};

/// Nominal levels at which curves are drawn.
const POINTS: usize = 401;

/// Three panels: SBC ranks, coverage per parameter, joint coverage.
pub fn figure(calibration: &Calibration) -> Canvas {
    let (wide, high, left, top) = (318.0, 236.0, 66.0, 50.0);
    let parameters = calibration.parameters.len();
    let told = |diagnostics: &[Diagnostic]| -> Vec<&Curve> {
        calibration.curves.iter().filter(|c| diagnostics.contains(&c.diagnostic) && calibration.tells(c)).collect()
    };
    let together = told(&[Diagnostic::JointHpd, Diagnostic::Tarp, Likelihood, Regression, Pair]).len();
    let legend_rows = (2 * parameters).max(together).min(2 * PALETTE.len()) as f64 + 1.0;
    let mut c = Canvas::new(3.0 * wide + 12.0, top + high + 56.0 + 17.0 * legend_rows);
    let all = calibration.curves.iter().flat_map(|curve| levels().map(|t| (curve.ecdf(t) - t).abs()));
    let band = levels().map(|t| calibration.envelope.ecdf_range(t)).zip(levels());
    let reach = all.chain(band.map(|((a, b), t)| (a - t).abs().max((b - t).abs()))).fold(0.0, f64::max);
    let panels: [(&str, &str, &[Diagnostic]); 3] = [
        ("SBC ranks", "rank of the truth", &[Diagnostic::Rank]),
        ("Coverage per parameter", "nominal credibility", &[Diagnostic::Hpd, Diagnostic::Central]),
        (
            "Joint coverage",
            "nominal credibility",
            &[Diagnostic::JointHpd, Diagnostic::Tarp, Likelihood, Regression, Pair],
        ),
    ];
    for (i, (title, x_label, diagnostics)) in panels.into_iter().enumerate() {
        let x0 = i as f64 * wide + left;
        let axes = Axes::new(
            [x0, top, x0 + wide - left - 10.0, top + high],
            Scale::linear(0.0, 1.0),
            Scale::linear(-1.1 * reach, 1.1 * reach),
        );
        let range = |t: f64| calibration.envelope.ecdf_range(t);
        axes.band(&mut c, levels().map(|t| (t, range(t).0 - t, range(t).1 - t)), GREY, 0.20);
        axes.line(&mut c, [(0.0, 0.0), (1.0, 0.0)], reference());
        let curves = told(diagnostics);
        let mut entries = Vec::new();
        for curve in &curves {
            let pen = style(curve, calibration);
            axes.line(&mut c, levels().map(|t| (t, curve.ecdf(t) - t)), pen);
            entries.push((entry(curve, calibration), Key::Line(pen)));
        }
        entries.push(("band of an exact posterior".into(), Key::Fill(GREY, 0.20)));
        let y_label = if i == 0 { "ECDF − nominal" } else { "coverage − nominal" };
        axes.draw(&mut c, x_label, y_label, (true, true));
        axes.title(&mut c, title);
        let failed = curves.iter().filter(|c| !c.pass).count();
        let (word, color) = match failed {
            _ if curves.is_empty() => ("not known", INK),
            0 => ("within band", PALETTE[2]),
            _ => ("OUTSIDE BAND", PALETTE[1]),
        };
        c.bold(word, (axes.frame[2], top - 9.0), LABEL - 1.5, color, (1.0, 1.0));
        legend(&mut c, (x0, top + high + 50.0), &entries);
    }
    // An open verdict has more to say than fits.
    let title = match calibration.outcome {
        Outcome::Passes | Outcome::Fails => calibration.verdict(),
        open => open.word().to_string(),
    };
    c.bold(&title, (left, 9.0), LABEL, INK, (0.0, 0.0));
    c
}

fn levels() -> impl Iterator<Item = f64> {
    (0..POINTS).map(|i| i as f64 / (POINTS - 1) as f64)
}

/// One colour per parameter; HPD and joint HPD solid, central intervals dashed, TARP its own colour.
fn style(curve: &Curve, calibration: &Calibration) -> Pen {
    let index = calibration.parameters.iter().position(|p| Some(&p.name) == curve.parameter.as_ref());
    match curve.diagnostic {
        Diagnostic::Central => pen(series(index.unwrap_or(0)), 1.5).dashed(),
        Diagnostic::JointHpd => pen(INK, 1.8),
        Diagnostic::Tarp => pen(PALETTE[3], 1.8),
        Likelihood => pen(PALETTE[0], 1.8),
        Regression => pen(PALETTE[1], 1.8),
        Pair => pen(series(index.unwrap_or(0)), 1.2).dashed(),
        _ => pen(series(index.unwrap_or(0)), 1.8),
    }
}

fn entry(curve: &Curve, calibration: &Calibration) -> String {
    let parameter = calibration.parameters.iter().find(|p| Some(&p.name) == curve.parameter.as_ref());
    let name = parameter.map_or("", |p| &p.latex);
    let p = |p: f64| if p < 1e-3 { "p < 0.001".to_string() } else { format!("p = {p:.3}") };
    match curve.diagnostic {
        Diagnostic::Rank => format!("{name}  ({}; KS: {})", p(curve.p_value), p(curve.ks_p_value)),
        Diagnostic::Hpd => format!("{name}, highest density  ({})", p(curve.p_value)),
        Diagnostic::Central => format!("{name}, central  ({})", p(curve.p_value)),
        Diagnostic::JointHpd => format!("joint highest density  ({})", p(curve.p_value)),
        Diagnostic::Tarp => format!("TARP  ({})", p(curve.p_value)),
        Likelihood => format!("likelihood of a regression  ({})", p(curve.p_value)),
        Regression => format!("TARP about a regression  ({})", p(curve.p_value)),
        Pair => {
            let other = calibration.parameters.iter().find(|p| Some(&p.name) == curve.beside.as_ref());
            format!("{name} times {}  ({})", other.map_or("", |p| &p.latex), p(curve.p_value))
        }
    }
}
