//! What results are of, told by content alone: digests (SHA-256, hexadecimal) of data and files, and JSON that carries its own.
//! Neither the time of a file nor its name decides anything.

pub use super::digest::{digest, digest_again, digest_of_file};

use super::axis::AxisKind;
use super::dataset::Dataset;
use super::hdf::File;
use super::ours::publish_own;
use super::provenance::is_ours;
use super::text;
use crate::comm::{Comm, share};
use crate::error::{At, Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A dataset as a stage sees it: whatever differs in it, differs here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Spelled")]
pub struct Identity {
    /// Parameters of all universes, in order.
    pub theta: String,
    /// What each universe is used for, and which are finished.
    pub split: String,
    /// Names and bounds.
    pub prior: String,
    /// The fields that the stage and those before it read, each once.
    pub fields: Vec<Content>,
}

/// A field of a dataset by what stands in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Its name.
    pub field: String,
    /// Digest of its numbers.
    pub data: String,
    /// What its axes are. Older programs, whose records say nothing, took for maps of a periodic box what had their shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<AxisKind>,
}

/// An identity as files have it: those of programs that knew one field have it in place of the list.
#[derive(Deserialize)]
struct Spelled {
    theta: String,
    split: String,
    prior: String,
    #[serde(default)]
    fields: Vec<Content>,
    #[serde(flatten)]
    only: Option<Content>,
}

impl From<Spelled> for Identity {
    fn from(Spelled { theta, split, prior, mut fields, only }: Spelled) -> Identity {
        fields.extend(only);
        Identity { theta, split, prior, fields }
    }
}

/// Numbers of a foreign field that are hashed at a time.
const BLOCK: usize = 1 << 20;

impl Identity {
    /// Collective. polycosm's own datasets keep checksums of their universes; of others the fields are read, by all ranks.
    /// Names of parameters may be among the fields: they are told by `theta`.
    pub fn of(comm: &Comm, dataset: &Dataset, fields: &[&str]) -> Result<Identity> {
        let numbers = |x: &[f64]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let uses: Vec<u8> = dataset.split().iter().zip(dataset.status()).flat_map(|(s, t)| [*s as u8, *t]).collect();
        let fields = fields.iter().filter(|field| !dataset.is_parameter(field));
        Ok(Identity {
            theta: digest(&numbers(dataset.theta())),
            split: digest(&uses),
            prior: digest(json(&dataset.prior)?.as_bytes()),
            fields: fields.map(|field| Content::of(comm, dataset, field)).collect::<Result<_>>()?,
        })
    }

    /// Of these fields alone.
    pub fn part(&self, fields: &[&str]) -> Identity {
        let field = |name: &&str| self.fields.iter().find(|f| f.field == *name).cloned();
        Identity { fields: fields.iter().filter_map(field).collect(), ..self.clone() }
    }

    /// Names of the fields.
    pub fn names(&self) -> String {
        self.fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What is another in `now`, in words.
    pub fn differs(&self, now: &Identity) -> Option<String> {
        let (was, is) = (self.names(), now.names());
        let parts = [
            (was == is, format!("its input was {was}, not {is}")),
            (self.prior == now.prior, "the prior (names or bounds of the parameters) is another".into()),
            (self.theta == now.theta, "the universes' parameters (theta) are others".into()),
            (self.split == now.split, "the split (or which universes failed) is another".into()),
        ];
        let other = parts.into_iter().find(|(same, _)| !same).map(|(_, what)| what);
        other.or_else(|| self.fields.iter().zip(&now.fields).find_map(|(was, now)| was.differs(now)))
    }

    /// Digest of all but what the axes are.
    pub fn digest(&self) -> String {
        let Identity { theta, split, prior, fields } = self;
        // As `Debug` showed a struct of one field: pages of older programs have that.
        let fields = fields.iter().flat_map(|f| [("field", &f.field), ("data", &f.data)]);
        let parts = [("theta", theta), ("split", split), ("prior", prior)].into_iter().chain(fields);
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}: {value:?}")).collect();
        digest(format!("Identity {{ {} }}", parts.join(", ")).as_bytes())
    }
}

impl Content {
    /// Collective.
    fn of(comm: &Comm, dataset: &Dataset, field: &str) -> Result<Content> {
        let data = match comm.on_root(|| stored(dataset, field))? {
            Some(data) => data,
            None => read(comm, dataset, field)?,
        };
        Ok(Content { field: field.into(), data, axes: comm.agree(dataset.spec(field))?.kinds() })
    }

    /// What is another in `now`, in words.
    fn differs(&self, now: &Content) -> Option<String> {
        let said = |axes: &[AxisKind]| axes.iter().map(AxisKind::to_string).collect::<Vec<_>>().join(", ");
        let Content { field, data, axes } = self;
        if *data != now.data {
            return Some(format!("the data in {field} are others"));
        }
        (!axes.is_empty() && *axes != now.axes)
            .then(|| format!("the axes of {field} were {} and are {}", said(axes), said(&now.axes)))
    }
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::failed(e.to_string()))
}

fn stored(dataset: &Dataset, field: &str) -> Result<Option<String>> {
    let file = File::open(&dataset.path)?;
    let name = format!("checksum/{field}");
    if !is_ours(&file)? || !file.exists(&name) {
        return Ok(None);
    }
    let sums: Vec<u8> = file.read::<u32>(&name)?.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut spec = dataset.spec(field)?;
    // What axes are stands beside it: datasets of older programs do not say.
    for axis in &mut spec.axes {
        (axis.kind, axis.spins) = (AxisKind::Unsaid, vec![]);
    }
    Ok(Some(digest(&[json(&spec)?.as_bytes(), &sums].concat())))
}

fn read(comm: &Comm, dataset: &Dataset, field: &str) -> Result<String> {
    let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).collect();
    let spec = comm.agree(dataset.spec(field))?;
    // Blocks have one size, so that nothing depends on the number of ranks.
    let size = (BLOCK / spec.shape.iter().product::<usize>().max(1)).max(1);
    let blocks: Vec<&[usize]> = rows.chunks(size).collect();
    let (start, len) = share(blocks.len(), comm.size(), comm.rank());
    let hashed = |block: &&[usize]| -> Result<Vec<u8>> {
        let mut hash = Sha256::new();
        dataset.read_f64(field, block)?.iter().for_each(|x| hash.update(x.to_le_bytes()));
        Ok(hash.finalize().to_vec())
    };
    let mine = blocks[start..start + len].iter().map(hashed).collect::<Result<Vec<_>>>();
    let all = comm.all_gather(&comm.agree(mine)?.concat());
    Ok(digest(&[format!("{:?} {:?}", spec.shape, spec.dtype).as_bytes(), &all].concat()))
}

/// A value as JSON with the digest of all of it.
pub fn sealed<T: Serialize>(value: &T) -> Result<String> {
    let mut value = serde_json::to_value(value).map_err(|e| Error::failed(e.to_string()))?;
    value["sha256"] = digest(value.to_string().as_bytes()).into();
    Ok(format!("{value:#}\n"))
}

/// What stands in such a JSON, and whether it has a digest: an older program's may have none. The problem alone where it is
/// damaged.
pub fn open_sealed(text: &str) -> std::result::Result<(Value, bool), String> {
    let mut value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match value.as_object_mut().and_then(|table| table.shift_remove("sha256")) {
        Some(sum) if sum != digest(value.to_string().as_bytes()) => {
            Err("it is damaged, for its checksum does not match".into())
        }
        sum => Ok((value, sum.is_some())),
    }
}

/// Writes a value as JSON with the digest of all of it.
pub fn seal<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    publish_own(path, sealed(value).at(path)?.as_bytes())
}

/// Reads what [`seal`] wrote, unless it is damaged.
pub fn unseal<T: DeserializeOwned>(path: &Path, remedy: &str) -> Result<T> {
    let bad = |problem: String| Error::failed(format!("cannot be used: {problem}")).file(path).remedy(remedy);
    let text = text::read(path).map_err(|e| bad(e.problem))?.ok_or_else(|| bad("there is no such file".into()))?;
    match open_sealed(&text).map_err(bad)? {
        (_, false) => Err(bad("it has no checksum (an older program wrote it)".into())),
        (value, true) => serde_json::from_value(value).map_err(|e| bad(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    #[test]
    fn a_sealed_value_comes_back_and_a_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let value = json!({"loss": -1.25e-7, "third": 1.0 / 3.0, "names": ["a", "ü"], "none": null, "big": u64::MAX});
        seal(&path, &value).unwrap();
        assert_eq!(unseal::<Value>(&path, "make it again").unwrap(), value);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("1.25", "1.35")).unwrap();
        let e = unseal::<Value>(&path, "make it again").unwrap_err().to_string();
        assert!(e.contains("a.json") && e.contains("damaged") && e.contains("make it again"), "{e}");
        seal(&path, &value).unwrap();
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(seal(&path, &value).unwrap_err().exit_code(), 2, "a file of the user's was replaced");
        assert!(unseal::<Value>(&path, "make it again").unwrap_err().remedy.is_some());
    }

    #[test]
    fn a_file_that_changed_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        for text in ["one", "two", "six"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(digest_again(&path).unwrap(), digest(text.as_bytes()), "{text}");
        }
        let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert_eq!(digest_again(&own).unwrap(), digest_of_file(&own).unwrap());
        assert_eq!(digest_again(&own).unwrap(), digest_of_file(&own).unwrap(), "as it was remembered");
        for path in ["/dev/zero", "/"] {
            assert!(digest_of_file(Path::new(path)).unwrap_err().to_string().contains("no ordinary file"), "{path}");
        }
    }

    #[test]
    fn every_part_of_a_dataset_counts() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, x: f32, y: i64, split: u8| {
            let path = dir.path().join(name);
            let file = File::create(&path).unwrap();
            file.write(None, "theta", &[4, 1], &[0.0f64, 1., 2., 3.]).unwrap();
            file.write(None, "x", &[4, 1], &[0f32, 1., x, 3.]).unwrap();
            file.write(None, "y", &[4], &[0i64, 1, 1, y]).unwrap();
            file.write(None, "split", &[4], &[0u8, 0, split, 2]).unwrap();
            file.close().unwrap();
            Identity::of(&Comm::world(), &Dataset::open(&path, "theta").unwrap(), &["x", "y", "theta_0"]).unwrap()
        };
        let first = of("a.h5", 2.0, 0, 1);
        assert_eq!(first.names(), "x, y", "theta_0 is a parameter");
        assert_eq!(first.differs(&of("b.h5", 2.0, 0, 1)), None, "the name decides");
        assert!(first.differs(&of("c.h5", 2.5, 0, 1)).unwrap().contains("data in x"));
        assert!(first.differs(&of("d.h5", 2.0, 1, 1)).unwrap().contains("data in y"));
        assert!(first.differs(&of("e.h5", 2.0, 0, 0)).unwrap().contains("split"));
        assert_eq!(first.part(&["x"]).differs(&of("f.h5", 2.0, 1, 1).part(&["x"])), None);
        assert_eq!(first.part(&["y"]).differs(&first).unwrap(), "its input was y, not x, y");
    }
}
