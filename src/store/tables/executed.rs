//! The requests of sealed release that were executed. Each is executed once, by any server, for as long as it could be sent again.

use crate::crypto::sealed_release::statement::StatementHash;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const EXECUTED: Table = Table::new(b'X', "executed request");

pub(crate) fn executed() -> Prefix<ExecutedRecord> {
    EXECUTED.all()
}

impl Records {
    /// Returns the key of the record of a statement.
    pub(crate) fn executed(&self, statement: &StatementHash) -> Key<ExecutedRecord> {
        self.hashed(&EXECUTED, &[statement])
    }
}

/// An executed request.
pub(crate) struct ExecutedRecord {
    /// Until when it has to be remembered.
    pub(crate) until: Timestamp,
}

impl ExecutedRecord {
    /// Whether no server accepts its statement any more.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }
}

stored! {
    StoredExecutedV1 = ExecutedRecord { until: i64 }
}

record! { ExecutedRecord {} newest 1 => StoredExecutedV1 }
