//! Addresses to listen on, and addresses for clients. Errors say what is expected, and never quote the input.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::domain::location::MAX_URL;
use crate::settings::parse::ExpectedForm;

/// The port of an address without one.
const DEFAULT_PORT: u16 = 7373;

/// Parses an address to listen on: `IP:PORT`, or `localhost:PORT`.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, ExpectedForm> {
    let expected = "expected an address and a port, such as 127.0.0.1:7373 or [::]:7373";
    // Other names would need a lookup, and their address could change until the server starts.
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| expected),
        None => text.parse().map_err(|_| expected),
    }
}

/// Parses an address to listen on without TLS.
pub(crate) fn parse_loopback(text: &str) -> Result<SocketAddr, ExpectedForm> {
    let address = parse_listen(text)?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("expected a loopback address: without TLS, the server listens only there")
    }
}

/// An address under which clients reach the server: `https://HOST[:PORT]` or `HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedUrl {
    /// With its port and without a path.
    pub(crate) url: String,
    /// A name or an address, for the certificate.
    pub(crate) host: String,
}

impl FromStr for AdvertisedUrl {
    type Err = ExpectedForm;

    fn from_str(text: &str) -> Result<Self, ExpectedForm> {
        let expected =
            "expected a host and optionally a port, such as vault.example:7373 or https://[2001:db8::1]:7373";
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            // An IPv6 address stands in brackets, because it contains colons itself (RFC 3986 section 3.2.2).
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(expected)?;
                (host, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or(expected)?)
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { DEFAULT_PORT } else { port.parse().map_err(|_| expected)? };
        let url_host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            Ok(IpAddr::V4(v4)) => v4.to_string(),
            Err(_) if rest.starts_with('[') || !is_host_name(host) => return Err(expected),
            // Names are compared without case, and one spelling keeps the list free of duplicates.
            Err(_) => host.to_ascii_lowercase(),
        };
        let url = format!("https://{url_host}:{port}");
        if url.len() > MAX_URL {
            return Err(expected);
        }
        Ok(Self { url, host: host.to_ascii_lowercase() })
    }
}

/// RFC 1123 section 2.1, without the trailing dot.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (1..=253).contains(&text.len()) && text.split('.').all(label)
}

/// The addresses that tickets carry if none are configured: those to listen on.
pub(crate) fn derive_urls(listen: &[SocketAddr], host: Option<&str>) -> Vec<String> {
    let mut urls = Vec::new();
    for address in listen {
        // 0.0.0.0 and :: mean every address of this machine. A client cannot connect to them, so the machine's name is used.
        let url = match host.filter(|host| address.ip().is_unspecified() && is_host_name(host)) {
            Some(host) => format!("https://{}:{}", host.to_ascii_lowercase(), address.port()),
            None if address.ip().is_unspecified() => format!("https://127.0.0.1:{}", address.port()),
            None => format!("https://{address}"),
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls.truncate(crate::domain::location::MAX_URLS);
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_becomes_a_url() {
        for (text, url, host) in [
            ("vault.example", "https://vault.example:7373", "vault.example"),
            ("Vault.example:443", "https://vault.example:443", "vault.example"),
            ("https://10.0.0.1:1/", "https://10.0.0.1:1", "10.0.0.1"),
            ("[2001:db8::1]", "https://[2001:db8::1]:7373", "2001:db8::1"),
            ("https://[::1]:9", "https://[::1]:9", "::1"),
        ] {
            let found: AdvertisedUrl = text.parse().unwrap();
            assert_eq!((found.url.as_str(), found.host.as_str()), (url, host));
        }
        for text in ["", "http://a", "a b", "a:b", "a:70000", "https://a/path", "[a]", "-a", "a@b", "a:1:2"] {
            assert!(text.parse::<AdvertisedUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_host_name_stands_for_an_unspecified_address() {
        let listen: Vec<SocketAddr> =
            ["0.0.0.0:1", "[::]:1", "10.0.0.1:2"].map(|text| text.parse().unwrap()).into();
        assert_eq!(derive_urls(&listen, Some("vault")), ["https://vault:1", "https://10.0.0.1:2"]);
        assert_eq!(derive_urls(&listen, None), ["https://127.0.0.1:1", "https://10.0.0.1:2"]);
    }

    #[test]
    fn without_tls_only_loopback_is_allowed() {
        assert!(parse_loopback("localhost:1").is_ok() && parse_loopback("[::1]:1").is_ok());
        assert!(parse_loopback("0.0.0.0:1").is_err() && parse_loopback("10.0.0.1:1").is_err());
    }
}
