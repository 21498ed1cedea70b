//! `polycosm verify`: is the dataset what it should be?

use super::campaign::Campaign;
use super::report::theory;
use super::start::say;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::progress::count;
use crate::suite::verify::verify;

/// Read the whole dataset again: checksums, NaNs, mean spectra against linear theory
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
    let (Some(_), Some(design)) = (&config.simulator, &config.design) else {
        let error = Error::input("data made elsewhere carry no checksums to verify").key("dataset");
        return comm.agree(Err(plan.locate(error.remedy("verify belongs to campaigns that simulate"))));
    };
    let design = comm.agree(design.resolve(config.seed))?;
    let found = verify(comm, &config.output, &design, config.suite.shard_size)?;
    comm.on_root(|| {
        let (all, failed) = (found.simulations, found.failed.len());
        let first = |reason: &String| format!(", the first because: {}", reason.replace('\n', ";"));
        let reason = found.reason.as_ref().map_or(String::new(), first);
        say(format_args!("{}, {failed} failed{reason}", count(all, "simulation")));
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
                .remedy("remove the shards named above and run `polycosm simulate` again: it remakes them"));
        }
        if failed == all {
            let error = Error::failed("holds no universe: every simulation failed").file(plan.dataset());
            return Err(error.remedy("mend the cause and run `polycosm simulate --retry-failed`"));
        }
        spectra(&plan)?;
        say("every checksum holds, every number of a finished simulation is finite");
        Ok(())
    })
}

/// Mean ratio of measured to linear power in the lowest bins: far from one means a wrong normalisation.
fn spectra(plan: &Plan) -> Result<()> {
    const BINS: usize = 3;
    let dataset = plan.open_dataset()?;
    'fields: for spec in dataset.specs() {
        let k = match (&spec.shape[..], spec.axes.first()) {
            ([n], Some(a)) if spec.name.starts_with("power") && a.values.len() == *n && *n >= BINS => {
                a.values[..BINS].to_vec()
            }
            _ => continue,
        };
        let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).take(256).collect();
        let mut ratio = [0.0; BINS];
        for &row in &rows {
            let measured = dataset.read_f64(&spec.name, &[row])?;
            // A kind without theory has none for any universe.
            let Some(theory) = theory(plan, &spec, dataset.theta_of(row), row as u64)?.filter(|t| t.len() >= BINS)
            else {
                continue 'fields;
            };
            (0..BINS).for_each(|b| ratio[b] += measured[b] / theory[b] / rows.len() as f64);
        }
        let each: Vec<String> = k.iter().zip(ratio).map(|(k, r)| format!("{r:.3} at k = {k:.3} h/Mpc")).collect();
        say(format_args!("{} over linear theory, mean of {}: {}", spec.name, rows.len(), each.join(", ")));
    }
    Ok(())
}
