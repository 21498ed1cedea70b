use super::*;
use crate::io::provenance::Provenance;
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal};

/// n universes and m pairs of three numbers, sums of two that are independent, whose mean is linear in two parameters.
fn measured(n: usize, m: usize, own: f64) -> Measured {
    let x = |number: u64, a: f64, b: f64| {
        let mut rng = stream(1, number, "universe", 0);
        let z: Vec<f64> = (0..2).map(|_| StandardNormal.sample(&mut rng)).collect();
        vec![1.0 + 2.0 * a + z[0], 3.0 * b + 0.1 * (z[0] + z[1]), 7.0, 2.0 * a + 3.0 * b + 1.1 * z[0] + 0.1 * z[1]]
    };
    let noise = |number: u64, s: f64| own * (number as f64 - 0.5 * (m - 1) as f64) * s;
    let pair = |j: usize| {
        let at = |r: u64, s: f64| {
            let (a, b) = if j == 0 { (0.5 * s, 0.0) } else { (0.0, 0.25 * s) };
            x(r, a + noise(r, s), b)
        };
        (0..m as u64).map(|r| [at(r, -1.0), at(r, 1.0)]).collect()
    };
    Measured { views: 1, fiducials: (0..n as u64).map(|r| x(r, 0.0, 0.0)).collect(), pairs: vec![pair(0), pair(1)] }
}

#[test]
fn linear_gaussian_numbers_have_their_closed_form() {
    let n = 40_000;
    let s = measured(n, 3, 0.0).statistic("x", &[0.5, 0.25]);
    assert_eq!((s.numbers, s.universes, &s.used[..]), (4, n, &[1, 1, 0, 1][..]));
    let fisher = s.fisher.as_ref().unwrap();
    // The fourth is the sum of the first two: of rank 2, and no more information.
    assert_eq!(fisher.hartlap, (n - 4) as f64 / (n - 1) as f64);
    assert!(s.notes.iter().any(|note| note.starts_with("1 combination(s)")), "{:?}", s.notes);
    // C = [[1, 0.1], [0.1, 0.02]], whose determinant is 0.01; derivatives (2, 0) and (0, 3).
    let wanted = [4.0 * 2.0, -6.0 * 10.0, -6.0 * 10.0, 9.0 * 100.0];
    for (found, wanted) in fisher.matrix.iter().zip(wanted) {
        assert!((found / wanted - 1.0).abs() < 0.05, "{:?}", fisher.matrix);
    }
    let errors = fisher.errors();
    assert!((errors[0] / 0.5 - 1.0).abs() < 0.03 && (errors[1] / (0.02f64.sqrt() / 3.0) - 1.0).abs() < 0.03);
    assert!(fisher.noise.iter().all(|x| *x < 1e-20));
    // Numbers that exactly depend on others change nothing.
    assert!(s.derivative_errors.iter().all(|e| e.abs() < 1e-12));
}

#[test]
fn chance_in_derivatives_is_told() {
    let s = measured(1000, 5, 0.4).statistic("x", &[0.5, 0.25]);
    let noise = &s.fisher.as_ref().unwrap().noise;
    assert!(noise[0] > 0.1 && s.notes.iter().any(|note| note.contains("give more pairs")), "{noise:?}");
}

#[test]
fn what_cannot_be_told_is_said() {
    let s = measured(5, 3, 0.0).statistic("x", &[0.5, 0.25]);
    assert!(s.fisher.is_none() && s.notes.iter().any(|note| note.contains("Hartlap")), "{:?}", s.notes);
    assert_eq!((s.mean.len(), s.covariance.len()), (4, 16), "mean and covariance stay");
    let alike = Measured { views: 1, fiducials: vec![vec![3.0]; 9], pairs: vec![] }.statistic("x", &[]);
    assert!(alike.places().is_empty() && alike.fisher.is_none());
    let mut none = measured(50, 3, 0.0);
    none.pairs[1].clear();
    assert!(none.statistic("x", &[0.5, 0.25]).notes.iter().any(|note| note.contains("no pair is whole")));
    let mut alike = measured(50, 3, 0.0);
    alike.pairs[1] = measured(50, 3, 0.0).pairs[0].clone();
    assert!(alike.statistic("x", &[0.5, 0.5]).notes.iter().any(|note| note.contains("apart")));
}

#[test]
fn views_are_no_universes() {
    let one = measured(500, 4, 0.0);
    let twice = |x: &Vec<f64>| [&x[..], &x[..]].concat();
    let pairs = one.pairs.iter().map(|all| all.iter().map(|p| [twice(&p[0]), twice(&p[1])]).collect()).collect();
    let two = Measured { views: 2, fiducials: one.fiducials.iter().map(twice).collect(), pairs };
    let [a, b] = [one, two].map(|m| m.statistic("x", &[0.5, 0.25]));
    assert_eq!((a.numbers, b.numbers, b.universes), (4, 4, 500));
    let close = |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-9 * x.abs().max(1e-3));
    assert!(close(&a.covariance, &b.covariance) && close(&a.derivatives, &b.derivatives));
}

#[test]
fn a_file_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forecast.h5");
    let stepped = |name: &str, step| Stepped { name: name.into(), latex: format!("\\{name}"), fiducial: 0.3, step };
    let good = measured(100, 3, 0.1).statistic("x", &[0.5, 0.25]);
    let bare = Statistic::none("large", 10_000, "it has too many numbers".into());
    let forecast = Forecast { parameters: vec![stepped("a", 0.5), stepped("b", 0.25)], statistics: vec![good, bare] };
    let by = Provenance::collect(&crate::comm::Comm::world(), 1, "");
    write(&forecast, &path, "digest", &by).unwrap();
    assert_eq!((read(&path).unwrap(), of(&path).unwrap().unwrap()), (forecast.clone(), "digest".into()));
    assert!(forecast.to_string().contains("a = 0.3 ± "), "{forecast}");
}
