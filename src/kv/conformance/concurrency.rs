//! Many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{absent, at, everything, find, put, write};
use crate::kv::{CommitError, Kv};

pub(crate) async fn loses_no_increment_of_64_writers(kv: Arc<dyn Kv>) {
    const EACH: u64 = 10;
    write(&*kv, vec![put("counter", 0_u64.to_be_bytes())]).await;
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let kv = Arc::clone(&kv);
        writers.spawn(async move {
            for _ in 0..EACH {
                while !increment(&*kv).await {}
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(find(&*kv, "counter").await.unwrap().value, (64 * EACH).to_be_bytes());
}

async fn increment(kv: &dyn Kv) -> bool {
    let entry = find(kv, "counter").await.unwrap();
    let count = u64::from_be_bytes(entry.value.try_into().unwrap());
    match kv
        .commit(vec![at("counter", entry.revision)], vec![put("counter", (count + 1).to_be_bytes())])
        .await
    {
        Ok(_) => true,
        Err(CommitError::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn has_one_winner_of_many(kv: Arc<dyn Kv>) {
    let mut takers = JoinSet::new();
    for taker in 0..500_u16 {
        let kv = Arc::clone(&kv);
        takers.spawn(async move {
            kv.commit(vec![absent("once")], vec![put("once", taker.to_be_bytes())]).await.is_ok()
        });
    }
    let mut winners = 0;
    while let Some(won) = takers.join_next().await {
        winners += usize::from(won.unwrap());
    }
    assert_eq!(winners, 1);
}

/// Writes rising numbers, each to all of `keys` in one commit, until `stop` is set.
fn write_in_step(kv: &Arc<dyn Kv>, keys: &[Vec<u8>], stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    let (kv, keys, stop) = (Arc::clone(kv), keys.to_vec(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut number = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            write(&*kv, keys.iter().map(|key| put(key, number.to_be_bytes())).collect()).await;
        }
    })
}

pub(crate) async fn shows_whole_commits_only(kv: Arc<dyn Kv>) {
    // More than a read on the caller's thread takes.
    let keys: Vec<_> = (0..100_u8).map(|index| vec![b'k', index]).collect();
    write(&*kv, keys.iter().map(|key| put(key, [0; 8])).collect()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_in_step(&kv, &keys, &stop);
    for round in 0..300 {
        let (entries, pages) = everything(&*kv, b"k", [20, 100, usize::MAX][round % 3]).await;
        assert_eq!(entries.len(), 100);
        for page in pages {
            let first = &page.entries[0];
            assert!(
                page.entries
                    .iter()
                    .all(|entry| (&entry.value, entry.revision) == (&first.value, first.revision))
            );
            assert_eq!(page.revision, first.revision);
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

pub(crate) async fn gives_all_keys_from_one_snapshot(kv: Arc<dyn Kv>) {
    let keys: Vec<_> = (0..100_u8).map(|index| vec![b'k', index]).collect();
    write(&*kv, keys.iter().map(|key| put(key, [0; 8])).collect()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_in_step(&kv, &keys, &stop);
    for round in 0..300 {
        let (found, revision) = kv.get(&keys[..[2, 100][round % 2]]).await.unwrap();
        let first = found[0].clone().unwrap();
        assert!(
            found.into_iter().flatten().all(|entry| entry.value == first.value && entry.revision == revision)
        );
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

pub(crate) async fn leaves_all_or_nothing_of_an_abandoned_commit(kv: Arc<dyn Kv>) {
    const ROUNDS: u32 = 200;
    for round in 0..ROUNDS {
        let keys = [b'a', b'b', b'c'].map(|letter| [&[letter][..], &round.to_be_bytes()].concat());
        let mut commit =
            Box::pin(kv.commit(vec![absent(&keys[0])], keys.iter().map(|key| put(key, "1")).collect()));
        // Polled at least once, then dropped at some later moment.
        let patience = Duration::from_micros(u64::from(round) * 10);
        let _ = tokio::time::timeout(patience, &mut commit).await;
        drop(commit);
    }
    // Behind all of them in any queue.
    write(&*kv, vec![put("last", "1")]).await;
    for round in 0..ROUNDS {
        let keys = [b'a', b'b', b'c'].map(|letter| [&[letter][..], &round.to_be_bytes()].concat());
        let found = kv.get(&keys).await.unwrap().0.into_iter().flatten().count();
        assert!(found == 0 || found == 3, "{found} of 3");
    }
}
