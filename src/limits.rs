//! The most that a campaign may ask for, and the most that is read of a file: every count in one place.
//!
//! No count here is a recommendation. Each is far above what any campaign has asked for, and low enough that the lists
//! it stands for can be made: beyond lie sums that overflow and memory that no machine has.

use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Universes of a design: each has a row in every rank's memory and a file.
pub const SIMULATIONS: usize = 10_000_000;
/// Parameters of all universes of a design: 8 GiB, of which every rank has a copy.
pub const THETA: usize = 1 << 30;
/// Ranks of a job; MPI counts no further than 2³¹.
pub const RANKS: usize = 1 << 24;
/// Derived parameters.
pub const DERIVED: usize = 256;
/// Points of a mesh, and particles, per side: the largest ever run had about 20000.
pub const SIDE: usize = 1 << 15;
/// Steps in time.
pub const STEPS: usize = 100_000;
/// Bins of anything that is counted or averaged.
pub const BINS: usize = 1 << 20;
/// Triangles of a bispectrum, each of which costs transforms.
pub const TRIANGLES: usize = 1 << 20;
/// Slices of a light cone.
pub const PLANES: usize = 1 << 14;
/// Light cones through one universe.
pub const LIGHT_CONES: usize = 1 << 12;
/// Galaxy catalogues drawn from the halos of one universe.
pub const GALAXY_DRAWS: usize = 1000;
/// Numbers in all convergence maps of one universe, and in the draws that one command keeps: 64 GiB of them.
pub const NUMBERS: usize = 1 << 33;
/// Pixels of all density maps of one universe. Whether they fit is asked of the machine that makes them.
pub const PIXELS: usize = 1 << 47;
/// Checkpoints of a training that are kept.
pub const CHECKPOINTS: usize = 100;
/// Passes over the training split.
pub const EPOCHS: usize = 1_000_000;
/// Universes of a step of training.
pub const BATCH: usize = 1 << 30;
/// Augmented copies of each universe.
pub const COPIES: usize = 10_000;
/// Views of a sample that are averaged over.
pub const VIEWS: usize = 1000;
/// Pieces of a universe: each is a sample.
pub const PIECES: usize = 1 << 20;
/// Units of a layer, channels, or numbers that a network gives.
pub const UNITS: usize = 1 << 14;
/// Layers, and residual blocks, of a network.
pub const LAYERS: usize = 256;
/// Bins of a spline of a flow.
pub const SPLINE_BINS: usize = 1 << 10;
/// Strangers that are put beside a sample.
pub const PARTNERS: usize = 1 << 10;
/// Weights of a stage: with gradients and the optimiser's two averages they take 16 GiB.
pub const WEIGHTS: usize = 1 << 30;
/// Draws per universe.
pub const DRAWS: usize = 1_000_000;
/// Observations in one file: each has draws of its own in a file, and a figure.
pub const OBSERVATIONS: usize = 256;

/// Bytes of a campaign, a site, a bench.
pub const CAMPAIGN: u64 = 16 << 20;
/// Bytes of a table of numbers.
pub const TABLE: u64 = 256 << 20;
/// Bytes of a text or JSON in an output folder. The longest is `fingerprint.json`, with a digest for each input file.
pub const OWN: u64 = 1 << 30;
/// Bytes of a list of universes.
pub const LIST: u64 = 2 << 30;

/// Refuses a count above `most`.
pub fn at_most(key: impl Into<String>, count: usize, most: usize) -> Result<()> {
    match count <= most {
        true => Ok(()),
        false => Err(Error::input("is more than any machine can hold")
            .key(key)
            .value(count)
            .remedy(format!("give at most {most}"))),
    }
}

/// The same for a product of counts of `what`, which may be more than a number can hold; `remedy` says which to lower.
pub fn product_at_most(key: &str, counts: &[usize], what: &str, most: usize, remedy: &str) -> Result<()> {
    let product = counts.iter().fold(1.0, |product, &n| product * n as f64);
    match product <= most as f64 {
        true => Ok(()),
        false => Err(Error::input(format!("asks for {product:.1e} {what}, of which {most} are the most"))
            .key(key)
            .remedy(remedy)),
    }
}

/// The text of a file that a user names: refused where it is no ordinary file (a device or a pipe may never end),
/// longer than `most` bytes, or not UTF-8. The error names neither file nor key, which the caller knows.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let unreadable = |e: std::io::Error| Error::input(format!("cannot be read: {e}"));
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        let what = if about.is_dir() { "it is a folder" } else { "it is no ordinary file, and may never end" };
        return Err(Error::input(format!("cannot be read: {what}")).remedy("give the path of an ordinary text file"));
    }
    let too_long = || {
        let mib = most >> 20;
        Error::input(format!("cannot be read: it is larger than {mib} MiB")).remedy("is this the right file?")
    };
    if about.len() > most {
        return Err(too_long());
    }
    // What it says of its length may be wrong (a file of /proc has none), or grow.
    let mut bytes = Vec::with_capacity(about.len() as usize);
    std::fs::File::open(path).and_then(|f| f.take(most + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::input(format!("cannot be read: it is not text in UTF-8 (line {line})"))
            .remedy("is this the right file? `iconv -t UTF-8` mends a text in another encoding")
    })
}

/// What makes a path unfit for a script, a log line or a header: control characters, of which a line break is the
/// worst.
pub fn plain(text: &str) -> std::result::Result<(), String> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("holds the control character {:?}", c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_products_end() {
        assert!(at_most("a.b", 3, 3).is_ok());
        let e = at_most("a.b", usize::MAX, 3).unwrap_err();
        assert_eq!((e.exit_code(), e.key.as_deref()), (2, Some("a.b")));
        assert!(e.to_string().contains("at most 3"));
        let product = |counts: &[usize]| product_at_most("a", counts, "things", 3, "lower b");
        assert!(product(&[usize::MAX, usize::MAX, 0]).is_ok());
        assert!(product(&[usize::MAX, usize::MAX]).unwrap_err().to_string().contains("e38 things, of which 3"));
    }

    #[test]
    fn only_ordinary_text_of_a_sane_length_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        let refused = |most| read_text(&path, most).unwrap_err().to_string();
        assert!(refused(9).contains("cannot be read"));
        std::fs::write(&path, "two\nlines").unwrap();
        assert_eq!(read_text(&path, 9).unwrap(), "two\nlines");
        assert!(refused(8).contains("larger than 0 MiB"));
        std::fs::write(&path, b"a\n\xff").unwrap();
        assert!(refused(9).contains("UTF-8 (line 2)"));
        let of = |path: &str| read_text(Path::new(path), 9).unwrap_err().to_string();
        assert!(of("/dev/zero").contains("no ordinary file") && of("/").contains("a folder"));
        assert!(of("/proc/self/status").contains("larger than"), "what tells no length is read up to the limit");
    }
}
