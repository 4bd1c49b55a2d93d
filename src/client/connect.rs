//! Connects to an endpoint: name lookup, TCP, TLS.
//!
//! The caller's time limit covers all steps. Nothing is sent to a server before its key or certificate is verified.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::endpoint::{Endpoint, EndpointKind, Host};
use super::error::{CallError, CallOutage, CallRefusal, CallStage};
use super::roots::{Roots, RootsError};
use super::stream::StoreStream;
use super::tls::ServerTrust;
use super::{resolve, tls};

/// How long one address is tried alone before the next one joins it (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// An endpoint with the settings for connecting to it, created once and used for every attempt.
pub(crate) struct ConnectTarget {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: String,
    tls: Option<Tls>,
}

struct Tls {
    trust: ServerTrust,
    first: Arc<ClientConfig>,
    /// Settings of the connections after the first, which may resume a session.
    reconnect: OnceLock<Arc<ClientConfig>>,
    used: AtomicBool,
}

impl Tls {
    fn new(trust: ServerTrust) -> Result<Self, CallRefusal> {
        let first = tls::first_config(&trust)?;
        Ok(Self { trust, first, reconnect: OnceLock::new(), used: AtomicBool::new(false) })
    }

    fn config(&self) -> &Arc<ClientConfig> {
        // Built on demand: most boots connect once, and a session cache costs them memory for nothing.
        match self.used.swap(true, Relaxed) {
            false => &self.first,
            true => self.reconnect.get_or_init(|| tls::reconnect_config(&self.first)),
        }
    }
}

impl ConnectTarget {
    /// `roots` loads the authorities that verify a TLS server without a pin, and is called only for one.
    pub(crate) fn new(
        endpoint: Endpoint,
        roots: impl FnOnce() -> Result<Roots, RootsError>,
    ) -> Result<Self, CallRefusal> {
        // A pin wins over authorities, since it names exactly one key.
        let trust = match &endpoint.kind {
            EndpointKind::Tls { pins: Some(pins), .. } => Some(ServerTrust::Pins(*pins)),
            EndpointKind::Tls { pins: None, .. } => Some(ServerTrust::Roots(roots()?)),
            EndpointKind::Loopback { .. } | EndpointKind::Unix { .. } => None,
        };
        let tls = trust.map(Tls::new).transpose()?;
        Ok(Self { address: endpoint.to_string(), endpoint, tls })
    }

    /// Connects within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<StoreStream, CallError> {
        // Outside of the future, so that the step survives when the timeout drops it.
        let mut step = CallStage::Connecting;
        match tokio::time::timeout(limit, self.connect_untimed(&mut step)).await {
            Ok(result) => result,
            Err(_) => Err(CallOutage::Late { address: self.address.clone(), during: step }.into()),
        }
    }

    async fn connect_untimed(&self, step: &mut CallStage) -> Result<StoreStream, CallError> {
        match &self.endpoint.kind {
            EndpointKind::Unix { path } => match UnixStream::connect(path).await {
                Ok(stream) => Ok(StoreStream::unix(stream)),
                // The socket's mode and group are settings: waiting does not change them.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Err(CallRefusal::SocketDenied { address: self.address.clone() }.into())
                }
                Err(error) => Err(self.unreachable(&error)),
            },
            EndpointKind::Loopback { host, port } => Ok(StoreStream::tcp(self.tcp(host, *port, step).await?)),
            EndpointKind::Tls { host, port, .. } => {
                let tcp = self.tcp(host, *port, step).await?;
                // `new` creates the settings of every TLS endpoint.
                let Some(settings) = &self.tls else { return Err(CallRefusal::NoTls.into()) };
                *step = CallStage::Handshake;
                let connector = TlsConnector::from(Arc::clone(settings.config()));
                match connector.connect(host.server_name(), tcp).await {
                    Ok(stream) => Ok(StoreStream::tls(stream)),
                    Err(error) => Err(tls::classify(&error, &self.address, &settings.trust)),
                }
            }
        }
    }

    async fn tcp(&self, host: &Host, port: u16, step: &mut CallStage) -> Result<TcpStream, CallError> {
        *step = CallStage::Resolving;
        let addresses = resolve::resolve(host, port).await?;
        if addresses.is_empty() {
            return Err(CallOutage::Name { address: self.address.clone() }.into());
        }
        *step = CallStage::Connecting;
        let stream = connect_first(addresses).await.map_err(|error| self.unreachable(&error))?;
        // A request is one small write, so Nagle's algorithm would only delay it. If the option cannot be set, the exchange
        // is merely slower.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    fn unreachable(&self, error: &io::Error) -> CallError {
        match CallRefusal::out_of_descriptors(error) {
            Some(refusal) => refusal.into(),
            None => CallOutage::Unreachable { address: self.address.clone(), why: error.kind() }.into(),
        }
    }
}

type ConnectAttempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Connects to the first of `addresses` that answers. Each has a head start; when one fails, the next starts at once.
pub(crate) async fn connect_first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    // The common case, which needs no timer.
    if let [only] = addresses.as_slice() {
        return TcpStream::connect(only).await;
    }
    let mut waiting = addresses.into_iter();
    let mut running: Vec<ConnectAttempt> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        match waiting.next() {
            Some(address) => running.push(Box::pin(TcpStream::connect(address))),
            // Every address has failed.
            None if running.is_empty() => return Err(last),
            None => {}
        }
        // The last address has nobody to wait for; the caller's time limit ends its attempt.
        let head_start = if waiting.len() == 0 { Duration::MAX } else { HEAD_START };
        match tokio::time::timeout(head_start, next_result(&mut running)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
}

/// Waits for the first of `running` that ends, and removes it.
async fn next_result(running: &mut Vec<ConnectAttempt>) -> io::Result<TcpStream> {
    poll_fn(|cx| {
        let ended =
            running.iter_mut().enumerate().find_map(|(index, attempt)| match attempt.as_mut().poll(cx) {
                Poll::Ready(result) => Some((index, result)),
                Poll::Pending => None,
            });
        match ended {
            Some((index, result)) => {
                // Order does not matter: every running attempt is polled.
                drop(running.swap_remove(index));
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_failed_address_starts_the_next_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = connect_first(vec![closed, closed, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    }

    #[tokio::test]
    async fn if_all_addresses_fail_the_last_error_is_returned() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(
            connect_first(vec![closed, closed]).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
