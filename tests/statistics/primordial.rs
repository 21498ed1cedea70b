//! Local primordial non-Gaussianity as a campaign plants it.

use super::measured::Table;
use super::*;
use polycosm::cosmology::LinearPower;
use polycosm::prior::Theta;
use polycosm::simulators::{InitialConfig, Job};

/// `simulator.initial.f_nl` in linear density fields of ΛCDM, found again in their squeezed triangles: means of six
/// universes, each set its own. The fit's sigma is that of a Gaussian universe. What is planted multiplies the actual
/// power of the few longest waves, which scatters by √(2 / 80 modes / 6), 6% of f_NL: beside a sigma of 58 little at
/// 400, not so at 1000.
#[test]
fn planted_f_nl_is_recovered() {
    mpi::on_ranks("primordial::planted_f_nl_is_recovered", &[2], |comm| {
        let (n, l, universes) = (48, 2000.0, 6);
        let (cosmology, growth) = (planck(), Growth::new(&planck()));
        let power = LinearPower::eisenstein_hu(&cosmology, true).unwrap();
        let alpha = power.poisson(&cosmology, growth.suppression());
        let potential = |k: f64| power.p(k) / alpha(k).powi(2);
        let d = Decomposition::new(comm, [n; 3], None).unwrap();
        let shells = Shells::new(n, l, 1.0, TAU / l * n as f64 / 3.0).unwrap();
        let squeezed = (0..2).flat_map(|long| shells.squeezed(long, 2.0)).collect();
        let all = Triangles::new(&d, l, shells, squeezed).unwrap();
        let mut table = Table::new("f_nl", ["planted", "found", "sigma"], comm.is_root());
        for (set, planted) in [0.0, 400.0, -400.0].into_iter().enumerate() {
            let (mut mean, mut variance) = (0.0, 0.0);
            for universe in 0..universes {
                let config = InitialConfig { f_nl: planted, ..Default::default() };
                let realisation = set as u64 * universes + universe;
                let job = Job { index: 0, realisation, seed: 1, theta: Theta::NONE, folder: None };
                let mut delta = config.linear_density::<f64>(&d, &job, l, |k| power.p(k), &alpha).unwrap();
                delta.data_mut().iter_mut().for_each(|c| *c *= d.volume() as f64);
                let fit = fit_local_f_nl(&all, &all.measure(&mut delta, 0, 0.0), &alpha, potential, 0.0);
                table.row([planted, fit.f_nl, fit.sigma]);
                mean += fit.f_nl / universes as f64;
                variance += (fit.sigma / universes as f64).powi(2);
            }
            let (sigma, off) = (variance.sqrt(), (mean - planted) / variance.sqrt());
            say(comm, format_args!("f_NL planted {planted:5.0}, found {mean:6.1} ± {sigma:.1}: {off:+.2} sigma off"));
            assert!(off.abs() < 2.0, "planted {planted}, found {mean} ± {sigma}");
        }
    });
}
