//! `polycosm infer --exact`: posteriors of the test split and of observations from the simulator's own likelihood, beside
//! which learned ones are judged.

#[cfg(not(feature = "torch"))]
use super::campaign::{Campaign, path};
use super::current::{exact_learned, exact_of, seen};
use super::timings::timed;
use crate::comm::{Comm, share};
use crate::config::plan::Plan;
use crate::error::{At, Error, Result};
use crate::exact::{EXACT, MOST, posterior};
use crate::io::dataset::{Dataset, Split};
use crate::io::observation::{FieldFile, chosen};
use crate::io::provenance::Provenance;
use crate::io::samples::{Extras, Of, Samples, Seen, not_fewer, replaceable};
use crate::rng::stream;
use crate::simulators::Likelihood;
use crate::suite::Lock;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Draw exact posterior samples of the test universes, and of observations
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
    /// Only the observations in this file, instead of the test split and the campaign's observations; may be repeated
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub observation: Vec<PathBuf>,
}

/// Collective.
#[cfg(not(feature = "torch"))]
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| exact(plan, comm, &args.observation))
}

/// What exact posteriors are drawn of.
struct Exact<'a> {
    plan: &'a Plan,
    comm: &'a Comm,
    likelihood: Box<dyn Likelihood>,
    dataset: Dataset,
    draws: usize,
    of: Of,
    by: Provenance,
}

/// Draws of the exact posteriors of all test universes, `posterior/exact.h5`, and of the campaign's observations; or of
/// those in these files alone. Collective.
pub fn exact(plan: &Plan, comm: &Comm, files: &[PathBuf]) -> Result<()> {
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
    let infer = json!(plan.config.infer);
    let draws = infer["draws"].as_u64().unwrap_or(1000) as usize;
    let of = exact_of(plan, comm, &dataset, &likelihood.fields(), draws)?;
    let exact = Exact { plan, comm, likelihood, dataset, draws, of, by: plan.provenance(comm) };
    if !files.is_empty() {
        return exact.observe(files, true);
    }
    exact.tests()?;
    let of_campaign = infer["observations"].as_array().into_iter().flatten().filter_map(|file| file.as_str());
    exact.observe(&of_campaign.map(PathBuf::from).collect::<Vec<_>>(), false)
}

impl Exact<'_> {
    /// Refuses to replace what is no file of draws, or more of the same; the lock of the folder, where there is
    /// something to draw. Serial.
    fn due(&self, path: &Path, of: &Of, anew: bool) -> Result<Option<Lock>> {
        let there = || Samples::read(path).is_ok_and(|s| s.differ(of).is_none() && self.plan.derives(&s));
        if !anew && there() {
            return Ok(None);
        }
        not_fewer(path, of)?;
        let lock = Lock::to_publish(path.parent().unwrap_or(path), "is drawing into")?;
        replaceable(path).map(|()| Some(lock))
    }

    fn write(&self, samples: &Samples, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder).at(folder)?;
        samples.write(path, &self.by.pairs())
    }

    /// The test split, spread over the ranks. Collective.
    fn tests(&self) -> Result<()> {
        let Exact { plan, comm, dataset, draws, .. } = self;
        let (draws, path) = (*draws, plan.posterior(EXACT));
        let mut held = None;
        let due = comm.on_root(|| {
            held = self.due(&path, &self.of, false)?;
            if held.is_none() {
                log::info!("infer {EXACT}: nothing to do: drawn before from these data");
            }
            Ok(held.is_some())
        })?;
        if !due {
            return Ok(());
        }
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
                let fields = self.likelihood.fields();
                let specs = fields.iter().map(|name| dataset.spec(name)).collect::<Result<Vec<_>>>()?;
                for &row in &rows[start..start + len] {
                    let fields = specs.iter().map(|spec| dataset.read_data(spec, row)).collect::<Result<Vec<_>>>()?;
                    let ln = self.likelihood.of(&fields)?;
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
                    of: Some(self.of.clone()),
                    ln_evidence: comm.all_gather(&evidence),
                    drawn_from: dataset.drawn_from,
                    ..Extras::default()
                },
            };
            plan.derive_on(comm, &mut samples);
            comm.on_root(|| self.write(&samples, &path))?;
            let done = format!("{} universes, {draws} draws each", samples.len());
            if comm.is_root() {
                log::info!("infer {EXACT}: {done}");
            }
            Ok(Some(done))
        })
    }

    /// Observations, files of the fields that the likelihood is of; one is little work, which the root does. Collective.
    fn observe(&self, files: &[PathBuf], anew: bool) -> Result<()> {
        let learned = self.comm.agree(exact_learned(self.plan, &self.dataset, &self.likelihood.fields()))?;
        for named in files {
            let (file, row) = chosen(named);
            self.plan.record(self.comm)?;
            self.comm.on_root(|| {
                let opened = FieldFile::open(&file, row, &learned)?;
                for observation in &opened.observations {
                    let fields = opened.read(observation)?;
                    let (seen, path) = self.place(seen(&file, observation, &fields));
                    let (name, of) = (seen.name.clone(), Of { observation: Some(seen), ..self.of.clone() });
                    let Some(_lock) = self.due(&path, &of, anew)? else {
                        log::info!("observation {name}: nothing to do: drawn before from this file");
                        continue;
                    };
                    let data: Vec<_> = fields.into_iter().map(|field| field.data).collect();
                    let ln = self.likelihood.of(&data)?;
                    let prior = &self.dataset.prior;
                    let mut rng = stream(self.plan.config.seed, u64::MAX, "exact posterior", 0);
                    let drawn = posterior(prior, &*ln, self.draws, &mut rng)
                        .map_err(|e| Error { problem: format!("{name}: {}", e.problem), ..e }.file(&file))?;
                    let of_truth = |truth: &Vec<f64>| -> Result<f64> {
                        match prior.ln_density(truth) {
                            f64::NEG_INFINITY => Ok(f64::NEG_INFINITY),
                            density => Ok(ln(prior.theta(truth))? + density - drawn.ln_evidence),
                        }
                    };
                    let ln_prob_truth = observation.truth.as_ref().map_or(Ok(f64::NAN), of_truth)?;
                    let mut samples = Samples {
                        prior: prior.clone(),
                        index: vec![0],
                        draws: self.draws,
                        theta: drawn.theta,
                        ln_prob: drawn.ln_prob,
                        truth: observation.truth.clone().unwrap_or(vec![f64::NAN; prior.len()]),
                        ln_prob_truth: vec![ln_prob_truth],
                        extras: Extras { of: Some(of), ln_evidence: vec![drawn.ln_evidence], ..Extras::default() },
                    };
                    self.plan.derive(&mut samples);
                    self.write(&samples, &path)?;
                    log::info!("{name}, posterior `{EXACT}`: {}", samples.words(0));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Where draws of an observation go. Another one of that name keeps its file: this one's name then ends in the first
    /// digits of its digest.
    fn place(&self, seen: Seen) -> (Seen, PathBuf) {
        let path = self.plan.observed(&seen.name, EXACT);
        let there = path.exists().then(|| Samples::read(&path).ok()).flatten().and_then(|s| s.extras.of?.observation);
        let same = |o: &Seen| o.content == seen.content || (&o.file, o.row) == (&seen.file, seen.row);
        if there.as_ref().is_none_or(same) {
            return (seen, path);
        }
        let name = format!("{}-{}", seen.name, &seen.content[..8]);
        let path = self.plan.observed(&name, EXACT);
        (Seen { name, ..seen }, path)
    }
}
