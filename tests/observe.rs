//! Products of finished universes, made again of what was kept of them.

mod mpi;

use polycosm::comm::{Comm, timers::Timers};
use polycosm::cosmology::CosmologyConfig;
use polycosm::error::{Error, Result};
use polycosm::io::field::{Data, Field, FieldSpec};
use polycosm::prior::{Parameter, Prior};
use polycosm::simulators::{Job, Kept, Pm, PmConfig, Simulator};
use std::path::Path;

const THETA: [f64; 2] = [0.31, 12.9];
const UNIVERSE: &str = "box_size = 64.0\nparticles = 16\nredshifts = [0.5, 0.0]\ncheckpoint_minutes = 0.0\n\
                        [time]\na_start = 0.1\nsteps = 4\n";
/// Everything that is seen of particles.
const ALL: &str = "[maps]\npixels = 8\nslabs = 2\n[density]\npoints = 8\n[pdf]\nradius = 8.0\n[power]\n[multipoles]\n\
                   [bispectrum]\nbin_width = 3.0\nconfigurations = [\"equilateral\"]\n[halos]\nlinking_length = 0.4\n\
                   min_members = 5\n[mass_function]\nlog_m_min = 11.5\nlog_m_max = 15.0\nbins = 4\n[galaxies]\nlog_m1 = 13.0\n";
const CONE: &str = "[lightcone]\nfield_of_view_deg = 3.0\npixels = 16\nlight_cones = 2\nreplicate_across = true\n\
                    source_redshifts = [0.3, 0.5]\n";

fn pm(head: &str, sections: &str) -> Pm<f32> {
    let cosmology = CosmologyConfig {
        omega_b: Some(0.05),
        h: Some(0.7),
        n_s: Some(0.96),
        sigma8: Some(0.9),
        ..Default::default()
    };
    let parameters = [Parameter::uniform("Omega_m", "", 0.2, 0.4), Parameter::uniform("log_m_min", "", 12.0, 14.0)];
    // Keys of the section itself come before its tables.
    let config: PmConfig = toml::from_str(&format!("{head}\n{UNIVERSE}{sections}")).unwrap();
    Pm::new(&config, &cosmology, &Prior::new(parameters.to_vec()).unwrap()).unwrap()
}

/// The whole fields of a universe, on the root.
fn simulated(comm: &Comm, pm: &Pm<f32>, job: &Job) -> Vec<Field> {
    let state = pm.evolve(comm, job, &mut Timers::default()).unwrap();
    Simulator::observe(pm, comm, &state).unwrap().iter().map(|f| f.gathered(comm)).collect()
}

fn with<T>(folder: Option<&Path>, work: impl FnOnce(&Job) -> T) -> T {
    let parameters = [Parameter::uniform("Omega_m", "", 0.2, 0.4), Parameter::uniform("log_m_min", "", 12.0, 14.0)];
    let prior = Prior::new(parameters.to_vec()).unwrap();
    work(&Job { index: 3, realisation: 2, seed: 7, theta: prior.theta(&THETA), folder })
}

/// The wanted fields of what was kept: the given fields of the dataset, and the folder.
fn again(comm: &Comm, pm: &Pm<f32>, job: &Job, wanted: &[&str], kept: &[Field]) -> Result<Vec<Field>> {
    let specs: Vec<FieldSpec> = kept.iter().map(|f| f.spec.clone()).collect();
    let read = |spec: &FieldSpec| -> Result<Data> {
        let found = kept.iter().find(|f| f.spec.name == spec.name);
        found.map(|f| f.data.clone()).ok_or_else(|| Error::failed("no such field").key(&spec.name))
    };
    let kept = Kept { specs: &specs, read: &read };
    let wanted: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
    comm.on_root(|| Simulator::check_kept(pm, job, &wanted, &kept))?;
    let made = Simulator::observe_kept(pm, comm, job, &wanted, &kept)?;
    assert!(wanted.iter().all(|name| made.iter().any(|f| &f.spec.name == name)), "{wanted:?}");
    Ok(made.iter().map(|f| f.gathered(comm)).collect())
}

fn named<'a>(fields: &'a [Field], name: &str) -> &'a Field {
    fields.iter().find(|f| f.spec.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn same_bits(comm: &Comm, made: &[Field], simulated: &[Field]) {
    for field in made {
        let was = named(simulated, &field.spec.name);
        assert_eq!(field.spec, was.spec);
        assert!(!comm.is_root() || !field.data.is_empty() && field.data.bytes() == was.data.bytes(), "{}", field.spec.name);
    }
}

/// Equal to rounding: most numbers to a relative `within`, for a particle may cross a pixel's edge.
fn close(comm: &Comm, made: &[Field], simulated: &[Field], within: f64) {
    for field in made.iter().filter(|_| comm.is_root()) {
        let wide = |data: &Data| match data {
            Data::F32(v) => v.iter().map(|x| *x as f64).collect::<Vec<_>>(),
            Data::F64(v) => v.clone(),
            Data::I64(v) => v.iter().map(|x| *x as f64).collect(),
        };
        let (is, was) = (wide(&field.data), wide(&named(simulated, &field.spec.name).data));
        let scale = was.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let far = is.iter().zip(&was).filter(|(a, b)| (**a - **b).abs() > within * scale).count();
        assert!(is.len() == was.len() && scale > 0.0 && far * 20 <= is.len(), "{}: {far} of {}", field.spec.name, is.len());
    }
}

fn names(fields: &[Field]) -> Vec<&str> {
    fields.iter().map(|f| f.spec.name.as_str()).collect()
}

#[test]
fn snapshots_give_back_every_bit() {
    mpi::on_ranks("snapshots_give_back_every_bit", &[1, 2, 4], |world| {
        let folder = mpi::shared_dir();
        let (kept, all) = (pm("snapshots = true", ""), pm("keep_particles = true", ALL));
        with(Some(&folder), |job| simulated(world, &kept, job));
        let expected = with(None, |job| simulated(world, &all, job));
        assert!(expected.len() >= 2 * 13, "{:?}", names(&expected));
        let made = with(Some(&folder), |job| again(world, &all, job, &names(&expected), &[])).unwrap();
        assert_eq!(made.len(), expected.len());
        same_bits(world, &made, &expected);
        // On other ranks than they were written on what does not depend on the order of sums is the same, too.
        if world.size() > 1 {
            let alone = world.split(Some(world.rank()), 0).unwrap();
            if world.is_root() {
                let made = with(Some(&folder), |job| again(&alone, &all, job, &names(&expected), &[])).unwrap();
                let exact = ["halos_z0.500", "galaxies_z0.000", "mass_function_z0.000", "position_z0.000"];
                same_bits(&alone, &exact.map(|name| named(&made, name).clone()), &expected);
                close(&alone, &["power_z0.500", "multipoles_z0.000"].map(|n| named(&made, n).clone()), &expected, 1e-4);
            }
        }
        world.barrier();
        // One of another universe, one that is damaged, and one that is gone are named.
        let path = folder.join("snapshots/000003_z0.500.hdf5");
        let refused = |what: &str| {
            let e = with(Some(&folder), |job| again(world, &all, job, &["power_z0.500"], &[])).err().unwrap();
            assert!(e.to_string().contains(what) && e.remedy.is_some(), "{e}");
        };
        let change = |name: &str| {
            if world.is_root() {
                let file = hdf5::File::open_rw(&path).unwrap();
                let array = file.dataset(name).unwrap();
                array.write_slice(&[3.0f32], ndarray::s![7..8, 1]).unwrap();
                file.close().unwrap();
            }
            world.barrier();
        };
        change("PartType1/Velocities");
        refused("checksum");
        if world.is_root() {
            std::fs::copy(folder.join("snapshots/000003_z0.000.hdf5"), &path).unwrap();
        }
        world.barrier();
        refused("scale factor");
        let other = |index: u64| {
            with(Some(&folder), |job| {
                let job = Job { index, ..*job };
                let from = folder.join("snapshots/000003_z0.000.hdf5");
                world.on_root(|| Ok(drop(std::fs::copy(&from, folder.join("snapshots/000005_z0.000.hdf5"))))).unwrap();
                again(world, &all, &job, &["power_z0.000"], &[])
            })
        };
        let e = other(5).err().unwrap();
        assert!(e.exit_code() == 2 && e.to_string().contains("shows simulation 3 of parameters [0.31, 12.9]"), "{e}");
        world.barrier();
        if world.is_root() {
            std::fs::remove_file(&path).unwrap();
        }
        world.barrier();
        refused("nothing was kept of simulation 3 that shows power_z0.500");
    });
}

#[test]
fn what_the_dataset_keeps_shows_what_it_can() {
    mpi::on_ranks("what_the_dataset_keeps_shows_what_it_can", &[1, 3], |world| {
        let all = pm("keep_particles = true", ALL);
        let expected = with(None, |job| simulated(world, &all, job));
        let only = |names: &[&str]| names.iter().map(|n| named(&expected, n).clone()).collect::<Vec<_>>();
        // Halos, for what is made of halos.
        let of_halos = ["galaxies_z0.500", "mass_function_z0.500", "galaxies_z0.000"];
        let halos = only(&["halos_z0.500", "halos_z0.000"]);
        let made = with(None, |job| again(world, &all, job, &of_halos, &halos)).unwrap();
        same_bits(world, &made, &expected);
        let linked = pm("", &ALL.replace("linking_length = 0.4", "linking_length = 0.3"));
        let e = with(None, |job| again(world, &linked, job, &["mass_function_z0.000"], &halos)).err().unwrap();
        assert!(e.exit_code() == 2 && e.to_string().contains("mass_function_z0.000"), "halos of another length: {e}");
        let e = with(None, |job| again(world, &all, job, &["galaxy_power_z0.500"], &halos)).err().unwrap();
        assert!(e.to_string().contains("galaxy_power_z0.500"), "there is no matter: {e}");
        // Particles, for everything, to rounding.
        let particles = only(&["position_z0.500", "velocity_z0.500"]);
        let wanted = ["power_z0.500", "multipoles_z0.500", "maps_z0.500", "mass_function_z0.500", "galaxy_power_z0.500"];
        let made = with(None, |job| again(world, &all, job, &wanted, &particles)).unwrap();
        close(world, &made, &expected, 1e-3);
    });
}

#[test]
fn planes_and_maps_are_seen_with_other_eyes() {
    mpi::on_ranks("planes_and_maps_are_seen_with_other_eyes", &[1, 2], |world| {
        let noise = "shape_noise = { sigma_e = 0.3, n_gal = 30.0 }\n";
        let spectra = "[c_ell]\nbins = 4\n[peaks]\nsmoothing = 0.1\n";
        for method in ["born", "raytrace"] {
            let cone = format!("{CONE}method = \"{method}\"\n");
            let kept = with(None, |job| simulated(world, &pm("", &format!("{cone}keep_planes = true\n")), job));
            let eyes = pm("", &format!("{cone}{noise}{spectra}"));
            let expected = with(None, |job| simulated(world, &eyes, job));
            let wanted = ["kappa", "c_ell", "peaks"];
            let made = with(None, |job| again(world, &eyes, job, &wanted, &kept)).unwrap();
            same_bits(world, &made, &expected);
            // Maps without noise do for noise, in single precision.
            let maps: Vec<Field> = kept.into_iter().filter(|f| f.spec.name != "lens_planes").collect();
            let made = with(None, |job| again(world, &eyes, job, &wanted, &maps)).unwrap();
            close(world, &made, &expected, 1e-5);
            // Noise cannot be taken off, and maps do not show other sources.
            let noisy: Vec<Field> = expected.into_iter().filter(|f| f.spec.name != "c_ell").collect();
            let made = with(None, |job| again(world, &eyes, job, &["c_ell"], &noisy)).unwrap();
            close(world, &made, &with(None, |job| simulated(world, &eyes, job)), 1e-5);
            let plain = pm("", &cone);
            let others = pm("", &cone.replace("[0.3, 0.5]", "[0.4, 0.5]"));
            for (pm, fields) in [(plain, noisy), (others, maps)] {
                let e = with(None, |job| again(world, &pm, job, &["kappa"], &fields)).err().unwrap();
                assert!(e.exit_code() == 2 && e.to_string().contains("keep_planes"), "{e}");
            }
        }
    });
}
