//! The three cookies of the console: the session, the theme, and what the last action has to say. Reads and writes them,
//! and knows nothing of what they mean.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use crate::store::{SESSION_LONGEST, SessionKey};

/// Under TLS: no other host, and no plain page of this one, can set it (RFC 6265bis section 4.1.3.2).
const SESSION_TLS: &str = "__Host-dropsafe-session";
const SESSION: &str = "dropsafe-session";
const THEME: &str = "dropsafe-theme";
const FLASH: &str = "dropsafe-flash";
/// The longest message that is carried to the next page, in bytes before encoding.
const LONGEST_FLASH: usize = 600;

/// The one value of a cookie; none when it is there twice, which an honest browser does not send.
fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut found = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(known, value)| (known == name).then_some(value));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn add(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The session that a request names.
pub(crate) fn session(headers: &HeaderMap, over_tls: bool) -> Option<SessionKey> {
    read(headers, if over_tls { SESSION_TLS } else { SESSION }).and_then(SessionKey::parse)
}

/// Has the browser keep a session.
pub(crate) fn keep_session(response: &mut Response, key: &SessionKey, over_tls: bool) {
    let age = SESSION_LONGEST.as_secs();
    let text = key.to_text();
    let mut line = zeroize::Zeroizing::new(String::with_capacity(256));
    line.push_str(if over_tls { SESSION_TLS } else { SESSION });
    line.push('=');
    line.push_str(&text);
    line.push_str("; Path=/; HttpOnly; SameSite=Strict; Max-Age=");
    line.push_str(&age.to_string());
    if over_tls {
        line.push_str("; Secure");
    }
    add(response, &line);
}

/// Has the browser forget its session.
pub(crate) fn forget_session(response: &mut Response, over_tls: bool) {
    let (name, secure) = if over_tls { (SESSION_TLS, "; Secure") } else { (SESSION, "") };
    add(response, &format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}"));
}

/// The chosen theme: `light`, `dark`, or none for the system's.
pub(crate) fn theme(headers: &HeaderMap) -> &'static str {
    match read(headers, THEME) {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "system",
    }
}

/// Keeps the theme for a year.
pub(crate) fn keep_theme(response: &mut Response, theme: &str, over_tls: bool) {
    let secure = if over_tls { "; Secure" } else { "" };
    match theme {
        "light" | "dark" => {
            add(
                response,
                &format!("{THEME}={theme}; Path=/console; SameSite=Strict; Max-Age=31536000{secure}"),
            );
        }
        _ => add(response, &format!("{THEME}=; Path=/console; SameSite=Strict; Max-Age=0{secure}")),
    }
}

/// Has the next page say something. Never of a value.
pub(crate) fn tell(response: &mut Response, text: &str, over_tls: bool) {
    let secure = if over_tls { "; Secure" } else { "" };
    let text = &text[..text.floor_char_boundary(LONGEST_FLASH)];
    let encoded = data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    add(
        response,
        &format!("{FLASH}={encoded}; Path=/console; HttpOnly; SameSite=Strict; Max-Age=60{secure}"),
    );
}

/// What the last action had to say.
pub(crate) fn told(headers: &HeaderMap) -> Option<String> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(read(headers, FLASH)?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// It has been said.
pub(crate) fn said(response: &mut Response) {
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
        assert_eq!(theme(&headers("a=b; dropsafe-theme=dark")), "dark");
        assert_eq!(theme(&headers("dropsafe-theme=dark; dropsafe-theme=light")), "system");
        assert_eq!(theme(&headers("dropsafe-theme=<script>")), "system");
    }

    #[test]
    fn a_session_under_tls_has_a_name_that_only_this_host_can_set() {
        let key = SessionKey::parse(&"A".repeat(64)).unwrap();
        let mut response = Response::new(axum::body::Body::empty());
        keep_session(&mut response, &key, true);
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
        assert!(session(&headers(&line.replace(';', ",")), false).is_none());
    }
}
