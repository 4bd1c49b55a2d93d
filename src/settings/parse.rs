//! Parsers for common kinds of values. Their errors say what is expected and never quote the input.

use std::path::PathBuf;
use std::time::Duration;

/// An error: the form that was expected, in words.
pub(crate) type ExpectedForm = &'static str;

/// Parses a duration: numbers with the unit `ms`, `s`, `m`, `h` or `d`, which are added (`1m30s`), or a single `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, ExpectedForm> {
    const EXPECTED: ExpectedForm = "not a duration; write for example 500ms, 30s, 5m, 1h30m or 7d";
    // The one number that needs no unit. Any other without a unit would be a guess.
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(EXPECTED);
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            // No weeks, months or years: the last two have no fixed length.
            _ => return Err(EXPECTED),
        };
        // Checked: a number with too many digits is a fault, not a short duration.
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(milliseconds)).ok_or(EXPECTED)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(EXPECTED)?;
        rest = tail;
    }
    Ok(total)
}

/// Parses `true`, `yes`, `on`, `1` and their opposites.
pub(crate) fn boolean(text: &str) -> Result<bool, ExpectedForm> {
    // The spellings of systemd.syntax(7). A mistyped word must not silently mean false.
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// Parses a path, which is relative to the working directory.
pub(crate) fn path(text: &str) -> Result<PathBuf, ExpectedForm> {
    // An empty path would name the working directory itself.
    if text.is_empty() { Err("must not be empty") } else { Ok(PathBuf::from(text)) }
}

/// Parses one of `words`. The error lists them.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*meaning);
    }
    let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    Err(format!("must be one of {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5s", "1 s", "30 s", "1y", "99999999999999999999s", "1s2", "１s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_name_the_choices_and_not_the_input() {
        let words = [("fail", 1), ("cache", 2)];
        assert_eq!(word("cache", &words), Ok(2));
        assert_eq!(word("hunter2", &words), Err("must be one of fail, cache".to_owned()));
    }
}
