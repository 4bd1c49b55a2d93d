//! `watch`: the commits under a prefix, from whichever member tells of them. When one falls silent the next is asked, from
//! where the last left off, so that nothing is missed and nothing comes twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::fault::Fault;
use super::reads::{ANSWER_BYTES, beyond};
use crate::kv::{BoxFuture, Entry, Event, Events, Outage, Revision, WatchError};

/// Silence after which a member is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the last events are waited for once the store is closed.
const LAST: Duration = Duration::from_millis(300);

/// One watch.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    prefix: Vec<u8>,
    /// The last commit that was given.
    given: Revision,
    ready: VecDeque<Event>,
    stream: Option<Stream>,
    /// When it was last heard of anything, and since when nothing is.
    failing_since: Option<Instant>,
    over: Option<WatchError>,
    closed: watch::Receiver<Option<Revision>>,
    closed_at: Option<Instant>,
}

struct Stream {
    events: WatchStream,
    member: usize,
    heard_at: Instant,
    asked: bool,
}

// === impl Follower ===

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, prefix: Vec<u8>, from: Revision) -> Follower {
        let closed = shared.closed.subscribe();
        Follower {
            shared,
            prefix,
            given: from,
            ready: VecDeque::new(),
            stream: None,
            failing_since: None,
            over: None,
            closed,
            closed_at: None,
        }
    }

    /// The next event, or none when something else happened that is taken care of.
    async fn step(&mut self) -> Result<Option<Event>, WatchError> {
        if let Some(event) = self.ready.pop_front() {
            self.given = event.revision;
            return Ok(Some(event));
        }
        if let Some(over) = self.over {
            return Err(over);
        }
        let last = *self.closed.borrow_and_update();
        let deadline = match last {
            None => None,
            Some(last) => {
                let until = *self.closed_at.get_or_insert_with(|| Instant::now() + LAST);
                if self.given >= last || Instant::now() >= until {
                    return Err(WatchError::Unavailable(Outage::Closed));
                }
                Some(until)
            }
        };
        let Some(stream) = &mut self.stream else {
            self.connect().await;
            return Ok(None);
        };
        let silence = stream.heard_at + SILENCE * if stream.asked { 2 } else { 1 };
        let until = deadline.map_or(silence, |deadline| deadline.min(silence));
        let told = tokio::select! {
            told = tokio::time::timeout_at(until, stream.events.message()) => told,
            // Once closed there is the deadline; this would be ready at once, over and over.
            _ = self.closed.changed(), if deadline.is_none() => return Ok(None),
        };
        match told {
            Ok(Ok(Some(told))) => self.take(told),
            Ok(Ok(None) | Err(_)) => self.leave(),
            Err(_) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {}
            Err(_) if stream.asked => self.leave(),
            Err(_) => {
                stream.asked = true;
                if stream.events.request_progress().await.is_err() {
                    self.leave();
                }
            }
        }
        Ok(None)
    }

    async fn connect(&mut self) {
        let shared = Arc::clone(&self.shared);
        let start = shared.stored(&self.prefix);
        let options = WatchOptions::new()
            .with_range(beyond(&start))
            .with_start_revision(self.given.saturating_add(1).cast_signed());
        let opened = async {
            let (client, member) = shared.members.current().await?;
            let mut watching = client.watch_client().max_decoding_message_size(ANSWER_BYTES);
            let opening = watching.watch(start, Some(options));
            let fault = match tokio::time::timeout(shared.members.patience.answer, opening).await {
                Ok(Ok(events)) => return Ok((events, member)),
                Ok(Err(error)) => Fault::of(&error),
                Err(_) => Fault::Unreachable,
            };
            shared.members.pass_over(member);
            Err(fault)
        };
        match opened.await {
            Ok((events, member)) => {
                self.stream = Some(Stream { events, member, heard_at: Instant::now(), asked: false });
            }
            Err(Fault::Denied) => self.over = Some(WatchError::Unavailable(Outage::Denied)),
            Err(_) => self.fail().await,
        }
    }

    /// Waits before the next try, and gives up when there were none but failures for as long as other requests wait.
    async fn fail(&mut self) {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.shared.members.patience.whole {
            self.over = Some(WatchError::Unavailable(Outage::Unreachable));
        } else {
            tokio::time::sleep(self.shared.members.patience.pause).await;
        }
    }

    /// Lets go of a member that fell silent or ended the watch.
    fn leave(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.shared.members.pass_over(stream.member);
        }
        self.failing_since.get_or_insert_with(Instant::now);
    }

    fn take(&mut self, told: WatchResponse) {
        if told.canceled() {
            if told.compact_revision() > 0 {
                self.over = Some(WatchError::Lagged);
            }
            return self.leave();
        }
        if let Some(stream) = &mut self.stream {
            stream.heard_at = Instant::now();
            stream.asked = false;
        }
        self.failing_since = None;
        for event in told.events() {
            let Some(found) = event.kv() else { continue };
            let revision = found.mod_revision().cast_unsigned();
            if self.ready.back().is_none_or(|last| last.revision != revision) {
                self.ready.push_back(Event { revision, puts: Vec::new(), deletes: Vec::new() });
            }
            let (Some(commit), Ok(entry)) = (self.ready.back_mut(), self.shared.entry(found.clone())) else {
                continue;
            };
            match event.event_type() {
                EventType::Put => commit.puts.push(entry),
                EventType::Delete => {
                    let Entry { key, .. } = entry;
                    commit.deletes.push(key);
                }
            }
        }
    }
}

impl Events for Follower {
    fn next(&mut self) -> BoxFuture<'_, Result<Event, WatchError>> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.step().await? {
                    return Ok(event);
                }
            }
        })
    }
}
