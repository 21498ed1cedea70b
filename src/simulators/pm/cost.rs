//! What a campaign will cost: the kernels' measured speed, and an assumed network. `docs/performance.md` has the
//! formulas.

use super::bench;
use super::config::{PmConfig, Precision};
use super::traffic::{Layout, Traffic};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::fields::kernels::Gradient;
use crate::gravity::Integrator;
use crate::limits;
use crate::mesh::compact_grid;
use crate::particles::gradient_halo;
use crate::simulators::bench::Outcome;
use crate::simulators::budget::{self, Machine, parts_of, size, time};
use std::f64::consts::PI;
use std::path::Path;

/// Seconds of the kernels on one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernels {
    /// Kick, drift, deposit, interpolation and the search for those that leave, per particle and step.
    pub particle: f64,
    /// One transform of N³, per point and log2 N.
    pub transform: f64,
    /// Green's function and halo copies, per point and step.
    pub point: f64,
    /// Initial conditions, per particle and log2 of their number per side.
    pub initial: f64,
}

impl Kernels {
    /// From a bench on any number of ranks, their time taken together. One rank sends nothing away and does not look
    /// for who leaves; that passes over the particles three times, as the drift does once.
    pub fn of(outcome: &Outcome, transforms: f64) -> Option<Kernels> {
        let (problem, whole) = (outcome.problem.as_ref()?, outcome.whole.as_ref()?);
        let ranks = outcome.ranks as f64;
        let of = |names: &[&str]| -> f64 {
            ranks
                * outcome
                    .stages
                    .iter()
                    .filter(|s| names.contains(&s.name.as_str()))
                    .map(|s| s.seconds_mean)
                    .sum::<f64>()
        };
        let (n, m) = (problem.particles as f64, problem.mesh as f64);
        if n < 2.0 || m < 2.0 || outcome.ranks == 0 {
            return None;
        }
        let search = if outcome.ranks == 1 { 3.0 * of(&["drift"]) } else { of(&["exchange"]) };
        Some(Kernels {
            particle: (of(&["kick", "drift", "deposit", "interpolate"]) + search) / n.powi(3),
            transform: of(&["fft"]) / (transforms * m.powi(3) * m.log2()),
            point: of(&["kernel", "halo"]) / m.powi(3),
            initial: ranks * whole.lpt_seconds / (n.powi(3) * n.log2()),
        })
    }
}

/// Transforms of one evaluation of the force.
pub fn transforms(pm: &PmConfig) -> f64 {
    if pm.force.gradient == Gradient::Spectral { 4.0 } else { 2.0 }
}

/// Measures each rank's kernels, all ranks at once and each for itself, with the campaign's own force and precision;
/// the mean over ranks. Collective.
pub fn measure(pm: &PmConfig, comm: &Comm) -> Result<Kernels> {
    /// Particles per side: meshes beyond any cache, and done in seconds.
    const SIDE: usize = 96;
    let run = bench::Run {
        particles: pm.particles.min(SIDE),
        mesh_factor: pm.mesh_factor,
        steps: 2,
        lpt_order: pm.initial.lpt_order,
        force: pm.force.clone(),
    };
    let alone = comm.alone();
    let outcome = comm.agree(match pm.precision {
        Precision::F32 => bench::run::<f32>(&run, &alone),
        Precision::F64 => bench::run::<f64>(&run, &alone),
    })?;
    let kernels = Kernels::of(&outcome, transforms(pm));
    let mut mean = kernels.map_or([f64::NAN; 4], |k| [k.particle, k.transform, k.point, k.initial]);
    comm.sum(&mut mean);
    let [particle, transform, point, initial] = mean.map(|sum| sum / comm.size() as f64);
    Ok(Kernels { particle, transform, point, initial })
}

/// The kernels of a saved bench, which had the default force.
pub fn read(file: &Path, pm: &PmConfig) -> Result<Kernels> {
    let wrong = |problem: String| {
        Error::input(problem)
            .key("--bench")
            .value(file.display().to_string())
            .remedy("make it with polycosm bench pm --json > FILE")
    };
    let text = limits::read_text(file, limits::CAMPAIGN).map_err(|e| wrong(e.problem))?;
    let outcome: Outcome = serde_json::from_str(&text).map_err(|e| wrong(format!("is not a bench: {e}")))?;
    let bytes = real_bytes(pm);
    if outcome.problem.as_ref().is_some_and(|p| p.real_bytes != bytes) {
        return Err(wrong(format!("is not of the campaign's precision, f{}", 8 * bytes)));
    }
    Kernels::of(&outcome, 2.0).ok_or_else(|| wrong("is not a bench of particle-mesh steps".into()))
}

fn real_bytes(pm: &PmConfig) -> usize {
    match pm.precision {
        Precision::F32 => 4,
        Precision::F64 => 8,
    }
}

/// Seconds of a universe's parts on the slowest of the ranks that share it.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub particles: f64,
    pub transforms: f64,
    pub mesh: f64,
    pub network: f64,
    /// Initial conditions, network included.
    pub initial: f64,
    /// Ranks that share it.
    pub ranks: usize,
    /// Fraction of the particles that change ranks in a step.
    pub crossing: f64,
    /// What a rank sends in a step: transforms, halos, particles.
    pub sent: [Traffic; 3],
}

impl Cost {
    /// Of `ranks` ranks, with steps that move particles by `shift` on average along an axis, as a fraction of the box.
    pub fn new(pm: &PmConfig, ranks: usize, kernels: &Kernels, machine: &Machine, shift: f64) -> Cost {
        let (grid, real) = (pm.process_grid.unwrap_or(compact_grid(ranks)), real_bytes(pm));
        let (mesh, lattice) = (Layout { n: pm.mesh(), grid, real }, Layout { n: pm.particles, grid, real });
        let held = lattice.points() * if ranks > 1 { machine.imbalance } else { 1.0 };
        let crossing = lattice.crossing(shift);
        let columns = if pm.time.integrator == Integrator::Cola { 12 } else { 6 };
        let halos = transforms(pm); // one to add the deposit's, one after each inverse transform
        let sent = [
            mesh.transform() * transforms(pm),
            mesh.halo(gradient_halo(pm.force.assignment)) * halos,
            lattice.particles(crossing, held * (8 + columns * real) as f64),
        ];
        // The noise and the gradient of each axis; the sources of second and third order and their gradients.
        let initial = lattice.transform() * [4.0, 14.0, 40.0][pm.initial.lpt_order.clamp(1, 3) - 1];
        Cost {
            particles: kernels.particle * held,
            transforms: kernels.transform * transforms(pm) * mesh.points() * (mesh.n as f64).log2(),
            mesh: kernels.point * mesh.points(),
            network: sent.iter().map(|t| machine.seconds(t.messages, t.bytes)).sum(),
            initial: kernels.initial * lattice.points() * (lattice.n as f64).log2()
                + machine.seconds(initial.messages, initial.bytes),
            ranks,
            crossing,
            sent,
        }
    }

    /// Seconds of one step.
    pub fn step(&self) -> f64 {
        self.particles + self.transforms + self.mesh + self.network
    }

    /// Seconds of a universe of so many forces, with its products, and how they come about.
    pub fn of_universe(&self, m: &Machine, origin: &str, forces: usize, looks: &[(String, f64)]) -> budget::Cost {
        let products = looks.iter().map(|look| look.1).sum::<f64>() / self.ranks as f64;
        let universe = forces as f64 * self.step() + self.initial + products;
        let sent = self.sent.map(|t| size(t.bytes as u64));
        let [step, start] = [self.step(), self.initial].map(time);
        let parts = [self.particles, self.transforms, self.mesh, self.network].map(time);
        let lines = vec![
            ("cost", format!("{origin}; files are not counted, nor is the network while products are made")),
            (
                "",
                format!(
                    "slowest rank {} times the mean; network: {} µs per message, {} GB/s per rank",
                    m.imbalance, m.latency, m.bandwidth
                ),
            ),
            (
                "one step",
                format!(
                    "{step}: particles {}, transforms {}, mesh {}, network {}",
                    parts[0], parts[1], parts[2], parts[3]
                ),
            ),
            (
                "sent per rank and step",
                format!(
                    "transforms {}, halos {}, particles {} ({:.2}% of them)",
                    sent[0],
                    sent[1],
                    sent[2],
                    100.0 * self.crossing
                ),
            ),
            ("products", format!("{}, scaled from a small universe{}", time(products), parts_of(looks, self.ranks))),
            (
                "one universe",
                format!("{}: {forces} forces, initial conditions {start}, products {}", time(universe), time(products)),
            ),
        ];
        budget::Cost { seconds: universe, lines }
    }
}

/// Mean |displacement| along an axis today in linear theory, in Mpc/h: √(2/π) σ with σ² = ∫ dk P / 6π² (Zel'dovich).
pub fn displacement(p: impl Fn(f64) -> f64) -> f64 {
    const POINTS: usize = 2000;
    let (first, last) = (1e-5f64.ln(), 1e2f64.ln());
    let width = (last - first) / POINTS as f64;
    let sum: f64 = (0..POINTS).map(|i| (first + (i as f64 + 0.5) * width).exp()).map(|k| k * p(k)).sum();
    (2.0 / PI * sum * width / (6.0 * PI * PI)).sqrt()
}
