//! Cosmology against independent codes (`tests/data/README.md`) and closed forms; what it refuses is in `cosmology/`.

#[path = "cosmology/angular.rs"]
mod angular;
#[path = "cosmology/extended.rs"]
mod extended;
#[path = "cosmology/halos.rs"]
mod halos;
mod measured;
#[path = "cosmology/neutrinos.rs"]
mod neutrinos;
#[path = "cosmology/nonlinear.rs"]
mod nonlinear;
#[path = "cosmology/redshifts.rs"]
mod redshifts;
#[path = "cosmology/section.rs"]
mod section;

use polycosm::cosmology::{Cosmology, EisensteinHu, Growth, LinearPower, read_table};
use std::f64::consts::PI;
use std::path::{Path, PathBuf};

const PLANCK: [f64; 5] = [0.3089, 0.0486, 0.6774, 0.9667, 0.8159];

fn planck() -> Cosmology {
    Cosmology::new(PLANCK).unwrap()
}

fn eisenstein_hu(wiggles: bool) -> LinearPower {
    LinearPower::eisenstein_hu(&planck(), wiggles).unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The rows of a reference file.
fn rows(name: &str) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| l.split_whitespace().map(|w| w.parse().unwrap()).collect())
        .collect();
    assert!(rows.len() > 60);
    rows
}

/// Asserts a relative agreement of (x, ours, theirs), and prints how good it is.
fn agree(what: &str, pairs: impl IntoIterator<Item = (f64, f64, f64)>, tolerance: f64) {
    let (mut worst, mut at) = (0.0, 0.0);
    for (x, ours, theirs) in pairs {
        let off = (ours / theirs - 1.0).abs();
        assert!(off.is_finite(), "{what} at {x}: {ours} against {theirs}");
        if off > worst {
            (worst, at) = (off, x);
        }
    }
    println!("{what}: largest relative difference {worst:.2e} at {at:.4e}");
    assert!(worst < tolerance, "{what}: relative difference {worst:.2e} at {at:.4e}");
}

#[test]
fn eisenstein_hu_as_colossus() {
    let rows = rows("colossus_eh98_pk.txt");
    for (column, wiggles) in [(1, true), (2, false)] {
        let power = eisenstein_hu(wiggles);
        // Colossus interpolates P(k) (from 0.05 to 1 h/Mpc 60 nodes a decade): good to 2e-4 on the oscillations.
        let pairs = || rows.iter().map(|r| (r[0], power.p(r[0]), r[column]));
        agree(&format!("P, wiggles = {wiggles}"), pairs(), 2.5e-4);
        agree(&format!("P at low k, wiggles = {wiggles}"), pairs().filter(|r| r.0 < 0.01), 2e-5);
        agree(&format!("P at high k, wiggles = {wiggles}"), pairs().filter(|r| r.0 > 5.0), 3e-5);
    }
}

#[test]
fn interpolation_follows_the_fit() {
    let (cosmology, fit) = (planck(), EisensteinHu::new(&planck()).unwrap());
    let power = eisenstein_hu(true);
    let shape = |k: f64| k.powf(cosmology.n_s()) * fit.wiggle(k).powi(2);
    let amplitude = power.p(1e-3) / shape(1e-3);
    let k = || (0..5000).map(|i| 1e-4 * 1e6_f64.powf(i as f64 / 4999.0));
    agree("spline", k().map(|k| (k, power.p(k), amplitude * shape(k))), 2e-7);
    // Beyond the table: the primordial slope on the largest scales, nothing at k = 0.
    assert!((power.p(1e-7) / (power.p(1e-6) * 0.1_f64.powf(cosmology.n_s())) - 1.0).abs() < 1e-3);
    assert_eq!(power.p(0.0), 0.0);
    assert_eq!(power.p_all(&[0.1, 0.2]), [power.p(0.1), power.p(0.2)]);
}

/// sigma(`radius`) of the first two columns by the trapezoidal rule in ln k.
fn summed(spectrum: &[Vec<f64>], radius: f64) -> f64 {
    let integrand = |r: &Vec<f64>| {
        let x = r[0] * radius;
        let window = 3.0 * (x.sin() - x * x.cos()) / x.powi(3);
        r[0].powi(3) * r[1] * window.powi(2)
    };
    let pairs = spectrum.windows(2);
    let sum: f64 = pairs.map(|w| 0.5 * (integrand(&w[0]) + integrand(&w[1])) * (w[1][0] / w[0][0]).ln()).sum();
    (sum / (2.0 * std::f64::consts::PI.powi(2))).sqrt()
}

/// As far as baryons are allowed, the fit is positive and the spline on it.
#[test]
fn fit_holds_to_its_largest_baryon_fraction() {
    for omega_m in [0.05, 0.1, 0.2, 0.3, 0.5, 1.0] {
        for h in [0.3, 0.5, 0.7, 1.0] {
            let cosmology = Cosmology::new([omega_m, 0.5999 * omega_m, h, 0.96, 0.8]).unwrap();
            let fit = EisensteinHu::new(&cosmology).unwrap();
            for wiggles in [true, false] {
                let transfer = |k: f64| if wiggles { fit.wiggle(k) } else { fit.no_wiggle(k) };
                let power = LinearPower::eisenstein_hu(&cosmology, wiggles).unwrap();
                let shape = |k: f64| k.powf(0.96) * transfer(k).powi(2);
                let amplitude = power.p(1e-3) / shape(1e-3);
                let k =
                    (0..1000).map(|i| 1e-4 * 1e6_f64.powf(i as f64 / 999.0)).inspect(|k| assert!(transfer(*k) > 0.0));
                let what = format!("Omega_m = {omega_m}, h = {h}, wiggles = {wiggles}");
                agree(&what, k.map(|k| (k, power.p(k), amplitude * shape(k))), 1e-4);
            }
        }
    }
}

#[test]
fn variance_as_colossus() {
    let power = eisenstein_hu(true);
    assert!((power.sigma(8.0) / 0.8159 - 1.0).abs() < 1e-12);
    // Colossus interpolates sigma(R) too, and asks 3e-3 of itself; small spheres are smoother.
    let rows_r = rows("colossus_eh98_sigmaR.txt");
    agree("sigma(R)", rows_r.iter().map(|r| (r[0], power.sigma(r[0]), r[1])), 6e-3);
    agree("sigma(R < 4)", rows_r.iter().filter(|r| r[0] < 4.0).map(|r| (r[0], power.sigma(r[0]), r[1])), 1.5e-4);
    // Its own P(k), summed by the trapezoidal rule, has no such table in between.
    let spectrum = rows("colossus_eh98_pk.txt");
    agree(
        "sigma from P",
        [2.0, 4.0, 8.0, 16.0, 32.0, 53.5, 80.0].map(|r| (r, power.sigma(r), summed(&spectrum, r))),
        2e-5,
    );
}

#[test]
fn growth_as_reference() {
    let growth = Growth::new(&planck());
    let rows = rows("growth_norad.txt");
    agree("D1", rows.iter().map(|r| (r[0], growth.d1(r[0]), r[1])), 2e-9);
    agree("f1", rows.iter().map(|r| (r[0], growth.f1(r[0]), r[2])), 2e-9);
    agree("D2", rows.iter().map(|r| (r[0], -growth.d2(r[0]), r[3])), 2e-9);
    agree("f2", rows.iter().map(|r| (r[0], growth.f2(r[0]), r[4])), 2e-9);
    assert_eq!(growth.d1(1.0), 1.0);
}

/// D1/a = 2F1(1/3, 1; 11/6; −x) up to a constant, x = Omega_lambda a³/Omega_m; by Pfaff's transformation the series
/// runs in x/(1+x).
fn growth_in_closed_form(omega_m: f64, a: f64) -> f64 {
    let x = (1.0 - omega_m) / omega_m * a.powi(3);
    let (mut term, mut sum) = (1.0, 0.0);
    for n in 0..5000 {
        let n = n as f64;
        sum += term;
        term *= (1.5 + n) / (11.0 / 6.0 + n) * x / (1.0 + x);
    }
    a * sum / (1.0 + x)
}

#[test]
fn growth_in_other_cosmologies() {
    let scale_factors = || (1..=60).map(|i| i as f64 / 50.0); // beyond today too
    for omega_m in [0.05, 0.1, 0.3, 0.5, 0.9] {
        let growth = Growth::new(&Cosmology::new([omega_m, 0.04, 0.7, 0.96, 0.8]).unwrap());
        let today = growth_in_closed_form(omega_m, 1.0);
        let exact = |a: f64| growth_in_closed_form(omega_m, a) / today;
        agree(&format!("D1, Omega_m = {omega_m}"), scale_factors().map(|a| (a, growth.d1(a), exact(a))), 5e-9);
        // Derivatives against differences, and G_f and its slope against their definitions.
        let eps = 5e-3; // of many steps of the table
        let slope = |f: &dyn Fn(f64) -> f64, a: f64| {
            let d = |e: f64| (f(a * (1.0 + e)) - f(a * (1.0 - e))) / (2.0 * e * a);
            (4.0 * d(eps) - d(2.0 * eps)) / 3.0
        };
        type F<'a> = &'a dyn Fn(f64) -> f64;
        let pairs: [(&str, F, F); 5] = [
            ("dD1/da", &|a| growth.d1(a), &|a| growth.d1_da(a)),
            ("d2D1/da2", &|a| growth.d1_da(a), &|a| growth.d1_da2(a)),
            ("dD2/da", &|a| growth.d2(a), &|a| growth.d2_da(a)),
            ("d2D2/da2", &|a| growth.d2_da(a), &|a| growth.d2_da2(a)),
            ("dG_f/da", &|a| growth.gf(a), &|a| growth.gf_da(a)),
        ];
        for (name, f, f_da) in pairs {
            // Where a second derivative passes near zero, dD1/da / a is the scale to read its error against.
            let scale = |a: f64| f_da(a).abs().max(growth.d1_da(a) / a);
            let pair = |a: f64| (a, 1.0 + (slope(f, a) - f_da(a)) / scale(a), 1.0);
            agree(&format!("{name}, Omega_m = {omega_m}"), scale_factors().map(pair), 5e-8);
        }
    }
    let flat = Growth::new(&Cosmology::new([1.0, 0.04, 0.7, 0.96, 0.8]).unwrap());
    let a = [1e-6, 1e-5, 1e-4, 0.01, 0.1, 1.0];
    agree("D1, Einstein-de Sitter", a.map(|a| (a, flat.d1(a), a)), 5e-9);
    agree("D2, Einstein-de Sitter", a.map(|a| (a, flat.d2(a), -3.0 / 7.0 * a * a)), 5e-9);
}

#[test]
fn background_as_reference() {
    let cosmology = planck();
    let pairs = rows("comoving_distance.txt").into_iter().filter(|r| r[0] > 0.0);
    agree("distance", pairs.map(|r| (r[0], cosmology.comoving_distance(1.0 / (1.0 + r[0])), r[1])), 1e-11);
    assert_eq!(cosmology.comoving_distance(1.0), 0.0);
    let a: f64 = 0.37;
    let e2 = 0.3089 * a.powi(-3) + 0.6911;
    assert!((cosmology.e(a) / e2.sqrt() - 1.0).abs() < 1e-14);
    assert!((cosmology.hubble(a) / (100.0 * e2.sqrt()) - 1.0).abs() < 1e-14);
    assert!((cosmology.omega_m_at(a) / (0.3089 * a.powi(-3) / e2) - 1.0).abs() < 1e-14);
    assert!((cosmology.dlnh_dlna(a) + 1.5 * cosmology.omega_m_at(a)).abs() < 1e-14);
}

#[test]
fn tables_of_camb_and_class() {
    let table = |name, sigma8| read_table(&data(name), sigma8).unwrap();
    let camb = table("camb_linear_pk.txt", 0.8159);
    let reference = rows("camb_linear_pk.txt");
    // The file says 0.8159; integrated, its P(k) gives 1.4e-4 more (CLASS with the same A_s: 1.5e-4).
    let own = summed(&reference, 8.0);
    assert!((own / 0.8159 - 1.0).abs() < 1.5e-4, "{own}");
    agree("CAMB", reference.iter().map(|r| (r[0], camb.p(r[0]), r[1])), 3e-4);
    let as_written = table("camb_linear_pk.txt", own);
    agree("CAMB, own sigma8", reference.iter().map(|r| (r[0], as_written.p(r[0]), r[1])), 1e-5);
    assert!((camb.sigma(8.0) / 0.8159 - 1.0).abs() < 1e-12);
    let low = table("camb_linear_pk.txt", 0.4);
    agree("rescaled", reference.iter().map(|r| (r[0], low.p(r[0]) / camb.p(r[0]), (0.4_f64 / 0.8159).powi(2))), 1e-12);
    // Half of the rows tell the other half.
    let folder = tempfile::tempdir().unwrap();
    let half: String = reference.iter().step_by(2).map(|r| format!("{:e} {:e}\n", r[0], r[1])).collect();
    std::fs::write(folder.path().join("half.txt"), half).unwrap();
    let half = read_table(&folder.path().join("half.txt"), 0.8159).unwrap();
    agree("CAMB off its nodes", reference.iter().map(|r| (r[0], half.p(r[0]), camb.p(r[0]))), 1.5e-4);
    // Tables of another CAMB run and of CLASS, as closely as the codes meet each other.
    let other = rows("camb_linear_pk_planck15_z0.txt");
    let rescaled = table("camb_linear_pk.txt", summed(&other, 8.0));
    agree("CAMB, another run", other.iter().map(|r| (r[0], rescaled.p(r[0]), r[1])), 1e-3);
    let class = table("class_linear_pk.txt", 0.8159);
    agree("CLASS", reference.iter().filter(|r| r[0] < 10.0).map(|r| (r[0], class.p(r[0]), camb.p(r[0]))), 6e-4);
    let (first, last) = camb.k_range();
    assert!((first - 1e-4).abs() < 1e-12 && (last - 100.0).abs() < 1e-9);
    assert!(camb.check_covers(0.01, 50.0).is_ok());
    section::refused(
        camb.check_covers(1e-5, 1.0),
        &["cosmology.table", "1.000e-4", "remedy: write a table over a wider"],
    );
}

/// α = δ/Φ today: 2 k² c² T D/(3 Ωm H0²) with Eisenstein and Hu's T (to T at 1e-5 h/Mpc) and Heath's D, D = a early,
/// both computed elsewhere; and what CAMB makes of Φ = 3/5 ζ of its A_s, with radiation in the background.
#[test]
fn density_of_a_potential() {
    let d = Growth::new(&planck()).suppression();
    assert!((d / 0.784269602 - 1.0).abs() < 1e-6, "D/a = {d}");
    let power = eisenstein_hu(true);
    let alpha = power.poisson(&planck(), d);
    let closed = [(1e-4, 0.1521096997), (1e-3, 15.09386777), (1e-2, 1185.901408), (0.1, 19912.41928)];
    agree("α(k), closed form", closed.map(|(k, closed)| (k, alpha(k), closed)), 2e-6);

    let table = read_table(&data("camb_linear_pk.txt"), 0.81601).unwrap();
    let alpha = table.poisson(&planck(), d);
    let primordial = |k: f64| {
        let curvature = 2.0 * PI.powi(2) * 2.067184e-9 / k.powi(3) * (k * 0.6774 / 0.05).powf(0.9667 - 1.0);
        0.36 * curvature
    };
    let pairs = rows("camb_linear_pk.txt").into_iter().take_while(|row| row[0] < 1.0);
    agree("α(k), CAMB", pairs.map(|row| (row[0], alpha(row[0]), (row[1] / primordial(row[0])).sqrt())), 1e-3);
}
