//! The convergence of simulated light cones against Limber's integral over the same simulations' own spectra.

use super::*;
use polycosm::cosmology::Spline;
use polycosm::error::Result;
use polycosm::fields::bins::{Bins, Spacing};
use polycosm::fields::flat_sky::{FlatSky, Map};
use polycosm::mesh::Plane;
use polycosm::observables::lensing::*;
use polycosm::particles::{Domain, wrap};
use std::f64::consts::{PI, TAU};

/// Pixels per side of a map, and its side in degrees.
const PIXELS: usize = 128;
const FIELD: f64 = 6.0;
/// Lens planes next to the observer that are left out of both sides: they show a few objects each.
const NEAR: usize = 2;
/// Times the box is folded on itself along each axis to measure ever smaller scales.
const FOLDS: [usize; 3] = [1, 4, 16];
pub(super) const UNIVERSES: u64 = 8;
const VIEWS: u32 = 10;

/// P(k) of all scales that a map shows. Folded m times along each axis, the box's modes are every m-th of the whole
/// box's (Jenkins et al. 1998), and its L³/N is m³ times smaller.
pub(super) struct Spectra {
    comm: Comm,
    total: u64,
    folded: Vec<(f64, Domain, PowerMeter<f32>)>,
    /// Scale factor before which nothing is seen.
    from: f64,
    /// Scale factors, and at each k in h/Mpc and P(k) in (Mpc/h)³, the mean over simulations: a drift's end, the middle
    /// of the next, its end, and so on.
    pub at: Vec<(f64, Vec<f64>, Vec<f64>)>,
}

impl Spectra {
    pub fn new(pm: &Pm, folds: &[usize], from: f64) -> Self {
        let side = |folds: usize| pm.box_size / folds as f64;
        let meter = |m| (m as f64, Domain::new(&pm.mesh, side(m)), PowerMeter::new(&pm.mesh, side(m)));
        Spectra {
            comm: pm.comm.clone(),
            total: pm.total(),
            folded: folds.iter().map(|&m| meter(m)).collect(),
            from,
            at: vec![],
        }
    }

    /// P(k), shot noise included: of each folding what lies below a quarter of its mesh's Nyquist wavenumber, and of
    /// the last what lies below 0.6 of it.
    fn measure(&mut self, a: f64, positions: &[[f32; 3]], box_size: f64) {
        let (mut k, mut power) = (vec![], vec![]);
        let last = self.folded[self.folded.len() - 1].0;
        for (m, domain, meter) in &mut self.folded {
            let side = (box_size / *m) as f32;
            let folded = positions.iter().map(|x| x.map(|x| wrap(x, side))).collect();
            let (folded, _) = domain.send_home(&self.comm, folded, None);
            let seen = meter.measure(&PowerConfig::default(), &folded, self.total);
            let reach = if *m == last { 0.6 } else { 0.25 } * seen.k[seen.k.len() - 1];
            let known = k.last().map_or(0.0, |k| *k);
            for (&here, p) in seen.k.iter().zip(&seen.power).filter(|(k, _)| **k > known && **k < reach) {
                k.push(here);
                power.push(p * m.powi(3) / UNIVERSES as f64);
            }
        }
        match self.at.iter_mut().find(|s| s.0 == a) {
            Some((_, _, sum)) => sum.iter_mut().zip(power).for_each(|(s, p)| *s += p),
            None => self.at.push((a, k, power)),
        }
    }
}

/// What sees a simulation, and its spectra in the middle and at the end of each drift: between the ends
/// particles move along chords of their orbits, and halos are smaller there.
pub(super) struct Watch<'a, F, O> {
    pub seen: O,
    pub spectra: &'a mut Spectra,
    pub drift: F,
    pub box_size: f64,
}

/// Light cones side by side.
pub(super) struct All<C>(pub Vec<C>);

impl<C: Observer<f32>> Observer<f32> for All<C> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<f32>, timers: &mut Timers) -> Result<()> {
        self.0.iter_mut().try_for_each(|cone| cone.after(index, row, particles, timers))
    }
}

impl<F: Fn(f64, f64, f64) -> Factor, O: Observer<f32>> Observer<f32> for Watch<'_, F, O> {
    fn after(&mut self, index: usize, row: &Row, particles: &Particles<f32>, timers: &mut Timers) -> Result<()> {
        if let Row::Drift { from, at, to, .. } = *row
            && to > self.spectra.from
        {
            if from > self.spectra.from {
                let (middle, l) = (0.5 * (from + to), self.box_size as f32);
                let back = (self.drift)(middle, at, to).force as f32;
                let moved = particles.position.iter().zip(&particles.momentum);
                let positions: Vec<[f32; 3]> =
                    moved.map(|(x, p)| std::array::from_fn(|d| wrap(x[d] - back * p[d], l))).collect();
                self.spectra.measure(middle, &positions, self.box_size);
            }
            self.spectra.measure(to, &particles.position, self.box_size);
        }
        self.seen.after(index, row, particles, timers)
    }
}

/// P(k, a): over each drift the parabola in a through its three moments, beyond the measured k shot noise alone, and
/// nothing below half the smallest.
pub(super) struct Measured {
    pub at: Vec<(f64, Spline)>,
    shot: f64,
    /// Else a straight line between the ends.
    pub chords: bool,
}

impl Measured {
    pub fn new(spectra: Vec<(f64, Vec<f64>, Vec<f64>)>, shot: f64) -> Self {
        let ln = |x: Vec<f64>| x.into_iter().map(f64::ln).collect();
        Measured {
            at: spectra.into_iter().map(|(a, k, p)| (a, Spline::new(ln(k), ln(p)))).collect(),
            shot,
            chords: true,
        }
    }

    pub fn power(&self, k: f64, a: f64) -> f64 {
        let after = self.at.partition_point(|s| s.0 < a).clamp(1, self.at.len() - 1);
        let drift = &self.at[(after - 1) / 2 * 2..][..3];
        let (ln_k, (first, last)) = (k.ln(), drift[0].1.range());
        let t = (a - drift[0].0) / (drift[2].0 - drift[0].0);
        let middle = if self.chords { 4.0 * t * (1.0 - t) } else { 0.0 };
        let weights = [1.0 - t - 0.5 * middle, middle, t - 0.5 * middle];
        match ln_k {
            _ if ln_k < first - 2f64.ln() => 0.0,
            _ if ln_k > last => self.shot,
            _ => drift.iter().zip(weights).map(|((_, p), w)| w * p.at(ln_k).exp()).sum(),
        }
    }
}

/// What the spectrum of an untapered map of so many pixels and degrees per side is expected to be at its mode (i, j), for a sky with spectrum C(ℓ):
/// counts in pixels multiply it by sinc² of each axis and fold what lies beyond Nyquist back (aliases), and the map's
/// edges mix neighbouring modes. Exact up to the sky's period of four maps: ⟨|FFT f|²⟩ is the transform of the
/// correlation function times (1 − |Δ_1|/side) (1 − |Δ_2|/side).
pub(super) fn expected(pixels: usize, field: f64, c_ell: impl Fn(f64) -> f64) -> impl Fn(i64, i64) -> f64 {
    let sky = 4 * pixels;
    /// Aliases on each side.
    const ALIASES: i64 = 3;
    let fundamental = TAU / (4.0 * field.to_radians());
    let sinc = |i: i64| {
        let x = PI * i as f64 / sky as f64;
        if i == 0 { 1.0 } else { x.sin() / x }
    };
    let of_pixels = |i: i64, j: i64| -> f64 {
        let alias = |i: i64| (-ALIASES..=ALIASES).map(move |m| i + m * sky as i64);
        let pairs = alias(i).flat_map(|a| alias(j).map(move |b| (a, b))).filter(|p| *p != (0, 0));
        pairs.map(|(a, b)| (sinc(a) * sinc(b)).powi(2) * c_ell(fundamental * ((a * a + b * b) as f64).sqrt())).sum()
    };
    let mut plane = Plane::<f64>::new([sky; 2]);
    let mut delta = vec![0.0; sky * sky];
    delta[0] = 1.0;
    let ones = plane.forward(&delta);
    let mut correlation = plane.filtered(&ones, |i, j| (of_pixels(i, j) / (sky * sky) as f64).into());
    let overlap = |i: usize| (1.0 - i.min(sky - i) as f64 / pixels as f64).max(0.0);
    correlation.iter_mut().enumerate().for_each(|(p, x)| *x *= overlap(p / sky) * overlap(p % sky));
    let modes = plane.forward(&correlation);
    let mut table = std::collections::HashMap::new();
    plane.for_each(&modes, |[i, j], _, c| {
        if i % 4 == 0 && j % 4 == 0 {
            table.insert([i.abs() / 4, j.abs() / 4], c.re);
        }
    });
    move |i, j| table[&[i.abs(), j.abs()]]
}

/// Mean over 80 light cones (ten through each of eight simulations) of the Born convergence's C_ℓ for sources at z = 1,
/// within 5% of Limber's integral over the mean P(k, a) of those simulations, shot noise included in both: from three
/// times the map's fundamental, below which a few modes are left to chance, to its Nyquist frequency. 128³ particles in
/// 256 Mpc/h, B = 2, 20 steps; maps of 128² pixels over 6 degrees.
#[test]
#[ignore = "minutes: run by make validate"]
fn convergence_against_limber() {
    mpi::on_ranks("convergence::convergence_against_limber", &[2], |comm| {
        let (n, l) = (128, 256.0);
        let mut pm = Pm::new(comm, n, l, 2, StepConfig { steps: 20, ..StepConfig::default() });
        let text = format!("field_of_view_deg = {FIELD:?}\npixels = {PIXELS}\nsource_redshifts = [1.0]");
        let config: LightConeConfig = toml::from_str(&text).unwrap();
        let (cosmology, growth) = (pm.cosmology, Growth::new(&pm.cosmology));
        let sources = Sources::new(&config, &cosmology).unwrap();
        let cone = Cone::new(&config, l, &cosmology, sources.farthest()).unwrap();
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: pm.time.integrator };
        let drift = |from, at, to| factors.drift(from, at, to);
        let total = pm.total();
        // A step before the farthest plane.
        let mut spectra = Spectra::new(&pm, &FOLDS, cone.slices[cone.slices.len() - 1].a - 0.05);

        let nyquist = PI / cone.pixel();
        let bins = Bins::new("test", Spacing::Log, 3.0 * TAU / cone.field, nyquist, 6).unwrap();
        let mut sky = FlatSky::new(PIXELS, FIELD).unwrap();
        let mut ell = vec![];
        // Σ C and Σ C² over the simulations' means.
        let mut found = vec![[0.0; 2]; bins.count()];
        for realisation in 0..UNIVERSES {
            let cone_of =
                |view| LightCone::new(comm, cone.clone(), Replicas::random(1, realisation, view), total, drift);
            let seen = All((0..VIEWS).map(cone_of).collect());
            let mut watch = Watch { seen, spectra: &mut spectra, drift, box_size: l };
            pm.run(realisation, true, false, &mut watch);
            let mut mean = vec![0.0; bins.count()];
            for seen in watch.seen.0 {
                let mut planes = seen.finish().unwrap();
                (0..NEAR).for_each(|k| planes.put(k, vec![0.0; PIXELS * PIXELS]));
                let kappa = LensingMaps::new(Method::Born, &planes, &sources).kappa;
                if comm.is_root() {
                    let measured = sky.c_ell(&bins, Map { values: &kappa, mask: None }, None, false).unwrap();
                    mean.iter_mut().zip(&measured.c_ell).for_each(|(m, c)| *m += c / VIEWS as f64);
                    ell = measured.ell;
                }
            }
            found.iter_mut().zip(mean).for_each(|(f, m)| {
                f[0] += m / UNIVERSES as f64;
                f[1] += m * m / UNIVERSES as f64;
            });
        }
        if !comm.is_root() {
            return;
        }

        let shot = l.powi(3) / total as f64;
        let mut power = Measured::new(spectra.at, shot);
        let (k, p) = power.at[power.at.len() - 1].1.nodes();
        let (k, p) = (k[k.len() - 1].exp(), p[p.len() - 1].exp() / shot);
        println!("P(k) is measured to {k:.2} h/Mpc; there it is {p:.3} of shot noise today");
        let (slices, kernel) = (&cone.slices[NEAR..], |chi: f64| sources.kernel(0, chi).powi(2));
        let between = |ell: f64, [near, far]: [f64; 2], kernel: &dyn Fn(f64) -> f64, p: &dyn Fn(f64, f64) -> f64| {
            limber_cl(&cosmology, ell, far, kernel, p) - limber_cl(&cosmology, ell, near, kernel, p)
        };
        let range = [slices[0].near, sources.farthest()];
        let a_of = |chi: f64| cosmology.scale_factor_at(chi).unwrap();
        let noise = between(1.0, range, &kernel, &|_, _| shot);
        let of_sky = |power: &Measured| {
            ln_spline(|ell| between(ell, range, &kernel, &|k, chi| power.power(k, a_of(chi)) - shot))
        };
        let limber = of_sky(&power);
        // What the planes hold: one moment and one weight for each slice, where particles count by volume.
        let of_planes = ln_spline(|ell| {
            let slice = |s: &Slice| {
                let weight = s.strength * sources.efficiency(0, s.chi) * (s.far - s.near) / s.volume;
                let kernel = |chi: f64| (weight * chi * chi).powi(2);
                between(ell, [s.near, s.far], &kernel, &|k, _| power.power(k, s.a) - shot)
            };
            slices.iter().map(slice).sum()
        });
        power.chords = false;
        let ends = of_sky(&power);
        let signal = |ell: f64| limber.at(ell.ln()).exp();
        let [map, planes, ends] =
            [&limber, &of_planes, &ends].map(|c| expected(PIXELS, FIELD, |ell| c.at(ell.ln()).exp()));
        let mut sums = vec![[0.0; 5]; bins.count()];
        let half = PIXELS as i64 / 2;
        for (i, j) in (-half..half).flat_map(|i| (-half..half).map(move |j| (i, j))) {
            let ell = TAU / cone.field * ((i * i + j * j) as f64).sqrt();
            if let Some(bin) = bins.of(ell) {
                let here = [map(i, j), planes(i, j), ends(i, j), signal(ell)].map(|c| c + noise);
                sums[bin].iter_mut().zip(here.into_iter().chain([1.0])).for_each(|(s, x)| *s += x);
            }
        }
        let mut table = Table::new("convergence", ["ell", "over_Limber", "error", "without_pixels"], true);
        for (bin, [map, planes, ends, sky, modes]) in sums.into_iter().enumerate() {
            let [mean, square] = found[bin];
            let [map, planes, ends, sky] = [map, planes, ends, sky].map(|sum| mean * modes / sum);
            let error = ((square - mean * mean).max(0.0) / (UNIVERSES - 1) as f64).sqrt() / mean;
            println!(
                "ell {:4.0}: C_ell {mean:.3e}, over Limber {map:.4} ± {error:.4} (slice by slice {planes:.4}; P at the ends of drifts alone {ends:.4}; without pixels, aliases and edges {sky:.4}); shot noise {:.3} of it",
                ell[bin],
                noise / mean,
            );
            table.row([ell[bin], map, error, sky]);
            assert!((map - 1.0).abs() < 0.05, "{map} of Limber's at ell = {}", ell[bin]);
        }
    });
}

/// ln C over ln ℓ.
pub(super) fn ln_spline(c_ell: impl Fn(f64) -> f64) -> Spline {
    let ln_ell: Vec<f64> = (0..100).map(|i| (10.0 * 1.09f64.powi(i)).ln()).collect();
    // Far beyond what is measured only noise is left, and no signal.
    let cl = ln_ell.iter().map(|x| c_ell(x.exp()).max(1e-30).ln()).collect();
    Spline::new(ln_ell, cl)
}
