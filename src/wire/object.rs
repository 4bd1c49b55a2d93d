//! Bodies are JSON objects. What serde derives for a struct takes an array as well, in the order of the fields, which no
//! description of the API tells and which would read one version's fields as another's.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{self, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::attributes::AttributesRequest;

/// A `T` from an object only.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnlyMap(PhantomData)).map(Self)
    }
}

/// For a field: an object, or nothing.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// For a field: a list of objects, or nothing.
pub(crate) fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(list.map(|list| list.into_iter().map(|Object(value)| value).collect()))
}

struct OnlyMap<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A body with flattened attributes, whose serde derives are `remote = "Self"`.
pub(crate) trait FlattenedBody: Sized {
    /// The fields beside the attributes, as JSON has them.
    const FIELDS: &'static [&'static str];

    /// What serde derives.
    fn derived<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a body and fails at the first field that it does not have.
///
/// The derive alone would first collect the fields that the body does not name and then offer them to the attributes, so a
/// value under a misspelled name would stay in memory that nobody wipes.
pub(crate) fn flattened<'de, D: Deserializer<'de>, T: FlattenedBody>(deserializer: D) -> Result<T, D::Error> {
    struct OnlyKnownFields<T>(PhantomData<T>);

    impl<'de, T: FlattenedBody> Visitor<'de> for OnlyKnownFields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let fields = KnownField([T::FIELDS, field_names::<AttributesRequest>()]);
            T::derived(MapAccessDeserializer::new(KnownFields { map, fields }))
        }
    }

    deserializer.deserialize_map(OnlyKnownFields(PhantomData))
}

macro_rules! flattened_body {
    ($Body:ty, [$($field:literal),+ $(,)?]) => {
        impl $crate::wire::object::FlattenedBody for $Body {
            const FIELDS: &'static [&'static str] = &[$($field),+];

            fn derived<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$Body>::deserialize(deserializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $Body {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::wire::object::flattened(deserializer)
            }
        }

        impl serde::Serialize for $Body {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$Body>::serialize(self, serializer)
            }
        }
    };
}

pub(crate) use flattened_body;

struct KnownFields<A> {
    map: A,
    fields: KnownField,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KnownFields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        // Before the value is read: after an error here the parser reads nothing more.
        let Some(field) = self.map.next_key_seed(self.fields)? else { return Ok(None) };
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[derive(Clone, Copy)]
struct KnownField([&'static [&'static str]; 2]);

impl<'de> DeserializeSeed<'de> for KnownField {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // Borrowed: an owned name would be a copy of whatever stands there.
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KnownField {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        // serde's own error has the name, and somebody may have typed a value in its place.
        self.0
            .into_iter()
            .flatten()
            .copied()
            .find(|field| *field == name)
            .ok_or_else(|| E::custom("unknown field"))
    }
}

/// The names of the fields of a struct, as its derive passes them to a format.
fn field_names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &[&str] = &[];
    // It fails once it has passed the names, since there is nothing to read.
    let _ = T::deserialize(Names(&mut names));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CreateSecretRequest, ImportRequest, ReplaceSecretRequest, UpdateOrgRequest};

    #[test]
    fn the_attributes_are_known_by_their_derive() {
        assert_eq!(field_names::<AttributesRequest>(), ["auto_install", "plugin", "category", "description"]);
    }

    #[test]
    fn an_unknown_field_is_refused_without_its_name_or_value() {
        for text in [
            r#"{"name":"a","valeu":"canary"}"#,
            r#"{"valeu":"canary","name":"a"}"#,
            r#"{"name":"a","value":"v","canary":null}"#,
            r#"{"name":"a","value":"v","can\u0061ry":{"canary":["canary"]}}"#,
            r#"{"name":"a","value":"v","":"canary"}"#,
            r#"{"name":"a","value":"v","Category":"canary"}"#,
        ] {
            let error = serde_json::from_str::<CreateSecretRequest>(text).unwrap_err();
            assert_eq!(error.to_string().split(" at line").next(), Some("unknown field"), "{text}");
            assert!(serde_json::from_str::<ImportRequest>(&text.replace("name", "env")).is_err());
        }
        // Through a tree of values too, and in the other order.
        let tree = serde_json::json!({ "plugin": "p", "name": "a", "as": "B", "type": "plain" });
        let body: CreateSecretRequest = serde_json::from_value(tree).unwrap();
        assert_eq!(body.attributes.plugin.as_deref(), Some("p"));
        assert!(serde_json::from_value::<CreateSecretRequest>(serde_json::json!(["a"])).is_err());
    }

    /// The description of a body is derived from its fields, so it has each of them.
    #[cfg(feature = "server")]
    #[test]
    fn no_field_is_missing_from_the_lists() {
        fn names<T: utoipa::PartialSchema>() -> Vec<String> {
            let schema = serde_json::to_value(T::schema()).unwrap();
            let own =
                schema["allOf"].as_array().unwrap().iter().filter_map(|part| part["properties"].as_object());
            own.flat_map(|fields| fields.keys().cloned()).collect()
        }

        fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            names
        }

        let (create, import) = (names::<CreateSecretRequest>(), names::<ImportRequest>());
        assert_eq!(
            sorted(create.iter().map(String::as_str)),
            sorted(CreateSecretRequest::FIELDS.iter().copied())
        );
        assert_eq!(sorted(import.iter().map(String::as_str)), sorted(ImportRequest::FIELDS.iter().copied()));
    }

    #[test]
    fn an_array_is_no_object() {
        serde_json::from_str::<Object<UpdateOrgRequest>>("{\"hints\":true}").unwrap();
        assert!(serde_json::from_str::<Object<UpdateOrgRequest>>("[null,true]").is_err());
        serde_json::from_str::<ReplaceSecretRequest>("{\"change\":{\"auto_install\":true}}").unwrap();
        assert!(serde_json::from_str::<ReplaceSecretRequest>("{\"change\":null}").unwrap().change.is_none());
        assert!(serde_json::from_str::<ReplaceSecretRequest>("{\"change\":[true]}").is_err());
    }
}
