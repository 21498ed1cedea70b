//! `polycosm plan`: a dry run. Step table, layout, memory, disk and cost, before anything is computed.

#[cfg(feature = "torch")]
mod training;

#[cfg(feature = "torch")]
use super::ahead::Ahead;
use super::campaign::{Campaign, path};
use super::start::say;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::limits;
use crate::simulators::budget::{Machine, parts_of, size, time};
use crate::suite::room;
use crate::suite::shard_size::in_words;
use crate::suite::status::{Inventory, State};
use std::fmt::Write;
use std::path::PathBuf;

/// Dry run: step table, layout, memory per rank, disk and cost
///
/// The cost is extrapolated from what is measured here and now (kernels, the products of a small universe, a step of
/// each network) and an assumed network between the ranks; start it with as many ranks as a
/// node of the machine has cores, so that they share its memory as the run will.
///
/// Example: polycosm plan run.toml -n 512
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Ranks to plan for [default: those of this job]
    #[arg(short = 'n', long, value_name = "RANKS")]
    pub ranks: Option<usize>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Collective; the root prints.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.look(comm)?;
    plan.writable_or_archived(comm)?;
    show(&plan, args, comm).map_err(|e| args.campaign.placed(&plan, e))
}

fn show(plan: &Plan, args: &Args, comm: &Comm) -> Result<()> {
    let machine = args.machine.machine();
    comm.agree(machine.check())?;
    comm.agree(limits::at_most("--ranks", args.ranks.unwrap_or(1), limits::RANKS))?;
    let config = &plan.config;
    let (Some(simulator), Some(design)) = (&config.simulator, &config.design) else {
        let error = Error::input("there are no simulations to plan: this campaign's data were made elsewhere");
        let remedy = "`polycosm check` looks at them; go on with `polycosm train`";
        return comm.agree(Err(error.key("dataset").remedy(remedy)));
    };
    let (ranks, per_sim) = (args.ranks.unwrap_or(comm.size()), config.suite.ranks_per_sim);
    let groups = ranks / per_sim;
    if groups == 0 {
        let error = Error::input(format!("larger than the {ranks} rank(s) planned for")).key("suite.ranks_per_sim");
        return comm.agree(Err(error.value(per_sim).remedy("plan for more ranks (-n), or lower it")));
    }
    let of = plan.universes();
    let specs = comm.agree(simulator.runner(&of))?.specs();
    #[cfg(feature = "torch")]
    comm.on_root(|| Ahead::of(plan)?.map_or(Ok(()), |ahead| ahead.check_places(plan)))?;
    let budget = comm.agree(simulator.budget(&of, &machine, comm))?;
    let memory = comm.agree(simulator.memory(&of))?;
    #[cfg(feature = "torch")]
    let stages = training::seconds(plan, &specs, comm)?;
    #[cfg(not(feature = "torch"))]
    let stages: Vec<(String, f64, u64)> = vec![];
    let m = plan.shard_size();
    let missing = comm.on_root(|| {
        let Some(design) = plan.design()? else { return Ok(0) };
        Ok(Inventory::take(&config.output, &design, m)?.count(State::Missing))
    })?;
    if !comm.is_root() {
        return Ok(());
    }

    let (n, kept) = (design.simulations as u64, simulator.keeps());
    let files = kept.iter().fold(0u64, |all, k| all.saturating_add(k.bytes));
    let universe = specs.iter().fold(files, |all, s| all.saturating_add(s.bytes()));
    let rounds = n.div_ceil(groups as u64);
    let bytes = room::of_universes(missing, (design.simulations, m), &specs, files);
    if let Err(e) = room::check(&config.output, missing, bytes, &specs) {
        log::warn!("{e}");
    }
    let mut text = String::new();
    let mut line = |what: &str, is: &str| _ = writeln!(text, "{what:<22} {is}");
    let unknown = "unknown: this kind of simulator does not tell";
    line("universes", &n.to_string());
    design.composition().iter().for_each(|what| line("", what));
    if budget.universe.is_empty() {
        line("one universe", &simulator.summary());
    }
    budget.universe.iter().for_each(|(what, is)| line(what, is));
    line("groups", &format!("{groups} of {per_sim} rank(s), {} idle", ranks % per_sim));
    budget.layout.iter().for_each(|(what, is)| line(what, is));
    line("universes per group", &rounds.to_string());
    let takes = memory.map_or(unknown.into(), |m| {
        let [expected, largest] = [m.expected, m.largest].map(size);
        format!("{expected}, at most {largest} at {}; and the program itself", m.cases[1])
    });
    line("memory per rank", &takes);
    let lists = if specs.iter().any(|s| s.ragged) { ", and lists, whose length varies" } else { "" };
    line("disk", &format!("{} ({} per universe){lists}", size(universe.saturating_mul(n)), size(universe)));
    line("shards", &in_words(m, design.simulations, &specs));
    for spec in &specs {
        let bytes = if spec.ragged { "varies".into() } else { size(spec.bytes()) };
        line("", &format!("{} {:?}, {bytes}: {}", spec.name, spec.shape, spec.description));
    }
    kept.iter().for_each(|k| line("", &format!("{}, {}: {}", k.name, size(k.bytes), k.what)));
    for (stage, _, bytes) in stages.iter().filter(|stage| stage.2 > 0) {
        line("", &format!("fields/{stage}.h5, {} in all: what stage {stage} makes", size(*bytes)));
    }
    let stages: Vec<(String, f64)> = stages.into_iter().map(|(name, seconds, _)| (name, seconds)).collect();
    budget.work.iter().for_each(|(what, is)| line(what, is));
    match &budget.cost {
        None => line("cost", unknown),
        Some(cost) => {
            cost.lines.iter().for_each(|(what, is)| line(what, is));
            let (total, nodes) = (cost.seconds * rounds as f64, ranks.div_ceil(machine.ranks_per_node));
            let hours = total / 3600.0 * nodes as f64;
            let nodes = format!("{nodes} node(s) of {} ranks", machine.ranks_per_node);
            line("all", &format!("{}, {hours:.3} node hours on {nodes}", time(total)));
        }
    }
    if !stages.is_empty() {
        let all = time(stages.iter().map(|stage| stage.1).sum::<f64>() / ranks as f64);
        let parts = parts_of(&stages, ranks);
        line("training", &format!("{all} on {ranks} rank(s), all epochs, on such cores; network not counted{parts}"));
    }
    if !budget.table.is_empty() {
        // The cost, which is looked for, stands last.
        text = format!("{}\n\n{text}", budget.table.trim_end());
    }
    say(text.trim_end());
    Ok(())
}

/// The machine that is planned for.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineArgs {
    /// Take the kernels' speed from this output of `polycosm bench KIND --json` [default: measured now, in seconds]
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub bench: Option<PathBuf>,
    /// Network: microseconds per message
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 2.0)]
    pub latency: f64,
    /// Network: GB/s that each rank sends while all do (25 GB/s per node, half of it used, 64 ranks: 0.2)
    #[arg(long, value_name = "GB/S", default_value_t = 0.2)]
    pub bandwidth: f64,
    /// Ranks that share a node
    #[arg(long, value_name = "RANKS", default_value_t = 64)]
    pub ranks_per_node: usize,
    /// Work of the slowest rank over the mean
    #[arg(long, value_name = "FACTOR", default_value_t = 1.1)]
    pub imbalance: f64,
}

impl MachineArgs {
    fn machine(&self) -> Machine {
        let MachineArgs { bench, latency, bandwidth, ranks_per_node, imbalance } = self.clone();
        Machine { bench, latency, bandwidth, ranks_per_node, imbalance }
    }
}
