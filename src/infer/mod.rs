//! Posteriors of observations: samples, ensembles and their files.

mod averaged;
mod config;
mod drawn;
mod regression;
mod sampler;
mod tempered;
mod words;

pub use averaged::Averaged;
pub use config::InferConfig;
pub use regression::Regression;
pub use sampler::{Direct, Sampler, Target};
pub use tempered::Tempered;

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::{Real, Split};
use crate::io::field::{Field, FieldSpec};
use crate::io::looks::Unfit;
use crate::io::samples::{Extras, Samples};
use crate::limits;
use crate::models::{Column, Draws, Pass, SampleId};
use crate::train::data::{lists, tensor};
use crate::train::{Columns, Trained};
use drawn::Drawn;
use words::{spread, tell, unfamiliar};

/// Draws by the first of all samplers that can.
pub fn draw(target: &Target, draws: usize, seeds: &[u64]) -> Result<Draws> {
    let samplers: [&dyn Sampler; 2] = [&Direct, &Tempered];
    let first = samplers.iter().find_map(|sampler| sampler.draw(target, draws, seeds).transpose());
    first.unwrap_or_else(|| Err(Error::failed("no sampler can draw from this density")))
}

/// Posterior samples of the test split, spread over the ranks; every rank gets all. Rows whose input cannot be used are left
/// out, and told. Collective.
pub fn test_split(comm: &Comm, trained: &Trained, columns: &Columns, draws: usize, seed: u64) -> Result<Samples> {
    let dataset = columns.dataset;
    let rows = dataset.rows(Split::Test);
    let (start, len) = share(rows.len(), comm.size(), comm.rank());
    let mine = &rows[start..start + len];
    let p = dataset.prior.len();
    let all = [rows.len(), draws, p + 1];
    let remedy = "lower it, or set aside fewer test universes";
    comm.agree(limits::product_at_most("infer.draws", &all, "numbers", limits::NUMBERS, remedy))?;
    let regression = Regression::fit(comm, trained, columns)?;
    let (mut drawn, mut unfit) = (Drawn::default(), Unfit::default());
    let mut work = || -> Result<()> {
        for chunk in mine.chunks(16) {
            let ids: Vec<SampleId> = chunk.iter().map(|&row| SampleId::of(row as u64)).collect();
            let (batch, looks) = columns.seen_by(trained, &ids, Pass::Held)?;
            unfit.note(chunk, &looks.unfit);
            let kept: Vec<usize> = (0..chunk.len()).filter(|&i| looks.fit(i)).collect();
            if kept.is_empty() {
                continue;
            }
            let (batch, looks) = (batch.rows(&kept), looks.of(&kept));
            let truth = dataset.thetas(&kept.iter().map(|&i| chunk[i]).collect::<Vec<_>>());
            drawn.extend(trained, &batch, looks, Some(&truth), draws, seed)?;
            drawn.regression.extend(regression.as_ref().map_or(Ok(vec![]), |r| r.say(trained, &batch))?);
        }
        Ok(())
    };
    comm.agree(work())?;
    unfit.gather(comm);
    unfit.tell(dataset, &trained.names());
    let index = comm.all_gather(&drawn.rows);
    let samples = Samples {
        prior: dataset.prior.clone(),
        draws,
        theta: comm.all_gather(&drawn.theta),
        ln_prob: comm.all_gather(&drawn.ln_prob),
        truth: index.iter().flat_map(|&r| dataset.theta()[r as usize * p..][..p].to_vec()).collect(),
        ln_prob_truth: comm.all_gather(&drawn.ln_prob_truth),
        extras: Extras {
            outside: comm.all_gather(&drawn.outside),
            distance: comm.all_gather(&drawn.distance),
            spread: comm.all_gather(&drawn.spread),
            regression: comm.all_gather(&drawn.regression),
            regression_covariance: regression.as_ref().map_or(vec![], Regression::covariance),
            left_out: unfit.rows(),
            drawn_from: dataset.drawn_from,
            ..Extras::default()
        },
        index,
    };
    let most = comm.all_gather(&drawn.most);
    tell(&samples, &most, trained);
    Ok(samples)
}

/// Posterior samples of one observation, whose fields are whole on this rank, with what a regression says of it, and what
/// its reader should know.
pub fn observation(
    trained: &Trained,
    fields: &[Field],
    truth: Option<&[f64]>,
    regression: Option<&Regression>,
    draws: usize,
    seed: u64,
) -> Result<(Samples, Vec<String>)> {
    let column = |learned: &FieldSpec| {
        let field = fields.iter().find(|f| f.spec.name == learned.name).ok_or_else(|| {
            let error = Error::input(format!("the observation has no field {}", learned.name));
            error.remedy("switch it on in [simulator]")
        })?;
        let (seen, list, learned) = (&field.spec.shape, learned.ragged, &learned.shape);
        let numbers = if list { field.rows } else { 1 } * learned[list as usize..].iter().product::<usize>();
        if seen != learned || field.data.len() != numbers {
            let problem = format!("what is observed has the shape {seen:?}, and the networks learned from {learned:?}");
            let remedy = "set [simulator] to what the universes were made with";
            return Err(Error::input(problem).key(&field.spec.name).remedy(remedy));
        }
        let shape: Vec<usize> = std::iter::once(1).chain(seen.iter().copied()).collect();
        let column = match list {
            true => lists(f64::of(field.data.clone()), &[field.rows], learned, trained.device),
            false => Column::Array(tensor(&field.data, &shape, trained.device)),
        };
        Ok((field.spec.name.clone(), column))
    };
    let known = trained.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let (batch, looks) = trained.of_fields(known, &[SampleId::of(0)], Pass::Observation)?;
    let mut unfit = Unfit::default();
    unfit.note(&[0], &looks.unfit);
    if let Some(words) = unfit.of_one() {
        let remedy =
            "is it of what the networks learned from: a snapshot of the campaign's box, time and number of particles?";
        return Err(Error::input(format!("what is observed has {words}")).key(trained.names()).remedy(remedy));
    }
    let mut drawn = Drawn::default();
    drawn.extend(trained, &batch, looks, truth, draws, seed)?;
    let said = regression.map_or(Ok(vec![]), |r| r.say(trained, &batch))?;
    let p = trained.prior.len();
    let samples = Samples {
        prior: trained.prior.clone(),
        index: vec![0],
        draws,
        theta: drawn.theta,
        ln_prob: drawn.ln_prob,
        truth: truth.map_or(vec![f64::NAN; p], <[f64]>::to_vec),
        ln_prob_truth: if truth.is_some() { drawn.ln_prob_truth } else { vec![f64::NAN] },
        extras: Extras {
            outside: drawn.outside,
            distance: drawn.distance,
            spread: drawn.spread,
            regression_covariance: regression.filter(|_| !said.is_empty()).map_or(vec![], Regression::covariance),
            regression: said,
            ..Extras::default()
        },
    };
    let beyond = unfamiliar(&samples, 0, trained, drawn.most[0]);
    if let Some(q) = (0..p).find(|&j| samples.no_width(0, j)) {
        let problem = format!("its posterior has no width in {}", samples.prior.parameters[q].name);
        let why = beyond.map_or(String::new(), |why| format!(": {why}"));
        let remedy = "compare its fields with the dataset's: the networks have seen nothing like it";
        return Err(Error::input(problem + &why).key(trained.names()).remedy(remedy));
    }
    let told = beyond.map(|why| format!("is not like what was trained on, and its posterior is a guess: {why}"));
    Ok((samples.clone(), told.into_iter().chain(spread(&samples, 0)).collect()))
}
