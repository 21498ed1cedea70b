//! A dataset row by row, by checksums: not what decides whether it is another (digests do), but what names the rows
//! that are.

use super::dataset::{Dataset, OUTSIDE, Split};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of a dataset beyond which none are named: of more, checksums would be no small file.
const MOST: usize = 1 << 20;

/// A checksum (CRC-32) per row; in files as one text, eight hexadecimal digits each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sums(pub Vec<u32>);

impl From<Sums> for String {
    fn from(sums: Sums) -> String {
        sums.0.iter().map(|sum| format!("{sum:08x}")).collect()
    }
}

impl TryFrom<String> for Sums {
    type Error = String;

    fn try_from(text: String) -> Result<Sums, String> {
        let sum = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|t| u32::from_str_radix(t, 16).ok());
        let all: Option<Vec<u32>> = text.as_bytes().chunks(8).map(sum).collect();
        all.map(Sums).ok_or_else(|| "these are no checksums".into())
    }
}

/// The rows of a dataset; none where there are too many to be named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    theta: Sums,
    /// What each is for, a letter per row.
    uses: String,
    fields: BTreeMap<String, Sums>,
}

impl Rows {
    /// Without any field.
    pub(super) fn of(dataset: &Dataset) -> Rows {
        if dataset.len() > MOST {
            return Rows::default();
        }
        let row = |theta: &[f64]| crc32fast::hash(&theta.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>());
        let letter = |(split, status): (&Split, &u8)| match (split, status) {
            (_, 2) if dataset.is_own() => 'm',
            (Split::Train, 0) => 't',
            (Split::Validation, 0) => 'v',
            (Split::Test, 0) => 'p',
            (_, &OUTSIDE) => 'o',
            _ => 'f',
        };
        Rows {
            theta: Sums(dataset.theta().chunks(dataset.prior.len().max(1)).map(row).collect()),
            uses: dataset.split().iter().zip(dataset.status()).map(letter).collect(),
            fields: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, field: &str, sums: Sums) {
        if sums.0.len() == self.theta.0.len() {
            self.fields.insert(field.into(), sums);
        }
    }

    /// True where nothing can be named.
    pub fn is_empty(&self) -> bool {
        self.theta.0.is_empty()
    }

    /// Which rows are others in `now`, in words; `None` where all are, or none that is known.
    pub(super) fn differ(&self, now: &Rows) -> Option<String> {
        if self.is_empty() || now.is_empty() {
            return None;
        }
        let both = self.fields.iter().filter_map(|(name, was)| Some((name.as_str(), was, now.fields.get(name)?)));
        let columns: Vec<(&str, &Sums, &Sums)> = both.collect();
        let (n, m) = (self.theta.0.len(), now.theta.0.len());
        if n != m {
            let same = |i: usize, j: usize| {
                self.theta.0[i] == now.theta.0[j] && columns.iter().all(|(_, was, is)| was.0[i] == is.0[j])
            };
            if missing(m, n, &|j, i| same(i, j)).is_some() {
                return Some(format!("rows were added: {n} -> {m}"));
            }
            return Some(match missing(n, m, &same) {
                Some(removed) if removed.len() == 1 => format!("row {} was removed", removed[0]),
                Some(removed) => format!("{} were removed: {n} -> {m}", first("row", &removed)),
                None => format!("there were {n} rows and there are {m}, others among them"),
            });
        }
        let others = |was: &Sums, is: &Sums| -> Vec<usize> { (0..n).filter(|&i| was.0[i] != is.0[i]).collect() };
        let some = |rows: Vec<usize>| (!rows.is_empty() && (rows.len() < n || n == 1)).then_some(rows);
        let theta = others(&self.theta, &now.theta);
        if !theta.is_empty() {
            return some(theta).map(|rows| format!("the parameters of {} are others", first("row", &rows)));
        }
        let (was, is) = (self.uses.as_bytes(), now.uses.as_bytes());
        let moved: Vec<usize> = (0..n).filter(|&i| was.get(i) != is.get(i)).collect();
        let came = |i: usize| was.get(i) == Some(&b'm');
        let same = |i: usize| columns.iter().all(|(_, was, is)| was.0[i] == is.0[i]);
        if !moved.is_empty() && moved.iter().all(|&i| came(i)) && (0..n).all(|i| came(i) || same(i)) {
            let there = |uses: &[u8]| uses.iter().filter(|use_| b"tvp".contains(use_)).count();
            return Some(format!("universes were added: {} -> {} of {n}", there(was), there(is)));
        }
        if let Some(&row) = moved.first() {
            let said = |uses: &[u8]| match uses.get(row) {
                Some(b'm') => "not there yet",
                Some(b't') => "for training",
                Some(b'v') => "for validation",
                Some(b'p') => "for tests",
                Some(b'o') => "outside the prior",
                _ => "failed",
            };
            return Some(format!("row {row} was {} and is {}{}", said(was), said(is), more(&moved)));
        }
        let other = columns.into_iter().map(|(name, was, is)| (name, others(was, is)));
        let (name, rows) = other.into_iter().find(|(_, rows)| !rows.is_empty())?;
        some(rows).map(|rows| format!("row {} of {name} is another{}", rows[0], more(&rows)))
    }
}

/// The rows of `n` that are not among others of which there are `m`, where these are the rest of them in order.
fn missing(n: usize, m: usize, same: &dyn Fn(usize, usize) -> bool) -> Option<Vec<usize>> {
    let (mut left, mut at) = (vec![], 0);
    for i in 0..n {
        if at < m && same(i, at) {
            at += 1;
        } else {
            left.push(i);
        }
    }
    (at == m).then_some(left)
}

fn first(word: &str, rows: &[usize]) -> String {
    format!("{word} {}{}", rows[0], more(rows))
}

fn more(rows: &[usize]) -> String {
    if rows.len() > 1 { format!(" (and {} more)", rows.len() - 1) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let rows = |theta: &[u32], uses: &str, x: &[u32]| {
            let fields = [("x".to_string(), Sums(x.into())), ("y".into(), Sums(vec![7; x.len()]))];
            Rows { theta: Sums(theta.into()), uses: uses.into(), fields: fields.into() }
        };
        let was = rows(&[1, 2, 3, 4], "ttvp", &[5, 6, 7, 8]);
        let told = |theta: &[u32], uses: &str, x: &[u32]| was.differ(&rows(theta, uses, x)).unwrap_or_default();
        assert_eq!(told(&[1, 2, 3, 4], "ttvp", &[5, 6, 7, 8]), "");
        assert_eq!(told(&[1, 2, 3, 4], "ttvp", &[5, 6, 9, 8]), "row 2 of x is another");
        assert_eq!(told(&[1, 2, 3, 4], "ttvp", &[5, 9, 9, 9]), "row 1 of x is another (and 2 more)");
        assert_eq!(told(&[1, 2, 3, 4], "ttvp", &[0, 9, 9, 9]), "", "all of them are others");
        assert_eq!(told(&[1, 2, 9, 4], "ttvp", &[5, 6, 9, 8]), "the parameters of row 2 are others");
        assert_eq!(told(&[1, 2, 9, 9], "ttvp", &[5, 6, 9, 8]), "the parameters of row 2 (and 1 more) are others");
        assert_eq!(told(&[1, 2, 3, 4], "tpvp", &[5, 6, 7, 8]), "row 1 was for training and is for tests");
        assert_eq!(told(&[1, 2, 3, 4], "tpff", &[5, 6, 0, 0]), "row 1 was for training and is for tests (and 2 more)");
        assert_eq!(told(&[1, 2, 3, 4], "ttfp", &[5, 6, 0, 8]), "row 2 was for validation and is failed");
        let was = rows(&[1, 2, 3, 4], "tmmp", &[5, 0, 0, 8]);
        let told_then = |uses: &str, x: &[u32]| was.differ(&rows(&[1, 2, 3, 4], uses, x)).unwrap_or_default();
        assert_eq!(told_then("tvmp", &[5, 6, 0, 8]), "universes were added: 2 -> 3 of 4");
        assert_eq!(told_then("tvfp", &[5, 6, 0, 8]), "universes were added: 2 -> 3 of 4");
        assert_eq!(told_then("tvmp", &[9, 6, 0, 8]), "row 1 was not there yet and is for validation");
        assert_eq!(told(&[1, 2, 3, 4, 5, 6], "ttvptt", &[5, 6, 7, 8, 9, 9]), "rows were added: 4 -> 6");
        assert_eq!(told(&[9, 1, 2, 3, 4], "tttvp", &[9, 5, 6, 7, 8]), "rows were added: 4 -> 5");
        assert_eq!(told(&[1, 2, 4], "ttp", &[5, 6, 8]), "row 2 was removed");
        assert_eq!(told(&[2, 3], "tv", &[6, 7]), "row 0 (and 1 more) were removed: 4 -> 2");
        assert_eq!(told(&[1, 2, 3], "ttv", &[5, 6, 9]), "there were 4 rows and there are 3, others among them");
        assert_eq!(was.differ(&Rows::default()), None);
        let text = serde_json::to_string(&was).unwrap();
        assert!(text.contains("\"00000001000000020000000300000004\""), "{text}");
        assert_eq!(serde_json::from_str::<Rows>(&text).unwrap(), was);
        assert!(serde_json::from_str::<Rows>(&text.replace("00000001", "0000000g")).is_err());
    }
}
