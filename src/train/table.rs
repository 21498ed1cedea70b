//! What a stage learns from, in memory: the dataset's field, or the summaries that an earlier stage makes of it.

use super::change::{Change, change};
use super::data::{self, tensor};
use super::source::{Memory, Source};
use super::stage::{Context, Trained, compress, find};
use super::{StageConfig, inputs, view};
use crate::comm::share;
use crate::error::Result;
use crate::io::dataset::{Dataset, Split};
use crate::io::field::Data;
use crate::models::{Batch, Column, Model, Pass, SampleId};
use tch::{Device, Kind, Tensor};

/// Universes whose inputs are on their way through a network at a time.
const CHUNK: usize = 32;

/// The stage's samples in memory: fields of the dataset by the names that they have in a batch, with the parameters; of a
/// stage on another, its summaries in place of the field. Collective.
pub(super) fn table(
    context: &Context,
    config: &StageConfig,
    columns: &[(&str, &str)],
    before: Option<&Trained>,
    (model, changes): (&dyn Model, &[Box<dyn Change>]),
) -> Result<Memory> {
    let (comm, dataset) = (context.comm, context.dataset);
    comm.agree(dataset.check_prior())?;
    let table = comm.agree(Memory::read(dataset, columns, context.device))?;
    let first = before.map_or(model, Trained::first);
    let (changes, seed) = before.map_or((changes, config.seed), |before| (&before.view[..], before.seed));
    let mut seen = comm.agree(table.held(changes, seed))?;
    let called = |name: &str| columns.iter().find(|c| c.0 == name).map_or(name, |c| c.1).to_string();
    comm.agree(inputs::refuse_unfit(dataset, &called, config, first, &mut seen))?;
    drop(seen);
    let Some(before) = before else {
        if let [(_, field)] = columns {
            inputs::announce_unfit(comm, dataset, field, first, context.device)?;
        }
        return Ok(table);
    };
    let mut table = summarised(context, config, table, before)?;
    let called = |_: &str| format!("summaries of {}", config.input.words());
    comm.agree(inputs::refuse_unfit(dataset, &called, config, model, &mut table)).map(|()| table)
}

impl Memory {
    /// Columns of a dataset, each by its name and the field that it is, and "theta": the universes to learn from, then those that
    /// say when to stop. An id's universe is its row.
    pub fn read(dataset: &Dataset, columns: &[(&str, &str)], device: Device) -> Result<Memory> {
        let (train, validation) = inputs::splits(dataset)?;
        let rows: Vec<usize> = train.iter().chain(&validation).copied().collect();
        let read = |&(name, field): &(&str, &str)| Ok((name.into(), data::column(dataset, field, &rows, device)?));
        let mut columns = columns.iter().map(read).collect::<Result<Vec<_>>>()?;
        let p = dataset.prior.len();
        let theta: Vec<f64> = rows.iter().flat_map(|&r| dataset.theta()[r * p..(r + 1) * p].iter().copied()).collect();
        columns.push(("theta".into(), Column::Array(tensor(&Data::F64(theta), &[rows.len(), p], device))));
        Ok(Memory::new(columns, rows.iter().map(|&row| SampleId::of(row as u64)).collect(), train.len()))
    }
}

/// Summaries of every universe: `copies` of each training universe, changed as the compressor's own training saw them.
fn summarised(context: &Context, config: &StageConfig, mut table: Memory, before: &Trained) -> Result<Memory> {
    let comm = context.comm;
    let (train, held) = (table.ids(Split::Train).to_vec(), table.ids(Split::Validation).to_vec());
    let first = find(context.stages, &before.sees)?;
    let changes = match config.copies {
        1 => view::changes(first, &before.specs)?,
        _ => view::copies(first, &before.specs)?,
    };
    let copies = config.copies as u32;
    let copy = |item: u32| train.iter().map(move |id| SampleId { item, ..*id });
    // Copies of a universe are items of it; validation universes stand once, as they are.
    let ids: Vec<SampleId> = (0..copies).flat_map(copy).chain(held.iter().copied()).collect();
    let (start, len) = share(ids.len(), comm.size(), comm.rank());
    let chain = before.chain();
    let mut work = || -> Result<(Vec<f32>, usize)> {
        let (mut mine, mut width) = (vec![], 0);
        for chunk in ids[start..start + len].chunks(CHUNK) {
            // A chunk is of one copy, so that it has one pass; the first is seen as those are that are held out.
            for part in chunk.chunk_by(|a, b| a.item == b.item) {
                let of: Vec<SampleId> = part.iter().map(|id| SampleId::of(id.universe)).collect();
                let pass = match part[0].item {
                    0 => Pass::Held,
                    item => Pass::Train { phase: 0, epoch: item as u64 },
                };
                let mut batch = Batch::new(table.read(&of, &[])?, of, pass, config.seed, Kind::Float);
                change(&changes, &mut batch)?;
                let s = compress(chain[0], &batch)?;
                let s = chain[1..].iter().try_fold(s, |s, model| compress(*model, &Batch::observed(&s)))?;
                let s = s.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
                width = s.size()[1] as usize;
                let mut values = vec![0f32; s.numel()];
                s.copy_data(&mut values, s.numel());
                mine.extend(values);
            }
        }
        Ok((mine, width))
    };
    let (mine, width) = comm.agree(work())?;
    let values = comm.all_gather(&mine);
    let width = comm.max_of(width as u64) as usize;
    let x = tensor(&Data::F32(values), &[ids.len(), width], context.device);
    let n = (train.len(), held.len());
    let rows: Vec<i64> =
        (0..copies as usize).flat_map(|_| 0..n.0).chain(n.0..n.0 + n.1).map(|row| row as i64).collect();
    let theta = table.column("theta")?.index_select(0, &Tensor::from_slice(&rows).to_device(context.device));
    let columns = vec![("x".into(), Column::Array(x)), ("theta".into(), Column::Array(theta))];
    Ok(Memory::new(columns, ids, copies as usize * n.0))
}
