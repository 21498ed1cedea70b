//! Halo mass functions against fits to published simulations.

use super::*;
use gauss_quad::GaussLegendre;
use polycosm::cosmology::{HaloFit, MassFunction};
use polycosm::observables::{HaloConfig, PeriodicBox, find_halos};
use std::f64::consts::LN_10;
use std::num::NonZeroUsize;

/// Smallest halos that count, in particles.
const FEWEST: usize = 300;
/// Edges of the bins, log10 of Msun/h.
const EDGES: [f64; 5] = [13.4, 13.6, 13.85, 14.15, 14.6];
const FITS: [HaloFit; 3] = [HaloFit::Warren06, HaloFit::Jenkins01, HaloFit::Watson13];

/// Halos per bin in fixed pairs, found and expected of [`FITS`]. Friends of friends with b = 0.2 at z = 0; every mass
/// carries the correction that belongs to Warren's fit, N → N (1 − N^−0.6) (Warren et al. 2006, eq. 2).
fn halos(comm: &Comm, n: usize, box_size: f64, factor: usize, steps: usize, pairs: u64) -> Vec<(f64, [f64; 3])> {
    let mut pm = Pm::new(comm, n, box_size, factor, StepConfig { steps, ..StepConfig::default() });
    let config = HaloConfig { min_members: FEWEST, ..Default::default() };
    let particle_mass = pm.cosmology.mean_density() * (box_size / n as f64).powi(3);
    let mut found = vec![0.0; EDGES.len() - 1];
    for (realisation, inverted) in (0..pairs).flat_map(|r| [(r, false), (r, true)]) {
        let particles = pm.run(realisation, true, inverted, &mut ());
        let now = PeriodicBox { cosmology: &pm.cosmology, a: 1.0, box_size };
        for count in find_halos(comm, &config, &particles, n, &now).count {
            let members = count as f64;
            let mass = (particle_mass * members * (1.0 - members.powf(-0.6))).log10();
            let bin = EDGES.partition_point(|&edge| edge <= mass);
            if (1..EDGES.len()).contains(&bin) {
                found[bin - 1] += 1.0;
            }
        }
    }
    comm.sum(&mut found);
    let fits = FITS.map(|fit| MassFunction::new(&pm.growth, &pm.power, fit));
    let mut table = Table::new("mass_function_fits", ["M", "Jenkins", "Watson"], comm.is_root());
    for mass in (0..=60).map(|i| 10f64.powf(13.3 + 0.025 * i as f64)) {
        let [warren, jenkins, watson] = fits.each_ref().map(|fit| fit.dn_dlnm(mass, 0.0));
        table.row([mass, jenkins / warren, watson / warren]);
    }
    let volume = 2.0 * pairs as f64 * box_size.powi(3);
    let rule = GaussLegendre::new(NonZeroUsize::new(8).unwrap());
    let expected = |bin: usize| {
        fits.each_ref().map(|fit| {
            let per_log10 = |log_mass: f64| LN_10 * fit.dn_dlnm(10f64.powf(log_mass), 0.0);
            volume * rule.integrate(EDGES[bin], EDGES[bin + 1], per_log10)
        })
    };
    found.iter().enumerate().map(|(bin, &found)| (found, expected(bin))).collect()
}

/// Within 15%, beyond the Poisson error, of Warren et al.: 128³ particles in 128 Mpc/h (spacing 1 Mpc/h), B = 3, 40
/// FastPM steps from a = 0.1, a fixed pair.
#[test]
#[ignore = "minutes: run by make validate"]
fn mass_function_against_fits() {
    mpi::on_ranks("mass_function::mass_function_against_fits", &[2], |comm| {
        let columns = ["low", "high", "found", "over_Warren", "Poisson"];
        let mut table = Table::new("mass_function", columns, comm.is_root());
        for (bin, (found, expected)) in halos(comm, 128, 128.0, 3, 40, 1).into_iter().enumerate() {
            let [warren, jenkins, watson] = expected.map(|e| found / e);
            let poisson = warren / found.sqrt();
            let (low, high) = (EDGES[bin], EDGES[bin + 1]);
            say(
                comm,
                format_args!(
                    "log10 M {low:.2}-{high:.2}: {found:.0} halos, over Warren {warren:.3} ± {poisson:.3}, Jenkins {jenkins:.3}, Watson {watson:.3}"
                ),
            );
            table.row([low, high, found, warren, poisson]);
            assert!((warren - 1.0).abs() < 0.15 + poisson, "{warren} ± {poisson} at log10 M {low}-{high}");
        }
    });
}
