//! Listening sockets: binds them, accepts connections and says where they came from. Limits the number of connections. Without TLS
//! there are only Unix sockets and loopback.

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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{ConnectionConfig, Protocol, serve};
use super::data_dir;
use super::data_dir::DataDirError;
use crate::api::{OverTls, Peer};

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
    /// TLS over TCP.
    Tls(TcpListener, Arc<ServerConfig>),
    /// TCP on loopback.
    Plain(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn tls(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Self, ListenError> {
        Ok(Self::Tls(bind(address)?, config))
    }

    /// Listens without TLS; the configuration allows only addresses of loopback.
    pub(crate) fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self::Plain(bind(address)?))
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
            Self::Tls(listener, _) | Self::Plain(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(listener, config) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tls(stream, Arc::clone(config), address))
            }
            Self::Plain(listener) => {
                listener.accept().await.map(|(stream, address)| Accepted::Plain(stream, address))
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
    Unix(UnixStream),
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
pub(crate) async fn accept(listener: Listener, slots: Arc<Semaphore>, config: ConnectionConfig) {
    let mut stop = config.stop.clone();
    let handshakes = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // In this order: stopping wins over accepting, and finished connections give their memory back first.
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = async {
                // The slot first: a connection for which there is none waits in the kernel, where it costs us nothing.
                let slot = Arc::clone(&slots).acquire_owned().await;
                (listener.accept().await, slot)
            } => accepted,
        };
        let (accepted, Ok(slot)) = accepted else { break };
        match accepted {
            Ok(accepted) => {
                let (config, handshakes) = (config.clone(), Arc::clone(&handshakes));
                connections.spawn(async move {
                    let _slot = slot;
                    serve_accepted(accepted, config, &handshakes).await;
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

async fn serve_accepted(accepted: Accepted, config: ConnectionConfig, handshakes: &Semaphore) {
    match accepted {
        Accepted::Tls(stream, tls, address) => {
            // Without Nagle's algorithm, which would hold back the end of a response until the client acknowledges the rest.
            let _ = stream.set_nodelay(true);
            let handshake = handshake(stream, tls, handshakes);
            // Only at debug level: every port scanner fails here.
            let stream = match tokio::time::timeout(config.timeouts.handshake, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => return tracing::debug!(source = %address.ip(), "a TLS handshake failed"),
                Err(_) => return tracing::debug!(source = %address.ip(), "a TLS handshake took too long"),
            };
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            serve(stream, protocol, Peer::Network(address.ip()), Some(OverTls), config).await;
        }
        Accepted::Plain(stream, address) => {
            let _ = stream.set_nodelay(true);
            serve(stream, Protocol::Http1, Peer::Network(address.ip()), None, config).await;
        }
        Accepted::Unix(stream) => serve(stream, Protocol::Http1, Peer::Socket, None, config).await,
    }
}
