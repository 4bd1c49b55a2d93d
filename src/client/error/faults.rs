//! What failed inside one call: its stage, the TLS handshake, the certificate, the response.

use std::{fmt, io};

use thiserror::Error;

use super::CallError;

/// How far a call was. Before `Waiting`, the store has surely not seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    /// Looking up the name.
    Resolving,
    /// Connecting to an address.
    Connecting,
    /// Agreeing on TLS keys.
    Handshake,
    /// No byte of the request has left this process.
    Sending,
    /// The request may have arrived.
    Waiting,
    /// The response has begun.
    Reading,
}

impl fmt::Display for CallStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "looking up the name",
            Self::Connecting => "connecting",
            Self::Handshake => "setting up TLS",
            Self::Sending => "sending the request",
            Self::Waiting => "waiting for the response",
            Self::Reading => "reading the response",
        })
    }
}

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The first bytes of the server are not TLS.
    NotTls,
    /// The two sides have no version or algorithm in common.
    Incompatible,
    /// The handshake ended early.
    BrokenOff,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "it does not speak TLS",
            Self::Incompatible => "it does not support TLS 1.3 with the algorithms of this program",
            Self::BrokenOff => "the TLS handshake ended early",
        })
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No trusted authority issued it.
    UnknownIssuer,
    /// It has expired.
    Expired,
    /// It does not list the name of the address.
    OtherName,
    /// The server does not hold the certificate's key.
    BadSignature,
    /// Anything else.
    Unusable,
}

impl CertificateFault {
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "add the server's pin to the address (https://HOST:PORT#sha256/…), or set DROPSAFE_CA to the PEM file of \
                 its authority"
            }
            Self::Expired => "renew the server's certificate, and check this machine's clock",
            Self::OtherName => {
                "use a name that the certificate lists, or add the server's pin to the address"
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
            Self::OtherName => "its certificate is for another name",
            Self::BadSignature => "it does not hold the key of its certificate",
            Self::Unusable => "its certificate cannot be used",
        })
    }
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// Not HTTP/1.1, or with headers that are too long.
    NotHttp,
    /// Longer than this kind of response may be.
    TooLarge,
    /// Neither a length nor chunks mark the body's end, so nobody would notice a truncated one.
    Unbounded,
    /// Not JSON, or not of the expected shape.
    Unreadable,
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "is not valid HTTP/1.1",
            Self::TooLarge => "is too large",
            Self::Unbounded => "has no known length",
            Self::Unreadable => "is not what a store sends",
        })
    }
}

/// Why a source has no token for a machine. Never quotes what the source said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// It may be written soon.
    #[error("there is no such file")]
    NoFile,
    /// The file is there and cannot be read.
    #[error("the file cannot be read: {0}")]
    File(io::ErrorKind),
    /// There is nothing, or nothing yet.
    #[error("it is empty")]
    Empty,
    /// No issuer's token is that long.
    #[error("it gives more than the 16 KiB of the longest token")]
    TooLarge,
    /// It is something else.
    #[error("what it gives is not a token of an issuer (three parts with dots between them)")]
    NotAToken,
    /// A service cannot be called.
    #[error("{0}")]
    Call(Box<CallError>),
    /// A service answers with an error.
    #[error("it answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Whether the service says so when it is busy or being updated.
        passes: bool,
    },
    /// A service answers in another form than it has documented.
    #[error("something else answers at its address")]
    Unreadable,
    /// A program cannot be started.
    #[error("the program cannot be started: {0}")]
    Start(io::ErrorKind),
    /// A program has failed.
    #[error("the program ended with {0}")]
    Ended(ProgramEnd),
    /// A program takes too long.
    #[error("the program did not end in time and was killed")]
    Late,
}

/// How a program ended that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It exited.
    Status(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for ProgramEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl TokenFault {
    /// Whether another try may find a token.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            // Written by another process of the machine, or answered by a service.
            Self::NoFile | Self::Empty | Self::Unreadable | Self::Ended(_) | Self::Late => true,
            Self::Call(error) => matches!(**error, CallError::Outage(_)),
            Self::Status { passes, .. } => *passes,
            Self::File(_) | Self::TooLarge | Self::NotAToken | Self::Start(_) => false,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Call(error) => error.hint(),
            Self::NoFile | Self::Empty => Some("check token_from, and what writes the token"),
            Self::Status { .. } => {
                Some("check that the platform gives this machine or job an identity, and the audience")
            }
            Self::Unreadable => Some("check that this machine runs on the platform that token_from names"),
            Self::File(_)
            | Self::TooLarge
            | Self::NotAToken
            | Self::Start(_)
            | Self::Ended(_)
            | Self::Late => Some("check token_from"),
        }
    }
}
