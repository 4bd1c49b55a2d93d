//! Bodies are JSON objects. What serde derives for a struct takes an array as well, in the order of the fields, which no
//! description of the API tells and which would read one version's fields as another's.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ReplaceSecretRequest, UpdateOrgRequest};

    #[test]
    fn an_array_is_no_object() {
        serde_json::from_str::<Object<UpdateOrgRequest>>("{\"hints\":true}").unwrap();
        assert!(serde_json::from_str::<Object<UpdateOrgRequest>>("[null,true]").is_err());
        serde_json::from_str::<ReplaceSecretRequest>("{\"change\":{\"auto_install\":true}}").unwrap();
        assert!(serde_json::from_str::<ReplaceSecretRequest>("{\"change\":null}").unwrap().change.is_none());
        assert!(serde_json::from_str::<ReplaceSecretRequest>("{\"change\":[true]}").is_err());
    }
}
