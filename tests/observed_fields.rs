//! Observations that are files of fields: one or several in a file, of this program's or of anybody's; all that can be wrong
//! with them is told before anything is drawn.
#![cfg(feature = "torch")]

mod common;
#[path = "observed/lists.rs"]
mod lists;
mod mpi;

use common::says;
use polycosm::comm::Comm;
use polycosm::io::dataset::Dataset;
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use polycosm::io::hdf::{File, Part};
use polycosm::io::observation::{self, FieldFile, Learned, Observation};
use polycosm::io::provenance::Provenance;
use polycosm::io::samples::Samples;
use polycosm::io::simulation::{describe, write_axes};
use polycosm::prior::{Parameter, Prior};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Universes that are learned from and tested with.
const ROWS: usize = 160;
/// Shapes of the fields of one universe: those of the posterior and of the baseline.
const MAPS: [usize; 3] = [2, 8, 8];
const POWER: [usize; 1] = [5];

/// Runs a command on some ranks in a folder: exit code and all that it said.
fn run(ranks: usize, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = mpi::mpirun(ranks);
    command.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(arguments);
    let run = mpi::finish(command, LIMIT);
    (run.code, run.text)
}

fn polycosm(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run(1, folder, arguments)
}

/// Parameters and fields of universe i: maps (2, 8, 8) and spectra (5).
fn universe(i: usize) -> ([f64; 2], Vec<f32>, Vec<f64>) {
    let theta = [(i as f64 * 0.618_034).fract(), (i as f64 * 0.754_878).fract()];
    let noise = |j: usize| ((i * 977 + j * 131) as f64 * 0.569_84).fract() - 0.5;
    let map = (0..128).map(|j| (theta[0] + 0.3 * theta[1] * (j % 3) as f64 + 0.1 * noise(j)) as f32).collect();
    (theta, map, (0..5).map(|k| theta[0] + theta[1] * k as f64 + 0.1 * noise(200 + k)).collect())
}

fn write<T: hdf5::H5Type>(file: &hdf5::Group, name: &str, shape: &[usize], values: &[T]) {
    file.new_dataset::<T>().shape(shape).create(name).unwrap().write_raw(values).unwrap();
}

fn texts(at: &hdf5::Location, name: &str, words: &[&str]) {
    let words: Vec<hdf5::types::VarLenUnicode> = words.iter().map(|w| w.parse().unwrap()).collect();
    at.new_attr::<hdf5::types::VarLenUnicode>().shape(words.len()).create(name).unwrap().write_raw(&words).unwrap();
}

fn text(at: &hdf5::Location, name: &str, word: &str) {
    let word: hdf5::types::VarLenUnicode = word.parse().unwrap();
    at.new_attr::<hdf5::types::VarLenUnicode>().create(name).unwrap().write_scalar(&word).unwrap();
}

fn stacked(n: usize, shape: &[usize]) -> Vec<usize> {
    [&[n], shape].concat()
}

/// A file of some universes, (n, …), or of the only one; then changed.
fn file(path: &Path, universes: &[usize], rows: bool, change: impl Fn(&hdf5::File)) {
    let file = hdf5::File::create(path).unwrap();
    let all: Vec<_> = universes.iter().map(|&i| universe(i)).collect();
    let shape = |shape: &[usize]| if rows { stacked(all.len(), shape) } else { shape.to_vec() };
    write(&file, "maps", &shape(&MAPS), &all.iter().flat_map(|u| u.1.clone()).collect::<Vec<f32>>());
    write(&file, "power", &shape(&POWER), &all.iter().flat_map(|u| u.2.clone()).collect::<Vec<f64>>());
    change(&file);
    file.close().unwrap();
}

/// Data made elsewhere, and a campaign on them with a posterior from maps and a baseline from spectra.
fn campaign() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    file(&folder.path().join("data.h5"), &(0..ROWS).collect::<Vec<_>>(), true, |file| {
        let theta: Vec<f64> = (0..ROWS).flat_map(|i| universe(i).0).collect();
        write(file, "theta", &[ROWS, 2], &theta);
        texts(&file.dataset("theta").unwrap(), "names", &["a", "b"]);
        text(&file.dataset("maps").unwrap(), "units", "K");
    });
    let network = "network = { kind = \"npe\", ensemble = 1, transform = \"none\", \
                   mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8 } }";
    let stage = |name: &str, input: &str| {
        format!("[[train]]\nname = \"{name}\"\ninput = \"{input}\"\nepochs = 2\nbatch_size = 64\n{network}\n")
    };
    let text = format!(
        "output = \"o\"\nseed = 3\n{}{}[infer]\nposterior = \"q\"\nbaseline = \"q_pk\"\ndraws = 50\n\
         [dataset]\nfile = \"data.h5\"\nx = \"maps\"\nparameters.a = {{ min = -0.1, max = 1.1 }}\n\
         parameters.b = {{ min = -0.1, max = 1.1 }}\n[dataset.axes]\nmaps = [\"channel\", \"flat\", \"flat\"]\n\
         power = [\"bin\"]\n",
        stage("q", "maps"),
        stage("q_pk", "power"),
    );
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

fn draws(folder: &Path, name: &str) -> Samples {
    Samples::read(&folder.join(format!("o/posterior/observation-{name}.h5"))).unwrap()
}

/// Files of draws of observations.
fn drawn(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder.join("o/posterior")).into_iter().flatten().flatten();
    let mut names: Vec<String> = names.map(|e| e.file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("observation-"));
    names.sort();
    names
}

#[test]
fn observations_of_a_foreign_campaign() {
    let campaign = campaign();
    let folder = campaign.path();
    says(&polycosm(folder, &["train", "run.toml"]), 0, &[]);
    let infer = |more: &[&str]| polycosm(folder, &[&["infer", "run.toml"], more].concat());

    // One observation that says all of itself, the truth too.
    file(&folder.join("one.h5"), &[1000], false, |file| {
        let truth = universe(1000).0;
        for (name, value) in ["a", "b"].iter().zip(truth) {
            file.new_attr::<f64>().create(*name).unwrap().write_scalar(&value).unwrap();
        }
        let maps = file.dataset("maps").unwrap();
        text(&maps, "units", "K");
        texts(&maps, "axes_kinds", &["channel", "Flat", "flat"]);
    });
    let told = infer(&["--observation", "one.h5"]);
    says(
        &told,
        0,
        &["one, posterior `q`: a = ", "one, posterior `q_pk`", "(truth ", "power: it does not say its axis 1"],
    );
    assert!(!told.1.contains("maps: it does not say"), "{}", told.1);
    assert_eq!(drawn(folder), ["observation-one-q.h5", "observation-one-q_pk.h5"]);
    assert_eq!(draws(folder, "one-q").truth_of(0).unwrap(), universe(1000).0);
    let first = draws(folder, "one-q");

    // The same content in another file, in double precision and as a row of several, gives the same draws; names are told.
    file(&folder.join("several.h5"), &[1001, 1000, 1002], true, |file| {
        let theta: Vec<f64> = [1001, 1000, 1002].iter().flat_map(|&i| universe(i).0).rev().collect();
        write(file, "theta", &[3, 2], &theta.chunks(2).rev().flatten().copied().collect::<Vec<_>>());
        texts(&file.dataset("theta").unwrap(), "names", &["B", "A"]);
        texts(file, "names", &["left", "middle", "right"]);
        let maps: Vec<f64> = [1001, 1000, 1002].iter().flat_map(|&i| universe(i).1).map(f64::from).collect();
        file.unlink("maps").unwrap();
        write(file, "maps", &stacked(3, &MAPS), &maps);
    });
    says(
        &run(2, folder, &["infer", "run.toml", "--observation", "several.h5"]),
        0,
        &["left, posterior", "right, posterior"],
    );
    assert_eq!(drawn(folder).len(), 8);
    let (middle, of) = (draws(folder, "middle-q"), |s: &Samples| s.extras.of.clone().unwrap().observation.unwrap());
    assert_eq!(middle.theta, first.theta);
    assert_eq!((of(&middle).content, of(&middle).row), (of(&first).content, Some(1)));
    assert_eq!(draws(folder, "right-q_pk").truth_of(0).unwrap(), universe(1002).0);

    // Rows of data are observations, without a name of their own; one may be chosen.
    says(&infer(&["--observation", "data.h5:7"]), 0, &["data-7, posterior"]);
    assert_eq!(draws(folder, "data-7-q").truth_of(0).unwrap(), universe(7).0);
    says(
        &infer(&["--observation", "data.h5:160"]),
        2,
        &["data.h5: there is no row 160 of 160", "remedy: rows count from 0"],
    );

    // Those of the campaign file are drawn once, restaged or not, and again where something in them is another.
    let set = ["--set", "infer.observations=[\"several.h5\", \"one.h5\"]"];
    says(&infer(&set), 0, &["observation several.h5: nothing to do", "observation one.h5: nothing to do"]);
    std::fs::copy(folder.join("several.h5"), folder.join("copy.h5")).unwrap();
    std::fs::rename(folder.join("copy.h5"), folder.join("several.h5")).unwrap();
    says(&infer(&set), 0, &["observation several.h5: nothing to do"]);
    let several = hdf5::File::open_rw(folder.join("several.h5")).unwrap();
    let mut power = several.dataset("power").unwrap().read_raw::<f64>().unwrap();
    power[14] += 0.01;
    several.dataset("power").unwrap().write_raw(&power).unwrap();
    several.close().unwrap();
    let status = polycosm(folder, &["status", "run.toml"]);
    says(
        &status,
        0,
        &["observation-right-q_pk: outdated: the observation holds other data", "observation-right-q: drawn"],
    );
    let again = infer(&set);
    says(&again, 0, &["right-q_pk.h5: drawn anew: the observation holds other data"]);
    assert!(!again.1.contains("left, posterior") && !again.1.contains("right, posterior `q`"), "{}", again.1);

    // All are on the page and in the export.
    says(&polycosm(folder, &["calibrate", "run.toml"]), 0, &[]);
    says(&polycosm(folder, &["report", "run.toml"]), 0, &[]);
    let page = std::fs::read_to_string(folder.join("o/report/index.html")).unwrap();
    ["one", "left", "middle", "right", "data-7"]
        .iter()
        .for_each(|n| assert!(page.contains(&format!("Observation “{n}”"))));
    says(&polycosm(folder, &["export", "run.toml", "--to", "e"]), 0, &["chains-observation-middle-q_pk"]);
    // An export is a file of observations, too.
    assert_eq!(Dataset::open(folder.join("e/dataset.h5"), "theta").unwrap().len(), ROWS);
    says(&infer(&["--observation", "e/dataset.h5:7"]), 0, &["dataset-7, posterior"]);
    assert_eq!(draws(folder, "dataset-7-q").theta, draws(folder, "data-7-q").theta);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_drawn() {
    let campaign = campaign();
    let folder = campaign.path();
    let observed = |name: &str| format!("infer.observations=[\"good.h5\", \"{name}\"]");
    type Change = fn(&hdf5::File);
    let cases: [(&str, bool, Change, &[&str]); 15] = [
        (
            "lacks",
            false,
            |f| f.unlink("power").unwrap(),
            &["power: no such dataset", "maps", "remedy: networks find a field by its name", "f.move("],
        ),
        (
            "shape",
            false,
            |f| {
                f.unlink("maps").unwrap();
                write(f, "maps", &[2, 8, 4], &[0f32; 64]);
            },
            &["maps: has the shape [2, 8, 4], and the networks learned from [2, 8, 8]", "(n, …)"],
        ),
        (
            "rows",
            true,
            |f| {
                f.unlink("power").unwrap();
                write(f, "power", &[3, 5], &[0f64; 15]);
            },
            &["power: holds 3 rows, but maps holds 2 rows"],
        ),
        (
            "unit",
            false,
            |f| text(&f.dataset("maps").unwrap(), "unit", "mK"),
            &["maps: its unit is \"mK\", and the networks learned from \"K\"", "remedy: "],
        ),
        (
            "axes",
            false,
            |f| texts(&f.dataset("maps").unwrap(), "axes_kinds", &["channel", "periodic", "periodic"]),
            &["maps: its axis 2 (axis2) is periodic, and the networks learned from flat"],
        ),
        (
            "axis",
            true,
            |f| texts(&f.dataset("power").unwrap(), "axes_kinds", &["index", "column"]),
            &["power: its axis 1 (axis1) is column, and the networks learned from bin"],
        ),
        (
            "words",
            false,
            |f| texts(&f.dataset("maps").unwrap(), "axes_kinds", &["channel"]),
            &["maps: its attribute axes_kinds has 1 words", "3 axes"],
        ),
        (
            "nan",
            true,
            |f| {
                let mut power = [1.0; 10];
                power[7] = f64::NAN;
                f.dataset("power").unwrap().write_raw(&power).unwrap();
            },
            &["power: row 1: 1 number(s) are NaN or infinite", "remedy: mend them"],
        ),
        (
            "huge",
            false,
            |f| {
                f.unlink("maps").unwrap();
                write(f, "maps", &MAPS, &[1e300; 128]);
            },
            &["maps: it is beyond single precision", "remedy: "],
        ),
        (
            "text",
            false,
            |f| {
                f.unlink("power").unwrap();
                let word: hdf5::types::VarLenUnicode = "many".parse().unwrap();
                write(f, "power", &[5], &vec![word; 5]);
            },
            &["power: holds text, not numbers"],
        ),
        (
            "truths",
            true,
            |f| array(f, "a", &[0.1, 0.2, 0.3]),
            &["a: the attribute has 3 numbers for 2 observations", "remedy: give one number for each"],
        ),
        (
            "two-truths",
            true,
            |f| {
                array(f, "a", &[0.1, 0.2]);
                write(f, "theta", &[2, 2], &[0.1, 0.5, 0.3, 0.5]);
                texts(&f.dataset("theta").unwrap(), "parameters", &["a", "b"]);
            },
            &["a: the root's attribute and theta tell different values"],
        ),
        ("none", true, |f| write(f, "status", &[2], &[1u8, 1]), &["holds no observation", "remedy: "]),
        (
            "many",
            true,
            |f| {
                ["maps", "power"].iter().for_each(|name| f.unlink(name).unwrap());
                write(f, "maps", &stacked(300, &MAPS), &[0f32; 300 * 128]);
                write(f, "power", &[300, 5], &[0f64; 1500]);
            },
            &["holds 300 observations, and 256 are the most", "remedy: choose some: --observation many.h5:0"],
        ),
        (
            "snapshot",
            false,
            |f| {
                f.create_group("Header").unwrap();
                f.create_group("PartType1").unwrap();
            },
            &["is a snapshot of particles", "remedy: give a file of the fields that the networks read: maps, power"],
        ),
    ];
    file(&folder.join("good.h5"), &[1], false, |_| {});
    for (name, rows, change, _) in cases {
        file(&folder.join(name).with_extension("h5"), if rows { &[1, 2] } else { &[1] }, rows, change);
    }
    // What a file's description tells, `check` and all others say before they begin.
    let late = ["nan", "huge"];
    for (i, (name, _, _, words)) in cases.into_iter().enumerate().filter(|(_, case)| !late.contains(&case.0)) {
        let (command, ranks) = if i == 1 { ("run", 2) } else { ("check", 1) };
        let told = run(ranks, folder, &[command, "run.toml", "--set", &observed(&format!("{name}.h5"))]);
        says(&told, 2, &[words, &[&format!("{name}.h5")]].concat());
        assert_eq!(told.1.matches("polycosm: error").count(), 1, "{}", told.1);
    }
    let check = |file: &str| polycosm(folder, &["check", "run.toml", "--set", &observed(file)]);
    says(&check("gone.h5"), 2, &["infer.observations", "gone.h5", "no such file", "remedy: "]);
    says(&check("good.h5:1"), 2, &["no row 1"]);
    says(&check("run.toml"), 2, &["is not an HDF5 file"]);
    says(&polycosm(folder, &["check", "run.toml", "--set", "infer.observations=[\"good.h5\"]"]), 0, &[]);
    // What is odd and can be passed over is told.
    file(&folder.join("odd.h5"), &[1, 2, 3], true, |f| {
        write(f, "theta", &[3, 2], &[0.5, 7.0, f64::NAN, 0.5, 0.5, 0.5]);
        texts(&f.dataset("theta").unwrap(), "parameters", &["a", "b"]);
        array(f, "names", &[1.0, 2.0, 3.0]);
        f.dataset("power").unwrap().new_attr::<f64>().create("units").unwrap().write_scalar(&1.0).unwrap();
        text(f, "b", "0.5");
    });
    let odd = [
        "the attribute names of the root holds no text",
        "the attribute units of power holds no text",
        "the attribute b holds text, not a number",
        "the truth of 1 observation is not known: it holds NaN",
        "the truth of 1 observation lies outside the prior",
    ];
    let told = check("odd.h5");
    says(&told, 0, &odd);
    odd.iter().for_each(|words| assert_eq!(told.1.matches(words).count(), 1, "{}", told.1));
    says(&check("odd.h5:2"), 0, &odd[..3]);
    assert!(!check("odd.h5:2").1.contains("the truth of"));
    assert!(!folder.join("o").exists(), "something was written");

    says(&polycosm(folder, &["train", "run.toml"]), 0, &[]);
    for (name, _, _, words) in
        cases.into_iter().filter(|case| [&late[..], &["unit", "many"]].concat().contains(&case.0))
    {
        let named = format!("{name}.h5");
        let told = run(2, folder, &["infer", "run.toml", "--observation", "good.h5", "--observation", &named]);
        says(&told, 2, &[words, &[&named]].concat());
        assert_eq!(told.1.matches("polycosm: error").count(), 1, "{}", told.1);
        assert!(drawn(folder).is_empty(), "{name}: drawn before all was looked at");
    }
    says(&polycosm(folder, &["infer", "run.toml", "--observation", "gone.h5"]), 2, &["gone.h5: no such file"]);
}

/// Bins of wavenumber of two named spectra, and a pair of components on the sky.
fn spectra() -> FieldSpec {
    let components = Axis { spins: vec![2, 2], ..Axis::named(AxisKind::Channel, "component", ["first", "second"]) };
    let k = Axis::bins("k", "h/Mpc", vec![0.0, 0.1, 0.2, 0.3], vec![-0.05, 0.05, 0.15, 0.25, 0.35]);
    let axes = vec![components, k];
    FieldSpec { axes, unit: "(Mpc/h)^3".into(), dtype: Dtype::F64, ..FieldSpec::of("power", &[2, 4], &[]) }
}

fn learned(fields: Vec<FieldSpec>) -> Learned {
    let parameter = |name: &str| Parameter::uniform(name, name, 0.0, 1.0);
    let prior = Prior::new(vec![parameter("Omega_m"), parameter("sigma8")]).unwrap();
    Learned { fields, prior, theta: "theta".into(), own: true }
}

fn opened(path: &Path, learned: &Learned) -> polycosm::error::Result<Vec<Observation>> {
    FieldFile::open(path, None, learned).map(|file| file.observations)
}

#[test]
fn what_a_file_says_of_a_field_is_what_was_learned_from() {
    let (folder, learned) = (tempfile::tempdir().unwrap(), learned(vec![spectra()]));
    let path = folder.path().join("p.h5");
    let open = |change: fn(&mut FieldSpec)| {
        let mut said = spectra();
        change(&mut said);
        let file = File::create(&path).unwrap();
        file.write(None, "power", &[3, 2, 4], &[1f64; 24]).unwrap();
        describe(&file, "power", &said, true).unwrap();
        write_axes(&file, None, &said).unwrap();
        file.close().unwrap();
        opened(&path, &learned).map(|all| all.len())
    };
    assert_eq!(open(|_| {}).unwrap(), 3);
    let another_codes = |f: &mut FieldSpec| {
        f.axes[1].values[2] += 1e-4;
        f.axes[0].spins = vec![];
        f.axes.iter_mut().for_each(|axis| axis.kind = AxisKind::Unsaid);
        f.axes[1].unit = "".into();
    };
    assert_eq!(open(another_codes).unwrap(), 3);
    type Other = fn(&mut FieldSpec);
    let cases: [(Other, &str); 8] = [
        (|f| f.unit = "Mpc^3".into(), "its unit is \"Mpc^3\", and the networks learned from \"(Mpc/h)^3\""),
        (|f| f.unit = "".into(), "its unit is a pure number"),
        (
            |f| f.axes[0].kind = AxisKind::Column,
            "its axis 1 (component) is column, and the networks learned from channel",
        ),
        (|f| f.axes[1].unit = "1/Mpc".into(), "its unit of axis 2 (k) is 1/Mpc"),
        (|f| f.axes[0].labels[1] = "third".into(), "its list of names along axis 1 (component) is first, third"),
        (|f| f.axes[0].spins = vec![0, 0], "its spin along axis 1 (component), number 1, is 0"),
        (|f| f.axes[1].values[3] = 0.31, "its coordinates along axis 2 (k), number 4, is 0.31"),
        (
            |f| f.axes[1].edges[0] = 0.0,
            "its edges along axis 2 (k), number 1, is 0, and the networks learned from -0.05",
        ),
    ];
    for (change, says) in cases {
        let e = open(change).unwrap_err();
        assert!(e.exit_code() == 2 && e.remedy.is_some() && e.to_string().contains("p.h5: power: "), "{e}");
        assert!(e.to_string().contains(says), "{says}: {e}");
    }
}

/// Rows of this program's own files: those that are finished, with their parameters, as they were written.
#[test]
fn own_files_are_read_as_they_were_written() {
    let (folder, mut learned) =
        (tempfile::tempdir().unwrap(), learned(vec![FieldSpec::of("x", &[4], &[AxisKind::Bin])]));
    let path = folder.path().join("own.h5");
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let write = |damage: bool| {
        let file = File::create(&path).unwrap();
        Provenance::collect(&Comm::world(), 1, "").write(&file).unwrap();
        file.write_checked(None, "theta", &[3, 2], &[0.8, 0.1, 0.7, 0.2, 0.6, f64::NAN]).unwrap();
        file.set_texts("theta", "parameters", &["sigma8", "Omega_m"]).unwrap();
        file.write_checked(None, "status", &[3], &[0u8, 1, 0]).unwrap();
        file.write(None, "x", &[3, 4], &x).unwrap();
        let mut sums: Vec<u32> = x.chunks(4).map(|row| crc32fast::hash(bytemuck::cast_slice(row))).collect();
        sums[2] += damage as u32;
        file.write_checked(None, "checksum/x", &[3], &sums).unwrap();
        file.close().unwrap();
    };
    write(false);
    let one = |name: &str, row, truth| Observation { name: name.into(), row: Some(row), truth };
    let all = opened(&path, &learned).unwrap();
    assert_eq!(all, [one("own-0", 0, Some(vec![0.1, 0.8])), one("own-2", 2, None)]);
    let failed = FieldFile::open(&path, Some(1), &learned).err().unwrap();
    assert!(failed.to_string().contains("row 1 is of a universe that failed"), "{failed}");
    // In the precision in which networks read it, whatever the file's.
    let content = |learned: &Learned, path: &Path, row: usize| {
        let file = FieldFile::open(path, Some(row), learned).unwrap();
        let fields = file.read(&file.observations[0]).unwrap();
        (observation::content(&fields, None), fields[0].data.clone())
    };
    let (single, numbers) = content(&learned, &path, 2);
    assert_eq!(numbers, Data::F32(vec![8.0, 9.0, 10.0, 11.0]));
    let plain = folder.path().join("plain.h5");
    let file = File::create(&plain).unwrap();
    file.write(None, "x", &[1, 4], &[8i32, 9, 10, 11]).unwrap();
    file.close().unwrap();
    assert_eq!(content(&learned, &plain, 0).0, single);
    assert_eq!(opened(&plain, &learned).unwrap()[0].name, "plain");
    learned.fields[0].dtype = Dtype::F64;
    let (double, numbers) = content(&learned, &path, 2);
    assert!(double != single && numbers == Data::F64(x[8..].to_vec()));

    write(true);
    let file = FieldFile::open(&path, Some(2), &learned).unwrap();
    let damaged = file.read(&file.observations[0]).unwrap_err().to_string();
    assert!(damaged.contains("own.h5") && damaged.contains("x: the data do not have the checksum"), "{damaged}");
    drop(file);
    // What a link leads to and is gone would read as other numbers.
    let link = folder.path().join("link.h5");
    let file = File::create(&link).unwrap();
    let part = Part { file: "own.h5".into(), array: "x".into(), stored: 3, from: 0, rows: 3, at: 0 };
    file.create_virtual(Dtype::F64, "x", &[3, 4], &[part]).unwrap();
    file.close().unwrap();
    assert_eq!(opened(&link, &learned).unwrap().len(), 3);
    std::fs::remove_file(&path).unwrap();
    let gone = opened(&link, &learned).unwrap_err().to_string();
    assert!(gone.contains("own.h5: holds numbers of") && gone.contains("remedy: put it back"), "{gone}");
}

#[test]
fn a_row_is_chosen_behind_a_colon() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd:3");
    std::fs::write(&odd, "").unwrap();
    assert_eq!(observation::chosen(&odd), (odd, None));
    for (named, row) in [("a.h5:3", Some(3)), ("a.h5", None), ("a:b.h5", None), ("a.h5:", None), ("a.h5:-1", None)] {
        let file = if row.is_some() { "a.h5" } else { named };
        assert_eq!(observation::chosen(Path::new(named)), (file.into(), row), "{named}");
    }
}

fn array(file: &hdf5::File, name: &str, values: &[f64]) {
    file.new_attr::<f64>().shape(values.len()).create(name).unwrap().write_raw(values).unwrap();
}

/// The program of somebody whose universes are lists; in a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    polycosm::simulators::KINDS.add(polycosm::simulators::kind::<lists::Clusters>("clusters"));
    polycosm::models::KINDS.add(polycosm::models::kind::<lists::Pooled>("pooled"));
    polycosm::cli::main(arguments)
}

#[test]
fn lists_are_observed_as_datasets_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), lists::CAMPAIGN).unwrap();
    let run = |ranks, words: &[&str]| {
        let ended = mpi::own_program(ranks, at, words);
        (ended.code, ended.text)
    };
    says(&run(2, &["run", "run.toml"]), 0, &["infer q: "]);
    let dataset = hdf5::File::open(at.join("o/dataset.h5")).unwrap();
    let ends = dataset.dataset("clusters/offsets").unwrap().read_raw::<u64>().unwrap();
    let all = dataset.dataset("clusters/data").unwrap().read_raw::<f64>().unwrap();
    dataset.close().unwrap();
    let list = |i: usize| all[2 * ends[i] as usize..2 * ends[i + 1] as usize].to_vec();
    let of = |wanted: std::ops::Range<usize>| (0..60).find(|&i| wanted.contains(&(list(i).len() / 2))).unwrap();
    let [none, few, many] = [of(0..1), of(1..5), of(5..9)];
    let rows = [none, few, many].map(|i| format!("o/dataset.h5:{i}"));
    let words: Vec<&str> = rows.iter().flat_map(|row| ["--observation", row]).collect();
    says(&run(1, &[&["infer", "run.toml"], &words[..]].concat()), 0, &[&format!("dataset-{none}, posterior `q`")]);

    // One list alone; several, of which those in the middle and at the end are empty.
    let columns = ["mass [Msun/h]", "x [Mpc/h]"];
    let one = hdf5::File::create(at.join("one.h5")).unwrap();
    write(&one, "clusters", &[list(few).len() / 2, 2], &list(few));
    texts(&one.dataset("clusters").unwrap(), "column", &columns);
    one.close().unwrap();
    let several = |name: &str, ends: &[i64], change: &dyn Fn(&hdf5::File)| {
        let file = hdf5::File::create(at.join(name)).unwrap();
        let values = [list(many), list(few)].concat();
        let group = file.create_group("clusters").unwrap();
        write(&group, "data", &[values.len() / 2, 2], &values);
        write(&group, "offsets", &[ends.len()], ends);
        texts(&group.dataset("data").unwrap(), "column", &columns);
        texts(&group.dataset("data").unwrap(), "axes_kinds", &["index", "column"]);
        change(&file);
        file.close().unwrap();
    };
    let (m, end) = (list(many).len() as i64 / 2, (list(many).len() + list(few).len()) as i64 / 2);
    several("several.h5", &[0, m, m, end, end], &|_| {});
    let told = run(2, &["infer", "run.toml", "--observation", "one.h5", "--observation", "several.h5"]);
    says(&told, 0, &["one, posterior `q`", "several-3, posterior `q`"]);
    let theta = |name: &str| draws(at, &format!("{name}-q")).theta;
    assert_eq!(theta("one"), theta(&format!("dataset-{few}")));
    for (i, row) in [many, none, few, none].into_iter().enumerate() {
        assert_eq!(theta(&format!("several-{i}")), theta(&format!("dataset-{row}")), "list {i}");
    }
    assert_ne!(theta("several-0"), theta("several-1"));

    // What is wrong is told before anything begins.
    let refused = |name: &str, ends: &[i64], change: &dyn Fn(&hdf5::File), words: &[&str]| {
        several(name, ends, change);
        let set = format!("infer.observations=[\"{name}\"]");
        says(&run(1, &["check", "run.toml", "--set", &set]), 2, &[words, &[name, "clusters", "remedy: "]].concat());
    };
    let good = [0, m, end];
    refused("falls.h5", &[0, m, m - 1, end], &|_| {}, &["clusters/offsets: number 3 is", "less than"]);
    refused("beyond.h5", &[0, m, end + 1], &|_| {}, &["clusters/offsets: they go from 0 to"]);
    refused("short.h5", &[0, m], &|_| {}, &["clusters/offsets: they go from 0 to"]);
    refused("late.h5", &[1, m, end], &|_| {}, &["clusters/offsets: they go from 1 to"]);
    refused("none.h5", &[0], &|_| {}, &["clusters/offsets: they go from 0 to 0"]);
    let narrow = |file: &hdf5::File| {
        file.unlink("clusters/data").unwrap();
        write(file, "clusters/data", &[end as usize, 1], &vec![1.0; end as usize]);
    };
    refused("narrow.h5", &good, &narrow, &["clusters/data: has the shape", "rows of shape [2]"]);
    let real = |file: &hdf5::File| {
        file.unlink("clusters/offsets").unwrap();
        write(file, "clusters/offsets", &[3], &[0.0, m as f64 + 0.5, end as f64]);
    };
    refused("real.h5", &good, &real, &["clusters/offsets: is no list of whole numbers: it has shape [3]"]);
    let lacks = |file: &hdf5::File| file.unlink("clusters/offsets").unwrap();
    refused("lacks.h5", &good, &lacks, &["clusters/offsets: no such dataset"]);
    let named = |file: &hdf5::File| {
        file.dataset("clusters/data").unwrap().delete_attr("column").unwrap();
        texts(&file.dataset("clusters/data").unwrap(), "column", &["mass [kg]", "x [Mpc/h]"]);
    };
    refused("named.h5", &good, &named, &["its list of names along axis 2 (column) is mass [kg]"]);
    let nan = |file: &hdf5::File| {
        let mut values = vec![1.0; 2 * end as usize];
        values[2 * m as usize] = f64::NAN;
        file.dataset("clusters/data").unwrap().write_raw(&values).unwrap();
    };
    several("nan.h5", &good, &nan);
    let told = run(1, &["infer", "run.toml", "--observation", "nan.h5"]);
    says(&told, 2, &["nan.h5: clusters: row 1: 1 number(s) are NaN"]);
    assert!(drawn(at).iter().all(|name| !name.contains("nan")));
}
