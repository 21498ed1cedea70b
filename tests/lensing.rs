//! The light cone and weak lensing against closed forms, brute force, CCL and themselves on other numbers of ranks.

#[path = "lensing/cone.rs"]
mod cone;
#[path = "lensing/curved.rs"]
mod curved;
mod mpi;
#[path = "lensing/neutrinos.rs"]
mod neutrinos;
#[path = "lensing/simulation.rs"]
mod simulation;
#[path = "lensing/skies.rs"]
mod skies;
#[path = "lensing/sphere.rs"]
mod sphere;
#[path = "lensing/survey.rs"]
mod survey;
#[path = "lensing/views.rs"]
mod views;

use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, Extension};
use polycosm::mesh::{Complex, Plane};
use polycosm::observables::lensing::*;
use polycosm::rng::stream;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{PI, TAU};

fn say(comm: &Comm, what: std::fmt::Arguments) {
    if comm.is_root() {
        println!("{what}");
    }
}

fn planck() -> Cosmology {
    Cosmology::new([0.3089, 0.0486, 0.6774, 0.9667, 0.8159]).unwrap()
}

/// The same with this curvature, dark energy making room for it.
fn curved(omega_k: f64) -> Cosmology {
    Cosmology::extended([0.3089, 0.0486, 0.6774, 0.9667, 0.8159], Extension { omega_k, ..Extension::default() })
        .unwrap()
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

/// Means over the modes of `bands` bands of equal width up to Nyquist: (ℓ, C_ℓ, expected C_ℓ, number of modes).
fn spectrum(map: &[f64], n: usize, pixel: f64, bands: usize, expected: impl Fn(f64) -> f64) -> Vec<[f64; 4]> {
    let mut plane = Plane::new([n, n]);
    let modes = plane.forward(map);
    let norm = pixel * pixel / (n * n) as f64;
    let mut sums = vec![[0.0; 4]; bands];
    plane.for_each(&modes, |[a, b], multiplicity, mode| {
        let k = ((a * a + b * b) as f64).sqrt();
        let band = (k / (n / 2) as f64 * bands as f64) as usize;
        if k > 0.0 && band < bands {
            let ell = k * TAU / (n as f64 * pixel);
            let here = [ell, mode.norm_sqr() * norm, expected(ell), 1.0];
            sums[band].iter_mut().zip(here).for_each(|(sum, x)| *sum += multiplicity as f64 * x);
        }
    });
    sums.into_iter().map(|[ell, c, e, m]| [ell / m, c / m, e / m, m]).collect()
}

/// A cone whose planes hold the given spectra: (planes, sources, maps of all planes).
fn random_planes(
    comm: &Comm,
    cosmology: &Cosmology,
    text: &str,
    amplitude: f64,
    shape: impl Fn(f64) -> f64,
) -> (Planes, Sources, Vec<Vec<f64>>) {
    let config = config(text);
    let sources = Sources::new(&config, cosmology).unwrap();
    let cone = Cone::new(&config, 800.0, cosmology, sources.farthest()).unwrap();
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
        let (planes, sources, maps) = random_planes(comm, &planck(), text, 1.0, shape);
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
            for [ell, c, expected, modes] in spectrum(kappa, n, pixel, 8, |ell| power * shape(ell)) {
                let (ratio, tolerance) = (c / expected, 5.0 * (2.0 / modes).sqrt());
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
        let difference = |comm: &Comm, cosmology: &Cosmology, amplitude: f64| {
            let (planes, sources, _) = random_planes(comm, cosmology, text, amplitude, shape);
            let (maps, born) = (raytrace(&planes, &sources), born(&planes, &sources));
            let traced = maps.traced.unwrap();
            let kappa = rms(born.iter().copied());
            let apart = rms(born.iter().zip(&maps.kappa).map(|(b, k)| b - k));
            (kappa, apart, rms(traced.omega.iter().copied()), rms(traced.gamma[0].iter().copied()), maps.kappa)
        };
        for cosmology in [planck(), curved(0.3), curved(-0.3)] {
            let (strong, weak) = (difference(comm, &cosmology, 0.1), difference(comm, &cosmology, 0.025));
            let alone = difference(&comm.alone(), &cosmology, 0.1);
            if !comm.is_root() {
                continue;
            }
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
                strong.1 > 1e-6 * strong.0 && (apart / 16.0 - 1.0).abs() < 0.01 && (rotation / 16.0 - 1.0).abs() < 0.01
            );
            assert_eq!(strong.4, alone.4, "the maps depend on the number of ranks");
        }
    });
}

/// A softened isothermal lens, κ = θ_E / (2 √(θ² + s²)), with α = θ_E (√(θ² + s²) − s) / θ.
#[test]
fn softened_isothermal_lens() {
    mpi::on_ranks("softened_isothermal_lens", &[2], |comm| {
        let arcsec = PI / 180.0 / 3600.0;
        let (einstein, core) = (30.0 * arcsec, 8.0 * arcsec);
        let config = config("field_of_view_deg = 0.1\npixels = 511\nsource_redshifts = [1.0]");
        let cosmology = planck();
        let sources = Sources::new(&config, &cosmology).unwrap();
        let (chi, far) = (700.0, sources.farthest());
        let mut cone = Cone::new(&config, 2000.0, &cosmology, far).unwrap();
        cone.slices = vec![Slice { near: 0.0, far, chi, a: 0.8, volume: 1.0, strength: 1.0 }];
        let (n, angle) = (cone.pixels, |i: usize| cone.angle(i));
        let sigma = |p: usize| {
            let r = angle(p / n).hypot(angle(p % n));
            // Fades away between 0.35 and 0.49 fields: what lies outside does not deflect what lies inside.
            let fade = ((r / cone.field - 0.35) / 0.14).clamp(0.0, 1.0);
            let kappa = einstein / (2.0 * r.hypot(core)) * (0.5 * PI * fade).cos().powi(2);
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

        // The three images of a source at 2″ on axis 2: where β(θ) along the middle row crosses it.
        let source = 2.0 * arcsec;
        let at = |map: &dyn Fn(usize) -> f64, theta: f64| {
            let x = theta / cone.pixel() + (n / 2) as f64;
            let (j, t) = (x as usize, x.fract());
            map((n / 2) * n + j) * (1.0 - t) + map((n / 2) * n + j + 1) * t
        };
        let determinant = |p: usize| {
            let gamma = traced.gamma[0][p].hypot(traced.gamma[1][p]);
            (1.0 - maps.kappa[p]).powi(2) - gamma * gamma + traced.omega[p].powi(2)
        };
        let images = crossings(|t| at(&|p| traced.beta[1][p], t) - source, 100.0 * arcsec);
        let exact = crossings(|t| t - alpha(t.abs()) * t.signum() - source, 100.0 * arcsec);
        assert_eq!((images.len(), exact.len()), (3, 3));
        for (image, theta) in images.into_iter().zip(exact) {
            let (t, magnification) = (theta.abs(), 1.0 / at(&determinant, image));
            let expected = 1.0 / ((1.0 - alpha(t) / t) * (1.0 - slope(t)));
            let [place, closed] = [image, theta].map(|t| t / arcsec);
            say(
                comm,
                format_args!("image at {place:.3}″ ({closed:.3}″), magnified {magnification:.3} ({expected:.3})"),
            );
            assert!((place / closed - 1.0).abs() < 0.01 && (magnification / expected - 1.0).abs() < 0.01);
        }
    });
}

/// Zeros of f from −`end` to `end`, by bisection between 1000 points.
fn crossings(f: impl Fn(f64) -> f64, end: f64) -> Vec<f64> {
    let point = |i: usize| end * ((i as f64 + 0.5) / 500.0 - 1.0);
    let zero = |i: usize| {
        let (mut low, mut high) = (point(i), point(i + 1));
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if f(low) * f(middle) > 0.0 { low = middle } else { high = middle }
        }
        low
    };
    (0..999).filter(|&i| f(point(i)) * f(point(i + 1)) < 0.0).map(zero).collect()
}
