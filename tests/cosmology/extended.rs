//! Background and growth with radiation, curvature, w0–wa dark energy and massive neutrinos.

use super::section::refused;
use super::{PLANCK, agree, planck, rows};
use polycosm::cosmology::{Cosmology, CosmologyConfig, Extension, Growth};

const FLAT: Extension =
    Extension { omega_k: 0.0, w0: -1.0, wa: 0.0, m_nu: 0.0, n_eff: 3.046, t_cmb: 2.7255, radiation: true };

fn universe(beyond: Extension) -> Cosmology {
    Cosmology::extended(PLANCK, beyond).unwrap()
}

#[test]
fn radiation_as_reference() {
    let cosmology = universe(FLAT);
    assert!((cosmology.omega_r() / 9.117388e-5 - 1.0).abs() < 1e-7, "{}", cosmology.omega_r());
    let rows_z = || rows("comoving_distance.txt").into_iter().filter(|r| r[0] > 0.0);
    let distance = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
    agree("distance, quadrature", rows_z().map(|r| (r[0], distance(r[0]), r[2])), 1e-9);
    agree("distance, CAMB", rows_z().map(|r| (r[0], distance(r[0]), r[3])), 1e-8);
    let growth = Growth::new(&cosmology);
    let table = rows("growth_rad.txt");
    agree("D1 with radiation", table.iter().map(|r| (r[0], growth.d1(r[0]), r[1])), 1e-7);
    agree("f1 with radiation", table.iter().map(|r| (r[0], growth.f1(r[0]), r[2])), 1e-7);
    let early = (1e-5 + 2.0 / 3.0 * cosmology.equality()) / growth.d1(1e-5);
    assert!((growth.suppression() / early - 1.0).abs() < 1e-12);
    assert!((Growth::new(&planck()).suppression() / growth.suppression() - 1.0).abs() < 1e-3);
}

/// E, distances along and across the line of sight, and their inverse, against CAMB's in three universes.
#[test]
fn background_as_camb() {
    let table = rows("camb_background.txt");
    for (column, what, beyond) in [
        (1, "open", Extension { omega_k: 0.05, ..FLAT }),
        (4, "closed, w0-wa", Extension { omega_k: -0.05, w0: -0.9, wa: 0.3, ..FLAT }),
        (7, "0.3 eV, w0-wa", Extension { m_nu: 0.3, w0: -1.1, wa: -0.2, ..FLAT }),
    ] {
        let cosmology = universe(beyond);
        assert!((cosmology.e(1.0) - 1.0).abs() < 1e-12);
        let a = |r: &Vec<f64>| 1.0 / (1.0 + r[0]);
        let chi = |r: &Vec<f64>| cosmology.comoving_distance(a(r));
        agree(&format!("E, {what}"), table.iter().map(|r| (r[0], cosmology.e(a(r)), r[column])), 1e-5);
        agree(&format!("chi, {what}"), table.iter().map(|r| (r[0], chi(r), r[column + 1])), 1e-5);
        let across = |r: &Vec<f64>| cosmology.transverse_distance(chi(r));
        agree(&format!("across, {what}"), table.iter().map(|r| (r[0], across(r), r[column + 2])), 1e-5);
        let back = |r: &Vec<f64>| cosmology.scale_factor_at(chi(r)).unwrap();
        agree(&format!("a(chi), {what}"), table.iter().map(|r| (r[0], back(r), a(r))), 1e-11);
        assert!((cosmology.scale_factor_at(0.0).unwrap() - 1.0).abs() < 1e-14);
        assert!(cosmology.scale_factor_at(-1.0).is_none() && cosmology.scale_factor_at(1e6).is_none());
        // d ln H/d ln a against a difference.
        let slope = |a: f64| (cosmology.e(a * 1.0001) / cosmology.e(a / 1.0001)).ln() / (2.0 * 1.0001_f64.ln());
        let pairs = [1e-3, 1e-2, 0.1, 0.5, 1.0].map(|a| (a, cosmology.dlnh_dlna(a), slope(a)));
        agree(&format!("dlnH/dlna, {what}"), pairs, 1e-6);
    }
}

/// D of k = 5 h/Mpc there, where pressure and radiation have no say any more.
#[test]
fn growth_as_camb() {
    let table: Vec<Vec<f64>> = include_str!("../data/camb_growth.txt")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.split_whitespace().map(|w| w.parse().unwrap()).collect())
        .collect();
    for (column, what, beyond) in [
        (1, "open", Extension { omega_k: 0.05, ..FLAT }),
        (2, "closed, w0-wa", Extension { omega_k: -0.05, w0: -0.9, wa: 0.3, ..FLAT }),
        (3, "w0-wa", Extension { w0: -1.1, wa: -0.2, ..FLAT }),
    ] {
        let growth = Growth::new(&universe(beyond));
        let pairs = table.iter().map(|r| (r[0], growth.d1(1.0 / (1.0 + r[0])), r[column]));
        agree(&format!("D1 of CAMB, {what}"), pairs, 1e-5);
    }
}

/// Closed forms: Heath 1977 for curvature, D ∝ E ∫ da/(aE)³; Padmanabhan 2003 for constant w in a flat universe,
/// D ∝ a 2F1(−1/3w, (w−1)/2w; 1 − 5/6w; −x), x = (1 − Ωm)/Ωm a^(−3w), by Pfaff's transformation a series in x/(1+x).
#[test]
fn growth_in_closed_forms() {
    let scale_factors = || (1..=60).map(|i| i as f64 / 50.0);
    for omega_k in [-0.1, 0.3, 0.6911] {
        let cosmology = universe(Extension { omega_k, radiation: false, ..FLAT });
        let growth = Growth::new(&cosmology);
        let heath = |a: f64| {
            // Over u = a^(5/2), the integrand du (2/5) / (a^(3/2) E)³ is smooth.
            let n = 4000;
            let f = |u: f64| (u.powf(0.6) * cosmology.e(u.powf(0.4))).powi(-3);
            let h = a.powf(2.5) / n as f64;
            cosmology.e(a) * (0..n).map(|i| f((i as f64 + 0.5) * h)).sum::<f64>() * h
        };
        let today = heath(1.0);
        let pairs = scale_factors().map(|a| (a, growth.d1(a), heath(a) / today));
        agree(&format!("D1, Omega_k = {omega_k}"), pairs, 1e-5);
    }
    for w in [-0.6, -0.9, -1.2] {
        let growth = Growth::new(&universe(Extension { w0: w, radiation: false, ..FLAT }));
        let closed = |a: f64| {
            let x = (1.0 - PLANCK[0]) / PLANCK[0] * a.powf(-3.0 * w);
            let (first, second, third) = (-1.0 / (3.0 * w), (w - 1.0) / (2.0 * w), 1.0 - 5.0 / (6.0 * w));
            let (mut term, mut sum) = (1.0, 0.0);
            for n in 0..5000 {
                let n = n as f64;
                sum += term;
                term *= (first + n) * (third - second + n) / ((third + n) * (n + 1.0)) * x / (1.0 + x);
            }
            a * sum * (1.0 + x).powf(-first)
        };
        let pairs = scale_factors().map(|a| (a, growth.d1(a), closed(a) / closed(1.0)));
        agree(&format!("D1, w = {w}"), pairs, 1e-8);
    }
}

#[test]
fn defaults_are_flat_without_radiation() {
    assert_eq!(Cosmology::extended(PLANCK, Extension::default()).unwrap(), planck());
    assert_eq!(planck().omega_lambda(), 1.0 - 0.3089);
    assert_eq!((planck().equality(), planck().omega_nu(), planck().omega_cb()), (0.0, 0.0, 0.3089));
    let massive = universe(Extension { m_nu: 0.3, ..FLAT });
    // 93.14 eV for three species at 1.95 K (CAMB: 0.0032259807 for its rounded constants).
    assert!((massive.omega_nu() * 0.6774 * 0.6774 / 0.0032259807 - 1.0).abs() < 1e-3, "{}", massive.omega_nu());
    assert!((massive.omega_nu_comoving(1.0) / massive.omega_nu() - 1.0).abs() < 1e-14);
    // Massless in the limit, but for being counted as matter.
    let beyond = Extension { m_nu: 1e-6, ..FLAT };
    let mut values = PLANCK;
    values[0] += universe(beyond).omega_nu();
    let light = Cosmology::extended(values, beyond).unwrap();
    assert!((light.e(0.01) / universe(FLAT).e(0.01) - 1.0).abs() < 1e-7);
}

#[test]
fn extensions_are_read_varied_and_refused() {
    let fixed = "Omega_m = 0.3089\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\nsigma8 = 0.8159\n";
    let config = |text: &str| toml::from_str::<CosmologyConfig>(&format!("{fixed}{text}")).unwrap();
    let full = config("radiation = true\nM_nu = 0.1\nOmega_k = 0.01\nT_cmb = 2.7");
    let beyond = Extension { m_nu: 0.1, omega_k: 0.01, t_cmb: 2.7, w0: -0.8, wa: -0.3, ..FLAT };
    assert_eq!(full.resolve(&[("wa", -0.3), ("w0", -0.8)]).unwrap(), universe(beyond));
    assert_eq!(toml::from_str::<CosmologyConfig>(&toml::to_string(&full).unwrap()).unwrap(), full);
    refused(full.resolve(&[("M_nu", 0.2)]), &["cosmology.M_nu = 0.1: given twice"]);
    refused(config("M_nu = 0.1").resolve(&[]), &["cosmology.M_nu = 0.1", "cosmology.radiation = true"]);
    refused(config("N_eff = 3.0").resolve(&[]), &["cosmology.N_eff = 3.0", "switched off"]);
    refused(config("").resolve(&[("w0", 0.2)]), &["design.parameters.w0 = 0.2: impossible"]);
    refused(config("w0 = -0.5\nwa = 0.5").resolve(&[]), &["cosmology.wa = 0.5: impossible", "w0 + wa below 0"]);
    refused(config("T_cmb = 27.0").resolve(&[]), &["cosmology.T_cmb = 27.0"]);
    refused(config("Omega_k = 2.0").resolve(&[]), &["cosmology.Omega_k = 2.0"]);
    // A universe that bounces: no expansion from 1e-4 on.
    let bouncing =
        Cosmology::extended([0.05, 0.04, 0.7, 0.96, 0.8], Extension { omega_k: -0.5, ..Extension::default() });
    refused(bouncing, &["cosmology.Omega_k = -0.5", "does not expand at scale factor 0."]);
    let heavy = Cosmology::extended([0.06, 0.05, 0.7, 0.96, 0.8], Extension { m_nu: 1.0, ..FLAT });
    refused(heavy, &["cosmology.Omega_b = 0.05", "of neutrinos"]);
}

/// Third order: its Einstein–de Sitter values, its slopes, and its equations put together from differences.
#[test]
fn third_order_solves_its_equations() {
    let eds = Growth::new(&Cosmology::new([1.0, 0.04, 0.7, 0.96, 0.8]).unwrap());
    for (i, factor) in [-1.0 / 3.0, 5.0 / 21.0, -1.0 / 7.0].into_iter().enumerate() {
        let pairs = [1e-6, 1e-3, 0.1, 1.0].map(|a| (a, eds.d3(a)[i], factor * a.powi(3)));
        agree(&format!("D3 {i}, Einstein-de Sitter"), pairs, 1e-8);
    }
    for beyond in [Extension::default(), Extension { omega_k: 0.05, w0: -0.9, wa: 0.2, ..FLAT }] {
        let cosmology = universe(beyond);
        let growth = Growth::new(&cosmology);
        let slope = |f: &dyn Fn(f64) -> f64, a: f64| {
            let d = |e: f64| (f(a * (1.0 + e)) - f(a * (1.0 - e))) / (2.0 * e);
            (4.0 * d(5e-3) - d(1e-2)) / 3.0
        };
        for i in 0..3 {
            let d = |a: f64| growth.d3(a)[i];
            let per_e_fold = |a: f64| growth.d3_da(a)[i] * a;
            let a = || (1..=24).map(|i| i as f64 / 20.0);
            agree(&format!("dD3/da {i}"), a().map(|a| (a, per_e_fold(a), slope(&d, a))), 1e-7);
            let source = |a: f64| {
                let (d1, d2) = (growth.d1(a), growth.d2(a));
                1.5 * cosmology.omega_m_at(a) * [d(a) - 2.0 * d1.powi(3), d(a) - d1 * (d2 - d1 * d1), -d1.powi(3)][i]
            };
            let operator = |a: f64| slope(&per_e_fold, a) + (2.0 + cosmology.dlnh_dlna(a)) * per_e_fold(a);
            agree(&format!("equation of D3 {i}"), a().map(|a| (a, operator(a), source(a))), 1e-6);
        }
    }
}
