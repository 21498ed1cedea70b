//! Files made elsewhere as they really are, and as nobody should make them: what is needed is read, the rest is left
//! alone, and what cannot be right is refused in words that are true.

mod mpi;

use hdf5::types::{VarLenAscii, VarLenUnicode};
use polycosm::io::dataset::{Dataset, DatasetConfig, Split};
use std::path::{Path, PathBuf};

const N: usize = 40;

/// θ (n, 2) in the unit square.
fn theta() -> Vec<f64> {
    (0..2 * N).map(|i| (i * 37 % 101) as f64 / 101.0).collect()
}

fn x() -> Vec<f64> {
    (0..6 * N).map(|i| (i as f64).sin()).collect()
}

/// A file with θ, x and what `more` adds.
struct Foreign {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn bare(make: impl FnOnce(&hdf5::File)) -> Foreign {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.h5");
    make(&hdf5::File::create(&path).unwrap());
    Foreign { folder, path }
}

fn foreign(more: impl FnOnce(&hdf5::File)) -> Foreign {
    bare(|file| {
        file.new_dataset::<f64>().shape([N, 2]).create("theta").unwrap().write_raw(&theta()).unwrap();
        file.new_dataset::<f64>().shape([N, 6]).create("x").unwrap().write_raw(&x()).unwrap();
        more(file);
    })
}

impl Foreign {
    fn config(&self, more: &str) -> DatasetConfig {
        toml::from_str(&format!("file = {:?}\n{more}", self.path)).unwrap()
    }

    fn read(&self, more: &str) -> Dataset {
        let config = self.config(more);
        config.check().unwrap_or_else(|e| panic!("{e}"));
        config.open().unwrap()
    }

    /// The refusal, which has exit code 2, the file's name and a remedy.
    fn refusal(&self, more: &str) -> String {
        let e = self.config(more).check().expect_err("this should be refused");
        let text = e.to_string();
        assert!(e.exit_code() == 2 && text.contains("d.h5") && text.contains("remedy"), "{text}");
        text
    }
}

#[test]
fn circles_and_dead_ends_are_left_alone() {
    let file = foreign(|f| {
        f.create_group("g").unwrap();
        f.link_hard("/", "g/up").unwrap();
        f.link_hard("/g", "g/self").unwrap();
        f.link_soft("/nowhere", "dangling").unwrap();
        f.link_external("gone.h5", "/x", "away").unwrap();
        f.link_soft("/x", "soft").unwrap();
        f.link_hard("/x", "alias").unwrap();
    });
    let plain = file.read("");
    let names: Vec<String> = plain.specs().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["alias", "x"], "x by the name that was asked for, and by its first");
    for name in ["x", "/x", "alias", "soft", "/g/up/x", "g/self/self/up/alias"] {
        let data = file.read(&format!("x = {name:?}"));
        assert_eq!(data.read_f64(name, &[3, 4, 9]).unwrap(), plain.read_f64("x", &[3, 4, 9]).unwrap(), "{name}");
    }
    assert_eq!(file.read("theta = \"/theta\"").theta(), theta());
    for (name, says) in [("dangling", "/nowhere"), ("away", "gone.h5"), ("g", "is no array but a group")] {
        let refused = file.refusal(&format!("x = {name:?}"));
        assert!(refused.contains(says) && !refused.contains("rows"), "{refused}");
    }
}

#[test]
fn attributes_of_the_owner_mean_what_the_owner_says() {
    let file = foreign(|f| {
        let text = |at: &hdf5::Location, name: &str, text: &str| {
            at.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&text.parse::<VarLenUnicode>().unwrap())
        };
        f.new_attr::<f64>().create("format_version").unwrap().write_scalar(&99.5).unwrap();
        let fields = r#"[{"name":"x","shape":[7],"dtype":"f64","unit":"","description":"","axes":[],"ragged":false}]"#;
        text(f, "fields", fields).unwrap();
        text(f, "prior", "not json").unwrap();
        text(f, "version", "my code 3").unwrap();
        text(&f.dataset("theta").unwrap(), "names", "a,\u{7}b").unwrap();
        f.dataset("x").unwrap().new_attr::<hdf5::types::VarLenArray<f64>>().create("units").unwrap();
        f.new_attr::<f64>().shape(0).create("nothing").unwrap();
    });
    let data = file.read("");
    assert_eq!(data.spec("x").unwrap().shape, [6]);
    assert_eq!(data.prior.names(), ["theta_0", "theta_1"]);
}

#[test]
fn sizes_are_not_believed() {
    let chunked = |f: &hdf5::File, name: &str, shape: [usize; 2], chunk: [usize; 2]| {
        f.new_dataset::<f64>().shape(shape).chunk(chunk).create(name).unwrap();
    };
    let file = bare(|f| {
        chunked(f, "theta", [10usize.pow(12), 2], [1000, 2]);
        f.new_dataset::<f64>().shape([N, 6]).create("x").unwrap();
    });
    assert!(file.refusal("").contains("theta"));
    let file = bare(|f| {
        f.new_dataset::<f64>().shape([N, 2]).create("theta").unwrap().write_raw(&theta()).unwrap();
        chunked(f, "x", [N, 10usize.pow(11)], [1, 1000]);
        chunked(f, "most", [N, usize::MAX / N], [1, 1000]);
    });
    for name in ["x", "most"] {
        let refused = file.refusal(&format!("x = {name:?}"));
        assert!(refused.contains("of which the file holds 0 bytes"), "{refused}");
    }
    // Unwritten chunks are zeros, and compression may take much away: both are good up to the memory there is.
    let file = bare(|f| {
        f.new_dataset::<f64>().shape([N, 2]).create("theta").unwrap().write_raw(&theta()).unwrap();
        chunked(f, "x", [N, 100_000], [1, 1000]);
    });
    assert!(file.read("").read_f32("x", &[0, N - 1]).unwrap().iter().all(|&x| x == 0.0));
}

#[derive(hdf5::H5Type, Clone, Copy)]
#[repr(C)]
struct Complex {
    r: f64,
    i: f64,
}

#[test]
fn messages_say_what_is_there() {
    let file = foreign(|f| {
        f.new_dataset::<Complex>().shape([N, 6]).create("complex").unwrap();
        f.new_dataset::<VarLenUnicode>().shape([N]).create("text").unwrap();
        f.new_dataset::<f64>().shape([N, 0]).create("empty").unwrap();
        f.new_dataset::<f64>().shape([N - 1, 6]).create("short").unwrap();
        f.new_dataset::<f64>().create("scalar").unwrap();
        f.new_dataset::<hdf5::types::VarLenArray<f64>>().shape(N).create("lists").unwrap();
        f.new_dataset::<bool>().shape([N, 6]).create("bools").unwrap();
    });
    for (name, says) in [
        ("complex", "holds complex numbers"),
        ("text", "holds text, not numbers"),
        ("lists", "holds lists of varying length, not numbers"),
        ("empty", "has shape [40, 0]: nothing in it"),
        ("short", "has shape [39, 6], but there are 40 rows"),
        ("scalar", "has shape [], but there are 40 rows"),
    ] {
        let refused = file.refusal(&format!("x = {name:?}"));
        assert!(refused.contains(says), "{refused}");
        assert!(says.contains("there are") || !refused.contains("there are"), "another cause is told: {refused}");
        if name != "empty" {
            file.refusal(&format!("theta = {name:?}"));
        }
    }
    assert_eq!(file.read("x = \"bools\"").read_f32("bools", &[0]).unwrap(), [0.0; 6]);
}

#[test]
fn half_precision_and_numbers_beyond_single() {
    let half: Vec<u16> = vec![0x3c00, 0xc000, 0x3555]; // 1, −2, 0.33325
    let file = foreign(|f| {
        // HDF5's own type of 16 bits, as h5py's.
        let raw = f.new_dataset::<u16>().shape([N, 3]).create("bits").unwrap();
        raw.write_raw(&half.repeat(N)).unwrap();
        let mut large = x();
        large[6 * 5 + 2] = 1e300;
        f.new_dataset::<f64>().shape([N, 6]).create("large").unwrap().write_raw(&large).unwrap();
        half::write(f, "half", [N as u64, 3], &half.repeat(N));
    });
    assert_eq!(file.read("x = \"half\"").read_f32("half", &[7]).unwrap(), [1.0, -2.0, 1365.0 / 4096.0]);
    let data = file.read("x = \"large\"");
    assert_eq!(data.read_f64("large", &[5]).unwrap()[2], 1e300);
    let e = data.read_f32("large", &[4, 5, 6]).unwrap_err();
    assert!(e.exit_code() == 2 && e.to_string().contains("row 5 is beyond single precision"), "{e}");
}

/// Arrays that the `hdf5` crate itself does not write.
mod half {
    use hdf5_sys::{h5d, h5p, h5s, h5t};
    use std::ffi::CString;

    /// IEEE half precision: sign, five bits of exponent, ten of mantissa.
    pub fn write(file: &hdf5::File, name: &str, shape: [u64; 2], bits: &[u16]) {
        let name = CString::new(name).unwrap();
        hdf5::sync::sync(|| {
            // SAFETY: plain calls on identifiers that live here; `bits` fills the shape.
            unsafe {
                let half = h5t::H5Tcopy(*h5t::H5T_IEEE_F32LE);
                h5t::H5Tset_fields(half, 15, 10, 5, 0, 10);
                h5t::H5Tset_precision(half, 16);
                h5t::H5Tset_ebias(half, 15);
                h5t::H5Tset_size(half, 2);
                let space = h5s::H5Screate_simple(2, shape.as_ptr(), std::ptr::null());
                let default = h5p::H5P_DEFAULT;
                let set = h5d::H5Dcreate2(file.id(), name.as_ptr(), half, space, default, default, default);
                assert!(h5d::H5Dwrite(set, half, 0, 0, default, bits.as_ptr().cast()) >= 0);
                h5d::H5Dclose(set);
                h5s::H5Sclose(space);
                h5t::H5Tclose(half);
            }
        });
    }

    /// A chunk said to be compressed with a filter that nobody has.
    pub fn compressed(file: &hdf5::File, name: &str, shape: [u64; 2]) {
        let name = CString::new(name).unwrap();
        hdf5::sync::sync(|| {
            // SAFETY: as above; the chunk is the whole array.
            unsafe {
                let (space, default) = (h5s::H5Screate_simple(2, shape.as_ptr(), std::ptr::null()), h5p::H5P_DEFAULT);
                let plist = h5p::H5Pcreate(*h5p::H5P_CLS_DATASET_CREATE);
                h5p::H5Pset_chunk(plist, 2, shape.as_ptr());
                h5p::H5Pset_filter(plist, 32_777, 1, 0, std::ptr::null());
                let set =
                    h5d::H5Dcreate2(file.id(), name.as_ptr(), *h5t::H5T_NATIVE_DOUBLE, space, default, plist, default);
                assert!(set >= 0);
                let bytes = [7u8; 64];
                assert!(h5d::H5Dwrite_chunk(set, default, 0, [0u64; 2].as_ptr(), 64, bytes.as_ptr().cast()) >= 0);
                h5d::H5Dclose(set);
                h5p::H5Pclose(plist);
                h5s::H5Sclose(space);
            }
        });
    }
}

#[test]
fn a_filter_that_is_missing_is_named_with_its_remedy() {
    let file = foreign(|f| half::compressed(f, "z", [N as u64, 6]));
    let refused = file.refusal("x = \"z\"");
    assert!(refused.contains("filter") && refused.contains("32777"), "{refused}");
    assert!(refused.contains("HDF5_PLUGIN_PATH") && refused.contains("h5repack"), "{refused}");
}

#[test]
fn sources_that_are_gone() {
    let file = foreign(|f| {
        for (name, source) in [("gone", "gone.h5"), ("there", "there.h5")] {
            f.new_dataset::<f64>()
                .shape([N, 6])
                .with_dcpl(|p| p.virtual_map(source, "x", [N, 6], (..N, ..6), [N, 6], (..N, ..6)))
                .create(name)
                .unwrap();
        }
        f.new_dataset::<f64>().shape([N, 6]).external("gone.bin", 0, N * 48).create("raw").unwrap();
    });
    for (name, says) in [("gone", "gone.h5"), ("there", "there.h5")] {
        let refused = file.config(&format!("x = {name:?}")).check().unwrap_err();
        let text = refused.to_string();
        assert!(refused.exit_code() == 2 && text.contains(says) && text.contains("d.h5"), "{text}");
        assert!(!text.contains("polycosm simulate") && text.contains("remedy"), "{text}");
    }
    file.refusal("x = \"raw\"");
    // The file is there, the array in it is not; then both are.
    let there = file.folder.path().join("there.h5");
    hdf5::File::create(&there).unwrap().close().unwrap();
    let text = file.config("x = \"there\"").check().unwrap_err().to_string();
    assert!(text.contains("there.h5") && text.contains("no such dataset"), "{text}");
    let again = hdf5::File::append(&there).unwrap();
    again.new_dataset::<f64>().shape([N, 6]).create("x").unwrap().write_raw(&x()).unwrap();
    again.close().unwrap();
    // What another array needs is no concern of this one.
    assert_eq!(file.read("x = \"there\"").read_f64("there", &[1]).unwrap(), x()[6..12]);
}

#[test]
fn splits_in_other_forms_are_understood_or_refused() {
    let wanted: Vec<u8> = (0..N).map(|i| (i % 4) as u8 * u8::from(i % 4 < 3)).collect();
    let words = |i: usize| [["train", "Val", "TEST"], ["training", "validation", "testing"]][i % 2][wanted[i] as usize];
    type Put<'a> = Box<dyn Fn(&hdf5::File) + 'a>;
    let numbers = |v: Vec<f64>, shape: Vec<usize>| -> Put {
        Box::new(move |f| f.new_dataset::<f64>().shape(&shape[..]).create("split").unwrap().write_raw(&v).unwrap())
    };
    let whole: Vec<f64> = wanted.iter().map(|&s| s as f64).collect();
    let good: Vec<(&str, Put)> = vec![
        ("floats", numbers(whole.clone(), vec![N])),
        ("a column", numbers(whole.clone(), vec![N, 1])),
        (
            "text",
            Box::new(|f| {
                let texts: Vec<VarLenUnicode> = (0..N).map(|i| words(i).parse().unwrap()).collect();
                f.new_dataset::<VarLenUnicode>().shape(N).create("split").unwrap().write_raw(&texts).unwrap()
            }),
        ),
        (
            "fixed text",
            Box::new(|f| {
                let texts: Vec<hdf5::types::FixedAscii<12>> =
                    (0..N).map(|i| hdf5::types::FixedAscii::from_ascii(words(i).as_bytes()).unwrap()).collect();
                f.new_dataset::<hdf5::types::FixedAscii<12>>()
                    .shape(N)
                    .create("split")
                    .unwrap()
                    .write_raw(&texts)
                    .unwrap()
            }),
        ),
        (
            "an enumeration in another order",
            Box::new(|f| {
                let all: Vec<Named> =
                    wanted.iter().map(|&s| [Named::Train, Named::Val, Named::Test][s as usize]).collect();
                f.new_dataset::<Named>().shape(N).create("split").unwrap().write_raw(&all).unwrap()
            }),
        ),
        (
            "16 bits",
            Box::new(|f| {
                let all: Vec<i16> = wanted.iter().map(|&s| s as i16).collect();
                f.new_dataset::<i16>().shape(N).create("split").unwrap().write_raw(&all).unwrap()
            }),
        ),
    ];
    for (what, put) in good {
        let data = foreign(|f| put(f)).read("");
        assert_eq!(data.split().iter().map(|&s| s as u8).collect::<Vec<_>>(), wanted, "{what}");
    }
    let with = |value: f64| {
        let mut v = whole.clone();
        v[5] = value;
        v
    };
    for (what, value) in
        [("-1", -1.0), ("256", 256.0), ("NaN", f64::NAN), ("0.7", 0.7), ("3", 3.0), ("inf", f64::INFINITY)]
    {
        let refused = foreign(numbers(with(value), vec![N])).refusal("");
        assert!(refused.contains(&format!("split = {what}: row 5")), "{refused}");
        // The label's value is not the campaign's.
        assert!(!refused.contains(&format!("dataset.file = {what}")), "{refused}");
    }
    let bad: Vec<(&str, Put)> = vec![
        ("has shape [39]", numbers(whole[1..].to_vec(), vec![N - 1])),
        ("has shape [40, 2]", numbers([&whole[..], &whole[..]].concat(), vec![N, 2])),
        (
            "row 7",
            Box::new(|f| {
                let texts: Vec<VarLenAscii> = (0..N)
                    .map(|i| VarLenAscii::from_ascii(if i == 7 { "holdout" } else { "train" }).unwrap())
                    .collect();
                f.new_dataset::<VarLenAscii>().shape(N).create("split").unwrap().write_raw(&texts).unwrap()
            }),
        ),
        (
            "row 0: is no word for it",
            Box::new(|f| drop(f.new_dataset::<VarLenUnicode>().shape(N).create("split").unwrap())),
        ),
        ("row 0: is no word for it", Box::new(|f| drop(f.new_dataset::<bool>().shape(N).create("split").unwrap()))),
        ("holds complex numbers", Box::new(|f| drop(f.new_dataset::<Complex>().shape(N).create("split").unwrap()))),
        ("is no array but a group", Box::new(|f| drop(f.create_group("split").unwrap()))),
        ("is a link to /nowhere", Box::new(|f| f.link_soft("/nowhere", "split").unwrap())),
    ];
    for (says, put) in bad {
        let refused = foreign(put).refusal("");
        assert!(refused.contains(says) && refused.contains("split"), "{refused}");
    }
}

/// As h5py writes an enumeration: names first, values as its owner likes.
#[derive(hdf5::H5Type, Clone, Copy)]
#[repr(i16)]
enum Named {
    Test = -3,
    Train = 7,
    Val = 300,
}

#[test]
fn a_status_of_truth_values_or_words() {
    let file = foreign(|f| {
        let failed: Vec<bool> = (0..N).map(|i| i == 3).collect();
        f.new_dataset::<bool>().shape(N).create("status").unwrap().write_raw(&failed).unwrap();
    });
    assert_eq!(file.read("").status().iter().position(|&s| s != 0), Some(3));
    let used = |data: &Dataset| {
        [Split::Train, Split::Validation, Split::Test].map(|s| data.rows(s).len()).iter().sum::<usize>()
    };
    assert_eq!(used(&file.read("")), N - 1);
    let all_failed = foreign(|f| {
        f.new_dataset::<u8>().shape(N).create("status").unwrap().write_raw(&[1u8; N]).unwrap();
    });
    assert!(all_failed.refusal("").contains("status is never 0"));
    let negative = foreign(|f| {
        f.new_dataset::<i8>().shape(N).create("status").unwrap().write_raw(&[-1i8; N]).unwrap();
    });
    assert!(negative.refusal("").contains("status = -1: row 0"));
}

#[test]
fn names_of_columns_decide_their_order() {
    let file = |names: &[&str]| {
        foreign(|f| {
            let names: Vec<VarLenUnicode> = names.iter().map(|n| n.parse().unwrap()).collect();
            let theta = f.dataset("theta").unwrap();
            theta.new_attr::<VarLenUnicode>().shape(names.len()).create("names").unwrap().write_raw(&names).unwrap();
        })
    };
    let prior = "[parameters.Omega_m]\nmin = 0\nmax = 1\n[parameters.sigma8]\nmin = 0\nmax = 1\n";
    let swapped: Vec<f64> = theta().chunks(2).flat_map(|t| [t[1], t[0]]).collect();
    assert_eq!(file(&["Omega_m", "sigma8"]).read(prior).theta(), theta());
    for names in [["sigma8", "Omega_m"], ["sigma_8", "OMEGA_M"], ["\\sigma_8", "\\Omega_m"]] {
        assert_eq!(file(&names).read(prior).theta(), swapped, "{names:?}");
    }
    for names in [["h", "Omega_m"], ["h", "n_s"]] {
        let refused = file(&names).refusal(prior);
        assert!(refused.contains("called h") && refused.contains("names Omega_m, sigma8"), "{refused}");
    }
    // Names that are none: too few, twice the same.
    for names in [&["Omega_m"][..], &["a", "a"]] {
        assert_eq!(file(names).read(prior).theta(), theta());
        assert_eq!(file(names).read("").prior.names(), ["theta_0", "theta_1"]);
    }
}

fn polycosm(arguments: &[&str], folder: &Path) -> mpi::Output {
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_polycosm"));
    run.args(arguments).current_dir(folder).env("OMP_NUM_THREADS", "1");
    mpi::finish(run, std::time::Duration::from_secs(60))
}

#[test]
fn a_refused_file_leaves_nothing_behind() {
    let file = foreign(|f| {
        f.new_dataset::<Complex>().shape([N, 6]).create("complex").unwrap();
    });
    let campaign = "output = \"o\"\n[dataset]\nfile = \"d.h5\"\nx = \"complex\"\n";
    std::fs::write(file.folder.path().join("run.toml"), campaign).unwrap();
    for command in ["check", "train", "infer", "report"] {
        let run = polycosm(&[command, "run.toml"], file.folder.path());
        assert_eq!(run.code, Some(2), "{command}: {}", run.text);
        assert!(run.text.contains("holds complex numbers") && run.text.contains("remedy"), "{}", run.text);
        let mut left: Vec<_> = std::fs::read_dir(file.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["d.h5", "run.toml"], "{command}");
    }
}

#[test]
fn rows_on_the_bounds_have_a_density() {
    // 0.3 and 67.4 in single precision lie beyond themselves.
    let file = bare(|f| {
        let theta: Vec<f32> = (0..N).flat_map(|i| [[0.3, 67.4], [0.1, 60.0], [0.2, 63.0]][i % 3]).collect();
        f.new_dataset::<f32>().shape([N, 2]).create("theta").unwrap().write_raw(&theta).unwrap();
        f.new_dataset::<f64>().shape([N, 6]).create("x").unwrap().write_raw(&x()).unwrap();
    });
    let declared = "[parameters.a]\nmin = 0.1\nmax = 0.3\n[parameters.h]\nmin = 60.0\nmax = 67.4\n";
    for prior in [declared, ""] {
        let data = file.read(prior);
        assert!(data.theta().chunks(2).all(|t| data.prior.ln_density(t).is_finite()), "{prior}");
    }
    let data = file.read(&declared.replace("67.4", "67.3"));
    assert!(data.prior.ln_density(&data.theta()[..2]).is_infinite());
}
