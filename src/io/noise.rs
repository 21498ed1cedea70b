//! Initial noise from a file: real-space white noise of unit variance, (N, N, N) in C order.

use super::hdf::{File, given};
use crate::error::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// Serial: the noise's N; an error unless the array is a cube.
pub fn size(path: &Path, dataset: &str) -> Result<usize> {
    let file = File::open(path).map_err(given)?;
    let array = file.array(dataset)?;
    array.dtype().map_err(given)?;
    let shape = array.shape();
    match shape[..] {
        [n, m, l] if n == m && n == l && n > 0 => Ok(n),
        _ => {
            let error = Error::input(format!("has shape {shape:?}, not (N, N, N)")).file(path).key(dataset);
            Err(error.remedy("give white noise on a cubic mesh"))
        }
    }
}

/// Serial: a box of the noise, in C order.
pub fn read_slab(path: &Path, dataset: &str, ranges: &[Range<usize>; 3]) -> Result<Vec<f64>> {
    let n = size(path, dataset)?;
    if ranges.iter().any(|r| r.end > n) {
        let error = Error::input(format!("has N = {n}; {ranges:?} is asked for")).file(path).key(dataset);
        return Err(error.remedy("the noise has one value per particle of the simulation"));
    }
    let start = ranges.each_ref().map(|r| r.start);
    let count = ranges.each_ref().map(|r| r.len());
    let values: Vec<f64> = File::open(path)?.array(dataset)?.read(&start, &count).map_err(given)?;
    match values.iter().find(|v| !v.is_finite()) {
        None => Ok(values),
        Some(v) => {
            let error = Error::input("holds numbers that are not finite").file(path).key(dataset).value(v);
            Err(error.remedy("make the field anew: every one of its numbers is used"))
        }
    }
}

/// Number, sum and sum of squares.
pub fn sums(values: impl Iterator<Item = f64>) -> [f64; 3] {
    values.fold([0.0; 3], |[n, sum, squares], x| [n + 1.0, sum + x, squares + x * x])
}

/// Refuses what is no white noise by its mean or variance, beyond a tenth (which leaves room for constrained modes) and
/// what is left to chance (5 standard errors, on a small mesh). Noise of fixed amplitudes passes.
pub fn check_white(path: &Path, dataset: &str, [n, sum, squares]: [f64; 3]) -> Result<()> {
    let mean = sum / n;
    let variance = squares / n - mean * mean;
    if mean.abs() <= 0.1 + 5.0 / n.sqrt() && (variance - 1.0).abs() <= 0.1 + 5.0 * (2.0 / n).sqrt() {
        return Ok(());
    }
    let problem = format!("is no white noise: it has mean {mean:.4} and variance {variance:.4}, not 0 and 1");
    let remedy = "subtract its mean and divide by its standard deviation; a density has kind = \"linear-density\"";
    Err(Error::input(problem).file(path).key(dataset).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_noise_has_unit_variance() {
        let check =
            |values: &[f64]| check_white(Path::new("n.h5"), "n", sums(values.iter().copied().cycle().take(4096)));
        check(&[1.0, -1.0]).unwrap();
        check(&[1.05, -1.0]).unwrap();
        for values in [&[5.0, -5.0][..], &[1.0], &[2.0, 0.0], &[0.0], &[f64::NAN, 1.0]] {
            assert!(check(values).unwrap_err().to_string().contains("white noise"), "{values:?}");
        }
    }

    #[test]
    fn a_box_of_the_cube() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("noise.h5");
        let file = File::create(&path).unwrap();
        file.write(None, "noise", &[4, 4, 4], &(0..64).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
        file.write(None, "flat", &[4, 4, 2], &[0f32; 32]).unwrap();
        file.close().unwrap();
        assert_eq!(size(&path, "noise").unwrap(), 4);
        assert_eq!(read_slab(&path, "noise", &[1..2, 2..4, 0..2]).unwrap(), [24., 25., 28., 29.]);
        assert_eq!(read_slab(&path, "flat", &[0..1, 0..1, 0..1]).unwrap_err().exit_code(), 2);
        let half = dir.path().join("half.h5");
        std::fs::write(&half, &std::fs::read(&path).unwrap()[..600]).unwrap();
        let e = size(&half, "noise").unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("half.h5: cannot be read: "), "{e}");
        assert_eq!(read_slab(&path, "noise", &[0..5, 0..1, 0..1]).unwrap_err().exit_code(), 2);
    }
}
