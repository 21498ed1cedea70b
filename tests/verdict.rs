//! What the commands say of a posterior that nothing is known of: too few universes, nothing learned, no prior, holes
//! in it.
#![cfg(feature = "torch")]

mod common;
mod mpi;

use common::says;
use polycosm::io::hdf::File;
use polycosm::io::samples::Samples;
use polycosm::rng;
use rand::Rng;
use rand_distr::StandardNormal;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const CAMPAIGN: &str = r#"
output = "out"
seed = 1
[dataset]
file = "data.h5"
test = 0.3
[[train]]
name = "posterior"
input = "x"
epochs = 15
batch_size = 64
learning_rate = 5e-3
network = { kind = "npe", ensemble = 1, flow = { layers = 1, hidden = 16, bins = 4 } }
[infer]
posterior = "posterior"
draws = 100
"#;
const PRIOR: &str = "dataset.parameters={ a = { min = 0.0, max = 1.0 }, b = { min = 0.0, max = 1.0 } }";

/// θ uniform in the unit square; x: each parameter with noise of width `sd`. Universes with b beyond `fail` failed.
fn write(folder: &Path, n: usize, sd: f64, fail: f64) {
    let mut rng = rng::stream(1, 0, "verdict", 0);
    let theta: Vec<f64> = (0..2 * n).map(|_| rng.random()).collect();
    let x: Vec<f32> = theta.iter().map(|t| (t + sd * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
    let status: Vec<u8> = theta.chunks(2).map(|t| (t[1] > fail) as u8).collect();
    let file = File::create(&folder.join("data.h5")).unwrap();
    file.write(None, "theta", &[n, 2], &theta).unwrap();
    file.set_texts("theta", "names", &["a", "b"]).unwrap();
    file.write(None, "x", &[n, 2], &x).unwrap();
    file.write(None, "status", &[n], &status).unwrap();
    file.close().unwrap();
    std::fs::write(folder.join("run.toml"), CAMPAIGN).unwrap();
}

/// `polycosm COMMAND run.toml …` in a folder: exit code and all it said.
fn polycosm(folder: &Path, command: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(1);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args([command, "run.toml"]).args(more);
    let ended = mpi::finish(run, Duration::from_secs(200));
    (ended.code, ended.text)
}

fn json(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("out/calibration/posterior.json")).unwrap()).unwrap()
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("out/report/index.html")).unwrap()
}

#[test]
fn too_few_universes_are_told_before_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write(folder, 50, 0.1, 2.0);
    let ended = polycosm(folder, "check", &["--set", PRIOR]);
    says(
        &ended,
        0,
        &[
            "warning: ",
            "test universes, which will show",
            "too few: 41 would do; raise dataset.test",
            "too narrow by a factor of",
        ],
    );
    says(&polycosm(folder, "run", &["--set", PRIOR]), 0, &["INCONCLUSIVE: ", "remedy: for a verdict simulate more"]);
    let verdict = json(folder);
    assert_eq!((&verdict["outcome"], &verdict["pass"]), (&"inconclusive".into(), &false.into()));
    assert!(verdict["smallest_width_error"]["overconfident"].as_f64().unwrap() > 1.8, "{verdict:#}");
    assert!(verdict["remedy"].is_string());
    let html = page(folder);
    assert!(html.contains("? INCONCLUSIVE") && html.contains("too narrow by a factor of") && html.contains("Remedy: "));
    // As a failure only where that is asked for.
    says(
        &polycosm(folder, "calibrate", &["--set", PRIOR, "--strict"]),
        1,
        &["posterior `posterior`: INCONCLUSIVE", "remedy"],
    );
    says(&polycosm(folder, "run", &["--set", PRIOR, "--strict"]), 1, &["INCONCLUSIVE"]);
    let spoilt = polycosm(folder, "calibrate", &["--set", PRIOR, "--scale-sd", "0.2"]);
    says(&spoilt, 0, &["FAIL: overconfident", "the gain is left out"]);
    assert!(!spoilt.1.contains("nats"), "{}", spoilt.1);
}

#[test]
fn guessed_priors_and_holes_are_named_in_status_verdict_and_report() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write(folder, 600, 0.1, 0.97);
    says(
        &polycosm(folder, "run", &[]),
        0,
        &["note: the prior is a guess", "more often where b is high", "universes failed ("],
    );
    let notes = json(folder)["notes"].to_string();
    assert!(notes.contains("guess") && notes.contains("holes in the prior"), "{notes}");
    let html = page(folder);
    assert!(html.contains("the prior is a guess") && html.contains("more often where b is high"));
    says(&polycosm(folder, "status", &[]), 0, &["failures ", "more often where b is high"]);
    let status = polycosm(folder, "status", &["--json"]).1;
    assert!(status.contains("\"depend_on\"") && status.contains("\"side\": \"high\""), "{status}");
}

#[test]
fn a_regression_on_the_input_stands_beside_draws_whatever_the_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    write(folder, 300, 0.1, 2.0);
    let sets = ["--set", PRIOR];
    says(&polycosm(folder, "train", &sets), 0, &[]);
    let path = folder.join("out/posterior/posterior.h5");
    let mut first: Option<Samples> = None;
    for ranks in 1..=4 {
        let _ = std::fs::remove_file(&path);
        let mut run = mpi::mpirun(ranks);
        run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(["infer", "run.toml"]).args(sets);
        let ended = mpi::finish(run, Duration::from_secs(200));
        assert!(ended.success, "{}", ended.text);
        let samples = Samples::read(&path).unwrap();
        let (n, said) = (samples.len(), &samples.extras.regression);
        let square =
            |j: usize| (0..n).map(|i| (said[2 * i + j] - samples.truth[2 * i + j]).powi(2)).sum::<f64>() / n as f64;
        for j in 0..2 {
            // 1/variance = 12 + 1/0.1².
            let [found, told] = [square(j), samples.extras.regression_covariance[3 * j]].map(|v| v * 112.0);
            assert!((0.6..1.8).contains(&found) && (0.7..1.6).contains(&told), "{found} {told}");
        }
        let same = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        if let Some(first) = &first {
            assert!(same(said, &first.extras.regression), "{ranks} ranks");
            assert!(same(&samples.extras.regression_covariance, &first.extras.regression_covariance), "{ranks} ranks");
        }
        first.get_or_insert(samples);
    }
    // An observation has one too, and a verdict of its own, which the report shows.
    let file = File::create(&folder.join("seen.h5")).unwrap();
    file.write(None, "x", &[2], &[0.3f32, 0.6]).unwrap();
    file.close().unwrap();
    says(&polycosm(folder, "infer", &["--set", PRIOR, "--observation", "seen.h5"]), 0, &[]);
    let seen = Samples::read(&folder.join("out/posterior/observation-seen-posterior.h5")).unwrap();
    assert!((seen.extras.regression[0] - 0.3).abs() < 0.1 && (seen.extras.regression[1] - 0.6).abs() < 0.1, "{seen:?}");
    says(
        &polycosm(folder, "calibrate", &sets),
        0,
        &[
            "likelihood of a regression",
            "pair, a and b",
            "TARP about a regression",
            "seen: ",
            "local two-sample test, p = ",
        ],
    );
    let verdict = json(folder);
    assert_eq!(verdict["local"][0]["universes"], first.unwrap().len());
    assert!(verdict["smallest_correlation"].as_f64().is_some_and(|rho| (0.2..0.9).contains(&rho)), "{verdict:#}");
    says(&polycosm(folder, "report", &sets), 0, &[]);
    assert!(page(folder).contains("L-C2ST") && page(folder).contains("local two-sample test"));
}

#[test]
fn a_list_has_a_verdict_once_its_prior_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut rng = rng::stream(2, 0, "list", 0);
    let rows: Vec<String> =
        (0..60).map(|_| format!("{} {}", rng.random_range(0.1..0.5), rng.random_range(0.6..1.0))).collect();
    std::fs::write(folder.join("list.txt"), rows.join("\n")).unwrap();
    let recipe = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/smoke.toml")).unwrap();
    std::fs::write(folder.join("run.toml"), recipe).unwrap();
    let small = ["particles=16", "maps.pixels=16", "time.steps=2"].map(|s| format!("simulator.{s}"));
    let mut all =
        vec!["output=out", "design.kind=list", "design.file=list.txt", "design.simulations=60", "design.test=0.7"];
    all.extend(["suite.ranks_per_sim=1", "train.compressor.epochs=1", "train.posterior.epochs=1", "infer.draws=50"]);
    all.extend(["train.posterior_pk.epochs=1"]);
    all.extend(small.iter().map(String::as_str));
    let sets: Vec<&str> = all.iter().flat_map(|s| ["--set", *s]).collect();
    says(&polycosm(folder, "check", &sets), 0, &["there will be no verdict", "design.prior = \"uniform\""]);
    let ended = polycosm(folder, "run", &sets);
    says(&ended, 0, &["NO VERDICT: the parameters are a list", "design.prior = \"uniform\""]);
    assert!(!ended.1.contains("gain over the prior") && !ended.1.contains("PASS"), "{}", ended.1);
    assert_eq!(json(folder)["outcome"], "not-judged");
    assert_eq!(json(folder)["parameters"][0]["contraction"], "NaN");
    assert!(page(folder).contains("? NO VERDICT"));
    let drawn = || File::open(&folder.join("out/dataset.h5")).unwrap().text("theta", "drawn_from").unwrap().unwrap();
    assert_eq!(drawn(), "list");
    // Said afterwards: nothing is simulated, trained or drawn again for it.
    let stated = [&sets[..], &["--set", "design.prior=uniform"]].concat();
    let ended = polycosm(folder, "calibrate", &stated);
    says(&ended, 0, &["SBC rank, sigma8", "gain over the prior"]);
    says(&polycosm(folder, "simulate", &stated), 0, &[]);
    assert_eq!(drawn(), "prior");
    says(&polycosm(folder, "check", &[&sets[..], &["--set", "design.kind=grid"]].concat()), 2, &["design.file"]);
}
