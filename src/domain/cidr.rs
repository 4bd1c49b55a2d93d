//! A block of network addresses that a ticket may be limited to. Never resolves a name.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::domain::text;

/// A block such as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632, RFC 4291); an address alone is a block of one.
///
/// IPv4 addresses mapped into IPv6 (`::ffff:10.0.0.1`) are IPv4 here, in blocks and in addresses, so that a listener
/// on `::` and one on `0.0.0.0` judge the same machine alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash is no address.
    #[error("expected an IP address or a network such as 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// The part after the slash is no number in range.
    #[error("the prefix length must be a number from 0 to {max}")]
    Length {
        /// The largest prefix length for this kind of address.
        max: u8,
    },
    /// Bits after the prefix are set, so that either could be meant.
    #[error("the address has bits beyond the prefix length")]
    HostBits,
}

impl CidrError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::HostBits => {
                Some("write the first address of the network, or the address without a prefix length")
            }
            Self::Address | Self::Length { .. } => None,
        }
    }
}

impl Cidr {
    /// Reads a block.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let max = width(address);
        let length = length.map_or(Ok(max), |digits| parse_length(digits, max))?;
        let (address, length) = unmap(address, length);
        if bits(address) & !mask(address, length) != 0 {
            return Err(CidrError::HostBits);
        }
        Ok(Self { address, length })
    }

    /// Whether the address lies in this block.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & mask(self.address, self.length) == bits(self.address)
    }
}

fn parse_length(digits: &str, max: u8) -> Result<u8, CidrError> {
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    match digits.parse() {
        Ok(length) if plain && !padded && length <= max => Ok(length),
        _ => Err(CidrError::Length { max }),
    }
}

/// `::ffff:a.b.c.d/n` is an IPv4 block when the prefix covers the mapping; when shorter it is an IPv6 block like any other.
fn unmap(address: IpAddr, length: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), length.checked_sub(96)) {
        (canonical @ IpAddr::V4(_), Some(rest)) if address.is_ipv6() => (canonical, rest),
        _ => (address, length),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

fn mask(address: IpAddr, length: u8) -> u128 {
    let host = u32::from(width(address).saturating_sub(length));
    let all = if address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        Self::parse(text)
    }
}

text::serde_as_text!(Cidr, "a network such as 10.0.0.0/8");
