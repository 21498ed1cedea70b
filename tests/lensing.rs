//! The light cone and weak lensing against closed forms, brute force, CCL and themselves on other numbers of ranks.

mod mpi;

use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, Growth, Spline};
use polycosm::gravity::{Observer, Row};
use polycosm::mesh::{Complex, Plane};
use polycosm::observables::lensing::*;
use polycosm::particles::Particles;
use polycosm::rng::stream;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;
use std::f64::consts::{PI, TAU};

fn say(comm: &Comm, what: std::fmt::Arguments) {
    if comm.is_root() {
        println!("{what}");
    }
}

fn planck() -> Cosmology {
    Cosmology::new([0.3089, 0.0486, 0.6774, 0.9667, 0.8159]).unwrap()
}

/// A configuration as a user writes it.
fn config(text: &str) -> LightConeConfig {
    toml::from_str(text).unwrap()
}

/// Columns of a text file in tests/data.
fn columns(name: &str) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
        .collect();
    (0..rows[0].len()).map(|c| rows.iter().map(|row| row[c]).collect()).collect()
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), x| (sum + x * x, n + 1));
    (sum / n as f64).sqrt()
}

/// A periodic Gaussian map with spectrum C(ℓ), on n² pixels of side `pixel` radians.
fn gaussian_map(index: u64, n: usize, pixel: f64, spectrum: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut rng = stream(5, 0, "test map", index);
    let white: Vec<f64> = (0..n * n).map(|_| StandardNormal.sample(&mut rng)).collect();
    let mut plane = Plane::new([n, n]);
    let modes = plane.forward(&white);
    let per_mode = TAU / (n as f64 * pixel);
    plane.filtered(&modes, |a, b| {
        let ell = per_mode * ((a * a + b * b) as f64).sqrt();
        let sigma = if ell > 0.0 { (spectrum(ell) / (pixel * pixel)).sqrt() } else { 0.0 };
        Complex::new(sigma / (n * n) as f64, 0.0)
    })
}

/// Mean of |modes|² over `bands` bands of equal width up to Nyquist: (mean ℓ, C_ℓ, number of modes).
fn spectrum(map: &[f64], n: usize, pixel: f64, bands: usize) -> Vec<[f64; 3]> {
    let mut plane = Plane::new([n, n]);
    let modes = plane.forward(map);
    let norm = pixel * pixel / (n * n) as f64;
    let mut sums = vec![[0.0; 3]; bands];
    plane.for_each(&modes, |[a, b], multiplicity, mode| {
        let k = ((a * a + b * b) as f64).sqrt();
        let band = (k / (n / 2) as f64 * bands as f64) as usize;
        if k > 0.0 && band < bands {
            let m = multiplicity as f64;
            sums[band][0] += m * k * TAU / (n as f64 * pixel);
            sums[band][1] += m * mode.norm_sqr() * norm;
            sums[band][2] += m;
        }
    });
    sums.into_iter().map(|[ell, c, m]| [ell / m, c / m, m]).collect()
}

/// Particles scattered at random, drifting: one of `parts` parts of `count`, the same universe whatever their number.
fn scattered([part, parts]: [usize; 2], count: u64, l: f64, speed: f64) -> Particles<f64> {
    let mut particles = Particles::default();
    for id in (part as u64..count).step_by(parts) {
        let mut rng = stream(1, 0, "scattered", id);
        particles.position.push(std::array::from_fn(|_| l * rng.random::<f64>()));
        particles.momentum.push(std::array::from_fn(|_| speed * (rng.random::<f64>() - 0.5)));
        particles.id.push(id);
    }
    particles
}

/// Moves particles from `a` to 1 in drifts of unit factor per scale factor, the observer looking on. `a` grows in
/// `steps` equal steps.
fn free_streaming<F: Fn(f64, f64, f64) -> f64>(
    p: &mut Particles<f64>,
    a: f64,
    steps: usize,
    l: f64,
    cone: &mut LightCone<F>,
) {
    for step in 0..steps {
        let at = |s: usize| if s == steps { 1.0 } else { a + (1.0 - a) * s as f64 / steps as f64 };
        let (from, to) = (at(step), at(step + 1));
        cone.after(0, &Row::Force { a: from }, p).unwrap();
        for (x, v) in p.position.iter_mut().zip(&p.momentum) {
            (0..3).for_each(|d| x[d] = (x[d] + (to - from) * v[d]).rem_euclid(l));
        }
        cone.after(0, &Row::Drift { from, at: (from * to).sqrt(), to, factor: to - from }, p).unwrap();
    }
}

/// The light cone of free particles: Σ_δ of every plane on the root, and the number of particles in every pixel.
fn streamed(comm: &Comm, text: &str, l: f64, count: u64, replicas: Replicas) -> (Cone, Vec<f64>, Vec<f64>) {
    let (config, cosmology) = (config(text), planck());
    config.check(l).unwrap();
    let sources = Sources::new(&config, &cosmology).unwrap();
    let cone = Cone::new(&config, l, &cosmology, sources.farthest()).unwrap();
    cone.check_time(0.5, 1.0).unwrap();
    let mut particles = scattered([comm.rank(), comm.size()], count, l, 300.0);
    let mut light_cone = LightCone::new(comm, cone.clone(), replicas, count, |from, _, to| to - from);
    free_streaming(&mut particles, 0.5, 7, l, &mut light_cone);
    let sigma = light_cone.finish().unwrap().on_root();
    let density = count as f64 / l.powi(3);
    let mut counts = sigma.clone();
    for (slice, map) in cone.slices.iter().zip(counts.chunks_exact_mut(cone.pixels.pow(2))) {
        let mean = density * cone.pixel().powi(2) * slice.volume_per_steradian();
        map.iter_mut().for_each(|x| *x = mean * (*x / (slice.far - slice.near) + 1.0));
    }
    (cone, sigma, counts)
}

const NARROW: &str = "field_of_view_deg = 8.0\npixels = 32\nsource_redshifts = [0.2, 0.3]";
/// Wider than the box, slices that the box's faces cut.
const WIDE: &str =
    "field_of_view_deg = 17.0\npixels = 24\nplane_thickness = 70.0\nsource_redshifts = [0.3]\nreplicate_across = true";

/// Every image of every particle, in the coordinates of an observer in the middle of the near face of an endless
/// lattice of boxes, found by looking at all of them.
#[test]
fn free_particles_are_seen_where_they_are() {
    mpi::on_ranks("free_particles_are_seen_where_they_are", &[1, 3], |comm| {
        let (l, count) = (130.0, 2000);
        for text in [NARROW, WIDE] {
            let (cone, _, counts) = streamed(comm, text, l, count, Replicas::plain());
            let mut expected: HashMap<usize, f64> = HashMap::new();
            let all = scattered([0, 1], count, l, 300.0);
            for (k, slice) in cone.slices.iter().enumerate() {
                for (x, v) in all.position.iter().zip(&all.momentum) {
                    let x: [f64; 3] = std::array::from_fn(|d| (x[d] + (slice.a - 0.5) * v[d]).rem_euclid(l));
                    for image in 0..7 * 7 * 12 {
                        let n = [image % 7 - 3, image / 7 % 7 - 3, image / 49];
                        let r: [f64; 3] =
                            std::array::from_fn(|d| x[d] + n[d] as f64 * l - if d < 2 { l / 2.0 } else { 0.0 });
                        let pixel = [0, 1].map(|d| (r[d] / r[2] / cone.pixel() + cone.pixels as f64 / 2.0).floor());
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
    mpi::on_ranks("planes_do_not_depend_on_the_ranks", &[1, 2, 3, 4], |comm| {
        for text in [NARROW, WIDE] {
            let random = Replicas::random(3, 9, 0);
            let (_, together, _) = streamed(comm, text, 130.0, 20_000, random);
            let (_, alone, _) = streamed(&comm.alone(), text, 130.0, 20_000, random);
            assert!(!comm.is_root() || together == alone, "on {} ranks", comm.size());
        }
    });
}

/// Poisson particles: the maps' mean is zero and their variance that of the shot noise, randomised or not.
#[test]
fn mean_and_shot_noise() {
    mpi::on_ranks("mean_and_shot_noise", &[2], |comm| {
        let (l, count) = (130.0, 400_000);
        for replicas in [Replicas::plain(), Replicas::random(3, 9, 0), Replicas::random(3, 9, 1)] {
            let (cone, sigma, counts) = streamed(comm, NARROW, l, count, replicas);
            if !comm.is_root() {
                continue;
            }
            let pixels = cone.pixels.pow(2);
            for (k, slice) in cone.slices.iter().enumerate().skip(2) {
                let (map, counts) = (&sigma[k * pixels..][..pixels], &counts[k * pixels..][..pixels]);
                let mean = count as f64 / l.powi(3) * cone.pixel().powi(2) * slice.volume_per_steradian();
                let (seen, expected) = (counts.iter().sum::<f64>(), mean * pixels as f64);
                assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "plane {k}: {seen} of {expected} particles");
                let noise = (slice.far - slice.near) / mean.sqrt();
                let ratio = rms(map.iter().copied()) / noise;
                assert!(
                    (ratio - 1.0).abs() < 5.0 / (2.0 * pixels as f64).sqrt(),
                    "plane {k}: {ratio} of the shot noise"
                );
            }
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
    let mut kinds = std::collections::HashSet::new();
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

/// A cone whose planes hold the given spectra: (planes, sources, maps of all planes).
fn random_planes(
    comm: &Comm,
    text: &str,
    amplitude: f64,
    shape: impl Fn(f64) -> f64,
) -> (Planes, Sources, Vec<Vec<f64>>) {
    let (config, cosmology) = (config(text), planck());
    let sources = Sources::new(&config, &cosmology).unwrap();
    let cone = Cone::new(&config, 800.0, &cosmology, sources.farthest()).unwrap();
    let (n, pixel) = (cone.pixels, cone.pixel());
    let mut planes = Planes::new(comm, cone);
    let mut maps = vec![];
    for k in 0..planes.len() {
        let map = gaussian_map(k as u64, n, pixel, |ell| amplitude.powi(2) * shape(ell) * (1.0 + k as f64));
        planes.put(k, map.clone());
        maps.push(map);
    }
    (planes.complete().unwrap(), sources, maps)
}

/// Independent Gaussian planes: the map is their weighted sum, its spectrum that of the weights, with the closed form
/// of the efficiency for one source distance and its integral for a distribution.
#[test]
fn born_convergence_of_known_spectra() {
    mpi::on_ranks("born_convergence_of_known_spectra", &[1, 3], |comm| {
        let text = "field_of_view_deg = 10.0\npixels = 128\nplane_thickness = 150.0\nsource_redshifts = [0.7, 1.5]
            [[n_of_z]]\nsmail = { z0 = 0.5, z_max = 2.0 }";
        let shape = |ell: f64| 1e-5 / (1.0 + ell / 300.0);
        let (planes, sources, maps) = random_planes(comm, text, 1.0, shape);
        let (cosmology, n, pixel) = (planck(), planes.cone().pixels, planes.cone().pixel());
        let kappa = born(&planes, &sources);
        if !comm.is_root() {
            return assert!(kappa.is_empty());
        }
        let chi = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
        let smail = |z: f64| z * z * (-(z / 0.5f64).powf(1.5)).exp();
        for (bin, kappa) in kappa.chunks_exact(n * n).enumerate() {
            let efficiency = |x: f64| match bin {
                2 => {
                    let z = |i: usize| (i as f64 + 0.5) / 10_000.0 * 2.0;
                    let above = |i: usize| smail(z(i)) * (1.0 - x / chi(z(i))).max(0.0);
                    (0..10_000).map(above).sum::<f64>() / (0..10_000).map(|i| smail(z(i))).sum::<f64>()
                }
                _ => (1.0 - x / chi([0.7, 1.5][bin])).max(0.0),
            };
            let weights: Vec<f64> = planes
                .cone()
                .slices
                .iter()
                .map(|s| 1.5 * 0.3089 / 2997.92458f64.powi(2) * s.chi * efficiency(s.chi) / s.a)
                .collect();
            let sum = |p: usize| weights.iter().zip(&maps).map(|(w, map)| w * map[p]).sum::<f64>();
            let error = rms((0..n * n).map(|p| kappa[p] - sum(p))) / rms(kappa.iter().copied());
            let power: f64 = weights.iter().enumerate().map(|(k, w)| w * w * (1.0 + k as f64)).sum();
            say(comm, format_args!("bin {bin}: Born against the weighted sum {error:.1e}"));
            assert!(error < if bin == 2 { 1e-5 } else { 1e-10 }, "bin {bin}: relative error {error}");
            for [ell, c, modes] in spectrum(kappa, n, pixel, 8) {
                // Within a band the shape varies; compare with its value at the band's mean.
                let ratio = c / (power * shape(ell));
                let tolerance = 5.0 * (2.0 / modes).sqrt() + 0.02;
                assert!((ratio - 1.0).abs() < tolerance, "bin {bin}, ell = {ell}: {ratio} of the spectrum");
            }
        }
    });
}

/// Rays see what Born sees to first order: their difference, and the rotation, fall with the square of the amplitude.
#[test]
fn ray_tracing_tends_to_born() {
    mpi::on_ranks("ray_tracing_tends_to_born", &[1, 3], |comm| {
        let text = "field_of_view_deg = 5.0\npixels = 64\nplane_thickness = 200.0\nsource_redshifts = [0.7, 1.5]
            [[n_of_z]]\nsmail = { z0 = 0.5, z_max = 2.0 }";
        // Smooth on the scale of a pixel.
        let shape = |ell: f64| 1e-5 * (-(ell / 700.0).powi(2)).exp();
        let difference = |comm: &Comm, amplitude: f64| {
            let (planes, sources, _) = random_planes(comm, text, amplitude, shape);
            let (maps, born) = (raytrace(&planes, &sources), born(&planes, &sources));
            let traced = maps.traced.unwrap();
            let kappa = rms(born.iter().copied());
            let apart = rms(born.iter().zip(&maps.kappa).map(|(b, k)| b - k));
            (kappa, apart, rms(traced.omega.iter().copied()), rms(traced.gamma[0].iter().copied()), maps.kappa)
        };
        let (strong, weak) = (difference(comm, 0.1), difference(comm, 0.025));
        let alone = difference(&comm.alone(), 0.1);
        if comm.is_root() {
            let (apart, rotation) = (strong.1 / weak.1, strong.2 / weak.2);
            say(
                comm,
                format_args!(
                    "κ {:.2e}, γ1 {:.2e}; rays − Born {:.2e}, ω {:.2e}",
                    strong.0, strong.3, strong.1, strong.2
                ),
            );
            say(comm, format_args!("a quarter of the amplitude: {apart:.3} and {rotation:.3} times less, 16 expected"));
            assert!(
                strong.1 > 1e-6 * strong.0 && (apart / 16.0 - 1.0).abs() < 0.02 && (rotation / 16.0 - 1.0).abs() < 0.02
            );
            assert_eq!(strong.4, alone.4, "the maps depend on the number of ranks");
        }
    });
}

/// A softened isothermal lens, κ = θ_E / (2 √(θ² + s²)) out to a radius R: inside it α = θ_E (√(θ² + s²) − s) / θ.
#[test]
fn softened_isothermal_lens() {
    mpi::on_ranks("softened_isothermal_lens", &[2], |comm| {
        let arcsec = PI / 180.0 / 3600.0;
        let (einstein, core) = (30.0 * arcsec, 8.0 * arcsec);
        let config = config("field_of_view_deg = 0.1\npixels = 255\nsource_redshifts = [1.0]");
        let cosmology = planck();
        let sources = Sources::new(&config, &cosmology).unwrap();
        let (chi, far) = (700.0, sources.farthest());
        let mut cone = Cone::new(&config, 2000.0, &cosmology, far).unwrap();
        cone.slices = vec![Slice { near: 0.0, far, chi, a: 0.8, strength: 1.0 }];
        let (n, angle) = (cone.pixels, |i: usize| cone.angle(i));
        let sigma = |p: usize| {
            let r = angle(p / n).hypot(angle(p % n));
            let kappa = if r < 0.45 * cone.field { einstein / (2.0 * r.hypot(core)) } else { 0.0 };
            kappa / (1.0 - chi / far)
        };
        let map = (0..n * n).map(sigma).collect();
        let mut planes = Planes::new(comm, cone.clone());
        planes.put(0, map);
        let maps = raytrace(&planes, &sources);
        if !comm.is_root() {
            return;
        }
        let traced = maps.traced.unwrap();
        let alpha = |t: f64| einstein * (t.hypot(core) - core) / t;
        let slope = |t: f64| einstein / t.hypot(core) - alpha(t) / t;
        // Deflection, convergence and shear in an annulus.
        let mut worst = [0f64; 4];
        for p in 0..n * n {
            let theta = [angle(p / n), angle(p % n)];
            let r = theta[0].hypot(theta[1]);
            if !(15.0..90.0).contains(&(r / arcsec)) {
                continue;
            }
            let d: [f64; 2] = [0, 1].map(|d| theta[d] - traced.beta[d][p] - alpha(r) * theta[d] / r);
            worst[0] = worst[0].max(d[0].hypot(d[1]) / alpha(r));
            let kappa = 0.5 * (alpha(r) / r + slope(r));
            let shear = 0.5 * (slope(r) - alpha(r) / r);
            let (c, s) = ((theta[0].powi(2) - theta[1].powi(2)) / (r * r), 2.0 * theta[0] * theta[1] / (r * r));
            worst[1] = worst[1].max((maps.kappa[p] / kappa - 1.0).abs());
            worst[2] =
                worst[2].max((traced.gamma[0][p] - shear * c).hypot(traced.gamma[1][p] - shear * s) / shear.abs());
            worst[3] = worst[3].max(traced.omega[p].abs());
        }
        say(
            comm,
            format_args!(
                "worst of α {:.1e}, κ {:.1e}, γ {:.1e} (relative), ω {:.1e}",
                worst[0], worst[1], worst[2], worst[3]
            ),
        );
        assert!(worst[..3].iter().all(|w| *w < 0.01) && worst[3] < 1e-12, "{worst:?}");

        // The images of a source at 20″ on axis 2: where β(θ) along the middle row crosses it.
        let source = 20.0 * arcsec;
        let row = (n / 2) * n;
        let between = |map: &dyn Fn(usize) -> f64, j: usize, t: f64| map(row + j) * (1.0 - t) + map(row + j + 1) * t;
        let mut images = vec![];
        for j in 0..n - 1 {
            let (here, there) = (traced.beta[1][row + j] - source, traced.beta[1][row + j + 1] - source);
            if here * there < 0.0 {
                let t = here / (here - there);
                let det = |p: usize| {
                    let (k, g) = (maps.kappa[p], traced.gamma[0][p].hypot(traced.gamma[1][p]));
                    (1.0 - k).powi(2) - g * g + traced.omega[p].powi(2)
                };
                images.push([between(&|p| angle(p % n), j, t), 1.0 / between(&det, j, t)]);
            }
        }
        let root = |mut low: f64, mut high: f64| {
            let f = |t: f64| t - alpha(t.abs()) * t.signum() - source;
            let rising = f(high) > f(low);
            for _ in 0..100 {
                let middle = 0.5 * (low + high);
                if (f(middle) > 0.0) == rising { high = middle } else { low = middle }
            }
            low
        };
        let exact = [root(-60.0 * arcsec, -14.0 * arcsec), root(20.0 * arcsec, 90.0 * arcsec)];
        let magnification = |t: f64| 1.0 / ((1.0 - alpha(t.abs()) / t.abs()) * (1.0 - slope(t.abs())));
        say(comm, format_args!("images {:?}", images.iter().map(|i| i[0] / arcsec).collect::<Vec<_>>()));
        assert_eq!(images.len(), if exact[0] < -14.1 * arcsec { 3 } else { 1 });
        for theta in [exact[1]] {
            let image = images[images.len() - 1];
            say(
                comm,
                format_args!(
                    "image at {:.3}″ ({:.3}″), magnified {:.3} ({:.3})",
                    image[0] / arcsec,
                    theta / arcsec,
                    image[1],
                    magnification(theta)
                ),
            );
            assert!((image[0] / theta - 1.0).abs() < 0.01 && (image[1] / magnification(theta) - 1.0).abs() < 0.01);
        }
    });
}

/// Limber's integral with the kernel of this program against CAMB's spectra, integrated by another code.
#[test]
fn limber_spectrum_agrees_with_the_reference() {
    let cosmology = planck();
    let growth = Growth::new(&cosmology);
    let sources =
        Sources::new(&config("field_of_view_deg = 1.0\npixels = 2\nsource_redshifts = [1.0]"), &cosmology).unwrap();
    let far = sources.farthest();
    let ln = |c: &[f64]| c.iter().map(|x| x.ln()).collect::<Vec<_>>();
    let a_of_chi = {
        let a: Vec<f64> = (0..=200).map(|i| 1.0 - 0.5 * i as f64 / 200.0).collect();
        Spline::new(a.iter().map(|&a| cosmology.comoving_distance(a)).collect(), a)
    };
    let kernel = |chi: f64| sources.kernel(0, &cosmology, chi).powi(2);

    let table = columns("camb_linear_pk.txt");
    let linear = Spline::new(ln(&table[0]), ln(&table[1]));
    let p_linear = |k: f64, chi: f64| linear.at(k.ln()).exp() * growth.d1(a_of_chi.at(chi)).powi(2);
    let table = columns("camb_halofit_takahashi_pk.txt");
    let halofit: Vec<Spline> = (1..=3).map(|c| Spline::new(ln(&table[0]), ln(&table[c]))).collect();
    // ln P as a parabola in ln D through z = 0, 0.5 and 1.
    let at = [1.0, 1.0 / 1.5, 0.5].map(|a: f64| growth.d1(a).ln());
    let p_halofit = |k: f64, chi: f64| {
        let x = growth.d1(a_of_chi.at(chi)).ln();
        let term = |i: usize| {
            let others = (0..3).filter(|j| *j != i);
            halofit[i].at(k.ln()) * others.map(|j| (x - at[j]) / (at[i] - at[j])).product::<f64>()
        };
        (0..3).map(term).sum::<f64>().exp()
    };

    let reference = columns("wl_kappa_cl_zs1.txt");
    let mut worst = [0f64; 2];
    for (i, ell) in reference[0].iter().enumerate().filter(|(_, ell)| **ell <= 5000.0) {
        let ours = [limber_cl(*ell, far, kernel, p_halofit), limber_cl(*ell, far, kernel, p_linear)];
        for c in 0..2 {
            worst[c] = worst[c].max((ours[c] / reference[c + 1][i] - 1.0).abs());
        }
    }
    println!("Limber spectra differ by at most {:.1e} (halofit), {:.1e} (linear)", worst[0], worst[1]);
    assert!(worst[0] < 0.01 && worst[1] < 0.003, "{worst:?}");
}

#[test]
fn noise_and_masks() {
    let noise = ShapeNoise { sigma_e: 0.37, n_gal: 20.0 };
    let pixel = (0.5f64 / 60.0).to_radians();
    let draw = |seed, realisation, index| {
        let mut map = vec![0.0; 300 * 300];
        add_shape_noise(&mut map, &noise, pixel, seed, realisation, index);
        map
    };
    // 20 galaxies per square arcminute in 1/4 of one.
    let expected = 0.37 / 2f64.sqrt() / 5f64.sqrt();
    let map = draw(1, 2, 0);
    let ratio = rms(map.iter().copied()) / expected;
    println!("shape noise over its expectation: {ratio:.4}");
    assert!((ratio - 1.0).abs() < 5.0 / (2.0 * map.len() as f64).sqrt());
    assert_eq!(map, draw(1, 2, 0));
    for other in [draw(2, 2, 0), draw(1, 3, 0), draw(1, 2, 1)] {
        let correlation: f64 = map.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / map.len() as f64;
        assert!(correlation.abs() < 5.0 * expected.powi(2) / (map.len() as f64).sqrt());
    }

    let mut maps: Vec<f64> = (0..8).map(f64::from).collect();
    let seen = apply_mask(&mut maps, 2, &[1.0, 0.0, 0.5, 1.0], -1.0).unwrap();
    assert_eq!((maps, seen), (vec![0.0, -1.0, 2.0, 3.0, 4.0, -1.0, 6.0, 7.0], vec![true, false, true, true]));
    for mask in [vec![1.0; 3], vec![1.0, 0.0, f64::NAN, 1.0], vec![1.0, 0.0, 2.0, 1.0]] {
        let error = apply_mask(&mut [0.0; 4], 2, &mask, 0.0).unwrap_err();
        assert!(error.exit_code() == 2 && error.key.as_deref() == Some("simulator.lightcone.mask"));
    }
}

#[test]
fn sources_from_a_table() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cosmology = planck();
    let with = |text: &str, column: usize| {
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display();
        let lightcone = format!(
            "field_of_view_deg = 1.0\npixels = 2\nn_of_z = [{{ table = {{ path = \"{path}\", column = {column} }} }}]"
        );
        Sources::new(&config(&lightcone), &cosmology)
    };
    let smail = |z: f64| z * z * (-(z / 0.5f64).powf(1.5)).exp();
    let rows: String = (0..=200).map(|i| 0.01 * f64::from(i)).map(|z| format!("{z} 7 {}\n", 40.0 * smail(z))).collect();
    let table = with(&format!("# z, constant, n\n{rows}"), 2).unwrap();
    let closed = config("field_of_view_deg = 1.0\npixels = 2\nn_of_z = [{ smail = { z0 = 0.5, z_max = 2.0 } }]");
    let closed = Sources::new(&closed, &cosmology).unwrap();
    assert_eq!(table.farthest(), closed.farthest());
    for chi in [100.0, 1000.0, 2000.0] {
        assert!((table.efficiency(0, chi) / closed.efficiency(0, chi) - 1.0).abs() < 1e-3);
    }
    for (text, column) in [
        ("", 1),
        ("0.1 1\n0.1 2\n", 1),
        ("0.1 1\n0.2 x\n", 1),
        ("0.1 1\n0.2 1\n", 2),
        ("0.1 0\n0.2 0\n", 1),
        ("0.1 -1\n0.2 0\n", 1),
    ] {
        let error = with(text, column).unwrap_err();
        assert!(
            error.exit_code() == 2
                && error.remedy.is_some()
                && error.key.as_deref() == Some("simulator.lightcone.n_of_z"),
            "{error}"
        );
    }
}

#[test]
fn impossible_light_cones_are_refused_with_advice() {
    let base = "field_of_view_deg = 3.0\npixels = 64\n";
    let with = |more: &str| config(&format!("{base}{more}"));
    let good = with("source_redshifts = [1.0]");
    good.check(256.0).unwrap();
    assert_eq!((good.bins(), good.thickness(256.0), good.randomise, good.method), (1, 64.0, true, Method::Born));
    for (key, bad) in [
        ("source_redshifts", ""),
        ("source_redshifts", "source_redshifts = [0.0]"),
        ("source_redshifts", "source_redshifts = [nan]"),
        ("plane_thickness", "source_redshifts = [1.0]\nplane_thickness = 300.0"),
        ("n_of_z", "n_of_z = [{ smail = { z0 = -1.0 } }]"),
        ("n_of_z", "n_of_z = [{ smail = { z0 = 0.5, z_min = 2.0, z_max = 1.0 } }]"),
        ("n_of_z", "n_of_z = [{ table = { path = \"x\", column = 0 } }]"),
        ("shape_noise.n_gal", "source_redshifts = [1.0]\nshape_noise = { sigma_e = 0.3, n_gal = 0.0 }"),
    ] {
        let error = with(bad).check(256.0).unwrap_err();
        assert_eq!(error.key.as_deref(), Some(&*format!("simulator.lightcone.{key}")), "{bad}");
        assert!(error.exit_code() == 2 && error.remedy.is_some());
    }
    for text in [
        "field_of_view_deg = 0.0\npixels = 64",
        "field_of_view_deg = 90.0\npixels = 64",
        "field_of_view_deg = 3.0\npixels = 1",
    ] {
        assert!(config(&format!("{text}\nsource_redshifts = [1.0]")).check(256.0).is_err());
    }
    assert!(toml::from_str::<LightConeConfig>(&format!("{base}sources = 1")).is_err());
    assert!(
        toml::from_str::<LightConeConfig>(&format!("{base}n_of_z = [{{ smail = {{ z0 = 0.5, zmax = 1.0 }} }}]"))
            .is_err()
    );

    let cosmology = planck();
    let chi = Sources::new(&good, &cosmology).unwrap().farthest();
    let error = Cone::new(&good, 100.0, &cosmology, chi).unwrap_err();
    assert!(error.to_string().contains("replicate_across"), "{error}");
    Cone::new(&with("replicate_across = true\nsource_redshifts = [1.0]"), 100.0, &cosmology, chi).unwrap();
    let cone = Cone::new(&good, 256.0, &cosmology, chi).unwrap();
    cone.check_time(0.1, 1.0).unwrap();
    assert!(cone.check_time(0.6, 1.0).unwrap_err().to_string().contains("a_start"));
    assert!(cone.check_time(0.1, 0.9).unwrap_err().to_string().contains("a_end"));
}
