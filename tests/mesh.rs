//! The distributed mesh against exact answers, on 1 to 4 ranks and awkward shapes.

mod mpi;

use polycosm::comm::Comm;
use polycosm::mesh::{Complex, Decomposition, Fft, Halo, Mesh, Real, Transform};
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
