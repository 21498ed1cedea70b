//! What draws maps and looks at them.

use super::maps::{Drawn, FlatMaps};
use super::spectrum::Input;
use crate::comm::{Comm, timers::Timers};
use crate::cosmology::may_vary;
use crate::error::Result;
use crate::fields::flat_sky::FlatSky;
use crate::fields::lognormal::{Achieved, Lognormal};
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::mesh::Plane;
use crate::rng::stream;
use crate::simulators::{Job, Output, Runner, Universes};
use rand_distr::{Distribution, StandardNormal};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Draws maps and looks at them.
pub struct FlatRunner {
    maps: FlatMaps,
    mask: Option<Vec<f64>>,
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
        let count = self.maps.maps();
        let mut specs = vec![FieldSpec { axes, description, ..FieldSpec::of("maps", &[count, n, n], &[]) }];
        if self.maps.sky.shear {
            let [bins, row, column] = sky.axes();
            let component = Axis::named(AxisKind::Channel, "component", ["gamma1", "gamma2"]);
            let axes = vec![bins, Axis { spins: vec![2, 2], ..component }, row, column];
            let description = "shear γ1, γ2, noise and mask included".into();
            specs.push(FieldSpec { axes, description, ..FieldSpec::of("shear", &[count, 2, n, n], &[]) });
        }
        specs.extend(sky.specs());
        if self.maps.shifts.is_some() {
            let description =
                "largest relative deviation of the spectra that the maps were drawn with from those wanted, \
                               and the part of the modes where no Gaussian maps have what was wanted"
                    .into();
            let axes = vec![Axis::named(AxisKind::Column, "value", ["deviation", "projected"])];
            specs.push(FieldSpec { axes, description, dtype: Dtype::F64, ..FieldSpec::of("achieved", &[2], &[]) });
        }
        specs
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let mut timings = Timers::default();
        let none = || self.specs().iter().map(|spec| Data::fill(spec.dtype, 0)).collect();
        let data = comm.agree(if comm.is_root() { self.on_root(job, &mut timings) } else { Ok(none()) })?;
        Ok(Output { timings: timings.entries().to_vec(), ..Output::on_root(comm, self.specs(), data) })
    }
}

impl FlatRunner {
    pub fn new(maps: FlatMaps, of: &Universes) -> Result<FlatRunner> {
        let (own, theory) = (maps.spectrum.parameters(), matches!(maps.input, Input::Theory(_)));
        let shapes = |name: &&str| own.iter().any(|own| own == name) || theory && may_vary(name);
        let names = of.prior.names().into_iter().filter(shapes).map(String::from).collect();
        let shaping = (names, maps.of_each_universe()?);
        Ok(FlatRunner { mask: maps.sky.mask()?, shaping, last: RefCell::default(), maps })
    }

    /// What draws a universe's maps.
    fn drawn(&self, job: &Job, plane: &mut Plane<f64>) -> Result<Rc<Drawn>> {
        let (names, each) = &self.shaping;
        let index = each.then_some(job.index as f64);
        let key: Vec<f64> = names.iter().filter_map(|name| job.theta.get(name)).chain(index).collect();
        if let Some((_, drawn)) = self.last.borrow().as_ref().filter(|last| last.0 == key) {
            return Ok(drawn.clone());
        }
        // Without the last one's memory.
        self.last.take();
        let drawn = Rc::new(self.maps.drawn(job.theta, job.index, plane)?);
        self.last.replace(Some((key, drawn.clone())));
        Ok(drawn)
    }

    fn on_root(&self, job: &Job, timings: &mut Timers) -> Result<Vec<Data>> {
        let (n, count) = (self.maps.sky.pixels, self.maps.maps());
        let mut plane = Plane::new([n, n]);
        let mut start = Instant::now();
        let mut lap = |name: &str| {
            timings.add(name, start.elapsed().as_secs_f64());
            start = Instant::now();
        };
        let drawn = &*self.drawn(job, &mut plane)?;
        lap("spectra");
        let normal = |purpose: &str, map: usize| {
            StandardNormal.sample_iter(stream(job.seed, job.realisation, purpose, map as u64)).take(n * n)
        };
        let white = |map: usize| normal("white noise", map).collect();
        let mut maps = match drawn {
            Drawn::Gaussian(roots) => roots.draw(&mut plane, white),
            Drawn::Lognormal(lognormal) => lognormal.draw(&mut plane, white),
        };
        lap("draw");
        let mut shear = vec![];
        if self.maps.sky.shear {
            let mut sky = FlatSky::new(n, self.maps.sky.field_of_view_deg)?;
            for map in maps.chunks_exact(n * n) {
                shear.extend(sky.shear(map)?.concat());
            }
        }
        let noise = self.maps.sky.noise(count);
        let survey = |map: &mut [f64], purpose: &str, number: usize, sigma: f64| {
            if sigma > 0.0 {
                map.iter_mut().zip(normal(purpose, number)).for_each(|(x, z): (_, f64)| *x += sigma * z);
            }
            if let Some(mask) = &self.mask {
                let masked = map.iter_mut().zip(mask).filter(|(_, w)| **w == 0.0);
                masked.for_each(|(x, _)| *x = self.maps.sky.mask_fill);
            }
        };
        let numbered = |maps: &mut [f64], purpose: &str, each: usize| {
            maps.chunks_exact_mut(n * n).enumerate().for_each(|(i, map)| survey(map, purpose, i, noise[i / each]))
        };
        numbered(&mut maps, "pixel noise", 1);
        numbered(&mut shear, "shear noise", 2);
        let mut all = vec![maps.iter().map(|x| *x as f32).collect()];
        if self.maps.sky.shear {
            all.push(shear.iter().map(|x| *x as f32).collect());
        }
        let mut all: Vec<Data> = all.into_iter().map(Data::F32).collect();
        all.extend(self.maps.seen().measure(&maps, self.mask.as_deref())?);
        if let Drawn::Lognormal(Lognormal { achieved: Achieved { deviation, projected }, .. }) = drawn {
            all.push(Data::F64(vec![*deviation, *projected]));
        }
        lap("observe");
        Ok(all)
    }
}
