//! A full file system: commits are refused, nothing is lost, and commits succeed again once there is space.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Folder, given_folder, in_a_process};
use crate::kv::conformance::{everything, put, write};
use crate::kv::sqlite::Sqlite;
use crate::kv::sqlite::file::OpenFault;
use crate::kv::{CommitError, Kv, Trouble};

const BALLAST: usize = 1 << 20;

/// Mounts a small file system over `KV_TEST_FOLDER` in a new mount namespace, then executes the following command.
const ON_A_SMALL_FILE_SYSTEM: [&str; 5] =
    ["unshare", "-m", "sh", "-c", r#"mount -t tmpfs -o size=4m none "$KV_TEST_FOLDER" && exec "$0" "$@""#];

#[test]
fn is_refused_and_loses_nothing() {
    let folder = Folder::default();
    let mountable = std::process::Command::new(ON_A_SMALL_FILE_SYSTEM[0])
        .args(&ON_A_SMALL_FILE_SYSTEM[1..])
        .arg("true")
        .env("KV_TEST_FOLDER", folder.0.path())
        .output()
        .is_ok_and(|output| output.status.success());
    let before: &[&str] = match mountable {
        true => &ON_A_SMALL_FILE_SYSTEM,
        false => {
            eprintln!("no permission to mount: using a limit on file sizes instead");
            &["prlimit", "--fsize=3000000:"]
        }
    };
    let mut child =
        in_a_process(before, if mountable { "room::full" } else { "room::limited" }, folder.0.path());
    let output = child.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && text.windows(8).any(|text| text == b"1 passed"),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by another test, on a small file system"]
async fn full() {
    let Some(folder) = given_folder() else { return };
    let (path, ballast) = (folder.join("store.db"), folder.join("ballast"));
    std::fs::write(&ballast, vec![1; BALLAST]).unwrap();
    let store: Arc<dyn Kv> = Arc::new(Sqlite::open(&path).unwrap());

    let (mut acknowledged, refused) = fill(&store).await;
    assert!(refused.iter().all(|error| *error == CommitError::Full), "{refused:?}");
    assert!(!refused[0].outcome_unknown());
    // Until not even a small commit fits.
    let error = loop {
        let key = [b's', acknowledged.len() as u8, (acknowledged.len() >> 8) as u8];
        match store.commit(vec![], vec![put(key, [0; 200])]).await {
            Ok(_) => _ = acknowledged.insert(key.to_vec()),
            Err(error) => break error,
        }
    };
    assert_eq!(error, CommitError::Full);
    assert!(error.hint().is_some());
    assert_eq!(store.health().await.trouble, Some(Trouble::Full));
    holds_exactly(&*store, &acknowledged).await;
    another_has_no_room(&folder);

    std::fs::remove_file(&ballast).unwrap();
    write(&*store, vec![put("after", "room")]).await;
    assert_eq!(store.health().await.trouble, None);
    acknowledged.insert(b"after".to_vec());
    holds_exactly(&*store, &acknowledged).await;
    store.close().await;

    let store = Sqlite::open(&path).unwrap();
    holds_exactly(&store, &acknowledged).await;
    store.close().await;
    read_only(&path);
}

/// A new store cannot be created on a full file system.
fn another_has_no_room(folder: &Path) {
    let more = folder.join("more");
    std::fs::write(&more, vec![1; 4 * BALLAST]).unwrap_err();
    let error = Sqlite::open(&folder.join("another.db")).err().map(|error| error.fault);
    assert_eq!(error, Some(OpenFault::Full));
    std::fs::remove_file(more).unwrap();
}

/// The file system becomes read-only.
fn read_only(path: &Path) {
    let folder = path.parent().unwrap();
    let status = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(folder).status().unwrap();
    assert!(status.success());
    let error = Sqlite::open(path).err().map(|error| error.fault);
    assert_eq!(error, Some(OpenFault::ReadOnly));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by another test, with a limited size of files"]
async fn limited() {
    let Some(folder) = given_folder() else { return };
    ignore_sigxfsz();
    let path = folder.join("store.db");
    let store: Arc<dyn Kv> = Arc::new(Sqlite::open(&path).unwrap());
    // SQLite reports this like other write errors.
    let (mut acknowledged, refused) = fill(&store).await;
    assert!(!refused.is_empty());
    holds_exactly(&*store, &acknowledged).await;

    let status = std::process::Command::new("prlimit")
        .args(["--fsize=unlimited:", "--pid", &std::process::id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    write(&*store, vec![put("after", "room")]).await;
    acknowledged.insert(b"after".to_vec());
    holds_exactly(&*store, &acknowledged).await;
    store.close().await;
    holds_exactly(&Sqlite::open(&path).unwrap(), &acknowledged).await;
}

/// By default, the signal ends the process.
fn ignore_sigxfsz() {
    let _ = signal_hook::flag::register(nix::sys::signal::Signal::SIGXFSZ as i32, Arc::default()).unwrap();
}

/// Writes from several tasks until many commits have failed. Returns the acknowledged keys and the errors.
async fn fill(store: &Arc<dyn Kv>) -> (BTreeSet<Vec<u8>>, Vec<CommitError>) {
    let mut writers = JoinSet::new();
    for writer in 0..8_u8 {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
            for number in 0..60_u8 {
                // Large and small values, so that a group has both.
                let value = vec![writer; if number % 3 == 0 { 30_000 } else { 300 }];
                let (one, other) = ([b'l', writer, number].to_vec(), [b'm', writer, number].to_vec());
                match store.commit(vec![], vec![put(&one, &value), put(&other, "")]).await {
                    Ok(_) => acknowledged.extend([one, other]),
                    Err(error) => refused.push(error),
                }
            }
            (acknowledged, refused)
        });
    }
    let (mut acknowledged, mut refused) = (BTreeSet::new(), Vec::new());
    while let Some(done) = writers.join_next().await {
        let done = done.unwrap();
        acknowledged.extend(done.0);
        refused.extend(done.1);
    }
    assert!(!acknowledged.is_empty() && !refused.is_empty());
    (acknowledged, refused)
}

async fn holds_exactly(store: &dyn Kv, expected: &BTreeSet<Vec<u8>>) {
    let (found, _) = everything(store, b"", 1000).await;
    assert!(found.iter().map(|entry| &entry.key).eq(expected));
}
