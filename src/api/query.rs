//! QueryReader strings, read field by field with every fault at once. Never repeats a parameter's name or content that it
//! does not know: a secret pasted into an address arrives here.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::{ApiError, FieldErrors};
use crate::domain::name::MemberName;
use crate::store::{Cursor, PageAsk};

/// The longest cursor that is looked at, in bytes.
const MAX_CURSOR: usize = 1024;
/// The largest page.
const MAX_LIMIT: usize = 500;
/// The page when none is asked for.
const DEFAULT_LIMIT: usize = 100;

/// A set of parameters that a route takes.
pub trait FromQuery: Sized {
    /// The names that it knows; any other is refused.
    const NAMES: &'static [&'static str];

    /// Reads them. FieldErrors are gathered in `query`; what is returned then is not used.
    fn read(query: &mut QueryReader) -> Self;
}

/// The parameters of a request.
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut query = QueryReader::of(parts.uri.query().unwrap_or(""), T::NAMES);
        let read = T::read(&mut query);
        query.errors.into_result()?;
        Ok(Self(read))
    }
}

/// As [`QueryParams`], of a page: a form sends all of its fields, and those that are empty were not filled in.
pub struct FormQueryParams<T>(pub T);

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for FormQueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or("");
        let filled: Vec<&str> = text.split('&').filter(|pair| !pair.ends_with('=')).collect();
        let mut query = QueryReader::of(&filled.join("&"), T::NAMES);
        let read = T::read(&mut query);
        query.errors.into_result()?;
        Ok(Self(read))
    }
}

/// A route without parameters.
pub struct NoParams;

impl FromQuery for NoParams {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &mut QueryReader) -> Self {
        Self
    }
}

/// A list without filters.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Items at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl PageQuery {
    /// Which page.
    pub fn page(self) -> PageAsk {
        PageAsk { cursor: self.cursor, limit: Some(self.limit) }
    }
}

impl FromQuery for PageQuery {
    const NAMES: &'static [&'static str] = &["cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        Self { cursor: query.cursor(), limit: query.limit() }
    }
}

/// A list of what belongs to members.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MemberPageQuery {
    /// Of this member.
    member: Option<MemberName>,
    /// From the former page's `next`.
    #[param(value_type = Option<String>, min_length = 1, max_length = 1024, pattern = "^[a-z0-9]+$")]
    cursor: Option<Cursor>,
    /// Items at most; 100 unless said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: usize,
}

impl MemberPageQuery {
    /// Which member, and which page.
    pub fn into_parts(self) -> (Option<MemberName>, PageAsk) {
        (self.member, PageAsk { cursor: self.cursor, limit: Some(self.limit) })
    }
}

impl FromQuery for MemberPageQuery {
    const NAMES: &'static [&'static str] = &["member", "cursor", "limit"];

    fn read(query: &mut QueryReader) -> Self {
        Self { member: query.parsed("member"), cursor: query.cursor(), limit: query.limit() }
    }
}

/// A query string taken apart.
pub struct QueryReader {
    pairs: Vec<(&'static str, String)>,
    errors: FieldErrors,
}

impl QueryReader {
    fn of(text: &str, names: &'static [&'static str]) -> Self {
        let mut query = Self { pairs: Vec::new(), errors: FieldErrors::default() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            let Some(name) = names.iter().copied().find(|known| name.as_deref() == Some(known)) else {
                query.errors.add("query", unknown(names));
                continue;
            };
            if query.pairs.iter().any(|(taken, _)| *taken == name) {
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

    /// The parameter as it is, if it was given: 1 to `max` characters, none of them a control character.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let text = self.pairs.iter().find(|(known, _)| *known == name)?.1.clone();
        if text.is_empty() {
            self.errors.add(name, "is empty");
            return None;
        }
        if text.chars().count() > max {
            self.errors.add(name, format!("is longer than {max} characters"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.errors.add(name, "holds a control character");
            return None;
        }
        Some(text)
    }

    /// As [`Self::text`], of these bytes only.
    pub fn word(&mut self, name: &'static str, max: usize, letter: fn(u8) -> bool) -> Option<String> {
        let text = self.text(name, max)?;
        if !text.bytes().all(letter) {
            self.errors.add(name, "holds a character that is not allowed");
            return None;
        }
        Some(text)
    }

    /// Whether the parameter was given.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| *known == name)
    }

    /// The parameter parsed, if it was given. `T`'s error must not quote.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name, 256)?;
        self.errors.check(name, text.parse())
    }

    /// What was made of the parameter elsewhere, or its fault.
    pub fn check<T, E: Display>(&mut self, name: &'static str, read: Result<T, E>) -> Option<T> {
        self.errors.check(name, read)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.pairs.iter().find(|(known, _)| *known == name)?.1.as_str();
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.errors.add(name, "expected true or false");
                None
            }
        }
    }

    /// `cursor`.
    pub fn cursor(&mut self) -> Option<Cursor> {
        let cursor = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        self.word("cursor", MAX_CURSOR, cursor).map(Cursor::from_text)
    }

    /// `limit`.
    pub fn limit(&mut self) -> usize {
        let found = self.pairs.iter().find(|(known, _)| *known == "limit");
        match found.map(|(_, text)| digits(text)) {
            None => DEFAULT_LIMIT,
            Some(Some(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                self.errors.add("limit", format!("expected a number from 1 to {MAX_LIMIT}"));
                DEFAULT_LIMIT
            }
        }
    }
}

/// Decimal digits and nothing else: `parse` alone would take `+1`.
fn digits(text: &str) -> Option<usize> {
    (text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn unknown(names: &[&str]) -> String {
    match names {
        [] => "this route takes no parameters".to_owned(),
        names => format!("holds a parameter that is not known; known here: {}", names.join(", ")),
    }
}

/// `application/x-www-form-urlencoded` as the WHATWG URL Standard has it, except that damaged escapes are refused.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => bytes.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["q", "limit", "cursor", "auto_install"];

    fn faults(text: &str) -> usize {
        let mut query = QueryReader::of(text, NAMES);
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
    fn what_is_known_is_read() {
        let mut query = QueryReader::of("q=a%20b+c&limit=7", NAMES);
        assert_eq!(query.text("q", 10).as_deref(), Some("a b c"));
        assert_eq!(query.limit(), 7);
        assert_eq!(faults(""), 0);
        assert_eq!(faults("&&q=x&"), 0);
    }

    #[test]
    fn what_is_not_is_refused_and_not_repeated() {
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
