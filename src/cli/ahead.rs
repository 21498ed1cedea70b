//! What a campaign's data are good for, before anything is computed: `train` would say it late, `infer` after all
//! training.

use crate::calibration::DRAWS;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
#[cfg(feature = "torch")]
use crate::io::field::FieldSpec;
use crate::prior::DrawnFrom;
use crate::progress::count;

/// The universes that there will be, or the rows that there are.
pub struct Ahead {
    /// Of those to use.
    split: Vec<Split>,
    pub drawn_from: DrawnFrom,
    /// Number of parameters.
    pub parameters: usize,
    /// Where their number is set: `design` or `dataset`.
    pub section: &'static str,
    /// Data made elsewhere.
    dataset: Option<Dataset>,
}

impl Ahead {
    /// Reads parameters and split of foreign data, or makes the design. `None` without either.
    pub fn of(plan: &Plan) -> Result<Option<Ahead>> {
        Ok(match (&plan.config.dataset, plan.design()?) {
            (Some(foreign), _) => {
                let data = foreign.open()?;
                let used = data.split().iter().zip(data.status()).filter(|(_, s)| **s == 0);
                let (split, parameters) = (used.map(|(s, _)| *s).collect(), data.prior.len());
                Some(Ahead { split, drawn_from: data.drawn_from, parameters, section: "dataset", dataset: Some(data) })
            }
            (None, Some(design)) => {
                let (drawn_from, parameters) = (design.drawn_from, design.prior.len());
                let rows = design.theta.chunks(parameters).zip(&design.split);
                let inside = rows.filter(|(theta, _)| plan.prior.ln_density(theta) > f64::NEG_INFINITY);
                let split = inside.map(|(_, split)| *split).collect();
                Some(Ahead { split, drawn_from, parameters, section: "design", dataset: None })
            }
            (None, None) => None,
        })
    }

    /// Universes of a split.
    pub fn count(&self, split: Split) -> usize {
        self.split.iter().filter(|&&s| s == split).count()
    }

    /// The rows of foreign data, by what they are for.
    pub fn rows(&self) -> String {
        let [train, validation, test] = [Split::Train, Split::Validation, Split::Test].map(|s| self.count(s));
        format!("{} to learn from, {validation} for validation, {test} for tests", count(train, "row"))
    }

    /// Refuses data that nothing can be learned from or, if posteriors are to be `judged`, of which none could be
    /// drawn; warns of what will be left out. Collective.
    pub fn check(&self, plan: &Plan, comm: &Comm, judged: bool) -> Result<()> {
        if plan.stage_names().is_empty() {
            return Ok(());
        }
        comm.on_root(|| {
            self.check_splits(plan, judged)?;
            self.dataset.as_ref().map_or(Ok(()), Dataset::check_prior)
        })?;
        #[cfg(feature = "torch")]
        {
            self.check_inputs(plan, comm, judged)?;
            comm.on_root(|| self.check_places(plan))?;
        }
        Ok(())
    }

    fn check_splits(&self, plan: &Plan, judged: bool) -> Result<()> {
        let (all, section) = (self.split.len(), self.section);
        let (what, marked) = match &self.dataset {
            Some(_) => (count(all, "row"), ", or mark rows so in the file's `split`"),
            None => (count(all, "universe"), ", or simulate more"),
        };
        let refuse = |problem: &str, remedy: String| {
            let error = Error::input(format!("of {what} {problem}")).key(format!("{section}.test"));
            let error = self.dataset.iter().fold(error, |error, data| error.file(&data.path));
            Err(error.remedy(remedy))
        };
        if self.count(Split::Train) == 0 {
            return refuse("none is left to learn from", format!("lower it and {section}.validation{marked}"));
        }
        match enough_draws(plan) {
            Err(e) if judged => return Err(e),
            Err(e) => log::warn!("infer.draws: {}", e.problem),
            Ok(()) => {}
        }
        if plan.posteriors().is_empty() || self.count(Split::Test) > 0 {
            return Ok(());
        }
        let problem = "none is for tests: there is no universe of known truth to draw a posterior of";
        match judged {
            true => refuse(problem, format!("raise it{marked}; or leave [infer] out")),
            false => {
                log::warn!("{section}.test: of {what} {problem}; `polycosm infer` will draw of observations only");
                Ok(())
            }
        }
    }

    /// Refuses what stages would make and move apart from the fields beside it.
    #[cfg(feature = "torch")]
    pub fn check_places(&self, plan: &Plan) -> Result<()> {
        let specs = match &plan.config.simulator {
            Some(simulator) => simulator.runner(&plan.universes())?.specs(),
            None => vec![],
        };
        let prior = self.dataset.as_ref().map_or(&plan.prior, |data| &data.prior);
        let field = |name: &str| match (&self.dataset, specs.iter().find(|spec| spec.name == name)) {
            (Some(data), _) => data.readable(name),
            (None, Some(spec)) => Ok(spec.clone()),
            (None, None) => Ok(FieldSpec::parameter(name, prior)),
        };
        crate::train::check_ahead(&plan.config.train, &plan.stages(), prior, field)
    }

    /// What the networks see of data made elsewhere.
    #[cfg(feature = "torch")]
    fn check_inputs(&self, plan: &Plan, comm: &Comm, judged: bool) -> Result<()> {
        let Some(data) = &self.dataset else { return Ok(()) };
        let stages = plan.stages();
        let posteriors = plan.posteriors();
        let seen: Vec<&str> = posteriors.iter().flat_map(|stage| stages.inputs(stage)).collect();
        for stage in &plan.config.train {
            for (key, field) in stage.columns() {
                if crate::train::source(&plan.config.train, field).is_none() {
                    let key = format!("train.{}.{key}", stage.name);
                    let named = |e: Error| Error { problem: format!("{field}: {}", e.problem), key: Some(key), ..e };
                    comm.agree(crate::train::data::spec(data, field).map_err(named))?;
                }
            }
            let plain = stage.input.iter().all(|field| {
                seen.contains(&field.as_str()) && crate::train::source(&plan.config.train, field).is_none()
            });
            if !judged || !plain || !stage.target.is_empty() || stage.data.pieces.is_some() {
                continue;
            }
            let unfit = crate::train::inputs::unfit_tests(comm, data, &stage.input, &stage.network)?;
            let tests = self.count(Split::Test);
            if unfit.rows().len() == tests {
                let problem = format!(
                    "all of {} for tests hold numbers that cannot be used: NaN, infinite, or such as the transform of stage {} \
                     does not take",
                    count(tests, "row"),
                    stage.name
                );
                let error = Error::input(problem).file(&data.path).key(stage.input.join(", "));
                return comm.agree(Err(error.remedy("mend them, or mark other rows for tests in the file's `split`")));
            }
        }
        Ok(())
    }
}

/// Refuses to draw fewer of each universe than a posterior can be judged by.
pub fn enough_draws(plan: &Plan) -> Result<()> {
    let Some(draws) = plan.draws().filter(|&draws| draws < DRAWS) else { return Ok(()) };
    let problem = format!("`polycosm calibrate` needs {DRAWS} draws of each universe or more");
    Err(Error::input(problem).key("infer.draws").value(draws).remedy("raise it: 1000 is usual"))
}
