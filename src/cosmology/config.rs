//! The campaign's `[cosmology]`: fixed parameters, and where the linear spectrum comes from.

use super::derived::{DERIVED, Derived, stands_for};
use super::parameters::Relics;
use super::sources::{Tables, interpolated};
use super::{Cosmology, EisensteinHu, Extension, Growth, LinearPower, NAMES, NeutrinoResponse};
use crate::error::{Error, Result};
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// Parameters that shape linear spectra; sigma8 alone rescales them.
const SHAPING: [&str; 9] = ["Omega_m", "Omega_b", "h", "n_s", "M_nu", "N_eff", "Omega_k", "w0", "wa"];
/// So many of them shape today's; the others only its growth.
const SHAPING_TODAY: usize = 6;

/// Where the linear spectrum comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CosmologyConfig {
    /// Matter density today over the critical density, above 0 and at most 1.
    #[serde(rename = "Omega_m", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "here or in the design"))]
    pub omega_m: Option<f64>,
    /// Baryon density today over the critical density, above 0 and below `Omega_m`.
    #[serde(rename = "Omega_b", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "here or in the design"))]
    pub omega_b: Option<f64>,
    /// Hubble constant, 0.2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "100 km/s/Mpc", "x-default" = "here or in the design"))]
    pub h: Option<f64>,
    /// Spectral index of the primordial fluctuations, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "here or in the design"))]
    pub n_s: Option<f64>,
    /// Linear rms of the density in spheres of 8 Mpc/h today. Every spectrum, tables included, is normalised to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "here or in the design"))]
    pub sigma8: Option<f64>,
    /// Curvature: 1 less all densities over the critical one today, −0.5 to 0.9; positive in an open universe. Dark
    /// energy is what is left, 1 − Ω_m − Ω_k − Ω_r.
    #[serde(rename = "Omega_k", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = Extension::default().omega_k))]
    pub omega_k: Option<f64>,
    /// Dark energy's pressure over its density, w(a) = w0 + wa (1 − a): today's value, from −3 to below 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = Extension::default().w0))]
    pub w0: Option<f64>,
    /// The change of `w0` in w(a), −5 to 5, with `w0` + `wa` below 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = Extension::default().wa))]
    pub wa: Option<f64>,
    /// Sum of the masses of three neutrinos of equal mass, 0 to 10; they are part of `Omega_m`. Needs `radiation`.
    #[serde(rename = "M_nu", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "eV", "default" = Extension::default().m_nu))]
    pub m_nu: Option<f64>,
    /// Effective number of neutrino species, above 0 and at most 20. Needs `radiation`.
    #[serde(rename = "N_eff", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = Extension::default().n_eff))]
    pub n_eff: Option<f64>,
    /// Makes photons and neutrinos part of the expansion.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = Extension::default().radiation))]
    pub radiation: bool,
    /// Temperature of the microwave background today, 2 to 4.
    #[serde(rename = "T_cmb", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "K", "default" = Extension::default().t_cmb))]
    pub t_cmb: Option<f64>,
    /// Where the linear spectrum comes from: Eisenstein & Hu (1998), with or without wiggles, or a `table`.
    pub transfer: Transfer,
    /// With `transfer = "table"`: a text file of CAMB or CLASS whose first two columns are k and P(k) of all matter at
    /// z = 0. The simulation's number stands for `{index}`, with six digits for `{index:06}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "h/Mpc, (Mpc/h)³", "x-type" = "path"))]
    pub table: Option<String>,
    /// In place of `table`: one such file for each redshift, `tables = { "0.0" = "pk_z0.txt", "49.0" = "pk_z49.txt" }`.
    /// The initial spectrum is then read, not scaled back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-unit" = "h/Mpc, (Mpc/h)³", "x-type" = "{ redshift = path, … }"))]
    pub tables: BTreeMap<String, String>,
}

impl CosmologyConfig {
    /// What is fixed here of the parameter of that name, one of [`NAMES`].
    pub fn value_mut(&mut self, name: &str) -> Option<&mut Option<f64>> {
        let Self { omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff, .. } = self;
        let values = [omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff];
        values.into_iter().zip(NAMES).find(|(_, known)| *known == name).map(|(value, _)| value)
    }

    /// The cosmology of one simulation: the values fixed here, joined by the `varied` ones.
    pub fn resolve(&self, varied: &[(&str, f64)]) -> Result<Cosmology> {
        let Self { omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff, .. } = *self;
        let mut values = [omega_m, omega_b, h, n_s, sigma8, omega_k, w0, wa, m_nu, n_eff];
        let mut others: Vec<(&Derived, f64)> = vec![];
        let varied_key = |name: &str| format!("design.parameters.{name}");
        for &(name, value) in varied {
            if let Some(derived) = Derived::named(name) {
                others.push((derived, value));
                continue;
            }
            let Some(i) = NAMES.iter().position(|known| *known == name) else {
                let names: Vec<&str> = NAMES.into_iter().chain(DERIVED.iter().map(|d| d.name)).collect();
                return Err(Error::input("is not a parameter of the cosmology")
                    .key(varied_key(name))
                    .value(value)
                    .remedy(format!("vary one of {}", names.join(", "))));
            };
            if let Some(before) = values[i].replace(value) {
                return Err(Error::input("given twice: fixed here, and varied in design.parameters")
                    .key(format!("cosmology.{name}"))
                    .value(before)
                    .remedy(format!("remove it here, or remove {} from the design", varied_key(name))));
            }
        }
        let key = |name: &str| match varied.iter().find(|v| stands_for(v.0) == name) {
            Some((varied, _)) => varied_key(varied),
            None => format!("cosmology.{name}"),
        };
        for (i, (derived, value)) in others.iter().enumerate() {
            let name = derived.replaces;
            let before = others[..i].iter().find(|(d, _)| d.replaces == name).map(|(d, _)| varied_key(d.name));
            let fixed = || match varied.iter().any(|v| v.0 == name) {
                true => varied_key(name),
                false => format!("cosmology.{name}"),
            };
            let given = NAMES.iter().zip(values).any(|(known, value)| *known == name && value.is_some());
            if let Some(other) = before.or_else(|| given.then(fixed)) {
                let problem = format!("it takes the place of {name}, and so does {other}");
                let error = Error::input(problem).key(varied_key(derived.name)).value(*value);
                return Err(error.remedy(format!("remove either: {} is {}", derived.name, derived.meaning)));
            }
        }
        let universe = |values: [Option<f64>; NAMES.len()]| {
            let mut given = [0.0; 5];
            for ((value, name), given) in values.iter().zip(NAMES).zip(&mut given) {
                *given = value.ok_or_else(|| {
                    Error::input("is missing")
                        .key(format!("cosmology.{name}"))
                        .remedy(format!("give {name} a value here, or vary it with a section [{}]", varied_key(name)))
                })?;
            }
            Cosmology::validated(given, self.extension(values), key)
        };
        if let (false, [.., Some(n_eff)]) = (self.radiation, values) {
            return Err(Error::input("is given, though radiation is switched off")
                .key(key("N_eff"))
                .value(n_eff)
                .remedy("set cosmology.radiation = true, or leave N_eff out"));
        }
        self.resolved(values, &others, universe).map_err(|mut e| {
            let is_key = |(d, _): &&(&Derived, f64)| e.key.as_deref() == Some(&varied_key(d.name));
            if let Some((d, value)) = others.iter().find(is_key) {
                let here = e.value.take().map_or(String::new(), |value| format!(" (here {} = {value})", d.replaces));
                e.problem += &here;
                return e.value(*value);
            }
            e
        })
    }

    /// The universe of these values, in the order of [`NAMES`], and of what `others` stand for; `universe` makes one of
    /// values alone.
    fn resolved(
        &self,
        mut values: [Option<f64>; NAMES.len()],
        others: &[(&Derived, f64)],
        universe: impl Fn([Option<f64>; NAMES.len()]) -> Result<Cosmology>,
    ) -> Result<Cosmology> {
        let in_place_of = |name: &str| others.iter().find(|(d, _)| d.replaces == name).copied();
        // Where another is missing, that is what is told.
        let h = values[2];
        if let (Some((_, omega_b)), Some(h)) = (in_place_of("Omega_b"), h) {
            values[1] = Some(omega_b / (h * h));
        }
        if let (Some((d, value)), Some(h), Some(omega_b)) = (in_place_of("Omega_m"), h, values[1]) {
            let density = if d.name == "Omega_c" { value } else { value / (h * h) };
            let beside = || omega_b + Relics::of(h, &self.extension(values)).omega_nu;
            values[0] = Some(if d.name == "omega_m" { density } else { density + beside() });
        }
        if let Some((d, value)) = in_place_of("sigma8") {
            if d.of_spectrum() && self.transfer == Transfer::Table {
                let problem = "stands for sigma8 by a fitted spectrum, and this one is read from a table";
                let error = Error::input(problem).key(format!("design.parameters.{}", d.name));
                return Err(error.remedy("vary sigma8 or S8, or give transfer = \"eisenstein-hu\""));
            }
            values[4] = Some(1.0);
            let of_one = self.derived(d, &universe(values)?, 0)?;
            values[4] = Some(d.sigma8(value, of_one));
        }
        universe(values)
    }

    /// The value of a derived parameter in a universe, number `index` of those that have tables.
    pub fn derived(&self, parameter: &Derived, universe: &Cosmology, index: u64) -> Result<f64> {
        parameter.value(universe, |universe| self.linear_power(universe, index))
    }

    /// The same, refused where it has no linear spectrum.
    pub fn possible(&self, varied: &[(&str, f64)]) -> Result<Cosmology> {
        let cosmology = self.resolve(varied)?;
        if self.transfer != Transfer::Table {
            EisensteinHu::new(&cosmology)?;
        }
        Ok(cosmology)
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

    /// Everything that can be known before anything runs: the prior's corners are possible cosmologies, and the
    /// tables of simulations 0 … `simulations` − 1 are there, sound, and not shared by different spectra.
    pub fn check(&self, prior: &Prior, simulations: u64) -> Result<()> {
        // More than there are cannot all be known: the first corner says so.
        let names: Vec<&str> = prior.names().into_iter().take(NAMES.len() + 1).collect();
        let few = prior.part(|name| names.contains(&name))?;
        few.try_corners(|theta| self.possible(&few.names().into_iter().zip(theta).collect::<Vec<_>>()).map(drop))?;
        let sources = self.sources()?;
        let shaping = if sources.len() > 1 { &SHAPING[..] } else { &SHAPING[..SHAPING_TODAY] };
        let varied = prior.names().into_iter().find(|name| shaping.contains(&stands_for(name)));
        sources.iter().try_for_each(|source| source.check(varied, simulations))
    }

    /// The largest value of a parameter in any universe; that of ΛCDM without neutrinos where it is not given.
    pub fn largest(&self, name: &str, prior: &Prior) -> f64 {
        self.reach(name, prior)[1]
    }

    /// Smallest and largest value of a parameter that has a default.
    fn reach(&self, name: &str, prior: &Prior) -> [f64; 2] {
        let fixed = match name {
            "w0" => self.w0.unwrap_or(-1.0),
            "wa" => self.wa.unwrap_or(0.0),
            "M_nu" => self.m_nu.unwrap_or(0.0),
            _ => f64::NAN,
        };
        prior.parameters.iter().find(|p| p.name == name).map_or([fixed; 2], |p| p.distribution.range().into())
    }

    /// What is less exact than the rest, for universes that begin at scale factor `start`.
    pub fn warnings(&self, prior: &Prior, start: f64) -> Option<String> {
        let constant = self.reach("w0", prior) == [-1.0; 2] && self.reach("wa", prior) == [0.0; 2];
        let scaled_back = self.tables.len() < 2;
        (scaled_back && !constant).then(|| {
            let z = 1.0 / start - 1.0;
            let varied = ["w0", "wa"].iter().any(|name| prior.names().contains(name));
            let each = if varied { ", with {index} in their names, for w0 and wa vary" } else { "" };
            format!(
                "cosmology.w0, wa: the spectrum at the start, z = {z:.1}, is today's scaled back with the growth beside \
                 smooth dark energy. CAMB's dark energy clusters: the largest scales (k below 1e-3 h/Mpc) then differ by \
                 up to 5% at z = 9. If boxes this large matter, give transfer = \"table\" and cosmology.tables at 0.0 and \
                 at redshifts on both sides of the start{each}"
            )
        })
    }

    /// The linear spectrum of all matter today of simulation `index`, normalised to the cosmology's sigma8. Reads the
    /// table on every rank that calls; not collective.
    pub fn linear_power(&self, cosmology: &Cosmology, index: u64) -> Result<LinearPower> {
        match self.sources()?.first() {
            Some(today) => Ok(LinearPower::normalised(today.read(index)?, cosmology.sigma8())),
            None => LinearPower::eisenstein_hu(cosmology, self.transfer == Transfer::EisensteinHu),
        }
    }

    /// The linear spectrum at scale factor `a` of what particles stand for, cold dark matter and baryons (all matter
    /// unless neutrinos have mass), of simulation `index`. With `tables`, all of them times the one factor that gives
    /// today's its sigma8, ln P/D1² is interpolated in ln a; otherwise the spectrum today is scaled back with the
    /// growth function, which is the same on all scales unless neutrinos have mass. Not collective.
    pub fn cold_power(&self, growth: &Growth, index: u64, a: f64) -> Result<LinearPower> {
        let cosmology = growth.cosmology();
        let response = NeutrinoResponse::new(cosmology);
        let sources = self.sources()?;
        if sources.len() < 2 {
            let today = self.linear_power(cosmology, index)?;
            return Ok(match response {
                Some(response) => today.transferred(response.cold_at(a)),
                None => today.transferred(|_| growth.d1(a)),
            });
        }
        let tables: Result<Vec<_>> = sources.iter().map(|s| Ok((s.redshift, s.read(index)?))).collect();
        let then = interpolated(&tables?, growth, a).map_err(|e| e.key("cosmology.tables"))?;
        Ok(match response.map(|r| r.factor_at(a)) {
            Some(factor) => then.transferred(|k| 1.0 / factor(k)),
            None => then,
        })
    }

    /// The files it names, by their places in the section (JSON pointers): one, or one for each of these simulations.
    pub fn files(&self, simulations: Range<u64>) -> Result<Vec<(String, Vec<PathBuf>)>> {
        self.sources()?.iter().map(|source| source.files(simulations.clone())).collect()
    }

    /// The tables, today's first; none of a fitted spectrum.
    fn sources(&self) -> Result<Vec<Tables<'_>>> {
        let remedy = "give transfer = \"table\" and either table = \"path\" or tables, or neither";
        match (self.transfer, &self.table, self.tables.is_empty()) {
            (Transfer::Table, Some(path), true) => Ok(vec![Tables::today(path)]),
            (Transfer::Table, None, false) => Tables::of(&self.tables),
            (Transfer::Table, None, true) => {
                Err(Error::input("is missing, though transfer = \"table\"").key("cosmology.table").remedy(remedy))
            }
            (Transfer::Table, Some(path), false) => {
                Err(Error::input("is given beside cosmology.tables").key("cosmology.table").value(path).remedy(remedy))
            }
            (_, Some(path), _) => Err(Error::input("is given, though transfer is not \"table\"")
                .key("cosmology.table")
                .value(path)
                .remedy(remedy)),
            (_, None, false) => {
                Err(Error::input("are given, though transfer is not \"table\"").key("cosmology.tables").remedy(remedy))
            }
            (_, None, true) => Ok(vec![]),
        }
    }
}
