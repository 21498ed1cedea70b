//! `[design.derived]`: parameters that follow from the varied ones, as columns beside theta.

use crate::cosmology::{Cosmology, CosmologyConfig, DERIVED, NAMES, Transfer, may_vary};
use crate::error::{Error, Result};
use crate::limits;
use crate::prior::{Derived, Formula, Prior};
use crate::rng;
use rand::Rng;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::Formatter;

/// Draws that tell how a derived parameter is spread.
const DRAWS: usize = 1024;
/// A spread below this part of the mean is rounding.
const CONSTANT: f64 = 1e-12;

/// What is said of a derived parameter under its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DerivedTable {
    /// Of parameters, by their names: those that vary, other derived ones, and all of the cosmology. Left out, the name
    /// is that of a parameter of the cosmology, such as `S8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "what its name stands for"))]
    pub formula: Option<String>,
    /// Label for plots, without dollar signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the usual one, or the name"))]
    pub latex: Option<String>,
    /// What it is measured in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A list of names, or names with formulas or tables, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DerivedConfig(pub Vec<(String, DerivedTable)>);

impl DerivedConfig {
    /// True with none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for DerivedConfig {
    fn schema_name() -> Cow<'static, str> {
        "DerivedConfig".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<DerivedTable>();
        let of_one = json_schema!({ "anyOf": [table, { "type": "string" }] });
        json_schema!({ "anyOf": [
            { "type": "object", "additionalProperties": of_one },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

impl Serialize for DerivedConfig {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, table)| map.serialize_entry(name, table))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for DerivedConfig {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = DerivedConfig;
            fn expecting(&self, f: &mut Formatter) -> std::fmt::Result {
                f.write_str("a list of names, or a table of formulas in quotes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<DerivedConfig, A::Error> {
                let mut all = vec![];
                while let Some(name) = seq.next_element::<String>()? {
                    all.push((name, DerivedTable::default()));
                }
                Ok(DerivedConfig(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<DerivedConfig, A::Error> {
                let mut all = vec![];
                while let Some((name, One(table))) = map.next_entry()? {
                    all.push((name, table));
                }
                Ok(DerivedConfig(all))
            }
        }
        d.deserialize_any(All)
    }
}

/// A formula, or a table.
struct One(DerivedTable);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = One;
            fn expecting(&self, f: &mut Formatter) -> std::fmt::Result {
                f.write_str("a formula in quotes, or a table with formula, latex and unit")
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<One, E> {
                Ok(One(DerivedTable { formula: Some(text.into()), ..DerivedTable::default() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<One, A::Error> {
                DerivedTable::deserialize(MapAccessDeserializer::new(map)).map(One)
            }
        }
        d.deserialize_any(Either)
    }
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// This column of theta.
    Varied(usize),
    /// A parameter of the universe, by its place in [`NAMES`].
    Own(usize),
    /// What follows from the universe, by its place in [`DERIVED`].
    Standard(usize),
    /// Of numbers before it, by their places.
    Formula(Formula, Vec<usize>),
}

/// Computes derived parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivation {
    prior: Prior,
    cosmology: Option<CosmologyConfig>,
    /// Each stands after those that it is of.
    numbers: Vec<(String, Source)>,
    /// Places of the derived parameters, d.
    columns: Vec<usize>,
}

fn key(name: &str) -> String {
    format!("design.derived.{name}")
}

impl Derivation {
    /// Understands all formulas. Refuses names that nothing stands for, circles, and what is none or constant in the
    /// universes of the prior that are `possible`. The prior comes back with descriptions of them. `taken`: names of
    /// fields.
    pub fn of(
        config: &DerivedConfig,
        mut prior: Prior,
        cosmology: Option<&CosmologyConfig>,
        taken: &[String],
        possible: impl Fn(&[f64]) -> bool,
    ) -> Result<(Prior, Derivation)> {
        limits::at_most("design.derived", config.0.len(), limits::DERIVED)?;
        let mut derivation =
            Derivation { prior: prior.clone(), cosmology: cosmology.cloned(), numbers: vec![], columns: vec![] };
        for (i, (name, table)) in config.0.iter().enumerate() {
            let bad = |problem: &str, remedy: &str| Err(Error::input(problem).key(key(name)).remedy(remedy));
            if prior.names().contains(&name.as_str()) {
                return bad("varies: it is a column of theta already", "remove it, or give it another name");
            }
            if taken.contains(name) || name == "theta" {
                return bad("is the name of a field of the dataset", "give it another name");
            }
            if config.0[..i].iter().any(|(other, _)| other == name) {
                return bad("is given twice", "keep one");
            }
            let of_cosmology = cosmology.is_some() && NAMES.contains(&name.as_str());
            if table.formula.is_some() && (of_cosmology || name == "pi") {
                return bad("has a value of its own, which formulas would lose", "give it another name");
            }
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_numeric()) {
                return bad("is no name", "use letters, digits and _, as in S8");
            }
            let place = derivation.place(config, name, &mut vec![]).map_err(|e| match table.formula.as_ref() {
                Some(formula) if e.key == Some(key(name)) => e.value(formula),
                _ => e,
            })?;
            derivation.columns.push(place);
        }
        let spread = derivation.spread(config, possible)?;
        let describe = |((name, table), (mean, sd)): (&(String, DerivedTable), (f64, f64))| {
            let standard = DERIVED.iter().find(|d| d.name == name);
            let words = || standard.map_or(format!("{name} of the universe"), |d| d.meaning.into());
            let latex = || standard.map_or(name.clone(), |d| d.latex.into());
            let formula = table.formula.clone().unwrap_or_else(words);
            let (latex, unit) = (table.latex.clone().unwrap_or_else(latex), table.unit.clone().unwrap_or_default());
            Derived { name: name.clone(), latex, unit, formula, mean, sd }
        };
        prior.derived = config.0.iter().zip(spread).map(describe).collect();
        Ok((prior, derivation))
    }

    /// The place of a number, which is put down after those that it is of; `above`: names that are of it.
    fn place(&mut self, config: &DerivedConfig, name: &str, above: &mut Vec<String>) -> Result<usize> {
        if let Some(place) = self.numbers.iter().position(|(known, _)| known == name) {
            return Ok(place);
        }
        let formula = config.0.iter().find(|(known, _)| known == name).and_then(|(_, table)| table.formula.as_ref());
        let varied = self.prior.names().iter().position(|known| *known == name);
        let source = match (varied, formula) {
            (Some(j), _) => Source::Varied(j),
            (None, Some(text)) => {
                above.push(name.into());
                let formula = Formula::new(text).map_err(|e| e.key(key(name)))?;
                let mut places = vec![];
                for of in &formula.names {
                    if above.contains(of) {
                        let circle = above.iter().skip_while(|n| *n != of).chain([of]).cloned().collect::<Vec<_>>();
                        let error = Error::input(format!("goes in a circle: {}", circle.join(" → ")));
                        return Err(error.key(key(&above[0])).remedy("let one of them be of parameters that vary"));
                    }
                    places.push(self.place(config, of, above)?);
                }
                above.pop();
                Source::Formula(formula, places)
            }
            (None, None) => self.of_universe(name, above)?,
        };
        self.numbers.push((name.into(), source));
        Ok(self.numbers.len() - 1)
    }

    /// A number that the cosmology has by that name.
    fn of_universe(&self, name: &str, above: &[String]) -> Result<Source> {
        let asks = above.last().map_or(name, String::as_str);
        let own = NAMES.iter().position(|known| *known == name).map(Source::Own);
        let source = own.or_else(|| DERIVED.iter().position(|d| d.name == name).map(Source::Standard));
        match (&self.cosmology, source) {
            (Some(cosmology), Some(Source::Standard(i)))
                if DERIVED[i].of_spectrum() && cosmology.transfer == Transfer::Table =>
            {
                let error = Error::input(format!("{name} is of a fitted spectrum, and this one is read from a table"));
                Err(error.key(key(asks)).remedy("leave it out, or give transfer = \"eisenstein-hu\""))
            }
            (Some(_), Some(source)) => Ok(source),
            (cosmology, _) => {
                let standard = cosmology.iter().flat_map(|_| NAMES.into_iter().chain(DERIVED.iter().map(|d| d.name)));
                let known: Vec<&str> = self.prior.names().into_iter().chain(standard).collect();
                let what = if above.is_empty() { "has no formula, and nothing" } else { "nothing" };
                let error = Error::input(format!("{what} is called {name} here")).key(key(asks));
                Err(error.remedy(format!("use {}", known.join(", "))))
            }
        }
    }

    /// Mean and standard deviation of each over draws of the prior, of universes that can be made (d). All must be
    /// numbers between its 0.1% and 99.9% quantiles.
    fn spread(&self, config: &DerivedConfig, possible: impl Fn(&[f64]) -> bool) -> Result<Vec<(f64, f64)>> {
        let bad = |i: usize, problem: String| {
            let (name, table) = &config.0[i];
            let error = Error::input(problem).key(key(name));
            table.formula.iter().fold(error, |e, formula| e.value(formula))
        };
        let bulk = self.prior.bulk();
        let mut rng = rng::stream(0, 0, "derived", self.prior.len() as u64);
        let draws = (0..DRAWS).map(|_| {
            let unit: Vec<f64> = (0..self.prior.len()).map(|_| rng.random()).collect();
            self.prior.from_unit(&unit)
        });
        let corners = bulk.corners();
        let (mut sums, outer) = (vec![], corners.len());
        for (number, theta) in corners.into_iter().chain(draws).enumerate() {
            let Some(values) = Some(&theta).filter(|t| possible(t)).and_then(|t| self.values(t)) else { continue };
            let wrong = values.iter().position(|v| !v.is_finite());
            match wrong {
                Some(i) if self.prior.in_bulk(&theta) || number < outer => {
                    let names = self.prior.names().into_iter().zip(&theta);
                    let at: Vec<String> = names.map(|(name, value)| format!("{name} = {value}")).collect();
                    let error = bad(i, format!("is {} where {}", values[i], at.join(", ")));
                    return Err(error.remedy("give a formula that is a number everywhere in the prior"));
                }
                None if number >= outer => sums.push(values),
                _ => {}
            }
        }
        let n = sums.len() as f64;
        let spread = |i: usize| {
            let mean = sums.iter().map(|v| v[i]).sum::<f64>() / n;
            (mean, (sums.iter().map(|v| (v[i] - mean).powi(2)).sum::<f64>() / n).sqrt())
        };
        let all: Vec<(f64, f64)> = (0..self.columns.len()).map(spread).collect();
        if let Some(i) = all.iter().position(|(mean, sd)| !(mean.is_finite() && sd.is_finite())) {
            let error = bad(i, "is so large that its spread over the prior is no number".into());
            return Err(error.remedy("give it another unit, or its logarithm"));
        }
        match all.iter().position(|(mean, sd)| *sd <= CONSTANT * mean.abs()) {
            Some(i) => {
                let error = bad(i, "is the same in all universes".into()).value(all[i].0);
                Err(error.remedy("leave it out, or let it be of what varies"))
            }
            None => Ok(all),
        }
    }

    /// The derived parameters of one universe, (d), of its parameters (p); `None` where it is none that can be made.
    pub fn values(&self, theta: &[f64]) -> Option<Vec<f64>> {
        if !theta.iter().all(|t| t.is_finite()) {
            return None;
        }
        let universe = OnceCell::new();
        let universe = || -> Option<&Cosmology> { universe.get_or_init(|| self.universe(theta)).as_ref() };
        let mut numbers: Vec<f64> = Vec::with_capacity(self.numbers.len());
        for (_, source) in &self.numbers {
            numbers.push(match source {
                Source::Varied(j) => theta[*j],
                Source::Own(i) => universe()?.values()[*i],
                Source::Standard(i) => {
                    let cosmology = self.cosmology.as_ref()?;
                    cosmology.derived(&DERIVED[*i], universe()?, 0).ok()?
                }
                Source::Formula(formula, places) => {
                    formula.value(&places.iter().map(|&place| numbers[place]).collect::<Vec<_>>())
                }
            });
        }
        Some(self.columns.iter().map(|&place| numbers[place]).collect())
    }

    fn universe(&self, theta: &[f64]) -> Option<Cosmology> {
        let varied: Vec<_> = self.prior.theta(theta).iter().filter(|(name, _)| may_vary(name)).collect();
        self.cosmology.as_ref()?.resolve(&varied).ok()
    }

    /// The same of many universes: (n, d) of (n, p). NaN where one cannot be made.
    pub fn columns(&self, theta: &[f64]) -> Vec<f64> {
        let nothing = || vec![f64::NAN; self.columns.len()];
        theta.chunks_exact(self.prior.len()).flat_map(|t| self.values(t).unwrap_or_else(nothing)).collect()
    }
}
