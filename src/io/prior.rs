//! The prior in HDF5 files, spelled alike in datasets, exports and posterior files: the root attribute `prior` (JSON,
//! as in `model.json`), which is what is read, and for readers in other languages attributes of `theta`.

use super::hdf::File;
use crate::error::{Error, Result};
use crate::prior::{Accepted, Derived, DrawnFrom, Parameter, Prior};

/// The array of parameters.
const THETA: &str = "theta";

/// Writes the prior, and what is known of how parameters were drawn, beside the array `theta`.
pub fn write(file: &File, prior: &Prior, drawn_from: DrawnFrom) -> Result<()> {
    let all = &prior.parameters;
    let uniform = all.iter().all(|p| p.is_uniform());
    let density = if uniform { "independent and uniform between min and max" } else { "see the root attribute prior" };
    let (min, max): (Vec<f64>, Vec<f64>) = all.iter().map(|p| p.distribution.bounds()).unzip();
    file.set_texts(THETA, "parameters", &prior.names())?;
    file.set_texts(THETA, "latex", &all.iter().map(|p| p.latex.as_str()).collect::<Vec<_>>())?;
    file.set_numbers(THETA, "min", &min)?;
    file.set_numbers(THETA, "max", &max)?;
    file.set_text(THETA, "density", density)?;
    if let Some(left) = &prior.accepted {
        file.set_numbers(THETA, "accepted", &[left.kept as f64, left.of as f64])?;
        file.set_numbers(THETA, "accepted_variance", &left.variance)?;
    }
    file.set_text(THETA, "drawn_from", drawn_from.name())?;
    file.set_json("", "prior", prior)
}

/// Root attribute: what the derived parameters are.
const DERIVED: &str = "derived";

/// Writes what the derived parameters of the prior are beside the array of that name, (…, d), which is there; nothing
/// where there are none.
pub fn write_derived(file: &File, prior: &Prior, name: &str) -> Result<()> {
    let all = &prior.derived;
    if all.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Derived) -> &str| all.iter().map(of).collect::<Vec<_>>();
    file.set_texts(name, "parameters", &texts(|d| &d.name))?;
    file.set_texts(name, "latex", &texts(|d| &d.latex))?;
    file.set_texts(name, "formula", &texts(|d| &d.formula))?;
    file.set_texts(name, "units", &texts(|d| &d.unit))?;
    file.set_json("", DERIVED, all)
}

/// What a file of polycosm says that its derived parameters are.
pub fn derived(file: &File) -> Result<Vec<Derived>> {
    Ok(file.json("", DERIVED)?.unwrap_or_default())
}

/// True if these are the same derived parameters.
pub fn same_derived(these: &[Derived], others: &[Derived]) -> bool {
    these.len() == others.len() && these.iter().zip(others).all(|(one, other)| one.is(other))
}

/// What a file of polycosm says of the prior of its parameters `theta`; `None`: nothing.
pub fn read(file: &File, theta: &str) -> Result<Option<(Prior, DrawnFrom)>> {
    let mut prior: Prior = match file.text("", "prior")? {
        Some(text) => {
            let unusable = |e| Error::input(format!("it is none that this program can use: {e}")).file(file.path());
            let remedy = "use a newer polycosm, if one wrote this file; else make it again";
            serde_json::from_str(&text).map_err(|e| unusable(e).key("prior").remedy(remedy))?
        }
        None => match bounds_alone(file)? {
            Some(prior) => prior,
            None => return Ok(None),
        },
    };
    let left = file.numbers(theta, "accepted")?.zip(file.numbers(theta, "accepted_variance")?);
    prior.accepted = match left {
        Some((counts, variance)) if counts.len() == 2 && variance.len() == prior.len() => {
            Some(Accepted { kept: counts[0] as usize, of: counts[1] as usize, variance })
        }
        _ => None,
    };
    prior.derived = derived(file)?;
    // Posterior files of older programs say it of the whole file.
    let drawn_from = file.text(theta, "drawn_from")?.or(file.text("", "drawn_from")?);
    Ok(Some((prior, DrawnFrom::named(drawn_from.as_deref()))))
}

/// As posterior files of older programs have it: names, labels and bounds, attributes of the root.
fn bounds_alone(file: &File) -> Result<Option<Prior>> {
    let Some(bounds) = file.numbers("", "prior_bounds")? else { return Ok(None) };
    let lacks = |name: &str| Error::failed(format!("it has no attribute {name}")).file(file.path());
    let texts = |name: &str| file.texts("", name)?.ok_or_else(|| lacks(name));
    let parameter = |((name, latex), b): ((String, String), &[f64])| Parameter::uniform(name, latex, b[0], b[1]);
    let parameters = texts("names")?.into_iter().zip(texts("latex")?).zip(bounds.chunks_exact(2)).map(parameter);
    Prior::new(parameters.collect()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::Distribution;

    fn file(dir: &tempfile::TempDir, name: &str) -> File {
        let file = File::create(&dir.path().join(name)).unwrap();
        file.write(None, THETA, &[1, 2], &[0.3f64, 0.8]).unwrap();
        file
    }

    #[test]
    fn any_prior_comes_back_and_older_spellings_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (mean, sigma) = (0.8, 1.0 / 3.0);
        let half = Distribution::Normal { mean, sigma, min: 0.0, max: f64::INFINITY };
        let uniform = Parameter::uniform("Omega_m", r"\Omega_m", 0.1, 0.5);
        let other = Parameter { distribution: half, ..Parameter::uniform("sigma8", r"\sigma_8", 0.6, 1.0) };
        let line = |name: &str| {
            let distribution = Distribution::Normal { mean, sigma, min: f64::NEG_INFINITY, max: f64::INFINITY };
            Parameter { distribution, ..Parameter::uniform(name, name, 0.0, 1.0) }
        };
        let leaning = Parameter { correlation: [("h".into(), -0.9)].into(), ..line("n_s") };
        let prior = Prior::new(vec![uniform.clone(), other, leaning, line("h")]).unwrap();
        let prior = prior.cut(100, |theta| theta[0] < 0.4).unwrap();
        assert!((60..90).contains(&prior.accepted.as_ref().unwrap().kept));
        let new = file(&dir, "new.h5");
        write(&new, &prior, DrawnFrom::Grid).unwrap();
        assert_eq!(read(&new, THETA).unwrap(), Some((prior, DrawnFrom::Grid)));
        assert_eq!(new.numbers(THETA, "max").unwrap().unwrap()[..2], [0.5, f64::INFINITY]);
        assert!(new.text("", "prior").unwrap().unwrap().contains(r#""correlation":{"n_s":-0.9}"#));
        assert!(new.text(THETA, "density").unwrap().unwrap().contains("root attribute"));

        let older = file(&dir, "posterior.h5");
        assert_eq!(read(&older, THETA).unwrap(), None);
        older.set_texts("", "names", &["Omega_m", "sigma8"]).unwrap();
        older.set_texts("", "latex", &[r"\Omega_m", r"\sigma_8"]).unwrap();
        older.set_rows("", "prior_bounds", &[[0.1, 0.5], [0.6, 1.0]]).unwrap();
        older.set_text("", "drawn_from", "list").unwrap();
        let boxed = Prior::new(vec![uniform, Parameter::uniform("sigma8", r"\sigma_8", 0.6, 1.0)]).unwrap();
        assert_eq!(read(&older, THETA).unwrap(), Some((boxed.clone(), DrawnFrom::List)));

        let json = file(&dir, "dataset.h5");
        let text = r#"[{"name":"Omega_m","latex":"\\Omega_m","min":0.1,"max":0.5},
            {"name":"sigma8","latex":"\\sigma_8","min":0.6,"max":1.0}]"#;
        json.set_text("", "prior", text).unwrap();
        assert_eq!(read(&json, THETA).unwrap(), Some((boxed, DrawnFrom::Prior)));
    }

    #[test]
    fn a_kind_that_is_not_known_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let newer = file(&dir, "newer.h5");
        newer.set_text("", "prior", r#"[{"name":"a","latex":"a","kind":"student-t","nu":3}]"#).unwrap();
        let e = read(&newer, THETA).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        let text = e.to_string();
        for word in ["newer.h5", "prior of a", "student-t", "log-uniform", "normal", "newer polycosm"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
