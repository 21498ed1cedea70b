//! Parts of lognormal skies.

use super::common::{self, says};
use super::{CAMPAIGN, mpi};
use polycosm::sphere::{Footprint, Rings};
use std::path::Path;

const SIMULATIONS: usize = 8;

fn polycosm(at: &Path, ranks: usize, words: &str, sets: &[&str]) -> (Option<i32>, String) {
    let mut run = mpi::mpirun(ranks);
    run.current_dir(at).arg(env!("CARGO_BIN_EXE_polycosm")).args(words.split(' '));
    sets.iter().for_each(|set| _ = run.args(["--set", set]));
    let ended = mpi::finish(run, std::time::Duration::from_secs(120));
    (ended.code, ended.text)
}

/// Fields of a footprint are those of the whole sky there, on any number of ranks, and say which pixels they have; spectra are
/// near those of the whole; FITS files are written of them.
#[test]
fn parts_of_a_sky_are_those_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let campaign = CAMPAIGN.replace("simulations = 24", &format!("simulations = {SIMULATIONS}"));
    std::fs::write(at.join("run.toml"), campaign.replace("mask = \"mask.h5\"\n", "")).unwrap();
    std::fs::copy(common::repository("recipes/data/shells.txt"), at.join("shells.txt")).unwrap();
    let rings = Rings::new(16).unwrap();
    let seen = |p: usize| rings.direction(p)[2] < -0.4 || p.is_multiple_of(7);
    let mask = |name: &str, values: Vec<f64>, order: &str| {
        let file = hdf5::File::create(at.join(name)).unwrap();
        let array = file.new_dataset_builder().with_data(&values).create("mask").unwrap();
        let order: hdf5::types::VarLenUnicode = order.parse().unwrap();
        array.new_attr::<hdf5::types::VarLenUnicode>().create("ORDERING").unwrap().write_scalar(&order).unwrap();
    };
    let in_order = |p: usize| if seen(rings.of_nested(p)) { 0.5 } else { 0.0 };
    mask("nested.h5", (0..rings.pixels()).map(in_order).collect(), "NESTED");
    mask("dark.h5", vec![0.0; rings.pixels()], "RING");
    mask("short.h5", vec![1.0; 12], "RING");
    let read = |output: &str, field: &str| -> Vec<f64> {
        let file = hdf5::File::open(at.join(output).join("dataset.h5")).unwrap();
        file.dataset(field).unwrap().read_raw().unwrap()
    };

    says(&polycosm(at, 1, "simulate run.toml", &[]), 0, &[]);
    let of_file = ["output=file", "suite.ranks_per_sim=3", "simulator.footprint={ mask = \"nested.h5\" }"];
    says(&polycosm(at, 3, "simulate run.toml", &of_file), 0, &[]);
    for ranks in [1, 2, 4] {
        let (output, group) = (format!("output=octant{ranks}"), format!("suite.ranks_per_sim={ranks}"));
        let sets = [&output[..], &group, "simulator.footprint=octant"];
        says(&polycosm(at, ranks, "simulate run.toml", &sets), 0, &[]);
    }
    let octant = Footprint::octant(rings);
    let parts = [("file", Footprint::of(rings, seen)), ("octant1", octant.clone()), ("octant2", octant.clone())];
    for (output, footprint) in parts.iter().chain([&("octant4", octant)]) {
        for field in ["kappa", "shear", "delta", "galaxies"] {
            let (whole, part) = (read("run", field), read(output, field));
            let there = whole.chunks(rings.pixels()).flat_map(|map| footprint.pixels().map(|p| map[p]));
            assert_eq!(part.len() * rings.pixels(), whole.len() * footprint.count(), "{output}: {field}");
            let off = there.zip(&part).map(|(a, b)| (a - b).abs() - 1e-6 * a.abs()).fold(0.0, f64::max);
            assert!(off < 1e-10, "{output}: {field} is another by {off}");
        }
        let pixels: Vec<usize> = {
            let file = hdf5::File::open(at.join(output).join("dataset.h5")).unwrap();
            file.dataset("axes/kappa/pixel")
                .unwrap()
                .read_raw::<f64>()
                .unwrap()
                .into_iter()
                .map(|p| p as usize)
                .collect()
        };
        assert!(pixels.into_iter().eq(footprint.pixels()), "{output}");
        let (whole, part) = (read("run", "c_ell"), read(output, "c_ell"));
        // Bins above the widest modes, of the three spectra.
        for i in [1, 2, 4, 5, 7, 8] {
            let mean = |all: &[f64]| all.chunks(9).map(|c| c[i]).sum::<f64>() / SIMULATIONS as f64;
            let ratio = mean(&part) / mean(&whole);
            assert!((ratio - 1.0).abs() < 0.25, "{output}: spectrum and bin {i}: {ratio}");
        }
    }
    // What a footprint's edges mix theory does not say, and FITS files have its pixels.
    let octant = ["output=octant1", "simulator.footprint=octant"];
    let verified = polycosm(at, 1, "verify run.toml", &octant);
    says(&verified, 0, &[]);
    assert!(!verified.1.contains("the table's spectra"), "{}", verified.1);
    says(&polycosm(at, 1, "export run.toml --format fits --to out", &octant), 0, &[]);

    for (set, words) in [
        ("simulator.footprint={ mask = \"dark.h5\" }", ["simulator.footprint = ", "has no pixel"]),
        ("simulator.footprint={ mask = \"short.h5\" }", ["simulator.footprint.mask = ", "of nside = 1"]),
        ("simulator.footprint={ mask = \"none.h5\" }", ["simulator.footprint.mask = ", "cannot be read"]),
        ("simulator.footprint=quarter", ["simulator.footprint", "quarter"]),
    ] {
        says(&polycosm(at, 1, "check run.toml", &["output=new", set]), 2, &words);
    }
}
