//! `polycosm verify`: is the dataset what it should be?

use super::campaign::Campaign;
use super::report::theory;
use super::start::say;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::io::derived::Derived;
use crate::progress::count;
use crate::suite::verify::verify;
use std::path::Path;

/// Read the whole dataset again: checksums, NaNs, means against theory; and what stages made of it
///
/// Example: mpirun -n 4 polycosm verify run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
}

/// Collective. Fails if the dataset is damaged.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.look(comm)?;
    let config = &plan.config;
    let made = || plan.stage_names().into_iter().map(|stage| plan.stages().made(&stage)).filter(|path| path.exists());
    let (Some(_), Some(design)) = (&config.simulator, comm.agree(plan.design())?) else {
        if comm.on_root(|| Ok(made().count()))? > 0 {
            return comm.on_root(|| made().try_for_each(|path| fields(&path)));
        }
        let error = Error::input("data made elsewhere carry no checksums to verify").key("dataset");
        return comm.agree(Err(plan.locate(error.remedy("verify belongs to campaigns that simulate"))));
    };
    let found = verify(comm, &config.output, &design, plan.shard_size())?;
    comm.on_root(|| {
        let (all, failed, missing) = (found.simulations, found.failed.len(), found.missing);
        let first = |reason: &String| format!(", the first because: {}", reason.replace('\n', ";"));
        let reason = found.reason.as_ref().map_or(String::new(), first);
        let yet = if missing == 0 { String::new() } else { format!(", {missing} not there yet") };
        say(format_args!("{}{yet}, {failed} failed{reason}", count(all, "simulation")));
        for d in &found.defects {
            say(format_args!("  {} of simulation {}: {}", d.field, d.index, d.problem));
        }
        if let Some(error) = found.strangers.first() {
            found.strangers[1..].iter().for_each(|e| say(format_args!("  {e}")));
            return Err(error.clone());
        }
        if !found.is_sound() {
            return Err(Error::failed(format!("{} in the dataset", count(found.defects.len(), "defect")))
                .file(plan.dataset())
                .remedy(found.remedy()));
        }
        if failed == all - missing {
            let error = Error::failed("holds no universe: every simulation failed").file(plan.dataset());
            return Err(error.remedy("mend the cause and run `polycosm simulate --retry-failed`"));
        }
        made().try_for_each(|path| fields(&path))?;
        against_theory(&plan)?;
        say("every checksum holds, every number of a finished simulation is finite");
        Ok(())
    })
}

/// What a stage made.
fn fields(path: &Path) -> Result<()> {
    let rows = Derived::verify(path)?;
    say(format_args!("{}: every checksum of {} holds", path.display(), count(rows, "row")));
    Ok(())
}

/// Mean ratio of fields to what theory says of their first numbers: far from one means a wrong normalisation.
fn against_theory(plan: &Plan) -> Result<()> {
    const SHOWN: usize = 3;
    let dataset = plan.open_dataset()?;
    let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).take(256).collect();
    'fields: for spec in dataset.specs().into_iter().filter(|spec| !spec.ragged) {
        let (mut ratio, mut name) = (vec![], String::new());
        for &row in &rows {
            // A field without theory has none in any universe.
            let Some(theory) = theory(plan, &spec, dataset.theta_of(row), row as u64)? else { continue 'fields };
            let measured = dataset.read_f64(&spec.name, &[row])?;
            ratio.resize(theory.values.len(), 0.0);
            let each = measured.iter().zip(&theory.values).map(|(m, t)| m / t / rows.len() as f64);
            ratio.iter_mut().zip(each).for_each(|(sum, one)| *sum += one);
            name = theory.name;
        }
        let at = |i: usize| match spec.axes.last().and_then(|axis| Some((axis, axis.values.get(i)?))) {
            Some((axis, at)) => format!("{} = {at:.3} {}", axis.name, axis.unit).trim_end().to_string(),
            None => format!("number {i}"),
        };
        // Where theory says 0 there is no ratio.
        let finite = ratio.iter().enumerate().filter(|(_, r)| r.is_finite()).take(SHOWN);
        let each: Vec<String> = finite.map(|(i, r)| format!("{r:.3} at {}", at(i))).collect();
        if !each.is_empty() {
            say(format_args!("{} over {name}, mean of {}: {}", spec.name, rows.len(), each.join(", ")));
        }
    }
    Ok(())
}
