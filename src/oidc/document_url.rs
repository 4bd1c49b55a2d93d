//! The URL of a document to fetch, taken apart once: https only, with a host that no resolver could read in another way.

use crate::client::{Endpoint, EndpointKind, Host};
use crate::domain::jwt::IssuerUrl;

/// The longest URL, in bytes.
const MAX_URL: usize = 1024;

/// Where a document is.
pub(super) struct DocumentUrl {
    pub(super) host: Host,
    pub(super) port: u16,
    /// The value of the `Host` header.
    pub(super) authority: String,
    /// Path and query, as HTTP sends them.
    pub(super) path: String,
}

impl DocumentUrl {
    /// Where an issuer's metadata are.
    pub(super) fn of_metadata(issuer: &IssuerUrl) -> Option<Self> {
        Self::parse(&issuer.discovery_url())
    }

    /// Parses a URL that an issuer's metadata name. Unlike an issuer's own URL, it may have a query.
    pub(super) fn parse(url: &str) -> Option<Self> {
        if url.len() > MAX_URL || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        // A fragment is never sent, and a backslash is a slash to some servers.
        if url.contains(['#', '\\']) {
            return None;
        }
        let rest = url.strip_prefix("https://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The client's own parser, which refuses user names and the many ways to write an IPv4 address.
        let endpoint = Endpoint::parse(&format!("https://{authority}")).ok()?;
        let authority = endpoint.authority();
        let EndpointKind::Tls { host, port, .. } = endpoint.kind else { return None };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { host, port, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(String, u16, String, String)> {
        let url = DocumentUrl::parse(url)?;
        Some((url.host.to_string(), url.port, url.authority, url.path))
    }

    #[test]
    fn urls_are_taken_apart() {
        for (url, host, port, authority, path) in [
            ("https://a.example/keys", "a.example", 443, "a.example", "/keys"),
            ("https://a.example:8443/k?p=1", "a.example", 8443, "a.example:8443", "/k?p=1"),
            ("https://a.example", "a.example", 443, "a.example", "/"),
            ("https://a.example?x", "a.example", 443, "a.example", "/?x"),
            ("https://[2001:db8::1]:1/", "[2001:db8::1]", 1, "[2001:db8::1]:1", "/"),
        ] {
            let expected = (host.to_owned(), port, authority.to_owned(), path.to_owned());
            assert_eq!(parsed(url), Some(expected), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "",
            "http://a.example/keys",
            "HTTPS://a.example/keys",
            "ftp://a.example",
            "//a.example/keys",
            "https://",
            "https:///keys",
            "https://user@a.example/keys",
            "https://user:word@a.example/keys",
            "https://a.example#sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "https://a.example/#x",
            "https://a.example\\@b.example/",
            "https://a.example/ keys",
            "https://a.example/\r\nx: y",
            "https://127.1/keys",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://a.example:0/",
            "https://a.example:+1/",
            "https://bücher.example/",
        ] {
            assert_eq!(parsed(url), None, "{url:?}");
        }
        assert_eq!(parsed(&format!("https://a.example/{}", "k".repeat(MAX_URL))), None);
    }
}
