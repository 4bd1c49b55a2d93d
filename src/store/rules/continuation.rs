//! The last commit of a restore and of a move, which makes the copied records a store.

use std::sync::Arc;

use crate::crypto::record::RecordKey;
use crate::domain::audit::AuditEvent;
use crate::kv::{Kv, Precondition, Write};
use crate::store::engine::audit::chain::{Chain, NewEntries};
use crate::store::engine::audit::rows::{self, RowChange};
use crate::store::engine::audit::tables::Link;
use crate::store::engine::clock::{Clock, Entropy, KernelEntropy, SystemClock};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::encode;
use crate::store::engine::header;
use crate::store::engine::records::Records;
use crate::store::tables::store::{self, Identity};

/// Where the records were copied to.
pub(crate) struct Continuation<'a> {
    pub(crate) kv: &'a Arc<dyn Kv>,
    pub(crate) record_key: &'a RecordKey,
    /// The key of the mark of an unfinished copy.
    pub(crate) marker: &'a [u8],
    /// The format of the store that was copied.
    pub(crate) format: u16,
    /// What the log says of it.
    pub(crate) event: AuditEvent,
}

impl Continuation<'_> {
    /// Returns the parts of the commit. `identity` replaces the one that is stored as `copied`.
    pub(crate) async fn commit_parts(
        self,
        identity: &Identity,
        copied: &[u8],
    ) -> Result<(Vec<Precondition>, Vec<Write>), Failure> {
        let random: Arc<dyn Entropy> = Arc::new(KernelEntropy);
        let records = Records::new(Arc::clone(self.kv), self.record_key.clone(), random);
        let key = store::identity();
        let sealed = records.seal(key.bytes(), &encode(identity)?);
        let (before, after) = (Some(rows::digest(copied)), Some(rows::digest(&sealed)));
        let mut writes = vec![
            Write::Put(key.to_vec(), sealed),
            // The format of the copy: the first start upgrades it.
            Write::Put(header::HEADER.to_vec(), header::header_of_format(self.record_key, self.format)),
            Write::Delete(self.marker.to_vec()),
        ];
        let mut preconditions = vec![Precondition::Absent(header::HEADER.to_vec())];
        // The log of an older format does not record rows.
        if self.format >= header::FIRST_WITH_ROWS {
            let rows = vec![RowChange { key: key.to_vec(), before, after }];
            let now = SystemClock.now();
            let entries = NewEntries { events: vec![self.event], rows, link: Link::Next };
            let links = Chain::default().extend(&records, entries, now).await?;
            preconditions.extend(links.preconditions);
            writes.extend(links.writes);
        }
        Ok((preconditions, writes))
    }
}
