//! What stages will read and make, before any is trained.

use super::StageConfig;
use super::context::made;
use super::pieces::{Pieces, seen};
use super::view::{average, check_places};
use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::stages::Stages;
use crate::models::{Task, build, named};
use crate::prior::Prior;
use tch::{Device, Kind};

/// Refuses columns that would be moved apart, and averages over what has none, as training does. `records`: the same stages; `field`: what the dataset has by a name.
pub fn check_ahead(
    stages: &[StageConfig],
    records: &Stages,
    prior: &Prior,
    field: impl Fn(&str) -> Result<FieldSpec>,
) -> Result<()> {
    // Elsewhere nothing that is made is moved.
    if !stages.iter().any(|stage| stage.frozen || stage.copies > 1 || stage.data.average.is_some()) {
        return Ok(());
    }
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
        if records.with_dependents(&stage.name).len() > 1 || stage.data.average.is_some() {
            let (device, kind) = (Device::Cpu, Kind::Float);
            let model = build(&*stage.network, &Task { inputs: &inputs, targets: &targets, prior, device, kind })?;
            average(stage, &[&inputs[..], &targets].concat(), &model.outputs())?;
            let called = |spec: FieldSpec| FieldSpec { name: format!("{}/{}", stage.name, spec.name), ..spec };
            outputs.extend(model.outputs().into_iter().map(called));
        }
    }
    Ok(())
}
