//! `polycosm report`: plots and one self-contained page, of whatever there is so far.

use super::campaign::Campaign;
use super::current::{Current, drawn};
use super::start::absolute;
use super::{calibrate, timings};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::exact::EXACT;
use crate::forecast;
use crate::io::dataset::{Dataset, Split};
use crate::io::field::{Axis, AxisKind, FieldSpec, Picture};
use crate::io::history;
use crate::io::identity::{digest, digest_of_file, seal, unseal};
use crate::io::ours::replaceable;
use crate::io::provenance::Provenance;
use crate::io::samples::Samples;
use crate::io::stages::State;
use crate::report::{self, Curve, Curves, Inputs, MapPanel, Observation, sky};
use crate::simulators::Theory;
use crate::suite::Lock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Universes shown as maps and as curves.
const SHOWN: usize = 4;

/// Draw the plots and write one self-contained HTML page
///
/// Shows whatever the campaign has got so far. What is outdated (`polycosm status` says why) is left out, in words.
///
/// Example: polycosm report run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| report(plan, comm))
}

/// Gathers what there is and writes the page.
pub fn report(plan: &Plan, comm: &Comm) -> Result<()> {
    let provenance = plan.provenance(comm);
    let current = Current::take(plan, comm)?;
    let page = comm.on_root(|| {
        replaceable(&made_of(plan))?;
        let inputs = gather(plan, &provenance, &current)?;
        inputs.left_out.iter().for_each(|what| log::warn!("report: left out: {what}"));
        let _lock = Lock::to_publish(&plan.report(), "is writing the page of")?;
        let page = report::write(&inputs, &plan.report())?;
        seal(&made_of(plan), &MadeOf::now(plan, &current)?)?;
        Ok(page)
    })?;
    log::info!("report: {}", absolute(&page).display());
    Ok(())
}

fn made_of(plan: &Plan) -> PathBuf {
    plan.report().join("made-of.json")
}

/// `report/made-of.json`: what a page shows, and what it does not though it is there, by name.
#[derive(Default, Serialize, Deserialize)]
pub struct MadeOf {
    /// Digest of each.
    shown: BTreeMap<String, String>,
    /// Why it is of no use.
    pub left_out: BTreeMap<String, String>,
}

impl MadeOf {
    /// Of a page made now.
    fn now(plan: &Plan, current: &Current) -> Result<MadeOf> {
        let mut made = MadeOf { shown: current.data(), left_out: BTreeMap::new() };
        made.shown.insert("[report]".into(), digest(json!(plan.config.report).to_string().as_bytes()));
        // What axes are decides what is drawn as maps.
        if let Some(foreign) = plan.config.dataset.as_ref().filter(|foreign| !foreign.axes.is_empty()) {
            made.shown.insert("[dataset.axes]".into(), digest(json!(foreign.axes).to_string().as_bytes()));
        }
        if plan.dataset().exists() {
            // One that cannot be used is no part of a page; whoever reads it says why.
            let universes = plan.open_dataset().map_or_else(|e| e.problem, |dataset| universes(&dataset));
            made.shown.insert("the dataset".into(), universes);
        }
        if plan.forecast().exists() {
            made.add(plan, &plan.forecast(), current.forecast_outdated(plan)?, digest_of_file)?;
        }
        for stage in plan.stage_names() {
            let path = plan.stage(&stage).join("history.jsonl");
            if path.exists() {
                let why = match current.stage(&stage)? {
                    State::Outdated(why) => Some(why),
                    _ => None,
                };
                made.add(plan, &path, why, digest_of_file)?;
            }
        }
        for path in drawn(plan) {
            made.add(plan, &path, current.outdated(&Samples::read(&path)?)?, Samples::identity)?;
        }
        for stage in plan.judged() {
            if let Some(verdict) = calibrate::read(plan, &stage)? {
                let draws = made.left_out.get(&name(plan, &plan.posterior(&stage)));
                let why = calibrate::outdated(plan, &stage, &verdict, draws.map(String::as_str))?;
                made.add(plan, &plan.calibration(&stage), why, digest_of_file)?;
            }
        }
        Ok(made)
    }

    fn add(
        &mut self,
        plan: &Plan,
        path: &Path,
        why_not: Option<String>,
        digest: fn(&Path) -> Result<String>,
    ) -> Result<()> {
        match why_not {
            Some(why) => self.left_out.insert(name(plan, path), why),
            None => self.shown.insert(name(plan, path), digest(path)?),
        };
        Ok(())
    }

    /// What is another in a page made `now`, in words.
    fn differs(&self, now: &MadeOf) -> Option<String> {
        let gone = |part: &String| !now.shown.contains_key(part) && !now.left_out.contains_key(part);
        let lost = self.shown.keys().find_map(|part| match now.left_out.get(part) {
            Some(why) => Some(format!("it shows {part}, which is outdated: {why}")),
            // Sections of the campaign are left out where they say nothing.
            None if part.starts_with('[') => gone(part).then(|| format!("{part} was changed since")),
            None => gone(part).then(|| format!("it shows {part}, which is gone")),
        });
        let changed = || {
            now.shown.iter().find_map(|(part, digest)| match (self.shown.get(part), self.left_out.contains_key(part)) {
                (Some(was), _) if was == digest => None,
                (Some(_), _) => Some(format!("{part} was changed since")),
                (None, _) if part.starts_with('[') => Some(format!("{part} was changed since")),
                (None, true) => Some(format!("{part} was left out of it, and is of use now")),
                (None, false) => Some(format!("{part} was made since")),
            })
        };
        lost.or_else(changed)
    }
}

/// A file as seen from the output folder.
fn name(plan: &Plan, path: &Path) -> String {
    path.strip_prefix(&plan.config.output).unwrap_or(path).display().to_string()
}

/// Digest of the universes' parameters, and of what each is used for.
fn universes(dataset: &Dataset) -> String {
    let theta = dataset.theta().iter().flat_map(|t| t.to_le_bytes());
    let uses = dataset.split().iter().zip(dataset.status()).flat_map(|(split, status)| [*split as u8, *status]);
    digest(&theta.chain(uses).collect::<Vec<u8>>())
}

/// What the page that is there leaves out, and why it is outdated.
pub fn made(plan: &Plan, current: &Current) -> Result<(Vec<String>, Option<String>)> {
    let Ok(was) = unseal::<MadeOf>(&made_of(plan), "run `polycosm report` again") else {
        return Ok((vec![], Some("it does not say what it is made of".into())));
    };
    let why = was.differs(&MadeOf::now(plan, current)?);
    Ok((was.left_out.into_keys().collect(), why))
}

fn gather(plan: &Plan, by: &Provenance, current: &Current) -> Result<Inputs> {
    let config = &plan.config;
    let mut inputs = Inputs {
        title: config.report.title.clone(),
        corners: config.report.corners,
        campaign: plan.resolved.clone(),
        provenance: by.pairs(),
        timings: timings::read(plan),
        ..Inputs::default()
    };
    if plan.dataset().exists() {
        let dataset = plan.open_dataset()?;
        inputs.prior = Some(dataset.prior.clone());
        inputs.passed_over = dataset.passed_over;
        inputs.holes = calibrate::holes_of(&dataset).map(|h| h.to_string());
        simulations(plan, &dataset, &mut inputs)?;
    }
    if plan.forecast().exists() {
        match current.forecast_outdated(plan)? {
            Some(why) => inputs.left_out.push(format!("the forecast: {why}")),
            None => inputs.forecast = Some(forecast::read(&plan.forecast())?),
        }
    }
    for stage in plan.stage_names() {
        let path = plan.stage(&stage).join("history.jsonl");
        match current.stage(&stage)? {
            State::Outdated(why) => inputs.left_out.push(format!("the losses of stage {stage}: {why}")),
            _ if path.exists() => inputs.histories.push((stage, history::read(&path)?)),
            _ => {}
        }
    }
    for stage in plan.judged() {
        let path = plan.posterior(&stage);
        let mut why_not = None;
        if path.exists() {
            let mut samples = Samples::read(&path)?;
            plan.derive(&mut samples);
            why_not = current.outdated(&samples)?;
            match &why_not {
                Some(why) => inputs.left_out.push(format!("the draws of {stage}: {why}")),
                None => inputs.posteriors.push((stage.clone(), samples)),
            }
        }
        if let Some(verdict) = calibrate::read(plan, &stage)? {
            match calibrate::outdated(plan, &stage, &verdict, why_not.as_deref())? {
                Some(why) => inputs.left_out.push(format!("the verdict on {stage}: {why}")),
                None => inputs.calibrations.push((stage, verdict.calibration)),
            }
        }
    }
    observations(plan, current, &mut inputs)?;
    let nothing = inputs.prior.is_none()
        && inputs.histories.is_empty()
        && inputs.posteriors.is_empty()
        && inputs.observations.is_empty();
    if nothing && inputs.timings.is_empty() {
        let error = Error::input("holds no stage of this campaign that is done").file(&config.output);
        return Err(error.key("output").remedy("run `polycosm run` or `polycosm simulate` first, or name its folder"));
    }
    Ok(inputs)
}

/// Maps and curves of the first universes of the test split, spread over the prior by the design itself.
fn simulations(plan: &Plan, dataset: &Dataset, inputs: &mut Inputs) -> Result<()> {
    let rows: Vec<usize> = dataset.rows(Split::Test).into_iter().take(SHOWN).collect();
    let label = |row: usize| {
        let each =
            dataset.prior.parameters.iter().zip(dataset.theta_of(row)).map(|(q, t)| format!("{} = {t:.3}", q.latex));
        each.collect::<Vec<_>>().join(", ")
    };
    for spec in dataset.specs().iter().filter(|s| !s.ragged) {
        let (Some(axis), Some(&n)) = (spec.axes.last(), spec.shape.last()) else { continue };
        if spec.picture().is_some() || axis.kind.is_sphere() {
            // The first map of the first field that has any.
            if inputs.maps.is_empty() {
                for &row in &rows {
                    let mut data = dataset.read_f32(&spec.name, &[row])?;
                    inputs.maps.extend(match spec.picture() {
                        Some(Picture { height, width, .. }) => {
                            data.truncate(height * width);
                            Some(MapPanel { label: label(row), width, height, data, round: false })
                        }
                        None => sky::panel(label(row), axis, &data[..n]),
                    });
                }
                inputs.maps_quantity = spec.description.split(',').next().unwrap_or("").to_string();
            }
        } else if n > 0 && axis.values.len() == n {
            let mut curves = curves_of(spec);
            let numbers = n * curves.parts.len().max(1);
            for &row in &rows {
                let theory = theory(plan, spec, dataset.theta_of(row), row as u64)?;
                let (name, mut theory) = theory.map_or_else(Default::default, |t| (t.name, t.values));
                let mut measured = dataset.read_f64(&spec.name, &[row])?;
                measured.truncate(numbers);
                theory.truncate(numbers);
                curves.universes.push(Curve { label: label(row), measured, theory });
                curves.theory = name;
            }
            inputs.curves.push(curves);
        }
    }
    Ok(())
}

/// A field along its last axis, before any universe: a part for each of its rows, of the first view if it has several.
fn curves_of(spec: &FieldSpec) -> Curves {
    let labelled = |what: &str, unit: &str| match (what.replace('_', " "), unit) {
        (what, "") => what,
        (what, unit) => format!("{what}  [{unit}]"),
    };
    let name = |axis: &Axis, i: usize| match (axis.labels.get(i), axis.values.get(i)) {
        (Some(label), _) => label.replace('_', " "),
        (None, Some(value)) => format!("{} = {value}", axis.name.replace('_', " ")),
        (None, None) => format!("{} {i}", axis.name.replace('_', " ")),
    };
    let last = spec.axes.len() - 1;
    let mut parts: Vec<String> = vec![];
    for (axis, &n) in spec.axes[..last].iter().zip(&spec.shape).filter(|(axis, _)| axis.kind != AxisKind::View) {
        let before = if parts.is_empty() { vec![String::new()] } else { parts };
        let joined =
            |b: &String, i: usize| if b.is_empty() { name(axis, i) } else { format!("{b}, {}", name(axis, i)) };
        parts = before.iter().flat_map(|b| (0..n).map(move |i| (b, i))).map(|(b, i)| joined(b, i)).collect();
    }
    let axis = &spec.axes[last];
    Curves {
        field: spec.name.clone(),
        what: spec.description.clone(),
        labels: [labelled(&axis.name, &axis.unit), labelled(&spec.name, &spec.unit)],
        at: axis.values.clone(),
        parts,
        theory: String::new(),
        universes: vec![],
    }
}

/// What theory says of a field in a universe; `None` where there is no simulator to ask, or it has none.
pub fn theory(plan: &Plan, field: &FieldSpec, theta: &[f64], index: u64) -> Result<Option<Theory>> {
    let Some(simulator) = &plan.config.simulator else { return Ok(None) };
    simulator.theory(&plan.universes(), field, plan.prior.theta(theta), index)
}

/// The draws of observations, by what they say of themselves. Two observations of one name are told apart by their
/// files.
fn observations(plan: &Plan, current: &Current, inputs: &mut Inputs) -> Result<()> {
    let of_campaign: Vec<PathBuf> = plan.judged().iter().map(|stage| plan.posterior(stage)).collect();
    let exact = plan.stage_names().iter().all(|name| name != EXACT).then(|| EXACT.to_string());
    for stage in plan.posteriors().into_iter().chain(exact) {
        for path in drawn(plan).iter().filter(|path| !of_campaign.contains(path)) {
            let mut samples = Samples::read(path)?;
            plan.derive(&mut samples);
            let of = samples.extras.of.clone();
            if of.as_ref().is_some_and(|of| of.stage != stage) {
                continue;
            }
            let words = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let (why, seen) = (current.outdated(&samples)?, of.and_then(|of| of.observation));
            let (None, Some(seen)) = (&why, seen) else {
                let why = why.unwrap_or_else(|| "they are of no observation".into());
                let told = format!("the draws in posterior/{words}: {why}");
                if !inputs.left_out.contains(&told) {
                    inputs.left_out.push(told);
                }
                continue;
            };
            match inputs.observations.iter_mut().find(|o| o.name == seen.name) {
                Some(o) => o.posteriors.push((stage.clone(), samples)),
                None => {
                    let posteriors = vec![(stage.clone(), samples)];
                    inputs.observations.push(Observation { name: seen.name, posteriors });
                }
            }
        }
    }
    Ok(())
}
