//! `polycosm new`: a commented campaign file to start from.

use super::campaign::path;
use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::hdf::publish_new;
use crate::job::quoted;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::path::{Path, PathBuf};

/// A recipe that travels with the program.
pub struct Recipe {
    pub name: &'static str,
    /// What it is, in one line.
    pub what: &'static str,
    pub text: &'static str,
}

pub const RECIPES: [Recipe; 13] = [
    Recipe {
        name: "demo",
        what: "the whole way: simulate, learn from maps and from P(k), infer, calibrate, report; ten minutes on two cores",
        text: include_str!("../../recipes/demo.toml"),
    },
    Recipe {
        name: "smoke",
        what: "every stage as in demo, but tiny: to see that a machine works, in about a minute",
        text: include_str!("../../recipes/smoke.toml"),
    },
    Recipe {
        name: "foreign",
        what: "a posterior from an HDF5 file of your own, without simulations",
        text: include_str!("../../recipes/foreign.toml"),
    },
    Recipe {
        name: "observables",
        what: "every product of the simulator, from four small universes; trains nothing",
        text: include_str!("../../recipes/observables.toml"),
    },
    Recipe {
        name: "lensing",
        what: "a posterior from noisy maps of weak lensing, beside one from their spectra; a minute, for a try",
        text: include_str!("../../recipes/lensing.toml"),
    },
    Recipe {
        name: "fullsky",
        what: "weak lensing over an octant of the sky in HEALPix pixels, from N-body; two minutes; trains nothing",
        text: include_str!("../../recipes/fullsky.toml"),
    },
    Recipe {
        name: "gaussian-flat",
        what: "amplitude and slope from Gaussian maps, learned and exact; some minutes",
        text: include_str!("../../recipes/gaussian-flat.toml"),
    },
    Recipe {
        name: "lognormal-flat",
        what: "lognormal convergence maps of two bins from a table of spectra, learned from; minutes",
        text: include_str!("../../recipes/lognormal-flat.toml"),
    },
    Recipe {
        name: "lsst-y10",
        what: "six parameters from LSST Y10 lognormal maps, as the benchmark sbi_lens has them; tens of minutes",
        text: include_str!("../../recipes/lsst-y10.toml"),
    },
    Recipe {
        name: "lognormal-box",
        what: "a posterior of sigma8 and bias from redshift-space multipoles of galaxies in lognormal boxes; minutes",
        text: include_str!("../../recipes/lognormal-box.toml"),
    },
    Recipe {
        name: "galaxies",
        what: "a posterior of sigma8 and the galaxies' occupation from their clustering; a minute",
        text: include_str!("../../recipes/galaxies.toml"),
    },
    Recipe {
        name: "covariance",
        what: "covariances of P(k) and of the one-point function at a fiducial point; seconds",
        text: include_str!("../../recipes/covariance.toml"),
    },
    Recipe {
        name: "forecast",
        what: "a Fisher forecast: covariances at a fiducial point, derivatives by pairs of steps; less than a minute",
        text: include_str!("../../recipes/forecast.toml"),
    },
];

fn names() -> PossibleValuesParser {
    RECIPES.iter().map(|r| PossibleValue::new(r.name).help(r.what)).collect::<Vec<_>>().into()
}

/// Write a commented campaign file
///
/// Example: polycosm new --recipe demo run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe to start from
    #[arg(long, default_value = "demo", value_parser = names())]
    pub recipe: String,
    /// The file to write; an existing one is kept
    #[arg(value_name = "CAMPAIGN.toml", value_parser = path())]
    pub file: PathBuf,
}

/// Collective; the root writes.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    comm.on_root(|| {
        write(&args.file, &args.recipe)?;
        let file = args.file.display().to_string();
        let next = match args.recipe.as_str() {
            // They have no stages that `run` could go through.
            "observables" | "fullsky" => "simulate",
            _ => "run",
        };
        say(format_args!("{file} written; next: mpirun -n 2 polycosm {next} {}", quoted(&file)));
        Ok(())
    })
}

fn write(file: &Path, recipe: &str) -> Result<()> {
    let found = RECIPES.iter().find(|r| r.name == recipe);
    let Recipe { name, text, .. } =
        found.ok_or_else(|| Error::input("there is no such recipe").key("--recipe").value(recipe))?;
    // A campaign of its own name gets an output folder of its own, and its comments speak of both.
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    // Between quotes of TOML, and the name of a folder.
    let stem: String = stem.chars().map(|c| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '-' }).collect();
    let text = text.replace(&format!("runs/{name}"), &format!("runs/{stem}"));
    let text = text.replace(&format!("recipes/{name}.toml"), &quoted(&file.display().to_string()));
    // The recipe's observation lies beside the recipe, not beside the new campaign.
    let text = text.replacen("\nobservations = ", "\n# observations = ", 1);
    publish_new(file, &text).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::input("exists already").file(file).remedy("choose another name, or remove it first")
        }
        _ => Error::input(format!("cannot be written: {e}")).file(file).remedy("choose a folder you may write to"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_toml_and_an_existing_file_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        for Recipe { name, .. } in RECIPES {
            let file = directory.path().join(format!("my-{name}.toml"));
            write(&file, name).unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["output"].as_str(), Some(format!("runs/my-{name}").as_str()));
            assert!(!text.contains(&format!("runs/{name}")) && !text.contains("recipes/"), "{text}");
            assert!(text.lines().filter(|l| l.contains('#')).count() > 5, "{name} is commented");
            assert_eq!(write(&file, name).unwrap_err().exit_code(), 2);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}
