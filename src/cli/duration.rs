//! Durations as people write them: `24h`, `7d`, `90m`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// A century, the most that the API accepts.
const LONGEST: i64 = 36_500 * 86_400;

/// The text is not a duration. The message does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration of at least a second, such as 90m, 24h or 7d")]
pub(crate) struct DurationError;

/// Parses a duration in whole seconds. A day has 24 hours and a week seven days.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    // A bare number is an error for this parser, which is right: its unit would be a guess.
    let span: Span = text.parse().map_err(|_| DurationError)?;
    // Months and years have no fixed length.
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(DurationError);
    }
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| DurationError)?;
    // The API counts in seconds, and rounding would change what somebody asked for.
    let whole = exact.subsec_nanos() == 0 && (1..=LONGEST).contains(&exact.as_secs());
    if whole { Ok(Duration::from_secs(exact.as_secs().unsigned_abs())) } else { Err(DurationError) }
}

/// Formats whole seconds in the largest unit that needs no fraction, as [`parse`] reads them.
pub(crate) fn display(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let whole = units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    let (length, unit) = whole.unwrap_or((1, 's'));
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_displayed_duration_reads_back() {
        for (seconds, text) in [(1, "1s"), (90, "90s"), (5_400, "90m"), (7_200, "2h"), (86_400, "1d")] {
            assert_eq!(display(seconds), text);
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn the_usual_forms() {
        for (text, seconds) in [
            ("1s", 1),
            ("90m", 5_400),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h30m", 5_400),
            ("1d 12h", 129_600),
            ("30 minutes", 1_800),
            ("PT1H", 3_600),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "24",
            "h",
            "0s",
            "-1h",
            "1h ago",
            "500ms",
            "1.5s",
            "1mo",
            "1y",
            "37000d",
            "99999999999999h",
            "1 x",
        ] {
            assert_eq!(parse(text), Err(DurationError), "{text}");
        }
    }
}
