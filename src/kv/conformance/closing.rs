//! `close` and `health`.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{put, write};
use crate::kv::{CommitError, Kv, KvReadError, Outage, SnapshotError, Trouble};

pub(crate) async fn refuses_what_comes_after(kv: Arc<dyn Kv>) {
    write(&*kv, vec![put("a", "1")]).await;
    kv.close().await;
    kv.close().await;
    let closed = KvReadError::Unavailable(Outage::Closed);
    assert_eq!(kv.get(&[b"a".to_vec()]).await, Err(closed));
    assert_eq!(kv.scan(b"", None, 1).await, Err(closed));
    assert_eq!(kv.snapshot().await.err(), Some(closed));
    let error = kv.commit(vec![], vec![put("a", "2")]).await.unwrap_err();
    assert_eq!(error, CommitError::Unavailable(Outage::Closed));
    assert!(!error.outcome_unknown());
}

pub(crate) async fn ends_snapshots(kv: Arc<dyn Kv>) {
    write(&*kv, vec![put("a", "1")]).await;
    let mut snapshot = kv.snapshot().await.unwrap();
    assert_eq!(snapshot.page(None, 10).await.unwrap().entries.len(), 1);
    kv.close().await;
    let closed = KvReadError::Unavailable(Outage::Closed);
    assert_eq!(snapshot.page(None, 10).await, Err(SnapshotError::Read(closed)));
}

pub(crate) async fn finishes_what_was_accepted(kv: Arc<dyn Kv>) {
    let mut writers = JoinSet::new();
    for writer in 0..64_u8 {
        let kv = Arc::clone(&kv);
        writers.spawn(async move { kv.commit(vec![], vec![put([writer], "1")]).await });
    }
    kv.close().await;
    while let Some(outcome) = writers.join_next().await {
        match outcome.unwrap() {
            Ok(_) | Err(CommitError::Unavailable(Outage::Closed)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn is_healthy_until_then(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("a", "1")]).await;
    let health = kv.health().await;
    assert_eq!((health.trouble, health.revision), (None, Some(revision)));
    assert!(!kv.name().is_empty());
    kv.close().await;
    let health = kv.health().await;
    assert_eq!((health.trouble, health.revision), (Some(Trouble::Unavailable(Outage::Closed)), None));
}
