//! A snapshot: a read transaction on its own connection, open as long as the snapshot.

use std::sync::Arc;

use rusqlite::Connection;

use super::reads::{self, Readers};
use crate::kv::{BoxFuture, KvPage, KvReadError, KvSnapshot, Revision, SnapshotError};

pub(crate) struct SqliteSnapshot {
    readers: Arc<Readers>,
    /// `None` while a page is read, and permanently if that read failed or was cancelled.
    connection: Option<Connection>,
    revision: Revision,
}

impl SqliteSnapshot {
    pub(crate) async fn take(readers: &Arc<Readers>) -> Result<SqliteSnapshot, KvReadError> {
        let (connection, revision) = readers.block_on(|readers| readers.begin()).await?;
        Ok(SqliteSnapshot { readers: Arc::clone(readers), connection: Some(connection), revision })
    }
}

impl KvSnapshot for SqliteSnapshot {
    fn page<'a>(
        &'a mut self,
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, SnapshotError>> {
        Box::pin(async move {
            // Not put back if this future is dropped: the thread that reads still has the connection then.
            let connection = self.connection.take().ok_or(SnapshotError::Expired)?;
            let after = after.map(<[u8]>::to_vec);
            let read = move |readers: &Readers| {
                // Returning drops the connection, so that a closed store holds no file open.
                readers.refuse_if_closed()?;
                let part = reads::page(&connection, after.as_deref(), limit)?;
                Ok((connection, part))
            };
            let (connection, part) = self.readers.block_on(read).await?;
            self.connection = Some(connection);
            Ok(part.at(self.revision))
        })
    }
}
