//! Looks up names with the system's resolver, which blocks, without exceeding the caller's deadline.
//!
//! An IP address and `localhost` need no resolver and start no thread.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::endpoint::Host;
use super::error::CallRefusal;

/// Returns the addresses of `host`, empty if there are none. IPv4 and IPv6 alternate, so that a broken family delays the
/// connection only once (RFC 8305, section 4).
///
/// # Errors
/// This process has no descriptor left to ask with.
pub(crate) async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, CallRefusal> {
    let addresses = match host.literal() {
        Some(literal) => literal.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        None => match lookup(host.to_string(), port).await {
            Ok(found) => found,
            Err(error) => CallRefusal::out_of_descriptors(&error).map_or_else(|| Ok(Vec::new()), Err)?,
        },
    };
    Ok(alternate(addresses))
}

/// Calls getaddrinfo(3) on a new thread.
async fn lookup(name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    // The result is passed in memory, so that the socket below needs no encoding.
    let found = Arc::new(Mutex::new(Ok(Vec::new())));
    // The thread signals its end by closing one side of a socket pair, which works with any reactor and needs no task.
    let (thread_side, waiting_side) = StdUnixStream::pair()?;
    waiting_side.set_nonblocking(true)?;
    let mut waiting_side = UnixStream::from_std(waiting_side)?;

    let result = Arc::clone(&found);
    // Not tokio's blocking pool: a runtime that is dropped waits for such a thread, so a resolver that hangs would delay a
    // process whose deadline has passed. This thread is detached; execve(2) or the exit of the process ends it.
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        *result.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        // Last, and explicitly: a closure that does not mention it would not own it.
        drop(thread_side);
    })?;
    // End of file is the only thing that ever arrives.
    waiting_side.read_u8().await.ok();
    std::mem::replace(&mut *found.lock().unwrap_or_else(PoisonError::into_inner), Ok(Vec::new()))
}

fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    // The system's order stays within each family, and its first choice stays first (RFC 6724).
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
        match Endpoint::parse(&format!("https://{text}:1")).unwrap().kind {
            EndpointKind::Tls { host, .. } => host,
            _ => unreachable!(),
        }
    }

    #[tokio::test]
    async fn literals_and_localhost_resolve_to_themselves() {
        assert_eq!(resolve(&host("10.1.2.3"), 7).await.unwrap(), ["10.1.2.3:7".parse().unwrap()]);
        assert_eq!(resolve(&host("[::1]"), 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
        assert_eq!(
            resolve(&host("LocalHost"), 7).await.unwrap(),
            ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()]
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_has_no_address() {
        // RFC 6761, section 6.4: resolvers answer that it does not exist. Without a resolver the result is the same.
        assert!(resolve(&host("no.such.name.invalid"), 7).await.unwrap().is_empty());
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
