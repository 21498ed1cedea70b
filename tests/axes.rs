//! Axes say what they are, from birth to the network and the page: nothing is guessed from a shape.
#![cfg(feature = "torch")]

mod mpi;

use polycosm::comm::Comm;
use polycosm::io::dataset::Dataset;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::io::hdf::File;
use polycosm::io::identity::Identity;
use polycosm::io::observation::{FieldFile, Learned};
use polycosm::io::simulation::{describe, write_axes};
use polycosm::models::{Batch, Device, Kind, Model, ModelConfig, Tensor, VmimConfig};
use polycosm::prior::{Parameter, Prior};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Universes of foreign files.
const ROWS: usize = 120;

/// Runs a command on one rank in a folder: exit code and all that it said.
fn polycosm(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = mpi::mpirun(1);
    command.current_dir(folder).arg(env!("CARGO_BIN_EXE_polycosm")).args(arguments);
    let run = mpi::finish(command, LIMIT);
    (run.code.unwrap_or(-1), run.text)
}

/// A folder with data made elsewhere, `x` of this shape per row, and a campaign `run.toml` on them.
fn foreign(shape: &[usize], more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let size: usize = shape.iter().product();
    let theta: Vec<f64> = (0..ROWS).map(|i| (i as f64 * 0.618_034).fract()).collect();
    let x: Vec<f32> = (0..ROWS * size).map(|i| theta[i / size] as f32 + (i as f32 * 0.7548).fract()).collect();
    let file = hdf5::File::create(folder.path().join("d.h5")).unwrap();
    file.new_dataset::<f64>().shape([ROWS, 1]).create("theta").unwrap().write_raw(&theta).unwrap();
    let full: Vec<usize> = [&[ROWS], shape].concat();
    file.new_dataset::<f32>().shape(full).create("x").unwrap().write_raw(&x).unwrap();
    campaign(folder.path(), more);
    folder
}

fn campaign(folder: &Path, more: &str) {
    let text = format!(
        "output = \"o\"\n[[train]]\nname = \"compressor\"\ninput = \"x\"\nepochs = 1\nbatch_size = 50\n\
         network = {{ kind = \"vmim\", transform = \"none\", cnn = {{ width = 4, blocks = [1] }} }}\n{more}\n\
         [dataset]\nfile = \"d.h5\"\nparameters.a = {{ min = -0.1, max = 1.1 }}\n"
    );
    std::fs::write(folder.join("run.toml"), text).unwrap();
}

/// Adds what the axes are.
fn say(folder: &Path, axes: &str) {
    let path = folder.join("run.toml");
    let text = std::fs::read_to_string(&path).unwrap() + "[dataset.axes]\n" + axes;
    std::fs::write(path, text).unwrap();
}

fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let (code, text) = polycosm(folder, arguments);
    assert_eq!(code, 2, "{text}");
    assert_eq!(text.matches("polycosm: error").count(), 1, "{text}");
    words.iter().for_each(|w| assert!(text.contains(w), "does not say {w}:\n{text}"));
    assert!(!folder.join("o").exists(), "something was written");
}

fn model(input: &FieldSpec) -> Box<dyn Model> {
    let prior = Prior::new(vec![Parameter::uniform("a", "a", 0.0, 1.0)]).unwrap();
    polycosm::nets::seed(1);
    let model = ModelConfig::new("vmim", Box::new(VmimConfig::default()))
        .build(input, &prior, Device::Cpu, Kind::Float)
        .unwrap();
    // Residual branches begin at zero.
    for v in model.parts().iter().flat_map(|part| part.vs.trainable_variables()) {
        let _ = v.detach().g_add_(&(Tensor::randn_like(&v) * 0.1));
    }
    model
}

fn sees_maps(model: &dyn Model) -> bool {
    let names: Vec<String> = model.parts()[0].vs.variables().into_keys().collect();
    let [cnn, mlp] = ["cnn.", "mlp."].map(|start| names.iter().any(|name| name.starts_with(start)));
    assert!(cnn != mlp, "{names:?}");
    cnn
}

/// What the network makes of maps of noise, less what it makes of the same maps shifted by whole strides of it, over
/// the former.
fn moved_by_a_shift(input: &FieldSpec) -> f64 {
    let model = model(input);
    assert!(sees_maps(model.as_ref()));
    let size: Vec<i64> = [8].into_iter().chain(input.shape.iter().map(|&n| n as i64)).collect();
    polycosm::nets::seed(2);
    let x = Tensor::rand(size.as_slice(), (Kind::Float, Device::Cpu));
    model.eyes()[0].standardise(&x);
    let seen = |x: &Tensor| model.apply(&Batch::observed(x)).unwrap().swap_remove(0);
    let (is, was) = (seen(&x.roll([8i64, 16], [-2i64, -1])), seen(&x));
    let size = |t: &Tensor| polycosm::nets::host(&t.abs().max())[0];
    size(&(is - &was)) / size(&was)
}

#[test]
fn a_network_asks_the_axes_and_not_the_shape() {
    use AxisKind::{Bin, Channel, Flat, Periodic, Slab, Unsaid, View};
    let of = |shape: &[usize], kinds: &[AxisKind]| FieldSpec::of("x", shape, kinds);
    // Ten pairs of source bins in sixteen bins of multipoles are a vector.
    assert!(!sees_maps(model(&of(&[10, 16], &[Channel, Bin])).as_ref()));
    assert!(!sees_maps(model(&of(&[3, 32, 32], &[Unsaid; 3])).as_ref()));
    assert!(sees_maps(model(&of(&[3, 4, 32, 32], &[View, Slab, Periodic, Periodic])).as_ref()));
    // Each light cone is seen by itself: two alike say what one says.
    let views = model(&of(&[2, 3, 3, 32, 32], &[View, Channel, Channel, Flat, Flat]));
    let one = Tensor::rand([4, 1, 3, 3, 32, 32], (Kind::Float, Device::Cpu));
    let other = Tensor::rand([4, 1, 3, 3, 32, 32], (Kind::Float, Device::Cpu));
    let seen = |a: &Tensor, b: &Tensor| views.apply(&Batch::observed(&Tensor::cat(&[a, b], 1))).unwrap().swap_remove(0);
    let (both, mean) = (seen(&one, &other), (seen(&one, &one) + seen(&other, &other)) / 2.0);
    assert!(polycosm::nets::host(&(both - mean).abs().max())[0] < 1e-5);
    // Only what is periodic is padded so.
    let (periodic, flat) = (of(&[2, 32, 32], &[Channel, Periodic, Periodic]), of(&[2, 32, 32], &[Channel, Flat, Flat]));
    let (periodic, flat) = (moved_by_a_shift(&periodic), moved_by_a_shift(&flat));
    assert!(
        periodic < 1e-4 && flat > 1e-2,
        "a shift moves what is seen of periodic maps by {periodic}, of flat ones by {flat}"
    );
}

/// All products of the particle-mesh simulator.
fn universes() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let output = format!("output={}", folder.path().join("o").display());
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/observables.toml");
    let small = [
        "simulator.particles=16",
        "simulator.time.steps=4",
        "simulator.halos.min_members=8",
        "simulator.density.points=16",
        "simulator.keep_particles=true",
        "simulator.lightcone.keep_planes=true",
        "simulator.lightcone.pixels=32",
        "simulator.lightcone.source_redshifts=[0.3,0.5,0.7,1.0]",
        "simulator.c_ell.bins=4",
        "design.simulations=2",
        "suite.ranks_per_sim=1",
    ];
    let mut arguments = vec!["simulate", recipe, "--set", &output];
    small.iter().for_each(|set| arguments.extend(["--set", set]));
    let (code, text) = polycosm(folder.path(), &arguments);
    assert_eq!(code, 0, "{text}");
    let dataset = folder.path().join("o/dataset.h5");
    (folder, dataset)
}

#[test]
fn every_product_says_what_its_axes_are_and_older_files_are_known_by_name() {
    let (folder, path) = universes();
    let kinds = |dataset: &Dataset, name: &str| {
        let spec = dataset.spec(name).unwrap();
        spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let dataset = Dataset::open(&path, "theta").unwrap();
    let expected = [
        ("maps_z0.500", "view slab periodic periodic"),
        ("density_z0.000", "periodic periodic periodic"),
        ("pdf_z0.000", "bin"),
        ("pdf_moments_z0.000", "column"),
        ("power_z0.500", "bin"),
        ("multipoles_z0.000", "channel bin"),
        ("bispectrum_z0.000", "column bin"),
        ("bispectrum_triangles_z0.000", "bin"),
        ("halos_z0.000", "index column"),
        ("mass_function_z0.000", "bin"),
        ("galaxies_z0.500", "index column"),
        ("galaxy_power_z0.000", "channel bin"),
        ("position_z0.000", "index column"),
        ("velocity_z0.000", "index column"),
        ("kappa", "view channel flat flat"),
        ("shear", "view channel channel flat flat"),
        ("c_ell", "view channel bin"),
        ("peaks", "view channel bin"),
        ("lens_planes", "index flat flat"),
    ];
    expected.iter().for_each(|(name, kind)| assert_eq!(kinds(&dataset, name), *kind, "{name}"));
    let names: Vec<&str> = expected.iter().map(|e| e.0.split("_z").next().unwrap()).collect();
    let specs = dataset.specs();
    specs.iter().for_each(|s| assert!(names.contains(&s.name.split("_z").next().unwrap()), "{} is not tested", s.name));
    assert_eq!(dataset.spec("shear").unwrap().axes[2].spins, [2, 2, 0]);
    // Maps of 32 pixels over the recipe's field, and what is not seen so is refused.
    let side = &dataset.spec("kappa").unwrap().axes[2];
    let angle = |i: usize| (i as f64 - 15.5) * 4.0 / 32.0;
    assert!(
        side.unit == "deg" && side.values.iter().enumerate().all(|(i, x)| (x - angle(i)).abs() < 1e-12),
        "{side:?}"
    );
    let learned = Learned::from(&dataset, "theta");
    let observed = |name: &str, change: &dyn Fn(&mut FieldSpec)| {
        let mut spec = dataset.spec(name).unwrap();
        let learned = Learned { fields: vec![spec.clone()], ..learned.clone() };
        change(&mut spec);
        let at = folder.path().join("observed.h5");
        let file = File::create(&at).unwrap();
        file.write(None, name, &spec.shape, &vec![0f32; spec.shape.iter().product()]).unwrap();
        describe(&file, name, &spec, false).unwrap();
        write_axes(&file, None, &spec).unwrap();
        file.close().unwrap();
        FieldFile::open(&at, None, &learned).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(["kappa", "shear", "c_ell", "peaks"].map(|name| observed(name, &|_| {})), [const { Ok(()) }; 4]);
    let scaled = |spec: &mut FieldSpec| spec.axes.iter_mut().flat_map(|a| &mut a.values).for_each(|x| *x *= 1.01);
    for (name, what) in [("kappa", "(row)"), ("shear", "(row)"), ("c_ell", "(ell)"), ("peaks", "(height)")] {
        let e = observed(name, &scaled).unwrap_err();
        assert!(e.contains(&format!("{name}: its coordinates along axis")) && e.contains(what), "{e}");
    }
    let other = |spec: &mut FieldSpec| spec.axes[1].labels[0] = "z = 0.4".into();
    assert!(observed("kappa", &other).unwrap_err().contains("its list of names along axis 2 (source) is z = 0.4"));
    // Files of programs that did not say where pixels are are taken by their shape.
    let older =
        |spec: &mut FieldSpec| spec.axes.iter_mut().skip(2).for_each(|a| (a.unit, a.values) = ("pixel".into(), vec![]));
    assert_eq!(observed("kappa", &older), Ok(()));
    assert!(
        dataset.spec("c_ell").unwrap().picture().is_none()
            && !sees_maps(model(&dataset.spec("c_ell").unwrap()).as_ref())
    );
    let identity = |dataset: &Dataset| Identity::of(&Comm::world(), dataset, &["kappa"]).unwrap();
    let kappa = identity(&dataset);
    drop(dataset);

    // The spectra of matter alone have a theory, each at its own moment.
    let (code, text) = polycosm(folder.path(), &["verify", "o/campaign.toml"]);
    let compared = text.lines().filter_map(|line| line.split_once(" over linear theory, mean of 2: "));
    let compared: Vec<(&str, &str)> = compared.collect();
    assert!(code == 0 && compared.iter().map(|c| c.0).eq(["power_z0.500", "power_z0.000"]), "{text}");
    for (name, ratios) in compared {
        // So few modes scatter, and the growth since is a factor of 1.6.
        let first: f64 = ratios.split(' ').next().unwrap().parse().unwrap();
        assert!((0.3..3.0).contains(&first), "{name}: {ratios}");
    }

    // As h5py sees it, in the index and in a shard.
    for file in [path.clone(), folder.path().join("o/shards/00000.h5")] {
        let file = hdf5::File::open(file).unwrap();
        let texts = |name: &str, attribute: &str| -> Vec<String> {
            let texts = file.dataset(name).unwrap().attr(attribute).unwrap();
            texts.read_raw::<hdf5::types::VarLenUnicode>().unwrap().iter().map(|t| t.to_string()).collect()
        };
        assert_eq!(texts("shear", "axes_kinds"), ["index", "view", "channel", "channel", "flat", "flat"]);
        assert_eq!(texts("halos_z0.000/data", "axes_kinds"), ["index", "column"]);
        let spins = file.dataset("shear").unwrap().attr("component_spin").unwrap();
        assert_eq!(spins.read_raw::<u8>().unwrap(), [2, 2, 0]);
    }

    // The same file as an older program wrote it.
    let older = hdf5::File::open_rw(&path).unwrap();
    let text = older.attr("fields").unwrap().read_scalar::<hdf5::types::VarLenUnicode>().unwrap();
    let mut fields: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
    for axis in fields.as_array_mut().unwrap().iter_mut().flat_map(|f| f["axes"].as_array_mut().unwrap()) {
        let axis = axis.as_object_mut().unwrap();
        let kind = axis.remove("kind").unwrap();
        axis.remove("spins");
        if kind == "flat" {
            (axis["unit"], axis["values"]) = ("pixel".into(), serde_json::json!([]));
        }
    }
    older.delete_attr("fields").unwrap();
    let text: hdf5::types::VarLenUnicode = fields.to_string().parse().unwrap();
    older.new_attr::<hdf5::types::VarLenUnicode>().create("fields").unwrap().write_scalar(&text).unwrap();
    older.close().unwrap();
    let (dataset, mut expected) = (Dataset::open(&path, "theta").unwrap(), specs);
    for axis in expected.iter_mut().flat_map(|spec| &mut spec.axes).filter(|axis| axis.kind == AxisKind::Flat) {
        (axis.unit, axis.values) = ("pixel".into(), vec![]);
    }
    assert_eq!(dataset.specs(), expected);
    assert_eq!(kappa.differs(&identity(&dataset)), None, "the same data are others");
}

#[test]
fn what_is_said_of_foreign_axes_is_checked() {
    let folder = foreign(&[3, 16, 16], "");
    let check = ["check", "run.toml"];
    let (code, text) = polycosm(folder.path(), &check);
    assert!(code == 0 && text.matches("nobody says what its axes are").count() == 1, "{text}");
    for (axes, words) in [
        ("x = [\"channel\", \"flat\"]", &["dataset.axes.x", "names 2 axes, but a row has 3: [3, 16, 16]", "d.h5"][..]),
        ("x = [\"index\", \"channel\", \"flat\", \"flat\"]", &["names 4 axes", "remedy"]),
        ("x = [\"channel\", \"flatt\", \"flat\"]", &["dataset.axes.x", "flatt", "did you mean", "flat"]),
        ("x = [\"flat\", \"flat\", \"channel\"]", &["another order", "transpose"]),
        ("x = [\"channel\", \"flat\", \"periodic\"]", &["different kinds"]),
        ("x = [\"channel\", \"unsaid\", \"flat\"]", &["unsaid"]),
        (
            "x = [\"channel\", \"bin\", { healpix = { nside = 1, order = \"ring\" } }]",
            &["makes 12 pixels, but there are 16"],
        ),
        ("y = [\"channel\"]", &["dataset.axes.y", "no such dataset"]),
        ("theta = [\"column\"]", &["dataset.axes.theta", "choose one of x"]),
    ] {
        campaign(folder.path(), "");
        say(folder.path(), axes);
        refused(folder.path(), &check, words);
    }
    campaign(folder.path(), "");
    say(folder.path(), "x = [\"channel\", \"flat\", \"flat\"]");
    let (code, text) = polycosm(folder.path(), &check);
    assert!(code == 0 && !text.contains("nobody says"), "{text}");

    // The owner's own words.
    let owner = |kinds: &[&str]| {
        let file = hdf5::File::open_rw(folder.path().join("d.h5")).unwrap();
        let x = file.dataset("x").unwrap();
        let _ = x.delete_attr("axes_kinds");
        let words: Vec<hdf5::types::VarLenUnicode> = kinds.iter().map(|word| word.parse().unwrap()).collect();
        let attribute = x.new_attr::<hdf5::types::VarLenUnicode>().shape(words.len()).create("axes_kinds").unwrap();
        attribute.write_raw(&words).unwrap();
        file.close().unwrap();
    };
    owner(&["Channel", "flat", "flat"]);
    for axes in ["", "x = [\"channel\", \"flat\", \"flat\"]"] {
        campaign(folder.path(), "augment = true");
        say(folder.path(), axes);
        refused(folder.path(), &check, &["train.compressor.augment", "(channel, flat, flat) are not those of maps"]);
    }
    campaign(folder.path(), "");
    say(folder.path(), "x = [\"channel\", \"periodic\", \"periodic\"]");
    let contradicted = ["d.h5", "dataset.axes.x", "the file itself says that they are channel, flat, flat", "remedy: "];
    refused(folder.path(), &check, &contradicted);
    let spec = || Dataset::open(folder.path().join("d.h5"), "theta").unwrap().spec("x");
    for (kinds, words) in [
        (
            &["index", "channel", "flat", "flatt"][..],
            &["d.h5", "axes_kinds = \"flatt\"", "known here: index, view"][..],
        ),
        (&["flat", "flat"], &["d.h5", "its attribute axes_kinds has 2 words, and a row 3 axes", "remedy: "]),
        (&["flat", "flat", "channel"], &["d.h5", "its attribute axes_kinds has them in another order", "remedy: "]),
        (&["channel", "", "flat"], &["its attribute axes_kinds leaves an axis unsaid", "remedy: "]),
    ] {
        owner(kinds);
        let e = spec().unwrap_err();
        assert!(e.exit_code() == 2 && words.iter().all(|word| e.to_string().contains(word)), "{e}");
    }
    campaign(folder.path(), "");
    refused(folder.path(), &check, &["dataset.x", "x: its attribute axes_kinds leaves an axis unsaid", "remedy: "]);
    owner(&["index", "", "", "unsaid"]);
    assert!(spec().unwrap().axes.iter().all(|axis| axis.kind.is_unsaid()));
    // With names and spins of components, too.
    owner(&["index", "channel", "flat", "flat"]);
    let file = hdf5::File::open_rw(folder.path().join("d.h5")).unwrap();
    let x = file.dataset("x").unwrap();
    let names = ["case", "component", "row", "column"].map(|name| name.parse::<hdf5::types::VarLenUnicode>().unwrap());
    x.new_attr::<hdf5::types::VarLenUnicode>().shape(4).create("axes").unwrap().write_raw(&names).unwrap();
    x.new_attr::<i64>().shape(3).create("component_spin").unwrap().write_raw(&[2i64, 2, 0]).unwrap();
    drop((x, file));
    let axes = spec().unwrap().axes;
    assert_eq!(
        (axes[0].name.as_str(), &axes[0].spins[..], axes[1].kind),
        ("component", &[2, 2, 0][..], AxisKind::Flat)
    );
}

#[test]
fn symmetries_are_refused_where_there_are_none() {
    let folder = foreign(&[3, 16, 16], "augment = true");
    let words = [
        "train.compressor.augment",
        "true",
        "(channel, flat, flat) are not those of maps of a periodic box",
        "leave it out",
    ];
    let check = ["check", "run.toml"];
    refused(folder.path(), &check, &["train.compressor.augment", "unsaid", "say in [dataset.axes]"]);
    say(folder.path(), "x = [\"channel\", \"flat\", \"flat\"]");
    refused(folder.path(), &check, &words);
    let later = "[[train]]\nname = \"posterior\"\ninput = \"compressor\"\nnetwork = { kind = \"npe\" }\n";
    let stage = |key: &str, axes: &str| {
        campaign(folder.path(), &format!("{later}{key}"));
        say(folder.path(), axes);
    };
    stage("copies = 4", "x = [\"channel\", \"flat\", \"flat\"]");
    refused(folder.path(), &check, &["train.posterior.copies", "4", "all be alike"]);
    stage("augment = true", "x = [\"channel\", \"periodic\", \"periodic\"]");
    refused(folder.path(), &check, &["train.posterior.augment", "summaries of compressor", "copies"]);
    stage("copies = 4", "x = [\"channel\", \"periodic\", \"periodic\"]");
    let (code, text) = polycosm(folder.path(), &check);
    assert_eq!(code, 0, "{text}");
    for (data, axes, words) in [
        (
            "symmetries = [\"shift\", \"turn\"]",
            "x = [\"channel\", \"flat\", \"flat\"]",
            &["train.compressor.data.symmetries", "\"shift\"", "x (channel, flat, flat)", "ends at its edges"][..],
        ),
        (
            "symmetries = [\"turns\"]",
            "x = [\"channel\", \"flat\", \"flat\"]",
            &["run.toml:8", "symmetries.0 = \"turns\"", "did you mean `turn`"],
        ),
        ("symmetries = [\"slabs\"]", "x = [\"channel\", \"periodic\", \"periodic\"]", &["no axis of kind \"slab\""]),
        ("noise = [{ sigma = -0.1 }]", "x = [\"channel\", \"flat\", \"flat\"]", &["noise.0.sigma = -0.1", "positive"]),
        ("noise = [{ sgima = 0.1 }]", "x = [\"channel\", \"flat\", \"flat\"]", &["sgima", "sigma"]),
        ("masks = [{ file = \"none.h5\" }]", "x = [\"channel\", \"flat\", \"flat\"]", &["masks.0.file", "none.h5"]),
    ] {
        campaign(folder.path(), &format!("data = {{ {data} }}"));
        say(folder.path(), axes);
        refused(folder.path(), &check, words);
    }
    stage("data = { symmetries = [\"flip\"] }", "x = [\"channel\", \"periodic\", \"periodic\"]");
    refused(folder.path(), &check, &["train.posterior.data", "summaries of compressor", "copies"]);
    // The simulator's own maps of the sky.
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/observables.toml");
    let mut text = std::fs::read_to_string(recipe).unwrap();
    text += "\n[[train]]\nname = \"compressor\"\ninput = \"kappa\"\naugment = true\nnetwork = { kind = \"vmim\", transform = \"none\" }\n";
    std::fs::write(folder.path().join("kappa.toml"), text).unwrap();
    let check = ["check", "kappa.toml", "--set", "output=o"];
    refused(folder.path(), &check, &["train.compressor.augment", "kappa (view, channel, flat, flat)"]);
    let (code, text) =
        polycosm(folder.path(), &[&check[..], &["--set", "train.compressor.input=maps_z0.000"]].concat());
    assert_eq!(code, 0, "{text}");
}

/// From the dataset to weights and page: spectra are no maps, and what is said of axes belongs to what a stage is of.
#[test]
fn a_table_of_spectra_is_neither_learned_from_nor_drawn_as_maps() {
    let folder = foreign(&[10, 16], "");
    let at = folder.path();
    let trained = |cnn: bool| {
        let weights = Tensor::read_safetensors(at.join("o/train/compressor/weights.safetensors")).unwrap();
        assert!(weights.iter().any(|(name, _)| name.contains(if cnn { ".cnn." } else { ".mlp." })));
        let drawn = at.join("o/report/maps.png").exists();
        assert_eq!(drawn, cnn, "maps are drawn");
    };
    for command in ["train", "report"] {
        let (code, text) = polycosm(at, &[command, "run.toml"]);
        assert!(code == 0 && text.matches("nobody says").count() == 1, "{text}");
    }
    trained(false);
    say(at, "x = [\"flat\", \"flat\"]");
    let (code, text) = polycosm(at, &["train", "run.toml"]);
    assert!(code == 2 && text.contains("axes of x were unsaid, unsaid and are flat, flat"), "{text}");
    let (code, text) = polycosm(at, &["train", "run.toml", "--retrain", "compressor"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = polycosm(at, &["status", "run.toml"]);
    assert!(code == 0 && text.contains("[dataset.axes] was changed since"), "{text}");
    let (code, text) = polycosm(at, &["report", "run.toml"]);
    assert_eq!(code, 0, "{text}");
    trained(true);
}

#[test]
fn a_network_for_maps_that_sees_none_is_told() {
    for (shape, axes, told) in [
        ([4, 16], "x = [\"flat\", \"flat\"]\n", "maps of 4 × 16 pixels"),
        ([4, 16], "", "[4, 16], no maps"),
        ([8, 16], "x = [\"flat\", \"flat\"]\n", ""),
    ] {
        let folder = foreign(&shape, "");
        say(folder.path(), axes);
        let (code, text) = polycosm(folder.path(), &["check", "run.toml"]);
        assert_eq!(code, 0, "{text}");
        let words = "train.compressor.network.cnn is not used: its maps begin at 8 × 8, and the input is ";
        assert_eq!(text.matches(words).count(), !told.is_empty() as usize, "{text}");
        assert!(text.contains(told), "{text}");
    }
}
