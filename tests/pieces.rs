//! Samples that are pieces of universes: crops tile boxes, views and rows of lists stand alone, splits go by universe, and the
//! steps are the same on any ranks and after a kill.
#![cfg(feature = "torch")]

mod common;
mod mpi;

use polycosm::io::dataset::Split;
use polycosm::io::derived::Derived;
use polycosm::io::field::AxisKind::{Channel, Column as Numbers, Flat, Index, Periodic, View};
use polycosm::io::field::HealpixOrder;
use polycosm::models::prelude::*;
use polycosm::models::{Column, Device};
use polycosm::nets::host;
use polycosm::train::{Pieces, StageConfig};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A painter: each point of the target is a x + b, of the point of a grid of half its size that it lies in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
        let (part, made) = (task.part("painter"), task.array("target")?.clone());
        assert_eq!((&made.kinds()[..], task.array("x")?.kinds()), (&[Flat; 3][..], vec![Flat; 3]));
        let a = part.vs.root().zeros("a", &[2]);
        Ok(Box::new(Painter { parts: [part], a, made: FieldSpec { name: "painted".into(), ..made } }))
    }
}

impl Painter {
    fn paint(&self, batch: &Batch) -> Result<Tensor> {
        let fine = |x: Tensor, dim| x.repeat_interleave_self_int(2, dim, None);
        Ok((1..4).fold(batch.array("x")?.shallow_clone(), fine) * self.a.get(0) + self.a.get(1))
    }
}

impl Model for Painter {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let off = (self.paint(batch)? - batch.array("target")?).square();
        Ok(vec![Score::new("off", off.flatten(1, -1).mean_dim([1i64].as_slice(), false, None::<Kind>), &[0])])
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
    try_pieces(config, fields).unwrap()
}

fn try_pieces(config: Value, fields: &[FieldSpec]) -> Result<Pieces> {
    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    let stage = json!({"name": "s", "input": names, "network": {"kind": "npe"}, "data": {"pieces": config}});
    let stage: StageConfig = serde_json::from_value(stage).unwrap();
    let spec = |name: &str| fields.iter().find(|f| f.name == name).cloned();
    Pieces::of(std::slice::from_ref(&stage), &stage, &spec).map(Option::unwrap)
}

/// The shape of a piece of a field, and the pieces of universe 1 of two that count their numbers.
fn cut(pieces: &Pieces, field: &FieldSpec, items: u32) -> (Vec<usize>, Vec<AxisKind>, Vec<Vec<f64>>) {
    let shape: Vec<i64> = std::iter::once(2).chain(field.shape.iter().map(|&n| n as i64)).collect();
    let all = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)).view(shape.as_slice());
    let (cut, each) = (pieces.cut(field).unwrap(), (0..items).map(|item| (1, item)).collect::<Vec<_>>());
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
    assert!(of.cut(&power).is_none(), "a spectrum is all pieces'");
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
    let Column::Array(rows) = of.cut(&list).unwrap().column(&column, &[(2, 2), (0, 0), (2, 0)]) else { panic!() };
    assert_eq!((of.count(), host(&rows)), (None, vec![6.0, 7.0, 0.0, 1.0, 2.0, 3.0]));
    let spec = of.cut(&list).unwrap().spec(list);
    assert!(!spec.ragged && spec.shape == [2] && spec.kinds() == [Numbers]);
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let of = |shape: &[usize], kinds: &[AxisKind]| FieldSpec::of("q", shape, kinds);
    let boxes = FieldSpec::of("b", &[8, 8], &[Periodic; 2]);
    let sphere = of(&[12], &[AxisKind::Healpix { nside: 1, order: HealpixOrder::Ring }]);
    let list = FieldSpec { ragged: true, ..of(&[0, 2], &[Index, Numbers]) };
    let mut shear = of(&[2, 8, 8], &[Channel, Periodic, Periodic]);
    shear.axes[0].spins = vec![2, 2];
    let refused = |config: Value, fields: &[&FieldSpec], words: [&str; 2]| {
        let e = try_pieces(config, &fields.iter().copied().cloned().collect::<Vec<_>>()).unwrap_err();
        assert_eq!(e.key, Some(format!("train.s.data.pieces{}", words[0])), "{e}");
        assert!(e.exit_code() == 2 && e.problem.contains(words[1]) && e.remedy.is_some(), "{e}");
    };
    refused(json!({"side": 2}), &[&sphere], [".side", "q has pixels of the sphere"]);
    refused(json!({"side": 2}), &[&boxes, &list], [".side", "q is a list"]);
    refused(json!({"side": 2}), &[&of(&[8, 8], &[Channel, Channel])], [".side", "axes in space"]);
    refused(json!({"side": 2}), &[&boxes, &of(&[8, 12], &[Periodic; 2])], [".side", "q has 12 points"]);
    refused(json!({"side": 2}), &[&boxes, &of(&[8, 8], &[Flat; 2])], [".side", "q does not lie in one space"]);
    refused(json!({"side": 1}), &[&of(&[2048; 2], &[Flat; 2])], [".side", "4.2e6 pieces of a universe"]);
    refused(json!({"along": "channel"}), &[&shear], [".along", "components there, which belong together"]);
    let twice = of(&[3, 3], &[Channel; 2]);
    refused(json!({"along": "channel"}), &[&twice], [".along", "q has several axes of that kind"]);
    let [three, four] = [("p", 3), ("q", 4)].map(|(name, n)| FieldSpec::of(name, &[n], &[View]));
    refused(json!({"along": "view"}), &[&three, &four], [".along", "q has 4 of them, and others of the fields 3"]);
    refused(json!({"along": "index"}), &[&list], [".along", "q is a list"]);
    refused(json!({"along": "slab"}), &[&boxes], [".along", "has an axis of that kind"]);
    refused(json!({"along": "flat"}), &[&boxes], [".along", "stands alone"]);
    refused(json!({"rows": true}), &[&boxes], [".rows", "reads no list"]);
    refused(json!({"side": 0}), &[&boxes], [".side", "8 points on a side"]);
    refused(json!({"side": [4, 9]}), &[&boxes], [".side", "8 points on a side"]);
    refused(json!({"side": [4, 4, 4]}), &[&boxes], [".side", "b has 2 axes in space"]);
    refused(json!({"along": "view", "overlap": 1}), &[&three], [".overlap", "no step"]);
    let both = json!({"side": 4, "along": "view"});
    refused(both, &[&boxes], ["", "one of side, along and rows"]);
    refused(json!({}), &[&boxes], ["", "one of side, along and rows"]);
    // Components of shear are cut in space with all others.
    assert_eq!(cut(&pieces(json!({"side": 4}), std::slice::from_ref(&shear)), &shear, 1).0, [2, 4, 4]);
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
learning_rate = 0.2
network = { kind = "paint" }
[train.data]
symmetries = ["turn", "flip"]
pieces = { side = 4, overlap = 1 }
noise = [{ field = "low", sigma = 0.01 }]
masks = [{ field = "low", file = "low-mask.h5", fill = 0.5 }, { field = "high", file = "high-mask.h5", fill = 2.0 }]
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

/// Points of the box of 6³ that masks leave.
fn seen([z, y, x]: [usize; 3]) -> bool {
    (3 * z + y + x) % 5 > 0
}

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
    for (name, n, points) in [("low", 6, 1), ("high", 12, 2)] {
        let file = hdf5::File::create(place.path().join(format!("{name}-mask.h5"))).unwrap();
        let seen = |k: usize| seen([k / n / n, k / n % n, k % n].map(|i| i / points)) as u8 as f64;
        let all: Vec<f64> = (0..n * n * n).map(seen).collect();
        file.new_dataset::<f64>().shape([n; 3]).create("mask").unwrap().write_raw(&all).unwrap();
    }
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

    // The same pieces with the same noise, whoever makes them.
    let painted = [1, 3, 2].map(|ranks| {
        let _ = std::fs::remove_file(at.join("o/fields/painter.h5"));
        done(ranks, at, "apply run.toml painter");
        let file = hdf5::File::open(at.join("o/fields/painter.h5")).unwrap();
        let universes = file.dataset("universe").unwrap().read_raw::<u64>().unwrap();
        (file.dataset("painted").unwrap().read_raw::<f64>().unwrap(), universes)
    });
    assert!(painted[0] == painted[1] && painted[0] == painted[2]);
    let made = Derived::open(&at.join("o/fields/painter.h5")).unwrap();
    assert_eq!(made.data.len(), ROWS * 8);
    assert_eq!(made.data.spec("painted").unwrap().kinds(), [Flat; 3]);
    let splits: Vec<usize> =
        [Split::Train, Split::Validation, Split::Test].map(|split| made.data.rows(split).len()).to_vec();
    assert_eq!(splits, [12 * 8, 4 * 8, 4 * 8]);
    let of = |split| made.data.rows(split).into_iter().map(|row| painted[0].1[row]).collect::<BTreeSet<_>>();
    let [train, validation, test] = [Split::Train, Split::Validation, Split::Test].map(of);
    assert_eq!([train.len(), validation.len(), test.len()], [12, 4, 4]);
    assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
    let low = hdf5::File::open(at.join("d.h5")).unwrap().dataset("low").unwrap().read_raw::<f64>().unwrap();
    let mut noise: BTreeMap<(u64, u32, [usize; 3]), f64> = BTreeMap::new();
    for (universe, item) in [(3u64, 0u32), (3, 7), (11, 5)] {
        let row = made.row(universe, item).unwrap();
        let starts = [item / 4, item / 2 % 2, item % 2].map(|i| 3 * i as usize);
        let painted = made.data.read_f64("painted", &[row]).unwrap();
        for (k, painted) in painted.iter().enumerate() {
            let [z, y, x] = [(0, k / 64), (1, k / 8 % 8), (2, k % 8)].map(|(a, i)| (starts[a] + i / 2) % 6);
            let input = (painted - one[1]) / one[0];
            if !seen([z, y, x]) {
                assert!((input - 0.5).abs() < 1e-5, "{universe}, {item}, {k}: {input} where nothing is seen");
                continue;
            }
            let added = input - low[universe as usize * 216 + (z * 6 + y) * 6 + x];
            assert!(added.abs() < 0.06, "{universe}, {item}, {k}: {added} was added");
            noise.insert((universe, item, [z, y, x]), added);
        }
    }
    let rms = (noise.values().map(|n| n * n).sum::<f64>() / noise.len() as f64).sqrt();
    assert!((rms / 0.01 - 1.0).abs() < 0.2, "{rms}");
    // Where pieces of a universe overlap, each has its own.
    let twice: Vec<f64> =
        noise.iter().filter_map(|(&(u, item, at), n)| Some(noise.get(&(u, 7 - item, at))? - n)).collect();
    assert!(twice.len() == 2 * 6 && twice.iter().all(|off| off.abs() > 1e-5), "{twice:?}");
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
    // Values are told as they are written.
    refused(&[&format!("{side}=7")], &[&format!("{side} = 7: "), "6 points on a side", "give 1 to 6"]);
    let both = format!("{p} = {{ side = 4, overlap = 1, along = \"view\" }}: one of side, along and rows");
    refused(&[&format!("{p}.along=view")], &[&both]);
    refused(&[&format!("{overlap}=4")], &[&overlap, "= 4", "no step", "less than the `side`"]);
    refused(&["train.painter.data.symmetries=[\"shift\"]"], &["train.painter.data.symmetries", "not periodic"]);
    refused(&["train.above.copies=2"], &["train.above.copies", "pieces", "leave it out"]);
    refused(
        &["train.above.input=[\"each\", \"halos\"]"],
        &["train.above.input = halos", "whole universes", "stage each"],
    );
    refused(
        &["train.above.input=[\"each\", \"views\"]"],
        &["train.above.input", "each, views", "cuts universes into other pieces than stage"],
    );
    let whole = "train.above.input=power";
    let both = "train.frozen.input=[\"each\", \"above\"]";
    refused(&[whole, both], &["train.frozen.frozen = true", "stage above looks at whole universes", "leave it out"]);
    let npe = "train.above.network={ kind = \"npe\" }";
    let words = ["infer.baseline", "pieces of universes", "stage each", "sees whole universes"];
    refused(&[whole, npe, "infer.posterior=above", "infer.baseline=each"], &words);
    refused(&[npe, "infer.posterior=above"], &["infer.posterior", "pieces of universes", "stage each"]);
    // One list has other rows than another: known when they are read.
    let words = ["train", "run.toml", "each", "--set", "train.each.input=[\"halos\", \"stars\"]"];
    let ended = mpi::own_program(1, at, &words);
    common::says(&(ended.code, ended.text), 2, &["stars", "universe 5 has 2 rows, but 1 of halos", "remedy"]);
}

#[test]
fn a_plan_counts_pieces() {
    let text = std::fs::read_to_string("recipes/smoke.toml").unwrap();
    let text = text.replace("posterior = \"posterior\"\nbaseline = \"posterior_pk\"", "posterior = \"posterior_pk\"");
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("run.toml"), text).unwrap();
    // Two summaries of 64 universes, or of four quarters of each.
    let plan = |set: &str| done(2, place.path(), &format!("plan run.toml -n 2 --set {set}"));
    let [whole, pieces] = ["seed=7", "train.compressor.data.pieces.side=16"].map(plan);
    assert!(whole.contains("fields/compressor.h5, 512.000 B in all"), "{whole}");
    assert!(pieces.contains("fields/compressor.h5, 2.048 kB in all"), "{pieces}");
}
