//! Lagrangian perturbation theory and COLA against closed forms and against the particle-mesh code itself.

mod common;
mod measured;
mod mpi;

use common::{modes_of, planck, say};
use measured::Table;
use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, Growth};
use polycosm::error::Result;
use polycosm::fields::kernels::{Gradient, Smoothing};
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Transform};
use polycosm::observables::{PowerConfig, PowerMeter};
use polycosm::particles::{Assignment, Particles};
use std::f64::consts::TAU;

/// Only some terms of the displacement, with unit growth.
fn only(terms: &[usize]) -> LptGrowth {
    let d = std::array::from_fn(|i| terms.contains(&i) as u8 as f64);
    LptGrowth { d, p: d }
}

/// Where a particle would be without displacement.
fn lattice_point(id: u64, n: usize, box_size: f64) -> [f64; 3] {
    let (n, id) = (n as u64, id);
    [id / (n * n), id / n % n, id % n].map(|i| i as f64 * box_size / n as f64)
}

/// A plane wave is solved exactly by the first order: all others vanish.
#[test]
fn plane_wave_has_no_higher_orders() {
    mpi::on_ranks("plane_wave_has_no_higher_orders", &[1, 4], |comm| {
        let (n, l) = (16, 100.0);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let wave = |[i, j, k]: [usize; 3]| (TAU * (2 * i + j + 3 * k) as f64 / n as f64).cos();
        let delta = modes_of::<f64>(&d, wave);
        let mut fft = Fft::new(&d, Halo::default(), Transform::Fast);
        for gradient in [Gradient::FourPoint, Gradient::Spectral] {
            let mut of = |terms: &[usize]| {
                let p = lagrangian_particles(&mut fft, &delta, l, gradient, 3, &only(terms), false);
                comm.max_of(p.momentum.iter().flatten().fold(0.0f64, |a, x| a.max(x.abs())))
            };
            let first = of(&[0]);
            assert!(first > 1.0, "the wave itself displaces by {first} Mpc/h");
            for higher in 1..5 {
                let rest = of(&[higher]);
                assert!(rest < 1e-13 * first, "term {higher} of a plane wave: {rest} of {first}, {gradient:?}");
            }
        }
    });
}

/// Three waves along the axes: det S = −cos x cos y cos z, so Ψ3a = ∇ of that over 3, up to the sign of ∇⁻².
#[test]
fn determinant_in_closed_form() {
    mpi::on_ranks("determinant_in_closed_form", &[2], |comm| {
        let (n, l) = (16, TAU);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let x = |i: usize| TAU * i as f64 / n as f64;
        let delta = modes_of::<f64>(&d, |[i, j, k]| x(i).cos() + x(j).cos() + x(k).cos());
        let mut fft = Fft::new(&d, Halo::default(), Transform::Fast);
        let p = lagrangian_particles(&mut fft, &delta, l, Gradient::Spectral, 3, &only(&[2]), false);
        for (id, psi) in p.id.iter().zip(&p.momentum) {
            let [x, y, z] = lattice_point(*id, n, l);
            let expected = [x.sin() * y.cos() * z.cos(), x.cos() * y.sin() * z.cos(), x.cos() * y.cos() * z.sin()];
            for axis in 0..3 {
                assert!((psi[axis] + expected[axis] / 3.0).abs() < 1e-12, "{psi:?} at {x}, {y}, {z}");
            }
        }
    });
}

/// Two crossed waves δ = cos kx + cos ky: G = cos kx cos ky, so Ψ2 = −∇ cos kx cos ky / 2k² … in closed form; the third
/// order has no determinant (two dimensions).
#[test]
fn crossed_waves_in_closed_form() {
    mpi::on_ranks("crossed_waves_in_closed_form", &[1, 3], |comm| {
        let (n, l) = (16, TAU);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let x = |i: usize| TAU * i as f64 / n as f64;
        let delta = modes_of::<f64>(&d, |[i, j, _]| x(i).cos() + x(j).cos());
        let mut fft = Fft::new(&d, Halo::default(), Transform::Fast);
        let mut of =
            |term: usize| lagrangian_particles(&mut fft, &delta, l, Gradient::Spectral, 3, &only(&[term]), false);
        let check = |what: &str, p: &Particles<f64>, expected: &dyn Fn(f64, f64) -> [f64; 2]| {
            for (id, psi) in p.id.iter().zip(&p.momentum) {
                let [x, y, _] = lattice_point(*id, n, l);
                let [ex, ey] = expected(x, y);
                let far = (psi[0] - ex).abs().max((psi[1] - ey).abs()).max(psi[2].abs());
                assert!(far < 1e-12, "{what} at ({x}, {y}): {psi:?}, expected {ex}, {ey}");
            }
        };
        // With k = 1: Ψ1 = −(sin x, sin y), S = −diag(cos x, cos y).
        check("first order", &of(0), &|x, y| [-x.sin(), -y.sin()]);
        // G = cos x cos y, ∇²φ = G: φ = −cos x cos y / 2.
        check("second order", &of(1), &|x, y| [0.5 * x.sin() * y.cos(), 0.5 * x.cos() * y.sin()]);
        check("determinant", &of(2), &|_, _| [0.0, 0.0]);
        // χ = ∇∇φ: χ_xx = χ_yy = cos x cos y / 2, χ_xy = −sin x sin y / 2. S_ii χ_jj − S_ij χ_ij = S_xx χ_yy + S_yy
        // χ_xx = −(cos²x cos y + cos x cos²y)/2, with cos² = (1 + cos 2·)/2; each wave divided by minus its k².
        let mixed = |x: f64, y: f64| {
            let half = |x: f64, y: f64| 0.25 * (-y.sin() - y.sin() * (2.0 * x).cos() / 5.0);
            let other = |x: f64, y: f64| 0.25 * (-2.0 * (2.0 * x).sin() * y.cos() / 5.0);
            [other(x, y) + half(y, x), half(x, y) + other(y, x)]
        };
        check("mixed term", &of(3), &mixed);
        // W_z = S_lx χ_ly − S_ly χ_lx = (S_xx − S_yy) χ_xy = (cos x − cos y) sin x sin y / 2; Ψ = −∇⁻² curl W.
        let curl = |x: f64, y: f64| {
            // ∇⁻²W = −(sin 2x sin y − sin x sin 2y)/20; curl of −∇⁻²W = (∂y, −∂x) of (sin 2x sin y − sin x sin 2y)/20.
            let dy = (2.0 * x).sin() * y.cos() - 2.0 * x.sin() * (2.0 * y).cos();
            let dx = 2.0 * (2.0 * x).cos() * y.sin() - x.cos() * (2.0 * y).sin();
            [dy / 20.0, -dx / 20.0]
        };
        check("curl", &of(4), &curl);
    });
}

/// Keeps the particles at every moment that is asked for.
struct Album(Vec<(f64, Particles<f64>)>);

impl Observer<f64> for Album {
    fn after(&mut self, _: usize, row: &Row, particles: &Particles<f64>, _: &mut Timers) -> Result<()> {
        if let Row::Output { a } = row {
            self.0.push((*a, Particles { acceleration: vec![], ..particles.clone() }));
        }
        Ok(())
    }
}

/// rms distance of two sets of particles with the same identities, in Mpc/h.
fn rms(comm: &Comm, a: &Particles<f64>, b: &Particles<f64>, box_size: f64) -> f64 {
    let place = |p: &Particles<f64>| {
        let mut all = vec![[0.0; 3]; comm.sum_of(p.len() as u64) as usize];
        p.id.iter().zip(&p.position).for_each(|(&id, x)| all[id as usize] = *x);
        comm.sum(all.as_flattened_mut());
        all
    };
    let (a, b) = (place(a), place(b));
    let apart = |x: f64, y: f64| (x - y + 1.5 * box_size).rem_euclid(box_size) - 0.5 * box_size;
    let sum: f64 = a.iter().flatten().zip(b.iter().flatten()).map(|(&x, &y)| apart(x, y).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

/// rms distance between perturbation theory of order 1, 2, 3 and a fine run, at the given moments, and the slopes in D.
fn residuals(comm: &Comm, n: usize, moments: &[f64]) -> [(Vec<f64>, Vec<f64>); 3] {
    let l = 200.0;
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    // Few and long waves, in directions that are all different, far above what the lattice cannot resolve.
    let wave = |[i, j, k]: [usize; 3]| {
        let [x, y, z] = [i, j, k].map(|i| TAU * i as f64 / n as f64);
        0.8 * ((x + y).cos() + 0.7 * (y - z + 0.3).cos() + 0.9 * (x + z + 1.1).sin() + 0.5 * (x - y + z).sin())
    };
    let delta = modes_of::<f64>(&d, wave);
    let (cosmology, growth) = (planck(), Growth::new(&planck()));
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Cola };
    let mut fft = Fft::new(&d, Halo::default(), Transform::Fast);
    let mut lpt = |order: usize, a: f64, keep: bool| {
        lagrangian_particles(&mut fft, &delta, l, Gradient::Spectral, order, &LptGrowth::at(&factors, a), keep)
    };
    let end = moments[moments.len() - 1];
    let mut residual = Table::new(&format!("lpt_{n}"), ["order", "D", "rms"], comm.is_root());
    let time = StepConfig { a_start: 0.01, a_end: end, steps: 120, spacing: Spacing::Log, ..Default::default() };
    let table = StepTable::new(&time, &factors, moments);
    let kernel = ForceConfig {
        assignment: Assignment::Tsc,
        gradient: Gradient::Spectral,
        deconvolve: true,
        smoothing: Some(Smoothing::SharpK { k_max: 10.5 * TAU / l }),
    };
    let mut force = Force::new(&d.with_shape([3 * n; 3]), l, (n as u64).pow(3), &kernel);
    let mut particles = lpt(3, time.a_start, true);
    let mut album = Album(vec![]);
    force.exchange(&mut particles);
    evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut album).unwrap();
    [1, 2, 3].map(|order| {
        let far: Vec<f64> = album.0.iter().map(|(a, there)| rms(comm, &lpt(order, *a, false), there, l)).collect();
        let ln_d: Vec<f64> = moments.iter().map(|&a| growth.d1(a).ln()).collect();
        ln_d.iter().zip(&far).for_each(|(ln_d, far)| residual.row([order as f64, ln_d.exp(), *far]));
        let slopes: Vec<f64> = (1..far.len()).map(|i| (far[i] / far[i - 1]).ln() / (ln_d[i] - ln_d[i - 1])).collect();
        say(comm, format_args!("order {order}: rms {far:.6?} Mpc/h, slopes {slopes:.2?}"));
        (far, slopes)
    })
}

/// The distance between perturbation theory of order n and a fine run shrinks as Dⁿ⁺¹.
#[test]
fn residuals_shrink_with_the_order() {
    mpi::on_ranks("residuals_shrink_with_the_order", &[2], |comm| {
        for (order, (_, slopes)) in (1..).zip(residuals(comm, 32, &[0.14, 0.2, 0.28])) {
            let expected = order as f64 + 1.0;
            for slope in slopes {
                assert!((slope - expected).abs() < 0.6, "order {order}: slope {slope}, expected {expected}");
            }
        }
    });
}

/// The same with a lattice twice as fine, whose own error is smaller, so that smaller amplitudes can be looked at.
#[test]
#[ignore = "minutes: run by make validate"]
fn residuals_of_a_finer_lattice() {
    mpi::on_ranks("residuals_of_a_finer_lattice", &[2], |comm| {
        for (order, (_, slopes)) in (1..).zip(residuals(comm, 64, &[0.1, 0.14, 0.2])) {
            let expected = order as f64 + 1.0;
            for slope in slopes {
                assert!((slope - expected).abs() < 0.4, "order {order}: slope {slope}, expected {expected}");
            }
        }
    });
}

/// A single wave moves as Zel'dovich found until its particles cross.
#[test]
fn zeldovich_pancake() {
    mpi::on_ranks("zeldovich_pancake", &[2], |comm| {
        let (n, l) = (32, 100.0);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let k = TAU / l;
        // δ = A cos kx crosses at D = 1/A: at a = 0.4 (D = 0.5) it is half-way there.
        let delta = modes_of::<f64>(&d, |[i, _, _]| 1.1 * (TAU * i as f64 / n as f64).cos());
        let (cosmology, growth) = (planck(), Growth::new(&planck()));
        let mut shown = Table::new("pancake", ["integrator", "q", "exact", "displacement"], comm.is_root());
        for (number, integrator) in [Integrator::Fastpm, Integrator::Leapfrog, Integrator::Cola].into_iter().enumerate()
        {
            let factors = Factors { cosmology: &cosmology, growth: &growth, integrator };
            let time = StepConfig { a_start: 0.02, a_end: 0.4, steps: 60, spacing: Spacing::Log, ..Default::default() };
            let mut fft = Fft::new(&d, Halo::default(), Transform::Fast);
            let start = LptGrowth::at(&factors, 0.02);
            let mut particles = lagrangian_particles(&mut fft, &delta, l, Gradient::Spectral, 1, &start, true);
            let smoothing = Some(Smoothing::SharpK { k_max: 10.5 * k });
            let kernel =
                ForceConfig { assignment: Assignment::Tsc, gradient: Gradient::Spectral, deconvolve: true, smoothing };
            let mut force = Force::new(&d.with_shape([3 * n; 3]), l, (n as u64).pow(3), &kernel);
            force.exchange(&mut particles);
            let table = StepTable::new(&time, &factors, &[]);
            evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
            let amplitude = 1.1 * growth.d1(0.4) / k;
            let mut worst = 0.0f64;
            // Displacements along one line of particles; all lines are alike.
            let mut line = vec![0.0; n];
            for (id, x) in particles.id.iter().zip(&particles.position) {
                let q = lattice_point(*id, n, l);
                let moved = (x[0] - q[0] + 1.5 * l).rem_euclid(l) - 0.5 * l;
                worst = worst.max((moved + amplitude * (k * q[0]).sin()).abs());
                if (*id as usize).is_multiple_of(n * n) {
                    line[*id as usize / (n * n)] = moved;
                }
            }
            let worst = comm.max_of(worst) / amplitude;
            say(comm, format_args!("pancake, {integrator:?}: off by {worst:.1e} of the displacement"));
            assert!(worst < 1e-3, "{integrator:?}: off by {worst} of the displacement");
            comm.sum(&mut line);
            for (i, moved) in line.into_iter().enumerate() {
                let q = i as f64 * l / n as f64;
                shown.row([number as f64, q, -amplitude * (k * q).sin(), moved]);
            }
        }
    });
}

/// Ten steps of COLA against forty of FastPM.
#[test]
fn cola_in_ten_steps() {
    mpi::on_ranks("cola_in_ten_steps", &[2], |comm| {
        let (n, l) = (64, 256.0);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let config = CosmologyConfig::default();
        let (cosmology, growth) = (planck(), Growth::new(&planck()));
        let power = config.linear_power(&cosmology, 0).unwrap();
        let mut noise = white_noise::<f32>(&d, 4, 0);
        let mut fft = Fft::new(&d, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut fft, &mut noise, l, |k| power.p(k), false, false);
        let total = (n as u64).pow(3);
        let mesh = d.with_shape([2 * n; 3]);
        let mut run = |integrator: Integrator, steps: usize| {
            let factors = Factors { cosmology: &cosmology, growth: &growth, integrator };
            let keep = integrator == Integrator::Cola;
            let start = LptGrowth::at(&factors, 0.1);
            let mut particles = lagrangian_particles(&mut fft, &delta, l, Gradient::FourPoint, 2, &start, keep);
            let mut force = Force::new(&mesh, l, total, &ForceConfig::default());
            force.exchange(&mut particles);
            let table = StepTable::new(&StepConfig { steps, ..Default::default() }, &factors, &[]);
            evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
            PowerMeter::new(&mesh, l).measure(&PowerConfig::default(), &particles.position, total)
        };
        let (cola, fine) = (run(Integrator::Cola, 10), run(Integrator::Fastpm, 40));
        let coarse = run(Integrator::Fastpm, 10);
        let mut table = Table::new("cola", ["k", "cola", "fastpm"], comm.is_root());
        for (i, fine) in fine.power.iter().enumerate() {
            table.row([cola.k[i], cola.power[i] / fine, coarse.power[i] / fine]);
        }
        let worst = (0..cola.k.len())
            .filter(|&i| cola.k[i] < 0.2)
            .map(|i| (cola.power[i] / fine.power[i] - 1.0).abs())
            .fold(0.0, f64::max);
        say(comm, format_args!("COLA, 10 steps, against 40 of FastPM: P(k) within {worst:.4} to 0.2 h/Mpc"));
        assert!(worst < 0.02, "P(k) differs by {worst}");
    });
}
