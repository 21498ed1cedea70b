//! `polycosm report`: plots and one self-contained page, of whatever there is so far.

use super::campaign::Campaign;
use super::start::absolute;
use super::{calibrate, timings};
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::cosmology::Growth;
use crate::error::{At, Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::provenance::Provenance;
use crate::io::samples::Samples;
use crate::limits;
use crate::report::{self, Epoch, Inputs, MapPanel, Observation, Spectrum};
use crate::simulators::SimulatorConfig;
use std::path::PathBuf;

/// Universes shown as maps and as spectra.
const SHOWN: usize = 4;

/// Draw the plots and write one self-contained HTML page
///
/// Shows whatever the campaign has got so far.
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
    let page = comm.on_root(|| report::write(&gather(plan, &provenance)?, &plan.report()))?;
    log::info!("report: {}", absolute(&page).display());
    Ok(())
}

fn gather(plan: &Plan, by: &Provenance) -> Result<Inputs> {
    let config = &plan.config;
    let mut inputs = Inputs {
        title: config.report.title.clone(),
        corners: config.report.corners,
        campaign: plan.resolved.clone(),
        provenance: by.pairs(),
        timings: timings::read(plan)?,
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
        if path.exists() {
            let text = limits::read_text(&path, limits::TABLE).map_err(|e| {
                Error::failed(e.problem).file(&path).remedy("remove it: the page is then made without this curve")
            })?;
            let epochs: Vec<Epoch> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            inputs.histories.push((stage, epochs));
        }
    }
    for stage in plan.posteriors() {
        let path = plan.posterior(&stage);
        if path.exists() {
            inputs.posteriors.push((stage.clone(), Samples::read(&path)?));
        }
        if let Some(calibration) = calibrate::read(plan, &stage)? {
            inputs.calibrations.push((stage, calibration));
        }
    }
    inputs.observations = observations(plan)?;
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
        match &spec.shape[..] {
            // Anything that ends in a picture: its first one.
            [.., height, width] if *height >= 8 && *width >= 8 && inputs.maps.is_empty() => {
                for &row in &rows {
                    let data = dataset.read_f32(&spec.name, &[row])?[..height * width].to_vec();
                    inputs.maps.push(MapPanel { label: label(row), width: *width, height: *height, data });
                }
                inputs.maps_quantity = spec.description.split(',').next().unwrap_or("").to_string();
            }
            [n] if spec.axes.first().is_some_and(|a| a.name == "k" && a.values.len() == *n) => {
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

/// Every `posterior/observation-NAME-STAGE.h5`, by name.
fn observations(plan: &Plan) -> Result<Vec<Observation>> {
    let folder = plan.posterior("x").parent().map(PathBuf::from).unwrap_or_default();
    let mut found: Vec<Observation> = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).at(&folder)?.flatten().map(|e| e.path()).collect();
    files.sort();
    for stage in plan.posteriors() {
        for path in &files {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            let name = name.strip_prefix("observation-").and_then(|n| n.strip_suffix(&format!("-{stage}.h5")));
            let Some(name) = name else { continue };
            let samples = (stage.clone(), Samples::read(path)?);
            match found.iter_mut().find(|o| o.name == name) {
                Some(o) => o.posteriors.push(samples),
                None => found.push(Observation { name: name.into(), posteriors: vec![samples] }),
            }
        }
    }
    Ok(found)
}
