//! Other processes at the same file.

use super::Folder;
use crate::kv::conformance::{find, put, write};
use crate::kv::{CommitError, Kv, Outage, Trouble};

#[tokio::test]
async fn others_may_read_and_back_it_up() {
    let folder = Folder::default();
    let store = folder.store();
    write(&store, vec![put("a", "1")]).await;
    let copy = folder.beside("-copy");
    folder.raw().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    write(&store, vec![put("b", "1")]).await;

    let copy = crate::kv::sqlite::Sqlite::open(&copy).unwrap();
    assert!(find(&copy, "a").await.is_some());
    assert!(find(&copy, "b").await.is_none());
}

#[tokio::test]
async fn one_that_holds_it_is_told_and_loses_nothing() {
    let folder = Folder::default();
    let store = folder.store();
    write(&store, vec![put("a", "1")]).await;
    let other = folder.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let error = store.commit(vec![], vec![put("a", "2")]).await.unwrap_err();
    assert_eq!(error, CommitError::Unavailable(Outage::Busy));
    assert!(!error.outcome_unknown());
    assert!(error.hint().is_some());
    assert_eq!(store.health().await.trouble, Some(Trouble::Unavailable(Outage::Busy)));
    assert_eq!(find(&store, "a").await.unwrap().value, b"1");

    // A commit waits for another process that releases its lock soon.
    let waiting = store.commit(vec![], vec![put("a", "3")]);
    let (outcome, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        other.execute_batch("ROLLBACK").unwrap();
    });
    outcome.unwrap();
    assert_eq!(store.health().await.trouble, None);
    assert_eq!(find(&store, "a").await.unwrap().value, b"3");
}
