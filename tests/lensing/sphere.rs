//! The light cone on the sphere.

use super::cone::{free_streaming, plain, scattered};
use super::simulation::{Views, scale_factors};
use super::*;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{Growth, NeutrinoResponse, read_table};
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Transform};
use polycosm::observables::PowerMeter;
use polycosm::particles::Particles;
use polycosm::sphere::{Footprint, Rings};
use std::collections::HashMap;

/// Directions and their pixels as healpy finds them.
#[test]
fn pixels_are_those_of_healpy() {
    let table = columns("healpy_pixels.txt");
    for (i, nside) in [1, 4, 64, 8192].into_iter().enumerate() {
        let rings = Rings::new(nside).unwrap();
        for (row, x) in table[0].iter().enumerate() {
            let v = [*x, table[1][row], table[2][row]];
            let [ring, nested] = [0, 1].map(|order| table[3 + 2 * i + order][row] as usize);
            assert_eq!((rings.pixel_of(v), rings.of_nested(nested)), (ring, ring), "nside {nside}, direction {v:?}");
        }
    }
}

const FULL: &str = "nside = 8\nplane_thickness = 50.0\nsource_redshifts = [0.06]\nreplicate_across = true";
const OCTANT: &str =
    "nside = 8\nplane_thickness = 50.0\nsource_redshifts = [0.06]\nreplicate_across = true\nfootprint = \"octant\"";

fn cone_of(text: &str, l: f64) -> (SkyCone, Sources) {
    let config = config(text);
    config.check(l).unwrap();
    let sources = Sources::new(&config, &planck()).unwrap();
    let footprint = config.footprint(None).unwrap();
    (SkyCone::new(&config, footprint, l, &planck(), sources.farthest()).unwrap(), sources)
}

/// The light cone of free particles: numbers of particles in every pixel of every shell, on the root.
fn streamed(comm: &Comm, text: &str, l: f64, count: u64, replicas: Replicas) -> (SkyCone, Vec<Vec<f64>>) {
    let (cone, _) = cone_of(text, l);
    cone.check_time(0.5, 1.0).unwrap();
    let mut particles = scattered([comm.rank(), comm.size()], count, l, 300.0);
    let mut light_cone = SkyLightCone::new(comm, cone.clone(), replicas, count, |from, _, to| plain(to - from));
    free_streaming(&mut particles, 0.5, 7, l, &mut light_cone);
    let planes = light_cone.finish().unwrap();
    let density = count as f64 / l.powi(3) * 4.0 * PI / cone.footprint.rings().pixels() as f64;
    let counts = |(k, slice): (usize, &Slice)| {
        let sigma = planes.layout().gather(0, &planes.get(k));
        let number = |x: &f32| density * slice.volume * (f64::from(*x) / (slice.far - slice.near) + 1.0);
        sigma.iter().map(number).collect::<Vec<f64>>()
    };
    let counts = cone.slices.iter().enumerate().map(counts).collect();
    (cone, counts)
}

/// Every image of every particle, in the coordinates of an observer in a corner of an endless lattice of boxes, found
/// by looking at all of them.
#[test]
fn free_particles_are_seen_in_their_pixels() {
    mpi::on_ranks("sphere::free_particles_are_seen_in_their_pixels", &[1, 3], |comm| {
        let (l, count) = (70.0, 2000);
        for text in [FULL, OCTANT] {
            let (cone, counts) = streamed(comm, text, l, count, Replicas::plain());
            let rings = cone.footprint.rings();
            let mut expected: HashMap<(usize, usize), f64> = HashMap::new();
            let all = scattered([0, 1], count, l, 300.0);
            for (k, slice) in cone.slices.iter().enumerate() {
                for (x, v) in all.position.iter().zip(&all.momentum) {
                    let x: [f64; 3] = std::array::from_fn(|d| (x[d] + (slice.a - 0.5) * v[d]).rem_euclid(l));
                    for image in 0..512 {
                        let n = [image % 8 - 4, image / 8 % 8 - 4, image / 64 - 4];
                        let r: [f64; 3] = std::array::from_fn(|d| x[d] + n[d] as f64 * l);
                        let chi = r.iter().map(|x| x * x).sum::<f64>().sqrt();
                        let place = cone.footprint.place(rings.pixel_of(r));
                        if let Some(place) = place.filter(|_| (slice.near..slice.far).contains(&chi)) {
                            *expected.entry((k, place)).or_default() += 1.0;
                        }
                    }
                }
            }
            if !comm.is_root() {
                continue;
            }
            let total: f64 = expected.values().sum();
            say(comm, format_args!("{total} images of {count} particles in {} shells", counts.len()));
            assert!(total > 10_000.0 && counts.len() > 3);
            for (k, counts) in counts.iter().enumerate() {
                for (place, n) in counts.iter().enumerate() {
                    let expect = expected.get(&(k, place)).copied().unwrap_or(0.0);
                    // Shells are kept in single precision.
                    assert!((n - expect).abs() < 1e-4 * (1.0 + expect), "shell {k}, {place}: {n}, expected {expect}");
                }
            }
        }
    });
}

/// The same bits on any number of ranks, and in an octant what the full sky has there.
#[test]
fn skies_do_not_depend_on_the_ranks() {
    mpi::on_ranks("sphere::skies_do_not_depend_on_the_ranks", &[1, 2, 3, 4], |comm| {
        let random = Replicas::random(3, 9, 0);
        let (full, together) = streamed(comm, FULL, 70.0, 20_000, random);
        let (_, alone) = streamed(&comm.alone(), FULL, 70.0, 20_000, random);
        let (part, octant) = streamed(comm, OCTANT, 70.0, 20_000, random);
        if !comm.is_root() {
            return;
        }
        assert!(together == alone, "on {} ranks", comm.size());
        assert!(full.footprint.is_whole() && part.footprint.count() < 96);
        for (octant, full) in octant.iter().zip(&together) {
            assert!(part.footprint.pixels().map(|p| full[p]).eq(octant.iter().copied()));
        }
        // Poisson: the mean of all shells beyond the first is as expected, to its noise.
        let (seen, mean): (f64, f64) =
            (full.slices[1..].iter().zip(&together[1..])).fold((0.0, 0.0), |(seen, mean), (slice, counts)| {
                let density = 20_000.0 / 70f64.powi(3);
                (seen + counts.iter().sum::<f64>(), mean + density * 4.0 * PI * slice.volume)
            });
        // Every particle is met several times.
        let repeats = mean / 20_000.0;
        assert!((seen - mean).abs() < 5.0 * (mean * repeats).sqrt(), "{seen} of {mean}");
    });
}

/// One particle in a known direction is in healpy's pixel, at whatever moment light leaves it.
#[test]
fn one_mass_is_seen_in_its_direction() {
    mpi::on_ranks("sphere::one_mass_is_seen_in_its_direction", &[2], |comm| {
        let (cone, _) = cone_of("nside = 64\nsource_redshifts = [0.05]", 400.0);
        let table = columns("healpy_pixels.txt");
        for (row, x) in table[0].iter().enumerate().take(25).skip(9) {
            let v = [*x, table[1][row], table[2][row]];
            let mut particles = Particles::<f64>::default();
            if comm.rank() == row % 2 {
                particles.position.push(v.map(|x| (110.0 * x).rem_euclid(400.0)));
                particles.momentum.push([0.0; 3]);
                particles.id.push(0);
            }
            let mut light = SkyLightCone::new(comm, cone.clone(), Replicas::plain(), 1, |_, _, _| plain(0.0));
            free_streaming(&mut particles, 0.5, 2, 400.0, &mut light);
            let planes = light.finish().unwrap();
            let shell = cone.slices.iter().position(|s| s.near <= 110.0 && 110.0 < s.far).unwrap();
            for k in 0..planes.len() {
                let map = planes.layout().gather(0, &planes.get(k));
                let least = map.iter().copied().fold(f32::INFINITY, f32::min);
                let full: Vec<usize> = (0..map.len()).filter(|&p| map[p] > least).collect();
                let expected = if k == shell { vec![table[7][row] as usize] } else { vec![] };
                assert!(!comm.is_root() || full == expected, "shell {k}: {full:?}, not {expected:?}");
            }
        }
    });
}

/// Beside neutrinos every multipole of a shell is that of the particles times δ_m/δ_cb at k = ℓ/χ.
#[test]
fn neutrinos_are_part_of_every_shell() {
    mpi::on_ranks("sphere::neutrinos_are_part_of_every_shell", &[2], |comm| {
        let massive = Extension { m_nu: 0.4, radiation: true, ..Extension::default() };
        let cosmology = Cosmology::extended([0.3089, 0.0486, 0.6774, 0.9667, 0.8159], massive).unwrap();
        let config = config("nside = 16\nplane_thickness = 70.0\nsource_redshifts = [0.1]\nreplicate_across = true");
        let chi = Sources::new(&config, &cosmology).unwrap().farthest();
        let cone = SkyCone::new(&config, config.footprint(None).unwrap(), 70.0, &cosmology, chi).unwrap();
        let response = NeutrinoResponse::new(&cosmology);
        let [cold, all] = [None, response.clone()].map(|neutrinos| {
            let mut particles = scattered([comm.rank(), comm.size()], 20_000, 70.0, 300.0);
            let replicas = Replicas::random(1, 1, 0);
            let mut light = SkyLightCone::new(comm, cone.clone(), replicas, 20_000, |from, _, to| plain(to - from));
            light.neutrinos = neutrinos;
            free_streaming(&mut particles, 0.5, 7, 70.0, &mut light);
            light.finish().unwrap()
        });
        let (mut least, mut most, response) = (f64::INFINITY, 0f64, response.unwrap());
        for (k, slice) in cone.slices.iter().enumerate().skip(1) {
            let maps = [&cold, &all].map(|planes| planes.get(k).into_iter().map(f64::from).collect());
            let c = cold.layout().c_ell(&maps, None, 32, &[[0, 0], [0, 1]]).unwrap();
            for (ell, (own, cross)) in c[0].iter().zip(&c[1]).enumerate().skip(2) {
                let (ratio, expected) = (cross / own, response.factor(ell as f64 / slice.chi, slice.a));
                assert!((ratio - expected).abs() < 1e-3, "shell {k}, ell {ell}: {ratio}, expected {expected}");
                (least, most) = (least.min(expected), most.max(expected));
            }
        }
        say(comm, format_args!("δ_m/δ_cb from {least:.4} to {most:.4}"));
        assert!(most - least > 0.005 && most < 1.0);
    });
}

/// Particles whose density is a plane wave, 1 + ε cos(2π x/L): the shells hold its integral over distance, and κ is
/// their weighted sum.
#[test]
fn a_plane_wave_is_seen_as_it_is() {
    mpi::on_ranks("sphere::a_plane_wave_is_seen_as_it_is", &[2], |comm| {
        let (l, n, amplitude) = (600.0, 80usize, 0.8);
        let text = "nside = 8\nplane_thickness = 60.0\nsource_redshifts = [0.09]";
        let (cone, sources) = cone_of(text, l);
        let mut particles = Particles::<f64>::default();
        let k = TAU / l;
        for i in (comm.rank()..n.pow(3)).step_by(comm.size()) {
            // A lattice, shaken lest it be seen.
            let mut rng = stream(4, 0, "wave", i as u64);
            let q =
                [i / (n * n), i / n % n, i % n].map(|q| (q as f64 + rand::Rng::random::<f64>(&mut rng)) * l / n as f64);
            // The mass up to x is x + ε sin(kx)/k.
            let x = (0..50)
                .fold(q[0], |x, _| x - (x + amplitude * (k * x).sin() / k - q[0]) / (1.0 + amplitude * (k * x).cos()));
            particles.position.push([x.rem_euclid(l), q[1], q[2]]);
            particles.momentum.push([0.0; 3]);
            particles.id.push(i as u64);
        }
        let total = n.pow(3) as u64;
        let mut light = SkyLightCone::new(comm, cone.clone(), Replicas::plain(), total, |_, _, _| plain(0.0));
        free_streaming(&mut particles, 0.5, 2, l, &mut light);
        let planes = light.finish().unwrap();
        let kappa = planes.layout().gather(0, &planes.born(&sources)[0]);
        if !comm.is_root() {
            return;
        }
        let rings = cone.footprint.rings();
        let expected: Vec<f64> = (0..rings.pixels())
            .map(|p| {
                let x = rings.direction(p)[0];
                let shell = |s: &Slice| {
                    let steps = 400;
                    let width = (s.far - s.near) / steps as f64;
                    let chi = |i: usize| s.near + (i as f64 + 0.5) * width;
                    let sum = |f: &dyn Fn(f64) -> f64| (0..steps).map(|i| f(chi(i)) * width).sum::<f64>();
                    let mean = sum(&|c| c * c * amplitude * (k * c * x).cos()) / sum(&|c| c * c);
                    s.strength * sources.efficiency(0, s.chi) * (s.far - s.near) * mean
                };
                cone.slices.iter().map(shell).sum()
            })
            .collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let slope = product(&kappa, &expected) / product(&expected, &expected);
        let rest = rms(kappa.iter().zip(&expected).map(|(k, e)| k - e)) / rms(expected.iter().copied());
        say(comm, format_args!("κ of a plane wave: {slope:.4} of the closed form, {rest:.3} left over"));
        assert!((slope - 1.0).abs() < 0.02 && rest < 0.25);
        let mean = kappa.iter().sum::<f64>() - expected.iter().sum::<f64>();
        assert!((mean / kappa.len() as f64).abs() < 0.02 * rms(expected.iter().copied()));
    });
}

/// The convergence of a simulated universe over the whole sky and an octant: spectra are Limber's, of the universe's
/// own P(k, a), shot noise included.
#[test]
fn spectra_of_the_sky_are_limbers() {
    mpi::on_ranks("sphere::spectra_of_the_sky_are_limbers", &[2], |comm| {
        let (l, n, nside, lmax) = (250.0, 64usize, 128usize, 128usize);
        let (cosmology, growth) = (planck(), Growth::new(&planck()));
        let text = format!("nside = {nside}\nsource_redshifts = [0.25]\nreplicate_across = true");
        let (cone, sources) = cone_of(&text, l);
        let time = StepConfig { a_start: 0.1, steps: 15, ..StepConfig::default() };
        let path = format!("{}/tests/data/camb_linear_pk.txt", env!("CARGO_MANIFEST_DIR"));
        let power = read_table(path.as_ref(), cosmology.sigma8()).unwrap();
        let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
        let mut noise = white_noise::<f32>(&lattice, 1, 0);
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut fft, &mut noise, l, |k| power.p(k), true, false);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
        let start = LptGrowth::at(&factors, time.a_start);
        let mut particles = lagrangian_particles(&mut fft, &delta, l, Gradient::FourPoint, 2, &start, false);
        let total = (n as u64).pow(3);
        let mut force = Force::new(&lattice.with_shape([2 * n; 3]), l, total, &ForceConfig::default());
        force.exchange(&mut particles);
        let table = StepTable::new(&time, &factors, &[]);
        let drift = |from, at, to| factors.drift(from, at, to);
        let cone_of = |view| SkyLightCone::new(comm, cone.clone(), Replicas::random(1, 0, view), total, drift);
        let meter = PowerMeter::new(&lattice.with_shape([2 * n; 3]), l);
        let mut watch = Views { cones: (0..2).map(cone_of).collect(), meter, total, spectra: vec![] };
        evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut watch).unwrap();

        // Multipoles that are wider than the box at near shells hold no power: left out of both.
        let (a_of_chi, shot, far) = (scale_factors(&cosmology), l.powi(3) / total as f64, sources.farthest());
        let near = cone.slices[4].near;
        let kernel = |chi: f64| if chi < near { 0.0 } else { sources.kernel(0, chi).powi(2) };
        let mut octant = vec![];
        let mut seen = vec![0.0; lmax + 1];
        for view in std::mem::take(&mut watch.cones) {
            let mut planes = view.finish().unwrap();
            (0..4).for_each(|k| planes.put(k, vec![0.0; planes.places().len()]));
            let (kappa, layout) = (planes.born(&sources), planes.layout());
            let c = layout.c_ell(&kappa, None, lmax, &[[0, 0]]).unwrap();
            seen.iter_mut().zip(&c[0]).for_each(|(sum, c)| *sum += 0.5 * c);
            let weight = Footprint::octant(cone.footprint.rings());
            let weight: Vec<f64> = planes.places().map(|p| weight.place(p).map_or(0.0, |_| 1.0)).collect();
            octant.push(layout.c_ell(&kappa, Some(&weight), lmax, &[[0, 0]]).unwrap().remove(0));
        }
        if !comm.is_root() {
            return;
        }
        let side = (4.0 * PI / cone.footprint.rings().pixels() as f64).sqrt();
        for (first, end) in [(30, 50), (50, 75), (75, 100), (100, 128)] {
            let mean = |c: &dyn Fn(usize) -> f64| {
                let modes = |l: usize| (2 * l + 1) as f64;
                (first..end).map(|l| modes(l) * c(l)).sum::<f64>() / (first..end).map(modes).sum::<f64>()
            };
            // The window of averaging over pixels, to second order.
            let limber = |ell: usize| {
                let ell = ell as f64;
                let matter =
                    limber_cl(&cosmology, ell, far, kernel, |k, chi| watch.power(k, a_of_chi.at(chi), shot) - shot);
                let noise = limber_cl(&cosmology, ell, far, kernel, |_, _| shot);
                noise + matter * (1.0 - (ell * side).powi(2) / 12.0)
            };
            let expected = mean(&limber);
            let part = octant.iter().map(|c| mean(&|l| c[l])).sum::<f64>() / octant.len() as f64 / expected;
            let ratio = mean(&|l| seen[l]) / expected;
            say(comm, format_args!("C_ell from {first} to {end}: {ratio:.3} of Limber's; in octants {part:.3}"));
            assert!((ratio - 1.0).abs() < 0.1 && (part - 1.0).abs() < 0.25);
        }
    });
}
