//! `[train.data.pieces]`: samples that are pieces of universes: crops of boxes and maps, single views, rows of lists. What is of no
//! piece by itself (parameters, spectra) belongs to all pieces of its universe. Splits go by universe, as ever.

use super::context::below;
use super::cut::{Crops, Cut};
use super::{StageConfig, source};
use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::{Axis, AxisKind, FieldSpec};
use crate::limits;
use crate::list::OneOrMany;
use crate::models::SampleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[train.data.pieces]`: into what a universe is cut; one of `side`, `along` and `rows` says how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiecesConfig {
    /// Crops with so many points along each axis in space, or one number for each axis. Of grids of several sizes in one space
    /// these are points of the coarsest, and the same part of each is cut out. They cover all of a field: crops of a periodic
    /// axis go round it, those of a flat one lie inside; where a side is no whole number of steps (`side` less `overlap`), the last
    /// shares more than `overlap` with its neighbour.
    #[serde(skip_serializing_if = "no_side")]
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

fn no_side(side: &OneOrMany<usize>) -> bool {
    side.is_empty()
}

/// The stage whose pieces of universes a stage's samples are, where they are: it says so, or one below it does.
pub fn cutter<'a>(stages: &'a [StageConfig], stage: &'a StageConfig) -> Option<&'a StageConfig> {
    std::iter::once(stage).chain(below(stages, stage)).find(|stage| stage.data.pieces.is_some())
}

/// The pieces that a stage's samples are.
#[derive(Debug, Clone)]
pub struct Pieces {
    config: PiecesConfig,
    /// How the axes are cut, in points of the coarsest grid; of lists none.
    crops: Vec<Crops>,
    /// The fields of the dataset, whole, of all stages of the chain that say how they are cut.
    fields: Vec<FieldSpec>,
}

impl Pieces {
    /// Those of a stage; `None`: its samples are whole. `spec`: the dataset's field of this name, where it has one.
    pub fn of(
        stages: &[StageConfig],
        stage: &StageConfig,
        spec: &dyn Fn(&str) -> Option<FieldSpec>,
    ) -> Result<Option<Pieces>> {
        let fields = |stage: &StageConfig| -> Vec<FieldSpec> {
            let own = stage.columns().filter(|(_, name)| source(stages, name).is_none());
            own.filter_map(|(_, name)| Some(FieldSpec { name: name.into(), ..spec(name)? })).collect()
        };
        let refuse = |key: &str, value: &str, problem: String, remedy: &str| {
            Err(Error::input(problem).key(format!("train.{}.{key}", stage.name)).shown(value).remedy(remedy))
        };
        let (mut found, below) = (None::<(&str, Pieces)>, below(stages, stage));
        for of in std::iter::once(stage).chain(below.iter().copied()) {
            let Some(config) = &of.data.pieces else { continue };
            let theirs = Pieces::new(config, &format!("train.{}.data.pieces", of.name), fields(of))?;
            let (first, all) = found.get_or_insert_with(|| (&of.name, Pieces { fields: vec![], ..theirs.clone() }));
            if !all.are_alike(&theirs) {
                let problem = format!("stage {} cuts universes into other pieces than stage {first}", of.name);
                return refuse("input", &stage.input.words(), problem, "cut both alike, in [train.data.pieces]");
            }
            all.fields.extend(theirs.fields);
        }
        let Some((of, all)) = found else { return Ok(None) };
        let whole = fields(stage).into_iter().find(|field| stage.data.pieces.is_none() && all.cut(field).is_some());
        if let Some(field) = whole {
            let problem = format!("is of whole universes, and beside it stand pieces of them, of stage {of}");
            let remedy = "give it a [train.data.pieces] like that of that stage; or leave the field out";
            return refuse("input", &field.name, problem, remedy);
        }
        if let (true, Some(whole)) = (stage.frozen, below.iter().find(|other| cutter(stages, other).is_none())) {
            let problem = format!("stage {} looks at whole universes, and this one at pieces of them", whole.name);
            return refuse("frozen", "true", problem, "leave it out: its outputs are then read from a file");
        }
        Ok(Some(all))
    }

    fn new(config: &PiecesConfig, key: &str, fields: Vec<FieldSpec>) -> Result<Pieces> {
        let (name, crops) = match (&config.side[..], config.along, config.rows) {
            (side @ [_, ..], None, false) => ("side", crops(side, config.overlap, &fields)),
            ([], Some(kind), false) => ("along", along(kind, &fields)),
            ([], None, true) if fields.iter().any(|field| field.ragged) => ("rows", Ok(vec![])),
            ([], None, true) => ("rows", refuse("the stage reads no list", "name one as its input")),
            _ => {
                let error = Error::input("one of side, along and rows says how a universe is cut").key(key);
                return Err(error.remedy("give one of them"));
            }
        };
        if config.overlap > 0 && config.side.iter().min().is_none_or(|side| config.overlap >= *side) {
            let error = Error::input("leaves no step from piece to piece").key(format!("{key}.overlap"));
            return Err(error.value(config.overlap).remedy("give less than the `side` of crops; others share nothing"));
        }
        let key = format!("{key}.{name}");
        let few = |crops: Vec<Crops>| {
            let each: Vec<usize> = crops.iter().map(|axis| axis.starts.len()).collect();
            let remedy = "give larger crops, or a smaller overlap";
            limits::product_at_most(&key, &each, "pieces of a universe", limits::PIECES, remedy).map(|()| crops)
        };
        let crops = crops.and_then(few).map_err(|e| e.key(&key))?;
        Ok(Pieces { config: config.clone(), crops, fields })
    }

    /// True for the same parts of a universe.
    fn are_alike(&self, other: &Pieces) -> bool {
        let kind = |pieces: &Pieces| (pieces.config.along, pieces.config.rows, pieces.crops.len());
        let same = |(a, b): (&Crops, &Crops)| a.of(a.n * b.n) == b.of(a.n * b.n);
        kind(self) == kind(other) && self.crops.iter().zip(&other.crops).all(same)
    }

    /// How the field of this name is cut, and what it is before.
    pub(super) fn whole(&self, name: &str) -> Option<(Cut, &FieldSpec)> {
        self.fields.iter().find(|field| field.name == name).and_then(|field| Some((self.cut(field)?, field)))
    }

    /// How a field of the dataset is cut; `None`: all pieces have the universe's.
    pub fn cut(&self, whole: &FieldSpec) -> Option<Cut> {
        let is_cut = |axis: &Axis| match self.config.along {
            Some(kind) => axis.kind == kind,
            None if self.config.rows => whole.ragged,
            None => axis.kind.is_spatial(),
        };
        let first = whole.axes.iter().position(is_cut)?;
        let crops = self.crops.iter().zip(&whole.shape[first..]).map(|(axis, &n)| axis.of(n)).collect();
        Some(Cut { first, crops, alone: self.config.side.is_empty() })
    }

    /// Pieces of each universe; `None`: as many as its lists have rows.
    pub fn count(&self) -> Option<usize> {
        (!self.config.rows).then(|| self.crops.iter().map(|axis| axis.starts.len()).product())
    }

    /// All pieces of these universes of a dataset.
    pub(super) fn ids(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<SampleId>> {
        let counts = self.count().map_or_else(|| self.lengths(dataset, rows), |n| Ok(vec![n as u64; rows.len()]))?;
        let pieces = |(&row, n)| (0..n as u32).map(move |item| SampleId { universe: row as u64, item });
        Ok(rows.iter().zip(counts).flat_map(pieces).collect())
    }

    /// Rows that all lists have of these universes.
    fn lengths(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<u64>> {
        let mut all: Option<(&str, Vec<u64>)> = None;
        for FieldSpec { name, .. } in self.fields.iter().filter(|field| field.ragged) {
            let ends = dataset.offsets(name)?;
            let own: Vec<u64> = rows.iter().map(|&row| ends[row + 1] - ends[row]).collect();
            let (first, counts) = all.get_or_insert_with(|| (name, own.clone()));
            if let Some(i) = (0..rows.len()).find(|&i| own[i] != counts[i]) {
                let problem = format!("universe {} has {} rows, but {} of {first}", rows[i], own[i], counts[i]);
                let error = Error::input(problem).file(&dataset.path).key(name);
                return Err(error.remedy("give the stage lists of the same things"));
            }
        }
        let (name, counts) = all.unwrap_or_default();
        let (file, none) = (dataset.path.display(), counts.iter().filter(|n| **n == 0).count());
        if none > 0 {
            log::info!("{file}: {none} of {} universes have no rows in {name}, and give no sample", counts.len());
        }
        Ok(counts)
    }
}

fn refuse<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T> {
    Err(Error::input(problem).remedy(remedy))
}

/// The indices of the fields' axis of a kind, each by itself.
fn along(kind: AxisKind, fields: &[FieldSpec]) -> Result<Vec<Crops>> {
    if kind.is_spatial() || kind.is_unsaid() {
        return refuse("no index of such an axis stands alone", "cut axes in space by `side`; \"view\" is usual");
    }
    let mut found = None;
    for field in fields {
        let at: Vec<usize> = (0..field.axes.len()).filter(|&axis| field.axes[axis].kind == kind).collect();
        let Some(&axis) = at.first() else { continue };
        let (n, remedy) = (field.shape[axis], "leave that field out");
        let (problem, remedy) = match found {
            _ if field.ragged => ("is a list".into(), "`rows = true` has each of its rows by itself"),
            _ if at.len() > 1 => ("has several axes of that kind".into(), remedy),
            _ if !field.axes[axis].spins.is_empty() => ("has components there, which belong together".into(), remedy),
            Some(other) if other != n => (format!("has {n} of them, and others of the fields {other}"), remedy),
            _ => {
                found = Some(n);
                continue;
            }
        };
        return refuse(format!("{} {problem}", field.name), remedy);
    }
    match found {
        Some(n) => Ok(vec![Crops { n, side: 1, starts: (0..n).collect() }]),
        None => refuse("no field of the stage has an axis of that kind", "choose one that [dataset.axes] may say"),
    }
}

/// How the axes in space are cut, in points of the coarsest grid.
fn crops(side: &[usize], overlap: usize, fields: &[FieldSpec]) -> Result<Vec<Crops>> {
    let space = |field: &FieldSpec| field.kinds().into_iter().filter(|k| k.is_spatial()).collect::<Vec<_>>();
    let placed: Vec<&FieldSpec> = fields.iter().filter(|field| field.ragged || !space(field).is_empty()).collect();
    let kinds = placed.first().map_or(vec![], |field| space(field));
    for field in &placed {
        let (problem, remedy) = match space(field) {
            _ if field.ragged => ("is a list, which is not cut in space", "leave it out, or make a field of it"),
            own if own[0].is_sphere() => {
                ("has pixels of the sphere, which are not cut here", "cut flat patches out of it where maps are made")
            }
            own if own != kinds => ("does not lie in one space with the others", "give each a stage of its own"),
            _ => continue,
        };
        return refuse(format!("{} {problem}", field.name), remedy);
    }
    let d = kinds.len();
    if d == 0 {
        let remedy = "leave it out, or say in [dataset.axes] which axes are \"periodic\" or \"flat\"";
        return refuse("no field of the stage has axes in space", remedy);
    }
    if ![1, d].contains(&side.len()) {
        return refuse(format!("{} has {d} axes in space", placed[0].name), "give one number, or one for each");
    }
    let axis = |axis: usize| {
        let length = |field: &&FieldSpec| field.shape[field.shape.len() - d + axis];
        let (n, side) = (placed.iter().map(length).min().unwrap_or_default(), side[axis.min(side.len() - 1)]);
        if let Some(field) = placed.iter().find(|field| n == 0 || length(field) % n != 0) {
            let problem = format!("{} has {} points on a side, no whole multiple of {n}", field.name, length(field));
            return refuse(problem, "give fields whose grids are whole parts of one another");
        }
        if side == 0 || side > n {
            return refuse(format!("the coarsest field has {n} points on a side"), format!("give 1 to {n}"));
        }
        let (step, last) = (side.saturating_sub(overlap).max(1), n - side);
        let starts = match kinds[axis] {
            AxisKind::Periodic => (0..n.div_ceil(step)).map(|i| i * step).collect(),
            _ => (0..=last.div_ceil(step)).map(|i| (i * step).min(last)).collect(),
        };
        Ok(Crops { n, side, starts })
    };
    (0..d).map(axis).collect()
}

/// What a field is to a stage that sees pieces of universes, or whole ones.
pub fn seen(pieces: Option<&Pieces>, whole: FieldSpec) -> FieldSpec {
    match pieces.and_then(|pieces| pieces.cut(&whole)) {
        Some(cut) => cut.spec(whole),
        None => whole,
    }
}
