//! Another code's snapshot, seen as the campaign's own universes are.

mod mpi;

use hdf5_sys::{h5a, h5d, h5i::hid_t, h5p::H5P_DEFAULT, h5s, h5t};
use polycosm::comm::Comm;
use polycosm::cosmology::{Cosmology, CosmologyConfig};
use polycosm::io::field::Data;
use polycosm::io::gadget::{self, Velocities};
use polycosm::prior::{Parameter, Prior};
use polycosm::simulators::{Look, Observed, Pm, PmConfig, Runner};
use polycosm::units::RHO_CRIT;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Particles per side, all of them, and the box in Mpc/h.
const SIDE: usize = 8;
const N: usize = SIDE * SIDE * SIDE;
const L: f64 = 64.0;
/// Of all matter, and at the scale factor 1/2.
const OMEGA_M: f64 = 0.3;

/// A particle's place in Mpc/h, and its peculiar velocity in km/s: waves on a lattice.
fn particle(i: usize) -> ([f64; 3], [f64; 3]) {
    let q = [i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE].map(|q| (q as f64 + 0.5) * L / SIDE as f64);
    let wave = |k: usize| (2.0 * std::f64::consts::PI * (q[k] + 2.0 * q[(k + 1) % 3]) / L).sin();
    let (x, v) = ([0, 1, 2].map(|k| q[k] + 4.0 * wave(k)), [0, 1, 2].map(|k| 300.0 * wave((k + 1) % 3)));
    (x.map(|x| (x as f32) as f64), v)
}

/// Particles `from .. to` of a snapshot at a = 1/2 in GADGET's way, in one of `files` files.
fn write_part(path: &Path, [from, to]: [usize; 2], files: i32) -> hdf5::Result<()> {
    let file = hdf5::File::create(path)?;
    let header = file.create_group("Header")?;
    let count = |n: usize| [0, n as u64, 0, 0, 0, 0];
    let mass = OMEGA_M * RHO_CRIT * L.powi(3) / N as f64 / 1e10;
    array(&header, "NumPart_ThisFile", &count(to - from))?;
    array(&header, "NumPart_Total", &count(N))?;
    array(&header, "MassTable", &[0.0, mass, 0.0, 0.0, 0.0, 0.0])?;
    number(&header, "NumFilesPerSnapshot", files)?;
    for (name, value) in [("BoxSize", L), ("Time", 0.5), ("Redshift", 1.0)] {
        number(&header, name, value)?;
    }
    let parameters = file.create_group("Parameters")?;
    for (name, value) in [
        ("Omega0", OMEGA_M),
        ("OmegaLambda", 1.0 - OMEGA_M),
        ("HubbleParam", 0.7),
        ("OmegaBaryon", 0.05),
        ("UnitLength_in_cm", 3.085678e24),
        ("UnitMass_in_g", 1.989e43),
        ("UnitVelocity_in_cm_per_s", 1e5),
    ] {
        number(&parameters, name, value)?;
    }
    let dark = file.create_group("PartType1")?;
    let of = |f: &dyn Fn(usize) -> [f64; 3]| ndarray::Array2::from_shape_fn((to - from, 3), |(i, k)| f(from + i)[k]);
    let (x, v) = (of(&|i| particle(i).0), of(&|i| particle(i).1.map(|v| v / 0.5f64.sqrt())));
    dark.new_dataset_builder().with_data(&x).create("Coordinates")?;
    dark.new_dataset_builder().with_data(&v).create("Velocities")?;
    dark.new_dataset_builder().with_data(&(from as u64..to as u64).collect::<Vec<_>>()).create("ParticleIDs")?;
    file.close()
}

fn number<T: hdf5::H5Type>(at: &hdf5::Location, name: &str, value: T) -> hdf5::Result<()> {
    array(at, name, &[value])
}

/// Sets an attribute anew: a scalar if it is one number, as h5py writes it.
fn array<T: hdf5::H5Type>(at: &hdf5::Location, name: &str, values: &[T]) -> hdf5::Result<()> {
    let _ = at.delete_attr(name);
    match values {
        [value] => at.new_attr::<T>().create(name)?.write_scalar(value),
        _ => at.new_attr::<T>().shape(values.len()).create(name)?.write_raw(values),
    }
}

/// The same numbers under the name of an array that was there.
fn replace<T: hdf5::H5Type>(file: &hdf5::File, name: &str, values: Vec<T>, columns: usize) -> hdf5::Result<()> {
    let _ = file.unlink(name);
    let shape = if columns == 1 { vec![values.len()] } else { vec![values.len() / columns, columns] };
    let values = ndarray::ArrayD::from_shape_vec(shape, values).expect("whole rows");
    file.new_dataset_builder().with_data(&values).create(name).map(|_| ())
}

type Change = fn(&hdf5::File) -> hdf5::Result<()>;

/// A snapshot in one file, changed.
fn snapshot(folder: &Path, change: Change) -> PathBuf {
    let path = folder.join("snapshot.hdf5");
    write_part(&path, [0, N], 1).unwrap();
    let file = hdf5::File::open_rw(&path).unwrap();
    change(&file).unwrap();
    file.close().unwrap();
    path
}

fn positions(f: fn([f64; 3]) -> [f64; 3]) -> Vec<f64> {
    (0..N).flat_map(|i| f(particle(i).0)).collect()
}

fn pm(sections: &str, varied: &[&str]) -> Pm<f64> {
    let text = format!("box_size = {L:?}\nparticles = {SIDE}\n{sections}");
    let mut cosmology = CosmologyConfig { omega_b: Some(0.05), h: Some(0.7), n_s: Some(0.96), ..Default::default() };
    for (name, value) in [("Omega_m", OMEGA_M), ("sigma8", 0.8)] {
        if !varied.contains(&name) {
            *cosmology.value_mut(name).unwrap() = Some(value);
        }
    }
    let bounds = |name: &str| if name == "log_m_min" { (12.0, 14.0) } else { (0.1, 0.9) };
    let parameter = |name: &&str| {
        let (min, max) = bounds(name);
        Parameter::uniform(*name, "", min, max)
    };
    let prior = Prior::new(varied.iter().map(parameter).collect()).unwrap();
    Pm::new(&toml::from_str::<PmConfig>(&text).unwrap(), &cosmology, &prior).unwrap()
}

const HALF: &str =
    "redshifts = [1.0]\n[power]\n[multipoles]\n[halos]\nlinking_length = 0.8\nmin_members = 4\n[galaxies]\n";

fn observe(pm: &Pm<f64>, path: &Path, fields: &[&str]) -> polycosm::error::Result<Observed> {
    let fields: Vec<String> = fields.iter().map(|f| f.to_string()).collect();
    let look = Look { fields: Some(&fields), velocities: None };
    pm.observe_file(&Comm::world(), path, &look)
}

fn numbers(seen: &Observed, name: &str) -> Vec<f64> {
    let field = seen.fields.iter().find(|f| f.spec.name == name).unwrap();
    match &field.data {
        Data::F64(v) => v.clone(),
        Data::F32(v) => v.iter().map(|&x| x as f64).collect(),
        Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
    }
}

fn group(file: &hdf5::File, name: &str) -> hdf5::Group {
    file.group(name).unwrap()
}

/// Another type's particles with masses of their own, `part` of those of dark matter.
fn others(file: &hdf5::File, kind: usize, part: f64) -> hdf5::Result<()> {
    let mut counts = [0u64, N as u64, 0, 0, 0, 0];
    counts[kind] = 10;
    array(&group(file, "Header"), "NumPart_ThisFile", &counts)?;
    array(&group(file, "Header"), "NumPart_Total", &counts)?;
    file.create_group(&format!("PartType{kind}"))?;
    let mass = part * OMEGA_M * RHO_CRIT * L.powi(3) / 1e10 / 10.0;
    replace(file, &format!("PartType{kind}/Masses"), vec![mass; 10], 1)?;
    replace(file, &format!("PartType{kind}/Coordinates"), vec![1.0; 30], 3)
}

/// One test at a time: children of one inherit what another has open, and starting MPI changes the environment that
/// they get.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// What no universe has, or no network would know, is refused with file, place and a remedy.
#[test]
fn impossible_snapshots_are_refused_in_words() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, Change, &[&str]); 26] = [
        ("gas", |f| others(f, 0, 0.19), &["PartType0", "15.97%", "gas"]),
        (
            "matter that is not counted",
            |f| {
                others(f, 0, 0.19)?;
                array(&group(f, "Header"), "NumPart_ThisFile", &[0, N as u64, 0, 0, 0, 0])
            },
            &["PartType0", "gas"],
        ),
        ("heavy particles of type 2", |f| others(f, 2, 0.5), &["PartType2"]),
        (
            "unequal masses",
            |f| {
                array(&group(f, "Header"), "MassTable", &[0.0; 6])?;
                replace(f, "PartType1/Masses", (0..N).map(|i| 1.0 + i as f64).collect(), 1)
            },
            &["PartType1/Masses", "differ"],
        ),
        ("a mass of NaN", |f| array(&group(f, "Header"), "MassTable", &[0.0, f64::NAN]), &["MassTable", "not finite"]),
        ("an endless mass", |f| array(&group(f, "Header"), "MassTable", &[f64::INFINITY; 6]), &["MassTable"]),
        (
            "a box beyond all numbers in Mpc/h",
            |f| {
                number(&group(f, "Header"), "BoxSize", 1e300)?;
                number(&group(f, "Parameters"), "UnitLength_in_cm", 1e100)
            },
            &["BoxSize", "not finite"],
        ),
        ("three sides", |f| array(&group(f, "Header"), "BoxSize", &[L, L, 2.0 * L]), &["BoxSize", "unequal sides"]),
        (
            "positions in kpc/h",
            |f| replace(f, "PartType1/Coordinates", positions(|x| x.map(|x| 1e3 * x)), 3),
            &["PartType1/Coordinates", "looks like kpc/h"],
        ),
        (
            "positions in Mpc/h",
            |f| replace(f, "PartType1/Coordinates", positions(|x| x.map(|x| 1e-3 * x)), 3),
            &["PartType1/Coordinates", "looks like Mpc/h"],
        ),
        (
            "one at 1e30",
            |f| replace(f, "PartType1/Coordinates", positions(|x| if x[0] < 5.0 { [1e30; 3] } else { x }), 3),
            &["PartType1/Coordinates", "1000000000000"],
        ),
        (
            "all in one point",
            |f| replace(f, "PartType1/Coordinates", vec![3.0; 3 * N], 3),
            &["all particles lie from 3"],
        ),
        (
            "a position that is no number",
            |f| replace(f, "PartType1/Coordinates", positions(|x| if x[0] < 5.0 { [f64::NAN; 3] } else { x }), 3),
            &["PartType1/Coordinates", "not finite"],
        ),
        (
            "a velocity that is no number",
            |f| {
                replace(f, "PartType1/Velocities", (0..3 * N).map(|i| if i == 7 { f64::NAN } else { 1.0 }).collect(), 3)
            },
            &["PartType1/Velocities", "not finite"],
        ),
        (
            "an infinite velocity",
            |f| {
                replace(
                    f,
                    "PartType1/Velocities",
                    (0..3 * N).map(|i| if i == 7 { f64::INFINITY } else { 1.0 }).collect(),
                    3,
                )
            },
            &["PartType1/Velocities", "not finite"],
        ),
        (
            "velocities in cm/s",
            |f| replace(f, "PartType1/Velocities", (0..3 * N).map(|i| 1e7 * (i as f64).sin()).collect(), 3),
            &["PartType1/Velocities", "light"],
        ),
        ("two times", |f| number(&group(f, "Header"), "Redshift", 0.0), &["Time = 0.5", "Redshift = 0"]),
        (
            "no time",
            |f| {
                group(f, "Header").delete_attr("Redshift")?;
                group(f, "Header").delete_attr("Time")
            },
            &["lacks the attributes Time and Redshift"],
        ),
        ("two densities", |f| number(f, "Omega_m", 0.35), &["Omega_m", "0.35", "0.3"]),
        (
            "masses of another density",
            |f| array(&group(f, "Header"), "MassTable", &[0.0, 1.0]),
            &["MassTable", "Omega_m"],
        ),
        (
            "a part of a snapshot",
            |f| array(&group(f, "Header"), "NumPart_Total", &[0, 2 * N as u64]),
            &["NumPart_Total", "1024"],
        ),
        (
            "a high word",
            |f| array(&group(f, "Header"), "NumPart_Total_HighWord", &[0u32, 1]),
            &["NumPart_Total", "4294967808"],
        ),
        (
            "2^62 particles",
            |f| {
                f.unlink("PartType1/Coordinates")?;
                f.new_dataset::<f32>().chunk((1000, 3)).shape((1usize << 62, 3)).create("PartType1/Coordinates")?;
                array(&group(f, "Header"), "NumPart_Total", &[0, 1u64 << 62])?;
                array(&group(f, "Header"), "NumPart_ThisFile", &[0, 1u64 << 62])
            },
            &["NumPart_ThisFile", "more than a file of"],
        ),
        (
            "2^62 particles of gas",
            |f| {
                others(f, 0, 0.01)?;
                f.unlink("PartType0/Masses")?;
                f.new_dataset::<f32>().chunk(1000).shape(1usize << 62).create("PartType0/Masses")?;
                array(&group(f, "Header"), "NumPart_ThisFile", &[1u64 << 62, N as u64])
            },
            &["PartType0/Masses"],
        ),
        (
            "positions in words",
            |f| {
                let word = hdf5::types::FixedAscii::<4>::from_ascii(b"here").unwrap();
                replace(f, "PartType1/Coordinates", vec![word; 3 * N], 3)
            },
            &["PartType1/Coordinates", "not numbers"],
        ),
        (
            "one of many",
            |f| number(&group(f, "Header"), "NumFilesPerSnapshot", 4),
            &["snapshot.hdf5", "ends in no number"],
        ),
    ];
    for (what, change, says) in cases {
        let path = snapshot(dir.path(), change);
        let error = gadget::read(&Comm::world(), &path).map(|s| s.header).expect_err(what);
        let text = error.to_string();
        assert!(error.exit_code() == 2 && error.remedy.is_some(), "{what}: {text}");
        assert!(says.iter().chain(&["snapshot.hdf5"]).all(|word| text.contains(word)), "{what}: {text}");
    }
}

/// What is unusual, but can be understood, is read, and said where a reader might think otherwise.
#[test]
fn unusual_snapshots_are_read() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let plain = gadget::read(&Comm::world(), &snapshot(dir.path(), |_| Ok(()))).unwrap();
    assert!(plain.own_ids && plain.header.warnings.is_empty(), "{:?}", plain.header.warnings);
    assert!((0..N).all(|i| plain.positions[i] == particle(i).0));
    let cases: [(&str, Change, &str); 15] = [
        (
            "neutrinos",
            |f| {
                others(f, 2, 0.02)?;
                number(&group(f, "Parameters"), "Omega0", OMEGA_M * 1.02)
            },
            "1.96% of the matter is 10 particles of type 2",
        ),
        ("tracers without mass", |f| others(f, 3, 0.0), "have no mass and are ignored"),
        (
            "equal masses",
            |f| {
                let mass = OMEGA_M * RHO_CRIT * L.powi(3) / N as f64 / 1e10;
                array(&group(f, "Header"), "MassTable", &[0.0; 6])?;
                replace(f, "PartType1/Masses", vec![mass as f32; N], 1)
            },
            "",
        ),
        ("three equal sides", |f| array(&group(f, "Header"), "BoxSize", &[L; 3]), ""),
        (
            "another image",
            |f| {
                replace(
                    f,
                    "PartType1/Coordinates",
                    positions(|x| if x[0] < 20.0 { [x[0] + L, x[1], x[2]] } else { x }),
                    3,
                )
            },
            "outside the box",
        ),
        (
            "a centred box",
            |f| replace(f, "PartType1/Coordinates", positions(|x| x.map(|x| if x > 0.5 * L { x - L } else { x })), 3),
            "outside the box",
        ),
        ("identities of 0", |f| replace(f, "PartType1/ParticleIDs", vec![0u32; N], 1), "numbered as they stand"),
        (
            "negative identities",
            |f| replace(f, "PartType1/ParticleIDs", (0..N as i32).map(|i| i - 200).collect(), 1),
            "numbered as they stand",
        ),
        (
            "identities twice",
            |f| replace(f, "PartType1/ParticleIDs", (0..N as u64).map(|i| if i == 5 { 6 } else { i }).collect(), 1),
            "numbered as they stand",
        ),
        ("identities from 1", |f| replace(f, "PartType1/ParticleIDs", (1..=N as u64).collect(), 1), ""),
        ("no identities", |f| f.unlink("PartType1/ParticleIDs"), "are not there"),
        ("redshift alone", |f| group(f, "Header").delete_attr("Time"), ""),
        (
            "header alone",
            |f| {
                f.unlink("Parameters")?;
                let header = group(f, "Header");
                number(&header, "Omega0", OMEGA_M)?;
                number(&header, "UnitLength_in_cm", 3.0857e24)
            },
            "",
        ),
        ("attributes that nobody needs", odd_attributes, ""),
        (
            "half precision",
            |f| {
                half(
                    f,
                    "PartType1/Velocities",
                    &(0..N).flat_map(|i| particle(i).1.map(|v| v / 0.5f64.sqrt())).collect::<Vec<_>>(),
                )
            },
            "",
        ),
    ];
    for (what, change, says) in cases {
        let path = snapshot(dir.path(), change);
        let seen = gadget::read(&Comm::world(), &path).unwrap_or_else(|e| panic!("{what}: {e}"));
        let words = seen.header.warnings.join("; ");
        assert!(if says.is_empty() { words.is_empty() } else { words.contains(says) }, "{what}: {words:?}");
        assert!(seen.ids.iter().copied().eq(0..N as u64), "{what}");
        assert_eq!((seen.header.box_size, seen.header.scale_factor, seen.header.npart), (L, 0.5, N as u64), "{what}");
        let close = |a: &[f64; 3], b: &[f64; 3]| (0..3).all(|k| (a[k] - b[k]).abs() <= 0.001 * b[k].abs() + 0.01);
        assert!(seen.velocities.iter().zip(&plain.velocities).all(|(a, b)| close(a, b)), "{what}");
    }
}

/// HDF5's own type of half precision: there is none in the library, so that one is made.
fn half_type() -> hid_t {
    // SAFETY: calls of the library on a type that is made here.
    unsafe {
        let half = h5t::H5Tcopy(*h5t::H5T_IEEE_F32LE);
        assert!(h5t::H5Tset_fields(half, 15, 10, 5, 0, 10) >= 0 && h5t::H5Tset_size(half, 2) >= 0);
        assert!(h5t::H5Tset_ebias(half, 15) >= 0);
        half
    }
}

fn half(file: &hdf5::File, name: &str, values: &[f64]) -> hdf5::Result<()> {
    file.unlink(name)?;
    let (name, shape) = (std::ffi::CString::new(name).unwrap(), [values.len() as u64 / 3, 3]);
    hdf5::sync::sync(|| {
        // SAFETY: identifiers are made here, and `values` has as many numbers as the shape.
        unsafe {
            let space = h5s::H5Screate_simple(2, shape.as_ptr(), std::ptr::null());
            let (d, p) = (half_type(), H5P_DEFAULT);
            let array = h5d::H5Dcreate2(file.id(), name.as_ptr(), d, space, p, p, p);
            let memory = *h5t::H5T_NATIVE_DOUBLE;
            assert!(h5d::H5Dwrite(array, memory, h5s::H5S_ALL, h5s::H5S_ALL, p, values.as_ptr().cast()) >= 0);
            h5d::H5Dclose(array);
            h5s::H5Sclose(space);
        }
    });
    Ok(())
}

/// Attributes of the root: long double, half, opaque and empty.
fn odd_attributes(file: &hdf5::File) -> hdf5::Result<()> {
    hdf5::sync::sync(|| {
        // SAFETY: identifiers are made here; nothing is written but what the library fills in.
        unsafe {
            let (scalar, none) =
                (h5s::H5Screate(h5s::H5S_class_t::H5S_SCALAR), h5s::H5Screate(h5s::H5S_class_t::H5S_NULL));
            let opaque = h5t::H5Tcreate(h5t::H5T_class_t::H5T_OPAQUE, 8);
            let kinds = [
                (c"long double", *h5t::H5T_NATIVE_LDOUBLE, scalar),
                (c"half", half_type(), scalar),
                (c"opaque", opaque, scalar),
                (c"empty", *h5t::H5T_NATIVE_DOUBLE, none),
            ];
            for (name, kind, space) in kinds {
                let attribute = h5a::H5Acreate2(file.id(), name.as_ptr(), kind, space, H5P_DEFAULT, H5P_DEFAULT);
                assert!(attribute >= 0 && h5a::H5Aclose(attribute) >= 0);
            }
        }
    });
    Ok(())
}

/// SWIFT's units are without h, its velocities without √a, its `Time` no scale factor.
#[test]
fn swift_snapshots_are_converted() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), |f| {
        let (header, h) = (group(f, "Header"), 0.7);
        f.unlink("Parameters")?;
        array(&header, "BoxSize", &[L / h; 3])?;
        number(&header, "Time", 5.9e-3)?;
        number(&header, "Scale-factor", 0.5)?;
        number(&header, "Code", hdf5::types::FixedAscii::<6>::from_ascii(b"SWIFT").unwrap())?;
        array(&header, "MassTable", &[0.0; 7])?;
        let mass = OMEGA_M * RHO_CRIT * L.powi(3) / N as f64 / 1e10 / h;
        let (units, cosmology) = (f.create_group("Units")?, f.create_group("Cosmology")?);
        number(&units, "Unit length in cgs (U_L)", 3.085678e24)?;
        number(&units, "Unit mass in cgs (U_M)", 1.989e43)?;
        number(&units, "Unit time in cgs (U_t)", 3.085678e19)?;
        for (name, value) in [("Omega_m", OMEGA_M), ("h", h), ("Omega_b", 0.05), ("w_0", -1.0), ("w_a", 0.0)] {
            number(&cosmology, name, value)?;
        }
        replace(f, "PartType1/Masses", vec![mass; N], 1)?;
        replace(f, "PartType1/Coordinates", positions(|x| x.map(|x| x / 0.7)), 3)?;
        replace(f, "PartType1/Velocities", (0..N).flat_map(|i| particle(i).1).collect(), 3)
    });
    let seen = gadget::read(&Comm::world(), &path).unwrap();
    assert!(seen.header.warnings.is_empty(), "{:?}", seen.header.warnings);
    assert!((seen.header.box_size / L - 1.0).abs() < 1e-12 && seen.header.scale_factor == 0.5);
    assert_eq!((seen.header.told("Omega_m"), seen.header.told("w0")), (Some(OMEGA_M), Some(-1.0)));
    for i in 0..N {
        let (x, v) = particle(i);
        let off = |a: [f64; 3], b: [f64; 3]| (0..3).map(|k| (a[k] - b[k]).abs()).fold(0.0, f64::max);
        assert!(off(seen.positions[i], x) < 1e-9 && off(seen.velocities[i], v) < 1e-9, "{i}");
    }
    // The same universe to the campaign, halos and galaxies and all.
    let pm = pm(HALF, &["Omega_m"]);
    let plain = snapshot(tempfile::tempdir().unwrap().keep().as_path(), |_| Ok(()));
    let (swift, plain) =
        (observe(&pm, &path, &["multipoles"]).unwrap(), observe(&pm, &plain, &["multipoles"]).unwrap());
    let (a, b) = (numbers(&swift, "multipoles"), numbers(&plain, "multipoles"));
    let largest = b.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6 * largest), "{a:?} {b:?}");
}

/// The convention of velocities: as the array tells, as the header tells, or as the campaign says.
#[test]
fn velocities_are_taken_as_they_are_said_to_be() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let speed = |path: &Path, said: Option<Velocities>| {
        let header = gadget::header(path).unwrap();
        let seen = gadget::read_particles(&Comm::world(), path, header, said).unwrap();
        seen.velocities[3][0] / particle(3).1[0]
    };
    let written = 1.0 / 0.5f64.sqrt();
    let plain = snapshot(dir.path(), |_| Ok(()));
    assert!((speed(&plain, None) - 1.0).abs() < 1e-12);
    assert!((speed(&plain, Some(Velocities::Peculiar)) - written).abs() < 1e-12);
    let peculiar = snapshot(dir.path(), |f| number(&group(f, "Header"), "UsePeculiarVelocity", 1));
    assert!((speed(&peculiar, None) - written).abs() < 1e-12);
    assert!((speed(&peculiar, Some(Velocities::Gadget)) - 1.0).abs() < 1e-12);
    let told = snapshot(dir.path(), |f| number(&*f.dataset("PartType1/Velocities")?, "a_scaling", 0.0));
    assert!((speed(&told, None) - written).abs() < 1e-12);
}

/// All files of a snapshot, on any number of ranks, whichever of them is named.
#[test]
fn snapshots_in_several_files_are_read_whole() {
    let _alone = alone();
    mpi::on_ranks("snapshots_in_several_files_are_read_whole", &[1, 3], |comm| {
        let folder = mpi::shared_dir();
        if comm.is_root() {
            for (i, range) in [[0, 100], [100, 100], [100, 300], [300, N]].into_iter().enumerate() {
                write_part(&folder.join(format!("snap_z0.5.{i}.hdf5")), range, 4).unwrap();
            }
        }
        comm.barrier();
        for name in ["snap_z0.5.0.hdf5", "snap_z0.5.3.hdf5", "snap_z0.5.hdf5", "snap_z0.5"] {
            let seen = gadget::read(comm, &folder.join(name)).unwrap();
            let first = comm.offset(seen.ids.len());
            assert_eq!((comm.sum_of(seen.ids.len()), seen.header.files()), (N, 4), "{name}");
            assert!(seen.ids.iter().enumerate().all(|(i, &id)| id == (first + i) as u64), "{name}");
            assert!(seen.positions.iter().enumerate().all(|(i, x)| *x == particle(first + i).0), "{name}");
            assert_eq!(gadget::files(&folder.join(name)).unwrap().len(), 4);
        }
        comm.barrier();
        if comm.is_root() {
            std::fs::remove_file(folder.join("snap_z0.5.2.hdf5")).unwrap();
        }
        comm.barrier();
        let gone = gadget::read(comm, &folder.join("snap_z0.5")).expect_err("a file is gone").to_string();
        assert!(gone.contains("snap_z0.5.2.hdf5") && gone.contains("no such file"), "{gone}");
        // A part on its own that says it is the whole.
        comm.barrier();
        if comm.is_root() {
            write_part(&folder.join("part.0.hdf5"), [0, 100], 1).unwrap();
        }
        comm.barrier();
        let part = gadget::read(comm, &folder.join("part.0.hdf5")).expect_err("a part").to_string();
        assert!(part.contains("NumPart_Total") && part.contains("512"), "{part}");
    });
}

/// Replaces an array by a virtual one over the same in `piece.0.hdf5` and `piece.1.hdf5`.
fn in_pieces<T: hdf5::H5Type>(file: &hdf5::File, name: &str, columns: usize) -> hdf5::Result<()> {
    use hdf5::SliceOrIndex as Slice;
    let rest = || (columns > 1).then(|| Slice::from(0..columns));
    let slab =
        |from, to| hdf5::Hyperslab::from(std::iter::once(Slice::from(from..to)).chain(rest()).collect::<Vec<Slice>>());
    let extent = |n: usize| if columns > 1 { vec![n, columns] } else { vec![n] };
    file.unlink(name)?;
    let builder = file.new_dataset::<T>().shape(extent(N)).with_dcpl(|p| {
        [[0, 200], [200, N]].iter().enumerate().fold(p, |p, (i, &[from, to])| {
            let (piece, part) = (format!("piece.{i}.hdf5"), extent(to - from));
            p.virtual_map(&piece, name, &part[..], slab(0, to - from), &extent(N)[..], slab(from, to))
        })
    });
    builder.create(name).map(|_| ())
}

/// A file whose arrays are virtual ones over others, as SWIFT writes beside its distributed snapshots.
#[test]
fn virtual_snapshots_are_read() {
    let _alone = alone();
    mpi::on_ranks("virtual_snapshots_are_read", &[1, 2], |comm| {
        let folder = mpi::shared_dir();
        let pieces = [0, 1].map(|i| folder.join(format!("piece.{i}.hdf5")));
        let write = |positions: bool| {
            if comm.is_root() {
                write_part(&pieces[0], [0, 200], 1).unwrap();
                write_part(&pieces[1], [200, N], 1).unwrap();
                snapshot(&folder, |f| in_pieces::<f64>(f, "PartType1/Velocities", 3));
                if positions {
                    snapshot(&folder, |f| {
                        in_pieces::<f64>(f, "PartType1/Coordinates", 3)?;
                        in_pieces::<f64>(f, "PartType1/Velocities", 3)?;
                        in_pieces::<u64>(f, "PartType1/ParticleIDs", 1)
                    });
                }
            }
            comm.barrier();
        };
        let path = folder.join("snapshot.hdf5");
        for positions in [true, false] {
            write(positions);
            let seen = gadget::read(comm, &path).unwrap();
            let first = comm.offset(seen.ids.len());
            assert_eq!(comm.sum_of(seen.ids.len()), N);
            assert!(seen.ids.iter().enumerate().all(|(i, &id)| id == (first + i) as u64));
            assert!(seen.positions.iter().enumerate().all(|(i, x)| *x == particle(first + i).0));
            let near = |v: &[f64; 3], i: usize| {
                v.iter().zip(particle(i).1).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs() + 1e-9)
            };
            assert!(seen.velocities.iter().enumerate().all(|(i, v)| near(v, first + i)));
            // They are part of what was observed.
            assert_eq!(gadget::files(&path).unwrap(), [&[path.clone()][..], &pieces].concat());
            comm.barrier();
            if comm.is_root() {
                std::fs::remove_file(&pieces[1]).unwrap();
            }
            comm.barrier();
            let gone = gadget::read(comm, &path).expect_err("a piece is gone").to_string();
            let array = if positions { "Coordinates" } else { "Velocities" };
            assert!(gone.contains("piece.1.hdf5") && gone.contains(array), "{gone}");
            comm.barrier();
        }
    });
}

/// The cosmology that products need is that of the header, where the root does not tell; the truth is not needed.
#[test]
fn what_products_need_is_looked_for_and_named() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let all = pm(HALF, &["Omega_m", "sigma8"]);
    let plain = snapshot(dir.path(), |_| Ok(()));
    let seen = observe(&all, &plain, &["multipoles", "halos"]).unwrap();
    assert_eq!(seen.fields.len(), 2);
    assert_eq!(seen.truth, None);
    assert!(!numbers(&seen, "halos").is_empty());
    let told = snapshot(dir.path(), |f| {
        number(f, "Omega_m", OMEGA_M)?;
        number(f, "sigma8", 0.8)
    });
    let truth = observe(&all, &told, &["multipoles", "halos"]).unwrap();
    assert_eq!(truth.truth, Some(vec![OMEGA_M, 0.8]));
    for name in ["multipoles", "halos"] {
        assert_eq!(numbers(&seen, name), numbers(&truth, name));
    }
    let silent: Change = |f| {
        f.unlink("Parameters")?;
        f.unlink("PartType1/ParticleIDs")?;
        number(&group(f, "Header"), "UnitLength_in_cm", 3.085678e24)
    };
    let path = snapshot(dir.path(), silent);
    let e = observe(&all, &path, &["multipoles"]).map(drop).expect_err("no cosmology");
    assert!(e.exit_code() == 2 && e.to_string().contains("snapshot.hdf5: Omega_m: is not told"), "{e}");
    // What no network reads does not stand in the way.
    assert!(observe(&all, &path, &["power"]).is_ok());
    let still = snapshot(dir.path(), |f| f.unlink("PartType1/Velocities"));
    assert!(observe(&all, &still, &["power"]).is_ok());
    let e = observe(&all, &still, &["multipoles"]).map(drop).expect_err("no velocities");
    assert!(e.to_string().contains("PartType1/Velocities"), "{e}");

    let galaxies = pm(HALF, &["Omega_m", "sigma8", "log_m_min"]);
    let plain = snapshot(dir.path(), |_| Ok(()));
    assert!(observe(&galaxies, &plain, &["halos"]).is_ok());
    let e = observe(&galaxies, &plain, &["galaxy_power"]).map(drop).expect_err("no occupation");
    assert!(
        e.exit_code() == 2 && e.to_string().contains("lacks log_m_min") && !e.to_string().contains("cosmology"),
        "{e}"
    );
    let told = snapshot(dir.path(), |f| number(f, "log_m_min", 13.0));
    assert!(observe(&galaxies, &told, &["galaxy_power"]).is_ok());

    // Columns sorted by identities mean nothing without them.
    let columns = pm("redshifts = [1.0]\nkeep_particles = true\n", &[]);
    let twice = snapshot(dir.path(), |f| replace(f, "PartType1/ParticleIDs", vec![7u64; N], 1));
    let e = observe(&columns, &twice, &["position"]).map(drop).expect_err("no identities");
    assert!(e.to_string().contains("PartType1/ParticleIDs"), "{e}");
    assert!(observe(&all, &twice, &["halos"]).is_ok(), "halos only need them to differ");
}

/// A snapshot shows one moment and no light cone; units are guessed in words.
#[test]
fn what_one_snapshot_cannot_show_is_refused_from_its_header() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), |_| Ok(()));
    let refused = |pm: &Pm<f64>, path: &Path, fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|f| f.to_string()).collect();
        let e = pm.check_file(path, &Look { fields: Some(&fields), velocities: None }).expect_err("refused");
        assert!(e.exit_code() == 2 && e.remedy.is_some(), "{e}");
        e.to_string()
    };
    let two = pm("redshifts = [1.0, 0.0]\n[power]\n", &[]);
    assert!(refused(&two, &path, &["power_z0.000", "power_z1.000"]).contains("several redshifts"));
    assert!(refused(&two, &path, &["power_z0.000"]).contains("scale factor"));
    assert_eq!(observe(&two, &path, &["power_z1.000"]).unwrap().fields[0].spec.name, "power_z1.000");
    let cone =
        "redshifts = [1.0]\n[power]\n[lightcone]\nfield_of_view_deg = 1.0\npixels = 8\nsource_redshifts = [1.5]\n";
    let cone = pm(&cone.replace("redshifts = [1.0]\n", ""), &[]);
    assert!(refused(&cone, &path, &["kappa"]).contains("light cone"));
    let one = pm("redshifts = [1.0]\n[power]\n", &[]);
    let kpc = snapshot(dir.path(), |f| number(&group(f, "Header"), "BoxSize", 1000.0 * L));
    let text = refused(&one, &kpc, &["power"]);
    assert!(text.contains("looks like kpc/h") && text.contains("UnitLength_in_cm = 3.085678e21"), "{text}");
    let no_h = snapshot(dir.path(), |f| number(&group(f, "Header"), "BoxSize", L / 0.7));
    assert!(refused(&one, &no_h, &["power"]).contains("looks like Mpc without h"));
    let fewer = snapshot(dir.path(), |f| {
        array(&group(f, "Header"), "MassTable", &[0.0, 5.12 * OMEGA_M * RHO_CRIT * L.powi(3) / N as f64 / 1e10])?;
        array(&group(f, "Header"), "NumPart_Total", &[0, 100])?;
        array(&group(f, "Header"), "NumPart_ThisFile", &[0, 100])?;
        replace(f, "PartType1/Coordinates", positions(|x| x)[..300].to_vec(), 3)
    });
    assert!(refused(&one, &fewer, &["power"]).contains("number of particles is 100"));
}

/// `check` finds an observation that cannot be observed before anything runs.
#[test]
fn check_looks_at_the_headers_of_observations() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    snapshot(dir.path(), |_| Ok(()));
    let campaign = |side: &str| {
        format!(
            "output = \"o\"\n[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\n[design]\nsimulations = 64\n\
             parameters.Omega_m = {{ min = 0.1, max = 0.5 }}\nparameters.sigma8 = {{ min = 0.6, max = 1.0 }}\n\
             [simulator]\nkind = \"pm\"\nbox_size = {side}\nparticles = 8\nredshifts = [1.0]\npower = {{}}\nhalos = {{}}\n\
             [[train]]\nname = \"posterior\"\ninput = \"power\"\nnetwork = {{ kind = \"npe\", mlp = {{}} }}\n\
             [infer]\nposterior = \"posterior\"\nobservations = [\"snapshot.hdf5\"]\nvelocities = \"gadget\"\n"
        )
    };
    for (side, code, says) in
        [("64.0", 0, "infer.velocities"), ("65.0", 2, "its box (Mpc/h) is 64, the campaign's is 65")]
    {
        std::fs::write(dir.path().join("run.toml"), campaign(side)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_polycosm"));
        command.args(["check", "run.toml"]).current_dir(dir.path());
        let output = mpi::finish(command, Duration::from_secs(60));
        assert!(output.code == Some(code) && output.text.contains(says), "{}", output.text);
    }
}

/// Readers of other codes' snapshots find cosmology, counts and units where they look for them.
#[test]
fn written_snapshots_carry_what_readers_look_for() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.hdf5");
    let cosmology = Cosmology::new([0.3, 0.05, 0.7, 0.96, 0.8]).unwrap();
    let header = gadget::SnapshotHeader { box_size: L, scale_factor: 0.5, cosmology, double: true, truth: vec![] };
    let (x, v): (Vec<_>, Vec<_>) = (0..N).map(particle).unzip();
    gadget::write(&Comm::world(), &path, &header, &x, &v, &(0..N as u64).collect::<Vec<_>>(), None).unwrap();
    check_attributes(&hdf5::File::open(&path).unwrap());
    let back = gadget::read(&Comm::world(), &path).unwrap();
    assert!(back.header.warnings.is_empty() && back.positions == x, "{:?}", back.header.warnings);
    assert!(back.velocities.iter().zip(&v).all(|(a, b)| (0..3).all(|k| (a[k] - b[k]).abs() < 1e-9)));
}

fn check_attributes(file: &hdf5::File) {
    let floats = |at: &hdf5::Location, name: &str| at.attr(name).unwrap().read_raw::<f64>().unwrap();
    let (head, parameters) = (group(file, "Header"), group(file, "Parameters"));
    for name in ["NumPart_ThisFile", "NumPart_Total"] {
        assert_eq!(floats(&head, name), [0.0, N as f64, 0.0, 0.0, 0.0, 0.0]);
    }
    assert_eq!(floats(&head, "NumPart_Total_HighWord"), [0.0; 6]);
    assert_eq!((floats(&head, "MassTable").len(), floats(&head, "Flag_DoublePrecision")), (6, vec![1.0]));
    for at in [&head, &parameters] {
        for (name, value) in [
            ("BoxSize", L),
            ("Omega0", 0.3),
            ("OmegaLambda", 0.7),
            ("OmegaBaryon", 0.05),
            ("HubbleParam", 0.7),
            ("UnitLength_in_cm", 3.085678e24),
        ] {
            assert_eq!(floats(at, name), [value], "{name}");
        }
    }
    for (array, powers, cgs) in [
        ("Coordinates", [1.0, -1.0, 1.0, 0.0, 0.0], 3.085678e24),
        ("Velocities", [0.5, 0.0, 0.0, 0.0, 1.0], 1e5),
        ("ParticleIDs", [0.0; 5], 0.0),
    ] {
        let array = file.dataset(&format!("PartType1/{array}")).unwrap();
        let found = ["a", "h", "length", "mass", "velocity"].map(|what| floats(&array, &format!("{what}_scaling"))[0]);
        assert_eq!((found, floats(&array, "to_cgs")), (powers, vec![cgs]));
    }
}

/// A box that is a little off, as two values of a megaparsec make it, is scaled to the campaign's: nothing crosses its
/// faces.
#[test]
fn a_box_a_little_off_is_scaled() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let pm = pm("redshifts = [1.0]\n[density]\npoints = 8\n", &["Omega_m", "sigma8"]);
    let plain = numbers(&observe(&pm, &snapshot(dir.path(), |_| Ok(())), &["density"]).unwrap(), "density");
    let path = snapshot(dir.path(), |f| {
        number(&group(f, "Header"), "BoxSize", L * (1.0 + 9e-5))?;
        number(&group(f, "Parameters"), "BoxSize", L * (1.0 + 9e-5))?;
        replace(f, "PartType1/Coordinates", positions(|x| x.map(|x| x * (1.0 + 9e-5))), 3)
    });
    let scaled = numbers(&observe(&pm, &path, &["density"]).unwrap(), "density");
    assert!(plain.iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 1e-5), "{plain:?}\n{scaled:?}");
}

/// A header that one rank reads and cannot tell the others is refused by all of them.
#[test]
fn what_cannot_be_told_is_refused_on_all_ranks() {
    let _alone = alone();
    mpi::on_ranks("what_cannot_be_told_is_refused_on_all_ranks", &[2], |comm| {
        let told = comm.on_root(|| Ok((f64::NAN, Some(f64::NAN), f64::NEG_INFINITY))).unwrap();
        assert!(told.0.is_nan() && told.1.is_some_and(f64::is_nan) && told.2 == f64::NEG_INFINITY, "{told:?}");
        let name: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let e = comm.on_root(|| Ok(std::path::PathBuf::from(&name))).unwrap_err();
        assert!(e.to_string().contains("cannot be told") && e.remedy.is_some(), "{e}");
        let path = mpi::shared_dir().join("snapshot.hdf5");
        if comm.is_root() {
            snapshot(&mpi::shared_dir(), |f| array(&group(f, "Header"), "MassTable", &[0.0, f64::NAN]));
        }
        comm.barrier();
        let e = gadget::read(comm, &path).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("MassTable"), "{e}");
        if comm.is_root() {
            snapshot(&mpi::shared_dir(), |_| Ok(()));
        }
        comm.barrier();
        // One rank's block is out of bounds: no rank begins to read or write.
        let file = polycosm::io::hdf::File::open_on(comm, &path).unwrap();
        let array = file.array("PartType1/ParticleIDs").unwrap();
        let from = if comm.is_root() { 0 } else { N };
        assert!(array.read::<u64>(&[from], &[1]).unwrap_err().to_string().contains("does not fit"));
        assert_eq!(array.read::<u64>(&[comm.rank()], &[1]).unwrap().len(), 1);
        drop(array);
        file.close().unwrap();
    });
}

/// On any number of ranks, whatever process grid the suite's groups have; what is spread over ranks comes together.
#[test]
fn snapshots_are_seen_on_any_ranks() {
    let _alone = alone();
    mpi::on_ranks("snapshots_are_seen_on_any_ranks", &[1, 2, 3], |comm| {
        let text = "box_size = 256.0\nparticles = 64\nprocess_grid = [1, 2]\ninitial = { gradient = \"four-point\" }\n[density]\npoints = 32";
        let config: PmConfig = toml::from_str(text).unwrap();
        let pm = Pm::<f64>::new(&config, &CosmologyConfig::default(), &Prior::new(vec![]).unwrap()).unwrap();
        let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/fastpm_observation.hdf5");
        let seen = pm.observe_file(comm, &snapshot, &Look::default()).unwrap();
        let density = seen.fields.iter().find(|f| f.spec.name == "density").unwrap().gathered(comm);
        let values: Vec<f64> = match density.data {
            Data::F32(v) => v.into_iter().map(f64::from).collect(),
            Data::F64(v) => v,
            Data::I64(_) => panic!("densities are no counts"),
        };
        let points = if comm.is_root() { 32usize.pow(3) } else { 0 };
        assert_eq!((density.rows, values.len()), (if comm.is_root() { 32 } else { 0 }, points));
        if comm.is_root() {
            // Of the same snapshot with cloud-in-cell weights in NumPy: variance and two points.
            let mean = values.iter().sum::<f64>() / points as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / points as f64;
            let at = |i: usize, j: usize, k: usize| values[(i * 32 + j) * 32 + k];
            let found = [mean, variance, at(1, 2, 3), at(31, 0, 5)];
            let expected = [1.0, 1.4979677, 0.6477623, 0.1745933];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
        }
    });
}
