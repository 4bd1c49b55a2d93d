//! A snapshot: etcd keeps old revisions until they are compacted, so that reading at one needs nothing that stays open.

use std::sync::Arc;

use super::Shared;
use super::fault::EtcdFault;
use crate::kv::{BoxFuture, KvPage, KvReadError, KvSnapshot, Revision, SnapshotError};

pub(crate) struct EtcdSnapshot {
    shared: Arc<Shared>,
    revision: Revision,
}

impl EtcdSnapshot {
    pub(crate) async fn take(shared: &Arc<Shared>) -> Result<EtcdSnapshot, KvReadError> {
        shared.refuse_if_closed()?;
        Ok(EtcdSnapshot { shared: Arc::clone(shared), revision: shared.revision().await? })
    }
}

impl KvSnapshot for EtcdSnapshot {
    fn page<'a>(
        &'a mut self,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, SnapshotError>> {
        Box::pin(async move {
            self.shared.refuse_if_closed()?;
            // Never retried: only a new snapshot can follow one whose revision is compacted.
            self.shared.scan_once(b"", after, limit, Some(self.revision)).await.map_err(|fault| match fault {
                EtcdFault::Compacted => SnapshotError::Expired,
                fault => SnapshotError::Read(fault.into()),
            })
        })
    }
}
