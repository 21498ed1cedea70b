//! Points, realisations and what they are used for.

use super::*;

const SHIFTED: [f64; 6] = [
    0.6843146182662448,
    -0.4240884304442234,
    0.18431461826624485,
    0.5759115695557766,
    0.43431461826624485,
    -0.9240884304442234,
];
const SCRAMBLED: [f64; 6] = [
    0.5864118428156869,
    0.6703702560543425,
    0.16200887948097853,
    -0.5211577162269505,
    0.4834386831997054,
    0.11830146145568521,
];

fn config(kind: &str, n: usize, more: &str) -> DesignConfig {
    let text = format!(
        "kind = \"{kind}\"\nsimulations = {n}\n{more}\n[parameters.b]\nmin = 0.0\nmax = 1.0\n[parameters.a]\nmin = -1.0\nmax = 1.0\n"
    );
    toml::from_str(&text).unwrap()
}

fn resolve(config: &DesignConfig, seed: u64) -> Result<Design> {
    config.resolve(&config.parameters.prior()?, seed)
}

#[test]
fn designs_that_extend_do() {
    for kind in ["sobol", "prior"] {
        let (small, large) = (resolve(&config(kind, 50, ""), 7).unwrap(), resolve(&config(kind, 80, ""), 7).unwrap());
        assert_eq!(small.theta, large.theta[..100]);
        assert_eq!(small.split, large.split[..50]);
        assert_eq!(small.prior.names(), ["b", "a"]);
        assert_ne!(small.theta, resolve(&config(kind, 50, ""), 8).unwrap().theta);
        assert!(small.theta.chunks(2).all(|t| small.prior.ln_density(t).is_finite()));
    }
}

#[test]
fn points_that_are_impossible_give_way_to_the_next() {
    let possible = |theta: &[f64]| theta[0] < 0.5 && theta[1] > -0.5;
    let at = |config: &DesignConfig| config.resolve_among(&config.parameters.prior().unwrap(), 7, possible);
    let redraw = "reject = \"redraw\"";
    for kind in ["sobol", "prior"] {
        let (small, large) = (at(&config(kind, 50, redraw)).unwrap(), at(&config(kind, 80, redraw)).unwrap());
        assert_eq!(small.theta, large.theta[..100], "{kind}");
        // Of the sequence without them as many points are possible, up to the last that is taken.
        if let ("sobol", Some(passed)) = (kind, small.passed_over) {
            let whole = at(&config(kind, 50 + passed as usize, "")).unwrap();
            assert_eq!(whole.theta.chunks(2).filter(|theta| possible(theta)).count(), 50);
            assert!(whole.theta[whole.theta.len() - 2..] == small.theta[98..] && whole.passed_over.is_none());
        }
        assert!(small.passed_over > Some(10) && small.passed_over < large.passed_over, "{kind}");
        assert!(large.theta.chunks(2).all(possible));
        // The possible points of the design that has them all are among them, in their order; of draws in their places.
        let all = at(&config(kind, 50, "")).unwrap();
        for (i, theta) in all.theta.chunks(2).enumerate().filter(|(_, theta)| possible(theta)) {
            assert!(
                small.theta.chunks(2).position(|t| t == theta).is_some_and(|at| kind == "sobol" || at == i),
                "{kind}"
            );
        }
        assert!(all.theta.chunks(2).any(|theta| !possible(theta)));
    }
    for kind in ["latin-hypercube", "grid"] {
        assert_eq!(at(&config(kind, 9, redraw)).unwrap_err().key.as_deref(), Some("design.reject"), "{kind}");
    }
    let nothing = config("sobol", 2, redraw);
    let e = nothing.resolve_among(&nothing.parameters.prior().unwrap(), 7, |_| false).unwrap_err();
    assert!(e.key.as_deref() == Some("design.reject") && e.remedy.is_some() && e.exit_code() == 2, "{e}");
}

#[test]
fn sobol_and_latin_hypercube_fill_every_slice() {
    for (kind, more) in [("sobol", ""), ("sobol", "scramble = \"owen\""), ("latin-hypercube", "")] {
        let design = resolve(&config(kind, 64, more), 3).unwrap();
        for j in 0..2 {
            let slice = |t: &[f64]| (design.prior.parameters[j].distribution.cdf(t[j]) * 64.0) as usize;
            let mut slices: Vec<_> = design.theta.chunks(2).map(slice).collect();
            slices.sort_unstable();
            assert!(slices.into_iter().eq(0..64), "{kind}");
        }
    }
    // A (0, m, 2)-net: also one point in every cell of 8 x 8.
    for more in ["", "scramble = \"owen\""] {
        let design = resolve(&config("sobol", 64, more), 3).unwrap();
        let cell = |t: &[f64]| (t[0] * 8.0) as usize * 8 + ((t[1] + 1.0) * 4.0) as usize;
        let mut cells: Vec<_> = design.theta.chunks(2).map(cell).collect();
        cells.sort_unstable();
        assert!(cells.into_iter().eq(0..64), "{more}");
    }
}

#[test]
fn the_scramble_is_random_and_the_shift_stays() {
    let owen = "scramble = \"owen\"";
    // Folders that were begun with them have these points.
    assert_eq!(resolve(&config("sobol", 3, ""), 7).unwrap().theta, SHIFTED);
    assert_eq!(resolve(&config("sobol", 3, owen), 7).unwrap().theta, SCRAMBLED);
    // The mean of a smooth function errs as N^-3/2, of independent draws as N^-1/2; a shift alone keeps N^-1.
    let error = |more: &str| {
        let of = |seed| {
            let design = resolve(&config("sobol", 256, more), seed).unwrap();
            let f = |t: &[f64]| t[0] * ((t[1] + 1.0) / 2.0).exp();
            design.theta.chunks(2).map(f).sum::<f64>() / 256.0 - 0.5 * (1f64.exp() - 1.0)
        };
        ((0..64).map(|seed| of(seed).powi(2)).sum::<f64>() / 64.0).sqrt()
    };
    let (shifted, scrambled) = (error(""), error(owen));
    assert!(scrambled < 0.5 * shifted && shifted < 0.01, "{scrambled} of {shifted}");
    let refused = resolve(&config("prior", 3, owen), 7).unwrap_err();
    assert_eq!((refused.key.as_deref(), refused.exit_code()), (Some("design.scramble"), 2));
    assert_eq!(config("sobol", 3, "").scramble, Scramble::Shift);
}

#[test]
fn points_have_realisations_of_their_own() {
    for kind in ["sobol", "latin-hypercube", "prior", "grid"] {
        let n = if kind == "grid" { 27 } else { 24 };
        let (all, one) =
            (resolve(&config(kind, n, "realisations = 3"), 7).unwrap(), resolve(&config(kind, n / 3, ""), 7).unwrap());
        assert_eq!((all.len(), &all.realisation), (n, &(0..n as u64).collect()), "{kind}");
        for i in 0..n {
            assert_eq!((all.row(i).theta, all.split[i]), (one.row(i / 3).theta, one.split[i / 3]), "{kind}");
        }
    }
    for (kind, n, k) in [("sobol", 10, 3), ("sobol", 10, 0), ("fiducial", 10, 2)] {
        let refused = resolve(&config(kind, n, &format!("realisations = {k}")), 7).unwrap_err();
        assert_eq!(refused.key.as_deref(), Some("design.realisations"), "{kind}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.txt");
    std::fs::write(&path, "a, realisation, b\n0.5, 3, 0.25\n").unwrap();
    let twice = format!("file = {path:?}\nrealisations = 2");
    let refused = resolve(&config("list", 2, &twice), 1).unwrap_err();
    assert!(refused.problem.contains("design.realisations") && refused.exit_code() == 2, "{refused}");
    std::fs::write(&path, "0.25, 0.5\n").unwrap();
    assert_eq!(resolve(&config("list", 2, &twice), 1).unwrap().theta, [0.25, 0.5, 0.25, 0.5]);
}

/// A fiducial design of n universes.
fn fiducial(n: usize, pairs: usize, more: &str) -> DesignConfig {
    let point = format!("pairs = {pairs}\nfiducial = {{ a = 0.5, b = 0.25 }}\n{more}");
    config("fiducial", n, &point)
}

#[test]
fn pairs_share_their_realisation_and_fiducials_follow() {
    let steps = "steps = { a = 0.125 }";
    let design = resolve(&fiducial(8, 2, steps), 1).unwrap();
    let block = [0.25, 0.5, 0.25, 0.375, 0.25, 0.625];
    assert_eq!(design.theta, [&block[..], &block, &block[..2], &block[..2]].concat());
    assert_eq!(design.realisation, [0, 0, 0, 1, 1, 1, 2, 3]);
    assert_eq!(design.drawn_from, DrawnFrom::Fiducial);
    // More of either leave those that there are where they are; what each is for goes by its realisation.
    let more = resolve(&fiducial(200, 2, steps), 1).unwrap();
    assert_eq!((&more.theta[..16], &more.split[..8]), (&design.theta[..], &design.split[..]));
    let of = |s: Split| more.split.iter().filter(|&&t| t == s).count();
    assert!(of(Split::Test) > 15 && of(Split::Validation) > 5 && of(Split::Train) > 100, "{:?}", more.split);
    assert!(design.split[..3].iter().all(|s| *s == design.split[0]));
    let both = resolve(&fiducial(13, 2, "steps = { a = 0.125, b = 0.25 }"), 1).unwrap();
    assert_eq!(both.theta[2..10], [0.0, 0.5, 0.5, 0.5, 0.25, 0.375, 0.25, 0.625]);
    for (wrong, key) in [
        (fiducial(5, 2, steps), "design.simulations"),
        (fiducial(8, 2, ""), "design.steps"),
        (fiducial(8, 0, steps), "design.pairs"),
        (fiducial(8, 2, "steps = { a = 0.6 }"), "design.steps.a"),
        (fiducial(8, 2, "steps = { a = -0.1 }"), "design.steps.a"),
        (fiducial(8, 2, "steps = { c = 0.1 }"), "design.steps.c"),
        (config("fiducial", 8, "fiducial = { a = 0.5 }"), "design.fiducial.b"),
        (config("fiducial", 8, "fiducial = { a = 0.5, b = 1.5 }"), "design.fiducial.b"),
        (config("sobol", 8, "fiducial = { a = 0.5, b = 0.5 }"), "design.fiducial"),
        (fiducial(8, 0, "prior = \"uniform\""), "design.prior"),
    ] {
        let e = resolve(&wrong, 1).unwrap_err();
        assert_eq!((e.key.as_deref(), e.exit_code(), e.remedy.is_some()), (Some(key), 2, true), "{e}");
    }
    let config = fiducial(8, 2, steps);
    assert_eq!(toml::from_str::<DesignConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn rows_that_were_run_as_others_are_refused() {
    let run = |config: &DesignConfig| -> Vec<Record> {
        let design = resolve(config, 1).unwrap();
        let record = |i: usize| {
            let row = design.row(i);
            let state = State::Finished;
            let theta = row.theta.to_vec();
            Record { index: row.index, realisation: row.realisation, theta, state, failure: String::new() }
        };
        (0..design.len()).map(record).collect()
    };
    let steps = "steps = { a = 0.125 }";
    let now = |config: DesignConfig, was: &[Record]| resolve(&config, 1).unwrap().check(was);
    let paired = run(&fiducial(6, 2, steps));
    now(fiducial(9, 3, steps), &paired).unwrap();
    now(fiducial(60, 2, steps), &paired).unwrap();
    let more = run(&fiducial(7, 2, steps));
    let e = now(fiducial(9, 3, steps), &run(&fiducial(9, 2, steps))).unwrap_err();
    assert!(e.problem.contains("simulation 7") && e.problem.contains("design.pairs"), "{e}");
    // What it has no rows for is told by whoever has seen all of a folder.
    now(fiducial(6, 2, steps), &more).unwrap();
    let e = resolve(&fiducial(6, 2, steps), 1).unwrap().beyond(6);
    assert!(e.key.as_deref() == Some("design.simulations") && e.problem.contains("simulation 6"), "{e}");
    let other = DesignConfig { validation: 0.3, test: 0.5, ..fiducial(7, 2, steps) };
    now(other, &more).unwrap();
}

#[test]
fn points_follow_correlated_priors() {
    let text = "simulations = 4096\n[parameters.b]\nkind = \"normal\"\nmean = 1.0\nsigma = 0.1\n[parameters.a]\nkind = \"normal\"\n\
                mean = 0.0\nsigma = 1.0\ncorrelation = { b = -0.9 }\n";
    let config: DesignConfig = toml::from_str(text).unwrap();
    assert_eq!(toml::from_str::<DesignConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    for kind in [Sampling::Sobol, Sampling::Prior, Sampling::LatinHypercube] {
        let design = resolve(&DesignConfig { kind, ..config.clone() }, 5).unwrap();
        let product = |t: &[f64]| (t[0] - 1.0) / 0.1 * t[1];
        let found = design.theta.chunks(2).map(product).sum::<f64>() / 4096.0;
        assert!((found + 0.9).abs() < 0.06, "{kind:?}: {found}");
    }
}

#[test]
fn grids_and_lists() {
    let design = resolve(&config("grid", 9, ""), 1).unwrap();
    assert_eq!(design.row(1).theta, [1.0 / 6.0, 0.0]);
    assert!(resolve(&config("grid", 10, ""), 1).unwrap_err().to_string().contains("4, 9, 16"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.txt");
    std::fs::write(&path, "a, realisation, b\n# pairs\n0.5, 3, 0.25\n-0.5, 3, 0.75\n").unwrap();
    let file = format!("file = {path:?}");
    let design = resolve(&config("list", 2, &file), 1).unwrap();
    assert_eq!((design.theta, design.realisation), (vec![0.25, 0.5, 0.75, -0.5], vec![3, 3]));
    assert_eq!(resolve(&config("list", 3, &file), 1).unwrap_err().exit_code(), 2);
    let drawn = |kind, more: &str| config(kind, 2, more).drawn_from();
    assert_eq!([drawn("list", &file), drawn("grid", "")], [DrawnFrom::List, DrawnFrom::Grid]);
    let stated = format!("{file}\nprior = \"uniform\"");
    assert_eq!([drawn("list", &stated), drawn("sobol", "")], [DrawnFrom::Prior; 2]);
    assert_eq!(resolve(&config("list", 2, &stated), 1).unwrap().drawn_from, DrawnFrom::Prior);
    let refused = resolve(&config("grid", 9, "prior = \"uniform\""), 1).unwrap_err();
    assert_eq!(refused.key.as_deref(), Some("design.prior"));
    // Bounds, as they come back from single precision.
    std::fs::write(&path, format!("{} {}\n", 1.0 + 1e-7, 1e-300)).unwrap();
    assert_eq!(resolve(&config("list", 1, &file), 1).unwrap().len(), 1);
    std::fs::write(&path, "0.5 2.0\n").unwrap();
    assert!(resolve(&config("list", 1, &file), 1).unwrap_err().to_string().contains("outside"));
    assert!(resolve(&config("sobol", 0, ""), 1).is_err() && resolve(&config("list", 2, ""), 1).is_err());
}

/// Points of a Sobol' design in a Gaussian that is cut off, and in two that are correlated: each coordinate has the
/// distribution that it is to have, the latter also beside the former.
#[test]
fn sobol_points_fill_cut_and_correlated_gaussians() {
    let text = "kind = \"sobol\"\nsimulations = 4096\n\
        [parameters.cut]\nkind = \"normal\"\nmean = 0.2\nsigma = 0.2\nmin = 0.0\nmax = 0.5\n\
        [parameters.a]\nkind = \"normal\"\nmean = 1.0\nsigma = 0.1\n\
        [parameters.b]\nkind = \"lognormal\"\nln_mean = -1.0\nln_sigma = 0.3\ncorrelation = { a = -0.8 }\n";
    let design = resolve(&toml::from_str(text).unwrap(), 3).unwrap();
    let n = design.len() as f64;
    for j in 0..3 {
        let mut u: Vec<f64> =
            design.theta.chunks(3).map(|t| design.prior.parameters[j].distribution.cdf(t[j])).collect();
        u.sort_by(f64::total_cmp);
        let far = u.iter().enumerate().map(|(i, u)| (u - (i as f64 + 0.5) / n).abs()).fold(0.0, f64::max);
        assert!(far < if j < 2 { 1.0 / n } else { 0.01 }, "parameter {j}: {far}");
    }
    assert!(design.theta.chunks(3).all(|t| (0.0..=0.5).contains(&t[0])));
    // ln b | a ~ N(-1 - 0.8 · 0.3 (a - 1) / 0.1, 0.3² (1 - 0.8²)).
    let rest = |t: &[f64]| (t[2].ln() + 1.0 + 2.4 * (t[1] - 1.0)) / 0.18;
    let all: Vec<[f64; 2]> = design.theta.chunks(3).map(|t| [rest(t), (t[1] - 1.0) / 0.1]).collect();
    let mean = |f: &dyn Fn(&[f64; 2]) -> f64| all.iter().map(f).sum::<f64>() / n;
    assert!(mean(&|r| r[0]).abs() < 5e-3 && (mean(&|r| r[0] * r[0]) - 1.0).abs() < 1e-2);
    assert!(mean(&|r| r[0] * r[1]).abs() < 1e-2, "what is left of it knows nothing of the other");
}
