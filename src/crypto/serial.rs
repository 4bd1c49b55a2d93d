//! Byte fields: base64 (RFC 4648, section 5, without padding) in text formats, bytes in binary ones. Never for key material.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// `#[serde(with = "serial::bytes")]` for `Vec<u8>` and `[u8; N]`.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64URL_NOPAD.encode(bytes.as_ref()))
        } else {
            serializer.serialize_bytes(bytes.as_ref())
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            // A `Cow` because JSON lends a text only if it has no escapes.
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64url"))?
        } else {
            deserializer.deserialize_byte_buf(ByteFieldVisitor)?
        };
        // The error names no bytes: a field in the wrong place could be a secret.
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong number of bytes"))
    }
}

struct ByteFieldVisitor;

impl<'de> Visitor<'de> for ByteFieldVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}
