//! Which addresses the store may contact on behalf of an organization. Without it, an issuer's URL would make the store send
//! requests inside its own network (server-side request forgery): to metadata services, databases and other tenants' machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use crate::domain::cidr::Cidr;

/// IPv4 blocks that are private, reserved, or lead to the machine's own platform.
///
/// IANA IPv4 Special-Purpose Address Registry, all entries; multicast (RFC 5771) and class E (RFC 1112).
const REFUSED_V4: [&str; 17] = [
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private
    "100.64.0.0/10",   // carrier-grade NAT; Alibaba Cloud's metadata are at 100.100.100.200
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local; the metadata of AWS, Azure, GCP and most others are at 169.254.169.254
    "172.16.0.0/12",   // private
    "192.0.0.0/24",    // protocol assignments; Oracle Cloud's metadata are at 192.0.0.192
    "192.0.2.0/24",    // documentation
    "192.31.196.0/24", // AS112
    "192.52.193.0/24", // AMT
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "192.175.48.0/24", // AS112
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/3",     // multicast, class E and broadcast
];

/// Azure's virtual public address for its agent and DNS, the same on every machine (Azure documentation, "What is IP address
/// 168.63.129.16?").
const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// IPv6 blocks within 2000::/3 that are not ordinary addresses. Everything outside of 2000::/3 is refused: loopback,
/// link-local, unique local (with the metadata of AWS at fd00:ec2::254 and of GCP at fd20:ce::254), multicast, and what nobody
/// has been given yet.
///
/// IANA IPv6 Special-Purpose Address Registry.
const REFUSED_V6: [&str; 5] = [
    "2001::/23",         // protocol assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32",     // documentation
    "2002::/16",         // 6to4, which contains an IPv4 address
    "2620:4f:8000::/48", // AS112
    "3fff::/20",         // documentation
];

/// NAT64 (RFC 6052): the last 32 bits are an IPv4 address, at which the connection ends.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

static REFUSED: LazyLock<Vec<Cidr>> = LazyLock::new(|| {
    REFUSED_V4.iter().chain(&REFUSED_V6).filter_map(|block| Cidr::parse(block).ok()).collect()
});

/// Where issuers may be, besides at public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Private and reserved networks that the operator permits.
    pub(crate) allowed: Vec<Cidr>,
}

impl EgressPolicy {
    /// Whether a connection to this very address is permitted.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let ends_at = destination(address);
        let listed = |address| self.allowed.iter().any(|block| block.contains(address));
        // Both forms: an operator may list the address as it is resolved, or where it leads.
        listed(address) || listed(ends_at) || is_public(ends_at)
    }
}

/// Where packets to an address arrive: the IPv4 address within a mapped or translated one.
fn destination(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        canonical => canonical,
    }
}

fn is_public(address: IpAddr) -> bool {
    let global = match address {
        IpAddr::V4(v4) => v4 != AZURE_WIRE_SERVER,
        IpAddr::V6(v6) => is_global_unicast(v6),
    };
    global && !REFUSED.iter().any(|block| block.contains(address))
}

/// 2000::/3, from which all public addresses are given out (IANA IPv6 Global Unicast Address Assignments).
fn is_global_unicast(address: Ipv6Addr) -> bool {
    address.segments()[0] >> 13 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: &EgressPolicy, address: &str) -> bool {
        policy.permits(address.parse().unwrap())
    }

    #[test]
    fn every_block_is_read() {
        assert_eq!(REFUSED.len(), REFUSED_V4.len() + REFUSED_V6.len());
    }

    #[test]
    fn public_addresses_are_permitted() {
        let policy = EgressPolicy::default();
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "140.82.112.3",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(permits(&policy, address), "{address}");
        }
    }

    #[test]
    fn private_and_reserved_addresses_are_refused_in_every_form() {
        let policy = EgressPolicy::default();
        let v4 = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for address in v4 {
            assert!(!permits(&policy, address), "{address}");
            assert!(!permits(&policy, &format!("::ffff:{address}")), "mapped {address}");
            assert!(!permits(&policy, &format!("64:ff9b::{address}")), "translated {address}");
            // The deprecated compatible form, and the translation for use within one network, whatever they contain.
            assert!(!permits(&policy, &format!("::{address}")), "compatible {address}");
            assert!(!permits(&policy, &format!("64:ff9b:1::{address}")), "locally translated {address}");
        }
        for address in [
            "::",
            "::1",
            "::1.1.1.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:101:101::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(&policy, address), "{address}");
        }
    }

    #[test]
    fn the_operator_can_list_networks() {
        let allowed = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"].map(|block| Cidr::parse(block).unwrap());
        let policy = EgressPolicy { allowed: allowed.into() };
        for address in ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1", "1.1.1.1"]
        {
            assert!(permits(&policy, address), "{address}");
        }
        for address in ["10.2.0.1", "192.168.0.1", "::1", "fe80::1", "169.254.169.254"] {
            assert!(!permits(&policy, address), "{address}");
        }
    }
}
