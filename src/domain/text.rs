//! How a type with a text form reaches serde: as its text, parsed again on the way in. Never repeats the text in an error.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserializer, de};

/// Reads a string and parses it; the error is the type's own, which does not quote its input, as no error of this module does.
pub(crate) fn deserialize<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    struct Text<T>(&'static str, PhantomData<T>);

    impl<T> de::Visitor<'_> for Text<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            // The type's own error, since `invalid_value` of serde would quote the text.
            text.parse().map_err(E::custom)
        }
    }

    // Not a `String` first: a borrowed text is parsed without a copy of it.
    deserializer.deserialize_str(Text(expected, PhantomData))
}

/// serde, and the API's schema, for a type whose `Display` and `FromStr` are inverse: the text, in every format. With
/// `as_str` for a type that holds its text and need not format it; with a list for one of few texts.
macro_rules! serde_as_text {
    (as_str $Type:ty, $expected:literal $(, $words:tt)?) => {
        $crate::domain::text::serde_as_text!($Type, $expected, |of, to| to.serialize_str(of.as_str()) $(, $words)?);
    };
    ($Type:ty, $expected:literal) => {
        $crate::domain::text::serde_as_text!($Type, $expected, |of, to| to.collect_str(of));
    };
    ($Type:ty, $expected:literal, |$of:ident, $to:ident| $write:expr $(, [$( $word:literal, )+])?) => {
        impl serde::Serialize for $Type {
            fn serialize<S: serde::Serializer>(&self, $to: S) -> Result<S::Ok, S::Error> {
                let $of = self;
                $write
            }
        }

        impl<'de> serde::Deserialize<'de> for $Type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::domain::text::deserialize(deserializer, $expected)
            }
        }

        #[cfg(feature = "server")]
        impl utoipa::PartialSchema for $Type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($expected))
                    $( .enum_values(Some([$( $word, )+])) )?
                    .into()
            }
        }

        #[cfg(feature = "server")]
        impl utoipa::ToSchema for $Type {}
    };
}

/// A field-less enum with one fixed text per variant. Stored and sent as that text, so variants may be reordered.
macro_rules! text_enum {
    (
        $(#[$outer:meta])*
        $vis:vis enum $Type:ident, $expected:literal {
            $( $(#[$inner:meta])* $Variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $Type {
            $( $(#[$inner])* $Variant, )+
        }

        impl $Type {
            /// Every variant, in the order of declaration.
            #[allow(dead_code, reason = "not every enum is listed")]
            $vis const ALL: &'static [$Type] = &[$( $Type::$Variant, )+];

            /// The fixed text of this variant.
            $vis fn as_str(self) -> &'static str {
                match self {
                    $( $Type::$Variant => $text, )+
                }
            }
        }

        impl std::fmt::Display for $Type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $Type {
            type Err = $crate::domain::text::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $text => Ok($Type::$Variant), )+
                    _ => Err($crate::domain::text::UnknownWord { expected: $expected }),
                }
            }
        }

        $crate::domain::text::serde_as_text!(as_str $Type, $expected, [$( $text, )+]);
    };
}

/// A word that is none of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct UnknownWord {
    /// What was expected, in words.
    pub expected: &'static str,
}

pub(crate) use serde_as_text;
pub(crate) use text_enum;
