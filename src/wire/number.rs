//! Whole numbers of requests. JSON knows one kind of number, and to JSON Schema `1.0` is an integer (validation
//! vocabulary, section 6.1.1), so that some programs send one; it is taken.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// For a field that is there.
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    // Each number is parsed as the widest type, so that one visitor has the one message.
    deserializer.deserialize_u64(WholeNumber(PhantomData))
}

/// For a field that may be absent or null.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    struct Taken<T>(T);

    impl<'de, T: TryFrom<u64>> Deserialize<'de> for Taken<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            whole(deserializer).map(Self)
        }
    }

    Ok(Option::<Taken<T>>::deserialize(deserializer)?.map(|Taken(number)| number))
}

struct WholeNumber<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for WholeNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number within range")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        // Up to 2^53 a float is the whole number that it shows.
        if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number) {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::{CreateTokenRequest, ReportBootRequest};

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let ttl = |text: &str| {
            let token: Result<CreateTokenRequest, _> =
                serde_json::from_str(&format!("{{\"ttl_seconds\":{text}}}"));
            token.ok().map(|token| token.ttl_seconds)
        };
        assert_eq!(ttl("60"), Some(Some(60)));
        assert_eq!(ttl("60.0"), Some(Some(60)));
        assert_eq!(ttl("6e1"), Some(Some(60)));
        assert_eq!(ttl("null"), Some(None));
        for text in ["60.5", "-1", "-1.0", "1e300", "\"60\"", "true"] {
            assert_eq!(ttl(text), None, "{text}");
        }
        let report = |text: &str| {
            serde_json::from_str::<ReportBootRequest>(&format!("{{\"digest\":\"\",\"variables\":{text}}}"))
                .is_ok()
        };
        assert!(report("4294967295.0") && !report("4294967296.0") && !report("null"));
    }
}
