//! An exact posterior passes, a wrong one is caught: on a Gaussian problem whose posterior is known in closed form.

use polycosm::calibration::{
    CalibrateConfig, Calibration, Diagnostic, Direction, Gain, assess, compare, spoil::scale_sd,
};
use polycosm::io::samples::Samples;
use polycosm::prior::{Parameter, Prior};
use polycosm::rng;
use rand::Rng;
use rand_distr::StandardNormal;

/// Standard deviations of the data.
const SD: [f64; 2] = [0.004, 0.01];

/// Universes with θ from the uniform prior and one datum per parameter with Gaussian errors of sd `SD`. The exact posterior
/// is a Gaussian about the datum, cut at the prior's edges; here its draws are moved by `shift` sd.
fn gaussian(seed: u64, n: usize, draws: usize, shift: f64) -> Samples {
    let p = |name: &str, min, max| Parameter { name: name.into(), latex: name.into(), min, max };
    let prior = Prior::new(vec![p("Omega_m", 0.1, 0.5), p("sigma8", 0.6, 1.0)]).unwrap();
    let (mut theta, mut ln_prob, mut truths, mut ln_prob_truth) = (vec![], vec![], vec![], vec![]);
    let mut rng = rng::stream(seed, 0, "gaussian", 0);
    let below = |z: f64| 0.5 * statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2);
    for _ in 0..n {
        let truth = prior.from_unit(&[rng.random(), rng.random()]);
        let datum: Vec<f64> = (0..2).map(|j| truth[j] + SD[j] * rng.sample::<f64, _>(StandardNormal)).collect();
        let ln_norm: f64 = (0..2)
            .map(|j| {
                let edge = |t: f64| below((t - datum[j]) / SD[j]);
                let inside = edge(prior.parameters[j].max) - edge(prior.parameters[j].min);
                (SD[j] * (2.0 * std::f64::consts::PI).sqrt() * inside).ln()
            })
            .sum();
        let ln_q = |t: &[f64], shift: f64| -> f64 {
            -ln_norm - (0..2).map(|j| 0.5 * ((t[j] - datum[j]) / SD[j] - shift).powi(2)).sum::<f64>()
        };
        let mut left = draws;
        while left > 0 {
            let t: Vec<f64> = (0..2).map(|j| datum[j] + SD[j] * rng.sample::<f64, _>(StandardNormal)).collect();
            if prior.ln_density(&t).is_finite() {
                ln_prob.push(ln_q(&t, 0.0));
                theta.extend((0..2).map(|j| t[j] + shift * SD[j]));
                left -= 1;
            }
        }
        ln_prob_truth.push(ln_q(&truth, shift));
        truths.extend(truth);
    }
    Samples {
        prior,
        index: (0..n as u64).collect(),
        draws,
        theta,
        ln_prob,
        truth: truths,
        ln_prob_truth,
        extras: Default::default(),
    }
}

fn judge(s: &Samples) -> Calibration {
    assess(s, &CalibrateConfig::default()).unwrap()
}

#[test]
fn exact_posterior_fails_about_one_time_in_a_hundred() {
    let runs = 400;
    let mut failed = 0;
    for seed in 0..runs {
        let config = CalibrateConfig { seed, bootstrap: 10, ..Default::default() };
        failed += !assess(&gaussian(seed, 128, 100, 0.0), &config).unwrap().pass as usize;
    }
    println!("{failed} of {runs} exact posteriors failed");
    // Binomial(400, 1%): more than 11 happens once in 1000; Šidák is conservative.
    assert!(failed <= 11, "{failed} of {runs}");
}

#[test]
fn exact_posterior_has_uniform_tarp_and_unit_pulls() {
    let c = judge(&gaussian(5, 1000, 200, 0.0));
    let tarp = c.curves.iter().find(|c| c.diagnostic == Diagnostic::Tarp).unwrap();
    assert!(tarp.ks_p_value > 0.01, "{}", tarp.ks_p_value);
    assert!(c.tarp_bootstrap.iter().all(|b| (b.coverage - b.nominal).abs() < 0.06 && b.lower <= b.upper));
    for p in &c.parameters {
        assert!(p.pull_mean.abs() < 0.1 && (p.pull_sd - 1.0).abs() < 0.1, "{p:?}");
        assert!(p.contraction > 0.9 && p.contraction < 1.0);
    }
}

#[test]
fn gain_is_the_mutual_information() {
    let c = judge(&gaussian(6, 2000, 20, 0.0));
    // Entropy of the prior minus that of the Gaussian posterior; the cut at the prior's edges adds a little.
    let e2 = 2.0 * std::f64::consts::PI * std::f64::consts::E;
    let exact = 0.16f64.ln() - (e2 * SD[0] * SD[1]).ln();
    let Gain { nats, error, .. } = c.gain;
    assert!((nats - exact).abs() < 4.0 * error && error < 0.03, "{nats} ± {error}, {exact}");
}

#[test]
fn halved_standard_deviations_are_caught_as_overconfident() {
    for seed in 0..10 {
        let c = judge(&scale_sd(&gaussian(seed, 128, 300, 0.0), 0.5).unwrap());
        assert!(!c.pass);
        assert_eq!(c.directions()[0], Direction::Overconfident, "{c}");
        let joint = c.curves.iter().find(|c| c.diagnostic == Diagnostic::JointHpd).unwrap();
        assert!(!joint.pass && joint.ecdf(0.68) < 0.5);
        assert!(c.verdict().starts_with("FAIL: overconfident"));
    }
}

#[test]
fn doubled_standard_deviations_are_caught_as_underconfident() {
    for seed in 0..10 {
        let c = judge(&scale_sd(&gaussian(seed, 128, 300, 0.0), 2.0).unwrap());
        assert!(!c.pass);
        assert_eq!(c.directions()[0], Direction::Underconfident, "{c}");
    }
}

#[test]
fn shifted_posterior_is_caught_as_biased() {
    for seed in 0..10 {
        let c = judge(&gaussian(seed, 128, 300, 0.8));
        assert!(!c.pass);
        assert!(c.directions().contains(&Direction::BiasedHigh), "{c}");
        assert!(!c.directions().contains(&Direction::BiasedLow), "{c}");
    }
}

#[test]
fn scaling_adjusts_densities_as_for_a_gaussian() {
    let s = gaussian(1, 20, 200, 0.0);
    let half = scale_sd(&s, 0.5).unwrap();
    for i in 0..s.len() {
        // The density of a Gaussian about the draws' mean, with half the sd, at the truth.
        let datum: Vec<f64> = (0..2).map(|j| s.mean_sd(i, j).0).collect();
        let inside = (0..2).all(|j| {
            let p = &s.prior.parameters[j];
            (p.min + 6.0 * SD[j]..p.max - 6.0 * SD[j]).contains(&datum[j])
        });
        let q: f64 = (0..2).map(|j| ((s.truth[2 * i + j] - datum[j]) / (0.5 * SD[j])).powi(2)).sum();
        let exact = -(2.0 * std::f64::consts::PI * 0.25 * SD[0] * SD[1]).ln() - 0.5 * q;
        // The draws' mean differs from the datum by sd / √200.
        assert!(!inside || (half.ln_prob_truth[i] - exact).abs() < 0.5 * (1.0 + q.sqrt()), "{i} {exact}");
        assert!((half.mean_sd(i, 0).1 / s.mean_sd(i, 0).1 - 0.5).abs() < 1e-9);
    }
    assert!(scale_sd(&s, 0.0).is_err());
}

#[test]
fn comparison_is_paired() {
    let s = gaussian(2, 200, 50, 0.0);
    let mut b = s.clone();
    b.ln_prob_truth.iter_mut().enumerate().for_each(|(i, l)| *l -= 0.3 + 0.1 * (i % 2) as f64);
    // The rows' order does not matter.
    b.index.reverse();
    b.ln_prob_truth.reverse();
    let c = compare(&s, &b).unwrap();
    assert!((c.nats - 0.35).abs() < 1e-9 && c.error < 0.004 && c.universes == 200, "{c:?}");
    b.index.iter_mut().for_each(|i| *i += 1000);
    assert_eq!(compare(&s, &b).unwrap_err().exit_code(), 2);
}

#[test]
fn json_keeps_everything_even_infinities() {
    let mut s = gaussian(3, 40, 50, 0.0);
    s.ln_prob_truth[3] = f64::NEG_INFINITY;
    let c = judge(&s);
    assert_eq!((c.gain.excluded_truths, c.gain.nats), (1, f64::NEG_INFINITY));
    let back: Calibration = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
    assert_eq!(back.gain.nats, f64::NEG_INFINITY);
    assert_eq!((back.to_string(), back.curves.len()), (c.to_string(), c.curves.len()));
    assert!(back.envelope.lower.iter().zip(&c.envelope.lower).all(|(a, b)| (a - b).abs() < 1e-14));
}

#[test]
fn several_entries_of_a_universe_count_once_and_too_few_are_refused() {
    let mut s = gaussian(4, 60, 50, 0.0);
    s.index = (0..60).map(|i| i / 3).collect();
    let c = judge(&s);
    assert_eq!((c.universes, c.left_out), (20, 40));
    assert_eq!(assess(&gaussian(4, 5, 50, 0.0), &CalibrateConfig::default()).unwrap_err().exit_code(), 2);
    let bad = CalibrateConfig { level: 1.0, ..Default::default() };
    assert_eq!(bad.check().unwrap_err().key.as_deref(), Some("calibrate.level"));
}
