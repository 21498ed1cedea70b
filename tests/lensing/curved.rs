//! Lensing in curved universes, against closed forms and the recursion from plane to plane.

use super::*;

const HUBBLE: f64 = 2997.92458;

/// Matter and curvature alone: distances are Mattig's, between two places Peebles' (1993, eqs 13.32 and 13.39; Hogg
/// 1999, eq. 19), volumes those of hyperbolic balls.
#[test]
fn distances_of_an_open_universe() {
    let cosmology = Cosmology::extended([0.3, 0.05, 0.7, 1.0, 0.8], Extension { omega_k: 0.7, ..Extension::default() });
    let cosmology = cosmology.unwrap();
    let mattig = |z: f64| {
        let root = (1.0 + 0.3 * z).sqrt();
        2.0 * (0.3 * z + (0.3 - 2.0) * (root - 1.0)) / (0.3f64.powi(2) * (1.0 + z))
    };
    let slope = |d: f64| (1.0 + 0.7 * d * d).sqrt();
    let sources = Sources::new(&config("field_of_view_deg = 1.0\npixels = 2\nsource_redshifts = [1.5]"), &cosmology);
    let sources = sources.unwrap();
    let behind = mattig(1.5);
    for z in [0.1, 0.4, 1.0, 1.4] {
        let (chi, d) = (cosmology.comoving_distance(1.0 / (1.0 + z)), mattig(z));
        let between = behind * slope(d) - d * slope(behind);
        let kernel = 1.5 * 0.3 / HUBBLE * d * between / behind * (1.0 + z);
        for (ours, closed) in [
            (cosmology.transverse_distance(chi), HUBBLE * d),
            (cosmology.transverse_slope(chi), slope(d)),
            (sources.efficiency(0, chi), between / behind),
            (sources.kernel(0, chi), kernel),
        ] {
            assert!((ours / closed - 1.0).abs() < 1e-9, "z = {z}: {ours}, {closed} expected");
        }
    }
    assert_eq!(sources.efficiency(0, sources.farthest()), 0.0);

    let config = config("field_of_view_deg = 1.0\npixels = 2\nsource_redshifts = [1.5]");
    let cone = Cone::new(&config, 1000.0, &cosmology, sources.farthest()).unwrap();
    let radius = HUBBLE / 0.7f64.sqrt();
    let ball = |chi: f64| 0.25 * radius.powi(2) * (radius * (2.0 * chi / radius).sinh() - 2.0 * chi);
    for slice in &cone.slices {
        let closed = ball(slice.far) - ball(slice.near);
        assert!((slice.volume / closed - 1.0).abs() < 1e-9, "{} of {closed}", slice.volume);
    }
    // White noise with W = f_K² gives the ball's volume, a spectrum of index −1 with W² = f_K the distance over ℓ + ½.
    let (far, across) = (sources.farthest(), |chi| cosmology.transverse_distance(chi));
    let white = limber_cl(&cosmology, 100.0, far, |chi| across(chi).powi(4), |_, _| 1.0);
    let red = limber_cl(&cosmology, 100.0, far, across, |k, _| 1.0 / k);
    assert!((white / ball(far) - 1.0).abs() < 1e-9 && (red * 100.5 / far - 1.0).abs() < 1e-9, "{white}, {red}");
}

/// Rays through random planes, against β and its Jacobian carried from plane to plane as in Hilbert et al. 2009, eqs
/// 14–19:
///
/// β_{k+1} = (1 − r) β_{k−1} + r β_k − f_K(χ_{k+1} − χ_k)/f_K(χ_{k+1}) α_k(β_k),
/// r = f_K(χ_k)/f_K(χ_{k+1}) · f_K(χ_{k+1} − χ_{k−1})/f_K(χ_k − χ_{k−1}).
#[test]
fn rays_follow_the_recursion() {
    mpi::on_ranks("curved::rays_follow_the_recursion", &[2], |comm| {
        let text = "field_of_view_deg = 3.0\npixels = 48\nplane_thickness = 250.0\nsource_redshifts = [1.2]";
        let shape = |ell: f64| 1e-5 * (-(ell / 500.0).powi(2)).exp();
        for omega_k in [0.0, 0.4, -0.4] {
            let cosmology = curved(omega_k);
            let (planes, sources, maps) = random_planes(comm, &cosmology, text, 100.0, shape);
            let traced = raytrace(&planes, &sources);
            if !comm.is_root() {
                continue;
            }
            let cone = planes.cone();
            let (n, f) = (cone.pixels, |chi| cosmology.transverse_distance(chi));
            let mut solver = LensPlane::solver(n);
            let lenses: Vec<LensPlane> = (cone.slices.iter().zip(&maps))
                .map(|(slice, map)| {
                    let sigma: Vec<f64> = map.iter().map(|s| s * slice.strength).collect();
                    LensPlane::new(&mut solver, &sigma, n, cone.pixel())
                })
                .collect();
            let at: Vec<f64> = cone.slices.iter().map(|s| s.chi).chain([sources.farthest()]).collect();
            let (beta, kappa) = (traced.traced.unwrap().beta, traced.kappa);
            let mut worst = [0f64; 2];
            for p in 0..n * n {
                let start = [cone.angle(p / n), cone.angle(p % n), 1.0, 0.0, 0.0, 1.0];
                let (mut before, mut here) = (start, start);
                for (k, lens) in lenses.iter().enumerate() {
                    let [b1, b2, j11, j12, j21, j22] = here;
                    let [a1, a2, u11, u22, u12] = lens.at([b1, b2]);
                    let turn = [
                        a1,
                        a2,
                        u11 * j11 + u12 * j21,
                        u11 * j12 + u12 * j22,
                        u12 * j11 + u22 * j21,
                        u12 * j12 + u22 * j22,
                    ];
                    // The observer is before the first plane: nothing comes from there.
                    let last = if k == 0 { 0.0 } else { at[k - 1] };
                    let r = f(at[k]) / f(at[k + 1]) * f(at[k + 1] - last) / f(at[k] - last);
                    let bend = f(at[k + 1] - at[k]) / f(at[k + 1]);
                    let next = std::array::from_fn(|i| (1.0 - r) * before[i] + r * here[i] - bend * turn[i]);
                    (before, here) = (here, next);
                }
                worst[0] = worst[0].max((beta[0][p] - here[0]).hypot(beta[1][p] - here[1]) / cone.pixel());
                worst[1] = worst[1].max((kappa[p] - 1.0 + 0.5 * (here[2] + here[5])).abs());
            }
            let strength = rms(kappa.iter().copied());
            say(
                comm,
                format_args!(
                    "Omega_k = {omega_k}, rms κ {strength:.4}: β apart by {:.1e} pixels, κ by {:.1e}",
                    worst[0], worst[1]
                ),
            );
            assert!(worst[0] < 1e-9 && worst[1] < 1e-11, "{worst:?}");
        }
    });
}

/// The Jacobian that is carried along is the derivative of where rays end, to all orders on two strong planes: ∂β/∂θ =
/// (1 − κ − γ1, −γ2 − ω; −γ2 + ω, 1 − κ + γ1) by differences between pixels. Rotation is second order, and would change
/// its sign were the second plane's tide multiplied from the other side.
#[test]
fn jacobian_is_the_derivative_of_positions() {
    mpi::on_ranks("curved::jacobian_is_the_derivative_of_positions", &[2], |comm| {
        let text = "field_of_view_deg = 3.0\npixels = 192\nsource_redshifts = [1.0]";
        let (config, cosmology) = (config(text), planck());
        let sources = Sources::new(&config, &cosmology).unwrap();
        let mut cone = Cone::new(&config, 2000.0, &cosmology, sources.farthest()).unwrap();
        let plane = |chi| Slice { near: 0.0, far: 0.0, chi, a: 0.8, volume: 1.0, strength: 1.0 };
        cone.slices = [0.35, 0.65].map(|part| plane(part * sources.farthest())).into();
        let (n, pixel) = (cone.pixels, cone.pixel());
        let mut planes = Planes::new(comm, cone);
        for k in 0..2 {
            // Structures of some 15 pixels, that fade away towards the edges.
            let mut map = gaussian_map(k, n, pixel, |ell| 3e-6 * (-(ell / 600.0).powi(2)).exp());
            let fade = |i: usize| (PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
            map.iter_mut().enumerate().for_each(|(p, x)| *x *= fade(p / n) * fade(p % n));
            planes.put(k as usize, map);
        }
        let maps = raytrace(&planes, &sources);
        if !comm.is_root() {
            return;
        }
        let traced = maps.traced.unwrap();
        let ([g1, g2], omega, beta) = (&traced.gamma, &traced.omega, &traced.beta);
        // Between neighbours over two and four pixels: fourth order.
        let slope = |map: &[f64], p: usize, step: usize| {
            let across = |i: usize| map[p + i * step] - map[p - i * step];
            (8.0 * across(1) - across(2)) / (12.0 * pixel)
        };
        let inner = |p: &usize| (n / 8..n - n / 8).contains(&(p / n)) && (n / 8..n - n / 8).contains(&(p % n));
        let (mut apart, mut seen) = ([0.0; 4], [0.0; 4]);
        for p in (0..n * n).filter(inner) {
            let a = [(0, n), (0, 1), (1, n), (1, 1)].map(|(i, step)| slope(&beta[i], p, step));
            let found = [1.0 - 0.5 * (a[0] + a[3]), 0.5 * (a[3] - a[0]), -0.5 * (a[1] + a[2]), 0.5 * (a[2] - a[1])];
            for (c, told) in [maps.kappa[p], g1[p], g2[p], omega[p]].into_iter().enumerate() {
                apart[c] += (found[c] - told).powi(2);
                seen[c] += told.powi(2);
            }
        }
        let seen = seen.map(|sum| (sum / (n * n) as f64).sqrt());
        let apart: [f64; 4] = std::array::from_fn(|c| (apart[c] / (n * n) as f64).sqrt() / seen[c]);
        say(comm, format_args!("rms κ, γ1, γ2, ω {seen:.4?}; differences of β apart by {apart:.5?} of them"));
        assert!(seen[0] > 0.05 && apart.iter().all(|a| *a < 0.01), "{seen:?} {apart:?}");
    });
}

#[test]
fn sources_beyond_a_quarter_of_the_circumference_are_refused() {
    let far = config("field_of_view_deg = 1.0\npixels = 8\nsource_redshifts = [20.0]");
    let cosmology = curved(-0.5);
    let chi = Sources::new(&far, &cosmology).unwrap().farthest();
    let error = Cone::new(&far, 1000.0, &cosmology, chi).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("circumference"), "{error}");
    let near = config("field_of_view_deg = 1.0\npixels = 8\nsource_redshifts = [1.0]");
    let chi = Sources::new(&near, &cosmology).unwrap().farthest();
    Cone::new(&near, 1000.0, &cosmology, chi).unwrap();
}
