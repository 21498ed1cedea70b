//! What foreign fields hold, kept with the campaign, so that they are only read anew where a file that holds them
//! changed. Nothing depends on it but time: what cannot be kept is read by each command.

use super::dataset::Dataset;
use super::digest::Stamp;
use super::rows::Sums;
use super::sealed::{seal, unseal};
use crate::progress::first_time;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of how contents are hashed.
const HASHING: u32 = 1;
/// Fields that are kept, those asked for last.
const MOST: usize = 64;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Field {
    /// The file that was named, from the root folder.
    dataset: PathBuf,
    field: String,
    /// All files that hold its numbers; none where not all are known.
    files: Vec<(PathBuf, Stamp)>,
    data: String,
    rows: Sums,
    /// One of them had just changed: it is for this program alone.
    #[serde(skip)]
    fresh: bool,
}

impl Field {
    /// Another program may rely on it.
    fn is_lasting(&self) -> bool {
        !self.files.is_empty() && !self.fresh
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    hashing: u32,
    fields: Vec<Field>,
}

/// Foreign fields by their files.
#[derive(Debug, Default)]
pub struct Known {
    /// Where they are kept, in a folder that is there or not.
    path: PathBuf,
    /// `None` before the file was looked at.
    fields: Option<Vec<Field>>,
    /// The one that was looked for last, to be read.
    sought: Option<Field>,
    unsaved: bool,
}

impl Known {
    /// Kept in this file.
    pub fn at(path: PathBuf) -> Known {
        Known { path, ..Known::default() }
    }

    /// Digest and checksums of a field, if its files are as they were.
    pub(super) fn find(&mut self, dataset: &Dataset, field: &str) -> Option<(String, Sums)> {
        let path = dataset.path.canonicalize().unwrap_or_else(|_| dataset.path.clone());
        let files = stamps(dataset, &path, field).unwrap_or_default();
        let path_of = &self.path;
        let fields = self.fields.get_or_insert_with(|| kept(path_of));
        let same = |f: &Field| f.dataset == path && f.field == field && !files.is_empty() && f.files == files;
        let found = fields.iter().find(|f| same(f)).map(|f| (f.data.clone(), f.rows.clone()));
        if found.is_none() {
            let (field, data, rows) = (field.into(), String::new(), Sums::default());
            let fresh = !files.iter().all(|(_, stamp)| stamp.is_settled());
            self.sought = Some(Field { dataset: path, field, files, data, rows, fresh });
        }
        found
    }

    /// Keeps what was found of the field that was looked for.
    pub(super) fn keep(&mut self, data: &str, rows: &Sums) {
        let Some(sought) = self.sought.take() else { return };
        let fields = self.fields.get_or_insert_default();
        fields.retain(|f| (&f.dataset, &f.field) != (&sought.dataset, &sought.field));
        fields.drain(..(fields.len() + 1).saturating_sub(MOST));
        self.unsaved |= sought.is_lasting();
        fields.push(Field { data: data.into(), rows: rows.clone(), ..sought });
    }

    /// Writes what is new into a folder that is there.
    pub fn save(&mut self) {
        if !self.unsaved || !self.path.parent().is_some_and(Path::is_dir) {
            return;
        }
        let fields = self.fields.iter().flatten().filter(|f| f.is_lasting()).cloned().collect();
        match seal(&self.path, &Kept { hashing: HASHING, fields }) {
            Ok(()) => self.unsaved = false,
            Err(e) => log::debug!("contents of fields are not kept: {e}"),
        }
    }
}

/// The files that hold a field and what they are like now; `None` where that cannot be relied on.
fn stamps(dataset: &Dataset, path: &Path, field: &str) -> Option<Vec<(PathBuf, Stamp)>> {
    let stamp = |file: PathBuf| Stamp::of(&file).ok().map(|stamp| (file, stamp));
    let files: Vec<(PathBuf, Stamp)> = dataset.files(field)?.into_iter().map(stamp).collect::<Option<_>>()?;
    // A file that took the place of the one that is open is not what would be read.
    let opened = files.iter().any(|(file, stamp)| file == path && Some(*stamp) == dataset.opened);
    opened.then_some(files)
}

fn kept(path: &Path) -> Vec<Field> {
    if !path.exists() {
        return vec![];
    }
    match unseal::<Kept>(path, "remove it") {
        Ok(Kept { hashing: HASHING, fields }) => fields,
        Ok(_) => vec![],
        Err(e) => {
            let told = format!("{e}; fields are read anew");
            if first_time(&told) {
                log::warn!("{told}");
            }
            vec![]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::Comm;
    use crate::io::hdf::File;
    use crate::io::identity::Identity;
    use std::time::{Duration, SystemTime};

    /// The time of a file's last change cannot be set: it is waited for.
    fn settle() {
        std::thread::sleep(Duration::from_millis(3100));
    }

    fn write(path: &Path, x: f32) {
        let file = File::create(path).unwrap();
        file.write(None, "theta", &[4, 1], &[0.0f64, 1., 2., 3.]).unwrap();
        file.write(None, "x", &[4, 1], &[0f32, 1., x, 3.]).unwrap();
        file.close().unwrap();
    }

    #[test]
    fn a_field_is_read_anew_where_its_file_changed() {
        let dir = tempfile::tempdir().unwrap();
        let [path, kept] = ["d.h5", "contents.json"].map(|name| dir.path().canonicalize().unwrap().join(name));
        write(&path, 2.0);
        let ask = |known: &mut Known| {
            let dataset = Dataset::open(&path, "theta").unwrap();
            let identity = Identity::with(&Comm::world(), &dataset, &["x"], known).unwrap();
            assert_eq!(identity, Identity::of(&Comm::world(), &dataset, &["x"]).unwrap());
            known.save();
            identity
        };
        let first = ask(&mut Known::at(kept.clone()));
        assert!(!kept.exists(), "a file that changed just now is relied on");
        settle();
        assert_eq!(ask(&mut Known::at(kept.clone())), first);
        // What is kept is what counts: another digest in its place comes back.
        let forge = |digest: &str| {
            let mut all = unseal::<Kept>(&kept, "").unwrap();
            all.fields[0].data = digest.into();
            seal(&kept, &all).unwrap();
        };
        let found = || {
            let dataset = Dataset::open(&path, "theta").unwrap();
            Known::at(kept.clone()).find(&dataset, "x").map(|f| f.0)
        };
        forge("kept");
        assert_eq!(found().unwrap(), "kept");
        // Touched: read anew, and the same.
        let times = std::fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(1000));
        let old = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_times(times).unwrap();
        assert_eq!(found(), None);
        assert_eq!(ask(&mut Known::at(kept.clone())), first);
        // Other numbers of the same length, with the time set back.
        write(&path, 2.5);
        let times = std::fs::FileTimes::new().set_modified(old);
        std::fs::File::options().append(true).open(&path).unwrap().set_times(times).unwrap();
        settle();
        assert_eq!(found(), None);
        let now = ask(&mut Known::at(kept.clone()));
        assert_eq!(first.differs(&now).unwrap(), "row 2 of x is another");
        // Damaged, or where nothing can be written: read anew.
        std::fs::write(&kept, "{").unwrap();
        assert_eq!(ask(&mut Known::at(kept.clone())), now);
        assert_eq!(ask(&mut Known::at(dir.path().join("nowhere/contents.json"))), now);
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn all_files_that_hold_a_field_count() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        for name in ["a.h5", "b.h5", "c.h5"] {
            write(&at(name), 2.0);
        }
        let whole = at("whole.h5");
        {
            let file = hdf5::File::create(&whole).unwrap();
            file.new_dataset::<f64>()
                .shape([8, 1])
                .create("theta")
                .unwrap()
                .write_raw(&[1., 2., 3., 4., 5., 6., 7., 8.])
                .unwrap();
            let part = |name: &'static str, from: usize| (name, [4, 1], (0..4, 0..1), [8, 1], (from..from + 4, 0..1));
            let (a, b) = (part("a.h5", 0), part("b.h5", 4));
            let maps = |p: &mut hdf5::plist::DatasetCreateBuilder| {
                for (file, shape, from, extent, to) in [a.clone(), b.clone()] {
                    p.virtual_map(file, "x", shape, from, extent, to);
                }
            };
            file.new_dataset::<f32>()
                .shape([8, 1])
                .with_dcpl(|p| {
                    maps(p);
                    p
                })
                .create("x")
                .unwrap();
            file.link_external("middle.h5", "/far/x", "away").unwrap();
            file.link_soft("/x", "soft").unwrap();
            let file = hdf5::File::create(at("middle.h5")).unwrap();
            file.link_external("c.h5", "/", "far").unwrap();
        }
        let dataset = Dataset::open(&whole, "theta").unwrap();
        let names = |field: &str| -> Option<Vec<String>> {
            let files = dataset.files(field)?;
            Some(files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect())
        };
        assert_eq!(names("x").unwrap(), ["a.h5", "b.h5", "whole.h5"]);
        assert_eq!(names("soft").unwrap(), ["a.h5", "b.h5", "whole.h5"]);
        let four = Dataset::open(at("a.h5"), "theta").unwrap();
        assert_eq!(four.files("x").unwrap().len(), 1);
        assert!(names("nothing").is_none());
        drop((dataset, four));
        // Within one program too: what is known of the field is of all of them as they are.
        let mut known = Known::at(at("contents.json"));
        let mut ask = || {
            let dataset = Dataset::open(&whole, "theta").unwrap();
            let identity = Identity::with(&Comm::world(), &dataset, &["x"], &mut known).unwrap();
            (identity, known.find(&dataset, "x").is_some())
        };
        let (first, again) = ask();
        assert!(again, "a field is read anew for every command");
        write(&at("b.h5"), 9.0);
        assert_eq!(first.differs(&ask().0).unwrap(), "row 6 of x is another");
    }
}
