//! What the matter and its halos look like: spectra, mass functions, convergence, neutrinos, f_NL.

use super::measured::{parse, read};
use super::*;

/// k and P(k) of a table of reference.
fn reference(name: &str) -> Vec<[f64; 2]> {
    let path = format!("{}/tests/data/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    parse(&std::fs::read_to_string(path).unwrap())
}

/// P(k) over linear theory, and over HMcode.
pub fn power() -> Option<Canvas> {
    let (all, bins) = (read::<4>("power")?, read::<4>("power_bins")?);
    let x = Scale::linear(0.0, 0.5);
    let shown: Vec<_> = all.into_iter().filter(|r| r[0] < x.max).collect();
    let (mut c, [top, bottom]) = panels([190.0, 170.0]);

    let boost = Axes::new(top, x, Scale::linear(0.8, 1.15 * range(shown.iter().map(|r| r[1] / r[3])).1));
    boost.line(&mut c, [(x.min, 1.0), (x.max, 1.0)], pen(GREY, 0.9));
    let [hmcode, linear] = ["camb_hmcode2020_pk", "camb_linear_pk"].map(reference);
    let theirs = hmcode.iter().zip(&linear).map(|(hmcode, linear)| (hmcode[0], hmcode[1] / linear[1]));
    boost.line(&mut c, theirs, pen(series(1), 1.8));
    dots(&mut c, &boost, shown.iter().map(|r| (r[0], r[1] / r[3])), series(0));
    boost.draw(&mut c, "", r"P(k) / P_{lin}(k)", (false, true));
    let entries = [
        ("polycosm, four fixed pairs".into(), Key::Dot(series(0))),
        ("HMcode 2020".into(), Key::Line(pen(series(1), 1.8))),
    ];
    legend(&mut c, (LEFT + 14.0, top[1] + 12.0), &entries);

    let ratio = Axes::new(bottom, x, Scale::linear(0.94, 1.06));
    tolerance(&mut c, &ratio, [0.0, 0.3], 1.0, 0.03);
    ratio.line(&mut c, shown.iter().map(|r| (r[0], r[1] / r[2])), pen(series(0), 1.0).alpha(0.5));
    for [low, high, value, _] in &bins {
        ratio.line(&mut c, [(*low, *value), (*high, *value)], pen(series(0), 1.6));
    }
    let points: Vec<_> = bins.iter().map(|[low, high, value, error]| (0.5 * (low + high), *value, *error)).collect();
    bars(&mut c, &ratio, &points, series(0));
    ratio.draw(&mut c, r"k  [h/Mpc]", "over HMcode", (true, true));
    let entries = [
        ("bins of 0.05 h/Mpc".into(), Key::Dot(series(0))),
        ("bins of 0.025 h/Mpc".into(), Key::Line(pen(series(0), 1.0).alpha(0.5))),
        shade("tolerance, 3%"),
    ];
    legend(&mut c, (bottom[2] - 170.0, bottom[1] + 12.0), &entries);
    Some(c)
}

/// Halos over Warren et al.
pub fn mass_function() -> Option<Canvas> {
    let (bins, fits) = (read::<5>("mass_function")?, read::<3>("mass_function_fits")?);
    let x = Scale::log(10f64.powf(13.35), 10f64.powf(14.65));
    let (mut c, [frame]) = panels([300.0]);
    let axes = Axes::new(frame, x, Scale::linear(0.75, 1.4));
    tolerance(&mut c, &axes, [x.min, x.max], 1.0, 0.15);
    let pens = [pen(series(1), 1.6), pen(series(2), 1.6).dashed()];
    for (column, pen) in (1..).zip(pens) {
        axes.line(&mut c, fits.iter().map(|r| (r[0], r[column])), pen);
    }
    for [low, high, _, ratio, _] in &bins {
        axes.line(&mut c, [(10f64.powf(*low), *ratio), (10f64.powf(*high), *ratio)], pen(series(0), 1.6));
    }
    let points: Vec<_> = bins.iter().map(|r| (10f64.powf(0.5 * (r[0] + r[1])), r[3], r[4])).collect();
    bars(&mut c, &axes, &points, series(0));
    axes.draw(&mut c, r"M  [M_\odot/h]", "n(M) over Warren et al. 2006", (true, true));
    let entries = [
        ("polycosm, Poisson error".into(), Key::Dot(series(0))),
        ("Jenkins et al. 2001".into(), Key::Line(pens[0])),
        ("Watson et al. 2013".into(), Key::Line(pens[1])),
        shade("tolerance, 15% beyond the Poisson error"),
    ];
    legend(&mut c, (LEFT + 14.0, frame[1] + 12.0), &entries);
    Some(c)
}

/// Mean spectra of lognormal maps off their input.
pub fn lognormal() -> Option<Canvas> {
    let rows = read::<5>("lognormal")?;
    let (first, last) = range(rows.iter().map(|r| r[2]));
    let x = Scale::log(0.8 * first, 1.25 * last);
    let (mut c, [frame]) = panels([240.0]);
    let axes = Axes::new(frame, x, Scale::linear(-0.02, 0.02));
    tolerance(&mut c, &axes, [x.min, x.max], 0.0, 0.01);
    let (own, cross): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| r[0] == r[1]);
    // Beside one another where they would hide each other.
    let beside = |k: usize, of: usize, ell: f64| ell * (1.0 + 0.14 * (k as f64 / of as f64 - 0.5));
    for (list, of, colour) in [(cross, 10, series(1)), (own, 5, series(0))] {
        let mut seen = std::collections::BTreeMap::<u64, usize>::new();
        let points: Vec<_> = list
            .iter()
            .map(|[_, _, ell, off, error]| {
                let k = seen.entry(ell.to_bits()).or_default();
                *k += 1;
                (beside(*k, of, *ell), *off, *error)
            })
            .collect();
        bars(&mut c, &axes, &points, colour);
    }
    axes.draw(&mut c, r"\ell", r"(C - C_{input}) / (C_{ii} C_{jj})^{1/2}", (true, true));
    let entries = [
        ("spectra of five maps, mean of 1000".into(), Key::Dot(series(0))),
        ("of pairs of maps".into(), Key::Dot(series(1))),
        shade("tolerance, 1%"),
    ];
    legend(&mut c, (frame[2] - 260.0, frame[1] + 12.0), &entries);
    Some(c)
}

/// C_ℓ of the Born convergence over Limber's.
pub fn convergence() -> Option<Canvas> {
    let rows = read::<4>("convergence")?;
    let (first, last) = range(rows.iter().map(|r| r[0]));
    let x = Scale::log(first / 1.35, last * 1.35);
    let (mut c, [frame]) = panels([300.0]);
    let lowest = range(rows.iter().map(|r| r[3])).0;
    let axes = Axes::new(frame, x, Scale::linear(lowest.min(0.9) - 0.04, 1.12));
    tolerance(&mut c, &axes, [x.min, x.max], 1.0, 0.05);
    rings(&mut c, &axes, rows.iter().map(|r| (r[0], r[3])), pen(series(1), 1.5));
    let points: Vec<_> = rows.iter().map(|[ell, ratio, error, _]| (*ell, *ratio, *error)).collect();
    bars(&mut c, &axes, &points, series(0));
    axes.draw(&mut c, r"ℓ", r"C_{ℓ} over Limber", (true, true));
    let entries = [
        ("Born, 80 light cones".into(), Key::Dot(series(0))),
        ("without pixels, aliases and edges".into(), Key::Ring(series(1))),
        shade("tolerance, 5%"),
    ];
    legend(&mut c, (LEFT + 14.0, frame[3] - 62.0), &entries);
    Some(c)
}

/// Spectra of lognormal skies over what was wanted of them.
pub fn skies() -> Option<Canvas> {
    let rows = read::<6>("skies")?;
    let (first, last) = (range(rows.iter().map(|r| r[0])).0, range(rows.iter().map(|r| r[1])).1);
    let x = Scale::log(first / 1.2, last * 1.2);
    let (mut c, [frame]) = panels([260.0]);
    let axes = Axes::new(frame, x, Scale::linear(0.97, 1.03));
    tolerance(&mut c, &axes, [x.min, x.max], 1.0, 0.01);
    let at = |shift: f64, i: usize| -> Vec<(f64, f64, f64)> {
        rows.iter().map(|r| (shift * (r[0] * r[1]).sqrt(), r[i], r[i + 1])).collect()
    };
    bars(&mut c, &axes, &at(0.98, 2), series(0));
    bars(&mut c, &axes, &at(1.02, 4), series(1));
    axes.draw(&mut c, r"ℓ", r"C_{ℓ} over the input", (true, true));
    let entries = [
        ("of the shells, 50 skies".into(), Key::Dot(series(0))),
        ("of their pairs: 1 + what is missing over √(CC)".into(), Key::Dot(series(1))),
        shade("tolerance, 1%"),
    ];
    legend(&mut c, (LEFT + 14.0, frame[3] - 62.0), &entries);
    Some(c)
}

/// C_ℓ of light cones and of lognormal skies over Limber's.
pub fn cones() -> Option<Canvas> {
    let rows = read::<9>("cones")?;
    let (first, last) = (range(rows.iter().map(|r| r[0])).0, range(rows.iter().map(|r| r[1])).1);
    let x = Scale::log(first / 1.1, last * 1.1);
    let (mut c, [frame]) = panels([260.0]);
    let axes = Axes::new(frame, x, Scale::linear(0.94, 1.06));
    // Where large scales carry nine tenths of C_ℓ.
    let judged = rows.iter().filter(|r| r[8] >= 0.9).map(|r| r[1]).fold(first, f64::max);
    tolerance(&mut c, &axes, [first, judged], 1.0, 0.05);
    let kinds =
        [(2, 0.97, "light cones over flat fields of 12°"), (4, 1.0, "over the sphere"), (6, 1.03, "lognormal skies")];
    for (colour, (column, shift, _)) in kinds.into_iter().enumerate() {
        let points = rows.iter().filter(|r| r[column].is_finite());
        let points: Vec<_> = points.map(|r| (shift * (r[0] * r[1]).sqrt(), r[column], r[column + 1])).collect();
        bars(&mut c, &axes, &points, series(colour));
    }
    axes.draw(&mut c, r"\ell", "C over the Limber integral", (true, true));
    let mut entries: Vec<_> =
        kinds.iter().enumerate().map(|(colour, kind)| (kind.2.to_string(), Key::Dot(series(colour)))).collect();
    entries.push(shade("5%, where k < 0.5 h/Mpc carries nine tenths"));
    legend(&mut c, (LEFT + 14.0, frame[1] + 12.0), &entries);
    Some(c)
}

/// f_NL found against planted, and how far it is off.
pub fn f_nl() -> Option<Canvas> {
    let rows = read::<3>("f_nl")?;
    let mut planted: Vec<f64> = rows.iter().map(|r| r[0]).collect();
    planted.sort_by(f64::total_cmp);
    planted.dedup();
    let means: Vec<_> = planted
        .iter()
        .map(|planted| {
            let own: Vec<_> = rows.iter().filter(|r| r[0] == *planted).collect();
            let n = own.len() as f64;
            let mean = own.iter().map(|r| r[1]).sum::<f64>() / n;
            (*planted, mean, own.iter().map(|r| r[2].powi(2)).sum::<f64>().sqrt() / n)
        })
        .collect();
    let x = Scale::linear(-550.0, 550.0);
    let (mut c, [top, bottom]) = panels([220.0, 130.0]);
    let (low, high) = range(rows.iter().map(|r| r[1]));

    let axes = Axes::new(top, x, Scale::linear(low - 100.0, high + 100.0));
    axes.line(&mut c, [(x.min, x.min), (x.max, x.max)], pen(GREY, 0.9));
    for (i, [planted, found, _]) in rows.iter().enumerate() {
        let (x, y) = axes.at(planted + 8.0 * ((i % 6) as f64 - 2.5), *found);
        c.dot(x, y, 2.4, series(5), 1.0);
    }
    bars(&mut c, &axes, &means, series(0));
    axes.draw(&mut c, "", r"found f_{NL}", (false, true));
    let entries = [
        ("mean of six universes".into(), Key::Dot(series(0))),
        ("each of them".into(), Key::Dot(series(5))),
        ("what was planted".into(), Key::Line(pen(GREY, 0.9))),
    ];
    legend(&mut c, (LEFT + 14.0, top[1] + 12.0), &entries);

    let rest = Axes::new(bottom, x, Scale::linear(-200.0, 200.0));
    let widest = means.iter().map(|m| m.2).fold(0.0, f64::max);
    tolerance(&mut c, &rest, [x.min, x.max], 0.0, 2.0 * widest);
    let points: Vec<_> = means.iter().map(|(planted, found, error)| (*planted, found - planted, *error)).collect();
    bars(&mut c, &rest, &points, series(0));
    rest.draw(&mut c, r"planted f_{NL}", "found − planted", (true, true));
    legend(&mut c, (LEFT + 14.0, bottom[1] + 10.0), &[shade("tolerance, 2σ")]);
    Some(c)
}

/// Suppression by massive neutrinos, and its difference from CAMB's.
pub fn neutrinos() -> Option<Canvas> {
    let universes = [("0.1", read::<3>("neutrinos_0.1")?), ("0.3", read::<3>("neutrinos_0.3")?)];
    let all = || universes.iter().flat_map(|u| &u.1);
    let (first, last) = range(all().map(|r| r[0]));
    let x = Scale::log(first, last);
    let (mut c, [top, bottom]) = panels([200.0, 150.0]);

    let axes = Axes::new(top, x, Scale::linear(range(all().map(|r| r[1])).0 - 0.05, 1.05));
    let residual = Axes::new(bottom, x, Scale::linear(-0.6, 0.6));
    tolerance(&mut c, &residual, [first, last], 0.0, 0.4);
    let mut entries = vec![];
    for (i, (m_nu, rows)) in universes.iter().enumerate() {
        axes.line(&mut c, rows.iter().map(|r| (r[0], r[2])), pen(series(i), 5.0).alpha(0.3));
        axes.line(&mut c, rows.iter().map(|r| (r[0], r[1])), pen(series(i), 1.4));
        residual.line(&mut c, rows.iter().map(|r| (r[0], 100.0 * (r[1] / r[2] - 1.0))), pen(series(i), 1.4));
        entries.push((format!("{m_nu} eV"), Key::Line(pen(series(i), 1.4))));
        entries.push((format!("{m_nu} eV, CAMB"), Key::Line(pen(series(i), 5.0).alpha(0.3))));
    }
    axes.draw(&mut c, "", r"P(k) / P(k; M_ν = 0)", (false, true));
    residual.draw(&mut c, r"k  [h/Mpc]", "off CAMB  [%]", (true, true));
    legend(&mut c, (LEFT + 14.0, top[3] - 80.0), &entries);
    legend(&mut c, (LEFT + 14.0, bottom[3] - 26.0), &[shade("tolerance, 0.4%")]);
    Some(c)
}

/// Spectra of lognormal boxes over what was put in, and over Kaiser's.
pub fn lognormal_box() -> Option<Canvas> {
    let rows = read::<7>("lognormal_box")?;
    let x = Scale::log(0.005, 0.4);
    let (mut c, [top, bottom]) = panels([150.0, 190.0]);
    let points = |column: usize| -> Vec<_> { rows.iter().map(|r| (r[0], r[column], r[column + 1])).collect() };
    let matter = Axes::new(top, x, Scale::linear(0.9, 1.1));
    tolerance(&mut c, &matter, [x.min, x.max], 1.0, 0.01);
    bars(&mut c, &matter, &points(1), series(0));
    matter.draw(&mut c, "", "P over the input", (false, true));
    legend(&mut c, (LEFT + 14.0, top[1] + 10.0), &[("matter, 200 boxes".into(), Key::Dot(series(0))), shade("1%")]);
    let poles = Axes::new(bottom, x, Scale::linear(0.4, 1.4));
    poles.line(&mut c, [(x.min, 1.0), (x.max, 1.0)], pen(GREY, 0.9));
    let mut entries = vec![];
    for (column, name) in [(3, r"galaxies, P_0"), (5, r"P_2")] {
        bars(&mut c, &poles, &points(column), series(column / 2));
        entries.push((name.into(), Key::Dot(series(column / 2))));
    }
    poles.draw(&mut c, r"k  [h/Mpc]", "over Kaiser's", (true, true));
    legend(&mut c, (LEFT + 14.0, bottom[3] - 50.0), &entries);
    Some(c)
}
