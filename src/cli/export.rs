//! `polycosm export`: the dataset as one ordinary file or folder, the posteriors as chains.

use super::campaign::{Campaign, path};
use super::current::{Current, drawn};
use super::simulate::range;
use super::start::say;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result, campaign, suggestion};
use crate::io::dataset::Dataset;
use crate::io::derived::Derived;
use crate::io::export::{Choice, Cut, Format, chosen};
use crate::io::ours::{check_folder, sign};
use crate::io::samples::{Samples, remove_chains};
use crate::suite::Lock;
use std::ops::Range;
use std::path::PathBuf;

/// Copy the dataset, or a part of it, into one file or folder without links, and posteriors into GetDist chains
///
/// Universes that failed are left out. Draws of observations become chains too, whatever universes are chosen; with
/// --field only those of the posteriors that it names. An earlier export of the same name is replaced; any other file
/// that is in the way is refused.
///
/// Example: polycosm export run.toml --to exported --where "Omega_m > 0.3" --format numpy
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Folder to write to
    #[arg(long, value_name = "FOLDER", value_parser = path())]
    pub to: PathBuf,
    /// Only these fields [default: all those of the dataset, and all draws]; what a stage made by its name, `compressor`,
    /// or field by field, `compressor/summaries`, into a file of its own, `fields-compressor.h5`; the draws of a
    /// posterior by the name of its stage
    #[arg(long, value_name = "NAME")]
    pub field: Vec<String>,
    /// Only these universes, by their rows in the design: 0..99,200 (both ends included). They keep the design's order
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = range)]
    pub only: Vec<Range<u64>>,
    /// Only universes for which this holds: a parameter and a number, "Omega_m > 0.3" (also <, <=, >=, =, !=), or
    /// "split = test"; may be repeated, and then all hold
    #[arg(long = "where", value_name = "CUT")]
    pub cuts: Vec<Cut>,
    /// What to write
    #[arg(long, value_enum, default_value = "hdf5")]
    pub format: Format,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.look(comm)?;
    let provenance = plan.provenance(comm);
    let alone = comm.alone();
    let current = Current::take(&plan, comm)?;
    comm.on_root(|| {
        // All that can be wrong is found before anything is made.
        let mut copies = vec![];
        let (posteriors, makers) = (plan.judged(), makers(&plan));
        let drawn_of: Vec<&String> =
            args.field.iter().filter(|f| posteriors.contains(f) && !makers.contains(f)).collect();
        let fields: Vec<String> = args.field.iter().filter(|f| !drawn_of.contains(f)).cloned().collect();
        let (made, own): (Vec<String>, _) = fields.into_iter().partition(|f| makers.contains(&stage_of(f).into()));
        if args.field.is_empty() || !own.is_empty() {
            let dataset = plan.open_dataset()?;
            let beside: Vec<String> = makers.iter().chain(&posteriors).cloned().collect();
            known(&plan, &dataset, &own, &beside)?;
            copies.push(("dataset".to_string(), dataset, own));
        }
        for stage in &makers {
            let of: Vec<&String> = made.iter().filter(|f| stage_of(f) == stage).collect();
            if !of.is_empty() {
                let fields = of.iter().filter_map(|f| f.strip_prefix(&format!("{stage}/"))).map(String::from);
                let fields = if of.contains(&stage) { vec![] } else { fields.collect() };
                copies.push((format!("fields-{stage}"), made_by(&current, stage)?, fields));
            }
        }
        let choice = Choice { only: args.only.clone(), cuts: args.cuts.clone() };
        let design = if choice.only.is_empty() { 0 } else { plan.open_dataset()?.len() };
        let place = |name: &str| args.to.join(args.format.file_name(name));
        let mut rows = vec![];
        for (name, dataset, fields) in &copies {
            chosen(dataset, fields)?;
            args.format.check_place(&place(name), &dataset.path)?;
            rows.push(choice.rows(dataset, design)?);
        }
        let mut chains = vec![];
        if let Some(stage) = drawn_of.iter().find(|stage| !plan.posterior(stage).exists()) {
            let error = Error::input(format!("there are no draws of stage {stage}")).file(plan.posterior(stage));
            return Err(error.key("--field").remedy(format!("run `polycosm infer {}` first", campaign())));
        }
        let any = args.field.is_empty() || args.field.iter().any(|field| posteriors.contains(field));
        for draws in drawn(&plan).into_iter().filter(|_| any) {
            let name = draws.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let folder = args.to.join(format!("chains-{name}"));
            let samples = Samples::read(&draws)?;
            let is_of = |stage: &String| match &samples.extras.of {
                Some(of) => of.stage == *stage,
                // Those of an older program say it by their names alone.
                None => name == *stage || name.ends_with(&format!("-{stage}")),
            };
            if !args.field.is_empty() && !args.field.iter().any(is_of) {
                continue;
            }
            check_folder(&folder)?;
            let why = current.outdated(&samples)?;
            if let Some(why) = &why {
                if !args.field.is_empty() {
                    return current.samples(&draws).map(drop);
                }
                log::warn!("export: left out: the draws in {}: {why}", draws.display());
            }
            let marginal = samples.extras.marginals.is_some();
            if marginal && why.is_none() {
                let problem = "only marginals of this posterior are known, and a chain is of all parameters together";
                if !args.field.is_empty() {
                    let remedy = "read the draws of each parameter from this file (docs/files.md)";
                    return Err(Error::input(problem).file(&draws).key("--field").remedy(remedy));
                }
                log::warn!("export: left out: the draws in {}: {problem}", draws.display());
            }
            chains.push((folder, (why.is_none() && !marginal).then_some(samples)));
        }
        let made = |e: std::io::Error| {
            let error = Error::input(format!("cannot be made: {e}")).key("--to").value(&args.to);
            error.remedy("choose a folder you may write to: --to DIR")
        };
        let new = !args.to.exists();
        std::fs::create_dir_all(&args.to).map_err(made)?;
        let _lock = Lock::of_folder(&args.to, "is exporting into")?;
        for ((name, dataset, fields), rows) in copies.iter().zip(rows) {
            let path = place(name);
            args.format.write(&alone, (dataset, &rows), &path, fields, &provenance).inspect_err(|_| {
                if new {
                    let _ = std::fs::remove_dir(&args.to); // while it is empty
                }
            })?;
            say(path.display());
        }
        for (folder, samples) in chains {
            // An earlier export is replaced as a whole.
            remove_chains(&folder)?;
            let Some(samples) = samples else { continue };
            sign(&folder, &provenance.pairs())?;
            for chain in samples.to_getdist(&folder)? {
                say(chain.display());
            }
        }
        Ok(())
    })
}

/// The stage that makes a field, if it is none of the dataset's.
fn stage_of(field: &str) -> &str {
    field.split('/').next().unwrap_or_default()
}

/// The stages that make fields; without libtorch, which knows them, all but posteriors.
fn makers(plan: &Plan) -> Vec<String> {
    #[cfg(feature = "torch")]
    let makes = |stage: &String| crate::train::outputs::makes(&plan.config.train).contains(stage);
    #[cfg(not(feature = "torch"))]
    let makes = |stage: &String| !plan.posteriors().contains(stage);
    plan.stage_names().into_iter().filter(makes).collect()
}

/// Refuses names that are neither fields of the dataset nor stages with something to export.
fn known(plan: &Plan, dataset: &Dataset, fields: &[String], stages: &[String]) -> Result<()> {
    let own: Vec<String> = dataset.specs().into_iter().map(|spec| spec.name).collect();
    let Some(other) = fields.iter().find(|field| own.iter().all(|own| own != field.trim_matches('/'))) else {
        return Ok(());
    };
    let problem = match plan.stage_names().contains(other) {
        true => "this stage makes no fields, and no posterior of [infer] is drawn from it",
        false => "is no field of this dataset, and no stage with something to export",
    };
    let names: Vec<&str> = own.iter().chain(stages).map(String::as_str).collect();
    let error = Error::input(problem).file(&dataset.path).key("--field").value(other);
    Err(error.remedy(suggestion(other, &names, "there is none: leave --field out")))
}

/// What a stage made, if it is of the stage as it is now.
fn made_by(current: &Current, stage: &str) -> Result<Dataset> {
    let path = current.stages.made(stage);
    let why = if path.exists() { current.made(stage)? } else { Some("there is no such file yet".into()) };
    match why {
        None => Ok(Derived::open(&path)?.data),
        Some(why) => {
            let error = Error::input(format!("what stage {stage} made cannot be exported: {why}")).file(path);
            Err(error.key("--field").remedy(format!("run `polycosm apply {} {stage}` first", campaign())))
        }
    }
}
