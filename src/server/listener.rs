//! Sockets: binding them, accepting from them and telling what came from where. Bounds the number of connections. Where
//! there is no TLS, there is a Unix socket or loopback.

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

use super::connection::{ConnectionTimeouts, Protocol, serve};
use super::data_dir;
use super::data_dir::DataDirError;
use crate::api::{Api, OverTls, Peer};

/// How long accepting pauses when the system has no descriptor or memory left: trying at once would only spin.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Connections that the kernel may keep until they are accepted, where they cost next to nothing; what does not fit is tried
/// again by its sender's kernel. Linux makes it `net.core.somaxconn` where that is less.
const BACKLOG: u32 = 65_535;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be bound.
    #[error("listening on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The Unix socket could not be bound.
    #[error("listening on {}", path.display())]
    BindSocket {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The socket's file.
    #[error(transparent)]
    File(#[from] DataDirError),
}

/// A bound socket, not yet accepting.
pub(crate) enum Listener {
    /// TLS over TCP.
    Tls(TcpListener, Arc<ServerConfig>),
    /// TCP on loopback.
    Plain(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// TLS on `address`.
    pub(crate) fn tls(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Self, ListenError> {
        Ok(Self::Tls(bind(address)?, config))
    }

    /// No TLS on `address`, which is one of loopback's.
    pub(crate) fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self::Plain(bind(address)?))
    }

    /// A Unix socket at `path` with `mode`. What a server that was killed left there is removed: the folder's lock says
    /// that no other one runs.
    pub(crate) fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        data_dir::remove_stale_socket(path)?;
        let listener = UnixListener::bind(path)
            .map_err(|source| ListenError::BindSocket { path: path.to_owned(), source })?;
        data_dir::set_mode(path, mode)?;
        Ok(Self::Unix(listener))
    }

    /// The address, when it is TCP; with the port that the system chose where 0 was asked for.
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
        // A server that starts again must not wait for the last connections of the one before to be forgotten.
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

/// Lets this process have as many descriptors as it may: the usual soft limit of 1024 is there for programs that use
/// select(2), and is less than the connections that a server takes.
pub(crate) fn allow_descriptors() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it there are fewer, and accepting pauses when they are used up.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Accepts from `listener` until `stop` says so, then finishes its connections. Dropping the future breaks them off.
pub(crate) async fn accept(
    listener: Listener,
    api: Api,
    room: Arc<Semaphore>,
    patience: ConnectionTimeouts,
    mut stop: watch::Receiver<bool>,
) {
    let router = api.router();
    let doing = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));
    let mut connections = JoinSet::new();
    loop {
        // Room first: what finds none waits in the kernel's queue, where it costs us nothing.
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (listener.accept().await, permit)
            } => accepted,
        };
        let (accepted, Ok(permit)) = accepted else { break };
        match accepted {
            Ok(accepted) => {
                let (router, stop, doing) = (router.clone(), stop.clone(), Arc::clone(&doing));
                connections.spawn(async move {
                    let _permit = permit;
                    converse(accepted, router, patience, stop, doing).await;
                });
            }
            Err(error) => {
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
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A TLS handshake. What costs most of it, by far the most that a boot costs, is done for a few at a time: in a herd the
/// connections that have theirs behind them get on, instead of all having half of one.
async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    doing: &Semaphore,
) -> io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let rest = {
        let _one = doing.acquire().await.map_err(io::Error::other)?;
        // Reads the hello, makes the keys and signs.
        hello.into_stream(config)
    };
    rest.await
}

async fn converse(
    accepted: Accepted,
    router: axum::Router,
    patience: ConnectionTimeouts,
    stop: watch::Receiver<bool>,
    doing: Arc<Semaphore>,
) {
    match accepted {
        Accepted::Tls(stream, config, address) => {
            let _ = stream.set_nodelay(true);
            // Whoever stops halfway, or speaks something else, is a stranger: worth a line only when one looks for it.
            let stream =
                match tokio::time::timeout(patience.handshake, handshake(stream, config, &doing)).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(_)) => return tracing::debug!(source = %address.ip(), "a TLS handshake failed"),
                    Err(_) => return tracing::debug!(source = %address.ip(), "a TLS handshake took too long"),
                };
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            serve(stream, protocol, Peer::Network(address.ip()), Some(OverTls), router, patience, stop).await;
        }
        Accepted::Plain(stream, address) => {
            let _ = stream.set_nodelay(true);
            serve(stream, Protocol::Http1, Peer::Network(address.ip()), None, router, patience, stop).await;
        }
        Accepted::Unix(stream) => {
            serve(stream, Protocol::Http1, Peer::Socket, None, router, patience, stop).await;
        }
    }
}
