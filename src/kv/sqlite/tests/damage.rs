//! A damaged file is an error, never a panic and never a wrong value.

use std::os::unix::fs::FileExt;

use super::Folder;
use crate::kv::conformance::{put, write};
use crate::kv::sqlite::Sqlite;
use crate::kv::sqlite::file::OpenFault;
use crate::kv::{CommitError, Kv, KvReadError, Trouble};

const PAGE: u64 = 4096;

fn key(index: u16) -> [u8; 3] {
    let [high, low] = index.to_be_bytes();
    [b'k', high, low]
}

/// A closed store of a few hundred pages.
async fn filled() -> Folder {
    let folder = Folder::default();
    let store = folder.store();
    for batch in 0..10_u16 {
        write(&store, (0..500).map(|index| put(key(batch * 500 + index), [7; 200])).collect()).await;
    }
    store.close().await;
    folder
}

/// Overwrites pages after the first.
fn damage(folder: &Folder, with: u8) {
    let file = std::fs::OpenOptions::new().write(true).open(folder.path()).unwrap();
    let pages = file.metadata().unwrap().len() / PAGE;
    for page in 2..pages {
        file.write_all_at(&[with; PAGE as usize], page * PAGE).unwrap();
    }
}

#[tokio::test]
async fn damaged_pages_are_told() {
    for with in [0, 0xff] {
        let folder = filled().await;
        damage(&folder, with);
        let store = match Sqlite::open(&folder.path()) {
            // The entry with the revision is on such a page.
            Err(error) => {
                assert_eq!(error.fault, OpenFault::Corrupt);
                assert!(error.hint().unwrap().contains("restore"));
                continue;
            }
            Ok(store) => store,
        };
        assert_eq!(store.scan(b"", None, usize::MAX).await, Err(KvReadError::Corrupt));
        assert_eq!(store.get(&[key(2500).to_vec()]).await, Err(KvReadError::Corrupt));
        assert_eq!(store.commit(vec![], vec![put(key(2500), "new")]).await, Err(CommitError::Corrupt));
        assert_eq!(store.health().await.trouble, Some(Trouble::Corrupt));
        assert!(CommitError::Corrupt.hint().unwrap().contains("restore"));
        store.close().await;
    }
}

#[tokio::test]
async fn a_damaged_page_spoils_no_other() {
    let folder = filled().await;
    let file = std::fs::OpenOptions::new().write(true).open(folder.path()).unwrap();
    let pages = file.metadata().unwrap().len() / PAGE;
    file.write_all_at(&[0xff; PAGE as usize], pages / 2 * PAGE).unwrap();
    let store = folder.store();
    let (mut refused, mut unread) = (Vec::new(), Vec::new());
    for index in 2300..2700 {
        match store.commit(vec![], vec![put(key(index), [8; 200])]).await {
            Err(error) => {
                assert_eq!(error, CommitError::Corrupt);
                refused.push(index);
            }
            Ok(_) => match store.get(&[key(index).to_vec()]).await {
                Ok((found, _)) => assert_eq!(found[0].as_ref().unwrap().value, [8; 200]),
                Err(error) => {
                    assert_eq!(error, KvReadError::Corrupt);
                    unread.push(index);
                }
            },
        }
    }
    assert!((1..100).contains(&refused.len()), "{} of 400", refused.len());
    // The rows beside them are on the page above, which SQLite can leave by way of the damaged one.
    assert!(unread.iter().all(|index| refused.contains(&(index - 1)) || refused.contains(&(index + 1))));
    store.close().await;
}

#[tokio::test]
async fn damage_while_open_is_told() {
    let folder = filled().await;
    let store = folder.store();
    write(&store, vec![put(key(0), "changed")]).await;
    damage(&folder, 0xff);
    assert_eq!(store.scan(b"k", None, usize::MAX).await, Err(KvReadError::Corrupt));
    assert_eq!(store.get(&[key(4000).to_vec()]).await, Err(KvReadError::Corrupt));
    store.close().await;
}

#[tokio::test]
async fn a_short_file_is_told() {
    let folder = filled().await;
    let file = std::fs::OpenOptions::new().write(true).open(folder.path()).unwrap();
    file.set_len(20 * PAGE).unwrap();
    match Sqlite::open(&folder.path()) {
        Err(error) => assert_eq!(error.fault, OpenFault::Corrupt),
        Ok(store) => assert_eq!(store.scan(b"", None, usize::MAX).await, Err(KvReadError::Corrupt)),
    }
}

#[tokio::test]
async fn flipped_bytes_anywhere_panic_nowhere() {
    let folder = filled().await;
    let whole = std::fs::read(folder.path()).unwrap();
    // The whole header, and places all over the file.
    let places = (0..120).chain((120..whole.len()).step_by(whole.len() / 150));
    for place in places {
        let mut changed = whole.clone();
        changed[place] ^= 0xff;
        std::fs::write(folder.path(), &changed).unwrap();
        let Ok(store) = Sqlite::open(&folder.path()) else { continue };
        match store.scan(b"", None, usize::MAX).await {
            Ok(page) => assert!(page.entries.len() <= 5000),
            Err(error) => assert_eq!(error, KvReadError::Corrupt),
        }
        match store.commit(vec![], vec![put(key(1), "new"), put("z", "new")]).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error, CommitError::Corrupt, "{place}"),
        }
        store.close().await;
    }
}
