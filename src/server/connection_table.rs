//! The connections of a server: at most a fixed number, shared fairly once all places are taken.
//!
//! While a place is free, every connection is accepted, because many machines often share one address. When none is
//! free, a new connection (a newcomer) replaces an open one:
//!
//! 1. The newest connection without a proven credential, of the source that has the most of these. That source must
//!    have more than the newcomer's source.
//! 2. If there is no such source: the connection that has been idle for the longest, of the organization that has the
//!    most connections. It must also have more than the newcomer's source.
//! 3. If there is none, the newcomer waits.
//!
//! So a host that opens connections and sends nothing, or a tenant that keeps many open, takes places only from itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::ConnectionActivity;
use crate::api::ConnectionProof;
use crate::domain::id::OrgId;
use crate::domain::source::SourceNetwork;

/// How many newcomers can wait for each place. Each occupies a descriptor. Further newcomers are closed.
const WAITING_PER_PLACE: usize = 4;
/// Descriptors that are not for connections: files, the byte store, listeners.
const OTHER_DESCRIPTORS: usize = 256;
/// How long a connection must be idle before a newcomer replaces it: one that was just in use may be used again.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// The table. Clones share it.
#[derive(Clone)]
pub(crate) struct ConnectionTable(Arc<TableInner>);

struct TableInner {
    capacity: usize,
    waiting_capacity: usize,
    state: Mutex<TableState>,
}

#[derive(Default)]
struct TableState {
    connections: BTreeMap<u64, OpenConnection>,
    /// The connections without a proven credential, the newest last. No set is empty.
    unproven: BTreeMap<SourceNetwork, BTreeSet<u64>>,
    /// The connections with a proven credential, by its organization: `None` for the operator and the Unix socket.
    proven: BTreeMap<Option<OrgId>, BTreeSet<u64>>,
    waiting: VecDeque<(SourceNetwork, oneshot::Sender<ConnectionSlot>)>,
    next_id: u64,
}

struct OpenConnection {
    source: SourceNetwork,
    proven: Option<Option<OrgId>>,
    activity: Arc<ConnectionActivity>,
    /// Dropping it closes the connection.
    _close: oneshot::Sender<()>,
}

/// The place of one connection in the table. Dropping it frees the place.
pub(crate) struct ConnectionSlot {
    entry: TableEntry,
    closed: oneshot::Receiver<()>,
    activity: Arc<ConnectionActivity>,
}

/// How the requests of a connection report to the table.
pub(crate) struct ConnectionPlace {
    /// Tells the table whether the connection is idle.
    pub(crate) activity: Arc<ConnectionActivity>,
    /// Tells the table the organization of the first proven credential.
    pub(crate) proof: ConnectionProof,
}

/// The entry of a connection. Dropping it removes the entry and admits the next newcomer.
struct TableEntry {
    table: ConnectionTable,
    id: u64,
}

impl ConnectionTable {
    /// Creates a table for `capacity` connections of a process that may open `descriptors` files.
    pub(crate) fn new(capacity: usize, descriptors: usize) -> Self {
        // Accepting must never fail because no descriptor is left: then the newcomers of every source would wait.
        let spare = descriptors.saturating_sub(capacity + OTHER_DESCRIPTORS);
        let waiting_capacity = spare.min(capacity.saturating_mul(WAITING_PER_PLACE));
        Self(Arc::new(TableInner { capacity, waiting_capacity, state: Mutex::default() }))
    }

    /// Waits for a place. Returns `None` if too many newcomers are already waiting.
    pub(crate) async fn acquire(&self, source: SourceNetwork) -> Option<ConnectionSlot> {
        // In a block, since the guard must not live across the await below.
        let admitted = {
            let mut state = self.lock();
            let is_full = state.connections.len() >= self.0.capacity;
            match is_full.then(|| state.victim_for(source, Instant::now())) {
                None => return Some(self.open(&mut state, source)),
                Some(Some(victim)) => {
                    state.remove(victim);
                    return Some(self.open(&mut state, source));
                }
                Some(None) if state.waiting.len() >= self.0.waiting_capacity => return None,
                Some(None) => {
                    let (admit, admitted) = oneshot::channel();
                    state.waiting.push_back((source, admit));
                    admitted
                }
            }
        };
        admitted.await.ok()
    }

    /// The number of open connections, without newcomers that wait.
    pub(crate) fn open_connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Adds a connection to the table.
    fn open(&self, state: &mut TableState, source: SourceNetwork) -> ConnectionSlot {
        state.next_id += 1;
        let id = state.next_id;
        let (close, closed) = oneshot::channel();
        let activity = Arc::new(ConnectionActivity::new());
        let connection =
            OpenConnection { source, proven: None, activity: Arc::clone(&activity), _close: close };
        state.connections.insert(id, connection);
        state.unproven.entry(source).or_default().insert(id);
        ConnectionSlot { entry: TableEntry { table: self.clone(), id }, closed, activity }
    }

    /// Gives free places to newcomers that wait.
    fn admit_waiting(&self) {
        loop {
            let (slot, admit) = {
                let mut state = self.lock();
                if state.connections.len() >= self.0.capacity {
                    return;
                }
                let Some((source, admit)) = state.waiting.pop_front() else { return };
                // A newcomer that has disconnected needs no place. This is checked here, because a slot that cannot be
                // sent would be dropped, and its drop would call this function again.
                if admit.is_closed() {
                    continue;
                }
                (self.open(&mut state, source), admit)
            };
            // Outside the lock: if the newcomer disconnects at this moment, the slot is dropped, which takes the lock.
            let _ = admit.send(slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, TableState> {
        // No update can panic halfway, so the table is consistent even after a panic elsewhere.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableState {
    /// Returns the connection to close for a newcomer from `source`, if there is one.
    fn victim_for(&self, source: SourceNetwork, now: Instant) -> Option<u64> {
        let own = 1 + self.unproven.get(&source).map_or(0, BTreeSet::len);
        let largest = self.unproven.values().max_by_key(|ids| ids.len());
        if let Some(ids) = largest.filter(|ids| ids.len() > own) {
            // The newest, because older connections are closer to their first request.
            return ids.last().copied();
        }
        // A client whose idle connection was closed reconnects (RFC 9110 section 9.2.2), so closing it refuses nobody.
        let (_, ids) =
            self.proven.iter().max_by_key(|(_, ids)| ids.len()).filter(|(_, ids)| ids.len() > own)?;
        let idle =
            |id: &u64| self.connections.get(id).map_or(Duration::ZERO, |open| open.activity.idle_time(now));
        let (idle, id) = ids.iter().map(|id| (idle(id), *id)).max()?;
        (idle >= LEAST_IDLE).then_some(id)
    }

    /// Removes a connection, unless it was already removed. This wakes its task, which closes it.
    fn remove(&mut self, id: u64) {
        let Some(OpenConnection { source, proven, .. }) = self.connections.remove(&id) else { return };
        match proven {
            None => remove_from(&mut self.unproven, &source, id),
            Some(org) => remove_from(&mut self.proven, &org, id),
        }
    }

    fn prove(&mut self, id: u64, org: Option<OrgId>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // One proof is enough: a connection stays with the organization that used it first.
        if connection.proven.is_none() {
            connection.proven = Some(org);
            remove_from(&mut self.unproven, &connection.source, id);
            self.proven.entry(org).or_default().insert(id);
        }
    }
}

fn remove_from<K: Ord>(groups: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = groups.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            groups.remove(key);
        }
    }
}

impl ConnectionSlot {
    /// Returns what the requests of this connection report to.
    pub(crate) fn place(&self) -> ConnectionPlace {
        let (table, id) = (self.entry.table.clone(), self.entry.id);
        let proof = ConnectionProof::new(move |org| table.lock().prove(id, org));
        ConnectionPlace { activity: Arc::clone(&self.activity), proof }
    }

    /// Completes when a newcomer takes this place.
    pub(crate) async fn closed(&mut self) {
        // This is an error, because the sender was dropped with the entry.
        let _ = (&mut self.closed).await;
    }
}

impl Drop for TableEntry {
    fn drop(&mut self) {
        self.table.lock().remove(self.id);
        self.table.admit_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u8) -> SourceNetwork {
        SourceNetwork::from_address(Some([192, 0, 2, number].into()))
    }

    async fn fill(table: &ConnectionTable, from: u8, count: usize) -> Vec<ConnectionSlot> {
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push(table.acquire(source(from)).await.unwrap());
        }
        slots
    }

    async fn is_closed(slot: &mut ConnectionSlot) -> bool {
        tokio::time::timeout(Duration::ZERO, slot.closed()).await.is_ok()
    }

    async fn is_refused_a_place(table: &ConnectionTable, from: u8) -> bool {
        tokio::time::timeout(Duration::from_millis(10), table.acquire(source(from))).await.is_err()
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_newest_place_of_the_source_with_the_most() {
        let table = ConnectionTable::new(10, 10_000);
        let mut silent = fill(&table, 1, 10).await;
        assert!(is_refused_a_place(&table, 1).await, "nobody takes a place from itself");
        let others = fill(&table, 2, 4).await;
        assert!(is_closed(&mut silent[6]).await && !is_closed(&mut silent[5]).await);
        assert_eq!(table.open_connections(), 10);
        let more = fill(&table, 2, 1).await;
        assert!(is_refused_a_place(&table, 2).await, "both have the same");
        drop((others, more, silent));
        assert_eq!(table.open_connections(), 0);
    }

    #[tokio::test]
    async fn a_connection_with_a_proven_credential_is_closed_only_if_it_is_idle() {
        let table = ConnectionTable::new(10, 10_000);
        let mut proven = fill(&table, 1, 10).await;
        for slot in &proven {
            slot.place().proof.prove(Some(OrgId::from_bytes([1; 16])));
        }
        assert!(is_refused_a_place(&table, 2).await);
        let busy: Vec<_> = proven[1..].iter().map(|slot| slot.place().activity.begin_request()).collect();
        tokio::time::sleep(LEAST_IDLE).await;
        let newcomer = table.acquire(source(2)).await.unwrap();
        assert!(is_closed(&mut proven[0]).await && !is_closed(&mut proven[1]).await);
        assert!(is_refused_a_place(&table, 3).await);
        drop((busy, newcomer));
    }

    #[tokio::test]
    async fn a_free_place_goes_to_a_newcomer_that_still_waits() {
        let table = ConnectionTable::new(1, 10_000);
        let first = fill(&table, 1, 1).await;
        let wait = || {
            let table = table.clone();
            tokio::spawn(async move { table.acquire(source(1)).await.is_some() })
        };
        let (gone, stays) = (wait(), wait());
        tokio::time::sleep(Duration::from_millis(10)).await;
        gone.abort();
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(first);
        assert!(stays.await.unwrap());
        assert_eq!(table.open_connections(), 0);
    }

    #[tokio::test]
    async fn the_number_of_newcomers_that_wait_is_limited_by_the_descriptors() {
        let table = ConnectionTable::new(1, OTHER_DESCRIPTORS + 1);
        let _first = fill(&table, 1, 1).await;
        assert!(table.acquire(source(1)).await.is_none());
    }
}
