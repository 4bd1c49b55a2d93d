//! Names to addresses by the system's resolver, which blocks, so that the deadline holds all the same.
//!
//! An address that stands in the text, and `localhost`, ask nobody and start no thread.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::endpoint::Host;

/// The addresses of `host`, families alternating so that neither can hold up the other (RFC 8305, section 4); empty when
/// there are none.
pub(crate) async fn resolve(host: &Host, port: u16) -> Vec<SocketAddr> {
    let addresses = match host.literal() {
        Some(literal) => literal.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        None => ask(host.to_string(), port).await.unwrap_or_default(),
    };
    alternate(addresses)
}

/// getaddrinfo(3) on a thread of its own. Not tokio's blocking pool: its runtime waits for such a thread when it is
/// dropped, and a resolver that hangs would then hold up a process whose deadline has passed. This thread is left
/// behind, and execve(2) or the exit ends it.
async fn ask(name: String, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let (done, ours) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut ours = UnixStream::from_std(ours)?;

    let answer = Arc::clone(&found);
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        if let Ok(addresses) = (name.as_str(), port).to_socket_addrs() {
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = addresses.collect();
        }
        // Its end is what wakes the other side.
        drop(done);
    })?;
    ours.read_u8().await.ok();
    Ok(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut out: Vec<_> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    out.extend(second);
    out
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::client::endpoint::{Endpoint, EndpointKind};

    fn host(text: &str) -> Host {
        match Endpoint::parse(&format!("https://{text}:1")).unwrap().way {
            EndpointKind::Tls { host, .. } => host,
            _ => unreachable!(),
        }
    }

    #[tokio::test]
    async fn literals_and_localhost_resolve_to_themselves() {
        assert_eq!(resolve(&host("10.1.2.3"), 7).await, ["10.1.2.3:7".parse().unwrap()]);
        assert_eq!(resolve(&host("[::1]"), 7).await, ["[::1]:7".parse().unwrap()]);
        assert_eq!(
            resolve(&host("LocalHost"), 7).await,
            ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()]
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_has_no_address() {
        // RFC 6761, section 6.4: resolvers answer that it does not exist, and where there is none that is the same.
        assert!(resolve(&host("no.such.name.invalid"), 7).await.is_empty());
    }

    #[test]
    fn families_alternate_and_none_is_lost() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"]);
        assert_eq!(alternate(given), parse(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"]));
        let given = parse(&["10.0.0.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(alternate(given), parse(&["10.0.0.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]));
    }
}
