//! Outages: failures that may pass, so the caller retries until its deadline.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::faults::{CallStage, ResponseFault, TlsFault, TokenFault};
use super::refusal::CallRefusal;
use super::{after_code, after_status, summarize};
use crate::crypto::sealed_release::answer::AnswerError;
use crate::wire::{Code, Problem};

/// A failure that may pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallOutage {
    /// The name has no address, or no resolver answered.
    #[error("{address} cannot be reached: the name does not resolve")]
    Name {
        /// The store's address, without its pin.
        address: String,
    },
    /// No TCP or Unix connection.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The store's address, without its pin.
        address: String,
        /// The system's error for the last address that was tried.
        why: io::ErrorKind,
    },
    /// The TLS handshake failed in a way that proves nothing about the server's identity.
    #[error("{address} cannot be reached: {why}")]
    Tls {
        /// The store's address, without its pin.
        address: String,
        /// What failed.
        why: TlsFault,
    },
    /// The certificate is not valid yet by this machine's clock, which may not be set early in a boot.
    #[error("{address} cannot be trusted yet: by this machine's clock, its certificate is not valid yet")]
    Clock {
        /// The store's address, without its pin.
        address: String,
    },
    /// A server with another key or certificate answered, at one of several addresses.
    #[error("{0}")]
    Stranger(Box<CallRefusal>),
    /// The connection ended before the response was complete.
    #[error("connection to {address} closed while {during}")]
    Broken {
        /// The store's address, without its pin.
        address: String,
        /// How far the call was.
        during: CallStage,
    },
    /// A server answered a sealed call in its own words. Whoever terminates TLS can do that.
    #[error("{address} answered {status} without the store's signature{}", after_code(*code))]
    Unsigned {
        /// The store's address, without its pin.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What it says is wrong.
        code: Option<Code>,
    },
    /// A sealed answer that is not the store's answer to this call.
    #[error("{address} sent an answer that {why}")]
    ForeignAnswer {
        /// The store's address, without its pin.
        address: String,
        /// What is wrong with it.
        why: AnswerError,
    },
    /// A response to a sealed call that cannot be read.
    #[error("{address} sent a response that {why}")]
    Unreadable {
        /// The store's address, without its pin.
        address: String,
        /// What is wrong with it.
        why: ResponseFault,
    },
    /// The source of a machine's tokens has none now.
    #[error("{from} has no token: {why}")]
    Token {
        /// The source, as `token_from` names it.
        from: String,
        /// Why.
        why: TokenFault,
    },
    /// The store has answered each try of a boot, and no answer has arrived.
    #[error("{}", summarize(.0))]
    NoTryLeft(Box<Problem>),
    /// A time limit passed.
    #[error("call to {address} timed out while {during}")]
    Late {
        /// The store's address, without its pin.
        address: String,
        /// How far the call was.
        during: CallStage,
    },
    /// The store cannot answer now: status 408, 429 or 5xx.
    #[error("{address} answered {status}{}", after_status(problem.as_deref()))]
    Status {
        /// The store's address, without its pin.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The store's problem, if the body holds one.
        problem: Option<Box<Problem>>,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl CallOutage {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Name { .. } => Some("check the name, and that this machine's resolver answers"),
            // The kernel reports ENOENT for a Unix socket only: TCP has no such error.
            Self::Unreachable { why: io::ErrorKind::NotFound, .. } => {
                Some("check that the store runs and listens on this socket")
            }
            Self::Unreachable { .. } => {
                Some("check that the store runs and listens there, and that no firewall is in between")
            }
            Self::Tls { why: TlsFault::NotTls, .. } => {
                Some("check the port: what answers there does not speak TLS")
            }
            Self::Tls { why: TlsFault::Incompatible, .. } => {
                Some("check for a proxy in between: this program speaks only TLS 1.3")
            }
            // These come from the network, and time is the only remedy that applies to all of them.
            Self::Tls { why: TlsFault::BrokenOff, .. } | Self::Broken { .. } | Self::Late { .. } => None,
            Self::Clock { .. } => {
                Some("set this machine's clock, or add the server's pin to the address: a pin needs no clock")
            }
            Self::Stranger(refused) => refused.hint(),
            Self::Unsigned { .. } => Some(
                "check what answers at this address: only the store's own answers count, because this machine has no pin for it",
            ),
            Self::ForeignAnswer { .. } => Some(
                "check that the ticket is of this store; otherwise something in between changes its answers",
            ),
            Self::Unreadable { .. } => Some("check what answers at this address"),
            Self::Token { why, .. } => why.hint(),
            Self::NoTryLeft(problem) => problem.hint.as_deref(),
            Self::Status { problem, .. } => problem.as_ref().and_then(|problem| problem.hint.as_deref()),
        }
    }

    /// How long the store asks its clients to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
