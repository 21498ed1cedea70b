//! In-line statistics against closed forms, brute force and themselves on other numbers of ranks.

mod mpi;

use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, CosmologyConfig, Growth};
use polycosm::fields::bispectrum::{Bispectrum, Triangles};
use polycosm::fields::cross::measure_cross;
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::multipoles::{Multipoles, measure_multipoles};
use polycosm::fields::noise::white_noise;
use polycosm::fields::primordial::fit_local_f_nl;
use polycosm::fields::shells::Shells;
use polycosm::fields::spectrum::{Spectrum, measure};
use polycosm::gravity::{Factors, Integrator, LptGrowth, lagrangian_particles};
use polycosm::mesh::{Decomposition, Fft, Halo, Modes, Transform};
use polycosm::observables::*;
use polycosm::particles::{Domain, Particles, Points, wrap};
use std::f64::consts::TAU;

const RANKS: &[usize] = &[1, 2, 3, 4];
/// Side of the box in Mpc/h.
const L: f64 = 500.0;

/// What was measured, once: `cargo test --release --test statistics -- --nocapture` shows it.
fn say(comm: &Comm, what: std::fmt::Arguments) {
    if comm.is_root() {
        println!("{what}");
    }
}

fn planck() -> Cosmology {
    let config = CosmologyConfig {
        omega_m: Some(0.3089),
        omega_b: Some(0.0486),
        h: Some(0.6774),
        n_s: Some(0.9667),
        sigma8: Some(0.8159),
        ..Default::default()
    };
    config.resolve(&[]).unwrap()
}

/// A smooth spectrum in (Mpc/h)³.
fn power(k: f64) -> f64 {
    2e4 * (k / 0.02) / (1.0 + (k / 0.02).powi(2)).powf(1.3)
}

/// Gaussian modes of [`power`], as a forward transform would leave them.
fn gaussian(comm: &Comm, n: usize, realisation: u64, fixed: bool) -> Modes<f64> {
    gaussian_of(comm, n, realisation, fixed, power)
}

/// Gaussian modes of any spectrum.
fn gaussian_of(comm: &Comm, n: usize, realisation: u64, fixed: bool, power: impl Fn(f64) -> f64) -> Modes<f64> {
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut noise = white_noise::<f64>(&d, 5, realisation);
    let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
    let mut modes = linear_modes(&mut fft, &mut noise, L, power, fixed, false);
    modes.data_mut().iter_mut().for_each(|c| *c *= d.volume() as f64);
    modes
}

/// Equal to rounding.
fn close(a: &[f64], b: &[f64], tolerance: f64) {
    let scale = b.iter().fold(0f64, |m, x| m.max(x.abs()));
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * scale, "{x} is not {y} (largest {scale})");
    }
}

/// Modes with (b + ½) ≤ |n| < (b + 3/2), counted one by one.
fn counted(bins: usize) -> Vec<u64> {
    let (reach, mut count) = (bins as i64 + 2, vec![0; bins]);
    let axis = || -reach..=reach;
    for m2 in axis().flat_map(|a| axis().flat_map(move |b| axis().map(move |c| a * a + b * b + c * c))) {
        // |n| ≥ b + ½ ⇔ 4 |n|² ≥ (2b + 1)²
        let bin = (0..bins as i64).find(|b| 4 * m2 >= (2 * b + 1).pow(2) && 4 * m2 < (2 * b + 3).pow(2));
        bin.into_iter().for_each(|b| count[b as usize] += 1);
    }
    count
}

#[test]
fn spectra_of_gaussian_fields_are_those_planted() {
    mpi::on_ranks("spectra_of_gaussian_fields_are_those_planted", RANKS, |comm| {
        let n = 48;
        let isotropic = measure(&mut gaussian(comm, n, 0, false), L, 0, 0.0, comm);
        assert_eq!(isotropic.modes, counted(Spectrum::bins(n)));
        let chi2 = |values: &dyn Fn(usize) -> f64, l: usize| {
            let bins = isotropic.k.len();
            let z = |b: usize| values(b) / ((2 * l + 1) as f64 * 2.0 / isotropic.modes[b] as f64).sqrt();
            (0..bins).map(|b| z(b).powi(2)).sum::<f64>() / bins as f64
        };
        let mut shown = vec![chi2(&|b| isotropic.power[b] / power(isotropic.k[b]) - 1.0, 0)];
        for axis in 0..3 {
            let poles = measure_multipoles(&mut gaussian(comm, n, 0, false), L, axis, 0, 0.0, comm);
            close(&poles.power[0], &isotropic.power, 1e-12);
            assert_eq!(poles.modes, isotropic.modes);
            shown.extend([1, 2].map(|i| chi2(&|b| poles.power[i][b] / power(poles.k[b]), 2 * i)));
        }
        say(comm, format_args!("{} ranks: chi²/bin of P, then P2 and P4 along x, y, z: {shown:.2?}", comm.size()));
        // 23 bins: the 99.9 % range of the mean chi² is about 0.35 to 2.1.
        assert!(shown.iter().all(|x| (0.3..2.2).contains(x)), "{shown:?}");
        let alone = measure(&mut gaussian(&comm.alone(), n, 0, false), L, 0, 0.0, &comm.alone());
        assert_eq!(isotropic.modes, alone.modes);
        close(&isotropic.power, &alone.power, 1e-12);
    });
}

/// P_ℓ/P of (1 + β μ²)² (Kaiser 1987; Hamilton 1992).
fn kaiser(b: f64) -> [f64; 3] {
    [1.0 + 2.0 / 3.0 * b + b * b / 5.0, 4.0 / 3.0 * b + 4.0 / 7.0 * b * b, 8.0 / 35.0 * b * b]
}

/// The modes of a fixed field times 1 + β μ².
fn anisotropic(comm: &Comm, n: usize, beta: f64, axis: usize) -> Modes<f64> {
    let mut modes = gaussian(comm, n, 1, true);
    modes.for_each(|m, c| {
        let m2: i64 = m.iter().map(|i| i * i).sum();
        *c *= 1.0 + beta * (m[axis] * m[axis]) as f64 / m2.max(1) as f64;
    });
    modes
}

#[test]
fn planted_anisotropy_has_kaisers_multipoles() {
    mpi::on_ranks("planted_anisotropy_has_kaisers_multipoles", RANKS, |comm| {
        let (n, beta) = (64, 0.55);
        let isotropic = measure(&mut gaussian(comm, n, 1, true), L, 0, 0.0, comm);
        for axis in 0..3 {
            let poles = measure_multipoles(&mut anisotropic(comm, n, beta, axis), L, axis, 0, 0.0, comm);
            // A bin's few directions do not sample the polynomials evenly; all bins together do.
            let bins = 7..poles.k.len();
            let count: u64 = poles.modes[bins.clone()].iter().sum();
            let mean = |l: usize| {
                let ratio = |b: usize| poles.modes[b] as f64 * poles.power[l][b] / isotropic.power[b];
                bins.clone().map(ratio).sum::<f64>() / count as f64
            };
            let off: [f64; 3] = std::array::from_fn(|l| mean(l) - kaiser(beta)[l]);
            say(comm, format_args!("axis {axis}: P_l/P - Kaiser = {off:.5?} in {count} modes"));
            assert!(off[0].abs() < 5e-4 && off[1].abs() < 2e-3 && off[2].abs() < 5e-3, "{off:?}");
            // One bin, mode by mode.
            let (b, mut sum, mut all) = (4, [0f64; 3], 0f64);
            let reach = || -6i64..=6;
            for m in reach().flat_map(|x| reach().flat_map(move |y| reach().map(move |z| [x, y, z]))) {
                let m2: i64 = m.iter().map(|i| i * i).sum();
                if 4 * m2 >= 81 && 4 * m2 < 121 {
                    let (mu2, p) = ((m[axis] * m[axis]) as f64 / m2 as f64, power((m2 as f64).sqrt() * TAU / L));
                    let l = [1.0, 2.5 * (3.0 * mu2 - 1.0), 1.125 * (35.0 * mu2 * mu2 - 30.0 * mu2 + 3.0)];
                    (0..3).for_each(|i| sum[i] += l[i] * p * (1.0 + beta * mu2).powi(2));
                    all += 1.0;
                }
            }
            assert_eq!(all as u64, poles.modes[b]);
            (0..3).for_each(|l| close(&[poles.power[l][b]], &[sum[l] / all], 1e-10));
        }
    });
}

/// Zel'dovich particles of tiny displacements at `a`, where everything is linear.
fn linear_particles(comm: &Comm, n: usize, a: f64) -> (Particles<f64>, f64) {
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut noise = white_noise::<f64>(&d, 5, 2);
    let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
    let delta = linear_modes(&mut fft, &mut noise, L, |k| 1e-8 * power(k), true, false);
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let start = LptGrowth::at(&factors, a);
    (lagrangian_particles(&mut fft, &delta, L, Gradient::Spectral, 1, &start, false), growth.f1(a))
}

/// Multipoles of linear particles in redshift space, and those of a field planted with Kaiser's factor. A mesh far finer
/// than the particles' lattice: what its harmonics fold back onto the waves grows as (k h)².
fn redshift_space(comm: &Comm, axis: LineOfSight) -> [Multipoles; 2] {
    let (n, a) = (16, 0.6);
    let (mut particles, f) = linear_particles(comm, n, a);
    // Off the mesh's points, where the cloud's weights have kinks.
    particles.position.iter_mut().for_each(|x| *x = x.map(|x| wrap(x + L / n as f64 / 20.0, L)));
    let d = Decomposition::new(comm, [6 * n; 3], None).unwrap();
    let config = MultipoleConfig { axis, ..MultipoleConfig::default() };
    let (space, points) = (RedshiftSpace::of_momenta(&planck(), a), Points::equal(&particles.position));
    let poles = MultipoleMeter::<f64>::new(&d, L).measure(&config, points, &particles.momentum, space);
    let planted = |&axis: &usize| measure_multipoles(&mut anisotropic(comm, n, f, axis), L, axis, 0, 0.0, comm);
    let planted: Vec<Multipoles> = axis.axes().iter().map(planted).collect();
    [poles, Multipoles::mean(&planted).unwrap()]
}

#[test]
fn linear_velocities_have_kaisers_multipoles() {
    mpi::on_ranks("linear_velocities_have_kaisers_multipoles", RANKS, |comm| {
        for axis in [LineOfSight::X, LineOfSight::Y, LineOfSight::Z, LineOfSight::All] {
            let [poles, planted] = redshift_space(comm, axis);
            let growth = 1e-8 * Growth::new(&planck()).d1(0.6).powi(2);
            let mut worst = [0f64; 3];
            for b in 0..6 {
                let off = |l: usize| (poles.power[l][b] / growth - planted.power[l][b]) / planted.power[0][b];
                (0..3).for_each(|l| worst[l] = worst[l].max(off(l).abs()));
            }
            say(comm, format_args!("{} ranks, {axis:?}: |P_l - planted| / P_0 <= {worst:.5?}", comm.size()));
            assert!(worst.iter().all(|w| *w < 6e-3), "{worst:?}");
            let [alone, _] = redshift_space(&comm.alone(), axis);
            assert_eq!(alone.modes, poles.modes);
            // Below the lattice's own harmonics.
            (0..3).for_each(|l| close(&poles.power[l][..12], &alone.power[l][..12], 1e-9));
        }
        // Velocities in km/s displace as momenta do: v = 100 p / a.
        let space = [RedshiftSpace::of_momenta(&planck(), 0.6), RedshiftSpace::of_velocities(&planck(), 0.6)];
        let (p, v) = ([[0.0, 0.0, 3.0]], [[0.0, 0.0, 300.0 / 0.6]]);
        let [s, t] = [space[0].displaced(&[[1.0; 3]], &p, 2, L), space[1].displaced(&[[1.0; 3]], &v, 2, L)];
        close(&s[0], &t[0], 1e-14);
        close(&s[0], &[1.0, 1.0, 1.0 + 3.0 / (0.36 * planck().e(0.6))], 1e-14);
    });
}

#[test]
fn cross_spectra_know_what_is_shared() {
    mpi::on_ranks("cross_spectra_know_what_is_shared", RANKS, |comm| {
        let n = 48;
        let (a, b) = (gaussian(comm, n, 3, false), gaussian(comm, n, 4, false));
        let itself = measure_cross(&mut gaussian(comm, n, 3, false), &a, L, 0, [0.0; 2], comm);
        assert!(itself.correlation().iter().all(|r| (r - 1.0).abs() < 1e-12));
        let other = measure_cross(&mut gaussian(comm, n, 3, false), &b, L, 0, [0.0; 2], comm);
        // r of independent fields has variance 1/(N/2 independent modes) × ½.
        let z: Vec<f64> = other.correlation().iter().zip(&other.modes).map(|(r, &m)| r * (m as f64).sqrt()).collect();
        let chi2 = z.iter().map(|z| z * z).sum::<f64>() / z.len() as f64;
        say(comm, format_args!("independent fields: chi² of r(k) per bin {chi2:.2}"));
        assert!((0.3..2.2).contains(&chi2));
        // a + b shares half its power with a: r = 1/√2.
        let mut sum = gaussian(comm, n, 3, false);
        sum.data_mut().iter_mut().zip(b.data()).for_each(|(s, b)| *s += b);
        let half = measure_cross(&mut sum, &a, L, 0, [0.0; 2], comm);
        let (weights, r) = (&half.modes[5..], &half.correlation()[5..]);
        let mean = r.iter().zip(weights).map(|(r, &m)| r * m as f64).sum::<f64>() / weights.iter().sum::<u64>() as f64;
        assert!((mean - 0.5f64.sqrt()).abs() < 0.01, "r = {mean}");
    });
}

/// Points of two lists drawn alike on any ranks: each rank keeps those over its block.
fn random_points(comm: &Comm, d: &Decomposition, list: u64, count: usize) -> (Vec<[f64; 3]>, Vec<f64>) {
    use rand::Rng;
    let mut rng = polycosm::rng::stream(9, 0, "points", list);
    let all: Vec<[f64; 4]> = (0..count).map(|_| rng.random()).collect();
    // As they come, spread over the ranks; then each to its rank.
    let mine = all.iter().skip(comm.rank()).step_by(comm.size());
    let (x, w): (Vec<[f64; 3]>, Vec<f64>) = mine.map(|p| ([p[0] * L, p[1] * L, p[2] * L], 0.5 + p[3])).unzip();
    let (x, w) = Domain::new(d, L).send_home(comm, x, Some(w));
    (x, w.unwrap())
}

#[test]
fn weighted_points_have_their_shot_noise() {
    mpi::on_ranks("weighted_points_have_their_shot_noise", RANKS, |comm| {
        let spectra = |comm: &Comm| {
            let d = Decomposition::new(comm, [32; 3], None).unwrap();
            let ((x, w), (y, _)) = (random_points(comm, &d, 0, 5000), random_points(comm, &d, 1, 3000));
            let (a, b) = (Points { position: &x, weight: Some(&w) }, Points::equal(&y));
            let config = PowerConfig { subtract_shot_noise: false, ..Default::default() };
            let cross = PowerMeter::<f64>::new(&d, L).measure_cross(&config, a, b);
            let meter = DensityMeter::<f64>::new(&d, L);
            (cross, [meter.shot_noise(a), meter.shot_noise(b)])
        };
        let (cross, noise) = spectra(comm);
        // ⟨w²⟩/⟨w⟩² of weights uniform in ½ … 3/2 is 13/12.
        close(&noise, &[L.powi(3) / 5000.0 * 13.0 / 12.0, L.powi(3) / 3000.0], 0.01);
        let mean = |p: &[f64]| {
            let sum = |f: &dyn Fn(usize) -> f64| (0..10).map(|b| cross.modes[b] as f64 * f(b)).sum::<f64>();
            sum(&|b| p[b]) / sum(&|_| 1.0)
        };
        let ratio = [mean(&cross.auto[0]) / noise[0], mean(&cross.auto[1]) / noise[1]];
        let r = mean(&cross.correlation());
        say(comm, format_args!("Poisson points: P/shot noise {ratio:.3?}, r = {r:.4}"));
        assert!(ratio.iter().all(|x| (x - 1.0).abs() < 0.1) && r.abs() < 0.05);
        let (alone, _) = spectra(&comm.alone());
        assert_eq!(cross.modes, alone.modes);
        close(&cross.cross, &alone.cross, 1e-10);
        close(&cross.auto[0], &alone.auto[0], 1e-10);
    });
}

/// The modes of g + c (g² − ⟨g²⟩), from modes without any above a third of the sampling frequency, whose square has no
/// aliases below it.
fn squared(comm: &Comm, mut g: Modes<f64>, c: f64) -> Modes<f64> {
    let n = g.shape()[0];
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
    let mut mesh = fft.mesh();
    fft.inverse(&mut g, &mut mesh);
    let len = mesh.block().len;
    for (i, j) in (0..len[0]).flat_map(|i| (0..len[1]).map(move |j| (i, j))) {
        mesh.row_mut(i, j).iter_mut().for_each(|x| {
            let g = *x / d.volume() as f64;
            *x = g + c * g * g;
        });
    }
    let mut modes = fft.modes();
    fft.forward(&mut mesh, &mut modes);
    modes.for_each(|m, c| {
        if m == [0; 3] {
            *c *= 0.0;
        }
    });
    modes
}

fn triangles(comm: &Comm, n: usize, width: f64, list: fn(&Shells) -> Vec<[usize; 3]>) -> Triangles {
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let shells = Shells::new(n, L, width, TAU / L * n as f64 / 3.0).unwrap();
    let list = list(&shells);
    Triangles::new(&d, L, shells, list).unwrap()
}

/// A spectrum with nothing above a third of the sampling frequency of an n³ mesh.
fn cut(n: usize, power: impl Fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |k| if k < 0.999 * TAU / L * n as f64 / 3.0 { power(k) } else { 0.0 }
}

#[test]
fn bispectrum_equals_the_sum_over_triangles() {
    mpi::on_ranks("bispectrum_equals_the_sum_over_triangles", RANKS, |comm| {
        let (n, c) = (16, 0.02);
        let field = |comm: &Comm| squared(comm, gaussian_of(comm, n, 6, false, cut(n, power)), c);
        let all = triangles(comm, n, 1.0, Shells::all);
        let measured = all.measure(&mut field(comm), 0, 0.0);
        let template = all.template(power, |k| 2.0 * c / k);
        // Every mode of the full space in a shell, from one rank's whole field.
        let mut modes = std::collections::HashMap::new();
        field(&comm.alone()).for_each(|m, c| {
            if all.shells().of(m.iter().map(|i| i * i).sum()).is_some() {
                modes.insert(m, *c);
                modes.insert(m.map(|i| -i), c.conj());
            }
        });
        let shell = |m: &[i64; 3]| all.shells().of(m.iter().map(|i| i * i).sum());
        let k = |m: &[i64; 3]| (m.iter().map(|i| i * i).sum::<i64>() as f64).sqrt() * TAU / L;
        let mut sums = vec![(0u64, 0f64, 0f64); all.list().len()];
        for (m1, c1) in &modes {
            for (m2, c2) in &modes {
                let m3 = [0, 1, 2].map(|i| -m1[i] - m2[i]);
                let (Some(c3), Some(a), Some(b)) = (modes.get(&m3), shell(m1), shell(m2)) else { continue };
                let Some(at) = all.list().iter().position(|t| Some(t[2]) == shell(&m3) && t[..2] == [a, b]) else {
                    continue;
                };
                let ([p1, p2, p3], [b1, b2, b3]) =
                    ([m1, m2, &m3].map(|m| power(k(m))), [m1, m2, &m3].map(|m| 2.0 * c / k(m)));
                sums[at].0 += 1;
                sums[at].1 += (c1 * c2 * c3).re;
                sums[at].2 += p1 * p2 * b3 + p1 * b2 * p3 + b1 * p2 * p3;
            }
        }
        let volume = (n as f64).powi(3);
        let brute: Vec<f64> = sums.iter().map(|s| L.powi(6) * s.1 / s.0 as f64 / volume.powi(3)).collect();
        let counts: Vec<u64> = sums.iter().map(|s| s.0).collect();
        say(
            comm,
            format_args!(
                "{} kinds of triangles of {} shells, {} in all",
                counts.len(),
                all.shells().count(),
                counts.iter().sum::<u64>()
            ),
        );
        assert_eq!(all.count(), counts);
        assert!(counts.iter().all(|c| *c > 0));
        close(&measured.bispectrum, &brute, 1e-10);
        close(&template, &sums.iter().map(|s| s.2 / s.0 as f64).collect::<Vec<_>>(), 1e-10);
        for (at, t) in all.list().iter().enumerate() {
            let [p, q, r] = measured.power[at];
            close(&[measured.reduced[at]], &[brute[at] / (p * q + q * r + r * p)], 1e-6);
            assert!((0..3).all(|i| (measured.k[at][i] - all.shells().middle(t[i])).abs() < TAU / L / 2.0));
        }
    });
}

#[test]
fn bispectrum_of_a_squared_field_is_tree_level() {
    mpi::on_ranks("bispectrum_of_a_squared_field_is_tree_level", &[2], |comm| {
        let (n, c, universes) = (32, 1e-3, 24);
        let all = triangles(comm, n, 2.0, Shells::all);
        let expected = all.template(cut(n, power), |_| 2.0 * c);
        let variance = all.gaussian_variance(|b| power(all.shells().middle(b)));
        let (mut sum, mut chi2) = (vec![0f64; expected.len()], 0.0);
        for i in 0..universes {
            // Half the difference of both signs: what is odd in c.
            let of = |c: f64| all.measure(&mut squared(comm, gaussian_of(comm, n, i, false, cut(n, power)), c), 0, 0.0);
            let (plus, minus) = (of(c).bispectrum, of(-c).bispectrum);
            sum.iter_mut().zip(plus.iter().zip(&minus)).for_each(|(s, (p, m))| *s += (p - m) / 2.0 / universes as f64);
            // What is even in c is the Gaussian field's own.
            let gaussian = plus.iter().zip(&minus).zip(&variance).map(|((p, m), v)| (0.5 * (p + m)).powi(2) / v);
            chi2 += gaussian.sum::<f64>() / (universes as f64 * variance.len() as f64);
        }
        let ratio: Vec<f64> = sum.iter().zip(&expected).map(|(s, e)| s / e).collect();
        let weight: Vec<f64> = all.count().iter().map(|&c| (c as f64).sqrt()).collect();
        let mean = ratio.iter().zip(&weight).map(|(r, w)| r * w).sum::<f64>() / weight.iter().sum::<f64>();
        say(comm, format_args!("B over tree level: mean {mean:.4}, each {ratio:.3?}; chi² of a Gaussian B {chi2:.2}"));
        assert!((mean - 1.0).abs() < 0.05 && ratio.iter().all(|r| (r - 1.0).abs() < 0.2), "{mean} {ratio:?}");
        assert!((0.7..1.4).contains(&chi2), "{chi2}");
    });
}

/// A toy of linear theory: δ = M Φ with M = 4e4 k² / (1 + (k/0.02)²)^0.9 and a scale-invariant P_φ.
fn transfer(k: f64) -> f64 {
    4e4 * k * k / (1.0 + (k / 0.02).powi(2)).powf(0.9)
}

fn potential(k: f64) -> f64 {
    2e-8 / k.powi(3)
}

#[test]
fn squeezed_triangles_recover_f_nl() {
    mpi::on_ranks("squeezed_triangles_recover_f_nl", &[4], |comm| {
        let (n, planted, universes) = (32, 500.0, 16);
        let all = triangles(comm, n, 1.0, |shells| (0..2).flat_map(|long| shells.squeezed(long, 2.0)).collect());
        let fit = |i: u64, f_nl: f64| {
            let mut delta = squared(comm, gaussian_of(comm, n, i, false, cut(n, potential)), f_nl);
            delta.for_each(|m, c| *c *= transfer((m.iter().map(|i| i * i).sum::<i64>() as f64).sqrt() * TAU / L));
            fit_local_f_nl(&all, &all.measure(&mut delta, 0, 0.0), transfer, potential, 0.0)
        };
        let (mut response, mut chi2, mut sigma) = (0.0, 0.0, 0.0);
        for i in 0..universes {
            let (zero, plus, minus) = (fit(i, 0.0), fit(i, planted), fit(i, -planted));
            response += (plus.f_nl - minus.f_nl) / (2.0 * planted) / universes as f64;
            chi2 += (zero.f_nl / zero.sigma).powi(2) / universes as f64;
            sigma = zero.sigma;
        }
        say(
            comm,
            format_args!("f_NL found over planted {response:.3}; without any, chi² {chi2:.2} with sigma {sigma:.0}"),
        );
        assert!((response - 1.0).abs() < 0.15, "{response}");
        assert!((0.3..2.2).contains(&chi2), "{chi2}");
    });
}

#[test]
fn poisson_points_have_the_bispectrum_of_noise() {
    mpi::on_ranks("poisson_points_have_the_bispectrum_of_noise", RANKS, |comm| {
        let bispectra = |comm: &Comm, subtract_shot_noise: bool| {
            let d = Decomposition::new(comm, [32; 3], None).unwrap();
            let (x, _) = random_points(comm, &d, 0, 2000);
            let configurations = vec![Configuration::All];
            let config = BispectrumConfig { subtract_shot_noise, configurations, ..Default::default() };
            let mut meter = BispectrumMeter::<f64>::new(&d, L, &config).unwrap();
            let sigma = meter.triangles().gaussian_variance(|_| L.powi(3) / 2000.0);
            (meter.measure(&x), sigma.iter().map(|v| v.sqrt()).collect::<Vec<_>>())
        };
        let [(noisy, sigma), (clean, _)] = [false, true].map(|subtract| bispectra(comm, subtract));
        let s2 = (L.powi(3) / 2000.0).powi(2);
        let chi2 = |b: &Bispectrum, mean: f64| {
            let z = b.bispectrum.iter().zip(&sigma).map(|(b, s)| ((b - mean) / s).powi(2));
            z.sum::<f64>() / sigma.len() as f64
        };
        let shown = [chi2(&noisy, s2), chi2(&clean, 0.0), chi2(&noisy, 0.0)];
        say(
            comm,
            format_args!(
                "{} ranks: chi² of noise about s², of the rest about 0, of noise about 0: {shown:.2?}",
                comm.size()
            ),
        );
        assert!(shown[0] < 2.0 && shown[1] < 2.0 && shown[2] > 5.0, "{shown:?}");
        let (alone, _) = bispectra(&comm.alone(), true);
        assert_eq!(alone.triangles, clean.triangles);
        close(&clean.bispectrum, &alone.bispectrum, 1e-8);
    });
}

#[test]
fn impossible_bispectra_are_refused() {
    let base = BispectrumConfig::default();
    assert!(base.check(64, L).is_ok());
    let nyquist = TAU / 2.0 * 64.0 / L;
    let bad = [
        BispectrumConfig { k_max: Some(0.7 * nyquist), ..base.clone() },
        BispectrumConfig { k_max: Some(0.001), ..base.clone() },
        BispectrumConfig { bin_width: 0.5, ..base.clone() },
        BispectrumConfig { configurations: vec![], ..base.clone() },
        BispectrumConfig { configurations: vec![Configuration::Squeezed], k_long: Some(1.0), ..base.clone() },
        BispectrumConfig { configurations: vec![Configuration::Squeezed], squeezing: 50.0, ..base.clone() },
        BispectrumConfig { triangles: vec![[0.05, 0.05, 0.2]], ..base.clone() },
        BispectrumConfig { triangles: vec![[0.05, 0.05, 3.0]], ..base.clone() },
    ];
    for config in bad {
        let error = config.check(64, L).unwrap_err();
        assert!(error.key.is_some() && error.remedy.is_some() && error.exit_code() == 2, "{error}");
    }
}
