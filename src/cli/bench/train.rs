//! Training steps of the demo's compressor, or with another network on other maps.

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
use crate::train::{Memory, StageConfig, Trainer, changes, weights};
use serde_json::json;
use std::path::{Path, PathBuf};
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
    /// Another network for the maps: small, resnet18, resnet34, deeplens, or cosmoflow for cubes
    #[arg(long, value_name = "KIND", default_value = "small")]
    pub cnn: String,
    /// Views, channels and pixels a side of the maps
    #[arg(long, value_name = "V,C,N", value_delimiter = ',', default_values_t = [3, 4, 64])]
    pub maps: Vec<usize>,
    /// Without symmetries, as other programs are compared with
    #[arg(long)]
    pub plain: bool,
    /// Leave the network there untrained, as a stage's folder, for benches/peers/train.py
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What steps cost.
pub struct Steps {
    /// Seconds of each, the mean of all phases, from the fastest on.
    pub times: Vec<f64>,
    /// Seconds that this rank's processors worked for one of them, where /proc tells.
    pub worked: Option<f64>,
    /// Bytes that this rank sends for a row.
    pub sent: u64,
    /// What the model makes.
    pub outputs: Vec<FieldSpec>,
}

/// Seconds that the processors have worked for this process, all its threads together.
fn worked() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: in hundredths, of the program and of the system.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// Takes `steps` steps on `batch` rows of noise of such inputs and targets. Collective.
pub fn steps(
    config: &StageConfig,
    [inputs, targets]: [&[FieldSpec]; 2],
    prior: &Prior,
    batch: usize,
    steps: usize,
    device: Device,
    comm: &Comm,
) -> Result<Steps> {
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
    let (mut times, mut begun, before) = (Vec::new(), None, traffic::sent());
    // The first ones find their memory and their threads.
    for step in 0..steps + 2 {
        if step == 2 {
            begun = worked();
        }
        comm.barrier();
        let start = Instant::now();
        trainer.state.epoch = step as u64;
        for phase in 0..phases {
            trainer.state.phase = phase;
            trainer.step(&mut source, &ids, 1e-4)?;
        }
        times.push(comm.max_of(start.elapsed().as_secs_f64()) / phases.max(1) as f64 * asked as f64 / batch as f64);
    }
    let share = asked as f64 / (phases.max(1) * batch * steps) as f64;
    let worked = worked().zip(begun).map(|(end, start)| (end - start) * share);
    let sent = (traffic::sent() - before) / (times.len() * phases.max(1) * batch) as u64;
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    Ok(Steps { times, worked, sent, outputs: model.outputs() })
}

/// A model as the folder of a stage, as far as other programs read it.
fn keep(folder: &Path, config: &StageConfig, task: &Task) -> Result<()> {
    let failed = |e: String| Error::input(e).key("--keep").value(folder).remedy("choose a folder you may write to");
    std::fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
    let axes = |spec: &FieldSpec| spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>();
    let fields: Vec<_> = task.inputs.iter().map(|spec| json!({"field": spec.name, "axes": axes(spec)})).collect();
    let stage = StageConfig { input: "x".into(), ..config.clone() };
    let record = json!({"stage": stage, "prior": task.prior, "dataset": {"fields": fields}});
    std::fs::write(folder.join("model.json"), record.to_string()).map_err(|e| failed(e.to_string()))?;
    weights::write(build(&*config.network, task)?.as_ref(), &folder.join("weights.safetensors")).map(drop)
}

/// Steps of the demo's compressor (three views of four 64² maps per universe), or of the network that is asked for, on noise.
pub fn run(args: &TrainArgs, comm: &Comm) -> Result<Outcome> {
    if args.batch == 0 || args.steps == 0 {
        let error = Error::input("at least one universe and one step are needed").key("--batch").value(args.batch);
        return Err(error.remedy("give --batch and --steps, e.g. 32 and 10"));
    }
    limits::at_most("--batch", args.batch, limits::UNITS)?;
    limits::at_most("--steps", args.steps, limits::STEPS)?;
    let parameter = |name: &str| Parameter::uniform(name, name, 0.0, 1.0);
    let prior = Prior::new(vec![parameter("a"), parameter("b")])?;
    let [views, channels, n] = args.maps[..] else {
        let error = Error::input("three numbers are needed: views, channels, pixels a side").key("--maps");
        return Err(error.value(&args.maps).remedy("give e.g. 3,4,64"));
    };
    for &count in &args.maps {
        limits::at_most("--maps", count, limits::UNITS)?;
    }
    let mut sets =
        vec![format!("train.0.batch_size={}", args.batch), format!("train.0.network.cnn.kind={:?}", args.cnn)];
    sets.extend(args.plain.then(|| "train.0.data.symmetries=[]".to_string()));
    let demo: Config = crate::config::parse("demo", RECIPES[0].text.to_string(), &sets)?.value;
    let of_cubes = args.cnn == "cosmoflow";
    let mut axes = vec![AxisKind::View, if of_cubes { AxisKind::Channel } else { AxisKind::Slab }];
    axes.resize(if of_cubes { 5 } else { 4 }, AxisKind::Periodic);
    let shape: Vec<usize> = [views, channels].into_iter().chain(vec![n; axes.len() - 2]).collect();
    let inputs = named(vec![FieldSpec::of("maps", &shape, &axes)], "x");
    if let Some(folder) = &args.keep {
        let task = Task { inputs: &inputs, targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Float };
        comm.on_root(|| keep(folder, &demo.train[0], &task))?;
    }
    let Steps { times, worked, sent, .. } =
        steps(&demo.train[0], [&inputs, &[]], &prior, args.batch, args.steps, device(comm), comm)?;
    let step = times[times.len() / 2];
    let each = step / args.batch as f64;
    let one = Stage::of(OverRanks { name: "one universe".into(), max: each, mean: each, sent: comm.sum_of(sent) }, 1);
    let mut stages = vec![one];
    if let Some(worked) = worked {
        let (max, mean) = (comm.max_of(worked), comm.sum_of(worked) / comm.size() as f64);
        let [max, mean] = [max, mean].map(|t| t / args.batch as f64);
        stages.push(Stage::of(OverRanks { name: "its processor time".into(), max, mean, sent: 0 }, 1));
    }
    let what = match args.cnn.as_str() {
        "small" => format!("training step of the demo's compressor, batch {}", args.batch),
        other => format!("training step of {other} on {shape:?}, batch {}", args.batch),
    };
    Ok(Outcome::new(comm, what, step, stages))
}
