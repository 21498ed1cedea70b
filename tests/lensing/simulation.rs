//! Limber spectra, of tables and of a simulated universe.

use super::*;
use polycosm::comm::timers::Timers;
use polycosm::cosmology::{Growth, Spline, read_table};
use polycosm::fields::kernels::Gradient;
use polycosm::fields::linear::linear_modes;
use polycosm::fields::noise::white_noise;
use polycosm::gravity::*;
use polycosm::mesh::{Decomposition, Fft, Halo, Transform};
use polycosm::observables::{PowerConfig, PowerMeter};
use polycosm::particles::Particles;

/// Scale factor at comoving distance, to redshift 1.
pub(super) fn scale_factors(cosmology: &Cosmology) -> Spline {
    let a: Vec<f64> = (0..=200).map(|i| 1.0 - 0.5 * i as f64 / 200.0).collect();
    Spline::new(a.iter().map(|&a| cosmology.comoving_distance(a)).collect(), a)
}

/// The non-linear P(k, χ) of CAMB, ln P a parabola in ln D through z = 0, 0.5 and 1.
fn halofit(cosmology: &Cosmology) -> impl Fn(f64, f64) -> f64 {
    let (growth, a_of_chi) = (Growth::new(cosmology), scale_factors(cosmology));
    let table = columns("camb_halofit_takahashi_pk.txt");
    let ln = |c: &[f64]| c.iter().map(|x| x.ln()).collect::<Vec<_>>();
    let tables: Vec<Spline> = (1..=3).map(|c| Spline::new(ln(&table[0]), ln(&table[c]))).collect();
    let at = [1.0, 1.0 / 1.5, 0.5].map(|a: f64| growth.d1(a).ln());
    move |k, chi| {
        let x = growth.d1(a_of_chi.at(chi)).ln();
        let term = |i: usize| {
            let others = (0..3).filter(|j| *j != i);
            tables[i].at(k.ln()) * others.map(|j| (x - at[j]) / (at[i] - at[j])).product::<f64>()
        };
        (0..3).map(term).sum::<f64>().exp()
    }
}

/// The convergence of a simulated universe, on the way through its evolve loop: its spectrum is Limber's. Many cones
/// through one small universe of fixed amplitudes tell whether all factors are in their places, to 3% of κ. What pixels
/// and edges do is left out; `convergence_against_limber` of `make validate` has it, and eight universes.
#[test]
fn convergence_of_a_simulation() {
    mpi::on_ranks("simulation::convergence_of_a_simulation", &[2], |comm| {
        let (l, n, views) = (250.0, 64, 24);
        let (cosmology, growth) = (planck(), Growth::new(&planck()));
        let config = config("field_of_view_deg = 9.0\npixels = 128\nsource_redshifts = [0.6]");
        config.check(l).unwrap();
        let sources = Sources::new(&config, &cosmology).unwrap();
        let cone = Cone::new(&config, l, &cosmology, sources.farthest()).unwrap();
        let time = StepConfig { a_start: 0.1, steps: 15, ..StepConfig::default() };
        cone.check_time(time.a_start, time.a_end).unwrap();

        let path = format!("{}/tests/data/camb_linear_pk.txt", env!("CARGO_MANIFEST_DIR"));
        let power = read_table(path.as_ref(), cosmology.sigma8()).unwrap();
        let lattice = Decomposition::new(comm, [n; 3], None).unwrap();
        let mut noise = white_noise::<f32>(&lattice, 1, 0);
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut fft, &mut noise, l, |k| power.p(k), true, false);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
        let start = LptGrowth::at(&factors, time.a_start);
        let mut particles = lagrangian_particles(&mut fft, &delta, l, Gradient::FourPoint, 2, &start, false);
        let total = (n as u64).pow(3);
        let mut force = Force::new(&lattice.with_shape([2 * n; 3]), l, total, &ForceConfig::default());
        force.exchange(&mut particles);
        let table = StepTable::new(&time, &factors, &[]);
        let drift = |from, at, to| factors.drift(from, at, to);
        let cone_of = |view| LightCone::new(comm, cone.clone(), Replicas::random(1, 0, view), total, drift);
        let meter = PowerMeter::new(&lattice.with_shape([2 * n; 3]), l);
        let mut watch = Views { cones: (0..views).map(cone_of).collect(), meter, total, spectra: vec![] };
        evolve(comm, &table, 0, &mut particles, &mut force, &mut Timers::default(), &mut watch).unwrap();

        // The nearest planes hold a few large objects: left out of both, so that less is left to chance.
        let (far, a_of_chi) = (sources.farthest(), scale_factors(&cosmology));
        let (noise, near) = (l.powi(3) / total as f64, cone.slices[4].near);
        let kernel = |chi: f64| if chi < near { 0.0 } else { sources.kernel(0, chi).powi(2) };
        let ln_ell: Vec<f64> = (0..60).map(|i| (30.0 * 1.09f64.powi(i)).ln()).collect();
        let cl = |ln_ell: &f64| {
            limber_cl(&cosmology, ln_ell.exp(), far, kernel, |k, chi| watch.power(k, a_of_chi.at(chi), noise)).ln()
        };
        let limber = Spline::new(ln_ell.clone(), ln_ell.iter().map(cl).collect());
        let mut bands = vec![[0.0; 4]; 12];
        for (view, cones) in std::mem::take(&mut watch.cones).into_iter().enumerate() {
            let mut planes = cones.finish().unwrap();
            (0..4).for_each(|k| planes.put(k, vec![0.0; cone.pixels.pow(2)]));
            let mut kappa = LensingMaps::new(Method::Born, &planes, &sources).kappa;
            if view == 0 {
                let traced = LensingMaps::new(Method::Raytrace, &planes, &sources).kappa;
                let apart = rms(kappa.iter().zip(&traced).map(|(k, t)| k - t)) / rms(kappa.iter().copied());
                say(comm, format_args!("rms of rays − Born over that of κ: {apart:.3}"));
                assert!(!comm.is_root() || apart < 0.1, "{apart}");
            }
            if comm.is_root() {
                let weight = apodise(&mut kappa, cone.pixels);
                let view = spectrum(&kappa, cone.pixels, cone.pixel(), 12, |ell| weight * limber.at(ell.ln()).exp());
                bands
                    .iter_mut()
                    .zip(view)
                    .for_each(|(sum, view)| (0..4).for_each(|c| sum[c] += view[c] / views as f64));
            }
        }
        if comm.is_root() {
            // One small universe: over eight of them, with four cones each, the two lowest bands are 1.01 ± 0.06 of
            // Limber's. The highest, where shot noise is most, lose a little to the pixels.
            let ratios: Vec<f64> = bands.iter().map(|[_, c, expected, _]| c / expected).collect();
            for ([ell, ..], ratio) in bands.iter().zip(&ratios) {
                say(comm, format_args!("C_ell at {ell:6.0}: {ratio:.3} of Limber's"));
                assert!((ratio - 1.0).abs() < 0.15, "{ratio} of Limber's at ell = {ell}");
            }
            assert!((ratios.iter().sum::<f64>() / 12.0 - 1.0).abs() < 0.06);
        }
    });
}

/// Several light cones through one simulation, and its power spectrum after each drift.
pub(super) struct Views<C> {
    pub cones: Vec<C>,
    pub meter: PowerMeter<f32>,
    pub total: u64,
    pub spectra: Vec<(f64, Spline)>,
}

impl<C> Views<C> {
    /// P(k) at scale factor `a`, with the particles' shot noise; above it a power law where nothing was measured.
    pub fn power(&self, k: f64, a: f64, shot: f64) -> f64 {
        let i = self.spectra.partition_point(|s| s.0 < a).clamp(1, self.spectra.len() - 1);
        let [(a0, p0), (a1, p1)] = [&self.spectra[i - 1], &self.spectra[i]];
        let t = (a - a0) / (a1 - a0);
        let last = k.ln().min(p0.range().1);
        let measured = (1.0 - t) * p0.at(last).exp() + t * p1.at(last).exp();
        shot + (measured - shot) * (2.5 * (last - k.ln())).exp()
    }
}

impl<C: Observer<f32>> Observer<f32> for Views<C> {
    fn after(
        &mut self,
        index: usize,
        row: &Row,
        particles: &Particles<f32>,
        timers: &mut Timers,
    ) -> polycosm::error::Result<()> {
        if let Row::Drift { to, .. } = row {
            let measured = self.meter.measure(&PowerConfig::default(), &particles.position, self.total);
            let ln = |x: &[f64]| x.iter().map(|x| x.ln()).collect();
            self.spectra.push((*to, Spline::new(ln(&measured.k), ln(&measured.power))));
        }
        self.cones.iter_mut().try_for_each(|cone| cone.after(index, row, particles, timers))
    }
}

/// Subtracts the mean and fades the map out to its edges (Hann); returns the mean square of the fading.
fn apodise(map: &mut [f64], n: usize) -> f64 {
    let mean = map.iter().sum::<f64>() / map.len() as f64;
    let hann = |i: usize| (PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
    let mut square = 0.0;
    for (p, x) in map.iter_mut().enumerate() {
        let w = hann(p / n) * hann(p % n);
        *x = (*x - mean) * w;
        square += w * w / (n * n) as f64;
    }
    square
}

/// Limber's integral with the kernel of this program against CAMB's spectra, integrated by another code.
#[test]
fn limber_spectrum_agrees_with_the_reference() {
    let cosmology = planck();
    let growth = Growth::new(&cosmology);
    let sources =
        Sources::new(&config("field_of_view_deg = 1.0\npixels = 2\nsource_redshifts = [1.0]"), &cosmology).unwrap();
    let far = sources.farthest();
    let kernel = |chi: f64| sources.kernel(0, chi).powi(2);
    let table = columns("camb_linear_pk.txt");
    let ln = |c: &[f64]| c.iter().map(|x| x.ln()).collect::<Vec<_>>();
    let linear = Spline::new(ln(&table[0]), ln(&table[1]));
    let a_of_chi = scale_factors(&cosmology);
    let p_linear = |k: f64, chi: f64| linear.at(k.ln()).exp() * growth.d1(a_of_chi.at(chi)).powi(2);
    let p_halofit = halofit(&cosmology);

    let reference = columns("wl_kappa_cl_zs1.txt");
    let mut worst = [0f64; 2];
    for (i, ell) in reference[0].iter().enumerate().filter(|(_, ell)| **ell <= 5000.0) {
        let ours =
            [limber_cl(&cosmology, *ell, far, kernel, &p_halofit), limber_cl(&cosmology, *ell, far, kernel, p_linear)];
        for c in 0..2 {
            worst[c] = worst[c].max((ours[c] / reference[c + 1][i] - 1.0).abs());
        }
    }
    println!("Limber spectra differ by at most {:.1e} (halofit), {:.1e} (linear)", worst[0], worst[1]);
    assert!(worst[0] < 0.01 && worst[1] < 0.003, "{worst:?}");
}
