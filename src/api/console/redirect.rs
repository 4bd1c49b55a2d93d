//! Answers to forms: the next page, so that loading it again repeats nothing.

use axum::response::{IntoResponse as _, Redirect, Response};

use super::cookies;
use super::session::Visitor;

/// To that page.
pub(crate) fn to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// To that page, which says what was done.
pub(crate) fn done(visitor: &Visitor, path: &str, what: &str) -> Response {
    let mut response = to(path);
    cookies::tell(&mut response, what, visitor.browser.over_tls);
    response
}

/// The path if it is a page of the console, else its home: no form or link of another site chooses where to go.
pub(crate) fn own_page(path: Option<&str>) -> &str {
    let own = |path: &&str| {
        path.starts_with("/console/") && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.filter(own).unwrap_or(super::HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(own_page(Some("/console/boots?live=true")), "/console/boots?live=true");
        for path in [
            "//evil.example",
            "https://evil.example/console/",
            "/console",
            "/console/\r\nx: y",
            "/consolex/",
            "/\\evil",
        ] {
            assert_eq!(own_page(Some(path)), "/console/", "{path}");
        }
    }
}
