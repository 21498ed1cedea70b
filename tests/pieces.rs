//! Samples that are pieces of universes: crops tile boxes, views and rows of lists stand alone, splits go by universe, and the
//! steps are the same on any ranks and after a kill.
#![cfg(feature = "torch")]

mod common;
mod mpi;

use polycosm::error::Result;
use polycosm::io::dataset::Split;
use polycosm::io::derived::Derived;
use polycosm::io::field::AxisKind::{Channel, Column as Numbers, Flat, Index, Periodic, View};
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Batch, Column, Device, KINDS, Kind, Model, Part, Score, Section, Task, Tensor, Turn, kind};
use polycosm::nets::host;
use polycosm::train::{Pieces, StageConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// A painter: each point of the target is a x + b, of the point of a grid of half its size that it lies in.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Paint {}

struct Painter {
    parts: [Part; 1],
    a: Tensor,
    made: FieldSpec,
}

impl Section for Paint {
    fn wants_target(&self) -> bool {
        true
    }
    fn outputs(&self) -> Vec<&'static str> {
        vec!["painted"]
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let (vs, made) = (task.variables(), task.array("target")?.clone());
        assert_eq!((&made.kinds()[..], task.array("x")?.kinds()), (&[Flat; 3][..], vec![Flat; 3]));
        let a = vs.root().zeros("a", &[2]);
        Ok(Box::new(Painter {
            parts: [Part::new("painter", vs)],
            a,
            made: FieldSpec { name: "painted".into(), ..made },
        }))
    }
}

impl Painter {
    fn paint(&self, batch: &Batch) -> Result<Tensor> {
        let fine = |x: Tensor, dim| x.repeat_interleave_self_int(2, dim, None);
        Ok((1..4).fold(batch.array("x")?.shallow_clone(), fine) * self.a.get(0) + self.a.get(1))
    }
    fn off(&self, batch: &Batch) -> Result<Tensor> {
        let off = (self.paint(batch)? - batch.array("target")?).square();
        Ok(off.flatten(1, -1).mean_dim([1i64].as_slice(), false, None::<Kind>))
    }
}

impl Model for Painter {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise("off", &self.off(batch)?, &[0])
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![Score { name: "off".into(), value: self.off(batch)?, parts: vec![0] }])
    }
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![self.made.clone()]
    }
    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![self.paint(batch)?])
    }
}

/// The program of somebody with these models; in a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    KINDS.add(kind::<Paint>("paint"));
    polycosm::cli::main(arguments)
}

/// The pieces of a stage that reads these fields.
fn pieces(config: Value, fields: &[FieldSpec]) -> Pieces {
    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    let stage = json!({"name": "s", "input": names, "network": {"kind": "npe"}, "data": {"pieces": config}});
    let stage: StageConfig = serde_json::from_value(stage).unwrap();
    let spec = |name: &str| fields.iter().find(|f| f.name == name).cloned();
    Pieces::of(std::slice::from_ref(&stage), &stage, &spec).unwrap().unwrap()
}

/// The shape of a piece of a field, and the pieces of universe 1 of two that count their numbers.
fn cut(pieces: &Pieces, field: &FieldSpec, items: u32) -> (Vec<usize>, Vec<AxisKind>, Vec<Vec<f64>>) {
    let shape: Vec<i64> = std::iter::once(2).chain(field.shape.iter().map(|&n| n as i64)).collect();
    let all = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)).view(shape.as_slice());
    let (cut, each) = (pieces.cut(field), (0..items).map(|item| (1, item)).collect::<Vec<_>>());
    let Column::Array(t) = cut.column(&Column::Array(all), &each) else { panic!() };
    let spec = cut.spec(field.clone());
    assert_eq!(t.size()[1..], spec.shape.iter().map(|&n| n as i64).collect::<Vec<_>>());
    (spec.shape.clone(), spec.kinds(), (0..items as i64).map(|i| host(&t.get(i))).collect())
}

#[test]
fn crops_tile_boxes_and_maps_of_several_sizes() {
    // Periodic, 10 × 6 with steps of 3: the last goes round. A grid of twice the size shows the same part.
    let [coarse, fine] = [("c", [10, 6]), ("f", [20, 12])].map(|(n, s)| FieldSpec::of(n, &s, &[Periodic; 2]));
    let power = FieldSpec::of("p", &[3], &[AxisKind::Bin]);
    let of = pieces(json!({"side": 4, "overlap": 1}), &[fine.clone(), coarse.clone(), power.clone()]);
    assert_eq!(of.count(), Some(4 * 2));
    for (field, ratio) in [(&coarse, 1), (&fine, 2)] {
        let (shape, kinds, crops) = cut(&of, field, 8);
        assert_eq!((shape, kinds), (vec![4 * ratio; 2], vec![Flat; 2]));
        let (n, m) = (10 * ratio, 6 * ratio);
        let starts: Vec<[usize; 2]> = [0, 3, 6, 9].iter().flat_map(|&y| [[y, 0], [y, 3]]).collect();
        for ([y, x], crop) in starts.iter().zip(&crops) {
            let points = (0..4 * ratio).flat_map(|i| (0..4 * ratio).map(move |j| [i, j]));
            let at = |[i, j]: [usize; 2]| (n * m + (y * ratio + i) % n * m + (x * ratio + j) % m) as f64;
            assert_eq!(*crop, points.map(at).collect::<Vec<_>>(), "from {y}, {x}");
        }
        let seen: BTreeSet<u64> = crops.iter().flatten().map(|x| *x as u64).collect();
        assert_eq!(seen.len(), n * m, "a point is in no crop");
    }
    assert_eq!(cut(&of, &power, 2).2, [[3.0, 4.0, 5.0]; 2]);
    // A flat cube with channels in front: the last crop ends at the edge.
    let cube = FieldSpec::of("q", &[2, 5, 3, 4], &[Channel, Flat, Flat, Flat]);
    let of = pieces(json!({"side": [3, 3, 2]}), std::slice::from_ref(&cube));
    let (shape, _, crops) = cut(&of, &cube, 4);
    assert_eq!((of.count(), shape), (Some(4), vec![2, 3, 3, 2]));
    for ([z, x], crop) in [[0, 0], [0, 2], [2, 0], [2, 2]].iter().zip(&crops) {
        let at = |i: usize| [i / 18, i / 6 % 3, i / 2 % 3, i % 2];
        let number = |[c, i, j, k]: [usize; 4]| (120 + ((c * 5 + z + i) * 3 + j) * 4 + x + k) as f64;
        assert_eq!(*crop, (0..36).map(|i| number(at(i))).collect::<Vec<_>>());
    }
}

#[test]
fn views_and_rows_stand_alone() {
    let maps = FieldSpec::of("m", &[3, 2, 2], &[View, Flat, Flat]);
    let of = pieces(json!({"along": "view"}), &[maps.clone(), FieldSpec::of("p", &[1], &[Numbers])]);
    let (shape, kinds, views) = cut(&of, &maps, 3);
    assert_eq!((of.count(), shape, kinds), (Some(3), vec![2, 2], vec![Flat; 2]));
    assert_eq!(views[2], [20.0, 21.0, 22.0, 23.0]);
    let list = FieldSpec { ragged: true, ..FieldSpec::of("h", &[0, 2], &[Index, Numbers]) };
    let of = pieces(json!({"rows": true}), std::slice::from_ref(&list));
    let values = Tensor::arange(8, (Kind::Double, Device::Cpu)).view([4, 2]);
    let column = Column::List { values, offsets: Tensor::from_slice(&[0i64, 1, 1, 4]) };
    let Column::Array(rows) = of.cut(&list).column(&column, &[(2, 2), (0, 0), (2, 0)]) else { panic!() };
    assert_eq!((of.count(), host(&rows)), (None, vec![6.0, 7.0, 0.0, 1.0, 2.0, 3.0]));
    let spec = of.cut(&list).spec(list);
    assert!(!spec.ragged && spec.shape == [2] && spec.kinds() == [Numbers]);
}

const ROWS: usize = 20;
const CAMPAIGN: &str = r#"
output = "o"
seed = 3
[dataset]
file = "d.h5"
x = "low"
parameters.a = { min = 0.0, max = 1.0 }
axes.low = ["periodic", "periodic", "periodic"]
axes.high = ["periodic", "periodic", "periodic"]
axes.maps = ["view", "flat", "flat"]
[[train]]
name = "painter"
input = "low"
target = "high"
epochs = 60
batch_size = 24
learning_rate = 0.1
network = { kind = "paint" }
[train.data]
symmetries = ["turn", "flip"]
pieces = { side = 4, overlap = 1 }
[[train]]
name = "views"
input = "maps"
epochs = 2
network = { kind = "vmim", transform = "none", summaries = 1, mlp = { hidden = 4, layers = 1 }, flow = { layers = 1, hidden = 4, bins = 4 } }
data = { pieces = { along = "view" } }
"#;
/// On a file of this program, for lists stand in no other.
const LISTS: &str = r#"
[[train]]
name = "each"
input = "halos"
epochs = 2
network = { kind = "vmim", transform = "none", summaries = 1, mlp = { hidden = 4, layers = 1 }, flow = { layers = 1, hidden = 4, bins = 4 } }
data = { pieces = { rows = true } }
[[train]]
name = "above"
input = "each"
epochs = 2
network = { kind = "vmim", transform = "none", summaries = 1, mlp = { hidden = 4, layers = 1 }, flow = { layers = 1, hidden = 4, bins = 4 } }
[[train]]
name = "frozen"
input = "each"
epochs = 2
frozen = true
network = { kind = "vmim", transform = "none", summaries = 1, mlp = { hidden = 4, layers = 1 }, flow = { layers = 1, hidden = 4, bins = 4 } }
"#;

/// Boxes of 6³ points and of 12³, three views, a spectrum, and as many halos as the row modulo 4 says.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("run.toml"), CAMPAIGN).unwrap();
    let file = hdf5::File::create(place.path().join("d.h5")).unwrap();
    let write = |name: &str, shape: &[usize], values: &[f64]| {
        file.new_dataset::<f64>().shape(shape).create(name).unwrap().write_raw(values).unwrap();
    };
    let number = |i: usize, k: usize| ((i * 1009 + k) as f64 * 0.618).fract();
    let fill = |n: usize| (0..ROWS).flat_map(|i| (0..n).map(move |k| number(i, k))).collect::<Vec<f64>>();
    write("theta", &[ROWS, 1], &(0..ROWS).map(|i| (i as f64 * 0.37).fract()).collect::<Vec<_>>());
    write("low", &[ROWS, 6, 6, 6], &fill(216));
    let high = |i: usize, k: usize| 2.0 * number(i, (k / 288 * 6 + k / 24 % 6) * 6 + k / 2 % 6) + 1.0;
    let high: Vec<f64> = (0..ROWS).flat_map(|i| (0..1728).map(move |k| high(i, k))).collect();
    write("high", &[ROWS, 12, 12, 12], &high);
    write("maps", &[ROWS, 3, 4, 4], &fill(48));
    write("power", &[ROWS, 2], &fill(2));
    file.create_group("halos").unwrap();
    let lengths = (0..ROWS).map(|i| i % 4);
    let offsets: Vec<u64> = std::iter::once(0)
        .chain(lengths.scan(0, |end, n| {
            *end += n as u64;
            Some(*end)
        }))
        .collect();
    let n = offsets[ROWS] as usize;
    write("halos/data", &[n, 2], &(0..2 * n).map(|k| number(7, k)).collect::<Vec<_>>());
    file.new_dataset::<u64>().shape([ROWS + 1]).create("halos/offsets").unwrap().write_raw(&offsets).unwrap();
    let split: Vec<u8> = (0..ROWS).map(|i| [0, 0, 0, 1, 2][i % 5]).collect();
    file.new_dataset::<u8>().shape([ROWS]).create("split").unwrap().write_raw(&split).unwrap();
    place
}

/// The same as a file of this program, with halos and stars.
fn with_lists() -> tempfile::TempDir {
    let place = place();
    let axes: Vec<&str> = CAMPAIGN.lines().filter(|line| !line.starts_with("axes.")).collect();
    std::fs::write(place.path().join("run.toml"), axes.join("\n") + LISTS).unwrap();
    let file = hdf5::File::open_rw(place.path().join("d.h5")).unwrap();
    let box_of = |name: &str, n: usize| FieldSpec::of(name, &[n; 3], &[Periodic; 3]);
    let list = |name: &str| FieldSpec { ragged: true, ..FieldSpec::of(name, &[0, 2], &[Index, Numbers]) };
    let (maps, power) =
        (FieldSpec::of("maps", &[3, 4, 4], &[View, Flat, Flat]), FieldSpec::of("power", &[2], &[Numbers]));
    let mut specs = [box_of("low", 6), box_of("high", 12), maps, power, list("halos"), list("stars")];
    specs.iter_mut().for_each(|spec| spec.dtype = polycosm::io::field::Dtype::F64);
    let fields = serde_json::to_string(&specs).unwrap();
    for (name, text) in [("version", "polycosm 0.10.0"), ("fields", &fields)] {
        let text: hdf5::types::VarLenUnicode = text.parse().unwrap();
        file.new_attr::<hdf5::types::VarLenUnicode>().create(name).unwrap().write_scalar(&text).unwrap();
    }
    file.new_attr::<u64>().create("format_version").unwrap().write_scalar(&1).unwrap();
    // One star is another universe's.
    file.create_group("stars").unwrap();
    let data = file.dataset("halos/data").unwrap().read_raw::<f64>().unwrap();
    file.new_dataset::<f64>().shape([data.len() / 2, 2]).create("stars/data").unwrap().write_raw(&data).unwrap();
    let mut offsets = file.dataset("halos/offsets").unwrap().read_raw::<u64>().unwrap();
    offsets[6] += 1;
    file.new_dataset::<u64>().shape([ROWS + 1]).create("stars/offsets").unwrap().write_raw(&offsets).unwrap();
    place
}

#[track_caller]
fn done(ranks: usize, at: &Path, words: &str) -> String {
    let ended = mpi::own_program(ranks, at, &words.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{words}: {}", ended.text);
    ended.text
}

fn weights(at: &Path, output: &str) -> Vec<f64> {
    let file = at.join(output).join("train/painter/weights.safetensors");
    Tensor::read_safetensors(file).unwrap().iter().flat_map(|(_, t)| host(t)).collect()
}

#[test]
fn a_painter_learns_from_crops_and_paints_them() {
    let place = place();
    let at = place.path();
    done(1, at, "train run.toml painter");
    let one = weights(at, "o");
    assert!((one[0] - 2.0).abs() < 0.1 && (one[1] - 1.0).abs() < 0.1, "{one:?}");
    for ranks in [2, 3] {
        done(ranks, at, &format!("train run.toml painter --set output=r{ranks}"));
        let off = weights(at, &format!("r{ranks}")).iter().zip(&one).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-4, "{off} apart on {ranks} ranks");
    }
    // Killed after some epochs, it goes on to the same bits.
    let words = ["train", "run.toml", "painter", "--set", "output=k"];
    mpi::kill_when(mpi::own_command(1, at, &words), || at.join("k/train/painter/checkpoint.safetensors").exists());
    assert!(!at.join("k/train/painter/model.json").exists());
    done(1, at, &words.join(" "));
    assert_eq!(weights(at, "k"), one);

    done(2, at, "apply run.toml painter");
    let made = Derived::open(&at.join("o/fields/painter.h5")).unwrap();
    assert_eq!(made.data.len(), ROWS * 8);
    assert_eq!(made.data.spec("painted").unwrap().kinds(), [Flat; 3]);
    let splits: Vec<usize> =
        [Split::Train, Split::Validation, Split::Test].map(|split| made.data.rows(split).len()).to_vec();
    assert_eq!(splits, [12 * 8, 4 * 8, 4 * 8]);
    let low = hdf5::File::open(at.join("d.h5")).unwrap().dataset("low").unwrap().read_raw::<f64>().unwrap();
    for (universe, item) in [(3u64, 0u32), (3, 7), (11, 5)] {
        let row = made.row(universe, item).unwrap();
        let starts = [item / 4, item / 2 % 2, item % 2].map(|i| 3 * i as usize);
        let painted = made.data.read_f64("painted", &[row]).unwrap();
        for (k, painted) in painted.iter().enumerate() {
            let [z, y, x] = [(0, k / 64), (1, k / 8 % 8), (2, k % 8)].map(|(a, i)| (starts[a] + i / 2) % 6);
            let by_hand = one[0] * low[universe as usize * 216 + (z * 6 + y) * 6 + x] + one[1];
            assert!((painted - by_hand).abs() < 1e-5, "{universe}, {item}, {k}: {painted} and {by_hand}");
        }
    }
    // Other pieces are another stage.
    let status = done(1, at, "status run.toml --set train.painter.data.pieces.overlap=0");
    assert!(status.contains("train.painter.data.pieces.overlap was 1 and is 0"), "{status}");
}

#[test]
fn views_and_halos_are_samples_and_later_stages_have_the_same() {
    let place = with_lists();
    let at = place.path();
    let text = done(2, at, "train run.toml --set train.painter.epochs=1");
    assert!(text.contains("universes have no rows in halos, and give no sample"), "{text}");
    done(1, at, "apply run.toml --set train.painter.epochs=1");
    let open = |name: &str| Derived::open(&at.join(format!("o/fields/{name}.h5"))).unwrap();
    assert_eq!(open("views").data.len(), 3 * ROWS);
    for name in ["each", "above", "frozen"] {
        let made = open(name);
        assert_eq!(made.data.len(), (0..ROWS).map(|i| i % 4).sum::<usize>(), "{name}");
        assert!(made.row(7, 2).is_ok() && made.row(6, 2).is_err() && made.row(4, 0).is_err());
    }
}

#[test]
fn what_is_no_piece_is_refused() {
    let place = with_lists();
    let at = place.path();
    let refused = |sets: &[&str], words: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", *set]);
        let ended = mpi::own_program(1, at, &["check", "run.toml"].into_iter().chain(sets).collect::<Vec<_>>());
        common::says(&(ended.code, ended.text), 2, &[words, &["remedy"]].concat());
        assert!(!at.join("o").exists(), "something was written");
    };
    let p = "train.painter.data.pieces";
    let (side, overlap) = (format!("{p}.side"), format!("{p}.overlap"));
    refused(&[&format!("{side}=7")], &[&side, "more than the 6 points"]);
    refused(&[&format!("{side}=0")], &[&side, "at least 1"]);
    refused(&[&format!("{side}=[4, 4]")], &[&side, "has 2 numbers", "3 axes in space"]);
    refused(&[&format!("{overlap}=4")], &[&overlap, "no step"]);
    refused(&[&format!("{p}.along=view")], &[p, "2 ways", "give one of"]);
    refused(&[&format!("{p}={{}}")], &[p, "says nothing"]);
    refused(&[&format!("{p}={{ rows = true }}")], &[&format!("{p}.rows"), "has no list"]);
    refused(&["train.painter.data.symmetries=[\"shift\"]"], &["train.painter.data.symmetries", "not periodic"]);
    refused(&["train.painter.target=maps"], &[&side, "do not lie in one space"]);
    let v = "train.views.data.pieces.along";
    refused(&[&format!("{v}=slab")], &[v, "no axis of that kind"]);
    refused(&[&format!("{v}=flat")], &[v, "lies in space"]);
    let e = "train.each.data.pieces";
    refused(&[&format!("{e}={{ side = 2 }}")], &[&format!("{e}.side"), "is a list"]);
    refused(&["train.above.copies=2"], &["train.above.copies", "pieces", "leave it out"]);
    refused(&["train.above.input=[\"each\", \"halos\"]"], &["train.above.input", "whole universes", "stage each"]);
    refused(&["train.above.input=[\"each\", \"views\"]"], &["train.above.input", "other pieces"]);
    let npe = "train.above.network={ kind = \"npe\" }";
    refused(&[npe, "infer.posterior=above"], &["infer.posterior", "pieces of universes", "stage each"]);
    // One list has other rows than another: known when they are read.
    let words = ["train", "run.toml", "each", "--set", "train.each.input=[\"halos\", \"stars\"]"];
    let ended = mpi::own_program(1, at, &words);
    common::says(&(ended.code, ended.text), 2, &["stars", "universe 5 has 2 rows, but 1 of halos", "remedy"]);
}
