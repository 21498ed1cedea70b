//! `polycosm report`: plots and one self-contained page, of whatever there is so far.

use super::campaign::Campaign;
use super::current::{Current, drawn};
use super::start::absolute;
use super::{calibrate, timings};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::cosmology::Growth;
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::field::Picture;
use crate::io::identity::{digest, digest_of_file, seal, unseal};
use crate::io::ours::replaceable;
use crate::io::provenance::Provenance;
use crate::io::samples::Samples;
use crate::io::stages::State;
use crate::limits;
use crate::report::{self, Epoch, Inputs, MapPanel, Observation, Spectrum};
use crate::simulators::SimulatorConfig;
use crate::suite::Lock;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Universes shown as maps and as spectra.
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
        seal(&made_of(plan), &parts(plan, &current)?)?;
        Ok(page)
    })?;
    log::info!("report: {}", absolute(&page).display());
    Ok(())
}

fn made_of(plan: &Plan) -> PathBuf {
    plan.report().join("made-of.json")
}

/// Digests of what a page shows, and whether it does, by name.
fn parts(plan: &Plan, current: &Current) -> Result<BTreeMap<String, String>> {
    let mut parts = current.data();
    parts.insert("[report]".into(), digest(json!(plan.config.report).to_string().as_bytes()));
    // What axes are decides what is drawn as maps.
    if let Some(foreign) = plan.config.dataset.as_ref().filter(|foreign| !foreign.axes.is_empty()) {
        parts.insert("[dataset.axes]".into(), digest(json!(foreign.axes).to_string().as_bytes()));
    }
    if plan.dataset().exists() {
        // One that cannot be used is no part of a page; whoever reads it says why.
        let universes = plan.open_dataset().map_or_else(|e| e.problem, |dataset| universes(&dataset));
        parts.insert("the dataset".into(), universes);
    }
    let shown = |digest: String, outdated: bool| if outdated { format!("{digest} outdated") } else { digest };
    let name = |path: &Path| path.strip_prefix(&plan.config.output).unwrap_or(path).display().to_string();
    for stage in plan.stage_names() {
        let path = plan.stage(&stage).join("history.jsonl");
        if path.exists() {
            let outdated = matches!(current.stage(&stage)?, State::Outdated(_));
            parts.insert(name(&path), shown(digest_of_file(&path)?, outdated));
        }
    }
    for path in drawn(plan) {
        let outdated = current.outdated(&Samples::read(&path)?)?.is_some();
        parts.insert(name(&path), shown(Samples::identity(&path)?, outdated));
    }
    for path in plan.posteriors().iter().map(|stage| plan.calibration(stage)).filter(|path| path.exists()) {
        parts.insert(name(&path), digest_of_file(&path)?);
    }
    Ok(parts)
}

/// Digest of the universes' parameters, and of what each is used for.
fn universes(dataset: &Dataset) -> String {
    let theta = dataset.theta().iter().flat_map(|t| t.to_le_bytes());
    let uses = dataset.split().iter().zip(dataset.status()).flat_map(|(split, status)| [*split as u8, *status]);
    digest(&theta.chain(uses).collect::<Vec<u8>>())
}

/// Why the page that is there is outdated.
pub fn outdated(plan: &Plan, current: &Current) -> Result<Option<String>> {
    let (was, is) = match unseal::<BTreeMap<String, String>>(&made_of(plan), "run `polycosm report` again") {
        Ok(was) => (was, parts(plan, current)?),
        Err(_) => return Ok(Some("it does not say what it is made of".into())),
    };
    let other = is.keys().chain(was.keys()).find(|part| was.get(*part) != is.get(*part));
    Ok(other.map(|part| format!("{part} was made or changed since")))
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
        inputs.holes = calibrate::holes_of(&dataset).map(|h| h.to_string());
        simulations(plan, &dataset, &mut inputs)?;
    }
    for stage in plan.stage_names() {
        let path = plan.stage(&stage).join("history.jsonl");
        match current.stage(&stage)? {
            State::Outdated(why) => inputs.left_out.push(format!("the losses of stage {stage}: {why}")),
            _ if path.exists() => inputs.histories.push((stage, history(&path)?)),
            _ => {}
        }
    }
    for stage in plan.posteriors() {
        let path = plan.posterior(&stage);
        if path.exists() {
            let samples = Samples::read(&path)?;
            match current.outdated(&samples)? {
                Some(why) => inputs.left_out.push(format!("the draws of {stage}, and any verdict on them: {why}")),
                None => inputs.posteriors.push((stage.clone(), samples)),
            }
        }
        if let Some(verdict) = calibrate::read(plan, &stage)? {
            let drawn = inputs.posteriors.iter().any(|(of, _)| *of == stage);
            match calibrate::outdated(plan, &stage, &verdict)? {
                Some(why) => inputs.left_out.push(format!("the verdict on {stage}: {why}")),
                None if drawn => inputs.calibrations.push((stage, verdict.calibration)),
                None => {}
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

/// Maps and spectra of the first universes of the test split, spread over the prior by the design itself.
fn simulations(plan: &Plan, dataset: &Dataset, inputs: &mut Inputs) -> Result<()> {
    let rows: Vec<usize> = dataset.rows(Split::Test).into_iter().take(SHOWN).collect();
    let p = dataset.prior.len();
    let label = |row: usize| {
        let theta = &dataset.theta()[row * p..(row + 1) * p];
        let each = dataset.prior.parameters.iter().zip(theta).map(|(q, t)| format!("{} = {t:.3}", q.latex));
        each.collect::<Vec<_>>().join(", ")
    };
    for spec in dataset.specs().iter().filter(|s| !s.ragged) {
        match (spec.picture(), &spec.shape[..]) {
            // The first picture of the first field that has any.
            (Some(Picture { height, width, .. }), _) if inputs.maps.is_empty() => {
                for &row in &rows {
                    let data = dataset.read_f32(&spec.name, &[row])?[..height * width].to_vec();
                    inputs.maps.push(MapPanel { label: label(row), width, height, data });
                }
                inputs.maps_quantity = spec.description.split(',').next().unwrap_or("").to_string();
            }
            (None, [n]) if spec.axes.first().is_some_and(|a| a.name == "k" && a.values.len() == *n) => {
                let k = spec.axes[0].values.clone();
                for &row in &rows {
                    let linear = linear(plan, &spec.name, &dataset.theta()[row * p..(row + 1) * p], row as u64, &k)?;
                    let pk = dataset.read_f64(&spec.name, &[row])?;
                    inputs.spectra.push(Spectrum { label: label(row), k: k.clone(), pk, linear });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Linear theory at the moment that a field shows; empty where there is none.
pub fn linear(plan: &Plan, field: &str, theta: &[f64], index: u64, k: &[f64]) -> Result<Vec<f64>> {
    let Some(SimulatorConfig::Pm(pm)) = &plan.config.simulator else { return Ok(vec![]) };
    let growth = Growth::new(&plan.cosmology(theta)?);
    let power = plan.config.cosmology.cold_power(&growth, index, pm.moment_of(field))?;
    Ok(power.p_all(k))
}

/// The epochs of a stage.
fn history(path: &Path) -> Result<Vec<Epoch>> {
    let bad = |problem: String| {
        let error = Error::failed(format!("cannot be used: {problem}")).file(path);
        error.remedy("remove this file: the report then goes without these losses")
    };
    let text = limits::read_text(path, limits::TABLE).map_err(|e| bad(e.problem))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| bad(e.to_string()))).collect()
}

/// The draws of observations, by what they say of themselves. Two observations of one name are told apart by their files.
fn observations(plan: &Plan, current: &Current, inputs: &mut Inputs) -> Result<()> {
    let of_campaign: Vec<PathBuf> = plan.posteriors().iter().map(|stage| plan.posterior(stage)).collect();
    for stage in plan.posteriors() {
        for path in drawn(plan).iter().filter(|path| !of_campaign.contains(path)) {
            let samples = Samples::read(path)?;
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
