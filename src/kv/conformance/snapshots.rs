//! `snapshot`.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{delete, everything, put, write};
use crate::kv::{Kv, KvEntry, KvPage, KvSnapshot};

/// All entries of a snapshot, page by page.
pub(crate) async fn pages(snapshot: &mut dyn KvSnapshot, limit: usize) -> (Vec<KvEntry>, Vec<KvPage>) {
    let (mut all, mut pages) = (Vec::<KvEntry>::new(), Vec::new());
    loop {
        let after = all.last().map(|entry| entry.key.clone());
        let page = snapshot.page(after.as_deref(), limit).await.unwrap();
        all.extend(page.entries.iter().cloned());
        pages.push(page);
        if !pages.last().unwrap().more {
            return (all, pages);
        }
    }
}

pub(crate) async fn stays_at_its_revision_while_others_write(kv: Arc<dyn Kv>) {
    for key in 0..100_u8 {
        write(&*kv, vec![put([key], "before")]).await;
    }
    let (expected, _) = everything(&*kv, b"", 1000).await;
    let revision = kv.get(&[]).await.unwrap().1;
    let mut snapshot = kv.snapshot().await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..8_u8 {
        let kv = Arc::clone(&kv);
        writers.spawn(async move {
            for round in 0..30_u8 {
                let (one, other) = ((writer * 3 + round) % 100, 100 + (writer + round * 7) % 100);
                write(&*kv, vec![delete([one]), put([other], [writer, round])]).await;
            }
        });
    }
    for limit in [7, 64, 100, usize::MAX] {
        let (found, pages) = pages(&mut *snapshot, limit).await;
        assert_eq!(found, expected, "pages of {limit}");
        assert!(pages.iter().all(|page| page.revision == revision && page.entries.len() <= limit));
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    assert_eq!(pages(&mut *snapshot, 33).await.0, expected);
    drop(snapshot);
    let (now, _) = everything(&*kv, b"", 1000).await;
    assert_ne!(now, expected);
    assert_eq!(pages(&mut *kv.snapshot().await.unwrap(), 33).await.0, now);
}

pub(crate) async fn holds_whole_commits_only(kv: Arc<dyn Kv>) {
    let keys: Vec<_> = (0..100_u8).map(|index| vec![b'k', index]).collect();
    write(&*kv, keys.iter().map(|key| put(key, [0; 8])).collect()).await;
    let writer = {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for number in 1..100_u64 {
                write(&*kv, keys.iter().map(|key| put(key, number.to_be_bytes())).collect()).await;
            }
        })
    };
    while !writer.is_finished() {
        let mut snapshot = kv.snapshot().await.unwrap();
        let (entries, pages) = pages(&mut *snapshot, 20).await;
        assert_eq!(entries.len(), 100);
        assert!(entries.iter().all(|entry| entry.value == entries[0].value));
        assert!(pages.iter().all(|page| page.revision == entries[0].revision));
    }
    writer.await.unwrap();
}

pub(crate) async fn includes_what_was_acknowledged(kv: Arc<dyn Kv>) {
    assert_eq!(pages(&mut *kv.snapshot().await.unwrap(), 10).await.0, vec![]);
    for round in 0..50_u8 {
        let revision = write(&*kv, vec![put("k", [round]), put([0], "")]).await;
        let mut snapshot = kv.snapshot().await.unwrap();
        let page = snapshot.page(Some(&[0]), 10).await.unwrap();
        assert_eq!(page.revision, revision);
        assert_eq!((&page.entries[0].value, page.entries[0].revision), (&vec![round], revision));
    }
}

pub(crate) async fn bounds_the_bytes_of_its_pages(kv: Arc<dyn Kv>) {
    let value = vec![7; kv.limits().max_value / 2];
    for index in 0..24 {
        write(&*kv, vec![put([b'k', index], &value)]).await;
    }
    let (found, pages) = pages(&mut *kv.snapshot().await.unwrap(), usize::MAX).await;
    assert_eq!(found.len(), 24);
    assert!(found.iter().all(|entry| entry.value == value));
    assert!(pages.iter().all(|page| !page.entries.is_empty()));
}
