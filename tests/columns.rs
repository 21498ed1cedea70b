//! A stage reads several fields, a network that makes something learns a target, and columns that do not fit are
//! refused.
#![cfg(feature = "torch")]

mod common;
#[path = "mpi/locks.rs"]
mod locks;

use common::says;
use hdf5::File;
use std::path::Path;
use std::process::Command;
use tch::Tensor;

const ROWS: usize = 60;
const CAMPAIGN: &str = r#"
output = "o"
[dataset]
file = "d.h5"
x = "maps"
parameters.a = { min = 0.0, max = 1.0 }
axes.maps = ["channel", "flat", "flat"]
axes.power = ["bin"]
[[train]]
name = "compressor"
input = ["maps", "power"]
epochs = 2
batch_size = 20
[train.network]
kind = "vmim"
transform = { maps = "asinh", power = "log" }
cnn = { width = 2, blocks = [1] }
mlp = { hidden = 8, layers = 1 }
flow = { layers = 1, hidden = 8, bins = 4 }
[[train]]
name = "posterior"
input = "compressor/summaries"
epochs = 2
batch_size = 20
network = { kind = "npe", ensemble = 2, flow = { layers = 1, hidden = 8, bins = 4 } }
"#;

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("run.toml"), CAMPAIGN).unwrap();
    let theta: Vec<f64> = (0..ROWS).map(|i| (i as f64 * 0.618).fract()).collect();
    let maps: Vec<f32> =
        theta.iter().flat_map(|t| (0..64).map(move |i| (*t as f32 + 0.1) * (i as f32 * 0.7).sin())).collect();
    let power: Vec<f64> = theta.iter().flat_map(|t| (0..3).map(move |k| 0.5 + t * k as f64)).collect();
    let file = File::create(place.path().join("d.h5")).unwrap();
    file.new_dataset::<f64>().shape([ROWS, 1]).create("theta").unwrap().write_raw(&theta).unwrap();
    file.new_dataset::<f32>().shape([ROWS, 1, 8, 8]).create("maps").unwrap().write_raw(&maps).unwrap();
    file.new_dataset::<f64>().shape([ROWS, 3]).create("power").unwrap().write_raw(&power).unwrap();
    place
}

fn polycosm(at: &Path, words: &[&str]) -> (Option<i32>, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_polycosm"));
    let mut run = Command::new("timeout");
    run.arg("100").arg(program).args(words).current_dir(at).env("OMP_NUM_THREADS", "1");
    let out = run.output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_network_sees_several_fields() {
    let place = place();
    says(&polycosm(place.path(), &["train", "run.toml"]), 0, &["train posterior"]);
    let weights = Tensor::read_safetensors(place.path().join("o/train/compressor/weights.safetensors")).unwrap();
    for part in ["input0.cnn", "input1.mlp", "joint"] {
        assert!(weights.iter().any(|(name, _)| name.contains(part)), "no part {part}");
    }
    let centre =
        |at: &str| weights.iter().find(|w| w.0.ends_with(at)).map(|w| f64::try_from(w.1.get(0).view([-1]).get(0)));
    // Of the power's logarithm: its first bin is 0.5 in all universes.
    let first = centre("input1.input.centre").expect("the power is standardised").unwrap();
    assert!((first - 0.5f64.ln()).abs() < 1e-6, "{first}");
    let again = polycosm(place.path(), &["train", "run.toml"]);
    says(&again, 0, &["done before"]);
    let fewer = ["train", "run.toml", "--set", "train.compressor.input=maps"];
    says(&polycosm(place.path(), &fewer), 2, &["compressor", "input"]);
}

#[test]
fn columns_that_are_none_are_refused() {
    let place = place();
    let refused = |set: &str, words: &[&str]| {
        says(&polycosm(place.path(), &["check", "run.toml", "--set", set]), 2, words);
        assert!(!place.path().join("o").exists(), "something was written");
    };
    refused(r#"train.compressor.input=["maps", "powr"]"#, &["train.compressor.input", "powr"]);
    refused(r#"train.compressor.input=["maps", "maps"]"#, &["train.compressor.input", "twice"]);
    refused(r#"train.compressor.target=power"#, &["train.compressor.target", "vmim", "leave it out"]);
    refused(r#"train.posterior.input=compressor/maps"#, &["train.posterior.input", "no such field"]);
    let clash = ["check", "run.toml", "--set", "train.compressor.input=maps", "--set"];
    let clash = |target: &'static str| polycosm(place.path(), &[&clash[..], &[target]].concat());
    says(&clash(r#"train.compressor.target=["x", "power"]"#), 2, &["train.compressor.target = \"x\"", "same samples"]);
    refused(r#"train.posterior.input=[]"#, &["train", "input"]);
    let unknown = r#"train.compressor.network.transform={ maps = "asinh", pk = "log" }"#;
    refused(unknown, &["train.compressor.network.transform.pk", "maps, power"]);
    refused(
        "train.compressor.network.transform=[\"none\", \"log\"]",
        &["train.compressor.network.transform", "2 transforms"],
    );
    refused("train.posterior.input=a", &["train.posterior.input = \"a\"", "is a parameter"]);
}

#[test]
fn a_name_of_a_field_and_of_a_parameter_is_refused() {
    let place = place();
    let at = place.path();
    let check = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        polycosm(at, &["check", "run.toml"].into_iter().chain(sets).collect::<Vec<_>>())
    };
    says(&check(&["train.compressor.target=a"]), 2, &["learn the parameters, and no target"]);
    let file = File::open_rw(at.join("d.h5")).unwrap();
    file.new_dataset::<f64>().shape([ROWS]).create("a").unwrap().write_raw(&[0.5; ROWS]).unwrap();
    file.new_dataset::<f64>().shape([ROWS, 3]).create("pars").unwrap().write_raw(&[0.5; 3 * ROWS]).unwrap();
    file.close().unwrap();
    // Nobody reads it: nothing is to be told.
    says(&check(&[]), 0, &["ok"]);
    let both = ["both a field of the dataset and a parameter", "remedy: rename"];
    says(&check(&["train.compressor.target=a"]), 2, &[&both[..], &["train.compressor.target = \"a\""]].concat());
    says(&check(&["train.posterior.input=a"]), 2, &[&both[..], &["train.posterior.input = \"a\""]].concat());
    let other = ["dataset.theta=pars", "train.posterior.input=theta", "dataset.parameters.b={ min = 0.0, max = 1.0 }"];
    let other = [&other[..], &["dataset.parameters.c={ min = 0.0, max = 1.0 }"]].concat();
    says(&check(&other), 2, &[&both[..], &["train.posterior.input = \"theta\""]].concat());
    let hides = ["train.0.name=a", "train.posterior.input=a/summaries"];
    says(&check(&hides), 2, &["train.a.name = \"a\"", "would hide", "remedy: rename the stage"]);
    // What a stage makes is a field of the next campaign.
    let named = ["train.compressor.input=power", "train.compressor.network.transform=none"];
    let text =
        std::fs::read_to_string(at.join("run.toml")).unwrap().replace("parameters.a =", "parameters.summaries =");
    std::fs::write(at.join("run.toml"), text).unwrap();
    let sets: Vec<&str> = named.iter().flat_map(|set| ["--set", set]).collect();
    says(&polycosm(at, &[&["train", "run.toml", "compressor"][..], &sets].concat()), 0, &[]);
    says(&polycosm(at, &[&["apply", "run.toml", "compressor"][..], &sets].concat()), 0, &["compressor.h5"]);
    let next = ["output=next", "dataset.file=o/fields/compressor.h5", "dataset.x=summaries", "dataset.axes={}"];
    let next = [&next[..], &["train.compressor.network.transform=none", "train.compressor.input=summaries"]].concat();
    says(&check(&next), 2, &[&both[..], &["train.compressor.input = \"summaries\""]].concat());
    assert!(!at.join("next").exists(), "something was written");
}
