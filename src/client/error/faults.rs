//! What failed inside one call: its stage, the TLS handshake, the certificate, the response.

use std::fmt;

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
