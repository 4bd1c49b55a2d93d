//! The store's own records, one of each: which store it is, its keys, and the re-encryption that is under way.

use serde_bytes::ByteBuf;

use crate::crypto::deposit::DepositKey;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::ring::SealedRing;
use crate::crypto::slot::{KeySlot, SlotKind};
use crate::crypto::slots::KeySlots;
use crate::domain::id::{SlotId, StoreId};
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, record, stored};
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
    StoredKeysV1 = KeysRecord { slots: Vec<StoredSlotV1>, about: Vec<StoredSlotNoteV1>, ring: StoredRingV1 }
}

stored! {
    StoredSlotV1 = KeySlot {
        id: [u8; 16],
        kind: StoredSlotKindV1,
        salt: [u8; 16],
        ring: [u8; 32],
        suite: u16,
        public: [u8; 32],
        commitment: [u8; 32],
        enc: ByteBuf,
        ct: ByteBuf,
    }
}

stored! {
    enum StoredSlotKindV1 { Passphrase(StoredArgon2V1), KeyFile, Credential }
}

stored! {
    StoredArgon2V1 = Argon2Params { memory_kib: u32, passes: u32, lanes: u32 }
}

stored! {
    StoredRingV1 = SealedRing {
        identity: [u8; 32],
        current: (u32, [u8; 32]),
        older: Vec<(u32, [u8; 32])>,
        nonce: [u8; 24],
        ciphertext: ByteBuf,
    }
}

impl Convert<Vec<StoredSlotV1>> for KeySlots {
    fn to_stored(&self) -> Result<Vec<StoredSlotV1>, Failure> {
        self.iter().map(KeySlot::to_stored).collect()
    }

    fn from_stored(stored: Vec<StoredSlotV1>) -> Result<Self, Failure> {
        Vec::from_stored(stored)?.try_into().map_err(|_| Failure::Corrupt)
    }
}

impl Convert<StoredSlotKindV1> for SlotKind {
    fn to_stored(&self) -> Result<StoredSlotKindV1, Failure> {
        Ok(match self {
            Self::Passphrase(params) => StoredSlotKindV1::Passphrase(params.to_stored()?),
            Self::KeyFile => StoredSlotKindV1::KeyFile,
            Self::Credential => StoredSlotKindV1::Credential,
        })
    }

    fn from_stored(stored: StoredSlotKindV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredSlotKindV1::Passphrase(params) => Self::Passphrase(Convert::from_stored(params)?),
            StoredSlotKindV1::KeyFile => Self::KeyFile,
            StoredSlotKindV1::Credential => Self::Credential,
        })
    }
}

/// Generation and public key.
impl Convert<(u32, [u8; 32])> for DepositKey {
    fn to_stored(&self) -> Result<(u32, [u8; 32]), Failure> {
        Ok((self.generation(), *self.public()))
    }

    fn from_stored((generation, public): (u32, [u8; 32])) -> Result<Self, Failure> {
        Ok(Self::from_parts(generation, public))
    }
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
