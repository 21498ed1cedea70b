//! The page: verdict, headline table, figures with captions, timings, provenance; one file that needs no other.

use super::label::html as label;
use super::timings::duration;
use super::{Figure, Inputs, checks, forecast};
use crate::calibration::{Calibration, Comparison, Outcome};
use crate::error::{At, Result};
use crate::exact::EXACT;
use crate::io::ours::MARK;
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

const STYLE: &str = include_str!("page.css");

/// Sections in the page's order.
const SECTIONS: [&str; 7] = ["Posteriors", "Observations", "Calibration", "Forecast", "Universes", "Training", "Cost"];

pub(super) fn html(inputs: &Inputs, comparison: &Option<Comparison>, figures: &[Figure], dir: &Path) -> Result<String> {
    let title = if inputs.title.is_empty() { "polycosm campaign" } else { &inputs.title };
    let mut embedded = Vec::with_capacity(figures.len());
    for figure in figures {
        let path = dir.join(&figure.file);
        let bytes = std::fs::read(&path).at(&path)?;
        embedded.push((figure, format!("data:image/png;base64,{}", STANDARD.encode(bytes))));
    }
    let page = html! {
        (DOCTYPE)
        (PreEscaped(format!("<!-- {MARK} -->")))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } p.sub { (subtitle(inputs)) } }
                (left_out(inputs))
                (verdicts(inputs))
                (headline(inputs, comparison))
                @for section in SECTIONS {
                    @let shown: Vec<_> = embedded.iter().filter(|(f, _)| f.section == section).collect();
                    @if !shown.is_empty() || section == "Forecast" && inputs.forecast.is_some() {
                        section {
                            h2 { (section) }
                            div.figures {
                                @for (figure, data) in shown {
                                    figure {
                                        img src=(data) alt=(figure.caption) style=(format!("width:{:.0}px", figure.width));
                                        figcaption style=(format!("max-width:{:.0}px", figure.width.max(420.0))) { (figure.caption) }
                                    }
                                }
                            }
                            @if section == "Posteriors" { (checks::tests(inputs)) }
                            @if section == "Observations" { (checks::observations(inputs)) }
                            @if section == "Forecast" { @if let Some(of) = &inputs.forecast { (forecast::table(of)) } }
                            @if section == "Cost" { (timings(inputs)) }
                        }
                    }
                }
                (provenance(inputs))
            }
        }
    };
    Ok(page.into_string())
}

fn subtitle(inputs: &Inputs) -> Markup {
    let find = |key: &str| inputs.provenance.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    html! {
        (find("version").unwrap_or("polycosm")) @if let Some(created) = find("created") { " · " (created) }
        @if let Some(prior) = &inputs.prior {
            " · "
            @for (i, p) in prior.parameters.iter().enumerate() {
                @if i > 0 { ", " } (label(&p.latex)) " " (p.distribution)
            }
            @for (a, b, r) in prior.correlations() {
                ", correlation of " (label(a)) " and " (label(b)) ": " (r)
            }
            @for d in &prior.derived {
                ", and from them " (label(&d.latex)) " = " (d.formula) @if !d.unit.is_empty() { " [" (d.unit) "]" }
            }
            @if let Some(left) = &prior.accepted {
                ", of which the " (left) " that can be made are the prior"
                @if let Some(n) = inputs.passed_over { " (" (n) " points of the design were passed over)" }
            }
        }
    }
}

/// What there is and is not shown, and why.
fn left_out(inputs: &Inputs) -> Markup {
    html! {
        @if !inputs.left_out.is_empty() {
            div.verdict.none {
                strong { "Left out of this page" }
                ul { @for what in &inputs.left_out { li { (what) } } }
            }
        }
    }
}

fn verdicts(inputs: &Inputs) -> Markup {
    html! {
        @if inputs.calibrations.is_empty() && inputs.forecast.is_none() {
            div.verdict.none { strong { "Not calibrated yet" } " Run " code { "polycosm calibrate" } " to have the posterior judged." }
        }
        @if inputs.calibrations.is_empty() {
            @if let Some(holes) = &inputs.holes { p.note { "Note: " (holes) "." } }
        }
        @for (i, (name, c)) in inputs.calibrations.iter().enumerate() {
            @let (class, sign) = match c.outcome {
                Outcome::Passes => ("pass", "✓"),
                Outcome::Fails => ("fail", "✗"),
                Outcome::Inconclusive | Outcome::NotJudged => ("open", "?"),
            };
            div class=(format!("verdict {class} {}", if i > 0 { "minor" } else { "" })) {
                strong { (sign) " " (c.outcome.word()) }
                " " b { (name) } " — " (c.how()) "."
                @if c.outcome == Outcome::Fails { ul { @for reason in &c.reasons { li { (reason) } } } }
                @if let Some(found) = c.found() { p.note { (capital(&found)) "." } }
                @for note in &c.notes { p.note { "Note: " (note) "." } }
                @if let Some(remedy) = &c.remedy { p { "Remedy: " (remedy) "." } }
            }
        }
    }
}

fn headline(inputs: &Inputs, comparison: &Option<Comparison>) -> Markup {
    html! {
        @if !inputs.calibrations.is_empty() {
            table.headline {
                thead { tr {
                    th { "posterior" } th { "universes" } th { "gain over the prior" } th { "parameter" }
                    th { "contraction" } th { "pull" } th { "rms error" }
                } }
                tbody {
                    @for (name, c) in &inputs.calibrations {
                        @for (i, p) in c.parameters.iter().enumerate() {
                            tr.first[i == 0] {
                                @if i == 0 {
                                    td rowspan=(c.parameters.len()) { b { (name) } }
                                    td.n rowspan=(c.parameters.len()) { (c.universes) }
                                    td.n rowspan=(c.parameters.len()) { (gain(c)) }
                                }
                                td { (label(&p.latex)) }
                                td.n { @if p.contraction.is_nan() { "–" } @else { (format!("{:.3}", p.contraction)) } }
                                td.n { (p.pull().replace('-', "−")) }
                                td.n { (format!("{:.4}", p.rms_error)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(c) = comparison {
            @let rival = &inputs.posteriors[1].0;
            @let what = if rival == EXACT { "posterior" } else { "baseline" };
            p { b { "Against the " (what) " " (rival) ": " } (c.to_string().replace('-', "−")) ". "
                "The difference of ln q(truth), universe by universe." }
        }
        @if !inputs.calibrations.is_empty() {
            p.note { "Gain: mean of ln q(truth | x) − ln prior(truth) in nats, with its standard error. Contraction: 1 − posterior \
                variance / prior variance. Pull: (truth − mean) / sd, mean ± standard deviation; 0 ± 1 is ideal." }
        }
    }
}

fn gain(c: &Calibration) -> Markup {
    html! {
        @if c.gain.universes == 0 { "–" } @else { (signed(c.gain.nats, 2)) " ± " (format!("{:.2}", c.gain.error)) " nats" }
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn signed(v: f64, digits: usize) -> String {
    format!("{v:+.digits$}").replace('-', "−")
}

fn timings(inputs: &Inputs) -> Markup {
    let total: f64 = inputs.timings.iter().map(|t| t.seconds).sum();
    html! {
        table {
            thead { tr { th { "stage" } th { "wall clock" } th { "ranks" } th { "" } } }
            tbody {
                @for t in &inputs.timings {
                    tr { td { (t.stage) } td.n { (duration(t.seconds)) } td.n { (t.ranks) } td { (t.detail) } }
                }
                tr.first { td { b { "total" } } td.n { b { (duration(total)) } } td {} td {} }
            }
        }
    }
}

fn provenance(inputs: &Inputs) -> Markup {
    html! {
        @if !inputs.provenance.is_empty() || !inputs.campaign.is_empty() {
            section {
                h2 { "Provenance" }
                table { tbody { @for (key, value) in inputs.provenance.iter().filter(|(k, _)| k != "campaign") {
                    tr { td { (key) } td { code { (value) } } }
                } } }
                @if !inputs.campaign.is_empty() { details { summary { "Resolved campaign" } pre { (inputs.campaign) } } }
            }
        }
    }
}
