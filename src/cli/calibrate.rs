//! `polycosm calibrate`: posteriors against the truth on the whole test split.

use super::ahead::Ahead;
use super::campaign::Campaign;
use super::current::{Current, Judged, drawn};
use super::start::say;
use crate::calibration::holes::{Holes, holes};
use crate::calibration::power::{WidthError, fewest};
use crate::calibration::{Calibration, Classifier, Local, assess, compare, level_each, spoil, tests};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{At, Error, Result};
use crate::exact::EXACT;
use crate::io::dataset::{Dataset, Split};
use crate::io::identity::{seal, unseal};
use crate::io::samples::Samples;
use crate::io::stages::difference;
use crate::suite::Lock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// Judge the posteriors of the test split: simulation-based calibration, TARP, expected coverage
///
/// Prints the verdict: PASS, FAIL, or INCONCLUSIVE where there are too few universes or nothing was learned; NO VERDICT
/// where the universes were not drawn from a prior. None of them fails the command, unless --strict is given.
///
/// Example: polycosm calibrate run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Judge a posterior spoilt on purpose: its standard deviations times this factor. Prints the verdict, writes
    /// nothing
    #[arg(long, value_name = "FACTOR")]
    pub scale_sd: Option<f64>,
    /// Exit with code 1 unless every posterior passes
    #[arg(long)]
    pub strict: bool,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| calibrate(plan, comm, args.scale_sd, args.strict, false))
}

/// Judges every posterior that [`super::infer`] has written, and compares the first with its baseline; `brief`: without
/// the tables of all tests.
pub fn calibrate(plan: &Plan, comm: &Comm, scale_sd: Option<f64>, strict: bool, brief: bool) -> Result<()> {
    let current = Current::take(plan, comm)?;
    comm.on_root(|| {
        if plan.judged().is_empty() {
            let error = Error::input("is missing: there is no posterior to calibrate").key("infer");
            return Err(error.remedy("add [infer] with posterior = \"STAGE\", a stage that gives a posterior"));
        }
        let holes = if plan.dataset().exists() { holes_of(&plan.open_dataset()?) } else { None };
        let folder = plan.calibration("x").parent().map(Path::to_path_buf).unwrap_or_default();
        let mut held = None;
        let mut judged: Vec<Samples> = Vec::new();
        let mut lacking: Vec<String> = Vec::new();
        for stage in plan.judged() {
            let path = plan.posterior(&stage);
            if !path.exists() {
                let problem = format!("there are no posterior samples of stage {stage}");
                return Err(Error::input(problem).file(path).remedy("run `polycosm infer` first"));
            }
            let mut samples = current.samples(&path)?;
            // What the campaign says now of its design needs no new draws.
            samples.extras.drawn_from = plan.drawn_from().unwrap_or(samples.extras.drawn_from);
            let mut samples = match scale_sd {
                Some(factor) => spoil::scale_sd(&samples, factor)?,
                None => samples,
            };
            plan.derive(&mut samples);
            let mut calibration = assess(&samples, &plan.config.calibrate).map_err(|e| e.file(&path))?;
            calibration.notes.extend(holes.iter().map(Holes::to_string));
            if scale_sd.is_none() {
                calibration.local = local(plan, &current, &stage, &samples)?;
            }
            say(format_args!("posterior `{stage}`"));
            match brief {
                true => say(calibration.conclusion()),
                false => say(&calibration),
            }
            calibration.local.iter().for_each(|found| say(format_args!("  {}", found.words(calibration.level))));
            if scale_sd.is_none() {
                if held.is_none() {
                    held = Some(Lock::to_publish(&folder, "is judging into")?);
                }
                write(
                    &Verdict { of: Judged::now(plan, &path)?, calibration: calibration.clone() },
                    &plan.calibration(&stage),
                )?;
            }
            if !calibration.pass {
                lacking.push(format!("posterior `{stage}`: {}", calibration.verdict()));
            }
            judged.push(samples);
        }
        // The densities of spoilt posteriors are no measure.
        if let (Some((ours, rivals)), None) = (judged.split_first(), scale_sd) {
            for (rival, name) in rivals.iter().zip(&plan.judged()[1..]) {
                let words = compare(ours, rival).map_or_else(|e| e.problem, |c| c.to_string());
                let rival = if name == EXACT { "exact posterior" } else { "baseline" };
                say(format_args!("against the {rival}: {words}"));
            }
        }
        if strict && !lacking.is_empty() {
            let error = Error::failed(lacking.join("; "));
            return Err(
                error.remedy("mend what the verdict above names; without --strict this is a verdict, no failure")
            );
        }
        Ok(())
    })
}

/// The observations of a stage, judged by the test universes.
fn local(plan: &Plan, current: &Current, stage: &str, tests: &Samples) -> Result<Vec<Local>> {
    let mut observed = vec![];
    for path in drawn(plan) {
        let Ok(samples) = Samples::read(&path) else { continue };
        let of = samples.extras.of.as_ref();
        if of.is_some_and(|of| of.stage == stage && of.observation.is_some()) && current.outdated(&samples)?.is_none() {
            observed.push(samples);
        }
    }
    if observed.is_empty() {
        return Ok(vec![]);
    }
    let classifier = Classifier::learn(tests, plan.config.calibrate.seed)?;
    Ok(classifier.iter().flat_map(|c| observed.iter().filter_map(|samples| c.ask(samples))).collect())
}

/// Failed universes worth a word, among those that have run.
pub fn holes_of(dataset: &Dataset) -> Option<Holes> {
    let ran = dataset.ran();
    let failed: Vec<bool> = ran.iter().map(|&i| dataset.status()[i] != 0).collect();
    holes(&dataset.prior, &dataset.thetas(&ran), &failed)
}

/// What the verdict of a campaign will be worth, before anything is computed: how many universes will be for tests, and
/// what they would show. The second text is there where a verdict will not be possible.
pub fn foresee(plan: &Plan, ahead: &Ahead) -> Option<(String, Option<String>)> {
    if plan.posteriors().is_empty() {
        return None;
    }
    if let Some(why) = ahead.drawn_from.no_prior() {
        return Some(("no posterior: there will be no verdict".into(), Some(why.into())));
    }
    let n = ahead.count(Split::Test);
    let level = level_each(plan.config.calibrate.level, tests(ahead.parameters, plan.prior.derived.len()));
    let width = WidthError::of(n, level);
    let text = format!("{n} test universes, which will show a posterior that is {width}");
    let few = !width.is_enough();
    let enough = || format!("too few: {} would do; raise {}.test, or simulate more", fewest(level), ahead.section);
    Some((text, few.then(enough)))
}

/// `calibration/<stage>.json`.
#[derive(Serialize, Deserialize)]
pub struct Verdict {
    /// What was judged, and how.
    pub of: Judged,
    #[serde(flatten)]
    pub calibration: Calibration,
}

fn write(verdict: &Verdict, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).at(folder)?;
    seal(path, verdict)
}

/// The verdict on a stage, where there is one.
pub fn read(plan: &Plan, stage: &str) -> Result<Option<Verdict>> {
    let path = plan.calibration(stage);
    if path.exists() { unseal(&path, "run `polycosm calibrate` again").map(Some) } else { Ok(None) }
}

/// Why a verdict is not to be used any more; `draws`: why those that there are of its stage are not.
pub fn outdated(plan: &Plan, stage: &str, verdict: &Verdict, draws: Option<&str>) -> Result<Option<String>> {
    let path = plan.posterior(stage);
    if !path.exists() {
        return Ok(Some("the draws that it is of are gone".into()));
    }
    if let Some(why) = draws {
        return Ok(Some(format!("the draws that it is of are outdated: {why}")));
    }
    let (of, now) = (&verdict.of, Judged::now(plan, &path)?);
    if of.draws != now.draws {
        return Ok(Some("it is of other draws than those that are there".into()));
    }
    if of.numerics != now.numerics {
        return Ok(Some("another version of the program judged them, which computes otherwise".into()));
    }
    if of.derived != now.derived {
        return Ok(Some("the campaign has other derived parameters now".into()));
    }
    if of.drawn_from != now.drawn_from {
        let name = |from: &Option<String>| from.clone().unwrap_or("what the dataset says".into());
        let (was, is) = (name(&of.drawn_from), name(&now.drawn_from));
        return Ok(Some(format!(
            "design.kind and design.prior said of the universes that they are drawn from: {was}; and say now: {is}"
        )));
    }
    Ok(difference("", &json!(of.config), &json!(now.config)).map(|d| format!("calibrate.{d}")))
}
