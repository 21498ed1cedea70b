//! Where the columns of a stage's samples come from: fields of the dataset, its parameters, and what earlier stages made of it.

use super::chain::{Chain, Frozen, LINK, Trained};
use super::context::{Context, find, made};
use super::source::{Known, Memory};
use super::{data, view};
use crate::error::Result;
use crate::io::dataset::Dataset;
use crate::io::derived::Derived;
use crate::io::field::FieldSpec;
use crate::io::looks::Looks;
use crate::models::{Batch, Pass, SampleId, named};
use tch::Device;

/// One column.
struct Place {
    /// Its name in a batch.
    name: String,
    /// Which of the files has it, if one does.
    file: Option<usize>,
    /// Its name there, or in the dataset.
    field: String,
}

/// What an earlier stage made.
struct Source {
    stage: String,
    derived: Derived,
    /// Where the stages of its chain stand in that of the stage that reads it.
    links: Vec<u64>,
}

/// The columns of a stage's samples.
pub struct Columns<'a> {
    pub dataset: &'a Dataset,
    device: Device,
    sources: Vec<Source>,
    /// Those that are read, the targets last.
    places: Vec<Place>,
    learned: usize,
    /// What they are, by their names in a batch.
    pub inputs: Vec<FieldSpec>,
    pub targets: Vec<FieldSpec>,
    /// Names in a batch of what is made anew wherever samples are seen, what it is, and the networks that make it.
    reads: Vec<(String, String)>,
    pub(super) frozen: Option<Frozen>,
}

impl<'a> Columns<'a> {
    /// Fields of a dataset, each by its name in a batch and the field that it is.
    pub fn of_dataset(dataset: &'a Dataset, fields: &[(&str, &str)], device: Device) -> Result<Self> {
        let spec = |&(name, field): &(&str, &str)| Ok(FieldSpec { name: name.into(), ..data::spec(dataset, field)? });
        let inputs = fields.iter().map(spec).collect::<Result<_>>()?;
        let place = |&(name, field): &(&str, &str)| Place { name: name.into(), file: None, field: field.into() };
        let (sources, targets, reads, learned) = (vec![], vec![], vec![], fields.len());
        let places = fields.iter().map(place).collect();
        Ok(Columns { dataset, device, sources, places, learned, inputs, targets, reads, frozen: None })
    }

    /// Those of a stage. Every rank opens the same files, which are there.
    pub(super) fn open(context: &Context<'a>, name: &str) -> Result<Self> {
        let stage = find(context.stages, name)?;
        let below = if stage.frozen { vec![] } else { context.records.sources(name) };
        let (dataset, device, own) = (context.dataset, context.device, context.records.chain(&stage.name));
        let source = |stage: &&str| -> Result<Source> {
            let place = |link: &&str| own.iter().position(|other| other == link).unwrap_or_default() as u64;
            let links = context.records.chain(stage).iter().map(place).collect();
            Ok(Source { stage: stage.to_string(), derived: Derived::open(&context.records.made(stage))?, links })
        };
        let sources = below.iter().map(source).collect::<Result<Vec<_>>>()?;
        let chain = if stage.frozen { &own[..own.len() - 1] } else { &[] };
        let chain = Chain::load(context, chain, false)?;
        let (mut places, mut reads) = (vec![], vec![]);
        let mut of = |names: &[String], alone: &str, places: &mut Vec<Place>| -> Result<Vec<FieldSpec>> {
            let made = |name: &String| made(context.stages, name);
            let file = |stage: &str| sources.iter().position(|source| source.stage == stage);
            let specs = match stage.frozen {
                true => chain.specs(context, names, alone)?,
                false => named(
                    names
                        .iter()
                        .map(|name| match made(name).and_then(|(s, f)| Some((file(&s)?, f))) {
                            Some((file, field)) => {
                                Ok(FieldSpec { name: name.clone(), ..sources[file].derived.data.spec(&field)? })
                            }
                            None => data::spec(dataset, name),
                        })
                        .collect::<Result<_>>()?,
                    alone,
                ),
            };
            for (name, spec) in names.iter().zip(&specs) {
                match made(name) {
                    None => places.push(Place { name: spec.name.clone(), file: None, field: name.clone() }),
                    Some((stage, field)) => match file(&stage) {
                        Some(file) => places.push(Place { name: spec.name.clone(), file: Some(file), field }),
                        None => reads.push((spec.name.clone(), format!("{stage}/{field}"))),
                    },
                }
            }
            Ok(specs)
        };
        let inputs = of(&stage.input, "x", &mut places)?;
        let fields = chain.fields.iter().map(|spec| spec.name.clone());
        places.extend(fields.map(|field| Place { name: format!("/{field}"), file: None, field }));
        let learned = places.len();
        let targets = of(&stage.target, "target", &mut places)?;
        let copies = stage.copies > 1 || context.records.copies(name) > 1;
        view::check_places(context.stages, stage, &[&inputs[..], &targets].concat(), copies)?;
        let frozen = stage.frozen.then(|| Frozen { chain, reads: reads.clone() });
        Ok(Columns { dataset, device, sources, places, learned, inputs, targets, reads, frozen })
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

    /// True for a stage that reads nothing but the dataset.
    pub fn plain(&self) -> bool {
        self.sources.is_empty() && self.reads.is_empty()
    }

    /// Rows of samples in what a stage made.
    fn rows(source: &Source, ids: &[SampleId]) -> Result<Vec<usize>> {
        ids.iter().map(|id| source.derived.row(id.universe, id.item)).collect()
    }

    /// The inputs of samples, or all.
    pub fn read(&self, ids: &[SampleId], targets: bool) -> Result<Known> {
        let universes: Vec<usize> = ids.iter().map(|id| id.universe as usize).collect();
        let read = |place: &Place| {
            let column = match place.file.map(|file| &self.sources[file]) {
                None => data::column(self.dataset, &place.field, &universes, self.device),
                Some(of) => data::column(&of.derived.data, &place.field, &Self::rows(of, ids)?, self.device),
            };
            Ok((place.name.clone(), column?))
        };
        self.places[..if targets { self.places.len() } else { self.learned }].iter().map(read).collect()
    }

    /// How samples looked to the networks of the stages below.
    fn looks(&self, ids: &[SampleId]) -> Result<Looks> {
        let mut all = Looks::new(ids.len());
        for source in &self.sources {
            for (i, row) in Self::rows(source, ids)?.into_iter().enumerate() {
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

    /// All samples in memory, with the parameters: those to learn from, as often as there are to be `copies` of a universe, then
    /// those that say when to stop.
    pub fn memory(&self, copies: u32) -> Result<Memory> {
        let (train, validation) = self.dataset.learned()?;
        let id = |item| move |&row: &usize| SampleId { universe: row as u64, item };
        let copies = if self.sources.is_empty() { 1 } else { copies };
        let mut ids: Vec<SampleId> = (0..copies).flat_map(|item| train.iter().map(id(item))).collect();
        let learned = ids.len();
        ids.extend(validation.iter().map(id(0)));
        let universes: Vec<usize> = ids.iter().map(|id| id.universe as usize).collect();
        let mut columns = self.read(&ids, true)?;
        columns.push(("theta".into(), data::column(self.dataset, "theta", &universes, self.device)?));
        Ok(Memory::new(columns, ids, learned))
    }
}
