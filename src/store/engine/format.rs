//! How a record becomes bytes: a format byte, then the postcard encoding of a stored struct.
//!
//! A stored struct consists of plain data, and [`stored!`](crate::store::engine::format::stored) enforces that at compile time:
//! a type of the domain can change without changing what is on disk. A reader dispatches on the format byte; a writer
//! writes the newest format. Never writes a type through a derive of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::store::engine::failure::Failure;

/// A record, as rules work with it.
pub(crate) trait Record: Sized {
    /// The newest format, which every write uses.
    const FORMAT: u8;

    /// Encodes the newest format, without the format byte.
    fn encode(&self) -> Result<Vec<u8>, Failure>;

    /// Decodes a record of the given format.
    fn decode(format: u8, bytes: &[u8]) -> Result<Self, Failure>;
}

/// Returns the plaintext of a record.
pub(crate) fn encode<T: Record>(record: &T) -> Result<Vec<u8>, Failure> {
    let mut plain = record.encode()?;
    plain.insert(0, T::FORMAT);
    Ok(plain)
}

/// Reads a record from its plaintext.
pub(crate) fn decode<T: Record>(plain: &[u8]) -> Result<T, Failure> {
    match plain.split_first() {
        Some((format, _)) if *format > T::FORMAT => Err(Failure::NewerFormat),
        Some((format, bytes)) => T::decode(*format, bytes),
        None => Err(Failure::Corrupt),
    }
}

/// Encodes a stored struct.
pub(crate) fn to_bytes<S: Serialize>(stored: &S) -> Result<Vec<u8>, Failure> {
    postcard::to_allocvec(stored).map_err(|_| Failure::Internal)
}

/// Decodes a stored struct. postcard's error is dropped: it could quote its input.
pub(crate) fn from_bytes<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, Failure> {
    postcard::from_bytes(bytes).map_err(|_| Failure::Corrupt)
}

/// Converts between a type of the domain and its stored form `S`.
pub(crate) trait Convert<S>: Sized {
    /// Returns the stored form.
    fn to_stored(&self) -> S;

    /// Reads the stored form. Fails with `Corrupt` if the domain refuses it.
    fn from_stored(stored: S) -> Result<Self, Failure>;
}

/// What a stored struct may consist of. Only plain data and other stored structs implement it.
pub(crate) trait StoredField {}

macro_rules! plain_data {
    ($($Plain:ty),+ $(,)?) => { $(
        impl StoredField for $Plain {}

        impl Convert<$Plain> for $Plain {
            fn to_stored(&self) -> $Plain {
                self.clone()
            }

            fn from_stored(stored: $Plain) -> Result<Self, Failure> {
                Ok(stored)
            }
        }
    )+ };
}

plain_data!(bool, u8, u32, u64, i64, String, [u8; 16], [u8; 24], [u8; 32], ByteBuf);

impl StoredField for () {}
impl<S: StoredField> StoredField for Option<S> {}
impl<S: StoredField> StoredField for Vec<S> {}
impl<A: StoredField, B: StoredField> StoredField for (A, B) {}

impl<S, T: Convert<S>> Convert<Option<S>> for Option<T> {
    fn to_stored(&self) -> Option<S> {
        self.as_ref().map(Convert::to_stored)
    }

    fn from_stored(stored: Option<S>) -> Result<Self, Failure> {
        stored.map(T::from_stored).transpose()
    }
}

impl<S, T: Convert<S>> Convert<Vec<S>> for Vec<T> {
    fn to_stored(&self) -> Vec<S> {
        self.iter().map(Convert::to_stored).collect()
    }

    fn from_stored(stored: Vec<S>) -> Result<Self, Failure> {
        stored.into_iter().map(T::from_stored).collect()
    }
}

impl<S, T: Convert<S> + Ord> Convert<Vec<S>> for std::collections::BTreeSet<T> {
    fn to_stored(&self) -> Vec<S> {
        self.iter().map(Convert::to_stored).collect()
    }

    fn from_stored(stored: Vec<S>) -> Result<Self, Failure> {
        stored.into_iter().map(T::from_stored).collect()
    }
}

impl<S, U, K: Convert<S> + Ord, V: Convert<U>> Convert<Vec<(S, U)>> for std::collections::BTreeMap<K, V> {
    fn to_stored(&self) -> Vec<(S, U)> {
        self.iter().map(|(key, value)| (key.to_stored(), value.to_stored())).collect()
    }

    fn from_stored(stored: Vec<(S, U)>) -> Result<Self, Failure> {
        stored.into_iter().map(|(key, value)| Ok((K::from_stored(key)?, V::from_stored(value)?))).collect()
    }
}

impl<A, B, S: Convert<A>, T: Convert<B>> Convert<(A, B)> for (S, T) {
    fn to_stored(&self) -> (A, B) {
        (self.0.to_stored(), self.1.to_stored())
    }

    fn from_stored((first, second): (A, B)) -> Result<Self, Failure> {
        Ok((S::from_stored(first)?, T::from_stored(second)?))
    }
}

/// Converts types with a text form (`Display` or `as_str`, and `FromStr`) to that text.
macro_rules! convert_as_text {
    ($($Type:ty),+ $(,)?) => { $(
        impl $crate::store::engine::format::Convert<String> for $Type {
            fn to_stored(&self) -> String {
                self.to_string()
            }

            fn from_stored(stored: String) -> Result<Self, $crate::store::engine::failure::Failure> {
                stored.parse().map_err(|_| $crate::store::engine::failure::Failure::Corrupt)
            }
        }
    )+ };
}

/// Defines a stored struct, field by field, and its conversion from and to the record of the same field names.
macro_rules! stored {
    ($(#[$meta:meta])* $Stored:ident = $Record:ident { $($field:ident: $Field:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct $Stored {
            $($field: $Field),+
        }

        impl $crate::store::engine::format::StoredField for $Stored {}

        // Fails to compile if a field is not plain data.
        const _: () = {
            const fn plain<S: $crate::store::engine::format::StoredField>() {}
            $(plain::<$Field>();)+
        };

        impl $crate::store::engine::format::Convert<$Stored> for $Record {
            fn to_stored(&self) -> $Stored {
                $Stored { $($field: $crate::store::engine::format::Convert::to_stored(&self.$field)),+ }
            }

            fn from_stored(stored: $Stored) -> Result<Self, $crate::store::engine::failure::Failure> {
                Ok(Self { $($field: $crate::store::engine::format::Convert::from_stored(stored.$field)?),+ })
            }
        }
    };
}

/// Registers the formats of a record, oldest first, and the newest, which is written.
macro_rules! record {
    ($Record:ty { $($old:literal => $Old:ty,)* } newest $newest:literal => $Newest:ty) => {
        impl $crate::store::engine::format::Record for $Record {
            const FORMAT: u8 = $newest;

            fn encode(&self) -> Result<Vec<u8>, $crate::store::engine::failure::Failure> {
                let stored: $Newest = $crate::store::engine::format::Convert::to_stored(self);
                $crate::store::engine::format::to_bytes(&stored)
            }

            fn decode(format: u8, bytes: &[u8]) -> Result<Self, $crate::store::engine::failure::Failure> {
                use $crate::store::engine::format::{Convert, from_bytes};
                match format {
                    $($old => <Self as Convert<$Old>>::from_stored(from_bytes(bytes)?),)*
                    $newest => <Self as Convert<$Newest>>::from_stored(from_bytes(bytes)?),
                    _ => Err($crate::store::engine::failure::Failure::Corrupt),
                }
            }
        }
    };
}

pub(crate) use convert_as_text;
pub(crate) use record;
pub(crate) use stored;
