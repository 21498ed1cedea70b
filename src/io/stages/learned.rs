//! The rows of what a stage learned from, to name later what changed.

use super::Stages;
use crate::error::Result;
use crate::io::identity::{Identity, seal, unseal};
use crate::io::rows::Rows;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::rc::Rc;

/// `rows.json`: a dataset row by row.
#[derive(Serialize, Deserialize)]
struct Learned {
    /// Digest of the dataset's identity.
    of: String,
    rows: Rows,
}

impl Stages {
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
    pub(super) fn rows(&self, name: &str, of: &Identity) -> Rc<Rows> {
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
}
