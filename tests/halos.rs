//! Halos and galaxies against planted groups, brute force, closed forms and themselves on other numbers of ranks.

mod common;
mod mpi;

use common::{planck, say};
use polycosm::comm::{Comm, share};
use polycosm::io::gadget;
use polycosm::mesh::{Decomposition, Real};
use polycosm::observables::*;
use polycosm::particles::{Domain, Particles, wrap};
use std::collections::{HashMap, VecDeque};
use std::f64::consts::{LN_10, PI};
use std::path::Path;
use std::time::Instant;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fastpm_64_snapshot.hdf5");

/// Those of these particles (position, id) that `mine` claims; their momenta are functions of their identities.
fn chosen<T: Real>(all: &[([f64; 3], u64)], mine: impl Fn(usize, &[T; 3]) -> bool) -> Particles<T> {
    let mut particles = Particles::default();
    for (i, (x, id)) in all.iter().enumerate() {
        let x = x.map(T::of);
        if mine(i, &x) {
            particles.position.push(x);
            particles.momentum.push([*id as f64 * 1e-3, (*id % 7) as f64 - 3.0, 1.0].map(T::of));
            particles.id.push(*id);
        }
    }
    particles
}

/// Whole-group labels of all ranks' particles, by identity.
fn labels<T: Real>(comm: &Comm, particles: &Particles<T>, l: f64, b: f64) -> Vec<(u64, u64)> {
    let groups = friends_of_friends(comm, particles, l, b);
    let pairs: Vec<u64> = particles.id.iter().zip(groups.labels()).flat_map(|(&id, label)| [id, label]).collect();
    let mut pairs: Vec<(u64, u64)> = comm.all_gather(&pairs).chunks_exact(2).map(|p| (p[0], p[1])).collect();
    pairs.sort_unstable();
    pairs
}

/// r² ≤ b² with periodic separations, in f64.
fn friends(x: &[f64; 3], y: &[f64; 3], l: f64, b: f64) -> bool {
    let d: [f64; 3] = std::array::from_fn(|k| {
        let d = (x[k] - y[k]).abs();
        if d > l - d { l - d } else { d }
    });
    d[0] * d[0] + d[1] * d[1] + d[2] * d[2] <= b * b
}

/// Labels by breadth-first search; `near` gives candidates (all others for brute force).
fn searched(all: &[([f64; 3], u64)], l: f64, b: f64, near: impl Fn(&[f64; 3]) -> Vec<usize>) -> Vec<(u64, u64)> {
    let mut group = vec![usize::MAX; all.len()];
    let mut smallest = vec![];
    for seed in 0..all.len() {
        if group[seed] != usize::MAX {
            continue;
        }
        let (number, mut queue) = (smallest.len(), VecDeque::from([seed]));
        group[seed] = number;
        smallest.push(u64::MAX);
        while let Some(i) = queue.pop_front() {
            smallest[number] = smallest[number].min(all[i].1);
            for j in near(&all[i].0) {
                if group[j] == usize::MAX && friends(&all[i].0, &all[j].0, l, b) {
                    group[j] = number;
                    queue.push_back(j);
                }
            }
        }
    }
    let mut pairs: Vec<(u64, u64)> = all.iter().zip(&group).map(|((_, id), &g)| (*id, smallest[g])).collect();
    pairs.sort_unstable();
    pairs
}

fn brute_force(all: &[([f64; 3], u64)], l: f64, b: f64) -> Vec<(u64, u64)> {
    searched(all, l, b, |_| (0..all.len()).collect())
}

fn cell_search(all: &[([f64; 3], u64)], l: f64, b: f64) -> Vec<(u64, u64)> {
    let n = (l / b * 0.999).floor() as i64;
    let cell = |x: &[f64; 3]| x.map(|x| (x / l * n as f64).floor() as i64);
    let mut cells: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    all.iter().enumerate().for_each(|(i, (x, _))| cells.entry(cell(x)).or_default().push(i));
    searched(all, l, b, |x| {
        let c = cell(x);
        let around = (0..27).map(|m| [m / 9 - 1, m / 3 % 3 - 1, m % 3 - 1]);
        around.filter_map(|s| cells.get(&[0, 1, 2].map(|k| (c[k] + s[k]).rem_euclid(n)))).flatten().copied().collect()
    })
}

/// Sizes of groups that were planted in a box of side 16: rings around the box, through all ranks; crosses on corners,
/// edges and rank boundaries; pairs exactly at the linking length and a little beyond; loners.
fn planted() -> (Vec<([f64; 3], u64)>, Vec<usize>) {
    let (l, b) = (16.0, 0.25);
    let (mut all, mut sizes) = (vec![], vec![]);
    let mut plant = |group: Vec<[f64; 3]>, sizes: &mut Vec<usize>| {
        sizes.push(group.len());
        // 1543 is prime to 4001: identities are distinct and jump about.
        group
            .into_iter()
            .for_each(|x| all.push((x.map(|x: f64| x.rem_euclid(l)), (all.len() as u64 * 1543 + 77) % 4001)));
    };
    for axis in 0..3 {
        // A ring that closes on itself, and one with a gap a little wider than b: a chain with two ends.
        for (offset, skipped) in [(2.0, 0), (3.0, 1)] {
            let at = |i: usize| {
                let mut x = [offset + axis as f64 * 0.5, 5.5 + offset, 9.5 + offset];
                x.rotate_right(axis);
                x[axis] = i as f64 * 0.1875 + 0.0625;
                x
            };
            plant((0..85 - skipped).map(at).collect(), &mut sizes);
        }
    }
    for corner in 0..64 {
        let c = [corner / 16, corner / 4 % 4, corner % 4].map(|i| i as f64 * 4.0);
        // Three arms through one point, where three particles lie.
        let arm = |m: usize| {
            let mut x = c;
            x[m % 3] += (m / 3) as f64 * b - 2.0 * b;
            x
        };
        plant((0..15).map(arm).collect::<Vec<_>>(), &mut sizes);
    }
    for pair in 0..6 {
        let x = [7.0, 1.0 + 2.0 * pair as f64, 15.875];
        let further = |d: f64| [x[0], x[1], x[2] + d];
        plant(vec![x, further(b)], &mut sizes);
        let x = [9.0, x[1], x[2]];
        plant(vec![x], &mut sizes);
        plant(vec![[x[0], x[1], x[2] + b + 1.0 / 1024.0]], &mut sizes);
    }
    sizes.sort_unstable();
    (all, sizes)
}

#[test]
fn planted_groups_are_found() {
    mpi::on_ranks("planted_groups_are_found", &[1, 2, 3, 4], |comm| {
        let (l, b) = (16.0, 0.25);
        let (all, sizes) = planted();
        let expected = brute_force(&all, l, b);
        let mut members: HashMap<u64, usize> = HashMap::new();
        expected.iter().for_each(|(_, label)| *members.entry(*label).or_default() += 1);
        let mut found: Vec<usize> = members.into_values().collect();
        found.sort_unstable();
        assert_eq!(found, sizes, "the planted groups are not what they should be");

        // Uneven blocks; all on one rank; dealt like cards, against all advice.
        let domain = Domain::new(&Decomposition::new(comm, [5, 7, 3], None).unwrap(), l);
        let (me, ranks) = (comm.rank(), comm.size());
        let blocks = chosen::<f64>(&all, |_, x| domain.rank_of(x) == me);
        assert_eq!(labels(comm, &blocks, l, b), expected);
        assert_eq!(labels(comm, &chosen::<f64>(&all, |_, _| me == ranks - 1), l, b), expected);
        assert_eq!(labels(comm, &chosen::<f64>(&all, |i, _| i % ranks == me), l, b), expected);
        // All coordinates are multiples of 1/1024: single precision holds them.
        assert_eq!(labels(comm, &chosen::<f32>(&all, |_, x| domain.rank_of(x) == me), l, b), expected);
        assert_eq!(labels(comm, &Particles::<f32>::default(), l, b), []);
        // A linking length of nearly half the box, where cells and images are few.
        let few = &all[..all.len().min(40)];
        let wide = chosen::<f64>(few, |_, x| domain.rank_of(x) == me);
        for b in [1.0, 3.7, 5.0, 7.9] {
            assert_eq!(labels(comm, &wide, l, b), brute_force(few, l, b), "linking length {b}");
        }
    });
}

/// The FastPM snapshot, each rank with the particles over its block; read through the program's own reader.
fn snapshot<T: Real>(comm: &Comm) -> (Particles<T>, f64) {
    let file = gadget::read(comm, Path::new(SNAPSHOT)).unwrap();
    let (l, a) = (file.header.box_size, file.header.scale_factor);
    let mut particles = Particles {
        position: file.positions.iter().map(|x| x.map(|x| wrap(T::of(x), T::of(l)))).collect(),
        momentum: file.velocities.iter().map(|v| v.map(|v| T::of(v * a / 100.0))).collect(),
        id: file.ids,
        ..Default::default()
    };
    Domain::new(&Decomposition::new(comm, [64; 3], None).unwrap(), l).exchange(&mut particles);
    (particles, l)
}

/// Everyone's particles (position, id), on every rank.
fn everyone<T: Real>(comm: &Comm, particles: &Particles<T>) -> Vec<([f64; 3], u64)> {
    let x: Vec<f64> = particles.position.iter().flatten().map(|x| x.f64()).collect();
    let x = comm.all_gather(&x);
    let ids = comm.all_gather(&particles.id);
    x.chunks_exact(3).map(|x| [x[0], x[1], x[2]]).zip(ids).collect()
}

#[test]
fn fastpm_groups_equal_an_independent_search() {
    mpi::on_ranks("fastpm_groups_equal_an_independent_search", &[1, 3], |comm| {
        let (particles, l) = snapshot::<f32>(comm);
        let b = 0.2 * l / 64.0;
        comm.barrier();
        let start = Instant::now();
        let groups = friends_of_friends(comm, &particles, l, b);
        comm.barrier();
        let seconds = start.elapsed().as_secs_f64();
        let rate = 64f64.powi(3) / seconds / 1e6;
        say(comm, format_args!("friends of friends on {} ranks: {seconds:.3} s, {rate:.2}e6 particles/s", comm.size()));
        drop(groups);
        let found = labels(comm, &particles, l, b);
        let all = everyone(comm, &particles);
        if comm.is_root() {
            let expected = cell_search(&all, l, b);
            assert_eq!(expected.len(), 64 * 64 * 64);
            assert!(found == expected, "labels differ from those of the cell search");
        }
        // Brute force needs a part: a corner of the box, with its own identities.
        let inside = |x: &[f64; 3]| x.iter().all(|&x| x < 40.0);
        let part: Vec<([f64; 3], u64)> = all.into_iter().filter(|(x, _)| inside(x)).collect();
        let domain = Domain::new(&Decomposition::new(comm, [64; 3], None).unwrap(), l);
        let mine = chosen::<f32>(&part, |_, x| domain.rank_of(x) == comm.rank());
        let found = labels(comm, &mine, l, b);
        if comm.is_root() {
            assert!(found == brute_force(&part, l, b), "labels of {} particles differ from brute force", part.len());
            say(comm, format_args!("{} particles equal brute force", part.len()));
        }
    });
}

/// All ranks' rows, on every rank.
fn gathered<const C: usize>(comm: &Comm, rows: &[[f64; C]]) -> Vec<[f64; C]> {
    let flat = comm.all_gather(rows.as_flattened());
    flat.chunks_exact(C).map(|row| row.try_into().unwrap()).collect()
}

#[test]
fn catalogue_of_fastpm() {
    mpi::on_ranks("catalogue_of_fastpm", &[1, 3, 4], |comm| {
        let cosmology = planck();
        let (particles, l) = snapshot::<f32>(comm);
        let now = PeriodicBox { cosmology: &cosmology, a: 1.0, box_size: l };
        let config = HaloConfig::default();
        let start = Instant::now();
        let halos = find_halos(comm, &config, &particles, 64, &now);
        let seconds = start.elapsed().as_secs_f64();
        let rows = gathered(comm, &halos.rows());
        let (first, len) = share(rows.len(), comm.size(), comm.rank());
        assert_eq!(halos.len(), len, "rows are spread evenly");
        assert_eq!(halos.rows(), rows[first..first + len]);
        let alone = comm.alone();
        let whole = find_halos(&alone, &config, &snapshot::<f32>(&alone).0, 64, &now);
        assert_eq!(rows, whole.rows(), "the same bits on {} ranks as on one", comm.size());
        say(comm, format_args!("{} halos in {seconds:.3} s, largest {:.3e} Msun/h", rows.len(), whole.mass[0]));

        // Every column again, in plain sums over the members.
        let momentum: Vec<f64> = particles.momentum.iter().flatten().map(|p| p.f64()).collect();
        let (all, momentum) = (everyone(comm, &particles), comm.all_gather(&momentum));
        let label: HashMap<u64, u64> = labels(comm, &particles, l, 0.2 * l / 64.0).into_iter().collect();
        let mut members: HashMap<u64, Vec<usize>> = HashMap::new();
        all.iter().enumerate().for_each(|(i, (_, id))| members.entry(label[id]).or_default().push(i));
        members.retain(|_, group| group.len() >= 20);
        assert_eq!(members.len(), rows.len());
        assert!(rows.is_sorted_by_key(|row| (-row[1], row[0])), "by falling mass, then label");
        let near = |x: f64, y: f64| x - y - l * ((x - y) / l).round();
        let particle_mass = 0.3089 * 2.775_366_27e11 * 8.0;
        for row in &rows {
            let group = &members[&(row[0] as u64)];
            let n = group.len() as f64;
            assert_eq!(row[1], n);
            assert!((row[2] / (n * particle_mass) - 1.0).abs() < 1e-12);
            let mean = |f: &dyn Fn(usize) -> f64| group.iter().map(|&i| f(i)).sum::<f64>() / n;
            let (mut radius, mut dispersion) = (0.0, 0.0);
            for k in 0..3 {
                let x0 = all[group[0]].0[k];
                let x = x0 + mean(&|i| near(all[i].0[k], x0));
                assert!(near(row[3 + k], x).abs() < 1e-7 && (0.0..l).contains(&row[3 + k]));
                let v = mean(&|i| 100.0 * momentum[3 * i + k]);
                assert!((row[6 + k] - v).abs() < 1e-6);
                radius += mean(&|i| near(all[i].0[k], x).powi(2));
                dispersion += mean(&|i| (100.0 * momentum[3 * i + k] - v).powi(2)) / 3.0;
                let q = |i: usize| (all[i].1 as usize / [4096, 64, 1][k] % 64) as f64 * 2.0;
                let q0 = q(group[0]);
                assert!(near(row[11 + k], q0 + mean(&|i| near(q(i), q0))).abs() < 1e-9);
            }
            assert!((row[9] - radius.sqrt()).abs() < 1e-6, "{} {}", row[9], radius.sqrt());
            assert!((row[10] - dispersion.sqrt()).abs() < 1e-5, "{} {}", row[10], dispersion.sqrt());
        }
    });
}

/// FastPM's halos of more than 100 particles are about as many as Tinker et al. (2008) expect: 64³ particles on a mesh
/// of 128³ do not resolve halos, so this catches wrong units, no more.
#[test]
fn mass_function() {
    mpi::on_ranks("mass_function", &[1, 2], |comm| {
        let cosmology = planck();
        let (particles, l) = snapshot::<f32>(comm);
        let now = PeriodicBox { cosmology: &cosmology, a: 1.0, box_size: l };
        let halos = find_halos(comm, &HaloConfig::default(), &particles, 64, &now);
        let config = MassFunctionConfig { log_m_min: 13.85, log_m_max: 15.35, bins: 5 };
        let measured = MassFunction::measure(comm, &config, &halos, l);
        let masses = gathered(comm, &halos.rows());
        for (i, &log_m) in measured.log_mass.iter().enumerate() {
            let (low, high) = (13.85 + 0.3 * i as f64, 14.15 + 0.3 * i as f64);
            assert!((log_m - 0.5 * (low + high)).abs() < 1e-12);
            let n = masses.iter().filter(|m| (low..high).contains(&m[2].log10())).count() as f64;
            assert_eq!(measured.count[i] as f64, n);
            let density = n / (128f64.powi(3) * 0.3 * LN_10);
            assert!((measured.dn_dlnm[i] - density).abs() <= 1e-12 * density);
            assert!((measured.error[i] - density / n.sqrt().max(1.0)).abs() <= 1e-12 * density);
        }
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ccl_tinker08_200m_camb.txt"));
        let tinker: Vec<[f64; 2]> = text
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|w| w.parse().unwrap()).collect::<Vec<f64>>())
            .map(|row| [row[0].log10(), row[1]])
            .collect();
        for i in 0..2 {
            let within = tinker.iter().filter(|t| (t[0] - measured.log_mass[i]).abs() <= 0.15);
            let expected = within.clone().map(|t| t[1]).sum::<f64>() / within.count() as f64;
            let ratio = measured.dn_dlnm[i] / expected;
            let error = measured.error[i] / expected;
            say(comm, format_args!("log M {:.2}: {ratio:.2} ± {error:.2} of Tinker et al.", measured.log_mass[i]));
            assert!((0.5..1.5).contains(&ratio), "{ratio} of the expected number of halos");
        }
    });
}

/// `n` halos of one mass on a lattice, this rank's share.
fn equal_halos(comm: &Comm, n: usize, mass: f64, l: f64) -> HaloCatalogue {
    let (start, len) = share(n, comm.size(), comm.rank());
    let at = |i: usize| [i / 64, i / 8 % 8, i % 8].map(|c| (c as f64 * 1.37).rem_euclid(l));
    HaloCatalogue {
        label: (start..start + len).map(|i| 3 * i as i64).collect(),
        count: vec![100; len],
        mass: vec![mass; len],
        position: (start..start + len).map(at).collect(),
        velocity: (start..start + len).map(|i| [i as f64, -200.0, 0.5]).collect(),
        radius: vec![0.5; len],
        dispersion: vec![300.0; len],
        lagrangian: vec![[0.0; 3]; len],
    }
}

#[test]
fn galaxies_have_the_moments_of_their_occupation() {
    mpi::on_ranks("galaxies_have_the_moments_of_their_occupation", &[1, 3], |comm| {
        let cosmology = planck();
        let now = PeriodicBox { cosmology: &cosmology, a: 0.5, box_size: 100.0 };
        let (hod, n) = (HodConfig::default(), 20_000);
        for (log_m, centrals) in [(13.03, 0.5), (13.41, 0.921_350_396), (14.5, 0.999_999_977_5)] {
            let mass = 10f64.powf(log_m);
            let halos = equal_halos(comm, n, mass, 100.0);
            let galaxies = populate(comm, &hod, &halos, &now, 5, 2).unwrap();
            let rows = gathered(comm, &galaxies.rows());
            let alone = comm.alone();
            let whole = populate(&alone, &hod, &equal_halos(&alone, n, mass, 100.0), &now, 5, 2).unwrap();
            assert_eq!(rows, whole.rows(), "the same galaxies on any number of ranks");
            let other = populate(&alone, &hod, &equal_halos(&alone, n, mass, 100.0), &now, 5, 3).unwrap();
            assert_ne!(whole, other, "another realisation has other galaxies");
            // Further draws have other galaxies, and leave the first as it is.
            let several = populate(comm, &HodConfig { draws: 3, ..hod.clone() }, &halos, &now, 5, 2).unwrap();
            let several = gathered(comm, &several.rows());
            let draw = |k: f64| several.iter().filter(|row| row[8] == k).copied().collect::<Vec<_>>();
            assert_eq!(draw(0.0), rows);
            let bare = |k: f64| draw(k).into_iter().map(|row| row[..8].to_vec()).collect::<Vec<_>>();
            assert!(rows.is_empty() || bare(1.0) != bare(0.0) && bare(2.0) != bare(1.0));
            let each = draw(2.0).len() as f64;
            assert!((each - rows.len() as f64).abs() < 8.0 * each.sqrt() + 1e-9, "{each} of {}", rows.len());

            let expected = centrals * ((mass - 10f64.powf(13.27)).max(0.0) / 10f64.powf(14.08)).powf(0.76);
            assert!((hod.mean_centrals(mass) - centrals).abs() < 1e-7);
            assert!((hod.mean_satellites(mass) - expected).abs() <= 1e-7 * expected);
            let (mut has, mut number) = (0usize, vec![0f64; n]);
            for row in &rows {
                if row[6] == 1.0 { has += 1 } else { number[row[7] as usize / 3] += 1.0 }
            }
            let (count, mean) = (n as f64, has as f64 / n as f64);
            assert!((mean - centrals).abs() <= 4.0 * (centrals * (1.0 - centrals) / count).sqrt() + 1e-9);
            let satellites = number.iter().sum::<f64>() / count;
            let variance = number.iter().map(|s| (s - satellites).powi(2)).sum::<f64>() / count;
            assert!((satellites - expected).abs() <= 4.0 * (expected / count).sqrt(), "{satellites} {expected}");
            // Var(s²) of a Poisson number is (λ + 2λ²) / n.
            let error = ((expected + 2.0 * expected * expected) / count).sqrt();
            assert!((variance - expected).abs() <= 4.0 * error, "variance {variance}, expected {expected}");
            say(comm, format_args!("log M {log_m}: centrals {mean:.4} ({centrals:.4})"));
            say(comm, format_args!("  satellites {satellites:.4} ({expected:.4}), their variance {variance:.4}"));
        }
    });
}

#[test]
fn satellites_follow_profile_and_dispersion() {
    mpi::on_ranks("satellites_follow_profile_and_dispersion", &[1], |comm| {
        let cosmology = planck();
        let (l, mass, c) = (100.0, 10f64.powf(14.5), 7.0);
        let now = PeriodicBox { cosmology: &cosmology, a: 0.5, box_size: l };
        let edge = (3.0 * mass / (4.0 * PI * 200.0 * 0.3089 * 2.775_366_27e11)).cbrt();
        assert!((now.r_200m(mass) / edge - 1.0).abs() < 1e-12);
        let halos = equal_halos(comm, 20_000, mass, l);
        let hod = HodConfig { concentration: Some(c), ..HodConfig::default() };
        let galaxies = populate(comm, &hod, &halos, &now, 5, 2).unwrap();
        let (mut n, mut r1, mut r2, mut x1, mut v2, mut furthest) = (0.0, 0.0, 0.0, 0.0, 0.0, 0f64);
        for i in (0..galaxies.len()).filter(|&i| galaxies.central[i] == 0) {
            let halo = galaxies.halo[i] as usize / 3;
            let near = |d: f64| d - l * (d / l).round();
            let d: [f64; 3] = std::array::from_fn(|k| near(galaxies.position[i][k] - halos.position[halo][k]) / edge);
            let r = d.iter().map(|d| d * d).sum::<f64>().sqrt();
            (n, r1, r2, x1, furthest) = (n + 1.0, r1 + r, r2 + r * r, x1 + d[0], furthest.max(r));
            v2 += (0..3).map(|k| (galaxies.velocity[i][k] - halos.velocity[halo][k]).powi(2)).sum::<f64>() / 3.0;
            assert!(galaxies.position[i].iter().all(|x| (0.0..l).contains(x)));
        }
        // ⟨r⟩ r_s⁻¹ = [c − 2 ln(1 + c) + c / (1 + c)] / m(c).
        let m = (1.0 + c).ln() - c / (1.0 + c);
        let expected = (c - 2.0 * (1.0 + c).ln() + c / (1.0 + c)) / m / c;
        let (mean, error) = (r1 / n, ((r2 / n - (r1 / n).powi(2)) / n).sqrt());
        say(comm, format_args!("{n} satellites: mean radius {mean:.5} ± {error:.5} of R_200m, expected {expected:.5}"));
        assert!((mean - expected).abs() < 4.0 * error && furthest <= 1.0);
        assert!((x1 / n).abs() < 4.0 * (r2 / 3.0).sqrt() / n, "the directions have a preference");
        let sigma = (v2 / n).sqrt();
        assert!((sigma / 300.0 - 1.0).abs() < 4.0 / (6.0 * n).sqrt(), "velocity dispersion {sigma}");
        // Half of the mass lies within the half-mass radius; the whole within the edge.
        let half = nfw_radius(0.5, c) * c;
        assert!((((1.0 + half).ln() - half / (1.0 + half)) / m - 0.5).abs() < 1e-14);
        assert_eq!(nfw_radius(0.0, c), 0.0);
        assert!((nfw_radius(1.0, c) - 1.0).abs() < 1e-14);
        assert!((duffy_concentration(2e12, 1.0) - 10.14).abs() < 1e-12);
        assert!((duffy_concentration(2e13, 0.5) - 10.14 * 10f64.powf(-0.081) * 2f64.powf(-1.01)).abs() < 1e-12);
    });
}

#[test]
fn redshift_space_is_exact() {
    mpi::on_ranks("redshift_space_is_exact", &[2], |comm| {
        let cosmology = planck();
        let (a, l) = (0.5, 100.0);
        let now = PeriodicBox { cosmology: &cosmology, a, box_size: l };
        let per_speed = 1.0 / (a * 100.0 * (0.3089 / (a * a * a) + 0.6911f64).sqrt());
        let x = [[1.0, 2.0, 3.0], [1.0, 99.9, 3.0], [1.0, 0.1, 99.0]];
        let space = RedshiftSpace::of_velocities(&cosmology, a);
        let x = space.displaced(&x, &[[9.0, 500.0, 9.0], [9.0, 300.0, 9.0], [9.0, -400.0, 9.0]], 1, l);
        let y = [2.0 + 500.0 * per_speed, 99.9 + 300.0 * per_speed - l, 0.1 - 400.0 * per_speed + l];
        for (x, (y, z)) in x.iter().zip(y.into_iter().zip([3.0, 3.0, 99.0])) {
            assert!((x[1] - y).abs() < 1e-12 && x[0] == 1.0 && x[2] == z, "{x:?}, expected {y}");
        }
        // As an option of the painter: the same galaxies, moved along one axis.
        let halos = equal_halos(comm, 1000, 1e14, l);
        let real = HodConfig::default();
        let shifted = HodConfig { redshift_axis: Some(2), ..HodConfig::default() };
        let mut before = populate(comm, &real, &halos, &now, 1, 0).unwrap();
        let after = populate(comm, &shifted, &halos, &now, 1, 0).unwrap();
        assert_ne!(before, after);
        before.position = space.displaced(&before.position, &before.velocity, 2, l);
        assert_eq!(before, after);
    });
}

#[test]
fn impossible_settings_are_refused() {
    let key = |e: polycosm::error::Error| e.key.unwrap();
    for linking_length in [0.0, -0.2, 1.0, f64::NAN] {
        let error = HaloConfig { linking_length, ..Default::default() }.check().unwrap_err();
        assert_eq!(key(error), "simulator.halos.linking_length");
    }
    assert!(HaloConfig { min_members: 0, ..Default::default() }.check().is_err());
    assert!(HaloConfig::default().check().is_ok() && MassFunctionConfig::default().check().is_ok());
    assert!(MassFunctionConfig { log_m_min: 16.0, ..Default::default() }.check().is_err());
    assert!(MassFunctionConfig { bins: 0, ..Default::default() }.check().is_err());
    let hod = HodConfig::default();
    hod.check().unwrap();
    for (name, value) in [("log_m_min", 1e13), ("sigma_log_m", 0.0), ("log_m1", f64::NAN), ("alpha", f64::INFINITY)] {
        let error = hod.with(&[(name, value)]).check().unwrap_err();
        assert_eq!(key(error), format!("simulator.galaxies.{name}"));
    }
    for (i, name) in HodConfig::NAMES.into_iter().enumerate() {
        let varied = hod.with(&[(name, 1.5), ("Omega_m", 0.3)]);
        let values = |h: &HodConfig| [h.log_m_min, h.sigma_log_m, h.log_m0, h.log_m1, h.alpha];
        let (new, old) = (values(&varied), values(&hod));
        assert!((0..5).all(|j| new[j] == if i == j { 1.5 } else { old[j] }), "{name}");
    }
    assert!(toml::from_str::<HodConfig>("log_m_min = 12.5\nredshift_axis = 2").is_ok());
    assert!(toml::from_str::<HodConfig>("logMmin = 12.5").is_err());
    assert!(toml::from_str::<HaloConfig>("linking_lenght = 0.2").is_err());
}

#[test]
fn too_many_satellites_are_every_ranks_error() {
    mpi::on_ranks("too_many_satellites_are_every_ranks_error", &[2], |comm| {
        let cosmology = planck();
        let now = PeriodicBox { cosmology: &cosmology, a: 1.0, box_size: 100.0 };
        let mut halos = equal_halos(comm, 10, 1e13, 100.0);
        if comm.rank() == 1 {
            halos.mass[0] = 1e16;
        }
        let hod = HodConfig { log_m1: 12.0, alpha: 3.0, ..HodConfig::default() };
        let error = populate(comm, &hod, &halos, &now, 1, 0).unwrap_err();
        assert_eq!((error.exit_code(), error.agreed_from), (2, Some(1)));
    });
}
