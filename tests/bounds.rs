//! Whatever a campaign asks for and wherever its files lie: an answer in words, at once; no panic, no end of memory.

mod common;
mod mpi;

use common::{repository, says};
use polycosm::comm::Comm;
use polycosm::config::campaign::Config;
use polycosm::config::load;
use polycosm::config::plan::Plan;
use rand::Rng;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_polycosm");

/// Exit code of the program in a folder and all it said.
fn polycosm(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut run = Command::new(PROGRAM);
    run.args(arguments).current_dir(folder);
    let ended = mpi::finish(run, Duration::from_secs(60));
    (ended.code, ended.text)
}

/// A folder with the recipe `smoke` as `run.toml`.
fn campaign() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(repository("recipes/smoke.toml"), folder.path().join("run.toml")).unwrap();
    folder
}

/// Every number of a resolved campaign, by its key; elements of a list by index.
fn numbers(value: &toml::Value, at: &str, found: &mut Vec<(String, bool)>) {
    let below = |key: &str| if at.is_empty() { key.to_string() } else { format!("{at}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, v)| numbers(v, &below(key), found)),
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            list.iter().enumerate().for_each(|(i, v)| numbers(v, &below(&i.to_string()), found));
        }
        toml::Value::Integer(_) => found.push((at.to_string(), true)),
        toml::Value::Float(_) => found.push((at.to_string(), false)),
        _ => {}
    }
}

/// Counts that mean no more than themselves, however large.
const ANY: [&str; 6] = ["seed", "patience", "min_members", "column", "corners", "bootstrap"];

fn any_number_is_answered(_: &Comm) {
    let comm = Comm::world();
    let more = ["simulator.lightcone.n_of_z=[{ smail = { z0 = 0.3 } }]", "simulator.initial.noise_mesh=64"];
    let more = more.map(String::from).to_vec();
    for (recipe, sets) in [("observables", more), ("smoke", vec![]), ("demo", vec![])] {
        let path = repository(&format!("recipes/{recipe}.toml"));
        let resolved: toml::Table = load::<Config>(&path, &sets).unwrap().resolved().unwrap().parse().unwrap();
        let mut keys = vec![];
        numbers(&toml::Value::Table(resolved), "", &mut keys);
        assert!(keys.len() > 30, "{keys:?}");
        for (key, whole) in keys {
            let values: &[&str] = match whole {
                true => &["-1", "0", "4294967296", "9007199254740992", "9223372036854775807"],
                false => &["-1.0", "0.0", "1e-300", "1e300", "nan", "inf"],
            };
            for value in values {
                let mut sets = sets.clone();
                sets.push(format!("{key}={value}"));
                let start = Instant::now();
                let answer = load::<Config>(&path, &sets).and_then(|loaded| Plan::new(&loaded, &comm).map(drop));
                assert!(start.elapsed() < Duration::from_secs(10), "{key} = {value} takes {:?}", start.elapsed());
                let last = key.rsplit('.').next().unwrap();
                let e = match answer {
                    Err(e) => e,
                    Ok(()) => {
                        let allowed = !whole || value.len() < 3 || ANY.contains(&last);
                        assert!(allowed, "{recipe}: {key} = {value} is more than any machine can list");
                        continue;
                    }
                };
                assert_eq!(e.exit_code(), 2, "{key} = {value}: {e}");
                assert!(e.key.is_some() && e.file.is_some() && e.remedy.is_some(), "{recipe}: {key} = {value}: {e}");
            }
        }
    }
}

#[test]
fn any_number_of_a_campaign_is_answered() {
    mpi::on_ranks("any_number_of_a_campaign_is_answered", &[1], any_number_is_answered);
}

/// Sizes that are in range one by one, and not together.
fn products_are_answered(_: &Comm) {
    let comm = Comm::world();
    for (recipe, sets, key) in [
        ("observables", &["simulator.maps.pixels=262144", "simulator.maps.slabs=262144"][..], "simulator.maps.pixels"),
        (
            "observables",
            &["simulator.lightcone.pixels=16384", "simulator.lightcone.light_cones=4000"],
            "simulator.lightcone.pixels",
        ),
        ("observables", &["simulator.lightcone.plane_thickness=1e-6"], "simulator.lightcone.plane_thickness"),
        ("observables", &["simulator.particles=1000000000", "simulator.mesh_factor=1e-6"], "simulator.particles"),
        (
            "observables",
            &["simulator.particles=16384", "simulator.bispectrum={ bin_width = 1.0, configurations = ['all'] }"],
            "simulator.bispectrum.configurations",
        ),
        ("smoke", &["train.posterior.network.flow={ hidden = 16384, layers = 256 }"], "train.posterior.network"),
        (
            "smoke",
            &["train.compressor.network.cnn={ width = 16384, blocks = [1, 1] }"],
            "train.compressor.network.cnn.blocks",
        ),
        (
            "smoke",
            &["train.compressor.network.cnn={ width = 1, blocks = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] }"],
            "train.compressor.network.cnn.blocks",
        ),
    ] {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        let loaded = load::<Config>(repository(&format!("recipes/{recipe}.toml")), &sets).unwrap();
        let e = Plan::new(&loaded, &comm).map(drop).expect_err(key);
        assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some(key)), "{e}");
        assert!(e.remedy.is_some(), "{e}");
    }
}

#[test]
fn products_of_sizes_are_answered() {
    mpi::on_ranks("products_of_sizes_are_answered", &[1], products_are_answered);
}

/// Ten parameters and a light cone: 1024 corners would take minutes.
const TEN: &str = "output = 'o'\n[cosmology]\nradiation = true\n[design]\nsimulations = 4\nparameters = { \
    Omega_m = { min = 0.25, max = 0.35 }, Omega_b = { min = 0.04, max = 0.05 }, h = { min = 0.65, max = 0.75 }, \
    n_s = { min = 0.9, max = 1.0 }, sigma8 = { min = 0.7, max = 0.9 }, Omega_k = { min = -0.01, max = 0.01 }, \
    w0 = { min = -1.1, max = -0.9 }, wa = { min = -0.1, max = 0.1 }, M_nu = { min = 0.0, max = 0.2 }, \
    N_eff = { min = 3.0, max = 3.1 } }\n[simulator]\nkind = 'pm'\nbox_size = 128.0\nparticles = 16\n\
    [simulator.lightcone]\nfield_of_view_deg = 1.0\npixels = 16\nsource_redshifts = [1.0]\n";

#[test]
fn many_parameters_are_checked_in_time_and_a_check_stops() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), TEN).unwrap();
    let start = Instant::now();
    says(&polycosm(folder.path(), &["check", "run.toml"]), 0, &["varies Omega_m", "\nok\n"]);
    let whole = start.elapsed();
    assert!(whole < Duration::from_secs(40), "{whole:?}");
    // Asked to stop somewhere on its way, it does so at the next corner, or is done.
    let mut check = Command::new(PROGRAM);
    check.args(["check", "run.toml"]).current_dir(folder.path()).stdin(Stdio::null());
    let mut child = check.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(whole / 2);
    mpi::send("TERM", &child.id().to_string());
    let asked = Instant::now();
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(85 | 0) | None), "{code:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

/// 2⁶⁴ corners have never been seen: nothing looks at them one by one.
#[test]
fn sixty_four_parameters_are_checked_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (n, p) = (600, 64);
    let mut rng = polycosm::rng::stream(1, 0, "bounds", 0);
    let theta: Vec<f64> = (0..n * p).map(|_| rng.random()).collect();
    let file = polycosm::io::hdf::File::create(&folder.path().join("my.h5")).unwrap();
    file.write(None, "theta", &[n, p], &theta).unwrap();
    file.write(None, "x", &[n, p], &theta).unwrap();
    file.close().unwrap();
    let range = |j: usize| format!("[dataset.parameters.p{j}]\nmin = 0.0\nmax = 1.0\n");
    let text = "output = 'o'\n[dataset]\nfile = 'my.h5'\n".to_string() + &(0..p).map(range).collect::<String>();
    let text = text + "[[train]]\nname = 'a'\ninput = 'x'\nnetwork = { kind = 'npe' }\n[infer]\nposterior = 'a'\n";
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    let start = Instant::now();
    says(&polycosm(folder.path(), &["check", "run.toml"]), 0, &["p63", "\nok\n"]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // Of a simulator that does not know them, the first is named.
    let text = TEN.replace(
        "w0 = {",
        &((0..54).map(|j| format!("q{j} = {{ min = 0.0, max = 1.0 }}, ")).collect::<String>() + "w0 = {"),
    );
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    for command in ["check", "plan"] {
        says(&polycosm(folder.path(), &[command, "run.toml"]), 2, &["design.parameters.q0", "remedy: "]);
    }
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_text_is_refused_unread() {
    let folder = campaign();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("latin.txt", b"0.3 0.8 # \xe9t\xe9\n");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    // A sparse file, of which nothing is ever read.
    std::fs::File::create(folder.path().join("long")).unwrap().set_len(1 << 42).unwrap();
    let list = |name: &str| {
        format!(
            "design={{ kind = 'list', file = '{name}', simulations = 1, parameters = {{ Omega_m = {{ min = 0.1, max = 0.5 }}, sigma8 = {{ min = 0.6, max = 1.0 }} }} }}"
        )
    };
    let n_of_z = |name: &str| {
        format!(
            "simulator.lightcone={{ field_of_view_deg = 1.0, pixels = 8, n_of_z = [{{ table = {{ path = '{name}' }} }}] }}"
        )
    };
    for (name, why) in
        [("/dev/zero", "no ordinary file"), ("long", "larger than"), ("latin.txt", "UTF-8"), ("folder", "a folder")]
    {
        let set = |set: String| polycosm(folder.path(), &["check", "run.toml", "--set", &set]);
        let tabled = [
            "design.parameters={ sigma8 = { min = 0.6, max = 1.0 } }",
            "cosmology.Omega_m=0.3",
            "cosmology.transfer=table",
            &format!("cosmology.table={name}"),
        ];
        let tabled: Vec<&str> =
            ["check", "run.toml"].into_iter().chain(tabled.iter().flat_map(|s| ["--set", s])).collect();
        for ended in [
            polycosm(folder.path(), &["check", name]),
            polycosm(folder.path(), &["job", "run.toml", "--site", name]),
            polycosm(folder.path(), &["plan", "run.toml", "-n", "2", "--bench", name]),
            set(list(name)),
            polycosm(folder.path(), &tabled),
            set(n_of_z(name)),
        ] {
            says(&ended, 2, &[name, why, "remedy: "]);
        }
    }
}

#[test]
fn names_that_no_script_can_hold_are_refused() {
    let folder = campaign();
    let refused = |arguments: &[&str], parts: &[&str]| {
        let ended = polycosm(folder.path(), arguments);
        says(&ended, 2, parts);
        assert!(!folder.path().join("o").exists() && !folder.path().join("runs").exists(), "something was written");
    };
    for set in [
        "output='''o\ntouch ran'''",
        "output=\"o\\rx\"",
        "train.posterior.name=\"a\\u0007\"",
        "report.title=\"a\\tb\"",
        "design.parameters.h={ min = 0.6, max = 0.7, latex = \"\\theta\" }",
    ] {
        // A name that cannot be printed names nothing: that stage goes by its number.
        let key = set.split('=').next().unwrap().replace("train.posterior", "train.1");
        for command in ["check", "job", "status"] {
            refused(
                &[command, "run.toml", "--set", set],
                &["run.toml (--set): ", &key, "control character", "remedy: "],
            );
        }
    }
    refused(&["job", "run.toml", "--to", "o\ntouch ran"], &["--to", "control character '\\n'"]);
    refused(&["new", "a\nb.toml"], &["control character '\\n'"]);
    refused(&["plan", "run.toml", "--bench", "a\rb"], &["--bench", "control character '\\r'"]);
    std::fs::write(folder.path().join("site.toml"), "launcher = \"a\\nb\"\n").unwrap();
    refused(&["job", "run.toml", "--site", "site.toml"], &["site.toml:1: launcher = ", "control character"]);
    // Not UTF-8: as a file, as a value, and as the folder that a script would have to name.
    let name = std::ffi::OsStr::from_bytes(b"a\xff.toml");
    for arguments in [
        vec!["check".as_ref(), name],
        vec!["new".as_ref(), name],
        vec!["check".as_ref(), "run.toml".as_ref(), "--set".as_ref(), name],
    ] {
        let ended = Command::new(PROGRAM).args(arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("UTF-8"), "{ended:?}");
    }
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"b\xff"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy(folder.path().join("run.toml"), odd.join("run.toml")).unwrap();
    says(&polycosm(&odd, &["job", "run.toml"]), 2, &["is not UTF-8", "remedy: rename that folder"]);
    says(&polycosm(&odd, &["check", "run.toml"]), 0, &["\nok\n"]);
}

#[test]
fn streams_that_are_gone_or_full_end_nothing() {
    let folder = campaign();
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let code = |arguments: &[&str], out: Stdio, err: Stdio| {
        let mut run = Command::new(PROGRAM);
        run.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(out).stderr(err);
        run.status().unwrap().code()
    };
    // A pipe that nobody reads.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for stderr in [full(), closed()] {
        assert_eq!(code(&["check", "nofile.toml"], Stdio::null(), stderr), Some(2));
    }
    for arguments in [&["check", "run.toml"][..], &["--help"], &["--version"], &["check", "--help"]] {
        let mut run = Command::new(PROGRAM);
        let ended =
            run.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(full()).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("error: standard output cannot be written: No space left"), "{said}");
        assert_eq!(code(arguments, closed(), Stdio::null()), Some(0), "{arguments:?} | head");
        assert_eq!(code(arguments, full(), full()), Some(1), "{arguments:?}");
    }
}

#[test]
fn messages_name_file_key_and_remedy() {
    let folder = campaign();
    let at = folder.path();
    says(
        &polycosm(at, &["plan", "run.toml", "-n", "1"]),
        2,
        &["run.toml:", "suite.ranks_per_sim = 2: ", "remedy: plan for more"],
    );
    let ended = polycosm(at, &["check", "run.toml", "--set", "train.posterior_pk.input=nothing"]);
    says(
        &ended,
        2,
        &["run.toml (--set): train.posterior_pk.input = \"nothing\": ", "remedy: choose one of maps, power"],
    );
    says(
        &polycosm(at, &["check", "run.toml", "--set", "train.2.epochs=x"]),
        2,
        &["train.posterior_pk.epochs = \"x\": "],
    );
    let file = polycosm::io::hdf::File::create(&at.join("my.h5")).unwrap();
    file.write(None, "theta", &[8, 1], &[0f64, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).unwrap();
    file.write(None, "x", &[8, 1], &[0f64; 8]).unwrap();
    file.close().unwrap();
    std::fs::write(at.join("own.toml"), "output = 'o'\n[dataset]\nfile = 'my.h5'\n").unwrap();
    for command in ["plan", "simulate", "verify"] {
        says(&polycosm(at, &[command, "own.toml"]), 2, &["own.toml:2: dataset = ", "made elsewhere", "remedy: "]);
    }
    let checked = polycosm(at, &["check", "run.toml"]);
    let output = at.canonicalize().unwrap().join("runs/smoke").display().to_string();
    says(
        &checked,
        0,
        &["64 universes of 32³ particles", "maps, power", "compressor, posterior, posterior_pk", &output],
    );
    assert!(checked.1.ends_with("\nok\n"), "{}", checked.1);
    says(&polycosm(at, &["new", "--help"]), 0, &["demo: ", "smoke: ", "foreign: ", "observables: "]);
    // A campaign whose name is no word of TOML is a campaign all the same.
    let name = r#"a "b" \ $(c).toml"#;
    says(&polycosm(at, &["new", name]), 0, &["run 'a \"b\" \\ $(c).toml'"]);
    says(&polycosm(at, &["check", name]), 0, &["\nok\n"]);
}
