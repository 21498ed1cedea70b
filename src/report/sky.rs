//! Maps of the sphere as plane ones, in projections that keep areas (Snyder 1987, *Map Projections*, USGS 1395): all of
//! the sky after Mollweide (p. 249), a part of it after Lambert (p. 182). East is to the left, as the sky is seen.

use super::MapPanel;
use crate::io::field::{Axis, AxisKind, HealpixOrder};
use crate::sphere::{Footprint, Rings};
use std::f64::consts::{FRAC_PI_2, PI};

/// Pixels from top to bottom.
const HEIGHT: usize = 372;

/// The panel of a map on pixels of the sphere; `None` where the axis does not say which they are.
pub fn panel(label: String, axis: &Axis, data: &[f32]) -> Option<MapPanel> {
    let (AxisKind::Healpix { nside, order } | AxisKind::Footprint { nside, order }) = axis.kind else { return None };
    let rings = Rings::new(nside as usize).ok()?;
    let all = matches!(axis.kind, AxisKind::Healpix { .. }).then_some([0, rings.pixels() as u64]);
    let runs: Vec<[u64; 2]> = all.into_iter().chain(axis.pixels.iter().copied()).collect();
    let count: u64 = runs.iter().map(|[first, end]| end.saturating_sub(*first)).sum();
    if count as usize != data.len() || runs.iter().any(|run| run[1] > rings.pixels() as u64) {
        return None;
    }
    let pixels = runs.iter().flat_map(|&[first, end]| first as usize..end as usize);
    let pixels = pixels.map(|p| if order == HealpixOrder::Nested { rings.of_nested(p) } else { p });
    let mut values = vec![f32::NAN; rings.pixels()];
    let mut seen = vec![false; rings.pixels()];
    for (pixel, value) in pixels.zip(data) {
        (values[pixel], seen[pixel]) = (*value, true);
    }
    let footprint = Footprint::of(rings, |p| seen[p]);
    let (projection, width) = match Disc::around(&footprint) {
        Some(disc) => (Projection::Lambert(disc), HEIGHT),
        None => (Projection::Mollweide, 2 * HEIGHT),
    };
    let centre = |i: usize, n: usize| (2.0 * i as f64 + 1.0) / n as f64 - 1.0;
    let value = |x: f64, y: f64| projection.direction(x, y).map_or(f32::NAN, |d| values[rings.pixel_of(d)]);
    let data = (0..HEIGHT * width).map(|g| value(centre(g % width, width), -centre(g / width, HEIGHT))).collect();
    Some(MapPanel { label, width, height: HEIGHT, data, round: true })
}

enum Projection {
    Mollweide,
    Lambert(Disc),
}

impl Projection {
    /// The unit vector at a place of the ellipse within −1 to 1, x to the right and y up; `None` beyond it.
    fn direction(&self, x: f64, y: f64) -> Option<[f64; 3]> {
        if x.hypot(y) > 1.0 {
            return None;
        }
        match self {
            Projection::Mollweide => {
                let auxiliary = y.asin();
                let sin = (2.0 * auxiliary + (2.0 * auxiliary).sin()) / PI;
                let (latitude, longitude) = (sin.clamp(-1.0, 1.0).asin(), -PI * x / auxiliary.cos().max(1e-12));
                let (across, z) = (latitude.cos(), latitude.sin());
                Some([across * longitude.cos(), across * longitude.sin(), z])
            }
            Projection::Lambert(disc) => {
                // From the centre, by an angle whose half has this sine.
                let half = x.hypot(y) * disc.sine;
                let (away, cos) = (2.0 * half * (1.0 - half * half).sqrt(), 1.0 - 2.0 * half * half);
                let [east, north] = match x.hypot(y) {
                    0.0 => [0.0, 0.0],
                    r => [-x / r, y / r],
                };
                let part = |d: usize| cos * disc.centre[d] + away * (east * disc.east[d] + north * disc.north[d]);
                Some([part(0), part(1), part(2)])
            }
        }
    }
}

/// A part of the sky about a direction.
struct Disc {
    centre: [f64; 3],
    east: [f64; 3],
    north: [f64; 3],
    /// Sine of half its radius.
    sine: f64,
}

impl Disc {
    /// About all that a footprint sees, if that is less than a hemisphere.
    fn around(footprint: &Footprint) -> Option<Disc> {
        let rings = footprint.rings();
        let mut sum = [0.0; 3];
        footprint.pixels().for_each(|p| (0..3).for_each(|d| sum[d] += rings.direction(p)[d]));
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length < 1e-6 * footprint.count() as f64 || footprint.count() == 0 {
            return None;
        }
        let centre = sum.map(|x| x / length);
        let cos = |p: usize| (0..3).map(|d| centre[d] * rings.direction(p)[d]).sum::<f64>();
        let least = footprint.pixels().map(cos).fold(1.0, f64::min);
        let radius = least.max(-1.0).acos() + rings.reach();
        if radius > FRAC_PI_2 {
            return None;
        }
        let across = centre[0].hypot(centre[1]);
        // At a pole, as if it lay on longitude 0.
        let [k, s] = if across > 1e-9 { [centre[0] / across, centre[1] / across] } else { [1.0, 0.0] };
        let (east, north) = ([-s, k, 0.0], [-k * centre[2], -s * centre[2], across]);
        Some(Disc { centre, east, north, sine: (0.5 * radius).sin() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The direction of the greatest number, by where it is drawn: x to the right, y up, −1 to 1.
    fn peak(m: &MapPanel) -> [f64; 2] {
        let finite = || (0..m.data.len()).filter(|&i| m.data[i].is_finite());
        let most = finite().map(|i| m.data[i]).fold(f32::MIN, f32::max);
        let at: Vec<usize> = finite().filter(|&i| m.data[i] == most).collect();
        let mean = |of: &dyn Fn(usize) -> usize, n: usize| {
            at.iter().map(|&i| (2 * of(i) + 1) as f64 / n as f64 - 1.0).sum::<f64>() / at.len() as f64
        };
        [mean(&|i| i % m.width, m.width), -mean(&|i| i / m.width, m.height)]
    }

    /// A map of nothing but a pixel in this direction.
    fn spike(rings: Rings, axis: &Axis, direction: [f64; 3]) -> Vec<f32> {
        let nested = matches!(axis.kind, AxisKind::Healpix { order: HealpixOrder::Nested, .. });
        let of = |p: usize| if nested { rings.of_nested(p) } else { p };
        let runs = if axis.pixels.is_empty() { vec![[0, rings.pixels() as u64]] } else { axis.pixels.clone() };
        let pixels = runs.iter().flat_map(|r| r[0] as usize..r[1] as usize);
        pixels.map(|p| if of(p) == rings.pixel_of(direction) { 9.0 } else { 1.0 }).collect()
    }

    #[test]
    fn extrema_fall_where_they_lie_on_the_sky() {
        let rings = Rings::new(64).unwrap();
        let at = |longitude: f64, latitude: f64| {
            let [l, b] = [longitude, latitude].map(f64::to_radians);
            [b.cos() * l.cos(), b.cos() * l.sin(), b.sin()]
        };
        let order = HealpixOrder::Nested;
        let whole =
            [Axis::sphere(64, &[[0, rings.pixels()]]), Axis::new(AxisKind::Healpix { nside: 64, order }, "p", "")];
        let cases = [
            ([0.1, 0.1], [-0.1 / 180.0, 0.0]),
            ([90.0, 0.1], [-0.5, 0.0]),
            ([-135.0, 0.1], [0.75, 0.0]),
            ([0.1, 88.5], [0.0, 1.0]),
            ([0.1, -88.5], [0.0, -1.0]),
        ];
        for axis in &whole {
            for ([longitude, latitude], expected) in cases {
                let data = spike(rings, axis, at(longitude, latitude));
                let m = panel("sky".into(), axis, &data).unwrap();
                assert_eq!((m.width, m.height, m.data.len()), (2 * HEIGHT, HEIGHT, 2 * HEIGHT * HEIGHT));
                let found = peak(&m);
                let off = (found[0] - expected[0]).abs().max((found[1] - expected[1]).abs());
                assert!(off < 0.035, "{longitude} {latitude}: {found:?}, not {expected:?}");
            }
        }
    }

    /// A projection keeps areas: the mean of a map is that of its picture.
    #[test]
    fn areas_are_kept() {
        let rings = Rings::new(32).unwrap();
        let mean = |v: &[f32]| {
            let some: Vec<f64> = v.iter().filter(|v| v.is_finite()).map(|&v| v as f64).collect();
            some.iter().sum::<f64>() / some.len() as f64
        };
        for footprint in [Footprint::whole(rings), Footprint::octant(rings)] {
            let of = |p: usize| {
                let [x, _, z] = rings.direction(p);
                (z * z + 0.5 * z + 0.7 * x) as f32
            };
            let data: Vec<f32> = footprint.pixels().map(of).collect();
            let m = panel(String::new(), &Axis::sphere(32, footprint.runs()), &data).unwrap();
            assert!((mean(&m.data) - mean(&data)).abs() < 2e-3, "{} {}", mean(&m.data), mean(&data));
            assert_eq!(m.width, if footprint.is_whole() { 2 * HEIGHT } else { HEIGHT });
        }
    }

    #[test]
    fn an_octant_is_seen_about_its_middle() {
        let rings = Rings::new(64).unwrap();
        let axis = Axis::sphere(64, Footprint::octant(rings).runs());
        let middle = spike(rings, &axis, [1.0; 3]);
        let m = panel(String::new(), &axis, &middle).unwrap();
        assert!(peak(&m).iter().all(|x| x.abs() < 0.03), "{:?}", peak(&m));
        // Towards the pole is up, towards the east is left.
        let [x, y] = peak(&panel(String::new(), &axis, &spike(rings, &axis, [0.05, 0.05, 1.0])).unwrap());
        assert!(x.abs() < 0.05 && y > 0.85, "{x} {y}");
        let [x, y] = peak(&panel(String::new(), &axis, &spike(rings, &axis, [0.05, 1.0, 0.05])).unwrap());
        assert!(x < -0.7 && y < -0.35, "{x} {y}");
        assert!(panel(String::new(), &axis, &middle[1..]).is_none(), "as many numbers as pixels");
    }
}
