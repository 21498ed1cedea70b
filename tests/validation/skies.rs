//! Convergence of PM light cones, over a flat field and over the sphere, against lognormal skies of the same P(k, a).

use super::convergence::{Measured, Spectra, UNIVERSES, Watch, ln_spline};
use super::*;
use polycosm::error::Result;
use polycosm::fields::bins::{Bins, Spacing};
use polycosm::fields::flat_sky::{FlatSky, Map};
use polycosm::observables::lensing::*;
use polycosm::sphere::{Alm, LognormalShells, Sht};
use std::f64::consts::{PI, TAU};

/// Side of the box in Mpc/h, particles along it.
const BOX: f64 = 512.0;
const PARTICLES: usize = 96;
/// Side of the flat field in degrees, its pixels, and the light cones over it through each universe.
const FIELD: f64 = 16.0;
const PIXELS: usize = 128;
const VIEWS: u32 = 6;
/// Of the sphere, of the PM and of the lognormal skies.
const NSIDE: usize = 512;
const LOGNORMAL: usize = 256;
/// Slices next to the observer that all of them leave out: they show a few objects each.
const NEAR: usize = 1;
const N_OF_Z: &str = "n_of_z = [{ gaussian = { mean = 0.5, sigma = 0.05 } }]\nreplicate_across = true";

/// Both light cones through one universe.
struct Both<F> {
    flat: Vec<LightCone<F>>,
    sphere: SkyLightCone<F>,
}

impl<F: Fn(f64, f64, f64) -> Factor> Observer<f32> for Both<F> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<f32>, timers: &mut Timers) -> Result<()> {
        self.flat.iter_mut().try_for_each(|cone| cone.after(index, row, particles, timers))?;
        self.sphere.after(index, row, particles, timers)
    }
}

/// Mean and Σ of squares over universes become a mean and its error.
fn mean_and_error(all: &[Vec<f64>], bin: usize) -> [f64; 2] {
    let n = all.len() as f64;
    let mean = all.iter().map(|c| c[bin]).sum::<f64>() / n;
    let square = all.iter().map(|c| (c[bin] - mean).powi(2)).sum::<f64>();
    [mean, (square / (n * (n - 1.0))).sqrt()]
}

/// Mean over eight universes of 512 Mpc/h, one full sky and six fields of 16 degrees through each, and over eight
/// lognormal skies whose shells have Limber's spectra of the universes' own mean P(k, a): within 10% from three times
/// the field's fundamental to where scales of k < 0.5 h/Mpc carry 90% of C_ℓ. Shot noise is taken off.
#[test]
#[ignore = "minutes: run by make validate"]
fn skies_against_lognormal_skies() {
    mpi::on_ranks("skies::skies_against_lognormal_skies", &[2], |comm| {
        let mut pm = Pm::new(comm, PARTICLES, BOX, 2, StepConfig { steps: 20, ..StepConfig::default() });
        let config = |text: &str| toml::from_str::<LightConeConfig>(&format!("{text}\n{N_OF_Z}")).unwrap();
        let flat = config(&format!("field_of_view_deg = {FIELD:?}\npixels = {PIXELS}"));
        let sphere = config(&format!("nside = {NSIDE}"));
        let (cosmology, growth) = (pm.cosmology, Growth::new(&pm.cosmology));
        let sources = Sources::new(&flat, &cosmology).unwrap();
        let far = sources.farthest();
        let cone = Cone::new(&flat, BOX, &cosmology, far).unwrap();
        let sky_cone = SkyCone::new(&sphere, sphere.footprint(None).unwrap(), BOX, &cosmology, far).unwrap();
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: pm.time.integrator };
        let drift = |from, at, to| factors.drift(from, at, to);
        let total = pm.total();
        let mut spectra = Spectra::new(&pm, cone.slices[cone.slices.len() - 1].a - 0.05);

        let lowest = 3.0 * TAU / cone.field;
        let bins = Bins::new("test", Spacing::Log, lowest, 300.0, 6).unwrap();
        let over = |bin: usize| bins.edges()[bin].ceil() as usize..bins.edges()[bin + 1].ceil() as usize;
        let mean_of = |c: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let modes = |l: usize| (2 * l + 1) as f64;
            let mean = |b| over(b).map(|l| modes(l) * c(l)).sum::<f64>() / over(b).map(modes).sum::<f64>();
            (0..bins.count()).map(mean).collect()
        };
        // Towards its edges the flat field fades out.
        let edge = |i: usize| (PI * (i as f64 + 0.5) / PIXELS as f64).sin().powi(2);
        let taper: Vec<f64> = (0..PIXELS * PIXELS).map(|p| edge(p / PIXELS) * edge(p % PIXELS)).collect();
        let mut sky = FlatSky::new(PIXELS, FIELD).unwrap();
        let side = (4.0 * PI / sky_cone.footprint.rings().pixels() as f64).sqrt();
        // HEALPix's window, to second order.
        let window = |l: usize| 1.0 - (l as f64 * side).powi(2) / 12.0;
        let shot = BOX.powi(3) / total as f64;
        let shot: f64 = cone.slices[NEAR..]
            .iter()
            .map(|s| (s.strength * sources.efficiency(0, s.chi) * (s.far - s.near)).powi(2) * shot / s.volume)
            .sum();
        let (mut fields, mut skies) = (vec![], vec![]);
        for realisation in 0..UNIVERSES {
            let replicas = |view| Replicas::random(1, realisation, view);
            let cones = Both {
                flat: (0..VIEWS).map(|view| LightCone::new(comm, cone.clone(), replicas(view), total, drift)).collect(),
                sphere: SkyLightCone::new(comm, sky_cone.clone(), replicas(VIEWS), total, drift),
            };
            let mut watch = Watch { cones: vec![cones], spectra: &mut spectra, drift, box_size: BOX };
            pm.run(realisation, true, false, &mut watch);
            let Both { flat, sphere } = watch.cones.remove(0);
            let mut mean = vec![0.0; bins.count()];
            for seen in flat {
                let mut planes = seen.finish().unwrap();
                (0..NEAR).for_each(|k| planes.put(k, vec![0.0; PIXELS * PIXELS]));
                let kappa = LensingMaps::new(Method::Born, &planes, &sources).kappa;
                if comm.is_root() {
                    let map = Map { values: &kappa, mask: Some(&taper) };
                    let c = sky.c_ell(&bins, map, None, false).unwrap();
                    // Counts in square pixels: shot noise is white, the window is of what clusters.
                    let pixel = cone.pixel();
                    let clustered = |(c, l): (&f64, &f64)| (c - shot) / (1.0 - (l * pixel).powi(2) / 12.0);
                    let c: Vec<f64> = c.c_ell.iter().zip(&c.ell).map(clustered).collect();
                    mean.iter_mut().zip(c).for_each(|(m, c)| *m += c / f64::from(VIEWS));
                }
            }
            fields.push(mean);
            let mut planes = sphere.finish().unwrap();
            (0..NEAR).for_each(|k| planes.put(k, vec![0.0; planes.places().len()]));
            let c = planes.layout().c_ell(&planes.born(&sources), None, 320, &[[0, 0]]).unwrap().remove(0);
            skies.push(mean_of(&|l| (c[l] - shot) / window(l)));
            say(comm, format_args!("universe {realisation} is seen"));
        }

        // What every shell holds: one moment, particles by volume.
        let power = Measured::new(spectra.at, BOX.powi(3) / total as f64);
        let lmax = LOGNORMAL + LOGNORMAL / 2;
        let noise = BOX.powi(3) / total as f64;
        let slices = &cone.slices[NEAR..];
        let shell = |s: &Slice, most: f64| {
            let p = |k: f64, _: f64| if k < most { power.power(k, s.a) - noise } else { 0.0 };
            let weight = |chi: f64| (chi * chi / s.volume).powi(2);
            let between =
                |ell: f64| limber_cl(&cosmology, ell, s.far, weight, p) - limber_cl(&cosmology, ell, s.near, weight, p);
            ln_spline(between)
        };
        let weights: Vec<f64> =
            slices.iter().map(|s| s.strength * sources.efficiency(0, s.chi) * (s.far - s.near)).collect();
        let of_shells: Vec<_> = slices.iter().map(|s| shell(s, f64::INFINITY)).collect();
        let large: Vec<_> = slices.iter().map(|s| shell(s, 0.5)).collect();
        let kappa = |shells: &[polycosm::cosmology::Spline], l: usize| -> f64 {
            let one = |(c, w): (&polycosm::cosmology::Spline, &f64)| w * w * c.at((l.max(2) as f64).ln()).exp();
            shells.iter().zip(&weights).map(one).sum()
        };
        let shells = LognormalShells::new(Some(comm), [10, lmax], vec![1.0; slices.len()], 0, |i, j, l| {
            if i == j { of_shells[i].at((l as f64).ln()).exp() } else { 0.0 }
        })
        .unwrap();
        let mut sht = Sht::new(comm, LOGNORMAL, lmax).unwrap();
        let mut lognormal = vec![];
        for sky in 0..UNIVERSES {
            let mut map = vec![0.0; sht.pixels().len()];
            for (k, weight) in weights.iter().enumerate() {
                let mut alm = Alm::normal(comm, lmax, 7, sky, &format!("shell {k}"));
                alm.scale(&shells.conditional(k).unwrap().sigma);
                let mut delta = sht.synthesis(&alm);
                shells.exponentiate(k, &mut delta);
                map.iter_mut().zip(delta).for_each(|(x, delta)| *x += weight * delta);
            }
            let alm = sht.analysis(&map, 3);
            let c = alm.c_ell(&alm, comm);
            lognormal.push(mean_of(&|l| c[l]));
        }
        if !comm.is_root() {
            return;
        }
        let columns = ["ell", "flat", "flat_error", "sphere", "sphere_error", "limber"];
        let (mut table, mut judged) = (Table::new("skies", columns, true), 0);
        for bin in 0..bins.count() {
            let ell = over(bin).map(|l| l as f64).sum::<f64>() / over(bin).len() as f64;
            let carried = mean_of(&|l| kappa(&large, l))[bin] / mean_of(&|l| kappa(&of_shells, l))[bin];
            let limber = mean_of(&|l| kappa(&of_shells, l))[bin];
            let [theirs, theirs_error] = mean_and_error(&lognormal, bin);
            let ratio = |all: &[Vec<f64>]| {
                let [ours, error] = mean_and_error(all, bin);
                [ours / theirs, (error / theirs).hypot(ours * theirs_error / theirs.powi(2))]
            };
            let ([flat, flat_error], [sphere, sphere_error]) = (ratio(&fields), ratio(&skies));
            println!(
                "ell {ell:4.0}: over lognormal skies flat {flat:.3} ± {flat_error:.3}, sphere {sphere:.3} ± {sphere_error:.3}; \
                 these over Limber {:.3}; k < 0.5 carries {carried:.2}; shot noise {:.3}",
                theirs / limber,
                shot / theirs
            );
            table.row([ell, flat, flat_error, sphere, sphere_error, theirs / limber]);
            if carried > 0.9 {
                judged += 1;
                assert!((flat - 1.0).abs() < 0.1 && (sphere - 1.0).abs() < 0.1, "ell {ell}: {flat}, {sphere}");
            }
        }
        assert!(judged >= 2, "k < 0.5 h/Mpc carries 90% in {judged} bins");
    });
}
