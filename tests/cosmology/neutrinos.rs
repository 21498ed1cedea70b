//! Growth beside massive neutrinos against CAMB.

use super::measured::Table;
use super::{PLANCK, agree, rows};
use polycosm::cosmology::{Cosmology, EisensteinHu, Extension, Growth, LinearPower, NeutrinoResponse, read_table};

const REDSHIFTS: [f64; 3] = [0.0, 1.0, 9.0];

fn universe(m_nu: f64) -> Cosmology {
    Cosmology::extended(PLANCK, Extension { m_nu, radiation: true, ..Extension::default() }).unwrap()
}

/// P with neutrinos over P without, at fixed primordial amplitude, Omega_m, Omega_b, h; of all matter and of what is
/// cold.
#[test]
fn suppression_as_camb() {
    let table = rows("camb_neutrino_pk.txt");
    let massless = universe(0.0);
    let growth = Growth::new(&massless);
    let shape_0 = EisensteinHu::new(&massless).unwrap();
    for (m_nu, first) in [(0.1, 4), (0.3, 10)] {
        let massive = universe(m_nu);
        let shape = EisensteinHu::new(&massive).unwrap();
        let response = NeutrinoResponse::new(&massive).unwrap();
        let cold_today = response.cold_at(1.0);
        for (i, z) in REDSHIFTS.into_iter().enumerate() {
            let a = 1.0 / (1.0 + z);
            let (matter, factor) = (response.matter_at(a), response.factor_at(a));
            let without = growth.d1(a) * growth.suppression() / massless.omega_m();
            let suppression = |k: f64| (matter(k) * shape.wiggle(k) / (without * shape_0.wiggle(k))).powi(2);
            let pairs = || table.iter().map(|r| (r[0], suppression(r[0]), r[first + i] / r[1 + i]));
            if z == 0.0 {
                let mut table = Table::new(&format!("neutrinos_{m_nu}"), ["k", "suppression", "CAMB"], true);
                pairs().for_each(|(k, ours, theirs)| table.row([k, ours, theirs]));
            }
            let tolerance = if z > 5.0 { 7e-3 } else { 4e-3 };
            agree(&format!("P, {m_nu} eV, z = {z}"), pairs(), tolerance);
            let pairs = table.iter().map(|r| (r[0], 1.0 / factor(r[0]), (r[first + 3 + i] / r[first + i]).sqrt()));
            agree(&format!("cold over all, {m_nu} eV, z = {z}"), pairs, 1.5e-3);
            // From all matter today to what was cold then.
            let (cold, back) = (response.cold_at(a), response.growth_at(a));
            let pairs = || table.iter().map(|r| (r[0], cold(r[0]), (r[first + 3 + i] / r[first]).sqrt()));
            agree(&format!("cold then over all now, {m_nu} eV, z = {z}"), pairs().filter(|p| p.0 > 1e-3), 3e-3);
            agree("growth", table.iter().map(|r| (r[0], cold_today(r[0]) * back(r[0]), cold(r[0]))), 1e-12);
        }
    }
}

#[test]
fn limits_of_the_response() {
    assert!(NeutrinoResponse::new(&universe(0.0)).is_none());
    let cosmology = universe(0.3);
    let response = NeutrinoResponse::new(&cosmology).unwrap();
    let f_nu = cosmology.omega_nu() / cosmology.omega_m();
    assert!((response.factor(1e-4, 1.0) - 1.0).abs() < 1e-3);
    // On small scales δ_ν/δ_cb falls as k⁻².
    let part = |k: f64| response.factor(k, 1.0) - (1.0 - f_nu);
    assert!((part(20.0) / part(10.0) - 0.25).abs() < 5e-3, "{}", part(20.0) / part(10.0));
    // The rate is the growth's slope, and on small scales in matter domination (√(1 + 24 f_cb) − 1)/4 of that without.
    for k in [1e-3, 0.05, 10.0] {
        let ln = |a: f64| response.growth_at(a)(k).ln();
        let pairs = [0.02, 0.1, 0.5, 0.9]
            .map(|a| (a, response.rate_at(a)(k), (ln(a * 1.01) - ln(a / 1.01)) / (2.0 * 1.01_f64.ln())));
        agree(&format!("rate at k = {k}"), pairs, 1e-4);
        assert_eq!(response.growth_at(1.0)(k), 1.0);
    }
    let expected = ((25.0 - 24.0 * f_nu).sqrt() - 1.0) / 4.0;
    let rate = response.rate_at(0.1)(30.0) / Growth::new(&universe(0.0)).f1(0.1);
    assert!((rate / expected - 1.0).abs() < 1e-3, "{rate} {expected}");
}

/// sigma8 is that of all matter, and the table's spectrum is carried over as well as the fit's.
#[test]
fn spectra_with_neutrinos() {
    let massive = universe(0.3);
    let all = LinearPower::eisenstein_hu(&massive, true).unwrap();
    assert!((all.sigma(8.0) / 0.8159 - 1.0).abs() < 1e-12);
    let response = NeutrinoResponse::new(&massive).unwrap();
    let cold = all.transferred(response.cold_at(1.0));
    agree("cold", [1e-3, 0.1, 3.0].map(|k| (k, (cold.p(k) / all.p(k)).sqrt(), 1.0 / response.factor(k, 1.0))), 1e-6);
    let table = rows("camb_neutrino_pk.txt");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pk.txt");
    let text: String = table.iter().map(|r| format!("{:e} {:e}\n", r[0], r[10])).collect();
    std::fs::write(&path, text).unwrap();
    let of_table = read_table(&path, all.sigma(8.0)).unwrap();
    let then = of_table.transferred(response.cold_at(0.1));
    let scale = of_table.p(0.1) / all.p(0.1);
    assert!((scale - 1.0).abs() < 0.05, "{scale}");
    let pairs = || table.iter().map(|r| (r[0], then.p(r[0]) / of_table.p(r[0]), r[15] / r[10]));
    agree("of CAMB's table at z = 9", pairs().filter(|p| p.0 > 1e-3), 6e-3);
}
