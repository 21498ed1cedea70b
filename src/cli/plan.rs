//! `polycosm plan`: a dry run. Step table, layout, memory and disk, before anything is computed.

use super::campaign::Campaign;
use super::start::say;
use crate::comm::Comm;
use crate::cosmology::Growth;
use crate::error::{Error, Result};
use crate::gravity::{Factors, StepTable};
use crate::io::field::{Dtype, FieldSpec};
use crate::mesh::compact_grid;
use crate::simulators::{SimulatorConfig, memory_per_rank};
use std::fmt::Write;

/// Dry run: step table, layout, memory per rank and disk
///
/// Example: polycosm plan run.toml -n 512
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Ranks to plan for [default: those of this job]
    #[arg(short = 'n', long, value_name = "RANKS")]
    pub ranks: Option<usize>,
}

/// Collective; the root prints.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.plan(comm)?;
    let text = comm.on_root(|| {
        let config = &plan.config;
        let (Some(simulator), Some(design)) = (&config.simulator, &config.design) else {
            return Err(Error::input("this campaign simulates nothing: there is nothing to plan"));
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
        let universe: u64 = specs.iter().map(bytes).sum();
        let mut t = String::new();
        let (p, m) = (pm.particles, pm.mesh());
        let mut line = |what: &str, is: String| _ = writeln!(t, "{what:<22} {is}");
        line("universes", format!("{n}"));
        line("one universe", format!("{p}³ particles, mesh {m}³, {} Mpc/h", pm.box_size));
        line("resolution", format!("{:.3} Mpc/h between particles", pm.box_size / p as f64));
        line("groups", format!("{groups} of {per_sim} rank(s), {} idle", ranks % per_sim));
        line("process grid", format!("{} × {}", grid[0], grid[1]));
        line("universes per group", format!("{}", (n as u64).div_ceil(groups as u64)));
        let memory = memory_per_rank(pm, per_sim);
        let bound = format!("{} at an imbalance of {}", size(memory.largest), pm.max_imbalance);
        line("memory per rank", format!("{}, at most {bound}; and the program itself", size(memory.expected)));
        line("disk", format!("{} ({} per universe)", size(universe * n as u64), size(universe)));
        for spec in &specs {
            line("", format!("{} {:?}, {}: {}", spec.name, spec.shape, size(bytes(spec)), spec.description));
        }
        // The middle of the prior stands for all: the factors' values differ between cosmologies, the rows do not.
        let theta = plan.prior.from_unit(&vec![0.5; plan.prior.len()]);
        let varied: Vec<(&str, f64)> = plan.prior.names().into_iter().zip(theta.iter().copied()).collect();
        let cosmology = plan.cosmology(&theta)?;
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: pm.time.integrator };
        let table = StepTable::new(&pm.time, &factors, &pm.moments());
        line("force evaluations", format!("{} per universe, two transforms of {m}³ each", table.forces()));
        let middle: Vec<String> = varied.iter().map(|(name, value)| format!("{name} = {value:.4}")).collect();
        let _ = write!(t, "\nstep table at the middle of the prior ({}):\n{table}", middle.join(", "));
        Ok(t)
    })?;
    if comm.is_root() {
        say(text.trim_end());
    }
    Ok(())
}

fn bytes(spec: &FieldSpec) -> u64 {
    let each = match spec.dtype {
        Dtype::F32 => 4,
        Dtype::F64 | Dtype::I64 => 8,
    };
    spec.shape.iter().map(|&n| n as u64).product::<u64>() * each
}

fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let power = (bytes.max(1).ilog10() / 3).min(5);
    format!("{:.3} {}", bytes as f64 / 1000f64.powi(power as i32), units[power as usize])
}
