//! `polycosm doctor --reduce`: sums over ranks as the trainer takes them of gradients, checked and timed rank by rank.

use super::start::say;
use crate::comm::{Comm, Wire};
use crate::error::{Error, Result};
use num_traits::Float;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

/// Numbers in the vectors of f32: gradients of small networks and of large ones.
const LENGTHS: [usize; 4] = [1 << 10, 1 << 16, 1 << 20, 1 << 24];
/// Numbers in the vector of f64.
const LENGTH: usize = 1 << 20;
/// Sums of each that are timed; one before them is not.
const REPEATS: usize = 9;
/// Period of the whole numbers that are summed.
const PERIOD: usize = 251;

/// What became of one vector, on every rank.
struct Sums {
    /// As a line of the table says it.
    what: String,
    bytes: usize,
    /// Each rank's median time of a sum.
    seconds: Vec<f64>,
    /// Ranks with a wrong number: rank, numbers that are wrong, place of the first.
    wrong: Vec<[u64; 3]>,
    /// Ranks whose sums of fractions have other bits than those of the root.
    apart: Vec<usize>,
}

/// The whole number, at most 125 in size, that a rank gives at a place.
fn whole(place: usize, rank: usize) -> i64 {
    ((place + 13 * rank) % PERIOD) as i64 - 125
}

/// Sums of n numbers by `sum`. Those of whole numbers have no rounding, and are compared with their closed form; those of fractions
/// have, and must have the same bits on every rank, or the copies of a network drift apart. Collective.
fn sums<T: Float + Wire>(comm: &Comm, n: usize, what: &str, sum: impl Fn(&mut [T])) -> Sums {
    let of = |x: f64| T::from(x).unwrap_or_else(T::nan);
    let expected: Vec<T> =
        (0..PERIOD).map(|place| of((0..comm.size()).map(|rank| whole(place, rank)).sum::<i64>() as f64)).collect();
    let (mut values, mut seconds, mut wrong, mut first) = (vec![T::zero(); n], vec![], 0, n);
    for _ in 0..=REPEATS {
        (0..).zip(&mut values).for_each(|(place, value)| *value = of(whole(place, comm.rank()) as f64));
        comm.barrier();
        let start = Instant::now();
        sum(&mut values);
        seconds.push(start.elapsed().as_secs_f64());
        let bad = |place: &usize| values[*place] != expected[place % PERIOD];
        wrong = wrong.max((0..n).filter(bad).count());
        first = first.min((0..n).find(bad).unwrap_or(n));
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let fraction = |place: usize| of(1.0 / (1 + (place + comm.rank()) % 997) as f64);
    (0..).zip(&mut values).for_each(|(place, value)| *value = fraction(place));
    sum(&mut values);
    let mut hasher = DefaultHasher::new();
    values.iter().for_each(|x| x.integer_decode().hash(&mut hasher));
    let bits = comm.all_gather(&[hasher.finish()]);
    let told = comm.all_gather(&[wrong as u64, first as u64]);
    Sums {
        what: what.into(),
        bytes: n * size_of::<T>(),
        seconds: comm.all_gather(&[seconds[REPEATS / 2]]),
        wrong: (0..).zip(told.chunks(2)).filter(|(_, t)| t[0] > 0).map(|(rank, t)| [rank, t[0], t[1]]).collect(),
        apart: (0..bits.len()).filter(|&rank| bits[rank] != bits[0]).collect(),
    }
}

impl Sums {
    /// A rank's error, the first of them.
    fn error(&self, hosts: &[String]) -> Option<Error> {
        let at = |rank: usize| format!("rank {rank} ({})", hosts[rank]);
        let problem = match (self.wrong.first(), self.apart.first()) {
            (Some(&[rank, numbers, place]), _) => {
                format!("{numbers} wrong numbers on {}, the first at {place}", at(rank as usize))
            }
            (_, Some(&rank)) => format!("not the same bits on {} as on {}", at(rank), at(0)),
            _ => return None,
        };
        let error = Error::failed(format!("MPI's sums over ranks cannot be relied on: {}: {problem}", self.what));
        Some(
            error.remedy("try another transport of the MPI library, and leave that node out; report it to the cluster"),
        )
    }
}

/// Checks and times MPI's sums; an error if any is wrong. Collective; the root reports.
pub fn run(comm: &Comm) -> Result<()> {
    let mut host = gethostname::gethostname().to_string_lossy().into_owned().into_bytes();
    host.resize(64, 0);
    let hosts = comm.all_gather(&host);
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string();
    let hosts: Vec<String> = hosts.chunks(64).map(name).collect();
    let mut all: Vec<Sums> =
        LENGTHS.iter().map(|&n| sums::<f32>(comm, n, &format!("{n} x f32"), |v| comm.sum(v))).collect();
    all.insert(3, sums::<f64>(comm, LENGTH, &format!("{LENGTH} x f64"), |v| comm.sum(v)));
    comm.on_root(|| {
        say(format_args!(
            "\nsums over {} rank(s) by MPI, median of {REPEATS} in ms: fastest rank, slowest",
            comm.size()
        ));
        for sums in &all {
            let fastest = sums.seconds.iter().copied().fold(f64::INFINITY, f64::min);
            let slowest = sums.seconds.iter().copied().fold(0.0, f64::max);
            let rate = sums.bytes as f64 / slowest.max(1e-9) / 1e9;
            let [fastest, slowest] = [fastest, slowest].map(|s| s * 1e3);
            say(format_args!("{:>14}  {fastest:10.3} {slowest:10.3}   {rate:.2e} GB/s", sums.what));
        }
        for (rank, host) in hosts.iter().enumerate() {
            let right = all.iter().all(|s| s.wrong.iter().all(|w| w[0] != rank as u64) && !s.apart.contains(&rank));
            let last = all.last().map_or(0.0, |sums| sums.seconds[rank] * 1e3);
            say(format_args!(
                "rank {rank:<5} {host}  {}, {last:.3} ms for the longest",
                if right { "exact, the root's bits" } else { "WRONG" }
            ));
        }
        all.iter().find_map(|sums| sums.error(&hosts)).map_or(Ok(()), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_are_wrong_are_named() {
        let comm = Comm::world().alone();
        let hosts = ["here".to_string(), "there".to_string()];
        let right = sums::<f32>(&comm, 1000, "1000 x f32", |v| comm.sum(v));
        assert!(right.error(&hosts).is_none() && right.seconds.len() == 1 && right.bytes == 4000);
        let spoilt = sums::<f64>(&comm, 1000, "1000 x f64", |v| {
            v[17] += 1.0;
            v[900] = f64::NAN;
        });
        assert_eq!(spoilt.wrong, [[0, 2, 17]]);
        let error = spoilt.error(&hosts).unwrap();
        assert!(error.problem.contains("1000 x f64: 2 wrong numbers on rank 0 (here), the first at 17"), "{error}");
        let apart = Sums { apart: vec![1], ..right };
        let error = apart.error(&hosts).unwrap();
        assert!(error.problem.contains("not the same bits on rank 1 (there) as on rank 0 (here)"), "{error}");
    }
}
