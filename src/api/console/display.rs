//! How texts and times are written on pages, in addresses and on command lines. Knows no page and no request.

use crate::wire::paths;

/// A point in time, written for machines and for people.
#[derive(Clone)]
pub(crate) struct DisplayTime {
    /// RFC 3339, for the `datetime` attribute.
    pub(crate) iso: String,
    /// Day and minute, in UTC.
    pub(crate) text: String,
}

impl DisplayTime {
    /// Formats a time whose `to_string` is RFC 3339.
    pub(crate) fn new(at: impl ToString) -> Self {
        let iso = at.to_string();
        // RFC 3339 has fixed columns up to the minute. Anything else is displayed unchanged instead of cut at random.
        let text = match (iso.get(..10), iso.get(11..16)) {
            (Some(day), Some(minute)) => format!("{day} {minute}"),
            _ => iso.clone(),
        };
        Self { iso, text }
    }
}

/// Writes the pairs that have a value as a query string, percent-encoded (RFC 3986 section 2.1). Returns an empty string
/// if no pair has one.
pub(crate) fn encode_query(pairs: &[(&str, Option<String>)]) -> String {
    paths::with_query("", pairs)
}

/// Writes a text as one word of a POSIX shell, in quotes where it needs them.
pub(crate) fn shell_quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        // Nothing is special between single quotes except the quote, which has to be put between two quoted parts.
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Turns a message of the API (lower case, no full stop) into a sentence.
pub(crate) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    // One letter can become two in upper case (ß), so this is a string, not a char.
    let mut sentence: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?', '!', '…']) {
        sentence.push('.');
    }
    sentence
}

/// Cuts a text to one line of at most `max` characters.
pub(crate) fn truncate(text: &str, max: usize) -> String {
    // Line breaks and control characters would tear a table row apart, or reorder its text.
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect();
    if text.chars().count() > max { format!("{line}…") } else { line }
}

/// Writes a duration in seconds in its largest whole unit, such as `90 minutes`.
pub(crate) fn format_duration(seconds: u64) -> String {
    let units = [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let (unit, size) =
        units.into_iter().find(|(_, size)| seconds.is_multiple_of(*size)).unwrap_or(("second", 1));
    let count = seconds / size;
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// Splits a field that takes several words: they are separated by blanks, line breaks or commas.
pub(crate) fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_an_address_or_a_command_line_stays_one_word() {
        let pairs = [("q", Some("a b&c=é".to_owned())), ("x", None), ("y", Some(String::new()))];
        assert_eq!(encode_query(&pairs), "?q=a%20b%26c%3D%C3%A9&y=");
        assert_eq!(shell_quote("a-b"), "a-b");
        assert_eq!(shell_quote("it's; rm"), "'it'\\''s; rm'");
        assert_eq!(shell_quote(""), "''");
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        assert_eq!(DisplayTime::new("2026-11-22T11:04:47.123Z").text, "2026-11-22 11:04");
        assert_eq!(DisplayTime::new("x").text, "x");
    }

    #[test]
    fn durations_are_shown_in_their_largest_whole_unit() {
        for (seconds, text) in
            [(86_400, "1 day"), (7200, "2 hours"), (5400, "90 minutes"), (61, "61 seconds")]
        {
            assert_eq!(format_duration(seconds), text);
        }
    }
}
