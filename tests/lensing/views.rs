//! Several light cones through one universe.

use super::*;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::CosmologyConfig;
use polycosm::io::field::{Data, Field};
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::{Job, Pm, PmConfig, Simulator};

/// The fields of a small universe with this many light cones, on every rank those that the root has.
fn universe(comm: &Comm, light_cones: usize) -> Vec<Field> {
    let config: PmConfig = toml::from_str(&format!(
        "box_size = 128.0\nparticles = 32\ntime = {{ steps = 4 }}
        lightcone = {{ field_of_view_deg = 3.0, pixels = 32, light_cones = {light_cones}, source_redshifts = [0.4, 0.6],
            replicate_across = true, method = \"raytrace\", shape_noise = {{ sigma_e = 0.3, n_gal = 1e4 }}, keep_planes = true }}
        c_ell = {{ bins = 4 }}\npeaks = {{ bins = 4, smoothing = 0.1 }}"
    ))
    .unwrap();
    let cosmology = "Omega_m = 0.3\nOmega_b = 0.05\nOmega_k = 0.1\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8";
    let cosmology: CosmologyConfig = toml::from_str(cosmology).unwrap();
    let pm = Pm::<f32>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
    let job = Job { index: 0, realisation: 3, seed: 1, theta: Theta::NONE, folder: None };
    let state = pm.evolve(comm, &job, &mut Timers::default()).unwrap();
    let fields = pm.observe(comm, &state).unwrap();
    let specs: Vec<_> = fields.iter().map(|f| f.spec.clone()).collect();
    assert_eq!(specs, Simulator::specs(&pm), "fields are as they were announced");
    fields
}

fn numbers(field: &Field) -> Vec<f64> {
    match &field.data {
        Data::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        Data::F64(v) => v.clone(),
        Data::I64(v) => v.iter().map(|n| *n as f64).collect(),
    }
}

/// The first of three is the one that is alone, the others differ from it and from each other, and are as rough.
#[test]
fn several_light_cones() {
    mpi::on_ranks("views::several_light_cones", &[2], |comm| {
        let (one, three) = (universe(comm, 1), universe(comm, 3));
        if !comm.is_root() {
            return;
        }
        assert_eq!(one.len(), 5);
        for (one, three) in one.iter().zip(&three) {
            let name = &one.spec.name;
            if one.spec.ragged {
                assert_eq!((3 * one.rows, &one.spec), (three.rows, &three.spec));
            } else {
                let shape: Vec<usize> = std::iter::once(3).chain(one.spec.shape.iter().copied()).collect();
                assert_eq!((three.rows, &three.spec.shape, three.spec.axes.len()), (3, &shape, shape.len()));
                assert_eq!(three.spec.axes[0].name, "light_cone");
            }
            let (one, three) = (numbers(one), numbers(three));
            assert_eq!(3 * one.len(), three.len(), "{name}");
            let views: Vec<&[f64]> = three.chunks_exact(one.len()).collect();
            assert!(views[0] == one, "{name}: another first light cone");
            assert!(views[1] != views[0] && views[2] != views[0] && views[2] != views[1], "{name}: the same cones");
            if name == "kappa" {
                let rough = [0, 1, 2].map(|i: usize| rms(views[i].iter().copied()));
                println!("rms κ of three light cones: {rough:.4?}");
                assert!(rough.iter().all(|r| (r / rough[0] - 1.0).abs() < 0.5));
                let mixed = rms((0..one.len()).map(|p| views[0][p] - views[1][p]));
                assert!(mixed > rough[0].min(rough[1]), "two light cones resemble each other");
            }
        }
    });
}
