//! In-line statistics against closed forms, brute force and themselves on other numbers of ranks.

mod mpi;

use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, CosmologyConfig, Growth};
use polycosm::fields::cross::measure_cross;
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::multipoles::{Multipoles, measure_multipoles};
use polycosm::fields::noise::white_noise;
use polycosm::fields::spectrum::{Spectrum, measure};
use polycosm::gravity::{Factors, Integrator, LptGrowth, displaced_lattice, displacements};
use polycosm::mesh::{Decomposition, Fft, Halo, Modes, Transform};
use polycosm::observables::*;
use polycosm::particles::{Particles, Points};

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

#[test]
fn planted_anisotropy_has_kaisers_multipoles() {
    mpi::on_ranks("planted_anisotropy_has_kaisers_multipoles", RANKS, |comm| {
        let (n, beta) = (64, 0.55);
        for axis in 0..3 {
            let mut modes = gaussian(comm, n, 1, true);
            modes.for_each(|m, c| {
                let m2: i64 = m.iter().map(|i| i * i).sum();
                *c *= 1.0 + beta * (m[axis] * m[axis]) as f64 / m2.max(1) as f64;
            });
            let poles = measure_multipoles(&mut modes, L, axis, 0, 0.0, comm);
            let reference = measure(&mut gaussian(comm, n, 1, true), L, 0, 0.0, comm);
            let mut worst = [0f64; 3];
            for b in 7..poles.k.len() {
                let ratio = |l: usize| poles.power[l][b] / reference.power[b];
                kaiser(beta).iter().enumerate().for_each(|(l, k)| worst[l] = worst[l].max((ratio(l) - k).abs()));
            }
            say(comm, format_args!("axis {axis}: largest |P_l/P - Kaiser| = {worst:.4?}"));
            assert!(worst[0] < 0.004 && worst[1] < 0.01 && worst[2] < 0.03, "{worst:?}");
        }
    });
}

/// Zel'dovich particles of tiny displacements at `a`, where everything is linear.
fn linear_particles(comm: &Comm, n: usize, a: f64) -> (Particles<f64>, f64) {
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut noise = white_noise::<f64>(&d, 5, 2);
    let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
    let delta = linear_modes(&mut fft, &mut noise, L, |k| 1e-6 * power(k), true, false);
    let psi = displacements(&mut fft, &delta, L, Gradient::Spectral, 1);
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    (displaced_lattice(&d, &psi, L, LptGrowth::at(&factors, a)), growth.f1(a))
}

fn redshift_space(comm: &Comm, axis: LineOfSight) -> (Multipoles, Spectrum, f64) {
    let (n, a) = (32, 0.6);
    let (particles, f) = linear_particles(comm, n, a);
    let d = Decomposition::new(comm, [2 * n; 3], None).unwrap();
    let total = (n as u64).pow(3);
    let (position, _) = polycosm::particles::Domain::new(&d, L).send_home(comm, particles.position.clone(), None);
    let real = PowerMeter::<f64>::new(&d, L).measure(&PowerConfig::default(), &position, total);
    let config = MultipoleConfig { axis, ..MultipoleConfig::default() };
    let space = RedshiftSpace::of_momenta(&planck(), a);
    let points = Points::equal(&particles.position);
    let poles = MultipoleMeter::<f64>::new(&d, L).measure(&config, points, &particles.momentum, space);
    (poles, real, f)
}

#[test]
fn linear_velocities_have_kaisers_multipoles() {
    mpi::on_ranks("linear_velocities_have_kaisers_multipoles", RANKS, |comm| {
        for axis in [LineOfSight::X, LineOfSight::Y, LineOfSight::Z, LineOfSight::All] {
            let (poles, real, f) = redshift_space(comm, axis);
            let mut worst = [0f64; 3];
            for b in 5..12 {
                let ratio = |l: usize| poles.power[l][b] / real.power[b];
                kaiser(f).iter().enumerate().for_each(|(l, k)| worst[l] = worst[l].max((ratio(l) / k - 1.0).abs()));
            }
            say(comm, format_args!("{} ranks, {axis:?}, f = {f:.4}: |P_l/P / Kaiser - 1| <= {worst:.4?}", comm.size()));
            assert!(worst[0] < 0.006 && worst[1] < 0.02 && worst[2] < 0.3, "{worst:?}");
            let (alone, ..) = redshift_space(&comm.alone(), axis);
            assert_eq!(alone.modes, poles.modes);
            (0..3).for_each(|l| close(&poles.power[l], &alone.power[l], 1e-9));
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
    let (x, w) = polycosm::particles::Domain::new(d, L).send_home(comm, x, Some(w));
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
