//! Listening sockets: binds them, accepts connections, finds out where they come from and waits for a place in the table of
//! connections. Without TLS there are only Unix sockets and loopback.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{ConnectionConfig, PeerConnection, Protocol, serve};
use super::connection_table::{ConnectionPlace, ConnectionSlot, ConnectionTable};
use super::data_dir;
use super::data_dir::DataDirError;
use crate::api::{OverTls, Peer, TlsTerminated};
use crate::domain::source::SourceNetwork;

/// How long accepting pauses when the system has no descriptor or memory left. Trying again at once would only spin.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How many connections the kernel may keep until they are accepted, where they cost next to nothing. The kernel of a client that
/// finds no place tries again. Linux lowers this to `net.core.somaxconn`.
const BACKLOG: u32 = 65_535;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listening on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("listening on {}", path.display())]
    BindSocket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    File(#[from] DataDirError),
}

/// A bound socket that does not accept yet.
pub(crate) enum Listener {
    /// TLS over TCP. Each connection gets the newest configuration.
    Tls(TcpListener, watch::Receiver<Arc<ServerConfig>>),
    /// TCP on loopback.
    Plain(TcpListener),
    /// TCP from load balancers that terminate TLS.
    Terminated(TcpListener, TlsTerminated),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn tls(
        address: SocketAddr,
        config: watch::Receiver<Arc<ServerConfig>>,
    ) -> Result<Self, ListenError> {
        Ok(Self::Tls(bind(address)?, config))
    }

    /// Listens without TLS; the configuration allows only addresses of loopback.
    pub(crate) fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self::Plain(bind(address)?))
    }

    /// Listens without TLS for load balancers that terminate it.
    pub(crate) fn terminated(address: SocketAddr, terminated: TlsTerminated) -> Result<Self, ListenError> {
        Ok(Self::Terminated(bind(address)?, terminated))
    }

    /// Listens on a Unix socket.
    pub(crate) fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        // A server that was killed leaves its socket behind. The folder's lock is held, so that no other server uses it.
        data_dir::remove_stale_socket(path)?;
        let listener = UnixListener::bind(path)
            .map_err(|source| ListenError::BindSocket { path: path.to_owned(), source })?;
        // Until here the umask keeps everybody else out.
        data_dir::set_mode(path, mode)?;
        Ok(Self::Unix(listener))
    }

    /// The address of a TCP listener; if port 0 was requested, with the port that the system chose.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tls(listener, _) | Self::Plain(listener) | Self::Terminated(listener, _) => {
                listener.local_addr().ok()
            }
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(listener, config) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tls(stream, Arc::clone(&config.borrow()), address))
            }
            Self::Plain(listener) => {
                listener.accept().await.map(|(stream, address)| Accepted::Plain(stream, address))
            }
            Self::Terminated(listener, terminated) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Terminated(stream, *terminated, address))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let bound = socket.and_then(|socket| {
        // Otherwise a restarted server could not listen while connections of its predecessor are in TIME_WAIT (tcp(7)).
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    });
    bound.map_err(|source| ListenError::Bind { address, source })
}

enum Accepted {
    Tls(TcpStream, Arc<ServerConfig>, SocketAddr),
    Plain(TcpStream, SocketAddr),
    Terminated(TcpStream, TlsTerminated, SocketAddr),
    Unix(UnixStream),
}

/// Returns how many descriptors this process may have open.
pub(crate) fn descriptor_limit() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Raises the limit of open descriptors to what this process is allowed.
pub(crate) fn raise_descriptor_limit() {
    // The usual soft limit of 1024 is for programs that use select(2), and is less than the connections of a server.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If this fails there are fewer connections: accepting pauses when descriptors run out.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Accepts connections until the server stops, then waits for those that are open. Dropping the future aborts them.
pub(crate) async fn accept(listener: Listener, table: ConnectionTable, config: ConnectionConfig) {
    let mut stop = config.stop.clone();
    let handshakes = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // In this order: stopping wins over accepting, and finished connections give their memory back first.
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            // Also without a free place: only an accepted connection shows its source. In the kernel's queue, those of one
            // host would stand in front of all others.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                let (table, config, handshakes) = (table.clone(), config.clone(), Arc::clone(&handshakes));
                connections.spawn(async move {
                    let mut stop = config.stop.clone();
                    // A connection that still waits for a place when the server stops has no request to finish.
                    let admitted = tokio::select! {
                        admitted = admit(accepted, &table, &config) => admitted,
                        _ = stop.wait_for(|stop| *stop) => None,
                    };
                    let Some(AdmittedConnection { accepted, peer, mut slot }) = admitted else { return };
                    // In a box, so that a connection that waits for a place does not have the size of one that is served.
                    let serving = Box::pin(serve_accepted(accepted, peer, config, &handshakes, slot.place()));
                    tokio::select! {
                        () = serving => {}
                        () = slot.closed() => tracing::debug!("a connection gave its place to another source"),
                    }
                });
            }
            Err(error) => {
                // Every other error concerns one connection, which its client has given up (accept(2)).
                let exhausted = error.raw_os_error().map(Errno::from_raw).is_some_and(|errno| {
                    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
                });
                if exhausted {
                    tracing::warn!("no descriptor or memory is left for another connection");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
    // At once, so that clients are refused and try another server while the last requests finish here.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A connection with a place, and the address of its client.
struct AdmittedConnection {
    accepted: Accepted,
    peer: Peer,
    slot: ConnectionSlot,
}

/// Finds out where a connection comes from, and waits for a place.
async fn admit(
    mut accepted: Accepted,
    table: &ConnectionTable,
    config: &ConnectionConfig,
) -> Option<AdmittedConnection> {
    let peer = match &mut accepted {
        Accepted::Tls(stream, _, address)
        | Accepted::Plain(stream, address)
        | Accepted::Terminated(stream, _, address) => {
            match config.proxies.client_address(stream, address.ip(), config.timeouts.handshake).await {
                Ok(client) => Peer::Network(client),
                // A load balancer that is configured wrongly serves nobody, so its operator has to see this.
                Err(error) => {
                    tracing::warn!(source = %address.ip(), "a connection of a load balancer is refused: {error}");
                    return None;
                }
            }
        }
        Accepted::Unix(_) => Peer::Socket,
    };
    let slot = table.acquire(SourceNetwork::from_address(peer.address())).await?;
    if peer == Peer::Socket {
        // The permissions of the socket have proven its peer, as a credential does on the network.
        slot.place().proof.prove(None);
    }
    Some(AdmittedConnection { accepted, peer, slot })
}

async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    handshakes: &Semaphore,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let rest = {
        // The expensive part, and by far the most expensive one of a boot, is done for a few connections at a time. When
        // many machines boot at once, some are finished early instead of all being half done.
        let _one = handshakes.acquire().await.map_err(io::Error::other)?;
        // Processes the hello, derives the keys and signs.
        hello.into_stream(config)
    };
    rest.await
}

async fn serve_accepted(
    accepted: Accepted,
    peer: Peer,
    config: ConnectionConfig,
    handshakes: &Semaphore,
    place: ConnectionPlace,
) {
    match accepted {
        Accepted::Tls(stream, tls, _) => {
            // Without Nagle's algorithm, which would hold back the end of a response until the client acknowledges the rest.
            let _ = stream.set_nodelay(true);
            let handshake = handshake(stream, tls, handshakes);
            // Only at debug level: every port scanner fails here.
            let stream = match tokio::time::timeout(config.timeouts.handshake, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return tracing::debug!(source = ?peer.address(), "a TLS handshake failed"),
                Err(_) => return tracing::debug!(source = ?peer.address(), "a TLS handshake took too long"),
            };
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            let peer = PeerConnection { peer, over_tls: Some(OverTls), terminated: None, place };
            serve(stream, protocol, peer, config).await;
        }
        Accepted::Plain(stream, _) => {
            let _ = stream.set_nodelay(true);
            let peer = PeerConnection { peer, over_tls: None, terminated: None, place };
            serve(stream, Protocol::Http1, peer, config).await;
        }
        Accepted::Terminated(stream, terminated, _) => {
            let _ = stream.set_nodelay(true);
            // The browser speaks TLS to the load balancer, so that its cookies may be for TLS only.
            let over_tls = Some(OverTls);
            let peer = PeerConnection { peer, over_tls, terminated: Some(terminated), place };
            serve(stream, Protocol::Http1, peer, config).await;
        }
        Accepted::Unix(stream) => {
            let peer = PeerConnection { peer, over_tls: None, terminated: None, place };
            serve(stream, Protocol::Http1, peer, config).await;
        }
    }
}
