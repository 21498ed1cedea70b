//! What other programs get of a dataset: chosen universes, files and folders that Python reads, and the examples of
//! `docs/python.md`, as they stand there.

mod common;
mod mpi;

use common::{python, repository, says};
use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::{Dataset, Split};
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use polycosm::io::hdf::File;
use polycosm::io::provenance::Provenance;
use polycosm::io::samples::Samples;
use polycosm::simulators::{Job, Output, Runner};
use polycosm::suite::design::DesignConfig;
use polycosm::suite::{Options, Suite, SuiteConfig, simulate};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Maps and lists that depend on parameters alone; universe 3 fails.
struct Fake;

impl Runner for Fake {
    fn specs(&self) -> Vec<FieldSpec> {
        let maps = FieldSpec::of("maps", &[2, 3, 3], &[AxisKind::View, AxisKind::Flat, AxisKind::Flat]);
        let columns = Axis::named(AxisKind::Column, "column", ["mass", "x"]);
        let axes = vec![Axis::new(AxisKind::Index, "halo", ""), columns];
        let halos = FieldSpec { axes, ragged: true, dtype: Dtype::F64, ..FieldSpec::vector("halos", 0) };
        let mut power = FieldSpec::vector("power", 4);
        power.axes = vec![Axis::bins("k", "h/Mpc", vec![0.5, 1.5, 2.5, 3.5], vec![0.0, 1.0, 2.0, 3.0, 4.0])];
        let sources = Axis::named(AxisKind::Channel, "source", ["z = 0.5", "it's far"]);
        let whole = Axis::sphere(2, &[[0, 48]]);
        let kappa = FieldSpec { axes: vec![sources.clone(), whole], ..FieldSpec::of("kappa", &[2, 48], &[]) };
        let part = Axis::sphere(2, &[[3, 6], [40, 42]]);
        let part = FieldSpec { axes: vec![sources, part], dtype: Dtype::F64, ..FieldSpec::of("part", &[2, 5], &[]) };
        vec![maps, FieldSpec { shape: vec![0, 2], ..halos }, power, kappa, part]
    }

    fn simulate(&self, _: &Comm, job: &Job) -> Result<Output> {
        if job.index == 3 {
            return Err(Error::failed("on purpose"));
        }
        let a = job.theta.values()[0];
        let halos: Vec<f64> = (0..2 * (job.index % 3)).map(|k| a + k as f64).collect();
        let data = [
            Data::F32((0..18).map(|k| a as f32 + k as f32).collect()),
            Data::F64(halos),
            Data::F32((0..4).map(|k| a as f32 * k as f32).collect()),
            Data::F32((0..96).map(|k| a as f32 + k as f32).collect()),
            Data::F64((0..10).map(|k| a - k as f64).collect()),
        ];
        let rows = [2, job.index as usize % 3, 4, 2, 2];
        let fields = self.specs().into_iter().zip(data).zip(rows);
        Ok(Output { fields: fields.map(|((spec, data), rows)| Field { spec, rows, data }).collect(), timings: vec![] })
    }
}

/// A folder with a dataset of 40 universes in shards of 8, `runs/mine`, and a campaign that reads it, `run.toml`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let text =
            "simulations = 40\n[parameters.Omega_m]\nmin = 0.1\nmax = 0.5\n[parameters.sigma8]\nmin = 0.6\nmax = 1.0\n";
        let design: DesignConfig = toml::from_str(text).unwrap();
        let design = design.resolve(&design.parameters.prior().unwrap(), 5).unwrap();
        let (output, world) = (place.path("runs/mine"), &Comm::world());
        let config = SuiteConfig { shard_size: 8.into(), ..Default::default() };
        let (shape, provenance) = (serde_json::json!({ "seed": 5 }), Provenance::collect(world, 5, ""));
        let suite = Suite {
            output: &output,
            design: &design,
            config: &config,
            kept: 0,
            seed: 5,
            provenance: &provenance,
            shape,
            files: vec![],
        };
        assert!(simulate(world, &suite, &Fake, &Options::default()).unwrap().complete);
        std::fs::write(
            place.path("run.toml"),
            "output = \"o\"\n[dataset]\nfile = \"runs/mine/dataset.h5\"\nx = \"maps\"\n",
        )
        .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self) -> Dataset {
        Dataset::open(self.path("runs/mine/dataset.h5"), "theta").unwrap()
    }

    /// A compressor and a posterior of its maps, trained in a trice, with their draws, in `runs/mine`.
    #[cfg(feature = "torch")]
    fn trained(&self) {
        let data = "[dataset]\nfile = \"runs/mine/dataset.h5\"\nx = \"maps\"\n";
        let stage = |name: &str, input: &str, kind: &str| {
            format!("[[train]]\nname = {name:?}\ninput = {input:?}\nepochs = 2\nnetwork = {{ kind = {kind:?} }}\n")
        };
        let stages = stage("compressor", "maps", "vmim") + &stage("posterior", "compressor", "npe");
        std::fs::write(
            self.path("train.toml"),
            format!("output = \"trained\"\n{stages}{data}[infer]\nposterior = \"posterior\"\n"),
        )
        .unwrap();
        for command in ["train", "infer"] {
            let mut run = mpi::mpirun(1);
            run.current_dir(self.0.path()).arg(env!("CARGO_BIN_EXE_polycosm")).args([command, "train.toml"]);
            mpi::succeed(run);
        }
        for folder in ["train", "posterior"] {
            std::fs::rename(self.path("trained").join(folder), self.path("runs/mine").join(folder)).unwrap();
        }
    }

    /// `polycosm export run.toml --to TO` with these words.
    #[track_caller]
    fn export(&self, to: &str, words: &[&str], code: i32, parts: &[&str]) {
        let mut command = mpi::mpirun(1);
        command.current_dir(self.0.path()).arg(env!("CARGO_BIN_EXE_polycosm"));
        command.args(["export", "run.toml", "--to", to]).args(words);
        let ran = mpi::finish(command, std::time::Duration::from_secs(60));
        says(&(ran.code, ran.text), code, parts);
    }

    /// Rows that an export has, whose numbers are those of the dataset.
    fn rows(&self, to: &str) -> Vec<u64> {
        let (all, some) = (self.data(), Dataset::open(self.path(to), "theta").unwrap());
        let rows = File::open(&self.path(to)).unwrap().read::<u64>("index").unwrap();
        for (i, &row) in rows.iter().enumerate() {
            let row = row as usize;
            assert_eq!((some.theta_of(i), some.split()[i]), (all.theta_of(row), all.split()[row]));
            assert_eq!(some.read_f32("maps", &[i]).unwrap(), all.read_f32("maps", &[row]).unwrap());
            assert_eq!(some.read_list("halos", i).unwrap(), all.read_list("halos", row).unwrap());
        }
        assert_eq!(some.prior, all.prior);
        let made = all.made().unwrap();
        assert!(!rows.is_empty() && made.iter().any(|made| made.finished > 1e9 && !made.node.is_empty()));
        assert_eq!(some.made().unwrap(), rows.iter().map(|&row| made[row as usize].clone()).collect::<Vec<_>>());
        rows
    }
}

#[test]
fn universes_are_chosen_by_row_by_parameter_and_by_split() {
    let place = Place::new();
    let data = place.data();
    let chosen = |holds: &dyn Fn(usize) -> bool| -> Vec<u64> {
        (0..40).filter(|&i| i != 3 && holds(i)).map(|i| i as u64).collect()
    };
    place.export("all", &[], 0, &["1 of 40 rows not finished: left out"]);
    assert_eq!(place.rows("all/dataset.h5"), chosen(&|_| true));
    place.export("e", &["--only", "2..5,37,4,12..13"], 0, &["1 of 7 rows not finished: left out"]);
    assert_eq!(place.rows("e/dataset.h5"), [2, 4, 5, 12, 13, 37]);
    let cuts = ["--where", "Omega_m > 0.3", "--where", "sigma8<=0.8", "--where", "split = train"];
    place.export("e", &cuts, 0, &["earlier export"]);
    let holds = |i: usize| {
        let t = data.theta_of(i);
        t[0] > 0.3 && t[1] <= 0.8 && data.split()[i] == Split::Train
    };
    assert!(chosen(&holds).len() > 2);
    assert_eq!(place.rows("e/dataset.h5"), chosen(&holds));
    place.export("e", &["--where", "split != train", "--only", "0..19", "--field", "power"], 0, &[]);
    let file = File::open(&place.path("e/dataset.h5")).unwrap();
    let rows = chosen(&|i| i < 20 && data.split()[i] != Split::Train);
    assert_eq!((file.read::<u64>("index").unwrap(), file.exists("maps")), (rows, false));
    assert_eq!(file.read::<f64>("axes/power/k_edges").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    let refused: [(&[&str], &[&str]); 8] = [
        (&["--only", "30..40"], &["--only = 30..40", "the design has 40 universes", "remedy: give rows from 0..39"]),
        (&["--only", "5..2"], &["5 is after 2"]),
        (&["--only", "3"], &["--only", "none of the 1 universe chosen is finished"]),
        (&["--where", "Omega_n > 0.3"], &["--where", "Omega_n is no parameter", "did you mean `Omega_m`?"]),
        (
            &["--where", "Omega_m > 3", "--where", "sigma8 > 0"],
            &["Omega_m > 3 and sigma8 > 0", "no universe is chosen"],
        ),
        (&["--where", "Omega_m > many"], &["--where", "is no number"]),
        (&["--where", "split > train"], &["--where", "asks for no split"]),
        (&["--where", "Omega_m"], &["--where", "has none of <"]),
    ];
    for (words, parts) in refused {
        place.export("none", words, 2, parts);
    }
    assert!(!place.path("none").exists());
}

#[test]
fn an_exported_folder_replaces_nothing_but_itself() {
    let place = Place::new();
    for (format, name, own) in [("numpy", "dataset", "halos/data.npy"), ("zarr", "dataset.zarr", "maps/0.0.0.0")] {
        let go = |code: i32, parts: &[&str]| place.export("e", &["--format", format], code, parts);
        let mine = place.path("e").join(name);
        std::fs::create_dir_all(&mine).unwrap();
        std::fs::write(mine.join("thesis.npy"), "precious").unwrap();
        go(2, &[name, "is no export in this format", "remedy: "]);
        std::fs::remove_file(mine.join("thesis.npy")).unwrap();
        go(0, &[]);
        let whole = std::fs::read(mine.join(own)).unwrap();
        std::fs::write(mine.join("theta.txt"), "precious").unwrap();
        go(2, &["theta.txt", "is no file of the export", "remedy: "]);
        assert_eq!(std::fs::read(mine.join("theta.txt")).unwrap(), b"precious");
        std::fs::remove_file(mine.join("theta.txt")).unwrap();
        // Of a killed export nothing stays; of another universe's numbers neither.
        let killed = place.path("e").join(format!("{name}.123.polycosm.tmp"));
        std::fs::create_dir_all(killed.join("maps")).unwrap();
        std::fs::write(mine.join(own), "damaged").unwrap();
        go(0, &["earlier export"]);
        assert!(std::fs::read(mine.join(own)).unwrap() == whole && !killed.exists());
    }
    let names = polycosm::suite::status::names(&place.path("e")).unwrap();
    assert_eq!(names, ["dataset", "dataset.zarr"]);
}

#[track_caller]
fn runs(mut python: Command, at: &Path, script: &str) -> String {
    std::fs::write(at.join("script.py"), script).unwrap();
    python.current_dir(at).arg("script.py");
    let ran = mpi::finish(python, std::time::Duration::from_secs(100));
    assert_eq!(ran.code, Some(0), "{script}\n{}", ran.text);
    ran.text
}

/// What NumPy and Zarr see of a folder is what is in HDF5.
#[test]
fn folders_hold_what_hdf5_does() {
    let Some(python) = python(&["h5py", "numpy", "zarr"]) else { return };
    let place = Place::new();
    for format in ["hdf5", "numpy", "zarr"] {
        place.export("e", &["--format", format, "--only", "1..30"], 0, &[]);
    }
    let script = r#"
import json
import h5py, numpy as np, zarr
f, z, arrays = h5py.File("e/dataset.h5"), zarr.open("e/dataset.zarr", mode="r"), []
f.visititems(lambda name, what: arrays.append(name) if isinstance(what, h5py.Dataset) else None)
for name in arrays:
    x, m = f[name][...], np.load(f"e/dataset/{name}.npy", mmap_mode="r")
    assert m.dtype == x.dtype and np.array_equal(m, x), name
    assert z[name].dtype == x.dtype and np.array_equal(z[name][...], x), name
    for key in ["units", "axes", "axes_kinds", "column"]:
        if key in f[name].attrs:
            assert np.array_equal(z[name].attrs[key], f[name].attrs[key]), (name, key)
about = json.load(open("e/dataset/dataset.json"))
assert sorted(about["arrays"]) == sorted(arrays) and len(arrays) > 10
assert {f"provenance/{name}" for name in ["node", "job", "seconds", "memory", "finished"]} < set(arrays)
assert np.load("e/dataset/provenance/node.npy")[0].decode() and z["provenance/seconds"].attrs["units"] == "s"
for attributes in [about, z.attrs]:
    assert attributes["prior"] == json.loads(f.attrs["prior"]) and attributes["fields"] == json.loads(f.attrs["fields"])
    assert attributes["version"].startswith("polycosm ") and attributes["parameters"] == ["Omega_m", "sigma8"]
"#;
    runs(python, place.0.path(), script);
}

/// Maps of the sphere, all of it and a part, in files of their own, beside what `numpy` has.
#[test]
fn healpy_reads_maps_of_the_sphere() {
    let place = Place::new();
    place.export("e", &["--format", "fits", "--only", "2..4"], 0, &["1 of 3 rows not finished: left out"]);
    place.export("e", &["--format", "fits", "--only", "2..5"], 0, &["earlier export"]);
    let there = |name: &str| place.path("e/dataset-fits").join(name).exists();
    assert!(there("kappa/000002.fits") && there("part/000005.fits") && there("power.npy") && there("dataset.json"));
    assert!(!there("kappa/000003.fits") && !there("kappa.npy"));
    // As the standard has it: whole blocks, and big-endian numbers behind two headers.
    let bytes = std::fs::read(place.path("e/dataset-fits/part/000004.fits")).unwrap();
    assert_eq!(bytes.len() % 2880, 0);
    let head = String::from_utf8_lossy(&bytes[..bytes.len() - 2880]).into_owned();
    let cards: Vec<&str> = (0..head.len() / 80).map(|i| head[80 * i..80 * (i + 1)].trim_end()).collect();
    for card in
        ["SIMPLE  =                    T", "ORDERING= 'RING    '", "INDXSCHM= 'EXPLICIT'", "TFORM1  = '1K      '"]
    {
        assert!(cards.contains(&card), "{card}: {cards:?}");
    }
    let a = place.data().theta_of(4)[0];
    let table: Vec<f64> =
        bytes[bytes.len() - 2880..][..24 * 5].chunks(8).map(|b| f64::from_be_bytes(b.try_into().unwrap())).collect();
    for (i, pixel) in [3u64, 4, 5, 40, 41].into_iter().enumerate() {
        let row = [f64::from_bits(pixel), a - i as f64, a - (5 + i) as f64];
        assert_eq!(table[3 * i..3 * (i + 1)], row);
    }
    let Some(python) = python(&["healpy", "astropy", "numpy"]) else { return };
    let script = r#"
import warnings
import healpy as hp, numpy as np
from astropy.io import fits
theta, index = np.load("e/dataset-fits/theta.npy"), list(np.load("e/dataset-fits/index.npy"))
assert index == [2, 4, 5]
for i, row in enumerate(index):
    a, name = theta[i, 0], f"e/dataset-fits/kappa/{row:06d}.fits"
    kappa, header = hp.read_map(name, field=None, h=True, dtype=np.float32)
    assert kappa.shape == (2, 48)
    assert np.array_equal(kappa.ravel(), np.float32(a) + np.arange(96, dtype=np.float32))
    assert dict(header)["ORDERING"] == "RING" and dict(header)["UNIVERSE"] == row
    part = hp.read_map(name.replace("kappa", "part"), field=(0, 1), partial=True, dtype=np.float64)
    seen = np.array([3, 4, 5, 40, 41])
    assert np.array_equal(np.array(part)[:, seen].ravel(), a - np.arange(10.0))
    assert np.all(np.delete(np.array(part), seen, axis=1) == hp.UNSEEN)
    with fits.open(name) as file:
        file.verify("exception")
        assert file[1].columns.names == ["z = 0.5", "it's far"] and file[1].header["EXTNAME"] == "kappa"
"#;
    runs(python, place.0.path(), script);
}

/// What stands in for `torch` where Python has none: the same names, workers that are processes, a seeded order.
const TORCH: [(&str, &str); 3] = [
    (
        "torch/__init__.py",
        "from_numpy = lambda a: a\nclass Generator:\n    def manual_seed(self, seed):\n        self.seed = seed\n        return self\n",
    ),
    ("torch/utils/__init__.py", ""),
    (
        "torch/utils/data.py",
        r#"
import multiprocessing, random
import numpy as np
class Dataset: pass
class DataLoader:
    def __init__(self, data, batch_size, shuffle, num_workers, generator):
        self.data, self.size, self.workers, self.seed = data, batch_size, num_workers, generator.seed
    def __iter__(self):
        order = list(range(len(self.data)))
        random.Random(self.seed).shuffle(order)
        with multiprocessing.Pool(self.workers) as pool:
            rows = pool.map(self.data.__getitem__, order)
        for at in range(0, len(rows), self.size):
            yield tuple(np.stack(parts) for parts in zip(*rows[at : at + self.size]))
"#,
    ),
];

/// For each example, a word of it, the packages that it needs, and what must hold when it ran.
const EXAMPLES: [(&str, &[&str], &str); 8] = [
    ("axes_kinds", &[], "assert maps.shape == (2, 3, 3) and len(halos) == 0 and len(theta) == 39"),
    ("mmap_mode", &[], "assert maps.shape == (39, 2, 3, 3) and len(heavy) == 39 and max(heavy) > 2"),
    ("import zarr", &["zarr"], "assert first.shape == (10, 2, 3, 3)"),
    ("import pandas", &["pandas"], "assert len(table) == 39 and halos.groupby('universe').size()[5] == 2"),
    (
        "DataLoader",
        &[],
        r#"
with h5py.File(data.path) as f:
    use = [i for i in range(40) if i != 3 and f["split"][i] == 0]
    want = {tuple(f["theta"][i].astype("f4")): f["maps"][i] for i in use}
passes = []
for _ in range(2):
    again = DataLoader(data, batch_size=4, shuffle=True, num_workers=2, generator=torch.Generator().manual_seed(1))
    got = [(tuple(np.array(t)), np.array(x)) for xs, ts in again for x, t in zip(xs, ts)]
    assert len(got) == len(want) and all(np.array_equal(want[t], x) for t, x in got)
    passes.append([t for t, _ in got])
assert passes[0] == passes[1] and passes[0] != list(want)
"#,
    ),
    (
        "polycosm_torch",
        &["torch", "safetensors"],
        "assert off < 1e-5 and draws.shape == (1000, 2) and torch.isfinite(posterior.log_prob(draws, summaries)).all()",
    ),
    (
        "xarray",
        &["arviz", "xarray"],
        "assert names == ['Omega_m', 'sigma8'] and arviz.from_netcdf('posterior.nc').posterior.sizes['draw'] == len(ln_q)",
    ),
    ("getdist", &["getdist"], "assert names == ['Omega_m', 'sigma8'] and 0.1 < chain.mean('Omega_m') < 0.5"),
];

#[test]
fn the_examples_for_python_run() {
    let page = std::fs::read_to_string(repository("docs/python.md")).unwrap();
    let blocks: Vec<&str> = page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), EXAMPLES.len(), "an example that is not tested");
    let Some(_) = python(&["h5py", "numpy"]) else { return };
    let place = Place::new();
    for format in ["numpy", "zarr"] {
        place.export("exported", &["--format", format], 0, &[]);
    }
    let prior = place.data().prior.clone();
    let theta: Vec<f64> =
        (0..200).map(|i| if i % 2 == 0 { 0.1 + i as f64 / 500.0 } else { 0.8 + i as f64 / 2000.0 }).collect();
    let (index, ln_prob, extras) = (vec![4], vec![0.0; 100], Default::default());
    let (truth, ln_prob_truth) = (vec![0.3, 0.8], vec![0.0]);
    let samples = Samples { prior, index, draws: 100, theta, ln_prob, truth, ln_prob_truth, extras };
    samples.to_getdist(&place.path("exported/chains-posterior")).unwrap();
    #[cfg(feature = "torch")]
    place.trained();
    for (block, (word, packages, holds)) in blocks.iter().zip(EXAMPLES) {
        assert!(block.contains(word), "{word}:\n{block}");
        // Trained stages are those of a program with libtorch.
        if cfg!(not(feature = "torch")) && block.contains("posterior.h5") {
            continue;
        }
        if block.contains("DataLoader") && python(&["torch"]).is_none() {
            eprintln!("torch: a stand-in is tested with, of the same names");
            for (name, text) in TORCH {
                std::fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
                std::fs::write(place.path(name), text).unwrap();
            }
        }
        let Some(mut python) = python(packages) else { continue };
        let mut all = vec![repository("scripts")];
        let before = python.get_envs().find(|(name, _)| *name == "PYTHONPATH").and_then(|(_, path)| path);
        all.extend(before.map(PathBuf::from));
        python.env("PYTHONPATH", std::env::join_paths(all).unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
        runs(python, place.0.path(), &format!("{block}\n{holds}\n"));
    }
}
