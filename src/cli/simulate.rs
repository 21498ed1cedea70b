//! `polycosm simulate`: the suite.

use super::campaign::Campaign;
use super::check::passed_over;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::io::hdf::free_memory;
use crate::progress::count;
use crate::simulators::{Runner, Section, Universes};
use crate::suite::{self, Options, Suite, Summary};
use std::ops::Range;

/// Run the campaign's simulations and pack them into its dataset; resumes by itself
///
/// A simulation that fails is recorded as failed, with a warning, and the others go on. Where every one fails, so does
/// the command (exit code 1).
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
    /// Run just these rows again, even if they are finished, e.g. 5,17 or 0..3,17
    #[arg(long, value_name = "ROWS", value_parser = range, value_delimiter = ',', conflicts_with_all = ["only", "retry_failed"])]
    pub redo: Vec<Range<u64>>,
}

/// Rows of a design: `7`, `0..127`.
pub fn range(text: &str) -> std::result::Result<Range<u64>, String> {
    let parse = |t: &str| t.parse::<u64>().map_err(|_| format!("{t:?} is not a number"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (parse(first)?, parse(last)?) {
        (a, b) if a > b => Err(format!("{a} is after {b}")),
        (a, b) => b.checked_add(1).map(|end| a..end).ok_or_else(|| format!("no design has a row {b}")),
    }
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let options = Options { only: args.only.clone(), retry_failed: args.retry_failed, redo: args.redo.clone() };
    args.campaign.with(comm, |plan| plan.check_observations(comm).and_then(|()| simulate(plan, comm, &options)))
}

/// Refuses universes, shared by groups of so many ranks, that the node's memory cannot hold: better now than when the
/// first one is half done.
pub fn fits(plan: &Plan, simulator: &dyn Section, group: usize, ranks_here: usize) -> Result<()> {
    let Some(free) = free_memory() else { return Ok(()) };
    let Some(each) = simulator.memory(&Universes { ranks: group, ..plan.universes() })? else { return Ok(()) };
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let all = |bytes: u64| bytes.saturating_mul(ranks_here as u64);
    if all(each.expected) <= free {
        if all(each.largest) > free {
            let [usual, largest] = &each.cases;
            log::warn!(
                "{:.1} GB are free on this node: enough for {usual}, but not for {largest} ({:.1} GB on every rank); {}",
                gb(free),
                gb(each.largest),
                each.safer
            );
        }
        return Ok(());
    }
    let problem = format!(
        "needs {:.1} GB on each rank; {:.1} GB are free for this node's {}",
        gb(each.expected),
        gb(free),
        count(ranks_here, "rank")
    );
    let (key, value) = each.key;
    Err(Error::input(problem).key(key).value(value).remedy(each.remedy))
}

/// Simulates what is not there yet.
pub fn simulate(plan: &Plan, comm: &Comm, options: &Options) -> Result<()> {
    of(plan, comm, |suite, runner| {
        timed(plan, comm, "simulate", || {
            let summary = suite::simulate(comm, suite, runner, options)?;
            told(plan, comm, &summary)
        })
    })
}

/// Collective: the campaign's simulations, with what makes them.
pub fn of<T>(plan: &Plan, comm: &Comm, work: impl FnOnce(&Suite, &dyn Runner) -> Result<T>) -> Result<T> {
    let (config, seed) = (&plan.config, plan.config.seed);
    let (Some(simulator), Some(design)) = (&config.simulator, comm.agree(plan.design())?) else {
        let error =
            Error::input("there is nothing to simulate: this campaign's data were made elsewhere").key("dataset");
        return comm.agree(Err(error.remedy("go on with `polycosm train`")));
    };
    let design = plan.derive_design(design);
    if let (Some(n), true) = (design.passed_over, comm.is_root()) {
        log::info!("passed over: {}", passed_over(n));
    }
    plan.check_groups(comm)?;
    comm.agree(
        fits(plan, &**simulator, config.suite.ranks_per_sim, comm.ranks_on_this_node()).map_err(|e| plan.locate(e)),
    )?;
    let runner = comm.agree(simulator.runner(&plan.universes()))?;
    let files = comm.agree(config.input_files())?;
    let provenance = plan.provenance(comm);
    let suite = Suite {
        output: &config.output,
        design: &design,
        config: &config.suite,
        kept: simulator.keeps().iter().fold(0, |all, kept| all.saturating_add(kept.bytes)),
        seed,
        provenance: &provenance,
        shape: plan.shape(),
        files,
    };
    work(&suite, runner.as_ref())
}

/// What came of it, where something was run.
fn told(plan: &Plan, comm: &Comm, summary: &Summary) -> Result<Option<String>> {
    let (ran, skipped) = (summary.done + summary.failed, summary.skipped);
    if summary.all_failed() {
        let error = Error::failed(format!("{} ran, and every one failed", count(ran + skipped, "simulation")));
        let remedy = "see why above or in `polycosm verify`, mend that, and run `polycosm simulate --retry-failed`";
        return comm.agree(Err(error.file(&plan.config.output).remedy(remedy)));
    }
    let failed = summary.failed + summary.failed_before;
    if comm.is_root() && failed > 0 {
        log::warn!("{} failed; `polycosm simulate --retry-failed` runs what failed again", count(failed, "simulation"));
    }
    if comm.is_root() && !summary.timings.is_empty() {
        let each: Vec<String> = summary.timings.iter().map(|(n, s)| format!("{n} {s:.3} s")).collect();
        log::debug!("mean of one simulation: {}", each.join(", "));
    }
    let detail = format!("{}, {:.2} per second", count(ran + skipped, "simulation"), summary.rate);
    Ok((ran > 0).then_some(detail))
}
