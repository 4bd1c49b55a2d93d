//! What etcd's answers mean to the store and its operator. Their texts stop here: only codes are logged.

use etcd_client::Error;

use crate::kv::{CommitError, CommitPart, KvReadError, Outage, Trouble};

/// Why etcd did not do what it was asked, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtcdFault {
    /// Its quota is used up, until it is compacted, defragmented and its alarm taken back.
    Full,
    /// Its members hold different things.
    Corrupt,
    /// The user may not, or is not who it says.
    Denied,
    /// The revision that was asked for is compacted.
    Compacted,
    /// More operations or bytes than it was told to take.
    TooLarge(CommitPart),
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

// === impl EtcdFault ===

impl EtcdFault {
    /// Several faults share a code, so that only etcd's texts, which are constants of its source, tell them apart.
    pub(crate) fn from_error(error: &Error) -> EtcdFault {
        let Error::GRpcStatus(status) = error else {
            tracing::debug!("etcd was not reached");
            return EtcdFault::Unreachable;
        };
        let (code, text) = (i32::from(status.code()), status.message());
        let fault = match code {
            RESOURCE_EXHAUSTED if text.contains("database space exceeded") => EtcdFault::Full,
            INVALID_ARGUMENT if text.contains("too many operations") => {
                EtcdFault::TooLarge(CommitPart::Writes)
            }
            INVALID_ARGUMENT if text.contains("request is too large") => {
                EtcdFault::TooLarge(CommitPart::Whole)
            }
            // Of gRPC itself, of what is prefix_end etcd's bound.
            RESOURCE_EXHAUSTED if text.contains("larger than max") => EtcdFault::TooLarge(CommitPart::Whole),
            INVALID_ARGUMENT if text.contains("authentication failed") || text.contains("user name") => {
                EtcdFault::Denied
            }
            // The members took their users into use, or changed them, while the request was on its way.
            INVALID_ARGUMENT if text.contains("auth store is old") => EtcdFault::Unreachable,
            FAILED_PRECONDITION if text.contains("authentication is not enabled") => EtcdFault::Denied,
            PERMISSION_DENIED | UNAUTHENTICATED => EtcdFault::Denied,
            OUT_OF_RANGE if text.contains("compacted") => EtcdFault::Compacted,
            DATA_LOSS => EtcdFault::Corrupt,
            _ => EtcdFault::Unreachable,
        };
        tracing::debug!(code, ?fault, "etcd refused");
        fault
    }

    /// Whether asking again may help.
    pub(crate) fn is_transient(self) -> bool {
        self == EtcdFault::Unreachable
    }
}

impl From<EtcdFault> for KvReadError {
    fn from(fault: EtcdFault) -> KvReadError {
        match fault {
            EtcdFault::Corrupt => KvReadError::Corrupt,
            EtcdFault::Denied => KvReadError::Unavailable(Outage::Denied),
            EtcdFault::Full | EtcdFault::Compacted | EtcdFault::TooLarge(_) | EtcdFault::Unreachable => {
                KvReadError::Unavailable(Outage::Unreachable)
            }
        }
    }
}

impl From<EtcdFault> for Trouble {
    fn from(fault: EtcdFault) -> Trouble {
        match fault {
            EtcdFault::Full => Trouble::Full,
            EtcdFault::Corrupt => Trouble::Corrupt,
            EtcdFault::Denied => Trouble::Unavailable(Outage::Denied),
            EtcdFault::Compacted | EtcdFault::TooLarge(_) | EtcdFault::Unreachable => {
                Trouble::Unavailable(Outage::Unreachable)
            }
        }
    }
}

/// The error of a commit that a fault kept from happening, `size` being that of the part that was too large.
pub(crate) fn commit_error(fault: EtcdFault, size: impl Fn(CommitPart) -> (usize, usize)) -> CommitError {
    match fault {
        EtcdFault::Full => CommitError::Full,
        EtcdFault::Corrupt => CommitError::Corrupt,
        EtcdFault::Denied => CommitError::Unavailable(Outage::Denied),
        EtcdFault::TooLarge(part) => {
            let (size, limit) = size(part);
            CommitError::TooLarge { part, size, limit }
        }
        EtcdFault::Compacted | EtcdFault::Unreachable => CommitError::Unavailable(Outage::Unreachable),
    }
}
