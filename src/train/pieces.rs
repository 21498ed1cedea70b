//! `[train.data.pieces]`: samples that are pieces of universes: crops of boxes and maps, single views, rows of lists. What is of no
//! piece by itself (parameters, spectra) belongs to all pieces of its universe. Splits go by universe, as ever.

use super::{StageConfig, source};
use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::{AxisKind, FieldSpec};
use crate::limits;
use crate::list::OneOrMany;
use crate::models::{Column, SampleId};
use crate::nets::whole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// `[train.data.pieces]`: into what a universe is cut; one of `side`, `along` and `rows` says how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiecesConfig {
    /// Crops with so many points along each axis in space, or one number for each axis. Of grids of several sizes in one space
    /// these are points of the coarsest, and the same part of each is cut out. They cover all of a field: crops of a periodic
    /// axis go round it, those of a flat one lie inside; where a side is no whole number of steps (`side` less `overlap`), the last
    /// shares more than `overlap` with its neighbour.
    #[serde(skip_serializing_if = "whole_side")]
    #[schemars(extend("x-default" = "none"))]
    pub side: OneOrMany<usize>,
    /// Points that neighbouring crops share along each axis.
    pub overlap: usize,
    /// Each index of the fields' axis of this kind by itself: `"view"`, or `"channel"`, `"slab"`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub along: Option<AxisKind>,
    /// Each row of a list (a halo, a galaxy) by itself. All lists of the stage have as many rows in each universe.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("x-default" = "`false`"))]
    pub rows: bool,
}

fn whole_side(side: &OneOrMany<usize>) -> bool {
    side.is_empty()
}

impl PiecesConfig {
    /// Refuses what is wrong with any data.
    pub(super) fn check(&self, key: &str) -> Result<()> {
        let ways = [("side", !self.side.is_empty()), ("along", self.along.is_some()), ("rows", self.rows)];
        let given: Vec<&str> = ways.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if given.len() != 1 {
            let problem = match given[..] {
                [] => "says nothing of how a universe is cut".to_string(),
                _ => format!("cuts a universe in {} ways: by {}", given.len(), given.join(" and by ")),
            };
            return Err(Error::input(problem).key(key).remedy("give one of `side`, `along` and `rows`"));
        }
        let refuse = |name: &str, value: String, problem: &str, remedy: &str| {
            let error = Error::input(problem).key(format!("{key}.{name}")).remedy(remedy);
            Err(Error { value: Some(value), ..error })
        };
        if self.overlap > 0 && given != ["side"] {
            let problem = "belongs to crops";
            return refuse("overlap", self.overlap.to_string(), problem, "give `side`, or leave it out");
        }
        if self.side.contains(&0) {
            return refuse("side", format!("{:?}", self.side.0), "must be at least 1", "give a positive number");
        }
        if let Some(side) = self.side.iter().find(|side| self.overlap >= **side) {
            let remedy = format!("give less than the side of a crop, {side}");
            return refuse("overlap", self.overlap.to_string(), "leaves no step from crop to crop", &remedy);
        }
        match self.along {
            Some(kind) if kind.is_spatial() => {
                refuse("along", kind.to_string(), "lies in space", "cut it by `side`, with `overlap`")
            }
            Some(AxisKind::Unsaid) => refuse("along", "unsaid".into(), "is no kind of axis", "\"view\" is usual"),
            _ => Ok(()),
        }
    }
}

/// The stage whose pieces of universes a stage's samples are, where they are: it says so, or one below it does.
pub fn cutter<'a>(stages: &'a [StageConfig], stage: &'a StageConfig) -> Option<&'a StageConfig> {
    if stage.data.pieces.is_some() {
        return Some(stage);
    }
    let before = before(stages, stage);
    stage.columns().find_map(|(_, name)| cutter(before, source(before, name)?))
}

fn before<'a>(stages: &'a [StageConfig], stage: &StageConfig) -> &'a [StageConfig] {
    &stages[..stages.iter().position(|other| other.name == stage.name).unwrap_or(0)]
}

/// The pieces that a stage's samples are.
#[derive(Debug, Clone)]
pub struct Pieces {
    way: Way,
    /// The fields of the dataset that it reads (behind frozen networks theirs too), whole, by the campaign's names.
    fields: Vec<FieldSpec>,
}

#[derive(Debug, Clone)]
enum Way {
    /// Along each axis in space, in points of the coarsest grid.
    Crops(Vec<Crops>),
    /// Kind and length of the axis.
    Along(AxisKind, usize),
    Rows,
}

/// How an axis is cut: its points, those of a crop, and where each begins. One that goes beyond the end goes on at the beginning.
#[derive(Debug, Clone)]
pub struct Crops {
    n: usize,
    side: usize,
    starts: Vec<usize>,
}

impl Pieces {
    /// Those of a stage; `None`: its samples are whole. `spec`: the dataset's field of this name, where it has one.
    pub fn of(
        stages: &[StageConfig],
        stage: &StageConfig,
        spec: &dyn Fn(&str) -> Option<FieldSpec>,
    ) -> Result<Option<Pieces>> {
        let before = before(stages, stage);
        let (mut fields, mut below): (Vec<FieldSpec>, Vec<(&StageConfig, Option<Pieces>)>) = (vec![], vec![]);
        for (_, name) in stage.columns() {
            match source(before, name) {
                Some(source) => below.push((source, Pieces::of(before, source, spec)?)),
                // Parameters are not cut.
                None => fields.push(FieldSpec {
                    name: name.into(),
                    ..spec(name).unwrap_or_else(|| FieldSpec::of(name, &[], &[]))
                }),
            }
        }
        let key = |key: &str| format!("train.{}.{key}", stage.name);
        let refuse =
            |name: &str, problem: String, remedy: String| Err(Error::input(problem).key(key(name)).remedy(remedy));
        let own = stage.data.pieces.as_ref();
        let mut all = own.map(|config| Pieces::new(config, &key("data.pieces"), fields.clone())).transpose()?;
        for (source, theirs) in &below {
            match (&mut all, theirs) {
                (Some(mine), Some(theirs)) if !mine.way.is_alike(&theirs.way) => {
                    let problem =
                        format!("what stage {} makes is of other pieces of a universe than the rest", source.name);
                    return refuse("input", problem, "cut all of it alike, in [train.data.pieces]".into());
                }
                (Some(mine), Some(theirs)) => mine.fields.extend(theirs.fields.clone()),
                (None, Some(theirs)) => all = Some(theirs.clone()),
                (_, None) => {}
            }
        }
        let Some(mut all) = all else { return Ok(None) };
        if let (None, Some(field)) = (own, fields.iter().find(|field| !matches!(all.cut(field), Cut::Shared))) {
            let of =
                cutter(before, stage).or(below.iter().find(|b| b.1.is_some()).map(|b| b.0)).map_or("", |s| &s.name);
            let problem =
                format!("{} is of whole universes, and beside it stands what is made of their pieces", field.name);
            let remedy = format!("give it a [train.data.pieces] like that of stage {of}; or leave that field out");
            return refuse("input", problem, remedy);
        }
        if let (true, Some((source, _))) = (stage.frozen, below.iter().find(|(_, theirs)| theirs.is_none())) {
            let problem = format!("stage {} looks at whole universes, and this one at pieces of them", source.name);
            return refuse("frozen", problem, "leave it out: its outputs are then read from a file".into());
        }
        all.fields.extend(fields);
        Ok(Some(all))
    }

    fn new(config: &PiecesConfig, key: &str, fields: Vec<FieldSpec>) -> Result<Pieces> {
        config.check(key)?;
        let refuse = |name: &str, value: String, problem: String, remedy: &str| {
            let error = Error::input(problem).key(format!("{key}.{name}")).remedy(remedy);
            Err(Error { value: Some(value), ..error })
        };
        let names = || match &fields[..] {
            [] => "the stage, which reads no field of the dataset,".to_string(),
            all => all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        if config.rows {
            return match fields.iter().any(|field| field.ragged) {
                true => Ok(Pieces { way: Way::Rows, fields }),
                false => refuse("rows", "true".into(), format!("{} has no list", names()), "name a list as its input"),
            };
        }
        if let Some(kind) = config.along {
            let refuse = |problem, remedy: &str| refuse("along", kind.to_string(), problem, remedy);
            let with = |field: &&FieldSpec| field.kinds().contains(&kind);
            let Some(first) = fields.iter().find(with) else {
                let problem = format!("{} has no axis of that kind", names());
                return refuse(problem, "choose the kind of one of its axes, which [dataset.axes] may say");
            };
            let at = |field: &FieldSpec| field.kinds().iter().position(|k| *k == kind).unwrap_or_default();
            let n = first.shape[at(first)];
            for field in fields.iter().filter(with) {
                if field.ragged {
                    return refuse(format!("{} is a list", field.name), "`rows = true` has each of its rows by itself");
                }
                if field.kinds().iter().filter(|k| **k == kind).count() > 1 {
                    return refuse(format!("{} has several axes of that kind", field.name), "leave one of them");
                }
                if !field.axes[at(field)].spins.is_empty() {
                    let problem = format!("this axis of {} are components, which belong together", field.name);
                    return refuse(problem, "leave it out");
                }
                if field.shape[at(field)] != n {
                    let has = field.shape[at(field)];
                    let problem = format!("{} has {n} of them, and {} has {has}", first.name, field.name);
                    return refuse(problem, "give the stage fields that have as many");
                }
            }
            limits::at_most(format!("{key}.along"), n, limits::PIECES)?;
            return Ok(Pieces { way: Way::Along(kind, n), fields });
        }
        let sides = || format!("{:?}", config.side.0);
        let refuse = |problem: String, remedy: &str| refuse("side", sides(), problem, remedy);
        if let Some(list) = fields.iter().find(|field| field.ragged) {
            let problem = format!("{} is a list, which is not cut in space", list.name);
            return refuse(problem, "leave that column out, or make a field of it");
        }
        let space = |field: &FieldSpec| field.kinds().into_iter().filter(|k| k.is_spatial()).collect::<Vec<_>>();
        let placed: Vec<&FieldSpec> = fields.iter().filter(|field| !space(field).is_empty()).collect();
        let Some(kinds) = placed.first().map(|field| space(field)) else {
            let remedy = "leave it out, or say in [dataset.axes] which axes are \"periodic\" or \"flat\"";
            return refuse(format!("{} has no axes in space", names()), remedy);
        };
        if matches!(kinds[0], AxisKind::Healpix { .. }) {
            let problem = format!("{} has pixels of the sphere, which are not cut here", placed[0].name);
            return refuse(problem, "cut flat patches out of it where the maps are made");
        }
        if let Some(other) = placed.iter().find(|field| space(field) != kinds) {
            let problem = format!("{} and {} do not lie in one space", placed[0].name, other.name);
            return refuse(problem, "give each a stage of its own");
        }
        let d = kinds.len();
        if ![1, d].contains(&config.side.len()) {
            let problem = format!("has {} numbers, and {} {d} axes in space", config.side.len(), placed[0].name);
            return refuse(problem, "give one number, or one for each");
        }
        let mut way = vec![];
        for axis in 0..d {
            let length = |field: &FieldSpec| field.shape[field.shape.len() - d + axis];
            let n = placed.iter().map(|field| length(field)).min().unwrap_or_default();
            if let Some(field) = placed.iter().find(|field| n == 0 || length(field) % n != 0) {
                let problem =
                    format!("{} has {} points on a side, no whole multiple of {n}", field.name, length(field));
                return refuse(problem, "give fields whose grids are whole parts of one another");
            }
            let side = config.side[axis.min(config.side.len() - 1)];
            if side > n {
                let problem = format!("is more than the {n} points on a side of {}", placed[0].name);
                return refuse(problem, &format!("give at most {n}, of the coarsest grid"));
            }
            let (step, last) = (side - config.overlap, n - side);
            let starts = match kinds[0] {
                AxisKind::Periodic => (0..n.div_ceil(step)).map(|i| i * step).collect(),
                _ => (0..=last.div_ceil(step)).map(|i| (i * step).min(last)).collect(),
            };
            way.push(Crops { n, side, starts });
        }
        let each: Vec<usize> = way.iter().map(|axis| axis.starts.len()).collect();
        let remedy = "give larger crops, or a smaller overlap";
        limits::product_at_most(&format!("{key}.side"), &each, "crops of a universe", limits::PIECES, remedy)?;
        Ok(Pieces { way: Way::Crops(way), fields })
    }

    /// A field that is read, before it is cut.
    pub fn whole(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// How a field of the dataset is cut.
    pub fn cut(&self, whole: &FieldSpec) -> Cut {
        match &self.way {
            Way::Crops(axes) if whole.kinds().iter().any(|kind| kind.is_spatial()) => {
                let sides = &whole.shape[whole.shape.len().saturating_sub(axes.len())..];
                let scaled = |(axis, &n): (&Crops, &usize)| {
                    let scaled = |points: usize| points * n / axis.n;
                    Crops { n, side: scaled(axis.side), starts: axis.starts.iter().map(|&s| scaled(s)).collect() }
                };
                Cut::Crops(axes.iter().zip(sides).map(scaled).collect())
            }
            Way::Along(kind, _) => whole.kinds().iter().position(|k| k == kind).map_or(Cut::Shared, Cut::Along),
            Way::Rows if whole.ragged => Cut::Rows,
            _ => Cut::Shared,
        }
    }

    /// Pieces of each universe; `None`: as many as its lists have rows.
    pub fn count(&self) -> Option<usize> {
        match &self.way {
            Way::Crops(axes) => Some(axes.iter().map(|axis| axis.starts.len()).product()),
            Way::Along(_, n) => Some(*n),
            Way::Rows => None,
        }
    }

    /// Pieces of these universes of a dataset.
    pub(super) fn counts(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<u32>> {
        if let Some(n) = self.count() {
            return Ok(vec![n as u32; rows.len()]);
        }
        let mut first: Option<(&str, Vec<u32>)> = None;
        for list in self.fields.iter().filter(|field| field.ragged) {
            let ends = dataset.offsets(&list.name)?;
            let lengths: Vec<u32> = rows.iter().map(|&row| (ends[row + 1] - ends[row]) as u32).collect();
            let Some((name, before)) = &first else {
                first = Some((&list.name, lengths));
                continue;
            };
            if let Some(i) = (0..rows.len()).find(|&i| lengths[i] != before[i]) {
                let problem = format!(
                    "universe {} has {} rows, but {} of {name}: these are no pieces alike",
                    rows[i], lengths[i], before[i]
                );
                let error = Error::input(problem).file(&dataset.path).key(&list.name);
                return Err(error.remedy("give the stage lists of the same things"));
            }
        }
        let (name, counts) = first.unwrap_or_default();
        let (none, all) = (counts.iter().filter(|n| **n == 0).count(), counts.len());
        if none > 0 {
            log::info!(
                "{}: {none} of {all} universes have no rows in {name}, and give no sample",
                dataset.path.display()
            );
        }
        Ok(counts)
    }

    /// All pieces of these universes of a dataset.
    pub(super) fn ids(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<SampleId>> {
        let pieces = |(&row, n)| (0..n).map(move |item| SampleId { universe: row as u64, item });
        Ok(rows.iter().zip(self.counts(dataset, rows)?).flat_map(pieces).collect())
    }
}

impl Way {
    /// True for the same parts of a universe.
    fn is_alike(&self, other: &Way) -> bool {
        let axis = |(a, b): (&Crops, &Crops)| {
            let same = |(s, t): (&usize, &usize)| s * b.n == t * a.n;
            same((&a.side, &b.side)) && a.starts.len() == b.starts.len() && a.starts.iter().zip(&b.starts).all(same)
        };
        match (self, other) {
            (Way::Crops(a), Way::Crops(b)) => a.len() == b.len() && a.iter().zip(b).all(axis),
            (Way::Along(_, a), Way::Along(_, b)) => a == b,
            (Way::Rows, Way::Rows) => true,
            _ => false,
        }
    }
}

/// What a field is to a stage that sees pieces of universes, or whole ones.
pub fn seen(pieces: Option<&Pieces>, whole: FieldSpec) -> FieldSpec {
    pieces.map_or(Cut::Own, |pieces| pieces.cut(&whole)).spec(whole)
}

/// How pieces come out of a column of universes.
#[derive(Debug, Clone, Default)]
pub enum Cut {
    /// It has a row for each sample already.
    #[default]
    Own,
    /// All pieces have the universe's.
    Shared,
    /// Of the last axes; the last changes fastest from piece to piece.
    Crops(Vec<Crops>),
    /// The axis of a universe.
    Along(usize),
    /// Rows of its list.
    Rows,
}

impl Cut {
    /// What a piece is: one that was cut out of a periodic box ends at its edges.
    pub fn spec(&self, whole: FieldSpec) -> FieldSpec {
        let mut spec = whole;
        match self {
            Cut::Own | Cut::Shared => {}
            Cut::Crops(axes) => {
                let first = spec.shape.len() - axes.len();
                for (i, crops) in axes.iter().enumerate() {
                    let axis = &mut spec.axes[first + i];
                    (spec.shape[first + i], axis.kind) = (crops.side, AxisKind::Flat);
                    // Coordinates are those within it.
                    axis.values.truncate(crops.side);
                    let from = axis.values.first().copied().unwrap_or_default();
                    axis.values.iter_mut().for_each(|x| *x -= from);
                }
            }
            Cut::Along(axis) => drop((spec.shape.remove(*axis), spec.axes.remove(*axis))),
            Cut::Rows => {
                drop((spec.shape.remove(0), spec.axes.remove(0)));
                spec.ragged = false;
            }
        }
        spec
    }

    /// Pieces of a column of universes, each by its row there and its number.
    pub fn column(&self, universes: &Column, pieces: &[(i64, u32)]) -> Column {
        let one = |t: &Tensor, row: i64| t.narrow(0, row, 1);
        match (self, universes) {
            (Cut::Crops(axes), Column::Array(t)) => {
                let crop = |&(row, item): &(i64, u32)| {
                    let (mut left, mut crop) = (item as usize, one(t, row));
                    for (dim, axis) in (1..=axes.len() as i64).map(|back| (-back, &axes[axes.len() - back as usize])) {
                        let start = axis.starts[left % axis.starts.len()] as i64;
                        left /= axis.starts.len();
                        let (side, inside) = (axis.side as i64, (axis.n as i64 - start).min(axis.side as i64));
                        let first = crop.narrow(dim, start, inside);
                        crop = match side - inside {
                            0 => first,
                            beyond => Tensor::cat(&[first, crop.narrow(dim, 0, beyond)], dim),
                        };
                    }
                    crop
                };
                Column::Array(Tensor::cat(&pieces.iter().map(crop).collect::<Vec<_>>(), 0))
            }
            (Cut::Along(axis), Column::Array(t)) => {
                let select = |&(row, item): &(i64, u32)| one(t, row).select(*axis as i64 + 1, item as i64);
                Column::Array(Tensor::cat(&pieces.iter().map(select).collect::<Vec<_>>(), 0))
            }
            (Cut::Rows, Column::List { values, offsets }) => {
                let starts = whole(offsets);
                let at: Vec<i64> = pieces.iter().map(|&(row, item)| starts[row as usize] + item as i64).collect();
                Column::Array(values.index_select(0, &Tensor::from_slice(&at).to_device(values.device())))
            }
            _ => universes.select(&pieces.iter().map(|piece| piece.0).collect::<Vec<_>>()),
        }
    }
}
