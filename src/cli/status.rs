//! `polycosm status`: how far a campaign is, from its files alone.

use super::calibrate::holes_of;
use super::campaign::Campaign;
use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::progress::count;
use crate::suite::status::status;
use serde_json::json;

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
    let plan = args.campaign.plan(comm)?;
    comm.on_root(|| {
        let config = &plan.config;
        let (suite, holes) = match &config.design {
            Some(d) if config.simulator.is_some() => {
                let s = status(&config.output, d.simulations, config.suite.shard_size)?;
                let holes = if s.failed > 0 { d.resolve(config.seed)?.holes(&s.states) } else { None };
                (Some(s), holes)
            }
            _ if plan.config.dataset.is_some() => (None, holes_of(&plan.open_dataset()?)),
            _ => (None, None),
        };
        let stages: Vec<(String, bool)> =
            plan.stage_names().into_iter().map(|s| (s.clone(), plan.stage(&s).join("model.json").exists())).collect();
        if args.json {
            let text = serde_json::to_string_pretty(&json!({
                "simulations": suite,
                "holes": holes,
                "stages": stages.iter().map(|(s, d)| json!({"name": s, "trained": d})).collect::<Vec<_>>(),
                "report": plan.report().join("index.html").exists(),
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
                false => "not complete".to_string(),
            };
            say(format_args!("dataset      {dataset}"));
            s.damaged.iter().for_each(|d| say(format_args!("damaged      {d}")));
        }
        holes.iter().for_each(|holes| say(format_args!("failures     {holes}")));
        for (stage, trained) in stages {
            say(format_args!("stage        {stage}: {}", if trained { "trained" } else { "not trained" }));
        }
        Ok(())
    })
}
