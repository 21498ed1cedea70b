//! Non-linear matter power spectra against CAMB.

use super::{agree, data, planck, rows};
use polycosm::cosmology::{Growth, MatterPower, NonLinear, read_table};

/// With CAMB's own linear spectrum, as it is normalised there.
fn against(name: &str, model: NonLinear, tolerance: f64) {
    let linear = read_table(&data("camb_linear_pk.txt"), 0.81601).unwrap();
    let growth = Growth::new(&planck());
    let power = MatterPower::new(&growth, &linear, model, 3.0).unwrap();
    for (column, z) in [(1, 0.0), (2, 0.5), (3, 1.0)] {
        let at = power.at(1.0 / (1.0 + z));
        let pairs = rows(name).into_iter().filter(|r| r[0] > 1e-3 && r[0] < 30.0);
        agree(&format!("{model:?} at z = {z}"), pairs.map(|r| (r[0], at.p(r[0]), r[column])), tolerance);
    }
}

#[test]
fn halofit_as_camb() {
    against("camb_halofit_takahashi_pk.txt", NonLinear::Halofit, 5e-3);
}

#[test]
fn hmcode_as_camb() {
    against("camb_hmcode2020_pk.txt", NonLinear::Hmcode2020, 1e-2);
}
