//! The light cone of particles that drift freely.

use super::*;
use polycosm::comm::timers::Timers;
use polycosm::gravity::{Factor, Observer, Row};
use polycosm::particles::Particles;
use rand::Rng;
use std::collections::{HashMap, HashSet};

/// Particles scattered at random, drifting: one of `parts` parts of `count`, the same universe whatever their number.
pub(super) fn scattered([part, parts]: [usize; 2], count: u64, l: f64, speed: f64) -> Particles<f64> {
    let mut particles = Particles::default();
    for id in (part as u64..count).step_by(parts) {
        let mut rng = stream(1, 0, "scattered", id);
        particles.position.push(std::array::from_fn(|_| l * rng.random::<f64>()));
        particles.momentum.push(std::array::from_fn(|_| speed * (rng.random::<f64>() - 0.5)));
        particles.id.push(id);
    }
    particles
}

/// f_K(χ) in Mpc/h.
fn transverse(omega_k: f64, chi: f64) -> f64 {
    let root = f64::abs(omega_k).sqrt() / 2997.92458;
    match omega_k {
        0.0 => chi,
        open if open > 0.0 => (root * chi).sinh() / root,
        _ => (root * chi).sin() / root,
    }
}

pub(super) fn plain(force: f64) -> Factor {
    Factor { force, lpt: [0.0; 2] }
}

/// Moves particles from `a` to 1 in drifts of unit factor per scale factor, the observer looking on. `a` grows in
/// `steps` equal steps.
pub(super) fn free_streaming(p: &mut Particles<f64>, a: f64, steps: usize, l: f64, cone: &mut impl Observer<f64>) {
    for step in 0..steps {
        let at = |s: usize| if s == steps { 1.0 } else { a + (1.0 - a) * s as f64 / steps as f64 };
        let (from, to) = (at(step), at(step + 1));
        cone.after(0, &Row::Force { a: from }, p, &mut Timers::default()).unwrap();
        for (x, v) in p.position.iter_mut().zip(&p.momentum) {
            (0..3).for_each(|d| x[d] = (x[d] + (to - from) * v[d]).rem_euclid(l));
        }
        let row = Row::Drift { from, at: (from * to).sqrt(), to, factor: plain(to - from) };
        cone.after(0, &row, p, &mut Timers::default()).unwrap();
    }
}

/// The light cone of free particles: Σ_δ of every plane on the root, and the number of particles in every pixel.
fn streamed(
    comm: &Comm,
    cosmology: &Cosmology,
    text: &str,
    l: f64,
    count: u64,
    replicas: Replicas,
) -> (Cone, Vec<f64>, Vec<f64>) {
    let config = config(text);
    config.check(l).unwrap();
    let sources = Sources::new(&config, cosmology).unwrap();
    let cone = Cone::new(&config, l, cosmology, sources.farthest()).unwrap();
    cone.check_time(0.5, 1.0).unwrap();
    let mut particles = scattered([comm.rank(), comm.size()], count, l, 300.0);
    let mut light_cone = LightCone::new(comm, cone.clone(), replicas, count, |from, _, to| plain(to - from));
    free_streaming(&mut particles, 0.5, 7, l, &mut light_cone);
    let mut sigma = vec![];
    light_cone.finish().unwrap().append_on_root(&mut sigma);
    let density = count as f64 / l.powi(3);
    let mut counts = sigma.clone();
    for (slice, map) in cone.slices.iter().zip(counts.chunks_exact_mut(cone.pixels.pow(2))) {
        let mean = density * cone.pixel().powi(2) * slice.volume;
        map.iter_mut().for_each(|x| *x = mean * (*x / (slice.far - slice.near) + 1.0));
    }
    (cone, sigma, counts)
}

const NARROW: &str = "field_of_view_deg = 8.0\npixels = 32\nsource_redshifts = [0.2, 0.3]";
/// Wider than the box, slices that the box's faces cut.
const WIDE: &str =
    "field_of_view_deg = 17.0\npixels = 24\nplane_thickness = 70.0\nsource_redshifts = [0.3]\nreplicate_across = true";

/// Every image of every particle, in the coordinates of an observer in the middle of the near face of an endless
/// lattice of boxes, found by looking at all of them; in an open universe at smaller angles, in a closed one at larger.
#[test]
fn free_particles_are_seen_where_they_are() {
    mpi::on_ranks("cone::free_particles_are_seen_where_they_are", &[1, 3], |comm| {
        let (l, count) = (130.0, 2000);
        for (text, omega_k) in [(NARROW, 0.0), (WIDE, 0.0), (NARROW, 0.6), (WIDE, -0.4)] {
            let cosmology = curved(omega_k);
            let (cone, _, counts) = streamed(comm, &cosmology, text, l, count, Replicas::plain());
            let mut expected: HashMap<usize, f64> = HashMap::new();
            let all = scattered([0, 1], count, l, 300.0);
            for (k, slice) in cone.slices.iter().enumerate() {
                for (x, v) in all.position.iter().zip(&all.momentum) {
                    let x: [f64; 3] = std::array::from_fn(|d| (x[d] + (slice.a - 0.5) * v[d]).rem_euclid(l));
                    for image in 0..7 * 7 * 12 {
                        let n = [image % 7 - 3, image / 7 % 7 - 3, image / 49];
                        let r: [f64; 3] =
                            std::array::from_fn(|d| x[d] + n[d] as f64 * l - if d < 2 { l / 2.0 } else { 0.0 });
                        let across = transverse(omega_k, r[2]);
                        let pixel = [0, 1].map(|d| (r[d] / across / cone.pixel() + cone.pixels as f64 / 2.0).floor());
                        let inside = pixel.iter().all(|p| (0.0..cone.pixels as f64).contains(p));
                        if inside && (slice.near..slice.far).contains(&r[2]) {
                            let at = (k * cone.pixels + pixel[0] as usize) * cone.pixels + pixel[1] as usize;
                            *expected.entry(at).or_default() += 1.0;
                        }
                    }
                }
            }
            if comm.is_root() {
                let total: f64 = expected.values().sum();
                say(comm, format_args!("{total} images of {count} particles on {} planes", cone.slices.len()));
                assert!(total > 500.0);
                for (at, n) in counts.iter().enumerate() {
                    let expect = expected.get(&at).copied().unwrap_or(0.0);
                    assert!((n - expect).abs() < 1e-9, "element {at}: {n} particles, expected {expect}");
                }
            }
        }
    });
}

#[test]
fn planes_do_not_depend_on_the_ranks() {
    mpi::on_ranks("cone::planes_do_not_depend_on_the_ranks", &[1, 2, 3, 4], |comm| {
        for text in [NARROW, WIDE] {
            let random = Replicas::random(3, 9, 0);
            let (_, together, _) = streamed(comm, &planck(), text, 130.0, 20_000, random);
            let (_, alone, _) = streamed(&comm.alone(), &planck(), text, 130.0, 20_000, random);
            assert!(!comm.is_root() || together == alone, "on {} ranks", comm.size());
        }
    });
}

/// Poisson particles: the maps' mean is zero and their variance that of the shot noise, randomised or not.
#[test]
fn mean_and_shot_noise() {
    mpi::on_ranks("cone::mean_and_shot_noise", &[2], |comm| {
        let (l, count) = (130.0, 400_000);
        let mut overall: Vec<f64> = vec![];
        for replicas in [Replicas::plain(), Replicas::random(3, 9, 0), Replicas::random(3, 9, 1)] {
            let (cone, sigma, counts) = streamed(comm, &planck(), NARROW, l, count, replicas);
            if !comm.is_root() {
                continue;
            }
            let pixels = cone.pixels.pow(2);
            for (k, slice) in cone.slices.iter().enumerate().skip(2) {
                let (map, counts) = (&sigma[k * pixels..][..pixels], &counts[k * pixels..][..pixels]);
                let mean = count as f64 / l.powi(3) * cone.pixel().powi(2) * slice.volume;
                let (seen, expected) = (counts.iter().sum::<f64>(), mean * pixels as f64);
                assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "plane {k}: {seen} of {expected} particles");
                let noise = (slice.far - slice.near) / mean.sqrt();
                let ratio = rms(map.iter().copied()) / noise;
                let tolerance = 5.0 / (2.0 * pixels as f64).sqrt();
                assert!((ratio - 1.0).abs() < tolerance, "plane {k}: {ratio} of the shot noise");
                overall.push(ratio);
            }
        }
        if comm.is_root() {
            let ratio = rms(overall.iter().copied());
            say(comm, format_args!("shot noise of {} planes over its expectation: {ratio:.4}", overall.len()));
            assert!((ratio - 1.0).abs() < 0.015);
        }
    });
}

#[test]
fn replicas_are_symmetries_of_the_box() {
    let random = Replicas::random(7, 3, 0);
    assert_eq!(random.at(4), Replicas::random(7, 3, 0).at(4));
    for other in [
        random.at(5),
        Replicas::random(8, 3, 0).at(4),
        Replicas::random(7, 4, 0).at(4),
        Replicas::random(7, 3, 1).at(4),
    ] {
        assert_ne!(random.at(4), other);
    }
    let (l, all) = (10.0, scattered([0, 1], 200, 10.0, 1.0).position);
    let near =
        |a: [f64; 3], b: [f64; 3]| (0..3).map(|d| (a[d] - b[d] - l * ((a[d] - b[d]) / l).round()).powi(2)).sum::<f64>();
    let mut kinds = HashSet::new();
    for index in 0..500 {
        let replica = random.at(index);
        kinds.insert((replica.axes, replica.mirrored));
        let place = |x: [f64; 3]| std::array::from_fn(|d| replica.coordinate(d, l, |e| x[e]));
        for pair in all.windows(2).take(10) {
            let [a, b] = [place(pair[0]), place(pair[1])];
            assert!(a.iter().all(|x| (0.0..l).contains(x)));
            assert!((near(a, b) - near(pair[0], pair[1])).abs() < 1e-9);
        }
    }
    assert_eq!(kinds.len(), 48, "all symmetries of a cube occur");
}
