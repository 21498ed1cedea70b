//! Lensing in curved universes, against closed forms and the recursion from plane to plane.

use super::*;

const HUBBLE: f64 = 2997.92458;

/// Matter and curvature alone: distances are Mattig's, between two places Peebles' (1993, eqs 13.32 and 13.39; Hogg 1999,
/// eq. 19), volumes those of hyperbolic balls.
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

/// Rays through random planes, against β and its Jacobian carried from plane to plane as in Hilbert et al. 2009, eqs 14–19:
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
