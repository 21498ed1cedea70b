//! Campaigns with ratios through all commands: joint and marginal, with chains, and with several observations together.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::io::samples::Samples;
use polycosm::rng::stream;
use rand::Rng;
use rand_distr::StandardNormal;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// To learn from, for validation and for tests.
const ROWS: [usize; 3] = [400, 100, 30];
const NOISE: f64 = 0.1;

/// Two parameters between 0 and 1, each measured with noise.
fn universe(i: usize) -> ([f64; 2], [f64; 2]) {
    let theta = [(i as f64 * 0.618_034).fract(), (i as f64 * 0.754_878).fract()];
    let mut rng = stream(3, i as u64, "noise", 0);
    (theta, theta.map(|t| t + NOISE * rng.sample::<f64, _>(StandardNormal)))
}

fn write(path: &Path, rows: std::ops::Range<usize>, split: bool) {
    let all: Vec<_> = rows.clone().map(universe).collect();
    let file = hdf5::File::create(path).unwrap();
    let put = |name: &str, values: Vec<f64>| {
        file.new_dataset::<f64>().shape([all.len(), 2]).create(name).unwrap().write_raw(&values).unwrap();
    };
    put("x", all.iter().flat_map(|u| u.1).collect());
    if split {
        put("theta", all.iter().flat_map(|u| u.0).collect());
        let of = |i: usize| (i >= ROWS[0]) as u8 + (i >= ROWS[0] + ROWS[1]) as u8;
        let split: Vec<u8> = rows.map(of).collect();
        file.new_dataset::<u8>().shape([split.len()]).create("split").unwrap().write_raw(&split).unwrap();
    }
}

fn campaign(folder: &Path, network: &str, infer: &str) {
    let text = format!(
        r#"
output = "o"
seed = 1
[dataset]
file = "d.h5"
parameters.a = {{ min = 0.0, max = 1.0 }}
parameters.b = {{ min = 0.0, max = 1.0 }}
[[train]]
name = "ratio"
input = "x"
epochs = 3
network = {{ kind = "nre", partners = 7, ensemble = 1, classifier = {{ hidden = 16, blocks = 1 }}{network} }}
[infer]
posterior = "ratio"
draws = 100
{infer}
[report]
corners = 1
"#
    );
    std::fs::write(folder.join("run.toml"), text).unwrap();
}

fn polycosm(ranks: usize, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = mpi::mpirun(ranks);
    command.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(arguments);
    let run = mpi::finish(command, LIMIT);
    (run.code, run.text)
}

#[track_caller]
fn says(ranks: usize, folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let (found, text) = polycosm(ranks, folder, arguments);
    assert_eq!(found, Some(code), "{arguments:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?} does not say {word:?}: {text}"));
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("d.h5"), 0..ROWS.iter().sum(), true);
    folder
}

fn samples(folder: &Path, name: &str) -> Samples {
    Samples::read(&folder.join(format!("o/posterior/{name}.h5"))).unwrap()
}

#[test]
fn marginals_of_one_and_of_two_parameters_are_drawn_judged_and_shown() {
    let folder = folder();
    let folder = folder.path();
    campaign(folder, ", marginals = 2", "");
    says(1, folder, &["check", "run.toml"], 0, &[]);
    says(2, folder, &["run", "run.toml"], 0, &["a, b: the held-out samples", "only the marginals"]);
    // What one parameter is, given several observations, depends on the others.
    let combine = ["infer", "run.toml", "--combine", "all", "--observation", "obs.h5"];
    says(1, folder, &combine, 2, &["--combine", "marginals", "do not multiply", "remedy: "]);
    let both = samples(folder, "ratio");
    let marginals = both.extras.marginals.as_ref().unwrap();
    assert_eq!((&marginals.pairs, both.len()), (&vec![[0, 1]], ROWS[2]));
    assert!(both.ln_prob.iter().all(|ln| ln.is_nan()) && marginals.ln_truth.iter().all(|ln| ln.is_finite()));
    let verdict = std::fs::read_to_string(folder.join("o/calibration/ratio.json")).unwrap();
    assert!(
        !verdict.contains("\"tarp\"") && !verdict.contains("joint-hpd") && verdict.contains("\"rank\""),
        "{verdict}"
    );
    // Parameters are independent here: the pair's draws are those of the two, of this many each.
    for i in 0..ROWS[2] {
        let [a, b] = both.pair(i, 0, 1).unwrap();
        for (j, own) in [(0, &a), (1, &b)] {
            let (mean, sd) = both.mean_sd(i, j);
            let other = own.iter().sum::<f64>() / own.len() as f64;
            assert!((other - mean).abs() < 0.8 * sd, "row {i}, parameter {j}: {other} and {mean} ± {sd}");
        }
        assert_eq!(both.pair(i, 1, 0).unwrap(), [b, a]);
    }
    assert!(folder.join("o/report/corner_test_0.png").exists());
    let before = both.theta;
    std::fs::remove_file(folder.join("o/posterior/ratio.h5")).unwrap();
    says(3, folder, &["infer", "run.toml"], 0, &[]);
    assert_eq!(samples(folder, "ratio").theta, before, "draws depend on the ranks");
    says(1, folder, &["infer", "run.toml"], 0, &["nothing to do"]);
    says(1, folder, &["export", "run.toml", "--to", "all"], 0, &["left out", "only marginals"]);
    let named = ["export", "run.toml", "--to", "one", "--field", "ratio"];
    says(1, folder, &named, 2, &["only marginals", "--field"]);
}

#[test]
fn chains_are_kept_with_how_they_mixed_and_observations_combine() {
    let folder = folder();
    let folder = folder.path();
    campaign(folder, "", "sampler = \"hmc\"");
    says(2, folder, &["train", "run.toml"], 0, &["of what the classifiers add"]);
    says(2, folder, &["infer", "run.toml", "--strict"], 0, &[]);
    let drawn = samples(folder, "ratio");
    assert!(drawn.extras.r_hat.len() == 2 * ROWS[2] && drawn.extras.r_hat.iter().all(|r| *r < 1.06));
    assert!(drawn.extras.ess.iter().all(|ess| *ess >= 100.0));
    assert_eq!(drawn.extras.of.as_ref().unwrap().sampler, "hmc");
    // Nine times the same universe, whose noise is another each time: a third of the width, about the mean of all.
    let at = [0.5, 0.4];
    let file = hdf5::File::create(folder.join("obs.h5")).unwrap();
    let x: Vec<f64> =
        (0..9).flat_map(|i| [0, 1].map(|j| at[j] + universe(1000 + i).1[j] - universe(1000 + i).0[j])).collect();
    file.new_dataset::<f64>().shape([9, 2]).create("x").unwrap().write_raw(&x).unwrap();
    file.close().unwrap();
    says(2, folder, &["infer", "run.toml", "--observation", "obs.h5", "--combine", "all"], 0, &["all, 9 observations"]);
    let all = samples(folder, "observation-all-ratio");
    let of = all.extras.of.as_ref().unwrap();
    assert_eq!((of.combined.len(), of.observation.as_ref().unwrap().name.as_str()), (9, "all"));
    for j in 0..2 {
        let (mean, sd) = all.mean_sd(0, j);
        let exact = x.iter().skip(j).step_by(2).sum::<f64>() / 9.0;
        let width = NOISE / 3.0;
        assert!((mean - exact).abs() < width && (sd / width - 1.0).abs() < 0.4, "{mean} ± {sd}, not {exact} ± {width}");
    }
    says(1, folder, &["report", "run.toml"], 0, &[]);
    assert!(folder.join("o/report/corner_observation_all.png").exists());
    let combine = ["infer", "run.toml", "--combine", "all", "--observation", "obs.h5:1"];
    says(1, folder, &combine, 2, &["two observations or more"]);
    says(1, folder, &[&combine[..], &["--observation", "obs.h5"]].concat(), 2, &["would count twice"]);
    says(1, folder, &["infer", "run.toml", "--combine", "a/b", "--observation", "obs.h5"], 2, &["file's name"]);
    says(1, folder, &["infer", "run.toml", "--combine", "all"], 2, &["--observation"]);
    // Another sampler draws anew.
    campaign(folder, "", "sampler = \"slice\"");
    says(1, folder, &["infer", "run.toml"], 0, &["another sampler drew them"]);
}

/// Before anything is computed.
#[test]
fn keys_that_cannot_be_are_refused_by_check() {
    let folder = folder();
    let folder = folder.path();
    for (network, infer, words) in [
        (", gamma = 0.0", "", vec!["train.network.gamma", "above 0"]),
        (", partners = 0", "", vec!["partners"]),
        (", loss = \"d\"", "", vec!["loss"]),
        (", marginals = 3", "", vec!["marginals"]),
        (", marginals = 2, pairs = [[\"a\", \"c\"]]", "", vec!["train.network.pairs", "no parameter"]),
        (", marginals = 2, pairs = [[\"a\", \"a\"]]", "", vec!["train.network.pairs", "no pair"]),
        ("", "sampler = \"nuts\"", vec!["sampler"]),
    ] {
        campaign(folder, network, infer);
        says(1, folder, &["check", "run.toml"], 2, &words);
    }
    campaign(folder, "", "sampler = \"hmc\"");
    let of_posteriors = ["check", "run.toml", "--set", "train.ratio.network={ kind = \"npe\" }"];
    says(1, folder, &of_posteriors, 2, &["infer.sampler = \"hmc\": is not used", "by itself"]);
}
