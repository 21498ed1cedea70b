//! The campaign's `[cosmology]`: fixed parameters, and where the linear spectrum comes from.

use super::{Cosmology, EisensteinHu, Extension, LinearPower, NAMES, read_table};
use crate::error::{Error, Result};
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Parameters that the shape of the linear spectrum today depends on; the others rescale it alone.
const SHAPING: [&str; 6] = ["Omega_m", "Omega_b", "h", "n_s", "M_nu", "N_eff"];

/// Where the linear spectrum comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// Eisenstein & Hu 1998 with acoustic oscillations.
    #[default]
    EisensteinHu,
    /// Eisenstein & Hu 1998 without acoustic oscillations.
    EisensteinHuNoWiggle,
    /// A file of CAMB or CLASS, named by `table`.
    Table,
}

/// `[cosmology]`: a parameter stands either here (fixed) or in `[design.parameters]` (varied).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosmologyConfig {
    /// Matter density today over the critical density, above 0 and at most 1.
    #[serde(rename = "Omega_m", skip_serializing_if = "Option::is_none")]
    pub omega_m: Option<f64>,
    /// Baryon density today over the critical density, above 0 and below Omega_m.
    #[serde(rename = "Omega_b", skip_serializing_if = "Option::is_none")]
    pub omega_b: Option<f64>,
    /// Hubble constant in 100 km/s/Mpc, between 0.2 and 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h: Option<f64>,
    /// Spectral index of the primordial fluctuations, between 0 and 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_s: Option<f64>,
    /// Linear rms of the density in spheres of 8 Mpc/h today; every spectrum is normalised to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma8: Option<f64>,
    /// Curvature: 1 less all densities over the critical one today (default 0; positive in an open universe).
    #[serde(rename = "Omega_k", skip_serializing_if = "Option::is_none")]
    pub omega_k: Option<f64>,
    /// Dark energy's pressure over its density, w(a) = w0 + wa (1 − a) (defaults −1 and 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w0: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa: Option<f64>,
    /// Sum of the masses of three neutrinos of equal mass in eV (default 0); part of Omega_m. Needs `radiation`.
    #[serde(rename = "M_nu", skip_serializing_if = "Option::is_none")]
    pub m_nu: Option<f64>,
    /// Effective number of neutrino species (default 3.046). Needs `radiation`.
    #[serde(rename = "N_eff", skip_serializing_if = "Option::is_none")]
    pub n_eff: Option<f64>,
    /// Whether photons and neutrinos are part of the expansion (default false).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub radiation: bool,
    /// Temperature of the microwave background today in K (default 2.7255).
    #[serde(rename = "T_cmb", skip_serializing_if = "Option::is_none")]
    pub t_cmb: Option<f64>,
    /// Where the linear spectrum comes from: "eisenstein-hu", "eisenstein-hu-no-wiggle" or "table".
    pub transfer: Transfer,
    /// With transfer = "table": a text file whose first two columns are k [h/Mpc] and P [(Mpc/h)³] at z = 0. The
    /// simulation's number stands for `{index}`, zero-padded to six digits for `{index:06}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl CosmologyConfig {
    /// The cosmology of one simulation: the values fixed here, joined by the `varied` ones.
    pub fn resolve(&self, varied: &[(&str, f64)]) -> Result<Cosmology> {
        let Self { omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff, .. } = *self;
        let mut values = [omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff];
        let varied_key = |name: &str| format!("design.parameters.{name}");
        for &(name, value) in varied {
            let Some(i) = NAMES.iter().position(|known| *known == name) else {
                return Err(Error::input("is not a parameter of the cosmology")
                    .key(varied_key(name))
                    .value(value)
                    .remedy(format!("vary one of {}", NAMES.join(", "))));
            };
            if let Some(before) = values[i].replace(value) {
                return Err(Error::input("given twice: fixed here, and varied in design.parameters")
                    .key(format!("cosmology.{name}"))
                    .value(before)
                    .remedy(format!("remove it here, or remove {} from the design", varied_key(name))));
            }
        }
        let key = |name: &str| match varied.iter().any(|v| v.0 == name) {
            true => varied_key(name),
            false => format!("cosmology.{name}"),
        };
        let mut given = [0.0; 5];
        for ((value, name), given) in values.iter().zip(NAMES).zip(&mut given) {
            *given = value.ok_or_else(|| {
                Error::input("is missing")
                    .key(format!("cosmology.{name}"))
                    .remedy(format!("give {name} a value here, or vary it with a section [{}]", varied_key(name)))
            })?;
        }
        if let (false, [.., Some(n_eff)]) = (self.radiation, values) {
            return Err(Error::input("is given, though radiation is switched off")
                .key(key("N_eff"))
                .value(n_eff)
                .remedy("set cosmology.radiation = true, or leave N_eff out"));
        }
        Cosmology::validated(given, self.extension(values), key)
    }

    /// What goes beyond flat ΛCDM; `values` in the order of [`NAMES`].
    fn extension(&self, values: [Option<f64>; NAMES.len()]) -> Extension {
        let default = Extension::default();
        let [.., omega_k, w0, wa, m_nu, n_eff] = values;
        Extension {
            omega_k: omega_k.unwrap_or(default.omega_k),
            w0: w0.unwrap_or(default.w0),
            wa: wa.unwrap_or(default.wa),
            m_nu: m_nu.unwrap_or(default.m_nu),
            n_eff: n_eff.unwrap_or(default.n_eff),
            t_cmb: self.t_cmb.unwrap_or(default.t_cmb),
            radiation: self.radiation,
        }
    }

    /// Everything that can be known before anything runs: every corner of the prior is a possible cosmology, and the
    /// tables of simulations 0 … `simulations` − 1 are there, sound, and not shared by different spectra.
    pub fn check(&self, prior: &Prior, simulations: u64) -> Result<()> {
        let p = prior.len().min(NAMES.len() + 1); // more cannot all be known: the first corner says so
        for corner in 0..1_u32 << p {
            let end = |i: usize| if corner >> i & 1 == 0 { prior.parameters[i].min } else { prior.parameters[i].max };
            let theta: Vec<_> = prior.names().into_iter().take(p).enumerate().map(|(i, name)| (name, end(i))).collect();
            let cosmology = self.resolve(&theta)?;
            if self.transfer != Transfer::Table {
                EisensteinHu::new(&cosmology)?;
            }
        }
        let Some(table) = self.table()? else { return Ok(()) };
        let (first, indexed) = expand(table, 0)?;
        if indexed {
            return (0..simulations).try_for_each(|i| read_table(Path::new(&expand(table, i)?.0), 1.0).map(drop));
        }
        if let Some(name) = prior.names().into_iter().find(|name| SHAPING.contains(name)) {
            return Err(Error::input(format!("one table cannot serve all simulations while {name} varies"))
                .key("cosmology.table")
                .value(table)
                .remedy("name one table per simulation with {index}, or use transfer = \"eisenstein-hu\""));
        }
        read_table(Path::new(&first), 1.0).map(drop)
    }

    /// The linear spectrum today of simulation `index`, normalised to the cosmology's sigma8. Reads the table on every
    /// rank that calls; not collective.
    pub fn linear_power(&self, cosmology: &Cosmology, index: u64) -> Result<LinearPower> {
        match self.table()? {
            Some(table) => read_table(Path::new(&expand(table, index)?.0), cosmology.sigma8()),
            None => LinearPower::eisenstein_hu(cosmology, self.transfer == Transfer::EisensteinHu),
        }
    }

    /// The table's path or pattern, where there is to be one.
    fn table(&self) -> Result<Option<&str>> {
        let remedy = "give both transfer = \"table\" and table = \"path\", or neither";
        match (self.transfer, &self.table) {
            (Transfer::Table, Some(path)) => Ok(Some(path)),
            (Transfer::Table, None) => {
                Err(Error::input("is missing, though transfer = \"table\"").key("cosmology.table").remedy(remedy))
            }
            (_, Some(path)) => Err(Error::input("is given, though transfer is not \"table\"")
                .key("cosmology.table")
                .value(path)
                .remedy(remedy)),
            (_, None) => Ok(None),
        }
    }
}

/// Puts `index` into a pattern at `{index}` or, padded with zeros to N digits, at `{index:N}` and `{index:0N}`; also
/// tells whether there was such a place.
fn expand(pattern: &str, index: u64) -> Result<(String, bool)> {
    let bad = |place: &str| {
        Error::input(format!("{{{place}}} is not a place for the simulation's number"))
            .key("cosmology.table")
            .value(pattern)
            .remedy("write {index}, or {index:06} for six digits")
    };
    let mut pieces = pattern.split('{');
    let mut path = pieces.next().unwrap_or_default().to_string();
    let mut indexed = false;
    for piece in pieces {
        let (place, rest) = piece.split_once('}').ok_or_else(|| bad(piece))?;
        let width = match place.split_once(':') {
            None if place == "index" => 0,
            Some(("index", width)) => width.parse().ok().filter(|w| *w <= 20).ok_or_else(|| bad(place))?,
            _ => return Err(bad(place)),
        };
        path += &format!("{index:0width$}{rest}");
        indexed = true;
    }
    Ok((path, indexed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand() {
        let path = |pattern| expand(pattern, 42).map(|(path, indexed)| format!("{path} {indexed}"));
        assert_eq!(path("pk/{index}.txt").unwrap(), "pk/42.txt true");
        assert_eq!(path("{index:3}/{index:06}").unwrap(), "042/000042 true");
        assert_eq!(path("pk.txt").unwrap(), "pk.txt false");
        for pattern in ["{indx}", "{index", "{index:}", "{index:99}", "{}"] {
            assert!(path(pattern).unwrap_err().to_string().contains("{index:06}"), "{pattern}");
        }
    }
}
