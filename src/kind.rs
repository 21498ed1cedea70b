//! Sections whose key `kind` decides which others are known.

/// Reads `Section::Variant(Config)` from a section whose first key, `kind`, names the variant in kebab-case, and whose others
/// are `Config`'s. Unlike serde's tagged enums it buffers nothing, so that an error knows the whole path to its key.
macro_rules! read_by_kind {
    ($section:ident { $($variant:ident),+ }) => {
        impl<'de> serde::Deserialize<'de> for $section {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(rename_all = "kebab-case")]
                enum Kind {
                    $($variant),+
                }
                struct Keys;
                impl<'de> serde::de::Visitor<'de> for Keys {
                    type Value = $section;
                    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                        f.write_str("a section with `kind`")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut keys: A,
                    ) -> std::result::Result<$section, A::Error> {
                        if keys.next_key::<String>()?.as_deref() != Some("kind") {
                            return Err(serde::de::Error::missing_field("kind"));
                        }
                        let kind = keys.next_value::<Kind>()?;
                        let others = serde::de::value::MapAccessDeserializer::new(keys);
                        match kind {
                            $(Kind::$variant => serde::Deserialize::deserialize(others).map($section::$variant)),+
                        }
                    }
                }
                deserializer.deserialize_map(Keys)
            }
        }
    };
}

pub(crate) use read_by_kind;
