//! `polycosm infer --exact`: posteriors of the test split from the simulator's own likelihood, beside which learned ones
//! are judged.

#[cfg(not(feature = "torch"))]
use super::campaign::Campaign;
use super::current::exact_of;
use super::timings::timed;
use crate::comm::{Comm, share};
use crate::config::plan::Plan;
use crate::error::{At, Error, Result};
use crate::exact::{EXACT, MOST, posterior};
use crate::io::dataset::Split;
use crate::io::samples::{Extras, Samples, not_fewer, replaceable};
use crate::rng::stream;
use crate::suite::Lock;
use serde_json::json;

/// Draw exact posterior samples of the test universes
///
/// Of a simulator whose likelihood is known in closed form (gaussian-flat), under the campaign's prior of up to three
/// parameters. Whatever else is inferred needs libtorch, without which this program was built.
///
/// Example: mpirun -n 2 polycosm infer run.toml --exact
#[cfg(not(feature = "torch"))]
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// From the simulator's own likelihood
    #[arg(long, required = true)]
    pub exact: bool,
}

/// Collective.
#[cfg(not(feature = "torch"))]
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| exact(plan, comm))
}

/// Draws of the exact posteriors of all test universes, `posterior/exact.h5`. Collective.
pub fn exact(plan: &Plan, comm: &Comm) -> Result<()> {
    let refuse = |problem: String, remedy: &str| Err(Error::input(problem).key("--exact").remedy(remedy));
    let checked = || {
        let simulator = plan.config.simulator.as_ref();
        let Some(likelihood) = simulator.map(|s| s.likelihood(&plan.universes())).transpose()?.flatten() else {
            let what = simulator.map_or("data made elsewhere", |s| s.kind());
            return refuse(
                format!("the likelihood of {what} is not known in closed form"),
                "learn a posterior: [infer]",
            );
        };
        if !(1..=MOST).contains(&plan.prior.len()) {
            let problem = format!("{} parameters vary, and a grid is of 1 to {MOST}", plan.prior.len());
            return refuse(problem, "fix some of them in [simulator.spectrum]");
        }
        // The likelihood is asked all over the prior, and its evidence is of all of it.
        if plan.prior.accepted.is_some() {
            let error = Error::input("the prior is what is left of another, and its edge is known by trying only");
            return Err(error.key("design.reject").value("redraw").remedy("give the parameters bounds instead"));
        }
        if plan.stage_names().iter().any(|name| name == EXACT) {
            let problem = format!("a training stage is called {EXACT}, as these draws are");
            return refuse(problem, "give the stage another name");
        }
        Ok((likelihood, plan.open_dataset()?))
    };
    let (likelihood, dataset) = comm.agree(checked())?;
    plan.check_begun(comm, false)?;
    let draws = json!(plan.config.infer)["draws"].as_u64().unwrap_or(1000) as usize;
    let of = exact_of(plan, comm, &dataset, &likelihood.fields(), draws)?;
    let path = plan.posterior(EXACT);
    let mut held = None;
    let due = comm.on_root(|| {
        if Samples::read(&path).is_ok_and(|samples| samples.differ(&of).is_none() && plan.derives(&samples)) {
            log::info!("infer {EXACT}: nothing to do: drawn before from these data");
            return Ok(false);
        }
        not_fewer(&path, &of)?;
        let folder = path.parent().unwrap_or(&path);
        held = Some(Lock::to_publish(folder, "is drawing into")?);
        replaceable(&path).map(|()| true)
    })?;
    if !due {
        return Ok(());
    }
    let provenance = plan.provenance(comm);
    plan.record(comm)?;
    timed(plan, comm, &format!("infer {EXACT}"), || {
        let rows = dataset.rows(Split::Test);
        if rows.is_empty() {
            let remedy = "raise the fraction `test`, or simulate more";
            return comm
                .agree(Err(Error::input("no universe is in the test split").file(&dataset.path).remedy(remedy)));
        }
        let (start, len) = share(rows.len(), comm.size(), comm.rank());
        let (mut theta, mut ln_prob, mut of_truth, mut evidence) = (vec![], vec![], vec![], vec![]);
        let mut work = || -> Result<()> {
            let specs = likelihood.fields().iter().map(|name| dataset.spec(name)).collect::<Result<Vec<_>>>()?;
            for &row in &rows[start..start + len] {
                let fields = specs.iter().map(|spec| dataset.read_data(spec, row)).collect::<Result<Vec<_>>>()?;
                let ln = likelihood.of(&fields)?;
                let mut rng = stream(plan.config.seed, row as u64, "exact posterior", 0);
                let drawn = posterior(&dataset.prior, &*ln, draws, &mut rng)?;
                let truth = dataset.theta_of(row);
                let prior = dataset.prior.ln_density(truth);
                of_truth.push(ln(dataset.prior.theta(truth))? + prior - drawn.ln_evidence);
                theta.extend(drawn.theta);
                ln_prob.extend(drawn.ln_prob);
                evidence.push(drawn.ln_evidence);
            }
            Ok(())
        };
        comm.agree(work())?;
        let mut samples = Samples {
            prior: dataset.prior.clone(),
            index: rows.iter().map(|&row| row as u64).collect(),
            draws,
            theta: comm.all_gather(&theta),
            ln_prob: comm.all_gather(&ln_prob),
            truth: dataset.thetas(&rows),
            ln_prob_truth: comm.all_gather(&of_truth),
            extras: Extras {
                of: Some(of),
                ln_evidence: comm.all_gather(&evidence),
                drawn_from: dataset.drawn_from,
                ..Extras::default()
            },
        };
        plan.derive_on(comm, &mut samples);
        comm.on_root(|| {
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder).at(folder)?;
            samples.write(&path, &provenance.pairs())
        })?;
        let done = format!("{} universes, {draws} draws each", samples.len());
        if comm.is_root() {
            log::info!("infer {EXACT}: {done}");
        }
        Ok(Some(done))
    })
}
