//! `polycosm infer --combine`: one posterior of several observations of the same parameters.

use super::{context, lock, look, mixed, sampling, section, write};
use crate::cli::current::Current;
use crate::cli::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::infer::combined;
use crate::io::field::Field;
use crate::io::observation::{FieldFile, chosen};
use crate::io::samples::{Of, Samples, Seen, not_fewer, replaceable};
use crate::train::Trained;
use std::path::{Path, PathBuf};

/// What all observations hold for one stage, and their true parameters.
struct Together {
    fields: Vec<Vec<Field>>,
    seen: Vec<Seen>,
    truth: Option<Vec<f64>>,
}

/// Refuses a name that is none of a file.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=100).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    let error = Error::input("becomes part of a file's name").key("--combine").value(name);
    Err(error.remedy("give letters, digits, `_` and `-`, 100 at most"))
}

/// All observations in these files, which must be of the same parameters, and no one twice.
fn read(current: &Current, files: &[PathBuf], stages: &[String], at: usize) -> Result<Together> {
    let learned = current.learned(stages)?;
    let (mut all, mut truths) = (Together { fields: vec![], seen: vec![], truth: None }, vec![]);
    for named in files {
        let (file, row) = chosen(named);
        let opened = FieldFile::open(&file, row, &learned)?;
        for (observation, seen) in opened.observations.iter().zip(current.seen(&file, row, stages)?) {
            let seen = seen[at].clone();
            let same = |other: &&Seen| other.content == seen.content;
            if let Some(other) = all.seen.iter().find(same) {
                let problem = format!("{} and {} hold the same data, which would count twice", other.name, seen.name);
                return Err(Error::input(problem).file(&file).remedy("name each observation once"));
            }
            all.fields.push(opened.read(observation)?);
            all.seen.push(seen);
            truths.push(observation.truth.clone());
        }
    }
    let known: Vec<&Vec<f64>> = truths.iter().flatten().collect();
    if known.iter().any(|truth| *truth != known[0]) {
        let problem = "the files tell different true parameters: one posterior is of one set of parameters";
        return Err(Error::input(problem).key("--combine").remedy("combine observations of one universe"));
    }
    if all.seen.len() < 2 {
        let error = Error::input("takes two observations or more").key("--combine").value(all.seen.len());
        return Err(error.remedy("name files of several, or several files, by --observation"));
    }
    all.truth = known.first().map(|truth| truth.to_vec());
    Ok(all)
}

/// Draws of the posterior of all observations in these files together, by the name that they have together. Collective.
pub fn combine(plan: &Plan, comm: &Comm, name: &str, files: &[PathBuf], strict: bool) -> Result<()> {
    let config = comm.agree(section(plan))?;
    comm.agree(check_name(name))?;
    comm.on_root(|| {
        let Some(snapshot) = files.iter().find(|file| plan.config.is_looked_at(file)) else { return Ok(()) };
        let error = Error::input("is a snapshot, and files of fields are combined").file(snapshot);
        Err(error.remedy("give files of the fields that the networks read (docs/files.md)"))
    })?;
    if plan.prior.accepted.is_some() {
        let problem = "the prior counts once, and where impossible universes are passed over it has no closed form";
        return comm.agree(Err(Error::input(problem).key("--combine").remedy("infer from each observation alone")));
    }
    let stages = plan.posteriors();
    let marginal = |stage: &&String| plan.config.train.iter().any(|s| s.name == **stage && !s.network.is_joint());
    if let Some(stage) = stages.iter().find(marginal) {
        let problem = format!(
            "stage {stage} knows marginals alone, and those of several observations do not multiply: what one parameter is given \
             the data depends on the others"
        );
        let remedy = "give its network `marginals = 0`, which learns all parameters together";
        return comm.agree(Err(Error::input(problem).key("--combine").value(name).remedy(remedy)));
    }
    let provenance = plan.provenance(comm);
    let (dataset, current) = look(plan, comm, false)?;
    for (at, stage) in stages.iter().enumerate() {
        timed(plan, comm, &format!("combined {name}"), || {
            let context = context(plan, comm, &current, &dataset, stage, &provenance)?;
            let trained = comm.agree(Trained::load(&context, stage))?;
            // One posterior is little work: the root does it.
            comm.on_root(|| {
                let all = read(&current, files, &stages, at)?;
                let path = plan.observed(name, stage);
                let (observation, n) = (Some(Seen::together(name, &all.seen)), all.seen.len());
                let of = Of { observation, combined: all.seen, ..current.of(stage, config.draws)? };
                let _held = lock(plan)?;
                taken(&path, &of)?;
                not_fewer(&path, &of).and_then(|()| replaceable(&path))?;
                let (mut samples, told) = combined(&trained, &all.fields, all.truth.as_deref(), sampling(plan, config))
                    .map_err(|e| Error { problem: format!("{name}: {}", e.problem), ..e })?;
                mixed(&samples, strict)?;
                log::info!("{name}, {n} observations, posterior `{stage}`: {}", samples.words(0));
                told.iter().for_each(|words| log::warn!("{name}, posterior `{stage}`: {words}"));
                samples.extras.of = Some(of);
                plan.derive(&mut samples);
                write(&samples, &path, &provenance)
            })?;
            Ok(Some(format!("posterior `{stage}`")))
        })?;
    }
    Ok(())
}

/// Refuses the name of an observation that is not this one.
fn taken(path: &Path, of: &Of) -> Result<()> {
    let there = Samples::read(path).ok().and_then(|samples| samples.extras.of);
    if there.is_none_or(|there| !there.combined.is_empty() && there.stage == of.stage) {
        return Ok(());
    }
    let error = Error::input("another observation is called so").key("--combine").file(path);
    Err(error.remedy("give another name"))
}
