//! Why a call to the store failed, sorted by what a machine should do about it: an outage may pass, a refusal stays.
//!
//! No variant holds bytes of a body: of the server's words only a [`Problem`]'s bounded texts come through, made harmless
//! for a terminal.

use std::time::Duration;
use std::{fmt, io};

use thiserror::Error;

use crate::client::endpoint::EndpointError;
use crate::client::roots::RootsError;
use crate::domain::pin::Pin;
use crate::wire::{Code, Problem};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// It may pass: try again until a deadline.
    #[error(transparent)]
    Outage(#[from] CallOutage),
    /// It stays: fail now.
    #[error(transparent)]
    Refused(#[from] CallRefusal),
}

impl CallError {
    /// The store's own code, when it gave one.
    pub(crate) fn code(&self) -> Option<Code> {
        self.problem().map(|problem| problem.code)
    }

    /// What the store said, when it said something that can be read.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Outage(CallOutage::Status { problem, .. }) => problem.as_deref(),
            Self::Refused(CallRefusal::Problem(problem)) => Some(problem),
            Self::Outage(_) | Self::Refused(_) => None,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Outage(outage) => outage.hint(),
            Self::Refused(refused) => refused.hint(),
        }
    }
}

/// Why the store did not do its work this time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallOutage {
    /// The name has no address, or no resolver answered.
    #[error("{to} cannot be reached: the name does not resolve")]
    Name {
        /// The address as it was given, without its pin.
        to: String,
    },
    /// No connection.
    #[error("{to} cannot be reached: {why}")]
    Unreachable {
        /// The address as it was given, without its pin.
        to: String,
        /// What the system says of the last try.
        why: io::ErrorKind,
    },
    /// No TLS, for a reason that says nothing about the store.
    #[error("{to} cannot be reached: {why}")]
    Tls {
        /// The address as it was given, without its pin.
        to: String,
        /// What went wrong.
        why: TlsFault,
    },
    /// The certificate's time has not begun by this machine's clock, which may not be set yet.
    #[error(
        "{to} cannot be trusted yet: its certificate is not valid before a later time than this machine's clock"
    )]
    Clock {
        /// The address as it was given, without its pin.
        to: String,
    },
    /// The connection ended early.
    #[error("{to} broke off the connection while {during}")]
    Broken {
        /// The address as it was given, without its pin.
        to: String,
        /// How far the call was.
        during: CallStage,
    },
    /// Time ran out.
    #[error("{to} took too long while {during}")]
    Late {
        /// The address as it was given, without its pin.
        to: String,
        /// How far the call was.
        during: CallStage,
    },
    /// The store answered that it cannot now: 408, 429 or 5xx.
    #[error("{to} answered {status}{}", after_status(problem.as_deref()))]
    Status {
        /// The address as it was given, without its pin.
        to: String,
        /// The HTTP status.
        status: u16,
        /// What the store said.
        problem: Option<Box<Problem>>,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl CallOutage {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Name { .. } => Some("check the name, and that this machine's resolver answers"),
            Self::Unreachable { why: io::ErrorKind::NotFound, .. } => {
                Some("check that the store runs and listens on this socket")
            }
            Self::Unreachable { .. } => {
                Some("check that the store runs and listens there, and the way to it")
            }
            Self::Tls { why: TlsFault::NotTls, .. } => {
                Some("check the port: what answers there does not speak TLS")
            }
            Self::Tls { why: TlsFault::Incompatible, .. } => {
                Some("check what stands between: only TLS 1.3 is spoken")
            }
            Self::Tls { why: TlsFault::BrokenOff, .. } | Self::Broken { .. } | Self::Late { .. } => None,
            Self::Clock { .. } => {
                Some("set this machine's clock, or give the address a pin, which needs no clock")
            }
            Self::Status { problem, .. } => problem.as_ref().and_then(|problem| problem.hint.as_deref()),
        }
    }

    /// How long the store asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Why trying again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallRefusal {
    /// The server proved to have another key than the pinned one.
    #[error(
        "{to} is not the store that was expected: its key has the pin {presented}, expected was {expected}"
    )]
    WrongPin {
        /// The address as it was given, without its pin.
        to: String,
        /// The pin of the address or ticket.
        expected: Pin,
        /// The pin of the key that the server presented.
        presented: Pin,
    },
    /// The certificate authorities do not vouch for the server.
    #[error("{to} cannot be trusted: {why}")]
    Untrusted {
        /// The address as it was given, without its pin.
        to: String,
        /// What is wrong with its certificate.
        why: CertificateFault,
    },
    /// The Unix socket is not for this user.
    #[error("{to} may not be used by this user")]
    SocketDenied {
        /// The address.
        to: String,
    },
    /// The store said no, and why.
    #[error("{}", summarize(.0))]
    Problem(Box<Problem>),
    /// Something said no without the store's words: a proxy, or no store at all.
    #[error("{to} answered {status}, and not as a store does")]
    Status {
        /// The address as it was given, without its pin.
        to: String,
        /// The HTTP status.
        status: u16,
    },
    /// A redirect. It is never followed: the credential goes nowhere else than where it was meant for.
    #[error("{to} answered {status}, a redirect, which is never followed")]
    Redirect {
        /// The address as it was given, without its pin.
        to: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer that cannot be read.
    #[error("{to} gave an answer that {why}")]
    BadResponse {
        /// The address as it was given, without its pin.
        to: String,
        /// What is wrong with it.
        why: ResponseFault,
    },
    /// Something of the request cannot be said in HTTP.
    #[error("the request cannot be sent: {0} has characters that HTTP does not allow")]
    Request(&'static str),
    /// An address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// There are no certificate authorities.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The program's own TLS has no algorithms; it was built wrongly.
    #[error("this program was built without TLS 1.3")]
    NoTls,
    /// The kernel gave no random bytes.
    #[error("the kernel gives no random bytes")]
    NoRandomness,
    /// What was received could not be written where it goes.
    #[error("the answer cannot be written: {0}")]
    Sink(io::ErrorKind),
}

impl CallRefusal {
    /// Whether the store itself, reached over a connection that is trusted, denied the credential: 401 or 403 in its own
    /// words. Nothing that someone on the way can cause counts, for a denial destroys the agent's cache.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self, Self::Problem(problem) if matches!(problem.status, 401 | 403))
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::WrongPin { .. } => Some(
                "if the store was given a new key on purpose, make new tickets and log in again; otherwise something \
                 else answers at this address",
            ),
            Self::Untrusted { why, .. } => Some(why.hint()),
            Self::SocketDenied { .. } => Some("ask for membership in the group that owns the socket"),
            Self::Problem(problem) => problem.hint.as_deref(),
            Self::Status { .. } | Self::BadResponse { .. } => {
                Some("check the address: a store, or a proxy in front of it, does not answer like this")
            }
            Self::Redirect { .. } => {
                Some("give the address that the redirect leads to, if it is the store's")
            }
            Self::Request(_) | Self::NoTls | Self::NoRandomness | Self::Sink(_) => None,
            Self::Endpoint(error) => Some(error.hint()),
            Self::Roots(error) => Some(error.hint()),
        }
    }
}

/// How far a call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    /// Looking up the name.
    Resolving,
    /// Connecting to an address.
    Connecting,
    /// Agreeing on keys.
    Handshake,
    /// Nothing of the request has left.
    Sending,
    /// The request may have arrived.
    Waiting,
    /// The answer has begun.
    Reading,
}

impl fmt::Display for CallStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "its name was looked up",
            Self::Connecting => "it was connected to",
            Self::Handshake => "TLS was set up",
            Self::Sending => "the request was sent",
            Self::Waiting => "its answer was waited for",
            Self::Reading => "its answer was read",
        })
    }
}

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Something else than TLS was answered.
    NotTls,
    /// No common version or algorithm.
    Incompatible,
    /// The handshake ended early.
    BrokenOff,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "it does not speak TLS",
            Self::Incompatible => "it does not speak TLS 1.3 as this program does",
            Self::BrokenOff => "the TLS handshake was broken off",
        })
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No trusted authority issued it.
    UnknownIssuer,
    /// Its time is over.
    Expired,
    /// It is for other names.
    OtherName,
    /// The peer does not hold the certificate's key.
    BadSignature,
    /// It cannot be used in some other way.
    Unusable,
}

impl CertificateFault {
    fn hint(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "add the server's pin to the address (https://HOST:PORT#sha256/…) or name its authority with DROPSAFE_CA"
            }
            Self::Expired => "renew the server's certificate, and check this machine's clock",
            Self::OtherName => {
                "use a name that the certificate holds, or add the server's pin to the address"
            }
            Self::BadSignature | Self::Unusable => "check what answers at this address",
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "no trusted authority issued its certificate",
            Self::Expired => "its certificate has expired",
            Self::OtherName => "its certificate is for other names",
            Self::BadSignature => "it does not hold the key of its certificate",
            Self::Unusable => "its certificate cannot be used",
        })
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// Not HTTP/1.1, or with a head that is too long.
    NotHttp,
    /// Longer than this kind of answer may be.
    TooLarge,
    /// Neither the length nor the end of the body is told, so that a cut one would not be noticed.
    Unbounded,
    /// Not JSON, or not of the shape that was expected.
    Unreadable,
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "is no readable HTTP",
            Self::TooLarge => "is too large",
            Self::Unbounded => "does not tell its length",
            Self::Unreadable => "is not what a store answers",
        })
    }
}

fn after_status(problem: Option<&Problem>) -> String {
    problem.map(|problem| format!(": {}", summarize(problem))).unwrap_or_default()
}

/// A problem in one line: its title, its details and its faults, each thing once.
fn summarize(problem: &Problem) -> String {
    let title = match problem.code {
        // A newer store has codes that this program does not know; its title is all there is.
        Code::Unknown => &problem.title,
        // What does not exist is clearer from the details.
        Code::NotFound if !problem.detail.is_empty() => "",
        code => code.title(),
    };
    let mut line = title.to_owned();
    let faults = problem.errors.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
    for part in std::iter::once(problem.detail.clone()).chain(faults) {
        if !part.is_empty() && !line.contains(&part) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&part);
        }
    }
    line
}
