//! Slow science, for `make validate`: prints its tables; docs/validation.md keeps them.

#[path = "validation/cones.rs"]
mod cones;
#[path = "validation/convergence.rs"]
mod convergence;
#[path = "validation/mass_function.rs"]
mod mass_function;
mod measured;
mod mpi;

use measured::Table;
use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{Cosmology, CosmologyConfig, Growth, LinearPower, Transfer};
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Transform};
use polycosm::observables::{PowerConfig, PowerMeter};
use polycosm::particles::Particles;

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

const PLANCK: [(&str, f64); 5] =
    [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];

fn say(comm: &Comm, what: std::fmt::Arguments) {
    if comm.is_root() {
        println!("{what}");
    }
}

/// PM universes of CAMB's linear spectrum, one after the other, in f32 from second-order initial conditions.
struct Pm {
    comm: Comm,
    box_size: f64,
    cosmology: Cosmology,
    growth: Growth,
    power: LinearPower,
    time: StepConfig,
    lattice: Decomposition,
    mesh: Decomposition,
    force: Force<f32>,
}

impl Pm {
    /// `n`³ particles, force mesh of `factor` points per particle and side.
    fn new(comm: &Comm, n: usize, box_size: f64, factor: usize, time: StepConfig) -> Self {
        let table = Some(data("camb_linear_pk.txt"));
        let config = CosmologyConfig { transfer: Transfer::Table, table, ..Default::default() };
        let cosmology = config.resolve(&PLANCK).unwrap();
        let power = config.linear_power(&cosmology, 0).unwrap();
        let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
        let mesh = lattice.with_shape([factor * n; 3]);
        let force = Force::new(&mesh, box_size, (n as u64).pow(3), &ForceConfig::default());
        Pm {
            comm: comm.clone(),
            box_size,
            growth: Growth::new(&cosmology),
            cosmology,
            power,
            time,
            lattice,
            mesh,
            force,
        }
    }

    fn total(&self) -> u64 {
        self.lattice.volume() as u64
    }

    fn factors(&self) -> Factors<'_> {
        Factors { cosmology: &self.cosmology, growth: &self.growth, integrator: self.time.integrator }
    }

    /// One universe, looked at by `observer`, to its end.
    fn run(
        &mut self,
        realisation: u64,
        fixed: bool,
        inverted: bool,
        observer: &mut impl Observer<f32>,
    ) -> Particles<f32> {
        let (factors, l) = (self.factors(), self.box_size);
        let (steps, start) = (StepTable::new(&self.time, &factors, &[]), LptGrowth::at(&factors, self.time.start()));
        let mut noise = white_noise::<f32>(&self.lattice, 1, realisation);
        let mut exact = Fft::new(&self.lattice, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut exact, &mut noise, l, |k| self.power.p(k), fixed, inverted);
        let mut fft = Fft::new(&self.lattice, Halo::default(), Transform::Fast);
        let mut particles = lagrangian_particles(&mut fft, &delta, l, Gradient::FourPoint, 2, &start, false);
        self.force.exchange(&mut particles);
        evolve(&self.comm, &steps, 0, &mut particles, &mut self.force, &mut Timers::default(), observer).unwrap();
        self.force.exchange(&mut particles);
        particles
    }
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
        let pairs: usize = 4;
        let mut pm = Pm::new(comm, 128, 256.0, 2, StepConfig { steps: 40, ..StepConfig::default() });
        let mut meter = PowerMeter::<f32>::new(&pm.mesh, pm.box_size);
        let (mut of_pairs, mut k, mut modes) = (vec![Vec::new(); pairs], Vec::new(), Vec::new());
        for (realisation, inverted) in (0..pairs).flat_map(|r| [(r, false), (r, true)]) {
            let particles = pm.run(realisation as u64, true, inverted, &mut ());
            let spectrum = meter.measure(&PowerConfig::default(), &particles.position, pm.total());
            let of_pair: &mut Vec<f64> = &mut of_pairs[realisation];
            of_pair.resize(spectrum.power.len(), 0.0);
            of_pair.iter_mut().zip(&spectrum.power).for_each(|(s, p)| *s += p / 2.0);
            (k, modes) = (spectrum.k, spectrum.modes);
        }
        let hmcode = columns("camb_hmcode2020_pk.txt");
        let ours = |i: usize| of_pairs.iter().map(|p| p[i]).sum::<f64>() / pairs as f64;
        let mut table = Table::new("power", ["k", "P", "HMcode", "linear"], comm.is_root());
        (0..k.len()).for_each(|i| table.row([k[i], ours(i), log_interpolate(&hmcode, k[i]), pm.power.p(k[i])]));
        let mut table = Table::new("power_bins", ["low", "high", "ratio", "error"], comm.is_root());
        for bin in 0..6 {
            let (low, high) = (0.05 * bin as f64, 0.05 * (bin + 1) as f64);
            let inside: Vec<usize> = (0..k.len()).filter(|&i| low <= k[i] && k[i] < high).collect();
            let weight: f64 = inside.iter().map(|&i| modes[i] as f64).sum();
            let mean = |f: &dyn Fn(usize) -> f64| inside.iter().map(|&i| modes[i] as f64 * f(i)).sum::<f64>() / weight;
            let ours = mean(&|i| ours(i) / pm.power.p(k[i]));
            let theirs = mean(&|i| log_interpolate(&hmcode, k[i]) / pm.power.p(k[i]));
            let ratio = ours / theirs;
            // Of the mean, from the scatter between pairs.
            let off = |p: &Vec<f64>| (mean(&|i| p[i] / pm.power.p(k[i])) / theirs - ratio).powi(2);
            let error = (of_pairs.iter().map(off).sum::<f64>() / (pairs * (pairs - 1)) as f64).sqrt();
            say(
                comm,
                format_args!(
                    "k {low:.2}-{high:.2} h/Mpc: P/P_lin {ours:.4}, HMcode {theirs:.4}, ratio {ratio:.4} ± {error:.4}"
                ),
            );
            table.row([low, high, ratio, error]);
            assert!((ratio - 1.0).abs() < 0.03, "k {low}-{high}: {ours} against HMcode's {theirs}");
        }
    });
}
