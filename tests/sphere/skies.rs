//! Fifty lognormal skies of ten shells against what was wanted of them: `make validate`.

use super::measured::Table;
use super::{largest, mpi};
use ndarray::{Array2, Axis};
use ndarray_linalg::Solve;
use polycosm::calibration::uniform::{ks_distance, ks_p_value};
use polycosm::cosmology::angular::{Nuisance, Tracers, TracersConfig};
use polycosm::cosmology::{CosmologyConfig, RedshiftDistribution};
use polycosm::sphere::{Alm, LognormalShells, Sht};
use statrs::distribution::{ContinuousCDF, FisherSnedecor, Normal};

const NSIDE: usize = 512;
const LMAX: usize = 768;
const SHELLS: usize = 10;
const SKIES: usize = 50;
const SHIFT: f64 = 1.0;
/// Edges of bands in ℓ, to 1.5 nside.
const BANDS: [usize; 11] = [2, 10, 30, 60, 100, 160, 250, 370, 513, 640, LMAX + 1];
const MANY: usize = BANDS.len() - 1;

/// What Hotelling's T² of the columns' means says of their being `expected`, by their scatter over the rows.
fn p_value(rows: &Array2<f64>, expected: f64) -> f64 {
    let (n, p) = (rows.nrows() as f64, rows.ncols() as f64);
    let mean = rows.mean_axis(Axis(0)).unwrap();
    let (centred, off) = (rows - &mean, &mean - expected);
    let covariance = centred.t().dot(&centred) / (n - 1.0);
    let t2 = n * off.dot(&covariance.solve(&off).unwrap());
    1.0 - FisherSnedecor::new(p, n - p).unwrap().cdf(t2 * (n - p) / (p * (n - 1.0)))
}

fn mean_and_error(x: &[f64]) -> [f64; 2] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    [mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()]
}

/// Spectra and cross spectra, one-point function, shift and skewness; and a map that is band-limited to 1.5 nside comes back.
#[test]
#[ignore = "make validate"]
fn lognormal_skies_against_their_input() {
    mpi::on_ranks("skies::lognormal_skies_against_their_input", &[2], |world| {
        let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
        let cosmology = CosmologyConfig::default();
        let universe = cosmology.resolve(&planck).unwrap();
        let shell = |k: usize| RedshiftDistribution::Tophat { z_min: 0.1 * k as f64, z_max: 0.1 * (k + 1) as f64 };
        let matter = TracersConfig {
            sources: vec![],
            lenses: (0..SHELLS).map(shell).collect(),
            bias: vec![1.0],
            magnification: vec![],
            alignments: None,
            nonlinear: Default::default(),
            limber_from: None,
        };
        let linear = cosmology.linear_power(&universe, 0).unwrap();
        let spectra = Tracers::new(&matter, "shells").unwrap();
        let spectra = spectra.spectra(&universe, &linear, &Nuisance::default(), [1.0, LMAX as f64]).unwrap();
        let c = |i: usize, j: usize, l: usize| spectra.at(i, j, l as f64);
        let shells = LognormalShells::new(Some(world), [1, LMAX], vec![SHIFT; SHELLS], 3, c).unwrap();
        let mut sht = Sht::new(world, NSIDE, LMAX).unwrap();

        // Of each sky: C_ℓ of pairs (k, k − j), over √(C_kk C_jj) of the input, in bands; values at a pixel; moments.
        let pairs: Vec<[usize; 2]> = (0..SHELLS).flat_map(|k| (0..=k.min(3)).map(move |j| [k, k - j])).collect();
        let mut bands: Vec<Array2<f64>> = vec![Array2::zeros([SKIES, MANY]); pairs.len()];
        let (mut uniform, mut moments, mut lowest) = (vec![], vec![vec![]; 3], f64::INFINITY);
        let normal = Normal::new(0.0, 1.0).unwrap();
        for sky in 0..SKIES {
            let (mut before, mut deltas): (Vec<Alm>, Vec<Alm>) = Default::default();
            let mut sums = [0.0; 3];
            for k in 0..SHELLS {
                let given = shells.conditional(k).unwrap();
                let mut alm = Alm::normal(world, LMAX, 9, sky as u64, &format!("shell {k}"));
                alm.scale(&given.sigma);
                before.iter().zip(&given.weights).for_each(|(before, weights)| alm.add(before, weights));
                let mut map = sht.synthesis(&alm);
                if sky == 0 && k == 0 {
                    let back = sht.analysis(&map, 5);
                    let scale = world.max_of(map.iter().fold(0f64, |most, x| most.max(x.abs())));
                    let worst = world.max_of(largest(&map, &sht.synthesis(&back)) / scale);
                    println!("a map that comes back is off by {worst:.1e} of its largest value");
                    assert!(worst < 1e-6, "{worst}");
                }
                before.insert(0, alm);
                before.truncate(3);
                shells.exponentiate(k, &mut map);
                lowest = map.iter().copied().fold(lowest, f64::min);
                // Far from each other, so that shells tell different things.
                let pixel = (2 * k + 1) * sht.rings().pixels() / (2 * SHELLS) + 7919 * sky;
                let own = sht.pixels();
                let value = world.sum_of(if own.contains(&pixel) { map[pixel - own.start] } else { 0.0 });
                let (sigma, g) = (shells.variance(k).sqrt(), (1.0 + value / SHIFT).ln());
                uniform.push(normal.cdf((g + 0.5 * sigma * sigma) / sigma));
                for (n, sum) in sums.iter_mut().enumerate() {
                    let all = map.iter().map(|x| x.powi(n as i32 + 1)).sum::<f64>();
                    *sum += world.sum_of(all) / sht.rings().pixels() as f64 / SHELLS as f64;
                }
                deltas.push(sht.analysis(&map, 1));
            }
            moments.iter_mut().zip(sums).for_each(|(all, moment)| all.push(moment));
            for ([i, j], bands) in pairs.iter().zip(&mut bands) {
                let measured = deltas[*i].c_ell(&deltas[*j], world);
                for (b, edges) in BANDS.windows(2).enumerate() {
                    let of =
                        |f: &dyn Fn(usize) -> f64| (edges[0]..edges[1]).map(|l| (2 * l + 1) as f64 * f(l)).sum::<f64>();
                    let scale = of(&|l| c(*i, *i, l)).sqrt() * of(&|l| c(*j, *j, l)).sqrt();
                    bands[[sky, b]] = 1.0 + (of(&|l| measured[l]) - of(&|l| c(*i, *j, l))) / scale;
                }
            }
        }

        let mut table = Table::new("skies", ["first", "last", "auto", "error", "cross", "error"], world.is_root());
        let mut worst = [0f64; 2];
        for ([i, j], bands) in pairs.iter().zip(&bands) {
            for b in 0..MANY {
                let [mean, error] = mean_and_error(&bands.column(b).to_vec());
                let off = ((mean - 1.0) / error).abs();
                worst = [worst[0].max((mean - 1.0).abs()), worst[1].max(off)];
                assert!(off < 4.0 || (mean - 1.0).abs() < 0.01, "shells {i} and {j}, band {b}: {mean} ± {error}");
            }
        }
        println!(
            "{} spectra in {MANY} bands: off by up to {:.4} of √(C_ii C_jj), {:.1} standard errors",
            pairs.len(),
            worst[0],
            worst[1]
        );
        let over = |wanted: &dyn Fn(&[usize; 2]) -> bool| {
            let some: Vec<_> =
                pairs.iter().zip(&bands).filter(|(pair, _)| wanted(pair)).map(|(_, bands)| bands).collect();
            some.iter().fold(Array2::zeros([SKIES, MANY]), |sum: Array2<f64>, bands| sum + *bands) / some.len() as f64
        };
        let means = [over(&|[i, j]| i == j), over(&|[i, j]| i != j)];
        for (b, edges) in BANDS.windows(2).enumerate() {
            let [auto, cross] = means.each_ref().map(|all| mean_and_error(&all.column(b).to_vec()));
            println!(
                "ℓ {} to {}: {:.4} ± {:.4}, {:.4} ± {:.4}",
                edges[0],
                edges[1] - 1,
                auto[0],
                auto[1],
                cross[0],
                cross[1]
            );
            table.row([edges[0] as f64, edges[1] as f64, auto[0], auto[1], cross[0], cross[1]]);
        }
        for (what, all) in ["spectra", "cross spectra"].iter().zip(&means) {
            let p = p_value(all, 1.0);
            println!("mean over {what}: p = {p:.3}");
            assert!(p > 0.01, "{what}: {p}");
        }
        uniform.sort_by(f64::total_cmp);
        let p = ks_p_value(uniform.len(), ks_distance(&uniform));
        println!("{} pixels, Kolmogorov–Smirnov: p = {p:.3}", uniform.len());
        assert!(p > 0.01, "{p}");
        // ⟨δ²⟩ and ⟨δ³⟩, means over shells: w = exp σ² − 1 has λ² w and λ³ w² (3 + w).
        let expected = [1, 2].map(|n| {
            let of = |k: usize| shells.variance(k).exp_m1();
            (0..SHELLS).map(|k| if n == 1 { of(k) } else { of(k).powi(2) * (3.0 + of(k)) }).sum::<f64>() / SHELLS as f64
        });
        let found = [1, 2].map(|n| mean_and_error(&moments[n]));
        for ((what, [mean, error]), expected) in ["second", "third"].iter().zip(found).zip(expected) {
            println!("{what} moment over that of a lognormal: {:.4} ± {:.4}", mean / expected, error / expected);
            assert!(
                (mean - expected).abs() < 4.0 * error || (mean / expected - 1.0).abs() < 0.01,
                "{what}: {mean} {expected}"
            );
        }
        let lowest = -world.max_of(-lowest);
        println!("the lowest δ is {lowest:.4}, the shift {SHIFT}");
        assert!(lowest > -SHIFT, "{lowest}");
    });
}
