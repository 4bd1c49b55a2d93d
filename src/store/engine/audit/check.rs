//! The record of the regular verification, which one server at a time makes.

use crate::domain::time::Timestamp;
use crate::kv::{CommitError, Precondition, Revision, Write};
use crate::store::engine::audit::refused::RowId;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{encode, record, stored};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

/// The log does not record writes of this table: the record says only when to verify again, and restoring an older one makes that
/// earlier.
pub(crate) const CHECK: Table = Table::new(b'h', "state check");

/// A verification by any server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRecord {
    pub(crate) started_at: Timestamp,
    /// When its server last wrote that it still runs.
    pub(crate) alive_at: Timestamp,
    /// `None` while it runs.
    pub(crate) ended_at: Option<Timestamp>,
    /// Milliseconds from the start of the verification before.
    pub(crate) period: Option<u64>,
    pub(crate) entries: u64,
    pub(crate) rows: u64,
    /// Whether no fault was found. The last result stays until the next verification ends.
    pub(crate) ok: bool,
    /// Rows that do not match the log.
    pub(crate) faults: u64,
    /// The first of them, which every server refuses.
    pub(crate) refused: Vec<RowId>,
}

impl CheckRecord {
    /// The record of a verification that began and ended at this time, and found nothing: the one before the first.
    pub(crate) fn ended_at(at: Timestamp) -> Self {
        let (started_at, alive_at, ended_at, period, refused) = (at, at, Some(at), None, Vec::new());
        Self { started_at, alive_at, ended_at, period, entries: 0, rows: 0, ok: true, faults: 0, refused }
    }
}

stored! {
    StoredCheckV1 = CheckRecord {
        started_at: i64,
        alive_at: i64,
        ended_at: Option<i64>,
        period: Option<u64>,
        entries: u64,
        rows: u64,
        ok: bool,
        faults: u64,
        refused: Vec<[u8; 16]>,
    }
}

record! { CheckRecord {} newest 1 => StoredCheckV1 }

fn key() -> Key<CheckRecord> {
    CHECK.singleton()
}

impl Records {
    /// Returns the newest record, and the commit that wrote it.
    pub(crate) async fn last_check(&self) -> Result<Option<(CheckRecord, Revision)>, Failure> {
        let snapshot = self.snapshot(vec![key().to_vec()]).await?;
        let record = match snapshot.read(self, 0, &key()) {
            // Somebody has changed it. It must not keep every server from verifying, so that it reads as one that failed long ago.
            Err(Failure::Corrupt) => {
                Some(CheckRecord { ok: false, ..CheckRecord::ended_at(Timestamp::from_millis(0)) })
            }
            record => record?,
        };
        Ok(record.zip(snapshot.written_at(0)))
    }

    /// Stores a record in place of the one that `before` wrote. Returns `None` if another server was faster.
    pub(crate) async fn store_check(
        &self,
        record: &CheckRecord,
        before: Option<Revision>,
    ) -> Result<Option<Revision>, Failure> {
        let key = key().to_vec();
        let condition = match before {
            Some(revision) => Precondition::At(key.clone(), revision),
            None => Precondition::Absent(key.clone()),
        };
        let sealed = self.seal(&key, &encode(record)?);
        // Past the journal: an entry for each verification would make the log grow on a store that nobody uses.
        match self.kv.commit(vec![condition], vec![Write::Put(key, sealed)]).await {
            Ok(revision) => Ok(Some(revision)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
