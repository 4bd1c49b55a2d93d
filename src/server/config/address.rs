//! Addresses to listen on and addresses to tell to others. Errors say what was expected, never what was found.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::domain::ticket::MAX_URL;
use crate::settings::parse::ExpectedForm;

/// The port when only a host is said.
const DEFAULT_PORT: u16 = 7373;

/// An address to listen on: `IP:PORT`, or `localhost:PORT`.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, ExpectedForm> {
    let expected = "expected an address and a port, such as 127.0.0.1:7373 or [::]:7373";
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| expected),
        None => text.parse().map_err(|_| expected),
    }
}

/// An address to listen on without TLS.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, ExpectedForm> {
    let address = listen(text)?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("without TLS the server listens on loopback only")
    }
}

/// An address under which clients reach the server: `https://HOST[:PORT]` or `HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedUrl {
    /// As a URL, with its port and without a path.
    pub(crate) url: String,
    /// The host: a name or an address, for the certificate.
    pub(crate) host: String,
}

impl FromStr for AdvertisedUrl {
    type Err = ExpectedForm;

    fn from_str(text: &str) -> Result<Self, ExpectedForm> {
        let expected =
            "expected a host and perhaps a port, such as vault.example:7373 or https://[2001:db8::1]:7373";
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(expected)?;
                (host, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or(expected)?)
            }
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { DEFAULT_PORT } else { port.parse().map_err(|_| expected)? };
        let shown = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            Ok(IpAddr::V4(v4)) => v4.to_string(),
            Err(_) if rest.starts_with('[') || !is_host_name(host) => return Err(expected),
            Err(_) => host.to_ascii_lowercase(),
        };
        let url = format!("https://{shown}:{port}");
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

/// What tickets carry when nothing is advertised: the addresses listened on. Every address of a machine has no name of
/// its own, so `host` stands for it when it can.
pub(crate) fn default_urls(listen: &[SocketAddr], host: Option<&str>) -> Vec<String> {
    let mut urls = Vec::new();
    for address in listen {
        let url = match host.filter(|host| address.ip().is_unspecified() && is_host_name(host)) {
            Some(host) => format!("https://{}:{}", host.to_ascii_lowercase(), address.port()),
            None if address.ip().is_unspecified() => format!("https://127.0.0.1:{}", address.port()),
            None => format!("https://{address}"),
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls.truncate(crate::domain::ticket::MAX_URLS);
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_becomes_a_url() {
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
    fn an_unspecified_address_is_told_by_the_hosts_name() {
        let listen: Vec<SocketAddr> =
            ["0.0.0.0:1", "[::]:1", "10.0.0.1:2"].map(|text| text.parse().unwrap()).into();
        assert_eq!(default_urls(&listen, Some("vault")), ["https://vault:1", "https://10.0.0.1:2"]);
        assert_eq!(default_urls(&listen, None), ["https://127.0.0.1:1", "https://10.0.0.1:2"]);
    }

    #[test]
    fn no_tls_is_for_loopback() {
        assert!(loopback("localhost:1").is_ok() && loopback("[::1]:1").is_ok());
        assert!(loopback("0.0.0.0:1").is_err() && loopback("10.0.0.1:1").is_err());
    }
}
