//! Attributes of the root, of groups and of arrays: text, numbers, JSON. `at` names the object (`""`: the root).

use super::elements::{Elements, texts};
use super::{Element, File, explain};
use crate::error::{At, Error, Result};
use crate::progress::first_time;
use hdf5::types::VarLenUnicode;
use hdf5_sys::h5a;
use serde::{Serialize, de::DeserializeOwned};

/// Most texts or numbers of an attribute that are read; one that has more is no description of anything.
const MOST: usize = 1 << 20;

impl File {
    fn with_object<R>(&self, at: &str, f: impl FnOnce(&hdf5::Location) -> hdf5::Result<R>) -> Result<R> {
        let result = match at.trim_matches('/') {
            "" => f(&self.inner),
            at => match self.inner.dataset(at) {
                Ok(array) => f(&array),
                Err(_) => self.inner.group(at).and_then(|g| f(&g)),
            },
        };
        result.map_err(|e| explain(e).file(self.path()).key(at))
    }

    /// Makes a group, with those above it, unless it is there.
    pub fn group(&self, name: &str) -> Result<()> {
        if self.exists(name) {
            return Ok(());
        }
        self.inner.create_group(name).map(|_| ()).map_err(|e| explain(e).file(self.path()).key(name))
    }

    /// Collective: sets a text.
    pub fn set_text(&self, at: &str, name: &str, text: &str) -> Result<()> {
        let text = unicode(text);
        self.with_object(at, |o| o.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text))
    }

    /// Collective: sets a list of texts.
    pub fn set_texts<S: AsRef<str>>(&self, at: &str, name: &str, texts: &[S]) -> Result<()> {
        let texts: Vec<VarLenUnicode> = texts.iter().map(|t| unicode(t.as_ref())).collect();
        self.with_object(at, |o| o.new_attr::<VarLenUnicode>().shape(texts.len()).create(name)?.write_raw(&texts))
    }

    /// Collective: sets a number.
    pub fn set_number<T: Element>(&self, at: &str, name: &str, value: T) -> Result<()> {
        self.with_object(at, |o| o.new_attr::<T>().create(name)?.write_scalar(&value))
    }

    /// Collective: sets a list of numbers.
    pub fn set_numbers<T: Element>(&self, at: &str, name: &str, values: &[T]) -> Result<()> {
        self.with_object(at, |o| o.new_attr::<T>().shape(values.len()).create(name)?.write_raw(values))
    }

    /// Collective: sets rows of numbers.
    pub fn set_rows<T: Element, const N: usize>(&self, at: &str, name: &str, rows: &[[T; N]]) -> Result<()> {
        let shape = (rows.len(), N);
        self.with_object(at, |o| o.new_attr::<T>().shape(shape).create(name)?.write_raw(rows.as_flattened()))
    }

    /// Collective: sets any serialisable value, as JSON text.
    pub fn set_json<T: Serialize>(&self, at: &str, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|e| Error::failed(format!("attribute {name}: {e}")).file(self.path()).key(at))?;
        self.set_text(at, name, &text)
    }

    /// Names of an object's attributes.
    pub fn attributes(&self, at: &str) -> Result<Vec<String>> {
        self.with_object(at, |o| o.attr_names())
    }

    /// The texts of an attribute (one for a scalar), however they are encoded; `None` if there is no such attribute or
    /// it holds no text.
    pub fn texts(&self, at: &str, name: &str) -> Result<Option<Vec<String>>> {
        let Some(attr) = self.attribute(at, name)? else { return Ok(None) };
        let Ok(stored) = attr.dtype() else { return Ok(None) };
        if !matches!(Elements::of(&stored), Elements::Text(_)) {
            return Ok(None);
        }
        // SAFETY: `to` has room for all elements of this type.
        let read = |t, to| unsafe { h5a::H5Aread(attr.id(), t, to) };
        texts(&stored, attr.size(), read).at(self.path())
    }

    /// The texts of an attribute that describes something; one that is there and holds none is told.
    pub fn words(&self, at: &str, name: &str) -> Result<Option<Vec<String>>> {
        let words = self.texts(at, name)?;
        if words.is_none() && self.attribute(at, name)?.is_some() {
            let (file, of) = (self.path().display(), if at.is_empty() { "the root" } else { at });
            let told = format!("{file}: the attribute {name} of {of} holds no text, and is not used");
            first_time(&told).then(|| log::warn!("{told}"));
        }
        Ok(words)
    }

    /// An attribute of any type, where it has no more elements than descriptions have.
    fn attribute(&self, at: &str, name: &str) -> Result<Option<hdf5::Attribute>> {
        Ok(self.with_object(at, |o| Ok(o.attr(name).ok()))?.filter(|a| a.size() <= MOST))
    }

    /// A text; `None` if there is no such attribute.
    pub fn text(&self, at: &str, name: &str) -> Result<Option<String>> {
        Ok(self.texts(at, name)?.and_then(|t| t.into_iter().next()))
    }

    /// The numbers of an attribute (one for a scalar) as f64; `None` if there is no such attribute or it holds none.
    pub fn numbers(&self, at: &str, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(attr) = self.attribute(at, name)? else { return Ok(None) };
        match attr.dtype().map(|t| Elements::of(&t)) {
            Ok(Elements::Integer | Elements::Float(_)) => Ok(attr.read_raw::<f64>().ok()),
            _ => Ok(None),
        }
    }

    /// A number as f64; `None` if there is no such attribute.
    pub fn number(&self, at: &str, name: &str) -> Result<Option<f64>> {
        Ok(self.numbers(at, name)?.and_then(|n| n.first().copied()))
    }

    /// A whole number; f64 would not hold all of them.
    pub fn unsigned(&self, at: &str, name: &str) -> Result<u64> {
        self.with_object(at, |o| o.attr(name)?.read_scalar::<u64>())
    }

    /// A value set with [`File::set_json`]; `None` if there is no such attribute.
    pub fn json<T: DeserializeOwned>(&self, at: &str, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(at, name)? else { return Ok(None) };
        let value = serde_json::from_str(&text);
        value.map(Some).map_err(|e| {
            let key = if at.is_empty() { name.to_string() } else { format!("{at}: {name}") };
            let error = Error::input(format!("the attribute is not what this program writes: {e}"));
            error.file(self.path()).key(key).remedy("remove or rename that attribute, or make the file again")
        })
    }
}

/// HDF5's text ends at the first zero byte, so none may stand in it.
fn unicode(text: &str) -> VarLenUnicode {
    text.replace('\0', " ").parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(&dir.path().join("a.h5")).unwrap();
        file.write(None, "a", &[2], &[1f32, 2.]).unwrap();
        file.group("g/h").unwrap();
        file.set_text("", "unit", "Mpc/h · é").unwrap();
        file.set_texts("a", "names", &["Omega_m", "sigma8"]).unwrap();
        file.set_texts::<&str>("a", "none", &[]).unwrap();
        file.set_number("g/h", "n", 3u32).unwrap();
        file.set_numbers("a", "x", &[1.5f64, 2.5]).unwrap();
        file.set_json("", "j", &vec![(1, "b")]).unwrap();
        assert_eq!(file.text("", "unit").unwrap().unwrap(), "Mpc/h · é");
        assert_eq!(file.texts("a", "names").unwrap().unwrap(), ["Omega_m", "sigma8"]);
        assert_eq!(file.texts("a", "none").unwrap().unwrap().len(), 0);
        assert_eq!(file.number("g/h", "n").unwrap(), Some(3.0));
        assert_eq!(file.numbers("a", "x").unwrap().unwrap(), [1.5, 2.5]);
        assert_eq!(file.json::<Vec<(i32, String)>>("", "j").unwrap().unwrap(), [(1, "b".to_string())]);
        assert_eq!((file.text("", "n").unwrap(), file.number("", "unit").unwrap()), (None, None));
        assert_eq!(file.attributes("a").unwrap().len(), 3);
    }
}
