//! Derived parameters: columns beside theta, in the posterior, judged and shown; and what is refused of them.

mod common;
mod mpi;

use common::says;
use polycosm::calibration::Diagnostic;
use polycosm::cosmology::CosmologyConfig;
use polycosm::io::dataset::Dataset;
use polycosm::io::hdf::File;
use polycosm::io::samples::Samples;
use polycosm::prior::{Parameter, Prior};
use polycosm::suite::design::{Derivation, DerivedConfig};
use std::path::Path;
use std::time::Duration;

/// `polycosm` on some ranks in a folder: its exit code, and all that it said.
fn polycosm(ranks: usize, at: &Path, command: &str, sets: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(at).arg(env!("CARGO_BIN_EXE_polycosm")).args(command.split(' '));
    sets.iter().for_each(|set| _ = run.args(["--set", set]));
    let ended = mpi::finish(run, Duration::from_secs(200));
    (ended.code, ended.text)
}

fn prior(names: &[(&str, f64, f64)]) -> Prior {
    Prior::new(names.iter().map(|&(name, min, max)| Parameter::uniform(name, name, min, max)).collect()).unwrap()
}

fn derivation(derived: &str, prior: Prior, cosmology: &CosmologyConfig) -> polycosm::error::Result<Derivation> {
    #[derive(serde::Deserialize)]
    struct Section {
        derived: DerivedConfig,
    }
    let section: Section = toml::from_str(&format!("derived = {derived}")).unwrap();
    Derivation::of(&section.derived, prior, Some(cosmology), &["maps".into()], |_| true).map(|(prior, derivation)| {
        assert!(prior.derived.iter().all(|d| d.sd > 0.0));
        derivation
    })
}

fn fixed() -> CosmologyConfig {
    CosmologyConfig { omega_b: Some(0.05), h: Some(0.7), n_s: Some(0.96), ..Default::default() }
}

#[test]
fn what_replaces_a_parameter_comes_back_as_a_derived_one() {
    let own = prior(&[("Omega_m", 0.2, 0.4), ("sigma8", 0.6, 1.0)]);
    let text = r#"["S8", "A_s", "ln_1e10_A_s", "Omega_c", "omega_m", "sigma12"]"#;
    let all = derivation(text, own, &fixed()).unwrap();
    let start = std::time::Instant::now();
    let theta = [0.31, 0.83];
    let values = all.values(&theta).unwrap();
    println!("{values:?} in {:?}", start.elapsed());
    assert!((values[0] - 0.83 * (0.31f64 / 0.3).sqrt()).abs() < 1e-14);
    assert!(((1e10 * values[1]).ln() - values[2]).abs() < 1e-12);
    assert!((values[3] - 0.26).abs() < 1e-14 && (values[4] - 0.31 * 0.49).abs() < 1e-14);
    // Varied in the place of sigma8 (and Omega_c of Omega_m) they lead to the same universe.
    for (j, name) in [(0, "S8"), (1, "A_s"), (2, "ln_1e10_A_s"), (5, "sigma12")] {
        let value = values[j];
        let other = prior(&[("Omega_c", 0.2, 0.3), (name, 0.9 * value, 1.1 * value)]);
        let back = derivation(r#"["Omega_m", "sigma8"]"#, other, &fixed()).unwrap();
        let back = back.values(&[values[3], value]).unwrap();
        assert!((back[0] - theta[0]).abs() < 1e-12 && (back[1] / theta[1] - 1.0).abs() < 1e-9, "{name}: {back:?}");
    }
    // A universe that cannot be made has none of them.
    assert_eq!(all.values(&[0.04, 0.8]), None);
    assert!(all.values(&[f64::NAN, 0.8]).is_none() && all.columns(&[0.04, 0.8]).iter().all(|x| x.is_nan()));
}

#[test]
fn formulas_are_of_parameters_of_one_another_and_of_the_universe() {
    let own = prior(&[("Omega_m", 0.2, 0.4), ("sigma8", 0.6, 1.0)]);
    let text = r#"{ a = "b * sigma8 + h", b = "S8 / sigma8", S8 = "sigma8 * sqrt(Omega_m / 0.3)" }"#;
    let values = derivation(text, own.clone(), &fixed()).unwrap().values(&[0.27, 0.8]).unwrap();
    let s8 = 0.8 * 0.9f64.sqrt();
    assert!((values[0] - (s8 + 0.7)).abs() < 1e-14 && (values[1] - s8 / 0.8).abs() < 1e-14 && values[2] == s8);
    for (text, key, words) in [
        (r#"{ S8 = "x * 2", x = "y", y = "S8 + 1" }"#, "S8", "in a circle: S8 → x → y → S8"),
        (r#"{ S8 = "2 * S8" }"#, "S8", "in a circle: S8 → S8"),
        (r#"{ x = "sigma_8" }"#, "x", "nothing is called sigma_8 here"),
        (r#"["S_8"]"#, "S_8", "has no formula, and nothing is called S_8"),
        (r#"{ x = "sigma8 *" }"#, "x", "ends too early"),
        (r#"{ x = "y", y = "sigma8 ! 2" }"#, "y", "`!` after `sigma8`"),
        (r#"{ x = "ln(sigma8 - 0.7)" }"#, "x", "is NaN where Omega_m = 0.2"),
        (r#"{ x = "2 * h" }"#, "x", "the same in all universes"),
        (r#"["h"]"#, "h", "the same in all universes"),
        (r#"["sigma8"]"#, "sigma8", "varies: it is a column of theta already"),
        (r#"{ maps = "sigma8" }"#, "maps", "name of a field"),
        (r#"["S8", "S8"]"#, "S8", "twice"),
        (r#"{ h = "2 * sigma8" }"#, "h", "has a value of its own"),
        (r#"{ x = "exp(1000 * Omega_m)" }"#, "x", "its spread over the prior is no number"),
        (r#"{ "a b" = "sigma8" }"#, "a b", "is no name"),
    ] {
        let e = derivation(text, own.clone(), &fixed()).unwrap_err();
        let key = format!("design.derived.{key}");
        assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some(key.as_str())), "{text}: {e}");
        assert!(e.to_string().contains(words) && e.remedy.is_some(), "{text}: {e}");
    }
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 3
[cosmology]
Omega_b = 0.05
h = 0.7
n_s = 0.96
[design]
simulations = 60
test = 0.5
derived = ["S8", "ln_1e10_A_s"]
[design.parameters.Omega_m]
min = 0.2
max = 0.4
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

const STAGES: &str = r#"
[[train]]
name = "npe"
input = "power"
epochs = 3
network = { kind = "npe", ensemble = 1, flow = { layers = 1, hidden = 8, bins = 4 } }
[infer]
posterior = "npe"
draws = 40
"#;

fn open(at: &Path) -> Dataset {
    Dataset::open(at.join("run/dataset.h5"), "theta").unwrap()
}

#[test]
fn they_stand_in_the_dataset_and_may_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), CAMPAIGN).unwrap();
    says(&polycosm(1, at, "check run.toml", &[]), 0, &["derives      S8 = σ₈ √(Ω_m/0.3): 0.79", "ln_1e10_A_s"]);
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["60 simulations"]);
    let data = open(at);
    assert_eq!(data.prior.derived.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["S8", "ln_1e10_A_s"]);
    for (theta, derived) in data.theta().chunks(2).zip(data.derived().chunks(2)) {
        assert!((derived[0] - theta[1] * (theta[0] / 0.3).sqrt()).abs() < 1e-14 && (1.5..4.5).contains(&derived[1]));
    }
    let begun = std::fs::read(at.join("run/fingerprint.json")).unwrap();
    let file = File::open(&data.path).unwrap();
    assert_eq!(file.texts("derived", "parameters").unwrap().unwrap(), ["S8", "ln_1e10_A_s"]);
    assert_eq!(file.texts("derived", "latex").unwrap().unwrap()[0], "S_8");
    drop((file, data));

    // Others, later, cost no simulation; the index tells them.
    let of = "design.derived={ S8 = \"sigma8 * sqrt(Omega_m / 0.3)\", x = { formula = \"100 * h * S8\", unit = \"km/s/Mpc\" } }";
    says(&polycosm(3, at, "simulate run.toml", &[of]), 0, &["nothing to do: 60 simulations"]);
    let data = open(at);
    assert_eq!(
        (data.prior.derived[1].unit.as_str(), data.prior.derived[1].formula.as_str()),
        ("km/s/Mpc", "100 * h * S8")
    );
    assert!(data.derived().chunks(2).all(|d| (d[1] / (70.0 * d[0]) - 1.0).abs() < 1e-14));
    assert!(std::fs::read(at.join("run/fingerprint.json")).unwrap() == begun, "it is the same folder");
    says(&polycosm(1, at, "status run.toml", &[of]), 0, &["derives      x = 100 * h * S8: ", " km/s/Mpc"]);
    says(&polycosm(1, at, "verify run.toml", &[of]), 0, &["every checksum holds"]);
    drop(data);
    let to = format!("export run.toml --to {}", at.join("x").display());
    says(&polycosm(1, at, &to, &[of]), 0, &[]);
    let exported = Dataset::open(at.join("x/dataset.h5"), "theta").unwrap();
    assert_eq!((exported.derived(), &exported.prior.derived), (open(at).derived(), &open(at).prior.derived));
    // None again.
    let none = CAMPAIGN.replace("derived = [\"S8\", \"ln_1e10_A_s\"]\n", "");
    std::fs::write(at.join("none.toml"), none).unwrap();
    says(&polycosm(1, at, "simulate none.toml", &[]), 0, &["nothing to do: 60 simulations"]);
    assert!(open(at).prior.derived.is_empty());

    for (set, words) in [
        ("design.derived={ x = \"y\", y = \"x\" }", &["design.derived.x", "goes in a circle: x → y → x"][..]),
        (
            "design.derived={ x = \"sqrt(sigma8 - 0.7)\" }",
            &["run.toml", "design.derived.x = \"sqrt(sigma8 - 0.7)\"", "is NaN"],
        ),
        ("design.derived=[\"Sigma8\"]", &["design.derived.Sigma8", "Omega_m, sigma8"]),
        ("design.derived={ x = { formel = \"h\" } }", &["design.derived.x", "formel"]),
        ("design.derived=3", &["design.derived", "a list of names, or a table of formulas"]),
        ("design.derived={ x = 3 }", &["design.derived.x", "a formula in quotes"]),
    ] {
        let ended = polycosm(1, at, "check run.toml", &[set]);
        says(&ended, 2, words);
        assert!(ended.1.contains("remedy: "), "{}", ended.1);
    }
}

#[cfg(feature = "torch")]
#[test]
fn posteriors_have_them_and_they_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), CAMPAIGN.to_string() + STAGES).unwrap();
    says(&polycosm(2, at, "run run.toml", &[]), 0, &["posterior `npe`"]);
    let draws = at.join("run/posterior/npe.h5");
    let samples = Samples::read(&draws).unwrap();
    let (n, d) = (samples.len(), samples.draws);
    assert_eq!((samples.extras.derived.len(), samples.extras.derived_truth.len()), (n * d * 2, n * 2));
    let s8 = |t: &[f64]| t[1] * (t[0] / 0.3).sqrt();
    let all = samples.theta.chunks(2).zip(samples.extras.derived.chunks(2));
    assert!(all.into_iter().all(|(t, derived)| (derived[0] - s8(t)).abs() < 1e-14));
    let truths = samples.truth.chunks(2).zip(samples.extras.derived_truth.chunks(2));
    assert!(truths.into_iter().all(|(t, derived)| (derived[0] - s8(t)).abs() < 1e-14));
    let verdict = std::fs::read_to_string(at.join("run/calibration/npe.json")).unwrap();
    assert!(verdict.contains("ln_1e10_A_s") && verdict.contains("S8"));
    let page = std::fs::read_to_string(at.join("run/report/index.html")).unwrap();
    assert!(page.contains("and from them") && page.contains("√(Ω_m/0.3)"));

    // Others need no training; the verdict is of those that were judged.
    let other = ["design.derived={ x = \"sigma8 * Omega_m^0.25\" }"];
    let status = polycosm(1, at, "status run.toml", &other);
    says(&status, 0, &["stage        npe: trained", "verdict      npe: outdated: the campaign has other derived"]);
    says(&polycosm(2, at, "infer run.toml", &other), 0, &["drawn anew: their derived parameters are others"]);
    let again = Samples::read(&draws).unwrap();
    assert!(again.theta == samples.theta && again.prior.derived.len() == 1, "the same draws");
    says(&polycosm(1, at, "infer run.toml", &other), 0, &["nothing to do"]);
    says(&polycosm(1, at, "calibrate run.toml", &other), 0, &["SBC rank, x"]);

    // A network may learn one as its target: a column by its name, whose formula is part of what was learned from.
    let mut data = open(at);
    let column = |data: &Dataset, name: &str| {
        let polycosm::models::Column::Array(column) =
            polycosm::train::data::column(data, name, &[5, 3], tch::Device::Cpu).unwrap()
        else {
            panic!("a list")
        };
        Vec::<f64>::try_from(&column).unwrap()
    };
    assert_eq!(column(&data, "S8"), [data.derived()[10], data.derived()[6]]);
    assert!(data.is_parameter("S8") && !data.is_parameter("x"));
    let world = polycosm::comm::Comm::world();
    let identity = |data: &Dataset| polycosm::io::identity::Identity::of(&world, data, &["power", "S8"]).unwrap();
    let (before, mut others) = (identity(&data), data.prior.derived.clone());
    others[0].formula = "sigma8".into();
    data.derive(&others, |theta| theta.to_vec());
    assert_eq!(before.differs(&identity(&data)).as_deref(), Some("the data in S8 are others"));
}

const GAUSSIAN: &str = r#"
output = "run"
seed = 3
[design]
simulations = 160
test = 0.8
derived = { A = "exp(ln_A)", tilt = "slope + 0.01 * ln_A^2" }
[design.parameters.ln_A]
min = -11.0
max = -9.0
[design.parameters.slope]
min = -2.0
max = 0.0
[simulator]
kind = "gaussian-flat"
spectrum = { pivot = 500.0 }
[simulator.sky]
field_of_view_deg = 5.0
pixels = 16
noise = 0.1
[simulator.c_ell]
bins = 3
"#;

#[test]
fn the_ranks_of_what_grows_with_a_parameter_are_its_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("run.toml"), GAUSSIAN).unwrap();
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["160 simulations"]);
    says(&polycosm(2, at, "infer run.toml --exact", &[]), 0, &["infer exact: 1"]);
    says(&polycosm(1, at, "calibrate run.toml --strict", &[]), 0, &["SBC rank, tilt", "PASS"]);
    let mut samples = Samples::read(&at.join("run/posterior/exact.h5")).unwrap();
    let judge = |samples: &Samples| polycosm::calibration::assess(samples, &Default::default()).unwrap();
    let judged = judge(&samples);
    let ranks = |name: &str| {
        let of = |c: &&polycosm::calibration::Curve| {
            c.diagnostic == Diagnostic::Rank && c.parameter.as_deref() == Some(name)
        };
        judged.curves.iter().find(of).unwrap().ranks.clone()
    };
    // Ties aside, which chance breaks: (number below) / (draws + 1).
    assert!(ranks("ln_A").iter().zip(ranks("A")).all(|(a, b)| (a - b).abs() < 1.5 / 1001.0));
    assert!(ranks("ln_A").iter().zip(ranks("tilt")).any(|(a, b)| (a - b).abs() > 0.05));
    assert_eq!(judged.parameters.len(), 4);
    // e^(ln A) of a uniform ln A.
    let of = |x: f64| x.exp();
    let mean = (of(-9.0) - of(-11.0)) / 2.0;
    let told = samples.prior.derived[0].clone();
    let sd = ((of(-18.0) - of(-22.0)) / 4.0 - mean * mean).sqrt();
    assert!((told.mean / mean - 1.0).abs() < 4.0 * sd / mean / 32.0 && (told.sd / sd - 1.0).abs() < 0.1, "{told:?}");
    // One that is wrong is found.
    let n = samples.extras.derived.len();
    samples.extras.derived.chunks_mut(2).for_each(|d| d[1] += 0.5);
    assert!(n > 0 && !judge(&samples).pass);
}
