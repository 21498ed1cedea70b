//! What tests measured, left in `target/validation/` as tables that `make figures` draws.

#![allow(dead_code, reason = "most test binaries only write, one only reads")]

use std::fs;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/validation/{name}.txt"))
}

/// A table of N columns, whose names are its first line. It is written when it goes out of scope, and thus whole or not
/// at all.
pub struct Table<const N: usize> {
    name: String,
    text: String,
    is_root: bool,
}

impl<const N: usize> Table<N> {
    /// Begins `target/validation/NAME.txt`, which rank 0 will write.
    pub fn new(name: &str, columns: [&str; N], is_root: bool) -> Self {
        Table { name: name.into(), text: format!("# {}\n", columns.join(" ")), is_root }
    }

    pub fn row(&mut self, values: [f64; N]) {
        self.text += &format!("{}\n", values.map(|v| format!("{v:e}")).join(" "));
    }
}

impl<const N: usize> Drop for Table<N> {
    fn drop(&mut self) {
        if self.is_root && !std::thread::panicking() {
            let (path, temporary) = (path(&self.name), path(&format!("{}.tmp", self.name)));
            fs::create_dir_all(path.parent().unwrap()).expect("the folder of tables");
            fs::write(&temporary, &self.text).expect("a table");
            fs::rename(&temporary, &path).expect("a table's name");
        }
    }
}

/// The rows of a table; none where nothing was measured yet.
pub fn read<const N: usize>(name: &str) -> Option<Vec<[f64; N]>> {
    let rows = parse(&fs::read_to_string(path(name)).ok()?);
    (!rows.is_empty()).then_some(rows)
}

/// The first N columns of a text; lines that begin with # are remarks.
pub fn parse<const N: usize>(text: &str) -> Vec<[f64; N]> {
    let row = |line: &str| {
        let values: Vec<f64> = line.split_whitespace().take(N).map(|v| v.parse().expect("a number")).collect();
        values.try_into().unwrap_or_else(|_| panic!("fewer than {N} columns: {line}"))
    };
    text.lines().filter(|l| !l.starts_with('#')).map(row).collect()
}
