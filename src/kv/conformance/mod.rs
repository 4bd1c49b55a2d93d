//! The suite that every backend must pass. A case knows only the trait.

pub(crate) mod closing;
pub(crate) mod commits;
pub(crate) mod concurrency;
pub(crate) mod limits;
pub(crate) mod model;
pub(crate) mod preconditions;
pub(crate) mod reads;
pub(crate) mod snapshots;

use std::sync::Arc;

use super::{BoxFuture, Kv, KvEntry, KvPage, Precondition, Revision, Write};

/// A place for one store, which is removed when this value is dropped.
pub(crate) trait Place: Default + Send + Sync {
    /// Whether a closed store still has its data when it is opened again.
    const KEEPS: bool;

    /// What this machine lacks to run the suite here.
    fn lacks() -> Option<&'static str> {
        None
    }

    /// Opens the store of this place, which is empty at first.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Kv>>;
}

/// The suite as tests of the module that calls it, on the stores of a [`Place`].
macro_rules! suite {
    ($place:ty) => {
        $crate::kv::conformance::suite! { $place;
            reads: finds_what_was_asked_in_that_order, orders_keys_as_bytes, keeps_to_the_prefix,
                starts_after_the_given_key, says_whether_there_is_more, pages_through_everything,
                bounds_the_bytes_of_a_page, reads_what_was_acknowledged;
            commits: numbers_only_what_changes_something, gives_entries_the_revision_of_their_last_write,
                stores_empty_values, applies_all_writes_of_a_commit;
            preconditions: judges_each_kind_in_each_state, names_all_that_fail, writes_nothing_when_one_fails,
                may_name_other_keys_than_the_writes, are_checked_without_writes;
            limits: takes_what_is_at_the_limit, refuses_what_is_beyond, refuses_empty_keys_and_keys_named_twice;
            concurrency: loses_no_increment_of_64_writers, has_one_winner_of_many, shows_whole_commits_only,
                gives_all_keys_from_one_snapshot, leaves_all_or_nothing_of_an_abandoned_commit;
            snapshots: stays_at_its_revision_while_others_write, holds_whole_commits_only,
                includes_what_was_acknowledged, bounds_the_bytes_of_its_pages;
            closing: refuses_what_comes_after, ends_snapshots, finishes_what_was_accepted, is_healthy_until_then;
        }

        #[test]
        fn behaves_as_its_model() {
            if $crate::kv::conformance::skipped::<$place>() {
                return;
            }
            $crate::kv::conformance::model::run::<$place>();
        }
    };
    ($place:ty; $($chapter:ident: $($case:ident),+;)+) => {
        $(mod $chapter {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                if $crate::kv::conformance::skipped::<$place>() {
                    return;
                }
                let place = <$place>::default();
                let kv = $crate::kv::conformance::Place::open(&place).await;
                $crate::kv::conformance::$chapter::$case(kv).await;
            })+
        })+
    };
}
pub(crate) use suite;

/// Returns whether this machine cannot run the suite on a kind of place, and reports that like every skipped test.
#[expect(clippy::disallowed_methods, reason = "environment variables say what a test run may skip")]
pub(crate) fn skipped<P: Place>() -> bool {
    let Some(what) = P::lacks() else { return false };
    assert!(std::env::var_os("DROPSAFE_REQUIRE_ALL").is_none(), "cannot run here: {what}");
    if let Some(path) = std::env::var_os("DROPSAFE_SKIPS") {
        use std::io::Write as _;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{what}"));
    }
    true
}

pub(crate) fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write {
    Write::Put(key.as_ref().to_vec(), value.as_ref().to_vec())
}

pub(crate) fn delete(key: impl AsRef<[u8]>) -> Write {
    Write::Delete(key.as_ref().to_vec())
}

pub(crate) fn absent(key: impl AsRef<[u8]>) -> Precondition {
    Precondition::Absent(key.as_ref().to_vec())
}

pub(crate) fn at(key: impl AsRef<[u8]>, revision: Revision) -> Precondition {
    Precondition::At(key.as_ref().to_vec(), revision)
}

/// Commits without preconditions.
pub(crate) async fn write(kv: &dyn Kv, writes: Vec<Write>) -> Revision {
    kv.commit(vec![], writes).await.unwrap()
}

pub(crate) async fn find(kv: &dyn Kv, key: impl AsRef<[u8]>) -> Option<KvEntry> {
    kv.get(&[key.as_ref().to_vec()]).await.unwrap().0.remove(0)
}

/// The keys of one page.
pub(crate) async fn keys(
    kv: &dyn Kv,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> (Vec<Vec<u8>>, bool) {
    let page = kv.scan(prefix, after, limit).await.unwrap();
    (page.entries.into_iter().map(|entry| entry.key).collect(), page.more)
}

/// All entries under a prefix, page by page.
pub(crate) async fn everything(kv: &dyn Kv, prefix: &[u8], limit: usize) -> (Vec<KvEntry>, Vec<KvPage>) {
    let (mut all, mut pages) = (Vec::<KvEntry>::new(), Vec::new());
    loop {
        let after = all.last().map(|entry| entry.key.clone());
        let page = kv.scan(prefix, after.as_deref(), limit).await.unwrap();
        all.extend(page.entries.iter().cloned());
        pages.push(page);
        if !pages.last().unwrap().more {
            return (all, pages);
        }
    }
}
