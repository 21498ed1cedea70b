//! What cannot be done to the samples of stages, refused before any is trained, by what they will read and make.

use super::context::{below, made};
use super::pieces::{Pieces, seen};
use super::view::{DataConfig, average, changes_of, copies};
use super::{StageConfig, source};
use crate::error::{Error, Result};
use crate::io::field::{AxisKind, FieldSpec};
use crate::io::stages::Stages;
use crate::models::{Model, Task, build, named};
use crate::prior::Prior;
use crate::progress::first_time;
use tch::{Device, Kind};

/// The fields that a stage adds noise to, wherever it sees them.
fn noisy(stage: &StageConfig) -> impl Iterator<Item = &String> {
    let lasting = stage.data.noise.iter().filter(|noise| noise.instance.is_empty());
    lasting.filter_map(|noise| noise.field.as_ref().or(stage.input.first()))
}

impl StageConfig {
    /// Whether fields that lie in space are moved in training, or in copies.
    fn moves(&self) -> bool {
        self.augment || !self.data.symmetries.is_empty()
    }
}

/// Refuses what cannot be done to the samples of a stage. `spec`: the field of this name, where it is known.
pub fn check_views(stages: &[StageConfig], spec: impl Fn(&str) -> Option<FieldSpec>) -> Result<()> {
    let made = |name: &str| source(stages, name).is_some();
    // What a stage reads, where it is known; of parameters, which are not moved, nothing need be.
    let columns = |stage: &StageConfig| -> Option<Vec<FieldSpec>> {
        let field =
            |name: &str| if made(name) { Some(FieldSpec::of(name, &[0], &[AxisKind::Column])) } else { spec(name) };
        let inputs = stage.input.iter().map(|name| field(name)).collect::<Option<Vec<_>>>()?;
        let targets = stage.target.iter().map(|name| field(name).unwrap_or_else(|| FieldSpec::of(name, &[], &[])));
        Some([named(inputs, "x"), named(targets.collect(), "target")].concat())
    };
    for stage in stages {
        let known = |name: &String| made(name) || spec(name).is_some();
        let pieces = if stage.input.iter().all(known) { Pieces::of(stages, stage, &spec)? } else { None };
        let Some(own) = columns(stage) else { continue };
        let cut = |(column, (_, name)): (FieldSpec, (&str, &str))| match made(name) {
            true => column,
            false => seen(pieces.as_ref(), column),
        };
        let own: Vec<FieldSpec> = own.into_iter().zip(stage.columns()).map(cut).collect();
        let (below, data) = (below(stages, stage), DataConfig { pieces: None, ..stage.data.clone() });
        let key = |key: &str| format!("train.{}.{key}", stage.name);
        let names = |all: &[&StageConfig]| all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        let first: Vec<&StageConfig> =
            below.iter().copied().filter(|s| !s.input.iter().any(|name| made(name))).collect();
        let shown = [("augment", stage.augment), ("data", !data.is_plain())];
        let fields = stage.columns().any(|(_, name)| !made(name) && spec(name).is_some());
        if let (false, Some((name, _))) = (fields, shown.iter().find(|(_, given)| *given)) {
            let of: Vec<&StageConfig> = stage.input.iter().filter_map(|name| source(stages, name)).collect();
            let problem = format!("its input are summaries of {}, which are neither shifted nor turned", names(&of));
            let sees = names(&first);
            let remedy =
                format!("say it of stage {sees}, which sees the field; `copies` has several views of each universe");
            return Err(Error::input(problem).key(key(name)).remedy(remedy));
        }
        let noise = data.noise.iter().enumerate().map(|(i, part)| (format!("noise.{i}"), &part.field));
        let masks = data.masks.iter().enumerate().map(|(i, part)| (format!("masks.{i}"), &part.field));
        for (part, field) in noise.chain(masks) {
            if let Some(name) =
                field.as_ref().or(stage.input.first().filter(|_| stage.input.len() == 1)).filter(|n| made(n))
            {
                let (given, problem) =
                    (field.as_ref().map(|f| format!("{f:?}")), "is made by an earlier stage, and no survey's");
                let error = Error::input(problem).key(key(&format!("data.{part}.field")));
                let remedy = format!("name a field of the dataset, or say it of the stage that makes {name}");
                return Err(Error { value: given, ..error.remedy(remedy) });
            }
        }
        changes_of(stage, &own, pieces.as_ref())?;
        // What a survey sees of a universe is one thing for all networks on the way.
        let shared = noisy(stage).find_map(|f| Some((f, below.iter().find(|other| noisy(other).any(|of| of == f))?)));
        if let Some((field, other)) = shared.filter(|(_, other)| !stage.frozen || stage.moves() || other.moves()) {
            let problem = format!("stage {} sees {field} with another draw of this noise", other.name);
            let remedy = "set `frozen = true`, and leave out the symmetries of both: all then see one draw";
            return Err(Error::input(problem).key(key("data.noise")).value(field).remedy(remedy));
        }
        let differ = |s: &&StageConfig| match s.augment || !s.data.is_plain() {
            true => s.moves() || noisy(s).next().is_some(),
            false => columns(s).is_some_and(|columns| copies(s, &columns).is_ok()),
        };
        if stage.copies > 1 && pieces.is_none() && !below.iter().any(differ) {
            let (problem, remedy) = match below.is_empty() {
                true => ("no earlier stage makes what it reads".to_string(), "leave it out".to_string()),
                false => {
                    let of = names(&first);
                    let problem = format!("samples of stage {of} have neither symmetries nor noise by which to differ");
                    (problem, format!("leave it out: the copies would all be alike; or give {of} a [train.data]"))
                }
            };
            return Err(Error::input(problem).key(key("copies")).value(stage.copies).remedy(remedy));
        }
    }
    Ok(())
}

/// Refuses columns that lie in space and would not be moved alike: what an earlier stage makes of a moved field, through
/// its frozen network or in copies, beside what is not, or otherwise, moved. `columns`: those of the stage, in order.
pub(super) fn check_places(
    stages: &[StageConfig],
    stage: &StageConfig,
    columns: &[FieldSpec],
    copies: bool,
) -> Result<()> {
    let lies = |spec: &FieldSpec| spec.kinds().iter().any(|kind| kind.is_spatial() || *kind == AxisKind::Slab);
    let in_space = stage.columns().zip(columns).filter(|(_, spec)| lies(spec)).map(|((_, name), _)| name);
    let in_space: Vec<(&str, Option<&StageConfig>)> = in_space.map(|name| (name, source(stages, name))).collect();
    let moves = |s: &StageConfig| s.moves() || copies && s.data.is_plain();
    let moved = |s: &StageConfig| moves(s) || below(stages, s).into_iter().any(moves);
    let Some((name, Some(of))) = in_space.iter().find(|(_, of)| of.is_some_and(moved)) else { return Ok(()) };
    let beside = in_space.iter().find(|(_, other)| other.is_none_or(|other| other.name != of.name));
    let other = beside.map(|b| b.0).or(stage.moves().then_some("its own symmetries"));
    let (true, Some(other)) = (stage.frozen || copies, other) else { return Ok(()) };
    let by = if copies { "copies" } else { "frozen networks" };
    let problem = format!(
        "{name} lies in space and is moved by the symmetries of stage {} in {by}, and not alike with {other}",
        of.name
    );
    let remedy = format!("leave out {by}, or the symmetries of that stage, or read them in a stage of their own");
    Err(Error::input(problem).key(format!("train.{}.input", stage.name)).remedy(remedy))
}

/// The model of a stage; what cannot be one is told by the stage's own keys.
pub(super) fn untrained(stage: &StageConfig, task: &Task) -> Result<Box<dyn Model>> {
    if let Some((key, why)) = stage.network.unused(task.inputs) {
        let told = format!("train.{}.network.{key} is not used: {why}", stage.name);
        first_time(&told).then(|| log::warn!("{told}"));
    }
    let model = build(&*stage.network, task).map_err(|e| {
        let own = |key: String| match key.strip_prefix("train.network") {
            Some(rest) => format!("train.{}.network{rest}", stage.name),
            None => key,
        };
        Error { key: e.key.clone().map(own), ..e }
    })?;
    if stage.steps.accumulate > 1 && !model.splits() {
        let problem =
            "its batches cannot go through in parts: this model does not say that its steps are sums over them";
        let error = Error::input(problem).key(format!("train.{}.steps.accumulate", stage.name));
        return Err(error.value(stage.steps.accumulate).remedy("leave it out, or give the model `splits`"));
    }
    Ok(model)
}

/// Refuses models that cannot be, columns that would be moved apart, and averages over what has none, as training does. `records`: the same
/// stages; `field`: what the dataset has by a name.
pub fn check_ahead(
    stages: &[StageConfig],
    records: &Stages,
    prior: &Prior,
    field: impl Fn(&str) -> Result<FieldSpec>,
) -> Result<()> {
    let mut outputs: Vec<FieldSpec> = vec![];
    for stage in stages {
        let pieces = Pieces::of(stages, stage, &|name| field(name).ok())?;
        let spec = |name: &String| -> Result<FieldSpec> {
            let Some((of, output)) = made(stages, name) else {
                return Ok(seen(pieces.as_ref(), field(name)?));
            };
            let found = outputs.iter().find(|spec| spec.name == format!("{of}/{output}"));
            let missing = || Error::failed(format!("stage {of} makes no {output}"));
            Ok(FieldSpec { name: name.clone(), ..found.cloned().ok_or_else(missing)? })
        };
        let specs = |names: &[String]| names.iter().map(spec).collect::<Result<Vec<_>>>();
        let (inputs, targets) = (named(specs(&stage.input)?, "x"), named(specs(&stage.target)?, "target"));
        let copies = stage.copies > 1 || records.copies(&stage.name) > 1;
        check_places(stages, stage, &[&inputs[..], &targets].concat(), copies)?;
        let (device, kind) = (Device::Cpu, Kind::Float);
        let model = untrained(stage, &Task { inputs: &inputs, targets: &targets, prior, device, kind })?;
        average(stage, &[&inputs[..], &targets].concat(), &model.outputs())?;
        let called = |spec: FieldSpec| FieldSpec { name: format!("{}/{}", stage.name, spec.name), ..spec };
        outputs.extend(model.outputs().into_iter().map(called));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stage_makes_in_space_is_moved_alike_or_refused() {
        let maps = |name: &str| FieldSpec::of(name, &[8, 8], &[AxisKind::Periodic; 2]);
        let power = FieldSpec::of("power", &[5], &[AxisKind::Bin]);
        let refused = |augment: bool, frozen: bool, copies: bool, beside: &FieldSpec| {
            let stage = |name: &str, input: &str, more: &str| -> StageConfig {
                let text = format!("name = {name:?}\ninput = {input}\nnetwork = {{ kind = \"vmim\" }}\n{more}");
                toml::from_str(&text).unwrap()
            };
            let below = stage("a", "\"maps\"", &format!("augment = {augment}"));
            let own = stage("b", &format!("[\"a\", {:?}]", beside.name), &format!("frozen = {frozen}"));
            let e = check_places(&[below, own.clone()], &own, &[maps("a"), beside.clone()], copies).err();
            e.inspect(|e| {
                assert!(["train.b.input", "stage a", "leave out"].iter().all(|w| e.to_string().contains(w)), "{e}")
            })
            .is_some()
        };
        // Moved in each epoch, in copies; there alone; nowhere; beside what has no place.
        assert!(refused(true, true, false, &maps("maps")) && refused(true, false, true, &maps("maps")));
        assert!(refused(false, false, true, &maps("maps")) && !refused(false, true, false, &maps("maps")));
        assert!(!refused(true, false, false, &maps("maps")) && !refused(true, true, false, &power));
    }
}
