//! Symmetries of boxes and of the sky: what may be done to all fields of a universe at once without making it less likely.

use super::change::Change;
use crate::error::{Error, Result};
use crate::io::field::{AxisKind, FieldSpec};
use crate::models::{Batch, Pass};
use crate::rng::ChaCha8Rng;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A symmetry that a stage may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Symmetry {
    /// Whole points along every axis of a periodic box.
    Shift,
    /// Rotations that take the grid to itself: quarters of a square, the 24 of a cube, halves where sides differ.
    Turn,
    /// A mirror along the last axis.
    Flip,
    /// Whole slabs along the line of sight, and their order reversed.
    Slabs,
}

/// What takes a grid to itself: its axes in another order, then some of them reversed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rotation {
    axes: Vec<usize>,
    reversed: Vec<bool>,
}

impl Rotation {
    /// Of d axes, these two exchanged or not, and these reversed.
    fn new(d: usize, exchanged: Option<[usize; 2]>, reversed: &[usize]) -> Self {
        let mut axes: Vec<usize> = (0..d).collect();
        exchanged.inspect(|&[i, j]| axes.swap(i, j));
        Rotation { axes, reversed: (0..d).map(|i| reversed.contains(&i)).collect() }
    }

    /// This one, and then another.
    fn then(&self, next: &Rotation) -> Rotation {
        let reversed = next.axes.iter().zip(&next.reversed).map(|(&a, r)| r ^ self.reversed[a]).collect();
        Rotation { axes: next.axes.iter().map(|&a| self.axes[a]).collect(), reversed }
    }

    /// All that follow from these, the identity first.
    fn group(d: usize, generators: &[Rotation]) -> Vec<Rotation> {
        let mut all = vec![Rotation::new(d, None, &[])];
        let mut next = 0;
        while next < all.len() {
            for generator in generators {
                let made = all[next].then(generator);
                if !all.contains(&made) {
                    all.push(made);
                }
            }
            next += 1;
        }
        all
    }

    /// The proper rotations of a grid; `alike(i, j)`: two sides have the same length.
    fn proper(d: usize, alike: impl Fn(usize, usize) -> bool) -> Vec<Rotation> {
        let pairs = (0..d).flat_map(|j| (0..j).map(move |i| [i, j]));
        let generator = |[i, j]: [usize; 2]| match alike(i, j) {
            true => Rotation::new(d, Some([i, j]), &[i]),
            false => Rotation::new(d, None, &[i, j]),
        };
        Rotation::group(d, &pairs.map(generator).collect::<Vec<_>>())
    }

    /// Whether the order of the axes is an odd one.
    fn exchanges(&self) -> bool {
        let pairs = (0..self.axes.len()).flat_map(|j| (0..j).map(move |i| [i, j]));
        pairs.filter(|&[i, j]| self.axes[i] > self.axes[j]).count() % 2 == 1
    }

    /// Whether left becomes right.
    fn mirrors(&self) -> bool {
        self.exchanges() ^ (self.reversed.iter().filter(|r| **r).count() % 2 == 1)
    }
}

/// How a column lies in space.
struct Place {
    name: String,
    /// Points along each of its last axes.
    sides: Vec<i64>,
    /// Which axis of a sample are slabs, and how many.
    slabs: Option<(i64, i64)>,
    /// Which axis are components on the sky, and each one's sign where axes are exchanged, and where left becomes right.
    components: Option<(i64, [Vec<f64>; 2])>,
}

/// Random symmetries of samples: every column of a sample that lies in space is moved alike, all its views and channels
/// too. As a change of samples in training alone.
pub struct Symmetries {
    places: Vec<Place>,
    /// Steps of a shift along each axis, the same for grids of several sizes; empty: none.
    steps: Vec<i64>,
    rotations: Vec<Rotation>,
    turn: bool,
    flip: bool,
    /// Steps over the slabs; 0: none.
    slabs: i64,
}

/// What is done to one sample.
struct Element {
    shift: Vec<i64>,
    rotation: Rotation,
    /// By how many steps the slabs are shifted, and whether their order is reversed.
    slabs: (i64, bool),
}

impl Symmetries {
    /// These symmetries of columns (their names in a batch, and what they are); refuses those that a column does not have.
    pub fn new(wanted: &[Symmetry], columns: &[(&str, &FieldSpec)]) -> Result<Self> {
        let of = |symmetry| wanted.contains(&symmetry);
        let refuse = |symmetry: Symmetry, problem: String, remedy: &str| {
            let value = serde_json::to_value(symmetry).unwrap_or_default();
            Err(Error::input(problem).shown(value).remedy(remedy))
        };
        if let Some(twice) = (1..wanted.len()).find(|&i| wanted[..i].contains(&wanted[i])) {
            return refuse(wanted[twice], "is named twice".into(), "name it once");
        }
        let any = wanted[0];
        if let Some((_, list)) = columns.iter().find(|(_, spec)| spec.ragged) {
            let problem = format!("{} is a list, whose positions would stay where they are", list.name);
            return refuse(any, problem, "leave it out, or leave that column out");
        }
        let in_space = |spec: &FieldSpec| spec.kinds().iter().any(|kind| kind.is_spatial() || *kind == AxisKind::Slab);
        let fields: Vec<_> = columns.iter().filter(|(_, spec)| in_space(spec)).collect();
        let Some((_, first)) = fields.first() else {
            let unsaid = columns.iter().any(|(_, spec)| spec.kinds().iter().any(AxisKind::is_unsaid));
            let remedy = match unsaid {
                true => "leave it out, or say in [dataset.axes] which axes are \"periodic\", \"flat\" or \"slab\"",
                false => "leave it out: such numbers stay as they are wherever a universe is looked at from",
            };
            return refuse(any, format!("{} has no axes in space", told(columns.iter().map(|c| c.1))), remedy);
        };
        let all = || told(fields.iter().map(|f| f.1));
        let space = |spec: &FieldSpec| spec.kinds().into_iter().filter(|kind| kind.is_spatial()).collect::<Vec<_>>();
        let kinds = space(first);
        if fields.iter().any(|(_, spec)| space(spec) != kinds) {
            let problem = format!("{} do not lie in one space, in which they could be moved alike", all());
            return refuse(any, problem, "leave it out, or give each a stage of its own");
        }
        if kinds.iter().any(|kind| kind.is_sphere()) {
            let remedy = "leave it out: more views of the sphere must be made with the maps";
            return refuse(any, format!("{} has pixels of the sphere, which are not turned here", all()), remedy);
        }
        if of(Symmetry::Shift) && !kinds.contains(&AxisKind::Periodic) {
            return refuse(Symmetry::Shift, format!("{} is not periodic: it ends at its edges", all()), "leave it out");
        }
        let least = [(Symmetry::Turn, 2), (Symmetry::Flip, 1)];
        if let Some((symmetry, n)) = least.into_iter().find(|&(symmetry, n)| of(symmetry) && kinds.len() < n) {
            return refuse(symmetry, format!("{} has fewer than {n} axes in space", all()), "leave it out");
        }
        let places = fields.iter().map(|(name, spec)| Place::new(name, spec, kinds.len(), any));
        let places = places.collect::<Result<Vec<_>>>()?;
        let slabs = places.iter().filter_map(|place| place.slabs).fold(0, |n, slabs| gcd(n, slabs.1));
        if of(Symmetry::Slabs) && slabs == 0 {
            return refuse(Symmetry::Slabs, format!("{} has no axis of kind \"slab\"", all()), "leave it out");
        }
        let alike = |i: usize, j: usize| places.iter().all(|place| place.sides[i] == place.sides[j]);
        let rotations = Rotation::proper(kinds.len(), alike);
        let common = |i: usize| places.iter().fold(0, |n, place| gcd(n, place.sides[i]));
        let steps = if of(Symmetry::Shift) { (0..kinds.len()).map(common).collect() } else { vec![] };
        let slabs = if of(Symmetry::Slabs) { slabs } else { 0 };
        Ok(Symmetries { steps, rotations, turn: of(Symmetry::Turn), flip: of(Symmetry::Flip), slabs, places })
    }

    /// What `augment = true` means: shifts, quarter turns and mirrors of periodic maps.
    pub fn of_maps<'a>(maps: impl Iterator<Item = &'a FieldSpec>) -> Result<Self> {
        let slices = |spec: &FieldSpec| {
            let mut spec = spec.clone();
            let before = spec.axes.len() - 2;
            // Of a cube the slices, and nothing else.
            spec.axes[..before].iter_mut().for_each(|axis| axis.kind = AxisKind::Channel);
            spec
        };
        let maps: Vec<FieldSpec> = maps.map(slices).collect();
        let columns: Vec<(&str, &FieldSpec)> = maps.iter().map(|spec| (spec.name.as_str(), spec)).collect();
        let mut all = Symmetries::new(&[Symmetry::Shift, Symmetry::Turn, Symmetry::Flip], &columns)?;
        if all.places.iter().any(|place| place.sides[0] != place.sides[1]) {
            all.rotations.truncate(1);
        }
        Ok(all)
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Element {
        let shift = self.steps.iter().map(|&n| rng.random_range(0..n)).collect();
        let turn = if self.turn { rng.random_range(0..self.rotations.len() as i64) } else { 0 };
        let mut rotation = self.rotations[turn as usize].clone();
        if self.flip && rng.random_bool(0.5) {
            let d = rotation.axes.len();
            rotation = rotation.then(&Rotation::new(d, None, &[d - 1]));
        }
        let slabs = if self.slabs > 0 { (rng.random_range(0..self.slabs), rng.random_bool(0.5)) } else { (0, false) };
        Element { shift, rotation, slabs }
    }

    /// One sample's column after an element.
    fn moved(&self, place: &Place, element: &Element, one: &Tensor) -> Tensor {
        let (d, r) = (place.sides.len(), one.dim());
        let dim = |i: usize| i as i64 - d as i64;
        let mut one = one.shallow_clone();
        let shifts = element.shift.iter().zip(&self.steps).zip(&place.sides).map(|((s, n), side)| s * (side / n));
        let shifts: Vec<i64> = shifts.collect();
        if !shifts.is_empty() {
            one = one.roll(&shifts, (0..d).map(dim).collect::<Vec<_>>());
        }
        let order = (0..r - d).chain(element.rotation.axes.iter().map(|a| r - d + a)).map(|a| a as i64);
        one = one.permute(order.collect::<Vec<_>>());
        let reversed = (0..d).filter(|&i| element.rotation.reversed[i]).map(dim);
        one = one.flip(reversed.collect::<Vec<_>>());
        if let (Some((axis, n)), (step, reversed), true) = (place.slabs, element.slabs, self.slabs > 0) {
            one = one.roll([step * (n / self.slabs)], [axis]);
            one = if reversed { one.flip([axis]) } else { one };
        }
        let Some((axis, signs)) = &place.components else { return one };
        let happened = [element.rotation.exchanges(), element.rotation.mirrors()];
        for (signs, _) in signs.iter().zip(happened).filter(|(_, happened)| *happened) {
            let mut along = vec![1; r];
            along[*axis as usize] = signs.len() as i64;
            one *= Tensor::from_slice(signs).view(along.as_slice()).to_kind(one.kind()).to_device(one.device());
        }
        one
    }

    /// Moves every sample by a random element.
    fn act(&self, batch: &mut Batch, purpose: &str) -> Result<()> {
        let elements: Vec<Element> = batch.streams(purpose).map(|mut rng| self.draw(&mut rng)).collect();
        for place in &self.places {
            // An observation has no targets.
            let Ok(x) = batch.array(&place.name) else { continue };
            let each = elements.iter().enumerate().map(|(i, e)| self.moved(place, e, &x.select(0, i as i64)));
            let moved = Tensor::stack(&each.collect::<Vec<_>>(), 0);
            batch.replace(&place.name, moved)?;
        }
        Ok(())
    }
}

impl Change for Symmetries {
    fn change(&self, batch: &mut Batch) -> Result<()> {
        match batch.pass {
            Pass::Train { .. } => self.act(batch, "augment"),
            Pass::Held | Pass::Observation => Ok(()),
        }
    }
}

/// Views of samples that a trained stage averages over.
pub struct Average {
    pub symmetries: Symmetries,
    pub views: usize,
}

impl Average {
    /// The samples as they were seen, noise and all, and moved by elements that their ids fix, one view after another.
    /// Means over the group are the same wherever a sample is looked at from; over some views of many, nearly so.
    pub fn views(&self, batch: &Batch) -> impl Iterator<Item = Result<Batch>> {
        (0..self.views).map(|v| {
            let mut view = batch.rows(&(0..batch.len()).collect::<Vec<_>>());
            match v {
                0 => Ok(view),
                _ => self.symmetries.act(&mut view, &format!("view {v}")).map(|()| view),
            }
        })
    }
}

impl Place {
    /// Of a column with so many axes in space.
    fn new(name: &str, spec: &FieldSpec, d: usize, any: Symmetry) -> Result<Self> {
        let sides = spec.shape[spec.shape.len() - d..].iter().map(|&n| n as i64).collect();
        let slab = spec.axes.iter().position(|axis| axis.kind == AxisKind::Slab);
        let slabs = slab.map(|axis| (axis as i64, spec.shape[axis] as i64));
        let mut components = None;
        for (i, axis) in spec.axes.iter().enumerate().filter(|(_, axis)| !axis.spins.is_empty()) {
            let twos = axis.spins.iter().filter(|s| **s == 2).count();
            if d != 2 || twos % 2 == 1 || axis.spins.iter().any(|s| !matches!(s, 0 | 2)) {
                let problem =
                    format!("{} has components of spins {:?}, whose turns are unknown", spec.name, axis.spins);
                let value = serde_json::to_value(any).unwrap_or_default();
                return Err(Error::input(problem).shown(value).remedy("leave it out"));
            }
            components = Some((i as i64, signs(&axis.spins, &axis.labels)));
        }
        Ok(Place { name: name.into(), sides, slabs, components })
    }
}

/// Signs of components on the sky where its axes are exchanged, and where left becomes right. By a quarter turn a pair of spin 2
/// (γ1, γ2) changes both signs; in a mirror along either axis γ2 does, and so does a rotation ω = ½ ∇ × α, a pseudo-scalar. (An
/// exchange of the axes is both.) B-modes are the pseudo-scalar of a pair: they stay zero where they are zero.
fn signs(spins: &[u8], labels: &[String]) -> [Vec<f64>; 2] {
    let sign = |change: bool| if change { -1.0 } else { 1.0 };
    let second = |i: usize| spins[..=i].iter().filter(|s| **s == 2).count() % 2 == 0;
    let pseudo = |i: usize| labels.get(i).is_some_and(|label| label == "omega");
    let exchanged = spins.iter().map(|&s| sign(s == 2)).collect();
    let mirrored = spins.iter().enumerate().map(|(i, &s)| sign(if s == 2 { second(i) } else { pseudo(i) })).collect();
    [exchanged, mirrored]
}

/// Fields with what their axes are.
fn told<'a>(fields: impl Iterator<Item = &'a FieldSpec>) -> String {
    let axes = |spec: &FieldSpec| spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    fields.map(|spec| format!("{} ({})", spec.name, axes(spec))).collect::<Vec<_>>().join(" and ")
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
