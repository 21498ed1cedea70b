//! Lognormal boxes: their spectra and one-point function, Poisson galaxies and their velocities, redshift space, the sky of an
//! observer; the same on any number of ranks; and what is refused.

mod common;
mod measured;
mod mpi;

use common::says;
use measured::Table;
use polycosm::comm::Comm;
use polycosm::cosmology::{CosmologyConfig, Growth, LinearPower, MatterPower, NonLinear};
use polycosm::fields::lognormal_box::{LognormalBox, MeshPower};
use polycosm::fields::noise::white_noise;
use polycosm::fields::spectrum::{Spectrum, measure};
use polycosm::mesh::{Decomposition, Fft, Halo, Mesh, Real, Transform};
use polycosm::observables::PoissonGalaxies;
use polycosm::sphere::{Ring, Rings};
use std::f64::consts::TAU;
use std::path::Path;
use std::time::Duration;

/// A universe today.
struct Universe {
    growth: Growth,
    linear: LinearPower,
}

impl Universe {
    fn planck() -> Self {
        let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
        let config = CosmologyConfig::default();
        let cosmology = config.resolve(&planck).unwrap();
        let linear = config.linear_power(&cosmology, 0).unwrap();
        Universe { growth: Growth::new(&cosmology), linear }
    }

    fn power(&self, model: NonLinear) -> impl Fn(f64) -> f64 {
        let power = MatterPower::new(&self.growth, &self.linear, model, 1.0).unwrap().at(1.0);
        move |k| power.p(k)
    }
}

/// A mesh and a transform that gives the same bits on any number of ranks.
fn transform<T: Real>(comm: &Comm, n: usize) -> (Decomposition, Fft<T>) {
    let d = Decomposition::new(comm, [n; 3], None).unwrap();
    let fft = Fft::new(&d, Halo::default(), Transform::Exact);
    (d, fft)
}

/// 1 + δ of realisation `r`.
fn drawn<T: Real>(field: &LognormalBox<T>, d: &Decomposition, fft: &mut Fft<T>, r: u64) -> Mesh<T> {
    let (mut mesh, mut noise, mut modes) = (white_noise::<T>(d, 9, r), fft.modes(), fft.modes());
    fft.forward(&mut mesh, &mut noise);
    field.draw(fft, &noise, &mut modes, &mut mesh);
    mesh
}

/// Mean and standard error of numbers, column by column.
fn mean_of(rows: &[Vec<f64>]) -> Vec<[f64; 2]> {
    let n = rows.len() as f64;
    let of = |c: usize| {
        let mean = rows.iter().map(|row| row[c]).sum::<f64>() / n;
        let variance = rows.iter().map(|row| (row[c] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        [mean, (variance / n).sqrt()]
    };
    (0..rows[0].len()).map(of).collect()
}

/// Means over the modes of each bin of a mesh of a function of their wavenumbers; `l` Mpc/h.
fn modes_in_bins(n: usize, l: f64, f: impl Fn([f64; 3]) -> f64) -> Vec<f64> {
    let (bins, reach) = (Spectrum::bins(n), n as i64 / 2);
    let mut sums = vec![[0.0; 2]; bins];
    for (i, j) in (-reach..=reach).flat_map(|i| (-reach..=reach).map(move |j| (i, j))) {
        for k in -reach..=reach {
            let bin = (((i * i + j * j + k * k) as f64).sqrt() + 0.5).floor() as usize;
            if (1..=bins).contains(&bin) {
                sums[bin - 1][0] += f([i, j, k].map(|i| TAU / l * i as f64));
                sums[bin - 1][1] += 1.0;
            }
        }
    }
    sums.iter().map(|[sum, modes]| sum / modes).collect()
}

fn length(k: [f64; 3]) -> f64 {
    k.iter().map(|k| k * k).sum::<f64>().sqrt()
}

/// p of Kolmogorov and Smirnov of sorted numbers that should have this distribution.
fn ks(values: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let n = values.len() as f64;
    let off = |(i, x): (usize, &f64)| (cdf(*x) - i as f64 / n).abs().max((cdf(*x) - (i + 1) as f64 / n).abs());
    let d = values.iter().enumerate().map(off).fold(0.0, f64::max) * n.sqrt();
    2.0 * (1..50).map(|k| (-1f64).powi(k - 1) * (-2.0 * (k as f64 * d).powi(2)).exp()).sum::<f64>()
}

#[test]
fn boxes_have_the_spectrum_asked_for_and_are_lognormal() {
    use statrs::distribution::{ContinuousCDF, Normal};
    mpi::on_ranks("boxes_have_the_spectrum_asked_for_and_are_lognormal", &[2], |comm| {
        let (n, l, boxes) = (32, 200.0, 200);
        let universe = Universe::planck();
        let power = universe.power(NonLinear::Halofit);
        let (d, mut fft) = transform::<f64>(comm, n);
        let wanted = MeshPower::new(n, l, &power);
        let xi = wanted.correlation(&mut fft);
        for scale in [1.0, 4.0] {
            let field = LognormalBox::new(&mut fft, &wanted, &xi, scale).unwrap();
            let (mut spectra, mut values) = (vec![], vec![]);
            for r in 0..boxes {
                let mut mesh = drawn(&field, &d, &mut fft, r);
                if mesh.block().start == [0; 3] {
                    values.push(mesh.row(0, 0)[0].ln());
                }
                let mut modes = fft.modes();
                fft.forward(&mut mesh, &mut modes);
                spectra.push(measure(&mut modes, l, 0, 0.0, comm).power);
            }
            if !comm.is_root() {
                continue;
            }
            let expected = modes_in_bins(n, l, |k| scale * power(length(k)));
            println!("# scale {scale}: σ² = {:.3}, {:?}", field.variance(), field.achieved);
            for (bin, ([mean, error], expected)) in mean_of(&spectra).iter().zip(&expected).enumerate() {
                let (ratio, errors) = (mean / expected, (mean - expected) / error);
                println!("{bin} {ratio:.4} {errors:+.2}");
                assert!(errors.abs() < 4.0, "scale {scale}, bin {bin}: {ratio} is {errors} standard errors off");
                assert!((ratio - 1.0).abs() < 0.25, "scale {scale}, bin {bin}: {ratio}");
            }
            let normal = Normal::new(-0.5 * field.variance(), field.variance().sqrt()).unwrap();
            values.sort_by(f64::total_cmp);
            let p = ks(&values, |x| normal.cdf(x));
            println!("ln(1 + δ) at one point: Kolmogorov–Smirnov p = {p:.3}");
            assert!(values.len() == boxes as usize && p > 0.01, "{p}");
        }
    });
}

#[test]
fn what_no_gaussian_field_has_is_told_and_impossible_correlations_are_refused() {
    mpi::on_ranks("what_no_gaussian_field_has_is_told_and_impossible_correlations_are_refused", &[1, 3], |comm| {
        let (n, l) = (16, 100.0);
        let (_, mut fft) = transform::<f64>(comm, n);
        // All power in few modes: as far below zero as above.
        let wave = |amplitude: f64| MeshPower::new(n, l, move |k| if k < 0.1 { amplitude } else { 0.0 });
        let depth = |fft: &mut Fft<f64>| {
            let xi = wave(1.0).correlation(fft);
            comm.min_of(xi.to_vec().into_iter().fold(f64::INFINITY, f64::min))
        };
        let most = -1.0 / depth(&mut fft);
        let e = |fft: &mut Fft<f64>, amplitude: f64| {
            let wanted = wave(amplitude);
            let xi = wanted.correlation(fft);
            LognormalBox::new(fft, &wanted, &xi, 1.0)
        };
        let refused = e(&mut fft, 1.1 * most).err().unwrap();
        assert!(refused.problem.contains("falls to -1.1"), "{refused}");
        let told = e(&mut fft, 0.9 * most).unwrap().achieved;
        assert!(told.projected > 0.05, "{told:?}");
        let easy = e(&mut fft, 1e-3 * most).unwrap().achieved;
        assert!(easy.deviation < 1e-3, "{easy:?}");
    });
}

#[test]
fn galaxies_are_poisson_points_of_their_density_on_any_number_of_ranks() {
    let body = |comm: &Comm| {
        let (n, l, density) = (18, 90.0, 0.04);
        let (d, fft) = transform::<f32>(comm, n);
        let mut mesh = fft.mesh();
        let field = |i: [usize; 3]| 0.25 + (i[0] * 7 + i[1] * 5 + i[2] * 3) as f32 % 11.0 / 2.0;
        let block = mesh.block();
        for (i0, i1) in (0..block.len[0]).flat_map(|i| (0..block.len[1]).map(move |j| (i, j))) {
            let at = [block.start[0] + i0, block.start[1] + i1];
            mesh.row_mut(i0, i1).iter_mut().enumerate().for_each(|(i2, x)| *x = field([at[0], at[1], i2]));
        }
        let galaxies = PoissonGalaxies::draw(&mesh, &d, l, density, 3, 4).unwrap();
        let row = |i: usize| {
            (i, [0, 1, 2, 3].map(|c| if c < 3 { galaxies.position[i][c] as f64 } else { galaxies.cell[i] as f64 }))
        };
        let ordered = galaxies.in_order(&d, (0..galaxies.len()).map(row).collect());
        let all = comm.all_gather(ordered.as_flattened());
        // The first run leaves its list for the others.
        let alone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lognormal-box-galaxies");
        if comm.size() == 1 {
            std::fs::write(&alone, bytemuck::cast_slice(&all)).unwrap();
        }
        comm.barrier();
        assert_eq!(std::fs::read(&alone).unwrap(), bytemuck::cast_slice::<f64, u8>(&all), "{} ranks", comm.size());
        // Counts in cells over their means, and places within cells.
        let (cell, mean) = (l / n as f64, density * (l / n as f64).powi(3));
        let mut counts = vec![0.0; n * n * n];
        let mut places = vec![];
        for galaxy in all.chunks(4) {
            let i = galaxy[3] as usize;
            counts[i] += 1.0;
            let centre = [i / (n * n), i / n % n, i % n];
            for axis in 0..3 {
                let place = (galaxy[axis] / cell - centre[axis] as f64 + 0.5).rem_euclid(n as f64);
                assert!((-1e-4..1.0001).contains(&place), "{galaxy:?}");
                places.push(place);
            }
        }
        let (mut number, mut chi2) = (0.0, 0.0);
        for (i, count) in counts.iter().enumerate() {
            let mean = mean * field([i / (n * n), i / n % n, i % n]) as f64;
            number += count - mean;
            chi2 += (count - mean).powi(2) / mean;
        }
        let (cells, total) = (counts.len() as f64, (all.len() / 4) as f64);
        assert!(number.abs() < 4.0 * total.sqrt(), "{number} of {total}");
        // Var χ² = Σ (2 + 1/mean).
        let error = (cells * (2.0 + 1.0 / (0.25 * mean))).sqrt();
        assert!((chi2 - cells).abs() < 4.0 * error, "{chi2} of {cells} ± {error}");
        places.sort_by(f64::total_cmp);
        assert!(ks(&places, |x| x.clamp(0.0, 1.0)) > 1e-3);
    };
    mpi::on_ranks("galaxies_are_poisson_points_of_their_density_on_any_number_of_ranks", &[1, 2, 3, 4], body);
}

const CAMPAIGN: &str = r#"
output = "run"
seed = 11
[cosmology]
Omega_m = 0.3089
Omega_b = 0.0486
h = 0.6774
n_s = 0.9667
[design]
kind = "fiducial"
simulations = 48
[design.fiducial]
sigma8 = 0.3
bias = 1.6
[design.parameters]
sigma8 = { min = 0.2, max = 1.0 }
bias = { min = 1.0, max = 2.0 }
[simulator]
kind = "lognormal-box"
box_size = 640.0
points = 48
redshift = 0.5
nonlinear = "linear"
[simulator.power]
subtract_shot_noise = true
[simulator.multipoles]
subtract_shot_noise = true
axis = "all"
[simulator.poisson]
number_density = 2e-3
[suite]
shard_size = 16
"#;

fn campaign(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    folder
}

/// `polycosm WORDS` in a folder.
fn polycosm(ranks: usize, folder: &Path, words: &str, sets: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(words.split(' '));
    sets.iter().for_each(|set| _ = run.args(["--set", set]));
    let ended = mpi::finish(run, Duration::from_secs(240));
    (ended.code, ended.text)
}

fn read(folder: &Path, output: &str, field: &str) -> Vec<f64> {
    hdf5::File::open(folder.join(output).join("dataset.h5")).unwrap().dataset(field).unwrap().read_raw().unwrap()
}

/// A list's rows, universe by universe.
fn read_list<const N: usize>(folder: &Path, output: &str, list: &str) -> Vec<Vec<[f64; N]>> {
    let data = read(folder, output, &format!("{list}/data"));
    let rows = data.as_chunks::<N>().0;
    let offsets = read(folder, output, &format!("{list}/offsets"));
    offsets.windows(2).map(|w| rows[w[0] as usize..w[1] as usize].to_vec()).collect()
}

/// Mean spectra of a campaign's boxes, and what is expected of them: matter, galaxies, galaxies with matter, P₀, P₂, P₄.
struct Spectra {
    found: [Vec<[f64; 2]>; 6],
    expected: [Vec<f64>; 6],
    k: Vec<f64>,
}

/// The galaxies of a campaign.
struct Setting {
    n: usize,
    l: f64,
    sigma8: f64,
    b: f64,
    model: NonLinear,
}

const REDSHIFT: f64 = 0.5;
const NAMES: [&str; 6] = ["matter", "galaxies", "galaxies x matter", "P0", "P2", "P4"];

impl Setting {
    fn growth(&self) -> (Growth, LinearPower) {
        let values =
            [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", self.sigma8)];
        let config = CosmologyConfig::default();
        let cosmology = config.resolve(&values).unwrap();
        (Growth::new(&cosmology), config.linear_power(&cosmology, 0).unwrap())
    }

    /// Kaiser's spectra, galaxies spread over cells.
    fn spectra(&self, at: &Path, output: &str) -> Spectra {
        let Setting { n, l, b, .. } = *self;
        let (growth, linear) = self.growth();
        let (a, bins) = (1.0 / (1.0 + REDSHIFT), Spectrum::bins(n));
        let (f, power) = (growth.f1(a), MatterPower::new(&growth, &linear, self.model, REDSHIFT).unwrap().at(a));
        let power = |k: [f64; 3]| power.p(length(k));
        let window = |k: [f64; 3]| {
            k.iter().map(|k| 0.5 * k * l / n as f64).map(|x| if x == 0.0 { 1.0 } else { x.sin() / x }).product::<f64>()
        };
        let pole = |i: usize| {
            modes_in_bins(n, l, |k| {
                let mu2 = (k[2] / length(k)).powi(2);
                let legendre = [1.0, 1.5 * mu2 - 0.5, (35.0 * mu2 * mu2 - 30.0 * mu2 + 3.0) / 8.0][i];
                (4 * i + 1) as f64 * legendre * (b + f * mu2).powi(2) * power(k) * window(k).powi(2)
            })
        };
        let expected = [
            modes_in_bins(n, l, power),
            modes_in_bins(n, l, |k| b * b * power(k) * window(k).powi(2)),
            modes_in_bins(n, l, |k| b * power(k) * window(k)),
            pole(0),
            pole(1),
            pole(2),
        ];
        let mean = |field: &str, width: usize| -> Vec<Vec<[f64; 2]>> {
            let values = read(at, output, field);
            let rows: Vec<Vec<f64>> = values.chunks(width * bins).map(<[f64]>::to_vec).collect();
            mean_of(&rows).chunks(bins).map(<[[f64; 2]]>::to_vec).collect()
        };
        let found = [mean("power", 1), mean("galaxy_power", 2), mean("galaxy_multipoles", 3)].concat();
        let found = found.try_into().unwrap_or_else(|_| panic!("six spectra"));
        Spectra { found, expected, k: Spectrum::wavenumbers(bins, l) }
    }
}

impl Spectra {
    /// Prints spectrum `i` and asserts that it is what is expected in its first bins, to 4 standard errors or to a part of
    /// spectrum `of`.
    fn check(&self, i: usize, bins: usize, part: f64, of: usize) {
        for (bin, ([mean, error], expected)) in self.found[i].iter().zip(&self.expected[i]).enumerate().take(bins) {
            let (off, within) = (mean - expected, part * self.expected[of][bin].abs());
            println!("{} {:.4} {:.4} ± {:.4}", NAMES[i], self.k[bin], mean / expected, error / expected.abs());
            let name = NAMES[i];
            assert!(
                off.abs() < 4.0 * error || off.abs() < within,
                "{name}, bin {bin}: {mean} ± {error}, not {expected}"
            );
        }
    }
}

#[test]
fn galaxies_follow_matter_and_kaiser_and_move_as_linear_theory_says() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    says(&polycosm(2, at, "simulate run.toml", &[]), 0, &["48 simulations"]);
    let verified = polycosm(1, at, "verify run.toml", &[]);
    says(
        &verified,
        0,
        &["\npower over the input, mean of 48: ", "galaxy_multipoles over linear bias and redshift space"],
    );
    // The house's own theory, of the same bins, is the one that is worked out here.
    let ratio = verified.1.split("galaxy_multipoles over").nth(1).unwrap().split(": ").nth(1).unwrap();
    let ratio: f64 = ratio.split(' ').next().unwrap().parse().unwrap();

    // Of low amplitude: what is linear holds.
    let setting = Setting { n: 48, l: 640.0, sigma8: 0.3, b: 1.6, model: NonLinear::Linear };
    let spectra = setting.spectra(at, "run");
    let bins = spectra.k.len();
    spectra.check(0, bins, 0.0, 0);
    (1..3).for_each(|i| spectra.check(i, bins / 2, 0.0, i));
    (3..6).for_each(|i| spectra.check(i, bins / 3, 0.0, 3));
    assert!((spectra.found[3][0][0] / spectra.expected[3][0] - ratio).abs() < 2e-3, "{ratio}");
    let (growth, linear) = setting.growth();
    let a = 1.0 / (1.0 + REDSHIFT);
    let (f, d1) = (growth.f1(a), growth.d1(a));
    let (beta, third) = (f / 1.6, 3);
    let boost = spectra.found[3][third][0] / spectra.found[1][third][0];
    assert!((boost - 1.0 - 2.0 / 3.0 * beta - 0.2 * beta * beta).abs() < 0.05, "{boost}");

    // One-dimensional dispersion: Σ_k (a f H)² P k_x²/k⁴ over the modes of the box, and its integral over k for scale.
    let (n, l, speed) = (48, 640.0, a * f * growth.cosmology().hubble(a));
    let power = |k: f64| d1 * d1 * linear.p(k);
    let half = n as i64 / 2;
    let (mut sum, nyquist) = (0.0, TAU / l * half as f64);
    for (i, j) in (-half..half).flat_map(|i| (-half..half).map(move |j| (i, j))) {
        for k in -half..half {
            let k = [i, j, k].map(|i| TAU / l * i as f64);
            if length(k) > 0.0 && k[0].abs() < nyquist {
                sum += power(length(k)) * k[0].powi(2) / length(k).powi(4) / l.powi(3);
            }
        }
    }
    let expected = speed * speed * sum;
    let steps = 4000;
    let integral = (1..steps).map(|i| power(nyquist * i as f64 / steps as f64)).sum::<f64>() * nyquist / steps as f64;
    let integral = speed * speed * integral / (3.0 * TAU * std::f64::consts::PI);
    assert!((expected / integral - 1.0).abs() < 0.3, "{expected} {integral}");
    let lists = read_list::<6>(at, "run", "galaxies");
    let dispersion = |list: &Vec<[f64; 6]>| {
        assert!((list.len() as f64 / (2e-3 * l.powi(3)) - 1.0).abs() < 0.02, "{} galaxies", list.len());
        assert!(list.iter().all(|g| g[..3].iter().all(|x| (0.0..l).contains(x))));
        vec![list.iter().flat_map(|g| &g[3..]).map(|v| v * v).sum::<f64>() / (3 * list.len()) as f64]
    };
    let [[found, error]] = mean_of(&lists.iter().map(dispersion).collect::<Vec<_>>())[..] else { panic!("one number") };
    println!("1-D dispersion² {found:.1} ± {error:.1}, linear theory {expected:.1} (km/s)²");
    assert!((found - expected).abs() < 4.0 * error && error < 0.05 * expected, "{found} ± {error}, not {expected}");
}

/// Two hundred boxes of non-linear matter and biased galaxies, for docs/validation.md.
#[test]
#[ignore = "make validate"]
fn lognormal_boxes_against_their_input_and_kaiser() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    let setting = Setting { n: 96, l: 1000.0, sigma8: 0.8, b: 1.6, model: NonLinear::Halofit };
    let sets = [
        "design.simulations=200",
        "design.fiducial.sigma8=0.8",
        "simulator.points=96",
        "simulator.box_size=1000.0",
        "simulator.nonlinear=halofit",
        "simulator.poisson.number_density=1e-3",
        "simulator.poisson.catalogue=false",
        "suite.shard_size=100",
    ];
    let mut run = mpi::mpirun(2);
    run.current_dir(at).arg(env!("CARGO_BIN_EXE_polycosm")).args(["simulate", "run.toml"]);
    sets.iter().for_each(|set| _ = run.args(["--set", set]));
    mpi::succeed(run);
    let spectra = setting.spectra(at, "run");
    let achieved = read(at, "run", "achieved");
    println!("achieved: {:?}", &achieved[..4]);
    let mut table = Table::new("lognormal_box", ["k", "matter", "error", "P0", "error", "P2", "error"], true);
    for (bin, k) in spectra.k.iter().enumerate() {
        let over = |i: usize, of: usize| {
            let [mean, error] = spectra.found[i][bin];
            [(mean - spectra.expected[i][bin]) / spectra.expected[of][bin] + 1.0, error / spectra.expected[of][bin]]
        };
        let [m, p0, p2] = [over(0, 0), over(3, 3), over(4, 4)];
        table.row([*k, m[0], m[1], p0[0], p0[1], p2[0], p2[1]]);
    }
    spectra.check(0, spectra.k.len(), 0.01, 0);
    spectra.check(1, spectra.k.len() / 2, 0.01, 1);
    spectra.check(2, spectra.k.len() / 2, 0.02, 2);
    // Linear redshift space holds on large scales alone: 5% of the monopole.
    (3..6).for_each(|i| spectra.check(i, 8, 0.05, 3));
}

/// All that a box shows.
const EVERYTHING: [&str; 12] = [
    "design.simulations=2",
    "simulator.points=20",
    "simulator.box_size=100.0",
    "simulator.density=true",
    "simulator.poisson.number_density=0.02",
    "simulator.cone.z_max=0.03",
    "simulator.cone.observer=[10.0, 95.0, 50.0]",
    "design.fiducial.sigma8=0.8",
    "simulator.poisson.redshift_axis=1",
    "simulator.cone.n_of_z={ tophat = { z_min = 0.01, z_max = 0.03 } }",
    "simulator.cone.n_gal=0.3",
    "suite.shard_size=2",
];

#[test]
fn boxes_are_the_same_on_any_number_of_ranks() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    for precision in ["f32", "f64"] {
        for ranks in 1..=4 {
            let sets = [
                format!("output={precision}-{ranks}"),
                format!("suite.ranks_per_sim={ranks}"),
                format!("simulator.precision={precision}"),
            ];
            let sets: Vec<&str> = sets.iter().map(String::as_str).chain(EVERYTHING).collect();
            says(&polycosm(ranks, at, "simulate run.toml", &sets), 0, &["2 simulations"]);
        }
        for field in [
            "density",
            "power",
            "galaxies/data",
            "galaxies/offsets",
            "cone/data",
            "galaxy_power",
            "galaxy_multipoles",
            "achieved",
        ] {
            let one = read(at, &format!("{precision}-1"), field);
            let size = one.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            // What is measured on the galaxies' mesh is measured in its precision.
            let within = if precision == "f32" && field.starts_with("galaxy_") { 1e-5 } else { 1e-10 };
            for ranks in 2..=4 {
                let other = read(at, &format!("{precision}-{ranks}"), field);
                let off = one.iter().zip(&other).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
                assert!(
                    one.len() == other.len() && off <= within * size,
                    "{precision} {field} on {ranks}: {off} of {size}"
                );
                let bits = ["density", "galaxies/data", "cone/data"].contains(&field);
                assert!(!bits || one == other, "{precision} {field} on {ranks} ranks");
            }
            assert!(!one.is_empty(), "{field}");
        }
    }
    let (mean, cells) = (read(at, "f32-1", "density"), 2.0 * 8000.0);
    assert!((mean.iter().sum::<f64>() / cells - 1.0).abs() < 0.05 && mean.iter().all(|x| *x > 0.0));
}

#[test]
fn observers_see_the_galaxies_where_they_are() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    let mut sets: Vec<&str> = EVERYTHING[..8].to_vec();
    says(&polycosm(2, at, "simulate run.toml", &[&sets[..], &["output=octant"]].concat()), 0, &["2 simulations"]);
    let cosmology = {
        let values = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8)];
        CosmologyConfig::default().resolve(&values).unwrap()
    };
    let (l, observer) = (100.0, [10.0, 95.0, 50.0]);
    let chi = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
    let all = read_list::<6>(at, "octant", "galaxies");
    let place = |[ra, dec, z, _]: [f64; 4]| {
        let (ra, dec, r) = (ra.to_radians(), dec.to_radians(), chi(z));
        [r * dec.cos() * ra.cos(), r * dec.cos() * ra.sin(), r * dec.sin()]
    };
    for (all, seen) in all.iter().zip(read_list::<4>(at, "octant", "cone")) {
        // The very galaxies that lie within χ(z_max), in the same order, with their velocities along the line of sight.
        let near = all.iter().filter_map(|g| {
            let x: [f64; 3] = std::array::from_fn(|c| (g[c] - observer[c]).rem_euclid(l));
            let r = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            (r < chi(0.03)).then(|| (x, (0..3).map(|c| x[c] * g[3 + c]).sum::<f64>() / r))
        });
        let near: Vec<([f64; 3], f64)> = near.collect();
        assert_eq!(near.len(), seen.len());
        for ((x, v), seen) in near.iter().zip(&seen) {
            assert!((0.0..=90.0).contains(&seen[0]) && (0.0..=90.0).contains(&seen[1]), "{seen:?}");
            let off = x.iter().zip(place(*seen)).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
            assert!(off < 1e-4, "{x:?} {seen:?}");
            let doppler = (1.0 + seen[3]) / (1.0 + seen[2]) - 1.0;
            assert!((doppler * 299_792.458 - v).abs() < 1e-6 * v.abs() + 1e-6, "{v} {seen:?}");
        }
    }
    // A full sky with a mask of half of it (north, of which half is seen at random), and a given dN/dz.
    let nside = 4;
    let mask: Vec<f64> = (0..12 * nside * nside).map(|pixel| if pixel < 72 { 0.5 } else { 0.0 }).collect();
    hdf5::File::create(at.join("mask.h5")).unwrap().new_dataset_builder().with_data(&mask).create("mask").unwrap();
    sets.retain(|set| !set.starts_with("simulator.cone.z_max"));
    let more = [
        "output=full",
        "simulator.cone.sky=full",
        "simulator.cone.z_max=0.016",
        "simulator.cone.mask=mask.h5",
        "simulator.cone.n_of_z={ tophat = { z_min = 0.008, z_max = 0.02 } }",
        "simulator.cone.n_gal=0.12",
        "design.simulations=40",
        "design.fiducial.sigma8=0.3",
    ];
    says(&polycosm(2, at, "simulate run.toml", &[&sets[..], &more].concat()), 0, &["40 simulations"]);
    let seen = read_list::<4>(at, "full", "cone");
    let counts: Vec<Vec<f64>> = seen
        .iter()
        .map(|list| {
            let near = list.iter().filter(|g| g[2] < 0.012).count();
            vec![near as f64, (list.len() - near) as f64]
        })
        .collect();
    assert!(seen.iter().flatten().all(|g| g[1] > 0.0 && (0.008..0.016).contains(&g[2])));
    // 72 pixels of 192, half seen, a third of the galaxies in each half of the redshifts that are left.
    let expected = 0.12 * 360.0 * 360.0 / std::f64::consts::PI * 72.0 / 192.0 * 0.5 / 3.0;
    for [mean, error] in mean_of(&counts) {
        println!("{mean:.1} ± {error:.1} galaxies of {expected:.1}");
        assert!((mean - expected).abs() < 4.0 * error && error < 0.1 * expected, "{mean} ± {error}, not {expected}");
    }
}

#[test]
fn what_no_box_is_is_refused() {
    let folder = campaign(CAMPAIGN);
    let at = folder.path();
    let refused = |sets: &[&str], words: &[&str]| says(&polycosm(1, at, "check run.toml", sets), 2, words);
    says(&polycosm(1, at, "check run.toml", &[]), 0, &["48³ points in 640 Mpc/h at z = 0.5", "ok"]);
    refused(&["simulator.box_size=-1.0"], &["simulator.box_size = -1.0"]);
    refused(&["simulator.points=2"], &["simulator.points = 2:", "4 to"]);
    refused(&["simulator.redshift=-0.5"], &["simulator.redshift = -0.5"]);
    refused(&["simulator.nonlinear=cubic"], &["cubic", "halofit"]);
    refused(&["simulator.poisson.number_density=0.0"], &["simulator.poisson.number_density = 0.0", "must be positive"]);
    refused(
        &["simulator.poisson.number_density=1e3"],
        &["simulator.poisson.number_density", "more than a list can hold"],
    );
    refused(&["simulator.poisson.bias=-1.0"], &["simulator.poisson.bias = -1.0", "above 0"]);
    // No lognormal field has such galaxies: told before anything runs.
    refused(
        &["design.parameters.bias={ min = 50.0, max = 150.0 }", "design.fiducial.bias=100.0"],
        &["design.parameters.bias = 100.0", "its correlation function falls to -"],
    );
    refused(&["simulator.poisson.redshift_axis=3"], &["simulator.poisson.redshift_axis = 3:", "is no axis"]);
    let negative = ["design.parameters.bias={ min = -2.0, max = 2.0 }", "design.fiducial.bias=-1.5"];
    refused(&negative, &["design.parameters.bias = -1.5", "above 0"]);
    refused(&["simulator.cone.z_max=0.5"], &["simulator.cone.z_max = 0.5", "farther than the box of 640 Mpc/h"]);
    refused(&["simulator.cone={ z_max = 0.15, sky = 'full' }"], &["farther than half of the box of 640 Mpc/h"]);
    refused(&["simulator.cone={ z_max = 0.1, z_min = 0.2 }"], &["simulator.cone.z_max", "grow from z_min to z_max"]);
    refused(&["simulator.cone={ z_max = 0.1, observer = [0.0, 0.0, 700.0] }"], &["outside the box"]);
    refused(&["simulator.cone={ z_max = 0.1, n_gal = 3.0 }"], &["simulator.cone.n_gal = 3.0", "is not there"]);
    let n_of_z = "simulator.cone={ z_max = 0.1, n_of_z = { tophat = { z_min = 0.05, z_max = 0.1 } }, n_gal = 1e4 }";
    refused(&[n_of_z], &["simulator.cone.n_gal = 10000.0", "asks for", "and there are 2.000e-3"]);
    let plane = "simulator.cone={ z_max = 0.1, n_of_z = { plane = { z = 0.05 } }, n_gal = 1.0 }";
    refused(&[plane], &["simulator.cone.n_of_z", "is not one bin of some width"]);
    let beyond = "simulator.cone={ z_max = 0.1, n_of_z = { tophat = { z_min = 0.5, z_max = 0.6 } }, n_gal = 1.0 }";
    refused(&[beyond], &["simulator.cone.n_of_z", "[0.5, 0.6]", "no galaxy is seen"]);
    refused(&["simulator.cone={ z_max = 0.1, mask = 'none.h5' }"], &["simulator.cone.mask", "cannot be read"]);
    hdf5::File::create(at.join("mask.h5")).unwrap().new_dataset_builder().with_data(&[1.0; 47]).create("mask").unwrap();
    refused(&["simulator.cone={ z_max = 0.1, mask = 'mask.h5' }"], &["simulator.cone.mask", "12 nside²"]);
    let without = |lines: &[&str]| {
        let text: String =
            CAMPAIGN.lines().filter(|line| !lines.contains(line)).flat_map(|line| [line, "\n"]).collect();
        std::fs::write(at.join("run.toml"), text).unwrap();
    };
    let galaxies = ["[simulator.poisson]", "number_density = 2e-3"];
    without(&[&galaxies[..], &["[simulator.multipoles]", "subtract_shot_noise = true", "axis = \"all\""]].concat());
    refused(&[], &["bias", "add a section [simulator.poisson]"]);
    without(&[&galaxies[..], &["bias = 1.6", "bias = { min = 1.0, max = 2.0 }"]].concat());
    refused(&[], &["simulator.multipoles", "is of galaxies, and there are none"]);
    // A correlation function that no lognormal field has, in one universe: it fails, in words.
    std::fs::write(at.join("run.toml"), CAMPAIGN).unwrap();
    let sets = [
        "design.simulations=1",
        "design.parameters.bias={ min = 1.0, max = 100.0 }",
        "design.fiducial.bias=99.0",
        "design.fiducial.sigma8=0.9",
    ];
    says(&polycosm(2, at, "simulate run.toml", &sets), 1, &["its correlation function falls to -", "bias = 99"]);
}

#[test]
fn directions_lie_in_the_pixels_around_them() {
    for nside in [1, 2, 3, 8, 17, 64] {
        let rings = Rings::new(nside).unwrap();
        // A step that leads out of no pixel.
        let step = 0.2 / nside as f64;
        for r in 0..rings.count() {
            let Ring { first, pixels, cos, sin, phi0 } = rings.ring(r);
            for j in 0..pixels {
                let phi = phi0 + TAU * j as f64 / pixels as f64;
                for [up, right] in [[0.0, 0.0], [step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]] {
                    let (theta, phi) = (sin.atan2(cos) + up, phi + right / sin);
                    let to = [3.0 * theta.sin() * phi.cos(), 3.0 * theta.sin() * phi.sin(), 3.0 * theta.cos()];
                    assert_eq!(rings.pixel(to), first + j, "nside {nside}, ring {r}, pixel {j}: {up} {right}");
                }
            }
        }
    }
}

#[test]
fn pixels_have_equal_areas() {
    // A grid of equal areas, (cosθ, φ).
    let (rings, n) = (Rings::new(4).unwrap(), 1200);
    let mut counts = vec![0; rings.pixels()];
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let at = |i: usize| (i as f64 + 0.5) / n as f64;
        let (cos, phi) = (2.0 * at(i) - 1.0, TAU * at(j));
        let sin = (1.0 - cos * cos).sqrt();
        counts[rings.pixel([sin * phi.cos(), sin * phi.sin(), cos])] += 1;
    }
    let mean = (n * n) as f64 / counts.len() as f64;
    assert!(counts.iter().all(|c| (*c as f64 / mean - 1.0).abs() < 0.02), "{counts:?}");
}
