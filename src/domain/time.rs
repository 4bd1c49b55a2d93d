//! A point in time. Never reads a clock: the time is an argument everywhere in this module.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::text;

/// 0000-01-01T00:00:00Z, the first time that RFC 3339 can write.
const FIRST: i64 = -62_167_219_200_000;
/// 9999-12-30T22:00:00Z: two hours less than a day before the end of RFC 3339, where every offset still has the year 9999.
const LAST: i64 = 253_402_207_200_000;

/// Milliseconds since the Unix epoch, within the years 0000 to 9999.
///
/// Text: RFC 3339 in UTC. serde: that text in human-readable formats, the number in others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2026-01-31T12:00:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The time `millis` milliseconds after (or, negative, before) the epoch, moved into the range that RFC 3339 can write.
    pub fn from_millis(millis: i64) -> Self {
        // A time that RFC 3339 cannot write could be neither shown nor sent.
        Self(millis.clamp(FIRST, LAST))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `duration` more; the end of the range if that is beyond it.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        // A longer duration ends beyond the range too, and the sum is clamped.
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        // A clock that was set back makes a negative difference, which is no age.
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        fmt::Display::fmt(&time, formatter)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        // What is below a millisecond is dropped: a stored time must be equal to its own text.
        Ok(Self::from_millis(time.as_millisecond()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            text::deserialize(deserializer, "an RFC 3339 time")
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
        let offset: Timestamp = "2023-11-15T00:13:20.123+02:00".parse().unwrap();
        assert_eq!(offset.as_millis(), 1_700_000_000_123);
        for bad in ["", "yesterday", "2023-11-14", "2023-11-14T22:13:20"] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let time = Timestamp::from_millis(5_000);
        assert_eq!(time.plus(Duration::from_secs(1)).as_millis(), 6_000);
        assert_eq!(time.since(Timestamp::from_millis(2_000)), Duration::from_secs(3));
        assert_eq!(time.since(Timestamp::from_millis(9_000)), Duration::ZERO);
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(last.to_string().parse(), Ok(last));
        let first = Timestamp::from_millis(i64::MIN);
        assert_eq!(first.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_eq!(first.since(last), Duration::ZERO);
    }
}
