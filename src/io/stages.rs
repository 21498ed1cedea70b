//! Trained stages as their files tell: what each learned from, and whether that is what the campaign would train it on now.

use super::axis::{AxisKind, Picture};
use super::derived::Of;
use super::identity::{Identity, digest, seal, unseal};
use super::rows::Rows;
use crate::error::{Error, Result, campaign};
use crate::prior::Prior;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// Version of what the training of a stage (as [`Record::stage`]) computes; raised when the same campaign and the same data
/// give other weights. 2: symmetries are drawn by universe, where there are any. 3: and those of copies by their number too.
/// One more where there is instance noise: it fades over the epochs of each phase.
pub fn numerics(stage: &Value) -> u32 {
    let before = match stage["copies"].as_u64() > Some(1) {
        true => 3,
        false => 1 + (stage["augment"] == true) as u32,
    };
    let noise = stage["data"]["noise"].as_array();
    before + noise.is_some_and(|all| all.iter().any(|noise| !noise["instance"].is_null())) as u32
}

/// `model.json` (and `stage.json`): what a stage is, and all that its weights depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: String,
    pub numerics: u32,
    /// The resolved `[[train]]`, with the campaign's seed added to its own.
    pub stage: Value,
    /// Shape of one sample of the model's input.
    pub shape: Vec<usize>,
    pub prior: Prior,
    pub dataset: Identity,
    /// Digests of what [makes](Stages::makes) the outputs of the stages that it reads, by their names.
    #[serde(deserialize_with = "one_or_several")]
    pub stands_on: BTreeMap<String, String>,
    /// Digest of `weights.safetensors`; empty before it is there.
    pub weights: String,
}

/// In a record of a program whose stages had one input, the stage that this was is not named.
const ITS_INPUT: &str = "";

fn one_or_several<'d, D: Deserializer<'d>>(from: D) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelled {
        One(String),
        Several(BTreeMap<String, String>),
    }
    Ok(match Option::deserialize(from)? {
        None => BTreeMap::new(),
        Some(Spelled::One(weights)) => BTreeMap::from([(ITS_INPUT.into(), weights)]),
        Some(Spelled::Several(all)) => all,
    })
}

/// `rows.json`: a dataset row by row.
#[derive(Serialize, Deserialize)]
struct Learned {
    /// Digest of the dataset's identity.
    of: String,
    rows: Rows,
}

/// A stage as the campaign has it now.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    /// Fields of the dataset, or earlier stages: `STAGE`, or `STAGE/OUTPUT`.
    pub inputs: Vec<String>,
    /// What it learns to tell beside the parameters, spelled alike.
    pub targets: Vec<String>,
    /// As [`Record::stage`]; `None` in a program without libtorch, which does not know its defaults.
    pub config: Option<Value>,
}

/// All stages of a campaign.
pub struct Stages {
    /// `<output>/train`.
    pub folder: PathBuf,
    pub wanted: Vec<Wanted>,
    /// A recorded configuration with the defaults of this program, and without what weights do not depend on.
    pub normal: fn(&Value) -> Value,
}

/// Keys of a stage that say how its weights were looked for, not what they are: weights found otherwise can be used.
const SEARCH: [&str; 8] =
    ["epochs", "batch_size", "learning_rate", "weight_decay", "clip", "optimiser", "patience", "copies"];

/// Where a stage stands.
#[derive(Debug, Clone)]
pub enum State {
    /// Not trained, or not to its end.
    Absent,
    Trained(Box<Record>),
    /// Trained, and why that is of no use now.
    Outdated(String),
}

impl Stages {
    /// The stages before it whose outputs a stage reads.
    pub fn sources(&self, name: &str) -> Vec<&str> {
        let Some(at) = self.wanted.iter().position(|w| w.name == name) else { return vec![] };
        let Wanted { inputs, targets, .. } = &self.wanted[at];
        let read = |w: &&Wanted| inputs.iter().chain(targets).any(|read| is_of(read, &w.name));
        self.wanted[..at].iter().filter(read).map(|w| w.name.as_str()).collect()
    }

    /// The fields of the dataset that a stage and those before it read, each once, in order; parameters that are targets
    /// are among them.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.read(name, &|w| w.inputs.iter().chain(&w.targets).collect())
    }

    /// Those that must be there to use it: what it and those before it have as inputs.
    pub fn inputs(&self, name: &str) -> Vec<&str> {
        self.read(name, &|w| w.inputs.iter().collect())
    }

    fn read<'a>(&'a self, name: &str, columns: &dyn Fn(&'a Wanted) -> Vec<&'a String>) -> Vec<&'a str> {
        let Some(at) = self.wanted.iter().position(|w| w.name == name) else { return vec![] };
        let mut all: Vec<&str> = vec![];
        for column in columns(&self.wanted[at]) {
            let fields = match self.wanted[..at].iter().find(|w| is_of(column, &w.name)) {
                Some(source) => self.read(&source.name, columns),
                None => vec![column.as_str()],
            };
            all.extend(fields.into_iter().filter(|field| !all.contains(field)).collect::<Vec<_>>());
        }
        all
    }

    /// A stage and all that stand on it, in order.
    pub fn with_dependents(&self, name: &str) -> Vec<&str> {
        let mut all: Vec<&str> = vec![];
        for Wanted { name: stage, .. } in &self.wanted {
            if stage == name || self.sources(stage).iter().any(|source| all.contains(source)) {
                all.push(stage);
            }
        }
        all
    }

    /// All stages that a stage stands on, in order, and itself.
    pub fn chain(&self, name: &str) -> Vec<&str> {
        let stands = |w: &&Wanted| self.with_dependents(&w.name).contains(&name);
        self.wanted.iter().filter(stands).map(|w| w.name.as_str()).collect()
    }

    /// The file that says that a stage is done, and of what.
    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("model.json")
    }

    /// The file of what a stage makes of the dataset.
    pub fn made(&self, name: &str) -> PathBuf {
        self.folder.with_file_name("fields").join(format!("{name}.h5"))
    }

    /// Rows that it has of each universe to learn from: as many as any stage wants that stands on this one.
    pub fn copies(&self, name: &str) -> u32 {
        let above = self.with_dependents(name).into_iter().filter(|other| *other != name);
        let config = |other| self.wanted.iter().find(|w| w.name == other)?.config.as_ref()?["copies"].as_u64();
        above.filter_map(config).max().unwrap_or(1) as u32
    }

    /// What it is to be of, with the dataset as it is now.
    pub fn made_of(&self, name: &str, data: Option<&Identity>) -> Result<Of> {
        let record = self.trained(name, data)?;
        Ok(Of::new(name, &self.makes(name, &record)?, &record.dataset, self.copies(name)))
    }

    /// Digest of what makes the outputs of a stage with this record: its weights and, where samples are pieces of universes,
    /// how it and those before it cut them.
    pub fn makes(&self, name: &str, record: &Record) -> Result<String> {
        let mut pieces = vec![record.stage["data"]["pieces"].clone()];
        for before in self.chain(name).into_iter().filter(|before| *before != name) {
            pieces.extend(self.record(before)?.map(|record| record.stage["data"]["pieces"].clone()));
        }
        Ok(match pieces.iter().all(Value::is_null) {
            true => record.weights.clone(),
            false => digest(json!([record.weights, pieces]).to_string().as_bytes()),
        })
    }

    /// The file that has the rows of what it learned from.
    fn rows_file(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("rows.json")
    }

    /// Keeps the rows of what a stage learns from, to name later what changed.
    pub fn keep_rows(&self, name: &str, of: &Identity) -> Result<()> {
        if of.rows.is_empty() {
            Ok(())
        } else {
            seal(&self.rows_file(name), &Learned { of: of.digest(), rows: Rows::clone(&of.rows) })
        }
    }

    /// The rows of what a stage learned from; none where they were not kept.
    fn rows(&self, name: &str, of: &Identity) -> Rc<Rows> {
        let path = self.rows_file(name);
        let read =
            if path.exists() { unseal::<Learned>(&path, "nothing depends on it") } else { return Rc::default() };
        match read {
            Ok(learned) if learned.of == of.digest() => Rc::new(learned.rows),
            Ok(_) => Rc::default(),
            Err(e) => {
                log::warn!("{e}: rows that changed are not named");
                Rc::default()
            }
        }
    }

    /// What a finished stage is.
    pub fn record(&self, name: &str) -> Result<Option<Record>> {
        let path = self.model(name);
        if path.exists() { unseal(&path, &anew(name)).map(Some) } else { Ok(None) }
    }

    /// Where a stage stands, with the dataset as it is now (`None`: it is not there).
    pub fn state(&self, name: &str, data: Option<&Identity>) -> Result<State> {
        let Some(record) = self.record(name)? else { return Ok(State::Absent) };
        Ok(match self.why_outdated(&record, name, data)? {
            Some(why) => State::Outdated(why),
            None => State::Trained(Box::new(record)),
        })
    }

    /// A finished stage that is of the campaign as it is now; else what to do.
    pub fn trained(&self, name: &str, data: Option<&Identity>) -> Result<Record> {
        let file = self.model(name);
        match self.state(name, data)? {
            State::Trained(record) => Ok(*record),
            State::Absent => Err(Error::input(format!("stage {name} is not trained yet"))
                .file(file)
                .remedy(format!("run `polycosm train {} {name}`", campaign()))),
            State::Outdated(why) => {
                let error = Error::input(format!("stage {name} is outdated: {why}")).file(file);
                Err(match self.below(name, data)? {
                    Some(cause) => error.remedy(cause.remedy.unwrap_or_default()),
                    None => error.remedy(anew(name)),
                })
            }
        }
    }

    /// What is to be done first of the stages that this one stands on: the lowest that is not trained, or outdated.
    pub fn below(&self, name: &str, data: Option<&Identity>) -> Result<Option<Error>> {
        for stage in self.chain(name).into_iter().filter(|stage| *stage != name) {
            if !matches!(self.state(stage, data)?, State::Trained(_)) {
                return Ok(self.trained(stage, data).err());
            }
        }
        Ok(None)
    }

    /// Why what was (or began to be) learned is not what would be learned now.
    pub fn why_outdated(&self, record: &Record, name: &str, data: Option<&Identity>) -> Result<Option<String>> {
        if let Some(difference) = self.difference(record, name, false) {
            return Ok(Some(difference));
        }
        if record.numerics != numerics(&record.stage) {
            return Ok(Some(format!("it was trained by polycosm {}, which computes otherwise", record.version)));
        }
        let Some(all) = data else { return Ok(Some("the dataset that it was trained on is not there".into())) };
        let data = &all.part(&self.fields(name));
        if record.dataset.differs(data).is_some() {
            let was = Identity { rows: self.rows(name, &record.dataset), ..record.dataset.clone() };
            return Ok(was.differs(data));
        }
        if let Some(guess) = guessed(record, data) {
            return Ok(Some(guess));
        }
        let sources = self.sources(name);
        if let Some(other) =
            record.stands_on.keys().find(|stage| !sources.contains(&stage.as_str()) && *stage != ITS_INPUT)
        {
            return Ok(Some(format!("it stood on stage {other}")));
        }
        if sources.is_empty() && !record.stands_on.is_empty() {
            return Ok(Some("it stood on another stage".into()));
        }
        for source in sources {
            let stood = record.stands_on.get(source).or(record.stands_on.get(ITS_INPUT));
            let why = match self.record(source)? {
                None => Some(format!("it stands on stage {source}, which is not trained")),
                Some(r) if stood != Some(&self.makes(source, &r)?) => {
                    Some(format!("it stands on stage {source}, which was trained anew"))
                }
                Some(r) => self.why_outdated(&r, source, Some(all))?.map(|why| format!("stage {source}: {why}")),
            };
            if why.is_some() {
                return Ok(why);
            }
        }
        Ok(None)
    }
}

/// True for an output of a stage: its name, or `STAGE/OUTPUT`.
fn is_of(column: &str, stage: &str) -> bool {
    column.split('/').next() == Some(stage)
}

impl Stages {
    /// How a finished stage was trained otherwise than the campaign would train it now. It can be used, with a word.
    pub fn otherwise(&self, name: &str) -> Result<Option<String>> {
        Ok(self.record(name)?.and_then(|record| self.difference(&record, name, true)))
    }

    /// The first difference between a stage as it was trained and as the campaign has it: in how weights are looked for, or in
    /// all else.
    pub fn difference(&self, record: &Record, name: &str, search: bool) -> Option<String> {
        let now = self.wanted.iter().find(|w| w.name == name)?.config.clone()?;
        let chosen = |mut config: Value| {
            if let Some(table) = config.as_object_mut() {
                table.retain(|key, _| SEARCH.contains(&key.as_str()) == search);
            }
            config
        };
        let differs = difference("", &chosen((self.normal)(&record.stage)), &chosen(now))?;
        Some(match differs.starts_with("seed ") {
            // The campaign's has been added to the stage's own.
            true => format!("seed + train.{name}.{differs}"),
            false => format!("train.{name}.{differs}"),
        })
    }
}

/// Why a stage of a program that guessed what axes are took its field for something else than it is: only networks for maps did.
fn guessed(record: &Record, now: &Identity) -> Option<String> {
    let cnn = record.stage["network"].get("cnn")?;
    let [field] = &now.fields[..] else { return None };
    if record.dataset.fields.iter().any(|f| !f.axes.is_empty()) || !record.stands_on.is_empty() {
        return None;
    }
    // How maps were (or would be) padded counts too.
    let circular = |p: Picture| Picture { periodic: p.periodic && cnn["periodic"] != false, ..p };
    let was = Picture::guessed(&record.shape).map(circular);
    let is = Picture::of(&field.axes, &record.shape).filter(Picture::is_large).map(circular);
    let words = |picture: Option<Picture>| match picture {
        None => "a vector".to_string(),
        Some(Picture { views, channels, height, width, periodic }) => {
            let sort = if periodic { "periodic" } else { "flat" };
            format!("{sort} maps (views, channels, rows, columns: {views}, {channels}, {height}, {width})")
        }
    };
    let foreign =
        if field.axes.iter().any(AxisKind::is_unsaid) { " (if it was right, say so in [dataset.axes])" } else { "" };
    (was != is)
        .then(|| format!("an older program took {} for {}, but it is {}{foreign}", field.field, words(was), words(is)))
}

/// The remedy for a stage that cannot be used.
pub fn anew(name: &str) -> String {
    let campaign = campaign();
    format!(
        "`polycosm train {campaign} --retrain {name}` trains it anew, with all that stands on it; under another name it is \
         trained in a folder of its own, beside this one; or undo the change"
    )
}

/// The first key whose value is another, with both.
pub fn difference(at: &str, was: &Value, is: &Value) -> Option<String> {
    let show = |v: &Value| if v.is_null() { "absent".to_string() } else { v.to_string() };
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&at, &was[key], &is[key])
        }),
        _ => (was != is).then(|| format!("{at} was {} and is {}", show(was), show(is))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::identity::Content;

    fn content(field: &str, data: &str, axes: &[AxisKind]) -> Content {
        Content { field: field.into(), data: data.into(), axes: axes.into() }
    }

    fn identity(data: &str) -> Identity {
        let [theta, split, prior] = ["t", "s", "p"].map(String::from);
        Identity { theta, split, prior, fields: vec![content("x", data, &[])], rows: Rc::default() }
    }

    fn wanted(name: &str, input: &str, width: u32) -> Wanted {
        let inputs = input.split(' ').map(String::from).collect();
        Wanted { name: name.into(), inputs, targets: vec![], config: Some(json!({"name": name, "width": width})) }
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
            told.contains(
                "took x for periodic maps (views, channels, rows, columns: 1, 1, 10, 16), but it is a vector"
            ),
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
}
