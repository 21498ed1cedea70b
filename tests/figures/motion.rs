//! How particles move: perturbation theory, a pancake, and the steps of FastPM and COLA.

use super::measured::read;
use super::*;

/// Residual displacement of 1, 2, 3LPT against D.
pub fn lpt() -> Option<Canvas> {
    let (coarse, fine) = (read::<3>("lpt_32")?, read::<3>("lpt_64")?);
    let all = || coarse.iter().chain(&fine);
    let ((d0, d1), (r0, r1)) = (range(all().map(|r| r[1])), range(all().map(|r| r[2])));
    let (mut c, [frame]) = panels([340.0]);
    let axes = Axes::new(frame, Scale::log(d0 / 1.08, d1 * 1.5), Scale::log(r0 / 2.0, r1 * 1.7));
    let of = |rows: &[[f64; 3]], order: usize| -> Vec<(f64, f64)> {
        rows.iter().filter(|r| r[0] == order as f64).map(|r| (r[1], r[2])).collect()
    };
    for order in 1..=3 {
        let (dot, line) = (series(order - 1), pen(GREY, 1.2).dashed());
        // The expected slope, through the last moment of the finer lattice.
        let (fine, coarse) = (of(&fine, order), of(&coarse, order));
        let (d, rms) = fine[fine.len() - 1];
        let sloping = |x: f64, off: f64| rms * (x / d).powf(order as f64 + 1.0 + off);
        let ends = [d0 / 1.08, d1 * 1.08];
        axes.band(&mut c, [ends[0], d, ends[1]].map(|x| (x, sloping(x, -0.4), sloping(x, 0.4))), GREY, 0.2);
        axes.line(&mut c, ends.map(|x| (x, sloping(x, 0.0))), line);
        rings(&mut c, &axes, coarse, pen(dot, 1.5));
        dots(&mut c, &axes, fine, dot);
        let at = axes.at(d1 * 1.1, sloping(d1 * 1.08, 0.0));
        c.text(&format!("D^{} ({order}LPT)", order + 1), at, 12.0, dot, (0.0, 0.5));
    }
    axes.draw(&mut c, "growth factor D", "rms residual  [Mpc/h]", (true, true));
    let entries = [
        ("64³ particles".into(), Key::Dot(GREY)),
        ("32³ particles".into(), Key::Ring(GREY)),
        ("expected slope".into(), Key::Line(pen(GREY, 1.2).dashed())),
        shade("tolerance, 0.4 in the slope"),
    ];
    legend(&mut c, (frame[2] - 220.0, frame[3] - 80.0), &entries);
    Some(c)
}

/// Displacement of the pancake's particles, and its error, of three integrators.
pub fn pancake() -> Option<Canvas> {
    let rows = read::<4>("pancake")?;
    let names = ["FastPM", "leapfrog", "COLA"];
    let x = Scale::linear(-2.0, 102.0);
    let amplitude = range(rows.iter().map(|r| r[2])).1;
    let (mut c, [top, bottom]) = panels([190.0, 170.0]);

    let axes = Axes::new(top, x, Scale::linear(-1.25 * amplitude, 1.25 * amplitude));
    axes.line(&mut c, rows.iter().filter(|r| r[0] == 0.0).map(|r| (r[1], r[2])), pen(GREY, 1.2));
    let error = Axes::new(bottom, x, Scale::linear(-1.5, 1.5));
    tolerance(&mut c, &error, [x.min, x.max], 0.0, 1.0);
    let mut entries = vec![("exact".to_string(), Key::Line(pen(GREY, 1.2)))];
    for (i, name) in names.into_iter().enumerate() {
        // Every third particle each, so that none hides another.
        let own = || rows.iter().filter(|r| r[0] == i as f64);
        dots(&mut c, &axes, own().skip(i).step_by(3).map(|r| (r[1], r[3])), series(i));
        let off = |r: &[f64; 4]| (r[1], 1e3 * (r[3] - r[2]) / amplitude);
        // FastPM and COLA hardly differ: one wide and pale, the other on it.
        let line = if i == 0 { pen(series(i), 5.0).alpha(0.35) } else { pen(series(i), 1.4) };
        error.line(&mut c, own().map(off), line);
        entries.push((name.into(), Key::Dot(series(i))));
    }
    axes.draw(&mut c, "", "displacement  [Mpc/h]", (false, true));
    error.draw(&mut c, "q  [Mpc/h]", "error / amplitude  [10^{-3}]", (true, true));
    legend(&mut c, (LEFT + 60.0, top[1] + 12.0), &entries);
    legend(&mut c, (bottom[2] - 130.0, bottom[1] + 10.0), &[shade("tolerance, 10^{-3}")]);
    Some(c)
}

/// P(k) against FastPM's own, and COLA in ten steps against FastPM's factors in forty.
pub fn fastpm() -> Option<Canvas> {
    let (fastpm, cola) = (read::<2>("fastpm")?, read::<3>("cola")?);
    let x = Scale::log(0.02, 1.8);
    let (mut c, [top, bottom]) = panels([150.0, 200.0]);

    let axes = Axes::new(top, x, Scale::log(1.5e-8, 5e-3));
    axes.band(&mut c, [x.min, x.max].map(|x| (x, 1e-8, 1e-3)), GREY, 0.2);
    dots(&mut c, &axes, fastpm.iter().map(|r| (r[0], r[1].abs())), series(0));
    axes.draw(&mut c, "", r"|P / P_{FastPM} − 1|", (false, true));
    let entries = [("polycosm, f64, 40 steps".into(), Key::Dot(series(0))), shade("tolerance, 10^{-3}")];
    legend(&mut c, (LEFT + 14.0, top[1] + 30.0), &entries);

    let low = range(cola.iter().filter(|r| r[0] < 0.8).flat_map(|r| [r[1], r[2]])).0;
    let ratio = Axes::new(bottom, x, Scale::linear(low - 0.012, 1.055));
    tolerance(&mut c, &ratio, [x.min, 0.2], 1.0, 0.02);
    let pens = [pen(series(1), 1.8), pen(series(2), 1.8).dashed()];
    for (column, pen) in (1..).zip(pens) {
        ratio.line(&mut c, cola.iter().filter(|r| r[0] < 0.8).map(|r| (r[0], r[column])), pen);
    }
    ratio.draw(&mut c, r"k  [h/Mpc]", "P over that of 40 steps", (true, true));
    let entries = [
        ("COLA, 10 steps".into(), Key::Line(pens[0])),
        ("FastPM, 10 steps".into(), Key::Line(pens[1])),
        shade("tolerance, 2%"),
    ];
    legend(&mut c, (LEFT + 14.0, bottom[1] + 10.0), &entries);
    Some(c)
}
