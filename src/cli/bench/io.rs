//! A shard is packed, and as many bytes are written plainly to the same disk, in turn; then single simulations are read from both,
//! shuffled.

use crate::comm::{Comm, share, timers::OverRanks};
use crate::error::{At, Error, Result};
use crate::io::field::{AxisKind, Data, Field, FieldSpec};
use crate::io::hdf::{File, appear, forget, publish_file};
use crate::io::made::Made;
use crate::io::provenance::Provenance;
use crate::io::shard::{self, Row};
use crate::io::simulation::{self, Again, Record, State};
use crate::limits;
use crate::rng::stream;
use crate::simulators::bench::{Outcome, Stage};
use rand::seq::SliceRandom;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

/// Flags of `polycosm bench io`.
#[derive(Debug, clap::Args)]
pub struct IoArgs {
    /// A folder on the disk that is timed
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Simulations in the shard
    #[arg(long, default_value_t = 64)]
    pub simulations: usize,
    /// Thousands of numbers (f32) of each
    #[arg(long, default_value_t = 1000)]
    pub thousands: usize,
    /// Pairs that are timed
    #[arg(long, default_value_t = 9)]
    pub repeats: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The median of the pairs, the first of which is not counted.
pub fn run(args: &IoArgs, comm: &Comm) -> Result<Outcome> {
    let (n, numbers) = (args.simulations.max(1), args.thousands.max(1) * 1000);
    limits::at_most("--simulations", n, limits::SIMULATIONS)?;
    limits::at_most("--thousands", args.thousands, limits::NUMBERS / 1000)?;
    limits::at_most("--repeats", args.repeats, limits::STEPS)?;
    let made = || {
        tempfile::tempdir_in(&args.folder).map_err(|e| {
            let error = Error::input(format!("cannot be written to: {e}")).key("--folder").value(args.folder.display());
            error.remedy("give a folder that you may write to")
        })
    };
    let folder = comm.is_root().then(made).transpose();
    let folder = comm.agree(folder)?;
    let output = comm.broadcast_value(0, folder.as_ref().map(|folder| folder.path().to_path_buf()));
    let specs = [FieldSpec::of("x", &[numbers], &[AxisKind::Index])];
    let by = Provenance::collect(comm, 0, "");
    let theta = [0.0];
    let rows: Vec<Row> = (0..n as u64).map(|i| Row { index: i, realisation: i, theta: &theta, split: 0 }).collect();
    comm.on_root(|| ["sims", "shards"].iter().try_for_each(|f| std::fs::create_dir(output.join(f)).at(&output)))?;
    let (alone, (start, mine)) = (comm.alone(), share(n, comm.size(), comm.rank()));
    let single = |row: &Row| {
        let record = Record {
            index: row.index,
            realisation: row.realisation,
            theta: theta.to_vec(),
            state: State::Finished,
            failure: String::new(),
        };
        let data = Data::F32((0..numbers).map(|k| (k as u64 * 7 + row.index) as f32).collect());
        let (field, path) = (Field::on_root(&alone, specs[0].clone(), data), simulation::path(&output, row.index));
        simulation::write(&alone, &path, &record, &[field], (Made::now(0.0, 0), &by), &Again::new())
    };
    comm.agree(rows[start..start + mine].iter().try_for_each(single))?;

    let (packed, plain) = (shard::path(&output, 0), output.join("plain"));
    let pack = || shard::pack(comm, &output, (0, &rows, &[]), (&specs, None), &by, |whole| appear(whole, &packed));
    let block = vec![7u8; 8 << 20];
    let write = || {
        comm.on_root(|| {
            publish_file(&plain, |path| {
                let mut file = std::fs::File::create(path).at(path)?;
                let mut left = n * numbers * size_of::<f32>();
                while left > 0 {
                    let some = left.min(block.len());
                    file.write_all(&block[..some]).at(path)?;
                    left -= some;
                }
                Ok(())
            })
        })
    };
    let timed = |file: &PathBuf, work: &dyn Fn() -> Result<()>| -> Result<f64> {
        comm.on_root(|| if file.exists() { std::fs::remove_file(file).at(file) } else { Ok(()) })?;
        comm.barrier();
        let start = Instant::now();
        work()?;
        Ok(comm.max_of(start.elapsed().as_secs_f64()))
    };
    let mut pairs = vec![];
    for k in 0..args.repeats.max(1) + 1 {
        // Each is first in every second pair.
        let before = if k % 2 == 0 { Some(timed(&packed, &pack)?) } else { None };
        let plainly = timed(&plain, &write)?;
        let seconds = before.map_or_else(|| timed(&packed, &pack), Ok)?;
        pairs.push([seconds, plainly]);
    }
    pairs.remove(0);
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        [all[0], all[all.len() / 2], all[all.len() - 1]]
    };
    let [least, ratio, most] = median(pairs.iter().map(|[packed, plain]| plain / packed).collect());
    // The root reads alone, as a loader does, each time in another order.
    let shuffled = |k: u64| {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut stream(k, 0, "order of a bench", 0));
        order
    };
    let through = |k: u64| -> Result<f64> {
        forget(&packed)?;
        let start = Instant::now();
        let file = File::open(&packed)?;
        shuffled(k).into_iter().try_for_each(|row| shard::read_row(&file, &specs[0], row).map(drop))?;
        Ok(start.elapsed().as_secs_f64())
    };
    let raw = |k: u64| -> Result<f64> {
        forget(&plain)?;
        let start = Instant::now();
        let (file, mut piece) = (std::fs::File::open(&plain).at(&plain)?, vec![0u8; numbers * size_of::<f32>()]);
        let read = |row: usize| file.read_exact_at(&mut piece, (row * numbers * size_of::<f32>()) as u64).at(&plain);
        shuffled(k).into_iter().try_for_each(read)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let read = comm.on_root(|| {
        let one = |k: u64| {
            let before = if k.is_multiple_of(2) { Some(through(k)?) } else { None };
            let raw = raw(k)?;
            Ok([before.map_or_else(|| through(k), Ok)?, raw])
        };
        (0..=args.repeats.max(1) as u64).map(one).collect::<Result<Vec<[f64; 2]>>>()
    })?;
    let read = &read[1..];
    let [slowest, share, fastest] = median(read.iter().map(|[through, raw]| raw / through).collect());
    let stage = |name: &str, pairs: &[[f64; 2]], i: usize| {
        let max = median(pairs.iter().map(|pair| pair[i]).collect())[1];
        Stage::of(OverRanks { name: name.into(), max, mean: max, sent: 0 }, 1)
    };
    let stages = vec![
        stage("packed", &pairs, 0),
        stage("plainly", &pairs, 1),
        stage("read shuffled", read, 0),
        stage("plainly", read, 1),
    ];
    let mb = (numbers * size_of::<f32>()) as f64 / 1e6;
    let pairs = pairs.len();
    let what = format!(
        "io, a shard of {n} x {mb} MB: at {ratio:.2} times the bandwidth of plain writing ({least:.2} to {most:.2} in \
         {pairs} pairs); single simulations, shuffled, at {share:.2} times that of plain reading ({slowest:.2} to {fastest:.2})"
    );
    Ok(Outcome::new(comm, what, stages[0].seconds_max, stages))
}
