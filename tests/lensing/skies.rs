//! Universes whose light cone is over the sphere.

use super::*;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::CosmologyConfig;
use polycosm::io::field::{AxisKind, Data, Field};
use polycosm::io::hdf::File;
use polycosm::io::mask::of_sphere;
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::{Job, Pm, PmConfig, Simulator};
use polycosm::sphere::{Footprint, Rings};

/// The fields of a small universe, on the root, by name.
fn universe(comm: &Comm, keys: &str) -> Vec<Field> {
    universe_in(comm, keys, None)
}

/// The same, with checkpoints in a folder.
fn universe_in(comm: &Comm, keys: &str, folder: Option<&std::path::Path>) -> Vec<Field> {
    let config: PmConfig = toml::from_str(&format!(
        "box_size = 128.0\nparticles = 32\nprecision = \"f64\"\ncheckpoint_minutes = 1e-9\ntime = {{ steps = 4 }}
        lightcone = {{ nside = 16, source_redshifts = [0.05, 0.1], replicate_across = true, {keys} }}
        c_ell = {{ bins = 4 }}"
    ))
    .unwrap();
    let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
    let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
    let pm = Pm::<f64>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
    let job = Job { index: 0, realisation: 3, seed: 1, theta: Theta::NONE, folder };
    let state = pm.evolve(comm, &job, &mut Timers::default()).unwrap();
    let fields = pm.observe(comm, &state).unwrap();
    let specs: Vec<_> = fields.iter().map(|f| f.spec.clone()).collect();
    assert_eq!(specs, Simulator::specs(&pm), "fields are as they were announced");
    fields.iter().map(|f| f.gathered(comm)).collect()
}

fn numbers(fields: &[Field], name: &str) -> Vec<f64> {
    match &fields.iter().find(|f| f.spec.name == name).unwrap().data {
        Data::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        Data::F64(v) => v.clone(),
        Data::I64(v) => v.iter().map(|n| *n as f64).collect(),
    }
}

/// Alone and together the same, but for particles that rounding puts into the next pixel.
#[test]
fn universes_do_not_depend_on_the_ranks() {
    mpi::on_ranks("skies::universes_do_not_depend_on_the_ranks", &[1, 2, 3, 4], |comm| {
        let keys = "shear = true, keep_planes = true, shape_noise = { sigma_e = 0.3, n_gal = 0.1 }";
        let single = comm.alone();
        let (together, alone) = (universe(comm, keys), universe(&single, keys));
        if !comm.is_root() {
            return;
        }
        let names: Vec<&str> = together.iter().map(|f| f.spec.name.as_str()).collect();
        assert_eq!(names, ["kappa", "shear", "c_ell", "lens_planes"]);
        for name in names {
            let (a, b) = (numbers(&together, name), numbers(&alone, name));
            let scale = rms(b.iter().copied());
            let within = if name == "lens_planes" { 0.0 } else { 1e-5 };
            let apart = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > within * scale).count();
            assert!(a.len() == b.len() && scale > 0.0 && apart * 1000 <= a.len(), "{name}: {apart} of {}", a.len());
        }
        let kappa = numbers(&universe(&single, ""), "kappa");
        // Without noise the mean of κ vanishes, as far as the one box is as dense everywhere.
        let mean = kappa.iter().sum::<f64>() / kappa.len() as f64;
        assert!(mean.abs() < 0.2 * rms(kappa.iter().copied()), "{mean}");
        // Shear holds what κ does, E modes alone: the same power but for the lowest multipoles.
        let shear = numbers(&universe(&single, "shear = true"), "shear");
        let ratio = rms(shear.iter().copied()) * 2f64.sqrt() / rms(kappa.iter().copied());
        println!("rms shear over rms κ: {ratio:.3}");
        assert!(ratio > 0.6 && ratio < 1.0);
    });
}

/// A footprint stores what the full sky has there, noise and all, and says which pixels; masks in either order hide the
/// same.
#[test]
fn footprints_and_masks() {
    mpi::on_ranks("skies::footprints_and_masks", &[1, 2, 3], |comm| {
        let folder = mpi::shared_dir();
        let (rings, path) = (Rings::new(16).unwrap(), |name: &str| folder.join(name));
        let seen = |p: usize| rings.direction(p)[2] > 0.3 || p.is_multiple_of(5);
        if comm.is_root() {
            for (name, order) in [("ring.h5", "RING"), ("nested.h5", "nested")] {
                let of = |p: usize| if order == "RING" { p } else { rings.of_nested(p) };
                let mask: Vec<f32> = (0..rings.pixels()).map(|p| f32::from(seen(of(p)))).collect();
                let file = File::create(&path(name)).unwrap();
                file.write(None, "mask", &[mask.len()], &mask).unwrap();
                file.set_text("mask", "ORDERING", order).unwrap();
                file.close().unwrap();
            }
            let both = ["ring.h5", "nested.h5"].map(|name| of_sphere(&path(name), rings, "mask").unwrap());
            assert!(both[0] == both[1] && (0..rings.pixels()).all(|p| (both[0][p] == 1.0) == seen(p)));
        }
        comm.barrier();
        let noise = "shape_noise = { sigma_e = 0.3, n_gal = 0.1 }";
        let full = universe(comm, &format!("light_cones = 2, {noise}"));
        let file = |name: &str| path(name).display().to_string();
        let hidden = universe(comm, &format!("{noise}, mask_fill = -7.0, mask = '{}'", file("nested.h5")));
        let masked =
            format!("light_cones = 2, {noise}, keep_planes = true, footprint = {{ mask = '{}' }}", file("nested.h5"));
        let part = universe(comm, &masked);
        let octant = universe(comm, &format!("light_cones = 2, {noise}, footprint = \"octant\""));
        if !comm.is_root() {
            return;
        }
        let (all, n) = (numbers(&full, "kappa"), rings.pixels());
        for (p, x) in numbers(&hidden, "kappa").into_iter().enumerate() {
            assert_eq!(x, if seen(p % n) { all[p] } else { -7.0 });
        }
        for (fields, footprint) in [(&part, Footprint::of(rings, seen)), (&octant, Footprint::octant(rings))] {
            let spec = &fields[0].spec;
            assert_eq!(spec.shape, [2, 2, footprint.count()]);
            let axis = &spec.axes[2];
            assert!(matches!(axis.kind, AxisKind::Footprint { nside: 16, .. }));
            let listed = axis.pixels.iter().flat_map(|&[first, end]| first as usize..end as usize);
            assert!(listed.eq(footprint.pixels()));
            let expected = all.chunks(n).flat_map(|map| footprint.pixels().map(|p| map[p]));
            assert!(expected.eq(numbers(fields, "kappa")), "another sky");
            assert!(numbers(fields, "c_ell").iter().all(|c| c.is_finite()));
        }
        assert_eq!(part.last().unwrap().spec.shape, [0, Footprint::of(rings, seen).count()]);
    });
}

/// What had been seen before an interruption is there after it, to the last bit, whatever rank has it in the file.
#[test]
fn an_interrupted_sky_goes_on() {
    mpi::on_ranks("skies::an_interrupted_sky_goes_on", &[1, 3], |comm| {
        let folder = mpi::shared_dir();
        let keys = "light_cones = 2, keep_planes = true";
        let begun = universe_in(comm, keys, Some(&folder));
        let left: Vec<_> = std::fs::read_dir(folder.join("checkpoints")).unwrap().collect();
        assert!(!left.is_empty(), "checkpoints stay until the universe is packed");
        // From the last checkpoint, when the nearest shells are yet to be seen.
        let resumed = universe_in(comm, keys, Some(&folder));
        let anew = universe(comm, keys);
        assert_eq!(begun.len(), 3);
        for ((begun, resumed), anew) in begun.iter().zip(&resumed).zip(&anew) {
            assert!(begun.data.bytes() == resumed.data.bytes() && begun.data.bytes() == anew.data.bytes());
        }
    });
}
