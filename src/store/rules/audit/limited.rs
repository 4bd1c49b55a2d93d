//! Recording events of which a caller can make any number: denied attempts, and reads.
//!
//! Those within the budgets are entries of their own. The others are counted for a minute, and their counts are stored when
//! it has passed, when the store is locked and when the server ends.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::domain::audit::AuditEvent;
use crate::store::engine::failure::Failure;
use crate::store::rules::event_limiter::INTERVAL;
use crate::store::rules::store::{Inner, Store};

/// How often counts are looked at.
const TICK: Duration = Duration::from_secs(5);
/// Entries in one commit.
const CHUNK: usize = 32;

impl Store {
    /// Records a denial, or counts it. Returns when it is durable, if it has an entry of its own.
    pub(crate) async fn record_denial(&self, event: AuditEvent) {
        let admitted = self.inner.limited.state().denials.admit(event, self.now());
        if let Some(event) = admitted
            && self.journal().record(vec![event.clone()]).await.is_err()
        {
            // The caller is denied even when this cannot be stored: nothing was done that must be on record.
            self.inner.limited.state().denials.put_back(event, self.now());
        }
    }

    /// Records a denial, or counts it, without making the caller wait.
    pub(crate) fn record_denial_in_background(&self, event: AuditEvent) {
        {
            let mut state = self.inner.limited.state();
            let Some(event) = state.denials.admit(event, self.now()) else { return };
            state.pending.push_back(event);
        }
        let store = self.clone();
        // In a task: the time of a commit would tell a stranger that an id exists.
        tokio::spawn(async move { store.record_limited_events(INTERVAL).await });
    }

    /// Records a read before its result is returned, or counts it. A read that cannot be recorded fails.
    pub(crate) async fn record_read(&self, event: AuditEvent) -> Result<(), Failure> {
        let admitted = self.inner.limited.state().reads.admit(event, self.now());
        match admitted {
            Some(event) => self.journal().record(vec![event]).await,
            None => Ok(()),
        }
    }

    /// Stores all that waits: pending denials, and all counts.
    pub(crate) async fn record_all_limited_events(&self) {
        self.record_limited_events(Duration::ZERO).await;
    }

    /// Stores the pending denials, and the counts that began `age` ago or earlier.
    pub(crate) async fn record_limited_events(&self, age: Duration) {
        let _alone = self.inner.limited.storing.lock().await;
        let now = self.now();
        let (mut denials, mut reads) = {
            let mut state = self.inner.limited.state();
            let mut denials = std::mem::take(&mut state.pending);
            denials.extend(state.denials.take(age, now));
            (denials, VecDeque::from(state.reads.take(age, now)))
        };
        for (events, is_denial) in [(&mut denials, true), (&mut reads, false)] {
            while !events.is_empty() {
                // In pieces, because a commit of some byte stores holds few writes.
                let chunk: Vec<AuditEvent> = events.drain(..CHUNK.min(events.len())).collect();
                if self.journal().record(chunk.clone()).await.is_ok() {
                    continue;
                }
                let mut state = self.inner.limited.state();
                let limiter = if is_denial { &mut state.denials } else { &mut state.reads };
                // A full disk or an overload passes. Until then they are counted.
                chunk.into_iter().chain(events.drain(..)).for_each(|event| limiter.put_back(event, now));
            }
        }
    }
}

/// Stores counts when their minute has passed, for as long as the store is in use.
async fn run(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(TICK).await;
        // Not held while the task sleeps, so that a store that nobody uses is dropped.
        let Some(inner) = store.upgrade() else { return };
        Store { inner }.record_limited_events(INTERVAL).await;
    }
}

impl Store {
    pub(crate) fn start_recording_limited_events(&self) {
        tokio::spawn(run(Arc::downgrade(&self.inner)));
    }
}
