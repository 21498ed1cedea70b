//! Halo mass functions against Colossus and CCL.

use super::{agree, data, eisenstein_hu, planck, rows};
use polycosm::cosmology::{Growth, HaloFit, MassFunction, read_table};

#[test]
fn sigma_and_its_slope() {
    let power = eisenstein_hu(true);
    let radii = || (0..50).map(|i| 0.05 * 1.2_f64.powi(i));
    let difference = |r: f64| {
        let d = |e: f64| (power.sigma(r * (1.0 + e)) / power.sigma(r * (1.0 - e))).ln() / (2.0 * e);
        (4.0 * d(1e-3) - d(2e-3)) / 3.0
    };
    agree("dlnsigma/dlnR", radii().map(|r| (r, power.sigma_and_slope(r).1, difference(r))), 1e-4);
    agree("sigma", radii().map(|r| (r, power.sigma_and_slope(r).0, power.sigma(r))), 1e-14);
}

/// Colossus with its own σ(M), in full; its usual table of σ and CCL's spectrum show where halos are common.
#[test]
fn tinker_as_colossus_and_ccl() {
    let growth = Growth::new(&planck());
    let fit = eisenstein_hu(true);
    let camb = read_table(&data("camb_linear_pk.txt"), 0.8159).unwrap();
    for (file, first, power, fewest, tolerance) in [
        ("colossus_halos.txt", 7, &fit, 1e-15, 2e-3),
        ("colossus_tinker08_200m.txt", 1, &fit, 1e-9, 0.02),
        ("ccl_tinker08_200m_camb.txt", 1, &camb, 1e-9, 0.02),
    ] {
        let halos = MassFunction::new(&growth, power, HaloFit::Tinker08);
        for (i, z) in [0.0, 0.5, 1.0].into_iter().enumerate() {
            let pairs = rows(file).into_iter().map(|r| (r[0], halos.dn_dlnm(r[0], z), r[first + i]));
            agree(&format!("{file}, z = {z}"), pairs.filter(|p| p.2 > fewest), tolerance);
        }
    }
}

#[test]
fn friends_of_friends_as_colossus() {
    let growth = Growth::new(&planck());
    let power = eisenstein_hu(true);
    for (first, fit) in [(1, HaloFit::Jenkins01), (3, HaloFit::Warren06), (5, HaloFit::Watson13)] {
        let halos = MassFunction::new(&growth, &power, fit);
        for (i, z) in [0.0, 1.0].into_iter().enumerate() {
            let pairs = rows("colossus_halos.txt").into_iter().map(|r| (r[0], halos.dn_dlnm(r[0], z), r[first + i]));
            agree(&format!("{fit:?}, z = {z}"), pairs.filter(|p| p.2 > 1e-15), 2e-3);
        }
    }
    let mass = 4.0 / 3.0 * std::f64::consts::PI * planck().mean_density() * 512.0;
    assert!((MassFunction::new(&growth, &power, HaloFit::Watson13).radius(mass) / 8.0 - 1.0).abs() < 1e-12);
}
