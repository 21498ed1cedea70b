use super::record::Record;
use super::state::guessed;
use super::*;
use crate::io::axis::AxisKind;
use crate::io::identity::Content;
use crate::io::identity::{Identity, seal};
use crate::prior::Prior;
use serde_json::json;
use std::rc::Rc;

fn content(field: &str, data: &str, axes: &[AxisKind]) -> Content {
    Content { field: field.into(), data: data.into(), axes: axes.into() }
}

fn identity(data: &str) -> Identity {
    let [theta, split, prior] = ["t", "s", "p"].map(String::from);
    Identity { theta, split, prior, fields: vec![content("x", data, &[])], rows: Rc::default() }
}

fn wanted(name: &str, input: &str, width: u32) -> Wanted {
    let inputs = input.split(' ').map(String::from).collect();
    Wanted {
        name: name.into(),
        inputs,
        targets: vec![],
        config: Some(json!({"name": name, "width": width})),
        average: None,
    }
}

fn write(stages: &Stages, name: &str, stands_on: Option<(&str, &str)>, weights: &str) {
    std::fs::create_dir_all(stages.folder.join(name)).unwrap();
    let record = Record {
        version: "0".into(),
        numerics: 1,
        stage: json!({"name": name, "width": 3}),
        shape: vec![1],
        prior: Prior::new(vec![]).unwrap(),
        dataset: identity("d"),
        stands_on: stands_on.iter().map(|(stage, digest)| (stage.to_string(), digest.to_string())).collect(),
        weights: weights.into(),
    };
    seal(&stages.model(name), &record).unwrap();
}

#[test]
fn whatever_a_stage_depends_on_makes_it_outdated() {
    let dir = tempfile::tempdir().unwrap();
    let all = vec![wanted("a", "x", 3), wanted("b-a", "a", 3), wanted("c", "x", 3)];
    let mut stages = Stages { folder: dir.path().into(), wanted: all, normal: Value::clone };
    assert_eq!((stages.fields("b-a"), stages.with_dependents("a")), (vec!["x"], vec!["a", "b-a"]));
    write(&stages, "a", None, "1");
    write(&stages, "b-a", Some(("a", "1")), "2");
    let why = |stages: &Stages, data: &str| match stages.state("b-a", Some(&identity(data))).unwrap() {
        State::Outdated(why) => why,
        _ => String::new(),
    };
    assert_eq!(why(&stages, "d"), "");
    assert!(why(&stages, "e").contains("data in x"));
    write(&stages, "a", None, "3");
    assert!(why(&stages, "d").contains("trained anew"));
    write(&stages, "a", None, "1");
    stages.wanted[0].config = Some(json!({"name": "a", "width": 4}));
    assert_eq!(why(&stages, "d"), "stage a: train.a.width was 3 and is 4");
    let e = stages.trained("b-a", Some(&identity("d"))).unwrap_err().to_string();
    assert!(e.contains("--retrain a`") && e.contains("b-a/model.json"), "{e}");
    // How weights are looked for is told, and no more.
    stages.wanted[0].config = Some(json!({"name": "a", "width": 3, "epochs": 9}));
    assert_eq!(why(&stages, "d"), "");
    assert_eq!(stages.otherwise("a").unwrap().unwrap(), "train.a.epochs was absent and is 9");
}
/// What a program that guessed took for maps of a box by its shape alone is used where that is what it is.
#[test]
fn stages_of_older_programs_are_outdated_where_their_guess_was_wrong() {
    use crate::io::axis::AxisKind::{Bin, Channel, Flat, Periodic, Unsaid};
    let why = |shape: &[usize], network: Value, axes: &[AxisKind]| {
        let dir = tempfile::tempdir().unwrap();
        let stages = Stages { folder: dir.path().into(), wanted: vec![wanted("a", "x", 3)], normal: Value::clone };
        write(&stages, "a", None, "1");
        let mut record = stages.record("a").unwrap().unwrap();
        (record.shape, record.stage["network"]) = (shape.into(), network);
        let now = Identity { fields: vec![content("x", "d", axes)], ..identity("d") };
        guessed(&record, &now).unwrap_or_default()
    };
    let cnn = |periodic: bool| json!({"kind": "maps", "cnn": {"periodic": periodic}});
    let maps = [Channel, Periodic, Periodic];
    assert_eq!(why(&[4, 32, 32], cnn(true), &maps), "");
    assert_eq!(why(&[4, 32, 32], cnn(false), &[Channel, Flat, Flat]), "");
    assert_eq!(why(&[4, 7, 7], cnn(true), &maps), "");
    assert_eq!(why(&[16], cnn(true), &[Bin]), "");
    assert_eq!(why(&[10, 16], json!({"kind": "vectors"}), &[Channel, Bin]), "");
    let told = why(&[10, 16], cnn(true), &[Channel, Bin]);
    assert!(
        told.contains("took x for periodic maps (views, channels, rows, columns: 1, 1, 10, 16), but it is a vector"),
        "{told}"
    );
    assert!(why(&[4, 32, 32], cnn(true), &[Unsaid; 3]).contains("say so in [dataset.axes]"));
    assert!(why(&[4, 32, 32], cnn(true), &[Channel, Flat, Flat]).contains("but it is flat maps"));
    // Whoever knows what axes were is outdated by any change of it.
    let of = |axes: &[AxisKind]| Identity { fields: vec![content("x", "d", axes)], ..identity("d") };
    let (was, now) = (of(&[Channel, Bin]), of(&maps));
    assert_eq!(was.differs(&now).unwrap(), "the axes of x were channel, bin and are channel, periodic, periodic");
    assert_eq!((was.differs(&was), identity("d").differs(&now)), (None, None));
    assert_eq!(was.digest(), identity("d").digest());
}
#[test]
fn a_stage_depends_on_all_that_it_and_those_before_it_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = vec![wanted("a", "maps y", 3), wanted("b", "power", 3), wanted("c", "b a/summaries y", 3)];
    all.push(wanted("d", "c/a d", 3)); // no stage reads itself
    all[1].targets = vec!["stars".into()];
    let stages = Stages { folder: dir.path().into(), wanted: all, normal: Value::clone };
    assert_eq!(stages.sources("c"), ["a", "b"]);
    assert_eq!(stages.fields("c"), ["power", "stars", "maps", "y"]);
    assert_eq!(stages.inputs("c"), ["power", "maps", "y"]);
    assert_eq!((stages.sources("d"), stages.with_dependents("b")), (vec!["c"], vec!["b", "c", "d"]));
    let now = |maps: &str, stars: &str| {
        let fields = [("power", "p"), ("stars", stars), ("maps", maps), ("y", "y")];
        Identity { fields: fields.map(|(name, data)| content(name, data, &[])).into(), ..identity("") }
    };
    for (name, stands_on) in [("a", &[][..]), ("b", &[]), ("c", &["a", "b"])] {
        write(&stages, name, None, name);
        let stands_on = stands_on.iter().map(|s| (s.to_string(), s.to_string())).collect();
        let dataset = now("m", "s").part(&stages.fields(name));
        seal(&stages.model(name), &Record { stands_on, dataset, ..stages.record(name).unwrap().unwrap() }).unwrap();
    }
    let why = |stage: &str, data: &Identity| match stages.state(stage, Some(data)).unwrap() {
        State::Outdated(why) => why,
        _ => String::new(),
    };
    assert_eq!(["a", "b", "c"].map(|stage| why(stage, &now("m", "s"))), ["", "", ""]);
    let told = ["a", "b", "c"].map(|stage| why(stage, &now("m", "other")));
    assert_eq!(told, ["", "the data in stars are others", "the data in stars are others"]);
    write(&stages, "b", None, "anew");
    assert!(why("c", &now("m", "s")).contains("stands on stage b, which was trained anew"));
}

#[test]
fn records_of_one_field_and_one_stage_are_read() {
    let old = json!({
        "version": "0.7.0", "numerics": 1, "stage": {"name": "b", "width": 3}, "shape": [1], "prior": [],
        "dataset": {"theta": "t", "split": "s", "prior": "p", "field": "x", "data": "d", "axes": ["channel"]},
        "stands_on": "1", "weights": "2",
    });
    let dir = tempfile::tempdir().unwrap();
    let all = vec![wanted("a", "x", 3), wanted("b", "a", 3)];
    let stages = Stages { folder: dir.path().into(), wanted: all, normal: Value::clone };
    write(&stages, "a", None, "1");
    std::fs::create_dir_all(dir.path().join("b")).unwrap();
    seal(&stages.model("b"), &old).unwrap();
    let record = stages.record("b").unwrap().unwrap();
    let now = Identity { fields: vec![content("x", "d", &[AxisKind::Channel])], ..identity("d") };
    assert_eq!(record.dataset, now);
    assert!(matches!(stages.state("b", Some(&now)).unwrap(), State::Trained(_)));
    // Pages of older programs have this digest.
    let old = "Identity { theta: \"t\", split: \"s\", prior: \"p\", field: \"x\", data: \"d\" }";
    assert_eq!(now.digest(), crate::io::identity::digest(old.as_bytes()));
    write(&stages, "a", None, "3");
    assert!(matches!(stages.state("b", Some(&now)).unwrap(), State::Outdated(why) if why.contains("trained anew")));
    // As it is written now.
    seal(&stages.model("b"), &record).unwrap();
    assert_eq!(stages.record("b").unwrap().unwrap(), record);
}

#[test]
fn the_same_weights_on_other_pieces_make_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let all = vec![wanted("a", "x", 3), wanted("b", "a", 3), wanted("c", "b", 3)];
    let mut stages = Stages { folder: dir.path().into(), wanted: all, normal: Value::clone };
    let mut on = |pieces: Value| {
        let config = json!({"name": "a", "width": 3, "data": {"pieces": pieces}});
        write(&stages, "a", None, "1");
        let record = Record { stage: config.clone(), ..stages.record("a").unwrap().unwrap() };
        seal(&stages.model("a"), &record).unwrap();
        stages.wanted[0].config = Some(config);
        let made_of = |name: &str| stages.made_of(name, Some(&identity("d"))).map_err(|e| e.to_string());
        let (a, outdated) = (made_of("a").unwrap(), ["b", "c"].map(|name| made_of(name).err().unwrap_or_default()));
        for (name, below) in [("b", "a"), ("c", "b")] {
            let makes = stages.makes(below, &stages.record(below).unwrap().unwrap()).unwrap();
            write(&stages, name, Some((below, &makes)), "1");
        }
        (outdated, [a, made_of("b").unwrap(), made_of("c").unwrap()])
    };
    let (_, whole) = on(Value::Null);
    let (told, four) = on(json!({"side": 4}));
    assert!(told.iter().all(|told| told.contains("which was trained anew")), "{told:?}");
    let (told, two) = on(json!({"side": 2}));
    assert!(told.iter().all(|told| told.contains("which was trained anew")), "{told:?}");
    assert!((0..3).all(|i| whole[i] != four[i] && four[i] != two[i] && two[i] != whole[i]));
    assert_eq!(on(json!({"side": 2})), (Default::default(), two));
}
