//! Opening a dataset: what is small is read and compared at once.

use super::foreign;
use super::older;
use super::parts::Kept;
use super::split::{SPLIT, STATUS, Split};
use super::{Content, Dataset, config, default_test, default_validation, once};
use crate::error::{Error, Result};
use crate::io::digest::Stamp;
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, damaged};
use crate::io::index::passed_over;
use crate::io::prior;
use crate::io::provenance::{FORMAT_VERSION, is_ours};
use crate::prior::{DrawnFrom, Prior};
use std::cell::RefCell;
use std::path::Path;

impl Dataset {
    /// Opens a dataset with the default fractions where it has no split of its own.
    pub fn open(path: impl AsRef<Path>, theta_name: &str) -> Result<Self> {
        Self::with(path.as_ref(), theta_name, None, default_validation(), default_test())
    }

    pub(super) fn with(
        path: &Path,
        theta_name: &str,
        given: Option<Prior>,
        validation: f64,
        test: f64,
    ) -> Result<Self> {
        let opened = Stamp::of(path).ok();
        let file = File::open(path)?;
        let own = is_ours(&file)?;
        if let Some(version) = file.number("", "format_version")?.filter(|&v| own && v > FORMAT_VERSION as f64) {
            let problem = format!("its format_version {version} is newer than this program's {FORMAT_VERSION}");
            return Err(Error::input(problem).file(path).remedy("use a newer polycosm"));
        }
        let array = file.array(theta_name)?;
        let shape = array.shape();
        let bad = |problem: String, remedy: &str| Err(Error::input(problem).file(path).key(theta_name).remedy(remedy));
        let &[n, p] = &shape[..] else {
            return bad(format!("has shape {shape:?}"), "parameters are of shape (n, p): one row per universe");
        };
        if n == 0 || p == 0 {
            return bad(format!("has shape {shape:?}: nothing in it"), "give at least one row and one parameter");
        }
        array.dtype()?;
        array.is_believable()?;
        let mut theta: Vec<f64> =
            if own { file.read_checked(theta_name, None)? } else { array.read(&[0, 0], &[n, p])? };
        if own {
            for name in [SPLIT.name, STATUS.name].into_iter().filter(|name| file.exists(name)) {
                file.read_checked::<u8>(name, Some(&[n]))?;
            }
        }
        let status = STATUS.read(&file, n)?.unwrap_or_else(|| vec![0; n]);
        let finite = |row: &[f64]| row.iter().all(|t| t.is_finite());
        if let Some((i, row)) = theta.chunks(p).enumerate().find(|&(i, row)| status[i] == 0 && !finite(row)) {
            return bad(format!("row {i} is {row:?}"), "parameters are finite numbers: remove that row");
        }
        let stored = if own { prior::read(&file, theta_name)? } else { None };
        let names = foreign::column_names(&file, theta_name, p)?;
        let (prior, drawn_from) = match (given, stored) {
            (Some(given), _) => {
                if given.len() != p {
                    let problem = format!("{theta_name} has {p} columns, but {} parameters are named", given.len());
                    let error = Error::input(problem).file(path).key(config::PARAMETERS);
                    return Err(error.remedy("give one table [dataset.parameters.NAME] per column, in order"));
                }
                if let Some(names) = names {
                    let places = foreign::columns(&file, theta_name, &names, &given)?;
                    theta = theta.chunks(p).flat_map(|row| places.iter().map(|&j| row[j])).collect();
                }
                (given, DrawnFrom::Prior)
            }
            (None, Some(stored)) if stored.0.len() == p => stored,
            (None, Some(_)) => return Err(damaged(path, "prior", format!("is not of {p} parameters"))),
            (None, None) => {
                let rows: Vec<&[f64]> = theta.chunks(p).zip(&status).filter(|r| *r.1 == 0).map(|r| r.0).collect();
                if rows.is_empty() {
                    return bad("has no row to use: status is never 0".into(), "status is 0 for rows to use");
                }
                (foreign::guess_prior(&file, theta_name, names, &rows)?, DrawnFrom::Guess)
            }
        };
        let split = match SPLIT.read(&file, n)? {
            None => theta.chunks(p).map(|row| Split::of(row, validation, test)).collect(),
            Some(values) => values.into_iter().filter_map(Split::from_u8).collect(),
        };
        let specs = match if own { file.json::<Vec<FieldSpec>>("", "fields")? } else { None } {
            Some(mut specs) => {
                if older::complete(&mut specs) {
                    let told = "was written before axes said what they are: the names of its fields tell";
                    once(log::Level::Info, format!("{}: {told}", path.display()));
                }
                specs
            }
            None => foreign::specs(&file, theta_name, n),
        };
        let derived = match prior.derived.len() {
            0 => vec![],
            d => file.read_checked("derived", Some(&[n, d]))?,
        };
        let passed_over = if own { passed_over(&file)? } else { None };
        let kept = if own { Kept::read(&file, &specs, n)? } else { Kept::default() };
        let path = path.to_path_buf();
        let content =
            Content { path, prior, drawn_from, passed_over, opened, own, theta, derived, split, status, specs, kept };
        Ok(Dataset::of(content, file))
    }

    fn of(content: Content, file: File) -> Dataset {
        Dataset { content, file, parts: RefCell::default(), arrays: RefCell::default() }
    }

    /// Opens the same data once more, through handles of its own: in another thread, say.
    pub fn again(&self) -> impl FnOnce() -> Result<Dataset> + Send + 'static {
        let content = self.content.clone();
        move || File::open(&content.path).map(|file| Dataset::of(content, file))
    }
}
