//! What etcd's answers mean to the store and its operator. Their texts stop here: only codes are logged.

use etcd_client::Error;

use crate::kv::{CommitError, Outage, Part, ReadError, Trouble};

/// Why etcd did not do what it was asked, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its quota is used up, until it is compacted, defragmented and its alarm taken back.
    Full,
    /// Its members hold different things.
    Corrupt,
    /// The user may not, or is not who it says.
    Denied,
    /// The revision that was asked for is compacted.
    Compacted,
    /// More operations or bytes than it was told to take.
    TooLarge(Part),
    /// No answer, or one that another member or a later time may better. It may have been done nonetheless.
    Unreachable,
}

// gRPC's status codes.
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const DATA_LOSS: i32 = 15;
const UNAUTHENTICATED: i32 = 16;

// === impl Fault ===

impl Fault {
    /// Several faults share a code, so that only etcd's texts, which are constants of its source, tell them apart.
    pub(crate) fn of(error: &Error) -> Fault {
        let Error::GRpcStatus(status) = error else {
            tracing::debug!("etcd was not reached");
            return Fault::Unreachable;
        };
        let (code, text) = (i32::from(status.code()), status.message());
        let fault = match code {
            RESOURCE_EXHAUSTED if text.contains("database space exceeded") => Fault::Full,
            INVALID_ARGUMENT if text.contains("too many operations") => Fault::TooLarge(Part::Writes),
            INVALID_ARGUMENT if text.contains("request is too large") => Fault::TooLarge(Part::Whole),
            // Of gRPC itself, of what is beyond etcd's bound.
            RESOURCE_EXHAUSTED if text.contains("larger than max") => Fault::TooLarge(Part::Whole),
            INVALID_ARGUMENT if text.contains("authentication failed") || text.contains("user name") => {
                Fault::Denied
            }
            // The members took their users into use, or changed them, while the request was on its way.
            INVALID_ARGUMENT if text.contains("auth store is old") => Fault::Unreachable,
            FAILED_PRECONDITION if text.contains("authentication is not enabled") => Fault::Denied,
            PERMISSION_DENIED | UNAUTHENTICATED => Fault::Denied,
            OUT_OF_RANGE if text.contains("compacted") => Fault::Compacted,
            DATA_LOSS => Fault::Corrupt,
            _ => Fault::Unreachable,
        };
        tracing::debug!(code, ?fault, "etcd refused");
        fault
    }

    /// Whether asking again may help.
    pub(crate) fn passes(self) -> bool {
        self == Fault::Unreachable
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> ReadError {
        match fault {
            Fault::Corrupt => ReadError::Corrupt,
            Fault::Denied => ReadError::Unavailable(Outage::Denied),
            Fault::Full | Fault::Compacted | Fault::TooLarge(_) | Fault::Unreachable => {
                ReadError::Unavailable(Outage::Unreachable)
            }
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        match fault {
            Fault::Full => Trouble::Full,
            Fault::Corrupt => Trouble::Corrupt,
            Fault::Denied => Trouble::Unavailable(Outage::Denied),
            Fault::Compacted | Fault::TooLarge(_) | Fault::Unreachable => {
                Trouble::Unavailable(Outage::Unreachable)
            }
        }
    }
}

/// The error of a commit that a fault kept from happening, `size` being that of the part that was too large.
pub(crate) fn commit_error(fault: Fault, size: impl Fn(Part) -> (usize, usize)) -> CommitError {
    match fault {
        Fault::Full => CommitError::Full,
        Fault::Corrupt => CommitError::Corrupt,
        Fault::Denied => CommitError::Unavailable(Outage::Denied),
        Fault::TooLarge(part) => {
            let (size, limit) = size(part);
            CommitError::TooLarge { part, size, limit }
        }
        Fault::Compacted | Fault::Unreachable => CommitError::Unavailable(Outage::Unreachable),
    }
}
