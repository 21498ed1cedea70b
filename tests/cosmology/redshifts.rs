//! Tables of several redshifts.

use super::section::refused;
use super::{PLANCK, agree, rows};
use polycosm::cosmology::{Cosmology, CosmologyConfig, Extension, Growth};
use polycosm::prior::Prior;
use std::path::Path;

/// Writes columns of CAMB's file as tables, and the section that names them.
fn section(folder: &Path, columns: &[(&str, usize)], more: &str) -> CosmologyConfig {
    let table = rows("camb_neutrino_pk.txt");
    let mut names = String::new();
    for (z, column) in columns {
        let path = folder.join(format!("pk_{column}.txt"));
        let text: String = table.iter().map(|r| format!("{:e} {:e}\n", r[0], r[*column])).collect();
        std::fs::write(&path, text).unwrap();
        names += &format!("{z:?} = {path:?}\n");
    }
    let fixed = "Omega_m = 0.3089\nOmega_b = 0.0486\nh = 0.6774\nn_s = 0.9667\nsigma8 = 0.8159\nradiation = true\n";
    toml::from_str(&format!("{fixed}{more}transfer = \"table\"\n[tables]\n{names}")).unwrap()
}

fn growth(m_nu: f64) -> Growth {
    let beyond = Extension { m_nu, radiation: true, ..Extension::default() };
    Growth::new(&Cosmology::extended(PLANCK, beyond).unwrap())
}

#[test]
fn spectra_between_tables() {
    let folder = tempfile::tempdir().unwrap();
    let config = section(folder.path(), &[("0.0", 1), ("9.0", 3), ("1.0", 2)], "");
    let none = Prior::new(vec![]).unwrap();
    config.check(&none, 3).unwrap();
    assert_eq!(toml::from_str::<CosmologyConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    let growth = growth(0.0);
    let today = config.linear_power(growth.cosmology(), 0).unwrap();
    assert!((today.sigma(8.0) / 0.8159 - 1.0).abs() < 1e-12);
    let table = rows("camb_neutrino_pk.txt");
    // At a table's redshift, the ratio to today's is the file's.
    for (a, column) in [(1.0, 1), (0.5, 2), (0.1, 3)] {
        let then = config.cold_power(&growth, 0, a).unwrap();
        let pairs = table.iter().map(|r| (r[0], then.p(r[0]) / today.p(r[0]), r[column] / r[1]));
        agree(&format!("at a = {a}"), pairs, 1e-10);
    }
    // Between them, and scaled back from today, it is near linear growth.
    let between = config.cold_power(&growth, 0, 0.3).unwrap();
    let pairs = table.iter().map(|r| (r[0], between.p(r[0]) / today.p(r[0]), growth.d1(0.3).powi(2)));
    agree("between", pairs.filter(|p| p.0 > 0.01), 0.03);
    let alone = section(folder.path(), &[("0", 1)], "");
    let back = alone.cold_power(&growth, 0, 0.1).unwrap();
    let pairs = table.iter().map(|r| (r[0], back.p(r[0]) / today.p(r[0]), growth.d1(0.1).powi(2)));
    agree("scaled back", pairs, 1e-12);
    agree("scaled back, CAMB", table.iter().map(|r| (r[0], back.p(r[0]) / today.p(r[0]), r[3] / r[1])), 2e-2);
    refused(config.cold_power(&growth, 0, 0.02), &["cosmology.tables: reach from redshift 0 to 9", "49.0000"]);
}

/// Particles are cold: of tables of all matter beside 0.3 eV, CAMB's own cold spectrum at z = 9 is found again.
#[test]
fn cold_spectra_from_tables_of_all_matter() {
    let folder = tempfile::tempdir().unwrap();
    let growth = growth(0.3);
    let table = rows("camb_neutrino_pk.txt");
    let all = [("0", 10), ("1", 11), ("9", 12)];
    for (what, columns, tolerance) in [("tables", &all[..], 3e-3), ("scaled back", &all[..1], 3e-3)] {
        let config = section(folder.path(), columns, "M_nu = 0.3\n");
        let (today, then) = (config.linear_power(growth.cosmology(), 0), config.cold_power(&growth, 0, 0.1));
        let (today, then) = (today.unwrap(), then.unwrap());
        let pairs = table.iter().map(|r| (r[0], then.p(r[0]) / today.p(r[0]), r[15] / r[10]));
        agree(&format!("cold at z = 9, {what}"), pairs.filter(|p| p.0 > 1e-3), tolerance);
    }
}

#[test]
fn unsound_redshifts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let none = Prior::new(vec![]).unwrap();
    let given = |columns: &[(&str, usize)], more: &str| section(folder.path(), columns, more);
    refused(given(&[("1.0", 2)], "").check(&none, 1), &["cosmology.tables: have no redshift 0"]);
    refused(
        given(&[("0", 1), ("0.0", 2)], "").check(&none, 1),
        &["cosmology.tables.\"0.0\": is the redshift of another"],
    );
    refused(given(&[("now", 1)], "").check(&none, 1), &["cosmology.tables.\"now\": is not a redshift"]);
    refused(given(&[("0", 1), ("-1", 2)], "").check(&none, 1), &["cosmology.tables.\"-1\": is not a redshift"]);
    let both = given(&[("0", 1)], "table = \"pk.txt\"\n");
    refused(both.check(&none, 1), &["cosmology.table = \"pk.txt\": is given beside cosmology.tables"]);
    let mut absent = given(&[("0", 1), ("1", 2)], "");
    absent.tables.insert("2".into(), folder.path().join("nothing.txt").to_str().unwrap().into());
    refused(absent.check(&none, 1), &["cosmology.tables.\"2\"", "nothing.txt", "cannot be read"]);
    // What changes growth alone needs tables of its own only where there are several redshifts.
    let parameter = polycosm::prior::Parameter::uniform("w0", "w_0", -1.1, -0.9);
    let prior = Prior::new(vec![parameter]).unwrap();
    given(&[("0", 1)], "").check(&prior, 1).unwrap();
    refused(given(&[("0", 1), ("9", 3)], "").check(&prior, 1), &["cosmology.tables.\"0\"", "while w0 varies"]);
    let mut fitted = given(&[("0", 1)], "");
    fitted.transfer = Default::default();
    refused(fitted.check(&none, 1), &["cosmology.tables: are given, though transfer is not"]);
}
