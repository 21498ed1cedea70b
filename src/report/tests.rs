//! The report of a made-up campaign. With `POLYCOSM_REPORT_DIR` set the figures are kept there to be looked at.

use super::*;
use crate::calibration::{CalibrateConfig, assess, spoil::scale_sd};
use crate::forecast::{Measured, Stepped};
use crate::io::samples::Extras;
use crate::prior::Parameter;
use crate::rng;
use rand::Rng;
use rand_distr::StandardNormal;

fn prior() -> Prior {
    let p = Parameter::uniform;
    Prior::new(vec![p("Omega_m", r"\Omega_m", 0.1, 0.5), p("sigma8", r"\sigma_8", 0.6, 1.0)]).unwrap()
}

/// Gaussian posteriors with a banana's bend along Ω_m^0.5 σ₈, cut at the prior's edges by rejection.
fn posterior(n: usize, draws: usize, sd: f64) -> Samples {
    let prior = prior();
    let mut rng = rng::stream(8, 0, "report", 0);
    let (mut theta, mut ln_prob, mut truth, mut ln_prob_truth) = (vec![], vec![], vec![], vec![]);
    for _ in 0..n {
        let t = prior.from_unit(&[rng.random(), rng.random()]);
        let features = |t: &[f64]| [t[0], t[1] * (t[0] / 0.3).powf(0.3)];
        let x: Vec<f64> = features(&t)
            .iter()
            .zip([2.0 * sd, 0.6 * sd])
            .map(|(f, s)| f + s * rng.sample::<f64, _>(StandardNormal))
            .collect();
        let ln_like = |t: &[f64]| -> f64 {
            let f = features(t);
            -0.5 * (((f[0] - x[0]) / (2.0 * sd)).powi(2) + ((f[1] - x[1]) / (0.6 * sd)).powi(2))
        };
        let mut norm = (0.0, 0);
        let mut kept = 0;
        while kept < draws {
            let point = prior.from_unit(&[rng.random(), rng.random()]);
            let l = ln_like(&point);
            norm = (norm.0 + l.exp(), norm.1 + 1);
            if rng.random::<f64>() < l.exp() {
                ln_prob.push(l);
                theta.extend(point);
                kept += 1;
            }
        }
        let ln_norm = (0.16 * norm.0 / norm.1 as f64).ln();
        let start = ln_prob.len() - draws;
        ln_prob[start..].iter_mut().for_each(|l| *l -= ln_norm);
        ln_prob_truth.push(ln_like(&t) - ln_norm);
        truth.extend(t);
    }
    Samples {
        prior,
        index: (0..n as u64).collect(),
        draws,
        theta,
        ln_prob,
        truth,
        ln_prob_truth,
        extras: Default::default(),
    }
}

fn inputs() -> Inputs {
    let mut rng = rng::stream(9, 0, "report", 0);
    let side = 96;
    let map = |i: usize| {
        let clumps: Vec<[f64; 3]> = (0..40)
            .map(|_| [rng.random::<f64>() * 96.0, rng.random::<f64>() * 96.0, rng.random::<f64>().powi(4) * 40.0])
            .collect();
        let value = |x: usize, y: usize| {
            let halo = |c: &[f64; 3]| c[2] / (1.0 + (x as f64 - c[0]).powi(2) + (y as f64 - c[1]).powi(2)).powf(0.9);
            (0.15 + clumps.iter().map(halo).sum::<f64>()) as f32
        };
        MapPanel {
            label: format!(r"\Omega_m = {:.2}, \sigma_8 = {:.2}", 0.15 + 0.09 * i as f64, 0.95 - 0.1 * i as f64),
            width: side,
            height: side,
            data: (0..side * side).map(|g| value(g % side, g / side)).collect(),
            round: false,
        }
    };
    let k = || (1..=40).map(|j| 0.0245 * 1.1f64.powi(j));
    let curve = |i: usize| {
        let linear: Vec<f64> =
            k().map(|k| (0.6 + 0.3 * i as f64) * 3e4 * k / 0.02 / (1.0 + (k / 0.02).powi(2)).powf(1.2)).collect();
        let pk = k().zip(&linear).enumerate().map(|(j, (k, p))| {
            p * (1.0 + 3.0 * k * k / (1.0 + k * k * k)) * (1.0 + 0.1 * ((j * 7) as f64).sin() / (1.0 + j as f64))
        });
        let label = format!(r"\Omega_m = {:.2}, \sigma_8 = {:.2}", 0.2 + 0.1 * i as f64, 0.8);
        Curve { label, measured: pk.collect(), theory: linear }
    };
    let history = |scale: f64| {
        (1..=40u64)
            .map(|e| Epoch {
                epoch: e,
                phase: 0,
                step: 30 * e,
                train_loss: -scale + 4.0 * (-(e as f64) / 7.0).exp() - 0.004 * e as f64,
                validation_loss: Some(-scale + 4.1 * (-(e as f64) / 7.0).exp() + 0.0004 * (e as f64 - 20.0).powi(2)),
                learning_rate: 1e-3,
                seconds: 1.0,
                skipped: 0,
            })
            .collect()
    };
    let (own, baseline) = (posterior(128, 500, 0.02), posterior(128, 500, 0.05));
    let config = CalibrateConfig::default();
    let calibration = |s: &Samples| assess(s, &config).unwrap();
    let observed = |s: &Samples| Samples {
        index: vec![0],
        theta: s.theta_of(3).to_vec(),
        ln_prob: s.ln_prob_of(3).to_vec(),
        truth: s.truth[6..8].to_vec(),
        ln_prob_truth: vec![s.ln_prob_truth[3]],
        extras: Extras { outside: vec![3.0], distance: vec![0.5], spread: vec![0.1, 0.4], ..Extras::default() },
        ..s.clone()
    };
    let stage = |stage: &str, seconds, ranks, detail: &str| StageTiming {
        stage: stage.into(),
        seconds,
        ranks,
        detail: detail.into(),
    };
    Inputs {
        left_out: vec!["the verdict on baseline: it is of other draws".into()],
        title: "A made-up campaign".into(),
        prior: Some(prior()),
        passed_over: None,
        maps: (0..4).map(map).collect(),
        maps_quantity: r"1 + \delta".into(),
        curves: vec![Curves {
            what: "matter power spectrum".into(),
            labels: [r"k  [h/Mpc]", r"power  [(Mpc/h)^3]"].map(String::from),
            theory: "linear theory".into(),
            ..curves("power", k().collect(), (0..4).map(curve).collect())
        }],
        histories: vec![
            ("compressor".into(), history(1.2)),
            ("posterior".into(), history(2.1)),
            ("posterior_pk".into(), history(0.9)),
        ],
        calibrations: vec![
            ("posterior".into(), calibration(&own)),
            ("posterior_pk".into(), calibration(&scale_sd(&baseline, 0.5).unwrap())),
        ],
        observations: vec![Observation {
            name: "fastpm".into(),
            posteriors: vec![("posterior".into(), observed(&own)), ("posterior_pk".into(), observed(&baseline))],
        }],
        posteriors: vec![("posterior".into(), own), ("posterior_pk".into(), baseline)],
        timings: vec![
            stage("simulate", 412.0, 2, "640 simulations"),
            stage("train compressor", 131.0, 2, "40 epochs"),
            stage("train posterior", 24.0, 2, "80 epochs"),
            stage("infer", 6.2, 2, "128 universes"),
        ],
        provenance: vec![
            ("version".into(), "polycosm 0.1.0".into()),
            ("commit".into(), "abcdef0".into()),
            ("seed".into(), "20261121".into()),
        ],
        campaign: "seed = 20261121\n[design]\nsimulations = 640\n".into(),
        corners: 4,
        holes: None,
        forecast: Some(forecast()),
    }
}

/// Two spectra of white noise that grow with either parameter, one of too few universes.
fn forecast() -> Forecast {
    let x = |r: u64, a: f64, b: f64| -> Vec<f64> {
        let mut rng = rng::stream(1, r, "forecast", 0);
        let slope = |i: usize| 1.0 + 3.0 * a + b * i as f64 / 4.0;
        (0..8).map(|i| slope(i) + 0.1 * rng.sample::<f64, _>(StandardNormal)).collect()
    };
    let pairs = [(0.1, 0.0), (0.0, 0.1)].map(|(a, b)| (0..9).map(|r| [x(r, -a, -b), x(r, a, b)]).collect());
    let of = |n: u64| Measured { views: 1, fiducials: (0..n).map(|r| x(r, 0.0, 0.0)).collect(), pairs: pairs.to_vec() };
    let stepped =
        |name: &str, latex: &str, fiducial| Stepped { name: name.into(), latex: latex.into(), fiducial, step: 0.1 };
    Forecast {
        parameters: vec![stepped("Omega_m", r"\Omega_m", 0.3), stepped("sigma8", r"\sigma_8", 0.8)],
        statistics: [("power", 200), ("c_ell", 9)].map(|(name, n)| of(n).statistic(name, &[0.1, 0.1])).into(),
    }
}

fn one_curve(label: &str, measured: Vec<f64>, theory: Vec<f64>) -> Curve {
    Curve { label: label.into(), measured, theory }
}

fn curves(field: &str, at: Vec<f64>, universes: Vec<Curve>) -> Curves {
    let [field, what, theory] = [field, "", ""].map(String::from);
    Curves { field, what, labels: Default::default(), at, parts: vec![], theory, universes }
}

/// Titles of six parameters stay within their maps, and skies, multipoles and pairs of spectra have figures.
#[test]
fn skies_and_spectra_of_pairs_are_drawn() {
    let (width, ruler) = (186.0, canvas::Canvas::new(1.0, 1.0));
    let six = r"\Omega_c = 0.266, \Omega_b = 0.049, \sigma_8 = 0.831, h = 0.673, n_s = 0.965, w_0 = -1.000";
    let lines = ruler.lines(six, axes::TICK, width);
    assert_eq!((lines.join(", "), lines.len()), (six.into(), 2));
    assert!(lines.iter().all(|line| ruler.text_width(line, axes::TICK) <= width), "{lines:?}");

    let dir = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("POLYCOSM_REPORT_DIR").map_or(dir.path().to_path_buf(), PathBuf::from).join("skies");
    let flat = |_| MapPanel { label: six.into(), width: 64, height: 64, data: vec![1.0; 4096], round: false };
    let ell: Vec<f64> = (0..12).map(|i| 30.0 * 1.4f64.powi(i)).collect();
    let parts: Vec<String> = (0..5).flat_map(|a| (0..=a).map(move |b| format!("bin {a} bin {b}"))).collect();
    let c_ell = |scale: f64| -> Vec<f64> {
        let of = |(p, l): (usize, f64)| scale * (1.0 + p as f64) * 1e-5 / l * (1.0 + 0.1 * (l + p as f64).sin());
        (0..parts.len()).flat_map(|p| ell.iter().map(move |&l| (p, l))).map(of).collect()
    };
    let two = vec![one_curve(six, c_ell(1.0), c_ell(1.1)), one_curve(six, c_ell(2.0), vec![])];
    let inputs = |maps: Vec<MapPanel>| Inputs {
        maps,
        curves: vec![Curves {
            parts: parts.clone(),
            theory: "the input spectra".into(),
            labels: ["ell", "c ell"].map(String::from),
            ..curves("c_ell", ell.clone(), two.clone())
        }],
        ..Inputs::default()
    };
    let rings = crate::sphere::Rings::new(64).unwrap();
    let octant = crate::sphere::Footprint::octant(rings);
    let whole = crate::sphere::Footprint::whole(rings);
    for (name, maps) in
        [("flat", (0..4).map(flat).collect()), ("whole", sky_of(six, &whole)), ("part", sky_of(six, &octant))]
    {
        let page = std::fs::read_to_string(write(&inputs(maps), &dir.join(name)).unwrap()).unwrap();
        assert_eq!(page.contains("east is to the left"), name != "flat");
        assert!(page.contains("The dashed lines are the input spectra.") && !page.contains("are shown"));
        assert_eq!(page.matches("data:image/png;base64,").count(), 2, "{name}");
        assert!(dir.join(name).join("maps.png").exists() && dir.join(name).join("curves_c_ell.png").exists());
    }
}

/// Four maps of waves about the axes.
fn sky_of(label: &str, footprint: &crate::sphere::Footprint) -> Vec<MapPanel> {
    let rings = footprint.rings();
    let axis = crate::io::field::Axis::sphere(rings.nside(), footprint.runs());
    let value = |i: usize, [x, y, z]: [f64; 3]| ((3.0 + i as f64) * (x + 2.0 * z)).sin() * (4.0 * y).cos();
    let data = |i| footprint.pixels().map(|p| value(i, rings.direction(p)) as f32).collect::<Vec<_>>();
    (0..4).map(|i| sky::panel(label.into(), &axis, &data(i)).unwrap()).collect()
}

/// An axis is logarithmic where its numbers ask for it, and whatever is on it is drawn.
#[test]
fn curves_of_any_field_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let t: Vec<f64> = (0..16).map(|i| i as f64 / 15.0).collect();
    let line = |slope: f64| t.iter().map(|t| slope * t - 0.3).collect::<Vec<_>>();
    let decades: Vec<f64> = t.iter().map(|t| 10f64.powf(4.0 * t)).collect();
    let straight = vec![one_curve("a", line(1.0), line(0.9)), one_curve("b", line(-1.0), vec![])];
    let with_zero = [&[0.0], &decades[1..]].concat();
    let all = vec![
        curves("straight", t.clone(), straight),
        curves("decades", decades.clone(), vec![one_curve("a", with_zero, vec![])]),
    ];
    let page = write(&Inputs { curves: all, ..Default::default() }, dir.path()).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    for field in ["straight", "decades"] {
        assert!(std::fs::metadata(dir.path().join(format!("curves_{field}.png"))).unwrap().len() > 5_000);
        assert!(page.contains(&format!("“{field}” of some universes")), "{field}");
    }
}

#[test]
fn whole_report_is_written() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("POLYCOSM_REPORT_DIR").map_or(temporary.path().to_path_buf(), PathBuf::from);
    let page = write(&inputs(), &dir).unwrap();
    let html = std::fs::read_to_string(&page).unwrap();
    let files = [
        "maps",
        "curves_power",
        "losses",
        "true_vs_inferred",
        "corner_test_0",
        "corner_test_3",
        "corner_observation_fastpm",
        "calibration_posterior",
        "calibration_posterior_pk",
        "timings",
        "forecast",
        "correlation_power",
    ];
    for file in files {
        let png = std::fs::read(dir.join(format!("{file}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{file}");
    }
    assert_eq!(html.matches("data:image/png;base64,").count(), 15);
    assert!(html.contains("PASS") && html.contains("FAIL") && html.contains("overconfident"));
    assert!(
        html.contains("Against the baseline") && html.contains("σ<sub>8</sub>") && html.contains("simulations = 640")
    );
    assert!(html.contains("not like what was trained on") && html.contains("0.40 ⚠") && html.contains("3.00 ⚠"));
    assert!(!html.contains("src=\"http") && !html.contains("<link"), "the page needs no other file");
}

#[test]
fn half_finished_campaign_has_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let page = write(&Inputs { title: "early".into(), ..Default::default() }, dir.path()).unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains("Not calibrated yet"));
    // Degenerate parts leave their figure out or draw what there is.
    let odd = Inputs {
        maps: vec![MapPanel { label: "flat".into(), width: 4, height: 2, data: vec![0.0; 8], round: false }],
        curves: vec![curves("bad", vec![0.0, 0.1], vec![one_curve("bad", vec![f64::NAN, 1.0], vec![])])],
        histories: vec![("one".into(), vec![Epoch { step: 1, train_loss: 2.0, ..Epoch::default() }])],
        timings: vec![StageTiming { stage: "none".into(), seconds: 0.0, ranks: 1, detail: String::new() }],
        ..Default::default()
    };
    write(&odd, dir.path()).unwrap();
    assert!(dir.path().join("maps.png").exists() && dir.path().join("losses.png").exists());
    assert!(!dir.path().join("curves_bad.png").exists() && !dir.path().join("timings.png").exists());
}

/// Whatever numbers a campaign ends with, there is a page.
#[test]
fn any_numbers_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let odd = [-0.5, 0.0, 1e-40, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for (i, value) in odd.into_iter().enumerate() {
        let map = |data: Vec<f32>| MapPanel { label: String::new(), width: 8, height: 8, data, round: false };
        let mut one = vec![1.0 + 0.1 * i as f32; 64];
        one[9] = value;
        let wide = |v: f32| vec![v as f64; 5];
        let epoch = |e: u64, loss: f64| Epoch {
            epoch: e,
            step: e,
            train_loss: loss,
            validation_loss: Some(loss),
            ..Epoch::default()
        };
        let inputs = Inputs {
            maps: vec![map(one), map(vec![value; 64])],
            curves: vec![curves("odd", wide(0.1), vec![one_curve("\\", wide(value), wide(1.0))])],
            histories: vec![(
                "s".into(),
                vec![epoch(0, value as f64), epoch(1, 1e300), epoch(2, -1e300), epoch(3, 1.0)],
            )],
            ..Default::default()
        };
        write(&inputs, dir.path()).unwrap_or_else(|e| panic!("{value}: {e}"));
        assert!(dir.path().join("maps.png").exists());
    }
    for (min, max) in
        [(0.0, 5e-324), (-5e-324, 5e-324), (1.0, 1.0), (f64::NAN, 1.0), (-1e308, 1e308), (0.0, f64::INFINITY)]
    {
        for scale in [axes::Scale::linear(min, max), axes::Scale::log(min, max)] {
            assert!(scale.ticks(5).len() < 4000, "{min} {max}");
            assert!(scale.fraction(scale.value(0.5)).is_finite(), "{min} {max}");
        }
    }
}

/// Draws of no width, far narrower than the prior, outside it, or of more parameters than a plot can show.
#[test]
fn any_draws_are_drawn() {
    let draws = 100;
    type Value = fn(usize) -> f64;
    let samples = |p: usize, value: Value| {
        let latex = |j: usize| if j == 0 { "".into() } else { format!("p_{j}") };
        let parameter = |j: usize| Parameter::uniform(format!("p{j}"), latex(j), 0.0, 1.0);
        Samples {
            prior: Prior::new((0..p).map(parameter).collect()).unwrap(),
            index: vec![0],
            draws,
            theta: (0..draws * p).map(value).collect(),
            ln_prob: vec![0.0; draws],
            truth: vec![0.5; p],
            ln_prob_truth: vec![0.0],
            extras: Default::default(),
        }
    };
    let all: [(&str, usize, Value); 7] = [
        ("one point", 2, |_| 0.5),
        ("on a bound", 2, |_| 0.0),
        ("narrow", 2, |i| 0.5 + 1e-13 * i as f64),
        ("outside", 2, |i| 7.0 + i as f64),
        ("huge", 1, |i| 1e300 * i as f64),
        ("no numbers", 2, |_| f64::NAN),
        ("many", 300, |i| (i % 97) as f64 / 97.0),
    ];
    for (name, p, value) in all {
        let dir = tempfile::tempdir().unwrap();
        let s = samples(p, value);
        let inputs = Inputs {
            observations: vec![Observation { name: name.into(), posteriors: vec![("q".into(), s.clone())] }],
            posteriors: vec![("q".into(), s)],
            ..Default::default()
        };
        let page = std::fs::read_to_string(write(&inputs, dir.path()).unwrap()).unwrap();
        assert!(dir.path().join("true_vs_inferred.png").exists(), "{name}");
        assert_eq!(page.contains("The first 12 of 300 parameters"), p == 300, "{name}");
    }
}

#[test]
fn corners_of_one_and_of_five_parameters() {
    let mut rng = rng::stream(10, 0, "report", 0);
    let dir = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("POLYCOSM_REPORT_DIR").map_or(dir.path().to_path_buf(), PathBuf::from);
    let all = [r"\Omega_m", r"\sigma_8", r"\Omega_b", "h", "n_s"];
    for p in [1, 5] {
        let parameter = |l: &&str| Parameter::uniform(l.trim_start_matches('\\'), *l, 0.0, 1.0);
        let prior = Prior::new(all[..p].iter().map(parameter).collect()).unwrap();
        let theta =
            (0..300 * p).map(|i| 0.5 + 0.02 * (1 + i % p) as f64 * rng.sample::<f64, _>(StandardNormal)).collect();
        let s = Samples {
            prior,
            index: vec![0],
            draws: 300,
            theta,
            ln_prob: vec![f64::NAN; 300],
            truth: vec![f64::NAN; p],
            ln_prob_truth: vec![f64::NAN],
            extras: Default::default(),
        };
        let path = dir.join(format!("corner_{p}.png"));
        corner::figure(&[("posterior", &s, 0)], false).save(&path).unwrap();
        s.write(&dir.join(format!("samples_{p}.h5")), &[("commit".into(), "abc".into())]).unwrap();
        assert!(path.metadata().unwrap().len() > 5_000);
    }
}
