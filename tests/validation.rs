//! Slow science, for `make validate`: prints its tables; docs/validation.md keeps them.

mod mpi;

use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, Growth, Transfer};
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Transform};
use polycosm::observables::{PowerConfig, PowerMeter};

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Columns 0 and 1 of a reference table.
fn columns(name: &str) -> (Vec<f64>, Vec<f64>) {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let row = |l: &str| {
        let mut words = l.split_whitespace().map(|w| w.parse::<f64>().unwrap());
        (words.next().unwrap(), words.next().unwrap())
    };
    text.lines().filter(|l| !l.starts_with('#')).map(row).unzip()
}

fn log_interpolate((x, y): &(Vec<f64>, Vec<f64>), at: f64) -> f64 {
    let i = x.partition_point(|&x| x < at).clamp(1, x.len() - 1);
    let t = (at / x[i - 1]).ln() / (x[i] / x[i - 1]).ln();
    (y[i - 1].ln() * (1.0 - t) + y[i].ln() * t).exp()
}

/// Mean of four fixed pairs over the linear spectrum, against HMcode 2020 over the same: 128³ particles in 256 Mpc/h
/// (spacing 2 Mpc/h), B = 2, 40 FastPM steps from a = 0.1, z = 0, in bins of 0.05 h/Mpc.
#[test]
#[ignore = "minutes: run by make validate"]
fn nonlinear_power_against_hmcode() {
    mpi::on_ranks("nonlinear_power_against_hmcode", &[2], |comm| {
        let (n, box_size, pairs) = (128usize, 256.0, 4);
        let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
        let table = Some(data("camb_linear_pk.txt"));
        let config = CosmologyConfig { transfer: Transfer::Table, table, ..Default::default() };
        let cosmology = config.resolve(&planck).unwrap();
        let (growth, power) = (Growth::new(&cosmology), config.linear_power(&cosmology, 0).unwrap());
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
        let time = StepConfig { steps: 40, ..StepConfig::default() };
        let steps = StepTable::new(&time, &factors, &[]);
        let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
        let mesh = lattice.with_shape([2 * n; 3]);
        let mut meter = PowerMeter::<f32>::new(&mesh, box_size);
        let total = (n as u64).pow(3);
        let (mut sum, mut k, mut modes) = (Vec::new(), Vec::new(), Vec::new());
        for (realisation, inverted) in (0..pairs).flat_map(|r| [(r, false), (r, true)]) {
            let mut noise = white_noise::<f32>(&lattice, 1, realisation);
            let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
            let delta = linear_modes(&mut exact, &mut noise, box_size, |k| power.p(k), true, inverted);
            let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
            let mut particles = lagrangian_particles(
                &mut fft,
                &delta,
                box_size,
                Gradient::FourPoint,
                2,
                &LptGrowth::at(&factors, time.a_start),
                false,
            );
            let mut force = Force::new(&mesh, box_size, total, &ForceConfig::default());
            force.exchange(&mut particles);
            evolve(comm, &steps, 0, &mut particles, &mut force, &mut Timers::default(), &mut ()).unwrap();
            force.exchange(&mut particles);
            let spectrum = meter.measure(&PowerConfig::default(), &particles.position, total);
            sum.resize(spectrum.power.len(), 0.0);
            sum.iter_mut().zip(&spectrum.power).for_each(|(s, p)| *s += p / (2 * pairs) as f64);
            (k, modes) = (spectrum.k, spectrum.modes);
        }
        let hmcode = columns("camb_hmcode2020_pk.txt");
        for bin in 0..6 {
            let (low, high) = (0.05 * bin as f64, 0.05 * (bin + 1) as f64);
            let inside: Vec<usize> = (0..k.len()).filter(|&i| low <= k[i] && k[i] < high).collect();
            let weight: f64 = inside.iter().map(|&i| modes[i] as f64).sum();
            let mean = |f: &dyn Fn(usize) -> f64| inside.iter().map(|&i| modes[i] as f64 * f(i)).sum::<f64>() / weight;
            let ours = mean(&|i| sum[i] / power.p(k[i]));
            let theirs = mean(&|i| log_interpolate(&hmcode, k[i]) / power.p(k[i]));
            if comm.is_root() {
                println!(
                    "k {low:.2}-{high:.2} h/Mpc: P/P_lin {ours:.4}, HMcode {theirs:.4}, ratio {:.4}",
                    ours / theirs
                );
            }
            assert!((ours / theirs - 1.0).abs() < 0.03, "k {low}-{high}: {ours} against HMcode's {theirs}");
        }
    });
}
