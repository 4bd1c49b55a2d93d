//! The changes of a batch's operations, as many as fit one commit.

use std::collections::BTreeSet;

use crate::domain::audit::AuditEvent;
use crate::store::engine::journal::CommitHook;
use crate::store::engine::journal::tx::Changes;

/// Overhead counted for each write besides its key and value: what a backend or its protocol adds.
const OVERHEAD: usize = 64;
/// Bytes that the seal and the format byte add to a record.
const SEAL: usize = 48;
/// Bytes of a row's change in an audit entry, besides its key.
const ROW: usize = 80;

/// The changes of a batch to its view of the store.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) changes: Changes,
    pub(super) relied_on: BTreeSet<Vec<u8>>,
    pub(super) events: Vec<AuditEvent>,
    pub(super) unsealed: Vec<(Vec<u8>, Vec<u8>)>,
    /// The stamps of the scopes whose secrets change.
    pub(super) stamp_keys: BTreeSet<Vec<u8>>,
    pub(super) bytes: usize,
}

/// Limits of a draft.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) writes: usize,
    pub(super) preconditions: usize,
    pub(super) bytes: usize,
}

impl Draft {
    /// Adds the writes of one operation, if they fit.
    pub(super) fn take(
        &mut self,
        changes: Changes,
        read: BTreeSet<Vec<u8>>,
        events: Vec<AuditEvent>,
        room: Room,
        hook: &dyn CommitHook,
    ) -> bool {
        // A key that an earlier operation of the batch changes is written once.
        let fresh = changes.keys().filter(|key| !self.changes.contains_key(*key)).count();
        let stamp_keys = changes.keys().filter_map(|key| hook.stamp_key(key));
        let stamp_keys: BTreeSet<_> = stamp_keys.filter(|stamp| !self.stamp_keys.contains(stamp)).collect();
        let writes = self.changes.len() + fresh + self.events.len() + events.len();
        let writes = writes + self.stamp_keys.len() + stamp_keys.len();
        // Each write has a precondition too, because the log says what it replaces.
        let relied: BTreeSet<&Vec<u8>> = changes.keys().chain(&stamp_keys).chain(&read).collect();
        let relied =
            self.relied_on.len() + relied.iter().filter(|key| !self.relied_on.contains(**key)).count();
        let size = |(key, plain): (&Vec<u8>, &Option<_>)| {
            OVERHEAD
                + ROW
                + 2 * key.len()
                + plain.as_ref().map_or(0, |plain: &crate::crypto::SecretBytes| plain.len() + SEAL)
        };
        let bytes = self.bytes
            + changes.iter().map(size).sum::<usize>()
            + read.iter().map(|key| key.len() + OVERHEAD).sum::<usize>()
            // Estimates: stamps and audit entries are sealed only when the batch is written.
            + stamp_keys.len() * (3 * OVERHEAD + ROW)
            + events.len() * 1024;
        if writes > room.writes || relied > room.preconditions || bytes > room.bytes {
            return false;
        }
        self.relied_on
            .extend(read.into_iter().chain(changes.keys().cloned()).chain(stamp_keys.iter().cloned()));
        self.changes.extend(changes);
        self.events.extend(events);
        self.stamp_keys.extend(stamp_keys);
        self.bytes = bytes;
        true
    }
}
