//! Sockets: binding them, accepting from them and telling what came from where. Bounds the number of connections. Where
//! there is no TLS, there is a Unix socket or loopback.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::Patience;
use super::connection::Protocol;
use super::connection::serve;
use super::datadir;
use super::datadir::DataError;
use crate::api::Api;
use crate::api::OverTls;
use crate::api::Peer;

/// How long accepting pauses when the system has no descriptor or memory left: trying at once would only spin.
const EXHAUSTED: Duration = Duration::from_millis(100);

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
    File(#[from] DataError),
}

/// A bound socket, not yet accepting.
pub enum Listener {
    /// TLS over TCP.
    Tls(TcpListener, TlsAcceptor),
    /// TCP on loopback.
    Plain(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// TLS on `address`.
    pub async fn tls(address: SocketAddr, config: Arc<ServerConfig>) -> Result<Self, ListenError> {
        Ok(Self::Tls(bind(address).await?, TlsAcceptor::from(config)))
    }

    /// No TLS on `address`, which is one of loopback's.
    pub async fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self::Plain(bind(address).await?))
    }

    /// A Unix socket at `path` with `mode`. What a server that was killed left there is removed: the folder's lock says
    /// that no other one runs.
    pub fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        datadir::remove_stale_socket(path)?;
        let listener = UnixListener::bind(path)
            .map_err(|source| ListenError::BindSocket { path: path.to_owned(), source })?;
        datadir::set_mode(path, mode)?;
        Ok(Self::Unix(listener))
    }

    /// The address, when it is TCP; with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tls(listener, _) | Self::Plain(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(listener, acceptor) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tls(stream, acceptor.clone(), address))
            }
            Self::Plain(listener) => {
                listener.accept().await.map(|(stream, address)| Accepted::Plain(stream, address))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

enum Accepted {
    Tls(TcpStream, TlsAcceptor, SocketAddr),
    Plain(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// Accepts from `listener` until `stop` says so, then finishes its connections. Dropping the future breaks them off.
pub async fn accept(
    listener: Listener,
    api: Api,
    room: Arc<Semaphore>,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let router = api.router();
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
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    converse(accepted, router, patience, stop).await;
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

async fn converse(accepted: Accepted, router: axum::Router, patience: Patience, stop: watch::Receiver<bool>) {
    match accepted {
        Accepted::Tls(stream, acceptor, address) => {
            let _ = stream.set_nodelay(true);
            // Whoever stops halfway, or speaks something else, is a stranger: worth a line only when one looks for it.
            let stream = match tokio::time::timeout(patience.handshake, acceptor.accept(stream)).await {
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
