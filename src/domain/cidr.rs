//! A block of network addresses that a ticket may be limited to. Never resolves a name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::domain::text;

/// A block such as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632, RFC 4291); an address alone is a block of one.
///
/// IPv4 addresses mapped into IPv6 (`::ffff:10.0.0.1`) are IPv4 here, in blocks and in addresses, so that a listener
/// on `::` and one on `0.0.0.0` judge the same machine alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

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
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let whole = IpNet::from(address);
        let network = match length {
            None => whole,
            Some(digits) => {
                let max = whole.max_prefix_len();
                // ipnet's parser accepts `08` and `+8`, which others read as octal or not at all.
                let length = digits.parse().ok().filter(|length: &u8| length.to_string() == digits);
                length.and_then(|length| IpNet::new(address, length).ok()).ok_or(CidrError::Length { max })?
            }
        };
        let network = unmap(network);
        // Either the address or the length could be the mistake, and a guess would admit other machines.
        if network.trunc() != network {
            return Err(CidrError::HostBits);
        }
        Ok(Self(network))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// `::ffff:a.b.c.d/n` is an IPv4 block when the prefix covers the mapping; when shorter it is an IPv6 block like any other.
fn unmap(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => {
            IpNet::new(address, length).unwrap_or(network)
        }
        _ => network,
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        Self::parse(text)
    }
}

text::serde_as_text!(Cidr, "a network such as 10.0.0.0/8");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(block: &str, address: &str) -> bool {
        Cidr::parse(block).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn blocks_hold_their_addresses() {
        for (block, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/31", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "fe80::1", "10.0.0.1"),
            ("2001:db8::8000/113", "2001:db8::ffff", "2001:db8::7fff"),
        ] {
            assert!(contains(block, inside), "{inside} in {block}");
            assert!(!contains(block, outside), "{outside} not in {block}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3"));
        assert_eq!(Cidr::parse("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Cidr::parse("::ffff:10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(Cidr::parse("::ffff:0:0/96").unwrap().to_string(), "0.0.0.0/0");
    }

    #[test]
    fn faults_are_told_apart() {
        for bad in
            ["", "/8", "10.0.0", "10.0.0.0.0/8", "host/8", "10.0.0.0 /8", "fe80::1%eth0", "010.0.0.0/8"]
        {
            assert_eq!(Cidr::parse(bad), Err(CidrError::Address), "{bad:?}");
        }
        for bad in [
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
        ] {
            assert_eq!(Cidr::parse(bad), Err(CidrError::Length { max: 32 }), "{bad:?}");
        }
        assert_eq!(Cidr::parse("::/129"), Err(CidrError::Length { max: 128 }));
        for bad in ["10.0.0.1/8", "::1/127", "::ffff:10.0.0.0/90", "1.2.3.4/0"] {
            assert_eq!(Cidr::parse(bad), Err(CidrError::HostBits), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_comparing_leading_bits(block in any::<u32>(), length in 0_u8..=32, address in any::<u32>()) {
            let mask = u32::MAX.checked_shl(u32::from(32 - length)).unwrap_or(0);
            let text = format!("{}/{length}", std::net::Ipv4Addr::from_bits(block & mask));
            let parsed = Cidr::parse(&text).unwrap();
            prop_assert_eq!(parsed.to_string(), text);
            let address = std::net::Ipv4Addr::from_bits(address);
            prop_assert_eq!(parsed.contains(address.into()), address.to_bits() & mask == block & mask);
            prop_assert_eq!(parsed.contains(address.to_ipv6_mapped().into()), parsed.contains(address.into()));
        }
    }
}
