//! Datasets from end to end with a small fake simulator: content, resume, failures, fingerprints, snapshots.

mod mpi;

use polycosm::comm::{Comm, share};
use polycosm::cosmology::{Cosmology, Extension};
use polycosm::error::{Error, Result};
use polycosm::io::dataset::{Dataset, Split};
use polycosm::io::export::Format;
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use polycosm::io::hdf::File;
use polycosm::io::provenance::Provenance;
use polycosm::io::{gadget, index};
use polycosm::simulators::{Job, Output, Runner};
use polycosm::suite::design::{Design, DesignConfig};
use polycosm::suite::{Options, Suite, SuiteConfig, Summary, simulate, status, verify};
use polycosm::units::RHO_CRIT;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Fields that depend on parameters and seed alone; simulations listed in `fail` fail, `ran` remembers the others.
#[derive(Default)]
struct Fake {
    fail: Vec<u64>,
    /// Cannot be made.
    refuse: Vec<u64>,
    ran: RefCell<Vec<u64>>,
}

fn spec(name: &str, shape: &[usize], dtype: Dtype, ragged: bool) -> FieldSpec {
    let mut axes: Vec<Axis> =
        (0..shape.len()).map(|i| Axis::new(AxisKind::Index, &format!("axis{i}"), "Mpc/h")).collect();
    axes[shape.len() - 1].values = (0..shape[shape.len() - 1]).map(|i| i as f64 / 2.0).collect();
    let (unit, description) = ("Mpc/h".into(), "made up".into());
    FieldSpec { axes, unit, description, ragged, dtype, ..FieldSpec::of(name, shape, &[]) }
}

fn map(job: &Job) -> Vec<f32> {
    (0..20)
        .map(|k| {
            (job.theta.values()[0] * k as f64 + job.theta.values()[1]) as f32 + job.seed as f32 + job.realisation as f32
        })
        .collect()
}

fn list(job: &Job) -> Vec<f64> {
    (0..3 * (job.index as usize % 4)).map(|k| job.theta.values()[1] + k as f64).collect()
}

impl Runner for Fake {
    fn specs(&self) -> Vec<FieldSpec> {
        vec![spec("maps", &[5, 4], Dtype::F32, false), spec("halos", &[0, 3], Dtype::F64, true)]
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        // One rank alone knows of it.
        if self.fail.contains(&job.index) && comm.is_root() {
            return Err(Error::failed("on purpose"));
        }
        if self.refuse.contains(&job.index) {
            return Err(Error::input("impossible"));
        }
        self.ran.borrow_mut().push(job.index);
        let specs = self.specs();
        // Maps are spread over the ranks by rows; the list is the root's.
        let (start, rows) = share(5, comm.size(), comm.rank());
        let maps = Data::F32(map(job)[start * 4..(start + rows) * 4].to_vec());
        let halos = if comm.is_root() { list(job) } else { vec![] };
        let fields = vec![
            Field { spec: specs[0].clone(), rows, data: maps },
            Field { spec: specs[1].clone(), rows: halos.len() / 3, data: Data::F64(halos) },
        ];
        Ok(Output { fields, timings: vec![("fake".into(), 1.0)] })
    }
}

fn design(n: usize) -> Design {
    let text =
        format!("simulations = {n}\n[parameters.a]\nmin = 0.0\nmax = 1.0\n[parameters.b]\nmin = 2.0\nmax = 3.0\n");
    toml::from_str::<DesignConfig>(&text).map(|d| d.resolve(&d.parameters.prior().unwrap(), 5).unwrap()).unwrap()
}

/// Runs a campaign of n simulations in shards of 4.
fn run(comm: &Comm, output: &Path, n: usize, fake: &Fake, ranks_per_sim: usize, options: &Options) -> Result<Summary> {
    let provenance = Provenance::collect(comm, 5, "seed = 5\n");
    let config = SuiteConfig { ranks_per_sim, shard_size: 4.into(), ..Default::default() };
    let shape = serde_json::json!({ "seed": 5, "simulator": { "kind": "fake" } });
    let (design, provenance) = (&design(n), &provenance);
    let suite = Suite { output, design, config: &config, kept: 0, seed: 5, provenance, shape, files: vec![] };
    simulate(comm, &suite, fake, options)
}

fn job<'a>(design: &'a Design, i: usize) -> Job<'a> {
    let row = design.row(i);
    Job { index: row.index, realisation: row.realisation, seed: 5, theta: design.prior.theta(row.theta), folder: None }
}

/// All numbers of the dataset and of its shards, by file and name, but how they were made.
fn contents(output: &Path) -> Vec<(String, Vec<u64>)> {
    let mut all = vec![];
    let shards = status::names(&output.join("shards")).unwrap().into_iter().map(|s| format!("shards/{s}"));
    for name in shards.chain(["dataset.h5".to_string()]) {
        let file = File::open(&output.join(&name)).unwrap();
        for array in file.arrays().into_iter().filter(|array| !array.starts_with("provenance/")) {
            let bits = file.read::<f64>(&array).unwrap().iter().map(|v| v.to_bits()).collect();
            all.push((format!("{name}/{array}"), bits));
        }
    }
    all
}

fn check_dataset(output: &Path, n: usize, failed: &[usize]) {
    let design = design(n);
    let data = Dataset::open(index::path(output), "theta").unwrap();
    assert_eq!((data.len(), data.theta()), (n, &design.theta[..]));
    assert_eq!((data.split(), &data.prior), (&design.split[..], &design.prior));
    for i in 0..n {
        let (maps, halos) = (data.read_f32("maps", &[i]).unwrap(), data.read_list("halos", i).unwrap());
        if failed.contains(&i) {
            assert!(maps.iter().all(|x| x.is_nan()) && halos.is_empty() && data.status()[i] == 1, "{i}");
        } else {
            assert_eq!((maps, halos), (map(&job(&design, i)), list(&job(&design, i))), "{i}");
            assert_eq!(data.status()[i], 0);
        }
    }
    let usable: usize = [Split::Train, Split::Validation, Split::Test].iter().map(|&s| data.rows(s).len()).sum();
    assert_eq!(usable, n - failed.len());
    let left = status::names(&output.join("sims")).unwrap();
    assert!(left.is_empty(), "packed simulations are removed: {left:?}");
}

#[test]
fn only_what_lies_far_out_may_be_impossible() {
    mpi::on_ranks("only_what_lies_far_out_may_be_impossible", &[1, 2], |world| {
        let (output, config) = (mpi::shared_dir(), SuiteConfig { shard_size: 4.into(), ..Default::default() });
        let provenance = &Provenance::collect(world, 5, "seed = 5\n");
        let mut design = design(4);
        // In the lowest thousandth of the prior, which `check` does not look at.
        design.theta[2] = 0.0005;
        let shape = serde_json::json!({ "seed": 5 });
        let suite = Suite {
            output: &output,
            design: &design,
            config: &config,
            kept: 0,
            seed: 5,
            provenance,
            shape,
            files: vec![],
        };
        let refusing = |index: u64| Fake { refuse: vec![index], ..Fake::default() };
        let summary = simulate(world, &suite, &refusing(1), &Options::default()).unwrap();
        assert_eq!((summary.done, summary.failed), (3, 1));
        world.barrier();
        let output = &output.join("other");
        let suite = Suite { output, shape: serde_json::json!({ "seed": 5 }), files: vec![], ..suite };
        assert_eq!(simulate(world, &suite, &refusing(2), &Options::default()).unwrap_err().exit_code(), 2);
    });
}

#[test]
fn a_campaign_on_any_number_of_ranks() {
    mpi::on_ranks("a_campaign_on_any_number_of_ranks", &[1, 2, 3, 4], |world| {
        for (ranks_per_sim, n) in [(1, 10), (2, 4), (2, 10)] {
            let output = mpi::shared_dir().join(format!("{ranks_per_sim}-{n}"));
            let fake = Fake { fail: vec![2], ..Fake::default() };
            let result = run(world, &output, n, &fake, ranks_per_sim, &Options::default());
            if ranks_per_sim > world.size() {
                let e = result.unwrap_err();
                assert_eq!((e.key.as_deref(), e.exit_code()), (Some("suite.ranks_per_sim"), 2));
                assert!(!output.exists(), "nothing is written");
                continue;
            }
            let summary = result.unwrap();
            assert_eq!((summary.done, summary.failed, summary.complete), (n - 1, 1, true));
            world.barrier();
            if world.is_root() {
                check_dataset(&output, n, &[2]);
            }
            let found = verify::verify(world, &output, &design(n), 4).unwrap();
            assert!(found.is_sound() && found.failed == [2], "{found:?}");
            // Once more: nothing to do. Then the failed one again, which works now.
            let again = run(world, &output, n, &fake, ranks_per_sim, &Options::default()).unwrap();
            assert_eq!((again.done, again.failed, again.skipped, again.failed_before), (0, 0, n, 1));
            let options = Options { retry_failed: true, ..Options::default() };
            let summary = run(world, &output, n, &Fake::default(), ranks_per_sim, &options).unwrap();
            assert_eq!((summary.done, summary.skipped), (1, n - 1));
            world.barrier();
            if world.is_root() {
                check_dataset(&output, n, &[]);
            }
            world.barrier();
        }
    });
}

/// Writes other contents to a file in the middle of a suite.
struct Meddler<'a> {
    fake: Fake,
    file: &'a Path,
    at: u64,
}

impl Runner for Meddler<'_> {
    fn specs(&self) -> Vec<FieldSpec> {
        self.fake.specs()
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        if comm.is_root() && job.index == self.at {
            std::fs::write(self.file, "others").unwrap();
        }
        self.fake.simulate(comm, job)
    }
}

/// A universe is only kept if its input files are still what they were when the run began.
#[test]
fn inputs_that_change_while_a_suite_runs_are_noticed() {
    mpi::on_ranks("inputs_that_change_while_a_suite_runs_are_noticed", &[1, 2], |world| {
        let file = mpi::shared_dir().join("table.txt");
        let put = |text: &str| {
            if world.is_root() {
                std::fs::write(&file, text).unwrap();
            }
            world.barrier();
        };
        for fail in [vec![], vec![5]] {
            let output = mpi::shared_dir().join(format!("{}", fail.len()));
            let go = |runner: &dyn Runner| {
                let (provenance, config) =
                    (Provenance::collect(world, 5, ""), SuiteConfig { shard_size: 4.into(), ..Default::default() });
                let shape = serde_json::json!({ "seed": 5, "simulator": { "table": "table.txt" } });
                let files = vec![("/simulator/table".to_string(), vec![file.clone()])];
                let (output, design) = (&output, &design(10));
                let suite =
                    Suite { output, design, config: &config, kept: 0, seed: 5, provenance: &provenance, shape, files };
                simulate(world, &suite, runner, &Options::default())
            };
            put("as begun");
            let e = go(&Meddler { fake: Fake { fail, ..Fake::default() }, file: &file, at: 5 }).unwrap_err();
            assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some("simulator.table")), "{e}");
            assert!(e.problem.contains("changed") && e.file.as_ref().unwrap().ends_with("table.txt"), "{e}");
            assert!(!output.join("sims/000005.h5").exists());
            let indexed = File::open(&index::path(&output)).map(|f| f.read::<u8>("status").unwrap());
            assert!(!indexed.is_ok_and(|status| status[5] != 2), "it was indexed");
            assert!(
                go(&Fake::default()).unwrap_err().problem.contains("other contents"),
                "it goes on with another file"
            );
            put("as begun");
            assert!(go(&Fake::default()).unwrap().complete);
            world.barrier();
            if world.is_root() {
                check_dataset(&output, 10, &[]);
            }
        }
    });
}

/// Copies a folder of folders of files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(|_| ()).unwrap()
        }
    }
}

#[test]
fn every_interruption_ends_in_the_same_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    let go = |output: &Path, only| {
        let (fake, options) = (Fake::default(), Options { only, ..Options::default() });
        let summary = run(&world, output, 10, &fake, 1, &options).unwrap();
        (summary, fake.ran.into_inner())
    };
    let whole = dir.path().join("whole");
    assert!(go(&whole, None).0.complete);
    let wanted = contents(&whole);
    check_dataset(&whole, 10, &[]);

    // Ended half-way by an error: shard 0 was packed and indexed on the way, 4 and 5 are files of their own.
    let half = dir.path().join("half");
    run(&world, &half, 10, &Fake { refuse: vec![6], ..Fake::default() }, 1, &Options::default()).unwrap_err();
    let state = status::status(&half, &design(10), 4).unwrap();
    assert_eq!((state.done, state.shards, state.dataset, state.indexed), (6, [1, 3], false, Some([4, 0])));
    assert_eq!(status::names(&half.join("sims")).unwrap().iter().filter(|n| n.ends_with(".h5")).count(), 2);

    // Killed while writing, after packing and before removing, before the index, and while writing the index.
    type Wound = (&'static str, fn(&Path, &Path), usize);
    let wounds: [Wound; 6] = [
        ("nothing", |_, _| (), 4),
        (
            "half-written files",
            |o, _| {
                for name in [
                    "sims/000007.h5.1.polycosm.tmp",
                    "sims/000006.running.polycosm.tmp",
                    "shards/00001.h5.1.polycosm.tmp",
                    "dataset.h5.1.polycosm.tmp",
                    "stop.polycosm.tmp",
                ] {
                    std::fs::write(o.join(name), "half").unwrap();
                }
            },
            4,
        ),
        ("a lost simulation", |o, _| std::fs::remove_file(o.join("sims/000004.h5")).unwrap(), 5),
        ("a lost shard", |o, _| std::fs::remove_file(o.join("shards/00000.h5")).unwrap(), 8),
        (
            "a packed shard beside its simulations",
            |o, whole| std::fs::copy(whole.join("shards/00001.h5"), o.join("shards/00001.h5")).map(|_| ()).unwrap(),
            2,
        ),
        (
            "all but the index",
            |o, whole| {
                copy(&whole.join("shards"), &o.join("shards"));
            },
            0,
        ),
    ];
    for (name, wound, missing) in wounds {
        let output = dir.path().join(name);
        copy(&half, &output);
        wound(&output, &whole);
        let (summary, ran) = go(&output, None);
        assert_eq!((summary.complete, ran.len()), (true, missing), "{name}");
        assert!(contents(&output) == wanted, "{name}");
        check_dataset(&output, 10, &[]);
        let left = status::names(&output).unwrap();
        assert_eq!(left, ["campaign.toml", "dataset.h5", "fingerprint.json", "lock", "shards", "sims"], "{name}");
    }
}

/// The index has all rows from the first on; those that are not there yet count as nothing, least of all as failed.
#[test]
fn a_dataset_at_any_time() {
    mpi::on_ranks("a_dataset_at_any_time", &[1, 3], |world| {
        let [whole, output] = ["whole", "parts"].map(|name| mpi::shared_dir().join(name));
        let fake = || Fake { fail: vec![2], ..Fake::default() };
        run(world, &whole, 10, &fake(), 1, &Options::default()).unwrap();
        let path = index::path(&output);
        for (part, there) in [(1..3, 1..3), (7..10, 7..10), (2..6, 1..6)] {
            let some = Options { only: Some(part.clone()), ..Options::default() };
            let row = if part.start == 7 { 1 } else { 7 };
            let before = path.exists().then(|| Dataset::open(&path, "theta").unwrap());
            before.iter().for_each(|old| assert!(old.read_list("halos", 9).is_ok() && old.status()[row] == 0));
            assert!(!run(world, &output, 10, &fake(), 1, &some).unwrap().complete);
            world.barrier();
            if let Some(old) = before {
                assert_eq!(
                    old.read_f32("maps", &[row]).unwrap(),
                    map(&job(&design(10), row)),
                    "an open one is unharmed"
                );
                assert_eq!(old.read_list("halos", row).unwrap(), list(&job(&design(10), row)));
            }
            let data = Dataset::open(&path, "theta").unwrap();
            let earlier = if part.start == 1 {
                0..0
            } else if part.start == 7 {
                1..3
            } else {
                7..10
            };
            let is = |i: usize| there.contains(&(i as u64)) || earlier.contains(&i);
            for i in 0..10 {
                let (maps, halos) = (data.read_f32("maps", &[i]).unwrap(), data.read_list("halos", i).unwrap());
                let status = if !is(i) {
                    2
                } else if i == 2 {
                    1
                } else {
                    0
                };
                assert_eq!(data.status()[i], status, "{i} after {part:?}");
                match status {
                    0 => assert_eq!((maps, halos), (map(&job(&design(10), i)), list(&job(&design(10), i)))),
                    _ => assert!(maps.iter().all(|x| x.is_nan()) && halos.is_empty(), "{i}"),
                }
            }
            let ran: Vec<usize> = (0..10).filter(|&i| is(i)).collect();
            assert_eq!((data.ran(), data.len()), (ran.clone(), 10));
            let state = status::status(&output, &design(10), 4).unwrap();
            let failed = state.states.iter().filter(|&&s| s == status::State::Failed).count();
            assert_eq!((state.indexed, state.dataset, state.failed), (Some([ran.len(), 1]), false, failed));
            assert!(status::names(&output.join("sims")).unwrap().is_empty());
            let found = verify::verify(world, &output, &design(10), 4).unwrap();
            assert!(found.is_sound() && found.failed == [2] && found.missing == 10 - ran.len(), "{found:?}");
            world.barrier();
        }
        assert!(run(world, &output, 10, &fake(), 1, &Options::default()).unwrap().complete);
        world.barrier();
        if world.is_root() {
            check_dataset(&output, 10, &[2]);
            assert!(contents(&output) == contents(&whole), "parts made another dataset");
            let words = hdf5::File::open(&path).unwrap().dataset("status").unwrap().attr("values").unwrap();
            let words = words.read_raw::<hdf5::types::VarLenUnicode>().unwrap();
            assert_eq!(words.iter().map(|w| w.as_str()).collect::<Vec<_>>(), ["finished", "failed", "not there yet"]);
        }
        world.barrier();
    });
}

/// A file that a killed program left beside its shard is the newer one, unless the shard was packed from it.
#[test]
fn what_was_run_again_replaces_what_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    run(&world, &a, 4, &Fake::default(), 1, &Options::default()).unwrap();
    let only = Options { only: Some(1..2), ..Options::default() };
    let stop = Fake { refuse: vec![2], ..Fake::default() };
    run(&world, &b, 4, &stop, 1, &Options::default()).unwrap_err();
    copy(&b.join("sims"), &a.join("sims"));
    let taken = status::Inventory::take(&a, &design(4), 4).unwrap();
    assert_eq!((&taken.newer[..], &taken.packed[..], &taken.redundant[..]), (&[0, 1][..], &[false][..], &[][..]));
    run(&world, &a, 4, &Fake::default(), 1, &only).unwrap();
    check_dataset(&a, 4, &[]);
    copy(&b.join("sims"), &a.join("sims"));
    let taken = status::Inventory::take(&a, &design(4), 4).unwrap();
    assert_eq!((&taken.newer[..], &taken.packed[..], &taken.redundant[..]), (&[][..], &[true][..], &[0, 1][..]));
}

#[test]
fn a_design_grows_and_does_not_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    for (n, new) in [(6, 6), (10, 4)] {
        let fake = Fake::default();
        assert!(run(&world, dir.path(), n, &fake, 1, &Options::default()).unwrap().complete);
        assert_eq!(fake.ran.into_inner().len(), new);
        check_dataset(dir.path(), n, &[]);
    }
    // Of fewer, nothing is touched.
    let e = run(&world, dir.path(), 6, &Fake::default(), 1, &Options::default()).unwrap_err();
    assert_eq!((e.key.as_deref(), e.value.as_deref(), e.exit_code()), (Some("design.simulations"), Some("6"), 2));
    let remedy = e.remedy.unwrap_or_default();
    assert!(e.file.is_some() && remedy.contains("give 10 or more again"), "{remedy}");
    check_dataset(dir.path(), 10, &[]);
}

#[test]
fn another_campaign_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 4, &Fake::default(), 1, &Options::default()).unwrap();
    let provenance = Provenance::collect(&world, 6, "");
    let (design, config) = (&design(4), &SuiteConfig { shard_size: 4.into(), ..Default::default() });
    let shape = serde_json::json!({ "seed": 6, "simulator": { "kind": "fake" } });
    let (provenance, files) = (&provenance, vec![]);
    let suite = Suite { output: dir.path(), design, config, kept: 0, seed: 6, provenance, shape, files };
    let e = simulate(&world, &suite, &Fake::default(), &Options::default()).unwrap_err();
    assert_eq!((e.key.as_deref(), e.value.as_deref(), e.exit_code()), (Some("seed"), Some("6"), 2));
    check_dataset(dir.path(), 4, &[]);
}

#[test]
fn damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    let path = dir.path().join("shards/00001.h5");
    let mut bytes = std::fs::read(&path).unwrap();
    let wanted: Vec<u8> = map(&job(&design(10), 6)).iter().flat_map(|x| x.to_le_bytes()).collect();
    let at = bytes.windows(wanted.len()).position(|w| w == wanted).unwrap();
    bytes[at + 5] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = verify::verify(&world, dir.path(), &design(10), 4).unwrap();
    assert_eq!(found.defects.len(), 1);
    assert_eq!((found.defects[0].field.as_str(), found.defects[0].index), ("maps", 6));
    assert!(found.remedy().contains(" --redo 6` makes"), "{}", found.remedy());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let found = verify::verify(&world, dir.path(), &design(10), 4).unwrap();
    assert!(found.defects.len() == 1 && found.remedy().starts_with("remove the shards"), "{found:?}");
}

/// Just those rows run again, wherever they lie; all others keep their bits.
#[test]
fn rows_are_made_again() {
    mpi::on_ranks("rows_are_made_again", &[1, 2], |world| {
        let output = mpi::shared_dir().join("o");
        let go = |options: Options| {
            let fake = Fake { fail: vec![2], ..Fake::default() };
            let summary = run(world, &output, 10, &fake, 1, &options);
            world.barrier();
            let mut ran = world.all_gather(&fake.ran.into_inner());
            ran.sort();
            summary.map(|summary| (ran, summary))
        };
        let redo = |rows: &[u64]| {
            let redo = rows.iter().map(|&row| row..row + 1).collect();
            Options { redo, ..Options::default() }
        };
        go(Options::default()).unwrap();
        let wanted = contents(&output);
        let times = || File::open(&index::path(&output)).unwrap().read::<f64>("provenance/finished").unwrap();
        let first = times();
        world.barrier();
        let shard = output.join("shards/00001.h5");
        if world.is_root() {
            for (name, row, size) in [("maps", 2, 20), ("halos/data", 0, 3), ("halos/data", 3, 3)] {
                let array = hdf5::File::open_rw(&shard).unwrap().dataset(name).unwrap();
                let mut all = array.read_raw::<f64>().unwrap();
                all[row * size] += 1.0;
                array.write_raw(&all).unwrap();
            }
        }
        world.barrier();
        let found = verify::verify(world, &output, &design(10), 4).unwrap();
        assert!(found.remedy().contains(" --redo 5..7` makes"), "{found:?}");
        // One that is damaged as well and is not made again is named, with what to do.
        let e = go(redo(&[5, 6])).unwrap_err();
        assert!(e.exit_code() == 1 && e.remedy.as_ref().unwrap().contains("--redo 7"), "{e}");
        assert_eq!(go(redo(&[7, 5, 6])).unwrap().0, [5, 6, 7]);
        assert!(verify::verify(world, &output, &design(10), 4).unwrap().is_sound());
        assert!(contents(&output) == wanted, "others have changed");
        let then = times();
        assert!((0..10).all(|i| (first[i] == then[i]) != (5..8).contains(&i)), "{first:?} {then:?}");
        // Failed and finished ones; and some that the design does not have.
        let (ran, summary) = go(redo(&[2, 3])).unwrap();
        assert_eq!((ran, summary.done, summary.failed, summary.complete), (vec![3], 1, 1, true));
        assert!(contents(&output) == wanted);
        let e = go(redo(&[1, 10])).unwrap_err();
        assert_eq!((e.key.as_deref(), e.value.as_deref(), e.exit_code()), (Some("--redo"), Some("10..10"), 2));
        if world.is_root() {
            check_dataset(&output, 10, &[2]);
        }
        world.barrier();
    });
}

/// Every number that is read has been compared with its checksum first, and the file is named, not what reads it.
#[test]
fn a_flipped_bit_is_noticed_by_every_reader() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    let (index, shard) = (index::path(dir.path()), dir.path().join("shards/00001.h5"));
    let provenance = Provenance::collect(&world, 5, "");
    let open = || Dataset::open(&index, "theta");
    let flip = |path: &Path, name: &str, value: usize| {
        let file = hdf5::File::open(path).unwrap();
        let array = file.dataset(name).unwrap();
        let at = array.offset().unwrap() as usize + value * array.dtype().unwrap().size();
        drop((array, file));
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let named = |e: Error, file: &str| {
        let text = e.to_string();
        assert!(e.exit_code() == 1 && text.contains(file) && text.contains("polycosm simulate"), "{text}");
    };
    let whole = [std::fs::read(&index).unwrap(), std::fs::read(&shard).unwrap()];
    let mend = || {
        std::fs::write(&index, &whole[0]).unwrap();
        std::fs::write(&shard, &whole[1]).unwrap();
    };
    // A field in a shard: rows 4 to 7, of which 5 is hit.
    for name in ["maps", "halos/data"] {
        flip(&shard, name, if name == "maps" { 20 } else { 0 });
        let data = open().unwrap();
        let read = |row: usize| match name {
            "maps" => data.read_f32("maps", &[row]).map(drop),
            _ => data.read_list("halos", row).map(drop),
        };
        read(4).unwrap();
        read(9).unwrap();
        named(read(5).unwrap_err(), "shards/00001.h5");
        if name == "maps" {
            named(data.read_f64("maps", &[1, 4, 5, 6]).unwrap_err(), "shards/00001.h5");
            named(data.read_data(&data.spec("maps").unwrap(), 5).unwrap_err(), "shards/00001.h5");
            let copy = dir.path().join("copy.h5");
            let written = Format::Hdf5.write(&world.alone(), (&data, &[4, 5]), &copy, &[], &provenance);
            named(written.unwrap_err(), "shards/00001.h5");
            assert!(!copy.exists());
        }
        drop(data);
        assert_eq!(verify::verify(&world, dir.path(), &design(10), 4).unwrap().defects.len(), 1, "{name}");
        mend();
    }
    // What stands beside the fields in the index: nothing can be read then.
    for name in ["theta", "split", "status", "checksum/maps", "halos/offsets"] {
        flip(&index, name, 3);
        named(open().unwrap_err(), "dataset.h5");
        mend();
    }
    // In a shard, where runs resume from it and verify looks.
    for name in ["theta", "split", "status", "index", "realisation"] {
        flip(&shard, name, 1);
        let found = status::status(dir.path(), &design(10), 4).unwrap();
        assert!(found.damaged.len() == 1 && found.damaged[0].contains("shards/00001.h5"), "{name}: {found:?}");
        named(run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap_err(), "shards/00001.h5");
        let found = verify::verify(&world, dir.path(), &design(10), 4).unwrap();
        assert!(found.defects.iter().any(|d| d.problem.contains("shards/00001.h5")), "{name}: {found:?}");
        mend();
    }
    assert!(verify::verify(&world, dir.path(), &design(10), 4).unwrap().is_sound());
    check_dataset(dir.path(), 10, &[]);
}

/// Arrays of another shape than this program writes are damage, whatever their checksums.
#[test]
fn a_shard_of_another_shape_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    let shard = dir.path().join("shards/00001.h5");
    let whole = std::fs::read(&shard).unwrap();
    for name in
        ["theta", "status", "index", "realisation", "split", "maps", "halos/data", "halos/offsets", "checksum/maps"]
    {
        for shape in [vec![3], vec![40], vec![], vec![4, 0], vec![2, 2, 2]] {
            let file = hdf5::File::append(&shard).unwrap();
            file.unlink(name).unwrap();
            file.new_dataset::<f64>().shape(&shape[..]).create(name).unwrap();
            file.close().unwrap();
            let fields = ["maps", "halos/data", "halos/offsets", "checksum/maps"].contains(&name);
            let found = status::status(dir.path(), &design(10), 4).unwrap();
            assert!(fields || found.damaged[0].contains("shards/00001.h5"), "{name} {shape:?}: {found:?}");
            let found = verify::verify(&world, dir.path(), &design(10), 4).unwrap();
            assert!(!found.is_sound(), "{name} {shape:?}");
            let e = run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default());
            assert!(fields || e.unwrap_err().to_string().contains("shards/00001.h5"), "{name} {shape:?}");
            // The index made anew from it refuses, or was not touched.
            std::fs::rename(index::path(dir.path()), dir.path().join("aside.h5")).unwrap();
            let e = run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default());
            assert!(e.is_err() || fields, "{name} {shape:?}");
            std::fs::rename(dir.path().join("aside.h5"), index::path(dir.path())).unwrap();
            std::fs::write(&shard, &whole).unwrap();
        }
    }
}

/// HDF5 reads NaN where a shard is gone; nobody may learn from that, or hand it on.
#[test]
fn a_lost_or_truncated_shard_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    let (shard, copy) = (dir.path().join("shards/00001.h5"), dir.path().join("copy.h5"));
    let provenance = Provenance::collect(&world, 5, "");
    let open = || Dataset::open(index::path(dir.path()), "theta").unwrap();
    let all: Vec<usize> = (0..10).collect();
    let export = || Format::Hdf5.write(&world.alone(), (&open(), &all), &copy, &[], &provenance);
    export().unwrap();
    let exported = Dataset::open(&copy, "theta").unwrap();
    assert_eq!(File::open(&copy).unwrap().read::<u8>("status").unwrap(), [0; 10]);
    assert_eq!(exported.read_f32("maps", &[6]).unwrap(), map(&job(&design(10), 6)));
    let file = File::open(&copy).unwrap();
    assert_eq!(file.read::<u64>("realisation").unwrap(), (0..10).collect::<Vec<_>>());
    let (halos, at) = (file.read::<f64>("halos/data").unwrap(), file.read::<u64>("halos/offsets").unwrap());
    for i in 0..10 {
        assert_eq!(halos[3 * at[i] as usize..3 * at[i + 1] as usize], list(&job(&design(10), i)), "{i}");
    }
    drop((file, exported));
    // The exported file tells its own damage: a changed number of a map, of a list, and of a small array.
    for (field, read) in [
        ("maps", (|d| d.read_f32("maps", &[6]).map(drop)) as fn(&Dataset) -> polycosm::error::Result<()>),
        ("halos", |d| d.read_list("halos", 6).map(drop)),
    ] {
        let name = if field == "halos" { "halos/data" } else { field };
        let (array, row) = (hdf5::File::open_rw(&copy).unwrap().dataset(name).unwrap(), at[6] as usize);
        let old = array.read_raw::<f64>().unwrap();
        let mut new = old.clone();
        new[if field == "halos" { 3 * row } else { 6 * old.len() / 10 }] += 1.0;
        array.write_raw(&new).unwrap();
        drop(array);
        let e = read(&Dataset::open(&copy, "theta").unwrap()).unwrap_err().to_string();
        assert!(e.contains("copy.h5") && e.contains(field) && e.contains("checksum"), "{e}");
        export().unwrap();
        read(&Dataset::open(&copy, "theta").unwrap()).unwrap();
    }
    hdf5::File::open_rw(&copy).unwrap().dataset("split").unwrap().write_raw(&[1u8; 10]).unwrap();
    let e = Dataset::open(&copy, "theta").err().unwrap().to_string();
    assert!(e.contains("split") && e.contains("checksum"), "{e}");
    export().unwrap();
    let whole = std::fs::read(&shard).unwrap();
    for (says, gone) in [("no such file", true), ("truncated", false)] {
        if gone {
            std::fs::remove_file(&shard).unwrap();
        } else {
            std::fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
        }
        std::fs::remove_file(&copy).unwrap();
        let errors = [
            export().unwrap_err(),
            open().read_f32("maps", &[0, 9]).unwrap_err(),
            open().read_list("halos", 5).unwrap_err(),
        ];
        for e in errors {
            let text = e.to_string();
            assert!(e.exit_code() == 1 && text.contains("shards/00001.h5") && text.contains(says), "{text}");
            assert!(text.contains("polycosm simulate"), "{text}");
        }
        assert!(!copy.exists(), "a file without those universes was left");
        std::fs::write(&shard, &whole).unwrap();
        export().unwrap();
    }
}

/// Whatever becomes of it, the folder has the file that says what it is.
#[test]
fn a_suite_that_fails_as_a_whole_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    let some = Fake { fail: vec![0], ..Fake::default() };
    let summary = run(&world, dir.path(), 3, &some, 1, &Options { only: Some(0..1), ..Options::default() }).unwrap();
    assert!(summary.all_failed() && !summary.complete, "{summary:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("campaign.toml")).unwrap().lines().nth(1), Some("seed = 5"));
    let all = Fake { fail: vec![0, 1, 2], ..Fake::default() };
    for _ in 0..2 {
        let summary = run(&world, dir.path(), 3, &all, 1, &Options::default()).unwrap();
        let of_universes: Vec<_> =
            summary.timings.iter().filter(|t| !["write", "pack"].contains(&t.0.as_str())).collect();
        assert!(summary.all_failed() && summary.complete && of_universes.is_empty(), "{summary:?}");
    }
    let found = verify::verify(&world, dir.path(), &design(3), 4).unwrap();
    assert_eq!((found.failed.len(), found.reason.as_deref()), (3, Some("on purpose")));
    let retry = Options { retry_failed: true, ..Options::default() };
    assert!(!run(&world, dir.path(), 3, &some, 1, &retry).unwrap().all_failed());
    let e = run(&world, dir.path(), 3, &some, 1, &Options { only: Some(5..10), ..Options::default() }).unwrap_err();
    assert_eq!((e.key.as_deref(), e.value.as_deref(), e.exit_code()), (Some("--only"), Some("5..9"), 2));
    assert!(e.to_string().contains("3 simulations") && e.to_string().contains("0..2"), "{e}");
}

/// What cannot be read is named and counts as missing; only its owner may remove it.
#[test]
fn status_goes_on_past_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let world = Comm::world();
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    let shard = dir.path().join("shards/00001.h5");
    std::fs::OpenOptions::new().write(true).open(&shard).unwrap().set_len(1000).unwrap();
    let found = status::status(dir.path(), &design(10), 4).unwrap();
    assert_eq!((found.done, found.shards, found.dataset), (6, [2, 3], false));
    assert!(found.damaged.len() == 1 && found.damaged[0].contains("shards/00001.h5"), "{:?}", found.damaged);
    let e = run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap_err();
    assert!(e.exit_code() == 1 && e.to_string().contains("remove this file"), "{e}");
    std::fs::remove_file(&shard).unwrap();
    assert!(!status::status(dir.path(), &design(10), 4).unwrap().dataset);
    run(&world, dir.path(), 10, &Fake::default(), 1, &Options::default()).unwrap();
    check_dataset(dir.path(), 10, &[]);
}

/// A snapshot that somebody copied half of is bad input.
#[test]
fn a_truncated_snapshot_is_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("half.hdf5");
    let bytes = std::fs::read(observation()).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let e = gadget::read(&Comm::world(), &path).unwrap_err();
    assert!(e.exit_code() == 2 && e.to_string().contains("half.hdf5: cannot be read: "), "{e}");
    assert!(e.remedy.as_ref().unwrap().contains("copy it here again"), "{e}");
}

fn observation() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/fastpm_observation.hdf5")
}

#[test]
fn a_fastpm_snapshot_is_read_and_written() {
    mpi::on_ranks("a_fastpm_snapshot_is_read_and_written", &[1, 2, 3, 4], |world| {
        let snapshot = gadget::read(world, &observation()).unwrap();
        let told = &snapshot.header;
        assert_eq!((told.npart, told.box_size, told.scale_factor), (64u64.pow(3), 256.0, 1.0));
        assert!(told.cosmology.contains(&("Omega_m".into(), 0.25)) && told.warnings.is_empty() && snapshot.own_ids);
        assert!(told.truth.contains(&("sigma8".into(), 0.9)) && told.truth.contains(&("steps".into(), 10.0)));
        assert!(snapshot.positions.iter().flatten().all(|x| (0.0..=256.0).contains(x)));
        let (start, len) = share(told.npart as usize, world.size(), world.rank());
        assert_eq!((snapshot.ids.len(), snapshot.velocities.len()), (len, len));
        let squares = world.sum_of(snapshot.velocities.iter().flatten().map(|v| v * v).sum::<f64>());
        let rms = (squares / told.npart as f64).sqrt();
        assert!((rms - 639.702043).abs() < 1e-5, "{rms} km/s; NumPy has 639.702043");

        let path = mpi::shared_dir().join("copy.hdf5");
        let beyond = Extension { m_nu: 0.4, radiation: true, ..Extension::default() };
        let cosmology = Cosmology::extended([0.25, 0.05, 0.7, 0.96, 0.9], beyond).unwrap();
        for double in [false, true] {
            let header = gadget::SnapshotHeader {
                box_size: 256.0,
                scale_factor: 0.5,
                cosmology,
                double,
                truth: vec![("sigma8".into(), 0.9)],
            };
            gadget::write(world, &path, &header, &snapshot.positions, &snapshot.velocities, &snapshot.ids, None)
                .unwrap();
            let copy = gadget::read(world, &path).unwrap();
            assert_eq!((copy.header.scale_factor, copy.header.told("Omega_m")), (0.5, Some(0.25)));
            assert_eq!((copy.header.npart, &copy.header.truth), (told.npart, &header.truth));
            assert_eq!((&copy.positions, &copy.ids), (&snapshot.positions, &snapshot.ids));
            let close = |a: &[f64; 3], b: &[f64; 3]| (0..3).all(|k| (a[k] - b[k]).abs() <= 1e-6 * b[k].abs());
            assert!(copy.velocities.iter().zip(&snapshot.velocities).all(|(a, b)| close(a, b)), "from row {start}");
        }
        // Particles hold the matter that is not neutrinos, of which ΣM = 93.1 eV would close the universe at h = 1.
        let file = File::open(&path).unwrap();
        let parameter = |name: &str| file.number("Parameters", name).unwrap().unwrap();
        let held = file.numbers("Header", "MassTable").unwrap().unwrap()[1] * 1e10 * 64f64.powi(3);
        let cold = held / (RHO_CRIT * 256f64.powi(3));
        assert!((cold + parameter("OmegaNu") - 0.25).abs() < 1e-12 && parameter("Omega0") == 0.25, "{cold}");
        assert!((parameter("OmegaNu") / (0.4 / 93.1 / 0.49) - 1.0).abs() < 0.01, "{}", parameter("OmegaNu"));
        assert_eq!(gadget::read(world, &mpi::shared_dir().join("none.hdf5")).unwrap_err().exit_code(), 2);
    });
}

#[test]
fn a_file_that_one_rank_cannot_read_is_every_ranks_error() {
    mpi::on_ranks("a_file_that_one_rank_cannot_read_is_every_ranks_error", &[2, 3], |world| {
        let path = if world.rank() == 1 { mpi::shared_dir().join("none.hdf5") } else { observation() };
        let error = File::open_on(world, &path).map(drop).expect_err("rank 1 has no such file");
        assert_eq!(error.exit_code(), 2);
    });
}
