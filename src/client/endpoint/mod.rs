//! The address of a store, parsed once: `https://HOST:PORT[#sha256/PIN]`, `http://` on loopback, `unix:/PATH`.
//!
//! It never lets a credential travel unencrypted over a network, and its errors never quote the address: a password
//! may have been typed into it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use rustls::pki_types::{DnsName, ServerName};
use thiserror::Error;

use crate::domain::pin::Pin;

/// The longest path a Unix socket can have (`sun_path` of unix(7), less its final NUL).
const SOCKET_PATH: usize = 107;

/// Where a store listens, and for TLS by what it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) way: EndpointKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    Tls { host: Host, port: u16, pin: Option<Pin> },
    Loopback { host: Host, port: u16 },
    Unix { path: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(DnsName<'static>),
}

/// Why a text is not the address of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Neither `https://`, `http://` nor `unix:`.
    #[error("the store's address has no known scheme")]
    Scheme,
    /// Plain HTTP to somewhere that is not this machine.
    #[error("the store's address is plain http to another machine")]
    PlainRemote,
    /// No host, or one that is neither a DNS name nor an IP address.
    #[error("the store's address has no valid host")]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error("the store's address has no valid port")]
    Port,
    /// What follows `#` is not a pin, or stands where no TLS is.
    #[error("the store's address has no valid pin after the #")]
    Pin,
    /// A user name or password stands before the host.
    #[error("the store's address carries a user name or password")]
    UserInfo,
    /// A path, query or parameter follows the host.
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
                "use https://; plain http would show the credential and every value to the network and is taken \
                 only for 127.0.0.0/8, [::1] and localhost"
            }
            Self::Host => "write a DNS name, an IPv4 address, or an IPv6 address in brackets",
            Self::Port => "write a number from 1 to 65535 after the host",
            Self::Pin => {
                "copy the whole pin, #sha256/ and 43 characters, after an https:// address; or leave it out"
            }
            Self::UserInfo => "remove it from the address: the credential is given apart (DROPSAFE_TOKEN)",
            Self::Trailing => "end the address after the port: a store has no path",
            Self::SocketPath => "write unix: and an absolute path of at most 107 bytes",
        }
    }
}

impl Endpoint {
    /// Parses an address. Without a port, `https` means 443 and `http` 80.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(EndpointError::Scheme);
        };

        let (address, pin) = match rest.split_once('#') {
            None => (rest, None),
            Some((address, pin)) => (address, Some(pin.parse::<Pin>().map_err(|_| EndpointError::Pin)?)),
        };
        if address.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let authority = address.strip_suffix('/').unwrap_or(address);
        if authority.contains(['/', '?', '\\']) {
            return Err(EndpointError::Trailing);
        }
        let (host, port) = authority_parts(authority)?;
        let way = match tls {
            true => EndpointKind::Tls { host, port: port.unwrap_or(443), pin },
            false if pin.is_some() => return Err(EndpointError::Pin),
            false if !host.is_loopback() => return Err(EndpointError::PlainRemote),
            false => EndpointKind::Loopback { host, port: port.unwrap_or(80) },
        };
        Ok(Self { way })
    }

    /// The same endpoint, known by `pin` where it speaks TLS and its address named no pin of its own.
    #[must_use]
    pub(crate) fn pinned(mut self, pin: Pin) -> Self {
        if let EndpointKind::Tls { pin: own @ None, .. } = &mut self.way {
            *own = Some(pin);
        }
        self
    }

    /// The pin of the server's key, when one is known.
    pub(crate) fn pin(&self) -> Option<&Pin> {
        match &self.way {
            EndpointKind::Tls { pin, .. } => pin.as_ref(),
            EndpointKind::Loopback { .. } | EndpointKind::Unix { .. } => None,
        }
    }

    /// What the `Host` header says (RFC 9112, section 3.2). A socket has no name; `localhost` stands for it.
    pub(crate) fn authority(&self) -> String {
        match &self.way {
            EndpointKind::Tls { host, port: 443, .. } => host.to_string(),
            EndpointKind::Loopback { host, port: 80 } => host.to_string(),
            EndpointKind::Tls { host, port, .. } | EndpointKind::Loopback { host, port } => {
                format!("{host}:{port}")
            }
            EndpointKind::Unix { .. } => "localhost".to_owned(),
        }
    }
}

/// The address without its pin: what messages name.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            EndpointKind::Tls { .. } => write!(f, "https://{}", self.authority()),
            EndpointKind::Loopback { .. } => write!(f, "http://{}", self.authority()),
            EndpointKind::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Host {
    /// The name that TLS asks for and, without a pin, checks.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        match self {
            Self::Address(address) => ServerName::IpAddress((*address).into()),
            Self::Name(name) => ServerName::DnsName(name.clone()),
        }
    }

    /// The addresses that need no asking: a literal's, and those of `localhost`, which no resolver may point
    /// elsewhere (RFC 6761, section 6.3).
    pub(crate) fn literal(&self) -> Option<Vec<IpAddr>> {
        match self {
            Self::Address(address) => Some(vec![*address]),
            Self::Name(name) if name.as_ref().eq_ignore_ascii_case("localhost") => {
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

fn unix(path: &str) -> Result<Endpoint, EndpointError> {
    if !path.starts_with('/') || path.len() > SOCKET_PATH || path.contains('\0') {
        return Err(EndpointError::SocketPath);
    }
    Ok(Endpoint { way: EndpointKind::Unix { path: path.into() } })
}

fn authority_parts(authority: &str) -> Result<(Host, Option<u16>), EndpointError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(EndpointError::Host)?;
        let address: Ipv6Addr = inside.parse().map_err(|_| EndpointError::Host)?;
        let port = match after {
            "" => None,
            _ => Some(port(after.strip_prefix(':').ok_or(EndpointError::Port)?)?),
        };
        return Ok((Host::Address(address.into()), port));
    }
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, text)) => (host, Some(port(text)?)),
    };
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok((Host::Address(address.into()), port));
    }
    // `127.1` and `0x7f000001` are DNS names by their letters, and resolvers read them as addresses.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        return Err(EndpointError::Host);
    }
    let name = DnsName::try_from(host.to_owned()).map_err(|_| EndpointError::Host)?;
    Ok((Host::Name(name), port))
}

fn port(text: &str) -> Result<u16, EndpointError> {
    // `u16::from_str` would take a plus sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EndpointError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn reads_every_form() {
        for (text, shown, authority) in [
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
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
        }
    }

    #[test]
    fn keeps_the_pin_of_its_own_address() {
        let own: Pin = PIN.parse().unwrap();
        let other = Pin([7; 32]);
        let endpoint = Endpoint::parse(&format!("https://store.example:7373#{PIN}")).unwrap();
        assert_eq!(endpoint.pin(), Some(&own));
        assert_eq!(endpoint.clone().pinned(other).pin(), Some(&own));
        assert!(!endpoint.to_string().contains('#'));

        let bare = Endpoint::parse("https://store.example").unwrap();
        assert_eq!(bare.pin(), None);
        assert_eq!(bare.pinned(other).pin(), Some(&other));
        assert_eq!(Endpoint::parse("unix:/s").unwrap().pinned(other).pin(), None);
    }

    #[test]
    fn refuses_with_a_reason() {
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
        assert_eq!(Endpoint::parse(&format!("http://127.0.0.1:1#{PIN}")), Err(Pin));
        assert_eq!(Endpoint::parse(&format!("unix:/{}", "a".repeat(107))), Err(SocketPath));
    }
}
