//! `polycosm check`: validate; print the resolved values and where each came from, and what it all comes to.

use super::calibrate::foresee;
use super::campaign::Campaign;
use super::start::{absolute, say};
use crate::comm::Comm;
use crate::config::campaign::Config;
use crate::config::origin;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::progress::count;
use crate::simulators::SimulatorConfig;

/// Validate a campaign file; print the resolved values, where each came from, and a summary that ends in "ok"
///
/// Example: polycosm check run.toml --set cosmology.h=0.7
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let loaded = Config::load(comm, &args.campaign.file, &args.campaign.set)?;
    let plan = Plan::new(&loaded, comm)?;
    plan.writable_or_archived(comm)?;
    let entries = comm.agree(plan.origins())?;
    let lines = comm.on_root(|| summary(&plan).map_err(|e| plan.locate(e)))?;
    if comm.is_root() {
        say(origin::table(&entries).trim_end());
        say("");
        lines.iter().for_each(say);
        say("ok");
    }
    Ok(())
}

/// What the campaign will do, in a few lines.
fn summary(plan: &Plan) -> Result<Vec<String>> {
    let config = &plan.config;
    let mut lines = vec![];
    let mut line = |what: &str, is: String| lines.push(format!("{what:<12} {is}"));
    if let (Some(simulator), Some(design)) = (&config.simulator, &config.design) {
        let SimulatorConfig::Pm(pm) = simulator;
        let universes = count(design.simulations, "universe");
        let (n, side) = (pm.particles, pm.box_size);
        line(
            "simulates",
            format!("{universes} of {n}³ particles in {side} Mpc/h; varies {}", plan.prior.names().join(", ")),
        );
        let specs = simulator.runner(&config.cosmology, &plan.prior)?.specs();
        let mut kept: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
        kept.extend(pm.snapshots.then_some("snapshots"));
        line("keeps", if kept.is_empty() { "nothing".into() } else { kept.join(", ") });
    }
    if let Some(dataset) = &config.dataset {
        line("reads", dataset.file.display().to_string());
    }
    let stages = plan.stage_names();
    if !stages.is_empty() {
        line("trains", stages.join(", "));
    }
    if let [posterior, baseline @ ..] = &plan.posteriors()[..] {
        let beside = baseline.first().map_or(String::new(), |b| format!(", beside {b}"));
        line("infers", format!("{posterior}{beside}"));
    }
    if let Some((text, but)) = foresee(plan)? {
        but.iter().for_each(|but| log::warn!("{text}: {but}"));
        line("judges", text);
    }
    line("output", absolute(&config.output).display().to_string());
    Ok(lines)
}
