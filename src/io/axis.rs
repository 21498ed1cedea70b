//! Axes say what they are: networks, symmetries and figures ask them, and guess nothing from a shape.

use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the points of an axis are to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AxisKind {
    /// Nobody said: the field is a vector.
    #[default]
    #[schemars(skip)]
    Unsaid,
    /// They only count things: particles, rows of a list.
    Index,
    /// Views of one universe: lines of sight, light cones. Each is seen by itself.
    View,
    /// Maps or numbers of one sort side by side: source bins, components, multipoles.
    Channel,
    /// Channels that are slabs of a periodic box in their order: the first stands behind the last.
    Slab,
    /// Bins of a measured quantity, in order: of wavenumber, mass, height.
    Bin,
    /// Named numbers of different sorts.
    Column,
    /// Classes that a thing may belong to.
    Class,
    /// Points along a side of a periodic box.
    Periodic,
    /// Points along a side of a flat map that ends at its edges.
    Flat,
    /// Pixels of the sphere (Górski et al. 2005).
    Healpix { nside: u32, order: HealpixOrder },
    /// Some of these pixels, which the axis lists.
    Footprint { nside: u32, order: HealpixOrder },
}

/// How the pixels of a HEALPix map follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealpixOrder {
    Ring,
    Nested,
}

impl AxisKind {
    /// True where nobody said.
    pub fn is_unsaid(&self) -> bool {
        *self == AxisKind::Unsaid
    }

    /// True along which points have a place in a box or on the sky.
    pub fn is_spatial(self) -> bool {
        self.is_sphere() || matches!(self, AxisKind::Periodic | AxisKind::Flat)
    }

    /// True of pixels of the sphere, all or some of them.
    pub fn is_sphere(self) -> bool {
        matches!(self, AxisKind::Healpix { .. } | AxisKind::Footprint { .. })
    }

    /// Why axes of these kinds and lengths are none of one field; nothing where they are. Views stand first, what lies
    /// in space last, and all of that is of one kind.
    pub fn mismatch(kinds: &[AxisKind], shape: &[usize]) -> Option<String> {
        if kinds.len() != shape.len() {
            return Some(format!("names {} axes, but a row has {}: {shape:?}", kinds.len(), shape.len()));
        }
        if kinds.iter().any(AxisKind::is_unsaid) {
            return Some("leaves an axis unsaid".into());
        }
        let place = |kind: &AxisKind| if kind.is_spatial() { 2 } else { (*kind != AxisKind::View) as u8 };
        if !kinds.iter().map(place).is_sorted() {
            return Some(
                "has them in another order than views, then channels and the like, then rows and columns".into(),
            );
        }
        let spatial: Vec<AxisKind> = kinds.iter().copied().filter(|kind| kind.is_spatial()).collect();
        if spatial.iter().any(|kind| *kind != spatial[0]) {
            return Some("has rows and columns of different kinds".into());
        }
        let (nside, order, part) = match *spatial.first()? {
            AxisKind::Healpix { nside, order } => (nside, order, false),
            AxisKind::Footprint { nside, order } => (nside, order, true),
            _ => return None,
        };
        let (pixels, n) = ((nside as usize).saturating_pow(2).saturating_mul(12), shape[shape.len() - 1]);
        let nested = order == HealpixOrder::Nested && !nside.is_power_of_two();
        match spatial.len() {
            1 if nside == 0 || nested => Some(format!("has nside = {nside}: nested pixels need a power of two")),
            1 if part && n <= pixels => None,
            1 if pixels != n => Some(format!("has nside = {nside}, which makes {pixels} pixels, but there are {n}")),
            1 => None,
            _ => Some("has several axes of HEALPix pixels".into()),
        }
    }
}

/// As in files and messages: `channel`, `healpix nside=64 ring`.
impl fmt::Display for AxisKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AxisKind::Unsaid => "unsaid",
            AxisKind::Index => "index",
            AxisKind::View => "view",
            AxisKind::Channel => "channel",
            AxisKind::Slab => "slab",
            AxisKind::Bin => "bin",
            AxisKind::Column => "column",
            AxisKind::Class => "class",
            AxisKind::Periodic => "periodic",
            AxisKind::Flat => "flat",
            AxisKind::Healpix { nside, order: HealpixOrder::Ring } => return write!(f, "healpix nside={nside} ring"),
            AxisKind::Healpix { nside, order: HealpixOrder::Nested } => {
                return write!(f, "healpix nside={nside} nested");
            }
            AxisKind::Footprint { nside, order } => {
                return write!(f, "{} partial", AxisKind::Healpix { nside: *nside, order: *order });
            }
        })
    }
}

/// As they are displayed, in whatever case.
impl FromStr for AxisKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        use AxisKind::*;
        const PLAIN: [AxisKind; 10] = [Index, View, Channel, Slab, Bin, Column, Class, Periodic, Flat, Unsaid];
        let lower = word.trim().to_lowercase();
        let healpix = || {
            let (nside, order) = lower.strip_prefix("healpix nside=")?.split_once(' ')?;
            let (order, part) = order.strip_suffix(" partial").map_or((order, false), |order| (order, true));
            let order =
                [("ring", HealpixOrder::Ring), ("nested", HealpixOrder::Nested)].iter().find(|o| o.0 == order)?.1;
            let nside = nside.parse().ok()?;
            Some(if part { Footprint { nside, order } } else { Healpix { nside, order } })
        };
        let known = PLAIN.map(|kind| kind.to_string());
        let plain = known.iter().position(|name| *name == lower).map(|at| PLAIN[at]);
        plain.or_else(healpix).ok_or_else(|| {
            let remedy = format!(
                "known here: {}, healpix nside=N ring, healpix nside=N nested, and these with partial behind",
                known.join(", ")
            );
            Error::input("is nothing that an axis can be").value(word).remedy(remedy)
        })
    }
}

/// One axis of a field: its name (`view`, `slab`, `y`, `x`, `k` …), unit, what it is, and coordinates where it has any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    pub name: String,
    pub unit: String,
    /// What its points are to one another; absent in files of older programs, and where nobody said.
    #[serde(default, skip_serializing_if = "AxisKind::is_unsaid")]
    pub kind: AxisKind,
    /// Coordinates of the axis's points; empty where only the index matters.
    #[serde(default)]
    pub values: Vec<f64>,
    /// Names of the axis's points, where they are columns of a table; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Where its points are components of a field on the sky, the spin of each: those of spin 2 come in pairs, and turn
    /// by twice the angle that the sky turns by. Else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spins: Vec<u8>,
    /// Where the axis's points are bins, their edges: one more than there are bins, or as many for each as it takes.
    /// Else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    /// Where its points are some pixels of the sphere, first and end of each run of neighbours; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pixels: Vec<[u64; 2]>,
    /// Where they are bins of Fourier modes, how many each holds; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<u64>,
}

impl Axis {
    /// An axis without coordinates.
    pub fn new(kind: AxisKind, name: &str, unit: &str) -> Self {
        let (name, unit) = (name.into(), unit.into());
        Axis {
            name,
            unit,
            kind,
            values: vec![],
            labels: vec![],
            spins: vec![],
            edges: vec![],
            modes: vec![],
            pixels: vec![],
        }
    }

    /// An axis with coordinates.
    pub fn at(kind: AxisKind, name: &str, unit: &str, values: Vec<f64>) -> Self {
        Axis { values, ..Axis::new(kind, name, unit) }
    }

    /// An axis of bins with these coordinates and edges.
    pub fn bins(name: &str, unit: &str, values: Vec<f64>, edges: Vec<f64>) -> Self {
        Axis { edges, ..Axis::at(AxisKind::Bin, name, unit, values) }
    }

    /// An axis of pixels of the sphere in RING order: those of these runs, where they are not all.
    pub fn sphere(nside: usize, runs: &[[usize; 2]]) -> Self {
        let (nside, order) = (nside as u32, HealpixOrder::Ring);
        let all = 12 * u64::from(nside).pow(2);
        let pixels: Vec<[u64; 2]> = runs.iter().map(|run| run.map(|p| p as u64)).collect();
        match pixels[..] == [[0, all]] {
            true => Axis::new(AxisKind::Healpix { nside, order }, "pixel", ""),
            false => Axis { pixels, ..Axis::new(AxisKind::Footprint { nside, order }, "pixel", "") },
        }
    }

    /// The same axis with these pixels of the sphere, in the order of its points, if they are some of its kind, each
    /// once and growing.
    pub fn with_pixels(self, numbers: &[f64]) -> Option<Self> {
        let AxisKind::Footprint { nside, .. } = self.kind else { return None };
        let all = 12.0 * f64::from(nside).powi(2);
        let fine =
            numbers.iter().all(|&p| p >= 0.0 && p < all && p.fract() == 0.0) && numbers.is_sorted_by(|a, b| a < b);
        let mut pixels: Vec<[u64; 2]> = vec![];
        for p in numbers.iter().filter(|_| fine).map(|&p| p as u64) {
            match pixels.last_mut() {
                Some(run) if run[1] == p => run[1] += 1,
                _ => pixels.push([p, p + 1]),
            }
        }
        fine.then_some(Axis { pixels, ..self })
    }

    /// An axis whose points have names.
    pub fn named<S: Into<String>>(kind: AxisKind, name: &str, labels: impl IntoIterator<Item = S>) -> Self {
        Axis { labels: labels.into_iter().map(Into::into).collect(), ..Axis::new(kind, name, "") }
    }
}

/// How the numbers of a field are pictures: (views, channels, height, width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    pub views: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// It goes on at the other side; else it ends at its edges.
    pub periodic: bool,
}

impl Picture {
    /// Of a field of this shape with axes of these kinds, where the last two are a picture's. A cube is its slices, as
    /// channels.
    pub fn of(kinds: &[AxisKind], shape: &[usize]) -> Option<Picture> {
        let (rest, &[rows, columns]) = kinds.split_last_chunk()?;
        let (sizes, &[height, width]) = shape.split_last_chunk()?;
        if rows != columns || !matches!(rows, AxisKind::Periodic | AxisKind::Flat) {
            return None;
        }
        let views = rest.iter().take_while(|kind| **kind == AxisKind::View).count();
        let [views, channels] = [&sizes[..views], &sizes[views..]].map(|s| s.iter().product());
        Some(Picture { views, channels, height, width, periodic: rows == AxisKind::Periodic })
    }

    /// What programs before [`AxisKind`] took for the maps of a periodic box: whatever ends in two axes of at least 8.
    pub fn guessed(shape: &[usize]) -> Option<Picture> {
        let (rest, &[height, width]) = shape.split_last_chunk()?;
        let (views, channels) = match *rest {
            [] => (1, 1),
            [channels] => (1, channels),
            [views, channels] => (views, channels),
            _ => return None,
        };
        Some(Picture { views, channels, height, width, periodic: true }).filter(Picture::is_large)
    }

    /// Large enough for a network that halves it several times.
    pub fn is_large(&self) -> bool {
        self.height >= 8 && self.width >= 8
    }
}

/// How the numbers of a field are cubes: (views, channels, sides).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cube {
    pub views: usize,
    pub channels: usize,
    pub sides: [usize; 3],
    pub periodic: bool,
}

impl Cube {
    /// Of a field of this shape with axes of these kinds, where the last three are alike and lie in space.
    pub fn of(kinds: &[AxisKind], shape: &[usize]) -> Option<Cube> {
        let (rest, &[depth, rows, columns]) = kinds.split_last_chunk()?;
        let (sizes, &sides) = shape.split_last_chunk()?;
        if depth != rows || rows != columns || !matches!(rows, AxisKind::Periodic | AxisKind::Flat) {
            return None;
        }
        let views = rest.iter().take_while(|kind| **kind == AxisKind::View).count();
        let [views, channels] = [&sizes[..views], &sizes[views..]].map(|s| s.iter().product());
        Some(Cube { views, channels, sides, periodic: rows == AxisKind::Periodic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AxisKind::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        let orders = [HealpixOrder::Ring, HealpixOrder::Nested];
        let sphere = orders.map(|order| [Healpix { nside: 64, order }, Footprint { nside: 64, order }]).concat();
        for kind in [Unsaid, Index, View, Channel, Slab, Bin, Column, Class, Periodic, Flat].into_iter().chain(sphere) {
            assert_eq!(kind.to_string().to_uppercase().parse::<AxisKind>().unwrap(), kind);
        }
        for word in ["", "flatt", "healpix", "healpix nside=64", "healpix nside=-1 ring", "healpix nside=64 ring ring"]
        {
            let e = word.parse::<AxisKind>().unwrap_err();
            assert!(e.value == Some(format!("{word:?}")) && e.remedy.is_some(), "{e}");
        }
    }

    #[test]
    fn a_picture_is_what_its_axes_say() {
        let of = |kinds: &[AxisKind], shape: &[usize]| {
            Picture::of(kinds, shape).map(|p| ([p.views, p.channels, p.height, p.width], p.periodic))
        };
        assert_eq!(of(&[View, Slab, Periodic, Periodic], &[3, 4, 64, 64]), Some(([3, 4, 64, 64], true)));
        assert_eq!(of(&[View, Channel, Channel, Flat, Flat], &[2, 5, 3, 64, 32]), Some(([2, 15, 64, 32], false)));
        assert_eq!(of(&[Periodic; 3], &[16, 16, 16]), Some(([1, 16, 16, 16], true)));
        assert_eq!(of(&[Flat, Flat], &[9, 8]), Some(([1, 1, 9, 8], false)));
        for kinds in [[Channel, Bin], [Unsaid, Unsaid], [Channel, Flat], [Flat, Periodic], [Index, Column]] {
            assert_eq!(of(&kinds, &[10, 16]), None, "{kinds:?}");
        }
        assert_eq!(of(&[Healpix { nside: 1, order: HealpixOrder::Ring }], &[12]), None);
        let cube = |kinds: &[AxisKind], shape: &[usize]| {
            Cube::of(kinds, shape).map(|c| ([c.views, c.channels], c.sides, c.periodic))
        };
        assert_eq!(cube(&[View, Channel, Flat, Flat, Flat], &[2, 4, 8, 9, 10]), Some(([2, 4], [8, 9, 10], false)));
        assert_eq!(cube(&[Periodic; 3], &[8, 8, 8]), Some(([1, 1], [8, 8, 8], true)));
        assert_eq!(cube(&[Slab, Periodic, Periodic], &[4, 8, 8]), None);
        assert_eq!(Picture::guessed(&[10, 16]).map(|p| [p.views, p.channels, p.height, p.width]), Some([1, 1, 10, 16]));
        assert_eq!(
            [Picture::guessed(&[10, 7]), Picture::guessed(&[16]), Picture::guessed(&[2, 5, 3, 64, 64])],
            [None; 3]
        );
    }

    #[test]
    fn axes_that_are_none_of_one_field_are_told() {
        let sky = |nside, order| Healpix { nside, order };
        let part = |nside| Footprint { nside, order: HealpixOrder::Ring };
        let good: [(&[AxisKind], &[usize]); 7] = [
            (&[Channel, part(2)], &[3, 17]),
            (&[], &[]),
            (&[Channel, Flat, Flat], &[3, 8, 8]),
            (&[View, Column], &[3, 8]),
            (&[Channel, sky(2, HealpixOrder::Nested)], &[3, 48]),
            (&[sky(3, HealpixOrder::Ring)], &[108]),
            (&[Periodic; 3], &[4; 3]),
        ];
        for (kinds, shape) in good {
            assert_eq!(AxisKind::mismatch(kinds, shape), None);
        }
        let bad: [(&[AxisKind], &[usize], &str); 10] = [
            (&[part(2)], &[49], "makes 48 pixels, but there are 49"),
            (&[Unsaid], &[3], "unsaid"),
            (&[Channel, Flat], &[3, 8, 8], "names 2 axes, but a row has 3: [3, 8, 8]"),
            (&[Flat, Flat, Channel], &[8, 8, 3], "another order"),
            (&[Channel, View, Flat, Flat], &[1, 2, 8, 8], "another order"),
            (&[Periodic, Flat], &[8, 8], "different kinds"),
            (&[sky(3, HealpixOrder::Nested)], &[108], "power of two"),
            (&[sky(0, HealpixOrder::Ring)], &[1], "nside = 0"),
            (&[sky(2, HealpixOrder::Ring)], &[47], "makes 48 pixels, but there are 47"),
            (&[sky(1, HealpixOrder::Ring); 2], &[12, 12], "several"),
        ];
        for (kinds, shape, words) in bad {
            let told = AxisKind::mismatch(kinds, shape).unwrap_or_default();
            assert!(told.contains(words), "{kinds:?}: {told}");
        }
    }
}
