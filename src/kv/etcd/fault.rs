//! etcd's errors, sorted by what can be done about them. Their texts stop here: only codes are logged.

use etcd_client::Error;

use crate::kv::{CommitError, CommitPart, KvReadError, Outage, Trouble};

/// Why a request to etcd failed, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtcdFault {
    /// Its quota is used up, until an operator compacts, defragments and disarms the alarm.
    Full,
    /// Its members disagree about their data.
    Corrupt,
    /// The user may not do this, or its password is wrong.
    Denied,
    /// The revision of the request is compacted.
    Compacted,
    /// More operations or bytes than the members are configured to accept.
    TooLarge(CommitPart),
    /// No answer, or an error that another member or a later try may not give. The request may have succeeded.
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

impl EtcdFault {
    pub(crate) fn from_error(error: &Error) -> EtcdFault {
        let Error::GRpcStatus(status) = error else {
            tracing::debug!("etcd was not reached");
            return EtcdFault::Unreachable;
        };
        let (code, text) = (i32::from(status.code()), status.message());
        // Several faults share a code. Only the texts, which are constants of etcd's source, tell them apart:
        // https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go
        let fault = match code {
            RESOURCE_EXHAUSTED if text.contains("database space exceeded") => EtcdFault::Full,
            INVALID_ARGUMENT if text.contains("too many operations") => {
                EtcdFault::TooLarge(CommitPart::Writes)
            }
            INVALID_ARGUMENT if text.contains("request is too large") => {
                EtcdFault::TooLarge(CommitPart::Whole)
            }
            // From gRPC itself, for a message that exceeds etcd's bound.
            RESOURCE_EXHAUSTED if text.contains("larger than max") => EtcdFault::TooLarge(CommitPart::Whole),
            INVALID_ARGUMENT if text.contains("authentication failed") || text.contains("user name") => {
                EtcdFault::Denied
            }
            // Authentication was enabled, or users changed, while the request was on its way.
            INVALID_ARGUMENT if text.contains("auth store is old") => EtcdFault::Unreachable,
            FAILED_PRECONDITION if text.contains("authentication is not enabled") => EtcdFault::Denied,
            PERMISSION_DENIED | UNAUTHENTICATED => EtcdFault::Denied,
            OUT_OF_RANGE if text.contains("compacted") => EtcdFault::Compacted,
            DATA_LOSS => EtcdFault::Corrupt,
            // Also what this program does not know: a later try tells.
            _ => EtcdFault::Unreachable,
        };
        tracing::debug!(code, ?fault, "etcd refused");
        fault
    }

    /// Whether a later try may succeed.
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

/// The error of a commit that failed with a fault. `size` returns the size and the limit of a part.
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
