//! Another code's snapshot, seen as the campaign's own universes are.

mod mpi;

use polycosm::cosmology::CosmologyConfig;
use polycosm::io::field::Data;
use polycosm::prior::Prior;
use polycosm::simulators::{Pm, PmConfig, Runner};

/// On any number of ranks, whatever process grid the suite's groups have; what is spread over ranks comes together.
#[test]
fn snapshots_are_seen_on_any_ranks() {
    mpi::on_ranks("snapshots_are_seen_on_any_ranks", &[1, 2, 3], |comm| {
        let text = "box_size = 256.0\nparticles = 64\nprocess_grid = [1, 2]\ninitial = { gradient = \"four-point\" }\n[density]\npoints = 32";
        let config: PmConfig = toml::from_str(text).unwrap();
        let pm = Pm::<f64>::new(&config, &CosmologyConfig::default(), &Prior::new(vec![]).unwrap()).unwrap();
        let snapshot = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/fastpm_observation.hdf5");
        let seen = pm.observe_file(comm, &snapshot).unwrap();
        let density = seen.fields.iter().find(|f| f.spec.name == "density").unwrap().gathered(comm);
        let values: Vec<f64> = match density.data {
            Data::F32(v) => v.into_iter().map(f64::from).collect(),
            Data::F64(v) => v,
            Data::I64(_) => panic!("densities are no counts"),
        };
        let points = if comm.is_root() { 32usize.pow(3) } else { 0 };
        assert_eq!((density.rows, values.len()), (if comm.is_root() { 32 } else { 0 }, points));
        if comm.is_root() {
            // Of the same snapshot with cloud-in-cell weights in NumPy: variance and two points.
            let mean = values.iter().sum::<f64>() / points as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / points as f64;
            let at = |i: usize, j: usize, k: usize| values[(i * 32 + j) * 32 + k];
            let found = [mean, variance, at(1, 2, 3), at(31, 0, 5)];
            let expected = [1.0, 1.4979677, 0.6477623, 0.1745933];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
        }
    });
}
