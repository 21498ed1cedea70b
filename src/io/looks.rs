//! How inputs looked to the networks that saw them: numbers that cannot be used, and how unlike the training's they are.

use super::dataset::Dataset;
use crate::comm::Comm;

/// Names that one line lists.
pub const NAMED: usize = 5;

/// How inputs looked to the networks that saw them, by the worst of these; one entry per row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looks {
    /// Numbers that are not finite, and numbers that the transform does not take. Such a row is left out.
    pub unfit: Vec<[i64; 2]>,
    /// How far the worst number lies outside the training range, in widths of it.
    pub outside: Vec<f64>,
    /// Distance from the training inputs, over that of the farthest hundredth of them.
    pub distance: Vec<f64>,
    /// Network and number that are furthest outside.
    pub most: Vec<u64>,
}

impl Looks {
    /// Nothing seen yet of n inputs.
    pub fn new(n: usize) -> Self {
        Looks { unfit: vec![[0; 2]; n], outside: vec![0.0; n], distance: vec![0.0; n], most: vec![0; n] }
    }

    /// True if the input of a row holds nothing but numbers that the networks take.
    pub fn fit(&self, row: usize) -> bool {
        self.unfit[row] == [0, 0]
    }

    /// A row may hold numbers that a network does not take: then nothing else counts.
    pub fn refuse(&mut self, row: usize, unfit: [i64; 2]) {
        if self.fit(row) && unfit != [0, 0] {
            self.put(row, &Looks { unfit: vec![unfit], ..Looks::new(1) }, 0);
        }
    }

    /// One more network has seen a row, unless another refused it.
    pub fn see(&mut self, row: usize, outside: f64, distance: f64, most: u64) {
        if self.fit(row) {
            if outside > self.outside[row] {
                (self.outside[row], self.most[row]) = (outside, most);
            }
            self.distance[row] = self.distance[row].max(distance);
        }
    }

    /// Row `from` of others in place of a row.
    pub fn put(&mut self, row: usize, others: &Looks, from: usize) {
        self.unfit[row] = others.unfit[from];
        (self.outside[row], self.distance[row]) = (others.outside[from], others.distance[from]);
        self.most[row] = others.most[from];
    }

    /// Those of some rows.
    pub fn of(&self, rows: &[usize]) -> Looks {
        let mut looks = Looks::new(rows.len());
        rows.iter().enumerate().for_each(|(row, &from)| looks.put(row, self, from));
        looks
    }
}

/// Rows with numbers that cannot be used, and how many: not finite, not taken by the transform.
#[derive(Default)]
pub struct Unfit([Vec<(usize, i64)>; 2]);

impl Unfit {
    /// Keeps what was found in some rows.
    pub fn note(&mut self, rows: &[usize], counts: &[[i64; 2]]) {
        for (&row, &[not_finite, refused]) in rows.iter().zip(counts) {
            let (kind, counted) = if not_finite > 0 { (0, not_finite) } else { (1, refused) };
            match self.0[kind].last_mut() {
                _ if counted == 0 => {}
                // Another piece of it.
                Some(last) if last.0 == row => last.1 += counted,
                _ => self.0[kind].push((row, counted)),
            }
        }
    }

    /// Joins what all ranks have found. Collective.
    pub fn gather(&mut self, comm: &Comm) {
        for found in &mut self.0 {
            let rows: Vec<u64> = comm.all_gather(&found.iter().map(|f| f.0 as u64).collect::<Vec<_>>());
            let counts: Vec<i64> = comm.all_gather(&found.iter().map(|f| f.1).collect::<Vec<_>>());
            *found = rows.into_iter().map(|r| r as usize).zip(counts).collect();
        }
    }

    /// All of these rows.
    pub fn rows(&self) -> Vec<u64> {
        let mut rows: Vec<u64> = self.0.iter().flatten().map(|f| f.0 as u64).collect();
        rows.sort_unstable();
        rows
    }

    /// How many numbers in which rows; `None` without any.
    pub fn words(&self, kind: usize) -> Option<String> {
        let found = &self.0[kind];
        let total: i64 = found.iter().map(|f| f.1).sum();
        let what = if kind == 0 { "that are NaN or infinite" } else { "that are not" };
        let list: Vec<String> = found.iter().take(NAMED).map(|f| f.0.to_string()).collect();
        let more = if found.len() > NAMED { format!(" and {} more", found.len() - NAMED) } else { String::new() };
        let rows = if found.len() == 1 { "row" } else { "rows" };
        (!found.is_empty()).then(|| format!("{total} number(s) {what} in {rows} {}{more}", list.join(", ")))
    }

    /// How many numbers, where there is one sample only.
    pub fn of_one(&self) -> Option<String> {
        let what = ["that are NaN or infinite", "that the transform does not take"];
        let first = |kind: usize| self.0[kind].first().map(|(_, count)| format!("{count} number(s) {}", what[kind]));
        first(0).or(first(1))
    }

    /// Warns of test rows that have no posterior.
    pub fn tell(&self, dataset: &Dataset, field: &str) {
        for words in (0..2).filter_map(|kind| self.words(kind)) {
            let file = dataset.path.display();
            log::warn!("{file}: {field}: {words} of the test split: such a row has no posterior, and is left out");
        }
    }
}
