//! `polycosm observe`: products again, of what was kept.

use super::campaign::Campaign;
use super::simulate::{of, range};
use super::timings::timed;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::progress::count;
use crate::suite::{self, Options};
use std::ops::Range;

/// Make products of finished simulations again, of what was kept of them, without simulating; resumes by itself
///
/// For a campaign whose sections that say what is seen of a universe have changed. Fields that did not change are taken
/// over; the others are made of snapshots, or of particles, halos, lens planes or maps in the dataset. What nothing was
/// kept for is refused before anything is made.
///
/// Example: mpirun -n 4 polycosm observe run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only these rows of the design, e.g. 0..127 (both ends included); the dataset can be read when all are made
    #[arg(long, value_name = "FIRST..LAST", value_parser = range)]
    pub only: Option<Range<u64>>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let options = Options { only: args.only.clone(), ..Options::default() };
    args.campaign.with(comm, |plan| {
        if let Some(simulator) = plan.config.simulator.as_ref().filter(|s| s.seen().is_empty()) {
            let error = Error::input("universes of this kind are seen in one way only: all of its keys shape them");
            let error = error.key("simulator.kind").value(simulator.kind());
            return comm.agree(Err(error.remedy("give another output, and simulate anew")));
        }
        of(plan, comm, |suite, runner| {
            timed(plan, comm, "observe", || {
                let seen = suite::observe(comm, suite, runner, &options)?;
                let fields = seen.fields.join(", ");
                Ok((seen.done > 0).then(|| format!("{}: {fields}", count(seen.done, "simulation"))))
            })
        })
    })
}
