//! From an endpoint to a connection that may be trusted: addresses, TCP, TLS.
//!
//! Every step has the caller's time limit. Nothing is sent to a server before its key or certificate is checked.

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
use super::roots::Roots;
use super::stream::StoreStream;
use super::tls::ServerTrust;
use super::{resolve, tls};

/// The head start of one address before the next is tried beside it (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// An endpoint with all that is needed to connect to it, made once and used for every try.
pub(crate) struct ConnectTarget {
    pub(crate) endpoint: Endpoint,
    pub(crate) to: String,
    tls: Option<Tls>,
}

struct Tls {
    trust: ServerTrust,
    first: Arc<ClientConfig>,
    /// What the connections after the first are made with, and may resume.
    again: OnceLock<Arc<ClientConfig>>,
    tried: AtomicBool,
}

impl Tls {
    fn new(trust: ServerTrust) -> Result<Self, CallRefusal> {
        let first = tls::config(&trust)?;
        Ok(Self { trust, first, again: OnceLock::new(), tried: AtomicBool::new(false) })
    }

    fn config(&self) -> &Arc<ClientConfig> {
        match self.tried.swap(true, Relaxed) {
            false => &self.first,
            true => self.again.get_or_init(|| tls::again(&self.first)),
        }
    }
}

impl ConnectTarget {
    /// `roots` decides about a TLS server without a pin, and is asked for only then.
    pub(crate) fn new(
        endpoint: Endpoint,
        roots: impl FnOnce() -> Result<Roots, super::roots::RootsError>,
    ) -> Result<Self, CallRefusal> {
        let trust = match &endpoint.way {
            EndpointKind::Tls { pin: Some(pin), .. } => Some(ServerTrust::Pin(*pin)),
            EndpointKind::Tls { pin: None, .. } => Some(ServerTrust::Roots(roots()?)),
            EndpointKind::Loopback { .. } | EndpointKind::Unix { .. } => None,
        };
        let tls = trust.map(Tls::new).transpose()?;
        Ok(Self { to: endpoint.to_string(), endpoint, tls })
    }

    /// Connects within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<StoreStream, CallError> {
        let mut step = CallStage::Connecting;
        match tokio::time::timeout(limit, self.connect_by_steps(&mut step)).await {
            Ok(result) => result,
            Err(_) => Err(CallOutage::Late { to: self.to.clone(), during: step }.into()),
        }
    }

    async fn connect_by_steps(&self, step: &mut CallStage) -> Result<StoreStream, CallError> {
        match &self.endpoint.way {
            EndpointKind::Unix { path } => match UnixStream::connect(path).await {
                Ok(stream) => Ok(StoreStream::unix(stream)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Err(CallRefusal::SocketDenied { to: self.to.clone() }.into())
                }
                Err(error) => Err(self.unreachable(&error)),
            },
            EndpointKind::Loopback { host, port } => Ok(StoreStream::tcp(self.tcp(host, *port, step).await?)),
            EndpointKind::Tls { host, port, .. } => {
                let tcp = self.tcp(host, *port, step).await?;
                let Some(settings) = &self.tls else { return Err(CallRefusal::NoTls.into()) };
                *step = CallStage::Handshake;
                let connector = TlsConnector::from(Arc::clone(settings.config()));
                match connector.connect(host.server_name(), tcp).await {
                    Ok(stream) => Ok(StoreStream::tls(stream)),
                    Err(error) => Err(tls::judge(&error, &self.to, &settings.trust)),
                }
            }
        }
    }

    async fn tcp(&self, host: &Host, port: u16, step: &mut CallStage) -> Result<TcpStream, CallError> {
        *step = CallStage::Resolving;
        let addresses = resolve::resolve(host, port).await;
        if addresses.is_empty() {
            return Err(CallOutage::Name { to: self.to.clone() }.into());
        }
        *step = CallStage::Connecting;
        let stream = race(addresses).await.map_err(|error| self.unreachable(&error))?;
        // A request is one small write whose answer is waited for: nothing follows that could fill a segment. Without
        // it the exchange is only slower.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    fn unreachable(&self, error: &io::Error) -> CallError {
        CallOutage::Unreachable { to: self.to.clone(), why: error.kind() }.into()
    }
}

type ConnectAttempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The first of `addresses` that connects. Each gets a head start; when one fails, the next begins at once.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses.as_slice() {
        return TcpStream::connect(only).await;
    }
    let mut waiting = addresses.into_iter();
    let mut running: Vec<ConnectAttempt> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        match waiting.next() {
            Some(address) => running.push(Box::pin(TcpStream::connect(address))),
            None if running.is_empty() => return Err(last),
            None => {}
        }
        let head_start = if waiting.len() == 0 { Duration::MAX } else { HEAD_START };
        match tokio::time::timeout(head_start, first_done(&mut running)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
}

/// What the first of `running` to end comes to; it is taken out.
async fn first_done(running: &mut Vec<ConnectAttempt>) -> io::Result<TcpStream> {
    poll_fn(|cx| {
        let done =
            running.iter_mut().enumerate().find_map(|(index, attempt)| match attempt.as_mut().poll(cx) {
                Poll::Ready(result) => Some((index, result)),
                Poll::Pending => None,
            });
        match done {
            Some((index, result)) => {
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
    async fn an_address_that_fails_gives_way_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = race(vec![closed, closed, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    }

    #[tokio::test]
    async fn when_all_fail_the_last_reason_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(race(vec![closed, closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
