//! The gravity engine against FastPM, linear theory, closed forms and itself on other numbers of ranks.

mod common;
mod measured;
mod mpi;

use common::{modes_of, planck, say};
use measured::Table;
use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, Growth};
use polycosm::fields::kernels::{Gradient, Smoothing};
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Mesh, Real, Transform};
use polycosm::observables::{PowerConfig, PowerMeter, by_lagrangian_id};
use polycosm::particles::{Assignment, Particles, wrap};
use std::f64::consts::TAU;

const RANKS: &[usize] = &[1, 2, 3, 4, 8];

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// FastPM's own run from its own linear density: 40 steps to z = 0. Returns the final particles of this rank.
fn run_like_fastpm<T: Real>(comm: &Comm, fastpm_second_order: bool) -> (Particles<T>, PowerMeter<T>) {
    let (box_size, n) = (128.0, 64);
    let file = hdf5::File::open(data("fastpm_64_noise.h5")).unwrap();
    let delta: Vec<f64> = file.dataset("delta_linear_z0").unwrap().read_raw().unwrap();
    let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
    let delta = modes_of::<T>(&lattice, |[i, j, k]| delta[(i * n + j) * n + k]);
    let (cosmology, growth) = { (planck(), Growth::new(&planck())) };
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let time = StepConfig { steps: 40, ..StepConfig::default() };
    let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
    let mut lpt = LptGrowth::at(&factors, time.a_start);
    if fastpm_second_order {
        // FastPM normalises D2 to −3/7 today.
        let scale = -3.0 / 7.0 / growth.d2(1.0);
        lpt.d[1] *= scale;
        lpt.p[1] *= scale;
    }
    let mut particles = lagrangian_particles(&mut fft, &delta, box_size, Gradient::FourPoint, 2, &lpt, false);
    let mesh = lattice.with_shape([2 * n; 3]);
    let mut force = Force::new(&mesh, box_size, (n * n * n) as u64, &ForceConfig::default());
    let table = StepTable::new(&time, &factors, &[]);
    force.exchange(&mut particles);
    evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
    (particles, PowerMeter::new(&mesh, box_size))
}

fn rms_to_fastpm<T: Real>(comm: &Comm, particles: &Particles<T>) -> f64 {
    let file = hdf5::File::open(data("fastpm_64_snapshot.hdf5")).unwrap();
    let reference: Vec<f32> = file.dataset("PartType1/Coordinates").unwrap().read_raw().unwrap();
    let l = 128.0;
    let sum: f64 = particles
        .id
        .iter()
        .zip(&particles.position)
        .map(|(&id, x)| {
            let there = &reference[3 * id as usize..][..3];
            x.iter().zip(there).map(|(x, &r)| ((x.f64() - r as f64 + 1.5 * l) % l - 0.5 * l).powi(2)).sum::<f64>()
        })
        .sum();
    (comm.sum_of(sum) / 64f64.powi(3)).sqrt()
}

#[test]
fn fastpm_reproduced_f64() {
    mpi::on_ranks("fastpm_reproduced_f64", &[1, 4], |comm| {
        let (particles, mut meter) = run_like_fastpm::<f64>(comm, true);
        let rms = rms_to_fastpm(comm, &particles);
        say(comm, format_args!("rms distance to FastPM, f64: {rms:.2e} Mpc/h"));
        assert!(rms < 2e-5, "rms distance to FastPM {rms} Mpc/h");
        let spectrum = meter.measure(&PowerConfig::default(), &particles.position, 64 * 64 * 64);
        let text = std::fs::read_to_string(data("fastpm_64_pk.txt")).unwrap();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .filter(|l| !l.starts_with('#'))
            .map(|l| l.split_whitespace().map(|w| w.parse().unwrap()).collect())
            .collect();
        let nyquist = TAU / 128.0 * 32.0;
        let (mut compared, mut worst) = (0, 0f64);
        let mut table = Table::new("fastpm", ["k", "ratio_less_1"], comm.is_root());
        for row in rows.iter().filter(|r| r[0] < nyquist) {
            // Their bins and ours have the same width; compare where edges agree, which the mode count tells.
            let Some(bin) = spectrum.k.iter().position(|k| (k / row[0] - 1.0).abs() < 1e-6) else { continue };
            assert_eq!(spectrum.modes[bin], row[2] as u64, "modes at k = {}", row[0]);
            let ratio = spectrum.power[bin] / row[1];
            assert!((ratio - 1.0).abs() < 1e-3, "P(k = {}) is {ratio} of FastPM's", row[0]);
            table.row([row[0], ratio - 1.0]);
            compared += 1;
            worst = worst.max((ratio - 1.0).abs());
        }
        say(comm, format_args!("largest difference of P(k) from FastPM's over {compared} bins: {worst:.2e}"));
        assert!(compared >= 28, "only {compared} bins could be compared");
    });
}

#[test]
fn fastpm_reproduced_f32() {
    mpi::on_ranks("fastpm_reproduced_f32", &[2], |comm| {
        let rms = rms_to_fastpm(comm, &run_like_fastpm::<f32>(comm, true).0);
        say(comm, format_args!("rms distance to FastPM, f32: {rms:.2e} Mpc/h"));
        assert!(rms < 2e-4, "rms distance to FastPM {rms} Mpc/h");
    });
}

#[test]
fn exact_second_order_differs_as_stated() {
    mpi::on_ranks("exact_second_order_differs_as_stated", &[1], |comm| {
        let rms = rms_to_fastpm(comm, &run_like_fastpm::<f64>(comm, false).0);
        say(comm, format_args!("rms distance to FastPM with the exact second order: {rms:.4} Mpc/h"));
        assert!((0.0018..0.0026).contains(&rms), "rms distance with the exact D2: {rms}, expected 0.0022 Mpc/h");
    });
}

/// Bits gathered by rank 0 in global order, as a checksum that any rank count must reproduce.
fn checksum(comm: &Comm, items: Vec<(u64, u64)>) -> u64 {
    let mix = |(at, bits): (u64, u64)| (at ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(bits | 1).rotate_left(17) ^ bits;
    comm.all_gather(&items.into_iter().map(mix).collect::<Vec<_>>()).into_iter().fold(0, u64::wrapping_add)
}

fn noise_and_linear_field(comm: &Comm) -> [u64; 3] {
    let n = [24, 20, 18];
    let d = Decomposition::new(comm, n, None).unwrap();
    let mut noise = white_noise::<f32>(&d, 7, 3);
    let block = noise.block();
    let index = |c: usize, b: polycosm::mesh::Block| {
        let (i, j, k) = (c / (b.len[1] * b.len[2]), c / b.len[2] % b.len[1], c % b.len[2]);
        (((b.start[0] + i) * n[1] + b.start[1] + j) * n[2] + b.start[2] + k) as u64
    };
    let bits = |mesh: &Mesh<f32>| -> Vec<(u64, u64)> {
        mesh.to_vec().iter().enumerate().map(|(c, x)| (index(c, block), x.to_bits() as u64)).collect()
    };
    let white = checksum(comm, bits(&noise));
    let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
    let mut delta = linear_modes(&mut fft, &mut noise, 100.0, |k| 1e4 * k / (1.0 + (k / 0.02).powi(3)), false, false);
    let b = delta.block();
    let fold = |z: &num_complex::Complex<f32>| ((z.re.to_bits() as u64) << 32) | z.im.to_bits() as u64;
    let modes = delta.data().iter().enumerate().map(|(c, z)| (index(c, b), fold(z))).collect();
    let modes = checksum(comm, modes);
    let mut mesh = fft.mesh();
    fft.inverse(&mut delta, &mut mesh);
    [white, modes, checksum(comm, bits(&mesh))]
}

#[test]
fn noise_and_linear_field_are_bitwise_equal_on_any_ranks() {
    mpi::on_ranks("noise_and_linear_field_are_bitwise_equal_on_any_ranks", RANKS, |comm| {
        assert_eq!(noise_and_linear_field(comm), noise_and_linear_field(&comm.alone()));
    });
}

#[test]
fn white_noise_is_white() {
    mpi::on_ranks("white_noise_is_white", &[1], |comm| {
        let d = Decomposition::new(comm, [32; 3], None).unwrap();
        let x = white_noise::<f64>(&d, 1, 0).to_vec();
        let n = x.len() as f64;
        let (mean, var) = (x.iter().sum::<f64>() / n, x.iter().map(|x| x * x).sum::<f64>() / n);
        assert!(mean.abs() < 4.0 / n.sqrt() && (var - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{mean} {var}");
        assert_ne!(x, white_noise::<f64>(&d, 1, 1).to_vec());
    });
}

/// A universe of `n`³ particles with a toy spectrum of the given amplitude, at z = 0 after 10 steps.
fn toy_universe<T: Real>(comm: &Comm, n: usize, amplitude: f64, a_start: f64) -> (Particles<T>, Force<T>) {
    let box_size = 4.0 * n as f64;
    let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut noise = white_noise::<T>(&lattice, 11, 0);
    let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
    let power = |k: f64| amplitude * 4e5 * k / (1.0 + (k / 0.02).powi(3));
    let delta = linear_modes(&mut exact, &mut noise, box_size, power, false, false);
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let time = StepConfig { a_start, ..StepConfig::default() };
    let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
    let mut particles = lagrangian_particles(
        &mut fft,
        &delta,
        box_size,
        Gradient::FourPoint,
        2,
        &LptGrowth::at(&factors, a_start),
        false,
    );
    let mut force = Force::new(&lattice.with_shape([2 * n; 3]), box_size, (n as u64).pow(3), &ForceConfig::default());
    let table = StepTable::new(&time, &factors, &[]);
    force.exchange(&mut particles);
    evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
    (particles, force)
}

#[test]
fn final_density_does_not_depend_on_the_ranks() {
    mpi::on_ranks("final_density_does_not_depend_on_the_ranks", &[2, 3, 4], |comm| {
        let density = |comm: &Comm| {
            let (particles, mut force) = toy_universe::<f32>(comm, 32, 1.0, 0.1);
            let mesh = force.density(&particles, 0.0);
            let (b, mut global) = (mesh.block(), vec![0f32; 64 * 64 * 64]);
            for i in 0..b.len[0] {
                for j in 0..b.len[1] {
                    let at = ((b.start[0] + i) * 64 + b.start[1] + j) * 64;
                    global[at..at + 64].copy_from_slice(mesh.row(i, j));
                }
            }
            comm.sum(&mut global);
            global
        };
        let (together, alone) = (density(comm), density(&comm.alone()));
        let square = |f: &dyn Fn(usize) -> f32| (0..alone.len()).map(|i| (f(i) as f64).powi(2)).sum::<f64>();
        let rms = (square(&|i| together[i] - alone[i]) / square(&|i| alone[i])).sqrt();
        say(comm, format_args!("density on {} ranks against one: relative rms {rms:.2e}", comm.size()));
        assert!(rms < 1e-4, "relative rms difference {rms} on {} ranks", comm.size());
        let contrast = square(&|i| alone[i] - 1.0) / alone.len() as f64;
        assert!(contrast > 0.5, "the field is hardly clustered ({contrast}): the test would not see much");
    });
}

#[test]
fn mass_and_momentum_are_conserved() {
    mpi::on_ranks("mass_and_momentum_are_conserved", &[1, 4], |comm| {
        let (particles, mut force) = toy_universe::<f64>(comm, 16, 1.0, 0.1);
        let count = comm.sum_of(particles.len() as u64);
        assert_eq!(count, 16 * 16 * 16);
        let mass: f64 = comm.sum_of(force.density(&particles, 0.0).to_vec().iter().sum());
        assert!((mass / 32f64.powi(3) - 1.0).abs() < 1e-12, "deposited mass {mass}");
        let mut net = [0.0; 4];
        for p in &particles.momentum {
            (0..3).for_each(|d| net[d] += p[d]);
            net[3] += p.iter().map(|x| x * x).sum::<f64>();
        }
        comm.sum(&mut net);
        let rms = (net[3] * count as f64).sqrt();
        assert!(net[..3].iter().all(|p| p.abs() / rms < 1e-12), "net momentum {net:?} over {rms}");
        let (x, v) = by_lagrangian_id(comm, &particles, count, 1.0);
        assert_eq!(comm.sum_of(x.len() as u64), count);
        assert!(v.iter().flatten().all(|v| v.is_finite()));
    });
}

/// Weights of the mesh points around `x` (in cells), by point.
fn assignment_weights(assignment: Assignment, x: f64, n: usize) -> Vec<(usize, f64)> {
    let near = |distance: f64| match assignment {
        Assignment::Cic => (1.0 - distance.abs()).max(0.0),
        Assignment::Tsc if distance.abs() < 0.5 => 0.75 - distance * distance,
        Assignment::Tsc => 0.5 * (1.5 - distance.abs()).max(0.0).powi(2),
    };
    let first = x.floor() as i64 - 1;
    (first..first + 4).map(|i| (i.rem_euclid(n as i64) as usize, near(x - i as f64))).filter(|w| w.1 > 0.0).collect()
}

/// A displaced plane wave of particles: the force is that of the discrete kernels in closed form, summed wave by wave.
#[test]
fn force_of_a_plane_wave() {
    mpi::on_ranks("force_of_a_plane_wave", &[1, 2, 4], |comm| {
        let (n, l) = (16usize, 100.0);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let h = l / n as f64;
        let place = |i: usize| i as f64 + 0.3 * (TAU * 2.0 * i as f64 / n as f64 + 0.4).cos();
        let smoothings = [None, Some(Smoothing::Gaussian { radius: 5.0 }), Some(Smoothing::SharpK { k_max: 0.35 })];
        let kernels = [Assignment::Cic, Assignment::Tsc].into_iter().flat_map(|assignment| {
            [Gradient::FourPoint, Gradient::Spectral].into_iter().flat_map(move |gradient| {
                smoothings.into_iter().map(move |smoothing| ForceConfig {
                    assignment,
                    gradient,
                    deconvolve: smoothing.is_some(),
                    smoothing,
                })
            })
        });
        for kernel in kernels {
            let b = d.real();
            let mut particles = Particles::<f64>::default();
            for i in b.start[0]..b.start[0] + b.len[0] {
                for j in b.start[1]..b.start[1] + b.len[1] {
                    for m in 0..n {
                        particles.position.push([place(i) * h, j as f64 * h, m as f64 * h].map(|x| wrap(x, l)));
                        particles.momentum.push([0.0; 3]);
                        particles.id.push(i as u64);
                    }
                }
            }
            let mut force = Force::<f64>::new(&d, l, (n as u64).pow(3), &kernel);
            force.exchange(&mut particles);
            force.accelerations(&mut particles, 1.0, &mut Timers::default()).unwrap();

            let mut density = vec![0.0; n];
            for i in 0..n {
                assignment_weights(kernel.assignment, place(i), n).iter().for_each(|(j, w)| density[*j] += w);
            }
            let mesh_force = |x: usize| -> f64 {
                (1..n / 2)
                    .map(|m| {
                        let (mut re, mut im) = (0.0, 0.0);
                        for (i, rho) in density.iter().enumerate() {
                            let phase = TAU * (m * i) as f64 / n as f64;
                            re += rho * phase.cos() / n as f64;
                            im -= rho * phase.sin() / n as f64;
                        }
                        let k = TAU * m as f64 / l;
                        let g = match kernel.gradient {
                            Gradient::FourPoint => (8.0 * (k * h).sin() - (2.0 * k * h).sin()) / (6.0 * h),
                            Gradient::Spectral => k,
                        };
                        let sinc = (0.5 * k * h).sin() / (0.5 * k * h);
                        let window = if kernel.deconvolve { sinc.powi(-2 * kernel.assignment.order()) } else { 1.0 };
                        let smooth = match kernel.smoothing {
                            Some(Smoothing::Gaussian { radius }) => (-0.5 * (k * radius).powi(2)).exp(),
                            Some(Smoothing::SharpK { k_max }) => (k <= k_max) as u8 as f64,
                            None => 1.0,
                        };
                        // −∂φ with φ_k = −δ_k/k²: twice the real part of i g δ_k exp(ikx)/k².
                        let phase = TAU * (m * x) as f64 / n as f64;
                        -2.0 * g / (k * k) * window * smooth * (re * phase.sin() + im * phase.cos())
                    })
                    .sum()
            };
            let on_mesh: Vec<f64> = (0..n).map(mesh_force).collect();
            let largest = on_mesh.iter().fold(0.0f64, |a, x| a.max(x.abs()));
            assert!(largest > 0.1, "{kernel:?}: a force of {largest} Mpc/h");
            for (id, a) in particles.id.iter().zip(&particles.acceleration) {
                let weights = assignment_weights(kernel.assignment, place(*id as usize), n);
                let expected: f64 = weights.iter().map(|(j, w)| w * on_mesh[*j]).sum();
                let far = (a[0] - expected).abs().max(a[1].abs()).max(a[2].abs());
                assert!(far < 1e-10 * largest, "{kernel:?}: {a:?}, expected {expected}");
            }
        }
    });
}

/// Adds a constant to every acceleration, and remembers when.
struct Push(std::rc::Rc<std::cell::RefCell<Vec<f64>>>);

impl Correction<f64> for Push {
    fn correct(
        &mut self,
        workspace: &mut Workspace<f64>,
        particles: &mut Particles<f64>,
        a: f64,
    ) -> polycosm::error::Result<()> {
        workspace.mesh.fill(0.0);
        particles.acceleration.iter_mut().for_each(|g| g[1] += 0.5);
        self.0.borrow_mut().push(a);
        Ok(())
    }
}

#[test]
fn corrections_join_the_force() {
    mpi::on_ranks("corrections_join_the_force", &[2], |comm| {
        let (mut particles, mut force) = toy_universe::<f64>(comm, 8, 1.0, 0.5);
        let seen = std::rc::Rc::new(std::cell::RefCell::new(vec![]));
        force.accelerations(&mut particles, 1.0, &mut Timers::default()).unwrap();
        let plain = particles.acceleration.clone();
        force.correction = Some(Box::new(Push(seen.clone())));
        force.accelerations(&mut particles, 0.7, &mut Timers::default()).unwrap();
        assert_eq!(*seen.borrow(), [0.7]);
        for (a, b) in plain.iter().zip(&particles.acceleration) {
            assert_eq!([a[0], a[1] + 0.5, a[2]], *b);
        }
    });
}

/// Final positions of 64³ particles after 40 steps by identity, on every rank of `comm`, in Mpc/h.
fn final_positions<T: Real>(comm: &Comm, n: usize, box_size: f64) -> Vec<f64> {
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    let power = CosmologyConfig::default().linear_power(&cosmology, 0).unwrap();
    let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
    let mut noise = white_noise::<T>(&lattice, 3, 0);
    let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
    let delta = linear_modes(&mut exact, &mut noise, box_size, |k| power.p(k), false, false);
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
    let start = LptGrowth::at(&factors, 0.1);
    let mut particles = lagrangian_particles(&mut fft, &delta, box_size, Gradient::FourPoint, 2, &start, false);
    let mut force = Force::new(&lattice.with_shape([2 * n; 3]), box_size, (n as u64).pow(3), &ForceConfig::default());
    force.exchange(&mut particles);
    let table = StepTable::new(&StepConfig { steps: 40, ..Default::default() }, &factors, &[]);
    evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
    let mut all = vec![0.0; 3 * n.pow(3)];
    for (id, x) in particles.id.iter().zip(&particles.position) {
        (0..3).for_each(|d| all[3 * *id as usize + d] = x[d].f64());
    }
    comm.sum(&mut all);
    all
}

/// Largest and rms periodic distance over the box between the same universe on one rank and on several.
fn apart<T: Real>(comm: &Comm) -> [f64; 2] {
    let (n, l) = (64, 256.0);
    let alone = comm.alone();
    let mut one = if comm.is_root() { final_positions::<T>(&alone, n, l) } else { vec![0.0; 3 * n.pow(3)] };
    comm.broadcast(0, &mut one);
    let many = final_positions::<T>(comm, n, l);
    let distances = one.chunks(3).zip(many.chunks(3)).map(|(a, b)| {
        let apart = |(x, y): (&f64, &f64)| ((x - y + 1.5 * l).rem_euclid(l) - 0.5 * l).powi(2);
        a.iter().zip(b).map(apart).sum::<f64>().sqrt() / l
    });
    let (largest, sum) = distances.fold((0.0f64, 0.0), |(m, s), d| (m.max(d), s + d * d));
    [largest, (sum / n.pow(3) as f64).sqrt()]
}

#[test]
fn final_positions_do_not_depend_on_the_ranks() {
    mpi::on_ranks("final_positions_do_not_depend_on_the_ranks", &[2, 3], |comm| {
        let ([largest, _], [_, rms]) = (apart::<f64>(comm), apart::<f32>(comm));
        say(comm, format_args!("{} ranks: largest {largest:.1e} box (f64), rms {rms:.1e} box (f32)", comm.size()));
        assert!(largest < 1e-9, "largest distance {largest} box");
        assert!(rms < 2e-6, "rms distance {rms} box");
    });
}

/// With the same noise, the low-k power of a low-amplitude run grows as D². The particles' lattice makes waves grow too
/// fast by about (k times its spacing)²/12, so the two lowest bins of a box of 64³ are looked at.
#[test]
fn linear_growth() {
    mpi::on_ranks("linear_growth", &[2], |comm| {
        let n = 64;
        let box_size = 4.0 * n as f64;
        let growth = Growth::new(&planck());
        let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
        let mut meter = PowerMeter::<f64>::new(&lattice.with_shape([2 * n; 3]), box_size);
        let mut measure = |p: &Particles<f64>| meter.measure(&PowerConfig::default(), &p.position, (n as u64).pow(3));
        let (late, _) = toy_universe::<f64>(comm, n, 1e-6, 0.1);
        let end = measure(&late);
        // The initial conditions alone: the same noise and spectrum displaced by D(0.1).
        let mut noise = white_noise::<f64>(&lattice, 11, 0);
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Exact);
        let power = |k: f64| 1e-6 * 4e5 * k / (1.0 + (k / 0.02).powi(3));
        let delta = linear_modes(&mut fft, &mut noise, box_size, power, false, false);
        let cosmology = planck();
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
        let mut early = lagrangian_particles(
            &mut fft,
            &delta,
            box_size,
            Gradient::FourPoint,
            2,
            &LptGrowth::at(&factors, 0.1),
            false,
        );
        Force::<f64>::new(&lattice.with_shape([2 * n; 3]), box_size, (n as u64).pow(3), &ForceConfig::default())
            .exchange(&mut early);
        let start = measure(&early);
        for bin in 0..2 {
            let grown = end.power[bin] / start.power[bin] * growth.d1(0.1).powi(2);
            say(comm, format_args!("power over D² at k = {:.4} h/Mpc: {grown:.5}", end.k[bin]));
            assert!((grown - 1.0).abs() < 0.005, "P grew by {grown} of D² at k = {}", end.k[bin]);
        }
    });
}

#[test]
fn step_table_is_consistent() {
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    for integrator in [Integrator::Fastpm, Integrator::Leapfrog] {
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator };
        let table = StepTable::new(&StepConfig { integrator, ..StepConfig::default() }, &factors, &[]);
        assert_eq!(table.forces(), 11);
        // Kicks and drifts each cover the whole interval without gap or overlap.
        let (mut kicked, mut drifted) = (0.1, 0.1);
        for row in &table.rows {
            match *row {
                Row::Kick { from, to, .. } => {
                    assert_eq!(from, kicked);
                    kicked = to;
                }
                Row::Drift { from, to, .. } => {
                    assert_eq!(from, drifted);
                    drifted = to;
                }
                Row::Force { a } | Row::Output { a } => assert_eq!(a, drifted),
            }
        }
        assert_eq!((kicked, drifted), (1.0, 1.0));
    }
}
