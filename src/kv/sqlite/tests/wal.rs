//! The write-ahead log is bounded under load, and emptied when idle, together with deleted values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Folder;
use crate::kv::conformance::{delete, put, write};
use crate::kv::sqlite::Sqlite;
use crate::kv::{Kv, Write};

const MIB: u64 = 1 << 20;

fn size(folder: &Folder) -> u64 {
    std::fs::metadata(folder.beside("-wal")).map_or(0, |found| found.len())
}

fn holds(folder: &Folder, needle: &[u8]) -> bool {
    ["", "-wal"].into_iter().any(|suffix| {
        let bytes = std::fs::read(folder.beside(suffix)).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

/// Polls until `condition` holds.
async fn soon(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Differs each time, since SQLite does not write an unchanged page.
fn large(round: u32) -> Write {
    put([round as u8 % 64], round.to_be_bytes().repeat(10_000))
}

#[tokio::test]
async fn empties_when_idle_and_erases_what_was_deleted() {
    let folder = Folder::default();
    let store = Sqlite::open_with(&folder.path(), Duration::from_millis(20)).unwrap();
    let (inline, overflowing) = (b"canary-in-its-row".repeat(5), b"canary-on-pages-of-its-own".repeat(2000));
    write(&store, vec![put("a", &inline), put("b", &overflowing), put("c", "kept"), put("d", &inline)]).await;
    soon("the log is empty", || size(&folder) == 0).await;
    assert!(holds(&folder, b"canary"));

    write(&store, vec![delete("a"), put("b", "replaced"), put("d", "")]).await;
    soon("the log is empty again", || size(&folder) == 0).await;
    assert!(!holds(&folder, b"canary"));
    assert!(holds(&folder, b"replaced"));
    store.close().await;
    assert!(!holds(&folder, b"canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stays_bounded_though_somebody_always_reads() {
    let folder = Folder::default();
    let store: Arc<dyn Kv> = Arc::new(folder.store());
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        readers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                store.scan(b"", None, usize::MAX).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut largest = 0;
    for round in 0..1500_u32 {
        // 60 MB in all.
        write(&*store, vec![large(round)]).await;
        largest = largest.max(size(&folder));
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(largest < 24 * MIB, "{largest}");
    store.close().await;
}

#[tokio::test]
async fn a_reader_that_stays_delays_commits_little_and_the_log_shrinks_when_it_leaves() {
    let folder = Folder::default();
    let store = Sqlite::open_with(&folder.path(), Duration::from_millis(20)).unwrap();
    write(&store, vec![large(0)]).await;
    let backup = folder.raw();
    backup.execute_batch("BEGIN; SELECT count(*) FROM kv").unwrap();

    let start = Instant::now();
    for round in 0..800_u32 {
        write(&store, vec![large(round)]).await;
    }
    // 33 MB: it is waited for a few times, and 0.1 s each.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(size(&folder) > 24 * MIB);

    backup.execute_batch("COMMIT").unwrap();
    soon("the log is empty", || size(&folder) == 0).await;
    store.close().await;
}
