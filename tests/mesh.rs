//! The distributed mesh against exact answers, on 1 to 4 ranks and awkward shapes.

mod mpi;

use polycosm::comm::Comm;
use polycosm::comm::share;
use polycosm::mesh::{Complex, Decomposition, Fft, Halo, Mesh, Plane, Real, Transform};
use std::f64::consts::TAU;

const RANKS: &[usize] = &[1, 2, 3, 4];

/// A value that names its point, irregular enough for every mode to be present.
fn value(i: [usize; 3]) -> f64 {
    let h = (i[0] * 73856093) ^ (i[1] * 19349663) ^ (i[2] * 83492791);
    (h % 10007) as f64 / 10007.0 - 0.5
}

fn fill<T: Real>(mesh: &mut Mesh<T>, f: impl Fn([usize; 3]) -> f64) {
    let b = mesh.block();
    for i in 0..b.len[0] {
        for j in 0..b.len[1] {
            for (k, x) in mesh.row_mut(i, j).iter_mut().enumerate() {
                *x = T::of(f([b.start[0] + i, b.start[1] + j, k]));
            }
        }
    }
}

fn shapes(comm: &Comm, body: impl Fn(&Decomposition, Halo, Transform)) {
    for shape in [[8, 8, 8], [6, 5, 7], [3, 2, 9], [1, 12, 4]] {
        for halo in [Halo::default(), Halo { lo: 2, hi: 3 }] {
            for how in [Transform::Fast, Transform::Exact] {
                body(&Decomposition::new(comm, shape, None).unwrap(), halo, how);
                if comm.size() == 4 {
                    body(&Decomposition::new(comm, shape, Some([4, 1])).unwrap(), halo, how);
                    body(&Decomposition::new(comm, shape, Some([1, 4])).unwrap(), halo, how);
                }
            }
        }
    }
}

fn forward_equals_the_defining_sum<T: Real>(comm: &Comm, tolerance: f64) {
    shapes(comm, |d, halo, how| {
        let n = d.shape();
        let mut fft = Fft::<T>::new(d, halo, how);
        let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
        fill(&mut mesh, value);
        fft.forward(&mut mesh, &mut modes);
        let cells = || (0..n[0]).flat_map(|i| (0..n[1]).flat_map(move |j| (0..n[2]).map(move |k| [i, j, k])));
        modes.for_each(|m, c| {
            let exact: Complex<f64> = cells()
                .map(|x| {
                    let phase: f64 = (0..3).map(|a| -TAU * (m[a] * x[a] as i64) as f64 / n[a] as f64).sum();
                    Complex::from_polar(1.0, phase) * value(x)
                })
                .sum();
            let error = (Complex::new(c.re.f64(), c.im.f64()) - exact).norm();
            assert!(error < tolerance, "{n:?} {:?} {halo:?} {how:?} mode {m:?}: {c:?} is not {exact}", d.grid());
        });
        fft.inverse(&mut modes, &mut mesh);
        let b = mesh.block();
        for i in 0..b.len[0] {
            for j in 0..b.len[1] {
                for (k, x) in mesh.row(i, j).iter().enumerate() {
                    let back = x.f64() / d.volume() as f64;
                    let error = (back - value([b.start[0] + i, b.start[1] + j, k])).abs();
                    assert!(error < tolerance, "{n:?} {:?}: round trip off by {error}", d.grid());
                }
            }
        }
    });
}

#[test]
fn fft_f64() {
    mpi::on_ranks("fft_f64", RANKS, |comm| forward_equals_the_defining_sum::<f64>(comm, 1e-11));
}

#[test]
fn fft_f32() {
    mpi::on_ranks("fft_f32", RANKS, |comm| forward_equals_the_defining_sum::<f32>(comm, 1e-4));
}

#[test]
fn halos_hold_what_they_stand_for() {
    mpi::on_ranks("halos_hold_what_they_stand_for", RANKS, |comm| {
        for shape in [[8, 8, 8], [5, 4, 6], [3, 2, 9]] {
            let d = Decomposition::new(comm, shape, None).unwrap();
            let mut mesh = Mesh::<f64>::new(&d, Halo { lo: 2, hi: 3 });
            fill(&mut mesh, value);
            mesh.fill_halo(&d);
            let b = mesh.block();
            if b.volume() == 0 {
                continue;
            }
            let global = |a: usize, i: isize| (b.start[a] as isize + i).rem_euclid(shape[a] as isize) as usize;
            for i in -2..b.len[0] as isize + 3 {
                for j in -2..b.len[1] as isize + 3 {
                    for k in -2..b.len[2] as isize + 3 {
                        let expect = value([global(0, i), global(1, j), global(2, k)]);
                        assert_eq!(mesh.data()[mesh.index(i, j, k)], expect, "{shape:?} at {i} {j} {k}");
                    }
                }
            }
        }
    });
}

/// Adding halos is the adjoint of filling them: ⟨fill(x), y⟩ = ⟨x, add(y)⟩.
#[test]
fn adding_halos_is_the_adjoint_of_filling() {
    mpi::on_ranks("adding_halos_is_the_adjoint_of_filling", RANKS, |comm| {
        for shape in [[8, 8, 8], [5, 4, 6], [3, 2, 9]] {
            let d = Decomposition::new(comm, shape, None).unwrap();
            let halo = Halo { lo: 2, hi: 3 };
            let (mut x, mut y) = (Mesh::<f64>::new(&d, halo), Mesh::<f64>::new(&d, halo));
            fill(&mut x, value);
            let b = x.block();
            let inside: f64 = x.to_vec().iter().map(|v| v * v).sum();
            x.fill_halo(&d);
            let mut dot = 0.0;
            if b.volume() > 0 {
                for i in -2..b.len[0] as isize + 3 {
                    for j in -2..b.len[1] as isize + 3 {
                        for k in -2..b.len[2] as isize + 3 {
                            let at = x.index(i, j, k);
                            let w = ((at * 7919) % 101) as f64 / 101.0;
                            y.data_mut()[at] = w;
                            dot += w * x.data()[at];
                        }
                    }
                }
            }
            y.add_halo(&d);
            let adjoint: f64 = x.to_vec().iter().zip(y.to_vec()).map(|(a, b)| a * b).sum();
            let (dot, adjoint, inside) = (comm.sum_of(dot), comm.sum_of(adjoint), comm.sum_of(inside));
            assert!(inside > 0.0 && (dot - adjoint).abs() < 1e-12 * dot.abs().max(1.0), "{shape:?}: {dot} {adjoint}");
        }
    });
}

/// More ranks than rows or columns among them.
#[test]
fn planes_that_are_dealt_out_are_whole_ones() {
    mpi::on_ranks("planes_that_are_dealt_out_are_whole_ones", RANKS, |comm| {
        for shape in [[8, 12], [5, 7], [9, 4], [1, 6], [2, 2]] {
            let [n0, n1] = shape;
            let maps: Vec<f64> = (0..3 * n0 * n1).map(|i| value([i, 1, i % 5])).collect();
            let held: Vec<usize> = (0..comm.size()).map(|rank| share(3, comm.size(), rank).1).collect();
            let (first, own) = share(3, comm.size(), comm.rank());
            let mine = maps[first * n0 * n1..(first + own) * n0 * n1].to_vec();
            let (mut one, mut all) = (Plane::<f64>::new(shape), Plane::over(comm, shape));
            let (rows, columns) = (all.rows(), all.columns());
            assert_eq!(comm.sum_of(rows.len()), n0);
            let dealt = all.deal(&held, mine.clone());
            let size = rows.len() * n1;
            for (map, dealt) in maps.chunks(n0 * n1).zip((0..3).map(|map| &dealt[map * size..(map + 1) * size])) {
                assert_eq!(dealt, &map[rows.start * n1..rows.end * n1]);
                let (whole, part) = (one.forward(map), all.forward(dealt));
                let mut at = whole.chunks(n1 / 2 + 1).flat_map(|row| &row[columns.clone()]);
                assert!(part.len() == n0 * columns.len());
                assert!(part.iter().all(|c| (c - at.next().unwrap()).norm() < 1e-13));
                let back = all.inverse(&part);
                assert!(back.iter().zip(dealt).all(|(b, x)| (b / (n0 * n1) as f64 - x).abs() < 1e-14));
                let kernel = |i: i64, j: i64| Complex::new(1.0 / (1 + i * i + 3 * j) as f64, 0.0);
                let (whole, part) = (one.filtered(&whole, kernel), all.filtered(&part, kernel));
                let own = &whole[rows.start * n1..rows.end * n1];
                assert!(part.iter().zip(own).all(|(a, b)| (a - b).abs() < 1e-13));
                let (mut modes, mut sum) = (0, [0.0]);
                let part = all.forward(dealt);
                all.for_each(&part, |[i, j], multiplicity, c| {
                    modes += multiplicity;
                    sum[0] += multiplicity as f64 * c.norm_sqr() * (i * i + 2 * j) as f64;
                });
                all.sum(&mut sum);
                let mut expected = 0.0;
                let whole = one.forward(map);
                one.for_each(&whole, |[i, j], m, c| expected += m as f64 * c.norm_sqr() * (i * i + 2 * j) as f64);
                assert!(comm.sum_of(modes) == n0 * n1 && (sum[0] - expected).abs() <= 1e-12 * expected.max(1.0));
            }
            assert_eq!(all.collect(&held, dealt), mine);
        }
    });
}
