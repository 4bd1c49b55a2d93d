//! The keys of one issuer, fetched when they are needed and kept while the issuer cannot be reached.
//!
//! At most one fetch runs at a time, and it goes on when the boot that started it is gone. Times are arguments; a clock that was
//! set back makes a refresh due, never impossible.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::watch;

use super::fetch::Fetcher;
use super::key_set::KeySet;
use crate::domain::jwt::{IssuerFault, IssuerSpec, IssuerUrl};
use crate::domain::time::Timestamp;

/// How long fetched keys are used while the issuer cannot be reached: longer than most outages, and as long as a key that the
/// issuer has withdrawn can be used by somebody who keeps the store from reaching the issuer.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// After this, keys are fetched again while they are used: how long a withdrawn key is accepted in ordinary times.
const REFRESH_AFTER: Duration = Duration::from_secs(10 * 60);
/// The least time between two fetches for keys that are there: unknown key ids cannot make the store flood an issuer.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// The least time after a fetch that failed, while boots wait for one.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Keys that nobody used for this long are no longer refreshed.
const IDLE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// One issuer.
pub(super) struct CachedIssuer {
    url: IssuerUrl,
    source: KeySource,
    fetcher: Arc<Fetcher>,
    state: Mutex<CacheState>,
    /// Signals the end of each fetch.
    finished: watch::Sender<()>,
}

enum KeySource {
    /// A document that somebody gave.
    Given(Arc<KeySet>),
    /// The issuer's server, with the settings to verify it.
    Server(Arc<ClientConfig>),
}

#[derive(Default)]
struct CacheState {
    keys: Option<FetchedKeys>,
    last: Option<LastFetch>,
    fetching: bool,
    used: Option<Timestamp>,
}

struct FetchedKeys {
    keys: Arc<KeySet>,
    at: Timestamp,
}

struct LastFetch {
    at: Timestamp,
    fault: Option<IssuerFault>,
}

impl CachedIssuer {
    /// Fails if a document of the issuer is not what it should be. Contacts nobody.
    pub(super) fn new(issuer: &IssuerSpec, fetcher: Arc<Fetcher>) -> Result<Self, IssuerFault> {
        let source = match &issuer.keys {
            Some(document) => KeySource::Given(Arc::new(KeySet::parse(document.as_bytes())?)),
            None => KeySource::Server(fetcher.tls(issuer.authorities.as_deref())?),
        };
        let (finished, _) = watch::channel(());
        Ok(Self { url: issuer.url.clone(), source, fetcher, state: Mutex::default(), finished })
    }

    /// Returns keys that are at most [`MAX_AGE`] old, and fetches them if there are none.
    pub(super) async fn keys(self: &Arc<Self>, now: Timestamp) -> Result<Arc<KeySet>, IssuerFault> {
        let tls = match &self.source {
            KeySource::Given(keys) => return Ok(Arc::clone(keys)),
            KeySource::Server(tls) => tls,
        };
        let mut waiting = {
            let mut state = self.state();
            state.used = Some(now);
            if let Some(keys) = state.fresh(now) {
                // Nobody waits for it: the keys are good for as long as the fetch may take.
                if state.is_refresh_due(now) {
                    self.start(&mut state, tls, now);
                }
                return Ok(keys);
            }
            if !state.fetching {
                if let Some(fault) = state.recent_fault(now) {
                    return Err(fault);
                }
                self.start(&mut state, tls, now);
            }
            // Subscribed under the lock, so that the fetch cannot end in between.
            self.finished.subscribe()
        };
        // It fails only if the sender is dropped, which this issuer holds.
        waiting.changed().await.ok();
        self.state().outcome(now)
    }

    /// Returns keys for a token whose key is not among those that [`CachedIssuer::keys`] returned: fetched anew, unless that
    /// happened a moment ago.
    pub(super) async fn newest_keys(self: &Arc<Self>, now: Timestamp) -> Result<Arc<KeySet>, IssuerFault> {
        let tls = match &self.source {
            KeySource::Given(keys) => return Ok(Arc::clone(keys)),
            KeySource::Server(tls) => tls,
        };
        let mut waiting = {
            let mut state = self.state();
            if !state.fetching {
                if !state.has_passed(now, MIN_INTERVAL) {
                    return state.outcome(now);
                }
                self.start(&mut state, tls, now);
            }
            self.finished.subscribe()
        };
        waiting.changed().await.ok();
        self.state().outcome(now)
    }

    /// Starts to fetch the keys again if they are in use and no longer new.
    pub(super) fn refresh_if_due(self: &Arc<Self>, now: Timestamp) {
        let KeySource::Server(tls) = &self.source else { return };
        let mut state = self.state();
        // An issuer that never answered is asked only while a machine waits for it.
        let in_use = state.keys.is_some() && state.used.is_some_and(|used| now.since(used) <= IDLE_AFTER);
        if in_use && state.is_refresh_due(now) {
            self.start(&mut state, tls, now);
        }
    }

    fn start(self: &Arc<Self>, state: &mut CacheState, tls: &Arc<ClientConfig>, now: Timestamp) {
        state.fetching = true;
        let mut fetch = RunningFetch { issuer: Arc::clone(self), started: now, ended: false };
        let tls = Arc::clone(tls);
        // A task of its own: a client that hangs up would otherwise end the fetch that others wait for.
        tokio::spawn(async move {
            let result = fetch.issuer.fetcher.fetch_keys(&fetch.issuer.url, &tls).await;
            fetch.end(result);
        });
    }

    fn finish(&self, result: Result<KeySet, IssuerFault>, at: Timestamp) {
        let mut state = self.state();
        state.fetching = false;
        let fault = result.as_ref().err().copied();
        if let Some(fault) = fault {
            tracing::warn!(issuer = %self.url, reason = fault.reason(), "the keys of an issuer cannot be fetched: {fault}");
        }
        if let Ok(keys) = result {
            state.keys = Some(FetchedKeys { keys: Arc::new(keys), at });
        }
        state.last = Some(LastFetch { at, fault });
        drop(state);
        self.finished.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheState {
    fn fresh(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.keys.as_ref().filter(|keys| now.since(keys.at) <= MAX_AGE).map(|keys| Arc::clone(&keys.keys))
    }

    /// What the last fetch led to.
    fn outcome(&self, now: Timestamp) -> Result<Arc<KeySet>, IssuerFault> {
        match &self.last {
            Some(LastFetch { fault: Some(fault), .. }) => Err(*fault),
            // Keys that are too old although the last fetch succeeded were fetched before the clock was set forward.
            Some(_) | None => self.fresh(now).ok_or(IssuerFault::Unreachable),
        }
    }

    fn recent_fault(&self, now: Timestamp) -> Option<IssuerFault> {
        if self.has_passed(now, RETRY_AFTER) { None } else { self.last.as_ref().and_then(|last| last.fault) }
    }

    fn is_refresh_due(&self, now: Timestamp) -> bool {
        let old = self.keys.as_ref().is_none_or(|keys| now < keys.at || now.since(keys.at) >= REFRESH_AFTER);
        old && !self.fetching && self.has_passed(now, MIN_INTERVAL)
    }

    /// Whether the last fetch was at least `interval` ago.
    fn has_passed(&self, now: Timestamp, interval: Duration) -> bool {
        self.last.as_ref().is_none_or(|last| now < last.at || now.since(last.at) >= interval)
    }
}

/// A fetch that ends at the latest when this is dropped, so that one that panics or is cancelled leaves nobody waiting.
struct RunningFetch {
    issuer: Arc<CachedIssuer>,
    started: Timestamp,
    ended: bool,
}

impl RunningFetch {
    fn end(&mut self, result: Result<KeySet, IssuerFault>) {
        self.ended = true;
        // As of its start: what the issuer published while the answer was on its way is not in it.
        self.issuer.finish(result, self.started);
    }
}

impl Drop for RunningFetch {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(IssuerFault::Broken));
        }
    }
}
