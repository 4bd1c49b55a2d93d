//! How a record becomes bytes: a format byte, then the postcard encoding of a stored struct.
//!
//! A stored struct consists of plain data, and [`stored!`](crate::store::engine::format::stored) enforces that at compile time:
//! a type of the domain can change without changing what is on disk. A reader dispatches on the format byte; a writer
//! writes the newest format. It never stores a type of the domain through a derive.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::store::engine::failure::Failure;

/// A record, as rules work with it.
pub(crate) trait Record: Sized {
    /// Encodes the newest format, which every write uses, behind its format byte.
    fn encode(&self) -> Result<Vec<u8>, Failure>;

    /// Decodes a record of the given format.
    fn decode(format: u8, bytes: &[u8]) -> Result<Self, Failure>;

    /// All formats, oldest first. Each has golden vectors.
    #[cfg(test)]
    const FORMATS: &'static [u8];
}

/// Returns the plaintext of a record.
pub(crate) fn encode<T: Record>(record: &T) -> Result<Vec<u8>, Failure> {
    record.encode()
}

/// Reads a record from its plaintext.
pub(crate) fn decode<T: Record>(plain: &[u8]) -> Result<T, Failure> {
    // Every record has a format byte, so that nothing that a program wrote is empty.
    let (format, bytes) = plain.split_first().ok_or(Failure::Corrupt)?;
    T::decode(*format, bytes)
}

/// Encodes a stored struct behind its format byte.
pub(crate) fn to_bytes<S: StoredField + Serialize>(format: u8, stored: &S) -> Result<Vec<u8>, Failure> {
    postcard::to_extend(stored, vec![format]).map_err(|_| Failure::Internal)
}

/// Decodes a stored struct. postcard's error is dropped: it could quote its input.
pub(crate) fn from_bytes<S: StoredField + DeserializeOwned>(bytes: &[u8]) -> Result<S, Failure> {
    match postcard::take_from_bytes(bytes) {
        Ok((stored, [])) => Ok(stored),
        // Bytes that are left over belong to a field that this struct lacks, and postcard would ignore them.
        Ok(_) | Err(_) => Err(Failure::Corrupt),
    }
}

/// Converts between a type of the domain and its stored form `S`.
pub(crate) trait Convert<S>: Sized {
    /// Returns the stored form.
    fn to_stored(&self) -> Result<S, Failure>;

    /// Reads the stored form. Fails with `Corrupt` if the domain refuses it.
    fn from_stored(stored: S) -> Result<Self, Failure>;
}

impl Convert<ByteBuf> for Vec<u8> {
    fn to_stored(&self) -> Result<ByteBuf, Failure> {
        Ok(ByteBuf::from(self.clone()))
    }

    fn from_stored(stored: ByteBuf) -> Result<Self, Failure> {
        Ok(stored.into_vec())
    }
}

/// A record inside another is stored as bytes with a format byte of its own. So a new format of the inner
/// record does not need a new format of the outer one.
impl<R: Record> Convert<ByteBuf> for R {
    fn to_stored(&self) -> Result<ByteBuf, Failure> {
        encode(self).map(ByteBuf::from)
    }

    fn from_stored(stored: ByteBuf) -> Result<Self, Failure> {
        decode(&stored)
    }
}

/// What a stored struct may consist of. Only plain data and other stored structs implement it.
pub(crate) trait StoredField {}

macro_rules! plain_data {
    ($($Plain:ty),+ $(,)?) => { $(
        impl StoredField for $Plain {}

        impl Convert<$Plain> for $Plain {
            fn to_stored(&self) -> Result<$Plain, Failure> {
                Ok(self.clone())
            }

            fn from_stored(stored: $Plain) -> Result<Self, Failure> {
                Ok(stored)
            }
        }
    )+ };
}

plain_data!(bool, u8, u16, u32, u64, i64, String, [u8; 16], [u8; 24], [u8; 32], ByteBuf);

impl StoredField for () {}
impl<S: StoredField> StoredField for Option<S> {}
impl<S: StoredField> StoredField for Vec<S> {}
impl<A: StoredField, B: StoredField> StoredField for (A, B) {}

impl<S, T: Convert<S>> Convert<Option<S>> for Option<T> {
    fn to_stored(&self) -> Result<Option<S>, Failure> {
        self.as_ref().map(Convert::to_stored).transpose()
    }

    fn from_stored(stored: Option<S>) -> Result<Self, Failure> {
        stored.map(T::from_stored).transpose()
    }
}

impl<S, T: Convert<S>> Convert<Vec<S>> for Vec<T> {
    fn to_stored(&self) -> Result<Vec<S>, Failure> {
        self.iter().map(Convert::to_stored).collect()
    }

    fn from_stored(stored: Vec<S>) -> Result<Self, Failure> {
        stored.into_iter().map(T::from_stored).collect()
    }
}

impl<S, T: Convert<S> + Ord> Convert<Vec<S>> for std::collections::BTreeSet<T> {
    fn to_stored(&self) -> Result<Vec<S>, Failure> {
        self.iter().map(Convert::to_stored).collect()
    }

    fn from_stored(stored: Vec<S>) -> Result<Self, Failure> {
        stored.into_iter().map(T::from_stored).collect()
    }
}

impl<S, U, K: Convert<S> + Ord, V: Convert<U>> Convert<Vec<(S, U)>> for std::collections::BTreeMap<K, V> {
    fn to_stored(&self) -> Result<Vec<(S, U)>, Failure> {
        self.iter().map(|(key, value)| Ok((key.to_stored()?, value.to_stored()?))).collect()
    }

    fn from_stored(stored: Vec<(S, U)>) -> Result<Self, Failure> {
        stored.into_iter().map(|(key, value)| Ok((K::from_stored(key)?, V::from_stored(value)?))).collect()
    }
}

impl<A, B, S: Convert<A>, T: Convert<B>> Convert<(A, B)> for (S, T) {
    fn to_stored(&self) -> Result<(A, B), Failure> {
        Ok((self.0.to_stored()?, self.1.to_stored()?))
    }

    fn from_stored((first, second): (A, B)) -> Result<Self, Failure> {
        Ok((S::from_stored(first)?, T::from_stored(second)?))
    }
}

/// Converts types with a text form (`Display` or `as_str`, and `FromStr`) to that text.
macro_rules! convert_as_text {
    ($($Type:ty),+ $(,)?) => { $(
        impl $crate::store::engine::format::Convert<String> for $Type {
            fn to_stored(&self) -> Result<String, $crate::store::engine::failure::Failure> {
                Ok(self.to_string())
            }

            fn from_stored(stored: String) -> Result<Self, $crate::store::engine::failure::Failure> {
                stored.parse().map_err(|_| $crate::store::engine::failure::Failure::Corrupt)
            }
        }
    )+ };
}

/// Defines a stored struct, field by field, and its conversion from and to the record of the same field names.
///
/// A struct with `before { field: value, … }` is an older format, which is only read: the record has gained these fields
/// since, and gets these values for them. An `enum` has conversions of its own; its variants are numbered by their
/// position.
macro_rules! stored {
    ($(#[$meta:meta])* $Stored:ident = $Record:ident { $($field:ident: $Field:ty),* $(,)? }) => {
        stored! { @fields $(#[$meta])* $Stored { $($field: $Field),* } }

        impl $crate::store::engine::format::Convert<$Stored> for $Record {
            fn to_stored(&self) -> Result<$Stored, $crate::store::engine::failure::Failure> {
                Ok($Stored { $($field: $crate::store::engine::format::Convert::to_stored(&self.$field)?),* })
            }

            fn from_stored(stored: $Stored) -> Result<Self, $crate::store::engine::failure::Failure> {
                let $Stored { $($field),* } = stored;
                Ok(Self { $($field: $crate::store::engine::format::Convert::from_stored($field)?),* })
            }
        }
    };
    ($(#[$meta:meta])* $Stored:ident = $Record:ident { $($field:ident: $Field:ty),* $(,)? }
        before { $($new:ident: $value:expr),+ $(,)? }) => {
        stored! { @fields $(#[$meta])* $Stored { $($field: $Field),* } }

        impl $crate::store::engine::format::Convert<$Stored> for $Record {
            fn to_stored(&self) -> Result<$Stored, $crate::store::engine::failure::Failure> {
                // Nothing writes an older format.
                Err($crate::store::engine::failure::Failure::Internal)
            }

            fn from_stored(stored: $Stored) -> Result<Self, $crate::store::engine::failure::Failure> {
                let $Stored { $($field),* } = stored;
                Ok(Self {
                    $($field: $crate::store::engine::format::Convert::from_stored($field)?,)*
                    $($new: $value),+
                })
            }
        }
    };
    (@fields $(#[$meta:meta])* $Stored:ident { $($field:ident: $Field:ty),* }) => {
        $(#[$meta])*
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct $Stored {
            $(pub(crate) $field: $Field),*
        }

        stored! { @plain $Stored { $($Field),* } }
    };
    (@plain $Stored:ident { $($Field:ty),* }) => {
        impl $crate::store::engine::format::StoredField for $Stored {}

        // Fails to compile if a field is not plain data, which the derive alone would accept.
        #[allow(dead_code)]
        const _: () = {
            const fn plain<S: $crate::store::engine::format::StoredField>() {}
            $(plain::<$Field>();)*
        };
    };
    ($(#[$meta:meta])* enum $Stored:ident {
        $($Variant:ident $(($Field:ty))? $({ $($field:ident: $Named:ty),+ $(,)? })?),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) enum $Stored {
            $($Variant $(($Field))? $({ $($field: $Named),+ })?),+
        }

        stored! { @plain $Stored { } }
        $($(stored! { @check $Field })?)+
        $($($(stored! { @check $Named })+)?)+
    };
    (@check $Field:ty) => {
        const _: () = {
            const fn plain<S: $crate::store::engine::format::StoredField>() {}
            plain::<$Field>();
        };
    };
}

/// Registers the formats of a record, oldest first, and the newest, which is written.
macro_rules! record {
    ($Record:ty { $($old:literal => $Old:ty,)* } newest $newest:literal => $Newest:ty) => {
        impl $crate::store::engine::format::Record for $Record {
            fn encode(&self) -> Result<Vec<u8>, $crate::store::engine::failure::Failure> {
                let stored: $Newest = $crate::store::engine::format::Convert::to_stored(self)?;
                $crate::store::engine::format::to_bytes($newest, &stored)
            }

            fn decode(format: u8, bytes: &[u8]) -> Result<Self, $crate::store::engine::failure::Failure> {
                use $crate::store::engine::format::{Convert, from_bytes};
                match format {
                    $($old => <Self as Convert<$Old>>::from_stored(from_bytes(bytes)?),)*
                    $newest => <Self as Convert<$Newest>>::from_stored(from_bytes(bytes)?),
                    0 => Err($crate::store::engine::failure::Failure::Corrupt),
                    _ => Err($crate::store::engine::failure::Failure::NewerFormat),
                }
            }

            #[cfg(test)]
            const FORMATS: &'static [u8] = &[$($old,)* $newest];
        }
    };
}

pub(crate) use convert_as_text;
pub(crate) use record;
pub(crate) use stored;
