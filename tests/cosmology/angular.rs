//! Angular spectra: tables of them, and their theory against CAMB, CCL and closed forms.

use super::section::refused;
use polycosm::cosmology::angular::AngularSpectra;

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
