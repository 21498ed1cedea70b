//! What a stage makes of a dataset, as a file: `fields/<stage>.h5`, a dataset like any other with a row for each sample. Beside its
//! fields stand the universe that a row is of (its row in the first dataset), which draw of its view it is (`item`), and how
//! what it was made from looked to the networks.

use super::dataset::{Dataset, Split};
use super::field::{Data, FieldSpec};
use super::hdf::{File, damaged, publish};
use super::identity::Identity;
use super::index::RESERVED;
use super::looks::Looks;
use super::ours::replaceable_as;
use super::prior;
use super::provenance::Provenance;
use super::simulation::{describe, write_axes};
use crate::comm::Comm;
use crate::error::{Error, Result, campaign};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of what making computes; raised when the same weights and data give other numbers. 2: copies differ through frozen
/// networks too, and have no instance noise.
const NUMERICS: u32 = 2;

/// Arrays beside the fields, which may not have these names, nor those of any dataset.
const BESIDE: [&str; 6] = ["universe", "item", "unfit", "outside", "distance", "most"];

/// What a file is of: it is only good while all of it is as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Of {
    pub stage: String,
    numerics: u32,
    /// Digest of the stage's weights.
    pub weights: String,
    /// The dataset that its chain sees.
    pub dataset: Identity,
    /// Rows of each universe to learn from; others have one.
    pub copies: u32,
}

impl Of {
    pub fn new(stage: &str, weights: &str, dataset: &Identity, copies: u32) -> Self {
        let dataset = Identity { rows: Default::default(), ..dataset.clone() };
        let (stage, weights) = (stage.into(), weights.into());
        Of { stage, numerics: NUMERICS, weights, dataset, copies }
    }

    /// Why this does not serve where `wanted` is asked for, in words.
    fn differs(&self, wanted: &Of) -> Option<String> {
        let parts = [
            (self.stage == wanted.stage, format!("it is of stage {}", self.stage)),
            (
                self.weights == wanted.weights,
                format!("stage {} was trained anew, or looks at its samples otherwise", wanted.stage),
            ),
            (
                self.numerics == wanted.numerics,
                "another version of the program made it, which computes otherwise".into(),
            ),
            (
                self.copies >= wanted.copies,
                format!("it has {} of each universe to learn from, and {} are wanted", self.copies, wanted.copies),
            ),
        ];
        let other = parts.into_iter().find(|(same, _)| !same).map(|(_, what)| what);
        other.or_else(|| self.dataset.differs(&wanted.dataset))
    }
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Row of the dataset.
    pub universe: usize,
    /// 0: the universe as it is; others are draws of its view.
    pub item: u32,
    pub split: Split,
}

/// A file that is to be written.
pub struct New<'a> {
    pub of: &'a Of,
    pub dataset: &'a Dataset,
    /// By universe, then item.
    pub samples: &'a [Sample],
    pub specs: &'a [FieldSpec],
    /// Samples that are made at a time.
    pub block: usize,
    pub by: &'a Provenance,
}

/// Collective: writes a file block by block, whatever the number of ranks; it appears when whole. `make` gives each field of some
/// samples, and how their inputs looked; a row whose input was unfit has no numbers, and the status 1.
pub fn write(
    comm: &Comm,
    path: &Path,
    new: &New,
    mut make: impl FnMut(&[Sample]) -> Result<(Vec<Data>, Looks)>,
) -> Result<()> {
    comm.on_root(|| {
        let taken = |spec: &&FieldSpec| spec.ragged || [&RESERVED[..], &BESIDE].concat().contains(&&spec.name[..]);
        new.specs.iter().find(taken).map_or(Ok(()), |spec| {
            Err(Error::failed("is no output that a file can hold: a list, or a name that means something else")
                .key(&spec.name))
        })?;
        replaceable(path)
    })?;
    let (New { of, dataset, samples, specs, by, .. }, all) = (new, Some(comm));
    let (n, p, blocks) = (samples.len(), dataset.prior.len(), samples.chunks(new.block.max(1)).collect::<Vec<_>>());
    publish(comm, path, |file| {
        by.write(file)?;
        file.set_json("", "of", of)?;
        let theta = dataset.thetas(&samples.iter().map(|s| s.universe).collect::<Vec<_>>());
        file.write_checked(all, "theta", &[n, p], &theta)?;
        prior::write(file, &dataset.prior, dataset.drawn_from)?;
        file.write_checked(all, "universe", &[n], &samples.iter().map(|s| s.universe as u64).collect::<Vec<_>>())?;
        file.write_checked(all, "item", &[n], &samples.iter().map(|s| s.item as u64).collect::<Vec<_>>())?;
        file.write_checked(all, "split", &[n], &samples.iter().map(|s| s.split as u8).collect::<Vec<_>>())?;
        file.set_texts("split", "values", &["train", "validation", "test"])?;
        file.set_json("", "fields", specs)?;
        let mut arrays = vec![];
        for spec in *specs {
            let shape: Vec<usize> = std::iter::once(n).chain(spec.shape.iter().copied()).collect();
            arrays.push(file.create_array_of(spec.dtype, &spec.name, &shape)?);
            describe(file, &spec.name, spec, true)?;
        }
        let mut looks = Looks::new(n);
        let mut sums = vec![vec![0u32; n]; specs.len()];
        // Transfers are collective: ranks with fewer blocks take part with nothing.
        for first in (0..blocks.len()).step_by(comm.size()) {
            let own = first + comm.rank();
            let made = blocks.get(own).map(|block| made(specs, block, &mut make)).transpose();
            let (data, found) = comm.agree(made)?.unwrap_or_default();
            let rows = found.most.len();
            let at = if rows == 0 { 0 } else { own * new.block };
            for (f, array) in arrays.iter().enumerate() {
                let none = Data::fill(specs[f].dtype, 0);
                array.write_rows(at, rows, data.get(f).unwrap_or(&none))?;
            }
            for i in 0..rows {
                looks.put(at + i, &found, i);
                (0..data.len()).for_each(|f| sums[f][at + i] = crc32fast::hash(row(&data[f], i, rows)));
            }
        }
        // Each is known to one rank, 0 elsewhere.
        let mut unfit = looks.unfit.concat();
        comm.sum(&mut unfit);
        comm.sum(&mut looks.outside);
        comm.sum(&mut looks.distance);
        comm.sum(&mut looks.most);
        for (spec, mut sums) in specs.iter().zip(sums) {
            comm.sum(&mut sums);
            file.write_checked(all, &format!("checksum/{}", spec.name), &[n], &sums)?;
            write_axes(file, all, spec)?;
        }
        let status: Vec<u8> = unfit.chunks(2).map(|counts| (counts != [0, 0]) as u8).collect();
        file.write_checked(all, "status", &[n], &status)?;
        file.set_texts("status", "values", &["finished", "failed"])?;
        file.write_checked(all, "unfit", &[n, 2], &unfit)?;
        file.write_checked(all, "outside", &[n], &looks.outside)?;
        file.write_checked(all, "distance", &[n], &looks.distance)?;
        file.write_checked(all, "most", &[n], &looks.most)
    })
}

/// Bytes of row i of n.
fn row(data: &Data, i: usize, n: usize) -> &[u8] {
    let bytes = data.bytes().len() / n;
    &data.bytes()[i * bytes..(i + 1) * bytes]
}

/// What `make` gives, if it is what was promised; without numbers where an input was unfit.
fn made(
    specs: &[FieldSpec],
    block: &[Sample],
    make: &mut impl FnMut(&[Sample]) -> Result<(Vec<Data>, Looks)>,
) -> Result<(Vec<Data>, Looks)> {
    let (mut data, looks) = make(block)?;
    let size = |spec: &FieldSpec| spec.shape.iter().product::<usize>();
    let fits = |(spec, data): (&FieldSpec, &Data)| data.dtype() == spec.dtype && data.len() == block.len() * size(spec);
    if data.len() != specs.len() || !specs.iter().zip(&data).all(fits) || looks.most.len() != block.len() {
        return Err(Error::failed("what was made does not fit its description"));
    }
    for i in (0..block.len()).filter(|&i| !looks.fit(i)) {
        for (spec, data) in specs.iter().zip(&mut data) {
            let range = i * size(spec)..(i + 1) * size(spec);
            match data {
                Data::F32(v) => v[range].fill(f32::NAN),
                Data::F64(v) => v[range].fill(f64::NAN),
                Data::I64(v) => v[range].fill(i64::MIN),
            }
        }
    }
    Ok((data, looks))
}

/// An open file.
#[derive(Debug)]
pub struct Derived {
    /// A row for each sample.
    pub data: Dataset,
    pub of: Of,
    /// Universe and item of each row, growing.
    places: Vec<[u64; 2]>,
    pub looks: Looks,
}

impl Derived {
    /// Opens a file; an error where what stands beside its fields is not as it was written.
    pub fn open(path: &Path) -> Result<Derived> {
        let read = || {
            let (data, file) = (Dataset::open(path, "theta")?, File::open(path)?);
            let n = data.len();
            let of = file.json::<Of>("", "of")?.ok_or_else(|| damaged(path, "of", "is not there".into()))?;
            let [universe, item] = ["universe", "item"].map(|name| file.read_checked::<u64>(name, Some(&[n])));
            let places: Vec<_> = universe?.into_iter().zip(item?).map(|(universe, item)| [universe, item]).collect();
            if !places.is_sorted_by(|a, b| a < b) {
                return Err(damaged(path, "universe", "does not grow".into()));
            }
            let unfit: Vec<i64> = file.read_checked("unfit", Some(&[n, 2]))?;
            let looks = Looks {
                unfit: unfit.chunks(2).map(|c| [c[0], c[1]]).collect(),
                outside: file.read_checked("outside", Some(&[n]))?,
                distance: file.read_checked("distance", Some(&[n]))?,
                most: file.read_checked("most", Some(&[n]))?,
            };
            Ok(Derived { data, of, places, looks })
        };
        read().map_err(|e: Error| unusable(e, path))
    }

    /// The row of a sample.
    pub fn row(&self, universe: u64, item: u32) -> Result<usize> {
        self.places.binary_search(&[universe, item as u64]).map_err(|_| {
            let problem = format!("has no item {item} of universe {universe}");
            unusable(Error::failed(problem), &self.data.path)
        })
    }
}

impl Derived {
    /// Reads all of a file again, and says how many rows that are.
    pub fn verify(path: &Path) -> Result<usize> {
        let Derived { data, .. } = Derived::open(path)?;
        for spec in data.specs() {
            (0..data.len()).try_for_each(|row| data.read_data(&spec, row).map(drop)).map_err(|e| unusable(e, path))?;
        }
        Ok(data.len())
    }
}

fn unusable(e: Error, path: &Path) -> Error {
    let e = Error { remedy: None, file: None, ..e }.file(path);
    e.remedy(format!("remove this file and run `polycosm apply {}`, which makes it anew", campaign()))
}

/// Refuses to replace a file that is none of what a stage made.
pub fn replaceable(path: &Path) -> Result<()> {
    replaceable_as(path, "file of what a stage makes", "unfit")
}

/// Why the file that is wanted has to be made: `Some(None)` where there is none yet, and `None` where it can be read.
pub fn due(path: &Path, wanted: &Of) -> Option<Option<String>> {
    if !path.exists() {
        return Some(None);
    }
    match Derived::open(path) {
        Ok(there) => there.of.differs(wanted).map(Some),
        Err(e) => Some(Some(e.problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::digest;
    use super::*;

    const N: usize = 6;

    /// A dataset of six universes with the field x = 10 u.
    fn dataset(folder: &Path) -> Dataset {
        let path = folder.join("d.h5");
        let file = File::create(&path).unwrap();
        file.write(None, "theta", &[N, 2], &(0..2 * N).map(|i| i as f64).collect::<Vec<_>>()).unwrap();
        file.write(None, "x", &[N], &(0..N).map(|i| 10.0 * i as f64).collect::<Vec<_>>()).unwrap();
        file.write(None, "split", &[N], &[0u8, 0, 2, 1, 0, 2]).unwrap();
        file.close().unwrap();
        Dataset::open(&path, "theta").unwrap()
    }

    fn samples(dataset: &Dataset, copies: u32) -> Vec<Sample> {
        let items = |split| if split == Split::Train { copies } else { 1 };
        let of = |(universe, &split)| (0..items(split)).map(move |item| Sample { universe, item, split });
        dataset.split().iter().enumerate().flat_map(of).collect()
    }

    /// Sums and cubes of x + item; universe 5 cannot be used.
    fn make(samples: &[Sample]) -> Result<(Vec<Data>, Looks)> {
        let x = samples.iter().map(|s| 10.0 * s.universe as f32 + s.item as f32);
        let mut looks = Looks::new(samples.len());
        for (i, s) in samples.iter().enumerate() {
            looks.see(i, 0.1 * s.universe as f64, 1.0, s.item as u64);
            if s.universe == 5 {
                looks.refuse(i, [3, 0]);
            }
        }
        let cube = |x: f32| (0..8).map(move |i| (x * i as f32) as f64);
        Ok((vec![Data::F32(x.clone().flat_map(|x| [x, -x]).collect()), Data::F64(x.flat_map(cube).collect())], looks))
    }

    fn write_on(comm: &Comm, path: &Path, dataset: &Dataset, copies: u32, block: usize) -> (Of, Result<()>) {
        use super::super::field::{AxisKind, Dtype};
        let cube = FieldSpec { dtype: Dtype::F64, ..FieldSpec::of("cube", &[2, 2, 2], &[AxisKind::Periodic; 3]) };
        let specs = [FieldSpec::of("sums", &[2], &[AxisKind::Column]), cube];
        let identity = Identity::of(comm, dataset, &["x"]).unwrap();
        let (of, by) = (Of::new("stage", &digest(b"weights"), &identity, copies), Provenance::collect(comm, 7, ""));
        let samples = samples(dataset, copies);
        let new = New { of: &of, dataset, samples: &samples, specs: &specs, block, by: &by };
        let written = write(comm, path, &new, make);
        (of, written)
    }

    #[test]
    fn what_was_made_comes_back_by_universe_and_item_and_is_a_dataset() {
        let (dir, comm) = (tempfile::tempdir().unwrap(), Comm::world());
        let (dataset, path) = (dataset(dir.path()), dir.path().join("stage.h5"));
        let (of, written) = write_on(&comm, &path, &dataset, 3, 4);
        written.unwrap();
        assert_eq!(due(&path, &of), None);
        let there = Derived::open(&path).unwrap();
        assert_eq!((there.data.len(), there.data.prior.names(), &there.of), (12, dataset.prior.names(), &of));
        let row = there.row(4, 2).unwrap();
        assert_eq!(there.data.theta()[2 * row..2 * row + 2], [8.0, 9.0]);
        assert_eq!(there.data.read_f32("sums", &[row]).unwrap(), [42.0, -42.0]);
        assert_eq!(there.data.read_f64("cube", &[row]).unwrap()[7], 294.0);
        assert_eq!((there.looks.outside[row], there.looks.most[row]), (0.4, 2));
        assert_eq!(there.data.spec("cube").unwrap().picture().map(|p| p.periodic), Some(true));
        assert!(there.row(2, 1).is_err() && there.row(6, 0).is_err(), "a test universe has one item");
        // What cannot be used is left out of every split, and has no numbers.
        let bad = there.row(5, 0).unwrap();
        assert_eq!((there.data.rows(Split::Test), there.looks.unfit[bad]), (vec![there.row(2, 0).unwrap()], [3, 0]));
        assert!(there.data.read_f32("sums", &[bad]).unwrap()[0].is_nan() && there.looks.outside[bad] == 0.0);
        // Blocks are no matter.
        let other = dir.path().join("other.h5");
        write_on(&comm, &other, &dataset, 3, 100).1.unwrap();
        let all =
            |path: &Path| Derived::open(path).unwrap().data.read_f64("cube", &(0..11).collect::<Vec<_>>()).unwrap();
        assert_eq!(all(&path), all(&other));
    }

    #[test]
    fn a_file_serves_while_it_is_of_all_that_is_wanted() {
        let (dir, comm) = (tempfile::tempdir().unwrap(), Comm::world());
        let (dataset, path) = (dataset(dir.path()), dir.path().join("stage.h5"));
        let absent = Of::new("stage", "w", &Identity::of(&comm, &dataset, &["x"]).unwrap(), 1);
        assert_eq!(due(&path, &absent), Some(None));
        let (of, written) = write_on(&comm, &path, &dataset, 2, 4);
        written.unwrap();
        let why = |of: &Of| due(&path, of).flatten().unwrap_or_default();
        assert_eq!(why(&Of { copies: 1, ..of.clone() }), "");
        assert!(why(&Of { copies: 3, ..of.clone() }).contains("it has 2 of each"));
        assert!(why(&Of { weights: "other".into(), ..of.clone() }).contains("trained anew"));
        let mut changed = of.dataset.clone();
        changed.fields[0].data = "other".into();
        assert!(why(&Of { dataset: changed, ..of.clone() }).contains("data in x"));
        // Damage beside the fields is a reason to make it anew, damage in a field is told where it is read.
        let change = |name: &str| {
            let array = hdf5::File::open_rw(&path).unwrap().dataset(name).unwrap();
            array.write_slice(&[77.0], ndarray::s![0..1, 1]).unwrap();
        };
        change("sums");
        let e = Derived::open(&path).unwrap().data.read_f32("sums", &[0]).unwrap_err().to_string();
        assert!(e.contains("stage.h5") && e.contains("checksum"), "{e}");
        change("theta");
        assert!(why(&of).contains("damaged"), "{}", why(&of));
        let e = Derived::open(&path).unwrap_err().to_string();
        assert!(e.contains("stage.h5") && e.contains("polycosm apply"), "{e}");
        // A file of the user's is left alone, and one of another sort that polycosm wrote.
        let other = File::create(&dir.path().join("other.h5")).unwrap();
        Provenance::collect(&comm, 7, "").write(&other).unwrap();
        other.close().unwrap();
        for bytes in [b"mine".to_vec(), std::fs::read(dir.path().join("other.h5")).unwrap()] {
            std::fs::write(&path, &bytes).unwrap();
            let refused = write_on(&comm, &path, &dataset, 2, 4).1.unwrap_err();
            assert!(refused.exit_code() == 2 && std::fs::read(&path).unwrap() == bytes, "{refused}");
        }
    }
}
