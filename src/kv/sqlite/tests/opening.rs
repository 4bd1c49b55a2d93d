//! Which files are opened, which are refused, and how files are created.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Folder;
use crate::kv::conformance::{find, put, write};
use crate::kv::sqlite::file::{OpenFault, StoreFile};
use crate::kv::sqlite::{Sqlite, SqliteOpenError};
use crate::kv::{Kv, Url, open};

fn refused(path: &Path) -> SqliteOpenError {
    match Sqlite::open(path) {
        Ok(_) => panic!("it was opened"),
        Err(error) => {
            assert!(error.hint().is_some());
            assert!(error.to_string().starts_with(&path.display().to_string()));
            error
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn keeps_what_was_written() {
    let folder = Folder::default();
    let store = folder.store();
    let revision = write(&store, vec![put("a", "1"), put("b", "2")]).await;
    store.close().await;

    let store = folder.store();
    assert_eq!(find(&store, "a").await.unwrap().revision, revision);
    assert!(write(&store, vec![put("c", "3")]).await > revision);
    // Without `close`, too.
    drop(store);
    let url: Url = format!("sqlite:{}", folder.path().display()).parse().unwrap();
    let store = open(&url).unwrap();
    assert_eq!(store.name(), "sqlite");
    assert_eq!(store.scan(b"", None, 10).await.unwrap().entries.len(), 3);
    assert!(store.health().await.bytes.unwrap() >= 8192);
}

#[tokio::test]
async fn makes_files_that_only_their_owner_reads() {
    let folder = Folder::default();
    let store = folder.store();
    write(&store, vec![put("a", "1")]).await;
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&folder.beside(suffix)), 0o600, "{suffix}");
    }
    store.close().await;
    // The log is removed after the last connection has closed.
    assert!(!folder.beside("-wal").exists() && !folder.beside("-shm").exists());

    // A copy made with the usual umask, and one that a group may read.
    for (found, left) in [(0o644, 0o640), (0o666, 0o660), (0o640, 0o640), (0o600, 0o600)] {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(found)).unwrap();
        folder.store().close().await;
        assert_eq!(mode(&folder.path()), left);
    }
}

#[test]
fn sets_what_durability_and_erasure_depend_on() {
    let folder = Folder::default();
    let (_, connection) = StoreFile::open(&folder.path()).unwrap();
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("synchronous"), 2);
    assert_eq!(number("secure_delete"), 1);
    assert_eq!(number("cell_size_check"), 1);
    assert_eq!(number("wal_autocheckpoint"), 0);
    assert_eq!(number("user_version"), 1);
    assert_eq!(&number("application_id").to_be_bytes()[4..], b"dsaf");
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

#[tokio::test]
async fn takes_an_empty_file_for_a_new_one() {
    let folder = Folder::default();
    std::fs::write(folder.path(), b"").unwrap();
    write(&folder.store(), vec![put("a", "1")]).await;

    // Making it was cut short between its header and its table.
    let folder = Folder::default();
    folder.raw().pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    write(&folder.store(), vec![put("a", "1")]).await;
}

#[test]
fn is_made_once_by_many() {
    let folder = Folder::default();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| folder.store());
        }
    });
}

#[test]
fn refuses_what_is_not_a_store() {
    let folder = Folder::default();
    assert_eq!(refused(folder.0.path()).fault, OpenFault::NotAFile);
    assert_eq!(refused(&folder.0.path().join("none/store.db")).fault, OpenFault::NoFolder);
    for garbage in [&b"x"[..], b"not a database, only some text", &[0; 512], &[0xa5; 100_000]] {
        std::fs::write(folder.path(), garbage).unwrap();
        assert_eq!(refused(&folder.path()).fault, OpenFault::NotADatabase, "{} bytes", garbage.len());
        assert_eq!(std::fs::read(folder.path()).unwrap(), garbage);
    }
}

#[tokio::test]
async fn refuses_a_store_cut_short() {
    let folder = Folder::default();
    let store = folder.store();
    write(&store, vec![put("a", "1")]).await;
    std::fs::copy(folder.path(), folder.beside("-start")).unwrap();
    std::fs::copy(folder.beside("-wal"), folder.beside("-empty-wal")).unwrap();
    std::fs::copy(folder.beside("-wal"), folder.beside("-missing-wal")).unwrap();
    store.close().await;

    let start = std::fs::OpenOptions::new().write(true).open(folder.beside("-start")).unwrap();
    start.set_len(4000).unwrap();
    assert_eq!(refused(&folder.beside("-start")).fault, OpenFault::Corrupt);
    assert_eq!(start.metadata().unwrap().len(), 4000);

    // A log whose file is gone holds all that there is.
    std::fs::write(folder.beside("-empty"), b"").unwrap();
    for name in ["-empty", "-missing"] {
        assert_eq!(refused(&folder.beside(name)).fault, OpenFault::Corrupt);
        assert!(std::fs::metadata(folder.beside(&format!("{name}-wal"))).unwrap().len() > 0);
    }
}

#[test]
fn refuses_databases_of_others_and_leaves_them_alone() {
    let folder = Folder::default();
    folder.raw().execute_batch("CREATE TABLE kv(key BLOB PRIMARY KEY)").unwrap();
    let before = std::fs::read(folder.path()).unwrap();
    assert_eq!(refused(&folder.path()).fault, OpenFault::Foreign);
    assert_eq!(std::fs::read(folder.path()).unwrap(), before);
}

#[tokio::test]
async fn refuses_what_a_newer_version_made() {
    let folder = Folder::default();
    folder.store().close().await;
    folder.raw().pragma_update(None, "user_version", 2).unwrap();
    let before = std::fs::read(folder.path()).unwrap();
    let error = refused(&folder.path());
    assert_eq!(error.fault, OpenFault::Newer { found: 2, known: 1 });
    assert!(
        error.to_string().ends_with("written by a newer version: layout 2, and this version reads up to 1")
    );
    assert!(error.hint().unwrap().contains("newer version"));
    assert_eq!(std::fs::read(folder.path()).unwrap(), before);
}

#[tokio::test]
async fn refuses_a_table_that_it_did_not_make() {
    for change in [
        "CREATE TABLE other(x)",
        "CREATE TRIGGER t AFTER INSERT ON kv BEGIN DELETE FROM kv; END",
        "DROP TABLE kv",
        "DROP TABLE kv; CREATE TABLE kv(key, value, revision)",
        "DELETE FROM kv WHERE key = x''",
    ] {
        let folder = Folder::default();
        folder.store().close().await;
        folder.raw().execute_batch(change).unwrap();
        assert_eq!(refused(&folder.path()).fault, OpenFault::Corrupt, "{change}");
    }
}

#[tokio::test]
#[ignore = "writes 250 MB"]
async fn opens_a_million_records_at_once_as_if_killed() {
    let folder = Folder::default();
    folder.store().close().await;
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
        INSERT INTO kv SELECT CAST(printf('record-%08d', i) AS BLOB), randomblob(200), 1 FROM n";
    folder.raw().execute_batch(fill).unwrap();
    let store = folder.store();
    // As much in the log as it ever has while commits come one by one.
    while std::fs::metadata(folder.beside("-wal")).unwrap().len() < 3_900_000 {
        let start = store.get(&[]).await.unwrap().1 * 7919 % 900_000;
        write(&store, (0..50).map(|i| put(format!("record-{:08}", start + i * 2000), [9; 200])).collect())
            .await;
    }
    // Copies without the index of the log, which a crash of the system would have left behind.
    std::fs::copy(folder.path(), folder.beside("-copy")).unwrap();
    std::fs::copy(folder.beside("-wal"), folder.beside("-copy-wal")).unwrap();

    let start = std::time::Instant::now();
    let copy = Sqlite::open(&folder.beside("-copy")).unwrap();
    let revision = copy.get(&[b"record-00500000".to_vec()]).await.unwrap().1;
    let took = start.elapsed();
    assert_eq!(revision, store.get(&[]).await.unwrap().1);
    println!("opened in {took:?}");
    assert!(took < std::time::Duration::from_millis(100), "{took:?}");
}
