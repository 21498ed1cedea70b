//! What it costs to look at a universe, before one is made: a small one is looked at, and its seconds are scaled.

use super::Pm;
use super::config::{DensityConfig, PmConfig, Precision};
use super::plans::FftPlans;
use super::products::{Moment, products};
use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::CosmologyConfig;
use crate::error::Result;
use crate::fields::flat_sky::AngularConfig;
use crate::gravity::{ForceConfig, StepConfig};
use crate::io::hdf::Element;
use crate::mesh::{Decomposition, Real};
use crate::observables::lensing::{LightConeConfig, Region};
use crate::observables::{BispectrumConfig, Configuration, MapConfig, PdfConfig};
use crate::prior::{Prior, Theta};
use crate::simulators::{InitialConfig, Job, Simulator};
use std::cell::OnceCell;
use std::time::Instant;

/// Particles per side of the small universe, and the most pixels and points per side of its pictures.
const SIDE: usize = 48;
const PIXELS: usize = 128;

/// Seconds that each product of a universe takes on one core, all moments and light cones together, by name; network
/// and files are not in them. Every rank measures for itself, all at once: the mean over ranks. Collective.
pub fn rehearse(
    config: &PmConfig,
    cosmology: &CosmologyConfig,
    prior: &Prior,
    theta: Theta,
    comm: &Comm,
) -> Result<Vec<(String, f64)>> {
    let alone = comm.alone();
    let measured = comm.agree(match config.precision {
        Precision::F32 => all::<f32>(config, cosmology, prior, theta, &alone),
        Precision::F64 => all::<f64>(config, cosmology, prior, theta, &alone),
    })?;
    let mut seconds: Vec<f64> = measured.iter().map(|m| m.1).collect();
    comm.sum(&mut seconds);
    Ok(measured.into_iter().zip(seconds).map(|((name, _), sum)| (name, sum / comm.size() as f64)).collect())
}

fn all<T: Real + Element>(
    config: &PmConfig,
    cosmology: &CosmologyConfig,
    prior: &Prior,
    theta: Theta,
    alone: &Comm,
) -> Result<Vec<(String, f64)>> {
    let mut seconds = moments::<T>(config, &Pm::new(&small(config), cosmology, prior)?, theta, alone)?;
    if let Some(cone) = &config.lightcone {
        let pm = Pm::<T>::new(&small_sky(config, cone), cosmology, prior)?;
        let mut timers = Timers::default();
        pm.evolve(alone, &job(theta), &mut timers)?;
        let of = |name: &str| timers.entries().iter().filter(|t| t.0 == name).map(|t| t.1).sum::<f64>();
        let (cones, n) = (cone.light_cones as f64, pm.config.particles as f64);
        let pixels = |c: &PmConfig| c.lightcone.as_ref().map_or(0.0, |c| c.map_pixels() as f64);
        seconds.push(("light cone".into(), cones * of("light cone") * (config.particles as f64 / n).powi(3)));
        seconds.push(("lensing".into(), cones * of("lensing") * pixels(config) / pixels(&pm.config)));
    }
    Ok(seconds)
}

/// The products of every moment.
fn moments<T: Real + Element>(config: &PmConfig, pm: &Pm<T>, theta: Theta, alone: &Comm) -> Result<Vec<(String, f64)>> {
    let looks = products::<T>(&pm.config);
    if looks.is_empty() {
        return Ok(vec![]);
    }
    let state = pm.evolve(alone, &job(theta), &mut Timers::default())?;
    let moment = Moment {
        comm: alone,
        config: &pm.config,
        mesh: &Decomposition::new(alone, [pm.config.mesh(); 3], None)?,
        particles: &state.particles,
        a: state.a,
        cosmology: state.cosmology.as_ref(),
        index: 0,
        seeds: [0, 0],
        hod: pm.config.galaxies.clone().unwrap_or_default().with(&theta.iter().collect::<Vec<_>>()),
        snapshot: None,
        wanted: None,
        halos: OnceCell::new(),
        galaxies: OnceCell::new(),
    };
    let mut seconds = vec![];
    for look in looks {
        let name = look.specs(&pm.config).first().map_or(String::new(), |spec| spec.name.clone());
        let start = Instant::now();
        look.measure(&moment)?;
        let once = start.elapsed().as_secs_f64();
        let larger = work(&name, config)? / work(&name, &pm.config)?;
        seconds.push((name, config.moments().len() as f64 * once * larger));
    }
    Ok(seconds)
}

fn job(theta: Theta) -> Job {
    Job { index: 0, realisation: 0, seed: 0, theta, folder: None }
}

/// How a product's work grows, in units of its own: meshes grow with the particles.
fn work(name: &str, config: &PmConfig) -> Result<f64> {
    let (n, m) = ((config.particles as f64).powi(3), config.mesh() as f64);
    let transform = m.powi(3) * m.log2();
    Ok(match name {
        "power" | "multipoles" | "galaxy_power" | "pdf" => transform,
        "bispectrum" => {
            let list = config.bispectrum.as_ref().map(|c| c.list(config.mesh(), config.box_size)).transpose()?;
            transform * list.map_or(0.0, |(_, triangles)| transforms(&triangles))
        }
        "maps" => n + config.maps.as_ref().map_or(0.0, |c| 3.0 * c.slabs as f64 * (c.pixels as f64).powi(2)),
        "density" => n + config.density.as_ref().map_or(0.0, |c| (c.points as f64).powi(3)),
        _ => n,
    })
}

/// Transforms that a list of triangles takes, its products counted as half of one: a shell's field is kept as long as
/// the next triangle has it, and all of it is done twice, to count and to measure.
fn transforms(triangles: &[[usize; 3]]) -> f64 {
    let (mut held, mut made): (Vec<usize>, usize) = (vec![], 0);
    for triangle in triangles {
        held.retain(|shell| triangle.contains(shell));
        for shell in triangle {
            if !held.contains(shell) {
                held.push(*shell);
                made += 1;
            }
        }
    }
    made as f64 + 0.5 * triangles.len() as f64
}

/// As many steps as it takes to cluster.
fn few(time: &StepConfig) -> StepConfig {
    StepConfig { steps: time.steps.min(10), ..time.clone() }
}

/// A part of the universe as finely resolved, with all products but those of light cones.
fn small(full: &PmConfig) -> PmConfig {
    let n = full.particles.min(SIDE);
    let box_size = (full.box_size * n as f64 / full.particles as f64).max(0.1);
    let spacing = box_size / (full.mesh_factor * n as f64).round();
    PmConfig {
        particles: n,
        box_size,
        redshifts: vec![1.0 / full.last() - 1.0],
        process_grid: None,
        fft_plans: FftPlans::default(),
        initial: InitialConfig { lpt_order: full.initial.lpt_order, ..InitialConfig::default() },
        force: ForceConfig::default(),
        time: few(&full.time),
        maps: full.maps.as_ref().map(|c| MapConfig { pixels: c.pixels.min(PIXELS), slabs: c.slabs.min(8) }),
        density: full.density.as_ref().map(|c| DensityConfig { points: c.points.min(SIDE), ..c.clone() }),
        pdf: full.pdf.as_ref().map(|c| PdfConfig { radius: c.radius.clamp(spacing, 0.5 * box_size), ..c.clone() }),
        bispectrum: full.bispectrum.as_ref().map(|c| BispectrumConfig {
            configurations: vec![Configuration::Equilateral],
            interlaced: c.interlaced,
            ..BispectrumConfig::default()
        }),
        lightcone: None,
        c_ell: None,
        peaks: None,
        snapshots: false,
        ..full.clone()
    }
}

/// Fewer particles in the same box, and one light cone of the same length through it with fewer pixels.
fn small_sky(full: &PmConfig, cone: &LightConeConfig) -> PmConfig {
    let n = full.particles.min(SIDE);
    let lightcone = LightConeConfig {
        light_cones: 1,
        pixels: cone.pixels.min(PIXELS),
        nside: cone.nside.map(|nside| nside.min(PIXELS)),
        // A footprint's file has its own nside.
        footprint: match cone.footprint {
            Region::Octant => Region::Octant,
            _ => Region::Full,
        },
        replicate_across: true,
        mask: None,
        keep_planes: false,
        ..cone.clone()
    };
    PmConfig {
        particles: n,
        box_size: full.box_size,
        mesh_factor: 1.0,
        lightcone: Some(lightcone),
        c_ell: full.c_ell.as_ref().map(|c| AngularConfig {
            bins: 1,
            pixel_window: c.pixel_window,
            ..Default::default()
        }),
        peaks: full.peaks.clone(),
        maps: None,
        density: None,
        pdf: None,
        power: None,
        multipoles: None,
        bispectrum: None,
        halos: None,
        mass_function: None,
        galaxies: None,
        keep_particles: false,
        ..small(full)
    }
}
