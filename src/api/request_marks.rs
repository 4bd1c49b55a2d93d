//! What the server and the layers of the API attach to a request or a response, for the layers that come after.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, StatusCode};

use crate::domain::id::OrgId;
use crate::store::Caller;

/// Where a request comes from. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The Unix socket. Its file permissions decide who may connect.
    Socket,
    /// The network.
    Network(IpAddr),
}

impl Peer {
    /// Returns the address, or `None` on the Unix socket.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Socket => None,
            Self::Network(address) => Some(address.to_canonical()),
        }
    }

    /// Returns the peer of a request.
    pub(crate) fn from_extensions(extensions: &Extensions) -> Self {
        // A missing mark must never give the rights of the socket.
        extensions.get().copied().unwrap_or(Self::Network(IpAddr::from([0, 0, 0, 0])))
    }
}

/// Marks a request that came over TLS. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Marks a request that came through a listener with `tls: terminated`. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsTerminated {
    /// Whether the listener serves people too.
    pub people: bool,
}

/// Tells the server that a request has proven a credential, so that its connection is no stranger's. The server puts it
/// into the request's extensions.
#[derive(Clone)]
pub(crate) struct ConnectionProof(Arc<dyn Fn(Option<OrgId>) + Send + Sync>);

impl ConnectionProof {
    pub(crate) fn new(prove: impl Fn(Option<OrgId>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(prove))
    }

    /// Marks the connection as one of the organization, or of the operator.
    pub(crate) fn prove(&self, org: Option<OrgId>) {
        (self.0)(org);
    }
}

/// Whether the body of a request may hold a value or a passphrase. The server puts it into the extensions of each request
/// that has a body, and closes the connection after the response unless the body is declared public.
#[derive(Clone, Default)]
pub(crate) struct BodySecrecy(Arc<AtomicBool>);

impl BodySecrecy {
    /// Declares that the body holds neither.
    pub(crate) fn declare_public(&self) {
        // Relaxed, here and below: the flag guards no other memory.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the body is declared public.
    pub(crate) fn is_public(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns whether a request that is answered with `status` may have left a secret in the connection's buffers.
    pub(crate) fn may_hold_secret(&self, status: StatusCode) -> bool {
        // People paste a value into the wrong field or header too, and what cannot be read is answered with one of these.
        let is_misread = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::UNPROCESSABLE_ENTITY
        );
        is_misread || !self.is_public()
    }
}

/// The request's id: 16 hexadecimal digits, in the response's `x-request-id`, in the log and in the audit log.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The caller of a request whose proof was verified, in its extensions.
#[derive(Clone)]
pub(crate) struct ProvenCaller(pub(crate) Caller);

/// The status inside a sealed response, for the log and the metrics.
#[derive(Clone, Copy)]
pub(crate) struct InnerStatus(pub(crate) StatusCode);
