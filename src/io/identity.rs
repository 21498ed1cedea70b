//! What results are of, told by content alone: digests (SHA-256, hexadecimal) of data and files. Neither the time of a
//! file nor its name decides anything.

pub use super::digest::{DIGITS, digest, digest_again, digest_of_file};
pub use super::sealed::{open_sealed, seal, sealed, unseal};

use super::axis::AxisKind;
use super::dataset::Dataset;
use super::hdf::File;
use super::known::Known;
use super::provenance::is_ours;
use super::rows::{Rows, Sums};
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// A dataset as a stage sees it: whatever differs in it, differs here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Spelled")]
pub struct Identity {
    /// Parameters of all universes, in order.
    pub theta: String,
    /// What each universe is used for, and which are finished.
    pub split: String,
    /// Names, labels, distributions and correlations.
    pub prior: String,
    /// The fields that the stage and those before it read, each once.
    pub fields: Vec<Content>,
    /// All of it row by row, to name what differs; only on the root, and only where it was looked at.
    #[serde(skip)]
    pub rows: Rc<Rows>,
}

impl PartialEq for Identity {
    /// Rows only name what differs.
    fn eq(&self, other: &Identity) -> bool {
        let parts = |i: &Identity| [&i.theta, &i.split, &i.prior].map(String::clone);
        parts(self) == parts(other) && self.fields == other.fields
    }
}

/// A field of a dataset by what stands in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Its name.
    pub field: String,
    /// Digest of its numbers.
    pub data: String,
    /// What its axes are. Older programs, whose records say nothing, took for maps of a periodic box what had their
    /// shape.
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
        Identity { theta, split, prior, fields, rows: Rc::default() }
    }
}

/// Numbers of a foreign field that are hashed at a time.
const BLOCK: usize = 1 << 20;

impl Identity {
    /// Collective. polycosm's own datasets keep checksums of their universes; of others the fields are read, by all
    /// ranks. Names of parameters may be among the fields: they are told by `theta`.
    pub fn of(comm: &Comm, dataset: &Dataset, fields: &[&str]) -> Result<Identity> {
        Identity::with(comm, dataset, fields, &mut Known::default())
    }

    /// The same, where some may be known already. Collective; only the root's `known` counts.
    pub fn with(comm: &Comm, dataset: &Dataset, fields: &[&str], known: &mut Known) -> Result<Identity> {
        let numbers = |x: &[f64]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let uses: Vec<u8> = dataset.split().iter().zip(dataset.status()).flat_map(|(s, t)| [*s as u8, *t]).collect();
        let mut rows = Rows::of(dataset);
        let mut contents = vec![];
        for field in fields.iter().filter(|field| !dataset.is_parameter(field)) {
            let (content, sums) = Content::of(comm, dataset, field, known)?;
            contents.push(content);
            rows.add(field, sums);
        }
        // What theta does not tell, for the formula may change.
        let all: Vec<usize> = (0..dataset.len()).collect();
        let derived = |field: &&str| Some((field.to_string(), dataset.derived_of(field, &all)?));
        contents.extend(fields.iter().filter_map(derived).map(|(field, values)| Content {
            field,
            data: digest(&numbers(&values)),
            axes: vec![],
        }));
        Ok(Identity {
            theta: digest(&numbers(dataset.theta())),
            split: digest(&uses),
            prior: digest(json(&dataset.prior)?.as_bytes()),
            fields: contents,
            rows: Rc::new(rows),
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
        if was != is {
            return Some(format!("its input was {was}, not {is}"));
        }
        if self.prior != now.prior {
            return Some(
                "the prior (names, labels, distributions or correlations of the parameters) is another".into(),
            );
        }
        let what = match () {
            _ if self.theta != now.theta => "the universes' parameters (theta) are others".into(),
            _ if self.split != now.split => "the split (or which universes are there, or failed) is another".into(),
            _ => self.fields.iter().zip(&now.fields).find_map(|(was, now)| was.differs(now))?,
        };
        Some(self.rows.differ(&now.rows).unwrap_or(what))
    }

    /// Digest of all but what the axes are.
    pub fn digest(&self) -> String {
        let Identity { theta, split, prior, fields, .. } = self;
        // As `Debug` showed a struct of one field: pages of older programs have that.
        let fields = fields.iter().flat_map(|f| [("field", &f.field), ("data", &f.data)]);
        let parts = [("theta", theta), ("split", split), ("prior", prior)].into_iter().chain(fields);
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}: {value:?}")).collect();
        digest(format!("Identity {{ {} }}", parts.join(", ")).as_bytes())
    }
}

impl Content {
    /// With the checksums of its rows, on the root. Collective.
    fn of(comm: &Comm, dataset: &Dataset, field: &str, known: &mut Known) -> Result<(Content, Sums)> {
        let mut sums = Sums::default();
        let found = comm.on_root(|| {
            let found = stored(dataset, field)?.or_else(|| known.find(dataset, field));
            Ok(found.map(|(data, rows)| {
                sums = rows;
                data
            }))
        })?;
        let data = match found {
            Some(data) => data,
            None => {
                let (data, rows) = read(comm, dataset, field)?;
                known.keep(&data, &rows);
                sums = rows;
                data
            }
        };
        Ok((Content { field: field.into(), data, axes: comm.agree(dataset.spec(field))?.kinds() }, sums))
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

fn stored(dataset: &Dataset, field: &str) -> Result<Option<(String, Sums)>> {
    let file = File::open(&dataset.path)?;
    let name = format!("checksum/{field}");
    if !is_ours(&file)? || !file.exists(&name) {
        return Ok(None);
    }
    let sums = file.read::<u32>(&name)?;
    let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    let mut spec = dataset.spec(field)?;
    // What axes are stands beside it: datasets of older programs do not say, nor where the pixels of maps of the sky
    // are.
    for axis in &mut spec.axes {
        if (axis.kind, axis.unit.as_str()) == (AxisKind::Flat, "deg") {
            (axis.unit, axis.values) = ("pixel".into(), vec![]);
        }
        (axis.kind, axis.spins) = (AxisKind::Unsaid, vec![]);
    }
    Ok(Some((digest(&[json(&spec)?.as_bytes(), &bytes].concat()), Sums(sums))))
}

fn read(comm: &Comm, dataset: &Dataset, field: &str) -> Result<(String, Sums)> {
    let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).collect();
    let spec = comm.agree(dataset.spec(field))?;
    // Blocks have one size, so that nothing depends on the number of ranks. Of lists nobody knows how long they are.
    let each = if spec.ragged { BLOCK } else { spec.shape.iter().product() };
    let size = (BLOCK / each.max(1)).max(1);
    let blocks: Vec<&[usize]> = rows.chunks(size).collect();
    let (start, len) = share(blocks.len(), comm.size(), comm.rank());
    let hashed = |block: &&[usize]| -> Result<(Vec<u8>, Vec<u32>)> {
        let values = match spec.ragged {
            true => dataset.read_list(field, block[0])?,
            false => dataset.read_f64(field, block)?,
        };
        let (all, row) = (bytemuck::cast_slice::<f64, u8>(&values), 8 * values.len() / block.len());
        let sums = (0..block.len()).map(|i| crc32fast::hash(&all[i * row..(i + 1) * row]));
        Ok((Sha256::digest(all).to_vec(), sums.collect()))
    };
    let mine = blocks[start..start + len].iter().map(hashed).collect::<Result<Vec<_>>>();
    let (hashes, sums): (Vec<_>, Vec<_>) = comm.agree(mine)?.into_iter().unzip();
    let mut all = vec![0; dataset.len()];
    rows.iter().zip(comm.all_gather(&sums.concat())).for_each(|(&row, sum)| all[row] = sum);
    let hashes = comm.all_gather(&hashes.concat());
    let data = digest(&[format!("{:?} {:?}", spec.shape, spec.dtype).as_bytes(), &hashes].concat());
    Ok((data, Sums(all)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::field::{Dtype, FieldSpec};

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
        // Stages of older programs have this digest.
        let prior = r#"[{"name":"theta_0","latex":"theta_0","min":0.0,"max":3.0}]"#;
        assert_eq!(first.prior, digest(prior.as_bytes()));
        assert_eq!(first.differs(&of("b.h5", 2.0, 0, 1)), None, "the name decides");
        assert!(first.differs(&of("c.h5", 2.5, 0, 1)).unwrap().contains("row 2 of x is another"));
        assert!(first.differs(&of("d.h5", 2.0, 1, 1)).unwrap().contains("row 3 of y is another"));
        assert!(
            first.differs(&of("e.h5", 2.0, 0, 0)).unwrap().contains("row 2 was for validation and is for training")
        );
        assert_eq!(first.part(&["x"]).differs(&of("f.h5", 2.0, 1, 1).part(&["x"])), None);
        assert_eq!(first.part(&["y"]).differs(&first).unwrap(), "its input was y, not x, y");
    }
    #[test]
    fn lists_without_checksums_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, ends: [u64; 4], last: f64| {
            let path = dir.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_text("", "version", "polycosm 0.1.0").unwrap();
            file.set_numbers("", "format_version", &[1.0]).unwrap();
            let mut spec = FieldSpec::of("h", &[0, 2], &[AxisKind::Index, AxisKind::Column]);
            (spec.ragged, spec.dtype) = (true, Dtype::F64);
            file.set_json("", "fields", &[spec]).unwrap();
            file.write(None, "theta", &[3, 1], &[0.0f64, 1., 2.]).unwrap();
            file.write(None, "h/data", &[3, 2], &[0.0f64, 1., 2., 3., 4., last]).unwrap();
            file.write(None, "h/offsets", &[4], &ends).unwrap();
            file.close().unwrap();
            Identity::of(&Comm::world(), &Dataset::open(&path, "theta").unwrap(), &["h"]).unwrap()
        };
        let first = of("a.h5", [0, 0, 2, 3], 5.0);
        assert_eq!(first.differs(&of("b.h5", [0, 0, 2, 3], 5.0)), None);
        assert_eq!(first.differs(&of("c.h5", [0, 0, 2, 3], 6.0)).unwrap(), "row 2 of h is another");
        assert_eq!(first.differs(&of("d.h5", [0, 2, 2, 3], 5.0)).unwrap(), "row 0 of h is another (and 1 more)");
    }
}
