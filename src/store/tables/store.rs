//! The store's own records, one of each: which store it is, its keys, and the re-encryption that is under way.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use crate::crypto::deposit::DepositKey;
use crate::crypto::generation::Generation;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::ring::SealedRing;
use crate::crypto::sealed_release::responder::AnswerSeed;
use crate::crypto::slot::{KeySlot, SlotKind};
use crate::crypto::slots::KeySlots;
use crate::domain::epoch::RestoreEpoch;
use crate::domain::id::{SlotId, StoreId};
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, convert_as_text, record, stored};
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
    /// That of the last restore. `None` if it was never restored.
    pub(crate) epoch: Option<RestoreEpoch>,
    /// Whether what a restore ends has not been ended yet.
    pub(crate) is_restoring: bool,
}

impl Identity {
    /// That of a new store.
    pub(crate) fn new(id: StoreId, created_at: Timestamp) -> Self {
        Self { id, created_at, revision_base: 0, epoch: None, is_restoring: false }
    }
}

convert_as_text!(RestoreEpoch);

stored! {
    StoredIdentityV1 = Identity { id: [u8; 16], created_at: i64, revision_base: u64 }
    before { epoch: None, is_restoring: false }
}

stored! {
    StoredIdentityV2 = Identity {
        id: [u8; 16],
        created_at: i64,
        revision_base: u64,
        epoch: Option<String>,
        is_restoring: bool,
    }
}

record! { Identity { 1 => StoredIdentityV1, } newest 2 => StoredIdentityV2 }

/// The slots, and the ring that they open.
#[derive(Clone)]
pub(crate) struct KeysRecord {
    pub(crate) slots: KeySlots,
    pub(crate) about: Vec<SlotNote>,
    pub(crate) ring: SealedRing,
    /// The generations that endorse each other, oldest first. The last one is the current one. Empty in a store of an older
    /// format, until its next generation.
    pub(crate) chain: Vec<Generation>,
    /// The key that signs sealed answers. Beside the ring and not in it, because a locked store signs its refusals too. It is the
    /// same for as long as there is the store, because tickets and cards name it. `None` in a store of an older format, until
    /// this program has opened it.
    pub(crate) answer: Option<AnswerSeed>,
}

/// A slot's details for people.
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
    before { chain: Vec::new(), answer: None }
}

stored! {
    StoredKeysV2 = KeysRecord {
        slots: Vec<StoredSlotV1>,
        about: Vec<StoredSlotNoteV1>,
        ring: StoredRingV1,
        chain: Vec<StoredGenerationV1>,
    }
    before { answer: None }
}

stored! {
    StoredKeysV3 = KeysRecord {
        slots: Vec<StoredSlotV1>,
        about: Vec<StoredSlotNoteV1>,
        ring: StoredRingV1,
        chain: Vec<StoredGenerationV1>,
        answer: Option<[u8; 32]>,
    }
}

stored! {
    StoredGenerationV1 = Generation { deposit: (u32, [u8; 32]), signing: [u8; 32], endorsement: Option<ByteBuf> }
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
        // Through the checks of a list from elsewhere: a stored list that fails them is damaged.
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

/// An Ed25519 signature.
impl Convert<ByteBuf> for [u8; 64] {
    fn to_stored(&self) -> Result<ByteBuf, Failure> {
        Ok(ByteBuf::from(self.to_vec()))
    }

    fn from_stored(stored: ByteBuf) -> Result<Self, Failure> {
        stored.into_vec().try_into().map_err(|_| Failure::Corrupt)
    }
}

/// The seed of an Ed25519 key.
impl Convert<[u8; 32]> for AnswerSeed {
    fn to_stored(&self) -> Result<[u8; 32], Failure> {
        Ok(*self.expose())
    }

    fn from_stored(stored: [u8; 32]) -> Result<Self, Failure> {
        Ok(Self::from_bytes(&stored))
    }
}

record! { KeysRecord { 1 => StoredKeysV1, 2 => StoredKeysV2, } newest 3 => StoredKeysV3 }

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
    /// Values that did not open in this pass. They stay as they are.
    pub(crate) left: u64,
    /// Records that do not open at all.
    pub(crate) damaged: u64,
    /// The older generations that these may need.
    pub(crate) kept: BTreeSet<u32>,
    /// Whether the run has ended, and is here only because of what it left.
    pub(crate) ended: bool,
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
    // Of the values that the older program met before the cursor, it reported none.
    before { left: 0, damaged: 0, kept: BTreeSet::new(), ended: false }
}

stored! {
    StoredRunV2 = RunRecord {
        generation: u32,
        cursor: Option<ByteBuf>,
        done: u64,
        total: Option<u64>,
        again: bool,
        runner: Option<([u8; 16], i64)>,
        left: u64,
        damaged: u64,
        kept: Vec<u32>,
        ended: bool,
    }
}

record! { RunRecord { 1 => StoredRunV1, } newest 2 => StoredRunV2 }
