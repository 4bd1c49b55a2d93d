//! What a commit may depend on.

use std::sync::Arc;

use super::{absent, at, delete, find, put, write};
use crate::kv::{CommitError, Kv};

pub(crate) async fn judges_each_kind_in_each_state(kv: Arc<dyn Kv>) {
    let first =
        write(&*kv, vec![put("present", "1"), put("rewritten", "1"), put("deleted", "1"), put("again", "1")])
            .await;
    let second = write(&*kv, vec![put("rewritten", "2"), delete("deleted"), delete("again")]).await;
    let third = write(&*kv, vec![put("again", "3")]).await;

    for (key, revision) in [
        ("present", Some(first)),
        ("rewritten", Some(second)),
        ("deleted", None),
        ("again", Some(third)),
        ("never", None),
    ] {
        let holds = async |precondition| match kv.commit(vec![precondition], vec![]).await {
            Ok(current) => {
                assert_eq!(current, third);
                true
            }
            Err(CommitError::Conflict { failed }) => {
                assert_eq!(failed, [0]);
                false
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(holds(absent(key)).await, revision.is_none(), "{key} absent");
        for asked in [0, first, second, third, third + 1, i64::MAX as u64] {
            assert_eq!(holds(at(key, asked)).await, Some(asked) == revision, "{key} at {asked}");
        }
    }
}

pub(crate) async fn names_all_that_fail(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("a", "1"), put("b", "1")]).await;
    let preconditions = vec![
        at("a", revision),
        absent("a"),
        absent("c"),
        at("c", revision),
        at("b", revision + 1),
        at("b", revision),
    ];
    let error = kv.commit(preconditions, vec![put("a", "2")]).await.unwrap_err();
    assert_eq!(error, CommitError::Conflict { failed: vec![1, 3, 4] });
}

pub(crate) async fn writes_nothing_when_one_fails(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("a", "1"), put("b", "1")]).await;
    let before = kv.scan(b"", None, 10).await.unwrap();
    for failing in 0..3 {
        let mut preconditions = vec![at("a", revision), at("b", revision), absent("c")];
        preconditions[failing] = at("c", revision);
        let writes = vec![put("a", "2"), delete("b"), put("c", "2")];
        let error = kv.commit(preconditions, writes).await.unwrap_err();
        assert_eq!(error, CommitError::Conflict { failed: vec![failing] });
        assert!(!error.outcome_unknown());
    }
    assert_eq!(kv.scan(b"", None, 10).await.unwrap(), before);
}

pub(crate) async fn may_name_other_keys_than_the_writes(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("guard", "1")]).await;
    let next =
        kv.commit(vec![at("guard", revision), at("guard", revision)], vec![put("a", "1")]).await.unwrap();
    assert_eq!(find(&*kv, "a").await.unwrap().revision, next);
    // The guard itself was not written.
    kv.commit(vec![at("guard", revision), at("a", next)], vec![delete("guard")]).await.unwrap();
    kv.commit(vec![at("guard", revision)], vec![put("a", "2")]).await.unwrap_err();
    assert_eq!(find(&*kv, "a").await.unwrap().value, b"1");
}

pub(crate) async fn are_checked_without_writes(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("a", "1")]).await;
    assert_eq!(kv.commit(vec![at("a", revision)], vec![]).await, Ok(revision));
    let error = kv.commit(vec![absent("a")], vec![]).await.unwrap_err();
    assert_eq!(error, CommitError::Conflict { failed: vec![0] });
}
