//! What a commit may hold, at the limit and one beyond.

use std::sync::Arc;

use super::{absent, delete, find, keys, put, write};
use crate::kv::{CommitError, CommitPart, Kv, Precondition, Write};

fn numbered(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|index| (index as u32).to_be_bytes().to_vec())
}

pub(crate) async fn takes_what_is_at_the_limit(kv: Arc<dyn Kv>) {
    let limits = kv.limits();
    let key = vec![0xff; limits.max_key];
    let value: Vec<u8> = (0..limits.max_value).map(|index| (index % 251) as u8).collect();
    write(&*kv, vec![put(&key, &value)]).await;
    assert!(find(&*kv, &key).await.unwrap().value == value);
    write(&*kv, vec![put(&key, "small")]).await;
    assert_eq!(find(&*kv, &key).await.unwrap().value, b"small");

    let count = limits.max_writes_per_commit;
    let preconditions = numbered(count).map(Precondition::Absent).collect();
    let writes = numbered(count).map(|key| Write::Put(key, vec![1])).collect();
    let revision = kv.commit(preconditions, writes).await.unwrap();
    let preconditions = numbered(count).map(|key| Precondition::At(key, revision)).collect();
    kv.commit(preconditions, numbered(count).map(Write::Delete).collect()).await.unwrap();
    assert_eq!(keys(&*kv, b"", None, 2).await.0, [key]);
}

pub(crate) async fn refuses_what_is_beyond(kv: Arc<dyn Kv>) {
    let limits = kv.limits();
    let long = vec![1; limits.max_key + 1];
    let large = vec![1; limits.max_value + 1];
    let many = limits.max_writes_per_commit + 1;
    let whole = limits.max_commit / limits.max_value + 1;
    let cases: [(CommitPart, Vec<Precondition>, Vec<Write>); 7] = [
        (CommitPart::Key, vec![], vec![put(&long, "")]),
        (CommitPart::Key, vec![], vec![put("a", ""), delete(&long)]),
        (CommitPart::Key, vec![absent(&long)], vec![]),
        (CommitPart::Value, vec![], vec![put("a", ""), put("b", &large)]),
        (CommitPart::Writes, vec![], numbered(many).map(|key| Write::Put(key, vec![])).collect()),
        (CommitPart::Preconditions, numbered(many).map(Precondition::Absent).collect(), vec![put("a", "")]),
        (
            CommitPart::Whole,
            vec![],
            numbered(whole).map(|key| Write::Put(key, large[1..].to_vec())).collect(),
        ),
    ];
    for (expected, preconditions, writes) in cases {
        match kv.commit(preconditions, writes).await {
            Err(CommitError::TooLarge { part, size, limit }) => {
                assert_eq!(part, expected);
                assert!(size > limit);
            }
            other => panic!("{expected:?}: {other:?}"),
        }
    }
    assert_eq!(keys(&*kv, b"", None, 1).await.0, [b""; 0]);
}

pub(crate) async fn refuses_empty_keys_and_keys_named_twice(kv: Arc<dyn Kv>) {
    for (preconditions, writes) in [
        (vec![], vec![put("", "1")]),
        (vec![], vec![put("a", "1"), delete("")]),
        (vec![absent("")], vec![put("a", "1")]),
    ] {
        assert_eq!(kv.commit(preconditions, writes).await, Err(CommitError::EmptyKey));
    }
    for writes in [[put("a", "1"), put("a", "1")], [put("a", "1"), delete("a")], [delete("a"), delete("a")]] {
        assert_eq!(kv.commit(vec![], writes.to_vec()).await, Err(CommitError::DuplicateKey));
    }
    assert_eq!(find(&*kv, "a").await, None);
}
