//! Responses to forms: always a redirect (303), so that reloading the next page does not repeat the action.

use axum::response::{IntoResponse as _, Redirect, Response};

use super::session::BrowserSession;
use super::{HOME, cookies};

/// Redirects to a page and displays `message` there. The message must never contain a value.
pub(crate) fn with_message(session: &BrowserSession, path: &str, message: &str) -> Response {
    let mut response = Redirect::to(path).into_response();
    cookies::set_flash(&mut response, message, session.browser.over_tls);
    response
}

/// Returns `path` if it is a page of the console, else the console's home. Without this check a link of another site
/// could choose where a login leads to (an open redirect).
pub(crate) fn local_path_or_home(path: Option<&str>) -> &str {
    // A backslash counts: browsers read `/\evil.example` as `//evil.example` (WHATWG URL, "special" schemes).
    let local = |path: &&str| {
        path.starts_with("/console/") && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.filter(local).unwrap_or(HOME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local_path_or_home(Some("/console/boots?live=true")), "/console/boots?live=true");
        for path in [
            "//evil.example",
            "https://evil.example/console/",
            "/console",
            "/console/\r\nx: y",
            "/consolex/",
            "/\\evil",
        ] {
            assert_eq!(local_path_or_home(Some(path)), "/console/", "{path}");
        }
    }
}
