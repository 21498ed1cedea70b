//! Posteriors of observations: samples, ensembles and their files.

mod averaged;
mod chains;
mod combined;
mod config;
mod drawn;
mod sampler;
mod tempered;
mod weighted;
mod words;

pub use averaged::Averaged;
pub use chains::{Method, Mixing};
pub use combined::Combined;
pub use config::InferConfig;
pub use sampler::{Direct, Sampler, Target};
pub use tempered::Tempered;
pub use weighted::Weighted;

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::{Real, Split};
use crate::io::field::{Field, FieldSpec};
use crate::io::looks::{Looks, Unfit};
use crate::io::samples::{Extras, Marginals, Samples};
use crate::limits;
use crate::models::{Batch, Column, Density, Draws, Pass, SampleId};
use crate::nets::LnPrior;
use crate::train::data::{lists, tensor};
use crate::train::{Columns, Trained};
use drawn::{Blocks, Drawn, with_density};
pub use words::unmixed;
use words::{spread, tell, unfamiliar};

/// How draws are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Of densities that do not draw by themselves.
    pub method: Method,
    /// Draws per universe.
    pub draws: usize,
    pub seed: u64,
}

impl Sampling {
    /// So many, by the default method.
    pub fn of(draws: usize, seed: u64) -> Self {
        Sampling { method: Method::default(), draws, seed }
    }
}

/// Draws by the density itself where it can, else by `method`; and how well each sample's chains have mixed, where there are
/// some.
pub fn draw(target: &Target, method: Method, draws: usize, seeds: &[u64]) -> Result<(Draws, Vec<Mixing>)> {
    if let Some(own) = Direct.draw(target, draws, seeds)? {
        return Ok((own, vec![]));
    }
    if let Some(found) = method.draw(target, draws, seeds)? {
        return Ok(found);
    }
    let tempered = Tempered.draw(target, draws, seeds)?;
    Ok((tempered.ok_or_else(|| Error::failed("no sampler can draw from this density"))?, vec![]))
}

/// Posterior samples of the test split, spread over the ranks; every rank gets all. Rows whose input cannot be used are left
/// out, and told. Collective.
pub fn test_split(comm: &Comm, trained: &Trained, columns: &Columns, how: Sampling) -> Result<Samples> {
    let (dataset, draws) = (columns.dataset, how.draws);
    let rows = dataset.rows(Split::Test);
    let (start, len) = share(rows.len(), comm.size(), comm.rank());
    let mine = &rows[start..start + len];
    let p = dataset.prior.len();
    let all = [rows.len(), draws, p + 1];
    let remedy = "lower it, or set aside fewer test universes";
    comm.agree(limits::product_at_most("infer.draws", &all, "numbers", limits::NUMBERS, remedy))?;
    let pairs = comm.agree(with_density(trained, |density| Ok(Blocks::of(density, &dataset.prior)?.pairs())))?;
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
            with_density(trained, |density| drawn.extend((density, &dataset.prior), &batch, looks, Some(&truth), how))?;
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
            r_hat: comm.all_gather(&drawn.r_hat),
            ess: comm.all_gather(&drawn.ess),
            marginals: pairs.map(|pairs| Marginals {
                pairs,
                theta: comm.all_gather(&drawn.of_pairs),
                ln_truth: comm.all_gather(&drawn.ln_truth),
            }),
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

/// What the networks see of one observation, whose fields are whole on this rank.
fn seen(trained: &Trained, fields: &[Field]) -> Result<(Batch, Looks)> {
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
    Ok((batch, looks))
}

/// Posterior samples of one observation, whose fields are whole on this rank, and what its reader should know.
pub fn observation(
    trained: &Trained,
    fields: &[Field],
    truth: Option<&[f64]>,
    how: Sampling,
) -> Result<(Samples, Vec<String>)> {
    let (batch, looks) = seen(trained, fields)?;
    with_density(trained, |density| observed(trained, density, (&batch, looks), truth, how))
}

/// Posterior samples of several observations of the same parameters together, the prior counted once ([`Combined`]).
pub fn combined(
    trained: &Trained,
    observations: &[Vec<Field>],
    truth: Option<&[f64]>,
    how: Sampling,
) -> Result<(Samples, Vec<String>)> {
    let (mut batches, mut all) = (vec![], Looks::new(1));
    for fields in observations {
        let (batch, looks) = seen(trained, fields)?;
        all.see(0, looks.outside[0], looks.distance[0], looks.most[0]);
        batches.push(batch);
    }
    with_density(trained, |density| {
        let blocks = Blocks::of(density, &trained.prior)?;
        let priors = blocks.priors().into_iter().map(|prior| LnPrior::new(prior, trained.device)).collect();
        let combined = Combined { density, batches: &batches, priors };
        observed(trained, &combined, (&batches[0], all), truth, how)
    })
}

fn observed(
    trained: &Trained,
    density: &dyn Density,
    (batch, looks): (&Batch, Looks),
    truth: Option<&[f64]>,
    how: Sampling,
) -> Result<(Samples, Vec<String>)> {
    let pairs = Blocks::of(density, &trained.prior)?.pairs();
    let mut drawn = Drawn::default();
    drawn.extend((density, &trained.prior), batch, looks, truth, how)?;
    let p = trained.prior.len();
    let samples = Samples {
        prior: trained.prior.clone(),
        index: vec![0],
        draws: how.draws,
        theta: drawn.theta,
        ln_prob: drawn.ln_prob,
        truth: truth.map_or(vec![f64::NAN; p], <[f64]>::to_vec),
        ln_prob_truth: if truth.is_some() { drawn.ln_prob_truth } else { vec![f64::NAN] },
        extras: Extras {
            outside: drawn.outside,
            distance: drawn.distance,
            spread: drawn.spread,
            r_hat: drawn.r_hat,
            ess: drawn.ess,
            marginals: pairs.map(|pairs| Marginals { pairs, theta: drawn.of_pairs, ln_truth: drawn.ln_truth }),
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
    let told = told.into_iter().chain(spread(&samples, 0)).chain(unmixed(&samples)).collect();
    Ok((samples, told))
}
