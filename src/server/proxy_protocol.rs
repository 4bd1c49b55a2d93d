//! The header of the PROXY protocol, version 2, with which a load balancer passes on the address of its client
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2). Reads exactly the header, and only from
//! configured sources: from anybody else these bytes would let a client choose its own address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::domain::cidr::Cidr;

/// Addresses take 36 bytes at most. The rest is for extensions, of which clouds send some hundred bytes.
const MAX_REST: usize = 2048;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, without and with an address (section 2.2, the 13th byte).
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// TCP over IPv4 and over IPv6 (the 14th byte).
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Why a connection of a load balancer is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the PROXY header took too long")]
    Timeout,
    #[error("the connection ended within the PROXY header")]
    Incomplete(#[source] io::Error),
    #[error("the load balancer sends version 1 of the PROXY protocol; configure version 2")]
    VersionOne,
    #[error(
        "the connection does not begin with a PROXY header; configure the load balancer to send version 2"
    )]
    Missing,
    #[error("the PROXY header has another version or command than version 2 defines")]
    Command,
    #[error("the PROXY header is longer than {MAX_REST} bytes")]
    TooLong,
    /// The protocol allows to use the load balancer's own address here, but that would pass for the client's.
    #[error("the PROXY header has no address of TCP over IPv4 or IPv6")]
    Address,
}

/// The load balancers that send the header.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxySources(Vec<Cidr>);

impl ProxySources {
    pub(crate) fn new(sources: Vec<Cidr>) -> Self {
        Self(sources)
    }

    /// Returns the client's address of a connection from `peer`, and reads the header if `peer` is a load balancer.
    pub(crate) async fn client_address<S>(
        &self,
        stream: &mut S,
        peer: IpAddr,
        timeout: Duration,
    ) -> Result<IpAddr, ProxyHeaderError>
    where
        S: AsyncRead + Unpin,
    {
        if !self.0.iter().any(|source| source.contains(peer)) {
            return Ok(peer);
        }
        match tokio::time::timeout(timeout, read_header(stream)).await {
            // The load balancer's own connection, which checks whether this server is alive.
            Ok(Ok(None)) => Ok(peer),
            Ok(Ok(Some(client))) => Ok(client.to_canonical()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProxyHeaderError::Timeout),
        }
    }
}

/// Reads a header. Returns the client's address, or `None` for the command LOCAL.
async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<IpAddr>, ProxyHeaderError> {
    let mut signature = [0; 12];
    // Exactly: what follows the header belongs to TLS. Twelve bytes are less than any header of either version.
    stream.read_exact(&mut signature).await.map_err(ProxyHeaderError::Incomplete)?;
    if signature.starts_with(b"PROXY ") {
        return Err(ProxyHeaderError::VersionOne);
    }
    if signature != SIGNATURE {
        return Err(ProxyHeaderError::Missing);
    }
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await.map_err(ProxyHeaderError::Incomplete)?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(ProxyHeaderError::TooLong);
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.map_err(ProxyHeaderError::Incomplete)?;
    match (command, family) {
        // Receivers ignore the addresses of this command (section 2.2).
        (LOCAL, _) => Ok(None),
        (PROXY, TCP4) => first_address::<4, Ipv4Addr>(&rest).map(Some),
        (PROXY, TCP6) => first_address::<16, Ipv6Addr>(&rest).map(Some),
        (PROXY, _) => Err(ProxyHeaderError::Address),
        _ => Err(ProxyHeaderError::Command),
    }
}

/// The source address, which comes first: two addresses and two ports of two bytes each follow in all.
fn first_address<const LENGTH: usize, A>(rest: &[u8]) -> Result<IpAddr, ProxyHeaderError>
where
    A: From<[u8; LENGTH]> + Into<IpAddr>,
{
    if rest.len() < 2 * LENGTH + 4 {
        return Err(ProxyHeaderError::Address);
    }
    let (first, _) = rest.split_first_chunk::<LENGTH>().ok_or(ProxyHeaderError::Address)?;
    Ok(A::from(*first).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BALANCER: [u8; 4] = [192, 0, 2, 1];

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// The address that the server takes for the client's, and the bytes that remain for TLS.
    async fn read_from(peer: [u8; 4], bytes: &[u8]) -> (Result<IpAddr, ProxyHeaderError>, usize) {
        let sources = ProxySources::new(vec!["192.0.2.0/28".parse().unwrap()]);
        let mut stream = bytes;
        let address = sources.client_address(&mut stream, peer.into(), Duration::from_secs(5)).await;
        (address, stream.len())
    }

    #[tokio::test]
    async fn the_address_is_the_clients_and_the_rest_is_left_for_tls() {
        let tlv = [3, 0, 4, 1, 2, 3, 4];
        let v4 = [&[203, 0, 113, 9, 10, 0, 0, 1, 1, 2, 3, 4][..], &tlv].concat();
        let (address, left) = read_from(BALANCER, &[&header(PROXY, TCP4, &v4)[..], b"hello"].concat()).await;
        assert_eq!((address.unwrap(), left), ([203, 0, 113, 9].into(), 5));
        let client: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let v6 = [&client.octets()[..], &[0; 20]].concat();
        assert_eq!(read_from(BALANCER, &header(PROXY, TCP6, &v6)).await.0.unwrap(), IpAddr::from(client));
        // A mapped address is the IPv4 address that tickets name.
        let mapped = [&Ipv4Addr::from([203, 0, 113, 9]).to_ipv6_mapped().octets()[..], &[0; 20]].concat();
        let address = read_from(BALANCER, &header(PROXY, TCP6, &mapped)).await.0.unwrap();
        assert_eq!(address, IpAddr::from([203, 0, 113, 9]));
    }

    #[tokio::test]
    async fn a_check_of_the_load_balancer_keeps_its_own_address() {
        for rest in [&[][..], &[203, 0, 113, 9, 10, 0, 0, 1, 1, 2, 3, 4]] {
            let (address, _) = read_from(BALANCER, &header(LOCAL, 0, rest)).await;
            assert_eq!(address.unwrap(), IpAddr::from(BALANCER));
        }
    }

    #[tokio::test]
    async fn anybody_elses_header_is_not_read() {
        let forged = header(PROXY, TCP4, &[10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4]);
        let (address, left) = read_from([192, 0, 2, 99], &forged).await;
        assert_eq!((address.unwrap(), left), ([192, 0, 2, 99].into(), forged.len()));
    }

    #[tokio::test]
    async fn a_header_that_is_not_version_2_is_refused() {
        use ProxyHeaderError as Error;

        let refused = async |bytes: &[u8]| read_from(BALANCER, bytes).await.0.unwrap_err();
        assert!(matches!(refused(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n").await, Error::VersionOne));
        assert!(matches!(refused(b"PROXY UNKNOWN\r\n").await, Error::VersionOne));
        // A TLS record with a ClientHello.
        assert!(matches!(refused(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 9, 9, 9]).await, Error::Missing));
        assert!(matches!(refused(&SIGNATURE[..9]).await, Error::Incomplete(_)));
        assert!(matches!(refused(&header(PROXY, TCP4, &[1; 11])).await, Error::Address));
        // UDP, a Unix socket, and no address at all.
        for family in [0x12, 0x31, 0] {
            assert!(matches!(refused(&header(PROXY, family, &[1; 216])).await, Error::Address));
        }
        assert!(matches!(refused(&header(0x11, TCP4, &[1; 12])).await, Error::Command));
        assert!(matches!(refused(&header(PROXY, TCP4, &[1; MAX_REST + 1])).await, Error::TooLong));
    }

    #[tokio::test]
    async fn a_load_balancer_that_says_nothing_is_let_go() {
        let (mut stream, _other) = tokio::io::duplex(64);
        let sources = ProxySources::new(vec!["192.0.2.1".parse().unwrap()]);
        let refused = sources.client_address(&mut stream, BALANCER.into(), Duration::from_millis(10)).await;
        assert!(matches!(refused, Err(ProxyHeaderError::Timeout)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(rest in proptest::collection::vec(any::<u8>(), 0..100), signed in any::<bool>()) {
            let bytes = if signed { [&SIGNATURE[..], &rest].concat() } else { rest };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _ = runtime.block_on(read_from(BALANCER, &bytes));
        }
    }
}
