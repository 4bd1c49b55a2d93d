//! The same-origin check: whether a request that changes something comes from a page of this console. The browser says so
//! in headers that no page can forge. The check runs before anything else of the request is read, and beside the CSRF
//! token of the form.

use http::header;
use http::request::Parts;

use crate::api::problem::ApiError;
use crate::wire::Code;

/// Refuses a request that another site caused, or whose origin is unknown.
pub(crate) fn require_same_origin(parts: &Parts) -> Result<(), ApiError> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let same_origin = match header("sec-fetch-site") {
        // `none` is refused as well: it means an address that was typed, and nobody types a POST
        // (https://www.w3.org/TR/fetch-metadata/).
        Some(site) => site == "same-origin",
        // Browsers before 2023 (Safari before 16.4) send only `Origin`. A request without both is refused.
        None => match (header(header::ORIGIN.as_str()), host(parts)) {
            // The scheme is not compared: behind a proxy that ends TLS, this server does not know its own.
            (Some(origin), Some(host)) => {
                origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
            }
            _ => false,
        },
    };
    if same_origin {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, "the request does not come from a page of this console")
        .hint("open the console in this browser and try again from there"))
}

fn host(parts: &Parts) -> Option<&str> {
    // HTTP/2 sends `:authority`, which hyper puts into the address, instead of a `Host` header.
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/console/login").header("host", "vault.example:7373");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        require_same_origin(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn only_pages_of_this_host() {
        assert!(is_accepted(&[("sec-fetch-site", "same-origin")]));
        assert!(is_accepted(&[("origin", "https://vault.example:7373")]));
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
            assert!(!is_accepted(headers), "{headers:?}");
        }
    }
}
