//! What stands in a folder stays what it says it is: universes of the design, from the same inputs; and what is the
//! user's stays.

mod mpi;

use polycosm::io::dataset::Dataset;
use polycosm::io::hdf::File;
use polycosm::io::index;
use polycosm::io::provenance::Provenance;
use polycosm::suite::design::DesignConfig;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A scratch folder with four tiny universes at the points of a list.
struct Case {
    dir: tempfile::TempDir,
}

const ROWS: [&str; 4] = ["0.2 0.7", "0.3 0.8", "0.4 0.9", "0.25 0.75"];

const CAMPAIGN: &str = "output = \"o\"\nseed = 1\n[cosmology]\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\n[design]\n\
    kind = \"list\"\nfile = \"list.txt\"\nsimulations = 4\nparameters.Omega_m = { min = 0.1, max = 0.5 }\n\
    parameters.sigma8 = { min = 0.6, max = 1.0 }\n[simulator]\nkind = \"pm\"\nbox_size = 128.0\nparticles = 16\n\
    time = { steps = 2 }\npower = {}\n[suite]\nshard_size = 2\n";

impl Case {
    fn new() -> Case {
        let case = Case { dir: tempfile::tempdir().unwrap() };
        case.put("run.toml", CAMPAIGN);
        case.list(&ROWS);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn list(&self, rows: &[&str]) {
        self.put("list.txt", &rows.join("\n"));
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        command.current_dir(self.dir.path()).args(words.split(' ')).env("OMP_NUM_THREADS", "1");
        for name in polycosm::comm::launch::SIZES {
            command.env_remove(name);
        }
        command
    }

    /// Ends with this code and says all of these parts.
    #[track_caller]
    fn go(&self, words: &str, code: i32, says: &[&str]) -> String {
        ended(self.command(words), code, says)
    }
}

#[track_caller]
fn ended(command: Command, code: i32, says: &[&str]) -> String {
    let ended = mpi::finish(command, Duration::from_secs(120));
    assert_eq!(ended.code, Some(code), "{}", ended.text);
    for part in says {
        assert!(ended.text.contains(part), "does not say {part:?}:\n{}", ended.text);
    }
    ended.text
}

#[test]
fn universes_keep_the_parameters_they_were_made_with() {
    let case = Case::new();
    case.go("simulate run.toml", 0, &[]);
    let before = case.read("o/dataset.h5");
    case.list(&["0.2 0.7", "0.3 0.8", "0.4 0.95", "0.25 0.75", "0.22 0.72"]);
    let says = ["o/shards/00001.h5", "sigma8", "list.txt", "row 2", "0.9", "0.95", "remedy: "];
    case.go("simulate run.toml --set design.simulations=5", 2, &says);
    case.go("status run.toml", 0, &["other design", "o/shards/00001.h5", "sigma8", "dataset      not complete"]);
    case.go("verify run.toml", 2, &["o/shards/00001.h5", "sigma8"]);
    assert!(case.read("o/dataset.h5") == before);
    // An index that an older program relabelled is written anew.
    case.list(&[&ROWS[..], &["0.22 0.72"]].concat());
    relabel(&case.path("o/dataset.h5"));
    case.go("verify run.toml", 1, &["o/dataset.h5", "remedy: remove"]);
    case.go("simulate run.toml", 0, &[]);
    case.go("verify run.toml", 0, &["every checksum holds"]);
    // Rows at the end belong to it; so does a row that is remade.
    case.go("simulate run.toml --set design.simulations=5", 0, &["1 simulation on"]);
    case.list(&["0.21 0.7", "0.3 0.8", "0.4 0.9", "0.25 0.75", "0.22 0.72"]);
    std::fs::remove_file(case.path("o/shards/00000.h5")).unwrap();
    case.go("simulate run.toml --set design.simulations=5", 0, &["2 simulations on"]);
    assert_eq!(Dataset::open(case.path("o/dataset.h5"), "theta").unwrap().theta()[..3], [0.21, 0.7, 0.3]);
}

/// Writes another number over the last parameter of a dataset, where its bytes lie.
fn relabel(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let wanted: Vec<u8> = [0.25f64, 0.75].iter().flat_map(|x| x.to_le_bytes()).collect();
    let at = bytes.windows(16).position(|w| w == wanted).unwrap();
    bytes[at..at + 8].copy_from_slice(&0.26f64.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn input_files_keep_their_contents() {
    let case = Case::new();
    let table = |tilt: f64| {
        let k = (0..200).map(|i| 1e-4 * 1.06f64.powi(i));
        k.map(|k| {
            format!("{k:.8e} {:.8e}\n", 1e4 * (k / 0.02).powf(0.96 + tilt) / (1.0 + (k / 0.02).powi(2)).powf(1.9))
        })
        .collect::<String>()
    };
    case.put("pk.txt", &table(0.0));
    let text =
        CAMPAIGN.replace("[cosmology]\n", "[cosmology]\ntransfer = \"table\"\ntable = \"pk.txt\"\nOmega_m = 0.3\n");
    let text = text.replace("parameters.Omega_m = { min = 0.1, max = 0.5 }\n", "");
    case.put("run.toml", &text.replace("kind = \"list\"\nfile = \"list.txt\"\n", ""));
    case.go("simulate run.toml --only 0..1", 0, &[]);
    case.put("pk.txt", &table(0.5));
    case.go("simulate run.toml", 2, &["pk.txt", "cosmology.table", "other contents", "remedy: "]);
    case.put("pk.txt", &table(0.0));
    case.go("simulate run.toml", 0, &["2 simulations on"]);
    // A folder of a program that kept no contents goes on with a word, and keeps them then.
    let kept = String::from_utf8(case.read("o/fingerprint.json")).unwrap();
    let mut shape: serde_json::Value = serde_json::from_str(&kept).unwrap();
    shape.as_object_mut().unwrap().remove("sha256").unwrap();
    let campaign = shape["campaign"].as_object_mut().unwrap();
    campaign.remove("files").unwrap();
    campaign.remove("numerics").unwrap();
    case.put("o/fingerprint.json", &shape.to_string());
    case.go("simulate run.toml", 0, &["begun by an older program", "pk.txt"]);
    assert_eq!(String::from_utf8(case.read("o/fingerprint.json")).unwrap(), kept);
    // Another program's numerics, and another default, are told.
    case.put("o/fingerprint.json", &resealed(&kept.replace("\"pm\": 1", "\"pm\": 0")));
    case.go("simulate run.toml", 2, &["numerics", "version 0", "remedy: "]);
    let other = kept.replace("\"fixed_amplitudes\": false", "\"fixed_amplitudes\": true");
    assert_ne!(other, kept);
    case.put("o/fingerprint.json", &other);
    case.go("simulate run.toml", 1, &["fingerprint.json", "checksum does not match", "remedy: "]);
    case.put("o/fingerprint.json", &resealed(&other));
    let key = "simulator.initial.fixed_amplitudes";
    case.go("simulate run.toml", 0, &[key, "by default false now", "begun with true"]);
    case.go(&format!("simulate run.toml --set {key}=false"), 2, &[key, "was begun with true"]);
    case.go("simulate run.toml --set simulator.mesh_factor=1.5", 2, &["mesh_factor", "was begun with"]);
    case.go("simulate run.toml --set simulator.halos.linking_length=0.2", 2, &["halos is new", "nothing was kept"]);
}

/// A sealed JSON that was edited, with the digest of what it says now.
fn resealed(text: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    value.as_object_mut().unwrap().remove("sha256").unwrap();
    polycosm::io::identity::sealed(&value).unwrap()
}

/// What was computed from one file does not go on with another, even where nothing but a checkpoint is left of it.
#[test]
fn a_checkpoint_knows_its_input_files() {
    let case = Case::new();
    let table = |tilt: f64| {
        let line = |i: i32| {
            let k = 1e-4 * 1.05f64.powi(i);
            format!("{k} {}\n", 2e4 * k / (k / 0.02 + (k / 0.02).powf(2.4 - tilt)))
        };
        (0..260).map(line).collect::<String>()
    };
    case.put("pk.txt", &table(0.0));
    let text =
        CAMPAIGN.replace("[cosmology]\n", "[cosmology]\ntransfer = \"table\"\ntable = \"pk.txt\"\nOmega_m = 0.3\n");
    let text = text.replace("parameters.Omega_m = { min = 0.1, max = 0.5 }\n", "").replace("steps = 2", "steps = 2000");
    let text = text.replace("kind = \"list\"\nfile = \"list.txt\"\nsimulations = 4", "simulations = 1");
    case.put("run.toml", &text.replace("particles = 16", "particles = 8\ncheckpoint_minutes = 1e-9"));
    let killed = || {
        let mut run = case.command("simulate run.toml");
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let start = Instant::now();
        while !case.path("o/checkpoints/000000.b.h5").exists() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!case.path("o/dataset.h5").exists(), "killed too late");
    };
    killed();
    case.put("pk.txt", &table(0.2));
    std::fs::remove_file(case.path("o/fingerprint.json")).unwrap();
    let quick = "simulate run.toml --set simulator.checkpoint_minutes=0";
    let text = case.go(quick, 0, &["of other input files"]);
    assert!(!text.contains("goes on from its checkpoint"), "{text}");
    std::fs::remove_dir_all(case.path("o")).unwrap();
    killed();
    case.go(quick, 0, &["goes on from its checkpoint"]);
}

#[test]
fn rows_that_the_design_does_not_have_are_refused() {
    let case = Case::new();
    case.go("simulate run.toml --only 0..18446744073709551615", 2, &["18446744073709551615"]);
    case.go("simulate run.toml --only 2..4", 2, &["--only", "2..4", "4 simulations", "0..3"]);
    assert!(!case.path("o").exists());
    case.go("simulate run.toml --only 2..3", 0, &["2 simulations on"]);
}

#[test]
fn a_stopped_run_counts_what_it_ran() {
    let case = Case::new();
    case.put(
        "run.toml",
        &CAMPAIGN.replace("kind = \"list\"\nfile = \"list.txt\"\nsimulations = 4", "simulations = 500"),
    );
    let log = std::fs::File::create(case.path("log")).unwrap();
    let mut run = case.command("simulate run.toml");
    let mut child = run.stdout(Stdio::null()).stderr(log).process_group(0).spawn().unwrap();
    let start = Instant::now();
    while !case.path("o/shards/00001.h5").exists() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    mpi::send("TERM", &child.id().to_string());
    assert_eq!(child.wait().unwrap().code(), Some(85));
    let text = String::from_utf8(case.read("log")).unwrap();
    let line = text.lines().find(|l| l.contains(" not run")).unwrap_or_else(|| panic!("{text}"));
    let ran = Dataset::open(case.path("o/dataset.h5"), "theta").unwrap().ran().len();
    assert!(
        line.contains(&format!("{ran} simulations on")) && line.contains(&format!("{} of 500 not run", 500 - ran)),
        "{line}"
    );
}

#[test]
fn an_export_replaces_nothing_but_an_export() {
    let case = Case::new();
    case.go("export run.toml --to new/folder", 2, &["dataset.h5", "remedy: "]);
    assert!(!case.path("new").exists());
    case.go("simulate run.toml", 0, &[]);
    case.go("export run.toml --to new/folder --field nothing", 2, &["nothing", "remedy: "]);
    assert!(!case.path("new").exists());
    let before = case.read("o/dataset.h5");
    std::os::unix::fs::symlink("o", case.path("alias")).unwrap();
    std::fs::create_dir(case.path("linked")).unwrap();
    std::fs::hard_link(case.path("o/dataset.h5"), case.path("linked/dataset.h5")).unwrap();
    for to in ["o", "o/", "./o/../o", "alias", "linked"] {
        case.go(&format!("export run.toml --to {to}"), 2, &["--to", "remedy: "]);
        assert!(case.read("o/dataset.h5") == before, "{to}");
    }
    // The index of another campaign, and a file of the user's.
    case.go("simulate run.toml --set output=o2", 0, &[]);
    case.go("export run.toml --to o2", 2, &["dataset of a campaign", "remedy: "]);
    case.put("mine/dataset.h5", "precious");
    case.go("export run.toml --to mine", 2, &["mine/dataset.h5", "remedy: "]);
    assert_eq!(case.read("mine/dataset.h5"), b"precious");
    case.go("export run.toml --to new/folder", 0, &[]);
    case.go("export run.toml --to new/folder", 0, &["earlier export"]);
    let file = File::open(&case.path("new/folder/dataset.h5")).unwrap();
    assert_eq!(file.read::<u64>("realisation").unwrap(), [0, 1, 2, 3]);
}

#[test]
fn what_the_user_has_in_the_output_folder_stays() {
    let case = Case::new();
    let campaign = format!("# my comment\n{}", CAMPAIGN.replace("output = \"o\"", "output = \".\""));
    case.put("campaign.toml", &campaign);
    for name in ["thesis.tmp", "sims/thesis.12.tmp", "shards/a.running.tmp"] {
        case.put(name, "precious");
    }
    std::fs::create_dir(case.path("folder.polycosm.tmp")).unwrap();
    case.put("sims/000009.h5.1.polycosm.tmp", "half");
    case.go("simulate campaign.toml", 0, &["campaign.resolved.toml"]);
    case.go("simulate campaign.toml", 0, &[]);
    assert_eq!(case.read("campaign.toml"), campaign.as_bytes());
    for name in ["thesis.tmp", "sims/thesis.12.tmp", "shards/a.running.tmp"] {
        assert_eq!(case.read(name), b"precious", "{name}");
    }
    assert!(case.path("folder.polycosm.tmp").is_dir() && !case.path("sims/000009.h5.1.polycosm.tmp").exists());
    case.put("dataset.h5", "precious");
    case.go("simulate campaign.toml", 2, &["dataset.h5", "remedy: move it elsewhere"]);
    assert_eq!(case.read("dataset.h5"), b"precious");
}

/// Files of the user's with the names that polycosm gives: none is replaced, and each is named.
#[test]
fn nothing_of_the_users_is_replaced() {
    let case = Case::new();
    let campaign = CAMPAIGN.replace("output = \"o\"", "output = \".\"");
    case.put("run.toml", &campaign.replace("power = {}", "power = {}\nsnapshots = true"));
    let precious = |name: &str, text: &str, words: &str, code: i32| {
        case.put(name, text);
        case.go(words, code, &[name]);
        assert_eq!(case.read(name), text.as_bytes(), "{name}");
        std::fs::remove_file(case.path(name)).unwrap();
    };
    precious("snapshots/000002.hdf5", "precious", "simulate run.toml", 2);
    precious("sims/000001.h5", "precious", "simulate run.toml", 2);
    precious("checkpoints/000000.a.h5", "precious", "simulate run.toml", 2);
    precious("timings.json", "{\"mine\": 1}", "simulate run.toml --only 0", 0);
    precious("snapshots/000002.hdf5", "precious", "simulate run.toml --only 2", 2);
    case.go("simulate run.toml", 0, &[]);
    // As after a kill between the two.
    std::fs::remove_file(case.path("shards/00001.h5")).unwrap();
    case.go("simulate run.toml", 0, &["2 simulations on"]);
    let page = "<!doctype html><title>polycosm and I</title>";
    precious("report/index.html", page, "report run.toml", 2);
    precious("report/made-of.json", "{}", "report run.toml", 2);
    precious("report/timings.png", "\u{89}PNG", "report run.toml", 2);
    case.put("report/notes.txt", "mine");
    case.go("report run.toml", 0, &[]);
    case.go("report run.toml", 0, &[]);
    assert_eq!(case.read("report/notes.txt"), b"mine");
    for name in ["job/submit.sh", "job/analyse.sbatch"] {
        precious(name, "#!/bin/bash\necho mine\n", "job run.toml", 2);
    }
    case.go("job run.toml", 0, &[]);
    case.go("job run.toml", 0, &[]);
    let edited = String::from_utf8(case.read("job/simulate.sbatch")).unwrap() + "echo mine\n";
    precious("job/simulate.sbatch", &edited, "job run.toml", 2);
}

#[test]
fn a_world_smaller_than_its_job_is_refused() {
    let case = Case::new();
    let with = |name: &str, value: &str| {
        let mut command = case.command("simulate run.toml --only 0");
        command.env(name, value);
        command
    };
    for name in ["PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        ended(with(name, "4"), 2, &[name, "remedy: ", "--mpi=pmix"]);
        assert!(!case.path("o").exists());
    }
    // A batch script may start fewer ranks than it was given, or one.
    ended(with("SLURM_NTASKS", "4"), 0, &[]);
    ended(with("PMI_SIZE", "1"), 0, &[]);
}

#[test]
fn an_archive_can_be_looked_at() {
    let case = Case::new();
    case.go("simulate run.toml", 0, &[]);
    let mode = |mode: &str| {
        assert!(Command::new("chmod").args(["-R", mode]).arg(case.dir.path()).status().unwrap().success());
    };
    mode("a+rX,a-w");
    // Root may write anywhere, unless it gives that up.
    let root = std::fs::File::create(case.path("o/x")).is_ok();
    let somebody = |words: &str| {
        let own = case.command(words);
        if !root {
            return own;
        }
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(own.get_program()).args(own.get_args());
        command.current_dir(case.dir.path()).env("OMP_NUM_THREADS", "1");
        for name in polycosm::comm::launch::SIZES {
            command.env_remove(name);
        }
        command
    };
    if !somebody("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("NOT TESTED: an archive is written to by root alone here, and no `setpriv` takes that right from it");
        mode("u+w");
        return;
    }
    let look = |words: &str, code: i32, says: &[&str]| drop(ended(somebody(words), code, says));
    let to = tempfile::tempdir().unwrap();
    look("check run.toml", 0, &["cannot be written", "can be looked at"]);
    look("status run.toml", 0, &["complete"]);
    look("verify run.toml", 0, &["every checksum holds"]);
    look(&format!("export run.toml --to {}", to.path().join("x").display()), 0, &["dataset.h5"]);
    look("simulate run.toml", 2, &["output", "cannot be written", "remedy: "]);
    mode("u+w");
}

#[test]
fn an_index_opens_no_more_files_than_a_program_may() {
    let case = Case::new();
    let many = " --set design.kind=sobol --set suite.shard_size=1 --set design.simulations=";
    case.put("run.toml", &CAMPAIGN.replace("file = \"list.txt\"\n", ""));
    let says = ["suite.shard_size", "= 1", "remedy: ", "suite.shard_size = 2"];
    case.go(&format!("check run.toml{many}901"), 2, &says);
    case.go(&format!("simulate run.toml{many}4"), 0, &[]);
    case.go(&format!("plan run.toml{many}901 -n 1"), 0, &["901 shards", "copies"]);
    // Beyond the limit the index has the numbers themselves.
    let path = case.path("o/dataset.h5");
    let data = Dataset::open(&path, "theta").unwrap();
    let (specs, wanted) = (data.specs(), data.read_f64("power", &[0, 1, 2, 3]).unwrap());
    let text = "simulations = 4\nparameters.Omega_m = { min = 0.1, max = 0.5 }\nparameters.sigma8 = { min = 0.6, max = 1.0 }\n";
    let design =
        toml::from_str::<DesignConfig>(text).map(|d| d.resolve(&d.parameters.prior().unwrap(), 1).unwrap()).unwrap();
    let rows: Vec<_> = (0..4).map(|i| design.row(i)).collect();
    let world = polycosm::comm::Comm::world();
    let by = Provenance::collect(&world, 1, "");
    for linked in [true, false] {
        let (prior, drawn_from) = (&design.prior, design.drawn_from);
        let drawn = index::Drawn { prior, drawn_from, derived: &[], passed_over: None };
        let pieces = index::pieces(&case.path("o"), 4, 1);
        index::write(&world, &case.path("o"), (drawn, &rows), (&pieces, linked), (&specs, None), &by, || Ok(()))
            .unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(!file.array("power").unwrap().sources().is_empty(), linked);
        assert_eq!(Dataset::open(&path, "theta").unwrap().read_f64("power", &[0, 1, 2, 3]).unwrap(), wanted);
        drop(file);
    }
    case.go(&format!("verify run.toml{many}4"), 0, &["every checksum holds"]);
}

/// Killed at any moment, the same command goes on, no universe is lost or another, and the index shows all.
#[test]
fn packing_anew_is_killed_anywhere() {
    let case = Case::new();
    case.put("run.toml", &CAMPAIGN.replace("file = \"list.txt\"\n", ""));
    let simulate = |m: usize| {
        let sets = "--set design.kind=sobol --set design.simulations=48 --set suite.shard_size=";
        format!("simulate run.toml {sets}{m}")
    };
    let contents = || {
        let file = File::open(&case.path("o/dataset.h5")).unwrap();
        let bits = |name: String| (file.read::<f64>(&name).unwrap().iter().map(|v| v.to_bits()).collect(), name);
        let names = file.arrays().into_iter().filter(|name| !name.starts_with("provenance/"));
        names.map(bits).collect::<Vec<(Vec<u64>, String)>>()
    };
    let shards = || -> Vec<(String, u64)> {
        let all = std::fs::read_dir(case.path("o/shards")).unwrap().flatten();
        all.filter_map(|e| Some((e.file_name().to_string_lossy().into_owned(), e.metadata().ok()?.len()))).collect()
    };
    let room = || shards().iter().map(|shard| shard.1).sum::<u64>();
    case.go(&simulate(16), 0, &["48 simulations on"]);
    let calm = contents();
    let most = std::cell::Cell::new(0);
    let large = shards().iter().map(|shard| shard.1).max().unwrap();
    // Shards that are packed anew when it is killed, of 48 small ones or 3 large ones; then those that are put aside.
    for (m, kills) in [(1, vec![(0, 3), (7, 3), (20, 2), (40, 1)]), (16, vec![(0, 48), (1, 40), (2, 20)])] {
        let before = room();
        for (new, aside) in kills {
            let numbered = |name: &str| name.starts_with('0') && name.ends_with(".h5");
            mpi::kill_when(case.command(&simulate(m)), || {
                let now = shards();
                most.set(most.get().max(now.iter().map(|shard| shard.1).sum()));
                let is = |kind: &dyn Fn(&str) -> bool| now.iter().filter(|shard| kind(&shard.0)).count();
                case.path("o/dataset.h5").exists()
                    && is(&|name| name.starts_with("aside-")) <= aside
                    && is(&|name| name.starts_with("aside-")) > 0
                    && is(&numbered) >= new
            });
            assert!(shards().iter().any(|shard| shard.0.starts_with("aside-")), "killed too late");
            assert!(contents() == calm, "other numbers while shards of {m} are made");
            case.go(&simulate(m).replace("simulate", "status"), 0, &["48 of 48 done", "other size"]);
        }
        case.go(&simulate(m), 0, &["nothing to do"]);
        assert!(contents() == calm, "other numbers in shards of {m}");
        let after = room();
        assert!(most.get() <= before.max(after) + 2 * large, "{} of {before} and {after}", most.get());
    }
    case.go(&simulate(16).replace("simulate", "verify"), 0, &["every checksum holds"]);
}

#[test]
fn bytes_of_a_shard_and_the_room_on_the_disk_are_told() {
    let case = Case::new();
    case.put("run.toml", &CAMPAIGN.replace("file = \"list.txt\"\n", ""));
    let with = |what: &str, size: &str| {
        let mut command = case.command(what);
        for set in ["design.kind=sobol", "simulator.particles=64", "simulator.keep_particles=true"] {
            command.args(["--set", set]);
        }
        command.args(["--set", &format!("suite.shard_size={size}")]);
        command
    };
    // Positions and velocities, 6.3 MB of each universe.
    let says = ["suite.shard_size", "= 3 ", "2 of up to 3 simulations, 18.8"];
    ended(with("check run.toml", "\"20 MB\""), 0, &says);
    ended(with("check run.toml", "\"20 mb\""), 2, &["suite.shard_size", "20 mb", "256 MB"]);
    ended(with("check run.toml", "0"), 2, &["suite.shard_size", "positive"]);
    let many = " --set design.simulations=5000000";
    let says = ["5000000 simulations", "TB, and", "are free", "remedy: "];
    ended(with(&format!("plan run.toml -n 1{many}"), "\"1 TB\""), 0, &says);
    ended(with(&format!("simulate run.toml{many}"), "\"1 TB\""), 2, &says);
    assert!(!case.path("o").exists());
}

#[test]
fn a_shard_is_timed_beside_plain_writing_and_reading() {
    let case = Case::new();
    let words = "bench io --simulations 3 --thousands 1 --repeats 2 --json";
    let text = case.go(
        words,
        0,
        &["3 x 0.004 MB", "times the bandwidth of plain writing", "in 2 pairs", "plainly", "shuffled, at"],
    );
    let found: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    assert!(found["stages"].as_array().unwrap().iter().all(|stage| stage["seconds_max"].as_f64() > Some(0.0)));
    assert!(std::fs::read_dir(case.dir.path()).unwrap().count() == 2, "something is left");
    case.go("bench io --folder none", 2, &["--folder", "none", "remedy: "]);
}

#[test]
fn a_command_that_a_test_runs_holds_no_lock_of_a_file_that_another_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let file = hdf5::File::create(&path).unwrap();
    let mut wait = Command::new("sleep");
    wait.arg("2");
    let running = std::thread::spawn(|| mpi::finish(wait, Duration::from_secs(30)));
    std::thread::sleep(Duration::from_millis(500));
    drop(file);
    // Another test's command may stand between its fork and its beginning, and has all files for so long.
    let mut again = hdf5::File::open_rw(&path);
    while again.is_err() && !running.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        again = hdf5::File::open_rw(&path);
    }
    assert!(!running.is_finished(), "it was to outlive the file");
    assert!(again.is_ok(), "{again:?}");
    running.join().unwrap();
}
