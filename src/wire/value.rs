//! The one type in which a secret's value crosses the wire. It is wiped on drop and never printed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::domain::value::SecretValue;

/// A value as JSON text.
pub struct Value(Zeroizing<String>);

impl Value {
    /// The text of `value`; `None` when it is not UTF-8 (then [`ValueBase64`] carries it).
    pub fn of(value: &SecretValue) -> Option<Self> {
        std::str::from_utf8(value.expose()).ok().map(|text| Self(Zeroizing::new(text.to_owned())))
    }

    /// Into the type that the rest of the program uses.
    pub fn into_secret(mut self) -> SecretValue {
        // Moved and not copied: the memory of the text becomes that of the value.
        SecretValue::new(std::mem::take(&mut *self.0).into_bytes())
    }
}

/// A value as base64 (RFC 4648 section 4, padded), for files that are not text.
pub struct ValueBase64(Zeroizing<String>);

impl ValueBase64 {
    /// The encoding of `value`.
    pub fn of(value: &SecretValue) -> Self {
        Self(Zeroizing::new(data_encoding::BASE64.encode(value.expose())))
    }

    /// The bytes; `None` when it is not base64.
    pub fn into_secret(self) -> Option<SecretValue> {
        data_encoding::BASE64.decode(self.0.as_bytes()).ok().map(SecretValue::new)
    }
}

macro_rules! carried {
    ($type:ident) => {
        impl $type {
            /// The text as it is sent.
            pub(crate) fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[redacted]")
            }
        }

        // Only the API's boot answer, a plain setting's view and a client's deposit hold one.
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        #[cfg(feature = "server")]
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        #[cfg(feature = "server")]
        impl utoipa::ToSchema for $type {}

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
            }
        }
    };
}

carried!(Value);
carried!(ValueBase64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_printed_and_comes_back_whole() {
        let value = SecretValue::new(b"canary \"\n\xc3\xa9".to_vec());
        let carried = Value::of(&value).unwrap();
        assert_eq!(format!("{carried:?}"), "[redacted]");
        let json = serde_json::to_string(&carried).unwrap();
        let back: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back.into_secret().expose(), value.expose());
    }

    #[test]
    fn bytes_that_are_not_text_travel_as_base64() {
        let value = SecretValue::new(vec![0xff, 0, 0xfe]);
        assert!(Value::of(&value).is_none());
        assert_eq!(ValueBase64::of(&value).into_secret().unwrap().expose(), value.expose());
    }
}
