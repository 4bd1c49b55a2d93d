//! Parsers for the forms that settings share. Their errors say what was expected, never what was found.

use std::path::PathBuf;
use std::time::Duration;

/// ExpectedForm, in words.
pub(crate) type ExpectedForm = &'static str;

/// A length of time: a number and `ms`, `s`, `m`, `h` or `d`, several of them added (`1m30s`). A bare number is refused,
/// because its unit would be a guess; `0` alone is none at all.
///
/// # Errors
/// What was expected.
pub(crate) fn duration(text: &str) -> Result<Duration, ExpectedForm> {
    const EXPECTED: ExpectedForm = "not a duration; write for example 500ms, 30s, 5m, 1h30m or 7d";
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
            _ => return Err(EXPECTED),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(milliseconds)).ok_or(EXPECTED)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(EXPECTED)?;
        rest = tail;
    }
    Ok(total)
}

/// `true`, `yes`, `on`, `1` or their opposites.
///
/// # Errors
/// What was expected.
pub(crate) fn boolean(text: &str) -> Result<bool, ExpectedForm> {
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("neither true nor false"),
    }
}

/// A path; relative ones are relative to the working directory.
///
/// # Errors
/// What was expected.
pub(crate) fn path(text: &str) -> Result<PathBuf, ExpectedForm> {
    if text.is_empty() { Err("not a path: it is empty") } else { Ok(PathBuf::from(text)) }
}

/// One of a few words.
///
/// # Errors
/// The words, and which of them was probably meant.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*meaning);
    }
    let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    Err(format!("not one of {all}"))
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
        assert_eq!(word("hunter2", &words), Err("not one of fail, cache".to_owned()));
    }
}
