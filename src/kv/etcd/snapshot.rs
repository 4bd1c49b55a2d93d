//! A snapshot: etcd keeps old revisions until they are compacted, so that reading at one needs nothing that stays open.

use std::sync::Arc;

use super::Shared;
use super::fault::Fault;
use crate::kv::{BoxFuture, KvSnapshot, Page, ReadError, Revision, SnapshotError};

pub(crate) struct Snapshot {
    shared: Arc<Shared>,
    revision: Revision,
}

impl Snapshot {
    pub(crate) async fn take(shared: &Arc<Shared>) -> Result<Snapshot, ReadError> {
        shared.refuse_if_closed()?;
        Ok(Snapshot { shared: Arc::clone(shared), revision: shared.revision().await? })
    }
}

impl KvSnapshot for Snapshot {
    fn page<'a>(
        &'a mut self,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, SnapshotError>> {
        Box::pin(async move {
            self.shared.refuse_if_closed()?;
            self.shared.scan_once(b"", after, limit, Some(self.revision)).await.map_err(|fault| match fault {
                Fault::Compacted => SnapshotError::Expired,
                fault => SnapshotError::Read(fault.into()),
            })
        })
    }
}
