//! Noise, masks, distributions of sources, and what is refused.

use super::*;

#[test]
fn noise_and_masks() {
    let noise = ShapeNoise { sigma_e: 0.37, n_gal: 20.0 };
    let pixel = (0.5f64 / 60.0).to_radians();
    let draw = |seed, realisation, index| {
        let mut map = vec![0.0; 300 * 300];
        add_shape_noise(&mut map, &noise, pixel, seed, realisation, index);
        map
    };
    // 20 galaxies per square arcminute in 1/4 of one.
    let expected = 0.37 / 2f64.sqrt() / 5f64.sqrt();
    let map = draw(1, 2, 0);
    let ratio = rms(map.iter().copied()) / expected;
    println!("shape noise over its expectation: {ratio:.4}");
    assert!((ratio - 1.0).abs() < 5.0 / (2.0 * map.len() as f64).sqrt());
    assert_eq!(map, draw(1, 2, 0));
    for other in [draw(2, 2, 0), draw(1, 3, 0), draw(1, 2, 1)] {
        let correlation: f64 = map.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / map.len() as f64;
        assert!(correlation.abs() < 5.0 * expected.powi(2) / (map.len() as f64).sqrt());
    }

    let mut maps: Vec<f64> = (0..8).map(f64::from).collect();
    let seen = apply_mask(&mut maps, 2, &[1.0, 0.0, 0.5, 1.0], -1.0).unwrap();
    assert_eq!((maps, seen), (vec![0.0, -1.0, 2.0, 3.0, 4.0, -1.0, 6.0, 7.0], vec![true, false, true, true]));
    for mask in [vec![1.0; 3], vec![1.0, 0.0, f64::NAN, 1.0], vec![1.0, 0.0, 2.0, 1.0]] {
        let error = apply_mask(&mut [0.0; 4], 2, &mask, 0.0).unwrap_err();
        assert!(error.exit_code() == 2 && error.key.as_deref() == Some("simulator.lightcone.mask"));
    }
}

#[test]
fn sources_from_a_table() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cosmology = planck();
    let with = |text: &str, column: usize| {
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display();
        let lightcone = format!(
            "field_of_view_deg = 1.0\npixels = 2\nn_of_z = [{{ table = {{ path = \"{path}\", column = {column} }} }}]"
        );
        Sources::new(&config(&lightcone), &cosmology)
    };
    let smail = |z: f64| z * z * (-(z / 0.5f64).powf(1.5)).exp();
    let rows: String = (0..=200).map(|i| 0.01 * f64::from(i)).map(|z| format!("{z} 7 {}\n", 40.0 * smail(z))).collect();
    let table = with(&format!("# z, constant, n\n{rows}"), 2).unwrap();
    let closed = config("field_of_view_deg = 1.0\npixels = 2\nn_of_z = [{ smail = { z0 = 0.5, z_max = 2.0 } }]");
    let closed = Sources::new(&closed, &cosmology).unwrap();
    assert_eq!(table.farthest(), closed.farthest());
    for chi in [100.0, 1000.0, 2000.0] {
        assert!((table.efficiency(0, chi) / closed.efficiency(0, chi) - 1.0).abs() < 1e-3);
    }
    for (text, column) in [
        ("", 1),
        ("0.1 1\n0.1 2\n", 1),
        ("0.1 1\n0.2 x\n", 1),
        ("0.1 1\n0.2 1\n", 2),
        ("0.1 0\n0.2 0\n", 1),
        ("0.1 -1\n0.2 0\n", 1),
    ] {
        let error = with(text, column).unwrap_err();
        assert!(
            error.exit_code() == 2
                && error.remedy.is_some()
                && error.key.as_deref() == Some("simulator.lightcone.n_of_z.0"),
            "{error}"
        );
    }
}

#[test]
fn impossible_light_cones_are_refused_with_advice() {
    let base = "field_of_view_deg = 3.0\npixels = 64\n";
    let with = |more: &str| config(&format!("{base}{more}"));
    let good = with("source_redshifts = [1.0]");
    good.check(256.0).unwrap();
    assert_eq!((good.bins(), good.thickness(256.0), good.randomise, good.method), (1, 64.0, true, Method::Born));
    for (key, bad) in [
        ("source_redshifts", ""),
        ("light_cones", "source_redshifts = [1.0]\nlight_cones = 0"),
        ("light_cones", "source_redshifts = [1.0]\nlight_cones = 2\nrandomise = false"),
        ("source_redshifts", "source_redshifts = [0.0]"),
        ("source_redshifts", "source_redshifts = [nan]"),
        ("plane_thickness", "source_redshifts = [1.0]\nplane_thickness = 300.0"),
        ("n_of_z.0", "n_of_z = [{ smail = { z0 = -1.0 } }]"),
        ("n_of_z.0", "n_of_z = [{ smail = { z0 = 0.5, z_min = 2.0, z_max = 1.0 } }]"),
        ("n_of_z.0", "n_of_z = [{ table = { path = \"x\", column = 0 } }]"),
        ("shape_noise.n_gal", "source_redshifts = [1.0]\nshape_noise = { sigma_e = 0.3, n_gal = 0.0 }"),
    ] {
        let error = with(bad).check(256.0).unwrap_err();
        assert_eq!(error.key.as_deref(), Some(&*format!("simulator.lightcone.{key}")), "{bad}");
        assert!(error.exit_code() == 2 && error.remedy.is_some());
    }
    for text in [
        "field_of_view_deg = 0.0\npixels = 64",
        "field_of_view_deg = 90.0\npixels = 64",
        "field_of_view_deg = 3.0\npixels = 1",
    ] {
        assert!(config(&format!("{text}\nsource_redshifts = [1.0]")).check(256.0).is_err());
    }
    assert!(toml::from_str::<LightConeConfig>(&format!("{base}sources = 1")).is_err());
    assert!(
        toml::from_str::<LightConeConfig>(&format!("{base}n_of_z = [{{ smail = {{ z0 = 0.5, zmax = 1.0 }} }}]"))
            .is_err()
    );

    let cosmology = planck();
    let chi = Sources::new(&good, &cosmology).unwrap().farthest();
    let error = Cone::new(&good, 100.0, &cosmology, chi).unwrap_err();
    assert!(error.to_string().contains("replicate_across"), "{error}");
    Cone::new(&with("replicate_across = true\nsource_redshifts = [1.0]"), 100.0, &cosmology, chi).unwrap();
    let cone = Cone::new(&good, 256.0, &cosmology, chi).unwrap();
    cone.check_time(0.1, 1.0).unwrap();
    assert!(cone.check_time(0.6, 1.0).unwrap_err().to_string().contains("a_start"));
    assert!(cone.check_time(0.1, 0.9).unwrap_err().to_string().contains("a_end"));
}
