//! A new simulator is one file and one line: that of `examples/gaussian.rs`, which has neither mesh nor cosmology and
//! whose parameters depend on its configuration, goes through every command; and with it what else a section may say.

mod mpi;

#[path = "../examples/gaussian.rs"]
#[allow(dead_code, reason = "the example's own `main` takes the arguments of its process")]
mod gaussian;

use gaussian::Gaussian;
use polycosm::simulators::prelude::*;
use std::path::Path;

/// The same, of which more is said.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Told(Gaussian);

impl Section for Told {
    fn summary(&self) -> String {
        format!("{} numbers", self.0.points)
    }
    fn check(&self, _: &Universes) -> Result<()> {
        let few = || Error::input("is less than 2").key("simulator.points").value(self.0.points);
        (self.0.points >= 2).then_some(()).ok_or_else(|| few().remedy("give more points"))
    }
    fn parameters(&self) -> Vec<String> {
        self.0.parameters()
    }
    fn theory(&self, _: &Universes, field: &FieldSpec, theta: Theta, _: u64) -> Result<Option<Theory>> {
        let of = |name: &str| theta.get(name).unwrap_or(0.0);
        let shift = |t: f64| of(if t < 0.5 { "shift_0" } else { "shift_1" });
        let values = field.axes[0].values.iter().map(|&t| of("slope") * t + shift(t)).collect();
        Ok(Some(Theory { name: "the line".into(), values }))
    }
    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        self.0.runner(of)
    }
}

/// The program of somebody with a simulator of their own; in a test's process nothing.
#[test]
fn program() {
    let Some(arguments) = mpi::arguments() else { return };
    KINDS.add(kind::<Gaussian>("gaussian"));
    KINDS.add(kind::<Told>("told"));
    polycosm::cli::main(arguments)
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 3
[design]
simulations = 120
validation = 0.15
test = 0.25
[design.parameters.slope]
min = -1.0
max = 1.0
[design.parameters.shift_1]
min = 0.0
max = 1.0
[simulator]
kind = "gaussian"
points = 16
shifts = 2
noise = 0.1
[suite]
shard_size = 32
"#;

const STAGES: &str = r#"
[[train]]
name = "posterior"
input = "x"
epochs = 4
network = { kind = "npe", ensemble = 1 }
[infer]
posterior = "posterior"
draws = 50
"#;

/// `program COMMAND run.toml MORE` in a folder: exit code, and all that it said.
fn run(ranks: usize, folder: &Path, command: &str, more: &[&str]) -> (Option<i32>, String) {
    let ended = mpi::own_program(ranks, folder, &[&command.split(' ').collect::<Vec<_>>(), more].concat());
    (ended.code, ended.text)
}

#[track_caller]
fn says(ended: (Option<i32>, String), code: i32, parts: &[&str]) -> String {
    assert_eq!(ended.0, Some(code), "{}", ended.1);
    for part in parts {
        assert!(ended.1.contains(part), "does not say {part:?}:\n{}", ended.1);
    }
    ended.1
}

fn campaign(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

#[test]
fn a_simulator_of_ones_own_goes_through_every_command() {
    let text = CAMPAIGN.replace("\"gaussian\"", "\"told\"");
    let folder = campaign(&if cfg!(feature = "torch") { format!("{text}{STAGES}") } else { text });
    let at = folder.path();
    let simulates = "simulates    120 universes of 16 numbers; varies slope, shift_1";
    let checked = says(run(1, at, "check run.toml", &[]), 0, &[simulates, "keeps        x", "simulator.points", "ok"]);
    assert!(!checked.contains("cosmology"), "{checked}");
    let unknown = "unknown: this kind of simulator does not tell";
    let [memory, cost] = ["memory per rank", "cost"].map(|what| format!("{what:<22} {unknown}"));
    let planned = run(1, at, "plan run.toml -n 4", &[]);
    let lines = [
        "universes              120\n",
        "one universe           16 numbers",
        "groups                 4 of 1",
        "7.680 kB",
    ];
    let planned = says(planned, 0, &[&lines[..], &[&memory, &cost]].concat());
    assert!(!planned.contains("step table") && !planned.contains("\nall "), "{planned}");
    assert_eq!(planned.contains("training"), cfg!(feature = "torch"));

    // Some first: networks may learn from them, and are told of more when more are there.
    says(run(2, at, "simulate run.toml --only 0..79", &[]), 0, &["80 simulations on 2 groups each of 1 rank"]);
    let told = ["120 simulations, 40 not there yet, 0 failed", "every checksum holds"];
    says(run(1, at, "verify run.toml", &[]), 0, &told);
    says(run(1, at, "status run.toml", &[]), 0, &["dataset      not complete: 80 of 120 in it, 0 failed"]);
    if cfg!(feature = "torch") {
        let warns = "80 of 120 universes are there: networks learn from these alone";
        says(run(1, at, "train run.toml", &[]), 0, &[warns, "--retrain STAGE"]);
    }
    says(run(2, at, "simulate run.toml", &[]), 0, &["40 simulations on 2 groups each of 1 rank"]);
    says(run(2, at, "simulate run.toml", &[]), 0, &["0 simulations"]);
    says(run(2, at, "observe run.toml", &[]), 2, &["simulator.kind = ", "are seen in one way only"]);
    says(
        run(1, at, "verify run.toml", &[]),
        0,
        &["120 simulations, 0 failed", "every checksum holds", "x over the line, mean of 120: ", " at t = 0.062"],
    );
    says(run(1, at, "status run.toml", &[]), 0, &["120 of 120 done", "dataset      complete"]);
    if cfg!(feature = "torch") {
        let outdated = "stage        posterior: outdated: universes were added: 80 -> 120 of 120";
        says(run(1, at, "status run.toml", &[]), 0, &[outdated, "run.toml --retrain posterior` trains it anew"]);
        says(run(1, at, "train run.toml --retrain posterior", &[]), 0, &["forgotten"]);
    }
    // What verify finds is mended by what it says; the others are not run.
    let shard = hdf5::File::open_rw(at.join("run/shards/00001.h5")).unwrap().dataset("x").unwrap();
    let spoilt: Vec<f32> = shard.read_raw().unwrap().into_iter().map(|x: f32| x + 1.0).collect();
    shard.write_raw(&spoilt).unwrap();
    drop(shard);
    says(run(1, at, "verify run.toml", &[]), 1, &["32 defects", "`polycosm simulate run.toml --redo 32..63` makes"]);
    let redone = run(2, at, "simulate run.toml --redo 32..40,41..63", &[]);
    says(redone, 0, &["32 simulations on 2 groups each of 1 rank"]);
    says(run(1, at, "verify run.toml", &[]), 0, &["every checksum holds"]);
    says(run(1, at, "simulate run.toml --redo 3 --only 3", &[]), 2, &["--redo", "--only"]);
    let resolved = std::fs::read_to_string(at.join("run/campaign.toml")).unwrap();
    assert!(!resolved.contains("cosmology") && resolved.contains("kind = \"told\""), "{resolved}");
    // Another number of ranks for each universe makes the same ones; so does the example, which says less.
    let other = ["simulator.kind=gaussian", "suite.ranks_per_sim=2", "output=other"].map(|set| ["--set", set]).concat();
    says(run(1, at, "check run.toml", &other), 0, &["120 universes of Gaussian { points: 16, shifts: 2, noise: 0.1 }"]);
    says(run(2, at, "simulate run.toml", &other), 0, &["120 simulations on 1 group of 2 ranks"]);
    let x = |output: &str| hdf5::File::open(at.join(output).join("dataset.h5")).unwrap().dataset("x").unwrap();
    let x = |output: &str| x(output).read_raw::<f32>().unwrap();
    assert!(x("run") == x("other") && x("run").len() == 120 * 16);

    if cfg!(feature = "torch") {
        says(run(2, at, "run run.toml", &[]), 0, &["infer posterior: ", "posterior `posterior`"]);
        let page = std::fs::read_to_string(at.join("run/report/index.html")).unwrap();
        assert!(page.contains("shift_1"));
        assert!(page.contains("“x” of some universes: slope · t") && page.contains("The dashed lines are the line"));
        let status = run(1, at, "status run.toml", &[]);
        says(
            status,
            0,
            &["stage        posterior: trained", "verdict      posterior: judged", "report       index.html: made"],
        );
        // A row of its own dataset is an observation, with its truth.
        let observed = run(1, at, "infer run.toml", &["--observation", "run/dataset.h5:3"]);
        says(observed, 0, &["dataset-3, posterior `posterior`: ", "(truth "]);
        // Noise is another shape of the data; a folder is not mixed.
        let noisier = ["--set", "simulator.noise=0.2"];
        says(run(1, at, "simulate run.toml", &noisier), 2, &["simulator.noise = 0.2: ", "was begun with 0.1"]);
    } else {
        says(run(1, at, "report run.toml", &[]), 0, &[]);
    }
}

/// `[design.parameters.NAME]` of a box, of the line and of a half-line.
const KINDS_OF_PRIORS: &str = r#"
[design.parameters.slope]
kind = "normal"
mean = 1.0
sigma = 0.5
[design.parameters.shift_0]
kind = "normal"
mean = 0.2
sigma = 0.2
min = 0.0
[design.parameters.shift_1]
kind = "log-uniform"
min = 0.01
max = 1.0
latex = 's_1'
[design.parameters.shift_2]
kind = "lognormal"
ln_mean = -1.5
ln_sigma = 0.5
[simulator]"#;

#[test]
fn priors_of_every_kind_go_through_every_command() {
    let start = CAMPAIGN.find("[design.parameters.slope]").unwrap();
    let tables = CAMPAIGN[start..].split("[simulator]").next().unwrap();
    let text = CAMPAIGN.replace(&format!("{tables}[simulator]"), KINDS_OF_PRIORS).replace("shifts = 2", "shifts = 3");
    let folder = campaign(&if cfg!(feature = "torch") { format!("{text}{STAGES}") } else { text });
    let at = folder.path();
    let refused = |sets: &[&str], parts: &[&str]| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        says(run(1, at, "check run.toml", &sets), 2, parts);
    };
    let of = |table: &str| format!("design.parameters.slope={table}");
    refused(&[&of("{kind='gamma', mean=1}")], &["design.parameters.slope.kind = \"gamma\": ", "log-uniform", "normal"]);
    refused(&[&of("{kind='normal', mean=1}")], &["design.parameters.slope = ", "needs sigma"]);
    refused(&[&of("{min=0, max=1, mean=1}")], &["design.parameters.slope = ", "mean and sigma are of kind"]);
    refused(
        &[&of("{kind='lognormal', mean=1, sigma=1}")],
        &["design.parameters.slope = ", "mean and sigma are of kind"],
    );
    let wide = of("{kind='lognormal', ln_mean=0.3, ln_sigma=20}");
    refused(&[&wide], &["design.parameters.slope = ", "no Gaussian of ln", "remedy: give ln_mean"]);
    refused(&[&of("{max=1}")], &["design.parameters.slope = ", "of kind \"uniform\" needs min"]);
    refused(&[&of("{kind='normal', mean=0, sigma=1, min=90}")], &["design.parameters.slope = ", "next to nothing"]);
    refused(&["design.parameters.shift_1.min=0"], &["design.parameters.shift_1 = ", "above 0", "remedy: "]);
    std::fs::write(at.join("list.txt"), "0 0.1 0.1 0.2\n").unwrap();
    let list = ["design.kind=list", "design.file=list.txt", "design.simulations=1", "design.prior=uniform"];
    refused(&list, &["design.prior = \"uniform\": but slope ~ N(1, 0.5²)", "remedy: say prior = \"parameters\""]);
    let beyond = "design.parameters.shift_0.min=0.15";
    refused(&[&list[..3], &[beyond]].concat(), &["design.file = ", "shift_0 = 0.1 is outside [0.15, inf]"]);

    let command = if cfg!(feature = "torch") { "run run.toml" } else { "simulate run.toml" };
    says(run(2, at, command, &[]), 0, &["120 simulations"]);
    let dataset = at.join("run/dataset.h5");
    let file = hdf5::File::open(&dataset).unwrap();
    let bounds = |name: &str| file.dataset("theta").unwrap().attr(name).unwrap().read_raw::<f64>().unwrap();
    assert_eq!(bounds("min"), [f64::NEG_INFINITY, 0.0, 0.01, 0.0]);
    assert_eq!(bounds("max"), [f64::INFINITY, f64::INFINITY, 1.0, f64::INFINITY]);
    let text = file.attr("prior").unwrap().read_scalar::<hdf5::types::VarLenUnicode>().unwrap();
    assert_eq!(
        text.as_str(),
        concat!(
            r#"[{"name":"slope","latex":"slope","kind":"normal","mean":1.0,"sigma":0.5},"#,
            r#"{"name":"shift_0","latex":"shift_0","kind":"normal","mean":0.2,"sigma":0.2,"min":0.0},"#,
            r#"{"name":"shift_1","latex":"s_1","kind":"log-uniform","min":0.01,"max":1.0},"#,
            r#"{"name":"shift_2","latex":"shift_2","kind":"lognormal","ln_mean":-1.5,"ln_sigma":0.5}]"#
        )
    );
    // The median of the normal prior, and universes on both sides of it, beyond any box of one standard deviation.
    let theta = file.dataset("theta").unwrap().read_raw::<f64>().unwrap();
    let slopes = || theta.chunks(4).map(|t| t[0]);
    let above = slopes().filter(|s| *s > 1.0).count();
    assert!((50..=70).contains(&above) && slopes().any(|s| s > 1.9) && slopes().any(|s| s < 0.1), "{above}");
    assert!(theta.chunks(4).all(|t| t[1] > 0.0 && (0.01..=1.0).contains(&t[2]) && t[3] > 0.0));
    let logarithms: Vec<f64> = theta.chunks(4).map(|t| t[3].ln()).collect();
    let mean = logarithms.iter().sum::<f64>() / 120.0;
    let sigma = (logarithms.iter().map(|ln| (ln - mean).powi(2)).sum::<f64>() / 120.0).sqrt();
    assert!((mean + 1.5).abs() < 0.02 && (sigma - 0.5).abs() < 0.03, "{mean} ± {sigma}");
    says(run(1, at, "status run.toml", &[]), 0, &["dataset      complete"]);
    says(run(1, at, "verify run.toml", &[]), 0, &["every checksum holds"]);
    if cfg!(feature = "torch") {
        let page = std::fs::read_to_string(at.join("run/report/index.html")).unwrap();
        assert!(page.contains("~ N(1, 0.5²), ") && page.contains("~ N(0.2, 0.2²) above 0"), "{page}");
        assert!(page.contains("~ exp N(-1.5, 0.5²)"), "{page}");
        says(run(1, at, "export run.toml --to out", &[]), 0, &[]);
        let mut chains = std::fs::read_dir(at.join("out/chains-posterior")).unwrap().flatten().map(|e| e.path());
        let ranges = chains.find(|p| p.extension().is_some_and(|e| e == "ranges")).unwrap();
        assert_eq!(std::fs::read_to_string(ranges).unwrap(), "slope N N\nshift_0 0 N\nshift_1 0.01 1\nshift_2 0 N\n");
        let posterior = at.join("run/posterior/posterior.h5");
        let draws = polycosm::io::samples::Samples::read(&posterior).unwrap();
        assert_eq!(serde_json::to_string(&draws.prior).unwrap(), text.as_str());
        assert!(
            draws.theta.chunks(4).all(|t| t[1] > 0.0 && (0.01..=1.0).contains(&t[2]) && t[3] > 0.0),
            "no draw leaves the prior"
        );
        assert!(draws.ln_prob_truth.iter().all(|ln| ln.is_finite()));
    }
}

#[test]
fn what_a_kind_does_not_have_is_refused_in_words() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    let check = |sets: &[&str]| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        run(1, at, "check run.toml", &sets)
    };
    let refused = |sets: &[&str], parts: &[&str]| says(check(sets), 2, parts);
    refused(
        &["cosmology.h=0.7"],
        &["cosmology = ", "kind \"gaussian\" have no cosmology", "remedy: remove this section"],
    );
    // Its parameters depend on its configuration, and are all that may vary.
    refused(
        &["simulator.shifts=1"],
        &["run.toml:11: design.parameters.shift_1 = ", "did you mean `shift_0`? (known here: shift_0, slope)"],
    );
    let omega_m = "design.parameters.Omega_m={min=0.1, max=0.5}";
    refused(&[omega_m], &["design.parameters.Omega_m = ", "known here: shift_0, shift_1, slope"]);
    let few = ["simulator.points = 1: is less than 2", "remedy: give more points"];
    refused(&["simulator.kind=told", "simulator.points=1"], &few);
    refused(&["simulator.ponts=1"], &["simulator.ponts = 1: unknown key", "did you mean `points`?"]);
    refused(&["simulator.points=many"], &["simulator.points = \"many\": ", "a whole number"]);
    refused(
        &["simulator.kind=gausian"],
        &["simulator.kind = \"gausian\": ", "did you mean `gaussian`? (known here: pm, ", ", gaussian, told)"],
    );
    says(run(1, at, "bench gaussian", &[]), 2, &["unrecognized subcommand"]);
    if cfg!(feature = "torch") {
        std::fs::write(at.join("run.toml"), format!("{CAMPAIGN}{STAGES}observations = [\"run.toml\"]")).unwrap();
        refused(&[], &["infer.observations = [\"run.toml\"]: is not an HDF5 file", "remedy: "]);
        // It looks at no other code's files; fields need nobody who looks.
        let snapshot = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/data/fastpm_observation.hdf5");
        let observe = |file: &str| format!("infer.observations=[{file:?}]");
        let problem = "is a snapshot of particles, and this campaign has no simulator that looks at one";
        refused(&[&observe(snapshot)], &[problem, "remedy: give a file of the fields that the networks read: x"]);
        for (points, code, told) in [(16, 0, ""), (15, 2, "x: has the shape [15], and the networks learned from [16]")]
        {
            let file = hdf5::File::create(at.join("x.h5")).unwrap();
            file.new_dataset::<f32>().shape(points).create("x").unwrap().write_raw(&vec![0f32; points]).unwrap();
            file.close().unwrap();
            says(check(&[&observe("x.h5")]), code, &[told]);
        }
    }
}
