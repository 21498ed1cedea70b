//! JSON that carries its own digest, so that damage is noticed.

use super::digest::digest;
use super::ours::publish_own;
use super::text;
use crate::error::{At, Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::path::Path;

/// A value as JSON with the digest of all of it.
pub fn sealed<T: Serialize>(value: &T) -> Result<String> {
    let mut value = serde_json::to_value(value).map_err(|e| Error::failed(e.to_string()))?;
    value["sha256"] = digest(value.to_string().as_bytes()).into();
    Ok(format!("{value:#}\n"))
}

/// What stands in such a JSON, and whether it has a digest: an older program's may have none. The problem alone where
/// it is damaged.
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
}
