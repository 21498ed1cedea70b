//! Where the columns of a stage's samples come from: fields of the dataset, its parameters, and what earlier stages made of it.

use super::StageConfig;
use super::chain::{Chain, Frozen, LINK, Trained};
use super::context::{Context, find, made};
use super::data;
use super::foreseen::check_places;
use super::pieces::{Pieces, cutter, seen};
use super::reader::{Disk, Files, Place, Recipe, rows};
use super::source::{Known, Memory, Source};
use super::trainer::LOOK;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::derived::Derived;
use crate::io::field::FieldSpec;
use crate::io::looks::Looks;
use crate::models::{Batch, Pass, SampleId, named};
use crate::simulators::budget::size;
use tch::Device;

/// What an earlier stage made.
struct Made {
    stage: String,
    derived: Derived,
    /// Where the stages of its chain stand in that of the stage that reads it.
    links: Vec<u64>,
    /// It is of whole universes, and the stage's samples are pieces of them, which share it.
    shared: bool,
}

/// The columns of a stage's samples.
pub struct Columns<'a> {
    pub dataset: &'a Dataset,
    device: Device,
    sources: Vec<Made>,
    /// Those that are read, the targets last.
    places: Vec<Place>,
    learned: usize,
    /// What they are, by their names in a batch.
    pub inputs: Vec<FieldSpec>,
    pub targets: Vec<FieldSpec>,
    /// Names in a batch of what is made anew wherever samples are seen, what it is, and the networks that make it.
    reads: Vec<(String, String)>,
    pub(super) frozen: Option<Frozen>,
    /// The samples' where they are no whole universes.
    pub(super) pieces: Option<Pieces>,
}

impl<'a> Columns<'a> {
    /// Fields of a dataset, each by its name in a batch and the field that it is.
    pub fn of_dataset(dataset: &'a Dataset, fields: &[(&str, &str)], device: Device) -> Result<Self> {
        let spec = |&(name, field): &(&str, &str)| Ok(FieldSpec { name: name.into(), ..data::spec(dataset, field)? });
        let inputs = fields.iter().map(spec).collect::<Result<_>>()?;
        let place =
            |&(name, field): &(&str, &str)| Place { name: name.into(), file: None, field: field.into(), cut: None };
        let (sources, targets, reads, learned) = (vec![], vec![], vec![], fields.len());
        let (places, frozen, pieces) = (fields.iter().map(place).collect(), None, None);
        Ok(Columns { dataset, device, sources, places, learned, inputs, targets, reads, frozen, pieces })
    }

    /// Those of a stage. Every rank opens the same files, which are there.
    pub(super) fn open(context: &Context<'a>, name: &str) -> Result<Self> {
        let stage = find(context.stages, name)?;
        let below = if stage.frozen { vec![] } else { context.records.sources(name) };
        let (dataset, device, own) = (context.dataset, context.device, context.records.chain(&stage.name));
        let pieces = Pieces::of(context.stages, stage, &|name| data::spec(dataset, name).ok())?;
        let source = |stage: &&str| -> Result<Made> {
            let shared = pieces.is_some() && cutter(context.stages, find(context.stages, stage)?).is_none();
            let place = |link: &&str| own.iter().position(|other| other == link).unwrap_or_default() as u64;
            let links = context.records.chain(stage).iter().map(place).collect();
            Ok(Made { stage: stage.to_string(), derived: Derived::open(&context.records.made(stage))?, links, shared })
        };
        let sources = below.iter().map(source).collect::<Result<Vec<_>>>()?;
        let chain = if stage.frozen { &own[..own.len() - 1] } else { &[] };
        let chain = Chain::load(context, chain, false)?;
        let cut = |whole: &FieldSpec| pieces.as_ref().and_then(|pieces| pieces.cut(whole));
        let (mut places, mut reads) = (vec![], vec![]);
        let mut of = |names: &[String], alone: &str, places: &mut Vec<Place>| -> Result<Vec<FieldSpec>> {
            let made = |name: &String| made(context.stages, name);
            let file = |stage: &str| sources.iter().position(|source| source.stage == stage);
            let specs = match stage.frozen {
                true => chain.specs(context, names, alone, pieces.as_ref())?,
                false => named(
                    names
                        .iter()
                        .map(|name| match made(name).and_then(|(s, f)| Some((file(&s)?, f))) {
                            Some((file, field)) => {
                                Ok(FieldSpec { name: name.clone(), ..sources[file].derived.data.spec(&field)? })
                            }
                            None => Ok(seen(pieces.as_ref(), data::spec(dataset, name)?)),
                        })
                        .collect::<Result<_>>()?,
                    alone,
                ),
            };
            for (name, spec) in names.iter().zip(&specs) {
                match made(name) {
                    None => {
                        let cut = cut(&data::spec(dataset, name)?);
                        places.push(Place { name: spec.name.clone(), file: None, field: name.clone(), cut });
                    }
                    Some((stage, field)) => match file(&stage) {
                        Some(file) => {
                            places.push(Place { name: spec.name.clone(), file: Some(file), field, cut: None });
                        }
                        None => reads.push((spec.name.clone(), format!("{stage}/{field}"))),
                    },
                }
            }
            Ok(specs)
        };
        let inputs = of(&stage.input, "x", &mut places)?;
        let place = |spec: &FieldSpec| (format!("/{}", spec.name), spec.name.clone(), cut(spec));
        let below = chain.fields.iter().map(place);
        places.extend(below.map(|(name, field, cut)| Place { name, file: None, field, cut }));
        let learned = places.len();
        let targets = of(&stage.target, "target", &mut places)?;
        let copies = stage.copies > 1 || context.records.copies(name) > 1;
        check_places(context.stages, stage, &[&inputs[..], &targets].concat(), copies)?;
        let frozen = stage.frozen.then(|| Frozen { chain, reads: reads.clone() });
        Ok(Columns { dataset, device, sources, places, learned, inputs, targets, reads, frozen, pieces })
    }

    /// What a column is called for whoever reads of it.
    pub fn called(&self, name: &str) -> String {
        let made = self.reads.iter().find(|(made, _)| made == name);
        match (self.places.iter().find(|place| place.name == name), made) {
            (Some(Place { file: Some(file), field, .. }), _) => format!("{field} of {}", self.sources[*file].stage),
            (Some(place), _) => place.field.clone(),
            (None, Some((_, of))) => {
                of.split_once('/').map_or(of.clone(), |(stage, field)| format!("{field} of {stage}"))
            }
            (None, None) => name.into(),
        }
    }

    /// True for a stage that reads nothing but whole universes of the dataset.
    pub fn plain(&self) -> bool {
        self.sources.is_empty() && self.reads.is_empty() && self.pieces.is_none()
    }

    /// The samples of these universes: `copies` of each, or all pieces of them.
    pub fn ids(&self, universes: &[usize], copies: u32) -> Result<Vec<SampleId>> {
        let of = |item| universes.iter().map(move |&row| SampleId { universe: row as u64, item });
        match &self.pieces {
            Some(pieces) => pieces.ids(self.dataset, universes),
            None => Ok((0..copies).flat_map(of).collect()),
        }
    }

    /// The inputs of samples, or all.
    pub fn read(&self, ids: &[SampleId], targets: bool) -> Result<Known> {
        let made = self.sources.iter().map(|source| (&source.derived, source.shared)).collect();
        let files = Files { dataset: self.dataset, made, pieces: self.pieces.is_some() };
        files.read(&self.places[..if targets { self.places.len() } else { self.learned }], ids, self.device)
    }

    /// How samples looked to the networks of the stages below.
    fn looks(&self, ids: &[SampleId]) -> Result<Looks> {
        let mut all = Looks::new(ids.len());
        for source in &self.sources {
            for (i, row) in rows(&source.derived, source.shared, ids)?.into_iter().enumerate() {
                let (found, most) = (&source.derived.looks, source.derived.looks.most[row]);
                let link = source.links.get((most >> LINK) as usize).copied().unwrap_or_default();
                all.refuse(i, found.unfit[row]);
                all.see(i, found.outside[row], found.distance[row], link << LINK | most & ((1 << LINK) - 1));
            }
        }
        Ok(all)
    }

    /// Samples of the dataset as a stage sees them, whose columns these are, and how they look to all networks on the way.
    pub fn seen_by(&self, trained: &Trained, ids: &[SampleId], pass: Pass) -> Result<(Batch, Looks)> {
        let columns = self.read(ids, false)?;
        if self.reads.is_empty() {
            return trained.of_columns(columns, self.looks(ids)?, ids, pass);
        }
        let fields = columns.into_iter().map(|(name, column)| (self.called(&name), column));
        trained.of_fields(fields.collect(), ids, pass)
    }

    /// The samples of a stage: those to learn from, as often as there are to be `copies` of a universe, and how many these are,
    /// then those that say when to stop.
    fn samples(&self, copies: u32) -> Result<(Vec<SampleId>, usize)> {
        let (train, validation) = self.dataset.learned()?;
        let mut ids = self.ids(&train, if self.sources.is_empty() { 1 } else { copies })?;
        let (learned, held) = (ids.len(), self.ids(&validation, 1)?);
        for (split, ids) in [("train", &ids), ("validation", &held)] {
            if ids.is_empty() {
                let error = Error::input(format!("no universe of the {split} split has a row: there are no samples"));
                return Err(error.file(&self.dataset.path).remedy("give that split more universes"));
            }
        }
        ids.extend(held);
        Ok((ids, learned))
    }

    /// All samples in memory, with the parameters.
    pub fn memory(&self, copies: u32) -> Result<Memory> {
        let (ids, learned) = self.samples(copies)?;
        let universes: Vec<usize> = ids.iter().map(|id| id.universe as usize).collect();
        let mut columns = self.read(&ids, true)?;
        columns.push(("theta".into(), data::column(self.dataset, "theta", &universes, self.device)?));
        Ok(Memory::new(columns, ids, learned))
    }

    /// The same, of which so many bytes are in memory at a time, or two batches.
    pub fn disk(&self, copies: u32, memory: u64) -> Result<Disk> {
        let (ids, learned) = self.samples(copies)?;
        let made = self.sources.iter().map(|source| (source.derived.data.path.clone(), source.shared)).collect();
        let theta = Place { name: "theta".into(), file: None, field: "theta".into(), cut: None };
        let places = self.places.iter().cloned().chain([theta]).collect();
        let (pieces, bytes) = (self.pieces.is_some(), self.bytes()?);
        let recipe = Recipe { dataset: self.dataset.again(), made, pieces, places, bytes, memory };
        Disk::new(ids, learned, self.device, recipe)
    }

    /// Bytes of a sample, and of all that is read of its universe where it is a piece of one; lists count nothing.
    fn bytes(&self) -> Result<[u64; 2]> {
        let mut all = [8 * self.dataset.prior.len() as u64, 0];
        for place in &self.places {
            let whole = match place.file {
                Some(file) => self.sources[file].derived.data.spec(&place.field)?,
                None => data::spec(self.dataset, &place.field)?,
            };
            let spec = place.cut.as_ref().map_or_else(|| whole.clone(), |cut| cut.spec(whole.clone()));
            // Whole numbers come in double precision.
            let of = |spec: &FieldSpec| if spec.ragged { 0 } else { spec.bytes() };
            all[0] += of(&spec);
            all[1] += if self.pieces.is_some() && place.file.is_none() { of(&whole) } else { 0 };
        }
        Ok(all)
    }

    /// The stage's samples where they are best kept: in memory, if they fit into what the stage allows, or into half of what the
    /// node's ranks have each; else on disk. Both are seen in the same order, with the same numbers. Collective.
    pub(super) fn source(&self, comm: &Comm, stage: &StageConfig) -> Result<Box<dyn Source>> {
        let here = comm.ranks_on_this_node() as u64;
        let open = || -> Result<Box<dyn Source>> {
            let ((ids, _), [sample, universe]) = (self.samples(stage.copies as u32)?, self.bytes()?);
            let all = sample.saturating_mul(ids.len() as u64);
            let free = available().map(|bytes| bytes / here / 2);
            let Some(memory) = stage.data.memory.map(|bytes| bytes.0).or(free).filter(|&memory| all > memory) else {
                return Ok(Box::new(self.memory(stage.copies as u32)?));
            };
            let batch = stage.batch_size.max(LOOK).div_ceil(comm.size()) as u64 * (sample + universe);
            if 2 * batch > memory {
                let problem = format!(
                    "two batches, or twice {LOOK} samples, take {} on each rank, and {} are {}",
                    size(2 * batch),
                    size(memory),
                    if stage.data.memory.is_some() { "allowed" } else { "free for it" }
                );
                let error = Error::input(problem).key(format!("train.{}.data.memory", stage.name));
                return Err(error.remedy("allow more, use more ranks, or lower batch_size where it is larger"));
            }
            if comm.is_root() {
                let (all, most) = (size(all), size(memory));
                log::info!("train {}: {all} of samples are read while they are needed, {most} at a time", stage.name);
            }
            Ok(Box::new(self.disk(stage.copies as u32, memory)?))
        };
        comm.agree(open())
    }
}

/// Bytes of memory that are free on this node, where the system tells.
fn available() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}
