//! Massive neutrinos deflect light too.

use super::*;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{CosmologyConfig, NeutrinoResponse};
use polycosm::io::field::Data;
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::{Job, Pm, PmConfig, Simulator};

const LIGHTCONE: &str = "field_of_view_deg = 4.0\npixels = 32\nkeep_planes = true\nsource_redshifts = [0.6]";

/// The light cone of a small universe and its lens planes, on the root.
fn universe(comm: &Comm, m_nu: f64) -> Option<(Cone, Vec<f64>)> {
    let text = format!("box_size = 128.0\nparticles = 32\ntime = {{ steps = 4 }}\n[lightcone]\n{LIGHTCONE}");
    let config: PmConfig = toml::from_str(&text).unwrap();
    let cosmology =
        format!("Omega_m = 0.3\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\nsigma8 = 0.8\nradiation = true\nM_nu = {m_nu:?}");
    let cosmology: CosmologyConfig = toml::from_str(&cosmology).unwrap();
    let pm = Pm::<f32>::new(&config, &cosmology, &Prior::new(vec![]).unwrap()).unwrap();
    let job = Job { index: 0, realisation: 3, seed: 1, theta: Theta::NONE, folder: None };
    let state = pm.evolve(comm, &job, &mut Timers::default()).unwrap();
    let planes = pm.observe(comm, &state).unwrap().into_iter().find(|f| f.spec.name == "lens_planes").unwrap();
    let (config, cosmology) = (super::config(LIGHTCONE), cosmology.resolve(&[]).unwrap());
    let chi = Sources::new(&config, &cosmology).unwrap().farthest();
    let cone = Cone::new(&config, 128.0, &cosmology, chi).unwrap();
    let Data::F64(planes) = planes.data else { panic!("planes are kept in double precision") };
    comm.is_root().then_some((cone, planes))
}

/// How far from whole the numbers of particles are that make a map Σ_δ = d (N/N̄ − 1): at most, and rms.
fn from_whole(cone: &Cone, slice: &Slice, map: &[f64]) -> [f64; 2] {
    let mean = (32.0 / 128.0f64).powi(3) * cone.pixel().powi(2) * slice.volume;
    let off = |sigma: &f64| {
        let n = mean * (sigma / (slice.far - slice.near) + 1.0);
        (n - n.round()).abs()
    };
    [map.iter().map(off).fold(0.0, f64::max), rms(map.iter().map(off))]
}

/// Whole particles are seen. Beside neutrinos a plane is made of whole ones again by dividing every one of its waves by
/// δ_m/δ_cb at k = ℓ/f_K(χ) and the plane's moment.
#[test]
fn neutrinos_are_part_of_every_plane() {
    mpi::on_ranks("neutrinos::neutrinos_are_part_of_every_plane", &[2], |comm| {
        for m_nu in [0.0, 0.3] {
            let Some((cone, planes)) = universe(comm, m_nu) else { continue };
            let response = NeutrinoResponse::new(&cone.cosmology);
            assert_eq!((response.is_some(), planes.len()), (m_nu > 0.0, cone.slices.len() * 32 * 32));
            let mut fft = Plane::new([32; 2]);
            let (mut smallest, mut largest, mut broken) = (f64::INFINITY, 0f64, 0f64);
            for (slice, map) in cone.slices.iter().zip(planes.chunks_exact(32 * 32)) {
                let Some(response) = &response else {
                    assert!(from_whole(&cone, slice, map)[0] < 1e-9);
                    continue;
                };
                let fundamental = TAU / (cone.field * slice.chi);
                let factor = |i: i64, j: i64| response.factor(fundamental * ((i * i + j * j) as f64).sqrt(), slice.a);
                (smallest, largest) = (smallest.min(factor(16, 16)), largest.max(factor(1, 0)));
                let modes = fft.forward(map);
                let cold = fft.filtered(&modes, |i, j| (1.0 / (factor(i, j) * 1024.0)).into());
                // The nearest planes are empty.
                broken = broken.max(from_whole(&cone, slice, map)[1]);
                let cold = from_whole(&cone, slice, &cold)[0];
                assert!(cold < 1e-9, "{cold} from whole without neutrinos");
            }
            if m_nu > 0.0 {
                let f_nu = 1.0 - cone.cosmology.omega_cb() / cone.cosmology.omega_m();
                println!(
                    "f_ν = {f_nu:.4}; δ_m/δ_cb from {smallest:.4} to {largest:.4}; rms {broken:.3} from whole with them"
                );
                assert!(broken > 1e-3 && (smallest - (1.0 - f_nu)).abs() < 0.1 * f_nu && largest > smallest + 1e-3);
            }
        }
    });
}
