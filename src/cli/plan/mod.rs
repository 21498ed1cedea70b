//! `polycosm plan`: a dry run. Step table, layout, memory, disk and cost, before anything is computed.

pub mod cost;
mod scales;
pub mod traffic;
#[cfg(feature = "torch")]
mod training;

use self::cost::{Cost, Machine};
use super::campaign::Campaign;
use super::start::say;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::cosmology::Growth;
use crate::error::{Error, Result};
use crate::gravity::{Factors, StepTable};
use crate::limits;
use crate::mesh::compact_grid;
use crate::simulators::{SimulatorConfig, memory_per_rank, rehearse};
use std::f64::consts::PI;
use std::fmt::Write;

/// Dry run: step table, layout, memory per rank, disk and cost
///
/// The cost is extrapolated from what is measured here and now (kernels, the products of a small universe, a step of each
/// network) and an assumed network between the ranks; start it with as many ranks as a
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
    pub machine: Machine,
}

/// Collective; the root prints.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.look(comm)?;
    plan.writable_or_archived(comm)?;
    show(&plan, args, comm).map_err(|e| args.campaign.placed(&plan, e))
}

fn show(plan: &Plan, args: &Args, comm: &Comm) -> Result<()> {
    comm.agree(args.machine.check())?;
    comm.agree(limits::at_most("--ranks", args.ranks.unwrap_or(1), limits::RANKS))?;
    let kernels = match (&plan.config.simulator, &args.machine.bench) {
        (Some(SimulatorConfig::Pm(pm)), Some(file)) => Some(comm.agree(cost::read(file, pm))?),
        (Some(SimulatorConfig::Pm(pm)), None) => Some(cost::measure(pm, comm)?),
        (None, _) => None,
    };
    let looks = match &plan.config.simulator {
        Some(SimulatorConfig::Pm(pm)) => rehearse(pm, &plan.config.cosmology, &plan.prior, &plan.middle(), comm)?,
        None => vec![],
    };
    #[cfg(feature = "torch")]
    let stages = match &plan.config.simulator {
        Some(simulator) => {
            let runner = comm.agree(simulator.runner(&plan.config.cosmology, &plan.prior))?;
            training::seconds(plan, &runner.specs(), comm)?
        }
        None => vec![],
    };
    #[cfg(not(feature = "torch"))]
    let stages = vec![];
    let text = comm.on_root(|| {
        let config = &plan.config;
        let (Some(simulator), Some(design)) = (&config.simulator, &config.design) else {
            let error = Error::input("there are no simulations to plan: this campaign's data were made elsewhere");
            return Err(error.key("dataset").remedy("`polycosm check` looks at them; go on with `polycosm train`"));
        };
        let SimulatorConfig::Pm(pm) = simulator;
        let ranks = args.ranks.unwrap_or(comm.size());
        let per_sim = config.suite.ranks_per_sim;
        let groups = ranks / per_sim;
        if groups == 0 {
            return Err(Error::input(format!("larger than the {ranks} rank(s) planned for"))
                .key("suite.ranks_per_sim")
                .value(per_sim)
                .remedy("plan for more ranks (-n), or lower it"));
        }
        let grid = pm.process_grid.unwrap_or(compact_grid(per_sim));
        let n = design.simulations;
        let specs = simulator.runner(&config.cosmology, &plan.prior)?.specs();
        let snapshots = if pm.snapshots { pm.moments().len() as u64 * pm.snapshot_bytes() } else { 0 };
        let universe = specs.iter().fold(snapshots, |all, s| all.saturating_add(s.bytes()));
        // The table's factors and the light cone's length differ between cosmologies, the table's rows do not.
        let theta = plan.middle();
        let varied: Vec<(&str, f64)> = plan.prior.names().into_iter().zip(theta.iter().copied()).collect();
        let cosmology = plan.cosmology(&theta)?;
        let mut t = String::new();
        let (p, m) = (pm.particles, pm.mesh());
        let mut line = |what: &str, is: String| _ = writeln!(t, "{what:<22} {is}");
        line("universes", format!("{n}"));
        line("one universe", format!("{p}³ particles, mesh {m}³, {} Mpc/h", pm.box_size));
        scales::lines(pm, &cosmology).into_iter().for_each(|(what, is)| line(what, is));
        line("groups", format!("{groups} of {per_sim} rank(s), {} idle", ranks % per_sim));
        line("process grid", format!("{} × {}", grid[0], grid[1]));
        line("universes per group", format!("{}", (n as u64).div_ceil(groups as u64)));
        let memory = memory_per_rank(pm, &cosmology, per_sim)?;
        let bound = format!("{} at an imbalance of {}", size(memory.largest), pm.max_imbalance);
        line("memory per rank", format!("{}, at most {bound}; and the program itself", size(memory.expected)));
        let lists = if specs.iter().any(|s| s.ragged) { ", and lists, whose length varies" } else { "" };
        line("disk", format!("{} ({} per universe){lists}", size(universe.saturating_mul(n as u64)), size(universe)));
        for spec in &specs {
            let bytes = if spec.ragged { "varies".into() } else { size(spec.bytes()) };
            line("", format!("{} {:?}, {bytes}: {}", spec.name, spec.shape, spec.description));
        }
        if snapshots > 0 {
            line("", format!("snapshots, {}: GADGET-4 files of {p}³ particles", size(snapshots)));
        }
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: pm.time.integrator };
        let table = StepTable::new(&pm.time, &factors, &pm.moments());
        let transforms = cost::transforms(pm);
        line("force evaluations", format!("{} per universe, {transforms} transforms of {m}³ each", table.forces()));
        let middle: Vec<String> = varied.iter().map(|(name, value)| format!("{name} = {value:.4}")).collect();
        if let Some(kernels) = &kernels {
            let power = config.cosmology.linear_power(&cosmology, 0)?;
            let end = pm.moments().last().copied().unwrap_or(pm.time.end());
            let growth = growth.d1(end) - growth.d1(pm.time.start());
            let shift = displacement(|k| power.p(k)) * growth / table.forces().max(1) as f64 / pm.box_size;
            let cost = Cost::new(pm, per_sim, kernels, &args.machine, shift);
            let origin = match &args.machine.bench {
                Some(file) => format!("kernels from {}", file.display()),
                None => format!("kernels measured now on {} rank(s) at once", comm.size()),
            };
            let rounds = (n as u64).div_ceil(groups as u64);
            t += &text_of(&cost, &args.machine, &origin, table.forces(), &looks, rounds, ranks);
            t += &training_text(&stages, ranks);
        }
        let _ = write!(t, "\nstep table at the middle of the prior ({}):\n{table}", middle.join(", "));
        Ok(t)
    })?;
    if comm.is_root() {
        say(text.trim_end());
    }
    Ok(())
}

/// Mean |displacement| along an axis today in linear theory, in Mpc/h: √(2/π) σ with σ² = ∫ dk P / 6π² (Zel'dovich).
fn displacement(p: impl Fn(f64) -> f64) -> f64 {
    const POINTS: usize = 2000;
    let (first, last) = (1e-5f64.ln(), 1e2f64.ln());
    let width = (last - first) / POINTS as f64;
    let sum: f64 = (0..POINTS).map(|i| (first + (i as f64 + 0.5) * width).exp()).map(|k| k * p(k)).sum();
    (2.0 / PI * sum * width / (6.0 * PI * PI)).sqrt()
}

/// The cost as `plan` prints it.
fn text_of(
    c: &Cost,
    m: &Machine,
    origin: &str,
    forces: usize,
    looks: &[(String, f64)],
    rounds: u64,
    ranks: usize,
) -> String {
    let products = looks.iter().map(|look| look.1).sum::<f64>() / c.ranks as f64;
    let universe = forces as f64 * c.step() + c.initial + products;
    let total = universe * rounds as f64;
    let nodes = ranks.div_ceil(m.ranks_per_node);
    let sent = c.sent.map(|t| size(t.bytes as u64));
    let [step, start] = [c.step(), c.initial].map(time);
    let parts = [c.particles, c.transforms, c.mesh, c.network].map(time);
    let lines = [
        ("cost", format!("{origin}; files are not counted, nor is the network while products are made")),
        (
            "",
            format!(
                "slowest rank {} times the mean; network: {} µs per message, {} GB/s per rank",
                m.imbalance, m.latency, m.bandwidth
            ),
        ),
        (
            "one step",
            format!("{step}: particles {}, transforms {}, mesh {}, network {}", parts[0], parts[1], parts[2], parts[3]),
        ),
        (
            "sent per rank and step",
            format!(
                "transforms {}, halos {}, particles {} ({:.2}% of them)",
                sent[0],
                sent[1],
                sent[2],
                100.0 * c.crossing
            ),
        ),
        ("products", format!("{}, scaled from a small universe{}", time(products), parts_of(looks, c.ranks))),
        (
            "one universe",
            format!("{}: {forces} forces, initial conditions {start}, products {}", time(universe), time(products)),
        ),
        (
            "all",
            format!(
                "{}, {:.3} node hours on {nodes} node(s) of {} ranks",
                time(total),
                total / 3600.0 * nodes as f64,
                m.ranks_per_node
            ),
        ),
    ];
    lines.iter().map(|(what, is)| format!("{what:<22} {is}\n")).collect()
}

/// What the networks take, as `plan` prints it.
fn training_text(stages: &[(String, f64)], ranks: usize) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let all = stages.iter().map(|stage| stage.1).sum::<f64>() / ranks as f64;
    let parts = parts_of(stages, ranks);
    let what = "training";
    format!("{what:<22} {} on {ranks} rank(s), all epochs, on such cores; network not counted{parts}\n", time(all))
}

/// The largest of some parts, on so many ranks: `: a 3 s, b 1 s`.
fn parts_of(parts: &[(String, f64)], ranks: usize) -> String {
    let mut parts = parts.to_vec();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named: Vec<String> =
        parts.iter().take(8).map(|(name, s)| format!("{name} {}", time(s / ranks as f64))).collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

/// Seconds in a unit that suits them.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.3} ms", 1e3 * s),
        s if s < 600.0 => format!("{s:.2} s"),
        s if s < 36000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let power = (bytes.max(1).ilog10() / 3).min(5);
    format!("{:.3} {}", bytes as f64 / 1000f64.powi(power as i32), units[power as usize])
}
