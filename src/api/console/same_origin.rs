//! Whether a request that changes something comes from a page of this console: told by the browser, which no page can
//! make it lie about. Beside the token in the form, and before anything of the request is read.

use http::header;
use http::request::Parts;

use crate::api::problem::ApiError;
use crate::wire::Code;

/// Refuses what another site has sent.
pub(crate) fn is_ours(parts: &Parts) -> Result<(), ApiError> {
    let named = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let ours = match named("sec-fetch-site") {
        Some(site) => site == "same-origin",
        // An older browser says only where it comes from.
        None => match (named(header::ORIGIN.as_str()), host(parts)) {
            (Some(origin), Some(host)) => {
                origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
            }
            _ => false,
        },
    };
    if ours {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, "the request does not come from a page of this console")
        .hint("open the console itself and try again there"))
}

fn host(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/console/login").header("host", "vault.example:7373");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_ours(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn only_pages_of_this_host() {
        assert!(judged(&[("sec-fetch-site", "same-origin")]));
        assert!(judged(&[("origin", "https://vault.example:7373")]));
        for headers in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://vault.example:7373")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://vault.example")],
            &[("origin", "https://evil.example/vault.example:7373")],
        ] {
            assert!(!judged(headers), "{headers:?}");
        }
    }
}
