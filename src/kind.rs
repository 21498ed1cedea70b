//! Sections whose key `kind` decides which others are known: one list of kinds for each such section. A kind is an
//! object, not a case: whatever anybody wants of it is asked of the trait `S` that its keys were read into.

use dyn_clone::DynClone;
use erased_serde::Deserializer as Keys;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, RwLock};

/// One kind of a section.
pub struct Entry<S: ?Sized, F = ()> {
    /// As `kind` names it.
    pub name: &'static str,
    /// Reads its other keys.
    pub read: for<'de> fn(&mut dyn Keys<'de>) -> erased_serde::Result<Box<S>>,
    /// The schema of these, for editors.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// What is known of the kind itself, before any section.
    pub facts: F,
}

/// The kinds of a section: those of this program, and those that a program built on this library adds.
pub struct Kinds<S: ?Sized + 'static, F: 'static = ()> {
    own: &'static [Entry<S, F>],
    added: RwLock<Vec<&'static Entry<S, F>>>,
}

impl<S: ?Sized, F> Kinds<S, F> {
    /// The kinds of this program.
    pub const fn new(own: &'static [Entry<S, F>]) -> Self {
        Kinds { own, added: RwLock::new(vec![]) }
    }

    /// One more, before any campaign is read. A name that is there already goes on to mean what it meant.
    pub fn add(&self, kind: Entry<S, F>) {
        self.added.write().unwrap_or_else(PoisonError::into_inner).push(Box::leak(Box::new(kind)));
    }

    /// All of them.
    pub fn all(&self) -> Vec<&'static Entry<S, F>> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        self.own.iter().chain(added.iter().copied()).collect()
    }
}

/// A trait whose objects are the sections of some kind.
pub trait Listed: 'static {
    /// What is known of a kind itself.
    type Facts: 'static;
    /// The kinds.
    fn kinds() -> &'static Kinds<Self, Self::Facts>;
}

/// A section: the name of its kind, and the object that its other keys were read into.
pub struct Kinded<S: ?Sized> {
    kind: &'static str,
    keys: Box<S>,
}

impl<S: ?Sized> Kinded<S> {
    /// A section that no file gave.
    pub fn new(kind: &'static str, keys: Box<S>) -> Self {
        Kinded { kind, keys }
    }

    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Some of its keys as JSON, with the name of the kind before them.
    pub fn tagged(&self, keys: Value) -> Value {
        let others = keys.as_object().cloned().unwrap_or_default();
        std::iter::once(("kind".to_string(), self.kind.into())).chain(others).collect()
    }
}

impl<S: ?Sized> Deref for Kinded<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.keys
    }
}

impl<S: ?Sized> DerefMut for Kinded<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.keys
    }
}

impl<S: ?Sized + DynClone> Clone for Kinded<S> {
    fn clone(&self) -> Self {
        Kinded { kind: self.kind, keys: dyn_clone::clone_box(&*self.keys) }
    }
}

impl<S: ?Sized + Debug> Debug for Kinded<S> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        self.keys.fmt(f)
    }
}

impl<S: ?Sized + erased_serde::Serialize> Serialize for Kinded<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        struct Others<'a, S: ?Sized>(&'a S);
        impl<S: ?Sized + erased_serde::Serialize> Serialize for Others<'_, S> {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                erased_serde::serialize(self.0, serializer)
            }
        }
        #[derive(Serialize)]
        struct Tagged<V> {
            kind: &'static str,
            #[serde(flatten)]
            others: V,
        }
        Tagged { kind: self.kind, others: Others(&*self.keys) }.serialize(serializer)
    }
}

/// One choice for each kind: its keys, and `kind` itself.
impl<S: ?Sized + Listed> JsonSchema for Kinded<S> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Kinded".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choice = |kind: &'static Entry<S, S::Facts>| {
            let mut choice = (kind.schema)(generator).to_value();
            let keys = choice["properties"].as_object().cloned().unwrap_or_default();
            let own = json!({ "type": "string", "const": kind.name });
            choice["properties"] = std::iter::once(("kind".to_string(), own)).chain(keys).collect();
            let required = choice["required"].as_array().cloned().unwrap_or_default();
            choice["required"] = std::iter::once("kind".into()).chain(required).collect();
            choice
        };
        let choices: Vec<Value> = S::kinds().all().into_iter().map(choice).collect();
        json_schema!({ "oneOf": choices })
    }
}

/// Reads `kind`, which stands first, and hands the others on unread. Unlike serde's tagged enums this buffers nothing,
/// so that an error knows the whole path to its key.
impl<'de, S: ?Sized + Listed> Deserialize<'de> for Kinded<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Section<S: ?Sized>(PhantomData<S>);
        impl<'de, S: ?Sized + Listed> Visitor<'de> for Section<S> {
            type Value = Kinded<S>;
            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                f.write_str("a section with `kind`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Kinded<S>, A::Error> {
                if keys.next_key::<String>()?.as_deref() != Some("kind") {
                    return Err(A::Error::missing_field("kind"));
                }
                let Named(kind) = keys.next_value::<Named<S>>()?;
                let mut others = <dyn Keys>::erase(MapAccessDeserializer::new(keys));
                // TOML's error shows its own path behind the message; whoever reads us follows the path by themselves.
                let bare = |e: erased_serde::Error| {
                    let text = e.to_string();
                    A::Error::custom(text.split("\nin `").next().unwrap_or(&text))
                };
                let keys = (kind.read)(&mut others).map_err(bare)?;
                Ok(Kinded { kind: kind.name, keys })
            }
        }
        deserializer.deserialize_map(Section(PhantomData))
    }
}

/// The kind of a name. It is looked up where the name is read, for an error to know the place.
struct Named<S: ?Sized + Listed>(&'static Entry<S, S::Facts>);

impl<'de, S: ?Sized + Listed> Deserialize<'de> for Named<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let all = S::kinds().all();
        all.iter().find(|kind| kind.name == name).map(|kind| Named(kind)).ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|kind| format!("`{}`", kind.name)).collect();
            // As serde says it of a variant.
            D::Error::custom(format!("unknown variant `{name}`, expected one of {}", known.join(", ")))
        })
    }
}
