//! In-line statistics against closed forms, brute force and themselves on other numbers of ranks.

mod common;
mod measured;
mod mpi;
#[path = "statistics/primordial.rs"]
mod primordial;

use common::{planck, say};
use polycosm::comm::Comm;
use polycosm::cosmology::Growth;
use polycosm::fields::bins::{Bins, Spacing};
use polycosm::fields::bispectrum::{Bispectrum, Triangles};
use polycosm::fields::cross::measure_cross;
use polycosm::fields::flat_sky::{AngularConfig, FlatSky, Map};
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::multipoles::{Multipoles, measure_multipoles};
use polycosm::fields::noise::white_noise;
use polycosm::fields::one_point::{Filter, one_point, smooth};
use polycosm::fields::peaks::{PeakConfig, PeakHeight, local_maxima};
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
            assert!(off.iter().all(|off| off.abs() < 1e-3), "{off:?}");
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

/// Multipoles of linear particles in redshift space, and those of a field planted with Kaiser's factor. A mesh far
/// finer than the particles' lattice: what its harmonics fold back onto the waves grows as (k h)².
fn redshift_space(comm: &Comm, axis: LineOfSight) -> [Multipoles; 2] {
    let (n, a) = (16, 0.6);
    let (mut particles, f) = linear_particles(comm, n, a);
    // Off the mesh's points, where the cloud's weights have kinks.
    particles.position.iter_mut().for_each(|x| *x = x.map(|x| wrap(x + L / n as f64 / 20.0, L)));
    let d = Decomposition::new(comm, [6 * n; 3], None).unwrap();
    let config = MultipoleConfig { axis, ..MultipoleConfig::default() };
    let (space, points) = (RedshiftSpace::of_momenta(&planck(), a), Points::equal(&particles.position));
    let poles = MultipoleMeter::<f64>::new(&d, L).measure(&config, points, &particles.momentum, space);
    let planted = |axis: usize| measure_multipoles(&mut anisotropic(comm, n, f, axis), L, axis, 0, 0.0, comm);
    let (first, others) = axis.axes();
    let others: Vec<Multipoles> = others.iter().map(|&axis| planted(axis)).collect();
    [poles, Multipoles::mean(planted(first), &others)]
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
        // A list without a single point.
        let d = Decomposition::new(comm, [32; 3], None).unwrap();
        let config = PowerConfig { subtract_shot_noise: true, ..Default::default() };
        let none = Points::equal(&[]);
        let empty = PowerMeter::<f64>::new(&d, L).measure_cross(&config, none, none);
        assert!(empty.cross.iter().chain(&empty.auto[0]).all(|p| *p == 0.0));
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
        // In single precision.
        let d = Decomposition::new(comm, [32; 3], None).unwrap();
        let (x, _) = random_points(comm, &d, 0, 2000);
        let single: Vec<[f32; 3]> = x.iter().map(|x| x.map(|x| wrap(x as f32, L as f32))).collect();
        let single = Domain::new(&d, L).send_home(comm, single, None).0;
        let config = BispectrumConfig { configurations: vec![Configuration::All], ..Default::default() };
        let single = BispectrumMeter::<f32>::new(&d, L, &config).unwrap().measure(&single);
        assert_eq!(single.triangles, noisy.triangles);
        close(&single.bispectrum, &noisy.bispectrum, 1e-3);
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

/// White noise of unit variance on a map.
fn white_map(pixels: usize, realisation: u64) -> Vec<f64> {
    use rand_distr::{Distribution, StandardNormal};
    let rng = polycosm::rng::stream(5, realisation, "map", 0);
    StandardNormal.sample_iter(rng).take(pixels * pixels).collect()
}

#[test]
fn flat_sky_spectra_are_those_planted() {
    mpi::on_ranks("flat_sky_spectra_are_those_planted", RANKS, |comm| {
        let (pixels, side) = (128, 10.0);
        let mut sky = FlatSky::new(pixels, side).unwrap();
        let config = AngularConfig { bins: 12, spacing: Spacing::Linear, ..Default::default() };
        let bins = config.ell_bins(pixels, side).unwrap();
        let law = |ell: f64| 1e-9 * (ell / 500.0).powf(-1.2);
        let plant = |sky: &mut FlatSky, i: u64| {
            // Unit white noise has C_l = p².
            let p = sky.pixel();
            sky.filtered(&white_map(pixels, i), |l| if l > 0.0 { law(l).sqrt() / p } else { 0.0 }).unwrap()
        };
        let whole = |values| Map { values, mask: None };
        let (a, b) = (plant(&mut sky, 0), plant(&mut sky, 1));
        let auto = sky.c_ell(&bins, whole(&a), None, false).unwrap();
        let cross = sky.c_ell(&bins, whole(&a), Some(whole(&b)), false).unwrap();
        // The modes of the plane, one by one.
        let half = pixels as i64 / 2;
        let ell = |i: i64, j: i64| TAU / side.to_radians() * ((i * i + j * j) as f64).sqrt();
        let plane = || (-half..half).flat_map(|i| (-half..half).map(move |j| (i, j)));
        assert_eq!(auto.modes, bins.histogram(plane().map(|(i, j)| ell(i, j))));
        let mut planted = vec![0f64; bins.count()];
        plane().for_each(|(i, j)| bins.of(ell(i, j)).into_iter().for_each(|b| planted[b] += law(ell(i, j))));
        planted.iter_mut().zip(&auto.modes).for_each(|(p, &n)| *p /= n as f64);
        let z = |c: &[f64], mean: f64, factor: f64| -> f64 {
            let one = |b: usize| (c[b] / planted[b] - mean).powi(2) * auto.modes[b] as f64 / factor;
            (0..c.len()).map(one).sum::<f64>() / c.len() as f64
        };
        let chi2 = [z(&auto.c_ell, 1.0, 2.0), z(&cross.c_ell, 0.0, 1.0)];
        // A sum of maps has both spectra and twice the cross spectrum, exactly.
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let [of_sum, of_b] = [&sum, &b].map(|m| sky.c_ell(&bins, whole(m), None, false).unwrap().c_ell);
        let parts: Vec<f64> = (0..bins.count()).map(|i| auto.c_ell[i] + of_b[i] + 2.0 * cross.c_ell[i]).collect();
        close(&of_sum, &parts, 1e-12);
        if comm.is_root() {
            println!("C_l of planted maps: chi² per bin {:.2}, of two independent maps {:.2}", chi2[0], chi2[1]);
        }
        assert!(chi2.iter().all(|x| (0.2..2.7).contains(x)), "{chi2:?}");
        // Averaging 4 × 4 pixels makes the coarser map's window of the finer one's, up to aliases: few in a steep
        // spectrum.
        let steep = sky.filtered(&a, |l| (-0.5 * (l / 200.0).powi(2)).exp()).unwrap();
        let coarse: Vec<f64> = (0..32 * 32)
            .map(|i| (0..16).map(|s| steep[(i / 32 * 4 + s / 4) * pixels + i % 32 * 4 + s % 4]).sum::<f64>() / 16.0)
            .collect();
        let few = Bins::new("test", Spacing::Linear, 30.0, 510.0, 6).unwrap();
        let [raw, fine] = [false, true].map(|window| sky.c_ell(&few, whole(&steep), None, window).unwrap().c_ell);
        let mut sky = FlatSky::new(32, side).unwrap();
        let [bare, whole] = [false, true].map(|window| sky.c_ell(&few, whole(&coarse), None, window).unwrap());
        let off = [bare.c_ell[5] / raw[5] - 1.0, whole.c_ell[5] / fine[5] - 1.0];
        if comm.is_root() {
            println!(
                "C_l of a coarser map, at {:.0}: off by {:.3}, window divided out by {:.4}",
                bare.ell[5], off[0], off[1]
            );
        }
        assert!(off[0] < -0.15 && off[1].abs() < 0.02, "{off:?}");
    });
}

#[test]
fn masked_maps_are_corrected_for_the_sky_they_lack() {
    mpi::on_ranks("masked_maps_are_corrected_for_the_sky_they_lack", &[2], |comm| {
        let (pixels, side, maps) = (64, 5.0, 40);
        let mut sky = FlatSky::new(pixels, side).unwrap();
        let bins = Bins::new("test", Spacing::Linear, 300.0, 2300.0, 4).unwrap();
        let mask: Vec<f64> = (0..pixels * pixels).map(|i| (i % pixels > 20 && i / pixels > 10) as u8 as f64).collect();
        let white = sky.pixel().powi(2);
        let mut mean = vec![0f64; bins.count()];
        for i in 0..maps {
            let mut map = white_map(pixels, i);
            // What is masked must not matter.
            map.iter_mut().zip(&mask).for_each(|(x, &w)| {
                if w == 0.0 {
                    *x = f64::NAN
                }
            });
            let c = sky.c_ell(&bins, Map { values: &map, mask: Some(&mask) }, None, false).unwrap();
            mean.iter_mut().zip(&c.c_ell).for_each(|(m, c)| *m += c / white / maps as f64);
        }
        say(comm, format_args!("C_l of masked white noise over the true one: {mean:.3?}"));
        assert!(mean.iter().all(|m| (m - 1.0).abs() < 0.03), "{mean:?}");
        let nothing = vec![0.0; pixels * pixels];
        assert!(sky.c_ell(&bins, Map { values: &nothing, mask: Some(&nothing) }, None, false).is_err());
        assert!(sky.c_ell(&bins, Map { values: &nothing[1..], mask: None }, None, false).is_err());
        for config in [
            AngularConfig { max: Some(1e5), ..Default::default() },
            AngularConfig { bins: 400, ..Default::default() },
            AngularConfig { min: Some(-1.0), ..Default::default() },
        ] {
            assert!(config.ell_bins(pixels, side).unwrap_err().key.is_some());
        }
    });
}

#[test]
fn one_point_functions_are_gaussian_and_lognormal() {
    mpi::on_ranks("one_point_functions_are_gaussian_and_lognormal", RANKS, |comm| {
        use statrs::distribution::{ContinuousCDF, Normal};
        let d = Decomposition::new(comm, [64; 3], None).unwrap();
        let (noise, sigma) = (white_noise::<f64>(&d, 5, 0).to_vec(), 0.6);
        let count = 64f64.powi(3);
        let normal = Normal::new(0.0, 1.0).unwrap();
        let agrees = |counts: &[u64], edges: &[f64], cdf: &dyn Fn(f64) -> f64| {
            let z = counts.iter().zip(edges.windows(2)).map(|(&c, e)| {
                let expected = count * (cdf(e[1]) - cdf(e[0]));
                (c as f64 - expected).powi(2) / expected
            });
            z.sum::<f64>() / counts.len() as f64
        };
        let linear = Bins::new("test", Spacing::Linear, -3.0, 3.0, 40).unwrap();
        let gauss = one_point(comm, &linear, noise.iter().copied());
        let lognormal = |x: &f64| (sigma * x - 0.5 * sigma * sigma).exp();
        let log = Bins::new("test", Spacing::Log, 0.15, 6.0, 40).unwrap();
        let skewed = one_point(comm, &log, noise.iter().map(lognormal));
        let chi2 = [
            agrees(&gauss.counts, linear.edges(), &|x| normal.cdf(x)),
            agrees(&skewed.counts, log.edges(), &|x| normal.cdf(x.ln() / sigma + 0.5 * sigma)),
        ];
        let w = (sigma * sigma).exp();
        let closed = [1.0, w - 1.0, (w + 2.0) * (w - 1.0).sqrt(), w.powi(4) + 2.0 * w.powi(3) + 3.0 * w * w - 6.0];
        let found = [skewed.mean, skewed.variance, skewed.skewness, skewed.kurtosis];
        say(comm, format_args!("pdf chi² per bin {chi2:.2?}; lognormal moments {found:.3?}, closed form {closed:.3?}"));
        assert!(chi2.iter().all(|x| (0.5..1.7).contains(x)));
        for (f, (c, tolerance)) in found.iter().zip(closed.iter().zip([0.005, 0.02, 0.05, 0.2])) {
            assert!((f / c - 1.0).abs() < tolerance, "{found:?} {closed:?}");
        }
        assert!(gauss.skewness.abs() < 0.03 && gauss.kurtosis.abs() < 0.05 && gauss.total == 64u64.pow(3));
        let area: f64 = gauss.pdf.iter().zip(linear.edges().windows(2)).map(|(p, e)| p * (e[1] - e[0])).sum();
        assert!((area - gauss.counts.iter().sum::<u64>() as f64 / count).abs() < 1e-12);
        // The same counts on any ranks.
        let alone = comm.alone();
        let all = white_noise::<f64>(&Decomposition::new(&alone, [64; 3], None).unwrap(), 5, 0).to_vec();
        assert_eq!(one_point(&alone, &log, all.iter().map(lognormal)).counts, skewed.counts);
    });
}

#[test]
fn smoothed_fields_have_the_variance_of_their_filter() {
    mpi::on_ranks("smoothed_fields_have_the_variance_of_their_filter", RANKS, |comm| {
        let (n, radius) = (32, 35.0);
        let bins = Bins::new("test", Spacing::Linear, -1.0, 1.0, 10).unwrap();
        for filter in [Filter::Gaussian, Filter::TopHat] {
            let mut modes = gaussian(comm, n, 0, true);
            let mut expected = 0.0;
            modes.for_each(|m, _| {
                let k = TAU / L * (m.iter().map(|i| i * i).sum::<i64>() as f64).sqrt();
                let weight = if m[2] == 0 || m[2] == n as i64 / 2 { 1.0 } else { 2.0 };
                let window = match filter {
                    Filter::Gaussian => (-0.5 * (k * radius).powi(2)).exp(),
                    Filter::TopHat => {
                        3.0 * ((k * radius).sin() / (k * radius) - (k * radius).cos()) / (k * radius).powi(2)
                    }
                };
                expected += if k > 0.0 { weight * power(k) * window.powi(2) / L.powi(3) } else { 0.0 };
            });
            smooth(&mut modes, L, filter, radius, 0);
            let d = Decomposition::new(comm, [n; 3], None).unwrap();
            let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
            let mut mesh = fft.mesh();
            fft.inverse(&mut modes, &mut mesh);
            let found = one_point(comm, &bins, mesh.to_vec().into_iter()).variance;
            close(&[found], &[comm.sum_of(expected)], 1e-10);
        }
        // Poisson points of density n̄ under a filter G: variance ∫G²/n̄ and third moment ∫G³/n̄².
        let d = Decomposition::new(comm, [64; 3], None).unwrap();
        let (x, _) = random_points(comm, &d, 0, 30000);
        let config = PdfConfig { filter: Filter::Gaussian, radius: 12.0, ..Default::default() };
        let pdf = config.measure(&mut DensityMeter::<f64>::new(&d, L), Points::equal(&x)).unwrap();
        let (density, s) = (30000.0 / L.powi(3), TAU * 144.0);
        let (variance, third) = ((2.0 * s).powf(-1.5) / density, s.powi(-3) / 27f64.sqrt() / density.powi(2));
        let found = [pdf.mean, pdf.variance / variance, pdf.skewness / third * variance.powf(1.5)];
        say(comm, format_args!("smoothed Poisson points: mean, variance and skewness over theirs {found:.3?}"));
        assert!((found[0] - 1.0).abs() < 1e-9 && (found[1] - 1.0).abs() < 0.1 && (found[2] - 1.0).abs() < 0.25);
        let config = PdfConfig::default();
        assert!(PdfConfig { radius: 5.0, ..Default::default() }.check(64, L).is_err());
        // A disc on the sky: smoothing a point gives 1/(π θ²) within, and conserves the sum.
        let mut sky = FlatSky::new(128, 4.0).unwrap();
        let point: Vec<f64> = (0..128 * 128).map(|i| (i == 64 * 128 + 64) as u8 as f64).collect();
        let theta = 0.5f64;
        let disc = sky.filtered(&point, |l| Filter::TopHat.on_sky(l * theta.to_radians())).unwrap();
        let pixels = std::f64::consts::PI * (theta / 4.0 * 128.0).powi(2);
        let within = |i: usize| ((i / 128) as f64 - 64.0).hypot((i % 128) as f64 - 64.0) < 13.0;
        let inner: Vec<f64> = (0..disc.len()).filter(|&i| within(i)).map(|i| disc[i] * pixels).collect();
        let mean = inner.iter().sum::<f64>() / inner.len() as f64;
        assert!((mean - 1.0).abs() < 0.01 && (disc.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{mean}");
        let map: Vec<f64> = white_map(128, 3).iter().map(|x| 1.0 + 3.0 * x).collect();
        let pdf = config.measure_map(&comm.alone(), &mut sky, &map, 0.4 * theta).unwrap();
        let variance = pdf.variance * 0.16 * pixels / 9.0;
        assert!((variance - 1.0).abs() < 0.25, "{variance}");
    });
}

/// Peaks by the definition, one pixel and neighbour after another.
fn brute_peaks(map: &[f64], n: usize, mask: Option<&[f64]>, periodic: bool) -> Vec<usize> {
    let mut peaks = vec![];
    for (row, column) in (0..n as i64).flat_map(|r| (0..n as i64).map(move |c| (r, c))) {
        let here = row as usize * n + column as usize;
        let mut peak = mask.is_none_or(|m| m[here] != 0.0);
        for (dr, dc) in [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)] {
            let (r, c) = (row + dr, column + dc);
            let inside = (0..n as i64).contains(&r) && (0..n as i64).contains(&c);
            let there = r.rem_euclid(n as i64) as usize * n + c.rem_euclid(n as i64) as usize;
            let compared = mask.is_none_or(|m| m[there] != 0.0);
            peak &= (periodic || inside) && (!compared || map[there] < map[here]);
        }
        peak.then(|| peaks.push(here));
    }
    peaks
}

#[test]
fn peaks_are_local_maxima() {
    mpi::on_ranks("peaks_are_local_maxima", RANKS, |comm| {
        let n = 64;
        let map = white_map(n, 0);
        let mask: Vec<f64> = white_map(n, 1).iter().map(|x| (*x > -1.0) as u8 as f64).collect();
        for mask in [None, Some(&mask[..])] {
            assert_eq!(local_maxima(&map, n, mask, 0), brute_peaks(&map, n, mask, true));
            assert_eq!(local_maxima(&map, n, mask, 1), brute_peaks(&map, n, mask, false));
        }
        // One in nine independent pixels is the highest of its neighbourhood.
        let pixels = 512;
        let (map, cells) = (white_map(pixels, 2), (pixels * pixels) as f64);
        let ninth = local_maxima(&map, pixels, None, 0).len() as f64 * 9.0 / cells;
        assert!((ninth - 1.0).abs() < 0.03, "{ninth}");
        // Peaks of smoothed white noise: 1/(4π√3 θ²) (Longuet-Higgins 1957).
        let mut sky = FlatSky::new(pixels, 10.0).unwrap();
        let theta = 3.0;
        let smoothing = theta * sky.pixel().to_degrees();
        let config = PeakConfig { smoothing, min: -9.0, max: 9.0, bins: 36, periodic: true, ..Default::default() };
        let whole = Map { values: &map, mask: None };
        let counts = config.count(&mut sky, whole, None).unwrap();
        let expected = cells / (4.0 * std::f64::consts::PI * 3f64.sqrt() * theta * theta);
        let found = counts.iter().sum::<u64>() as f64 / expected;
        say(
            comm,
            format_args!("peaks of white noise over one in nine pixels {ninth:.3}; of a smooth field {found:.3}"),
        );
        assert!((found - 1.0).abs() < 0.06, "{found}");
        // The noise of the smoothed map is 1/(2√π θ): the same bins, whether it is told or measured.
        let noise = 0.5 / std::f64::consts::PI.sqrt() / theta;
        let told = config.count(&mut sky, whole, Some(noise)).unwrap();
        let moved: u64 = told.iter().zip(&counts).map(|(a, b)| a.abs_diff(*b)).sum();
        assert!(moved < told.iter().sum::<u64>() / 20, "{moved}");
        let value = PeakConfig { height: PeakHeight::Value, min: -9.0 * noise, max: 9.0 * noise, ..config.clone() };
        assert_eq!(value.count(&mut sky, whole, None).unwrap(), told);
        // A mask takes its share, edges theirs.
        let quarter: Vec<f64> = (0..pixels * pixels).map(|i| (i / pixels >= pixels / 4) as u8 as f64).collect();
        let masked = config.count(&mut sky, Map { values: &map, mask: Some(&quarter) }, Some(noise)).unwrap();
        let share = masked.iter().sum::<u64>() as f64 / counts.iter().sum::<u64>() as f64;
        assert!((share - 0.75).abs() < 0.03, "{share}");
        let inner = PeakConfig { periodic: false, ..config }.count(&mut sky, whole, Some(noise)).unwrap();
        assert!(inner.iter().sum::<u64>() < told.iter().sum::<u64>());
        let short = Map { values: &map[1..], mask: None };
        assert!(PeakConfig { smoothing: 0.0, ..PeakConfig::default() }.count(&mut sky, short, None).is_err());
        assert!(PeakConfig { smoothing: f64::NAN, ..PeakConfig::default() }.height_bins().is_err());
    });
}
