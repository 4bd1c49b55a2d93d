//! The four cookies of the console: the session, a sign-in that is under way, the theme, and the flash message (what the last
//! action reports on the next page). Reads and writes their text, and interprets none of it.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use crate::store::{SESSION_LONGEST, SessionKey};

/// The session's cookie under TLS. The prefix makes browsers refuse one that another host of the domain or a plain-HTTP
/// page sets (RFC 6265bis section 4.1.3.2).
const SESSION_TLS: &str = "__Host-dropsafe-session";
/// The session's cookie without TLS, where browsers refuse the prefix.
const SESSION: &str = "dropsafe-session";
/// The cookie of a sign-in under TLS, and without.
const SIGN_IN_TLS: &str = "__Host-dropsafe-sign-in";
const SIGN_IN: &str = "dropsafe-sign-in";
const THEME: &str = "dropsafe-theme";
const FLASH: &str = "dropsafe-flash";
/// The longest flash message, in bytes before encoding. Browsers drop cookies of more than 4096 bytes.
const MAX_FLASH: usize = 600;

/// Returns the value of a cookie. Returns `None` if it is absent or occurs twice: then somebody planted the second one,
/// and its order decides nothing (RFC 6265 section 4.2.2).
fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // HTTP/2 may split the cookies over several header lines (RFC 9113 section 8.2.3).
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut found = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(known, value)| (known == name).then_some(value));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn add(response: &mut Response, text: &str) {
    // Every text that gets here is ASCII without control characters, so that the other case does not occur.
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn secure(over_tls: bool) -> &'static str {
    // Without TLS browsers drop a cookie that says `Secure`, and nobody could log in over loopback.
    if over_tls { "; Secure" } else { "" }
}

fn session_name(over_tls: bool) -> &'static str {
    if over_tls { SESSION_TLS } else { SESSION }
}

/// Returns the session that a request names.
pub(crate) fn read_session(headers: &HeaderMap, over_tls: bool) -> Option<SessionKey> {
    read(headers, session_name(over_tls)).and_then(SessionKey::parse)
}

/// Sets the session's cookie. No script can read it, and no request from another site carries it.
pub(crate) fn set_session(response: &mut Response, key: &SessionKey, over_tls: bool) {
    let text = key.to_text();
    // Assembled by hand in memory that is wiped and never grows: `format!` would leave copies of the key behind.
    let mut line = Zeroizing::new(String::with_capacity(256));
    line.push_str(session_name(over_tls));
    line.push('=');
    line.push_str(&text);
    line.push_str("; Path=/; HttpOnly; SameSite=Strict; Max-Age=");
    line.push_str(&SESSION_LONGEST.as_secs().to_string());
    line.push_str(secure(over_tls));
    add(response, &line);
}

/// Deletes the session's cookie.
pub(crate) fn clear_session(response: &mut Response, over_tls: bool) {
    let (name, secure) = (session_name(over_tls), secure(over_tls));
    add(response, &format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}"));
}

fn sign_in_name(over_tls: bool) -> &'static str {
    if over_tls { SIGN_IN_TLS } else { SIGN_IN }
}

/// Returns the sealed text of the sign-in that a browser has begun.
pub(crate) fn read_sign_in(headers: &HeaderMap, over_tls: bool) -> Option<Zeroizing<String>> {
    read(headers, sign_in_name(over_tls)).map(|text| Zeroizing::new(text.to_owned()))
}

/// Sets the cookie of a sign-in, for ten minutes. It is `Lax`: the provider is another site, and its redirect must carry the cookie. It
/// is worth nothing without what the provider sends with that redirect.
pub(crate) fn set_sign_in(response: &mut Response, sealed: &str, over_tls: bool) {
    // In memory that is wiped and never grows, as the session.
    let mut line = Zeroizing::new(String::with_capacity(sealed.len() + 128));
    line.push_str(sign_in_name(over_tls));
    line.push('=');
    line.push_str(sealed);
    line.push_str("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600");
    line.push_str(secure(over_tls));
    add(response, &line);
}

/// Deletes the cookie of a sign-in.
pub(crate) fn clear_sign_in(response: &mut Response, over_tls: bool) {
    let (name, secure) = (sign_in_name(over_tls), secure(over_tls));
    add(response, &format!("{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}"));
}

/// Returns the chosen theme: `light`, `dark` or `system`.
pub(crate) fn read_theme(headers: &HeaderMap) -> &'static str {
    // A cookie can hold any text. Only these fixed words get into a page.
    match read(headers, THEME) {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "system",
    }
}

/// Remembers the theme for a year. `system` is the default and needs no cookie.
pub(crate) fn set_theme(response: &mut Response, theme: &str, over_tls: bool) {
    let (value, age) = match theme {
        "light" | "dark" => (theme, 31_536_000),
        _ => ("", 0),
    };
    let secure = secure(over_tls);
    add(response, &format!("{THEME}={value}; Path=/console; SameSite=Strict; Max-Age={age}{secure}"));
}

/// Leaves a message for the next page. The message must never contain a value.
pub(crate) fn set_flash(response: &mut Response, text: &str, over_tls: bool) {
    let text = &text[..text.floor_char_boundary(MAX_FLASH)];
    // A cookie cannot hold blanks, commas or anything but ASCII (RFC 6265 section 4.1.1).
    let encoded = data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let secure = secure(over_tls);
    // One minute: a message whose page was never loaded must not turn up on an unrelated page later.
    let line = format!("{FLASH}={encoded}; Path=/console; HttpOnly; SameSite=Strict; Max-Age=60{secure}");
    add(response, &line);
}

/// Returns the message that the last action left.
pub(crate) fn read_flash(headers: &HeaderMap) -> Option<String> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(read(headers, FLASH)?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Deletes the message once a page has displayed it.
pub(crate) fn clear_flash(response: &mut Response) {
    add(response, &format!("{FLASH}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        assert_eq!(read_theme(&headers("a=b; dropsafe-theme=dark")), "dark");
        assert_eq!(read_theme(&headers("dropsafe-theme=dark; dropsafe-theme=light")), "system");
        assert_eq!(read_theme(&headers("dropsafe-theme=<script>")), "system");
    }

    #[test]
    fn a_session_under_tls_has_a_name_that_only_this_host_can_set() {
        let key = SessionKey::parse(&"A".repeat(64)).unwrap();
        let mut response = Response::new(axum::body::Body::empty());
        set_session(&mut response, &key, true);
        let line = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        for part in [
            "__Host-dropsafe-session=",
            "; Path=/;",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
            "Max-Age=43200",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(read_session(&headers(&line.replace(';', ",")), false).is_none());
    }
}
