//! Training steps of the demo's compressor.

use crate::cli::new::RECIPES;
use crate::comm::{Comm, timers::OverRanks, traffic};
use crate::config::campaign::Config;
use crate::error::{Error, Result};
use crate::io::field::{AxisKind, FieldSpec};
use crate::limits;
use crate::models::{Column, Device, Kind, SampleId, Task, Tensor, build, named};
use crate::nets::device;
use crate::prior::{Parameter, Prior};
use crate::simulators::bench::{Outcome, Stage};
use crate::train::{Memory, StageConfig, Trainer, changes};
use std::time::Instant;

/// Flags of `polycosm bench train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Universes of a step, over all ranks together
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Steps that are timed
    #[arg(long, default_value_t = 10)]
    pub steps: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Seconds of `steps` steps on `batch` rows of noise of such inputs and targets, the mean of all phases, from the
/// fastest on; bytes that this rank sends for a row; and what the model makes. Collective.
pub fn steps(
    config: &StageConfig,
    [inputs, targets]: [&[FieldSpec]; 2],
    prior: &Prior,
    batch: usize,
    steps: usize,
    device: Device,
    comm: &Comm,
) -> Result<(Vec<f64>, u64, Vec<FieldSpec>)> {
    let task = Task { inputs, targets, prior, device, kind: Kind::Float };
    let model = build(&*config.network, &task)?;
    let (asked, batch) = (batch, batch.max(model.partners() + 1));
    let n = 2 * batch;
    let noise = |spec: &FieldSpec| {
        let size: Vec<i64> = std::iter::once(&n).chain(&spec.shape).map(|&n| n as i64).collect();
        let t = Tensor::rand(size.as_slice(), (Kind::Float, device));
        (
            spec.name.clone(),
            match spec.ragged {
                false => Column::Array(t),
                // As many rows as samples, one for each.
                true => Column::List { values: t, offsets: Tensor::arange(n as i64 + 1, (Kind::Int64, device)) },
            },
        )
    };
    let uniform: Vec<f64> =
        (0..n).flat_map(|i| prior.from_unit(&vec![(i as f64 + 0.5) / n as f64; prior.len()])).collect();
    let theta = Tensor::from_slice(&uniform).view([n as i64, prior.len() as i64]).to_device(device);
    let both = || inputs.iter().chain(targets);
    let columns = both().map(noise).chain([("theta".into(), Column::Array(theta))]).collect();
    let mut source = Memory::new(columns, (0..n as u64).map(SampleId::of).collect(), n);
    let phases = model.phases().len();
    let mut trainer = Trainer::new(comm, config, model.as_ref());
    trainer.changes = changes(config, &[inputs, targets].concat())?;
    for phase in 0..phases {
        trainer.state.phase = phase;
        trainer.prepare(&mut source)?;
    }
    let ids: Vec<SampleId> = (0..batch as u64).map(SampleId::of).collect();
    let (mut times, before) = (Vec::new(), traffic::sent());
    // The first ones find their memory and their threads.
    for step in 0..steps + 2 {
        comm.barrier();
        let start = Instant::now();
        trainer.state.epoch = step as u64;
        for phase in 0..phases {
            trainer.state.phase = phase;
            trainer.step(&mut source, &ids, 1e-4)?;
        }
        times.push(comm.max_of(start.elapsed().as_secs_f64()) / phases.max(1) as f64 * asked as f64 / batch as f64);
    }
    let sent = (traffic::sent() - before) / (times.len() * phases.max(1) * batch) as u64;
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    Ok((times, sent, model.outputs()))
}

/// Steps of the demo's compressor (three views of four 64² maps per universe) on maps of noise.
pub fn run(args: &TrainArgs, comm: &Comm) -> Result<Outcome> {
    if args.batch == 0 || args.steps == 0 {
        let error = Error::input("at least one universe and one step are needed").key("--batch").value(args.batch);
        return Err(error.remedy("give --batch and --steps, e.g. 32 and 10"));
    }
    limits::at_most("--batch", args.batch, limits::UNITS)?;
    limits::at_most("--steps", args.steps, limits::STEPS)?;
    let parameter = |name: &str| Parameter::uniform(name, name, 0.0, 1.0);
    let prior = Prior::new(vec![parameter("a"), parameter("b")])?;
    let kinds = [AxisKind::View, AxisKind::Slab, AxisKind::Periodic, AxisKind::Periodic];
    let maps = FieldSpec::of("maps", &[3, 4, 64, 64], &kinds);
    let sets = [format!("train.0.batch_size={}", args.batch)];
    let demo: Config = crate::config::parse("demo", RECIPES[0].text.to_string(), &sets)?.value;
    let inputs = named(vec![maps], "x");
    let (times, sent, _) = steps(&demo.train[0], [&inputs, &[]], &prior, args.batch, args.steps, device(comm), comm)?;
    let step = times[times.len() / 2];
    let each = step / args.batch as f64;
    let one = Stage::of(OverRanks { name: "one universe".into(), max: each, mean: each, sent: comm.sum_of(sent) }, 1);
    let what = format!("training step of the demo's compressor, batch {}", args.batch);
    Ok(Outcome::new(comm, what, step, vec![one]))
}
