//! Columns of samples out of their files, and a source that never holds all of them: a thread of its own reads what the networks
//! will ask for, in that order, into bounded memory, while they work.

use super::cut::Cut;
use super::data;
use super::source::{Known, Source};
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::derived::Derived;
use crate::models::{Column, SampleId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use tch::Device;

/// Where one column is read.
#[derive(Clone)]
pub(super) struct Place {
    /// Its name in a batch.
    pub name: String,
    /// Which of the files of earlier stages has it, if one does.
    pub file: Option<usize>,
    /// Its name there, or in the dataset.
    pub field: String,
    /// How pieces of universes come out of it; `None`: all have the universe's, or it has a row for each sample.
    pub cut: Option<Cut>,
}

/// The files of samples.
pub(super) struct Files<'a> {
    pub dataset: &'a Dataset,
    /// What earlier stages made, and whether that is of whole universes, of which samples are pieces.
    pub made: Vec<(&'a Derived, bool)>,
    /// Samples are pieces of universes.
    pub pieces: bool,
}

impl Files<'_> {
    /// Columns of samples.
    pub fn read(&self, places: &[Place], ids: &[SampleId], device: Device) -> Result<Known> {
        let (mut universes, mut pieces): (Vec<usize>, Vec<(i64, u32)>) = (vec![], vec![]);
        for id in ids {
            // Pieces of one universe follow one another: it is read once.
            if !self.pieces || universes.last() != Some(&(id.universe as usize)) {
                universes.push(id.universe as usize);
            }
            pieces.push((universes.len() as i64 - 1, id.item));
        }
        let read = |place: &Place| {
            let column = match place.file.map(|file| &self.made[file]) {
                Some((of, shared)) => data::column(&of.data, &place.field, &rows(of, *shared, ids)?, device)?,
                None => {
                    let whole = data::column(self.dataset, &place.field, &universes, device)?;
                    match &place.cut {
                        Some(cut) => cut.column(&whole, &pieces),
                        None if universes.len() == ids.len() => whole,
                        None => whole.select(&pieces.iter().map(|piece| piece.0).collect::<Vec<_>>()),
                    }
                }
            };
            Ok((place.name.clone(), column))
        };
        places.iter().map(read).collect()
    }
}

/// Rows of samples in what a stage made.
pub(super) fn rows(of: &Derived, shared: bool, ids: &[SampleId]) -> Result<Vec<usize>> {
    let item = |id: &SampleId| if shared { 0 } else { id.item };
    ids.iter().map(|id| of.row(id.universe, item(id))).collect()
}

/// What the thread opens for itself.
pub(super) struct Recipe<D> {
    pub dataset: D,
    pub made: Vec<(PathBuf, bool)>,
    pub pieces: bool,
    pub places: Vec<Place>,
    /// Bytes of a sample, and of all that is read of its universe.
    pub bytes: [u64; 2],
    /// Bytes of samples in memory, at most, or two batches.
    pub memory: u64,
}

/// Batches to be read, and where they go.
struct Job {
    batches: Vec<Vec<SampleId>>,
    to: SyncSender<Result<Window>>,
}

/// Samples of some batches that follow one another.
struct Window {
    rows: HashMap<SampleId, i64>,
    columns: Known,
}

/// Samples that are read while they are needed.
pub struct Disk {
    /// Those to learn from stand first.
    ids: Vec<SampleId>,
    train: usize,
    device: Device,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    coming: Option<Receiver<Result<Window>>>,
    window: Option<Window>,
}

impl Disk {
    /// Of these ids, the first `train` of which are learned from and the others held out.
    pub(super) fn new<D>(ids: Vec<SampleId>, train: usize, device: Device, recipe: Recipe<D>) -> Result<Disk>
    where
        D: FnOnce() -> Result<Dataset> + Send + 'static,
    {
        give_memory_back();
        let (jobs, asked) = channel::<Job>();
        // It makes no call of MPI; HDF5 has one lock for all threads, which is held while something is read and no longer.
        let thread = std::thread::Builder::new().name("reader".into()).spawn(move || work(recipe, &asked));
        let thread = Some(thread.map_err(|e| Error::failed(format!("no thread can be started to read samples: {e}")))?);
        Ok(Disk { ids, train, device, jobs: Some(jobs), thread, coming: None, window: None })
    }

    /// The next window of those that are read ahead; `None`: there is no more.
    fn next(&mut self) -> Result<Option<Window>> {
        match self.coming.as_ref().map(Receiver::recv) {
            Some(Ok(window)) => window.map(Some),
            _ => Ok(None),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever waits to hand over a window, or for more to do, learns that nobody does.
        (self.coming, self.jobs) = (None, None);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Source for Disk {
    fn ids(&self, split: Split) -> &[SampleId] {
        match split {
            Split::Train => &self.ids[..self.train],
            Split::Validation => &self.ids[self.train..],
            Split::Test => &[],
        }
    }

    fn plan(&mut self, batches: Vec<Vec<SampleId>>) {
        let (to, coming) = sync_channel(0);
        (self.coming, self.window) = (Some(coming), None);
        // Where the thread has ended, reading will tell.
        self.jobs.as_ref().map(|jobs| jobs.send(Job { batches, to }));
    }

    fn read(&mut self, ids: &[SampleId]) -> Result<Known> {
        let mut planned = false;
        loop {
            if let Some(Window { rows, columns }) = &self.window
                && let Some(rows) = ids.iter().map(|id| rows.get(id).copied()).collect::<Option<Vec<i64>>>()
            {
                let on = |column: Column| column.to_device(self.device);
                return Ok(columns.iter().map(|(name, column)| (name.clone(), on(column.select(&rows)))).collect());
            }
            // Before the next one takes its memory.
            self.window = None;
            self.window = self.next()?;
            match (&self.window, planned) {
                (Some(_), _) => {}
                (None, false) => {
                    self.plan(vec![ids.to_vec()]);
                    planned = true;
                }
                (None, true) => return Err(Error::failed("the thread that reads samples has ended")),
            }
        }
    }
}

/// Blocks of memory from 1 MiB on go back to the system when they are freed. By itself glibc raises that size up to 32 MB, and
/// freed windows lie scattered among what is kept: with 10 MB of samples allowed, 600 MB were never given back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_memory_back() {
    use std::ffi::c_int;
    const M_MMAP_THRESHOLD: c_int = -3;
    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    // SAFETY: sets a number of the allocator, which any thread may do at any time.
    unsafe { mallopt(M_MMAP_THRESHOLD, 1 << 20) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_memory_back() {}

/// What the thread does.
fn work<D: FnOnce() -> Result<Dataset>>(recipe: Recipe<D>, asked: &Receiver<Job>) {
    let Recipe { dataset, made, pieces, places, bytes, memory } = recipe;
    let opened = dataset().and_then(|dataset| {
        let open = |(path, shared): &(PathBuf, bool)| Ok((Derived::open(path)?, *shared));
        Ok((dataset, made.iter().map(open).collect::<Result<Vec<_>>>()?))
    });
    // One window is used while the next one is read.
    let most = memory / 2;
    while let Ok(Job { batches, to }) = asked.recv() {
        let (dataset, made) = match &opened {
            Ok(opened) => opened,
            Err(e) => {
                drop(to.send(Err(e.clone())));
                continue;
            }
        };
        let files = Files { dataset, made: made.iter().map(|(of, shared)| (of, *shared)).collect(), pieces };
        let (mut left, mut size) = (&batches[..], 1);
        while !left.is_empty() {
            // The first windows are small: the networks wait for them.
            let some = fitting(&left[..left.len().min(size)], bytes, most);
            let (now, later) = left.split_at(some);
            (left, size) = (later, size.saturating_mul(2));
            let mut ids = now.concat();
            // In the order of the file.
            ids.sort_unstable_by_key(|id| (id.universe, id.item));
            ids.dedup();
            let window = files.read(&places, &ids, Device::Cpu).map(|columns| {
                let rows = ids.iter().enumerate().map(|(row, &id)| (id, row as i64)).collect();
                Window { rows, columns }
            });
            let failed = window.is_err();
            if to.send(window).is_err() || failed {
                break;
            }
        }
    }
}

/// How many batches, at least one, fit into so many bytes.
fn fitting(batches: &[Vec<SampleId>], [sample, universe]: [u64; 2], most: u64) -> usize {
    let mut universes = std::collections::HashSet::new();
    let mut samples = 0u64;
    let fits = |batch: &&Vec<SampleId>| {
        samples += batch.len() as u64;
        universes.extend(batch.iter().map(|id| id.universe));
        samples.saturating_mul(sample).saturating_add((universes.len() as u64).saturating_mul(universe)) <= most
    };
    batches.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit_into_memory() {
        let batches: Vec<Vec<SampleId>> =
            (0..5).map(|b| vec![SampleId::of(b), SampleId { universe: b, item: 1 }]).collect();
        assert_eq!(fitting(&batches, [10, 0], 1000), 5);
        assert_eq!(fitting(&batches, [10, 0], 60), 3);
        assert_eq!(fitting(&batches, [10, 20], 85), 2);
        assert_eq!(fitting(&batches, [10, 0], 5), 1, "a batch is read whatever it takes");
    }
}
