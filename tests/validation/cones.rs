//! Light cones of simulations, over a flat field and the whole sky, against lognormal skies that the same simulations' P(k, a)
//! drives.

use super::convergence::{All, Measured, Spectra, UNIVERSES, Watch, expected, ln_spline};
use super::*;
use gauss_quad::GaussLegendre;
use polycosm::error::Result;
use polycosm::fields::bins::{Bins, Spacing};
use polycosm::fields::flat_sky::{FlatSky, Map};
use polycosm::io::field::Data;
use polycosm::observables::lensing::*;
use polycosm::prior::{Prior, Theta};
use polycosm::simulators::{Job, LognormalSphereConfig, Section, Universes};
use polycosm::sphere::{Footprint, Rings, pixel_window};
use std::f64::consts::TAU;
use std::num::NonZeroUsize;

const N: usize = 96;
const BOX: f64 = 512.0;
const SOURCES: f64 = 1.0;
const FOLDS: [usize; 2] = [1, 4];
/// Slices next to the observer that are left out of all three: they show a few objects each.
const NEAR: usize = 1;
/// A flat field: pixels and degrees per side, and light cones through each simulation.
const PIXELS: usize = 128;
const FIELD: f64 = 12.0;
const VIEWS: u32 = 6;
const NSIDE: usize = 128;
const LMAX: usize = 2 * NSIDE;
/// Edges of bands in ℓ. Three times the flat field's fundamental are 90, of the box's, seen in the middle of the way, 42.
const BANDS: [usize; 6] = [42, 60, 90, 130, 180, 257];
const MANY: usize = BANDS.len() - 1;
/// Smaller scales may not carry more than a tenth of C_ℓ, in h/Mpc.
const K_MAX: f64 = 0.5;

/// Light cones over a flat field, and over the sphere.
struct Both<F> {
    flat: All<LightCone<F>>,
    sphere: SkyLightCone<F>,
}

impl<F: Fn(f64, f64, f64) -> Factor> Observer<f32> for Both<F> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<f32>, timers: &mut Timers) -> Result<()> {
        self.flat.after(index, row, particles, timers)?;
        self.sphere.after(index, row, particles, timers)
    }
}

/// Mean over the modes of each band.
fn banded(c: impl Fn(usize) -> f64) -> [f64; MANY] {
    std::array::from_fn(|b| {
        let band = BANDS[b]..BANDS[b + 1];
        let modes: usize = band.clone().map(|l| 2 * l + 1).sum();
        band.map(|l| (2 * l + 1) as f64 * c(l)).sum::<f64>() / modes as f64
    })
}

/// Mean over maps and its standard error, of each band.
fn mean_and_error(all: &[[f64; MANY]]) -> [[f64; 2]; MANY] {
    let n = all.len() as f64;
    std::array::from_fn(|b| {
        let mean = all.iter().map(|c| c[b]).sum::<f64>() / n;
        let square = all.iter().map(|c| (c[b] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        [mean, (square / n).sqrt()]
    })
}

/// C_ℓ of the convergence, sources at z = 1: means of eight simulations of 96³ particles in 512 Mpc/h (B = 2, 20 steps), over six
/// flat fields of each, and over the whole sky at nside 128; and of eight skies of `lognormal-sphere`, whose shells are the
/// simulations' slices and have by Limber the power P(k, a) of these, with the pixel window. Cones agree with the skies within 10%
/// where waves below 0.5 h/Mpc carry nine tenths of C_ℓ, above three fundamentals. Limber's integral, through the pixels and edges
/// of a flat map, stands between them.
#[test]
#[ignore = "minutes: run by make validate"]
fn light_cones_against_lognormal_skies() {
    mpi::on_ranks("cones::light_cones_against_lognormal_skies", &[2], |comm| {
        let mut pm = Pm::new(comm, N, BOX, 2, StepConfig { steps: 20, ..StepConfig::default() });
        let config = |sky: &str| -> LightConeConfig {
            toml::from_str(&format!("source_redshifts = [{SOURCES:?}]\nreplicate_across = true\n{sky}")).unwrap()
        };
        let of_flat = config(&format!("field_of_view_deg = {FIELD:?}\npixels = {PIXELS}"));
        let of_sphere = config(&format!("nside = {NSIDE}"));
        let (cosmology, growth) = (pm.cosmology, Growth::new(&pm.cosmology));
        let sources = Sources::new(&of_flat, &cosmology).unwrap();
        let flat = Cone::new(&of_flat, BOX, &cosmology, sources.farthest()).unwrap();
        let whole = Footprint::whole(Rings::new(NSIDE).unwrap());
        let sphere = SkyCone::new(&of_sphere, whole, BOX, &cosmology, sources.farthest()).unwrap();
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: pm.time.integrator };
        let drift = |from, at, to| factors.drift(from, at, to);
        let (total, mut spectra) = (pm.total(), Spectra::new(&pm, &FOLDS, flat.slices[flat.slices.len() - 1].a - 0.05));

        // Of flat maps the bands above three of their fundamentals.
        let first = BANDS.iter().position(|l| *l as f64 >= 3.0 * TAU / flat.field).unwrap();
        let edges: Vec<f64> = BANDS[first..].iter().map(|l| *l as f64).collect();
        let band = |l: f64| edges.iter().rposition(|e| *e <= l).filter(|b| b + 1 < edges.len()).map(|b| b + first);
        let mut sky = FlatSky::new(PIXELS, FIELD).unwrap();
        let half = PIXELS as i64 / 2;
        let modes: Vec<([i64; 2], usize)> = (-half..half)
            .flat_map(|i| (-half..half).map(move |j| [i, j]))
            .filter_map(|m| band(TAU / flat.field * ((m[0] * m[0] + m[1] * m[1]) as f64).sqrt()).map(|b| (m, b)))
            .collect();
        let (mut of_maps, mut of_skies) = (vec![], vec![]);
        for realisation in 0..UNIVERSES {
            let replicas = |view| Replicas::random(1, realisation, view);
            let cone_of = |view| LightCone::new(comm, flat.clone(), replicas(view), total, drift);
            let both = Both {
                flat: All((0..VIEWS).map(cone_of).collect()),
                sphere: SkyLightCone::new(comm, sphere.clone(), replicas(0), total, drift),
            };
            let mut watch = Watch { seen: both, spectra: &mut spectra, drift, box_size: BOX };
            pm.run(realisation, true, false, &mut watch);
            let mut mean = [0.0; MANY];
            for seen in watch.seen.flat.0 {
                let mut planes = seen.finish().unwrap();
                (0..NEAR).for_each(|k| planes.put(k, vec![0.0; PIXELS * PIXELS]));
                let kappa = LensingMaps::new(Method::Born, &planes, &sources).kappa;
                if comm.is_root() {
                    for (b, edges) in edges.windows(2).enumerate() {
                        let bins = Bins::new("band", Spacing::Linear, edges[0], edges[1], 1).unwrap();
                        let measured = sky.c_ell(&bins, Map { values: &kappa, mask: None }, None, false).unwrap();
                        mean[b + first] += measured.c_ell[0] / VIEWS as f64;
                    }
                }
            }
            of_maps.push(mean);
            let mut planes = watch.seen.sphere.finish().unwrap();
            (0..NEAR).for_each(|k| planes.put(k, vec![0.0; planes.places().len()]));
            let c = planes.layout().c_ell(&planes.born(&sources), None, LMAX, &[[0, 0]]).unwrap();
            of_skies.push(banded(|l| c[0][l]));
        }

        let shot = BOX.powi(3) / total as f64;
        let power = Measured::new(spectra.at, shot);
        let (slices, a_of) = (&flat.slices[NEAR..], |chi: f64| cosmology.scale_factor_at(chi).unwrap());
        let rule = GaussLegendre::new(NonZeroUsize::new(12).unwrap());
        let through = |slice: &Slice, weight: &dyn Fn(f64) -> f64, ell: f64, p: &dyn Fn(f64, f64) -> f64| {
            let integrand = |chi: f64| (weight(chi) / chi).powi(2) * p((ell + 0.5) / chi, a_of(chi));
            rule.integrate(slice.near, slice.far, integrand)
        };
        let kernel = |chi: f64| sources.kernel(0, chi);
        let all =
            |ell: f64, p: &dyn Fn(f64, f64) -> f64| slices.iter().map(|s| through(s, &kernel, ell, p)).sum::<f64>();
        let noise = all(1.0, &|_, _| shot);
        let limber: Vec<f64> = (0..=LMAX).map(|l| all(l as f64, &|k, a| power.power(k, a))).collect();
        let large = |l: usize| all(l as f64, &|k, a| if k < K_MAX { power.power(k, a) } else { 0.0 }) / limber[l];
        let window = pixel_window(NSIDE, LMAX).unwrap();

        // What drives the lognormal sky: δ of each slice, averaged over distance.
        let mut table = String::from("# ell");
        let n = slices.len();
        let pairs = || (0..n).flat_map(|i| (i..n).map(move |j| (i, j)));
        pairs().for_each(|(i, j)| table += &format!(" {i}*{j}"));
        for l in 1..=LMAX {
            // Below the box's fundamental, where no band looks, what it has there: no lognormal field is without power on large scales.
            let p = |k: f64, a: f64| power.power(k.max(TAU / BOX), a);
            let own = |s: &Slice| through(s, &|_| 1.0 / (s.far - s.near), l as f64, &p);
            table += &format!("\n{l}");
            pairs().for_each(|(i, j)| table += &format!(" {:e}", if i == j { own(&slices[i]) } else { 0.0 }));
        }
        let path = mpi::shared_dir().join("shells.txt");
        if comm.is_root() {
            std::fs::write(&path, table).unwrap();
        }
        comm.barrier();
        let mut edges: Vec<f64> = slices.iter().map(|s| 1.0 / a_of(s.near) - 1.0).collect();
        edges.push(SOURCES);
        let keys = format!(
            "nside = {NSIDE}\nlmax = {LMAX}\nshells = {edges:?}\nspectra = {path:?}\npixel_window = true\nneighbours = 0\n\
             source_redshifts = [{SOURCES:?}]\nc_ell = {{ min = 1.0, bins = {LMAX}, spacing = \"linear\" }}"
        );
        let lognormal: LognormalSphereConfig = toml::from_str(&keys).unwrap();
        let (mut planck, prior) = (CosmologyConfig::default(), Prior::new(vec![]).unwrap());
        for (name, value) in PLANCK {
            planck.value_mut(name).into_iter().for_each(|of| *of = Some(value));
        }
        let universes = Universes { cosmology: Some(&planck), prior: &prior, ranks: comm.size() };
        comm.agree(if comm.is_root() { lognormal.check(&universes) } else { Ok(()) }).unwrap();
        let (runner, mut of_lognormal) = (lognormal.runner(&universes).unwrap(), vec![]);
        for realisation in 0..UNIVERSES {
            let job = Job { index: 0, realisation, seed: 1, theta: Theta::NONE, folder: None };
            let fields = runner.simulate(comm, &job).unwrap().fields;
            let c_ell = fields.iter().find(|field| field.spec.name == "c_ell").unwrap();
            if let Data::F64(c) = &c_ell.data
                && comm.is_root()
            {
                assert_eq!(c.len(), LMAX);
                of_lognormal.push(banded(|l| c[l - 1]));
            }
        }
        if !comm.is_root() {
            return;
        }

        // All over Limber through what each map does to the sky; counts' noise has no window.
        let pixels = banded(|l| window[l].powi(2) * (limber[l] - noise) + noise);
        let averages = banded(|l| window[l].powi(2) * limber[l]);
        let smooth = ln_spline(|l| all(l, &|k, a| power.power(k, a)) - noise);
        let of_flat = expected(PIXELS, FIELD, |ell| smooth.at(ell.ln()).exp());
        let mut squares = [[0.0; 2]; MANY];
        for ([i, j], b) in modes {
            squares[b][0] += of_flat(i, j) + noise;
            squares[b][1] += 1.0;
        }
        let over = |all: &[[f64; MANY]], expected: &dyn Fn(usize) -> f64| {
            let mut over = mean_and_error(all);
            over.iter_mut().enumerate().for_each(|(b, x)| *x = x.map(|x| x / expected(b)));
            over
        };
        let sphere = over(&of_skies, &|b| pixels[b]);
        let lognormal = over(&of_lognormal, &|b| averages[b]);
        let maps = over(&of_maps, &|b| squares[b][0] / squares[b][1]);
        let columns =
            ["low", "high", "flat", "error", "sphere", "error", "lognormal", "error", "of_c_ell_from_large_scales"];
        let mut table = Table::new("cones", columns, true);
        let mut judged = [0; 2];
        for b in 0..MANY {
            let (low, high) = (BANDS[b], BANDS[b + 1] - 1);
            let ([f, df], [s, ds], [g, dg], part) = (maps[b], sphere[b], lognormal[b], large(high));
            let flat = if b < first { String::new() } else { format!("flat {f:.3} ± {df:.3}, ") };
            println!(
                "ℓ {low} to {high}: over Limber {flat}sphere {s:.3} ± {ds:.3}, lognormal {g:.3} ± {dg:.3}; \
                 {part:.3} of C_ℓ from k < {K_MAX}, noise {:.3}",
                noise / limber[high]
            );
            let [f, df] = if b < first { [f64::NAN; 2] } else { [f, df] };
            table.row([low as f64, high as f64, f, df, s, ds, g, dg, part]);
            if part < 0.9 {
                continue;
            }
            for (kind, seen) in [(0, (b >= first).then_some(f)), (1, Some(s))] {
                let Some(seen) = seen else { continue };
                judged[kind] += 1;
                assert!((seen / g - 1.0).abs() < 0.1, "ℓ from {low} to {high}: {seen} and {g} of Limber's");
            }
        }
        assert!(judged[0] >= 2 && judged[1] >= 4, "{judged:?} bands hold large scales alone");
    });
}
