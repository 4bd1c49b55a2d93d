//! After repeated `kill -9`, the store opens, has every acknowledged commit, and has no partial one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Folder, given_folder, in_a_process};
use crate::kv::conformance::{at, everything, find, put, write};
use crate::kv::sqlite::Sqlite;
use crate::kv::{CommitError, Kv};

const WRITERS: u8 = 8;
const ROUNDS: u64 = 25;

/// Raises a counter for each writer, and stores each number in the same commit. Prints each acknowledged number.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by another test, to be killed"]
async fn victim() {
    let Some(folder) = given_folder() else { return };
    let store: Arc<dyn Kv> = Arc::new(Sqlite::open(&folder.join("store.db")).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut number = counter(&*store, writer).await;
            loop {
                number += 1;
                let trace = [&[b't', writer][..], &number.to_be_bytes()].concat();
                write(
                    &*store,
                    vec![put([b'c', writer], number.to_be_bytes()), put(trace, vec![writer; 300])],
                )
                .await;
                println!("acknowledged {writer} {number}");
            }
        });
    }
    while writers.join_next().await.is_some() {}
}

async fn counter(store: &dyn Kv, writer: u8) -> u32 {
    let entry = find(store, [b'c', writer]).await;
    entry.map_or(0, |entry| u32::from_be_bytes(entry.value.try_into().unwrap()))
}

fn killed_after(folder: &Folder, delay: Duration) -> BTreeMap<u8, u32> {
    let mut child: Child =
        in_a_process(&[], "crash::victim", folder.0.path()).stdout(Stdio::piped()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = BTreeMap::new();
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            let words: Vec<_> = line.split(' ').collect();
            // The last line may be cut short by the end, which makes its number smaller: the promise is weaker, not wrong.
            if let ["acknowledged", writer, number] = words[..]
                && let (Ok(writer), Ok(number)) = (writer.parse::<u8>(), number.parse::<u32>())
            {
                let last = acknowledged.entry(writer).or_insert(0);
                *last = number.max(*last);
            }
        }
        acknowledged
    });
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[tokio::test]
async fn loses_nothing_acknowledged_to_kill_9() {
    let folder = Folder::default();
    let mut acknowledged: BTreeMap<u8, u32> = BTreeMap::new();
    let mut revision = 0;
    for round in 0..ROUNDS {
        // From before it has opened to some hundred commits later.
        acknowledged.extend(killed_after(&folder, Duration::from_millis(5 + round * 29 % 120)));

        let start = Instant::now();
        let store = folder.store();
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        for writer in 0..WRITERS {
            let number = counter(&store, writer).await;
            assert!(number >= acknowledged.get(&writer).copied().unwrap_or(0), "round {round}");
            let (traces, _) = everything(&store, &[b't', writer], 500).await;
            assert!(
                traces.len() == number as usize && traces.iter().all(|trace| trace.value == [writer; 300])
            );
        }
        let found = store.get(&[]).await.unwrap().1;
        assert!(found >= revision);
        revision = found;
        // Half of the time what the dead left in the log is left there for the next.
        if round % 2 == 0 {
            store.close().await;
        }
    }
    assert!(acknowledged.len() == usize::from(WRITERS), "the victims did some work");
    let check: String = folder.raw().query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn an_old_revision_is_not_used_again_after_a_crash() {
    let folder = Folder::default();
    let store = folder.store();
    let first = write(&store, vec![put("a", "1")]).await;
    let second = write(&store, vec![put("a", "2")]).await;
    // Not closed: as if killed.
    std::mem::forget(store);
    let store = folder.store();
    let third = write(&store, vec![put("b", "1")]).await;
    assert!(third > second);
    let error = store.commit(vec![at("a", first)], vec![]).await.unwrap_err();
    assert_eq!(error, CommitError::Conflict { failed: vec![0] });
}
