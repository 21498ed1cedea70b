//! `polycosm simulate`: the suite.

use super::campaign::Campaign;
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{Error, Result};
use crate::suite::{self, Options, Suite};

/// Run the campaign's simulations and pack them into its dataset; resumes by itself
///
/// Example: mpirun -n 4 polycosm simulate run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only these rows of the design, e.g. 0..127 (both ends included)
    #[arg(long, value_name = "FIRST..LAST", value_parser = range)]
    pub only: Option<(u64, u64)>,
    /// Run simulations that failed once more
    #[arg(long)]
    pub retry_failed: bool,
}

fn range(text: &str) -> std::result::Result<(u64, u64), String> {
    let parse = |t: &str| t.trim_matches('=').parse::<u64>().map_err(|_| format!("{t:?} is not a number"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (parse(first)?, parse(last)?) {
        (a, b) if a <= b => Ok((a, b)),
        (a, b) => Err(format!("{a} is after {b}")),
    }
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.plan(comm)?;
    simulate(&plan, comm, &Options { only: args.only, retry_failed: args.retry_failed })
}

/// Simulates what is not there yet.
pub fn simulate(plan: &Plan, comm: &Comm, options: &Options) -> Result<()> {
    let (Some(simulator), Some(design)) = (&plan.config.simulator, &plan.config.design) else {
        return Err(Error::input("this campaign has no [simulator]: its data come from [dataset]")
            .remedy("go on with `polycosm train`"));
    };
    plan.check_groups(comm)?;
    let runner = comm.agree(simulator.runner(&plan.config.cosmology, &plan.prior))?;
    todo!()
}
