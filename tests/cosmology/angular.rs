//! Angular spectra: tables of them, and their theory against CAMB, CCL and closed forms.

use super::section::refused;
use super::{agree, data, eisenstein_hu, planck, rows};
use polycosm::cosmology::angular::{AngularSpectra, Nuisance, Tracers};
use polycosm::cosmology::{Cosmology, CosmologyConfig, Extension, Growth, RedshiftDistribution, read_table};
use std::f64::consts::PI;

fn read(text: &str) -> polycosm::error::Result<AngularSpectra> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cl.txt");
    std::fs::write(&path, text).unwrap();
    AngularSpectra::read(&path)
}

/// Power laws come back between the nodes, pairs in any order, and a cross spectrum may be negative.
#[test]
fn a_table_of_spectra() {
    let rows: String = (0..40)
        .map(|i| {
            let ell = 2.0 * 1.2_f64.powi(i);
            let x = ell + 0.5;
            format!("{ell:e} {:e} {:e} {:e}\n", 4.0 * x.powf(-1.2), 9.0 / x, -x.powi(-2))
        })
        .collect();
    let spectra = read(&format!("# ell b*b a×a a*b\n# a comment\n{rows}")).unwrap();
    assert_eq!(spectra.names(), ["b", "a"]);
    assert_eq!(spectra.pairs(), [(0, 0), (0, 1), (1, 1)]);
    assert_eq!(spectra.ell().len(), 40);
    for ell in [2.0, 17.3, 1000.0] {
        let x: f64 = ell + 0.5;
        assert!((spectra.at(0, 0, ell) / (4.0 * x.powf(-1.2)) - 1.0).abs() < 1e-9);
        assert!((spectra.at(1, 1, ell) * x / 9.0 - 1.0).abs() < 1e-9);
        assert!((spectra.at(1, 0, ell) * x * x + 1.0).abs() < 2e-2 && spectra.at(0, 1, ell) == spectra.at(1, 0, ell));
    }
    assert!(spectra.covers(2.0, 2000.0).is_ok());
    refused(spectra.covers(1.0, 2000.0).map(drop), &["ℓ = 2 to", "needed are 1 to 2000", "remedy"]);
    assert!(std::panic::catch_unwind(|| spectra.at(0, 0, 1e5)).is_err(), "nothing is extrapolated");
}

#[test]
fn spectra_that_no_fields_have() {
    for (text, says) in [
        ("1 2\n3 4\n", &["cl.txt", "names its columns", "`# ell A*A"][..]),
        ("# ell a*a a*b\n1 1 1\n2 1 1\n", &["no column b*b"]),
        ("# ell a*a a*a\n1 1 1\n2 1 1\n", &["a*a stands there twice"]),
        ("# ell a\n1 1\n2 1\n", &["column a names no pair"]),
        ("# ell a*a\n1 1\n2 x\n", &["line 3", "numbers"]),
        ("# ell a*a\n1 1\n2 1 1\n", &["line 3", "3 columns, not 2"]),
        ("# ell a*a\n1 1\n", &["1 multipoles"]),
        ("# ell a*a\n2 1\n1 1\n", &["ℓ = 1 does not grow"]),
        ("# ell a*a\n-1 1\n1 1\n", &["ℓ = -1 does not grow"]),
        ("# ell a*a\n1 1\n2 nan\n", &["ℓ = 2", "a×a is NaN"]),
        ("# ell a*a\n1 1\n2 -1\n", &["ℓ = 2", "a×a is -1"]),
        ("# ell a*a a*b b*b\n1 1 0 1\n2 0 1 1\n", &["ℓ = 2", "a×b is 1, though one of them has no power"]),
        ("# ell a*a a*b a*c b*b b*c c*c\n1 1 0 0 4 0 1\n2 1 0 0 4 2.2 1\n", &["ℓ = 2", "bins b, c are", "-1.00e-1"]),
        (
            "# ell a*a a*b a*c b*b b*c c*c\n1 1 0 0 4 0 1\n2 1 -0.9 -0.9 1 -0.9 1\n",
            &["ℓ = 2", "bins a, b, c are", "-8.00e-1"],
        ),
    ] {
        refused(read(text).map(drop), says);
    }
}

const BINS: &str = r#"
    sources = ["lsst-y10"]
    lenses = [{ gaussian = { mean = 0.5, sigma = 0.05 } }, { gaussian = { mean = 0.8, sigma = 0.1 } }]
    bias = [1.5, 2.0]
    magnification = [0.7, 0.3]
    alignments = { A_IA = 1.2, eta = 0.5 }
"#;

fn tracers(text: &str) -> Tracers {
    Tracers::new(&toml::from_str(text).unwrap(), "spectra").unwrap()
}

/// A table of tests/data that [`AngularSpectra::read`] reads, and what is predicted: the largest difference relative to
/// √(C_ii C_jj + C_ij²), the scatter of a mode.
fn compare(name: &str, fields: &[usize], ours: &AngularSpectra, tolerance: f64) {
    let theirs = AngularSpectra::read(&data(name)).unwrap();
    let (mut worst, mut at) = (0.0_f64, String::new());
    for &ell in theirs.ell() {
        for (i, j) in theirs.pairs() {
            let [a, b] = [i, j].map(|i| theirs.at(i, i, ell));
            let c = theirs.at(i, j, ell);
            let off = (ours.at(fields[i], fields[j], ell) - c).abs() / (0.5 * (a * b + c * c)).sqrt();
            if off > worst {
                (worst, at) = (off, format!("{}*{} at ℓ = {ell}", theirs.names()[i], theirs.names()[j]));
            }
        }
    }
    println!("{name}: largest difference {worst:.2e}, {at}");
    assert!(worst < tolerance, "{name}: {worst:.2e}, {at}");
}

/// Convergence of sources at z = 1, P of halofit and linear, against an integral over CAMB's spectra (with radiation),
/// which has no factors ℓ (ℓ + 1)/(ℓ + ½)².
#[test]
fn convergence_as_camb() {
    let linear = read_table(&data("camb_linear_pk.txt"), 0.81601).unwrap();
    for (column, nonlinear) in [(1, "halofit"), (2, "linear")] {
        let text = format!("sources = [{{ plane = {{ z = 1.0 }} }}]\nnonlinear = \"{nonlinear}\"");
        let spectra = tracers(&text).spectra(&planck(), &linear, &Nuisance::default(), [10.0, 3000.0]).unwrap();
        let factor = |l: f64| (l * (l + 1.0) / (l + 0.5).powi(2)).powi(2);
        let rows = rows("wl_kappa_cl_zs1.txt").into_iter().filter(|r| r[0] >= 10.0 && r[0] <= 3000.0);
        agree(nonlinear, rows.map(|r| (r[0], spectra.at(0, 0, r[0]) / factor(r[0]), r[column])), 5e-3);
    }
}

/// Convergence, alignments, counts and magnification of tomographic and of thin bins, and all pairs of them, as CCL's.
#[test]
fn limber_as_ccl() {
    let tracers = tracers(&format!("{BINS}\nlimber_from = 0"));
    let power = eisenstein_hu(true);
    let spectra = tracers.spectra(&planck(), &power, &Nuisance::default(), [2.0, 3000.0]).unwrap();
    assert_eq!(spectra.names(), ["kappa0", "kappa1", "kappa2", "kappa3", "kappa4", "counts0", "counts1"]);
    compare("ccl_angular.txt", &[0, 4, 5, 6], &spectra, 1e-2);
}

/// Thin bins of matter without Limber's approximation, as CAMB's, which at ℓ = 2 are 1.9% above the same integral done by
/// brute force and from ℓ = 20 on 0.7%; with Limber's approximation they are off by a third and more.
#[test]
fn beyond_limber_as_camb() {
    let text = |limber: u32| {
        let bins = [0.5, 0.6, 1.0].map(|z| format!("{{ gaussian = {{ mean = {z:.1}, sigma = 0.03 }} }}")).join(", ");
        format!("lenses = [{bins}]\nnonlinear = \"linear\"\nlimber_from = {limber}")
    };
    let linear = read_table(&data("camb_linear_pk.txt"), 0.81601).unwrap();
    let of = |limber| tracers(&text(limber)).spectra(&planck(), &linear, &Nuisance::default(), [2.0, 60.0]).unwrap();
    let full = of(100);
    compare("camb_angular.txt", &[0, 1, 2], &full, 2.2e-2);
    assert!((of(0).at(0, 0, 2.0) / full.at(0, 0, 2.0) - 1.0).abs() > 0.3);
}

/// Brute force: a top hat's T = ∫ j_ℓ, and ten thousand wavenumbers.
#[test]
fn shells_by_brute_force() {
    let cosmology = planck();
    let power = eisenstein_hu(true);
    let config = toml::from_str("nonlinear = \"linear\"\nlimber_from = 60").unwrap();
    let shells = Tracers::shells(&cosmology, &[900.0, 1000.0, 1100.0], config).unwrap();
    let spectra = shells.spectra(&cosmology, &power, &Nuisance::default(), [2.0, 60.0]).unwrap();
    let growth = Growth::new(&cosmology);
    let points: Vec<[f64; 3]> = (0..400)
        .map(|i| {
            let chi = 900.0 + 0.25 + 0.5 * i as f64;
            let a = cosmology.scale_factor_at(chi).unwrap();
            [chi, growth.d1(a), cosmology.e(a)]
        })
        .collect();
    let j2 = |x: f64| (3.0 / x.powi(2) - 1.0) * x.sin() / x - 3.0 * x.cos() / x.powi(2);
    let transfer = |k: f64, points: &[[f64; 3]]| {
        let [sum, all] = points.iter().fold([0.0; 2], |[s, t], [chi, d, e]| [s + e * d * j2(k * chi), t + e]);
        sum / all
    };
    let mut sums = [0.0; 3];
    for i in 0..10_000 {
        let k = (i as f64 + 0.5) * 1e-4;
        let (near, far) = points.split_at(200);
        let [a, b] = [near, far].map(|points| transfer(k, points));
        let volume = 2.0 / PI * k * k * power.p(k) * 1e-4;
        [a * a, a * b, b * b].iter().zip(&mut sums).for_each(|(product, sum)| *sum += volume * product);
    }
    for ((i, j), exact) in [(0, 0), (0, 1), (1, 1)].into_iter().zip(sums) {
        let ours = spectra.at(i, j, 2.0);
        println!("shells {i} {j}: {ours:.4e} against {exact:.4e}");
        assert!((ours - exact).abs() < 2e-3 * sums[0], "{i} {j}: {ours:e} against {exact:e}");
    }
}

/// What a survey does not know: shifts and multiplicative biases.
#[test]
fn nuisances() {
    let power = eisenstein_hu(true);
    let of = |text: &str, nuisance: &Nuisance| tracers(text).spectra(&planck(), &power, nuisance, [10.0, 1000.0]);
    let gaussian = |mean: f64| format!("sources = [{{ gaussian = {{ mean = {mean}, sigma = 0.1 }} }}, \"lsst-y10\"]");
    let nuisance = Nuisance { source_shift: vec![0.1, 0.0, 0.0, 0.0, 0.0, 0.0], m: vec![0.5; 6], ..Default::default() };
    let shifted = of(&gaussian(0.6), &nuisance).unwrap();
    let there = of(&gaussian(0.7), &Nuisance::default()).unwrap();
    for ell in [10.0, 100.0, 1000.0] {
        for (i, j) in [(0, 0), (0, 3), (3, 3)] {
            assert!((shifted.at(i, j, ell) / (2.25 * there.at(i, j, ell)) - 1.0).abs() < 1e-3);
        }
    }
    let short = Nuisance { m: vec![0.0], ..Default::default() };
    refused(of(&gaussian(0.6), &short).map(drop), &["1 values of multiplicative bias for 6 bins"]);
    refused(tracers(&gaussian(0.6)).spectra(&planck(), &power, &Nuisance::default(), [0.0, 10.0]), &["from ℓ = 0"]);
}

/// Every galaxy of a set is in one bin, the bins have equal numbers, and lie where the distribution says.
#[test]
fn tomographic_bins() {
    let bins = RedshiftDistribution::LsstY10.tabulate().unwrap();
    let means: Vec<f64> = bins.iter().map(|b| b.moments()[0]).collect();
    println!("mean redshifts of LSST Y10 sources: {means:.3?}");
    assert!(means.windows(2).all(|m| m[0] < m[1]));
    let whole: RedshiftDistribution =
        toml::from_str("smail = { z0 = 0.11, alpha = 2.0, beta = 0.68, z_max = 3.5 }").unwrap();
    let whole = &whole.tabulate().unwrap()[0];
    for (i, (z, n)) in whole.galaxies.iter().enumerate() {
        let sum: f64 = bins.iter().map(|b| b.galaxies[i].1 / 5.0).sum();
        assert!((sum - n).abs() < 1e-9, "at z = {z}: {sum} against {n}");
    }
    let sharp: RedshiftDistribution = toml::from_str("tomographic = { bins = 2, scatter = 0.0, z0 = 0.5 }").unwrap();
    let [near, far] = &sharp.tabulate().unwrap()[..] else { panic!("two bins") };
    assert!(near.galaxies.iter().zip(&far.galaxies).filter(|(a, b)| a.1 * b.1 > 0.0).count() <= 1);
}

#[test]
fn tracers_that_cannot_be() {
    for (text, says) in [
        ("", &["spectra.sources", "no galaxies"][..]),
        ("sources = [{ plane = { z = 0.0 } }]", &["spectra.sources.0", "above 0"]),
        ("lenses = [{ plane = { z = 1.0 } }]", &["spectra.lenses.0", "infinite"]),
        ("sources = [\"lsst-y10\"]\nbias = [1.0, 2.0]", &["spectra.bias", "2 numbers for 0 bins"]),
        ("sources = [{ plane = { z = 1.0 } }]\nalignments = { A_IA = 1.0 }", &["spectra.alignments", "spread"]),
        ("sources = [\"lsst-y10\"]\nlimber_from = 201", &["spectra.limber_from", "above 200"]),
        ("sources = [{ gaussian = { mean = 0.5, sigma = 0.0 } }]", &["spectra.sources.0", "sigma"]),
        ("sources = [{ tophat = { z_min = 1.0, z_max = 0.5 } }]", &["spectra.sources.0", "z_min"]),
        ("sources = [{ tomographic = { bins = 0, scatter = 0.1, z0 = 0.5 } }]", &["spectra.sources.0", "1 to 64 bins"]),
        ("sources = [{ table = { path = \"no.txt\" } }]", &["spectra.sources.0 = \"no.txt\"", "cannot be read"]),
    ] {
        refused(Tracers::new(&toml::from_str(text).unwrap(), "spectra").map(drop), says);
    }
    let open = Extension { omega_k: 0.1, ..Default::default() };
    let open = Cosmology::extended([0.3089, 0.0486, 0.6774, 0.9667, 0.8159], open).unwrap();
    let tracers = tracers("lenses = [{ tophat = { z_min = 0.5, z_max = 0.6 } }]");
    let of = tracers.spectra(&open, &eisenstein_hu(true), &Nuisance::default(), [2.0, 100.0]);
    refused(of.map(drop), &["cosmology.Omega_k", "limber_from = 0"]);
}

/// A suite makes twenty universes a second. `cargo test --release … -- --ignored --nocapture` says how long one takes.
#[test]
#[ignore = "a measurement"]
fn how_long_spectra_take() {
    let (cosmology, power) = (planck(), eisenstein_hu(true));
    for text in ["sources = [\"lsst-y10\"]", BINS] {
        let tracers = tracers(text);
        let mut best = f64::INFINITY;
        for _ in 0..10 {
            let begin = std::time::Instant::now();
            let spectra = tracers.spectra(&cosmology, &power, &Nuisance::default(), [2.0, 10_000.0]).unwrap();
            best = best.min(begin.elapsed().as_secs_f64());
            assert!(spectra.ell().len() > 60);
        }
        println!("{} fields: {:.1} ms", tracers.names().len(), 1e3 * best);
    }
}

/// Shifts of the LSST Y10 bins in discs of a pixel of 2.34', beside those that CosMomentum gives (Friedrich et al. 2020),
/// as sbi_lens tabulates them (Zeghal et al. 2024): another code, and fits to the same moments.
#[test]
fn shifts_of_convergence_against_another_code() {
    let tracers = tracers("sources = [\"lsst-y10\"]");
    let radius = (2.34f64 / 60.0).to_radians() / std::f64::consts::PI.sqrt();
    let rows: [([f64; 3], [f64; 5]); 4] = [
        ([0.328_571, 0.871_429, -1.028_571], [0.005580, 0.016085, 0.030182, 0.051892, 0.100824]),
        ([0.328_571, 0.585_714, -1.028_571], [0.004890, 0.014636, 0.028127, 0.049426, 0.099455]),
        ([0.557_143, 0.871_429, -1.028_571], [0.008511, 0.023481, 0.042242, 0.069430, 0.126521]),
        ([0.328_571, 0.871_429, -0.542_857], [0.005177, 0.014022, 0.025250, 0.042276, 0.081534]),
    ];
    for ([omega_m, sigma8, w0], expected) in rows {
        let config = CosmologyConfig::default();
        let values = [("Omega_m", omega_m), ("Omega_b", 0.0492), ("h", 0.6727), ("n_s", 0.9645), ("sigma8", sigma8)];
        let cosmology = config.resolve(&[&values[..], &[("w0", w0)]].concat()).unwrap();
        let power = config.linear_power(&cosmology, 0).unwrap();
        let nuisance = Nuisance::default();
        let (_, shifts) = tracers.spectra_and_shifts(&cosmology, &power, &nuisance, [10.0, 1000.0], radius).unwrap();
        let ratios: Vec<f64> = shifts.iter().zip(expected).map(|(s, e)| s / e).collect();
        println!("Omega_m = {omega_m}, sigma8 = {sigma8}, w0 = {w0}: {shifts:.5?}, over the table's {ratios:.3?}");
        assert!(ratios.iter().all(|r| (r - 1.0).abs() < 0.1), "{ratios:?}");
    }
}
