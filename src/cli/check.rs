//! `polycosm check`: validate; print the resolved values and where each came from, and what it all comes to.

use super::ahead::Ahead;
use super::calibrate::foresee;
use super::campaign::Campaign;
use super::start::{absolute, say};
use crate::comm::Comm;
use crate::config::Origin;
use crate::config::campaign::Config;
use crate::config::origin::{self, Entry};
use crate::config::plan::Plan;
use crate::error::Result;
use crate::prior::{Accepted, Derived};
use crate::progress::count;
use crate::suite::shard_size::in_words;

/// Sections that only a simulator reads.
const SIMULATED: [&str; 3] = ["cosmology", "design", "suite"];

/// Validate a campaign file; print the resolved values, where each came from, and a summary that ends in "ok"
///
/// Of a folder that was begun it tells whether it is this campaign's. Data made elsewhere are looked at too: rows outside the
/// prior, splits without rows, tests that cannot be used.
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
    plan.check_observations(comm)?;
    plan.writable_or_archived(comm)?;
    plan.check_begun(comm, true)?;
    let entries = comm.agree(used(&plan))?;
    let ahead = comm.agree(Ahead::of(&plan).map_err(|e| plan.locate(e)))?;
    if let Some(ahead) = &ahead {
        ahead.check(&plan, comm, true).map_err(|e| args.campaign.placed(&plan, e))?;
    }
    let lines = comm.on_root(|| summary(&plan, ahead.as_ref()).map_err(|e| plan.locate(e)))?;
    if comm.is_root() {
        say(origin::table(&entries).trim_end());
        say("");
        lines.iter().for_each(say);
        say("ok");
    }
    Ok(())
}

/// The resolved values; where the data were made elsewhere, without the sections that only a simulator reads, of which
/// those that are given are told.
fn used(plan: &Plan) -> Result<Vec<Entry>> {
    let (mut entries, foreign) = (plan.origins()?, plan.config.simulator.is_none());
    let idle = |entry: &Entry| foreign && SIMULATED.contains(&entry.key.split('.').next().unwrap_or_default());
    for section in SIMULATED {
        let of = |entry: &&Entry| idle(entry) && entry.key.split('.').next() == Some(section);
        if entries.iter().filter(of).any(|entry| entry.origin != Origin::Default) {
            log::warn!("[{section}] is given and not used: the data were made elsewhere");
        }
    }
    entries.retain(|entry| !idle(entry));
    Ok(entries)
}

/// The derived parameters, and how the prior spreads them, a line each.
pub fn derived(plan: &Plan) -> Vec<String> {
    let unit = |unit: &str| if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let number = |x: f64| if x.abs() < 0.01 { format!("{x:.3e}") } else { format!("{x:.4}") };
    let of =
        |d: &Derived| format!("{} = {}: {} ± {}{}", d.name, d.formula, number(d.mean), number(d.sd), unit(&d.unit));
    plan.prior.derived.iter().map(of).collect()
}

/// How many points a design passed over, in words.
pub fn passed_over(n: u64) -> String {
    format!("{} of the design, whose universes cannot be made", count(n as usize, "point"))
}

/// What the campaign will do, in a few lines.
fn summary(plan: &Plan, ahead: Option<&Ahead>) -> Result<Vec<String>> {
    let config = &plan.config;
    let mut lines = vec![];
    let mut line = |what: &str, is: String| lines.push(format!("{what:<12} {is}"));
    if let (Some(simulator), Some(design)) = (&config.simulator, &config.design) {
        let (universes, varied) = (count(design.simulations, "universe"), plan.prior.names().join(", "));
        line("simulates", format!("{universes} of {}; varies {varied}", simulator.summary()));
        design.composition().into_iter().for_each(|what| line("", what));
        let left = |left: &Accepted| format!("{left} of the prior can be made; other points are passed over");
        plan.prior.accepted.iter().for_each(|accepted| line("", left(accepted)));
        derived(plan).into_iter().for_each(|of| line("derives", of));
        let specs = simulator.runner(&plan.universes())?.specs();
        let mut kept: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
        kept.extend(simulator.keeps().iter().map(|k| k.name));
        line("keeps", if kept.is_empty() { "nothing".into() } else { kept.join(", ") });
        line("shards", in_words(plan.shard_size(), design.simulations, &specs));
    }
    if let Some(dataset) = &config.dataset {
        let rows = ahead.map_or(String::new(), |ahead| format!(": {}", ahead.rows()));
        line("reads", format!("{}{rows}", dataset.file.display()));
    }
    let stages = plan.stage_names();
    if !stages.is_empty() {
        line("trains", stages.join(", "));
    }
    if let [posterior, baseline @ ..] = &plan.posteriors()[..] {
        let beside = baseline.first().map_or(String::new(), |b| format!(", beside {b}"));
        line("infers", format!("{posterior}{beside}"));
    }
    if let Some((text, but)) = ahead.and_then(|ahead| foresee(plan, ahead)) {
        but.iter().for_each(|but| log::warn!("{text}: {but}"));
        line("judges", text);
    }
    line("output", absolute(&config.output).display().to_string());
    Ok(lines)
}
