//! Refusals: failures that a retry cannot change, so the caller fails at once.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

use super::faults::{CertificateFault, ResponseFault, TokenFault};
use super::summarize;
use crate::client::endpoint::EndpointError;
use crate::client::roots::RootsError;
use crate::domain::pin::{Pin, PinPair};
use crate::wire::Problem;

/// What to do about EMFILE.
pub(crate) const MORE_DESCRIPTORS: &str =
    "raise the limit on open files (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=)";

/// A failure that a retry cannot change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallRefusal {
    /// The server holds another key than the pinned ones.
    #[error("{address} is not the expected store: its key has the pin {presented}, expected {expected}")]
    WrongPin {
        /// The store's address, without its pin.
        address: String,
        /// The pins of the address or ticket. In a box, since every result of a call has room for it.
        expected: Box<PinPair>,
        /// The pin of the key that the server presented.
        presented: Pin,
    },
    /// The certificate authorities do not vouch for the server.
    #[error("{address} cannot be trusted: {why}")]
    Untrusted {
        /// The store's address, without its pin.
        address: String,
        /// What is wrong with its certificate.
        why: CertificateFault,
    },
    /// This user may not open the Unix socket.
    #[error("permission denied for the socket {address}")]
    SocketDenied {
        /// The socket's address.
        address: String,
    },
    /// The store refused the call with a problem (RFC 9457).
    #[error("{}", summarize(.0))]
    Problem(Box<Problem>),
    /// The response is an error without a problem: from a proxy, or from a server that is no store.
    #[error("{address} answered {status}, but not as a store does")]
    Status {
        /// The store's address, without its pin.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// A redirect. The client never follows one, so that the credential reaches no other server.
    #[error("{address} answered {status}, a redirect, and redirects are never followed")]
    Redirect {
        /// The store's address, without its pin.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// The response cannot be read.
    #[error("{address} sent a response that {why}")]
    BadResponse {
        /// The store's address, without its pin.
        address: String,
        /// What is wrong with it.
        why: ResponseFault,
    },
    /// A passphrase or a key file for a server that only an authority vouches for.
    #[error("{address} has no pin, and what unlocks a store is sent only to the server itself")]
    NeedsPin {
        /// The store's address.
        address: String,
    },
    /// Without a pin, a machine proves itself, and knows the store's answers by a key that tickets of older versions lack.
    #[error("{address} cannot be used: the ticket has neither a pin for it nor the store's answer key")]
    NoAnswerKey {
        /// The store's address.
        address: String,
    },
    /// The platform's service, or a proxy of it, did not use the whole audience that it was asked for.
    #[error(
        "the token is for another audience than the one that binds it to a key, and is not sent without a pin"
    )]
    TokenNotBound,
    /// Whoever terminates TLS in between would see a token and could use it.
    #[error("{address} has no pin, and a token that is not bound to a key is not sent there")]
    TokenNeedsPin {
        /// The store's address.
        address: String,
    },
    /// The source of a machine's tokens will have none.
    #[error("{from} has no token: {why}")]
    Token {
        /// The source, as `token_from` names it.
        from: String,
        /// Why.
        why: TokenFault,
    },
    /// A part of the request has characters that HTTP does not allow.
    #[error("the request cannot be sent: {0} has characters that HTTP does not allow")]
    Request(&'static str),
    /// The address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// There are no certificate authorities.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The TLS library has no TLS 1.3 algorithms: a fault of the build.
    #[error("this program was built without TLS 1.3")]
    NoTls,
    /// This process, or the whole machine, has no descriptor left. It is no fault of the store or the network.
    #[error("no connection can be opened: {}", .0.desc())]
    NoDescriptor(Errno),
    /// The kernel returned no random bytes.
    #[error("the kernel returned no random bytes")]
    NoRandomness,
    /// The caller could not write the response to its destination.
    #[error("the response cannot be written: {0}")]
    Sink(io::ErrorKind),
}

impl CallRefusal {
    /// The refusal for EMFILE and ENFILE, which std has no kind of error for. Waiting changes neither: only a process that has files
    /// open can close them.
    pub(crate) fn out_of_descriptors(error: &io::Error) -> Option<Self> {
        let errno = Errno::from_raw(error.raw_os_error()?);
        matches!(errno, Errno::EMFILE | Errno::ENFILE).then_some(Self::NoDescriptor(errno))
    }

    /// Whether the store itself denied the credential: 401 or 403 with a problem, over a trusted connection. A denial
    /// destroys the agent's cache, so nothing that somebody in between can cause counts as one.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self, Self::Problem(problem) if matches!(problem.status, 401 | 403))
    }

    /// Whether a server answered that has not proved to be the store. Anybody on the path can cause that.
    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self, Self::WrongPin { .. } | Self::Untrusted { .. })
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::WrongPin { .. } => Some(
                "if the store's TLS key was rotated twice since the ticket was created or the login last used (once, if it has \
                 one pin), create a new ticket or log in again; otherwise another server answers at this address",
            ),
            Self::Untrusted { why, .. } => Some(why.hint()),
            Self::SocketDenied { .. } => Some("ask for membership in the group that owns the socket"),
            Self::Problem(problem) => problem.hint.as_deref(),
            Self::Status { .. } | Self::BadResponse { .. } => {
                Some("check the address: neither a store nor a proxy in front of it answers like this")
            }
            // Not printed: a redirect's target is text of an unknown server.
            Self::Redirect { .. } => Some("if the redirect leads to your store, use that address instead"),
            Self::NeedsPin { .. } => Some(
                "add the server's pin to the address (https://HOST:PORT#sha256/…), or run the command on the server",
            ),
            Self::NoAnswerKey { .. } => Some("create a new ticket with `dropsafe ticket new`"),
            Self::TokenNotBound => Some("check what answers in place of the platform's service, and its URL"),
            Self::TokenNeedsPin { .. } => Some(
                "use a card with the store's pin, on a path where nobody terminates TLS, or token_from github or gcp, whose tokens \
                 are bound to a key",
            ),
            Self::Token { why, .. } => why.hint(),
            Self::NoDescriptor(Errno::EMFILE) => Some(MORE_DESCRIPTORS),
            Self::NoDescriptor(_) => {
                Some("close files on this machine, or raise fs.file-max (proc_sys_fs(5))")
            }
            Self::Request(_) | Self::NoTls | Self::NoRandomness | Self::Sink(_) => None,
            Self::Endpoint(error) => Some(error.hint()),
            Self::Roots(error) => Some(error.hint()),
        }
    }
}
