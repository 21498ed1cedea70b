//! Posteriors of observations: samples, ensembles and their files.

use crate::calibration::doubts;
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::field::Field;
use crate::io::gadget::Velocities;
use crate::io::samples::{Extras, OUTSIDE, SPREAD, Samples};
use crate::limits;
use crate::models::{Batch, Pass, SampleId};
use crate::nets::host;
use crate::rng::stream;
use crate::train::Trained;
use crate::train::data::read;
use crate::train::inputs::Unfit;
use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tch::Tensor;

/// `[infer]`: which posterior to draw from, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InferConfig {
    /// Name of the stage to draw from.
    pub posterior: String,
    /// Stage that it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Posterior draws per universe.
    #[serde(default = "draws")]
    pub draws: usize,
    /// HDF5 files of the fields that the networks read, of one observation or of several (`FILE:3` is row 3 alone); or
    /// snapshots of other codes (GADGET HDF5) of the campaign's box, particle number and time, of one in several files any
    /// one. What is accepted: docs/files.md#observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-type" = "[path, …]"))]
    pub observations: Vec<PathBuf>,
    /// How the snapshots' velocities are written: peculiar over √a, or peculiar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "as each file tells, else `\"gadget\"`"))]
    pub velocities: Option<Velocities>,
}

fn draws() -> usize {
    1000
}

impl InferConfig {
    /// Refuses stages that are not there.
    pub fn check(&self, stages: &[&str]) -> Result<()> {
        for (key, name) in [("posterior", Some(&self.posterior)), ("baseline", self.baseline.as_ref())] {
            if let Some(name) = name.filter(|n| !stages.contains(&n.as_str())) {
                return Err(Error::input("there is no such training stage")
                    .key(format!("infer.{key}"))
                    .value(name)
                    .remedy(format!("choose one of {}", stages.join(", "))));
            }
        }
        if self.draws == 0 {
            return Err(Error::input("must be at least 1").key("infer.draws").value(0).remedy("1000 is usual"));
        }
        limits::at_most("infer.draws", self.draws, limits::DRAWS)
    }
}

/// Draws of one universe depend on the campaign's seed and its number alone.
fn seed_of(seed: u64, index: u64) -> u64 {
    stream(seed, index, "posterior", 0).next_u64()
}

/// Posterior samples of the test split, spread over the ranks; every rank gets all. Rows whose input cannot be used are left
/// out, and told. Collective.
pub fn test_split(comm: &Comm, trained: &Trained, dataset: &Dataset, draws: usize, seed: u64) -> Result<Samples> {
    let rows = dataset.rows(Split::Test);
    let (start, len) = share(rows.len(), comm.size(), comm.rank());
    let mine = &rows[start..start + len];
    let p = dataset.prior.len();
    let all = [rows.len(), draws, p + 1];
    let remedy = "lower it, or set aside fewer test universes";
    comm.agree(limits::product_at_most("infer.draws", &all, "numbers", limits::NUMBERS, remedy))?;
    let (mut drawn, mut unfit) = (Drawn::default(), Unfit::default());
    let mut work = || -> Result<()> {
        for chunk in mine.chunks(16) {
            let ids = chunk.iter().map(|&row| SampleId::of(row as u64)).collect();
            let x = trained.seen(&read(dataset, &trained.field, chunk)?, ids, Pass::Held)?;
            let fit = unfit.add(&trained.chain(), Batch::observed(&x), chunk)?;
            let kept: Vec<i64> = (0..chunk.len()).filter(|&i| fit[i]).map(|i| i as i64).collect();
            if kept.is_empty() {
                continue;
            }
            let x = x.index_select(0, &Tensor::from_slice(&kept).to_device(x.device()));
            let chunk: Vec<usize> = kept.iter().map(|&i| chunk[i as usize]).collect();
            let theta: Vec<f64> = chunk.iter().flat_map(|r| dataset.theta()[r * p..(r + 1) * p].to_vec()).collect();
            let seeds: Vec<u64> = chunk.iter().map(|&r| seed_of(seed, r as u64)).collect();
            drawn.extend(trained, &x, Some(&theta), draws, &seeds)?;
            drawn.rows.extend(chunk.iter().map(|&r| r as u64));
        }
        Ok(())
    };
    comm.agree(work())?;
    unfit.gather(comm);
    unfit.tell(dataset, &trained.field);
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

/// Posterior samples of one observation, whose fields are whole on this rank, and what its reader should know.
pub fn observation(
    trained: &Trained,
    fields: &[Field],
    truth: Option<&[f64]>,
    draws: usize,
    seed: u64,
) -> Result<(Samples, Vec<String>)> {
    let field = fields.iter().find(|f| f.spec.name == trained.field).ok_or_else(|| {
        Error::input(format!("the observation has no field {}", trained.field)).remedy("switch it on in [simulator]")
    })?;
    let (seen, learned) = (&field.spec.shape, &trained.shape);
    if seen != learned || field.data.len() != learned.iter().product::<usize>() {
        let problem = format!("what is observed has the shape {seen:?}, and the networks learned from {learned:?}");
        let remedy = "set [simulator] to what the universes were made with";
        return Err(Error::input(problem).key(&trained.field).remedy(remedy));
    }
    let x = trained.seen(&field.data, vec![SampleId::of(0)], Pass::Observation)?;
    let mut unfit = Unfit::default();
    unfit.add(&trained.chain(), Batch::observed(&x), &[0])?;
    if let Some(words) = unfit.of_one() {
        let remedy =
            "is it of what the networks learned from: a snapshot of the campaign's box, time and number of particles?";
        return Err(Error::input(format!("what is observed has {words}")).key(&trained.field).remedy(remedy));
    }
    let mut drawn = Drawn::default();
    drawn.extend(trained, &x, truth, draws, &[seed_of(seed, u64::MAX)])?;
    let p = trained.prior.len();
    let samples = Samples {
        prior: trained.prior.clone(),
        index: vec![0],
        draws,
        theta: drawn.theta,
        ln_prob: drawn.ln_prob,
        truth: truth.map_or(vec![f64::NAN; p], <[f64]>::to_vec),
        ln_prob_truth: if truth.is_some() { drawn.ln_prob_truth } else { vec![f64::NAN] },
        extras: Extras { outside: drawn.outside, distance: drawn.distance, spread: drawn.spread, ..Extras::default() },
    };
    let beyond = unfamiliar(&samples, 0, trained, drawn.most[0]);
    if let Some(q) = (0..p).find(|&j| samples.no_width(0, j)) {
        let problem = format!("its posterior has no width in {}", samples.prior.parameters[q].name);
        let why = beyond.map_or(String::new(), |why| format!(": {why}"));
        let remedy = "compare its fields with the dataset's: the networks have seen nothing like it";
        return Err(Error::input(problem + &why).key(&trained.field).remedy(remedy));
    }
    let told = beyond.map(|why| format!("is not like what was trained on, and its posterior is a guess: {why}"));
    Ok((samples.clone(), told.into_iter().chain(spread(&samples, 0)).collect()))
}

/// How the input of universe `i` differs from what was trained on, where it does.
fn unfamiliar(samples: &Samples, i: usize, trained: &Trained, most: u64) -> Option<String> {
    let (outside, distance) = (samples.extras.outside[i], samples.extras.distance[i]);
    let what = trained.fact(most);
    samples.extras.unfamiliar(i).then(|| match outside {
        o if o == f64::INFINITY => format!("{what} is constant in training, and is another number here"),
        o if o > OUTSIDE => format!("{what} lies {o:.3} training widths outside the training range"),
        _ => format!("it is {distance:.3} times as far from the training inputs as the farthest hundredth of them"),
    })
}

/// A sentence where the members of the ensemble disagree about universe `i`.
fn spread(samples: &Samples, i: usize) -> Option<String> {
    let spread = samples.spread_of(i)?;
    let each = samples.prior.names().into_iter().zip(spread).filter(|(_, s)| **s > SPREAD);
    let each: Vec<String> = each.map(|(name, s)| format!("{s:.2} of its error in {name}")).collect();
    let why = "depends on the training's luck: the members of the ensemble scatter by";
    (!each.is_empty()).then(|| format!("{why} {}", each.join(", ")))
}

/// Warns of test universes that are unlike the training's, without width, or about which the members disagree.
fn tell(samples: &Samples, most: &[u64], trained: &Trained) {
    let n = samples.len();
    let unlike: Vec<usize> = (0..n).filter(|&i| samples.extras.unfamiliar(i)).collect();
    let badness = |i: usize| samples.extras.outside[i].max(samples.extras.distance[i]);
    if let Some(&worst) = unlike.iter().max_by(|&&a, &&b| badness(a).total_cmp(&badness(b))) {
        let why = unfamiliar(samples, worst, trained, most[worst]).unwrap_or_default();
        let row = samples.index[worst];
        log::warn!("{} of {n} test universes are not like what was trained on: in row {row} {why}", unlike.len());
    }
    doubts::no_width(samples).into_iter().chain(doubts::torn(samples)).for_each(|words| log::warn!("{words}"));
}

/// Draws and densities of some universes, one after another.
#[derive(Default)]
struct Drawn {
    rows: Vec<u64>,
    theta: Vec<f64>,
    ln_prob: Vec<f64>,
    ln_prob_truth: Vec<f64>,
    outside: Vec<f64>,
    most: Vec<u64>,
    distance: Vec<f64>,
    spread: Vec<f64>,
}

impl Drawn {
    fn extend(
        &mut self,
        trained: &Trained,
        x: &Tensor,
        truth: Option<&[f64]>,
        draws: usize,
        seeds: &[u64],
    ) -> Result<()> {
        let no_density = || {
            Error::input("this stage's model is no density")
                .key("infer.posterior")
                .remedy("name a stage of kind \"npe\"")
        };
        tch::no_grad(|| {
            let (x, looked) = trained.looked_at(x)?;
            self.outside.extend(looked.outside);
            self.most.extend(looked.most);
            self.distance.extend(looked.distance);
            let drawn = trained.model.sample(&x, draws as i64, seeds).ok_or_else(no_density)?;
            let theta = host(&drawn.theta);
            self.spread.extend(spreads(&theta, trained.prior.len(), draws, &drawn.member, drawn.members));
            self.theta.extend(theta);
            self.ln_prob.extend(host(&drawn.ln_prob));
            if let Some(truth) = truth {
                let truth = Tensor::from_slice(truth).view([seeds.len() as i64, -1]).to_device(x.device());
                self.ln_prob_truth.extend(host(&trained.model.log_prob(&x, &truth).ok_or_else(no_density)?));
            }
            Ok(())
        })
    }
}

/// Standard deviation of the members' means over that of all draws, (n, p), without what the number of draws makes of it.
fn spreads(theta: &[f64], p: usize, draws: usize, member: &[usize], members: usize) -> Vec<f64> {
    let moments = |values: &[f64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
    };
    let one = |draws: &[f64], member: &[usize], j: usize| {
        let column: Vec<f64> = draws.iter().skip(j).step_by(p).copied().collect();
        let of = |m| column.iter().zip(member).filter(|(_, k)| **k == m).map(|(v, _)| *v).collect::<Vec<f64>>();
        let each: Vec<(Vec<f64>, f64, f64)> = (0..members)
            .map(of)
            .map(|v| {
                let (mean, variance) = moments(&v);
                (v, mean, variance)
            })
            .collect();
        let (_, between) = moments(&each.iter().map(|e| e.1).collect::<Vec<_>>());
        let noise = each.iter().map(|(v, _, variance)| variance / v.len() as f64).sum::<f64>() / members as f64;
        let all = moments(&column).1;
        // A member without draws has no mean: NaN.
        if between > 0.0 && all > 0.0 { ((between - noise).max(0.0) / all).sqrt() } else { between / all }
    };
    let universes = theta.chunks(draws * p).zip(member.chunks(draws));
    universes.flat_map(|(d, m)| (0..p).map(|j| one(d, m, j)).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_the_members_means_without_the_noise_of_few_draws() {
        let mut rng = stream(3, 0, "spread", 0);
        let mut gauss = || {
            <rand_distr::StandardNormal as rand_distr::Distribution<f64>>::sample(&rand_distr::StandardNormal, &mut rng)
        };
        let member: Vec<usize> = (0..400).map(|i| i % 4).collect();
        let same: Vec<f64> = member.iter().map(|_| gauss()).collect();
        assert!(spreads(&same, 1, 400, &member, 4)[0] < 0.15);
        // Means at ±1: a standard deviation of 2/√3 over one of √(1 + 1).
        let apart: Vec<f64> = member.iter().map(|&m| gauss() + if m < 2 { 1.0 } else { -1.0 }).collect();
        assert!((spreads(&apart, 1, 400, &member, 4)[0] - (4.0f64 / 3.0 / 2.0).sqrt()).abs() < 0.1);
        assert!(spreads(&same, 1, 400, &vec![0; 400], 1)[0].is_nan(), "one member says nothing");
    }
}
