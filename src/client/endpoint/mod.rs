//! The address of a store: `https://HOST:PORT[#sha256/PIN[,sha256/PIN]]`, `http://` on loopback, or `unix:/PATH`.
//!
//! It rejects plain HTTP over a network. Its errors never quote the address, which may contain a password.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use rustls::pki_types::{DnsName, ServerName};
use thiserror::Error;

use crate::domain::pin::PinPair;

/// The longest path of a Unix socket: `sun_path` of unix(7) without its NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Where a store listens, with the pins of its TLS keys if the address has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) kind: EndpointKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    Tls { host: Host, port: u16, pins: Option<PinPair> },
    Loopback { host: Host, port: u16 },
    Unix { path: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(DnsName<'static>),
}

/// Why a text is not a store's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Neither `https://`, `http://` nor `unix:`.
    #[error("the store's address has no known scheme")]
    Scheme,
    /// Plain HTTP to another machine.
    #[error("the store's address uses plain http to another machine")]
    PlainRemote,
    /// No host, or one that is neither a DNS name nor an IP address.
    #[error("the store's address has no valid host")]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error("the store's address has no valid port")]
    Port,
    /// The text after `#` is not a pin, or the address does not use TLS.
    #[error("the store's address has no valid pin after the #")]
    Pin,
    /// A user name or password before the host.
    #[error("the store's address contains a user name or password")]
    UserInfo,
    /// A path or query after the port.
    #[error("the store's address has something after the port")]
    Trailing,
    /// The path of a Unix socket is empty, relative, too long or has a NUL.
    #[error("the store's address has no valid socket path")]
    SocketPath,
}

impl EndpointError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Scheme => "write https://HOST:PORT, http://127.0.0.1:PORT or unix:/PATH",
            Self::PlainRemote => {
                "use https://; plain http would expose the credential and every value to the network, so it is allowed \
                 only for 127.0.0.0/8, [::1] and localhost"
            }
            Self::Host => "write a DNS name, an IPv4 address, or an IPv6 address in brackets",
            Self::Port => "write a number from 1 to 65535 after the host",
            Self::Pin => {
                "copy the whole pin, #sha256/ and 43 characters, after an https:// address; or leave it out"
            }
            Self::UserInfo => "remove it from the address, and set the credential in DROPSAFE_TOKEN",
            Self::Trailing => "end the address after the port: a store has no path",
            Self::SocketPath => "write unix: and an absolute path of at most 107 bytes",
        }
    }
}

impl Endpoint {
    /// Parses an address. Without a port, `https` means 443 and `http` 80.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path);
        }
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(EndpointError::Scheme);
        };

        let (address, pins) = match rest.split_once('#') {
            None => (rest, None),
            Some((address, pins)) => (address, Some(pins.parse().map_err(|_| EndpointError::Pin)?)),
        };
        // Before the host is parsed: `https://store.example@evil.example` leads to the second name.
        if address.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let authority = address.strip_suffix('/').unwrap_or(address);
        // The backslash too, which browsers treat like a slash (https://url.spec.whatwg.org/#special-scheme).
        if authority.contains(['/', '?', '\\']) {
            return Err(EndpointError::Trailing);
        }
        let (host, port) = parse_authority(authority)?;
        let kind = match tls {
            // Not the store's own port 7373: the URL means what it means everywhere.
            true => EndpointKind::Tls { host, port: port.unwrap_or(443), pins },
            false if pins.is_some() => return Err(EndpointError::Pin),
            false if !host.is_loopback() => return Err(EndpointError::PlainRemote),
            false => EndpointKind::Loopback { host, port: port.unwrap_or(80) },
        };
        Ok(Self { kind })
    }

    /// Parses `HOST[:PORT]` of a cloud's metadata service, which answers in plain HTTP: what is sent there does not leave the
    /// machine's own host.
    #[cfg(feature = "agent")]
    pub(crate) fn parse_metadata(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = parse_authority(text)?;
        let is_linked = match &host {
            // Link-local, and Google's address on networks without IPv4.
            Host::Address(IpAddr::V4(address)) => address.is_link_local() || address.is_loopback(),
            Host::Address(IpAddr::V6(address)) => {
                *address == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254) || address.is_loopback()
            }
            Host::Name(name) => name.as_ref() == "metadata.google.internal" || host.is_loopback(),
        };
        match is_linked {
            true => Ok(Self { kind: EndpointKind::Loopback { host, port: port.unwrap_or(80) } }),
            false => Err(EndpointError::PlainRemote),
        }
    }

    /// Adds `pins` if the endpoint uses TLS and has none yet.
    #[must_use]
    pub(crate) fn with_default_pins(mut self, pins: PinPair) -> Self {
        // The address's own pins win, as the more specific ones.
        if let EndpointKind::Tls { pins: own @ None, .. } = &mut self.kind {
            *own = Some(pins);
        }
        self
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match &self.kind {
            EndpointKind::Tls { host, .. } => host.is_loopback(),
            EndpointKind::Loopback { .. } | EndpointKind::Unix { .. } => true,
        }
    }

    /// The pins of the server's keys.
    pub(crate) fn pins(&self) -> Option<&PinPair> {
        match &self.kind {
            EndpointKind::Tls { pins, .. } => pins.as_ref(),
            EndpointKind::Loopback { .. } | EndpointKind::Unix { .. } => None,
        }
    }

    /// The value of the `Host` header (RFC 9112, section 3.2).
    pub(crate) fn authority(&self) -> String {
        match &self.kind {
            EndpointKind::Tls { host, port: 443, .. } => host.to_string(),
            EndpointKind::Loopback { host, port: 80 } => host.to_string(),
            EndpointKind::Tls { host, port, .. } | EndpointKind::Loopback { host, port } => {
                format!("{host}:{port}")
            }
            // HTTP/1.1 requires the header, but a socket has no host name.
            EndpointKind::Unix { .. } => "localhost".to_owned(),
        }
    }
}

/// The address without its pin, for messages.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            EndpointKind::Tls { .. } => write!(f, "https://{}", self.authority()),
            EndpointKind::Loopback { .. } => write!(f, "http://{}", self.authority()),
            EndpointKind::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Host {
    /// The name that TLS sends to the server and, without a pin, verifies.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        match self {
            Self::Address(address) => ServerName::IpAddress((*address).into()),
            Self::Name(name) => ServerName::DnsName(name.clone()),
        }
    }

    /// The addresses that are known without a resolver. `None` for any name but `localhost`.
    pub(crate) fn literal(&self) -> Option<Vec<IpAddr>> {
        match self {
            Self::Address(address) => Some(vec![*address]),
            Self::Name(name) if name.as_ref().eq_ignore_ascii_case("localhost") => {
                // No resolver may point it elsewhere (RFC 6761, section 6.3), and plain HTTP relies on that.
                Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
            }
            Self::Name(_) => None,
        }
    }

    fn is_loopback(&self) -> bool {
        self.literal().is_some_and(|addresses| addresses.iter().all(IpAddr::is_loopback))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name.as_ref()),
        }
    }
}

fn parse_unix(path: &str) -> Result<Endpoint, EndpointError> {
    if !path.starts_with('/') || path.len() > MAX_SOCKET_PATH || path.contains('\0') {
        return Err(EndpointError::SocketPath);
    }
    Ok(Endpoint { kind: EndpointKind::Unix { path: path.into() } })
}

fn parse_authority(authority: &str) -> Result<(Host, Option<u16>), EndpointError> {
    if let Some(rest) = authority.strip_prefix('[') {
        // `Ipv6Addr` refuses a zone (`fe80::1%eth0`), which means something on one machine only.
        let (inside, after) = rest.split_once(']').ok_or(EndpointError::Host)?;
        let address: Ipv6Addr = inside.parse().map_err(|_| EndpointError::Host)?;
        let port = match after {
            "" => None,
            _ => Some(parse_port(after.strip_prefix(':').ok_or(EndpointError::Port)?)?),
        };
        return Ok((Host::Address(address.into()), port));
    }
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, text)) => (host, Some(parse_port(text)?)),
    };
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok((Host::Address(address.into()), port));
    }
    // `127.1` and `0x7f000001` have the form of DNS names, but resolvers read them as addresses.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        return Err(EndpointError::Host);
    }
    let name = DnsName::try_from(host.to_owned()).map_err(|_| EndpointError::Host)?;
    Ok((Host::Name(name), port))
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    // `u16::from_str` accepts a plus sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EndpointError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pin::Pin;

    const PIN: &str = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn parses_every_form() {
        for (text, display, authority) in [
            ("https://store.example:7373", "https://store.example:7373", "store.example:7373"),
            ("https://store.example", "https://store.example", "store.example"),
            ("https://10.1.2.3:7373/", "https://10.1.2.3:7373", "10.1.2.3:7373"),
            ("https://[2001:db8::1]:7373", "https://[2001:db8::1]:7373", "[2001:db8::1]:7373"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]", "[2001:db8::1]"),
            ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1"),
            ("http://127.9.9.9:7373", "http://127.9.9.9:7373", "127.9.9.9:7373"),
            ("http://[::1]:7373", "http://[::1]:7373", "[::1]:7373"),
            ("http://localhost:7373", "http://localhost:7373", "localhost:7373"),
            ("unix:/run/dropsafe.sock", "unix:/run/dropsafe.sock", "localhost"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), display);
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
        }
    }

    #[test]
    fn the_pins_of_the_address_win() {
        let (own, other) = (PIN.parse().unwrap(), PinPair::from(Pin([7; 32])));
        let endpoint = Endpoint::parse(&format!("https://store.example:7373#{PIN}")).unwrap();
        assert_eq!(endpoint.pins(), Some(&own));
        assert_eq!(endpoint.clone().with_default_pins(other).pins(), Some(&own));
        assert!(!endpoint.to_string().contains('#'));

        let bare = Endpoint::parse("https://store.example").unwrap();
        assert_eq!(bare.pins(), None);
        assert_eq!(bare.with_default_pins(other).pins(), Some(&other));
        assert_eq!(Endpoint::parse("unix:/s").unwrap().with_default_pins(other).pins(), None);

        let two = format!("{PIN},{}", Pin([7; 32]));
        let endpoint = Endpoint::parse(&format!("https://store.example#{two}")).unwrap();
        assert_eq!(endpoint.pins().map(ToString::to_string), Some(two));
    }

    #[test]
    fn each_invalid_address_has_its_error() {
        use EndpointError::*;
        for (text, why) in [
            ("", Scheme),
            ("store.example:7373", Scheme),
            ("ftp://store.example", Scheme),
            ("HTTPS://store.example", Scheme),
            ("http://store.example:7373", PlainRemote),
            ("http://10.0.0.1:7373", PlainRemote),
            ("http://localhost.evil.example:1", PlainRemote),
            ("http://[::ffff:10.0.0.1]:1", PlainRemote),
            ("http://127.0.0.1@evil.example:1", UserInfo),
            ("https://me:word@store.example", UserInfo),
            ("https://", Host),
            ("https://:7373", Host),
            ("https://a b:1", Host),
            ("https://a\r\nX-Evil: 1", Port),
            ("https://a\r\n", Host),
            ("https://127.1:7373", Host),
            ("https://2130706433", Host),
            ("https://0x7f000001", Host),
            ("https://[::1", Host),
            ("https://[fe80::1%eth0]:1", Host),
            ("https://[::1]7373", Port),
            ("https://a:", Port),
            ("https://a:0", Port),
            ("https://a:+1", Port),
            ("https://a:65536", Port),
            ("https://a:1:2", Port),
            ("https://a:1/v1", Trailing),
            ("https://a:1?x", Trailing),
            ("https://a:1#", Pin),
            ("https://a:1#sha256/short", Pin),
            ("unix:", SocketPath),
            ("unix:relative", SocketPath),
            ("unix:/a\0b", SocketPath),
        ] {
            assert_eq!(Endpoint::parse(text), Err(why), "{text:?}");
            assert!(!why.hint().is_empty());
        }
        for pins in
            [format!("{PIN},"), format!(",{PIN}"), format!("{PIN},{PIN},{PIN}"), format!("{PIN} {PIN}")]
        {
            assert_eq!(Endpoint::parse(&format!("https://a:1#{pins}")), Err(Pin), "{pins}");
        }
        assert_eq!(Endpoint::parse(&format!("http://127.0.0.1:1#{PIN}")), Err(Pin));
        assert_eq!(Endpoint::parse(&format!("unix:/{}", "a".repeat(107))), Err(SocketPath));
    }
}
