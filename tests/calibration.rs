//! An exact posterior passes, a wrong one is caught: on a Gaussian problem whose posterior is known in closed form.

use polycosm::calibration::{
    CalibrateConfig, Calibration, Diagnostic, Direction, Gain, Outcome, assess, compare, spoil::scale_sd,
};
use polycosm::io::samples::Samples;
use polycosm::prior::{DrawnFrom, Parameter, Prior};
use polycosm::rng;
use rand::Rng;
use rand_distr::StandardNormal;

/// Standard deviations of the data.
const SD: [f64; 2] = [0.004, 0.01];

/// Universes with θ from the uniform prior and one datum per parameter with Gaussian errors of sd `SD`. The exact
/// posterior is a Gaussian about the datum, cut at the prior's edges; here its draws are moved by `shift` sd.
fn gaussian(seed: u64, n: usize, draws: usize, shift: f64) -> Samples {
    let p = |name: &str, min, max| Parameter::uniform(name, name, min, max);
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
                let (min, max) = prior.parameters[j].distribution.bounds();
                let inside = edge(max) - edge(min);
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
    // Few universes keep the level too, and then nothing is decided.
    let few = |seed| {
        let config = CalibrateConfig { seed, bootstrap: 10, ..Default::default() };
        assess(&gaussian(seed, 17, 100, 0.0), &config).unwrap().outcome
    };
    let outcomes: Vec<Outcome> = (0..runs).map(few).collect();
    let failed = outcomes.iter().filter(|o| **o == Outcome::Fails).count();
    println!("{failed} of {runs} exact posteriors failed on 17 universes");
    assert!(failed <= 11 && !outcomes.contains(&Outcome::Passes), "{failed} of {runs}");
}

#[test]
fn what_is_said_to_be_found_is_found() {
    let width = judge(&gaussian(0, 60, 200, 0.0)).smallest_width_error.unwrap();
    assert!(width.is_enough() && width.overconfident > 1.4 && width.underconfident < 1.8, "{width}");
    for factor in [1.0 / width.overconfident, width.underconfident] {
        let found =
            |seed: &u64| judge(&scale_sd(&gaussian(*seed, 60, 200, 0.0), factor).unwrap()).outcome == Outcome::Fails;
        let found = (0..40).filter(found).count();
        // One parameter's width alone is found 36 times; here both are wrong. Fewer than 33 would happen once in 30.
        assert!(found >= 33, "{factor}: {found} of 40");
    }
}

#[test]
fn seventeen_universes_fail_what_is_blatant_and_pass_nothing() {
    let exact = judge(&gaussian(1, 17, 200, 0.0));
    assert_eq!(exact.outcome, Outcome::Inconclusive);
    assert!(exact.verdict().starts_with("INCONCLUSIVE: 17 universes are too few"), "{exact}");
    assert!(exact.remedy.as_ref().unwrap().contains("40 test universes"), "{exact}");
    let width = exact.smallest_width_error.unwrap();
    assert!(!width.is_enough() && width.overconfident > 2.0 && width.underconfident < 4.0, "{width}");
    for seed in 0..10 {
        // Pulls of 0 ± 3.5, and of −3.5 ± 1.
        let narrow = judge(&scale_sd(&gaussian(seed, 17, 200, 0.0), 1.0 / 3.5).unwrap());
        let biased = judge(&gaussian(seed, 17, 200, 3.5));
        assert_eq!([narrow.outcome, biased.outcome], [Outcome::Fails; 2], "{narrow}\n{biased}");
        assert!(narrow.remedy.unwrap().contains("ensemble") && biased.remedy.unwrap().contains("off to one side"));
        // One truth 16 standard deviations off: ± 3.5, and no rank can tell it from the farthest draw.
        let mut one = gaussian(seed, 17, 1000, 0.0);
        one.truth[0] += 16.0 * SD[0] * (0.3 - one.truth[0]).signum(); // stays in the prior
        one.ln_prob_truth[0] -= 0.5 * 16.0 * 16.0;
        let one = judge(&one);
        assert!(one.parameters[0].pull_sd > 3.0 && one.gain.mostly_gains, "{one}");
        assert_eq!(one.outcome, Outcome::Fails, "{one}");
        assert!(one.directions().contains(&Direction::Overconfident), "{one}");
    }
}

#[test]
fn a_posterior_that_is_its_prior_has_learned_nothing_and_one_below_it_fails() {
    let mut s = gaussian(7, 128, 100, 0.0);
    let mut rng = rng::stream(7, 0, "prior", 0);
    let prior = s.prior.clone();
    let flat = prior.ln_density(&[0.3, 0.8]);
    s.theta = (0..128 * 100).flat_map(|_| prior.from_unit(&[rng.random(), rng.random()])).collect();
    s.ln_prob.fill(flat);
    s.ln_prob_truth.fill(flat);
    let c = judge(&s);
    assert_eq!((c.outcome, c.pass), (Outcome::Inconclusive, false));
    assert!(c.verdict().contains("nothing learned") && !c.verdict().contains("too few"), "{c}");
    s.ln_prob.fill(f64::NAN);
    s.ln_prob_truth.fill(flat - 0.3);
    let c = judge(&s);
    assert_eq!((c.outcome, c.directions()), (Outcome::Fails, vec![Direction::WorseThanPrior]), "{c}");
    assert!(c.verdict().starts_with("FAIL: worse than its prior") && c.remedy.is_some(), "{c}");
    // 17 universes at −0.3 nats: no proof, and no pass.
    let few = Samples { ln_prob_truth: vec![flat - 0.3; 17], ..gaussian(7, 17, 100, 0.0) };
    assert_ne!(judge(&few).outcome, Outcome::Passes);
}

#[test]
fn without_a_prior_there_is_no_verdict_and_a_guessed_one_is_named() {
    let mut s = gaussian(8, 128, 50, 0.0);
    assert_eq!(judge(&s).outcome, Outcome::Passes);
    for drawn_from in [DrawnFrom::List, DrawnFrom::Grid] {
        s.extras.drawn_from = drawn_from;
        let c = judge(&s);
        assert_eq!((c.outcome, c.pass, c.curves.len(), c.gain.universes), (Outcome::NotJudged, false, 0, 0));
        assert!(c.parameters.iter().all(|p| p.contraction.is_nan() && p.pull_sd.is_finite()));
        assert!(c.verdict().starts_with("NO VERDICT: ") && !c.to_string().contains("gain"), "{c}");
        let back: Calibration = serde_json::from_str(&serde_json::to_string(&c).unwrap()).unwrap();
        assert_eq!(back.to_string(), c.to_string());
    }
    s.extras.drawn_from = DrawnFrom::Guess;
    let c = judge(&s);
    assert_eq!(c.outcome, Outcome::Passes);
    assert!(c.to_string().contains("note: the prior is a guess"), "{c}");
}

#[test]
fn truths_that_the_prior_did_not_give_pass_nothing() {
    let mut s = gaussian(10, 64, 100, 0.0);
    assert!(judge(&s).pass && judge(&s).not_of_the_prior.is_none());
    s.prior.parameters[1] = Parameter::uniform("sigma8", "sigma8", 0.6, 2.2);
    let c = judge(&s);
    assert_eq!((c.outcome, c.pass), (Outcome::Inconclusive, false));
    assert!(c.verdict().contains("those of sigma8 fill 0% to 2"), "{c}");
    assert!(c.remedy.is_some_and(|r| r.contains("give the prior that they were drawn from")));
}

#[test]
fn pulls_of_wide_tails_are_told() {
    let exact = gaussian(11, 64, 400, 0.0);
    assert!(!judge(&exact).to_string().contains("the pulls of"));
    let mut s = exact.clone();
    // One draw in fifty lies far out: ranks see little of it, the standard deviation is twice as large.
    s.theta.chunks_mut(100).for_each(|c| (0..2).for_each(|j| c[j] = if c[j] > 0.3 { 0.1 } else { 0.5 }));
    let c = judge(&s);
    assert!(c.to_string().contains("note: the pulls of Omega_m scatter by 0."), "{c}");
}

#[test]
fn no_gain_is_made_of_an_extrapolation() {
    let c = judge(&scale_sd(&gaussian(9, 128, 100, 0.0), 0.5).unwrap());
    assert_eq!(c.gain.universes, 0);
    assert!(!c.to_string().contains("nats") && c.to_string().contains("the gain is left out"), "{c}");
}

#[test]
fn draws_without_width_fail_and_can_be_written() {
    let mut s = gaussian(10, 60, 50, 0.0);
    s.theta.chunks_exact_mut(2).for_each(|t| t.copy_from_slice(&[0.25, 0.75]));
    s.ln_prob.fill(0.0);
    let c = judge(&s);
    assert_eq!(c.outcome, Outcome::Fails);
    assert!(!c.parameters[0].pull_sd.is_finite());
    let text = serde_json::to_string(&c).unwrap();
    assert!(text.contains("\"pull_sd\":\"") && !text.contains("null,\"contraction"), "{text}");
    let back: Calibration = serde_json::from_str(&text).unwrap();
    assert_eq!(back.to_string(), c.to_string());
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
            let (min, max) = s.prior.parameters[j].distribution.bounds();
            (min + 6.0 * SD[j]..max - 6.0 * SD[j]).contains(&datum[j])
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

/// Pairs of a list have one truth between them, as entries of one universe do.
#[test]
fn universes_that_share_their_parameters_count_once() {
    let alone = gaussian(3, 60, 100, 0.0);
    let mut pairs = alone.clone();
    pairs.index = (0..120).collect();
    for list in [&mut pairs.theta, &mut pairs.ln_prob, &mut pairs.truth, &mut pairs.ln_prob_truth] {
        list.extend_from_within(..);
    }
    let (alone, pairs) = (judge(&alone), judge(&pairs));
    assert_eq!([(alone.universes, alone.left_out), (pairs.universes, pairs.left_out)], [(60, 0), (60, 60)]);
    assert_eq!(alone.outcome, pairs.outcome);
}

#[test]
fn several_entries_of_a_universe_count_once_and_few_decide_nothing() {
    let mut s = gaussian(4, 60, 50, 0.0);
    s.index = (0..60).map(|i| i / 3).collect();
    let c = judge(&s);
    assert_eq!((c.universes, c.left_out), (20, 40));
    for n in 1..6 {
        let few = judge(&gaussian(4, n, 50, 0.0));
        assert_eq!((few.universes, few.outcome, few.pass), (n, Outcome::Inconclusive, false));
        let back: Calibration = serde_json::from_str(&serde_json::to_string(&few).unwrap()).unwrap();
        assert_eq!(back.to_string(), few.to_string());
    }
    let mut unknown = gaussian(4, 5, 50, 0.0);
    unknown.truth.fill(f64::NAN);
    assert_eq!(assess(&unknown, &CalibrateConfig::default()).unwrap_err().exit_code(), 2);
    assert_eq!(assess(&gaussian(4, 50, 19, 0.0), &CalibrateConfig::default()).unwrap_err().exit_code(), 2);
    let bad = CalibrateConfig { level: 1.0, ..Default::default() };
    assert_eq!(bad.check().unwrap_err().key.as_deref(), Some("calibrate.level"));
}
