//! Bad input: one message from one rank that names file, key, value and remedy; exit code 2; no rank hangs; nothing
//! written.

#[path = "mpi/locks.rs"]
mod locks;

use polycosm::io::hdf::File;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One way to get it wrong.
struct Row {
    what: &'static str,
    /// Arguments; `run.toml` is the campaign below.
    arguments: &'static [&'static str],
    /// Text of `run.toml`; empty: there is no such file.
    campaign: &'static str,
    /// What the message must contain: file, key, value, remedy.
    says: &'static [&'static str],
}

/// A campaign without its simulator.
macro_rules! campaign {
    () => {
        "output = \"o\"\nseed = 1\n[cosmology]\nOmega_b = 0.05\nh = 0.7\nn_s = 0.96\n[design]\nsimulations = 4\n\
         [design.parameters.Omega_m]\nmin = 0.1\nmax = 0.5\nlatex = 'M'\n\
         [design.parameters.sigma8]\nmin = 0.6\nmax = 1.0\nlatex = 'S'\n"
    };
}

macro_rules! simulator {
    () => {
        "[simulator]\nkind = \"pm\"\nbox_size = 64.0\nparticles = 16\n"
    };
}

/// A simulator with a light cone.
macro_rules! sphere {
    () => {
        concat!(simulator!(), "[simulator.lightcone]\nnside = 8\nsource_redshifts = [1.0]\n")
    };
}

macro_rules! lightcone {
    () => {
        concat!(simulator!(), "[simulator.lightcone]\nfield_of_view_deg = 1.0\npixels = 8\nsource_redshifts = [1.0]\n")
    };
}

/// A file that is there, and no field.
const NOISE: &str = "simulator.initial.field={ kind = 'white-noise', file = 'run.toml', dataset = 'noise' }";

const ROWS: &[Row] = &[
    Row {
        what: "no such file",
        arguments: &["check", "run.toml"],
        campaign: "",
        says: &["run.toml: ", "cannot be read", "remedy: ", "polycosm new"],
    },
    Row {
        what: "not TOML",
        arguments: &["check", "run.toml"],
        campaign: "output = \"o\"\n[cosmology]\nh = 0.7 0.8\n",
        says: &["run.toml:3: ", "h = 0.7 0.8", "remedy: "],
    },
    Row {
        what: "a value given twice",
        arguments: &["check", "run.toml"],
        campaign: "output = \"o\"\n[cosmology]\nsigma8 = 0.8\nsigma8 = 0.9\n",
        says: &["run.toml:4: cosmology.sigma8 = 0.9: ", "given twice", "remedy: keep one"],
    },
    Row {
        what: "--set without a value",
        arguments: &["check", "run.toml", "--set", "cosmology.h"],
        campaign: "output = \"o\"\n",
        says: &["run.toml: --set = \"cosmology.h\": ", "remedy: write --set section.key=value"],
    },
    Row {
        what: "--set of a stage that is not there",
        arguments: &["check", "run.toml", "--set", "train.flow.epochs=3"],
        campaign: "output = \"o\"\n[[train]]\nname = \"compressor\"\n",
        says: &["run.toml: train = \"flow\": ", "remedy: choose one of: compressor"],
    },
    Row {
        what: "a wrong type",
        arguments: &["job", "run.toml"],
        campaign: "seed = 1\noutput = 5\n",
        says: &["run.toml:2: output = 5: ", "wrong type", "remedy: expected "],
    },
    Row {
        what: "a key that is missing",
        arguments: &["job", "run.toml"],
        campaign: "seed = 1\n",
        says: &["run.toml: output: is missing", "remedy: add `output`"],
    },
    Row {
        what: "an unknown site",
        arguments: &["job", "run.toml", "--site", "nowhere"],
        campaign: "output = \"o\"\n",
        says: &["--site = \"nowhere\": ", "remedy: built in: generic"],
    },
    Row {
        what: "a folder that cannot be made",
        arguments: &["job", "run.toml", "--to", "run.toml/job"],
        campaign: "output = \"o\"\n",
        says: &["--to = \"run.toml/job\": ", "cannot be made", "remedy: choose a folder"],
    },
    Row {
        what: "a campaign that is there already",
        arguments: &["new", "run.toml"],
        campaign: "output = \"o\"\n",
        says: &["run.toml: exists already", "remedy: choose another name"],
    },
    Row {
        what: "an unknown key",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), "[simulator]\nkind = \"pm\"\nboxsize = 64.0\nparticles = 16\n"),
        says: &["run.toml:", "simulator.boxsize = 64.0: ", "unknown key", "remedy: ", "box_size"],
    },
    Row {
        what: "a wrong type in a section",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), "[simulator]\nkind = \"pm\"\nbox_size = \"big\"\nparticles = 16\n"),
        says: &["run.toml:", "simulator.box_size = \"big\": ", "wrong type", "remedy: expected "],
    },
    Row {
        what: "an unknown simulator",
        arguments: &["check", "run.toml", "--set", "simulator.kind=gpm"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.kind = \"gpm\": ", "remedy: ", "pm"],
    },
    Row {
        what: "Omega_m not positive",
        arguments: &["simulate", "run.toml", "--set", "design.parameters.Omega_m.min=-0.1"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["run.toml", "Omega_m", "-0.1", "remedy: "],
    },
    Row {
        what: "Omega_m of zero",
        arguments: &["simulate", "run.toml", "--set", "cosmology.Omega_b=0.0", "--set", "cosmology.h=-0.7"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["run.toml", "cosmology.", "remedy: "],
    },
    Row {
        what: "groups larger than the job",
        arguments: &["simulate", "run.toml", "--set", "suite.ranks_per_sim=64"],
        campaign: concat!(campaign!(), simulator!()),
        says: &[
            "run.toml (--set): suite.ranks_per_sim = 64: ",
            "larger than the job",
            "remedy: start with mpirun -n 64",
        ],
    },
    Row {
        what: "a box that is not positive",
        arguments: &["simulate", "run.toml", "--set", "simulator.box_size=-256.0"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.box_size = -256.0: ", "positive", "remedy: "],
    },
    Row {
        what: "a mesh that is not positive",
        arguments: &["simulate", "run.toml", "--set", "simulator.mesh_factor=0.0"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.mesh_factor = 0.0: ", "positive", "remedy: "],
    },
    Row {
        what: "a stage that reads nothing there is",
        arguments: &["check", "run.toml"],
        campaign: concat!(
            campaign!(),
            simulator!(),
            "power = {}\n[[train]]\nname = \"a\"\ninput = \"map\"\nnetwork = { kind = \"vmim\" }\n"
        ),
        says: &["run.toml:", "input = \"map\": ", "remedy: choose one of power"],
    },
    Row {
        what: "a network of no width",
        arguments: &["check", "run.toml"],
        campaign: concat!(
            campaign!(),
            simulator!(),
            "power = {}\n[[train]]\nname = \"a\"\ninput = \"power\"\nnetwork = { kind = \"vmim\", cnn = { width = -3 } }\n"
        ),
        says: &["network.cnn.width = -3: ", "remedy: "],
    },
    Row {
        what: "a process grid of other ranks",
        arguments: &["check", "run.toml", "--set", "simulator.process_grid=[3, 5]"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.process_grid = [3, 5]: ", "remedy: "],
    },
    Row {
        what: "more particles than the memory holds",
        arguments: &["simulate", "run.toml", "--set", "simulator.particles=8000"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.particles = 8000: ", "GB", "remedy: share each simulation"],
    },
    Row {
        what: "more maps than the memory holds",
        arguments: &["simulate", "run.toml", "--set", "simulator.maps={ pixels = 200000, slabs = 1000 }"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.maps.pixels = 200000: ", "GB", "remedy: lower it"],
    },
    Row {
        what: "a grid that the memory does not hold",
        arguments: &["simulate", "run.toml", "--set", "simulator.density.points=16000"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.density.points = 16000: ", "GB", "remedy: lower it"],
    },
    Row {
        what: "maps that nobody has pixels for",
        arguments: &["check", "run.toml", "--set", "simulator.maps.slabs=1000000000000"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.maps.slabs = 1000000000000: ", "remedy: "],
    },
    Row {
        what: "rows that the design has not",
        arguments: &["simulate", "run.toml", "--only", "5..9"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["--only = 5..9: the design has 4 simulations", "remedy: give rows from 0..3"],
    },
    Row {
        what: "nothing to calibrate",
        arguments: &["calibrate", "run.toml"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["infer: ", "no posterior to calibrate", "remedy: add [infer]"],
    },
    Row {
        what: "nothing to report on",
        arguments: &["report", "run.toml", "--set", "output=nothere"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["nothere: output = \"nothere\": ", "remedy: run `polycosm run`"],
    },
    Row {
        what: "a noise file that is no HDF5 file",
        arguments: &["check", "run.toml", "--set", NOISE],
        campaign: concat!(campaign!(), simulator!()),
        says: &["run.toml", "not an HDF5 file", "remedy: "],
    },
    Row {
        what: "sigma8 fixed and varied",
        arguments: &["simulate", "run.toml", "--set", "cosmology.sigma8=0.8"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["cosmology.sigma8 = 0.8: ", "given twice", "remedy: "],
    },
    Row {
        what: "output not writable",
        arguments: &["simulate", "run.toml", "--set", "output=run.toml/runs"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["output = \"run.toml/runs\": ", "remedy: choose a folder"],
    },
    Row {
        what: "a table that is missing",
        arguments: &["simulate", "run.toml", "--set", "cosmology.transfer=table", "--set", "cosmology.table=no.txt"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["no.txt", "remedy: "],
    },
    Row {
        what: "one table for many cosmologies",
        arguments: &["simulate", "run.toml", "--set", "cosmology.transfer=table", "--set", "cosmology.table=run.toml"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["Omega_m", "{index}", "remedy: "],
    },
    Row {
        what: "a field wider than the box in one corner of the prior",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.field_of_view_deg=1.7"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &[
            "run.toml (--set): simulator.lightcone.field_of_view_deg = 1.7: ",
            "wider than the box",
            "Omega_m = 0.1",
            "remedy: give at most 1.368 degrees",
        ],
    },
    Row {
        what: "sources beyond the middle of a closed universe",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "cosmology.Omega_k=-0.4",
            "--set",
            "simulator.lightcone.source_redshifts=[18.0]",
            "--set",
            "simulator.lightcone.replicate_across=true",
        ],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.lightcone.source_redshifts = [18.0]: ", "circumference", "remedy: bring the sources nearer"],
    },
    Row {
        what: "a sphere of sources wider than the box",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), sphere!()),
        says: &[
            "simulator.lightcone.replicate_across = false: ",
            "wider than the box",
            "remedy: set replicate_across = true",
        ],
    },
    Row {
        what: "a sphere of pixels that HEALPix has not",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.nside=12"],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.lightcone.nside = 12: ", "power of two", "remedy: 256"],
    },
    Row {
        what: "a sky that is flat and a sphere",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.pixels=8"],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.lightcone.pixels = 8", "of a flat sky", "remedy: leave one of them out"],
    },
    Row {
        what: "the sphere of a curved universe",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "cosmology.Omega_k=0.1",
            "--set",
            "simulator.lightcone.replicate_across=true",
        ],
        campaign: concat!(campaign!(), sphere!()),
        says: &["cosmology.Omega_k = 0.1: ", "flat universe", "remedy: set it to 0"],
    },
    Row {
        what: "the shear of a part of the sphere",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "simulator.lightcone.shear=true",
            "--set",
            "simulator.lightcone.footprint=octant",
        ],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.lightcone.shear = true: ", "whole sky", "remedy: leave it out"],
    },
    Row {
        what: "rays over the sphere",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.method=raytrace"],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.lightcone.method = ", "flat sky alone", "remedy: take \"born\""],
    },
    Row {
        what: "spectra that the sphere's maps do not have",
        arguments: &["check", "run.toml", "--set", "simulator.c_ell={ max = 100.0 }"],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.c_ell = [2.0, 100.0]: ", "from 1 to 23", "remedy: change min or max"],
    },
    Row {
        what: "peaks on the sphere",
        arguments: &["check", "run.toml", "--set", "simulator.peaks={ smoothing = 0.1 }"],
        campaign: concat!(campaign!(), sphere!()),
        says: &["simulator.peaks", "flat sky alone", "remedy: leave them out"],
    },
    Row {
        what: "a lens plane thicker than the box",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.plane_thickness=100.0"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.lightcone.plane_thickness = 100.0: ", "remedy: leave it out"],
    },
    Row {
        what: "sources before the start of the steps",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "simulator.lightcone.source_redshifts=[0.5, 12.0]",
            "--set",
            "simulator.lightcone.field_of_view_deg=0.1",
        ],
        campaign: concat!(campaign!(), lightcone!()),
        says: &[
            "run.toml (--set): simulator.lightcone.source_redshifts = [0.5, 12.0]: ",
            "redshift 9.00",
            "remedy: start the steps at a = 0.0",
            "or bring the sources nearer",
        ],
    },
    Row {
        what: "a distribution of sources before the start of the steps",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "simulator.lightcone.n_of_z=[{ smail = { z0 = 1.0, z_max = 12.0 } }]",
            "--set",
            "simulator.lightcone.field_of_view_deg=0.1",
        ],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["run.toml (--set): simulator.lightcone.n_of_z = ", "z_max = 12", "remedy: start the steps at a = 0.0"],
    },
    Row {
        what: "a light cone whose steps end before today",
        arguments: &["check", "run.toml", "--set", "simulator.time.a_end=0.9"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["run.toml (--set): simulator.time.a_end = 0.9: ", "nearest plane", "remedy: set it to 1.0"],
    },
    Row {
        what: "a light cone whose scale factors end before today",
        arguments: &["check", "run.toml", "--set", "simulator.time.scale_factors=[0.1, 0.5, 0.9]"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.time.scale_factors = [0.1, 0.5, 0.9]: ", "remedy: let the last of them be 1.0"],
    },
    Row {
        what: "a light cone whose redshifts do not end today",
        arguments: &["check", "run.toml", "--set", "simulator.redshifts=[0.5]"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["run.toml (--set): simulator.redshifts = [0.5]: ", "nearest plane", "remedy: add 0.0"],
    },
    Row {
        what: "a mask that is missing",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.mask=no.h5"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &[
            "run.toml (--set): simulator.lightcone.mask = \"no.h5\": ",
            "cannot be read",
            "remedy: give an HDF5 file",
        ],
    },
    Row {
        what: "a table of sources that is missing",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.n_of_z=[{ table = { path = 'no.txt' } }]"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.lightcone.n_of_z.0 = \"no.txt\": ", "cannot be read", "remedy: give the path"],
    },
    Row {
        what: "a distribution of sources that is none",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.n_of_z=[{ smail = { z0 = -1.0 } }]"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.lightcone.n_of_z.0 = { smail = { z0 = -1.0", "remedy: alpha = 2.0"],
    },
    Row {
        what: "a misspelt key of a distribution of sources",
        arguments: &["check", "run.toml", "--set", "simulator.lightcone.n_of_z=[{ smail = { z0 = 1.0, zmax = 1.0 } }]"],
        campaign: concat!(campaign!(), lightcone!()),
        says: &["simulator.lightcone.n_of_z.0.smail.zmax = 1.0: unknown key", "did you mean `z_max`"],
    },
    Row {
        what: "a galaxy parameter with an impossible corner",
        arguments: &["check", "run.toml"],
        campaign: concat!(
            campaign!(),
            simulator!(),
            "[simulator.galaxies]\n",
            "[design.parameters.sigma_log_m]\nmin = -0.5\nmax = 0.5\n"
        ),
        says: &["run.toml:22: design.parameters.sigma_log_m = -0.5: ", "must be positive", "remedy: "],
    },
    Row {
        what: "satellites that avoid heavy halos",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), simulator!(), "[simulator.galaxies]\n", "alpha = -1.0\n"),
        says: &["run.toml:22: simulator.galaxies.alpha = -1.0: ", "remedy: "],
    },
    Row {
        what: "a galaxy parameter without galaxies",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), simulator!(), "[design.parameters.alpha]\nmin = 0.5\nmax = 1.0\n"),
        says: &["run.toml:21: design.parameters.alpha = ", "remedy: add a section [simulator.galaxies]"],
    },
    Row {
        what: "a misspelt parameter",
        arguments: &["check", "run.toml"],
        campaign: concat!(
            campaign!(),
            simulator!(),
            "[simulator.galaxies]\n",
            "[design.parameters.sigma_8]\nmin = 0.5\nmax = 1.0\n"
        ),
        says: &["run.toml:22: design.parameters.sigma_8 = ", "remedy: did you mean `sigma8`", "ln_1e10_A_s, log_m_min"],
    },
    Row {
        what: "an unknown key of a nested section",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), simulator!(), "[simulator.halos]\noverdensity = 200\n"),
        says: &["run.toml:22: simulator.halos.overdensity = 200: unknown key", "remedy: known here: linking_length"],
    },
    Row {
        what: "a misspelt key of a nested section",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), simulator!(), "[simulator.time]\nsteps2 = 1\n"),
        says: &["run.toml:22: simulator.time.steps2 = 1: unknown key", "remedy: did you mean `steps`"],
    },
    Row {
        what: "a nested section that lacks a key",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), simulator!(), "[simulator.lightcone]\n"),
        says: &["run.toml:21: simulator.lightcone.field_of_view_deg: is missing", "to [simulator.lightcone]"],
    },
    Row {
        what: "a simulator without a kind",
        arguments: &["check", "run.toml"],
        campaign: concat!(campaign!(), "[simulator]\nbox_size = 64.0\n"),
        says: &["run.toml:17: simulator.kind: is missing", "remedy: add `kind = …` to [simulator]"],
    },
    Row {
        what: "a value in place of a section",
        arguments: &["check", "run.toml", "--set", "cosmology=3"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["cosmology = 3: ", "wrong type", "remedy: expected a section"],
    },
    Row {
        what: "a list of universes that is missing",
        arguments: &["check", "run.toml", "--set", "design.kind=list", "--set", "design.file=no.txt"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["run.toml (--set): design.file = \"no.txt\": ", "cannot be read", "remedy: give the path"],
    },
    Row {
        what: "a grid of another size",
        arguments: &["check", "run.toml", "--set", "design.kind=grid", "--set", "design.simulations=5"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["run.toml (--set): design.simulations = 5: ", "remedy: choose one of"],
    },
    Row {
        what: "a box of a galaxy's size",
        arguments: &["check", "run.toml", "--set", "simulator.box_size=1e-3"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.box_size = 0.001: ", "remedy: give its side in Mpc/h"],
    },
    Row {
        what: "non-Gaussianity beyond the potential itself",
        arguments: &["check", "run.toml", "--set", "simulator.initial.f_nl=1e9"],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.initial.f_nl = 1000000000.0: ", "remedy: 0 is a Gaussian field"],
    },
    Row {
        what: "a field that is missing",
        arguments: &[
            "check",
            "run.toml",
            "--set",
            "simulator.initial.field={ kind = 'white-noise', file = 'no.h5', dataset = 'n' }",
        ],
        campaign: concat!(campaign!(), simulator!()),
        says: &["simulator.initial.field.file = \"no.h5\": ", "there is no such file", "remedy: "],
    },
    Row {
        what: "an unknown subcommand",
        arguments: &["chekc", "run.toml"],
        campaign: "output = \"o\"\n",
        says: &["error: unrecognized subcommand 'chekc'", "'check'"],
    },
];

/// Longest that one refusal may take, a start of MPI on a busy machine included.
const LIMIT: Duration = Duration::from_secs(60);

/// Exit code and standard error of the program on so many ranks (0: without a launcher).
fn refused(ranks: usize, arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_polycosm");
    let mut command = Command::new(if ranks == 0 { program } else { "mpirun" });
    if ranks > 0 {
        command.args(["--oversubscribe", "-n", &ranks.to_string(), program]);
    }
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program (or mpirun) starts");
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > LIMIT => {
                child.kill().ok();
                panic!("hangs: {arguments:?} on {ranks} ranks");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (status.code(), text)
}

/// Every file and folder below, with its contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        all.insert(path.display().to_string(), std::fs::read(&path).unwrap_or_default());
        if path.is_dir() {
            all.extend(contents(&path));
        }
    }
    all
}

fn check_on(ranks: usize) {
    let mut failures = vec![];
    for row in ROWS {
        let folder = tempfile::tempdir().unwrap();
        if !row.campaign.is_empty() {
            std::fs::write(folder.path().join("run.toml"), row.campaign).unwrap();
        }
        let before = contents(folder.path());
        let (code, message) = refused(ranks, row.arguments, folder.path());
        let mut complain = |problem: String| failures.push(format!("{}: {problem}\n{message}", row.what));
        if code != Some(2) {
            complain(format!("exit code {code:?}"));
        }
        if message.matches("error: ").count() != 1 {
            complain("not exactly one message".into());
        }
        for part in row.says.iter().filter(|part| !message.contains(**part)) {
            complain(format!("does not say {part:?}"));
        }
        if contents(folder.path()) != before {
            complain("something was written".into());
        }
    }
    assert!(failures.is_empty(), "{} failure(s) on {ranks} ranks\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn is_refused_with_one_message() {
    check_on(0);
}

#[test]
fn is_refused_with_one_message_from_two_ranks() {
    check_on(2);
}

/// Files that are there, and do not hold what they should.
#[test]
fn files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("run.toml", concat!(campaign!(), lightcone!()));
    write("n.txt", "0.5 1.0\n1.0 2.0\n");
    write("list.txt", "0.3 0.8\n0.3 2.0\n");
    let file = File::create(&folder.path().join("arrays.h5")).unwrap();
    file.write(None, "mask", &[4, 4], &[1f32; 16]).unwrap();
    let sky = |name: &str, pixels: usize, value: f64, order: &str| {
        let file = File::create(&folder.path().join(name)).unwrap();
        file.write(None, "mask", &[pixels], &vec![value; pixels]).unwrap();
        file.set_text("mask", "ORDERING", order).unwrap();
        file.close().unwrap();
    };
    sky("small.h5", 192, 1.0, "RING");
    sky("strange.h5", 768, 1.0, "SPIRAL");
    sky("nan.h5", 768, f64::NAN, "RING");
    sky("dark.h5", 768, 0.0, "NESTED");
    let sphere = |key: &str, file: &str| {
        let key = if key == "mask" { format!("mask = '{file}'") } else { format!("footprint = {{ mask = '{file}' }}") };
        format!("simulator.lightcone={{ nside = 8, replicate_across = true, source_redshifts = [1.0], {key} }}")
    };
    let mut one = vec![0f64; 4096];
    file.write(None, "zeros", &[16; 3], &one).unwrap();
    one.iter_mut().enumerate().for_each(|(i, x)| *x = if i % 2 == 0 { 5.0 } else { -5.0 });
    file.write(None, "loud", &[16; 3], &one).unwrap();
    one.iter_mut().for_each(|x| *x = *x / 5.0 + 1.0);
    file.write(None, "shifted", &[16; 3], &one).unwrap();
    one[7] = f64::NAN;
    file.write(None, "nan", &[16; 3], &one).unwrap();
    file.close().unwrap();
    let noise = |name: &str| {
        format!("simulator.initial.field={{ kind = 'white-noise', file = 'arrays.h5', dataset = '{name}' }}")
    };
    let table =
        |column: usize| format!("simulator.lightcone.n_of_z=[{{ table = {{ path = 'n.txt', column = {column} }} }}]");
    for (sets, says) in [
        (vec!["simulator.lightcone.mask=arrays.h5".to_string()], ["mask = \"arrays.h5\": ", "[4, 4]", "pixels"]),
        (
            vec![sphere("mask", "small.h5")],
            ["lightcone.mask = \"small.h5\": ", "of nside = 4, and the maps 768", "same nside"],
        ),
        (vec![sphere("mask", "strange.h5")], ["lightcone.mask = \"strange.h5\": ", "SPIRAL", "RING or NESTED"]),
        (vec![sphere("mask", "nan.h5")], ["lightcone.mask = \"nan.h5\": ", "holds NaN", "from 0 (masked)"]),
        (vec![sphere("", "small.h5")], ["lightcone.footprint.mask = \"small.h5\": ", "nside = 4", "same nside"]),
        (vec![sphere("", "dark.h5")], ["lightcone.footprint = ", "has no pixel", "another footprint"]),
        (vec![table(2)], ["n_of_z.0 = \"n.txt\": ", "column 2", "another column"]),
        (vec![table(0)], ["n_of_z.0 = { table = ", "column 0", "column = 1"]),
        (
            vec!["design.kind=list".into(), "design.file=list.txt".into()],
            ["design.file = \"list.txt\": ", "outside", "mend the list"],
        ),
        (vec![noise("loud")], ["arrays.h5: loud: ", "variance 25.0000", "standard deviation"]),
        (vec![noise("zeros")], ["arrays.h5: zeros: ", "variance 0.0000", "standard deviation"]),
        (vec![noise("shifted")], ["arrays.h5: shifted: ", "mean 1.0000", "subtract its mean"]),
        (vec![noise("nan")], ["arrays.h5: nan = NaN: ", "not finite", "make the field anew"]),
    ] {
        let sets: Vec<&str> = sets.iter().flat_map(|s| ["--set", s]).collect();
        let before = contents(folder.path());
        let (code, message) = refused(0, &[&["check", "run.toml"], &sets[..]].concat(), folder.path());
        assert_eq!(code, Some(2), "{message}");
        assert_eq!(contents(folder.path()), before, "something was written");
        says.iter().for_each(|part| assert!(message.contains(part), "does not say {part:?}: {message}"));
    }
}

#[test]
fn help_and_version_are_printed_once() {
    for (argument, word) in [("--help", "Usage:"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let output = Command::new("mpirun")
            .args(["--oversubscribe", "-n", "2", env!("CARGO_BIN_EXE_polycosm"), argument])
            .envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text.matches(word).count(), 1, "{text}");
    }
}
