//! Plots and the HTML report.
//!
//! [`write()`] takes whatever a campaign has got so far ([`Inputs`]; every part may be empty) and writes the figures as
//! PNG files and one self-contained page. One figure, one file: each function draws one PNG and knows nothing of the
//! page.

pub mod axes;
pub mod canvas;
mod checks;
mod corner;
mod coverage;
mod curves;
mod forecast;
pub mod label;
mod losses;
mod maps;
mod page;
mod scatter;
pub mod sky;
#[cfg(test)]
mod tests;
pub mod timings;

use crate::calibration::{Calibration, Comparison, compare};
use crate::error::{At, Error, Result};
use crate::forecast::Forecast;
use crate::io::history::Epoch;
use crate::io::ours::{publish_own, replaceable};
use crate::io::samples::Samples;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[report]`: what the page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Title of the page.
    pub title: String,
    /// Test universes with a corner plot; at most 64.
    pub corners: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        ReportConfig { title: "polycosm campaign".into(), corners: 4 }
    }
}

impl ReportConfig {
    /// Refuses impossible values.
    pub fn check(&self) -> Result<()> {
        if self.corners > 64 {
            let error =
                Error::input("more corner plots than a page can show").key("report.corners").value(self.corners);
            return Err(error.remedy("give at most 64"));
        }
        Ok(())
    }
}

/// One map of one universe.
#[derive(Debug, Clone)]
pub struct MapPanel {
    /// What distinguishes it, in simple LaTeX, e.g. `\Omega_m = 0.31, \sigma_8 = 0.82`.
    pub label: String,
    pub width: usize,
    pub height: usize,
    /// Values, row-major from the top (height, width).
    pub data: Vec<f32>,
    /// It is the ellipse within its frame, as that of a projected sky is; what is no number in it is not looked at.
    pub round: bool,
}

/// A field's numbers along its axis in some universes.
#[derive(Debug, Clone)]
pub struct Curves {
    pub field: String,
    /// What its numbers are, in a few words.
    pub what: String,
    /// What the axis is, and what the numbers are, with their units, in simple LaTeX.
    pub labels: [String; 2],
    /// The axis's coordinates.
    pub at: Vec<f64>,
    /// What each row of the field is (spectra of a pair, a multipole), in simple LaTeX; empty where it is but one.
    pub parts: Vec<String>,
    /// Name of the theory that they are compared with, where there is one.
    pub theory: String,
    pub universes: Vec<Curve>,
}

/// That of one universe.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What distinguishes it, in simple LaTeX.
    pub label: String,
    /// (parts, at).
    pub measured: Vec<f64>,
    /// What theory says, of as many numbers; empty if nothing.
    pub theory: Vec<f64>,
}

/// Posteriors of one observed universe; the truth, if known, is in the samples.
#[derive(Debug, Clone)]
pub struct Observation {
    pub name: String,
    /// Name of the posterior and its samples (the first universe of each is shown).
    pub posteriors: Vec<(String, Samples)>,
}

/// Wall-clock time of one stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageTiming {
    pub stage: String,
    pub seconds: f64,
    pub ranks: usize,
    /// A remark, e.g. `640 simulations`.
    #[serde(default)]
    pub detail: String,
}

/// Everything the report may show.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub title: String,
    pub prior: Option<Prior>,
    pub maps: Vec<MapPanel>,
    /// What the maps' colours mean, e.g. `1 + \delta`.
    pub maps_quantity: String,
    pub curves: Vec<Curves>,
    /// Stage and its epochs.
    pub histories: Vec<(String, Vec<Epoch>)>,
    /// Posterior and its samples on the test split; the first is the campaign's own, the second its baseline.
    pub posteriors: Vec<(String, Samples)>,
    /// Posterior and its calibration.
    pub calibrations: Vec<(String, Calibration)>,
    pub observations: Vec<Observation>,
    /// That of a fiducial set.
    pub forecast: Option<Forecast>,
    /// Failed universes worth a word.
    pub holes: Option<String>,
    /// Points that the design passed over, where it may.
    pub passed_over: Option<u64>,
    pub timings: Vec<StageTiming>,
    /// Results that are there and not shown, for they are outdated: what and why.
    pub left_out: Vec<String>,
    /// Version, commit, seed, host …
    pub provenance: Vec<(String, String)>,
    /// The resolved campaign file.
    pub campaign: String,
    /// Test universes with a corner plot (0 stands for 4).
    pub corners: usize,
}

/// A figure of the page.
struct Figure {
    section: &'static str,
    file: String,
    caption: String,
    /// Logical width, so that the page shows it at its true size.
    width: f64,
}

/// Writes the figures and `index.html` into `dir`; returns the page's path.
pub fn write(inputs: &Inputs, dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).at(dir)?;
    let page = dir.join("index.html");
    replaceable(&page)?;
    let mut figures = Vec::new();
    let mut add = |section, file: String, caption: String, canvas: canvas::Canvas| -> Result<()> {
        let width = canvas.size().0;
        let file = another(file, |name| figures.iter().any(|f: &Figure| f.file == name));
        canvas.save(&dir.join(&file))?;
        figures.push(Figure { section, file, caption, width });
        Ok(())
    };
    if let Some(c) = maps::figure(&inputs.maps, &inputs.maps_quantity) {
        let sky = match inputs.maps.iter().any(|m| m.round) {
            true => " Equal areas of the sky are equal here, east is to the left; what is grey was not looked at.",
            false => "",
        };
        let caption = format!("Maps of some universes on one colour scale, the parameters of each above it.{sky}");
        add("Universes", "maps.png".into(), caption, c)?;
    }
    for curves in &inputs.curves {
        let Some(c) = curves::figure(curves) else { continue };
        let theory = match curves.theory.is_empty() {
            true => String::new(),
            false if curves.parts.is_empty() => {
                format!(" The dashed lines are {}, the lower panel is the ratio to it.", curves.theory)
            }
            false => format!(" The dashed lines are {}.", curves.theory),
        };
        let theory = match curves.parts.len() {
            n if n > curves::PANELS => format!("{theory} The first {} of {n} are shown.", curves::PANELS),
            _ => theory,
        };
        let caption = format!("“{}” of some universes: {}.{theory}", curves.field, curves.what);
        add("Universes", format!("curves_{}.png", file_name(&curves.field)), caption, c)?;
    }
    if let Some(forecast) = &inputs.forecast {
        if let Some(c) = forecast::ellipses(forecast) {
            let caption = "Forecast of a Gaussian likelihood with the covariance of the fiducial universes: 68% and 95% \
                regions; the cross lines mark the fiducial point. No prior is in it.";
            add("Forecast", "forecast.png".into(), caption.into(), c)?;
        }
        for statistic in &forecast.statistics {
            let Some(c) = forecast::correlation(statistic) else { continue };
            let caption = format!("Correlation matrix of “{}”, of the numbers that are used.", statistic.field);
            add("Forecast", format!("correlation_{}.png", file_name(&statistic.field)), caption, c)?;
        }
    }
    if let Some(c) = losses::figure(&inputs.histories) {
        let caption = "Loss of each trained stage. The ring marks the best validation epoch, whose weights are kept; a \
            validation curve that turns up means overfitting.";
        add("Training", "losses.png".into(), caption.into(), c)?;
    }
    let whole = |(name, s): &(String, Samples)| (name.clone(), s.with_derived());
    let posteriors: Vec<(String, Samples)> = inputs.posteriors.iter().map(whole).collect();
    if let Some(c) = scatter::figure(&posteriors) {
        let caption = "Posterior mean and standard deviation against the truth of held-out universes. Unbiased points scatter \
            about the diagonal; points that hug the horizontal carry the prior alone.";
        add("Posteriors", "true_vs_inferred.png".into(), caption.into(), c)?;
    }
    for (i, rows) in corner_rows(&posteriors, inputs.corners).into_iter().enumerate() {
        let shown: Vec<_> = rows.iter().map(|(name, s, row)| (name.as_str(), *s, *row)).collect();
        let index = shown[0].1.index[shown[0].2];
        let some = first_parameters(shown[0].1.dim());
        let caption =
            format!("Held-out universe {index}: 68% and 95% regions, the truth marked by the cross lines.{some}");
        add("Posteriors", format!("corner_test_{i}.png"), caption, corner::figure(&shown, false))?;
    }
    for observation in &inputs.observations {
        let posteriors: Vec<_> = observation.posteriors.iter().filter(|(_, s)| drawable(s)).map(whole).collect();
        let shown: Vec<_> = posteriors.iter().map(|(n, s)| (n.as_str(), s, 0)).collect();
        if shown.is_empty() {
            continue;
        }
        let truth = if shown[0].1.truth_of(0).is_some() { " The cross lines mark the truth." } else { "" };
        let some = first_parameters(shown[0].1.dim());
        let caption =
            format!("Observation “{}”: 68% and 95% regions over the whole prior.{truth}{some}", observation.name);
        let file = format!("corner_observation_{}.png", file_name(&observation.name));
        add("Observations", file, caption, corner::figure(&shown, true))?;
    }
    for (name, calibration) in inputs.calibrations.iter().filter(|(_, c)| !c.curves.is_empty()) {
        let caption = format!(
            "Calibration of “{name}”: SBC ranks, coverage per parameter, joint highest-density coverage and TARP, each as \
             empirical minus nominal. An exact posterior stays inside the grey band, for all curves together, {}% of the \
             time. Coverage below zero is overconfident, above is underconfident.",
            (calibration.level * 1e4).round() / 1e2
        );
        add("Calibration", format!("calibration_{}.png", file_name(name)), caption, coverage::figure(calibration))?;
    }
    if let Some(c) = timings::figure(&inputs.timings) {
        add("Cost", "timings.png".into(), "Wall-clock time of each stage.".into(), c)?;
    }
    publish_own(&page, page::html(inputs, &comparison(inputs), &figures, dir)?.as_bytes())?;
    Ok(page)
}

/// Gain of the first posterior over the second, where both have densities.
fn comparison(inputs: &Inputs) -> Option<Comparison> {
    let [(_, posterior), (_, baseline), ..] = &inputs.posteriors[..] else { return None };
    compare(posterior, baseline).ok()
}

/// What a corner plot leaves out.
fn first_parameters(p: usize) -> String {
    match p > corner::SHOWN {
        true => format!(" The first {} of {p} parameters.", corner::SHOWN),
        false => String::new(),
    }
}

fn drawable(s: &Samples) -> bool {
    !s.is_empty() && s.dim() > 0 && s.draws >= 20
}

/// The universes with a corner plot, spread evenly over the test split; each with the row of every posterior that has
/// it.
fn corner_rows(posteriors: &[(String, Samples)], corners: usize) -> Vec<Vec<(String, &Samples, usize)>> {
    let usable: Vec<_> = posteriors.iter().filter(|(_, s)| drawable(s)).collect();
    let Some((_, first)) = usable.first() else { return vec![] };
    let wanted = if corners == 0 { 4 } else { corners }.min(first.len());
    let row_of = |i: usize| (2 * i + 1) * first.len() / (2 * wanted);
    let posteriors = |row: usize| {
        let same = |s: &Samples| s.index.iter().position(|index| *index == first.index[row]);
        let mut shown = vec![(usable[0].0.clone(), first, row)];
        let others = usable[1..].iter().filter(|(_, s)| s.prior == first.prior);
        shown.extend(others.filter_map(|(n, s)| same(s).map(|row| (n.clone(), s, row))));
        shown
    };
    (0..wanted).map(|i| posteriors(row_of(i))).collect()
}

/// The name, or where that is `taken`, the first with a number that is not: other names than files can have become
/// alike.
fn another(file: String, taken: impl Fn(&str) -> bool) -> String {
    let stem = file.trim_end_matches(".png");
    let numbered = (2..).map(|i| format!("{stem}.{i}.png"));
    std::iter::once(file.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}
