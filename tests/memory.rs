//! Memory: what a universe takes is what `polycosm plan` says, and little.

mod mpi;

use polycosm::comm::Comm;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::CosmologyConfig;
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::pm::memory_per_rank;
use polycosm::simulators::*;

/// A line of /proc/self/status in bytes: `VmRSS` now, `VmHWM` the most so far.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// Runs one universe and compares the most memory that a rank took with the plan. Returns the sum over ranks per
/// particle.
fn takes_what_is_planned(comm: &Comm, text: &str) -> f64 {
    let config: PmConfig = toml::from_str(text).unwrap();
    let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
    let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
    let pm = Pm::<f32>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
    let before = status("VmRSS");
    let folder = mpi::shared_dir();
    let job = Job { index: 0, realisation: 0, seed: 1, theta: Theta::NONE, folder: Some(&folder) };
    let state = pm.evolve(comm, &job, &mut Timers::default()).unwrap();
    pm.observe(comm, &state).unwrap();
    let used = (status("VmHWM") - before) as f64;
    let planned = memory_per_rank(&config, &cosmology.resolve(&[]).unwrap(), comm.size()).unwrap();
    let ratio = comm.max_of(used) / planned.expected as f64;
    let each = comm.sum_of(used) / (config.particles as f64).powi(3);
    if comm.is_root() {
        println!(
            "{used:.3e} bytes on a rank, {ratio:.3} of the plan; {each:.1} per particle: {}",
            text.replace('\n', ", ")
        );
    }
    assert!((ratio - 1.0).abs() < 0.15, "{ratio} of what was planned for {text}");
    assert!(planned.largest >= planned.expected);
    each
}

const UNIVERSE: &str = "box_size = 384.0\nparticles = 128\ntime = { steps = 5 }";

#[test]
fn a_step_takes_what_is_planned() {
    mpi::on_ranks("a_step_takes_what_is_planned", &[2], |comm| {
        let each = takes_what_is_planned(comm, UNIVERSE);
        assert!(each < 120.0, "{each} bytes per particle at B = 2");
    });
}

#[test]
fn a_spectrum_takes_what_is_planned() {
    mpi::on_ranks("a_spectrum_takes_what_is_planned", &[2], |comm| {
        takes_what_is_planned(comm, &format!("{UNIVERSE}\npower = {{}}"));
    });
}

#[test]
fn third_order_takes_what_is_planned() {
    mpi::on_ranks("third_order_takes_what_is_planned", &[2], |comm| {
        takes_what_is_planned(comm, &format!("{UNIVERSE}\nmesh_factor = 1.0\ninitial = {{ lpt_order = 3 }}"));
    });
}

#[test]
fn halos_take_what_is_planned() {
    mpi::on_ranks("halos_take_what_is_planned", &[2], |comm| {
        takes_what_is_planned(comm, &format!("{UNIVERSE}\nmesh_factor = 1.0\nhalos = {{}}"));
    });
}

/// Triangles of three different shells: three fields at once, in double precision while triangles are counted.
#[test]
fn a_bispectrum_takes_what_is_planned() {
    mpi::on_ranks("a_bispectrum_takes_what_is_planned", &[2], |comm| {
        let triangle = "configurations = [], triangles = [[0.3, 0.4, 0.5]]";
        takes_what_is_planned(comm, &format!("{UNIVERSE}\nbispectrum = {{ {triangle} }}"));
    });
}

/// Maps that outweigh the particles, at two redshifts: the first one's are kept.
#[test]
fn maps_take_what_is_planned() {
    mpi::on_ranks("maps_take_what_is_planned", &[2], |comm| {
        let universe = "box_size = 128.0\nparticles = 32\ntime = { steps = 3 }\nredshifts = [0.5, 0.0]";
        takes_what_is_planned(comm, &format!("{universe}\nmaps = {{ pixels = 1024, slabs = 4 }}"));
    });
}

#[test]
fn a_grid_takes_what_is_planned() {
    mpi::on_ranks("a_grid_takes_what_is_planned", &[2], |comm| {
        let universe = "box_size = 128.0\nparticles = 32\ntime = { steps = 3 }\nredshifts = [0.5, 0.0]";
        takes_what_is_planned(comm, &format!("{universe}\ndensity = {{ points = 320 }}"));
    });
}

const SKY: &str = "box_size = 384.0\nparticles = 64\nmesh_factor = 1.0\ntime = { steps = 5 }";

/// With checkpoints, for which all planes come together.
#[test]
fn a_light_cone_takes_what_is_planned() {
    mpi::on_ranks("a_light_cone_takes_what_is_planned", &[2], |comm| {
        let cone = "field_of_view_deg = 5.0, pixels = 768, source_redshifts = [0.5, 1.0]";
        takes_what_is_planned(comm, &format!("{SKY}\ncheckpoint_minutes = 1e-9\nlightcone = {{ {cone} }}"));
    });
}

/// The sphere, whose pixels are dealt out, with checkpoints.
#[test]
fn a_light_cone_of_the_sphere_takes_what_is_planned() {
    mpi::on_ranks("a_light_cone_of_the_sphere_takes_what_is_planned", &[2], |comm| {
        let cone = "nside = 512, source_redshifts = [0.15, 0.2], replicate_across = true";
        takes_what_is_planned(
            comm,
            &format!("{SKY}\ncheckpoint_minutes = 1e-9\nlightcone = {{ {cone} }}\nc_ell = {{}}"),
        );
    });
}

#[test]
fn ray_tracing_takes_what_is_planned() {
    mpi::on_ranks("ray_tracing_takes_what_is_planned", &[2], |comm| {
        let cone = "field_of_view_deg = 5.0, pixels = 768, source_redshifts = [0.5, 1.0]";
        takes_what_is_planned(comm, &format!("{SKY}\nlightcone = {{ {cone}, method = \"raytrace\" }}"));
    });
}

#[test]
fn ray_tracing_of_many_sources_takes_what_is_planned() {
    mpi::on_ranks("ray_tracing_of_many_sources_takes_what_is_planned", &[2], |comm| {
        let sources = "source_redshifts = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]";
        let cone = format!("field_of_view_deg = 5.0, pixels = 512, {sources}, method = \"raytrace\"");
        takes_what_is_planned(comm, &format!("{SKY}\nlightcone = {{ {cone} }}"));
    });
}

/// Two cones, whose planes and maps outweigh the particles.
fn two_cones(comm: &Comm, method: &str) {
    let cone = "field_of_view_deg = 5.0, pixels = 768, light_cones = 2, source_redshifts = [0.5, 1.0]";
    let lightcone = format!("lightcone = {{ {cone}, method = \"{method}\" }}");
    takes_what_is_planned(comm, &format!("{SKY}\ncheckpoint_minutes = 1e-9\n{lightcone}\nc_ell = {{}}"));
}

#[test]
fn two_light_cones_take_what_is_planned() {
    mpi::on_ranks("two_light_cones_take_what_is_planned", &[2], |comm| two_cones(comm, "born"));
}

#[test]
fn two_traced_light_cones_take_what_is_planned() {
    mpi::on_ranks("two_traced_light_cones_take_what_is_planned", &[2], |comm| two_cones(comm, "raytrace"));
}

/// A universe that clusters beyond what memory was planned for ends with advice.
#[test]
fn clustering_is_bounded() {
    mpi::on_ranks("clustering_is_bounded", &[4], |comm| {
        let text = "box_size = 32.0\nparticles = 64\nmesh_factor = 1.0\nmax_imbalance = 1.05\nprocess_grid = [4, 1]";
        let config: PmConfig = toml::from_str(text).unwrap();
        let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
        let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
        let pm = Pm::<f32>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
        let job = Job { index: 0, realisation: 0, seed: 1, theta: Theta::NONE, folder: None };
        let error = pm.evolve(comm, &job, &mut Timers::default()).err().expect("it clusters").to_string();
        assert!(
            error.contains("max_imbalance") && error.contains("times the mean") && error.contains("remedy"),
            "{error}"
        );
    });
}

/// Some ranks above the number of particles that is never a burden, others below: all end alike.
#[test]
fn few_particles_are_bounded_alike_on_all_ranks() {
    mpi::on_ranks("few_particles_are_bounded_alike_on_all_ranks", &[4], |comm| {
        let text = "box_size = 16.0\nparticles = 25\nmesh_factor = 1.0\nmax_imbalance = 1.0\nprocess_grid = [4, 1]";
        let config: PmConfig = toml::from_str(text).unwrap();
        let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
        let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
        let pm = Pm::<f32>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
        let job = Job { index: 0, realisation: 0, seed: 1, theta: Theta::NONE, folder: None };
        let refused = pm.evolve(comm, &job, &mut Timers::default()).is_err();
        assert_eq!(comm.sum_of(refused as u64), comm.size() as u64, "a rank went on alone");
    });
}

/// The same of a lognormal sky.
fn a_sky_takes(comm: &Comm, text: &str) {
    let keys = format!(
        "nside = 512\nshells = [0.0, 0.3, 0.6, 0.9]\nsource_redshifts = [0.6, 0.9]\ntheory = {{ limber_from = 0 }}\n{text}"
    );
    let config: LognormalSphereConfig = toml::from_str(&keys).unwrap();
    let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
    let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
    let prior = Prior::new(vec![]).unwrap();
    let universes = Universes { cosmology: Some(&cosmology), prior: &prior, ranks: comm.size() };
    let runner = config.runner(&universes).unwrap();
    let before = status("VmRSS");
    let job = Job { index: 0, realisation: 0, seed: 1, theta: Theta::NONE, folder: None };
    let fields = runner.simulate(comm, &job).unwrap();
    let used = comm.max_of((status("VmHWM") - before) as f64);
    drop(fields);
    let ratio = used / config.memory(&universes).unwrap().unwrap().expected as f64;
    if comm.is_root() {
        println!("{used:.3e} bytes on a rank, {ratio:.3} of the plan: {text}");
    }
    assert!((ratio - 1.0).abs() < 0.2, "{ratio} of what was planned for {text}");
}

#[test]
fn a_sky_takes_what_is_planned() {
    mpi::on_ranks("a_sky_takes_what_is_planned", &[2], |comm| a_sky_takes(comm, ""));
}

#[test]
fn a_sky_with_shear_takes_what_is_planned() {
    mpi::on_ranks("a_sky_with_shear_takes_what_is_planned", &[2], |comm| {
        a_sky_takes(comm, "shear = true\ndelta = true\nc_ell = { bins = 8 }");
    });
}

#[test]
fn a_part_of_a_sky_takes_what_is_planned() {
    mpi::on_ranks("a_part_of_a_sky_takes_what_is_planned", &[2], |comm| {
        a_sky_takes(comm, "footprint = \"octant\"\ndelta = true\nc_ell = { bins = 8 }");
    });
}
