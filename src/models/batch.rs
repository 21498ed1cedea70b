//! Samples as a model sees them: ids and named columns. What is random belongs to a sample, never to a rank.

use crate::comm::Comm;
use crate::error::{Error, Result, suggestion};
use crate::nets::{host, whole};
use crate::rng::{ChaCha8Rng, stream};
use rand::{Rng, seq::index};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

/// Which sample: a universe, or a piece of one (a crop, a halo, a line of sight, a copy). Splits go by universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId {
    pub universe: u64,
    pub item: u32,
}

impl SampleId {
    /// A whole universe.
    pub fn of(universe: u64) -> Self {
        SampleId { universe, item: 0 }
    }

    /// Random numbers of one sample, for one purpose, in one pass.
    pub fn stream(&self, seed: u64, purpose: &str, pass: Pass) -> ChaCha8Rng {
        match self.item {
            0 => stream(seed, pass.number(), purpose, self.universe),
            item => stream(seed, pass.number(), &format!("{purpose} of item {item}"), self.universe),
        }
    }
}

/// What samples are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// To learn from: another draw in each epoch.
    Train { phase: usize, epoch: u64 },
    /// For validation, tests and calibration: one draw for each sample.
    Held,
    /// A real observation.
    Observation,
}

impl Pass {
    fn number(self) -> u64 {
        match self {
            Pass::Train { phase, epoch } => (phase as u64) << 32 | epoch,
            Pass::Held => u64::MAX,
            Pass::Observation => u64::MAX - 1,
        }
    }
}

/// One column of some samples.
#[derive(Debug)]
pub enum Column {
    /// (n, …): an array of one shape for each sample, in the precision that it comes in.
    Array(Tensor),
    /// Lists of any length (halos, galaxies): all rows (m, …) one after another, and where each one's begin, (n + 1).
    List { values: Tensor, offsets: Tensor },
}

impl Column {
    /// Some of its rows. Rows that follow one another are not copied.
    pub fn select(&self, rows: &[i64]) -> Column {
        match self {
            Column::Array(t) if rows.iter().zip(rows[0]..).all(|(&row, at)| row == at) => {
                Column::Array(t.narrow(0, rows[0], rows.len() as i64))
            }
            Column::Array(t) => Column::Array(t.index_select(0, &Tensor::from_slice(rows).to_device(t.device()))),
            Column::List { values, offsets } => {
                let starts = whole(offsets);
                let range = |&row: &i64| starts[row as usize]..starts[row as usize + 1];
                let of = rows.iter().flat_map(range).collect::<Vec<i64>>();
                let ends = rows.iter().map(range).scan(0, |end, range| {
                    *end += range.end - range.start;
                    Some(*end)
                });
                let offsets = std::iter::once(0).chain(ends).collect::<Vec<i64>>();
                let on = |list: &[i64]| Tensor::from_slice(list).to_kind(Kind::Int64).to_device(values.device());
                Column::List { values: values.index_select(0, &on(&of)), offsets: on(&offsets) }
            }
        }
    }

    /// The same numbers on a device.
    pub fn to_device(&self, device: Device) -> Column {
        match self {
            Column::Array(t) => Column::Array(t.to_device(device)),
            Column::List { values, offsets } => {
                Column::List { values: values.to_device(device), offsets: offsets.to_device(device) }
            }
        }
    }

    /// The same numbers.
    pub fn shallow_clone(&self) -> Self {
        match self {
            Column::Array(t) => Column::Array(t.shallow_clone()),
            Column::List { values, offsets } => {
                Column::List { values: values.shallow_clone(), offsets: offsets.shallow_clone() }
            }
        }
    }
}

/// Some samples, on the model's device: this rank's part of a batch that all ranks share. Never empty: a rank for which
/// there is none has one of weight 0, so that it takes part in whatever the others do.
pub struct Batch {
    columns: Vec<(String, Column)>,
    /// One for each sample.
    pub ids: Vec<SampleId>,
    /// (n), double: what each sample counts.
    pub weights: Tensor,
    pub pass: Pass,
    /// What its random numbers are of.
    pub seed: u64,
    /// What is left of the phase whose step it is for: 1 in its first epoch, falling by equal parts to 0; else 0.
    pub left: f64,
    kind: Kind,
    /// The ranks that share the batch; `None`: it is whole.
    comm: Option<Comm>,
}

impl Batch {
    /// This rank's part of a batch; what is random in it is drawn from `seed`, in the precision `kind`.
    pub fn new(columns: Vec<(String, Column)>, ids: Vec<SampleId>, pass: Pass, seed: u64, kind: Kind) -> Self {
        let weights = Tensor::ones([ids.len() as i64], (Kind::Double, Device::Cpu));
        let mut batch = Batch { columns, ids, weights, pass, seed, left: 0.0, kind, comm: None };
        batch.weights = batch.weights.to_device(batch.device());
        batch
    }

    /// The same as part of what these ranks have; `counts` is false on a rank that only keeps the others company.
    pub fn shared(mut self, comm: &Comm, counts: bool) -> Self {
        self.comm = Some(comm.clone());
        self.weights *= counts as i64;
        self
    }

    /// Inputs (n, …) of which nothing else is known.
    pub fn observed(x: &Tensor) -> Self {
        let ids = (0..x.size()[0]).map(|i| SampleId::of(i as u64)).collect();
        let kind = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        Batch::new(vec![("x".into(), Column::Array(x.shallow_clone()))], ids, Pass::Observation, 0, kind)
    }

    /// Samples on this rank, at least one.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Some of the samples by themselves.
    pub fn rows(&self, rows: &[usize]) -> Batch {
        let at: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), column.select(&at))).collect();
        let weights = self.weights.index_select(0, &Tensor::from_slice(&at).to_device(self.weights.device()));
        Batch { columns, ids: rows.iter().map(|&row| self.ids[row]).collect(), weights, comm: None, ..*self }
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Where its columns are.
    pub fn device(&self) -> Device {
        self.columns.first().map_or(Device::Cpu, |(_, column)| match column {
            Column::Array(t) | Column::List { values: t, .. } => t.device(),
        })
    }

    /// Its columns, in order.
    pub fn columns(&self) -> &[(String, Column)] {
        &self.columns
    }

    fn column(&self, name: &str) -> Result<&Column> {
        let names: Vec<&str> = self.columns.iter().map(|c| c.0.as_str()).collect();
        self.columns.iter().find(|c| c.0 == name).map(|c| &c.1).ok_or_else(|| absent(name, &names))
    }

    /// (n, …): "x", "theta", "target", or a field by its name.
    pub fn array(&self, name: &str) -> Result<&Tensor> {
        match self.column(name)? {
            Column::Array(t) => Ok(t),
            Column::List { .. } => Err(is_list(name)),
        }
    }

    /// The same as vectors, (n, numbers).
    pub fn vector(&self, name: &str) -> Result<Tensor> {
        Ok(self.array(name)?.reshape([self.len() as i64, -1]))
    }

    /// A list's rows, (m, …), and where each sample's begin, (n + 1).
    pub fn list(&self, name: &str) -> Result<(&Tensor, &Tensor)> {
        match self.column(name)? {
            Column::List { values, offsets } => Ok((values, offsets)),
            Column::Array(_) => Err(Error::input("is an array, and a list is needed").key(name)),
        }
    }

    /// Labels (n, …) from 0 to `classes` − 1, as whole numbers; any other is refused.
    pub fn labels(&self, name: &str, classes: i64) -> Result<Tensor> {
        let given = self.array(name)?;
        let labels = given.to_kind(Kind::Int64);
        let fits = labels.ge(0).logical_and(&labels.lt(classes)).logical_and(&labels.eq_tensor(given));
        let Some(at) = whole(&fits.reshape([-1])).iter().position(|&fits| fits == 0) else { return Ok(labels) };
        let row = self.ids[at * self.len() / given.numel().max(1)].universe;
        let problem = format!("row {row}: is no label of {classes} classes");
        let remedy = format!("labels are whole numbers from 0 to {}", classes - 1);
        Err(Error::input(problem).key(name).value(host(&given.reshape([-1]))[at]).remedy(remedy))
    }

    /// The columns alone.
    pub fn into_columns(self) -> Vec<(String, Column)> {
        self.columns
    }

    /// Other columns of the same samples.
    pub fn put(&mut self, columns: Vec<(String, Column)>) {
        self.columns = columns;
    }

    /// Puts another tensor in a column's place (noise, a symmetry).
    pub fn replace(&mut self, name: &str, with: Tensor) -> Result<()> {
        self.array(name)?;
        self.columns.iter_mut().filter(|c| c.0 == name).for_each(|c| c.1 = Column::Array(with.shallow_clone()));
        Ok(())
    }

    /// Each sample's random numbers for a purpose.
    pub fn streams(&self, purpose: &str) -> impl Iterator<Item = ChaCha8Rng> {
        self.ids.iter().map(move |id| id.stream(self.seed, purpose, self.pass))
    }

    fn drawn(&self, seed: u64, purpose: &str, shape: &[i64], draw: impl Fn(&mut ChaCha8Rng) -> f64) -> Tensor {
        let each = shape.iter().product::<i64>();
        // Simulations have purposes of their own, which no model's may meet.
        let streams = self.ids.iter().map(|id| id.stream(seed, &format!("{purpose} of a batch"), self.pass));
        let values: Vec<f64> =
            streams.flat_map(|mut rng| (0..each).map(|_| draw(&mut rng)).collect::<Vec<_>>()).collect();
        let shape = [&[self.len() as i64], shape].concat();
        Tensor::from_slice(&values).view(&shape[..]).to_kind(self.kind).to_device(self.device())
    }

    /// (n, shape): normal draws that depend on seed, purpose, pass and id alone. Two purposes have independent draws,
    /// the same purpose has the same again.
    pub fn normal(&self, purpose: &str, shape: &[i64]) -> Tensor {
        self.normal_of(self.seed, purpose, shape)
    }

    /// The same, of another seed than the batch's.
    pub fn normal_of(&self, seed: u64, purpose: &str, shape: &[i64]) -> Tensor {
        self.drawn(seed, purpose, shape, |rng| StandardNormal.sample(rng))
    }

    /// (n, shape): uniform draws from [0, 1), in the same way.
    pub fn uniform(&self, purpose: &str, shape: &[i64]) -> Tensor {
        self.drawn(self.seed, purpose, shape, |rng| rng.random())
    }

    /// (n, k, …): `k` other samples' column for each, out of the batch of all ranks: the same partners for every
    /// column. Collective.
    pub fn others(&self, name: &str, k: usize) -> Result<Tensor> {
        let mine = self.array(name);
        let mine = match &self.comm {
            Some(comm) => comm.agree(mine)?,
            None => mine?,
        };
        let own = if host(&self.weights)[0] > 0.0 { self.len() } else { 0 };
        let (all, start) = match (host(&mine.narrow(0, 0, own as i64)), &self.comm) {
            (all, None) => (all, 0),
            (own_part, Some(comm)) => (comm.all_gather(&own_part), comm.offset(own)),
        };
        let each = mine.numel() / self.len();
        let total = all.len() / each.max(1);
        if total <= k {
            let problem = format!("a batch of {total} sample(s) has no {k} other(s) for each");
            return Err(Error::input(problem).key("batch_size").remedy("tell so many in the model's `partners`"));
        }
        let partners = self.streams("others of a batch").enumerate().flat_map(|(i, mut rng)| {
            let own = start + i;
            let chosen = index::sample(&mut rng, total - 1, k).into_vec();
            chosen.into_iter().map(move |other| (if other < own { other } else { other + 1 }).min(total - 1) as i64)
        });
        let partners = Tensor::from_slice(&partners.collect::<Vec<i64>>()).to_device(mine.device());
        let all = Tensor::from_slice(&all).view([total as i64, -1]).to_kind(mine.kind()).to_device(mine.device());
        let shape = [&[self.len() as i64, k as i64], &mine.size()[1..]].concat();
        Ok(all.index_select(0, &partners).view(&shape[..]))
    }
}

/// The refusal of a column that is not there.
pub(super) fn absent(name: &str, known: &[&str]) -> Error {
    Error::input("there is no such column").key(name).remedy(suggestion(name, known, "the samples have none"))
}

/// The refusal of a list where an array is needed.
pub fn is_list(name: &str) -> Error {
    let error = Error::input("is a list whose length differs between universes, and an array is needed").key(name);
    error.remedy("choose a field of a fixed shape")
}
