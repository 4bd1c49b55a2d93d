//! `commit` without preconditions: what it writes and how it counts.

use std::sync::Arc;

use super::{delete, find, keys, put, write};
use crate::kv::Kv;

pub(crate) async fn numbers_only_what_changes_something(kv: Arc<dyn Kv>) {
    let (_, start) = kv.get(&[]).await.unwrap();
    assert_eq!(write(&*kv, vec![]).await, start);
    assert_eq!(write(&*kv, vec![delete("none")]).await, start);

    let first = write(&*kv, vec![put("a", "1")]).await;
    assert!(first > start);
    // The same value once more is a change.
    let second = write(&*kv, vec![put("a", "1")]).await;
    assert!(second > first);
    let third = write(&*kv, vec![delete("a"), delete("none")]).await;
    assert!(third > second);
    assert_eq!(write(&*kv, vec![delete("a")]).await, third);
    assert_eq!(kv.get(&[]).await.unwrap().1, third);
}

pub(crate) async fn gives_entries_the_revision_of_their_last_write(kv: Arc<dyn Kv>) {
    let both = write(&*kv, vec![put("a", "1"), put("b", "1")]).await;
    let only_a = write(&*kv, vec![put("a", "2")]).await;
    assert_eq!(find(&*kv, "a").await.unwrap().revision, only_a);
    assert_eq!(find(&*kv, "b").await.unwrap().revision, both);

    write(&*kv, vec![delete("a")]).await;
    assert_eq!(find(&*kv, "a").await, None);
    let again = write(&*kv, vec![put("a", "1")]).await;
    assert!(again > only_a);
    assert_eq!(find(&*kv, "a").await.unwrap().revision, again);
}

pub(crate) async fn stores_empty_values(kv: Arc<dyn Kv>) {
    write(&*kv, vec![put("a", ""), put("b", "x")]).await;
    write(&*kv, vec![put("b", "")]).await;
    assert_eq!(find(&*kv, "a").await.unwrap().value, b"");
    assert_eq!(find(&*kv, "b").await.unwrap().value, b"");
}

pub(crate) async fn applies_all_writes_of_a_commit(kv: Arc<dyn Kv>) {
    write(&*kv, vec![put("old", "1"), put("kept", "1")]).await;
    write(&*kv, vec![delete("old"), put("new", "2"), delete("none"), put("other", "2")]).await;
    let (found, _) = keys(&*kv, b"", None, 10).await;
    assert_eq!(found, [&b"kept"[..], b"new", b"other"]);
}
