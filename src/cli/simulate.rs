//! `polycosm simulate`: the suite.

use super::campaign::Campaign;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{At, Error, Result};
use crate::suite::{self, Options, Suite};
use serde_json::json;
use std::ops::Range;

/// Run the campaign's simulations and pack them into its dataset; resumes by itself
///
/// Example: mpirun -n 4 polycosm simulate run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only these rows of the design, e.g. 0..127 (both ends included)
    #[arg(long, value_name = "FIRST..LAST", value_parser = range)]
    pub only: Option<Range<u64>>,
    /// Run simulations that failed once more
    #[arg(long)]
    pub retry_failed: bool,
}

fn range(text: &str) -> std::result::Result<Range<u64>, String> {
    let parse = |t: &str| t.parse::<u64>().map_err(|_| format!("{t:?} is not a number"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (parse(first)?, parse(last)?) {
        (a, b) if a <= b => Ok(a..b + 1),
        (a, b) => Err(format!("{a} is after {b}")),
    }
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.plan(comm)?;
    simulate(&plan, comm, &Options { only: args.only.clone(), retry_failed: args.retry_failed })
}

/// Simulates what is not there yet.
pub fn simulate(plan: &Plan, comm: &Comm, options: &Options) -> Result<()> {
    let (config, seed) = (&plan.config, plan.config.seed);
    let (Some(simulator), Some(design)) = (&config.simulator, &config.design) else {
        let error = Error::input("this campaign has no [simulator]: its data come from [dataset]");
        return comm.agree(Err(error.remedy("go on with `polycosm train`")));
    };
    plan.check_groups(comm)?;
    let runner = comm.agree(simulator.runner(&config.cosmology, &plan.prior))?;
    let resolved = comm.agree(design.resolve(seed))?;
    // What shapes the data: a campaign that differs in it may not go on in the same folder.
    let mut designed = json!(design);
    if let (true, Some(table)) = (design.extends(), designed.as_object_mut()) {
        table.remove("simulations");
    }
    let shape = json!({"seed": seed, "cosmology": config.cosmology, "simulator": simulator, "design": designed});
    let provenance = plan.provenance(comm);
    let suite = Suite {
        output: &config.output,
        design: &resolved,
        config: &config.suite,
        seed,
        provenance: &provenance,
        shape,
    };
    timed(plan, comm, "simulate", || {
        let summary = suite::simulate(comm, &suite, runner.as_ref(), options)?;
        comm.on_root(|| {
            let path = config.output.join("campaign.toml");
            std::fs::write(&path, &plan.resolved).at(&path)
        })?;
        let (ran, skipped) = (summary.done + summary.failed, summary.skipped);
        if comm.is_root() && summary.failed > 0 {
            log::warn!("{} simulations failed; `polycosm simulate --retry-failed` runs them again", summary.failed);
        }
        if comm.is_root() && ran > 0 {
            let each: Vec<String> = summary.timings.iter().map(|(n, s)| format!("{n} {s:.3} s")).collect();
            log::info!("mean of one simulation: {}", each.join(", "));
        }
        let detail = format!("{} simulations, {:.2} per second", ran + skipped, summary.rate);
        Ok((ran > 0).then_some(detail))
    })
}
