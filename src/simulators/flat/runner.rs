//! What draws maps and looks at them.

use super::maps::{Drawn, FlatMaps};
use super::shift::Shift;
use super::spectrum::Input;
use crate::comm::{Comm, share, timers::Timers};
use crate::cosmology::may_vary;
use crate::error::{Error, Result};
use crate::fields::flat_sky::FlatSky;
use crate::fields::lognormal::{Achieved, Lognormal};
use crate::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use crate::mesh::Plane;
use crate::rng::stream;
use crate::simulators::{Job, Output, Runner, Universes};
use rand_distr::{Distribution, Poisson, StandardNormal};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Draws maps and looks at them.
pub struct FlatRunner {
    maps: FlatMaps,
    mask: Option<Vec<f64>>,
    /// Of the galaxies that are counted.
    depth: Option<Vec<f64>>,
    /// Names of the parameters that spectra depend on, and whether each universe has a table of its own.
    shaping: (Vec<String>, bool),
    /// The last universe's of these, and what draws its maps: universes of the same share it.
    last: RefCell<Option<(Vec<f64>, Rc<Drawn>)>>,
}

impl Runner for FlatRunner {
    fn specs(&self) -> Vec<FieldSpec> {
        let (sky, n) = (self.maps.seen(), self.maps.sky.pixels);
        let axes = sky.axes().to_vec();
        let description = "maps, noise and mask included".into();
        let (count, kappas) = (self.maps.maps(), self.maps.kappas());
        let mut specs = vec![FieldSpec { axes, description, ..FieldSpec::of("maps", &[count, n, n], &[]) }];
        if self.maps.sky.shear {
            let [_, row, column] = sky.axes();
            let bins = Axis::named(AxisKind::Channel, "map", &self.maps.names()[..kappas]);
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2"]);
            let axes = vec![bins, Axis { spins: vec![2, 2], ..component }, row, column];
            let description = "shear γ1, γ2, noise and mask included".into();
            specs.push(FieldSpec { axes, description, ..FieldSpec::of("shear", &[kappas, 2, n, n], &[]) });
        }
        specs.extend(sky.specs());
        if self.maps.sky.galaxies.is_some() {
            let [_, row, column] = sky.axes();
            let bins = Axis::named(AxisKind::Channel, "map", &self.maps.names()[self.maps.kappas()..]);
            let (shape, axes) = ([bins.labels.len(), n, n], vec![bins, row, column]);
            let description = "galaxies in the pixels of the maps of counts, mask and depth included".into();
            let spec = FieldSpec::of("galaxies", &shape, &[]);
            specs.push(FieldSpec { axes, description, dtype: Dtype::I64, ..spec });
        }
        if self.maps.shift.is_some() {
            let description =
                "largest relative deviation of the spectra that the maps were drawn with from those wanted, \
                               and the part of the modes where no Gaussian maps have what was wanted"
                    .into();
            let axes = vec![Axis::named(AxisKind::Column, "value", ["deviation", "projected"])];
            specs.push(FieldSpec { axes, description, dtype: Dtype::F64, ..FieldSpec::of("achieved", &[2], &[]) });
        }
        if let Some(Shift::Named(_)) = self.maps.shift {
            let axes = vec![Axis::named(AxisKind::Column, "map", self.maps.names())];
            let description = "how far below 0 the lognormal maps may reach".into();
            specs.push(FieldSpec { axes, description, dtype: Dtype::F64, ..FieldSpec::of("shift", &[count], &[]) });
        }
        specs
    }

    /// Modes and rows of maps are dealt out over the ranks; noise is drawn, and peaks and galaxies are counted, of whole maps, each
    /// on the rank that hands it on.
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let (n, count, kappas) = (self.maps.sky.pixels, self.maps.maps(), self.maps.kappas());
        let mut plane = Plane::over(comm, [n, n]);
        let mut sky = FlatSky::over(comm, n, self.maps.sky.field_of_view_deg)?;
        let (mut timings, mut start) = (Timers::default(), Instant::now());
        let mut lap = |name: &str| {
            timings.add(name, start.elapsed().as_secs_f64());
            start = Instant::now();
        };
        let held = |rows: usize, each: usize| -> Vec<usize> {
            (0..comm.size()).map(|rank| each * share(rows, comm.size(), rank).1).collect()
        };
        let first = |rows: usize| share(rows, comm.size(), comm.rank()).0;
        let drawn = &*self.drawn(comm, job, &mut plane)?;
        lap("spectra");
        let normal = |purpose: &str, map: usize| {
            StandardNormal.sample_iter(stream(job.seed, job.realisation, purpose, map as u64)).take(n * n)
        };
        let size = plane.rows().len() * n;
        let own = first(count)..first(count) + held(count, 1)[comm.rank()];
        let noise = plane.deal(&held(count, 1), own.flat_map(|map| normal("white noise", map)).collect());
        let white = |map: usize| noise[map * size..(map + 1) * size].to_vec();
        let maps = match drawn {
            Drawn::Gaussian(roots) => roots.draw(&mut plane, white),
            Drawn::Lognormal(lognormal) => lognormal.draw(&mut plane, white),
        };
        drop(noise);
        lap("draw");
        let mut shear = vec![];
        if self.maps.sky.shear {
            for kappa in 0..kappas {
                shear.extend(sky.shear(&maps[kappa * size..(kappa + 1) * size])?.concat());
            }
        }
        let galaxies = match self.maps.sky.galaxies {
            Some(_) => {
                let whole = plane.collect(&held(count - kappas, 1), maps[kappas * size..].to_vec());
                Some(comm.agree(self.galaxies(job, &whole, first(count - kappas)))?)
            }
            None => None,
        };
        let mut maps = plane.collect(&held(count, 1), maps);
        let mut shear = plane.collect(&held(if self.maps.sky.shear { kappas } else { 0 }, 2), shear);
        let noise = self.maps.noise();
        let survey = |map: &mut [f64], purpose: &str, number: usize, sigma: f64| {
            if sigma > 0.0 {
                map.iter_mut().zip(normal(purpose, number)).for_each(|(x, z): (_, f64)| *x += sigma * z);
            }
            if let Some(mask) = &self.mask {
                let masked = map.iter_mut().zip(mask).filter(|(_, w)| **w == 0.0);
                masked.for_each(|(x, _)| *x = self.maps.sky.mask_fill);
            }
        };
        let numbered = |maps: &mut [f64], purpose: &str, first: usize, each: usize| {
            let maps = maps.chunks_exact_mut(n * n).zip(first..);
            maps.for_each(|(map, i)| survey(map, purpose, i, noise[i / each]))
        };
        numbered(&mut maps, "pixel noise", first(count), 1);
        numbered(&mut shear, "shear noise", 2 * first(kappas), 2);
        let seen = self.maps.seen();
        let peaks = comm.agree(match seen.peaks {
            Some(_) => seen.peaks(&mut FlatSky::new(n, seen.side)?, &maps, self.mask.as_deref()),
            None => Ok(None),
        })?;
        let rounded = |maps: &[f64]| Data::F32(maps.iter().map(|x| *x as f32).collect());
        let mut data = vec![rounded(&maps)];
        data.extend(self.maps.sky.shear.then(|| rounded(&shear)));
        let rows = plane.rows().start * n..plane.rows().end * n;
        if self.maps.c_ell.is_some() {
            let mask = self.mask.as_ref().map(|mask| &mask[rows]);
            data.extend(seen.spectra(&mut sky, &plane.deal(&held(count, 1), maps), mask)?);
        }
        data.extend(peaks);
        data.extend(galaxies.map(Data::I64));
        if let Drawn::Lognormal(Lognormal { achieved: Achieved { deviation, projected }, shifts, .. }) = drawn {
            data.push(Data::F64(vec![*deviation, *projected]));
            data.extend(matches!(self.maps.shift, Some(Shift::Named(_))).then(|| Data::F64(shifts.clone())));
        }
        lap("observe");
        let fields = self.specs().into_iter().zip(data).map(|(spec, data)| match spec.name.as_str() {
            "maps" | "shear" | "peaks" | "galaxies" => Field { rows: held(spec.shape[0], 1)[comm.rank()], spec, data },
            // Alike on all ranks.
            _ => Field::on_root(comm, spec, data),
        });
        Ok(Output { fields: fields.collect(), timings: timings.entries().to_vec() })
    }
}

impl FlatRunner {
    pub fn new(maps: FlatMaps, of: &Universes) -> Result<FlatRunner> {
        let (own, theory) = (maps.spectrum.parameters(), matches!(maps.input, Input::Theory(_)));
        let shapes = |name: &&str| own.iter().any(|own| own == name) || theory && may_vary(name);
        let names = of.prior.names().into_iter().filter(shapes).map(String::from).collect();
        let shaping = (names, maps.of_each_universe()?);
        Ok(FlatRunner { mask: maps.sky.mask()?, depth: maps.sky.depth()?, shaping, last: RefCell::default(), maps })
    }

    /// What draws a universe's maps. Collective.
    fn drawn(&self, comm: &Comm, job: &Job, plane: &mut Plane<f64>) -> Result<Rc<Drawn>> {
        let (names, each) = &self.shaping;
        let numbers = [Some(comm.size() as f64), each.then_some(job.index as f64)].into_iter().flatten();
        let key: Vec<f64> = numbers.chain(names.iter().filter_map(|name| job.theta.get(name))).collect();
        if let Some((_, drawn)) = self.last.borrow().as_ref().filter(|last| last.0 == key) {
            return Ok(drawn.clone());
        }
        // Without the last one's memory.
        self.last.take();
        let drawn = Rc::new(self.maps.drawn(job.theta, job.index, plane)?);
        self.last.replace(Some((key, drawn.clone())));
        Ok(drawn)
    }

    /// Galaxies in the pixels of maps δ of counts, the first of which has this number.
    fn galaxies(&self, job: &Job, maps: &[f64], first: usize) -> Result<Vec<i64>> {
        let cells = self.maps.sky.pixels.pow(2);
        let seen = |i: usize| [&self.mask, &self.depth].into_iter().flatten().map(|map| map[i]).product::<f64>();
        let mut all = vec![];
        let means = self.maps.sky.mean_galaxies(self.maps.maps() - self.maps.kappas());
        for (map, number) in maps.chunks_exact(cells).zip(first..) {
            let mut random = stream(job.seed, job.realisation, "galaxies", number as u64);
            for (i, delta) in map.iter().enumerate() {
                let expected = means[number] * seen(i) * (1.0 + delta);
                let drawn = |e| Error::input(format!("no number of galaxies is drawn about {expected}: {e}"));
                all.push(match expected > 0.0 {
                    true => Poisson::new(expected).map_err(drawn)?.sample(&mut random) as i64,
                    false => 0,
                });
            }
        }
        Ok(all)
    }
}
