//! Posteriors of the tasks of sbibm, with the default settings, against its reference posteriors.
//!
//! `make validate-sbibm` runs the cells that are asked for and not yet in `tests/data/sbibm/results.toml`, one after
//! another, and keeps each there; `POLYCOSM_WRITE=1 cargo test --release --test sbibm table` renews the table in
//! docs/validation.md. What to run, in environment variables, lists with spaces: `TASKS`, `SIMULATIONS`, `SEEDS`; `NETWORKS`
//! as a campaign has them, separated by semicolons; `OBSERVATIONS`, how many of the ten; `PROGRAM`, another
//! polycosm than that of this build.
#![cfg(feature = "torch")]

#[path = "sbibm/c2st.rs"]
mod c2st;
mod mpi;
#[path = "sbibm/tasks.rs"]
mod tasks;

use c2st::c2st;
use polycosm::io::hdf::File;
use polycosm::io::samples::Samples;
use polycosm::rng::stream;
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tasks::{OBSERVATIONS, TASKS, Task};

/// Draws that are compared with as many of the reference.
const DRAWS: usize = 10_000;
/// A cell that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How much worse than what is published a cell may be, beside its standard error.
const WORSE: f64 = 0.02;

/// What was measured of one task, network and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cell {
    task: String,
    simulations: usize,
    network: String,
    seed: u64,
    /// Of observations 1, 2, …
    c2st: Vec<f64>,
    /// Of training and of drawing, on a machine that may have had other work.
    seconds: [f64; 2],
    version: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Results {
    #[serde(default)]
    cell: Vec<Cell>,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sbibm/results.toml")
}

impl Results {
    fn read() -> Results {
        std::fs::read_to_string(file()).map_or_else(|_| Results::default(), |text| toml::from_str(&text).unwrap())
    }

    fn find(&self, task: &str, simulations: usize, network: &str, seed: u64, observations: usize) -> Option<&Cell> {
        let same = |c: &&Cell| {
            (c.task.as_str(), c.simulations, c.network.as_str(), c.seed) == (task, simulations, network, seed)
        };
        self.cell.iter().find(same).filter(|c| c.c2st.len() >= observations)
    }

    /// Keeps a cell; the file is whole at any time.
    fn keep(cell: Cell) {
        let mut all = Results::read();
        all.cell.retain(|c| {
            (&c.task, c.simulations, &c.network, c.seed) != (&cell.task, cell.simulations, &cell.network, cell.seed)
        });
        all.cell.push(cell);
        let place = |c: &Cell| TASKS.iter().position(|t| t.name == c.task);
        all.cell.sort_by(|a, b| {
            (&a.network, a.simulations, place(a), a.seed).cmp(&(&b.network, b.simulations, place(b), b.seed))
        });
        let new = file().with_extension("new");
        std::fs::write(&new, toml::to_string(&all).unwrap()).unwrap();
        std::fs::rename(new, file()).unwrap();
    }
}

/// Numbers of a table with a line of names.
fn csv(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().skip(1).flat_map(|line| line.split(',').map(|x| x.parse().unwrap())).collect()
}

/// Runs the program in a folder: seconds, and what it said.
fn polycosm(folder: &Path, words: &[&str]) -> (f64, String) {
    let mut run = mpi::mpirun(1);
    let program = std::env::var_os("PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_polycosm").into());
    run.current_dir(folder).arg(program).args(words);
    let start = Instant::now();
    let ended = mpi::finish(run, LIMIT);
    assert!(ended.success, "{words:?}\n{}", ended.text);
    (start.elapsed().as_secs_f64(), ended.text)
}

/// Trains on simulations, draws for the first observations, and compares.
fn measure(task: &Task, simulations: usize, network: &str, seed: u64, observations: usize, references: &Path) -> Cell {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut rng = stream(seed, simulations as u64, task.name, 0);
    let (mut theta, mut x) = (vec![], vec![]);
    for _ in 0..simulations {
        let t = task.draw(&mut rng);
        x.extend((task.simulate)(&t, &mut rng));
        theta.extend(t);
    }
    let data = File::create(&folder.join("data.h5")).unwrap();
    data.write(None, "theta", &[simulations, task.p], &theta).unwrap();
    let names: Vec<String> = (1..=task.p).map(|j| format!("t{j}")).collect();
    data.set_texts("theta", "names", &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    data.write(None, "x", &[simulations, task.d], &x).unwrap();
    data.close().unwrap();
    let observed: Vec<f64> =
        (1..=observations).flat_map(|i| csv(&references.join(format!("{}/observation_{i}.csv", task.name)))).collect();
    let file = File::create(&folder.join("observed.h5")).unwrap();
    file.write(None, "x", &[observations, task.d], &observed).unwrap();
    file.close().unwrap();
    let campaign = format!(
        "output = \"out\"\nseed = {seed}\n[dataset]\nfile = \"data.h5\"\ntest = 0.0\n[dataset.parameters]\n{}\n\
         [[train]]\nname = \"posterior\"\ninput = \"x\"\nseed = {seed}\nnetwork = {network}\n\
         [infer]\nposterior = \"posterior\"\ndraws = {DRAWS}\n",
        task.parameters()
    );
    std::fs::write(folder.join("run.toml"), campaign).unwrap();
    let seconds = [
        polycosm(folder, &["train", "run.toml"]).0,
        polycosm(folder, &["infer", "run.toml", "--observation", "observed.h5"]).0,
    ];
    let mut all = vec![f64::NAN; observations];
    for entry in std::fs::read_dir(folder.join("out/posterior")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "h5") {
            continue;
        }
        let samples = Samples::read(&path).unwrap();
        let row = samples.extras.of.as_ref().unwrap().observation.as_ref().unwrap().row.unwrap_or(0);
        let reference = csv(&references.join(format!("{}/reference_{}.csv", task.name, row + 1)));
        assert_eq!((samples.theta.len(), reference.len()), (DRAWS * task.p, DRAWS * task.p));
        all[row] = c2st(&reference, &samples.theta, task.p, 1);
    }
    assert!(all.iter().all(|c| (0.4..=1.0).contains(c)), "{all:?}");
    let version = polycosm(folder, &["--version"]).1.trim().to_string();
    Cell { task: task.name.into(), simulations, network: network.into(), seed, c2st: all, seconds, version }
}

fn list(name: &str, otherwise: &str, separator: char) -> Vec<String> {
    let text = std::env::var(name).ok().filter(|t| !t.trim().is_empty()).unwrap_or(otherwise.into());
    text.split(separator).map(|t| t.trim().to_string()).filter(|t| !t.is_empty()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard error of the mean.
fn error(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let middle = mean(values);
    (values.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / (n - 1.0).max(1.0) / n).sqrt()
}

#[test]
#[ignore = "hours; make validate-sbibm"]
fn defaults_are_as_good_as_what_is_published() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sbibm.sh");
    let fetched = std::process::Command::new(script).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let references = PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim());
    let names: Vec<&str> = TASKS.iter().map(|t| t.name).collect();
    let wanted = list("TASKS", &names.join(" "), ' ');
    let numbers = |name: &str, otherwise: &str| -> Vec<u64> {
        list(name, otherwise, ' ')
            .iter()
            .map(|t| t.parse().unwrap_or_else(|_| panic!("{name}: {t} is no number")))
            .collect()
    };
    let (simulations, seeds) = (numbers("SIMULATIONS", "1000"), numbers("SEEDS", "1"));
    let observations = numbers("OBSERVATIONS", "10")[0].min(OBSERVATIONS as u64) as usize;
    let mut worse = vec![];
    for network in list("NETWORKS", "{ kind = \"npe\" }", ';') {
        for &n in &simulations {
            for name in &wanted {
                let task =
                    TASKS.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name}: choose of {names:?}"));
                let mut all = vec![];
                for &seed in &seeds {
                    let known = Results::read().find(name, n as usize, &network, seed, observations).cloned();
                    let cell = known.unwrap_or_else(|| {
                        let cell = measure(task, n as usize, &network, seed, observations, &references);
                        Results::keep(cell.clone());
                        cell
                    });
                    println!(
                        "{name}, {n} simulations, {network}, seed {seed}: {:.3} {:.3?}",
                        mean(&cell.c2st),
                        cell.c2st
                    );
                    all.extend(cell.c2st);
                }
                let Some(published) = published(task, n as usize, &network) else { continue };
                if mean(&all) > published + WORSE + error(&all) {
                    worse.push(format!("{name}, {n} simulations, {network}: {:.3}, published {published}", mean(&all)));
                }
            }
        }
    }
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}

/// What is published for a task with a network of this kind.
fn published(task: &Task, simulations: usize, network: &str) -> Option<f64> {
    let kind = ["npe", "nle", "nre"].iter().position(|k| network.contains(&format!("\"{k}\"")))?;
    let column = [1000, 10_000, 100_000].iter().position(|n| *n == simulations)?;
    Some(task.published[kind][column])
}

/// One row per network, number of simulations and task.
fn table(results: &Results) -> String {
    let mut text =
        "| task | simulations | network | seeds | observations | C2ST | published | program |\n|---|---|---|---|---|---|---|---|\n"
            .to_string();
    let mut done: Vec<(&str, usize, &str)> = vec![];
    for cell in &results.cell {
        let key = (cell.task.as_str(), cell.simulations, cell.network.as_str());
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let same: Vec<&Cell> =
            results.cell.iter().filter(|c| (c.task.as_str(), c.simulations, c.network.as_str()) == key).collect();
        let all: Vec<f64> = same.iter().flat_map(|c| c.c2st.clone()).collect();
        let task = TASKS.iter().find(|t| t.name == cell.task).expect("a task of these");
        let seeds: Vec<String> = same.iter().map(|c| c.seed.to_string()).collect();
        let mut versions: Vec<&str> = same.iter().map(|c| c.version.trim_start_matches("polycosm ")).collect();
        versions.dedup();
        let published = published(task, cell.simulations, &cell.network).map_or("–".into(), |p| format!("{p:.3}"));
        text += &format!(
            "| {} | {} | `{}` | {} | {} | {:.3} ± {:.3} | {published} | {} |\n",
            cell.task,
            cell.simulations,
            cell.network,
            seeds.join(", "),
            same.iter().map(|c| c.c2st.len()).min().unwrap_or(0),
            mean(&all),
            error(&all),
            versions.join(", ")
        );
    }
    text
}

#[test]
fn table_in_the_documentation_is_that_of_the_results() {
    const MARKS: [&str; 2] = ["<!-- results of sbibm -->\n", "<!-- end of sbibm -->"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).expect("the table's place");
    let (old, after) = rest.split_once(MARKS[1]).expect("its end");
    let new = table(&Results::read());
    if std::env::var_os("POLYCOSM_WRITE").is_some() {
        std::fs::write(&path, format!("{before}{}{new}{}{after}", MARKS[0], MARKS[1])).unwrap();
    } else {
        assert_eq!(old, new, "renew it: POLYCOSM_WRITE=1 cargo test --release --test sbibm table");
    }
}

#[test]
fn c2st_of_known_samples() {
    let mut rng = stream(1, 0, "known", 0);
    let mut draw = |n: usize, shift: f64, wide: f64| -> Vec<f64> {
        (0..n).flat_map(|_| [shift, 0.0]).map(|m| m + wide * rng.sample::<f64, _>(StandardNormal)).collect()
    };
    let reference = draw(1500, 0.0, 1.0);
    // Gaussians δ apart are told apart Φ(δ/2) of the time; those s times as wide in the plane, by the best radius.
    let normal = |z: f64| 0.5 * statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2);
    let square = 2.0 * 9.0f64.ln() / (1.0 - 1.0 / 9.0);
    let wide = 0.5 * (1.0 - (-0.5 * square).exp() + (-0.5 * square / 9.0).exp());
    for (name, other, exact) in [
        ("the same", draw(1500, 0.0, 1.0), 0.5),
        ("one apart", draw(1500, 1.0, 1.0), normal(0.5)),
        ("three apart", draw(1500, 3.0, 1.0), normal(1.5)),
        ("thrice as wide", draw(1500, 0.0, 3.0), wide),
    ] {
        let found = c2st(&reference, &other, 2, 1);
        println!("{name}: {found:.3}, at best {exact:.3}");
        assert!((found - exact).abs() < 0.03, "{name}: {found} {exact}");
    }
}

/// The simulators are those of the references: what they make of a reference posterior's draws is like the observation.
#[test]
fn simulators_have_the_moments_of_their_definitions() {
    let mut rng = stream(2, 0, "moments", 0);
    let moments = |task: &Task, t: &[f64], rng: &mut polycosm::rng::ChaCha8Rng| {
        let n = 20_000;
        let all: Vec<Vec<f64>> = (0..n).map(|_| (task.simulate)(t, rng)).collect();
        let mean: Vec<f64> = (0..task.d).map(|j| all.iter().map(|x| x[j]).sum::<f64>() / n as f64).collect();
        let product =
            |i: usize, j: usize| all.iter().map(|x| (x[i] - mean[i]) * (x[j] - mean[j])).sum::<f64>() / n as f64;
        (mean.clone(), product(0, 0), product(0, 1), product(1, 1))
    };
    let find = |name: &str| TASKS.iter().find(|t| t.name == name).unwrap();
    let near = |a: f64, b: f64, by: f64| assert!((a - b).abs() < by, "{a} {b}");
    // A half ring of radius 0.1: mean of the cosine 2/π, about (0.25 − |t₁ + t₂|/√2, (t₂ − t₁)/√2).
    let (mean, a, ab, b) = moments(find("two_moons"), &[0.3, -0.5], &mut rng);
    near(mean[0], 0.25 + 0.2 / std::f64::consts::PI - 0.2 * 0.5f64.sqrt(), 2e-3);
    near(mean[1], -0.8 * 0.5f64.sqrt(), 2e-3);
    near(a, 0.5 * 0.0101 - 0.04 / std::f64::consts::PI.powi(2), 1e-4);
    near(b, 0.5 * 0.0101, 2e-4);
    near(ab, 0.0, 1e-4);
    let (mean, a, ab, b) = moments(find("slcp"), &[1.0, -2.0, 1.5, -0.8, 0.6], &mut rng);
    near(mean[2], 1.0, 0.07);
    near(mean[7], -2.0, 0.03);
    near(a / 1.5f64.powi(4), 1.0, 0.05);
    near(b / 0.8f64.powi(4), 1.0, 0.05);
    near(ab / (1.5 * 0.8f64).powi(2), 0.6f64.tanh(), 0.04);
    let (mean, a, ab, _) = moments(find("gaussian_linear"), &[0.3; 10], &mut rng);
    near(mean[9], 0.3, 0.01);
    near(a, 0.1, 0.005);
    near(ab, 0.0, 0.003);
    let (mean, a, _, _) = moments(find("gaussian_mixture"), &[4.0, -7.0], &mut rng);
    near(mean[1], -7.0, 0.03);
    near(a, 0.505, 0.03);
    // Variances of the priors.
    let variance = |name: &str, rng: &mut polycosm::rng::ChaCha8Rng| {
        (0..20_000).map(|_| find(name).draw(rng)[0].powi(2)).sum::<f64>() / 20_000.0
    };
    near(variance("gaussian_linear", &mut rng), 0.1, 0.005);
    near(variance("gaussian_linear_uniform", &mut rng), 1.0 / 3.0, 0.01);
    near(variance("slcp", &mut rng), 3.0, 0.1);
}
