//! The newest commits, kept for watchers of a backend in this process. Bounded: a watcher that falls behind is told so,
//! and never makes a commit wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{BoxFuture, Event, Events, Outage, Revision, Watch, WatchError};

/// How much is kept for those that fall behind: seconds of a busy store.
const MAX_COMMITS: usize = 4096;
const MAX_BYTES: usize = 8 << 20;

/// The newest commits of a store.
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    news: Notify,
}

struct Kept {
    /// Ascending by revision.
    commits: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every commit after this revision is among `commits`.
    complete_after: Revision,
    closed: bool,
}

struct Follower {
    feed: Arc<Feed>,
    prefix: Vec<u8>,
    seen: Revision,
}

// === impl Feed ===

impl Feed {
    /// A feed of the commits after `revision`.
    pub(crate) fn new(revision: Revision) -> Arc<Feed> {
        let kept = Kept { commits: VecDeque::new(), bytes: 0, complete_after: revision, closed: false };
        Arc::new(Feed { kept: Mutex::new(kept), news: Notify::new() })
    }

    /// Adds commits, in ascending order of revision, all of them after those added before.
    pub(crate) fn publish(&self, commits: impl IntoIterator<Item = Event>) {
        let mut kept = self.lock();
        for commit in commits {
            kept.bytes += size(&commit);
            kept.commits.push_back(Arc::new(commit));
        }
        while kept.commits.len() > 1 && (kept.commits.len() > MAX_COMMITS || kept.bytes > MAX_BYTES) {
            let Some(oldest) = kept.commits.pop_front() else { break };
            kept.bytes -= size(&oldest);
            kept.complete_after = oldest.revision;
        }
        drop(kept);
        self.news.notify_waiters();
    }

    /// Ends every watch once it has given what is kept.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_waiters();
    }

    /// The commits after `from` that touch `prefix`.
    pub(crate) fn watch(self: &Arc<Feed>, prefix: Vec<u8>, from: Revision) -> Watch {
        Watch::new(Follower { feed: Arc::clone(self), prefix, seen: from })
    }

    /// The first commit after `seen`, if it already happened.
    fn after(&self, seen: Revision) -> Result<Option<Arc<Event>>, WatchError> {
        let kept = self.lock();
        if seen < kept.complete_after {
            return Err(WatchError::Lagged);
        }
        let next = kept.commits.partition_point(|commit| commit.revision <= seen);
        match kept.commits.get(next) {
            Some(commit) => Ok(Some(Arc::clone(commit))),
            None if kept.closed => Err(WatchError::Unavailable(Outage::Closed)),
            None => Ok(None),
        }
    }

    /// Nothing that runs under the lock can leave it half changed, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Follower ===

impl Events for Follower {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, WatchError>> {
        Box::pin(async move {
            loop {
                // Made before looking: it is woken by every commit since then.
                let news = self.feed.news.notified();
                match self.feed.after(self.seen)? {
                    None => news.await,
                    Some(commit) => {
                        self.seen = commit.revision;
                        if let Some(event) = under(&self.prefix, &commit) {
                            return Ok(event);
                        }
                    }
                }
            }
        })
    }
}

/// The part of a commit that touches keys under `prefix`; `None` if it touches none.
fn under(prefix: &[u8], commit: &Event) -> Option<Event> {
    let event = Event {
        revision: commit.revision,
        puts: commit.puts.iter().filter(|entry| entry.key.starts_with(prefix)).cloned().collect(),
        deletes: commit.deletes.iter().filter(|key| key.starts_with(prefix)).cloned().collect(),
    };
    (!event.puts.is_empty() || !event.deletes.is_empty()).then_some(event)
}

fn size(commit: &Event) -> usize {
    let puts: usize = commit.puts.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
    puts + commit.deletes.iter().map(Vec::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Entry;

    fn commit(revision: Revision, bytes: usize) -> Event {
        let entry = Entry { key: vec![1], value: vec![0; bytes], revision };
        Event { revision, puts: vec![entry], deletes: vec![] }
    }

    #[tokio::test]
    async fn tells_those_that_fell_behind() {
        let feed = Feed::new(0);
        let mut slow = feed.watch(vec![], 0);
        let mut other_prefix = feed.watch(vec![2], 0);
        let newest = MAX_COMMITS as Revision + 1;
        feed.publish((1..=newest).map(|revision| commit(revision, 1)));

        assert_eq!(slow.next().await, Err(WatchError::Lagged));
        assert_eq!(slow.next().await, Err(WatchError::Lagged));
        // It cannot be known whether it missed one of its own.
        assert_eq!(other_prefix.next().await, Err(WatchError::Lagged));
        // The oldest that is kept.
        assert_eq!(feed.watch(vec![], 1).next().await.map(|event| event.revision), Ok(2));
    }

    #[tokio::test]
    async fn bounds_its_bytes_and_keeps_the_newest() {
        let feed = Feed::new(0);
        feed.publish([commit(1, MAX_BYTES / 2), commit(2, MAX_BYTES / 2)]);
        assert_eq!(feed.watch(vec![], 0).next().await, Err(WatchError::Lagged));
        feed.publish([commit(3, MAX_BYTES * 2)]);
        assert_eq!(feed.watch(vec![], 1).next().await, Err(WatchError::Lagged));
        assert_eq!(feed.watch(vec![], 2).next().await.map(|event| event.revision), Ok(3));
    }

    #[tokio::test]
    async fn knows_nothing_from_before_it_began() {
        let feed = Feed::new(7);
        feed.publish([commit(8, 1)]);
        assert_eq!(feed.watch(vec![], 6).next().await, Err(WatchError::Lagged));
        assert_eq!(feed.watch(vec![], 7).next().await.map(|event| event.revision), Ok(8));
    }
}
