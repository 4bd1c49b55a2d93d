//! The store's own records, one of each: which store it is, its keys, and the re-encryption that is under way.

use serde_bytes::ByteBuf;

use crate::crypto::ring::SealedRing;
use crate::crypto::slots::KeySlots;
use crate::domain::id::{SlotId, StoreId};
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::Key;
use crate::store::engine::table::Table;

pub(crate) const IDENTITY: Table = Table::new(b'I', "identity");
pub(crate) const KEYS: Table = Table::new(b'K', "keys");
pub(crate) const RUN: Table = Table::new(b'R', "re-encryption");

pub(crate) fn identity() -> Key<Identity> {
    IDENTITY.singleton()
}

pub(crate) fn keys() -> Key<KeysRecord> {
    KEYS.singleton()
}

pub(crate) fn run() -> Key<RunRecord> {
    RUN.singleton()
}

/// Which store it is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: StoreId,
    pub(crate) created_at: Timestamp,
    /// Added to the byte store's revisions, so that a restored store continues from its backup.
    pub(crate) revision_base: u64,
}

stored! {
    StoredIdentityV1 = Identity { id: [u8; 16], created_at: i64, revision_base: u64 }
}

record! { Identity {} newest 1 => StoredIdentityV1 }

/// The slots, and the ring that they open.
#[derive(Clone)]
pub(crate) struct KeysRecord {
    pub(crate) slots: KeySlots,
    pub(crate) about: Vec<SlotNote>,
    pub(crate) ring: SealedRing,
}

/// What is known of a slot beside what opens it.
#[derive(Clone)]
pub(crate) struct SlotNote {
    pub(crate) id: SlotId,
    pub(crate) label: Option<Label>,
    pub(crate) created_at: Timestamp,
}

stored! {
    StoredSlotNoteV1 = SlotNote { id: [u8; 16], label: Option<String>, created_at: i64 }
}

stored! {
    StoredKeysV1 = KeysRecord { slots: KeySlots, about: Vec<StoredSlotNoteV1>, ring: SealedRing }
}

record! { KeysRecord {} newest 1 => StoredKeysV1 }

/// A re-encryption that is under way.
#[derive(Clone)]
pub(crate) struct RunRecord {
    pub(crate) generation: u32,
    /// Everything up to this key has been moved.
    pub(crate) cursor: Option<ByteBuf>,
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    /// Whether something of the old generation was stored behind the cursor.
    pub(crate) again: bool,
    /// Which process moves it, and until when no other process may.
    pub(crate) runner: Option<([u8; 16], Timestamp)>,
}

stored! {
    StoredRunV1 = RunRecord {
        generation: u32,
        cursor: Option<ByteBuf>,
        done: u64,
        total: Option<u64>,
        again: bool,
        runner: Option<([u8; 16], i64)>,
    }
}

record! { RunRecord {} newest 1 => StoredRunV1 }
