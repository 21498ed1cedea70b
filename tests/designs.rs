//! What a folder may go on with: designs that grow, a prior that is cut down, other shares for tests; and what is
//! refused, in one error, with nothing lost.

mod mpi;

#[path = "../examples/gaussian.rs"]
#[allow(dead_code, reason = "the example's own `main` takes the arguments of its process")]
mod gaussian;

/// A model of a likelihood, in no table.
#[cfg(feature = "torch")]
#[path = "contracts/likelihood.rs"]
#[allow(dead_code, reason = "its parts are for who trains it")]
mod likelihood;

use gaussian::Gaussian;
use polycosm::io::dataset::{Dataset, Split};
use polycosm::io::hdf::File;
use polycosm::simulators::prelude::*;
use std::path::Path;

/// The program of somebody with a simulator of their own; in a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    KINDS.add(kind::<Gaussian>("gaussian"));
    #[cfg(feature = "torch")]
    polycosm::models::KINDS.add(polycosm::models::kind::<likelihood::Config>("likelihood"));
    polycosm::cli::main(arguments)
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 3
[design]
simulations = 60
[design.parameters.slope]
min = -1.0
max = 1.0
[design.parameters.shift_0]
min = 0.0
max = 1.0
[simulator]
kind = "gaussian"
points = 8
shifts = 1
noise = 0.1
[suite]
shard_size = 16
"#;

/// A folder with a campaign of that design.
fn campaign(design: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("simulations = 60", design) + more;
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

/// `program COMMAND run.toml MORE`, which ends with that code and says these words: all that it said.
#[track_caller]
fn go(at: &Path, command: &str, set: &str, code: i32, says: &[&str]) -> String {
    let sets: Vec<&str> = set.split(' ').filter(|s| !s.is_empty()).flat_map(|s| ["--set", s]).collect();
    let ended = mpi::own_program(1, at, &[&command.split(' ').collect::<Vec<_>>()[..], &["run.toml"], &sets].concat());
    assert_eq!(ended.code, Some(code), "{}", ended.text);
    for part in says {
        assert!(ended.text.contains(part), "does not say {part:?}:\n{}", ended.text);
    }
    ended.text
}

fn open(at: &Path) -> Dataset {
    Dataset::open(at.join("run/dataset.h5"), "theta").unwrap()
}

#[test]
fn a_fiducial_design_grows_at_its_end() {
    let design = "kind = 'fiducial'\nsimulations = 6\npairs = 2\nfiducial = { slope = 0.5, shift_0 = 0.25 }\n\
                  steps = { slope = 0.125 }";
    let folder = campaign(design, "");
    let at = folder.path();
    go(at, "check", "", 0, &["6 universes", "2 realisations of one point, and 4 in 2 pairs of steps in slope", "ok"]);
    go(at, "check", "design.steps.slope=0.75", 2, &["design.steps.slope = 0.75", "outside the prior", "remedy: "]);
    go(at, "simulate", "", 0, &["6 simulations"]);
    let before = std::fs::read(at.join("run/shards/00000.h5")).unwrap();
    // Pairs may follow while each realisation has its own, then further realisations, but pairs no more.
    go(at, "simulate", "design.simulations=9 design.pairs=3", 0, &["3 simulations on"]);
    go(at, "simulate", "design.simulations=20 design.pairs=3", 0, &["11 simulations on"]);
    let data = open(at);
    assert_eq!((data.drawn_from.name(), data.len()), ("fiducial", 20));
    let step = data.beside("design/point").unwrap().unwrap();
    assert_eq!(step[..10], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    let file = File::open(&data.path).unwrap();
    assert_eq!(file.read::<i64>("design/step").unwrap()[..10], [0, -1, 1, 0, -1, 1, 0, -1, 1, 0]);
    assert_eq!(file.numbers("design/step", "fiducial").unwrap().unwrap(), [0.5, 0.25]);
    assert_eq!(file.numbers("design/step", "steps").unwrap().unwrap(), [0.125, 0.0]);
    // The two of a pair and the fiducial have the same noise.
    let x = data.read_f64("x", &[0, 1, 2]).unwrap();
    assert!((0..8).all(|i| (x[8 + i] + x[16 + i] - 2.0 * x[i]).abs() < 1e-6));
    drop(file);
    let index = std::fs::read(at.join("run/dataset.h5")).unwrap();
    let pairs = "design.simulations=20 design.pairs=4";
    go(at, "simulate", pairs, 2, &["simulation 10", "design.pairs may grow", "remedy: "]);
    let fewer = "design.simulations=10 design.pairs=3";
    go(at, "simulate", fewer, 2, &["run/shards/0000", "design.simulations = 10", "remedy: give "]);
    go(
        at,
        "simulate",
        "design.steps.slope=0.1 design.simulations=20 design.pairs=3",
        2,
        &["design.steps.slope", "0.125"],
    );
    assert!(std::fs::read(at.join("run/dataset.h5")).unwrap() == index);
    go(at, "verify", "design.simulations=20 design.pairs=3", 0, &["every checksum holds"]);
    assert!(std::fs::read(at.join("run/shards/00000.h5")).unwrap() != before, "the first shard has grown");
}

#[test]
fn designs_that_cannot_grow_say_so() {
    // Each run of the program takes its time to start.
    for (design, all) in [
        ("kind = 'grid'\nsimulations = 4", &["design.simulations=9"][..]),
        ("kind = 'latin-hypercube'\nsimulations = 4", &["design.simulations=8"]),
        ("simulations = 4", &["design.realisations=2", "design.scramble=owen"]),
    ] {
        let folder = campaign(design, "");
        go(folder.path(), "simulate", "", 0, &[]);
        let index = std::fs::read(folder.path().join("run/dataset.h5")).unwrap();
        for more in all {
            let key = more.split('=').next().unwrap();
            go(folder.path(), "simulate", more, 2, &[key, "was begun with", "remedy: "]);
            assert!(std::fs::read(folder.path().join("run/dataset.h5")).unwrap() == index);
        }
        if all.len() > 1 {
            go(folder.path(), "simulate", "", 0, &["nothing to do: 4 simulations"]);
        }
    }
}

const STAGES: &str = r#"
[[train]]
name = "posterior"
input = "x"
epochs = 2
network = { kind = "npe", ensemble = 1 }
[infer]
posterior = "posterior"
draws = 30
"#;

#[test]
fn the_same_universes_serve_a_prior_within_the_first_and_another_split() {
    let folder = campaign("simulations = 60", if cfg!(feature = "torch") { STAGES } else { "" });
    let at = folder.path();
    go(at, "simulate", "", 0, &["60 simulations"]);
    let begun = std::fs::read(at.join("run/fingerprint.json")).unwrap();
    let before = open(at);
    let test = "design.test=0.5 design.validation=0.05";
    go(at, "simulate", test, 0, &["nothing to do: 60 simulations"]);
    let after = open(at);
    assert!(after.theta() == before.theta() && after.prior == before.prior);
    assert!(after.rows(Split::Test).len() > before.rows(Split::Test).len() + 5, "the index says what they are for");
    go(at, "verify", test, 0, &["every checksum holds"]);
    drop((before, after));

    let part = "design.parameters.slope.max=0.5";
    go(at, "simulate", part, 0, &["nothing to do: 60 simulations"]);
    assert!(std::fs::read(at.join("run/fingerprint.json")).unwrap() == begun, "the folder stays what it was begun as");
    let outside = open(at).theta().chunks(2).filter(|t| t[0] > 0.5).count();
    assert!((10..20).contains(&outside));
    let told = format!("{outside} of 60 universes lie outside the prior, and are left out of use");
    if cfg!(feature = "torch") {
        go(at, "train", "", 0, &[]);
        let text = go(at, "train", part, 2, &["--retrain posterior", "prior"]);
        assert_eq!(text.matches(&told).count(), 1, "{text}");
        go(at, "train --retrain posterior", part, 0, &[&told]);
        go(at, "infer", part, 0, &[]);
        go(at, "report", part, 0, &[]);
        let draws = File::open(&at.join("run/posterior/posterior.h5")).unwrap();
        assert_eq!(draws.numbers("theta", "max").unwrap().unwrap(), [0.5, 1.0]);
        assert!(draws.read::<f64>("theta").unwrap().chunks(2).all(|t| t[0] <= 0.5));
    } else {
        go(at, "report", part, 0, &[&told]);
    }
    // A folder grows by the points that it was begun with.
    go(at, "simulate", &format!("{part} design.simulations=64"), 0, &["4 simulations on"]);
    assert!(open(at).theta().chunks(2).any(|t| t[0] > 0.5));
    for other in ["design.parameters.slope.max=2.0", "design.parameters.slope.kind=log-uniform"] {
        let set = format!("{other} design.parameters.slope.min=0.5 design.simulations=64");
        for command in ["check", "simulate"] {
            go(at, command, &set, 2, &["design.parameters.slope", "bounds may move inwards", "remedy: "]);
        }
    }
    // An export has what is in use, and says so.
    go(at, &format!("export --to {}", at.join("x").display()), &format!("{part} design.simulations=64"), 0, &[]);
    let exported = Dataset::open(at.join("x/dataset.h5"), "theta").unwrap();
    assert!(exported.theta().chunks(2).all(|t| t[0] <= 0.5) && exported.len() < 60);
    assert_eq!(exported.prior.parameters[0].distribution.bounds(), (-1.0, 0.5));
}

/// The fitted spectrum ends where 0.6 of matter are baryons: at Omega_m = 0.05.
const IMPOSSIBLE: &str = r#"
output = "run"
seed = 3
[cosmology]
Omega_b = 0.03
h = 0.7
n_s = 0.96
[design]
simulations = 8
[design.parameters.Omega_m]
kind = "normal"
mean = 0.06
sigma = 0.02
[design.parameters.sigma8]
min = 0.6
max = 1.0
[simulator]
kind = "pm"
box_size = 64.0
particles = 8
mesh_factor = 1.0
[simulator.time]
steps = 1
[simulator.power]
"#;

#[test]
fn universes_that_cannot_be_made_are_refused_or_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), IMPOSSIBLE).unwrap();
    // Φ(-1/2) of the prior is impossible.
    go(
        at,
        "check",
        "",
        2,
        &["design.parameters.Omega_m = ", "or say design.reject = \"redraw\"", "% of the prior can"],
    );
    go(at, "check", "design.kind=latin-hypercube", 2, &["remedy: choose Omega_m within these limits\n"]);
    let redraw = "design.reject=redraw";
    go(at, "check", redraw, 0, &["% of the prior can be made; other points are passed over", "ok"]);
    // Who draws by the prior's density would have to know its edge.
    if cfg!(feature = "torch") {
        let stage = "[[train]]\nname = \"l\"\ninput = \"power\"\nnetwork = { kind = \"likelihood\" }\n[infer]\nposterior = \"l\"\n";
        std::fs::write(at.join("run.toml"), IMPOSSIBLE.to_string() + stage).unwrap();
        let words = [
            "infer.posterior = \"l\"",
            "the universes that design.reject passes over",
            "p(θ | x), such as kind = \"npe\"",
        ];
        go(at, "check", redraw, 2, &words);
        go(at, "check", &format!("{redraw} train.l.network.kind=npe"), 0, &["ok"]);
        std::fs::write(at.join("run.toml"), IMPOSSIBLE).unwrap();
    }
    let hopeless = format!("{redraw} design.parameters.Omega_m.mean=0.02");
    go(at, "check", &hopeless, 2, &["impossible", "Omega_m = 0.0"]);
    go(at, "simulate", redraw, 0, &["8 simulations", "passed over: ", "of the design, whose universes cannot be made"]);
    let before = open(at);
    let left = before.prior.accepted.clone().unwrap();
    let (fraction, error) = left.fraction();
    assert!((fraction - 0.6915).abs() < 4.0 * error && error < 0.02, "{left}");
    assert!(before.theta().chunks(2).all(|t| t[0] > 0.05) && before.status().iter().all(|s| *s == 0));
    let file = File::open(&before.path).unwrap();
    assert_eq!(file.numbers("theta", "accepted").unwrap().unwrap(), [left.kept as f64, 1024.0]);
    drop(file);
    go(at, "simulate", &format!("{redraw} design.simulations=12"), 0, &["4 simulations"]);
    let after = open(at);
    assert_eq!((&after.theta()[..16], after.len()), (before.theta(), 12));
    let passed = [before.passed_over.unwrap(), after.passed_over.unwrap()];
    assert!(passed[0] >= 1 && passed[0] <= passed[1] && passed[1] < 20, "{passed:?}");
    let told = format!("passed over  {}", polycosm::progress::count(passed[1] as usize, "point"));
    go(at, "status", &format!("{redraw} design.simulations=12"), 0, &[&told]);
    go(at, "report", &format!("{redraw} design.simulations=12"), 0, &[]);
    let page = std::fs::read_to_string(at.join("run/report/index.html")).unwrap();
    assert!(page.contains(&format!("({} points of the design were passed over)", passed[1])));
    go(at, "status", &format!("{redraw} design.simulations=12"), 0, &["12 of 12 done, 0 failed"]);
    go(at, "simulate", "", 2, &["design.parameters.Omega_m = "]);
}
