//! Posteriors of observations: samples, ensembles and their files.

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::field::{Data, Field};
use crate::io::gadget::Velocities;
use crate::io::samples::{Extras, Samples};
use crate::limits;
use crate::rng::stream;
use crate::train::Trained;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// `[infer]`: which posterior to draw from, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferConfig {
    /// Training stage whose posterior the campaign is about.
    pub posterior: String,
    /// Stage that it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Posterior draws per universe.
    #[serde(default = "draws")]
    pub draws: usize,
    /// Snapshots of other codes (GADGET HDF5) whose posteriors stand in the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<PathBuf>,
    /// How their velocities are written: `gadget` (peculiar over √a) or `peculiar`. By default as each file tells, and
    /// GADGET's way where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Posterior samples of the test split, spread over the ranks; every rank gets all. Collective.
pub fn test_split(comm: &Comm, trained: &Trained, dataset: &Dataset, draws: usize, seed: u64) -> Result<Samples> {
    let rows = dataset.rows(Split::Test);
    let (start, len) = share(rows.len(), comm.size(), comm.rank());
    let mine = &rows[start..start + len];
    let p = dataset.prior.len();
    let all = [rows.len(), draws, p + 1];
    let remedy = "lower it, or set aside fewer test universes";
    comm.agree(limits::product_at_most("infer.draws", &all, "numbers", limits::NUMBERS, remedy))?;
    let work = || -> Result<Drawn> {
        let mut drawn = Drawn::default();
        for chunk in mine.chunks(16) {
            let values = dataset.read_f32(&trained.field, chunk)?;
            let theta: Vec<f64> = chunk.iter().flat_map(|r| dataset.theta()[r * p..(r + 1) * p].to_vec()).collect();
            let seeds: Vec<u64> = chunk.iter().map(|&r| seed_of(seed, r as u64)).collect();
            drawn.extend(trained, &values, Some(&theta), draws, &seeds)?;
        }
        Ok(drawn)
    };
    let drawn = comm.agree(work())?;
    Ok(Samples {
        prior: dataset.prior.clone(),
        index: rows.iter().map(|&r| r as u64).collect(),
        draws,
        theta: comm.all_gather(&drawn.theta),
        ln_prob: comm.all_gather(&drawn.ln_prob),
        truth: rows.iter().flat_map(|r| dataset.theta()[r * p..(r + 1) * p].to_vec()).collect(),
        ln_prob_truth: comm.all_gather(&drawn.ln_prob_truth),
        extras: Extras { drawn_from: dataset.drawn_from, ..Extras::default() },
    })
}

/// Posterior samples of one observation, whose fields are whole on this rank.
pub fn observation(
    trained: &Trained,
    fields: &[Field],
    truth: Option<&[f64]>,
    draws: usize,
    seed: u64,
) -> Result<Samples> {
    let field = fields.iter().find(|f| f.spec.name == trained.field).ok_or_else(|| {
        Error::input(format!("the observation has no field {}", trained.field)).remedy("switch it on in [simulator]")
    })?;
    let values: Vec<f32> = match &field.data {
        Data::F32(v) => v.clone(),
        Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
        Data::I64(v) => v.iter().map(|&x| x as f32).collect(),
    };
    let mut drawn = Drawn::default();
    drawn.extend(trained, &values, truth, draws, &[seed_of(seed, u64::MAX)])?;
    let p = trained.prior.len();
    Ok(Samples {
        prior: trained.prior.clone(),
        index: vec![0],
        draws,
        theta: drawn.theta,
        ln_prob: drawn.ln_prob,
        truth: truth.map_or(vec![f64::NAN; p], <[f64]>::to_vec),
        ln_prob_truth: if truth.is_some() { drawn.ln_prob_truth } else { vec![f64::NAN] },
        extras: Default::default(),
    })
}

/// Draws and densities of some universes, one after another.
#[derive(Default)]
struct Drawn {
    theta: Vec<f64>,
    ln_prob: Vec<f64>,
    ln_prob_truth: Vec<f64>,
}

impl Drawn {
    fn extend(
        &mut self,
        trained: &Trained,
        values: &[f32],
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
            let x = trained.input(values, seeds.len());
            let (theta, ln_prob) = trained.model.sample(&x, draws as i64, seeds).ok_or_else(no_density)?;
            self.theta.extend(host(&theta));
            self.ln_prob.extend(host(&ln_prob));
            if let Some(truth) = truth {
                let truth = Tensor::from_slice(truth).view([seeds.len() as i64, -1]).to_device(x.device());
                self.ln_prob_truth.extend(host(&trained.model.log_prob(&x, &truth).ok_or_else(no_density)?));
            }
            Ok(())
        })
    }
}

fn host(t: &Tensor) -> Vec<f64> {
    let t = t.to_device(Device::Cpu).to_kind(Kind::Double).contiguous();
    let mut values = vec![0f64; t.numel()];
    t.copy_data(&mut values, t.numel());
    values
}
