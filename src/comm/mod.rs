//! Communicators, groups and the collective verbs everything above is written in. The only user of `mpi`.
//!
//! A program that was not started by `mpirun` is a world of one rank: there is one code path for all sizes.

pub mod launch;
pub mod stop;
pub mod timers;
pub mod traffic;

use crate::error::{Error, Result};
use mpi::collective::{Root, SystemOperation};
use mpi::datatype::{MutView, Partition, PartitionMut, UserDatatype, View};
use mpi::environment::Universe;
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::*;
use serde::{Serialize, de::DeserializeOwned};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::rc::Rc;
use std::sync::Mutex;

/// Types that travel between ranks: plain numbers.
pub trait Wire: Equivalence + Copy + Default + 'static {}
impl<T: Equivalence + Copy + Default + 'static> Wire for T {}

struct Held(Option<Universe>);
// SAFETY: the universe is only a token; MPI itself was initialised with at least `Funneled` support and the token is
// taken out once, by the thread that finalises.
unsafe impl Send for Held {}
static UNIVERSE: Mutex<Held> = Mutex::new(Held(None));

/// A group of ranks that work together. Cheap to clone.
#[derive(Clone)]
pub struct Comm {
    inner: Rc<SimpleCommunicator>,
}

impl Comm {
    /// All ranks of this job; starts MPI on first use.
    pub fn world() -> Comm {
        let mut held = UNIVERSE.lock().unwrap_or_else(|e| e.into_inner());
        if held.0.is_none() && !mpi::environment::is_initialized() {
            held.0 = mpi::initialize_with_threading(mpi::Threading::Funneled).map(|(u, _)| u);
        }
        Comm { inner: Rc::new(SimpleCommunicator::world()) }
    }

    /// A group of this rank alone.
    pub fn alone(&self) -> Comm {
        self.split(Some(self.rank()), 0).expect("a colour was given")
    }

    /// This rank's number in the group.
    pub fn rank(&self) -> usize {
        self.inner.rank() as usize
    }

    /// Number of ranks in the group.
    pub fn size(&self) -> usize {
        self.inner.size() as usize
    }

    /// True of the same communicator, not of another one of the same ranks.
    pub fn is(&self, other: &Comm) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    /// True on the rank that speaks for the group.
    pub fn is_root(&self) -> bool {
        self.rank() == 0
    }

    /// Splits into one group per colour, ordered by `key`; `None` joins no group.
    pub fn split(&self, color: Option<usize>, key: usize) -> Option<Comm> {
        let color = color.map_or(Color::undefined(), |c| Color::with_value(c as i32));
        self.inner.split_by_color_with_key(color, key as i32).map(|c| Comm { inner: Rc::new(c) })
    }

    /// Waits for everyone.
    pub fn barrier(&self) {
        self.inner.barrier();
    }

    fn reduce_in_place<T: Wire>(&self, values: &mut [T], op: SystemOperation) {
        if self.size() > 1 {
            traffic::add::<T>(values.len());
            let mine = values.to_vec();
            self.inner.all_reduce_into(&mine[..], values, op);
        }
    }

    /// Element-wise sum over ranks; every rank gets the same bits.
    pub fn sum<T: Wire>(&self, values: &mut [T]) {
        self.reduce_in_place(values, SystemOperation::sum());
    }

    /// Element-wise maximum over ranks.
    pub fn max<T: Wire>(&self, values: &mut [T]) {
        self.reduce_in_place(values, SystemOperation::max());
    }

    /// Element-wise minimum over ranks.
    pub fn min<T: Wire>(&self, values: &mut [T]) {
        self.reduce_in_place(values, SystemOperation::min());
    }

    /// Sum of one number over ranks.
    pub fn sum_of<T: Wire>(&self, value: T) -> T {
        let mut v = [value];
        self.sum(&mut v);
        v[0]
    }

    /// Largest of one number over ranks.
    pub fn max_of<T: Wire>(&self, value: T) -> T {
        let mut v = [value];
        self.max(&mut v);
        v[0]
    }

    /// Smallest of one number over ranks.
    pub fn min_of<T: Wire>(&self, value: T) -> T {
        let mut v = [value];
        self.min(&mut v);
        v[0]
    }

    /// True if any rank says so.
    pub fn any(&self, flag: bool) -> bool {
        self.max_of(flag as u8) != 0
    }

    /// Sum over the ranks below this one (0 on rank 0): where this rank's rows start in a list that all share.
    pub fn offset(&self, count: usize) -> usize {
        self.gather_counts(count)[..self.rank()].iter().sum()
    }

    /// Every rank's number, in rank order.
    pub fn gather_counts(&self, count: usize) -> Vec<usize> {
        let mut all = vec![0u64; self.size()];
        self.inner.all_gather_into(&(count as u64), &mut all[..]);
        all.into_iter().map(|c| c as usize).collect()
    }

    /// Concatenation of all ranks' lists, in rank order, on every rank.
    pub fn all_gather<T: Wire>(&self, mine: &[T]) -> Vec<T> {
        if self.size() > 1 {
            traffic::add::<T>(mine.len());
        }
        let counts = self.gather_counts(mine.len());
        let mut all = vec![T::default(); counts.iter().sum()];
        // One unit on all ranks: libraries choose their algorithm by what a rank sends, and must choose alike.
        let parts = Parts::new::<T>(&counts);
        self.inner.all_gather_varcount_into(&parts.view(mine), &mut parts.partition_mut(&mut parts.view_mut(&mut all)));
        all
    }

    /// Concatenation of all ranks' lists, in rank order, on `root`; empty elsewhere.
    pub fn gather<T: Wire>(&self, root: usize, mine: &[T]) -> Vec<T> {
        let counts = self.gather_counts(mine.len());
        let process = self.inner.process_at_rank(root as i32);
        let parts = Parts::new::<T>(&counts);
        if self.rank() == root {
            let mut all = vec![T::default(); counts.iter().sum()];
            process
                .gather_varcount_into_root(&parts.view(mine), &mut parts.partition_mut(&mut parts.view_mut(&mut all)));
            all
        } else {
            traffic::add::<T>(mine.len());
            process.gather_varcount_into(&parts.view(mine));
            Vec::new()
        }
    }

    /// Copies `root`'s values to everyone; the length is the same on all ranks.
    pub fn broadcast<T: Wire>(&self, root: usize, values: &mut [T]) {
        if self.size() > 1 && self.rank() == root {
            traffic::add::<T>(values.len());
        }
        self.inner.process_at_rank(root as i32).broadcast_into(values);
    }

    /// Copies any serialisable value of `root`'s to everyone (`value` is looked at on `root` only), numbers that are
    /// not finite included. It is plain data, of which every instance can be serialised: no path that may not be UTF-8.
    /// Where that cannot be promised, [`Comm::on_root`] makes an error of it.
    pub fn broadcast_value<T: Serialize + DeserializeOwned>(&self, root: usize, value: Option<T>) -> T {
        let mut bytes = match (&value, self.rank() == root) {
            (Some(v), true) => encode(v).expect("plain data always serialises"),
            _ => Vec::new(),
        };
        let mut len = [bytes.len() as u64];
        self.broadcast(root, &mut len);
        bytes.resize(len[0] as usize, 0);
        self.broadcast(root, &mut bytes[..]);
        match value {
            Some(v) if self.rank() == root => v,
            _ => decode(&bytes).expect("root sent this very type"),
        }
    }

    /// Sends `counts[q]` items to each rank q (in order, from `send`) into `recv`, which receives `from[q]` items from
    /// each rank q, in rank order. Both slices are exactly as long as their counts say.
    pub fn exchange_into<T: Wire>(&self, send: &[T], counts: &[usize], recv: &mut [T], from: &[usize]) {
        if self.size() == 1 {
            return recv.copy_from_slice(send);
        }
        traffic::add::<T>(send.len() - counts[self.rank()]);
        let (ours, theirs) = (Parts::new::<T>(counts), Parts::new::<T>(from));
        let (send, mut recv) = (ours.view(send), theirs.view_mut(recv));
        self.inner.all_to_all_varcount_into(&ours.partition(&send), &mut theirs.partition_mut(&mut recv));
    }

    /// Like [`Comm::exchange_into`] when the receivers do not know the counts: returns the items and the counts.
    pub fn exchange<T: Wire>(&self, send: &[T], counts: &[usize]) -> (Vec<T>, Vec<usize>) {
        let mine: Vec<u64> = counts.iter().map(|&c| c as u64).collect();
        let mut from = vec![0u64; self.size()];
        self.inner.all_to_all_into(&mine[..], &mut from[..]);
        let from: Vec<usize> = from.into_iter().map(|c| c as usize).collect();
        let mut recv = vec![T::default(); from.iter().sum()];
        self.exchange_into(send, counts, &mut recv, &from);
        (recv, from)
    }

    /// Ends a fallible collective section: if any rank failed, every rank gets the (first) failure as its own, so
    /// that none is left waiting in a later collective.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        let failed = self.min_of(if result.is_err() { self.rank() as u64 } else { u64::MAX });
        if failed == u64::MAX {
            return result;
        }
        let root = failed as usize;
        let mine = result.err().filter(|_| self.rank() == root);
        let error: Error = self.broadcast_value(root, mine);
        Err(Error { agreed_from: Some(root), ..error })
    }

    /// The same, of a result on whose error these ranks may have agreed before.
    pub fn agree_once<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(e) if e.agreed_from.is_some() => Err(e),
            result => self.agree(result),
        }
    }

    /// Runs `f` on the root alone and shares its outcome; an error where that cannot be told, as a path that is not
    /// UTF-8.
    pub fn on_root<T: Serialize + DeserializeOwned>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let tellable = |value: T| match self.size() {
            1 => Ok(Some(value)),
            _ => encode(&value).and_then(|bytes| decode(&bytes)).map(Some).map_err(|e| {
                Error::failed(format!("what one rank found cannot be told to the others: {e}"))
                    .remedy("is the name of a file not UTF-8? If not, please report it")
            }),
        };
        let mine = if self.is_root() { f().and_then(tellable) } else { Ok(None) };
        let value = self.agree(mine)?;
        Ok(self.broadcast_value(0, value))
    }

    /// Ends every rank of the job at once. For failures the others cannot learn of in any other way.
    pub fn abort(&self, code: i32) -> ! {
        self.inner.abort(code)
    }

    /// The raw communicator, for libraries that speak MPI themselves (parallel HDF5).
    pub fn raw(&self) -> mpi::ffi::MPI_Comm {
        self.inner.as_raw()
    }

    /// Number of ranks of this group on this rank's node, found by host name.
    pub fn ranks_on_this_node(&self) -> usize {
        self.place_on_this_node("")[1]
    }

    /// This rank's place among the ranks of its node that say the same, and their number. Collective.
    pub fn place_on_this_node(&self, says: &str) -> [usize; 2] {
        let mut hasher = DefaultHasher::new();
        (gethostname::gethostname(), says).hash(&mut hasher);
        let mine = hasher.finish();
        let alike: Vec<bool> = self.all_gather(&[mine]).into_iter().map(|other| other == mine).collect();
        [&alike[..self.rank()], &alike].map(|ranks| ranks.iter().filter(|same| **same).count())
    }
}

/// A value on its way between ranks, in CBOR: JSON has no NaN and no infinity, and would tell `Some(NaN)` as `None`.
fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    ciborium::into_writer(value, &mut bytes).map(|()| bytes).map_err(|e| e.to_string())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    ciborium::from_reader(bytes).map_err(|e| e.to_string())
}

/// Name and version of the MPI library in use.
pub fn library_version() -> String {
    mpi::environment::library_version().unwrap_or_default().trim_end_matches('\0').to_string()
}

/// Shuts MPI down before the process ends; call once, last, on all ranks.
pub fn finalize() {
    UNIVERSE.lock().unwrap_or_else(|e| e.into_inner()).0.take();
}

/// Makes a panic on one rank end the whole job with a message, instead of leaving the others waiting.
pub fn abort_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        if mpi::environment::is_initialized() && !mpi::environment::is_finalized() {
            let world = Comm::world();
            // Where standard error is closed or full there is nobody to tell: `eprintln!` would panic in the panic.
            let (rank, size) = (world.rank(), world.size());
            let _ = writeln!(std::io::stderr(), "polycosm: internal error on rank {rank} of {size}; please report it");
            world.abort(101);
        }
    }));
}

/// The contiguous share of `n` items that part `i` of `parts` holds: `(start, length)`, lengths differing by at most
/// one.
pub fn share(n: usize, parts: usize, i: usize) -> (usize, usize) {
    let (base, extra) = (n / parts, n % parts);
    (i * base + i.min(extra), base + (i < extra) as usize)
}

/// A list in parts as MPI counts it: where it is long, in units of several items, since MPI's counts and places end at
/// 2³¹.
struct Parts {
    unit: UserDatatype,
    items: usize,
    counts: Vec<i32>,
    places: Vec<i32>,
}

impl Parts {
    /// Parts of these numbers of items.
    fn new<T: Wire>(counts: &[usize]) -> Self {
        let items = largest_unit(counts);
        let mut len = 0;
        let places = counts.iter().map(|&c| (units(len, items), len += c).0).collect();
        Parts {
            unit: UserDatatype::contiguous(items as i32, &T::equivalent_datatype()),
            items,
            counts: counts.iter().map(|&c| units(c, items)).collect(),
            places,
        }
    }

    fn view<'a, T: Wire>(&'a self, list: &'a [T]) -> View<'a, 'a, UserDatatype, [T]> {
        // SAFETY: as many units as the list is long.
        unsafe { View::with_count_and_datatype(list, units(list.len(), self.items), &self.unit) }
    }

    fn view_mut<'a, T: Wire>(&'a self, list: &'a mut [T]) -> MutView<'a, 'a, UserDatatype, [T]> {
        let units = units(list.len(), self.items);
        // SAFETY: as many units as the list is long.
        unsafe { MutView::with_count_and_datatype(list, units, &self.unit) }
    }

    fn partition<'a, B: Buffer>(&'a self, view: &'a B) -> Partition<'a, B, &'a [i32], &'a [i32]> {
        Partition::new(view, &self.counts, &self.places)
    }

    fn partition_mut<'a, B: BufferMut>(&'a self, view: &'a mut B) -> PartitionMut<'a, B, &'a [i32], &'a [i32]> {
        PartitionMut::new(view, &self.counts, &self.places)
    }
}

fn units(items: usize, unit: usize) -> i32 {
    assert_eq!(items % unit, 0, "a list is not made of whole units");
    i32::try_from(items / unit).expect("MPI counts to 2^31: take more ranks")
}

/// One item where MPI can count the list; else the largest number of items that divides every part, and that it can
/// count.
fn largest_unit(counts: &[usize]) -> usize {
    if counts.iter().sum::<usize>() <= i32::MAX as usize {
        return 1;
    }
    let divisor = counts.iter().copied().fold(0, num_integer::gcd).max(1);
    (1..=divisor).find(|k| divisor % k == 0 && divisor / k <= i32::MAX as usize).map_or(1, |k| divisor / k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_divide_all_parts() {
        let limit = i32::MAX as usize;
        assert_eq!(largest_unit(&[]), 1);
        assert_eq!(largest_unit(&[0, 12, 18]), 1);
        assert_eq!(largest_unit(&[limit - 1, 0, 12]), 6);
        assert_eq!(largest_unit(&[3 << 31]), 3 << 29);
        assert!(largest_unit(&[limit + 1, 3 * (limit + 1)]) <= limit);
    }

    #[test]
    fn values_come_back_as_they_are() {
        type Numbers =
            (Vec<f64>, Option<f32>, Option<f64>, u64, std::collections::BTreeMap<u64, f64>, serde_json::Value);
        let json = serde_json::json!({"a": [1.5, null, "ü"], "big": u64::MAX, "less": -3});
        let sent: Numbers = (
            vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.0 / 3.0, 5e-324],
            Some(f32::NAN),
            None,
            u64::MAX,
            [(3, f64::INFINITY)].into(),
            json.clone(),
        );
        let come: Numbers = decode(&encode(&sent).unwrap()).unwrap();
        assert!(come.0.iter().zip(&sent.0).all(|(a, b)| a.to_bits() == b.to_bits()), "{:?}", come.0);
        assert!(come.1.is_some_and(f32::is_nan) && come.2.is_none(), "NaN is no None");
        assert_eq!((come.3, come.4[&3], come.5), (u64::MAX, f64::INFINITY, json));
        let error = Error::input("a").file("b").key("c").value(f64::NAN).remedy("d");
        let told: Error = decode(&encode(&error).unwrap()).unwrap();
        assert_eq!((told.to_string(), told.kind), (error.to_string(), error.kind));
        use std::os::unix::ffi::OsStrExt;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        assert!(encode(&path).is_err(), "what cannot be told is an error");
    }

    #[test]
    fn shares_cover_everything_once() {
        for (n, parts) in [(10, 3), (2, 4), (0, 2), (128, 5)] {
            let mut at = 0;
            for i in 0..parts {
                let (start, len) = share(n, parts, i);
                assert_eq!(start, at);
                at += len;
            }
            assert_eq!(at, n);
        }
    }
}
