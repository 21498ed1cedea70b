//! What networks make of samples is what PyTorch makes of them with the same weights (`scripts/polycosm_torch.py`): its numbers are
//! stored in `tests/data/pytorch.json`, and PyTorch itself is asked where Python has it (`make validate`).
#![cfg(feature = "torch")]

mod common;
mod mpi;

use common::repository;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Batch, Column, Device, Kind, Model, Pass, SampleId, Task, Tensor, build};
use polycosm::nets::{host, put};
use polycosm::prior::Prior;
use polycosm::rng::stream;
use polycosm::train::{StageConfig, weights};
use rand::distr::weighted::WeightedIndex;
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};
use std::path::Path;

/// Samples, and draws from the posterior of the first.
const SAMPLES: i64 = 60;
const DRAWS: usize = 12;
const SEED: u64 = 9;

const BOX: &str =
    r#"[{"name": "a", "latex": "a", "min": -1.0, "max": 3.0}, {"name": "b", "latex": "b", "min": 0.0, "max": 1.0}]"#;
/// Every kind of prior, with and without bounds.
const ALL: &str = r#"[
    {"name": "a", "latex": "a", "min": -1.0, "max": 3.0},
    {"name": "b", "latex": "b", "kind": "normal", "mean": 2.0, "sigma": 0.5},
    {"name": "c", "latex": "c", "kind": "log-uniform", "min": 0.1, "max": 10.0},
    {"name": "d", "latex": "d", "kind": "normal", "mean": 1.0, "sigma": 1.0, "min": 0.0},
    {"name": "e", "latex": "e", "kind": "lognormal", "ln_mean": 0.3, "ln_sigma": 0.4},
    {"name": "f", "latex": "f", "kind": "lognormal", "ln_mean": 0.0, "ln_sigma": 0.5, "max": 2.0}]"#;

/// A stage with weights that a formula gives.
struct Case {
    name: &'static str,
    /// `[[train]]` but for its name.
    stage: &'static str,
    prior: &'static str,
    inputs: Vec<FieldSpec>,
}

fn cases() -> Vec<Case> {
    use AxisKind::{Bin, Channel, Flat, Periodic, View};
    let x = |shape: &[usize], kinds: &[AxisKind]| vec![FieldSpec::of("x", shape, kinds)];
    let case = |name, stage, prior, inputs| Case { name, stage, prior, inputs };
    let vmim = |name, stage, inputs| case(name, stage, BOX, inputs);
    vec![
        vmim(
            "small",
            "network = { kind = 'vmim', summaries = 3, transform = 'asinh', cnn = { width = 4, blocks = [1, 2] } }",
            x(&[2, 2, 16, 16], &[View, Channel, Periodic, Periodic]),
        ),
        vmim(
            "resnet18",
            "network = { kind = 'vmim', transform = 'none', cnn = { kind = 'resnet18', width = 2 } }",
            x(&[3, 32, 32], &[Channel, Periodic, Periodic]),
        ),
        vmim(
            "resnet34",
            "network = { kind = 'vmim', transform = ['none', 'asinh'], cnn = { kind = 'resnet34', width = 2 } }",
            x(&[2, 33, 40], &[Channel, Flat, Flat]),
        ),
        vmim(
            "deeplens",
            "network = { kind = 'vmim', transform = 'none', cnn = { kind = 'deeplens', width = 4 } }",
            x(&[16, 16], &[Periodic, Periodic]),
        ),
        vmim(
            "cosmoflow",
            "network = { kind = 'vmim', transform = 'none', cnn = { kind = 'cosmoflow', width = 3, blocks = [1, 2] } }",
            x(&[2, 8, 9, 10], &[Channel, Periodic, Periodic, Periodic]),
        ),
        case(
            "covariance",
            "network = { kind = 'regression', loss = 'gaussian-full', transform = { power = 'auto' }, cnn = { width = 4 } }",
            ALL,
            vec![FieldSpec::of("maps", &[16, 16], &[Flat, Flat]), FieldSpec::of("power", &[5], &[Bin])],
        ),
        case("npe", "network = { kind = 'npe', ensemble = 2, flow = { hidden = 16 } }", ALL, x(&[7], &[Bin])),
        case(
            "flows",
            "network = { kind = 'npe', ensemble = 2, linear = false, embedding = 3, flow = { layers = 2, bins = 5 } }",
            ALL,
            x(&[2, 4], &[Channel, Bin]),
        ),
    ]
}

/// Numbers from −1 to 1 without a pattern that matters.
fn numbers(n: usize, salt: usize) -> Vec<f64> {
    (0..n).map(|k| ((k as f64 + 0.37) * 0.754_877_666 + salt as f64 * 0.569_840_29).fract() * 2.0 - 1.0).collect()
}

/// A model of a case, and samples of it.
struct Ready {
    stage: StageConfig,
    prior: Prior,
    model: Box<dyn Model>,
    batch: Batch,
}

impl Case {
    fn ready(&self) -> Ready {
        let names: Vec<&str> = self.inputs.iter().map(|spec| spec.name.as_str()).collect();
        let stage: StageConfig =
            toml::from_str(&format!("name = {:?}\ninput = {names:?}\n{}", self.name, self.stage)).unwrap();
        let prior: Prior = serde_json::from_str(self.prior).unwrap();
        let task = Task { inputs: &self.inputs, targets: &[], prior: &prior, device: Device::Cpu, kind: Kind::Float };
        let model = build(&*stage.network, &task).unwrap();
        let mut columns = vec![];
        for (i, spec) in self.inputs.iter().enumerate() {
            let each: usize = spec.shape.iter().product();
            let size: Vec<i64> = [SAMPLES].into_iter().chain(spec.shape.iter().map(|&n| n as i64)).collect();
            // Of another size in each sample, and of one sign here and there.
            let values = numbers(SAMPLES as usize * each, i).into_iter().enumerate();
            let values = values.map(|(k, v)| v * (1.0 + (k / each) as f64 * 0.05) + if k % 3 == 0 { 2.5 } else { 0.2 });
            let x = Tensor::from_slice(&values.collect::<Vec<_>>()).view(size.as_slice()).to_kind(Kind::Float);
            columns.push((spec.name.clone(), Column::Array(x)));
        }
        let unit = numbers(SAMPLES as usize * prior.len(), 7);
        let theta: Vec<f64> = unit
            .chunks(prior.len())
            .flat_map(|row| prior.from_unit(&row.iter().map(|v| 0.5 + 0.49 * v).collect::<Vec<_>>()))
            .collect();
        let theta = Tensor::from_slice(&theta).view([SAMPLES, prior.len() as i64]);
        columns.push(("theta".into(), Column::Array(theta)));
        let ids = (0..SAMPLES as u64).map(SampleId::of).collect();
        let batch = Batch::new(columns, ids, Pass::Held, 0, Kind::Float);
        for eye in model.eyes() {
            eye.standardise(batch.array(&eye.column).unwrap());
        }
        fill(model.as_ref(), prior.len());
        Ready { stage, prior, model, batch }
    }
}

/// Gives all that is learned numbers.
fn fill(model: &dyn Model, p: usize) {
    for (salt, part) in model.parts().iter().enumerate() {
        let mut all: Vec<(String, Tensor)> = part.vs.variables().into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for (j, (name, t)) in all.into_iter().enumerate() {
            let (size, n) = (t.size(), t.numel());
            let fan: i64 = size.iter().skip(1).product();
            let of: Vec<f64> = numbers(n, j + 31 * salt);
            let values: Vec<f64> = match name.rsplit('.').next().unwrap_or_default() {
                // What an eye has taken from the samples.
                _ if name.contains("input") && !name.contains("cnn") && !name.contains("mlp") => continue,
                "sigma" => of.iter().map(|v| 0.4 + 0.2 * v).collect(),
                "shares" => [0.5, 0.3, 0.2].to_vec(),
                // A parameter's mean depends on those before it alone.
                "slopes" => of
                    .iter()
                    .enumerate()
                    .map(|(k, v)| if k % (1 + 2 * p) < 1 + p + k / (1 + 2 * p) { 0.3 * v } else { 0.0 })
                    .collect(),
                "scale" if size == [1] => vec![0.5],
                "scale" => of.iter().map(|v| 1.5 + v).collect(),
                "bias" => of.iter().map(|v| 0.2 * v).collect(),
                _ => of.iter().map(|v| v * (2.0 / fan.max(1) as f64).sqrt()).collect(),
            };
            put(&t, &Tensor::from_slice(&values).view(size.as_slice()));
        }
    }
}

fn rows(t: &Tensor) -> Value {
    json!(host(t))
}

/// Base draws (n, p) of a posterior and which members they are for, as its draws of the first sample have them.
fn base(ready: &Ready) -> (Vec<f64>, Vec<usize>) {
    let shares = ready.model.parts()[0].vs.variables().remove("shares").map_or(vec![0.5; 2], |t| host(&t));
    let (mut rng, pick) = (stream(SEED, 0, "posterior draws", 0), WeightedIndex::new(shares).unwrap());
    let members = (0..DRAWS).map(|_| pick.sample(&mut rng)).collect();
    ((0..DRAWS * ready.prior.len()).map(|_| StandardNormal.sample(&mut rng)).collect(), members)
}

/// What polycosm makes of the samples of a case.
fn made(ready: &Ready) -> Value {
    let theta = ready.batch.array("theta").unwrap();
    let mut made = json!({"outputs": tch::no_grad(|| ready.model.apply(&ready.batch)).unwrap().iter().map(rows).collect::<Vec<_>>()});
    if let Some(density) = ready.model.density() {
        made["ln"] = rows(&tch::no_grad(|| density.ln(&ready.batch, 0, &theta.unsqueeze(1))).unwrap());
        let drawn = tch::no_grad(|| density.draw(&ready.batch.rows(&[0]), 0, DRAWS, &[SEED])).unwrap().unwrap();
        assert_eq!(drawn.member, base(ready).1);
        made["draws"] = rows(&drawn.theta);
    }
    made
}

/// Refuses numbers that are not those, to 1e-5 of their size or of 1.
fn same(at: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Object(a), Value::Object(_)) => {
            a.keys().for_each(|key| same(&format!("{at} {key}"), &a[key], &other[key]))
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}");
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| same(&format!("{at}[{i}]"), a, b));
        }
        _ => {
            let (a, b) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{at}: {a} here, {b} in PyTorch");
        }
    }
}

fn stored() -> std::path::PathBuf {
    repository("tests/data/pytorch.json")
}

#[test]
fn networks_and_posteriors_are_those_of_pytorch() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(stored()).unwrap()).unwrap();
    assert_eq!(stored.as_object().unwrap().len(), cases().len());
    for case in cases() {
        let (ready, stored) = (case.ready(), &stored[case.name]);
        let made = made(&ready);
        assert!(made["outputs"].as_array().unwrap().len() + made["ln"].is_array() as usize > 0, "{}", case.name);
        same(case.name, &made, stored);
    }
}

/// Asks for each case what is asked of polycosm.
const SCRIPT: &str = r#"
import json, sys
import torch
from safetensors.torch import load_file
sys.path.insert(0, sys.argv[1])
import polycosm_torch
torch.set_num_threads(1)
made = {}
for folder in sys.argv[2:]:
    stage, given = polycosm_torch.load(folder), load_file(folder + "/given.safetensors")
    theta, z, members = (given.pop(name) for name in ("theta", "z", "members"))
    x = given if len(given) > 1 else given["x"]
    first = {name: t[:1] for name, t in x.items()} if len(given) > 1 else x[:1]
    flat = lambda t: t.double().flatten().tolist()
    with torch.no_grad():
        name = folder.split("/")[-1]
        if isinstance(stage, polycosm_torch.Npe):
            draws = [stage.transport(z[i : i + 1], first, int(m)) for i, m in enumerate(members)]
            made[name] = {"outputs": [], "ln": flat(stage.log_prob(theta, x)), "draws": flat(torch.cat(draws))}
            drawn = stage.sample(first, 50, torch.Generator().manual_seed(1))
            assert torch.isfinite(stage.log_prob(drawn, first)).all() and len(drawn.unique(dim=0)) == 50
        else:
            out = stage(x)
            made[name] = {"outputs": [flat(t) for t in (out if isinstance(out, list) else [out])]}
        again = {f"{n}" for n in stage.net.state_dict()}
        assert again == set(load_file(folder + "/weights.safetensors")), again
print("MADE" + json.dumps(made))
"#;

#[test]
#[ignore = "needs PyTorch"]
fn pytorch_makes_the_same() {
    let Some(python) = common::python(&["torch", "safetensors"]) else {
        eprintln!("no Python here has torch and safetensors: not tested");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let mut command = python;
    command.arg("-c").arg(SCRIPT).arg(repository("scripts"));
    let mut all = json!({});
    for case in cases() {
        let (ready, folder) = (case.ready(), place.path().join(case.name));
        write(&case, &ready, &folder);
        command.arg(&folder);
        all[case.name] = made(&ready);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.split_once("MADE").map(|(_, json)| serde_json::from_str::<Value>(json).unwrap());
    let found = found.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    for case in cases() {
        same(case.name, &all[case.name], &found[case.name]);
    }
    if std::env::var_os("POLYCOSM_WRITE").is_some() {
        let few = |v: &Value| json!((v.as_f64().unwrap() * 1e9).round() / 1e9);
        let list = |v: &Value| Value::from(v.as_array().unwrap().iter().map(few).collect::<Vec<_>>());
        let mut lines = vec![];
        for case in cases() {
            let mut one = found[case.name].clone();
            let outputs = one["outputs"].as_array().unwrap().iter().map(list).collect::<Vec<_>>();
            one["outputs"] = outputs.into();
            for key in ["ln", "draws"] {
                if one[key].is_array() {
                    one[key] = list(&one[key]);
                }
            }
            lines.push(format!("{:?}: {one}", case.name));
        }
        std::fs::write(stored(), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
    }
}

/// A stage's folder, as far as PyTorch reads it, and what it is asked.
fn write(case: &Case, ready: &Ready, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let axes = |spec: &FieldSpec| spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>();
    let fields: Vec<Value> = case.inputs.iter().map(|spec| json!({"field": spec.name, "axes": axes(spec)})).collect();
    let record = json!({"stage": &ready.stage, "prior": &ready.prior, "dataset": {"fields": fields}});
    std::fs::write(folder.join("model.json"), record.to_string()).unwrap();
    weights::write(ready.model.as_ref(), &folder.join("weights.safetensors")).unwrap();
    let (z, members) = match ready.model.density() {
        Some(_) => base(ready),
        None => (vec![0.0; DRAWS * ready.prior.len()], vec![0; DRAWS]),
    };
    let members: Vec<i64> = members.into_iter().map(|m| m as i64).collect();
    let z = Tensor::from_slice(&z).view([DRAWS as i64, ready.prior.len() as i64]).to_kind(Kind::Float);
    let mut given: Vec<(&str, Tensor)> = vec![("z", z), ("members", Tensor::from_slice(&members))];
    for (name, column) in ready.batch.columns() {
        if let Column::Array(t) = column {
            given.push((name, t.shallow_clone()));
        }
    }
    Tensor::write_safetensors(&given, folder.join("given.safetensors")).unwrap();
}
