//! The byte store: durable commits by one writer and by 64, reads of one entry and of a page of 20, compared with the same
//! operations on plain SQLite.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use dropsafe::kv::memory::Memory;
use dropsafe::kv::sqlite::Sqlite;
use dropsafe::kv::{Kv, Write};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SIZES: [u64; 2] = [1_000, 100_000];
/// The size of a secret's record.
const VALUE: [u8; 300] = [7; 300];

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Keys that are spread like keyed hashes: consecutive writes go to distant places of the file.
fn key(number: u64) -> Vec<u8> {
    let spread =
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    [&b"rec"[..], &spread.to_be_bytes(), &number.to_be_bytes()].concat()
}

async fn fill(kv: &dyn Kv, size: u64) {
    for start in (0..size).step_by(1000) {
        let writes = (start..(start + 1000).min(size)).map(|number| Write::Put(key(number), VALUE.to_vec()));
        kv.commit(vec![], writes.collect()).await.expect("room");
    }
}

struct Store {
    runtime: Runtime,
    kv: Arc<dyn Kv>,
    _folder: TempDir,
}

impl Store {
    fn new(open: impl FnOnce(&Path) -> Arc<dyn Kv>, size: u64) -> Store {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = runtime();
        let kv = open(&folder.path().join("store.db"));
        runtime.block_on(fill(&*kv, size));
        Store { runtime, kv, _folder: folder }
    }

    fn sqlite(size: u64) -> Store {
        Store::new(|path| Arc::new(Sqlite::open(path).expect("a store")), size)
    }

    fn memory(size: u64) -> Store {
        Store::new(|_| Arc::new(Memory::new()), size)
    }

    /// Runs `writers` tasks at once, with one commit each.
    fn commit(&self, bencher: Bencher, writers: u64) {
        let next = AtomicU64::new(1 << 40);
        bencher.counter(ItemsCount::new(writers)).bench(|| {
            self.runtime.block_on(async {
                let tasks: Vec<_> = (0..writers)
                    .map(|_| {
                        let (kv, key) = (Arc::clone(&self.kv), key(next.fetch_add(1, Ordering::Relaxed)));
                        tokio::spawn(
                            async move { kv.commit(vec![], vec![Write::Put(key, VALUE.to_vec())]).await },
                        )
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("no panic").expect("a commit");
                }
            });
        });
    }

    fn get(&self, bencher: Bencher, size: u64) {
        let next = AtomicU64::new(0);
        bencher.bench(|| {
            let key = [key(next.fetch_add(7919, Ordering::Relaxed) % size)];
            self.runtime.block_on(self.kv.get(&key)).expect("an entry")
        });
    }

    fn scan(&self, bencher: Bencher, size: u64) {
        let next = AtomicU64::new(0);
        bencher.bench(|| {
            let after = key(next.fetch_add(7919, Ordering::Relaxed) % size);
            self.runtime.block_on(self.kv.scan(b"rec", Some(&after), 20)).expect("a page")
        });
    }
}

#[divan::bench(args = [1, 64])]
fn commit_sqlite(bencher: Bencher, writers: u64) {
    Store::sqlite(100_000).commit(bencher, writers);
}

#[divan::bench(args = [1, 64])]
fn commit_memory(bencher: Bencher, writers: u64) {
    Store::memory(100_000).commit(bencher, writers);
}

/// One durable transaction with one row, on the calling thread.
#[divan::bench]
fn commit_plain_sqlite(bencher: Bencher) {
    let (_folder, connection) = plain_sqlite(100_000);
    let mut next = 1 << 40;
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        next += 1;
        let put = "INSERT INTO kv(key, value, revision) VALUES (?1, ?2, 1)";
        connection.prepare_cached(put).and_then(|mut put| put.execute((key(next), VALUE))).expect("room")
    });
}

#[divan::bench(args = SIZES)]
fn get_sqlite(bencher: Bencher, size: u64) {
    Store::sqlite(size).get(bencher, size);
}

#[divan::bench(args = SIZES)]
fn get_memory(bencher: Bencher, size: u64) {
    Store::memory(size).get(bencher, size);
}

#[divan::bench(args = SIZES)]
fn get_plain_sqlite(bencher: Bencher, size: u64) {
    let (_folder, connection) = plain_sqlite(size);
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 7919) % size;
        let find = "SELECT value, revision FROM kv WHERE key = ?1";
        let mut find = connection.prepare_cached(find).expect("a statement");
        find.query_row([key(next)], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)))
            .expect("an entry")
    });
}

#[divan::bench(args = SIZES)]
fn scan_20_sqlite(bencher: Bencher, size: u64) {
    Store::sqlite(size).scan(bencher, size);
}

#[divan::bench(args = SIZES)]
fn scan_20_memory(bencher: Bencher, size: u64) {
    Store::memory(size).scan(bencher, size);
}

/// A database with the same table and settings.
fn plain_sqlite(size: u64) -> (TempDir, Connection) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut connection = Connection::open(folder.path().join("plain.db")).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA secure_delete = on;
             CREATE TABLE kv(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID, STRICT",
        )
        .expect("a table");
    let transaction = connection.transaction().expect("a transaction");
    for number in 0..size {
        transaction.execute("INSERT INTO kv VALUES (?1, ?2, 1)", (key(number), VALUE)).expect("room");
    }
    transaction.commit().expect("room");
    (folder, connection)
}

/// 64 rows, as many as 64 writers write, in one durable transaction.
#[divan::bench]
fn commit_64_plain_sqlite(bencher: Bencher) {
    let (_folder, connection) = plain_sqlite(100_000);
    let mut next = 1 << 40;
    bencher.counter(ItemsCount::new(64_u64)).bench_local(|| {
        connection.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
        for _ in 0..64 {
            next += 1;
            let put = "INSERT INTO kv(key, value, revision) VALUES (?1, ?2, 1)";
            connection.prepare_cached(put).and_then(|mut put| put.execute((key(next), VALUE))).expect("room");
        }
        connection.execute_batch("COMMIT").expect("room");
    });
}
