//! `polycosm status`: how far a campaign is, from its files alone.

use super::calibrate::holes_of;
use super::campaign::Campaign;
use super::check::{derived, passed_over};
use super::current::{Current, drawn};
use super::start::say;
use super::training::Training;
use super::{calibrate, report};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result, campaign};
use crate::io::samples::Samples;
use crate::io::stages::{State, anew};
use crate::progress::count;
use crate::suite::observe::Outdated;
use crate::suite::status::status;
use crate::suite::{self, Lock};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// How far the campaign is: simulations done, failed and running, rate, time left; stages trained
///
/// Example: polycosm status run.toml --json
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Collective; the root looks.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.look(comm)?;
    let current = Current::take(&plan, comm)?;
    comm.on_root(|| {
        let config = &plan.config;
        let mut passed = None;
        let (suite, holes) = match plan.design()? {
            Some(design) => {
                passed = design.passed_over;
                let s = status(&config.output, &design, plan.shard_size())?;
                let holes = if s.failed > 0 { design.holes(&s.states) } else { None };
                (Some(s), holes)
            }
            _ if plan.config.dataset.is_some() => (None, holes_of(&plan.open_dataset()?)),
            _ => (None, None),
        };
        let packed = suite.as_ref().filter(|s| s.misplaced == 0);
        let outdated = packed.map_or(Ok(None), |s| outdated(&plan, &s.states));
        let outdated = outdated.unwrap_or_else(|e| Some(e.to_string()));
        let results = results(&plan, &current);
        if args.json {
            let text = serde_json::to_string_pretty(&json!({
                "simulations": suite,
                "holes": holes,
                "derived": plan.prior.derived,
                "passed_over": passed,
                "outdated": outdated,
                "stages": stages_json(&plan, &results),
                "results": results.iter().filter(|r| r.what != "stage").collect::<Vec<_>>(),
                "report": page(&plan).exists(),
            }));
            say(text.map_err(|e| Error::failed(e.to_string()))?);
            return Ok(());
        }
        if let Some(s) = suite {
            say(format_args!(
                "simulations  {} of {} done, {} failed, {} running; {} of {} shards packed",
                s.done, s.total, s.failed, s.running, s.shards[0], s.shards[1]
            ));
            if let Some(rate) = s.rate {
                let eta = s.eta.map_or(String::new(), |eta| format!(", about {eta:.0} s left"));
                say(format_args!("rate         {rate:.2} per second{eta}"));
            }
            let dataset = match s.dataset {
                true if s.done == 0 => "complete, and every simulation in it failed".to_string(),
                true if s.failed > 0 => format!("complete, {} failed", count(s.failed, "simulation")),
                true => "complete".to_string(),
                false => match s.indexed {
                    Some([there, failed]) => format!("not complete: {there} of {} in it, {failed} failed", s.total),
                    None => "not complete: nothing can be read yet".to_string(),
                },
            };
            say(format_args!("dataset      {dataset}"));
            passed.iter().for_each(|&n| say(format_args!("passed over  {}", passed_over(n))));
            if s.misplaced > 0 {
                let them = count(s.misplaced, "shard");
                say(format_args!("other size   {them}, which `polycosm simulate` packs anew as suite.shard_size says"));
            }
            s.damaged.iter().for_each(|d| say(format_args!("damaged      {d}")));
            s.strangers.iter().for_each(|d| say(format_args!("other design {d}")));
        }
        derived(&plan).into_iter().for_each(|of| say(format_args!("derives      {of}")));
        outdated.iter().for_each(|why| say(format_args!("outdated     {why}")));
        holes.iter().for_each(|holes| say(format_args!("failures     {holes}")));
        for r in &results {
            let word = r.outdated.as_ref().map_or(r.word.clone(), |why| format!("outdated: {why}"));
            say(format_args!("{:<12} {}: {word}", r.what, r.name));
            r.remedy.iter().for_each(|remedy| say(format_args!("{:<12} {remedy}", "  remedy")));
        }
        Ok(())
    })
}

/// Which finished simulations have other fields than the campaign asks for, and what to do.
fn outdated(plan: &Plan, states: &[suite::status::State]) -> Result<Option<String>> {
    let Some(simulator) = &plan.config.simulator else { return Ok(None) };
    let (specs, m) = (simulator.runner(&plan.universes())?.specs(), plan.shard_size());
    let found = Outdated::take(&plan.config.output, m, states, &specs, &plan.shape())?;
    let n = count(found.rows.len(), "finished simulation");
    let what = || format!("{n}: {}; run `polycosm observe {}`", found.words(), campaign());
    Ok((!found.rows.is_empty()).then(what))
}

/// A result that is there, or a stage.
#[derive(Serialize)]
struct Outcome {
    /// `forecast`, `stage`, `fields`, `draws`, `verdict` or `report`.
    what: &'static str,
    name: String,
    #[serde(skip)]
    word: String,
    /// Of a training that is not finished.
    #[serde(skip)]
    training: Option<Training>,
    /// What a page does not show though it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// Why it is of no use now.
    outdated: Option<String>,
    /// What to do about it, of a stage that stands on none that is outdated.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn page(plan: &Plan) -> PathBuf {
    plan.report().join("index.html")
}

fn stages_json(plan: &Plan, results: &[Outcome]) -> Vec<Value> {
    let trained = |r: &Outcome| plan.stages().model(&r.name).exists();
    let stages = results.iter().filter(|r| r.what == "stage");
    let of = |r: &Outcome| json!({"name": r.name, "trained": trained(r), "epochs": r.training.as_ref().map(|t| t.epochs), "training": r.training, "outdated": r.outdated, "remedy": r.remedy});
    stages.map(of).collect()
}

/// Every stage, and all that was made of them. What cannot be read is outdated too, and says so.
fn results(plan: &Plan, current: &Current) -> Vec<Outcome> {
    let outcome = |what, name: &str, word: &str, outdated: Result<Option<String>>| {
        let told = |e: Error| Some(e.to_string());
        let (training, left_out) = (None, vec![]);
        Outcome {
            what,
            name: name.into(),
            word: word.into(),
            training,
            left_out,
            outdated: outdated.unwrap_or_else(told),
            remedy: None,
        }
    };
    let mut all = vec![];
    if plan.forecast().exists() {
        all.push(outcome("forecast", "forecast.h5", "made", current.forecast_outdated(plan)));
    }
    for stage in plan.stage_names() {
        all.push(match current.stage(&stage) {
            Ok(State::Absent) => {
                let training = Training::of(plan, &stage);
                let word = match &training {
                    Some(training) => training.words(),
                    None if Lock::held_elsewhere(&plan.stage(&stage)) => "in training".into(),
                    None => "not trained".into(),
                };
                Outcome { training, ..outcome("stage", &stage, &word, Ok(None)) }
            }
            Ok(State::Trained(record)) => {
                let whole = current.stages.check_weights(&stage, &record);
                outcome("stage", &stage, "trained", whole.and_then(|()| current.stages.otherwise(&stage)))
            }
            Ok(State::Outdated(why)) => {
                let first = current.stages.below(&stage, current.identity(&stage)).is_ok_and(|below| below.is_none());
                Outcome { remedy: first.then(|| anew(&stage)), ..outcome("stage", &stage, "", Ok(Some(why))) }
            }
            Err(e) => outcome("stage", &stage, "", Err(e)),
        });
    }
    for stage in plan.stage_names().iter().filter(|stage| current.stages.made(stage).exists()) {
        all.push(outcome("fields", stage, "made", current.made(stage)));
    }
    for path in drawn(plan) {
        let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        all.push(outcome("draws", &name, "drawn", Samples::read(&path).and_then(|s| current.outdated(&s))));
    }
    for stage in plan.judged() {
        let draws = all.iter().find(|r| r.what == "draws" && r.name == stage).and_then(|r| r.outdated.clone());
        let why = match calibrate::read(plan, &stage) {
            Ok(None) => continue,
            Ok(Some(verdict)) => calibrate::outdated(plan, &stage, &verdict, draws.as_deref()),
            Err(e) => Err(e),
        };
        all.push(outcome("verdict", &stage, "judged", why));
    }
    if page(plan).exists() {
        let (left_out, why) = match report::made(plan, current) {
            Ok((left_out, why)) => (left_out, Ok(why)),
            Err(e) => (vec![], Err(e)),
        };
        let word = match left_out.is_empty() {
            true => "made".to_string(),
            false => format!("made, without what was outdated: {}", left_out.join(", ")),
        };
        all.push(Outcome { left_out, ..outcome("report", "index.html", &word, why) });
    }
    all
}
