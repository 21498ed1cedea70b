//! The cost model counts what is really sent: its formulas against the counter of bytes, stage by stage.

mod mpi;

use polycosm::gravity::ForceConfig;
use polycosm::mesh::compact_grid;
use polycosm::particles::{Assignment, gradient_halo};
use polycosm::simulators::bench::Outcome;
use polycosm::simulators::pm::bench as steps;
use polycosm::simulators::pm::cost::Kernels;
use polycosm::simulators::pm::traffic::Layout;

fn bench(comm: &polycosm::comm::Comm) -> Outcome {
    let force = ForceConfig::default();
    steps::run::<f32>(&steps::Run { particles: 32, mesh_factor: 2.0, steps: 2, lpt_order: 2, force }, comm).unwrap()
}

#[test]
fn bytes_of_a_step_are_those_of_the_layout() {
    mpi::on_ranks("bytes_of_a_step_are_those_of_the_layout", &[1, 2, 4], |world| {
        let outcome = bench(world);
        let ranks = world.size() as f64;
        let layout = Layout { n: 64, grid: compact_grid(world.size()), real: 4 };
        let moved = |name: &str| outcome.stages.iter().find(|s| s.name == name).unwrap().bytes_moved as f64;
        let halo = ranks * layout.halo(gradient_halo(Assignment::Cic)).bytes;
        assert_eq!(moved("deposit"), halo);
        assert_eq!(moved("halo"), halo);
        // 33 modes do not divide evenly over two ranks: the largest block speaks for all.
        let transforms = ranks * 2.0 * layout.transform().bytes;
        let excess = transforms - moved("fft");
        assert!(excess >= 0.0 && excess <= 0.05 * transforms, "{transforms} {}", moved("fft"));
        assert_eq!(moved("interpolate"), 0.0);
        assert!((moved("exchange") > 0.0) == (world.size() > 1));
    });
}

#[test]
fn what_a_bench_measures_is_what_the_plan_starts_from() {
    mpi::on_ranks("what_a_bench_measures_is_what_the_plan_starts_from", &[1, 2], |world| {
        let outcome = bench(world);
        let whole = outcome.whole.as_ref().unwrap();
        assert!(whole.imbalance >= 1.0 && whole.lpt_seconds > 0.0);
        // The meshes alone are 2 × 64³ f32 for 32³ particles: 64 bytes per particle.
        assert!(whole.memory_bytes_per_particle.is_none_or(|b| b > 64.0));
        let seconds = |name: &str| outcome.stages.iter().find(|s| s.name == name).unwrap().seconds_mean;
        // One rank does not look for those that leave: the model takes three passes as long as the drift.
        let search = if world.size() == 1 { 3.0 * seconds("drift") } else { seconds("exchange") };
        let stages = ["kick", "drift", "deposit", "interpolate", "fft", "kernel", "halo"];
        let step = world.size() as f64 * (search + stages.map(seconds).iter().sum::<f64>());
        let k = Kernels::of(&outcome, 2.0).unwrap();
        let (particles, points) = (32f64.powi(3), 64f64.powi(3));
        let again = k.particle * particles + k.point * points + k.transform * 2.0 * points * 64f64.log2();
        assert!((again / step - 1.0).abs() < 1e-9, "{again} {step}");
        let text = serde_json::to_string(&outcome).unwrap();
        let back: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!(Kernels::of(&back, 2.0).unwrap(), k);
    });
}
