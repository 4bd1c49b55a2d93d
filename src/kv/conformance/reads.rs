//! `get` and `scan`, one at a time.

use std::sync::Arc;

use super::{everything, find, keys, put, write};
use crate::kv::Kv;

const AWKWARD: [&[u8]; 10] =
    [&[0], &[0, 0], &[0, 1], &[1], b"a", b"a\0", b"ab", &[0xfe, 0xff], &[0xff], &[0xff, 0xff]];

async fn fill(kv: &dyn Kv) {
    // Not in their order.
    let writes = [4, 9, 0, 7, 2, 5, 8, 1, 6, 3].map(|index| put(AWKWARD[index], [index as u8]));
    write(kv, writes.to_vec()).await;
}

pub(crate) async fn finds_what_was_asked_in_that_order(kv: Arc<dyn Kv>) {
    let revision = write(&*kv, vec![put("a", "1"), put("b", "2")]).await;

    let asked = ["b", "none", "a", "b", "", "a\0"].map(|key| key.as_bytes().to_vec());
    let (found, snapshot) = kv.get(&asked).await.unwrap();

    assert_eq!(snapshot, revision);
    let values: Vec<_> = found.iter().map(|entry| entry.as_ref().map(|entry| &entry.value[..])).collect();
    assert_eq!(values, [Some(&b"2"[..]), None, Some(b"1"), Some(b"2"), None, None]);
    for (key, entry) in asked.iter().zip(&found) {
        assert!(entry.as_ref().is_none_or(|entry| entry.key == *key && entry.revision == revision));
    }
    assert_eq!(kv.get(&[]).await.unwrap(), (vec![], revision));
}

pub(crate) async fn orders_keys_as_bytes(kv: Arc<dyn Kv>) {
    fill(&*kv).await;
    let (found, more) = keys(&*kv, b"", None, 100).await;
    assert_eq!(found, AWKWARD);
    assert!(!more);
}

pub(crate) async fn keeps_to_the_prefix(kv: Arc<dyn Kv>) {
    assert_eq!(keys(&*kv, b"", None, 9).await, (vec![], false));
    fill(&*kv).await;
    for prefix in AWKWARD.into_iter().chain([&b""[..], b"b", &[0xff, 0xfe], &[0xff, 0xff, 0xff], &[0xfe]]) {
        let expected: Vec<_> = AWKWARD.into_iter().filter(|key| key.starts_with(prefix)).collect();
        let (found, more) = keys(&*kv, prefix, None, 100).await;
        assert_eq!(found, expected, "{prefix:x?}");
        assert!(!more);
    }
}

pub(crate) async fn starts_after_the_given_key(kv: Arc<dyn Kv>) {
    fill(&*kv).await;
    let afters = AWKWARD.into_iter().chain([&b""[..], b"aa", b"b", &[0xff, 0xff, 0xff], &[0, 0, 0]]);
    for after in afters {
        for prefix in [&b""[..], b"a", &[0], &[0xff]] {
            let expected: Vec<_> =
                AWKWARD.into_iter().filter(|key| key.starts_with(prefix) && *key > after).collect();
            assert_eq!(
                keys(&*kv, prefix, Some(after), 100).await.0,
                expected,
                "{prefix:x?} after {after:x?}"
            );
        }
    }
}

pub(crate) async fn says_whether_there_is_more(kv: Arc<dyn Kv>) {
    assert_eq!(keys(&*kv, b"", None, 0).await, (vec![], false));
    fill(&*kv).await;
    for (prefix, count) in [(&b""[..], 10), (b"a", 3), (&[0xff], 2), (b"none", 0)] {
        for limit in 0..12 {
            let (found, more) = keys(&*kv, prefix, None, limit).await;
            assert_eq!(found.len(), limit.min(count));
            assert_eq!(more, limit < count, "{limit} of {count}");
        }
    }
}

pub(crate) async fn pages_through_everything(kv: Arc<dyn Kv>) {
    let mut expected = Vec::new();
    for batch in 0..10_u16 {
        let keys = (0..50).map(|index| [&b"k"[..], &(batch * 50 + index).to_be_bytes()].concat());
        write(&*kv, keys.clone().map(|key| put(key, b"v")).collect()).await;
        expected.extend(keys);
    }
    write(&*kv, vec![put("j", ""), put("l", "")]).await;
    for limit in [1, 7, 63, 64, 65, 499, 500, 501, usize::MAX] {
        let (found, _) = everything(&*kv, b"k", limit).await;
        assert!(found.iter().map(|entry| &entry.key).eq(&expected), "pages of {limit}");
    }
}

pub(crate) async fn bounds_the_bytes_of_a_page(kv: Arc<dyn Kv>) {
    let value = vec![7; kv.limits().max_value / 2];
    for index in 0..24 {
        write(&*kv, vec![put([b'k', index], &value)]).await;
    }
    let (found, pages) = everything(&*kv, b"k", usize::MAX).await;
    assert_eq!(found.len(), 24);
    assert!(found.iter().all(|entry| entry.value == value));
    assert!(pages.iter().all(|page| !page.entries.is_empty()));

    let asked: Vec<_> = (0..24).map(|index| vec![b'k', index]).collect();
    assert!(kv.get(&asked).await.unwrap().0.into_iter().flatten().eq(found));
}

pub(crate) async fn reads_what_was_acknowledged(kv: Arc<dyn Kv>) {
    for round in 0..50_u8 {
        let revision = write(&*kv, vec![put("k", [round])]).await;
        let entry = find(&*kv, "k").await.unwrap();
        assert_eq!((entry.value, entry.revision), (vec![round], revision));
        assert_eq!(kv.scan(b"k", None, 1).await.unwrap().revision, revision);
    }
}
