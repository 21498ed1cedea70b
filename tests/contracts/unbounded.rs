//! Parameters to unbounded space and back.

use polycosm::models::{Device, Kind, Tensor};
use polycosm::nets::{Unbounded, host};
use polycosm::prior::{Distribution, Parameter, Prior};

fn prior(all: &[Distribution]) -> Prior {
    let one = |(j, d): (usize, &Distribution)| Parameter {
        distribution: *d,
        ..Parameter::uniform(format!("t{j}"), "", 0.0, 1.0)
    };
    Prior::new(all.iter().enumerate().map(one).collect()).unwrap()
}

/// (n, p): a point in each of n slices of every parameter.
fn points(prior: &Prior, n: usize) -> Tensor {
    let slice = |i: usize, j: usize| ((i * (2 * j + 1)) % n) as f64;
    let unit = |i| (0..prior.len()).map(|j| (slice(i, j) + 0.5) / n as f64).collect::<Vec<f64>>();
    let theta: Vec<f64> = (0..n).flat_map(|i| prior.from_unit(&unit(i))).collect();
    Tensor::from_slice(&theta).view([n as i64, -1])
}

#[test]
fn boxes_are_mapped_as_ever_to_the_last_bit() {
    let boxes = [Distribution::Uniform { min: 0.1, max: 0.5 }, Distribution::Uniform { min: -3.0, max: 67.4 }];
    let prior = prior(&boxes);
    let (low, width) = (Tensor::from_slice(&[0.1, -3.0]), Tensor::from_slice(&[0.5 - 0.1, 67.4 - -3.0]));
    let theta = points(&prior, 64);
    for kind in [Kind::Float, Kind::Double] {
        let unit = ((&theta - &low) / &width).to_kind(kind).clamp(1e-6, 1.0 - 1e-6);
        let jacobian = unit.log() + (-&unit + 1.0).log() + width.log().to_kind(kind);
        let maps = Unbounded::new(&prior, Device::Cpu);
        let (u, ln) = maps.forward(&theta, kind);
        assert!(u.equal(&unit.logit(None::<f64>)) && ln.equal(&jacobian));
        assert!(maps.inverse(&u).equal(&(u.sigmoid().to_kind(Kind::Double) * &width + &low)));
    }
}

#[test]
fn every_support_is_mapped_to_the_line_and_back() {
    let normal = |min, max| Distribution::Normal { mean: 0.3, sigma: 0.1, min, max };
    let ln = |min, max| Distribution::LogNormal { mean: -1.2, sigma: 0.3, min, max };
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let all = [
        normal(low, high),
        Distribution::Uniform { min: 0.1, max: 0.5 },
        normal(0.1, high),
        Distribution::LogUniform { min: 1e-4, max: 10.0 },
        normal(low, 0.4),
        normal(0.2, 0.35),
        ln(0.0, high),
        ln(0.25, high),
        ln(0.0, 0.4),
    ];
    let prior = prior(&all);
    let (maps, theta) = (Unbounded::new(&prior, Device::Cpu), points(&prior, 97));
    let (u, ln) = maps.forward(&theta, Kind::Double);
    assert!(host(&(maps.inverse(&u) - &theta).abs().max())[0] < 1e-12);
    assert!(host(&u.abs().max())[0] < 8.0, "of order 1");
    let step = 1e-4;
    let slope = (maps.inverse(&(&u + step)) - maps.inverse(&(&u - step))) / (2.0 * step);
    assert!(host(&(slope.abs().log() - ln).abs().max())[0] < 1e-5);
    // On an edge, and beyond one: numbers all the same, and told apart.
    let edges = [[0.3, 0.1, 0.1, 1e-4, 0.4, 0.2, 0.0, 0.25, 0.4], [0.3, 0.1, 0.05, 1e-4, 0.4, 0.2, 0.3, 0.3, 0.3]];
    let edges = Tensor::from_slice(edges.as_flattened()).view([2, 9]);
    let (u, ln) = maps.forward(&edges, Kind::Double);
    assert!(host(&u).iter().chain(&host(&ln)).all(|v| v.is_finite()));
    assert_eq!(host(&maps.outside(&edges)), [0.0, 1.0]);
}
