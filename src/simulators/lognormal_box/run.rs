//! Makes boxes.

use super::LognormalBoxConfig;
use crate::cosmology::{Cosmology, CosmologyConfig, Growth, MatterPower, Transfer, may_vary};
use crate::fields::cross::measure_cross;
use crate::fields::kernels::{Gradient, Wavenumbers};
use crate::fields::lognormal_box::{LognormalBox, MeshPower};
use crate::fields::noise::white_noise;
use crate::fields::spectrum::measure;
use crate::mesh::{Block, Decomposition, Fft, Halo, Modes, Real, Transform};
use crate::observables::{CIC, DensityMeter, MultipoleMeter, PoissonConfig, PoissonGalaxies, RedshiftSpace};
use crate::particles::{Domain, Points};
use crate::simulators::prelude::*;
use std::cell::RefCell;
use std::time::Instant;

/// Draws boxes and looks at them.
pub(super) struct BoxRunner<T> {
    config: LognormalBoxConfig,
    cosmology: CosmologyConfig,
    mask: Option<Vec<f64>>,
    /// Spectra of the last universe at this rank's modes, for others of the same parameters.
    last: RefCell<Option<(Universe, Block, Solved<T>)>>,
}

/// What the spectra depend on.
#[derive(Debug, Clone, PartialEq)]
struct Universe {
    cosmology: Cosmology,
    bias: f64,
    /// Of the table of its linear spectrum, where there are such.
    index: Option<u64>,
}

/// Spectra of the Gaussian fields of matter and of galaxies.
struct Solved<T> {
    matter: LognormalBox<T>,
    galaxies: Option<LognormalBox<T>>,
}

impl<T: Real> BoxRunner<T> {
    pub fn new(config: &LognormalBoxConfig, cosmology: &CosmologyConfig) -> Result<Self> {
        let (config, mask) = (config.clone(), config.mask()?);
        Ok(BoxRunner { config, cosmology: cosmology.clone(), mask, last: RefCell::new(None) })
    }

    fn universe(&self, job: &Job) -> Result<Universe> {
        let varied: Vec<(&str, f64)> = job.theta.iter().filter(|(name, _)| may_vary(name)).collect();
        let fixed = self.config.poisson.as_ref().map_or(1.0, |galaxies| galaxies.bias);
        Ok(Universe {
            cosmology: self.cosmology.resolve(&varied)?,
            bias: job.theta.get(PoissonConfig::BIAS).unwrap_or(fixed),
            index: (self.cosmology.transfer == Transfer::Table).then_some(job.index),
        })
    }

    /// The Gaussian fields' spectra. Collective.
    fn solve(&self, fft: &mut Fft<T>, growth: &Growth, universe: &Universe) -> Result<Solved<T>> {
        let (config, comm) = (&self.config, fft.decomposition().comm.clone());
        let wanted = || {
            let linear = self.cosmology.linear_power(growth.cosmology(), universe.index.unwrap_or(0))?;
            let power = MatterPower::new(growth, &linear, config.nonlinear, config.redshift)?.at(config.a());
            Ok(MeshPower::new(config.points, config.box_size, |k| power.p(k)))
        };
        let wanted = comm.agree(wanted())?;
        let xi = wanted.correlation(fft);
        let matter = LognormalBox::new(fft, &wanted, &xi, 1.0);
        let matter = matter.map_err(|e| e.key("simulator.points").value(config.points))?;
        let galaxies = config.poisson.as_ref().map(|_| LognormalBox::new(fft, &wanted, &xi, universe.bias.powi(2)));
        let galaxies = galaxies.transpose().map_err(|e| e.key(PoissonConfig::BIAS).value(universe.bias))?;
        Ok(Solved { matter, galaxies })
    }

    /// Spectra of galaxies and of galaxies with matter, of whose *unnormalised* modes. Collective.
    fn galaxy_power(&self, d: &Decomposition, position: Vec<[T; 3]>, matter: &Modes<T>) -> Vec<f64> {
        let (Some(c), l) = (&self.config.power, self.config.box_size) else { return vec![] };
        let (position, _) = Domain::new(d, l).send_home(&d.comm, position, None);
        let (points, mut meter) = (Points::equal(&position), DensityMeter::<T>::new(d, l));
        let mut modes = meter.modes(points, c.interlaced);
        // Matter has no window; then neither have galaxies.
        let wave = Wavenumbers::new(modes.shape(), l, Gradient::Spectral);
        wave.apply(&wave.filter(None, CIC, l), &mut modes);
        let noise = if c.subtract_shot_noise { meter.shot_noise(points) } else { 0.0 };
        let measured = measure_cross(&mut modes, matter, l, 0, [noise, 0.0], &d.comm);
        let bins = self.config.bins(c.k_max_over_nyquist);
        [&measured.auto[0][..bins], &measured.cross[..bins]].concat()
    }

    /// What is seen of moving galaxies, with the *unnormalised* modes of matter where spectra are. Collective.
    fn look(
        &self,
        d: &Decomposition,
        c: &PoissonConfig,
        points: &PoissonGalaxies<T>,
        space: RedshiftSpace,
        matter: Option<&Modes<T>>,
        out: &mut Fields,
    ) {
        let l = self.config.box_size;
        let seen = || match c.redshift_axis {
            Some(axis) => space.displaced(&points.position, &points.velocity, axis, l),
            None => points.position.clone(),
        };
        if c.catalogue {
            let row = |(i, (x, v)): (usize, (&[T; 3], &[T; 3]))| {
                (i, std::array::from_fn(|c| if c < 3 { x[c].f64() } else { v[c - 3].f64() }))
            };
            let rows = seen().iter().zip(&points.velocity).enumerate().map(row).collect();
            let rows = points.in_order::<{ PoissonConfig::NUMBERS }>(d, rows);
            out.put("galaxies", rows.len(), Data::F64(rows.into_flattened()));
        }
        if let Some(matter) = matter {
            let power = self.galaxy_power(d, seen(), matter);
            out.on_root("galaxy_power", power);
        }
        if let Some(c) = &self.config.multipoles {
            let mut meter = MultipoleMeter::<T>::new(d, l);
            let measured = meter.measure(c, Points::equal(&points.position), &points.velocity, space);
            let bins = self.config.bins(c.k_max_over_nyquist);
            let poles: Vec<f64> = measured.power.iter().flat_map(|p| &p[..bins]).copied().collect();
            out.on_root("galaxy_multipoles", poles);
        }
    }
}

impl<T: Real> Runner for BoxRunner<T> {
    fn specs(&self) -> Vec<FieldSpec> {
        self.config.specs()
    }

    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let (config, l, a) = (&self.config, self.config.box_size, self.config.a());
        let (mut timers, mut start) = (Timers::default(), Instant::now());
        let mut lap =
            |name: &str| timers.add(name, std::mem::replace(&mut start, Instant::now()).elapsed().as_secs_f64());
        let universe = comm.agree(self.universe(job))?;
        let cone = comm.agree(config.sky_cone(&universe.cosmology, self.mask.as_deref()))?;
        let growth = Growth::new(&universe.cosmology);
        let d = Decomposition::new(comm, [config.points; 3], None)?;
        let mut fft = Fft::<T>::new(&d, Halo::default(), Transform::Exact);
        let last = self.last.take().filter(|(of, modes, _)| *of == universe && *modes == d.fourier());
        let Solved { matter, galaxies } = match (comm.any(last.is_none()), last) {
            (false, Some((.., solved))) => solved,
            _ => self.solve(&mut fft, &growth, &universe)?,
        };
        lap("spectra");
        let (mut mesh, mut noise, mut modes) =
            (white_noise::<T>(&d, job.seed, job.realisation), fft.modes(), fft.modes());
        lap("noise");
        fft.forward(&mut mesh, &mut noise);
        lap("transforms");
        let mut points = None;
        if let (Some(field), Some(c)) = (&galaxies, &config.poisson) {
            field.draw(&mut fft, &noise, &mut modes, &mut mesh);
            lap("transforms");
            points = Some(PoissonGalaxies::draw(&mesh, &d, l, c.number_density, job.seed, job.realisation)?);
            lap("galaxies");
        }
        matter.draw(&mut fft, &noise, &mut modes, &mut mesh);
        lap("transforms");
        let mut out = Fields { comm, specs: self.specs(), all: vec![] };
        if config.density {
            let (rows, values) = mesh.planes(&d);
            let data = Data::F32(values.into_iter().map(|x| x.f64() as f32).collect());
            out.put("density", rows, data);
            lap("observe");
        }
        let mut delta = noise;
        if config.power.is_some() || points.is_some() {
            fft.forward(&mut mesh, &mut delta);
            lap("transforms");
        }
        if let Some(c) = &config.power {
            let power = measure(&mut delta, l, 0, 0.0, comm).power[..config.bins(c.k_max_over_nyquist)].to_vec();
            out.on_root("power", power);
            lap("observe");
        }
        if let (Some(points), Some(c)) = (&mut points, &config.poisson) {
            let matter = config.power.is_some().then(|| {
                let mut copy = fft.modes();
                copy.data_mut().copy_from_slice(delta.data());
                copy
            });
            points.set_in_motion(&mut fft, &mut delta, &mut modes, &mut mesh, (&growth, a, l));
            lap("velocities");
            let space = RedshiftSpace::of_velocities(&universe.cosmology, a);
            self.look(&d, c, points, space, matter.as_ref(), &mut out);
            if let Some(cone) = &cone {
                let rows = cone.look(&d, points, l, job.seed, job.realisation);
                out.put("cone", rows.len(), Data::F64(rows.into_flattened()));
            }
            lap("observe");
        }
        let achieved = std::iter::once(&matter).chain(&galaxies).map(|field| field.achieved);
        let achieved: Vec<f64> = achieved.flat_map(|a| [a.deviation, a.projected]).collect();
        out.on_root("achieved", achieved);
        self.last.replace(Some((universe, d.fourier(), Solved { matter, galaxies })));
        Ok(Output { fields: out.all, timings: timers.entries().to_vec() })
    }
}

/// What has been seen of a box.
struct Fields<'a> {
    comm: &'a Comm,
    specs: Vec<FieldSpec>,
    all: Vec<Field>,
}

impl Fields<'_> {
    /// This rank's rows of a field.
    fn put(&mut self, name: &str, rows: usize, data: Data) {
        let spec = self.specs.iter().find(|spec| spec.name == name);
        self.all.extend(spec.map(|spec| Field { spec: spec.clone(), rows, data }));
    }

    /// A field that every rank has, for the root to keep.
    fn on_root(&mut self, name: &str, values: Vec<f64>) {
        let spec = self.specs.iter().find(|spec| spec.name == name);
        self.all.extend(spec.map(|spec| Field::on_root(self.comm, spec.clone(), Data::F64(values))));
    }
}
