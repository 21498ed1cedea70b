//! What several tests need: a cosmology, a field on a mesh, words on the terminal.

#![allow(dead_code, reason = "each test binary uses its part")]

use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, CosmologyConfig};
use polycosm::mesh::{Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A path within the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What was measured, once: `cargo test --release --test NAME -- --nocapture` shows it.
pub fn say(comm: &Comm, what: std::fmt::Arguments) {
    if comm.is_root() {
        println!("{what}");
    }
}

/// That of Planck 2015, in flat ΛCDM without radiation.
pub fn planck() -> Cosmology {
    let config = CosmologyConfig {
        omega_m: Some(0.3089),
        omega_b: Some(0.0486),
        h: Some(0.6774),
        n_s: Some(0.9667),
        sigma8: Some(0.8159),
        ..Default::default()
    };
    config.resolve(&[]).unwrap()
}

/// δ_k = FFT(δ)/N³ of a real field given at every point of the global mesh.
pub fn modes_of<T: Real>(d: &Decomposition, field: impl Fn([usize; 3]) -> f64) -> Modes<T> {
    let mut fft = Fft::new(d, Halo::default(), Transform::Exact);
    let (mut mesh, mut modes): (Mesh<T>, _) = (fft.mesh(), fft.modes());
    let b = mesh.block();
    for i in 0..b.len[0] {
        for j in 0..b.len[1] {
            for (k, x) in mesh.row_mut(i, j).iter_mut().enumerate() {
                *x = T::of(field([b.start[0] + i, b.start[1] + j, k]) / d.volume() as f64);
            }
        }
    }
    fft.forward(&mut mesh, &mut modes);
    modes
}

/// The command ended with that code and said these words, in place of a panic.
#[track_caller]
pub fn says(ended: &(Option<i32>, String), code: i32, parts: &[&str]) {
    assert_eq!(ended.0, Some(code), "{}", ended.1);
    for part in parts {
        assert!(ended.1.contains(part), "does not say {part:?}:\n{}", ended.1);
    }
    assert!(!ended.1.contains("panicked") && !ended.1.contains("internal error"), "{}", ended.1);
}

/// Python that finds these packages: `POLYCOSM_PYTHON`, or `python3` with what `scripts/setup.sh` put into its cache;
/// told where there is none, and then what needs them is not tested.
pub fn python(packages: &[&str]) -> Option<Command> {
    static TOLD: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    let cache = ["POLYCOSM_CACHE", "XDG_CACHE_HOME", "HOME"].iter().zip(["", "polycosm", ".cache/polycosm"]);
    let cache = cache.filter_map(|(name, below)| std::env::var_os(name).map(|at| Path::new(&at).join(below))).next();
    let command = || {
        let mut python = Command::new(std::env::var_os("POLYCOSM_PYTHON").unwrap_or("python3".into()));
        python.env("PYTHONPATH", cache.clone().unwrap_or_default().join("python")).env("MPLBACKEND", "agg");
        python
    };
    let imports = packages.iter().map(|name| format!("import {name}\n")).collect::<String>();
    if command().args(["-c", &imports]).output().is_ok_and(|ran| ran.status.success()) {
        return Some(command());
    }
    TOLD.get_or_init(|| eprintln!("NOT TESTED: no Python with all it needs: scripts/setup.sh --python fetches it"));
    eprintln!("NOT TESTED: python3 cannot import {}", packages.join(", "));
    None
}
