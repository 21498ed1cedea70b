//! What a folder keeps of the campaign that began it, and what it refuses.

use super::*;
use std::slice::from_ref;

fn shape() -> Value {
    json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"a": {"min": 0}, "b": {"min": 1}}}})
}

#[test]
fn the_first_difference_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let check = |shape: &Value| check(dir.path(), shape, &[]);
    let shape = shape();
    check(&shape).unwrap();
    check(&shape).unwrap();
    let mut other = shape.clone();
    other["simulator"]["box_size"] = json!(128.0);
    let e = check(&other).unwrap_err();
    assert_eq!((e.key.as_deref(), e.exit_code()), (Some("simulator.box_size"), 2));
    assert!(e.problem.contains("256"), "{e}");
    let mut more = shape.clone();
    more["simulator"]["halos"] = json!({"least": 20});
    let e = check(&more).unwrap_err();
    assert!(e.problem.contains("begun without this key"), "{e}");
    for text in ["{", "{}", "[1]"] {
        std::fs::write(dir.path().join("fingerprint.json"), text).unwrap();
        let e = check(&shape).unwrap_err();
        assert!(e.to_string().contains("fingerprint.json: cannot be used") && e.remedy.is_some(), "{e}");
    }
    std::fs::remove_file(dir.path().join("fingerprint.json")).unwrap();
    check(&shape).unwrap();
    let swapped = json!({"seed": 1, "simulator": {"box_size": 256.0}, "design": {"parameters": {"b": {"min": 1}, "a": {"min": 0}}}});
    assert!(check(&swapped).unwrap_err().key.unwrap().contains("order"));
}

#[test]
fn it_is_sealed_and_an_older_one_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path());
    let check = || check(dir.path(), &shape(), &[]);
    let text = || std::fs::read_to_string(&file).unwrap();
    check().unwrap();
    let written = text();
    std::fs::write(&file, written.replace("256.0", "128.0")).unwrap();
    let e = check().unwrap_err();
    assert!(e.problem.contains("checksum does not match") && e.remedy.is_some(), "{e}");
    // Before there were seals the file was just this.
    std::fs::write(&file, format!("{:#}\n", json!({ "campaign": shape() }))).unwrap();
    assert_eq!(read(dir.path()).unwrap(), Some(shape()));
    check().unwrap();
    assert_eq!(text(), written, "it is sealed from then on");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert!(check().unwrap_err().problem.contains("no ordinary file"));
}

#[test]
fn a_folder_goes_on_with_the_defaults_that_it_was_begun_with() {
    let mut begun = shape();
    begun["simulator"]["gradient"] = json!("four-point");
    let mut now = begun.clone();
    now["simulator"]["gradient"] = json!("spectral");
    now["given"] = json!(["seed", "simulator", "simulator.box_size"]);
    let changed = changed_defaults(&begun, &now);
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].key.as_str(), &changed[0].begun), ("simulator.gradient", &json!("four-point")));
    now["given"] = json!(["simulator", "simulator.gradient"]);
    assert!(changed_defaults(&begun, &now).is_empty(), "what is given is meant");

    // A key that the older program did not know is no other campaign; a section that the user adds is.
    let dir = tempfile::tempdir().unwrap();
    check(dir.path(), &begun, &[]).unwrap();
    let mut newer = begun.clone();
    newer["simulator"]["new"] = json!({"key": 3});
    newer["given"] = json!(["simulator", "simulator.new"]);
    assert_eq!(check(dir.path(), &newer, &[]).unwrap_err().key.unwrap(), "simulator.new.key");
    newer["given"] = json!(["simulator"]);
    check(dir.path(), &newer, &[]).unwrap();
    newer["simulator"]["new"]["key"] = json!(4);
    assert_eq!(check(dir.path(), &newer, &[]).unwrap_err().key.unwrap(), "simulator.new.key");
}

#[test]
fn what_is_only_seen_may_change_and_stays_as_begun() {
    let dir = tempfile::tempdir().unwrap();
    let mut begun = shape();
    begun["simulator"]["power"] = json!({"k": 1.0});
    begun["numerics"] = json!({"pm": 1, "power": 1});
    begun["seen"] = json!(["simulator.power", "simulator.maps"]);
    begun["given"] = json!(["seed", "simulator", "simulator.box_size", "simulator.power"]);
    check(dir.path(), &begun, &[]).unwrap();
    let kept = read(dir.path()).unwrap().unwrap();
    let mut now = begun.clone();
    now["simulator"]["power"]["k"] = json!(2.0);
    now["simulator"]["maps"] = json!({"pixels": 8});
    now["numerics"]["power"] = json!(2);
    check(dir.path(), &now, &[]).unwrap();
    assert_eq!(read(dir.path()).unwrap().unwrap(), kept);
    now["numerics"]["pm"] = json!(2);
    assert_eq!(check(dir.path(), &now, &[]).unwrap_err().key.as_deref(), Some("numerics.pm"));

    // What an older program wrote is as the folder was begun; a default that it did not know is no other one.
    let field = |seen: Value| {
        let seen = serde_json::from_value(seen).unwrap();
        FieldSpec { seen, ..FieldSpec::vector("power", 3) }
    };
    let differ = |was: &Value, is: &Value| seen_otherwise(&field(was.clone()), &field(is.clone()), &kept, &begun);
    let (older, key) = (json!({}), ["simulator.power"]);
    assert!(differ(&older, &json!({"simulator.power": {"k": 1.0}})).is_empty());
    assert!(differ(&older, &json!({"simulator.power": {"k": 1.0, "new": false}})).is_empty());
    assert_eq!(differ(&older, &json!({"simulator.power": {"k": 2.0}})), key);
    assert_eq!(differ(&older, &json!({"simulator.power": {}})), key);
    assert_eq!(differ(&older, &json!({"numerics.power": 2})), ["numerics.power"]);
    assert!(differ(&json!({"simulator.power": 5}), &json!({"simulator.power": 5})).is_empty());
    assert_eq!(differ(&json!({"simulator.power": 5}), &json!({"simulator.power": 6})), key);
}

#[test]
fn lens_planes_of_an_older_program_reach_as_far_as_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let shape = |z: [f64; 2]| {
        let simulator = json!({
            "kind": "pm", "box_size": 64.0, "particles": 16,
            "lightcone": { "source_redshifts": z, "pixels": 8, "field_of_view_deg": 1.0 },
        });
        let simulator = serde_json::from_value::<SimulatorConfig>(simulator).unwrap();
        json!({
            "simulator": simulator.shaping(), "given": ["simulator"],
            "seen": ["simulator.lightcone.source_redshifts"],
        })
    };
    let mut begun = shape([0.5, 1.0]);
    let farthest = begun["simulator"].as_object_mut().unwrap().remove("lightcone (farthest source)");
    assert_eq!(farthest, Some(json!(1.0)));
    check(dir.path(), &begun, &[]).unwrap();
    let e = check(dir.path(), &shape([0.5, 0.99]), &[]).unwrap_err();
    assert_eq!(e.key.as_deref(), Some("simulator.lightcone (farthest source)"));
    check(dir.path(), &shape([0.7, 1.0]), &[]).unwrap();
    let e = check(dir.path(), &shape([0.7, 1.1]), &[]).unwrap_err();
    assert!(e.problem.contains("was begun with 1.0"), "{e}");
}

#[test]
fn other_numerics_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let with = |pm: u64| {
        let mut shape = shape();
        shape["numerics"] = json!({ "pm": pm });
        shape
    };
    check(dir.path(), &shape(), &[]).unwrap();
    assert!(check(dir.path(), &with(2), &[]).is_err(), "what has no version is of the first");
    check(dir.path(), &with(1), &[]).unwrap();
    let e = check(dir.path(), &with(2), &[]).unwrap_err();
    assert!(e.exit_code() == 2 && e.problem.contains("version 1") && e.problem.contains("version 2"), "{e}");
}

#[test]
fn contents_count_and_names_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (output, place) = (dir.path().join("o"), "/cosmology/tables/0.0".to_string());
    std::fs::create_dir(&output).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let go = |names: &[PathBuf], digested: bool| {
        let mut shape = shape();
        shape["cosmology"] = json!({"tables": {"0.0": names[0]}});
        let files = [(place.clone(), names.to_vec())];
        if digested {
            shape["files"] = digests(&files).unwrap();
            shape["numerics"] = json!({"pm": 1});
        }
        check(&output, &shape, &files)
    };
    let (a, b) = (file("a.txt", "1"), file("b.txt", "2"));
    go(from_ref(&a), false).unwrap();
    assert!(go(&[file("c.txt", "1")], true).is_err(), "an old folder has nothing but the name");
    go(from_ref(&a), true).unwrap();
    go(&[file("c.txt", "1")], true).unwrap();
    let e = go(from_ref(&b), true).unwrap_err();
    assert!(e.to_string().contains("b.txt") && e.exit_code() == 2 && e.remedy.is_some(), "{e}");
    file("a.txt", "4");
    let e = go(&[a], true).unwrap_err();
    assert_eq!(e.key.as_deref(), Some("cosmology.tables.0.0"));
}

#[test]
fn one_file_for_all_is_not_one_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let place = "/cosmology/table".to_string();
    let (same, other) = (file("same", "1"), file("other", "2"));
    // A fresh folder is begun with some files; others (the name, then one for each simulation) follow.
    let go = |turns: &[(&str, &[&PathBuf])]| -> Result<()> {
        let output = tempfile::tempdir().unwrap();
        turns.iter().try_for_each(|(name, paths)| {
            let files = [(place.clone(), paths.iter().map(|p| p.to_path_buf()).collect())];
            let mut shape = shape();
            shape["cosmology"] = json!({ "table": name });
            shape["files"] = digests(&files).unwrap();
            check(output.path(), &shape, &files)
        })
    };
    let (one, each) = ("pk.txt", "pk_{index}.txt");
    let e = go(&[(one, &[&same]), (each, &[&same, &other])]).unwrap_err();
    assert!(e.problem.contains("for simulation 1") && e.file.unwrap().ends_with("other"), "{}", e.problem);
    let e = go(&[(each, &[&same, &other]), (one, &[&same])]).unwrap_err();
    assert!(e.problem.contains("for simulation 1") && e.file.unwrap().ends_with("same"), "{}", e.problem);
    // Contents decide, and a longer list is no other one.
    go(&[(one, &[&same]), (each, &[&same, &same])]).unwrap();
    go(&[(each, &[&same]), (each, &[&same, &other])]).unwrap();
    // What was known of universes that are not asked for now stays known.
    go(&[(one, &[&same]), (each, &[&same]), (each, &[&same, &other])]).unwrap_err();
    go(&[(each, &[&same, &other]), (each, &[&same]), (each, &[&same, &same])]).unwrap_err();
    go(&[(each, &[&same]), (one, &[&same]), (each, &[&same, &other])]).unwrap_err();
}
