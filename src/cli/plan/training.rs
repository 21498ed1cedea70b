//! What the networks will cost: one step of each stage is timed, on noise of the input's shape.

use crate::cli::bench::train::{Steps, steps};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::io::field::FieldSpec;
use crate::models::named;
use crate::nets::device;
use crate::train::{Pieces, seen, source};

/// Most numbers in the inputs of a timed step: what a few hundred megabytes hold, with what a network makes of them.
const NUMBERS: usize = 1 << 21;

/// Seconds that all epochs of each stage take on one rank, by name, and bytes of the file of what it makes. Every rank
/// measures for itself, all at once: the mean over ranks. Collective.
pub fn seconds(plan: &Plan, specs: &[FieldSpec], comm: &Comm) -> Result<Vec<(String, f64, u64)>> {
    let (config, alone) = (&plan.config, comm.alone());
    let Some(design) = &config.design else { return Ok(vec![]) };
    let held_out = design.validation + design.test;
    let learned = design.simulations as f64 * (1.0 - held_out).max(0.0);
    // Those that decide when to stop are looked at without a gradient, which is some third of a step.
    let looked_at = design.simulations as f64 * design.validation / 3.0;
    let device = device(comm);
    let (records, others) = (plan.stages(), design.simulations as f64 * held_out);
    let measured = || -> Result<Vec<(f64, u64)>> {
        let (mut all, mut made): (_, Vec<(String, Vec<FieldSpec>)>) = (vec![], vec![]);
        // Of a step on one sample, times the views of it that are looked at once it is trained.
        let mut steps_of: Vec<(String, f64)> = vec![];
        for stage in &config.train {
            let field = |name: &str| specs.iter().find(|s| s.name == name).cloned();
            let pieces = Pieces::of(&config.train, stage, &field)?;
            // As many samples as pieces; of lists, whose rows nobody can count before, one.
            let each = pieces.as_ref().map_or(1, |pieces| pieces.count().unwrap_or(1)) as f64;
            let mut stage = stage.clone();
            let views = stage.data.average.unwrap_or(1) as f64;
            if let Some(pieces) = &pieces {
                stage.data.masks.clear(); // those of whole fields do not fit noise of pieces, and cost nothing
                if pieces.count().is_none() && comm.is_root() {
                    log::warn!("train.{}.data.pieces: a cost is told as if each universe had one row", stage.name);
                }
            }
            let spec = |name: &String| {
                let (of, output) = name.split_once('/').unwrap_or((name, ""));
                let outputs = made.iter().find(|m| m.0 == of).map_or(&[][..], |m| &m.1);
                let output = outputs.iter().find(|o| output.is_empty() || o.name == output);
                let spec = output.cloned().or_else(|| Some(seen(pieces.as_ref(), field(name)?)));
                FieldSpec { name: name.clone(), ..spec.unwrap_or_else(|| FieldSpec::of(name, &[], &[])) }
            };
            let inputs = named(stage.input.iter().map(spec).collect(), "x");
            let targets = named(stage.target.iter().map(spec).collect(), "target");
            let numbers: usize = inputs.iter().map(|input| input.shape.iter().product::<usize>()).sum();
            let batch = stage.batch_size.min(NUMBERS / numbers.max(1)).max(1);
            // The fastest: what else the machine does now is not the network's.
            let Steps { times, outputs, .. } =
                steps(&stage, [&inputs, &targets], &plan.prior, batch, 5, device, &alone)?;
            let step = times[0];
            let on_another = stage.input.iter().any(|input| source(&config.train, input).is_some());
            let copies = if on_another { stage.copies } else { 1 };
            let epochs = stage.network.epochs(stage.epochs) as f64;
            let seen = epochs * (learned * copies as f64 + looked_at) * each;
            // Frozen networks look at all of them, without a gradient.
            let chain = if stage.frozen { records.chain(&stage.name) } else { vec![] };
            let below: f64 =
                steps_of.iter().filter(|(name, _)| chain.contains(&name.as_str())).map(|s| s.1 / 3.0).sum();
            let frozen = epochs * (learned + 3.0 * looked_at) * each * below;
            steps_of.push((stage.name.clone(), views * step / batch as f64));
            let rows = learned * records.copies(&stage.name) as f64 + others;
            let rows = rows * each;
            let bytes = outputs.iter().map(|spec| spec.bytes() as f64 * rows).sum::<f64>() as u64;
            all.push((seen * step / batch as f64 + frozen, bytes));
            made.push((stage.name.clone(), outputs));
        }
        Ok(all)
    };
    let (mut seconds, bytes): (Vec<f64>, Vec<u64>) = comm.agree(measured())?.into_iter().unzip();
    comm.sum(&mut seconds);
    let each = config.train.iter().zip(seconds).zip(bytes);
    Ok(each.map(|((stage, sum), bytes)| (stage.name.clone(), sum / comm.size() as f64, bytes)).collect())
}
