//! The URL that names an issuer. Compared byte for byte with a token's `iss`, never normalized.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::domain::text;

/// The longest URL, in bytes.
const MAX_URL: usize = 512;
/// The longest DNS name, in bytes (RFC 1035 section 2.3.4, without the length and the root's octet).
const MAX_NAME: usize = 253;
/// The longest label of a DNS name.
const MAX_LABEL: usize = 63;

/// `https://HOST[:PORT][/PATH]`, as OpenID Connect Discovery 1.0 section 3 defines an issuer: without a query or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IssuerUrl(String);

/// Why a text is not an issuer's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerUrlError {
    /// It is empty or too long.
    #[error("an issuer's URL has 1 to {MAX_URL} bytes")]
    Length,
    /// It does not start with `https://`.
    #[error("an issuer's URL starts with https://")]
    Scheme,
    /// A user name or password stands before the host.
    #[error("an issuer's URL has no user name or password")]
    UserInfo,
    /// There is a `?`.
    #[error("an issuer's URL has no query")]
    Query,
    /// There is a `#`.
    #[error("an issuer's URL has no fragment")]
    Fragment,
    /// The host is neither a DNS name nor an IP address.
    #[error("an issuer's URL has a DNS name, an IPv4 address, or an IPv6 address in brackets as its host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port of an issuer's URL is a number from 1 to 65535")]
    Port,
    /// The path has a character that URLs do not allow, or a segment `.` or `..`.
    #[error("the path of an issuer's URL has only characters that URLs allow, and no segment . or ..")]
    Path,
}

impl IssuerUrlError {
    /// What to do about it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            Self::Scheme | Self::Query | Self::Fragment => Some(
                "copy the claim `iss` of one of its tokens, such as https://token.actions.githubusercontent.com",
            ),
            Self::Length | Self::UserInfo | Self::Host | Self::Port | Self::Path => None,
        }
    }
}

impl IssuerUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, IssuerUrlError> {
        if text.is_empty() || text.len() > MAX_URL {
            return Err(IssuerUrlError::Length);
        }
        let rest = text.strip_prefix("https://").ok_or(IssuerUrlError::Scheme)?;
        // Before the host: `https://issuer.example#@evil.example` leads to different hosts in different parsers.
        if rest.contains('#') {
            return Err(IssuerUrlError::Fragment);
        }
        if rest.contains('?') {
            return Err(IssuerUrlError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(IssuerUrlError::UserInfo);
        }
        check_authority(authority)?;
        check_path(path)?;
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its metadata is: OpenID Connect Discovery 1.0 section 4.
    pub(crate) fn discovery_url(&self) -> String {
        // "Any terminating / MUST be removed before appending /.well-known/openid-configuration."
        let base = self.0.strip_suffix('/').unwrap_or(&self.0);
        format!("{base}/.well-known/openid-configuration")
    }
}

fn check_authority(authority: &str) -> Result<(), IssuerUrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(IssuerUrlError::Host)?;
            // `Ipv6Addr` refuses a zone, which means something on one machine only.
            address.parse::<Ipv6Addr>().map_err(|_| IssuerUrlError::Host)?;
            (None, after)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (Some(host), port)
        }
    };
    if let Some(port) = port.strip_prefix(':') {
        // `u16::from_str` accepts a plus sign, and leading zeros would make a second text of the same port.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        port.parse::<u16>().ok().filter(|_| digits).ok_or(IssuerUrlError::Port)?;
    } else if !port.is_empty() {
        return Err(IssuerUrlError::Port);
    }
    match host {
        Some(host) if !is_host(host) => Err(IssuerUrlError::Host),
        Some(_) | None => Ok(()),
    }
}

fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    // `127.1` and `0x7f000001` have the form of DNS names, but resolvers read them as addresses.
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let is_label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=MAX_LABEL).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= MAX_NAME && !numeric && host.split('.').all(is_label)
}

fn check_path(path: &str) -> Result<(), IssuerUrlError> {
    // RFC 3986 section 3.3: unreserved, percent-encoded, sub-delims, ":" and "@".
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte);
    // Servers and caches resolve dot segments, so that the metadata would come from another path than the URL says.
    if !path.bytes().all(allowed) || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(IssuerUrlError::Path);
    }
    Ok(())
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for IssuerUrl {
    type Err = IssuerUrlError;

    fn from_str(text: &str) -> Result<Self, IssuerUrlError> {
        Self::parse(text)
    }
}

text::serde_as_text!(as_str IssuerUrl, "an issuer's URL such as https://token.actions.githubusercontent.com");
