//! A source of requests, as limits count it: an address, a network of addresses that cost nothing, or the Unix socket.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, an IPv6 network of 64 bits (one household or machine), or the Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SourceNetwork {
    /// The peers of the socket are local users that its permissions let in. They are one source.
    Socket,
    /// The address as IPv6, with the last 64 bits zero unless it is an IPv4 address.
    Network([u8; 16]),
}

impl SourceNetwork {
    /// The source of an address; `None` is the Unix socket.
    pub(crate) fn from_address(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Socket,
            // A dual-stack listener reports IPv4 peers as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2): one form for both.
            Some(IpAddr::V4(v4)) => Self::Network(v4.to_ipv6_mapped().octets()),
            // Anyone with IPv6 has a whole /64 (RFC 6177), so single addresses cost an attacker nothing.
            Some(IpAddr::V6(v6)) => Self::Network(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_its_ipv4_one() {
        let parse = |text: &str| SourceNetwork::from_address(Some(text.parse().unwrap()));
        assert_eq!(parse("2001:db8:1:2:3::1"), parse("2001:db8:1:2:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.2"), parse("192.0.2.1"));
    }
}
