//! What a stage learns from, in memory: the dataset's field, or the summaries that an earlier stage makes of it.

use super::data::{self, Table, tensor};
use super::stage::{Context, Trained, compress};
use super::{StageConfig, inputs};
use crate::comm::share;
use crate::error::Result;
use crate::io::field::{Data, FieldSpec};
use crate::models::Model;
use tch::{Device, Kind, Tensor};

/// Universes whose inputs are on their way through a network at a time.
const CHUNK: usize = 32;

/// The stage's samples in memory, the dataset's field or the summaries of it, and the dataset's row of each that is learned
/// from. Collective.
pub(super) fn table(
    context: &Context,
    config: &StageConfig,
    field: &str,
    spec: &FieldSpec,
    before: Option<&Trained>,
    model: &dyn Model,
) -> Result<(Table, Vec<usize>)> {
    let (comm, dataset) = (context.comm, context.dataset);
    let p = dataset.prior.len();
    let (train, validation) = comm.agree(inputs::splits(dataset))?;
    let rows: Vec<usize> = train.iter().chain(&validation).copied().collect();
    comm.agree(dataset.check_prior())?;
    let values = comm.agree(data::read(dataset, field, &rows))?;
    let full: Vec<usize> = std::iter::once(rows.len()).chain(spec.shape.iter().copied()).collect();
    let x = tensor(&values, &full, context.device);
    drop(values);
    let first = before.map_or(model, Trained::first);
    comm.agree(inputs::refuse_unfit(dataset, field, config, first, &x, &rows))?;
    if before.is_none() {
        inputs::announce_unfit(comm, dataset, field, first, context.device)?;
    }
    let theta: Vec<f64> = rows.iter().flat_map(|&r| dataset.theta()[r * p..(r + 1) * p].iter().copied()).collect();
    let theta = Tensor::from_slice(&theta).view([-1, p as i64]).to_device(context.device);
    // From here on rows are counted within the table: training rows first.
    let (n, all) = (train.len(), rows.len());
    let maps = spec.picture().is_some_and(|picture| picture.periodic);
    let table = Table { x, theta, train: (0..n).collect(), validation: (n..all).collect(), maps };
    match before {
        None => Ok((table, train)),
        Some(before) => {
            let table = summarised(context, config, table, before)?;
            let of: Vec<usize> =
                (0..table.train.len() / n).flat_map(|_| train.iter()).chain(&validation).copied().collect();
            let what = format!("summaries of {}", config.input);
            comm.agree(inputs::refuse_unfit(dataset, &what, config, model, &table.x, &of))?;
            Ok((table, train))
        }
    }
}

/// Summaries of every universe: `copies` of each training universe, augmented as the compressor's own training saw them.
fn summarised(context: &Context, config: &StageConfig, table: Table, before: &Trained) -> Result<Table> {
    let comm = context.comm;
    let (n, all) = (table.train.len(), table.train.len() + table.validation.len());
    let copies = if table.maps { config.copies } else { 1 };
    // (copy, row); validation universes stand once, as they are.
    let items: Vec<(usize, usize)> =
        (0..copies).flat_map(|c| (0..n).map(move |r| (c, r))).chain((n..all).map(|r| (0, r))).collect();
    let (start, len) = share(items.len(), comm.size(), comm.rank());
    let mut mine: Vec<f32> = Vec::new();
    let mut width = 0;
    let chain = before.chain();
    for chunk in items[start..start + len].chunks(CHUNK) {
        // A chunk is of one copy, so that its augmentation has one seed.
        for part in chunk.chunk_by(|a, b| a.0 == b.0) {
            let rows: Vec<usize> = part.iter().map(|i| i.1).collect();
            let x = match part[0].0 {
                0 => table.select(&rows).0,
                copy => table.augmented(&rows, config.seed, copy as u64).0,
            };
            let s = chain.iter().fold(x, |x, model| compress(*model, &x)).to_device(Device::Cpu).to_kind(Kind::Float);
            width = s.size()[1] as usize;
            let mut values = vec![0f32; s.numel()];
            s.contiguous().copy_data(&mut values, s.numel());
            mine.extend(values);
        }
    }
    let values = comm.all_gather(&mine);
    let width = comm.max_of(width as u64) as usize;
    let x = tensor(&Data::F32(values), &[items.len(), width], context.device);
    let rows: Vec<i64> = items.iter().map(|i| i.1 as i64).collect();
    let theta = table.theta.index_select(0, &Tensor::from_slice(&rows).to_device(context.device));
    let train = (0..copies * n).collect();
    Ok(Table { x, theta, train, validation: (copies * n..items.len()).collect(), maps: false })
}
