//! How universes are kept: compressed or not, in shards of any size, in one folder or in several that are merged.

mod mpi;

use polycosm::comm::Comm;
use polycosm::error::{Error, Result};
use polycosm::io::dataset::Dataset;
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use polycosm::io::hdf::File;
use polycosm::io::index;
use polycosm::io::provenance::Provenance;
use polycosm::simulators::Kept;
use polycosm::simulators::{Job, Output, Runner};
use polycosm::suite::design::{Design, DesignConfig};
use polycosm::suite::merge::merge;
use polycosm::suite::{Options, Suite, SuiteConfig, Summary, observe, simulate, status, verify};
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Smooth maps, a vector and a list; universe 2 fails unless it is mended.
#[derive(Clone, Copy, Default)]
struct Smooth {
    mended: bool,
    bias: f64,
}

impl Runner for Smooth {
    fn specs(&self) -> Vec<FieldSpec> {
        let maps = FieldSpec::of("maps", &[2, 32, 32], &[AxisKind::View, AxisKind::Flat, AxisKind::Flat]);
        let columns = Axis::named(AxisKind::Column, "column", ["mass", "x"]);
        let axes = vec![Axis::new(AxisKind::Index, "halo", ""), columns];
        let halos = FieldSpec { axes, ragged: true, dtype: Dtype::F64, ..FieldSpec::vector("halos", 0) };
        vec![maps, FieldSpec { shape: vec![0, 2], ..halos }, FieldSpec::vector("power", 4)]
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        if job.index == 2 && !self.mended {
            return Err(Error::failed("on purpose"));
        }
        let a = job.theta.values()[0] + self.bias;
        let halos: Vec<f64> = (0..2 * (job.index % 3)).map(|k| a + k as f64).collect();
        let data = [
            Data::F32((0..2048).map(|k| a as f32 * (k / 32) as f32).collect()),
            Data::F64(halos),
            Data::F32((0..4).map(|k| a as f32 * k as f32).collect()),
        ];
        let fields = self.specs().into_iter().zip(data).map(|(spec, data)| Field::on_root(comm, spec, data));
        Ok(Output { fields: fields.collect(), timings: vec![] })
    }
}

fn design(n: usize) -> Design {
    let text = format!("simulations = {n}\n[parameters.a]\nmin = 1.0\nmax = 2.0\n");
    toml::from_str::<DesignConfig>(&text).map(|d| d.resolve(&d.parameters.prior().unwrap(), 5).unwrap()).unwrap()
}

fn run(comm: &Comm, output: &Path, config: &str, options: &Options) -> Result<Summary> {
    run_with(comm, output, config, options, (5, Smooth { mended: options.retry_failed, bias: 0.0 }))
}

fn run_with(
    comm: &Comm,
    output: &Path,
    config: &str,
    options: &Options,
    (seed, smooth): (u64, Smooth),
) -> Result<Summary> {
    let (config, design): (SuiteConfig, _) = (toml::from_str(config).unwrap(), design(10));
    let provenance = &Provenance::collect(comm, 5, "seed = 5\n");
    let shape = serde_json::json!({ "seed": seed, "simulator": { "kind": "smooth" } });
    let suite = Suite { output, design: &design, config: &config, kept: 0, seed: 5, provenance, shape, files: vec![] };
    simulate(comm, &suite, &smooth, options)
}

/// As far as `only` goes, in shards of `m`.
fn in_shards(comm: &Comm, output: &Path, m: usize, only: std::ops::Range<u64>) -> Result<Summary> {
    run(comm, output, &format!("shard_size = {m}"), &Options { only: Some(only), ..Options::default() })
}

/// All numbers of a file, by name; how universes were made is another each time.
fn numbers(path: &Path) -> Vec<(String, Vec<u64>)> {
    let file = File::open(path).unwrap();
    let names = file.arrays().into_iter().filter(|name| !name.starts_with("provenance/"));
    names
        .map(|name| (file.read::<f64>(&name).unwrap().iter().map(|v| v.to_bits()).collect(), name))
        .map(|(v, n)| (n, v))
        .collect()
}

/// The dataset's, and those of its shards.
fn contents(output: &Path) -> Vec<Vec<(String, Vec<u64>)>> {
    let shards =
        status::names(&output.join("shards")).unwrap().into_iter().map(|name| output.join("shards").join(name));
    shards.chain([index::path(output)]).map(|path| numbers(&path)).collect()
}

#[test]
fn compressed_fields_are_the_same_numbers() {
    mpi::on_ranks("compressed_fields_are_the_same_numbers", &[1, 2, 3, 4], |world| {
        let folder = mpi::shared_dir();
        let at = |name: &str| folder.join(name);
        let sizes = ["ranks_per_sim = 1", "ranks_per_sim = 2"];
        for (i, size) in sizes.iter().enumerate().take(world.size()) {
            let name = |what: &str| format!("{what}{i}");
            let config = |more: &str| format!("shard_size = 4\n{size}\n{more}");
            run(world, &at(&name("plain")), &config(""), &Options::default()).unwrap();
            // Begun without, gone on with: shards that are there stay as they are, until they are packed anew.
            let some = Options { only: Some(0..4), ..Options::default() };
            run(world, &at(&name("gzip")), &config(""), &some).unwrap();
            run(world, &at(&name("gzip")), &config("compression = \"gzip\""), &Options::default()).unwrap();
            world.barrier();
            let length = |what: &str, shard: usize| {
                at(&name(what)).join(format!("shards/0000{shard}.h5")).metadata().unwrap().len()
            };
            if world.is_root() {
                assert!(contents(&at(&name("plain"))) == contents(&at(&name("gzip"))));
                assert_eq!(length("plain", 0), length("gzip", 0));
                assert!(length("gzip", 1) < length("plain", 1) / 2, "{} bytes", length("gzip", 1));
                let file = hdf5::File::open(at(&name("gzip")).join("shards/00001.h5")).unwrap();
                assert_eq!(file.dataset("maps").unwrap().chunk(), Some(vec![1, 2, 32, 32]));
                assert_eq!(
                    [file.dataset("power"), file.dataset("halos/data")].map(|d| d.unwrap().chunk()),
                    [None, None]
                );
                drop(file);
                let data = Dataset::open(index::path(&at(&name("gzip"))), "theta").unwrap();
                assert_eq!(data.read_f32("maps", &[7]).unwrap()[2047], data.theta_of(7)[0] as f32 * 63.0);
            }
            world.barrier();
            let retry = Options { retry_failed: true, ..Options::default() };
            run(world, &at(&name("plain")), &config(""), &retry).unwrap();
            run(world, &at(&name("gzip")), &config("compression = \"gzip:9\""), &retry).unwrap();
            world.barrier();
            let found = verify::verify(world, &at(&name("gzip")), &design(10), 4).unwrap();
            assert!(found.is_sound() && found.failed.is_empty(), "{found:?}");
            if world.is_root() {
                assert!(contents(&at(&name("plain"))) == contents(&at(&name("gzip"))));
                assert!(length("gzip", 0) < length("plain", 0) / 2, "{} bytes", length("gzip", 0));
            }
        }
        for name in ["zstd", "blosc"] {
            let config = format!("compression = \"{name}\"");
            let Err(e) = run(world, &at(name), &config, &Options::default()) else { continue };
            assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some("suite.compression")), "{e}");
            assert!(e.to_string().contains("gzip") && !at(name).exists(), "{e}");
        }
    });
}

#[test]
fn parts_of_a_campaign_are_merged() {
    mpi::on_ranks("parts_of_a_campaign_are_merged", &[1, 2, 3], |world| {
        let folder = mpi::shared_dir();
        let at = |name: &str| folder.join(name);
        let all = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<PathBuf>>();
        let only = |rows: std::ops::Range<u64>| Options { only: Some(rows), ..Options::default() };
        let four = "shard_size = 4";
        run(world, &at("whole"), four, &Options::default()).unwrap();
        run(world, &at("a"), four, &only(0..5)).unwrap();
        run(world, &at("b"), "shard_size = 3", &only(3..9)).unwrap();
        world.barrier();
        if world.is_root() {
            std::fs::create_dir(at("b/snapshots")).unwrap();
            for name in ["000007.hdf5", "000007_z0.500.hdf5", "000003.hdf5", "mine.hdf5"] {
                std::fs::write(at("b/snapshots").join(name), name).unwrap();
            }
        }
        world.barrier();
        let merged = merge(world, &all(&["a", "b"]), &at("c")).unwrap();
        assert_eq!((merged.total, merged.there, merged.shared), (10, 9, 2));
        assert_eq!(merged.taken, [(at("a"), 5), (at("b"), 4)]);
        assert!(merged.mended.is_empty());
        // The last one there; it is the campaign that ran as a whole.
        run(world, &at("d"), four, &only(9..10)).unwrap();
        let merged = merge(world, &all(&["c", "d"]), &at("c")).unwrap();
        assert_eq!((merged.there, merged.taken), (10, vec![(at("d"), 1)]));
        world.barrier();
        let same = |a: &str, b: &str| world.is_root() && contents(&at(a)) != contents(&at(b));
        assert!(!same("c", "whole"), "merged universes are others");
        if world.is_root() {
            assert_eq!(status::names(&at("c/snapshots")).unwrap(), ["000007.hdf5", "000007_z0.500.hdf5"]);
            let campaign = std::fs::read_to_string(at("c/campaign.toml")).unwrap();
            assert!(
                campaign.contains("seed = 5") && campaign.contains(&format!("output = {:?}", at("c"))),
                "{campaign}"
            );
        }
        // What failed in one and is finished in another is finished.
        let mended = Options { retry_failed: true, ..only(2..4) };
        run(world, &at("e"), four, &mended).unwrap();
        let merged = merge(world, &all(&["e"]), &at("c")).unwrap();
        assert_eq!((merged.taken, merged.mended, merged.shared), (vec![(at("e"), 1)], vec![2], 1));
        run(world, &at("whole"), four, &Options { retry_failed: true, ..Options::default() }).unwrap();
        world.barrier();
        assert!(!same("c", "whole"), "merged universes are others");
        // Killed between shards, or before the index: the same again makes it whole.
        if world.is_root() {
            std::fs::remove_file(index::path(&at("c"))).unwrap();
            std::fs::remove_file(at("c/shards/00002.h5")).unwrap();
            std::fs::write(at("c/sims/000009.h5.1.polycosm.tmp"), "half").unwrap();
        }
        world.barrier();
        let merged = merge(world, &all(&["a", "b", "d", "e"]), &at("c")).unwrap();
        assert_eq!((merged.there, merged.taken), (10, vec![(at("b"), 1), (at("d"), 1)]));
        world.barrier();
        assert!(!same("c", "whole"), "merged universes are others");
        assert!(verify::verify(world, &at("c"), &design(10), 4).unwrap().is_sound());
        // Other universes: nothing is written.
        run_with(world, &at("biased"), four, &only(4..6), (5, Smooth { bias: 1e-9, ..Smooth::default() })).unwrap();
        run_with(world, &at("seeded"), four, &only(9..10), (6, Smooth::default())).unwrap();
        world.barrier();
        let refused = |names: &[&str], into: &str, says: &[&str]| {
            let e = merge(world, &all(names), &at(into)).unwrap_err();
            let text = e.to_string();
            assert!(e.exit_code() == 2 && says.iter().all(|part| text.contains(part)), "{text}");
        };
        refused(&["a", "biased"], "new", &["row 4 of halos is another in", "biased than in", "--redo"]);
        refused(&["b", "biased"], "new", &["(and 1 more)"]);
        refused(&["a", "seeded"], "new", &["seeded: seed = 6", "begun with 5", "different campaigns"]);
        refused(&["a", "none"], "new", &["none: ", "no fingerprint.json"]);
        refused(&["a"], "new", &["nothing to merge"]);
        refused(&["a", "b", "a"], "new", &["named twice"]);
        refused(&["biased"], "c", &["row 4 of halos is another in"]);
        refused(&["seeded"], "c", &["seed = 6"]);
        world.barrier();
        assert!(!at("new").exists() && !same("c", "whole"));
        if world.is_root() {
            std::fs::create_dir(at("mine")).unwrap();
            std::fs::write(at("mine/dataset.h5"), "precious").unwrap();
        }
        world.barrier();
        refused(&["a", "b"], "mine", &["dataset.h5", "polycosm did not write it"]);
        assert_eq!(std::fs::read(at("mine/dataset.h5")).unwrap(), b"precious");
    });
}

/// Killed for good, again and again and at moments that nobody chose, into a new folder and into what it left.
#[test]
fn a_merge_that_is_killed_at_any_moment_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (world, at) = (&Comm::world(), |name: &str| dir.path().join(name));
    let only = |rows: std::ops::Range<u64>| Options { only: Some(rows), ..Options::default() };
    run(world, &at("whole"), "shard_size = 4", &Options::default()).unwrap();
    run(world, &at("a"), "shard_size = 4", &only(0..5)).unwrap();
    run(world, &at("b"), "shard_size = 3", &only(3..10)).unwrap();
    let merge = |into: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        command.current_dir(dir.path()).env("OMP_NUM_THREADS", "1").args(["merge", "a", "b", "--into", into]);
        command
    };
    let start = Instant::now();
    mpi::succeed(merge("calm"));
    let (takes, mut rng) = (start.elapsed(), rand_chacha::ChaCha8Rng::seed_from_u64(1));
    for into in ["c", "d"] {
        let moments: Vec<Duration> = (0..4).map(|_| takes.mul_f64(rng.random_range(0.4..1.0))).collect();
        for moment in &moments {
            let mut child = merge(into).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(*moment);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        mpi::succeed(merge(into));
        assert!(contents(&at(into)) == contents(&at("whole")), "killed after {moments:?}: other universes");
        assert!(verify::verify(world, &at(into), &design(10), 4).unwrap().is_sound());
        for folder in [at(into), at(into).join("shards"), at(into).join("sims")] {
            let left = status::names(&folder).unwrap_or_default();
            assert!(left.iter().all(|name| !name.ends_with(".tmp")), "killed after {moments:?}: {left:?} are left");
        }
    }
}

#[test]
fn shards_are_packed_anew_in_another_size() {
    mpi::on_ranks("shards_are_packed_anew_in_another_size", &[1, 2, 3], |world| {
        let folder = mpi::shared_dir();
        let at = |name: String| folder.join(name);
        // With rows that are not there yet, or not in a shard, and with all.
        let changed = at("changed".into());
        for (i, (m, rows)) in [(4, 9), (3, 9), (7, 9), (1, 9), (16, 10), (2, 10), (5, 10)].into_iter().enumerate() {
            let ran = in_shards(world, &changed, m, 0..rows).unwrap();
            let new = [9, 0, 0, 0, 1, 0, 0][i];
            assert_eq!((ran.done + ran.failed, ran.complete), (new, rows == 10), "{m}");
            in_shards(world, &at(format!("{i}")), m, 0..rows).unwrap();
            world.barrier();
            if world.is_root() {
                assert!(contents(&changed) == contents(&at(format!("{i}"))), "others in shards of {m}");
                let names = status::names(&changed.join("shards")).unwrap();
                assert_eq!(names.len(), (rows as usize).div_ceil(m), "{names:?}");
            }
            let found = verify::verify(world, &changed, &design(10), m).unwrap();
            assert!(found.is_sound() && found.failed == [2], "{found:?}");
        }
        let e = verify::verify(world, &changed, &design(10), 4).unwrap_err();
        assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some("suite.shard_size")), "{e}");
        let states = status::status(&changed, &design(10), 4).unwrap();
        assert_eq!((states.done, states.failed, states.misplaced), (9, 1, 2));
    });
}

/// Universes that are run again, and lists that move in a shard that gets more of them, are seen with the index that shows
/// them; one of before, which a kill between the two leaves, is found.
#[test]
fn the_index_is_there_while_shards_are_replaced() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (dir, world) = (tempfile::tempdir().unwrap(), &Comm::world());
    let (output, index) = (dir.path(), index::path(dir.path()));
    in_shards(world, output, 4, 0..2).unwrap();
    assert!(polycosm::io::index::took(output) > std::time::Duration::ZERO);
    let over = AtomicBool::new(false);
    let redo = Options { redo: vec![0..1, 5..7], ..Options::default() };
    let biased = Smooth { mended: true, bias: 0.5 };
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert!(index.exists(), "the index is gone");
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        });
        in_shards(world, output, 4, 2..3).unwrap(); // at the end
        in_shards(world, output, 4, 0..10).unwrap(); // with the last of the shard
        std::fs::copy(&index, dir.path().join("before")).unwrap();
        run_with(world, output, "shard_size = 4", &redo, (5, biased)).unwrap();
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });
    let calm = contents(output);
    let sound = || verify::verify(world, output, &design(10), 4).unwrap().is_sound();
    assert!(sound());
    std::fs::rename(dir.path().join("before"), &index).unwrap();
    assert!(!sound());
    in_shards(world, output, 4, 0..10).unwrap();
    assert!(sound() && contents(output) == calm);
    // Too dear to be written with every shard: it is gone until the end.
    hdf5::File::open_rw(&index).unwrap().attr("seconds_to_write").unwrap().write_scalar(&1e6).unwrap();
    run_with(world, output, "shard_size = 4", &redo, (5, biased)).unwrap();
    assert!(sound() && contents(output) == calm);
}

#[test]
fn what_has_no_room_is_not_begun() {
    struct Large;
    impl Runner for Large {
        fn specs(&self) -> Vec<FieldSpec> {
            let list = Smooth::default().specs().swap_remove(1);
            vec![FieldSpec::of("maps", &[1 << 24, 1 << 24], &[AxisKind::Flat, AxisKind::Flat]), list]
        }
        fn simulate(&self, _: &Comm, _: &Job) -> Result<Output> {
            panic!("it has begun");
        }
    }
    mpi::on_ranks("what_has_no_room_is_not_begun", &[1, 2], |world| {
        let output = &mpi::shared_dir().join("o");
        let (config, design) = (&SuiteConfig::default(), &design(10));
        let provenance = &Provenance::collect(world, 5, "seed = 5\n");
        let suite = |kept: u64| {
            let shape = serde_json::json!({ "seed": 5, "simulator": { "kind": "smooth" } });
            Suite { output, design, config, kept, seed: 5, provenance, shape, files: vec![] }
        };
        let refused = |e: Error| {
            let says = ["10 simulations", "lists not counted", " PB", "are free"];
            assert!(e.exit_code() == 2 && says.iter().all(|part| e.problem.contains(part)), "{e}");
            assert!(e.key.as_deref() == Some("output") && e.remedy.is_some(), "{e}");
        };
        refused(simulate(world, &suite(0), &Large, &Options::default()).unwrap_err());
        let smooth = Smooth::default();
        refused(simulate(world, &suite(1 << 50), &smooth, &Options::default()).unwrap_err());
        world.barrier();
        assert!(!output.exists());
        // Where all is there that is asked for, nothing is to be written.
        simulate(world, &suite(0), &smooth, &Options { only: Some(0..3), ..Options::default() }).unwrap();
        simulate(world, &suite(1 << 60), &smooth, &Options { only: Some(0..3), ..Options::default() }).unwrap();
        assert!(simulate(world, &suite(1 << 60), &smooth, &Options::default()).is_err());
    });
}

#[test]
fn what_is_made_again_or_merged_needs_room_too() {
    /// A field more is to be made of what was kept, larger than any disk.
    struct Grown;
    impl Runner for Grown {
        fn specs(&self) -> Vec<FieldSpec> {
            let mut specs = Smooth::default().specs();
            specs.push(FieldSpec::of("grown", &[1 << 24, 1 << 24], &[AxisKind::Flat, AxisKind::Flat]));
            specs
        }
        fn simulate(&self, _: &Comm, _: &Job) -> Result<Output> {
            panic!("it has begun");
        }
        fn check_kept(&self, _: &Job, wanted: &[String], _: &Kept) -> Result<()> {
            assert_eq!(wanted, ["grown"]);
            Ok(())
        }
        fn observe_kept(&self, _: &Comm, _: &Job, _: &[String], _: &Kept) -> Result<Vec<Field>> {
            panic!("it has begun");
        }
    }
    mpi::on_ranks("what_is_made_again_or_merged_needs_room_too", &[1, 2], |world| {
        let output = &mpi::shared_dir().join("o");
        let halves = [0..5, 5..10].map(|rows| Options { only: Some(rows), retry_failed: true, ..Options::default() });
        run(world, output, "shard_size = 4", &Options { retry_failed: true, ..Options::default() }).unwrap();
        let before = world.on_root(|| Ok(std::fs::read(output.join("dataset.h5")).unwrap())).unwrap();
        let (config, design): (SuiteConfig, _) = (toml::from_str("shard_size = 4").unwrap(), design(10));
        let provenance = &Provenance::collect(world, 5, "seed = 5\n");
        let shape = fingerprint(output);
        let suite =
            Suite { output, design: &design, config: &config, kept: 0, seed: 5, provenance, shape, files: vec![] };
        let refused = |e: Error, n: usize| {
            let count = format!("{n} simulations still to be written there take about ");
            assert!(e.exit_code() == 2 && e.problem.contains(&count) && e.problem.contains(" are free"), "{e}");
            assert!(e.key.as_deref() == Some("output") && e.remedy.is_some(), "{e}");
        };
        refused(observe(world, &suite, &Grown, &Options::default()).unwrap_err(), 10);
        world.barrier();
        assert!(std::fs::read(output.join("dataset.h5")).unwrap() == before, "nothing was touched");

        // Parts whose indices tell of fields as large.
        let parts = ["a", "b"].map(|name| mpi::shared_dir().join(name));
        for (part, half) in parts.iter().zip(&halves) {
            run(world, part, "shard_size = 4", half).unwrap();
            world
                .on_root(|| {
                    let text = serde_json::to_string(&Grown.specs()).unwrap();
                    let file = hdf5::File::open_rw(part.join("dataset.h5")).unwrap();
                    let text: hdf5::types::VarLenUnicode = text.parse().unwrap();
                    file.delete_attr("fields").unwrap();
                    file.new_attr::<hdf5::types::VarLenUnicode>()
                        .create("fields")
                        .unwrap()
                        .write_scalar(&text)
                        .unwrap();
                    Ok(())
                })
                .unwrap();
        }
        let into = mpi::shared_dir().join("merged");
        refused(merge(world, &parts, &into).unwrap_err(), 10);
        world.barrier();
        assert!(!into.join("shards").exists() && !into.join("dataset.h5").exists());
    });
}

/// What a folder was begun with.
fn fingerprint(output: &Path) -> serde_json::Value {
    polycosm::suite::fingerprint::read(output).unwrap().unwrap()
}
