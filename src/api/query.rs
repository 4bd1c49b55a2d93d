//! Query strings, read parameter by parameter, with every fault reported at once. Never repeats the name or the content
//! of a parameter that it does not know: a secret that was pasted into an address arrives here.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::problem::{ApiError, FieldErrors};
use crate::store::Cursor;

/// The longest cursor that is read, in bytes.
const MAX_CURSOR: usize = 1024;
/// The largest page.
const MAX_LIMIT: usize = 500;
/// The default size of a page.
const DEFAULT_LIMIT: usize = 100;

/// The parameters of one route.
pub(crate) trait FromQuery: Sized {
    /// The known names; any other is refused.
    const NAMES: &'static [&'static str];
    /// Whether `cursor` and `limit` are known too.
    const PAGED: bool = false;

    /// Reads the parameters. The result is dropped if `query` has a fault.
    fn read(query: &mut QueryReader) -> Self;
}

/// Extracts the query parameters of an API request.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read_query(parts.uri.query().unwrap_or("")).map(Self)
    }
}

/// Extracts the query parameters of a form that a browser sent.
pub(crate) struct FormQueryParams<T>(pub(crate) T);

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for FormQueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or("");
        // A browser sends every field of a form; an empty one was not filled in.
        let filled: Vec<&str> = text.split('&').filter(|pair| !pair.ends_with('=')).collect();
        read_query(&filled.join("&")).map(Self)
    }
}

fn read_query<T: FromQuery>(text: &str) -> Result<T, ApiError> {
    let paging: &[&str] = if T::PAGED { &["cursor", "limit"] } else { &[] };
    let names: Vec<&str> = T::NAMES.iter().chain(paging).copied().collect();
    let mut query = QueryReader::parse(text, &names);
    // All parameters are read before the result is checked, so that every fault is reported.
    let parameters = T::read(&mut query);
    query.errors.into_result()?;
    Ok(parameters)
}

/// A route without parameters.
pub(crate) struct NoParams;

impl FromQuery for NoParams {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &mut QueryReader) -> Self {
        Self
    }
}

/// A parsed query string, and the faults found in it.
pub(crate) struct QueryReader {
    pairs: Vec<(&'static str, String)>,
    errors: FieldErrors,
}

impl QueryReader {
    fn parse(text: &str, names: &[&'static str]) -> Self {
        let mut query = Self { pairs: Vec::new(), errors: FieldErrors::default() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            let Some(name) = names.iter().copied().find(|known| name.as_deref() == Some(known)) else {
                query.errors.add("query", unknown(names));
                continue;
            };
            // Proxies and servers disagree on which of two equal parameters counts, so there must be one.
            if query.has(name) {
                query.errors.add(name, "is given more than once");
                continue;
            }
            match decode(value) {
                Some(value) => query.pairs.push((name, value)),
                None => query.errors.add(name, "is not percent-encoded UTF-8"),
            }
        }
        query
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }

    /// Returns whether the request has the parameter.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns a text of 1 to `max` characters without control characters, or `None` if it is absent.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let text = self.get(name)?.to_owned();
        let fault = if text.is_empty() {
            "is empty".to_owned()
        } else if text.chars().count() > max {
            format!("is longer than {max} characters")
        } else if text.chars().any(char::is_control) {
            "holds a control character".to_owned()
        } else {
            return Some(text);
        };
        self.errors.add(name, fault);
        None
    }

    /// As [`Self::text`], made of bytes that `is_allowed` accepts.
    pub(crate) fn word(
        &mut self,
        name: &'static str,
        max: usize,
        is_allowed: fn(u8) -> bool,
    ) -> Option<String> {
        let text = self.text(name, max)?;
        if !text.bytes().all(is_allowed) {
            self.errors.add(name, "holds a character that is not allowed");
            return None;
        }
        Some(text)
    }

    /// Parses the parameter, if the request has it. The error of `T` must not quote its input.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        // Longer than any name, id or number: it bounds what a parser reads.
        let text = self.text(name, 256)?;
        self.errors.check(name, text.parse())
    }

    /// Returns the value of `parsed`, or reports its error as a fault of the parameter.
    pub(crate) fn check<T, E: Display>(&mut self, name: &'static str, parsed: Result<T, E>) -> Option<T> {
        self.errors.check(name, parsed)
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        // One spelling each, as the description's `boolean` says.
        match self.get(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.errors.add(name, "expected true or false");
                None
            }
        }
    }

    /// Reads `cursor`. The store checks whether a page continues there.
    pub(crate) fn cursor(&mut self) -> Option<Cursor> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        // Only its alphabet is checked here, since a fault must not quote it.
        self.word("cursor", MAX_CURSOR, is_allowed).map(Cursor::from_text)
    }

    /// Reads `limit`: 1 to 500, by default 100.
    pub(crate) fn limit(&mut self) -> usize {
        match self.get("limit").map(parse_digits) {
            None => DEFAULT_LIMIT,
            Some(Some(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                self.errors.add("limit", format!("expected a number from 1 to {MAX_LIMIT}"));
                DEFAULT_LIMIT
            }
        }
    }
}

/// Reads the parameters of an address that another site made. Unknown ones are ignored: a provider of sign-ins adds its own. One that is
/// given twice, or damaged, or too long, counts as absent.
pub(crate) fn foreign_parameters<'a>(text: &str, names: &[&'a str], max: usize) -> Vec<(&'a str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut repeated = Vec::new();
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name);
        let Some(name) = names.iter().copied().find(|known| name.as_deref() == Some(known)) else { continue };
        if found.iter().any(|(known, _)| *known == name) {
            repeated.push(name);
        }
        found.extend(decode(value).filter(|value| value.len() <= max).map(|value| (name, value)));
    }
    found.retain(|(name, _)| !repeated.contains(name));
    found
}

fn parse_digits(text: &str) -> Option<usize> {
    // `parse` alone would accept `+1`, which the description's `integer` does not.
    (text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn unknown(names: &[&str]) -> String {
    match names {
        [] => "this route has no parameters".to_owned(),
        names => format!("holds an unknown parameter; known here: {}", names.join(", ")),
    }
}

/// Decodes `application/x-www-form-urlencoded`, or returns `None` for a damaged escape or text that is not UTF-8.
fn decode(text: &str) -> Option<String> {
    // The WHATWG URL Standard, and the library with it, keeps a damaged escape as it is. Here it is a mistake to report.
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["q", "limit", "cursor", "auto_install"];

    fn faults(text: &str) -> usize {
        let mut query = QueryReader::parse(text, NAMES);
        query.text("q", 10);
        query.flag("auto_install");
        query.cursor();
        query.limit();
        match query.errors.into_result() {
            Ok(()) => 0,
            Err(refused) => {
                assert!(!format!("{refused:?}").contains("canary"));
                1
            }
        }
    }

    #[test]
    fn known_parameters_are_read() {
        let mut query = QueryReader::parse("q=a%20b+c&limit=7", NAMES);
        assert_eq!(query.text("q", 10).as_deref(), Some("a b c"));
        assert_eq!(query.limit(), 7);
        assert_eq!(faults(""), 0);
        assert_eq!(faults("&&q=x&"), 0);
    }

    #[test]
    fn parameters_of_another_site_are_read_with_what_surrounds_them() {
        let read = |text: &str| foreign_parameters(text, &["code", "state"], 5);
        let both = vec![("code", "a/b".to_owned()), ("state", "s".to_owned())];
        assert_eq!(read("code=a%2Fb&session_state=x&state=s&scope=openid+email"), both);
        assert_eq!(read("state=s&code=a&code=b"), [("state", "s".to_owned())]);
        assert_eq!(read("code=%zz&state=longer"), []);
        assert_eq!(read(""), []);
    }

    #[test]
    fn other_parameters_are_refused_and_not_quoted() {
        for text in [
            "canary=1",
            "canary",
            "q=a&q=canary",
            "q=%canary",
            "q=%ff",
            "q=%00canary",
            "q=",
            "q=canary-canary-canary",
            "limit=0",
            "limit=501",
            "limit=+1",
            "limit=canary",
            "auto_install=canary",
            "%63anary=1",
        ] {
            assert_eq!(faults(text), 1, "{text}");
        }
    }
}
