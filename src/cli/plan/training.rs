//! What the networks will cost: one step of each stage is timed, on noise of the input's shape.

use crate::cli::bench::train::steps;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::io::field::{AxisKind, FieldSpec};
use crate::nets::device;

/// Most numbers in the inputs of a timed step: what a few hundred megabytes hold, with all that a network makes of them.
const NUMBERS: usize = 1 << 21;

/// Seconds that all epochs of each stage take on one rank, by name. Every rank measures for itself, all at once: the mean
/// over ranks. Collective.
pub fn seconds(plan: &Plan, specs: &[FieldSpec], comm: &Comm) -> Result<Vec<(String, f64)>> {
    let (config, alone) = (&plan.config, comm.alone());
    let Some(design) = &config.design else { return Ok(vec![]) };
    let held_out = design.validation + design.test;
    let learned = design.simulations as f64 * (1.0 - held_out).max(0.0);
    // Those that decide when to stop are looked at without a gradient, which is some third of a step.
    let looked_at = design.simulations as f64 * design.validation / 3.0;
    let device = device(comm);
    let measured = || -> Result<Vec<f64>> {
        let mut all = vec![];
        for stage in &config.train {
            let before = config.train.iter().find(|s| s.name == stage.input);
            let summaries = before.and_then(|s| s.network.summaries(plan.prior.len()));
            let field = || specs.iter().find(|s| s.name == stage.input).cloned();
            let input = match summaries {
                Some(n) => FieldSpec::of(&stage.input, &[n], &[AxisKind::Column]),
                None => field().unwrap_or_else(|| FieldSpec::of(&stage.input, &[], &[])),
            };
            let batch = stage.batch_size.min(NUMBERS / input.shape.iter().product::<usize>().max(1)).max(1);
            // The fastest: what else the machine does now is not the network's.
            let (times, _) = steps(stage, &input, &plan.prior, batch, 5, device, &alone)?;
            let step = times[0];
            let copies = if before.is_some() { stage.copies } else { 1 };
            all.push(
                stage.network.epochs(stage.epochs) as f64 * (learned * copies as f64 + looked_at) * step / batch as f64,
            );
        }
        Ok(all)
    };
    let mut seconds = comm.agree(measured())?;
    comm.sum(&mut seconds);
    let mean = seconds.into_iter().map(|sum| sum / comm.size() as f64);
    Ok(config.train.iter().map(|stage| stage.name.clone()).zip(mean).collect())
}
