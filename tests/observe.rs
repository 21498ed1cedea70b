//! Products of finished universes, made again of what was kept of them.

mod common;
mod mpi;

use polycosm::comm::{Comm, timers::Timers};
use polycosm::cosmology::CosmologyConfig;
use polycosm::error::{Error, Result};
use polycosm::io::field::{Data, Field, FieldSpec};
use polycosm::io::hdf::File;
use polycosm::prior::{Parameter, Prior};
use polycosm::simulators::{Job, Kept, Pm, PmConfig, Simulator};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    let cosmology =
        CosmologyConfig { omega_b: Some(0.05), h: Some(0.7), n_s: Some(0.96), sigma8: Some(0.9), ..Default::default() };
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
        assert!(
            !comm.is_root() || !field.data.is_empty() && field.data.bytes() == was.data.bytes(),
            "{}",
            field.spec.name
        );
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
        assert!(
            is.len() == was.len() && scale > 0.0 && far * 20 <= is.len(),
            "{}: {far} of {}",
            field.spec.name,
            is.len()
        );
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
                if world.is_root() {
                    std::fs::copy(&from, folder.join("snapshots/000005_z0.000.hdf5")).unwrap();
                }
                world.barrier();
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
        let wanted =
            ["power_z0.500", "multipoles_z0.500", "maps_z0.500", "mass_function_z0.500", "galaxy_power_z0.500"];
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

/// The same of the sphere: other sources and noise of kept shells, noise and masks of kept maps.
#[test]
fn shells_give_the_sky_back() {
    mpi::on_ranks("shells_give_the_sky_back", &[1, 3], |world| {
        let cone = "[lightcone]\nnside = 8\nlight_cones = 2\nreplicate_across = true\nshear = true\n\
                    source_redshifts = [0.1, 0.15]\n";
        let noise = "shape_noise = { sigma_e = 0.3, n_gal = 1.0 }\n[c_ell]\nbins = 4\n";
        let kept = with(None, |job| simulated(world, &pm("", &format!("{cone}keep_planes = true\n")), job));
        let eyes = pm("", &format!("{cone}{noise}"));
        let expected = with(None, |job| simulated(world, &eyes, job));
        assert_eq!(names(&expected), ["kappa", "shear", "c_ell"]);
        let wanted = ["kappa", "shear", "c_ell"];
        let made = with(None, |job| again(world, &eyes, job, &wanted, &kept)).unwrap();
        same_bits(world, &made, &expected);
        let other = pm("", &format!("{cone}{noise}").replace("[0.1, 0.15]", "[0.12, 0.15]"));
        let made = with(None, |job| again(world, &other, job, &["kappa"], &kept)).unwrap();
        same_bits(world, &made, &with(None, |job| simulated(world, &other, job)));
        let maps: Vec<Field> = kept.into_iter().filter(|f| f.spec.name != "lens_planes").collect();
        let made = with(None, |job| again(world, &eyes, job, &wanted, &maps)).unwrap();
        close(world, &made, &expected, 1e-5);
        let noisy: Vec<Field> = expected.iter().filter(|f| f.spec.name != "c_ell").cloned().collect();
        let made = with(None, |job| again(world, &eyes, job, &["c_ell"], &noisy)).unwrap();
        close(world, &made, &expected, 1e-5);
        let e = with(None, |job| again(world, &pm("", cone), job, &["kappa"], &noisy)).err().unwrap();
        assert!(e.exit_code() == 2 && e.to_string().contains("keep_planes"), "{e}");
    });
}

const CAMPAIGN: &str = "output = \"run\"\nseed = 4\n[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\n[design]\n\
    simulations = 6\n[design.parameters.Omega_m]\nmin = 0.25\nmax = 0.35\n[design.parameters.sigma8]\nmin = 0.8\n\
    max = 0.9\n[suite]\nshard_size = 2\n[simulator]\nkind = \"pm\"\nbox_size = 64.0\nparticles = 16\n";
const TIME: &str = "[simulator.time]\na_start = 0.1\nsteps = 4\n";
const HALOS: &str = "[simulator.halos]\nlinking_length = 0.4\nmin_members = 5\n";
/// As the campaign was begun, and as it is then.
const BEGUN: &str = "[simulator.power]\n[simulator.maps]\npixels = 8\n[simulator.pdf]\n";
const THEN: &str = "[simulator.power]\nk_max_over_nyquist = 0.5\n[simulator.maps]\npixels = 8\n[simulator.multipoles]\n\
    [simulator.galaxies]\nlog_m_min = 12.5\nlog_m1 = 13.0\ndraws = 3\n";

/// Writes a campaign file with these keys of `[simulator]` and sections.
fn campaign(folder: &Path, keys: &str, sections: &str) {
    std::fs::write(folder.join("run.toml"), format!("{CAMPAIGN}{keys}{TIME}{HALOS}{sections}")).unwrap();
}

fn command(folder: &Path, ranks: usize, words: &[&str]) -> Command {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args([words[0], "run.toml"]).args(&words[1..]);
    run
}

#[track_caller]
fn runs(folder: &Path, ranks: usize, words: &[&str], code: i32, parts: &[&str]) {
    let ended = mpi::finish(command(folder, ranks, words), Duration::from_secs(120));
    common::says(&(ended.code, ended.text), code, parts);
}

/// All numbers of a campaign's dataset and shards, but how they were made.
fn contents(folder: &Path) -> Vec<(String, Vec<u64>)> {
    let mut all = vec![];
    for name in ["dataset.h5", "shards/00000.h5", "shards/00001.h5", "shards/00002.h5"] {
        let file = File::open(&folder.join("run").join(name)).unwrap();
        for array in file.arrays().into_iter().filter(|name| !name.starts_with("provenance/")) {
            let bits = file.read::<f64>(&array).unwrap().iter().map(|v| v.to_bits()).collect();
            all.push((format!("{name}/{array}"), bits));
        }
    }
    all
}

#[test]
fn a_campaign_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let [begun, fresh] = ["begun", "fresh"].map(|name| dir.path().join(name));
    [&begun, &fresh].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    campaign(&begun, "snapshots = true\n", BEGUN);
    runs(&begun, 2, &["observe"], 2, &["output", "was not begun", "polycosm simulate"]);
    runs(&begun, 2, &["simulate"], 0, &["6 simulations"]);
    runs(&begun, 2, &["observe"], 0, &["0 simulations looked at again"]);
    let before = contents(&begun);

    campaign(&fresh, "", THEN);
    runs(&fresh, 1, &["simulate"], 0, &["6 simulations"]);
    let all_new = contents(&fresh);

    // Other fields: refused by those who would mix them, with what to do. Nothing is changed by that.
    campaign(&begun, "", THEN);
    let what = ["6 finished simulations", "galaxies is new", "pdf is not asked for", "polycosm observe run.toml"];
    runs(&begun, 2, &["simulate"], 2, &[&what[..], &["power has another simulator.power"]].concat());
    runs(&begun, 1, &["status"], 0, &[&["outdated     "], &what[..]].concat());
    runs(&begun, 1, &["train"], 2, &["have other fields", "polycosm observe run.toml"]);
    assert_eq!(contents(&begun), before);
    // A universe that is shaped otherwise is another one.
    runs(&begun, 2, &["observe", "--set", "simulator.time.steps=5"], 2, &["simulator.time.steps", "was begun with 4"]);

    // One that is missing is named, and the others are left as they are; then some, a kill, and the rest.
    let (snapshot, aside) = (begun.join("run/snapshots/000004.hdf5"), begun.join("aside"));
    std::fs::rename(&snapshot, &aside).unwrap();
    runs(&begun, 2, &["observe"], 2, &["nothing was kept of simulation 4 that shows", "multipoles"]);
    assert_eq!(contents(&begun), before);
    runs(&begun, 2, &["observe", "--only", "0..2"], 0, &["3 simulations looked at again"]);
    runs(&begun, 1, &["status"], 0, &["outdated     3 finished simulations"]);
    // The lost one alone may be simulated anew, when the others were looked at.
    runs(&begun, 2, &["simulate", "--redo", "4"], 2, &["finished simulations", "polycosm observe"]);
    runs(&begun, 2, &["observe", "--only", "3..3"], 0, &["1 simulation looked at again"]);
    runs(&begun, 2, &["observe", "--only", "5..5"], 0, &["1 simulation looked at again"]);
    runs(&begun, 2, &["simulate", "--redo", "4"], 0, &["1 simulation"]);
    runs(&begun, 1, &["verify"], 0, &["6 simulations, 0 failed"]);
    assert!(contents(&begun) == all_new, "one was simulated, and the others looked at");
    // Back to the fields that it was begun with.
    std::fs::rename(&aside, &snapshot).unwrap();
    campaign(&begun, "", BEGUN);
    runs(&begun, 2, &["observe"], 0, &["6 simulations looked at again"]);
    assert!(contents(&begun) == before);
    campaign(&begun, "", THEN);
    let third = begun.join("run/sims/000003.h5");
    mpi::kill_when(command(&begun, 1, &["observe"]), || third.exists());
    runs(&begun, 2, &["observe"], 0, &["looked at again"]);

    assert!(contents(&begun) == all_new, "what was kept shows something else");
    runs(&begun, 2, &["simulate"], 0, &["nothing to do"]);
    runs(&begun, 2, &["verify"], 0, &["6 simulations, 0 failed"]);
    assert!(std::fs::read_dir(begun.join("run/sims")).unwrap().next().is_none());
    let shard = File::open(&begun.join("run/shards/00001.h5")).unwrap();
    let by = |at: &str| shard.json::<serde_json::Value>(at, "observed").unwrap();
    assert!(by("multipoles").unwrap()["version"].as_str().unwrap().starts_with("polycosm "));
    assert!(by("galaxies/data").is_some() && by("maps").is_none());
    // And back: halos and galaxies stay.
    let fewer = THEN.replace("draws = 3", "draws = 1");
    campaign(&begun, "", &fewer);
    runs(&begun, 3, &["observe"], 0, &["6 simulations looked at again"]);
    // What changes nothing but the numbers of a universe's design row is no other field.
    runs(&begun, 2, &["simulate", "--set", "design.simulations=8"], 0, &["2 simulations"]);
}

#[test]
fn a_folder_of_an_older_program_is_seen_as_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    campaign(folder, "snapshots = true\n", BEGUN);
    runs(folder, 1, &["simulate", "--set", "design.simulations=2"], 0, &["2 simulations"]);
    // Shards of older programs say nothing of how their fields were seen.
    let shard = hdf5::File::open_rw(folder.join("run/shards/00000.h5")).unwrap();
    shard.as_group().unwrap().delete_attr("fields").unwrap();
    drop(shard);
    let path = folder.join("run/shards/00000.h5");
    let file = hdf5::File::open_rw(&path).unwrap();
    for name in ["power", "maps", "pdf", "halos/data"] {
        let array = file.dataset(name).unwrap();
        let said: hdf5::types::VarLenUnicode = array.attr("spec").unwrap().read_scalar().unwrap();
        let mut spec: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(spec.as_object_mut().unwrap().remove("seen").is_some(), "{name}");
        let text: hdf5::types::VarLenUnicode = spec.to_string().parse().unwrap();
        array.delete_attr("spec").unwrap();
        array.new_attr::<hdf5::types::VarLenUnicode>().create("spec").unwrap().write_scalar(&text).unwrap();
    }
    file.close().unwrap();
    let two = ["--set", "design.simulations=2"];
    runs(folder, 1, &[&["simulate"], &two[..]].concat(), 0, &["nothing to do"]);
    let more = [&two[..], &["--set", "simulator.power.k_max_over_nyquist=0.5"]].concat();
    runs(folder, 1, &[&["simulate"], &more[..]].concat(), 2, &["power has another simulator.power"]);
    runs(folder, 1, &[&["observe"], &more[..]].concat(), 0, &["2 simulations looked at again"]);
    runs(folder, 1, &[&["simulate"], &more[..]].concat(), 0, &["nothing to do"]);
    runs(folder, 1, &[&["simulate"], &two[..]].concat(), 2, &["power has another simulator.power"]);
}

/// Sources and mask in files of these names: two sets of contents.
fn survey(folder: &Path, which: usize) {
    let [z, hidden] = [[0.3, 0.5], [40.0, 90.0]].map(|pair| pair[which]);
    std::fs::write(folder.join("nz.txt"), format!("0.1 0.0\n{z} 1.0\n0.6 0.0\n")).unwrap();
    let mask: Vec<f64> = (0..256).map(|i| (i as f64 > hidden) as u8 as f64).collect();
    let file = hdf5::File::create(folder.join("mask.h5")).unwrap();
    file.new_dataset::<f64>().shape([16, 16]).create("mask").unwrap().write_raw(&mask).unwrap();
}

/// Starts a command, asks its ranks to stop as soon as it has said where it writes, and waits for its end.
fn stopped(mut command: Command, log: &Path) -> Option<i32> {
    let file = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(60) {
            mpi::kill(&mut child);
            panic!("the job did not end: {}", std::fs::read_to_string(log).unwrap());
        }
        if !asked && std::fs::read_to_string(log).unwrap().contains("output: ") {
            mpi::children(child.id()).iter().for_each(|rank| mpi::send("TERM", &rank.to_string()));
            asked = true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn files_with_other_contents_are_seen_anew_and_a_stop_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sections = "[simulator.lightcone]\nfield_of_view_deg = 3.0\npixels = 16\nreplicate_across = true\n\
        keep_planes = true\nmask = \"mask.h5\"\nn_of_z = [{ table = { path = \"nz.txt\" } }]\n[simulator.c_ell]\nbins = 4\n";
    let pairs = ["--set", "suite.ranks_per_sim=2"];
    let words = |words: &[&'static str]| [words, &pairs].concat();
    let fresh = [0, 1].map(|which| {
        let folder = dir.path().join(which.to_string());
        std::fs::create_dir(&folder).unwrap();
        campaign(&folder, "", sections);
        survey(&folder, which);
        runs(&folder, 4, &words(&["simulate"]), 0, &["6 simulations"]);
        (contents(&folder), folder)
    });
    let [(first, folder), (second, _)] = &fresh;
    assert!(first != second);
    survey(folder, 1);
    let what = ["6 finished simulations", "kappa has another simulator.lightcone.mask, simulator.lightcone.n_of_z"];
    runs(folder, 4, &words(&["simulate"]), 2, &[&what[..], &["polycosm observe run.toml"]].concat());
    runs(folder, 1, &words(&["status"]), 0, &what);
    assert!(&contents(folder) == first);
    // One that has ended before it is asked to stop is looked at with the other files, and asked again.
    let (mut which, log) = (1, dir.path().join("log"));
    let code = (0..8).map(|_| stopped(command(folder, 4, &words(&["observe"])), &log)).find(|code| {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(*code == Some(85) && text.contains("stopped cleanly") || *code == Some(0), "{code:?}: {text}");
        let done = *code == Some(0);
        which = if done { 1 - which } else { which };
        survey(folder, which);
        !done
    });
    assert_eq!(code, Some(Some(85)), "never asked to stop in time");
    runs(folder, 4, &words(&["observe"]), 0, &["looked at again"]);
    assert!(contents(folder) == fresh[which].0, "products of other files");
    runs(folder, 2, &words(&["verify"]), 0, &["6 simulations, 0 failed"]);
}
